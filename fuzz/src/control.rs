//! The control socket's lines, as a desk, a web page or an intruder writes them, over the real
//! server and its ledger in memory; the state is kept from one to the next.
//!
//! The input is lines. The first byte of a line says what happens:
//!
//! ```text
//! {BYTES       a line of a client (it begins with this brace); any other line is one too
//! =            the client's last line again
//! >BYTES       a datagram of a terminal
//! .            the turn ends: what was ordered is durable
//! +DIGITS      so many ms pass; deadlines come
//! R            stop, start: everything is replayed
//! ```
//!
//! Promised after every line:
//! - no panic; one answer, one JSON object on one line within its bound, `ok` first, and a sentence
//!   if it is false;
//! - a question, a dry order and a refused one write nothing; an order that was not done before
//!   writes at most its account's opening and itself;
//! - the same order again writes nothing, and names the same entry;
//! - balances are what the entries add up to, and a replay gives the state that was.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use posgate::desk::control::request::{self, ControlRequest};
use posgate::desk::control::{Answer, ControlReply, Deferred, Host, answer};
use posgate::desk::json::{self, Value};
use posgate::engine::limits::CONTROL_LINE_MAX;
use posgate::engine::model::{Entry, Kind, Mono, Now, Stamp, Wall};
use posgate::engine::server::{Effects, Origin, Peer, Server, Tables};
use posgate::ledger::{Entries, Ledger, Refusal, replay};
use posgate::turn::Service;

use crate::site::{self, SITES};
use crate::storage::{Lent, MemoryStorage};

/// Lines of an input that are played.
const STEPS_MAX: usize = 300;

/// 2026-11-22 04:00:00 UTC.
const START: i64 = 1_795_320_000_000;

/// Plays one input.
pub fn run(input: &[u8]) {
    let mut tables = site::tables();
    let mut spare = site::spare_tables();
    let mut effects = site::effects();
    let mut storage = MemoryStorage::default();
    let mut steps = input.split(|byte| *byte == b'\n').take(STEPS_MAX);
    let mut clock = Clock { mono: 1_000, wall: START };
    let mut last = Vec::new();
    let mut is_over = false;
    while !is_over {
        let mut desk = Desk::start(Lent(&mut storage), &mut tables, &mut effects, clock, std::mem::take(&mut last));
        is_over = loop {
            match steps.next() {
                None => break true,
                Some(b"R") => break false,
                Some(step) => desk.step(step),
            }
        };
        (clock, last) = desk.stop();
        compare(&storage, &mut tables, &mut spare);
    }
}

#[derive(Clone, Copy)]
struct Clock {
    mono: u64,
    wall: i64,
}

impl Clock {
    fn now(self) -> Now {
        let stamp = Stamp { wall: Wall(self.wall), offset_s: 8 * 3600 };
        Now { mono: Mono(self.mono), stamp, synchronized: false }
    }
}

/// A machine with two addresses and one network.
struct Machine;

impl Host for Machine {
    fn addresses(&self) -> Vec<Ipv4Addr> {
        vec![Ipv4Addr::LOCALHOST, Ipv4Addr::new(192, 168, 1, 3)]
    }

    fn discover(&mut self, port: u16) -> Result<usize, String> {
        if port == 1 { Err("no network".to_owned()) } else { Ok(1) }
    }

    fn ledger_dir(&self) -> &Path {
        Path::new("/ledger")
    }
}

/// One run of the server.
struct Desk<'t, 's> {
    service: Service<'t, Lent<'s>>,
    clock: Clock,
    last: Vec<u8>,
    seq: u16,
}

impl<'t, 's> Desk<'t, 's> {
    fn start(storage: Lent<'s>, tables: &'t mut Tables, effects: &'t mut Effects, clock: Clock, last: Vec<u8>) -> Self {
        let site = &SITES[0];
        let mut server = Server::new(tables, site.rules.clone());
        let opened = Ledger::open(storage, "fuzz", clock.now().stamp, || 0xF022, server.book_to_replay());
        let (mut ledger, _) = opened.unwrap_or_else(|error| panic!("{error}"));
        ledger.limit_segments(65_536);
        server.install(site.rules.clone(), &site.cards, Origin::default()).expect("the table fits");
        let mut service = Service::new(server, ledger, effects);
        service.start(&clock.now(), &mut |_| ()).expect("memory can be written");
        Self { service, clock, last, seq: 0 }
    }

    fn stop(mut self) -> (Clock, Vec<u8>) {
        self.service.stop(&self.clock.now(), &mut |_| ()).expect("memory can be written");
        (Clock { mono: 0, ..self.clock }, self.last)
    }

    fn step(&mut self, step: &[u8]) {
        match step {
            b"." => self.end_turn(),
            b"=" => {
                let line = std::mem::take(&mut self.last);
                self.say(&line);
            }
            [b'+', digits @ ..] => {
                let ms = String::from_utf8_lossy(digits).trim().parse::<u32>().unwrap_or(0).min(86_400_000);
                self.clock.mono += u64::from(ms);
                self.clock.wall += i64::from(ms);
                self.end_turn();
            }
            [b'>', frame @ ..] => {
                self.seq = self.seq.wrapping_add(1);
                let source = SocketAddrV4::new(Ipv4Addr::new(127, 1, 0, 3), 39_192);
                let peer = Peer { source, local: Ipv4Addr::LOCALHOST, socket: 0 };
                let now = self.clock.now();
                self.service.receive(&now, peer, frame, false).expect("memory can be written");
                self.end_turn();
            }
            line => self.say(line),
        }
    }

    fn end_turn(&mut self) {
        self.service.end_turn(&self.clock.now(), &mut |_| ()).expect("memory can be written");
    }

    fn head(&self) -> u64 {
        self.service.server().book().head().0
    }

    fn say(&mut self, line: &[u8]) {
        // What the socket hands over is never longer.
        let line = &line[..line.len().min(CONTROL_LINE_MAX)];
        if !self.service.takes_lines() {
            self.end_turn();
        }
        let request = request::parse(line);
        let before = self.head();
        let first = self.ask(line);
        let written = self.head() - before;
        match &request {
            Err(_) => assert_eq!(written, 0),
            Ok(ControlRequest::Order { is_dry, .. } | ControlRequest::PayOutAll { is_dry, .. }) => {
                let is_new = first.is("ok") && !is_dry && !first.is("again");
                assert!(written <= if is_new { 2 } else { 0 }, "{written} entries: {first}");
                assert!(written > 0 || !is_new, "{first}");
                if first.is("ok") {
                    self.expect_again(line, &first, *is_dry);
                }
            }
            Ok(
                ControlRequest::ClockAccept { .. } | ControlRequest::Acknowledge { .. } | ControlRequest::Branch { .. },
            ) => {
                assert!(written <= 1);
            }
            // A text takes the place of a command that still waits for its 109: `unconfirmed`.
            Ok(ControlRequest::Show { .. }) => assert!(written <= 1),
            Ok(
                ControlRequest::Reload { .. }
                | ControlRequest::Status
                | ControlRequest::Sync
                | ControlRequest::Clock(_),
            ) => assert_eq!(written, 0),
            Ok(
                ControlRequest::Card(_)
                | ControlRequest::Cards { .. }
                | ControlRequest::Unknown { .. }
                | ControlRequest::Devices { .. },
            ) => {
                assert_eq!(written, 0);
            }
            Ok(
                ControlRequest::Discover { .. }
                | ControlRequest::Found { .. }
                | ControlRequest::Head
                | ControlRequest::Wait { .. }
                | ControlRequest::CrcOf(_)
                | ControlRequest::Link(_)
                | ControlRequest::Ack { .. }
                | ControlRequest::ForgetOffice { .. },
            ) => {
                assert_eq!(written, 0);
            }
        }
        self.last = line.to_vec();
    }

    /// The same order again, in the same turn: it does nothing, and says the same entry.
    fn expect_again(&mut self, line: &[u8], first: &Value, is_dry: bool) {
        let before = self.head();
        let again = self.ask(line);
        assert_eq!(self.head(), before, "{again}");
        if is_dry {
            return;
        }
        assert!(again.is("ok") && again.is("again"), "{first} then {again}");
        let entry = |answer: &Value| answer.number::<u64>("seq").or(answer.number("last"));
        let is_line = first.get("first").is_some() || again.get("first").is_some();
        assert!(is_line || entry(first) == entry(&again), "{first} then {again}");
    }

    /// What a line is answered.
    fn ask(&mut self, line: &[u8]) -> Value {
        let answered = answer(&mut self.service, &self.clock.now(), &mut Machine, line);
        let Answer { reply, .. } = answered.expect("memory can be written");
        let line = match reply {
            ControlReply::Line(line) | ControlReply::Stream { line, .. } => line,
            ControlReply::Deferred(Deferred::Reload { .. } | Deferred::Status) | ControlReply::Wait { .. } => {
                "{\"ok\":true}".to_owned()
            }
        };
        assert!(line.len() <= CONTROL_LINE_MAX && !line.contains('\n'), "{line}");
        let value = json::parse(&line).unwrap_or_else(|wrong| panic!("{wrong}: {line}"));
        let Value::Object(members) = &value else { panic!("{line}") };
        assert!(matches!(&members[0], (key, Value::Flag(_)) if key == "ok"), "{line}");
        assert!(value.is("ok") || value.text("error").is_some_and(|error| !error.is_empty()), "{line}");
        value
    }
}

/// The ledger adds up, and its replay is the state that ran.
fn compare(storage: &MemoryStorage, tables: &mut Tables, spare: &mut Tables) {
    let mut sums: BTreeMap<String, (i64, i64, i64)> = BTreeMap::new();
    let mut add = Entries(|entry: &Entry| {
        let Some(account) = &entry.account else { return Ok(()) };
        let (fen, subsidy, uses) = sums.entry(account.to_string()).or_default();
        *fen += entry.amount.unwrap_or_default().fen();
        *subsidy += entry.subsidy.unwrap_or_default().fen();
        *uses += i64::from(entry.uses.unwrap_or_default());
        let is_sum = entry.balance.is_none_or(|balance| balance.fen() == *fen)
            && entry.subsidy_left.is_none_or(|left| left.fen() == *subsidy)
            && entry.uses_left.is_none_or(|left| i64::from(left) == *uses);
        // A refusal names what an unopened account would hold.
        let is_counted = is_sum || entry.kind == Kind::Decline;
        if is_counted { Ok(()) } else { Err(Refusal(format!("{entry:?} does not add up"))) }
    });
    let mut whole = storage.clone();
    whole.files.remove("snapshot.tsv");
    replay(&whole, &mut add).unwrap_or_else(|error| panic!("{error}"));
    let site = &SITES[0];
    let mut server = Server::new(spare, site.rules.clone());
    replay(storage, server.book_to_replay()).unwrap_or_else(|error| panic!("{error}"));
    server.install(site.rules.clone(), &site.cards, Origin::default()).expect("the table fits");
    assert_eq!(tables.book().difference(server.book()), None, "a replay gives the state that was");
}
