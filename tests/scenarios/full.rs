//! design.md, section 12, for cases that a table of steps could only show at great length: full
//! tables of accounts, devices and commands.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};

use posgate::engine::limits::{ACCOUNTS_MAX, CARDS_MAX, DEVICES_MAX, PENDING_MAX};
use posgate::engine::model::{AccountId, Balance, CardNo, CardStatus, Civil, ClockState, Entry, EntrySeq, Kind, Stamp};
use posgate::engine::server::{Effects, Room, Server};

use crate::orders;
use crate::world::{Event, Happened, World, bench};

#[test]
fn a_terminal_keeps_an_offline_sale_whose_account_finds_no_room() {
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

/// The effects of the last steps: codes of replies, and kinds of entries.
fn told(happened: &[Happened]) -> String {
    let words = happened.iter().map(|happened| match &happened.event {
        Event::Reply { text, .. } => text[..3].to_owned(),
        Event::Entry(entry) => entry.kind.word().to_owned(),
        Event::Answer(answer) => answer.clone(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A machine's own address.
fn source_of(machine: usize) -> SocketAddrV4 {
    let [.., high, low] = u32::try_from(machine).expect("few").to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(10, 1, high, low), 39_200)
}

/// The effects of a frame: `code,fields` of a machine.
fn say(world: &mut World, server: &mut Server, fx: &mut Effects, machine: usize, seq: usize, rest: &str) -> String {
    let (code, body) = rest.split_once(',').unwrap_or((rest, ""));
    let frame = format!("{code},{seq:05},10.1.0.1,10.0.0.1,{machine:05},{body}");
    let frame = frame.trim_end_matches(',');
    world.deliver(source_of(machine), frame.as_bytes(), server, fx).expect("effects in order");
    told(&world.take_happened())
}

#[test]
fn a_device_in_doubt_is_remembered_when_there_are_too_many_also_after_a_restart() {
    let mut bench = bench();
    let bench = &mut *bench;
    let mut world = World::new("", "card,balance\n1,100000.00");
    world.begin_at(Civil::parse(b"2026-11-22 12:00:00").expect("a date"));
    let mut server = world.boot(&mut bench.live, &mut bench.fx).expect("a table that fits");
    world.take_happened();
    let sale = "103,1,5.50,2026-11-22 12:00:00";
    // The first device was idle longest, confirms, and has a sale in doubt.
    assert_eq!(
        say(&mut world, &mut server, &mut bench.fx, 1, 1, "103,1,1.00,2026-11-22 12:00:00"),
        "001 open charge 008"
    );
    assert_eq!(say(&mut world, &mut server, &mut bench.fx, 1, 2, "109"), "confirm");
    assert_eq!(say(&mut world, &mut server, &mut bench.fx, 1, 3, sale), "001 charge 008");
    for machine in 2..=DEVICES_MAX {
        assert_eq!(say(&mut world, &mut server, &mut bench.fx, machine, 1, sale), "001 charge 008");
        assert_eq!(say(&mut world, &mut server, &mut bench.fx, machine, 2, "109"), "confirm");
    }
    world.check_life(&server, &mut bench.spare).expect("it is replayed as it was");
    drop(server);
    let mut server = world.boot(&mut bench.live, &mut bench.fx).expect("a table that fits");
    world.take_happened();
    assert_eq!(say(&mut world, &mut server, &mut bench.fx, DEVICES_MAX + 1, 1, sale), "001 charge 008");
    assert_eq!(
        say(&mut world, &mut server, &mut bench.fx, 1, 4, sale),
        "001 repeat 008",
        "it is known to confirm, and in doubt"
    );
    // The longest idle of the others was replaced: the second one's answer is forgotten, those of
    // the third and the last are not.
    for machine in [3, DEVICES_MAX] {
        assert_eq!(say(&mut world, &mut server, &mut bench.fx, machine, 1, sale), "001 008", "{machine}");
    }
    assert_eq!(say(&mut world, &mut server, &mut bench.fx, 2, 1, sale), "001 charge 008");
    world.check_life(&server, &mut bench.spare).expect("it is replayed as it was");
}

#[test]
fn unknown_cards_take_at_most_half_of_the_places() {
    let half = CARDS_MAX / 2;
    // The whole table shares one account, so only the places of cards run out.
    let mut cards = "card,account,balance\n".to_owned();
    for card in 1..=half {
        writeln!(cards, "{card},A,1.00").expect("a String takes everything");
    }
    let mut bench = bench();
    let bench = &mut *bench;
    let mut world = World::new("config server\noption rate_source 0\n", &cards);
    world.begin_at(Civil::parse(b"2026-11-22 12:00:00").expect("a date"));
    let mut server = world.boot(&mut bench.live, &mut bench.fx).expect("a table that fits");
    world.take_happened();
    let mut record = |world: &mut World, server: &mut Server, card: usize| {
        let frame = format!("105,00001,10.1.0.2,10.0.0.1,00002,{card},0.01,2026-11-22 11:00:00,0,1,1");
        world.deliver(source_of(2), frame.as_bytes(), server, &mut bench.fx).expect("effects");
        told(&world.take_happened())
    };
    for card in 1..=half {
        assert_eq!(record(&mut world, &mut server, 1_000_000 + card), "001 offline 011", "the {card}th of nobody");
    }
    assert_eq!(record(&mut world, &mut server, 2_000_000), "001", "the terminal keeps it");
    assert_eq!(server.counters().full, 1);
    assert_eq!(record(&mut world, &mut server, 1_000_001), "001 011", "one that has its place");
    assert_eq!(record(&mut world, &mut server, 1), "001 open offline 011", "a card of the table has one");
    assert_eq!(record(&mut world, &mut server, half), "001 offline 011", "and so has each");
}

/// A ledger of years: `count` cards that were marked lost and that the table does not have.
fn cards_of_before(world: &mut World, count: usize) {
    for card in 1..=count {
        let mut entry = Entry::new(Kind::Status, Stamp::default(), ClockState::Ok);
        entry.seq = EntrySeq(card as u64);
        entry.card = Some(CardNo::from_value(1_000_000 + card as u64).padded());
        entry.detail.push("status", CardStatus::Lost.word());
        world.ledger.append(&entry).expect("a line");
    }
    world.ledger.sync();
}

/// A ledger of years: `count` accounts with a top-up that the table does not have.
fn accounts_of_before(world: &mut World, count: usize) {
    for account in 1..=count {
        let mut entry = Entry::new(Kind::TopUp, Stamp::default(), ClockState::Ok);
        entry.seq = EntrySeq(account as u64);
        // One card is enough for all accounts: it is on the first.
        entry.card = Some(CardNo::from_value(1_000_000).padded());
        entry.account = AccountId::try_from(format!("S{account}").as_str()).ok();
        let yuan = Balance::from_fen(100);
        (entry.amount, entry.subsidy, entry.uses) = (Some(yuan), Some(Balance::ZERO), Some(0));
        (entry.balance, entry.subsidy_left, entry.uses_left) = (Some(yuan), Some(Balance::ZERO), Some(0));
        world.ledger.append(&entry).expect("a line");
    }
    world.ledger.sync();
}

/// The answer to an operator, and the entries before it.
fn order(world: &mut World, server: &mut Server, fx: &mut Effects, words: &str) -> String {
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    let order = orders::read(&words, &words.join("-"), |_| None).expect("an order");
    world.order(&order, server, fx).expect("effects in order");
    let told = told(&world.take_happened());
    told.split_once(':').map_or(told.clone(), |(word, _)| word.to_owned())
}

#[test]
fn a_sale_of_a_card_without_a_place_in_a_full_book_is_refused_without_any_entry_of_it() {
    let mut bench = bench();
    let bench = &mut *bench;
    let config = "config server\nconfig door\noption machine 00011\noption door 1\n";
    // Two cards on one account: the account has its place once the first of them paid.
    let mut world = World::new(config, "card,account,balance,uses,code\n1,A,10.00,,M1\n2,A,,,M2\n3,C,10.00,5,M3");
    cards_of_before(&mut world, CARDS_MAX - 1);
    world.begin_at(Civil::parse(b"2026-11-22 12:00:00").expect("a date"));
    let mut server = world.boot(&mut bench.live, &mut bench.fx).expect("a table that fits");
    world.take_happened();
    // Each frame comes from a device of its own, so that no command is pending.
    let mut machine = 1;
    let mut hear = |world: &mut World, server: &mut Server, frame: &str| {
        machine += 1;
        let frame = frame.replace("NOW", "2026-11-22 12:00:00");
        say(world, server, &mut bench.fx, machine, 1, &frame)
    };
    // The last place.
    assert_eq!(hear(&mut world, &mut server, "103,1,1.00,NOW"), "001 open charge 008");
    for (refused, frame) in (1..).zip([
        "103,2,1.00,NOW",
        "104,3,NOW",
        "103,3,1.00,NOW",
        "128,4711,1.00,NOW,0,M3,",
        "128,4712,1.00,NOW,0,M2,",
    ]) {
        // A refused sale opens no account.
        assert_eq!(hear(&mut world, &mut server, frame), "001 decline 006", "{frame}");
        assert_eq!((server.counters().full, server.counters().declined), (refused, refused));
    }
    for (kept, frame) in (6..).zip(["105,2,1.00,2026-11-22 11:00:00,0,1,1", "105,3,1.00,2026-11-22 11:00:00,0,2,1"]) {
        assert_eq!(hear(&mut world, &mut server, frame), "001", "the terminal keeps it");
        assert_eq!(server.counters().full, kept);
    }
    // The rules come first, and a door needs no place.
    assert_eq!(hear(&mut world, &mut server, "103,3,99.00,NOW"), "001 decline 006");
    assert_eq!(server.counters().full, 7);
    assert_eq!(hear(&mut world, &mut server, "150,3,1,1,0,0,,NOW"), "001 admit 050");
    // Cards with a place go on, by every kind of sale.
    assert_eq!(hear(&mut world, &mut server, "103,1,2.00,NOW"), "001 charge 008");
    assert_eq!(hear(&mut world, &mut server, "128,4713,3.00,NOW,0,M1,"), "001 scan 008");
    assert_eq!(hear(&mut world, &mut server, "105,1,0.50,2026-11-22 11:00:00,0,3,1"), "001 offline 011");
    // Orders are refused in the same way, and nothing is half done.
    for words in [
        "topup 2 5.00",
        "lost 2",
        "replace 1 9",
        "replace 2 9",
        "account 2 C",
        "account 3 D",
        "rename C D",
        "rename A D",
        "reissue 2",
    ] {
        let told = order(&mut world, &mut server, &mut bench.fx, words);
        assert!(told.starts_with("refused"), "{words}: {told}");
        assert!(words.starts_with("reissue") || told == "refused too-many-cards", "{words}: {told}");
    }
    assert_eq!(order(&mut world, &mut server, &mut bench.fx, "topup 1 5.00"), "topup done A 8.50 0");
    world.check_life(&server, &mut bench.spare).expect("the ledger holds what was sold, and no more");
}

#[test]
fn with_a_full_table_of_accounts_sales_go_on_and_no_account_is_added() {
    let mut bench = bench();
    let bench = &mut *bench;
    let cards = "card,account\n1,S1\n2,S2";
    let mut world = World::new("", cards);
    accounts_of_before(&mut world, ACCOUNTS_MAX);
    world.begin_at(Civil::parse(b"2026-11-22 12:00:00").expect("a date"));
    let mut server = world.boot(&mut bench.live, &mut bench.fx).expect("a table that fits");
    world.take_happened();
    assert_eq!(
        say(&mut world, &mut server, &mut bench.fx, 1, 1, "103,1,0.25,2026-11-22 12:00:00"),
        "001 open charge 008"
    );
    // There is no account for an unknown card, and the terminal keeps its sale.
    let record = |card: usize| format!("105,{card},0.01,2026-11-22 11:00:00,0,{card},1");
    assert_eq!(say(&mut world, &mut server, &mut bench.fx, 1, 2, &record(9)), "001");
    assert_eq!(server.counters().full, 1);
    assert_eq!(say(&mut world, &mut server, &mut bench.fx, 1, 3, &record(2)), "001 open offline 011");
    for words in ["account 2 T", "rename S1 T"] {
        assert_eq!(order(&mut world, &mut server, &mut bench.fx, words), "refused too-many-cards", "{words}");
    }
    assert_eq!(order(&mut world, &mut server, &mut bench.fx, "account 2 S3"), "link done S3 1.00 0");
    // A table with one account more is not installed, and the one before it stays.
    world.take_cards(&format!("{cards}\n3,T"));
    let refused = world.reload(&mut server, &mut bench.fx).expect_err("there is no place for T");
    assert!(refused.contains(&ACCOUNTS_MAX.to_string()), "{refused}");
    assert_eq!(say(&mut world, &mut server, &mut bench.fx, 2, 1, "103,1,0.50,2026-11-22 12:00:01"), "001 charge 008");
    world.take_cards(cards);
    world.check_life(&server, &mut bench.spare).expect("the ledger holds what was sold, and no more");
}

#[test]
fn a_table_leaves_a_place_for_the_account_of_an_interrupted_move() {
    let mut bench = bench();
    let bench = &mut *bench;
    let cards = "card,account\n1000000,S1";
    let mut world = World::new("", cards);
    let moved = ACCOUNTS_MAX - 1;
    accounts_of_before(&mut world, moved);
    // The first of the two entries of `rename S1 T`; the power cut lost the second.
    let mut left = Entry::new(Kind::Link, Stamp::default(), ClockState::Ok);
    left.seq = EntrySeq(moved as u64 + 1);
    left.account = AccountId::try_from("S1").ok();
    (left.amount, left.subsidy, left.uses) = (Some(Balance::from_fen(-100)), Some(Balance::ZERO), Some(0));
    (left.balance, left.subsidy_left, left.uses_left) = (Some(Balance::ZERO), Some(Balance::ZERO), Some(0));
    left.detail.push("key", "k");
    left.detail.push("to", "T");
    world.ledger.append(&left).expect("a line");
    world.ledger.sync();
    world.begin_at(Civil::parse(b"2026-11-22 12:00:00").expect("a date"));
    // A new account would take the last place, and 1.00 yuan would be lost.
    world.take_cards(&format!("{cards}\n3,N"));
    let refused = world.boot(&mut bench.live, &mut bench.fx).map(drop).expect_err("the last place is T's");
    assert!(refused.contains(&ACCOUNTS_MAX.to_string()), "{refused}");
    // T needs no second place if the table has it already.
    world.take_cards(&format!("{cards}\n3,T"));
    let server = world.boot(&mut bench.live, &mut bench.fx).expect("a table that fits");
    assert_eq!(told(&world.take_happened()), "link start");
    let purse = server.book().account_row("T").map(|row| server.book().account(row).held.balance);
    assert_eq!(purse, Some(Balance::from_fen(100)));
}

#[test]
fn in_a_full_outbox_a_reply_that_rests_on_an_entry_replaces_a_refusal() {
    let config =
        "config server\noption rate_source 0\noption resend_max 1\nconfig door\noption machine 00001\noption door 1\n";
    let mut bench = bench();
    let bench = &mut *bench;
    let mut world = World::new(config, "card,balance\n1,1.00");
    world.begin_at(Civil::parse(b"2026-11-22 12:00:00").expect("a date"));
    let mut server = world.boot(&mut bench.live, &mut bench.fx).expect("a table that fits");
    world.take_happened();
    // Each device has a pending 011 and a pending refusal, so all slots are taken, the first one by
    // a reply that rests on an entry.
    for machine in 1..=DEVICES_MAX {
        for frame in [
            format!("105,00001,10.1.0.2,10.0.0.1,{machine:05},9,0.01,2026-11-22 11:00:00,0,1,1"),
            format!("103,00002,10.1.0.2,10.0.0.1,{machine:05},9,1.00,2026-11-22 12:00:00"),
        ] {
            world.deliver(source_of(machine), frame.as_bytes(), &mut server, &mut bench.fx).expect("effects");
        }
    }
    assert_eq!(PENDING_MAX, 2 * DEVICES_MAX);
    world.take_happened();
    let ask = |seq: usize, card: usize, reader: usize| {
        format!("150,{seq:05},10.1.0.1,10.0.0.1,00001,{card},{reader},1,0,0,,2026-11-22 12:00:00")
    };
    // One more refusal is sent only once.
    world.deliver(source_of(1), ask(3, 9, 1).as_bytes(), &mut server, &mut bench.fx).expect("effects");
    assert_eq!(told(&world.take_happened()), "001 051");
    assert_eq!(server.counters().full, 1);
    // A 050 replaces a refusal.
    world.deliver(source_of(1), ask(4, 1, 2).as_bytes(), &mut server, &mut bench.fx).expect("effects");
    assert_eq!(told(&world.take_happened()), "001 admit 050");
    assert_eq!((server.counters().full, server.counters().unconfirmed), (1, 1));
    world.pass(500, &mut server, &mut bench.fx).expect("effects");
    let happened = world.take_happened();
    let count = |code: &str| {
        let is_it =
            |happened: &&Happened| matches!(&happened.event, Event::Reply { text, .. } if text.starts_with(code));
        happened.iter().filter(is_it).count()
    };
    assert_eq!([count("050"), count("006"), count("051")], [1, DEVICES_MAX - 1, 0], "{}", told(&happened[..4]));
}

#[test]
fn a_sale_in_doubt_is_approved_again_also_when_nothing_can_be_written() {
    let mut bench = bench();
    let bench = &mut *bench;
    let mut world = World::new("", "card,balance,code\n1,6.50,M1");
    world.begin_at(Civil::parse(b"2026-11-22 12:00:00").expect("a date"));
    let mut server = world.boot(&mut bench.live, &mut bench.fx).expect("a table that fits");
    let mut say = |world: &mut World, server: &mut Server, frame: &str| {
        let frame = frame.replace("..", "10.1.0.2,10.0.0.1,00002");
        world.deliver(source_of(2), frame.as_bytes(), server, &mut bench.fx).expect("effects");
        told(&world.take_happened())
    };
    world.take_happened();
    assert_eq!(say(&mut world, &mut server, "103,00001,..,1,1.00,2026-11-22 12:00:00"), "001 open charge 008");
    assert_eq!(say(&mut world, &mut server, "109,00002,.."), "confirm");
    assert_eq!(say(&mut world, &mut server, "103,00003,..,1,5.50,2026-11-22 12:00:00"), "001 charge 008");
    server.take_room(Room::Reserve, 1000);
    assert_eq!(say(&mut world, &mut server, "103,00004,..,1,5.50,2026-11-22 12:00:01"), "001 repeat unconfirmed 008");
    server.take_room(Room::Nothing, 0);
    for (seq, time) in [(5, "12:00:02"), (6, "12:00:30"), (6, "12:00:30")] {
        let frame = format!("103,{seq:05},..,1,5.50,2026-11-22 {time}");
        assert_eq!(say(&mut world, &mut server, &frame), "001 008", "without an entry");
    }
    // That card's code is that card, and a meal of 0.00 is not that sale.
    assert_eq!(say(&mut world, &mut server, "128,00007,..,4711,5.50,2026-11-22 12:00:02,0,M1,"), "001 008");
    assert_eq!(say(&mut world, &mut server, "103,00008,..,1,5.51,2026-11-22 12:00:02"), "001 006");
    assert_eq!(say(&mut world, &mut server, "104,00009,..,1,2026-11-22 12:00:02"), "001 006");
    // A frame that was answered before is answered again, and no more is known of the sale.
    assert_eq!(say(&mut world, &mut server, "103,00003,..,1,5.50,2026-11-22 12:00:00"), "001 008");
    assert_eq!((server.book().doubts(), server.counters().declined), (1, 2));
    server.take_room(Room::Open, 1_000_000);
    world.check_life(&server, &mut bench.spare).expect("it is replayed as it was");
}
