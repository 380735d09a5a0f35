//! Sums: of entries of one kind, and per account (design.md, section 7, "amounts summed over an
//! account are its balance").

use core::ops::AddAssign;
use std::collections::HashMap;

use super::source::Base;
use crate::desk::json::Object;
use crate::engine::model::{AccountId, Balance, Entry, Kind};

/// A number of entries and their sums, with the ledger's signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Number of entries.
    pub count: u64,
    /// Sum of the amounts: cash.
    pub amount: Balance,
    /// Sum of what the subsidy purse moved.
    pub subsidy: Balance,
    /// Sum of the uses.
    pub uses: i64,
}

impl Sum {
    /// Adds an entry's effect.
    pub fn add(&mut self, entry: &Entry) {
        *self += Self {
            count: 1,
            amount: entry.amount.unwrap_or_default(),
            subsidy: entry.subsidy.unwrap_or_default(),
            uses: i64::from(entry.uses.unwrap_or_default()),
        };
    }

    /// The sum with the opposite sign: what was taken from the accounts.
    #[must_use]
    pub fn taken(self) -> Self {
        Self { amount: -self.amount, subsidy: -self.subsidy, uses: self.uses.saturating_neg(), ..self }
    }

    /// Cash and subsidy together: of sales, what they cost.
    pub fn both(self) -> Balance {
        self.amount + self.subsidy
    }

    /// The sum as a JSON object.
    pub fn json(&self) -> String {
        Object::new()
            .number("count", self.count)
            .text("amount", self.amount)
            .text("subsidy", self.subsidy)
            .number("uses", self.uses)
            .end()
    }
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.amount += other.amount;
        self.subsidy += other.subsidy;
        self.uses = self.uses.saturating_add(other.uses);
    }
}

/// The figures of one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The balance after the last entry that was read, from its `balance` column.
    pub balance: Balance,
    /// The subsidy purse, also after that entry.
    pub subsidy: Balance,
    /// The uses, also after that entry.
    pub uses: i64,
    /// The figures at the end of the report's last day.
    pub then: Sum,
    /// Whether an entry up to that day opened the account.
    pub is_opened_then: bool,
    /// Whether a lasting entry up to that day is about the account.
    pub is_known_then: bool,
    /// The opening figures of an `open` after that day: those of the table at that time.
    pub opened_later: Option<Sum>,
}

/// All accounts that an entry moved. Memory is one row per account, regardless of the number of
/// entries.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    rows: HashMap<AccountId, Account>,
    /// Whether an account without a row never moved; otherwise its first line gives its balance
    /// before.
    is_complete: bool,
    /// Sum of the balances before the first entry that was read.
    pub before: Sum,
}

impl Accounts {
    /// The accounts before the first entry; `base` replaces the archived entries.
    pub fn new(base: Option<&Base>, is_whole: bool) -> Self {
        let mut accounts = Self { is_complete: is_whole || base.is_some(), ..Self::default() };
        for line in base.iter().flat_map(|base| &base.accounts) {
            let (amount, subsidy, uses) = (line.figures.balance, line.figures.subsidy, i64::from(line.figures.uses));
            let then = Sum { count: 0, amount, subsidy, uses };
            accounts.before += then;
            let row = Account {
                balance: amount,
                subsidy,
                uses,
                then,
                is_opened_then: line.is_opened,
                is_known_then: true,
                opened_later: None,
            };
            accounts.rows.insert(line.id, row);
        }
        accounts
    }

    /// Applies an entry; `is_then` says that it counts for the report's last day or an earlier one.
    ///
    /// # Errors
    /// If its balance does not follow from the entries before it.
    pub fn apply(&mut self, entry: &Entry, is_then: bool) -> Result<(), String> {
        let Some(id) = &entry.account else { return Ok(()) };
        let amount = entry.amount.unwrap_or_default();
        let subsidy = entry.subsidy.unwrap_or_default();
        let uses = i64::from(entry.uses.unwrap_or_default());
        let row = match self.rows.get_mut(id) {
            Some(row) => row,
            None if !entry.is_lasting() => return Ok(()),
            None => {
                let mut row = Account::default();
                if !self.is_complete {
                    row.balance = entry.balance.unwrap_or(amount) - amount;
                    row.subsidy = entry.subsidy_left.unwrap_or(subsidy) - subsidy;
                    row.uses = entry.uses_left.map_or(0, |left| i64::from(left) - uses);
                    row.then = Sum { count: 0, amount: row.balance, subsidy: row.subsidy, uses: row.uses };
                    self.before += row.then;
                }
                self.rows.entry(*id).or_insert(row)
            }
        };
        let (balance, purse) = (row.balance + amount, row.subsidy + subsidy);
        let left = row.uses.saturating_add(uses);
        (row.balance, row.uses) = (entry.balance.unwrap_or(balance), entry.uses_left.map_or(left, i64::from));
        row.subsidy = entry.subsidy_left.unwrap_or(purse);
        if row.balance != balance {
            return Err(format!("it says balance {}, the entries before it make {balance}", row.balance));
        }
        if row.subsidy != purse {
            return Err(format!("it says {} of subsidy left, the entries before it make {purse}", row.subsidy));
        }
        if row.uses != left {
            return Err(format!("it says {} uses left, the entries before it make {left}", row.uses));
        }
        if is_then {
            row.then += Sum { count: 0, amount, subsidy, uses };
            row.is_opened_then |= entry.kind == Kind::Open;
            row.is_known_then |= entry.is_lasting();
        } else if entry.kind == Kind::Open && !row.is_opened_then {
            row.opened_later.get_or_insert(Sum { count: 1, amount, subsidy, uses });
        }
        Ok(())
    }

    /// The sum of all balances after the last entry that was read, from the `balance` columns.
    pub fn total(&self) -> Sum {
        let mut total = Sum::default();
        for row in self.rows.values() {
            total += Sum { count: 1, amount: row.balance, subsidy: row.subsidy, uses: row.uses };
        }
        total
    }

    /// The figures of an account.
    pub fn get(&self, id: &AccountId) -> Option<&Account> {
        self.rows.get(id)
    }

    /// All accounts, sorted by name.
    pub fn sorted(&self) -> Vec<(&AccountId, &Account)> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|(id, _)| *id);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::{ClockState, Stamp};

    fn entry(kind: Kind, fen: i64, balance: i64) -> Entry {
        let stamp = Stamp::parse("2026-11-22T12:00:00.000+08:00").unwrap();
        let mut entry = Entry::new(kind, stamp, ClockState::Ok);
        entry.account = Some(AccountId::try_from("A").unwrap());
        (entry.amount, entry.uses) = (Some(Balance::from_fen(fen)), Some(0));
        (entry.balance, entry.uses_left) = (Some(Balance::from_fen(balance)), Some(0));
        entry
    }

    #[test]
    fn a_balance_that_does_not_follow_is_an_error() {
        let mut accounts = Accounts::new(None, true);
        assert_eq!(accounts.apply(&entry(Kind::Open, 1000, 1000), true), Ok(()));
        assert_eq!(accounts.apply(&entry(Kind::Charge, -300, 700), false), Ok(()));
        assert!(accounts.apply(&entry(Kind::Charge, -300, 300), true).is_err());
        let row = accounts.get(&AccountId::try_from("A").unwrap()).unwrap();
        assert_eq!(row.then.amount, Balance::from_fen(1000), "the sale is of a later day");
    }

    #[test]
    fn a_partial_ledger_infers_opening_balances_from_each_accounts_first_line() {
        let mut accounts = Accounts::new(None, false);
        assert_eq!(accounts.apply(&entry(Kind::Charge, -300, 700), true), Ok(()));
        assert_eq!(
            (accounts.before.amount, accounts.total().amount),
            (Balance::from_fen(1000), Balance::from_fen(700))
        );
    }
}
