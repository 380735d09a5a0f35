//! A card table of any bytes: no panic, every complaint a sentence without secrets; and what is
//! accepted can be installed, found, shown on a display and charged.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use posgate::desk::control::batch;
use posgate::engine::limits::{CODE_LEN_MAX, NAME_LEN_MAX};
use posgate::engine::model::{Act, Balance, Mono, Now, Stamp, Subject, Wall};
use posgate::engine::server::{Origin, Peer, Server};
use posgate::engine::wire::Reply;
use posgate::files::cards;
use posgate::files::cards::number::candidates;

use crate::site::{self, SITES};

/// Cards of a table that swipe.
const SWIPES_MAX: usize = 8;

/// Reads one input, and serves from it.
pub fn run(input: &[u8]) {
    read_as_orders(input);
    let rules = &SITES[0].rules;
    let file = match cards::parse(input, Path::new("cards.csv"), &rules.groups) {
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
            return;
        }
        Ok(file) => file,
    };
    assert!(!cards::describe(&file).is_empty());
    assert!(file.warnings.iter().all(|warning| !warning.to_string().is_empty()));
    assert!(file.table.check_room().is_ok());
    assert_eq!(file.table.len(), file.records.len());
    let numbers: BTreeSet<u64> = file.records.iter().map(|record| record.card.value()).collect();
    assert_eq!(numbers.len(), file.records.len(), "a card stands once");
    let codes: Vec<&Vec<u8>> = file.records.iter().filter_map(|record| record.code.as_ref()).collect();
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len(), "a code stands once");
    for record in &file.records {
        assert!(record.name.len() <= NAME_LEN_MAX);
        assert!(record.code.as_ref().is_none_or(|code| (1..=CODE_LEN_MAX).contains(&code.len())));
        assert!(!record.account.is_empty());
    }
    let mut tables = site::tables();
    let mut effects = site::effects();
    let mut server = Server::new(&mut tables, rules.clone());
    server.install_table(rules.clone(), file.table.clone(), Origin::default()).expect("the table fits");
    let now = Now {
        mono: Mono(1_000),
        stamp: Stamp { wall: Wall(1_795_320_000_000), offset_s: 8 * 3600 },
        synchronized: false,
    };
    let source = SocketAddrV4::new(Ipv4Addr::new(127, 1, 0, 3), 39_192);
    let peer = Peer { source, local: Ipv4Addr::LOCALHOST, socket: 0 };
    for (seq, record) in file.records.iter().take(SWIPES_MAX).enumerate() {
        let row = server.cards().find(record.card).expect("every card is found");
        assert_eq!((server.cards().name(&row), &row.terms), (&*record.name, &record.terms));
        if let Some(code) = &record.code {
            assert_eq!(server.cards().find_code(code).expect("every code is found").card, record.card.value());
        }
        let card = record.card;
        for frame in [
            format!("102,{seq:05},0.0.0.0,0.0.0.0,00003,{card}"),
            format!("103,{seq:05},0.0.0.0,0.0.0.0,00003,{card},0.01,2026-11-22 12:00:00"),
            format!("104,{seq:05},0.0.0.0,0.0.0.0,00003,{card},2026-11-22 12:00:00"),
            format!("105,{seq:05},0.0.0.0,0.0.0.0,00003,{card},1.00,2026-11-22 12:00:00,0,{seq:08},1"),
        ] {
            site::turn(&mut server, &now, peer, frame.as_bytes(), &mut effects);
            let replies: Vec<_> = effects.mail().collect();
            assert!(replies.len() >= 2, "a 001 and a result");
            for (_, reply) in replies {
                assert!(Reply::parse(reply).is_some(), "{:?}", reply.escape_ascii().to_string());
            }
            effects.clear();
        }
    }
}

/// The same bytes as a file of orders, and as a number that is printed on a card.
fn read_as_orders(input: &[u8]) {
    for command in ["topup", "adjust", batch::CLEAR, "lost", "account", "rename"] {
        match batch::parse(input, Path::new("orders.csv"), command) {
            Err(problems) => assert!(!problems.is_empty()),
            Ok(orders) => {
                assert!(!orders.rows.is_empty());
                for row in &orders.rows {
                    assert!(row.nth > 0);
                    let Act::Move { subject, amount, uses, .. } = row.act else { continue };
                    let is_named = match subject {
                        Subject::Card(card) => card.value() > 0,
                        Subject::Account(account) => !account.is_empty(),
                    };
                    assert!(is_named);
                    assert!(amount != Balance::ZERO || uses != 0, "something moves");
                    assert!(command == "adjust" || (amount >= Balance::ZERO && uses >= 0));
                }
            }
        }
    }
    if let Ok(text) = core::str::from_utf8(input) {
        assert!(candidates(text).iter().all(|candidate| candidate.card.value() > 0));
    }
}
