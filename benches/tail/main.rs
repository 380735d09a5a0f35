//! The longest times of a sale at a steady rate: quiet, and beside what else a server does.
//!
//!     cargo bench --bench tail
//!     cargo bench --bench tail -- --rate 500 --rounds 5 --seconds 4
//!
//! Sixty-four terminals sell at a given rate, an open loop: each sale's time counts from when it
//! was due. Each round runs every row once, and rounds alternate:
//!
//! - **floor**: the synced floor of `loopback` at the same rate: what the kernel and the disk take
//!   of any server that stores before it answers;
//! - **quiet**: posgate, and nothing else;
//! - **reload**: a new card table and SIGHUP every second;
//! - **rotation**: small segments, so that every second or two one begins, with its snapshot;
//! - **top-ups**: a thousand over the control socket, each when the one before is answered;
//! - **report**: `posgate ledger report` of the whole ledger, one after the other, in processes of
//!   their own.
//!
//! A row's figures are of all its rounds together. `late` is how much later than due this program
//! sent: no server can answer for that. Ratios to *floor* are medians of those within a round. To
//! see what the server did in a long wait: `posgate-sim crowd --server-log`.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a benchmark reads clocks")]
#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "figures for people")]

#[path = "../loopback/crowd.rs"]
#[allow(dead_code, reason = "the closed loop is loopback's")]
mod crowd;
#[path = "../loopback/rivals.rs"]
mod rivals;
#[path = "../loopback/servers.rs"]
#[allow(dead_code, reason = "the echo is loopback's")]
mod servers;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use crowd::{Crowd, Tally, part_of};
use servers::{Kind, Running};

/// What the command line says, and what the servers want to know.
struct Options {
    rate: f64,
    rounds: usize,
    seconds: f64,
    cards: u32,
    dir: std::path::PathBuf,
    listen: String,
    posgate: std::path::PathBuf,
    segment_bytes: u32,
}

const USAGE: &str = "usage: cargo bench --bench tail -- [--rate SALES] [--rounds N] [--seconds S] [--cards N] [--dir DIR] [--posgate PROGRAM]";

/// Terminals that sell.
const TERMINALS: u16 = 64;

/// A segment of *rotation*: a second or two at 500 sales a second.
const ROTATED_BYTES: u32 = 256 * 1024;

/// Top-ups of one run.
const TOPUPS: u32 = 1000;

/// What happens beside the sales.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Floor,
    Nothing,
    Reload,
    Rotation,
    Topups,
    Report,
}

const ROWS: [(Beside, &str); 6] = [
    (Beside::Floor, "floor"),
    (Beside::Nothing, "quiet"),
    (Beside::Reload, "reload"),
    (Beside::Rotation, "rotation"),
    (Beside::Topups, "top-ups"),
    (Beside::Report, "report"),
];

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self {
            rate: 500.0,
            rounds: 5,
            seconds: 4.0,
            cards: 10_000,
            dir: env!("CARGO_TARGET_TMPDIR").into(),
            listen: "127.0.0.1".to_owned(),
            posgate: env!("CARGO_BIN_EXE_posgate").into(),
            segment_bytes: 1 << 30,
        };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let value = arguments.next()?;
            match argument.as_str() {
                "--rate" => options.rate = value.parse().ok()?,
                "--rounds" => options.rounds = value.parse().ok()?,
                "--seconds" => options.seconds = value.parse().ok()?,
                "--cards" => options.cards = value.parse().ok()?,
                "--dir" => options.dir = value.into(),
                "--posgate" => options.posgate = value.into(),
                _ => return None,
            }
        }
        let is_possible = options.rate > 0.0 && options.seconds > 0.0 && options.rounds > 0;
        (is_possible && (1..=100_000).contains(&options.cards)).then_some(options)
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == rivals::ARGUMENT) {
        let rest: Vec<String> = arguments.collect();
        rivals::serve(&rest[1], &rest[2], &rest[3]);
        return ExitCode::SUCCESS;
    }
    let Some(mut options) = Options::parse(arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    let dir = tempfile::tempdir_in(&options.dir).expect("a temporary directory");
    let floor = Running::start(Kind::Floor, &options, dir.path());
    let mut posgate = Running::start(Kind::Posgate, &options, dir.path());
    let small = dir.path().join("small");
    std::fs::create_dir(&small).expect("a new directory");
    options.segment_bytes = ROTATED_BYTES;
    let mut rotating = Running::start(Kind::Posgate, &options, &small);

    let mut crowd = Crowd::new(options.cards);
    // Most accounts have moved: snapshots are long, and so is the ledger that reports read.
    for server in [&mut posgate, &mut rotating] {
        crowd.sell(server, TERMINALS, 1.0);
    }
    println!(
        "{} rounds of {} s at {} sales a second, {TERMINALS} terminals, {} cards, ledgers in {}",
        options.rounds,
        options.seconds,
        options.rate,
        options.cards,
        options.dir.display()
    );
    let mut tallies = ROWS.map(|_| Vec::new());
    let mut given = 0;
    for round in 0..options.rounds {
        // Nobody is always first.
        for row in (0..ROWS.len()).map(|row| (row + round) % ROWS.len()) {
            let beside = ROWS[row].0;
            let server = match beside {
                Beside::Floor => &floor,
                Beside::Rotation => &rotating,
                Beside::Nothing | Beside::Reload | Beside::Topups | Beside::Report => &posgate,
            };
            tallies[row].push(sell_beside(beside, &mut crowd, server, &options, &mut given));
        }
    }
    print(&tallies);
    let approved = crowd.approved_by(Kind::Posgate);
    let charges = posgate.stop_and_count(&options.posgate) + rotating.stop_and_count(&options.posgate);
    assert!(charges >= approved, "{approved} sales were approved, and {charges} are in the ledgers");
    println!("\nboth ledgers are clean: {charges} sales, {approved} approvals received");
    ExitCode::SUCCESS
}

/// One run of a row. `given`: top-ups so far.
fn sell_beside(beside: Beside, crowd: &mut Crowd, server: &Running, options: &Options, given: &mut u32) -> Tally {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| match beside {
            Beside::Floor | Beside::Nothing | Beside::Rotation => (),
            Beside::Reload => reload(server, options, &is_over),
            Beside::Topups => top_up(&server.dir, options, given),
            Beside::Report => report(&server.dir, options, &is_over),
        });
        let tally = crowd.sell_at(server, TERMINALS, options.rate, options.seconds);
        is_over.store(true, Ordering::Relaxed);
        tally
    })
}

/// Every second another name on every card.
fn reload(server: &Running, options: &Options, is_over: &AtomicBool) {
    for name in ["李四", "张三"].into_iter().cycle() {
        servers::write_cards(options.cards, &server.dir, name);
        server.signal(Signal::SIGHUP);
        for _ in 0..100 {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A thousand top-ups, each after the answer to the one before.
fn top_up(dir: &Path, options: &Options, given: &mut u32) {
    let mut socket = UnixStream::connect(dir.join("ctl.sock")).expect("the control socket");
    let mut answers = BufReader::new(socket.try_clone().expect("another handle"));
    let mut answer = String::new();
    for _ in 0..TOPUPS {
        *given += 1;
        let card = 8_888_000_000_u64 + u64::from(*given % options.cards);
        let order = format!(
            "{{\"cmd\":\"topup\",\"card\":\"{card}\",\"amount\":\"1.00\",\"by\":\"bench\",\"key\":\"bench-{given}\"}}\n"
        );
        socket.write_all(order.as_bytes()).expect("sent");
        answer.clear();
        answers.read_line(&mut answer).expect("an answer");
        assert!(answer.starts_with("{\"ok\":true"), "{answer}");
    }
}

fn report(dir: &Path, options: &Options, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let mut command = Command::new(&options.posgate);
        command.args(["ledger", "report", "--config"]).arg(dir.join("posgate")).stdout(Stdio::null());
        assert!(command.status().expect("it runs").code().is_some(), "it ends");
    }
}

/// What is printed of a row's times.
const PARTS: [f64; 4] = [0.5, 0.99, 0.999, 1.0];

/// p99.9 needs a thousand sales: the rounds of a row are put together.
fn print(tallies: &[Vec<Tally>; ROWS.len()]) {
    let pooled = |row: usize, of: &dyn Fn(&Tally) -> &Vec<u32>| {
        let mut all: Vec<u32> = tallies[row].iter().flat_map(|tally| of(tally).iter().copied()).collect();
        all.sort_unstable();
        all
    };
    let quiet = pooled(1, &|tally| &tally.latencies);
    println!("\n  {:9} {:>43}   ÷ quiet: {:>19}", "", "a sale's time in us", "");
    println!(
        "  {:9} {:>7} {:>8} {:>8} {:>8} {:>8}   {:>6} {:>6} {:>7} {:>6}   {:>10} {:>6}",
        "", "sales", "p50", "p99", "p99.9", "max", "p50", "p99", "p99.9", "max", "late p99.9", "again"
    );
    for (row, (_, name)) in ROWS.iter().enumerate() {
        let times = pooled(row, &|tally| &tally.latencies);
        let late = pooled(row, &|tally| &tally.late);
        let again: u64 = tallies[row].iter().map(|tally| tally.again).sum();
        let [p50, p99, p999, max] = PARTS.map(|part| part_of(&times, part));
        let [r50, r99, r999, rmax] = PARTS.map(|part| part_of(&times, part) / part_of(&quiet, part));
        println!(
            "  {name:9} {:>7} {p50:>8.0} {p99:>8.0} {p999:>8.0} {max:>8.0}   {r50:>6.2} {r99:>6.2} {r999:>7.2} {rmax:>6.2}   {:>10.0} {again:>6}",
            times.len(),
            part_of(&late, 0.999),
        );
    }
    for (name, part) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        let mut ratios: Vec<f64> = tallies[1]
            .iter()
            .zip(&tallies[0])
            .map(|(quiet, floor)| quiet.latency_us(part) / floor.latency_us(part))
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!(
            "  quiet / floor, {name}: {:.2} ({:.2} to {:.2})",
            ratios[ratios.len() / 2],
            ratios[0],
            ratios[ratios.len() - 1]
        );
    }
}
