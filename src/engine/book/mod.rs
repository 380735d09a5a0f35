//! The state of the business: the result of applying the ledger's entries in order (design.md,
//! section 1).
//!
//! [`Book::apply`] is the only writer. Live frames and recovery both use it, so the state after a
//! restart equals the state before. The book decides nothing. It answers questions: an account's
//! figures, a card's sales of today, whether a frame was answered before, which sales are in doubt.

mod accounts;
mod cards;
mod compare;
mod day;
mod history;
mod memory;
mod orders;
mod snapshot;

use core::fmt;
use core::num::NonZeroU64;

pub use accounts::AccountConflict;
use accounts::Reissue;
pub(crate) use accounts::{REISSUED, account_in};
pub use cards::CardHistory;
use cards::CardState;
pub use day::PeriodId;
use day::PeriodNames;
use history::{History, HistoryRow};
use memory::Memory;
pub use memory::{AnsweredFrame, FrameId, Moment, Outcome, Window, is_answer};
use orders::Orders;
pub(crate) use orders::{CLEAR_BEGIN, CLEAR_END, CLEAR_ONE, VIA_ACCOUNT};
pub use orders::{ContentHash, UsedName, Voided};
pub(crate) use snapshot::account_line;
pub use snapshot::{AccountLine, BadLine};

use crate::engine::index::{Index, fnv1a, hash_bytes, hash_number};
use crate::engine::limits::{
    ACCOUNTS_MAX, CARDS_MAX, DEVICES_MAX, DOUBTS_KEPT_MIN, OFFLINE_KEPT_MIN, PASSES_KEPT_MIN, REISSUES_KEPT_MIN,
};
use crate::engine::model::card::NOWHERE;
use crate::engine::model::digits::Decimal;
use crate::engine::model::order::{Clearing, Undone};
use crate::engine::model::{
    AccountId, Balance, CardNo, CardTable, Civil, ClockState, DeviceTime, Entry, EntrySeq, Figures, IncomingTable,
    Kind, MachineNo, MissingEntries, Money, Mono, Order, Serial, Stamp, UnitNo,
};

/// A 105 is compared with at most this many remembered 105s without a believed time: those of one
/// card and amount share a hash, and anybody can send many.
const TIMELESS_LOOKED_AT_MAX: usize = 64;

/// An account: its figures by the ledger, and its opening figures by the card table.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Account {
    /// Its name.
    pub id: AccountId,
    /// The sums of its entries' amounts, subsidies and uses.
    pub held: Figures,
    /// The opening figures that the table's rows state. A figure counts unless it is held back.
    stated: Figures,
    /// Whether the ledger has the cards of all rows that state the balance on other accounts. The
    /// balance then counts only for a card whose number is given to another holder.
    is_balance_held_back: bool,
    /// As `is_balance_held_back`, for the subsidy.
    is_subsidy_held_back: bool,
    /// As `is_balance_held_back`, for the uses.
    are_uses_held_back: bool,
    /// The entry that last emptied the subsidy purse; 0 if none did.
    cleared: EntrySeq,
    /// The first card of the table that names it; 0 if none does.
    named_by: u64,
    is_opened: bool,
    /// Whether an entry changed the account for good ([`Entry::is_lasting`]).
    has_moved: bool,
    /// Whether the table puts a card on it that the ledger does not have on another account.
    in_table: bool,
    /// The account to which all its figures moved, and the entry that moved them: the account was
    /// renamed, or its card was put on another account. Then the name is free.
    moved_to: Option<MovedTo>,
    /// Whether the name is still unused since then.
    is_free: bool,
    /// The entry that moved all its figures away before `moved_to`; 0 if there is none.
    moved_before: EntrySeq,
}

/// The account to which all figures of another one moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MovedTo {
    account: u32,
    /// Never 0, so that an `Option` of this takes no more room in the accounts' table.
    seq: NonZeroU64,
    /// The last entry before that which emptied the account's subsidy purse; 0 if none did.
    cleared: EntrySeq,
}

impl MovedTo {
    /// `None` if `seq` is 0, which no entry has.
    fn new(account: u32, seq: EntrySeq, cleared: EntrySeq) -> Option<Self> {
        NonZeroU64::new(seq.0).map(|seq| Self { account, seq, cleared })
    }

    /// The entry that moved them.
    fn seq(self) -> EntrySeq {
        EntrySeq(self.seq.get())
    }
}

impl Account {
    /// The figures that an `open` entry will add: the table's, until the account is opened.
    pub fn unopened(&self) -> Option<Figures> {
        (self.in_table && !self.is_opened).then_some(self.opening())
    }

    /// The table's opening figures that count.
    fn opening(&self) -> Figures {
        Figures {
            balance: if self.is_balance_held_back { Balance::ZERO } else { self.stated.balance },
            subsidy: if self.is_subsidy_held_back { Balance::ZERO } else { self.stated.subsidy },
            uses: if self.are_uses_held_back { 0 } else { self.stated.uses },
        }
    }

    /// Adds the opening figures of a row of the table; `is_elsewhere`: the ledger has the row's
    /// card on another account. Rows that share an account state equal figures or none:
    /// `files::cards` checked that.
    fn take_stated(&mut self, figures: Figures, is_elsewhere: bool) {
        let Figures { balance, subsidy, uses } = figures;
        if balance != Balance::ZERO {
            self.is_balance_held_back =
                is_elsewhere && (self.is_balance_held_back || self.stated.balance == Balance::ZERO);
            self.stated.balance = balance;
        }
        if subsidy != Balance::ZERO {
            self.is_subsidy_held_back =
                is_elsewhere && (self.is_subsidy_held_back || self.stated.subsidy == Balance::ZERO);
            self.stated.subsidy = subsidy;
        }
        if uses != 0 {
            self.are_uses_held_back = is_elsewhere && (self.are_uses_held_back || self.stated.uses == 0);
            self.stated.uses = uses;
        }
    }

    /// The first card of the table that names it.
    pub(crate) fn named_by(&self) -> Option<CardNo> {
        (self.named_by != 0).then(|| CardNo::from_value(self.named_by).padded())
    }

    /// Holds all opening figures back, or none.
    fn hold_back(&mut self, is_held_back: bool) {
        self.is_balance_held_back = is_held_back;
        self.is_subsidy_held_back = is_held_back;
        self.are_uses_held_back = is_held_back;
    }

    /// Whether an entry changed the account for good ([`Entry::is_lasting`]).
    pub(crate) fn has_moved(&self) -> bool {
        self.has_moved
    }

    /// Whether the table's figures were entered, or no longer count.
    pub(crate) fn is_opened(&self) -> bool {
        self.is_opened
    }

    /// Whether somebody uses the account by the ledger: an entry changed it, and its name is not
    /// free.
    pub fn is_in_use(&self) -> bool {
        self.has_moved && !self.is_free
    }

    /// The figures as the holder sees them: the ledger's, plus opening figures that are not entered
    /// yet.
    pub fn figures(&self) -> Figures {
        self.held + self.unopened().unwrap_or_default()
    }
}

/// An approved sale that no 109, void or 105 has settled (design.md, section 8).
#[derive(Clone, Debug)]
pub struct Doubt {
    /// The sale's entry.
    pub seq: EntrySeq,
    machine: u64,
    serial: Option<Serial>,
    card: u64,
    asked: Money,
    /// The sale's time by the terminal, if it is believed.
    pub at: Option<Civil>,
    /// When it was last received: the sale, or its newest `repeat`.
    pub tried: Moment,
    /// The time of `tried` by the terminal, if it is believed.
    pub tried_at: Option<Civil>,
    /// Paid by code. If the answer did not arrive, the holder may swipe the card instead; a 105 of
    /// a card's sale never has the same second.
    is_scan: bool,
    is_settled: bool,
    /// Whether a 105 was matched with it: a second 105 is another sale.
    is_taken: bool,
}

impl HistoryRow for Doubt {
    type Key = (u64, u64, Money);

    fn key(&self) -> Self::Key {
        (self.machine, self.card, self.asked)
    }

    fn hash((machine, card, asked): &Self::Key) -> u32 {
        hash_number(machine.rotate_left(40) ^ card.rotate_left(20) ^ u64::from(asked.fen()))
    }

    fn seq(&self) -> EntrySeq {
        self.seq
    }

    fn is_spent(&self) -> bool {
        self.is_settled
    }
}

/// Identifies a 105 (design.md, section 8): device, record address, card, amount, kind and raw
/// time, without seq.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfflineId {
    /// The terminal's number.
    pub machine: u64,
    /// The terminal's serial, if it sends one.
    pub serial: Option<Serial>,
    card: u64,
    /// Zero in count mode, and if the amount could not be read.
    asked: Money,
    when: u64,
    /// Whether the device's time was believed. Then an equal record is the same one, however late
    /// it comes.
    is_believed: bool,
    /// A hash of the texts of record address, amount, kind and unreadable fields.
    rest: u64,
}

impl OfflineId {
    /// The identity of a 105, from the entry that it leads to, so that it is the same live and in a
    /// replay.
    pub fn of(entry: &Entry) -> Self {
        let word = |key| entry.detail.get(key).map_or(0, |value| fnv1a(value.0.as_bytes()));
        let slot = entry.slot.as_ref().map_or(0, |slot| fnv1a(slot.as_bytes()));
        let (amount, unreadable) = match amount_of_record(entry) {
            Some(amount) => (fnv1a(Decimal::yuan(i64::from(amount.fen())).as_bytes()), 0),
            None => (0, word("claimed")),
        };
        let rest = [slot, unreadable, amount, word("mode"), word("card")];
        Self {
            machine: entry.machine.map_or(0, |machine| machine.value()),
            serial: entry.serial,
            card: entry.card.map_or(0, |card| card.value()),
            asked: basis_amount(entry),
            when: entry.device_time.as_ref().map_or(0, DeviceTime::mark),
            is_believed: entry.believed_at().is_some(),
            rest: rest.iter().fold(0, |mix, word| fnv1a(&(mix ^ word).to_be_bytes())),
        }
    }
}

impl OfflineId {
    /// The fields that the same sale as a 103 has too.
    fn key(&self) -> (u64, u64, Money, u64) {
        (self.machine, self.card, self.asked, self.when)
    }
}

/// The amount of a 105, booked or not. A record that was entered without effect today may be
/// matched tomorrow, after `offline_max` changed.
fn amount_of_record(entry: &Entry) -> Option<Money> {
    let claimed = || Money::parse(entry.detail.get("claimed")?.0.as_bytes());
    entry.detail.asked().or_else(claimed)
}

/// The money that a 105 asks to book: zero in count mode.
fn basis_amount(entry: &Entry) -> Money {
    let is_count = entry.detail.get("mode").is_some_and(|mode| mode.0 != "0");
    if is_count { Money::ZERO } else { amount_of_record(entry).unwrap_or_default() }
}

#[derive(Clone, Debug)]
struct Offline {
    seq: EntrySeq,
    id: OfflineId,
    at: Moment,
    /// Whether it was booked or matched. No 103 can be the sale of an entry without effect.
    is_sale: bool,
    /// Whether it is matched with a sale: one record matches one sale. For an entry without effect:
    /// whether an operator settled it.
    is_taken: bool,
}

/// A remembered 105 that equals a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordMatch {
    /// The new one is the record of this entry.
    Same(EntrySeq),
    /// The new one is either the record of this entry or another sale; its fields cannot tell
    /// which.
    Maybe(EntrySeq),
}

impl HistoryRow for Offline {
    type Key = (u64, u64, Money, u64);

    fn key(&self) -> Self::Key {
        self.id.key()
    }

    fn hash((machine, card, asked, when): &Self::Key) -> u32 {
        hash_number(machine.rotate_left(40) ^ card.rotate_left(20) ^ u64::from(asked.fen()) ^ when)
    }

    fn seq(&self) -> EntrySeq {
        self.seq
    }

    fn is_spent(&self) -> bool {
        false
    }
}

/// An admission, for the pass-back rule.
#[derive(Clone, Debug)]
pub struct Pass {
    seq: EntrySeq,
    machine: u64,
    door: u64,
    card: u64,
    /// When the door was opened.
    pub at: Moment,
    /// Whether the board's 109 came.
    pub is_confirmed: bool,
}

impl HistoryRow for Pass {
    type Key = (u64, u64, u64);

    fn key(&self) -> Self::Key {
        (self.machine, self.door, self.card)
    }

    fn hash((machine, door, card): &Self::Key) -> u32 {
        hash_number(machine.rotate_left(40) ^ door.rotate_left(56) ^ card)
    }

    fn seq(&self) -> EntrySeq {
        self.seq
    }

    fn is_spent(&self) -> bool {
        false
    }
}

/// An entry that contradicts those before it: the ledger is damaged, or was edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The entry's number is not the next one.
    Seq {
        /// The next number.
        expected: EntrySeq,
    },
    /// The account's balance is not the sum of its entries' amounts.
    Balance {
        /// The sum of its entries.
        expected: Balance,
    },
    /// The account's subsidy is not the sum of its entries' subsidies.
    Subsidy {
        /// The sum of its entries.
        expected: Balance,
    },
    /// The account's uses are not the sum of its entries' uses.
    Uses {
        /// The sum of its entries.
        expected: i32,
    },
    /// The ledger's entries have more than [`ACCOUNTS_MAX`] accounts or cards.
    Full,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seq { expected } => write!(f, "the seq does not follow: expected {expected}"),
            Self::Balance { expected } => write!(f, "the balance does not follow: the entries add up to {expected}"),
            Self::Subsidy { expected } => {
                write!(f, "subsidy_left does not follow: the entries add up to {expected}")
            }
            Self::Uses { expected } => write!(f, "uses_left does not follow: the entries add up to {expected}"),
            Self::Full => write!(f, "more than {ACCOUNTS_MAX} accounts have moved: this program has no room for them"),
        }
    }
}

/// The state that the ledger's entries add up to.
pub struct Book {
    head: EntrySeq,
    newest: Option<Stamp>,
    /// Whether the newest entry's clock was believed.
    newest_clock: ClockState,
    newest_ok: Option<Stamp>,
    clock_floor: Option<Stamp>,
    /// The entries that an older copy lacks, and the `start` that found it, until a person has
    /// acknowledged it.
    rolled_back: Option<(MissingEntries, EntrySeq)>,
    /// CRC-32 of the table that went into service last, if an entry since the snapshot says so.
    served_table: Option<u32>,
    accounts: heapless::Vec<Account, ACCOUNTS_MAX>,
    by_account: Index<{ 2 * ACCOUNTS_MAX }>,
    cards: heapless::Vec<CardState, CARDS_MAX>,
    by_card: Index<{ 2 * CARDS_MAX }>,
    memories: heapless::Vec<Memory, DEVICES_MAX>,
    by_machine: Index<{ 4 * DEVICES_MAX }>,
    doubts: History<Doubt, { 2 * DOUBTS_KEPT_MIN }, { 4 * DOUBTS_KEPT_MIN }>,
    offline: History<Offline, { 2 * OFFLINE_KEPT_MIN }, { 4 * OFFLINE_KEPT_MIN }>,
    passes: History<Pass, { 2 * PASSES_KEPT_MIN }, { 4 * PASSES_KEPT_MIN }>,
    periods: PeriodNames,
    orders: Orders,
    reissues: History<Reissue, { 2 * REISSUES_KEPT_MIN }, { 4 * REISSUES_KEPT_MIN }>,
    /// The last entry, if it is the first of two: it took the figures out of an account, and the
    /// second, which adds them to another, is still missing. At most one. An `Option` would do, but
    /// its `None` is not all zero bits, so a `static` book would take its whole size in the
    /// program's file.
    halfway: heapless::Vec<Entry, 1>,
}

impl Book {
    /// The state before the first entry.
    pub const fn new() -> Self {
        Self {
            head: EntrySeq(0),
            newest: None,
            newest_clock: ClockState::Ok,
            newest_ok: None,
            clock_floor: None,
            rolled_back: None,
            served_table: None,
            accounts: heapless::Vec::new(),
            by_account: Index::new(),
            cards: heapless::Vec::new(),
            by_card: Index::new(),
            memories: heapless::Vec::new(),
            by_machine: Index::new(),
            doubts: History::new(),
            offline: History::new(),
            passes: History::new(),
            periods: PeriodNames::new(),
            orders: Orders::new(),
            reissues: History::new(),
            halfway: heapless::Vec::new(),
        }
    }

    /// Returns to the state before the first entry, but keeps what configuration and table say:
    /// registered devices, the accounts' opening figures, and the account rows to which the table's
    /// cards refer.
    pub fn rewind(&mut self) {
        if self.accounts.iter().any(|account| account.in_table) {
            for account in &mut self.accounts {
                (account.held, account.cleared) = (Figures::default(), EntrySeq(0));
                (account.is_opened, account.has_moved, account.is_free) = (false, false, false);
                (account.moved_to, account.moved_before) = (None, EntrySeq(0));
            }
        } else {
            self.accounts.clear();
            self.by_account.clear();
        }
        self.memories.retain(|memory| memory.is_pinned);
        for memory in &mut self.memories {
            *memory = Memory::new(memory.machine);
            memory.is_pinned = true;
        }
        let memories = &self.memories;
        self.by_machine.fill(memories.len(), |row| hash_number(memories[row as usize].machine));
        self.forget_entries();
    }

    /// Forgets everything, before a replay.
    pub fn clear(&mut self) {
        self.accounts.clear();
        self.by_account.clear();
        self.memories.clear();
        self.by_machine.clear();
        self.forget_entries();
    }

    /// Forgets all that comes from entries only: everything but accounts and devices, which also
    /// come from the table and the configuration.
    fn forget_entries(&mut self) {
        self.head = EntrySeq(0);
        self.newest = None;
        self.newest_clock = ClockState::Ok;
        self.newest_ok = None;
        self.clock_floor = None;
        self.rolled_back = None;
        self.served_table = None;
        self.cards.clear();
        self.by_card.clear();
        self.doubts.clear();
        self.offline.clear();
        self.passes.clear();
        self.periods.clear();
        self.orders.clear();
        self.reissues.clear();
        self.halfway.clear();
    }

    // ---------------------------------------------------------------- the only writer

    /// Applies the next entry. `mono` is the time of a live entry; `None` in a replay.
    ///
    /// # Errors
    /// If the entry contradicts those before it. The book is then invalid and must be cleared.
    pub fn apply(&mut self, entry: &Entry, mono: Option<Mono>) -> Result<(), Mismatch> {
        if entry.seq != self.head.next() {
            return Err(Mismatch::Seq { expected: self.head.next() });
        }
        self.head = entry.seq;
        self.apply_clock(entry);
        self.apply_rolled_back(entry);
        self.apply_table(entry);
        let account = self.apply_figures(entry)?;
        self.apply_card(entry, account)?;
        self.apply_account(entry, account);
        // This comes before the sale is added to the doubts, because a device that is remembered
        // again counts its doubts. Only a sale may make the book forget a device that must not be
        // forgotten.
        let is_kept = matches!(entry.kind, Kind::Charge | Kind::Meal | Kind::Scan);
        let remembered = entry.machine.filter(|machine| is_kept || self.has_place_for(*machine));
        let device = remembered.map(|machine| self.find_or_add_memory(machine));
        let at = Moment { mono, stamp: entry.time, clock: entry.clock };
        self.apply_doubt(entry, device, at);
        self.apply_records(entry, at);
        self.orders.apply(entry);
        if let Some(row) = device {
            self.apply_device(entry, row, at);
        }
        Ok(())
    }

    fn apply_clock(&mut self, entry: &Entry) {
        // The clock was set, or is believed again: later days that were counted never were.
        let is_believed_again = entry.clock == ClockState::Ok && self.newest_clock == ClockState::Unset;
        if is_believed_again || (entry.clock == ClockState::Ok && entry.kind == Kind::Clock) {
            let today = entry.time.civil().date();
            for card in &mut self.cards {
                card.days.forget_after(today);
            }
        }
        self.newest = Some(entry.time);
        self.newest_clock = entry.clock;
        if entry.kind == Kind::Clock {
            self.clock_floor = None;
        }
        if entry.clock == ClockState::Ok {
            self.newest_ok = Some(entry.time);
            let is_later = self.clock_floor.is_none_or(|floor| floor.wall < entry.time.wall);
            if is_later {
                self.clock_floor = Some(entry.time);
            }
        }
    }

    fn apply_rolled_back(&mut self, entry: &Entry) {
        match entry.kind {
            Kind::Start => {
                let gone = entry.detail.get("rolled_back").and_then(|gone| MissingEntries::parse(gone.0));
                self.rolled_back = gone.map(|gone| (gone, entry.seq)).or(self.rolled_back);
            }
            Kind::Acknowledge => self.rolled_back = None,
            _ => (),
        }
    }

    fn apply_table(&mut self, entry: &Entry) {
        if matches!(entry.kind, Kind::Start | Kind::Reload) {
            let crc = entry.detail.get("cards_crc");
            self.served_table = crc.and_then(|crc| u32::from_str_radix(crc.0, 16).ok());
        }
    }

    fn apply_figures(&mut self, entry: &Entry) -> Result<Option<u32>, Mismatch> {
        let Some(id) = &entry.account else { return Ok(None) };
        let known = self.by_account.find(hash_bytes(id.as_bytes()), |row| self.accounts[row as usize].id == *id);
        // Also true for an opening or a sale of zero: its effect must not depend on a row that only
        // the table made.
        let is_lasting = entry.is_lasting();
        let row = match known {
            Some(row) => row,
            None if is_lasting => self.add_account(id).ok_or(Mismatch::Full)?,
            None => return Ok(None),
        };
        let account = &mut self.accounts[row as usize];
        if entry.kind == Kind::Open {
            account.is_opened = true;
        }
        account.held += entry.effect();
        if entry.is_clear() {
            account.cleared = entry.seq;
        }
        account.has_moved |= is_lasting;
        account.is_free &= !is_lasting;
        if account.has_moved {
            let Figures { balance, subsidy, uses } = account.held;
            if entry.balance.is_some_and(|written| written != balance) {
                return Err(Mismatch::Balance { expected: balance });
            }
            if entry.subsidy_left.is_some_and(|written| written != subsidy) {
                return Err(Mismatch::Subsidy { expected: subsidy });
            }
            if entry.uses_left.is_some_and(|written| written != uses) {
                return Err(Mismatch::Uses { expected: uses });
            }
        }
        Ok(Some(row))
    }

    fn apply_doubt(&mut self, entry: &Entry, device: Option<usize>, at: Moment) {
        match entry.kind {
            Kind::Charge | Kind::Meal | Kind::Scan => {
                let (Some(machine), Some(row), Some(card)) = (entry.machine, device, entry.card) else { return };
                let has_forgotten = self.doubts.push(Doubt {
                    seq: entry.seq,
                    machine: machine.value(),
                    serial: entry.serial,
                    card: card.value(),
                    asked: asked_amount(entry),
                    at: entry.believed_at(),
                    tried: at,
                    tried_at: entry.believed_at(),
                    is_scan: entry.kind == Kind::Scan,
                    is_settled: false,
                    is_taken: false,
                });
                self.memories[row].doubts += 1;
                if has_forgotten {
                    self.count_doubts();
                }
            }
            // A partial void leaves the sale in doubt: the terminal may still send it as a 105.
            Kind::Void if entry.is_partial() => (),
            Kind::Repeat => {
                let Some(doubt) = entry.about.and_then(|about| self.doubts.entry_mut(about)) else { return };
                (doubt.tried, doubt.tried_at) = (at, entry.believed_at());
            }
            // A 105 of a sale that was voided in full.
            Kind::Offline => {
                let Some(doubt) = entry.about.and_then(|about| self.doubts.entry_mut(about)) else { return };
                doubt.is_taken = true;
            }
            Kind::Confirm | Kind::Matched | Kind::Void => {
                let Some(doubt) = entry.about.and_then(|about| self.doubts.entry_mut(about)) else { return };
                doubt.is_taken |= entry.is_of_record();
                if core::mem::replace(&mut doubt.is_settled, true) {
                    return;
                }
                let machine = doubt.machine;
                if let Some(row) = self.memories_row(machine) {
                    self.memories[row].doubts -= 1;
                }
            }
            _ => (),
        }
    }

    /// Recounts each device's sales in doubt after the history forgot some.
    fn count_doubts(&mut self) {
        for memory in &mut self.memories {
            memory.doubts = 0;
        }
        let Self { doubts, memories, by_machine, .. } = self;
        for doubt in doubts.rows().filter(|doubt| !doubt.is_settled) {
            let row =
                by_machine.find(hash_number(doubt.machine), |row| memories[row as usize].machine == doubt.machine);
            if let Some(row) = row {
                memories[row as usize].doubts += 1;
            }
        }
    }

    /// Adds stored sales, and marks those that an entry matches or settles.
    fn apply_records(&mut self, entry: &Entry, at: Moment) {
        match entry.kind {
            _ if entry.is_of_record() => {
                let is_sale = !entry.detail.has("claimed");
                let (id, is_taken) = (OfflineId::of(entry), entry.about.is_some());
                self.offline.push(Offline { seq: entry.seq, id, at, is_sale, is_taken });
            }
            Kind::Matched | Kind::Adjust => {
                if let Some(offline) = entry.about.and_then(|about| self.offline.entry_mut(about)) {
                    // A sale is matched with a booked record; an operator settles one that was not
                    // booked.
                    offline.is_taken |= offline.is_sale == (entry.kind == Kind::Matched);
                }
            }
            _ => (),
        }
    }

    fn apply_device(&mut self, entry: &Entry, row: usize, at: Moment) {
        let memory = &mut self.memories[row];
        memory.last = entry.seq;
        memory.remember(entry, at);
        match entry.kind {
            Kind::Confirm => {
                if let Some(about) = entry.about {
                    memory.confirm(about);
                    if let Some(pass) = self.passes.entry_mut(about) {
                        pass.is_confirmed = true;
                    }
                }
            }
            Kind::Admit => {
                let door = entry.slot.as_ref().and_then(|slot| slot.split_once(':')).map(|(_, door)| door);
                if let (Some(card), Some(door)) = (entry.card, door.and_then(|door| UnitNo::parse(door.as_bytes()))) {
                    let (machine, door, card) = (memory.machine, door.value(), card.value());
                    self.passes.push(Pass { seq: entry.seq, machine, door, card, at, is_confirmed: false });
                }
            }
            Kind::Boot => {
                // Settled by a 109, and by nothing else.
                let is_confirmed = |doubt: &Doubt| doubt.is_settled && !doubt.is_taken;
                memory.forget_confirmed(at, |sale| {
                    let is_voided = self.orders.voided(sale).is_some_and(|voided| voided.is_whole);
                    !is_voided && self.doubts.entry(sale).is_some_and(is_confirmed)
                });
            }
            _ if entry.is_of_record() => memory.mark_matched(entry.about.unwrap_or(entry.seq)),
            _ => (),
        }
    }

    /// Looks up where this book has the accounts and cards of an incoming table, for at most
    /// `count` of each; `false` if all are looked up. [`Book::install`] is faster then.
    pub fn look_up(&self, new: &mut IncomingTable, count: usize) -> bool {
        new.look_up(count, self.cards.len(), |id| self.account_row(id.as_str()), |card| self.card_row(card))
    }

    /// Installs the table with its accounts and opening figures, and removes accounts that neither
    /// the ledger nor the table has. Returns the accounts whose new figures are ignored: they are
    /// opened, so the ledger's figures count (design.md, section 5).
    ///
    /// # Errors
    /// The number of accounts needed, if they do not fit. Nothing has changed then.
    pub fn install(&mut self, table: &mut CardTable, mut new: IncomingTable) -> Result<Vec<AccountId>, usize> {
        while self.look_up(&mut new, CARDS_MAX) {}
        let (mut rows, mut states, states_len) = new.looked_up();
        // Entries may have added accounts and cards since they were looked up; none has moved.
        for (row, account) in rows.iter_mut().zip(new.accounts()).filter(|(row, _)| **row == NOWHERE) {
            *row = self.account_row(account.id.as_str()).unwrap_or(NOWHERE);
        }
        for (state, card) in (0..).zip(&self.cards).skip(states_len).map(|(state, card)| (state, card.card)) {
            if let Some(row) = new.find(CardNo::from_value(card)) {
                states[row] = state;
            }
        }
        self.check_room_for(&new, &rows)?;
        self.forget_accounts_but(&mut rows);
        for (row, account) in rows.iter_mut().zip(new.accounts()).filter(|(row, _)| **row == NOWHERE) {
            *row = self.add_account(&account.id).expect("the accounts were counted above");
        }
        let figures = |account: &Account| (account.in_table && account.is_opened).then(|| account.opening());
        let before: Vec<_> = self.accounts.iter().map(figures).collect();
        for account in &mut self.accounts {
            account.in_table = false;
            (account.stated, account.named_by) = (Figures::default(), 0);
            account.hold_back(false);
        }
        let Self { accounts, cards, .. } = self;
        new.put_on_accounts(|number, card, place, stated| {
            let row = rows[place as usize];
            // The account of a card is opening data too: once the card moved money, the ledger
            // determines its account, and its row opens no other.
            let state = cards.get(states[number] as usize);
            let is_elsewhere = state.and_then(|state| state.account).is_some_and(|own| own != row);
            let account = &mut accounts[row as usize];
            account.in_table |= !is_elsewhere;
            if account.named_by == 0 && !is_elsewhere {
                account.named_by = card;
            }
            if let Some(stated) = stated {
                account.take_stated(stated, is_elsewhere);
            }
            row
        });
        table.take(new);
        let now = self.accounts.iter().map(figures);
        let is_ignored = |(before, now): &(Option<_>, Option<_>)| before.is_some() && now.is_some() && before != now;
        let ignored = before.into_iter().zip(now).zip(&self.accounts).filter(|(pair, _)| is_ignored(pair));
        Ok(ignored.map(|(_, account)| account.id).collect())
    }

    /// Checks that the accounts of ledger and table fit.
    ///
    /// # Errors
    /// The number of accounts needed, if they do not.
    pub fn check_room(&self, new: &IncomingTable) -> Result<(), usize> {
        let row = |id: &AccountId| self.account_row(id.as_str()).unwrap_or(NOWHERE);
        let rows: Vec<u32> = new.accounts().iter().map(|account| row(&account.id)).collect();
        self.check_room_for(new, &rows)
    }

    /// As [`Book::check_room`]; `rows` says where this book has the
    /// table's.
    fn check_room_for(&self, new: &IncomingTable, rows: &[u32]) -> Result<(), usize> {
        let has_moved = |row: u32| self.accounts.get(row as usize).is_some_and(|account| account.has_moved);
        let opened = self.moved_accounts();
        // If the last process stopped between the two entries of a move, the second account needs a
        // place too: a start writes its entry.
        let is_on_its_way = self.halfway().and_then(|first| account_in(first, "to")).is_some_and(|to| {
            let is_known = self.account_row(to.as_str()).is_some_and(has_moved);
            !is_known && new.accounts().iter().all(|account| account.id != to)
        });
        let needed = opened + rows.iter().filter(|row| !has_moved(**row)).count() + usize::from(is_on_its_way);
        if needed > ACCOUNTS_MAX { Err(needed) } else { Ok(()) }
    }

    /// Forgets the accounts that did not move and are not in these rows, which change if others
    /// are forgotten.
    fn forget_accounts_but(&mut self, rows: &mut [u32]) {
        let mut is_kept: Vec<bool> = self.accounts.iter().map(|account| account.has_moved).collect();
        for row in rows.iter() {
            if let Some(is_kept) = is_kept.get_mut(*row as usize) {
                *is_kept = true;
            }
        }
        if is_kept.iter().all(|is_kept| *is_kept) {
            return;
        }
        // Rows move, so the row numbers that other tables hold change.
        let mut places: Vec<Option<u32>> = Vec::with_capacity(self.accounts.len());
        let mut kept = 0;
        for is_kept in &is_kept {
            places.push(is_kept.then_some(kept));
            kept += u32::from(*is_kept);
        }
        for row in rows {
            *row = places.get(*row as usize).copied().flatten().unwrap_or(NOWHERE);
        }
        for card in &mut self.cards {
            card.account = card.account.and_then(|row| places[row as usize]);
        }
        for account in &mut self.accounts {
            account.moved_to =
                account.moved_to.and_then(|gone| Some(MovedTo { account: places[gone.account as usize]?, ..gone }));
        }
        for reissue in self.reissues.rows_mut() {
            reissue.account = reissue.account.and_then(|row| places[row as usize]);
        }
        let mut is_kept = is_kept.into_iter();
        self.accounts.retain(|_| is_kept.next().unwrap_or(true));
        let accounts = &self.accounts;
        self.by_account.fill(accounts.len(), |row| hash_bytes(accounts[row as usize].id.as_bytes()));
    }

    /// Pins these machines, so that no other device takes their memory, and unpins all others.
    pub fn pin(&mut self, machines: &(impl Iterator<Item = MachineNo> + Clone)) {
        for machine in machines.clone() {
            if let Some(row) = self.memories_row(machine.value()) {
                self.memories[row].is_pinned = true;
            }
        }
        for machine in machines.clone() {
            let row = self.find_or_add_memory(machine);
            self.memories[row].is_pinned = true;
        }
        for memory in &mut self.memories {
            memory.is_pinned = machines.clone().any(|machine| machine.value() == memory.machine);
        }
    }

    // ---------------------------------------------------------------- answers

    /// The newest entry's number.
    pub fn head(&self) -> EntrySeq {
        self.head
    }

    /// The newest entry's time.
    pub fn newest(&self) -> Option<Stamp> {
        self.newest
    }

    /// The time of the newest entry whose clock was believed.
    pub fn newest_ok(&self) -> Option<Stamp> {
        self.newest_ok
    }

    /// The latest believed time since the clock last stepped: a clock behind it is not believed.
    pub(crate) fn clock_floor(&self) -> Option<Stamp> {
        self.clock_floor
    }

    /// The entries that an older copy of the ledger lacks, and the `start` that found it, until a
    /// person has acknowledged it.
    pub fn rolled_back(&self) -> Option<(MissingEntries, EntrySeq)> {
        self.rolled_back
    }

    /// CRC-32 of the card table that went into service last. `None` if no entry since the snapshot
    /// that was read says so.
    pub fn served_table(&self) -> Option<u32> {
        self.served_table
    }

    /// The account in this row.
    pub fn account(&self, row: u32) -> &Account {
        &self.accounts[row as usize]
    }

    /// All accounts.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The number of accounts that an entry changed, which is the number in a snapshot.
    pub(crate) fn moved_accounts(&self) -> usize {
        self.accounts.iter().filter(|account| account.has_moved).count()
    }

    /// The row of an account.
    pub fn account_row(&self, id: &str) -> Option<u32> {
        self.by_account.find(hash_bytes(id.as_bytes()), |row| self.accounts[row as usize].id == id)
    }

    /// The earlier order with the same name, if it is remembered.
    pub(crate) fn used_name(&self, order: &Order) -> Option<&UsedName> {
        self.orders.used(order)
    }

    /// Whether orders of the same file may be forgotten. Then nobody knows whether one that is not
    /// remembered was done.
    pub(crate) fn has_forgotten_names(&self, order: &Order) -> bool {
        self.orders.has_forgotten(order)
    }

    /// If the rows of the order's file were named by account and the order is by card, or the other
    /// way round: the file's first entry.
    pub(crate) fn is_named_otherwise(&self, order: &Order) -> Option<EntrySeq> {
        self.orders.is_named_otherwise(order)
    }

    /// The last clear of all subsidy purses; `None` if there was none.
    pub fn clearing(&self) -> Option<Clearing> {
        self.orders.clearing()
    }

    /// What a void undid, if that is remembered.
    pub(crate) fn undone(&self, void: EntrySeq) -> Option<Undone> {
        self.orders.undone(void)
    }

    /// The sum of an entry's voids; `None` if the entry is so old that voids may be forgotten.
    pub fn voided(&self, sale: EntrySeq) -> Option<Voided> {
        self.orders.voided(sale)
    }

    /// The answer to an equal frame, if it is remembered.
    pub fn answered(&self, machine: MachineNo, serial: Option<&Serial>, id: &FrameId) -> Option<&AnsweredFrame> {
        self.memory(machine)?.find(serial, id)
    }

    /// The serials in the device's last frames, newest first.
    pub fn serials(&self, machine: MachineNo) -> impl Iterator<Item = &Serial> {
        self.memory(machine).into_iter().flat_map(Memory::serials)
    }

    /// Whether any frame of the device is remembered.
    pub(crate) fn remembers(&self, machine: MachineNo) -> bool {
        self.memory(machine).is_some_and(|memory| memory.frames().next().is_some())
    }

    /// Whether the device is remembered or there is a place for it. A registered device keeps its
    /// place, and so does one with a sale in doubt: forgetting it could charge that sale again.
    pub(crate) fn has_place_for(&self, machine: MachineNo) -> bool {
        let may_give_way = |memory: &Memory| !memory.is_pinned && memory.doubts == 0;
        let is_remembered = self.memories_row(machine.value()).is_some();
        is_remembered || !self.memories.is_full() || self.memories.iter().any(may_give_way)
    }

    /// Whether one of the device's last answered frames was about this card or command number.
    pub(crate) fn has_answered(&self, machine: MachineNo, subject: &[u8]) -> bool {
        self.memory(machine).is_some_and(|memory| memory.frames().any(|answered| answered.id.is_about(subject)))
    }

    /// Whether one of the device's last ten approvals was confirmed by 109.
    pub fn is_confirming(&self, machine: MachineNo) -> bool {
        self.memory(machine).is_some_and(Memory::is_confirming)
    }

    /// Whether the device's last ten approvals all went without a 109.
    pub fn is_mute(&self, machine: MachineNo) -> bool {
        self.memory(machine).is_some_and(Memory::is_mute)
    }

    /// Whether this approval of the device, one of its last ten, was confirmed by 109.
    pub fn is_confirmed(&self, machine: MachineNo, approval: EntrySeq) -> bool {
        self.memory(machine).is_some_and(|memory| memory.is_confirmed(approval))
    }

    /// Whether an approved sale is still in doubt.
    pub fn is_in_doubt(&self, sale: EntrySeq) -> bool {
        self.doubts.entry(sale).is_some_and(|doubt| !doubt.is_settled)
    }

    /// The card that paid a sale, if the sale is among the remembered doubts, settled or not.
    pub(crate) fn payer(&self, sale: EntrySeq) -> Option<CardNo> {
        self.doubts.entry(sale).map(|doubt| CardNo::from_value(doubt.card))
    }

    /// The number of sales in doubt.
    pub fn doubts(&self) -> usize {
        self.doubts.rows().filter(|doubt| !doubt.is_settled).count()
    }

    /// Whether any sale of the device is in doubt.
    pub(crate) fn has_doubts(&self, machine: MachineNo) -> bool {
        self.memory(machine).is_some_and(|memory| memory.doubts > 0)
    }

    /// When each of the device's sales in doubt was last tried. It scans all doubts, so only rare
    /// events use it.
    pub(crate) fn doubts_tried(&self, machine: MachineNo) -> impl Iterator<Item = &Moment> {
        let is_own = move |doubt: &&Doubt| !doubt.is_settled && doubt.machine == machine.value();
        self.doubts.rows().filter(is_own).map(|doubt| &doubt.tried)
    }

    /// How many sales of the device are in doubt.
    pub(crate) fn doubts_at(&self, machine: MachineNo) -> u32 {
        self.memory(machine).map_or(0, |memory| memory.doubts)
    }

    /// The card's sales in doubt and their amounts (zero in count mode), oldest first. It scans all
    /// doubts, so only answers to people use it.
    pub(crate) fn doubts_by(&self, card: CardNo) -> impl Iterator<Item = (EntrySeq, Money)> {
        let own = self.doubts.rows().filter(move |doubt| !doubt.is_settled && doubt.card == card.value());
        own.map(|doubt| (doubt.seq, doubt.asked))
    }

    /// The device's sales in doubt of this card and amount, newest first; also those paid by code.
    pub(crate) fn doubts_of<'a>(
        &'a self,
        machine: MachineNo,
        serial: Option<&'a Serial>,
        card: CardNo,
        asked: Money,
    ) -> impl Iterator<Item = &'a Doubt> {
        let of_sale = self.doubts.find((machine.value(), card.value(), asked));
        of_sale.filter(move |doubt| !doubt.is_settled && same_device(doubt.serial.as_ref(), serial))
    }

    /// Whether a sale was voided in full, if that is remembered.
    pub fn is_voided(&self, sale: EntrySeq) -> bool {
        self.voided(sale).is_some_and(|voided| voided.is_whole)
    }

    /// The approved 103 or 104 of this card, amount and time that no 105 is matched with yet, if it
    /// is remembered: among the doubts, settled or not, or in the device's last frames.
    pub(crate) fn sale_at(
        &self,
        machine: MachineNo,
        serial: Option<&Serial>,
        card: CardNo,
        asked: Money,
        at: Civil,
    ) -> Option<EntrySeq> {
        // Also settled ones: the 109 may have confirmed another command.
        let sales = self.doubts.find((machine.value(), card.value(), asked));
        let mut own = sales.filter(|sale| !sale.is_scan && !sale.is_taken && same_device(sale.serial.as_ref(), serial));
        let kept = own.find(|sale| sale.at == Some(at)).map(|sale| sale.seq);
        kept.or_else(|| self.memory(machine)?.sale_at(serial, card, asked, at))
    }

    /// The remembered 105 that equals this one. With a believed time it is certainly the same
    /// record. Without one it is the same record while `is_recent` holds for the newest equal one;
    /// later the terminal may have used the slot again.
    pub fn offline(&self, id: &OfflineId, is_recent: impl Fn(&Moment) -> bool) -> Option<RecordMatch> {
        let is_same = |offline: &&Offline| {
            offline.id.rest == id.rest && same_device(offline.id.serial.as_ref(), id.serial.as_ref())
        };
        let mut looked_at = 0;
        let is_looked_at = |offline: &&Offline| {
            looked_at += usize::from(!offline.id.is_believed);
            looked_at <= TIMELESS_LOOKED_AT_MAX
        };
        let mut equal = self.offline.find(id.key()).take_while(is_looked_at).filter(is_same);
        let newest = equal.next()?;
        if newest.id.is_believed || is_recent(&newest.at) {
            return Some(RecordMatch::Same(newest.seq));
        }
        // Entries without effect may repeat the last one that was booked.
        let booked = core::iter::once(newest).chain(equal).find(|offline| offline.is_sale);
        Some(RecordMatch::Maybe(booked.unwrap_or(newest).seq))
    }

    /// The offline sale of this card, amount and believed time that is not matched yet, for a 103
    /// that comes after its own 105.
    pub(crate) fn offline_at(
        &self,
        machine: MachineNo,
        serial: Option<&Serial>,
        card: CardNo,
        asked: Money,
        at: Civil,
    ) -> Option<EntrySeq> {
        let key = (machine.value(), card.value(), asked, at.mark());
        let is_free = |offline: &&Offline| offline.is_sale && offline.id.is_believed && !offline.is_taken;
        let mut sales = self.offline.find(key).filter(is_free);
        sales.find(|offline| same_device(offline.id.serial.as_ref(), serial)).map(|offline| offline.seq)
    }

    /// Whether an operator settled a 105 that was entered without effect, if that is remembered.
    pub(crate) fn is_claim_settled(&self, claim: EntrySeq) -> bool {
        self.offline.entry(claim).is_some_and(|offline| !offline.is_sale && offline.is_taken)
    }

    /// The card's newest passes at a door, newest first.
    pub fn passes(&self, machine: MachineNo, door: UnitNo, card: CardNo) -> impl Iterator<Item = &Pass> {
        self.passes.find((machine.value(), door.value(), card.value()))
    }

    // ---------------------------------------------------------------- rows

    fn find_or_add_account(&mut self, id: &AccountId) -> Option<u32> {
        self.account_row(id).or_else(|| self.add_account(id))
    }

    fn add_account(&mut self, id: &AccountId) -> Option<u32> {
        let row = u32::try_from(self.accounts.len()).expect("ACCOUNTS_MAX fits 32 bits");
        let account = Account {
            id: *id,
            held: Figures::default(),
            stated: Figures::default(),
            is_balance_held_back: false,
            is_subsidy_held_back: false,
            are_uses_held_back: false,
            cleared: EntrySeq(0),
            named_by: 0,
            is_opened: false,
            has_moved: false,
            in_table: false,
            moved_to: None,
            is_free: false,
            moved_before: EntrySeq(0),
        };
        self.accounts.push(account).ok()?;
        let accounts = &self.accounts;
        self.by_account.insert(hash_bytes(id.as_bytes()), row, |row| hash_bytes(accounts[row as usize].id.as_bytes()));
        Some(row)
    }

    fn memory(&self, machine: MachineNo) -> Option<&Memory> {
        self.memories_row(machine.value()).map(|row| &self.memories[row])
    }

    fn memories_row(&self, machine: u64) -> Option<usize> {
        let row = self.by_machine.find(hash_number(machine), |row| self.memories[row as usize].machine == machine)?;
        Some(row as usize)
    }

    /// The device's row. If all rows are taken, it replaces the device that was idle longest,
    /// registered devices and those with a sale in doubt last.
    fn find_or_add_memory(&mut self, machine: MachineNo) -> usize {
        self.find_or_add_memory_of(machine.value())
    }

    fn find_or_add_memory_of(&mut self, machine: u64) -> usize {
        if let Some(row) = self.memories_row(machine) {
            return row;
        }
        let row = self.memories.len();
        // The device may have been forgotten before and have sales in doubt.
        let own = self.doubts.rows().filter(|doubt| !doubt.is_settled && doubt.machine == machine);
        let doubts = u32::try_from(own.count()).expect("as many as the history holds");
        let mut memory = Memory::new(machine);
        memory.doubts = doubts;
        let Err(memory) = self.memories.push(memory) else {
            let (memories, number) = (&self.memories, u32::try_from(row).expect("DEVICES_MAX fits 32 bits"));
            self.by_machine.insert(hash_number(machine), number, |row| hash_number(memories[row as usize].machine));
            return row;
        };
        // If every device is registered or in doubt, one is replaced all the same: by a registered
        // one, or by one whose sale is in the ledger since an earlier configuration.
        let idle_longest = (0..self.memories.len()).min_by_key(|row| {
            let memory = &self.memories[*row];
            (memory.is_pinned, memory.doubts > 0, memory.last)
        });
        let row = idle_longest.expect("a full table has rows");
        self.memories[row] = memory;
        let memories = &self.memories;
        self.by_machine.fill(memories.len(), |row| hash_number(memories[row as usize].machine));
        row
    }
}

impl Default for Book {
    fn default() -> Self {
        Self::new()
    }
}

/// The amount that a sale's frame asked for: zero in count mode.
fn asked_amount(entry: &Entry) -> Money {
    let effect = || Money::from_fen(u32::try_from(-entry.effect().money().fen()).ok()?);
    match entry.kind {
        Kind::Meal => Money::ZERO,
        Kind::Charge | Kind::Scan => entry.detail.asked().or_else(effect).unwrap_or_default(),
        _ => entry.detail.asked().unwrap_or_default(),
    }
}

/// Whether two frames of one machine number may be of one device: their serials are equal, or one
/// has none. The ledger keeps no addresses, and a terminal's address may change between a sale and
/// its upload. When in doubt the answer is yes: a wrong match can be found in the ledger, a double
/// charge cannot. `server::sources` decides before this which device may use a machine number.
fn same_device(one: Option<&Serial>, other: Option<&Serial>) -> bool {
    one.is_none() || other.is_none() || one == other
}
