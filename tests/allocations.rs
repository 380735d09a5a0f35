//! From frame to reply, in timers, log lines and ledger, nothing allocates after start-up and one
//! warm-up (design.md, section 2).
//!
//! Rounds of mixed frames go through the service's turns, with a ledger on a real directory whose
//! segments end and whose snapshots are written among them, and the log at debug: what the loop
//! does, without its sockets (udp_alloc.rs has those). The tests start this same program again as a
//! child whose streams lead nowhere, for the log writes to the real ones. Alone in its program: it
//! counts every thread's allocations.

use std::alloc::System;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use log::LevelFilter;
use posgate::engine::limits::{DEVICES_MAX, TURN_BATCH};
use posgate::engine::model::{EntrySeq, Mono, Now, Stamp};
use posgate::engine::server::{Effects, Origin, Peer, Server, Tables};
use posgate::ledger::{DirStorage, Ledger};
use posgate::turn::Service;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Too large for a stack.
static TABLES: Mutex<Tables> = Mutex::new(Tables::new());
static EFFECTS: Mutex<Effects> = Mutex::new(Effects::new());

const CARDS: u64 = 40;
const TERMINALS: u64 = 30;
const TIME: &str = "2026-11-22 12:00:00";

const CONFIG: &str = "
config server 'main'
	option rate_source '200'
	option resend_first_ms '300'
	option timezone 'CST-8'
config device
	option machine '00001'
	option name '一号窗'
	list place 'canteen'
config period
	option name 'lunch'
	option from '00:00'
	option to '24:00'
	list place 'canteen'
	option uses_max '40'
config door
	option machine '00090'
	option door '1'
	option pin 'card'
	option open_pin '13572468'
";

/// One round of frames: the same kinds in each, with numbers of their own.
fn frames(round: u64) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    let mut seq = round * 40 % 65_536;
    let card = |number: u64| 8_888_888_800 + number % (CARDS + 3);
    for terminal in 1..=TERMINALS {
        let mut frame = |code: &str, fields: &str| {
            seq += 1;
            let serial = 1_000_000_000 + terminal;
            let text = format!("{code},{seq:05},192.168.1.{terminal},192.168.1.3,{terminal:05},{fields},{serial}");
            frames.push(text.into_bytes());
        };
        let card = card(round * 7 + terminal);
        match (round + terminal) % 16 {
            0 => frame("101", TIME),
            1 => frame("102", &format!("{card}")),
            2 | 3 => frame("103", &format!("{card},1.25,{TIME},2")),
            4 => frame("103", &format!("{card},0.00,{TIME}")),
            // A charge, and its 109.
            5 | 6 => {
                frame("103", &format!("{card},0.75,{TIME}"));
                frame("109", "");
            }
            7 => frame("104", &format!("{card},{TIME}")),
            8 => frame("105", &format!("{card},2.50,{TIME},0,{:08},3", round * 100 + terminal)),
            9 => frame("105", &format!("{card},x,2024-99-99 00:00:00,0,{:08},3", round * 100 + terminal)),
            10 => frame("106", "12345"),
            11 => frame("128", &format!("0000000123,1.00,{TIME},0,CODE-{}", round % 3)),
            12 => frame("103", &format!("{card},99999.00,{TIME}")),
            13 => frame("103", &format!("{card},amount,{TIME}")),
            14 => frame("199", "whatever"),
            _ => frame("100", "255.255.255.0,192.168.1.1,192.168.1.3,39192"),
        }
    }
    for (number, (kind, pin)) in
        [(1, "1234"), (1, "9999"), (3, "13572468"), (4, "4321"), (0, "")].into_iter().enumerate()
    {
        let seq = (round * 10 + number as u64) % 65_536;
        let reader = number % 3;
        let text = format!(
            "150,{seq:05},192.168.1.90,192.168.1.3,00090,8888888801,{reader},1,0,{kind},{pin},{TIME},1000000090"
        );
        frames.push(text.into_bytes());
    }
    // A stranger under a number that is taken; a source of its own each round, and a machine: more
    // than there are places for.
    frames.push(format!("103,00001,10.0.0.1,192.168.1.3,00005,{},1.00,{TIME},7777777777", card(1)).into_bytes());
    for number in 0..4 {
        let passer_by = 1000 + (round * 4 + number) % (DEVICES_MAX as u64 + 200);
        let frame = format!("103,00001,10.0.0.1,192.168.1.3,{passer_by:05},7777777777,1.00,{TIME}");
        frames.push(frame.into_bytes());
    }
    // Duplicates of what stands before.
    for duplicate in [3, 9, 20, 31] {
        frames.push(frames[duplicate % frames.len()].clone());
    }
    // No frames.
    frames.push(b"garbage".to_vec());
    frames.push(b"103,seq,1,2,3".to_vec());
    frames.push((0..200_u64).map(|byte| (byte.wrapping_mul(round + 7) >> 1) as u8).collect());
    frames.push(vec![b'1'; 1024]);
    frames
}

fn peer(frame: &[u8], round: u64) -> Peer {
    let machine: u64 = std::str::from_utf8(frame)
        .ok()
        .and_then(|text| text.split(',').nth(4)?.parse().ok())
        .unwrap_or(200 + round % 50);
    let [.., high, low] = machine.to_be_bytes();
    let source = SocketAddrV4::new(Ipv4Addr::new(10, 9, high, low), 39_192);
    Peer { source, local: Ipv4Addr::new(192, 168, 1, 3), socket: 0 }
}

/// Rounds of warm-up, and rounds that are counted.
const WARM: u64 = 60;
const COUNTED: u64 = 340;

/// So that a segment begins, and a snapshot is written, every few rounds.
const SEGMENT_BYTES: u64 = 64 * 1024;

/// Serves all rounds; gives the allocations of the counted ones, and how many entries they led to.
fn serve(directory: &Path) -> (usize, usize, u64) {
    posgate::host::logging::init(LevelFilter::Debug);
    let settings = posgate::files::config::parse(CONFIG.as_bytes(), Path::new("posgate")).expect("a configuration");
    let mut table = "card,account,name,balance,uses,pin,duress_pin,code\n".to_owned();
    for number in 0..CARDS {
        let code = if number < 2 { format!("CODE-{number}") } else { String::new() };
        writeln!(table, "{},,张三,100.00,20,1234,4321,{code}", 8_888_888_800 + number).expect("a String takes all");
    }
    let cards = posgate::files::cards::parse(table.as_bytes(), Path::new("cards.csv"), &settings.rules.groups)
        .expect("a table");
    let mut tables = TABLES.lock().expect("the first");
    let mut fx = EFFECTS.lock().expect("the first");
    let mut server = Server::new(&mut tables, settings.rules.clone());
    let storage = DirStorage::open(directory).expect("a directory");
    let created = Stamp::parse("2026-11-22T12:00:00.000+08:00").expect("a time");
    let (mut ledger, _) = Ledger::open(storage, "食堂 1", created, || 1, server.book_to_replay()).expect("a ledger");
    ledger.limit_segments(SEGMENT_BYTES);
    server.install(settings.rules, &cards.records, Origin::default()).expect("it fits");

    let rounds: Vec<Vec<(Peer, Vec<u8>)>> = (0..WARM + COUNTED)
        .map(|round| frames(round).into_iter().map(|frame| (peer(&frame, round), frame)).collect())
        .collect();
    let mut now = Now { mono: Mono(1), stamp: created, synchronized: false };
    let mut service = Service::new(server, ledger, &mut fx);
    service.keep_reserve(65_536);
    service.start(&now, &mut |_| ()).expect("written");
    let mut region = Region::new(ALLOCATOR);
    let mut before = EntrySeq(0);
    for (round, frames) in (0..).zip(&rounds) {
        if round == WARM {
            before = service.server().book().head();
            region.reset();
        }
        for batch in frames.chunks(TURN_BATCH) {
            for (peer, frame) in batch {
                service.receive(&now, *peer, frame, false).expect("written");
            }
            service.receive(&now, batch[0].0, &batch[0].1, true).expect("written");
            service.end_turn(&now, &mut |_| ()).expect("written and synced");
        }
        // The clock goes on by fits and starts, and is set now and then.
        let step_ms = 150 + round * 37 % 400;
        now.mono = now.mono.plus_ms(step_ms);
        let jump_ms = if round % 90 == 89 { 70_000 } else { 0 };
        now.stamp.wall.0 += i64::try_from(step_ms + jump_ms).expect("small");
    }
    let change = region.change();
    (change.allocations, change.reallocations, service.server().book().head().0 - before.0)
}

#[test]
#[ignore = "the test below starts it"]
fn the_child() {
    let directory = std::env::var_os("ALLOCATIONS_DIR").expect("the test below says where");
    let (allocations, reallocations, entries) = serve(Path::new(&directory));
    eprintln!("allocations={allocations} reallocations={reallocations} entries={entries}");
    // Before the harness writes more.
    std::process::exit(i32::from(allocations + reallocations > 0 || entries < 4000));
}

#[test]
fn thousands_of_mixed_frames_allocate_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = Command::new(std::env::current_exe().expect("a program"))
        .args(["--exact", "the_child", "--ignored", "--nocapture", "--test-threads=1"])
        .env("ALLOCATIONS_DIR", directory.path())
        .env_remove("RUST_LOG")
        .stdout(Stdio::null())
        .output()
        .expect("it runs");
    let err = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<&str> = err.lines().rev().take(5).collect();
    assert!(output.status.success(), "{tail:?}");
    let files: Vec<_> =
        std::fs::read_dir(directory.path()).expect("a directory").map(|file| file.expect("a file").path()).collect();
    let is_segment = |path: &&std::path::PathBuf| path.to_string_lossy().contains("/ledger-");
    let ledger: String =
        files.iter().filter(is_segment).map(|path| std::fs::read_to_string(path).expect("text")).collect();
    let segments = ledger.matches("#posgate-ledger").count();
    assert!(segments > 10 && directory.path().join("snapshot.tsv").exists(), "{segments} segments");
    // Every kind that frames lead to took part.
    for kind in [
        "open",
        "charge",
        "meal",
        "scan",
        "offline",
        "decline",
        "confirm",
        "unconfirmed",
        "admit",
        "refuse",
        "alarm",
        "keys",
        "boot",
        "clock",
        "start",
    ] {
        assert!(ledger.contains(&format!("\t{kind}\t")), "no {kind}");
    }
}
