//! The world: it moves the time from event to event, carries datagrams badly, breaks things, and drives the service.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Mutex, PoisonError};

use posgate::ledger::{self, Entries, Ledger, OpenError};
use posgate::limits::{TURN_BATCH, TURN_DATAGRAMS_MAX};
use posgate::model::{Entry, Now};
use posgate::net::Service;
use posgate::server::{Effects, Mailbag, Origin, Peer, Room, Server, Tables};

use super::clock::Clocks;
use super::coverage::Coverage;
use super::device::{Ask, Device, DeviceClock, Note, Record, SaleId, Work};
use super::disk::{Disk, Strike, Target};
use super::judge::{self, Judge, Tag};
use super::random::Random;
use super::site::Site;
use super::{PLACE, Report, tell};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Two of each: the state that ran is compared with the state replayed.
static TABLES: [Mutex<Tables>; 2] = [Mutex::new(Tables::new()), Mutex::new(Tables::new())];
static EFFECTS: Mutex<Effects> = Mutex::new(Effects::new());
/// One world at a time.
static WORLD: Mutex<()> = Mutex::new(());

enum Event {
    ToServer(SocketAddrV4, Vec<u8>),
    ToDevice(usize, Vec<u8>),
    Tick(usize),
    Customer(usize),
    Trouble,
}

/// What the person at the router does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Kill,
    Power,
    Restart,
    Reload,
    /// A strike of the disk, in the next turn that does such a thing.
    Strike(Target, Strike),
    KillAt(Point),
}

/// Where in a turn the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    BeforeWrite,
    AfterSync,
    AmidResults,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The process is gone.
    Died,
    /// And the router's power.
    PowerCut,
    /// It stopped as it should.
    Stopped,
    /// The time is over.
    Over,
}

struct World {
    seed: u64,
    random: Random,
    t: u64,
    serial: u64,
    events: BTreeMap<(u64, u64), Event>,
    clocks: Clocks,
    disk: Disk,
    site: Site,
    judge: Judge,
    coverage: Coverage,
    devices: Vec<Device>,
    ticks: Vec<u64>,
    at_address: HashMap<Ipv4Addr, usize>,
    used: HashSet<(u16, u64, i64)>,
    commands: u64,
    // The network.
    lost: u64,
    doubled: u64,
    late: u64,
    cut_until: Vec<u64>,
    recorded_doors: Vec<(usize, Vec<u8>, u64)>,
    /// Access requests that each board made.
    door_frames: Vec<u64>,
    is_calm: bool,
    settle_by: u64,
    // The process.
    inbox: std::collections::VecDeque<(SocketAddrV4, Vec<u8>)>,
    turn_at: Option<u64>,
    order: Option<Order>,
    point: Option<Point>,
    process: u64,
    tags: Vec<Option<Tag>>,
    /// Whether the last write found no room: then doors open without an entry.
    is_full: bool,
    /// Committed mail that left in this process, with what it told of.
    sent: HashMap<(SocketAddrV4, Vec<u8>), Option<Tag>>,
    /// 050 by board, card and door: it looks the same whatever the PIN.
    doors: HashMap<Vec<u8>, Vec<u8>>,
    head_at_end: Option<u64>,
    is_site_edited: bool,
    seen_frames: HashSet<(SocketAddrV4, Vec<u8>)>,
    report: Report,
}

pub fn play(seed: u64, hours: u64) -> Report {
    let _one = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    let mut first = TABLES[0].lock().unwrap_or_else(PoisonError::into_inner);
    let mut second = TABLES[1].lock().unwrap_or_else(PoisonError::into_inner);
    let mut effects = EFFECTS.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut live, mut spare): (&mut Tables, &mut Tables) = (&mut first, &mut second);
    let mut world = World::new(seed);
    let mut end = Some(hours * HOUR);
    loop {
        let ended = world.process(live, spare, &mut effects, end.unwrap_or(u64::MAX));
        match ended {
            End::Over if end.is_some() => {
                end = None;
                world.settle();
            }
            End::Over => break,
            End::Stopped if world.is_calm => break,
            End::Died | End::PowerCut | End::Stopped => (),
        }
        std::mem::swap(&mut live, &mut spare);
    }
    // After all that, a last start.
    std::mem::swap(&mut live, &mut spare);
    world.last_start(live, spare, &mut effects);
    world.report()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut site = Site::new(&mut random);
        let mut devices = Vec::new();
        let terminals = random.pick(&[4, 12, 30, 60, 150]);
        let boards = random.between(1, 5);
        for number in 0..terminals + boards {
            let machine = u16::try_from(number + 1).expect("few");
            let is_board = number >= terminals;
            let device = Device::new(machine, address(devices.len()), is_board, &mut random);
            if is_board {
                site.boards.push(machine);
            } else if random.happens(300) {
                let owner = device.serial.clone().filter(|_| random.happens(700));
                site.registered.push((machine, owner.unwrap_or_else(|| device.address.to_string())));
            } else if random.happens(80) {
                let mut intruder = Device::new(machine, address(devices.len() + 1), false, &mut random);
                intruder.is_intruder = true;
                devices.push(intruder);
                let place = devices.len() - 1;
                devices[place].address = address(place);
                let mut host = device;
                host.address = address(place + 1);
                devices.push(host);
                continue;
            }
            devices.push(device);
        }
        let rough = random.below(4);
        let mut coverage = Coverage::default();
        if devices.iter().any(|device| device.is_intruder) {
            coverage.count("fault second device under one number");
        }
        let mut world = Self {
            seed,
            t: 0,
            serial: 0,
            events: BTreeMap::new(),
            clocks: Clocks::new(),
            disk: Disk::new(random.next()),
            site,
            judge: Judge::default(),
            coverage,
            ticks: vec![u64::MAX; devices.len()],
            cut_until: vec![0; devices.len()],
            door_frames: vec![0; devices.len()],
            at_address: devices.iter().enumerate().map(|(place, device)| (device.address, place)).collect(),
            devices,
            used: HashSet::new(),
            commands: 0,
            lost: rough * random.below(100),
            doubled: rough * random.below(60),
            late: rough * random.below(20),
            recorded_doors: Vec::new(),
            is_calm: false,
            settle_by: u64::MAX,
            inbox: std::collections::VecDeque::new(),
            turn_at: None,
            order: None,
            point: None,
            process: 0,
            tags: Vec::new(),
            is_full: false,
            sent: HashMap::new(),
            doors: HashMap::new(),
            head_at_end: None,
            is_site_edited: true,
            seen_frames: HashSet::new(),
            report: Report::default(),
            random,
        };
        for place in 0..world.devices.len() {
            let at = world.random.below(MINUTE);
            world.devices[place].cut_power(at);
            world.schedule_tick(place);
            world.schedule(at + 30 * SECOND, Event::Customer(place));
        }
        world.schedule(MINUTE, Event::Trouble);
        world
    }

    // ---------------------------------------------------------------- a process

    /// From a start to its end, and the time until the next start.
    fn process<'t>(&mut self, tables: &'t mut Tables, before: &Tables, effects: &'t mut Effects, until: u64) -> End {
        self.process += 1;
        tell(|| format!("{:>9} process {}", self.t, self.process));
        self.report.restarts += 1;
        self.clocks.begin_process(self.t);
        self.sent.clear();
        self.point = None;
        self.disk.revive();
        if !self.is_calm && self.random.happens(if self.process == 1 { 500 } else { 120 }) {
            let strike = self.random.pick(&[
                Strike::Kill,
                Strike::Kill,
                Strike::Io,
                Strike::NoSpace,
                Strike::ReadOnly,
                Strike::Unreadable,
            ]);
            if strike == Strike::Kill {
                self.coverage.count("fault kill during start");
            }
            let after = u32::try_from(self.random.below(8)).expect("few");
            self.disk.strike(Target::Any(after), strike);
        }
        let end = match self.start(tables, before, effects) {
            Ok(mut service) => {
                let end = self.live(&mut service, until);
                self.head_at_end = Some(service.server().book().head().0);
                end
            }
            Err(error) => {
                assert!(!self.is_calm, "a start failed though nothing is broken: {error}");
                self.head_at_end = None;
                if self.random.happens(500) {
                    self.coverage.count("fault power during start");
                    End::PowerCut
                } else {
                    End::Died
                }
            }
        };
        self.disk.kill();
        self.disk.calm();
        self.inbox.clear();
        self.turn_at = None;
        self.order = None;
        if end == End::Over {
            return end;
        }
        let mut down = self.random.between(200, 5 * SECOND);
        if end == End::PowerCut {
            down += self.random.between(10 * SECOND, 5 * MINUTE);
            self.disk.cut_power();
            self.clocks.begin_router(self.t, &mut self.random, &mut self.coverage);
            self.head_at_end = None;
        } else if self.random.happens(300) {
            self.disk.write_back();
        }
        if self.random.happens(200) {
            self.flip_a_bit();
        }
        if self.random.happens(500) {
            self.disk.heal();
        }
        let until = self.t + down;
        while let Some(((at, _), _)) =
            self.events.first_key_value().map(|(key, event)| (*key, event)).filter(|((at, _), _)| *at <= until)
        {
            self.t = self.t.max(at);
            self.happen();
            self.inbox.clear();
        }
        self.t = until;
        self.turn_at = None;
        end
    }

    fn start<'t>(
        &mut self,
        tables: &'t mut Tables,
        before: &Tables,
        effects: &'t mut Effects,
    ) -> io::Result<Service<'t, Disk>> {
        let rules = self.site.rules();
        let file = self.site.card_file(&rules);
        let mut server = Server::new(tables, rules.clone());
        let created = self.clocks.now(self.t, false).stamp;
        let number = self.seed;
        let opened = Ledger::open(self.disk.clone(), "sim", created, || number, &mut server);
        let (mut ledger, opened) = match opened {
            Ok(opened) => opened,
            Err(OpenError::Io(error)) => return Err(error),
            Err(damaged @ OpenError::Damaged { .. }) => {
                panic!("a power cut or a kill made this of the ledger: {damaged}")
            }
        };
        ledger.limit_segments(16 * 1024);
        if opened.cut.is_some() {
            self.coverage.count("branch tail cut");
        }
        if opened.warnings.iter().any(|warning| warning.contains("no whole header")) {
            self.coverage.count("branch header set aside");
        }
        let origin = Origin { cards_crc: file.crc, ..Origin::default() };
        server.install(rules, &file.records, origin, true).expect("it fits");
        self.judge.restarted(&self.disk);
        self.judge.ingest(&self.disk, &self.site, self.t, self.process);
        self.judge.compare_all(server.book(), &self.site);
        self.judge.compare_doubts(server.book());
        if self.head_at_end == Some(opened.head.seq.0) && !self.is_site_edited {
            let difference = before.book().difference(server.book());
            assert!(difference.is_none(), "live, or replayed: {}", difference.unwrap_or_default());
            self.coverage.count("branch live state equals replayed");
        }
        self.is_site_edited = false;
        let mut service = Service::new(server, ledger, effects);
        let now = self.clocks.now(self.t, true);
        service.start(&now, &mut |bag| self.post(bag))?;
        self.after_turn(&mut service);
        if self.disk.is_killed() {
            return Err(io::Error::other("the process was killed"));
        }
        Ok(service)
    }

    fn live(&mut self, service: &mut Service<Disk>, until: u64) -> End {
        loop {
            let deadline = service.next_deadline().map(|at| self.clocks.time_of(at));
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let wake_at = [deadline, event, self.turn_at].into_iter().flatten().min().unwrap_or(u64::MAX);
            if wake_at >= until || (self.is_calm && self.is_settled()) {
                return self.stop_or_not(service, until);
            }
            self.t = self.t.max(wake_at);
            while self.events.first_key_value().is_some_and(|((at, _), _)| *at <= self.t) {
                self.happen();
            }
            if let Some(order) = self.order.take()
                && let Some(end) = self.obey(service, order)
            {
                return end;
            }
            let is_due = self.turn_at.is_some_and(|at| at <= self.t) || deadline.is_some_and(|at| at <= self.t);
            if is_due && let Some(end) = self.turn(service) {
                return end;
            }
        }
    }

    fn stop_or_not(&mut self, service: &mut Service<Disk>, until: u64) -> End {
        if !self.is_calm {
            self.t = self.t.max(until);
            return End::Over;
        }
        self.stop(service).unwrap_or(End::Stopped)
    }

    /// SIGTERM.
    fn stop(&mut self, service: &mut Service<Disk>) -> Option<End> {
        let now = self.now(service);
        let stopped = service.stop(&now, &mut |bag| self.post(bag));
        if stopped.is_err() || self.disk.is_killed() {
            return Some(End::Died);
        }
        self.after_turn(service);
        None
    }

    fn now(&mut self, service: &Service<Disk>) -> Now {
        self.clocks.tick(self.t);
        self.clocks.now(self.t, service.server().wants_kernel_clock())
    }

    fn turn(&mut self, service: &mut Service<Disk>) -> Option<End> {
        self.turn_at = None;
        let now = self.now(service);
        self.report.turns += 1;
        tell(|| format!("{:>9} turn {}", self.t, self.report.turns));
        PLACE.set((self.seed, self.report.turns, self.t / HOUR));
        self.tags.clear();
        let mut received = 0;
        let mut done = Ok(());
        while !self.inbox.is_empty() && received < TURN_DATAGRAMS_MAX && service.takes_a_batch() && done.is_ok() {
            for _ in 0..TURN_BATCH {
                let Some((source, datagram)) = self.inbox.pop_front() else { break };
                received += 1;
                self.report.frames += 1;
                self.trace(&datagram);
                tell(|| format!("{:>9} {source} > {}", self.t, datagram.escape_ascii()));
                let peer = Peer { source, local: Ipv4Addr::new(192, 168, 1, 2), socket: 0 };
                let len = datagram.len().min(1025);
                done = service.receive(&now, peer, &datagram[..len], len > 1024);
                if done.is_err() {
                    break;
                }
                let tag = judge::tag(&datagram);
                self.tags.resize(service.effects().committed.len(), tag);
            }
        }
        if received > 20 {
            self.coverage.count("branch turn of many frames");
        }
        if !self.inbox.is_empty() {
            self.turn_at = Some(self.t + 1);
        }
        while done.is_ok()
            && let Some(stored) = service.next_stored()
        {
            let tag = judge::tag(stored);
            done = service.serve_stored(&now);
            self.tags.resize(service.effects().committed.len(), tag);
        }
        if service.server().next_stored().is_some() {
            self.coverage.count("branch stored sales wait for the next turn");
        }
        self.is_full = service.server().room() == Room::Nothing;
        let done = done.and_then(|()| service.end_turn(&now, &mut |bag| self.post(bag)));
        if done.is_err() || self.disk.is_killed() {
            let is_power = self.random.happens(400);
            if is_power {
                self.coverage.count("fault power of the server");
            }
            return Some(if is_power { End::PowerCut } else { End::Died });
        }
        self.after_turn(service);
        None
    }

    fn after_turn(&mut self, service: &mut Service<Disk>) {
        let counters = service.server().counters();
        assert_eq!(counters.outcomes(), counters.received, "each datagram became something: {counters:?}");
        self.judge.ingest(&self.disk, &self.site, self.t, self.process);
        self.judge.compare(service.server().book(), &self.site);
    }

    fn obey(&mut self, service: &mut Service<Disk>, order: Order) -> Option<End> {
        match order {
            Order::Kill => {
                self.coverage.count("fault kill between turns");
                Some(End::Died)
            }
            Order::Power => {
                self.coverage.count("fault power of the server");
                Some(End::PowerCut)
            }
            Order::Restart => {
                self.coverage.count("operator stop and start");
                Some(self.stop(service).unwrap_or(End::Stopped))
            }
            Order::Reload => self.reload(service),
            Order::Strike(target, strike) => {
                self.disk.strike(target, strike);
                None
            }
            Order::KillAt(point) => {
                self.point = Some(point);
                None
            }
        }
    }

    fn reload(&mut self, service: &mut Service<Disk>) -> Option<End> {
        let mut site = self.site.clone();
        let is_wrong = site.edit(&mut self.random);
        let rules = site.rules();
        let file = site.card_file(&rules);
        let taken = service.server_mut().install(rules, &file.records, Origin::default(), false);
        assert_eq!(taken.is_err(), is_wrong, "a reload: {taken:?}");
        if is_wrong {
            self.coverage.count("operator reload refused");
            return None;
        }
        self.coverage.count("operator reload taken");
        self.site = site;
        let now = self.now(service);
        if service.reloaded(&now, &mut |bag| self.post(bag)).is_err() || self.disk.is_killed() {
            return Some(End::Died);
        }
        self.after_turn(service);
        self.judge.compare_all(service.server().book(), &self.site);
        None
    }

    /// Mail leaves.
    fn post(&mut self, bag: &Mailbag) {
        let is_committed = bag.iter().all(|(_, letter)| rests_on_money(letter));
        let point = self.point.filter(|point| is_committed != (*point == Point::BeforeWrite));
        let mut left = u64::MAX;
        if let Some(point) = point {
            self.point = None;
            let name;
            (left, name) = match point {
                Point::BeforeWrite => (self.random.below(3), "fault kill before the write"),
                Point::AfterSync => (0, "fault kill after the sync"),
                Point::AmidResults => (1, "fault kill amid the results"),
            };
            self.coverage.count(name);
        }
        if is_committed {
            self.judge.ingest(&self.disk, &self.site, self.t, self.process);
        }
        for (place, (peer, letter)) in bag.iter().enumerate() {
            if left == 0 {
                self.disk.kill();
                return;
            }
            left -= 1;
            if rests_on_money(letter) {
                assert!(is_committed, "a result among the acks: {}", letter.escape_ascii());
                self.judge_letter(place, peer.source, letter);
            }
            self.trace(letter);
            tell(|| format!("{:>9} {} < {}", self.t, peer.source, letter.escape_ascii()));
            if let Some(device) = self.at_address.get(peer.source.ip()).copied() {
                self.carry(device, letter, true);
            }
        }
    }

    /// A result may leave only if what it tells is durable.
    fn judge_letter(&mut self, place: usize, to: SocketAddrV4, letter: &[u8]) {
        let key = (to, letter.to_vec());
        let tag = match self.tags.get(place) {
            Some(tag) => tag.clone(),
            None => {
                self.coverage.count("branch resent result");
                let tag = self
                    .sent
                    .get(&key)
                    .unwrap_or_else(|| panic!("sent again what was never sent: {}", letter.escape_ascii()));
                tag.clone()
            }
        };
        let shown = letter.escape_ascii();
        match &tag {
            Some(Tag::Sale(key)) => assert!(self.judge.is_answered(key), "008 before its entry is durable: {shown}"),
            Some(Tag::Record(key)) => assert!(self.judge.is_booked(key), "011 before its entry is durable: {shown}"),
            // The one exception of design.md, section 12.
            Some(Tag::Door(key, _)) if self.is_full && !self.judge.admissions.contains_key(key) => {
                self.coverage.count("allowed: a door opened without an entry");
            }
            Some(Tag::Door(key, is_duress)) => {
                let admission = self
                    .judge
                    .admissions
                    .get(key)
                    .unwrap_or_else(|| panic!("050 before its entry is durable: {shown}"));
                assert_eq!(admission.process, self.process, "050 for a frame of before the start: {shown}");
                let age = self.t - admission.at;
                assert!(age < self.site.door_ttl_ms, "050 that is {age} ms old: {shown}");
                assert!(!is_duress || self.judge.is_duress_known(key), "no alarm of duress: {key}");
                let fields: Vec<&[u8]> = letter.split(|byte| *byte == b',').collect();
                let door = [fields[1], fields[2], fields[fields.len() - 3]].join(&b',');
                let first = self.doors.entry(door).or_insert_with(|| letter.to_vec());
                assert_eq!(first.escape_ascii().to_string(), shown.to_string(), "one door, one card, two kinds of 050");
            }
            None => panic!("a result for what asks for none: {shown}"),
        }
        self.sent.insert(key, tag);
    }

    // ---------------------------------------------------------------- the network

    fn schedule(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.events.insert((at, self.serial), event);
    }

    fn schedule_tick(&mut self, place: usize) {
        if let Some(at) = self.devices[place].next_deadline()
            && (at < self.ticks[place] || self.ticks[place] < self.t)
        {
            self.ticks[place] = at.max(self.t);
            self.schedule(at.max(self.t), Event::Tick(place));
        }
    }

    /// A datagram on its way between a device and the server.
    fn carry(&mut self, device: usize, datagram: &[u8], to_device: bool) {
        if self.cut_until[device] > self.t && !self.is_calm {
            return;
        }
        let source = self.devices[device].source();
        let copies = if !self.is_calm && self.random.happens(self.doubled) {
            self.coverage.count("fault net doubled");
            2
        } else {
            1
        };
        for _ in 0..copies {
            if !self.is_calm && self.random.happens(self.lost) {
                self.coverage.count("fault net lost");
                continue;
            }
            let mut delay = self.random.between(1, 20);
            // A 011 that comes seconds late, when its slot is used again, would drop another record: nobody can tell.
            if !self.is_calm && !datagram.starts_with(b"011") && self.random.happens(self.late) {
                self.coverage.count("fault net late");
                delay = self.random.between(20, 8000);
            }
            let event = if to_device {
                Event::ToDevice(device, datagram.to_vec())
            } else {
                Event::ToServer(source, datagram.to_vec())
            };
            self.schedule(self.t + delay, event);
        }
    }

    fn trace(&mut self, bytes: &[u8]) {
        let mut trace = self.report.trace ^ self.t;
        for byte in bytes {
            trace = (trace ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        }
        self.report.trace = trace;
    }

    // ---------------------------------------------------------------- what happens

    fn happen(&mut self) {
        let Some(((at, _), event)) = self.events.pop_first() else { return };
        self.t = self.t.max(at);
        match event {
            Event::ToServer(source, datagram) => {
                if self.inbox.len() < 4096 {
                    self.inbox.push_back((source, datagram));
                }
                if self.turn_at.is_none() {
                    let slow = if self.random.happens(20) { 300 } else { 10 };
                    self.turn_at = Some(self.t + self.random.below(slow));
                }
            }
            Event::ToDevice(place, datagram) => {
                let mut notes = Vec::new();
                self.devices[place].hear(self.t, &datagram, &mut self.random, &mut self.coverage, &mut notes);
                self.take_notes(place, notes);
            }
            Event::Tick(place) => {
                if self.ticks[place] == at {
                    self.ticks[place] = u64::MAX;
                }
                let mut notes = Vec::new();
                self.devices[place].tick(self.t, &mut self.random, &mut self.coverage, &mut notes);
                self.take_notes(place, notes);
            }
            Event::Customer(place) => self.serve_customer(place),
            Event::Trouble => self.make_trouble(),
        }
    }

    fn take_notes(&mut self, place: usize, notes: Vec<Note>) {
        for note in notes {
            self.take_note(place, note);
        }
        self.schedule_tick(place);
    }

    fn take_note(&mut self, place: usize, note: Note) {
        let machine = self.devices[place].machine;
        match note {
            Note::Send(frame) => {
                let source = self.devices[place].source();
                if !self.seen_frames.insert((source, frame.clone())) {
                    self.coverage.count("branch frame answered again");
                }
                self.carry(place, &frame, false);
            }
            Note::Framed { frame, work, .. } => {
                if let (Some(tag @ Tag::Sale(_)), Some(sale)) = (judge::tag(&frame), work.sale) {
                    self.judge.expect_frame(&tag, sale);
                }
                if matches!(work.ask, Ask::Door(..)) {
                    self.door_frames[place] += 1;
                    if self.random.happens(300) {
                        self.recorded_doors.push((place, frame, self.door_frames[place]));
                    }
                }
            }
            Note::Approved(sale) => {
                self.report.told += u64::from(!self.judge.sales[sale].is_told);
                self.judge.told(sale);
            }
            Note::Dropped(record) => self.judge.dropped(machine, &record),
            Note::Opened => (),
            Note::Booked(record) => {
                self.judge.expect_record(machine, &record);
                if record.at.is_none() && self.random.happens(400) {
                    // The same again: two sales, and nothing but the slot tells them apart.
                    self.coverage.count("device booked two alike");
                    let sale = self.judge.add_sale();
                    let twin = self.devices[place].store(record.of(sale));
                    self.judge.expect_record(machine, &twin);
                } else if self.random.happens(60) {
                    self.store_odd(place, &record);
                }
            }
            Note::Failed(work) => {
                if work.tries < 2 && self.random.happens(700) {
                    self.coverage.count("device tried again under a new seq");
                    let at = self.t + self.random.between(500, 26 * SECOND);
                    let again = work.again();
                    self.devices[place].plan(at, again);
                }
            }
        }
    }

    /// Records that only a broken terminal makes: each must be let go of.
    fn store_odd(&mut self, place: usize, record: &Record) {
        let machine = self.devices[place].machine;
        let sale: SaleId = self.judge.add_sale();
        let mut odd = record.of(sale);
        match self.random.below(4) {
            0 => odd.card = "ABC".into(),
            1 => odd.amount = "1.2.3".into(),
            2 => odd.amount = "5000.00".into(),
            _ => odd.card = format!("{}", 7_000_000_000 + self.random.below(500)),
        }
        self.coverage.count("device record unreadable");
        let odd = self.devices[place].store(odd);
        self.judge.expect_record(machine, &odd);
    }

    fn serve_customer(&mut self, place: usize) {
        if self.is_calm {
            return;
        }
        let hour = self.t / HOUR % 24;
        let pause = match hour {
            7 | 11 | 12 | 17 => 30 * SECOND,
            6 | 8 | 13 | 18 => 3 * MINUTE,
            9..=22 => 15 * MINUTE,
            _ => 2 * HOUR,
        };
        let next = self.t + pause / 4 + self.random.below(pause * 3 / 2);
        self.schedule(next, Event::Customer(place));
        if let Some(work) = self.invent_work(place) {
            self.devices[place].plan(self.t, work);
            self.schedule_tick(place);
        }
    }

    fn invent_work(&mut self, place: usize) -> Option<Work> {
        let row = self.random.place(self.site.cards.len());
        let card = &self.site.cards[row];
        if card.is_decoy {
            return None;
        }
        let number = card.number;
        let mut subject = format!("{number:010}");
        if self.devices[place].is_board {
            let kind = u8::try_from(self.random.below(5)).expect("five kinds");
            if kind == 3 && self.random.happens(500) {
                subject.clear();
            }
            return Some(Work::new(Ask::Door(self.random.pick(&[1, 2]), kind), subject, number, None));
        }
        let fen = i64::try_from(self.random.between(100, 3000)).expect("fen");
        let ask = match self.random.below(20) {
            0 => Ask::Keys,
            1 | 2 => Ask::Inquiry,
            3..=5 => Ask::Meal(true),
            6 | 7 => Ask::Meal(false),
            8 | 9 => Ask::Scan(fen),
            _ => Ask::Charge(fen),
        };
        let asked = match ask {
            Ask::Charge(fen) => fen,
            Ask::Meal(_) => 0,
            Ask::Scan(_) => {
                self.commands += 1;
                subject = format!("{:012}", self.commands);
                return Some(Work::new(ask, subject, number, Some(self.judge.add_sale())));
            }
            _ => return Some(Work::new(ask, subject, number, None)),
        };
        // No two sales are alike: what comes to be two entries is one sale charged twice.
        if !self.used.insert((self.devices[place].machine, number, asked)) {
            return None;
        }
        Some(Work::new(ask, subject, number, Some(self.judge.add_sale())))
    }

    // ---------------------------------------------------------------- trouble

    fn make_trouble(&mut self) {
        if self.is_calm {
            return;
        }
        let next = self.t + self.random.between(SECOND, 20 * MINUTE);
        self.schedule(next, Event::Trouble);
        match self.random.below(25) {
            0 => self.order = Some(Order::Kill),
            1 => self.order = Some(Order::Power),
            2 => self.order = Some(Order::Restart),
            3..=5 => self.order = Some(Order::Reload),
            6..=8 => {
                let target = self.random.pick(&[Target::Append, Target::Sync]);
                let strike =
                    self.random.pick(&[Strike::Kill, Strike::Kill, Strike::Io, Strike::NoSpace, Strike::ReadOnly]);
                let strike = if target == Target::Sync && strike == Strike::NoSpace { Strike::Io } else { strike };
                self.order = Some(Order::Strike(target, strike));
            }
            9..=11 => {
                let point = self.random.pick(&[Point::BeforeWrite, Point::AfterSync, Point::AmidResults]);
                self.order = Some(Order::KillAt(point));
            }
            12 => self.clocks.step(self.t, &mut self.random, &mut self.coverage),
            13 | 14 => self.cut_network(),
            15 | 16 => self.cut_power_of_devices(),
            17 | 18 => self.forge(),
            19..=21 => self.replay_a_door(),
            22 => self.spoil_device_clocks(),
            _ => self.disk.write_back(),
        }
    }

    fn cut_network(&mut self) {
        self.coverage.count("fault net cut off");
        let until = self.t + self.random.between(2 * SECOND, 15 * MINUTE);
        if self.random.happens(300) {
            self.cut_until.fill(until);
        } else {
            let place = self.random.place(self.devices.len());
            self.cut_until[place] = until;
        }
    }

    fn cut_power_of_devices(&mut self) {
        self.coverage.count("fault power of a device");
        let is_all = self.random.happens(200);
        let one = self.random.place(self.devices.len());
        // Longer than any datagram is on its way: what comes late from before a start is another story.
        let until = self.t + self.random.between(15 * SECOND, 10 * MINUTE);
        for place in 0..self.devices.len() {
            if is_all || place == one {
                self.devices[place].cut_power(until);
                self.schedule_tick(place);
            }
        }
    }

    fn spoil_device_clocks(&mut self) {
        let place = self.random.place(self.devices.len());
        if let DeviceClock::Runs(error) = &mut self.devices[place].clock {
            self.coverage.count("fault device clock off");
            *error += (i64::try_from(self.random.below(7200)).expect("hours") - 3600) * 1000;
        } else {
            self.coverage.count("fault device clock dead");
        }
    }

    /// Frames that no device made, for cards that nobody has.
    fn forge(&mut self) {
        for _ in 0..self.random.between(1, 40) {
            let source = SocketAddrV4::new(
                Ipv4Addr::new(10, 9, 9, u8::try_from(self.random.between(1, 5)).expect("small")),
                4000,
            );
            let machine = self.random.below(self.devices.len() as u64 + 20);
            let seq = self.random.below(70_000);
            let decoys = self.site.cards.iter().filter(|card| card.is_decoy).map(|card| card.number);
            let decoys: Vec<u64> = decoys.collect();
            let card = if decoys.is_empty() { 1 } else { self.random.pick(&decoys) };
            let (fen, slot) = (self.random.between(1, 900), self.random.below(100_000));
            let time = super::clock::true_civil(self.t);
            let head = format!("{seq:05},1.2.3.4,5.6.7.8,{machine:05}");
            let amount = super::site::yuan(i64::try_from(fen).expect("small"));
            let datagram = match self.random.below(9) {
                0 => format!("103,{head},{card},{amount},{time}").into_bytes(),
                1 => format!("105,{head},{card},{amount},{time},0,{slot:08},1").into_bytes(),
                2 => format!("109,{head}").into_bytes(),
                3 => format!("109,{head},008,{card}").into_bytes(),
                4 => format!("101,{head},{time}").into_bytes(),
                5 => format!("{:03},{head}", self.random.below(1000)).into_bytes(),
                6 => vec![b'1'; 1500],
                _ => {
                    (0..self.random.below(80)).map(|_| u8::try_from(self.random.below(256)).expect("a byte")).collect()
                }
            };
            self.coverage.count(match datagram.len() {
                1500 => "fault net oversize",
                _ if datagram.starts_with(b"10") => "fault net forged",
                _ => "fault net garbage",
            });
            let at = self.t + self.random.below(5 * SECOND);
            self.schedule(at, Event::ToServer(source, datagram));
        }
    }

    /// Somebody recorded a door's frame and sends it again, from its own address.
    fn replay_a_door(&mut self) {
        // Of the last 32 frames of a board: more it need not remember.
        let frames = &self.door_frames;
        self.recorded_doors.retain(|(place, _, number)| frames[*place] < number + 20);
        if self.recorded_doors.is_empty() {
            return;
        }
        let place = self.random.place(self.recorded_doors.len());
        let (board, frame, _) = self.recorded_doors[place].clone();
        let source = self.devices[board].source();
        self.coverage.count("fault net replayed door");
        let at = self.t + self.random.below(MINUTE);
        self.schedule(at, Event::ToServer(source, frame));
    }

    fn flip_a_bit(&mut self) {
        let copy = self.disk.copy();
        copy.revive();
        copy.heal();
        let Some(name) = copy.segments().pop() else { return };
        let name = name.as_str();
        let len = copy.with_solid(name, <[u8]>::len);
        let before = ledger::replay(&copy, &mut Entries(|_: &Entry| Ok(())));
        let (Ok(before), 513..) = (before, len) else { return };
        let bit = self.random.place(len * 8);
        copy.flip(name, bit);
        self.coverage.count("fault disk bit flipped");
        match ledger::replay(&copy, &mut Entries(|_: &Entry| Ok(()))) {
            Err(OpenError::Damaged { .. }) => self.coverage.count("branch flip refused"),
            Err(OpenError::Io(error)) => panic!("{error}"),
            // A header has no checksum: in its number, site or date a bit may turn unseen (design.md, section 7).
            Ok(after) if bit / 8 < 512 => {
                assert_eq!(after.head, before.head, "a header's bit changed the entries");
                self.coverage.count("allowed: a header's bit flipped, unseen");
            }
            // In the last line it looks like a torn tail, or it was in one; the LF before it makes one line of two.
            Ok(after) => {
                let tail = after.tail.as_ref().map(|tail| usize::try_from(tail.offset).expect("small"));
                let is_cut = tail.is_some_and(|offset| offset <= bit / 8) && after.entries + 2 >= before.entries;
                assert!(
                    is_cut,
                    "byte {} of {len} in {name} changed, and nobody noticed: {before:?} {after:?}",
                    bit / 8
                );
                self.coverage.count("branch flip in the tail cut");
            }
        }
    }

    // ---------------------------------------------------------------- the end

    /// The faults stop. Everything that is held must come through.
    fn settle(&mut self) {
        self.is_calm = true;
        self.disk.calm();
        self.disk.heal();
        self.clocks.set_right();
        for place in 0..self.devices.len() {
            let device = &mut self.devices[place];
            let off = if device.is_intruder { self.t + 3 * HOUR } else { self.t + MINUTE };
            device.cut_power(off);
            // A last customer, who must be answered.
            let answered = if device.is_board { Ask::Door(1, 0) } else { Ask::Inquiry };
            let work = Work::new(answered, "8880000000".to_owned(), 8_880_000_000, None);
            device.plan(off + MINUTE, work);
            self.schedule_tick(place);
        }
        self.settle_by = self.t + 5 * HOUR;
    }

    fn is_settled(&self) -> bool {
        let is_done = self.devices.iter().all(|device| device.off_until.is_none() && device.next_deadline().is_none());
        if !is_done && self.t > self.settle_by {
            let stuck: Vec<_> = self.devices.iter().filter(|device| device.next_deadline().is_some()).collect();
            panic!("the faults stopped hours ago, and these still wait: {stuck:?}");
        }
        is_done
    }

    fn last_start<'t>(&mut self, tables: &'t mut Tables, before: &Tables, effects: &'t mut Effects) {
        self.disk.revive();
        let names = self.disk.segments();
        let report = ledger::verify::verify(&self.disk, &names, true, &mut || ()).expect("it can be read");
        assert_eq!(report.exit_code(), 0, "verify: {report}");
        for device in &self.devices {
            assert!(device.was_answered(), "no answer after the faults stopped: {device:?}");
            assert!(device.records.is_empty(), "still held: {device:?}");
        }
        for (sale, made) in self.judge.sales.iter().enumerate() {
            assert!(!made.is_told || !made.moves.is_empty(), "sale {sale} was told and is gone");
        }
        self.process += 1;
        self.clocks.begin_process(self.t);
        let service = self.start(tables, before, effects);
        assert!(service.is_ok(), "the last start");
        drop(service);
    }

    fn report(mut self) -> Report {
        self.coverage.add(&self.judge.coverage);
        self.coverage.add(&self.disk.take_coverage());
        Report {
            coverage: self.coverage,
            entries: self.judge.entries,
            sales: self.judge.sales.len() as u64,
            devices: self.devices.len() as u64,
            ..self.report
        }
    }
}

fn address(place: usize) -> Ipv4Addr {
    let place = u32::try_from(place).expect("few devices");
    Ipv4Addr::from_bits(0x0A00_0001 + place)
}

fn rests_on_money(letter: &[u8]) -> bool {
    [&b"008,"[..], b"011,", b"050,"].iter().any(|code| letter.starts_with(code))
}
