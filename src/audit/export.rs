//! `posgate ledger export`: the entries as a table that a spreadsheet opens (design.md, section 3).
//!
//! Every row begins with site and ledger, for (ledger, seq) names an entry for ever, whatever files are put together. Three things
//! spreadsheets do are prevented:
//!
//! | what would happen | what is written |
//! |---|---|
//! | `0088888888` loses its zeros, `12e45678` becomes a power of ten | CSV: a tab behind the digits, unseen and cut off by whoever reads blanks away; TSV: an apostrophe before them |
//! | a text that begins with `=`, `+`, `-` or `@` is run as a formula | an apostrophe before it |
//! | UTF-8 is taken for GBK | a byte order mark; or GBK itself, `?` for what it lacks |

use std::io::{self, BufWriter, Write};

use super::days::Days;
use super::source::{Item, Source};
use super::{Calendar, Filter, Trouble, words};
use crate::gbk;
use crate::ledger::line::{self, COLUMNS};

/// What divides the cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Commas, quotes where they are needed.
    #[default]
    Csv,
    /// Tabs, and nothing quoted.
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

/// What to write, and how.
#[derive(Clone, Debug, Default)]
pub struct Export {
    /// Which entries.
    pub filter: Filter,
    /// How their times and days are read.
    pub calendar: Calendar,
    /// What divides the cells.
    pub format: Format,
    /// The header's language.
    pub header: Language,
    /// GBK instead of UTF-8.
    pub gbk: bool,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// A number that is summed or sorted.
    Number,
    /// A name made of digits, or of what could be taken for some.
    Code,
    /// A text or a time.
    Text,
}

/// The columns before the ledger's own: English, Chinese.
const LEADING: [(&str, &str); 3] = [("site", "站点"), ("ledger", "账本"), ("day", "营业日")];

impl Export {
    /// Writes header and rows. The source is read once before, so that nothing of a damaged ledger looks like all of it.
    ///
    /// # Errors
    /// If a file cannot be read, the ledger is damaged, or the output not be written.
    pub fn write(&self, source: &Source, out: &mut dyn Write) -> Result<(), Trouble> {
        let mut check = source.walk();
        while check.entry()?.is_some() {}
        let last = check.head().seq;
        let mut out = BufWriter::new(out);
        if !self.gbk {
            out.write_all("\u{FEFF}".as_bytes())?;
        }
        self.write_row(&mut out, &self.titles())?;
        let mut days = Days::new(self.calendar.clone());
        // Days of entries whose clock was not believed rest on those before them.
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
        match self.header {
            Language::English => {
                LEADING.iter().map(|(english, _)| english).chain(&COLUMNS).map(|title| (*title).to_owned()).collect()
            }
            Language::Chinese => LEADING
                .iter()
                .map(|(_, chinese)| chinese)
                .chain(&words::COLUMNS)
                .map(|title| (*title).to_owned())
                .collect(),
        }
    }

    fn cells(&self, item: &Item, day: &str) -> Vec<String> {
        let header = &item.piece.header;
        let mut cells = vec![
            self.guarded(&header.site, Content::Text),
            self.guarded(&format!("{:016x}", header.ledger), Content::Code),
            day.to_owned(),
        ];
        for (column, raw) in line::columns(item.text).unwrap_or_default().iter().enumerate() {
            let value = unescaped(raw);
            let value = match COLUMNS[column] {
                "time" => self.calendar.civil(item.entry.time).to_string(),
                "kind" if self.header == Language::Chinese => words::of_kind(item.entry.kind).0.to_owned(),
                _ => value,
            };
            cells.push(self.guarded(&value, content(COLUMNS[column])));
        }
        cells
    }

    /// The value as a spreadsheet will keep it.
    fn guarded(&self, value: &str, content: Content) -> String {
        let begins_with = |set: &[char]| value.starts_with(set);
        let is_formula = begins_with(&['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r', '\n']);
        match (content, self.format) {
            (Content::Number, _) => value.to_owned(),
            (Content::Code | Content::Text, _) if is_formula => format!("'{value}"),
            (Content::Code, Format::Csv) if !value.is_empty() => format!("{value}\t"),
            (Content::Code, Format::Tsv) if !value.is_empty() => format!("'{value}"),
            (Content::Text, Format::Csv) if is_like_number(value) => format!("{value}\t"),
            (Content::Text, Format::Tsv) if is_like_number(value) => format!("'{value}"),
            (Content::Code | Content::Text, _) => value.to_owned(),
        }
    }

    fn write_row(&self, out: &mut dyn Write, cells: &[String]) -> io::Result<()> {
        let mut row = String::new();
        for (index, cell) in cells.iter().enumerate() {
            match self.format {
                Format::Csv => {
                    row.push_str(if index == 0 { "" } else { "," });
                    if cell.contains([',', '"', '\n', '\r', '\t', ';']) {
                        row.push('"');
                        row.push_str(&cell.replace('"', "\"\""));
                        row.push('"');
                    } else {
                        row.push_str(cell);
                    }
                }
                Format::Tsv => {
                    row.push_str(if index == 0 { "" } else { "\t" });
                    row.extend(cell.chars().map(|next| if matches!(next, '\t' | '\n' | '\r') { ' ' } else { next }));
                }
            }
        }
        row.push_str("\r\n");
        if self.gbk { out.write_all(&gbk::encode(&row)) } else { out.write_all(row.as_bytes()) }
    }
}

fn content(column: &str) -> Content {
    match column {
        "seq" | "amount" | "uses" | "balance" | "uses_left" | "ref" => Content::Number,
        "machine" | "serial" | "frame" | "card" | "account" | "slot" | "crc" => Content::Code,
        _ => Content::Text,
    }
}

/// Whether a spreadsheet might take a text for a number; a time of ours it should take for one.
fn is_like_number(value: &str) -> bool {
    let is_time = crate::model::Civil::parse(value.as_bytes()).is_some();
    !is_time && value.starts_with(|first: char| first.is_numeric() || first == '.')
}

/// A column without COPY's escapes; empty for none.
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

    fn guarded(format: Format, value: &str, content: Content) -> String {
        Export { format, ..Export::default() }.guarded(value, content)
    }

    #[test]
    fn no_cell_is_run_or_rounded_by_a_spreadsheet() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "＝1", "\t=1", "\r=1"] {
            for content in [Content::Code, Content::Text] {
                for format in [Format::Csv, Format::Tsv] {
                    assert!(guarded(format, formula, content).starts_with('\''), "{formula:?}");
                }
            }
        }
        assert_eq!(guarded(Format::Csv, "0088888888", Content::Code), "0088888888\t");
        assert_eq!(guarded(Format::Tsv, "0088888888", Content::Code), "'0088888888");
        assert_eq!(guarded(Format::Csv, "12e45678", Content::Code), "12e45678\t");
        assert_eq!(guarded(Format::Csv, "MAR1", Content::Code), "MAR1\t");
        assert_eq!(guarded(Format::Csv, "1食堂", Content::Text), "1食堂\t");
        assert_eq!(guarded(Format::Csv, "-5.50", Content::Number), "-5.50");
        assert_eq!(guarded(Format::Csv, "2026-11-22 12:00:00", Content::Text), "2026-11-22 12:00:00");
    }

    #[test]
    fn the_titles_of_both_languages_go_with_the_cells() {
        let export = Export::default();
        let chinese = Export { header: Language::Chinese, ..Export::default() };
        assert_eq!(export.titles().len(), chinese.titles().len());
        assert_eq!(export.titles()[..3], ["site", "ledger", "day"]);
    }
}
