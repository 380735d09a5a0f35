//! A file of top-ups, subsidies or corrections: a CSV as an office keeps it, read whole before anything is ordered.
//!
//! The same encodings as a card table: UTF-8 with or without BOM, GB18030. One row is one order. A row without a key of its
//! own gets its place in the batch, and the batch is named by the [`digest`] of the command and the file: the same
//! file again is the same batch, so nothing is done twice, and one that was cut short goes on where it stopped.

use std::collections::HashMap;
use std::path::Path;

use super::request::is_key;
use crate::cards::{rows::Rows, text};
use crate::index::fnv1a;
use crate::limits::KEYS_KEPT_MIN;
use crate::model::order::Note;
use crate::model::{Balance, CardNo, Money};
use crate::problem::{Problem, Problems, quoted};

/// Rows of one file: as many as there can be cards, and room for a few more. Of rows with keys of their own the server must know each
/// again when the file comes a second time: at most [`KEYS_KEPT_MIN`].
const ROWS_MAX: usize = 100_000;

/// The columns: English and Chinese names, and whether a file must have it.
const COLUMNS: [(&str, &str); 6] =
    [("card", "卡号"), ("amount", "金额"), ("uses", "次数"), ("note", "备注"), ("key", "流水号"), ("name", "姓名")];
const CARD: usize = 0;
const AMOUNT: usize = 1;
const USES: usize = 2;
const NOTE: usize = 3;
const KEY: usize = 4;

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
pub fn parse(bytes: &[u8], file: &Path, is_signed: bool) -> Result<Vec<BatchRow>, Vec<Problem>> {
    let mut problems = Problems::new(file);
    let Some((text, _)) = text::decode(bytes, &mut problems) else { return Err(problems.into_list()) };
    let delimiter = delimiter(&text);
    let mut rows = Rows::new(&text, delimiter);
    let mut places = None;
    let mut orders = Vec::new();
    let mut keys = HashMap::new();
    while let Some(row) = rows.next() {
        if row.fields().all(str::is_empty) {
            continue;
        }
        let Some(places) = &places else {
            places = header(row.fields(), row.line, &mut problems);
            if places.is_none() {
                return Err(problems.into_list());
            }
            continue;
        };
        let cell =
            |column: usize| Cell { text: places[column].map_or("", |place| row.field(place)), column, line: row.line };
        if row.fields().count() > places.iter().flatten().count() + HEADERS_BESIDE_MAX {
            problems.add(row.line, "more fields than columns: is a comma left over, or a quote missing?");
        }
        if let Some(order) = read_row(row.line, &cell, is_signed, &mut problems) {
            if let Some(key) = &order.key
                && let Some(first) = keys.insert(key.clone(), row.line)
            {
                problems.add_in_column(
                    row.line,
                    &label(KEY),
                    format!("line {first} has the same key: give each its own"),
                );
            }
            orders.push(order);
        }
        if orders.len() > ROWS_MAX {
            problems.add(row.line, format!("more than {ROWS_MAX} rows: divide the file"));
            break;
        }
        if keys.len() > KEYS_KEPT_MIN {
            let sentence = format!(
                "more than {KEYS_KEPT_MIN} rows with keys of their own, the server remembers no more: divide the file, or leave the keys out"
            );
            problems.add_in_column(row.line, &label(KEY), sentence);
            break;
        }
    }
    if orders.is_empty() && problems.is_empty() {
        problems.add(0, "no orders: write a header such as card,amount,note and a row for each card");
    }
    if problems.is_empty() { Ok(orders) } else { Err(problems.into_list()) }
}

/// Foreign columns that a file may have beside ours.
const HEADERS_BESIDE_MAX: usize = 32;

type Places = [Option<usize>; COLUMNS.len()];

fn label(column: usize) -> String {
    let (english, chinese) = COLUMNS[column];
    format!("{chinese}/{english}")
}

/// The column that a header's field names: in English or Chinese, or both, with a remark in brackets or without.
fn named(field: &str) -> Option<usize> {
    let name = field.split(['(', '（']).next().unwrap_or_default().to_lowercase();
    let mut words = name.split(|next: char| next.is_whitespace() || next == '/').filter(|word| !word.is_empty());
    let of_word = |word: &str| COLUMNS.iter().position(|(english, chinese)| *english == word || *chinese == word);
    let column = of_word(words.next()?)?;
    words.all(|word| of_word(word) == Some(column)).then_some(column)
}

/// What divides the header into the most known names.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |delimiter: u8| {
        let fields = header.split(char::from(delimiter));
        fields.filter(|field| named(field.trim().trim_matches('"')).is_some()).count()
    };
    b"\t;,".iter().copied().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}

fn header<'a>(fields: impl Iterator<Item = &'a str>, line: u32, problems: &mut Problems) -> Option<Places> {
    let mut places: Places = [None; COLUMNS.len()];
    for (place, field) in fields.enumerate() {
        match named(field) {
            Some(column) if places[column].is_some() => {
                problems.add_in_column(line, &label(column), "two columns are called so: delete one, or rename it");
            }
            Some(column) => places[column] = Some(place),
            None if field.is_empty() || field.starts_with(crate::config::options::FOREIGN_PREFIX) => (),
            // A key column under another name would be lost in silence, and the batch done twice.
            None => problems
                .add(line, format!("unknown column {}: delete it, or name it x_… if it is your own", quoted(field))),
        }
    }
    if places[CARD].is_none() || places[AMOUNT].or(places[USES]).is_none() {
        let sentence = "the first line must name the columns card 卡号 and amount 金额 (or uses 次数); note 备注 and key 流水号 may follow";
        problems.add(line, sentence);
        return None;
    }
    Some(places)
}

struct Cell<'a> {
    text: &'a str,
    column: usize,
    line: u32,
}

impl Cell<'_> {
    fn read<T>(&self, problems: &mut Problems, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        read(self.text).map_err(|sentence| problems.add_in_column(self.line, &label(self.column), sentence)).ok()
    }
}

fn read_row<'a>(
    line: u32,
    cell: &dyn Fn(usize) -> Cell<'a>,
    is_signed: bool,
    problems: &mut Problems,
) -> Option<BatchRow> {
    let card = cell(CARD).read(problems, card);
    let uses = cell(USES).read(problems, uses);
    let has_uses = uses.is_some_and(|uses| uses != 0);
    let amount = cell(AMOUNT).read(problems, |text| match text {
        "" if has_uses => Ok(Balance::ZERO),
        text => amount(text, is_signed, has_uses),
    });
    let note = cell(NOTE).read(problems, |text| match Note::try_from(text) {
        Ok(_) if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err("write at most 96 bytes in one line".to_owned()),
    });
    let key = cell(KEY).read(problems, |text| match text {
        "" => Ok(None),
        text if is_key(text) => Ok(Some(text.to_owned())),
        text => Err(format!("{} is no key: write 1 to 40 letters, digits and signs without blanks", quoted(text))),
    });
    if !is_signed && uses.is_some_and(|uses| uses < 0) {
        problems.add_in_column(line, &label(USES), "below zero: write it without a sign, or use adjust");
    }
    Some(BatchRow { line, card: card?, amount: amount?, uses: uses?, note: note?, key: key? })
}

fn card(text: &str) -> Result<CardNo, String> {
    if let Some(card) = CardNo::parse(text.as_bytes()) {
        return Ok(card.padded());
    }
    Err(match text {
        "" => "the card is missing".to_owned(),
        text if text.contains(['E', 'e']) && text.contains('+') => {
            "the spreadsheet turned the number into a power of ten: format the column as text".to_owned()
        }
        _ => "a card is 1 to 10 digits".to_owned(),
    })
}

fn amount(text: &str, is_signed: bool, may_be_zero: bool) -> Result<Balance, String> {
    let digits = if is_signed { text.strip_prefix('+').unwrap_or(text) } else { text };
    let amount = Balance::parse(digits.as_bytes()).filter(|_| digits.len() == text.len() || !digits.starts_with('-'));
    match amount {
        None => Err(format!("{} is no amount: write yuan with at most two decimals, such as 5.50", quoted(text))),
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
    if text.is_empty() {
        return Ok(0);
    }
    let uses = text.strip_prefix('+').unwrap_or(text).parse::<i32>().ok();
    uses.ok_or_else(|| format!("{} is no number of meals", quoted(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<BatchRow>, Vec<String>> {
        let parsed = parse(text.as_bytes(), Path::new("may.csv"), false);
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
        let rows = parse(&gbk, Path::new("may.csv"), false).unwrap();
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
        let rows = parse(b"card,amount\n1,-5.50\n2,+1\n", Path::new("f"), true).unwrap();
        assert_eq!((rows[0].amount.fen(), rows[1].amount.fen()), (-550, 100));
        assert!(parse(b"card,amount\n1,+-5.50\n", Path::new("f"), true).is_err());
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
