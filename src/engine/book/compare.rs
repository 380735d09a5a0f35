//! Compares two books, to prove that a running service's state equals the replay of its ledger
//! (design.md, section 1).

use alloc::collections::BTreeMap;
use core::fmt::Debug;

use super::accounts::Reissue;
use super::{Account, Book, CardState};
use crate::engine::model::{EntrySeq, Figures};

impl Book {
    /// Describes the first difference for a programmer; `None` if both books answer every question
    /// equally. The order of rows does not count, nor do monotonic times, which only a running
    /// service has.
    pub fn difference(&self, other: &Self) -> Option<String> {
        differ("head", &self.head, &other.head)
            .or_else(|| differ("newest", &self.newest, &other.newest))
            .or_else(|| differ("newest_clock", &self.newest_clock, &other.newest_clock))
            .or_else(|| differ("newest_ok", &self.newest_ok, &other.newest_ok))
            .or_else(|| differ("clock_floor", &self.clock_floor, &other.clock_floor))
            .or_else(|| differ("rolled_back", &self.rolled_back, &other.rolled_back))
            .or_else(|| differ_in_rows("account", &self.accounts_by_name(), &other.accounts_by_name()))
            .or_else(|| differ_in_rows("card", &self.cards_by_number(), &other.cards_by_number()))
            .or_else(|| differ_in_rows("memory", &self.memories_by_number(), &other.memories_by_number()))
            .or_else(|| differ_in_rows("doubt", &self.rows_of_doubts(), &other.rows_of_doubts()))
            .or_else(|| differ_in_rows("offline", &self.rows_of_offline(), &other.rows_of_offline()))
            .or_else(|| differ_in_rows("pass", &self.rows_of_passes(), &other.rows_of_passes()))
            .or_else(|| differ_in_rows("name", &self.orders.rows_of_names(), &other.orders.rows_of_names()))
            .or_else(|| differ_in_rows("file", &self.orders.rows_of_files(), &other.orders.rows_of_files()))
            .or_else(|| differ_in_rows("void", &self.orders.rows_of_voids(), &other.orders.rows_of_voids()))
            .or_else(|| differ_in_rows("reissue", &self.rows_of_reissues(), &other.rows_of_reissues()))
            .or_else(|| differ("halfway", &self.halfway, &other.halfway))
            .or_else(|| differ("periods", &self.periods, &other.periods))
    }

    fn accounts_by_name(&self) -> BTreeMap<&str, impl PartialEq + Debug + '_> {
        // Opening figures count only until they are entered. An account without cards may have
        // figures of zero, or none.
        let opening = |account: &Account| account.unopened().filter(|opening| *opening != Figures::ZERO);
        let kept = self.accounts.iter().filter(move |account| account.has_moved || opening(account).is_some());
        let shown = move |account: &Account| {
            let gone = account.moved_to.map(|gone| (self.accounts[gone.account as usize].id, gone.seq(), gone.cleared));
            let gone = (gone, account.moved_before, account.is_free);
            let ledger = (account.held, account.cleared, account.is_opened, account.has_moved, gone);
            (ledger, opening(account))
        };
        kept.map(|account| (account.id.as_str(), shown(account))).collect()
    }

    fn cards_by_number(&self) -> BTreeMap<u64, impl PartialEq + Debug + '_> {
        let name = |state: &CardState| state.account.map(|row| self.accounts[row as usize].id.as_str());
        let shown = |state: &CardState| {
            (name(state), state.marks, (state.predecessor, state.successor, state.closed_account), state.days)
        };
        self.cards.iter().map(|state| (state.card, shown(state))).collect()
    }

    fn memories_by_number(&self) -> BTreeMap<u64, impl PartialEq + Debug + '_> {
        // A device that was once registered and never led to an entry has an empty row in the
        // running service, and none in a replay.
        let kept = self.memories.iter().filter(|memory| memory.is_pinned || memory.last != EntrySeq(0));
        kept.map(|memory| (memory.machine, memory.as_replayed())).collect()
    }

    fn rows_of_doubts(&self) -> BTreeMap<u64, impl PartialEq + Debug + '_> {
        let shown = self.doubts.rows().map(|doubt| {
            let sale = (doubt.machine, &doubt.serial, doubt.card, doubt.asked, doubt.at);
            let tried = (doubt.tried.stamp, doubt.tried.clock, doubt.tried_at);
            (doubt.seq.0, (sale, tried, doubt.is_scan, doubt.is_settled, doubt.is_taken))
        });
        shown.collect()
    }

    fn rows_of_offline(&self) -> BTreeMap<u64, impl PartialEq + Debug + '_> {
        let shown = self.offline.rows().map(|offline| {
            let at = (offline.at.stamp, offline.at.clock);
            (offline.seq.0, (&offline.id, at, offline.is_sale, offline.is_taken))
        });
        shown.collect()
    }

    fn rows_of_reissues(&self) -> BTreeMap<u64, impl PartialEq + Debug + '_> {
        let name = |row: u32| self.accounts[row as usize].id;
        let shown = |reissue: &Reissue| (reissue.seq.0, (reissue.card, reissue.at, reissue.account.map(name)));
        self.reissues.rows().map(shown).collect()
    }

    fn rows_of_passes(&self) -> BTreeMap<u64, impl PartialEq + Debug + '_> {
        let shown = self.passes.rows().map(|pass| {
            let at = (pass.at.stamp, pass.at.clock);
            (pass.seq.0, (pass.machine, pass.door, pass.card, at, pass.is_confirmed))
        });
        shown.collect()
    }
}

fn differ<T: PartialEq + Debug>(what: &str, one: &T, other: &T) -> Option<String> {
    (one != other).then(|| format!("{what}: {one:?} or {other:?}"))
}

fn differ_in_rows<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    one: &BTreeMap<K, V>,
    other: &BTreeMap<K, V>,
) -> Option<String> {
    if one == other {
        return None;
    }
    let mut keys = one.keys().chain(other.keys());
    let key = keys.find(|key| one.get(*key) != other.get(*key))?;
    Some(format!("{what} {key:?}: {:?} or {:?}", one.get(key), other.get(key)))
}
