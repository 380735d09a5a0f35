//! The frame with the most entries: after a step of the clock another device takes over the number of a board that has a command
//! pending at every reader and entries of every limited kind left out.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use posgate::config;
use posgate::limits::{ENTRIES_MAX, LIMITED_PER_DEVICE, READERS_MAX};
use posgate::model::{Kind, Mono, Now, Stamp, Wall};
use posgate::server::{Effects, Origin, Peer, Server};

use crate::site::{self, SITES};

const NOON: i64 = 1_795_320_000_000;

fn say(server: &mut Server, effects: &mut Effects, now: (u64, i64), machine: u16, host: u8, fields: &str) -> Vec<Kind> {
    let now = Now { mono: Mono(now.0), stamp: Stamp { wall: Wall(now.1), offset_s: 0 }, synchronized: false };
    let source = SocketAddrV4::new(Ipv4Addr::new(10, 1, 0, host), 39_192);
    let (code, rest) = fields.split_at(4);
    let frame = format!("{code}00001,10.0.0.1,10.0.0.2,{machine:05},{rest}");
    let peer = Peer { source, local: Ipv4Addr::LOCALHOST, socket: 0 };
    effects.clear();
    server.handle(&now, peer, frame.as_bytes(), effects);
    effects.entries.iter().map(|entry| entry.kind).collect()
}

#[test]
fn the_frame_with_the_most_entries_fits_its_turn() {
    let doors = "config door\n\toption machine '20000'\n\toption door '1'\n";
    let rules = config::parse(doors.as_bytes(), Path::new("posgate")).expect("a configuration").rules;
    let mut tables = site::tables();
    let mut effects = site::effects();
    let mut server = Server::new(&mut tables, rules.clone());
    server.install(rules, &SITES[0].cards, Origin::default(), true).expect("the table fits");
    let (first, time) = ((1000, NOON), "2026-11-22 12:00:00");

    // The board uses up its minute, and one entry of each limited kind is left out.
    for number in 0..LIMITED_PER_DEVICE {
        let kinds = say(&mut server, &mut effects, first, 20_000, 1, &format!("103,7777{number:06},1.00,{time}"));
        assert_eq!(kinds.last(), Some(&Kind::Decline));
    }
    for fields in ["103,7,1.00,x", "106,F1", "101,x", "150,7,1,1,30,0,,x"] {
        assert_eq!(say(&mut server, &mut effects, first, 20_000, 1, fields), [], "{fields}: left out");
    }
    for reader in 0..=READERS_MAX {
        let kinds = say(&mut server, &mut effects, first, 20_000, 1, &format!("150,8888888803,{reader},1,0,0,,{time}"));
        assert_eq!(kinds, [Kind::Admit]);
    }
    // Its clash window is over, and none of its timers was looked at yet.
    let late = (1000 + 61_000, NOON + 3_600_000);
    let kinds = say(&mut server, &mut effects, late, 20_000, 9, &format!("150,8888888801,1,1,30,4,4321,{time}"));
    let count = |kind: Kind| kinds.iter().filter(|other| **other == kind).count();
    assert_eq!(
        (count(Kind::Clock), count(Kind::Unconfirmed), count(Kind::Admit)),
        (1, READERS_MAX + 1, 1),
        "{kinds:?}"
    );
    assert_eq!(count(Kind::Alarm), 2, "left open and duress: {kinds:?}");
    assert!(kinds.len() <= ENTRIES_MAX, "{kinds:?}");
}
