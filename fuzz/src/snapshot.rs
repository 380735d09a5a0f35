//! A `snapshot.tsv` of any bytes beside ledgers that a real service wrote.
//!
//! The ledgers are made once: one of each site, in segments of a few KiB, with every snapshot that
//! was written on the way. The input is a recipe, a line a step, for the snapshot that a start
//! finds; the line's number is modulo what there is:
//!
//! ```text
//! LDIGITS          this ledger (at first the first), with its newest snapshot
//! SDIGITS          an older snapshot of it
//! ODIGITS          the newest snapshot of another one
//! -DIGITS          without this line
//! +DIGITS,DIGITS   this line again, before that one
//! *DIGITS,DIGITS   this line so often
//! @DIGITS,BYTES    this line becomes these bytes
//! cDIGITS,DIGITS,BYTES   this column of this line does
//! ~BYTES           these bytes at the end, with an LF
//! !DIGITS          so many bytes are cut off the end
//! ^DIGITS,DIGITS   this byte has this bit turned
//! 0DIGITS,DIGITS   so many zeros from this byte on; beyond the end the file grows
//! =                sealed again: the last line counts the lines and has the crc of what stands before
//! a                the segments wholly before the newest snapshot are taken away
//! tDIGITS          so many bytes are cut off the newest segment
//! R                all that follows, of any bytes, is the snapshot
//! ```
//!
//! Promised: no panic; a snapshot that is not one of this ledger's own, byte for byte, is not
//! believed, and then the start is that of the whole ledger; a start from one that is believed is
//! the same too: all of the state, and what is answered to frames. A crc is no signature, so one
//! that was sealed again may be believed; then what it says can be served and written again, and
//! what the ledger contradicts is not.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::LazyLock;

use posgate::engine::model::{Mono, Now, Stamp, Wall};
use posgate::engine::server::{Effects, Origin, Peer, Server, Tables};
use posgate::ledger::recovery::Replayed;
use posgate::ledger::verify::verify_directory;
use posgate::ledger::{Ledger, OpenError, line, replay, segment, snapshot};
use posgate::turn::Service;

use crate::site::{self, SITES, Site};
use crate::storage::{Lent, MemoryStorage};

/// Bytes of the snapshot; more show nothing new.
const LEN_MAX: usize = 40_000;

/// Bytes of a ledger's segment, so that there are some.
const SEGMENT_BYTES: u64 = 4000;

/// Turns that a ledger is made of.
const TURNS: u64 = 40;

/// A ledger, and the snapshots that were written with it.
struct Made {
    site: usize,
    files: MemoryStorage,
    /// Oldest first; the last is the newest.
    snapshots: Vec<Vec<u8>>,
}

static MADE: LazyLock<Vec<Made>> = LazyLock::new(|| (0..SITES.len()).map(make).collect());

/// Starts from one input.
pub fn run(input: &[u8]) {
    // Before the tables are taken: it takes them too.
    let recipe = bake(input);
    let mut tables = site::tables();
    let mut spare = site::spare_tables();
    let (site, mut whole) = (recipe.made.site, recipe.files.clone());
    whole.files.extend(recipe.taken_away.clone());
    whole.files.remove(snapshot::NAME);

    let names: Vec<String> =
        segment::list(&recipe.files).expect("names").into_iter().map(|segment| segment.name).collect();
    let report = verify_directory(&recipe.files, &names, &mut || ()).expect("memory can be read");
    assert!(!report.to_string().is_empty());

    let mut server = Server::new(&mut tables, SITES[site].rules.clone());
    let mut other = Server::new(&mut spare, SITES[site].rules.clone());
    let all =
        replay(&whole, other.book_to_replay()).unwrap_or_else(|error| panic!("the ledger itself is whole: {error}"));
    let started = match replay(&recipe.files, server.book_to_replay()) {
        Ok(started) => started,
        Err(OpenError::Io(error)) => panic!("{error}"),
        Err(error @ (OpenError::Damaged { .. } | OpenError::NotOurs(_))) => {
            assert!(!recipe.taken_away.is_empty(), "there is all of the ledger, but it is refused: {error}");
            assert!(report.exit_code() > 1 || recipe.is_sealed, "refused ({error}), but verify says\n{report}");
            return;
        }
    };
    assert_eq!((started.head, &started.newest, started.tail.is_some()), (all.head, &all.newest, all.tail.is_some()));
    let is_believed = started.snapshot.is_some();
    assert_eq!(is_believed, started.disbelief.is_none() && recipe.files.files.contains_key(snapshot::NAME));
    let own = &recipe.made.snapshots;
    let is_own = recipe.files.files.get(snapshot::NAME).is_some_and(|file| own.contains(file));
    assert!(!is_believed || is_own || recipe.is_sealed, "believed, and nobody wrote it");
    assert_eq!(is_believed, started.entries < all.entries, "a snapshot saves entries");
    for (server, of) in [(&mut server, "start"), (&mut other, "whole")] {
        let installed = server.install(SITES[site].rules.clone(), &SITES[site].cards, Origin::default());
        assert!(installed.is_ok() || recipe.is_sealed, "{of}: the table fits");
        if installed.is_err() {
            return;
        }
    }
    if is_believed && !is_own {
        let answered = answers(&mut server);
        assert!(answered.iter().any(|reply| reply.starts_with(b"001")), "it serves");
        same_when_written_again(&server, &mut other);
        return;
    }
    assert_eq!(server.book().difference(other.book()), None, "a start from a snapshot is one from the whole ledger");
    assert_eq!(answers(&mut server), answers(&mut other), "and it answers alike");
    drop((server, other));
    // What a start goes on with is the same whatever the snapshot said; some inputs are enough.
    if is_believed || recipe.files != recipe.made.files {
        go_on(recipe, &started, &mut tables);
    }
}

/// The same frames to each server: what it answers.
fn answers(server: &mut Server) -> Vec<Vec<u8>> {
    let mut effects = site::effects();
    let mut answered = Vec::new();
    let now = now(TURNS * 10_000);
    // Some are repeated from the ledger, some are new.
    for number in (TURNS - 8..TURNS + 3).chain([0, 1]) {
        for (peer, frame) in frames(number) {
            site::turn(server, &now, peer, &frame, &mut effects);
            answered.extend(effects.mail().map(|(_, reply)| reply.to_vec()));
            effects.clear();
        }
    }
    answered
}

/// What was restored from a snapshot that somebody sealed is written as a snapshot that restores to
/// the same.
fn same_when_written_again(server: &Server, other: &mut Server) {
    let mut lines = lines_of(server);
    other.book_to_replay().rewind();
    for line in &lines {
        assert!(line.len() <= 512, "{line}");
        other.book_to_replay().restore_line(line).unwrap_or_else(|bad| panic!("{bad}: {line}"));
    }
    other.book_to_replay().resume(server.book().head());
    let mut again = lines_of(other);
    // Accounts of the table keep their rows.
    lines.sort();
    again.sort();
    assert!(lines == again, "written again it is another");
}

fn lines_of(server: &Server) -> Vec<String> {
    let mut lines = Vec::new();
    let mut keep = |line: &str| {
        lines.push(line.to_owned());
        Ok::<(), ()>(())
    };
    server.book().emit(&mut keep).expect("a Vec takes all");
    lines
}

/// Opens for service, sells, and opens again.
fn go_on(mut recipe: Recipe, started: &Replayed, tables: &mut Tables) {
    let site = recipe.made.site;
    let mut head = started.head;
    for round in 0..2 {
        let mut effects = site::effects();
        let mut service = open(site, &mut recipe.files, tables, &mut effects);
        assert_eq!(service.server().book().head(), head.seq);
        service.start(&now(TURNS * 20_000), &mut |_| ()).expect("memory can be written");
        for number in TURNS * 2..TURNS * 2 + 8 {
            turn(&mut service, number + round * 8);
        }
        service.stop(&now(TURNS * 40_000), &mut |_| ()).expect("memory can be written");
        head.seq = service.server().book().head();
    }
    let names: Vec<String> =
        segment::list(&recipe.files).expect("names").into_iter().map(|segment| segment.name).collect();
    let report = verify_directory(&recipe.files, &names, &mut || ()).expect("memory can be read");
    assert_eq!((report.exit_code(), report.head.seq), (0, head.seq), "{report}");
}

// -------------------------------------------------------------------- ledgers

fn now(at_ms: u64) -> Now {
    let wall = Wall(1_795_320_000_000 + i64::try_from(at_ms).expect("some minutes"));
    Now { mono: Mono(1000 + at_ms), stamp: Stamp { wall, offset_s: 8 * 3600 }, synchronized: true }
}

/// What devices say in a turn: every kind of frame in some.
fn frames(number: u64) -> Vec<(Peer, Vec<u8>)> {
    let card = 8_888_888_801 + number % 9;
    let time = format!("2026-11-22 12:{:02}:{:02}", number / 60 % 60, number % 60);
    let mut frames = Vec::new();
    let mut say = |code: u16, machine: u8, fields: &str| {
        let source = SocketAddrV4::new(Ipv4Addr::new(127, 1, 0, machine), 39_192);
        let frame = format!("{code},{number:05},0.0.0.0,0.0.0.0,{machine:05},{fields}");
        frames.push((Peer { source, local: Ipv4Addr::LOCALHOST, socket: 0 }, frame.into_bytes()));
    };
    say(103, 2, &format!("{card},0.05,{time}"));
    match number % 6 {
        0 => say(109, 2, ""),
        1 => say(104, 3, &format!("{card},{time}")),
        2 => say(105, 3, &format!("{},1.00,{time},0,{number:08},3", card + number % 3)),
        3 => say(150, 7, &format!("{card},1,{},0,1,1234,{time}", 1 + number % 2)),
        4 => say(128, 3, &format!("{number:010},0.05,{time},0,QR1,1234567890")),
        _ => say(106, 3, &format!("F{number}")),
    }
    frames
}

fn open<'t>(
    site: usize,
    files: &'t mut MemoryStorage,
    tables: &'t mut Tables,
    effects: &'t mut Effects,
) -> Service<'t, Lent<'t>> {
    let Site { rules, cards } = &SITES[site];
    let mut server = Server::new(tables, rules.clone());
    let opened = Ledger::open(Lent(files), "fuzz", now(0).stamp, || 0xF0 + site as u64, server.book_to_replay());
    let (mut ledger, _) = opened.unwrap_or_else(|error| panic!("{error}"));
    ledger.limit_segments(SEGMENT_BYTES);
    server.install(rules.clone(), cards, Origin::default()).expect("the table fits");
    Service::new(server, ledger, effects)
}

fn turn(service: &mut Service<Lent>, number: u64) {
    let now = now(1000 * number);
    for (peer, frame) in frames(number) {
        service.receive(&now, peer, &frame, false).expect("memory can be written");
    }
    service.end_turn(&now, &mut |_| ()).expect("memory can be written");
}

fn make(site: usize) -> Made {
    let (mut tables, mut effects) = (site::tables(), site::effects());
    let mut files = MemoryStorage::default();
    let mut snapshots: Vec<Vec<u8>> = Vec::new();
    let mut next = 0;
    // Stopped and started now and then.
    while next < TURNS {
        let mut service = open(site, &mut files, &mut tables, &mut effects);
        service.start(&now(1000 * next), &mut |_| ()).expect("memory can be written");
        for number in next..next + 4 {
            turn(&mut service, number);
        }
        next += 4;
        service.stop(&now(1000 * next), &mut |_| ()).expect("memory can be written");
        drop(service);
        let newest = files.files.get(snapshot::NAME).filter(|newest| snapshots.last() != Some(newest));
        snapshots.extend(newest.cloned());
    }
    assert!(snapshots.len() > 2, "{} snapshots", snapshots.len());
    Made { site, files, snapshots }
}

// -------------------------------------------------------------------- the recipe

/// What a start finds.
struct Recipe {
    made: &'static Made,
    files: MemoryStorage,
    /// Segments that are not there.
    taken_away: BTreeMap<String, Vec<u8>>,
    /// Whether somebody sealed what the ledger did not write.
    is_sealed: bool,
}

fn bake(input: &[u8]) -> Recipe {
    let mut made = &MADE[0];
    let mut file = newest(made);
    let mut recipe = Recipe { made, files: made.files.clone(), taken_away: BTreeMap::new(), is_sealed: false };
    let mut rest = input;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let step;
        (step, rest) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
        let Some((command, text)) = step.split_first() else { continue };
        let (one, two) = numbers(text);
        let pick = |count: usize| if count == 0 { 0 } else { one % count };
        match command {
            b'L' => {
                made = &MADE[one % MADE.len()];
                file = newest(made);
                recipe = Recipe { made, files: made.files.clone(), taken_away: BTreeMap::new(), is_sealed: false };
            }
            b'S' => file.clone_from(&made.snapshots[one % made.snapshots.len()]),
            b'O' => file = newest(&MADE[one % MADE.len()]),
            b'-' | b'+' | b'*' | b'@' | b'c' => {
                let mut lines: Vec<Vec<u8>> = file.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
                let place = pick(lines.len());
                match command {
                    b'-' => drop(lines.remove(place)),
                    b'+' => lines.insert(two % lines.len(), lines[place].clone()),
                    b'*' => {
                        let count = two.min(LEN_MAX / (lines[place].len() + 1));
                        lines.splice(place..=place, vec![lines[place].clone(); count]);
                    }
                    b'@' => lines[place] = after_commas(text, 1).to_vec(),
                    _ => {
                        let mut columns: Vec<&[u8]> = lines[place].split(|byte| *byte == b'\t').collect();
                        let column = two % columns.len();
                        columns[column] = after_commas(text, 2);
                        lines[place] = columns.join(&b'\t');
                    }
                }
                file = lines.join(&b'\n');
            }
            b'~' => file.extend([text, b"\n"].concat()),
            b'!' => file.truncate(file.len().saturating_sub(one)),
            b'^' => {
                let place = pick(file.len());
                if let Some(byte) = file.get_mut(place) {
                    *byte ^= 1 << (two % 8);
                }
            }
            b'0' => {
                let start = one.min(file.len());
                let end = (start + two).min(LEN_MAX);
                file.resize(file.len().max(end), 0);
                file[start.min(end)..end].fill(0);
            }
            b'=' => {
                file = sealed(&file);
                recipe.is_sealed = true;
            }
            b'a' => take_away(&mut recipe),
            b't' => {
                let newest = segment::list(&recipe.files).expect("names").pop().map(|segment| segment.name);
                if let Some(bytes) = newest.and_then(|name| recipe.files.files.get_mut(&name)) {
                    // Only where a stop might have left it: its header stays.
                    bytes.truncate(bytes.len().saturating_sub(one).max(512));
                }
            }
            b'R' => {
                file = rest.to_vec();
                rest = &[];
            }
            _ => (),
        }
        file.truncate(LEN_MAX);
    }
    recipe.files.files.insert(snapshot::NAME.to_owned(), file);
    recipe
}

fn newest(made: &Made) -> Vec<u8> {
    made.snapshots.last().expect("each ledger has some").clone()
}

/// As `posgate ledger archive` does.
fn take_away(recipe: &mut Recipe) {
    let segments = segment::list(&recipe.files).expect("names");
    let title = snapshot::read_title(&recipe.made.files).expect("memory can be read").expect("it is one");
    let seq = title.expect("there is one").head.seq;
    let kept = segments.iter().rposition(|segment| segment.first <= seq.next()).unwrap_or(0);
    for segment in &segments[..kept] {
        let bytes = recipe.files.files.remove(&segment.name).expect("it was listed");
        recipe.taken_away.insert(segment.name.clone(), bytes);
    }
}

fn sealed(file: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = file.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    if lines.last().is_some_and(|last| last.starts_with(b"#end")) {
        lines.pop();
    }
    let count = lines.len().saturating_sub(1);
    let mut sealed = lines.join(&b'\n');
    sealed.extend(format!("\n#end\tlines={count}\t").bytes());
    let crc = line::continue_crc(0, &sealed);
    sealed.extend(format!("{crc:08x}\n").bytes());
    sealed
}

/// One or two numbers; what cannot be read is 0.
fn numbers(text: &[u8]) -> (usize, usize) {
    let text = String::from_utf8_lossy(text);
    let mut numbers = text.split(',').map(|digits| digits.trim().parse().unwrap_or(0_usize) % (1 << 24));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn after_commas(text: &[u8], count: usize) -> &[u8] {
    let mut rest = text;
    for _ in 0..count {
        let comma = rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len());
        rest = rest.get(comma + 1..).unwrap_or_default();
    }
    rest
}
