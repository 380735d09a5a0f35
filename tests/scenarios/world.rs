//! A simulated world around a server: clocks, devices, a ledger of lines, and the loop's order of
//! effects.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use posgate::engine::gbk;
use posgate::engine::limits::{DATAGRAM_LEN_MAX, LINE_LEN_MAX};
use posgate::engine::model::order::Operator;
use posgate::engine::model::{
    AccountId, Balance, CardNo, Civil, ClockState, Date, Entry, EntrySeq, Kind, MachineNo, Mono, Now, Order, Wall,
};
use posgate::engine::server::{Effects, Origin, Peer, Server, Tables};
use posgate::files::cards::whole::{self, Before};
use posgate::files::cards::{self, CardFile};
use posgate::files::config::{self, Settings};
use posgate::files::zone::Zone;
use posgate::ledger::line;

use crate::language::{Action, Case, Expected, Step, What, duration_ms};
use crate::ledger::Ledger;
use crate::orders;

/// The server's address.
const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 3);
/// The port that devices send from.
const DEVICE_PORT: u16 = 39_200;
/// The monotonic clock when a program starts, unrelated to that of the run before.
const MONO_AT_START: Mono = Mono(5000);

/// The big tables of a test: static, because they would overflow a stack.
pub struct Bench {
    /// The tables of the server under test.
    pub live: Tables,
    /// The tables of the server that replays the ledger, for comparison.
    pub spare: Tables,
    /// The effects of the running turn.
    pub fx: Effects,
}

impl Bench {
    const fn new() -> Self {
        Self { live: Tables::new(), spare: Tables::new(), fx: Effects::new() }
    }
}

static BENCHES: [Mutex<Bench>; 4] = [const { Mutex::new(Bench::new()) }; 4];

/// A free bench; waits for the first one if there is none.
pub fn bench() -> MutexGuard<'static, Bench> {
    for bench in &BENCHES {
        match bench.try_lock() {
            Ok(bench) => return bench,
            // A failed test leaves its tables as they were; a new server clears them.
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => (),
        }
    }
    BENCHES[0].lock().unwrap_or_else(PoisonError::into_inner)
}

/// The effects of a step, in the order in which they leave the server: per turn the 001s, the
/// entries, the replies that rest on nothing, and then those that rest on entries.
#[derive(Clone, Debug)]
pub enum Event {
    /// A datagram to a device.
    Reply {
        /// Its source address.
        to: SocketAddrV4,
        /// As text.
        text: String,
        /// As sent.
        bytes: Vec<u8>,
    },
    /// A line of the ledger.
    Entry(Box<Entry>),
    /// The answer to the operator, once all that is durable.
    Answer(String),
}

/// An event with its time.
#[derive(Clone, Debug)]
pub struct Happened {
    /// Since the step began.
    pub after_ms: u64,
    /// The wall clock's time.
    pub at: Civil,
    /// The event.
    pub event: Event,
}

/// A failed step.
#[derive(Debug)]
pub struct Failure {
    /// The file's line.
    pub line: usize,
    /// Expected and got.
    pub message: String,
}

impl Failure {
    fn new(line: usize, message: impl fmt::Display) -> Self {
        Self { line, message: message.to_string() }
    }
}

/// How a test goes on after a step.
enum Flow {
    On,
    /// The server ended.
    Down,
    /// The server ended and starts again.
    Up,
}

/// A device, by its name in the table of steps.
#[derive(Clone, Debug)]
struct Device {
    source: SocketAddrV4,
    machine: String,
}

/// The world.
pub struct World {
    /// Configuration and cards for the next start or reload.
    config: String,
    cards: String,
    /// Configuration and cards in service.
    in_service: (String, String),
    built: Date,
    zone: Zone,
    mono: Mono,
    wall: Wall,
    is_synchronized: bool,
    is_power_cut: bool,
    has_begun: bool,
    devices: BTreeMap<String, Device>,
    last_sender: Option<String>,
    variables: BTreeMap<String, String>,
    labels: BTreeMap<String, EntrySeq>,
    /// The number of orders, for keys of their own.
    ordered: u32,
    /// Every line that was written.
    pub ledger: Ledger,
    step_began: Mono,
    happened: VecDeque<Happened>,
}

/// Plays a table of steps.
pub fn play(case: &Case, bench: &mut Bench) -> Result<(), Failure> {
    let mut world = World::new(&case.config, &case.cards);
    world.find_zone().map_err(|what| Failure::new(case.line, what))?;
    let mut steps = case.steps.iter();
    loop {
        let mut boot = None;
        for step in steps.by_ref() {
            if matches!(world.step_down(step)?, Flow::Up) {
                boot = Some(step);
                break;
            }
        }
        let mut next = boot;
        while let Some(step) = next.take() {
            let mut server =
                world.boot(&mut bench.live, &mut bench.fx).map_err(|what| Failure::new(step.line, what))?;
            world.settle(step)?;
            for step in steps.by_ref() {
                match world.step_up(step, &mut server, &mut bench.fx)? {
                    Flow::On => (),
                    Flow::Down => break,
                    Flow::Up => {
                        next = Some(step);
                        break;
                    }
                }
            }
            world.check_life(&server, &mut bench.spare).map_err(|what| Failure::new(case.line, what))?;
            if core::mem::take(&mut world.is_power_cut) {
                world.ledger.lose_unsynced();
            }
        }
        if steps.len() == 0 {
            return Ok(());
        }
    }
}

impl World {
    /// A world with an operator's files, in which nothing runs yet.
    pub fn new(config: &str, cards: &str) -> Self {
        Self {
            config: config.to_owned(),
            cards: cards.to_owned(),
            in_service: (config.to_owned(), cards.to_owned()),
            built: Date::parse(b"2026-01-01").expect("a date"),
            zone: Zone::from_posix("CST-8").expect("a zone"),
            mono: MONO_AT_START,
            wall: Wall(0),
            is_synchronized: false,
            is_power_cut: false,
            has_begun: false,
            devices: BTreeMap::new(),
            last_sender: None,
            variables: BTreeMap::new(),
            labels: BTreeMap::new(),
            ordered: 0,
            ledger: Ledger::default(),
            step_began: MONO_AT_START,
            happened: VecDeque::new(),
        }
    }

    /// The card table that the next start or reload reads.
    pub fn take_cards(&mut self, cards: &str) {
        cards.clone_into(&mut self.cards);
    }

    // ---------------------------------------------------------------- clocks

    fn find_zone(&mut self) -> Result<(), String> {
        let settings = self.settings(&self.config)?;
        self.zone = Zone::from_posix(settings.timezone.as_deref().unwrap_or("CST-8"))?;
        Ok(())
    }

    /// Starts at this time of the wall clock.
    pub fn begin_at(&mut self, civil: Civil) {
        self.wall = self.zone.to_wall(civil);
        self.has_begun = true;
    }

    fn now(&self, server: &Server) -> Now {
        let synchronized = self.is_synchronized && server.wants_kernel_clock();
        Now { mono: self.mono, stamp: self.zone.stamp(self.wall), synchronized }
    }

    fn civil(&self) -> Civil {
        self.zone.stamp(self.wall).civil()
    }

    fn advance_to(&mut self, mono: Mono) {
        let ms = mono.ms_since(self.mono);
        self.mono = self.mono.plus_ms(ms);
        self.wall.0 += i64::try_from(ms).expect("a short time");
    }

    fn read_civil(&self, text: &str, line: usize) -> Result<Civil, Failure> {
        let text = self.expand(text, self.civil());
        Civil::parse(text.as_bytes()).ok_or_else(|| Failure::new(line, format!("no date and time: {text}")))
    }

    // ---------------------------------------------------------------- the server's life

    fn settings(&self, config: &str) -> Result<Settings, String> {
        let listed = |problems: Vec<posgate::files::problem::Problem>| {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        // A table of steps has only the options that matter to it.
        let config =
            if config.contains("config server") { config.to_owned() } else { format!("{config}\nconfig server\n") };
        let mut settings = config::parse(config.as_bytes(), Path::new("posgate")).map_err(listed)?;
        settings.rules.built_on = self.built;
        Ok(settings)
    }

    fn load(&self, (config, cards): &(String, String)) -> Result<(Settings, CardFile), String> {
        let settings = self.settings(config)?;
        let file = cards::parse(cards.as_bytes(), Path::new("cards.csv"), &settings.rules.groups)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        Ok((settings, file))
    }

    /// A server over the ledger's lines, as `posgate serve` makes one.
    fn replay<'t>(&self, tables: &'t mut Tables) -> Result<Server<'t>, String> {
        let (settings, file) = self.load(&self.in_service)?;
        let mut server = Server::new(tables, settings.rules.clone());
        for entry in self.ledger.entries()? {
            server
                .book_to_replay()
                .apply(&entry, None)
                .map_err(|mismatch| format!("entry {}: {mismatch}", entry.seq))?;
        }
        let origin = Origin { cards_crc: file.crc, config_crc: settings.crc, ..Origin::default() };
        let installed = server.install(settings.rules.clone(), &file.records, origin);
        installed.map_err(|error| error.to_string())?;
        Ok(server)
    }

    /// Starts a server.
    pub fn boot<'t>(&mut self, tables: &'t mut Tables, fx: &mut Effects) -> Result<Server<'t>, String> {
        self.find_zone()?;
        self.mono = MONO_AT_START;
        self.step_began = self.mono;
        fx.clear();
        self.in_service = (self.config.clone(), self.cards.clone());
        let mut server = self.replay(tables)?;
        server.take_zone(self.zone.changes());
        let now = self.now(&server);
        server.start(&now, fx);
        let entries = fx.entries.to_vec();
        self.commit(&entries, fx, true)?;
        Ok(server)
    }

    /// SIGHUP.
    pub fn reload(&mut self, server: &mut Server, fx: &mut Effects) -> Result<(), String> {
        let read = (self.config.clone(), self.cards.clone());
        let (settings, file) = self.load(&read)?;
        let origin = Origin { cards_crc: file.crc, config_crc: settings.crc, ..Origin::default() };
        let (_, before) = self.load(&self.in_service)?;
        let columns = before.columns();
        let before = Before::Service(server.cards(), server.book(), &columns);
        let sentences = whole::compare(before, &file, server.book());
        if !sentences.is_empty() {
            return Err(whole::refusal(&sentences, file.crc));
        }
        let installed = server.install(settings.rules.clone(), &file.records, origin);
        installed.map_err(|error| error.to_string())?;
        self.in_service = read;
        self.find_zone()?;
        server.take_zone(self.zone.changes());
        let now = self.now(server);
        server.reloaded(&now, fx);
        let entries = fx.entries.to_vec();
        self.commit(&entries, fx, true)
    }

    /// A datagram arrives.
    pub fn deliver(
        &mut self,
        source: SocketAddrV4,
        datagram: &[u8],
        server: &mut Server,
        fx: &mut Effects,
    ) -> Result<(), String> {
        let peer = Peer { source, local: HOST, socket: 0 };
        let now = self.now(server);
        if datagram.len() > DATAGRAM_LEN_MAX {
            server.handle_oversize(&now, peer, datagram);
        } else {
            server.hear(&now, peer, datagram, fx);
        }
        self.end_turn(server, fx, false)
    }

    /// Executes an operator's order; the answer comes when all is durable.
    pub fn order(&mut self, order: &Order, server: &mut Server, fx: &mut Effects) -> Result<(), String> {
        let now = self.now(server);
        let done = server.obey(&now, order, self.sale_of(order)?.as_ref(), fx);
        self.end_turn(server, fx, false)?;
        self.answer(orders::answer(done));
        Ok(())
    }

    fn would(&mut self, order: &Order, server: &Server) -> Result<(), String> {
        let told = match server.would_obey(order, self.sale_of(order)?.as_ref()) {
            Ok(None) => "yes".to_owned(),
            Ok(Some(_)) => "again".to_owned(),
            Err(refused) => format!("refused {}: {refused}", refused.word()),
        };
        self.answer(told);
        Ok(())
    }

    fn sale_of(&self, order: &Order) -> Result<Option<Entry>, String> {
        let Some(about) = order.act.about() else { return Ok(None) };
        Ok(self.ledger.entries()?.into_iter().find(|entry| entry.seq == about))
    }

    fn read_order(&mut self, words: &[String]) -> Result<Order, String> {
        self.ordered += 1;
        let words: Vec<String> = words.iter().map(|word| self.expand(word, self.civil())).collect();
        let find = |label: &str| self.labels.get(label).copied().or_else(|| label.parse().ok().map(EntrySeq));
        Ok(orders::read(&words, &format!("key-{}", self.ordered), find)?)
    }

    fn answer(&mut self, text: String) {
        let (after_ms, at) = (self.mono.ms_since(self.step_began), self.civil());
        self.happened.push_back(Happened { after_ms, at, event: Event::Answer(text) });
    }

    /// Time passes, and timers run as they come due.
    pub fn pass(&mut self, ms: u64, server: &mut Server, fx: &mut Effects) -> Result<(), String> {
        let end = self.mono.plus_ms(ms);
        while let Some(deadline) = server.next_deadline().filter(|deadline| *deadline <= end) {
            self.advance_to(deadline);
            self.end_turn(server, fx, false)?;
        }
        self.advance_to(end);
        Ok(())
    }

    /// Ends a turn as the service does: the frames set aside, the deadlines, then the effects.
    fn end_turn(&mut self, server: &mut Server, fx: &mut Effects, must_sync: bool) -> Result<(), String> {
        let mut entries = Vec::new();
        let Ok(()) = server.finish_turn(&self.now(server), fx, |taken| {
            entries.extend_from_slice(taken);
            Ok::<_, Infallible>(())
        });
        self.commit(&entries, fx, must_sync)
    }

    /// Takes a turn's effects in the loop's order, and checks that nothing rests on an entry that
    /// is not written yet.
    fn commit(&mut self, entries: &[Entry], fx: &mut Effects, must_sync: bool) -> Result<(), String> {
        let at = self.civil();
        let after_ms = self.mono.ms_since(self.step_began);
        let mut happen = |event| self.happened.push_back(Happened { after_ms, at, event });
        let reply = |(peer, bytes): (Peer, &[u8])| {
            let text = gbk::decode(bytes).into_owned();
            Event::Reply { to: peer.source, text, bytes: bytes.to_vec() }
        };
        for letter in fx.acks.iter() {
            if !letter.1.starts_with(b"001") {
                return Err(format!("before the turn's entries are written: {}", gbk::decode(letter.1)));
            }
            happen(reply(letter));
        }
        for entry in entries {
            self.ledger.append(entry)?;
            happen(Event::Entry(Box::new(*entry)));
        }
        for letter in fx.prompt.iter() {
            if matches!(&letter.1[..3], b"001" | b"008" | b"011" | b"050") {
                return Err(format!("before its entry is durable, or late: {}", gbk::decode(letter.1)));
            }
            happen(reply(letter));
        }
        if must_sync || entries.iter().any(Entry::is_committed) {
            self.ledger.sync();
        }
        for letter in fx.committed.iter() {
            if !matches!(&letter.1[..3], b"008" | b"011" | b"050") {
                return Err(format!("waits for a sync, and rests on nothing: {}", gbk::decode(letter.1)));
            }
            happen(reply(letter));
        }
        fx.clear();
        Ok(())
    }

    /// Sets the cards for the next start or reload.
    pub fn set_cards(&mut self, cards: &str) {
        cards.clone_into(&mut self.cards);
    }

    /// Sets the wall clock by hand.
    pub fn step_clock(&mut self, seconds: i64) {
        self.wall.0 += seconds * 1000;
    }

    /// The events since the last call.
    pub fn take_happened(&mut self) -> Vec<Happened> {
        self.happened.drain(..).collect()
    }

    // ---------------------------------------------------------------- steps

    fn step_down(&mut self, step: &Step) -> Result<Flow, Failure> {
        self.begin(step);
        match &step.action {
            Action::At(text) if !self.has_begun => {
                let civil = self.read_civil(text, step.line)?;
                self.begin_at(civil);
                return Ok(Flow::Up);
            }
            Action::Start => return Ok(Flow::Up),
            Action::At(text) => self.wall = self.zone.to_wall(self.read_civil(text, step.line)?),
            Action::Wait(ms) => self.wall.0 += i64::try_from(*ms).expect("a short time"),
            Action::SetClock(text) => self.wall = self.zone.to_wall(self.read_civil(text, step.line)?),
            Action::Operator(words) => self.operator(words).map_err(|what| Failure::new(step.line, what))?,
            _ => self.step_anytime(step)?,
        }
        self.settle(step)?;
        Ok(Flow::On)
    }

    fn step_up(&mut self, step: &Step, server: &mut Server, fx: &mut Effects) -> Result<Flow, Failure> {
        self.begin(step);
        let fail = |what: String| Failure::new(step.line, what);
        match &step.action {
            Action::At(text) => {
                let wall = self.zone.to_wall(self.read_civil(text, step.line)?);
                let ms = u64::try_from(wall.0 - self.wall.0).map_err(|_| fail("that time is over".into()))?;
                self.pass(ms, server, fx).map_err(fail)?;
            }
            Action::Wait(ms) => self.pass(*ms, server, fx).map_err(fail)?,
            Action::SetClock(text) => self.wall = self.zone.to_wall(self.read_civil(text, step.line)?),
            Action::Send { device, frame, late_ms } => {
                server.arrived_at(Mono(self.mono.0.saturating_sub(*late_ms)));
                let source = self.device(device).map_err(fail)?.source;
                let datagram = self.datagram(device, frame).map_err(fail)?;
                self.last_sender = Some(device.clone());
                self.deliver(source, &datagram, server, fx).map_err(fail)?;
            }
            Action::Restart => return Ok(Flow::Up),
            Action::Kill | Action::PowerCut => {
                self.is_power_cut = matches!(step.action, Action::PowerCut);
                self.settle(step)?;
                return Ok(Flow::Down);
            }
            Action::Stop => {
                let now = self.now(server);
                server.stop(&now, fx);
                let entries = fx.entries.to_vec();
                self.commit(&entries, fx, true).map_err(fail)?;
                self.settle(step)?;
                return Ok(Flow::Down);
            }
            Action::Reload { is_refused } => match (self.reload(server, fx), is_refused) {
                (Ok(()), false) => (),
                (Err(_), true) => (),
                (Err(what), false) => return Err(fail(format!("the reload was refused: {what}"))),
                (Ok(()), true) => return Err(fail("the reload was taken".into())),
            },
            Action::Order(words) => {
                let order = self.read_order(words).map_err(fail)?;
                self.order(&order, server, fx).map_err(fail)?;
            }
            Action::Would(words) => {
                let order = self.read_order(words).map_err(fail)?;
                self.would(&order, server).map_err(fail)?;
            }
            Action::TellTime(machine) => {
                let machine = MachineNo::parse(machine.as_bytes());
                let told = server.set_clock(&self.now(server), machine, fx);
                self.end_turn(server, fx, false).map_err(fail)?;
                self.answer(
                    told.map_or_else(|refused| format!("refused {}", refused.word()), |count| format!("told {count}")),
                );
            }
            Action::Show { machine, text } => {
                let machine = MachineNo::parse(machine.as_bytes()).ok_or_else(|| fail("which machine?".into()))?;
                let shown = server.show(&self.now(server), machine, text, fx);
                self.end_turn(server, fx, false).map_err(fail)?;
                self.answer(
                    shown.map_or_else(|refused| format!("refused {}", refused.word()), |()| "shown".to_owned()),
                );
            }
            Action::AcceptClock => {
                let by = Operator::try_from("li").expect("two bytes");
                let accepted = server.accept_clock(&self.now(server), &by, fx);
                self.end_turn(server, fx, true).map_err(fail)?;
                let told = |(_, state): (EntrySeq, ClockState)| format!("accepted {}", state.word());
                self.answer(accepted.map_or_else(|refused| format!("refused {}", refused.word()), told));
            }
            Action::Unknown(words) => {
                let seen = server.unknown_cards().map(|seen| format!("{} {}", seen.card, seen.count));
                same(&words.join(" "), &seen.collect::<Vec<_>>().join(" ")).map_err(fail)?;
            }
            Action::Balance { account, balance } => {
                let row = server.book().account_row(account);
                let got = row.map(|row| server.book().account(row).figures().balance).unwrap_or_default();
                same(balance, &got.to_string()).map_err(fail)?;
            }
            Action::Subsidy { account, subsidy } => {
                let row = server.book().account_row(account);
                let got = row.map(|row| server.book().account(row).figures().subsidy).unwrap_or_default();
                same(subsidy, &got.to_string()).map_err(fail)?;
            }
            Action::Uses { account, uses } => {
                let row = server.book().account_row(account);
                let got = row.map(|row| server.book().account(row).figures().uses).unwrap_or_default();
                same(uses, &got.to_string()).map_err(fail)?;
            }
            Action::Count { counter, count } => {
                let found = server.counters().all().find(|(name, _)| name == counter);
                let (_, got) = found.ok_or_else(|| fail(format!("no such counter: {counter}")))?;
                same(count, &got.to_string()).map_err(fail)?;
            }
            Action::Doubts(count) => same(count, &server.book().doubts().to_string()).map_err(fail)?,
            Action::LedgerLacks(text) => self.ledger.lacks(text).map_err(fail)?,
            Action::ClockIs(word) => same(word, server.clock_state().word()).map_err(fail)?,
            Action::Start => return Err(fail("it runs already".into())),
            _ => self.step_anytime(step)?,
        }
        self.settle(step)?;
        Ok(Flow::On)
    }

    /// Steps that need no server.
    fn step_anytime(&mut self, step: &Step) -> Result<(), Failure> {
        match &step.action {
            Action::Kernel(is_synchronized) => self.is_synchronized = *is_synchronized,
            Action::Device { name, address, machine } => {
                let address = if address.contains(':') { address.clone() } else { format!("{address}:{DEVICE_PORT}") };
                let source = address.parse().map_err(|_| Failure::new(step.line, "no such address"))?;
                self.devices.insert(name.clone(), Device { source, machine: machine.clone() });
            }
            Action::Let { name, value } => {
                let value = self.expand(value, self.civil());
                self.variables.insert(name.clone(), value);
            }
            Action::Config(text) => self.config.clone_from(text),
            Action::Cards(text) => self.cards.clone_from(text),
            Action::Built(text) => {
                self.built = Date::parse(text.as_bytes()).ok_or_else(|| Failure::new(step.line, "no date"))?;
            }
            _ => return Err(Failure::new(step.line, "not while the server is in this state")),
        }
        Ok(())
    }

    fn begin(&mut self, step: &Step) {
        self.step_began = self.mono;
        assert!(self.happened.is_empty(), "line {}: the step before was settled", step.line);
    }

    fn device(&mut self, name: &str) -> Result<Device, String> {
        if let Some(device) = self.devices.get(name) {
            return Ok(device.clone());
        }
        // A device without a `device` line is a machine number.
        let machine = MachineNo::parse(name.as_bytes()).ok_or(format!("no such device: {name}"))?;
        let last = u8::try_from(machine.value() % 250).expect("below 250");
        let source = SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, last), DEVICE_PORT);
        let device = Device { source, machine: name.to_owned() };
        self.devices.insert(name.to_owned(), device.clone());
        Ok(device)
    }

    fn datagram(&mut self, device: &str, frame: &str) -> Result<Vec<u8>, String> {
        let Device { source, machine } = self.device(device)?;
        let text = self.expand(frame, self.civil());
        let fields = text
            .split(',')
            .map(|field| if field == ".." { format!("{},{HOST},{machine}", source.ip()) } else { field.to_owned() });
        let text = fields.collect::<Vec<_>>().join(",");
        let mut bytes = Vec::new();
        let mut rest = text.as_str();
        // $x80 is a byte, $pad1000 a thousand of the digit 7.
        while let Some(dollar) = rest.find('$') {
            bytes.extend_from_slice(&gbk::encode(&rest[..dollar]));
            rest = &rest[dollar + 1..];
            if let Some(byte) = rest.strip_prefix('x').and_then(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok()) {
                bytes.push(byte);
                rest = &rest[3..];
            } else if let Some(count) = rest.strip_prefix("pad") {
                let len = count.bytes().take_while(u8::is_ascii_digit).count();
                let count: usize = rest[3..3 + len].parse().map_err(|_| "how long a pad?")?;
                bytes.resize(bytes.len() + count, b'7');
                rest = &rest[3 + len..];
            } else {
                return Err(format!("no such variable: ${rest}"));
            }
        }
        bytes.extend_from_slice(&gbk::encode(rest));
        Ok(bytes)
    }

    /// Replaces `$now`, `$now-5s`, `$now+2h` and names of `let`.
    fn expand(&self, text: &str, now: Civil) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            expanded.push_str(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            let len = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
            let (name, after) = rest.split_at(len);
            if name == "now" {
                let sign = after.bytes().next().filter(|sign| matches!(sign, b'+' | b'-'));
                let len = after[1.min(after.len())..].bytes().take_while(u8::is_ascii_alphanumeric).count();
                let shift_ms = sign.and_then(|_| duration_ms(&after[1..=len]));
                let Some(shift_ms) = shift_ms else {
                    expanded.push_str(&now.to_string());
                    rest = after;
                    continue;
                };
                let shift_s = i64::try_from(shift_ms / 1000).expect("a short time");
                let shift_s = if sign == Some(b'-') { shift_s } else { -shift_s };
                expanded.push_str(&now.minus_s(shift_s).to_string());
                rest = &after[1 + len..];
            } else if let Some(value) = self.variables.get(name) {
                expanded.push_str(value);
                rest = after;
            } else {
                expanded.push('$');
            }
        }
        expanded + rest
    }

    /// Compares what happened with what the step expects.
    fn settle(&mut self, step: &Step) -> Result<(), Failure> {
        let happened = self.take_happened();
        let shown: Vec<String> = happened.iter().map(|happened| self.show(happened)).collect();
        let is_service = matches!(
            step.action,
            Action::At(_) | Action::Start | Action::Restart | Action::Stop | Action::Reload { .. }
        );
        let fail = |line: usize, expected: &str, got: &str| {
            let all = if shown.is_empty() { "nothing".to_owned() } else { shown.join("\n    ") };
            let step = &step.text;
            Failure::new(
                line,
                format!("\n  expected: {expected}\n  got:      {got}\n  all that `{step}` led to:\n    {all}"),
            )
        };
        let mut next = 0;
        for expected in &step.expected {
            if matches!(expected.what, What::Anything) {
                return Ok(());
            }
            if matches!(expected.what, What::AnyEntries) {
                while happened.get(next).is_some_and(|happened| matches!(happened.event, Event::Entry(_))) {
                    next += 1;
                }
                continue;
            }
            while is_service && happened.get(next).is_some_and(|happened| is_unasked(happened, expected)) {
                next += 1;
            }
            let Some(got) = happened.get(next) else {
                return Err(fail(expected.line, &expected.text, "nothing"));
            };
            if let Err(wrong) = self.compare(expected, got) {
                return Err(fail(expected.line, &expected.text, &format!("{}{wrong}", shown[next])));
            }
            next += 1;
        }
        while is_service && happened.get(next).is_some_and(|happened| is_service_entry(&happened.event)) {
            next += 1;
        }
        match shown.get(next) {
            Some(unexpected) => Err(fail(step.line, "nothing more", unexpected)),
            None => Ok(()),
        }
    }

    /// The error describes the first difference.
    fn compare(&mut self, expected: &Expected, got: &Happened) -> Result<(), String> {
        if expected.after_ms.is_some_and(|after_ms| after_ms != got.after_ms) {
            return Err(String::new());
        }
        match (&expected.what, &got.event) {
            (What::Reply { device, reply }, Event::Reply { to, text, .. }) => {
                let name = device.clone().or(self.last_sender.clone()).ok_or("nobody spoke yet")?;
                let source = self.device(&name)?.source;
                if source != *to {
                    return Err(format!("   (to {to}, and {name} is {source})"));
                }
                let reply = self.expand(reply, got.at);
                let is_same = match reply.strip_suffix("...") {
                    Some(start) => text.starts_with(start),
                    None => *text == reply,
                };
                if is_same { Ok(()) } else { Err(String::new()) }
            }
            (What::Answer(answer), Event::Answer(text)) => {
                let is_same = match answer.strip_suffix("...") {
                    Some(start) => text.starts_with(start),
                    None => text == answer,
                };
                if is_same { Ok(()) } else { Err(String::new()) }
            }
            (What::Entry { kind, words, label }, Event::Entry(entry)) => {
                if entry.kind.word() != kind {
                    return Err(String::new());
                }
                for (key, value) in words {
                    let mut value = self.expand(value, got.at);
                    if matches!(key.as_str(), "ref" | "again")
                        && let Some(seq) = self.labels.get(&value)
                    {
                        value = seq.to_string();
                    }
                    let found = column(entry, key).unwrap_or_else(|| "-".to_owned());
                    if found != value {
                        return Err(format!("   ({key} is {found}, and not {value})"));
                    }
                }
                if let Some(label) = label {
                    self.labels.insert(label.clone(), entry.seq);
                }
                Ok(())
            }
            _ => Err(String::new()),
        }
    }

    /// An event as a table of steps writes it.
    fn show(&self, happened: &Happened) -> String {
        let after = format!("@{}ms", happened.after_ms);
        match &happened.event {
            Event::Answer(text) => format!("{after} answer {text}"),
            Event::Reply { to, text, .. } => {
                let name = self.devices.iter().find(|(_, device)| device.source == *to);
                let name = name.map_or_else(|| to.to_string(), |(name, _)| name.clone());
                format!("{after} {name} < {text}")
            }
            Event::Entry(entry) => {
                let keys = ["clock", "machine", "frame", "card", "account", "amount", "subsidy", "uses", "balance"];
                let keys = keys.into_iter().chain(["subsidy_left", "uses_left", "device_time", "slot", "ref"]);
                let columns = keys.filter_map(|key| Some(format!("{key}={}", column(entry, key)?)));
                let columns = columns.collect::<Vec<_>>().join(" ");
                format!("{after} ledger {} seq={} {columns} {}", entry.kind.word(), entry.seq, entry.detail.as_str())
            }
        }
    }

    /// Writes an operator's entry while the server is down.
    fn operator(&mut self, words: &[String]) -> Result<(), String> {
        let (kind, words) = words.split_first().ok_or("an entry of which kind?")?;
        let kind = Kind::from_word(kind).ok_or("no such kind")?;
        let mut entry = Entry::new(kind, self.zone.stamp(self.wall), ClockState::Ok);
        for word in words {
            let (key, value) = word.split_once('=').ok_or("key=value")?;
            match key {
                "card" => entry.card = CardNo::parse(value.as_bytes()).map(|card| card.padded()),
                "account" => entry.account = AccountId::try_from(value).ok(),
                "amount" => entry.amount = Balance::parse(value.as_bytes()),
                "subsidy" => entry.subsidy = Balance::parse(value.as_bytes()),
                "uses" => entry.uses = value.parse().ok(),
                "ref" => entry.about = Some(*self.labels.get(value).ok_or("no such label")?),
                _ => entry.detail.push(key, value),
            }
        }
        let (head, figures) = self.ledger.figures(entry.account.as_deref())?;
        entry.seq = head.next();
        if let Some(before) = figures {
            let after = before + entry.effect();
            entry.amount = entry.amount.or(Some(Balance::ZERO));
            entry.subsidy = entry.subsidy.or(Some(Balance::ZERO));
            entry.uses = entry.uses.or(Some(0));
            (entry.balance, entry.subsidy_left, entry.uses_left) =
                (Some(after.balance), Some(after.subsidy), Some(after.uses));
        }
        self.ledger.append(&entry)?;
        self.ledger.sync();
        Ok(())
    }

    // ---------------------------------------------------------------- invariants

    /// Checks the ledger, and that a server that replays it has the same state.
    pub fn check_life(&self, live: &Server, spare: &mut Tables) -> Result<(), String> {
        self.ledger.check()?;
        let replayed = self.replay(spare).map_err(|what| format!("replay: {what}"))?;
        let difference = live.book().difference(replayed.book());
        difference.map_or(Ok(()), |what| Err(format!("a replay knows something else: {what}")))
    }
}

fn same(expected: &str, got: &str) -> Result<(), String> {
    if expected == got { Ok(()) } else { Err(format!("\n  expected: {expected}\n  got:      {got}")) }
}

fn is_service_entry(event: &Event) -> bool {
    matches!(event, Event::Entry(entry) if matches!(entry.kind, Kind::Start | Kind::Stop | Kind::Reload))
}

/// Whether the event is a `start`, `stop` or `reload` entry that the table may leave out.
fn is_unasked(happened: &Happened, expected: &Expected) -> bool {
    let is_asked = match (&expected.what, &happened.event) {
        (What::Entry { kind, .. }, Event::Entry(entry)) => entry.kind.word() == kind,
        _ => false,
    };
    is_service_entry(&happened.event) && !is_asked
}

/// A column of the entry's line, or a word of its detail as written there.
fn column(entry: &Entry, key: &str) -> Option<String> {
    let mut out = [0; LINE_LEN_MAX];
    let len = line::emit(entry, 0, &mut out).len;
    let raw = line::columns(&out[..len - 1]).expect("it was just written");
    match line::COLUMNS.iter().position(|name| *name == key) {
        Some(place) => {
            let text = String::from_utf8_lossy(raw[place]).into_owned();
            (text != "\\N").then_some(text)
        }
        None => entry.detail.get(key).map(|value| value.0.to_owned()),
    }
}
