//! The naive model of names: (ledger, seq) names one entry for ever, whatever is copied, moved or
//! restored; and what a start must make of the ledger that it finds (design.md, section 9). It
//! reads headers, lines and the machine's `identity` as texts.

use std::collections::{BTreeMap, HashMap, HashSet};

use posgate::ledger::Files;

use super::disk::Disk;
use super::judge::HEADER_LEN;

/// The file that says which ledger the machine serves. It lies on the ledger's own disk, so that it
/// loses what the ledger loses; a copy of the ledger does not have it.
pub const IDENTITY: &str = "identity";

/// Entries whose names are remembered: those of the last weeks.
const NAMES_KEPT: usize = 200_000;

/// A ledger's name, an entry of it, and its crc.
type Point = (u64, u64, u32);

/// What a segment says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub ledger: u64,
    pub parent: Option<Point>,
    pub host: String,
    pub first: u64,
    pub chain: u32,
}

impl Header {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes.get(..HEADER_LEN)?).ok()?.strip_suffix('\n')?.trim_end_matches(' ');
        let mut words = text.split('\t');
        (words.next()? == "#posgate-ledger").then_some(())?;
        let words: HashMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
        Some(Self {
            ledger: u64::from_str_radix(words.get("ledger")?, 16).ok()?,
            parent: point(words.get("parent")?),
            host: (*words.get("host")?).to_owned(),
            first: words.get("first")?.parse().ok()?,
            chain: u32::from_str_radix(words.get("chain")?, 16).ok()?,
        })
    }
}

fn point(text: &str) -> Option<Point> {
    let words: Vec<&str> = text.split(':').collect();
    let [ledger, seq, crc] = words[..] else { return None };
    Some((u64::from_str_radix(ledger, 16).ok()?, seq.parse().ok()?, u32::from_str_radix(crc, 16).ok()?))
}

/// What the machine knows of its ledger: the last entry that it knows, and what that ledger
/// branched off, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    last: Point,
    parents: Vec<Point>,
}

impl Known {
    pub fn read(disk: &Disk) -> Option<Self> {
        let mut bytes = [0; 512];
        let len = disk.read_at(IDENTITY, 0, &mut bytes).ok()?;
        let text = std::str::from_utf8(&bytes[..len]).ok()?.strip_suffix('\n')?;
        let words: HashMap<&str, &str> = text.split(' ').filter_map(|word| word.split_once('=')).collect();
        let last = point(&[*words.get("ledger")?, *words.get("seq")?, *words.get("crc")?].join(":"))?;
        let parents = words.get("parents").map(|parents| parents.split(',').filter_map(point).collect());
        Some(Self { last, parents: parents.unwrap_or_default() })
    }
}

/// What lies in a directory.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    /// The newest segment's, if there is one with a header.
    newest: Option<Header>,
    /// Names with what they branched off, the newest first.
    names: Vec<(u64, Option<Point>)>,
    /// Every whole entry: by seq its ledger and crc.
    pub entries: BTreeMap<u64, (u64, u32)>,
}

impl Lineage {
    pub fn read(disk: &Disk) -> Self {
        let mut lineage = Self::default();
        for name in disk.segments() {
            let mut bytes = vec![0; usize::try_from(disk.len(&name).expect("it is there")).expect("small")];
            let is_read = disk.read_at(&name, 0, &mut bytes).is_ok();
            let Some(header) = Header::parse(&bytes).filter(|_| is_read) else { continue };
            if lineage.names.is_empty() {
                // One whose segments were all archived.
                lineage.names.extend(header.parent.map(|parent| (parent.0, None)));
            }
            if lineage.names.first().is_none_or(|(known, _)| *known != header.ledger) {
                lineage.names.insert(0, (header.ledger, header.parent));
            }
            let mut crc = header.chain;
            for line in bytes[HEADER_LEN..].split_inclusive(|byte| *byte == b'\n') {
                let Some(next) = crc_of(line, crc) else { break };
                let seq = line.split(|byte| *byte == b'\t').next().and_then(|seq| std::str::from_utf8(seq).ok());
                lineage.entries.insert(seq.and_then(|seq| seq.parse().ok()).expect("a seq"), (header.ledger, next));
                crc = next;
            }
            lineage.newest = Some(header);
        }
        lineage
    }

    /// The last entry here that is of a ledger of this name.
    fn last_of(&self, name: u64) -> Option<u64> {
        let place = self.names.iter().position(|(known, _)| *known == name)?;
        match place.checked_sub(1).map(|child| self.names[child].1) {
            Some(parent) => parent.map(|parent| parent.1),
            None => {
                let before = self.newest.as_ref().map_or(0, |newest| newest.first - 1);
                Some(self.entries.last_key_value().map_or(0, |(seq, _)| *seq).max(before))
            }
        }
    }

    /// The first entry of a ledger up to this one that is not here.
    fn first_missing(&self, (ledger, seq, crc): Point) -> Option<u64> {
        let last = self.last_of(ledger)?;
        if last < seq {
            return Some(last + 1);
        }
        let is_other = self.entries.get(&seq).is_some_and(|(_, here)| *here != crc);
        is_other.then_some(seq)
    }

    /// What a start must do.
    pub fn fate(&self, known: Option<&Known>, host: &str) -> Fate {
        let Some(newest) = &self.newest else { return known.map_or(Fate::Begin, |_| Fate::Refuse) };
        let is_moved = newest.host != host;
        let moved = if is_moved { Fate::Branch("moved", None) } else { Fate::Serve };
        let Some(Known { last, parents }) = known else { return moved };
        if self.last_of(last.0).is_some() {
            return self.first_missing(*last).map_or(moved, |first| Fate::Branch("rolled-back", Some((first, last.1))));
        }
        let Some(parent) = parents.iter().find(|parent| self.last_of(parent.0).is_some()) else { return Fate::Refuse };
        let first = self.first_missing(*parent).unwrap_or(parent.1 + 1);
        Fate::Branch("rolled-back", Some((first, last.1.max(first))))
    }
}

/// What a start does with what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Begin,
    Serve,
    /// It goes on under another name: why, and which entries are gone.
    Branch(&'static str, Option<(u64, u64)>),
    Refuse,
}

/// The crc of a line that follows an entry of this crc, if it is whole.
fn crc_of(line: &[u8], before: u32) -> Option<u32> {
    let text = line.strip_suffix(b"\n")?;
    let (body, said) = text.split_at_checked(text.len().checked_sub(8)?)?;
    let mut hasher = crc32fast::Hasher::new_with_initial(before);
    hasher.update(body);
    let crc = hasher.finalize();
    (said == format!("{crc:08x}").as_bytes()).then_some(crc)
}

/// The names of all entries that were ever durable, on whatever machine.
#[derive(Clone, Debug, Default)]
pub struct Names {
    crcs: BTreeMap<(u64, u64), u32>,
    ledgers: HashSet<u64>,
}

impl Names {
    /// An entry is durable.
    pub fn give(&mut self, ledger: u64, seq: u64, crc: u32) {
        self.ledgers.insert(ledger);
        let before = self.crcs.insert((ledger, seq), crc);
        assert!(before.is_none_or(|before| before == crc), "two entries have one name: {ledger:016x} {seq}");
    }

    /// Whether a ledger of this name was ever seen.
    pub fn has(&self, ledger: u64) -> bool {
        self.ledgers.contains(&ledger)
    }

    /// Nothing tells that these are gone: their names are given again.
    pub fn lose_after(&mut self, ledger: u64, seq: u64) {
        self.crcs.retain(|(known, number), _| *known != ledger || *number <= seq);
    }

    pub fn forget(&mut self) {
        while self.crcs.len() > NAMES_KEPT {
            self.crcs.pop_first();
        }
    }
}
