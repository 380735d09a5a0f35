//! Datagrams as they come in: who may speak, what is no frame, and live requests first. A request that somebody waits for is decided when it comes, a stored sale (105) is acknowledged
//! and waits for its share of the turn ([`Waiting`](super::waiting::Waiting) says what always holds).

use core::net::Ipv4Addr;

use log::{info, trace, warn};

use super::waiting::{Held, Taken};
use super::{Effects, Peer, Server};
use crate::model::text::text_from_lossy;
use crate::model::{MachineNo, Now};
use crate::wire::{self, Buffer, Code, DeviceFrame, NotAFrame, Reply, Request};

/// What became of a datagram that [`Server::hear`] was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A live request, decided.
    Live,
    /// A live request of a device whose stored sales wait. They go first: [`Server::serve_ahead`] until it finds none,
    /// then [`Server::handle_admitted`].
    Behind(MachineNo),
    /// A stored sale that waits, or nothing that anybody waits for.
    Done,
}

impl Server<'_> {
    /// A device spoke. Whatever it said is decided at once, also a stored sale: [`Server::hear`] lets that wait.
    pub fn handle(&mut self, now: &Now, peer: Peer, datagram: &[u8], fx: &mut Effects) {
        if self.admit(now, *peer.source.ip()) {
            self.handle_admitted(now, peer, datagram, fx);
        }
    }

    /// A device spoke: a live request is decided, a stored sale is acknowledged and waits for [`Server::serve_stored`].
    pub fn hear(&mut self, now: &Now, peer: Peer, datagram: &[u8], fx: &mut Effects) -> Heard {
        if !self.admit(now, *peer.source.ip()) {
            return Heard::Done;
        }
        let request = wire::parse(datagram);
        match &request {
            Ok(Request::Device(frame)) if frame.code == Code::Offline => {
                self.hold_stored(now, peer, frame, datagram, fx);
                Heard::Done
            }
            Ok(Request::Device(frame)) if self.tables.waiting.has_of(frame.machine.value(), *peer.source.ip()) => {
                Heard::Behind(frame.machine)
            }
            Ok(Request::Device(_)) => {
                self.on_datagram(now, peer, &request, datagram, fx);
                Heard::Live
            }
            Ok(Request::Found(_) | Request::Unknown { .. }) | Err(_) => {
                self.on_datagram(now, peer, &request, datagram, fx);
                Heard::Done
            }
        }
    }

    /// Decides a datagram that was let in.
    pub fn handle_admitted(&mut self, now: &Now, peer: Peer, datagram: &[u8], fx: &mut Effects) {
        self.on_datagram(now, peer, &wire::parse(datagram), datagram, fx);
    }

    /// A datagram came that is longer than any frame.
    pub fn handle_oversize(&mut self, now: &Now, peer: Peer, datagram: &[u8]) {
        if self.admit(now, *peer.source.ip()) {
            self.drop_frame(now, *peer.source.ip(), datagram, NotAFrame::TooLong);
        }
    }

    /// Decides the stored sale that waits longest; `false` if none does.
    pub fn serve_stored(&mut self, now: &Now, fx: &mut Effects) -> bool {
        let taken = self.tables.waiting.take();
        self.decide_stored(now, taken, fx)
    }

    /// Decides the stored sale of this device that waits longest; `false` if none does.
    pub fn serve_ahead(&mut self, now: &Now, machine: &MachineNo, peer: Peer, fx: &mut Effects) -> bool {
        let taken = self.tables.waiting.take_of(machine.value(), *peer.source.ip());
        self.decide_stored(now, taken, fx)
    }

    /// The stored sale that waits longest.
    pub fn next_stored(&self) -> Option<&[u8]> {
        self.tables.waiting.peek()
    }

    /// Whether a datagram of this source is looked at: allowed, and within its rate.
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
            // Nobody knows a 109's layout: if its device turns out to be mute, this is what it said instead.
            if let Some(device) = self.tables.devices.of_address(source) {
                device.stray_confirm = text_from_lossy(datagram);
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
            Err(wrong) => self.drop_frame(now, source, datagram, *wrong),
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
                    // Who wants to learn an unknown code must see it (protocol.md, *Not known*). Frames of known codes, which
                    // can hold PINs, are logged at no level.
                    trace!("unknown code={code:03} raw=\"{}\"", datagram.escape_ascii());
                }
            }
            Ok(Request::Device(frame)) => {
                if frame.code != Code::Confirm || self.rules.ack_109 {
                    self.acknowledge(peer, &Reply::Ack { seq: frame.seq }, fx);
                } else {
                    self.counters.unacknowledged += 1;
                }
                self.on_frame(now, peer, frame, datagram, fx);
            }
        }
    }

    /// Acknowledges a stored sale and lets it wait; without a place it is as if it had been lost on the way.
    fn hold_stored(&mut self, now: &Now, peer: Peer, frame: &DeviceFrame, datagram: &[u8], fx: &mut Effects) {
        match self.tables.waiting.hold(frame.machine.value(), peer, datagram) {
            Held::Waits => self.acknowledge(peer, &Reply::Ack { seq: frame.seq }, fx),
            Held::Again => {
                self.counters.duplicates += 1;
                self.acknowledge(peer, &Reply::Ack { seq: frame.seq }, fx);
            }
            Held::NoPlace => {
                self.counters.dropped_waiting += 1;
                if self.may_log(now, *peer.source.ip()) {
                    warn!("full machine={}: no place for a stored sale to wait; the terminal keeps it", frame.machine);
                }
            }
        }
    }

    fn decide_stored(&mut self, now: &Now, taken: Option<Taken>, fx: &mut Effects) -> bool {
        let Some((peer, datagram)) = taken else { return false };
        self.watch_clock(now, fx);
        let Ok(Request::Device(frame)) = wire::parse(&datagram) else {
            unreachable!("only what was read as a stored sale waits")
        };
        self.on_frame(now, peer, &frame, &datagram, fx);
        true
    }

    fn acknowledge(&mut self, peer: Peer, ack: &Reply, fx: &mut Effects) {
        let mut frame = Buffer::new();
        ack.emit(&mut frame);
        fx.acks.push(peer, &frame);
        self.counters.acknowledged += 1;
    }
}
