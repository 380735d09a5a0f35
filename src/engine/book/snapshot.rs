//! Writes the book as lines of text and reads them: the part of `snapshot.tsv` between its first
//! and its last line (design.md, sections 7 and 9). The ledger writes and reads the file; nothing
//! here does IO.
//!
//! ```text
//! clock   newest  newest_ok  floor  clock                            times as milliseconds:offset; whether the newest was believed
//! rolled  first last seq                                             entries that an older copy lacks, until acknowledged
//! period  name                                                       in order of appearance
//! account account balance+subsidy/uses opened cleared                accounts that an entry changed
//! gone    account to seq cleared before free                         the account to which all its figures moved
//! card    card account marks was heir closed_on [day:spent:others:period=count,…] …   the cards it replaced and that replaced it; its two days; a count: sales/meals
//! device  machine last  [seq:confirmed,…]                            its approvals, oldest first
//! frame   machine code seq card asked when slot serial time clock kind reason balance+subsidy/uses sale at_device taken
//! keys    as frame: the device's last 106
//! doubt   seq machine serial card asked at_device tried clock tried_at scan settled taken
//! offline seq time clock machine serial card asked when believed rest is_sale taken
//! pass    seq machine door card time clock confirmed
//! reissue seq card at account                                        card numbers given to another holder
//! names   from                                                       names before this entry may be forgotten
//! name    seq name ask account balance+subsidy/uses                  orders and the figures in their answers; name, ask, account are hashes
//! file    first name by_account                                                 the first order of each file
//! voids   from                                                       voids before this entry may be forgotten
//! void    seq sale cash subsidy cleared rest whole
//! clear   begin accounts sum done                                    the last clear of all subsidy purses
//! ```
//!
//! *Invariants:* [`Book::restore_line`] for every line that [`Book::emit`] wrote, on a book before
//! its first entry, and then [`Book::resume`], give the same state as applying the entries. A
//! snapshot leaves out what only a run knows (monotonic times) and what only table and
//! configuration say (opening figures, registered devices). Each used row gives one line, and no
//! line is allocated.

use core::fmt::{self, Display, Write as _};
use core::str::FromStr;

use super::accounts::Reissue;
use super::day::{DayCount, DayCounts, PeriodCount};
use super::history::{History, HistoryRow};
use super::memory::Memory;
use super::{
    Account, AnsweredFrame, Book, CardState, Doubt, Figures, FrameId, Moment, MovedTo, Offline, OfflineId, Outcome,
    Pass,
};
use crate::engine::model::digits;
use crate::engine::model::{
    AccountId, Balance, CardNo, Civil, ClockState, EntrySeq, Kind, Marks, MissingEntries, Money, Reason, Serial, Stamp,
    Text, Wall,
};

/// The most bytes of one line. The longest are those of a frame, below 350, and of a card: 112, and
/// 181 for each of two days of eight periods.
pub const LINE_LEN_MAX: usize = 512;

pub(super) type SnapshotLine = heapless::String<LINE_LEN_MAX>;

/// Why a line cannot come from [`Book::emit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLine(pub &'static str);

impl Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for BadLine {}

impl Book {
    /// Writes the state as lines without LF, in the order that [`Book::restore_line`] needs.
    ///
    /// # Errors
    /// The sink's error.
    pub fn emit<E>(&self, sink: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        let mut line = SnapshotLine::new();
        let mut out = |word: &str, write: &mut dyn FnMut(&mut SnapshotLine)| {
            line.clear();
            put(&mut line, word);
            write(&mut line);
            sink(&line)
        };
        out("clock", &mut |line| {
            for stamp in [self.newest, self.newest_ok, self.clock_floor] {
                column_or_none(line, stamp.map(StampText));
            }
            column(line, self.newest_clock.word());
        })?;
        if let Some((gone, seq)) = self.rolled_back {
            out("rolled", &mut |line| {
                column(line, gone.first);
                column(line, gone.last);
                column(line, seq);
            })?;
        }
        for name in self.periods.names() {
            out("period", &mut |line| text(line, name))?;
        }
        for account in self.accounts.iter().filter(|account| account.has_moved) {
            out("account", &mut |line| {
                text(line, &account.id);
                column(line, account.held);
                column(line, u8::from(account.is_opened));
                column(line, account.cleared);
            })?;
        }
        for account in &self.accounts {
            let Some(gone) = account.moved_to else { continue };
            out("gone", &mut |line| {
                text(line, &account.id);
                text(line, &self.accounts[gone.account as usize].id);
                column(line, gone.seq());
                column(line, gone.cleared);
                column(line, account.moved_before);
                column(line, u8::from(account.is_free));
            })?;
        }
        for state in &self.cards {
            out("card", &mut |line| self.emit_card(state, line))?;
        }
        // A device without an entry is in memory because the configuration registers it.
        for memory in self.memories.iter().filter(|memory| memory.last > EntrySeq(0)) {
            out("device", &mut |line| {
                column(line, memory.machine);
                column(line, memory.last);
                for (seq, confirmed) in memory.approvals() {
                    column(line, format_args!("{seq}:{}", u8::from(*confirmed)));
                }
            })?;
            for answered in memory.frames() {
                out("frame", &mut |line| emit_answered(memory.machine, answered, line))?;
            }
            if let Some(answered) = memory.keys() {
                out("keys", &mut |line| emit_answered(memory.machine, answered, line))?;
            }
        }
        for doubt in self.doubts.rows() {
            out("doubt", &mut |line| {
                column(line, doubt.seq);
                column(line, doubt.machine);
                text_or_none(line, doubt.serial.as_deref());
                column(line, doubt.card);
                column(line, doubt.asked);
                column_or_none(line, doubt.at.map(|at| at.0));
                column(line, StampText(doubt.tried.stamp));
                column(line, doubt.tried.clock.word());
                column_or_none(line, doubt.tried_at.map(|at| at.0));
                column(line, u8::from(doubt.is_scan));
                column(line, u8::from(doubt.is_settled));
                column(line, u8::from(doubt.is_taken));
            })?;
        }
        for offline in self.offline.rows() {
            out("offline", &mut |line| {
                column(line, offline.seq);
                column(line, StampText(offline.at.stamp));
                column(line, offline.at.clock.word());
                column(line, offline.id.machine);
                text_or_none(line, offline.id.serial.as_deref());
                column(line, offline.id.card);
                column(line, offline.id.asked);
                column(line, Hash(offline.id.when));
                column(line, u8::from(offline.id.is_believed));
                column(line, Hash(offline.id.rest));
                column(line, u8::from(offline.is_sale));
                column(line, u8::from(offline.is_taken));
            })?;
        }
        for pass in self.passes.rows() {
            out("pass", &mut |line| {
                column(line, pass.seq);
                column(line, pass.machine);
                column(line, pass.door);
                column(line, pass.card);
                column(line, StampText(pass.at.stamp));
                column(line, pass.at.clock.word());
                column(line, u8::from(pass.is_confirmed));
            })?;
        }
        for reissue in self.reissues.rows() {
            out("reissue", &mut |line| {
                column(line, reissue.seq);
                column(line, reissue.card);
                column(line, reissue.at.0);
                text_or_none(line, reissue.account.map(|row| self.accounts[row as usize].id.as_str()));
            })?;
        }
        self.orders.emit(&mut out)
    }

    fn emit_card(&self, state: &CardState, line: &mut SnapshotLine) {
        column(line, state.card);
        text_or_none(line, state.account.map(|row| self.accounts[row as usize].id.as_str()));
        column(line, MarksText(state.marks));
        column_or_none(line, state.predecessor);
        column_or_none(line, state.successor);
        column(line, state.closed_account);
        for count in &state.days.0 {
            column(line, format_args!("{}:{}:{}/{}:", count.day, count.spent, count.others, count.other_meals));
            for (place, PeriodCount { period, meals, sales }) in count.used().iter().enumerate() {
                put(line, format_args!("{}{period}={sales}/{meals}", if place == 0 { "" } else { "," }));
            }
        }
    }

    /// Reads the next line of [`Book::emit`] into a book before its first entry. After an error the
    /// book is invalid and must be rewound.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn restore_line(&mut self, line: &str) -> Result<(), BadLine> {
        let mut fields = Columns::of(line);
        let read = match fields.column().unwrap_or("") {
            "clock" => self.restore_clock(&mut fields),
            "rolled" => self.restore_rolled_back(&mut fields),
            "period" => self.restore_period(&mut fields),
            "account" => self.restore_account(&mut fields),
            "gone" => self.restore_gone(&mut fields),
            "card" => self.restore_card(&mut fields),
            "device" => self.restore_device(&mut fields),
            "frame" => {
                self.restore_answered(&mut fields).map(|(row, answered)| self.memories[row].restore_frame(answered))
            }
            "keys" => {
                self.restore_answered(&mut fields).map(|(row, answered)| self.memories[row].restore_keys(answered))
            }
            "doubt" => read_doubt(&mut fields).and_then(|doubt| restore_row(&mut self.doubts, doubt)),
            "offline" => read_offline(&mut fields).and_then(|offline| restore_row(&mut self.offline, offline)),
            "pass" => read_pass(&mut fields).and_then(|pass| restore_row(&mut self.passes, pass)),
            "reissue" => self.restore_reissue(&mut fields),
            "names" => self.orders.restore_names(&mut fields),
            "name" => self.orders.restore_name(&mut fields),
            "file" => self.orders.restore_file(&mut fields),
            "voids" => self.orders.restore_voids(&mut fields),
            "void" => self.orders.restore_void(&mut fields),
            "clear" => self.orders.restore_clear(&mut fields),
            _ => return Err(BadLine("this version does not know its first word")),
        };
        read.filter(|()| fields.column().is_none())
            .ok_or(BadLine("a column is unreadable or contradicts the lines before it"))
    }

    /// Ends a restore, after the last line. `head`: the newest entry that the snapshot covers.
    pub fn resume(&mut self, head: EntrySeq) {
        self.head = head;
        self.count_doubts();
    }

    fn restore_clock(&mut self, fields: &mut Columns) -> Option<()> {
        self.newest = fields.or_none(Columns::stamp)?;
        self.newest_ok = fields.or_none(Columns::stamp)?;
        self.clock_floor = fields.or_none(Columns::stamp)?;
        self.newest_clock = fields.clock()?;
        Some(())
    }

    fn restore_rolled_back(&mut self, fields: &mut Columns) -> Option<()> {
        let gone = MissingEntries { first: fields.seq()?, last: fields.seq()? };
        if self.rolled_back.is_some() || gone.last < gone.first {
            return None;
        }
        self.rolled_back = Some((gone, fields.seq()?));
        Some(())
    }

    fn restore_period(&mut self, fields: &mut Columns) -> Option<()> {
        let name: AccountId = fields.text()?;
        if self.periods.find(&name).is_some() {
            return None;
        }
        self.periods.intern(&name);
        Some(())
    }

    fn restore_account(&mut self, fields: &mut Columns) -> Option<()> {
        let id: AccountId = fields.text()?;
        let row = self.find_or_add_account(&id)?;
        let account: &mut Account = &mut self.accounts[row as usize];
        if account.has_moved {
            return None;
        }
        account.held = Figures::parse(fields.column()?)?;
        account.is_opened = fields.flag()?;
        account.cleared = fields.seq()?;
        account.has_moved = true;
        Some(())
    }

    fn restore_gone(&mut self, fields: &mut Columns) -> Option<()> {
        let (from, to): (AccountId, AccountId) = (fields.text()?, fields.text()?);
        let (from, to) = (self.account_row(&from)?, self.account_row(&to)?);
        let account: &mut Account = &mut self.accounts[from as usize];
        if account.moved_to.is_some() {
            return None;
        }
        account.moved_to = Some(MovedTo::new(to, fields.seq()?, fields.seq()?)?);
        account.moved_before = fields.seq()?;
        account.is_free = fields.flag()?;
        Some(())
    }

    fn restore_reissue(&mut self, fields: &mut Columns) -> Option<()> {
        let (seq, card, at) = (fields.seq()?, fields.card()?.value(), Civil(fields.number()?));
        let account: Option<AccountId> = fields.or_none(Columns::text)?;
        let account = match account {
            Some(id) => Some(self.account_row(&id)?),
            None => None,
        };
        restore_row(&mut self.reissues, Reissue { seq, card, at, account })
    }

    fn restore_card(&mut self, fields: &mut Columns) -> Option<()> {
        let card = fields.card()?;
        let account: Option<AccountId> = fields.or_none(Columns::text)?;
        // An account that no entry changed has no line of its own.
        let account = match account {
            Some(id) => Some(self.find_or_add_account(&id)?),
            None => None,
        };
        let marks = Marks::from_words(fields.column()?)?;
        let other = |fields: &mut Columns| fields.card().map(|card| card.value());
        let (predecessor, successor) = (fields.or_none(other)?, fields.or_none(other)?);
        let closed_account = fields.number()?;
        let days = DayCounts([read_day(fields.column()?)?, read_day(fields.column()?)?]);
        if self.card_state(card).is_some() {
            return None;
        }
        let row = self.find_or_add_card(card)?;
        self.cards[row as usize] =
            CardState { card: card.value(), account, marks, predecessor, successor, closed_account, days };
        Some(())
    }

    fn restore_device(&mut self, fields: &mut Columns) -> Option<()> {
        let machine = fields.number()?;
        let last = fields.seq()?;
        let row = self.find_or_add_memory_of(machine);
        let memory: &mut Memory = &mut self.memories[row];
        if memory.last > EntrySeq(0) || last == EntrySeq(0) {
            return None;
        }
        memory.last = last;
        for approval in core::iter::from_fn(|| fields.column()) {
            let mut parts = Columns::between(b':', approval);
            memory.restore_approval(parts.seq()?, parts.flag()?)?;
            parts.end()?;
        }
        Some(())
    }

    /// Reads a frame with its answer; the row is that of its device, whose line came before.
    fn restore_answered(&self, fields: &mut Columns) -> Option<(usize, AnsweredFrame)> {
        let machine = fields.number()?;
        let row = self.memories_row(machine).filter(|row| self.memories[*row].last > EntrySeq(0))?;
        let id = FrameId {
            code: fields.number()?,
            seq: fields.number()?,
            card: fields.number()?,
            asked: fields.money()?,
            when: fields.hash()?,
            slot: fields.hash()?,
        };
        let serial = fields.or_none(Columns::serial)?;
        let at = Moment { mono: None, stamp: fields.stamp()?, clock: fields.clock()? };
        let kind = Kind::from_word(fields.column()?)?;
        let reason = fields.or_none(|fields| Reason::from_word(fields.column()?))?;
        let figures = Figures::parse(fields.column()?)?;
        let outcome = Outcome { kind, reason, figures, sale: fields.seq()? };
        let at_device = fields.or_none(|fields| fields.number().map(Civil))?;
        Some((row, AnsweredFrame { id, serial, at, outcome, at_device, is_taken: fields.flag()? }))
    }
}

/// An account's line in a snapshot, for readers that need only accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountLine {
    /// Its name.
    pub id: AccountId,
    /// The sums of its entries.
    pub figures: Figures,
    /// Whether one of its entries was an `open`.
    pub is_opened: bool,
}

/// Reads an account's line; `Ok(None)` for any other line.
///
/// # Errors
/// What is wrong with the line.
pub(crate) fn account_line(line: &str) -> Result<Option<AccountLine>, BadLine> {
    let Some(rest) = line.strip_prefix("account\t") else { return Ok(None) };
    let mut fields = Columns::of(rest);
    let mut read = || {
        let id = fields.text()?;
        let figures = Figures::parse(fields.column()?)?;
        Some(AccountLine { id, figures, is_opened: fields.flag()? })
    };
    read().map(Some).ok_or(BadLine("a column of the account is unreadable"))
}

/// Adds a row; `None` if a line before it had a later entry.
pub(super) fn restore_row<T: HistoryRow, const CAP: usize, const SLOTS: usize>(
    rows: &mut History<T, CAP, SLOTS>,
    row: T,
) -> Option<()> {
    if !rows.may_push(row.seq()) {
        return None;
    }
    rows.push(row);
    Some(())
}

fn emit_answered(machine: u64, answered: &AnsweredFrame, line: &mut SnapshotLine) {
    column(line, machine);
    column(line, answered.id.code);
    column(line, answered.id.seq);
    column(line, answered.id.card);
    column(line, answered.id.asked);
    column(line, Hash(answered.id.when));
    column(line, Hash(answered.id.slot));
    text_or_none(line, answered.serial.as_deref());
    column(line, StampText(answered.at.stamp));
    column(line, answered.at.clock.word());
    column(line, answered.outcome.kind.word());
    column_or_none(line, answered.outcome.reason.map(Reason::word));
    column(line, answered.outcome.figures);
    column(line, answered.outcome.sale);
    column_or_none(line, answered.at_device.map(|at| at.0));
    column(line, u8::from(answered.is_taken));
}

fn read_day(text: &str) -> Option<DayCount> {
    let mut parts = Columns::between(b':', text);
    let (day, spent, (others, other_meals)) = (parts.number()?, parts.number()?, read_count(parts.column()?)?);
    let mut count = DayCount { day, spent, other_meals, others, ..DayCount::default() };
    // A day without periods ends in an empty column.
    let mut pairs = Columns { separator: b',', rest: Some(parts.column()?).filter(|pairs| !pairs.is_empty()) };
    while let Some(pair) = pairs.column() {
        let mut pair = Columns::between(b'=', pair);
        let (period, (sales, meals)) = (pair.number()?, read_count(pair.column()?)?);
        *count.counts.get_mut(usize::from(count.periods))? = PeriodCount { period, meals, sales };
        count.periods += 1;
        pair.end()?;
    }
    parts.end()?;
    Some(count)
}

/// Reads `sales/meals`.
fn read_count(text: &str) -> Option<(u16, u8)> {
    let mut parts = Columns::between(b'/', text);
    let count = (parts.number()?, parts.number()?);
    parts.end()?;
    Some(count)
}

fn read_doubt(fields: &mut Columns) -> Option<Doubt> {
    Some(Doubt {
        seq: fields.seq()?,
        machine: fields.number()?,
        serial: fields.or_none(Columns::serial)?,
        card: fields.number()?,
        asked: fields.money()?,
        at: fields.or_none(|fields| fields.number().map(Civil))?,
        tried: Moment { mono: None, stamp: fields.stamp()?, clock: fields.clock()? },
        tried_at: fields.or_none(|fields| fields.number().map(Civil))?,
        is_scan: fields.flag()?,
        is_settled: fields.flag()?,
        is_taken: fields.flag()?,
    })
}

fn read_offline(fields: &mut Columns) -> Option<Offline> {
    Some(Offline {
        seq: fields.seq()?,
        at: Moment { mono: None, stamp: fields.stamp()?, clock: fields.clock()? },
        id: OfflineId {
            machine: fields.number()?,
            serial: fields.or_none(Columns::serial)?,
            card: fields.number()?,
            asked: fields.money()?,
            when: fields.hash()?,
            is_believed: fields.flag()?,
            rest: fields.hash()?,
        },
        is_sale: fields.flag()?,
        is_taken: fields.flag()?,
    })
}

fn read_pass(fields: &mut Columns) -> Option<Pass> {
    Some(Pass {
        seq: fields.seq()?,
        machine: fields.number()?,
        door: fields.number()?,
        card: fields.number()?,
        at: Moment { mono: None, stamp: fields.stamp()?, clock: fields.clock()? },
        is_confirmed: fields.flag()?,
    })
}

/// The marks that apply, divided by commas; empty for none.
struct MarksText(Marks);

impl Display for MarksText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, status) in self.0.statuses().enumerate() {
            write!(f, "{}{}", if place == 0 { "" } else { "," }, status.word())?;
        }
        Ok(())
    }
}

/// A time as milliseconds and offset, so that times outside the calendar survive too.
struct StampText(Stamp);

impl Display for StampText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.wall.0, self.0.offset_s)
    }
}

struct Hash(u64);

impl Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Adds to a line. [`LINE_LEN_MAX`] says why it fits.
fn put(line: &mut SnapshotLine, value: impl Display) {
    write!(line, "{value}").expect("the longest line fits LINE_LEN_MAX");
}

pub(super) fn column(line: &mut SnapshotLine, value: impl Display) {
    put(line, '\t');
    put(line, value);
}

pub(super) fn column_or_none(line: &mut SnapshotLine, value: Option<impl Display>) {
    match value {
        Some(value) => column(line, value),
        None => column(line, "\\N"),
    }
}

/// Adds a column of text, escaped as in the ledger.
pub(super) fn text(line: &mut SnapshotLine, value: &str) {
    put(line, '\t');
    for character in value.chars() {
        match character {
            '\\' => put(line, "\\\\"),
            '\t' => put(line, "\\t"),
            '\n' => put(line, "\\n"),
            '\r' => put(line, "\\r"),
            '\0' => put(line, '?'),
            _ => put(line, character),
        }
    }
}

pub(super) fn text_or_none(line: &mut SnapshotLine, value: Option<&str>) {
    match value {
        Some(value) => text(line, value),
        None => column(line, "\\N"),
    }
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// Reads the columns of a line in order; `None` if one is missing or unreadable.
pub(super) struct Columns<'a> {
    separator: u8,
    /// `None` once the last is taken.
    rest: Option<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(line: &'a str) -> Self {
        Self::between(b'\t', line)
    }

    /// The values in a column with more than one. The separator is ASCII.
    fn between(separator: u8, text: &'a str) -> Self {
        Self { separator, rest: Some(text) }
    }

    /// The next column, unread.
    pub(super) fn column(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        let len = rest.bytes().position(|byte| byte == self.separator);
        self.rest = len.map(|len| &rest[len + 1..]);
        Some(&rest[..len.unwrap_or(rest.len())])
    }

    /// Ends the line; `None` if columns are left.
    fn end(&self) -> Option<()> {
        self.rest.is_none().then_some(())
    }

    pub(super) fn number<T: FromStr + TryFrom<u64>>(&mut self) -> Option<T> {
        let column = self.column()?;
        match digits::number(column.as_bytes()) {
            Some(value) => T::try_from(value).ok(),
            // More than ten digits, or negative.
            None => column.parse().ok(),
        }
    }

    pub(super) fn seq(&mut self) -> Option<EntrySeq> {
        self.number().map(EntrySeq)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        flag(self.column()?)
    }

    pub(super) fn balance(&mut self) -> Option<Balance> {
        Balance::parse(self.column()?.as_bytes())
    }

    pub(super) fn money(&mut self) -> Option<Money> {
        Money::parse(self.column()?.as_bytes())
    }

    pub(super) fn hash(&mut self) -> Option<u64> {
        digits::hexadecimal::<16>(self.column()?.as_bytes().try_into().ok()?)
    }

    fn clock(&mut self) -> Option<ClockState> {
        let word = self.column()?;
        [ClockState::Ok, ClockState::Unset].into_iter().find(|clock| clock.word() == word)
    }

    fn stamp(&mut self) -> Option<Stamp> {
        let mut parts = Columns::between(b':', self.column()?);
        let stamp = Stamp { wall: Wall(parts.number()?), offset_s: parts.number()? };
        parts.end()?;
        Some(stamp)
    }

    /// A card number of at most ten digits.
    fn card(&mut self) -> Option<CardNo> {
        CardNo::parse(self.column()?.as_bytes())
    }

    fn serial(&mut self) -> Option<Serial> {
        self.text().map(Serial::from)
    }

    pub(super) fn text<const N: usize>(&mut self) -> Option<Text<N>> {
        let column = self.column()?;
        if !column.contains('\\') {
            return Text::try_from(column).ok();
        }
        let mut text = Text::new();
        let mut characters = column.chars();
        while let Some(character) = characters.next() {
            let plain = match character {
                '\\' => match characters.next()? {
                    '\\' => '\\',
                    't' => '\t',
                    'n' => '\n',
                    'r' => '\r',
                    _ => return None,
                },
                _ => character,
            };
            text.push(plain).ok()?;
        }
        Some(text)
    }

    /// A column that may be `\N`, which gives `Some(None)`; `None` if it is missing or unreadable.
    #[allow(clippy::option_option)] // three cases, all named above
    pub(super) fn or_none<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        let rest = self.rest?;
        if rest == "\\N" || rest.starts_with("\\N\t") {
            self.column();
            return Some(None);
        }
        read(self).map(Some)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::super::accounts::REISSUED;
    use super::*;
    use crate::engine::model::order::Holder;
    use crate::engine::model::{
        Act, Date, Detail, DeviceTime, Entry, FrameSeq, Key, MachineNo, Mark, Order, Subject, Way,
    };

    /// Static, because books are too large for a test's stack.
    static RAN: Mutex<Book> = Mutex::new(Book::new());
    static RESTORED: Mutex<Book> = Mutex::new(Book::new());

    fn cleared(book: &'static Mutex<Book>) -> MutexGuard<'static, Book> {
        let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
        book.clear();
        book
    }

    /// A random number below `below`; the seed advances.
    fn draw(seed: &mut u64, below: u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % below
    }

    /// A random entry that may follow those in the book, also with columns that its kind does not
    /// have.
    pub(crate) fn random_entry(book: &Book, seed: &mut u64) -> Entry {
        let seq = book.head().next();
        let kind = match draw(seed, 5) {
            4 => [Kind::TopUp, Kind::Void, Kind::Link, Kind::Status, Kind::Remote][draw(seed, 5) as usize],
            0 => Kind::ALL[draw(seed, Kind::ALL.len() as u64) as usize],
            1 => Kind::Charge,
            2 => Kind::Offline,
            _ => [Kind::Admit, Kind::Confirm, Kind::Meal, Kind::Decline][draw(seed, 4) as usize],
        };
        let wall = Wall(1_763_784_000_000 + i64::try_from(seq.0 * 977 + draw(seed, 100_000)).unwrap());
        let clock = if draw(seed, 5) == 0 { ClockState::Unset } else { ClockState::Ok };
        let mut entry = Entry { seq, ..Entry::new(kind, Stamp { wall, offset_s: 28_800 }, clock) };
        if draw(seed, 8) > 0 {
            entry.machine = Some(MachineNo::from_value(u16::try_from(draw(seed, 60)).unwrap()));
            entry.frame = Some(FrameSeq::from_value(u16::try_from(draw(seed, 65_536)).unwrap()));
        }
        if draw(seed, 2) == 0 {
            entry.serial = Serial::try_from(["1234567890", "0A1B2C3D4E5F6071", "a\\b\tc"][draw(seed, 3) as usize]).ok();
        }
        let number = draw(seed, 300);
        if draw(seed, 8) > 0 {
            entry.card = Some(CardNo::from_value(8_888_800_000 + number));
            let name = format!("{}{}", ["", "张", "a\\"][usize::try_from(number % 3).unwrap()], number / 2);
            let id = AccountId::try_from(name.as_str()).unwrap();
            let moves = !matches!(kind, Kind::Decline | Kind::Repeat | Kind::Matched | Kind::Status);
            let (amount, uses) = match draw(seed, 4) {
                0 => (0, -1),
                1 => (0, 0),
                _ => (-i64::try_from(draw(seed, 2000)).unwrap(), 0),
            };
            let (amount, uses) = if moves { (amount, uses) } else { (0, 0) };
            let subsidy = Balance::from_fen(if moves && amount % 3 == 0 { amount / 3 } else { 0 });
            let before = book.account_row(&id).map(|row| book.account(row));
            let before = before.map_or(Figures::ZERO, |account| account.held);
            entry.enter_account(id, before, Figures { balance: Balance::from_fen(amount), subsidy, uses });
        }
        if draw(seed, 4) > 0 {
            let time = format!("2026-11-{:02} 12:{:02}:00", 1 + draw(seed, 31), draw(seed, 60));
            entry.device_time = Some(DeviceTime::new(time.as_bytes()));
        }
        let slot = format!("{}:{}", draw(seed, 3), draw(seed, 4));
        entry.slot = Text::try_from(slot.as_str()).ok().filter(|_| draw(seed, 3) > 0);
        entry.about = Some(EntrySeq(1 + draw(seed, seq.0))).filter(|_| draw(seed, 2) == 0);
        let mut detail = Detail::default();
        if draw(seed, 4) == 0 {
            detail.push("invalid", ["time", "past", "ahead"][draw(seed, 3) as usize]);
        }
        let mut word = |key: &str, value: &dyn Display, seed: &mut u64| {
            if draw(seed, 2) == 0 {
                detail.push(key, value);
            }
        };
        word("asked", &Money::from_fen(u32::try_from(draw(seed, 2000)).unwrap()).unwrap(), seed);
        word("code", &[102, 103, 104, 105, 106, 128, 150][draw(seed, 7) as usize], seed);
        word("day", &format_args!("2026-11-{:02}", 1 + draw(seed, 28)), seed);
        word("period", &format_args!("p {}", draw(seed, 300)), seed);
        word("status", &Mark::ALL[draw(seed, 5) as usize].word(), seed);
        if matches!(kind, Kind::Decline | Kind::Refuse) {
            word("reason", &Reason::ALL[draw(seed, Reason::ALL.len() as u64) as usize].word(), seed);
            word("left", &"12.30/4", seed);
        }
        word("mode", &draw(seed, 2), seed);
        word("keys", &draw(seed, 100), seed);
        word("was", &CardNo::from_value(8_888_800_000 + draw(seed, 300)), seed);
        word("rest", &"0.50", seed);
        word("rolled_back", &MissingEntries { first: EntrySeq(1), last: EntrySeq(1 + draw(seed, 9)) }, seed);
        if kind == Kind::Link {
            word("from", &format_args!("{}", draw(seed, 150)), seed);
            word("to", &format_args!("{}", draw(seed, 150)), seed);
            word("status", &REISSUED, seed);
        }
        if draw(seed, 8) == 0 {
            word("former", &draw(seed, 100), seed);
        }
        word("batch", &format_args!("{:016x}", draw(seed, 40)), seed);
        word("key", &draw(seed, 200), seed);
        entry.detail = detail;
        entry
    }

    fn lines(book: &Book) -> Vec<String> {
        let mut lines = Vec::new();
        let emitted = book.emit(&mut |line| {
            lines.push(line.to_owned());
            Ok::<(), ()>(())
        });
        assert_eq!(emitted, Ok(()));
        lines
    }

    #[test]
    fn a_card_s_day_is_read_in_full_or_refused() {
        let day = read_day("20600:550:2/1:0=1/0,7=3/2").unwrap();
        assert_eq!((day.day, day.spent, day.others, day.other_meals), (20_600, 550, 2, 1));
        let used = [(0, 0, 1), (7, 2, 3)].map(|(period, meals, sales)| PeriodCount { period, meals, sales });
        assert_eq!(day.used(), used);
        assert_eq!(read_day("20600:-550:0/0:").unwrap().used(), []);
        let too_many =
            (0..=crate::engine::limits::PERIODS_PER_DAY_MAX).map(|period| format!("{period}=1/0")).collect::<Vec<_>>();
        let too_many = format!("20600:550:2/0:{}", too_many.join(","));
        for bad in [
            "20600:550:2/0",
            "20600:550:2:0=1/0",
            "20600:550:2/0:0=1",
            "20600:550:2/0:0=1/0,",
            "20600:550:2/0:0=1/0,,7=3/0",
            "20600:550:2/0:0=1/0=2",
            "20600:550:2/0:0=1/0/0",
            "20600:550:2/0:0=1/256",
            "20600:550:2/0:0=1/0:",
            &too_many,
        ] {
            assert_eq!(read_day(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_restored_book_equals_the_first_and_applies_entries_alike() {
        for start in 0..5 {
            let (mut ran, mut restored) = (cleared(&RAN), cleared(&RESTORED));
            let mut seed = start;
            for _ in 0..start * 1000 {
                let entry = random_entry(&ran, &mut seed);
                ran.apply(&entry, None).unwrap();
            }
            for line in lines(&ran) {
                restored.restore_line(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
            }
            restored.resume(ran.head());
            assert_eq!(ran.difference(&restored), None);
            for _ in 0..800 {
                let entry = random_entry(&ran, &mut seed);
                ran.apply(&entry, None).unwrap();
                restored.apply(&entry, None).unwrap();
            }
            assert_eq!(ran.difference(&restored), None);
        }
    }

    #[test]
    fn full_histories_are_restored_in_the_order_of_their_entries() {
        let (mut ran, mut restored) = (cleared(&RAN), cleared(&RESTORED));
        let mut seed = 1;
        while ran.offline.rows().count() < 4000 {
            let mut entry = random_entry(&ran, &mut seed);
            if entry.kind == Kind::Other {
                entry.kind = Kind::Offline;
            }
            ran.apply(&entry, None).unwrap();
        }
        for line in lines(&ran) {
            restored.restore_line(&line).unwrap();
        }
        restored.resume(ran.head());
        assert_eq!(ran.difference(&restored), None);
        assert_eq!(lines(&ran), lines(&restored));
    }

    #[test]
    fn only_rows_in_use_are_written() {
        let mut book = cleared(&RAN);
        assert_eq!(lines(&book).len(), 1, "only the clock");
        let entry = Entry { seq: EntrySeq(1), ..random_entry(&book, &mut 3) };
        book.apply(&Entry { kind: Kind::Charge, ..entry }, None).unwrap();
        assert!(lines(&book).len() <= 7, "{:?}", lines(&book));
    }

    #[test]
    fn the_longest_lines_fit() {
        let mut book = cleared(&RAN);
        let mut entry = random_entry(&book, &mut 5);
        entry.kind = Kind::Charge;
        entry.time = Stamp { wall: Wall(i64::MIN), offset_s: i32::MIN };
        entry.machine = MachineNo::parse(b"4294967295");
        entry.card = CardNo::parse(b"9999999999");
        entry.serial = Serial::try_from("\\".repeat(20).as_str()).ok();
        entry.account = AccountId::try_from("\\".repeat(24).as_str()).ok();
        (entry.amount, entry.uses) = (Some(Balance::from_fen(-99_999_999_999_999_999)), Some(i32::MIN));
        (entry.balance, entry.uses_left) = (entry.amount, entry.uses);
        (entry.subsidy, entry.subsidy_left) = (entry.amount, entry.amount);
        for seq in 1..=9 {
            entry.seq = EntrySeq(seq);
            entry.detail = Detail::default().with("day", "9999-12-31").with("period", format_args!("{seq:024}"));
            book.apply(&entry, None).unwrap();
            (entry.amount, entry.subsidy, entry.uses) = (Some(Balance::ZERO), Some(Balance::ZERO), Some(-1));
            (entry.balance, entry.uses_left) = (Some(book.account(0).held.balance), Some(i32::MIN));
        }
        assert!(lines(&book).iter().all(|line| line.len() < 400), "{:?}", lines(&book));
    }

    #[test]
    fn a_spoiled_line_is_refused() {
        let (mut ran, mut restored) = (cleared(&RAN), cleared(&RESTORED));
        let mut seed = 9;
        for _ in 0..300 {
            let entry = random_entry(&ran, &mut seed);
            ran.apply(&entry, None).unwrap();
        }
        let good = lines(&ran);
        for (place, line) in good.iter().enumerate() {
            // Without its last column, with a column too many, with another first word, twice.
            let cut = line.rsplit_once('\t').map_or("", |(before, _)| before).to_owned();
            for bad in [cut, format!("{line}\tx"), format!("x{line}"), format!("{line}\n{line}")] {
                restored.rewind();
                for line in &good[..place] {
                    restored.restore_line(line).unwrap();
                }
                // A device's line has any number of approvals, so a shorter one is valid. Only the
                // file's crc shows that one of these lines occurs twice.
                if bad.contains('\n') && ["clock", "frame", "keys"].iter().any(|word| bad.starts_with(word)) {
                    continue;
                }
                let is_shorter = bad.starts_with("device") && bad.len() < line.len() && bad.split('\t').count() > 2;
                assert!(is_shorter || bad.split('\n').any(|bad| restored.restore_line(bad).is_err()), "{bad:?}");
            }
        }
    }

    #[test]
    fn no_line_causes_a_panic() {
        let mut book = cleared(&RESTORED);
        let words = "clock rolled period account gone reissue card device frame keys doubt offline pass names name file voids void -";
        let words: Vec<&str> = words.split(' ').collect();
        let columns = [
            "",
            "\\N",
            "0",
            "1",
            "-1",
            "18446744073709551615",
            "ok",
            "charge",
            "active",
            "5.50",
            "1:1",
            "0:0:0/0:1=1/1",
            "张",
            "\\",
        ];
        let mut seed = 7;
        for _ in 0..40_000 {
            let mut line = words[draw(&mut seed, words.len() as u64) as usize].to_owned();
            for _ in 0..draw(&mut seed, 18) {
                line += "\t";
                line += columns[draw(&mut seed, columns.len() as u64) as usize];
            }
            let _ = book.restore_line(&line);
        }
        book.rewind();
    }

    #[test]
    fn a_restored_book_has_forgotten_the_same_names_files_and_voids() {
        let (mut ran, mut restored) = (cleared(&RAN), cleared(&RESTORED));
        let mut seed = 3;
        let mut entry = random_entry(&ran, &mut seed);
        let order = |entry: &mut Entry, number: u64| {
            entry.seq = EntrySeq(number);
            entry.kind = if number.is_multiple_of(2) { Kind::Void } else { Kind::Subsidy };
            entry.about = Some(EntrySeq(number / 3 + 1));
            (entry.account, entry.amount, entry.uses) = (None, Some(Balance::from_fen(1)), Some(0));
            entry.card = Some(CardNo::from_value(5));
            let (file, nth) = (number / 3, number % 3);
            entry.detail = match nth {
                0 => Detail::default().with("key", format_args!("k{number}")),
                1 => Detail::default().with("for", format_args!("f{file}")),
                _ => Detail::default().with("for", format_args!("f{file}")).with("nth", nth),
            };
        };
        // More names, files and voids than the tables hold.
        for number in 1..=99_000 {
            order(&mut entry, number);
            ran.apply(&entry, None).unwrap();
            if number == 98_000 {
                for line in lines(&ran) {
                    restored.restore_line(&line).unwrap();
                }
                restored.resume(ran.head());
            } else if number > 98_000 {
                restored.apply(&entry, None).unwrap();
            }
        }
        assert_eq!(ran.difference(&restored), None);
        assert_eq!(lines(&ran), lines(&restored));
        let topup = |key: Key| {
            let act = Act::Move {
                way: Way::Subsidy,
                subject: Subject::Card(CardNo::from_value(5)),
                amount: Balance::from_fen(1),
                uses: 0,
            };
            Order { act, key, by: Text::new(), note: Text::new(), holder: Holder::new() }
        };
        let key = |number: u64| topup(Key::Own(Text::try_from(format!("k{number}").as_str()).unwrap()));
        let row = |number: u64| {
            let name = Text::try_from(format!("f{}", number / 3).as_str()).unwrap();
            topup(Key::For { name, nth: u32::try_from(number % 3).unwrap() })
        };
        let last = |order: &Order| ran.used_name(order).map(|used| used.seq.0);
        assert_eq!((last(&key(98_991)), last(&row(98_993))), (Some(98_991), Some(98_993)));
        assert!(last(&key(66_234)).is_some() && last(&row(66_235)).is_some());
        assert!(last(&key(3)).is_none() && last(&row(7)).is_none());
        assert!(!ran.has_forgotten_names(&row(98_993)) && !restored.has_forgotten_names(&row(98_993)));
        // The last 4,096 voids are all known. An older sale might have a void that was forgotten.
        assert_eq!(ran.voided(EntrySeq(33_000)).map(|voided| voided.cash), None);
        assert!(ran.voided(EntrySeq(99_000 - 2 * 4096)).is_some_and(|voided| voided.cash == Balance::ZERO));
    }

    /// Whether a 105 would match the sale of machine 1 at noon.
    fn is_a_match(book: &Book) -> bool {
        let noon = Civil::parse(b"2026-11-22 12:00:00").unwrap();
        let (machine, card) = (MachineNo::from_value(1), CardNo::from_value(1));
        book.sale_at(machine, None, card, Money::from_fen(550).unwrap(), noon).is_some()
    }

    /// The unbelieved entry has the time of the believed one before it.
    #[test]
    fn days_ahead_are_forgotten_after_an_unset_entry_at_the_very_time_of_an_ok_one() {
        let (mut ran, mut restored) = (cleared(&RAN), cleared(&RESTORED));
        let at = |text: &str| Stamp::parse(text).unwrap();
        let card = CardNo::from_value(1);
        let entry = |kind: Kind, time: &str, clock: ClockState| Entry::new(kind, at(time), clock);
        let apply = |book: &mut Book, entry: Entry| {
            book.apply(&Entry { seq: book.head().next(), ..entry }, None).unwrap();
        };
        let mut sale = entry(Kind::Charge, "2026-03-02T21:00:00.000+08:00", ClockState::Ok);
        (sale.machine, sale.card) = (Some(MachineNo::from_value(1)), Some(card));
        let account = AccountId::try_from("A1").unwrap();
        let effect = Figures { balance: Balance::from_fen(-550), ..Figures::ZERO };
        sale.enter_account(account, Figures::ZERO, effect);
        sale.detail = Detail::default().with("day", "2026-03-02");
        apply(&mut ran, sale);
        apply(&mut ran, entry(Kind::Start, "2020-03-03T21:00:00.000+08:00", ClockState::Ok));
        apply(&mut ran, entry(Kind::Clock, "2020-03-03T21:00:00.000+08:00", ClockState::Unset));
        let day = Date::parse(b"2026-03-02").unwrap();
        assert_eq!(ran.history_of(1).spent(day), 550);
        for line in lines(&ran) {
            restored.restore_line(&line).unwrap();
        }
        restored.resume(ran.head());
        for book in [&mut *ran, &mut *restored] {
            apply(book, entry(Kind::Start, "2020-03-03T21:00:01.000+08:00", ClockState::Ok));
            assert_eq!(book.history_of(1).spent(day), 0, "the clock is believed again, on an earlier day");
        }
    }

    #[test]
    fn one_sale_matches_one_record_whatever_is_forgotten_and_restored() {
        let (mut ran, mut restored) = (cleared(&RAN), cleared(&RESTORED));
        for are_doubts_forgotten in [false, true] {
            ran.clear();
            let mut entry = Entry::new(Kind::Charge, Stamp::default(), ClockState::Ok);
            (entry.machine, entry.card) = (Some(MachineNo::from_value(1)), Some(CardNo::from_value(1)));
            entry.frame = Some(FrameSeq::from_value(1));
            entry.device_time = Some(DeviceTime::new(b"2026-11-22 12:00:00"));
            entry.detail = Detail::default().with("asked", "5.50");
            let sale = EntrySeq(1);
            let apply = |book: &mut Book, entry: &Entry| {
                book.apply(&Entry { seq: book.head().next(), ..*entry }, None).unwrap();
            };
            apply(&mut ran, &entry);
            apply(&mut ran, &Entry { kind: Kind::Confirm, about: Some(sale), ..entry });
            if are_doubts_forgotten {
                // Settled sales of another device push it out of the doubts; its own device's
                // frames still have it.
                for other in 0..2 * crate::engine::limits::DOUBTS_KEPT_MIN as u64 {
                    let mut entry = Entry { machine: Some(MachineNo::from_value(2)), ..entry };
                    apply(&mut ran, &entry);
                    (entry.kind, entry.about) = (Kind::Void, Some(EntrySeq(3 + 2 * other)));
                    apply(&mut ran, &entry);
                }
                assert!(ran.doubts.entry(sale).is_none());
            }
            assert!(is_a_match(&ran), "a confirmed sale matches one record");
            let mut taken = Entry { kind: Kind::Matched, about: Some(sale), ..entry };
            taken.detail = Detail::default().with("code", 105).with("asked", "5.50");
            apply(&mut ran, &taken);
            assert!(!is_a_match(&ran));
            restored.clear();
            for line in lines(&ran) {
                restored.restore_line(&line).unwrap();
            }
            restored.resume(ran.head());
            assert_eq!(ran.difference(&restored), None);
            assert!(!is_a_match(&restored));
        }
    }

    #[test]
    fn an_account_opened_with_zero_is_opened_after_a_replay_too() {
        let mut book = cleared(&RAN);
        let mut entry = Entry { seq: EntrySeq(1), ..random_entry(&book, &mut 11) };
        entry.kind = Kind::Open;
        entry.card = Some(CardNo::from_value(1));
        entry.account = AccountId::try_from("A").ok();
        (entry.amount, entry.subsidy, entry.uses) = (Some(Balance::ZERO), Some(Balance::ZERO), Some(0));
        (entry.balance, entry.subsidy_left, entry.uses_left) = (entry.amount, entry.subsidy, entry.uses);
        book.apply(&entry, None).unwrap();
        let row = book.account_row("A").expect("the table's figures no longer count");
        assert!(book.account(row).is_opened);
    }
}
