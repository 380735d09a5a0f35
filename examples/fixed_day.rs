//! A canteen's day that comes out the same wherever it runs: fixed frames, a fixed clock, a fixed
//! name of the ledger. So the ledger of a big-endian router must be, byte for byte, that of a PC,
//! and either must be able to go on with the other's: `deploy/emulate.sh` compares them.
//!
//! `fixed_day DIR HALF`: HALF 1 begins the ledger in DIR, HALF 2 goes on with it after a stop.
//! Prints every reply.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use posgate::engine::gbk;
use posgate::engine::model::{Mono, Now, Stamp, Wall};
use posgate::engine::server::{Effects, Origin, Peer, Server, Tables};
use posgate::files::cards;
use posgate::files::config;
use posgate::ledger::{DirStorage, Ledger};
use posgate::turn::Service;

static TABLES: Mutex<Tables> = Mutex::new(Tables::new());
static EFFECTS: Mutex<Effects> = Mutex::new(Effects::new());

/// Turns of the loop in half a day: enough for several segments and snapshots.
const TURNS: u64 = 600;

/// 2026-11-22 12:00:00 in China.
const NOON_MS: i64 = 1_795_320_000_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let half = arguments.get(2).and_then(|half| half.parse().ok()).filter(|half| (1..=2).contains(half));
    let (Some(directory), Some(half)) = (arguments.get(1), half) else {
        eprintln!("usage: fixed_day DIR 1|2");
        return ExitCode::from(64);
    };
    match play(Path::new(directory), half) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fixed_day: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play(directory: &Path, half: u64) -> io::Result<()> {
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut effects = EFFECTS.lock().unwrap_or_else(PoisonError::into_inner);
    let text = "config server 'main'\n\toption rate_source '0'\n\
                config period\n\toption name 'lunch'\n\toption from '00:00'\n\toption to '23:00'\n\toption price '1.20'\n\
                config door\n\toption machine '7'\n\toption door '1'\n";
    let settings = config::parse(text.as_bytes(), Path::new("posgate")).map_err(|problems| refused(&problems))?;
    let file = cards::parse(table().as_bytes(), Path::new("cards.csv"), &settings.rules.groups)
        .map_err(|problems| refused(&problems))?;
    let mut server = Server::new(&mut tables, settings.rules.clone());
    let number = 0x0123_4567_89AB_CDEF;
    let opened =
        Ledger::open(DirStorage::open(directory)?, "fixed", now(half, 0).stamp, || number, server.book_to_replay());
    let (mut ledger, _) = opened.map_err(|error| io::Error::other(error.to_string()))?;
    ledger.limit_segments(64 * 1024);
    let origin = Origin { cards_crc: file.crc, config_crc: settings.crc, ..Origin::default() };
    server.install(settings.rules, &file.records, origin).map_err(|error| io::Error::other(error.to_string()))?;
    let mut service = Service::new(server, ledger, &mut effects);
    service.start(&now(half, 0), &mut |_| ())?;
    for turn in 1..=TURNS {
        let now = now(half, turn);
        for frame in frames(half * TURNS + turn) {
            let source = "192.168.1.20:5000".parse().expect("an address");
            let peer = Peer { source, local: [192, 168, 1, 1].into(), socket: 0 };
            service.receive(&now, peer, &gbk::encode(&frame), false)?;
        }
        service.end_turn(&now, &mut |bag| {
            for (_, reply) in bag.iter() {
                println!("{}", gbk::decode(reply));
            }
        })?;
    }
    service.stop(&now(half, TURNS + 1), &mut |_| ())
}

fn refused(problems: &[posgate::files::problem::Problem]) -> io::Error {
    io::Error::other(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// Hours lie between the halves; the monotonic clock begins anew.
fn now(half: u64, turn: u64) -> Now {
    let since_noon = i64::try_from((half - 1) * 10_000_000 + turn * 700).expect("a day's milliseconds");
    let stamp = Stamp { wall: Wall(NOON_MS + since_noon), offset_s: 28_800 };
    Now { mono: Mono(5_000 + turn * 700), stamp, synchronized: true }
}

fn table() -> String {
    let rows = (0..200).map(|number| {
        format!("{},A{number:03},李{number},{}.50,{},,,\n", 8_888_888_800_u64 + number, number * 7, number % 30)
    });
    "card,account,name,balance,uses,groups,pin,day_max\n".to_owned() + &rows.collect::<String>()
}

/// One turn's frames: each kind that changes the ledger, repeats among them.
fn frames(number: u64) -> Vec<String> {
    let card = 8_888_888_800 + number * 7 % 230;
    let time = format!("2026-11-22 12:{:02}:{:02}", number / 60 % 60, number % 60);
    let head = |code, machine: u64| format!("{code},{:05},192.168.1.20,192.168.1.1,{machine:05}", number % 65_536);
    let sale = format!("{},{card},1.50,{time},1234567890", head(103, number % 5));
    let mut frames = vec![
        sale.clone(),
        format!("{},{card},{time}", head(104, 10 + number % 3)),
        format!("{},{card},2.25,{time},0,{number:08},3", head(105, 20)),
        format!("{},{card},1,1,0,0,,{time}", head(150, 7)),
        format!("{},键{number}", head(106, 31)),
    ];
    if number.is_multiple_of(3) {
        frames.push(format!("{},1234567890", head(109, number % 5)));
    }
    if number.is_multiple_of(4) {
        frames.push(sale);
    }
    if number.is_multiple_of(50) {
        frames.push(format!("{},{time},1234567890", head(101, number % 5)));
    }
    frames
}
