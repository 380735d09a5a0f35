//! Days that are not what their weekday says: holidays, and days worked instead (design.md, section
//! 4).

use super::time::Date;

/// What the calendar calls a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayKind {
    /// 节假日: served as a Sunday.
    Off,
    /// 调休: served as a Monday.
    Work,
}

impl DayKind {
    /// The configuration's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Work => "work",
        }
    }

    /// The weekday as which the day is served: 1 is Monday.
    const fn weekday(self) -> u8 {
        match self {
            Self::Off => 7,
            Self::Work => 1,
        }
    }
}

/// Days in a row of which the calendar says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayRange {
    /// The first day.
    pub first: Date,
    /// The last day, included.
    pub last: Date,
    /// What they are.
    pub kind: DayKind,
}

/// `config calendar`.
///
/// *Invariant:* the ranges are in the order of their days, and no two have a day in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar(Vec<DayRange>);

impl Calendar {
    /// The calendar of these ranges, in any order. No two of them may have a day in common.
    pub fn new(mut ranges: Vec<DayRange>) -> Self {
        ranges.sort_unstable_by_key(|range| range.first);
        Self(ranges)
    }

    /// What the calendar calls a day; `None`: the day is what its weekday says.
    pub fn kind(&self, day: Date) -> Option<DayKind> {
        let begun = self.0.partition_point(|range| range.first <= day);
        let newest = self.0[..begun].last()?;
        (day <= newest.last).then_some(newest.kind)
    }

    /// The weekday as which a day is served: 1 is Monday.
    pub fn weekday(&self, day: Date) -> u8 {
        self.kind(day).map_or_else(|| day.weekday(), DayKind::weekday)
    }

    /// The last day of which the calendar says something.
    pub fn last(&self) -> Option<Date> {
        self.0.last().map(|range| range.last)
    }

    /// Whether it says nothing of any day.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Days of the week: bit 0 is Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weekdays(pub u8);

impl Weekdays {
    /// Every day.
    pub const ALL: Self = Self(0b111_1111);

    /// Whether these are all days, so that no calendar changes anything.
    pub fn is_every(self) -> bool {
        self == Self::ALL
    }

    /// Whether a day is served as one of these. The day's weekday is reckoned only if it matters.
    pub fn include(self, day: Date, calendar: &Calendar) -> bool {
        self.is_every() || self.0 >> (calendar.weekday(day) - 1) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        Date::parse(text.as_bytes()).expect("a date")
    }

    fn range(first: &str, last: &str, kind: DayKind) -> DayRange {
        DayRange { first: day(first), last: day(last), kind }
    }

    #[test]
    fn a_range_holds_its_first_and_its_last_day_and_no_other() {
        let calendar = Calendar::new(vec![
            range("2026-10-10", "2026-10-10", DayKind::Work),
            range("2026-09-20", "2026-09-20", DayKind::Work),
            range("2026-10-01", "2026-10-07", DayKind::Off),
        ]);
        let kinds = [
            ("2026-09-19", None),
            ("2026-09-20", Some(DayKind::Work)),
            ("2026-09-21", None),
            ("2026-09-30", None),
            ("2026-10-01", Some(DayKind::Off)),
            ("2026-10-07", Some(DayKind::Off)),
            ("2026-10-08", None),
            ("2026-10-10", Some(DayKind::Work)),
            ("2026-10-11", None),
        ];
        for (text, kind) in kinds {
            assert_eq!(calendar.kind(day(text)), kind, "{text}");
        }
        // Thursday the 1st is as a Sunday, Saturday the 10th as a Monday, Friday the 9th itself.
        let weekdays = ["2026-10-01", "2026-10-10", "2026-10-09"].map(|text| calendar.weekday(day(text)));
        assert_eq!(weekdays, [7, 1, 5]);
        assert_eq!(calendar.last(), Some(day("2026-10-10")));
    }

    #[test]
    fn days_of_the_week_are_those_that_the_calendar_makes_of_them() {
        let (none, working) = (Calendar::default(), Weekdays(0b001_1111));
        let moved = Calendar::new(vec![range("2026-10-10", "2026-10-11", DayKind::Work)]);
        let saturday = day("2026-10-10");
        assert!(!working.include(saturday, &none) && working.include(saturday, &moved));
        assert!(Weekdays(0b010_0000).include(saturday, &none) && !Weekdays(0b010_0000).include(saturday, &moved));
        assert!(Weekdays::ALL.include(saturday, &none) && Weekdays::ALL.include(saturday, &moved));
    }
}
