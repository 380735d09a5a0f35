//! A report as parts, written as text for a terminal, as text for paper, as a page of HTML, or as
//! CSV.
//!
//! *Invariants:*
//! - Text for paper has no line wider than [`PAPER_WIDTH`] columns.
//! - The page of HTML needs nothing but itself: no script, no font, no picture from elsewhere.
//! - No control character of a text is written, but the ends of lines.

use core::fmt::Display;
use std::io::{self, Write};

use super::table::{Table, label, printable, wrap};

/// Columns of text on paper; a Chinese character takes two.
pub const PAPER_WIDTH: usize = 80;

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text, as wide as its tables.
    Text,
    /// Text of [`PAPER_WIDTH`] columns, with a line to sign.
    Print,
    /// A page of HTML for A4, with a line to sign.
    Html,
    /// The first table as CSV, its titles in this language: 0 Chinese, 1 English.
    Csv(usize),
}

/// A part of a report.
enum Part<'a> {
    Heading(String),
    /// A label, with its blanks, and a value.
    Line(String, String),
    Text(String),
    Table(Table<'a>),
}

/// A report before it is written.
pub struct Paper<'a> {
    title: String,
    parts: Vec<Part<'a>>,
}

const SIGNED: &str = "制表 prepared by ____________  复核 checked by ____________  日期 date _________";

/// The style of a page: black on white, A4, titles again on each page, no row torn apart.
const HEAD: &str = "<style>@page{size:A4;margin:14mm}body{font:9pt/1.35 sans-serif;color:#000;background:#fff;max-width:182mm;\
margin:auto}h1{font-size:14pt}h2{font-size:10.5pt;margin:1.2em 0 .3em;break-after:avoid}p{margin:.1em 0;overflow-wrap:\
anywhere}p b{display:inline-block;min-width:15em;font-weight:normal}table{border-collapse:collapse;width:100%}thead{\
display:table-header-group}tr{break-inside:avoid}th,td{border-bottom:.2mm solid #999;padding:.15em .4em;text-align:left;\
font-weight:normal;vertical-align:top;overflow-wrap:anywhere}th{border-bottom-color:#000}.n{text-align:right;\
font-variant-numeric:tabular-nums}footer{margin-top:3em}</style></head><body>";

impl<'a> Paper<'a> {
    /// A report without parts, with its title in both languages.
    pub(crate) fn new(title: &str) -> Self {
        Self { title: title.to_owned(), parts: Vec::new() }
    }

    /// A heading, in both languages.
    pub(crate) fn heading(&mut self, chinese: &str, english: &str) {
        self.parts.push(Part::Heading(format!("{chinese} {english}")));
    }

    /// A labelled value.
    pub(crate) fn line(&mut self, chinese: &str, english: &str, value: impl Display) {
        self.add_line(chinese, english, &value);
    }

    fn add_line(&mut self, chinese: &str, english: &str, value: &dyn Display) {
        self.parts.push(Part::Line(label(chinese, english), value.to_string()));
    }

    /// A sentence.
    pub(crate) fn text(&mut self, words: &str) {
        self.parts.push(Part::Text(words.to_owned()));
    }

    /// A table.
    pub(crate) fn table(&mut self, table: Table<'a>) {
        self.parts.push(Part::Table(table));
    }

    /// Writes it.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn write(&self, form: Form, out: &mut dyn Write) -> io::Result<()> {
        let mut result = Ok(());
        let mut put = |words: &str| {
            if result.is_ok() {
                result = out.write_all(words.as_bytes());
            }
        };
        match form {
            Form::Text => self.write_text(None, &mut put),
            Form::Print => self.write_text(Some(PAPER_WIDTH), &mut put),
            Form::Html => self.write_html(&mut put),
            Form::Csv(language) => self.write_csv(language, &mut put),
        }
        result
    }

    fn write_text(&self, limit: Option<usize>, put: &mut dyn FnMut(&str)) {
        let mut line = |words: &str| {
            put(words);
            put("\n");
        };
        wrap(&self.title, limit, &mut line);
        let mut was_heading = true;
        for part in &self.parts {
            match part {
                Part::Heading(words) => {
                    line("");
                    wrap(&printable(words), limit, &mut line);
                }
                Part::Line(label, value) => wrap(&printable(&format!("{label}{value}")), limit, &mut line),
                Part::Text(words) => wrap(&format!("  {}", printable(words)), limit, &mut line),
                Part::Table(table) => {
                    if !was_heading {
                        line("");
                    }
                    table.lines(limit, &mut line);
                }
            }
            was_heading = matches!(part, Part::Heading(_));
        }
        if limit.is_some() {
            line("\n");
            line(SIGNED);
        }
    }

    fn write_html(&self, put: &mut dyn FnMut(&str)) {
        put("<!DOCTYPE html>\n<html lang=\"zh\"><head><meta charset=\"utf-8\"><title>");
        put_escaped(&self.title, put);
        put("</title>");
        put(HEAD);
        element("h1", &self.title, put);
        for part in &self.parts {
            match part {
                Part::Heading(words) => element("h2", words, put),
                Part::Line(label, value) => {
                    put("<p>");
                    element("b", label.trim(), put);
                    put_escaped(value, put);
                    put("</p>\n");
                }
                Part::Text(words) => element("p", words, put),
                Part::Table(table) => write_html_table(table, put),
            }
        }
        element("footer", SIGNED, put);
        put("</body></html>\n");
    }

    fn write_csv(&self, language: usize, put: &mut dyn FnMut(&str)) {
        // Without it spreadsheets read UTF-8 as GBK.
        put("\u{FEFF}");
        let tables =
            self.parts.iter().filter_map(|part| if let Part::Table(table) = part { Some(table) } else { None });
        for table in tables.take(1) {
            let mut write = |row: &[String]| {
                let mut text = String::new();
                for (column, cell) in row.iter().enumerate() {
                    text.push_str(if column == 0 { "" } else { "," });
                    push_csv(&mut text, cell, !table.is_number(column));
                }
                put(&text);
                put("\r\n");
            };
            write(&table.titles()[language.min(table.titles().len() - 1)]);
            table.each(&mut write);
        }
    }
}

/// Adds a cell of CSV, quoted if necessary. A text by a person or a device gets an apostrophe if a
/// spreadsheet would run it as a formula.
pub(super) fn push_csv(row: &mut String, cell: &str, is_text: bool) {
    let guard = if is_text && is_formula(cell) { "'" } else { "" };
    if cell.contains([',', '"', '\n', '\r', '\t', ';']) {
        row.extend(["\"", guard, &cell.replace('"', "\"\""), "\""]);
    } else {
        row.extend([guard, cell]);
    }
}

fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r', '\n']) && text != "-"
}

fn write_html_table(table: &Table, put: &mut dyn FnMut(&str)) {
    let columns = table.columns(true);
    let begin = |name: &str, column: usize, put: &mut dyn FnMut(&str)| {
        put("<");
        put(name);
        put(if table.is_number(column) { " class=n>" } else { ">" });
    };
    put("<table><thead><tr>");
    for (column, _) in &columns {
        begin("th", *column, put);
        for (index, titles) in table.titles().iter().enumerate() {
            put(if index > 0 { "<br>" } else { "" });
            put_escaped(&titles[*column], put);
        }
    }
    put("</thead><tbody>\n");
    table.each(&mut |row| {
        put("<tr>");
        for (column, _) in &columns {
            begin("td", *column, put);
            put_escaped(row.get(*column).map_or("", String::as_str), put);
        }
        put("\n");
    });
    put("</tbody></table>\n");
}

fn element(name: &str, words: &str, put: &mut dyn FnMut(&str)) {
    put(&format!("<{name}>"));
    put_escaped(words, put);
    put(&format!("</{name}>\n"));
}

fn put_escaped(words: &str, put: &mut dyn FnMut(&str)) {
    let words = printable(words);
    let mut rest = words.as_str();
    while let Some(at) = rest.find(['&', '<', '>', '"']) {
        put(&rest[..at]);
        put(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            _ => "&quot;",
        });
        rest = &rest[at + 1..];
    }
    put(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_runs_no_text_as_a_formula() {
        let cell = |text: &str, is_text: bool| {
            let mut row = String::new();
            push_csv(&mut row, text, is_text);
            row
        };
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "＝1"] {
            assert_eq!(cell(formula, true), format!("'{formula}"));
            assert_eq!(cell(formula, false), formula);
        }
        for formula in ["\t=1", "\r=1"] {
            assert_eq!(cell(formula, true), format!("\"'{formula}\""));
        }
        for text in ["0088888888", "12e45678", "1食堂", "2026-11-22 12:00:00", "", "-"] {
            assert_eq!(cell(text, true), text);
        }
    }

    /// Has a part of each kind, with texts that a page or a terminal would obey.
    fn paper() -> Paper<'static> {
        let mut paper = Paper::new("日结 <close>");
        paper.heading("各机", "by machine");
        let mut table = Table::bilingual();
        table.texts(&[["机号", "machine"]]);
        table.numbers(&[["金额", "amount"], ["无", "none"]]);
        table.row(["<script>alert('一')</script>&\u{1b}[31m", "5.50", "0.00"].map(str::to_owned));
        table.make_rows(Box::new(|take| take(&["=1+1", "-2.00", "0"].map(str::to_owned))));
        paper.table(table);
        paper.line("站点", "site", "一食堂".repeat(20));
        paper.text(&"long words ".repeat(20));
        paper
    }

    fn written(form: Form) -> String {
        let mut out = Vec::new();
        paper().write(form, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_for_paper_fits_80_columns_and_loses_nothing_and_has_a_line_to_sign() {
        let paper = written(Form::Print);
        let widest = paper.lines().map(crate::desk::table::width).max();
        assert_eq!(widest, Some(PAPER_WIDTH), "{paper}");
        assert!(paper.contains(SIGNED) && !paper.contains('\u{1b}'), "{paper}");
        let plain = |text: &str| text.replace([' ', '\n'], "");
        assert!(plain(&paper).contains(&"一食堂".repeat(20)));
        assert!(plain(&paper).contains(&"longwords".repeat(20)));
        assert!(!paper.contains("none") && written(Form::Text).contains("none"), "no column of zeros");
    }

    #[test]
    fn a_page_needs_nothing_else_and_obeys_no_text() {
        let page = written(Form::Html);
        for wanted in ["<meta charset=\"utf-8\">", "size:A4", "&lt;script&gt;alert('一')&lt;/script&gt;&amp;?[31m"] {
            assert!(page.contains(wanted), "{wanted}\n{page}");
        }
        for unwanted in ["<script", "src=", "href", "http", "url(", "@import", "<close>", "\u{1b}"] {
            assert!(!page.contains(unwanted), "{unwanted}\n{page}");
        }
    }

    #[test]
    fn a_csv_is_the_first_table_with_one_line_of_titles() {
        let wanted =
            "\u{FEFF}machine,amount,none\r\n<script>alert('一')</script>&\u{1b}[31m,5.50,0.00\r\n'=1+1,-2.00,0\r\n";
        assert_eq!(written(Form::Csv(1)), wanted);
        assert!(written(Form::Csv(0)).starts_with("\u{FEFF}机号,金额,无\r\n"));
    }
}
