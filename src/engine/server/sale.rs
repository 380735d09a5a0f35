//! Inquiries and sales: 102, 103, 104, 128 (design.md, sections 6 and 8).

use log::debug;

use super::outbox::About;
use super::texts::{DisplayLine, Values, fill};
use super::{Context, Effects, Room, Server};
use crate::engine::book::{FrameId, Outcome};
use crate::engine::gbk;
use crate::engine::model::card::CardRow;
use crate::engine::model::rules::DeviceRule;
use crate::engine::model::text::text_from_lossy;
use crate::engine::model::{AccountId, CardNo, DeviceTime, Entry, EntrySeq, Figures, Kind, Money, Now, Reason};
use crate::engine::policy::{self, Basis, Charge};
use crate::engine::wire::{Amount, Code, Reply, RequestNo};

/// The sale that a frame asks for.
struct Sale<'a> {
    /// The kind of its entry if it is approved.
    kind: Kind,
    /// The card that pays; `None` if the table has no such card or no card has the code.
    row: Option<CardRow>,
    /// The amount asked for: zero in count mode.
    asked: Money,
    basis: Basis,
    /// The amount as received, for the 008.
    amount: &'a [u8],
    /// The card or command number as received.
    subject: &'a [u8],
    /// The field after the time in a 103.
    mode: Option<&'a str>,
    /// The scanned code, if no card has it.
    foreign_code: Option<&'a [u8]>,
}

impl Sale<'_> {
    /// Adds the last words of the entry's detail.
    fn end_detail(&self, entry: &mut Entry) {
        if let Some(mode) = self.mode {
            entry.detail.push("mode", mode);
        }
        if let Some(code) = self.foreign_code {
            // Keeps four characters: enough to trace a payment, not to identify a person
            // (design.md, section 7).
            entry.detail.push("qr", format_args!("****{}", tail(code)));
        }
    }
}

/// The last four characters of a code.
fn tail(code: &[u8]) -> heapless::String<16> {
    let mut last = heapless::Deque::<char, 4>::new();
    gbk::for_each_character(code, |character| {
        if last.is_full() {
            last.pop_front();
        }
        last.push_back(character).expect("the oldest was removed");
    });
    last.iter().collect()
}

impl Server<'_> {
    /// 102: shows the account's figures; nothing moves.
    pub(super) fn on_inquiry(&mut self, context: &Context, card: CardNo, fx: &mut Effects) {
        let mut entry = context.draft(Kind::Decline);
        entry.card = Some(card.padded());
        let id = FrameId::new(Code::Inquiry.number(), &entry, Money::ZERO);
        let row = self.card_row(card);
        let (reason, figures) = match self.first_answer(context, &id) {
            Some(first) => {
                self.counters.duplicates += 1;
                (first.outcome.reason, first.outcome.figures)
            }
            None => {
                let today = self.business_time(&context.now, context.clock, None).date();
                let checked = match &row {
                    Some(row) => policy::check_card(&self.tables.book, row, today),
                    None => Err(Reason::UnknownCard),
                };
                let account = row.as_ref().map(|row| row.account).or_else(|| self.tables.book.account_of_card(card));
                let figures = account.map_or(Figures::default(), |row| self.tables.book.account(row).figures());
                if let Some(reason) = checked.err() {
                    entry.detail.push("reason", reason.word());
                }
                (entry.balance, entry.subsidy_left, entry.uses_left) =
                    (Some(figures.balance), Some(figures.subsidy), Some(figures.uses));
                self.remember(context, id, &entry);
                if row.is_none() {
                    self.note_unknown(context, card);
                }
                self.log_inquiry(context, card, checked.err());
                (checked.err(), figures)
            }
        };
        let texts = &self.rules.texts;
        let reason = reason.map_or(texts.card_ok.as_slice(), |reason| texts.reason(reason));
        let mut text = DisplayLine::new();
        fill(
            &mut text,
            &texts.inquiry,
            &Values { card: card.as_bytes(), figures, reason, ..self.names(context, row.as_ref()) },
        );
        let trailer = texts.display_inquiry;
        let reply = Reply::Show { machine: context.frame.machine, text: &text, trailer: trailer.as_bytes() };
        self.command(context, &reply, About { subject: card.as_bytes(), ..About::default() }, fx);
    }

    fn log_inquiry(&mut self, context: &Context, card: CardNo, reason: Option<Reason>) {
        let (machine, frame) = (context.frame.machine, context.frame.seq);
        match reason {
            Some(Reason::UnknownCard) if self.may_log(&context.now, *context.peer.source.ip()) => {
                log::info!("unknown-card machine={machine} card={} frame={frame}", card.masked());
            }
            _ => debug!("inquiry machine={machine} card={} frame={frame}", card.masked()),
        }
    }

    /// 103: a sale of an amount, or, if it is 0.00, of a meal.
    pub(super) fn on_charge(
        &mut self,
        context: &Context,
        card: CardNo,
        amount: Amount,
        time: &DeviceTime,
        mode: Option<&str>,
        fx: &mut Effects,
    ) {
        let is_count = amount.money == Money::ZERO;
        let sale = Sale {
            kind: if is_count { Kind::Meal } else { Kind::Charge },
            row: self.card_row(card),
            asked: amount.money,
            basis: if is_count { Basis::Count } else { Basis::Amount(amount.money) },
            amount: amount.raw,
            subject: card.as_bytes(),
            mode,
            foreign_code: None,
        };
        let mut entry = context.draft(sale.kind);
        context.date(&mut entry, time);
        entry.card = Some(card.padded());
        self.on_card_sale(context, card, &mut entry, &sale, fx);
    }

    /// 104: a sale of a meal.
    pub(super) fn on_meal(&mut self, context: &Context, card: CardNo, time: &DeviceTime, fx: &mut Effects) {
        let sale = Sale {
            kind: Kind::Meal,
            row: self.card_row(card),
            asked: Money::ZERO,
            basis: Basis::Count,
            amount: b"0.00",
            subject: card.as_bytes(),
            mode: None,
            foreign_code: None,
        };
        let mut entry = context.draft(Kind::Meal);
        context.date(&mut entry, time);
        entry.card = Some(card.padded());
        self.on_card_sale(context, card, &mut entry, &sale, fx);
    }

    /// 128: the card with the scanned member code pays.
    pub(super) fn on_scan(
        &mut self,
        context: &Context,
        command: &RequestNo,
        amount: Amount,
        time: &DeviceTime,
        code: &[u8],
        fx: &mut Effects,
    ) {
        let card = self.tables.cards.find_code(code).filter(|_| !code.is_empty()).map(|row| row.card);
        let row = card.and_then(|card| self.card_row(CardNo::from_value(card)));
        let foreign_code = if row.is_none() { Some(code) } else { None };
        let mut entry = context.draft(Kind::Scan);
        context.date(&mut entry, time);
        entry.card = row.as_ref().map(|row| CardNo::from_value(row.card));
        entry.slot = Some(text_from_lossy(command.as_bytes()));
        let sale = Sale {
            kind: Kind::Scan,
            row,
            asked: amount.money,
            basis: Basis::Amount(amount.money),
            amount: amount.raw,
            subject: command.as_bytes(),
            mode: None,
            foreign_code,
        };
        let id = FrameId::new(Code::Scan.number(), &entry, sale.asked);
        if let Some(first) = self.first_answer(context, &id) {
            // The command number identifies the sale, not the code: another card's code may have
            // been scanned since.
            let payer = self.tables.book.payer(first.outcome.sale).and_then(|card| self.card_row(card));
            let sale = Sale { row: payer.or(sale.row), ..sale };
            self.answer_again(context, &sale, &first.outcome, fx);
            return;
        }
        let doubted = entry.card.and_then(|card| self.sale_in_doubt(context, card, &sale));
        match doubted {
            Some(doubted) => self.approve_known(context, &mut entry, &sale, Kind::Repeat, doubted, fx),
            None => self.decide(context, &mut entry, &sale, fx),
        }
    }

    /// Judges a sale by card: duplicate, the same sale as a 105, doubt, then the ladder, whatever
    /// the room (design.md, sections 6 and 12).
    fn on_card_sale(&mut self, context: &Context, card: CardNo, entry: &mut Entry, sale: &Sale, fx: &mut Effects) {
        let frame = context.frame;
        let serial = frame.serial.as_ref();
        let code = frame.code.number();
        let id = FrameId::new(code, entry, sale.asked);
        if let Some(first) = self.first_answer(context, &id) {
            self.answer_again(context, sale, &first.outcome, fx);
            return;
        }
        let book = &self.tables.book;
        let at = entry.believed_at().filter(|_| self.room != Room::Nothing);
        if let Some(offline) = at.and_then(|at| book.offline_at(frame.machine, serial, card, sale.asked, at)) {
            if book.is_voided(offline) {
                self.decline(context, entry, sale, Reason::Voided, fx);
                return;
            }
            self.approve_known(context, entry, sale, Kind::Matched, offline, fx);
        } else if let Some(doubted) = self.sale_in_doubt(context, card, sale) {
            self.approve_known(context, entry, sale, Kind::Repeat, doubted, fx);
        } else {
            self.decide(context, entry, sale, fx);
        }
    }

    /// The sale in doubt that this one tries again: of a confirming device, with the same card and
    /// amount, heard 0 to `same_sale_s` after its last try by our own clock. Of several the one
    /// that was tried last.
    fn sale_in_doubt(&self, context: &Context, card: CardNo, sale: &Sale) -> Option<EntrySeq> {
        let (frame, book) = (context.frame, &self.tables.book);
        let window_ms = u64::from(self.rules.same_sale_s) * 1000;
        // A code pays an amount; zero is not a meal.
        let is_nothing = sale.kind == Kind::Scan && sale.asked == Money::ZERO;
        if window_ms == 0 || is_nothing || !book.is_confirming(frame.machine) {
            return None;
        }
        let doubts = book.doubts_of(frame.machine, frame.serial.as_ref(), card, sale.asked);
        let ages = doubts.map(|doubt| (self.age_ms(&doubt.tried, context), core::cmp::Reverse(doubt.seq)));
        ages.min().filter(|(age_ms, _)| *age_ms <= window_ms).map(|(_, seq)| seq.0)
    }

    fn decide(&mut self, context: &Context, entry: &mut Entry, sale: &Sale, fx: &mut Effects) {
        if self.room != Room::Open {
            self.counters.full += 1;
            self.decline(context, entry, sale, Reason::Full, fx);
            return;
        }
        let at = self.business_time(&context.now, context.clock, context.at_device());
        let charge = match (&sale.row, sale.kind) {
            (Some(row), _) => {
                let device = self.device_rule(context.device);
                policy::decide_sale(&self.tables.book, &self.rules, device, row, sale.basis, at)
            }
            (None, Kind::Scan) => Err(Reason::ForeignCode),
            (None, _) => Err(Reason::UnknownCard),
        };
        let effect = charge.map(|charge| Effect::of(&charge));
        if let (Err(Reason::UnknownCard), Some(card)) = (&effect, entry.card) {
            self.note_unknown(context, card);
        }
        match (effect, &sale.row) {
            (Ok(effect), Some(row)) if self.has_room_for(entry.card) => {
                self.approve(context, entry, sale, row.account, &effect, fx);
            }
            (Ok(_), _) => {
                self.counters.full += 1;
                self.decline(context, entry, sale, Reason::Full, fx);
            }
            (Err(reason), _) => self.decline(context, entry, sale, reason, fx),
        }
    }

    /// Whether the book has the card or room for it. Its account has a place already.
    fn has_room_for(&self, card: Option<CardNo>) -> bool {
        self.tables.book.has_room_for(card.as_slice())
    }

    fn approve(
        &mut self,
        context: &Context,
        entry: &mut Entry,
        sale: &Sale,
        account: u32,
        effect: &Effect,
        fx: &mut Effects,
    ) {
        let card = entry.card.expect("an approved sale has a card");
        self.open_account(&context.now, card, account, fx);
        if sale.kind == Kind::Meal {
            entry.detail.push("code", context.frame.code.number());
        }
        effect.enter(entry, self.tables.book.account(account));
        sale.end_detail(entry);
        let figures = entry.after().unwrap_or_default();
        let seq = self.append(entry, &context.now, fx);
        self.counters.approved += 1;
        self.tables.devices.get_mut(context.device).tally.approved += 1;
        let (machine, frame) = (context.frame.machine, context.frame.seq);
        debug!(
            "{} machine={machine} card={} frame={frame} seq={seq} amount={}",
            sale.kind.word(),
            card.masked(),
            effect.taken.money()
        );
        self.send_approval(context, sale, figures, Some(seq), fx);
    }

    /// Approves a sale again that was booked before by another frame, without effect.
    fn approve_known(
        &mut self,
        context: &Context,
        entry: &mut Entry,
        sale: &Sale,
        kind: Kind,
        first: EntrySeq,
        fx: &mut Effects,
    ) {
        entry.kind = kind;
        entry.about = Some(first);
        entry.detail.push("code", context.frame.code.number());
        entry.detail.push("asked", sale.asked);
        let card = entry.card.expect("a card sale has a card");
        let account = sale.row.as_ref().map(|row| row.account).or_else(|| self.tables.book.account_of_card(card));
        let figures = self.enter_unmoved(entry, account);
        sale.end_detail(entry);
        let seq = self.append(entry, &context.now, fx);
        self.counters.recognized += 1;
        let (machine, frame) = (context.frame.machine, context.frame.seq);
        debug!("{} machine={machine} card={} frame={frame} seq={seq} ref={first}", kind.word(), card.masked());
        self.send_approval(context, sale, figures, Some(first), fx);
    }

    fn decline(&mut self, context: &Context, entry: &mut Entry, sale: &Sale, reason: Reason, fx: &mut Effects) {
        entry.kind = Kind::Decline;
        entry.detail.push("reason", reason.word());
        entry.detail.push("code", context.frame.code.number());
        entry.detail.push("asked", sale.asked);
        let known = || self.tables.book.account_of_card(entry.card?);
        let account = sale.row.as_ref().map(|row| row.account).or_else(known);
        let figures = self.enter_unmoved(entry, account);
        sale.end_detail(entry);
        self.counters.declined += 1;
        self.counters.count_reason(reason);
        self.tables.devices.get_mut(context.device).tally.refused += 1;
        self.log_refusal(context, entry, reason);
        self.append_limited(context, entry, fx);
        self.send_refusal(context, sale, figures, reason, fx);
    }

    /// Fills in the figures of an entry that moves nothing, and returns those for the display.
    /// Until an account is opened, its balance in the ledger lacks the opening figures: `left=`
    /// then has what the holder has.
    pub(super) fn enter_unmoved(&self, entry: &mut Entry, account: Option<u32>) -> Figures {
        let Some(row) = account else { return Figures::default() };
        let account = self.tables.book.account(row);
        entry.enter_account(account.id, account.held, Figures::ZERO);
        let figures = account.figures();
        if account.unopened().is_some() {
            entry.detail.push("left", figures);
        }
        figures
    }

    /// Writes the `open` entry, just before the first entry that moves an account of the table.
    pub(super) fn open_account(&mut self, now: &Now, card: CardNo, row: u32, fx: &mut Effects) {
        self.open_account_of(now, Some(card), row, fx);
    }

    /// As [`Server::open_account`], also where no card is at hand.
    pub(super) fn open_account_of(&mut self, now: &Now, card: Option<CardNo>, row: u32, fx: &mut Effects) {
        let account = self.tables.book.account(row);
        let Some(opening) = account.unopened() else { return };
        let mut entry = Entry::new(Kind::Open, now.stamp, self.clock.state);
        entry.card = card.map(|card| card.padded());
        entry.enter_account(account.id, account.held, opening);
        self.append(&mut entry, now, fx);
    }

    /// Sends the same decision and figures again, without an entry.
    fn answer_again(&mut self, context: &Context, sale: &Sale, outcome: &Outcome, fx: &mut Effects) {
        self.counters.duplicates += 1;
        debug!("duplicate machine={} frame={}", context.frame.machine, context.frame.seq);
        match outcome.reason {
            Some(reason) => self.send_refusal(context, sale, outcome.figures, reason, fx),
            None if self.tables.book.is_voided(outcome.sale) => {
                let known = sale.row.as_ref().map(|row| row.account);
                let figures = known.map_or(outcome.figures, |row| self.tables.book.account(row).figures());
                self.send_refusal(context, sale, figures, Reason::Voided, fx);
            }
            None => {
                // A sale that its device has confirmed needs no second confirmation.
                let is_open = self.tables.book.is_in_doubt(outcome.sale);
                self.send_approval(context, sale, outcome.figures, is_open.then_some(outcome.sale), fx);
            }
        }
    }

    fn send_approval(
        &mut self,
        context: &Context,
        sale: &Sale,
        figures: Figures,
        about: Option<EntrySeq>,
        fx: &mut Effects,
    ) {
        let texts = &self.rules.texts;
        let template = match sale.kind {
            Kind::Meal => &texts.meal_ok,
            Kind::Scan => &texts.scan_ok,
            _ => &texts.charge_ok,
        };
        let mut text = DisplayLine::new();
        fill(&mut text, template, &self.values(context, sale, figures, &texts.card_ok));
        let trailer = texts.display_ok;
        let machine = context.frame.machine;
        let reply = Reply::Approve {
            machine,
            subject: sale.subject,
            amount: sale.amount,
            text: &text,
            trailer: trailer.as_bytes(),
        };
        let is_settled = about.is_none();
        self.command(
            context,
            &reply,
            About { entry: about, subject: sale.subject, is_settled, ..About::default() },
            fx,
        );
    }

    fn send_refusal(&mut self, context: &Context, sale: &Sale, figures: Figures, reason: Reason, fx: &mut Effects) {
        let texts = &self.rules.texts;
        let mut text = DisplayLine::new();
        fill(&mut text, &texts.declined, &self.values(context, sale, figures, texts.reason(reason)));
        let trailer = texts.display_declined;
        let machine = context.frame.machine;
        let reply = Reply::Decline { machine, subject: sale.subject, text: &text, trailer: trailer.as_bytes() };
        self.command(context, &reply, About { subject: sale.subject, ..About::default() }, fx);
    }

    fn values<'a>(&'a self, context: &'a Context, sale: &'a Sale, figures: Figures, reason: &'a [u8]) -> Values<'a> {
        let names = self.names(context, sale.row.as_ref());
        Values { card: sale.subject, figures, amount: sale.amount, reason, ..names }
    }

    pub(super) fn device_rule(&self, device: usize) -> Option<&DeviceRule> {
        self.tables.devices.get(device).rule.map(|rule| &self.rules.devices[usize::from(rule)])
    }
}

/// A sale's effect on its account, without a borrow of the rules.
pub(super) struct Effect {
    taken: Figures,
    day: crate::engine::model::Date,
    period: Option<AccountId>,
}

impl Effect {
    pub(super) fn of(charge: &Charge) -> Self {
        Self { taken: charge.taken, day: charge.day, period: charge.period.map(|period| period.name) }
    }

    /// Fills in the figures of an entry that moves `account`, which must be opened.
    pub(super) fn enter(&self, entry: &mut Entry, account: &crate::engine::book::Account) {
        entry.enter_account(account.id, account.held, -self.taken);
        entry.detail.push_day(self.day);
        if let Some(period) = &self.period {
            entry.detail.push("period", period);
        }
    }
}
