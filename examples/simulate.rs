//! Plays simulated worlds around the real server for as long as asked: see
//! `tests/simulation/sim/mod.rs`.
//!
//! `cargo run --release --example simulate -- --seed S --days D` plays D days in worlds of one day
//! each, seeds S, S + 1, …; `--worlds N` says how many worlds instead, `--hours H` how long each
//! one is. A failure prints the seed and the step that repeat it. At the end stands how many sales
//! were unjust, by reason and by million, and what was reached.

#[path = "../tests/simulation/sim/mod.rs"]
mod sim;

use std::alloc::System;
use std::process::ExitCode;

/// Counts what is allocated: handling a frame must leave nothing behind.
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<System> = &stats_alloc::INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let mut options = lexopt::Parser::from_env();
    let (mut seed, mut hours, mut worlds) = (1, 24, None);
    let mut read = || -> Result<(), lexopt::Error> {
        use lexopt::prelude::*;
        while let Some(option) = options.next()? {
            match option {
                Long("seed") => seed = options.value()?.parse()?,
                Long("hours") => hours = options.value()?.parse()?,
                Long("worlds") => worlds = Some(options.value()?.parse()?),
                Long("days") => worlds = Some(options.value()?.parse::<u64>()? * 24 / hours),
                other => return Err(other.unexpected()),
            }
        }
        Ok(())
    };
    if let Err(error) = read() {
        eprintln!("simulate: {error}\nusage: simulate [--seed S] [--hours H] [--days D | --worlds N]");
        return ExitCode::from(64);
    }
    let worlds: u64 = worlds.unwrap_or(7);
    let mut total = sim::Report::default();
    for number in 0..worlds {
        let report = sim::run(seed + number, hours);
        total.add(&report);
        if number.is_multiple_of(10) || number + 1 == worlds {
            println!(
                "seed={} hours={} devices={} frames={} turns={} entries={} sales={} told={} restarts={} trace={:016x}",
                seed + number,
                (number + 1) * hours,
                report.devices,
                total.frames,
                total.turns,
                total.entries,
                total.sales,
                total.told,
                total.restarts,
                report.trace
            );
        }
    }
    println!("{}", total.coverage.unjust(total.sales));
    println!("coverage of {worlds} worlds, seeds {seed} to {}:\n{}", seed + worlds - 1, total.coverage);
    ExitCode::SUCCESS
}
