//! Cards as the ledger knows them: whose account they move, what the operator said of them, which
//! follows which, and what each bought today (design.md, sections 5 and 7).
//!
//! What always holds: a card that follows another by a `link` carries on its account and its days,
//! and the other is closed; what counts for a card, or is taken back by a void, counts for all that
//! carry its days on.

use super::day::{DayCounts, PeriodId, PeriodNames};
use super::{Book, Mismatch, account_in, orders};
use crate::engine::index::{fnv1a, hash_number};
use crate::engine::limits::{CARDS_MAX, LINKS_MAX};
use crate::engine::model::{AccountId, CardNo, CardStatus, Date, Entry, Kind, Mark, Marks};

/// What the ledger knows of a card.
#[derive(Clone, Debug)]
pub(super) struct CardState {
    pub(super) card: u64,
    /// The account that it is on: that of the first entry that moved it, or of its last link.
    pub(super) account: Option<u32>,
    /// What the operator said of it: the strictest of these and the table's word holds.
    pub(super) marks: Marks,
    /// The card that it follows: it carries on that card's account.
    pub(super) was: Option<u64>,
    /// The card that follows it.
    pub(super) heir: Option<u64>,
    /// Fingerprint of the account that the card table had for it when it was closed, if the ledger
    /// had none; else 0.
    pub(super) closed_on: u64,
    pub(super) days: DayCounts,
}

/// A card's past, as far as rules ask.
#[derive(Clone, Copy)]
pub struct CardHistory<'a> {
    /// `None`: it has none.
    state: Option<&'a CardState>,
    periods: &'a PeriodNames,
}

impl CardHistory<'_> {
    /// The strictest of what the operator said of the card.
    pub fn status(&self) -> CardStatus {
        self.marks().status()
    }

    /// What the operator said of the card, and what still stands of it.
    pub fn marks(&self) -> Marks {
        self.state.map_or(Marks::default(), |state| state.marks)
    }

    /// Fen that the card spent on a business day.
    pub fn spent(&self, day: Date) -> i64 {
        self.state.map_or(0, |state| state.days.spent(day))
    }

    /// Sales of the card in a period of a business day.
    pub fn sales(&self, day: Date, period: &str) -> u32 {
        let (Some(state), Some(period)) = (self.state, self.periods.find(period)) else { return 0 };
        state.days.sales(day, period)
    }
}

impl Book {
    // ---------------------------------------------------------------- answers

    /// The account that a card is on by the ledger, whether the table still has the card or not;
    /// `None`: it never moved money.
    pub(crate) fn account_of_card(&self, card: CardNo) -> Option<u32> {
        self.card_state(card)?.account
    }

    /// The row of an account that a sale is about to move, made if it is new; `None` if there is no
    /// room. `reserved` places are kept for others: cards that nobody knows must not take those of
    /// the table.
    pub(crate) fn account_for_sale(&mut self, id: &AccountId, card: CardNo, reserved: usize) -> Option<u32> {
        let free = CARDS_MAX - self.cards.len();
        if self.card_state(card).is_none() && free <= reserved {
            return None;
        }
        self.find_or_add_account(id)
    }

    /// Whether the ledger says anything that lasts of a card.
    pub(crate) fn knows_card(&self, card: CardNo) -> bool {
        self.card_state(card).is_some()
    }

    /// The card that this one follows by a `link`, and the row of the account that it carries on.
    pub(crate) fn link_of(&self, card: CardNo) -> Option<(CardNo, u32)> {
        let state = self.card_state(card)?;
        Some((CardNo::from_value(state.was?), state.account?))
    }

    /// The card that follows this one by a `link`.
    pub fn heir(&self, card: CardNo) -> Option<CardNo> {
        self.card_state(card)?.heir.map(CardNo::from_value)
    }

    /// Whether the card was closed while the table had it on another account than this one, and the
    /// ledger had it on none.
    pub(crate) fn was_closed_on_another(&self, card: CardNo, account: u32) -> bool {
        let closed_on = self.card_state(card).map_or(0, |state| state.closed_on);
        closed_on != 0 && closed_on != fnv1a(self.account(account).id.as_bytes())
    }

    /// The cards before this one, each followed by the next: the newest first, at most
    /// [`LINKS_MAX`].
    pub fn ancestors(&self, card: CardNo) -> impl Iterator<Item = CardNo> {
        let before = |card: &CardNo| self.link_of(*card).map(|(was, _)| was);
        core::iter::successors(before(&card), before).take(LINKS_MAX)
    }

    /// Whether the ledger may come to know all of these cards: there is room for those that it does
    /// not know.
    pub(crate) fn has_room_for(&self, cards: &[CardNo]) -> bool {
        let new = cards.iter().filter(|card| !self.knows_card(**card)).count();
        new <= CARDS_MAX - self.cards.len()
    }

    /// What the operator said of the card, and what still stands of it.
    pub(crate) fn marks_of(&self, card: CardNo) -> Marks {
        self.history_of(card.value()).marks()
    }

    /// The strictest of what the operator said of the card.
    pub(crate) fn card_status(&self, card: CardNo) -> CardStatus {
        self.history_of(card.value()).status()
    }

    /// What a card did and what was said of it, as far as rules ask.
    pub fn history_of(&self, card: u64) -> CardHistory<'_> {
        CardHistory { state: self.card_row(card).map(|row| &self.cards[row as usize]), periods: &self.periods }
    }

    // ---------------------------------------------------------------- applying

    pub(super) fn apply_card(&mut self, entry: &Entry, account: Option<u32>) -> Result<(), Mismatch> {
        let Some(card) = entry.card else { return Ok(()) };
        if !entry.is_lasting() {
            return Ok(());
        }
        // It moves the account of who had the number before, and says nothing of who has it now.
        if entry.detail.get("former").is_some() {
            return Ok(());
        }
        let row = self.find_or_add_card(card).ok_or(Mismatch::Full)?;
        let state = &mut self.cards[row as usize];
        // Once a card moved money its account stays, whatever the table says later: only a link
        // gives it another.
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
                // The first one: closed again, the card may stand on its next holder's account.
                if let Some(on) = account_in(entry, "from").filter(|_| state.closed_on == 0) {
                    state.closed_on = fnv1a(on.as_bytes());
                }
            }
            _ if entry.sales() > 0 && entry.is_counted() => {
                let (day, period) = self.day_of(entry);
                let spent = -entry.amount.unwrap_or_default().fen();
                self.change_days(row, |days| days.add(day, spent, period));
            }
            _ => (),
        }
        Ok(())
    }

    /// The business day and the period that an entry counts for.
    fn day_of(&mut self, entry: &Entry) -> (Date, Option<PeriodId>) {
        let day = entry.detail.day().unwrap_or_else(|| entry.time.civil().date());
        let period = entry.detail.get("period").and_then(|name| {
            // Nearly all are names of one word.
            if name.is_plain() && name.0.len() <= 48 {
                return Some(self.periods.intern(name.0));
            }
            let name: Vec48 = name.bytes().take(48).collect();
            Some(self.periods.intern(core::str::from_utf8(&name).ok()?))
        });
        (day, period)
    }

    /// A void gives the day's sum back.
    fn give_back(&mut self, entry: &Entry, row: u32) {
        let (day, period) = self.day_of(entry);
        let fen = entry.amount.unwrap_or_default().fen();
        self.change_days(row, |days| days.take_back(day, fen, period, !entry.is_partial()));
    }

    /// Changes the days of a card, and of those that carry them on: also what a terminal books late
    /// for a card that was replaced, or a void would give its heir what was never counted there.
    fn change_days(&mut self, row: u32, change: impl Fn(&mut DayCounts)) {
        let mut next = Some(row);
        // A circle, which no order makes, ends.
        for _ in 0..=LINKS_MAX {
            let Some(row) = next else { return };
            let state = &mut self.cards[row as usize];
            change(&mut state.days);
            next = state.heir.and_then(|heir| self.card_row(heir));
        }
    }

    /// A card that follows another carries on its account and what it bought today, beside its own;
    /// the other is closed.
    fn link(&mut self, entry: &Entry, new: CardNo, account: Option<u32>) -> Result<(), Mismatch> {
        let Some(old) = orders::replaced_card(entry).filter(|old| *old != new) else { return Ok(()) };
        let row = self.find_or_add_card(old).ok_or(Mismatch::Full)?;
        let state = &mut self.cards[row as usize];
        state.marks.apply(Mark::Closed);
        state.heir = Some(new.value());
        // What a terminal books late for it is its holder's, also where it never moved money and
        // its row is gone.
        state.account = state.account.or(account);
        let days = state.days;
        let row = self.find_or_add_card(new).ok_or(Mismatch::Full)?;
        let state = &mut self.cards[row as usize];
        state.was = Some(old.value());
        state.account = account.or(state.account);
        // A holder who is not to pay does not pay with another card. That the old one was lost says
        // nothing of the new one.
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
        let state = CardState { card: value, account, marks, was: None, heir: None, closed_on: 0, days };
        self.cards.push(state).ok()?;
        let cards = &self.cards;
        self.by_card.insert(hash_number(value), row, |row| hash_number(cards[row as usize].card));
        Some(row)
    }
}

type Vec48 = heapless::Vec<u8, 48>;
