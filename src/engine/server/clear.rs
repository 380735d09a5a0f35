//! 补贴清零: empties the subsidy purses of all accounts, a few in each turn (design.md, section 6).
//!
//! *Invariants:*
//! - The first entry has the order's name (`clear=all`), each purse's entry names it in `ref`, and
//!   so does the last one (`clear=done`). So a start finds an order that was cut off, and goes on.
//! - While it goes on, nothing pays into a subsidy purse, no void gives subsidy back, and nothing
//!   moves between accounts, so a purse that is empty stays empty.
//! - No other card table comes into service meanwhile: what it opens belongs to no earlier clear.
//! - It ends after a look at all cards and accounts that finds no subsidy. What was taken of a
//!   purse before that end counts as cleared, also if the clear found the purse empty: whoever
//!   spent all is no better off than whoever kept a fen.

use log::info;

use super::operator::Plan;
use super::order_refused::Refused;
use super::{Effects, Room, Server, Timer};
use crate::engine::book::{CLEAR_BEGIN, CLEAR_END, CLEAR_ONE};
use crate::engine::limits::{CLEAR_LOOKED_AT, CLEARED_PER_TURN};
use crate::engine::model::order::Clearing;
use crate::engine::model::{Balance, CardNo, Entry, EntrySeq, Figures, Kind, Now};

/// How long a clear waits for room.
const WAIT_MS: u64 = 60_000;

/// How far a clear looked: through the cards of the table, then through the accounts, whose cards
/// may be gone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Purses {
    next: usize,
    /// Whether this look emptied a purse.
    has_found: bool,
}

impl Server<'_> {
    /// The order that begins to empty all purses.
    pub(super) fn plan_clear_all(&self) -> Result<Plan, Refused> {
        self.check_not_clearing()?;
        let mut plan = Plan::new(Kind::Subsidy, None);
        plan.detail.push("clear", CLEAR_BEGIN);
        Ok(plan)
    }

    /// The number of accounts that hold subsidy, and how much.
    pub(crate) fn subsidies(&self) -> (u32, Balance) {
        let held = self.book().accounts().iter().map(|account| account.figures().subsidy);
        let held = held.filter(|subsidy| *subsidy > Balance::ZERO);
        held.fold((0, Balance::ZERO), |(count, sum), subsidy| (count + 1, sum + subsidy))
    }

    /// The clear of all that goes on.
    pub fn clearing(&self) -> Option<Clearing> {
        self.book().clearing().filter(|clearing| !clearing.is_done())
    }

    /// How far the clear is that began with this entry.
    pub(super) fn clearing_of(&self, begin: EntrySeq) -> Option<Clearing> {
        self.book().clearing().filter(|clearing| clearing.begin == begin)
    }

    /// Goes on with a clear that the last stop cut off.
    pub(super) fn go_on_clearing(&mut self, now: &Now) {
        if let Some(clearing) = self.clearing() {
            info!("clear begin={} accounts={}: goes on", clearing.begin, clearing.accounts);
            self.begin_clearing(now);
        }
    }

    pub(super) fn begin_clearing(&mut self, now: &Now) {
        self.purses = Purses::default();
        self.tables.wheel.arm(now.mono.plus_ms(1), Timer::Clear);
    }

    /// Empties the next purses, at most [`CLEARED_PER_TURN`].
    pub(super) fn clear_some(&mut self, now: &Now, fx: &mut Effects) {
        let Some(clearing) = self.clearing() else { return };
        match self.room {
            // The next start goes on.
            Room::Nothing => return,
            Room::Reserve => {
                self.tables.wheel.arm(now.mono.plus_ms(WAIT_MS), Timer::Clear);
                return;
            }
            Room::Open => (),
        }
        let mut emptied = 0;
        for _ in 0..CLEAR_LOOKED_AT {
            let Some((card, account)) = self.purse_at(self.purses.next) else {
                if !core::mem::take(&mut self.purses).has_found {
                    self.end_clearing(now, clearing.begin, fx);
                    return;
                }
                break;
            };
            self.purses.next += 1;
            if account.is_some_and(|account| self.clear_one(now, clearing.begin, card, account, fx)) {
                self.purses.has_found = true;
                emptied += 1;
                if emptied == CLEARED_PER_TURN {
                    break;
                }
            }
        }
        self.tables.wheel.arm(now.mono.plus_ms(1), Timer::Clear);
    }

    /// The card and the account at a place of the look; `None` at its end.
    fn purse_at(&self, place: usize) -> Option<(Option<CardNo>, Option<u32>)> {
        let cards = &self.tables.cards;
        if let Some((card, named)) = cards.number(place) {
            return Some((Some(card.padded()), Some(self.account_of_row(card, named))));
        }
        let row = place - cards.len();
        (row < self.book().accounts().len()).then(|| (None, u32::try_from(row).ok()))
    }

    /// Empties one purse; `false` if it is empty.
    fn clear_one(&mut self, now: &Now, begin: EntrySeq, card: Option<CardNo>, row: u32, fx: &mut Effects) -> bool {
        if self.book().account(row).figures().subsidy <= Balance::ZERO {
            return false;
        }
        // Without room for the card, the account is emptied without it.
        let card = card.filter(|card| self.book().has_room_for(&[*card]));
        self.open_account_of(now, card, row, fx);
        let account = self.book().account(row);
        let mut entry = Entry::new(Kind::Subsidy, now.stamp, self.clock.state);
        entry.card = card;
        entry.about = Some(begin);
        entry.enter_account(account.id, account.held, Figures { subsidy: -account.held.subsidy, ..Figures::ZERO });
        entry.detail.push("clear", CLEAR_ONE);
        self.append(&mut entry, now, fx);
        true
    }

    fn end_clearing(&mut self, now: &Now, begin: EntrySeq, fx: &mut Effects) {
        let Clearing { accounts, sum, .. } = self.clearing_of(begin).unwrap_or_default();
        let mut entry = Entry::new(Kind::Subsidy, now.stamp, self.clock.state);
        entry.about = Some(begin);
        entry.detail.push("clear", CLEAR_END);
        entry.detail.push("accounts", accounts);
        entry.detail.push("sum", sum);
        let seq = self.append(&mut entry, now, fx);
        info!("clear begin={begin} end={seq} accounts={accounts} sum={sum}");
    }
}
