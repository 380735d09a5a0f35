//! Renamed accounts, cards put on another account, and card numbers given to another holder
//! (design.md, sections 5 and 8).
//!
//! *Invariants:* the amounts of an account's entries add up to its balance, under the old name and
//! under the new one. Two `link` entries move all figures to another account: the one with `to=`
//! takes them out, the one with `from=` adds them. One write holds both. If only the first
//! survives, [`Book::halfway`] returns it, and a start writes the second before anything else.
//!
//! | entry | card | detail | |
//! |---|---|---|---|
//! | `link` | the card | `from=` | it is on the entry's account from now on; from its own account (`@…`) all that it held came along |
//! | `link` | none | `from=` | the account has another name: all that it held and every card came along |
//! | `link` | the card | `from=` `status=reissued` | another holder has its number |
//! | `link` | the card | neither | it is on the entry's account, where the table had it before |

use super::day::DayCounts;
use super::history::HistoryRow;
use super::{Book, EntrySeq, MovedTo};
use crate::engine::index::hash_number;
use crate::engine::limits::LINKS_MAX;
use crate::engine::model::{AccountHistory, AccountId, CardNo, Civil, Entry, Kind, Marks, is_own_account};

/// The value of `status=` in a `link` that gives the card's number to another holder.
pub(crate) const REISSUED: &str = "reissued";

/// A card number that was given to another holder.
#[derive(Clone, Debug)]
pub(super) struct Reissue {
    pub(super) seq: EntrySeq,
    pub(super) card: u64,
    /// When, by the wall clock.
    pub(super) at: Civil,
    /// The former holder's account, if the card was on one.
    pub(super) account: Option<u32>,
}

impl HistoryRow for Reissue {
    type Key = u64;

    fn key(&self) -> u64 {
        self.card
    }

    fn hash(card: &u64) -> u32 {
        hash_number(*card)
    }

    fn seq(&self) -> EntrySeq {
        self.seq
    }

    fn is_spent(&self) -> bool {
        false
    }
}

/// A card for which the table and the ledger name different accounts. The ledger's counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountConflict {
    /// The card.
    pub card: CardNo,
    /// The account that the table names.
    pub named: AccountId,
    /// The row of the card's account by the ledger.
    pub account: u32,
}

/// The account in the detail's word `key`.
pub(crate) fn account_in(entry: &Entry, key: &str) -> Option<AccountId> {
    let mut bytes = heapless::Vec::<u8, 24>::new();
    for byte in entry.detail.get(key)?.bytes() {
        bytes.push(byte).ok()?;
    }
    AccountId::from_utf8(&bytes)
}

impl AccountHistory for Book {
    fn has_moved(&self, account: &AccountId) -> bool {
        self.account_row(account).is_some_and(|row| self.account(row).has_moved())
    }

    fn account_of(&self, card: CardNo) -> Option<AccountId> {
        self.account_of_card(card).map(|row| self.account(row).id)
    }

    fn name_of(&self, row: u32) -> Option<&AccountId> {
        Some(&self.account(row).id)
    }
}

impl Book {
    // ---------------------------------------------------------------- answers

    /// The account that the table names for a card (its row is `named`), if the ledger has the card
    /// on another one.
    pub(crate) fn account_conflict(&self, card: CardNo, named: u32) -> Option<AccountConflict> {
        let account = self.account_of_card(card).filter(|account| *account != named)?;
        Some(AccountConflict { card, named: self.account(named).id, account })
    }

    /// The row of the account that holds today what `account` held at the entry `at`: its own, or
    /// that of the account to which all figures moved since. `None` if that is no longer known.
    pub(crate) fn purse_of(&self, account: &str, at: EntrySeq) -> Option<u32> {
        self.follow(account, at).map(|(row, _)| row)
    }

    /// Whether the subsidy that `account` held at the entry `at` was cleared since: there or, if
    /// all figures moved to another account, on that one; or with all others, also if that clear
    /// goes on or leaves no entry here because the purse is empty.
    pub(crate) fn is_cleared_since(&self, account: &str, at: EntrySeq) -> bool {
        let with_all = self.clearing().is_some_and(|clearing| !clearing.is_done() || at < clearing.end);
        with_all || self.follow(account, at).is_some_and(|(_, is_cleared)| is_cleared)
    }

    /// Follows an account's figures from the entry `at` to the row that holds them today; also
    /// returns whether the subsidy was cleared on the way.
    fn follow(&self, account: &str, at: EntrySeq) -> Option<(u32, bool)> {
        let mut row = self.account_row(account)?;
        let (mut at, mut is_cleared) = (at, false);
        for _ in 0..=LINKS_MAX {
            let account = self.account(row);
            let Some(gone) = account.moved_to.filter(|gone| at < gone.seq()) else {
                return Some((row, is_cleared || at < account.cleared));
            };
            if at < account.moved_before {
                return None;
            }
            is_cleared |= at < gone.cleared;
            (row, at) = (gone.account, gone.seq());
        }
        None
    }

    /// Whether `name` is a former name of the account `of` and unused since.
    pub(crate) fn is_former_name(&self, name: u32, of: u32) -> bool {
        let gone = |row: &u32| self.account(*row).moved_to.map(|gone| gone.account);
        self.account(name).is_free && core::iter::successors(gone(&name), gone).take(LINKS_MAX).any(|row| row == of)
    }

    /// If a card's number was given to another holder after the time `at`: the entry that did so,
    /// and the former holder's account.
    pub(crate) fn former_holder(&self, card: CardNo, at: Civil) -> Option<(EntrySeq, Option<u32>)> {
        let reissue = self.reissues.find(card.value()).filter(|reissue| at < reissue.at).last()?;
        let purse = |row: u32| self.purse_of(&self.account(row).id, reissue.seq).unwrap_or(row);
        Some((reissue.seq, reissue.account.map(purse)))
    }

    /// The entry that gave the card's number to another holder after `entry`, if any.
    pub(crate) fn reissued_since(&self, card: CardNo, entry: EntrySeq) -> Option<EntrySeq> {
        self.reissues.find(card.value()).filter(|reissue| entry < reissue.seq).last().map(|reissue| reissue.seq)
    }

    /// The entry that took all figures out of an account, if the one that adds them to another is
    /// missing: the power failed between them.
    pub(crate) fn halfway(&self) -> Option<&Entry> {
        self.halfway.first()
    }

    /// Whether the account exists or there is room for it.
    pub(crate) fn has_room_for_account(&self, id: &str) -> bool {
        self.account_row(id).is_some() || !self.accounts.is_full()
    }

    /// The row of the account that a `link` is about to name, added if it is new; `None` if there
    /// is no room.
    pub(crate) fn account_for_link(&mut self, id: &AccountId) -> Option<u32> {
        self.find_or_add_account(id)
    }

    /// Makes the figures count that the table states for an account, also those that were held
    /// back. It is called before a card's number is given to another holder, and before a card with
    /// an unopened account of its own moves to the account that its row names.
    pub(crate) fn open_held_back(&mut self, row: u32) {
        let account = &mut self.accounts[row as usize];
        if !account.is_opened {
            account.in_table = true;
            account.hold_back(false);
        }
    }

    // ---------------------------------------------------------------- applying

    /// Applies a `link`'s effect on accounts.
    pub(super) fn apply_account(&mut self, entry: &Entry, account: Option<u32>) {
        // A start may write the clock's entry before it writes the second one of the move.
        if entry.kind != Kind::Clock {
            self.halfway.clear();
        }
        let (Kind::Link, Some(account)) = (entry.kind, account) else { return };
        if entry.detail.has("to") {
            self.halfway.push(*entry).expect("it was just cleared");
            return;
        }
        let from = account_in(entry, "from");
        let is_reissue = entry.detail.get("status").is_some_and(|status| status.is(REISSUED));
        // Without `from=` only a reissue changes an account: its former holder may have had none.
        if from.is_none() && !is_reissue {
            return;
        }
        // The table's opening figures no longer count: the card came with figures of its own, or
        // with none.
        self.accounts[account as usize].is_opened = true;
        let from = from.and_then(|from| self.account_row(&from)).filter(|from| *from != account);
        match (entry.card, from) {
            (Some(card), _) if is_reissue => self.reissue(entry, card, account),
            (Some(card), from) => {
                self.put_on_account(card, account);
                let is_own = |row: &u32| is_own_account(&self.accounts[*row as usize].id);
                if let Some(from) = from.filter(is_own) {
                    self.release_name(from, account, entry.seq);
                }
            }
            (None, Some(from)) => {
                for card in self.cards.iter_mut().filter(|card| card.account == Some(from)) {
                    card.account = Some(account);
                }
                self.release_name(from, account, entry.seq);
            }
            (None, None) => (),
        }
    }

    /// Records that all figures of `from` are on `to` and that the name of `from` is free.
    fn release_name(&mut self, from: u32, to: u32, seq: EntrySeq) {
        let account = &mut self.accounts[from as usize];
        account.moved_before = account.moved_to.map_or(EntrySeq(0), MovedTo::seq);
        account.moved_to = MovedTo::new(to, seq, account.cleared);
        (account.is_opened, account.is_free) = (false, true);
        (account.in_table, account.cleared) = (false, EntrySeq(0));
        account.stated = account.opening();
        account.hold_back(true);
    }

    /// Puts a card on another account, and with it the cards that it replaced: sales that a
    /// terminal stored for those are the same holder's.
    fn put_on_account(&mut self, card: CardNo, account: u32) {
        let mut next = self.card_row(card.value());
        for _ in 0..=LINKS_MAX {
            let Some(row) = next else { return };
            let state = &mut self.cards[row as usize];
            state.account = Some(account);
            next = state.predecessor.and_then(|card| self.card_row(card));
        }
    }

    /// Gives the number to another holder: the former holder's marks and purchases no longer count
    /// for it.
    fn reissue(&mut self, entry: &Entry, card: CardNo, account: u32) {
        let Some(row) = self.card_row(card.value()) else { return };
        let state = &mut self.cards[row as usize];
        let (predecessor, successor, former) =
            (state.predecessor.take(), state.successor.take(), state.account.replace(account));
        (state.marks, state.days, state.closed_account) = (Marks::default(), DayCounts::default(), 0);
        for (other, is_successor) in [(predecessor, false), (successor, true)] {
            let Some(row) = other.and_then(|other| self.card_row(other)) else { continue };
            let state = &mut self.cards[row as usize];
            *(if is_successor { &mut state.predecessor } else { &mut state.successor }) = None;
        }
        let former = former.filter(|former| *former != account);
        self.reissues.push(Reissue { seq: entry.seq, card: card.value(), at: entry.time.civil(), account: former });
    }
}
