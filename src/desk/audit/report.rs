//! `posgate ledger report`: the daily close (日结), in one pass and flat memory (design.md, section
//! 3).
//!
//! docs/reports.md defines the sums. The check at the end compares independent numbers: opening
//! total and movements are sums of the `amount` columns by day, the closing total comes from the
//! `balance` columns. They agree only if no entry is missing.
//!
//! Memory holds one row per account, machine, period, reason, operator and row of the table by
//! department and the like, the first [`LISTED_MAX`] entries of each list, the voids of these days,
//! and one bit per entry for sales that wait for their confirmation. A second pass reads the lines
//! of the sales whose bit remains, and of what was voided.

use std::collections::{BTreeMap, BTreeSet};

use super::AuditError;
use super::days::Days;
use super::groups::{Flow, Groups, NONE, Whose};
use super::source::{Item, Source};
use super::totals::{Accounts, Sum};
use crate::engine::book::CLEAR_BEGIN;
use crate::engine::model::{Balance, CardNo, Date, Entry, EntrySeq, Kind, MachineNo, Stamp};
use crate::ledger::segment::Lines;
use crate::ledger::{Head, line};

mod print;

pub(super) use print::head_json;

/// Most entries to keep per list; more are counted.
pub const LISTED_MAX: usize = 200;

/// Sums of the sales of a machine, period or day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sales {
    /// Sales by 103.
    pub charge: Sum,
    /// Sales in count mode.
    pub meal: Sum,
    /// Sales by 128.
    pub scan: Sum,
    /// Booked offline sales (105).
    pub offline: Sum,
    /// Voids of sales.
    pub void: Sum,
    /// Number of refused sales.
    pub refused: u64,
}

impl Sales {
    /// All sales; voids are not subtracted.
    pub fn all(&self) -> Sum {
        let mut all = self.charge;
        for sum in [self.meal, self.scan, self.offline] {
            all += sum;
        }
        all
    }

    fn add(&mut self, entry: &Entry) {
        match entry.kind {
            Kind::Charge => self.charge.add(entry),
            Kind::Meal => self.meal.add(entry),
            Kind::Scan => self.scan.add(entry),
            Kind::Offline if !is_claimed(entry) => self.offline.add(entry),
            Kind::Decline => self.refused += refusals_in(entry),
            _ => (),
        }
    }
}

/// Sums of the orders of one operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Desk {
    /// Top-ups, paid by holders.
    pub top_up: Sum,
    /// Subsidies, paid by the employer.
    pub subsidy: Sum,
    /// Subsidies cleared.
    pub clear: Sum,
    /// Payouts.
    pub pay_out: Sum,
    /// Corrections.
    pub adjust: Sum,
    /// Voids.
    pub void: Sum,
}

impl Desk {
    fn of(&mut self, flow: Flow) -> Option<&mut Sum> {
        match flow {
            Flow::TopUp => Some(&mut self.top_up),
            Flow::Grant => Some(&mut self.subsidy),
            Flow::Clear => Some(&mut self.clear),
            Flow::PayOut => Some(&mut self.pay_out),
            Flow::Adjust => Some(&mut self.adjust),
            Flow::SaleVoid | Flow::TopUpVoid | Flow::GrantVoid => Some(&mut self.void),
            Flow::Sale | Flow::Net | Flow::Open | Flow::Other => None,
        }
    }
}

/// An entry that a person should check.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The entry's number.
    pub seq: EntrySeq,
    /// When it was written.
    pub time: Stamp,
    /// The kind.
    pub kind: Kind,
    /// The device.
    pub machine: Option<MachineNo>,
    /// The card.
    pub card: Option<CardNo>,
    /// Its effect on the balance.
    pub amount: Option<Balance>,
    /// Its effect on the subsidy.
    pub subsidy: Option<Balance>,
    /// The balance after it.
    pub balance: Option<Balance>,
    /// The entry that it refers to.
    pub about: Option<EntrySeq>,
    /// Words of its detail.
    pub what: String,
}

/// Entries of one kind: the sum of all, and the first rows.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// Sum of all entries.
    pub sum: Sum,
    /// The first [`LISTED_MAX`].
    pub rows: Vec<Listed>,
}

impl List {
    fn add(&mut self, entry: &Entry, what: String) {
        self.sum.add(entry);
        if self.rows.len() < LISTED_MAX {
            self.rows.push(Listed {
                seq: entry.seq,
                time: entry.time,
                kind: entry.kind,
                machine: entry.machine,
                card: entry.card,
                amount: entry.amount,
                subsidy: entry.subsidy,
                balance: entry.balance,
                about: entry.about,
                what,
            });
        }
    }
}

/// The daily close of one or more business days.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The site's label.
    pub site: String,
    /// The ledger's number.
    pub ledger: u64,
    /// The first business day.
    pub from: Option<Date>,
    /// The last business day.
    pub to: Option<Date>,
    /// Warnings, such as that the source is not the whole ledger.
    pub notes: Vec<String>,
    /// Number of entries of these days.
    pub entries: u64,
    /// The first and the last entry of these days, with their times.
    pub ends: Option<[(Head, Stamp); 2]>,
    /// The last entry that was read, of any day.
    pub head: Head,
    /// Sums by kind, in the order of [`Kind::ALL`].
    pub kinds: Vec<(Kind, Sum)>,
    /// Sales by machine.
    pub machines: BTreeMap<String, Sales>,
    /// Sales by period.
    pub periods: BTreeMap<String, Sales>,
    /// Sales by day.
    pub days: BTreeMap<Date, Sales>,
    /// Sum of all sales.
    pub sales: Sales,
    /// Refused sales by reason.
    pub refused: BTreeMap<String, u64>,
    /// Refused passages by reason.
    pub kept_shut: BTreeMap<String, u64>,
    /// Orders by operator's name.
    pub operators: BTreeMap<String, Desk>,
    /// Alarms by rule.
    pub alarms: BTreeMap<String, u64>,
    /// Offline sales whose device time was not believed: invalid, too old, or in the future.
    pub invalid_times: List,
    /// Offline sales that left the account below zero.
    pub overdrafts: List,
    /// Offline sales that a rule would have refused online.
    pub bad_cards: List,
    /// Offline sales that were not booked.
    pub not_booked: List,
    /// Approved sales that no 109, 105 or void settled, of machines that confirm.
    pub doubtful: List,
    /// The same, of machines that never confirm, by machine.
    pub mute: BTreeMap<String, Sum>,
    /// Corrections.
    pub adjusts: List,
    /// Voids.
    pub voids: List,
    /// Entries of these days that were written on a later day.
    pub late: List,
    /// Balance of all accounts before these days.
    pub opening: Sum,
    /// Sum of the movements of these days.
    pub moved: Sum,
    /// Balance of all accounts after these days, from the `balance` columns.
    pub closing: Sum,
    /// Whether the opening total includes all accounts.
    pub is_total_known: bool,
    /// All movements by flow, in the rows that were asked for.
    pub groups: Groups,
}

impl Report {
    /// Whether opening total plus movements equals the closing total, in each purse.
    pub fn is_balanced(&self) -> bool {
        let mut expected = self.opening;
        expected += self.moved;
        Sum { count: self.closing.count, ..expected } == self.closing
    }
}

/// The days of a report.
#[derive(Clone, Copy, Debug)]
pub enum Span {
    /// The business day of the newest entry.
    Newest,
    /// From one day to another, inclusive; `None` for the first and the last day.
    Days(Option<Date>, Option<Date>),
}

/// Makes the report of the days in `span`, with the movements in the rows of `groups`, and the
/// accounts' balances at the end of the last day.
///
/// # Errors
/// If a file cannot be read, or the ledger is damaged.
pub fn gather(source: &Source, span: Span, groups: Groups) -> Result<(Report, Accounts), AuditError> {
    let (from, to) = match span {
        Span::Newest => {
            let newest = newest_day(source)?;
            (newest, newest)
        }
        Span::Days(from, to) => (from, to),
    };
    let report = Report {
        site: source.site().to_owned(),
        ledger: source.ledger(),
        from,
        to,
        notes: source.note().into_iter().collect(),
        kinds: Kind::ALL.iter().map(|kind| (*kind, Sum::default())).collect(),
        is_total_known: source.is_whole() || source.base.is_some(),
        groups,
        ..Report::default()
    };
    let accounts = Accounts::new(source.base.as_ref(), source.is_whole());
    let mut pass = Pass {
        report,
        accounts,
        from,
        to,
        later: Sum::default(),
        open: Waiting::default(),
        voids: BTreeMap::new(),
        confirming: BTreeSet::new(),
        has_begun: source.is_whole(),
        clear: None,
    };
    pass.read(source)?;
    pass.settle(source)?;
    Ok((pass.report, pass.accounts))
}

/// The business day of the newest entry whose clock was believed.
fn newest_day(source: &Source) -> Result<Option<Date>, AuditError> {
    for index in (0..source.pieces.len()).rev() {
        let mut days = Days::new();
        let mut newest = None;
        let mut lines = Lines::new(&source.files, &source.pieces[index].path, None);
        while let Some(line) = lines.read()? {
            if let Some(parsed) = line::parse(line.text).ok().filter(|_| line.ended) {
                newest = Some(days.of(&parsed.entry).written);
            }
        }
        if newest.is_some() {
            return Ok(newest);
        }
    }
    Ok(None)
}

fn is_claimed(entry: &Entry) -> bool {
    entry.detail.get("claimed").is_some()
}

/// Number of refusals in an entry: suppressed ones share one entry with `n=`.
fn refusals_in(entry: &Entry) -> u64 {
    entry.detail.get("n").and_then(|n| n.0.parse().ok()).unwrap_or(1)
}

/// A word of the detail, unescaped.
pub(super) fn word(entry: &Entry, key: &str) -> Option<String> {
    let bytes: Vec<u8> = entry.detail.get(key)?.bytes().collect();
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The words of the detail with these keys, unescaped.
fn words_of(entry: &Entry, keys: &[&'static str]) -> String {
    let words: Vec<String> = keys.iter().filter_map(|key| Some(format!("{key}={}", word(entry, key)?))).collect();
    words.join(" ")
}

/// One bit per entry from the first sale on: whether it is a sale that waits for its confirmation.
#[derive(Default)]
struct Waiting {
    first: Option<EntrySeq>,
    bits: Vec<u64>,
}

impl Waiting {
    fn place(&self, seq: EntrySeq) -> Option<(usize, u64)> {
        let bit = seq.0.checked_sub(self.first?.0)?;
        Some((usize::try_from(bit / 64).ok()?, 1 << (bit % 64)))
    }

    fn insert(&mut self, seq: EntrySeq) {
        self.first.get_or_insert(seq);
        let Some((index, mask)) = self.place(seq) else { return };
        if self.bits.len() <= index {
            self.bits.resize(index + 1, 0);
        }
        self.bits[index] |= mask;
    }

    /// Removes a sale; returns whether it was there.
    fn remove(&mut self, seq: EntrySeq) -> bool {
        let was_there = self.contains(seq);
        if was_there && let Some((index, mask)) = self.place(seq) {
            self.bits[index] &= !mask;
        }
        was_there
    }

    fn contains(&self, seq: EntrySeq) -> bool {
        let Some((index, mask)) = self.place(seq) else { return false };
        self.bits.get(index).is_some_and(|word| word & mask != 0)
    }

    fn is_empty(&self) -> bool {
        self.bits.iter().all(|word| *word == 0)
    }
}

struct Pass {
    report: Report,
    accounts: Accounts,
    from: Option<Date>,
    to: Option<Date>,
    /// Sum of the movements after the last day.
    later: Sum,
    open: Waiting,
    /// Voids of these days by their sale, for whose machine and period they count, and their own
    /// number.
    voids: BTreeMap<(EntrySeq, EntrySeq), (Whose, Sum)>,
    /// Machines that confirmed a sale of these days.
    confirming: BTreeSet<u64>,
    has_begun: bool,
    /// The newest clear of all and its operator: one at a time goes on, and only its first entry
    /// has `by=`.
    clear: Option<(EntrySeq, String)>,
}

impl Pass {
    fn read(&mut self, source: &Source) -> Result<(), AuditError> {
        let mut days = Days::new();
        let mut walk = source.walk();
        let base = source.base.as_ref().map(|base| base.head);
        while let Some(item) = walk.entry()? {
            let day = days.of(&item.entry);
            if item.entry.detail.get("clear").is_some_and(|clear| clear.is(CLEAR_BEGIN)) {
                self.clear = word(&item.entry, "by").map(|by| (item.entry.seq, by));
            }
            // The snapshot has these entries already.
            if base.is_some_and(|base| item.entry.seq <= base.seq) {
                continue;
            }
            if !std::mem::replace(&mut self.has_begun, true) {
                self.note_beginning(&item, day.written);
            }
            let is_then = self.to.is_none_or(|to| day.counted <= to);
            if let Err(what) = self.accounts.apply(&item.entry, is_then) {
                return Err(source.damage(&item.piece.path, item.line, &what));
            }
            let effect = if item.entry.account.is_some() { sum_of(&item.entry) } else { Sum::default() };
            self.settle_sale(&item.entry);
            if self.from.is_some_and(|from| day.counted < from) {
                self.report.opening += effect;
            } else if is_then {
                self.report.moved += effect;
                self.take(&item, day.counted);
                if day.counted < day.written {
                    self.report.late.add(
                        &item.entry,
                        format!("day={} {}", day.counted, words_of(&item.entry, &["by"])).trim().to_owned(),
                    );
                }
            } else {
                self.later += effect;
            }
        }
        self.report.head = walk.head();
        self.report.opening += Sum { count: 0, ..self.accounts.before };
        let total = self.accounts.total();
        self.report.closing = Sum {
            count: total.count,
            amount: total.amount - self.later.amount,
            subsidy: total.subsidy - self.later.subsidy,
            uses: total.uses.saturating_sub(self.later.uses),
        };
        Ok(())
    }

    /// Notes that the source has the first day only in part.
    fn note_beginning(&mut self, item: &Item, begins: Date) {
        if self.from.is_none_or(|from| from <= begins) {
            let seq = item.entry.seq;
            self.report.notes.push(format!("NOT WHOLE 不完整: entries before {seq} ({begins}) are not counted here"));
        }
    }

    /// Ends the doubt about a sale at its 109, 105 or void, of any day.
    fn settle_sale(&mut self, entry: &Entry) {
        if let (Kind::Confirm | Kind::Matched | Kind::Void, Some(about)) = (entry.kind, entry.about)
            && self.open.remove(about)
            && entry.kind == Kind::Confirm
        {
            self.confirming.extend(entry.machine.map(|machine| machine.value()));
        }
    }

    fn take(&mut self, item: &Item, day: Date) {
        let entry = &item.entry;
        let report = &mut self.report;
        report.entries += 1;
        let here = (item.head(), entry.time);
        report.ends = Some(report.ends.map_or([here, here], |[first, _]| [first, here]));
        if let Some((_, sum)) = report.kinds.iter_mut().find(|(kind, _)| *kind == entry.kind) {
            sum.add(entry);
        }
        let whose = Whose { account: entry.account, card: entry.card, day };
        match Flow::of(entry) {
            // It waits for its sale.
            Some(Flow::SaleVoid) => {
                let about = entry.about.unwrap_or_default();
                self.voids.insert((about, entry.seq), (whose, sum_of(entry)));
            }
            Some(flow) => report.groups.add(flow, &whose, Some(entry), sum_of(entry)),
            None => (),
        }
        match entry.kind {
            Kind::Charge | Kind::Meal | Kind::Scan | Kind::Offline | Kind::Decline => {
                report.sales.add(entry);
                report.days.entry(day).or_default().add(entry);
                report.machines.entry(machine_of(entry)).or_default().add(entry);
                if entry.kind != Kind::Decline {
                    report.periods.entry(period_of(entry)).or_default().add(entry);
                }
            }
            Kind::Alarm => {
                *report.alarms.entry(word(entry, "rule").unwrap_or_else(|| NONE.to_owned())).or_default() +=
                    refusals_in(entry);
            }
            _ => (),
        }
        match entry.kind {
            Kind::Charge | Kind::Meal | Kind::Scan => self.open.insert(entry.seq),
            Kind::Offline => list_offline(report, entry),
            Kind::Decline | Kind::Refuse => {
                let reasons = if entry.kind == Kind::Decline { &mut report.refused } else { &mut report.kept_shut };
                let reason = match (word(entry, "reason"), entry.detail.get("n")) {
                    (Some(reason), _) => reason,
                    (None, Some(_)) => "left-out".to_owned(),
                    (None, None) => NONE.to_owned(),
                };
                *reasons.entry(reason).or_default() += refusals_in(entry);
            }
            Kind::Adjust => report.adjusts.add(entry, words_of(entry, &["by", "note"])),
            Kind::Void => report.voids.add(entry, words_of(entry, &["day", "by", "note"])),
            _ => (),
        }
        if let Some(flow) = Flow::of(entry).filter(|flow| Desk::default().of(*flow).is_some()) {
            let of_clear = || self.clear.clone().filter(|(begin, _)| entry.about == Some(*begin)).map(|(_, by)| by);
            let operator = word(entry, "by").or_else(of_clear).unwrap_or_else(|| NONE.to_owned());
            if let Some(sum) = report.operators.entry(operator).or_default().of(flow) {
                sum.add(entry);
            }
        }
    }

    /// Reads the lines of the sales that are still in doubt, and of voided sales.
    fn settle(&mut self, source: &Source) -> Result<(), AuditError> {
        if self.open.is_empty() && self.voids.is_empty() {
            return Ok(());
        }
        let first = [self.open.first, self.voids.keys().next().map(|(about, _)| *about)].into_iter().flatten().min();
        let first = first.unwrap_or_default();
        let begin = source.pieces.iter().rposition(|piece| piece.header.first <= first).unwrap_or(0);
        for piece in &source.pieces[begin..] {
            let mut lines = Lines::new(&source.files, &piece.path, None);
            while let Some(line) = lines.read()? {
                let kind = line.text.split(|byte| *byte == b'\t').nth(3).unwrap_or_default();
                if !line.ended || !matches!(kind, b"charge" | b"meal" | b"scan" | b"offline") {
                    continue;
                }
                let Ok(line::Parsed { entry, .. }) = line::parse(line.text) else { continue };
                if entry.seq > self.report.head.seq {
                    break;
                }
                let of_it = (entry.seq, EntrySeq(0))..=(entry.seq, EntrySeq(u64::MAX));
                while let Some((key, _)) = self.voids.range(of_it.clone()).next() {
                    let (whose, sum) = self.voids.remove(&key.clone()).expect("it was just found");
                    self.undo(&whose, sum, Some(&entry));
                }
                if !self.open.contains(entry.seq) {
                    continue;
                }
                if entry.machine.is_some_and(|machine| self.confirming.contains(&machine.value())) {
                    let time =
                        entry.device_time.as_ref().map_or(String::new(), |time| format!("device_time={}", time.raw));
                    self.report.doubtful.add(&entry, time);
                } else {
                    self.report.mute.entry(machine_of(&entry)).or_default().add(&entry);
                }
            }
        }
        for (whose, sum) in std::mem::take(&mut self.voids).into_values() {
            self.undo(&whose, sum, None);
        }
        Ok(())
    }

    /// Counts a void of a sale, if that is at hand.
    fn undo(&mut self, whose: &Whose, sum: Sum, sale: Option<&Entry>) {
        let report = &mut self.report;
        report.groups.add(Flow::SaleVoid, whose, sale, sum);
        report.sales.void += sum;
        report.days.entry(whose.day).or_default().void += sum;
        report.machines.entry(sale.map_or(NONE.to_owned(), machine_of)).or_default().void += sum;
        report.periods.entry(sale.map_or(NONE.to_owned(), period_of)).or_default().void += sum;
    }
}

fn period_of(entry: &Entry) -> String {
    word(entry, "period").unwrap_or_else(|| NONE.to_owned())
}

fn machine_of(entry: &Entry) -> String {
    entry.machine.map_or(NONE.to_owned(), machine_text)
}

pub(super) fn machine_text(machine: MachineNo) -> String {
    format!("{:05}", machine.value())
}

fn sum_of(entry: &Entry) -> Sum {
    let mut sum = Sum::default();
    sum.add(entry);
    sum
}

fn list_offline(report: &mut Report, entry: &Entry) {
    if is_claimed(entry) {
        report.not_booked.add(entry, words_of(entry, &["claimed", "again", "reason", "card", "mode", "invalid"]));
        return;
    }
    if entry.detail.get("invalid").is_some() {
        let raw = entry.device_time.as_ref().map_or("", |time| time.raw.as_str());
        report.invalid_times.add(entry, format!("{} device_time={raw}", words_of(entry, &["invalid"])));
    }
    let is_below = entry.balance.is_some_and(|balance| balance < Balance::ZERO && entry.amount < Some(Balance::ZERO));
    if is_below || entry.uses_left.is_some_and(|left| left < 0 && entry.uses < Some(0)) {
        let uses = entry.uses_left.filter(|left| *left < 0).map_or(String::new(), |left| format!("uses_left={left}"));
        report.overdrafts.add(entry, uses);
    }
    if entry.detail.get("reason").is_some() {
        report.bad_cards.add(entry, words_of(entry, &["reason"]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purse_and_the_uses_must_add_up() {
        let sum = |cash: i64, subsidy: i64, uses: i64| Sum {
            count: 7,
            amount: Balance::from_fen(cash),
            subsidy: Balance::from_fen(subsidy),
            uses,
        };
        let is_balanced = |closing: Sum| {
            let report = Report { opening: sum(100, 20, 3), moved: sum(-10, 5, 1), closing, ..Report::default() };
            report.is_balanced()
        };
        assert!(is_balanced(Sum { count: 1, ..sum(90, 25, 4) }), "accounts are not entries");
        for wrong in [sum(91, 25, 4), sum(90, 26, 4), sum(90, 25, 5), sum(91, 24, 4)] {
            assert!(!is_balanced(wrong), "{wrong:?}");
        }
    }
}
