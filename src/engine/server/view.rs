//! Views of the devices for status and the operator (design.md, section 3). Nothing here changes
//! anything.

use core::net::{Ipv4Addr, SocketAddrV4};

use super::Server;
use super::clock::ClockFault;
use super::device::{Device, Tally};
use crate::engine::model::rules::{DeviceKind, DeviceRule};
use crate::engine::model::{MachineNo, Mono, Serial};

/// A device that was heard in this run, or that the configuration registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceView<'a> {
    /// The machine number.
    pub machine: MachineNo,
    /// Its section; `None`: it is not registered.
    pub rule: Option<&'a DeviceRule>,
    /// The serial in its frames; `None` until a frame of this run carries one.
    pub serial: Option<&'a Serial>,
    /// The source of its newest served frame; `None`: none came in this run.
    pub source: Option<SocketAddrV4>,
    /// When its newest frame was served.
    pub seen: Option<Mono>,
    /// Its kind by its section; without a section, a board if it asked for a door.
    pub kind: DeviceKind,
    /// The last other device that sent with its number in this run: address and serial.
    pub rival: Option<(Ipv4Addr, Option<&'a Serial>)>,
    /// Whether one of its last ten approvals was confirmed by 109.
    pub is_confirming: bool,
    /// Whether none of its last ten approvals got a 109.
    pub is_mute: bool,
    /// The number of its sales in doubt.
    pub doubts: u32,
    /// Seconds by which its clock was ahead of ours in its newest frame with a time.
    pub clock_offset_s: Option<i64>,
    /// Its counts of this run.
    pub tally: Tally,
}

impl Server<'_> {
    /// The devices that were heard in this run, oldest first, then the registered ones that were
    /// not. At most twice [`DEVICES_MAX`](crate::engine::limits::DEVICES_MAX).
    pub(crate) fn devices(&self) -> impl Iterator<Item = DeviceView<'_>> {
        let rows = (0..self.tables.devices.rows().len()).map(|row| self.view(row));
        let absent = self.rules.devices.iter().filter(|rule| self.tables.devices.find(rule.machine).is_none());
        rows.chain(absent.map(|rule| DeviceView {
            machine: rule.machine,
            rule: Some(rule),
            serial: None,
            source: None,
            seen: None,
            kind: rule.kind,
            rival: None,
            is_confirming: self.tables.book.is_confirming(rule.machine),
            is_mute: self.tables.book.is_mute(rule.machine),
            doubts: self.tables.book.doubts_at(rule.machine),
            clock_offset_s: None,
            tally: Tally::default(),
        }))
    }

    fn view(&self, row: usize) -> DeviceView<'_> {
        let device: &Device = self.tables.devices.get(row);
        let rule = self.device_rule(row);
        let asked = if device.is_board { DeviceKind::Board } else { DeviceKind::Pos };
        DeviceView {
            machine: device.machine,
            rule,
            serial: device.serial.as_ref(),
            source: device.served.map(|_| device.peer.source),
            seen: device.served,
            kind: rule.map_or(asked, |rule| rule.kind),
            rival: device.rival.as_ref().map(|(address, serial)| (*address, serial.as_ref())),
            is_confirming: self.tables.book.is_confirming(device.machine),
            is_mute: device.is_mute(&self.tables.book),
            doubts: self.tables.book.doubts_at(device.machine),
            clock_offset_s: device.clock.offset_s(),
            tally: device.tally,
        }
    }

    /// Sets all counters to their highest value.
    #[cfg(test)]
    pub(crate) fn count_to_the_highest(&mut self) {
        self.counters = super::Counters::highest();
    }

    /// Why the clock is not believed, and since when; `None`: it is believed.
    pub(crate) fn clock_fault(&self) -> Option<(ClockFault, Mono)> {
        self.clock.fault()
    }

    /// Whether the kernel reported itself synchronized in this boot; `None`: not needed, so not
    /// checked.
    pub(crate) fn kernel_clock(&self) -> Option<bool> {
        self.clock.kernel_synchronized()
    }
}
