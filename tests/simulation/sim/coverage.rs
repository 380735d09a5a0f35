//! What a run reached: a simulator that is quiet because nothing happened must not pass for a good one.

use std::collections::BTreeMap;

/// Counts by name: `fault …` was done to the server, `branch …` was taken by it, `device …` was done by a device.
#[derive(Clone, Debug, Default)]
pub struct Coverage(BTreeMap<&'static str, u64>);

/// What a long run must have reached; a name that is counted and stands not here is printed all the same.
pub const WANTED: &[&str] = &[
    "fault net lost",
    "fault net doubled",
    "fault net late",
    "fault net cut off",
    "fault net garbage",
    "fault net forged",
    "fault net oversize",
    "fault net replayed door",
    "fault second device under one number",
    "fault kill before the write",
    "fault kill in the write",
    "fault kill at the sync",
    "fault kill after the sync",
    "fault kill amid the results",
    "fault kill between turns",
    "fault kill during start",
    "fault disk EIO in a write",
    "fault disk EIO in a sync",
    "fault disk ENOSPC",
    "fault disk EROFS",
    "fault disk cannot be read",
    "fault disk bit flipped",
    "fault power of the server",
    "fault power during start",
    "fault medium lost all unsynced",
    "fault medium kept all unsynced",
    "fault medium torn at a byte",
    "fault medium pages out of order",
    "fault medium zero tail",
    "fault medium name lost",
    "fault medium page lost by a failed sync",
    "fault clock 1970 at boot",
    "fault clock newest file at boot",
    "fault clock stepped back",
    "fault clock stepped ahead",
    "fault clock years off",
    "fault power of a device",
    "fault device clock off",
    "fault device clock dead",
    "operator stop and start",
    "operator reload taken",
    "operator reload refused",
    "device approval shown",
    "device refusal shown",
    "device balance shown",
    "device gave up",
    "device booked offline",
    "device booked two alike",
    "device tried again under a new seq",
    "device record dropped",
    "device record sent again",
    "device record with invalid time",
    "device record unreadable",
    "device 109 sent",
    "device clock set",
    "device door opened",
    "device door refused",
    "branch open",
    "branch charge",
    "branch meal",
    "branch scan",
    "branch offline",
    "branch offline claimed",
    "branch offline of an unknown card",
    "branch repeat",
    "branch matched 103",
    "branch matched 105",
    "branch decline",
    "branch confirm",
    "branch unconfirmed",
    "branch admit",
    "branch refuse",
    "branch alarm duress",
    "branch alarm replay",
    "branch alarm machine-clash",
    "branch keys",
    "branch boot",
    "branch clock",
    "branch start",
    "branch stop",
    "branch reload",
    "branch clock unset",
    "branch resent result",
    "branch frame answered again",
    "branch turn of many frames",
    "branch tail cut",
    "branch header set aside",
    "branch flip refused",
    "branch live state equals replayed",
];

impl Coverage {
    pub fn count(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name).or_default() += count;
        }
    }

    fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// What of [`WANTED`] was not reached.
    pub fn missing(&self) -> Vec<&'static str> {
        WANTED.iter().copied().filter(|name| self.of(name) == 0).collect()
    }
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, count) in &self.0 {
            writeln!(f, "  {count:>10}  {name}")?;
        }
        for name in self.missing() {
            writeln!(f, "           0  {name}: NOT REACHED")?;
        }
        Ok(())
    }
}
