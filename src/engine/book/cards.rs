//! Cards as the ledger knows them: the account of each, the operator's marks, which card replaced
//! which, and the purchases of the last two days (design.md, sections 5 and 7).
//!
//! *Invariants:* a card that replaces another by a `link` carries on its account and its days, and
//! the old card is closed. A sale or a void that counts for a card also counts for all its
//! successors.

use super::day::{Counted, DayCounts, PeriodId, PeriodNames};
use super::{Book, Mismatch, account_in, orders};
use crate::engine::index::{fnv1a, hash_number};
use crate::engine::limits::{CARDS_MAX, LINKS_MAX};
use crate::engine::model::{AccountId, CardNo, CardStatus, Date, Entry, Kind, Mark, Marks};

/// A card's state by the ledger.
#[derive(Clone, Debug)]
pub(super) struct CardState {
    pub(super) card: u64,
    /// Its account: that of the first entry that moved money with it, or of its last `link`.
    pub(super) account: Option<u32>,
    /// The operator's marks. The strictest of these and the table's status applies.
    pub(super) marks: Marks,
    /// The card that it replaced and whose account it carries on.
    pub(super) predecessor: Option<u64>,
    /// The card that replaced it.
    pub(super) successor: Option<u64>,
    /// Hash of its account in the card table when it was closed, if the ledger had none; else 0.
    pub(super) closed_account: u64,
    pub(super) days: DayCounts,
}

/// The part of a card's past that rules need. The default is that of a card without one, which the
/// ledger does not have.
#[derive(Clone, Copy, Default)]
pub struct CardHistory<'a>(Option<(&'a CardState, &'a PeriodNames)>);

impl<'a> CardHistory<'a> {
    fn state(&self) -> Option<&'a CardState> {
        self.0.map(|(state, _)| state)
    }

    /// The strictest of the operator's marks.
    pub fn status(&self) -> CardStatus {
        self.marks().status()
    }

    /// The operator's marks that apply.
    pub fn marks(&self) -> Marks {
        self.state().map_or(Marks::default(), |state| state.marks)
    }

    /// Fen that the card spent on a business day.
    pub fn spent(&self, day: Date) -> i64 {
        self.state().map_or(0, |state| state.days.spent(day))
    }

    /// Sales of the card in a period of a business day.
    pub fn sales(&self, day: Date, period: &str) -> u32 {
        self.of_period(period).map_or(0, |(days, period)| days.sales(day, period))
    }

    /// Whether one of the card's sales in this period of a business day was in count mode. A sale
    /// that was voided whole was none.
    pub fn has_eaten(&self, day: Date, period: &str) -> bool {
        self.of_period(period).is_some_and(|(days, period)| days.meals(day, period) > 0)
    }

    fn of_period(&self, period: &str) -> Option<(&'a DayCounts, PeriodId)> {
        let (state, periods) = self.0?;
        Some((&state.days, periods.find(period)?))
    }
}

impl Book {
    // ---------------------------------------------------------------- answers

    /// The card's account by the ledger, also if the table no longer has the card; `None` if the
    /// ledger has no account for it.
    pub(crate) fn account_of_card(&self, card: CardNo) -> Option<u32> {
        self.card_state(card)?.account
    }

    /// The row of the account that a sale is about to move, added if it is new; `None` if there is
    /// no room. `reserved`: places for cards that must stay free, because unknown cards must not
    /// take those of the table's cards.
    pub(crate) fn account_for_sale(&mut self, id: &AccountId, card: CardNo, reserved: usize) -> Option<u32> {
        let free = CARDS_MAX - self.cards.len();
        if self.card_state(card).is_none() && free <= reserved {
            return None;
        }
        self.find_or_add_account(id)
    }

    /// Whether the ledger has lasting data of a card.
    pub(crate) fn knows_card(&self, card: CardNo) -> bool {
        self.card_state(card).is_some()
    }

    /// The card that this one replaced by a `link`, and the row of the account that it carries on.
    pub(crate) fn link_of(&self, card: CardNo) -> Option<(CardNo, u32)> {
        let state = self.card_state(card)?;
        Some((CardNo::from_value(state.predecessor?), state.account?))
    }

    /// The card that replaced this one by a `link`.
    pub fn successor(&self, card: CardNo) -> Option<CardNo> {
        self.card_state(card)?.successor.map(CardNo::from_value)
    }

    /// Whether the card was closed when the table had it on an account other than this one and the
    /// ledger had none for it.
    pub(crate) fn was_closed_on_another(&self, card: CardNo, account: u32) -> bool {
        let closed_account = self.card_state(card).map_or(0, |state| state.closed_account);
        closed_account != 0 && closed_account != fnv1a(self.account(account).id.as_bytes())
    }

    /// The cards that replaced this one, one after the other, at most [`LINKS_MAX`].
    pub(crate) fn successors(&self, card: CardNo) -> impl Iterator<Item = CardNo> {
        let next = |card: &CardNo| self.successor(*card);
        core::iter::successors(next(&card), next).take(LINKS_MAX)
    }

    /// A card that the ledger has on an account, the newest: the table may have none. It scans all
    /// cards.
    pub(crate) fn card_on(&self, account: u32) -> Option<CardNo> {
        let on_it = |state: &&CardState| state.account == Some(account) && state.successor.is_none();
        self.cards.iter().rev().find(on_it).map(|state| CardNo::from_value(state.card).padded())
    }

    /// The cards that this one replaced, directly or in turn: newest first, at most [`LINKS_MAX`].
    pub fn predecessors(&self, card: CardNo) -> impl Iterator<Item = CardNo> {
        let before = |card: &CardNo| self.link_of(*card).map(|(old, _)| old);
        core::iter::successors(before(&card), before).take(LINKS_MAX)
    }

    /// Whether there is room for those of these cards that the ledger does not have yet.
    pub(crate) fn has_room_for(&self, cards: &[CardNo]) -> bool {
        let new = cards.iter().filter(|card| !self.knows_card(**card)).count();
        new <= CARDS_MAX - self.cards.len()
    }

    /// The operator's marks that apply.
    pub(crate) fn marks_of(&self, card: CardNo) -> Marks {
        self.history_of(card.value()).marks()
    }

    /// The strictest of the operator's marks.
    pub(crate) fn card_status(&self, card: CardNo) -> CardStatus {
        self.history_of(card.value()).status()
    }

    /// The part of a card's past that rules need.
    pub fn history_of(&self, card: u64) -> CardHistory<'_> {
        CardHistory(self.card_row(card).map(|row| (&self.cards[row as usize], &self.periods)))
    }

    // ---------------------------------------------------------------- applying

    pub(super) fn apply_card(&mut self, entry: &Entry, account: Option<u32>) -> Result<(), Mismatch> {
        let Some(card) = entry.card else { return Ok(()) };
        if !entry.is_lasting() {
            return Ok(());
        }
        // The entry moves the account of the number's former holder and does not concern the
        // present one.
        if entry.detail.has("former") {
            return Ok(());
        }
        let row = self.find_or_add_card(card).ok_or(Mismatch::Full)?;
        let state = &mut self.cards[row as usize];
        // Once a card moved money, its account stays, whatever the table says later. Only a `link`
        // changes it.
        state.account = state.account.or(account);
        match entry.kind {
            Kind::Void if entry.is_counted() => self.give_back(entry, row),
            Kind::Void => (),
            Kind::Link => self.link(entry, card, account)?,
            Kind::Status => {
                let word = entry.detail.get("status");
                let said = Mark::ALL.iter().find(|mark| word.is_some_and(|word| word.is(mark.word())));
                if let Some(mark) = said {
                    state.marks.apply(*mark);
                }
                // Only the first closing counts: at a second one the table may have the next
                // holder's account.
                if let Some(on) = account_in(entry, "from").filter(|_| state.closed_account == 0) {
                    state.closed_account = fnv1a(on.as_bytes());
                }
            }
            _ if entry.sales() > 0 && entry.is_counted() => {
                let (day, period) = self.day_of(entry);
                let fen = -entry.effect().money().fen();
                let sale = Counted { fen, period, is_meal: entry.is_count_mode() };
                self.change_days(row, |days| days.add(day, sale));
            }
            _ => (),
        }
        Ok(())
    }

    /// The business day and the period that an entry counts for.
    fn day_of(&mut self, entry: &Entry) -> (Date, Option<PeriodId>) {
        let day = entry.detail.day().unwrap_or_else(|| entry.time.civil().date());
        let period = entry.detail.get("period").and_then(|name| {
            // The fast path: nearly all names are one word.
            if name.is_plain() && name.0.len() <= 48 {
                return Some(self.periods.intern(name.0));
            }
            let name: Vec48 = name.bytes().take(48).collect();
            Some(self.periods.intern(core::str::from_utf8(&name).ok()?))
        });
        (day, period)
    }

    /// Takes a voided sale back from the sums of its day.
    fn give_back(&mut self, entry: &Entry, row: u32) {
        let (day, period) = self.day_of(entry);
        let fen = entry.undone().fen();
        let sale = Counted { fen, period, is_meal: entry.is_count_mode() };
        self.change_days(row, |days| days.take_back(day, sale, !entry.is_partial()));
    }

    /// Changes the days of a card and of its successors. A sale that a terminal stored for a
    /// replaced card counts for them too; otherwise a void of it would take from them what was
    /// never counted.
    fn change_days(&mut self, row: u32, change: impl Fn(&mut DayCounts)) {
        let mut next = Some(row);
        // Bounded, so that a circle, which no order makes, ends.
        for _ in 0..=LINKS_MAX {
            let Some(row) = next else { return };
            let state = &mut self.cards[row as usize];
            change(&mut state.days);
            next = state.successor.and_then(|successor| self.card_row(successor));
        }
    }

    /// Applies a `link` that replaces a card: the new card carries on the old one's account, and
    /// its purchases add to the new one's. The old card is closed.
    fn link(&mut self, entry: &Entry, new: CardNo, account: Option<u32>) -> Result<(), Mismatch> {
        let Some(old) = orders::replaced_card(entry).filter(|old| *old != new) else { return Ok(()) };
        let row = self.find_or_add_card(old).ok_or(Mismatch::Full)?;
        let state = &mut self.cards[row as usize];
        state.marks.apply(Mark::Closed);
        state.successor = Some(new.value());
        // Sales that a terminal stored for the old card are its holder's, also if it never moved
        // money and its row is gone.
        state.account = state.account.or(account);
        let days = state.days;
        let row = self.find_or_add_card(new).ok_or(Mismatch::Full)?;
        let state = &mut self.cards[row as usize];
        state.predecessor = Some(old.value());
        state.account = account.or(state.account);
        // A frozen holder must not pay with the new card either. A loss concerns the old card only.
        if entry.detail.get("status").is_some_and(|status| status.is(CardStatus::Frozen.word())) {
            state.marks.apply(Mark::Frozen);
        }
        state.days.carry_on(&days);
        Ok(())
    }

    // ---------------------------------------------------------------- rows

    pub(super) fn card_state(&self, card: CardNo) -> Option<&CardState> {
        self.card_row(card.value()).map(|row| &self.cards[row as usize])
    }

    pub(super) fn card_row(&self, card: u64) -> Option<u32> {
        self.by_card.find(hash_number(card), |row| self.cards[row as usize].card == card)
    }

    pub(super) fn find_or_add_card(&mut self, card: CardNo) -> Option<u32> {
        let value = card.value();
        if let Some(row) = self.card_row(value) {
            return Some(row);
        }
        let row = u32::try_from(self.cards.len()).expect("CARDS_MAX fits 32 bits");
        let (account, marks, days) = (None, Marks::default(), DayCounts::default());
        let state =
            CardState { card: value, account, marks, predecessor: None, successor: None, closed_account: 0, days };
        self.cards.push(state).ok()?;
        let cards = &self.cards;
        self.by_card.insert(hash_number(value), row, |row| hash_number(cards[row as usize].card));
        Some(row)
    }
}

type Vec48 = heapless::Vec<u8, 48>;
