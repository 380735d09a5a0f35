//! Devices as they are known in this run: who holds a machine number, where its replies go, what it
//! was just answered (design.md, section 13).

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

/// The span of the limits to entries.
const MINUTE_MS: u64 = 60_000;

/// Frame numbers of 109s remembered a device.
const CONFIRMS_MAX: usize = 8;

/// How a frame stands to the machine number it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is of the device that the number belongs to.
    Served,
    /// No section registers the number, and only registered devices are served.
    Quarantined,
    /// Another device holds the number.
    Clash,
}

/// The limited kinds, in the order of their excess counts.
pub(super) const LIMITED: [Kind; 5] = [Kind::Decline, Kind::Refuse, Kind::Keys, Kind::Boot, Kind::Alarm];

/// Entries of limited kinds in the running minute.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Minute {
    pub(super) since: Mono,
    pub(super) written: u32,
}

impl Minute {
    /// Whether the running minute has a place left.
    pub(super) fn has_room(&mut self, now: Mono, max: u32) -> bool {
        if self.written == 0 || now.ms_since(self.since) >= MINUTE_MS {
            *self = Self { since: now, written: 0 };
        }
        self.written < max
    }

    /// When the running minute is over.
    pub(super) fn end(&self) -> Mono {
        self.since.plus_ms(MINUTE_MS)
    }
}

/// Entries that the limits left out, until their counts are written.
#[derive(Default)]
pub(super) struct LeftOut {
    /// A count for each of [`LIMITED`].
    counts: [u32; LIMITED.len()],
    /// When the counts are to be written.
    pub(super) timer: Option<TimerId>,
}

impl LeftOut {
    /// Adds to the count of a kind. Gives whether a timer is needed, and none is on its way.
    pub(super) fn add(&mut self, place: usize, count: u32) -> bool {
        self.counts[place] = self.counts[place].saturating_add(count);
        count > 0 && self.timer.is_none()
    }

    /// Takes the counts, in the order of [`LIMITED`].
    pub(super) fn take(&mut self) -> [u32; LIMITED.len()] {
        core::mem::take(&mut self.counts)
    }
}

/// A device's counts of this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames that were served.
    pub frames: u64,
    /// Sales approved and doors opened; not those recognized as sent or tried again.
    pub approved: u64,
    /// Sales and doors refused.
    pub refused: u64,
}

/// One device. What every frame looks at stands first and together: a thousand of these are far
/// more than a cache holds.
#[repr(C)]
pub(super) struct Device {
    pub(super) machine: MachineNo,
    /// When its newest frame was served; `None` if none was yet.
    pub(super) served: Option<Mono>,
    /// Its newest frame's way.
    pub(super) peer: Peer,
    /// Its section in the rules.
    pub(super) rule: Option<u16>,
    /// The hardware serial that its frames carry, once one did.
    pub(super) serial: Option<Serial>,
    /// Approvals sent since its last 109 of any kind: a device that says something is not mute.
    /// Until it spoke in this run the ledger alone decides.
    silent_approvals: u8,
    is_mute_told: bool,
    /// Commands awaiting a 109, oldest first, and a 011: places in the outbox.
    pending: heapless::Vec<u16, { READERS_MAX + 2 }>,
    pub(super) tally: Tally,
    /// What its clock showed, and what it was told.
    pub(super) clock: DeviceClock,
    /// The sale whose 008 was sent for the last time, while a late 109 can mean nothing else.
    pub(super) lapsed: Option<Pending>,
    /// The 109s it sent.
    confirms: Deque<u64, CONFIRMS_MAX>,
    /// Answers that stand in no entry. They outlive a change of the device under the number, as
    /// those of the book do: serials tell whose they are.
    pub(super) echoes: Window,
    pub(super) minute: Minute,
    pub(super) left_out: LeftOut,
    pub(super) clash_told: Option<Mono>,
    /// A 109-like frame that confirmed nothing, for the warning about a mute device.
    stray_confirm: Text<96>,
    /// Who else sent under this number in this run, last: its address, and its serial where its
    /// frames carry one.
    pub(super) rival: Option<(Ipv4Addr, Option<Serial>)>,
    /// It asked for a door.
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
            is_mute_told: false,
            silent_approvals: u8::MAX,
            minute: Minute::default(),
            left_out: LeftOut::default(),
            clash_told: None,
            rival: None,
            clock: DeviceClock::default(),
            is_board: false,
            tally: Tally::default(),
        }
    }

    /// The places of its commands in the outbox, oldest first.
    pub(super) fn slots(&self) -> &[u16] {
        &self.pending
    }

    /// Takes note of a command in this place of the outbox. If [`Device::slot_to_free`] names a
    /// place, the caller frees that first.
    pub(super) fn add_slot(&mut self, slot: u16) {
        self.pending.push(slot).expect("the oldest gave way");
    }

    /// Takes note that a place of the outbox holds none of its commands any more.
    pub(super) fn remove_slot(&mut self, slot: u16) {
        self.pending.retain(|other| *other != slot);
    }

    /// Its oldest command, if it can have no further one.
    pub(super) fn slot_to_free(&self) -> Option<u16> {
        self.pending.first().copied().filter(|_| self.pending.is_full())
    }

    /// Counts an approval that is sent to it.
    pub(super) fn count_approval(&mut self) {
        self.silent_approvals = self.silent_approvals.saturating_add(1);
    }

    /// Takes note of a 109. `false` if one with this frame number came before.
    pub(super) fn hear_confirm(&mut self, seq: FrameSeq) -> bool {
        self.silent_approvals = 0;
        if core::mem::take(&mut self.is_mute_told) {
            info!("speaks-again machine={}", self.machine);
        }
        let is_new = !self.confirms.iter().any(|seen| *seen == seq.value());
        if is_new {
            if self.confirms.is_full() {
                self.confirms.pop_front();
            }
            self.confirms.push_back(seq.value()).expect("a place was freed");
        }
        is_new
    }

    /// Keeps a 109-like frame that confirmed nothing.
    pub(super) fn keep_stray_confirm(&mut self, raw: &[u8]) {
        self.stray_confirm = text_from_lossy(raw);
    }

    /// Forgets the numbers of its 109s: a device that started counts its frames anew.
    pub(super) fn forget_confirms(&mut self) {
        self.confirms.clear();
    }

    /// Whether its last ten approvals all went without a 109, and it has sent none since.
    pub(super) fn is_mute(&self, book: &Book) -> bool {
        usize::from(self.silent_approvals) >= APPROVALS_MAX && book.is_mute(self.machine)
    }

    /// Warns that it is mute, once until it speaks again.
    pub(super) fn tell_mute(&mut self) {
        if core::mem::replace(&mut self.is_mute_told, true) {
            return;
        }
        let seen = if self.stray_confirm.is_empty() { "none" } else { self.stray_confirm.as_str() };
        warn!(
            "mute machine={}: its last approvals all went without a 109; last 109-like frame: \"{}\"",
            self.machine,
            Unnumbered(seen)
        );
    }

    /// An answer of this run that stands in no entry.
    pub(super) fn echo(&self, serial: Option<&Serial>, id: &FrameId) -> Option<&AnsweredFrame> {
        self.echoes.find(serial, id)
    }

    /// Whether a frame with this serial from this address is of the device that was served last:
    /// equal serials, or, where one has none, equal addresses.
    fn is_same(&self, serial: Option<&Serial>, address: Ipv4Addr) -> bool {
        match (&self.serial, serial) {
            (Some(known), Some(serial)) => known == serial,
            _ => *self.peer.source.ip() == address,
        }
    }

    /// How a frame stands to this device's number.
    pub(super) fn standing(&self, rules: &Rules, now: Mono, serial: Option<&Serial>, address: Ipv4Addr) -> Standing {
        let is_held = self.served.is_some();
        let is_of_holder = match self.rule.map(|rule| &rules.devices[usize::from(rule)]) {
            None if rules.unknown_devices == UnknownDevices::Quarantine => return Standing::Quarantined,
            Some(DeviceRule { serial: Some(registered), address: at, .. }) => match (serial, at) {
                (Some(serial), _) => registered == serial,
                // A frame that does not carry the registered serial: the registered address, or
                // that of the last that did.
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

    /// Takes note of a frame that is served. `true` if it is of another device than before, which
    /// starts afresh.
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

    /// Adds a device; there must be room.
    pub(super) fn add(&mut self, machine: MachineNo, peer: Peer, rules: &Rules) -> usize {
        let row = self.rows.len();
        assert!(self.rows.push(Device::new(machine, peer, rule_of(rules, machine))).is_ok(), "the caller made room");
        let (rows, number) = (&self.rows, u32::try_from(row).expect("DEVICES_MAX fits"));
        self.by_machine.insert(hash_number(machine.value()), number, |row| hash_of(&rows[row as usize]));
        row
    }

    /// Puts another device into a row.
    pub(super) fn replace(&mut self, row: usize, machine: MachineNo, peer: Peer, rules: &Rules) {
        self.rows[row] = Device::new(machine, peer, rule_of(rules, machine));
        let rows = &self.rows;
        self.by_machine.fill(rows.len(), |row| hash_of(&rows[row as usize]));
    }

    /// Finds each device's section again: the rules are new.
    pub(super) fn install(&mut self, rules: &Rules) {
        for device in &mut self.rows {
            device.rule = rule_of(rules, device.machine);
        }
    }

    /// A device whose frames come from this address.
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
