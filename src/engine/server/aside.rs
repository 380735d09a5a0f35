//! Frames of a turn that are decided after its live requests: stored sales (105), and later frames
//! of their devices (design.md, section 1).
//!
//! After a power cut every terminal uploads the sales that it stored, while people stand at the
//! counters. A stored sale has happened and is safe in its terminal, so it gets its 001 at once and
//! is set aside until the turn's live requests are decided.
//!
//! *Invariants:* no frame stays set aside after the end of its turn. Frames of one machine number
//! are decided in the order in which they came: a 109 that overtook a 105 would end the doubt that
//! identifies the 105's sale (design.md, section 8), and the sale would be charged twice.
//!
//! A frame is kept as bytes and parsed again when it is decided, with what is known of its device
//! then. That is a tenth of a stored sale's instructions (1,600 of 16,300, x86_64). A parsed frame
//! borrows its bytes; keeping it instead would need an owned copy of every field for each of the
//! places here.

use super::effects::Peer;
use crate::engine::limits::{ASIDE_MAX, DATAGRAM_LEN_MAX};
use crate::engine::model::Mono;

/// A datagram's source, and its arrival if the host knows it.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    pub(super) peer: Peer,
    pub(super) arrived: Option<Mono>,
}

#[derive(Clone, Copy)]
struct Frame {
    machine: u64,
    arrival: Arrival,
    start: u32,
    len: u16,
}

/// A datagram that was set aside, with its source and arrival.
pub(super) type SetAside = (Arrival, heapless::Vec<u8, DATAGRAM_LEN_MAX>);

/// The frames that this turn set aside, in the order in which they came.
pub(super) struct Aside {
    frames: heapless::Vec<Frame, ASIDE_MAX>,
    bytes: heapless::Vec<u8, { ASIDE_MAX * DATAGRAM_LEN_MAX }>,
    /// The frames before this index were taken out.
    first: usize,
}

impl Aside {
    pub(super) const fn new() -> Self {
        Self { frames: heapless::Vec::new(), bytes: heapless::Vec::new(), first: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.bytes.clear();
        self.first = 0;
    }

    /// The number of frames that are left.
    pub(super) fn len(&self) -> usize {
        self.frames.len() - self.first
    }

    /// Whether a frame of this machine number is left.
    pub(super) fn has_of(&self, machine: u64) -> bool {
        self.frames[self.first..].iter().any(|frame| frame.machine == machine)
    }

    /// Adds a datagram of this machine number.
    pub(super) fn push(&mut self, machine: u64, arrival: Arrival, datagram: &[u8]) {
        let start = u32::try_from(self.bytes.len()).expect("the bytes of ASIDE_MAX datagrams fit 32 bits");
        let len = u16::try_from(datagram.len()).expect("DATAGRAM_LEN_MAX fits 16 bits");
        self.bytes.extend_from_slice(datagram).expect("a turn takes at most ASIDE_MAX of them");
        assert!(
            self.frames.push(Frame { machine, arrival, start, len }).is_ok(),
            "a turn takes at most ASIDE_MAX of them"
        );
    }

    /// The frame that came first.
    pub(super) fn peek(&self) -> Option<&[u8]> {
        let frame = self.frames.get(self.first)?;
        Some(&self.bytes[frame.start as usize..][..usize::from(frame.len)])
    }

    /// Takes out the frame that came first.
    pub(super) fn take(&mut self) -> Option<SetAside> {
        let datagram = heapless::Vec::from_slice(self.peek()?).expect("a datagram was kept whole");
        let arrival = self.frames[self.first].arrival;
        self.first += 1;
        if self.len() == 0 {
            self.clear();
        }
        Some((arrival, datagram))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, SocketAddrV4};

    #[test]
    fn frames_leave_in_their_order_and_a_turn_of_the_longest_fits() {
        let peer = Peer { source: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9), local: Ipv4Addr::LOCALHOST, socket: 0 };
        let arrival = Arrival { peer, arrived: Some(Mono(7)) };
        let mut aside = Box::new(Aside::new());
        for _ in 0..3 {
            let datagram = |number: usize| [u8::try_from(number % 251).unwrap(); DATAGRAM_LEN_MAX];
            for number in 0..ASIDE_MAX {
                assert!(!aside.has_of(number as u64));
                aside.push(number as u64, arrival, &datagram(number));
            }
            for number in 0..ASIDE_MAX {
                assert!(aside.has_of(number as u64));
                assert_eq!(aside.peek().unwrap(), datagram(number));
                assert_eq!(aside.take().unwrap().1, datagram(number));
                assert!(!aside.has_of(number as u64));
                assert_eq!(aside.len(), ASIDE_MAX - 1 - number);
            }
            assert!(aside.take().is_none());
        }
    }
}
