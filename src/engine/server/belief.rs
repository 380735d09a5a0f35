//! Whether a device's time is believed (design.md, section 8).
//!
//! What always holds: it is judged once, when the frame comes, by what [`Horizon`] knows then; the
//! entry says if not (`invalid=`), so a replay judges as the run did. What is near in time is told
//! by our own clock; a device's time names a frame, dates a stored sale, and counts for nothing if
//! it is not believed.

use super::Server;
use crate::engine::book::Book;
use crate::engine::model::rules::Rules;
use crate::engine::model::{Civil, ClockState, DeviceTime, Entry, Now, Stamp, Wall, ZoneChanges};
use crate::engine::wire::{Body, DeviceFrame};

/// A live frame's time is believed this near to now; a stored sale's this far ahead of it.
const NEAR_S: i64 = 300;

/// A stored sale's time is believed this far back: terminals keep what they could not send.
const STORED_S: i64 = 31 * 86_400;

/// While the clock is not believed, how long after the newest time that was: what was switched off
/// over a summer comes back.
const UNSET_AHEAD_S: i64 = 366 * 86_400;

/// A device's time as it was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    /// Believed: what the wall here shows at that time, by the zone in service.
    At(Civil),
    /// It is no date.
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

    /// What `invalid=` says.
    pub(super) const fn word(self) -> Option<&'static str> {
        match self {
            Self::At(_) => None,
            Self::NoTime => Some("time"),
            Self::Past => Some("past"),
            Self::Ahead => Some("ahead"),
        }
    }

    /// Writes the device's time into the entry, and whether it was not believed.
    pub(super) fn enter(self, entry: &mut Entry, time: &DeviceTime) {
        entry.device_time = Some(*time);
        if let Some(word) = self.word() {
            entry.detail.push_plain("invalid", word);
        }
    }
}

/// Whether somebody waits for the answer, or the terminal kept the sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Live,
    Stored,
}

/// By what a device's time is judged.
#[derive(Clone, Copy, Debug)]
struct Horizon<'a> {
    /// What the clock shows; where it is not believed, the newest time that was.
    now: Stamp,
    clock: ClockState,
    zone: &'a ZoneChanges,
    /// By how many seconds devices are ahead of the zone's time, all alike: our zone is wrong.
    zone_error_s: i32,
}

impl Horizon<'_> {
    fn judge(&self, time: Option<Civil>, sent: Sent) -> Belief {
        let Some(time) = time else { return Belief::NoTime };
        let corrected = self.judge_as(time.minus_s(i64::from(self.zone_error_s)), sent);
        match corrected {
            // Who was set by us shows the time of our zone, wrong or not; and a few that forge an
            // error make no right clock unbelieved.
            Belief::NoTime | Belief::Past | Belief::Ahead if self.zone_error_s != 0 => self.judge_as(time, sent),
            Belief::At(_) | Belief::NoTime | Belief::Past | Belief::Ahead => corrected,
        }
    }

    fn judge_as(&self, civil: Civil, sent: Sent) -> Belief {
        let now = self.now.wall.seconds();
        let back = match sent {
            Sent::Live => NEAR_S,
            Sent::Stored => STORED_S,
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

/// The newest time that was believed: of the ledger, or of the day the program was built.
pub(super) fn newest_believed(book: &Book, rules: &Rules, offset_s: i32) -> Stamp {
    let built = Stamp { wall: Wall(i64::from(rules.built_on.0) * 86_400_000), offset_s };
    book.newest_ok().filter(|newest| built.wall < newest.wall).unwrap_or(built)
}

impl Server<'_> {
    /// The device's time of a frame as it is believed now; `None`: the frame has none.
    pub(super) fn belief(&self, now: &Now, clock: ClockState, frame: &DeviceFrame) -> Option<Belief> {
        let (time, sent) = match &frame.body {
            Body::Boot { time } | Body::Charge { time, .. } | Body::Meal { time, .. } | Body::Scan { time, .. } => {
                (time, Sent::Live)
            }
            Body::Access(access) => (&access.time, Sent::Live),
            Body::Malformed(malformed) => (malformed.time.as_ref()?, Sent::Live),
            Body::Offline(sale) => (&sale.time, Sent::Stored),
            Body::Inquiry { .. } | Body::Keys { .. } | Body::Confirm { .. } => return None,
        };
        let base = match clock {
            ClockState::Ok => now.stamp,
            ClockState::Unset => newest_believed(&self.tables.book, &self.rules, now.stamp.offset_s),
        };
        let horizon = Horizon { now: base, clock, zone: &self.zone, zone_error_s: self.clock.zone_error_s() };
        Some(horizon.judge(time.civil, sent))
    }

    /// What the wall clock would show: itself if believed; else the device's time, if that is
    /// believed and not before the newest believed time; else that (design.md, section 11).
    pub(super) fn business_time(&self, now: &Now, clock: ClockState, at_device: Option<Civil>) -> Civil {
        match clock {
            ClockState::Ok => now.stamp.civil(),
            ClockState::Unset => {
                let newest = newest_believed(&self.tables.book, &self.rules, now.stamp.offset_s).civil();
                at_device.filter(|at_device| newest <= *at_device).unwrap_or(newest)
            }
        }
    }

    /// Seconds between two times of devices, both believed, by those of their readings that are
    /// nearest.
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
    fn judged(horizon: &Horizon, time: &str, sent: Sent) -> &'static str {
        horizon.judge(Civil::parse(time.as_bytes()), sent).word().unwrap_or("ok")
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
                [judged(&horizon, time, Sent::Live), judged(&horizon, time, Sent::Stored)],
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
                [judged(&unset, time, Sent::Live), judged(&unset, time, Sent::Stored)],
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
        assert_eq!(horizon.judge(noon, Sent::Live), Belief::At(Civil::parse(b"2026-11-22 04:00:30").expect("a date")));
        assert_eq!(judged(&Horizon { zone_error_s: 0, ..horizon }, "2026-11-22 12:00:30", Sent::Live), "ahead");
        assert_eq!(judged(&horizon, "2026-11-22 04:00:30", Sent::Live), "ok");
    }

    #[test]
    fn of_an_hour_that_is_shown_twice_either_is_believed_and_one_never_shown_is_that_before() {
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
            assert_eq!(judged(&horizon, time, Sent::Live), live, "{time} at {now}");
        }
    }
}
