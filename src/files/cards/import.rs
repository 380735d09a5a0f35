//! What another system exports, as the files that posgate begins with: a card table without
//! figures, and files of orders that pay the figures in.
//!
//! Orders are given under a name, so that a file that is given again pays nobody twice, also where
//! an account has moved already and its opening figures no longer count (design.md, sections 5 and
//! 8). *Invariant:* each account with a figure is paid by exactly one row, and that row is named by
//! the account: a later export may be sorted otherwise, or have closed one of its cards.

use std::io;
use std::path::Path;

use super::columns::{COLUMNS, Column};
use super::{CardCells, CardFile, Keep, Reading, Table, paste, read_file, status};
use crate::engine::gbk;
use crate::engine::model::rules::Names;
use crate::engine::model::{Balance, CardRecord, CardStatus, Figures};
use crate::files::problem::{Problem, Problems, typed};
use crate::files::sheet::value;
use crate::lang::tr;

/// How another system writes what a card table writes otherwise.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// Whether amounts are whole numbers of fen.
    pub(super) is_fen: bool,
    statuses: Vec<(String, CardStatus)>,
}

impl Dialect {
    /// The table's own words, and amounts in fen or yuan.
    pub fn new(is_fen: bool) -> Self {
        Self { is_fen, statuses: Vec::new() }
    }

    /// Adds the meaning of a word for a card's status: `停用=frozen`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn add_status(&mut self, text: &str) -> Result<(), String> {
        let wanted = || tr!("{}: write it so: 停用=frozen", "{}：请这样写：停用=冻结", typed(text));
        let (word, meaning) = text.split_once('=').ok_or_else(wanted)?;
        let meaning = status(meaning.trim(), None).map_err(|_| wanted())?;
        self.statuses.push((value::plain(word.trim()).to_lowercase(), meaning));
        Ok(())
    }

    /// The meaning of a word in lower case, if it was given.
    pub(super) fn status(&self, word: &str) -> Option<CardStatus> {
        self.statuses.iter().find(|(known, _)| known == word).map(|(_, status)| *status)
    }
}

/// Figures added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Yuan of cash.
    pub balance: Balance,
    /// Yuan of subsidy.
    pub subsidy: Balance,
    /// Uses.
    pub uses: i64,
}

/// The files of an import.
#[derive(Clone, Debug)]
pub struct Import {
    /// The export as it was read.
    pub source: CardFile,
    /// The figures of all its rows, as a spreadsheet adds them up.
    pub stated: Sums,
    /// A card table without figures.
    pub cards: String,
    /// Orders for `ctl adjust`: cash and uses, which may be below zero. Empty if there are none.
    pub adjust: String,
    /// Orders for `ctl subsidy`. Empty if there are none.
    pub subsidy: String,
}

/// Reads another system's export. `groups` are those that the configuration mentions.
///
/// # Errors
/// All problems in the file's order.
pub fn load(path: &Path, groups: &Names, dialect: &Dialect) -> Result<Import, Vec<Problem>> {
    parse(&read_file(path)?, path, groups, dialect)
}

/// Reads an export's bytes; `file` is named in problems.
///
/// # Errors
/// All problems in the file's order.
pub fn parse(bytes: &[u8], file: &Path, groups: &Names, dialect: &Dialect) -> Result<Import, Vec<Problem>> {
    let export = Export { dialect, cards: String::new(), stated: Sums::default() };
    let table = Table { export: Some(export), ..Table::new(groups, Keep::Records) };
    let mut reading = Reading::of(io::Cursor::new(bytes), file, table);
    let source = reading.run()?;
    let table = reading.table;
    let (mut adjust, mut subsidy) = (String::new(), String::new());
    for record in payees(&source.records, &table.payees) {
        let Figures { balance, subsidy: granted, uses } = record.figures();
        // The server compares the name with the holder's as it stores it.
        let (account, name) = (record.account.as_str().to_owned(), gbk::decode(&record.name).into_owned());
        if balance != Balance::ZERO || uses != 0 {
            let cells = [account.clone(), balance.to_string(), uses.to_string(), name.clone()];
            add_row(&mut adjust, "account 工号,amount 金额,uses 次数,name 姓名", &cells);
        }
        if granted != Balance::ZERO {
            add_row(&mut subsidy, "account 工号,amount 金额,name 姓名", &[account, granted.to_string(), name]);
        }
    }
    let Export { cards, stated, .. } = table.export.expect("it was set above");
    Ok(Import { source, stated, cards, adjust, subsidy })
}

/// The rows whose holders stand in the orders that pay their accounts, one of each account.
fn payees<'r>(records: &'r [CardRecord], payees: &[usize]) -> impl Iterator<Item = &'r CardRecord> {
    let mut places = payees.to_vec();
    places.sort_unstable();
    places.into_iter().map(|place| &records[place])
}

/// Adds a row to a file, and the headings before the first one. The file begins with a BOM, so that
/// Excel reads it correctly. Values of several lines become one: with another delimiter they might
/// look like rows.
fn add_row(file: &mut String, headings: &str, cells: &[String]) {
    if file.is_empty() {
        *file = format!("\u{FEFF}{headings}\r\n");
    }
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('\n', " ")).collect();
    let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
    file.push_str(&paste::line(&cells, ','));
    file.push_str("\r\n");
}

/// Reports what no order can pay.
pub(super) fn check(table: &Table<'_>, problems: &mut Problems) {
    if table.records.is_empty() && problems.is_empty() {
        problems.add(0, tr("there are no cards in it: nothing to import", "里面没有卡：没有可以导入的"));
    }
    let is_closed = |record: &&CardRecord| record.terms.status == CardStatus::Closed;
    for record in payees(&table.records, &table.payees).filter(is_closed) {
        let row = table.incoming.find(record.card);
        let granted = row.and_then(|row| table.incoming.account(row).stated().subsidy);
        if let Some((_, line)) = granted.filter(|(granted, _)| *granted != Balance::ZERO) {
            let message = tr(
                "the card is closed, and a closed card gets no subsidy: write 0.00 if it is forfeited, else add it to the balance",
                "卡已注销，注销的卡不能发补贴：作废就写 0.00，否则加进余额",
            );
            problems.add_in_column(line, &Column::Subsidy.label(), message);
        }
    }
}

/// The card table that is written while an export is read.
pub(super) struct Export<'a> {
    pub(super) dialect: &'a Dialect,
    cards: String,
    stated: Sums,
}

impl Export<'_> {
    /// Takes a row over: its cells as they are, without its figures.
    pub(super) fn copy(
        &mut self,
        cells: &CardCells<'_>,
        record: &CardRecord,
        yuan: [Option<Balance>; 2],
        uses: Option<i32>,
    ) {
        let [balance, subsidy] = yuan.map(Option::unwrap_or_default);
        self.stated.balance += balance;
        self.stated.subsidy += subsidy;
        self.stated.uses += i64::from(uses.unwrap_or_default());
        let is_kept = |column: &Column| {
            let is_figure = matches!(column, Column::Balance | Column::Subsidy | Column::Uses);
            !is_figure && cells.cells.has(*column as usize)
        };
        let columns: Vec<Column> = COLUMNS.iter().map(|spec| spec.column).filter(is_kept).collect();
        let headings: Vec<String> =
            columns.iter().map(|column| format!("{} {}", column.spec().english, column.spec().chinese[0])).collect();
        let terms = &record.terms;
        let texts: Vec<String> = columns
            .iter()
            .map(|column| match (*column, cells.text(*column)) {
                (Column::Card, _) => record.card.to_string(),
                (_, "") => String::new(),
                // What it means in a card table.
                (Column::Status, text) if status(text, None).ok() != Some(terms.status) => {
                    terms.status.word().to_owned()
                }
                (Column::ChargeMax, _) => terms.charge_max.unwrap_or_default().to_string(),
                (Column::DayMax, _) => terms.day_max.unwrap_or_default().to_string(),
                (Column::Credit, _) => terms.credit.to_string(),
                (_, text) => text.to_owned(),
            })
            .collect();
        add_row(&mut self.cards, &headings.join(","), &texts);
    }
}
