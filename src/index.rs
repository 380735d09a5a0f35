//! A hash index of fixed size: from a key's hash to the number of a row that stands elsewhere.
//!
//! heapless' maps count positions in 16 bits and want an eighth of slack, so 65,536 cards do not fit one; and
//! here the key stays in its row, which the caller compares. Linear probing over a power of two at
//! most half full. Rows are never taken out one by one: tables are cleared and filled again.

/// `SLOTS` places: a power of two, at least twice the rows that will be inserted.
pub struct Index<const SLOTS: usize> {
    /// A row's number plus one; 0 is a free place.
    slots: [u32; SLOTS],
    used: usize,
    /// A bit for each region that was written: clearing touches no other, so a big table that is hardly used is cleared at once.
    touched: u64,
}

impl<const SLOTS: usize> Index<SLOTS> {
    /// Slots of a region, of which there are at most 64.
    const REGION: usize = if SLOTS > 64 { SLOTS / 64 } else { 1 };

    /// An empty index.
    pub const fn new() -> Self {
        assert!(SLOTS.is_power_of_two());
        Self { slots: [0; SLOTS], used: 0, touched: 0 }
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        while self.touched != 0 {
            let region = self.touched.trailing_zeros() as usize;
            self.slots[region * Self::REGION..][..Self::REGION].fill(0);
            self.touched &= self.touched - 1;
        }
        self.used = 0;
    }

    /// The newest row under this hash for which `matches` holds.
    pub fn find(&self, hash: u32, mut matches: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut slot = hash as usize & (SLOTS - 1);
        while let Some(row) = self.slots[slot].checked_sub(1) {
            if matches(row) {
                return Some(row);
            }
            slot = (slot + 1) & (SLOTS - 1);
        }
        None
    }

    /// Adds a row. Equal keys may be inserted again: [`Index::replace`] is for those who want the newest only.
    ///
    /// # Panics
    /// If the index is full.
    pub fn insert(&mut self, hash: u32, row: u32) {
        assert!(self.used < SLOTS - 1, "an index has a free place");
        let mut slot = hash as usize & (SLOTS - 1);
        while self.slots[slot] != 0 {
            slot = (slot + 1) & (SLOTS - 1);
        }
        self.put(slot, row);
    }

    /// Lets the key of the first row that `matches` lead to `row` instead, or adds it; gives the row replaced.
    ///
    /// # Panics
    /// If the index is full.
    pub fn replace(&mut self, hash: u32, row: u32, mut matches: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut slot = hash as usize & (SLOTS - 1);
        while let Some(old) = self.slots[slot].checked_sub(1) {
            if matches(old) {
                self.slots[slot] = row + 1;
                return Some(old);
            }
            slot = (slot + 1) & (SLOTS - 1);
        }
        assert!(self.used < SLOTS - 1, "an index has a free place");
        self.put(slot, row);
        None
    }

    fn put(&mut self, slot: usize, row: u32) {
        self.slots[slot] = row + 1;
        self.used += 1;
        self.touched |= 1 << (slot / Self::REGION);
    }
}

impl<const SLOTS: usize> Default for Index<SLOTS> {
    fn default() -> Self {
        Self::new()
    }
}

/// A hash of a number: Fibonacci hashing, its high half.
pub fn hash_number(value: u64) -> u32 {
    (value.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

/// A hash of bytes: FNV-1a of 64 bits, folded.
pub fn hash_bytes(bytes: &[u8]) -> u32 {
    hash_number(fnv1a(bytes))
}

/// FNV-1a of 64 bits: a text's stand-in where two different texts may, once in 2^64, count as one.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_share_a_hash_are_all_found() {
        let mut index = Index::<64>::new();
        let keys = [5_u64, 7, 11, 13, 17];
        for row in 0..keys.len() {
            index.insert(60, u32::try_from(row).expect("small"));
        }
        for (row, key) in keys.iter().enumerate() {
            let found = index.find(60, |row| keys[row as usize] == *key);
            assert_eq!(found, Some(u32::try_from(row).expect("small")));
        }
        assert_eq!(index.find(60, |_| false), None);
        assert_eq!(index.find(0, |_| true), Some(4), "the run wraps around the end");
        index.clear();
        assert_eq!(index.find(60, |_| true), None);
    }

    #[test]
    fn a_cleared_index_holds_nothing_wherever_its_rows_stood() {
        let mut index = Index::<256>::new();
        for round in 0..3 {
            for hash in (round..256).step_by(3) {
                index.insert(hash, hash);
                assert_eq!(index.replace(hash, hash, |row| row == hash), Some(hash));
            }
            index.clear();
            assert!((0..256).all(|hash| index.find(hash, |_| true).is_none()));
        }
    }

    #[test]
    fn a_replaced_key_leads_to_the_newest_row() {
        let mut index = Index::<8>::new();
        assert_eq!(index.replace(3, 0, |_| false), None);
        assert_eq!(index.replace(3, 1, |row| row == 0), Some(0));
        assert_eq!(index.find(3, |_| true), Some(1));
    }
}
