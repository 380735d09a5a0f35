//! `posgate-sim month`: a canteen's month with the real `posgate ctl` and `posgate ledger report`,
//! whose close balances to the fen; and what it says if anything differs.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

#[path = "support/program.rs"]
mod program;

/// In memory where there is such a place: a month syncs more than a thousand sales.
fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Plays a month in this directory; what it printed, and its exit code.
fn month(directory: &Path, words: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_posgate-sim"));
    command.args(["month", "--month", "2026-11", "--dir"]).arg(directory.join("month")).args(words);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap(), status.code())
}

#[test]
fn a_month_s_close_balances_in_both_purses_and_everything_of_a_month_happened() {
    let directory = directory();
    let (said, code) = month(directory.path(), &["--seed", "7", "--days", "30"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("平 balanced") && !said.contains("DIFFERS"), "{said}");
    for happened in [
        "by a file that is given twice",
        "the server is killed: it has written a sale",
        "gets 200.00 for 20.00; the desk undoes it",
        "gets a subsidy of 50.00 by mistake",
        "loses the card",
        "gets the card 8800009002 for it",
        "is new in the card table; the server is restarted",
        "放假 holiday",
        "调休上班 worked",
        "of subsidy are cleared",
        "by then 32 of",
        "is undone after the clear",
    ] {
        assert!(said.contains(happened), "{happened}: {said}");
    }
    // A worked Saturday has meals, the holidays have none.
    let meals = |day: &str| {
        let line = said.lines().find(|line| line.starts_with(day)).unwrap();
        let number = line.split("meals").nth(1).unwrap().split_whitespace().next().unwrap();
        number.parse::<u32>().unwrap()
    };
    assert!(meals("2026-11-14") > 20 && meals("2026-11-11") == 0 && meals("2026-11-12") == 0, "{said}");
    let deliveries = said.lines().filter(|line| line.contains("cable is back: it sends"));
    assert_eq!(deliveries.filter(|line| !line.contains("sends 0 sales")).count(), 2, "{said}");
}

#[test]
fn a_seed_repeats_a_month() {
    let [one, other] = [(), ()].map(|()| {
        let directory = directory();
        let (said, code) = month(directory.path(), &["--seed", "11", "--days", "4"]);
        assert_eq!(code, Some(0), "{said}");
        said.lines().filter(|line| !line.starts_with("its files")).map(str::to_owned).collect::<Vec<_>>()
    });
    assert_eq!(one, other);
}

/// A desk whose top-ups by a file never arrive.
#[test]
fn a_difference_is_named_with_account_expected_and_found_and_is_no_success() {
    let directory = directory();
    let liar = directory.path().join("posgate");
    let real = env!("CARGO_BIN_EXE_posgate");
    let script = format!("#!/bin/sh\ncase \"$*\" in \"ctl topup --file\"*) exit 0 ;; esac\nexec '{real}' \"$@\"\n");
    program::write_script(&liar, &script);
    let (said, code) = month(directory.path(), &["--seed", "11", "--days", "3", "--posgate", liar.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{said}");
    let differs = |what: &str| said.lines().any(|line| line.starts_with("DIFFERS") && line.contains(what));
    for what in ["account G001", "person G001, top-ups, cash: expected ", "the month, top-ups, gross: expected "] {
        assert!(differs(what), "{what}: {said}");
    }
    assert!(said.contains("不平 not balanced"), "{said}");
}

#[test]
fn what_is_missing_is_named_with_the_way_out() {
    let directory = directory();
    let (said, code) = month(directory.path(), &["--posgate", "/nowhere/posgate"]);
    assert_eq!(code, Some(74), "{said}");
    assert!(said.contains("/nowhere/posgate: ") && said.contains("or name it with --posgate FILE"), "{said}");
    std::fs::create_dir(directory.path().join("month")).unwrap();
    std::fs::write(directory.path().join("month/ledger"), "somebody's").unwrap();
    let (said, code) = month(directory.path(), &[]);
    assert_eq!(code, Some(74), "{said}");
    assert!(said.contains("month: not empty: name a new directory with --dir"), "{said}");
}
