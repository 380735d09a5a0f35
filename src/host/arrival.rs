//! When a datagram arrived, by our own monotonic clock (design.md, section 10).
//!
//! The kernel notes a datagram's arrival by the wall clock, and we read it later: after a slow
//! sync, or when a stopped process goes on. A door must not open then. Its age is the wall clock's
//! difference, which a step in between makes wrong; but no datagram is older than the last time
//! that its socket was found empty, and none is from the future.

use crate::engine::model::{Mono, Wall};

/// What the kernel's note and our look at the wall clock may differ by.
const SLACK_MS: u64 = 1000;

/// Of one socket.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Before this nothing of what waits arrived.
    empty_at: Mono,
    /// Whether a note was ever such as can be true: where none is, the kernel or its emulator notes
    /// something else.
    are_sound: bool,
}

impl Arrivals {
    /// The socket was found empty, by a look that began then.
    pub(super) fn found_empty(&mut self, at: Mono) {
        self.empty_at = at;
    }

    /// When a datagram arrived that the kernel noted at `noted`. Where that cannot be true the
    /// clock was set meanwhile, and it may be as old as anything that waits: an unknown age counts
    /// as too old for a door.
    pub(super) fn arrived(&mut self, noted: Option<Wall>, mono: Mono, wall: Wall) -> Mono {
        let Some(noted) = noted else { return mono };
        let oldest_ms = mono.ms_since(self.empty_at);
        // What comes while we read was noted after our look at the clock.
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

    /// A socket that was found empty 10 s ago, and heard once before.
    fn arrivals() -> Arrivals {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.arrived(Some(Wall(NOON)), Mono(1000), Wall(NOON)), Mono(1000));
        arrivals.found_empty(Mono(50_000));
        arrivals
    }

    #[test]
    fn a_datagram_is_as_old_as_its_note_says() {
        let at = |age_ms: i64| arrivals().arrived(Some(Wall(NOON - age_ms)), Mono(60_000), Wall(NOON));
        assert_eq!((at(0), at(4), at(6000)), (Mono(60_000), Mono(59_996), Mono(54_000)));
        assert_eq!(at(-3), Mono(60_000), "it came while others were read");
        assert_eq!(at(10_500), Mono(50_000), "never before the socket was empty");
    }

    #[test]
    fn an_age_that_cannot_be_true_is_as_old_as_it_may_be() {
        let at = |noted: i64| arrivals().arrived(Some(Wall(noted)), Mono(60_000), Wall(NOON));
        // The clock was set forward, or back, since it came.
        assert_eq!(
            (at(NOON - 8 * 3_600_000), at(NOON + 5000), at(i64::MIN)),
            (Mono(50_000), Mono(50_000), Mono(50_000))
        );
    }

    #[test]
    fn where_nothing_is_noted_or_never_anything_true_it_arrives_when_it_is_read() {
        assert_eq!(arrivals().arrived(None, Mono(60_000), Wall(NOON)), Mono(60_000));
        let mut new = Arrivals::default();
        assert_eq!(new.arrived(Some(Wall(7)), Mono(60_000), Wall(NOON)), Mono(60_000));
    }
}
