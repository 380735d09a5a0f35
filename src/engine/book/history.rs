//! Rows in the order of their entries, found by key or by entry number. A full history forgets the
//! oldest.
//!
//! A full history drops all spent rows ([`HistoryRow::is_spent`]), then the oldest, until half is
//! free. That is one pass per `CAP / 2` rows or more, so adding a row costs O(1) on average.

use crate::engine::index::Index;
use crate::engine::model::EntrySeq;

/// What a row of a history provides.
pub trait HistoryRow {
    /// Rows of one key are chained, newest first.
    type Key: Copy + PartialEq;
    /// The row's key.
    fn key(&self) -> Self::Key;
    /// A hash of the key.
    fn hash(key: &Self::Key) -> u32;
    /// The entry from which the row comes; rows are pushed in this order.
    fn seq(&self) -> EntrySeq;
    /// Whether the row may be forgotten before older ones.
    fn is_spent(&self) -> bool;
}

struct Stored<T> {
    row: T,
    /// The next older row of the same key, plus one; 0 ends the chain.
    older: u32,
}

/// Holds at most `CAP` rows, and always at least the newest `CAP / 2` unspent ones. `SLOTS`: as for
/// [`Index`].
pub struct History<T, const CAP: usize, const SLOTS: usize> {
    rows: heapless::Vec<Stored<T>, CAP>,
    newest: Index<SLOTS>,
}

impl<T: HistoryRow, const CAP: usize, const SLOTS: usize> History<T, CAP, SLOTS> {
    /// No rows.
    pub const fn new() -> Self {
        Self { rows: heapless::Vec::new(), newest: Index::new() }
    }

    /// Removes all rows.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.newest.clear();
    }

    /// Adds the newest row. Returns `true` if older rows were forgotten for it.
    pub fn push(&mut self, row: T) -> bool {
        let is_full = self.rows.is_full();
        if is_full {
            self.make_room();
        }
        assert!(self.rows.push(Stored { row, older: 0 }).is_ok(), "make_room left half of it free");
        self.link(self.rows.len() - 1);
        is_full
    }

    /// Whether a row of this entry would be newer than all rows.
    pub(crate) fn may_push(&self, seq: EntrySeq) -> bool {
        self.rows.last().is_none_or(|stored| stored.row.seq() < seq)
    }

    /// The rows of a key, newest first.
    pub fn find(&self, key: T::Key) -> impl Iterator<Item = &T> {
        let first = self.newest.find(T::hash(&key), |row| self.rows[row as usize].row.key() == key);
        core::iter::successors(first.map(|row| &self.rows[row as usize]), |stored| {
            stored.older.checked_sub(1).map(|row| &self.rows[row as usize])
        })
        .map(|stored| &stored.row)
    }

    /// The row of an entry.
    pub fn entry(&self, seq: EntrySeq) -> Option<&T> {
        Some(&self.rows[self.place_of(seq)?].row)
    }

    /// The row of an entry.
    pub(crate) fn entry_mut(&mut self, seq: EntrySeq) -> Option<&mut T> {
        let place = self.place_of(seq)?;
        Some(&mut self.rows[place].row)
    }

    fn place_of(&self, seq: EntrySeq) -> Option<usize> {
        self.rows.binary_search_by_key(&seq, |stored| stored.row.seq()).ok()
    }

    /// All rows, oldest first.
    pub fn rows(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().map(|stored| &stored.row)
    }

    /// All rows, oldest first. The caller must not change their keys or entries.
    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.rows.iter_mut().map(|stored| &mut stored.row)
    }

    fn make_room(&mut self) {
        let unspent = self.rows.iter().filter(|stored| !stored.row.is_spent()).count();
        let mut too_many = unspent.saturating_sub(CAP / 2);
        self.rows.retain(|stored| {
            let keep = !stored.row.is_spent() && too_many == 0;
            if !stored.row.is_spent() && too_many > 0 {
                too_many -= 1;
            }
            keep
        });
        self.newest.clear();
        for place in 0..self.rows.len() {
            self.link(place);
        }
    }

    fn link(&mut self, place: usize) {
        let key = self.rows[place].row.key();
        let row = u32::try_from(place).expect("CAP fits 32 bits");
        let rows = &self.rows;
        let key_of = |row: u32| rows[row as usize].row.key();
        let older = self.newest.replace(T::hash(&key), row, |row| key_of(row) == key, |row| T::hash(&key_of(row)));
        self.rows[place].older = older.map_or(0, |row| row + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sample(u64, u32, bool);

    impl HistoryRow for Sample {
        type Key = u32;
        fn key(&self) -> u32 {
            self.1
        }
        fn hash(key: &u32) -> u32 {
            key % 3
        }
        fn seq(&self) -> EntrySeq {
            EntrySeq(self.0)
        }
        fn is_spent(&self) -> bool {
            self.2
        }
    }

    #[test]
    fn rows_of_a_key_come_newest_first() {
        let mut history = History::<Sample, 8, 16>::new();
        for seq in 1..=6 {
            history.push(Sample(seq, u32::try_from(seq % 2).unwrap(), false));
        }
        let seqs = |key| history.find(key).map(|row| row.0).collect::<Vec<_>>();
        assert_eq!(seqs(0), [6, 4, 2]);
        assert_eq!(seqs(1), [5, 3, 1]);
        assert_eq!(seqs(2), [0; 0]);
    }

    #[test]
    fn a_full_history_forgets_spent_rows_then_the_oldest() {
        let mut history = History::<Sample, 8, 16>::new();
        for seq in 1..=8 {
            history.push(Sample(seq, 7, seq == 8));
        }
        history.push(Sample(9, 7, false));
        let kept: Vec<u64> = history.rows().map(|row| row.0).collect();
        assert_eq!(kept, [4, 5, 6, 7, 9]);
        assert_eq!(history.find(7).map(|row| row.0).collect::<Vec<_>>(), [9, 7, 6, 5, 4]);
        assert!(history.entry(EntrySeq(5)).is_some());
        assert!(history.entry(EntrySeq(8)).is_none());
    }

    #[test]
    fn only_kept_rows_are_found_by_their_entry() {
        let mut history = Box::new(History::<Sample, 8, 16>::new());
        for (round, step) in [1, 3].into_iter().enumerate() {
            let mut seq = 0;
            for count in 0..40 {
                seq += if count % 5 == 0 { step } else { 1 };
                history.push(Sample(seq, 7, false));
                let kept: Vec<u64> = history.rows().map(|row| row.0).collect();
                for known in 0..=seq {
                    let found = history.entry(EntrySeq(known)).map(|row| row.0);
                    assert_eq!(found, kept.contains(&known).then_some(known), "round {round}");
                    assert_eq!(history.entry_mut(EntrySeq(known)).map(|row| row.0), found);
                }
            }
            history.clear();
        }
    }
}
