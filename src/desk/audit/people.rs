//! Whose a card or an account is, by the card table as it is today: name, department, groups.
//!
//! *Invariant:* an entry belongs to the holder of its account, and to nobody that only has its card
//! today: that may be another person since (`reissue`).

use core::cmp::Ordering;

use crate::engine::gbk;
use crate::engine::model::rules::Names;
use crate::engine::model::{AccountId, CardNo, CardRecord};

/// The card table, found by account and by card.
#[derive(Clone, Debug, Default)]
pub struct People {
    records: Vec<CardRecord>,
    /// Indices of `records`, sorted by account; those of one account in the table's order.
    by_account: Vec<u32>,
    /// Indices of `records`, sorted by card.
    by_card: Vec<u32>,
    /// The configuration's groups.
    names: Names,
}

impl People {
    /// The holders in a card table with the groups that the configuration names.
    pub fn new(records: Vec<CardRecord>, names: &Names) -> Self {
        let record = |index: &u32| &records[*index as usize];
        // One sort of numbers: it takes much less code than one of records.
        let sorted = |compare: &dyn Fn(&u32, &u32) -> Ordering| {
            let mut indices: Vec<u32> = (0..records.len() as u32).collect();
            indices.sort_unstable_by(compare);
            indices
        };
        let by_account = sorted(&|one, other| (record(one).account, one).cmp(&(record(other).account, other)));
        let by_card = sorted(&|one, other| record(one).card.value().cmp(&record(other).card.value()));
        Self { records, by_account, by_card, names: names.clone() }
    }

    /// The row of an account; of several that of the card, else the first.
    pub fn of(&self, account: &AccountId, card: Option<CardNo>) -> Option<&CardRecord> {
        let record = |index: &u32| &self.records[*index as usize];
        let first = self.by_account.partition_point(|index| record(index).account < *account);
        let rows = self.by_account[first..].iter().map(record).take_while(|record| record.account == *account);
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
