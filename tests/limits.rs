//! A frame that leads to as many entries as any can: they must fit, or a forged flood would end the
//! server.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Mutex;

use posgate::engine::limits::ENTRIES_MAX;
use posgate::engine::model::{Kind, Mono, Now, Stamp};
use posgate::engine::server::{Effects, Origin, Peer, Server, Tables};

static TABLES: Mutex<Tables> = Mutex::new(Tables::new());
static EFFECTS: Mutex<Effects> = Mutex::new(Effects::new());

const TIME: &str = "2026-11-22 12:00:00";

#[test]
fn the_most_entries_that_one_frame_can_lead_to_fit() {
    let config = "
config server 'main'
	option rate_source '0'
	option clash_window_s '0'
config door
	option machine '00500'
	option door '1'
";
    let settings = posgate::files::config::parse(config.as_bytes(), Path::new("posgate")).unwrap();
    let table = b"card,duress_pin\n8888888801,4321\n";
    let cards = posgate::files::cards::parse(table, Path::new("cards.csv"), &settings.rules.groups).unwrap();
    let mut tables = TABLES.lock().unwrap();
    let mut fx = EFFECTS.lock().unwrap();
    let mut server = Server::new(&mut tables, settings.rules.clone());
    server.install(settings.rules, &cards.records, Origin::default()).unwrap();
    let stamp = Stamp::parse("2026-11-22T12:00:00.000+08:00").unwrap();
    let mut now = Now { mono: Mono(1), stamp, synchronized: false };
    let mut seq = 0;
    let mut say = |now: &Now, address: u8, fields: &str| {
        seq += 1;
        let source = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, address), 1);
        let peer = Peer { source, local: Ipv4Addr::LOCALHOST, socket: 0 };
        let frame = format!("150,{seq:05},10.0.0.1,10.0.0.2,00500,{fields}");
        fx.clear();
        server.hear(now, peer, frame.as_bytes(), &mut fx);
        let kinds = fx.entries.iter().map(|entry| entry.kind).collect::<Vec<_>>();
        let Ok(()) = server.finish_turn(now, &mut fx, |_| Ok::<_, Infallible>(()));
        kinds
    };

    // A board has a command on its way at each reader it can have,
    for reader in 1..=9 {
        assert_eq!(say(&now, 10, &format!("8888888801,{reader},1,0,0,,{TIME}")), [Kind::Admit]);
    }
    // when another one takes its number, the clock steps, and under duress a door is opened that
    // stands open for too long.
    now.mono = now.mono.plus_ms(1);
    now.stamp.wall.0 += 70_000;
    let kinds = say(&now, 11, &format!("8888888801,1,1,99,4,4321,{TIME}"));
    let count = |kind| kinds.iter().filter(|other| **other == kind).count();
    assert_eq!(count(Kind::Unconfirmed), 9, "{kinds:?}");
    assert_eq!((count(Kind::Clock), count(Kind::Admit), count(Kind::Alarm)), (1, 1, 2), "{kinds:?}");
    assert_eq!(kinds.len(), 13, "{kinds:?}");
    const { assert!(13 <= ENTRIES_MAX) };
}

/// The big tables are all zero bits at first: else the program carried them whole, 50 MB of it,
/// onto an 8 MB flash.
#[test]
#[cfg(all(target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
fn the_big_tables_take_no_room_in_the_program() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_posgate")).unwrap();
    assert_eq!(&program[..6], b"\x7fELF\x02\x01");
    let number =
        |at: usize, len: usize| program[at..at + len].iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let place = |value: u64| usize::try_from(value).unwrap();
    let (headers, size, count) = (place(number(32, 8)), place(number(54, 2)), place(number(56, 2)));
    // Bytes in memory that are none in the file, of each loaded segment (PT_LOAD).
    let zeros: u64 = (0..count)
        .map(|header| headers + header * size)
        .filter(|at| number(*at, 4) == 1)
        .map(|at| number(at + 40, 8) - number(at + 32, 8))
        .sum();
    assert!(zeros > 30_000_000, "{zeros} bytes of zeros: a table is not all zero bits");
}
