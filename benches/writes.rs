//! What one write with its sync costs, by its length, with and without space allocated ahead:
//!
//!     cargo bench --bench writes
//!     cargo bench --bench writes -- --dir /mnt/usb --rounds 400
//!
//! A turn is one write and one `fdatasync` (design.md, section 1), so its length bounds how many
//! sales share a sync: `limits::TAIL_LEN_MAX`. Two files grow side by side, turn about; before one
//! of them `fallocate` with `FALLOC_FL_KEEP_SIZE` allocates a MiB at a time, as a server might that
//! allocates ahead of its ledger's end. The times of its calls count. What is compared is the
//! median of the ratios of neighbours: a shared machine's slow minutes hit both.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a benchmark reads clocks")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use nix::fcntl::{FallocateFlags, fallocate};

/// Lengths of one write: a quiet turn's, some between, and those that a turn's bound was chosen
/// from.
const LENS: [usize; 6] = [300, 4_000, 16_000, 64 * 1024, 128 * 1024, 256 * 1024];

/// Allocated at a time.
const AHEAD: i64 = 1024 * 1024;

const USAGE: &str = "usage: cargo bench --bench writes -- [--dir DIR] [--rounds N]";

/// A file that grows.
struct Growing {
    file: File,
    len: i64,
    /// Allocated so far; `None`: nothing is allocated ahead.
    allocated: Option<i64>,
}

impl Growing {
    fn new(dir: &Path, name: &str, is_ahead: bool) -> Self {
        let file = File::create_new(dir.join(name)).expect("a new file");
        file.sync_all().expect("a sync");
        Self { file, len: 0, allocated: is_ahead.then_some(0) }
    }

    /// Writes and syncs; gives microseconds.
    fn append(&mut self, bytes: &[u8]) -> f64 {
        let begin = Instant::now();
        let end = self.len + i64::try_from(bytes.len()).expect("a small file");
        if let Some(allocated) = self.allocated.as_mut().filter(|allocated| end > **allocated) {
            fallocate(&self.file, FallocateFlags::FALLOC_FL_KEEP_SIZE, self.len, AHEAD)
                .expect("a file system that allocates ahead");
            *allocated = self.len + AHEAD;
        }
        self.file.write_all(bytes).expect("room");
        self.file.sync_data().expect("a sync");
        self.len = end;
        begin.elapsed().as_secs_f64() * 1e6
    }
}

fn main() -> ExitCode {
    let (mut dir, mut rounds) = (PathBuf::from(env!("CARGO_TARGET_TMPDIR")), 400);
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--dir", Some(value)) => dir = value.into(),
            ("--rounds", Some(value)) if value.parse().is_ok_and(|rounds: usize| rounds > 0) => {
                rounds = value.parse().expect("it was read just now");
            }
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(64);
            }
        }
    }
    let dir = tempfile::tempdir_in(dir).expect("a temporary directory");
    println!("{rounds} writes of each length, in {}", dir.path().display());
    println!("{:>8} {:>12} {:>12} {:>14} {:>18}", "bytes", "median us", "ahead us", "ahead / plain", "us for 64 KiB");
    for len in LENS {
        let bytes = vec![b'x'; len];
        let mut plain = Growing::new(dir.path(), &format!("plain-{len}"), false);
        let mut ahead = Growing::new(dir.path(), &format!("ahead-{len}"), true);
        let mut times = [const { Vec::new() }; 3];
        for round in 0..rounds {
            // Nobody is always first.
            let (one, other) = if round % 2 == 0 {
                let one = plain.append(&bytes);
                (one, ahead.append(&bytes))
            } else {
                let other = ahead.append(&bytes);
                (plain.append(&bytes), other)
            };
            for (times, time) in times.iter_mut().zip([one, other, other / one]) {
                times.push(time);
            }
        }
        let [plain, ahead, ratio] = times.map(median);
        let for_64_kib = plain * 65_536.0 / len as f64;
        println!("{len:>8} {plain:>12.0} {ahead:>12.0} {ratio:>14.3} {for_64_kib:>18.0}");
    }
    ExitCode::SUCCESS
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
