//! The business day of an entry (design.md, sections 4, 7 and 11).
//!
//! It is the entry's `day=`, else the date of its time in its own offset. The server writes `day=`
//! whenever the business day differs from that date (`day_start`, a clock that was not believed),
//! so today's zone and `day_start` change no day of the past. An entry without `day=` whose time
//! was not believed (`clock=unset`) belongs to the day of the last entry before it whose clock was
//! believed.

use crate::engine::model::{Civil, ClockState, Date, Entry, Kind, Stamp, TimeOfDay};
use crate::files::zone::Zone;

/// Converts stamps to local time and to business days.
#[derive(Clone, Debug, Default)]
pub struct Calendar {
    /// The configured time zone; `None` for the offset of each entry's time.
    pub zone: Option<Zone>,
    /// When the business day begins.
    pub day_start: TimeOfDay,
}

impl Calendar {
    /// The local time.
    pub fn civil(&self, stamp: Stamp) -> Civil {
        self.zone.as_ref().map_or(stamp, |zone| zone.stamp(stamp.wall)).civil()
    }

    /// The business day of a time.
    pub fn day(&self, stamp: Stamp) -> Date {
        self.civil(stamp).minus_s(i64::from(self.day_start.0)).date()
    }
}

/// Finds the day of each entry; the entries come in order. It uses no configuration, so that a
/// printed report stays true.
#[derive(Clone, Debug, Default)]
pub struct Days {
    newest: Option<Date>,
}

/// An entry's business day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// The day for which it counts.
    pub counted: Date,
    /// The day on which it was written.
    pub written: Date,
}

impl Days {
    /// Before the first entry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The day of the next entry.
    pub fn of(&mut self, entry: &Entry) -> Day {
        let stated = entry.detail.day();
        // In a stored sale and a void, `day=` is the sale's day; `on=` is the entry's day if its
        // time does not give it.
        let is_of_another = matches!(entry.kind, Kind::Offline | Kind::Void);
        let own = match entry.detail.get("on").and_then(|on| Date::parse(on.0.as_bytes())) {
            Some(on) => Some(on),
            None => stated.filter(|_| !is_of_another),
        };
        let date = entry.time.civil().date();
        let written = match entry.clock {
            ClockState::Ok => {
                let written = own.unwrap_or(date);
                self.newest = Some(written);
                written
            }
            ClockState::Unset => own.or(self.newest).unwrap_or(date),
        };
        Day { counted: stated.unwrap_or(written), written }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::{Detail, Kind};

    fn entry(time: &str, clock: ClockState) -> Entry {
        Entry::new(Kind::TopUp, Stamp::parse(time).unwrap(), clock)
    }

    fn date(text: &str) -> Date {
        Date::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_entry_belongs_to_its_stated_day_or_else_to_the_date_of_its_time() {
        let mut days = Days::new();
        assert_eq!(days.of(&entry("2026-11-21T23:59:59.999+08:00", ClockState::Ok)).counted, date("2026-11-21"));
        assert_eq!(days.of(&entry("2026-11-22T00:00:00.000+08:00", ClockState::Ok)).counted, date("2026-11-22"));
        assert_eq!(days.of(&entry("2026-11-22T20:00:00.000-05:00", ClockState::Ok)).counted, date("2026-11-22"));
        let said = |kind: Kind, detail: Detail| {
            let mut entry = entry("2026-11-25T02:00:00.000+08:00", ClockState::Ok);
            (entry.kind, entry.detail) = (kind, detail);
            let Day { counted, written } = Days::new().of(&entry);
            (counted.to_string(), written.to_string())
        };
        let is = |counted: &str, written: &str| (format!("2026-11-{counted}"), format!("2026-11-{written}"));
        let day = |day: &str| Detail::default().with("day", format_args!("2026-11-{day}"));
        // At night, before `day_start`.
        assert_eq!(said(Kind::TopUp, day("24")), is("24", "24"));
        assert_eq!(said(Kind::Charge, day("24")), is("24", "24"));
        // Of an earlier day, before and after `day_start`.
        for kind in [Kind::Offline, Kind::Void] {
            assert_eq!(said(kind, day("22")), is("22", "25"));
            assert_eq!(said(kind, day("22").with("on", "2026-11-24")), is("22", "24"));
            assert_eq!(said(kind, day("24").with("on", "2026-11-24")), is("24", "24"));
        }
    }

    #[test]
    fn a_time_that_was_not_believed_gives_no_day() {
        let mut days = Days::new();
        days.of(&entry("2026-11-22T12:00:00.000+08:00", ClockState::Ok));
        assert_eq!(days.of(&entry("1970-01-01T08:00:00.000+08:00", ClockState::Unset)).counted, date("2026-11-22"));
    }

    #[test]
    fn a_configured_zone_has_priority_over_the_entrys_offset() {
        let calendar = Calendar { zone: Some(Zone::from_posix("CST-8").unwrap()), ..Calendar::default() };
        let stamp = Stamp::parse("2026-11-21T20:00:00.000+00:00").unwrap();
        assert_eq!(calendar.day(stamp), date("2026-11-22"));
        assert_eq!(Calendar::default().day(stamp), date("2026-11-21"));
    }
}
