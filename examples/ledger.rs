//! Writes a ledger of a canteen's days, to measure what reads ledgers:
//!
//! ```sh
//! cargo run --release --example ledger -- /tmp/ledger 1000000
//! time target/release/posgate ledger report --from 2026-11-01 --to 2026-11-30 /tmp/ledger
//! ```

#[path = "../tests/ledger_tools/generate.rs"]
mod generate;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (directory, entries) = (arguments.next().map(PathBuf::from), arguments.next());
    let (Some(directory), Some(Ok(entries))) = (directory, entries.map(|text| text.parse())) else {
        eprintln!("say where and how many entries: ledger DIRECTORY ENTRIES");
        return ExitCode::from(64);
    };
    let plan = generate::Plan { entries, accounts: 10_000, days: 30, segment_bytes: 1024 * 1024 };
    generate::write(&directory, plan);
    ExitCode::SUCCESS
}
