//! What the fuzzer begins with, and whatever it once found, holds: the fuzz targets of `fuzz/` on
//! the files of `fuzz/seeds` and `fuzz/regressions`, without the fuzzer. A file that breaks a
//! promise is named.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../../fuzz/src/cards.rs"]
mod cards;
#[path = "../../fuzz/src/config.rs"]
mod config;
#[path = "../../fuzz/src/control.rs"]
mod control;
#[path = "../../fuzz/src/datagrams.rs"]
mod datagrams;
#[path = "../../fuzz/src/recovery.rs"]
mod recovery;
#[path = "../../fuzz/src/site.rs"]
mod site;
#[path = "../../fuzz/src/snapshot.rs"]
mod snapshot;
#[path = "../../fuzz/src/storage.rs"]
mod storage;

use std::fs;
use std::path::Path;

fn try_all(target: &str, run: fn(&[u8])) {
    let mut count = 0;
    for folder in ["seeds", "regressions"] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder).join(target);
        let Ok(files) = fs::read_dir(&directory) else { continue };
        for file in files {
            let path = file.unwrap().path();
            let input = fs::read(&path).unwrap();
            let held = std::panic::catch_unwind(|| run(&input));
            assert!(held.is_ok(), "{} broke a promise: see above", path.display());
            count += 1;
        }
    }
    assert!(count > 0, "{target} has seeds");
}

#[test]
fn scripts_of_datagrams_keep_every_promise() {
    try_all("datagrams", datagrams::run);
}

#[test]
fn configurations_are_refused_or_can_be_served() {
    try_all("config", config::run);
}

#[test]
fn card_tables_are_refused_or_can_be_served() {
    try_all("cards", cards::run);
}

#[test]
fn lines_of_the_control_socket_are_answered_and_orders_done_once() {
    try_all("control", control::run);
}

#[test]
fn spoiled_ledgers_are_mended_or_refused() {
    try_all("recovery", recovery::run);
}

#[test]
fn snapshots_are_believed_only_if_they_are_what_the_ledger_gives() {
    try_all("snapshot", snapshot::run);
}
