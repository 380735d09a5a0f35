//! Sales a second on the loopback: posgate beside two programs that do less.
//!
//!     cargo bench --bench loopback
//!     cargo bench --bench loopback -- --terminals 64 --rounds 9 --seconds 3
//!
//! - **echo**: one `recvfrom` and two `sendto` a sale, nothing decided and nothing stored;
//! - **floor**: what the kernel must do for any server that stores sales before it answers:
//!   datagrams taken in batches, the 001s out in batches, one write and one `fdatasync` a turn, the
//!   results out in batches. Nothing is decided, read or remembered;
//! - **posgate**: the release binary with rules, duplicate detection, doubts, timers, 109s, status
//!   file and ledger.
//!
//! The same crowd of terminals asks each: every terminal sends a 103, waits for its 008, confirms
//! it with a 109 and sends the next 103 at once. Frames, replies and stored bytes of all three are
//! of equal length; all store on the same file system. Rounds alternate, and what is compared are
//! medians of ratios within a round: the machine may be shared and noisy. CPU time is the server's
//! own, from /proc. At the end posgate's ledger is verified, and every 008 that was received must
//! be in it.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a benchmark reads clocks")]
#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "figures for people")]

#[allow(dead_code, reason = "the open loop is tail's")]
mod crowd;
mod rivals;
mod servers;

use std::process::ExitCode;

use crowd::{Crowd, Tally};
use servers::{Kind, Running};

/// What the command line says.
struct Options {
    /// Terminals that sell at once, a table row each.
    terminals: Vec<u16>,
    rounds: usize,
    seconds: f64,
    cards: u32,
    /// Where ledgers are written: a real file system, for tmpfs syncs nothing.
    dir: std::path::PathBuf,
    /// Where all of them listen: one address, or `0.0.0.0`, where posgate alone asks and tells
    /// which of its addresses was meant.
    listen: String,
    posgate: std::path::PathBuf,
    /// One segment: at a hundred thousand sales a second a segment of the shipped size would last a
    /// tenth of a second, where a canteen's lasts two days.
    segment_bytes: u32,
}

const USAGE: &str = "usage: cargo bench --bench loopback -- [--terminals N,N…] [--rounds N] [--seconds S] [--cards N] [--dir DIR] \
                     [--listen ADDRESS] [--posgate PROGRAM]";

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self {
            terminals: vec![1, 64, 1024],
            rounds: 7,
            seconds: 2.0,
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
                "--terminals" => options.terminals = value.split(',').map(str::parse).collect::<Result<_, _>>().ok()?,
                "--rounds" => options.rounds = value.parse().ok()?,
                "--seconds" => options.seconds = value.parse().ok()?,
                "--cards" => options.cards = value.parse().ok()?,
                "--dir" => options.dir = value.into(),
                "--listen" => options.listen = value,
                "--posgate" => options.posgate = value.into(),
                _ => return None,
            }
        }
        let is_possible = options.terminals.iter().all(|count| (1..=1024).contains(count));
        (is_possible && options.rounds > 0 && options.cards > 0).then_some(options)
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == rivals::ARGUMENT) {
        let rest: Vec<String> = arguments.collect();
        rivals::serve(&rest[1], &rest[2], &rest[3]);
        return ExitCode::SUCCESS;
    }
    let Some(options) = Options::parse(arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    let dir = tempfile::tempdir_in(&options.dir).expect("a temporary directory");
    let mut servers = [Kind::Posgate, Kind::Floor, Kind::Echo].map(|kind| Running::start(kind, &options, dir.path()));
    println!(
        "{} rounds of {} s, {} cards, ledgers in {}",
        options.rounds,
        options.seconds,
        options.cards,
        options.dir.display()
    );
    let mut crowd = Crowd::new(options.cards);
    for terminals in &options.terminals {
        compare(&mut crowd, &mut servers, *terminals, &options);
    }
    let [posgate, ..] = servers;
    let charges = posgate.stop_and_count(&options.posgate);
    let approved = crowd.approved_by(Kind::Posgate);
    assert!(charges >= approved, "{approved} sales were approved, and {charges} are in the ledger");
    println!("\nposgate's ledger is clean: {charges} sales, {approved} approvals received");
    ExitCode::SUCCESS
}

/// Rounds with so many terminals, and their table.
fn compare(crowd: &mut Crowd, servers: &mut [Running; 3], terminals: u16, options: &Options) {
    let mut rounds: Vec<[Tally; 3]> = Vec::new();
    for round in 0..options.rounds {
        let mut tallies: [Tally; 3] = Default::default();
        // Nobody is always first.
        for place in (0..3).map(|place| (place + round) % 3) {
            tallies[place] = crowd.sell(&mut servers[place], terminals, options.seconds);
        }
        rounds.push(tallies);
    }
    println!("\n{terminals} terminals");
    println!(
        "  {:8} {:>9} {:>8} {:>8} {:>8} {:>9} {:>9} {:>7} {:>6}",
        "", "sales/s", "p50 us", "p99 us", "p99.9 us", "cpu us", "of it sys", "a turn", "again"
    );
    for (place, server) in servers.iter().enumerate() {
        let middle =
            |figure: &dyn Fn(&Tally) -> f64| median(rounds.iter().map(|round| figure(&round[place])).collect());
        let again: u64 = rounds.iter().map(|round| round[place].again).sum();
        println!(
            "  {:8} {:>9.0} {:>8.0} {:>8.0} {:>8.0} {:>9.2} {:>9.2} {:>7.1} {:>6}",
            server.kind.name(),
            middle(&Tally::rate),
            middle(&|tally| tally.latency_us(0.5)),
            middle(&|tally| tally.latency_us(0.99)),
            middle(&|tally| tally.latency_us(0.999)),
            middle(&|tally| tally.cpu_us()),
            middle(&|tally| tally.system_us()),
            middle(&|tally| tally.sales_a_turn()),
            again,
        );
    }
    let ratio = |figure: &dyn Fn(&Tally) -> f64, to: usize| {
        let mut ratios: Vec<f64> = rounds.iter().map(|round| figure(&round[0]) / figure(&round[to])).collect();
        ratios.sort_by(f64::total_cmp);
        format!("{:.3} ({:.3} to {:.3})", median(ratios.clone()), ratios[0], ratios[ratios.len() - 1])
    };
    println!(
        "  posgate / floor: sales {}, time of a sale {}",
        ratio(&Tally::rate, 1),
        ratio(&|tally| tally.latency_us(0.5), 1)
    );
    println!("  posgate / echo:  sales {}, cpu a sale {}", ratio(&Tally::rate, 2), ratio(&|tally| tally.cpu_us(), 2));
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
