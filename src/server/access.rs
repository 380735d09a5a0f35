//! 150: may this card pass this door (design.md, sections 6 and 8).

use log::{debug, warn};

use super::device::Minute;
use super::entries::{ECHO_MS, place_of};
use super::outbox::About;
use super::texts::{Values, fill};
use super::{Context, Effects, Room, Server};
use crate::book::{FrameId, Seen};
use crate::limits::LIMITED_PER_DEVICE;
use crate::model::card::CardRow;
use crate::model::rules::DoorRule;
use crate::model::text::text_from_lossy;
use crate::model::{Entry, EntrySeq, Kind, MachineNo, Money, Mono, Reason, Text, UnitNo};
use crate::policy::{self, Passage, Presented};
use crate::wire::{Access, Code, PinKind, Reply};

/// 050's last two numbers where no section gives them: the seed's.
const RELAY_S: u32 = 5;
const LEFT_OPEN_S: u32 = 20;

/// Alarms of duress of devices that are turned away.
#[derive(Default)]
pub(super) struct StrangeDuress {
    minute: Minute,
    /// The last frames: sent again, they are no other alarm.
    frames: heapless::Deque<(MachineNo, FrameId), { LIMITED_PER_DEVICE as usize }>,
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

/// What was keyed.
pub(super) fn presented(access: &Access) -> Presented {
    match access.pin_kind {
        PinKind::None => Presented::Card,
        PinKind::AfterCard | PinKind::Correction => Presented::CardAndPin(access.pin),
        PinKind::DoorPin => Presented::DoorPin(access.pin),
        PinKind::Duress => Presented::Duress(access.pin),
    }
}

/// 050's last two numbers.
pub(super) fn numbers_of(rule: Option<&DoorRule>) -> (u32, u32) {
    rule.map_or((RELAY_S, LEFT_OPEN_S), |rule| (rule.relay_s, rule.left_open_s))
}

impl Server<'_> {
    /// Opens the door, or says why not.
    pub(super) fn on_access(&mut self, context: &Context, access: &Access, fx: &mut Effects) {
        let mut entry = context.draft_at(Kind::Admit, &access.time);
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
        if let Some(seen) = self.first_answer(context, &id) {
            self.access_again(context, access, row.as_ref(), &request, &seen, fx);
            return;
        }
        self.watch_door(context, access, fx);
        if policy::is_duress(row.as_ref(), presented) {
            self.alarm_duress(context, &entry, fx);
        }
        let decided = policy::decide_access(&self.tables.book, &self.rules, row.as_ref(), &request).cloned();
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
                    // The only result that ever leaves without an entry: who stands at the door has to get out.
                    self.counters.admitted_unwritten += 1;
                    self.remember(context, id, &entry);
                    None
                } else {
                    Some(self.append(&mut entry, &context.now, fx))
                };
                let seq = about.unwrap_or(EntrySeq(0));
                debug!("admit machine={} door={} seq={seq}", context.frame.machine, access.door);
                self.send_admission(context, access, row.as_ref(), Some(&rule), (about, None), fx);
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

    /// A frame sent again: a refusal stays one, and a door opens again only within its time and this run. Anything later
    /// may be a recording.
    fn access_again(
        &mut self,
        context: &Context,
        access: &Access,
        row: Option<&CardRow>,
        request: &Passage,
        seen: &Seen,
        fx: &mut Effects,
    ) {
        self.counters.duplicates += 1;
        if let Some(reason) = seen.outcome.reason {
            self.send_refused(context, access, row, reason, fx);
            return;
        }
        let age_ms = seen.at.mono.map(|first| context.now.mono.ms_since(first));
        if age_ms.is_some_and(|age| age < u64::from(self.rules.door_ttl_ms)) {
            let rule = policy::section_that_admits(&self.rules, row, request).cloned();
            // An admission that its board has confirmed needs no second confirmation.
            let is_confirmed = self.tables.book.is_confirmed(context.frame.machine, seen.outcome.sale);
            // One that nothing could be written of has no entry.
            let about = Some(seen.outcome.sale).filter(|seq| !is_confirmed && *seq > EntrySeq(0));
            self.send_admission(context, access, row, rule.as_ref(), (about, seen.at.mono), fx);
            return;
        }
        if age_ms.is_none_or(|age| age > ECHO_MS) {
            let mut entry = context.draft_at(Kind::Alarm, &access.time);
            entry.card = access.card.map(|card| card.padded());
            entry.slot = Some(slot(access));
            entry.about = Some(seen.outcome.sale).filter(|seq| *seq > EntrySeq(0));
            entry.detail.push("rule", Reason::Replay.word());
            self.append_limited(context, &mut entry, fx);
            if self.may_log(&context.now, *context.peer.source.ip()) {
                warn!(
                    "replay machine={} door={} frame={} ref={}",
                    context.frame.machine, access.door, context.frame.seq, seen.outcome.sale
                );
            }
        }
        self.send_refused(context, access, row, Reason::Replay, fx);
    }

    /// A door that stands open for too long is an alarm, and decided as usual.
    fn watch_door(&mut self, context: &Context, access: &Access, fx: &mut Effects) {
        let rules = policy::door_rules(&self.rules, context.frame.machine, access.door);
        let limit = rules.map(|rule| rule.left_open_s).min().unwrap_or(LEFT_OPEN_S);
        if access.open_seconds <= limit {
            return;
        }
        let mut entry = context.draft_at(Kind::Alarm, &access.time);
        entry.slot = Some(slot(access));
        entry.detail.push("rule", "left-open");
        entry.detail.push("open_s", access.open_seconds);
        self.append_limited(context, &mut entry, fx);
        if self.may_log(&context.now, *context.peer.source.ip()) {
            warn!("left-open machine={} door={} seconds={}", context.frame.machine, access.door, access.open_seconds);
        }
    }

    /// Never limited, and committed: who stands at the door sees nothing of it. Those of devices that are turned away have a limit of their
    /// own, for anybody can send them, and no other frames use it up.
    pub(super) fn alarm_duress(&mut self, context: &Context, request: &Entry, fx: &mut Effects) {
        if !context.is_served {
            let frame = (context.frame.machine, FrameId::new(Code::Access.number(), request, Money::ZERO));
            if self.strange_duress.frames.iter().any(|told| *told == frame) {
                return;
            }
            if self.room != Room::Open || !self.strange_duress.minute.has_room(context.now.mono, LIMITED_PER_DEVICE) {
                self.counters.left_out += 1;
                self.leave_out(&context.now, place_of(Kind::Alarm), 1);
                return;
            }
            self.strange_duress.minute.written += 1;
            if self.strange_duress.frames.is_full() {
                self.strange_duress.frames.pop_front();
            }
            assert!(self.strange_duress.frames.push_back(frame).is_ok(), "a place was freed");
        }
        let mut entry = *request;
        entry.kind = Kind::Alarm;
        entry.detail.push("rule", "duress");
        let seq = self.append(&mut entry, &context.now, fx);
        warn!("duress machine={} seq={seq}", context.frame.machine);
    }

    fn send_admission(
        &mut self,
        context: &Context,
        access: &Access,
        row: Option<&CardRow>,
        rule: Option<&DoorRule>,
        (about, born): (Option<EntrySeq>, Option<Mono>),
        fx: &mut Effects,
    ) {
        let texts = &self.rules.texts;
        let values = Values { card: access.card_raw, reason: &texts.card_ok, ..self.access_values(context, row) };
        let text = fill(&texts.admitted, &values);
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
        // Without an entry: its board has confirmed it, or nothing can be written.
        let is_settled = about.is_none() && self.room != Room::Nothing;
        let about = About { entry: about, subject: access.card_raw, reader, born, is_settled };
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
        let text = fill(&texts.refused, &values);
        let trailer = texts.display_refused;
        let machine = context.frame.machine;
        let reply = Reply::Refuse { machine, card: access.card_raw, text: &text, trailer: trailer.as_bytes() };
        let reader = Some(access.reader.value());
        let about = About { subject: access.card_raw, reader, ..About::default() };
        self.command(context, &reply, about, fx);
    }

    fn access_values<'a>(&'a self, context: &'a Context, row: Option<&'a CardRow>) -> Values<'a> {
        let figures = row.map_or_else(Default::default, |row| self.tables.book.account(row.account).figures());
        Values { figures, ..self.names(context, row) }
    }
}
