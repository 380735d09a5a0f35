//! A world around the server: clocks, network, disk and devices, all of them simulated and repeated
//! by a seed.
//!
//! The server, its ledger, recovery, configuration and card tables are the real ones, and so is the
//! order of a turn (`posgate::turn::Service`). Nothing else is: no thread, no socket, no clock; the
//! one thing that is on a real disk is what the operator writes, with its good copies. [`run`]
//! plays one world; whatever the [`judge`] finds wrong panics, and the seed and the step that
//! repeat it are printed.
//!
//! | file | |
//! |---|---|
//! | `disk` | a storage that tears, loses and reorders what was not synced; the assumptions about real media stand there |
//! | `clock` | the router's clock: 1970, NTP's steps, years off |
//! | `device` | terminals and boards |
//! | `site` | the operator's files |
//! | `world` | drives the server; `network`, `people` (customers, cashiers), `trouble`, `operator`, `files`, `copies`, `desk` are in it |
//! | `buckets` | the naive model of the rates |
//! | `aging` | maps that forget what is over, so that memory stays flat |
//! | `judge` | the naive model: what must be true |
//! | `orders`, `days`, `purses` | its parts for what the operator orders, for the limits of days and periods, and for which purse pays |
//! | `lineage` | which ledger a machine serves, and the names of entries |
//! | `lines` | what is said to the control socket, and heard |
//! | `coverage` | what was reached |

pub mod coverage;

mod aging;
mod buckets;
mod clock;
mod days;
mod device;
mod disk;
mod judge;
mod lineage;
mod lines;
/// How a start reads the operator's files.
#[path = "../../../src/commands/load.rs"]
#[expect(dead_code, reason = "the commands ask it for more")]
mod load;
mod orders;
mod purses;
mod random;
/// How the server reads them again while it serves.
#[path = "../../../src/commands/reload.rs"]
mod reload;
mod site;
mod world;

use std::cell::Cell;
use std::sync::Once;

use coverage::Coverage;

thread_local! {
    /// Seed, step and simulated hour: what a failure must name.
    static PLACE: Cell<(u64, u64, u64)> = const { Cell::new((0, 0, 0)) };
    /// How many hours the world was to last.
    static HOURS: Cell<u64> = const { Cell::new(0) };
}

thread_local! {
    static IS_LOUD: bool = std::env::var_os("SIMULATE_TRACE").is_some();
}

/// Tells what happens, if `SIMULATE_TRACE` is set.
fn tell(what: impl FnOnce() -> String) {
    if IS_LOUD.with(|is_loud| *is_loud) {
        eprintln!("{}", what());
    }
}

/// Heap bytes in use, if the program counts them (see `examples/simulate.rs`); else 0.
fn allocated() -> usize {
    let stats = stats_alloc::INSTRUMENTED_SYSTEM.stats();
    stats.bytes_allocated.wrapping_sub(stats.bytes_deallocated)
}

/// What a world came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub coverage: Coverage,
    pub turns: u64,
    pub frames: u64,
    pub entries: u64,
    pub sales: u64,
    pub told: u64,
    pub restarts: u64,
    pub devices: u64,
    /// Of everything that happened, in order: two runs of one seed are the same run.
    pub trace: u64,
}

impl Report {
    pub fn add(&mut self, other: &Self) {
        self.coverage.add(&other.coverage);
        self.turns += other.turns;
        self.frames += other.frames;
        self.entries += other.entries;
        self.sales += other.sales;
        self.told += other.told;
        self.restarts += other.restarts;
        self.devices += other.devices;
    }
}

/// Plays a world of so many hours, and as long as it takes afterwards until all is settled.
pub fn run(seed: u64, hours: u64) -> Report {
    print_place_on_failure();
    HOURS.set(hours);
    world::play(seed, hours)
}

fn print_place_on_failure() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let (seed, step, hour) = PLACE.get();
            eprintln!("simulation failed: seed={seed} step={step} simulated_hour={hour}");
            let hours = HOURS.get();
            eprintln!("repeat it: cargo run --release --example simulate -- --seed {seed} --hours {hours} --worlds 1");
            before(panic);
        }));
    });
}
