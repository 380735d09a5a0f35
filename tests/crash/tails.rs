//! Every end that a power cut may leave of a segment, on real files: cut at any byte, or followed
//! by zeros. (The unit tests of recovery do the same in memory, where every step can be made to
//! fail; here it is the kernel's files, lengths and locks.)

use std::fs;
use std::path::Path;

use posgate::engine::model::{Entry, Stamp};
use posgate::ledger::{DirStorage, Entries, Ledger, Opened};

use crate::harness::{Device, Site, card};

const ZEROS_MAX: usize = 8192;

/// A segment that the real binary wrote.
fn segment() -> Vec<u8> {
    let site = Site::new();
    let server = site.start();
    let mut till = Device::new(1, &server);
    for number in 1..=4 {
        till.pay(&card(number), "1.00");
    }
    server.kill();
    fs::read(site.segment()).unwrap()
}

/// A directory in memory if there is one: thousands of starts sync some times each.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn open(dir: &Path) -> (Opened, u64) {
    let mut count = 0;
    let mut entries = Entries(|_: &Entry| {
        count += 1;
        Ok(())
    });
    let created = Stamp::parse("2026-11-22T12:00:00.000+08:00").unwrap();
    let storage = DirStorage::open(dir).unwrap();
    let (_, opened) =
        Ledger::open(storage, "site", created, || 7, &mut entries).unwrap_or_else(|error| panic!("{error}"));
    (opened, count)
}

/// Starts on a segment of these bytes, of which the first `good` are whole lines, and once more.
fn start_twice(bytes: &[u8], good: usize, what: &str) {
    let dir = directory();
    let path = dir.path().join("ledger-0000000001.tsv");
    fs::write(&path, bytes).unwrap();
    let lines = bytes[..good].split(|byte| *byte == b'\n').count() as u64 - 2;
    let (opened, entries) = open(dir.path());
    assert_eq!((opened.entries, entries, opened.cut.is_some()), (lines, lines, good < bytes.len()), "{what}");
    assert_eq!(fs::read(&path).unwrap(), bytes[..good], "{what}");
    let torn = fs::read(dir.path().join("ledger-0000000001.tsv.torn")).ok();
    assert_eq!(torn.as_deref(), (good < bytes.len()).then_some(&bytes[good..]), "{what}: what was cut is kept");
    let (again, same) = open(dir.path());
    assert_eq!((again.cut, again.head, same), (None, opened.head, entries), "{what}: mended once is mended");
}

#[test]
fn a_segment_cut_at_any_byte_keeps_its_whole_lines() {
    let whole = segment();
    let header = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for len in header..=whole.len() {
        let good = whole[..len].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        start_twice(&whole[..len], good, &format!("cut to {len} bytes"));
    }
    println!("tails: every one of {} lengths", whole.len() - header + 1);
}

#[test]
fn zeros_behind_a_segment_are_cut_whatever_their_number() {
    // Some of them by default, each in `.ci/crash`.
    let step = if std::env::var_os("POSGATE_CRASH_ROUNDS").is_some() { 1 } else { 61 };
    let whole = segment();
    // Behind a whole line, and in the place of the end of one.
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for keep in [whole.len(), whole.len() - 30] {
        let good = if keep == whole.len() { keep } else { last };
        for zeros in (1..=ZEROS_MAX).step_by(step) {
            start_twice(&[&whole[..keep], &vec![0; zeros]].concat(), good, &format!("{zeros} zeros behind {keep}"));
        }
    }
    println!("tails: 1 to {ZEROS_MAX} zeros by steps of {step}, behind a line and in one");
}
