//! The sites that are fuzzed: configurations and card tables, read once; the one set of big tables;
//! a log that formats every line and keeps none.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use log::{LevelFilter, Log, Metadata, Record};
use posgate::engine::model::{CardRecord, Entry, Now, Rules};
use posgate::engine::server::{Effects, Peer, Server, Tables};
use posgate::files::config::{self, Settings};

/// What a site configures.
pub struct Site {
    pub rules: Rules,
    pub cards: Vec<CardRecord>,
}

const CARDS: &str = "\
card,account,name,status,balance,uses,groups,pin,duress_pin,valid_from,valid_until,charge_max,day_max,credit,code
8888888801,T1,张三,active,200.00,5,staff,1234,4321,,,,,,QR1
8888888802,T1,李四,,,,student,,,,,,,,\"QR,2\"
8888888803,,王五,,5.00,1,student,,,,,,6.00,,
8888888804,,\"赵{},\\\\六\",,0.00,0,staff,11111111,,,,3.00,,50.00,
8888888805,L1,孙七,lost,10.00,1,staff,1,2,,,,,,
8888888806,,周八,frozen,10.00,1,,,,,,,,,
8888888807,,吴九,closed,10.00,1,,,,,,,,,
8888888808,,郑十,,-12.50,-3,staff,,,2026-01-01,2026-12-31,,,,
8888888809,,€𠮷,,9999999.99,9999999,staff,,,,2020-01-01,,,9999999.99,
";

const SECTIONS: &str = "
config device
	option machine '1'
	option name '一号窗'
	option serial '1000000001'
	list place 'canteen'
config device
	option machine '2'
	option address '127.1.0.2'
	list place 'canteen'
	list group 'staff'
config device
	option machine '3'
	list place 'shop'
config device
	option machine '7'
	option kind 'board'
config period
	option name 'lunch'
	option from '00:00'
	option to '15:00'
	list place 'canteen'
	option uses_max '3'
	option price '12.00'
	option price_next '18.00'
	option days '1-6'
config period
	option name 'night'
	option from '22:00'
	option to '04:00'
	list place 'canteen'
	option uses_max '2'
config door
	option machine '7'
	option door '1'
	list group 'staff'
	option from '06:00'
	option to '23:00'
	option pin 'card'
	option open_pin '13572468'
	option passback_s '5'
config door
	option machine '7'
	option door '2'
	option days '1-5'
config calendar
	list off '2026-11-23..2026-11-24'
	list work '2026-11-22'
";

/// The sites, from a canteen with everything on to one with nothing configured.
pub static SITES: LazyLock<Vec<Site>> = LazyLock::new(|| {
    let everything = format!("config server 'main'\n\toption rate_source '0'\n\toption ack_109 '1'\n{SECTIONS}");
    let nothing = String::new();
    let strict = format!(
        "config server 'main'\n\toption clock 'ntp'\n\toption unknown_devices 'quarantine'\n\toption day_start '04:00'\n\
         \toption rate_total '50'\n\toption offline_max '1.00'\n\toption same_sale_s '0'\n\toption offline_match_s '0'\n\
         \tlist allow '127.0.0.0/8'\n{SECTIONS}"
    );
    let fewer = CARDS.lines().take(6).collect::<Vec<_>>().join("\n").replace("200.00", "7.00");
    [(everything, CARDS.to_owned()), (nothing, CARDS.to_owned()), (strict, CARDS.to_owned()), (fewer.clone(), fewer)]
        .into_iter()
        .enumerate()
        .map(|(index, (text, cards))| {
            let text = if index == 3 { format!("config server\n\toption rate_source '0'\n{SECTIONS}") } else { text };
            let settings = read(&text);
            let cards = posgate::files::cards::parse(cards.as_bytes(), Path::new("cards.csv"), &settings.rules.groups);
            Site { rules: settings.rules, cards: cards.expect("a table").records }
        })
        .collect()
});

fn read(text: &str) -> Settings {
    // A site without options has its section all the same.
    let text = if text.contains("config server") { text.to_owned() } else { format!("{text}\nconfig server\n") };
    config::parse(text.as_bytes(), Path::new("posgate")).expect("a configuration")
}

static TABLES: Mutex<Tables> = Mutex::new(Tables::new());
static SPARE: Mutex<Tables> = Mutex::new(Tables::new());
static EFFECTS: Mutex<Effects> = Mutex::new(Effects::new());

/// The big tables, for one input.
pub fn tables() -> MutexGuard<'static, Tables> {
    TABLES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A second set, to compare with.
pub fn spare_tables() -> MutexGuard<'static, Tables> {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The turn's effects, empty.
pub fn effects() -> MutexGuard<'static, Effects> {
    let mut effects = EFFECTS.lock().unwrap_or_else(PoisonError::into_inner);
    effects.clear();
    effects
}

/// A turn of one datagram; its replies are left in `effects`.
pub fn turn(server: &mut Server, now: &Now, peer: Peer, datagram: &[u8], effects: &mut Effects) {
    server.hear(now, peer, datagram, effects);
    finish_turn(server, now, effects);
}

/// Ends a turn as the service does; gives its entries and leaves its replies in `effects`.
pub fn finish_turn(server: &mut Server, now: &Now, effects: &mut Effects) -> Vec<Entry> {
    let mut all = Vec::new();
    let Ok(()) = server.finish_turn(now, effects, |entries| {
        all.extend_from_slice(entries);
        Ok::<_, Infallible>(())
    });
    all
}

/// Formats log lines of this level and above from now on.
pub fn log_at(level: LevelFilter) {
    static SINK: Sink = Sink;
    static INIT: LazyLock<()> = LazyLock::new(|| log::set_logger(&SINK).expect("the only logger"));
    LazyLock::force(&INIT);
    log::set_max_level(level);
}

struct Sink;

impl Log for Sink {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        let mut line = String::new();
        write!(line, "{}", record.args()).expect("a String takes all");
    }

    fn flush(&self) {}
}
