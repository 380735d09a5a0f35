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

/// Rows that are made anew each time they are wanted, so that very many need no memory.
pub(crate) type Rows<'a> = dyn Fn(&mut dyn FnMut(&[String])) + 'a;

/// A table whose columns are as wide as their widest cell.
pub struct Table<'a> {
    indent: &'static str,
    /// Per column: whether it has numbers.
    are_numbers: Vec<bool>,
    /// One line of titles per language.
    titles: Vec<Vec<String>>,
    rows: Vec<Vec<String>>,
    /// Rows after those.
    made: Option<Box<Rows<'a>>>,
    /// Leaves out columns of numbers that are zero in every row.
    is_brief: bool,
}

impl<'a> Table<'a> {
    /// A table without columns, with titles in both languages, indented by two.
    pub(crate) fn bilingual() -> Self {
        Self {
            indent: "  ",
            are_numbers: Vec::new(),
            titles: vec![Vec::new(); 2],
            rows: Vec::new(),
            made: None,
            is_brief: false,
        }
    }

    /// A table of texts, with titles in the language spoken.
    pub fn of(titles: impl IntoIterator<Item = Text>) -> Self {
        let titles: Vec<String> = titles.into_iter().map(|title| title.words().to_owned()).collect();
        Self { indent: "", are_numbers: vec![false; titles.len()], titles: vec![titles], ..Self::bilingual() }
    }

    /// Adds columns of texts, aligned to the left: their titles, Chinese and English.
    pub(crate) fn texts(&mut self, titles: &[[&str; 2]]) {
        for titles in titles {
            self.column(*titles, false);
        }
    }

    /// Adds columns of numbers, aligned to the right.
    pub(crate) fn numbers(&mut self, titles: &[[&str; 2]]) {
        for titles in titles {
            self.column(*titles, true);
        }
    }

    fn column(&mut self, titles: [&str; 2], is_number: bool) {
        self.are_numbers.push(is_number);
        for (row, title) in self.titles.iter_mut().zip(titles) {
            row.push(title.to_owned());
        }
    }

    /// Leaves out columns of numbers that are zero in every row.
    pub(crate) fn be_brief(&mut self) {
        self.is_brief = true;
    }

    /// Adds a row, one cell per column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Adds rows that are made when they are wanted.
    pub(crate) fn make_rows(&mut self, rows: Box<Rows<'a>>) {
        self.made = Some(rows);
    }

    /// Whether the column has numbers.
    pub(super) fn is_number(&self, column: usize) -> bool {
        self.are_numbers.get(column).is_some_and(|is_number| *is_number)
    }

    /// The titles, in each language.
    pub(super) fn titles(&self) -> &[Vec<String>] {
        &self.titles
    }

    /// Takes each row.
    pub(super) fn each(&self, take: &mut dyn FnMut(&[String])) {
        self.rows.iter().for_each(|row| take(row));
        if let Some(made) = &self.made {
            made(take);
        }
    }

    /// The columns to print, with their widths. Those of zeros are left out if the table is brief,
    /// or is to be.
    pub(super) fn columns(&self, is_brief: bool) -> Vec<(usize, usize)> {
        let of_titles =
            |column: usize| self.titles.iter().filter_map(|row| row.get(column)).map(|title| width(title)).max();
        let mut widths: Vec<usize> = (0..self.are_numbers.len()).map(|column| of_titles(column).unwrap_or(0)).collect();
        let mut is_wanted: Vec<bool> = self.are_numbers.iter().map(|is_number| !is_number).collect();
        let mut has_rows = false;
        self.each(&mut |row| {
            has_rows = true;
            for (index, cell) in row.iter().enumerate().take(widths.len()) {
                widths[index] = widths[index].max(width(cell));
                is_wanted[index] |= !matches!(cell.as_str(), "" | "0" | "0.00");
            }
        });
        let is_brief = has_rows && (is_brief || self.is_brief);
        widths.into_iter().enumerate().filter(|(index, _)| is_wanted[*index] || !is_brief).collect()
    }

    /// Takes each line of the table as text. With a limit no line is wider: the columns that do not
    /// fit stand on further lines of their row, and those of zeros are left out.
    pub(super) fn lines(&self, limit: Option<usize>, take: &mut dyn FnMut(&str)) {
        let columns = self.columns(limit.is_some());
        let mut folds: Vec<Vec<(usize, usize)>> = Vec::new();
        let mut left = 0;
        for (column, places) in columns {
            if folds.is_empty() || limit.is_some() && places > left {
                left = limit.unwrap_or_default().saturating_sub(self.indent.len() + 2 * folds.len().min(1));
                folds.push(Vec::new());
            }
            left = left.saturating_sub(places + 2);
            folds.last_mut().expect("one was pushed").push((column, places));
        }
        let mut print = |row: &[String]| {
            for (number, fold) in folds.iter().enumerate() {
                let cells = fold.iter().filter_map(|(column, places)| {
                    Some((row.get(*column)?.as_str(), *places, self.is_number(*column)))
                });
                let line = format!("{}{}{}", self.indent, if number > 0 { "  " } else { "" }, line(cells));
                if number == 0 || !line.trim().is_empty() {
                    wrap(&line, limit, take);
                }
            }
        };
        self.titles.iter().for_each(|row| print(row));
        self.each(&mut print);
    }
}

/// Takes the line in pieces that are no wider than the limit, further ones indented.
pub(super) fn wrap(line: &str, limit: Option<usize>, take: &mut dyn FnMut(&str)) {
    const INDENT: &str = "      ";
    let Some(limit) = limit.filter(|limit| width(line) > *limit) else { return take(line) };
    let mut piece = String::new();
    for word in line.split_inclusive(' ') {
        if width(&piece) + width(word.trim_end()) > limit && width(&piece) > limit / 2 {
            take(piece.trim_end());
            piece.replace_range(.., INDENT);
        }
        for character in word.chars() {
            if width(&piece) + width(character.encode_utf8(&mut [0; 4])) > limit && character != ' ' {
                take(piece.trim_end());
                piece.replace_range(.., INDENT);
            }
            piece.push(character);
        }
    }
    take(piece.trim_end());
}

/// The titles and rows, without the last LF.
impl Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut done, mut before) = (Ok(()), "");
        self.lines(None, &mut |line| {
            if done.is_ok() {
                done = write!(f, "{before}{line}");
            }
            before = "\n";
        });
        done
    }
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("titles", &self.titles).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_in_both_languages() {
        let mut table = Table::bilingual();
        table.texts(&[["机号", "machine"]]);
        table.numbers(&[["金额", "amount"]]);
        table.row(["00001".to_owned(), "5.50".to_owned()]);
        table.row(["一食堂".to_owned(), "-12345.00".to_owned()]);
        let text = table.to_string();
        let widths: Vec<usize> = text.lines().map(width).collect();
        assert_eq!(widths, [20; 4], "{text}");
    }

    #[test]
    fn with_a_limit_no_line_is_wider_and_no_cell_is_lost() {
        let mut table = Table::bilingual();
        table.texts(&[["机号", "machine"]]);
        table.numbers(&[["无", "none"], ["金额", "amount"]]);
        table.texts(&[["说明", "what"]]);
        table.row(["00001", "0", "5.50", "一二三四五六七八九十"].map(str::to_owned));
        table.row(["00002", "0.00", "12.00", "longwordwithoutablank"].map(str::to_owned));
        let mut lines = Vec::new();
        table.lines(Some(16), &mut |line| lines.push(line.to_owned()));
        let wanted = [
            "  机号",
            "    金额  说明",
            "  machine",
            "    amount  what",
            "  00001",
            "      5.50  一二",
            "      三四五六七",
            "      八九十",
            "  00002",
            "     12.00  long",
            "      wordwithou",
            "      tablank",
        ];
        assert!(lines.iter().all(|line| width(line) <= 16), "{lines:#?}");
        assert_eq!(lines.concat().replace(' ', ""), wanted.concat().replace(' ', ""), "{lines:#?}");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(line([("a\u{1b}[31m\u{85}张", 9, false), ("x", 1, false)]), "a?[31m?张  x");
    }
}
