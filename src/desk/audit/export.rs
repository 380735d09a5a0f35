//! `posgate ledger export`: entries as a table for a spreadsheet (design.md, section 3).
//!
//! Every row begins with site and ledger, because (ledger, seq) identifies an entry in any
//! combination of files, and ends with whose it is by the card table. TSV is for programs:
//! unchanged values, UTF-8, LF after each row, blanks instead of tabs and line ends in a text. CSV
//! is for spreadsheets: a byte order mark, without which they read UTF-8 as GBK, and an apostrophe
//! before a text that they would run as a formula. Numbers are unchanged in both: to keep the zeros
//! of `0088888888` in a spreadsheet, import that column as text.

use std::io::{self, BufWriter, Write};

use super::days::Days;
use super::people::People;
use super::source::{After, Item, Source};
use super::{AuditError, Calendar, Filter, words};
use crate::desk::paper::push_csv;
use crate::engine::gbk;
use crate::ledger::line::{self, COLUMNS};

/// The file format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated, quoted if necessary.
    #[default]
    Csv,
    /// Tab-separated, never quoted.
    Tsv,
}

/// The language of the header, and of the kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// The ledger's own words.
    #[default]
    English,
    /// 中文.
    Chinese,
}

/// The options of `export`.
#[derive(Clone, Debug, Default)]
pub struct Export {
    /// Which entries.
    pub filter: Filter,
    /// Converts times to local time and to business days.
    pub calendar: Calendar,
    /// The file format.
    pub format: Format,
    /// The header's language.
    pub header: Language,
    /// Write GBK instead of UTF-8.
    pub gbk: bool,
    /// The last entry that the reader has; the ledger must have it.
    pub after: Option<After>,
    /// The holders, if a card table is at hand.
    pub people: Option<People>,
}

/// The columns before the ledger's own: English, Chinese.
const LEADING: [(&str, &str); 3] = [("site", "站点"), ("ledger", "账本"), ("day", "营业日")];
/// Which columns hold a text by a person or a device: site, serial, account, device_time, slot,
/// detail, and the last ones.
const TEXTS: [usize; 9] = [0, 8, 11, 18, 19, 21, 23, 24, 25];
/// The columns after them.
const TRAILING: [(&str, &str); 3] = [("name", "姓名"), ("department", "部门"), ("groups", "分组")];

impl Export {
    /// Writes header and rows. It checks the whole source before, so that it never writes a part of
    /// a damaged ledger.
    ///
    /// # Errors
    /// If a file cannot be read, the ledger is damaged, or the output cannot be written.
    pub fn write(&self, source: &Source, out: &mut dyn Write) -> Result<(), AuditError> {
        if let Some(after) = self.after {
            source.check_after(after)?;
        }
        let mut check = source.walk();
        while check.entry()?.is_some() {}
        let last = check.head().seq;
        let mut out = BufWriter::new(out);
        if self.format == Format::Csv && !self.gbk {
            out.write_all("\u{FEFF}".as_bytes())?;
        }
        self.write_row(&mut out, &self.titles())?;
        let mut days = Days::new();
        // The day of an entry whose clock was not believed depends on the entries before it.
        let mut walk = source.walk();
        while let Some(item) = walk.entry()? {
            if item.entry.seq > last {
                break;
            }
            let day = days.of(&item.entry).counted;
            if self.filter.admits(&item.entry, &self.calendar) {
                self.write_row(&mut out, &self.cells(&item, &day.to_string()))?;
            }
        }
        out.flush()?;
        Ok(())
    }

    fn titles(&self) -> Vec<String> {
        let pick = |(english, chinese): &(&str, &str)| match self.header {
            Language::English => (*english).to_owned(),
            Language::Chinese => (*chinese).to_owned(),
        };
        let own: Vec<(&str, &str)> = COLUMNS.into_iter().zip(words::COLUMNS).collect();
        LEADING.iter().chain(&own).chain(&TRAILING).map(pick).collect()
    }

    fn cells(&self, item: &Item, day: &str) -> Vec<String> {
        let header = &item.piece.header;
        let mut cells = vec![header.site.clone(), format!("{:016x}", header.ledger), day.to_owned()];
        for (column, raw) in line::columns(item.text).unwrap_or_default().iter().enumerate() {
            cells.push(match COLUMNS[column] {
                "time" => self.calendar.civil(item.entry.time).to_string(),
                "kind" if self.header == Language::Chinese => words::of_kind(item.entry.kind).0.to_owned(),
                _ => unescaped(raw),
            });
        }
        let people = self.people.as_ref();
        let record = people.and_then(|people| match (&item.entry.account, item.entry.card) {
            (Some(account), card) => people.of(account, card),
            (None, Some(card)) => people.of_card(card),
            (None, None) => None,
        });
        cells.extend(people.map_or_else(Default::default, |people| people.words(record)));
        cells
    }

    fn write_row(&self, out: &mut dyn Write, cells: &[String]) -> io::Result<()> {
        let mut row = String::new();
        for (index, cell) in cells.iter().enumerate() {
            match self.format {
                Format::Csv => {
                    row.push_str(if index == 0 { "" } else { "," });
                    push_csv(&mut row, cell, TEXTS.contains(&index));
                }
                Format::Tsv => {
                    row.push_str(if index == 0 { "" } else { "\t" });
                    row.extend(cell.chars().map(|next| if matches!(next, '\t' | '\n' | '\r') { ' ' } else { next }));
                }
            }
        }
        row.push_str(if self.format == Format::Csv { "\r\n" } else { "\n" });
        if self.gbk { out.write_all(&gbk::encode(&row)) } else { out.write_all(row.as_bytes()) }
    }
}

/// A column without COPY's escapes; empty for `\N`.
fn unescaped(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    if text == "\\N" {
        return String::new();
    }
    if !text.contains('\\') {
        return text.into_owned();
    }
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('t') => plain.push('\t'),
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some(other) => plain.push(other),
                None => (),
            },
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_texts_are_known_by_their_places() {
        let titles = Export::default().titles();
        let texts: Vec<&str> = TEXTS.iter().map(|index| titles[*index].as_str()).collect();
        let wanted = ["site", "serial", "account", "device_time", "slot", "detail", "name", "department", "groups"];
        assert_eq!(texts, wanted);
    }

    #[test]
    fn both_languages_have_a_title_for_each_cell() {
        let export = Export::default();
        let chinese = Export { header: Language::Chinese, ..Export::default() };
        assert_eq!(export.titles().len(), chinese.titles().len());
        assert_eq!(export.titles()[..3], ["site", "ledger", "day"]);
    }
}
