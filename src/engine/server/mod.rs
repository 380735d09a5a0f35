//! The server as a plain value: bytes and time go in, effects come out, in order.
//!
//! It opens no socket, touches no file and reads no clock. It judges a request in this order:
//! malformed, device (design.md, section 13), duplicate (8), doubt (8), the ladder of rules (6).
//! Each decision is an entry for the ledger, and the server first applies that entry to the book,
//! so memory and replay cannot differ.

mod access;
mod aside;
mod belief;
mod boot;
mod clear;
mod clock;
mod counters;
mod desk;
mod device;
mod effects;
mod entries;
mod hear;
mod offline;
mod operator;
mod order_refused;
mod outbox;
mod pins;
mod refusal;
mod room;
mod sale;
mod sources;
mod texts;
mod tools;
mod view;

use core::net::Ipv4Addr;

use log::{debug, error, info, log_enabled};

use access::UnansweredDuress;
use aside::Aside;
use belief::Belief;
use clear::Purses;
use clock::ClockWatch;
pub use counters::Counters;
use desk::FoundDevices;
pub use desk::IgnoredAccount;
pub(crate) use desk::{CardView, FoundDevice};
use device::{Devices, LeftOut, Minute, Standing};
pub use effects::{Effects, Entries, Outgoing, Peer};
pub use order_refused::Refused;
pub(crate) use order_refused::USES_MAX;
use outbox::Outbox;
use pins::Pins;
pub use room::Room;
use sources::Sources;
use texts::Values;
pub use texts::{Longest, overlong};
pub use tools::UnknownCard;
use tools::UnknownCards;
pub(crate) use view::DeviceView;

use crate::engine::book::Book;
use crate::engine::limits::TIMERS_MAX;
use crate::engine::model::card::CardRow;
use crate::engine::model::{
    AccountId, CardRecord, CardTable, Civil, ClockState, DeviceTime, Entry, EntrySeq, Figures, IncomingTable, Kind,
    MachineNo, MissingEntries, Mono, Now, Reason, Rules, Stamp, ZoneChange, ZoneChanges,
};
use crate::engine::wheel::Wheel;
use crate::engine::wire::{Body, Code, DeviceFrame};

/// How often the log repeats that good copies are served, or that the ledger is an older copy.
const DEGRADED_LOG_MS: u64 = 3_600_000;

/// The purpose of a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// The command in this slot of the outbox waits for its 109.
    Resend(u16),
    /// A minute with entries left out is over, for the device in this row, or, if `None`, for all
    /// devices together.
    LeftOut(Option<u16>),
    /// The clock was unset for long enough to warn.
    ClockWarn,
    /// A device waits until the clock is set.
    ClockPoll,
    /// Good copies were served for another hour.
    Degraded,
    /// The ledger is an older copy, and nobody acknowledged it for another hour.
    RolledBack,
    /// The next subsidy purses are to be emptied.
    Clear,
}

/// The big tables, all of fixed size. Their empty state is all zero bits, so a `static` of them
/// takes no space in the program's file and no memory until it is used.
pub struct Tables {
    book: Book,
    cards: CardTable,
    devices: Devices,
    outbox: Outbox,
    wheel: Wheel<Timer, TIMERS_MAX>,
    sources: Sources,
    pins: Pins,
    aside: Aside,
    found: FoundDevices,
}

impl Tables {
    /// Empty tables.
    pub const fn new() -> Self {
        Self {
            book: Book::new(),
            cards: CardTable::new(),
            devices: Devices::new(),
            outbox: Outbox::new(),
            wheel: Wheel::new(),
            sources: Sources::new(),
            pins: Pins::new(),
            aside: Aside::new(),
            found: FoundDevices::new(),
        }
    }

    /// The book, also after the server is dropped.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Empties all tables.
    pub fn clear(&mut self) {
        self.book.clear();
        self.cards = CardTable::new();
        self.devices.clear();
        self.outbox.clear();
        self.wheel.clear();
        self.sources.clear();
        self.pins = Pins::new();
        self.aside.clear();
        self.found.clear();
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self::new()
    }
}

/// The files whose good copies are served, because the files themselves cannot be (design.md,
/// section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Degraded {
    /// The configuration.
    pub config: bool,
    /// The card table.
    pub cards: bool,
}

impl Degraded {
    /// Whether any good copy is served.
    pub const fn is_any(self) -> bool {
        self.config || self.cards
    }
}

/// What a start found out about the ledger, for its `start` entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// Why the ledger goes on as a branch, if it does: the value of `branch=`.
    pub branch: Option<&'static str>,
    /// The entries that it lacks, if it is an older copy.
    pub rolled_back: Option<MissingEntries>,
}

/// The files of the configuration and the card table in service, for `start` and `reload` entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// CRC-32 of the card file.
    pub cards_crc: u32,
    /// CRC-32 of the configuration file.
    pub config_crc: u32,
    /// Which of them are good copies.
    pub degraded: Degraded,
}

/// Why a new card table was not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallError {
    /// The table and the ledger together have more accounts than fit.
    TooManyAccounts {
        /// The number of accounts in both.
        needed: usize,
    },
    /// Every subsidy purse is being emptied: what another table opens now would be emptied as well.
    Clearing {
        /// The first entry of the clear.
        seq: EntrySeq,
    },
}

impl core::fmt::Display for InstallError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooManyAccounts { needed } => write!(
                f,
                "the table and the ledger have {needed} accounts: at most {} fit",
                crate::engine::limits::ACCOUNTS_MAX
            ),
            Self::Clearing { seq } => write!(
                f,
                "every subsidy is being cleared (entry {seq}), and would be in another table too: reload once that is done"
            ),
        }
    }
}

/// A frame with its circumstances, while it is handled.
struct Context<'a> {
    now: Now,
    clock: ClockState,
    peer: Peer,
    /// When its datagram arrived: at `now` or before.
    arrived: Mono,
    /// The device's row.
    device: usize,
    frame: &'a DeviceFrame<'a>,
    /// The datagram.
    raw: &'a [u8],
    /// Whether the machine number belongs to the frame's device.
    is_served: bool,
    /// The judgement of the frame's time; `None`: it has none.
    belief: Option<Belief>,
}

impl Context<'_> {
    /// An entry with the fields of the frame's head.
    fn draft(&self, kind: Kind) -> Entry {
        let mut entry = Entry::new(kind, self.now.stamp, self.clock);
        entry.machine = Some(self.frame.machine);
        entry.serial = self.frame.serial;
        entry.frame = Some(self.frame.seq);
        entry
    }

    /// Adds the device's time to an entry, and `invalid=` if it is not believed, which a replay
    /// needs.
    fn date(&self, entry: &mut Entry, time: &DeviceTime) {
        self.belief.unwrap_or(Belief::NoTime).enter(entry, time);
    }

    /// The device's time by the zone in service, if it is believed.
    fn at_device(&self) -> Option<Civil> {
        self.belief.and_then(Belief::at)
    }
}

/// The server.
pub struct Server<'t> {
    tables: &'t mut Tables,
    rules: Rules,
    origin: Origin,
    /// What the start found out about the ledger.
    beginning: Beginning,
    /// When the configuration and the table in service were installed.
    loaded: Option<Stamp>,
    clock: ClockWatch,
    counters: Counters,
    /// Limited entries of all devices.
    minute: Minute,
    /// Limited entries of devices that do not hold their machine number.
    strangers: Minute,
    /// Alarms of duress that no remembered answer identifies.
    unanswered_duress: UnansweredDuress,
    /// Entries left out that count for no device.
    left_out: LeftOut,
    room: Room,
    /// How far a clear of all subsidy purses looked.
    purses: Purses,
    /// Whether a sync proved that all replayed entries are durable.
    is_proven: bool,
    unknown_cards: UnknownCards,
    /// When the datagram in work arrived; `None`: now.
    arrived: Option<Mono>,
    /// The source of the zone, for status.
    zone_source: String,
    /// When this run began, or its book was last replayed. Events in the book without a monotonic
    /// time happened before.
    started: Mono,
    /// The changes of the zone in service.
    zone: ZoneChanges,
}

impl<'t> Server<'t> {
    /// A server over empty tables, without cards. Call next: [`Server::book_to_replay`] for the
    /// ledger's entries, [`Server::install`], [`Server::start`].
    pub fn new(tables: &'t mut Tables, rules: Rules) -> Self {
        tables.clear();
        let mut server = Self {
            tables,
            rules,
            origin: Origin::default(),
            beginning: Beginning::default(),
            loaded: None,
            clock: ClockWatch::new(),
            counters: Counters::default(),
            minute: Minute::default(),
            strangers: Minute::default(),
            unanswered_duress: UnansweredDuress::default(),
            left_out: LeftOut::default(),
            room: Room::Open,
            purses: Purses::default(),
            is_proven: true,
            unknown_cards: UnknownCards::new(),
            started: Mono(0),
            zone: ZoneChanges::default(),
            arrived: None,
            zone_source: String::new(),
        };
        server.pin_registered();
        server
    }

    /// Sets the changes of the zone that gives stamps their offsets: before [`Server::start`], and
    /// after a reload.
    pub fn take_zone(&mut self, zone: ZoneChanges) {
        self.zone = zone;
    }

    /// The changes of the zone that gives stamps their offsets.
    pub(crate) fn zone_changes(&self) -> &[ZoneChange] {
        self.zone.as_slice()
    }

    /// Sets the source of the zone that gives stamps their offsets, for status: at the start and
    /// with a reload.
    pub fn name_zone(&mut self, source: &str) {
        source.clone_into(&mut self.zone_source);
    }

    /// The source of the zone, and the seconds by which devices say that it is wrong; 0: it is not.
    pub(crate) fn zone_facts(&self) -> (&str, i32) {
        (&self.zone_source, self.clock.zone_error_s())
    }

    /// Sets the secret seed of the sources' hash, so that no sender can choose with whom it shares
    /// a bucket (design.md, section 13). Call it before the first datagram.
    pub fn scatter_sources(&mut self, seed: u64) {
        self.tables.sources.scatter(seed);
    }

    /// The book, for the replay of the ledger at a start.
    pub fn book_to_replay(&mut self) -> &mut Book {
        self.clock.forget();
        &mut self.tables.book
    }

    /// Takes rules and cards into service, all or nothing. Returns the accounts whose changed
    /// opening figures are ignored, since they are opened. The caller checks before whether the
    /// table is whole (`files::cards::whole`).
    ///
    /// # Errors
    /// If the table does not fit, or if it is another one while every subsidy purse is emptied; the
    /// old one stays. A start takes the table that is there.
    pub fn install(
        &mut self,
        rules: Rules,
        records: &[CardRecord],
        origin: Origin,
    ) -> Result<Vec<AccountId>, InstallError> {
        self.install_table(rules, IncomingTable::of(records), origin)
    }

    /// As [`Server::install`], for a table that was filled row by row.
    ///
    /// # Errors
    /// If the table does not fit; the old one stays.
    pub fn install_table(
        &mut self,
        rules: Rules,
        new: IncomingTable,
        origin: Origin,
    ) -> Result<Vec<AccountId>, InstallError> {
        let is_another = self.loaded.is_some() && origin.cards_crc != self.origin.cards_crc;
        if let Some(clearing) = self.clearing().filter(|_| is_another) {
            return Err(InstallError::Clearing { seq: clearing.begin });
        }
        assert_eq!(new.check_room(), Ok(()), "the reader counted rows and text");
        let installed = self.tables.book.install(&mut self.tables.cards, new);
        let ignored = installed.map_err(|needed| InstallError::TooManyAccounts { needed })?;
        self.install_rules(rules, origin);
        // The rows of cards and accounts have moved.
        self.purses = Purses::default();
        Ok(ignored)
    }

    /// Looks up where the book has the accounts and cards of an incoming table, for at most `count`
    /// of each; `false` if all are looked up. [`Server::install_table`] is faster then.
    pub fn look_up(&self, new: &mut IncomingTable, count: usize) -> bool {
        self.tables.book.look_up(new, count)
    }

    /// Checks that the accounts of a table fit beside the ledger's.
    ///
    /// # Errors
    /// If they do not.
    pub fn check_room(&self, new: &IncomingTable) -> Result<(), InstallError> {
        self.tables.book.check_room(new).map_err(|needed| InstallError::TooManyAccounts { needed })
    }

    /// Takes rules into service; the cards stay. `rules` have the same groups as those in service,
    /// whose numbers the cards' rows hold.
    pub fn install_rules(&mut self, rules: Rules, origin: Origin) {
        self.rules = rules;
        self.clock.forget();
        self.origin = origin;
        self.tables.devices.install(&self.rules);
        self.pin_registered();
    }

    fn pin_registered(&mut self) {
        self.tables.book.pin(&self.rules.devices.iter().map(|device| device.machine));
    }

    /// Sets what the start found out about the ledger; before [`Server::start`].
    pub fn begin(&mut self, beginning: Beginning) {
        self.beginning = beginning;
    }

    /// Writes the `start` entry, and from now on logs every hour what is degraded.
    pub fn start(&mut self, now: &Now, fx: &mut Effects) {
        self.loaded = Some(now.stamp);
        self.started = now.mono;
        self.watch_clock(now, fx);
        self.finish_halfway(now, fx);
        let mut entry = self.service_entry(Kind::Start, now);
        let Beginning { branch, rolled_back } = self.beginning;
        if let Some(branch) = branch {
            entry.detail.push("branch", branch);
        }
        if let Some(gone) = rolled_back {
            entry.detail.push("rolled_back", gone);
        }
        self.append(&mut entry, now, fx);
        if self.tables.book.rolled_back().is_some() {
            self.tables.wheel.arm(now.mono.plus_ms(DEGRADED_LOG_MS), Timer::RolledBack);
        }
        if self.origin.degraded.is_any() {
            self.tables.wheel.arm(now.mono.plus_ms(DEGRADED_LOG_MS), Timer::Degraded);
        }
        self.go_on_clearing(now);
    }

    /// Writes the `reload` entry, after [`Server::install`].
    pub fn reloaded(&mut self, now: &Now, fx: &mut Effects) {
        self.watch_zone(now);
        self.watch_clock(now, fx);
        self.loaded = Some(now.stamp);
        let mut entry = self.service_entry(Kind::Reload, now);
        self.append(&mut entry, now, fx);
    }

    fn service_entry(&self, kind: Kind, now: &Now) -> Entry {
        let mut entry = Entry::new(kind, now.stamp, self.clock.state);
        let unopened = self.tables.book.accounts().iter().filter_map(crate::engine::book::Account::unopened);
        let (count, sum) = unopened.fold((0, Figures::ZERO), |(count, sum), figures| (count + 1, sum + figures));
        let hex = |crc: u32| heapless::format!(8; "{crc:08x}").expect("eight digits");
        entry.detail.push("cards", self.tables.cards.len());
        entry.detail.push("cards_crc", hex(self.origin.cards_crc));
        entry.detail.push("config_crc", hex(self.origin.config_crc));
        entry.detail.push("unopened", count);
        entry.detail.push("unopened_sum", sum.balance);
        entry.detail.push("unopened_subsidy", sum.subsidy);
        entry
    }

    /// Writes the counts of entries left out, and the `stop` entry.
    pub fn stop(&mut self, now: &Now, fx: &mut Effects) {
        self.watch_clock(now, fx);
        for device in self.tables.devices.rows_mut() {
            for (place, count) in device.left_out.take().into_iter().enumerate() {
                self.left_out.add(place, count);
            }
        }
        self.write_left_out(now, None, fx);
        let mut entry = Entry::new(Kind::Stop, now.stamp, self.clock.state);
        self.append(&mut entry, now, fx);
    }

    // ---------------------------------------------------------------- datagrams

    fn on_frame(&mut self, now: &Now, peer: Peer, frame: &DeviceFrame, raw: &[u8], fx: &mut Effects) {
        let Some((device, standing)) = self.identify(now, peer, frame, fx) else {
            self.refuse_unplaced(now, peer, frame, raw, fx);
            return;
        };
        let is_served = standing == Standing::Served;
        let arrived = self.arrived.map_or(now.mono, |arrived| arrived.min(now.mono));
        if let Some(time) = live_time(&frame.body).filter(|_| is_served) {
            self.note_clock(now, arrived, device, time);
            if frame.code != Code::Boot {
                // A command that delayed this may have ended without a 109.
                self.send_due_time(now, device, fx);
            }
        }
        let clock = self.clock.state;
        let belief = self.belief(now, clock, frame);
        let context = Context { now: *now, clock, peer, arrived, device, frame, raw, is_served, belief };
        if log_enabled!(log::Level::Debug) && self.may_log(now, *peer.source.ip()) {
            debug!(
                "frame code={} machine={} seq={} source={}",
                frame.code.number(),
                frame.machine,
                frame.seq,
                peer.source
            );
        }
        match standing {
            // A malformed frame gets its refusal, whatever the device's standing.
            _ if matches!(frame.body, Body::Malformed(_)) => self.on_request(&context, fx),
            Standing::Served => self.on_request(&context, fx),
            Standing::Quarantined => {
                self.counters.quarantined += 1;
                self.turn_away(&context, Reason::UnknownDevice, fx);
            }
            Standing::Clash => {
                self.counters.clashes += 1;
                // A 109 may lack a serial, so it does not prove a clash.
                if frame.code != Code::Confirm {
                    self.alarm_clash(&context, fx);
                }
                self.turn_away(&context, Reason::MachineClash, fx);
            }
        }
    }

    fn on_request(&mut self, context: &Context, fx: &mut Effects) {
        match &context.frame.body {
            Body::Boot { time } => self.on_boot(context, time, fx),
            Body::Inquiry { card } => self.on_inquiry(context, *card, fx),
            Body::Charge { card, amount, time, mode } => {
                self.on_charge(context, *card, *amount, time, mode.as_deref(), fx);
                self.check_device_clock(context, fx);
            }
            Body::Meal { card, time } => {
                self.on_meal(context, *card, time, fx);
                self.check_device_clock(context, fx);
            }
            Body::Offline(sale) => self.on_offline(context, sale, fx),
            Body::Keys { keys } => self.on_keys(context, keys, fx),
            Body::Confirm { rest } => self.on_confirm(context, rest, fx),
            Body::Scan { command, amount, time, code } => {
                self.on_scan(context, command, *amount, time, code, fx);
                self.check_device_clock(context, fx);
            }
            Body::Access(access) => {
                self.tables.devices.get_mut(context.device).is_board = true;
                self.on_access(context, access, fx);
                self.check_device_clock(context, fx);
            }
            Body::Malformed(malformed) => self.on_malformed(context, malformed, fx),
        }
    }

    /// The row of the frame's device and its standing; `None` if there is no room for another
    /// device.
    fn identify(&mut self, now: &Now, peer: Peer, frame: &DeviceFrame, fx: &mut Effects) -> Option<(usize, Standing)> {
        // Its entries need a place in the book, which also holds devices that were not heard since
        // the start.
        if !self.tables.book.has_place_for(frame.machine) {
            return None;
        }
        let known = self.tables.devices.find(frame.machine);
        let device = match known {
            Some(device) => device,
            None if self.tables.devices.is_full() => self.replace_idle_device(now, peer, frame, fx)?,
            None => self.tables.devices.add(frame.machine, peer, &self.rules),
        };
        let (serial, address) = (frame.serial.as_ref(), *peer.source.ip());
        let standing = self.tables.devices.get(device).standing(&self.rules, now.mono, serial, address);
        if standing == Standing::Served && self.tables.devices.get_mut(device).serve(now.mono, serial, peer) {
            self.end_all(now, device, fx);
        }
        Some((device, standing))
    }

    /// Replaces the device that was idle longest, never a registered one. A device with a sale in
    /// doubt or a pending command is replaced only by a registered one: new numbers, which anybody
    /// can send, must neither end what is going on nor keep out devices that the operator
    /// registered. The doubts themselves stay in the book.
    fn replace_idle_device(&mut self, now: &Now, peer: Peer, frame: &DeviceFrame, fx: &mut Effects) -> Option<usize> {
        let devices = self.tables.devices.rows();
        // Whether it has a pending command, whether it has a sale in doubt, and when it was last
        // served. The lowest is replaced.
        let rank = |row: &usize| {
            let device = &devices[*row];
            let is_at_work = !device.slots().is_empty();
            (is_at_work, self.tables.book.has_doubts(device.machine), device.served)
        };
        let unregistered = (0..devices.len()).filter(|row| devices[*row].rule.is_none());
        let row = unregistered.min_by_key(rank)?;
        let (is_at_work, is_in_doubt, _) = rank(&row);
        if (is_at_work || is_in_doubt) && self.rules.device(frame.machine).is_none() {
            return None;
        }
        self.end_all(now, row, fx);
        let device = self.tables.devices.get_mut(row);
        if let Some(timer) = device.left_out.timer.take() {
            self.tables.wheel.cancel(timer);
        }
        for (place, count) in device.left_out.take().into_iter().enumerate() {
            self.leave_out(now, place, count);
        }
        self.tables.devices.replace(row, frame.machine, peer, &self.rules);
        Some(row)
    }

    // ---------------------------------------------------------------- timers

    /// Handles one deadline that has passed; `false` if none has.
    fn on_timer(&mut self, now: &Now, fx: &mut Effects) -> bool {
        let Some(timer) = self.tables.wheel.pop_due(now.mono) else { return false };
        self.watch_clock(now, fx);
        match timer {
            Timer::Resend(slot) => self.resend(now, slot, fx),
            // No later turn of this process writes them either.
            Timer::LeftOut(_) if self.room == Room::Nothing => (),
            Timer::LeftOut(device) if self.room == Room::Reserve => self.put_off_left_out(now, device),
            Timer::LeftOut(device) => {
                self.left_out_of(device).timer = None;
                self.write_left_out(now, device, fx);
            }
            Timer::ClockWarn => self.clock.warn_unset(),
            Timer::Degraded => self.log_degraded(now),
            Timer::RolledBack => self.log_rolled_back(now),
            Timer::Clear => self.clear_some(now, fx),
            Timer::ClockPoll => {
                self.clock.polling = None;
                match self.clock.state {
                    ClockState::Ok => self.send_owed_times(now, fx),
                    ClockState::Unset => self.poll_clock(now),
                }
            }
        }
        true
    }

    /// Logs every hour that good copies are served, until a reload installs the files themselves.
    fn log_degraded(&mut self, now: &Now) {
        let Degraded { config, cards } = self.origin.degraded;
        if self.origin.degraded.is_any() {
            error!("degraded config={config} cards={cards}: good copies are served; correct the files, then reload");
            self.tables.wheel.arm(now.mono.plus_ms(DEGRADED_LOG_MS), Timer::Degraded);
        }
    }

    /// Logs every hour that the ledger is an older copy, until a person acknowledges it.
    fn log_rolled_back(&mut self, now: &Now) {
        if let Some((gone, start)) = self.tables.book.rolled_back() {
            error!(
                "rolled-back seqs={gone} start={start}: the ledger is an older copy and lacks these entries; `posgate ctl acknowledge` ends this message"
            );
            self.tables.wheel.arm(now.mono.plus_ms(DEGRADED_LOG_MS), Timer::RolledBack);
        }
    }

    /// When [`Server::finish_turn`] must be called at the latest; `None`: no deadline is armed.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.tables.wheel.next_deadline()
    }

    /// Whether the next `Now` needs the kernel's word on its clock. If not, the caller need not ask
    /// for it.
    pub fn wants_kernel_clock(&self) -> bool {
        self.clock.wants_kernel()
    }

    fn may_log(&mut self, now: &Now, source: Ipv4Addr) -> bool {
        let allowed = self.tables.sources.may_log(now.mono, source, self.rules.rate_source);
        if let Some(left_out @ 1..) = allowed {
            info!("log-suppressed source={source} lines={left_out}");
        }
        allowed.is_some()
    }

    // ---------------------------------------------------------------- for the loop, tests and status

    /// The book.
    pub fn book(&self) -> &Book {
        &self.tables.book
    }

    /// The cards in service.
    pub fn cards(&self) -> &CardTable {
        &self.tables.cards
    }

    /// The rules in service.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Counts since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Which good copies are served instead of files.
    pub fn degraded(&self) -> Degraded {
        self.origin.degraded
    }

    /// The files of the configuration and the card table in service.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// When the configuration and the table in service were installed; `None` before
    /// [`Server::start`].
    pub fn loaded(&self) -> Option<Stamp> {
        self.loaded
    }

    /// Whether the clock is believed.
    pub fn clock_state(&self) -> ClockState {
        self.clock.state
    }

    /// The values of `$name` and `$device`.
    fn names<'a>(&'a self, context: &'a Context, row: Option<&'a CardRow>) -> Values<'a> {
        self.names_at(context.device, &context.frame.machine, row)
    }

    fn names_at<'a>(&'a self, device: usize, machine: &'a MachineNo, row: Option<&'a CardRow>) -> Values<'a> {
        let device = match self.device_rule(device) {
            Some(rule) if !rule.name_gbk.is_empty() => rule.name_gbk.as_slice(),
            _ => machine.as_bytes(),
        };
        Values { name: row.map_or(&[], |row| self.tables.cards.name(row)), device, ..Values::default() }
    }
}

/// The device's time when it sent the frame. A stored sale has the time of the sale instead.
fn live_time<'f>(body: &'f Body) -> Option<&'f DeviceTime> {
    match body {
        Body::Boot { time } | Body::Charge { time, .. } | Body::Meal { time, .. } | Body::Scan { time, .. } => {
            Some(time)
        }
        Body::Access(access) => Some(&access.time),
        Body::Inquiry { .. } | Body::Offline(_) | Body::Keys { .. } | Body::Confirm { .. } | Body::Malformed(_) => None,
    }
}
