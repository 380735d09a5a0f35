//! A file of top-ups, subsidies or corrections: a CSV as an office keeps it, read whole before anything is ordered.
//!
//! Read by the reader of card tables ([`sheet`](crate::sheet)). One row is one order. A row without a key of its
//! own gets its place in the batch, and the batch is named by the [`digest`] of the command and the file: the same
//! file again is the same batch, so nothing is done twice, and one that was cut short goes on where it stopped.

use std::collections::HashMap;
use std::path::Path;

use super::request::is_key;
use crate::cards::columns::{CARD_ALIASES, DEPARTMENT_ALIASES, NAME_ALIASES};
use crate::index::fnv1a;
use crate::limits::KEYS_KEPT_MIN;
use crate::model::order::Note;
use crate::model::{Balance, CardNo, Money};
use crate::problem::{Problem, Problems, masked};
use crate::sheet::heading::{Holds, Named};
use crate::sheet::{self, Cells, Layout, Unknown, heading, value};

/// Rows of one file: as many as there can be cards, and room for a few more. Of rows with keys of their own the server must know each
/// again when the file comes a second time: at most [`KEYS_KEPT_MIN`].
const ROWS_MAX: usize = 100_000;

/// A column: its names, and what it holds.
struct ColumnSpec(&'static str, &'static [&'static str], &'static [&'static str], Holds);

impl Named for ColumnSpec {
    fn english(&self) -> &'static str {
        self.0
    }

    fn chinese(&self) -> &'static [&'static str] {
        self.1
    }

    fn aliases(&self) -> &'static [&'static str] {
        self.2
    }

    fn holds(&self) -> Holds {
        self.3
    }
}

const AMOUNT_ALIASES: &[&str] = &["充值金额", "补贴金额", "补助金额", "发放金额", "实发金额", "调整金额", "应发金额"];

/// The columns. The last two decide nothing.
const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec("card", &["卡号"], CARD_ALIASES, Holds::Card),
    ColumnSpec("amount", &["金额"], AMOUNT_ALIASES, Holds::Yuan),
    ColumnSpec("uses", &["次数"], &["充值次数", "补贴次数"], Holds::Count),
    ColumnSpec("note", &["备注"], &["说明", "摘要", "事由", "remark", "remarks", "comment"], Holds::Text),
    ColumnSpec("key", &["流水号"], &["操作编号"], Holds::Name),
    ColumnSpec("name", &["姓名"], NAME_ALIASES, Holds::Text),
    ColumnSpec("department", &["部门"], DEPARTMENT_ALIASES, Holds::Text),
];
const CARD: usize = 0;
const AMOUNT: usize = 1;
const USES: usize = 2;
const NOTE: usize = 3;
const KEY: usize = 4;

const WANTED: &str = "the first line must name the columns card 卡号 and amount 金额 (or uses 次数); note 备注 and key 流水号 may follow";

const LAYOUT: Layout<ColumnSpec> = Layout {
    columns: COLUMNS,
    first: CARD,
    wanted: WANTED,
    // A key column under another name would be lost in silence, and the batch done twice.
    unknown: |heading| {
        Unknown::Refuse(format!("unknown column {}: delete it, or name it x_… if it is your own", masked(heading)))
    },
};

/// A file of orders, read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orders {
    /// In the file's order.
    pub rows: Vec<BatchRow>,
    /// Doubtful, but read.
    pub warnings: Vec<Problem>,
}

/// One order of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRow {
    /// The file's line, from 1.
    pub line: u32,
    /// Whose account.
    pub card: CardNo,
    /// Yuan.
    pub amount: Balance,
    /// Meals.
    pub uses: i32,
    /// Why; empty: what the command line says.
    pub note: String,
    /// A key of its own.
    pub key: Option<String>,
}

/// Names a batch: FNV-1a, 64 bits, of the command, what the operator calls the batch, and the file's bytes. It tells files of honest people apart;
/// somebody who wants two files to look alike can compute a pair.
pub fn digest(command: &str, name: &str, bytes: &[u8]) -> String {
    let mut all = Vec::with_capacity(command.len() + name.len() + bytes.len() + 2);
    for part in [command.as_bytes(), name.as_bytes()] {
        all.extend_from_slice(part);
        all.push(0);
    }
    all.extend_from_slice(bytes);
    format!("{:016x}", fnv1a(&all))
}

/// Reads a file's bytes. `is_signed`: amounts may be below zero.
///
/// # Errors
/// Everything that is wrong with it, in the file's order.
pub fn parse(bytes: &[u8], file: &Path, is_signed: bool) -> Result<Orders, Vec<Problem>> {
    let (mut problems, mut warnings) = (Problems::new(file), Problems::new(file));
    let mut orders = Vec::new();
    let mut keys = HashMap::new();
    let mut is_too_long = false;
    let mut are_sums_missing = false;
    sheet::read(bytes, &LAYOUT, &mut problems, &mut warnings, |cells, problems| {
        if is_too_long || are_sums_missing {
            return;
        }
        if !cells.has(AMOUNT) && !cells.has(USES) {
            are_sums_missing = true;
            problems.add(cells.line(), WANTED);
            return;
        }
        let line = cells.line();
        if let Some(order) = read_row(cells, is_signed, problems) {
            if let Some(key) = &order.key
                && let Some(first) = keys.insert(key.clone(), line)
            {
                problems.add_in_column(line, &label(KEY), format!("line {first} has the same key: give each its own"));
            }
            orders.push(order);
        }
        if orders.len() > ROWS_MAX {
            problems.add(line, format!("more than {ROWS_MAX} rows: divide the file"));
            is_too_long = true;
        } else if keys.len() > KEYS_KEPT_MIN {
            let sentence = format!(
                "more than {KEYS_KEPT_MIN} rows with keys of their own, the server remembers no more: divide the file, or leave the keys out"
            );
            problems.add_in_column(line, &label(KEY), sentence);
            is_too_long = true;
        }
    });
    if orders.is_empty() && problems.is_empty() {
        problems.add(0, "no orders: write a header such as card,amount,note and a row for each card");
    }
    if problems.is_empty() {
        Ok(Orders { rows: orders, warnings: warnings.into_list() })
    } else {
        Err(problems.into_list())
    }
}

fn label(column: usize) -> String {
    heading::label(&COLUMNS[column])
}

/// Reads a cell, and tells what is wrong with it.
fn read<T>(
    cells: Cells<'_>,
    column: usize,
    problems: &mut Problems,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let value = read(cells.text(column));
    value.map_err(|sentence| problems.add_in_column(cells.line(), &label(column), sentence)).ok()
}

fn read_row(cells: Cells<'_>, is_signed: bool, problems: &mut Problems) -> Option<BatchRow> {
    let line = cells.line();
    let card = read(cells, CARD, problems, card);
    let uses = read(cells, USES, problems, uses);
    let has_uses = uses.is_some_and(|uses| uses != 0);
    let amount = read(cells, AMOUNT, problems, |text| match text {
        "" if has_uses => Ok(Balance::ZERO),
        text => amount(text, is_signed, has_uses),
    });
    let note = read(cells, NOTE, problems, |text| match Note::try_from(text) {
        Ok(_) if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err("write at most 96 bytes in one line".to_owned()),
    });
    let key = read(cells, KEY, problems, |text| match text {
        "" => Ok(None),
        text if is_key(text) => Ok(Some(text.to_owned())),
        text => Err(format!("{} is no key: write 1 to 40 letters, digits and signs without blanks", masked(text))),
    });
    if !is_signed && uses.is_some_and(|uses| uses < 0) {
        problems.add_in_column(line, &label(USES), "below zero: write it without a sign, or use adjust");
    }
    Some(BatchRow { line, card: card?, amount: amount?, uses: uses?, note: note?, key: key? })
}

fn card(text: &str) -> Result<CardNo, String> {
    if text.is_empty() { Err("the card is missing: write it, or delete the row".to_owned()) } else { value::card(text) }
}

fn amount(text: &str, is_signed: bool, may_be_zero: bool) -> Result<Balance, String> {
    let text = &*value::plain(text);
    let digits = if is_signed { text.strip_prefix('+').unwrap_or(text) } else { text };
    let amount = Balance::parse(digits.as_bytes()).filter(|_| digits.len() == text.len() || !digits.starts_with('-'));
    match amount {
        None => {
            Err(value::amount_wanted(text, if is_signed { "-9999999.99 to 9999999.99" } else { "0.01 to 9999999.99" }))
        }
        Some(amount) if amount.fen().unsigned_abs() > u64::from(Money::MAX.fen()) => {
            Err(format!("at most {} in one order", Money::MAX))
        }
        Some(amount) if amount < Balance::ZERO && !is_signed => {
            Err("below zero: write it without a sign, or use adjust".to_owned())
        }
        Some(Balance::ZERO) if !may_be_zero => Err("nothing would move: delete the row".to_owned()),
        Some(amount) => Ok(amount),
    }
}

fn uses(text: &str) -> Result<i32, String> {
    let text = &*value::plain(text);
    if text.is_empty() { Ok(0) } else { value::uses(text.strip_prefix('+').unwrap_or(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<BatchRow>, Vec<String>> {
        let parsed = parse(text.as_bytes(), Path::new("may.csv"), false).map(|orders| orders.rows);
        parsed.map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_file_as_an_office_keeps_it_is_read() {
        let rows =
            read("\u{FEFF}卡号,姓名,金额(元),备注,流水号\r\n88,张三,5.5,五月,\r\n\r\n8888888802,,10,,A-2\r\n").unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].line, rows[0].card.as_str(), rows[0].amount.fen()), (2, "0000000088", 550));
        assert_eq!((rows[0].note.as_str(), &rows[0].key), ("五月", &None));
        assert_eq!((rows[1].line, rows[1].amount.fen(), rows[1].key.as_deref()), (4, 1000, Some("A-2")));
        let gbk = crate::gbk::encode("卡号;次数\n88;3\n");
        let rows = parse(&gbk, Path::new("may.csv"), false).unwrap().rows;
        assert_eq!((rows[0].amount, rows[0].uses), (Balance::ZERO, 3));
    }

    #[test]
    fn everything_wrong_is_named_at_once_with_its_line() {
        let problems =
            read("card,amount,key\n88,5.501,\n8.8E+9,1,a b\n,-1,\n89,0,\n90,1,k\n91,1,k\n92,10000000,\n").unwrap_err();
        for (at, words) in [
            ("may.csv:2: column 金额/amount", "at most two decimals"),
            ("may.csv:3: column 卡号/card", "format the column as text"),
            ("may.csv:3: column 流水号/key", "no key"),
            ("may.csv:4: column 卡号/card", "missing"),
            ("may.csv:4: column 金额/amount", "below zero"),
            ("may.csv:5: column 金额/amount", "nothing would move"),
            ("may.csv:7: column 流水号/key", "line 6 has the same key"),
            ("may.csv:8: column 金额/amount", "at most 9999999.99"),
        ] {
            assert!(problems.iter().any(|line| line.starts_with(at) && line.contains(words)), "{at}: {problems:#?}");
        }
        for (text, words) in [
            ("", "no orders"),
            ("card,note\n1,x\n", "must name the columns"),
            ("card,amount,流水\n1,1,x\n", "unknown column '流水'"),
            ("PK\u{3}\u{4}", "xlsx"),
        ] {
            let problems = read(text).unwrap_err();
            assert!(problems.iter().any(|line| line.contains(words)), "{text:?}: {problems:?}");
        }
    }

    #[test]
    fn a_file_has_no_more_keys_than_are_remembered() {
        let file = |keys: usize| {
            let rows = (0..keys).map(|row| format!("88,1,K{row}\n")).chain(["89,1,\n".to_owned()]);
            read(&format!("card,amount,key\n{}", rows.collect::<String>()))
        };
        assert_eq!(file(KEYS_KEPT_MIN).unwrap().len(), KEYS_KEPT_MIN + 1);
        let problems = file(KEYS_KEPT_MIN + 1).unwrap_err();
        assert!(
            problems[0].starts_with("may.csv:16386: column 流水号/key: more than 16384 rows with keys"),
            "{problems:?}"
        );
        // Without them the batch is remembered in one row.
        assert_eq!(
            read(&format!("card,amount\n{}", "88,1\n".repeat(KEYS_KEPT_MIN + 9))).unwrap().len(),
            KEYS_KEPT_MIN + 9
        );
    }

    #[test]
    fn corrections_may_have_a_sign() {
        let rows = parse(b"card,amount\n1,-5.50\n2,+1\n", Path::new("f"), true).unwrap().rows;
        assert_eq!((rows[0].amount.fen(), rows[1].amount.fen()), (-550, 100));
        assert!(parse(b"card,amount\n1,+-5.50\n", Path::new("f"), true).is_err());
    }

    #[test]
    fn a_form_with_one_meaning_is_read_as_in_a_card_table() {
        for text in [
            "2026年11月补贴,,\n卡号,金额,备注\n8888888801,5.50,十一月\n",
            "IC卡号,姓名,部门,补贴金额（元）,备注,\n'8888888801,张三,食堂,５.50,十一月,\n,,,,,\n",
            "sep=;\n卡 号;*金额：;说明\n=\"8888888801\";5.5;十一月\n\x1A",
            "card no,amount,note,x_own\n8888888801,5.50,十一月,\"two\nlines\"\n",
        ] {
            let rows = read(text).unwrap_or_else(|problems| panic!("{text:?}: {problems:?}"));
            let [row] = &rows[..] else { panic!("{text:?}: one row") };
            assert_eq!(
                (row.card.value(), row.amount.fen(), row.note.as_str()),
                (8_888_888_801, 550, "十一月"),
                "{text:?}"
            );
        }
        let cut = parse(b"card,amount\n1,1\n2,100", Path::new("f"), false).unwrap();
        assert!(cut.warnings[0].to_string().starts_with("f:3: the last line has no end"), "{:?}", cut.warnings);
        assert_eq!(parse(b"card,amount\n1,1\n", Path::new("f"), false).unwrap().warnings, []);
    }

    #[test]
    fn a_reading_that_may_be_wrong_is_an_error_as_in_a_card_table() {
        for (text, at, words) in [
            ("card,amount\n88,1,234.50\n", "may.csv:2: column 金额/amount", "comma for the thousands"),
            ("card,amount,\n88,1,234.50\n", "may.csv:2: column 金额/amount", "comma for the thousands"),
            ("card,amount,note\n88,1,234.50\n", "may.csv:2: column 金额/amount", "comma for the thousands"),
            ("card,amount,x_a\n88,1,234\n", "may.csv:2: column 金额/amount", "comma for the thousands"),
            ("card,amount\n88,1,,,,x\n", "may.csv:2:", "more fields than the header"),
            ("card,amount,,note\n88,1,x,\n", "may.csv:2:", "column 3 has no heading"),
            ("card,amount (fen)\n88,550\n", "may.csv:1: column 金额/amount", "fen"),
            ("card,金额(万元)\n88,5\n", "may.csv:1: column 金额/amount", "multiply"),
            ("卡号(16进制),金额\n12345678,5\n", "may.csv:1: column 卡号/card", "hexadecimal"),
            ("card,amount,x_note\n88,1,\"open\n89,1,\n90,1,\"x\"\n", "may.csv:2:", "swallows the next lines"),
            ("card,amount,x_note\n88,1,\"open\n", "may.csv:2:", "closed nowhere"),
            ("card,amount\n8888888801x,1\n", "may.csv:2: column 卡号/card", "'****8801x'"),
            ("card,amount\n88,￥5\n", "may.csv:2: column 金额/amount", "without a currency"),
        ] {
            let problems = read(text).unwrap_err();
            assert!(problems.iter().any(|line| line.starts_with(at) && line.contains(words)), "{text:?}: {problems:?}");
        }
    }

    #[test]
    fn a_digest_names_command_name_and_file() {
        let first = digest("topup", "", b"card,amount\n");
        assert_eq!(first.len(), 16);
        assert_ne!(first, digest("subsidy", "", b"card,amount\n"));
        assert_ne!(first, digest("topup", "2026-12", b"card,amount\n"));
        assert_ne!(first, digest("topup", "", b"card,amount"));
        assert_eq!(first, digest("topup", "", b"card,amount\n"));
    }
}
