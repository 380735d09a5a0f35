//! How large the ledger is and how fast it grows, from its segments' sizes and headers (design.md,
//! sections 7 and 12).
//!
//! ```text
//!   bytes written   0        s1       s1+s2          s1+s2+s3
//!                   ├─ seg 1 ┼─ seg 2 ─┼─── seg 3 ───▶ now          mark: when a segment was created, and how many
//!                   ●        ●         ●                            bytes were written before it
//!                        └───────── 7 days ──────────┘             between marks: a straight line
//! ```
//!
//! What always holds: it reads and never writes; it has a fixed size; a start knows as much as the
//! run before, because everything comes from the files. An unchanged directory is not read again.

use std::io;

use super::segment::{self, Segment};
use super::storage::Files;
use crate::engine::model::{EntrySeq, Wall};

/// The span over which growth is measured.
const WINDOW_MS: i64 = 7 * DAY_MS;
const DAY_MS: i64 = 86_400_000;

/// Marks that are kept: one per three hours of the window. Further ones are thinned out.
const MARKS_MAX: usize = 56;

/// The beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    created: Wall,
    /// Bytes written before it, counted from an arbitrary origin.
    written: u64,
}

/// The size and growth of a directory's segments.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// Segments in the directory.
    segments: u32,
    /// Bytes of all segments but the newest, which grows.
    sealed: u64,
    /// The newest segment, and the bytes written before it, counted from the marks' origin.
    newest: Option<EntrySeq>,
    before_newest: u64,
    /// Oldest first, times in order.
    marks: heapless::Vec<Mark, MARKS_MAX>,
}

impl Census {
    /// Reads a directory's segments; a later call reads only new ones. It allocates, so it is
    /// called only at a start and when the directory changed.
    ///
    /// # Errors
    /// If the directory or a segment cannot be read. Then the figures stay.
    pub fn take(&mut self, files: &dyn Files) -> io::Result<()> {
        let segments = segment::list(files)?;
        let mut lens = Vec::with_capacity(segments.len());
        for Segment { name, .. } in &segments {
            lens.push(files.len(name)?);
        }
        let known = self.newest;
        // The bytes before each new segment follow from the bytes before the newest known one.
        let first_new = segments.partition_point(|segment| known.is_some_and(|known| segment.first <= known));
        let mut written = if first_new > 0 { self.before_newest + lens[first_new - 1] } else { 0 };
        for (segment, len) in segments.iter().zip(&lens).skip(first_new) {
            // A segment without a readable header has no time; recovery and `verify` judge it.
            if let Ok(header) = segment::read_header(files, &segment.name)? {
                self.mark(Mark { created: header.created.wall, written });
            }
            self.before_newest = written;
            written += len;
        }
        self.segments = u32::try_from(segments.len()).unwrap_or(u32::MAX);
        self.sealed = lens.iter().rev().skip(1).sum();
        self.newest = segments.last().map(|segment| segment.first);
        Ok(())
    }

    fn mark(&mut self, mark: Mark) {
        // After the clock was set back, marks with later times are wrong.
        self.marks.retain(|before| before.created <= mark.created);
        if self.marks.is_full() {
            let since = mark.created.0.saturating_sub(WINDOW_MS);
            let outside = self.marks.iter().filter(|mark| mark.created.0 < since).count();
            let mut place = 0;
            self.marks.retain(|_| {
                place += 1;
                // The last one outside still begins the line that enters the window.
                if outside > 1 { place >= outside } else { place % 2 == 1 }
            });
        }
        self.marks.push(mark).expect("a place was freed");
    }

    /// Segments in the directory.
    pub fn segments(&self) -> u32 {
        self.segments
    }

    /// Bytes of all segments, where the newest has `newest_len`.
    pub fn bytes(&self, newest_len: u64) -> u64 {
        self.sealed + newest_len
    }

    /// Bytes per day, over the last seven days or since the oldest segment here; `None` if that is
    /// less than a day, or `now` is before it. The newest segment has `newest_len` bytes.
    pub fn bytes_a_day(&self, now: Wall, newest_len: u64) -> Option<u64> {
        let (first, last) = (self.marks.first()?, self.marks.last()?);
        let total = self.before_newest.max(last.written) + newest_len;
        let from = now.0.saturating_sub(WINDOW_MS).max(first.created.0);
        let span_ms = u64::try_from(now.0.checked_sub(from)?).ok().filter(|span| *span >= DAY_MS.unsigned_abs())?;
        let at = self.marks.partition_point(|mark| mark.created.0 <= from) - 1;
        let (before, next) = (self.marks[at], self.marks.get(at + 1));
        let (next_at, next_written) = next.map_or((now.0, total), |next| (next.created.0, next.written));
        let line_ms = u128::from(next_at.abs_diff(before.created.0).max(1));
        let gone_ms = u128::from(from.abs_diff(before.created.0));
        let before_window = u128::from(next_written.saturating_sub(before.written)) * gone_ms / line_ms;
        let grown = u128::from(total).saturating_sub(u128::from(before.written) + before_window);
        u64::try_from(grown * u128::from(DAY_MS.unsigned_abs()) / u128::from(span_ms)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::Header;
    use super::super::storage::MemoryStorage;
    use super::*;
    use crate::engine::model::Stamp;

    const START: i64 = 1_795_320_000_000;

    fn day(days: f64) -> Wall {
        #[expect(clippy::cast_possible_truncation)]
        Wall(START + (days * 86_400_000.0) as i64)
    }

    /// Adds a segment of `len` bytes, created on this day.
    fn add(storage: &mut MemoryStorage, first: u64, created: Wall, len: usize) {
        let first = EntrySeq(first);
        let created = Stamp { wall: created, offset_s: 28_800 };
        let site = "test".to_owned();
        let header = Header { ledger: 7, parent: None, host: None, site, first, chain: 0, created };
        let mut bytes = header.emit().to_vec();
        bytes.resize(len, b'x');
        storage.files.insert(segment::name_of(first), bytes);
    }

    fn taken(storage: &MemoryStorage) -> Census {
        let mut census = Census::default();
        census.take(storage).unwrap();
        census
    }

    #[test]
    fn growth_is_unknown_for_a_day_and_then_measured_from_the_oldest_segment() {
        let mut storage = MemoryStorage::default();
        add(&mut storage, 1, day(0.0), 10_000);
        let census = taken(&storage);
        assert_eq!((census.segments(), census.bytes(12_000)), (1, 12_000));
        assert_eq!(census.bytes_a_day(day(0.9), 12_000), None);
        assert_eq!(census.bytes_a_day(day(2.0), 12_000), Some(6_000));
        // The clock starts in 1970.
        assert_eq!(census.bytes_a_day(Wall(0), 12_000), None);
    }

    #[test]
    fn only_the_last_seven_days_count() {
        let mut storage = MemoryStorage::default();
        add(&mut storage, 1, day(0.0), 900_000);
        add(&mut storage, 100, day(10.0), 30_000);
        add(&mut storage, 200, day(20.0), 512);
        let census = taken(&storage);
        // On day 20 the window holds 0.7 of the second segment.
        assert_eq!(census.bytes_a_day(day(20.0), 512), Some((21_000 + 512) / 7));
        assert_eq!(census.bytes_a_day(day(27.0), 70_000), Some(10_000));
        assert_eq!(census.bytes_a_day(day(34.0), 140_000), Some(10_000), "inside one segment: a straight line");
    }

    #[test]
    fn a_start_learns_from_headers_what_a_run_learns_as_segments_begin() {
        let mut storage = MemoryStorage::default();
        let mut running = Census::default();
        for segment in 0..40_u32 {
            let created = day(f64::from(segment) / 3.0);
            add(&mut storage, u64::from(segment) * 10 + 1, created, 600 + 100 * segment as usize);
            running.take(&storage).unwrap();
        }
        let started = taken(&storage);
        assert_eq!(running.marks, started.marks);
        assert_eq!(running.bytes(4_500), started.bytes(4_500));
        assert!(running.bytes_a_day(day(14.0), 4_500).is_some());
        // Old segments are archived.
        for segment in 0..10 {
            storage.files.remove(&segment::name_of(EntrySeq(segment * 10 + 1)));
        }
        running.take(&storage).unwrap();
        let started = taken(&storage);
        assert_eq!((running.segments(), running.bytes(1)), (started.segments(), started.bytes(1)));
        assert_eq!(running.bytes_a_day(day(14.0), 4_500), started.bytes_a_day(day(14.0), 4_500));
    }

    #[test]
    fn thousands_of_segments_keep_the_growth_of_their_last_week() {
        let mut storage = MemoryStorage::default();
        for segment in 0..4_000_u32 {
            add(&mut storage, u64::from(segment) + 1, day(f64::from(segment) / 200.0), 5_000);
        }
        let rate = taken(&storage).bytes_a_day(day(20.0), 5_000).unwrap();
        assert!((990_000..=1_010_000).contains(&rate), "{rate} of a million bytes a day");
    }

    #[test]
    fn times_from_before_the_clock_was_set_back_are_ignored() {
        let mut storage = MemoryStorage::default();
        add(&mut storage, 1, day(400.0), 1_000_000);
        add(&mut storage, 2, day(0.0), 8_000);
        add(&mut storage, 3, day(2.0), 600);
        assert_eq!(taken(&storage).bytes_a_day(day(4.0), 8_000), Some(4_000));
    }
}
