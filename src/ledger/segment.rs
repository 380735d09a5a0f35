//! The files of a ledger: their names, and their lines one after the other (design.md, section 7).
//!
//! Lines are read in pieces of [`PIECE_LEN`], so a segment of any size takes that much memory. They
//! are bytes here: [`super::recovery`] and [`super::verify`] judge them.

use std::io;
use std::path::PathBuf;

use crate::engine::model::EntrySeq;

use super::copies::{self, Deduplicated};
use super::header::{HEADER_LEN, Header, HeaderError};
use super::held::HeldFiles;
use super::line::{self, Parsed};
use super::storage::Files;

/// The link to the newest segment.
pub(crate) const LINK: &str = "ledger.tsv";

/// Bytes that are read at a time. A longer run of bytes without an LF counts as several bad lines.
pub const PIECE_LEN: usize = 64 * 1024;

/// One segment of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// The number of its first entry, from its name.
    pub first: EntrySeq,
    /// The file's name.
    pub name: String,
}

/// The name of the segment that begins with this entry.
pub fn name_of(first: EntrySeq) -> String {
    stack_name_of(first).as_str().to_owned()
}

/// A segment's name without an allocation, because a segment begins inside a turn.
pub(super) type Name = heapless::String<31>;

/// As [`name_of`].
pub(super) fn stack_name_of(first: EntrySeq) -> Name {
    heapless::format!("ledger-{:010}.tsv", first.0).expect("twenty digits and eleven characters at most")
}

/// The number of the first entry, from a segment's name; `None` if it is not a segment's name.
pub fn first_of(name: &str) -> Option<EntrySeq> {
    let digits = name.strip_prefix("ledger-")?.strip_suffix(".tsv")?;
    let first = EntrySeq(digits.parse().ok()?);
    (name_of(first) == name && first.0 > 0).then_some(first)
}

/// The segments of a directory, oldest first.
///
/// # Errors
/// If the directory cannot be read.
pub fn list(files: &dyn Files) -> io::Result<Vec<Segment>> {
    let names = files.list()?;
    let mut segments: Vec<Segment> =
        names.into_iter().filter_map(|name| first_of(&name).map(|first| Segment { first, name })).collect();
    segments.sort();
    Ok(segments)
}

/// The first line of a segment.
///
/// # Errors
/// The outer one if the file cannot be read, the inner one if its first bytes are not a header.
pub(crate) fn read_header(files: &dyn Files, name: &str) -> io::Result<Result<Header, HeaderError>> {
    let mut bytes = [0; HEADER_LEN];
    let len = files.read_at(name, 0, &mut bytes)?;
    Ok(Header::parse(&bytes[..len]))
}

/// The segment of `segments` that holds the entry `seq`, if any does: the last that begins at or
/// before it.
pub(super) fn holding(segments: &[Segment], seq: EntrySeq) -> Option<&Segment> {
    segments.iter().rev().find(|segment| segment.first <= seq)
}

/// Gives the line of the entry `seq` in a segment to `read`, whether the line is good or not.
/// `None` if there is no such line. `chain` is as in [`Lines::new`].
///
/// # Errors
/// If the file cannot be read.
pub(super) fn find_line<T>(
    files: &dyn Files,
    name: &str,
    chain: Option<u32>,
    seq: EntrySeq,
    read: impl FnOnce(&Line) -> T,
) -> io::Result<Option<T>> {
    let mut lines = Lines::new(files, name, chain);
    let start = format!("{seq}\t");
    while let Some(line) = lines.read()? {
        if line.text.starts_with(start.as_bytes()) {
            return Ok(Some(read(&line)));
        }
    }
    Ok(None)
}

/// Segments to read: those of a directory, or files that a person chose.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// The open files.
    pub files: HeldFiles,
    /// The names of the segments, in the order of their entries.
    pub names: Vec<String>,
    /// Whether one directory was named: then its segments are the whole ledger.
    pub is_directory: bool,
    /// The copies that are not read.
    pub copies: Deduplicated,
}

impl Selection {
    /// Opens one directory, or segment files and directories together, such as an archive and the
    /// live ledger.
    ///
    /// # Errors
    /// If a file does not exist, or a directory holds no segment.
    pub fn new(paths: &[PathBuf]) -> io::Result<Self> {
        let (files, names) = HeldFiles::of_places(paths)?;
        if let [dir] = paths
            && dir.is_dir()
        {
            let files = files.in_dir(dir);
            let names = list(&files)?.into_iter().map(|segment| segment.name).collect();
            return Ok(Self { files, names, is_directory: true, copies: Deduplicated::default() });
        }
        let copies = copies::deduplicate(&files, names)?;
        let names = copies.segments.iter().map(|(name, _)| name.clone()).collect();
        Ok(Self { files, names, is_directory: false, copies })
    }
}

/// The lines of a segment after its header, in order.
pub struct Lines<'a> {
    files: &'a dyn Files,
    name: &'a str,
    piece: Box<[u8]>,
    /// The unread part of `piece`.
    start: usize,
    end: usize,
    /// The offset of `start` in the file, and the number of the line that begins there.
    offset: u64,
    number: u64,
    /// The crc column of the line before; `None` if it had none or is unknown.
    chain: Option<u32>,
}

/// A line, or a fragment without its LF.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Its offset in the file.
    pub offset: u64,
    /// Its number from 1; line 1 is the header.
    pub number: u64,
    /// Its bytes without the LF.
    pub text: &'a [u8],
    /// Whether an LF ends it. If not, the file ends here, or a whole piece holds no LF.
    pub ended: bool,
    /// The crc column of the line before, whether that line is good or not; `None` if it had none
    /// or is unknown.
    pub chain: Option<u32>,
}

impl Line<'_> {
    /// Whether its crc follows from the crc column of the line before.
    pub fn is_chained(&self) -> bool {
        self.chain.is_some_and(|chain| self.follows(chain))
    }

    /// Whether it has its LF, and its crc follows from `chain`.
    pub fn follows(&self, chain: u32) -> bool {
        self.ended && line::follows(self.text, chain)
    }

    /// The parsed line, if it is the good line after the entry `last`: its crc follows, its columns
    /// can be read, and its seq is the next.
    pub fn after(&self, last: EntrySeq) -> Option<Parsed> {
        let parsed = self.is_chained().then(|| line::parse(self.text).ok())?;
        parsed.filter(|parsed| parsed.entry.seq == last.next())
    }

    /// Whether a page in it never reached the medium: it begins with a zero byte, or holds two side
    /// by side. No program writes a zero byte, and such a page has many. A single zero within a
    /// line is a space with a flipped bit, and the lines after it are durable.
    pub(crate) fn has_zeros(&self) -> bool {
        self.text.first() == Some(&0) || self.text.windows(2).any(|two| two == [0, 0])
    }

    /// The offset of the next line.
    pub fn end(&self) -> u64 {
        self.offset + self.text.len() as u64 + u64::from(self.ended)
    }
}

impl<'a> Lines<'a> {
    /// The lines after the header. The first one must follow from `chain`, the header's.
    pub fn new(files: &'a dyn Files, name: &'a str, chain: Option<u32>) -> Self {
        Self::starting_at(files, name, HEADER_LEN as u64, 2, chain)
    }

    /// The lines from `offset` on, where the line `number` begins. That line must follow from
    /// `chain`.
    pub fn starting_at(files: &'a dyn Files, name: &'a str, offset: u64, number: u64, chain: Option<u32>) -> Self {
        let piece = vec![0; PIECE_LEN].into_boxed_slice();
        Self { files, name, piece, start: 0, end: 0, offset, number, chain }
    }

    /// Returns to a line that was read before. From there the file is read again.
    pub(crate) fn go_back(&mut self, offset: u64, number: u64, chain: Option<u32>) {
        (self.start, self.end) = (0, 0);
        (self.offset, self.number, self.chain) = (offset, number, chain);
    }

    /// The crc column of the line that was read last.
    pub fn chain(&self) -> Option<u32> {
        self.chain
    }

    /// The next line; `None` at the end of the file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = 0;
        let (len, ended) = loop {
            let unread = &self.piece[self.start..self.end];
            if let Some(at) = memchr::memchr(b'\n', &unread[searched..]) {
                break (searched + at, true);
            }
            searched = unread.len();
            if searched == self.piece.len() || self.read_more()? == 0 {
                break (searched, false);
            }
        };
        if len == 0 && !ended {
            return Ok(None);
        }
        let (offset, number, start) = (self.offset, self.number, self.start);
        self.start += len + usize::from(ended);
        self.number += u64::from(ended);
        let line = Line { offset, number, text: &self.piece[start..start + len], ended, chain: self.chain };
        self.offset = line.end();
        self.chain = line::crc_column(line.text);
        Ok(Some(line))
    }

    fn read_more(&mut self) -> io::Result<usize> {
        self.piece.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let count = self.files.read_at(self.name, self.offset + self.end as u64, &mut self.piece[self.end..])?;
        self.end += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::storage::MemoryStorage;
    use super::*;

    #[test]
    fn a_name_holds_the_first_number() {
        assert_eq!(name_of(EntrySeq(1)), "ledger-0000000001.tsv");
        assert_eq!(first_of("ledger-0000000042.tsv"), Some(EntrySeq(42)));
        assert_eq!(first_of(&name_of(EntrySeq(u64::MAX))), Some(EntrySeq(u64::MAX)));
        for other in ["ledger.tsv", "ledger-42.tsv", "ledger-0000000000.tsv", "ledger-0000000001.tsv.torn", "lock", ""]
        {
            assert_eq!(first_of(other), None, "{other}");
        }
    }

    #[test]
    fn lines_are_found_whatever_their_length_and_the_pieces_they_fall_in() {
        for len in [0, 1, 100, PIECE_LEN - 1, PIECE_LEN / 3 + 1] {
            let mut storage = MemoryStorage::default();
            let mut bytes = vec![b'#'; HEADER_LEN];
            for index in 0..9_u8 {
                bytes.extend(vec![b'a' + index; len]);
                bytes.push(b'\n');
            }
            bytes.extend(b"rest");
            storage.files.insert("x".to_owned(), bytes);
            let mut lines = Lines::new(&storage, "x", None);
            for index in 0..9_u8 {
                let line = lines.read().unwrap().unwrap();
                assert_eq!(line.text, vec![b'a' + index; len]);
                assert_eq!((line.number, line.ended), (u64::from(index) + 2, true));
                assert_eq!(line.offset, (HEADER_LEN + usize::from(index) * (len + 1)) as u64);
            }
            let rest = lines.read().unwrap().unwrap();
            assert_eq!((rest.text, rest.ended, rest.number), (&b"rest"[..], false, 11));
            assert!(lines.read().unwrap().is_none());
            lines.go_back((HEADER_LEN + len + 1) as u64, 3, None);
            assert_eq!(lines.read().unwrap().unwrap().text, vec![b'b'; len]);
        }
    }

    #[test]
    fn a_run_without_an_end_comes_in_pieces() {
        let mut storage = MemoryStorage::default();
        storage.files.insert("x".to_owned(), vec![0; HEADER_LEN + PIECE_LEN * 2 + 5]);
        let mut lines = Lines::new(&storage, "x", None);
        for len in [PIECE_LEN, PIECE_LEN, 5] {
            let line = lines.read().unwrap().unwrap();
            assert_eq!((line.text.len(), line.ended, line.number), (len, false, 2));
            assert!(line.has_zeros());
        }
        assert!(lines.read().unwrap().is_none());
    }
}
