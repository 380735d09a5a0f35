//! Accounts that get another name, cards that get another account, and numbers that get another
//! holder (design.md, sections 5 and 8).
//!
//! What always holds: amounts summed over an account are its balance, under the old name and the
//! new one. Where a purse goes on under another name, two `link` entries say so: `to=` takes all
//! out of the one, `from=` puts it into the other. They are one write; if only the first of them
//! survived it, [`Book::halfway`] gives it, and a start writes the second before anything else.
//!
//! | entry | card | detail | |
//! |---|---|---|---|
//! | `link` | the card | `from=` | it is on the entry's account from now on; from its own account (`@…`) all that it held came along |
//! | `link` | none | `from=` | the account has another name: all that it held and every card came along |
//! | `link` | the card | `from=` `status=reissued` | another holder has its number |
//! | `link` | the card | neither | it is on the entry's account, where the table had it before |

use super::day::DayCounts;
use super::history::Row;
use super::{Book, EntrySeq, GoneTo};
use crate::engine::index::hash_number;
use crate::engine::limits::LINKS_MAX;
use crate::engine::model::{AccountHistory, AccountId, CardNo, CardRow, Civil, Entry, Kind, Marks, is_own_account};

/// What `status=` of a `link` says where another holder has the card's number.
pub(crate) const REISSUED: &str = "reissued";

/// A number that another holder has since.
#[derive(Clone, Debug)]
pub(super) struct Reissue {
    pub(super) seq: EntrySeq,
    pub(super) card: u64,
    /// When, as clocks on the wall showed it.
    pub(super) at: Civil,
    /// The former holder's account, if the card was on one.
    pub(super) account: Option<u32>,
}

impl Row for Reissue {
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

/// A card that the table puts on another account than the ledger, which holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The card.
    pub card: CardNo,
    /// The account that the table names.
    pub named: AccountId,
    /// The row of the account that it is on.
    pub account: u32,
}

/// The account that a detail's word names.
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
}

impl Book {
    // ---------------------------------------------------------------- answers

    /// The account that the table names for a card, where the ledger has the card on another one.
    pub(crate) fn named_elsewhere(&self, row: &CardRow) -> Option<Named> {
        let card = CardNo::from_value(row.card);
        let account = self.account_of_card(card).filter(|account| *account != row.account)?;
        Some(Named { card, named: self.account(row.account).id, account })
    }

    /// Where what an account held at an entry is today: the row of that account, or of the one that
    /// all of it went to since. `None` if that cannot be told any more.
    pub(crate) fn purse_of(&self, account: &str, at: EntrySeq) -> Option<u32> {
        let mut row = self.account_row(account)?;
        let mut at = at;
        for _ in 0..=LINKS_MAX {
            let account = self.account(row);
            let Some(gone) = account.gone_to.filter(|gone| at < gone.seq()) else { return Some(row) };
            if at < account.gone_before {
                return None;
            }
            (row, at) = (gone.account, gone.seq());
        }
        None
    }

    /// Whether an account is another's former name, which nobody has used since.
    pub(crate) fn is_former_name(&self, name: u32, of: u32) -> bool {
        let gone = |row: &u32| self.account(*row).gone_to.map(|gone| gone.account);
        self.account(name).is_free && core::iter::successors(gone(&name), gone).take(LINKS_MAX).any(|row| row == of)
    }

    /// The account of who had a card's number at that time, if another holder has it since, and the
    /// entry since which.
    pub(crate) fn former_holder(&self, card: CardNo, at: Civil) -> Option<(EntrySeq, Option<u32>)> {
        let reissue = self.reissues.find(card.value()).filter(|reissue| at < reissue.at).last()?;
        let purse = |row: u32| self.purse_of(&self.account(row).id, reissue.seq).unwrap_or(row);
        Some((reissue.seq, reissue.account.map(purse)))
    }

    /// The entry since which another holder has the number of the card that an entry is of, if the
    /// entry is older.
    pub(crate) fn reissued_since(&self, card: CardNo, entry: EntrySeq) -> Option<EntrySeq> {
        self.reissues.find(card.value()).filter(|reissue| entry < reissue.seq).last().map(|reissue| reissue.seq)
    }

    /// The entry that took all out of an account, where the one that puts it into another is
    /// missing: the power went between them.
    pub(crate) fn halfway(&self) -> Option<&Entry> {
        self.halfway.first()
    }

    /// Whether another account would find room.
    pub(crate) fn has_room_for_account(&self, id: &str) -> bool {
        self.account_row(id).is_some() || !self.accounts.is_full()
    }

    /// The row of an account that a link is about to name, made if it is new; `None` if there is no
    /// room.
    pub(crate) fn account_for_link(&mut self, id: &AccountId) -> Option<u32> {
        self.find_or_add_account(id)
    }

    /// Before the number of a card of the table is given to another holder, or a card whose own
    /// account the table never opened comes to the one that its row names: what the row states
    /// counts from now on, also where another card's row has the account in the table.
    pub(crate) fn open_held_back(&mut self, row: u32) {
        let account = &mut self.accounts[row as usize];
        if !account.is_opened {
            account.in_table = true;
            (account.is_balance_held_back, account.are_uses_held_back) = (false, false);
        }
    }

    // ---------------------------------------------------------------- applying

    /// What a `link` says of accounts.
    pub(super) fn apply_account(&mut self, entry: &Entry, account: Option<u32>) {
        self.halfway.clear();
        let (Kind::Link, Some(account)) = (entry.kind, account) else { return };
        if entry.detail.get("to").is_some() {
            self.halfway.push(*entry).expect("it was just cleared");
            return;
        }
        let from = account_in(entry, "from");
        let is_reissue = entry.detail.get("status").is_some_and(|status| status.is(REISSUED));
        // The holder before may have had none.
        if from.is_none() && !is_reissue {
            return;
        }
        // What the table says that it opens with is nobody's any more: its card came with figures
        // of its own, or with none.
        self.accounts[account as usize].is_opened = true;
        let from = from.and_then(|from| self.account_row(&from)).filter(|from| *from != account);
        match (entry.card, from) {
            (Some(card), _) if is_reissue => self.reissue(entry, card, account),
            (Some(card), from) => {
                self.put_on(card, account);
                let is_own = |row: &u32| is_own_account(&self.accounts[*row as usize].id);
                if let Some(from) = from.filter(is_own) {
                    self.give_up(from, account, entry.seq);
                }
            }
            (None, Some(from)) => {
                for card in self.cards.iter_mut().filter(|card| card.account == Some(from)) {
                    card.account = Some(account);
                }
                self.give_up(from, account, entry.seq);
            }
            (None, None) => (),
        }
    }

    /// All that an account held is on another; its name is free.
    fn give_up(&mut self, from: u32, to: u32, seq: EntrySeq) {
        let account = &mut self.accounts[from as usize];
        account.gone_before = account.gone_to.map_or(EntrySeq(0), GoneTo::seq);
        account.gone_to = GoneTo::new(to, seq);
        (account.is_opened, account.is_free) = (false, true);
        account.in_table = false;
        (account.stated_balance, account.stated_uses) = account.opening();
        (account.is_balance_held_back, account.are_uses_held_back) = (true, true);
    }

    /// A card is on another account, and so are those before it: what a terminal books late for
    /// them is the same holder's.
    fn put_on(&mut self, card: CardNo, account: u32) {
        let mut next = self.card_row(card.value());
        for _ in 0..=LINKS_MAX {
            let Some(row) = next else { return };
            let state = &mut self.cards[row as usize];
            state.account = Some(account);
            next = state.was.and_then(|was| self.card_row(was));
        }
    }

    /// Another holder has the number: nothing that was said of the card, or that it bought, is of
    /// this one.
    fn reissue(&mut self, entry: &Entry, card: CardNo, account: u32) {
        let Some(row) = self.card_row(card.value()) else { return };
        let state = &mut self.cards[row as usize];
        let (was, heir, former) = (state.was.take(), state.heir.take(), state.account.replace(account));
        (state.marks, state.days, state.closed_on) = (Marks::default(), DayCounts::default(), 0);
        for (other, is_heir) in [(was, false), (heir, true)] {
            let Some(row) = other.and_then(|other| self.card_row(other)) else { continue };
            let state = &mut self.cards[row as usize];
            *(if is_heir { &mut state.was } else { &mut state.heir }) = None;
        }
        let former = former.filter(|former| *former != account);
        self.reissues.push(Reissue { seq: entry.seq, card: card.value(), at: entry.time.civil(), account: former });
    }
}
