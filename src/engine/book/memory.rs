//! Remembers a device's last frames with their answers, and whether it confirms (design.md,
//! sections 8 and 10).

use core::fmt;

use heapless::Deque;

use super::{Figures, asked_amount, same_device};
use crate::engine::index::{fnv1a, hash_number};
use crate::engine::limits::{APPROVALS_MAX, RECENT_FRAMES_MAX};
use crate::engine::model::{
    CardNo, Civil, ClockState, DeviceTime, Entry, EntrySeq, Kind, Money, Mono, Now, Reason, Serial, Stamp,
};

/// Identifies a frame of a device: code, seq, card (128: command number; 150: card, reader, door),
/// asked amount and raw device time. Texts are 64-bit hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameId {
    pub(super) code: u16,
    pub(super) seq: u64,
    pub(super) card: u64,
    pub(super) asked: Money,
    pub(super) when: u64,
    pub(super) slot: u64,
}

impl FrameId {
    /// The identity of the frame that led to an entry. A live frame gives its code and amount;
    /// [`FrameId::of`] takes them from the entry in a replay.
    pub fn new(code: u16, entry: &Entry, asked: Money) -> Self {
        // A scan is identified by its command number: its card is found later.
        let card = if code == 128 { None } else { entry.card };
        // A 106 is identified by its keys. A 105 has an identity of its own, `OfflineId`.
        let slot = entry.slot.as_ref().map_or(0, |slot| fnv1a(slot.as_bytes()));
        let keys = entry.detail.get("keys").map_or(0, |keys| fnv1a(keys.0.as_bytes()));
        Self {
            code,
            seq: entry.frame.map_or(u64::MAX, |frame| frame.value()),
            card: card.map_or(u64::MAX, |card| card.value()),
            asked,
            when: entry.device_time.as_ref().map_or(0, DeviceTime::mark),
            slot: slot ^ keys,
        }
    }

    /// Whether the frame was about this card or, if it was a 128, this command number.
    pub(super) fn is_about(&self, subject: &[u8]) -> bool {
        match self.code {
            128 => self.slot == fnv1a(subject),
            _ => CardNo::parse(subject).is_some_and(|card| card.value() == self.card),
        }
    }

    /// A byte that differs for 255 of 256 pairs of frames.
    fn tag(&self) -> u8 {
        let mixed = self.seq ^ self.when ^ self.card.rotate_left(32);
        (hash_number(mixed) >> 24) as u8
    }

    /// The identity of the frame that led to an entry; `None` for entries that answer no frame.
    pub fn of(entry: &Entry) -> Option<Self> {
        let code = match entry.kind {
            Kind::Charge => 103,
            Kind::Scan => 128,
            Kind::Meal => entry.detail.code().unwrap_or(104),
            Kind::Decline | Kind::Repeat | Kind::Matched => entry.detail.code()?,
            Kind::Admit | Kind::Refuse => 150,
            Kind::Keys => 106,
            _ => return None,
        };
        Some(Self::new(code, entry, asked_amount(entry)))
    }
}

/// When something happened. Ages are exact within a run; across a restart they come from entry
/// times and may be unknown (design.md, section 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// `None`: before this start.
    pub mono: Option<Mono>,
    /// The entry's time.
    pub stamp: Stamp,
    /// Whether the clock was believed then.
    pub clock: ClockState,
}

impl Moment {
    /// The age in milliseconds; `None` if it is unknown.
    pub(crate) fn known_age_ms(&self, now: &Now, clock: ClockState) -> Option<u64> {
        if let Some(mono) = self.mono {
            return Some(now.mono.ms_since(mono));
        }
        if self.clock == ClockState::Unset || clock == ClockState::Unset {
            return None;
        }
        u64::try_from(now.stamp.wall.0.saturating_sub(self.stamp.wall.0)).ok()
    }

    /// The age in milliseconds for rules about money (design.md, section 8): by the monotonic clock
    /// within the run that began at `started`; before it by entry times, but at least the time
    /// since `started`, and exactly that if the age is unknown.
    pub fn age_ms(&self, now: &Now, clock: ClockState, started: Mono) -> u64 {
        let known = self.known_age_ms(now, clock);
        match self.mono {
            Some(mono) => now.mono.ms_since(mono),
            None => known.unwrap_or_default().max(now.mono.ms_since(started)),
        }
    }
}

/// The answer to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The kind of its entry.
    pub kind: Kind,
    /// Why the frame was refused.
    pub reason: Option<Reason>,
    /// The figures on the display.
    pub figures: Figures,
    /// The sale on which the answer rests: the entry itself, or the first one's for a recognized
    /// sale.
    pub sale: EntrySeq,
}

/// A terminal takes at least this long to switch off and on, and no datagram is on its way for
/// longer (inferred). A sale less than this before a 101 may have overtaken the 101, so the 101
/// does not prove that the terminal restarted after the sale.
const POWER_CYCLE_MS: i64 = 15_000;

/// A frame with its answer.
#[derive(Clone, Debug)]
pub struct AnsweredFrame {
    /// The frame.
    pub id: FrameId,
    pub(super) serial: Option<Serial>,
    /// When it was first answered.
    pub at: Moment,
    /// The answer.
    pub outcome: Outcome,
    /// The device's time, if it was believed.
    pub(super) at_device: Option<Civil>,
    /// Whether a 105 was matched with its sale.
    pub(super) is_taken: bool,
}

impl AnsweredFrame {
    /// A frame with the answer in its entry, live or in a replay.
    pub fn new(id: FrameId, entry: &Entry, at: Moment) -> Self {
        Self {
            id,
            serial: entry.serial,
            at,
            outcome: Outcome {
                kind: entry.kind,
                reason: entry.detail.reason(),
                figures: Figures::in_answer(entry).unwrap_or_default(),
                sale: entry.about.unwrap_or(entry.seq),
            },
            at_device: entry.believed_at(),
            is_taken: false,
        }
    }

    /// Whether the device's time was believed. Then an equal frame is the same one, however late it
    /// comes.
    pub fn is_believed(&self) -> bool {
        self.at_device.is_some()
    }

    /// Whether this is the same frame of the same device.
    pub fn is(&self, serial: Option<&Serial>, id: &FrameId) -> bool {
        self.id == *id && same_device(self.serial.as_ref(), serial)
    }
}

/// The newest answers to a device; a new one replaces the oldest.
#[repr(C)]
pub struct Window {
    /// The [`FrameId::tag`]s of the answers. Most frames are new, and their tags show it without a
    /// look at the answers.
    tags: [u8; RECENT_FRAMES_MAX],
    /// Index of the oldest answer.
    oldest: usize,
    answers: heapless::Vec<AnsweredFrame, RECENT_FRAMES_MAX>,
}

impl Window {
    /// No answers.
    pub const fn new() -> Self {
        Self { tags: [0; RECENT_FRAMES_MAX], answers: heapless::Vec::new(), oldest: 0 }
    }

    /// Removes all answers.
    pub fn clear(&mut self) {
        self.answers.clear();
        self.oldest = 0;
    }

    /// Adds the newest answer.
    pub fn push(&mut self, answered: AnsweredFrame) {
        let place = if self.answers.is_full() { self.oldest } else { self.answers.len() };
        self.tags[place] = answered.id.tag();
        match self.answers.push(answered) {
            Ok(()) => (),
            Err(answered) => {
                self.answers[place] = answered;
                self.oldest = (place + 1) % RECENT_FRAMES_MAX;
            }
        }
    }

    /// Removes the answers for which `keep` is false.
    pub fn retain(&mut self, keep: impl Fn(&AnsweredFrame) -> bool) {
        if self.answers.iter().all(&keep) {
            return;
        }
        self.answers.rotate_left(self.oldest);
        self.oldest = 0;
        self.answers.retain(keep);
        for (tag, answered) in self.tags.iter_mut().zip(&self.answers) {
            *tag = answered.id.tag();
        }
    }

    /// The answers, newest first.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut AnsweredFrame> {
        let (newer, older) = self.answers.split_at_mut(self.oldest);
        newer.iter_mut().rev().chain(older.iter_mut().rev())
    }

    /// The newest answer to an equal frame of the device with this serial.
    pub fn find(&self, serial: Option<&Serial>, id: &FrameId) -> Option<&AnsweredFrame> {
        if !self.tags[..self.answers.len()].contains(&id.tag()) {
            return None;
        }
        self.newest_first().find(|answered| answered.is(serial, id))
    }

    fn oldest_first(&self) -> impl Iterator<Item = &AnsweredFrame> {
        let (newer, older) = self.answers.split_at(self.oldest);
        older.iter().chain(newer)
    }

    fn newest_first(&self) -> impl Iterator<Item = &AnsweredFrame> {
        let (newer, older) = self.answers.split_at(self.oldest);
        newer.iter().rev().chain(older.iter().rev())
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

/// What the book remembers of one device. The fields that every sale reads come first, side by
/// side.
#[repr(C)]
pub(super) struct Memory {
    pub(super) machine: u64,
    pub(super) last: EntrySeq,
    pub(super) is_pinned: bool,
    /// The number of its sales in doubt.
    pub(super) doubts: u32,
    /// How many of `approvals` were confirmed.
    confirmed: u8,
    approvals: Deque<(EntrySeq, bool), APPROVALS_MAX>,
    frames: Window,
    keys: Option<AnsweredFrame>,
}

impl Memory {
    pub(super) fn new(machine: u64) -> Self {
        Self {
            machine,
            last: EntrySeq(0),
            is_pinned: false,
            doubts: 0,
            keys: None,
            approvals: Deque::new(),
            confirmed: 0,
            frames: Window::new(),
        }
    }

    pub(super) fn remember(&mut self, entry: &Entry, at: Moment) {
        if let Some(id) = FrameId::of(entry).filter(|_| is_answer(entry)) {
            let answered = AnsweredFrame::new(id, entry, at);
            if entry.kind == Kind::Keys {
                self.keys = Some(answered);
            } else {
                self.frames.push(answered);
            }
        }
        if matches!(entry.kind, Kind::Charge | Kind::Meal | Kind::Scan | Kind::Admit) {
            if self.approvals.is_full()
                && let Some((_, true)) = self.approvals.pop_front()
            {
                self.confirmed -= 1;
            }
            self.approvals.push_back((entry.seq, false)).expect("a place was freed");
        }
    }

    /// The last approved sales and admissions, oldest first, and whether each was confirmed.
    pub(super) fn approvals(&self) -> impl Iterator<Item = &(EntrySeq, bool)> {
        self.approvals.iter()
    }

    /// The serials of its last frames, newest first.
    pub(super) fn serials(&self) -> impl Iterator<Item = &Serial> {
        self.frames.newest_first().filter_map(|answered| answered.serial.as_ref())
    }

    /// Its last frames with a device time, oldest first.
    pub(super) fn frames(&self) -> impl Iterator<Item = &AnsweredFrame> {
        self.frames.oldest_first()
    }

    /// Its last 106.
    pub(super) fn keys(&self) -> Option<&AnsweredFrame> {
        self.keys.as_ref()
    }

    /// Adds the next approval of a snapshot; `None` if there are too many.
    pub(super) fn restore_approval(&mut self, seq: EntrySeq, confirmed: bool) -> Option<()> {
        self.approvals.push_back((seq, confirmed)).ok()?;
        self.confirmed += u8::from(confirmed);
        Some(())
    }

    /// Adds the next frame of a snapshot.
    pub(super) fn restore_frame(&mut self, answered: AnsweredFrame) {
        self.frames.push(answered);
    }

    /// Sets the 106 of a snapshot.
    pub(super) fn restore_keys(&mut self, answered: AnsweredFrame) {
        self.keys = Some(answered);
    }

    pub(super) fn confirm(&mut self, about: EntrySeq) {
        // Mostly it is the last one.
        if let Some((_, is_confirmed @ false)) = self.approvals.iter_mut().rev().find(|(seq, _)| *seq == about) {
            *is_confirmed = true;
            self.confirmed += 1;
        }
    }

    pub(super) fn find(&self, serial: Option<&Serial>, id: &FrameId) -> Option<&AnsweredFrame> {
        self.frames.find(serial, id).or_else(|| self.keys.as_ref().filter(|answered| answered.is(serial, id)))
    }

    /// The device started and numbers its frames from the beginning. If only its number identifies
    /// a frame, and the device confirmed its sale, an equal frame is now another sale, so the frame
    /// is forgotten. Frames of the last [`POWER_CYCLE_MS`] before the 101 stay: they may have
    /// overtaken it.
    pub(super) fn forget_confirmed(&mut self, at: Moment, is_confirmed: impl Fn(EntrySeq) -> bool) {
        self.frames.retain(|answered| match answered.outcome.kind {
            Kind::Charge | Kind::Meal | Kind::Scan | Kind::Repeat => {
                let is_overtaken = at.stamp.wall.0.saturating_sub(answered.at.stamp.wall.0) < POWER_CYCLE_MS;
                answered.is_believed() || is_overtaken || !is_confirmed(answered.outcome.sale)
            }
            _ => true,
        });
    }

    /// Records that a 105 was matched with this sale.
    pub(super) fn mark_matched(&mut self, sale: EntrySeq) {
        for answered in self.frames.iter_mut().filter(|answered| answered.outcome.sale == sale) {
            answered.is_taken = true;
        }
    }

    /// The approved sale of this card, amount and device time that no 105 is matched with.
    pub(super) fn sale_at(&self, serial: Option<&Serial>, card: CardNo, asked: Money, at: Civil) -> Option<EntrySeq> {
        let mut sales = self.frames.newest_first().filter(|answered| match answered.outcome.kind {
            Kind::Charge | Kind::Meal | Kind::Repeat => true,
            // A 103 after its own 105 leads to that 105's entry, which `OfflineId` identifies.
            _ => false,
        });
        let same = |answered: &&AnsweredFrame| {
            !answered.is_taken
                && answered.id.card == card.value()
                && answered.id.asked == asked
                && answered.at_device == Some(at)
                && same_device(answered.serial.as_ref(), serial)
        };
        sales.find(same).map(|answered| answered.outcome.sale)
    }

    pub(super) fn is_confirmed(&self, approval: EntrySeq) -> bool {
        self.approvals.iter().any(|known| *known == (approval, true))
    }

    /// All that a replay restores, for comparison.
    pub(super) fn as_replayed(&self) -> impl PartialEq + fmt::Debug + '_ {
        let shown = |answered: &AnsweredFrame| {
            (
                answered.id,
                answered.serial,
                (answered.at.stamp, answered.at.clock),
                answered.outcome,
                answered.at_device,
                answered.is_taken,
            )
        };
        let frames: Vec<_> = self.frames().map(shown).collect();
        let approvals: Vec<_> = self.approvals.iter().copied().collect();
        let order = (self.last, self.is_pinned, self.doubts);
        (order, frames, self.keys.as_ref().map(shown), approvals)
    }

    pub(super) fn is_confirming(&self) -> bool {
        self.confirmed > 0
    }

    pub(super) fn is_mute(&self) -> bool {
        self.approvals.is_full() && !self.is_confirming()
    }
}

/// Whether a repeat of the entry's frame gets the same answer from memory. Frames that are
/// unreadable, of a quarantined device, or of another device with this machine number are judged
/// each time.
pub fn is_answer(entry: &Entry) -> bool {
    match entry.detail.reason() {
        Some(Reason::MachineClash | Reason::UnknownDevice | Reason::Malformed) => false,
        _ => !entry.detail.has("n") && entry.detail.code() != Some(105),
    }
}
