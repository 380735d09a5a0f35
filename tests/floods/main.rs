//! Floods and liars on real sockets: garbage at full speed, a forger, a babbler, and a lunch hour
//! after a power cut, each beside terminals that only want to sell, and beside a crowd of
//! posgate-sim, whose tally and judge are a second opinion. Every sale is answered and charged
//! once, memory stays flat, and every datagram is counted somewhere; one thread does it. Times are
//! printed and never asserted: they are the machine's.
//!
//! `cargo test --test floods` floods for a second; `.ci/floods` for 20 (`POSGATE_FLOOD_SECONDS`).

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::{CARDS, DEVICE_TIME, Server, Site, card, card_table, read_reply};

#[allow(dead_code)]
#[path = "../serve/harness.rs"]
mod harness;

/// Terminals that sell beside a flood.
const TERMINALS: u16 = 8;

/// What is allocated may grow by this much in a flood: the answer to a terminal's first frame is
/// prepared once. The tables are of fixed size and always there; of these only the pages that were
/// touched are resident, so resident memory grows until all are.
const ALLOCATED_GROWTH_KB: u64 = 256;

/// Terminals of posgate-sim, and their frames a second.
const CROWD: [&str; 4] = ["--terminals", "8", "--rate", "100"];

/// How often a frame is sent before its result must have come.
const SENDS_MAX: u32 = 40;

const INTERVAL: Duration = Duration::from_millis(500);

fn seconds() -> u64 {
    std::env::var("POSGATE_FLOOD_SECONDS").map_or(1, |text| text.parse().expect("a number"))
}

#[expect(clippy::disallowed_methods, reason = "a latency is measured")]
fn now() -> Instant {
    Instant::now()
}

/// A terminal with an address of its own.
struct Terminal {
    address: Ipv4Addr,
    socket: UdpSocket,
    machine: u16,
    seq: u16,
    latencies: Vec<Duration>,
    sent: u64,
}

impl Terminal {
    fn new(machine: u16, server: SocketAddrV4) -> Self {
        let [high, low] = machine.to_be_bytes();
        let address = Ipv4Addr::new(127, 3, high, low);
        let socket = UdpSocket::bind((address, 0)).expect("a free port");
        socket.connect(server).expect("connected");
        socket.set_read_timeout(Some(INTERVAL)).expect("set");
        Self { address, socket, machine, seq: 0, latencies: Vec::new(), sent: 0 }
    }

    /// Asks until a reply of this code with this field comes; the time from the first send.
    fn ask(&mut self, frame: &str, code: &str, (place, mark): (usize, &str)) {
        let start = now();
        let mut buffer = [0; 2048];
        for _ in 0..SENDS_MAX {
            self.socket.send(frame.as_bytes()).expect("sent");
            self.sent += 1;
            while let Ok(len) = self.socket.recv(&mut buffer) {
                let reply = read_reply(&buffer[..len]);
                if reply.code() == code && reply.fields.get(place).is_some_and(|field| field == mark) {
                    self.latencies.push(start.elapsed());
                    return;
                }
                assert_ne!(reply.code(), "006", "{reply:?} to {frame}");
            }
        }
        panic!("no {code} for {frame}");
    }

    fn frame(&mut self, code: &str, fields: &str) -> String {
        self.seq += 1;
        let Self { seq, address, machine, .. } = self;
        format!("{code},{seq:05},{address},127.0.0.1,{machine:05},{fields},30000{machine:05}")
    }

    fn sell(&mut self) {
        let amount = format!("{}.{:02}", (self.seq + 1) / 100, (self.seq + 1) % 100);
        let frame = self.frame("103", &format!("{},{amount},{DEVICE_TIME}", card(u64::from(self.machine) % 12 + 1)));
        self.ask(&frame, "008", (3, &amount));
    }

    fn upload(&mut self, record: u32) {
        let card = card(u64::from(self.machine) % 12 + 1);
        let frame = self.frame("105", &format!("{card},0.01,{DEVICE_TIME},0,{record:08},{}", 40 - record));
        self.ask(&frame, "011", (5, &format!("{record:08}")));
    }

    fn boot(&mut self) {
        let frame = self.frame("101", DEVICE_TIME);
        self.ask(&frame, "001", (1, &format!("{:05}", self.seq)));
        self.latencies.clear();
    }
}

/// A server, what it said of itself, and what was sent to it.
struct Trial {
    name: &'static str,
    site: Site,
    server: Server,
    /// Datagrams of the first terminal, which touches every page that a sale touches.
    sent_first: u64,
    before_kb: u64,
    allocated_kb: u64,
}

impl Trial {
    fn begin(name: &'static str, sections: &str) -> Self {
        let site = Site::with("", sections);
        site.write("cards.csv", &card_table(CARDS).replace("1000.00", "9000000.00"));
        let text = std::fs::read_to_string(site.path("posgate")).unwrap();
        // The limits as they are shipped.
        let text = text.replace("option rate_source '0'", "option rate_source '100'").replace("'debug'", "'info'");
        site.write("posgate", &text);
        let server = site.start();
        let mut trial = Self { name, site, server, sent_first: 0, before_kb: 0, allocated_kb: 0 };
        let mut first = Terminal::new(9, trial.address());
        (0..50).for_each(|_| first.sell());
        trial.sent_first = first.sent;
        trial.before_kb = trial.memory_kb("VmRSS");
        trial.allocated_kb = trial.memory_kb("VmData");
        trial
    }

    fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.server.port)
    }

    fn memory_kb(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.server.pid())).unwrap().count()
    }

    /// The server's socket as the kernel sees it: bytes that wait to be read, datagrams that there
    /// was no room for.
    fn socket(&self) -> (u64, u64) {
        let table = std::fs::read_to_string("/proc/net/udp").unwrap();
        let port = format!("0100007F:{:04X}", self.server.port);
        let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let columns = rows.find(|columns| columns[1] == port).expect("the server's socket");
        let (_, waiting) = columns[4].split_once(':').expect("tx_queue:rx_queue");
        (u64::from_str_radix(waiting, 16).unwrap(), columns.last().unwrap().parse().unwrap())
    }

    /// Waits until everything sent was read; gives how many the kernel had no room for.
    fn drain(&self) -> u64 {
        let start = now();
        loop {
            match self.socket() {
                (0, drops) => return drops,
                _ if start.elapsed() > harness::PATIENCE => panic!("the server does not read what was sent"),
                _ => std::thread::yield_now(),
            }
        }
    }

    /// As [`Trial::count`], with as many datagrams as were sent. Gives the counters of its last
    /// words.
    fn end(self, terminals: &[Terminal], sent_by_others: u64) -> BTreeMap<String, u64> {
        let sent = self.sent_first + sent_by_others + terminals.iter().map(|terminal| terminal.sent).sum::<u64>();
        let (name, before_kb) = (self.name, self.before_kb);
        let (counters, after_kb, lost) = self.count();
        assert_eq!(
            counters["received"] + lost,
            sent,
            "every datagram was counted, by the server or the kernel ({lost}): {counters:?}"
        );
        let mut latencies: Vec<Duration> = terminals.iter().flat_map(|terminal| terminal.latencies.clone()).collect();
        latencies.sort_unstable();
        let at = |percent: usize| latencies[(latencies.len() * percent).div_ceil(100).saturating_sub(1)];
        println!(
            "{name}: {} answers, p50 {:.2?} p99 {:.2?} max {:.2?}; {sent} datagrams sent, {lost} lost in the kernel; memory {before_kb} -> {after_kb} kB, {} %",
            latencies.len(),
            at(50),
            at(99),
            at(100),
            after_kb * 100 / before_kb,
        );
        counters
    }

    /// Stops the server: every datagram became something, memory is flat, the ledger clean. Gives
    /// the counters of its last words, its memory then, and how many datagrams the kernel had no
    /// room for.
    fn count(self) -> (BTreeMap<String, u64>, u64, u64) {
        let after_kb = self.memory_kb("VmRSS");
        let allocated_kb = self.memory_kb("VmData");
        let lost = self.drain();
        let ended = self.server.stop();
        let last = ended.out.lines().rfind(|line| line.contains("stop received=")).expect("last words");
        let counters: BTreeMap<String, u64> = last
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
            .filter_map(|(key, count)| Some((key.to_owned(), count.parse().ok()?)))
            .collect();
        let count = |name: &str| counters.get(name).copied().unwrap_or(0);
        let dropped = counters.iter().filter(|(name, _)| name.starts_with("dropped_")).map(|(_, count)| count);
        assert_eq!(
            count("acknowledged") + count("unacknowledged") + dropped.sum::<u64>(),
            count("received"),
            "every datagram became something: {last}"
        );
        let told = ended.err.lines().filter_map(|line| line.split_once("lost datagrams=")?.1.split_once(':'));
        let told: u64 = told.map(|(number, _)| number.parse::<u64>().unwrap()).sum();
        assert_eq!(told, lost, "what the kernel had no room for is told: {}", ended.err);
        println!("    {}", last.split_once("stop ").unwrap().1);
        assert!(
            allocated_kb <= self.allocated_kb + ALLOCATED_GROWTH_KB,
            "memory grew from {} to {allocated_kb} kB",
            self.allocated_kb
        );
        self.site.run(&["ledger", "verify", "--config", "CONFIG"]).expect(0, &["clean"], &[]);
        (counters, after_kb, lost)
    }
}

/// A crowd of posgate-sim.
struct Crowd(Child);

impl Crowd {
    fn start(trial: &Trial, seconds: u64) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_posgate-sim"));
        command.args(["--server", &trial.address().to_string(), "crowd"]).args(CROWD);
        command.args(["--seconds", &seconds.to_string()]);
        command.args((1..=8).flat_map(|number| ["--card".to_owned(), card(number)]));
        Self(command.stdout(Stdio::piped()).spawn().expect("posgate-sim starts"))
    }

    /// Its tally; gives the datagrams that it sent.
    fn end(self) -> u64 {
        let output = self.0.wait_with_output().expect("posgate-sim ends");
        let tally = String::from_utf8_lossy(&output.stdout);
        for line in tally.lines().filter(|line| !line.starts_with("second")) {
            println!("    {line}");
        }
        // A server that lives has no excuse.
        assert!(tally.contains("unknown 0 · promises broken 0"), "{tally}");
        let sent = tally.lines().find_map(|line| line.strip_prefix("datagrams sent "));
        sent.expect("it says what it sent").parse().expect("a number")
    }
}

/// Sells on some terminals for the flood's time, while `flood` runs until it is told to end; gives
/// the terminals, and what it and posgate-sim sent.
fn beside(trial: &Trial, flood: impl Fn(&UdpSocket, u64) + Sync, from: Ipv4Addr) -> (Vec<Terminal>, u64) {
    let is_over = AtomicBool::new(false);
    let sent = AtomicU64::new(0);
    let socket = UdpSocket::bind((from, 0)).expect("a free port");
    socket.connect(trial.address()).expect("connected");
    let end = now() + Duration::from_secs(seconds());
    let crowd = Crowd::start(trial, seconds());
    let (terminals, sent_by_crowd) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                flood(&socket, sent.fetch_add(1, Ordering::Relaxed));
            }
        });
        let running: Vec<_> = (0..TERMINALS)
            .map(|index| {
                let mut terminal = Terminal::new(101 + index, trial.address());
                scope.spawn(move || {
                    while now() < end {
                        terminal.sell();
                        // A cashier is not faster, and 100 frames a second are allowed.
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    terminal
                })
            })
            .collect();
        assert_eq!(trial.threads(), 1, "one thread serves them");
        let terminals: Vec<_> = running.into_iter().map(|thread| thread.join().unwrap()).collect();
        let sent_by_crowd = crowd.end();
        is_over.store(true, Ordering::Relaxed);
        (terminals, sent_by_crowd)
    });
    (terminals, sent.load(Ordering::Relaxed) + sent_by_crowd)
}

fn sales_of(trial_site: &Site, terminals: &[Terminal]) {
    let ledger = trial_site.ledger();
    for terminal in terminals {
        let machine = format!("{:05}", terminal.machine);
        let charges = ledger.of_kind("charge").filter(|line| line.raw("machine") == machine).count();
        assert_eq!(charges, terminal.latencies.len(), "sales of {machine}");
    }
}

#[test]
fn garbage_at_full_speed() {
    let trial = Trial::begin("garbage", "");
    let flood = |socket: &UdpSocket, count: u64| {
        let garbage: Vec<u8> = (0..count % 1400).map(|at| (count.wrapping_mul(at + 7) >> 3) as u8).collect();
        socket.send(&garbage).expect("sent");
    };
    let (terminals, sent) = beside(&trial, flood, Ipv4Addr::new(127, 9, 0, 1));
    sales_of(&trial.site, &terminals);
    let counters = trial.end(&terminals, sent);
    assert!(counters["dropped_rate"] > 0, "{counters:?}");
}

#[test]
fn a_forger_with_a_registered_machine_number() {
    let sections = (101..101 + TERMINALS).fold(String::new(), |text, machine| {
        text + &format!("config device\n\toption machine '{machine}'\n\toption serial '30000{machine:05}'\n")
    });
    let trial = Trial::begin("forger", &sections);
    let flood = |socket: &UdpSocket, count: u64| {
        let machine = 101 + count % u64::from(TERMINALS);
        let serial = if count.is_multiple_of(2) { ",9999999999" } else { "" };
        let kind = match count % 3 {
            0 => format!(
                "103,{:05},127.3.0.101,127.0.0.1,{machine:05},{},1.00,{DEVICE_TIME}{serial}",
                count % 65_536,
                card(5)
            ),
            1 => format!(
                "105,{:05},127.3.0.101,127.0.0.1,{machine:05},{},1.00,{DEVICE_TIME},0,{count:08},1{serial}",
                count % 65_536,
                card(5)
            ),
            _ => format!("109,{:05},127.3.0.101,127.0.0.1,{machine:05}", count % 65_536),
        };
        socket.send(kind.as_bytes()).expect("sent");
        std::thread::sleep(Duration::from_millis(11));
    };
    let forger = Ipv4Addr::new(127, 9, 0, 2);
    let (terminals, sent) = beside(&trial, flood, forger);
    sales_of(&trial.site, &terminals);
    let ledger = trial.site.ledger();
    assert_eq!(ledger.count("offline"), 0, "nothing was booked for the forger");
    let is_forged = |machine: &str| (101..101 + u64::from(TERMINALS)).any(|number| format!("{number:05}") == machine);
    let confirmed = ledger.of_kind("confirm").filter(|line| is_forged(line.raw("machine"))).count();
    assert_eq!(confirmed, 0, "nothing was confirmed by the forger");
    assert!(ledger.count("alarm") > 0, "somebody is told");
    let refused = ledger.of_kind("decline").filter(|line| line.detail("reason") == Some("machine-clash")).count();
    assert!(refused > 0);
    let counters = trial.end(&terminals, sent);
    assert!(counters["clashes"] > 0, "{counters:?}");
}

#[test]
fn one_source_at_a_thousand_frames_a_second() {
    let trial = Trial::begin("babbler", "");
    let begin = now();
    let flood = |socket: &UdpSocket, count: u64| {
        // Where other work held it up, it catches up.
        std::thread::sleep((begin + Duration::from_millis(count)).saturating_duration_since(now()));
        let frame = format!("103,{:05},127.9.0.3,127.0.0.1,00777,{},0.01,{DEVICE_TIME}", count % 65_536, card(7));
        socket.send(frame.as_bytes()).expect("sent");
    };
    let (terminals, sent) = beside(&trial, flood, Ipv4Addr::new(127, 9, 0, 3));
    sales_of(&trial.site, &terminals);
    let counters = trial.end(&terminals, sent);
    assert!(counters["dropped_rate"] > 0, "{counters:?}");
}

#[test]
fn two_hundred_and_fifty_terminals_after_a_power_cut() {
    const RECORDS: u32 = 40;
    let (uploaders, records) = if seconds() > 1 { (250_u16, RECORDS) } else { (60, 10) };
    let trial = Trial::begin("power cut", "");
    let server = trial.address();
    let start = Barrier::new(usize::from(uploaders + TERMINALS));
    let crowd = Crowd::start(&trial, seconds().min(4));
    let (uploaded, terminals) = std::thread::scope(|scope| {
        let start = &start;
        let uploading: Vec<_> = (0..uploaders)
            .map(|index| {
                let small = std::thread::Builder::new().stack_size(256 * 1024);
                let thread = small.spawn_scoped(scope, move || {
                    let mut terminal = Terminal::new(1001 + index, server);
                    start.wait();
                    terminal.boot();
                    (1..=records).for_each(|record| terminal.upload(record));
                    terminal
                });
                thread.expect("a thread")
            })
            .collect();
        let selling: Vec<_> = (0..TERMINALS)
            .map(|index| {
                scope.spawn(move || {
                    let mut terminal = Terminal::new(101 + index, server);
                    start.wait();
                    for _ in 0..30 {
                        terminal.sell();
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    terminal
                })
            })
            .collect();
        let join = |threads: Vec<std::thread::ScopedJoinHandle<'_, Terminal>>| -> Vec<Terminal> {
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        };
        (join(uploading), join(selling))
    });
    sales_of(&trial.site, &terminals);
    let ledger = trial.site.ledger();
    let mut booked: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for line in ledger.of_kind("offline") {
        *booked.entry((line.raw("machine"), line.raw("slot"))).or_default() += 1;
    }
    assert_eq!(booked.len(), usize::from(uploaders) * records as usize, "every record was booked");
    assert!(booked.values().all(|times| *times == 1), "and once");
    let mut latencies: Vec<Duration> = uploaded.iter().flat_map(|terminal| terminal.latencies.clone()).collect();
    latencies.sort_unstable();
    println!(
        "power cut: {uploaders} terminals with {records} records each: p50 {:.2?} p99 {:.2?} max {:.2?} a record",
        latencies[latencies.len() / 2],
        latencies[latencies.len() * 99 / 100],
        latencies[latencies.len() - 1]
    );
    let sent = uploaded.iter().map(|terminal| terminal.sent).sum::<u64>() + crowd.end();
    trial.end(&terminals, sent);
}
