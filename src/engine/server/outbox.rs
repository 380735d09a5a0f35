//! Commands that wait for the device's 109, and their resends (design.md, section 10).
//!
//! A terminal has one pending command, a board one per reader. A newer command replaces it and a
//! 101 ends it. After a restart nothing is sent again without a request. A 011 is separate: no 109
//! confirms it, and only the device's next 105 ends it.
//!
//! A 008 that was sent for the last time lapses: it gives up its slot here, but a late 109 still
//! confirms it, as long as nothing else went to the device that the 109 could mean.

use log::{debug, info};

use super::device::Device;
use super::effects::{Effects, Outgoing, Peer};
use super::{Context, Server, Timer};
use crate::engine::book::Book;
use crate::engine::limits::{PENDING_MAX, REPLY_LEN_MAX};
use crate::engine::model::text::text_from;
use crate::engine::model::{Entry, EntrySeq, FrameSeq, Kind, Mono, Now, Rules, Serial};
use crate::engine::wheel::TimerId;
use crate::engine::wire::{DeviceFrame, Reply, ReplyCode};

/// Digits of a code.
const CODE_LEN: usize = 3;

/// The number of resends of a 011, and the milliseconds before the first; the next wait is doubled.
const RELEASE_RESENDS: u8 = 2;
const RELEASE_FIRST_MS: u64 = 1000;

/// A newer command replaces an older one in the same lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// All commands of a terminal but the 011.
    Terminal,
    /// A board's reader.
    Reader(u64),
    /// The 011 for a terminal's stored record, which is independent of its live sales.
    Release,
}

/// A pending or lapsed command without its bytes.
#[derive(Clone)]
pub(super) struct Pending {
    device: u16,
    lane: Lane,
    peer: Peer,
    code: ReplyCode,
    /// The card or command number in it, as sent.
    subject: Subject,
    /// The frame that it answers; `None`: an operator sent it.
    answered: Option<FrameSeq>,
    /// The committed entry on which it rests.
    about: Option<EntrySeq>,
    /// When the request that it answers arrived.
    arrived: Mono,
    resends: u8,
    timer: Option<TimerId>,
}

/// A card or command number; the longest readable ones have 20 characters.
type Subject = heapless::Vec<u8, 20, u8>;

impl Pending {
    /// A command before its first sending.
    fn new(to: &Addressee, code: ReplyCode, about: &About) -> Self {
        let lane = match (code, about.reader) {
            (ReplyCode::Release, _) => Lane::Release,
            (_, Some(reader)) => Lane::Reader(reader),
            (_, None) => Lane::Terminal,
        };
        Self {
            device: u16::try_from(to.device).expect("DEVICES_MAX fits 16 bits"),
            lane,
            peer: to.peer,
            code,
            // A longer one is only echoed; no 109 names it.
            subject: Subject::from_slice(about.subject).unwrap_or_default(),
            answered: to.answered,
            about: about.entry,
            arrived: about.arrived.unwrap_or(to.now.mono),
            resends: 0,
            timer: None,
        }
    }

    /// The replies among which it leaves: those that go after the sync if it rests on an entry,
    /// else the prompt ones.
    fn mail<'fx>(&self, fx: &'fx mut Effects) -> &'fx mut Outgoing {
        if self.code.rests_on_entry() { &mut fx.committed } else { &mut fx.prompt }
    }

    /// When it must not leave any more: an admission expires after `door_ttl_ms`, because the
    /// person at the door is gone then.
    fn expires(&self, rules: &Rules) -> Option<Mono> {
        (self.code == ReplyCode::Admit).then(|| self.arrived.plus_ms(u64::from(rules.door_ttl_ms)))
    }

    /// Whether it answers an older frame than `newer`, in the same lane.
    fn is_before(&self, newer: &Self) -> bool {
        let is_older = |(frame, newer): (FrameSeq, FrameSeq)| frame.is_behind(&newer);
        self.lane == newer.lane && self.answered.zip(newer.answered).is_some_and(is_older)
    }

    /// Milliseconds between its first sending and its first resend.
    fn first_resend_ms(&self, rules: &Rules) -> u64 {
        if self.code == ReplyCode::Release { RELEASE_FIRST_MS } else { u64::from(rules.resend_first_ms) }
    }

    /// Whether it was sent for the last time. A mute device gets at most one resend.
    fn is_spent(&self, now: Mono, rules: &Rules, is_mute: bool) -> bool {
        let resends_max = match self.code {
            ReplyCode::Release => RELEASE_RESENDS,
            _ if is_mute => rules.resend_max.min(1),
            _ => rules.resend_max,
        };
        let is_door = matches!(self.code, ReplyCode::Admit | ReplyCode::Refuse);
        let is_late = is_door && now.ms_since(self.arrived) >= u64::from(rules.door_ttl_ms);
        is_late || self.resends >= resends_max
    }

    /// Whether it approves this sale.
    fn approves(&self, sale: EntrySeq) -> bool {
        self.code == ReplyCode::Approve && self.about == Some(sale)
    }

    /// Adds the number of resends to an entry.
    fn enter_resends(&self, entry: &mut Entry) {
        if self.resends > 0 {
            entry.detail.push("resent", self.resends);
        }
    }

    /// Whether a 109's field is this command's card or command number.
    fn is_about(&self, name: &[u8]) -> bool {
        let value = number(name);
        name == self.subject || (value.is_some() && value == number(&self.subject))
    }

    /// Whether a 109's field is this command's code.
    fn has_code(&self, name: &[u8]) -> bool {
        number(name) == Some(u64::from(self.code.number()))
    }

    /// Whether a 109's field is this command's code or its machine.
    fn is_named(&self, name: &[u8], machine: u64) -> bool {
        self.has_code(name) || number(name) == Some(machine)
    }
}

/// The value of up to ten digits.
fn number(text: &[u8]) -> Option<u64> {
    FrameSeq::parse(text).map(|digits| digits.value())
}

/// Where a command that a 109 confirms is kept.
#[derive(Clone, Copy)]
enum Location {
    /// In this slot of the outbox.
    Slot(u16),
    /// With its device.
    Lapsed,
}

/// A slot for a command. Its bytes are never moved.
struct Slot {
    /// `None`: the slot is free.
    pending: Option<Pending>,
    /// The datagram; the bytes after `len` mean nothing.
    bytes: [u8; REPLY_LEN_MAX],
    len: u16,
}

/// All pending commands.
pub(super) struct Outbox {
    slots: heapless::Vec<Slot, PENDING_MAX>,
    free: heapless::Vec<u16, PENDING_MAX>,
}

impl Outbox {
    pub(super) const fn new() -> Self {
        Self { slots: heapless::Vec::new(), free: heapless::Vec::new() }
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.free.clear();
    }

    fn add(&mut self, pending: Pending, frame: &[u8]) -> Option<u16> {
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                let number = u16::try_from(self.slots.len()).expect("PENDING_MAX fits 16 bits");
                self.slots.push(Slot { pending: None, bytes: [0; REPLY_LEN_MAX], len: 0 }).ok()?;
                number
            }
        };
        let slot = &mut self.slots[usize::from(number)];
        slot.pending = Some(pending);
        slot.bytes[..frame.len()].copy_from_slice(frame);
        slot.len = frame.len() as u16;
        Some(number)
    }

    fn is_full(&self) -> bool {
        self.free.is_empty() && self.slots.is_full()
    }

    /// A command that rests on nothing.
    fn any_refusal(&self) -> Option<u16> {
        self.place_of(|pending| !pending.code.rests_on_entry())
    }

    fn take(&mut self, slot: u16) -> Option<Pending> {
        let pending = self.slots.get_mut(usize::from(slot))?.pending.take()?;
        self.free.push(slot).expect("as many free slots as slots");
        Some(pending)
    }

    fn get(&self, slot: u16) -> Option<&Pending> {
        self.slots.get(usize::from(slot))?.pending.as_ref()
    }

    fn get_mut(&mut self, slot: u16) -> Option<&mut Pending> {
        self.slots.get_mut(usize::from(slot))?.pending.as_mut()
    }

    /// The datagram of a command.
    fn frame(&self, slot: u16) -> &[u8] {
        let slot = &self.slots[usize::from(slot)];
        &slot.bytes[..usize::from(slot.len)]
    }

    /// The commands in these slots.
    fn at(&self, slots: &[u16]) -> impl Iterator<Item = (u16, &Pending)> {
        slots.iter().filter_map(|slot| Some((*slot, self.get(*slot)?)))
    }

    /// The slot with a command of this lane.
    fn in_lane(&self, slots: &[u16], lane: Lane) -> Option<u16> {
        self.at(slots).find(|(_, pending)| pending.lane == lane).map(|(slot, _)| slot)
    }

    /// Whether a command in one of these slots waits for its 109.
    pub(super) fn awaits_confirm(&self, slots: &[u16]) -> bool {
        self.at(slots).any(|(_, pending)| pending.lane != Lane::Release)
    }

    /// The slot of the command that approves this sale.
    fn approval_of(&self, sale: EntrySeq) -> Option<u16> {
        self.place_of(|pending| pending.approves(sale))
    }

    fn place_of(&self, is_meant: impl Fn(&Pending) -> bool) -> Option<u16> {
        let place = self.slots.iter().position(|slot| slot.pending.as_ref().is_some_and(&is_meant))?;
        Some(u16::try_from(place).expect("PENDING_MAX fits 16 bits"))
    }

    /// Whether the command in this slot stays instead of being replaced by `new`: `new` answers the
    /// same frame, sent again, or an older one, which came late or again. The answer to the older
    /// frame goes once, and the newer command stays pending, because the device waits for it and
    /// confirms it. A device that started numbers its frames from the beginning, but its 101 ended
    /// the pending commands.
    fn keeps(&mut self, slot: u16, new: &Pending, frame: &[u8]) -> bool {
        let is_same_frame = frame == self.frame(slot);
        let Some(pending) = self.get_mut(slot) else { return false };
        let is_same = is_same_frame && new.answered.is_some() && pending.answered == new.answered;
        if is_same {
            // The device now receives at the source of this frame.
            pending.peer = new.peer;
        }
        is_same || new.is_before(pending)
    }

    /// The command that a 109 with these fields confirms.
    fn confirmed_by(&self, device: &Device, frame: &DeviceFrame, rest: &[u8], book: &Book) -> Option<Location> {
        let machine = device.machine.value();
        let is_serial = |field: &[u8]| device.serial.as_ref().is_some_and(|serial| serial.is(field));
        let names = || {
            fields_of(rest)
                .filter(move |field| !field.is_empty() && field.iter().all(u8::is_ascii_digit) && !is_serial(field))
        };
        // Mostly nothing follows the head, or only the serial.
        let is_bare = rest.is_empty() || is_serial(rest) || names().next().is_none();
        let find = |is_meant: &dyn Fn(&Pending) -> bool| {
            let pending = self.at(device.slots()).map(|(slot, pending)| (Location::Slot(slot), pending));
            let mut waiting = pending.chain(device.lapsed.iter().map(|lapsed| (Location::Lapsed, lapsed)));
            let found = waiting.find(|(_, pending)| {
                let is_older = pending.answered.is_some_and(|answered| frame.seq.is_behind(&answered));
                pending.lane != Lane::Release && !is_older && is_meant(pending)
            });
            found.map(|(place, _)| place)
        };
        if is_bare {
            return find(&|_| true);
        }
        // A field that equals a pending command's code is that code, not a card with this number.
        let is_code = |name: &[u8]| name.len() == CODE_LEN && find(&|pending| pending.has_code(name)).is_some();
        // Of a board's commands, one with a named card comes before one of which only the code is
        // named.
        let by_subject = find(&|pending| names().any(|name| pending.is_about(name) && !is_code(name)));
        by_subject.or_else(|| {
            // A late 109 may name the code too. If it names the card of an earlier answer, it
            // confirms that answer.
            let is_earlier = |name: &[u8]| {
                number(name) != Some(machine) && !is_code(name) && book.has_answered(device.machine, name)
            };
            if names().any(is_earlier) {
                None
            } else {
                find(&|pending| names().any(|name| pending.is_named(name, machine)))
            }
        })
    }
}

/// Facts about a command besides its bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct About<'a> {
    /// The committed entry on which it rests.
    pub(super) entry: Option<EntrySeq>,
    /// The card or command number in it.
    pub(super) subject: &'a [u8],
    /// The board's reader.
    pub(super) reader: Option<u64>,
    /// When the request that it answers arrived; `None`: now.
    pub(super) arrived: Option<Mono>,
    /// Whether the device has confirmed it before, so that it is sent only once.
    pub(super) is_settled: bool,
}

/// The device that gets a command.
pub(super) struct Addressee {
    now: Now,
    peer: Peer,
    /// The device's row.
    device: usize,
    /// Whether the device holds the machine number.
    is_served: bool,
    /// The frame that the command answers.
    answered: Option<FrameSeq>,
}

impl Addressee {
    /// A device that sent no request.
    pub(super) fn unasked(now: &Now, device: usize, peer: Peer) -> Self {
        Self { now: *now, peer, device, is_served: true, answered: None }
    }
}

impl Server<'_> {
    /// Answers a frame with a command that is sent again until it is confirmed: 006, 008, 009, 011,
    /// 050, 051.
    pub(super) fn command(&mut self, context: &Context, reply: &Reply, about: About, fx: &mut Effects) {
        let addressee = Addressee {
            now: context.now,
            peer: context.peer,
            device: context.device,
            is_served: context.is_served,
            answered: Some(context.frame.seq),
        };
        self.command_to(&addressee, reply, about, fx);
    }

    /// Sends a command, which is sent again until it is confirmed.
    pub(super) fn command_to(&mut self, to: &Addressee, reply: &Reply, about: About, fx: &mut Effects) {
        let new = Pending::new(to, reply.code(), &about);
        new.mail(fx).push_until(new.peer, reply, new.expires(&self.rules));
        // A device that does not hold the machine number gets no resends.
        if !to.is_served {
            return;
        }
        let device = self.tables.devices.get_mut(to.device);
        // From now on a 109 may mean this command.
        let lapsed = device.lapsed.take();
        // A command that was confirmed before needs no slot.
        if about.is_settled {
            return;
        }
        if matches!(new.code, ReplyCode::Approve | ReplyCode::Admit) {
            device.count_approval();
        }
        // The frame is older and came late. A 109 could now mean either of two commands, so it
        // confirms neither.
        if lapsed.is_some_and(|lapsed| new.is_before(&lapsed)) {
            return;
        }
        if let Some(slot) = self.tables.outbox.in_lane(device.slots(), new.lane) {
            if self.tables.outbox.keeps(slot, &new, new.mail(fx).newest()) {
                return;
            }
            self.end(&to.now, slot, fx);
        }
        if let Some(oldest) = self.tables.devices.get(to.device).slot_to_free() {
            self.end(&to.now, oldest, fx);
        }
        if self.tables.outbox.is_full() && new.code.rests_on_entry() {
            // Anybody can cause refusals, so a result that rests on an entry takes the slot of one.
            if let Some(refusal) = self.tables.outbox.any_refusal() {
                self.end(&to.now, refusal, fx);
            }
        }
        let first_ms = new.first_resend_ms(&self.rules);
        // The ends above lead to entries, not to replies: this one is still the newest.
        let frame = new.mail(fx).newest();
        let Some(slot) = self.tables.outbox.add(new, frame) else {
            self.counters.full += 1;
            return;
        };
        self.arm_resend(&to.now, slot, first_ms);
        self.tables.devices.get_mut(to.device).add_slot(slot);
    }

    fn arm_resend(&mut self, now: &Now, slot: u16, after_ms: u64) {
        let pending = self.tables.outbox.get_mut(slot).expect("the caller just found it");
        pending.timer = self.tables.wheel.arm(now.mono.plus_ms(after_ms), Timer::Resend(slot));
    }

    /// Sends a command again when its timer is due.
    pub(super) fn resend(&mut self, now: &Now, slot: u16, fx: &mut Effects) {
        let Some(pending) = self.tables.outbox.get(slot) else { return };
        let device = self.tables.devices.get(usize::from(pending.device));
        let machine = device.machine;
        if pending.is_spent(now.mono, &self.rules, device.is_mute(&self.tables.book)) {
            self.lapse(now, slot, fx);
            return;
        }
        let (frame, expires) = (self.tables.outbox.frame(slot), pending.expires(&self.rules));
        pending.mail(fx).push_again(pending.peer, frame, expires);
        let (code, answered, resends) = (pending.code, pending.answered, pending.resends + 1);
        let next_ms = pending.first_resend_ms(&self.rules) << resends.min(16);
        self.tables.outbox.get_mut(slot).expect("it was just found").resends = resends;
        self.arm_resend(now, slot, next_ms);
        self.counters.resent += 1;
        match answered {
            Some(frame) => debug!("resend machine={machine} code={code} frame={frame} resends={resends}"),
            None => debug!("resend machine={machine} code={code} resends={resends}"),
        }
    }

    /// Ends a command that was sent for the last time. A late 109 still confirms a sale; otherwise
    /// an equal new sale would count as its retry and not be charged. But not if the 109 could mean
    /// another command, since a retry of this sale would then be charged twice; nor for a mute
    /// device, whose silence means nothing.
    fn lapse(&mut self, now: &Now, slot: u16, fx: &mut Effects) {
        let is_sale = |pending: &&Pending| pending.code == ReplyCode::Approve && pending.about.is_some();
        let lapsed = self.tables.outbox.get(slot).filter(is_sale).cloned();
        self.end(now, slot, fx);
        let Some(lapsed) = lapsed else { return };
        let device = self.tables.devices.get_mut(usize::from(lapsed.device));
        if !device.is_mute(&self.tables.book) && device.slots().is_empty() {
            // The `unconfirmed` entry already has the number of resends.
            device.lapsed = Some(Pending { timer: None, resends: 0, ..lapsed });
        }
    }

    /// Ends all commands of a device: it started, or another device took its number.
    pub(super) fn end_all(&mut self, now: &Now, device: usize, fx: &mut Effects) {
        self.tables.devices.get_mut(device).lapsed = None;
        while let Some(slot) = self.tables.devices.get(device).slots().first().copied() {
            self.end(now, slot, fx);
        }
    }

    /// Ends the command that approves a sale that was voided. The void is entered, so this needs no
    /// `unconfirmed` entry.
    pub(super) fn end_approval(&mut self, sale: EntrySeq) {
        while let Some(slot) = self.tables.outbox.approval_of(sale) {
            self.forget(slot);
        }
        for device in self.tables.devices.rows_mut() {
            device.lapsed.take_if(|lapsed| lapsed.approves(sale));
        }
    }

    /// Ends a device's 011, because its next 105 came.
    pub(super) fn end_release(&mut self, now: &Now, device: usize, fx: &mut Effects) {
        let slots = self.tables.devices.get(device).slots();
        if let Some(slot) = self.tables.outbox.in_lane(slots, Lane::Release) {
            self.end(now, slot, fx);
        }
    }

    /// Ends a command without a 109.
    fn end(&mut self, now: &Now, slot: u16, fx: &mut Effects) {
        let Some(pending) = self.forget(slot) else { return };
        if pending.code == ReplyCode::Release {
            return;
        }
        self.counters.unconfirmed += 1;
        let device = self.tables.devices.get_mut(usize::from(pending.device));
        if device.is_mute(&self.tables.book) {
            device.warn_mute();
        } else if let Some(about) = pending.about {
            let machine = device.machine;
            let mut entry = Entry::new(Kind::Unconfirmed, now.stamp, self.clock.state);
            entry.machine = Some(machine);
            entry.serial = device.serial;
            entry.about = Some(about);
            pending.enter_resends(&mut entry);
            self.append(&mut entry, now, fx);
            info!("unconfirmed machine={machine} ref={about} code={} resends={}", pending.code, pending.resends);
        }
    }

    fn forget(&mut self, slot: u16) -> Option<Pending> {
        let pending = self.tables.outbox.take(slot)?;
        if let Some(timer) = pending.timer {
            self.tables.wheel.cancel(timer);
        }
        self.tables.devices.get_mut(usize::from(pending.device)).remove_slot(slot);
        Some(pending)
    }

    /// A 109 confirms its device's pending command, unless the 109 came before, is older than the
    /// answered frame, names only other things, or names the card or command number of another
    /// answer.
    pub(super) fn on_confirm(&mut self, context: &Context, rest: &[u8], fx: &mut Effects) {
        let (now, frame) = (&context.now, context.frame);
        let device = self.tables.devices.get_mut(context.device);
        let is_repeat = !device.hear_confirm(frame.seq);
        let place =
            if is_repeat { None } else { self.tables.outbox.confirmed_by(device, frame, rest, &self.tables.book) };
        let confirmed = place.and_then(|place| match place {
            Location::Slot(slot) => self.forget(slot),
            Location::Lapsed => self.tables.devices.get_mut(context.device).lapsed.take(),
        });
        let Some(pending) = confirmed else {
            self.counters.stray_confirms += 1;
            self.tables.devices.get_mut(context.device).keep_stray_confirm(context.raw);
            debug!("confirm-ignored machine={} frame={} repeat={is_repeat}", frame.machine, frame.seq);
            return;
        };
        self.counters.confirmed += 1;
        debug!("confirm machine={} frame={} code={}", frame.machine, frame.seq, pending.code);
        if let Some(about) = pending.about {
            let mut entry = context.draft(Kind::Confirm);
            entry.serial = serial_in(rest, self.tables.devices.get(context.device).serial.as_ref());
            entry.about = Some(about);
            pending.enter_resends(&mut entry);
            self.append(&mut entry, now, fx);
        }
        self.send_due_time(now, context.device, fx);
    }
}

/// The device's serial as received, if it is among a 109's fields.
fn serial_in(rest: &[u8], known: Option<&Serial>) -> Option<Serial> {
    let known = known?;
    let field = fields_of(rest).find(|field| known.is(field))?;
    text_from(field).map(Serial::from)
}

fn fields_of(rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    rest.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}
