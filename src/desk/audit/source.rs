//! The segments named on the command line, as one sequence of entries (design.md, sections 7 and
//! 9).
//!
//! Directories and segments may be given in any order, an archive together with the live ledger.
//! They are read in the order of their entries; of two copies of a segment one is read.
//!
//! *Invariants:* entries come in the order of their seqs, without duplicates, and the crc of each
//! follows from the one before. The end is the last whole line: the line after it may be one that
//! the server is writing, or one that a power cut tore.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::AuditError;
use crate::engine::book::{AccountLine, account_line};
use crate::engine::limits::TAIL_LEN_MAX;
use crate::engine::model::{Entry, EntrySeq};
use crate::lang::tr;
use crate::ledger::header::Header;
use crate::ledger::segment::{self, Lines};
use crate::ledger::storage::Files;
use crate::ledger::verify::{Fault, verify};
use crate::ledger::{Head, HeldFiles, Refusal, State, archived, copies, kin, line, snapshot};

/// How long to wait for a line that the server may be writing: one write of at most
/// [`TAIL_LEN_MAX`] bytes.
const WRITING: Duration = Duration::from_millis(50);

/// A segment.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Its path.
    pub path: String,
    /// Its header.
    pub header: Header,
}

/// The last entry that a reader has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// Its number.
    pub seq: EntrySeq,
    /// Its crc, if the reader gave it.
    pub crc: Option<u32>,
}

/// The message about an entry before the `first` one here: its archive's place, if one of the
/// ledger's directories names it.
pub(crate) fn archived_words<'a>(seq: EntrySeq, first: EntrySeq, dirs: impl IntoIterator<Item = &'a Path>) -> String {
    let place = dirs.into_iter().find_map(|dir| archived::place_of(dir, seq));
    let place = place.map_or_else(
        || tr("name the archive's directory too", "请把归档目录也写上").to_owned(),
        |place| tr!("it is in {}: name that directory too", "它在 {}：请把那个目录也写上", place.display()),
    );
    tr!(
        "entry {seq} was archived, the first one here is {first}: {place}",
        "流水 {seq} 已归档，这里的第一条是 {first}：{place}"
    )
}

/// The snapshot's state, which replaces the archived entries.
#[derive(Clone, Debug, Default)]
pub struct Base {
    /// The last entry in it.
    pub head: Head,
    /// The accounts after that entry.
    pub accounts: Vec<AccountLine>,
}

/// The segments to read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Their files, held open.
    pub files: HeldFiles,
    /// The named directories.
    pub places: Vec<PathBuf>,
    /// The segments in the order of their entries; at least one.
    pub pieces: Vec<Piece>,
    /// If the first segments are missing: the snapshot, if a start would accept it.
    pub base: Option<Base>,
}

impl Source {
    /// Opens directories and segment files.
    ///
    /// # Errors
    /// If there is no such file or no ledger in a directory, or they belong to two ledgers or two
    /// branches of one, or a header cannot be read.
    pub fn open(places: &[PathBuf]) -> Result<Self, AuditError> {
        let (files, paths) = HeldFiles::of_places(places)?;
        let segments = copies::deduplicate(&files, paths)?;
        if let Some(copies::Differing { file, line, what }) = segments.differing.first() {
            let sentence = tr!(
                "{file}:{line}: altered: {what}; `posgate ledger verify` lists all",
                "{file}:{line}: altered: {what}；`posgate ledger verify` 列出全部"
            );
            return Err(AuditError::Damaged(sentence));
        }
        let mut pieces = Vec::new();
        let mut unreadable = Vec::new();
        for (path, _) in segments.segments {
            match segment::read_header(&files, &path)? {
                Ok(header) => pieces.push(Piece { path, header }),
                Err(error) => unreadable.push((path, error)),
            }
        }
        for (path, error) in unreadable {
            // A new segment has no header for a moment. A power cut then leaves it so, and the next
            // start removes it.
            let first = first_by_name(&path);
            let is_newest = !pieces.is_empty() && pieces.iter().all(|piece| Some(piece.header.first) < first);
            if !is_newest {
                return Err(AuditError::Damaged(tr!(
                    "{path}:1: header: {error}; `posgate ledger verify` tells more",
                    "{path}:1: header: {error}；详见 `posgate ledger verify`"
                )));
            }
        }
        pieces.sort_by_key(|piece| piece.header.first);
        if pieces.is_empty() {
            return Err(AuditError::Usage(
                tr("name a ledger's directory, or its segments", "请写账本目录或其中的文件").to_owned(),
            ));
        }
        let headers: Vec<(&str, &Header)> = pieces.iter().map(|piece| (piece.path.as_str(), &piece.header)).collect();
        if let Some(sentence) = kin::contradiction(&files, &headers)? {
            return Err(AuditError::Usage(sentence));
        }
        let dirs = places.iter().filter(|place| place.is_dir()).cloned().collect();
        let mut source = Self { files, places: dirs, pieces, base: None };
        if source.first() > EntrySeq(1) {
            source.base = places
                .iter()
                .filter(|place| place.is_dir())
                .find_map(|place| base_in(&source.files.in_dir(place)).transpose())
                .transpose()?;
        }
        Ok(source)
    }

    /// The first entry that its segments hold, or will hold if they have none yet.
    pub fn first(&self) -> EntrySeq {
        self.pieces[0].header.first
    }

    /// Whether it begins with entry 1.
    pub fn is_whole(&self) -> bool {
        self.first() == EntrySeq(1)
    }

    /// The ledger's number: that of its newest branch.
    pub fn ledger(&self) -> u64 {
        self.pieces[self.pieces.len() - 1].header.ledger
    }

    /// The site's label in the newest segment.
    pub fn site(&self) -> &str {
        &self.pieces[self.pieces.len() - 1].header.site
    }

    /// A warning that the segments are not the whole ledger; `None` if they are.
    pub fn note(&self) -> Option<String> {
        let first = self.first();
        if self.is_whole() {
            return None;
        }
        let before = EntrySeq(first.0.saturating_sub(1));
        Some(match &self.base {
            Some(base) => {
                let place = self.places.iter().find_map(|dir| archived::place_of(dir, before));
                let place = place.map_or_else(
                    || tr("name the archive's directory too", "请把归档目录也写上").to_owned(),
                    |place| {
                        tr!("they are in {}: name that directory too", "它们在 {}：请把那个目录也写上", place.display())
                    },
                );
                tr!(
                    "begins with entry {first}: those before were taken away, and sums begin with the snapshot as of entry {}; {place} to read all",
                    "从流水 {first} 开始：以前的已移走，合计从流水 {} 的快照算起；要读全部，{place}",
                    base.head.seq
                )
            }
            None => tr!(
                "begins with entry {first}: entries 1 to {before} are not among the segments given",
                "从流水 {first} 开始：给出的文件里没有流水 1 到 {before}"
            ),
        })
    }

    /// Reads from the first entry.
    pub(crate) fn walk(&self) -> Walk<'_> {
        self.walk_from(0)
    }

    /// Reads from the segment that holds the entry after `seq`.
    pub(crate) fn walk_after(&self, seq: EntrySeq) -> Walk<'_> {
        self.walk_from(self.index_after(seq))
    }

    /// The segment where [`Source::walk_after`] begins.
    pub(crate) fn piece_after(&self, seq: EntrySeq) -> &Piece {
        &self.pieces[self.index_after(seq)]
    }

    fn index_after(&self, seq: EntrySeq) -> usize {
        let later = self.pieces.iter().position(|piece| piece.header.first > seq.next());
        later.unwrap_or(self.pieces.len()).saturating_sub(1)
    }

    /// Checks whether a reader that has all entries up to `after` can continue here.
    ///
    /// # Errors
    /// If it cannot: the next entries are archived (*gap*), the ledger ends before `after`
    /// (*ahead*), or has another entry there (*diverged*).
    pub(crate) fn check_after(&self, after: After) -> Result<(), AuditError> {
        let first = self.first();
        if after.seq.next() < first {
            return Err(AuditError::Nothing(format!("gap: {}", self.archived(after.seq.next()))));
        }
        let mut walk = self.walk_after(EntrySeq(after.seq.0.saturating_sub(1)));
        let mut head = Head { seq: EntrySeq(first.0 - 1), crc: self.pieces[0].header.chain };
        while head.seq < after.seq {
            match walk.entry()? {
                Some(item) => head = item.head(),
                None => {
                    return Err(AuditError::Nothing(tr!(
                        "ahead: there is no entry {} yet, the ledger ends with {}: was an older copy put back?",
                        "ahead: 还没有流水 {}，账本到 {} 为止：是不是恢复了旧副本？",
                        after.seq,
                        walk.head()
                    )));
                }
            }
        }
        match after.crc {
            Some(crc) if crc != head.crc => Err(AuditError::Nothing(tr!(
                "diverged: entry {} has the crc {:08x} here, not {crc:08x}: what you have is of another ledger, or of another branch of it",
                "diverged: 这里流水 {} 的 crc 是 {:08x}，不是 {crc:08x}：您手上的属于另一个账本，或者另一个分支",
                after.seq,
                head.crc
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// The message about an entry before the first one here.
    pub(crate) fn archived(&self, seq: EntrySeq) -> String {
        archived_words(seq, self.first(), self.places.iter().map(PathBuf::as_path))
    }

    /// Checks that it holds the entry that the server synced last.
    pub(super) fn check_limit(&self, limit: Head) -> Result<(), AuditError> {
        if limit.seq < self.first() {
            return Ok(());
        }
        self.check_after(After { seq: limit.seq, crc: Some(limit.crc) }).map_err(|error| match error {
            AuditError::Nothing(why) => AuditError::Nothing(tr!(
                "{why} (does the server serve another ledger?)",
                "{why}（所问的服务器用的是另一个账本？）"
            )),
            other @ (AuditError::Io(_) | AuditError::Damaged(_) | AuditError::Usage(_)) => other,
        })
    }

    /// Reads from the segment with this index.
    pub(crate) fn walk_from(&self, index: usize) -> Walk<'_> {
        Walk { source: self, index, lines: None, head: None, has_waited: false, buffer: Vec::new(), is_over: false }
    }

    /// The error for a damaged line, in the words of `ledger verify`.
    pub(super) fn damage(&self, path: &str, line: u64, what: &str) -> AuditError {
        let names: Vec<String> = self.pieces.iter().map(|piece| piece.path.clone()).collect();
        let report = verify(&self.files, &names, self.is_whole(), &mut || ());
        let found =
            report.ok().and_then(|report| report.findings.into_iter().find(|finding| finding.fault != Fault::Torn));
        let place = match found {
            Some(found) => format!("{}:{}: {}: {}", found.file, found.line, found.fault.word(), found.what),
            None => format!("{path}:{line}: {what}"),
        };
        AuditError::Damaged(tr!(
            "{place}; nothing after it can be relied on, `posgate ledger verify` lists all",
            "{place}；它之后的都不可靠，`posgate ledger verify` 列出全部"
        ))
    }
}

fn first_by_name(path: &str) -> Option<EntrySeq> {
    segment::first_of(path.rsplit('/').next().unwrap_or(path))
}

/// The state of a directory's snapshot, if a start would accept it.
fn base_in(directory: &HeldFiles) -> Result<Option<Base>, AuditError> {
    let segments = segment::list(directory)?;
    let mut base = Base::default();
    let belief = snapshot::restore(directory, &segments, &mut base)?;
    Ok(belief.ok().flatten().map(|found| Base { head: found.title.head, ..base }))
}

impl State for Base {
    fn rewind(&mut self) {
        self.accounts.clear();
    }

    fn apply(&mut self, _: &Entry) -> Result<(), Refusal> {
        Ok(())
    }

    fn restore(&mut self, line: &str) -> Result<(), Refusal> {
        let account = account_line(line).map_err(|error| Refusal(error.to_string()))?;
        self.accounts.extend(account);
        Ok(())
    }

    fn resume(&mut self, _: EntrySeq) {}

    fn emit(&self, _: &mut dyn FnMut(&str) -> std::io::Result<()>) -> std::io::Result<()> {
        Ok(())
    }
}

/// An entry with its place in the files.
#[derive(Debug)]
pub struct Item<'a> {
    /// Its segment.
    pub piece: &'a Piece,
    /// The segment's index in the source.
    pub index: usize,
    /// The line's number; line 1 is the header.
    pub line: u64,
    /// Offset of the next line in the file, in bytes.
    pub end: u64,
    /// The line, without its LF.
    pub text: &'a [u8],
    /// The crc of the previous entry.
    pub chain: u32,
    /// Its own crc.
    pub crc: u32,
    /// The columns, without the crc.
    pub entry: Entry,
}

impl Item<'_> {
    /// The entry's seq and crc.
    pub fn head(&self) -> Head {
        Head { seq: self.entry.seq, crc: self.crc }
    }
}

/// The next line.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // only one exists at a time
pub enum Step<'a> {
    /// An entry that follows from the previous one.
    Entry(Item<'a>),
    /// A line that does not follow.
    Bad {
        /// The segment's path.
        path: &'a str,
        /// The line's number; line 1 is the header.
        line: u64,
        /// The line, without its LF.
        text: &'a [u8],
        /// The problem.
        what: String,
    },
}

/// Reads the entries of a source in order.
pub struct Walk<'a> {
    source: &'a Source,
    index: usize,
    lines: Option<Lines<'a>>,
    /// `None` before the first header.
    head: Option<Head>,
    has_waited: bool,
    buffer: Vec<u8>,
    is_over: bool,
}

impl Walk<'_> {
    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// If a file cannot be read, or the ledger is damaged here.
    pub fn entry(&mut self) -> Result<Option<Item<'_>>, AuditError> {
        let source = self.source;
        match self.step()? {
            None => Ok(None),
            Some(Step::Entry(item)) => Ok(Some(item)),
            Some(Step::Bad { path, line, what, .. }) => Err(source.damage(path, line, &what)),
        }
    }

    /// The last entry that was read, or the one before the first segment.
    pub fn head(&self) -> Head {
        self.head.unwrap_or_default()
    }

    /// The next line, good or bad; `None` at the end.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn step(&mut self) -> Result<Option<Step<'_>>, AuditError> {
        let source = self.source;
        loop {
            let Some(piece) = source.pieces.get(self.index).filter(|_| !self.is_over) else { return Ok(None) };
            let is_newest = self.index + 1 == source.pieces.len();
            let Some(lines) = &mut self.lines else {
                let before = piece.header.before();
                let contradicted = self.head.replace(before).filter(|head| *head != before);
                self.lines = Some(Lines::new(&source.files, &piece.path, Some(before.crc)));
                match contradicted {
                    None => continue,
                    Some(head) => {
                        self.buffer.clear();
                        let what = tr!(
                            "the segment continues from {before}, but the one before it ends with {head}",
                            "这个文件接着 {before}，而前面读到的以 {head} 结尾"
                        );
                        return Ok(Some(Step::Bad { path: &piece.path, line: 1, text: &self.buffer, what }));
                    }
                }
            };
            let Some(line) = lines.read()? else {
                self.lines = None;
                self.index += 1;
                continue;
            };
            self.buffer.clear();
            self.buffer.extend_from_slice(line.text);
            let (offset, number, ended, has_zeros) = (line.offset, line.number, line.ended, line.has_zeros());
            let end = line.end();
            let (chain, follows) = (line.chain, line.is_chained());
            let head = self.head.unwrap_or_default();
            let what = match (follows, line::parse(&self.buffer)) {
                (true, Ok(parsed)) if parsed.entry.seq == head.seq.next() => {
                    self.head = Some(parsed.head());
                    return Ok(Some(Step::Entry(Item {
                        piece,
                        index: self.index,
                        line: number,
                        end,
                        text: &self.buffer,
                        chain: chain.unwrap_or_default(),
                        crc: parsed.crc,
                        entry: parsed.entry,
                    })));
                }
                (true, Ok(parsed)) => {
                    tr!("entry {} stands where {} should", "流水 {} 占了 {} 的位置", parsed.entry.seq, head.seq.next())
                }
                (_, Err(error)) => error.to_string(),
                (false, Ok(_)) => tr("the crc does not follow", "crc 接不上").to_owned(),
            };
            if is_newest {
                let is_in_tail = source.files.len(&piece.path)?.saturating_sub(offset) <= TAIL_LEN_MAX as u64;
                if is_in_tail && !self.has_waited {
                    self.has_waited = true;
                    std::thread::sleep(WRITING);
                    lines.go_back(offset, number, chain);
                    continue;
                }
                if is_in_tail && (!ended || has_zeros || is_no_ledger(lines, &self.buffer)?) {
                    self.is_over = true;
                    return Ok(None);
                }
                lines.go_back(offset, number, chain);
                lines.read()?;
            }
            // As in `verify`: one altered line is one bad line.
            if let Ok(parsed) = line::parse(&self.buffer) {
                self.head = Some(parsed.head());
            }
            return Ok(Some(Step::Bad { path: &piece.path, line: number, text: &self.buffer, what }));
        }
    }
}

/// Whether no line from here to the end has a crc column, as after a power cut.
fn is_no_ledger(lines: &mut Lines<'_>, first: &[u8]) -> Result<bool, AuditError> {
    let mut has_crc = line::crc_column(first).is_some();
    while let Some(line) = lines.read()? {
        has_crc |= line.ended && line::crc_column(line.text).is_some();
    }
    Ok(!has_crc)
}
