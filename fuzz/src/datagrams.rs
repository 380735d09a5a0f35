//! The whole server under a script of datagrams, time and restarts; state is kept from one to the
//! next.
//!
//! The input is lines. The first byte of a line says what happens, and what cannot be read does
//! nothing:
//!
//! ```text
//! C<digit>             another site from here on (a reload); its cards may be fewer
//! V<digit>             log lines are formatted: 0 none … 5 all
//! ><digit>BYTES        a datagram from one of ten sources; 0x1F stands for LF
//! O<digit>BYTES        one that was too long
//! f<bytes>             a well-formed frame, each part chosen by a byte (see `Script::frame`)
//! =                    the last datagram again, from the same source
//! +DIGITS              so many ms pass, by both clocks; deadlines come in order
//! @[-]DIGITS           the wall clock steps by so many seconds
//! K                    the kernel says that its clock is synchronized, or no longer
//! R                    stop, start: everything is replayed
//! X<digit>             power cut: what was synced survives, and up to so many lines after it; start
//! ```
//!
//! Promised after every line:
//! - no panic, no arithmetic overflow;
//! - results that rest on entries are never in the prompt bag, and are there only once an entry was
//!   written;
//! - an entry reads back from its ledger line as it was;
//! - balances, uses and heads are what a naive sum of the entries says, `balance`, `subsidy_left`
//!   and `uses_left` columns too;
//! - the same datagram again moves nothing;
//! - no deadline is left that is due, and nobody is woken without end;
//! - a replay gives the state that was, in full (`Book::difference`).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use log::LevelFilter;
use posgate::engine::book::Book;
use posgate::engine::limits::{LINE_LEN_MAX, REPLY_LEN_MAX};
use posgate::engine::model::{Balance, Entry, Kind, Mono, Now, Stamp, Wall};
use posgate::engine::server::{Effects, Origin, Outgoing, Peer, Server, Tables};
use posgate::engine::wire::Reply;
use posgate::ledger::line;

use crate::site::{self, SITES, Site};

/// Lines of an input that are played: more show nothing new, and take long.
const STEPS_MAX: usize = 400;

/// Timers that may come due after one step: as many as can be armed, resends included.
const FIRED_MAX: usize = 100_000;

/// A device that waits for its clock is looked after every 10 s, so longer spans take long to play.
const PASS_MS_MAX: u64 = 26 * 3_600_000;

/// 2026-11-22 04:00:00 UTC.
const START: i64 = 1_795_320_000_000;

/// What `posgate::host::clock` keeps wall times within.
const WALL: (i64, i64) = (-62_104_060_800_000, 253_370_764_799_999);

/// Plays one input.
pub fn run(input: &[u8]) {
    site::log_at(LevelFilter::Off);
    let mut tables = site::tables();
    let mut spare = site::spare_tables();
    let mut effects = site::effects();
    let mut script = Script::new();
    let mut steps = input.split(|byte| *byte == b'\n').take(STEPS_MAX).peekable();
    if let Some([b'C', digit, ..]) = steps.peek() {
        script.choose_site(*digit);
    }
    // Each turn is one run of the server: it ends in a stop, a power cut or the input's end.
    let mut is_over = false;
    while !is_over {
        let mut server = script.start(&mut tables, &mut effects);
        is_over = loop {
            let Some(step) = steps.next() else {
                break true;
            };
            match step {
                b"R" => {
                    server.stop(&script.now(), &mut effects);
                    script.collect(&mut effects);
                    script.sync();
                    break false;
                }
                [b'X', kept] => {
                    script.lose(usize::from(kept.wrapping_sub(b'0')));
                    break false;
                }
                _ => script.step(&mut server, step, &mut effects),
            }
        };
        if is_over {
            script.sync();
        }
        script.assert_adds_up(server.book());
        // What a power cut took is in the one book and not in the other.
        if script.entries.len() as u64 == server.book().head().0 {
            let replayed = script.replay(&mut spare);
            let difference = server.book().difference(replayed.book());
            assert_eq!(difference, None, "a replay gives the state that was");
        }
    }
    site::log_at(LevelFilter::Off);
}

struct Script {
    site: &'static Site,
    mono: u64,
    wall: i64,
    is_synchronized: bool,
    /// The ledger, and how much of it is synced.
    entries: Vec<Entry>,
    synced: usize,
    crc: u32,
    crcs: Vec<u32>,
    /// What they add up to, account by account.
    sums: BTreeMap<String, (i64, i64, i64)>,
    last: Option<(Peer, Vec<u8>)>,
    /// Whether the last datagram's entries moved an account or opened a door.
    did_move: bool,
    /// Milliseconds since it was heard.
    apart_ms: u64,
    seq: u16,
    started: bool,
}

impl Script {
    fn new() -> Self {
        Self {
            site: &SITES[0],
            mono: 1_000,
            wall: START,
            is_synchronized: false,
            entries: Vec::new(),
            synced: 0,
            crc: 0,
            crcs: Vec::new(),
            sums: BTreeMap::new(),
            last: None,
            did_move: false,
            apart_ms: 0,
            seq: 0,
            started: false,
        }
    }

    fn choose_site(&mut self, digit: u8) {
        self.site = &SITES[usize::from(digit) % SITES.len()];
    }

    fn now(&self) -> Now {
        Now {
            mono: Mono(self.mono),
            stamp: Stamp { wall: Wall(self.wall), offset_s: 8 * 3600 },
            synchronized: self.is_synchronized,
        }
    }

    // ---------------------------------------------------------------- runs

    /// A server over what the ledger holds, with its `start` entry.
    fn start<'t>(&mut self, tables: &'t mut Tables, effects: &mut Effects) -> Server<'t> {
        let mut server = self.replay(tables);
        // A new process's clock begins anew.
        self.mono = if self.started { 0 } else { self.mono };
        self.started = true;
        server.start(&self.now(), effects);
        self.collect(effects);
        self.sync();
        server
    }

    fn replay<'t>(&self, tables: &'t mut Tables) -> Server<'t> {
        let mut server = Server::new(tables, self.site.rules.clone());
        for entry in &self.entries {
            server.book_to_replay().apply(entry, None).expect("what was written follows");
        }
        let installed = server.install(self.site.rules.clone(), &self.site.cards, Origin::default());
        installed.expect("the table fits");
        server
    }

    /// The power goes: of the lines that were not synced, the first `kept` survive.
    fn lose(&mut self, kept: usize) {
        let len = (self.synced + kept).min(self.entries.len());
        self.entries.truncate(len);
        self.crcs.truncate(len);
        self.crc = self.crcs.last().copied().unwrap_or(0);
        self.synced = len;
        self.sums.clear();
        for entry in &self.entries {
            add_up(&mut self.sums, entry);
        }
    }

    fn sync(&mut self) {
        self.synced = self.entries.len();
    }

    // ---------------------------------------------------------------- steps

    fn step(&mut self, server: &mut Server, step: &[u8], effects: &mut Effects) {
        let Some((command, rest)) = step.split_first() else { return };
        match command {
            b'C' => self.reload(server, rest, effects),
            b'V' => site::log_at(level(rest.first().copied().unwrap_or(b'0'))),
            b'>' | b'O' => {
                let Some((source, bytes)) = rest.split_first() else { return };
                let datagram: Vec<u8> = bytes.iter().map(|byte| if *byte == 0x1F { b'\n' } else { *byte }).collect();
                let peer = peer(*source);
                if *command == b'O' {
                    server.handle_oversize(&self.now(), peer, &datagram);
                    self.collect(effects);
                } else {
                    self.handle(server, peer, datagram, effects);
                }
            }
            b'f' => {
                let (peer, datagram) = self.frame(rest);
                self.handle(server, peer, datagram, effects);
            }
            b'=' => self.again(server, effects),
            b'+' => {
                let ms = number(rest).min(PASS_MS_MAX);
                self.pass(server, ms, effects);
            }
            b'@' => {
                let (sign, digits) = rest.strip_prefix(b"-").map_or((1, rest), |digits| (-1, digits));
                let seconds = i64::try_from(number(digits)).unwrap_or(i64::MAX).saturating_mul(sign);
                self.wall = self.wall.saturating_add(seconds.saturating_mul(1000)).clamp(WALL.0, WALL.1);
                // What is believed of the frame's time, and its age after a restart, may be another
                // now.
                self.did_move = false;
                self.fire(server, effects);
            }
            b'K' => self.is_synchronized = !self.is_synchronized,
            _ => (),
        }
    }

    fn reload(&mut self, server: &mut Server, rest: &[u8], effects: &mut Effects) {
        let site = self.site;
        self.choose_site(rest.first().copied().unwrap_or(b'0'));
        if server.install(self.site.rules.clone(), &self.site.cards, Origin::default()).is_err() {
            self.site = site;
            return;
        }
        server.reloaded(&self.now(), effects);
        self.collect(effects);
    }

    fn handle(&mut self, server: &mut Server, peer: Peer, datagram: Vec<u8>, effects: &mut Effects) {
        server.hear(&self.now(), peer, &datagram, effects);
        let news = site::finish_turn(server, &self.now(), effects);
        for (to, reply) in effects.mail() {
            let is_to_others = reply.starts_with(b"003,") || to == peer;
            assert!(is_to_others, "a reply goes where the datagram came from");
        }
        self.commit(&news, effects);
        self.did_move = news.iter().any(|entry| entry.moves() || entry.kind == Kind::Admit);
        self.last = Some((peer, datagram));
        self.apart_ms = 0;
    }

    /// Nothing that was done is done again.
    fn again(&mut self, server: &mut Server, effects: &mut Effects) {
        let Some((peer, datagram)) = self.last.clone() else { return };
        // With a time that is not believed a frame names a sale for ten minutes (design.md, section
        // 8).
        let was_moved = self.did_move && self.apart_ms < 600_000;
        server.hear(&self.now(), peer, &datagram, effects);
        let news = site::finish_turn(server, &self.now(), effects);
        self.commit(&news, effects);
        let moves = news.iter().any(|entry| entry.moves() || entry.kind == Kind::Admit);
        let text = || String::from_utf8_lossy(&datagram).into_owned();
        assert!(!(was_moved && moves), "the same frame moved something twice: {:?}", text());
        self.did_move = was_moved || moves;
    }

    /// Time passes, and every deadline is met when it comes.
    fn pass(&mut self, server: &mut Server, ms: u64, effects: &mut Effects) {
        let end = self.mono + ms;
        self.apart_ms += ms;
        for _ in 0..FIRED_MAX {
            let next = server.next_deadline().map_or(end, |at| at.0.clamp(self.mono, end));
            self.wall = (self.wall + i64::try_from(next - self.mono).expect("a day")).clamp(WALL.0, WALL.1);
            self.mono = next;
            self.fire(server, effects);
            if self.mono == end {
                return;
            }
        }
        panic!("timers without end");
    }

    fn fire(&mut self, server: &mut Server, effects: &mut Effects) {
        for _ in 0..FIRED_MAX {
            if server.next_deadline().is_none_or(|at| at > self.now().mono) {
                return;
            }
            let news = site::finish_turn(server, &self.now(), effects);
            self.commit(&news, effects);
        }
        panic!("timers without end");
    }

    // ---------------------------------------------------------------- effects

    /// Takes the effects of a signal.
    fn collect(&mut self, effects: &mut Effects) {
        let news: Vec<Entry> = effects.entries.iter().copied().collect();
        self.commit(&news, effects);
    }

    /// Takes a turn's effects: entries into the ledger, replies to be checked.
    fn commit(&mut self, news: &[Entry], effects: &mut Effects) {
        for entry in news {
            self.write(entry);
        }
        if news.iter().any(Entry::is_committed) {
            self.sync();
        }
        let has_entry = self.entries.iter().any(Entry::is_committed);
        look_at(&effects.acks, &[1]);
        look_at(&effects.prompt, &[3, 6, 9, 51]);
        look_at(&effects.committed, &[8, 11, 50]);
        assert!(effects.committed.is_empty() || has_entry, "a result without any entry");
        effects.clear();
    }

    fn write(&mut self, entry: &Entry) {
        assert_eq!(entry.seq.0, self.entries.len() as u64 + 1, "entries count on");
        let mut out = [0; LINE_LEN_MAX];
        let emitted = line::emit(entry, self.crc, &mut out);
        let text = &out[..emitted.len - 1];
        assert!(line::follows(text, self.crc) && !text.contains(&0) && !text.contains(&b'\n'));
        let parsed = line::parse(text).unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(text)));
        assert_eq!(parsed.entry, *entry, "an entry reads back as it was");
        self.crc = emitted.crc;
        self.crcs.push(emitted.crc);
        add_up(&mut self.sums, entry);
        if let Some(id) = &entry.account {
            let (fen, uses, subsidy) = self.sums.get(id.as_str()).copied().unwrap_or_default();
            assert_eq!(entry.subsidy_left.map(Balance::fen), Some(subsidy), "{entry:?}");
            assert_eq!(entry.balance.map(Balance::fen), Some(fen), "{entry:?}");
            assert_eq!(entry.uses_left.map(i64::from), Some(uses), "{entry:?}");
        }
        self.entries.push(*entry);
    }

    // ---------------------------------------------------------------- frames

    /// A well-formed frame: code, machine, card, amount, time, source, and what is left for the
    /// rest. A missing byte is 0.
    fn frame(&mut self, choices: &[u8]) -> (Peer, Vec<u8>) {
        let mut choices = choices.iter().copied();
        let mut pick = |count: usize| usize::from(choices.next().unwrap_or(0)) % count;
        let code = [101, 102, 103, 104, 105, 106, 109, 128, 150][pick(9)];
        let machine = [1, 2, 3, 7, 8, 9, 65_535][pick(7)];
        let card = [
            "8888888801",
            "8888888802",
            "8888888803",
            "8888888804",
            "8888888805",
            "8888888806",
            "8888888807",
            "8888888808",
            "8888888809",
            "1",
            "0",
            "",
            "9999999999",
            "x",
        ][pick(14)];
        let amount = ["0.01", "5.50", "0.00", "12", "1.0", "9999999.99", "100.00", "x", "200.00", "1000.01"][pick(10)];
        let time = match pick(8) {
            0 => self.device_time(0),
            1 => self.device_time(20),
            2 => self.device_time(-100),
            3 => self.device_time(-86_400),
            4 => self.device_time(40 * 86_400),
            5 => "2000-00-00 00:00:00".to_owned(),
            6 => String::new(),
            _ => "2026-11-22 12:00:00".to_owned(),
        };
        let source = pick(10);
        let serial = ["", ",1000000001", ",20000000AF", ",1000000002"][pick(4)];
        let extra = pick(64);
        self.seq = match pick(8) {
            0 => self.seq,
            1 => self.seq.wrapping_sub(1),
            2 => 65_535,
            _ => self.seq.wrapping_add(1),
        };
        let body = match code {
            101 => format!("{time}{serial}"),
            102 => format!("{card}{serial}"),
            103 if extra & 1 == 1 => format!("{card},{amount},{time},2{serial}"),
            103 => format!("{card},{amount},{time}{serial}"),
            104 => format!("{card},{time}{serial}"),
            105 => format!("{card},{amount},{time},{},{:08},{}{serial}", extra % 3, extra / 8, extra % 8),
            106 => format!("F{extra}{serial}"),
            109 => ["", "008,8888888801", "050", "1", "011,8888888803,77"][extra % 5].to_owned(),
            128 => format!(
                "{:010},{amount},{time},0,{},{}",
                extra / 8,
                ["QR1", "QR,2", "", "foreign"][extra % 4],
                serial.trim_start_matches(',')
            ),
            _ => {
                let (reader, door) = (1 + extra % 3, 1 + extra / 3 % 3);
                let (kind, open) = (extra % 6, [0, 0, 20, 21, 4_000_000_000_u64][extra % 5]);
                let pin = ["", "1234", "4321", "13572468", "11111111", "x"][extra / 5 % 6];
                format!("{card},{reader},{door},{open},{kind},{pin},{time}{serial}")
            }
        };
        let separator = if code == 109 && body.is_empty() { "" } else { "," };
        let datagram = format!("{code},{:05},10.0.0.9,10.0.0.1,{machine:05}{separator}{body}", self.seq);
        (peer(b'0' + u8::try_from(source).unwrap_or(0)), datagram.into_bytes())
    }

    fn device_time(&self, seconds: i64) -> String {
        let mut now = self.now().stamp;
        now.wall.0 = now.wall.0.saturating_add(seconds * 1000).clamp(WALL.0, WALL.1);
        now.civil().to_string()
    }

    fn assert_adds_up(&self, book: &Book) {
        if self.entries.len() as u64 != book.head().0 {
            return;
        }
        for account in book.accounts() {
            let (fen, uses, subsidy) = self.sums.get(account.id.as_str()).copied().unwrap_or_default();
            let held = (account.held.balance.fen(), i64::from(account.held.uses), account.held.subsidy.fen());
            assert_eq!(held, (fen, uses, subsidy), "{}", account.id);
        }
    }
}

fn add_up(sums: &mut BTreeMap<String, (i64, i64, i64)>, entry: &Entry) {
    let Some(id) = &entry.account else { return };
    let sum = sums.entry(id.to_string()).or_default();
    sum.0 += entry.amount.map_or(0, Balance::fen);
    sum.1 += i64::from(entry.uses.unwrap_or(0));
    sum.2 += entry.subsidy.map_or(0, Balance::fen);
}

/// Every reply is one of these codes, can be read by a device, and fits its buffer.
fn look_at(bag: &Outgoing, codes: &[u16]) {
    for (_, reply) in bag.iter() {
        assert!(reply.len() <= REPLY_LEN_MAX);
        let parsed = Reply::parse(reply).unwrap_or_else(|| panic!("no reply: {:?}", reply.escape_ascii().to_string()));
        assert!(codes.contains(&parsed.code().number()), "{:?} is in the wrong bag", reply.escape_ascii().to_string());
    }
}

fn peer(digit: u8) -> Peer {
    let host = digit.wrapping_sub(b'0') % 10;
    let source = if host < 8 { Ipv4Addr::new(127, 1, 0, host) } else { Ipv4Addr::new(10, 0, 0, host) };
    Peer { source: SocketAddrV4::new(source, 39_192), local: Ipv4Addr::LOCALHOST, socket: host % 2 }
}

fn number(digits: &[u8]) -> u64 {
    digits
        .iter()
        .take_while(|digit| digit.is_ascii_digit())
        .fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

fn level(digit: u8) -> LevelFilter {
    let levels = [
        LevelFilter::Off,
        LevelFilter::Error,
        LevelFilter::Warn,
        LevelFilter::Info,
        LevelFilter::Debug,
        LevelFilter::Trace,
    ];
    levels[usize::from(digit.wrapping_sub(b'0')) % levels.len()]
}
