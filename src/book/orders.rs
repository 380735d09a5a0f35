//! What operators ordered, as far as it must be known again: keys, batches, and what was voided of which sale (design.md,
//! sections 3 and 7).
//!
//! What always holds: an order is known again by what its entry says, so a restart forgets none. The same key stands for
//! the same order only ([`Ask`] tells whether it is); a batch's lines follow each other, so one row remembers it whole; and of
//! a sale that may have a void which is forgotten, nothing more is voided.

use core::fmt::Debug;
use std::collections::BTreeMap;

use super::Figures;
use super::history::{History, Row};
use super::snapshot::{Fields, Line, column, column_or_none, restore_row, text, text_or_none};
use crate::index::{fnv1a, hash_number};
use crate::limits::{BATCHES_KEPT_MIN, KEYS_KEPT_MIN, VOIDS_KEPT_MIN};
use crate::model::entry::Value;
use crate::model::order::{Digest, KeyText};
use crate::model::{AccountId, Act, CardNo, Entry, EntrySeq, Kind, Text, UnitNo};

/// What an order asks for, whoever gives it and why: a hash, the same from the order and from its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask(u64);

/// Stands for an amount that was left open.
const OPEN: i64 = i64::MIN;

impl Ask {
    /// Of an order.
    pub fn of(act: &Act) -> Self {
        match act {
            Act::Move { way, card, amount, uses } => {
                let (amount, uses) = way.booked(*amount, *uses);
                Self::mix(way.kind(), card.value(), amount.fen(), i64::from(uses))
            }
            Act::Void { sale, amount } => {
                Self::mix(Kind::Void, sale.0, amount.map_or(OPEN, |amount| i64::from(amount.fen())), 0)
            }
            Act::Mark { card, mark } => Self::mix(Kind::Status, card.value(), word(mark.word()), 0),
            Act::Link { old, new } => Self::mix(Kind::Link, new.value(), number(old.value()), 0),
            Act::Open { machine, door } => Self::mix(Kind::Remote, machine.value(), number(door.value()), 0),
        }
    }

    /// Of the order behind an entry; `None` if no order leads to such a one.
    fn of_entry(entry: &Entry) -> Option<Self> {
        let card = || entry.card.map_or(0, |card| card.value());
        Some(match entry.kind {
            Kind::TopUp | Kind::Subsidy | Kind::PayOut | Kind::Adjust => {
                let uses = i64::from(entry.uses.unwrap_or_default());
                Self::mix(entry.kind, card(), entry.amount.unwrap_or_default().fen(), uses)
            }
            Kind::Void => {
                let asked = entry.detail.asked().map_or(OPEN, |amount| i64::from(amount.fen()));
                Self::mix(entry.kind, entry.about.unwrap_or_default().0, asked, 0)
            }
            Kind::Status => Self::mix(entry.kind, card(), entry.detail.get("status").map_or(0, |it| word(it.0)), 0),
            Kind::Link => Self::mix(entry.kind, card(), replaced_card(entry).map_or(0, |old| number(old.value())), 0),
            Kind::Remote => {
                let door = entry.slot.as_ref().and_then(|slot| slot.split_once(':')).map(|(_, door)| door);
                let door = door.and_then(|door| UnitNo::parse(door.as_bytes())).map_or(0, |door| door.value());
                Self::mix(entry.kind, entry.machine.map_or(0, |machine| machine.value()), number(door), 0)
            }
            _ => return None,
        })
    }

    fn mix(kind: Kind, subject: u64, one: i64, other: i64) -> Self {
        let mut bytes = [0; 32];
        let parts = [fnv1a(kind.word().as_bytes()).to_be_bytes(), subject.to_be_bytes()];
        let parts = parts.into_iter().chain([one.to_be_bytes(), other.to_be_bytes()]);
        for (place, part) in bytes.chunks_exact_mut(8).zip(parts) {
            place.copy_from_slice(&part);
        }
        Self(fnv1a(&bytes))
    }
}

fn word(text: &str) -> i64 {
    number(fnv1a(text.as_bytes()))
}

/// The same bits.
fn number(value: u64) -> i64 {
    i64::from_be_bytes(value.to_be_bytes())
}

/// The card that a `link` entry's card follows.
pub(super) fn replaced_card(entry: &Entry) -> Option<CardNo> {
    CardNo::parse(entry.detail.get("was")?.0.as_bytes())
}

/// A key that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedKey {
    /// The order's entry.
    pub seq: EntrySeq,
    /// What it was used for.
    pub ask: Ask,
    /// The account that its entry names.
    pub account: Option<AccountId>,
    /// What the account held then.
    pub figures: Option<Figures>,
    text: KeyText,
}

impl Row for UsedKey {
    type Key = u64;

    fn key(&self) -> u64 {
        fnv1a(self.text.as_bytes())
    }

    fn hash(key: &u64) -> u32 {
        hash_number(*key)
    }

    fn seq(&self) -> EntrySeq {
        self.seq
    }

    fn is_spent(&self) -> bool {
        false
    }
}

/// A batch as far as it was done: its lines follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The entry of its first line.
    pub first: EntrySeq,
    /// The entry of its last line so far.
    pub last: EntrySeq,
    /// Lines done.
    pub lines: u32,
    digest: Digest,
}

impl Row for Batch {
    type Key = u64;

    fn key(&self) -> u64 {
        fnv1a(self.digest.as_bytes())
    }

    fn hash(key: &u64) -> u32 {
        hash_number(*key)
    }

    fn seq(&self) -> EntrySeq {
        self.first
    }

    fn is_spent(&self) -> bool {
        false
    }
}

#[derive(Clone, Debug)]
struct Void {
    seq: EntrySeq,
    sale: EntrySeq,
    fen: i64,
    is_whole: bool,
}

impl Row for Void {
    type Key = EntrySeq;

    fn key(&self) -> EntrySeq {
        self.sale
    }

    fn hash(key: &EntrySeq) -> u32 {
        hash_number(key.0)
    }

    fn seq(&self) -> EntrySeq {
        self.seq
    }

    fn is_spent(&self) -> bool {
        false
    }
}

/// What was voided of a sale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Voided {
    /// Given back so far.
    pub fen: i64,
    /// Whether nothing is left of the sale.
    pub is_whole: bool,
}

/// Takes a line of a snapshot: its first word, and what writes the rest.
type Out<'a, E> = dyn FnMut(&str, &mut dyn FnMut(&mut Line)) -> Result<(), E> + 'a;

/// Keys, batches and voids.
pub(super) struct Orders {
    keys: History<UsedKey, { 2 * KEYS_KEPT_MIN }, { 4 * KEYS_KEPT_MIN }>,
    batches: History<Batch, { 2 * BATCHES_KEPT_MIN }, { 4 * BATCHES_KEPT_MIN }>,
    voids: History<Void, { 2 * VOIDS_KEPT_MIN }, { 4 * VOIDS_KEPT_MIN }>,
    /// Voids before this entry may be forgotten, so sales before it are not voided.
    voids_from: EntrySeq,
}

impl Orders {
    pub(super) const fn new() -> Self {
        Self { keys: History::new(), batches: History::new(), voids: History::new(), voids_from: EntrySeq(0) }
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.batches.clear();
        self.voids.clear();
        self.voids_from = EntrySeq(0);
    }

    /// Takes note of an entry that an operator's order led to.
    pub(super) fn apply(&mut self, entry: &Entry) {
        let Some(ask) = Ask::of_entry(entry) else { return };
        if let Some(sale) = entry.about.filter(|_| entry.kind == Kind::Void) {
            let fen = entry.amount.unwrap_or_default().fen();
            let has_forgotten = self.voids.push(Void { seq: entry.seq, sale, fen, is_whole: !entry.is_partial() });
            if has_forgotten {
                self.voids_from = self.voids.rows().next().map_or(entry.seq, Row::seq);
            }
        }
        match (entry.detail.get("batch"), entry.detail.get("key")) {
            (Some(digest), Some(line)) => self.advance(digest, line, entry.seq),
            (None, Some(key)) => {
                if let Some(text) = unescape(key) {
                    let figures = Figures::told_by(entry);
                    self.keys.push(UsedKey { seq: entry.seq, ask, account: entry.account, figures, text });
                }
            }
            (_, None) => (),
        }
    }

    fn advance(&mut self, digest: Value, line: Value, seq: EntrySeq) {
        let (Some(digest), Ok(lines)) = (unescape::<16>(digest), line.0.parse()) else { return };
        match self.batch(&digest).map(|batch| batch.first) {
            Some(first) => {
                let batch = self.batches.entry_mut(first).expect("it was just found");
                (batch.last, batch.lines) = (seq, lines);
            }
            None => {
                self.batches.push(Batch { first: seq, last: seq, lines, digest });
            }
        }
    }

    /// What a key was used for, if it is remembered.
    pub(super) fn key(&self, text: &KeyText) -> Option<&UsedKey> {
        self.keys.find(fnv1a(text.as_bytes())).find(|used| used.text == *text)
    }

    /// A batch, if it is remembered.
    pub(super) fn batch(&self, digest: &Digest) -> Option<&Batch> {
        self.batches.find(fnv1a(digest.as_bytes())).find(|batch| batch.digest == *digest)
    }

    /// What was voided of a sale; `None` if that may be forgotten.
    pub(super) fn voided(&self, sale: EntrySeq) -> Option<Voided> {
        if sale < self.voids_from {
            return None;
        }
        let add = |sum: Voided, void: &Void| Voided {
            fen: sum.fen.saturating_add(void.fen),
            is_whole: sum.is_whole || void.is_whole,
        };
        Some(self.voids.find(sale).fold(Voided::default(), add))
    }

    // ---------------------------------------------------------------- snapshot

    pub(super) fn emit<E>(&self, out: &mut Out<E>) -> Result<(), E> {
        for used in self.keys.rows() {
            out("key", &mut |line| {
                column(line, used.seq);
                column(line, format_args!("{:016x}", used.ask.0));
                text_or_none(line, used.account.as_deref());
                column_or_none(line, used.figures.map(|figures| figures.balance));
                column_or_none(line, used.figures.map(|figures| figures.uses));
                text(line, &used.text);
            })?;
        }
        for batch in self.batches.rows() {
            out("batch", &mut |line| {
                column(line, batch.first);
                column(line, batch.last);
                column(line, batch.lines);
                text(line, &batch.digest);
            })?;
        }
        if self.voids_from > EntrySeq(0) {
            out("voids", &mut |line| column(line, self.voids_from))?;
        }
        for void in self.voids.rows() {
            out("void", &mut |line| {
                column(line, void.seq);
                column(line, void.sale);
                column(line, void.fen);
                column(line, u8::from(void.is_whole));
            })?;
        }
        Ok(())
    }

    pub(super) fn restore_key(&mut self, fields: &mut Fields) -> Option<()> {
        let (seq, ask) = (fields.seq()?, Ask(fields.hash()?));
        let account = fields.or_none(Fields::text)?;
        let (balance, uses) = (fields.or_none(Fields::balance)?, fields.or_none(Fields::number)?);
        let figures = balance.zip(uses).map(|(balance, uses)| Figures { balance, uses });
        restore_row(&mut self.keys, UsedKey { seq, ask, account, figures, text: fields.text()? })
    }

    pub(super) fn restore_batch(&mut self, fields: &mut Fields) -> Option<()> {
        let (first, last, lines) = (fields.seq()?, fields.seq()?, fields.number()?);
        restore_row(&mut self.batches, Batch { first, last, lines, digest: fields.text()? })
    }

    pub(super) fn restore_voids(&mut self, fields: &mut Fields) -> Option<()> {
        let from = fields.seq()?;
        if self.voids_from > EntrySeq(0) || from == EntrySeq(0) {
            return None;
        }
        self.voids_from = from;
        Some(())
    }

    pub(super) fn restore_void(&mut self, fields: &mut Fields) -> Option<()> {
        let (seq, sale) = (fields.seq()?, fields.seq()?);
        restore_row(&mut self.voids, Void { seq, sale, fen: fields.number()?, is_whole: fields.flag()? })
    }

    // ---------------------------------------------------------------- compare

    pub(super) fn rows_of_keys(&self) -> BTreeMap<u64, impl PartialEq + Debug + '_> {
        self.keys.rows().map(|used| (used.seq.0, used)).collect()
    }

    pub(super) fn rows_of_batches(&self) -> BTreeMap<u64, impl PartialEq + Debug + '_> {
        self.batches.rows().map(|batch| (batch.first.0, batch)).collect()
    }

    pub(super) fn rows_of_voids(&self) -> BTreeMap<u64, impl PartialEq + Debug + '_> {
        let rows = self.voids.rows().map(|void| (void.seq.0, (void.sale.0, void.fen, void.is_whole)));
        rows.chain([(0, (self.voids_from.0, 0, false))]).collect()
    }
}

/// A detail's value as it was pushed; `None` if it is longer than any of ours.
fn unescape<const N: usize>(value: Value) -> Option<Text<N>> {
    let mut bytes = heapless::Vec::<u8, N>::new();
    for byte in value.bytes() {
        bytes.push(byte).ok()?;
    }
    Text::try_from(core::str::from_utf8(&bytes).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;
    use crate::model::{Balance, ClockState, Detail, MachineNo, Mark, Money, Stamp, Way};

    /// Too large for a test's stack.
    static ORDERS: Mutex<Orders> = Mutex::new(Orders::new());

    fn cleared() -> MutexGuard<'static, Orders> {
        let mut orders = ORDERS.lock().unwrap_or_else(PoisonError::into_inner);
        orders.clear();
        orders
    }

    fn entry(seq: u64, kind: Kind, detail: &str) -> Entry {
        let mut entry = Entry { seq: EntrySeq(seq), ..Entry::new(kind, Stamp::default(), ClockState::Ok) };
        entry.card = Some(CardNo::from_value(8_888_888_888));
        entry.detail = Detail::from_text(detail).unwrap();
        entry
    }

    fn fen(fen: u32) -> Money {
        Money::from_fen(fen).unwrap()
    }

    #[test]
    fn an_order_is_known_again_by_its_entry_and_by_no_other() {
        let card = CardNo::parse(b"8888888888").unwrap();
        let moved = |way, amount, uses| Act::Move { way, card, amount: Balance::from_fen(amount), uses };
        let acts = [
            moved(Way::TopUp, 550, 0),
            moved(Way::TopUp, 551, 0),
            moved(Way::TopUp, 550, 1),
            moved(Way::Subsidy, 550, 0),
            moved(Way::PayOut, 550, 2),
            moved(Way::Adjust, -550, -2),
            Act::Void { sale: EntrySeq(7), amount: None },
            Act::Void { sale: EntrySeq(7), amount: Some(fen(550)) },
            Act::Void { sale: EntrySeq(8), amount: None },
            Act::Mark { card, mark: Mark::Lost },
            Act::Mark { card, mark: Mark::Found },
            Act::Mark { card, mark: Mark::Unfrozen },
            Act::Link { old: CardNo::from_value(5), new: card },
            Act::Link { old: CardNo::from_value(6), new: card },
            Act::Open { machine: MachineNo::from_value(7), door: UnitNo::parse(b"1").unwrap() },
            Act::Open { machine: MachineNo::from_value(7), door: UnitNo::parse(b"2").unwrap() },
        ];
        let entries: Vec<Entry> = acts
            .iter()
            .map(|act| match act {
                Act::Move { way, amount, uses, .. } => {
                    let (amount, uses) = way.booked(*amount, *uses);
                    Entry { amount: Some(amount), uses: Some(uses), ..entry(1, way.kind(), "") }
                }
                Act::Void { sale, amount } => {
                    // What is left of the sale, where no amount was asked for.
                    let asked = amount.map_or(String::new(), |amount| format!("asked={amount}"));
                    let amount = Some(Balance::from_fen(550));
                    Entry { about: Some(*sale), amount, ..entry(1, Kind::Void, &asked) }
                }
                Act::Mark { mark, .. } => entry(1, Kind::Status, &format!("status={}", mark.word())),
                Act::Link { old, .. } => entry(1, Kind::Link, &format!("was={old}")),
                Act::Open { machine, door } => {
                    let slot = Text::try_from(format!("{door}:{door}").as_str()).ok();
                    Entry { machine: Some(*machine), slot, card: None, ..entry(1, Kind::Remote, "") }
                }
            })
            .collect();
        for (place, act) in acts.iter().enumerate() {
            for (other, entry) in entries.iter().enumerate() {
                assert_eq!(Ask::of_entry(entry) == Some(Ask::of(act)), place == other, "{act:?} {entry:?}");
            }
        }
    }

    #[test]
    fn keys_are_texts_and_a_batch_s_lines_are_none() {
        let mut orders = cleared();
        orders.apply(&entry(1, Kind::TopUp, "key=50%25%3D by=li"));
        orders.apply(&entry(2, Kind::TopUp, "batch=00112233aabbccdd key=1"));
        orders.apply(&entry(3, Kind::TopUp, "batch=00112233aabbccdd key=2"));
        orders.apply(&entry(4, Kind::TopUp, "by=li"));
        orders.apply(&entry(5, Kind::Charge, "key=no-order"));
        orders.apply(&entry(6, Kind::TopUp, &format!("key={}", "x".repeat(41))));
        let key = |text: &str| KeyText::try_from(text).unwrap();
        assert_eq!(orders.key(&key("50%=")).map(|used| used.seq), Some(EntrySeq(1)));
        for other in ["50%", "1", "2", "no-order", ""] {
            assert_eq!(orders.key(&key(other)), None, "{other:?}");
        }
        let batch = orders.batch(&Digest::try_from("00112233aabbccdd").unwrap()).unwrap();
        assert_eq!((batch.first, batch.last, batch.lines), (EntrySeq(2), EntrySeq(3), 2));
    }

    #[test]
    fn voids_of_a_sale_add_up() {
        let mut orders = cleared();
        let mut void = |seq, sale, fen, detail| {
            let amount = Some(Balance::from_fen(fen));
            orders.apply(&Entry { about: Some(EntrySeq(sale)), amount, ..entry(seq, Kind::Void, detail) });
        };
        void(10, 3, 100, "rest=4.00");
        void(11, 4, 100, "");
        void(12, 3, 50, "rest=3.50");
        assert_eq!(orders.voided(EntrySeq(3)), Some(Voided { fen: 150, is_whole: false }));
        assert_eq!(orders.voided(EntrySeq(4)), Some(Voided { fen: 100, is_whole: true }));
        assert_eq!(orders.voided(EntrySeq(5)), Some(Voided::default()));
    }
}
