//! Judges whether a device's time is believed (design.md, section 8).
//!
//! *Invariants:* a time is judged once, when its frame comes, by the [`Horizon`] of that moment.
//! The entry records a time that is not believed (`invalid=`), so a replay gets the same result.
//! Our own clock decides what is near in time. A device's time only identifies a frame and dates a
//! stored sale, and not even that if it is not believed.

use super::Server;
use crate::engine::book::Book;
use crate::engine::model::rules::Rules;
use crate::engine::model::{Civil, ClockState, DeviceTime, Entry, Now, Stamp, Wall, ZoneChanges};
use crate::engine::wire::{Body, DeviceFrame};

/// A live frame's time is believed this many seconds around now; a stored sale's time up to this
/// many after now.
const NEAR_S: i64 = 300;

/// A stored sale's time is believed this many seconds back: terminals keep what they could not
/// send.
const STORED_S: i64 = 31 * 86_400;

/// While the clock is not believed, times up to this many seconds after the newest believed time
/// are believed: the router may have been switched off over a summer.
const UNSET_AHEAD_S: i64 = 366 * 86_400;

/// The judgement of a device's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    /// Believed: that moment's local time, by the zone in service.
    At(Civil),
    /// It is not a valid date.
    NoTime,
    /// Too long ago.
    Past,
    /// Too far ahead.
    Ahead,
}

impl Belief {
    /// The time, if it is believed.
    pub(super) const fn at(self) -> Option<Civil> {
        match self {
            Self::At(civil) => Some(civil),
            Self::NoTime | Self::Past | Self::Ahead => None,
        }
    }

    /// The value of `invalid=`.
    pub(super) const fn word(self) -> Option<&'static str> {
        match self {
            Self::At(_) => None,
            Self::NoTime => Some("time"),
            Self::Past => Some("past"),
            Self::Ahead => Some("ahead"),
        }
    }

    /// Adds the device's time to an entry, and `invalid=` if it is not believed.
    pub(super) fn enter(self, entry: &mut Entry, time: &DeviceTime) {
        entry.device_time = Some(*time);
        if let Some(word) = self.word() {
            entry.detail.push_plain("invalid", word);
        }
    }
}

/// Whether a person waits for the answer, or the terminal stored the sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timing {
    Live,
    Stored,
}

/// What a device's time is compared with.
#[derive(Clone, Copy, Debug)]
struct Horizon<'a> {
    /// What the clock shows, if it is believed; else the newest believed time.
    now: Stamp,
    clock: ClockState,
    zone: &'a ZoneChanges,
    /// Seconds that devices are ahead because our zone is wrong; 0 if it is right.
    zone_error_s: i32,
}

impl Horizon<'_> {
    fn judge(&self, time: Option<Civil>, timing: Timing) -> Belief {
        let Some(time) = time else { return Belief::NoTime };
        let corrected = self.judge_as(time.minus_s(i64::from(self.zone_error_s)), timing);
        match corrected {
            // A device that we set shows our zone's time, wrong or not. And a few devices that
            // forge a zone error must not make a right clock unbelieved.
            Belief::NoTime | Belief::Past | Belief::Ahead if self.zone_error_s != 0 => self.judge_as(time, timing),
            Belief::At(_) | Belief::NoTime | Belief::Past | Belief::Ahead => corrected,
        }
    }

    fn judge_as(&self, civil: Civil, timing: Timing) -> Belief {
        let now = self.now.wall.seconds();
        let back = match timing {
            Timing::Live => NEAR_S,
            Timing::Stored => STORED_S,
        };
        let ahead = match self.clock {
            ClockState::Ok => NEAR_S,
            ClockState::Unset => UNSET_AHEAD_S,
        };
        let readings = self.zone.readings(civil, self.now.offset_s);
        let mut offsets = readings.iter().map(|at| at.saturating_sub(now));
        if offsets.any(|offset| (-back..=ahead).contains(&offset)) {
            return Belief::At(civil);
        }
        if readings.0 < now { Belief::Past } else { Belief::Ahead }
    }
}

/// The newest believed time: of the ledger, or the program's build date.
pub(super) fn newest_believed(book: &Book, rules: &Rules, offset_s: i32) -> Stamp {
    let built = Stamp { wall: Wall(i64::from(rules.built_on.0) * 86_400_000), offset_s };
    book.newest_ok().filter(|newest| built.wall < newest.wall).unwrap_or(built)
}

impl Server<'_> {
    /// The judgement of a frame's time; `None`: the frame has none.
    pub(super) fn belief(&self, now: &Now, clock: ClockState, frame: &DeviceFrame) -> Option<Belief> {
        let (time, timing) = match &frame.body {
            Body::Boot { time } | Body::Charge { time, .. } | Body::Meal { time, .. } | Body::Scan { time, .. } => {
                (time, Timing::Live)
            }
            Body::Access(access) => (&access.time, Timing::Live),
            Body::Malformed(malformed) => (malformed.time.as_ref()?, Timing::Live),
            Body::Offline(sale) => (&sale.time, Timing::Stored),
            Body::Inquiry { .. } | Body::Keys { .. } | Body::Confirm { .. } => return None,
        };
        let base = match clock {
            ClockState::Ok => now.stamp,
            ClockState::Unset => newest_believed(&self.tables.book, &self.rules, now.stamp.offset_s),
        };
        let horizon = Horizon { now: base, clock, zone: &self.zone, zone_error_s: self.clock.zone_error_s() };
        Some(horizon.judge(time.civil, timing))
    }

    /// The local time for decisions: the wall clock's if it is believed; else the device's, if that
    /// is believed and not before the newest believed time; else the newest believed time
    /// (design.md, section 11).
    pub(super) fn business_time(&self, now: &Now, clock: ClockState, at_device: Option<Civil>) -> Civil {
        match clock {
            ClockState::Ok => now.stamp.civil(),
            ClockState::Unset => {
                let newest = newest_believed(&self.tables.book, &self.rules, now.stamp.offset_s).civil();
                at_device.filter(|at_device| newest <= *at_device).unwrap_or(newest)
            }
        }
    }

    /// Seconds between two believed times of devices. If the zone repeats an hour, the nearest
    /// readings count.
    pub(super) fn distance_s(&self, one: Civil, other: Civil, now: &Now) -> u64 {
        let corrected = |civil: Civil| civil.minus_s(i64::from(self.clock.zone_error_s()));
        self.zone.distance_s(corrected(one), corrected(other), now.stamp.offset_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::ZoneChange;

    fn stamp(text: &str) -> Stamp {
        Stamp::parse(text).expect(text)
    }

    /// The word for a device's time, `ok` if it is believed.
    fn judged(horizon: &Horizon, time: &str, timing: Timing) -> &'static str {
        horizon.judge(Civil::parse(time.as_bytes()), timing).word().unwrap_or("ok")
    }

    #[test]
    fn a_device_s_time_is_believed_within_its_bounds() {
        let zone = ZoneChanges::default();
        let now = stamp("2026-11-22T12:00:00.900+08:00");
        let horizon = Horizon { now, clock: ClockState::Ok, zone: &zone, zone_error_s: 0 };
        for (time, live, stored) in [
            ("2026-11-22 12:00:00", "ok", "ok"),
            ("2026-11-22 12:05:00", "ok", "ok"),
            ("2026-11-22 12:05:01", "ahead", "ahead"),
            ("2026-11-22 11:55:00", "ok", "ok"),
            ("2026-11-22 11:54:59", "past", "ok"),
            ("2026-10-22 12:00:00", "past", "ok"),
            ("2026-10-22 11:59:59", "past", "past"),
            ("2000-01-01 00:00:00", "past", "past"),
            ("2027-11-22 12:00:00", "ahead", "ahead"),
            ("9999-12-31 23:59:59", "ahead", "ahead"),
            ("0001-01-01 00:00:00", "past", "past"),
            ("0000-00-00 00:00:00", "time", "time"),
            ("", "time", "time"),
            ("2026-02-30 12:00:00", "time", "time"),
        ] {
            assert_eq!(
                [judged(&horizon, time, Timing::Live), judged(&horizon, time, Timing::Stored)],
                [live, stored],
                "{time}"
            );
        }
        let unset = Horizon { clock: ClockState::Unset, ..horizon };
        for (time, live, stored) in [
            ("2026-11-22 11:55:00", "ok", "ok"),
            ("2026-11-22 11:54:59", "past", "ok"),
            ("2026-10-22 11:59:59", "past", "past"),
            ("2027-11-23 12:00:00", "ok", "ok"),
            ("2027-11-23 12:00:01", "ahead", "ahead"),
        ] {
            assert_eq!(
                [judged(&unset, time, Timing::Live), judged(&unset, time, Timing::Stored)],
                [live, stored],
                "{time}"
            );
        }
    }

    #[test]
    fn the_zone_s_error_is_taken_off_first() {
        let zone = ZoneChanges::default();
        let now = stamp("2026-11-22T04:00:00.000+00:00");
        let horizon = Horizon { now, clock: ClockState::Ok, zone: &zone, zone_error_s: 8 * 3600 };
        let noon = Civil::parse(b"2026-11-22 12:00:30");
        assert_eq!(
            horizon.judge(noon, Timing::Live),
            Belief::At(Civil::parse(b"2026-11-22 04:00:30").expect("a date"))
        );
        assert_eq!(judged(&Horizon { zone_error_s: 0, ..horizon }, "2026-11-22 12:00:30", Timing::Live), "ahead");
        assert_eq!(judged(&horizon, "2026-11-22 04:00:30", Timing::Live), "ok");
    }

    #[test]
    fn either_reading_of_a_repeated_hour_is_believed_and_a_skipped_one_is_read_as_before() {
        let at = |text: &[u8]| Civil::parse(text).expect("a date").0;
        let spring = ZoneChange { at_s: at(b"2026-03-29 01:00:00"), before_s: 3600, after_s: 7200 };
        let autumn = ZoneChange { at_s: at(b"2026-10-25 01:00:00"), before_s: 7200, after_s: 3600 };
        let zone = ZoneChanges::new(vec![spring, autumn]);
        for (now, time, live) in [
            ("2026-10-25T02:02:00.000+01:00", "2026-10-25 02:58:00", "ok"),
            ("2026-10-25T02:02:00.000+01:00", "2026-10-25 02:54:00", "past"),
            ("2026-10-25T02:02:00.000+01:00", "2026-10-25 02:01:00", "ok"),
            ("2026-10-25T02:02:00.000+01:00", "2026-10-25 01:58:00", "past"),
            ("2026-10-25T02:58:00.000+02:00", "2026-10-25 02:00:00", "ok"),
            ("2026-03-29T03:01:00.000+02:00", "2026-03-29 02:02:00", "ok"),
            ("2026-03-29T03:01:00.000+02:00", "2026-03-29 02:59:00", "ahead"),
        ] {
            let horizon = Horizon { now: stamp(now), clock: ClockState::Ok, zone: &zone, zone_error_s: 0 };
            assert_eq!(judged(&horizon, time, Timing::Live), live, "{time} at {now}");
        }
    }
}
