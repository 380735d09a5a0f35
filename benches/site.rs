//! The whole server but its sockets, with a real ledger: what benchmarks sell at.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Mutex;

use posgate::engine::model::rules::Rules;
use posgate::engine::model::{Mono, Now, Stamp, Wall};
use posgate::engine::server::{Effects, Origin, Outgoing, Peer, Server, Tables};
use posgate::files::{cards, config};
use posgate::ledger::{DirStorage, Ledger};
use posgate::turn::Service;

/// The first card's number; the others follow.
pub const FIRST_CARD: u64 = 8_888_000_000;

/// Where a ledger is written: in memory if the machine has a file system there, so that a sync
/// costs its system call and no more.
pub fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary directory")
}

/// One site and its terminals, machines 1 to 1,024, each at an address of its own.
pub struct Site {
    /// The server and its ledger.
    pub service: Service<'static, DirStorage>,
    /// Cards in the table.
    pub cards: u64,
    /// Sales so far: what makes each frame another one.
    pub sold: u64,
    at_us: u64,
    _directory: tempfile::TempDir,
}

/// Few words of configuration: no rates, and one resend that comes when nobody measures any more.
pub fn rules() -> Rules {
    let text =
        "config server 'main'\n option rate_source '0'\n option timezone 'CST-8'\n option resend_first_ms '60000'\n";
    config::parse(text.as_bytes(), Path::new("/site/posgate")).expect("a configuration").rules
}

impl Site {
    /// Opens one with so many cards, all rich. Tables and effects are too large for a stack.
    pub fn open(tables: &'static Mutex<Tables>, effects: &'static Mutex<Effects>, cards: u64) -> Self {
        let (tables, effects) = (leak(tables), leak(effects));
        let directory = directory();
        let rules = rules();
        let table: String = (0..cards).map(|number| format!("{},100000.00\n", FIRST_CARD + number)).collect();
        let table = format!("card,balance\n{table}");
        let file = cards::parse(table.as_bytes(), Path::new("/site/cards.csv"), &rules.groups).expect("cards");

        let mut server = Server::new(tables, rules.clone());
        let storage = DirStorage::open(&directory.path().join("ledger")).expect("a ledger's directory");
        let (ledger, _) =
            Ledger::open(storage, "bench", now(0).stamp, || 7, server.book_to_replay()).expect("a ledger");
        server.install(rules, &file.records, Origin::default()).expect("cards fit");
        let mut service = Service::new(server, ledger, effects);
        service.start(&now(0), &mut |_| ()).expect("a start");
        Self { service, cards, sold: 0, at_us: 1_000_000, _directory: directory }
    }

    /// A 103 of this terminal, another one each time, of any of the cards.
    pub fn charge(&mut self, machine: u64) -> Vec<u8> {
        let number = self.sold;
        self.sold += 1;
        // A multiplier without a common factor with any table's size: neighbours in time are none
        // in the table.
        let card = FIRST_CARD + number.wrapping_mul(7_919) % self.cards;
        let (time, seq) = (self.now().stamp.civil(), 2 * number % 65_536);
        format!("103,{seq:05},192.168.1.20,192.168.1.1,{machine:05},{card},5.50,{time},{}", serial(machine))
            .into_bytes()
    }

    /// The 109 to the last sale.
    pub fn confirmation(&self, machine: u64) -> Vec<u8> {
        let seq = (2 * self.sold + 65_535) % 65_536;
        format!("109,{seq:05},192.168.1.20,192.168.1.1,{machine:05},{}", serial(machine)).into_bytes()
    }

    /// What time it is there.
    pub fn now(&self) -> Now {
        now(self.at_us / 1000)
    }

    /// One frame, and the turn's end; how many replies left.
    pub fn turn(&mut self, machine: u64, frame: &[u8]) -> u64 {
        self.at_us += 100;
        let now = self.now();
        let [_, _, high, low] = (machine as u32).to_be_bytes();
        let source = SocketAddrV4::new(Ipv4Addr::new(192, 168, high, low), 5000);
        let peer = Peer { source, local: Ipv4Addr::new(192, 168, 1, 1), socket: 0 };
        self.service.receive(&now, peer, frame, false).expect("the ledger can be written");
        let mut replies = 0;
        let mut post = |bag: &Outgoing| {
            for (_, bytes) in bag.iter() {
                black_box(bytes);
                replies += 1;
            }
        };
        self.service.end_turn(&now, &mut post).expect("the ledger can be written");
        replies
    }
}

fn leak<T>(value: &'static Mutex<T>) -> &'static mut T {
    &mut *Box::leak(Box::new(value.lock().expect("not poisoned")))
}

fn serial(machine: u64) -> u64 {
    2_000_000_000 + machine
}

/// So many milliseconds after the benchmark's start.
fn now(at_ms: u64) -> Now {
    let wall = Wall(1_795_320_000_000 + i64::try_from(at_ms).expect("a small number"));
    Now { mono: Mono(1000 + at_ms), stamp: Stamp { wall, offset_s: 28_800 }, synchronized: true }
}
