//! One terminal's sales through the whole server but its sockets, for counting instructions:
//!
//!     cargo build --release --example instructions
//!     valgrind --tool=callgrind --toggle-collect='*serve_sales*' --callgrind-out-file=/dev/null \
//!         target/release/examples/instructions
//!
//! A sale is a turn with a 103 (001 out, entry written and synced, 008 out) and a turn with its 109. It prints how many there were:
//! `Collected` divided by them is instructions a sale. `bash benches/instructions.sh` does all of this.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Mutex;

use posgate::ledger::{DirStorage, Ledger};
use posgate::model::{Mono, Now, Stamp, Wall};
use posgate::net::Service;
use posgate::server::{Effects, Mailbag, Origin, Peer, Server, Tables};
use posgate::{cards, config};

/// Too large for a stack.
static TABLES: Mutex<Tables> = Mutex::new(Tables::new());
static EFFECTS: Mutex<Effects> = Mutex::new(Effects::new());

const CARDS: u64 = 100;
const WARM_UP: u64 = 200;
const SALES: u64 = 2000;

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let text = "config server 'main'\n option rate_source '0'\n option timezone 'CST-8'\n";
    let settings = config::parse(text.as_bytes(), Path::new("/site/posgate")).expect("a configuration");
    let table: String = (0..CARDS).map(|number| format!("{},100000.00\n", 8_888_888_000 + number)).collect();
    let table = format!("card,balance\n{table}");
    let file = cards::parse(table.as_bytes(), Path::new("/site/cards.csv"), &settings.rules.groups).expect("cards");

    let mut tables = TABLES.lock().expect("not poisoned");
    let mut effects = EFFECTS.lock().expect("not poisoned");
    let mut server = Server::new(&mut tables, settings.rules.clone());
    let storage = DirStorage::open(&dir.path().join("ledger")).expect("a ledger's directory");
    let (ledger, _) = Ledger::open(storage, "bench", now(0).stamp, || 7, &mut server).expect("a ledger");
    server.install(settings.rules, &file.records, Origin::default(), true).expect("cards fit");
    let mut service = Service::new(server, ledger, &mut effects);
    service.start(&now(0), &mut |_| ()).expect("a start");

    serve(&mut service, &frames(0, WARM_UP));
    let frames = frames(WARM_UP, SALES);
    let replies = serve_sales(&mut service, &frames);
    // 001 and 008; the 109 gets none.
    assert_eq!(replies, 2 * SALES, "every sale is acknowledged and approved");
    println!("sales {SALES}");
}

/// What is counted.
#[inline(never)]
fn serve_sales(service: &mut Service<DirStorage>, frames: &[Vec<u8>]) -> u64 {
    serve(service, frames)
}

#[inline(never)]
fn serve(service: &mut Service<DirStorage>, frames: &[Vec<u8>]) -> u64 {
    let mut replies = 0;
    let source = SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 20), 5000);
    let peer = Peer { source, local: Ipv4Addr::new(192, 168, 1, 1), socket: 0 };
    for (turn, frame) in frames.iter().enumerate() {
        let now = now(1000 + 20 * turn as u64);
        service.receive(&now, peer, frame, false).expect("the ledger can be written");
        let mut post = |bag: &Mailbag| {
            for (_, bytes) in bag.iter() {
                black_box(bytes);
                replies += 1;
            }
        };
        service.end_turn(&now, &mut post).expect("the ledger can be written");
    }
    replies
}

/// A 103 and its 109, for each sale.
fn frames(from: u64, count: u64) -> Vec<Vec<u8>> {
    let one = |number: u64| {
        let (seq, confirm) = (2 * number % 65_536, (2 * number + 1) % 65_536);
        let card = 8_888_888_000 + number * 37 % CARDS;
        let time = format!("2026-11-22 {:02}:{:02}:{:02}", 8 + number / 3600 % 12, number / 60 % 60, number % 60);
        [
            format!("103,{seq:05},192.168.1.20,192.168.1.1,00002,{card},5.50,{time},1234567890"),
            format!("109,{confirm:05},192.168.1.20,192.168.1.1,00002,1234567890"),
        ]
    };
    (from..from + count).flat_map(one).map(String::into_bytes).collect()
}

fn now(at_ms: u64) -> Now {
    let wall = Wall(1_795_320_000_000 + i64::try_from(at_ms).expect("a small number"));
    Now { mono: Mono(1000 + at_ms), stamp: Stamp { wall, offset_s: 28_800 }, synchronized: true }
}
