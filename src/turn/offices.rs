//! What offices have of the ledger (design.md, section 14).
//!
//! Segments that every office has are removed in a pause after a segment began.
//!
//! *Invariants:* an acknowledgement counts only if its entry is durable here, with this crc; it is
//! written at most once a minute an office; a failure to write it delays nothing.

use std::io;

use heapless::Vec;
use log::{info, warn};

use super::Service;
use crate::engine::limits::OFFICES_MAX;
#[cfg(test)]
use crate::engine::model::EntrySeq;
use crate::engine::model::{ClockState, Mono, Now, Wall};
use crate::ledger::acks::{Ack, AckKeeper, OfficeName};
use crate::ledger::seek::{self, Absent};
use crate::ledger::{Head, Storage};

/// A day, in milliseconds.
const DAY_MS: i64 = 86_400_000;

/// What an office has is written at most this often.
const ACK_KEPT_MS: u64 = 60_000;

/// An office, and what it has.
#[derive(Clone, Copy, Debug)]
pub struct Office {
    /// Its name.
    pub name: OfficeName,
    /// What it said last.
    pub ack: Ack,
    /// When it said that; `None`: before this start.
    pub heard: Option<Mono>,
    /// What its file says.
    kept: Option<Ack>,
    /// When the file was written last, or tried to be.
    tried: Option<Mono>,
}

impl Office {
    /// Seconds since it said last what it has; `None`: not known.
    pub fn age_s(&self, now: &Now) -> Option<u64> {
        match self.heard {
            Some(heard) => Some(now.mono.ms_since(heard) / 1000),
            None => u64::try_from((now.stamp.wall.0 - self.ack.time?.wall.0) / 1000).ok(),
        }
    }

    /// One whose words are the longest.
    #[cfg(test)]
    pub(crate) fn highest() -> Self {
        let ack = Ack { head: Head { seq: EntrySeq(u64::MAX), crc: u32::MAX }, ..Ack::default() };
        let name = OfficeName::from_utf8(&[b'x'; 25]).expect("it fits");
        Self { name, ack, heard: Some(Mono(0)), kept: None, tried: None }
    }
}

/// Why an acknowledgement does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// The entry is not durable here.
    Ahead,
    /// Another entry is here under that number.
    Diverged,
    /// The entry is not here any more.
    Archived,
    /// The file cannot be read there.
    Unreadable,
    /// Too many offices are known.
    Full,
}

/// The offices that acknowledged something and were not forgotten.
pub(super) struct Offices<'t> {
    keeper: Option<&'t mut dyn AckKeeper>,
    known: Vec<Office, OFFICES_MAX>,
    /// Whether there are offices that are not in `known`: then nothing is known of what all have.
    are_more: bool,
    /// Counts what they said, for the status.
    heard: u32,
    /// Days for which entries stay here, whoever has them; `None`: for ever.
    keep_days: Option<u32>,
    /// Whether a segment began since removing was tried last.
    pub(super) is_removal_due: bool,
}

impl Default for Offices<'_> {
    fn default() -> Self {
        let (keeper, known) = (None, Vec::new());
        Self { keeper, known, are_more: false, heard: 0, keep_days: None, is_removal_due: false }
    }
}

impl Offices<'_> {
    /// When [`Offices::keep`] has work next.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.keeper.as_ref()?;
        let due = self.known.iter().filter(|office| office.kept != Some(office.ack));
        due.map(|office| office.tried.map_or(Mono(0), |tried| tried.plus_ms(ACK_KEPT_MS))).min()
    }

    /// Writes what is due; with `is_last` also what came less than a minute after the last.
    pub(super) fn keep(&mut self, now: &Now, is_last: bool) {
        let Some(keeper) = &mut self.keeper else { return };
        for office in &mut self.known {
            let is_time = office.tried.is_none_or(|tried| now.mono.ms_since(tried) >= ACK_KEPT_MS);
            if office.kept == Some(office.ack) || !(is_time || is_last) {
                continue;
            }
            office.tried = Some(now.mono);
            match keeper.keep(&office.name, &office.ack) {
                Ok(()) => office.kept = Some(office.ack),
                Err(error) => warn!("office name={} error=\"{error}\": what it has is not kept", office.name),
            }
        }
    }
}

impl<'t, S: Storage> Service<'t, S> {
    /// From now on keeps what offices have; `known` is what was kept before.
    pub fn keep_offices(&mut self, keeper: &'t mut dyn AckKeeper, known: io::Result<std::vec::Vec<(OfficeName, Ack)>>) {
        self.offices.keeper = Some(keeper);
        let known = known.unwrap_or_else(|error| {
            warn!("office error=\"{error}\": what offices have is not known, so nothing is removed");
            self.offices.are_more = true;
            std::vec::Vec::new()
        });
        for (name, ack) in known {
            let office = Office { name, ack, heard: None, kept: Some(ack), tried: None };
            self.offices.are_more |= self.offices.known.push(office).is_err();
        }
    }

    /// Sets for how many days entries stay here that every office has; before, they stay for ever.
    pub fn keep_for_days(&mut self, days: u32) {
        self.offices.keep_days = Some(days);
    }

    /// Removes segments that every office has by its kept word, and that are old enough. Not by a
    /// clock that is not believed.
    pub(super) fn remove_collected(&mut self, now: &Now) {
        self.offices.is_removal_due = false;
        let is_believed = self.server.clock_state() == ClockState::Ok;
        let Some(days) = self.offices.keep_days.filter(|_| is_believed && !self.offices.are_more) else { return };
        let mut acks = Vec::<Ack, { 2 * OFFICES_MAX }>::new();
        for office in &self.offices.known {
            // The newer word may be less, and the kept one is what a start knows.
            let Some(kept) = office.kept else { return };
            acks.extend([kept, office.ack]);
        }
        let older_than = Wall(now.stamp.wall.0 - i64::from(days) * DAY_MS);
        match self.ledger.remove_collected(&acks, older_than) {
            Ok(None) => (),
            Ok(Some((first, last))) => info!("removed first={first} last={last}: every office has these entries"),
            Err(error) => warn!("removed error=\"{error}\": tried again when the next segment begins"),
        }
    }

    /// How often offices said what they have; wraps.
    pub(crate) fn acks_heard(&self) -> u32 {
        self.offices.heard
    }

    /// The offices, with what they have.
    pub fn offices(&self) -> &[Office] {
        &self.offices.known
    }

    /// Takes an office's word that it has all entries up to `head` of a ledger, which may be less
    /// than it had before: its database may be an older copy.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn take_ack(&mut self, now: &Now, name: &OfficeName, ledger: u64, head: Head) -> Result<(), NotTaken> {
        if head.seq > self.ledger.synced().seq {
            return Err(NotTaken::Ahead);
        }
        match seek::find(self.ledger.storage(), head.seq) {
            Ok(Ok(place)) if place.head == head && (place.ledger == ledger || head.seq.0 == 0) => (),
            Ok(Ok(_)) => return Err(NotTaken::Diverged),
            Ok(Err(Absent::Archived(_))) => return Err(NotTaken::Archived),
            Ok(Err(Absent::Ahead | Absent::Damaged)) | Err(_) => return Err(NotTaken::Unreadable),
        }
        let ack = Ack { ledger, head, time: Some(now.stamp) };
        let known = &mut self.offices.known;
        let place = match known.iter().position(|office| office.name == *name) {
            Some(place) => place,
            None => {
                let office = Office { name: *name, ack, heard: None, kept: None, tried: None };
                known.push(office).map_err(|_| NotTaken::Full)?;
                info!("office name={name} seq={}: new", head.seq);
                known.len() - 1
            }
        };
        self.offices.heard = self.offices.heard.wrapping_add(1);
        known[place].heard = Some(now.mono);
        // An equal one needs no write: its time is of the first that said so.
        if (known[place].ack.ledger, known[place].ack.head) != (ledger, head) {
            known[place].ack = ack;
        }
        Ok(())
    }

    /// Forgets an office: what it has does not count any more. `false`: it is not known.
    ///
    /// # Errors
    /// If its file cannot be removed; then it is known still.
    pub fn forget_office(&mut self, name: &OfficeName, by: &str) -> io::Result<bool> {
        let known = &mut self.offices.known;
        let Some(place) = known.iter().position(|office| office.name == *name) else { return Ok(false) };
        if let Some(keeper) = &mut self.offices.keeper {
            keeper.forget(name)?;
        }
        known.remove(place);
        info!("office name={name} by={by:?}: forgotten");
        Ok(true)
    }
}
