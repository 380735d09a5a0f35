//! A ledger's entries in a table, for people (design.md, section 3); `desk::audit::show` chooses which.
//!
//! It reads line by line and judges nothing: `verify` does. A line that cannot be read is named where it stands, in
//! a line that begins with `#`.

use std::io::{self, Write};

use super::line::{self, LineError, Parsed};
use super::segment::Lines;
use super::storage::Files;

/// What to print.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShowOptions {
    /// The ledger's own lines instead of a table.
    pub raw: bool,
}

/// Prints the entries of the segments `names`.
///
/// # Errors
/// If a file cannot be read or the output not be written.
pub fn show<F: Files>(files: &F, names: &[String], options: ShowOptions, out: &mut dyn Write) -> io::Result<()> {
    if !options.raw {
        write_title(out, Width::All)?;
    }
    for_each_entry(files, names, &mut |read| match (read.parsed, options.raw) {
        (Ok(_), true) => {
            out.write_all(read.text)?;
            out.write_all(b"\n")
        }
        (Ok(_), false) => write_entry(out, read.text, Width::All),
        (Err(error), _) => writeln!(out, "# {}:{}: {error}", files.path(read.name), read.line),
    })
}

/// Writes the table's first line.
///
/// # Errors
/// If the output cannot be written.
pub fn write_title(out: &mut dyn Write, width: Width) -> io::Result<()> {
    write_row(out, &TABLE.map(|(title, ..)| title.to_owned()), width)
}

/// Writes a line of the ledger as a row of the table.
///
/// # Errors
/// If the output cannot be written.
pub fn write_entry(out: &mut dyn Write, text: &[u8], width: Width) -> io::Result<()> {
    write_row(out, &cells(text), width)
}

/// How much of an entry a row has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Width {
    /// All that the table has, some 200 columns of a terminal.
    #[default]
    All,
    /// What fits a terminal of 80 columns.
    Fits80,
}

/// The columns that fit a terminal of 80 columns; the times are without their year.
const NARROW: [&str; 7] = ["seq", "time", "kind", "machine", "card", "amount", "balance"];

/// One line as it is read.
pub struct Read<'a> {
    /// The segment's name.
    pub name: &'a str,
    /// From 1, which is the header.
    pub line: u64,
    /// Without the LF.
    pub text: &'a [u8],
    /// What it says.
    pub parsed: Result<Parsed, LineError>,
}

/// Calls `work` for every line of the segments `names`, in order.
///
/// # Errors
/// If a file cannot be read, or `work`'s first.
pub fn for_each_entry<F: Files>(
    files: &F,
    names: &[String],
    work: &mut dyn FnMut(Read) -> io::Result<()>,
) -> io::Result<()> {
    for name in names {
        let mut lines = Lines::new(files, name);
        while let Some(line) = lines.read()? {
            let parsed = if line.ended {
                line::parse(line.text)
            } else {
                Err(LineError {
                    column: line::COLUMNS.len(),
                    what: "the line is not whole: torn, or just being written",
                })
            };
            work(Read { name, line: line.number, text: line.text, parsed })?;
        }
    }
    Ok(())
}

/// Title, the ledger's column from 1, width (0: the last, as long as it is), whether numbers align to the right.
const TABLE: [(&str, usize, usize, bool); 16] = [
    ("seq", 1, 7, true),
    ("time", 2, 20, false),
    ("kind", 4, 11, false),
    ("machine", 5, 7, false),
    ("frame", 7, 5, false),
    ("card", 8, 10, false),
    ("account", 9, 10, false),
    ("amount", 10, 9, true),
    ("subsidy", 11, 8, true),
    ("uses", 12, 4, true),
    ("balance", 13, 9, true),
    ("sub_left", 14, 8, true),
    ("left", 15, 4, true),
    ("slot", 17, 8, false),
    ("ref", 18, 7, true),
    ("detail", 19, 0, false),
];

fn cells(text: &[u8]) -> [String; TABLE.len()] {
    let columns = line::columns(text).unwrap_or_default();
    TABLE.map(|(_, column, ..)| {
        let value = String::from_utf8_lossy(columns[column - 1]);
        match column {
            // To the second; a time that was not believed is marked.
            2 => {
                let second: String = value.chars().take(19).collect::<String>().replace('T', " ");
                if columns[2] == b"unset" { second + "?" } else { second }
            }
            _ if value == "\\N" => String::new(),
            _ => value.chars().map(|character| if character.is_control() { '?' } else { character }).collect(),
        }
    })
}

fn write_row(out: &mut dyn Write, cells: &[String; TABLE.len()], wanted: Width) -> io::Result<()> {
    let mut row = String::new();
    for ((title, _, width, to_the_right), cell) in TABLE.iter().zip(cells) {
        let (mut width, mut cell) = (*width, cell.as_str());
        if wanted == Width::Fits80 {
            if !NARROW.contains(title) {
                continue;
            }
            if *title == "time" {
                // `11-22 12:30:00`, and the mark of a time that was not believed.
                cell = cell.get(5..).unwrap_or(cell);
                width = 15;
            }
        }
        let cell = if *to_the_right { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") };
        row.push_str(&cell);
    }
    writeln!(out, "{}", row.trim_end())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, FIRST, Line as Spec};
    use super::*;

    fn shown(specs: &[Spec], raw: bool) -> String {
        let storage = testing::ledger_of(specs);
        let mut out = Vec::new();
        show(&storage, &[FIRST.to_owned()], ShowOptions { raw }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_has_a_row_for_every_entry() {
        let text = shown(&[Spec::Good, Spec::Good, Spec::Stop], false);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 4, "{text}");
        for (row, words) in [
            (0, &["seq", "time", "kind"][..]),
            (1, &["1", "2026-11-22", "12:00:00", "topup", "0088888888", "0088888888", "1.00", "0.00", "0", "1.00"]),
            (3, &["3", "2026-11-22", "12:00:00", "stop"]),
        ] {
            let shown: Vec<&str> = rows[row].split_whitespace().collect();
            assert_eq!(shown[..words.len()], *words, "{text}");
        }
        assert_eq!(rows[0].find("kind"), rows[1].find("topup"), "columns stand below each other");
    }

    #[test]
    fn raw_lines_are_the_ledgers_own() {
        let storage = testing::ledger_of(&[Spec::Good; 3]);
        assert_eq!(shown(&[Spec::Good; 3], true).as_bytes(), &storage.files[FIRST][512..]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let text = shown(&[Spec::Good, Spec::Unreadable, Spec::NoEnd], true);
        assert!(text.contains(&format!("# {FIRST}:3: column 3 (clock)")), "{text}");
        assert!(text.contains(&format!("# {FIRST}:4: ")), "{text}");
    }
}
