//! Frames of a turn that are decided after its live requests: stored sales (105), and what comes from their devices behind them
//! (design.md, section 1).
//!
//! After a power cut every terminal uploads what it booked meanwhile, while people stand at the counters. A stored sale has
//! happened and is safe in its terminal, so it gets its 001 at once and is set aside until the turn's live requests are decided.
//!
//! What always holds: nothing is set aside beyond the end of its turn; frames under one machine number are decided in the order they came
//! in. A 109 that overtook a 105 would end the doubt by which that 105 is recognized (design.md, section 8), and the sale
//! would be charged twice.

use super::effects::Peer;
use crate::engine::limits::{ASIDE_MAX, DATAGRAM_LEN_MAX};
use crate::engine::model::Mono;

/// Where a datagram came from, and when if that is told.
#[derive(Clone, Copy)]
pub(super) struct Came {
    pub(super) peer: Peer,
    pub(super) arrived: Option<Mono>,
}

#[derive(Clone, Copy)]
struct Frame {
    machine: u64,
    came: Came,
    start: u32,
    len: u16,
}

/// A datagram that was set aside, and where it came from.
pub(super) type Taken = (Came, heapless::Vec<u8, DATAGRAM_LEN_MAX>);

/// Those of this turn, in the order they came in.
pub(super) struct Aside {
    frames: heapless::Vec<Frame, ASIDE_MAX>,
    bytes: heapless::Vec<u8, { ASIDE_MAX * DATAGRAM_LEN_MAX }>,
    /// Those before this one were taken.
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

    /// How many are left.
    pub(super) fn len(&self) -> usize {
        self.frames.len() - self.first
    }

    /// Whether one of this machine number is left.
    pub(super) fn has_of(&self, machine: u64) -> bool {
        self.frames[self.first..].iter().any(|frame| frame.machine == machine)
    }

    /// Keeps a datagram of this machine number.
    pub(super) fn push(&mut self, machine: u64, came: Came, datagram: &[u8]) {
        let start = u32::try_from(self.bytes.len()).expect("the bytes of ASIDE_MAX datagrams fit 32 bits");
        let len = u16::try_from(datagram.len()).expect("DATAGRAM_LEN_MAX fits 16 bits");
        self.bytes.extend_from_slice(datagram).expect("a turn takes at most ASIDE_MAX of them");
        assert!(
            self.frames.push(Frame { machine, came, start, len }).is_ok(),
            "a turn takes at most ASIDE_MAX of them"
        );
    }

    /// The one that came first.
    pub(super) fn peek(&self) -> Option<&[u8]> {
        let frame = self.frames.get(self.first)?;
        Some(&self.bytes[frame.start as usize..][..usize::from(frame.len)])
    }

    /// Takes out the one that came first.
    pub(super) fn take(&mut self) -> Option<Taken> {
        let datagram = heapless::Vec::from_slice(self.peek()?).expect("a datagram was kept whole");
        let came = self.frames[self.first].came;
        self.first += 1;
        if self.len() == 0 {
            self.clear();
        }
        Some((came, datagram))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, SocketAddrV4};

    #[test]
    fn they_leave_in_the_order_they_came_in_and_a_turn_of_the_longest_fits() {
        let peer = Peer { source: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9), local: Ipv4Addr::LOCALHOST, socket: 0 };
        let came = Came { peer, arrived: Some(Mono(7)) };
        let mut aside = Box::new(Aside::new());
        for _ in 0..3 {
            let datagram = |number: usize| [u8::try_from(number % 251).unwrap(); DATAGRAM_LEN_MAX];
            for number in 0..ASIDE_MAX {
                assert!(!aside.has_of(number as u64));
                aside.push(number as u64, came, &datagram(number));
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
