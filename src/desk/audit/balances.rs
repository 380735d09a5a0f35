//! `posgate ledger report --balances`: the balance of every account at the end of a day, and the
//! total liability.
//!
//! An account that no entry had opened by then holds its opening figures: those of a later `open`,
//! else those of the current card table, because older tables are not kept.

use std::collections::BTreeMap;

use super::report::{Report, head_json};
use super::totals::{Accounts, Sum};
use crate::desk::json::{Object, string};
use crate::desk::paper::Paper;
use crate::desk::table::{Table, printable};
use crate::engine::gbk;
use crate::engine::model::{AccountId, Balance, CardRecord, Figures};

/// One account.
#[derive(Clone, Debug)]
pub struct BalanceRow {
    /// The account's name.
    pub account: AccountId,
    /// Its cards in the card table; empty if there are none.
    pub cards: Vec<String>,
    /// The holder's name in the card table; empty if there is none.
    pub name: String,
    /// The balance.
    pub amount: Balance,
    /// The subsidy.
    pub subsidy: Balance,
    /// The balance in meals.
    pub uses: i64,
    /// Whether an entry opened it; else the figures are the table's opening figures.
    pub is_opened: bool,
}

impl BalanceRow {
    fn new(account: AccountId) -> Self {
        Self {
            account,
            cards: Vec::new(),
            name: String::new(),
            amount: Balance::ZERO,
            subsidy: Balance::ZERO,
            uses: 0,
            is_opened: false,
        }
    }

    fn add(&mut self, figures: Sum) {
        self.amount += figures.amount;
        self.subsidy += figures.subsidy;
        self.uses = self.uses.saturating_add(figures.uses);
    }
}

/// All accounts.
#[derive(Clone, Debug, Default)]
pub struct Balances {
    /// The accounts, sorted by name.
    pub rows: Vec<BalanceRow>,
    /// Sum of the accounts in the ledger.
    pub in_ledger: Sum,
    /// Sum of the opening figures of accounts that no entry has opened yet.
    pub unopened: Sum,
    /// Sum of the negative balances, a part of the total.
    pub overdrawn: Sum,
    /// Whether a card table was given.
    pub has_table: bool,
}

impl Balances {
    /// Combines the balances of the ledger's accounts with the card table.
    pub fn new(accounts: &Accounts, table: Option<&[CardRecord]>) -> Self {
        let mut balances = Self { has_table: table.is_some(), ..Self::default() };
        let mut rows: BTreeMap<AccountId, BalanceRow> = BTreeMap::new();
        for (id, account) in accounts.sorted().into_iter().filter(|(_, account)| account.is_known_then) {
            balances.in_ledger += Sum { count: 1, ..account.then };
            let mut row = BalanceRow::new(*id);
            row.add(account.then);
            row.is_opened = account.is_opened_then;
            rows.insert(*id, row);
        }
        for record in table.unwrap_or_default() {
            let is_first = rows.get(&record.account).is_none_or(|row| row.cards.is_empty());
            let row = rows.entry(record.account).or_insert_with(|| BalanceRow::new(record.account));
            // Each row of a shared account has the account's figures: they count once.
            if is_first && !row.is_opened {
                let Figures { balance: amount, subsidy, uses } = record.figures();
                let of_table = Sum { count: 1, amount, subsidy, uses: i64::from(uses) };
                let later = accounts.get(&record.account).and_then(|account| account.opened_later);
                let figures = later.unwrap_or(of_table);
                row.add(figures);
                balances.unopened += figures;
            }
            row.cards.push(record.card.to_string());
            if row.name.is_empty() {
                row.name = gbk::decode(&record.name).into_owned();
            }
        }
        balances.rows = rows.into_values().collect();
        for row in &balances.rows {
            let (amount, subsidy) = (row.amount.min(Balance::ZERO), row.subsidy.min(Balance::ZERO));
            let below = Sum { count: 1, amount, subsidy, uses: row.uses.min(0) };
            if below != (Sum { count: 1, ..Sum::default() }) {
                balances.overdrawn += below;
            }
        }
        balances
    }

    /// The total liability.
    pub fn total(&self) -> Sum {
        let mut total = self.in_ledger;
        total += self.unopened;
        Sum { count: self.rows.len() as u64, ..total }
    }

    /// The list. `report` has the days and the ledger's head.
    pub fn paper(&self, report: &Report) -> Paper<'_> {
        let mut out = Paper::new("余额 balances");
        out.line("站点", "site", printable(&report.site));
        out.line("账本", "ledger", format_args!("{:016x}", report.ledger));
        out.line("营业日终", "end of business day", report.to.map_or("…".to_owned(), |day| day.to_string()));
        out.line("账本末条", "head of the ledger", report.head);
        for note in &report.notes {
            out.line("注意", "note", note);
        }
        if !report.is_total_known {
            out.line("注意", "note", "只含出现过的账户 only accounts that occur in what was given");
        }
        let mut table = Table::bilingual();
        table.texts(&[["编号", "account"], ["姓名", "name"], ["卡号", "cards"]]);
        table.numbers(&[["余额", "balance"], ["补贴", "subsidy"], ["次数", "uses"]]);
        table.texts(&[["", ""]]);
        table.make_rows(Box::new(|take| self.rows.iter().for_each(|row| take(&self.cells(row)))));
        out.table(table);
        out.heading("合计", "sums");
        for (chinese, english, sum) in [
            ("流水里的账户", "accounts in the ledger", self.in_ledger),
            ("未开户（按卡表）", "not opened, by table", self.unopened),
            ("其中透支", "of these below zero", self.overdrawn),
            ("负债合计", "total liability", self.total()),
        ] {
            let Sum { count, amount, subsidy, uses } = sum;
            let words = format!("{count}  {amount} 元 yuan  {subsidy} 元补贴 subsidy  {uses} 次 uses");
            out.line(chinese, english, words);
        }
        if !self.has_table {
            out.text("没有卡表：未开户的不在内 no card table: unopened accounts are left out; give --config FILE");
        }
        out
    }

    fn cells(&self, row: &BalanceRow) -> [String; 7] {
        let mark = match (row.is_opened, row.cards.is_empty(), self.has_table) {
            (false, false, _) => "未开户 not opened yet",
            (_, true, true) => "不在卡表 not in the table",
            (true, false, _) | (_, true, false) => "",
        };
        [
            row.account.to_string(),
            row.name.clone(),
            row.cards.join(" "),
            row.amount.to_string(),
            row.subsidy.to_string(),
            row.uses.to_string(),
            mark.to_owned(),
        ]
    }

    /// The list as a JSON object.
    pub fn json(&self, report: &Report) -> String {
        let row = |row: &BalanceRow| {
            Object::new()
                .text("account", row.account)
                .text("name", &row.name)
                .list("cards", row.cards.iter().map(string))
                .text("balance", row.amount)
                .text("subsidy", row.subsidy)
                .number("uses", row.uses)
                .flag("opened", row.is_opened)
                .end()
        };
        Object::new()
            .text("site", &report.site)
            .text("ledger", format_args!("{:016x}", report.ledger))
            .text_or_null("day", report.to)
            .raw("head", head_json(report.head).end())
            .list("notes", report.notes.iter().map(string))
            .flag("total_known", report.is_total_known)
            .list("accounts", self.rows.iter().map(row))
            .raw("in_ledger", self.in_ledger.json())
            .raw("unopened", self.unopened.json())
            .raw("below_zero", self.overdrawn.json())
            .raw("liability", self.total().json())
            .end()
    }
}
