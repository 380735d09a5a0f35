//! The ledger as lines in memory, so that a replay reads the real text.

use std::collections::BTreeMap;

use posgate::engine::limits::LINE_LEN_MAX;
use posgate::engine::model::{Balance, Entry, EntrySeq, Figures, Kind};
use posgate::ledger::line;

/// Lines without their LF, and how many of them are on the medium.
#[derive(Debug, Default)]
pub struct Ledger {
    lines: Vec<Vec<u8>>,
    chain: u32,
    synced: usize,
}

impl Ledger {
    /// Writes a line, which must read back as the same entry.
    pub fn append(&mut self, entry: &Entry) -> Result<(), String> {
        let mut out = [0; LINE_LEN_MAX];
        let emitted = line::emit(entry, self.chain, &mut out);
        let text = out[..emitted.len - 1].to_vec();
        let parsed = line::parse(&text).map_err(|error| format!("entry {}: {error}", entry.seq))?;
        if parsed.entry != *entry {
            return Err(format!(
                "entry {}: the line says something else: {}",
                entry.seq,
                String::from_utf8_lossy(&text)
            ));
        }
        self.chain = emitted.crc;
        self.lines.push(text);
        Ok(())
    }

    /// Syncs: all lines are on the medium.
    pub fn sync(&mut self) {
        self.synced = self.lines.len();
    }

    /// A power cut: lines that were not synced are lost.
    pub fn lose_unsynced(&mut self) {
        self.lines.truncate(self.synced);
        self.chain = self.lines.last().map_or(0, |line| line::crc_column(line).expect("it was written with one"));
    }

    /// Every entry, read from its line.
    pub fn entries(&self) -> Result<Vec<Entry>, String> {
        let mut chain = 0;
        self.lines
            .iter()
            .map(|text| {
                if !line::follows(text, chain) {
                    return Err(format!("the crc does not follow: {}", String::from_utf8_lossy(text)));
                }
                let parsed = line::parse(text).map_err(|error| error.to_string())?;
                chain = parsed.crc;
                Ok(parsed.entry)
            })
            .collect()
    }

    /// The newest entry's number, and the sums of an account's entries.
    pub fn figures(&self, account: Option<&str>) -> Result<(EntrySeq, Option<Figures>), String> {
        let (mut head, mut sums) = (EntrySeq(0), Figures::ZERO);
        for entry in self.entries()? {
            head = entry.seq;
            if entry.account.as_deref() == account {
                sums += entry.effect();
            }
        }
        Ok((head, account.map(|_| sums)))
    }

    /// Checks that no line holds a text.
    pub fn lacks(&self, text: &str) -> Result<(), String> {
        let found = self.lines.iter().map(|line| String::from_utf8_lossy(line)).find(|line| line.contains(text));
        found.map_or(Ok(()), |line| Err(format!("it is written: {line}")))
    }

    /// Checks every ledger's invariants: the chain, the numbers, the sums, and that an account
    /// opens once, before it moves.
    pub fn check(&self) -> Result<(), String> {
        let mut sums: BTreeMap<String, Figures> = BTreeMap::new();
        let mut opened: Vec<String> = Vec::new();
        let mut head = EntrySeq(0);
        for entry in self.entries()? {
            let seq = entry.seq;
            if seq != head.next() {
                return Err(format!("entry {seq} follows {head}"));
            }
            head = seq;
            if entry.about.is_some_and(|about| about >= seq) {
                return Err(format!("entry {seq} is about a later one"));
            }
            // A rename has no card, nor has a purse that is cleared after its cards are gone.
            let is_of_account = entry.kind == Kind::Link || entry.is_clear() || entry.kind == Kind::Open;
            let is_nobodys = entry.account.is_none() || (entry.card.is_none() && !is_of_account);
            if entry.moves() && is_nobodys {
                return Err(format!("entry {seq} moves nobody's account"));
            }
            let Some(account) = entry.account.as_ref().map(ToString::to_string) else { continue };
            let sum = sums.entry(account.clone()).or_default();
            *sum += entry.effect();
            if sum.subsidy < Balance::ZERO {
                return Err(format!("entry {seq}: a subsidy purse is below zero: {sum}"));
            }
            if (Some(sum.balance), Some(sum.subsidy), Some(sum.uses))
                != (entry.balance, entry.subsidy_left, entry.uses_left)
            {
                return Err(format!("entry {seq}: the account's entries add up to {sum}"));
            }
            if let Some(from) = entry.detail.get("from").filter(|_| entry.kind == Kind::Link) {
                // All figures moved to another account, and the name is free.
                opened.retain(|account| !from.is(account));
            }
            if entry.kind == Kind::Open {
                if opened.contains(&account) {
                    return Err(format!("entry {seq} opens {account} again"));
                }
                opened.push(account);
            }
        }
        Ok(())
    }
}
