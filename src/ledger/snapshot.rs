//! `snapshot.tsv`: the state as of one entry, so that a start need not replay the whole ledger, and
//! old segments may be archived (design.md, sections 7 and 9).
//!
//! ```text
//! #posgate-snapshot ⇥ version=10 ⇥ ledger=<16 hex> ⇥ seq=… ⇥ crc=<8 hex> ⇥ created=… ␊
//! a line of the state ␊                                     as many as there are: [`State::emit`], [`State::restore`]
//! #end ⇥ lines=… ⇥ <8 hex> ␊                                 the lines between, and the crc of everything before these digits
//! ```
//!
//! What always holds: a snapshot covers durable entries only; it is written whole and synced under
//! another name, then renamed. A snapshot is *believed* if it is whole and of this ledger, a
//! segment holds its entry with the crc that the snapshot states, and every line of that segment up
//! to the entry follows. Any other snapshot is ignored, and all segments are replayed.

use core::fmt;
use std::io;

use crate::engine::model::{EntrySeq, Stamp};
use crate::lang::tr;

use super::header::Parent;
use super::line::continue_crc;
use super::segment::{self, Lines, Segment};
use super::storage::{Files, Storage};
use super::{Head, State, line};

/// The file's name in the ledger's directory.
pub const NAME: &str = "snapshot.tsv";

/// The file's name until it is whole and synced.
pub(crate) const TEMPORARY: &str = "snapshot.tsv.tmp";

/// The version of the state's lines. Since 2 they hold keys, batches and voids, since 3 which sales
/// a 105 was taken for, since 4 what a key was answered, since 5 each account's subsidy, since 6
/// the names of orders instead of keys and batches, since 7 each card's meals, since 8 the clears
/// of subsidy purses and both purses in every answer, since 9 where a clear of all purses ended,
/// since 10 whether the newest entry's clock was believed. An older snapshot lacks these, so it is
/// not believed, and nothing is archived because of it.
const VERSION: &str = "10";

/// Bytes of the crc's digits and the LF: the last ones of the file.
const CRC_LEN: usize = 9;

/// What the first line of a snapshot states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Title {
    /// The ledger's number.
    pub ledger: u64,
    /// The state is that after this entry.
    pub head: Head,
}

/// Where a replay goes on after a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    /// What the snapshot's first line states.
    pub title: Title,
    /// The segment that holds the snapshot's entry, or begins after it.
    pub segment: Segment,
    /// The ledger of that segment: the snapshot's, or a branch that begins after the snapshot's
    /// entry.
    pub ledger: u64,
    /// What that ledger branched off, if it did.
    pub parent: Option<Parent>,
    /// The offset of the line after the snapshot's entry.
    pub offset: u64,
    /// The number of that line.
    pub line: u64,
}

/// Why a snapshot is not believed: a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unbelievable(pub String);

impl fmt::Display for Unbelievable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A directory's snapshot, `None` if there is none, or why it is not believed.
pub type Belief<T> = Result<Option<T>, Unbelievable>;

/// Writes the state after `title.head`, which is durable. `buffer` collects the bytes of one write.
///
/// # Errors
/// With path and operation. Then the old snapshot is still there, or the new one is whole.
pub(crate) fn write<S: Storage>(
    storage: &mut S,
    buffer: &mut [u8],
    title: Title,
    created: Stamp,
    state: &dyn State,
) -> io::Result<()> {
    if storage.has(TEMPORARY)? {
        storage.remove(TEMPORARY)?;
    }
    storage.create(TEMPORARY, &[])?;
    let mut out = Out { storage, buffer, filled: 0, crc: 0 };
    let (ledger, Head { seq, crc }) = (title.ledger, title.head);
    let first = heapless::format!(200; "#posgate-snapshot\tversion={VERSION}\tledger={ledger:016x}\tseq={seq}\tcrc={crc:08x}\tcreated={}\n", line::writable(created));
    out.put(first.expect("its words have at most 150 bytes").as_bytes())?;
    let mut lines = 0_u64;
    state.emit(&mut |line| {
        lines += 1;
        out.put(line.as_bytes())?;
        out.put(b"\n")
    })?;
    out.put(heapless::format!(40; "#end\tlines={lines}\t").expect("its words have at most 32 bytes").as_bytes())?;
    out.put(heapless::format!(CRC_LEN; "{:08x}\n", out.crc).expect("it has as many bytes").as_bytes())?;
    out.flush()?;
    storage.sync(TEMPORARY)?;
    storage.rename(TEMPORARY, NAME)?;
    storage.sync_dir()
}

struct Out<'a, S> {
    storage: &'a mut S,
    buffer: &'a mut [u8],
    filled: usize,
    crc: u32,
}

impl<S: Storage> Out<'_, S> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc = continue_crc(self.crc, bytes);
        if self.filled + bytes.len() > self.buffer.len() {
            self.flush()?;
        }
        self.buffer[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.storage.append(TEMPORARY, &self.buffer[..self.filled])?;
        self.filled = 0;
        Ok(())
    }
}

/// Restores `state` from the directory's snapshot, if it is believed; otherwise `state` is that
/// before the first entry. `Ok(None)`: there is no snapshot.
///
/// # Errors
/// The outer one if a file cannot be read.
pub(crate) fn restore(files: &dyn Files, segments: &[Segment], state: &mut dyn State) -> io::Result<Belief<Base>> {
    let title = match read_title(files)? {
        Ok(Some(title)) => title,
        Ok(None) => return Ok(Ok(None)),
        Err(why) => return Ok(Err(why)),
    };
    let base = match locate(files, segments, title)? {
        Ok(base) => base,
        Err(why) => return Ok(Err(why)),
    };
    if let Err(why) = restore_lines(files, title, state)? {
        state.rewind();
        return Ok(Err(why));
    }
    Ok(Ok(Some(base)))
}

/// Reads the first line of the directory's snapshot; `Ok(None)`: there is no snapshot.
///
/// # Errors
/// The outer one if the file cannot be read.
pub fn read_title(files: &dyn Files) -> io::Result<Belief<Title>> {
    if !files.has(NAME)? {
        return Ok(Ok(None));
    }
    let mut lines = Lines::starting_at(files, NAME, 0, 1, None);
    let first = lines.read()?;
    let text = first.filter(|line| line.ended).and_then(|line| core::str::from_utf8(line.text).ok());
    let Some(mut words) =
        text.map(|text| text.split('\t')).filter(|words| words.clone().next() == Some("#posgate-snapshot"))
    else {
        return Ok(unbelievable(tr("its first line is not a snapshot's", "第一行不是快照的首行")));
    };
    let mut find = |key: &str| words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    if find("version") != Some(VERSION) {
        return Ok(unbelievable(tr("it has another version", "版本不同")));
    }
    let hex = |word: Option<&str>| u64::from_str_radix(word?, 16).ok();
    let ledger = hex(find("ledger"));
    let seq = find("seq").and_then(|word| word.parse().ok()).filter(|seq| *seq > 0);
    let crc = hex(find("crc")).and_then(|crc| u32::try_from(crc).ok());
    match (ledger, seq, crc) {
        (Some(ledger), Some(seq), Some(crc)) => Ok(Ok(Some(Title { ledger, head: Head { seq: EntrySeq(seq), crc } }))),
        _ => Ok(unbelievable(tr("its first line is not a snapshot's", "第一行不是快照的首行"))),
    }
}

fn unbelievable<T>(why: &str) -> Belief<T> {
    Err(Unbelievable(why.to_owned()))
}

/// Finds the snapshot's entry in the segments, and checks that every line before it in its segment
/// follows.
///
/// # Errors
/// The outer one if a file cannot be read.
pub(crate) fn locate(files: &dyn Files, segments: &[Segment], title: Title) -> io::Result<Result<Base, Unbelievable>> {
    let no = |why: String| Ok(Err(Unbelievable(why)));
    let Head { seq, crc } = title.head;
    for segment in segments.iter().rev().filter(|segment| segment.first <= seq.next()) {
        // A segment without a readable header is left to the replay, which reports it.
        let Ok(header) = segment::read_header(files, &segment.name)? else { continue };
        // At the beginning of a branch, the entry before belongs to its parent.
        if !header.continues(title.ledger) {
            return no(tr!(
                "it belongs to ledger {:016x}, but {} to {:016x}",
                "它属于账本 {:016x}，而 {} 属于 {:016x}",
                title.ledger,
                segment.name,
                header.ledger
            ));
        }
        if header.first != segment.first {
            return no(tr!("{} does not begin with the entry in its name", "{} 的第一条与文件名不符", segment.name));
        }
        let mut head = header.before();
        let mut lines = Lines::new(files, &segment.name, Some(header.chain));
        let (mut offset, mut number) = (super::header::HEADER_LEN as u64, 2);
        while head.seq < seq {
            let Some(line) = lines.read()? else {
                return no(tr!(
                    "it is as of entry {seq}, but the ledger ends with {}",
                    "它截至流水 {seq}，而账本末条是 {}",
                    head.seq
                ));
            };
            let Some(parsed) = line.after(head.seq) else {
                return no(tr!(
                    "{}:{}: this line, before entry {seq}, does not follow",
                    "{}:{}: 流水 {seq} 以前的这一行接不上",
                    segment.name,
                    line.number
                ));
            };
            (head, offset, number) = (parsed.head(), line.end(), line.number + 1);
        }
        if head.crc != crc {
            return no(tr!(
                "it states crc {crc:08x} for entry {seq}, but the ledger has {:08x}",
                "它写的流水 {seq} 的 crc 是 {crc:08x}，而账本里是 {:08x}",
                head.crc
            ));
        }
        let (ledger, parent) = (header.ledger, header.parent);
        return Ok(Ok(Base { title, segment: segment.clone(), ledger, parent, offset, line: number }));
    }
    no(tr!("the segment with its entry {seq} is missing", "缺少有流水 {seq} 的文件"))
}

/// Restores `state` from every line, and checks that the file is whole.
///
/// # Errors
/// The outer one if the file cannot be read.
pub(crate) fn restore_lines(
    files: &dyn Files,
    title: Title,
    state: &mut dyn State,
) -> io::Result<Result<(), Unbelievable>> {
    let no = |why: String| Ok(Err(Unbelievable(why)));
    let mut lines = Lines::starting_at(files, NAME, 0, 1, None);
    let (mut count, mut crc) = (0_u64, 0);
    while let Some(line) = lines.read()? {
        let number = line.number;
        let Some(text) = core::str::from_utf8(line.text).ok().filter(|_| line.ended) else {
            return no(tr!("its line {number} is torn", "第 {number} 行残缺"));
        };
        if let Some(end) = text.strip_prefix("#end\tlines=") {
            let covered = text.len().saturating_sub(CRC_LEN - 1);
            let crc = text.is_char_boundary(covered).then(|| continue_crc(crc, &text.as_bytes()[..covered]));
            let is_whole = end.split_once('\t').is_some_and(|(lines, digits)| {
                lines.parse() == Ok(count)
                    && crc.is_some_and(|crc| line::crc_column(digits.as_bytes()) == Some(crc))
                    && digits.len() == 8
            });
            if !is_whole {
                return no(tr!(
                    "the crc or the count in its line {number} does not match the lines before",
                    "第 {number} 行的 crc 或行数与前面的行不符"
                ));
            }
            if lines.read()?.is_some() {
                return no(tr!("bytes follow its last line {number}", "末行（第 {number} 行）后面还有字节"));
            }
            state.resume(title.head.seq);
            return Ok(Ok(()));
        }
        if number > 1 {
            count += 1;
            if let Err(super::Refusal(why)) = state.restore(text) {
                return no(tr!("its line {number}: {why}", "第 {number} 行：{why}"));
            }
        }
        crc = continue_crc(continue_crc(crc, line.text), b"\n");
    }
    no(tr("it is torn: the last line is missing", "残缺：没有末行").to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::recovery::{OpenError, Refusal, replay};
    use super::super::storage::MemoryStorage;
    use super::super::testing;
    use super::super::writer::Ledger;
    use super::*;
    use crate::engine::model::{Entry, Kind};

    /// A state of the numbers of all entries.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Numbers(Vec<u64>);

    impl State for Numbers {
        fn rewind(&mut self) {
            self.0.clear();
        }

        fn apply(&mut self, entry: &Entry) -> Result<(), Refusal> {
            self.0.push(entry.seq.0);
            if entry.kind == Kind::Other { Err(Refusal("other".to_owned())) } else { Ok(()) }
        }

        fn restore(&mut self, line: &str) -> Result<(), Refusal> {
            let number = line.strip_prefix("number\t").and_then(|number| number.parse().ok());
            self.0.push(number.ok_or(Refusal("no number".to_owned()))?);
            Ok(())
        }

        fn resume(&mut self, head: EntrySeq) {
            assert_eq!(self.0.len() as u64, head.0);
        }

        fn emit(&self, sink: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
            self.0.iter().try_for_each(|number| sink(&format!("number\t{number}")))
        }
    }

    /// Turns of ten entries in segments of 4 KiB, each with its snapshot; the state after the last.
    fn serve(storage: &mut MemoryStorage, turns: u64) -> io::Result<Numbers> {
        let mut state = Numbers::default();
        let opened = Ledger::open(storage, "test", testing::stamp(), || 0xA1, &mut state);
        let (mut ledger, _) = opened.map_err(|error| io::Error::other(error.to_string()))?;
        ledger.limit_segments(4096);
        for _ in 0..turns {
            for _ in 0..10 {
                let entry = testing::entry(ledger.next_seq().0);
                assert_eq!(state.apply(&entry), Ok(()));
                ledger.append(&entry);
            }
            let is_new_segment = ledger.is_segment_full();
            if is_new_segment {
                ledger.rotate(testing::stamp())?;
            }
            ledger.write()?;
            ledger.sync()?;
            if is_new_segment {
                ledger.write_snapshot(testing::stamp(), &state)?;
            }
        }
        Ok(state)
    }

    fn start(storage: &MemoryStorage) -> Result<(super::super::recovery::Replayed, Numbers), OpenError> {
        let mut state = Numbers::default();
        Ok((replay(storage, &mut state)?, state))
    }

    fn up_to(last: u64) -> Numbers {
        Numbers((1..=last).collect())
    }

    #[test]
    fn a_start_from_the_snapshot_gives_the_state_of_all_entries() {
        let mut storage = MemoryStorage::default();
        assert_eq!(serve(&mut storage, 25).unwrap(), up_to(250));
        let (replayed, state) = start(&storage).unwrap();
        let snapshot = replayed.snapshot.expect("it is believed").0;
        assert_eq!((state, replayed.entries, replayed.disbelief), (up_to(250), 250 - snapshot, None));
        assert!(replayed.entries < 40);
        storage.files.remove(NAME);
        let (whole, state) = start(&storage).unwrap();
        assert_eq!((whole.head, whole.newest, whole.ledger), (replayed.head, replayed.newest, replayed.ledger));
        assert_eq!((state, whole.entries, whole.disbelief), (up_to(250), 250, None));
        // The server goes on from the snapshot as from the whole ledger.
        assert_eq!(serve(&mut storage, 25).unwrap(), up_to(500));
    }

    #[test]
    fn the_segments_before_the_snapshot_are_not_needed() {
        let mut storage = MemoryStorage::default();
        serve(&mut storage, 25).unwrap();
        let newest = segment::list(&storage).unwrap().pop().unwrap().name;
        storage.files.retain(|name, _| *name == newest || name == NAME);
        assert_eq!(start(&storage).unwrap().1, up_to(250));
        assert_eq!(serve(&mut storage, 25).unwrap(), up_to(500));
        storage.files.remove(NAME);
        let error = start(&storage).unwrap_err().to_string();
        assert!(error.contains("are missing"), "{error}");
    }

    #[test]
    fn a_snapshot_that_is_torn_or_changed_anywhere_is_not_believed() {
        let mut storage = MemoryStorage::default();
        serve(&mut storage, 8).unwrap();
        let whole = storage.files[NAME].clone();
        let mut check = |bytes: Vec<u8>, what: &str| {
            storage.files.insert(NAME.to_owned(), bytes);
            let (replayed, state) = start(&storage).unwrap();
            assert_eq!((state, replayed.entries), (up_to(80), 80), "{what}");
            let why = replayed.disbelief.expect(what);
            assert!(why.contains(NAME) && why.contains("not believed"), "{why}");
        };
        for len in 0..whole.len() {
            check(whole[..len].to_vec(), &format!("cut to {len}"));
        }
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            check(changed, &format!("changed at {place}"));
        }
        check([&whole[..], b"\n"].concat(), "an LF more");
        check([&whole[..], &whole[..]].concat(), "twice");
        check([&whole[..], &[0; 4096]].concat(), "zeros behind");
        check(vec![0; whole.len()], "zeros");
    }

    #[test]
    fn a_snapshot_of_another_ledger_or_chain_or_of_a_later_entry_is_not_believed() {
        let mut storage = MemoryStorage::default();
        serve(&mut storage, 25).unwrap();
        let text = String::from_utf8(storage.files[NAME].clone()).unwrap();
        let seq = start(&storage).unwrap().0.snapshot.unwrap();
        let resealed = |text: String| {
            let covered = &text[..text.len() - CRC_LEN];
            format!("{covered}{:08x}\n", continue_crc(0, covered.as_bytes())).into_bytes()
        };
        assert_eq!(resealed(text.clone()), storage.files[NAME]);
        let crc = text.split("crc=").nth(1).unwrap()[..8].to_owned();
        for (from, to) in [
            ("ledger=00000000000000a1".to_owned(), "ledger=00000000000000a2".to_owned()),
            (format!("crc={crc}"), "crc=00000000".to_owned()),
            (format!("seq={seq}"), "seq=251".to_owned()),
            (format!("seq={seq}"), format!("seq={}", seq.0 - 1)),
            ("version=10".to_owned(), "version=9".to_owned()),
        ] {
            storage.files.insert(NAME.to_owned(), resealed(text.replace(&from, &to)));
            let (replayed, state) = start(&storage).unwrap();
            assert_eq!((state, replayed.snapshot), (up_to(250), None), "{to}");
            assert!(replayed.disbelief.is_some(), "{to}");
        }
        // If a line before the snapshot's entry does not follow, neither snapshot nor ledger is
        // believed.
        storage.files.insert(NAME.to_owned(), text.into_bytes());
        let newest = segment::list(&storage).unwrap().pop().unwrap().name;
        storage.files.get_mut(&newest).unwrap()[600] ^= 1;
        assert!(matches!(start(&storage), Err(OpenError::Damaged { .. })));
    }

    #[test]
    fn a_crash_at_any_step_leaves_the_old_snapshot_or_the_new_one() {
        let mut first = MemoryStorage::default();
        serve(&mut first, 25).unwrap();
        let before = start(&first).unwrap().0.snapshot;
        let mut found = BTreeMap::new();
        for steps in 0.. {
            let mut storage = first.clone();
            storage.steps_left = Some(steps);
            let has_crashed = serve(&mut storage, 2).is_err();
            storage.steps_left = None;
            let (replayed, state) = start(&storage).unwrap();
            assert_eq!(state, up_to(replayed.head.seq.0), "{steps}");
            assert_eq!(replayed.disbelief, None, "{steps}");
            *found.entry(replayed.snapshot).or_insert(0) += 1;
            serve(&mut storage, 4).unwrap();
            assert!(!storage.files.contains_key(TEMPORARY), "{steps}");
            if !has_crashed {
                break;
            }
        }
        assert_eq!(found.len(), 2, "the one before, or the new one: {found:?} {before:?}");
    }

    #[test]
    fn a_snapshot_that_cannot_be_written_leaves_the_old_one_and_no_other_file() {
        let mut storage = MemoryStorage::default();
        serve(&mut storage, 25).unwrap();
        let before = storage.files[NAME].clone();
        for step in ["create snapshot", "append snapshot", "sync snapshot", "rename"] {
            let mut state = Numbers::default();
            let (mut ledger, _) = Ledger::open(&mut storage, "test", testing::stamp(), || 0xA1, &mut state).unwrap();
            ledger.storage_mut().fail = Some(step.to_owned());
            assert!(ledger.write_snapshot(testing::stamp(), &state).is_err());
            ledger.storage_mut().fail = None;
            assert_eq!(storage.files[NAME], before);
            assert!(!storage.files.contains_key(TEMPORARY));
        }
    }

    #[test]
    fn the_file_has_the_form_that_the_module_draws() {
        let mut storage = MemoryStorage::default();
        let mut state = up_to(0);
        let (mut ledger, _) = Ledger::open(&mut storage, "test", testing::stamp(), || 0xA1, &mut state).unwrap();
        ledger.append(&testing::entry(1));
        ledger.write().unwrap();
        ledger.sync().unwrap();
        let crc = ledger.head().crc;
        ledger.write_snapshot(testing::stamp(), &up_to(1)).unwrap();
        let text = String::from_utf8(storage.files[NAME].clone()).unwrap();
        let before = format!(
            "#posgate-snapshot\tversion=10\tledger=00000000000000a1\tseq=1\tcrc={crc:08x}\tcreated=2026-11-22T12:00:00.000+08:00\n\
             number\t1\n#end\tlines=1\t"
        );
        assert_eq!(text, format!("{before}{:08x}\n", continue_crc(0, before.as_bytes())));
    }
}
