//! Commands that wait for the device's 109, and their resending (design.md, section 10).
//!
//! One command a terminal, one a reader of a board. A newer one replaces it, a 101 ends it, and after a restart
//! nothing is sent again unasked: the device asks. A 011 goes beside them: no 109 confirms it, and only the
//! device's next 105 ends it.
//!
//! A 008 that was sent for the last time lapses: it takes no place here any more, and a late 109 confirms it all the same, as long as
//! nothing else went to the device that the 109 could mean.

use log::{debug, info, warn};

use super::device::Device;
use super::effects::{Effects, Peer};
use super::{Context, Server, Timer};
use crate::engine::limits::{APPROVALS_MAX, PENDING_MAX};
use crate::engine::model::text::{Unnumbered, text_from, text_from_lossy};
use crate::engine::model::{Entry, EntrySeq, FrameSeq, Kind, Mono, Now, Serial};
use crate::engine::wheel::TimerId;
use crate::engine::wire::{Buffer, DeviceFrame, Reply, ReplyCode};

/// Digits of a code.
const CODE_LEN: usize = 3;

/// Resends of a 011, each after so many milliseconds, doubled for the next.
const RELEASE_RESENDS: u8 = 2;
const RELEASE_FIRST_MS: u64 = 1000;

/// Of commands in one lane the newer replaces the older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// A terminal's display and keys.
    Terminal,
    /// A board's reader.
    Reader(u64),
    /// The 011 for a terminal's stored records: what it sells meanwhile has nothing to do with it.
    Release,
}

/// A command on its way, or lapsed, save its bytes.
#[derive(Clone)]
pub(super) struct Pending {
    device: u16,
    lane: Lane,
    peer: Peer,
    code: ReplyCode,
    /// The card or command number that it names, as sent.
    subject: Subject,
    /// The frame that it answers; `None`: nobody asked, an operator sent it.
    answered: Option<FrameSeq>,
    /// The committed entry that it tells of.
    about: Option<EntrySeq>,
    /// When the request that it answers arrived.
    born: Mono,
    resends: u8,
    timer: Option<TimerId>,
}

/// A card or command number: the longest that can be read have 20 characters.
type Subject = heapless::Vec<u8, 20, u8>;

impl Pending {
    /// How often it was sent again, for who asks why.
    fn tell_resends(&self, entry: &mut Entry) {
        if self.resends > 0 {
            entry.detail.push("resent", self.resends);
        }
    }

    fn is_door(&self) -> bool {
        matches!(self.code, ReplyCode::Admit | ReplyCode::Refuse)
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

/// Up to ten digits as a number.
fn number(text: &[u8]) -> Option<u64> {
    FrameSeq::parse(text).map(|digits| digits.value())
}

/// Where a command that a 109 confirms stands.
#[derive(Clone, Copy)]
enum Place {
    /// In the outbox.
    Slot(u16),
    /// At its device.
    Lapsed,
}

/// A place for a command; its bytes stay where they are.
struct Slot {
    /// `None`: the place is free.
    pending: Option<Pending>,
    frame: Buffer,
}

/// All commands on their way.
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
                self.slots.push(Slot { pending: None, frame: Buffer::new() }).ok()?;
                number
            }
        };
        let slot = &mut self.slots[usize::from(number)];
        slot.pending = Some(pending);
        slot.frame.clear();
        slot.frame.extend_from_slice(frame).expect("a reply fits its buffer");
        Some(number)
    }

    fn is_full(&self) -> bool {
        self.free.is_empty() && self.slots.is_full()
    }

    /// A command that rests on nothing.
    fn any_refusal(&self) -> Option<u16> {
        let is_refusal = |slot: &Slot| slot.pending.as_ref().is_some_and(|pending| !pending.code.rests_on_entry());
        let place = self.slots.iter().position(is_refusal)?;
        Some(u16::try_from(place).expect("PENDING_MAX fits 16 bits"))
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
        &self.slots[usize::from(slot)].frame
    }
}

/// What a command is about, beside its bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct About<'a> {
    /// The committed entry that it tells of.
    pub(super) entry: Option<EntrySeq>,
    /// The card or command number that it names.
    pub(super) subject: &'a [u8],
    /// The board's reader.
    pub(super) reader: Option<u64>,
    /// When the request that it answers arrived, if that was before now.
    pub(super) born: Option<Mono>,
    /// Whether the device has confirmed it before: it is sent once.
    pub(super) is_settled: bool,
}

/// Whom a command goes to, and why.
pub(super) struct Addressee {
    now: Now,
    peer: Peer,
    /// Its row.
    device: usize,
    /// Whether it holds the machine number.
    is_served: bool,
    /// The frame that is answered.
    answered: Option<FrameSeq>,
}

impl Addressee {
    /// A device that asked for nothing.
    pub(super) fn unasked(now: &Now, device: usize, peer: Peer) -> Self {
        Self { now: *now, peer, device, is_served: true, answered: None }
    }
}

impl Server<'_> {
    /// Answers a frame with a command, which is sent again until it is confirmed: 006, 008, 009, 011, 050, 051.
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

    /// Sends a command, and again until it is confirmed.
    pub(super) fn command_to(&mut self, to: &Addressee, reply: &Reply, about: About, fx: &mut Effects) {
        let mut frame = Buffer::new();
        reply.emit(&mut frame);
        let born = about.born.unwrap_or(to.now.mono);
        let expires = self.expires(reply.code(), born);
        post(fx, reply.code(), to.peer, &frame, expires);
        // Who does not hold the machine number has no place in its outbox.
        if !to.is_served {
            return;
        }
        let device = to.device;
        // From now on a 109 may mean this command.
        let lapsed = self.tables.devices.get_mut(device).lapsed.take();
        // What was confirmed needs no place.
        if about.is_settled {
            return;
        }
        if matches!(reply.code(), ReplyCode::Approve | ReplyCode::Admit) {
            let silent = &mut self.tables.devices.get_mut(device).silent_approvals;
            *silent = silent.saturating_add(1);
        }
        let lane = match (reply.code(), about.reader) {
            (ReplyCode::Release, _) => Lane::Release,
            (_, Some(reader)) => Lane::Reader(reader),
            (_, None) => Lane::Terminal,
        };
        let is_older =
            |newer: &Pending| to.answered.zip(newer.answered).is_some_and(|(frame, newer)| frame.is_behind(&newer));
        // Of an older frame that comes late, as below; but two were answered now, and a 109 confirms neither.
        if lapsed.is_some_and(|lapsed| lapsed.lane == lane && is_older(&lapsed)) {
            return;
        }
        let slots = &self.tables.devices.get(device).pending;
        let is_same_lane = |slot: &u16| self.tables.outbox.get(*slot).is_some_and(|pending| pending.lane == lane);
        if let Some(slot) = slots.iter().copied().find(is_same_lane) {
            let pending = self.tables.outbox.get(slot).expect("it was just found");
            let is_same =
                to.answered.is_some() && pending.answered == to.answered && frame == self.tables.outbox.frame(slot);
            // An older frame that comes late, or again, gets its answer once; what is newer stays on its way, for it is what the device waits
            // for and confirms. A device that started anew counts anew, but its 101 ended what was on its way.
            if is_same || is_older(pending) {
                let pending = self.tables.outbox.get_mut(slot).expect("it was just found");
                if is_same {
                    // Where the frame comes from now the device listens.
                    pending.peer = to.peer;
                }
                return;
            }
            self.end(&to.now, slot, fx);
        }
        if self.tables.devices.get(device).pending.is_full() {
            let oldest = self.tables.devices.get(device).pending[0];
            self.end(&to.now, oldest, fx);
        }
        let first_ms = self.first_resend_ms(reply.code());
        if self.tables.outbox.is_full() && reply.code().rests_on_entry() {
            // Anybody can make us refuse; what rests on an entry goes before.
            if let Some(refusal) = self.tables.outbox.any_refusal() {
                self.end(&to.now, refusal, fx);
            }
        }
        let pending = Pending {
            device: u16::try_from(device).expect("DEVICES_MAX fits 16 bits"),
            lane,
            peer: to.peer,
            code: reply.code(),
            // What is longer is echoed, and no 109 names it.
            subject: Subject::from_slice(about.subject).unwrap_or_default(),
            answered: to.answered,
            about: about.entry,
            born,
            resends: 0,
            timer: None,
        };
        let slot = self.tables.outbox.add(pending, &frame);
        let Some(slot) = slot else {
            self.counters.full += 1;
            return;
        };
        let timer = self.tables.wheel.arm(to.now.mono.plus_ms(first_ms), Timer::Resend(slot));
        self.tables.outbox.get_mut(slot).expect("it was just added").timer = timer;
        let pushed = self.tables.devices.get_mut(device).pending.push(slot);
        pushed.expect("the oldest gave way");
    }

    /// Milliseconds from a command to its first resend.
    fn first_resend_ms(&self, code: ReplyCode) -> u64 {
        if code == ReplyCode::Release { RELEASE_FIRST_MS } else { u64::from(self.rules.resend_first_ms) }
    }

    /// After this time a command for a frame that came at `born` must not be sent: who stood at the door is gone. `None`: no such time.
    fn expires(&self, code: ReplyCode, born: Mono) -> Option<Mono> {
        (code == ReplyCode::Admit).then(|| born.plus_ms(u64::from(self.rules.door_ttl_ms)))
    }

    /// The time of a resend has come.
    pub(super) fn resend(&mut self, now: &Now, slot: u16, fx: &mut Effects) {
        let Some(pending) = self.tables.outbox.get(slot) else { return };
        let machine = self.tables.devices.get(usize::from(pending.device)).machine;
        let resends_max = if pending.code == ReplyCode::Release {
            RELEASE_RESENDS
        } else if self.is_mute(usize::from(pending.device)) {
            self.rules.resend_max.min(1)
        } else {
            self.rules.resend_max
        };
        let is_late = pending.is_door() && now.mono.ms_since(pending.born) >= u64::from(self.rules.door_ttl_ms);
        if is_late || pending.resends >= resends_max {
            self.lapse(now, slot, fx);
            return;
        }
        let (first_ms, expires) = (self.first_resend_ms(pending.code), self.expires(pending.code, pending.born));
        let pending = self.tables.outbox.get_mut(slot).expect("it was just found");
        pending.resends += 1;
        let next_ms = first_ms << pending.resends.min(16);
        pending.timer = self.tables.wheel.arm(now.mono.plus_ms(next_ms), Timer::Resend(slot));
        let (code, resends, peer, answered) = (pending.code, pending.resends, pending.peer, pending.answered);
        post(fx, code, peer, self.tables.outbox.frame(slot), expires);
        self.counters.resent += 1;
        match answered {
            Some(frame) => debug!("resend machine={machine} code={code} frame={frame} resends={resends}"),
            None => debug!("resend machine={machine} code={code} resends={resends}"),
        }
    }

    /// Ends a command that was sent for the last time. A late 109 still confirms a sale, or the next one like it would be taken for it and
    /// not be charged. Not so where it could mean another command, and the sale would be charged anew when it is tried again; nor that of a
    /// mute device, of which nothing is inferred.
    fn lapse(&mut self, now: &Now, slot: u16, fx: &mut Effects) {
        let lapsed = self
            .tables
            .outbox
            .get(slot)
            .filter(|pending| pending.code == ReplyCode::Approve && pending.about.is_some())
            .cloned();
        self.end(now, slot, fx);
        let Some(lapsed) = lapsed else { return };
        let row = usize::from(lapsed.device);
        if !self.is_mute(row) && self.tables.devices.get(row).pending.is_empty() {
            // How often it was sent again the `unconfirmed` entry has told.
            self.tables.devices.get_mut(row).lapsed = Some(Pending { timer: None, resends: 0, ..lapsed });
        }
    }

    /// Ends all of a device's commands: it started anew, or another device took its number.
    pub(super) fn end_all(&mut self, now: &Now, device: usize, fx: &mut Effects) {
        self.tables.devices.get_mut(device).lapsed = None;
        while let Some(slot) = self.tables.devices.get(device).pending.first().copied() {
            self.end(now, slot, fx);
        }
    }

    /// Ends what tells of a sale, which was voided: the void says all that there is to say.
    pub(super) fn end_approval(&mut self, sale: EntrySeq) {
        let is_it = |pending: &Pending| pending.code == ReplyCode::Approve && pending.about == Some(sale);
        for slot in 0..u16::try_from(self.tables.outbox.slots.len()).expect("PENDING_MAX fits 16 bits") {
            if self.tables.outbox.get(slot).is_some_and(is_it) {
                self.forget(slot);
            }
        }
        for device in 0..self.tables.devices.rows().len() {
            self.tables.devices.get_mut(device).lapsed.take_if(|lapsed| is_it(lapsed));
        }
    }

    /// Ends a device's 011: another 105 of it came.
    pub(super) fn end_release(&mut self, now: &Now, device: usize, fx: &mut Effects) {
        let slots = &self.tables.devices.get(device).pending;
        let is_release =
            |slot: &u16| self.tables.outbox.get(*slot).is_some_and(|pending| pending.lane == Lane::Release);
        if let Some(slot) = slots.iter().copied().find(is_release) {
            self.end(now, slot, fx);
        }
    }

    /// Ends a command without its 109.
    fn end(&mut self, now: &Now, slot: u16, fx: &mut Effects) {
        let Some(pending) = self.forget(slot) else { return };
        if pending.code == ReplyCode::Release {
            return;
        }
        self.counters.unconfirmed += 1;
        let device = self.tables.devices.get(usize::from(pending.device));
        let (machine, serial) = (device.machine, device.serial);
        if self.is_mute(usize::from(pending.device)) {
            self.tell_mute(usize::from(pending.device));
        } else if let Some(about) = pending.about {
            let mut entry = Entry::new(Kind::Unconfirmed, now.stamp, self.clock.state);
            entry.machine = Some(machine);
            entry.serial = serial;
            entry.about = Some(about);
            pending.tell_resends(&mut entry);
            self.append(&mut entry, now, fx);
            info!("unconfirmed machine={machine} ref={about} code={} resends={}", pending.code, pending.resends);
        }
    }

    /// Whether the device's last ten approvals all went without a 109, and it has sent none since.
    pub(super) fn is_mute(&self, device: usize) -> bool {
        let device = self.tables.devices.get(device);
        usize::from(device.silent_approvals) >= APPROVALS_MAX && self.tables.book.is_mute(device.machine)
    }

    fn tell_mute(&mut self, device: usize) {
        let device = self.tables.devices.get_mut(device);
        if device.is_mute_told {
            return;
        }
        device.is_mute_told = true;
        let seen = if device.stray_confirm.is_empty() { "none" } else { device.stray_confirm.as_str() };
        warn!(
            "mute machine={}: its last approvals all went without a 109; last 109-like frame: \"{}\"",
            device.machine,
            Unnumbered(seen)
        );
    }

    fn forget(&mut self, slot: u16) -> Option<Pending> {
        let pending = self.tables.outbox.take(slot)?;
        if let Some(timer) = pending.timer {
            self.tables.wheel.cancel(timer);
        }
        self.tables.devices.get_mut(usize::from(pending.device)).pending.retain(|other| *other != slot);
        Some(pending)
    }

    /// A 109: confirms its device's pending command unless it was seen before, is older than the frame answered, or
    /// names other things only, or the card or command number of another answer.
    pub(super) fn on_confirm(&mut self, context: &Context, rest: &[u8], fx: &mut Effects) {
        let (now, frame) = (&context.now, context.frame);
        let device = self.tables.devices.get_mut(context.device);
        device.silent_approvals = 0;
        if core::mem::take(&mut device.is_mute_told) {
            info!("speaks-again machine={}", frame.machine);
        }
        let seq = frame.seq.value();
        let is_repeat = device.confirms.iter().any(|seen| *seen == seq);
        if !is_repeat {
            if device.confirms.is_full() {
                device.confirms.pop_front();
            }
            device.confirms.push_back(seq).expect("a place was freed");
        }
        let place = if is_repeat { None } else { self.confirmed_place(context.device, frame, rest) };
        let confirmed = place.and_then(|place| match place {
            Place::Slot(slot) => self.forget(slot),
            Place::Lapsed => self.tables.devices.get_mut(context.device).lapsed.take(),
        });
        let Some(pending) = confirmed else {
            self.counters.stray_confirms += 1;
            let device = self.tables.devices.get_mut(context.device);
            device.stray_confirm = text_from_lossy(context.raw);
            debug!("confirm-ignored machine={} frame={} repeat={is_repeat}", frame.machine, frame.seq);
            return;
        };
        self.counters.confirmed += 1;
        debug!("confirm machine={} frame={} code={}", frame.machine, frame.seq, pending.code);
        if let Some(about) = pending.about {
            let mut entry = context.draft(Kind::Confirm);
            entry.serial = serial_in(rest, self.tables.devices.get(context.device).serial.as_ref());
            entry.about = Some(about);
            pending.tell_resends(&mut entry);
            self.append(&mut entry, now, fx);
        }
        self.pay_due_clock(now, context.device, fx);
    }

    /// Whether a command to the device waits for its 109.
    pub(super) fn awaits_confirm(&self, device: usize) -> bool {
        let slots = &self.tables.devices.get(device).pending;
        let is_confirmed_by_109 = |pending: &Pending| pending.lane != Lane::Release;
        slots.iter().any(|slot| self.tables.outbox.get(*slot).is_some_and(is_confirmed_by_109))
    }

    fn confirmed_place(&self, device: usize, frame: &DeviceFrame, rest: &[u8]) -> Option<Place> {
        let device: &Device = self.tables.devices.get(device);
        let machine = device.machine.value();
        let is_serial = |field: &[u8]| device.serial.as_ref().is_some_and(|serial| serial.is(field));
        let names = || {
            fields_of(rest)
                .filter(move |field| !field.is_empty() && field.iter().all(u8::is_ascii_digit) && !is_serial(field))
        };
        // Mostly nothing follows, or the serial alone.
        let is_bare = rest.is_empty() || is_serial(rest) || names().next().is_none();
        let find = |is_meant: &dyn Fn(&Pending) -> bool| {
            let pending_in = |slot: u16| self.tables.outbox.get(slot).expect("a device's slots are taken");
            let pending = device.pending.iter().map(|slot| (Place::Slot(*slot), pending_in(*slot)));
            let mut waiting = pending.chain(device.lapsed.iter().map(|lapsed| (Place::Lapsed, lapsed)));
            let found = waiting.find(|(_, pending)| {
                let is_older = pending.answered.is_some_and(|answered| frame.seq.is_behind(&answered));
                pending.lane != Lane::Release && !is_older && is_meant(pending)
            });
            found.map(|(place, _)| place)
        };
        if is_bare {
            return find(&|_| true);
        }
        // A field that is a pending command's code is that code, and not the card with this number.
        let is_code = |name: &[u8]| name.len() == CODE_LEN && find(&|pending| pending.has_code(name)).is_some();
        // Of a board's commands the one whose card is named is meant, before one that shares but its code.
        let by_subject = find(&|pending| names().any(|name| pending.is_about(name) && !is_code(name)));
        by_subject.or_else(|| {
            // A 109 that was long under way names the code as well: what it means is the earlier answer whose card it names.
            let is_earlier = |name: &[u8]| {
                number(name) != Some(machine) && !is_code(name) && self.book().has_answered(device.machine, name)
            };
            if names().any(is_earlier) {
                None
            } else {
                find(&|pending| names().any(|name| pending.is_named(name, machine)))
            }
        })
    }
}

/// The device's serial where it stands among a 109's fields, as received.
fn serial_in(rest: &[u8], known: Option<&Serial>) -> Option<Serial> {
    let known = known?;
    let field = fields_of(rest).find(|field| known.is(field))?;
    text_from(field).map(Serial::from)
}

fn fields_of(rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    rest.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Puts a command where it belongs: behind the sync if it rests on an entry.
fn post(fx: &mut Effects, code: ReplyCode, peer: Peer, frame: &[u8], expires: Option<Mono>) {
    if code.rests_on_entry() {
        fx.committed.push_until(peer, frame, expires);
    } else {
        fx.prompt.push(peer, frame);
    }
}
