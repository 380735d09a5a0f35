//! Copies of one segment, read as one: an archive that was stopped leaves some in both places, and
//! people keep backups beside the ledger (design.md, section 9).
//!
//! Of the copies of a segment the longest is read. A shorter one that is its beginning is a
//! *partial copy*: a copy that was stopped, or one of a segment that grew since. Copies that say
//! different things are told apart by which of them is what was written.

use std::io;

use super::header::Header;
use super::segment::{self, PIECE_LEN};
use super::storage::Files;
use super::verify::verify;

/// A copy that is not its segment's beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// Its path.
    pub file: String,
    /// The line of the first byte that differs, from 1.
    pub line: u64,
    /// A sentence.
    pub what: String,
}

/// The segments that are read, each once.
#[derive(Clone, Debug, Default)]
pub struct Once {
    /// Their names and headers, in the order of their entries; then what has no header that can be
    /// read.
    pub segments: Vec<(String, Option<Header>)>,
    /// Sentences about copies that are left out: of parts only, for one that is the same byte for
    /// byte says nothing new.
    pub partial: Vec<String>,
    /// How many copies are the same byte for byte.
    pub same: usize,
    /// Copies that say something else.
    pub differing: Vec<Differing>,
}

/// Chooses what is read of these files.
///
/// # Errors
/// If one cannot be read.
pub fn once<F: Files>(files: &F, names: Vec<String>) -> io::Result<Once> {
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
    let mut once = Once::default();
    for (_, names) in groups {
        let best = once.choose(files, names)?;
        let header = segment::read_header(files, &best)?.ok();
        once.segments.push((best, header));
    }
    for name in headless {
        // A copy that was stopped within its header is one all the same.
        let first = segment::first_of(name.rsplit('/').next().unwrap_or(&name));
        let of_same = |(_, header): &&(String, Option<Header>)| header.as_ref().map(|header| header.first) == first;
        let whole = once.segments.iter().find(of_same).filter(|_| first.is_some()).map(|(whole, _)| whole.clone());
        match whole {
            Some(whole) if difference(files, &whole, &name)?.is_none() => once.note_partial(files, &whole, &name)?,
            Some(_) | None => once.segments.push((name, None)),
        }
    }
    Ok(once)
}

impl Once {
    /// Of the copies of one segment.
    fn choose<F: Files>(&mut self, files: &F, mut names: Vec<String>) -> io::Result<String> {
        let longest = longest(files, &mut names)?;
        let mut differs = false;
        for name in &names {
            differs |= difference(files, &longest, name)?.is_some();
        }
        let best = if differs {
            // What was written goes before what is longer.
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
                    let what = format!("this copy differs from {} from byte {offset} on", files.path(&best));
                    self.differing.push(Differing { file: files.path(&name), line, what });
                }
            }
        }
        Ok(best)
    }

    fn note_partial<F: Files>(&mut self, files: &F, whole: &str, name: &str) -> io::Result<()> {
        let (len, of) = (files.len(name)?, files.len(whole)?);
        let (path, whole) = (files.path(name), files.path(whole));
        self.partial.push(format!("{path}: a partial copy, the first {len} of {of} bytes of {whole}: not read"));
        Ok(())
    }
}

/// Takes the longest out; of equals the first.
fn longest<F: Files>(files: &F, names: &mut Vec<String>) -> io::Result<String> {
    let mut best = (0, files.len(&names[0])?);
    for (place, name) in names.iter().enumerate().skip(1) {
        let len = files.len(name)?;
        if len > best.1 {
            best = (place, len);
        }
    }
    Ok(names.remove(best.0))
}

/// The line and the offset of the first byte in which the shorter one is not the other's beginning.
fn difference<F: Files>(files: &F, one: &str, other: &str) -> io::Result<Option<(u64, u64)>> {
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

    /// Where a copy is, and what is done to it.
    type Copied<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>));

    /// The same segment under other names.
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
    fn the_longest_copy_is_read_and_its_beginnings_are_named_as_that() {
        for keep in [0, 1, 300, 511, 512, 700, 900] {
            let (storage, names) = with_copies(&[("a", &|_| ()), ("b", &|bytes| bytes.truncate(keep))]);
            for names in [names.clone(), names.into_iter().rev().collect()] {
                let once = once(&storage, names).unwrap();
                assert_eq!((once.segments.len(), once.same, once.differing.len()), (1, 1, 0));
                assert_ne!(once.segments[0].0, format!("b/{FIRST}"));
                assert_eq!(once.partial.len(), 1, "{keep}");
                assert!(
                    once.partial[0].contains(&format!("b/{FIRST}: a partial copy, the first {keep} of")),
                    "{once:?}"
                );
            }
        }
    }

    #[test]
    fn of_copies_that_differ_the_one_that_was_written_is_read_and_the_other_is_named_with_its_line() {
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
                let once = once(&storage, names).unwrap();
                assert_eq!(once.segments[0].0, FIRST);
                let found: Vec<_> = once.differing.iter().map(|copy| (copy.file.as_str(), copy.line)).collect();
                assert_eq!(found, [(format!("a/{FIRST}").as_str(), line)]);
            }
        }
    }
}
