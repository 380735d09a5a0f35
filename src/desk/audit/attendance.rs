//! `posgate ledger report --attendance`: the first and the last passage of each card on each
//! business day (考勤).
//!
//! Times are those of the entries, in the offset that each has, like all of a report. Memory is one
//! row per card and day.

use std::collections::BTreeMap;

use super::AuditError;
use super::days::Days;
use super::people::People;
use super::report::Report;
use super::source::Source;
use crate::desk::json::{Object, string};
use crate::desk::paper::Paper;
use crate::desk::table::Table;
use crate::engine::model::{CardNo, Civil, ClockState, Date, Entry, Kind};

/// A card's passages on a day.
#[derive(Clone, Copy, Debug)]
struct Row {
    first: Passage,
    last: Passage,
    count: u32,
    corrections: u32,
}

/// One passage.
#[derive(Clone, Copy, Debug)]
struct Passage {
    at: Civil,
    is_correction: bool,
    is_believed: bool,
}

impl Passage {
    fn of(entry: &Entry) -> Self {
        Self {
            at: entry.time.civil(),
            is_correction: entry.detail.get("correction").is_some(),
            is_believed: entry.clock == ClockState::Ok,
        }
    }

    /// The time of day, with its date if that is not the business day, and its mark: an attendance
    /// correction, or a clock that was not believed.
    fn cells(&self, day: Date) -> [String; 2] {
        let text = self.at.to_string();
        let time = if self.at.date() == day { text[text.len().saturating_sub(8)..].to_owned() } else { text };
        let mark = match (self.is_correction, self.is_believed) {
            (true, _) => "补 correction",
            (false, false) => "时钟 clock",
            (false, true) => "",
        };
        [time, mark.to_owned()]
    }

    fn json(&self) -> String {
        Object::new()
            .text("time", self.at)
            .flag("correction", self.is_correction)
            .flag("clock_ok", self.is_believed)
            .end()
    }
}

/// The passages of a report's days.
#[derive(Clone, Debug, Default)]
pub struct Attendance {
    rows: BTreeMap<(Date, u64), Row>,
}

impl Attendance {
    /// Reads the passages of the report's days. The report was made from the same source, and so
    /// found it undamaged.
    ///
    /// # Errors
    /// If a file cannot be read, or the ledger is damaged.
    pub fn gather(source: &Source, report: &Report) -> Result<Self, AuditError> {
        let mut attendance = Self::default();
        let (mut days, mut walk) = (Days::new(), source.walk());
        while let Some(item) = walk.entry()? {
            if item.entry.seq > report.head.seq {
                break;
            }
            let day = days.of(&item.entry).counted;
            let is_of_days = report.from.is_none_or(|from| day >= from) && report.to.is_none_or(|to| day <= to);
            if let (Kind::Admit, Some(card), true) = (item.entry.kind, item.entry.card, is_of_days) {
                attendance.add((day, card.value()), Passage::of(&item.entry));
            }
        }
        Ok(attendance)
    }

    /// Entries come in their order, but a clock may have been set back between two.
    fn add(&mut self, key: (Date, u64), passage: Passage) {
        let row = self.rows.entry(key).or_insert(Row { first: passage, last: passage, count: 0, corrections: 0 });
        row.count += 1;
        row.corrections += u32::from(passage.is_correction);
        if passage.at < row.first.at {
            row.first = passage;
        }
        if passage.at >= row.last.at {
            row.last = passage;
        }
    }

    /// The report.
    pub fn paper<'a>(&'a self, report: &Report, people: Option<&'a People>) -> Paper<'a> {
        let mut paper = report.head("考勤 attendance");
        if people.is_none() {
            paper.line("注意", "note", NO_TABLE);
        }
        let mut table = Table::bilingual();
        table.texts(&[
            ["营业日", "day"],
            ["卡号", "card"],
            ["姓名", "name"],
            ["部门", "department"],
            ["首次", "first"],
            ["首注", "mark 1"],
            ["末次", "last"],
            ["末注", "mark 2"],
        ]);
        table.numbers(&[["次数", "n"], ["补", "corr."]]);
        table.make_rows(Box::new(move |take| {
            for ((day, card), row) in &self.rows {
                let card = CardNo::from_value(*card);
                let [name, department, _] = words(people, card);
                let mut cells = vec![day.to_string(), card.to_string(), name, department];
                cells.extend(row.first.cells(*day));
                cells.extend(row.last.cells(*day));
                cells.extend([row.count.to_string(), row.corrections.to_string()]);
                take(&cells);
            }
        }));
        paper.table(table);
        paper
    }

    /// The report as a JSON object.
    pub fn json(&self, report: &Report, people: Option<&People>) -> String {
        let row = |((day, card), row): (&(Date, u64), &Row)| {
            let card = CardNo::from_value(*card);
            let [name, department, groups] = words(people, card);
            Object::new()
                .text("day", day)
                .text("card", card)
                .text("name", name)
                .text("department", department)
                .text("groups", groups)
                .raw("first", row.first.json())
                .raw("last", row.last.json())
                .number("count", row.count)
                .number("corrections", row.corrections)
                .end()
        };
        let notes = people.is_none().then(|| string(NO_TABLE));
        report.begin_json(notes).list("attendance", self.rows.iter().map(row)).end()
    }
}

/// Said if no card table is at hand.
pub(super) const NO_TABLE: &str =
    "没有卡表：名称和部门未知 no card table: names and departments are unknown; give --config FILE";

fn words(people: Option<&People>, card: CardNo) -> [String; 3] {
    people.map_or_else(Default::default, |people| people.words(people.of_card(card)))
}
