//! Scenarios: tables of steps that a canteen's operator can read, one file per rule, played against
//! a server in this process, without a socket, a ledger file or a real clock.
//!
//! A file is comments (`#`), and blocks that begin at the left margin:
//!
//! ```text
//! # A sale tried again under a new seq is not charged twice while the first is in doubt.
//! config                                     the configuration, as in /etc/config/posgate; may be empty
//!   config server
//!     option same_sale_s 30
//! cards                                      the card table
//!   card,name,balance
//!   8888888888,张三丰,100.00
//! steps the claim                            config and cards stay for the steps blocks after them
//!   at 2026-11-22 12:00:00                   the server starts; the zone is the configuration's, or China's
//!   00002 > 103,00009,..,8888888888,5.50,$now
//!         < 001,00009
//!         ledger open amount=100.00
//!         ledger charge amount=-5.50 balance=94.50 as first
//!         < 008,00002,8888888888,5.50,姓名:张三丰 {94.50}\n,20,0,1
//! ```
//!
//! **Devices.** `NAME > frame` sends. A NAME that is a number is that machine, at 192.168.1.NAME;
//! `device NAME ADDRESS MACHINE` describes any other. In a frame `..` is the device's address, the
//! server's, and the machine number; `$now`, `$now-5s`, `$now+2h` are times of the wall clock;
//! `$x80` is a byte; `$pad1000` is a thousand digits; `$NAME` is the text of `let NAME = text`.
//! `late 6s NAME > frame`: the datagram arrived 6 s before it is read. `repeat 20` repeats the
//! deeper lines, with `$i` as 00001 … and `$k` as 1 ….
//!
//! **The effects** of a step are below it, all of them and in the order in which they leave the
//! server: 001s, then the turn's entries, then the replies that rest on nothing, then those that
//! wait for the sync. Anything else fails the step. `< reply` goes to the device that sent last,
//! `NAME < reply` to another; `...` at its end leaves the rest open. `ledger KIND key=value … as
//! LABEL` is an entry with these columns and detail words (`key=-`: none; `ref=LABEL`: that entry).
//! `@500ms` before either: 500 ms after the step began. `ledger *`: any entries. `...` alone: any
//! other effects. `start`, `stop` and `reload` entries may be left out.
//!
//! **Time.** `wait 500ms` (`s m h d`) and `at TIME` wait; timers run. `clock TIME` sets the wall
//! clock, and no time passes. `kernel synchronized` sets what the kernel reports of its clock.
//!
//! **The server.** `restart` (killed and started), `kill`, `power-cut` (what was not synced is
//! lost), `stop`, `start`, `reload`, `reload refused`; `config` and `cards` blocks among the steps
//! are read by the next start or reload. `operator KIND key=value …` adds an entry while the server
//! is down. `built DATE` sets the program's build date.
//!
//! **The operator.** `order topup CARD YUAN [uses=N]` (`subsidy`, `payout`, `adjust`), `order void
//! LABEL [YUAN]`, `order lost CARD` (`found`, `freeze`, `unfreeze`, `close`), `order replace OLD
//! NEW`, `order open MACHINE DOOR`, each with `key=`, `for=NAME` and `nth=N`, `name=` (the
//! holder's), `by=` and `note=` if they matter; `would …` only checks the order. The effects end
//! with its `answer`: `done` (also `again`) `ACCOUNT BALANCE USES`, or `refused WORD: SENTENCE`;
//! `...` at its end leaves the rest open. `set-clock MACHINE|all`, `show MACHINE TEXT`,
//! `accept-clock`. `unknown CARD COUNT …`: the unknown cards, newest first.
//!
//! **Figures.** `balance ACCOUNT YUAN`, `uses ACCOUNT N`, `doubts N`, `count COUNTER N`, `clock-is
//! ok|unset`, `ledger-lacks TEXT`.
//!
//! After every run of a server these checks follow: the chain of crcs and numbers, and each
//! account's sums; an account opens once; no 008, 011 or 050 left before its entries were written;
//! and a server that replays the lines has the same state: balances, days, periods, answers,
//! doubts.

mod full;
mod language;
mod ledger;
mod orders;
mod random;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

/// Plays every file of a folder and prints all failures.
fn play_folder(folder: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(folder);
    let listed = fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut files: Vec<PathBuf> = listed.map(|file| file.expect("a readable folder").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no scenarios in {folder}");
    let mut bench = world::bench();
    let mut failures = Vec::new();
    let mut count = 0;
    for file in &files {
        let name = format!("tests/scenarios/{folder}/{}", file.file_name().expect("a file").to_string_lossy());
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{name}: {error}"));
        match language::read(&text) {
            Ok(cases) => {
                for case in cases {
                    count += 1;
                    if let Err(failure) = world::play(&case, &mut bench) {
                        failures.push(format!("{name}:{}: {}: {}", failure.line, case.title, failure.message));
                    }
                }
            }
            Err(message) => failures.push(format!("{name}:{message}")),
        }
    }
    println!("{folder}: {count} scenarios in {} files", files.len());
    assert!(failures.is_empty(), "{} of {count} scenarios failed\n\n{}\n", failures.len(), failures.join("\n\n"));
}

/// One test per folder, named after its section of design.md.
macro_rules! folders {
    ($($name:ident $folder:literal)*) => {
        $(
            #[test]
            fn $name() {
                play_folder($folder);
            }
        )*

        #[test]
        fn every_folder_is_played() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
            for file in fs::read_dir(path).expect("the folder of this file") {
                let file = file.expect("a readable folder");
                let name = file.file_name().to_string_lossy().into_owned();
                assert!(!file.path().is_dir() || [$($folder),*].contains(&name.as_str()), "{name} is not played");
            }
        }
    };
}

folders! {
    section_05_cards_and_accounts_are_as_designed "05-cards"
    section_05_the_operators_orders_are_as_designed "05-operator"
    section_06_decisions_are_as_designed "06-decisions"
    section_06_doors_are_as_designed "06-doors"
    section_06_offline_sales_are_as_designed "06-offline"
    section_07_entries_are_as_designed "07-ledger"
    section_08_duplicates_and_doubt_are_as_designed "08-duplicates"
    section_10_resending_is_as_designed "10-resending"
    section_11_the_clock_is_as_designed "11-clock"
    section_12_full_is_as_designed "12-full"
    section_13_who_is_let_in_is_as_designed "13-devices"
}
