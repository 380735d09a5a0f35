//! When a datagram arrived, by our own monotonic clock (design.md, section 10).
//!
//! The kernel stamps a datagram's arrival with the wall clock. We may read it much later: after a
//! slow sync, or when a stopped process continues. A door must not open then. The age is a
//! difference of wall clock times, which is wrong if the clock was set in between; but no datagram
//! is older than the moment at which its socket was last found empty, and none is from the future.

use crate::engine::model::{Mono, Wall};

/// Tolerance between the kernel's stamp and our reading of the wall clock, in milliseconds.
const SLACK_MS: u64 = 1000;

/// Bounds on the age of one socket's datagrams.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// When the socket was last found empty: every waiting datagram arrived later.
    empty_at: Mono,
    /// Whether a stamp was ever plausible. If none was, the kernel (or its emulator) does not stamp
    /// arrivals with the wall clock.
    are_sound: bool,
}

impl Arrivals {
    /// Notes that a read that began at `at` found the socket empty.
    pub(super) fn found_empty(&mut self, at: Mono) {
        self.empty_at = at;
    }

    /// When a datagram arrived that the kernel stamped with `noted`; `mono` and `wall` are the time
    /// of reading. If the stamp is implausible, the clock was set meanwhile, and the datagram
    /// counts as old as it can be: too old for a door.
    pub(super) fn arrived(&mut self, noted: Option<Wall>, mono: Mono, wall: Wall) -> Mono {
        let Some(noted) = noted else { return mono };
        let oldest_ms = mono.ms_since(self.empty_at);
        // A datagram that arrives while we read is stamped after our reading of the clock.
        let age_ms = wall.0.saturating_sub(noted.0).saturating_add(SLACK_MS.cast_signed());
        let age_ms = u64::try_from(age_ms).ok().map(|age_ms| age_ms.saturating_sub(SLACK_MS));
        match age_ms.filter(|age_ms| *age_ms <= oldest_ms.saturating_add(SLACK_MS)) {
            Some(age_ms) => {
                self.are_sound = true;
                Mono(mono.0.saturating_sub(age_ms.min(oldest_ms)))
            }
            None if self.are_sound => self.empty_at,
            None => mono,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_800_000_000_000;

    /// A socket that was found empty 10 s ago and has received a datagram with a plausible stamp.
    fn arrivals() -> Arrivals {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.arrived(Some(Wall(NOON)), Mono(1000), Wall(NOON)), Mono(1000));
        arrivals.found_empty(Mono(50_000));
        arrivals
    }

    #[test]
    fn a_datagram_is_as_old_as_its_stamp_says() {
        let at = |age_ms: i64| arrivals().arrived(Some(Wall(NOON - age_ms)), Mono(60_000), Wall(NOON));
        assert_eq!((at(0), at(4), at(6000)), (Mono(60_000), Mono(59_996), Mono(54_000)));
        assert_eq!(at(-3), Mono(60_000), "it arrived while others were read");
        assert_eq!(at(10_500), Mono(50_000), "not older than the empty socket");
    }

    #[test]
    fn a_datagram_with_an_implausible_stamp_is_as_old_as_it_can_be() {
        let at = |noted: i64| arrivals().arrived(Some(Wall(noted)), Mono(60_000), Wall(NOON));
        // The clock was set forward, or back, after the arrival.
        assert_eq!(
            (at(NOON - 8 * 3_600_000), at(NOON + 5000), at(i64::MIN)),
            (Mono(50_000), Mono(50_000), Mono(50_000))
        );
    }

    #[test]
    fn without_a_stamp_or_ever_a_plausible_one_a_datagram_arrives_when_it_is_read() {
        assert_eq!(arrivals().arrived(None, Mono(60_000), Wall(NOON)), Mono(60_000));
        let mut new = Arrivals::default();
        assert_eq!(new.arrived(Some(Wall(7)), Mono(60_000), Wall(NOON)), Mono(60_000));
    }
}
