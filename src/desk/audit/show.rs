//! `posgate ledger show`: prints entries, and follows new ones (design.md, section 3).
//!
//! It is not `verify`: a line that does not follow is reported in place, in a line that begins with
//! `#`, and by the exit code. A line that is just being written is printed after it is whole.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::source::{After, Item, Piece, Source, Step, archived_words};
use super::{AuditError, Calendar, Filter};
use crate::desk::table;
use crate::engine::model::{Entry, EntrySeq};
use crate::lang::tr;
use crate::ledger::header::HEADER_LEN;
use crate::ledger::segment::{self, Lines};
use crate::ledger::storage::{DirFiles, Files};
use crate::ledger::{Head, HeldFiles, line};

/// Interval at which a followed ledger is read, in milliseconds.
const FOLLOW_MS: u16 = 200;

/// Most entries for `--last`: they are kept in memory.
pub const LAST_MAX: usize = 100_000;

/// The options of `show`.
#[derive(Clone, Debug, Default)]
pub struct Show {
    /// Which entries.
    pub filter: Filter,
    /// Converts times to local time.
    pub calendar: Calendar,
    /// Print only this many of the last entries.
    pub last: Option<usize>,
    /// Print the ledger's own lines instead of a table.
    pub raw: bool,
    /// Print only the columns that fit a terminal of 80 columns; all take some 200.
    pub is_narrow: bool,
    /// The last entry that the reader has; the ledger must have it.
    pub after: Option<After>,
}

impl Show {
    /// Prints the existing entries, up to the durable entry `limit`. Returns the sentence about the
    /// first line that does not follow, and the place where following begins.
    ///
    /// # Errors
    /// If a file cannot be read or the output cannot be written.
    pub fn print(
        &self,
        source: &Source,
        limit: Option<Head>,
        out: &mut dyn Write,
    ) -> Result<(Option<String>, FollowPosition), AuditError> {
        let mut out = BufWriter::new(out);
        if !self.raw {
            write_row(&mut out, &TABLE.map(|(title, ..)| title.to_owned()), self.is_narrow)?;
        }
        let mut damage = None;
        let mut kept: VecDeque<Vec<u8>> = VecDeque::new();
        let mut walk = source.walk_after(self.filter.after);
        let mut place = FollowPosition::before(source, self.filter.after);
        while limit.is_none_or(|limit| walk.head().seq < limit.seq)
            && let Some(step) = walk.step()?
        {
            match step {
                Step::Entry(Item { text, entry, piece, line, end, crc, .. }) => {
                    place.pass(piece, line, end, Head { seq: entry.seq, crc });
                    if !self.filter.admits(&entry, &self.calendar) {
                        continue;
                    }
                    match self.last {
                        None => self.write(&mut out, text)?,
                        Some(0) => (),
                        Some(last) => {
                            let mut place = if kept.len() == last.min(LAST_MAX) { kept.pop_front() } else { None };
                            let mut line = place.take().unwrap_or_default();
                            line.clear();
                            line.extend_from_slice(text);
                            kept.push_back(line);
                        }
                    }
                }
                Step::Bad { path, line, text, what } => {
                    let sentence = format!("{path}:{line}: {what}");
                    if self.last.is_none() {
                        writeln!(out, "# {sentence}")?;
                        if line > 1 && line::parse(text).is_ok_and(|parsed| self.wants(&parsed.entry)) {
                            self.write(&mut out, text)?;
                        }
                    }
                    damage.get_or_insert((path.to_owned(), line, what));
                }
            }
        }
        for text in kept {
            self.write(&mut out, &text)?;
        }
        out.flush()?;
        let damage = damage.map(|(path, line, what)| source.damage(&path, line, &what).to_string());
        Ok((damage, place))
    }

    /// Prints new entries, in this segment and later ones, until the reader of the output has gone;
    /// with `durable`, only up to the entry that it returns.
    ///
    /// # Errors
    /// If a file cannot be read, the output cannot be written, or a new line does not follow.
    pub fn follow(
        &self,
        mut place: FollowPosition,
        mut durable: Option<&mut AskSynced<'_>>,
        out: &mut (impl Write + AsFd),
    ) -> Result<(), AuditError> {
        loop {
            let limit = match &mut durable {
                None => Limit::None,
                Some(ask) => ask()?.map_or(Limit::Nothing, Limit::Head),
            };
            if self.print_new(&mut place, limit, out)? {
                continue;
            }
            let mut reader = [PollFd::new(out.as_fd(), PollFlags::empty())];
            match poll(&mut reader, PollTimeout::from(FOLLOW_MS)) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => (),
                Ok(_) => return Ok(()),
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }

    /// Prints the new whole lines; returns whether a new segment began.
    fn print_new(&self, place: &mut FollowPosition, limit: Limit, out: &mut impl Write) -> Result<bool, AuditError> {
        let limit = match limit {
            Limit::Nothing => return Ok(false),
            Limit::None => None,
            Limit::Head(limit) => Some(limit),
        };
        let mut buffered = BufWriter::new(&mut *out);
        place.keep_up()?;
        let path = place.path.clone();
        let files = place.files.clone();
        let len = files.len(&path)?;
        if len < place.offset {
            return Err(AuditError::Damaged(tr!(
                "{path}: it was cut while it was followed: start again",
                "{path}：跟读时被截短：请重新开始"
            )));
        }
        let mut lines = Lines::starting_at(&files, &path, place.offset, place.line, Some(place.head.crc));
        while len > place.offset
            && limit.is_none_or(|limit| place.head.seq < limit.seq)
            && let Some(line) = lines.read()?
        {
            if !line.ended {
                break;
            }
            let Some(parsed) = line.after(place.head.seq) else {
                let what = tr(
                    "this line does not follow: `posgate ledger verify` tells more",
                    "这一行接不上：详见 `posgate ledger verify`",
                );
                return Err(AuditError::Damaged(format!("{path}:{}: {what}", line.number)));
            };
            (place.head, place.offset, place.line) = (parsed.head(), line.end(), line.number + 1);
            if self.wants(&parsed.entry) {
                self.write(&mut buffered, line.text)?;
            }
        }
        buffered.flush()?;
        if let Some(limit) = limit.filter(|limit| limit.seq == place.head.seq && limit.crc != place.head.crc) {
            return Err(AuditError::Nothing(tr!(
                "diverged: the server has synced {limit}, and entry {} here has the crc {:08x}: is it another ledger?",
                "diverged: 服务器已落盘到 {limit}，而这里流水 {} 的 crc 是 {:08x}：是另一个账本吗？",
                place.head.seq,
                place.head.crc
            )));
        }
        place.turn_to_next()
    }

    fn wants(&self, entry: &Entry) -> bool {
        self.filter.admits(entry, &self.calendar)
    }

    fn write(&self, out: &mut dyn Write, text: &[u8]) -> io::Result<()> {
        if self.raw {
            out.write_all(text)?;
            return out.write_all(b"\n");
        }
        write_entry(out, text, self.is_narrow)
    }
}

/// Title, number of the ledger's column from 1, width (0: not padded), whether it is a number.
const TABLE: [(&str, usize, usize, bool); 16] = [
    ("seq", 1, 7, true),
    ("time", 2, 20, false),
    ("kind", 4, 11, false),
    ("machine", 5, 7, false),
    ("frame", 7, 5, false),
    ("card", 8, 10, false),
    ("account", 9, 10, false),
    ("amount", 10, 9, true),
    ("subsidy", 11, 8, true),
    ("uses", 12, 4, true),
    ("balance", 13, 9, true),
    ("sub_left", 14, 8, true),
    ("left", 15, 4, true),
    ("slot", 17, 8, false),
    ("ref", 18, 7, true),
    ("detail", 19, 0, false),
];

/// The columns that fit a terminal of 80 columns; the times are without their year.
const NARROW: [&str; 7] = ["seq", "time", "kind", "machine", "card", "amount", "balance"];

/// Writes a line of the ledger, without its LF, as a row of the table. It does not panic on any
/// bytes.
///
/// # Errors
/// If the output cannot be written.
pub fn write_entry(out: &mut dyn Write, text: &[u8], is_narrow: bool) -> io::Result<()> {
    let columns = line::columns(text).unwrap_or_default();
    let cells = TABLE.map(|(title, column, ..)| {
        let value = String::from_utf8_lossy(columns[column - 1]);
        match title {
            // Without milliseconds; `?` marks a time that was not believed.
            "time" => {
                let second = value.chars().take(19).collect::<String>().replace('T', " ");
                if columns[2] == b"unset" { second + "?" } else { second }
            }
            _ if value == "\\N" => String::new(),
            _ => value.into_owned(),
        }
    });
    write_row(out, &cells, is_narrow)
}

fn write_row(out: &mut dyn Write, cells: &[String; TABLE.len()], is_narrow: bool) -> io::Result<()> {
    let cells = TABLE.iter().zip(cells).filter(|((title, ..), _)| !is_narrow || NARROW.contains(title));
    let cells = cells.map(|((title, _, places, is_number), cell)| match *title {
        // `11-22 12:30:00`, and perhaps `?`.
        "time" if is_narrow => (cell.get(5..).unwrap_or(cell), 15, false),
        _ => (cell.as_str(), *places, *is_number),
    });
    writeln!(out, "{}", table::line(cells))
}

/// Returns the last entry that the running server has synced; `None` if no server runs or answers
/// at the moment.
pub type AskSynced<'a> = dyn FnMut() -> Result<Option<Head>, AuditError> + 'a;

/// How far a follower prints.
#[derive(Clone, Copy)]
enum Limit {
    /// To the end.
    None,
    /// Nothing: what is durable is not known.
    Nothing,
    /// Up to this entry.
    Head(Head),
}

/// The place from which a follower reads. The segment is held open, and later ones as soon as they
/// exist: `archive` may remove them.
#[derive(Clone, Debug)]
pub struct FollowPosition {
    files: HeldFiles,
    path: String,
    offset: u64,
    line: u64,
    head: Head,
    /// Later segments that are held open, oldest first.
    later: VecDeque<EntrySeq>,
}

impl FollowPosition {
    /// Before the first entry that a walk after `after` reads.
    fn before(source: &Source, after: EntrySeq) -> Self {
        let piece = source.piece_after(after);
        let (files, path, head) = (source.files.clone(), piece.path.clone(), piece.header.before());
        Self { files, path, offset: HEADER_LEN as u64, line: 2, head, later: VecDeque::new() }
    }

    /// Moves to the newest segment, which may have no entry yet, after the whole source was read,
    /// and closes the others.
    fn settle(&mut self, source: &Source) {
        let newest = &source.pieces[source.pieces.len() - 1];
        if newest.path != self.path && newest.header.first == self.head.seq.next() {
            newest.path.clone_into(&mut self.path);
            (self.offset, self.line) = (HEADER_LEN as u64, 2);
        }
        for piece in source.pieces.iter().filter(|piece| piece.header.first <= self.head.seq && piece.path != self.path)
        {
            self.files.let_go(Path::new(&piece.path));
        }
    }

    /// Moves past an entry that ends at `end`.
    fn pass(&mut self, piece: &Piece, line: u64, end: u64, head: Head) {
        if self.path != piece.path {
            piece.path.clone_into(&mut self.path);
        }
        (self.offset, self.line, self.head) = (end, line + 1, head);
    }

    /// Opens the segments that began since.
    fn keep_up(&mut self) -> Result<(), AuditError> {
        let dir = PathBuf::from(&self.path);
        let dir =
            dir.parent().map_or(Path::new("."), |dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir });
        let newest = self.later.back().copied().unwrap_or(self.head.seq);
        let own = Path::new(&self.path).file_name();
        let mut here = segment::list(&DirFiles::new(dir))?;
        here.retain(|segment| segment.first > newest && own != Some(OsStr::new(&segment.name)));
        for segment in here {
            let path = PathBuf::from(&self.path).with_file_name(&segment.name);
            match self.files.hold(&path) {
                Ok(()) => self.later.push_back(segment.first),
                // It is archived already.
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Moves to the segment with the next entry, if it exists; returns whether it did.
    fn turn_to_next(&mut self) -> Result<bool, AuditError> {
        let wanted = self.head.seq.next();
        let Some(first) = self.later.front().copied().filter(|first| *first <= wanted) else {
            return self.look_for_gap(wanted);
        };
        let next = PathBuf::from(&self.path).with_file_name(segment::name_of(first)).display().to_string();
        // Its header is written in one piece, and may not be there yet.
        let Ok(header) = segment::read_header(&self.files, &next)? else { return Ok(false) };
        if (header.first, header.chain) != (wanted, self.head.crc) {
            return Err(AuditError::Damaged(tr!(
                "{next}:1: it does not continue from {}",
                "{next}:1: 不是接着 {} 的",
                self.head
            )));
        }
        self.later.pop_front();
        self.files.let_go(Path::new(&self.path));
        (self.path, self.offset, self.line) = (next, HEADER_LEN as u64, 2);
        Ok(true)
    }

    /// Fails if a later segment exists, this one is read to its end, and the entries between them
    /// are archived.
    fn look_for_gap(&self, wanted: EntrySeq) -> Result<bool, AuditError> {
        let Some(first) = self.later.front() else { return Ok(false) };
        if self.files.len(&self.path)? > self.offset {
            return Ok(false);
        }
        let dir = Path::new(&self.path).parent().unwrap_or(Path::new("."));
        Err(AuditError::Nothing(archived_words(wanted, *first, [dir])))
    }
}

/// Prints the ledger in `places`, and follows it if `is_followed`. With `durable`, it prints only
/// entries that the running server has synced; if none runs, those that the next start would keep,
/// and no new ones until a server answers. Returns the sentence about the first line that does not
/// follow.
///
/// # Errors
/// If a file cannot be read, the output cannot be written, there is no ledger, or it does not
/// continue from [`Show::after`].
pub fn run(
    places: &[PathBuf],
    show: &Show,
    is_followed: bool,
    mut durable: Option<&mut AskSynced<'_>>,
    out: &mut (impl Write + AsFd),
) -> Result<Option<String>, AuditError> {
    // Before the files are opened, so that they have all that is durable.
    let limit = match &mut durable {
        None => None,
        Some(ask) => ask()?,
    };
    let source = Source::open(places)?;
    if let Some(after) = show.after {
        source.check_after(after)?;
    }
    if let Some(limit) = limit {
        source.check_limit(limit)?;
    }
    let (damage, mut place) = show.print(&source, limit, out)?;
    if is_followed && damage.is_none() {
        place.settle(&source);
        drop(source);
        show.follow(place, durable, out)?;
    }
    Ok(damage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned_in_every_alphabet() {
        let row = |account: &str, is_narrow| {
            let line = [
                "1\t2026-11-22T12:00:00.000+08:00\tunset\ttopup\t00001\t\\N\t00009\t0088888888\t",
                account,
                "\t1.00\t0.00\t0\t1.00\t0.00\t0\t\\N\t三楼东门\t\\N\tby=张\t00000000",
            ];
            printed(|out| write_entry(out, line.concat().as_bytes(), is_narrow))
        };
        let titles = printed(|out| write_row(out, &TABLE.map(|(title, ..)| title.to_owned()), false));
        for account in ["\\N", "S0001", "学生甲", "一二三四五"] {
            let row = row(account, false);
            let place = |cell: &str| row.find(cell).map(|at| table::width(&row[..at]));
            for (title, cell) in [("time", "2026-11-22 12:00:00?"), ("slot", "三楼东门"), ("detail", "by=张")] {
                assert_eq!(place(cell), titles.find(title), "{titles}{row}");
            }
        }
        let narrow = "      1  11-22 12:00:00?  topup        00001    0088888888       1.00       1.00\n";
        assert_eq!(row("学生甲", true), narrow);
    }
}
