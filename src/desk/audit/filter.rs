//! The filter options of `show` and `export`.

use super::Calendar;
use crate::engine::model::{CardNo, Civil, Date, Entry, EntrySeq, Kind, MachineNo, TimeOfDay};
use crate::files::problem::typed;
use crate::lang::tr;

/// Admits entries that meet all set conditions.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this card; a `link` is also of the old card.
    pub card: Option<CardNo>,
    /// Of this account.
    pub account: Option<String>,
    /// Of this machine.
    pub machine: Option<MachineNo>,
    /// Of one of these kinds; empty for all kinds.
    pub kinds: Vec<Kind>,
    /// Written at this time or later.
    pub from: Option<Civil>,
    /// Written before this time.
    pub until: Option<Civil>,
    /// After this entry.
    pub after: EntrySeq,
}

impl Filter {
    /// Whether the entry meets the conditions.
    pub fn admits(&self, entry: &Entry, calendar: &Calendar) -> bool {
        let at = (self.from.is_some() || self.until.is_some()).then(|| calendar.civil(entry.time));
        entry.seq > self.after
            && self.card.is_none_or(|card| is_of_card(entry, card))
            && self.account.as_ref().is_none_or(|account| entry.account.as_deref() == Some(account.as_str()))
            && self.machine.is_none_or(|machine| entry.machine == Some(machine))
            && (self.kinds.is_empty() || self.kinds.contains(&entry.kind))
            && self.from.is_none_or(|from| at >= Some(from))
            && self.until.is_none_or(|until| at < Some(until))
    }
}

/// Whether an entry is about a card.
pub(crate) fn is_of_card(entry: &Entry, card: CardNo) -> bool {
    let was = entry.detail.get("was").filter(|_| entry.kind == Kind::Link);
    entry.card == Some(card) || was.is_some_and(|was| CardNo::parse(was.0.as_bytes()) == Some(card))
}

/// Parses kinds, separated by commas; `sales` means all four kinds of sales.
///
/// # Errors
/// A sentence that says what to write instead.
pub fn kinds(text: &str) -> Result<Vec<Kind>, String> {
    let mut kinds = Vec::new();
    for word in text.split(',').map(str::trim) {
        if word == "sales" {
            kinds.extend(Kind::ALL.iter().copied().filter(|kind| kind.is_sale()));
            continue;
        }
        let kind = Kind::from_word(word).ok_or_else(|| {
            let words: Vec<&str> = Kind::ALL.iter().map(|kind| kind.word()).collect();
            tr!(
                "unknown kind {}: write sales, or one of {}",
                "没有 {} 这个类型：请写 sales，或 {} 之一",
                typed(word),
                words.join(" ")
            )
        })?;
        kinds.push(kind);
    }
    Ok(kinds)
}

/// A date, a time of day, or both, as a person wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// `None` for a time of day alone.
    pub date: Option<Date>,
    /// Seconds since midnight; `None` for a date alone.
    pub time: Option<TimeOfDay>,
    /// Its length in seconds: a day, a minute or a second.
    pub len_s: i64,
}

impl Written {
    /// Parses `2026-11-22`, `2026/11/22`, `12:30`, `12:30:05`, or a date and a time with a blank or
    /// a `T` between them.
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text, |date| Date::parse(date.as_bytes()))
    }

    /// As [`Written::parse`], but also accepts `today` and `yesterday` as dates, and takes a time
    /// of day alone as today's.
    pub fn parse_near(text: &str, today: Date) -> Option<Self> {
        let written = Self::read(text, |date| match date {
            "today" => Some(today),
            "yesterday" => Some(today.previous()),
            _ => Date::parse(date.as_bytes()),
        })?;
        Some(Self { date: written.date.or(Some(today)), ..written })
    }

    fn read(text: &str, read_date: impl FnOnce(&str) -> Option<Date>) -> Option<Self> {
        let (date, time) = match text.split_once([' ', 'T']) {
            Some((date, time)) => (Some(date), Some(time.trim())),
            None if text.contains(':') => (None, Some(text)),
            None => (Some(text), None),
        };
        let date = match date {
            Some(date) => Some(read_date(date)?),
            None => None,
        };
        let (time, len_s) = match time {
            Some(time) => {
                let (time, len_s) = time_of_day(time)?;
                (Some(time), len_s)
            }
            None => (None, 86_400),
        };
        Some(Self { date, time, len_s })
    }

    /// Its first second; `None` if it has no date.
    pub fn begin(&self) -> Option<Civil> {
        Some(self.date?.at(self.time.unwrap_or_default()))
    }

    /// The second after its last one; `None` if it has no date.
    pub fn end(&self) -> Option<Civil> {
        Some(Civil(self.begin()?.0 + self.len_s))
    }
}

/// Parses `12:30` or `12:30:05`; returns it with its length in seconds.
fn time_of_day(text: &str) -> Option<(TimeOfDay, i64)> {
    let padded = if text.find(':') == Some(1) { format!("0{text}") } else { text.to_owned() };
    if padded.len() == 5 {
        return TimeOfDay::parse(padded.as_bytes()).map(|time| (time, 60));
    }
    let second = Civil::parse(format!("2000-01-01 {padded}").as_bytes())?;
    Some((second.time_of_day(), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_parsed_in_several_forms() {
        let range = |text: &str| {
            let written = Written::parse(text)?;
            Some((written.begin()?.to_string(), written.end()?.to_string()))
        };
        let is = |from: &str, until: &str| Some((from.to_owned(), until.to_owned()));
        assert_eq!(range("2026-11-22"), is("2026-11-22 00:00:00", "2026-11-23 00:00:00"));
        assert_eq!(range("2026/11/22 9:30"), is("2026-11-22 09:30:00", "2026-11-22 09:31:00"));
        assert_eq!(range("2026-11-22T12:30:05"), is("2026-11-22 12:30:05", "2026-11-22 12:30:06"));
        assert_eq!(Written::parse("12:30").map(|written| written.begin()), Some(None));
        for wrong in ["", "2026-02-30", "12", "12:60", "25:00:00", "2026-11-22 ", "noon"] {
            assert_eq!(Written::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn today_and_yesterday_are_dates_and_a_time_alone_means_today() {
        let today = Date::parse(b"2026-03-01").unwrap();
        let begin = |text: &str| Some(Written::parse_near(text, today)?.begin()?.to_string());
        for (text, wanted) in [
            ("today", "2026-03-01 00:00:00"),
            ("yesterday", "2026-02-28 00:00:00"),
            ("12:30", "2026-03-01 12:30:00"),
            ("yesterday 9:30", "2026-02-28 09:30:00"),
            ("2026-11-22", "2026-11-22 00:00:00"),
        ] {
            assert_eq!(begin(text).as_deref(), Some(wanted), "{text:?}");
        }
        for wrong in ["tomorrow", "today 25:00", ""] {
            assert_eq!(begin(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn kinds_are_named_by_the_ledgers_words() {
        assert_eq!(kinds("sales,void").unwrap(), [Kind::Charge, Kind::Meal, Kind::Scan, Kind::Offline, Kind::Void]);
        assert!(kinds("sale").unwrap_err().contains("write sales"));
    }
}
