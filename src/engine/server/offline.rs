//! 105: a sale that the terminal made offline (design.md, sections 6 and 8).
//!
//! The sale has happened, so no rule refuses it. Every record gets its 011, since the terminal
//! sends its next record only then. A record that cannot be booked is entered without effect, for
//! the operator.

use log::{debug, info, warn};

use super::entries::TIMELESS_MS;
use super::outbox::About;
use super::sale::Effect;
use super::{Context, Effects, Room, Server};
use crate::engine::book::{CardHistory, Doubt, OfflineId, RecordMatch};
use crate::engine::limits::CARDS_MAX;
use crate::engine::model::card::GroupSet;
use crate::engine::model::text::text_of_gbk;
use crate::engine::model::{CardNo, Civil, Detail, Entry, EntrySeq, Kind, Money, Reason};
use crate::engine::policy::{self, Basis};
use crate::engine::wire::{self, INVALID_TIME, OfflineSale, Reply};

/// The online sale that a 105 repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnlineSale {
    /// The sale counts: the record is matched with it.
    Sale(EntrySeq),
    /// The sale was voided in full: its record must not charge it again.
    Voided(EntrySeq),
}

impl Server<'_> {
    /// Books the sale once and releases the record.
    pub(super) fn on_offline(&mut self, context: &Context, sale: &OfflineSale, fx: &mut Effects) {
        self.end_release(&context.now, context.device, fx);
        let mut entry = Self::draft_offline(context, sale);
        let id = OfflineId::of(&entry);
        let known = self.tables.book.offline(&id, |at| self.age_ms(at, context) < TIMELESS_MS);
        let entered = match known {
            Some(RecordMatch::Same(first)) => {
                self.counters.duplicates += 1;
                debug!("duplicate machine={} frame={} ref={first}", context.frame.machine, context.frame.seq);
                Some(first)
            }
            Some(RecordMatch::Maybe(first)) => self.enter_offline(context, sale, &mut entry, Some(first), fx),
            None => self.enter_offline(context, sale, &mut entry, None, fx),
        };
        if let Some(seq) = entered.filter(|_| self.is_proven) {
            self.release(context, sale, seq, fx);
        }
    }

    /// The entry with all that the frame says, which gives the record's identity.
    fn draft_offline(context: &Context, sale: &OfflineSale) -> Entry {
        let mut entry = context.draft(Kind::Offline);
        context.date(&mut entry, &sale.time);
        entry.card = sale.card.map(|card| card.padded());
        entry.slot = Some(sale.record);
        match readable(sale) {
            Some((_, _, amount)) => entry.detail.push("asked", amount),
            None => entry.detail.push("claimed", text_of_gbk::<32>(sale.amount_raw)),
        }
        if sale.card.is_none() {
            entry.detail.push("card", text_of_gbk::<32>(sale.card_raw));
        }
        match sale.basis {
            Some(wire::CountedIn::Amount) => (),
            Some(wire::CountedIn::Count) => entry.detail.push("mode", 1),
            None => entry.detail.push("mode", "unreadable"),
        }
        entry
    }

    /// Enters the sale; `None` if there is no room, so that the terminal must keep it. `again`: an
    /// equal record that this one may repeat.
    fn enter_offline(
        &mut self,
        context: &Context,
        sale: &OfflineSale,
        entry: &mut Entry,
        again: Option<EntrySeq>,
        fx: &mut Effects,
    ) -> Option<EntrySeq> {
        if self.room != Room::Open {
            self.counters.full += 1;
            return None;
        }
        if let Some(first) = again {
            // Booking it could charge one sale twice, and dropping it could lose one: a person
            // decides.
            entry.detail = as_claimed(&entry.detail);
            entry.detail.push("again", first);
            return Some(self.list_offline(context, sale, entry, fx));
        }
        let Some((card, basis, amount)) = readable(sale) else {
            return Some(self.list_offline(context, sale, entry, fx));
        };
        let asked = match basis {
            wire::CountedIn::Amount => amount,
            wire::CountedIn::Count => Money::ZERO,
        };
        // This comes before the check of `offline_max`: an operator would book a listed sale by
        // hand, a second time.
        let online = self.online_sale_of(context, card, asked, entry.believed_at());
        if let Some(OnlineSale::Voided(first)) = online {
            entry.detail = as_claimed(&entry.detail);
            entry.detail.push_plain("reason", Reason::Voided.word());
            entry.about = Some(first);
            return Some(self.list_offline(context, sale, entry, fx));
        }
        if online.is_none() && amount > self.rules.offline_max {
            entry.detail = as_claimed(&entry.detail);
            return Some(self.list_offline(context, sale, entry, fx));
        }
        // A sale from before the card's number was reissued is the former holder's.
        let former = entry.believed_at().and_then(|at| self.book().former_holder(card, at));
        let row = self.card_row(card).filter(|_| former.is_none());
        if row.is_none() && former.is_none() {
            self.note_unknown(context, card);
        }
        if let Some((since, _)) = former {
            entry.detail.push("former", since);
        }
        let known = former.map_or_else(|| self.account_of(card), |(_, account)| account);
        if let Some(OnlineSale::Sale(first)) = online {
            entry.kind = Kind::Matched;
            entry.about = Some(first);
            entry.detail.push("code", context.frame.code.number());
            self.enter_unmoved(entry, known);
            let seq = self.append(entry, &context.now, fx);
            self.counters.recognized += 1;
            debug!("matched machine={} card={} seq={seq} ref={first}", context.frame.machine, card.masked());
            return Some(seq);
        }
        let name = match known {
            Some(row) => self.tables.book.account(row).id,
            None => card.own_account(),
        };
        // Anybody can send unknown cards, so up to half the places are kept for the table's cards.
        let reserved = if row.is_some() { 0 } else { self.tables.cards.len().min(CARDS_MAX / 2) };
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
        let believed = context.at_device();
        let at = believed.unwrap_or_else(|| self.business_time(&context.now, context.clock, None));
        let groups = row.as_ref().map_or(GroupSet::default(), |row| row.terms.groups);
        let basis = match basis {
            wire::CountedIn::Amount => Basis::Amount(asked),
            wire::CountedIn::Count => Basis::Count,
        };
        let (device, is_timed) = (self.device_rule(context.device), believed.is_some());
        // Of the former holder's meals nothing is known any more.
        let history = match former {
            Some(_) => CardHistory::default(),
            None => self.tables.book.history_of(card.value()),
        };
        let figures = self.tables.book.account(account).figures();
        let charge = policy::charge_offline((figures, &history), &self.rules, device, groups, basis, at, is_timed);
        let effect = Effect::of(&charge);
        let judged = match &row {
            Some(row) => policy::judge_offline(&self.tables.book, &self.rules, device, row, basis, at, is_timed),
            // The former holder's rules are not known any more.
            None if former.is_some() => Ok(()),
            None => Err(Reason::UnknownCard),
        };
        if let Err(reason) = judged {
            entry.detail.push("reason", reason.word());
        }
        self.open_account(&context.now, card, account, fx);
        effect.enter(entry, self.tables.book.account(account));
        let seq = self.append(entry, &context.now, fx);
        self.counters.offline += 1;
        debug!("offline machine={} card={} seq={seq}", context.frame.machine, card.masked());
        Some(seq)
    }

    /// Enters a record without effect: it is unreadable or above `offline_max`, its sale was
    /// voided, or it may repeat another record.
    fn list_offline(&mut self, context: &Context, sale: &OfflineSale, entry: &mut Entry, fx: &mut Effects) -> EntrySeq {
        self.counters.offline_claimed += 1;
        let account = sale.card.and_then(|card| self.account_of(card));
        self.enter_unmoved(entry, account);
        let seq = self.append(entry, &context.now, fx);
        if self.may_log(&context.now, *context.peer.source.ip()) {
            info!("offline-not-booked machine={} seq={seq}", context.frame.machine);
        }
        seq
    }

    /// The online sale that this 105 repeats: the one of the same card, amount and believed time;
    /// or, for a confirming device, the nearest sale in doubt within `offline_match_s`.
    fn online_sale_of(&self, context: &Context, card: CardNo, asked: Money, at: Option<Civil>) -> Option<OnlineSale> {
        let (machine, serial) = (context.frame.machine, context.frame.serial.as_ref());
        let book = &self.tables.book;
        if let Some(same) = at.and_then(|at| book.sale_at(machine, serial, card, asked, at)) {
            return Some(if book.is_voided(same) { OnlineSale::Voided(same) } else { OnlineSale::Sale(same) });
        }
        let window_ms = u64::from(self.rules.offline_match_s) * 1000;
        if window_ms == 0 || !book.is_confirming(machine) {
            return None;
        }
        let doubts = book.doubts_of(machine, serial, card, asked);
        let distances = doubts.map(|doubt| (self.distance_ms(context, doubt, at), doubt.seq));
        distances.filter(|(distance_ms, _)| *distance_ms <= window_ms).min().map(|(_, seq)| OnlineSale::Sale(seq))
    }

    /// Milliseconds between a record of this time and a sale in doubt or its last try: by the
    /// device's times if both are believed, else by the age of the last try.
    fn distance_ms(&self, context: &Context, doubt: &Doubt, at: Option<Civil>) -> u64 {
        let tries = [doubt.at, doubt.tried_at].into_iter().flatten();
        let distances = at.into_iter().flat_map(|at| tries.clone().map(move |tried| (tried, at)));
        let by_device =
            distances.map(|(tried, at)| self.distance_s(tried, at, &context.now).saturating_mul(1000)).min();
        by_device.unwrap_or_else(|| self.age_ms(&doubt.tried, context))
    }

    /// Sends a 011, which echoes the record, so that the terminal deletes it and sends the next.
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

/// Card, mode and amount; `None` if one of them is unreadable.
fn readable(sale: &OfflineSale) -> Option<(CardNo, wire::CountedIn, Money)> {
    Some((sale.card?, sale.basis?, sale.amount?))
}

/// The detail of a sale that is entered without effect.
fn as_claimed(detail: &Detail) -> Detail {
    let mut claimed = Detail::default();
    for (key, value) in detail.words() {
        claimed.push_word(if key == "asked" { "claimed" } else { key }, value);
    }
    claimed
}
