//! The server as a plain value: bytes and time come in, effects go out, in order.
//!
//! It opens no socket, touches no file and reads no clock. A request is judged in this order: malformed, device
//! (design.md, section 13), duplicate (8), doubt (8), the ladder of rules (6). Whatever it decides it first applies to
//! the book as the entry that the ledger will hold, so memory and replay cannot differ.

mod access;
mod clock;
mod counters;
mod device;
mod effects;
mod offline;
mod outbox;
mod sale;
mod sources;
mod texts;

use core::net::Ipv4Addr;

use log::{debug, info, log_enabled, trace, warn};

use clock::ClockWatch;
pub use counters::Counters;
use device::{Devices, LIMITED, Minute, Standing};
pub use effects::{Effects, Mailbag, Peer};
use outbox::{About, Outbox};
use sources::Sources;
use texts::{Values, fill};

use crate::book::{Book, FrameId, Mismatch, Moment, Seen};
use crate::limits::{LIMITED_IN_ALL, LIMITED_PER_DEVICE, TIMERS_MAX, TURN_BATCH};
use crate::model::card::CardRow;
use crate::model::ids::text_from_lossy;
use crate::model::{
    Balance, CardRecord, CardTable, ClockState, DeviceTime, Entry, Kind, Money, Mono, Now, Reason, Rules,
};
use crate::wheel::{TimerId, Wheel};
use crate::wire::{self, Body, Buffer, Code, DeviceFrame, Malformed, NotAFrame, Reply, Request};

/// A device is told the time at most this often for frames whose time is off.
const CLOCK_TOLD_MS: u64 = 3_600_000;
/// How often the clock is looked at while a device waits for it to be set.
const CLOCK_POLL_MS: u64 = 10_000;
/// An unset clock is warned about after this long.
const CLOCK_WARN_MS: u64 = 600_000;
/// Enquiries and keys are answered from memory for so long (design.md, section 8).
const ECHO_MS: u64 = 10_000;
/// Another device under a machine number is an alarm at most this often.
const CLASH_TOLD_MS: u64 = 60_000;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// A command in this place of the outbox waits for its 109.
    Resend(u16),
    /// A minute with entries left out is over, for the device in this row.
    LeftOut(u16),
    /// The clock was unset for long enough to say so.
    ClockWarn,
    /// A device waits for the clock to be set.
    ClockPoll,
}

/// The big tables, all of fixed size. All zero bits is their empty state, so a `static` of them costs no space in
/// the program and no memory until used.
pub struct Tables {
    book: Book,
    cards: CardTable,
    devices: Devices,
    outbox: Outbox,
    wheel: Wheel<Timer, TIMERS_MAX>,
    sources: Sources,
}

impl Tables {
    /// Empty.
    pub const fn new() -> Self {
        Self {
            book: Book::new(),
            cards: CardTable::new(),
            devices: Devices::new(),
            outbox: Outbox::new(),
            wheel: Wheel::new(),
            sources: Sources::new(),
        }
    }

    /// Empty again.
    pub fn clear(&mut self) {
        self.book.clear();
        self.cards.install(&[], |_| 0);
        self.devices.clear();
        self.outbox.clear();
        self.wheel.clear();
        self.sources.clear();
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self::new()
    }
}

/// What the configuration and the table came from: goes into `start` and `reload` entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// CRC-32 of the card file.
    pub cards_crc: u32,
    /// CRC-32 of the configuration file.
    pub config_crc: u32,
}

/// Why a new table was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallError {
    /// With those that ever moved, more accounts than fit.
    TooManyAccounts {
        /// As many would be needed.
        needed: usize,
    },
    /// The new table lacks more than a tenth of the cards in service (design.md, section 5).
    LosesCards {
        /// Cards in service that the new table lacks.
        lost: usize,
        /// Cards in service.
        of: usize,
    },
}

impl core::fmt::Display for InstallError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooManyAccounts { needed } => write!(
                f,
                "the table and the ledger have {needed} accounts: at most {} fit",
                crate::limits::ACCOUNTS_MAX
            ),
            Self::LosesCards { lost, of } => write!(
                f,
                "the new table lacks {lost} of {of} cards in service, more than a tenth: restart posgate to accept it"
            ),
        }
    }
}

/// What goes with a frame while it is handled.
struct Context<'a> {
    now: Now,
    clock: ClockState,
    peer: Peer,
    /// The device's row.
    device: usize,
    frame: &'a DeviceFrame<'a>,
    /// The datagram.
    raw: &'a [u8],
    /// Whether the machine number belongs to the frame's device.
    is_served: bool,
}

impl Context<'_> {
    /// An entry of what the frame's head says.
    fn draft(&self, kind: Kind) -> Entry {
        let mut entry = Entry::new(kind, self.now.stamp, self.clock);
        entry.machine = Some(self.frame.machine);
        entry.serial.clone_from(&self.frame.serial);
        entry.frame = Some(self.frame.seq);
        entry
    }
}

/// The server.
pub struct Server<'t> {
    tables: &'t mut Tables,
    rules: Rules,
    origin: Origin,
    clock: ClockWatch,
    counters: Counters,
    minute: Minute,
    clock_timers: ClockTimers,
}

/// The server's own timers on their way.
#[derive(Debug, Default)]
struct ClockTimers {
    is_polling: bool,
    warning: Option<TimerId>,
}

impl<'t> Server<'t> {
    /// A server without cards over empty tables. Next come [`Server::restore`] for every entry of the ledger,
    /// [`Server::install`] and [`Server::start`].
    pub fn new(tables: &'t mut Tables, rules: Rules) -> Self {
        tables.clear();
        let mut server = Self {
            tables,
            rules,
            origin: Origin::default(),
            clock: ClockWatch::default(),
            counters: Counters::default(),
            minute: Minute::default(),
            clock_timers: ClockTimers::default(),
        };
        server.pin_registered();
        server
    }

    /// Applies an entry of the ledger, in order.
    ///
    /// # Errors
    /// If the entry contradicts those before it.
    pub fn restore(&mut self, entry: &Entry) -> Result<(), Mismatch> {
        self.tables.book.apply(entry, None)
    }

    /// Takes rules and cards into service, whole or not at all. `is_forced` skips the check of a tenth.
    ///
    /// # Errors
    /// If the table must not be taken; the old one stays.
    pub fn install(
        &mut self,
        rules: Rules,
        records: &[CardRecord],
        origin: Origin,
        is_forced: bool,
    ) -> Result<(), InstallError> {
        if !is_forced {
            let mut numbers: Vec<u64> = records.iter().map(|record| record.card.value()).collect();
            numbers.sort_unstable();
            let rows = self.tables.cards.rows();
            let lost = rows.iter().filter(|row| numbers.binary_search(&row.card).is_err()).count();
            if lost * 10 > rows.len() {
                return Err(InstallError::LosesCards { lost, of: rows.len() });
            }
        }
        let installed = self.tables.book.install(&mut self.tables.cards, records);
        installed.map_err(|needed| InstallError::TooManyAccounts { needed })?;
        self.rules = rules;
        self.origin = origin;
        self.tables.devices.install(&self.rules);
        self.pin_registered();
        Ok(())
    }

    fn pin_registered(&mut self) {
        self.tables.book.pin(self.rules.devices.iter().map(|device| device.machine));
    }

    /// Writes the `start` entry.
    pub fn start(&mut self, now: &Now, fx: &mut Effects) {
        self.watch_clock(now, fx);
        let entry = self.service_entry(Kind::Start, now);
        self.append(entry, now, fx);
    }

    /// Writes the `reload` entry, after [`Server::install`].
    pub fn reloaded(&mut self, now: &Now, fx: &mut Effects) {
        self.watch_clock(now, fx);
        let entry = self.service_entry(Kind::Reload, now);
        self.append(entry, now, fx);
    }

    fn service_entry(&self, kind: Kind, now: &Now) -> Entry {
        let mut entry = Entry::new(kind, now.stamp, self.clock.state);
        let unopened = self.tables.book.accounts().iter().filter_map(crate::book::Account::unopened);
        let (count, sum) = unopened.fold((0, Balance::ZERO), |(count, sum), (balance, _)| (count + 1, sum + balance));
        let hex = |crc: u32| heapless::format!(8; "{crc:08x}").expect("eight digits");
        entry.detail.push("cards", self.tables.cards.rows().len());
        entry.detail.push("cards_crc", hex(self.origin.cards_crc));
        entry.detail.push("config_crc", hex(self.origin.config_crc));
        entry.detail.push("unopened", count);
        entry.detail.push("unopened_sum", sum);
        entry
    }

    /// Writes what was left out of the ledger in this minute, and the `stop` entry.
    pub fn stop(&mut self, now: &Now, fx: &mut Effects) {
        self.watch_clock(now, fx);
        for (place, kind) in LIMITED.into_iter().enumerate() {
            let count: u32 = self.tables.devices.rows().iter().map(|device| device.left_out[place]).sum();
            if count > 0 {
                let mut entry = Entry::new(kind, now.stamp, self.clock.state);
                entry.detail.push("n", count);
                self.append(entry, now, fx);
            }
        }
        let entry = Entry::new(Kind::Stop, now.stamp, self.clock.state);
        self.append(entry, now, fx);
    }

    // ---------------------------------------------------------------- datagrams

    /// A device spoke.
    pub fn handle(&mut self, now: &Now, peer: Peer, datagram: &[u8], fx: &mut Effects) {
        let source = *peer.source.ip();
        if !self.admit(now, source) {
            return;
        }
        self.watch_clock(now, fx);
        match wire::parse(datagram) {
            Err(wrong) => self.drop_frame(now, source, datagram, wrong),
            Ok(Request::Found(found)) => {
                let serial = found.serial.as_deref().unwrap_or("");
                if self.may_log(now, source) {
                    info!("found source={source} serial={serial}");
                }
            }
            Ok(Request::Unknown { code, seq }) => {
                self.counters.unknown_codes += 1;
                self.acknowledge(peer, &Reply::Ack { seq }, fx);
                if self.may_log(now, source) {
                    info!("unknown code={code:03} source={source} bytes={}", datagram.len());
                    trace!("unknown code={code:03} raw=\"{}\"", datagram.escape_ascii());
                }
            }
            Ok(Request::Device(frame)) => self.on_frame(now, peer, &frame, datagram, fx),
        }
    }

    /// A datagram came that is longer than any frame.
    pub fn handle_oversize(&mut self, now: &Now, peer: Peer, datagram: &[u8]) {
        if self.admit(now, *peer.source.ip()) {
            self.drop_frame(now, *peer.source.ip(), datagram, NotAFrame::TooLong);
        }
    }

    /// Whether a datagram of this source is looked at: allowed, and within its rate.
    fn admit(&mut self, now: &Now, source: Ipv4Addr) -> bool {
        self.counters.received += 1;
        if !self.rules.allow.is_empty() && !self.rules.allow.iter().any(|network| network.contains(source)) {
            self.counters.dropped_source += 1;
            return false;
        }
        let is_within = self.tables.sources.admit(now.mono, source, self.rules.rate_source, self.rules.rate_total);
        self.counters.dropped_rate += u64::from(!is_within);
        is_within
    }

    fn drop_frame(&mut self, now: &Now, source: Ipv4Addr, datagram: &[u8], wrong: NotAFrame) {
        let counter = match wrong {
            NotAFrame::TooLong => &mut self.counters.dropped_long,
            NotAFrame::TooShort => &mut self.counters.dropped_short,
            NotAFrame::NoCode => &mut self.counters.dropped_code,
            NotAFrame::NoSeq => &mut self.counters.dropped_seq,
            NotAFrame::NoMachine => &mut self.counters.dropped_machine,
        };
        *counter += 1;
        if datagram.starts_with(b"109") {
            // Nobody knows a 109's layout: if its device turns out to be mute, this is what it said instead.
            if let Some(device) = self.tables.devices.of_address(source) {
                device.stray_confirm = text_from_lossy(datagram);
            }
        }
        if self.may_log(now, source) {
            info!("drop source={source} reason={} bytes={}", wrong.word(), datagram.len());
        }
    }

    fn on_frame(&mut self, now: &Now, peer: Peer, frame: &DeviceFrame, raw: &[u8], fx: &mut Effects) {
        if frame.code != Code::Confirm || self.rules.ack_109 {
            self.acknowledge(peer, &Reply::Ack { seq: frame.seq }, fx);
        }
        let Some((device, standing)) = self.identify(now, peer, frame, fx) else {
            self.counters.full += 1;
            return;
        };
        let is_served = standing == Standing::Served;
        let context = Context { now: *now, clock: self.clock.state, peer, device, frame, raw, is_served };
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
            // Who cannot be understood is told so, whoever it is.
            _ if matches!(frame.body, Body::Malformed(_)) => self.on_request(&context, fx),
            Standing::Served => self.on_request(&context, fx),
            Standing::Quarantined => {
                self.counters.quarantined += 1;
                self.turn_away(&context, Reason::UnknownDevice, fx);
            }
            Standing::Clash => {
                self.counters.clashes += 1;
                // A 109 carries no serial for certain: it proves nothing against its sender.
                if frame.code != Code::Confirm {
                    self.tell_clash(&context, fx);
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
                self.check_device_clock(context, time, fx);
            }
            Body::Meal { card, time } => {
                self.on_meal(context, *card, time, fx);
                self.check_device_clock(context, time, fx);
            }
            Body::Offline(sale) => self.on_offline(context, sale, fx),
            Body::Keys { keys } => self.on_keys(context, keys, fx),
            Body::Confirm { rest } => self.on_confirm(context, rest, fx),
            Body::Scan { command, amount, time, code } => {
                self.on_scan(context, command, *amount, time, code, fx);
                self.check_device_clock(context, time, fx);
            }
            Body::Access(access) => {
                self.on_access(context, access, fx);
                self.check_device_clock(context, &access.time, fx);
            }
            Body::Malformed(malformed) => self.on_malformed(context, malformed, fx),
        }
    }

    fn acknowledge(&mut self, peer: Peer, ack: &Reply, fx: &mut Effects) {
        let mut frame = Buffer::new();
        ack.emit(&mut frame);
        fx.prompt.push(peer, &frame);
        self.counters.acknowledged += 1;
    }

    /// The frame's device and how it stands; `None` if there is no room for another device.
    fn identify(&mut self, now: &Now, peer: Peer, frame: &DeviceFrame, fx: &mut Effects) -> Option<(usize, Standing)> {
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

    /// The device that was idle longest gives way, never a registered one, never one with a sale in doubt.
    fn replace_idle_device(&mut self, now: &Now, peer: Peer, frame: &DeviceFrame, fx: &mut Effects) -> Option<usize> {
        let devices = self.tables.devices.rows();
        let mut idle = (0..devices.len())
            .filter(|row| devices[*row].rule.is_none())
            .collect::<heapless::Vec<_, { crate::limits::DEVICES_MAX }>>();
        idle.sort_unstable_by_key(|row| devices[*row].served);
        let row = idle.into_iter().find(|row| !self.tables.book.has_doubts(devices[*row].machine))?;
        self.end_all(now, row, fx);
        self.write_left_out(now, row, fx);
        self.tables.devices.replace(row, frame.machine, peer, &self.rules);
        Some(row)
    }

    /// A known code whose other fields cannot be read: a refusal, so that the person sees something.
    fn on_malformed(&mut self, context: &Context, malformed: &Malformed, fx: &mut Effects) {
        self.counters.malformed += 1;
        let kind = if context.frame.code == Code::Access { Kind::Refuse } else { Kind::Decline };
        let mut entry = context.draft(kind);
        entry.detail.push("reason", Reason::Malformed.word());
        entry.detail.push("code", context.frame.code.number());
        entry.detail.push("rule", malformed.field);
        self.append_limited(context, entry, fx);
        self.refuse(context, Reason::Malformed, malformed.subject, fx);
        if self.may_log(&context.now, *context.peer.source.ip()) {
            let frame = context.frame;
            let (machine, code) = (frame.machine, frame.code.number());
            info!("malformed machine={machine} frame={} code={code} field={:?}", frame.seq, malformed.field);
        }
    }

    /// Who does not hold the machine number gets a refusal, and nothing that rests on money or opens a door.
    fn turn_away(&mut self, context: &Context, reason: Reason, fx: &mut Effects) {
        let frame = context.frame;
        let mut entry = context.draft(Kind::Decline);
        let subject: &[u8] = match &frame.body {
            Body::Boot { .. } | Body::Keys { .. } | Body::Confirm { .. } | Body::Offline(_) => return,
            Body::Inquiry { card } => {
                let text = fill(
                    &self.rules.texts.inquiry,
                    &Values { card: card.as_bytes(), reason: self.rules.texts.reason(reason), ..Values::default() },
                );
                let trailer = self.rules.texts.display_inquiry.clone();
                let reply = Reply::Show { machine: frame.machine, text: &text, trailer: &trailer };
                self.command(context, &reply, About::default(), fx);
                return;
            }
            Body::Charge { card, amount, time, .. } => {
                entry.card = Some(card.padded());
                entry.device_time = Some(time.raw.clone());
                entry.detail.push("asked", amount.money);
                card.as_bytes()
            }
            Body::Meal { card, time } => {
                entry.card = Some(card.padded());
                entry.device_time = Some(time.raw.clone());
                entry.detail.push("asked", Money::ZERO);
                card.as_bytes()
            }
            Body::Scan { command, amount, time, .. } => {
                entry.slot = Some(text_from_lossy(command.as_bytes()));
                entry.device_time = Some(time.raw.clone());
                entry.detail.push("asked", amount.money);
                command.as_bytes()
            }
            Body::Access(access) => {
                entry.kind = Kind::Refuse;
                entry.card = access.card.map(|card| card.padded());
                entry.device_time = Some(access.time.raw.clone());
                entry.slot = Some(access::slot(access));
                access.card_raw
            }
            Body::Malformed(malformed) => malformed.subject,
        };
        entry.detail.push("reason", reason.word());
        entry.detail.push("code", frame.code.number());
        self.log_refusal(context, &entry, reason);
        self.append_limited(context, entry, fx);
        self.refuse(context, reason, subject, fx);
    }

    /// 006 or 051 of which nothing but the reason is known.
    fn refuse(&mut self, context: &Context, reason: Reason, subject: &[u8], fx: &mut Effects) {
        let frame = context.frame;
        let texts = &self.rules.texts;
        let is_access = frame.code == Code::Access;
        let template = if is_access { &texts.refused } else { &texts.declined };
        let text = fill(template, &Values { card: subject, reason: texts.reason(reason), ..Values::default() });
        let machine = frame.machine;
        if is_access {
            let trailer = texts.display_refused.clone();
            let reply = Reply::Refuse { machine, card: subject, text: &text, trailer: &trailer };
            self.command(context, &reply, About { subject, ..About::default() }, fx);
        } else {
            let trailer = texts.display_declined.clone();
            let reply = Reply::Decline { machine, subject, text: &text, trailer: &trailer };
            self.command(context, &reply, About { subject, ..About::default() }, fx);
        }
    }

    fn tell_clash(&mut self, context: &Context, fx: &mut Effects) {
        let device = self.tables.devices.get_mut(context.device);
        if device.clash_told.is_some_and(|told| context.now.mono.ms_since(told) < CLASH_TOLD_MS) {
            return;
        }
        device.clash_told = Some(context.now.mono);
        let (held, from) = (*device.peer.source.ip(), *context.peer.source.ip());
        let mut entry = context.draft(Kind::Alarm);
        entry.detail.push("rule", Reason::MachineClash.word());
        entry.detail.push("held", held);
        entry.detail.push("from", from);
        self.append_limited(context, entry, fx);
        warn!("machine-clash machine={} held={held} from={from}", context.frame.machine);
    }

    // ---------------------------------------------------------------- boot, keys, clock

    fn on_boot(&mut self, context: &Context, time: &DeviceTime, fx: &mut Effects) {
        self.end_all(&context.now, context.device, fx);
        self.tables.devices.get_mut(context.device).confirms.clear();
        let mut entry = context.draft(Kind::Boot);
        entry.device_time = Some(time.raw.clone());
        self.append_limited(context, entry, fx);
        info!("boot machine={} source={} time={:?}", context.frame.machine, context.peer.source, time.raw.as_str());
        match context.clock {
            ClockState::Ok if self.is_off(context, time) => self.set_clock(&context.now, context.device, fx),
            ClockState::Ok => (),
            ClockState::Unset => {
                self.tables.devices.get_mut(context.device).clock_owed = true;
                self.poll_clock(&context.now);
            }
        }
    }

    fn on_keys(&mut self, context: &Context, keys: &[u8], fx: &mut Effects) {
        let mut entry = context.draft(Kind::Keys);
        let shown: crate::model::Text<32> = text_from_lossy(keys);
        entry.detail.push("keys", shown.as_str());
        let id = FrameId::new(Code::Keys.number(), &entry, Money::ZERO);
        if self.first_answer(context, &id).is_some() {
            self.counters.duplicates += 1;
            return;
        }
        debug!("keys machine={} keys={:?}", context.frame.machine, shown.as_str());
        self.append_limited(context, entry, fx);
    }

    fn is_off(&self, context: &Context, time: &DeviceTime) -> bool {
        let tolerance = u64::from(self.rules.clock_tolerance_s);
        time.civil.is_none_or(|at_device| at_device.distance_s(context.now.stamp.civil()) > tolerance)
    }

    /// A device whose frames are off gets the time, at most hourly.
    fn check_device_clock(&mut self, context: &Context, time: &DeviceTime, fx: &mut Effects) {
        if context.clock == ClockState::Unset || !self.is_off(context, time) {
            return;
        }
        let told = self.tables.devices.get(context.device).clock_told;
        if told.is_none_or(|told| context.now.mono.ms_since(told) >= CLOCK_TOLD_MS) {
            self.set_clock(&context.now, context.device, fx);
        }
    }

    fn set_clock(&mut self, now: &Now, device: usize, fx: &mut Effects) {
        let device = self.tables.devices.get_mut(device);
        device.clock_told = Some(now.mono);
        device.clock_owed = false;
        let mut frame = Buffer::new();
        Reply::SetClock { machine: device.machine, time: now.stamp.civil() }.emit(&mut frame);
        fx.prompt.push(device.peer, &frame);
        debug!("set-clock machine={}", device.machine);
    }

    /// Looks at the clocks before anything else is done with `now`.
    fn watch_clock(&mut self, now: &Now, fx: &mut Effects) {
        let before = self.clock.state;
        let stepped_from = self.clock.look(now);
        let state = self.clock.judge(now, &self.rules, &self.tables.book, stepped_from.is_some());
        if let Some(was) = stepped_from {
            let mut entry = Entry::new(Kind::Clock, now.stamp, state);
            entry.detail.push("was", was.stamp);
            entry.detail.push("now", now.stamp);
            self.append(entry, now, fx);
            info!("clock was={} now={} state={}", was.stamp, now.stamp, state.word());
        }
        match (before, state) {
            (ClockState::Ok, ClockState::Unset) => {
                self.clock_timers.warning = self.tables.wheel.arm(now.mono.plus_ms(CLOCK_WARN_MS), Timer::ClockWarn);
                info!("clock state=unset now={}", now.stamp);
            }
            (ClockState::Unset, ClockState::Ok) => {
                info!("clock state=ok now={}", now.stamp);
                if let Some(timer) = self.clock_timers.warning.take() {
                    self.tables.wheel.cancel(timer);
                }
                self.pay_owed_clocks(now, fx);
            }
            (ClockState::Ok, ClockState::Ok) | (ClockState::Unset, ClockState::Unset) => (),
        }
    }

    fn pay_owed_clocks(&mut self, now: &Now, fx: &mut Effects) {
        for device in 0..self.tables.devices.rows().len() {
            // What finds no room in this turn is paid at the next look.
            if self.tables.devices.get(device).clock_owed && fx.prompt.has_room(TURN_BATCH) {
                self.set_clock(now, device, fx);
            }
        }
        self.poll_clock(now);
    }

    /// Looks at the clock again soon if a device waits for it.
    fn poll_clock(&mut self, now: &Now) {
        if !self.clock_timers.is_polling && self.tables.devices.rows().iter().any(|device| device.clock_owed) {
            let timer = self.tables.wheel.arm(now.mono.plus_ms(CLOCK_POLL_MS), Timer::ClockPoll);
            self.clock_timers.is_polling = timer.is_some();
        }
    }

    // ---------------------------------------------------------------- timers

    /// Handles one deadline that has passed; `false` if none has.
    pub fn on_timer(&mut self, now: &Now, fx: &mut Effects) -> bool {
        let Some(timer) = self.tables.wheel.pop_due(now.mono) else { return false };
        self.watch_clock(now, fx);
        match timer {
            Timer::Resend(slot) => self.resend(now, slot, fx),
            Timer::LeftOut(device) => {
                self.tables.devices.get_mut(usize::from(device)).left_out_timer = None;
                self.write_left_out(now, usize::from(device), fx);
            }
            Timer::ClockWarn => warn!(
                "clock unset for 10 minutes: set it (`date -s`, or let NTP through); meanwhile days and periods follow the terminals"
            ),
            Timer::ClockPoll => {
                self.clock_timers.is_polling = false;
                match self.clock.state {
                    ClockState::Ok => self.pay_owed_clocks(now, fx),
                    ClockState::Unset => self.poll_clock(now),
                }
            }
        }
        true
    }

    /// When [`Server::on_timer`] has something to do next; `None`: only a datagram can bring work.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.tables.wheel.next_deadline()
    }

    /// Whether it matters if the kernel's clock is synchronized; only then need the caller ask.
    pub fn wants_kernel_clock(&self) -> bool {
        self.clock.wants_kernel(&self.rules)
    }

    // ---------------------------------------------------------------- entries

    /// Gives the entry its number, applies it to the book, and lets it be written.
    fn append(&mut self, mut entry: Entry, now: &Now, fx: &mut Effects) -> crate::model::EntrySeq {
        entry.seq = self.tables.book.head().next();
        let applied = self.tables.book.apply(&entry, Some(now.mono));
        applied.expect("an entry that we make follows from the book");
        let seq = entry.seq;
        fx.append(entry);
        seq
    }

    /// The same within the limit a minute; an entry beyond it is counted, and its answer remembered in this run.
    fn append_limited(&mut self, context: &Context, entry: Entry, fx: &mut Effects) {
        let now = &context.now;
        let device = self.tables.devices.get_mut(context.device);
        if device.minute.take(now.mono, LIMITED_PER_DEVICE) && self.minute.take(now.mono, LIMITED_IN_ALL) {
            self.append(entry, now, fx);
            return;
        }
        self.counters.left_out += 1;
        let place = LIMITED.iter().position(|kind| *kind == entry.kind).expect("a limited kind");
        device.left_out[place] = device.left_out[place].saturating_add(1);
        if device.left_out_timer.is_none() {
            let row = u16::try_from(context.device).expect("DEVICES_MAX fits 16 bits");
            let end = device.minute.since.plus_ms(60_000).max(now.mono.plus_ms(1000));
            device.left_out_timer = self.tables.wheel.arm(end, Timer::LeftOut(row));
        }
        if let Some(id) = FrameId::of(&entry) {
            self.remember(context, id, &entry);
        }
    }

    /// Remembers an answer that stands in no entry.
    fn remember(&mut self, context: &Context, id: FrameId, entry: &Entry) {
        if !context.is_served {
            return;
        }
        let at = Moment { mono: Some(context.now.mono), stamp: context.now.stamp, clock: context.clock };
        let echoes = &mut self.tables.devices.get_mut(context.device).echoes;
        if echoes.is_full() {
            echoes.pop_front();
        }
        assert!(echoes.push_back(Seen::new(id, entry, at)).is_ok(), "a place was freed");
    }

    /// The first answer to this frame, if it came before (design.md, section 8).
    fn first_answer(&self, context: &Context, id: &FrameId) -> Option<Seen> {
        let (frame, device) = (context.frame, self.tables.devices.get(context.device));
        let serial = frame.serial.as_ref();
        let seen = self.tables.book.seen(frame.machine, serial, id).or_else(|| device.echo(serial, id))?;
        let is_short_lived = matches!(frame.code, Code::Inquiry | Code::Keys);
        let age = seen.at.age_ms(&context.now, context.clock);
        (!is_short_lived || age.is_none_or(|age| age < ECHO_MS)).then(|| seen.clone())
    }

    fn write_left_out(&mut self, now: &Now, device: usize, fx: &mut Effects) {
        for (place, kind) in LIMITED.into_iter().enumerate() {
            let device = self.tables.devices.get_mut(device);
            let count = core::mem::take(&mut device.left_out[place]);
            if count == 0 {
                continue;
            }
            let mut entry = Entry::new(kind, now.stamp, self.clock.state);
            entry.machine = Some(device.machine);
            entry.serial.clone_from(&device.serial);
            entry.detail.push("n", count);
            self.append(entry, now, fx);
        }
        let device = self.tables.devices.get_mut(device);
        if let Some(timer) = device.left_out_timer.take() {
            self.tables.wheel.cancel(timer);
        }
    }

    fn log_refusal(&mut self, context: &Context, entry: &Entry, reason: Reason) {
        if !self.may_log(&context.now, *context.peer.source.ip()) {
            return;
        }
        let kind = entry.kind.word();
        let (machine, frame) = (context.frame.machine, context.frame.seq);
        match entry.card {
            Some(card) => {
                info!("{kind} machine={machine} card={} frame={frame} reason={}", card.masked(), reason.word());
            }
            None => info!("{kind} machine={machine} frame={frame} reason={}", reason.word()),
        }
    }

    fn may_log(&mut self, now: &Now, source: Ipv4Addr) -> bool {
        let allowed = self.tables.sources.may_log(now.mono, source);
        if let Some(left_out @ 1..) = allowed {
            info!("log source={source} left_out={left_out}");
        }
        allowed.is_some()
    }

    // ---------------------------------------------------------------- for the loop, tests and status

    /// The business state.
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

    /// Counts since start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether the clock is believed.
    pub fn clock_state(&self) -> ClockState {
        self.clock.state
    }

    /// `$name` and `$device` of a reply.
    fn names<'a>(&'a self, context: &'a Context, row: Option<&'a CardRow>) -> Values<'a> {
        let rule = self.tables.devices.get(context.device).rule.map(|rule| &self.rules.devices[usize::from(rule)]);
        let device = match rule {
            Some(rule) if !rule.name_gbk.is_empty() => rule.name_gbk.as_slice(),
            _ => context.frame.machine.as_bytes(),
        };
        Values { name: row.map_or(&[], |row| self.tables.cards.name(row)), device, ..Values::default() }
    }
}
