//! A file of orders: an office's CSV, checked as a whole before any order is given.
//!
//! The reader of card tables ([`crate::files::sheet`]) reads it. One row is one order. A row is
//! identified by its command, the purpose of the file, its card, and which of the card's rows it is
//! ([`OrderRow::nth`]), not by file name or line. So the file may be sorted, saved again or
//! corrected, and nothing is done twice (design.md, section 8). A row may have its own key instead.

use std::collections::HashMap;
use std::path::Path;

use super::request::is_key;
use crate::desk::json::Object;
use crate::engine::limits::NAMES_KEPT_MIN;
use crate::engine::model::order::Note;
use crate::engine::model::{AccountId, Act, Balance, CardNo, Mark, Money, Subject, Way};
use crate::files::cards::columns::{CARD_ALIASES, DEPARTMENT_ALIASES, NAME_ALIASES};
use crate::files::problem::{Problem, Problems, masked};
use crate::files::sheet::heading::{Holds, Named};
use crate::files::sheet::{self, Cells, Layout, Unknown, heading, value};
use crate::lang::tr;

/// Most rows of a file: the server must recognize each one if the file comes a second time.
const ROWS_MAX: usize = NAMES_KEPT_MIN;

/// A column: its English name, Chinese names, aliases, and type of values.
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

/// The columns. The department is ignored; the server compares the name with the holder's.
const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec("card", &["卡号"], CARD_ALIASES, Holds::Card),
    ColumnSpec("amount", &["金额"], AMOUNT_ALIASES, Holds::Yuan),
    ColumnSpec("uses", &["次数"], &["充值次数", "补贴次数"], Holds::Count),
    ColumnSpec("account", &["编号", "学号", "工号"], &[], Holds::Name),
    ColumnSpec("old", &["原编号"], &["旧编号", "原学号", "旧学号"], Holds::Name),
    ColumnSpec("new", &["新编号"], &["新学号"], Holds::Name),
    ColumnSpec("note", &["备注"], &["说明", "摘要", "事由", "remark", "remarks", "comment"], Holds::Text),
    ColumnSpec("key", &["操作编号"], &["流水号"], Holds::Name),
    ColumnSpec("name", &["姓名"], NAME_ALIASES, Holds::Text),
    ColumnSpec("department", &["部门"], DEPARTMENT_ALIASES, Holds::Text),
];
const CARD: usize = 0;
const AMOUNT: usize = 1;
const USES: usize = 2;
const ACCOUNT: usize = 3;
const OLD: usize = 4;
const NEW: usize = 5;
const NOTE: usize = 6;
const KEY: usize = 7;
const NAME: usize = 8;
const DEPARTMENT: usize = 9;

/// The columns that a command's file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// card or account, amount or uses; a correction may be negative.
    Move(Way),
    /// card or account.
    Clear,
    /// card.
    Card(Mark),
    /// card, account.
    Account,
    /// old, new (accounts).
    Rename,
}

/// The command of a file that empties subsidy purses: `subsidy` with `clear`.
pub const CLEAR: &str = "clear";

/// The commands that take files.
const SHAPES: &[(&str, Shape)] = &[
    ("topup", Shape::Move(Way::TopUp)),
    ("subsidy", Shape::Move(Way::Subsidy)),
    ("adjust", Shape::Move(Way::Adjust)),
    (CLEAR, Shape::Clear),
    ("lost", Shape::Card(Mark::Lost)),
    ("found", Shape::Card(Mark::Found)),
    ("freeze", Shape::Card(Mark::Frozen)),
    ("unfreeze", Shape::Card(Mark::Unfrozen)),
    ("close", Shape::Card(Mark::Closed)),
    ("account", Shape::Account),
    ("rename", Shape::Rename),
];

impl Shape {
    /// The columns of its file; one of each group is required.
    const fn columns(self) -> &'static [&'static [usize]] {
        match self {
            Self::Move(_) => &[&[CARD, ACCOUNT], &[AMOUNT, USES]],
            Self::Clear => &[&[CARD, ACCOUNT]],
            Self::Card(_) => &[&[CARD]],
            Self::Account => &[&[CARD], &[ACCOUNT]],
            Self::Rename => &[&[OLD], &[NEW]],
        }
    }

    const fn wanted(self) -> crate::lang::Text {
        match self {
            Self::Move(_) => crate::lang::Text::new(
                "the first line must name the columns card 卡号 (or account 工号) and amount 金额 (or uses 次数); name 姓名, note 备注 and key 操作编号 may follow",
                "第一行要写列名 卡号 card（或 工号 account）和 金额 amount（或 次数 uses）；后面可以有 姓名 name、备注 note、操作编号 key",
            ),
            Self::Clear => crate::lang::Text::new(
                "the first line must name the column card 卡号 (or account 工号); name 姓名, note 备注 and key 操作编号 may follow",
                "第一行要写列名 卡号 card（或 工号 account）；后面可以有 姓名 name、备注 note、操作编号 key",
            ),
            Self::Card(_) => crate::lang::Text::new(
                "the first line must name the column card 卡号; name 姓名, note 备注 and key 操作编号 may follow",
                "第一行要写列名 卡号 card；后面可以有 姓名 name、备注 note、操作编号 key",
            ),
            Self::Account => crate::lang::Text::new(
                "the first line must name the columns card 卡号 and account 编号; note 备注 and key 操作编号 may follow",
                "第一行要写列名 卡号 card 和 编号 account；后面可以有 备注 note、操作编号 key",
            ),
            Self::Rename => crate::lang::Text::new(
                "the first line must name the columns old 原编号 and new 新编号; note 备注 and key 操作编号 may follow",
                "第一行要写列名 原编号 old 和 新编号 new；后面可以有 备注 note、操作编号 key",
            ),
        }
    }

    const fn layout(self) -> Layout<ColumnSpec> {
        Layout {
            columns: COLUMNS,
            first: self.columns()[0],
            wanted: self.wanted(),
            // If a key column with another name were ignored, a row could be done twice.
            unknown: |heading| {
                Unknown::Refuse(tr!(
                    "unknown column {}: delete it, or name it x_… if it is for your own use",
                    "不认识的列 {}：请删掉，自己用的写成 x_…",
                    masked(heading)
                ))
            },
            is_fen: false,
        }
    }

    fn takes(self, column: usize) -> bool {
        // A row of accounts has no holder's name.
        let is_own = column != NAME || !matches!(self, Self::Rename);
        let is_beside = matches!(column, NOTE | KEY | NAME | DEPARTMENT);
        is_beside && is_own || self.columns().iter().any(|group| group.contains(&column))
    }
}

/// A checked file of orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orders {
    /// In the file's order.
    pub rows: Vec<OrderRow>,
    /// Doubtful places that were accepted.
    pub warnings: Vec<Problem>,
}

/// One order of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// The file's line, from 1.
    pub line: u32,
    /// The order's action.
    pub act: Act,
    /// The holder's name in the file; empty if it has none.
    pub holder: String,
    /// The note; if empty, the command line's counts.
    pub note: String,
    /// The row's own key.
    pub key: Option<String>,
    /// Without a key: which of the rows about the same card this is, from 1.
    pub nth: u32,
}

impl OrderRow {
    /// Adds the row's members to a line of the control socket: all but the command, and the purpose
    /// and `nth` of a row without its own key.
    pub fn members(&self, object: Object) -> Object {
        let object = match &self.act {
            Act::Move { subject, amount, uses, .. } => {
                let object = named(object, subject);
                let object = if *amount == Balance::ZERO { object } else { object.text("amount", amount) };
                if *uses == 0 { object } else { object.number("uses", *uses) }
            }
            Act::Clear { subject } => named(object, subject).flag("clear", true),
            Act::Mark { card, .. } => object.text("card", card),
            Act::Account { card, account } => object.text("card", card).text("account", account),
            Act::Rename { old, new } => object.text("old", old).text("new", new),
            // No file orders these.
            Act::Void { .. } | Act::Link { .. } | Act::Reissue { .. } | Act::Open { .. } | Act::Settle { .. } => object,
            Act::ClearAll => object,
        };
        let object = if self.holder.is_empty() { object } else { object.text("name", &self.holder) };
        object.text_if("key", self.key.as_deref())
    }

    /// The amount and uses that it moves.
    pub fn moves(&self) -> (Balance, i32) {
        if let Act::Move { amount, uses, .. } = self.act { (amount, uses) } else { (Balance::ZERO, 0) }
    }

    /// The card or account by which rows are counted.
    fn subject(&self) -> String {
        match &self.act {
            Act::Move { subject: Subject::Account(account), .. }
            | Act::Clear { subject: Subject::Account(account) } => account.as_str().to_owned(),
            Act::Move { subject: Subject::Card(card), .. } | Act::Clear { subject: Subject::Card(card) } => {
                card.to_string()
            }
            Act::Mark { card, .. } | Act::Account { card, .. } => card.to_string(),
            Act::Rename { old, .. } => old.as_str().to_owned(),
            Act::Void { .. } | Act::Link { .. } | Act::Reissue { .. } | Act::Open { .. } | Act::Settle { .. } => {
                String::new()
            }
            Act::ClearAll => String::new(),
        }
    }
}

/// Adds the card or the account that an order names.
fn named(object: Object, subject: &Subject) -> Object {
    match subject {
        Subject::Card(card) => object.text("card", card),
        Subject::Account(account) => object.text("account", account),
    }
}

/// Whether a file of the command moves money or meals.
pub fn moves_money(command: &str) -> bool {
    matches!(shape(command), Some(Shape::Move(_)))
}

fn shape(command: &str) -> Option<Shape> {
    SHAPES.iter().find(|(name, _)| *name == command).map(|(_, shape)| *shape)
}

/// Parses a file of this command's orders; `file` is its name for messages.
///
/// # Errors
/// All problems, in the file's order.
pub fn parse(bytes: &[u8], file: &Path, command: &str) -> Result<Orders, Vec<Problem>> {
    let (mut problems, mut warnings) = (Problems::new(file), Problems::new(file));
    let Some(shape) = shape(command) else {
        problems.add(0, tr!("{command} takes no file", "{command} 没有批量文件"));
        return Err(problems.into_list());
    };
    let mut orders: Vec<OrderRow> = Vec::new();
    let mut keys = HashMap::new();
    let mut counts: HashMap<String, u32> = HashMap::new();
    let (mut is_looked_at, mut is_over) = (false, false);
    sheet::read(bytes, &shape.layout(), &mut problems, &mut warnings, |cells, problems| {
        if !std::mem::replace(&mut is_looked_at, true) {
            is_over = !check_columns(shape, cells, problems);
        }
        if is_over {
            return;
        }
        let line = cells.line();
        if let Some(mut order) = read_row(cells, shape, problems) {
            if let Some(key) = &order.key {
                if let Some(first) = keys.insert(key.clone(), line) {
                    let sentence = tr!(
                        "line {first} has the same key: give each its own",
                        "第 {first} 行的操作编号相同：各用一个"
                    );
                    problems.add_in_column(line, &label(KEY), sentence);
                }
            } else {
                let count = counts.entry(order.subject()).or_default();
                *count += 1;
                order.nth = *count;
            }
            orders.push(order);
        }
        if orders.len() > ROWS_MAX {
            let sentence = tr!(
                "more than {ROWS_MAX} rows, and the server remembers no more: divide the file, and give each part a name of its own",
                "超过 {ROWS_MAX} 行，服务器记不住更多：请把文件分开，各用一个名称"
            );
            problems.add(line, sentence);
            is_over = true;
        }
    });
    if orders.is_empty() && problems.is_empty() {
        problems.add(
            0,
            tr!(
                "no orders: {}, and each line after it is an order",
                "没有要办的：{}，下面每件一行",
                shape.wanted().words()
            ),
        );
    }
    if problems.is_empty() {
        Ok(Orders { rows: orders, warnings: warnings.into_list() })
    } else {
        Err(problems.into_list())
    }
}

/// Reports required columns that are missing, and columns that the command does not take; returns
/// whether there are none.
fn check_columns(shape: Shape, cells: Cells<'_>, problems: &mut Problems) -> bool {
    let mut is_right = true;
    for column in (0..COLUMNS.len()).filter(|column| cells.has(*column) && !shape.takes(*column)) {
        let sentence = tr(
            "these orders do not take it: delete the column, or name it x_… if it is for your own use",
            "这个命令用不到这一列：请删掉，自己用的写成 x_…",
        );
        problems.add_in_column(0, &label(column), sentence);
        is_right = false;
    }
    if matches!(shape, Shape::Move(_) | Shape::Clear) && cells.has(CARD) && cells.has(ACCOUNT) {
        let sentence = tr(
            "the file names both card and account: keep the one by which the money is to go, and name the other column x_…",
            "文件里既有卡号又有工号：只留一个，按它入账；另一列改名为 x_…",
        );
        problems.add_in_column(0, &label(ACCOUNT), sentence);
        is_right = false;
    }
    if !shape.columns().iter().all(|group| group.iter().any(|column| cells.has(*column))) {
        problems.add(cells.line(), shape.wanted().words());
        is_right = false;
    }
    is_right
}

fn label(column: usize) -> String {
    heading::label(&COLUMNS[column])
}

/// Reads a cell, and reports its problem.
fn read<T>(
    cells: Cells<'_>,
    column: usize,
    problems: &mut Problems,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let value = read(cells.text(column));
    value.map_err(|sentence| problems.add_in_column(cells.line(), &label(column), sentence)).ok()
}

fn read_row(cells: Cells<'_>, shape: Shape, problems: &mut Problems) -> Option<OrderRow> {
    let act = match shape {
        Shape::Move(way) => read_move(cells, way, problems),
        Shape::Clear => read_subject(cells, problems).map(|subject| Act::Clear { subject }),
        Shape::Card(mark) => read(cells, CARD, problems, card).map(|card| Act::Mark { card, mark }),
        Shape::Account => {
            let (card, account) = (read(cells, CARD, problems, card), read(cells, ACCOUNT, problems, account));
            card.zip(account).map(|(card, account)| Act::Account { card, account })
        }
        Shape::Rename => {
            let (old, new) = (read(cells, OLD, problems, account), read(cells, NEW, problems, account));
            old.zip(new).map(|(old, new)| Act::Rename { old, new })
        }
    };
    let note = read(cells, NOTE, problems, |text| match Note::try_from(text) {
        Ok(_) if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err(tr("write at most 96 bytes in one line", "请写在一行里，至多 96 字节").to_owned()),
    });
    let key = read(cells, KEY, problems, |text| match text {
        "" => Ok(None),
        text if is_key(text) => Ok(Some(text.to_owned())),
        text => Err(tr!(
            "{} is not a key: write 1 to 40 letters, digits and signs without blanks",
            "{} 不能做操作编号：请写 1 到 40 个字母、数字和符号，不含空白",
            masked(text)
        )),
    });
    let holder = read(cells, NAME, problems, |text| match text.len() {
        0..=HOLDER_LEN_MAX => Ok(text.to_owned()),
        _ => Err(tr!("at most {HOLDER_LEN_MAX} bytes: is this a name?", "至多 {HOLDER_LEN_MAX} 字节：这是姓名吗？")),
    });
    Some(OrderRow { line: cells.line(), act: act?, holder: holder?, note: note?, key: key?, nth: 1 })
}

/// Most bytes of a holder's name in a line of the control socket.
const HOLDER_LEN_MAX: usize = 240;

fn read_move(cells: Cells<'_>, way: Way, problems: &mut Problems) -> Option<Act> {
    let is_signed = way == Way::Adjust;
    let subject = read_subject(cells, problems);
    let uses = read(cells, USES, problems, uses);
    let has_uses = uses.is_some_and(|uses| uses != 0);
    let amount = read(cells, AMOUNT, problems, |text| match text {
        "" if has_uses => Ok(Balance::ZERO),
        text => amount(text, is_signed, has_uses),
    });
    if !is_signed && uses.is_some_and(|uses| uses < 0) {
        problems.add_in_column(
            cells.line(),
            &label(USES),
            tr("below zero: write it without a sign, or use adjust", "是负数：请不写符号，或者用 adjust"),
        );
    }
    Some(Act::Move { way, subject: subject?, amount: amount?, uses: uses? })
}

/// Reads the card, or in a file without that column the account.
fn read_subject(cells: Cells<'_>, problems: &mut Problems) -> Option<Subject> {
    if cells.has(CARD) {
        return read(cells, CARD, problems, card).map(Subject::Card);
    }
    read(cells, ACCOUNT, problems, account).map(Subject::Account)
}

fn account(text: &str) -> Result<AccountId, String> {
    let text = &*value::plain(text);
    match AccountId::try_from(text) {
        _ if text.is_empty() => {
            Err(tr("the account is missing: write it, or delete the row", "缺编号：请写上，或者删掉这一行").to_owned())
        }
        Ok(account) if text.len() <= 24 && !text.chars().any(char::is_control) => Ok(account),
        Ok(_) | Err(_) => {
            Err(tr("an account is at most 24 bytes in one line", "编号写在一行里，至多 24 字节").to_owned())
        }
    }
}

fn card(text: &str) -> Result<CardNo, String> {
    if text.is_empty() {
        Err(tr("the card is missing: write it, or delete the row", "缺卡号：请写上，或者删掉这一行").to_owned())
    } else {
        value::card(text)
    }
}

fn amount(text: &str, is_signed: bool, may_be_zero: bool) -> Result<Balance, String> {
    let text = &*value::plain(text);
    let digits = if is_signed { text.strip_prefix('+').unwrap_or(text) } else { text };
    let amount = Balance::parse(digits.as_bytes()).filter(|_| digits.len() == text.len() || !digits.starts_with('-'));
    match amount {
        None if text.is_empty() => {
            Err(tr("the amount is missing: write it, or delete the row", "缺金额：请写上，或者删掉这一行").to_owned())
        }
        None => Err(value::amount_wanted(
            text,
            if is_signed {
                tr("-9999999.99 to 9999999.99", "-9999999.99 到 9999999.99")
            } else {
                tr("0.01 to 9999999.99", "0.01 到 9999999.99")
            },
        )),
        Some(amount) if amount.fen().unsigned_abs() > u64::from(Money::MAX.fen()) => {
            Err(tr!("at most {} in one order", "一次至多 {}", Money::MAX))
        }
        Some(amount) if amount < Balance::ZERO && !is_signed => {
            Err(tr("below zero: write it without a sign, or use adjust", "是负数：请不写符号，或者用 adjust")
                .to_owned())
        }
        Some(Balance::ZERO) if !may_be_zero => {
            Err(tr("nothing would move: delete the row", "什么也不会变：请删掉这一行").to_owned())
        }
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

    fn read_for(command: &str, text: &str) -> Result<Vec<OrderRow>, Vec<String>> {
        let parsed = parse(text.as_bytes(), Path::new("may.csv"), command).map(|orders| orders.rows);
        parsed.map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn read(text: &str) -> Result<Vec<OrderRow>, Vec<String>> {
        read_for("topup", text)
    }

    fn fen(row: &OrderRow) -> i64 {
        row.moves().0.fen()
    }

    #[test]
    fn a_file_in_an_offices_own_form_is_read() {
        let rows =
            read("\u{FEFF}卡号,姓名,金额(元),备注,流水号\r\n88,张三,5.5,五月,\r\n\r\n8888888802,,10,,A-2\r\n").unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].line, rows[0].subject().as_str(), fen(&rows[0])), (2, "0000000088", 550));
        assert_eq!((rows[0].holder.as_str(), rows[0].note.as_str(), &rows[0].key), ("张三", "五月", &None));
        assert_eq!((rows[1].line, fen(&rows[1]), rows[1].key.as_deref()), (4, 1000, Some("A-2")));
        let gbk = crate::engine::gbk::encode("卡号;次数\n88;3\n");
        let rows = parse(&gbk, Path::new("may.csv"), "topup").unwrap().rows;
        assert_eq!(rows[0].moves(), (Balance::ZERO, 3));
    }

    #[test]
    fn rows_of_a_card_are_numbered_in_the_files_order() {
        let nth = |text: &str| {
            let rows = read(&format!("card,amount,key\n{text}")).unwrap();
            rows.iter().map(|row| (row.subject().trim_start_matches('0').to_owned(), row.nth)).collect::<Vec<_>>()
        };
        let of = |pairs: &[(&str, u32)]| pairs.iter().map(|(card, nth)| ((*card).to_owned(), *nth)).collect::<Vec<_>>();
        assert_eq!(
            nth("88,1,\n89,1,\n088,2,\n89,3,\n88,1,\n"),
            of(&[("88", 1), ("89", 1), ("88", 2), ("89", 2), ("88", 3)])
        );
        // A row with its own key is not numbered.
        assert_eq!(nth("88,1,\n88,1,K\n88,1,\n"), of(&[("88", 1), ("88", 1), ("88", 2)]));
    }

    #[test]
    fn all_problems_are_reported_at_once_with_their_lines() {
        let problems =
            read("card,amount,key\n88,5.501,\n8.8E+9,1,a b\n,-1,\n89,0,\n90,1,k\n91,1,k\n92,10000000,\n").unwrap_err();
        for (at, words) in [
            ("may.csv:2: column 金额/amount", "at most two decimals"),
            ("may.csv:3: column 卡号/card", "format the column as text"),
            ("may.csv:3: column 操作编号/key", "is not a key"),
            ("may.csv:4: column 卡号/card", "missing"),
            ("may.csv:4: column 金额/amount", "below zero"),
            ("may.csv:5: column 金额/amount", "nothing would move"),
            ("may.csv:7: column 操作编号/key", "line 6 has the same key"),
            ("may.csv:8: column 金额/amount", "at most 9999999.99"),
        ] {
            assert!(problems.iter().any(|line| line.starts_with(at) && line.contains(words)), "{at}: {problems:#?}");
        }
        for (text, words) in [
            ("", "no orders"),
            ("card,note\n1,x\n", "must name the columns"),
            ("card,amount,流水\n1,1,x\n", "unknown column '流水'"),
            ("card,amount,account\n1,1,x\n", "names both card and account"),
            ("card,amount,old\n1,1,x\n", "these orders do not take it"),
            ("card,amount\n1,\n", "the amount is missing"),
            ("card,amount\n1,1.00\n8888\n", "the amount is missing"),
            ("PK\u{3}\u{4}", "xlsx"),
        ] {
            let problems = read(text).unwrap_err();
            assert!(problems.iter().any(|line| line.contains(words)), "{text:?}: {problems:?}");
        }
    }

    #[test]
    fn other_orders_have_other_columns() {
        let card = CardNo::from_value(88).padded();
        let account = |text: &str| AccountId::try_from(text).unwrap();
        for (command, mark) in [
            ("lost", Mark::Lost),
            ("found", Mark::Found),
            ("freeze", Mark::Frozen),
            ("unfreeze", Mark::Unfrozen),
            ("close", Mark::Closed),
        ] {
            let rows = read_for(command, "卡号,姓名\n88,张三\n").unwrap();
            assert_eq!((&rows[0].act, rows[0].holder.as_str()), (&Act::Mark { card, mark }, "张三"));
            assert!(read_for(command, "card,amount\n88,1\n").unwrap_err()[0].contains("do not take it"));
        }
        let rows = read_for("account", "card,account\n88,S1\n").unwrap();
        assert_eq!(rows[0].act, Act::Account { card, account: account("S1") });
        let rows = read_for("rename", "原编号,新编号\nS1,S2\nS1,S3\n").unwrap();
        assert_eq!(rows[0].act, Act::Rename { old: account("S1"), new: account("S2") });
        assert_eq!((rows[0].nth, rows[1].nth), (1, 2));
        for (command, text, words) in [
            ("rename", "old,new\n,S2\n", "column 原编号/old: the account is missing"),
            ("account", "card,account\n88,a much too long account id\n", "at most 24 bytes"),
            ("rename", "card,amount\n1,1\n", "must name the columns old 原编号 and new 新编号"),
            ("payout", "card,amount\n1,1\n", "payout takes no file"),
        ] {
            let problems = read_for(command, text).unwrap_err();
            assert!(problems.iter().any(|line| line.contains(words)), "{text:?}: {problems:?}");
        }
    }

    #[test]
    fn a_file_has_no_more_rows_than_are_remembered() {
        let file = |rows: usize| {
            let rows = (1..=rows).map(|card| format!("{card},1\n")).collect::<String>();
            read(&format!("card,amount\n{rows}"))
        };
        assert_eq!(file(ROWS_MAX).unwrap().len(), 32_768);
        let problems = file(ROWS_MAX + 1).unwrap_err();
        assert!(problems[0].starts_with("may.csv:32770: more than 32768 rows"), "{problems:?}");
    }

    #[test]
    fn a_correction_may_have_a_sign() {
        let rows = parse(b"card,amount\n1,-5.50\n2,+1\n", Path::new("f"), "adjust").unwrap().rows;
        assert_eq!((fen(&rows[0]), fen(&rows[1])), (-550, 100));
        assert!(parse(b"card,amount\n1,+-5.50\n", Path::new("f"), "adjust").is_err());
    }

    #[test]
    fn a_form_with_only_one_meaning_is_accepted_as_in_a_card_table() {
        for text in [
            "2026年11月补贴,,\n卡号,金额,备注\n8888888801,5.50,十一月\n",
            "IC卡号,姓名,部门,补贴金额（元）,备注,\n'8888888801,张三,食堂,５.50,十一月,\n,,,,,\n",
            "sep=;\n卡 号;*金额：;说明\n=\"8888888801\";5.5;十一月\n\x1A",
            "card no,amount,note,x_own\n8888888801,5.50,十一月,\"two\nlines\"\n",
        ] {
            let rows = read(text).unwrap_or_else(|problems| panic!("{text:?}: {problems:?}"));
            let [row] = &rows[..] else { panic!("{text:?}: one row") };
            assert_eq!(
                (row.subject().as_str(), fen(row), row.note.as_str()),
                ("8888888801", 550, "十一月"),
                "{text:?}"
            );
        }
        let cut = parse(b"card,amount\n1,1\n2,100", Path::new("f"), "topup").unwrap();
        assert!(cut.warnings[0].to_string().starts_with("f:3: the last line has no end"), "{:?}", cut.warnings);
        assert_eq!(parse(b"card,amount\n1,1\n", Path::new("f"), "topup").unwrap().warnings, []);
    }

    #[test]
    fn an_ambiguous_form_is_an_error_as_in_a_card_table() {
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
            ("card,amount,x_note\n88,1,\"open\n", "may.csv:2:", "never closed"),
            ("card,amount\n8888888801x,1\n", "may.csv:2: column 卡号/card", "'****8801x'"),
            ("card,amount\n88,￥5\n", "may.csv:2: column 金额/amount", "without a currency"),
        ] {
            let problems = read(text).unwrap_err();
            assert!(problems.iter().any(|line| line.starts_with(at) && line.contains(words)), "{text:?}: {problems:?}");
        }
    }

    #[test]
    fn a_row_becomes_the_members_of_a_line() {
        let line = |command: &str, text: &str| {
            let row = &read_for(command, text).unwrap()[0];
            row.members(Object::new()).end()
        };
        assert_eq!(
            line("adjust", "card,amount,uses,name,key\n88,-5,2,张三,K\n"),
            r#"{"card":"0000000088","amount":"-5.00","uses":2,"name":"张三","key":"K"}"#
        );
        assert_eq!(line("lost", "card\n88\n"), r#"{"card":"0000000088"}"#);
        assert_eq!(line("account", "card,account\n88,S1\n"), r#"{"card":"0000000088","account":"S1"}"#);
        assert_eq!(line("rename", "old,new\nS1,S2\n"), r#"{"old":"S1","new":"S2"}"#);
    }
}
