//! Stored sales (105) that wait: live requests go first.
//!
//! After a power cut every terminal uploads what it booked meanwhile, while people stand at the counters. A stored sale has
//! happened and is safe in its terminal, so it gets its 001 and waits here until the live requests of the turn are
//! decided; [`TURN_STORED_MAX`](crate::limits::TURN_STORED_MAX) says how many then follow them.
//!
//! What always holds:
//! - stored sales leave in the order they came in;
//! - frames of one device keep their order: before a live request is decided, what waits of its device is
//!   ([`Waiting::take_of`]). A 109 that overtook a 105 would end the doubt by which that 105 is
//!   recognized (design.md, section 8), and the sale would be charged twice;
//! - what finds no place gets no 001, and is counted: to its terminal it is lost on the way, and comes again.

use core::net::Ipv4Addr;

use super::effects::Peer;
use crate::limits::{DATAGRAM_LEN_MAX, STORED_AHEAD_MAX, STORED_BYTES_MAX, STORED_WAITING_MAX};

/// What became of a stored sale that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It waits.
    Waits,
    /// The same datagram waits already.
    Again,
    /// There is no place for it.
    NoPlace,
}

#[derive(Clone, Copy)]
struct Stored {
    machine: u64,
    peer: Peer,
    start: u32,
    len: u16,
    is_taken: bool,
}

/// A datagram that waited, and where it came from.
pub(super) type Taken = (Peer, heapless::Vec<u8, DATAGRAM_LEN_MAX>);

/// The waiting room.
pub(super) struct Waiting {
    /// In the order they came in, with those that were taken since the last [`Waiting::tidy`].
    stored: heapless::Vec<Stored, STORED_WAITING_MAX>,
    bytes: heapless::Vec<u8, STORED_BYTES_MAX>,
    /// Before this one all were taken.
    first: usize,
    count: usize,
}

impl Waiting {
    pub(super) const fn new() -> Self {
        Self { stored: heapless::Vec::new(), bytes: heapless::Vec::new(), first: 0, count: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.stored.clear();
        self.bytes.clear();
        (self.first, self.count) = (0, 0);
    }

    /// How many wait.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.count
    }

    /// The one that waits longest.
    pub(super) fn peek(&self) -> Option<&[u8]> {
        let next = self.stored[self.first..].iter().find(|stored| !stored.is_taken)?;
        Some(self.bytes_of(next))
    }

    /// Keeps a datagram with a stored sale of this machine number.
    pub(super) fn hold(&mut self, machine: u64, peer: Peer, datagram: &[u8]) -> Held {
        let mut own = 0;
        for stored in self.of(machine, *peer.source.ip()) {
            if stored.peer == peer && self.bytes_of(stored) == datagram {
                return Held::Again;
            }
            own += 1;
        }
        if own >= STORED_AHEAD_MAX {
            return Held::NoPlace;
        }
        if self.stored.is_full() || self.bytes.len() + datagram.len() > STORED_BYTES_MAX {
            self.tidy();
        }
        let start = u32::try_from(self.bytes.len()).expect("STORED_BYTES_MAX fits 32 bits");
        let len = u16::try_from(datagram.len()).expect("DATAGRAM_LEN_MAX fits 16 bits");
        if self.stored.is_full() || self.bytes.extend_from_slice(datagram).is_err() {
            return Held::NoPlace;
        }
        let stored = Stored { machine, peer, start, len, is_taken: false };
        assert!(self.stored.push(stored).is_ok(), "it is not full");
        self.count += 1;
        Held::Waits
    }

    /// Whether one of this device waits: of this machine number, from this address.
    pub(super) fn has_of(&self, machine: u64, address: Ipv4Addr) -> bool {
        self.count > 0 && self.of(machine, address).next().is_some()
    }

    /// Takes out the one that waits longest.
    pub(super) fn take(&mut self) -> Option<Taken> {
        let place = (self.first..self.stored.len()).find(|place| !self.stored[*place].is_taken)?;
        Some(self.take_at(place))
    }

    /// Takes out the one of this device that waits longest.
    pub(super) fn take_of(&mut self, machine: u64, address: Ipv4Addr) -> Option<Taken> {
        let is_own = |stored: &Stored| is_of(stored, machine, address);
        let place = (self.first..self.stored.len()).find(|place| is_own(&self.stored[*place]))?;
        Some(self.take_at(place))
    }

    fn of(&self, machine: u64, address: Ipv4Addr) -> impl Iterator<Item = &Stored> {
        self.stored[self.first..].iter().filter(move |stored| is_of(stored, machine, address))
    }

    fn bytes_of(&self, stored: &Stored) -> &[u8] {
        &self.bytes[stored.start as usize..][..usize::from(stored.len)]
    }

    fn take_at(&mut self, place: usize) -> Taken {
        let stored = &self.stored[place];
        let datagram = heapless::Vec::from_slice(self.bytes_of(stored)).expect("a datagram was kept whole");
        let peer = stored.peer;
        self.stored[place].is_taken = true;
        self.count -= 1;
        while self.stored.get(self.first).is_some_and(|stored| stored.is_taken) {
            self.first += 1;
        }
        if self.count == 0 {
            self.clear();
        }
        (peer, datagram)
    }

    /// Closes the gaps that taken ones left.
    fn tidy(&mut self) {
        let (mut kept, mut end) = (0, 0);
        for place in self.first..self.stored.len() {
            let stored = self.stored[place];
            if stored.is_taken {
                continue;
            }
            let start = stored.start as usize;
            self.bytes.copy_within(start..start + usize::from(stored.len), end);
            self.stored[kept] = Stored { start: u32::try_from(end).expect("less than before"), ..stored };
            kept += 1;
            end += usize::from(stored.len);
        }
        self.stored.truncate(kept);
        self.bytes.truncate(end);
        self.first = 0;
    }
}

fn is_of(stored: &Stored, machine: u64, address: Ipv4Addr) -> bool {
    !stored.is_taken && stored.machine == machine && *stored.peer.source.ip() == address
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::SocketAddrV4;

    fn peer(last: u8) -> Peer {
        let source = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, last), 9);
        Peer { source, local: Ipv4Addr::LOCALHOST, socket: 0 }
    }

    fn taken(taken: Option<Taken>) -> String {
        taken.map_or_else(String::new, |(_, bytes)| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn they_leave_in_the_order_they_came_in_whatever_was_taken_between() {
        let mut waiting = Box::new(Waiting::new());
        let mut model = std::collections::VecDeque::new();
        let mut next = 0;
        for round in 0..200_usize {
            while waiting.len() < STORED_WAITING_MAX - round % 7 {
                let text = format!("105,{next:05}{}", "x".repeat(next % 90));
                assert_eq!(waiting.hold(next as u64, peer(1), text.as_bytes()), Held::Waits, "{next}");
                model.push_back((next, text));
                next += 1;
            }
            for step in 0..40 {
                let (number, text) = if step % 5 == 0 {
                    let place = (round * 31 + step * 17) % model.len();
                    model.remove(place).unwrap()
                } else {
                    model.pop_front().unwrap()
                };
                let is_first = step % 5 != 0;
                let got =
                    if is_first { waiting.take() } else { waiting.take_of(number as u64, Ipv4Addr::new(10, 0, 0, 1)) };
                assert_eq!(taken(got), text);
            }
            assert_eq!(waiting.len(), model.len());
            assert_eq!(waiting.peek().unwrap(), model[0].1.as_bytes());
        }
    }

    #[test]
    fn the_same_datagram_waits_once_and_a_device_has_few_places() {
        let mut waiting = Box::new(Waiting::new());
        assert_eq!(waiting.hold(7, peer(1), b"a"), Held::Waits);
        assert_eq!(waiting.hold(7, peer(1), b"a"), Held::Again);
        for number in 1..STORED_AHEAD_MAX {
            assert_eq!(waiting.hold(7, peer(1), &[b'a'; 5][..=number]), Held::Waits);
        }
        assert_eq!(waiting.hold(7, peer(1), b"z"), Held::NoPlace);
        assert_eq!(waiting.hold(8, peer(1), b"z"), Held::Waits, "another number");
        assert_eq!(waiting.hold(7, peer(2), b"z"), Held::Waits, "another address");
        assert!(waiting.has_of(7, *peer(2).source.ip()));
        assert!(!waiting.has_of(7, *peer(3).source.ip()));
        assert_eq!(taken(waiting.take_of(7, *peer(2).source.ip())), "z");
        assert_eq!(taken(waiting.take()), "a");
        assert_eq!(waiting.hold(7, peer(1), b"a"), Held::Waits, "it went, and there is a place");
    }

    #[test]
    fn a_full_room_takes_no_more_and_loses_none() {
        let mut waiting = Box::new(Waiting::new());
        for number in 0..STORED_WAITING_MAX {
            assert_eq!(waiting.hold(number as u64, peer(1), b"105"), Held::Waits);
        }
        assert_eq!(waiting.hold(70_000, peer(1), b"105"), Held::NoPlace);
        waiting.take().unwrap();
        assert_eq!(waiting.hold(70_000, peer(1), b"105"), Held::Waits);
        waiting.clear();
        let long = [b'x'; DATAGRAM_LEN_MAX];
        let fit = STORED_BYTES_MAX / DATAGRAM_LEN_MAX;
        assert!((0..fit).all(|number| waiting.hold(number as u64, peer(1), &long) == Held::Waits));
        assert_eq!(waiting.hold(70_000, peer(1), &long), Held::NoPlace);
        assert_eq!((0..).map_while(|_| waiting.take()).count(), fit);
        assert_eq!(waiting.len(), 0);
    }
}
