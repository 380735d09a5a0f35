//! The rows of a CSV text, one at a time, each with the line it begins on.
//!
//! Quotes are read strictly in every column: a quote that is left open, or that is within a value,
//! would move the rest of the row into other columns, or the next row into this one, and nobody
//! would notice the missing card. Such a row is a [`Fault`], and reading goes on after it, so that
//! one run names all of them. A line break within quotes is part of the value and counts as a line.
//! The buffers are reused, and the text may come in windows: a table of 65,536 cards needs the
//! memory of one window.

use crate::lang::tr;
use core::ops::Range;

/// Reads a text row by row.
#[derive(Debug)]
pub(crate) struct Rows {
    /// The window of the text.
    text: String,
    /// The offset in the window up to which it was read.
    place: usize,
    line: u32,
    delimiter: u8,
    /// The values of the row that was read last, one after the other.
    values: String,
    fields: Vec<Field>,
}

#[derive(Clone, Debug)]
struct Field {
    /// Its range in the values.
    value: Range<usize>,
    is_quoted: bool,
}

/// One row; its fields live until the next is read.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    /// The line where it begins, from 1.
    pub line: u32,
    values: &'a str,
    fields: &'a [Field],
}

/// A row that cannot be read because of a quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The line where the value begins.
    pub line: u32,
    /// Which field it is, from 0.
    pub place: usize,
    pub kind: FaultKind,
}

/// What is wrong with a quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// It is never closed.
    Open,
    /// It is closed in a later line, and a line between looks like a row of its own.
    Swallows,
    /// Other characters follow it before the next delimiter.
    Trailing,
    /// It is within a value that does not begin with a quote.
    Within,
}

impl FaultKind {
    /// The error and the remedy.
    pub fn words(self) -> &'static str {
        match self {
            Self::Open => tr(
                "a quote that opens here is never closed: remove it, or close it in this line",
                "这里开始的引号没有结束：去掉它，或者在这一行里写上另一个",
            ),
            Self::Swallows => tr(
                "a quote that opens here swallows the next lines: remove it, or close it in this line; a value of several lines holds no delimiter",
                "这里开始的引号吞掉了后面几行：去掉它，或者在这一行里写上另一个；跨行的值里不能有分隔符",
            ),
            Self::Trailing => tr(
                "text follows the closing quote: write a quote within a value twice",
                "结束的引号后面还有东西：值里的引号要写两遍",
            ),
            Self::Within => tr(
                "a quote within a value: remove it, or put quotes around the value and write the quote twice",
                "值中间有引号：去掉它，或者给值加引号并把它写两遍",
            ),
        }
    }
}

impl Rows {
    /// Reads a text, whose fields `delimiter` (ASCII) divides.
    pub fn new(delimiter: u8) -> Self {
        Self { text: String::new(), place: 0, line: 1, delimiter, values: String::new(), fields: Vec::new() }
    }

    /// The window, for the text that follows the one before. What was read of it goes. A row is
    /// read whole only if its end is in the window.
    pub fn window(&mut self) -> &mut String {
        self.text.drain(..self.place);
        self.place = 0;
        &mut self.text
    }

    /// Sets the delimiter of fields.
    pub fn divide_by(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
    }

    /// The delimiter of fields.
    pub fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// The bytes in the window that are not read yet.
    pub fn unread(&self) -> usize {
        self.text.len() - self.place
    }

    /// The line that comes next, from 1; the last one, if it has no end and was read.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// Passes over the line ends before the next row, but for a last CR in the window: its LF may
    /// come with the next one.
    pub fn skip_blank_lines(&mut self) {
        while self.unread() > 1 && self.take_line_end() {}
    }

    /// The next row that is not blank.
    pub fn next(&mut self) -> Option<Result<Row<'_>, Fault>> {
        loop {
            if self.place == self.text.len() {
                return None;
            }
            if !self.take_line_end() {
                break;
            }
        }
        let line = self.line;
        self.values.clear();
        self.fields.clear();
        loop {
            let (start, start_line) = (self.place, self.line);
            if let Err(kind) = self.read_field() {
                if kind == FaultKind::Open {
                    // The value ran to the end of the text: go back to report the other rows too.
                    (self.place, self.line) = (start, start_line);
                }
                self.skip_line();
                return Some(Err(Fault { line: start_line, place: self.fields.len(), kind }));
            }
            if self.peek() == Some(self.delimiter) {
                self.place += 1;
            } else {
                self.take_line_end();
                return Some(Ok(Row { line, values: &self.values, fields: &self.fields }));
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.place).copied()
    }

    /// CR, LF or both.
    fn take_line_end(&mut self) -> bool {
        let len = match &self.text.as_bytes()[self.place..] {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            _ => return false,
        };
        self.place += len;
        self.line += 1;
        true
    }

    fn skip_line(&mut self) {
        let rest = &self.text[self.place..];
        self.place += rest.find(['\r', '\n']).unwrap_or(rest.len());
        self.take_line_end();
    }

    /// Reads up to the delimiter or the end of the line.
    fn read_field(&mut self) -> Result<(), FaultKind> {
        let rest = &self.text[self.place..];
        let delimiter = char::from(self.delimiter);
        let is_blank = |next: char| next != delimiter && !matches!(next, '\r' | '\n') && is_blank(next);
        let inner = rest.trim_start_matches(is_blank);
        if let Some(inner) = inner.strip_prefix('"') {
            self.place = self.text.len() - inner.len();
            return self.read_quoted();
        }
        let len = rest.find([delimiter, '\r', '\n']).unwrap_or(rest.len());
        let value = rest[..len].trim_matches(self::is_blank);
        let value = of_formula(value).unwrap_or(value);
        if value.contains('"') {
            return Err(FaultKind::Within);
        }
        self.place += len;
        push(&mut self.values, &mut self.fields, value, false);
        Ok(())
    }

    /// Reads on after an opening quote.
    fn read_quoted(&mut self) -> Result<(), FaultKind> {
        let first_line = self.line;
        let mut value = String::new();
        loop {
            let rest = &self.text[self.place..];
            let len = rest.find(['"', '\r', '\n']).ok_or(FaultKind::Open)?;
            value.push_str(&rest[..len]);
            self.place += len;
            if self.take_line_end() {
                value.push('\n');
                continue;
            }
            self.place += 1;
            if self.peek() != Some(b'"') {
                break;
            }
            value.push('"');
            self.place += 1;
        }
        if self.line > first_line && value.lines().any(|line| self.looks_like_row(line)) {
            return Err(FaultKind::Swallows);
        }
        let delimiter = char::from(self.delimiter);
        let rest = &self.text[self.place..];
        let rest =
            rest.trim_start_matches(|next: char| next != delimiter && next != '\r' && next != '\n' && is_blank(next));
        if !rest.is_empty() && !rest.starts_with([delimiter, '\r', '\n']) {
            return Err(FaultKind::Trailing);
        }
        self.place = self.text.len() - rest.len();
        let value = value.trim_matches(is_blank);
        push(&mut self.values, &mut self.fields, of_formula(value).unwrap_or(value), true);
        Ok(())
    }

    /// Whether a line of a value could be a row: it has a delimiter, or is only a number, as in a
    /// table of one column.
    fn looks_like_row(&self, line: &str) -> bool {
        let line = line.trim();
        line.contains(char::from(self.delimiter)) || (!line.is_empty() && line.chars().all(char::is_numeric))
    }
}

impl<'a> Row<'a> {
    /// The fields, blanks around them removed.
    pub fn fields(self) -> impl Iterator<Item = &'a str> {
        self.fields.iter().map(move |field| &self.values[field.value.clone()])
    }

    /// How many fields there are.
    pub fn count(self) -> usize {
        self.fields.len()
    }

    /// A field, blanks around it removed; empty if the row is shorter.
    pub fn field(self, place: usize) -> &'a str {
        self.fields.get(place).map_or("", |field| &self.values[field.value.clone()])
    }

    /// Whether the field was in quotes.
    pub fn is_quoted(self, place: usize) -> bool {
        self.fields.get(place).is_some_and(|field| field.is_quoted)
    }

    /// Whether all fields are empty.
    pub(crate) fn is_blank(self) -> bool {
        self.values.is_empty()
    }
}

/// Appends a value and its place.
fn push(values: &mut String, fields: &mut Vec<Field>, value: &str, is_quoted: bool) {
    let start = values.len();
    values.extend(value.chars().filter(|next| !is_invisible(*next)));
    fields.push(Field { value: start..values.len(), is_quoted });
}

/// No-break blanks of Excel, ideographic blanks, and a byte order mark within joined files count as
/// blank.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || is_invisible(character)
}

/// Invisible characters that are copied from web pages and chats: marks of direction, of joints and
/// of byte order.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

/// The text of a formula that is only a text: some programs write `="0088"` so that a spreadsheet
/// does not read a number.
fn of_formula(value: &str) -> Option<&str> {
    let inner = value.strip_prefix("=\"")?.strip_suffix('"')?;
    (!inner.contains('"')).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Vec<Result<(u32, Vec<String>), (u32, usize, FaultKind)>>;

    fn read(text: &str) -> Read {
        let mut rows = Rows::new(b',');
        rows.window().push_str(text);
        let mut read = Vec::new();
        while let Some(row) = rows.next() {
            let row = row.map(|row| (row.line, row.fields().map(str::to_owned).collect()));
            read.push(row.map_err(|fault| (fault.line, fault.place, fault.kind)));
        }
        read
    }

    fn fields(text: &str) -> Vec<String> {
        read(text).remove(0).expect(text).1
    }

    #[test]
    fn rows_know_their_lines_whatever_ends_them() {
        for text in ["a,b\n\n\"c\nd\",e\nf\n", "a,b\r\n\r\n\"c\r\nd\",e\r\nf", "a,b\r\r\"c\rd\",e\rf\r"] {
            let lines: Vec<u32> = read(text).iter().map(|row| row.as_ref().expect("a row").0).collect();
            assert_eq!(lines, [1, 3, 5], "{text:?}");
        }
    }

    #[test]
    fn quotes_commas_and_blanks_are_read() {
        assert_eq!(fields("a ,\"b,\"\"c\"\"\",\u{3000}d\u{FEFF}\t\n"), ["a", "b,\"c\"", "d"]);
        assert_eq!(fields(",\n"), ["", ""]);
        assert_eq!(fields(" \"a\" , \"\",\"\"\"\"\n"), ["a", "", "\""]);
        assert_eq!(fields("\u{200B}8\u{200B}8\u{A0},\u{202D}x\u{202C}\n"), ["88", "x"]);
        assert_eq!(fields("=\"0088\",\"=\"\"0089\"\"\",=\"\"\n"), ["0088", "0089", ""]);
        assert_eq!(read("\n\r\n"), []);
    }

    #[test]
    fn a_quote_that_is_not_one_values_is_a_fault_and_the_next_line_is_read() {
        use FaultKind::{Open, Swallows, Trailing, Within};
        for (row, place, kind) in [
            ("1,\"open", 1, Open),
            ("1,A,\"open,5", 2, Open),
            ("1,a\"b,5", 1, Within),
            ("1,a\",5", 1, Within),
            ("1,\"a\"b,5", 1, Trailing),
            ("=\"a\"\"b\",5", 0, Within),
        ] {
            let read = read(&format!("x,y\n{row}\n2,B\n"));
            assert_eq!(read[1], Err((2, place, kind)), "{row}");
            assert_eq!(read[2], Ok((3, vec!["2".to_owned(), "B".to_owned()])), "{row}");
        }
        let swallowed = read("1,\"A\n2,\"B\n3,C\n");
        assert_eq!(swallowed[0], Err((1, 1, Swallows)));
        assert_eq!(swallowed[1].as_ref().map(|row| row.0), Ok(3));
        assert_eq!(read("\"1\n2\n\"\n")[0], Err((1, 0, Swallows)), "cards in one column");
    }

    #[test]
    fn a_value_of_several_lines_is_one_value() {
        let read = read("1,\"a\r\nb\n\nc\",2\n3\n");
        assert_eq!(read[0], Ok((1, vec!["1".to_owned(), "a\nb\n\nc".to_owned(), "2".to_owned()])));
        assert_eq!(read[1], Ok((5, vec!["3".to_owned()])));
    }

    #[test]
    fn rows_longer_than_the_buffers_are_read_whole() {
        let long = "长".repeat(5000);
        let read = read(&format!("{}{long}\nx\n", "a,".repeat(300)));
        let (_, fields) = read[0].as_ref().expect("a row");
        assert_eq!((fields.len(), &fields[300]), (301, &long));
        assert_eq!(read[1], Ok((2, vec!["x".to_owned()])));
    }
}
