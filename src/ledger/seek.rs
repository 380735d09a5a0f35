//! Finds an entry's place in the segments without reading them through (design.md, section 14).
//!
//! A segment is halved until a few lines are left: one of 1 MiB takes nine small reads, so that a
//! turn of the server may ask. Only that the entry's own line follows from the line before it is
//! checked, not the lines before that.

use std::io;

use super::Head;
use super::header::HEADER_LEN;
use super::segment::{self, Lines, Segment};
use super::storage::Files;
use crate::engine::limits::LINE_LEN_MAX;
use crate::engine::model::EntrySeq;

/// Bytes that are read line by line once halving has come down to them: more than two of the
/// longest lines, so that each step leaves less.
const FEW_LEN: u64 = 4 * LINE_LEN_MAX as u64;

/// Where an entry stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The entry.
    pub head: Head,
    /// The ledger that it belongs to: the segment's, or before its first entry the one that it
    /// branched off.
    pub ledger: u64,
    /// The segment that holds it, or that begins after it.
    pub segment: Segment,
    /// The offset of the line after it in that segment.
    pub offset: u64,
}

/// Why an entry has no place here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The segments here begin with this entry, after it.
    Archived(EntrySeq),
    /// The ledger ends before it.
    Ahead,
    /// Its line, or one near it, is damaged.
    Damaged,
}

/// The place of an entry; of entry 0, the one before the first.
///
/// # Errors
/// The outer one if a file cannot be read.
pub fn find(files: &dyn Files, seq: EntrySeq) -> io::Result<Result<Place, Absent>> {
    let mut segments = segment::list(files)?;
    // A segment that begins at this moment has no whole header yet.
    if segments.len() > 1
        && let Some(newest) = segments.last()
        && segment::read_header(files, &newest.name)?.is_err()
    {
        segments.pop();
    }
    // The segment that begins after the entry knows it too, and may be the oldest here.
    let Some(segment) = segment::holding(&segments, seq.next()) else {
        return Ok(Err(segments.first().map_or(Absent::Ahead, |oldest| Absent::Archived(oldest.first))));
    };
    let Ok(header) = segment::read_header(files, &segment.name)? else { return Ok(Err(Absent::Damaged)) };
    if header.first != segment.first {
        return Ok(Err(Absent::Damaged));
    }
    let before = header.before();
    if before.seq == seq {
        let ledger = header.parent.filter(|parent| parent.head == before).map_or(header.ledger, |parent| parent.ledger);
        return Ok(Ok(Place { head: before, ledger, segment: segment.clone(), offset: HEADER_LEN as u64 }));
    }
    let start = halve(files, segment, seq)?;
    let chain = (start == HEADER_LEN as u64).then_some(header.chain);
    let mut lines = Lines::starting_at(files, &segment.name, start, 0, chain);
    while let Some(line) = lines.read()? {
        match seq_of(line.text).filter(|_| line.ended) {
            Some(here) if here < seq => (),
            Some(here) if here == seq && line.is_chained() => {
                let Some(crc) = super::line::crc_column(line.text) else { break };
                let head = Head { seq, crc };
                return Ok(Ok(Place { head, ledger: header.ledger, segment: segment.clone(), offset: line.end() }));
            }
            Some(_) => return Ok(Err(Absent::Damaged)),
            // A line that is being written, or a torn one.
            None => break,
        }
    }
    let is_newest = segments.last() == Some(segment);
    Ok(Err(if is_newest { Absent::Ahead } else { Absent::Damaged }))
}

/// The offset of a line at or before the one that precedes the entry `seq`; of the first line, if
/// that is near.
fn halve(files: &dyn Files, segment: &Segment, seq: EntrySeq) -> io::Result<u64> {
    let (mut low, mut high) = (HEADER_LEN as u64, files.len(&segment.name)?);
    let mut piece = [0; 2 * LINE_LEN_MAX];
    while high.saturating_sub(low) > FEW_LEN {
        let middle = low.midpoint(high);
        let len = files.read_at(&segment.name, middle, &mut piece)?;
        let start = memchr::memchr(b'\n', &piece[..len]).map(|at| at + 1);
        let here = start.and_then(|start| Some((middle + start as u64, seq_of(&piece[start..len])?)));
        match here {
            Some((start, here)) if here < seq => low = start,
            Some((start, _)) => high = start,
            // Nothing that can be read: the lines before it decide.
            None => high = middle,
        }
    }
    Ok(low)
}

/// The number at the beginning of a line.
pub fn seq_of(text: &[u8]) -> Option<EntrySeq> {
    let digits = &text[..memchr::memchr(b'\t', text)?];
    core::str::from_utf8(digits).ok()?.parse().ok().map(EntrySeq)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Line};
    use super::*;

    #[test]
    fn every_entry_is_found_with_its_crc_and_its_end() {
        let count = 700;
        let mut storage = testing::ledger_of(&vec![Line::Good; count]);
        let second = testing::add_segment(&mut storage, &vec![Line::Good; count], &[Line::Good; 3]);
        let mut chain = 0;
        for seq in 0..=count as u64 + 3 {
            let place = find(&storage, EntrySeq(seq)).unwrap().unwrap();
            assert_eq!((place.head.seq, place.ledger), (EntrySeq(seq), 0xA1));
            let name = if seq < count as u64 { testing::FIRST } else { &second };
            assert_eq!(place.segment.name, name, "entry {seq}");
            // What follows is the next entry's line.
            let bytes = &storage.files[name][usize::try_from(place.offset).unwrap()..];
            assert_eq!(seq_of(bytes), (seq < count as u64 + 3).then_some(EntrySeq(seq + 1)));
            if seq > 0 {
                let parsed = super::super::find(&storage, EntrySeq(seq)).unwrap().unwrap();
                assert_eq!(parsed.seq, place.head.seq);
                assert_ne!(place.head.crc, chain, "each has its own");
            }
            chain = place.head.crc;
        }
        assert_eq!(find(&storage, EntrySeq(count as u64 + 4)).unwrap(), Err(Absent::Ahead));
        assert_eq!(find(&storage, EntrySeq(u64::MAX - 1)).unwrap(), Err(Absent::Ahead));
        // Of an archived segment the last entry is known by the next header.
        storage.files.remove(testing::FIRST);
        let first = EntrySeq(count as u64 + 1);
        assert_eq!(find(&storage, EntrySeq(count as u64)).unwrap().unwrap().head.seq, EntrySeq(count as u64));
        assert_eq!(find(&storage, EntrySeq(count as u64 - 1)).unwrap(), Err(Absent::Archived(first)));
    }

    #[test]
    fn a_damaged_line_has_no_place_and_a_torn_tail_is_ahead() {
        let count = 700;
        let whole = testing::ledger_of(&vec![Line::Good; count]);
        for seq in [1, 2, 350, 699] {
            let mut storage = whole.clone();
            testing::add_segment(&mut storage, &vec![Line::Good; count], &[Line::Good; 3]);
            let bytes = storage.files.get_mut(testing::FIRST).unwrap();
            let at = testing::offset_of(bytes, seq);
            bytes[at + 20] ^= 1;
            assert_eq!(find(&storage, EntrySeq(seq as u64)).unwrap(), Err(Absent::Damaged), "entry {seq}");
            // Or its place is lost: nothing else is taken for it.
            let bytes = storage.files.get_mut(testing::FIRST).unwrap();
            bytes[at..at + 60].fill(b'9');
            assert!(find(&storage, EntrySeq(seq as u64)).unwrap().is_err(), "entry {seq}");
        }
        let mut storage = whole.clone();
        let bytes = storage.files.get_mut(testing::FIRST).unwrap();
        bytes.pop();
        assert_eq!(find(&storage, EntrySeq(count as u64)).unwrap(), Err(Absent::Ahead));
        assert_eq!(find(&storage, EntrySeq(count as u64 - 1)).unwrap().unwrap().head.seq, EntrySeq(count as u64 - 1));
        storage.files.get_mut(testing::FIRST).unwrap().extend([0; 9000]);
        assert_eq!(find(&storage, EntrySeq(count as u64)).unwrap(), Err(Absent::Ahead));
        assert_eq!(find(&storage, EntrySeq(300)).unwrap().unwrap().head.seq, EntrySeq(300));
    }
}
