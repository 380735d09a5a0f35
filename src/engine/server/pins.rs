//! Wrong PINs: who tries many is stopped for a minute (design.md, section 13).
//!
//! They are counted for a card at a door; a door's own PIN, whoever keys it, for the door. Only in
//! memory: nobody who stands at a door restarts the server. What always holds: of one card at one
//! door at most `pin_tries` PINs are compared in any minute that holds no right one.

use heapless::Deque;

use crate::engine::limits::{PIN_STOPS_MAX, PIN_TRIES_KEPT_MAX};
use crate::engine::model::{CardNo, MachineNo, Mono, UnitNo};
use crate::engine::policy::Presented;

/// The span that tries are counted in, and how long they are stopped then.
const MINUTE_MS: u64 = 60_000;

/// Whose PIN it is: a card's at a door, or, without a card, the door's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lock {
    machine: u64,
    door: u64,
    card: Option<u64>,
}

impl Lock {
    /// Whose PIN was keyed; `None`: none was.
    pub(super) fn of(machine: MachineNo, door: UnitNo, card: Option<CardNo>, presented: Presented) -> Option<Self> {
        let card = match presented {
            Presented::Card => return None,
            Presented::CardAndPin(pin) | Presented::Duress(pin) => {
                pin?;
                Some(card?.value())
            }
            Presented::DoorPin(pin) => {
                pin?;
                None
            }
        };
        Some(Self { machine: machine.value(), door: door.value(), card })
    }
}

/// What a wrong PIN leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing more.
    Counted,
    /// It was one too many: an alarm, and further ones are not compared for a minute.
    Stopped,
}

/// The wrong PINs of the last minute, and who is stopped.
#[derive(Default)]
pub(super) struct Pins {
    /// The oldest first; it gives way.
    tries: Deque<(Lock, Mono), PIN_TRIES_KEPT_MAX>,
    /// Since when, the oldest first; it gives way.
    stopped: Deque<(Lock, Mono), PIN_STOPS_MAX>,
}

impl Pins {
    pub(super) const fn new() -> Self {
        Self { tries: Deque::new(), stopped: Deque::new() }
    }

    /// Whether a PIN is refused unread.
    pub(super) fn is_stopped(&self, now: Mono, lock: Lock) -> bool {
        self.stopped.iter().any(|(stopped, since)| *stopped == lock && now.ms_since(*since) < MINUTE_MS)
    }

    /// A PIN was compared and is wrong. `tries_max`: so many within a minute are too many; 0 = no
    /// limit.
    pub(super) fn count(&mut self, now: Mono, lock: Lock, tries_max: u32) -> Verdict {
        if tries_max == 0 {
            return Verdict::Counted;
        }
        push(&mut self.tries, (lock, now));
        let is_recent = |(tried, at): &&(Lock, Mono)| *tried == lock && now.ms_since(*at) < MINUTE_MS;
        if self.tries.iter().filter(is_recent).count() < tries_max as usize {
            return Verdict::Counted;
        }
        push(&mut self.stopped, (lock, now));
        Verdict::Stopped
    }
}

fn push<const N: usize>(all: &mut Deque<(Lock, Mono), N>, new: (Lock, Mono)) {
    if all.is_full() {
        all.pop_front();
    }
    all.push_back(new).expect("a place was freed");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(door: u64, card: Option<u64>) -> Lock {
        Lock { machine: 7, door, card }
    }

    #[test]
    fn so_many_within_a_minute_are_one_stop_of_a_minute() {
        let mut pins = Pins::new();
        let own = lock(1, Some(88));
        for at in [0, 10_000, 20_000, 30_000] {
            assert_eq!(pins.count(Mono(at), own, 5), Verdict::Counted);
        }
        assert!(!pins.is_stopped(Mono(59_000), own));
        assert_eq!(pins.count(Mono(59_999), own, 5), Verdict::Stopped);
        assert!(pins.is_stopped(Mono(59_999), own) && pins.is_stopped(Mono(119_998), own));
        for other in [lock(1, Some(89)), lock(2, Some(88)), lock(1, None)] {
            assert!(!pins.is_stopped(Mono(60_000), other), "{other:?}");
        }
        assert!(!pins.is_stopped(Mono(119_999), own));
        assert_eq!(pins.count(Mono(119_999), own, 5), Verdict::Counted, "it begins anew");
    }

    #[test]
    fn the_minute_slides() {
        let mut pins = Pins::new();
        let verdicts: Vec<Verdict> =
            [0, 58_000, 59_000, 60_000, 61_000].map(|at| pins.count(Mono(at), lock(1, None), 4)).into();
        // At 60,000 the first is a minute old.
        assert_eq!(verdicts.iter().position(|verdict| *verdict == Verdict::Stopped), Some(4));
    }

    #[test]
    fn zero_is_no_limit_and_the_largest_holds() {
        let mut pins = Pins::new();
        assert!((0..5000).all(|at| pins.count(Mono(at), lock(1, None), 0) == Verdict::Counted));
        let count = crate::engine::limits::PIN_TRIES_MAX;
        let counted =
            (1..=2 * count).take_while(|_| pins.count(Mono(9000), lock(2, None), count) == Verdict::Counted).count();
        assert_eq!(counted + 1, count as usize);
    }
}
