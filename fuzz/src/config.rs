//! A configuration of any bytes: no panic, the same answer twice, every complaint a sentence; and
//! what is accepted can be served: each code is asked once, at two times a day apart.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use posgate::engine::model::{Mono, Now, Stamp, Wall};
use posgate::engine::server::{Origin, Peer, Server};
use posgate::engine::wire::Reply;
use posgate::files::config;
use posgate::files::zone::Zone;

use crate::site::{self, SITES};

/// Reads one input, and serves from it.
pub fn run(input: &[u8]) {
    let file = Path::new("/etc/config/posgate");
    let settings = match config::parse(input, file) {
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
            return;
        }
        Ok(settings) => settings,
    };
    assert!(!settings.listen.is_empty());
    assert!((1..=64).contains(&settings.site.len()) && !settings.site.chars().any(char::is_control));
    let zone = match &settings.timezone {
        None => Zone::utc(),
        Some(text) => Zone::from_posix(text).expect("an accepted zone is one"),
    };
    for warning in &settings.warnings {
        assert!(!warning.to_string().is_empty());
    }
    let mut tables = site::tables();
    let mut effects = site::effects();
    let mut server = Server::new(&mut tables, settings.rules.clone());
    // The cards' groups are others, which is what happens when a configuration is exchanged.
    let installed = server.install(settings.rules, &SITES[0].cards, Origin::default());
    installed.expect("the table fits");
    for day in 0..2_u64 {
        for (index, frame) in FRAMES.iter().enumerate() {
            let now = Now {
                mono: Mono(1_000 + day * 86_400_000 + index as u64),
                stamp: zone.stamp(Wall(1_795_320_000_000 + i64::try_from(day).expect("two") * 50_000_000)),
                synchronized: index % 2 == 0,
            };
            let source = SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 218), 39_192);
            let peer = Peer { source, local: Ipv4Addr::LOCALHOST, socket: 0 };
            site::turn(&mut server, &now, peer, frame, &mut effects);
            assert!(effects.mail().all(|(_, reply)| Reply::parse(reply).is_some()), "a device can read every reply");
            effects.clear();
        }
        let late = Now {
            mono: Mono(1_000 + (day + 1) * 80_000_000),
            stamp: Stamp { wall: Wall(1_795_320_000_000), offset_s: 0 },
            synchronized: false,
        };
        for _ in 0..10_000 {
            if server.next_deadline().is_none_or(|at| at > late.mono) {
                break;
            }
            site::finish_turn(&mut server, &late, &mut effects);
            effects.clear();
        }
    }
}

const FRAMES: [&[u8]; 12] = [
    b"101,00001,192.168.1.1,192.168.1.3,00002,2012-04-20 11:12:13,1234567890",
    b"102,00002,192.168.1.1,192.168.1.3,00002,8888888801,1234567890",
    b"103,00003,192.168.1.1,192.168.1.3,00002,8888888801,5.50,2026-11-22 12:00:00,1234567890",
    b"103,00004,192.168.1.1,192.168.1.3,00002,8888888801,0.00,2026-11-22 12:00:01,1234567890",
    b"104,00005,192.168.1.1,192.168.1.3,00002,8888888801,2026-11-22 12:00:02,1234567890",
    b"105,00006,192.168.1.1,192.168.1.3,00002,8888888803,5.50,2026-11-22 12:00:03,1,00000001,3,1234567890",
    b"106,00007,192.168.1.1,192.168.1.3,00002,F1,1234567890",
    b"109,00008,192.168.1.1,192.168.1.3,00002",
    b"128,00009,192.168.1.1,192.168.1.3,00002,0000000001,1.00,2026-11-22 12:00:04,0,QR,2,1234567890",
    b"150,00010,192.168.1.1,192.168.1.3,00007,8888888801,1,1,30,1,1234,2026-11-22 12:00:05",
    b"150,00011,192.168.1.1,192.168.1.3,00007,,1,1,0,3,13572468,2026-11-22 12:00:06",
    b"103,00012,192.168.1.1,192.168.1.3,00002,8888888801,x,2026-11-22 12:00:00,1234567890",
];
