//! The ledger: text files of one entry per line, chained by crc. A power cut at any instant leaves
//! them readable (design.md, sections 1, 7 and 9).
//!
//! ```text
//!            append, write, sync                        replay: every entry, in order
//!   Entry ──────────────────────▶ ledger-0000000001.tsv ─────────────────────────────▶ Entry
//!                  [writer]        #posgate-ledger ⇥ …            [recovery]
//!                                  1 ⇥ 2026-11-22T… ⇥ … ⇥ crc
//!                                  2 ⇥ …                 ─────▶ [verify]: beside the running server
//! ```
//!
//! What always holds: a line's crc continues from the crc of the line before it, so it covers every
//! line before it; a segment in service only grows; at most the last [`TAIL_LEN_MAX`] bytes of the
//! newest segment are unsynced, and recovery cuts nowhere else; every change goes through
//! [`Storage`].
//!
//! [`TAIL_LEN_MAX`]: crate::engine::limits::TAIL_LEN_MAX

use core::fmt;
use std::io;

use crate::engine::model::EntrySeq;
use crate::lang::tr;

pub mod acks;
pub(crate) mod archived;
pub(crate) mod care;
pub(crate) mod census;
mod collected;
pub(crate) mod copies;
pub mod header;
pub(crate) mod held;
pub mod identity;
pub(crate) mod kin;
pub mod line;
pub mod moved;
pub mod recovery;
pub mod relocate;
pub mod seek;
pub mod segment;
pub mod snapshot;
pub(crate) mod storage;
pub mod verify;
pub mod writer;

pub use care::{CareError, CareLock, archive, archive_into, repair, set_aside, take_over};
pub use header::{Host, Parent};
pub use held::HeldFiles;
pub use recovery::{OpenError, Refusal, Replayed, replay};
pub use storage::{DirFiles, DirStorage, Files, Storage, is_served};
pub use verify::run_verify;
#[cfg(test)]
pub(crate) use writer::is_no_room;
pub use writer::{Ledger, Opened, cannot_write, room_below};

use crate::engine::model::Entry;

/// A state that is built from all entries in order, or from a snapshot and the entries after it.
pub trait State {
    /// Returns to the state before the first entry.
    fn rewind(&mut self);

    /// Applies the next entry.
    ///
    /// # Errors
    /// If it contradicts the entries before it. The state must then be rewound.
    fn apply(&mut self, entry: &Entry) -> Result<(), Refusal>;

    /// Restores the next line of a snapshot. All lines come before the first entry.
    ///
    /// # Errors
    /// If it is not a line of a snapshot. The state must then be rewound.
    fn restore(&mut self, line: &str) -> Result<(), Refusal>;

    /// Ends the restoring of a snapshot: the state is that after entry `head`.
    fn resume(&mut self, head: EntrySeq);

    /// Writes the state as lines of at most 512 bytes, without LF.
    ///
    /// # Errors
    /// Those of the sink.
    fn emit(&self, sink: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()>;
}

/// A state that gives each entry to a function and keeps nothing. If a snapshot is believed, it
/// sees only the entries after it.
pub struct Entries<F>(pub F);

impl<F: FnMut(&Entry) -> Result<(), Refusal>> State for Entries<F> {
    fn rewind(&mut self) {}

    fn apply(&mut self, entry: &Entry) -> Result<(), Refusal> {
        (self.0)(entry)
    }

    fn restore(&mut self, _: &str) -> Result<(), Refusal> {
        Ok(())
    }

    fn resume(&mut self, _: EntrySeq) {}

    fn emit(&self, _: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        Ok(())
    }
}

/// The number and the crc of the last entry. The crc covers every entry before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The entry's number; 0 if there is no entry yet.
    pub seq: EntrySeq,
    /// The entry's crc column; 0 if there is no entry yet.
    pub crc: u32,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seq={} crc={:08x}", self.seq, self.crc)
    }
}

/// The entry with this number, if a segment here holds it. It reads only the segment that may hold
/// it.
///
/// # Errors
/// If a file cannot be read, or the entry's line is damaged: its crc does not follow, or a column
/// cannot be read.
pub(crate) fn find(files: &dyn Files, seq: EntrySeq) -> io::Result<Option<Entry>> {
    match find_listed(files, seq) {
        // `archive` removed the segment after it was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => find_listed(files, seq),
        found => found,
    }
}

fn find_listed(files: &dyn Files, seq: EntrySeq) -> io::Result<Option<Entry>> {
    let segments = segment::list(files)?;
    let Some(segment) = segment::holding(&segments, seq) else { return Ok(None) };
    let damaged = |number: u64| {
        let sentence = tr!(
            "{}:{number}: entry {seq} is damaged: run `posgate ledger verify`",
            "{}:{number}: 流水 {seq} 已损坏：请运行 `posgate ledger verify`",
            segment.name
        );
        io::Error::new(io::ErrorKind::InvalidData, sentence)
    };
    let header = segment::read_header(files, &segment.name)?.map_err(|_| damaged(1))?;
    let found = segment::find_line(files, &segment.name, Some(header.chain), seq, |line| {
        // The caller may move money by this entry, so a line with a flipped bit is an error.
        let parsed = line::parse(line.text).ok().filter(|_| line.is_chained());
        parsed.map(|parsed| parsed.entry).ok_or(line.number)
    })?;
    found.transpose().map_err(damaged)
}

/// Takes a closed pipe as success: the program that read the output has ended (`posgate ledger show
/// | head`).
fn allow_closed_pipe(result: io::Result<u8>) -> io::Result<u8> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        _ => result,
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{self, Line};
    use super::*;

    #[test]
    fn an_entry_is_found_in_the_one_segment_that_may_hold_it() {
        let mut storage = testing::ledger_of(&[Line::Good; 12]);
        testing::add_segment(&mut storage, &[Line::Good; 12], &[Line::Good; 3]);
        for seq in 1..=15 {
            let found = find(&storage, EntrySeq(seq)).unwrap();
            assert_eq!(found.map(|entry| entry.seq), Some(EntrySeq(seq)));
        }
        for seq in [0, 16, 151, u64::MAX] {
            assert_eq!(find(&storage, EntrySeq(seq)).unwrap(), None);
        }
        let mut spoiled = storage.clone();
        let bytes = spoiled.files.get_mut(testing::FIRST).unwrap();
        let at = testing::offset_of(bytes, 5);
        bytes[at + 20] ^= 1;
        assert_eq!(find(&spoiled, EntrySeq(5)).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(find(&spoiled, EntrySeq(4)).unwrap().is_some());
        // The first segment was archived.
        storage.files.remove(testing::FIRST);
        assert_eq!(find(&storage, EntrySeq(12)).unwrap(), None);
        assert!(find(&storage, EntrySeq(13)).unwrap().is_some());
    }
}

/// Ledgers for the tests of this module, in memory, each line as a test wants it.
#[cfg(test)]
mod testing {
    use super::header::Header;
    use super::recovery::{OpenError, Refusal};
    use super::storage::MemoryStorage;
    use super::writer::{Ledger, Opened};
    use super::{Entries, Head, line, segment};
    use crate::engine::limits::LINE_LEN_MAX;
    use crate::engine::model::{Balance, CardNo, ClockState, Detail, Entry, EntrySeq, Kind, Stamp, Text};

    pub const FIRST: &str = "ledger-0000000001.tsv";

    /// What a test wants a line to be.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Line {
        Good,
        Stop,
        Zeros,
        NoEnd,
        BadCrc,
        Displaced,
        Unreadable,
        Gap,
        Refused,
    }

    pub fn stamp() -> Stamp {
        Stamp::parse("2026-11-22T12:00:00.000+08:00").unwrap()
    }

    /// A top-up of 1.00, so that the balance is the seq in yuan.
    pub fn entry(seq: u64) -> Entry {
        let mut entry = Entry::new(Kind::TopUp, stamp(), ClockState::Ok);
        entry.seq = EntrySeq(seq);
        entry.card = CardNo::parse(b"0088888888");
        entry.account = Some(Text::try_from("0088888888").unwrap());
        entry.amount = Some(Balance::from_fen(100));
        entry.subsidy = Some(Balance::ZERO);
        entry.uses = Some(0);
        entry.balance = Some(Balance::from_fen(100 * i64::try_from(seq).unwrap()));
        entry.subsidy_left = Some(Balance::ZERO);
        entry.uses_left = Some(0);
        entry
    }

    fn segment_of(head: Head, specs: &[Line]) -> (Vec<u8>, Head) {
        let first = head.seq.next();
        let site = "test".to_owned();
        let header = Header { ledger: 0xA1, parent: None, host: None, site, first, chain: head.crc, created: stamp() };
        let mut bytes = header.emit().to_vec();
        let mut head = head;
        for spec in specs {
            let mut entry = entry(head.seq.next().0);
            match spec {
                Line::Good | Line::Zeros | Line::NoEnd | Line::BadCrc | Line::Unreadable => (),
                Line::Displaced => {
                    entry.seq = entry.seq.next();
                    head.crc ^= 1;
                }
                Line::Stop => entry = Entry { seq: entry.seq, ..Entry::new(Kind::Stop, stamp(), ClockState::Ok) },
                Line::Gap => entry.seq = entry.seq.next(),
                Line::Refused => entry.detail = Detail::default().with("note", "refuse"),
            }
            let mut out = [0; LINE_LEN_MAX];
            let emitted = line::emit(&entry, head.crc, &mut out);
            let start = bytes.len();
            bytes.extend_from_slice(&out[..emitted.len]);
            head = Head { seq: entry.seq, crc: emitted.crc };
            match spec {
                Line::Good | Line::Stop | Line::Displaced | Line::Gap | Line::Refused => (),
                Line::Zeros => bytes[start + 20..start + 30].fill(0),
                Line::NoEnd => drop(bytes.pop()),
                Line::BadCrc => bytes[start + 10] ^= 1,
                Line::Unreadable => {
                    let text = String::from_utf8(bytes.split_off(start)).unwrap().replace("\tok\t", "\tno\t");
                    let covered = &text.as_bytes()[..text.len() - 9];
                    let chain = head_before(&bytes, header.chain);
                    head.crc = line::continue_crc(chain, covered);
                    bytes.extend_from_slice(covered);
                    bytes.extend(format!("{:08x}\n", head.crc).bytes());
                }
            }
        }
        (bytes, head)
    }

    fn head_before(bytes: &[u8], chain: u32) -> u32 {
        line::crc_column(&bytes[..bytes.len() - 1]).filter(|_| bytes.len() > 512).unwrap_or(chain)
    }

    pub fn ledger_of(specs: &[Line]) -> MemoryStorage {
        let mut storage = MemoryStorage::default();
        storage.files.insert(FIRST.to_owned(), segment_of(Head::default(), specs).0);
        storage
    }

    /// Adds a second segment after one with the lines `before`; returns its name.
    pub fn add_segment(storage: &mut MemoryStorage, before: &[Line], specs: &[Line]) -> String {
        let head = segment_of(Head::default(), before).1;
        let name = segment::name_of(head.seq.next());
        storage.files.insert(name.clone(), segment_of(head, specs).0);
        name
    }

    /// The offset of the n-th entry's line.
    pub fn offset_of(segment: &[u8], entry: usize) -> usize {
        let mut ends = segment.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        ends.clone().nth(entry - 1).unwrap_or_else(|| ends.next_back().unwrap_or(0))
    }

    /// Opens the ledger with a state that refuses entries that have a note.
    pub fn open(storage: &mut MemoryStorage) -> Result<(Opened, Vec<Entry>), OpenError> {
        let mut entries = Vec::new();
        let mut apply = Entries(|entry: &Entry| {
            if entry.detail.get("note").is_some() {
                return Err(Refusal("the balance does not follow".to_owned()));
            }
            entries.push(*entry);
            Ok(())
        });
        let (_, opened) = Ledger::open(storage, "test", stamp(), || 0xA1, &mut apply)?;
        Ok((opened, entries))
    }
}
