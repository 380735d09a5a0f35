//! Counts wrong PINs: after too many, PINs are refused for a minute (design.md, section 13).
//!
//! A card's PINs are counted per card and door, a door's own PIN per door. The counts are only in
//! memory, since nobody at a door can restart the server. *Invariant:* in any minute without a
//! right PIN, at most `pin_tries` PINs of one card at one door are compared.

use heapless::Deque;

use crate::engine::limits::{PIN_STOPS_MAX, PIN_TRIES_KEPT_MAX};
use crate::engine::model::{CardNo, MachineNo, Mono, UnitNo};
use crate::engine::policy::Presented;

/// The span in which tries are counted, and how long PINs are then refused.
const MINUTE_MS: u64 = 60_000;

/// What a PIN belongs to: a card at a door, or, without a card, the door itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PinOwner {
    machine: u64,
    door: u64,
    card: Option<u64>,
}

impl PinOwner {
    /// The owner of the PIN in a request; `None`: no PIN was keyed.
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

/// The result of a wrong PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was counted.
    Counted,
    /// It was one too many: an alarm follows, and for a minute further PINs are not compared.
    Stopped,
}

/// The wrong PINs of the last minute, and the owners whose PINs are refused.
#[derive(Default)]
pub(super) struct Pins {
    /// Oldest first; a new one replaces the oldest.
    tries: Deque<(PinOwner, Mono), PIN_TRIES_KEPT_MAX>,
    /// With the time since when, oldest first; a new one replaces the oldest.
    stopped: Deque<(PinOwner, Mono), PIN_STOPS_MAX>,
}

impl Pins {
    pub(super) const fn new() -> Self {
        Self { tries: Deque::new(), stopped: Deque::new() }
    }

    /// Whether this owner's PINs are refused without a comparison.
    pub(super) fn is_stopped(&self, now: Mono, owner: PinOwner) -> bool {
        self.stopped.iter().any(|(stopped, since)| *stopped == owner && now.ms_since(*since) < MINUTE_MS)
    }

    /// Counts a wrong PIN. With `tries_max` of them within a minute it stops the owner's PINs; 0:
    /// no limit.
    pub(super) fn count(&mut self, now: Mono, owner: PinOwner, tries_max: u32) -> Verdict {
        if tries_max == 0 {
            return Verdict::Counted;
        }
        push(&mut self.tries, (owner, now));
        let is_recent = |(tried, at): &&(PinOwner, Mono)| *tried == owner && now.ms_since(*at) < MINUTE_MS;
        if self.tries.iter().filter(is_recent).count() < tries_max as usize {
            return Verdict::Counted;
        }
        push(&mut self.stopped, (owner, now));
        Verdict::Stopped
    }
}

fn push<const N: usize>(all: &mut Deque<(PinOwner, Mono), N>, new: (PinOwner, Mono)) {
    if all.is_full() {
        all.pop_front();
    }
    all.push_back(new).expect("the oldest was removed");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(door: u64, card: Option<u64>) -> PinOwner {
        PinOwner { machine: 7, door, card }
    }

    #[test]
    fn the_limit_s_wrong_pins_within_a_minute_stop_further_ones_for_a_minute() {
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
        assert_eq!(pins.count(Mono(119_999), own, 5), Verdict::Counted, "the count begins again");
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
    fn zero_is_no_limit_and_the_largest_limit_is_kept() {
        let mut pins = Pins::new();
        assert!((0..5000).all(|at| pins.count(Mono(at), lock(1, None), 0) == Verdict::Counted));
        let count = crate::engine::limits::PIN_TRIES_MAX;
        let counted =
            (1..=2 * count).take_while(|_| pins.count(Mono(9000), lock(2, None), count) == Verdict::Counted).count();
        assert_eq!(counted + 1, count as usize);
    }
}
