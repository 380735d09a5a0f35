//! 105: a sale that the terminal booked itself (design.md, sections 6 and 8).
//!
//! It has happened, so no rule refuses it, and whatever a terminal holds gets its 011, or the records behind it
//! would wait for ever: what cannot be read is entered without effect, for the operator.

use log::{debug, info, warn};

use super::clock::business_time;
use super::outbox::About;
use super::sale::Effect;
use super::{Context, Effects, Room, Server};
use crate::book::OfflineId;
use crate::limits::CARDS_MAX;
use crate::model::card::GroupSet;
use crate::model::text::text_of_gbk;
use crate::model::{CardNo, Civil, Detail, Entry, EntrySeq, Kind, Money, Reason};
use crate::policy::{self, Basis};
use crate::wire::{self, INVALID_TIME, OfflineSale, Reply};

/// A record older than this, or ahead of the clock by more than a day, counts for today: its clock was wrong.
const PLAUSIBLE_S: i64 = 31 * 86_400;
const AHEAD_S: i64 = 86_400;

impl Server<'_> {
    /// Books the sale once, and gives leave to delete the record.
    pub(super) fn on_offline(&mut self, context: &Context, sale: &OfflineSale, fx: &mut Effects) {
        self.end_release(&context.now, context.device, fx);
        let mut entry = Self::draft_offline(context, sale);
        let id = OfflineId::of(&entry);
        let entered = match self.tables.book.offline(&id, context.frame.seq) {
            Some(first) => {
                self.counters.duplicates += 1;
                debug!("duplicate machine={} frame={} ref={first}", context.frame.machine, context.frame.seq);
                Some(first)
            }
            None => self.enter_offline(context, sale, &mut entry, fx),
        };
        if let Some(seq) = entered.filter(|_| self.is_proven) {
            self.release(context, sale, seq, fx);
        }
    }

    /// The entry as far as the frame alone tells: its identity is read off it.
    fn draft_offline(context: &Context, sale: &OfflineSale) -> Entry {
        let mut entry = context.draft(Kind::Offline);
        entry.card = sale.card.map(|card| card.padded());
        entry.device_time = Some(sale.time);
        entry.slot = Some(sale.record);
        match readable(sale) {
            Some((_, _, amount)) => entry.detail.push("asked", amount),
            None => entry.detail.push("claimed", text_of_gbk::<32>(sale.amount_raw)),
        }
        if sale.card.is_none() {
            entry.detail.push("card", text_of_gbk::<32>(sale.card_raw));
        }
        match sale.basis {
            Some(wire::Basis::Amount) => (),
            Some(wire::Basis::Count) => entry.detail.push("mode", 1),
            None => entry.detail.push("mode", "unreadable"),
        }
        if sale.time.civil.is_none() {
            entry.detail.push("invalid", "time");
        }
        entry
    }

    /// Enters the sale; `None` if there is no room, and the terminal must keep it.
    fn enter_offline(
        &mut self,
        context: &Context,
        sale: &OfflineSale,
        entry: &mut Entry,
        fx: &mut Effects,
    ) -> Option<EntrySeq> {
        if self.room != Room::Open {
            self.counters.full += 1;
            return None;
        }
        let Some((card, basis, amount)) = readable(sale) else {
            return Some(self.list_offline(context, sale, entry, fx));
        };
        let asked = match basis {
            wire::Basis::Amount => amount,
            wire::Basis::Count => Money::ZERO,
        };
        // Before the look at `offline_max`: what was listed the operator would book by hand, once more.
        let behind = self.sale_behind(context, card, asked, sale.time.civil);
        if behind.is_none() && amount > self.rules.offline_max {
            entry.detail = as_claimed(&entry.detail);
            return Some(self.list_offline(context, sale, entry, fx));
        }
        let row = self.card_row(card);
        if row.is_none() {
            self.note_unknown(context, card);
        }
        let known = row.as_ref().map(|row| row.account).or_else(|| self.tables.book.account_of_card(card));
        if let Some(first) = behind {
            entry.kind = Kind::Matched;
            entry.about = Some(first);
            entry.detail.push("code", context.frame.code.number());
            self.stand_still(entry, known);
            let seq = self.append(entry, &context.now, fx);
            self.counters.recognized += 1;
            debug!("matched machine={} card={} seq={seq} ref={first}", context.frame.machine, card.masked());
            return Some(seq);
        }
        let name = match known {
            Some(row) => self.tables.book.account(row).id,
            None => card.own_account(),
        };
        // Anybody can send cards that nobody knows: half the places stay with the table's.
        let reserved = if row.is_some() { 0 } else { self.tables.cards.rows().len().min(CARDS_MAX / 2) };
        let Some(account) = self.tables.book.account_for_sale(&name, card, reserved) else {
            self.counters.full += 1;
            if self.may_log(&context.now, *context.peer.source.ip()) {
                warn!(
                    "full machine={}: no room for another account; the terminal keeps its sale",
                    context.frame.machine
                );
            }
            return None;
        };
        let at = self.time_of_offline(context, sale.time.civil);
        let groups = row.as_ref().map_or(GroupSet::default(), |row| row.terms.groups);
        let basis = match basis {
            wire::Basis::Amount => Basis::Amount(asked),
            wire::Basis::Count => Basis::Count,
        };
        let charge = policy::charge_offline(&self.rules, self.device_rule(context.device), groups, basis, at);
        let effect = Effect::of(&charge);
        let state = match &row {
            Some(row) => policy::check_card(&self.tables.book, row, at.date()),
            None => Err(Reason::UnknownCard),
        };
        if let Err(reason) = state {
            entry.detail.push("reason", reason.word());
        }
        self.open_account(&context.now, card, account, fx);
        effect.enter(entry, self.tables.book.account(account));
        let seq = self.append(entry, &context.now, fx);
        self.counters.offline += 1;
        debug!("offline machine={} card={} seq={seq}", context.frame.machine, card.masked());
        Some(seq)
    }

    /// An entry without effect: it cannot be read, or is larger than `offline_max`.
    fn list_offline(&mut self, context: &Context, sale: &OfflineSale, entry: &mut Entry, fx: &mut Effects) -> EntrySeq {
        self.counters.offline_claimed += 1;
        let account = sale.card.and_then(|card| self.account_of(card));
        self.stand_still(entry, account);
        let seq = self.append(entry, &context.now, fx);
        if self.may_log(&context.now, *context.peer.source.ip()) {
            info!("offline-not-booked machine={} seq={seq}", context.frame.machine);
        }
        seq
    }

    /// The online sale that this 105 is: of the same card, amount and valid time; or, of a device that confirms, the
    /// sale in doubt that lies nearest within `offline_match_s`.
    fn sale_behind(&self, context: &Context, card: CardNo, asked: Money, at: Option<Civil>) -> Option<EntrySeq> {
        let at = at?;
        let (machine, serial) = (context.frame.machine, context.frame.serial.as_ref());
        let book = &self.tables.book;
        let same = book.sale_at(machine, serial, card, asked, at);
        if same.is_some() {
            return same;
        }
        let window = u64::from(self.rules.offline_match_s);
        if window == 0 || !book.is_confirming(machine) {
            return None;
        }
        let doubts = book.doubts_of(machine, serial, card, asked);
        let distances = doubts.filter_map(|doubt| Some((doubt.at?.distance_s(at), doubt.seq)));
        distances.filter(|(distance, _)| *distance <= window).min().map(|(_, seq)| seq)
    }

    /// When the sale was: the device's time if it can be true, else now.
    fn time_of_offline(&self, context: &Context, at_device: Option<Civil>) -> Civil {
        let now = business_time(&self.tables.book, &context.now, context.clock, at_device);
        let is_plausible = |at: &Civil| (now.0 - PLAUSIBLE_S..=now.0 + AHEAD_S).contains(&at.0);
        at_device.filter(is_plausible).unwrap_or(now)
    }

    /// 011: echoes the record, so that the terminal drops it and sends the next.
    fn release(&mut self, context: &Context, sale: &OfflineSale, entered: EntrySeq, fx: &mut Effects) {
        let reply = Reply::Release {
            machine: context.frame.machine,
            card: sale.card_raw,
            amount: sale.amount_raw,
            time: if sale.time.civil.is_some() { sale.time_raw } else { INVALID_TIME },
            record: sale.record_raw,
        };
        self.command(context, &reply, About { entry: Some(entered), subject: sale.card_raw, ..About::default() }, fx);
    }
}

/// What is booked; `None` if any of it cannot be read.
fn readable(sale: &OfflineSale) -> Option<(CardNo, wire::Basis, Money)> {
    Some((sale.card?, sale.basis?, sale.amount?))
}

/// The detail of a sale that is listed and not booked.
fn as_claimed(detail: &Detail) -> Detail {
    let mut claimed = Detail::default();
    for (key, value) in detail.words() {
        claimed.push_word(if key == "asked" { "claimed" } else { key }, value);
    }
    claimed
}
