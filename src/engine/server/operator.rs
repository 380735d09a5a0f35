//! Operators' orders: judged like sales, entered once, and recognized by their key (design.md,
//! sections 5, 6 and 7).
//!
//! *Invariants:* an order leads to its entry, after the `open` of its account and the other `link`s
//! if they are due; a refused order changes nothing. The entry has the order's name, so the same
//! order with that name finds the first result, also after a restart. The caller answers only when
//! the entry is durable.
//!
//! | | allowed for | changes |
//! |---|---|---|
//! | `topup` `subsidy` | a card of the table, or one that replaced it, that is not closed | the cash; the subsidy |
//! | `payout` `adjust` | any card with an account, also closed or gone from the table | the cash; a payout never below zero |
//! | `subsidy` with `clear=` | any card with an account | empties the subsidy purse ([`super::clear`]: all purses) |
//! | `adjust` about a stored sale | the card of a sale entered without effect, once | the cash, or nothing |
//! | `void` of a sale | a booked sale that is not voided in full | the purses that paid, and the day of the sale's card; in full: ends its doubt |
//! | `void` of a credit | a `topup` or `subsidy` that is not voided in full | its purse, not below zero |
//! | `status` | any card of the table or the ledger that is not closed | one mark; the strictest of the marks and the table's status applies |
//! | `link` | an active, unused card, for one that is not closed | the old card is closed, the new one carries on; frozen, if the old one was |
//! | `remote` | a door of the configuration, of a board that was heard since the start | sends a 050 |

use log::info;

use super::order_refused::{Refused, USES_MAX};
use super::outbox::{About, Addressee};
use super::texts::{DisplayLine, Values, fill};
use super::tools::sign;
use super::{Effects, Room, Server, access};
use crate::engine::book::{CLEAR_ONE, ContentHash, REISSUED, UsedName, VIA_ACCOUNT, Voided, account_in};
use crate::engine::gbk;
use crate::engine::limits::{LINKS_MAX, RENAMED_CARDS_MAX};
use crate::engine::model::card::CardRow;
use crate::engine::model::rules::UnknownDevices;
use crate::engine::model::{
    AccountId, Act, Balance, CardNo, CardStatus, Detail, Done, Entry, EntrySeq, Figures, Key, Kind, MachineNo, Mark,
    Money, Now, Order, Subject, UnitNo, Way, is_own_account,
};
use crate::engine::policy;
use crate::engine::wire::Reply;

/// The effect of an order that nothing forbids.
pub(super) struct Plan {
    kind: Kind,
    card: Option<CardNo>,
    /// The account that the order concerns.
    account: Option<u32>,
    effect: Figures,
    about: Option<EntrySeq>,
    /// The entry's words besides its key, the operator and the note.
    pub(super) detail: Detail,
    /// The board's row, and its door.
    door: Option<(usize, UnitNo)>,
    /// The account to which a `link` moves something.
    transfer: Option<Transfer>,
}

/// What a `link` moves to which account.
#[derive(Clone, Copy)]
struct Transfer {
    to: AccountId,
    kind: TransferKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TransferKind {
    /// Only the card: its account's figures stay.
    Card,
    /// All figures of the account, and its cards.
    Purse,
    /// The card's number, to another holder.
    Number,
}

impl Plan {
    pub(super) fn new(kind: Kind, card: Option<CardNo>) -> Self {
        Self {
            kind,
            card,
            account: None,
            effect: Figures::ZERO,
            about: None,
            detail: Detail::default(),
            door: None,
            transfer: None,
        }
    }

    /// Ends a void of `back` of what was `left`: the uses go with the last part, and what is left
    /// then is named.
    fn end_void(&mut self, left: Money, back: Money, uses: i32) {
        if back == left {
            self.effect.uses = uses;
        } else {
            self.detail.push("rest", (Balance::from(left) - back.into()).above_zero());
        }
    }

    /// Notes in the entry that the order names the account and no card. So it has the same name
    /// when it comes again, whatever cards are on the account then.
    fn via(mut self, subject: &Subject) -> Self {
        if matches!(subject, Subject::Account(_)) {
            self.detail.push("via", VIA_ACCOUNT);
        }
        self
    }
}

/// The card that an order names to move its account.
fn card_moved(act: &Act) -> Option<CardNo> {
    match act {
        Act::Move { subject: Subject::Card(card), .. } | Act::Clear { subject: Subject::Card(card) } => Some(*card),
        Act::Move { .. } | Act::Clear { .. } | Act::ClearAll | Act::Void { .. } | Act::Settle { .. } => None,
        Act::Mark { .. } | Act::Link { .. } | Act::Account { .. } | Act::Rename { .. } => None,
        Act::Reissue { .. } | Act::Open { .. } => None,
    }
}

impl Server<'_> {
    /// Executes an order, once. `sale`: the entry that a void or a settlement names, if the ledger
    /// has it. The result counts only when the entries in `fx` are durable.
    ///
    /// # Errors
    /// Why the order is refused. Nothing has changed then.
    pub fn obey(&mut self, now: &Now, order: &Order, sale: Option<&Entry>, fx: &mut Effects) -> Result<Done, Refused> {
        self.watch_clock(now, fx);
        if !self.is_proven {
            // Not even an order that seems to be done is certain then.
            return Err(Refused::Full);
        }
        if let Some(done) = self.done_before(order, sale)? {
            return Ok(done);
        }
        let plan = self.plan(order, sale)?;
        Ok(self.carry_out(now, order, &plan, fx))
    }

    /// Checks whether [`Server::obey`] would accept an order, since all rows of a file are checked
    /// before the first is executed. Returns the entry of one that was done before.
    ///
    /// # Errors
    /// Why the order would be refused.
    pub fn would_obey(&self, order: &Order, sale: Option<&Entry>) -> Result<Option<EntrySeq>, Refused> {
        // This is checked also for an order that was done: the file's author expects another holder
        // and must learn it before anything is done. `obey` itself answers such an order without
        // this check, because its first answer may have been lost.
        self.check_holder(order)?;
        match self.done_before(order, sale)? {
            _ if !self.is_proven => Err(Refused::Full),
            Some(done) => Ok(Some(done.seq)),
            None => self.plan(order, sale).map(|_| None),
        }
    }

    /// The table's row for a card: its own, or, until the table has one, that of the card which it
    /// replaced. The ledger's account replaces the row's.
    pub(crate) fn card_row(&self, card: CardNo) -> Option<CardRow> {
        if let Some(row) = self.tables.cards.find(card) {
            let own = self.book().account_of_card(card);
            return Some(match own {
                Some(account) => row.serving(card, account),
                None => row,
            });
        }
        let (_, account) = self.book().link_of(card)?;
        let old = self.book().predecessors(card).find_map(|was| self.tables.cards.find(was))?;
        let mut row = old.serving(card, account);
        // If the table calls the old card lost or closed, that stops only the old card; a frozen
        // holder stays frozen with another card.
        if row.terms.status != CardStatus::Frozen {
            row.terms.status = CardStatus::Active;
        }
        Some(row)
    }

    /// A card's status by the table and by the ledger, of which the stricter applies. `None`:
    /// neither has the card.
    pub(crate) fn statuses_of(&self, card: CardNo) -> Option<(CardStatus, CardStatus)> {
        let row = self.card_row(card);
        let is_known = row.is_some() || self.book().knows_card(card);
        let table = row.map_or(CardStatus::Active, |row| row.terms.status);
        is_known.then(|| (table, self.book().card_status(card)))
    }

    /// The row of the account that a card moves: by the ledger, or else by the table.
    pub fn account_of(&self, card: CardNo) -> Option<u32> {
        self.card_row(card).map(|row| row.account).or_else(|| self.book().account_of_card(card))
    }

    /// As [`Server::account_of`], for a card that the table has on the account in the row `named`.
    pub(super) fn account_of_row(&self, card: CardNo, named: u32) -> u32 {
        self.book().account_of_card(card).unwrap_or(named)
    }

    /// The result of an earlier order with the same name and content.
    fn done_before(&self, order: &Order, sale: Option<&Entry>) -> Result<Option<Done>, Refused> {
        let account = match &order.act {
            Act::Move { subject, .. } | Act::Clear { subject } => self.account_of_subject(subject),
            Act::Mark { card, .. } | Act::Link { new: card, .. } | Act::Reissue { card } | Act::Settle { card, .. } => {
                self.account_of(*card)
            }
            Act::Void { .. } => sale.and_then(|sale| self.book().purse_of(sale.account.as_deref()?, sale.seq)),
            Act::Account { account, .. } => self.book().account_row(account),
            Act::Rename { new, .. } => self.book().account_row(new),
            Act::Open { .. } | Act::ClearAll => None,
        };
        if let Some(seq) = self.book().is_named_otherwise(order) {
            return Err(Refused::NamedOtherwise { seq });
        }
        let Some((used, content)) = self.named_before(order) else {
            let has_forgotten = self.book().has_forgotten_names(order);
            return if has_forgotten { Err(Refused::NameForgotten) } else { Ok(None) };
        };
        if used.content != content {
            return Err(match &order.key {
                Key::Own(_) => Refused::KeyUsed { seq: used.seq },
                Key::For { .. } => Refused::NameUsed { seq: used.seq },
            });
        }
        let id = account.map(|account| self.book().account(account).id).filter(|id| used.is_of(id));
        // The card may have been put on another account since.
        let named = || self.book().accounts().iter().map(|account| account.id).find(|id| used.is_of(id));
        let id = id.or_else(|| account.and_then(|_| named()));
        let account = id.zip(used.figures);
        let card = match &order.act {
            Act::Move { subject, .. } | Act::Clear { subject } => self.card_of_subject(subject, &order.holder),
            Act::Mark { card, .. }
            | Act::Link { new: card, .. }
            | Act::Reissue { card }
            | Act::Settle { card, .. }
            | Act::Account { card, .. } => Some(*card),
            Act::Void { .. } => sale.and_then(|sale| sale.card),
            Act::Rename { new, .. } => self.book().account_row(new).and_then(|row| self.cards_of(row).next()),
            Act::Open { .. } | Act::ClearAll => None,
        };
        let undone = self.book().undone(used.seq);
        Ok(Some(Done { seq: used.seq, is_again: true, account, card, undone, clearing: self.clearing_of(used.seq) }))
    }

    /// The earlier order with the same name, and the content that it must have to be the same one.
    /// A row of a file whose card replaced another is that card's row too: the file may have been
    /// corrected since.
    fn named_before(&self, order: &Order) -> Option<(&UsedName, ContentHash)> {
        if let Some(used) = self.book().used_name(order) {
            return Some((used, ContentHash::of(&order.act)));
        }
        let (Key::For { .. }, Some(card)) = (&order.key, card_moved(&order.act)) else { return None };
        self.book().predecessors(card).find_map(|was| {
            let mut before = order.clone();
            if let Act::Move { subject, .. } | Act::Clear { subject } = &mut before.act {
                *subject = Subject::Card(was);
            }
            Some((self.book().used_name(&before)?, ContentHash::of(&before.act)))
        })
    }

    fn holdings(&self, account: Option<u32>) -> Option<(AccountId, Figures)> {
        let account = self.book().account(account?);
        Some((account.id, account.figures()))
    }

    /// The row of the account that an order moves.
    pub(crate) fn account_of_subject(&self, subject: &Subject) -> Option<u32> {
        match subject {
            Subject::Card(card) => self.account_of(*card),
            Subject::Account(account) => self.book().account_row(account),
        }
    }

    /// The card that stands in an order's entry: the one that it names, or one of the account that
    /// it names. Of several cards the first that is not closed, and one with the expected holder
    /// before others.
    fn card_of_subject(&self, subject: &Subject, holder: &[u8]) -> Option<CardNo> {
        let account = match subject {
            Subject::Card(card) => return Some(*card),
            Subject::Account(account) => self.book().account_row(account)?,
        };
        let today = |card: CardNo| self.book().successors(card).last().unwrap_or(card);
        let is_closed =
            |card: CardNo| self.statuses_of(card).is_none_or(|(table, ledger)| table.max(ledger) == CardStatus::Closed);
        let is_other = |card: CardNo| self.names_of(card, holder).is_some();
        // The fast path: a file of thousands of accounts must not look through the table for each.
        let named = self.book().account(account).named_by().map(today);
        let is_fit = |card: &CardNo| self.account_of(*card) == Some(account) && !is_closed(*card) && !is_other(*card);
        if let Some(card) = named.filter(is_fit) {
            return Some(card);
        }
        let listed = self.cards_of(account).map(today).min_by_key(|card| (is_other(*card), is_closed(*card)));
        listed.or_else(|| self.book().card_on(account))
    }

    // ---------------------------------------------------------------- what speaks against it

    fn plan(&self, order: &Order, sale: Option<&Entry>) -> Result<Plan, Refused> {
        if self.room == Room::Nothing {
            return Err(Refused::Full);
        }
        self.check_holder(order)?;
        match &order.act {
            Act::Move { way, subject, amount, uses } => {
                let card = self.card_to_move(subject, &order.holder)?;
                self.plan_move(*way, subject, card, *amount, *uses)
            }
            Act::Clear { subject } => self.plan_clear(subject, self.card_to_move(subject, &order.holder)?),
            Act::ClearAll => self.plan_clear_all(),
            Act::Void { sale: seq, amount, card } => self.plan_void(*seq, sale, *amount, *card),
            Act::Settle { claim, card, amount, uses } => self.plan_settle(*claim, sale, *card, *amount, *uses),
            Act::Mark { card, mark } => self.plan_mark(*card, *mark),
            Act::Link { old, new } => self.plan_link(*old, *new),
            Act::Account { card, account } => self.plan_account(*card, account),
            Act::Rename { old, new } => self.plan_rename(old, new),
            Act::Reissue { card } => self.plan_reissue(*card),
            Act::Open { machine, door } => self.plan_open(*machine, *door),
        }
    }

    /// Checks that the table names the holder whom the order expects. Blanks do not count, and a
    /// missing name passes.
    fn check_holder(&self, order: &Order) -> Result<(), Refused> {
        let card = match &order.act {
            Act::Move { subject, .. } | Act::Clear { subject } => self.card_of_subject(subject, &order.holder),
            Act::Mark { card, .. } | Act::Account { card, .. } => Some(*card),
            Act::Void { .. } | Act::Settle { .. } | Act::ClearAll => None,
            Act::Link { .. } | Act::Rename { .. } | Act::Reissue { .. } | Act::Open { .. } => None,
        };
        let Some((card, names)) = card.and_then(|card| Some((card, self.names_of(card, &order.holder)?))) else {
            return Ok(());
        };
        let (table, told) = names;
        Err(Refused::OtherHolder { card, table, told })
    }

    /// The holder's name by the table and the one that was told, if they differ.
    fn names_of(&self, card: CardNo, told: &[u8]) -> Option<(String, String)> {
        let row = self.card_row(card).filter(|_| !told.is_empty())?;
        let letters = |name: &[u8]| gbk::decode(name).chars().filter(|next| !next.is_whitespace()).collect::<String>();
        let (table, told) = (letters(self.tables.cards.name(&row)), letters(told));
        (!table.is_empty() && table != told).then_some((table, told))
    }

    /// The card that stands in the entry of an order that moves an account.
    fn card_to_move(&self, subject: &Subject, holder: &[u8]) -> Result<CardNo, Refused> {
        self.card_of_subject(subject, holder).ok_or(match subject {
            Subject::Card(card) => Refused::UnknownCard { card: *card },
            Subject::Account(account) => Refused::NoSuchAccount { account: *account },
        })
    }

    fn plan_move(
        &self,
        way: Way,
        subject: &Subject,
        card: CardNo,
        amount: Balance,
        uses: i32,
    ) -> Result<Plan, Refused> {
        if way == Way::Subsidy {
            self.check_not_clearing()?;
        }
        let plan = self.plan_movement(way, card, amount, uses, false)?;
        Ok(plan.via(subject))
    }

    /// Empties one subsidy purse. An empty one is entered too: what it paid before is not given
    /// back any more.
    fn plan_clear(&self, subject: &Subject, card: CardNo) -> Result<Plan, Refused> {
        self.check_not_clearing()?;
        let account = self.account_to_move(card)?;
        let subsidy = self.book().account(account).figures().subsidy;
        self.has_room_for_cards(&[card])?;
        let effect = Figures { subsidy: -subsidy, ..Figures::ZERO };
        let mut plan = Plan { account: Some(account), effect, ..Plan::new(Kind::Subsidy, Some(card)) };
        plan.detail.push("clear", CLEAR_ONE);
        Ok(plan.via(subject))
    }

    /// Subsidy orders wait while all purses are emptied: what they pay in now would go too.
    pub(super) fn check_not_clearing(&self) -> Result<(), Refused> {
        match self.clearing() {
            Some(clearing) => Err(Refused::Busy { seq: clearing.begin }),
            None => Ok(()),
        }
    }

    fn plan_settle(
        &self,
        claim: EntrySeq,
        entry: Option<&Entry>,
        card: CardNo,
        amount: Balance,
        uses: i32,
    ) -> Result<Plan, Refused> {
        let entry = entry.filter(|entry| entry.seq == claim).ok_or(Refused::NoSuchEntry { seq: claim })?;
        if entry.kind != Kind::Offline || !entry.detail.has("claimed") {
            return Err(Refused::NotAClaim { seq: claim, kind: entry.kind });
        }
        // If the entry has no readable card, the operator decides.
        if let Some(its) = entry.card.filter(|its| !self.is_or_replaced(card, *its)) {
            return Err(Refused::OtherCard { seq: claim, card: its });
        }
        if self.book().is_claim_settled(claim) {
            return Err(Refused::AlreadySettled { seq: claim });
        }
        // Zero is allowed: the sale may be a repeat of a booked one.
        let plan = self.plan_movement(Way::Adjust, card, amount, uses, true)?;
        Ok(Plan { about: Some(claim), ..plan })
    }

    /// Whether a card is this one, or replaced it.
    fn is_or_replaced(&self, card: CardNo, its: CardNo) -> bool {
        card.value() == its.value() || self.book().predecessors(card).any(|was| was.value() == its.value())
    }

    fn plan_movement(
        &self,
        way: Way,
        card: CardNo,
        amount: Balance,
        uses: i32,
        may_be_nothing: bool,
    ) -> Result<Plan, Refused> {
        let (table, ledger) = self.statuses_of(card).ok_or(Refused::UnknownCard { card })?;
        let account = self.account_to_move(card)?;
        if matches!(way, Way::TopUp | Way::Subsidy) {
            if self.card_row(card).is_none() {
                return Err(Refused::NotInTable { card });
            }
            if table.max(ledger) == CardStatus::Closed {
                return Err(Refused::Closed { card });
            }
        }
        if amount == Balance::ZERO && uses == 0 && !may_be_nothing {
            return Err(Refused::Zero);
        }
        if way != Way::Adjust && (amount < Balance::ZERO || uses < 0) {
            return Err(Refused::Negative);
        }
        let fen_max = u64::from(Money::MAX.fen());
        if amount.fen().unsigned_abs() > fen_max || uses.unsigned_abs() > USES_MAX.unsigned_abs() {
            return Err(Refused::TooMuch);
        }
        let figures = self.book().account(account).figures();
        let is_over = (amount > Balance::ZERO && amount > figures.balance) || (uses > 0 && uses > figures.uses);
        if way == Way::PayOut && is_over {
            return Err(Refused::Overdraw { figures });
        }
        let effect = way.booked(amount, uses);
        if figures.uses.checked_add(effect.uses).is_none() {
            return Err(Refused::TooMuch);
        }
        self.has_room_for_cards(&[card])?;
        Ok(Plan { account: Some(account), effect, ..Plan::new(way.kind(), Some(card)) })
    }

    /// The row of the account that an order about this card moves.
    fn account_to_move(&self, card: CardNo) -> Result<u32, Refused> {
        let account = self.account_of(card).ok_or(Refused::UnknownCard { card })?;
        match self.book().successor(card) {
            Some(successor) => Err(Refused::Replaced { card, successor }),
            None => Ok(account),
        }
    }

    fn plan_void(
        &self,
        seq: EntrySeq,
        sale: Option<&Entry>,
        amount: Option<Money>,
        card: Option<CardNo>,
    ) -> Result<Plan, Refused> {
        let sale = sale.filter(|sale| sale.seq == seq).ok_or(Refused::NoSuchEntry { seq })?;
        let no_sale = Refused::NotASale { seq, kind: sale.kind, about: sale.about };
        let is_credit = matches!(sale.kind, Kind::TopUp | Kind::Subsidy) && !sale.detail.has("clear");
        if sale.sales() <= 0 && !is_credit {
            return Err(no_sale);
        }
        let (Some(paid_by), Some(id)) = (sale.card, &sale.account) else { return Err(no_sale) };
        if card.is_some_and(|card| !self.is_or_replaced(card, paid_by)) {
            return Err(Refused::OtherCard { seq, card: paid_by });
        }
        let voided = self.book().voided(seq).ok_or(Refused::TooOld { seq })?;
        if voided.is_whole {
            return Err(Refused::AlreadyVoided { seq });
        }
        // The money goes back to the account that paid, whatever its name is today.
        let account = self.book().purse_of(id, seq).ok_or(Refused::PurseUnknown { seq })?;
        if amount == Some(Money::ZERO) {
            return Err(Refused::Zero);
        }
        self.has_room_for_cards(&[paid_by])?;
        let mut plan = Plan { account: Some(account), ..Plan::new(Kind::Void, Some(paid_by)) };
        plan.about = Some(seq);
        let is_cleared = self.book().is_cleared_since(id, seq);
        if is_credit {
            self.plan_void_of_credit(&mut plan, sale, &voided, amount, is_cleared)?;
        } else {
            self.plan_void_of_sale(&mut plan, sale, &voided, amount, is_cleared)?;
        }
        Ok(plan)
    }

    /// Gives a sale back to the purses that paid, cash first. Subsidy that was taken before the
    /// last clear is not given back, because the clear would have taken it.
    fn plan_void_of_sale(
        &self,
        plan: &mut Plan,
        sale: &Entry,
        voided: &Voided,
        amount: Option<Money>,
        is_cleared: bool,
    ) -> Result<(), Refused> {
        let seq = sale.seq;
        let taken = -sale.effect();
        let (cash_left, subsidy_left) = (taken.balance - voided.cash, taken.subsidy - voided.subsidy);
        let left = (cash_left + subsidy_left).above_zero();
        let back = amount.unwrap_or(left);
        if back > left {
            return Err(Refused::MoreThanLeft { seq, left });
        }
        let cash = cash_left.min(back.into());
        let subsidy = Balance::from(back) - cash;
        plan.effect = Figures { balance: cash, subsidy, uses: 0 };
        plan.detail.push("day", sale.detail.day().unwrap_or(sale.time.civil().date()));
        if let Some(period) = sale.detail.get("period") {
            let name: heapless::Vec<u8, 48> = period.bytes().take(48).collect();
            plan.detail.push("period", core::str::from_utf8(&name).unwrap_or_default());
        }
        if sale.is_count_mode() {
            plan.detail.push("mode", 1);
        }
        self.enter_former(plan, sale);
        if let Some(asked) = amount {
            plan.detail.push("asked", asked);
        }
        if let Some(word) = sale.detail.get("invalid").filter(|_| !sale.is_counted()) {
            // A sale that counted for no day is taken back from none.
            plan.detail.push_word("invalid", word);
        }
        if is_cleared && subsidy > Balance::ZERO {
            plan.effect.subsidy = Balance::ZERO;
            plan.detail.push("cleared", subsidy);
        }
        plan.end_void(left, back, taken.uses);
        Ok(())
    }

    /// Notes that what is undone was the former holder's, if the card's number was given to another
    /// one since: it must not concern the present one.
    fn enter_former(&self, plan: &mut Plan, undone: &Entry) {
        let former = undone.detail.get("former").and_then(|former| former.0.parse().ok().map(EntrySeq));
        if let Some(former) = former.or_else(|| self.book().reissued_since(undone.card?, undone.seq)) {
            plan.detail.push("former", former);
        }
    }

    /// Takes a top-up or a subsidy back, at most what of its purse is above zero.
    fn plan_void_of_credit(
        &self,
        plan: &mut Plan,
        credit: &Entry,
        voided: &Voided,
        amount: Option<Money>,
        is_cleared: bool,
    ) -> Result<(), Refused> {
        let seq = credit.seq;
        let is_subsidy = credit.kind == Kind::Subsidy;
        if is_subsidy {
            self.check_not_clearing()?;
        }
        let figures = plan.account.map_or(Figures::ZERO, |row| self.book().account(row).figures());
        let given = credit.effect();
        if given.uses > figures.uses.max(0) {
            return Err(Refused::Overdraw { figures });
        }
        if is_subsidy && is_cleared && given.subsidy > Balance::ZERO {
            return Err(Refused::ClearedSince { seq });
        }
        let left = (given.money() + voided.cash + voided.subsidy).above_zero();
        let purse = if is_subsidy { figures.subsidy } else { figures.balance };
        let there = purse.above_zero().min(left);
        let back = amount.unwrap_or(there);
        if back > left {
            return Err(Refused::MoreThanLeft { seq, left });
        }
        if back > there || (there == Money::ZERO && left > Money::ZERO) {
            return Err(Refused::Overdraw { figures });
        }
        plan.effect = if is_subsidy {
            Figures { subsidy: -Balance::from(back), ..Figures::ZERO }
        } else {
            Figures { balance: -Balance::from(back), ..Figures::ZERO }
        };
        plan.detail.push("of", credit.kind.word());
        self.enter_former(plan, credit);
        if let Some(asked) = amount {
            plan.detail.push("asked", asked);
        }
        plan.end_void(left, back, given.uses.saturating_neg());
        Ok(())
    }

    fn plan_mark(&self, card: CardNo, mark: Mark) -> Result<Plan, Refused> {
        let (table, _) = self.statuses_of(card).ok_or(Refused::UnknownCard { card })?;
        if let Some(successor) = self.book().successor(card) {
            return Err(Refused::Replaced { card, successor });
        }
        let marks = self.book().marks_of(card);
        let status = mark.status();
        if marks.has(CardStatus::Closed) && mark != Mark::Closed {
            return Err(Refused::ClosedForEver { card });
        }
        if mark.is_end() {
            self.check_end(card, status, table)?;
        }
        self.has_room_for_cards(&[card])?;
        let mut plan = Plan { account: self.account_of(card), ..Plan::new(Kind::Status, Some(card)) };
        plan.detail.push("status", mark.word());
        if let Some(row) = plan.account.filter(|_| mark == Mark::Closed && self.book().account_of_card(card).is_none())
        {
            // Only this records the holder, and the number may be given to another one later.
            plan.detail.push("from", self.book().account(row).id);
        }
        if let Some((_, figures)) = self.holdings(plan.account) {
            // The figures of the answer, for the same key again.
            plan.detail.push("left", figures);
        }
        Ok(plan)
    }

    /// Checks that an order may end a mark of this status. `found` ends only `lost`, `unfreeze`
    /// ends only `frozen`, and neither changes the table's status. A mark that is not set may be
    /// ended too, if nothing else stops the card.
    fn check_end(&self, card: CardNo, status: CardStatus, table: CardStatus) -> Result<(), Refused> {
        let marks = self.book().marks_of(card);
        let stands = marks.has(status);
        if table == status
            || table == CardStatus::Closed
            || (!stands && marks.has(CardStatus::Active) && table > CardStatus::Active)
        {
            return Err(Refused::TableSays { card, status: table });
        }
        if !stands && !marks.has(CardStatus::Active) {
            return Err(Refused::OtherMark { card, status: marks.status() });
        }
        Ok(())
    }

    fn plan_link(&self, old: CardNo, new: CardNo) -> Result<Plan, Refused> {
        if old == new {
            return Err(Refused::SameCard);
        }
        let account = self.account_of(old).ok_or(Refused::UnknownCard { card: old })?;
        if let Some(successor) = self.book().successor(old) {
            return Err(Refused::Replaced { card: old, successor });
        }
        if let Some(successor) = self.book().successor(new) {
            return Err(Refused::Replaced { card: new, successor });
        }
        let (table, marks) =
            (self.statuses_of(old).map_or(CardStatus::Active, |(table, _)| table), self.book().marks_of(old));
        if marks.has(CardStatus::Closed) || table == CardStatus::Closed {
            return Err(Refused::OldCardClosed { card: old });
        }
        let status = self.statuses_of(new).map_or(CardStatus::Active, |(table, ledger)| table.max(ledger));
        if status > CardStatus::Active {
            return Err(Refused::NewCardStopped { card: new, status });
        }
        self.check_unused(new, account)?;
        let chain = core::iter::once(old).chain(self.book().predecessors(old));
        if chain.take_while(|card| self.tables.cards.find(*card).is_none()).count() >= LINKS_MAX {
            return Err(Refused::TooManyLinks);
        }
        self.has_room_for_cards(&[old, new])?;
        let mut plan = Plan { account: Some(account), ..Plan::new(Kind::Link, Some(new)) };
        plan.detail.push("was", old.padded());
        if marks.has(CardStatus::Frozen) || table == CardStatus::Frozen {
            plan.detail.push("status", CardStatus::Frozen.word());
        }
        Ok(plan)
    }

    /// Checks that an account is of the table's kind, not a card's own, and has room.
    fn check_name(&self, account: &AccountId) -> Result<(), Refused> {
        if is_own_account(account) {
            return Err(Refused::OwnAccount { account: *account });
        }
        if self.book().has_room_for_account(account) { Ok(()) } else { Err(Refused::TooManyCards) }
    }

    fn plan_account(&self, card: CardNo, account: &AccountId) -> Result<Plan, Refused> {
        // What moves to a purse that is emptied already would stay there.
        self.check_not_clearing()?;
        self.statuses_of(card).ok_or(Refused::UnknownCard { card })?;
        if let Some(successor) = self.book().successor(card) {
            return Err(Refused::Replaced { card, successor });
        }
        self.check_name(account)?;
        let from = self.account_of(card);
        let own = from.map(|row| self.book().account(row).id);
        // If only the table has the card on this account, the order makes it last.
        if own == Some(*account) && self.book().account_of_card(card).is_some() {
            return Err(Refused::SameAccount { card, account: *account });
        }
        self.has_room_for_cards(&[card])?;
        let is_own = own.is_some_and(|own| is_own_account(&own));
        let kind = if is_own { TransferKind::Purse } else { TransferKind::Card };
        Ok(Plan { account: from, transfer: Some(Transfer { to: *account, kind }), ..Plan::new(Kind::Link, Some(card)) })
    }

    fn plan_rename(&self, old: &AccountId, new: &AccountId) -> Result<Plan, Refused> {
        self.check_not_clearing()?;
        let book = self.book();
        let is_known = |row: &u32| book.account(*row).is_in_use() || self.cards_of(*row).next().is_some();
        let row = book.account_row(old).filter(is_known).ok_or(Refused::NoSuchAccount { account: *old })?;
        if old == new {
            return Err(Refused::AccountTaken { account: *new });
        }
        self.check_name(new)?;
        let is_taken = |row: &u32| book.account(*row).is_in_use() || self.cards_of(*row).next().is_some();
        if book.account_row(new).is_some_and(|row| is_taken(&row)) {
            return Err(Refused::AccountTaken { account: *new });
        }
        if self.unbound_cards(row).count() > RENAMED_CARDS_MAX {
            return Err(Refused::TooManyToRename { account: *old });
        }
        let cards: heapless::Vec<CardNo, { RENAMED_CARDS_MAX + 1 }> = self.unbound_cards(row).collect();
        self.has_room_for_cards(&cards)?;
        Ok(Plan {
            account: Some(row),
            transfer: Some(Transfer { to: *new, kind: TransferKind::Purse }),
            ..Plan::new(Kind::Link, None)
        })
    }

    fn plan_reissue(&self, card: CardNo) -> Result<Plan, Refused> {
        // The new holder's opening subsidy would go too.
        self.check_not_clearing()?;
        self.statuses_of(card).ok_or(Refused::UnknownCard { card })?;
        let row = self.tables.cards.find(card).ok_or(Refused::NotInTable { card })?;
        let book = self.book();
        let named = book.account(row.account);
        let former = book
            .account_of_card(card)
            .or_else(|| book.successor(card).and_then(|successor| book.account_of_card(successor)));
        // The table may still use a former name of the account.
        let is_same = match former {
            Some(former) => former == row.account || book.is_former_name(row.account, former),
            None => !book.was_closed_on_another(card, row.account),
        };
        let own = card.own_account();
        let is_own = named.id == own;
        // A card's own account always stays its first holder's, and so do its opening figures.
        if is_same || (is_own && named.has_moved()) {
            return Err(Refused::SameHolder { card, account: named.id });
        }
        if named.is_in_use() {
            let may_be_own = !book.account_row(&own).is_some_and(|row| book.account(row).has_moved());
            return Err(Refused::AnothersAccount { card, account: named.id, may_be_own });
        }
        if let Some(successor) = book.successor(card).filter(|successor| self.tables.cards.find(*successor).is_none()) {
            return Err(Refused::SuccessorNotInTable { card, successor });
        }
        self.has_room_for_cards(&[card])?;
        Ok(Plan {
            account: former,
            transfer: Some(Transfer { to: named.id, kind: TransferKind::Number }),
            ..Plan::new(Kind::Link, Some(card))
        })
    }

    /// The cards of the table that are on an account.
    fn cards_of(&self, account: u32) -> impl Iterator<Item = CardNo> {
        let rows = self.tables.cards.numbers();
        rows.filter(move |(card, named)| self.account_of_row(*card, *named) == account).map(|(card, _)| card)
    }

    /// The cards that only the table has on an account: they never moved money.
    fn unbound_cards(&self, account: u32) -> impl Iterator<Item = CardNo> {
        self.cards_of(account).filter(|card| self.book().account_of_card(*card).is_none())
    }

    /// Checks that a card that will carry on `account` has no money or account of its own.
    fn check_unused(&self, card: CardNo, account: u32) -> Result<(), Refused> {
        let book = self.book();
        let is_other = |row: &u32| *row != account;
        if let Some(row) = book.account_of_card(card).filter(is_other) {
            return Err(Refused::NewCardHasAccount { card, account: book.account(row).id });
        }
        let Some(row) = self.tables.cards.account_of(card).filter(is_other) else { return Ok(()) };
        let own = book.account(row);
        let is_default = own.id == card.own_account();
        let is_shared = || self.tables.cards.numbers().any(|(other, named)| named == row && other != card);
        if own.has_moved() || !is_default || is_shared() {
            return Err(Refused::NewCardHasAccount { card, account: own.id });
        }
        match own.figures() {
            figures if figures == Figures::ZERO => Ok(()),
            figures => Err(Refused::NewCardHasFigures { card, figures }),
        }
    }

    fn plan_open(&self, machine: MachineNo, door: UnitNo) -> Result<Plan, Refused> {
        let device = self.device_seen(machine)?;
        if policy::door_rules(&self.rules, machine, door).next().is_none() {
            return Err(Refused::NoDoor { machine, door });
        }
        Ok(Plan { door: Some((device, door)), ..Plan::new(Kind::Remote, None) })
    }

    /// The row of a device that was served since the start, so that its address is known.
    pub(super) fn device_seen(&self, machine: MachineNo) -> Result<usize, Refused> {
        let is_registered = self.rules.device(machine).is_some();
        if !is_registered && self.rules.unknown_devices == UnknownDevices::Quarantine {
            return Err(Refused::Quarantined { machine });
        }
        let device = self.tables.devices.find(machine);
        let is_served = |device: &usize| self.tables.devices.get(*device).served.is_some();
        device.filter(is_served).ok_or(Refused::NotSeen { machine })
    }

    fn has_room_for_cards(&self, cards: &[CardNo]) -> Result<(), Refused> {
        if self.book().has_room_for(cards) { Ok(()) } else { Err(Refused::TooManyCards) }
    }

    // ---------------------------------------------------------------- doing it

    fn carry_out(&mut self, now: &Now, order: &Order, plan: &Plan, fx: &mut Effects) -> Done {
        let mut entry = Entry::new(plan.kind, now.stamp, self.clock.state);
        entry.card = plan.card.map(|card| card.padded());
        entry.about = plan.about;
        // The words that must be complete come first; a long note is cut.
        match &order.key {
            Key::Own(key) => entry.detail.push("key", key),
            Key::For { name, nth } => {
                entry.detail.push("for", name);
                if *nth > 1 {
                    entry.detail.push("nth", nth);
                }
            }
        }
        for (key, value) in plan.detail.words() {
            entry.detail.push_word(key, value);
        }
        self.enter_day(&mut entry);
        if let (Some(card), Some(row), None) =
            (plan.card, plan.account.filter(|_| plan.kind != Kind::Status), plan.transfer)
        {
            self.open_account(now, card, row, fx);
            let account = self.book().account(row);
            entry.enter_account(account.id, account.held, plan.effect);
        }
        if let Some((device, door)) = plan.door {
            let device = self.tables.devices.get(device);
            entry.machine = Some(device.machine);
            entry.serial.clone_from(&device.serial);
            entry.slot = Some(access::slot_of(door, door));
        }
        if let Some(sale) = plan.about.filter(|_| entry.sales() < 0) {
            self.end_approval(sale);
        }
        let (kind, by) = (plan.kind.word(), order.by.as_str());
        if let Some(transfer) = &plan.transfer {
            self.transfer(now, order, plan, transfer, &mut entry, fx);
        }
        sign(&mut entry, &order.by, &order.note);
        let seq = self.append(&mut entry, now, fx);
        match plan.card {
            Some(card) if plan.effect.money() != Balance::ZERO => {
                let (card, amount, subsidy) = (card.masked(), plan.effect.balance, plan.effect.subsidy);
                info!("order kind={kind} seq={seq} card={card} amount={amount} subsidy={subsidy} by={by:?}");
            }
            Some(card) => info!("order kind={kind} seq={seq} card={} by={by:?}", card.masked()),
            None => info!("order kind={kind} seq={seq} by={by:?}"),
        }
        if let Some((device, door)) = plan.door {
            self.send_open(now, device, door, seq, fx);
        }
        let account = plan.transfer.and_then(|transfer| self.book().account_row(&transfer.to)).or(plan.account);
        let card = plan.card.or_else(|| account.and_then(|row| self.cards_of(row).next()));
        if matches!(order.act, Act::ClearAll) {
            self.begin_clearing(now);
        }
        let undone = self.book().undone(seq);
        Done { seq, is_again: false, account: self.holdings(account), card, undone, clearing: self.clearing_of(seq) }
    }

    /// Appends the entries before the `link` that moves a card or an account's figures, and fills
    /// in that `link`. Opening figures are entered on their own account before anything moves, so
    /// that they count once.
    fn transfer(
        &mut self,
        now: &Now,
        order: &Order,
        plan: &Plan,
        transfer: &Transfer,
        entry: &mut Entry,
        fx: &mut Effects,
    ) {
        let from = plan.account;
        let cards: heapless::Vec<CardNo, RENAMED_CARDS_MAX> = match (plan.card, from) {
            (None, Some(from)) => self.unbound_cards(from).take(RENAMED_CARDS_MAX).collect(),
            (Some(_), _) | (None, None) => heapless::Vec::new(),
        };
        let opener = plan.card.or_else(|| from.and_then(|from| self.cards_of(from).next()));
        if let (Some(card), Some(from)) = (opener, from.filter(|_| transfer.kind != TransferKind::Number)) {
            self.open_account(now, card, from, fx);
        }
        for card in cards {
            let mut bound = Entry::new(Kind::Link, now.stamp, self.clock.state);
            bound.card = Some(card.padded());
            self.enter_unmoved(&mut bound, from);
            self.append(&mut bound, now, fx);
        }
        let to = self.tables.book.account_for_link(&transfer.to).expect("the plan checked that there is room");
        if let Some(card) = plan.card {
            let is_named = self.tables.cards.find(card).is_some_and(|row| row.account == to);
            let is_first = from.is_none_or(|from| !self.book().account(from).is_opened());
            if transfer.kind == TransferKind::Number || (transfer.kind == TransferKind::Purse && is_named && is_first) {
                self.tables.book.open_held_back(to);
            }
            self.open_account(now, card, to, fx);
        }
        let mut first = None;
        let from_account = from.map(|from| self.book().account(from).clone());
        if let (Some(own), TransferKind::Purse) = (&from_account, transfer.kind)
            && own.held != Figures::ZERO
        {
            let mut out = *entry;
            out.enter_account(own.id, own.held, -own.held);
            out.detail.push("to", transfer.to);
            sign(&mut out, &order.by, &order.note);
            first = Some(self.append(&mut out, now, fx));
        }
        let moved = from_account.as_ref().filter(|_| first.is_some()).map_or(Figures::ZERO, |own| own.held);
        self.enter_transfer(entry, to, moved, first);
        if let Some(own) = &from_account {
            entry.detail.push("from", own.id);
        }
        if transfer.kind == TransferKind::Number {
            entry.detail.push("status", REISSUED);
        }
    }

    /// Fills in the entry that adds the figures of one account to another.
    fn enter_transfer(&self, entry: &mut Entry, to: u32, moved: Figures, first: Option<EntrySeq>) {
        let account = self.book().account(to);
        entry.enter_account(account.id, account.held, moved);
        entry.about = first;
    }

    /// At a start, before anything else, writes the second of the two entries that move an
    /// account's figures, if the power failed between them.
    pub(super) fn finish_halfway(&mut self, now: &Now, fx: &mut Effects) {
        let Some(first) = self.book().halfway().copied() else { return };
        let to = account_in(&first, "to");
        let Some(to) = to.and_then(|to| self.tables.book.account_for_link(&to)) else { return };
        let mut entry = Entry::new(Kind::Link, now.stamp, self.clock.state);
        entry.card = first.card;
        for (key, value) in first.detail.words() {
            match (key, first.account) {
                ("to", Some(from)) => entry.detail.push("from", from),
                ("to", None) => (),
                _ => entry.detail.push_word(key, value),
            }
        }
        self.enter_transfer(&mut entry, to, -first.effect(), Some(first.seq));
        let seq = self.append(&mut entry, now, fx);
        info!(
            "order kind=link seq={seq} ref={}: completes the move between two accounts that the last stop interrupted",
            first.seq
        );
    }

    /// Sends a 050 without a request. Which reader it must name is unknown; the door's own number
    /// is most likely (inferred).
    fn send_open(&mut self, now: &Now, device: usize, door: UnitNo, seq: EntrySeq, fx: &mut Effects) {
        let machine = self.tables.devices.get(device).machine;
        let rule = policy::door_rules(&self.rules, machine, door).next();
        let (relay_s, left_open_s) = access::numbers_of(rule);
        let name = machine.as_bytes();
        let mut text = DisplayLine::new();
        fill(&mut text, &self.rules.texts.admitted, &Values { device: name, ..Values::default() });
        let trailer = self.rules.texts.display_admitted;
        let reply = Reply::Admit {
            machine,
            card: b"",
            text: &text,
            trailer: trailer.as_bytes(),
            reader: door,
            door,
            relay_s,
            left_open_s,
        };
        let about = About { entry: Some(seq), reader: Some(door.value()), ..About::default() };
        self.command_to(&Addressee::unasked(now, device, self.tables.devices.get(device).peer), &reply, about, fx);
    }
}
