//! The card table: a CSV file as an office keeps it (design.md, section 5).
//!
//! [`parse`] turns bytes into checked [`CardRecord`]s, or into every problem at once, each with
//! line, column and remedy. No input makes it panic. Messages hold no PIN, no member code and no
//! whole card number, because a reload writes them to the log.

pub mod columns;
pub mod diff;
pub mod import;
pub mod number;
pub mod paste;
pub mod whole;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use self::columns::{COLUMNS, Column, ColumnSpec, LAYOUT};
use self::import::{Dialect, Export};
use crate::engine::gbk;
use crate::engine::limits::{CODE_LEN_MAX, NAME_LEN_MAX};
use crate::engine::model::ids::OWN_MARK;
use crate::engine::model::rules::Names;
use crate::engine::model::{
    AccountId, Balance, CardNo, CardRecord, CardStatus, Figures, GroupSet, IncomingRow, IncomingTable, Money, Pin,
    Terms,
};
use crate::files::problem::{Problem, Problems, quoted, shown};
use crate::files::sheet::heading::Holds;
use crate::files::sheet::value::{self, is_scientific};
use crate::files::sheet::{self, Cells, Form, Layout, Step, heading};
use crate::lang::tr;

/// Rows that a step checks beside the others.
const CHECKED_LEN: usize = 1024;

/// A card table, read and checked.
#[derive(Clone, Debug)]
pub struct CardFile {
    /// The cards in the file's order, for those who asked for them. Rows that share an account all
    /// carry the account's opening figures.
    pub records: Vec<CardRecord>,
    /// The cards as they go into service.
    pub table: IncomingTable,
    /// CRC-32 of the file's bytes: the ledger's `cards_crc=`.
    pub crc: u32,
    /// Doubts about rows that are served nevertheless, in the file's order.
    pub warnings: Vec<Problem>,
    /// `UTF-8` or `GB18030`.
    pub encoding: &'static str,
    /// The headings as written. Rows to paste into the table follow their order.
    pub headings: Vec<String>,
    /// The delimiter of fields.
    pub delimiter: char,
}

impl CardFile {
    /// The columns that the file has.
    pub fn columns(&self) -> Vec<Column> {
        columns_of(&self.headings)
    }
}

/// The columns of a file with these headings.
pub fn columns_of(headings: &[String]) -> Vec<Column> {
    let read = |heading: &String| heading::read(heading, COLUMNS).column();
    headings.iter().filter_map(read).map(|place| COLUMNS[place].column).collect()
}

/// Reads a card file, with its records. `groups` are those that the configuration mentions.
///
/// # Errors
/// All problems in the file's order.
pub fn load(path: &Path, groups: &Names) -> Result<CardFile, Vec<Problem>> {
    Reading::open(path, groups, Keep::Records)?.finish()
}

/// The bytes of a card file.
fn read_file(path: &Path) -> Result<Vec<u8>, Vec<Problem>> {
    std::fs::read(path).map_err(|error| vec![unreadable(path, &error)])
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let remedy = tr(
        "option cards in the configuration names it, posgate cards template writes a new one",
        "配置里的 option cards 指定它，posgate cards template 输出一份样板",
    );
    let message = tr!("cannot read the card table: {error}; {remedy}", "读不了卡表：{error}；{remedy}");
    Problem { file: path.to_owned(), line: 0, column: None, message }
}

/// Reads a card file's bytes, with its records; `file` is named in problems.
///
/// # Errors
/// All problems in the file's order.
pub fn parse(bytes: &[u8], file: &Path, groups: &Names) -> Result<CardFile, Vec<Problem>> {
    Reading::of(io::Cursor::new(bytes), file, Table::new(groups, Keep::Records)).finish()
}

/// What is kept of a table's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// What goes into service.
    Table,
    /// The records too.
    Records,
}

/// A card file that is read in steps, each of bounded work, so that terminals can be served
/// meanwhile. The file is read twice, by windows: a first look tells its crc and its encoding.
pub struct Reading<'s> {
    path: PathBuf,
    reader: sheet::Reader<'s>,
    layout: Layout<ColumnSpec>,
    table: Table<'s>,
    problems: Problems,
    warnings: Problems,
    /// The form of the file after its last row, and how many rows were checked beside the others
    /// since.
    ended: Option<(Form, usize)>,
}

/// What a step of a [`Reading`] has reached.
pub enum Progress {
    /// There is more to do.
    Working,
    /// The first look is over: [`Reading::crc`] is known.
    Surveyed,
    /// The file changed while it was read.
    Changed,
    /// The whole table.
    Done(Box<CardFile>),
}

impl<'s> Reading<'s> {
    /// Opens a card file. `groups` are those that the configuration mentions.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path, groups: &Names, keep: Keep) -> Result<Self, Vec<Problem>> {
        let file = File::open(path).map_err(|error| vec![unreadable(path, &error)])?;
        Ok(Self::of(file, path, Table::new(groups, keep)))
    }

    fn of(source: impl sheet::Source + 's, path: &Path, table: Table<'s>) -> Self {
        let is_fen = table.export.as_ref().is_some_and(|export| export.dialect.is_fen);
        Self {
            path: path.to_owned(),
            reader: sheet::Reader::new(source),
            layout: Layout { is_fen, ..LAYOUT },
            table,
            problems: Problems::new(path),
            warnings: Problems::new(path),
            ended: None,
        }
    }

    /// CRC-32 of the file, after [`Progress::Surveyed`].
    pub const fn crc(&self) -> u32 {
        self.reader.seen().0
    }

    /// Length of the file, after [`Progress::Surveyed`].
    pub const fn file_len(&self) -> u64 {
        self.reader.seen().1
    }

    /// Whether the file's last byte is an LF, after [`Progress::Surveyed`].
    pub fn ends_line(&self) -> bool {
        self.reader.ends_line()
    }

    /// Does the next piece of work.
    ///
    /// # Errors
    /// All problems in the file's order.
    pub fn step(&mut self) -> Result<Progress, Vec<Problem>> {
        if let Some((_, checked)) = &mut self.ended {
            let rows = *checked..(*checked + CHECKED_LEN).min(self.table.incoming.len());
            *checked = rows.end;
            self.table.check_accounts(rows, &mut self.warnings);
            return if *checked < self.table.incoming.len() { Ok(Progress::Working) } else { self.end() };
        }
        let Self { reader, layout, table, problems, warnings, .. } = self;
        let stepped = reader.step(layout, problems, warnings, |cells, problems| table.read(cells, problems));
        match stepped.map_err(|error| vec![unreadable(&self.path, &error)])? {
            Step::Working => Ok(Progress::Working),
            Step::Surveyed => {
                self.table.incoming = IncomingTable::with_room(self.reader.lines() + 1);
                Ok(Progress::Surveyed)
            }
            Step::Changed => Ok(Progress::Changed),
            Step::Ended(None) => Err(self.take_problems()),
            Step::Ended(Some(form)) => {
                self.ended = Some((form, 0));
                Ok(Progress::Working)
            }
        }
    }

    fn take_problems(&mut self) -> Vec<Problem> {
        std::mem::replace(&mut self.problems, Problems::new(&self.path)).into_list()
    }

    fn end(&mut self) -> Result<Progress, Vec<Problem>> {
        let Self { table, problems, warnings, .. } = self;
        table.end(problems, warnings);
        if !self.problems.is_empty() {
            return Err(self.take_problems());
        }
        let Some((form, _)) = self.ended.take() else { return Ok(Progress::Changed) };
        Ok(Progress::Done(Box::new(CardFile {
            records: self.table.take_records(),
            table: std::mem::replace(&mut self.table.incoming, IncomingTable::with_room(0)),
            crc: self.crc(),
            warnings: std::mem::replace(&mut self.warnings, Problems::new(&self.path)).into_list(),
            encoding: form.encoding,
            headings: form.headings,
            delimiter: char::from(form.delimiter),
        })))
    }

    /// Takes the first look at once.
    ///
    /// # Errors
    /// If the file is no sheet.
    pub fn survey(&mut self) -> Result<(), Vec<Problem>> {
        while !matches!(self.step()?, Progress::Surveyed) {}
        Ok(())
    }

    /// Reads the whole file at once.
    ///
    /// # Errors
    /// All problems in the file's order.
    pub fn finish(mut self) -> Result<CardFile, Vec<Problem>> {
        self.run()
    }

    fn run(&mut self) -> Result<CardFile, Vec<Problem>> {
        loop {
            match self.step()? {
                Progress::Working | Progress::Surveyed => (),
                Progress::Changed => return Err(vec![changed(&self.path)]),
                Progress::Done(file) => return Ok(*file),
            }
        }
    }
}

/// The problem of a file that changed while it was read.
pub fn changed(path: &Path) -> Problem {
    let message =
        tr("the card table changed while it was read: try again once it is written", "读卡表的时候它变了：写完再试");
    Problem { file: path.to_owned(), line: 0, column: None, message: message.to_owned() }
}

/// A table to begin with: every column, and a few rows with example values. It is UTF-8 with a BOM,
/// so that Excel reads it correctly.
pub fn template() -> String {
    let header: Vec<String> = COLUMNS.iter().map(|spec| format!("{} {}", spec.english, spec.chinese[0])).collect();
    let rows = [
        "0000000001,S001,张三,active,100.00,,20,食堂,staff,,,2026-01-01,2030-12-31,50.00,200.00,,",
        "0000000002,,李四,挂失,0.00,,,,staff;guest,,,,,,,,",
        "0000000003,,王五,正常,,,,,,,,,2030/6/30,,,30.00,MEMBER-0003",
    ];
    format!("\u{FEFF}{}\r\n{}\r\n", header.join(","), rows.join("\r\n"))
}

/// A summary for `posgate cards check`: cards per status, accounts, opening figures, encoding.
pub fn describe(file: &CardFile) -> String {
    let statuses = [
        (CardStatus::Active, "正常"),
        (CardStatus::Lost, "挂失"),
        (CardStatus::Frozen, "冻结"),
        (CardStatus::Closed, "注销"),
    ];
    let counts = statuses.map(|(status, chinese)| {
        let count = file.records.iter().filter(|record| record.terms.status == status).count();
        let english = status.word();
        tr!("{count} {english}", "{chinese} {count}")
    });
    let mut seen = BTreeSet::new();
    let first_rows = file.records.iter().filter(|record| seen.insert(record.account.as_str()));
    let Figures { balance, subsidy, uses } = first_rows.fold(Figures::ZERO, |sum, record| sum + record.figures());
    let codes = file.records.iter().filter(|record| record.code.is_some()).count();
    let (cards, accounts, encoding, crc) = (file.records.len(), seen.len(), file.encoding, file.crc);
    tr!(
        "{cards} cards: {}\n{accounts} accounts, opening with {balance} yuan, {subsidy} yuan of subsidy and {uses} uses in all; {codes} member codes\n{encoding}, crc {crc:08x}",
        "{cards} 张卡：{}\n{accounts} 个账户，开户合计 {balance} 元、补贴 {subsidy} 元、{uses} 次；{codes} 个二维码\n{encoding}，crc {crc:08x}",
        counts.join(tr(", ", "，"))
    )
}

/// The rows that were read so far.
struct Table<'a> {
    groups: Names,
    keep: Keep,
    records: Vec<CardRecord>,
    incoming: IncomingTable,
    /// Groups that the configuration does not mention, each with its first line and its number of
    /// rows.
    unknown_groups: BTreeMap<String, (u32, u32)>,
    /// Groups that rows are in.
    used_groups: u64,
    /// The first account and the last one, while each row's is the next number.
    numbering: Option<(u64, u64)>,
    unshowable_names: Tally,
    zero_limits: Tally,
    rounded: Tally,
    /// Rows that repeat their account's opening figure.
    stated_again: Tally,
    /// Set if the table is another system's.
    export: Option<Export<'a>>,
    /// For an export, by account: the place among the records of the card whose holder an import's
    /// orders name, the first that is not closed, since a closed card gets no subsidy.
    payees: Vec<usize>,
}

/// Rows with the same doubt. They get one warning together.
#[derive(Default)]
struct Tally {
    count: u32,
    first: u32,
}

impl Tally {
    fn add(&mut self, line: u32) {
        if self.count == 0 {
            self.first = line;
        }
        self.count += 1;
    }
}

impl Table<'_> {
    fn new(groups: &Names, keep: Keep) -> Self {
        Self {
            groups: groups.clone(),
            keep,
            records: Vec::new(),
            incoming: IncomingTable::with_room(0),
            unknown_groups: BTreeMap::new(),
            used_groups: 0,
            numbering: None,
            unshowable_names: Tally::default(),
            zero_limits: Tally::default(),
            rounded: Tally::default(),
            stated_again: Tally::default(),
            export: None,
            payees: Vec::new(),
        }
    }

    /// Checks the table as a whole, after its last row.
    fn end(&mut self, problems: &mut Problems, warnings: &mut Problems) {
        self.check_groups(warnings);
        self.warn_of_rows(warnings);
        if self.incoming.is_empty() && problems.is_empty() {
            warnings.add(
                0,
                tr(
                    "the table holds no cards: every card will be refused as unknown",
                    "卡表里没有卡：所有的卡都会当作未登记被拒绝",
                ),
            );
        }
        if let Err(message) = self.incoming.check_room() {
            problems.add(0, tr!("{message}: remove cards that have ended", "{message}：请删掉已经不用的卡"));
        }
        if self.export.is_some() {
            import::check(self, problems);
        }
    }

    /// Reads a row. After a problem it goes on, to find further ones.
    fn read(&mut self, cells: Cells<'_>, problems: &mut Problems) {
        let line = cells.line();
        let dialect = self.export.as_ref().map(|export| export.dialect);
        let cells = &CardCells { cells, is_fen: dialect.is_some_and(|dialect| dialect.is_fen) };
        let card = cells.card(problems);
        let account = cells.read(Column::Account, problems, account);
        let name = cells.text(Column::Name);
        let status = cells.read(Column::Status, problems, |text| status(text, dialect)).unwrap_or_default();
        let balance = cells.read(Column::Balance, problems, value::balance);
        let subsidy = cells.read(Column::Subsidy, problems, value::money).map(Balance::from);
        let uses = cells.read(Column::Uses, problems, value::uses);
        let groups = self.read_groups(cells);
        let pin = cells.read(Column::Pin, problems, pin);
        let duress_pin = cells.read(Column::DuressPin, problems, pin_and_not(pin));
        let valid_from = cells.read(Column::ValidFrom, problems, value::date);
        let valid_until = cells.read(Column::ValidUntil, problems, value::date);
        let charge_max = cells.read(Column::ChargeMax, problems, value::money);
        let day_max = cells.read(Column::DayMax, problems, value::money);
        let credit = cells.read(Column::Credit, problems, value::money).unwrap_or_default();
        let code = cells.read(Column::Code, problems, code);

        if let (Some(from), Some(until)) = (valid_from, valid_until)
            && from > until
        {
            let message = tr!(
                "{until} is before valid_from {from}: exchange the two, or correct one",
                "{until} 早于有效期起 {from}：请对调，或者改一个"
            );
            problems.add_in_column(line, &Column::ValidUntil.label(), message);
        }
        if let Some(code) = &code
            && let Some(first) = self.incoming.find_code(code)
        {
            let first = self.incoming.line(first);
            let message = tr!(
                "line {first} has the same code: give each card its own, or leave one empty",
                "第 {first} 行的二维码相同：每张卡各用一个，或者留空一个"
            );
            problems.add_in_column(line, &Column::Code.label(), message);
        }
        let name_gbk = gbk::encode_data(name, NAME_LEN_MAX);
        if gbk::decode(&name_gbk) != name {
            self.unshowable_names.add(line);
        }
        if charge_max == Some(Money::ZERO) || day_max == Some(Money::ZERO) {
            self.zero_limits.add(line);
        }

        if [Column::Account, Column::Code].iter().any(|column| value::is_rounded(cells.text(*column))) {
            self.rounded.add(line);
        }

        let Some(card) = card else {
            return;
        };
        if let Some(first) = self.incoming.find(card) {
            let first = self.incoming.line(first);
            let message = tr!(
                "card {} is in line {first} already: delete one of the two rows",
                "卡 {} 在第 {first} 行已经有了：删掉其中一行",
                card.masked()
            );
            problems.add_in_column(line, &Column::Card.label(), message);
            return;
        }
        if self.incoming.is_full() {
            self.incoming.count_one();
            return;
        }
        let account = account.unwrap_or_else(|| card.own_account());
        let place = self.incoming.place_of(&account);
        self.merge_figures(place, (balance, subsidy, uses), line, problems);
        self.note_numbering(&account);
        self.used_groups |= groups.0;
        let terms = Terms { status, groups, pin, duress_pin, valid_from, valid_until, charge_max, day_max, credit };
        let states_figures = balance.is_some() || subsidy.is_some() || uses.is_some();
        let bytes = code.as_deref().unwrap_or_default();
        self.incoming.add(IncomingRow {
            card,
            account: place,
            name: &name_gbk,
            code: bytes,
            states_figures,
            terms: &terms,
            line,
        });
        if self.keep == Keep::Table {
            return;
        }
        let department = cells.text(Column::Department).to_owned();
        let card = card.padded();
        self.records.push(CardRecord {
            card,
            account,
            name: name_gbk,
            balance,
            subsidy,
            uses,
            states_figures,
            department,
            code,
            terms,
            line,
        });
        if self.export.is_some() {
            self.note_payee(place, status);
        }
        if let Some(export) = &mut self.export
            && let Some(record) = self.records.last()
        {
            export.copy(cells, record, [balance, subsidy], uses);
        }
    }

    /// Notes that the last record may be the one whose holder is paid for its account.
    fn note_payee(&mut self, place: usize, status: CardStatus) {
        let last = self.records.len() - 1;
        if self.payees.len() == place {
            self.payees.push(last);
        } else if self.records[self.payees[place]].terms.status == CardStatus::Closed && status != CardStatus::Closed {
            self.payees[place] = last;
        }
    }

    fn note_numbering(&mut self, account: &AccountId) {
        let number = account.as_str().parse::<u64>().ok();
        self.numbering = match (number, self.numbering) {
            (Some(number), None) if self.incoming.is_empty() => Some((number, number)),
            (Some(number), Some((first, last))) if last.checked_add(1) == Some(number) => Some((first, number)),
            _ => None,
        };
    }

    /// The row's groups that rules mention. Other groups are noted for a warning.
    fn read_groups(&mut self, cells: &CardCells<'_>) -> GroupSet {
        let mut set = GroupSet::default();
        for name in cells.text(Column::Groups).split([';', '；']).map(str::trim).filter(|name| !name.is_empty()) {
            let known = self.groups.lookup(name);
            if known.is_empty() {
                self.unknown_groups.entry(name.to_owned()).or_insert((cells.cells.line(), 0)).1 += 1;
            }
            set.0 |= known.0;
        }
        set
    }

    /// Rows that share an account share its figures: a stated figure comes before an empty field or
    /// a zero.
    fn merge_figures(
        &mut self,
        place: usize,
        (balance, subsidy, uses): (Option<Balance>, Option<Balance>, Option<i32>),
        line: u32,
        problems: &mut Problems,
    ) {
        let mut figures = self.incoming.accounts()[place].stated();
        let is_again = figures.balance.is_some_and(|(first, _)| first != Balance::ZERO && Some(first) == balance)
            || figures.subsidy.is_some_and(|(first, _)| first != Balance::ZERO && Some(first) == subsidy)
            || figures.uses.is_some_and(|(first, _)| first != 0 && Some(first) == uses);
        if is_again {
            self.stated_again.add(line);
        }
        if let Err(first) = merge(&mut figures.balance, balance, line) {
            problems.add_in_column(line, &Column::Balance.label(), different(first));
        }
        if let Err(first) = merge(&mut figures.subsidy, subsidy, line) {
            problems.add_in_column(line, &Column::Subsidy.label(), different(first));
        }
        if let Err(first) = merge(&mut figures.uses, uses, line) {
            problems.add_in_column(line, &Column::Uses.label(), different(first));
        }
        self.incoming.state(place, figures);
    }

    /// Warns of an account that looks like another card's number but is not that card's account:
    /// the two rows are probably meant to share one.
    fn check_accounts(&self, rows: Range<usize>, warnings: &mut Problems) {
        for row in rows {
            let account = &self.incoming.account(row).id;
            let Some(number) = CardNo::parse(account.as_bytes()) else {
                continue;
            };
            if let Some(other) = self.incoming.find(number)
                && other != row
                && self.incoming.account(other).id != *account
            {
                let message = tr!(
                    "it looks like the card of line {}, but is not that card's account: to share it, write the same account in both rows",
                    "这像是第 {} 行的卡号，却不是那张卡的编号：要共用账户，两行请写同一个编号",
                    self.incoming.line(other)
                );
                warnings.add_in_column(self.incoming.line(row), &Column::Account.label(), message);
            }
        }
    }

    /// If the accounts just number the rows, the line of the first row.
    fn numbered_by_row(&self) -> Option<u32> {
        /// Fewer rows may be numbered so by chance.
        const ROWS_MIN: usize = 5;
        let (first, _) = self.numbering?;
        (self.incoming.len() >= ROWS_MIN && first <= 1).then(|| self.incoming.line(0))
    }

    /// Warns of unknown groups: a mistyped group silently removes rights. If the configuration
    /// mentions no group, the column serves another program.
    fn check_groups(&self, warnings: &mut Problems) {
        let all: Vec<&str> = self.groups.names(GroupSet(u64::MAX)).collect();
        if all.is_empty() || self.incoming.is_empty() {
            return;
        }
        for (name, (first, count)) in &self.unknown_groups {
            let message = tr!(
                "the configuration mentions no group {} ({count} rows): it decides nothing; known are {}",
                "配置里没有 {} 这个分组（{count} 行）：它不起作用；配置里有 {}",
                shown(name),
                all.join(", ")
            );
            warnings.add_in_column(*first, &Column::Groups.label(), message);
        }
        for name in self.groups.names(GroupSet(!self.used_groups)) {
            warnings.add(
                0,
                tr!("no card is in group {}, which the configuration mentions", "配置里的分组 {} 没有卡", quoted(name)),
            );
        }
    }

    fn warn_of_rows(&self, warnings: &mut Problems) {
        let Tally { count, first } = self.stated_again;
        if count > 0 {
            let message = tr!(
                "{count} rows state the opening figure of an account that another row states: it counts once, for all its cards together",
                "有 {count} 行写了别的行已写过的账户的开户数：它的卡合起来只算一次"
            );
            warnings.add(first, message);
        }
        let Tally { count, first } = self.rounded;
        if count > 0 {
            let message = tr!(
                "{count} numbers have more than 15 digits and end in zeros: a spreadsheet rounds such numbers, and two people's may become one; {}",
                "有 {count} 个号码超过 15 位、末尾是零：电子表格会这样舍入，两个人的可能变成同一个；{}",
                value::as_text()
            );
            warnings.add(first, message);
        }
        if let Some(first) = self.numbered_by_row() {
            let message = tr(
                "the accounts are 1, 2, 3 … in the order of the rows: a row that is inserted or sorted gives the others another's account; give each person a number of their own",
                "编号按行的次序是 1、2、3…：插入一行或者排序，就会换成别人的账户；请给每个人固定的编号",
            );
            warnings.add_in_column(first, &Column::Account.label(), message);
        }
        let Tally { count, first } = self.unshowable_names;
        if count > 0 {
            let message = tr!(
                "{count} names hold what displays lack, or are too long: they show ? or are cut",
                "有 {count} 个姓名含有显示屏没有的字，或者太长：会显示 ? 或被截断"
            );
            warnings.add_in_column(first, &Column::Name.label(), message);
        }
        let Tally { count, first } = self.zero_limits;
        if count > 0 {
            let message = tr!(
                "{count} rows have a limit of 0, which allows no sale: leave it empty for no limit",
                "有 {count} 行限额是 0，一笔也不能消费：不限请留空"
            );
            warnings.add(first, message);
        }
    }

    /// The records, each with its account's figures.
    fn take_records(&mut self) -> Vec<CardRecord> {
        let mut records = std::mem::take(&mut self.records);
        for record in &mut records {
            let place = self.incoming.place_of(&record.account);
            let figures = self.incoming.accounts()[place].stated();
            record.balance = figures.balance.map(|(balance, _)| balance);
            record.subsidy = figures.subsidy.map(|(subsidy, _)| subsidy);
            record.uses = figures.uses.map(|(uses, _)| uses);
        }
        records
    }
}

/// Keeps the figure that states more. If two figures differ, the error is the line of the first.
fn merge<T: Copy + Default + PartialEq>(known: &mut Option<(T, u32)>, figure: Option<T>, line: u32) -> Result<(), u32> {
    let Some(figure) = figure else {
        return Ok(());
    };
    match *known {
        Some((first, first_line)) if first != T::default() => {
            if figure == first || figure == T::default() {
                Ok(())
            } else {
                Err(first_line)
            }
        }
        Some(_) | None => {
            *known = Some((figure, line));
            Ok(())
        }
    }
}

fn different(first: u32) -> String {
    tr!(
        "line {first} opens the same account with another figure: leave one of the two empty",
        "第 {first} 行给同一个账户写了另一个开户数：请留空其中一个"
    )
}

/// A row under its headings, read by column.
struct CardCells<'a> {
    cells: Cells<'a>,
    /// Whether amounts are written in fen.
    is_fen: bool,
}

impl CardCells<'_> {
    fn text(&self, column: Column) -> &str {
        self.cells.text(column as usize)
    }

    /// The text, with an amount in yuan.
    fn plain_text(&self, column: Column) -> Result<Cow<'_, str>, String> {
        let text = self.text(column);
        if self.is_fen && column.spec().holds == Holds::Yuan {
            return value::yuan_of_fen(text).map(Cow::Owned);
        }
        Ok(Cow::Borrowed(text))
    }

    /// `None` if the field is empty or wrong. A wrong field is reported.
    fn read<T>(&self, column: Column, problems: &mut Problems, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(column);
        if text.is_empty() {
            return None;
        }
        match self.plain_text(column).and_then(|text| parse(&text)) {
            Ok(value) => Some(value),
            Err(message) => {
                problems.add_in_column(self.cells.line(), &column.label(), message);
                None
            }
        }
    }

    fn card(&self, problems: &mut Problems) -> Option<CardNo> {
        if self.text(Column::Card).is_empty() {
            let message = tr(
                "the row has no card number: write 1 to 10 digits, or delete the row",
                "这一行没有卡号：请写 1 到 10 位数字，或者删掉这一行",
            );
            problems.add_in_column(self.cells.line(), &Column::Card.label(), message);
        }
        self.read(Column::Card, problems, value::card)
    }
}

fn account(text: &str) -> Result<AccountId, String> {
    let text = &*value::name(text)?;
    // Full-width forms are half-width by now.
    if text.starts_with(OWN_MARK) {
        return Err(tr(
            "only a card's own account begins with @: leave the field empty for it, or write another name",
            "只有卡自己的账户以 @ 开头：要用它请留空，否则写别的编号",
        )
        .into());
    }
    AccountId::try_from(text).map_err(|_| {
        tr(
            "longer than 24 bytes (a Chinese character takes 3): write a shorter one, such as a number",
            "超过 24 字节（一个汉字占 3 字节）：请写短一些，例如一个号码",
        )
        .into()
    })
}

/// Words of other systems that may mean one of ours. They are suggested, never taken: a word means
/// what its system says.
/// The first that fits counts: 停止使用 is no 使用.
const STATUSES_ALIKE: [(CardStatus, &[&str]); 4] = [
    (CardStatus::Lost, &["丢失", "遗失", "missing"]),
    (CardStatus::Closed, &["退卡", "销户", "销卡", "作废", "离职", "毕业", "cancel", "returned"]),
    (CardStatus::Frozen, &["停", "禁", "锁", "黑名单", "blocked", "disabled", "suspended", "inactive"]),
    (CardStatus::Active, &["启用", "使用", "在用", "有效", "可用", "开通", "normal", "enabled"]),
];

fn status(text: &str, dialect: Option<&Dialect>) -> Result<CardStatus, String> {
    let word = &*value::plain(text).to_lowercase();
    if let Some(status) = dialect.and_then(|dialect| dialect.status(word)) {
        return Ok(status);
    }
    match word {
        "正常" => return Ok(CardStatus::Active),
        "挂失" | "已挂失" => return Ok(CardStatus::Lost),
        "冻结" | "已冻结" => return Ok(CardStatus::Frozen),
        "注销" | "已注销" => return Ok(CardStatus::Closed),
        _ => (),
    }
    CardStatus::from_word(word).ok_or_else(|| {
        let is_alike = |(_, words): &&(CardStatus, &[&str])| words.iter().any(|alike| word.contains(alike));
        // 未启用 and 不可用 mean the contrary.
        let is_denied = word.contains(['未', '不', '非', '无']);
        let alike = STATUSES_ALIKE.iter().find(is_alike).filter(|_| !is_denied);
        let alike = alike.map_or_else(String::new, |(status, _)| tr!(" ({}?)", "（{}？）", status.word()));
        let option = match dialect {
            Some(_) => {
                tr("; or say by --status WORD=frozen what the word means", "；或者用 --status 词=冻结 说明这个词的意思")
            }
            None => "",
        };
        tr!(
            "{}{alike}: write active 正常, lost 挂失, frozen 冻结, closed 注销, or leave it empty{option}",
            "{}{alike}：请写 正常 active、挂失 lost、冻结 frozen、注销 closed，或者留空{option}",
            shown(text)
        )
    })
}

/// The message never holds the value.
fn pin(text: &str) -> Result<Pin, String> {
    Pin::parse(value::plain(text).as_bytes()).ok_or_else(|| {
        tr(
            "a PIN is 1 to 8 digits: write it so, with the column as text",
            "密码是 1 到 8 位数字：请照此写，这一列设成文本格式",
        )
        .into()
    })
}

/// A PIN that is not the card's other one: the board would not know which was meant.
fn pin_and_not(other: Option<Pin>) -> impl Fn(&str) -> Result<Pin, String> {
    move |text| {
        let value = pin(text)?;
        if Some(value) == other {
            Err(tr("it is the card's pin: write another", "与卡的密码相同：请写另一个").into())
        } else {
            Ok(value)
        }
    }
}

/// The message never holds the value: anybody who knows a code can pay with it.
fn code(text: &str) -> Result<Vec<u8>, String> {
    if is_scientific(text) {
        return Err(tr!("a spreadsheet made a rounded number of it: {}", "被电子表格舍入了：{}", value::as_text()));
    }
    if text.starts_with(['\'', '’', '‘']) {
        return Err(tr(
            "it begins with an apostrophe, a spreadsheet's mark of a text: remove it",
            "以撇号开头，那是电子表格的文本标记：请去掉",
        )
        .into());
    }
    if text.len() > CODE_LEN_MAX || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(tr!(
            "a code is at most {CODE_LEN_MAX} characters of ASCII: write it so, or leave it empty",
            "二维码至多 {CODE_LEN_MAX} 个 ASCII 字符：请照此写，或者留空"
        ));
    }
    Ok(text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests;
