//! `archived.txt`: the directories of archived segments, for messages about their entries
//! (design.md, section 9).
//!
//! ```text
//! first=1 last=2049 dir=/mnt/usb/archive          a line per run of entries in one directory; the path is the rest of the line
//! ```
//!
//! It is a note for people, and nothing depends on it: if it is missing or unreadable, messages say
//! only that entries are not here.

use std::fs;
use std::path::{Path, PathBuf};

use crate::engine::model::EntrySeq;

/// The file, in the ledger's directory.
pub const NAME: &str = "archived.txt";

/// A run of entries that was archived to one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// The first entry.
    pub first: EntrySeq,
    /// The last entry.
    pub last: EntrySeq,
    /// The directory's path at that time.
    pub dir: PathBuf,
}

/// The runs that are noted in a ledger's directory, the oldest first.
pub fn read(ledger_dir: &Path) -> Vec<Archived> {
    let text = fs::read_to_string(ledger_dir.join(NAME)).unwrap_or_default();
    text.lines().filter_map(parse).collect()
}

/// The directory that an entry was archived to, if it is noted.
pub fn place_of(ledger_dir: &Path, seq: EntrySeq) -> Option<PathBuf> {
    let found = read(ledger_dir).into_iter().rev().find(|run| (run.first..=run.last).contains(&seq));
    found.map(|run| run.dir)
}

fn parse(line: &str) -> Option<Archived> {
    let (first, rest) = line.strip_prefix("first=")?.split_once(' ')?;
    let (last, dir) = rest.strip_prefix("last=")?.split_once(" dir=")?;
    let seq = |text: &str| text.parse().ok().map(EntrySeq);
    Some(Archived { first: seq(first)?, last: seq(last)?, dir: PathBuf::from(dir) })
}

/// Notes the directory that these entries are archived to. Consecutive runs in one directory become
/// one.
///
/// # Errors
/// If the note cannot be written. Then the old note stays.
pub fn add(ledger_dir: &Path, run: Archived) -> std::io::Result<()> {
    let mut runs = read(ledger_dir);
    match runs.last_mut().filter(|last| last.dir == run.dir && run.first <= last.last.next()) {
        Some(last) => {
            last.first = last.first.min(run.first);
            last.last = last.last.max(run.last);
        }
        None => runs.push(run),
    }
    let line = |run: &Archived| format!("first={} last={} dir={}\n", run.first, run.last, run.dir.display());
    let text: String = runs.iter().map(line).collect();
    let temporary = ledger_dir.join("archived.txt.tmp");
    let written = fs::write(&temporary, text).and_then(|()| fs::File::open(&temporary)?.sync_all());
    if written.is_err() {
        let _left = fs::remove_file(&temporary);
    }
    written.and_then(|()| fs::rename(&temporary, ledger_dir.join(NAME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, last: u64, dir: &str) -> Archived {
        Archived { first: EntrySeq(first), last: EntrySeq(last), dir: PathBuf::from(dir) }
    }

    #[test]
    fn consecutive_runs_in_one_directory_become_one() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), []);
        for archived in [run(1, 10, "/a b/x"), run(11, 20, "/a b/x"), run(21, 30, "/c"), run(31, 40, "/a b/x")] {
            add(dir.path(), archived).unwrap();
        }
        // An interrupted archive is repeated.
        add(dir.path(), run(38, 50, "/a b/x")).unwrap();
        assert_eq!(read(dir.path()), [run(1, 20, "/a b/x"), run(21, 30, "/c"), run(31, 50, "/a b/x")]);
        let place = |seq| place_of(dir.path(), EntrySeq(seq));
        assert_eq!(place(20), Some(PathBuf::from("/a b/x")));
        assert_eq!((place(21), place(51)), (Some(PathBuf::from("/c")), None));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn unreadable_lines_are_skipped() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), "# by hand\nfirst=x last=2 dir=/a\nfirst=1 last=2 dir=/b\n").unwrap();
        assert_eq!(read(dir.path()), [run(1, 2, "/b")]);
    }
}
