//! One terminal's sales through the whole server but its sockets, for counting instructions:
//!
//!     cargo build --release --example instructions
//!     valgrind --tool=callgrind --toggle-collect='*serve_sales*' --callgrind-out-file=/dev/null \
//!         target/release/examples/instructions
//!
//! A sale is a turn with a 103 (001 out, entry written and synced, 008 out) and a turn with its
//! 109. It prints how many there were: `Collected` divided by them is instructions a sale.
//! `bash benches/instructions.sh` does all of this.

#[path = "../benches/site.rs"]
mod site;

use std::sync::Mutex;

use posgate::engine::server::{Effects, Tables};
use site::Site;

static TABLES: Mutex<Tables> = Mutex::new(Tables::new());
static EFFECTS: Mutex<Effects> = Mutex::new(Effects::new());

const CARDS: u64 = 100;
const WARM_UP: u64 = 200;
const SALES: u64 = 2000;
const MACHINE: u64 = 2;

fn main() {
    let mut site = Site::open(&TABLES, &EFFECTS, CARDS);
    let warm_up = frames(&mut site, WARM_UP);
    serve(&mut site, &warm_up);
    let counted = frames(&mut site, SALES);
    let replies = serve_sales(&mut site, &counted);
    // 001 and 008; the 109 gets none.
    assert_eq!(replies, 2 * SALES, "every sale is acknowledged and approved");
    println!("sales {SALES}");
}

/// What is counted.
#[inline(never)]
fn serve_sales(site: &mut Site, frames: &[Vec<u8>]) -> u64 {
    serve(site, frames)
}

#[inline(never)]
fn serve(site: &mut Site, frames: &[Vec<u8>]) -> u64 {
    frames.iter().map(|frame| site.turn(MACHINE, frame)).sum()
}

/// A 103 and its 109, for each sale.
fn frames(site: &mut Site, count: u64) -> Vec<Vec<u8>> {
    (0..count).flat_map(|_| [site.charge(MACHINE), site.confirmation(MACHINE)]).collect()
}
