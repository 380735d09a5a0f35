//! What a sale costs as a site grows: from 100 cards to as many as fit, from one terminal to a
//! thousand, from no timer to all armed, from empty duplicate windows to full ones.
//!
//!     cargo bench --bench growth
//!     cargo bench --bench growth -- --rounds 101 --sales 500
//!
//! A sale is a turn with a 103 and a turn with its 109, through the whole server but its sockets,
//! entries written and synced to a ledger in memory. Rounds alternate between the sites; compared
//! are medians of ratios within a round, for the machine may be shared and noisy.

#![allow(missing_docs, reason = "a benchmark")]
#![allow(clippy::disallowed_methods, clippy::cast_precision_loss, reason = "it reads clocks; figures for people")]

mod site;

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use posgate::engine::limits::{CARDS_MAX, DEVICES_MAX, RECENT_FRAMES_MAX};
use posgate::engine::server::{Effects, Tables};
use site::Site;

/// What a site is like before it is measured.
struct Shape {
    name: &'static str,
    cards: u64,
    terminals: u64,
    /// Each terminal's duplicate window holds as many frames as it can.
    is_full: bool,
    /// So many other terminals hold a result that they never confirm.
    waiting: u64,
}

const CARDS: u64 = CARDS_MAX as u64;
/// All but a few, which stand for strangers.
const TERMINALS: u64 = DEVICES_MAX as u64 - 24;

const SHAPES: [Shape; 7] = [
    Shape { name: "100 cards, 1 terminal", cards: 100, terminals: 1, is_full: true, waiting: 0 },
    Shape { name: "10,000 cards", cards: 10_000, terminals: 1, is_full: true, waiting: 0 },
    Shape { name: "65,536 cards", cards: CARDS, terminals: 1, is_full: true, waiting: 0 },
    Shape { name: "1,000 terminals, windows empty", cards: 100, terminals: TERMINALS, is_full: false, waiting: 0 },
    Shape { name: "1,000 terminals, windows full", cards: 100, terminals: TERMINALS, is_full: true, waiting: 0 },
    Shape { name: "999 results wait, timers armed", cards: 100, terminals: 1, is_full: true, waiting: TERMINALS - 1 },
    Shape { name: "65,536 cards, 1,000 terminals", cards: CARDS, terminals: TERMINALS, is_full: true, waiting: 0 },
];

static TABLES: [Mutex<Tables>; SHAPES.len()] = [const { Mutex::new(Tables::new()) }; SHAPES.len()];
static EFFECTS: [Mutex<Effects>; SHAPES.len()] = [const { Mutex::new(Effects::new()) }; SHAPES.len()];

fn main() -> ExitCode {
    let Some((rounds, sales)) = options() else {
        eprintln!("usage: cargo bench --bench growth -- [--rounds N] [--sales N]");
        return ExitCode::from(64);
    };
    let mut sites: Vec<Site> = (0..SHAPES.len()).map(open).collect();
    let mut costs: Vec<Vec<f64>> = Vec::new();
    for round in 0..rounds {
        let mut round_costs = vec![0.0; sites.len()];
        // Nobody is always first.
        for place in (0..sites.len()).map(|place| (place + round) % SHAPES.len()) {
            round_costs[place] = sell(&mut sites[place], SHAPES[place].terminals, sales);
        }
        costs.push(round_costs);
    }
    println!("{rounds} rounds of {sales} sales each\n{:34} {:>10} {:>10}", "", "ns a sale", "ratio");
    for (place, shape) in SHAPES.iter().enumerate() {
        let middle = |figure: &dyn Fn(&Vec<f64>) -> f64| {
            let mut figures: Vec<f64> = costs.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        let (ns, ratio) = (middle(&|round| round[place]), middle(&|round| round[place] / round[0]));
        println!("{:34} {ns:>10.0} {ratio:>10.2}", shape.name);
    }
    ExitCode::SUCCESS
}

fn options() -> Option<(usize, usize)> {
    let (mut rounds, mut sales) = (41, 500);
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let value = arguments.next()?.parse().ok().filter(|value| *value > 0)?;
        match argument.as_str() {
            "--rounds" => rounds = value,
            "--sales" => sales = value,
            _ => return None,
        }
    }
    Some((rounds, sales))
}

fn open(place: usize) -> Site {
    let shape = &SHAPES[place];
    let mut site = Site::open(&TABLES[place], &EFFECTS[place], shape.cards);
    if shape.is_full {
        // A sale is one frame in its terminal's window: a 109 is none.
        for _ in 0..RECENT_FRAMES_MAX {
            sell(&mut site, shape.terminals, shape.terminals as usize);
        }
    }
    for machine in 0..shape.waiting {
        let machine = shape.terminals + 1 + machine;
        let frame = site.charge(machine);
        assert_eq!(site.turn(machine, &frame), 2, "acknowledged and approved");
    }
    site
}

/// Sells at one terminal after the other; nanoseconds a sale.
fn sell(site: &mut Site, terminals: u64, sales: usize) -> f64 {
    let of_a_sale = |site: &mut Site| {
        // A number without a common factor with theirs: neighbours in time are none in the table.
        let machine = 1 + site.sold.wrapping_mul(617) % terminals;
        [site.charge(machine), site.confirmation(machine)].map(|frame| (machine, frame))
    };
    let frames: Vec<(u64, Vec<u8>)> = (0..sales).flat_map(|_| of_a_sale(site)).collect();
    let start = Instant::now();
    let replies: u64 = frames.iter().map(|(machine, frame)| site.turn(*machine, frame)).sum();
    let ns = start.elapsed().as_nanos() as f64;
    assert_eq!(replies, 2 * sales as u64, "every sale is acknowledged and approved");
    ns / sales as f64
}
