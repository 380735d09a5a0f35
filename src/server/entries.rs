//! From decisions to entries: numbered, applied to the book, limited where a flood could fill the flash, and
//! remembered for the frame that comes again (design.md, sections 7 and 8).

use super::device::LIMITED;
use super::{Context, Effects, Server, Timer};
use crate::book::{FrameId, Moment, Seen};
use crate::limits::{LIMITED_IN_ALL, LIMITED_PER_DEVICE};
use crate::model::{Entry, EntrySeq, Now};
use crate::wire::Code;

/// Enquiries and keys are answered from memory for so long (design.md, section 8).
pub(super) const ECHO_MS: u64 = 10_000;

impl Server<'_> {
    /// Gives the entry its number, applies it to the book, and lets it be written.
    pub(super) fn append(&mut self, mut entry: Entry, now: &Now, fx: &mut Effects) -> EntrySeq {
        entry.seq = self.tables.book.head().next();
        let applied = self.tables.book.apply(&entry, Some(now.mono));
        applied.expect("an entry that we make follows from the book");
        let seq = entry.seq;
        fx.append(entry);
        seq
    }

    /// The same within the limit a minute; an entry beyond it is counted, and its answer remembered in this run.
    pub(super) fn append_limited(&mut self, context: &Context, entry: Entry, fx: &mut Effects) {
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
    pub(super) fn remember(&mut self, context: &Context, id: FrameId, entry: &Entry) {
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
    pub(super) fn first_answer(&self, context: &Context, id: &FrameId) -> Option<Seen> {
        let (frame, device) = (context.frame, self.tables.devices.get(context.device));
        let serial = frame.serial.as_ref();
        let seen = self.tables.book.seen(frame.machine, serial, id).or_else(|| device.echo(serial, id))?;
        let is_short_lived = matches!(frame.code, Code::Inquiry | Code::Keys);
        let age = seen.at.age_ms(&context.now, context.clock);
        (!is_short_lived || age.is_none_or(|age| age < ECHO_MS)).then(|| seen.clone())
    }

    pub(super) fn write_left_out(&mut self, now: &Now, device: usize, fx: &mut Effects) {
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
}
