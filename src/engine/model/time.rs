//! Two clocks, never confused: [`Mono`] drives timers, [`Wall`] stamps records.
//!
//! A router's wall clock jumps, so no timer looks at it, and no two wall times are subtracted
//! except where design.md says so (sections 8 and 11). [`Civil`] is a date and time as a wall clock
//! shows it, without a zone: what devices send and what meal periods are written in.

use core::fmt;

use super::digits::{fill, pair};
use super::text::{Text, text_of_gbk};
use crate::engine::index::fnv1a;

/// Milliseconds of a clock that only goes forward, from an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// This time plus `ms` milliseconds.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 if that is later.
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds since `earlier`; 0 if that is later.
    pub(crate) const fn seconds_since(self, earlier: Self) -> i64 {
        seconds_of(self.ms_since(earlier).cast_signed())
    }
}

/// Whole seconds of milliseconds, rounded down. A 32-bit processor divides 64 bits in software, so
/// this divides up to 48 bits, 8,900 years, in two steps that it does in hardware.
const fn seconds_of(ms: i64) -> i64 {
    let high = ms >> 16;
    if high < 0 || high > u32::MAX as i64 {
        return ms.div_euclid(1000);
    }
    let (high, low) = (high.cast_unsigned() as u32, ms.cast_unsigned() as u32 & 0xFFFF);
    let rest = (high % 1000) << 16 | low;
    (((high / 1000) as i64) << 16) + (rest / 1000) as i64
}

/// Milliseconds since 1970-01-01 00:00:00 UTC, as the system's clock says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub i64);

impl Now {
    /// The wall time of an earlier monotonic time, reckoned from the present wall clock.
    pub(crate) fn stamp_of(&self, at: Mono) -> Stamp {
        let ago = i64::try_from(self.mono.ms_since(at)).unwrap_or(i64::MAX);
        Stamp { wall: Wall(self.stamp.wall.0.saturating_sub(ago)), ..self.stamp }
    }
}

impl Wall {
    /// Whole seconds since the epoch.
    pub const fn seconds(self) -> i64 {
        seconds_of(self.0)
    }
}

/// A wall time with the zone's offset at that time: the ledger's second column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The instant.
    pub wall: Wall,
    /// Seconds east of UTC: whole minutes, less than a day.
    pub offset_s: i32,
}

impl Stamp {
    /// The local date and time, to the second.
    pub fn civil(&self) -> Civil {
        Civil(self.wall.seconds().saturating_add(i64::from(self.offset_s)))
    }

    /// Reads RFC 3339 with milliseconds and a numeric offset, as [`Stamp`]'s `Display` writes it.
    pub fn parse(text: impl AsRef<[u8]>) -> Option<Self> {
        let (date, rest) = text.as_ref().split_first_chunk()?;
        let [b'T', time @ .., b'.', m2, m1, m0, sign, h1, h0, b':', q1, q0] = rest else { return None };
        let time = TimeOfDay::of_text(time.try_into().ok()?)?;
        let ms = 10 * pair(*m2, *m1)? + pair(b'0', *m0)?;
        let (hours, minutes) = (pair(*h1, *h0)?, pair(*q1, *q0)?);
        if date[4] != b'-' || hours > 23 || minutes > 59 {
            return None;
        }
        let offset = (hours * 3600 + minutes * 60).cast_signed();
        let offset_s = match sign {
            b'+' => offset,
            b'-' => -offset,
            _ => return None,
        };
        let civil = Date::of_text(date)?.at(time);
        Some(Self { wall: Wall((civil.0 - i64::from(offset_s)) * 1000 + i64::from(ms)), offset_s })
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = self.civil();
        let (year, month, day) = civil.date().year_month_day();
        let (hour, minute, second) = civil.hour_minute_second();
        let sign = if self.offset_s < 0 { '-' } else { '+' };
        let offset = self.offset_s.unsigned_abs() / 60;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}{sign}{:02}:{:02}",
            self.wall.0.rem_euclid(1000),
            offset / 60,
            offset % 60
        )
    }
}

/// The clocks' readings when a datagram or a deadline is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Drives timers.
    pub mono: Mono,
    /// Stamps records.
    pub stamp: Stamp,
    /// Whether the kernel says that its clock is synchronized (adjtimex); `false` if it was not
    /// asked.
    pub synchronized: bool,
}

/// A date and time as a wall clock shows it, in seconds since 1970-01-01 00:00:00 of that same
/// clock. Years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Civil(pub i64);

impl Civil {
    /// Reads `YYYY-MM-DD HH:MM:SS`; `None` if it is not a date of the calendar.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (date, [b' ', time @ ..]) = text.split_first_chunk()? else { return None };
        if date[4] != b'-' {
            return None;
        }
        let time = TimeOfDay::of_text(time.try_into().ok()?)?;
        Some(Date::of_text(date)?.at(time))
    }

    /// The calendar day.
    pub fn date(self) -> Date {
        if let Ok(seconds) = u32::try_from(self.0) {
            // Until 2106, which a 32-bit processor divides in hardware.
            return Date((seconds / 86_400).cast_signed());
        }
        Date(i32::try_from(self.0.div_euclid(86_400)).unwrap_or(if self.0 < 0 { i32::MIN } else { i32::MAX }))
    }

    /// The time within that day.
    pub fn time_of_day(self) -> TimeOfDay {
        if let Ok(seconds) = u32::try_from(self.0) {
            return TimeOfDay(seconds % 86_400);
        }
        TimeOfDay(u32::try_from(self.0.rem_euclid(86_400)).expect("a day has 86,400 seconds"))
    }

    /// This time minus `seconds`.
    #[must_use]
    pub const fn minus_s(self, seconds: i64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Seconds between the two, in either order.
    pub(crate) const fn distance_s(self, other: Self) -> u64 {
        self.0.abs_diff(other.0)
    }

    /// Its fingerprint: see [`DeviceTime::mark`].
    pub const fn mark(self) -> u64 {
        self.0.cast_unsigned()
    }

    fn hour_minute_second(self) -> (u32, u32, u32) {
        let second = self.time_of_day().0;
        (second / 3600, second / 60 % 60, second % 60)
    }
}

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = self.hour_minute_second();
        write!(f, "{} {hour:02}:{minute:02}:{second:02}", self.date())
    }
}

/// A change of a zone's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneChange {
    /// When it takes effect, in seconds since 1970-01-01 00:00:00 UTC.
    pub at_s: i64,
    /// Seconds east of UTC until then.
    pub before_s: i32,
    /// Seconds east of UTC from then on.
    pub after_s: i32,
}

/// All changes of a zone's offset that may matter, the oldest first. *Invariants:* an offset is
/// less than a day, and two changes are more than two days apart. A zone that never changes has
/// none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneChanges(Vec<ZoneChange>);

impl ZoneChanges {
    /// The changes, the oldest first.
    pub fn as_slice(&self) -> &[ZoneChange] {
        &self.0
    }

    /// Takes changes in ascending order.
    pub fn new(changes: Vec<ZoneChange>) -> Self {
        assert!(changes.is_sorted_by_key(|change| change.at_s), "the oldest first");
        Self(changes)
    }

    /// The instants, in seconds since 1970, at which a clock on the wall shows this: two if clocks
    /// are set back, the earlier first. If clocks skip this time, the instant at which an unchanged
    /// clock shows it. `offset_s` is the offset of a zone that never changes.
    pub(crate) fn readings(&self, civil: Civil, offset_s: i32) -> Readings {
        let at = |offset_s: i32| civil.0.saturating_sub(i64::from(offset_s));
        // An offset is less than a day, so only a change within a day of the civil time, read as
        // UTC, matters.
        let next = self.0.partition_point(|change| change.at_s <= civil.0.saturating_sub(86_400));
        let before = |change: &ZoneChange| change.before_s;
        let Some(change) = self.0.get(next).filter(|change| change.at_s < civil.0.saturating_add(86_400)) else {
            let last = next.checked_sub(1).map(|place| self.0[place].after_s);
            return Readings(at(last.or(self.0.first().map(before)).unwrap_or(offset_s)), None);
        };
        let (early, late) = (at(change.before_s), at(change.after_s));
        match (early < change.at_s, change.at_s <= late) {
            (true, true) => Readings(early, Some(late)),
            (false, true) => Readings(late, None),
            (true | false, false) => Readings(early, None),
        }
    }

    /// Seconds between two civil times: the least distance of their readings.
    pub(crate) fn distance_s(&self, one: Civil, other: Civil, offset_s: i32) -> u64 {
        let others = self.readings(other, offset_s);
        let distances =
            self.readings(one, offset_s).iter().flat_map(|one| others.iter().map(move |other| one.abs_diff(other)));
        distances.min().unwrap_or(u64::MAX)
    }
}

/// The instants that a civil time may mean, in seconds since 1970, the earlier first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readings(pub i64, pub Option<i64>);

impl Readings {
    /// One or two.
    pub fn iter(self) -> impl Iterator<Item = i64> {
        core::iter::once(self.0).chain(self.1)
    }
}

/// A calendar day, in days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i32);

impl Date {
    /// Reads `2026-11-22` or `2026/11/22`, years 1 to 9999; `None` if the calendar has no such day.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::of_text(text.try_into().ok()?)
    }

    fn of_text(text: &[u8; 10]) -> Option<Self> {
        let [y3, y2, y1, y0, b'-' | b'/', m1, m0, b'-' | b'/', d1, d0] = *text else { return None };
        if text[4] != text[7] {
            return None;
        }
        let year = pair(y3, y2)? * 100 + pair(y1, y0)?;
        let (month, day) = (pair(m1, m0)?, pair(d1, d0)?);
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u32::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)),
            _ => return None,
        };
        if year == 0 || day == 0 || day > days {
            return None;
        }
        Some(Self(days_from_civil(year, month, day)))
    }

    /// 1 = Monday … 7 = Sunday.
    pub fn weekday(self) -> u8 {
        // 1970-01-01 was a Thursday.
        u8::try_from((self.0.rem_euclid(7) + 3) % 7 + 1).expect("1 to 7")
    }

    /// The instant at `time` of this day.
    pub fn at(self, time: TimeOfDay) -> Civil {
        Civil(i64::from(self.0) * 86_400 + i64::from(time.0))
    }

    /// The day before.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// `YYYY-MM-DD`; `None` if the year does not have four digits.
    pub fn text(self) -> Option<DateText> {
        let (year, month, day) = self.year_month_day();
        let year = u32::try_from(year).ok().filter(|year| *year <= 9999)?;
        let mut text = *b"0000-00-00";
        fill(&mut text[..4], year);
        fill(&mut text[5..7], month);
        fill(&mut text[8..], day);
        Some(DateText(text))
    }

    /// The year, the month from 1, and the day from 1.
    pub(crate) fn year_month_day(self) -> (i32, u32, u32) {
        civil_from_days(self.0)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.text() {
            return f.write_str(text.as_str());
        }
        let (year, month, day) = self.year_month_day();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// A date of years 0 to 9999 as text.
pub struct DateText([u8; 10]);

impl DateText {
    /// `2026-11-22`.
    pub const fn as_bytes(&self) -> &[u8; 10] {
        &self.0
    }

    /// `2026-11-22`.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("digits are ASCII")
    }
}

/// Seconds since midnight: 0 to 86,400, where 86,400 (`24:00`) ends a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(pub u32);

impl TimeOfDay {
    /// Reads `HH:MM:SS`, `00:00:00` to `23:59:59`.
    fn of_text(text: [u8; 8]) -> Option<Self> {
        let [h1, h0, b':', m1, m0, b':', s1, s0] = text else { return None };
        let (hour, minute, second) = (pair(h1, h0)?, pair(m1, m0)?, pair(s1, s0)?);
        (hour < 24 && minute < 60 && second < 60).then_some(Self(hour * 3600 + minute * 60 + second))
    }

    /// Reads `HH:MM`, `00:00` to `24:00`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != 5 || text[2] != b':' {
            return None;
        }
        let (hour, minute) = (number(&text[..2])?, number(&text[3..])?);
        if minute > 59 || hour * 60 + minute > 24 * 60 {
            return None;
        }
        u32::try_from(hour * 3600 + minute * 60).ok().map(Self)
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 3600, self.0 / 60 % 60)
    }
}

/// Bytes that are kept of a device's time.
const DEVICE_TIME_LEN_MAX: usize = 32;

/// A time as a device sent it, and its value if it is a valid date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceTime {
    /// As received, cut to the ledger's length.
    pub raw: Text<DEVICE_TIME_LEN_MAX>,
    /// `None` if `raw` is no valid `YYYY-MM-DD HH:MM:SS`. A valid date may still be absurd.
    pub civil: Option<Civil>,
}

impl DeviceTime {
    /// Takes any bytes.
    pub fn new(bytes: &[u8]) -> Self {
        // A blank at the cut end would be trimmed by whoever reads the field next.
        let held = bytes[..bytes.len().min(DEVICE_TIME_LEN_MAX)].trim_ascii_end();
        Self { raw: text_of_gbk(held), civil: Civil::parse(bytes) }
    }

    /// Takes a time as the ledger holds it.
    pub fn of_text(raw: Text<DEVICE_TIME_LEN_MAX>) -> Self {
        Self { civil: Civil::parse(raw.as_bytes()), raw }
    }

    /// A 64-bit fingerprint of the raw time: equal times have equal fingerprints; different times
    /// have the same one once in 2^64. A valid date is written in one way only, so its value is its
    /// fingerprint.
    pub fn mark(&self) -> u64 {
        self.civil.map_or_else(|| fnv1a(self.raw.as_bytes()), Civil::mark)
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar, years 0 to 9999 (Howard
/// Hinnant, *chrono-compatible low-level date algorithms*, `days_from_civil`).
fn days_from_civil(year: u32, month: u32, day: u32) -> i32 {
    // Years begin in March. One era is added so that no year is below zero.
    let (year, month) = if month <= 2 { (year + 399, month + 9) } else { (year + 400, month - 3) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    days.cast_signed() - (719_468 + 146_097)
}

/// The inverse of [`days_from_civil`], for any day: year, month, day.
fn civil_from_days(days: i32) -> (i32, u32, u32) {
    const ERA: i32 = 146_097;
    // 719,468 days lie between 0000-03-01 and 1970-01-01: four eras and a part of one.
    let day_of_era = days.rem_euclid(ERA) + (719_468 - 4 * ERA);
    let era = days.div_euclid(ERA) + 4 + day_of_era / ERA;
    let day_of_era = (day_of_era % ERA).cast_unsigned();
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era.cast_signed() + era * 400 + i32::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dates_of_the_calendar_are_valid() {
        for valid in ["2012-04-20 11:12:13", "2024-02-29 00:00:00", "0001-01-01 00:00:00", "9999-12-31 23:59:59"] {
            assert_eq!(Civil::parse(valid.as_bytes()).expect(valid).to_string(), valid);
        }
        for wrong in [
            "2023-02-29 00:00:00",
            "2100-02-29 00:00:00",
            "2012-13-01 00:00:00",
            "2012-00-01 00:00:00",
            "2012-04-31 00:00:00",
            "0000-01-01 00:00:00",
            "2012-04-20 24:00:00",
            "2012-04-20 11:60:00",
            "9999-99-99 99:99:99",
            "2012/04/20 11:12:13",
            "2012-04-20T11:12:13",
            "2012-4-20 11:12:13",
            "2012-04-20 11:12",
            "",
        ] {
            assert_eq!(Civil::parse(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn seconds_are_rounded_down_whatever_the_milliseconds() {
        for power in 0..64 {
            let near = (0..3).flat_map(|more| {
                [1_i64 << power, 1000_i64.wrapping_shl(power), -1].map(|ms| ms.wrapping_add(more - 1))
            });
            for ms in near.flat_map(|ms| [ms, ms.wrapping_neg(), ms.wrapping_mul(999)]) {
                assert_eq!(Wall(ms).seconds(), ms.div_euclid(1000), "{ms}");
            }
        }
    }

    #[test]
    fn a_civil_time_is_a_day_and_a_time_of_that_day_also_outside_32_bits() {
        for second in [-62_135_596_800, -86_401, -1, 0, 86_399, 86_400, 4_294_967_295, 4_294_967_296, 253_402_300_799] {
            let civil = Civil(second);
            assert_eq!(civil.date().at(civil.time_of_day()), civil);
            assert!(civil.time_of_day().0 < 86_400);
        }
    }

    #[test]
    fn a_stamp_prints_as_it_is_read() {
        for text in ["2026-11-22T12:00:01.234+08:00", "1970-01-01T00:00:00.000+00:00", "2026-03-01T23:30:00.999-03:30"]
        {
            assert_eq!(Stamp::parse(text).expect(text).to_string(), text);
        }
        let stamp = Stamp::parse("2026-11-22T08:00:00.000+08:00").expect("valid");
        assert_eq!(stamp.wall, Stamp::parse("2026-11-22T00:00:00.000+00:00").expect("valid").wall);
        assert_eq!(stamp.civil().to_string(), "2026-11-22 08:00:00");
    }

    #[test]
    fn a_time_that_is_cut_at_a_blank_ends_before_it() {
        let time = DeviceTime::new(b"??-00-00 0123456789012345678901 and more");
        assert_eq!(time.raw, "??-00-00 0123456789012345678901");
        assert_eq!(DeviceTime::new(time.raw.as_bytes()), time);
    }

    /// Central European summer time of 2026.
    fn summer() -> ZoneChanges {
        let at = |text: &[u8]| Civil::parse(text).expect("a date").0;
        let spring = ZoneChange { at_s: at(b"2026-03-29 01:00:00"), before_s: 3600, after_s: 7200 };
        let autumn = ZoneChange { at_s: at(b"2026-10-25 01:00:00"), before_s: 7200, after_s: 3600 };
        ZoneChanges::new(vec![spring, autumn])
    }

    #[test]
    fn a_civil_time_is_read_once_or_twice_or_as_before_the_gap() {
        let zone = summer();
        let read = |text: &[u8]| {
            let readings = zone.readings(Civil::parse(text).expect("a date"), 0);
            readings.iter().map(|at| Civil(at).to_string()[5..16].to_owned()).collect::<Vec<_>>().join(" ")
        };
        for (shown, meant) in [
            (&b"2026-01-01 12:00:00"[..], "01-01 11:00"),
            (b"2026-03-29 01:59:59", "03-29 00:59"),
            (b"2026-03-29 02:00:00", "03-29 01:00"),
            (b"2026-03-29 02:30:00", "03-29 01:30"),
            (b"2026-03-29 03:00:00", "03-29 01:00"),
            (b"2026-07-01 12:00:00", "07-01 10:00"),
            (b"2026-10-25 01:59:59", "10-24 23:59"),
            (b"2026-10-25 02:00:00", "10-25 00:00 10-25 01:00"),
            (b"2026-10-25 02:59:59", "10-25 00:59 10-25 01:59"),
            (b"2026-10-25 03:00:00", "10-25 02:00"),
            (b"2027-07-01 12:00:00", "07-01 11:00"),
        ] {
            assert_eq!(read(shown), meant, "{}", String::from_utf8_lossy(shown));
        }
        assert_eq!(ZoneChanges::default().readings(Civil(8 * 3600), 8 * 3600), Readings(0, None));
    }

    #[test]
    fn times_are_as_near_as_their_nearest_readings() {
        let distance = |one: &[u8], other: &[u8]| {
            summer().distance_s(Civil::parse(one).expect("a date"), Civil::parse(other).expect("a date"), 0)
        };
        assert_eq!(distance(b"2026-10-25 02:59:50", b"2026-10-25 02:00:10"), 20, "one before the clocks went back");
        assert_eq!(distance(b"2026-10-25 02:10:00", b"2026-10-25 02:30:00"), 1200);
        assert_eq!(distance(b"2026-10-25 01:59:50", b"2026-10-25 02:00:10"), 20);
        assert_eq!(distance(b"2026-03-29 01:59:50", b"2026-03-29 03:00:10"), 20);
        assert_eq!(distance(b"2026-11-22 12:00:00", b"2026-11-22 11:00:00"), 3600);
    }

    #[test]
    fn weekdays_count_from_monday() {
        let weekday = |text: &[u8]| Date::parse(text).expect("a date").weekday();
        assert_eq!(weekday(b"2026-11-22"), 7);
        assert_eq!(weekday(b"2026/11/23"), 1);
        assert_eq!(weekday(b"1969-12-31"), 3);
    }

    #[test]
    fn every_day_of_four_centuries_prints_as_it_is_read() {
        for day in -200_000..=200_000 {
            let text = Date(day).to_string();
            assert_eq!(Date::parse(text.as_bytes()), Some(Date(day)));
        }
    }
}
