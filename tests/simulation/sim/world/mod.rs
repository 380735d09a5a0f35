//! The world: it moves the time from event to event, carries datagrams badly, breaks things, and
//! drives the service.

mod copies;
mod desk;
mod files;
mod network;
mod operator;
mod people;
mod trouble;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Mutex, PoisonError};

use copies::Backup;
use desk::Desk;
use operator::Act;
use posgate::engine::limits::TURN_DATAGRAMS_MAX;
use posgate::engine::model::{CardRecord, EntrySeq, Now, Rules};
use posgate::engine::server::{Beginning, Effects, Origin, Outgoing, Peer, Room, Server, Tables};
use posgate::host::event_loop::Reload;
use posgate::ledger::identity::{self, Action, Identity, Keeper, Verdict};
use posgate::ledger::writer::Opening;
use posgate::ledger::{self, Host, Ledger, OpenError, Storage as _, segment, snapshot, verify};
use posgate::turn::Service;

use super::aging::{Aging, Map};
use super::buckets::Buckets;
use super::clock::Clocks;
use super::coverage::Coverage;
use super::device::{Ask, Confirms, Device, Work};
use super::disk::{Disk, Strike, Target};
use super::judge::{self, Judge, Tag};
use super::lineage::{Fate, IDENTITY, Known, Lineage};
use super::random::Random;
use super::reload::Reloads;
use super::site::{FENCE, Site};
use super::{PLACE, Report, allocated, tell};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const WEEK: u64 = 7 * 24 * HOUR;

/// When room is lost or found the server knows with the next frame after so long (design.md,
/// section 12): it asks every second, and tries every ten seconds where nothing can be written.
const ROOM_SEEN_MS: u64 = SECOND;
const ROOM_FOUND_MS: u64 = 11 * SECOND;

/// Two of each: the state that ran is compared with the state replayed.
static TABLES: [Mutex<Tables>; 2] = [Mutex::new(Tables::new()), Mutex::new(Tables::new())];
static EFFECTS: Mutex<Effects> = Mutex::new(Effects::new());
/// One world at a time.
static WORLD: Mutex<()> = Mutex::new(());

/// Keeps [`IDENTITY`] on the ledger's disk, and draws names.
struct DiskKeeper(Disk, Random);

impl Keeper for DiskKeeper {
    fn keep(&mut self, identity: &Identity) -> io::Result<()> {
        identity::write(&mut self.0, IDENTITY, identity)
    }

    fn draw(&mut self) -> io::Result<u64> {
        Ok(self.1.next())
    }
}

enum Event {
    ToServer(SocketAddrV4, Vec<u8>),
    /// Somebody sends again what he recorded: a board, its frame, and how many it had sent then.
    Recorded(usize, Vec<u8>, u64),
    ToDevice(usize, Vec<u8>),
    Tick(usize),
    Customer(usize),
    Trouble,
    /// Somebody comes to the desk.
    Desk,
    /// There is room on the disk again.
    Room,
}

/// What the person at the router does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Kill,
    Power,
    Operator(Act),
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

#[expect(clippy::struct_excessive_bools, reason = "states of the world, each of its own")]
struct World {
    seed: u64,
    random: Random,
    t: u64,
    /// When it began: at any hour, so that midnight falls into the midst of things.
    began: u64,
    serial: u64,
    events: BTreeMap<(u64, u64), Event>,
    clocks: Clocks,
    disk: Disk,
    /// What tells the machine from others.
    host: u32,
    /// Whether somebody copies the ledger now and then, and restores a copy, or sells on with one
    /// at another machine.
    is_copied: bool,
    backup: Option<Box<Backup>>,
    /// What old segments are archived to.
    stick: Disk,
    /// What is served.
    site: Site,
    /// What the files are to say, where something else is served.
    written: Option<Site>,
    /// What the good copies say.
    accepted: Option<Site>,
    files: tempfile::TempDir,
    /// Those of the running process.
    reloads: Option<Reloads>,
    /// What the files said since the running reload began; empty: none runs.
    reloading: Vec<Site>,
    /// Whether somebody asked for another reload since.
    is_reload_due: bool,
    judge: Judge,
    coverage: Coverage,
    devices: Vec<Device>,
    ticks: Vec<u64>,
    at_address: HashMap<Ipv4Addr, usize>,
    /// Addresses that devices have or had.
    addresses: usize,
    /// Those that they left.
    left_addresses: Vec<Ipv4Addr>,
    /// When somebody paid the same at the same terminal, last.
    used: Aging<(u16, u64, i64), u64>,
    /// By device, who comes again and again, and what he takes.
    habits: Vec<Vec<(u64, Ask)>>,
    commands: u64,
    forgotten_at: u64,
    /// More machine numbers come than the server has places for.
    is_crowded: bool,
    knows_quarantine: bool,
    /// Something else fills the disk.
    is_filled: bool,
    /// When the room was changed by anything but the server.
    room_changed: u64,
    low_since: Option<u64>,
    refusals: u64,
    // The network.
    lost: u64,
    doubled: u64,
    late: u64,
    cut_until: Vec<u64>,
    /// By device, a frame that is on its way for long, and until when.
    held: Vec<Option<(Vec<u8>, u64)>>,
    /// By device, to the server and back.
    newest_arrival: Vec<[u64; 2]>,
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
    /// How long the disk takes for this turn's sync.
    slow_ms: u64,
    /// When the turn began.
    turn_began: u64,
    process: u64,
    tags: Vec<Option<Tag>>,
    /// Whether all that was replayed is durable.
    is_proven: bool,
    /// Whether nothing can be written: then doors open without an entry.
    is_full: bool,
    /// Committed mail that left in this process, with what it told of.
    sent: Map<(SocketAddrV4, Vec<u8>), Option<Tag>>,
    /// Doors that were opened without an entry in this process, and when.
    unwritten_doors: HashMap<String, u64>,
    /// 050 by board, card and door: it looks the same whatever the PIN.
    doors: HashMap<Vec<u8>, Vec<u8>>,
    buckets: Buckets,
    /// Datagrams given to this process, and 001s that it sent.
    received: u64,
    acknowledged: u64,
    head_at_end: Option<u64>,
    is_site_edited: bool,
    desk: Desk,
    report: Report,
}

pub fn play(seed: u64, hours: u64) -> Report {
    let _one = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    let mut first = TABLES[0].lock().unwrap_or_else(PoisonError::into_inner);
    let mut second = TABLES[1].lock().unwrap_or_else(PoisonError::into_inner);
    let mut effects = EFFECTS.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut live, mut spare): (&mut Tables, &mut Tables) = (&mut first, &mut second);
    let mut world = World::new(seed);
    let mut end = Some(world.began + hours * HOUR);
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
        let terminals = match random.below(10) {
            0..=4 => random.between(4, 40),
            5..=7 => random.between(40, 150),
            _ => random.between(150, 395),
        };
        let boards = random.between(1, 5);
        let is_crowded = random.happens(150);
        if is_crowded {
            (site.rate_total, site.is_quarantined) = (0, false);
        }
        let mut judge = Judge::default();
        for number in 0..terminals + boards {
            let machine = u16::try_from(number + 1).expect("few");
            let is_board = number >= terminals;
            let device = Device::new(machine, address(devices.len()), is_board, &mut random);
            if is_board {
                site.boards.push(machine);
            }
            if random.happens(300) || (is_board && is_crowded) {
                let owner = device.serial.clone().filter(|_| random.happens(700));
                site.registered.push((machine, owner.unwrap_or_else(|| device.address.to_string())));
            } else if is_crowded {
                judge.forgettable.insert(u64::from(machine));
            } else if is_board {
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
        let began = random.below(24) * HOUR;
        let mut coverage = Coverage::default();
        if devices.iter().any(|device| device.is_intruder) {
            coverage.count("fault second device under one number");
        }
        if devices.iter().any(|device| device.confirms == Confirms::Never) {
            coverage.count("device that never sends a 109");
        }
        if devices.len() >= 200 {
            coverage.count("site of 200 devices and more");
        }
        if !site.registered.is_empty() {
            coverage.count("site with registered devices");
        }
        if site.is_quarantined {
            coverage.count("site in quarantine");
        }
        if site.is_fenced {
            coverage.count("site that hears its own addresses only");
        }
        let disk = Disk::new(random.next());
        if random.happens(100) {
            coverage.count("fault disk without links");
            disk.lose_links();
        }
        let devices_len = devices.len();
        let mut world = Self {
            seed,
            t: began,
            began,
            serial: 0,
            events: BTreeMap::new(),
            clocks: Clocks::new(),
            disk,
            host: 1,
            is_copied: random.happens(300),
            backup: None,
            stick: Disk::new(random.next()),
            knows_quarantine: site.is_quarantined,
            site,
            written: None,
            accepted: None,
            files: tempfile::tempdir().expect("a temporary directory"),
            reloads: None,
            reloading: Vec::new(),
            is_reload_due: false,
            judge,
            coverage,
            ticks: vec![u64::MAX; devices.len()],
            cut_until: vec![0; devices.len()],
            door_frames: vec![0; devices.len()],
            at_address: devices.iter().enumerate().map(|(place, device)| (device.address, place)).collect(),
            addresses: devices.len(),
            left_addresses: Vec::new(),
            held: vec![None; devices.len()],
            newest_arrival: vec![[0; 2]; devices.len()],
            devices,
            used: Aging::default(),
            habits: vec![Vec::new(); devices_len],
            commands: 0,
            forgotten_at: began,
            is_crowded,
            is_filled: false,
            room_changed: 0,
            low_since: None,
            refusals: 0,
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
            slow_ms: 0,
            turn_began: began,
            process: 0,
            tags: Vec::new(),
            is_proven: true,
            is_full: false,
            sent: Map::default(),
            unwritten_doors: HashMap::new(),
            doors: HashMap::new(),
            buckets: Buckets::default(),
            received: 0,
            acknowledged: 0,
            head_at_end: None,
            is_site_edited: true,
            desk: Desk::default(),
            report: Report::default(),
            random,
        };
        for place in 0..world.devices.len() {
            let at = began + world.random.below(MINUTE);
            world.devices[place].cut_power(at);
            world.schedule_tick(place);
            world.schedule(at + 30 * SECOND, Event::Customer(place));
        }
        world.schedule(began + MINUTE, Event::Trouble);
        world.schedule(began + MINUTE, Event::Desk);
        world
    }

    // ---------------------------------------------------------------- a process

    /// From a start to its end, and the time until the next start.
    fn process(&mut self, tables: &mut Tables, before: &mut Tables, effects: &mut Effects, until: u64) -> End {
        self.process += 1;
        tell(|| format!("{:>9} process {}", self.t, self.process));
        self.report.restarts += 1;
        self.clocks.begin_process(self.t);
        self.sent.clear();
        self.unwritten_doors.clear();
        self.buckets = Buckets::default();
        (self.received, self.acknowledged) = (0, 0);
        (self.room_changed, self.low_since) = (self.t, None);
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
        let mut keeper = self.keeper();
        let end = match self.start(tables, before, effects, &mut keeper) {
            Ok(mut service) => {
                let end = self.live(&mut service, until);
                self.head_at_end = Some(service.server().book().head().0);
                self.coverage.add_counters(service.server().counters());
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
        self.lose_orders();
        self.disk.kill();
        self.disk.calm();
        self.inbox.clear();
        self.turn_at = None;
        self.order = None;
        if end == End::Over {
            return end;
        }
        let mut down = self.random.between(200, 5 * SECOND);
        let is_restored = self.is_to_be_restored();
        if is_restored {
            // Whoever restores a copy takes longer than any datagram.
            down += self.random.between(MINUTE, 20 * MINUTE);
        }
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
        if is_restored {
            self.restore();
        } else if self.is_copied && !self.is_calm && self.random.happens(60) {
            self.sell_on_at_two(before, effects);
        }
        end
    }

    fn keeper(&mut self) -> DiskKeeper {
        DiskKeeper(self.disk.clone(), Random::new(self.random.next()))
    }

    fn start<'t>(
        &mut self,
        tables: &'t mut Tables,
        before: &mut Tables,
        effects: &'t mut Effects,
        keeper: &'t mut DiskKeeper,
    ) -> io::Result<Service<'t, Disk>> {
        let read = self.read_files()?;
        let rules = read.loaded.settings.rules.clone();
        let mut server = Server::new(tables, rules.clone());
        let created = self.clocks.now(self.t, false).stamp;
        let number = self.random.next();
        let mut storage = self.disk.clone();
        let found = identity::read_in(&self.disk, IDENTITY);
        self.judge.host = Host(self.host).to_string();
        let fate = Lineage::read(&self.disk).fate(Known::read(&self.disk).as_ref(), &self.judge.host);
        let opening = Opening { site: "sim", host: Some(Host(self.host)), created, identity: Some(&found) };
        let opened = match ledger::room_below(&mut storage, self.site.reserve_bytes) {
            Ok(()) => Ledger::open_as(storage, &opening, || number, server.book_to_replay()),
            Err(error) => Ledger::open_closed(storage, &opening, error, server.book_to_replay()),
        };
        let (mut ledger, opened) = match opened {
            Ok(opened) => opened,
            Err(OpenError::Io(error)) => {
                self.judge.fail_start(fate);
                return Err(error);
            }
            Err(damaged @ (OpenError::Damaged { .. } | OpenError::NotOurs(_))) => {
                panic!("a power cut or a kill made this of the ledger: {damaged}")
            }
        };
        // Whatever fails, the identity never names an entry that is not on the medium.
        let verdict = opened.verdict.expect("it was asked for");
        assert_eq!(made_of(&verdict), fate, "what a start makes of the ledger: {found:?} {opened:?}");
        self.coverage.count(if opened.created { "branch ledger begun" } else { "branch ledger is the machine's own" });
        if opened.branch.is_some() {
            server.begin(Beginning { branch: Some(verdict.word()), rolled_back: verdict.gone });
        }
        ledger.limit_segments(self.site.segment_bytes);
        if opened.cut.is_some() {
            self.coverage.count("branch tail cut");
        }
        if opened.warnings.iter().any(|warning| warning.contains("no whole header")) {
            self.coverage.count("branch header set aside");
        }
        let (loaded, served) = self.install(&mut server, read);
        self.judge.ends_with(opened.head.seq.0);
        self.judge.was_written(opened.head.seq.0, self.turn_began, self.process - 1);
        // What the process before wrote, when it did.
        self.judge.ingest(&self.disk, &self.site, self.turn_began, self.process - 1);
        self.turn_began = self.t;
        self.is_site_edited |= served.config() != self.site.config() || served.table() != self.site.table();
        self.site = served;
        self.judge.site_from = self.judge.seq;
        self.is_proven = ledger.is_proven();
        if self.is_proven {
            self.judge.restarted(&self.disk);
            self.judge.compare_all(server.book(), &self.site);
            self.judge.compare_doubts(server.book());
            let gone = server.book().rolled_back().map(|(gone, _)| gone.to_string());
            assert_eq!(gone, self.judge.rolled_back, "what an older copy lacks: replayed, or written");
        } else {
            self.coverage.count("branch start from what may not be on the medium");
        }
        if self.head_at_end == Some(opened.head.seq.0) && !self.is_site_edited {
            let difference = before.book().difference(server.book());
            assert!(difference.is_none(), "live, or replayed: {}", difference.unwrap_or_default());
            self.coverage.count("branch live state equals replayed");
        }
        self.is_site_edited = false;
        if opened.snapshot.is_some() && self.random.happens(100) {
            let file = self.site.card_file(&loaded.settings.rules);
            self.start_from_all(before, loaded.settings.rules.clone(), &file.records, &server);
        }
        let mut service = Service::new(server, ledger, effects);
        service.keep_reserve(self.site.reserve_bytes);
        let now = self.clocks.now(self.t, true);
        self.judge.started = self.t;
        tell(|| format!("{:>9} the start makes of the ledger: {fate:?}", self.t));
        self.judge.expect_start(fate);
        service.keep_identity(keeper, found.fault().map(str::to_owned));
        service.start(&now, &mut |bag| self.post(bag))?;
        if service.server().room() == Room::Nothing {
            self.coverage.count("branch start without entries");
        }
        self.after_turn(&mut service);
        if self.disk.is_killed() {
            return Err(io::Error::other("the process was killed"));
        }
        Ok(service)
    }

    /// A start from the snapshot is one from the whole ledger, where there is all of it.
    fn start_from_all(&mut self, tables: &mut Tables, rules: Rules, cards: &[CardRecord], started: &Server) {
        let all = self.disk.copy();
        all.heal();
        all.carry_away(snapshot::NAME);
        if all.segments().first().is_none_or(|first| segment::first_of(first) != Some(EntrySeq(1))) {
            return;
        }
        let mut server = Server::new(tables, rules.clone());
        let replayed =
            ledger::replay(&all, server.book_to_replay()).unwrap_or_else(|error| panic!("the whole ledger: {error}"));
        server.install(rules, cards, Origin::default()).expect("it fits");
        assert!(replayed.snapshot.is_none());
        let difference = server.book().difference(started.book());
        assert!(
            difference.is_none(),
            "from the whole ledger, or from the snapshot: {}",
            difference.unwrap_or_default()
        );
        self.coverage.count("branch start from the snapshot equals one from the whole ledger");
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
        while self.reloads.as_ref().is_some_and(Reload::is_taken) {
            if let Some(end) = self.step_reload(service, &now) {
                return Some(end);
            }
        }
        let stopped = service.stop(&now, &mut |bag| self.post(bag));
        if stopped.is_err() || self.disk.is_killed() {
            return Some(End::Died);
        }
        self.after_turn(service);
        None
    }

    fn now(&mut self, service: &Service<Disk>) -> Now {
        self.clocks.tick(self.t, &mut self.coverage);
        self.clocks.now(self.t, service.server().wants_kernel_clock())
    }

    fn turn(&mut self, service: &mut Service<Disk>) -> Option<End> {
        self.turn_at = None;
        let now = self.now(service);
        self.turn_began = self.t;
        self.slow_ms = if !self.is_calm && self.random.happens(5) { self.random.between(200, 8 * SECOND) } else { 0 };
        self.report.turns += 1;
        tell(|| format!("{:>9} turn {}", self.t, self.report.turns));
        PLACE.set((self.seed, self.report.turns, (self.t - self.began) / HOUR));
        self.tags.clear();
        let head = service.server().book().head().0;
        self.judge.ends_with(head);
        if self.look_at_room() && !self.inbox.is_empty() {
            self.coverage.count("branch turn with only the reserve left");
            self.judge.close_after(head);
        }
        self.trouble_a_clear();
        let mut received = 0;
        let mut done = Ok(());
        while !self.inbox.is_empty() && received < TURN_DATAGRAMS_MAX && done.is_ok() {
            let batch = service.batch();
            if batch == 0 {
                break;
            }
            for _ in 0..batch {
                let Some((source, datagram)) = self.inbox.pop_front() else { break };
                received += 1;
                done = self.receive(service, &now, source, &datagram);
                if done.is_err() {
                    break;
                }
            }
        }
        if received > 20 {
            self.coverage.count("branch turn of many frames");
            // The more pages are on their way to the medium, the more ways there are to lose them.
            if !self.is_calm && self.random.happens(200) {
                self.coverage.count("fault kill in a turn of many frames");
                self.disk.strike(self.random.pick(&[Target::Append, Target::Sync]), Strike::Kill);
            }
        }
        if !self.inbox.is_empty() {
            self.turn_at = Some(self.t + 1);
        }
        while done.is_ok()
            && let Some(aside) = service.server().next_aside()
        {
            let tag = judge::tag(aside);
            done = service.serve_next_aside(&now).map(drop);
            self.tags.resize(service.effects().committed.len(), tag);
            self.coverage.count("branch frame decided after the live requests");
        }
        let done = done.and_then(|()| self.serve_desk(service, &now));
        self.is_full = service.server().room() == Room::Nothing;
        let unwritten = service.server().counters().admitted_unwritten;
        let done = done.and_then(|()| service.end_turn(&now, &mut |bag| self.post(bag)));
        if done.is_err() || self.disk.is_killed() {
            let is_power = self.random.happens(if received > 20 { 800 } else { 400 });
            if is_power {
                self.coverage.count("fault power of the server");
            }
            if done.is_err_and(|error| error.to_string().starts_with("room free=")) {
                self.coverage.count("branch room found again, and left for the next start");
            }
            return Some(if is_power { End::PowerCut } else { End::Died });
        }
        assert!(self.unwritten_doors.len() as u64 <= unwritten, "doors opened without an entry and without a count");
        let counters = service.server().counters();
        assert_eq!((counters.received, counters.acknowledged), (self.received, self.acknowledged), "counted, or done");
        self.judge.ends_with(service.server().book().head().0);
        self.judge_room(service.server().room(), received);
        self.after_turn(service);
        self.answer_desk();
        self.step_reload(service, &now)
    }

    /// A datagram comes.
    fn receive(
        &mut self,
        service: &mut Service<Disk>,
        now: &Now,
        source: SocketAddrV4,
        datagram: &[u8],
    ) -> io::Result<()> {
        self.report.frames += 1;
        self.received += 1;
        self.trace(datagram);
        tell(|| format!("{:>9} {source} > {}", self.t, datagram.escape_ascii()));
        let peer = Peer { source, local: Ipv4Addr::new(192, 168, 1, 2), socket: 0 };
        let len = datagram.len().min(1025);
        let (dropped_source, dropped_rate) = drops(service);
        let (operations, bytes) = (self.disk.operations(), allocated());
        service.receive(now, peer, &datagram[..len], len > 1024)?;
        if operations == self.disk.operations() {
            assert_eq!(bytes, allocated(), "a frame took memory for ever: {}", datagram.escape_ascii());
        }
        let is_stranger = self.site.is_fenced && (source.ip().octets()[0], source.ip().octets()[1]) != FENCE;
        let (after_source, after_rate) = drops(service);
        assert_eq!(after_source - dropped_source, u64::from(is_stranger), "allow: {source}");
        if !is_stranger {
            let is_within = self.buckets.take(self.t, *source.ip(), self.site.rate_source, self.site.rate_total);
            assert!(is_within || self.site.rate_source + self.site.rate_total > 0);
            assert!(!is_within || after_rate == dropped_rate, "a frame within the rate was dropped: {source}");
        }
        self.tags.resize(service.effects().committed.len(), judge::tag(datagram));
        Ok(())
    }

    /// Whether only the reserve is left, for long enough that the server knows with the next frame.
    fn look_at_room(&mut self) -> bool {
        let free = self.disk.free_bytes().expect("a simulated disk says it");
        if free >= self.site.reserve_bytes {
            self.low_since = None;
            return false;
        }
        let since = *self.low_since.get_or_insert(self.t);
        self.t > since.max(self.room_changed) + ROOM_SEEN_MS
    }

    /// It ends by itself when there is room.
    fn judge_room(&mut self, room: Room, received: usize) {
        let refusals = self.disk.refusals();
        if refusals != self.refusals {
            (self.refusals, self.room_changed) = (refusals, self.t);
        }
        // The server knows the time at which the turn began.
        let has_room = !self.is_filled && !self.disk.is_broken() && self.turn_began > self.room_changed + ROOM_FOUND_MS;
        assert!(!has_room || received == 0 || room == Room::Open, "there is room, and the server stays {room:?}");
    }

    fn after_turn(&mut self, service: &mut Service<Disk>) {
        let counters = service.server().counters();
        assert_eq!(counters.outcomes(), counters.received, "each datagram became something: {counters:?}");
        self.ingest();
        if self.is_proven {
            self.judge.compare(service.server().book(), &self.site);
        }
        if self.t >= self.forgotten_at + WEEK {
            self.forget();
        }
    }

    /// What the server holds is what the judge summed up; not where the page cache shows what the
    /// medium may not have.
    fn compare_all(&mut self, service: &Service<Disk>) {
        if self.is_proven {
            self.judge.compare_all(service.server().book(), &self.site);
        }
    }

    /// The judge reads what became durable.
    fn ingest(&mut self) {
        self.judge.ingest(&self.disk, &self.site, self.turn_began, self.process);
    }

    /// A week is over.
    fn forget(&mut self) {
        self.forgotten_at = self.t;
        self.judge.forget();
        self.used.turn();
        for device in &self.devices {
            for record in &device.records {
                self.judge.keep_record(device.machine, record);
            }
        }
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
            Order::Operator(act) => self.act(service, act),
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

    /// Mail leaves.
    fn post(&mut self, bag: &Outgoing) {
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
            if self.slow_ms > 0 {
                self.coverage.count("fault disk slow at a sync");
                self.t += std::mem::take(&mut self.slow_ms);
            }
            self.ingest();
        }
        let now = self.clocks.now(self.t, false).mono;
        let mut leaving = bag.iter_at(|| now).peekable();
        for (place, (peer, letter)) in bag.iter().enumerate() {
            // They leave in order, or not at all.
            if leaving.next_if(|(_, next)| std::ptr::eq(*next, letter)).is_none() {
                self.coverage.count("branch door too late after a slow sync");
                continue;
            }
            if left == 0 {
                self.disk.kill();
                return;
            }
            left -= 1;
            if rests_on_money(letter) {
                assert!(is_committed, "a result among the acks: {}", letter.escape_ascii());
                self.judge_letter(place, peer.source, letter);
            }
            if letter.starts_with(b"001") {
                self.acknowledged += 1;
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
            // The other exception: the sale is in doubt, or its entry may be in the page cache
            // only. A device without a clock that started anew may ask with the bytes of an old
            // sale, which has other figures.
            Some(Tag::Sale(key)) if self.is_full && !self.judge.has_figures(key, left_in(letter)) => {
                // What is sent again was judged when it was decided.
                let is_known = self.sent.contains_key(&(to, letter.to_vec()))
                    || self.judge.approve_unwritten(key, self.is_proven, self.t, self.process, &self.site);
                assert!(is_known, "008 without an entry: {shown}");
                self.coverage.count("allowed: a sale approved again without an entry");
            }
            Some(Tag::Sale(key)) => {
                let figures = self.judge.figures(key);
                let figures = figures.unwrap_or_else(|| panic!("008 before its entry is durable: {shown}"));
                let is_voided = self.judge.is_voided_before(key, self.turn_began);
                assert!(!is_voided, "008 for a sale that was voided: {shown}");
                let is_right = self.judge.has_figures(key, left_in(letter));
                assert!(is_right, "what is left is {figures:?} by its entries, by 008: {shown}");
            }
            Some(Tag::Record(key)) => assert!(self.judge.is_booked(key), "011 before its entry is durable: {shown}"),
            // The one exception of design.md, section 12.
            Some(Tag::Door(key, _)) if self.is_new_door(key) && self.may_lack_entry(key) => {
                self.coverage.count("allowed: a door opened without an entry");
                self.judge.judge_door(key, &self.site, self.is_proven);
                let opened = self.unwritten_doors.entry(key.clone()).or_insert(self.t);
                if self.t - *opened >= 600_000 {
                    *opened = self.t;
                }
            }
            Some(Tag::Remote(key)) => {
                let remote = self.judge.orders.remotes.get(key);
                let remote = remote.unwrap_or_else(|| panic!("050 before its order's entry is durable: {shown}"));
                assert_eq!(remote.process, self.process, "050 for an order of before the start: {shown}");
                let age = self.t - remote.at;
                assert!(age < self.site.door_ttl_ms, "050 by hand that is {age} ms old: {shown}");
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

    /// Whether a frame of a door was not let in before, or so long ago that it may be another
    /// request.
    fn is_new_door(&self, key: &str) -> bool {
        self.judge.admissions.get(key).is_none_or(|admission| admission.is_over(self.t, self.process))
    }

    /// Whether nothing can be written, or could not when this door opened just now.
    fn may_lack_entry(&self, key: &str) -> bool {
        let opened = self.unwritten_doors.get(key);
        let is_timed = self.judge.admissions.get(key).is_some_and(|admission| admission.is_timed);
        opened.map_or(self.is_full, |opened| {
            let age = self.t - opened;
            age < self.site.door_ttl_ms || (self.is_full && !is_timed && age >= 600_000)
        })
    }

    fn trace(&mut self, bytes: &[u8]) {
        let mut trace = self.report.trace ^ self.t;
        for byte in bytes {
            trace = (trace ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        }
        self.report.trace = trace;
    }

    // ---------------------------------------------------------------- the end

    /// The faults stop. Everything that is held must come through.
    fn settle(&mut self) {
        self.is_calm = true;
        self.disk.calm();
        self.disk.heal();
        self.free_room();
        self.relent();
        self.clocks.set_right();
        for place in 0..self.devices.len() {
            let device = &mut self.devices[place];
            // Not all at once: a limit to the rate of all would keep some waiting.
            let off = self.t + MINUTE + self.random.below(10 * MINUTE) + if device.is_intruder { 3 * HOUR } else { 0 };
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
        let is_done = is_done && self.desk.is_idle() && !self.judge.orders.is_clearing() && !self.is_reloading();
        if !is_done && self.t > self.settle_by {
            let stuck: Vec<_> = self.devices.iter().filter(|device| device.next_deadline().is_some()).collect();
            let clearing = self.judge.orders.clearing;
            panic!("the faults stopped hours ago, and these still wait: {stuck:?} {clearing:?}");
        }
        is_done
    }

    fn last_start<'t>(&mut self, tables: &'t mut Tables, before: &mut Tables, effects: &'t mut Effects) {
        self.disk.revive();
        let names = self.disk.segments();
        let report = verify::verify_directory(&self.disk, &names, &mut || ()).expect("it can be read");
        assert_eq!(report.exit_code(), 0, "verify: {report}");
        for device in &self.devices {
            assert!(device.was_answered(), "no answer after the faults stopped: {device:?}");
            assert!(device.records.is_empty(), "still held: {device:?}");
        }
        self.process += 1;
        self.clocks.begin_process(self.t);
        let mut keeper = self.keeper();
        let service = self.start(tables, before, effects, &mut keeper);
        assert!(service.is_ok(), "the last start");
        drop(service);
    }

    fn report(mut self) -> Report {
        self.judge.count_lost();
        self.coverage.add(&self.judge.coverage);
        self.coverage.add(&self.disk.take_coverage());
        Report {
            coverage: self.coverage,
            entries: self.judge.entries,
            sales: self.judge.sales_made(),
            devices: self.devices.len() as u64,
            ..self.report
        }
    }
}

fn address(place: usize) -> Ipv4Addr {
    let place = u32::try_from(place).expect("few devices");
    Ipv4Addr::from_bits(0x0A00_0001 + place)
}

/// What a verdict says, in this world's words.
fn made_of(verdict: &Verdict) -> Fate {
    match verdict.action {
        Action::Create => Fate::Begin,
        Action::Serve => Fate::Serve,
        Action::Branch => Fate::Branch(verdict.word(), verdict.gone.map(|gone| (gone.first.0, gone.last.0))),
        Action::Refuse => Fate::Refuse,
    }
}

fn drops(service: &Service<Disk>) -> (u64, u64) {
    let counters = service.server().counters();
    (counters.dropped_source, counters.dropped_rate)
}

/// What a 008 says is left: it stands in braces.
fn left_in(letter: &[u8]) -> &[u8] {
    letter.split(|byte| matches!(byte, b'{' | b'}')).nth(1).unwrap_or_default()
}

fn rests_on_money(letter: &[u8]) -> bool {
    [&b"008,"[..], b"011,", b"050,"].iter().any(|code| letter.starts_with(code))
}
