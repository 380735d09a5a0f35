//! The next days as periods and doors are served on them: a part of `posgate check`.
//!
//! ```text
//! days        30  1  2  3   dates from 2026-09-30
//!              3  O  O  O   weekdays, 1 = Monday; O: off, W: worked
//!              x  -  -  -   lunch 10:30-13:30
//!              x  x  x  x   without days: periods=1 doors=2
//! ```

use posgate::engine::model::rules::{DoorRule, Names, Period};
use posgate::engine::model::{Date, DayKind, GroupSet, Rules, Weekdays};
use posgate::lang::tr;

/// Two weeks: the next weekend, and a holiday before it comes.
const DAYS: i32 = 14;

/// A section's days, and how it is called.
struct Row {
    days: Weekdays,
    label: String,
}

/// The lines, without their ends; none if there are neither periods nor doors.
pub(super) fn lines(rules: &Rules, today: Date) -> Vec<String> {
    let (periods, other_periods) = split(rules.periods.iter().map(|period| of_period(rules, period)));
    let (doors, other_doors) = split(rules.doors.iter().map(|door| of_door(rules, door)));
    let others = format!("periods={other_periods} doors={other_doors}");
    let has_others = other_periods + other_doors > 0;
    let rows: Vec<Row> = periods.into_iter().chain(doors).collect();
    if rows.is_empty() {
        let every_day = || tr!("days        every day: {others}", "days        天天有效：{others}");
        return has_others.then(every_day).into_iter().collect();
    }
    let dates: Vec<Date> = (0..DAYS).map(|after| Date(today.0.saturating_add(after))).collect();
    let line = |word: &str, mark: &dyn Fn(Date) -> String, label: &str| {
        let marks: String = dates.iter().map(|date| mark(*date)).collect();
        format!("{word:<11}{marks}   {label}")
    };
    let day_of_month = |date: Date| format!("{:>3}", date.to_string().rsplit('-').next().unwrap_or_default());
    let mut lines = vec![line("days", &day_of_month, &tr!("dates from {today}", "从 {today} 起的日期"))];
    let weekday = |date: Date| match rules.calendar.kind(date) {
        Some(DayKind::Off) => tr("  O", " 休").to_owned(),
        Some(DayKind::Work) => tr("  W", " 班").to_owned(),
        None => format!("{:>3}", date.weekday()),
    };
    let is_moved = dates.iter().any(|date| rules.calendar.kind(*date).is_some());
    let named = tr("weekdays, 1 = Monday", "星期几，1 为星期一");
    let moved = tr("; O: off, W: worked", "；休：放假，班：调休上班");
    lines.push(line("", &weekday, &format!("{named}{}", if is_moved { moved } else { "" })));
    for Row { days, label } in &rows {
        let is_served = |date: Date| if days.include(date, &rules.calendar) { "  x" } else { "  -" }.to_owned();
        lines.push(line("", &is_served, label));
    }
    if has_others {
        lines.push(line("", &|_| "  x".to_owned(), &tr!("without days: {others}", "没写 days 的：{others}")));
    }
    lines
}

/// The rows of sections that are not served every day, and how many others there are.
fn split(rows: impl Iterator<Item = Row>) -> (Vec<Row>, usize) {
    let (others, own): (Vec<Row>, Vec<Row>) = rows.partition(|row| row.days.is_every());
    (own, others.len())
}

fn of_period(rules: &Rules, period: &Period) -> Row {
    let Period { name, from, to, days, places, groups, .. } = period;
    let whom = chosen([(&rules.places, *places), (&rules.groups, *groups)]);
    Row { days: *days, label: format!("{name} {from}-{to}{whom}") }
}

fn of_door(rules: &Rules, rule: &DoorRule) -> Row {
    let DoorRule { machine, door, from, to, days, groups, .. } = rule;
    let whom = chosen([(&rules.groups, *groups)]);
    Row { days: *days, label: tr!("door {machine}:{door} {from}-{to}{whom}", "门 {machine}:{door} {from}-{to}{whom}") }
}

/// The places and groups that tell sections of one name apart.
fn chosen<'a>(sets: impl IntoIterator<Item = (&'a Names, GroupSet)>) -> String {
    let names: Vec<&str> = sets.into_iter().flat_map(|(names, set)| names.names(set)).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use posgate::files::config;

    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let text = format!("config server\n{text}");
        let rules = config::parse(text.as_bytes(), Path::new("posgate")).expect("it is sound").rules;
        lines(&rules, Date::parse(b"2026-09-29").expect("a date"))
    }

    const LUNCH: &str = "config period\n option name lunch\n option from 10:30\n option to 13:30\n";
    const DOOR: &str = "config door\n option machine 7\n option door 1\n option from 22:00\n option to 06:00\n";
    const CALENDAR: &str = "config calendar\n list off 2026-10-01..2026-10-07\n list work 2026-10-10\n";

    #[test]
    fn a_row_for_each_section_with_days_shows_them_as_the_calendar_moves_them() {
        let config = format!(
            "{LUNCH} option days 1-5\n list place canteen\n list group staff\n{LUNCH}{DOOR} option days 6-7\n list group staff\n{DOOR}{CALENDAR}"
        );
        assert_eq!(
            shown(&config),
            [
                "days        29 30 01 02 03 04 05 06 07 08 09 10 11 12   dates from 2026-09-29",
                "             2  3  O  O  O  O  O  O  O  4  5  W  7  1   weekdays, 1 = Monday; O: off, W: worked",
                "             x  x  -  -  -  -  -  -  -  x  x  x  -  x   lunch 10:30-13:30 (canteen, staff)",
                "             -  -  x  x  x  x  x  x  x  -  -  -  x  -   door 7:1 22:00-06:00 (staff)",
                "             x  x  x  x  x  x  x  x  x  x  x  x  x  x   without days: periods=1 doors=1",
            ]
        );
    }

    #[test]
    fn the_manual_shows_what_check_prints() {
        let manuals = [include_str!("../../docs/configuration.md"), include_str!("../../docs/zh/configuration.md")];
        for manual in manuals {
            let block = |word: &str| {
                let rest = manual.split_once(&format!("```{word}\n")).expect("the manual has it").1;
                rest.split_once("```").expect("it ends").0
            };
            let rules = config::parse(block("uci").as_bytes(), Path::new("posgate")).expect("it is sound").rules;
            let lines = lines(&rules, Date::parse(b"2026-09-29").expect("a date"));
            assert_eq!(lines, block("text").lines().collect::<Vec<_>>());
        }
    }

    #[test]
    fn without_a_calendar_the_weekdays_stand_alone() {
        let lines = shown(&format!("{LUNCH} option days 6\n"));
        assert_eq!(
            lines[1..],
            [
                "             2  3  4  5  6  7  1  2  3  4  5  6  7  1   weekdays, 1 = Monday",
                "             -  -  -  -  x  -  -  -  -  -  -  x  -  -   lunch 10:30-13:30",
            ]
        );
    }

    #[test]
    fn where_every_section_is_served_every_day_one_line_says_so() {
        assert_eq!(shown(&format!("{LUNCH}{DOOR}{CALENDAR}")), ["days        every day: periods=1 doors=1"]);
        assert_eq!(shown(CALENDAR), Vec::<String>::new());
    }
}
