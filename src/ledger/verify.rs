//! `posgate ledger verify`: is the ledger what was written? (design.md, sections 3, 7 and 9)
//!
//! It only reads files and takes no lock, so it works beside the running server and on read-only
//! media. After a line that is not good it goes on from that line's crc column, so that one change
//! is one finding. The seqs around the line show what happened:
//!
//! | finding | exit | what was seen |
//! |---|---|---|
//! | (none) | 0 | every line follows |
//! | torn | 1 | the end is not a whole line, or zeros: a power cut, or the server is writing; the next start cuts it |
//! | altered | 2 | a line's crc does not follow, while the seqs around it are in order; or a balance does not follow |
//! | missing | 3 | seqs are missing |
//! | swapped | 4 | a seq comes after a later one, or twice |
//! | header | 5 | a header that cannot be read, or contradicts its segment's neighbours; a snapshot that no start believes |
//!
//! A directory begins with entry 1, or with a snapshot that a start believes and the segment of its
//! entry: then the segments before were archived. Damage of the lines up to that entry is not
//! counted as damage of the snapshot.
//!
//! Several directories and files are read as one ledger, copies of a segment as one segment (module
//! `copies`): a partial copy is named but is not a finding, since the whole segment is there; a
//! copy that differs is altered.
//!
//! The exit code is that of the worst finding. Entries that are missing at the very end leave no
//! trace: compare the head.

use core::fmt;
use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use crate::engine::limits::TAIL_LEN_MAX;
use crate::engine::model::{AccountId, Balance, Entry, EntrySeq};
use crate::lang::tr;

use super::header::Header;
use super::segment::{self, Line, Lines, Selection};
use super::storage::Files;
use super::{Entries, Head, allow_closed_pipe, line, snapshot};

/// Findings that are listed; further ones are only counted.
pub const FINDINGS_MAX: usize = 100;

/// How long to wait for a line that the server is writing: it is one write of at most
/// [`TAIL_LEN_MAX`] bytes.
const WRITING: Duration = Duration::from_millis(50);

/// Verifies a directory or segment files, and prints the report for people. Returns the exit code.
///
/// # Errors
/// If a file cannot be read or the output cannot be written. A closed pipe is not an error.
pub fn run_verify(paths: &[PathBuf], out: &mut dyn Write) -> io::Result<u8> {
    let selection = Selection::new(paths)?;
    let mut wait = || std::thread::sleep(WRITING);
    let report = if selection.is_directory {
        verify_directory(&selection.files, &selection.names, &mut wait)?
    } else {
        verify_places(&selection, paths, &mut wait)?
    };
    let mut out = BufWriter::new(out);
    allow_closed_pipe(write!(out, "{report}").and_then(|()| out.flush()).map(|()| report.exit_code()))
}

/// A kind of damage; its number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The end is not a whole line.
    Torn = 1,
    /// A line is not as it was written.
    Altered = 2,
    /// Entries are missing.
    Missing = 3,
    /// Entries are in another order.
    Swapped = 4,
    /// A header is not as it was written.
    Header = 5,
}

impl Fault {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Torn => "torn",
            Self::Altered => "altered",
            Self::Missing => "missing",
            Self::Swapped => "swapped",
            Self::Header => "header",
        }
    }
}

/// One place where the ledger is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The segment's path.
    pub file: String,
    /// The line's number from 1; line 1 is the header.
    pub line: u64,
    /// The kind of damage.
    pub fault: Fault,
    /// The damage in a sentence.
    pub what: String,
}

/// The good lines of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// The segment's path.
    pub file: String,
    /// Good lines.
    pub entries: u64,
    /// The seq of the first good line.
    pub first: Option<EntrySeq>,
    /// The last good line; if there is none, the entry that the header continues from.
    pub head: Head,
}

/// What [`verify`] found; its `Display` is the report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Oldest first.
    pub segments: Vec<SegmentReport>,
    /// The first [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// Findings beyond them.
    pub more: u64,
    /// The worst of all findings.
    pub worst: Option<Fault>,
    /// The last good line.
    pub head: Head,
    /// The entry of the snapshot that covers archived segments.
    pub snapshot: Option<Head>,
    /// Sentences about copies that were not read.
    pub copies: Vec<String>,
}

impl Report {
    /// 0 if all is well, else the worst fault's.
    pub fn exit_code(&self) -> u8 {
        self.worst.map_or(0, |fault| fault as u8)
    }

    fn add(&mut self, file: String, line: u64, fault: Fault, what: String) {
        self.worst = self.worst.max(Some(fault));
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { file, line, fault, what });
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(snapshot) = self.snapshot {
            writeln!(
                f,
                "{}",
                tr!(
                    "earlier segments were archived: the snapshot covers them, as of {snapshot}",
                    "前面的流水文件已归档：由快照代替，快照到 {snapshot}"
                )
            )?;
        }
        for sentence in &self.copies {
            writeln!(f, "{sentence}")?;
        }
        for SegmentReport { file, entries, first, head } in &self.segments {
            let Some(first) = first else {
                writeln!(f, "{}", tr!("{file}: no entry", "{file}：没有流水"))?;
                continue;
            };
            writeln!(
                f,
                "{}",
                tr!(
                    "{file}: {entries} entries, seq {first} to {}, crc {:08x}",
                    "{file}：{entries} 条流水，流水号 {first} 到 {}，crc {:08x}",
                    head.seq,
                    head.crc
                )
            )?;
        }
        for Finding { file, line, fault, what } in &self.findings {
            writeln!(f, "{file}:{line}: {}: {what}", fault.word())?;
        }
        if self.more > 0 {
            writeln!(f, "{}", tr!("and {} more", "还有 {} 个", self.more))?;
        }
        match self.worst {
            None => writeln!(f, "{}", tr("clean", "完好"))?,
            Some(Fault::Torn) => {
                writeln!(f, "{}", tr!("torn tail only: the next start cuts it", "只有末尾残缺：下次启动会截掉"))?;
            }
            Some(fault) => writeln!(f, "{}", tr!("not clean: {}", "有错：{}", fault.word()))?,
        }
        writeln!(f, "head {}", self.head)
    }
}

/// Reads the segments of a directory, `names` in the order of their entries, and its snapshot.
/// `wait` is called as in [`verify`].
///
/// # Errors
/// If a file cannot be read.
pub fn verify_directory(files: &dyn Files, names: &[String], wait: &mut dyn FnMut()) -> io::Result<Report> {
    let segments = segment::list(files)?;
    let mut nobody = Entries(|_: &Entry| Ok(()));
    let belief = snapshot::restore(files, &segments, &mut nobody)?;
    let base = belief.as_ref().ok().and_then(Option::as_ref);
    let begins_at_1 = base.is_none() || segments.first().is_none_or(|segment| segment.first == EntrySeq(1));
    let mut report = verify(files, names, begins_at_1, wait)?;
    report.snapshot = base.map(|base| base.title.head).filter(|_| !begins_at_1);
    if let Err(why) = belief {
        blame_snapshot(files, &mut report, &why)?;
    }
    Ok(report)
}

fn blame_snapshot(files: &dyn Files, report: &mut Report, why: &snapshot::Unbelievable) -> io::Result<()> {
    // If the lines up to its entry are damaged, only the snapshot's own lines are checked.
    let is_sealed = match snapshot::read_title(files)? {
        Ok(Some(title)) => snapshot::restore_lines(files, title, &mut Entries(|_: &Entry| Ok(())))?.is_ok(),
        Ok(None) | Err(_) => false,
    };
    if !is_sealed || report.worst.is_none_or(|fault| fault == Fault::Torn) {
        report.add(
            files.path(snapshot::NAME),
            1,
            Fault::Header,
            tr!("no start believes this snapshot: {why}", "启动时不会采信这份快照：{why}"),
        );
    }
    Ok(())
}

/// Reads the segments of several directories and files as one ledger, such as an archive and its
/// ledger. Copies of a segment are read as one, and damage of a copy is reported for that copy.
fn verify_places(selection: &Selection, places: &[PathBuf], wait: &mut dyn FnMut()) -> io::Result<Report> {
    let files = &selection.files;
    let first = selection.names.first().map(|name| segment::read_header(files, name)).transpose()?;
    let begins_at_1 = first.is_some_and(|header| header.is_ok_and(|header| header.first == EntrySeq(1)));
    let mut report = verify(files, &selection.names, begins_at_1, wait)?;
    let copies = &selection.copies;
    report.copies.clone_from(&copies.partial);
    if copies.same > 0 {
        report.copies.push(tr!(
            "{} more copies of segments, the same byte for byte: read once",
            "另有 {} 份流水文件副本，逐字节相同：只读一遍",
            copies.same
        ));
    }
    for copy in &copies.differing {
        report.add(copy.file.clone(), copy.line, Fault::Altered, copy.what.clone());
    }
    for dir in places.iter().filter(|place| place.is_dir()) {
        let here = files.in_dir(dir);
        let segments = segment::list(&here)?;
        if let Err(why) = snapshot::restore(&here, &segments, &mut Entries(|_: &Entry| Ok(())))? {
            blame_snapshot(&here, &mut report, &why)?;
        }
    }
    Ok(report)
}

/// Reads the segments `names`, in the order of their entries. `begins_at_1`: they must begin with
/// entry 1. `wait` is called once, before the end of the newest segment is read again: the server
/// may be writing there.
///
/// # Errors
/// If a file cannot be read.
pub fn verify(files: &dyn Files, names: &[String], begins_at_1: bool, wait: &mut dyn FnMut()) -> io::Result<Report> {
    let mut walk = Walk {
        files,
        report: Report::default(),
        chain: Some(0),
        is_head_known: begins_at_1,
        ledger: None,
        accounts: Accounts { sums: HashMap::new(), is_complete: begins_at_1 },
    };
    for (index, name) in names.iter().enumerate() {
        let next_first = match names.get(index + 1) {
            None => Next::Nothing,
            Some(next) => Next::Segment(segment::read_header(files, next)?.ok().map(|header| header.first)),
        };
        walk.header(name)?;
        walk.lines(name, next_first, wait)?;
    }
    Ok(walk.report)
}

/// What comes after a segment: nothing, or a segment with its first entry if its header can be
/// read.
#[derive(Clone, Copy)]
enum Next {
    Nothing,
    Segment(Option<EntrySeq>),
}

struct Walk<'a> {
    files: &'a dyn Files,
    /// Its head is the last good line, or the entry before the segment as the header states it.
    report: Report,
    /// The crc column of the line before, whether that line is good or not.
    chain: Option<u32>,
    /// Whether the next header can be compared with the head.
    is_head_known: bool,
    ledger: Option<u64>,
    accounts: Accounts,
}

/// Consecutive lines that are not good.
#[derive(Default)]
struct Run {
    line: u64,
    offset: u64,
    count: u64,
    /// Lines whose columns can be read.
    readable: u64,
    /// The seq of the first readable line.
    first: Option<EntrySeq>,
    highest: EntrySeq,
    /// Whether a readable line comes after one with a higher seq.
    goes_back: bool,
    /// Whether a line has an LF and a crc column: it was whole once.
    has_crc: bool,
    /// Whether the file ends within the last line.
    is_cut: bool,
}

impl Walk<'_> {
    fn add(&mut self, name: &str, line: u64, fault: Fault, what: String) {
        self.report.add(self.files.path(name), line, fault, what);
    }

    fn header(&mut self, name: &str) -> io::Result<()> {
        match segment::read_header(self.files, name)? {
            Ok(header) => self.take_header(name, &header),
            Err(error) => self.add(name, 1, Fault::Header, error.to_string()),
        }
        Ok(())
    }

    fn take_header(&mut self, name: &str, header: &Header) {
        let file_name = name.rsplit('/').next().unwrap_or(name);
        if let Some(first) = segment::first_of(file_name).filter(|first| *first != header.first) {
            self.add(
                name,
                1,
                Fault::Header,
                tr!("it says first={}, the file's name {first}", "它写的是 first={}，文件名是 {first}", header.first),
            );
        }
        if let Some(ledger) = self.ledger.filter(|ledger| !header.continues(*ledger)) {
            let name_of = header.ledger;
            let branch = header.parent.map_or_else(String::new, |parent| format!(" parent={parent}"));
            let what = tr!(
                "it says ledger={name_of:016x}{branch}, the segment before ledger={ledger:016x}",
                "它写的是 ledger={name_of:016x}{branch}，前一个文件是 ledger={ledger:016x}"
            );
            self.add(name, 1, Fault::Header, what);
        }
        self.ledger = Some(header.ledger);
        let before = header.before();
        let head = self.report.head;
        if self.is_head_known && before.seq > head.seq {
            let what =
                tr!("entries {} to {} are in no segment", "流水 {} 到 {} 不在任何文件里", head.seq.next(), before.seq);
            self.add(name, 1, Fault::Missing, what);
            self.accounts.forget();
        } else if self.is_head_known && before.seq < head.seq {
            let what = tr!(
                "it says first={}, but the segment before ends with {}",
                "它写的是 first={}，而前一个文件以 {} 结尾",
                header.first,
                head.seq
            );
            self.add(name, 1, Fault::Header, what);
            self.accounts.forget();
        } else if self.is_head_known && before.crc != head.crc {
            let what = tr!(
                "it says chain={:08x}, but the entry before has {:08x}",
                "它写的是 chain={:08x}，而前一条是 {:08x}",
                before.crc,
                head.crc
            );
            self.add(name, 1, Fault::Header, what);
        }
        self.report.head = before;
        self.chain = Some(before.crc);
        self.is_head_known = true;
    }

    fn lines(&mut self, name: &str, next: Next, wait: &mut dyn FnMut()) -> io::Result<()> {
        let is_newest = matches!(next, Next::Nothing);
        // Lines that begin after `len` were appended during this run; the next run reads them.
        let len = self.files.len(name)?;
        let mut segment =
            SegmentReport { file: self.files.path(name), entries: 0, first: None, head: self.report.head };
        let mut has_waited = false;
        let mut run = Run::default();
        let mut torn_at = None;
        let mut lines = Lines::new(self.files, name, self.chain);
        while let Some(line) = lines.read()? {
            if line.offset >= len {
                break;
            }
            if line.is_chained() {
                self.good(name, &line, &core::mem::take(&mut run));
                segment.entries += 1;
                segment.first = segment.first.or(Some(self.report.head.seq));
                segment.head = self.report.head;
                continue;
            }
            let is_in_tail = is_newest && len - line.offset <= TAIL_LEN_MAX as u64;
            if is_in_tail && !has_waited {
                has_waited = true;
                let (offset, number, chain) = (line.offset, line.number, line.chain);
                wait();
                lines.go_back(offset, number, chain);
                continue;
            }
            // After a bad line without zeros a start cuts only if no good line follows, so this
            // reads on.
            let is_torn = !line.ended || (line.has_zeros() && run.count == 0);
            if is_in_tail && is_torn {
                torn_at = Some((line.number, line.offset));
                break;
            }
            run.add(&line, self.report.head.seq);
        }
        self.chain = lines.chain();
        self.end(name, next, &run, len);
        if let Some((number, offset)) = torn_at {
            let what =
                tr!("the last {} bytes are not a whole line", "最后 {} 字节不是完整的一行", len.saturating_sub(offset));
            self.add(name, number, Fault::Torn, what);
        }
        self.report.segments.push(segment);
        Ok(())
    }

    /// Takes a line whose crc follows. `run` are the lines before it that are not good.
    fn good(&mut self, name: &str, line: &Line, run: &Run) {
        let expected = self.report.head.seq.next();
        let parsed = match line::parse(line.text) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.add(
                    name,
                    line.number,
                    Fault::Altered,
                    tr!("the crc follows, but {error}", "crc 接得上，但是 {error}"),
                );
                self.report.head = Head { seq: expected, crc: line::crc_column(line.text).unwrap_or_default() };
                return self.accounts.forget();
            }
        };
        let entry = &parsed.entry;
        if run.count > 0 {
            self.judge(name, run, Some(entry.seq));
        } else if entry.seq != expected {
            let fault = if entry.seq > expected { Fault::Missing } else { Fault::Swapped };
            let what = tr!(
                "the crc follows, but entry {} is in place of {expected}",
                "crc 接得上，但是流水 {} 占了 {expected} 的位置",
                entry.seq
            );
            self.add(name, line.number, fault, what);
        }
        self.report.head = parsed.head();
        if let Err(what) = self.accounts.check(entry) {
            self.add(name, line.number, Fault::Altered, what);
        }
    }

    /// Ends a segment. `run` are its last lines, if they are not good.
    fn end(&mut self, name: &str, next: Next, run: &Run, len: u64) {
        if run.count == 0 {
            return;
        }
        match next {
            Next::Nothing if !run.has_crc && len.saturating_sub(run.offset) <= TAIL_LEN_MAX as u64 => {
                let what = tr!(
                    "the last {} bytes are not lines of a ledger",
                    "最后 {} 字节不是账本的行",
                    len.saturating_sub(run.offset)
                );
                self.add(name, run.line, Fault::Torn, what);
            }
            Next::Nothing => self.judge(name, run, None),
            Next::Segment(first) => self.judge(name, run, first),
        }
        self.is_head_known = false;
    }

    /// Adds the finding for lines that are not good. The seqs before, in and after them (`after`)
    /// show what happened.
    fn judge(&mut self, name: &str, run: &Run, after: Option<EntrySeq>) {
        self.accounts.forget();
        let last = self.report.head.seq;
        let expected_after = EntrySeq(last.0.saturating_add(run.count).saturating_add(1));
        let fault = match after {
            Some(seq) if seq > expected_after && (run.is_cut || run.readable == run.count) => Fault::Missing,
            // A single line between its neighbours cannot be swapped: its seq was altered.
            Some(seq) if run.goes_back && (seq != expected_after || run.count > 1) => Fault::Swapped,
            None if run.goes_back => Fault::Swapped,
            None if run.readable == run.count && run.first > Some(last.next()) => Fault::Missing,
            Some(_) | None => Fault::Altered,
        };
        let lines = if run.count == 1 {
            String::new()
        } else {
            tr!(" (nor on {} lines after it)", "（后面 {} 行也接不上）", run.count - 1)
        };
        let after = after.map_or(String::new(), |seq| tr!(", and entry {seq} comes next", "，下面是流水 {seq}"));
        let first =
            run.first.map_or(tr("no entry", "没有流水").to_owned(), |first| tr!("entry {first}", "流水 {first}"));
        let what = tr!(
            "the crc does not follow on this line{lines}: {first} comes after entry {last}{after}",
            "这一行的 crc 接不上{lines}：{first}，接在流水 {last} 后面{after}"
        );
        self.add(name, run.line, fault, what);
    }
}

impl Run {
    fn add(&mut self, line: &Line, last_good: EntrySeq) {
        if self.count == 0 {
            (self.line, self.offset, self.highest) = (line.number, line.offset, last_good);
        }
        self.count += 1;
        self.is_cut = !line.ended;
        self.has_crc |= line.ended && line::crc_column(line.text).is_some();
        if let Ok(parsed) = line::parse(line.text) {
            let seq = parsed.entry.seq;
            self.readable += 1;
            self.first = self.first.or(Some(seq));
            self.goes_back |= seq <= self.highest;
            self.highest = self.highest.max(seq);
        }
    }
}

/// The sums of all accounts that have moved: `balance`, `subsidy_left` and `uses_left` must equal
/// them.
struct Accounts {
    sums: HashMap<AccountId, Figures>,
    /// Whether `sums` has every account that has moved. If not, an account's first line is taken as
    /// it is.
    is_complete: bool,
}

/// The sums of an account's entries.
#[derive(Clone, Copy, Default)]
struct Figures {
    balance: Balance,
    subsidy: Balance,
    uses: i32,
}

impl Accounts {
    /// After unreadable lines no sum is known: each account's next line sets its own.
    fn forget(&mut self) {
        self.sums.clear();
        self.is_complete = false;
    }

    fn check(&mut self, entry: &Entry) -> Result<(), String> {
        let Some(account) = &entry.account else { return Ok(()) };
        let before = match self.sums.get(account) {
            Some(sums) => *sums,
            None if !entry.is_lasting() => return Ok(()),
            None if self.is_complete => Figures::default(),
            None => {
                if let (Some(balance), Some(subsidy), Some(uses)) = (entry.balance, entry.subsidy_left, entry.uses_left)
                {
                    self.sums.insert(*account, Figures { balance, subsidy, uses });
                }
                return Ok(());
            }
        };
        let Figures { balance, subsidy, uses } = Figures {
            balance: before.balance + entry.amount.unwrap_or_default(),
            subsidy: before.subsidy + entry.subsidy.unwrap_or_default(),
            uses: before.uses.saturating_add(entry.uses.unwrap_or_default()),
        };
        let written = Figures {
            balance: entry.balance.unwrap_or(balance),
            subsidy: entry.subsidy_left.unwrap_or(subsidy),
            uses: entry.uses_left.unwrap_or(uses),
        };
        self.sums.insert(*account, written);
        let seq = entry.seq;
        if written.balance != balance {
            let said = written.balance;
            return Err(tr!(
                "entry {seq} says balance {said}, the entries before it make {balance}",
                "流水 {seq} 写的余额是 {said}，按前面的流水应是 {balance}"
            ));
        }
        if written.subsidy != subsidy {
            let said = written.subsidy;
            return Err(tr!(
                "entry {seq} says {said} of subsidy left, the entries before it make {subsidy}",
                "流水 {seq} 写的剩余补贴是 {said}，按前面的流水应是 {subsidy}"
            ));
        }
        if written.uses != uses {
            return Err(tr!(
                "entry {seq} says {} uses left, the entries before it make {uses}",
                "流水 {seq} 写的剩余次数是 {}，按前面的流水应是 {uses}",
                written.uses
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::storage::MemoryStorage;
    use super::super::testing::{self, FIRST, Line as Spec};
    use super::*;
    use crate::engine::limits::LINE_LEN_MAX;
    use crate::engine::model::Detail;
    use crate::ledger::header::HEADER_LEN;

    fn check(storage: &MemoryStorage) -> Report {
        let names: Vec<String> = segment::list(storage).unwrap().into_iter().map(|segment| segment.name).collect();
        verify(storage, &names, true, &mut || ()).unwrap()
    }

    /// The lines of a ledger of ten entries; the header is the first.
    fn ten() -> Vec<Vec<u8>> {
        let storage = testing::ledger_of(&[Spec::Good; 10]);
        storage.files[FIRST].split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    fn check_lines(lines: &[Vec<u8>]) -> Report {
        let mut storage = MemoryStorage::default();
        storage.files.insert(FIRST.to_owned(), lines.concat());
        check(&storage)
    }

    fn faults(report: &Report) -> Vec<(u64, Fault)> {
        report.findings.iter().map(|finding| (finding.line, finding.fault)).collect()
    }

    #[test]
    fn a_whole_ledger_is_clean_and_ends_with_its_head() {
        let mut storage = testing::ledger_of(&[Spec::Good; 10]);
        testing::add_segment(&mut storage, &[Spec::Good; 10], &[Spec::Good, Spec::Stop]);
        let report = check(&storage);
        assert_eq!((report.exit_code(), report.head.seq), (0, EntrySeq(12)));
        let text = report.to_string();
        let last = storage.files.values().next_back().unwrap();
        let crc = core::str::from_utf8(&last[last.len() - 9..last.len() - 1]).unwrap();
        assert!(text.ends_with(&format!("clean\nhead seq=12 crc={crc}\n")), "{text}");
        assert!(text.starts_with(&format!("{FIRST}: 10 entries, seq 1 to 10, crc ")), "{text}");
        let empty = check(&testing::ledger_of(&[]));
        assert!(empty.to_string().ends_with("head seq=0 crc=00000000\n"));
    }

    #[test]
    fn a_torn_tail_is_1() {
        let lines = ten();
        for keep in [1, 9, 30, lines[10].len() - 1] {
            let mut cut = lines.clone();
            cut[10].truncate(keep);
            let report = check_lines(&cut);
            assert_eq!((report.exit_code(), faults(&report)), (1, vec![(11, Fault::Torn)]));
            assert_eq!(report.head.seq, EntrySeq(9));
        }
        for rest in [&b"garbage"[..], b"garbage\n", b"a\nb\n", &[0; 5000]] {
            let mut torn = lines.clone();
            torn.push(rest.to_vec());
            let report = check_lines(&torn);
            assert_eq!((report.exit_code(), faults(&report)), (1, vec![(12, Fault::Torn)]), "{rest:?}");
        }
        // Zeros in the tail are cut whatever follows them: verify reports what a start would do.
        let mut zeros = lines.clone();
        zeros[5][10..40].fill(0);
        assert_eq!(faults(&check_lines(&zeros)), [(6, Fault::Torn)]);
    }

    #[test]
    fn a_changed_character_is_2_on_every_line_and_named_once() {
        let lines = ten();
        for index in 1..=10 {
            for place in [0, 20, 60, lines[index].len() - 10, lines[index].len() - 2] {
                let mut altered = lines.clone();
                altered[index][place] ^= 1;
                let report = check_lines(&altered);
                // A changed seq in the last line may also be a missing line before it.
                let is_last_seq = index == 10 && place == 0;
                assert!(is_last_seq || report.exit_code() == 2, "line {index} byte {place}: {report}");
                assert_eq!(report.findings.len(), 1, "{report}");
                assert_eq!(report.findings[0].line, index as u64 + 1, "{report}");
            }
        }
        let mut merged = lines.clone();
        merged[4].pop();
        assert_eq!(faults(&check_lines(&merged)), [(5, Fault::Altered)]);
        let mut split = lines;
        split[4][30] = b'\n';
        assert_eq!(faults(&check_lines(&split)), [(5, Fault::Altered)]);
    }

    #[test]
    fn a_balance_that_does_not_follow_is_2() {
        // Entry 3 has the balance that it would have without the others, and the chain is made to
        // fit.
        let mut storage = MemoryStorage::default();
        let header = &testing::ledger_of(&[]).files[FIRST];
        let mut bytes = header.clone();
        let mut chain = 0;
        for seq in 1..=5 {
            let mut entry = testing::entry(seq);
            if seq == 3 {
                entry.balance = Some(Balance::from_fen(1));
                entry.detail = Detail::default().with("note", "forged");
            }
            let mut out = [0; LINE_LEN_MAX];
            let emitted = line::emit(&entry, chain, &mut out);
            bytes.extend_from_slice(&out[..emitted.len]);
            chain = emitted.crc;
        }
        storage.files.insert(FIRST.to_owned(), bytes);
        let report = check(&storage);
        assert_eq!(faults(&report), [(4, Fault::Altered), (5, Fault::Altered)]);
        assert!(report.to_string().contains("entry 3 says balance 0.01, the entries before it make 3.00"), "{report}");
    }

    #[test]
    fn a_missing_line_is_3_unless_it_was_the_last() {
        let lines = ten();
        for index in 1..=10 {
            let mut missing = lines.clone();
            missing.remove(index);
            let report = check_lines(&missing);
            match index {
                10 => assert_eq!((report.exit_code(), report.head.seq), (0, EntrySeq(9))),
                _ => assert_eq!(faults(&report), [(index as u64 + 1, Fault::Missing)], "line {index}: {report}"),
            }
        }
        let mut several = lines;
        several.drain(3..7);
        assert_eq!(faults(&check_lines(&several)), [(4, Fault::Missing)]);
    }

    #[test]
    fn lines_in_another_order_are_4() {
        let lines = ten();
        for first in 1..=10 {
            for second in first + 1..=10 {
                let mut swapped = lines.clone();
                swapped.swap(first, second);
                let report = check_lines(&swapped);
                assert_eq!(report.exit_code(), 4, "{first} {second}: {report}");
                assert_eq!(report.findings[0].line, first as u64 + 1, "{report}");
            }
        }
        let mut twice = lines.clone();
        twice.insert(6, lines[5].clone());
        assert_eq!(faults(&check_lines(&twice)), [(7, Fault::Swapped)]);
        let mut moved = lines;
        let line = moved.remove(3);
        moved.insert(7, line);
        assert_eq!(check_lines(&moved).exit_code(), 4);
    }

    #[test]
    fn a_wrong_header_is_5() {
        let specs = [Spec::Good; 3];
        let mut storage = testing::ledger_of(&specs);
        let second = testing::add_segment(&mut storage, &specs, &specs);
        let changed = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
            let mut storage = storage.clone();
            change(storage.files.get_mut(name).unwrap());
            check(&storage)
        };
        let digit = |word: &'static str| {
            move |file: &mut Vec<u8>| {
                let at = file.windows(word.len()).position(|window| window == word.as_bytes()).unwrap() + word.len();
                file[at] = if file[at] == b'0' { b'1' } else { b'0' };
            }
        };
        for name in [FIRST, &second] {
            assert_eq!(changed(name, &|file| file[3] = b'x').exit_code(), 5);
            assert_eq!(changed(name, &digit("first=")).exit_code(), 5);
            assert_eq!(changed(name, &digit("chain=")).exit_code(), 5);
            assert_eq!(changed(name, &digit("version=")).exit_code(), 5);
        }
        assert_eq!(changed(&second, &digit("ledger=")).exit_code(), 5);
        assert_eq!(changed(&second, &|file| file.truncate(HEADER_LEN - 1)).exit_code(), 5);
    }

    #[test]
    fn missing_or_shortened_segments_are_3() {
        let specs = [Spec::Good; 3];
        let mut storage = testing::ledger_of(&specs);
        let second = testing::add_segment(&mut storage, &specs, &specs);
        let mut gone = storage.clone();
        gone.files.remove(FIRST);
        let report = check(&gone);
        assert_eq!(faults(&report), [(1, Fault::Missing)]);
        // A segment that a person names need not be the first.
        assert_eq!(verify(&gone, &[second], false, &mut || ()).unwrap().exit_code(), 0);
        let offset = testing::offset_of(&storage.files[FIRST], 3);
        storage.files.get_mut(FIRST).unwrap().truncate(offset);
        assert_eq!(faults(&check(&storage)), [(1, Fault::Missing)]);
    }

    #[test]
    fn several_findings_are_all_listed_and_the_worst_is_the_exit_code() {
        let mut lines = ten();
        lines[2][30] ^= 1;
        lines.remove(6);
        lines.push(b"torn".to_vec());
        let report = check_lines(&lines);
        assert_eq!(faults(&report), [(3, Fault::Altered), (7, Fault::Missing), (11, Fault::Torn)]);
        assert_eq!(report.exit_code(), 3);
    }

    #[test]
    fn a_line_that_the_server_is_writing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let whole = ten().concat();
        let path = dir.path().join(FIRST);
        std::fs::write(&path, &whole[..whole.len() - 20]).unwrap();
        let selection = Selection::new(&[dir.path().to_owned()]).unwrap();
        let mut waits = 0;
        let report = verify(&selection.files, &selection.names, true, &mut || {
            waits += 1;
            // The rest of this line, and the beginning of the next.
            std::fs::write(&path, [&whole[..], b"11\t2026"].concat()).unwrap();
        });
        let report = report.unwrap();
        assert_eq!((report.exit_code(), report.head.seq, waits), (0, EntrySeq(10), 1), "{report}");
    }

    #[test]
    fn a_directory_is_only_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FIRST), ten().concat()).unwrap();
        let mut out = Vec::new();
        for paths in [vec![dir.path().to_owned()], vec![dir.path().join(FIRST)]] {
            assert_eq!(run_verify(&paths, &mut out).unwrap(), 0);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no lock, no link, nothing");
        let nothing = tempfile::tempdir().unwrap();
        let error = run_verify(&[nothing.path().to_owned()], &mut out).unwrap_err();
        assert!(error.to_string().contains("no ledger here"), "{error}");
        let error = run_verify(&[nothing.path().join("x.tsv")], &mut out).unwrap_err();
        assert!(error.to_string().contains("x.tsv"), "{error}");
    }
}
