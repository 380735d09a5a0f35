//! Readers beside a server that begins segments all the time, and an `archive` that takes them
//! away: a ledger that is whole is never called damaged, whoever is slow.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::harness::{Device, Ended, Server, Site, card, posgate};
use crate::naive::{rows, segments};
use crate::{ledger, sold, text, tiny_segments};

/// Sells until it is told to stop.
fn sell(server: &Server, machine: u32, is_over: &AtomicBool) {
    let mut device = Device::new(machine, server);
    let mut paid = 0;
    while !is_over.load(Ordering::Relaxed) {
        device.pay(&card(1 + paid % 5), "0.01");
        paid += 1;
    }
}

/// Archives until it is told to stop; gives what was refused, but for there being no snapshot yet.
fn archive(ledger: &Path, to: &Path, is_over: &AtomicBool) -> Vec<String> {
    let mut refused = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        if let Err(error) = posgate::ledger::archive(ledger, to, &mut Vec::new()) {
            refused.extend(Some(error.to_string()).filter(|error| !error.contains("there is no ")));
        }
    }
    refused
}

#[test]
fn no_reader_calls_a_whole_ledger_damaged_beside_rotation_and_archive() {
    const ROUNDS: usize = 12;
    let site = tiny_segments();
    let server = site.start();
    let (place, to, config) = (site.path("ledger"), site.path("archive"), site.path("posgate"));
    let (config, is_over) = (text(&config), AtomicBool::new(false));
    site.write("new.csv", &crate::harness::card_table(12));
    fs::create_dir(&to).unwrap();
    let (old, new) = (site.path("cards.csv"), site.path("new.csv"));
    let commands: [&[&str]; 8] = [
        &["ledger", "verify", "--config", config],
        &["check", "--config", config],
        &["ledger", "show", "--config", config],
        &["ledger", "export", "--config", config],
        &["ledger", "report", "--config", config],
        &["ledger", "report", "--balances", "--config", config],
        &["ledger", "explain", "8888888801", "12:00", "--config", config],
        &["cards", "diff", text(&old), text(&new), "--config", config],
    ];
    let wrong: Vec<String> = thread::scope(|scope| {
        scope.spawn(|| sell(&server, 2, &is_over));
        scope.spawn(|| sell(&server, 3, &is_over));
        let archiving = scope.spawn(|| archive(&place, &to, &is_over));
        let mut wrong = Vec::new();
        for _ in 0..ROUNDS {
            for command in commands {
                let ended = Ended::of(&posgate().args(command).output().unwrap());
                // The card may have no sale since the last archive.
                let is_well = ended.code == Some(0) || (command[1] == "explain" && ended.code == Some(1));
                if !is_well || ended.out.contains("# ") && command[1] == "show" {
                    wrong.push(format!("{command:?}: {:?}: {}", ended.code, ended.err));
                }
            }
        }
        is_over.store(true, Ordering::Relaxed);
        wrong.extend(archiving.join().unwrap());
        wrong
    });
    server.stop();
    assert!(segments(&[&to]).len() > 20, "the test archives too little to find anything");
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_follower_who_is_slow_reads_what_was_archived_meanwhile() {
    let site = tiny_segments();
    let server = site.start();
    let mut device = Device::new(2, &server);
    device.pay(&card(1), "1.00");
    let config = site.path("posgate");
    let mut follower = posgate()
        .args(["ledger", "show", "--raw", "--follow", "--config", text(&config)])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut told: Vec<String> = Vec::new();
    let mut last = 0;
    for round in 0..6 {
        // It reads this sale, so it has looked at the directory, and holds what is there.
        last = 0;
        let count = if round % 2 == 0 { 1 } else { 40 };
        for number in 0..count {
            device.pay(&card(1 + number % 5), "0.01");
        }
        let wanted = usize::try_from(newest(&site)).unwrap();
        while told.len() < wanted {
            told.push(lines.next().expect("it goes on").unwrap());
            last += 1;
        }
        let _nothing = posgate::ledger::archive(&site.path("ledger"), &site.path("archive"), &mut Vec::new());
    }
    assert!(last > 0);
    server.stop();
    let all = rows(&[&site.path("archive"), &site.path("ledger")]);
    let crcs: Vec<&str> = told.iter().map(|line| line.rsplit('\t').next().unwrap()).collect();
    let wanted: Vec<&str> = all.iter().map(super::naive::Row::crc).take(crcs.len()).collect();
    assert_eq!(crcs, wanted);
    drop(lines);
    assert_eq!(follower.wait().unwrap().code(), Some(0));
}

/// The last entry's number.
fn newest(site: &Site) -> u64 {
    rows(&[&site.path("ledger")]).last().unwrap().seq()
}

#[test]
fn the_first_entry_here_and_the_archive_are_named_where_a_reader_cannot_go_on() {
    let site = sold();
    let (place, to) = (site.path("ledger"), site.path("archive"));
    let all = rows(&[&place]);
    ledger(&["archive", "--config", text(&site.path("posgate")), text(&to)]).expect(0, &["archived"], &[]);
    let here = rows(&[&place]);
    let (first, last) = (here[0].seq(), here.last().unwrap().seq());
    assert!(first > 20);
    let crc = |seq: u64| all[usize::try_from(seq).unwrap() - 1].crc().to_owned();
    for command in ["show", "export"] {
        let after = |after: &str| ledger(&[command, "--after", after, text(&place)]);
        let gap = format!("gap: entry 6 was archived, the first one here is {first}: it is in {}", to.display());
        after("5").expect(1, &[], &[&gap]);
        after(&format!("5:{}", crc(5))).expect(1, &[], &[&gap]);
        after("0").expect(1, &[], &["gap: entry 1 was archived"]);
        after(&(last + 1).to_string()).expect(1, &[], &[&format!("ahead: there is no entry {} yet", last + 1)]);
        after(&format!("{}:{}", last + 1, crc(last))).expect(1, &[], &["ahead: "]);
        // All of them, and none of them.
        after(&(first - 1).to_string()).expect(0, &[], &[]);
        after(&format!("{}:{}", first - 1, crc(first - 1))).expect(0, &[], &[]);
        after(&format!("{last}:{}", crc(last).to_uppercase())).expect(0, &[], &[]);
        for seq in [first - 1, first, last - 1, last] {
            let wrong = format!("{seq}:{:08x}", u32::from_str_radix(&crc(seq), 16).unwrap() ^ 1);
            after(&wrong).expect(1, &[], &[&format!("diverged: entry {seq} has the crc {} here", crc(seq))]);
        }
        for wrong in ["x", "5:", ":5", "5:1", "5:123456789", "5:0123456g", "-1", "+5", "", "5:+1234567"] {
            after(wrong).expect(64, &[], &["--after", "4211:09ab34ef"]);
        }
    }
    // With the archive named nothing is missing.
    let both = ["show", "--raw", "--after", &format!("5:{}", crc(5)), text(&to), text(&place)].map(str::to_owned);
    let both: Vec<&str> = both.iter().map(String::as_str).collect();
    assert_eq!(ledger(&both).expect(0, &[], &[]).out.lines().count(), all.len() - 5);
    let story = ledger(&["explain", "3", text(&place)]);
    let archive = to.display().to_string();
    story.expect(1, &[], &["entry 3 was archived", &archive]);
    // Nor is a card's older sale, and the close says what it leaves out.
    ledger(&["explain", "8888888811", "12:00", text(&place)]).expect(
        1,
        &[],
        &["has no sale at all", "was archived", &archive],
    );
    ledger(&["report", text(&place)]).expect(0, &["sums begin with the snapshot", &archive], &[]);
    ledger(&["explain", "3", text(&place), text(&to)]).expect(0, &["the chain holds"], &[]);
}

#[expect(clippy::disallowed_methods, reason = "as long as a follower takes to ask twice")]
#[test]
fn what_a_power_cut_can_take_back_is_not_durable() {
    let site = Site::new();
    let server = site.start();
    let mut device = Device::new(2, &server);
    device.pay(&card(1), "1.00");
    // Keys that were pressed are synced within 5 s: nobody is answered for them.
    let keys = device.frame("106", "7");
    device.send(&keys);
    let (place, config) = (site.path("ledger"), site.path("posgate"));
    let (place, config) = (text(&place), text(&config));
    let shown = |arguments: &[&str]| {
        let command = [["show", "--raw", "--kind", "charge,keys"].as_slice(), arguments].concat();
        ledger(&command).expect(0, &[], &[]).out.lines().map(kind_of).collect::<Vec<_>>()
    };
    wait_until(|| shown(&[place]).len() == 2);
    assert_eq!(shown(&["--durable", "--config", config]), ["charge"]);
    let control = site.path("ctl.sock");
    assert_eq!(shown(&["--durable", "--control", text(&control), place]), ["charge"]);
    // Who serves is seen by the lock; where he cannot be asked, nothing is told.
    ledger(&["show", "--durable", place]).expect(74, &[], &["a server serves from here", "say --config FILE"]);
    let missing = site.path("other.sock");
    ledger(&["show", "--durable", "--control", text(&missing), place]).expect(74, &[], &["nobody answers at"]);
    let mut follower = posgate()
        .args(["ledger", "show", "--raw", "--kind", "charge,keys", "--follow", "--durable", "--config", config])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(kind_of(told.next().unwrap().unwrap()), "charge");
    device.pay(&card(2), "1.00");
    for kind in ["keys", "charge"] {
        assert_eq!(kind_of(told.next().unwrap().unwrap()), kind);
    }
    assert_eq!(shown(&["--durable", "--config", config]), ["charge", "keys", "charge"]);
    let keys = device.frame("106", "8");
    device.send(&keys);
    wait_until(|| shown(&[place]).len() == 4);
    // Where nobody serves, all that the next start keeps; a follower waits for who starts it.
    server.kill();
    assert_eq!(shown(&["--durable", "--config", config]), ["charge", "keys", "charge", "keys"]);
    // Nor does it mind that a server holds the ledger before it answers: that one reads it first.
    let lock = fs::File::open(site.path("ledger/lock")).unwrap();
    lock.lock().unwrap();
    let begin = std::time::Instant::now();
    wait_until(|| begin.elapsed().as_millis() > 500);
    ledger(&["show", "--durable", "--config", config]).expect(74, &[], &["nobody answers at"]);
    assert!(follower.try_wait().unwrap().is_none(), "it waits");
    drop(lock);
    let server = site.start();
    assert_eq!(kind_of(told.next().unwrap().unwrap()), "keys");
    drop(told);
    assert_eq!(follower.wait().unwrap().code(), Some(0));
    // Another ledger's server says nothing of this one.
    let other = Site::new();
    let stranger = other.start();
    let socket = other.path("ctl.sock");
    Device::new(2, &stranger).pay(&card(1), "2.00");
    let asked = ledger(&["show", "--durable", "--control", text(&socket), place]);
    asked.expect(1, &[], &["diverged: ", "does the server serve another ledger?"]);
    stranger.stop();
    server.stop();
}

fn kind_of(line: impl AsRef<str>) -> String {
    line.as_ref().split('\t').nth(3).unwrap().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "a wait that ends")]
fn wait_until(is_so: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !is_so() {
        assert!(begin.elapsed().as_secs() < 20, "it does not come about");
    }
}

#[test]
fn more_segments_than_files_may_be_open_are_read_or_named() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("ledger");
    let plan = crate::generate::Plan { entries: 6_000, accounts: 50, days: 1, segment_bytes: 1024 };
    crate::generate::write(&place, plan);
    assert!(segments(&[&place]).len() > 100);
    let verify = |limits: &str| {
        let script = format!("{limits}; exec {} ledger verify {}", env!("CARGO_BIN_EXE_posgate"), text(&place));
        Ended::of(&std::process::Command::new("sh").args(["-c", &script]).output().unwrap())
    };
    // It asks for as many as it needs, where that is granted.
    verify("ulimit -Sn 40").expect(0, &["clean"], &[]);
    verify("ulimit -n 40").expect(74, &[], &["ledger-0", "name fewer segments at once", "ulimit -n"]);
}
