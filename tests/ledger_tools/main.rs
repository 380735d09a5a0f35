//! `posgate ledger show|report|export|explain` and `posgate cards diff`, the real binary on ledgers
//! that the library or the real server wrote. What the commands add up is added up here once more
//! from the lines themselves, by their columns alone.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod attendance;
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
mod repair;
mod report;
mod show;
mod sums;

use std::path::Path;

use harness::{Device, Ended, Site, card, posgate};

/// Runs `posgate ledger …`.
fn ledger(arguments: &[&str]) -> Ended {
    Ended::of(&posgate().arg("ledger").args(arguments).output().expect("it runs"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A segment every few sales.
fn tiny_segments() -> Site {
    Site::with("\toption segment_bytes '2048'\n", "")
}

/// 60 sales to 5 cards, in many segments with a snapshot; the server is stopped.
fn sold() -> Site {
    let site = tiny_segments();
    let server = site.start();
    let mut device = Device::new(2, &server);
    for number in 0..60 {
        device.pay(&card(1 + number % 5), "0.01");
    }
    server.stop();
    site
}

/// A ledger of some days in many segments.
fn days(entries: u64) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let plan = generate::Plan { entries, accounts: 300, days: 3, segment_bytes: 256 * 1024 };
    generate::write(&directory.path().join("ledger"), plan);
    directory
}
