//! Sums: of entries of one sort, and of every account (design.md, section 7, "amounts summed over
//! an account are its balance").

use core::ops::AddAssign;
use std::collections::HashMap;

use super::source::Base;
use crate::desk::json::Object;
use crate::engine::model::{AccountId, Balance, Entry, Kind};

/// How many, and what they add up to, with the ledger's signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Entries.
    pub count: u64,
    /// Yuan.
    pub amount: Balance,
    /// Meals.
    pub uses: i64,
}

impl Sum {
    /// Adds an entry's effect.
    pub fn add(&mut self, entry: &Entry) {
        *self += Self {
            count: 1,
            amount: entry.amount.unwrap_or_default(),
            uses: i64::from(entry.uses.unwrap_or_default()),
        };
    }

    /// What was taken, where the ledger says what it did to accounts.
    #[must_use]
    pub fn taken(self) -> Self {
        Self { amount: -self.amount, uses: self.uses.saturating_neg(), ..self }
    }

    /// For scripts.
    pub fn json(&self) -> String {
        Object::new().number("count", self.count).text("amount", self.amount).number("uses", self.uses).end()
    }
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.amount += other.amount;
        self.uses = self.uses.saturating_add(other.uses);
    }
}

/// One account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// After the last entry that was read: what its columns say.
    pub balance: Balance,
    /// The same of the subsidy purse.
    pub subsidy: Balance,
    /// The same in meals.
    pub uses: i64,
    /// At the end of the last day that is asked for.
    pub then: Balance,
    /// The same in meals.
    pub uses_then: i64,
    /// Whether an entry until then opened it.
    pub is_opened_then: bool,
    /// Whether an entry until then says anything of it that lasts.
    pub is_known_then: bool,
    /// What a later entry opened it with: the table of then said so.
    pub opened_later: Option<(Balance, i64)>,
}

/// Every account that an entry moved. Its memory is a row an account, however many entries there
/// are.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    rows: HashMap<AccountId, Account>,
    /// Whether an account that is not among them never moved; else its first line says what was
    /// before.
    is_complete: bool,
    /// What they held before the first entry that was read.
    pub before: Sum,
}

impl Accounts {
    /// Before the first entry; `base` is what stands for those that were taken away.
    pub fn new(base: Option<&Base>, is_whole: bool) -> Self {
        let mut accounts = Self { is_complete: is_whole || base.is_some(), ..Self::default() };
        for line in base.iter().flat_map(|base| &base.accounts) {
            let (balance, uses) = (line.figures.balance, i64::from(line.figures.uses));
            accounts.before += Sum { count: 0, amount: balance, uses };
            let row = Account {
                balance,
                subsidy: line.subsidy,
                uses,
                then: balance,
                uses_then: uses,
                is_opened_then: line.is_opened,
                is_known_then: true,
                opened_later: None,
            };
            accounts.rows.insert(line.id, row);
        }
        accounts
    }

    /// Adds an entry; `is_then`: it counts for the last day that is asked for, or one before.
    ///
    /// # Errors
    /// If what it says the account holds does not follow.
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
                    (row.then, row.uses_then) = (row.balance, row.uses);
                    self.before += Sum { count: 0, amount: row.balance, uses: row.uses };
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
            row.then += amount;
            row.uses_then = row.uses_then.saturating_add(uses);
            row.is_opened_then |= entry.kind == Kind::Open;
            row.is_known_then |= entry.is_lasting();
        } else if entry.kind == Kind::Open && !row.is_opened_then {
            row.opened_later.get_or_insert((amount, uses));
        }
        Ok(())
    }

    /// What all hold after the last entry that was read, by their own columns.
    pub fn total(&self) -> Sum {
        let mut total = Sum::default();
        for row in self.rows.values() {
            total += Sum { count: 1, amount: row.balance, uses: row.uses };
        }
        total
    }

    /// An account.
    pub fn get(&self, id: &AccountId) -> Option<&Account> {
        self.rows.get(id)
    }

    /// All of them by name.
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
        assert_eq!(row.then, Balance::from_fen(1000), "the sale was of a later day");
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
