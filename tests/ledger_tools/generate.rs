//! Ledgers of any size, written by the library: days of a canteen with everything that a report
//! counts. What they add up to is not known here: the tests add up the lines themselves.

use std::path::Path;

use posgate::engine::model::{
    AccountId, Balance, CardNo, ClockState, Date, Detail, DeviceTime, Entry, EntrySeq, FrameSeq, Kind, MachineNo,
    Stamp, Text, TimeOfDay, Wall,
};
use posgate::ledger::{DirStorage, Entries, Ledger};

/// China's offset.
const OFFSET_S: i32 = 8 * 3600;

/// What to write.
pub struct Plan {
    /// Entries in all, about.
    pub entries: u64,
    /// Accounts.
    pub accounts: usize,
    /// Days, from 2026-11-01 on.
    pub days: u64,
    /// Bytes of a segment.
    pub segment_bytes: u64,
}

struct Maker {
    plan: Plan,
    seed: u64,
    seq: u64,
    /// Of each account.
    held: Vec<Held>,
}

/// Cash and subsidy in fen, and uses; and whether the account is open.
#[derive(Clone, Copy, Default)]
struct Held {
    cash: i64,
    subsidy: i64,
    uses: i32,
    is_open: bool,
}

/// What an entry moves.
#[derive(Clone, Copy)]
struct Moved(i64, i64, i32);

impl Moved {
    fn back(self) -> Self {
        Self(-self.0, -self.1, -self.2)
    }
}

impl Maker {
    fn draw(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    /// The time of the next entry: spread over the days' opening hours.
    fn stamp(&self) -> Stamp {
        let per_day = self.plan.entries / self.plan.days + 1;
        let day = (self.seq / per_day).min(self.plan.days - 1);
        let place = (self.seq - day * per_day).min(per_day - 1);
        let first = Date::parse(b"2026-11-01").expect("a date");
        let second = 6 * 3600 + place * 50_000 / per_day;
        let day = Date(first.0 + i32::try_from(day).expect("few days"));
        let civil = day.at(TimeOfDay(u32::try_from(second).expect("within a day")));
        Stamp { wall: Wall((civil.0 - i64::from(OFFSET_S)) * 1000 + 250), offset_s: OFFSET_S }
    }

    fn next(&mut self, kind: Kind) -> Entry {
        let mut entry = Entry::new(kind, self.stamp(), ClockState::Ok);
        self.seq += 1;
        entry.seq = EntrySeq(self.seq);
        entry
    }

    fn of_account(&mut self, kind: Kind, account: usize, moved: Moved) -> Entry {
        let mut entry = self.next(kind);
        entry.card = Some(CardNo::from_value(88_888_000 + account as u64));
        entry.account = Some(AccountId::try_from(format!("S{account:05}").as_str()).expect("short"));
        let held = &mut self.held[account];
        let Moved(cash, subsidy, uses) = moved;
        *held = Held { cash: held.cash + cash, subsidy: held.subsidy + subsidy, uses: held.uses + uses, ..*held };
        (entry.amount, entry.subsidy, entry.uses) =
            (Some(Balance::from_fen(cash)), Some(Balance::from_fen(subsidy)), Some(uses));
        (entry.balance, entry.subsidy_left, entry.uses_left) =
            (Some(Balance::from_fen(held.cash)), Some(Balance::from_fen(held.subsidy)), Some(held.uses));
        entry
    }

    /// A sale takes the subsidy first.
    fn price(&self, account: usize, price: i64) -> Moved {
        let subsidy = price.min(self.held[account].subsidy);
        Moved(subsidy - price, -subsidy, 0)
    }

    fn at_machine(&mut self, entry: &mut Entry) {
        let machine = 1 + self.draw(5);
        entry.machine = MachineNo::parse(format!("{machine:05}").as_bytes());
        entry.frame = FrameSeq::parse(format!("{:05}", self.seq % 65_536).as_bytes());
        entry.device_time = Some(DeviceTime::new(entry.time.civil().to_string().as_bytes()));
    }

    /// A request and what follows from it.
    fn turn(&mut self) -> Vec<Entry> {
        let account = usize::try_from(self.draw(self.plan.accounts as u64)).expect("few accounts");
        let mut entries = Vec::new();
        if !self.held[account].is_open {
            self.held[account].is_open = true;
            let subsidy = if account.is_multiple_of(3) { 2_000 } else { 0 };
            let entry = self.of_account(Kind::Open, account, Moved(5_000, subsidy, 50));
            entries.push(entry);
        }
        let price = i64::try_from(100 + self.draw(2000)).expect("a price");
        let day = self.stamp().civil().date();
        let period = ["breakfast", "lunch", "dinner"][usize::try_from(self.draw(3)).expect("three")];
        let sale = Detail::default().with("day", day).with("period", period);
        let by = ["王", "李"][usize::try_from(self.draw(2)).expect("two")];
        let desk = Detail::default().with("by", by).with("key", self.seq);
        match self.draw(100) {
            0..=6 => {
                let mut entry = self.of_account(Kind::Decline, account, Moved(0, 0, 0));
                self.at_machine(&mut entry);
                let reason = ["balance", "lost", "period-uses"][usize::try_from(self.draw(3)).expect("three")];
                entry.detail = Detail::default().with("reason", reason).with("code", 103).with("asked", "5.50");
                entries.push(entry);
            }
            choice @ 7..=11 => {
                let (kind, moved) = match choice {
                    11 => (Kind::Subsidy, Moved(0, 5_000, 10)),
                    _ => (Kind::TopUp, Moved(10 * price, 0, 0)),
                };
                let credit = Entry { detail: desk, ..self.of_account(kind, account, moved) };
                entries.push(credit);
                if self.draw(10) == 0 {
                    let mut void = self.of_account(Kind::Void, account, moved.back());
                    void.about = Some(credit.seq);
                    void.detail = Detail::default()
                        .with("day", day)
                        .with("by", by)
                        .with("note", "充错了")
                        .with("of", kind.word());
                    entries.push(void);
                }
            }
            12 => entries.push(Entry { detail: desk, ..self.of_account(Kind::PayOut, account, Moved(-price, 0, 0)) }),
            13 if self.held[account].subsidy > 0 => {
                let left = self.held[account].subsidy;
                let entry = self.of_account(Kind::Subsidy, account, Moved(0, -left, 0));
                entries.push(Entry { detail: desk.with("clear", "one"), ..entry });
            }
            13 => {
                let entry = self.of_account(Kind::Adjust, account, Moved(price - 1000, 0, 0));
                entries.push(Entry { detail: desk.with("note", "盘点 差额"), ..entry });
            }
            14..=15 => {
                let mut entry = self.of_account(Kind::Offline, account, self.price(account, price));
                self.at_machine(&mut entry);
                entry.slot = Text::try_from("12345678").ok();
                // Some were made the day before.
                let day = if self.draw(4) == 0 { day.previous() } else { day };
                entry.detail = Detail::default().with("asked", Balance::from_fen(price)).with("day", day);
                if self.draw(5) == 0 {
                    entry.detail.push("reason", "lost");
                }
                if self.draw(5) == 0 {
                    entry.device_time = Some(DeviceTime::new(b"2026-13-01 00:00:00"));
                    entry.detail.push("invalid", "time");
                }
                entries.push(entry);
            }
            choice => {
                let (kind, moved) = match choice {
                    16..=40 => (Kind::Meal, Moved(0, 0, -1)),
                    41..=45 => (Kind::Scan, self.price(account, price)),
                    _ => (Kind::Charge, self.price(account, price)),
                };
                let mut entry = self.of_account(kind, account, moved);
                self.at_machine(&mut entry);
                entry.detail = sale;
                let (seq, machine) = (entry.seq, entry.machine);
                entries.push(entry);
                // Machine 5 never confirms; of the others one in fifty is in doubt.
                if machine.is_some_and(|machine| machine.value() < 5) && self.draw(50) > 0 {
                    let mut confirm = self.next(Kind::Confirm);
                    (confirm.machine, confirm.about) = (machine, Some(seq));
                    entries.push(confirm);
                }
                if self.draw(200) == 0 {
                    // A part of it is cash.
                    let Moved(cash, subsidy, uses) = moved.back();
                    let is_partial = cash > 100 && self.draw(3) == 0;
                    let back = if is_partial { Moved(100, 0, 0) } else { Moved(cash, subsidy, uses) };
                    let mut void = self.of_account(Kind::Void, account, back);
                    void.about = Some(seq);
                    void.detail = Detail::default().with("day", day).with("by", by).with("note", "打错了");
                    if is_partial {
                        void.detail.push("rest", Balance::from_fen(cash - 100 + subsidy));
                    }
                    entries.push(void);
                }
            }
        }
        entries
    }
}

/// Writes a ledger into a new directory.
pub fn write(directory: &Path, plan: Plan) {
    let storage = DirStorage::open(directory).expect("a directory");
    let held = vec![Held::default(); plan.accounts];
    let (entries, segment_bytes) = (plan.entries, plan.segment_bytes);
    let mut maker = Maker { plan, seed: 1, seq: 0, held };
    let nobody = &mut Entries(|_: &Entry| Ok(()));
    let opened = Ledger::open(storage, "一食堂", maker.stamp(), || 0x00A1_B2C3_D4E5_F607, nobody);
    let (mut ledger, _) = opened.unwrap_or_else(|error| panic!("{error}"));
    ledger.limit_segments(segment_bytes);
    while maker.seq < entries {
        // Less than one write may have.
        for _ in 0..20 {
            for entry in maker.turn() {
                ledger.append(&entry);
            }
        }
        if ledger.is_segment_full() {
            ledger.rotate(maker.stamp()).expect("a new segment");
        }
        ledger.write().expect("written");
    }
    ledger.sync().expect("synced");
}

/// Writes these entries into a new directory, in order; their seqs and balances are filled in.
#[allow(dead_code)] // the example writes none
pub fn write_entries(directory: &Path, site: &str, entries: Vec<Entry>) {
    let stamp = entries[0].time;
    let storage = DirStorage::open(directory).expect("a directory");
    let nobody = &mut Entries(|_: &Entry| Ok(()));
    let (mut ledger, _) = Ledger::open(storage, site, stamp, || 0xA1, nobody).unwrap_or_else(|error| panic!("{error}"));
    let mut figures = std::collections::BTreeMap::new();
    for mut entry in entries {
        entry.seq = ledger.next_seq();
        if let Some(account) = &entry.account {
            let (balance, purse, left) = figures.entry(*account).or_insert((Balance::ZERO, Balance::ZERO, 0));
            *balance += entry.amount.unwrap_or_default();
            *purse += entry.subsidy.unwrap_or_default();
            *left += entry.uses.unwrap_or_default();
            (entry.amount, entry.subsidy, entry.uses) =
                (entry.amount.or(Some(Balance::ZERO)), entry.subsidy.or(Some(Balance::ZERO)), entry.uses.or(Some(0)));
            (entry.balance, entry.subsidy_left, entry.uses_left) = (Some(*balance), Some(*purse), Some(*left));
        }
        ledger.append(&entry);
    }
    ledger.write().expect("written");
    ledger.sync().expect("synced");
}
