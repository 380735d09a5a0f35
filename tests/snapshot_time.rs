//! How long a snapshot takes, which the loop spends between two turns (design.md, section 7).
//!
//! `cargo test --release --test snapshot_time -- --ignored --nocapture` prints it for small and
//! full tables, on the file system of the temporary directory and in memory.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use posgate::engine::model::{
    AccountId, Balance, CardNo, ClockState, Detail, DeviceTime, Entry, EntrySeq, FrameSeq, Kind, MachineNo, Stamp, Text,
};
use posgate::engine::server::{Server, Tables};
use posgate::host::clock::Clock;
use posgate::ledger::{DirStorage, Ledger};

/// Too large for a stack.
static TABLES: Mutex<Tables> = Mutex::new(Tables::new());

fn stamp() -> Stamp {
    Stamp::parse("2026-11-22T12:00:00.000+08:00").unwrap()
}

/// A sale of 0.01 by a card of its own account.
fn sale(seq: u64, account: u64, balance_fen: i64, machine: u64, kind: Kind) -> Entry {
    let mut entry = Entry { seq: EntrySeq(seq), ..Entry::new(kind, stamp(), ClockState::Ok) };
    entry.machine = MachineNo::parse(format!("{machine:05}").as_bytes());
    entry.frame = FrameSeq::parse(format!("{:05}", seq % 65_536).as_bytes());
    entry.card = CardNo::parse(format!("{:010}", 8_800_000_000 + account).as_bytes());
    entry.account = AccountId::try_from(format!("{:010}", 8_800_000_000 + account).as_str()).ok();
    (entry.amount, entry.subsidy, entry.uses) = (Some(Balance::from_fen(-1)), Some(Balance::ZERO), Some(0));
    (entry.balance, entry.subsidy_left, entry.uses_left) =
        (Some(Balance::from_fen(balance_fen)), Some(Balance::ZERO), Some(0));
    let time = format!("2026-11-22 12:{:02}:{:02}", seq / 60 % 60, seq % 60);
    entry.device_time = Some(DeviceTime::new(time.as_bytes()));
    entry.slot = (kind == Kind::Offline).then(|| Text::try_from(format!("{seq:08}").as_str()).unwrap());
    entry.detail = Detail::default().with("asked", "0.01").with("day", "2026-11-22").with("period", "lunch");
    entry
}

/// A snapshot of so many accounts that sold at so many devices, in a directory there: bytes and
/// milliseconds.
fn measure(accounts: u64, devices: u64, within: Option<&Path>) -> (u64, Duration) {
    let mut tables = TABLES.lock().unwrap();
    let mut server = Server::new(&mut tables, posgate::files::config::defaults().rules);
    let dir = within.map_or_else(tempfile::tempdir, tempfile::tempdir_in).unwrap();
    let storage = DirStorage::open(dir.path()).unwrap();
    let (mut ledger, _) = Ledger::open(storage, "site", stamp(), || 7, server.book_to_replay()).unwrap();
    let count = accounts.max(devices * 32);
    for seq in 1..=count {
        let round = i64::try_from((seq - 1) / accounts).unwrap();
        let kind = if seq % 2 == 0 { Kind::Charge } else { Kind::Offline };
        let entry = sale(seq, (seq - 1) % accounts, -1 - round, seq % devices + 1, kind);
        server.book_to_replay().apply(&entry, None).unwrap();
        ledger.append(&entry);
        if !ledger.has_room() {
            ledger.write().unwrap();
        }
    }
    ledger.write().unwrap();
    ledger.sync().unwrap();
    let clock = Clock::new();
    let begin = clock.mono();
    ledger.write_snapshot(stamp(), server.book()).unwrap();
    let took = Duration::from_millis(clock.mono().ms_since(begin));
    (dir.path().join("snapshot.tsv").metadata().unwrap().len(), took)
}

#[test]
#[ignore = "a measurement: it prints, and claims nothing"]
fn a_snapshot_takes_so_long() {
    for (accounts, devices) in [(300, 4), (10_000, 30), (65_536, 250), (65_536, 1024)] {
        let disk = measure(accounts, devices, None);
        let memory = measure(accounts, devices, Some(Path::new("/dev/shm")));
        println!("accounts={accounts} devices={devices} bytes={} disk={:?} memory={:?}", disk.0, disk.1, memory.1);
    }
}
