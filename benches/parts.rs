//! The parts of a sale, each for itself: `cargo bench --bench parts [-- NAME]`.
//!
//! Each part is called as the server calls it, on values made before. Times are of this machine
//! alone; compare them within a run.

#![allow(missing_docs, clippy::wildcard_imports, reason = "a benchmark, whose modules are chapters")]

mod site;

use std::cell::{RefCell, RefMut};
use std::hint::black_box;
use std::sync::Mutex;

use divan::Bencher;
use posgate::engine::book::FrameId;
use posgate::engine::gbk;
use posgate::engine::limits::{CARDS_MAX, LINE_LEN_MAX, REPLY_LEN_MAX, TIMERS_MAX};
use posgate::engine::model::{
    CardNo, ClockState, DeviceTime, Entry, EntrySeq, FrameSeq, Kind, MachineNo, Money, Mono, Serial, Text,
};
use posgate::engine::policy::{Basis, decide_sale};
use posgate::engine::server::{Effects, Tables};
use posgate::engine::wheel::Wheel;
use posgate::engine::wire::{self, Reply};
use posgate::ledger::line;
use site::{FIRST_CARD, Site};

fn main() {
    divan::Divan::from_args().sample_size(1000).main();
}

/// Cards in the tables that are searched.
const CARDS: [u64; 3] = [100, 10_000, CARDS_MAX as u64];

static TABLES: [Mutex<Tables>; CARDS.len()] = [const { Mutex::new(Tables::new()) }; CARDS.len()];
static EFFECTS: [Mutex<Effects>; CARDS.len()] = [const { Mutex::new(Effects::new()) }; CARDS.len()];
thread_local! {
    /// Of the one thread that measures: a service is no thing to hand around.
    static SITES: &'static [RefCell<Site>; CARDS.len()] = Box::leak(Box::new(sites()));
}

fn sites() -> [RefCell<Site>; CARDS.len()] {
    std::array::from_fn(|place| {
        let mut site = Site::open(&TABLES[place], &EFFECTS[place], CARDS[place]);
        // Machine 1 has sold: its duplicate window is full.
        for _ in 0..40 {
            for frame in [site.charge(1), site.confirmation(1)] {
                site.turn(1, &frame);
            }
        }
        RefCell::new(site)
    })
}

fn site_with(cards: u64) -> RefMut<'static, Site> {
    let place = CARDS.iter().position(|count| *count == cards).expect("one of them");
    SITES.with(|sites| sites[place].borrow_mut())
}

/// Cards of a table, hardly any beside the one before.
fn cards_of(count: u64) -> impl FnMut() -> CardNo {
    let mut number = 0_u64;
    move || {
        number = number.wrapping_add(7_919);
        CardNo::from_value(FIRST_CARD + number % count)
    }
}

mod parse {
    use super::*;

    const FRAMES: [(&str, &str); 6] = [
        ("102", "102,00009,192.168.1.20,192.168.1.1,00002,8888888888,1234567890"),
        ("103", "103,00009,192.168.1.20,192.168.1.1,00002,8888888888,5.50,2026-11-22 12:00:00,1234567890"),
        ("105", "105,00009,192.168.1.20,192.168.1.1,00002,8888888888,5.50,2026-11-22 12:00:00,0,1,7,1234567890"),
        ("109", "109,00009,192.168.1.20,192.168.1.1,00002,1234567890"),
        ("150", "150,00009,192.168.1.20,192.168.1.1,00007,8888888888,1,1,0,,2026-11-22 12:00:00,1234567890"),
        ("garbage", "\u{1}\u{2}no frame, though it has commas, and goes on for a while, to no end"),
    ];

    #[divan::bench(args = FRAMES.map(|(name, _)| name))]
    fn frame(bencher: Bencher, name: &str) {
        let (_, frame) = FRAMES.iter().find(|(known, _)| *known == name).expect("one of them");
        bencher.bench(|| wire::parse(black_box(frame.as_bytes())).is_ok());
    }
}

mod emit {
    use super::*;

    #[divan::bench]
    fn acknowledgement(bencher: Bencher) {
        let reply = Reply::Ack { seq: seq() };
        let mut out = heapless::Vec::<u8, REPLY_LEN_MAX>::new();
        bencher.bench_local(|| {
            out.clear();
            black_box(&reply).emit(&mut out);
            out.len()
        });
    }

    #[divan::bench]
    fn approval(bencher: Bencher) {
        let text = gbk::encode("卡号:8888888888\\n姓名:张三丰\\n消费:5.50\\n余额:94.50");
        let (machine, trailer) = (machine(), b"20,0,1");
        let reply = Reply::Approve { machine, subject: b"8888888888", amount: b"5.50", text: &text, trailer };
        let mut out = heapless::Vec::<u8, REPLY_LEN_MAX>::new();
        bencher.bench_local(|| {
            out.clear();
            black_box(&reply).emit(&mut out);
            out.len()
        });
    }
}

mod entry {
    use super::*;

    /// A sale's line with its crc, as the second of its turn.
    #[divan::bench]
    fn charge(bencher: Bencher) {
        let entry = charge_entry();
        let mut emitter = line::Emitter::default();
        let mut out = [0; LINE_LEN_MAX];
        bencher.bench_local(|| emitter.emit(black_box(&entry), 0x1234_5678, &mut out).crc);
    }

    /// As a start reads it.
    #[divan::bench]
    fn read(bencher: Bencher) {
        let mut out = [0; LINE_LEN_MAX];
        let len = line::emit(&charge_entry(), 0x1234_5678, &mut out).len;
        let mut reader = line::LineReader::default();
        bencher.bench_local(|| reader.read(black_box(&out[..len - 1])).is_ok());
    }

    fn charge_entry() -> Entry {
        let mut entry = Entry::new(Kind::Charge, site_with(CARDS[0]).now().stamp, ClockState::Ok);
        entry.seq = EntrySeq(123_456);
        entry.machine = Some(machine());
        entry.serial = Some(serial());
        entry.frame = Some(seq());
        entry.card = Some(CardNo::from_value(8_888_888_888));
        entry.account = Text::try_from("8888888888").ok();
        entry.device_time = Some(DeviceTime::of_text(Text::try_from("2026-11-22 12:00:00").expect("short")));
        entry
    }
}

mod decide {
    use super::*;

    #[divan::bench(args = CARDS)]
    fn sale(bencher: Bencher, cards: u64) {
        let site = site_with(cards);
        let server = site.service.server();
        let (at, mut next) = (site.now().stamp.civil(), cards_of(cards));
        bencher.bench_local(|| {
            let row = server.cards().find(next()).expect("in the table");
            decide_sale(server.book(), server.rules(), None, &row, Basis::Amount(asked()), at).is_ok()
        });
    }
}

mod lookup {
    use super::*;

    #[divan::bench(args = CARDS)]
    fn card(bencher: Bencher, cards: u64) {
        let (site, mut next) = (site_with(cards), cards_of(cards));
        bencher.bench_local(|| site.service.server().cards().find(next()).is_some());
    }

    #[divan::bench(args = CARDS)]
    fn card_unknown(bencher: Bencher, cards: u64) {
        let (site, mut number) = (site_with(cards), 0);
        bencher.bench_local(|| {
            number += 7_919;
            site.service.server().cards().find(CardNo::from_value(1_000_000_000 + number)).is_some()
        });
    }
}

mod dedupe {
    use super::*;

    /// A frame that a full window does not know.
    #[divan::bench]
    fn new_frame(bencher: Bencher) {
        let site = site_with(CARDS[0]);
        let (serial, mut number) = (serial(), 0);
        bencher.bench_local(|| {
            number = (number + 1) % 60_000;
            site.service.server().book().answered(machine(), Some(&serial), &frame_id(number)).is_some()
        });
    }

    fn frame_id(number: u16) -> FrameId {
        let mut entry = Entry::new(Kind::Charge, posgate::engine::model::Stamp::default(), ClockState::Ok);
        entry.frame = Some(FrameSeq::from_value(number));
        entry.card = Some(CardNo::from_value(8_888_888_888));
        FrameId::new(103, &entry, asked())
    }
}

mod wheel {
    use super::*;

    static WHEEL: Mutex<Wheel<u16, TIMERS_MAX>> = Mutex::new(Wheel::new());

    /// A timer armed and cancelled, as a result and its 109 do, beside so many that are armed.
    #[divan::bench(args = [0, 1000, TIMERS_MAX - 1])]
    fn arm_and_cancel(bencher: Bencher, others: usize) {
        let mut wheel = WHEEL.lock().expect("not poisoned");
        wheel.clear();
        for number in 0..others as u64 {
            wheel.arm(Mono(1_000 + 7 * number), 0).expect("there is room");
        }
        let mut at = 0;
        bencher.bench_local(|| {
            at = (at + 13) % 60_000;
            let timer = wheel.arm(Mono(1_000 + at), 1).expect("there is room");
            wheel.cancel(timer)
        });
    }

    /// Time goes on by a millisecond, and one timer is due.
    #[divan::bench(args = [0, 1000, TIMERS_MAX - 1])]
    fn tick(bencher: Bencher, others: usize) {
        let mut wheel = WHEEL.lock().expect("not poisoned");
        wheel.clear();
        let mut now = 1_000;
        for number in 0..others as u64 {
            wheel.arm(Mono(u64::MAX / 2 + 7 * number), 0).expect("there is room");
        }
        bencher.bench_local(|| {
            now += 1;
            wheel.arm(Mono(now), 1).expect("there is room");
            wheel.pop_due(Mono(now))
        });
    }
}

fn machine() -> MachineNo {
    MachineNo::from_value(1)
}

fn serial() -> Serial {
    Serial::try_from("2000000001").expect("short")
}

fn asked() -> Money {
    Money::from_fen(550).expect("5.50")
}

fn seq() -> FrameSeq {
    FrameSeq::from_value(9)
}
