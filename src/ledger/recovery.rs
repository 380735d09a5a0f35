//! Recovery: what a start does with the files that it finds (design.md, section 9).
//!
//! [`replay`] reads every entry once, in order, and changes nothing: it reports where a torn tail
//! must be cut. [`mend`] then cuts it and makes everything durable that was replayed, before the
//! first reply.
//!
//! A line is *good* if it ends with an LF, its crc follows from the crc column of the line before
//! it, its columns can be read, its seq is the next one, and the book accepts it. Of the first line
//! that is not good, kind and place decide what happens:
//!
//! | line | at the end: nothing good after it | good lines after it | before the last 128 KiB, or in an older segment |
//! |---|---|---|---|
//! | good | keep | keep | keep |
//! | zeros: not good, and two zero bytes side by side in it, or one at its start | cut | cut | refuse |
//! | no end: the file ends before its LF | cut | (cannot be) refuse | refuse |
//! | bad crc: it does not follow, or there is none | cut | refuse | refuse |
//! | displaced: the same, but it is a whole entry and not the next | refuse | refuse | refuse |
//! | unreadable: the crc follows, a column is not valid in version 2 | refuse | refuse | refuse |
//! | gap: the crc follows, the seq is not the next | refuse | refuse | refuse |
//! | refused: a balance does not follow | refuse | refuse | refuse |
//!
//! *Cut* is for damage that a power cut explains: lines that were written and never synced, on
//! which no answer rests. Zeros are pages of an unsynced tail that never reached the medium
//! although later pages did; a single zero is a flipped bit. A line whose crc follows was written
//! whole, so only a person may cut it: *refuse*. So is a whole entry in the wrong place: no power
//! cut removes a line from the middle of a file and closes the gap.
//!
//! [`super::verify`] reports as *torn* what a start cuts, with one exception: a tail that begins
//! with a line of the next seq (or of none) whose crc column does not follow. Such a tail is
//! *altered*, as anywhere else, or what the seqs in it show. A start cannot find out whether the
//! medium or a person changed the line, and the canteen waits; a person who runs `verify` wants to
//! know that a line was whole once. In both cases `*.torn` keeps what was cut.
//!
//! | header | of the newest segment | of an older one |
//! |---|---|---|
//! | whole | keep | keep |
//! | torn: unreadable, with no good line in it and nothing but zeros from byte 512 on | set aside | refuse |
//! | spoiled: unreadable, with more than that | refuse | refuse |
//! | other: of another ledger that did not branch off here, or not continuing the segment before | refuse | refuse |
//! | later: of another version, which this program does not read | refuse | refuse |
//!
//! The header is synced before the first entry is written. So a segment with a torn header never
//! held an entry: it is set aside (renamed to `*.torn`). If there is no other segment, a new ledger
//! begins.
//!
//! | snapshot | |
//! |---|---|
//! | none | replay from the first segment, which must begin with entry 1 |
//! | believed ([`super::snapshot`]) | replay the entries after it; older segments are not read, and may be missing |
//! | not believed, or the entries after it contradict it | the same as none, with a warning |

use core::fmt;
use std::io;

use crate::engine::limits::{LINE_LEN_MAX, MENDED_LEN, TAIL_LEN_MAX};
use crate::engine::model::{EntrySeq, Kind};
use crate::lang::tr;

use super::header::{HEADER_LEN, Header, HeaderError, Parent};
use super::identity::Verdict;
use super::line;
use super::segment::{self, Line, Lines, Segment};
use super::storage::{Files, Storage};
use super::{Head, State, snapshot};

/// What a line of a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineFound {
    /// A good line.
    Good,
    /// Not good, with the zeros of a page that never reached the medium.
    Zeros,
    /// The file ends before its LF.
    NoEnd,
    /// The crc does not follow from the line before, or there is none.
    BadCrc,
    /// As `BadCrc`, but its columns can be read, and the seq is not the next.
    Displaced,
    /// The crc follows; a column cannot be read.
    Unreadable,
    /// The crc follows; the seq is not the next.
    Gap,
    /// The crc follows; the book refuses the entry (a balance).
    Refused,
}

/// Where a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinePlace {
    /// In the last [`TAIL_LEN_MAX`] bytes of the newest segment, nothing good after it.
    End,
    /// In the last [`TAIL_LEN_MAX`] bytes of the newest segment, good lines after it.
    Inside,
    /// Before that, or in an older segment.
    Old,
}

/// What the first bytes of a segment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFound {
    /// A header that continues the segment before.
    Whole,
    /// Unreadable, with no good line in it and nothing but zeros from byte 512 on.
    Torn,
    /// Unreadable, with more than that.
    Spoiled,
    /// Of another ledger, and no branch that began here; or not continuing the segment before.
    Other,
    /// Of a version that this program does not read.
    Later,
}

/// Which segment a header belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderPlace {
    /// The last one.
    Newest,
    /// Any other.
    Older,
}

/// What a start does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Go on with the next line.
    Keep,
    /// The entries end before this line: copy what follows to `*.torn` and cut it off.
    Cut,
    /// Rename the segment to `*.torn`.
    SetAside,
    /// Do not serve: a person must decide.
    Refuse,
}

/// The module's first table, row by row.
pub(crate) const LINES: &[(LineFound, LinePlace, Action)] = &[
    (LineFound::Good, LinePlace::End, Action::Keep),
    (LineFound::Good, LinePlace::Inside, Action::Keep),
    (LineFound::Good, LinePlace::Old, Action::Keep),
    (LineFound::Zeros, LinePlace::End, Action::Cut),
    (LineFound::Zeros, LinePlace::Inside, Action::Cut),
    (LineFound::Zeros, LinePlace::Old, Action::Refuse),
    (LineFound::NoEnd, LinePlace::End, Action::Cut),
    (LineFound::NoEnd, LinePlace::Inside, Action::Refuse),
    (LineFound::NoEnd, LinePlace::Old, Action::Refuse),
    (LineFound::BadCrc, LinePlace::End, Action::Cut),
    (LineFound::BadCrc, LinePlace::Inside, Action::Refuse),
    (LineFound::BadCrc, LinePlace::Old, Action::Refuse),
    (LineFound::Displaced, LinePlace::End, Action::Refuse),
    (LineFound::Displaced, LinePlace::Inside, Action::Refuse),
    (LineFound::Displaced, LinePlace::Old, Action::Refuse),
    (LineFound::Unreadable, LinePlace::End, Action::Refuse),
    (LineFound::Unreadable, LinePlace::Inside, Action::Refuse),
    (LineFound::Unreadable, LinePlace::Old, Action::Refuse),
    (LineFound::Gap, LinePlace::End, Action::Refuse),
    (LineFound::Gap, LinePlace::Inside, Action::Refuse),
    (LineFound::Gap, LinePlace::Old, Action::Refuse),
    (LineFound::Refused, LinePlace::End, Action::Refuse),
    (LineFound::Refused, LinePlace::Inside, Action::Refuse),
    (LineFound::Refused, LinePlace::Old, Action::Refuse),
];

/// The module's second table, row by row.
pub(crate) const HEADERS: &[(HeaderFound, HeaderPlace, Action)] = &[
    (HeaderFound::Whole, HeaderPlace::Newest, Action::Keep),
    (HeaderFound::Whole, HeaderPlace::Older, Action::Keep),
    (HeaderFound::Torn, HeaderPlace::Newest, Action::SetAside),
    (HeaderFound::Torn, HeaderPlace::Older, Action::Refuse),
    (HeaderFound::Spoiled, HeaderPlace::Newest, Action::Refuse),
    (HeaderFound::Spoiled, HeaderPlace::Older, Action::Refuse),
    (HeaderFound::Other, HeaderPlace::Newest, Action::Refuse),
    (HeaderFound::Other, HeaderPlace::Older, Action::Refuse),
    (HeaderFound::Later, HeaderPlace::Newest, Action::Refuse),
    (HeaderFound::Later, HeaderPlace::Older, Action::Refuse),
];

fn decide<Found: PartialEq + Copy, Place: PartialEq + Copy>(
    table: &[(Found, Place, Action)],
    found: Found,
    place: Place,
) -> Action {
    let row = table.iter().find(|row| row.0 == found && row.1 == place);
    row.expect("the table has a row for every combination").2
}

/// Why an entry contradicts the entries before it: a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

/// Why a ledger cannot be served.
#[derive(Debug)]
pub enum OpenError {
    /// A file could not be read or written. The message names path and operation.
    Io(io::Error),
    /// The directory holds no ledger, or not the one that this machine serves: a person must
    /// decide.
    NotOurs(Verdict),
    /// The ledger is damaged: a person must decide.
    Damaged {
        /// The segment's path.
        file: String,
        /// The line's number from 1; line 1 is the header.
        line: u64,
        /// What is wrong with the line.
        case: String,
        /// What to do.
        remedy: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::NotOurs(_) => f.write_str(&tr!("this machine serves another ledger", "本机用的是另一个账本")),
            Self::Damaged { file, line, case, remedy } => f.write_str(&tr!(
                "{file}:{line}: damaged ledger: {case}; {remedy}",
                "{file}:{line}: 账本损坏：{case}；{remedy}"
            )),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What [`replay`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// The ledger's number, that of the newest branch; `None` if there is no segment yet.
    pub ledger: Option<u64>,
    /// What it branched off, if it did.
    pub parent: Option<Parent>,
    /// The segment to go on with; `None` if there is none yet.
    pub newest: Option<String>,
    /// Good entries that were applied to the state.
    pub entries: u64,
    /// The entry of the snapshot, if it was believed.
    pub snapshot: Option<EntrySeq>,
    /// Why the snapshot was not believed: a sentence for the operator.
    pub disbelief: Option<String>,
    /// The last good entry.
    pub head: Head,
    /// Whether the last good entry is a `stop`.
    pub ends_with_stop: bool,
    /// The end of the newest segment that must be cut off.
    pub tail: Option<TornTail>,
    /// A newer segment with a torn header, which must be set aside.
    pub torn_header: Option<String>,
}

impl Replayed {
    /// Whether the server stopped in order, and the files need no mending.
    pub fn is_clean(&self) -> bool {
        self.ends_with_stop && self.tail.is_none() && self.torn_header.is_none()
    }
}

/// The damaged end of the newest segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The first line that is not good.
    pub line: u64,
    /// The offset of that line.
    pub offset: u64,
    /// Bytes from there to the end: at most [`TAIL_LEN_MAX`].
    pub len: u64,
    /// Whether that line has an LF and a crc column: then it may be altered instead of torn.
    pub is_whole: bool,
}

/// Restores `state` from the snapshot, if it is believed, and applies every good entry after it, in
/// order; else every good entry. Returns what a start must mend. It changes no file.
///
/// # Errors
/// If a file cannot be read, or the ledger is damaged beyond what a power cut explains.
pub fn replay(files: &dyn Files, state: &mut dyn State) -> Result<Replayed, OpenError> {
    let segments = segment::list(files)?;
    let path = files.path(snapshot::NAME);
    let disbelieve = |why: &str| {
        tr!(
            "{path} is not believed: {why}; the ledger is replayed from its first entry",
            "{path} 不采信：{why}；从第一条流水起重放"
        )
    };
    let (base, disbelief) = match snapshot::restore(files, &segments, state)? {
        Ok(base) => (base, None),
        Err(why) => (None, Some(disbelieve(&why.to_string()))),
    };
    let is_believed = base.is_some();
    match replay_after(files, segments.clone(), base.as_ref(), disbelief, state) {
        Err(error @ OpenError::Damaged { .. }) if is_believed => {
            state.rewind();
            // If a replay from the first entry fails too, the first error counts: segments before
            // the snapshot may be archived.
            let disbelief = Some(disbelieve(tr("the entries after it contradict it", "它后面的流水与它写的接不上")));
            replay_after(files, segments, None, disbelief, state).map_err(|_| error)
        }
        replayed => replayed,
    }
}

/// Replays the entries after the snapshot that was restored into `state`, or from the first one.
fn replay_after(
    files: &dyn Files,
    mut segments: Vec<Segment>,
    base: Option<&snapshot::Base>,
    disbelief: Option<String>,
    state: &mut dyn State,
) -> Result<Replayed, OpenError> {
    let mut replayed = Replayed { disbelief, ..Replayed::default() };
    if let Some(base) = base {
        segments.retain(|segment| *segment >= base.segment);
        replayed.snapshot = Some(base.title.head.seq);
        replayed.ledger = Some(base.ledger);
        replayed.head = base.title.head;
    }
    let mut count = segments.len();
    for (index, segment) in segments.iter().enumerate() {
        let is_newest = index + 1 == count;
        let place = if is_newest { HeaderPlace::Newest } else { HeaderPlace::Older };
        if let Some(base) = base.filter(|base| base.segment == *segment) {
            // The lines before were checked when the snapshot was believed.
            (replayed.ledger, replayed.parent) = (Some(base.ledger), base.parent);
            replay_lines(files, segment, is_newest, (base.offset, base.line), &mut replayed, state)?;
            continue;
        }
        let (found, case) = judge_header(files, segment, &mut replayed)?;
        match decide(HEADERS, found, place) {
            Action::Keep => replay_lines(files, segment, is_newest, (HEADER_LEN as u64, 2), &mut replayed, state)?,
            // If segments before it are missing, their entries are lost, and it is not set aside.
            Action::SetAside if segment.first == replayed.head.seq.next() => {
                replayed.torn_header = Some(segment.name.clone());
                count -= 1;
            }
            Action::SetAside | Action::Cut | Action::Refuse if found == HeaderFound::Later => {
                let remedy = tr!(
                    "serve it with the program that wrote it; or keep it and begin a new ledger: move {} away, and write what each account \
                     holds into the card table",
                    "请用写它的程序；或者保留它，另建账本：把 {} 移走，再把每个账户现有的数写进卡表",
                    files.path("")
                );
                return Err(OpenError::Damaged { file: files.path(&segment.name), line: 1, case, remedy });
            }
            Action::SetAside | Action::Cut | Action::Refuse if replayed.head.seq.next() < segments[0].first => {
                return Err(archived(files, &segments[0], &replayed, &case));
            }
            Action::SetAside | Action::Cut | Action::Refuse => {
                return Err(damaged(files, &segment.name, 1, &replayed, &case));
            }
        }
    }
    segments.truncate(count);
    replayed.newest = segments.pop().map(|segment| segment.name);
    Ok(replayed)
}

/// Carries out what the replay found necessary, and makes durable what it read: after an unclean
/// stop the last bytes are written again in place, because the page cache may show bytes that never
/// reached the medium (design.md, section 1). Returns sentences for the log.
///
/// # Errors
/// If a file cannot be written or synced. Another start is safe. Going on is not if the sync of the
/// ledger itself failed, so the kind of that error is never that of a full disk.
pub fn mend<S: Storage>(storage: &mut S, replayed: &Replayed) -> io::Result<Vec<String>> {
    let mut warnings = Vec::new();
    if let Some(name) = &replayed.torn_header {
        let kept = free_name(storage, name, "torn")?;
        storage.rename(name, &kept)?;
        storage.sync_dir()?;
        warnings.push(format!("{} had no whole header and no entry: it is now {kept}", storage.path(name)));
    }
    let Some(newest) = &replayed.newest else { return Ok(warnings) };
    if let Some(tail) = &replayed.tail {
        let kept = free_name(storage, newest, "torn")?;
        let bytes = read_at_most(storage, newest, tail.offset, TAIL_LEN_MAX)?;
        if let Err(error) = storage.create(&kept, &bytes).and_then(|()| storage.sync(&kept)) {
            // A partial copy is of no use, and may be what fills the disk.
            let _left = storage.remove(&kept);
            return Err(error);
        }
        storage.sync_dir()?;
        storage.truncate(newest, tail.offset)?;
        sync_or_end(storage, newest)?;
        let (place, kept) = (format!("{}:{}", storage.path(newest), tail.line), storage.path(&kept));
        warnings.push(if tail.is_whole {
            format!(
                "{place}: a whole line whose crc does not follow, {} bytes to the end, was cut off and is now in {kept}: read it with \
                 `cat {kept}`; if it was changed after it was written, put back what is missing with `posgate ctl adjust`",
                tail.len
            )
        } else {
            format!(
                "{place}: the power failed during this write: {} bytes, on which no answer rests, were cut off and are now in {kept}",
                tail.len
            )
        });
    }
    // Everything before a `stop` is durable, but the sync of the `stop` itself may have failed.
    write_again(storage, newest, if replayed.is_clean() { LINE_LEN_MAX } else { TAIL_LEN_MAX }, sync_or_end)?;
    storage.sync_dir()?;
    Ok(warnings)
}

/// Writes the last `len` bytes of a segment again in place, unchanged, in pieces of [`MENDED_LEN`]
/// from the front; `sync` makes each durable before the next one. A crash in between leaves what a
/// crash before it leaves.
///
/// # Errors
/// If they cannot be read or written, or those of `sync`.
pub(super) fn write_again<S: Storage>(
    storage: &mut S,
    segment: &str,
    len: usize,
    sync: impl Fn(&mut S, &str) -> io::Result<()>,
) -> io::Result<()> {
    let end = storage.len(segment)?;
    let mut offset = end.saturating_sub(len as u64);
    while offset < end {
        let bytes = read_at_most(storage, segment, offset, MENDED_LEN)?;
        storage.write_at(segment, offset, &bytes)?;
        sync(storage, segment)?;
        offset += bytes.len().max(1) as u64;
    }
    Ok(())
}

/// A failed sync of the ledger ends the process, even if the disk is full: the page cache may now
/// count lost pages as clean, so another sync would succeed, and answers would rest on entries that
/// are not on the medium.
fn sync_or_end<S: Storage>(storage: &mut S, newest: &str) -> io::Result<()> {
    storage.sync(newest).map_err(|error| io::Error::other(error.to_string()))
}

/// What the header is, with a sentence if it is not whole. `replayed` takes ledger and parent of a
/// whole one.
fn judge_header(
    files: &dyn Files,
    segment: &Segment,
    replayed: &mut Replayed,
) -> Result<(HeaderFound, String), OpenError> {
    let header = match segment::read_header(files, &segment.name)? {
        Ok(header) => header,
        Err(error @ HeaderError::Version(_)) => return Ok((HeaderFound::Later, error.to_string())),
        Err(error @ HeaderError::Unreadable(_)) => {
            let is_torn = holds_no_entry(files, &segment.name, replayed.head.crc)?;
            let found = if is_torn { HeaderFound::Torn } else { HeaderFound::Spoiled };
            return Ok((found, error.to_string()));
        }
    };
    if let Some(case) = contradiction(&header, segment, replayed.ledger, replayed.head) {
        return Ok((HeaderFound::Other, case));
    }
    (replayed.ledger, replayed.parent) = (Some(header.ledger), header.parent);
    Ok((HeaderFound::Whole, String::new()))
}

/// Why a readable header cannot follow the entry `head` of `ledger`: a sentence.
pub(super) fn contradiction(header: &Header, segment: &Segment, ledger: Option<u64>, head: Head) -> Option<String> {
    if header.first != segment.first {
        return Some(tr!(
            "the header says first={}, the file's name {}",
            "文件头写的是 first={}，文件名是 {}",
            header.first,
            segment.first
        ));
    }
    let is_related = |ledger| ledger == header.ledger || header.parent.is_some_and(|parent| parent.ledger == ledger);
    if ledger.is_some_and(|ledger| !is_related(ledger)) {
        return Some(tr!(
            "the header says ledger={:016x}: it belongs to another ledger",
            "文件头写的是 ledger={:016x}：属于另一个账本",
            header.ledger
        ));
    }
    let (next, chain) = (head.seq.next(), head.crc);
    if header.first > next {
        let last = EntrySeq(header.first.0 - 1);
        return Some(tr!(
            "entries {next} to {last} are missing: is a segment before this one gone?",
            "缺流水 {next} 到 {last}：是不是少了前面的文件？"
        ));
    }
    if header.first < next {
        return Some(tr!(
            "the header says first={}, but the segment before ends with {}",
            "文件头写的是 first={}，而前一个文件以 {} 结尾",
            header.first,
            head.seq
        ));
    }
    if header.chain != chain {
        return Some(tr!(
            "the header says chain={:08x}, but the entry before has the crc {chain:08x}",
            "文件头写的是 chain={:08x}，而前一条的 crc 是 {chain:08x}",
            header.chain
        ));
    }
    let parent = header.parent.filter(|_| ledger.is_some_and(|ledger| !header.continues(ledger)))?;
    Some(tr!(
        "the header says parent={parent}: that branch did not begin here",
        "文件头写的是 parent={parent}：那个分支不是从这里开始的"
    ))
}

/// Whether a segment with an unreadable header never held an entry: an entry would follow from
/// `chain`, the crc before the segment.
fn holds_no_entry(files: &dyn Files, name: &str, chain: u32) -> io::Result<bool> {
    let mut rest = vec![0; TAIL_LEN_MAX + 1];
    let len = files.read_at(name, HEADER_LEN as u64, &mut rest)?;
    if len > TAIL_LEN_MAX || rest[..len].iter().any(|byte| *byte != 0) {
        return Ok(false);
    }
    let mut lines = Lines::starting_at(files, name, 0, 1, Some(chain));
    Ok(!has_good_after(chain, &mut lines)?)
}

fn replay_lines(
    files: &dyn Files,
    segment: &Segment,
    is_newest: bool,
    (offset, line): (u64, u64),
    replayed: &mut Replayed,
    state: &mut dyn State,
) -> Result<(), OpenError> {
    let len = files.len(&segment.name)?;
    let mut lines = Lines::starting_at(files, &segment.name, offset, line, Some(replayed.head.crc));
    let mut reader = line::LineReader::default();
    while let Some(line) = lines.read()? {
        let (found, case) = match judge_line(&line, replayed.head, &mut reader, state) {
            Ok((kind, head)) => {
                replayed.head = head;
                replayed.entries += 1;
                replayed.ends_with_stop = kind == Kind::Stop;
                continue;
            }
            Err(verdict) => verdict,
        };
        let (number, offset) = (line.number, line.offset);
        let is_whole = found == LineFound::BadCrc && line::crc_column(line.text).is_some();
        let is_old = !is_newest || len.saturating_sub(offset) > TAIL_LEN_MAX as u64;
        let place = match is_old {
            true => LinePlace::Old,
            false if has_good_after(replayed.head.crc, &mut lines)? => LinePlace::Inside,
            false => LinePlace::End,
        };
        match decide(LINES, found, place) {
            Action::Cut => {
                replayed.tail = Some(TornTail { line: number, offset, len: len - offset, is_whole });
                return Ok(());
            }
            Action::Keep | Action::SetAside | Action::Refuse => {
                let whence = match place {
                    LinePlace::End => "",
                    LinePlace::Inside => tr(", and good lines come after it", "，而它后面还有好的行"),
                    LinePlace::Old => tr(
                        ", and it is too far from the ledger's end to be a torn tail",
                        "，而它离账本末尾太远，不是残缺的末尾",
                    ),
                };
                return Err(damaged(files, &segment.name, number, replayed, &format!("{case}{whence}")));
            }
        }
    }
    Ok(())
}

/// Applies the entry of a good line, and returns its kind and the new head. For any other line it
/// returns what the line is, with a sentence.
fn judge_line(
    line: &Line,
    head: Head,
    reader: &mut line::LineReader,
    state: &mut dyn State,
) -> Result<(Kind, Head), (LineFound, String)> {
    let next = head.seq.next();
    if !line.is_chained() {
        let bad = tr("the crc does not follow from the line before", "crc 与前一行接不上");
        return Err(match line.ended {
            _ if line.has_zeros() => {
                (LineFound::Zeros, tr("zero bytes in place of a line", "该有一行的地方是零字节").to_owned())
            }
            false => (LineFound::NoEnd, tr("the file ends in the middle of a line", "文件在一行中间断了").to_owned()),
            true => match line::parse(line.text) {
                Ok(parsed) if parsed.entry.seq != next => {
                    let seq = parsed.entry.seq;
                    (
                        LineFound::Displaced,
                        tr!("{bad}: entry {seq} in place of {next}", "{bad}：流水 {seq} 占了 {next} 的位置"),
                    )
                }
                Ok(_) | Err(_) => (LineFound::BadCrc, bad.to_owned()),
            },
        });
    }
    let crc = reader.read(line.text).map_err(|error| (LineFound::Unreadable, error.to_string()))?;
    let entry = &reader.entry;
    if entry.seq != next {
        return Err((LineFound::Gap, tr!("entry {} in place of {next}", "流水 {} 占了 {next} 的位置", entry.seq)));
    }
    state.apply(entry).map_err(|Refusal(sentence)| (LineFound::Refused, sentence))?;
    Ok((entry.kind, Head { seq: next, crc }))
}

/// Whether a good line comes after the bad line that was read last. A line that follows from the
/// last good line (`head`) counts too: then bytes were inserted between the two.
fn has_good_after(head: u32, lines: &mut Lines<'_>) -> io::Result<bool> {
    while let Some(line) = lines.read()? {
        if line.is_chained() || line.follows(head) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The oldest segments are missing, and no valid snapshot covers them.
fn archived(files: &dyn Files, first: &Segment, replayed: &Replayed, case: &str) -> OpenError {
    let last = EntrySeq(first.first.0 - 1);
    OpenError::Damaged {
        file: files.path(&first.name),
        line: 1,
        case: with_disbelief(replayed, case),
        remedy: tr!(
            "without {} a start needs every entry: bring that file back from a copy, or the segments of entries 1 to {last} from where \
             `posgate ledger archive` took them: `cp ARCHIVE/ledger-*.tsv {}`",
            "没有 {}，启动就要全部流水：请从副本取回它，或者从 `posgate ledger archive` 移去的地方取回流水 1 到 {last} 的文件：`cp ARCHIVE/ledger-*.tsv {}`",
            files.path(snapshot::NAME),
            files.path("")
        ),
    }
}

fn with_disbelief(replayed: &Replayed, case: &str) -> String {
    let disbelief = replayed.disbelief.as_ref().map_or(String::new(), |why| tr!(" ({why})", "（{why}）"));
    format!("{case}{disbelief}")
}

fn damaged(files: &dyn Files, name: &str, line: u64, replayed: &Replayed, case: &str) -> OpenError {
    let next = replayed.head.seq.next();
    OpenError::Damaged {
        file: files.path(name),
        line,
        case: with_disbelief(replayed, case),
        remedy: tr!(
            "entries before {next} are whole: bring back the file from a copy, or keep only these entries with \
             `posgate ledger repair --cut {next}` (stop the server first; it copies before it cuts)",
            "流水 {next} 以前的完好：请从副本取回这个文件，或者用 `posgate ledger repair --cut {next}` 只保留它们（先停下服务；它先复制再截）"
        ),
    }
}

/// `<name>.<suffix>`, or a numbered name: no file is overwritten.
pub(super) fn free_name(files: &dyn Files, name: &str, suffix: &str) -> io::Result<String> {
    let taken = files.list()?;
    let numbered = (2..).map(|number: u32| format!("{name}.{number}.{suffix}"));
    let names = core::iter::once(format!("{name}.{suffix}")).chain(numbered);
    Ok(names.into_iter().find(|name| !taken.contains(name)).expect("a directory does not hold 2^32 files"))
}

/// Reads from `offset` to the end of the file, at most `len_max` bytes.
fn read_at_most(files: &dyn Files, name: &str, offset: u64, len_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len_max];
    let len = files.read_at(name, offset, &mut bytes)?;
    bytes.truncate(len);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::segment::name_of;
    use super::super::storage::MemoryStorage;
    use super::super::testing::{self, FIRST, Line as Spec};
    use super::super::verify::verify;
    use super::*;
    use proptest::prelude::*;

    const FOUND: [LineFound; 8] = [
        LineFound::Good,
        LineFound::Zeros,
        LineFound::NoEnd,
        LineFound::BadCrc,
        LineFound::Displaced,
        LineFound::Unreadable,
        LineFound::Gap,
        LineFound::Refused,
    ];
    const PLACES: [LinePlace; 3] = [LinePlace::End, LinePlace::Inside, LinePlace::Old];
    const HEADERS_FOUND: [HeaderFound; 5] =
        [HeaderFound::Whole, HeaderFound::Torn, HeaderFound::Spoiled, HeaderFound::Other, HeaderFound::Later];
    const HEADER_PLACES: [HeaderPlace; 2] = [HeaderPlace::Newest, HeaderPlace::Older];

    /// So many good lines fill more than [`TAIL_LEN_MAX`] bytes.
    const LONG: usize = 1400;

    fn spoil(found: LineFound) -> Spec {
        match found {
            LineFound::Good => Spec::Good,
            LineFound::Zeros => Spec::Zeros,
            LineFound::NoEnd => Spec::NoEnd,
            LineFound::BadCrc => Spec::BadCrc,
            LineFound::Displaced => Spec::Displaced,
            LineFound::Unreadable => Spec::Unreadable,
            LineFound::Gap => Spec::Gap,
            LineFound::Refused => Spec::Refused,
        }
    }

    /// Changes the first digit of `chain=`.
    fn change_chain(file: &mut [u8]) {
        let at = file.windows(6).position(|window| window == b"chain=").unwrap() + 6;
        file[at] = if file[at] == b'0' { b'1' } else { b'0' };
    }

    #[test]
    fn a_bad_last_line_of_an_older_segment_is_damage_and_never_cut() {
        for spec in [Spec::BadCrc, Spec::NoEnd, Spec::Zeros, Spec::Displaced, Spec::Unreadable, Spec::Gap] {
            let mut storage = testing::ledger_of(&[Spec::Good, Spec::Good, spec]);
            testing::add_segment(&mut storage, &[Spec::Good; 3], &[Spec::Good]);
            let before = storage.files.clone();
            match testing::open(&mut storage) {
                Err(OpenError::Damaged { file, line, remedy, .. }) => {
                    let is_line = file.ends_with(testing::FIRST) && line == 4;
                    // A whole line that is the wrong one is found at the next header, which does
                    // not follow from it.
                    assert!(is_line || matches!(spec, Spec::Displaced | Spec::Gap), "{spec:?} {file}:{line}");
                    assert!(remedy.contains("--cut "), "{spec:?}: {remedy}");
                }
                other => panic!("{spec:?}: {other:?}"),
            }
            assert_eq!(storage.files, before, "{spec:?}: nothing was cut");
            let names: Vec<String> = segment::list(&storage).unwrap().into_iter().map(|segment| segment.name).collect();
            let report = super::super::verify::verify(&storage, &names, true, &mut || ()).unwrap();
            assert!(report.exit_code() > 1, "{spec:?}: {report}");
        }
        // The line is missing: the next header shows it.
        let mut storage = testing::ledger_of(&[Spec::Good, Spec::Good]);
        testing::add_segment(&mut storage, &[Spec::Good; 3], &[Spec::Good]);
        let before = storage.files.clone();
        assert!(matches!(testing::open(&mut storage), Err(OpenError::Damaged { line: 1, .. })));
        assert_eq!(storage.files, before);
    }

    #[test]
    fn the_tables_have_one_row_for_every_combination() {
        for found in FOUND {
            for place in PLACES {
                assert_eq!(
                    LINES.iter().filter(|row| (row.0, row.1) == (found, place)).count(),
                    1,
                    "{found:?} {place:?}"
                );
            }
        }
        assert_eq!(LINES.len(), FOUND.len() * PLACES.len());
        for found in HEADERS_FOUND {
            for place in HEADER_PLACES {
                assert_eq!(HEADERS.iter().filter(|row| (row.0, row.1) == (found, place)).count(), 1);
            }
        }
        assert_eq!(HEADERS.len(), HEADERS_FOUND.len() * HEADER_PLACES.len());
    }

    /// The line under test is the fourth entry. Every possible combination is tried in every
    /// possible place.
    #[test]
    fn every_kind_of_line_in_every_place_follows_the_table() {
        let mut walked = 0;
        for (found, place, action) in LINES {
            let ways: &[(usize, bool)] = match (found, place) {
                (LineFound::NoEnd, LinePlace::Inside) => &[],
                (_, LinePlace::End) => &[(0, false)],
                (_, LinePlace::Inside) => &[(1, false), (5, false)],
                (LineFound::NoEnd, LinePlace::Old) => &[(0, true)],
                (_, LinePlace::Old) => &[(LONG, false), (0, true), (2, true)],
            };
            for (after, has_newer_segment) in ways {
                let mut specs = vec![Spec::Good, Spec::Good, Spec::Good, spoil(*found)];
                specs.extend(vec![Spec::Good; *after]);
                let mut storage = testing::ledger_of(&specs);
                let before = storage.files[FIRST].clone();
                if *has_newer_segment {
                    testing::add_segment(&mut storage, &specs, &[Spec::Good; 2]);
                }
                let context = format!("{found:?} {place:?} {action:?} {after} {has_newer_segment}");
                let segments = segment::list(&storage).unwrap();
                let names: Vec<String> = segments.into_iter().map(|segment| segment.name).collect();
                let verified = verify(&storage, &names, true, &mut || ()).unwrap();
                // `verify` does not see everything that a book refuses: here it is a note.
                if *found != LineFound::Refused {
                    let codes = match (action, found) {
                        (Action::Keep, _) => 0..=0,
                        (Action::Cut, LineFound::BadCrc) => 2..=2,
                        (Action::Cut, _) => 1..=1,
                        (Action::Refuse | Action::SetAside, _) => 2..=5,
                    };
                    assert!(codes.contains(&verified.exit_code()), "{context}: {verified}");
                }
                let opened = testing::open(&mut storage);
                let offset = testing::offset_of(&before, 4);
                match action {
                    Action::Keep => {
                        let newer = if *has_newer_segment { 2 } else { 0 };
                        assert_eq!(opened.unwrap().0.entries, 4 + *after as u64 + newer, "{context}");
                        assert_eq!(storage.files[FIRST], before);
                    }
                    Action::Cut => {
                        let (opened, entries) = opened.unwrap();
                        assert_eq!((opened.entries, entries.len()), (3, 3), "{context}");
                        assert!(!opened.clean);
                        assert_eq!(opened.cut.unwrap().line, 5, "{context}");
                        assert_eq!(storage.files[FIRST], before[..offset], "{context}");
                        assert_eq!(storage.files[&format!("{FIRST}.torn")], before[offset..], "{context}");
                    }
                    Action::Refuse => {
                        let error = opened.unwrap_err();
                        let OpenError::Damaged { file, line, .. } = &error else { panic!("{context}: {error}") };
                        assert_eq!((file.as_str(), *line), (FIRST, 5), "{context}: {error}");
                        assert!(error.to_string().contains("posgate ledger repair --cut 4"), "{error}");
                        assert_eq!(storage.files[FIRST], before, "{context}: nothing is touched");
                        assert!(storage.done.is_empty(), "{context}: {:?}", storage.done);
                    }
                    Action::SetAside => unreachable!("no line is set aside"),
                }
                walked += 1;
            }
        }
        assert_eq!(walked, 8 + 7 * 2 + 7 * 3 + 1);
    }

    #[test]
    fn every_kind_of_header_in_every_place_follows_the_table() {
        for (found, place, action) in HEADERS {
            // Two segments: the header under test is the second's, or the first's.
            for way in 0..4 {
                let specs = [Spec::Good; 3];
                let mut storage = testing::ledger_of(&specs);
                let lines: &[Spec] =
                    if *found == HeaderFound::Torn && *place == HeaderPlace::Newest { &[] } else { &specs };
                let second = testing::add_segment(&mut storage, &specs, lines);
                let name = if *place == HeaderPlace::Newest { second.clone() } else { FIRST.to_owned() };
                if *found == HeaderFound::Torn {
                    storage.files.get_mut(&name).unwrap().truncate(HEADER_LEN);
                }
                let file = storage.files.get_mut(&name).unwrap();
                // Inserts a character after a word and removes a blank, so that the length stays.
                let insert = |file: &mut Vec<u8>, word: &str, character: u8| {
                    let at = file.windows(word.len()).position(|window| window == word.as_bytes()).unwrap();
                    file.insert(at + word.len(), character);
                    file.remove(HEADER_LEN - 1);
                };
                match (found, way) {
                    (HeaderFound::Whole, _) => (),
                    (HeaderFound::Torn, 0) => file.clear(),
                    (HeaderFound::Torn, 1) => file.truncate(HEADER_LEN - 1),
                    (HeaderFound::Torn, 2) => file[100..].fill(0),
                    (HeaderFound::Torn, _) => *file = vec![0; 4096],
                    (HeaderFound::Spoiled, 0) => file[0] = b'!',
                    (HeaderFound::Spoiled, 1) => file[..HEADER_LEN].fill(0),
                    (HeaderFound::Spoiled, 2) => drop(file.drain(..HEADER_LEN)),
                    (HeaderFound::Spoiled, _) => file[HEADER_LEN - 1] = b' ',
                    (HeaderFound::Other, 0 | 1) => insert(file, "first=", b'9'),
                    (HeaderFound::Other, _) => change_chain(file),
                    (HeaderFound::Later, _) => insert(file, "version=", b'2'),
                }
                let context = format!("{found:?} {place:?} {way}");
                let before = storage.files.clone();
                let opened = testing::open(&mut storage);
                match action {
                    Action::Keep => assert_eq!(opened.unwrap().0.entries, 6, "{context}"),
                    Action::SetAside => {
                        assert_eq!(opened.unwrap().0.entries, 3, "{context}");
                        assert!(!storage.files.contains_key(&name), "{context}");
                        assert_eq!(storage.files[&format!("{name}.torn")], before[&name], "{context}");
                    }
                    Action::Refuse => {
                        let error = opened.unwrap_err();
                        let OpenError::Damaged { file, line, .. } = &error else { panic!("{context}: {error}") };
                        assert_eq!((file, *line), (&name, 1), "{context}: {error}");
                        assert_eq!(storage.files, before, "{context}");
                        assert_eq!(error.to_string().contains("repair"), *found != HeaderFound::Later, "{error}");
                    }
                    Action::Cut => unreachable!("no header is cut"),
                }
            }
        }
    }

    #[test]
    fn a_single_segment_with_a_torn_header_is_replaced_by_a_new_ledger() {
        let mut storage = MemoryStorage::default();
        storage.files.insert(FIRST.to_owned(), b"#posgate-led".to_vec());
        let (opened, _) = testing::open(&mut storage).unwrap();
        assert!(opened.created);
        assert_eq!(storage.files[&format!("{FIRST}.torn")], b"#posgate-led");
        assert!(!testing::open(&mut storage).unwrap().0.created);
        // But not if the segments before it are missing.
        let mut storage = MemoryStorage::default();
        storage.files.insert(name_of(EntrySeq(9)), Vec::new());
        assert!(matches!(testing::open(&mut storage), Err(OpenError::Damaged { .. })));
    }

    #[test]
    fn missing_segments_are_named() {
        let specs = [Spec::Good; 3];
        let mut storage = testing::ledger_of(&specs);
        testing::add_segment(&mut storage, &specs, &specs);
        storage.files.remove(FIRST);
        let error = testing::open(&mut storage).unwrap_err().to_string();
        assert!(error.contains("entries 1 to 3 are missing"), "{error}");
    }

    #[test]
    fn a_ledger_cut_at_any_byte_opens_with_the_entries_of_its_whole_lines() {
        let whole = testing::ledger_of(&[Spec::Good; 6]).files[FIRST].clone();
        for len in 0..=whole.len() {
            let mut storage = MemoryStorage::default();
            storage.files.insert(FIRST.to_owned(), whole[..len].to_vec());
            let lines = whole[..len].split(|byte| *byte == b'\n').count().saturating_sub(2);
            let (opened, entries) = testing::open(&mut storage).unwrap();
            assert_eq!((opened.entries, entries.len()), (lines as u64, lines), "cut to {len} bytes");
            // What was cut is kept, and the next start has nothing to mend.
            let kept = storage.files.get(&format!("{FIRST}.torn")).cloned().unwrap_or_default();
            if len >= HEADER_LEN {
                assert_eq!([&storage.files[FIRST][..], &kept].concat(), whole[..len]);
            }
            let (again, same) = testing::open(&mut storage).unwrap();
            assert_eq!((again.cut, again.head, same), (None, opened.head, entries));
        }
    }

    #[test]
    fn zeros_at_the_end_are_cut_whatever_their_number() {
        let whole = testing::ledger_of(&[Spec::Good; 6]).files[FIRST].clone();
        for keep in [whole.len(), whole.len() - 30] {
            for zeros in 1..=8192 {
                let mut storage = MemoryStorage::default();
                storage.files.insert(FIRST.to_owned(), [&whole[..keep], &vec![0; zeros]].concat());
                let (opened, _) = testing::open(&mut storage).unwrap();
                assert_eq!(opened.entries, if keep == whole.len() { 6 } else { 5 }, "{zeros} zeros");
            }
        }
    }

    /// Found by the simulation: a bit that makes a zero of a space looked like a page that was
    /// never written, and all entries after it were cut.
    #[test]
    fn a_flipped_bit_in_a_line_never_cuts_the_good_lines_after_it() {
        let whole = testing::ledger_of(&[Spec::Good; 6]).files[FIRST].clone();
        let (start, end) = (testing::offset_of(&whole, 2), testing::offset_of(&whole, 3));
        for bit in 8 * start..8 * end {
            let mut storage = MemoryStorage::default();
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            storage.files.insert(FIRST.to_owned(), bytes);
            let opened = testing::open(&mut storage);
            assert!(matches!(opened, Err(OpenError::Damaged { .. })), "bit {bit}: {opened:?}");
        }
        // A line of the test ledger has no space, a detail may have one.
        let mut storage = MemoryStorage::default();
        let mut bytes = whole;
        bytes[start + 30] = 0;
        storage.files.insert(FIRST.to_owned(), bytes);
        assert!(testing::open(&mut storage).is_err(), "a zero alone");
    }

    #[test]
    fn a_tail_that_was_kept_earlier_is_never_overwritten() {
        let mut storage = testing::ledger_of(&[Spec::Good; 2]);
        for round in 0..3_u8 {
            storage.files.get_mut(FIRST).unwrap().push(b'a' + round);
            testing::open(&mut storage).unwrap();
        }
        for (name, bytes) in [("torn", b"a"), ("2.torn", b"b"), ("3.torn", b"c")] {
            assert_eq!(&storage.files[&format!("{FIRST}.{name}")], bytes);
        }
    }

    #[test]
    fn the_cut_part_is_durable_before_it_is_cut() {
        let mut storage = testing::ledger_of(&[Spec::Good; 2]);
        let len = storage.files[FIRST].len();
        storage.files.get_mut(FIRST).unwrap().push(b'x');
        testing::open(&mut storage).unwrap();
        let torn = format!("{FIRST}.torn");
        assert_eq!(
            storage.done,
            [
                format!("create {torn}"),
                format!("sync {torn}"),
                "sync directory".to_owned(),
                format!("truncate {FIRST}"),
                format!("sync {FIRST}"),
                format!("write 0+{len} {FIRST}"),
                format!("sync {FIRST}"),
                "sync directory".to_owned(),
                "point ledger.tsv".to_owned(),
                "sync directory".to_owned(),
                format!("sync {FIRST}"),
            ]
        );
    }

    #[test]
    fn the_tail_is_written_again_and_only_its_end_after_a_clean_stop() {
        let mut storage = testing::ledger_of(&[Spec::Good; LONG]);
        let before = storage.files[FIRST].clone();
        assert!(!testing::open(&mut storage).unwrap().0.clean);
        assert_eq!(storage.files[FIRST], before, "byte for byte");
        // In pieces, each durable before the next: there need not be room for all of it at once.
        let pieces = (0..TAIL_LEN_MAX).step_by(MENDED_LEN).flat_map(|piece| {
            let offset = before.len() - TAIL_LEN_MAX + piece;
            [format!("write {offset}+{MENDED_LEN} {FIRST}"), format!("sync {FIRST}")]
        });
        let pieces: Vec<String> = pieces.collect();
        assert!(pieces.len() > 2 && storage.done.starts_with(&pieces), "{:?}", storage.done);
        let specs: Vec<Spec> = [Spec::Good; 30].into_iter().chain([Spec::Stop]).collect();
        let mut storage = testing::ledger_of(&specs);
        let before = storage.files[FIRST].clone();
        assert!(testing::open(&mut storage).unwrap().0.clean);
        assert_eq!(storage.files[FIRST], before, "byte for byte");
        let offset = before.len() - LINE_LEN_MAX;
        assert!(storage.done.contains(&format!("write {offset}+{LINE_LEN_MAX} {FIRST}")), "{:?}", storage.done);
    }

    #[test]
    fn a_sync_that_finds_no_room_while_mending_ends_the_start() {
        let mut storage = testing::ledger_of(&[Spec::Good; 3]);
        (storage.fail, storage.fails_for_room) = (Some(format!("sync {FIRST}")), true);
        // Nothing may be served from the page cache now: a second sync would succeed.
        storage.fails_once = true;
        assert!(matches!(testing::open(&mut storage), Err(OpenError::Io(_))));
        assert_eq!(testing::open(&mut storage).unwrap().0.entries, 3);
    }

    #[test]
    fn a_failed_step_of_mending_is_an_error_and_the_next_start_mends() {
        for step in ["create", "sync", "truncate", "write", "sync directory"] {
            let mut storage = testing::ledger_of(&[Spec::Good; 3]);
            storage.files.get_mut(FIRST).unwrap().extend(b"half a line");
            storage.fail = Some(step.to_owned());
            assert!(matches!(testing::open(&mut storage), Err(OpenError::Io(_))), "{step}");
            storage.fail = None;
            assert_eq!(testing::open(&mut storage).unwrap().0.entries, 3, "{step}");
        }
    }

    proptest! {
        #![proptest_config(crate::proptest_config())]

        #[test]
        fn a_flipped_bit_is_refused_unless_the_last_line_is_cut(
            place in any::<prop::sample::Index>(), bit in 0..8_u32,
        ) {
            let mut storage = testing::ledger_of(&[Spec::Good; 12]);
            let file = storage.files.get_mut(FIRST).unwrap();
            let place = HEADER_LEN + place.index(file.len() - HEADER_LEN);
            let last = testing::offset_of(file, 12);
            file[place] ^= 1 << bit;
            match testing::open(&mut storage) {
                Ok((opened, _)) => {
                    // The LF before the last line, and the crc that the last line continues, belong
                    // to the last two lines.
                    prop_assert!(place + 10 >= last, "{place} {last}");
                    prop_assert!(opened.entries == 11 || opened.entries == 10);
                    prop_assert!(opened.cut.is_some());
                }
                // The two digits of the last line's seq: it then looks like another entry, which is
                // not cut.
                Err(OpenError::Damaged { .. }) => prop_assert!(place < last + 2),
                Err(error @ (OpenError::Io(_) | OpenError::NotOurs(_))) => prop_assert!(false, "{}", error),
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000), keep in 0..2000_usize) {
            let mut storage = testing::ledger_of(&[Spec::Good; 8]);
            let file = storage.files.get_mut(FIRST).unwrap();
            file.truncate(keep);
            file.extend(bytes);
            let _ = testing::open(&mut storage);
        }
    }
}
