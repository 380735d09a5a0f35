//! An operator's requests that are not orders: 003, 009, `clock-accept`, `acknowledge`, `branch`,
//! and the unknown cards (design.md, sections 5, 9 and 11).
//!
//! None of them has a key, because doing it twice does no harm.

use log::info;

use super::order_refused::Refused;
use super::outbox::{About, Addressee};
use super::{Context, Effects, Room, Server};
use crate::engine::gbk;
use crate::engine::limits::{TEXT_LEN_MAX, UNKNOWN_CARDS_MAX};
use crate::engine::model::order::{Note, Operator};
use crate::engine::model::{CardNo, ClockState, Entry, EntrySeq, Kind, MachineNo, MissingEntries, Now, Stamp};
use crate::engine::wire::Reply;

/// A card that was used at a device and that neither the table nor a link has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCard {
    /// Its number.
    pub card: CardNo,
    /// The device that last read it.
    pub machine: MachineNo,
    /// When it was last read.
    pub at: Stamp,
    /// How often it was read since the start, or since it was last forgotten.
    pub count: u32,
}

/// Adds the operator and the note to an entry, last: a long note is cut, and the words that must be
/// complete come before it.
pub(super) fn sign(entry: &mut Entry, by: &Operator, note: &Note) {
    entry.detail.push("by", by);
    if !note.is_empty() {
        entry.detail.push("note", note);
    }
}

/// The unknown cards that were read last, newest last.
pub(super) type UnknownCards = heapless::Vec<UnknownCard, UNKNOWN_CARDS_MAX>;

impl Server<'_> {
    /// Sends a 003 to a device that was heard since the start, or to all such devices. Returns how
    /// many got one.
    ///
    /// # Errors
    /// If the clock is not believed, or the device was not heard.
    pub fn set_clock(&mut self, now: &Now, machine: Option<MachineNo>, fx: &mut Effects) -> Result<usize, Refused> {
        self.watch_clock(now, fx);
        if self.clock_state() == ClockState::Unset {
            return Err(Refused::ClockUnset);
        }
        let devices = match machine {
            Some(machine) => {
                let device = self.device_seen(machine)?;
                device..device + 1
            }
            None => 0..self.tables.devices.rows().len(),
        };
        let mut told = 0;
        for device in devices {
            if self.tables.devices.get(device).served.is_some() && fx.prompt.has_room(1) {
                self.tables.devices.get_mut(device).send_time(now, self.rules.clock_tolerance_s, fx);
                told += 1;
            }
        }
        Ok(told)
    }

    /// Sends a 009: a text for a device's display. `\n` (two characters) breaks the line.
    ///
    /// # Errors
    /// If the device was not heard since the start, or the text is empty or has a comma or a
    /// control character.
    pub fn show(&mut self, now: &Now, machine: MachineNo, text: &str, fx: &mut Effects) -> Result<(), Refused> {
        self.watch_clock(now, fx);
        let device = self.device_seen(machine)?;
        if text.trim().is_empty() || text.contains(',') || text.chars().any(char::is_control) {
            return Err(Refused::BadText);
        }
        let mut text = gbk::encode(text);
        text.truncate(gbk::cut_text(&text, TEXT_LEN_MAX));
        let device_row = self.tables.devices.get(device);
        let (machine, peer) = (device_row.machine, device_row.peer);
        let trailer = self.rules.texts.display_inquiry;
        let reply = Reply::Show { machine, text: &text, trailer: trailer.as_bytes() };
        self.command_to(&Addressee::unasked(now, device, peer), &reply, About::default(), fx);
        Ok(())
    }

    /// Accepts the clock as it is: a `clock` entry restarts the comparison with the ledger. Returns
    /// the entry, and whether the clock is believed now. A clock earlier than the build date is
    /// not, nor one that was never synchronized with `clock 'ntp'`.
    ///
    /// # Errors
    /// If nothing can be written.
    pub fn accept_clock(
        &mut self,
        now: &Now,
        by: &Operator,
        fx: &mut Effects,
    ) -> Result<(EntrySeq, ClockState), Refused> {
        self.watch_clock(now, fx);
        if self.room() == Room::Nothing {
            return Err(Refused::Full);
        }
        let (before, was) = (self.clock.state, self.book().clock_floor());
        let state = self.clock.judge(now, &self.rules, &self.tables.book, true);
        let mut entry = Entry::new(Kind::Clock, now.stamp, state);
        entry.detail.push("was", was.unwrap_or(now.stamp));
        entry.detail.push("now", now.stamp);
        entry.detail.push("by", by);
        let seq = self.append(&mut entry, now, fx);
        info!("clock accepted={} state={} by={:?}", now.stamp, state.word(), by.as_str());
        self.clock_changed(now, before, state, fx);
        Ok((seq, state))
    }

    /// Acknowledges that the ledger is an older copy, which ends the hourly message. Returns the
    /// entry, and the entries that the copy lacks.
    ///
    /// # Errors
    /// If the ledger is not an older copy, it was acknowledged before, or nothing can be written.
    pub fn accept_loss(
        &mut self,
        now: &Now,
        by: &Operator,
        note: &Note,
        fx: &mut Effects,
    ) -> Result<(EntrySeq, MissingEntries), Refused> {
        self.watch_clock(now, fx);
        let (gone, start) = self.book().rolled_back().ok_or(Refused::NotRolledBack)?;
        if self.room() == Room::Nothing {
            return Err(Refused::Full);
        }
        let mut entry = Entry::new(Kind::Acknowledge, now.stamp, self.clock_state());
        entry.about = Some(start);
        entry.detail.push("rolled_back", gone);
        sign(&mut entry, by, note);
        let seq = self.append(&mut entry, now, fx);
        info!("acknowledged rolled-back seqs={gone} seq={seq} by={:?}", by.as_str());
        Ok((seq, gone))
    }

    /// Writes the first entry of a branch that a person ordered; `parent`: as in a header. Returns
    /// its number, or 0 if nothing can be written.
    pub(crate) fn enter_branch(
        &mut self,
        now: &Now,
        by: &Operator,
        note: &Note,
        parent: impl core::fmt::Display,
        fx: &mut Effects,
    ) -> EntrySeq {
        let mut entry = Entry::new(Kind::Branch, now.stamp, self.clock_state());
        entry.detail.push("parent", parent);
        sign(&mut entry, by, note);
        self.append(&mut entry, now, fx)
    }

    /// The cards that were read last and are still unknown, newest first.
    pub fn unknown_cards(&self) -> impl Iterator<Item = &UnknownCard> {
        self.unknown_cards.iter().rev().filter(|seen| self.card_row(seen.card).is_none())
    }

    /// Notes an unknown card.
    pub(super) fn note_unknown(&mut self, context: &Context, card: CardNo) {
        let seen = &mut self.unknown_cards;
        let count = match seen.iter().position(|seen| seen.card == card) {
            Some(place) => seen.remove(place).count.saturating_add(1),
            None => 1,
        };
        if seen.is_full() {
            seen.remove(0);
        }
        let (card, machine, at) = (card.padded(), context.frame.machine, context.now.stamp);
        seen.push(UnknownCard { card, machine, at, count }).expect("the oldest was removed");
    }
}
