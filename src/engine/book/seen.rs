//! A device's last frames with the answers they got, and whether it confirms (design.md, sections 8
//! and 10).

use core::fmt;

use heapless::Deque;

use super::{Figures, asked_amount, same_device};
use crate::engine::index::{fnv1a, hash_number};
use crate::engine::limits::{APPROVALS_MAX, RECENT_FRAMES_MAX};
use crate::engine::model::{
    CardNo, Civil, ClockState, DeviceTime, Entry, EntrySeq, Kind, Money, Mono, Now, Reason, Serial, Stamp,
};

/// What makes two frames of one device the same frame: code, seq, card (128: command number; 150:
/// card, reader, door), asked amount and raw device time. Texts stand as 64-bit hashes.
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
    /// The identity of the frame that an entry is made from. In replay the code and the amount come
    /// from the entry, live they come from the frame: [`FrameId::of`].
    pub fn new(code: u16, entry: &Entry, asked: Money) -> Self {
        // A scan is named by its command number: whose card the code is, is found later.
        let card = if code == 128 { None } else { entry.card };
        // A 105 has an identity of its own, and a 106 is its keys.
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

    /// A byte in which two frames differ, but once in 256.
    fn mark(&self) -> u8 {
        let mixed = self.seq ^ self.when ^ self.card.rotate_left(32);
        (hash_number(mixed) >> 24) as u8
    }

    /// The identity of the frame behind an entry of the ledger; `None` for entries that answer no
    /// frame.
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

/// When something happened. Within this run ages are exact; across a restart entry times are
/// compared, and may say nothing (design.md, section 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// `None`: before this start.
    pub mono: Option<Mono>,
    /// The entry's time.
    pub stamp: Stamp,
    /// Whether that was believed.
    pub clock: ClockState,
}

impl Moment {
    /// Milliseconds ago; `None` if nobody knows.
    pub(crate) fn known_age_ms(&self, now: &Now, clock: ClockState) -> Option<u64> {
        if let Some(mono) = self.mono {
            return Some(now.mono.ms_since(mono));
        }
        if self.clock == ClockState::Unset || clock == ClockState::Unset {
            return None;
        }
        u64::try_from(now.stamp.wall.0.saturating_sub(self.stamp.wall.0)).ok()
    }

    /// Milliseconds ago, as money counts them (design.md, section 8): within the run that began at
    /// `started` by the monotonic clock; across it by entry times, but never less than the time
    /// since then, and exactly that where nobody knows.
    pub fn age_ms(&self, now: &Now, clock: ClockState, started: Mono) -> u64 {
        let known = self.known_age_ms(now, clock);
        match self.mono {
            Some(mono) => now.mono.ms_since(mono),
            None => known.unwrap_or_default().max(now.mono.ms_since(started)),
        }
    }
}

/// What a frame was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the entry recorded.
    pub kind: Kind,
    /// Why it was refused.
    pub reason: Option<Reason>,
    /// What the display showed.
    pub figures: Figures,
    /// The sale that the answer rests on: the entry itself, or the first for a sale recognized.
    pub sale: EntrySeq,
}

/// A terminal is not off and up again sooner than this, and no datagram is on its way for longer
/// (inferred): a 101 that comes sooner after a sale was perhaps overtaken by it, and says nothing
/// of frames that come later.
const POWER_CYCLE_MS: i64 = 15_000;

/// A frame and its answer.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The frame.
    pub id: FrameId,
    pub(super) serial: Option<Serial>,
    /// When it was answered first.
    pub at: Moment,
    /// What it was answered.
    pub outcome: Outcome,
    /// The device's time, if it was believed.
    pub(super) at_device: Option<Civil>,
    /// Whether a 105 was taken for its sale.
    pub(super) is_taken: bool,
}

impl Seen {
    /// A frame just answered, or replayed: what `entry` says of it.
    pub fn new(id: FrameId, entry: &Entry, at: Moment) -> Self {
        Self {
            id,
            serial: entry.serial,
            at,
            outcome: Outcome {
                kind: entry.kind,
                reason: entry.detail.reason(),
                figures: Figures::told_by(entry).unwrap_or_default(),
                sale: entry.about.unwrap_or(entry.seq),
            },
            at_device: entry.believed_at(),
            is_taken: false,
        }
    }

    /// Whether its device's time was believed: then it names the frame, however old that is.
    pub fn is_believed(&self) -> bool {
        self.at_device.is_some()
    }

    /// Whether this is the frame, from this device.
    pub fn is(&self, serial: Option<&Serial>, id: &FrameId) -> bool {
        self.id == *id && same_device(self.serial.as_ref(), serial)
    }
}

/// The newest answers of a device; the oldest gives way.
#[repr(C)]
pub struct Window {
    /// The [`FrameId::mark`]s of the answers: most frames are none of them, and that is seen
    /// without looking at them.
    marks: [u8; RECENT_FRAMES_MAX],
    /// Where the oldest stands.
    oldest: usize,
    seen: heapless::Vec<Seen, RECENT_FRAMES_MAX>,
}

impl Window {
    /// Empty.
    pub const fn new() -> Self {
        Self { marks: [0; RECENT_FRAMES_MAX], seen: heapless::Vec::new(), oldest: 0 }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.seen.clear();
        self.oldest = 0;
    }

    /// Adds the newest.
    pub fn push(&mut self, seen: Seen) {
        let place = if self.seen.is_full() { self.oldest } else { self.seen.len() };
        self.marks[place] = seen.id.mark();
        match self.seen.push(seen) {
            Ok(()) => (),
            Err(seen) => {
                self.seen[place] = seen;
                self.oldest = (place + 1) % RECENT_FRAMES_MAX;
            }
        }
    }

    /// Forgets the answers that are not to be kept.
    pub fn retain(&mut self, keep: impl Fn(&Seen) -> bool) {
        if self.seen.iter().all(&keep) {
            return;
        }
        self.seen.rotate_left(self.oldest);
        self.oldest = 0;
        self.seen.retain(keep);
        for (mark, seen) in self.marks.iter_mut().zip(&self.seen) {
            *mark = seen.id.mark();
        }
    }

    /// The answers, the newest first.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Seen> {
        let (newer, older) = self.seen.split_at_mut(self.oldest);
        newer.iter_mut().rev().chain(older.iter_mut().rev())
    }

    /// The newest answer to this frame of this device.
    pub fn find(&self, serial: Option<&Serial>, id: &FrameId) -> Option<&Seen> {
        if !self.marks[..self.seen.len()].contains(&id.mark()) {
            return None;
        }
        self.newest_first().find(|seen| seen.is(serial, id))
    }

    fn oldest_first(&self) -> impl Iterator<Item = &Seen> {
        let (newer, older) = self.seen.split_at(self.oldest);
        older.iter().chain(newer)
    }

    fn newest_first(&self) -> impl Iterator<Item = &Seen> {
        let (newer, older) = self.seen.split_at(self.oldest);
        newer.iter().rev().chain(older.iter().rev())
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

/// What the ledger remembers of one device. What every sale looks at stands first and together.
#[repr(C)]
pub(super) struct Memory {
    pub(super) machine: u64,
    pub(super) last: EntrySeq,
    pub(super) is_pinned: bool,
    /// Its sales in doubt.
    pub(super) doubts: u32,
    /// How many of the approvals were confirmed.
    confirmed: u8,
    approvals: Deque<(EntrySeq, bool), APPROVALS_MAX>,
    frames: Window,
    keys: Option<Seen>,
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
            let seen = Seen::new(id, entry, at);
            if entry.kind == Kind::Keys {
                self.keys = Some(seen);
            } else {
                self.frames.push(seen);
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

    /// Approvals of the last sales and admissions, oldest first, and whether each was confirmed.
    pub(super) fn approvals(&self) -> impl Iterator<Item = &(EntrySeq, bool)> {
        self.approvals.iter()
    }

    /// The serials of its last frames, the newest first.
    pub(super) fn serials(&self) -> impl Iterator<Item = &Serial> {
        self.frames.newest_first().filter_map(|seen| seen.serial.as_ref())
    }

    /// Its last frames with a device time, oldest first.
    pub(super) fn frames(&self) -> impl Iterator<Item = &Seen> {
        self.frames.oldest_first()
    }

    /// Its last 106.
    pub(super) fn keys(&self) -> Option<&Seen> {
        self.keys.as_ref()
    }

    /// The next approval of a snapshot; `None` if there are too many.
    pub(super) fn restore_approval(&mut self, seq: EntrySeq, confirmed: bool) -> Option<()> {
        self.approvals.push_back((seq, confirmed)).ok()?;
        self.confirmed += u8::from(confirmed);
        Some(())
    }

    /// The next frame of a snapshot.
    pub(super) fn restore_frame(&mut self, seen: Seen) {
        self.frames.push(seen);
    }

    /// The 106 of a snapshot.
    pub(super) fn restore_keys(&mut self, seen: Seen) {
        self.keys = Some(seen);
    }

    pub(super) fn confirm(&mut self, about: EntrySeq) {
        // Mostly the last one.
        if let Some((_, is_confirmed @ false)) = self.approvals.iter_mut().rev().find(|(seq, _)| *seq == about) {
            *is_confirmed = true;
            self.confirmed += 1;
        }
    }

    pub(super) fn find(&self, serial: Option<&Serial>, id: &FrameId) -> Option<&Seen> {
        self.frames.find(serial, id).or_else(|| self.keys.as_ref().filter(|seen| seen.is(serial, id)))
    }

    /// The device started, and counts its frames anew: one that nothing but its number names, of a
    /// sale that the device confirmed, is another sale when it comes once more. Frames of the last
    /// [`POWER_CYCLE_MS`] before the 101 stay: it may have been overtaken by them.
    pub(super) fn begin_anew(&mut self, at: Moment, is_confirmed: impl Fn(EntrySeq) -> bool) {
        self.frames.retain(|seen| match seen.outcome.kind {
            Kind::Charge | Kind::Meal | Kind::Scan | Kind::Repeat => {
                let is_overtaken = at.stamp.wall.0.saturating_sub(seen.at.stamp.wall.0) < POWER_CYCLE_MS;
                seen.is_believed() || is_overtaken || !is_confirmed(seen.outcome.sale)
            }
            _ => true,
        });
    }

    /// A 105 was taken for this sale.
    pub(super) fn take(&mut self, sale: EntrySeq) {
        for seen in self.frames.iter_mut().filter(|seen| seen.outcome.sale == sale) {
            seen.is_taken = true;
        }
    }

    /// An approved sale of this card, amount and device time that no 105 was taken for.
    pub(super) fn sale_at(&self, serial: Option<&Serial>, card: CardNo, asked: Money, at: Civil) -> Option<EntrySeq> {
        let mut sales = self.frames.newest_first().filter(|seen| match seen.outcome.kind {
            Kind::Charge | Kind::Meal | Kind::Repeat => true,
            // A 103 after its own 105 leads to that 105, which has an identity of its own.
            _ => false,
        });
        let same = |seen: &&Seen| {
            !seen.is_taken
                && seen.id.card == card.value()
                && seen.id.asked == asked
                && seen.at_device == Some(at)
                && same_device(seen.serial.as_ref(), serial)
        };
        sales.find(same).map(|seen| seen.outcome.sale)
    }

    pub(super) fn is_confirmed(&self, approval: EntrySeq) -> bool {
        self.approvals.iter().any(|known| *known == (approval, true))
    }

    /// All of it that a replay restores, to be compared.
    pub(super) fn as_replayed(&self) -> impl PartialEq + fmt::Debug + '_ {
        let shown = |seen: &Seen| {
            (seen.id, seen.serial, (seen.at.stamp, seen.at.clock), seen.outcome, seen.at_device, seen.is_taken)
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

/// Whether the entry answers a frame that may come again. Another device's frame under this machine
/// number, a device in quarantine and unreadable frames are answered anew each time.
pub fn is_answer(entry: &Entry) -> bool {
    match entry.detail.reason() {
        Some(Reason::MachineClash | Reason::UnknownDevice | Reason::Malformed) => false,
        _ => entry.detail.get("n").is_none() && entry.detail.code() != Some(105),
    }
}
