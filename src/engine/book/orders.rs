//! Remembers operators' orders, so that a repeated order is recognized: their names, and the voids
//! of each sale (design.md, sections 3, 7 and 8).
//!
//! *Invariants:*
//! - An order is recognized by its entry's content, so a restart forgets none.
//! - A used name belongs to one order: the same name with another content is refused
//!   ([`ContentHash`]).
//! - If orders of a file may be forgotten, no order of that file is done that is not remembered.
//! - If voids of a sale may be forgotten, it is not voided again.

use alloc::collections::BTreeMap;
use core::fmt::Debug;

use super::accounts::{REISSUED, account_in};
use super::history::{History, HistoryRow};
use super::snapshot::{Columns, SnapshotLine, column, column_or_none, restore_row};
use crate::engine::index::{FNV1A, fnv1a, fnv1a_on, hash_bytes, hash_number};
use crate::engine::limits::{FILES_KEPT_MIN, NAMES_KEPT_MIN, VOIDS_KEPT_MIN};
use crate::engine::model::order::{Clearing, Undone};
use crate::engine::model::{
    AccountId, Act, Balance, CardNo, Entry, EntrySeq, Figures, Key, Kind, Mark, Money, Order, Subject, UnitNo,
};

/// An order's content, the same from the order and from its entry.
struct Content {
    /// The command's word.
    command: &'static str,
    /// What it is about: mostly a card.
    subject: u64,
    one: i64,
    other: i64,
}

/// The command of an adjustment that settles a stored sale; others have `adjust`.
const SETTLE: &str = "settle";

/// The command of an order that empties one subsidy purse, and of one that empties all.
const CLEAR: &str = "clear";
const CLEAR_ALL: &str = "clear-all";

/// The value of `via=`: the order named the account and no card.
pub(crate) const VIA_ACCOUNT: &str = "account";

/// The values of `clear=`: one purse is emptied; all purses begin to be; they are.
pub(crate) const CLEAR_ONE: &str = "one";
pub(crate) const CLEAR_BEGIN: &str = "all";
pub(crate) const CLEAR_END: &str = "done";

fn is_reissue(entry: &Entry) -> bool {
    entry.detail.get("status").is_some_and(|status| status.is(REISSUED))
}

/// The amount of an order that names none.
const OPEN: i64 = i64::MIN;

impl Content {
    fn new(command: &'static str, subject: u64, one: i64, other: i64) -> Self {
        Self { command, subject, one, other }
    }

    /// From an order.
    fn of(act: &Act) -> Self {
        match act {
            Act::Move { way, subject, amount, uses } => {
                let moved = way.booked(*amount, *uses);
                Self::moving(way.kind().word(), *subject, moved)
            }
            Act::Clear { subject } => Self::moving(CLEAR, *subject, Figures::ZERO),
            Act::ClearAll => Self::new(CLEAR_ALL, 0, 0, 0),
            Act::Void { sale, amount, .. } => {
                let amount = amount.map_or(OPEN, |amount| i64::from(amount.fen()));
                Self::new(Kind::Void.word(), sale.0, amount, 0)
            }
            Act::Mark { card, mark } => Self::new(mark.word(), card.value(), 0, 0),
            Act::Link { old, new } => Self::new(Kind::Link.word(), new.value(), number(old.value()), 0),
            Act::Account { card, account } => Self::new("account", card.value(), word(account), 0),
            Act::Rename { old, new } => Self::new("rename", fnv1a(old.as_bytes()), word(new), 0),
            Act::Reissue { card } => Self::new(REISSUED, card.value(), 0, 0),
            Act::Open { machine, door } => Self::new(Kind::Remote.word(), machine.value(), number(door.value()), 0),
            Act::Settle { claim, card, amount, uses } => {
                Self::new(SETTLE, claim_of(*claim, *card), amount.fen(), i64::from(*uses))
            }
        }
    }

    /// From an order's entry; `None` if no order leads to such an entry.
    fn of_entry(entry: &Entry) -> Option<Self> {
        let card = || entry.card.map_or(0, |card| card.value());
        let word = entry.kind.word();
        Some(match entry.kind {
            Kind::TopUp | Kind::Subsidy | Kind::PayOut | Kind::Adjust => {
                let moved = entry.effect();
                let is_by_account = entry.detail.has("via");
                let subject = match entry.account {
                    Some(account) if is_by_account => Subject::Account(account),
                    _ => Subject::Card(CardNo::from_value(card())),
                };
                match (entry.kind, entry.about, entry.detail.get("clear")) {
                    (Kind::Adjust, Some(claim), _) => {
                        let subject = claim_of(claim, CardNo::from_value(card()));
                        Self::new(SETTLE, subject, moved.balance.fen(), i64::from(moved.uses))
                    }
                    (Kind::Subsidy, _, Some(clear)) if clear.is(CLEAR_ONE) => {
                        Self::moving(CLEAR, subject, Figures::ZERO)
                    }
                    (Kind::Subsidy, _, Some(clear)) if clear.is(CLEAR_BEGIN) => Self::new(CLEAR_ALL, 0, 0, 0),
                    (Kind::Subsidy, _, Some(_)) => return None,
                    _ => Self::moving(word, subject, moved),
                }
            }
            Kind::Void => {
                let asked = entry.detail.asked().map_or(OPEN, |amount| i64::from(amount.fen()));
                Self::new(word, entry.about.unwrap_or_default().0, asked, 0)
            }
            Kind::Status => {
                let word = entry.detail.get("status")?;
                let mark = Mark::ALL.iter().find(|mark| word.is(mark.word()))?;
                Self::new(mark.word(), card(), 0, 0)
            }
            // The first of two `link` entries: the second one names the order.
            Kind::Link if entry.detail.has("to") => return None,
            Kind::Link if !entry.detail.has("was") => {
                let account = entry.account.map_or(0, |account| self::word(&account));
                match entry.card {
                    Some(card) if is_reissue(entry) => Self::new(REISSUED, card.value(), 0, 0),
                    Some(card) => Self::new("account", card.value(), account, 0),
                    None => {
                        let from = account_in(entry, "from").unwrap_or_default();
                        Self::new("rename", fnv1a(from.as_bytes()), account, 0)
                    }
                }
            }
            Kind::Link => Self::new(word, card(), replaced_card(entry).map_or(0, |old| number(old.value())), 0),
            Kind::Remote => {
                let door = entry.slot.as_ref().and_then(|slot| slot.split_once(':')).map(|(_, door)| door);
                let door = door.and_then(|door| UnitNo::parse(door.as_bytes())).map_or(0, |door| door.value());
                Self::new(word, entry.machine.map_or(0, |machine| machine.value()), number(door), 0)
            }
            _ => return None,
        })
    }

    /// Of an order that moves an account. The name of an account is never a card's number.
    fn moving(command: &'static str, subject: Subject, moved: Figures) -> Self {
        let subject = match subject {
            Subject::Card(card) => card.value(),
            Subject::Account(account) => fnv1a(account.as_bytes()) | 1 << 63,
        };
        Self::new(command, subject, moved.money().fen(), i64::from(moved.uses))
    }

    fn hash(&self) -> ContentHash {
        let mut bytes = [0; 32];
        let parts = [fnv1a(self.command.as_bytes()).to_be_bytes(), self.subject.to_be_bytes()];
        let parts = parts.into_iter().chain([self.one.to_be_bytes(), self.other.to_be_bytes()]);
        for (place, part) in bytes.chunks_exact_mut(8).zip(parts) {
            place.copy_from_slice(&part);
        }
        ContentHash(fnv1a(&bytes))
    }

    /// The name of the file that has this order as a row: a hash, as all names are.
    fn file(&self, purpose: impl Iterator<Item = u8>) -> u64 {
        let command = fnv1a_on(FNV1A, self.command.bytes().chain([0]));
        fnv1a_on(command, purpose.chain([0]))
    }

    /// The name of the order as a row of that file.
    fn row(&self, file: u64, nth: u32) -> u64 {
        fnv1a_on(file, self.subject.to_be_bytes().into_iter().chain(nth.to_be_bytes()))
    }
}

/// The name of an order with a key of its own. The leading 0 keeps it apart from rows of files,
/// whose commands are not empty.
fn own(key: impl Iterator<Item = u8>) -> u64 {
    fnv1a_on(FNV1A, core::iter::once(0).chain(key))
}

/// A hash of an order's content, the same from the order and from its entry. It leaves out who gave
/// it and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHash(u64);

impl ContentHash {
    /// The hash of an order.
    pub fn of(act: &Act) -> Self {
        Content::of(act).hash()
    }
}

/// The subject of an order that settles a stored sale.
fn claim_of(claim: EntrySeq, card: CardNo) -> u64 {
    claim.0.rotate_left(40) ^ card.value()
}

fn word(text: &str) -> i64 {
    number(fnv1a(text.as_bytes()))
}

/// The same bits as a signed number.
fn number(value: u64) -> i64 {
    i64::from_be_bytes(value.to_be_bytes())
}

/// The card that a `link` entry's card replaces.
pub(super) fn replaced_card(entry: &Entry) -> Option<CardNo> {
    CardNo::parse(entry.detail.get("was")?.0.as_bytes())
}

/// A name that was used, kept as a hash. The chance that any two of 65,536 names share a hash is
/// one in ten thousand million. Then the second order is refused, because its content differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedName {
    /// The order's entry.
    pub seq: EntrySeq,
    /// The order's content.
    pub content: ContentHash,
    /// The account's figures in its answer.
    pub figures: Option<Figures>,
    /// Hash of its entry's account.
    account: Option<u32>,
    name: u64,
}

impl UsedName {
    /// Whether the figures may be this account's. The entry of a mark has no account, because it
    /// moves none.
    pub(crate) fn is_of(&self, account: &AccountId) -> bool {
        self.account.is_none_or(|hash| hash == hash_bytes(account.as_bytes()))
    }
}

impl HistoryRow for UsedName {
    type Key = u64;

    fn key(&self) -> u64 {
        self.name
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

/// A file from which an order was done.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NamedFile {
    /// The entry of its first order.
    first: EntrySeq,
    name: u64,
    /// Whether its rows name accounts, not cards.
    is_by_account: bool,
}

impl HistoryRow for NamedFile {
    type Key = u64;

    fn key(&self) -> u64 {
        self.name
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

#[derive(Clone, Debug, PartialEq, Eq)]
struct Void {
    seq: EntrySeq,
    sale: EntrySeq,
    undone: Undone,
    is_whole: bool,
}

impl HistoryRow for Void {
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

/// The sum of an entry's voids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Voided {
    /// Cash given back so far; of a credit, taken back: below zero.
    pub cash: Balance,
    /// As `cash`, of the subsidy; of a sale with what is not given back because a clear took it.
    pub subsidy: Balance,
    /// Whether the entry was voided in full.
    pub is_whole: bool,
}

/// Takes a line of a snapshot: its first word, and a function that writes the rest.
type Out<'a, E> = dyn FnMut(&str, &mut dyn FnMut(&mut SnapshotLine)) -> Result<(), E> + 'a;

/// Names, files and voids.
pub(super) struct Orders {
    names: History<UsedName, { 2 * NAMES_KEPT_MIN }, { 4 * NAMES_KEPT_MIN }>,
    /// Names before this entry may be forgotten.
    names_from: EntrySeq,
    files: History<NamedFile, { 2 * FILES_KEPT_MIN }, { 4 * FILES_KEPT_MIN }>,
    voids: History<Void, { 2 * VOIDS_KEPT_MIN }, { 4 * VOIDS_KEPT_MIN }>,
    /// Voids before this entry may be forgotten, so older sales cannot be voided.
    voids_from: EntrySeq,
    /// The last clear of all subsidy purses.
    clearing: Clearing,
}

impl Orders {
    pub(super) const fn new() -> Self {
        Self {
            names: History::new(),
            names_from: EntrySeq(0),
            files: History::new(),
            voids: History::new(),
            voids_from: EntrySeq(0),
            clearing: Clearing { begin: EntrySeq(0), accounts: 0, sum: Balance::ZERO, end: EntrySeq(0) },
        }
    }

    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.names_from = EntrySeq(0);
        self.files.clear();
        self.voids.clear();
        self.voids_from = EntrySeq(0);
        self.clearing = Clearing::default();
    }

    /// Remembers the order that led to an entry, if any.
    pub(super) fn apply(&mut self, entry: &Entry) {
        self.apply_clear(entry);
        let Some(content) = Content::of_entry(entry) else { return };
        if let Some(sale) = entry.about.filter(|_| entry.kind == Kind::Void) {
            let is_whole = !entry.is_partial();
            let has_forgotten = self.voids.push(Void { seq: entry.seq, sale, undone: undone_in(entry), is_whole });
            if has_forgotten {
                self.voids_from = self.voids.rows().next().map_or(entry.seq, HistoryRow::seq);
            }
        }
        let name = match (entry.detail.get("for"), entry.detail.get("key")) {
            (Some(purpose), _) => {
                let file = content.file(purpose.bytes());
                if self.files.find(file).next().is_none() {
                    let is_by_account = entry.detail.has("via");
                    self.files.push(NamedFile { first: entry.seq, name: file, is_by_account });
                }
                let nth = entry.detail.get("nth").and_then(|nth| nth.0.parse().ok());
                content.row(file, nth.unwrap_or(1))
            }
            (None, Some(key)) => own(key.bytes()),
            (None, None) => return,
        };
        let account = entry.account.map(|account| hash_bytes(account.as_bytes()));
        let figures = Figures::in_answer(entry);
        if self.names.push(UsedName { seq: entry.seq, content: content.hash(), figures, account, name }) {
            self.names_from = self.names.rows().next().map_or(entry.seq, HistoryRow::seq);
        }
    }

    /// Follows a clear of all subsidy purses: its beginning, each purse, its end.
    fn apply_clear(&mut self, entry: &Entry) {
        if entry.kind != Kind::Subsidy {
            return;
        }
        let Some(clear) = entry.detail.get("clear") else { return };
        if clear.is(CLEAR_BEGIN) {
            self.clearing = Clearing { begin: entry.seq, ..Clearing::default() };
        } else if entry.about == Some(self.clearing.begin) {
            if clear.is(CLEAR_END) {
                self.clearing.end = entry.seq;
            } else {
                self.clearing.accounts += 1;
                self.clearing.sum += -entry.subsidy.unwrap_or_default();
            }
        }
    }

    /// The last clear of all subsidy purses; `None` if there was none.
    pub(super) fn clearing(&self) -> Option<Clearing> {
        Some(self.clearing).filter(|clearing| clearing.begin > EntrySeq(0))
    }

    /// What a void undid, if that is remembered.
    pub(super) fn undone(&self, void: EntrySeq) -> Option<Undone> {
        self.voids.entry(void).map(|void| void.undone)
    }

    /// The earlier order with the same name, if it is remembered.
    pub(super) fn used(&self, order: &Order) -> Option<&UsedName> {
        let name = match &order.key {
            Key::Own(key) => own(key.bytes()),
            Key::For { name, nth } => {
                let content = Content::of(&order.act);
                content.row(content.file(name.bytes()), *nth)
            }
        };
        self.names.find(name).next()
    }

    /// Whether orders of the same file may be forgotten. Then nobody knows whether one that is not
    /// remembered was done.
    pub(super) fn has_forgotten(&self, order: &Order) -> bool {
        let Key::For { name, .. } = &order.key else { return false };
        let file = self.files.find(Content::of(&order.act).file(name.bytes())).next();
        file.is_some_and(|file| file.first < self.names_from)
    }

    /// If the rows of the order's file were named by account and the order is by card, or the other
    /// way round: the file's first entry. Nobody could tell which row was done before.
    pub(super) fn is_named_otherwise(&self, order: &Order) -> Option<EntrySeq> {
        let Key::For { name, .. } = &order.key else { return None };
        let (Act::Move { subject, .. } | Act::Clear { subject }) = &order.act else { return None };
        let file = self.files.find(Content::of(&order.act).file(name.bytes())).next()?;
        (file.is_by_account != matches!(subject, Subject::Account(_))).then_some(file.first)
    }

    /// The sum of an entry's voids; `None` if some may be forgotten.
    pub(super) fn voided(&self, sale: EntrySeq) -> Option<Voided> {
        if sale < self.voids_from {
            return None;
        }
        let add = |sum: Voided, void: &Void| Voided {
            cash: sum.cash + void.undone.cash,
            subsidy: sum.subsidy + void.undone.subsidy + void.undone.cleared,
            is_whole: sum.is_whole || void.is_whole,
        };
        Some(self.voids.find(sale).fold(Voided::default(), add))
    }

    // ---------------------------------------------------------------- snapshot

    pub(super) fn emit<E>(&self, out: &mut Out<E>) -> Result<(), E> {
        if self.names_from > EntrySeq(0) {
            out("names", &mut |line| column(line, self.names_from))?;
        }
        for used in self.names.rows() {
            out("name", &mut |line| {
                column(line, used.seq);
                column(line, format_args!("{:016x}", used.name));
                column(line, format_args!("{:016x}", used.content.0));
                column_or_none(line, used.account);
                column_or_none(line, used.figures);
            })?;
        }
        for file in self.files.rows() {
            out("file", &mut |line| {
                column(line, file.first);
                column(line, format_args!("{:016x}", file.name));
                column(line, u8::from(file.is_by_account));
            })?;
        }
        if self.voids_from > EntrySeq(0) {
            out("voids", &mut |line| column(line, self.voids_from))?;
        }
        for void in self.voids.rows() {
            out("void", &mut |line| {
                column(line, void.seq);
                column(line, void.sale);
                column(line, void.undone.cash);
                column(line, void.undone.subsidy);
                column(line, void.undone.cleared);
                column(line, void.undone.rest);
                column(line, u8::from(void.is_whole));
            })?;
        }
        if let Some(clearing) = self.clearing() {
            out("clear", &mut |line| {
                column(line, clearing.begin);
                column(line, clearing.accounts);
                column(line, clearing.sum);
                column(line, clearing.end);
            })?;
        }
        Ok(())
    }

    pub(super) fn restore_names(&mut self, fields: &mut Columns) -> Option<()> {
        restore_from(&mut self.names_from, fields)
    }

    pub(super) fn restore_name(&mut self, fields: &mut Columns) -> Option<()> {
        let (seq, name, content) = (fields.seq()?, fields.hash()?, ContentHash(fields.hash()?));
        let account = fields.or_none(Columns::number)?;
        let figures = fields.or_none(|fields| Figures::parse(fields.column()?))?;
        restore_row(&mut self.names, UsedName { seq, content, figures, account, name })
    }

    pub(super) fn restore_file(&mut self, fields: &mut Columns) -> Option<()> {
        restore_row(
            &mut self.files,
            NamedFile { first: fields.seq()?, name: fields.hash()?, is_by_account: fields.flag()? },
        )
    }

    pub(super) fn restore_voids(&mut self, fields: &mut Columns) -> Option<()> {
        restore_from(&mut self.voids_from, fields)
    }

    pub(super) fn restore_void(&mut self, fields: &mut Columns) -> Option<()> {
        let (seq, sale) = (fields.seq()?, fields.seq()?);
        let (cash, subsidy, cleared) = (fields.balance()?, fields.balance()?, fields.balance()?);
        let undone = Undone { cash, subsidy, cleared, rest: fields.money()? };
        restore_row(&mut self.voids, Void { seq, sale, undone, is_whole: fields.flag()? })
    }

    pub(super) fn restore_clear(&mut self, fields: &mut Columns) -> Option<()> {
        let begin = fields.seq()?;
        if self.clearing.begin > EntrySeq(0) || begin == EntrySeq(0) {
            return None;
        }
        let (accounts, sum) = (fields.number()?, fields.balance()?);
        self.clearing = Clearing { begin, accounts, sum, end: fields.seq()? };
        Some(())
    }

    // ---------------------------------------------------------------- compare

    pub(super) fn rows_of_names(&self) -> BTreeMap<u64, impl PartialEq + Debug + '_> {
        self.names.rows().map(|used| (used.seq.0, used)).collect()
    }

    pub(super) fn rows_of_files(&self) -> BTreeMap<u64, impl PartialEq + Debug + '_> {
        let rows = self.files.rows().map(|file| (file.first.0, (file.name, file.is_by_account)));
        rows.chain([(0, (self.names_from.0, false))]).collect()
    }

    pub(super) fn rows_of_voids(&self) -> BTreeMap<u64, impl PartialEq + Debug + '_> {
        let rows = self.voids.rows().map(|void| (void.seq.0, (void.sale.0, void.undone, void.is_whole)));
        rows.chain([(0, (self.voids_from.0, Undone::default(), false))]).collect()
    }
}

/// What a void undid, by its entry.
fn undone_in(entry: &Entry) -> Undone {
    let word = |key| entry.detail.get(key).and_then(|yuan| Money::parse(yuan.0.as_bytes())).unwrap_or_default();
    let Figures { balance: cash, subsidy, .. } = entry.effect();
    Undone { cash, subsidy, cleared: word("cleared").into(), rest: word("rest") }
}

/// Reads the entry before which rows may be forgotten.
fn restore_from(from: &mut EntrySeq, fields: &mut Columns) -> Option<()> {
    let seq = fields.seq()?;
    if *from > EntrySeq(0) || seq == EntrySeq(0) {
        return None;
    }
    *from = seq;
    Some(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;
    use crate::engine::model::order::Holder;
    use crate::engine::model::{Balance, ClockState, Detail, MachineNo, Money, Stamp, Text, Way};

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

    fn name(text: &str) -> AccountId {
        AccountId::try_from(text).unwrap()
    }

    fn of_subject(mut entry: Entry, subject: &Subject) -> Entry {
        match subject {
            Subject::Card(card) => entry.card = Some(*card),
            Subject::Account(account) => {
                entry.account = Some(*account);
                entry.detail.push("via", VIA_ACCOUNT);
            }
        }
        entry
    }

    #[test]
    fn an_order_has_the_content_of_its_own_entry_only() {
        let card = CardNo::parse(b"8888888888").unwrap();
        let by = Subject::Card(card);
        let moved = |way, amount, uses| Act::Move { way, subject: by, amount: Balance::from_fen(amount), uses };
        let acts = [
            moved(Way::TopUp, 550, 0),
            moved(Way::TopUp, 551, 0),
            moved(Way::TopUp, 550, 1),
            moved(Way::Subsidy, 550, 0),
            moved(Way::PayOut, 550, 2),
            moved(Way::Adjust, -550, -2),
            moved(Way::Subsidy, 0, 0),
            Act::Move {
                way: Way::TopUp,
                subject: Subject::Account(name("S1")),
                amount: Balance::from_fen(550),
                uses: 0,
            },
            Act::Move {
                way: Way::TopUp,
                subject: Subject::Account(name("S2")),
                amount: Balance::from_fen(550),
                uses: 0,
            },
            Act::Clear { subject: by },
            Act::Clear { subject: Subject::Account(name("S1")) },
            Act::ClearAll,
            Act::Void { sale: EntrySeq(7), amount: None, card: None },
            Act::Void { sale: EntrySeq(7), amount: Some(fen(550)), card: None },
            Act::Void { sale: EntrySeq(8), amount: None, card: None },
            Act::Mark { card, mark: Mark::Lost },
            Act::Mark { card, mark: Mark::Found },
            Act::Mark { card, mark: Mark::Unfrozen },
            Act::Link { old: CardNo::from_value(5), new: card },
            Act::Link { old: CardNo::from_value(6), new: card },
            Act::Account { card, account: name("S1") },
            Act::Account { card, account: name("S2") },
            Act::Rename { old: name("S1"), new: name("S2") },
            Act::Rename { old: name("S2"), new: name("S1") },
            Act::Reissue { card },
            Act::Open { machine: MachineNo::from_value(7), door: UnitNo::parse(b"1").unwrap() },
            Act::Open { machine: MachineNo::from_value(7), door: UnitNo::parse(b"2").unwrap() },
            Act::Settle { claim: EntrySeq(7), card, amount: Balance::from_fen(-550), uses: -2 },
            Act::Settle { claim: EntrySeq(8), card, amount: Balance::from_fen(-550), uses: -2 },
            Act::Settle { claim: EntrySeq(8), card, amount: Balance::ZERO, uses: 0 },
        ];
        let entries: Vec<Entry> = acts
            .iter()
            .map(|act| match act {
                Act::Move { way, subject, amount, uses } => {
                    let mut moved = of_subject(entry(1, way.kind(), ""), subject);
                    let account = moved.account.unwrap_or_default();
                    moved.enter_account(account, Figures::ZERO, way.booked(*amount, *uses));
                    moved
                }
                Act::Clear { subject } => {
                    let mut cleared = of_subject(entry(1, Kind::Subsidy, ""), subject);
                    cleared.detail.push("clear", CLEAR_ONE);
                    let account = cleared.account.unwrap_or_default();
                    let effect = Figures { subsidy: Balance::from_fen(-700), ..Figures::ZERO };
                    cleared.enter_account(account, -effect, effect);
                    cleared
                }
                Act::ClearAll => Entry { card: None, ..entry(1, Kind::Subsidy, "clear=all") },
                Act::Settle { claim, amount, uses, .. } => Entry {
                    about: Some(*claim),
                    amount: Some(*amount),
                    uses: Some(*uses),
                    ..entry(1, Kind::Adjust, "")
                },
                Act::Void { sale, amount, .. } => {
                    // Without an amount an order voids all that is left.
                    let asked = amount.map_or(String::new(), |amount| format!("asked={amount}"));
                    let amount = Some(Balance::from_fen(550));
                    Entry { about: Some(*sale), amount, ..entry(1, Kind::Void, &asked) }
                }
                Act::Mark { mark, .. } => entry(1, Kind::Status, &format!("status={}", mark.word())),
                Act::Link { old, .. } => entry(1, Kind::Link, &format!("was={old}")),
                Act::Account { account, .. } => {
                    Entry { account: Some(*account), ..entry(1, Kind::Link, "from=@8888888888") }
                }
                Act::Rename { old, new } => {
                    Entry { account: Some(*new), card: None, ..entry(1, Kind::Link, &format!("from={old}")) }
                }
                Act::Reissue { .. } => {
                    Entry { account: Some(name("S1")), ..entry(1, Kind::Link, "from=S2 status=reissued") }
                }
                Act::Open { machine, door } => {
                    let slot = Text::try_from(format!("{door}:{door}").as_str()).ok();
                    Entry { machine: Some(*machine), slot, card: None, ..entry(1, Kind::Remote, "") }
                }
            })
            .collect();
        for (place, act) in acts.iter().enumerate() {
            for (other, entry) in entries.iter().enumerate() {
                let asked = Content::of_entry(entry).map(|content| content.hash());
                assert_eq!(asked == Some(ContentHash::of(act)), place == other, "{act:?} {entry:?}");
            }
        }
    }

    fn topup(card: u64, key: Key) -> Order {
        let act = Act::Move {
            way: Way::TopUp,
            subject: Subject::Card(CardNo::from_value(card)),
            amount: Balance::from_fen(550),
            uses: 0,
        };
        Order { act, key, by: Text::new(), note: Text::new(), holder: Holder::new() }
    }

    fn own_key(text: &str) -> Key {
        Key::Own(Text::try_from(text).unwrap())
    }

    fn row(name: &str, nth: u32) -> Key {
        Key::For { name: Text::try_from(name).unwrap(), nth }
    }

    const CARD: u64 = 8_888_888_888;

    #[test]
    fn a_name_is_a_key_or_a_file_s_purpose_with_card_and_count() {
        let mut orders = cleared();
        orders.apply(&entry(1, Kind::TopUp, "key=50%25%3D by=li"));
        orders.apply(&entry(2, Kind::TopUp, "for=2026-12 by=li"));
        orders.apply(&entry(3, Kind::TopUp, "for=2026-12 nth=2 by=li"));
        orders.apply(&entry(4, Kind::TopUp, "for=%25十二月"));
        orders.apply(&entry(5, Kind::TopUp, "by=li"));
        orders.apply(&entry(6, Kind::Charge, "key=no-order"));
        let used = |card, key| orders.used(&topup(card, key)).map(|used| used.seq.0);
        assert_eq!(used(CARD, own_key("50%=")), Some(1));
        // A key is one name, whatever the card.
        assert_eq!(used(7, own_key("50%=")), Some(1));
        assert_eq!(used(CARD, row("2026-12", 1)), Some(2));
        assert_eq!(used(CARD, row("2026-12", 2)), Some(3));
        assert_eq!(used(CARD, row("%十二月", 1)), Some(4));
        for other in ["50%", "2026-12", "1", "no-order", ""] {
            assert_eq!(used(CARD, own_key(other)), None, "{other:?}");
        }
        for (card, name, nth) in [(CARD, "2026-12", 3), (CARD, "2026-1", 2), (7, "2026-12", 1), (CARD, "50%=", 1)] {
            assert_eq!(used(card, row(name, nth)), None, "{card} {name} {nth}");
        }
        // A file of that name for another command is another file.
        let mut subsidy = topup(CARD, row("2026-12", 1));
        subsidy.act = Act::Move {
            way: Way::Subsidy,
            subject: Subject::Card(CardNo::from_value(CARD)),
            amount: Balance::ZERO,
            uses: 1,
        };
        assert_eq!(orders.used(&subsidy), None);
    }

    #[test]
    fn nothing_new_is_done_for_a_file_with_forgotten_orders() {
        let mut orders = cleared();
        let file = |seq: u64, name: &str, card: u64| {
            let mut entry = entry(seq, Kind::TopUp, &format!("for={name}"));
            entry.card = Some(CardNo::from_value(card));
            entry
        };
        let least = NAMES_KEPT_MIN as u64;
        orders.apply(&file(1, "old", 0));
        for seq in 2..=2 * least {
            orders.apply(&file(seq, "long", seq));
        }
        let has_forgotten = |orders: &Orders, name| orders.has_forgotten(&topup(CARD, row(name, 1)));
        assert!(!has_forgotten(&orders, "old") && !has_forgotten(&orders, "long"));
        assert!(orders.used(&topup(0, row("old", 1))).is_some());
        // One more order, and the older half is forgotten, which includes rows of the long file.
        orders.apply(&file(2 * least + 1, "new", 0));
        assert!(orders.used(&topup(0, row("old", 1))).is_none());
        assert!(has_forgotten(&orders, "old") && has_forgotten(&orders, "long"));
        assert!(!has_forgotten(&orders, "new") && !has_forgotten(&orders, "never"));
        assert!(!orders.has_forgotten(&topup(CARD, own_key("old"))));
        // The limit's number of names stays known.
        assert!((least + 1..=2 * least).all(|seq| orders.used(&topup(seq, row("long", 1))).is_some()));
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
        assert_eq!(
            orders.voided(EntrySeq(3)),
            Some(Voided { cash: Balance::from_fen(150), is_whole: false, ..Voided::default() })
        );
        assert_eq!(
            orders.voided(EntrySeq(4)),
            Some(Voided { cash: Balance::from_fen(100), is_whole: true, ..Voided::default() })
        );
        assert_eq!(orders.voided(EntrySeq(5)), Some(Voided::default()));
    }
}
