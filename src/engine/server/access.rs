//! 150: decides whether a card may pass a door (design.md, sections 6 and 8).

use log::{debug, warn};

use super::device::Minute;
use super::entries::{ECHO_MS, place_of};
use super::outbox::About;
use super::pins::{PinOwner, Verdict};
use super::texts::{DisplayLine, Values, fill};
use super::{Context, Effects, Room, Server};
use crate::engine::book::{AnsweredFrame, FrameId};
use crate::engine::limits::LIMITED_PER_DEVICE;
use crate::engine::model::card::{CardRow, Pin};
use crate::engine::model::rules::DoorRule;
use crate::engine::model::text::text_from_lossy;
use crate::engine::model::{Entry, EntrySeq, Kind, Money, Mono, Now, Reason, Text, UnitNo};
use crate::engine::policy::{self, Passage, Presented};
use crate::engine::wire::{Access, Body, Code, DeviceFrame, Keyed, PinKind, Reply};

/// The last two numbers of a 050 if no section gives them, as in the protocol's examples.
const RELAY_S: u32 = 5;
const LEFT_OPEN_S: u32 = 20;

/// Alarms of duress for frames without a remembered answer: of devices that are turned away, and
/// unreadable frames.
#[derive(Default)]
pub(super) struct UnansweredDuress {
    minute: Minute,
    /// The last such frames and when they came. A frame sent again within [`ECHO_MS`] is not
    /// another alarm.
    frames: heapless::Deque<(Option<u64>, FrameId, Mono), { LIMITED_PER_DEVICE as usize }>,
}

impl UnansweredDuress {
    /// Whether the frame was an alarm within [`ECHO_MS`]; if not, remembers it.
    fn is_again(&mut self, now: Mono, machine: Option<u64>, id: FrameId) -> bool {
        let is_it = |(alarmed, known, at): &(Option<u64>, FrameId, Mono)| {
            *alarmed == machine && *known == id && now.ms_since(*at) < ECHO_MS
        };
        if self.frames.iter().any(is_it) {
            return true;
        }
        if self.frames.is_full() {
            self.frames.pop_front();
        }
        assert!(self.frames.push_back((machine, id, now)).is_ok(), "the oldest was removed");
        false
    }
}

/// The frame that caused an alarm of duress.
pub(super) struct DuressFrame {
    now: Now,
    /// Whether the frame's sender holds the machine number: then nothing limits its alarms.
    is_served: bool,
    /// Whether a repeat of the frame is recognized by its remembered answer.
    is_answered: bool,
}

impl DuressFrame {
    /// The frame in work.
    pub(super) fn of(context: &Context) -> Self {
        let is_readable = matches!(context.frame.body, Body::Access(_));
        Self { now: context.now, is_served: context.is_served, is_answered: context.is_served && is_readable }
    }
}

/// The ledger's `slot` of an access request: `reader:door`.
pub(super) fn slot(access: &Access) -> Text<32> {
    slot_of(access.reader, access.door)
}

pub(super) fn slot_of(reader: UnitNo, door: UnitNo) -> Text<32> {
    let slot: heapless::Vec<u8, 32> =
        [reader.as_bytes(), b":", door.as_bytes()].into_iter().flatten().copied().collect();
    text_from_lossy(&slot)
}

/// The card and PIN of a request.
pub(super) fn presented(access: &Access) -> Presented {
    presented_as(access.pin_kind, access.pin)
}

fn presented_as(kind: PinKind, pin: Option<Pin>) -> Presented {
    match kind {
        PinKind::None => Presented::Card,
        PinKind::AfterCard | PinKind::Correction => Presented::CardAndPin(pin),
        PinKind::DoorPin => Presented::DoorPin(pin),
        PinKind::Duress => Presented::Duress(pin),
    }
}

/// The last two numbers of a 050.
pub(super) fn numbers_of(rule: Option<&DoorRule>) -> (u32, u32) {
    rule.map_or((RELAY_S, LEFT_OPEN_S), |rule| (rule.relay_s, rule.left_open_s))
}

impl Server<'_> {
    /// Decides a 150: opens the door or refuses.
    pub(super) fn on_access(&mut self, context: &Context, access: &Access, fx: &mut Effects) {
        let mut entry = context.draft(Kind::Admit);
        context.date(&mut entry, &access.time);
        entry.card = access.card.map(|card| card.padded());
        entry.slot = Some(slot(access));
        let row = access.card.and_then(|card| self.card_row(card));
        let presented = presented(access);
        let request = Passage {
            machine: context.frame.machine,
            door: access.door,
            presented,
            at: self.business_time(&context.now, context.clock, context.at_device()),
            now: context.now,
            clock: context.clock,
        };
        let id = FrameId::new(Code::Access.number(), &entry, Money::ZERO);
        if let Some(first) = self.first_answer(context, &id) {
            self.access_again(context, access, row.as_ref(), &request, &first, fx);
            return;
        }
        self.watch_door(context, access, fx);
        if policy::is_duress(row.as_ref(), presented) {
            self.alarm_duress(&DuressFrame::of(context), &entry, fx);
        }
        let decided = self.decide_access(context, access, row.as_ref(), &request, fx);
        if let Err(reason) = decided {
            entry.kind = Kind::Refuse;
            entry.detail.push("reason", reason.word());
        }
        if access.pin_kind == PinKind::Correction {
            entry.detail.push("correction", 1);
        }
        match decided {
            Ok(rule) => {
                self.counters.admitted += 1;
                self.tables.devices.get_mut(context.device).tally.approved += 1;
                let about = if self.room == Room::Nothing {
                    // The only result that ever leaves without an entry: a person at the door must
                    // be able to get out.
                    self.counters.admitted_unwritten += 1;
                    self.remember(context, id, &entry);
                    None
                } else {
                    Some(self.append_heard(&mut entry, context.arrived, fx))
                };
                let seq = about.unwrap_or(EntrySeq(0));
                debug!("admit machine={} door={} seq={seq}", context.frame.machine, access.door);
                let arrived = context.arrived;
                self.send_admission(context, access, row.as_ref(), Some(&rule), (about, arrived), fx);
            }
            Err(reason) => {
                self.counters.refused += 1;
                if let (Reason::UnknownCard, Some(card)) = (reason, access.card) {
                    self.note_unknown(context, card);
                }
                self.counters.count_reason(reason);
                self.tables.devices.get_mut(context.device).tally.refused += 1;
                self.log_refusal(context, &entry, reason);
                self.append_limited(context, &mut entry, fx);
                self.send_refused(context, access, row.as_ref(), reason, fx);
            }
        }
    }

    /// Decides a request. First its age: after `door_ttl_ms` the person may be gone, or swipe
    /// again. Then the limit of wrong PINs, then the rules.
    fn decide_access(
        &mut self,
        context: &Context,
        access: &Access,
        row: Option<&CardRow>,
        request: &Passage,
        fx: &mut Effects,
    ) -> Result<DoorRule, Reason> {
        if context.now.mono.ms_since(context.arrived) >= u64::from(self.rules.door_ttl_ms) {
            return Err(Reason::Replay);
        }
        let now = context.now.mono;
        let owner = PinOwner::of(context.frame.machine, access.door, access.card, request.presented);
        if owner.is_some_and(|owner| self.tables.pins.is_stopped(now, owner)) {
            return Err(Reason::Pin);
        }
        let decided = policy::decide_access(&self.tables.book, &self.rules, row, request).cloned();
        if let (Err(Reason::Pin), Some(owner)) = (&decided, owner)
            && self.tables.pins.count(now, owner, self.rules.pin_tries) == Verdict::Stopped
        {
            self.alarm_pins(context, access, fx);
        }
        decided
    }

    /// Writes the alarm for too many wrong PINs.
    fn alarm_pins(&mut self, context: &Context, access: &Access, fx: &mut Effects) {
        let mut entry = context.draft(Kind::Alarm);
        context.date(&mut entry, &access.time);
        entry.card = access.card.map(|card| card.padded());
        entry.slot = Some(slot(access));
        entry.detail.push("rule", Reason::Pin.word());
        self.append_limited(context, &mut entry, fx);
        warn!("pin machine={} door={} tries={}", context.frame.machine, access.door, self.rules.pin_tries);
    }

    /// Answers a frame that was sent again. A refusal stays one. A door opens again only within
    /// `door_ttl_ms` and in this run: anything later may be a recording.
    fn access_again(
        &mut self,
        context: &Context,
        access: &Access,
        row: Option<&CardRow>,
        request: &Passage,
        first: &AnsweredFrame,
        fx: &mut Effects,
    ) {
        self.counters.duplicates += 1;
        if let Some(reason) = first.outcome.reason {
            self.send_refused(context, access, row, reason, fx);
            return;
        }
        let age_ms = first.at.mono.map(|mono| context.now.mono.ms_since(mono));
        if age_ms.is_some_and(|age| age < u64::from(self.rules.door_ttl_ms)) {
            let rule = policy::section_that_admits(&self.rules, row, request).cloned();
            // An admission that its board has confirmed needs no second confirmation.
            let is_confirmed = self.tables.book.is_confirmed(context.frame.machine, first.outcome.sale);
            // An admission in the state *nothing* has no entry.
            let about = Some(first.outcome.sale).filter(|seq| !is_confirmed && *seq > EntrySeq(0));
            let arrived = first.at.mono.unwrap_or(context.arrived);
            self.send_admission(context, access, row, rule.as_ref(), (about, arrived), fx);
            return;
        }
        if age_ms.is_none_or(|age| age > ECHO_MS) {
            let mut entry = context.draft(Kind::Alarm);
            context.date(&mut entry, &access.time);
            entry.card = access.card.map(|card| card.padded());
            entry.slot = Some(slot(access));
            entry.about = Some(first.outcome.sale).filter(|seq| *seq > EntrySeq(0));
            entry.detail.push("rule", Reason::Replay.word());
            self.append_limited(context, &mut entry, fx);
            if self.may_log(&context.now, *context.peer.source.ip()) {
                warn!(
                    "replay machine={} door={} frame={} ref={}",
                    context.frame.machine, access.door, context.frame.seq, first.outcome.sale
                );
            }
        }
        self.send_refused(context, access, row, Reason::Replay, fx);
    }

    /// Writes an alarm if the door is open for too long. The request is decided as usual.
    fn watch_door(&mut self, context: &Context, access: &Access, fx: &mut Effects) {
        let rules = policy::door_rules(&self.rules, context.frame.machine, access.door);
        let limit = rules.map(|rule| rule.left_open_s).min().unwrap_or(LEFT_OPEN_S);
        if access.open_seconds <= limit {
            return;
        }
        let mut entry = context.draft(Kind::Alarm);
        context.date(&mut entry, &access.time);
        entry.slot = Some(slot(access));
        entry.detail.push("rule", "left-open");
        entry.detail.push("open_s", access.open_seconds);
        self.append_limited(context, &mut entry, fx);
        if self.may_log(&context.now, *context.peer.source.ip()) {
            warn!("left-open machine={} door={} seconds={}", context.frame.machine, access.door, access.open_seconds);
        }
    }

    /// Writes an alarm of duress: committed and not limited, and invisible at the door. Alarms of
    /// devices that are turned away have a limit of their own, because anybody can send them; no
    /// other frames count for that limit.
    pub(super) fn alarm_duress(&mut self, of: &DuressFrame, request: &Entry, fx: &mut Effects) {
        let (now, machine) = (&of.now, request.machine.map(|machine| machine.value()));
        let id = FrameId::new(Code::Access.number(), request, Money::ZERO);
        if !of.is_answered && self.unanswered_duress.is_again(now.mono, machine, id) {
            return;
        }
        if !of.is_served {
            if self.room != Room::Open || !self.unanswered_duress.minute.has_room(now.mono, LIMITED_PER_DEVICE) {
                self.counters.left_out += 1;
                self.leave_out(now, place_of(Kind::Alarm), 1);
                return;
            }
            self.unanswered_duress.minute.written += 1;
        }
        let mut entry = *request;
        entry.kind = Kind::Alarm;
        entry.detail.push("rule", "duress");
        let seq = self.append(&mut entry, now, fx);
        match request.machine {
            Some(machine) => warn!("duress machine={machine} seq={seq}"),
            None => warn!("duress machine=unreadable seq={seq}"),
        }
    }

    /// Writes an alarm if a device for which there is no room reports duress.
    pub(super) fn alarm_unplaced(&mut self, now: &Now, frame: &DeviceFrame, raw: &[u8], fx: &mut Effects) {
        let mut entry = Entry::new(Kind::Alarm, now.stamp, self.clock.state);
        entry.machine = Some(frame.machine);
        entry.serial.clone_from(&frame.serial);
        entry.frame = Some(frame.seq);
        let is_duress = match &frame.body {
            Body::Access(access) => {
                entry.card = access.card.map(|card| card.padded());
                entry.device_time = Some(access.time);
                entry.slot = Some(slot(access));
                let row = access.card.and_then(|card| self.card_row(card));
                policy::is_duress(row.as_ref(), presented(access))
            }
            Body::Malformed(malformed) => {
                entry.serial.clone_from(&malformed.serial);
                entry.card = malformed.card.map(|card| card.padded());
                entry.device_time.clone_from(&malformed.time);
                self.is_duress_in(raw)
            }
            Body::Boot { .. }
            | Body::Inquiry { .. }
            | Body::Charge { .. }
            | Body::Meal { .. }
            | Body::Offline(_)
            | Body::Keys { .. }
            | Body::Confirm { .. }
            | Body::Scan { .. } => false,
        };
        if is_duress {
            self.alarm_duress(&DuressFrame { now: *now, is_served: false, is_answered: false }, &entry, fx);
        }
    }

    /// Whether an unreadable frame reports duress.
    pub(super) fn is_duress_in(&self, datagram: &[u8]) -> bool {
        let Some(Keyed { kind, card, pin }) = Keyed::of(datagram) else { return false };
        let row = card.and_then(|card| self.card_row(card));
        policy::is_duress(row.as_ref(), presented_as(kind, pin))
    }

    /// Writes an alarm if a datagram reports duress that is no frame, because its seq or machine is
    /// unreadable.
    pub(super) fn alarm_no_frame(&mut self, now: &Now, datagram: &[u8], fx: &mut Effects) {
        if !self.is_duress_in(datagram) {
            return;
        }
        let entry = Entry::new(Kind::Alarm, now.stamp, self.clock.state);
        self.alarm_duress(&DuressFrame { now: *now, is_served: false, is_answered: false }, &entry, fx);
    }

    fn send_admission(
        &mut self,
        context: &Context,
        access: &Access,
        row: Option<&CardRow>,
        rule: Option<&DoorRule>,
        (about, arrived): (Option<EntrySeq>, Mono),
        fx: &mut Effects,
    ) {
        let texts = &self.rules.texts;
        let values = Values { card: access.card_raw, reason: &texts.card_ok, ..self.access_values(context, row) };
        let mut text = DisplayLine::new();
        fill(&mut text, &texts.admitted, &values);
        let trailer = texts.display_admitted;
        let (relay_s, left_open_s) = numbers_of(rule);
        let reply = Reply::Admit {
            machine: context.frame.machine,
            card: access.card_raw,
            text: &text,
            trailer: trailer.as_bytes(),
            reader: access.reader,
            door: access.door,
            relay_s,
            left_open_s,
        };
        let reader = Some(access.reader.value());
        // There is no entry to confirm if the board has confirmed it or nothing can be written.
        let is_settled = about.is_none() && self.room != Room::Nothing;
        let about = About { entry: about, subject: access.card_raw, reader, arrived: Some(arrived), is_settled };
        self.command(context, &reply, about, fx);
    }

    fn send_refused(
        &mut self,
        context: &Context,
        access: &Access,
        row: Option<&CardRow>,
        reason: Reason,
        fx: &mut Effects,
    ) {
        let texts = &self.rules.texts;
        let values = Values { card: access.card_raw, reason: texts.reason(reason), ..self.access_values(context, row) };
        let mut text = DisplayLine::new();
        fill(&mut text, &texts.refused, &values);
        let trailer = texts.display_refused;
        let machine = context.frame.machine;
        let reply = Reply::Refuse { machine, card: access.card_raw, text: &text, trailer: trailer.as_bytes() };
        let reader = Some(access.reader.value());
        let about = About { subject: access.card_raw, reader, arrived: Some(context.arrived), ..About::default() };
        self.command(context, &reply, about, fx);
    }

    fn access_values<'a>(&'a self, context: &'a Context, row: Option<&'a CardRow>) -> Values<'a> {
        let figures = row.map_or_else(Default::default, |row| self.tables.book.account(row.account).figures());
        Values { figures, ..self.names(context, row) }
    }
}
