//! `posgate ledger show|report|export|explain` and `posgate cards diff`, the real binary on ledgers that the library or the real server
//! wrote. What the commands add up is added up here once more from the lines themselves, by their columns alone.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod beside;
mod closed;
mod copies;
mod diff;
mod explain;
mod export;
mod generate;
#[path = "../serve/harness.rs"]
#[allow(dead_code)]
mod harness;
mod live;
mod naive;
mod report;
mod show;

use std::path::Path;

use harness::{Ended, posgate};

/// Runs `posgate ledger …`.
fn ledger(arguments: &[&str]) -> Ended {
    Ended::of(&posgate().arg("ledger").args(arguments).output().expect("it runs"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A ledger of some days in many segments.
fn days(entries: u64) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let plan = generate::Plan { entries, accounts: 300, days: 3, segment_bytes: 256 * 1024 };
    generate::write(&directory.path().join("ledger"), plan);
    directory
}
