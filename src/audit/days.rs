//! Which business day an entry belongs to (design.md, sections 4, 7 and 11).
//!
//! The day it says itself (`day=`), else that of its time. A time that was not believed (`clock=unset`) says nothing: such an
//! entry belongs to the day of the last one before it whose clock was.

use crate::model::{Civil, ClockState, Date, Entry, Stamp, TimeOfDay};
use crate::zone::Zone;

/// How times are read.
#[derive(Clone, Debug, Default)]
pub struct Calendar {
    /// The configured time zone; `None`: the offset that each entry's time carries.
    pub zone: Option<Zone>,
    /// When the business day begins.
    pub day_start: TimeOfDay,
}

impl Calendar {
    /// What a clock on the wall there shows.
    pub fn civil(&self, stamp: Stamp) -> Civil {
        self.zone.as_ref().map_or(stamp, |zone| zone.stamp(stamp.wall)).civil()
    }

    /// The business day of a time.
    pub fn day(&self, stamp: Stamp) -> Date {
        self.civil(stamp).minus_s(i64::from(self.day_start.0)).date()
    }
}

/// Gives each entry its day; they come in order.
#[derive(Clone, Debug, Default)]
pub struct Days {
    calendar: Calendar,
    newest: Option<Date>,
}

/// An entry's business day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// The one it counts for.
    pub counted: Date,
    /// The one it was written on.
    pub written: Date,
}

impl Days {
    /// Before the first entry.
    pub fn new(calendar: Calendar) -> Self {
        Self { calendar, newest: None }
    }

    /// The day of the next entry.
    pub fn of(&mut self, entry: &Entry) -> Day {
        let own = self.calendar.day(entry.time);
        let written = match entry.clock {
            ClockState::Ok => {
                self.newest = Some(own);
                own
            }
            ClockState::Unset => self.newest.unwrap_or(own),
        };
        Day { counted: entry.detail.day().unwrap_or(written), written }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Detail, Kind};

    fn entry(time: &str, clock: ClockState) -> Entry {
        Entry::new(Kind::TopUp, Stamp::parse(time).unwrap(), clock)
    }

    fn date(text: &str) -> Date {
        Date::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_entry_belongs_to_the_day_it_says_else_to_that_of_its_time() {
        let calendar = Calendar { zone: None, day_start: TimeOfDay::parse(b"04:00").unwrap() };
        let mut days = Days::new(calendar);
        assert_eq!(days.of(&entry("2026-11-22T03:59:59.999+08:00", ClockState::Ok)).counted, date("2026-11-21"));
        assert_eq!(days.of(&entry("2026-11-22T04:00:00.000+08:00", ClockState::Ok)).counted, date("2026-11-22"));
        let mut late = entry("2026-11-25T12:00:00.000+08:00", ClockState::Ok);
        late.detail = Detail::default().with("day", "2026-11-22");
        assert_eq!(days.of(&late), Day { counted: date("2026-11-22"), written: date("2026-11-25") });
    }

    #[test]
    fn a_time_that_was_not_believed_is_no_day() {
        let mut days = Days::default();
        days.of(&entry("2026-11-22T12:00:00.000+08:00", ClockState::Ok));
        assert_eq!(days.of(&entry("1970-01-01T08:00:00.000+08:00", ClockState::Unset)).counted, date("2026-11-22"));
    }

    #[test]
    fn a_configured_zone_wins_over_the_offset_in_the_entry() {
        let calendar = Calendar { zone: Some(Zone::from_posix("CST-8").unwrap()), ..Calendar::default() };
        let stamp = Stamp::parse("2026-11-21T20:00:00.000+00:00").unwrap();
        assert_eq!(calendar.day(stamp), date("2026-11-22"));
        assert_eq!(Calendar::default().day(stamp), date("2026-11-21"));
    }
}
