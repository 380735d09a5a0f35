//! The sales of a turn that was undone, because a write or a sync found no room (design.md, section 12).
//!
//! What always holds: a frame that was refused stays refused. Whoever read "full" on the display has paid in another way, so the same
//! frame again must not charge when there is room; nor must one whose refusal stands in an entry that is gone.

use super::effects::{Effects, Told};
use super::entries::place_of;
use super::outbox::{About, Addressee};
use super::texts::{Values, fill};
use super::{Context, Server, Tables};
use crate::book::{Figures, Seen};
use crate::model::card::CardRow;
use crate::model::digits::Decimal;
use crate::model::{CardNo, EntrySeq, FrameSeq, Kind, Now, Reason};
use crate::wire::{Buffer, Reply};

impl Server<'_> {
    /// Takes note of the 008 that was put into the bag just now.
    pub(super) fn note_told(context: &Context, sale: EntrySeq, row: Option<&CardRow>, fx: &mut Effects) {
        let told = Told {
            letter: u16::try_from(fx.committed.len() - 1).expect("MAIL_COUNT_MAX fits 16 bits"),
            device: u16::try_from(context.device).expect("DEVICES_MAX fits 16 bits"),
            sale,
            card: row.map(|row| row.card),
            frame: context.frame.seq.value(),
        };
        fx.told.push(told).expect("there are no more than letters");
    }

    /// The entries after `kept` are gone: so are all commands that might tell of them, and the book, which the caller replays before it
    /// calls [`Server::refuse_undone`]. What was refused is remembered, and the sales are refused; of doors and stored records devices ask
    /// again.
    pub fn forget_turn(&mut self, now: &Now, kept: EntrySeq) {
        let mut sales = 0;
        let Tables { book, devices, .. } = &mut *self.tables;
        for device in devices.rows_mut() {
            for seen in book.seen_after(device.machine, kept) {
                let approved = match seen.outcome.kind {
                    Kind::Charge | Kind::Meal | Kind::Scan => &mut self.counters.approved,
                    Kind::Repeat | Kind::Matched => &mut self.counters.recognized,
                    Kind::Decline | Kind::Refuse => {
                        device.echoes.push(seen.clone());
                        continue;
                    }
                    _ => continue,
                };
                *approved = approved.saturating_sub(1);
                let is_new = !matches!(seen.outcome.kind, Kind::Repeat | Kind::Matched);
                device.tally.approved = device.tally.approved.saturating_sub(u64::from(is_new));
                device.tally.refused += 1;
                device.echoes.push(as_full(seen));
                sales += 1;
            }
        }
        self.counters.declined += u64::from(sales);
        self.counters.full += u64::from(sales);
        self.counters.left_out += u64::from(sales);
        for _ in 0..sales {
            self.counters.count_reason(Reason::Full);
        }
        self.leave_out(now, place_of(Kind::Decline), sales);
        self.forget_commands();
        self.rewind_book();
    }

    /// Tells the terminals whose sales were after `kept` that they are refused, with what is true after the replay.
    pub fn refuse_undone(&mut self, now: &Now, kept: EntrySeq, fx: &mut Effects) {
        for place in 0..fx.told.len() {
            let told = fx.told[place];
            if told.sale > kept {
                self.refuse_told(now, &told, fx);
            }
        }
    }

    fn refuse_told(&mut self, now: &Now, told: &Told, fx: &mut Effects) {
        let mut approval = Buffer::new();
        let Some((peer, bytes)) = fx.committed.get(usize::from(told.letter)) else { return };
        approval.extend_from_slice(bytes).expect("a reply fits its buffer");
        let Some(Reply::Approve { machine, subject, amount, .. }) = Reply::parse(&approval) else { return };
        let device = usize::from(told.device);
        if self.tables.devices.get(device).machine != machine {
            // It gave way to another since.
            return;
        }
        let row = told.card.and_then(|card| self.card_row(CardNo::from_value(card)));
        let figures = row.as_ref().map_or_else(Figures::default, |row| self.book().account(row.account).figures());
        let is_it = |seen: &&mut Seen| seen.outcome.sale == told.sale && seen.id.is_frame(told.frame);
        if let Some(seen) = self.tables.devices.get_mut(device).echoes.iter_mut().find(is_it) {
            seen.outcome.figures = figures;
        }
        let texts = &self.rules.texts;
        let names = self.names_at(device, &machine, row.as_ref());
        let text = fill(
            &texts.declined,
            &Values { card: subject, figures, amount, reason: texts.reason(Reason::Full), ..names },
        );
        let trailer = texts.display_declined;
        let reply = Reply::Decline { machine, subject, text: &text, trailer: trailer.as_bytes() };
        let frame = FrameSeq::parse(Decimal::whole(told.frame).as_bytes()).expect("it was one");
        let to = Addressee::unasked(now, device, peer).answering(frame);
        self.command_to(&to, &reply, About { subject, ..About::default() }, fx);
    }
}

/// The frame of a sale that was approved, refused.
fn as_full(seen: &Seen) -> Seen {
    let mut refused = seen.clone();
    (refused.outcome.kind, refused.outcome.reason) = (Kind::Decline, Some(Reason::Full));
    refused
}
