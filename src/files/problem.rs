//! Problems of files that an operator wrote: file, line, and what to write instead.
//!
//! Configuration and card table report all their problems at once, in the file's order (design.md,
//! sections 3 to 5). A message never holds a PIN, a member code or a whole card number: a reload
//! logs it.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::engine::model::text::Hidden;
use crate::lang::tr;

/// Problems of one file that are shown. A wrong file must not print thousands.
pub const PROBLEMS_SHOWN_MAX: usize = 50;

/// Problems that are kept while a file is read; further ones are only counted. More are kept than
/// shown, because cross checks come last and may concern any line.
const PROBLEMS_KEPT_MAX: usize = 2000;

/// An error (or a doubt, in a list of warnings), with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's path, as it was given.
    pub file: PathBuf,
    /// The line from 1; 0 for the whole file.
    pub line: u32,
    /// The card table's column, in both languages.
    pub column: Option<String>,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        match &self.column {
            Some(column) => f.write_str(&tr!(" column {column}: {}", " {column} 列：{}", self.message)),
            None => write!(f, " {}", self.message),
        }
    }
}

/// The problems of one file while it is read.
pub(crate) struct Problems {
    file: PathBuf,
    kept: Vec<Problem>,
    dropped: usize,
}

impl Problems {
    /// No problems yet.
    pub(crate) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), kept: Vec::new(), dropped: 0 }
    }

    /// Whether there are no problems.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Adds a problem; line 0 is the whole file.
    pub(crate) fn add(&mut self, line: u32, message: impl Into<String>) {
        self.push(line, None, message.into());
    }

    /// Adds a problem of a column.
    pub(crate) fn add_in_column(&mut self, line: u32, column: &str, message: impl Into<String>) {
        self.push(line, Some(column.to_owned()), message.into());
    }

    /// All of them in the file's order, shortened to [`PROBLEMS_SHOWN_MAX`] and a last one that
    /// counts the rest.
    pub(crate) fn into_list(mut self) -> Vec<Problem> {
        self.kept.sort_by_key(|problem| problem.line);
        let more = self.dropped + self.kept.len().saturating_sub(PROBLEMS_SHOWN_MAX);
        self.kept.truncate(PROBLEMS_SHOWN_MAX);
        if more > 0 {
            self.kept.push(Problem {
                file: self.file,
                line: 0,
                column: None,
                message: tr!(
                    "and {more} more: correct these first, then check again",
                    "还有 {more} 个：先改好这些，再检查"
                ),
            });
        }
        self.kept
    }

    fn push(&mut self, line: u32, column: Option<String>, message: String) {
        if self.kept.len() < PROBLEMS_KEPT_MAX {
            self.kept.push(Problem { file: self.file.clone(), line, column, message });
        } else {
            self.dropped += 1;
        }
    }
}

/// A value for a message, as [`masked`]. A value of digits without letters is hidden: after a
/// missing comma, a PIN or a card number is in another column.
pub(crate) fn shown(value: &str) -> String {
    if value.chars().any(char::is_numeric) && !value.chars().any(char::is_alphabetic) {
        return tr("these digits", "这些数字").to_owned();
    }
    masked(value)
}

/// A value for a message, as `quoted`, with only the last four of its digits, because any value may
/// hold a card's number. Only this and [`CardNo::masked`](crate::engine::model::CardNo::masked) put
/// card numbers into messages and the log.
pub fn masked(value: &str) -> String {
    quoted(&hidden(value))
}

/// A text with the last four of its digits, without quotes: see [`Hidden`].
pub fn hidden(value: &str) -> String {
    Hidden(value).to_string()
}

/// A text from a command line or the control socket, for the answer: in double quotes, escaped, and
/// as [`hidden`].
pub fn typed(value: &str) -> String {
    format!("{:?}", hidden(value))
}

/// What somebody typed as a day or a time, for the answer: whole if it cannot be a card's number,
/// which has no run of digits as short as those of a date; otherwise as [`typed`].
pub fn typed_time(value: &str) -> String {
    const YEAR_LEN: usize = 4;
    let is_of_time = value.chars().all(|next| next.is_ascii_digit() || matches!(next, '-' | '/' | ':' | '.' | ' '));
    let is_short = value.len() <= "2026-11-22 12:30:00".len();
    let is_date = value.split(|next: char| !next.is_ascii_digit()).all(|digits| digits.len() <= YEAR_LEN);
    if is_of_time && is_short && is_date { format!("{value:?}") } else { typed(value) }
}

/// A word of a configuration that is not known, as [`quoted`], up to its first digit: the file may
/// be a card table, and a line of it one word that ends with a PIN.
pub(crate) fn without_digits(word: &str) -> String {
    match word.find(char::is_numeric) {
        Some(0) => tr("these digits", "这些数字").to_owned(),
        Some(digit) => quoted(&format!("{}…", &word[..digit])),
        None => quoted(word),
    }
}

/// A value for a message: in quotes, shortened, on one line.
pub(crate) fn quoted(value: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 40;
    let mut text = String::from("'");
    for character in value.chars().take(SHOWN_CHARS_MAX) {
        text.push(if character.is_control() { '?' } else { character });
    }
    text.push_str(if value.chars().count() > SHOWN_CHARS_MAX { "…'" } else { "'" });
    text
}

/// The known word nearest to `word`, if the difference may be a typing error.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, candidate) = known.map(|candidate| (distance(word, candidate), candidate)).min()?;
    (distance <= 1 + candidate.len() / 5).then_some(candidate)
}

/// The question about a word that [`nearest`] found.
pub fn did_you_mean(candidate: &str) -> String {
    tr!("did you mean {candidate}?", "是不是 {candidate}？")
}

/// The least number of bytes to insert, drop or replace, or of neighbours to swap, to make one word
/// the other (optimal string alignment); `usize::MAX` if a word is longer than 64 bytes.
pub(crate) fn distance(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len().max(right.len()) > 64 {
        return usize::MAX;
    }
    // The rows of the last two letters of `left` and of the one before them.
    let mut before = vec![0; right.len() + 1];
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.iter().enumerate() {
        let mut next = vec![index + 1; right.len() + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = row[column] + usize::from(letter != other);
            next[column + 1] = replaced.min(next[column] + 1).min(row[column + 1] + 1);
            let are_swapped = index > 0 && column > 0 && left[index - 1] == *other && right[column - 1] == *letter;
            if are_swapped {
                next[column + 1] = next[column + 1].min(before[column - 1] + 1);
            }
        }
        (before, row) = (row, next);
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_file_line_and_column() {
        let mut problems = Problems::new(Path::new("cards.csv"));
        problems.add_in_column(12, "余额/balance", "write 5.50");
        problems.add(3, "write a card number");
        problems.add(0, "save it as CSV UTF-8");
        let lines: Vec<String> = problems.into_list().iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "cards.csv: save it as CSV UTF-8",
                "cards.csv:3: write a card number",
                "cards.csv:12: column 余额/balance: write 5.50"
            ]
        );
    }

    #[test]
    fn a_flood_of_problems_is_shown_shortened_and_counted() {
        let mut problems = Problems::new(Path::new("cards.csv"));
        for line in (1..=3000).rev() {
            problems.add(line, "wrong");
        }
        let list = problems.into_list();
        assert_eq!(list.len(), PROBLEMS_SHOWN_MAX + 1);
        assert!(list[0].line < list[1].line);
        assert!(list[PROBLEMS_SHOWN_MAX].message.starts_with("and 2950 more"));
    }

    #[test]
    fn a_slip_that_swaps_neighbours_counts_once() {
        for (one, other, wanted) in [
            ("crad", "card", 1),
            ("card", "card", 0),
            ("", "card", 4),
            ("topu", "topup", 1),
            ("ca", "abc", 3),
            ("deivce", "device", 1),
            ("verfiyx", "verify", 2),
        ] {
            assert_eq!((distance(one, other), distance(other, one)), (wanted, wanted), "{one} {other}");
        }
        assert_eq!(nearest("crad", ["config", "card", "kind"].into_iter()), Some("card"));
        assert_eq!(distance(&"x".repeat(65), "x"), usize::MAX);
        assert_eq!(distance("x", &"x".repeat(65)), usize::MAX);
    }

    #[test]
    fn a_date_is_shown_whole_and_a_cards_number_is_not() {
        for value in ["2026-13-01", "2026/1/1", "25:00", "2026-11-22 12:61", "2026"] {
            assert_eq!(typed_time(value), format!("{value:?}"));
        }
        for value in ["8765438801", "20261301", "8765-438801", "x8765438801", "8765 4388 0123 4567 8901"] {
            assert_eq!(typed_time(value), typed(value));
            assert!(!typed_time(value).contains("8765"), "{value}");
        }
    }

    #[test]
    fn an_unknown_word_is_shown_up_to_its_first_digit() {
        for (word, shown) in [
            ("foo", "'foo'"),
            ("8888888801,张三,active,1234,99", "these digits"),
            ("张三,8888888801,1234", "'张三,…'"),
            ("open_pin1234", "'open_pin…'"),
        ] {
            assert_eq!(without_digits(word), shown);
        }
    }

    #[test]
    fn digits_alone_are_not_shown() {
        assert_eq!(shown("123456"), "these digits");
        assert_eq!(shown("８８"), "these digits");
        assert_eq!(shown("12a\n"), "'12a?'");
        assert_eq!(shown("'1234"), "these digits");
        assert_eq!(shown(""), "''");
        assert_eq!(shown(&"长".repeat(50)), format!("'{}…'", "长".repeat(40)));
    }

    #[test]
    fn the_last_four_digits_are_shown_whatever_stands_around_them() {
        for (value, shown) in [
            ("'8888888801", "''****8801'"),
            ("=\"8888888801\"", "'=\"****8801\"'"),
            ("@8888888801", "'@****8801'"),
            ("８８８８８８８８０１", "'****８８０１'"),
            ("88 8888 8801", "'**** **** 8801'"),
            ("卡8888888801号", "'卡****8801号'"),
            ("8.88889E+09", "'****.****89E+09'"),
            ("T001", "'T001'"),
            ("", "''"),
        ] {
            assert_eq!(masked(value), shown);
        }
    }
}
