//! `posgate ledger show`: the entries that are asked for, and those to come (design.md, section 3).
//!
//! It judges nothing that `verify` would: a line that does not follow is named where it stands, in a line that begins with `#`, and the
//! exit code tells of it. A line that is just being written comes when it is whole.

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::source::{Item, Source, Step};
use super::{Calendar, Filter, Trouble};
use crate::ledger::header::HEADER_LEN;
use crate::ledger::segment::{self, Lines};
use crate::ledger::show::{write_entry, write_title};
use crate::ledger::storage::{DirFiles, Files};
use crate::ledger::{Head, line};
use crate::model::Entry;

/// How often a followed ledger is looked at.
const FOLLOW_MS: u16 = 200;

/// Entries kept for `--last`: more would be a copy of the ledger in memory.
pub const LAST_MAX: usize = 100_000;

/// What to print, and how.
#[derive(Clone, Debug, Default)]
pub struct Show {
    /// Which entries.
    pub filter: Filter,
    /// How their times are read.
    pub calendar: Calendar,
    /// Only the last of them.
    pub last: Option<usize>,
    /// The ledger's own lines instead of a table.
    pub raw: bool,
}

impl Show {
    /// Prints the entries there are. Gives the sentence about the first line that does not follow, and where following goes on.
    ///
    /// # Errors
    /// If a file cannot be read or the output not be written.
    pub fn print(&self, source: &Source, out: &mut dyn Write) -> Result<(Option<String>, Place), Trouble> {
        let mut out = BufWriter::new(out);
        if !self.raw {
            write_title(&mut out)?;
        }
        let mut damage = None;
        let mut kept: VecDeque<Vec<u8>> = VecDeque::new();
        let mut walk = source.walk_after(self.filter.after);
        while let Some(step) = walk.step()? {
            match step {
                Step::Entry(Item { text, entry, .. }) => {
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
        let head = walk.head();
        for text in kept {
            self.write(&mut out, &text)?;
        }
        out.flush()?;
        let damage = damage.map(|(path, line, what)| source.damage(&path, line, &what).to_string());
        Ok((damage, Place::after(source, head)?))
    }

    /// Prints what is appended from now on, in this segment and those after it, until nobody reads any more.
    ///
    /// # Errors
    /// If a file cannot be read or the output not be written, or the ledger goes on otherwise than it was read.
    pub fn follow(&self, mut place: Place, out: &mut (impl Write + AsFd)) -> Result<(), Trouble> {
        loop {
            if self.print_new(&mut place, out)? {
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

    /// Prints the whole lines that came since. Says whether a new segment began.
    fn print_new(&self, place: &mut Place, out: &mut impl Write) -> Result<bool, Trouble> {
        let mut buffered = BufWriter::new(&mut *out);
        let files = DirFiles::new("");
        let path = place.path.clone();
        let len = files.len(&path)?;
        if len < place.offset {
            return Err(Trouble::Damaged(format!("{path}: it was cut while it was followed: begin anew")));
        }
        let mut lines = Lines::new(&files, &path);
        lines.go_back(place.offset, place.line);
        while len > place.offset
            && let Some(line) = lines.read()?
        {
            if !line.ended {
                break;
            }
            let parsed = line::parse(line.text).ok().filter(|_| line.follows(place.head.crc));
            let Some(parsed) = parsed.filter(|parsed| parsed.entry.seq == place.head.seq.next()) else {
                let what = "this line does not follow: `posgate ledger verify` tells more";
                return Err(Trouble::Damaged(format!("{path}:{}: {what}", line.number)));
            };
            place.head = Head { seq: parsed.entry.seq, crc: parsed.crc };
            (place.offset, place.line) = (line.end(), line.number + 1);
            if self.wants(&parsed.entry) {
                self.write(&mut buffered, line.text)?;
            }
        }
        buffered.flush()?;
        place.turn_to_next(&files)
    }

    fn wants(&self, entry: &Entry) -> bool {
        self.filter.admits(entry, &self.calendar)
    }

    fn write(&self, out: &mut dyn Write, text: &[u8]) -> io::Result<()> {
        if self.raw {
            out.write_all(text)?;
            return out.write_all(b"\n");
        }
        write_entry(out, text)
    }
}

/// Where following goes on.
#[derive(Clone, Debug)]
pub struct Place {
    path: String,
    offset: u64,
    line: u64,
    head: Head,
}

impl Place {
    /// Behind the last entry that was read.
    fn after(source: &Source, head: Head) -> Result<Self, Trouble> {
        let piece = &source.pieces[source.pieces.len() - 1];
        let mut lines = Lines::new(&source.files, &piece.path);
        let (mut offset, mut number) = (HEADER_LEN as u64, 2);
        while let Some(line) = lines.read()? {
            let seq = line::parse(line.text).ok().filter(|_| line.ended).map(|parsed| parsed.entry.seq);
            if seq.is_none_or(|seq| seq > head.seq) {
                break;
            }
            (offset, number) = (line.end(), line.number + 1);
        }
        Ok(Self { path: piece.path.clone(), offset, line: number, head })
    }

    /// Goes to the segment that continues from here, if there is one: the file with the next entry's number in its name.
    fn turn_to_next(&mut self, files: &DirFiles) -> Result<bool, Trouble> {
        let name = segment::name_of(self.head.seq.next());
        let next = PathBuf::from(&self.path).with_file_name(&name);
        let next = next.display().to_string();
        if next == self.path || !PathBuf::from(&next).exists() {
            return Ok(false);
        }
        // Its header is written in one piece, and may not be there yet.
        let Ok(header) = segment::read_header(files, &next)? else { return Ok(false) };
        if (header.first, header.chain) != (self.head.seq.next(), self.head.crc) {
            return Err(Trouble::Damaged(format!("{next}:1: it does not continue from {}", self.head)));
        }
        (self.path, self.offset, self.line) = (next, HEADER_LEN as u64, 2);
        Ok(true)
    }
}

/// The directories or segments `places`, printed as `show` says and followed if `is_followed`. Gives what does not follow.
///
/// # Errors
/// If a file cannot be read, the output not be written, or there is no ledger.
pub fn run(
    places: &[PathBuf],
    show: &Show,
    is_followed: bool,
    out: &mut (impl Write + AsFd),
) -> Result<Option<String>, Trouble> {
    let source = Source::open(places)?;
    let (damage, place) = show.print(&source, out)?;
    if is_followed && damage.is_none() {
        show.follow(place, out)?;
    }
    Ok(damage)
}
