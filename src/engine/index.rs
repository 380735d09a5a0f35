//! A hash index of fixed size: maps a key's hash to the number of a row in the caller's table.
//!
//! A heapless map counts positions in 16 bits and needs an eighth of slack, so 65,536 cards do not
//! fit in one. Here the key stays in its row, and the caller compares it. It probes linearly over a
//! power of two places, at most half of them taken when all are open. Rows are never removed one by
//! one: a table is cleared and filled again.
//!
//! The number of open places is a power of two too, doubled whenever three quarters are taken. A
//! hash scatters rows over all open places, and touched memory stays with the process; so a table
//! of 10,000 cards touches only an eighth of its index.

/// `SLOTS` places: a power of two, at least twice the rows that will be inserted.
pub struct Index<const SLOTS: usize> {
    /// A row's number plus one; 0: a free place. All places from `open` on are free.
    slots: [u32; SLOTS],
    /// Open places: 0 or a power of two.
    open: usize,
    used: usize,
}

impl<const SLOTS: usize> Index<SLOTS> {
    /// Places that are opened first.
    const OPEN_MIN: usize = if SLOTS < 64 { SLOTS } else { 64 };

    /// An empty index.
    pub const fn new() -> Self {
        assert!(SLOTS.is_power_of_two());
        Self { slots: [0; SLOTS], open: 0, used: 0 }
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.slots[..self.open].fill(0);
        self.open = 0;
        self.used = 0;
    }

    /// The newest row under this hash for which `matches` holds.
    pub fn find(&self, hash: u32, matches: impl FnMut(u32) -> bool) -> Option<u32> {
        let place = self.probe(hash, matches)?;
        self.slots[place].checked_sub(1)
    }

    /// Adds a row. An equal key may be inserted again; [`Index::replace`] keeps only the newest.
    /// `hash_of` returns the hash of a row in the index.
    ///
    /// # Panics
    /// If the index is full.
    pub fn insert(&mut self, hash: u32, row: u32, hash_of: impl Fn(u32) -> u32) {
        self.make_room(hash_of);
        self.put(hash, row);
    }

    /// Forgets all rows, and adds rows 0 to `count`.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn fill(&mut self, count: usize, hash_of: impl Fn(u32) -> u32) {
        self.clear();
        for row in 0..u32::try_from(count).expect("a row's number fits 32 bits") {
            self.insert(hash_of(row), row, &hash_of);
        }
    }

    /// Replaces the first row that `matches` by `row`, or adds `row`; returns the replaced row.
    /// `hash_of` returns the hash of a row in the index.
    ///
    /// # Panics
    /// If the index is full.
    pub fn replace(
        &mut self,
        hash: u32,
        row: u32,
        matches: impl FnMut(u32) -> bool,
        hash_of: impl Fn(u32) -> u32,
    ) -> Option<u32> {
        if let Some(place) = self.probe(hash, matches)
            && let Some(old) = self.slots[place].checked_sub(1)
        {
            self.slots[place] = row + 1;
            return Some(old);
        }
        self.insert(hash, row, hash_of);
        None
    }

    /// The first place for this hash that is free or whose row matches; `None` while no place is
    /// open.
    fn probe(&self, hash: u32, mut matches: impl FnMut(u32) -> bool) -> Option<usize> {
        let mask = self.open.checked_sub(1)?;
        let mut place = hash as usize & mask;
        while let Some(row) = self.slots[place].checked_sub(1)
            && !matches(row)
        {
            place = (place + 1) & mask;
        }
        Some(place)
    }

    fn put(&mut self, hash: u32, row: u32) {
        let place = self.probe(hash, |_| false).expect("make_room came first");
        self.slots[place] = row + 1;
        self.used += 1;
    }

    /// Opens more places if three quarters are taken and more exist.
    fn make_room(&mut self, hash_of: impl Fn(u32) -> u32) {
        if 4 * (self.used + 1) <= 3 * self.open || self.open == SLOTS {
            assert!(self.used < SLOTS - 1, "an index has a free place");
            return;
        }
        let before = self.open;
        self.open = if before == 0 { Self::OPEN_MIN } else { 2 * before };
        // Every row moves to its place among the open ones. Starting at a free place visits a row
        // after those it was placed behind: it finds its old home, a free place before its old one,
        // or its new home.
        let Some(free) = self.slots[..before].iter().position(|slot| *slot == 0) else { return };
        self.used = 0;
        for place in (free..before).chain(0..free) {
            if let Some(row) = core::mem::take(&mut self.slots[place]).checked_sub(1) {
                self.put(hash_of(row), row);
            }
        }
    }
}

impl<const SLOTS: usize> Default for Index<SLOTS> {
    fn default() -> Self {
        Self::new()
    }
}

/// An index like [`Index`], on the heap and with as many places as it needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct GrowingIndex {
    /// A row's number plus one; 0: a free place. None, or a power of two, of which a quarter is
    /// free.
    slots: Vec<u32>,
    used: usize,
}

impl GrowingIndex {
    /// An empty index.
    pub const fn new() -> Self {
        Self { slots: Vec::new(), used: 0 }
    }

    /// An empty index that need not grow for so many rows.
    pub fn with_room(rows: usize) -> Self {
        Self { slots: vec![0; Self::places_for(rows)], used: 0 }
    }

    fn places_for(rows: usize) -> usize {
        (rows + rows / 3 + 1).next_power_of_two().max(64)
    }

    /// A row under this hash for which `matches` holds.
    pub fn find(&self, hash: u32, matches: impl FnMut(u32) -> bool) -> Option<u32> {
        let place = self.probe(hash, matches)?;
        self.slots[place].checked_sub(1)
    }

    /// Adds a row. `hash_of` returns the hash of a row in the index.
    ///
    /// # Panics
    /// If `row` does not fit 32 bits.
    pub fn insert(&mut self, hash: u32, row: usize, hash_of: impl Fn(u32) -> u32) {
        if self.slots.len() < Self::places_for(self.used + 1) {
            let old = core::mem::replace(&mut self.slots, vec![0; Self::places_for(self.used + 1)]);
            for row in old.into_iter().filter_map(|slot| slot.checked_sub(1)) {
                self.put(hash_of(row), row);
            }
        }
        self.put(hash, u32::try_from(row).expect("a row's number fits 32 bits"));
        self.used += 1;
    }

    fn put(&mut self, hash: u32, row: u32) {
        let place = self.probe(hash, |_| false).expect("there are free places");
        self.slots[place] = row + 1;
    }

    /// The first place for this hash that is free or whose row matches.
    fn probe(&self, hash: u32, mut matches: impl FnMut(u32) -> bool) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut place = hash as usize & mask;
        while let Some(row) = self.slots[place].checked_sub(1)
            && !matches(row)
        {
            place = (place + 1) & mask;
        }
        Some(place)
    }
}

/// 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A hash of a number: the high half of Fibonacci hashing.
pub(crate) fn hash_number(value: u64) -> u32 {
    (value.wrapping_mul(GOLDEN) >> 32) as u32
}

/// A hash of bytes, eight at a time.
pub(crate) fn hash_bytes(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain([&last]).map(|word| u64::from_le_bytes(*word));
    mix(bytes.len() as u64, words)
}

/// A hash of numbers.
pub(crate) fn hash_words<const COUNT: usize>(words: [u64; COUNT]) -> u32 {
    mix(0, words.into_iter())
}

fn mix(begin: u64, words: impl Iterator<Item = u64>) -> u32 {
    hash_number(words.fold(begin, |mixed, word| (mixed.rotate_left(23) ^ word).wrapping_mul(GOLDEN)))
}

/// 64-bit FNV-1a: a fingerprint of a text. Two different texts have the same one once in 2^64.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    fnv1a_on(FNV1A, bytes.iter().copied())
}

/// [`fnv1a`] of no bytes.
pub(crate) const FNV1A: u64 = 0xCBF2_9CE4_8422_2325;

/// Continues [`fnv1a`]: `hash` is that of the bytes before these.
pub(crate) fn fnv1a_on(hash: u64, bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In these tests each row's number is its key.
    fn all_of<const SLOTS: usize>(index: &Index<SLOTS>, hashes: &[u32]) {
        for (row, hash) in (0..).zip(hashes) {
            assert_eq!(index.find(*hash, |found| found == row), Some(row), "of {}", hashes.len());
        }
    }

    #[test]
    fn rows_that_share_a_hash_are_all_found() {
        let mut index = Index::<64>::new();
        let hash_of = |_| 60;
        assert_eq!(index.find(60, |_| true), None, "nothing in an index without places");
        for row in 0..5 {
            index.insert(60, row, hash_of);
        }
        all_of(&index, &[60; 5]);
        assert_eq!(index.find(60, |_| false), None);
        assert_eq!(index.find(0, |_| true), Some(4), "the run wraps around the end");
        index.clear();
        assert_eq!(index.find(60, |_| true), None);
    }

    #[test]
    fn every_row_is_found_while_the_index_grows_whatever_the_hashes() {
        // The high runs wrap around the end when the index doubles; the equal ones are one long
        // run.
        let patterns: [fn(u32) -> u32; 4] = [
            |row| hash_number(u64::from(row)),
            |row| row.wrapping_mul(64).wrapping_sub(3),
            |row| u32::MAX - row / 8,
            |_| 61,
        ];
        for pattern in patterns {
            let mut index = Index::<1024>::new();
            for round in 0..2 {
                let hashes: Vec<u32> = (0..512).map(pattern).collect();
                for row in 0..512 {
                    index.insert(pattern(row), row, pattern);
                    if !(200..=500).contains(&row) || round == 0 && row % 16 == 0 {
                        all_of(&index, &hashes[..=row as usize]);
                    }
                }
                assert_eq!(index.find(pattern(0), |row| row == 512), None);
                index.clear();
                assert!(index.slots.iter().all(|slot| *slot == 0), "a cleared index holds nothing");
            }
        }
    }

    #[test]
    fn an_index_touches_no_more_than_its_rows_need() {
        let mut index = Index::<1024>::new();
        for row in 0..40 {
            index.insert(hash_number(u64::from(row)), row, |row| hash_number(u64::from(row)));
        }
        assert!(index.slots[128..].iter().all(|slot| *slot == 0));
    }

    #[test]
    fn texts_that_differ_in_little_have_hashes_that_spread() {
        let names: Vec<String> = (0..4096)
            .flat_map(|number| [format!("{number}"), format!("A{number:05}"), format!("8888{number:06}")])
            .collect();
        let mut counts = [0; 1024];
        for name in &names {
            counts[hash_bytes(name.as_bytes()) as usize % 1024] += 1;
        }
        assert!(counts.iter().all(|count| *count < 40), "twelve are expected in each");
        assert_ne!(hash_bytes(b"a"), hash_bytes(b"a\0"));
    }

    #[test]
    fn a_replaced_key_leads_to_the_newest_row() {
        let mut index = Index::<8>::new();
        assert_eq!(index.replace(3, 0, |_| false, |_| 3), None);
        assert_eq!(index.replace(3, 1, |row| row == 0, |_| 3), Some(0));
        assert_eq!(index.find(3, |_| true), Some(1));
    }
}
