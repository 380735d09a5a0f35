//! An operator's orders in a turn: their entries and replies are written, synced and sent together
//! with those of the turn's frames.
//!
//! *Invariants:* a result may be reported only after the turn's end; a void finds its sale in the
//! ledger's own files, including entries of this turn.

use std::io;

use log::{error, info};

use super::Service;
use crate::engine::limits::CONTROL_TURN_LINES;
use crate::engine::model::order::{Note, Operator};
use crate::engine::model::{ClockState, Done, Entry, EntrySeq, MachineNo, MissingEntries, Now, Order};
use crate::engine::server::{Refused, Room};
use crate::ledger::{self, Parent, Storage};

impl<S: Storage> Service<'_, S> {
    /// Gives an operator's order in this turn: one of at most [`CONTROL_TURN_LINES`] since the last
    /// [`Service::takes_lines`]. The outer error ends the process; the inner one says why nothing
    /// was done. The result may be reported after the turn's end.
    ///
    /// # Errors
    /// If the ledger cannot be written or read.
    pub(crate) fn operate(&mut self, now: &Now, order: &Order) -> io::Result<Result<Done, Refused>> {
        self.look_for_room(now)?;
        let sale = match self.sale_of(order)? {
            Ok(sale) => sale,
            Err(refused) => return Ok(Err(refused)),
        };
        let done = self.server.obey(now, order, sale.as_ref(), self.fx);
        self.collect()?;
        Ok(done)
    }

    /// Whether `Service::operate` would do an order; gives the entry if it was done before.
    ///
    /// # Errors
    /// If the ledger cannot be written or read.
    pub fn would(&mut self, now: &Now, order: &Order) -> io::Result<Result<Option<EntrySeq>, Refused>> {
        self.look_for_room(now)?;
        let sale = self.sale_of(order)?;
        Ok(sale.and_then(|sale| self.server.would_obey(order, sale.as_ref())))
    }

    /// Sends 003 to one device, or to all that were seen: see
    /// [`Server::set_clock`](crate::engine::server::Server::set_clock).
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn set_clock(&mut self, now: &Now, machine: Option<MachineNo>) -> io::Result<Result<usize, Refused>> {
        let told = self.server.set_clock(now, machine, self.fx);
        self.collect()?;
        Ok(told)
    }

    /// Shows a text on a device's display: see
    /// [`Server::show`](crate::engine::server::Server::show).
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn show(&mut self, now: &Now, machine: MachineNo, text: &str) -> io::Result<Result<(), Refused>> {
        let shown = self.server.show(now, machine, text, self.fx);
        self.collect()?;
        Ok(shown)
    }

    /// Accepts the clock as it is: see
    /// [`Server::accept_clock`](crate::engine::server::Server::accept_clock). The result holds
    /// after the turn's end.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn accept_clock(&mut self, now: &Now, by: &Operator) -> io::Result<Result<(EntrySeq, ClockState), Refused>> {
        self.look_for_room(now)?;
        let accepted = self.server.accept_clock(now, by, self.fx);
        self.turn.must_sync |= accepted.is_ok();
        self.collect()?;
        Ok(accepted)
    }

    /// Ends the hourly log line about an older copy of the ledger: see
    /// [`Server::accept_loss`](crate::engine::server::Server::accept_loss).
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn acknowledge(
        &mut self,
        now: &Now,
        by: &Operator,
        note: &Note,
    ) -> io::Result<Result<(EntrySeq, MissingEntries), Refused>> {
        self.look_for_room(now)?;
        let seen = self.server.accept_loss(now, by, note, self.fx);
        self.collect()?;
        Ok(seen)
    }

    /// Begins a branch of the ledger. Returns the branch's first entry, its number, and where it
    /// branches off. What this turn wrote before belongs to the parent, also that the clock
    /// stepped.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn branch(
        &mut self,
        now: &Now,
        by: &Operator,
        note: &Note,
    ) -> io::Result<Result<(EntrySeq, u64, Parent), Refused>> {
        self.look_for_room(now)?;
        self.server.watch_clock(now, self.fx);
        self.collect()?;
        if self.server.room() == Room::Nothing || self.ledger.is_closed() {
            return Ok(Err(Refused::Full));
        }
        let Some(number) = self.kept.as_mut().map(|kept| kept.keeper.draw()).transpose()? else {
            return Ok(Err(Refused::NoName));
        };
        self.turn.has_written |= self.ledger.is_dirty();
        self.ledger.write()?;
        self.ledger.branch(number, now.stamp)?;
        let parent = self.ledger.parent().expect("a branch begins after an entry: there is a `start` at least");
        info!("branch ledger={number:016x} parent={parent} by={:?}", by.as_str());
        let seq = self.server.enter_branch(now, by, note, parent, self.fx);
        self.collect()?;
        if let Some(kept) = &mut self.kept {
            kept.is_due = true;
        }
        Ok(Ok((seq, number, parent)))
    }

    /// Makes the turn end with a sync, so that all it wrote is durable even if no result rests on
    /// it.
    pub(crate) fn sync_at_end(&mut self) {
        self.turn.must_sync = true;
    }

    /// Whether there is room for what the operator's lines of one turn send.
    pub fn takes_lines(&self) -> bool {
        self.fx.has_room(CONTROL_TURN_LINES)
    }

    /// The entry that an order is about.
    fn sale_of(&mut self, order: &Order) -> io::Result<Result<Option<Entry>, Refused>> {
        match order.act.about() {
            Some(about) => self.entry(about),
            None => Ok(Ok(None)),
        }
    }

    /// An entry as the ledger's files hold it, including this turn's; `None` if they do not hold
    /// it. Reads a segment. If an old segment cannot be read, or is damaged, the server goes on:
    /// [`Refused::Unreadable`].
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn entry(&mut self, seq: EntrySeq) -> io::Result<Result<Option<Entry>, Refused>> {
        if self.ledger.is_dirty() {
            // It may be of this turn.
            self.turn.has_written = true;
            self.ledger.write()?;
        }
        Ok(ledger::find(self.ledger.storage(), seq).map_err(|error| {
            error!("{error}");
            Refused::Unreadable { seq }
        }))
    }
}
