//! Prints tables for a terminal, on which a Chinese character takes two columns.
//!
//! *Invariant:* no control character of a cell reaches the terminal, where it could move the cursor
//! or change colours.

use core::fmt::{self, Display};
use std::fmt::Write as _;

use crate::lang::Text;

/// Width of a text on a terminal, in columns.
pub fn width(text: &str) -> usize {
    text.chars().map(|character| if is_wide(character) { 2 } else { 1 }).sum()
}

fn is_wide(character: char) -> bool {
    matches!(character,
        '\u{1100}'..='\u{115F}' | '\u{2E80}'..='\u{A4CF}' | '\u{AC00}'..='\u{D7A3}' | '\u{F900}'..='\u{FAFF}'
        | '\u{FE30}'..='\u{FE4F}' | '\u{FF00}'..='\u{FF60}' | '\u{FFE0}'..='\u{FFE6}' | '\u{20000}'..='\u{3FFFD}')
}

/// A text for a terminal, with `?` for each control character.
pub fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

/// A text, padded with blanks to a width in columns.
pub fn padded(text: &str, places: usize) -> String {
    format!("{text}{:1$}", "", places.saturating_sub(width(text)))
}

/// A label in both languages, padded to a common width.
pub fn label(chinese: &str, english: &str) -> String {
    const LABEL_WIDTH: usize = 30;
    format!("  {}  ", padded(&format!("{chinese} {english}"), LABEL_WIDTH))
}

/// One line, without its LF. Each cell has a width and a flag that aligns a number to the right. A
/// cell that is wider than its column shifts those after it.
pub fn line<'a>(cells: impl IntoIterator<Item = (&'a str, usize, bool)>) -> String {
    let mut line = String::new();
    for (cell, places, is_number) in cells {
        let blanks = places.saturating_sub(width(cell));
        let (before, after) = if is_number { (blanks, 2) } else { (0, blanks + 2) };
        write!(line, "{:before$}{}{:after$}", "", printable(cell), "").expect("a String accepts everything");
    }
    line.truncate(line.trim_end().len());
    line
}

/// A table whose columns are as wide as their widest cell. All rows are in memory; for very many
/// rows use [`line()`].
#[derive(Clone, Debug)]
pub struct Table {
    indent: &'static str,
    /// Per column: whether it has numbers.
    are_numbers: Vec<bool>,
    /// The titles, then the rows.
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without columns, with titles in both languages, indented by two.
    pub(crate) fn bilingual() -> Self {
        Self { indent: "  ", are_numbers: Vec::new(), rows: vec![Vec::new(); 2] }
    }

    /// A table of texts, with titles in the language spoken.
    pub fn of(titles: impl IntoIterator<Item = Text>) -> Self {
        let titles: Vec<String> = titles.into_iter().map(|title| title.words().to_owned()).collect();
        Self { indent: "", are_numbers: vec![false; titles.len()], rows: vec![titles] }
    }

    /// Adds a column of texts, aligned to the left.
    #[must_use]
    pub fn text(self, chinese: &str, english: &str) -> Self {
        self.column([chinese, english], false)
    }

    /// Adds a column of numbers, aligned to the right.
    #[must_use]
    pub fn number(self, chinese: &str, english: &str) -> Self {
        self.column([chinese, english], true)
    }

    fn column(mut self, titles: [&str; 2], is_number: bool) -> Self {
        self.are_numbers.push(is_number);
        for (row, title) in self.rows.iter_mut().zip(titles) {
            row.push(title.to_owned());
        }
        self
    }

    /// Adds a row, one cell per column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

/// The titles and rows, without the last LF.
impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let width_of = |column: usize| cells(column).map(|cell| width(cell)).max().unwrap_or_default();
        let widths: Vec<usize> = (0..self.are_numbers.len()).map(width_of).collect();
        for (index, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).zip(&self.are_numbers);
            let line = line(cells.map(|((cell, places), is_number)| (cell.as_str(), *places, *is_number)));
            write!(f, "{}{}{line}", if index > 0 { "\n" } else { "" }, self.indent)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_in_both_languages() {
        let mut table = Table::bilingual().text("机号", "machine").number("金额", "amount");
        table.row(["00001".to_owned(), "5.50".to_owned()]);
        table.row(["一食堂".to_owned(), "-12345.00".to_owned()]);
        let text = table.to_string();
        let widths: Vec<usize> = text.lines().map(width).collect();
        assert_eq!(widths, [20; 4], "{text}");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(line([("a\u{1b}[31m\u{85}张", 9, false), ("x", 1, false)]), "a?[31m?张  x");
    }
}
