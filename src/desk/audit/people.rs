//! Whose a card or an account is, by the card table as it is today: name, department, groups.
//!
//! *Invariant:* an entry belongs to the holder of its account, and to nobody that only has its card
//! today: that may be another person since (`reissue`).

use crate::engine::gbk;
use crate::engine::model::rules::Names;
use crate::engine::model::{AccountId, CardNo, CardRecord};

/// The card table, found by account and by card.
#[derive(Clone, Debug, Default)]
pub struct People {
    /// Sorted by account; the rows of one account in the table's order.
    records: Vec<CardRecord>,
    /// Indices of `records`, sorted by card.
    by_card: Vec<u32>,
    /// The configuration's groups.
    names: Names,
}

impl People {
    /// The holders in a card table with the groups that the configuration names.
    pub fn new(mut records: Vec<CardRecord>, names: &Names) -> Self {
        records.sort_by_key(|record| record.account);
        let mut by_card: Vec<u32> = (0..records.len() as u32).collect();
        by_card.sort_by_key(|index| records[*index as usize].card.value());
        Self { records, by_card, names: names.clone() }
    }

    /// The row of an account; of several that of the card, else the first.
    pub fn of(&self, account: &AccountId, card: Option<CardNo>) -> Option<&CardRecord> {
        let first = self.records.partition_point(|record| record.account < *account);
        let rows = self.records[first..].iter().take_while(|record| record.account == *account);
        let is_its = |record: &&CardRecord| card.is_some_and(|card| card.value() == record.card.value());
        rows.clone().find(is_its).or_else(|| rows.clone().next())
    }

    /// The row of a card.
    pub fn of_card(&self, card: CardNo) -> Option<&CardRecord> {
        let value = |index: &u32| self.records[*index as usize].card.value();
        let found = self.by_card.binary_search_by_key(&card.value(), value).ok()?;
        self.records.get(self.by_card[found] as usize)
    }

    /// The card's groups, divided by `;`, in the order of the configuration.
    pub fn groups(&self, record: &CardRecord) -> String {
        self.names.names(record.terms.groups).collect::<Vec<_>>().join(";")
    }

    /// The holder's name, department and groups; empty of nobody.
    pub fn words(&self, record: Option<&CardRecord>) -> [String; 3] {
        record.map_or_else(Default::default, |record| {
            [gbk::decode(&record.name).into_owned(), record.department.clone(), self.groups(record)]
        })
    }
}
