//! Devices of this run: which device holds a machine number, where its replies go, and its last
//! answers (design.md, section 13).

use core::net::Ipv4Addr;

use heapless::Deque;
use log::{info, warn};

use super::clock::DeviceClock;
use super::effects::Peer;
use super::outbox::Pending;
use crate::engine::book::{AnsweredFrame, Book, FrameId, Window};
use crate::engine::index::{Index, hash_number};
use crate::engine::limits::{APPROVALS_MAX, DEVICES_MAX, READERS_MAX};
use crate::engine::model::rules::{DeviceRule, Rules, UnknownDevices};
use crate::engine::model::text::{Unnumbered, text_from_lossy};
use crate::engine::model::{FrameSeq, Kind, MachineNo, Mono, Serial, Text};
use crate::engine::wheel::TimerId;

/// The span of the limits per minute.
const MINUTE_MS: u64 = 60_000;

/// Frame numbers of 109s remembered per device.
const CONFIRMS_MAX: usize = 8;

/// How a frame relates to its machine number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is from the device that holds the number.
    Served,
    /// No section registers the number, and only registered devices are served.
    Quarantined,
    /// Another device holds the number.
    Clash,
}

/// The limited kinds, in the order of [`LeftOut`]'s counts.
pub(super) const LIMITED: [Kind; 5] = [Kind::Decline, Kind::Refuse, Kind::Keys, Kind::Boot, Kind::Alarm];

/// Entries of limited kinds in the running minute.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Minute {
    pub(super) since: Mono,
    pub(super) written: u32,
}

impl Minute {
    /// Whether fewer than `max` entries were written in this minute. Begins a new minute if the
    /// last is over.
    pub(super) fn has_room(&mut self, now: Mono, max: u32) -> bool {
        if self.written == 0 || now.ms_since(self.since) >= MINUTE_MS {
            *self = Self { since: now, written: 0 };
        }
        self.written < max
    }

    /// When the minute ends.
    pub(super) fn end(&self) -> Mono {
        self.since.plus_ms(MINUTE_MS)
    }
}

/// Entries that the limits left out, until their counts are written.
#[derive(Default)]
pub(super) struct LeftOut {
    /// A count for each of [`LIMITED`].
    counts: [u32; LIMITED.len()],
    /// The timer that writes the counts.
    pub(super) timer: Option<TimerId>,
}

impl LeftOut {
    /// Adds to the count of a kind. Returns whether the caller must arm the timer.
    pub(super) fn add(&mut self, place: usize, count: u32) -> bool {
        self.counts[place] = self.counts[place].saturating_add(count);
        count > 0 && self.timer.is_none()
    }

    /// Takes and clears the counts, in the order of [`LIMITED`].
    pub(super) fn take(&mut self) -> [u32; LIMITED.len()] {
        core::mem::take(&mut self.counts)
    }
}

/// A device's counts of this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Frames that were served.
    pub frames: u64,
    /// Approved sales and opened doors, without repeats.
    pub approved: u64,
    /// Refused sales and doors.
    pub refused: u64,
}

/// One device. The fields that every frame reads come first, side by side: a thousand devices are
/// far larger than a cache.
#[repr(C)]
pub(super) struct Device {
    pub(super) machine: MachineNo,
    /// When its newest frame was served; `None` if none was.
    pub(super) served: Option<Mono>,
    /// The source of its newest frame, where its replies go.
    pub(super) peer: Peer,
    /// The index of its section in the rules.
    pub(super) rule: Option<u16>,
    /// The newest serial in its frames; `None` until a frame carries one.
    pub(super) serial: Option<Serial>,
    /// Approvals sent since its last 109 of any kind, since a device that sends 109s is not mute.
    /// Before its first 109 in this run it is at its highest, so that only the ledger decides.
    silent_approvals: u8,
    is_mute_warned: bool,
    /// Slots of its commands in the outbox, oldest first: those that wait for a 109, and a 011.
    pending: heapless::Vec<u16, { READERS_MAX + 2 }>,
    pub(super) tally: Tally,
    /// What its clock showed, and the 003s sent to it.
    pub(super) clock: DeviceClock,
    /// A sale whose 008 was sent for the last time, as long as a late 109 can only mean it.
    pub(super) lapsed: Option<Pending>,
    /// The frame numbers of its last 109s.
    confirms: Deque<u64, CONFIRMS_MAX>,
    /// Answers without an entry. They stay if another device takes the number, as the book's do;
    /// their serials tell the devices apart.
    pub(super) echoes: Window,
    pub(super) minute: Minute,
    pub(super) left_out: LeftOut,
    pub(super) clash_alarmed: Option<Mono>,
    /// The last frame like a 109 that confirmed nothing, for the warning about a mute device.
    stray_confirm: Text<96>,
    /// The last other device that sent with this number in this run: its address, and its serial if
    /// it sends one.
    pub(super) rival: Option<(Ipv4Addr, Option<Serial>)>,
    /// Whether it asked for a door.
    pub(super) is_board: bool,
}

impl Device {
    fn new(machine: MachineNo, peer: Peer, rule: Option<u16>) -> Self {
        Self {
            machine,
            serial: None,
            peer,
            served: None,
            rule,
            echoes: Window::new(),
            pending: heapless::Vec::new(),
            lapsed: None,
            confirms: Deque::new(),
            stray_confirm: Text::new(),
            is_mute_warned: false,
            silent_approvals: u8::MAX,
            minute: Minute::default(),
            left_out: LeftOut::default(),
            clash_alarmed: None,
            rival: None,
            clock: DeviceClock::default(),
            is_board: false,
            tally: Tally::default(),
        }
    }

    /// The slots of its commands in the outbox, oldest first.
    pub(super) fn slots(&self) -> &[u16] {
        &self.pending
    }

    /// Adds the slot of a command. If [`Device::slot_to_free`] returns a slot, the caller frees
    /// that one first.
    pub(super) fn add_slot(&mut self, slot: u16) {
        self.pending.push(slot).expect("the caller freed the oldest slot");
    }

    /// Removes the slot of a command that ended.
    pub(super) fn remove_slot(&mut self, slot: u16) {
        self.pending.retain(|other| *other != slot);
    }

    /// The slot of its oldest command, if there is no room for another.
    pub(super) fn slot_to_free(&self) -> Option<u16> {
        self.pending.first().copied().filter(|_| self.pending.is_full())
    }

    /// Counts an approval sent to it.
    pub(super) fn count_approval(&mut self) {
        self.silent_approvals = self.silent_approvals.saturating_add(1);
    }

    /// Notes a 109. Returns `false` if one with this frame number came before.
    pub(super) fn hear_confirm(&mut self, seq: FrameSeq) -> bool {
        self.silent_approvals = 0;
        if core::mem::take(&mut self.is_mute_warned) {
            info!("speaks-again machine={}", self.machine);
        }
        let is_new = !self.confirms.iter().any(|seen| *seen == seq.value());
        if is_new {
            if self.confirms.is_full() {
                self.confirms.pop_front();
            }
            self.confirms.push_back(seq.value()).expect("the oldest was removed");
        }
        is_new
    }

    /// Keeps a frame like a 109 that confirmed nothing.
    pub(super) fn keep_stray_confirm(&mut self, raw: &[u8]) {
        self.stray_confirm = text_from_lossy(raw);
    }

    /// Forgets the numbers of its 109s: a device that started numbers its frames from the
    /// beginning.
    pub(super) fn forget_confirms(&mut self) {
        self.confirms.clear();
    }

    /// Whether none of its last ten approvals got a 109, and no 109 came since.
    pub(super) fn is_mute(&self, book: &Book) -> bool {
        usize::from(self.silent_approvals) >= APPROVALS_MAX && book.is_mute(self.machine)
    }

    /// Warns that it is mute, once until it sends a 109.
    pub(super) fn warn_mute(&mut self) {
        if core::mem::replace(&mut self.is_mute_warned, true) {
            return;
        }
        let seen = if self.stray_confirm.is_empty() { "none" } else { self.stray_confirm.as_str() };
        warn!(
            "mute machine={}: its last approvals all went without a 109; last 109-like frame: \"{}\"",
            self.machine,
            Unnumbered(seen)
        );
    }

    /// The answer of this run to an equal frame that has no entry.
    pub(super) fn echo(&self, serial: Option<&Serial>, id: &FrameId) -> Option<&AnsweredFrame> {
        self.echoes.find(serial, id)
    }

    /// Whether a frame with this serial from this address is of the last served device: serials are
    /// equal, or one is missing and addresses are equal.
    fn is_same(&self, serial: Option<&Serial>, address: Ipv4Addr) -> bool {
        match (&self.serial, serial) {
            (Some(known), Some(serial)) => known == serial,
            _ => *self.peer.source.ip() == address,
        }
    }

    /// How a frame relates to this device's number.
    pub(super) fn standing(&self, rules: &Rules, now: Mono, serial: Option<&Serial>, address: Ipv4Addr) -> Standing {
        let is_held = self.served.is_some();
        let is_of_holder = match self.rule.map(|rule| &rules.devices[usize::from(rule)]) {
            None if rules.unknown_devices == UnknownDevices::Quarantine => return Standing::Quarantined,
            Some(DeviceRule { serial: Some(registered), address: at, .. }) => match (serial, at) {
                (Some(serial), _) => registered == serial,
                // A frame without a serial is judged by the registered address, or by that of the
                // last frame with the registered serial.
                (None, at) => *at == Some(address) || (is_held && self.is_same(None, address)),
            },
            Some(DeviceRule { serial: None, address: Some(at), .. }) => *at == address,
            Some(DeviceRule { serial: None, address: None, .. }) | None => {
                let window_ms = u64::from(rules.clash_window_s) * 1000;
                let is_open = self.served.is_none_or(|served| now.ms_since(served) >= window_ms);
                is_open || self.is_same(serial, address)
            }
        };
        if is_of_holder { Standing::Served } else { Standing::Clash }
    }

    /// Notes a served frame. Returns `true` if another device than before sent it; its state is
    /// then reset.
    pub(super) fn serve(&mut self, now: Mono, serial: Option<&Serial>, peer: Peer) -> bool {
        let is_another = self.served.is_some() && !self.is_same(serial, *peer.source.ip());
        if is_another {
            self.forget_confirms();
            self.rival = Some((*self.peer.source.ip(), self.serial.take()));
            self.clock.forget();
            self.is_board = false;
            self.tally = Tally::default();
        }
        self.tally.frames += 1;
        self.peer = peer;
        self.served = Some(now);
        if let Some(serial) = serial {
            self.serial = Some(*serial);
        }
        is_another
    }
}

/// All devices of this run, found by machine number in O(1).
pub(super) struct Devices {
    rows: heapless::Vec<Device, DEVICES_MAX>,
    by_machine: Index<{ 4 * DEVICES_MAX }>,
}

impl Devices {
    pub(super) const fn new() -> Self {
        Self { rows: heapless::Vec::new(), by_machine: Index::new() }
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.by_machine.clear();
    }

    pub(super) fn find(&self, machine: MachineNo) -> Option<usize> {
        let value = machine.value();
        let row = self.by_machine.find(hash_number(value), |row| self.rows[row as usize].machine.value() == value)?;
        Some(row as usize)
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.is_full()
    }

    /// Adds a device. The caller made room.
    pub(super) fn add(&mut self, machine: MachineNo, peer: Peer, rules: &Rules) -> usize {
        let row = self.rows.len();
        assert!(self.rows.push(Device::new(machine, peer, rule_of(rules, machine))).is_ok(), "the caller made room");
        let (rows, number) = (&self.rows, u32::try_from(row).expect("DEVICES_MAX fits"));
        self.by_machine.insert(hash_number(machine.value()), number, |row| hash_of(&rows[row as usize]));
        row
    }

    /// Replaces the device in a row.
    pub(super) fn replace(&mut self, row: usize, machine: MachineNo, peer: Peer, rules: &Rules) {
        self.rows[row] = Device::new(machine, peer, rule_of(rules, machine));
        let rows = &self.rows;
        self.by_machine.fill(rows.len(), |row| hash_of(&rows[row as usize]));
    }

    /// Finds each device's section in new rules.
    pub(super) fn install(&mut self, rules: &Rules) {
        for device in &mut self.rows {
            device.rule = rule_of(rules, device.machine);
        }
    }

    /// A device that sends from this address.
    pub(super) fn of_address(&mut self, address: Ipv4Addr) -> Option<&mut Device> {
        self.rows.iter_mut().find(|device| device.served.is_some() && *device.peer.source.ip() == address)
    }

    pub(super) fn rows(&self) -> &[Device] {
        &self.rows
    }

    pub(super) fn get(&self, row: usize) -> &Device {
        &self.rows[row]
    }

    pub(super) fn rows_mut(&mut self) -> impl Iterator<Item = &mut Device> {
        self.rows.iter_mut()
    }

    pub(super) fn get_mut(&mut self, row: usize) -> &mut Device {
        &mut self.rows[row]
    }
}

fn hash_of(device: &Device) -> u32 {
    hash_number(device.machine.value())
}

fn rule_of(rules: &Rules, machine: MachineNo) -> Option<u16> {
    let place = rules.devices.iter().position(|rule| rule.machine == machine)?;
    Some(u16::try_from(place).expect("DEVICES_MAX sections fit 16 bits"))
}
