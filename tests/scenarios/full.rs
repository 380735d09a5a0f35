//! Section 12 where a table of steps would be too long: as many accounts as there is room for.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};

use posgate::limits::ACCOUNTS_MAX;
use posgate::model::Civil;

use crate::world::{Event, World, bench};

#[test]
fn an_offline_sale_that_finds_no_room_for_its_account_is_kept_by_the_terminal() {
    let mut cards = "card,balance\n".to_owned();
    for card in 1..=ACCOUNTS_MAX {
        writeln!(cards, "{card},1.00").expect("a String takes everything");
    }
    let mut bench = bench();
    let bench = &mut *bench;
    let mut world = World::new("", &cards);
    world.begin_at(Civil::parse(b"2026-11-22 12:00:00").expect("a date"));
    let mut server = world.boot(&mut bench.live, &mut bench.fx).expect("a table that fits");
    world.take_happened();
    let source = SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 2), 39_200);
    let mut answers = |frame: &str| {
        world.deliver(source, frame.as_bytes(), &mut server, &mut bench.fx).expect("effects in order");
        let happened = world.take_happened();
        let replies = happened.iter().filter_map(|happened| match &happened.event {
            Event::Reply { text, .. } => Some(text[..3].to_owned()),
            Event::Entry(_) | Event::Answer(_) => None,
        });
        replies.collect::<Vec<_>>()
    };
    let unknown = "105,00001,192.168.1.2,192.168.1.3,00002,9999999999,5.50,2026-11-22 11:00:00,0,1,1";
    assert_eq!(answers(unknown), ["001"]);
    let known = "105,00002,192.168.1.2,192.168.1.3,00002,0000065536,5.50,2026-11-22 11:00:00,0,1,1";
    assert_eq!(answers(known), ["001", "011"]);
    assert_eq!(server.counters().full, 1);
    world.check_life(&server, &mut bench.spare).expect("the ledger holds what was booked, and no more");
}
