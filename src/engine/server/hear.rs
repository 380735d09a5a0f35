//! Datagrams as they come in: which sources are served, what is not a frame, and the order of a
//! turn.
//!
//! A live request, for which a person waits, is decided when it comes. A stored sale (105) is
//! acknowledged when it comes and decided after the turn's live requests (the *invariants* are at
//! [`aside`](super::aside)). Then the deadlines that have passed are handled. The service, tests
//! and fuzzers all call [`Server::hear`] for each datagram and then [`Server::finish_turn`].

use core::net::Ipv4Addr;

use log::{info, trace};

use super::aside::Arrival;
use super::{Effects, Peer, Server};
use crate::engine::limits::TURN_DATAGRAMS_MAX;
use crate::engine::model::{Entry, MachineNo, Mono, Now};
use crate::engine::wire::{self, Code, DeviceFrame, NotAFrame, Reply, Request};

impl Server<'_> {
    /// Says when the next datagram arrived: long before now, if the process slept or a sync was
    /// slow. Without this call a datagram counts as arrived when it is heard.
    pub fn arrived_at(&mut self, arrived: Mono) {
        self.arrived = Some(arrived);
    }

    /// Takes a datagram of this turn. A live request is decided now. A stored sale, and every later
    /// frame of this turn under the same machine number, is acknowledged now and set aside. The
    /// caller takes `fx.entries` before it hears another.
    pub fn hear(&mut self, now: &Now, peer: Peer, datagram: &[u8], fx: &mut Effects) {
        if !self.admit(now, *peer.source.ip()) {
            return;
        }
        let request = self.read(peer, datagram);
        if let Ok(Request::Device(frame)) = &request {
            let machine = frame.machine.value();
            if frame.code == Code::Offline || self.tables.aside.has_of(machine) {
                self.acknowledge_frame(peer, frame, fx);
                let arrival = Arrival { peer, arrived: self.arrived };
                self.tables.aside.push(machine, arrival, datagram);
                return;
            }
        }
        self.on_datagram(now, peer, &request, datagram, fx);
    }

    /// Does what is left of a turn after its datagrams: decides the frames that were set aside,
    /// then handles the deadlines that have passed. First and after each, `take` gets the entries
    /// that `fx` holds.
    ///
    /// If the replies of this turn fill their room, deadlines are left for the next one:
    /// [`Server::next_deadline`] still names them.
    ///
    /// # Errors
    /// The first error of `take`; then the rest is not done.
    pub fn finish_turn<E>(
        &mut self,
        now: &Now,
        fx: &mut Effects,
        mut take: impl FnMut(&[Entry]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut hand_over = |fx: &mut Effects| {
            let taken = take(&fx.entries);
            fx.entries.clear();
            taken
        };
        hand_over(fx)?;
        while self.serve_aside(now, fx) {
            hand_over(fx)?;
        }
        // After the datagrams: a 109 among them may confirm the command that a timer would send
        // again or give up.
        for _ in 0..TURN_DATAGRAMS_MAX {
            if !fx.has_room(1) || !self.on_timer(now, fx) {
                break;
            }
            hand_over(fx)?;
        }
        Ok(())
    }

    /// Decides the frame that was set aside first; `false` if none is left.
    pub(crate) fn serve_aside(&mut self, now: &Now, fx: &mut Effects) -> bool {
        let Some((Arrival { peer, arrived }, datagram)) = self.tables.aside.take() else { return false };
        self.arrived = arrived;
        self.watch_clock(now, fx);
        let Ok(Request::Device(frame)) = self.read(peer, &datagram) else {
            unreachable!("only a device's frame is set aside")
        };
        self.on_frame(now, peer, &frame, &datagram, fx);
        true
    }

    /// The frame that was set aside first.
    pub fn next_aside(&self) -> Option<&[u8]> {
        self.tables.aside.peek()
    }

    /// The number of frames that are set aside.
    pub fn aside(&self) -> usize {
        self.tables.aside.len()
    }

    /// Takes the first bytes of a datagram that is longer than any frame: it is counted and
    /// dropped.
    pub fn handle_oversize(&mut self, now: &Now, peer: Peer, datagram: &[u8]) {
        if self.admit(now, *peer.source.ip()) {
            self.drop_frame(now, *peer.source.ip(), datagram, NotAFrame::TooLong);
        }
    }

    /// Parses a datagram, with what is known of its device's serial.
    fn read<'d>(&self, peer: Peer, datagram: &'d [u8]) -> Result<Request<'d>, NotAFrame> {
        wire::parse_knowing(datagram, |machine, field| self.is_serial(peer, machine, field))
    }

    /// Whether a field is the serial of the device that sends under this machine number; `None` if
    /// nothing is known of that device. The answer comes from what this run heard, from the section
    /// that registers the device, or from its entries.
    fn is_serial(&self, peer: Peer, machine: MachineNo, field: &[u8]) -> Option<bool> {
        let row = self.tables.devices.find(machine);
        let device = row.map(|row| self.tables.devices.get(row)).filter(|device| device.served.is_some());
        let here = device.and_then(|device| device.serial.as_ref());
        let registered = self.rules.device(machine).and_then(|rule| rule.serial.as_ref());
        let is_known = here.into_iter().chain(registered).chain(self.tables.book.serials(machine));
        if is_known.into_iter().any(|serial| serial.is(field)) {
            return Some(true);
        }
        match device {
            Some(device) => (device.peer.source.ip() == peer.source.ip()).then_some(false),
            None => self.tables.book.remembers(machine).then_some(false),
        }
    }

    /// Whether a datagram from this source is read: the source is allowed, and within its rate.
    fn admit(&mut self, now: &Now, source: Ipv4Addr) -> bool {
        self.counters.received += 1;
        if !self.rules.allow.is_empty() && !self.rules.allow.iter().any(|network| network.contains(source)) {
            self.counters.dropped_source += 1;
            return false;
        }
        let is_within = self.tables.sources.admit(now.mono, source, self.rules.rate_source, self.rules.rate_total);
        self.counters.dropped_rate += u64::from(!is_within);
        is_within
    }

    fn drop_frame(&mut self, now: &Now, source: Ipv4Addr, datagram: &[u8], wrong: NotAFrame) {
        let counter = match wrong {
            NotAFrame::TooLong => &mut self.counters.dropped_long,
            NotAFrame::TooShort => &mut self.counters.dropped_short,
            NotAFrame::NoCode => &mut self.counters.dropped_code,
            NotAFrame::NoSeq => &mut self.counters.dropped_seq,
            NotAFrame::NoMachine => &mut self.counters.dropped_machine,
        };
        *counter += 1;
        if datagram.starts_with(b"109") {
            // The layout of a 109 is not documented. If no readable 109 comes from this device,
            // these bytes show what it sent instead.
            if let Some(device) = self.tables.devices.of_address(source) {
                device.keep_stray_confirm(datagram);
            }
        }
        if self.may_log(now, source) {
            info!("drop source={source} reason={} bytes={}", wrong.word(), datagram.len());
        }
    }

    fn on_datagram(
        &mut self,
        now: &Now,
        peer: Peer,
        request: &Result<Request, NotAFrame>,
        datagram: &[u8],
        fx: &mut Effects,
    ) {
        let source = *peer.source.ip();
        self.watch_clock(now, fx);
        match request {
            Err(wrong) => {
                self.drop_frame(now, source, datagram, *wrong);
                self.alarm_no_frame(now, datagram, fx);
            }
            Ok(Request::Found(found)) => {
                self.counters.unacknowledged += 1;
                self.note_found(source, found);
                let serial = found.serial.as_deref().unwrap_or("");
                if self.may_log(now, source) {
                    info!("found source={source} serial={serial}");
                }
            }
            Ok(Request::Unknown { code, seq }) => {
                self.counters.unknown_codes += 1;
                self.acknowledge(peer, &Reply::Ack { seq: *seq }, fx);
                if self.may_log(now, source) {
                    info!("unknown code={code:03} source={source} bytes={}", datagram.len());
                    // To learn an unknown code one must see its bytes (protocol.md, *Not known*).
                    // Frames of known codes can hold PINs, so they are not logged at any level.
                    trace!("unknown code={code:03} raw=\"{}\"", datagram.escape_ascii());
                }
            }
            Ok(Request::Device(frame)) => {
                self.acknowledge_frame(peer, frame, fx);
                self.on_frame(now, peer, frame, datagram, fx);
            }
        }
    }

    fn acknowledge_frame(&mut self, peer: Peer, frame: &DeviceFrame, fx: &mut Effects) {
        if frame.code != Code::Confirm || self.rules.ack_109 {
            self.acknowledge(peer, &Reply::Ack { seq: frame.seq }, fx);
        } else {
            self.counters.unacknowledged += 1;
        }
    }

    fn acknowledge(&mut self, peer: Peer, ack: &Reply, fx: &mut Effects) {
        fx.acks.push(peer, ack);
        self.counters.acknowledged += 1;
    }
}
