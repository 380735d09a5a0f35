//! Aligned text for people: tables whose columns stand below each other although a Chinese character takes two places.

use std::fmt::Write as _;

/// Places that a text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.chars().map(|character| if is_wide(character) { 2 } else { 1 }).sum()
}

fn is_wide(character: char) -> bool {
    matches!(character,
        '\u{1100}'..='\u{115F}' | '\u{2E80}'..='\u{A4CF}' | '\u{AC00}'..='\u{D7A3}' | '\u{F900}'..='\u{FAFF}'
        | '\u{FE30}'..='\u{FE4F}' | '\u{FF00}'..='\u{FF60}' | '\u{FFE0}'..='\u{FFE6}' | '\u{20000}'..='\u{3FFFD}')
}

/// A text for a terminal: no control characters, which could move the cursor or change colours.
pub fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

/// A label in both languages, padded to a common width.
pub fn label(chinese: &str, english: &str) -> String {
    const LABEL_WIDTH: usize = 32;
    let text = format!("{chinese} {english}");
    let padding = LABEL_WIDTH.saturating_sub(width(&text)).max(2);
    format!("  {text}{}", " ".repeat(padding))
}

/// Columns with a title in both languages.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    chinese: &'static str,
    english: &'static str,
    is_number: bool,
}

impl Table {
    /// No columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a further column of texts, aligned to the left.
    #[must_use]
    pub fn text(mut self, chinese: &'static str, english: &'static str) -> Self {
        self.columns.push(Column { chinese, english, is_number: false });
        self
    }

    /// With a further column of numbers, aligned to the right.
    #[must_use]
    pub fn number(mut self, chinese: &'static str, english: &'static str) -> Self {
        self.columns.push(Column { chinese, english, is_number: true });
        self
    }

    /// Adds a row: a cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell)).collect());
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The titles and rows, each indented by two.
    pub fn print(&self, out: &mut String) {
        let titles = [
            self.columns.iter().map(|column| column.chinese.to_owned()).collect::<Vec<_>>(),
            self.columns.iter().map(|column| column.english.to_owned()).collect(),
        ];
        let lines = || titles.iter().chain(&self.rows);
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|index| lines().filter_map(|row| row.get(index)).map(|cell| width(cell)).max().unwrap_or(0))
            .collect();
        for row in lines() {
            let mut line = String::new();
            for ((column, cell), wide) in self.columns.iter().zip(row).zip(&widths) {
                let padding = " ".repeat(wide - width(cell));
                let (before, after) = if column.is_number { (padding.as_str(), "") } else { ("", padding.as_str()) };
                write!(line, "  {before}{cell}{after}").expect("a String takes all");
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_in_both_languages() {
        let mut table = Table::new().text("机号", "machine").number("金额", "amount");
        table.row(["00001".to_owned(), "5.50".to_owned()]);
        table.row(["一食堂".to_owned(), "-12345.00".to_owned()]);
        let mut text = String::new();
        table.print(&mut text);
        let widths: Vec<usize> = text.lines().map(width).collect();
        assert_eq!(widths, [20; 4], "{text}");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(printable("a\u{1b}[31m\u{85}张"), "a?[31m?张");
    }
}
