//! A ledger's files as power cuts, bit flips and careless editors leave them.
//!
//! Random bytes never have a crc that follows, so the input is a recipe, a line a step:
//!
//! ```text
//! TEXT          a line of a ledger without its crc column (columns divided by tabs): it gets the crc that follows
//! ~BYTES        a line as it stands, whatever its crc
//! #DIGITS       another segment begins; its header says the next entry comes first, or this one
//! H BYTES       the segment's first 512 bytes begin so
//! !DIGITS       so many bytes are cut off the end
//! 0DIGITS,DIGITS   zeros: so many bytes from the end, so long; beyond the end the file grows
//! ^DIGITS,DIGITS   the byte so far from the end has this bit turned
//! -xxx          the segment of this number (here 3) is taken away
//! ```
//!
//! Promised: no panic; a replay changes nothing and gives the entries of whole lines only; balances
//! are what they add up to; after mending, a second replay gives the same entries and finds nothing
//! to mend, and `verify` says clean; the server goes on from there, and what it writes is read
//! back. `verify` and `show` read whatever there is.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use posgate::desk::audit::show::write_entry;
use posgate::engine::model::{Balance, Entry, EntrySeq, Mono, Now, Stamp, Wall};
use posgate::engine::server::{Origin, Peer, Server, Tables};
use posgate::ledger::header::{HEADER_LEN, Header};
use posgate::ledger::recovery::{Replayed, mend};
use posgate::ledger::segment::{self, Lines, name_of};
use posgate::ledger::verify::verify;
use posgate::ledger::{Entries, Ledger, OpenError, Refusal, line, replay};

use crate::site::{self, SITES};
use crate::storage::{Lent, MemoryStorage};

/// Bytes of all files; more show nothing new.
const LEN_MAX: usize = 300_000;

/// Bytes that zeros may add: some more than a tail.
const ZEROS_MAX: usize = 70_000;

/// Opens one input.
pub fn run(input: &[u8]) {
    let mut storage = bake(input);
    let names: Vec<String> = segment::list(&storage).expect("names").into_iter().map(|segment| segment.name).collect();
    let report = verify(&storage, &names, true, &mut || ()).expect("memory can be read");
    assert!(!report.to_string().is_empty());
    for name in &names {
        let mut lines = Lines::new(&storage, name, None);
        while let Some(line) = lines.read().expect("memory can be read") {
            write_entry(&mut Vec::new(), line.text, false).expect("memory can be written");
        }
    }
    let mut tables = site::tables();
    let before = storage.clone();
    let (replayed, entries) = match replay_into(&storage, &mut tables) {
        Err(OpenError::Io(error)) => panic!("{error}"),
        Err(error @ (OpenError::Damaged { .. } | OpenError::NotOurs(_))) => {
            assert!(report.exit_code() > 1, "refused ({error}), but verify says\n{report}");
            return;
        }
        Ok(found) => found,
    };
    // A last line whose crc does not follow is cut, and kept in *.torn; verify may call the same
    // line worse than torn.
    let is_mended = replayed.torn_header.is_some() || replayed.tail.is_some();
    assert!(is_mended || report.exit_code() == 0, "served as it is, but verify says\n{report}");
    add_up(&entries);

    mend(&mut storage, &replayed).expect("memory can be written");
    let (again, same) = replay_into(&storage, &mut tables).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(same, entries, "the same entries after mending");
    assert!(again.tail.is_none() && again.torn_header.is_none(), "mended once is mended");
    for (name, bytes) in &before.files {
        let kept = storage.files.get(name).is_some_and(|now| bytes.starts_with(now));
        assert!(kept || replayed.torn_header.as_ref() == Some(name), "{name} was changed, not cut");
    }
    assert_is_clean(&storage);

    serve_on(storage, &mut tables, &entries);
}

fn replay_into(storage: &MemoryStorage, tables: &mut Tables) -> Result<(Replayed, Vec<Entry>), OpenError> {
    let mut server = Server::new(tables, SITES[0].rules.clone());
    let mut entries = Vec::new();
    let mut restore = Entries(|entry: &Entry| {
        server.book_to_replay().apply(entry, None).map_err(|mismatch| Refusal(mismatch.to_string()))?;
        entries.push(*entry);
        Ok(())
    });
    let replayed = replay(storage, &mut restore)?;
    assert_eq!(replayed.entries, entries.len() as u64);
    Ok((replayed, entries))
}

/// Opens, sells, and opens again.
fn serve_on(mut storage: MemoryStorage, tables: &mut Tables, entries: &[Entry]) {
    let site = &SITES[0];
    let mut effects = site::effects();
    let stamp = entries.last().map_or(NOON, |entry| entry.time);
    let mut all = Vec::new();
    for round in 0..2_u64 {
        let mut server = Server::new(tables, site.rules.clone());
        let mut count = 0;
        let mut restore = Entries(|entry: &Entry| {
            count += 1;
            server.book_to_replay().apply(entry, None).map_err(|mismatch| Refusal(mismatch.to_string()))
        });
        let opened = Ledger::open(Lent(&mut storage), "fuzz", stamp, || 0xF022, &mut restore);
        let (mut ledger, opened) = opened.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((opened.entries, opened.clean || round == 0), (count, true));
        assert_eq!(count, (entries.len() + all.len()) as u64, "everything that was written is read");
        // Accounts of the ledger and of the table may be too many: this ledger holds few.
        server.install(site.rules.clone(), &site.cards, Origin::default()).expect("the table fits");
        let now = |ms| Now { mono: Mono(ms), stamp, synchronized: false };
        let peer = Peer {
            source: SocketAddrV4::new(Ipv4Addr::new(127, 1, 0, 3), 39_192),
            local: Ipv4Addr::LOCALHOST,
            socket: 0,
        };
        server.start(&now(0), &mut effects);
        append(&mut ledger, &effects.entries, &mut all);
        effects.clear();
        for (seq, card) in (8_888_888_801_u64..).take(4).enumerate() {
            let sale = format!("105,{seq:05},0.0.0.0,0.0.0.0,00003,{card},1.00,,0,{round}{seq:07},1");
            server.hear(&now(1), peer, sale.as_bytes(), &mut effects);
            let entries = site::finish_turn(&mut server, &now(1), &mut effects);
            append(&mut ledger, &entries, &mut all);
            effects.clear();
        }
        server.stop(&now(2), &mut effects);
        append(&mut ledger, &effects.entries, &mut all);
        effects.clear();
        ledger.write().and_then(|()| ledger.sync()).expect("memory can be written");
    }
    let (replayed, read) = replay_into(&storage, tables).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read, [entries, &all].concat());
    assert!(replayed.is_clean());
    add_up(&read);
    assert_is_clean(&storage);
}

fn append(ledger: &mut Ledger<Lent<'_>>, entries: &[Entry], all: &mut Vec<Entry>) {
    for entry in entries {
        ledger.append(entry);
        all.push(*entry);
    }
}

fn assert_is_clean(storage: &MemoryStorage) {
    let names: Vec<String> = segment::list(storage).expect("names").into_iter().map(|segment| segment.name).collect();
    let report = verify(storage, &names, true, &mut || ()).expect("memory can be read");
    assert_eq!(report.exit_code(), 0, "{report}");
}

/// What moves an account says what is left, and that is the sum.
fn add_up(entries: &[Entry]) {
    let mut sums: BTreeMap<&str, (i128, i128, i64)> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.moves()) {
        let Some(account) = &entry.account else { continue };
        let (fen, subsidy, uses) = sums.entry(account).or_default();
        *fen += i128::from(entry.amount.map_or(0, Balance::fen));
        *subsidy += i128::from(entry.subsidy.map_or(0, Balance::fen));
        *uses += i64::from(entry.uses.unwrap_or(0));
        assert!(entry.balance.is_none_or(|balance| i128::from(balance.fen()) == *fen), "{entry:?}");
        assert!(entry.subsidy_left.is_none_or(|left| i128::from(left.fen()) == *subsidy), "{entry:?}");
        // Uses stop at the ends of 32 bits.
        *uses = (*uses).clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        assert!(entry.uses_left.is_none_or(|left| i64::from(left) == *uses), "{entry:?}");
    }
}

// -------------------------------------------------------------------- the recipe

/// 2026-11-22 12:00:00 +08:00.
const NOON: Stamp = Stamp { wall: Wall(1_795_320_000_000), offset_s: 8 * 3600 };

/// Makes the files.
fn bake(input: &[u8]) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    let mut name = name_of(EntrySeq(1));
    let (mut chain, mut next) = (0, 1_u64);
    begin(&mut storage, &name, 1, chain);
    let mut room = LEN_MAX;
    for step in input.split(|byte| *byte == b'\n') {
        let Some((command, rest)) = step.split_first() else { continue };
        room = room.saturating_sub(step.len() + 10);
        if room == 0 {
            break;
        }
        if *command == b'#' {
            let first = if rest.is_empty() { next } else { numbers(rest).0.max(1) };
            name = name_of(EntrySeq(first));
            begin(&mut storage, &name, first, chain);
            room = room.saturating_sub(HEADER_LEN);
            continue;
        }
        if *command == b'-' {
            let gone = segment::list(&storage).expect("names").into_iter().nth(rest.len());
            gone.map(|segment| storage.files.remove(&segment.name));
            continue;
        }
        let Some(file) = storage.files.get_mut(&name) else { continue };
        let len = file.len();
        let from_end = |distance: u64| len.saturating_sub(usize::try_from(distance).unwrap_or(usize::MAX));
        match command {
            b'~' => {
                file.extend_from_slice(rest);
                file.push(b'\n');
                chain = line::crc_column(rest).unwrap_or(chain);
            }
            b'H' => {
                let count = rest.len().min(HEADER_LEN).min(len);
                file[..count].copy_from_slice(&rest[..count]);
            }
            b'!' => file.truncate(from_end(numbers(rest).0)),
            b'0' => {
                let (distance, count) = numbers(rest);
                let start = from_end(distance);
                let end = start + usize::try_from(count).unwrap_or(0).min(ZEROS_MAX);
                file.resize(len.max(end), 0);
                file[start..end].fill(0);
                room = room.saturating_sub(end.saturating_sub(len));
            }
            b'^' => {
                let (distance, bit) = numbers(rest);
                if let Some(byte) = file.get_mut(from_end(distance)) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            _ => {
                let covered = [step, b"\t"].concat();
                chain = line::continue_crc(chain, &covered);
                file.extend_from_slice(&covered);
                file.extend_from_slice(format!("{chain:08x}\n").as_bytes());
                next += 1;
            }
        }
    }
    storage
}

fn begin(storage: &mut MemoryStorage, name: &str, first: u64, chain: u32) {
    let site = "fuzz".to_owned();
    let header =
        Header { ledger: 0xF022, parent: None, host: None, site, first: EntrySeq(first), chain, created: NOON };
    storage.files.entry(name.to_owned()).or_insert_with(|| header.emit().to_vec());
}

/// One or two numbers; what cannot be read is 0.
fn numbers(text: &[u8]) -> (u64, u64) {
    let text = String::from_utf8_lossy(text);
    let mut numbers = text.split(',').map(|digits| digits.trim().parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
