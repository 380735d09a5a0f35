//! Copies of one segment, read as one: an interrupted archive leaves segments in both places, and
//! people keep backups beside the ledger (design.md, section 9).
//!
//! Of the copies of a segment the longest is read. A shorter copy that equals its beginning is a
//! *partial copy*: it was interrupted, or the segment has grown since. If copies differ, the one
//! with the least damage is read.

use std::io;

use crate::lang::tr;

use super::header::Header;
use super::segment::{self, PIECE_LEN};
use super::storage::Files;
use super::verify::verify;

/// A copy that differs from the segment that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Differing {
    /// The copy's path.
    pub file: String,
    /// The line of the first byte that differs, from 1.
    pub line: u64,
    /// The difference in a sentence.
    pub what: String,
}

/// The segments to read, each once, and their other copies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deduplicated {
    /// Names and headers of the segments, in the order of their entries; files without a readable
    /// header come last.
    pub segments: Vec<(String, Option<Header>)>,
    /// A sentence for each partial copy. Partial copies are not read.
    pub partial: Vec<String>,
    /// The number of copies that are the same byte for byte. They are not read.
    pub same: usize,
    /// Copies that differ. They are not read.
    pub differing: Vec<Differing>,
}

/// Chooses one copy of each segment among these files.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn deduplicate(files: &dyn Files, names: Vec<String>) -> io::Result<Deduplicated> {
    let mut groups: Vec<(Header, Vec<String>)> = Vec::new();
    let mut headless = Vec::new();
    for name in names {
        let Ok(header) = segment::read_header(files, &name)? else {
            headless.push(name);
            continue;
        };
        let is_same =
            |(known, _): &&mut (Header, Vec<String>)| (known.ledger, known.first) == (header.ledger, header.first);
        match groups.iter_mut().find(is_same) {
            Some((_, names)) => names.push(name),
            None => groups.push((header, vec![name])),
        }
    }
    groups.sort_by_key(|(header, _)| header.first);
    let mut all = Deduplicated::default();
    for (_, names) in groups {
        let best = all.choose(files, names)?;
        let header = segment::read_header(files, &best)?.ok();
        all.segments.push((best, header));
    }
    for name in headless {
        // A copy that was interrupted within its header is a partial copy too.
        let first = segment::first_of(name.rsplit('/').next().unwrap_or(&name));
        let of_same = |(_, header): &&(String, Option<Header>)| header.as_ref().map(|header| header.first) == first;
        let whole = all.segments.iter().find(of_same).filter(|_| first.is_some()).map(|(whole, _)| whole.clone());
        match whole {
            Some(whole) if difference(files, &whole, &name)?.is_none() => all.note_partial(files, &whole, &name)?,
            Some(_) | None => all.segments.push((name, None)),
        }
    }
    Ok(all)
}

impl Deduplicated {
    /// Chooses one of the copies of a segment, and notes the others.
    fn choose(&mut self, files: &dyn Files, mut names: Vec<String>) -> io::Result<String> {
        let longest = longest(files, &mut names)?;
        let mut differs = false;
        for name in &names {
            differs |= difference(files, &longest, name)?.is_some();
        }
        let best = if differs {
            // A copy with less damage comes before a longer one.
            let mut all: Vec<String> = core::iter::once(longest).chain(names).collect();
            let mut codes = Vec::new();
            for name in &all {
                codes.push(verify(files, core::slice::from_ref(name), false, &mut || ())?.exit_code().max(1));
            }
            let lowest = codes.iter().copied().min().unwrap_or_default();
            let place = codes.iter().position(|code| *code == lowest).unwrap_or_default();
            let best = all.remove(place);
            names = all;
            best
        } else {
            longest
        };
        for name in names {
            match difference(files, &best, &name)? {
                None if files.len(&name)? < files.len(&best)? => self.note_partial(files, &best, &name)?,
                None => self.same += 1,
                Some((line, offset)) => {
                    let what = tr!(
                        "this copy differs from {} from byte {} on",
                        "这份副本从第 {1} 字节起与 {0} 不同",
                        files.path(&best),
                        offset
                    );
                    self.differing.push(Differing { file: files.path(&name), line, what });
                }
            }
        }
        Ok(best)
    }

    fn note_partial(&mut self, files: &dyn Files, whole: &str, name: &str) -> io::Result<()> {
        let (len, of) = (files.len(name)?, files.len(whole)?);
        let (path, whole) = (files.path(name), files.path(whole));
        self.partial.push(tr!(
            "{path}: a partial copy, the first {len} of {of} bytes of {whole}: not read",
            "{path}：不完整的副本，只有 {whole} 的 {of} 字节里的前 {len} 字节：不读"
        ));
        Ok(())
    }
}

/// Removes and returns the name of the longest file; of equals the first.
fn longest(files: &dyn Files, names: &mut Vec<String>) -> io::Result<String> {
    let mut best = (0, files.len(&names[0])?);
    for (place, name) in names.iter().enumerate().skip(1) {
        let len = files.len(name)?;
        if len > best.1 {
            best = (place, len);
        }
    }
    Ok(names.remove(best.0))
}

/// Line and offset of the first byte that differs, within the length of the shorter file.
pub(super) fn difference(files: &dyn Files, one: &str, other: &str) -> io::Result<Option<(u64, u64)>> {
    let len = files.len(one)?.min(files.len(other)?);
    let (mut ours, mut theirs) = (vec![0; PIECE_LEN], vec![0; PIECE_LEN]);
    let (mut offset, mut line) = (0, 1);
    while offset < len {
        let wanted = usize::try_from(len - offset).unwrap_or(PIECE_LEN).min(PIECE_LEN);
        let got = files.read_at(one, offset, &mut ours[..wanted])?.min(files.read_at(
            other,
            offset,
            &mut theirs[..wanted],
        )?);
        if got == 0 {
            break;
        }
        let place = ours[..got].iter().zip(&theirs[..got]).position(|(ours, theirs)| ours != theirs);
        let same = &ours[..place.unwrap_or(got)];
        line += memchr::memchr_iter(b'\n', same).count() as u64;
        if place.is_some() {
            return Ok(Some((line, offset + same.len() as u64)));
        }
        offset += got as u64;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::storage::MemoryStorage;
    use super::super::testing::{self, FIRST, Line as Spec};
    use super::*;

    /// Where a copy is, and how it is changed.
    type Copied<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>));

    /// A segment, and changed copies of it under other names.
    fn with_copies(copies: &[Copied]) -> (MemoryStorage, Vec<String>) {
        let mut storage = testing::ledger_of(&[Spec::Good; 6]);
        let whole = storage.files[FIRST].clone();
        let mut names = vec![FIRST.to_owned()];
        for (place, change) in copies {
            let mut bytes = whole.clone();
            change(&mut bytes);
            let name = format!("{place}/{FIRST}");
            storage.files.insert(name.clone(), bytes);
            names.push(name);
        }
        (storage, names)
    }

    #[test]
    fn the_longest_copy_is_read_and_partial_copies_are_named() {
        for keep in [0, 1, 300, 511, 512, 700, 900] {
            let (storage, names) = with_copies(&[("a", &|_| ()), ("b", &|bytes| bytes.truncate(keep))]);
            for names in [names.clone(), names.into_iter().rev().collect()] {
                let all = deduplicate(&storage, names).unwrap();
                assert_eq!((all.segments.len(), all.same, all.differing.len()), (1, 1, 0));
                assert_ne!(all.segments[0].0, format!("b/{FIRST}"));
                assert_eq!(all.partial.len(), 1, "{keep}");
                assert!(all.partial[0].contains(&format!("b/{FIRST}: a partial copy, the first {keep} of")), "{all:?}");
            }
        }
    }

    #[test]
    fn if_copies_differ_the_one_without_damage_is_read_and_the_other_is_named_with_its_line() {
        let altered: &dyn Fn(&mut Vec<u8>) = &|bytes| {
            let at = testing::offset_of(bytes, 4);
            bytes[at + 20] ^= 1;
        };
        let longer: &dyn Fn(&mut Vec<u8>) = &|bytes| {
            let at = testing::offset_of(bytes, 2);
            bytes[at + 20] ^= 1;
            bytes.extend(b"more\n");
        };
        for (change, line) in [(altered, 5), (longer, 3)] {
            let (storage, names) = with_copies(&[("a", change)]);
            for names in [names.clone(), names.into_iter().rev().collect()] {
                let all = deduplicate(&storage, names).unwrap();
                assert_eq!(all.segments[0].0, FIRST);
                let found: Vec<_> = all.differing.iter().map(|copy| (copy.file.as_str(), copy.line)).collect();
                assert_eq!(found, [(format!("a/{FIRST}").as_str(), line)]);
            }
        }
    }
}
