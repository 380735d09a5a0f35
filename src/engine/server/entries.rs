//! Appends entries: numbers them, applies them to the book, limits kinds that a flood could use to
//! fill the flash, and remembers answers for repeated frames (design.md, sections 7 and 8).

use super::device::{LIMITED, LeftOut};
use super::{Context, Effects, Room, Server, Timer};
use crate::engine::book::{AnsweredFrame, FrameId, Moment, is_answer};
use crate::engine::limits::{LIMITED_IN_ALL, LIMITED_PER_DEVICE};
use crate::engine::model::{ClockState, Entry, EntrySeq, Kind, Mono, Now};
use crate::engine::wire::Code;

/// A 102 or 106 is the same frame for this long (design.md, section 8).
pub(super) const ECHO_MS: u64 = 10_000;

/// An equal frame or stored sale without a believed time is the same one for this long (design.md,
/// section 8): a device with a dead clock always sends the same time, and numbers its frames from
/// the beginning at each power-on.
pub(super) const TIMELESS_MS: u64 = 600_000;

/// The index of a limited kind in [`LIMITED`].
pub(super) fn place_of(kind: Kind) -> usize {
    LIMITED.iter().position(|limited| *limited == kind).expect("a limited kind")
}

impl Server<'_> {
    /// Numbers an entry, applies it to the book and adds it to the effects. If nothing can be
    /// written, the entry is only counted and its number is 0: then only a door may open without
    /// it.
    pub(super) fn append(&mut self, entry: &mut Entry, now: &Now, fx: &mut Effects) -> EntrySeq {
        self.append_heard(entry, now.mono, fx)
    }

    /// As [`Server::append`], for an entry whose age counts from `heard`.
    pub(super) fn append_heard(&mut self, entry: &mut Entry, heard: Mono, fx: &mut Effects) -> EntrySeq {
        if self.room == Room::Nothing {
            self.counters.unwritten += 1;
            return EntrySeq(0);
        }
        self.enter_day(entry);
        entry.seq = self.tables.book.head().next();
        let applied = self.tables.book.apply(entry, Some(heard));
        applied.expect("an entry that we make follows from the book");
        fx.append(entry);
        entry.seq
    }

    /// Adds the business day to an entry if it is not the date of its time. So the close of a past
    /// day never changes, whatever zone and `day_start` a later configuration has. A void and a
    /// stored sale have the sale's day in `day=`; they get the day on which they were written in
    /// `on=`.
    pub(super) fn enter_day(&self, entry: &mut Entry) {
        let own = entry.time.civil();
        let day_start = self.rules.day_start;
        // The fast path for nearly all entries.
        if entry.clock == ClockState::Ok && own.time_of_day() >= day_start {
            return;
        }
        let now = match entry.clock {
            ClockState::Ok => own,
            ClockState::Unset => self.tables.book.newest_ok().map_or(own, |newest| newest.civil()),
        };
        let day = now.minus_s(i64::from(day_start.0)).date();
        if day == own.date() {
            return;
        }
        match (entry.detail.day(), entry.kind) {
            (None, _) => entry.detail.push_day(day),
            (Some(_), Kind::Offline | Kind::Void) if !entry.detail.has("on") => entry.detail.push("on", day),
            // A live sale is written on its own day.
            (Some(_), _) => (),
        }
    }

    /// As [`Server::append`], within the limits per minute. An entry beyond them is counted, and
    /// its answer is remembered in this run.
    pub(super) fn append_limited(&mut self, context: &Context, entry: &mut Entry, fx: &mut Effects) {
        let now = &context.now;
        if self.room != Room::Open {
            // The reserve is for entries that cannot wait.
            self.counters.left_out += 1;
            self.leave_out(now, place_of(entry.kind), 1);
            self.remember_answer(context, entry);
            return;
        }
        let device = self.tables.devices.get_mut(context.device);
        // A device that does not hold the machine number must not use up its holder's limit.
        let own = if context.is_served { &mut device.minute } else { &mut self.strangers };
        let is_own_free = own.has_room(now.mono, LIMITED_PER_DEVICE);
        if is_own_free && self.minute.has_room(now.mono, LIMITED_IN_ALL) {
            own.written += 1;
            self.minute.written += 1;
            self.append(entry, now, fx);
            return;
        }
        self.counters.left_out += 1;
        let place = place_of(entry.kind);
        if context.is_served && !is_own_free {
            if device.left_out.add(place, 1) {
                let row = u16::try_from(context.device).expect("DEVICES_MAX fits 16 bits");
                device.left_out.timer = self.tables.wheel.arm(device.minute.end(), Timer::LeftOut(Some(row)));
            }
        } else {
            self.leave_out(now, place, 1);
        }
        self.remember_answer(context, entry);
    }

    fn remember_answer(&mut self, context: &Context, entry: &Entry) {
        if let Some(id) = FrameId::of(entry).filter(|_| is_answer(entry)) {
            self.remember(context, id, entry);
        }
    }

    /// Postpones writing the counts of entries left out, until there is room.
    pub(super) fn put_off_left_out(&mut self, now: &Now, device: Option<u16>) {
        self.left_out_of(device).timer = self.tables.wheel.arm(now.mono.plus_ms(60_000), Timer::LeftOut(device));
    }

    /// The counts of a device's entries left out; `None`: of those that count for no device.
    pub(super) fn left_out_of(&mut self, device: Option<u16>) -> &mut LeftOut {
        match device {
            Some(device) => &mut self.tables.devices.get_mut(usize::from(device)).left_out,
            None => &mut self.left_out,
        }
    }

    /// Counts entries left out that count for no device: the limit of all was reached, or the
    /// device does not hold its number, or was replaced.
    pub(super) fn leave_out(&mut self, now: &Now, place: usize, count: u32) {
        if self.left_out.add(place, count) {
            let at = self.minute.end().max(now.mono.plus_ms(1000));
            self.left_out.timer = self.tables.wheel.arm(at, Timer::LeftOut(None));
        }
    }

    /// Remembers an answer without an entry.
    pub(super) fn remember(&mut self, context: &Context, id: FrameId, entry: &Entry) {
        if !context.is_served {
            return;
        }
        let at = Moment { mono: Some(context.now.mono), stamp: context.now.stamp, clock: context.clock };
        let echoes = &mut self.tables.devices.get_mut(context.device).echoes;
        echoes.push(AnsweredFrame::new(id, entry, at));
    }

    /// The first answer to this frame, if the frame was sent before (design.md, section 8).
    pub(super) fn first_answer(&self, context: &Context, id: &FrameId) -> Option<AnsweredFrame> {
        let (frame, device) = (context.frame, self.tables.devices.get(context.device));
        let serial = frame.serial.as_ref();
        let is_alive = |answered: &&AnsweredFrame| {
            let lifetime_ms = match frame.code {
                Code::Inquiry | Code::Keys => Some(ECHO_MS),
                Code::Boot | Code::Charge | Code::Meal | Code::Offline | Code::Confirm | Code::Scan | Code::Access => {
                    (!answered.is_believed()).then_some(TIMELESS_MS)
                }
            };
            lifetime_ms.is_none_or(|lifetime_ms| self.age_ms(&answered.at, context) < lifetime_ms)
        };
        let entered = self.tables.book.answered(frame.machine, serial, id).filter(is_alive);
        entered.or_else(|| device.echo(serial, id).filter(is_alive)).cloned()
    }

    /// The age of a moment for rules about money, in milliseconds ([`Moment::age_ms`]).
    pub(super) fn age_ms(&self, at: &Moment, context: &Context) -> u64 {
        at.age_ms(&context.now, context.clock, self.started)
    }

    /// Writes how many entries were left out, one entry per kind: those of a device, or, if `None`,
    /// those that count for no device.
    pub(super) fn write_left_out(&mut self, now: &Now, device: Option<u16>, fx: &mut Effects) {
        let mut template = Entry::new(Kind::Stop, now.stamp, self.clock.state);
        if let Some(device) = device.map(|device| self.tables.devices.get(usize::from(device))) {
            template.machine = Some(device.machine);
            template.serial.clone_from(&device.serial);
        }
        let counts = self.left_out_of(device).take();
        for (kind, count) in LIMITED.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
            let mut entry = Entry { kind, ..template };
            entry.detail.push("n", count);
            self.append(&mut entry, now, fx);
        }
    }
}
