//! Whether segments that were named together are one ledger: of one number, or a chain of branches
//! (design.md, section 9).
//!
//! A branch states which entry it began after, `parent=`. If its parent goes on beyond that entry,
//! or another branch began there too, there are two histories from there on, and a reader must not
//! silently choose one.

use std::io;

use crate::lang::tr;

use super::header::{Header, Parent};
use super::line;
use super::segment::Lines;
use super::storage::Files;

/// Bytes at a segment's end that are searched for its last line: more than the longest line and a
/// torn tail after it.
const END_LEN: u64 = 80 * 1024;

/// Why the segments are not one ledger: a sentence; `None` if they are. `pieces`: path and header
/// of each.
///
/// # Errors
/// If a file cannot be read.
pub fn contradiction(files: &dyn Files, pieces: &[(&str, &Header)]) -> io::Result<Option<String>> {
    let mut names: Vec<(u64, Option<Parent>, &str)> = Vec::new();
    for (path, header) in pieces {
        if names.iter().all(|(known, ..)| *known != header.ledger) {
            names.push((header.ledger, header.parent, path));
        }
    }
    let is_parent = |name: u64| names.iter().any(|(_, parent, _)| parent.is_some_and(|parent| parent.ledger == name));
    // The branches that have no branch of their own.
    let mut ends = names.iter().filter(|(name, ..)| !is_parent(*name));
    let (Some(newest), other) = (ends.next(), ends.next()) else { return Ok(None) };
    if let Some(other) = other {
        let [(one, of_one, at_one), (two, of_two, at_two)] = [newest, other];
        let common = of_one.zip(*of_two).filter(|(one, two)| one.ledger == two.ledger);
        return Ok(Some(match common {
            Some((parent, _)) => tr!(
                "two branches of one ledger: {one:016x} ({at_one}) and {two:016x} ({at_two}) both began from {:016x}, and differ from there on: \
                 read them one by one",
                "同一账本的两个分支：{one:016x}（{at_one}）和 {two:016x}（{at_two}）都从 {:016x} 分出，此后不同：请一个一个读",
                parent.ledger
            ),
            None => tr!(
                "{at_two} belongs to ledger {two:016x}, {at_one} to {one:016x}: these are two ledgers: read them one by one",
                "{at_two} 属于账本 {two:016x}，{at_one} 属于 {one:016x}：这是两个账本：请一个一个读"
            ),
        }));
    }
    // From the newest to the oldest: each must begin where its parent ends.
    let mut place = *newest;
    for _ in 0..names.len() {
        let (name, Some(parent), path) = place else { break };
        let of_parent = pieces.iter().filter(|(_, header)| header.ledger == parent.ledger);
        for (older, header) in of_parent {
            let last = last_seq(files, older)?.unwrap_or(header.before().seq.0);
            if last > parent.head.seq.0 {
                return Ok(Some(tr!(
                    "two branches of one ledger: {:016x} goes on to entry {last} in {older}, and {name:016x} ({path}) began after its entry {}: \
                     they differ from there on: read them one by one",
                    "同一账本的两个分支：{:016x} 在 {older} 里记到流水 {last}，而 {name:016x}（{path}）从它的流水 {} 之后分出：此后不同：请一个一个读",
                    parent.ledger,
                    parent.head.seq
                )));
            }
        }
        match names.iter().find(|(known, ..)| *known == parent.ledger) {
            Some(older) => place = *older,
            None => break,
        }
    }
    Ok(None)
}

/// The number of a segment's last whole line.
fn last_seq(files: &dyn Files, name: &str) -> io::Result<Option<u64>> {
    // The first line is perhaps the end of one, which cannot be read.
    let mut lines = Lines::starting_at(files, name, files.len(name)?.saturating_sub(END_LEN), 0, None);
    let mut last = None;
    while let Some(line) = lines.read()? {
        let parsed = line::parse(line.text).ok().filter(|_| line.ended);
        last = last.max(parsed.map(|parsed| parsed.entry.seq.0));
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::super::storage::MemoryStorage;
    use super::super::testing;
    use super::super::writer::Ledger;
    use super::super::{Entries, segment};
    use super::*;
    use crate::engine::model::Entry;

    fn append(ledger: &mut Ledger<&mut MemoryStorage>, entries: u64) {
        for _ in 0..entries {
            ledger.append(&testing::entry(ledger.next_seq().0));
        }
        ledger.write().unwrap();
        ledger.sync().unwrap();
    }

    fn go_on(storage: &mut MemoryStorage, name: u64, branch: Option<u64>, entries: u64) {
        let opened = Ledger::open(storage, "test", testing::stamp(), || name, &mut Entries(|_: &Entry| Ok(())));
        let (mut ledger, _) = opened.map_err(|error| error.to_string()).unwrap();
        if let Some(branch) = branch {
            ledger.branch(branch, testing::stamp()).unwrap();
        }
        append(&mut ledger, entries);
    }

    /// The sentence about the segments of several directories together.
    fn said(directories: &[&MemoryStorage]) -> Option<String> {
        let mut all = MemoryStorage::default();
        for (number, storage) in directories.iter().enumerate() {
            for (name, bytes) in &storage.files {
                all.files.insert(format!("{number}/{name}"), bytes.clone());
            }
        }
        let headers: Vec<(String, Header)> =
            all.files.keys().map(|name| (name.clone(), segment::read_header(&all, name).unwrap().unwrap())).collect();
        let pieces: Vec<(&str, &Header)> = headers.iter().map(|(name, header)| (name.as_str(), header)).collect();
        contradiction(&all, &pieces).unwrap()
    }

    #[test]
    fn the_last_whole_line_is_found_before_a_torn_tail() {
        for (entries, rest) in [(0, 0), (1, 0), (700, 0), (700, 1), (700, 70_000)] {
            for byte in [0, b'x'] {
                let mut storage = testing::ledger_of(&vec![testing::Line::Good; entries]);
                storage.files.get_mut(testing::FIRST).unwrap().extend(vec![byte; rest]);
                let last = last_seq(&storage, testing::FIRST).unwrap();
                assert_eq!(last, (entries > 0).then_some(entries as u64), "{entries} {rest} {byte}");
            }
        }
    }

    #[test]
    fn a_chain_of_branches_is_one_ledger_and_two_branches_of_one_parent_are_two() {
        let mut stem = MemoryStorage::default();
        go_on(&mut stem, 0xA1, None, 20);
        let (mut one, mut two, mut on) = (stem.clone(), stem.clone(), stem.clone());
        go_on(&mut one, 0, Some(0xB2), 5);
        go_on(&mut two, 0, Some(0xC3), 7);
        go_on(&mut on, 0, None, 3);
        let mut other = MemoryStorage::default();
        go_on(&mut other, 0xEE, None, 4);
        assert_eq!(said(&[&stem]), None);
        assert_eq!(said(&[&one]), None);
        assert_eq!(said(&[&stem, &one]), None, "an older copy is the beginning of the branch");
        let branches = said(&[&one, &two]).unwrap();
        for word in ["two branches", "00000000000000b2", "00000000000000c3", "00000000000000a1", "one by one"] {
            assert!(branches.contains(word), "{word}: {branches}");
        }
        for beside in [said(&[&on, &one]).unwrap(), said(&[&one, &on]).unwrap()] {
            for word in ["two branches", "00000000000000a1", "entry 23", "entry 20", "00000000000000b2"] {
                assert!(beside.contains(word), "{word}: {beside}");
            }
        }
        let contradictions = said(&[&one, &other]).unwrap();
        assert!(
            contradictions.contains("two ledgers") && contradictions.contains("00000000000000ee"),
            "{contradictions}"
        );
        crate::lang::speak(crate::lang::Lang::Zh);
        assert!(said(&[&one, &two]).unwrap().contains("同一账本的两个分支"));
        assert!(said(&[&on, &one]).unwrap().contains("记到流水 23"));
        assert!(said(&[&one, &other]).unwrap().contains("这是两个账本"));
        crate::lang::speak(crate::lang::Lang::En);
        // A branch of a branch.
        go_on(&mut one, 0, Some(0xD4), 5);
        assert_eq!((said(&[&one]), said(&[&stem, &one])), (None, None));
        assert!(said(&[&one, &on]).unwrap().contains("two branches"));
    }
}
