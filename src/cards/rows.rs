//! The rows of a CSV text, one at a time, each with the line it begins on.
//!
//! csv-core reads quotes and line ends and accepts anything; lines are counted here, because it counts no lone CR
//! and skips blank lines silently. Buffers are reused: a table of 65,536 cards costs one row.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// Reads a text row by row.
pub(crate) struct Rows<'a> {
    rest: &'a [u8],
    reader: Reader,
    line: u32,
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// One row; its fields live until the next is read.
pub(crate) struct Row<'a> {
    /// Where it begins, from 1.
    pub line: u32,
    text: &'a str,
    ends: &'a [usize],
}

impl<'a> Rows<'a> {
    /// Reads `text`, whose fields `delimiter` divides.
    pub fn new(text: &'a str, delimiter: u8) -> Self {
        let reader = ReaderBuilder::new().delimiter(delimiter).build();
        Self { rest: text.as_bytes(), reader, line: 1, text: vec![0; 1024], ends: vec![0; 64] }
    }

    /// The next row that is not blank.
    pub fn next(&mut self) -> Option<Row<'_>> {
        let start = self.rest;
        let (mut text_len, mut ends_len) = (0, 0);
        loop {
            let (result, read, written, ended) =
                self.reader.read_record(self.rest, &mut self.text[text_len..], &mut self.ends[ends_len..]);
            self.rest = &self.rest[read..];
            text_len += written;
            ends_len += ended;
            match result {
                // An empty input, which comes next, tells csv-core that this was the end.
                ReadRecordResult::InputEmpty => (),
                ReadRecordResult::OutputFull => self.text.resize(2 * self.text.len(), 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(2 * self.ends.len(), 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return None,
            }
        }
        let read = &start[..start.len() - self.rest.len()];
        let blank = read.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let line = self.line + line_ends(&read[..blank], read.get(blank).or(self.rest.first()));
        self.line += line_ends(read, self.rest.first());
        let text = std::str::from_utf8(&self.text[..text_len]).expect("csv-core takes only quotes out of a text");
        Some(Row { line, text, ends: &self.ends[..ends_len] })
    }
}

impl Row<'_> {
    /// The fields, blanks around them removed.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|index| self.field(index))
    }

    /// A field, blanks around it removed; empty if the row is shorter.
    pub fn field(&self, index: usize) -> &str {
        let Some(end) = self.ends.get(index) else {
            return "";
        };
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        // Excel's no-break blanks and a byte order mark in the midst of joined files count as blank.
        self.text[start..*end].trim_matches(|next: char| next.is_whitespace() || next == '\u{FEFF}')
    }
}

/// CR, LF or both end a line. A CR at the end counts unless `next` is the LF that belongs to it.
fn line_ends(bytes: &[u8], next: Option<&u8>) -> u32 {
    let mut count = 0_u32;
    for (index, byte) in bytes.iter().enumerate() {
        let next = bytes.get(index + 1).or(next);
        count += u32::from(*byte == b'\n' || (*byte == b'\r' && next != Some(&b'\n')));
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u32, Vec<String>)> {
        let mut rows = Rows::new(text, b',');
        let mut read = Vec::new();
        while let Some(row) = rows.next() {
            read.push((row.line, row.fields().map(str::to_owned).collect()));
        }
        read
    }

    #[test]
    fn rows_know_their_lines_whatever_ends_them() {
        for text in ["a,b\n\n\"c\nd\",e\nf\n", "a,b\r\n\r\n\"c\r\nd\",e\r\nf", "a,b\r\r\"c\rd\",e\rf\r"] {
            let lines: Vec<u32> = read(text).iter().map(|(line, _)| *line).collect();
            assert_eq!(lines, [1, 3, 5], "{text:?}");
        }
    }

    #[test]
    fn quotes_commas_and_blanks_are_read() {
        let rows = read("a ,\"b,\"\"c\"\"\",\u{3000}d\u{FEFF}\t\n,\n");
        assert_eq!(rows[0].1, ["a", "b,\"c\"", "d"]);
        assert_eq!(rows[1].1, ["", ""]);
    }

    #[test]
    fn rows_longer_than_the_buffers_are_read_whole() {
        let long = "长".repeat(5000);
        let text = format!("{}{long}\nx\n", "a,".repeat(300));
        let rows = read(&text);
        assert_eq!(rows[0].1.len(), 301);
        assert_eq!(rows[0].1[300], long);
        assert_eq!(rows[1], (2, vec!["x".to_owned()]));
    }
}
