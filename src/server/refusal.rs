//! Refusals of which little more than the reason is known: unreadable frames, devices in quarantine, and those that
//! use another's machine number (design.md, sections 6 and 13).

use log::{info, warn};

use super::outbox::About;
use super::texts::{Values, fill};
use super::{Context, Effects, Server, access};
use crate::model::ids::text_from_lossy;
use crate::model::{Entry, Kind, Money, Reason};
use crate::wire::{Body, Code, Malformed, Reply};

/// Another device under a machine number is an alarm at most this often.
const CLASH_TOLD_MS: u64 = 60_000;

impl Server<'_> {
    /// A known code whose other fields cannot be read: a refusal, so that the person sees something.
    pub(super) fn on_malformed(&mut self, context: &Context, malformed: &Malformed, fx: &mut Effects) {
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
    pub(super) fn turn_away(&mut self, context: &Context, reason: Reason, fx: &mut Effects) {
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
                entry.device_time = Some(time.clone());
                entry.detail.push("asked", amount.money);
                card.as_bytes()
            }
            Body::Meal { card, time } => {
                entry.card = Some(card.padded());
                entry.device_time = Some(time.clone());
                entry.detail.push("asked", Money::ZERO);
                card.as_bytes()
            }
            Body::Scan { command, amount, time, .. } => {
                entry.slot = Some(text_from_lossy(command.as_bytes()));
                entry.device_time = Some(time.clone());
                entry.detail.push("asked", amount.money);
                command.as_bytes()
            }
            Body::Access(access) => {
                entry.kind = Kind::Refuse;
                entry.card = access.card.map(|card| card.padded());
                entry.device_time = Some(access.time.clone());
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
    pub(super) fn refuse(&mut self, context: &Context, reason: Reason, subject: &[u8], fx: &mut Effects) {
        self.counters.count_reason(reason);
        // Who uses another's machine number leaves no mark on it.
        if context.is_served || reason == Reason::UnknownDevice {
            self.tables.devices.get_mut(context.device).tally.refused += 1;
        }
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

    pub(super) fn tell_clash(&mut self, context: &Context, fx: &mut Effects) {
        let device = self.tables.devices.get_mut(context.device);
        device.rival = Some((*context.peer.source.ip(), context.frame.serial.clone()));
        if device.clash_told.is_some_and(|told| context.now.mono.ms_since(told) < CLASH_TOLD_MS) {
            return;
        }
        device.clash_told = Some(context.now.mono);
        // A registered number that nobody was served under yet is held by no address.
        let held = device.served.map(|_| *device.peer.source.ip());
        let from = *context.peer.source.ip();
        let mut entry = context.draft(Kind::Alarm);
        entry.detail.push("rule", Reason::MachineClash.word());
        if let Some(held) = held {
            entry.detail.push("held", held);
        }
        entry.detail.push("from", from);
        self.append_limited(context, entry, fx);
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
