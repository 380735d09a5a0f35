//! Refusals without a decision about a card: of unreadable frames, of devices in quarantine, and of
//! devices that use another's machine number (design.md, sections 6 and 13).

use log::{info, warn};

use super::access::DuressFrame;
use super::outbox::About;
use super::texts::{DisplayLine, Values, fill};
use super::{Context, Effects, Peer, Server, access};
use crate::engine::model::rules::Trailer;
use crate::engine::model::text::text_from_lossy;
use crate::engine::model::{Entry, Kind, Money, Now, Reason};
use crate::engine::policy;
use crate::engine::wire::{Body, Code, DeviceFrame, Malformed, Reply};

/// A clash of a machine number is an alarm at most this often.
const CLASH_ALARM_MS: u64 = 60_000;

impl Server<'_> {
    /// Refuses a frame with a known code and another unreadable field, so that the person sees
    /// something.
    pub(super) fn on_malformed(&mut self, context: &Context, malformed: &Malformed, fx: &mut Effects) {
        self.counters.malformed += 1;
        let kind = if context.frame.code == Code::Access { Kind::Refuse } else { Kind::Decline };
        let mut entry = context.draft(kind);
        entry.serial.clone_from(&malformed.serial);
        entry.card = malformed.card.map(|card| card.padded());
        if let Some(time) = &malformed.time {
            context.date(&mut entry, time);
        }
        if self.is_duress_in(context.raw) {
            self.alarm_duress(&DuressFrame::of(context), &entry, fx);
        }
        entry.detail.push("reason", Reason::Malformed.word());
        entry.detail.push("code", context.frame.code.number());
        if let Some(asked) = malformed.asked {
            entry.detail.push("asked", asked);
        }
        entry.detail.push("rule", malformed.field);
        self.append_limited(context, &mut entry, fx);
        self.refuse(context, Reason::Malformed, malformed.subject, fx);
        if self.may_log(&context.now, *context.peer.source.ip()) {
            let frame = context.frame;
            let (machine, code) = (frame.machine, frame.code.number());
            info!("malformed machine={machine} frame={} code={code} field={:?}", frame.seq, malformed.field);
        }
    }

    /// Refuses a device that does not hold its machine number: it moves no money and opens no door.
    pub(super) fn turn_away(&mut self, context: &Context, reason: Reason, fx: &mut Effects) {
        let frame = context.frame;
        let mut entry = context.draft(Kind::Decline);
        let mut asked = None;
        let subject: &[u8] = match &frame.body {
            Body::Boot { .. } | Body::Keys { .. } | Body::Confirm { .. } | Body::Offline(_) => return,
            Body::Inquiry { card } => {
                let mut text = DisplayLine::new();
                fill(
                    &mut text,
                    &self.rules.texts.inquiry,
                    &Values { card: card.as_bytes(), reason: self.rules.texts.reason(reason), ..Values::default() },
                );
                let trailer = self.rules.texts.display_inquiry;
                let reply = Reply::Show { machine: frame.machine, text: &text, trailer: trailer.as_bytes() };
                self.command(context, &reply, About::default(), fx);
                return;
            }
            Body::Charge { card, amount, time, .. } => {
                entry.card = Some(card.padded());
                context.date(&mut entry, time);
                asked = Some(amount.money);
                card.as_bytes()
            }
            Body::Meal { card, time } => {
                entry.card = Some(card.padded());
                context.date(&mut entry, time);
                asked = Some(Money::ZERO);
                card.as_bytes()
            }
            Body::Scan { command, amount, time, .. } => {
                entry.slot = Some(text_from_lossy(command.as_bytes()));
                context.date(&mut entry, time);
                asked = Some(amount.money);
                command.as_bytes()
            }
            Body::Access(access) => {
                entry.kind = Kind::Refuse;
                entry.card = access.card.map(|card| card.padded());
                context.date(&mut entry, &access.time);
                entry.slot = Some(access::slot(access));
                let row = access.card.and_then(|card| self.card_row(card));
                if policy::is_duress(row.as_ref(), access::presented(access)) {
                    self.alarm_duress(&DuressFrame::of(context), &entry, fx);
                }
                access.card_raw
            }
            Body::Malformed(malformed) => malformed.subject,
        };
        entry.detail.push("reason", reason.word());
        entry.detail.push("code", frame.code.number());
        if let Some(asked) = asked {
            entry.detail.push("asked", asked);
        }
        self.log_refusal(context, &entry, reason);
        self.append_limited(context, &mut entry, fx);
        self.refuse(context, reason, subject, fx);
    }

    /// 006 or 051 of which nothing but the reason is known.
    pub(super) fn refuse(&mut self, context: &Context, reason: Reason, subject: &[u8], fx: &mut Effects) {
        self.counters.count_reason(reason);
        // A device with another's machine number does not change the holder's counts.
        if context.is_served || reason == Reason::UnknownDevice {
            self.tables.devices.get_mut(context.device).tally.refused += 1;
        }
        let (text, trailer) = self.bare_words(context.frame, reason, subject);
        let reply = bare_refusal(context.frame, subject, &text, trailer.as_bytes());
        self.command(context, &reply, About { subject, ..About::default() }, fx);
    }

    /// Refuses a frame of a device for which there is no room. A sale or a door gets one reply, and
    /// nothing is entered.
    pub(super) fn refuse_unplaced(&mut self, now: &Now, peer: Peer, frame: &DeviceFrame, raw: &[u8], fx: &mut Effects) {
        self.counters.full += 1;
        self.alarm_unplaced(now, frame, raw, fx);
        if self.may_log(now, *peer.source.ip()) {
            warn!("full machine={}: no place for another device", frame.machine);
        }
        let (subject, reason) = match &frame.body {
            Body::Charge { card, .. } | Body::Meal { card, .. } => (card.as_bytes(), Reason::Full),
            Body::Scan { command, .. } => (command.as_bytes(), Reason::Full),
            Body::Access(access) => (access.card_raw, Reason::Full),
            Body::Malformed(malformed) => (malformed.subject, Reason::Malformed),
            Body::Boot { .. } | Body::Inquiry { .. } | Body::Keys { .. } | Body::Confirm { .. } | Body::Offline(_) => {
                return;
            }
        };
        self.counters.count_reason(reason);
        let (text, trailer) = self.bare_words(frame, reason, subject);
        fx.prompt.push(peer, &bare_refusal(frame, subject, &text, trailer.as_bytes()));
    }

    /// The text and the numbers after it for a refusal without a card's data.
    fn bare_words(&self, frame: &DeviceFrame, reason: Reason, subject: &[u8]) -> (DisplayLine, Trailer) {
        let texts = &self.rules.texts;
        let (template, trailer) = if frame.code == Code::Access {
            (&texts.refused, &texts.display_refused)
        } else {
            (&texts.declined, &texts.display_declined)
        };
        let values = Values { card: subject, reason: texts.reason(reason), ..Values::default() };
        let mut text = DisplayLine::new();
        fill(&mut text, template, &values);
        (text, *trailer)
    }

    pub(super) fn alarm_clash(&mut self, context: &Context, fx: &mut Effects) {
        let device = self.tables.devices.get_mut(context.device);
        device.rival = Some((*context.peer.source.ip(), context.frame.serial));
        if device.clash_alarmed.is_some_and(|alarmed| context.now.mono.ms_since(alarmed) < CLASH_ALARM_MS) {
            return;
        }
        device.clash_alarmed = Some(context.now.mono);
        // A registered number without a served frame is held by no address.
        let held = device.served.map(|_| *device.peer.source.ip());
        let from = *context.peer.source.ip();
        let mut entry = context.draft(Kind::Alarm);
        entry.detail.push("rule", Reason::MachineClash.word());
        if let Some(held) = held {
            entry.detail.push("held", held);
        }
        entry.detail.push("from", from);
        self.append_limited(context, &mut entry, fx);
        warn!("machine-clash machine={} from={from}", context.frame.machine);
    }

    pub(super) fn log_refusal(&mut self, context: &Context, entry: &Entry, reason: Reason) {
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
}

fn bare_refusal<'a>(frame: &DeviceFrame, subject: &'a [u8], text: &'a [u8], trailer: &'a [u8]) -> Reply<'a> {
    let machine = frame.machine;
    if frame.code == Code::Access {
        Reply::Refuse { machine, card: subject, text, trailer }
    } else {
        Reply::Decline { machine, subject, text, trailer }
    }
}
