//! SIGKILL at random instants, also while a start reads and mends the ledger. The load is of
//! terminals that go on with the same frame on the next server, and of posgate-sim's crowd, which
//! knows the protocol better and this test's bookkeeping not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::harness::{CARDS, Ledger, Server, Site, card};
use crate::terminal::{Stopped, Terminal, assert_kept, doors_of, rich_cards};

const TERMINALS: u32 = 16;

const ROUNDS: u64 = 5;

/// Kills until a new ledger begins: a long one takes long to compare after each.
const LEDGER_ROUNDS: u64 = 20;

/// More than a terminal of the crowd sends before it is ended.
const CROWD_FRAMES: u64 = 3_000;

/// xorshift64*: the instants need no better.
struct Random(u64);

impl Random {
    fn from_environment() -> Self {
        let seed = number_of("POSGATE_CRASH_SEED").unwrap_or_else(|| {
            let mut bytes = [0; 8];
            File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
            u64::from_be_bytes(bytes) >> 20
        });
        println!("POSGATE_CRASH_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// What happened in some rounds.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    while_starting: u64,
    torn_tails: u64,
    answered: usize,
    answered_crowd: usize,
    entries: usize,
    charges: usize,
    offline: usize,
    admits: usize,
}

#[test]
fn killed_at_any_instant_every_answer_is_in_the_ledger_once() {
    let rounds = number_of("POSGATE_CRASH_ROUNDS").unwrap_or(ROUNDS);
    let mut random = Random::from_environment();
    let mut tally = Tally::default();
    while tally.kills < rounds {
        let more = (rounds - tally.kills).min(LEDGER_ROUNDS);
        kill_again_and_again(more, &mut random, &mut tally);
    }
    println!("{tally:?}");
}

/// A ledger of its own, and so many kills.
fn kill_again_and_again(rounds: u64, random: &mut Random, tally: &mut Tally) {
    let site = Site::with("", &doors_of(TERMINALS));
    site.write("cards.csv", &rich_cards());
    let mut terminals: Vec<Terminal> = (1..=TERMINALS).map(Terminal::new).collect();
    let mut lines = 0;
    let mut crowds = Vec::new();
    for round in 0..rounds {
        // One start in four does not live to listen.
        if random.below(4) == 0 {
            let server = site.spawn(&[]);
            wait(random.below(30_000));
            server.kill();
            tally.while_starting += 1;
        }
        let server = site.start();
        let crowd = Crowd::start(&site, &server, round * CROWD_FRAMES);
        let (sender, answers) = channel();
        let instant_us = random.below(200_000);
        std::thread::scope(|scope| {
            for terminal in &mut terminals {
                let (sender, port) = (sender.clone(), server.port);
                scope.spawn(move || {
                    terminal.turn_to(port);
                    assert_eq!(terminal.go_on(&sender), Stopped::Gone);
                });
            }
            // Something was answered in each round; from then on the instant is any.
            answers.recv_timeout(crate::harness::PATIENCE).expect("answers come");
            wait(instant_us);
            server.kill();
        });
        tally.kills += 1;
        crowds.extend(crowd.approvals(&site));
        let ledger = site.ledger();
        assert!(ledger.lines.len() > lines, "round {round}: nothing that was answered is gone");
        lines = ledger.lines.len();
        tally.torn_tails += u64::from(ledger.torn > 0);
        let verified = site.run(&["ledger", "verify", "--config", "CONFIG"]);
        // 5: killed between a new segment's name and its header, which the next start sets aside.
        let expected: &[i32] = if ledger.torn > 0 { &[1, 5] } else { &[0] };
        assert!(verified.code.is_some_and(|code| expected.contains(&code)), "round {round}: {}", verified.out);
        assert_kept(&ledger, &terminals);
        assert_approvals_kept(&ledger, &crowds);
    }
    site.start().stop().expect(0, &[], &[]);
    let ledger = site.ledger();
    assert_eq!(ledger.torn, 0);
    assert_kept(&ledger, &terminals);
    assert_approvals_kept(&ledger, &crowds);
    site.run(&["ledger", "verify", "--config", "CONFIG"]).expect(0, &["clean"], &[]);
    tally.answered_crowd += crowds.len();
    tally.answered += terminals.iter().map(|terminal| terminal.answered.len()).sum::<usize>();
    tally.entries += ledger.lines.len();
    tally.charges += ledger.count("charge");
    tally.offline += ledger.count("offline");
    tally.admits += ledger.count("admit");
}

/// posgate-sim's crowd; every datagram is printed.
struct Crowd(Child);

/// Machine, frame, card and device time of a sale that was approved.
type Approval = [String; 4];

impl Crowd {
    fn start(site: &Site, server: &Server, first_seq: u64) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_posgate-sim"));
        command.args(["--server", &format!("127.0.0.1:{}", server.port), "--trace"]);
        // Two crowds may live in one second: a number used in both would be that of two sales at
        // one time.
        command.args(["--seq", &first_seq.to_string()]);
        command.args(["crowd", "--terminals", "8", "--rate", "400", "--seconds", "60"]);
        command.args((1..=CARDS).flat_map(|number| ["--card".to_owned(), card(number)]));
        let trace = File::create(site.path("crowd")).expect("created");
        Self(command.stdout(trace).stderr(Stdio::null()).spawn().expect("posgate-sim starts"))
    }

    /// Ends it; what its terminals saw approved.
    fn approvals(mut self, site: &Site) -> Vec<Approval> {
        self.0.kill().expect("it lives");
        self.0.wait().expect("it ends");
        let trace = std::fs::read_to_string(site.path("crowd")).expect("UTF-8");
        // A line that the kill cut says nothing.
        let whole = &trace[..trace.rfind('\n').map_or(0, |end| end + 1)];
        // By machine: frame, card, amount and time of each sale.
        let mut asked: BTreeMap<&str, Vec<[&str; 4]>> = BTreeMap::new();
        let mut approvals = Vec::new();
        for line in whole.lines() {
            let (datagram, is_asked) = match (line.split_once(" → "), line.split_once(" ← ")) {
                (Some((_, datagram)), None) => (datagram, true),
                (None, Some((_, datagram))) => (datagram, false),
                _ => continue,
            };
            let fields: Vec<&str> = datagram.split(',').collect();
            match (fields[0], is_asked) {
                ("103", true) => asked.entry(fields[4]).or_default().push([fields[1], fields[5], fields[6], fields[7]]),
                ("104", true) => asked.entry(fields[4]).or_default().push([fields[1], fields[5], "0.00", fields[6]]),
                ("008", false) => {
                    let sales = asked.get(fields[1]).into_iter().flatten().rev();
                    let sale = sales.clone().find(|sale| sale[1..=2] == fields[2..=3]).expect("somebody asked for it");
                    approvals.push([fields[1], sale[0], sale[1], sale[3]].map(str::to_owned));
                }
                _ => (),
            }
        }
        approvals
    }
}

/// Each approval has its one entry, and no frame was charged twice.
fn assert_approvals_kept(ledger: &Ledger, approvals: &[Approval]) {
    let mut entries: BTreeMap<[&str; 4], u32> = BTreeMap::new();
    for line in ledger.lines.iter().filter(|line| matches!(line.kind(), "charge" | "meal" | "repeat")) {
        let key = ["machine", "frame", "card", "device_time"].map(|column| line.raw(column));
        *entries.entry(key).or_default() += 1;
    }
    for approval in approvals {
        let times = entries.get(&approval.each_ref().map(String::as_str)).copied().unwrap_or(0);
        assert_eq!(times, 1, "posgate-sim saw this approved: {approval:?}");
    }
    assert!(entries.values().all(|times| *times == 1), "a frame has one entry: {entries:?}");
}

/// An instant is a time, so this is the one place that lets time pass.
fn wait(us: u64) {
    std::thread::sleep(Duration::from_micros(us));
}
