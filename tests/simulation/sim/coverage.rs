//! What a run reached: a simulator that is quiet because nothing happened must not pass for a good
//! one.

use std::collections::BTreeMap;

use posgate::engine::server::Counters;

/// Counts by name: `fault …` was done to the server, `branch …` was taken by it, `device …` was
/// done by a device.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
    /// The server's own counters.
    counters: BTreeMap<&'static str, u64>,
}

/// What a long run must have reached; a name that is counted and stands not here is printed all the
/// same.
pub const WANTED: &[&str] = &[
    "fault net lost 001",
    "fault net lost 008",
    "fault net lost 011",
    "fault net lost 050",
    "fault net lost 103",
    "fault net lost 105",
    "fault net lost 109",
    "fault net lost in a cut",
    "fault net doubled 109",
    "fault net late 109",
    "fault net reordered",
    "fault net forged 109",
    "fault net unknown code",
    "fault net flood of one source",
    "fault net stored sales of many at once",
    "fault net a device moved to another address",
    "fault net two devices changed addresses",
    "fault net a device got an address that another had",
    "fault an older copy of the ledger was restored",
    "fault an older copy was restored at another machine",
    "fault the ledger was copied, and sold on at two machines",
    "fault more than 1,024 machine numbers",
    "fault net doubled",
    "fault net late",
    "fault net cut off",
    "fault net held back until its terminal booked it",
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
    "fault kill in a turn of many frames",
    "fault disk EIO in a write",
    "fault disk EIO in a sync",
    "fault disk ENOSPC once",
    "fault disk ENOSPC at a sync",
    "fault disk filled up",
    "fault disk filled up to the reserve",
    "fault disk full, and says that it is not",
    "fault disk full for a while",
    "fault disk short write",
    "fault disk without links",
    "fault archive cut short",
    "fault power during archive",
    "fault disk EROFS",
    "fault disk slow at a sync",
    "fault disk cannot be read",
    "fault disk bit flipped",
    "fault amid a clear of every subsidy",
    "fault power of the server",
    "fault power during start",
    "fault medium lost all unsynced",
    "fault medium kept all unsynced",
    "fault medium torn at a byte",
    "fault medium pages out of order",
    "fault medium zero tail",
    "fault medium files out of order",
    "fault medium name lost",
    "fault medium page lost by a failed sync",
    "fault clock 1970 at boot",
    "fault clock newest file at boot",
    "fault clock stepped back",
    "fault clock stepped back by NTP",
    "fault clock stepped ahead by NTP",
    "fault clock stepped ahead",
    "fault clock years off",
    "fault power of a device",
    "fault configuration cut at a start",
    "fault card table cut at a start",
    "fault device clock off",
    "operator stop and start",
    "operator reload taken",
    "operator reload that loses cards refused",
    "operator reload refused while every subsidy is cleared",
    "operator bad configuration refused",
    "operator bad card table refused",
    "operator quarantine begun or ended",
    "operator archive of a segment",
    "operator archive refused",
    "operator verify beside the server",
    "operator repair of a copy",
    "operator topup",
    "operator subsidy",
    "operator subsidy cleared",
    "operator every subsidy cleared",
    "operator clear of an empty purse",
    "operator order refused while every subsidy is cleared",
    "operator void of a subsidy that was cleared since refused",
    "operator payout",
    "operator adjust",
    "operator void",
    "operator void of an amount",
    "operator card lost",
    "operator card frozen",
    "operator card closed",
    "operator card found or unfrozen",
    "operator card replaced",
    "operator card put on another account",
    "operator account renamed",
    "operator name of an account refused",
    "operator account that is there already refused",
    "operator new card comes into the table",
    "operator door opened",
    "operator clocks set",
    "operator text shown",
    "operator card asked for",
    "operator list asked for",
    "operator sync",
    "operator copy of the ledger",
    "operator older copy acknowledged",
    "operator branch",
    "operator device registered",
    "operator device registered no more",
    "operator order tried dry",
    "operator payout of all",
    "operator found for unfreeze refused",
    "operator line that is no order refused",
    "operator clock accepted",
    "operator row of a file",
    "operator file given whole",
    "operator file refused whole",
    "operator file cut, and run again",
    "operator file saved again, and given again",
    "operator row of a file again",
    "operator same key again",
    "operator same key again after a restart",
    "operator answer lost, and asked again",
    "operator order lost in a cut",
    "operator order refused, for want of room",
    "operator key of another order refused",
    "operator row that was another refused",
    "operator void of nothing left refused",
    "operator void of more than left refused",
    "operator void of no sale refused",
    "operator payout of more than there is refused",
    "operator order for a replaced card refused",
    "operator order for an unknown card refused",
    "operator order for a device not seen refused",
    "operator found, but the table says lost: refused",
    "operator credit for a closed card refused",
    "operator used new card refused",
    "branch void of a sale in doubt",
    "branch void of an offline sale",
    "branch sale of a card that follows another",
    "branch refused: the ledger's word on the card",
    "device door opened unasked",
    "device text shown unasked",
    "site of 200 devices and more",
    "site with registered devices",
    "site in quarantine",
    "site that hears its own addresses only",
    "device that never sends a 109",
    "device 109 never sent",
    "device seq began anew",
    "device seq wrapped",
    "device frame sent again",
    "device frame sent a third time",
    "device heard no 001",
    "device record dropped after more than one upload",
    "device approval shown",
    "device refusal shown",
    "device balance shown",
    "device gave up",
    "device booked offline",
    "device booked two alike",
    "device tried again under a new seq",
    "device code shown again",
    "device record dropped",
    "device record sent again",
    "device record with invalid time",
    "device record unreadable",
    "device 109 sent",
    "device clock set",
    "device clock dead",
    "device clock stuck",
    "device clock fast",
    "device clock slow",
    "device record addresses began anew",
    "device same sale as before",
    "device frame that looks like another sale's",
    "device door opened",
    "device door refused",
    "branch open",
    "branch charge",
    "branch meal",
    "branch second meal",
    "branch meal of a day off",
    "branch scan",
    "branch offline",
    "branch offline claimed",
    "branch device time past",
    "branch device time ahead",
    "branch device time invalid",
    "branch offline of an unknown card",
    "branch repeat",
    "branch matched 103",
    "branch matched 105",
    "branch decline",
    "branch refusal that is just",
    "ladder yes",
    "ladder group",
    "ladder period",
    "ladder period-uses",
    "ladder charge-max",
    "ladder day-max",
    "ladder expired",
    "ladder uses",
    "ladder balance",
    "ladder status",
    "ladder of a stored sale says no",
    "door ladder yes",
    "door ladder card",
    "door ladder no-door",
    "door ladder door-group",
    "door ladder door-time",
    "door ladder pin",
    "door ladder passback",
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
    "branch topup",
    "branch subsidy",
    "branch subsidy of one cleared",
    "branch subsidy cleared with every other",
    "branch clear of every subsidy begun",
    "branch clear of every subsidy ended",
    "branch clear of every subsidy gone on with after a start",
    "branch void of a top-up",
    "branch void of a subsidy",
    "branch void that gives subsidy back",
    "branch void of what a clear took since",
    "purse cash pays",
    "purse subsidy pays",
    "purse both pay",
    "purse cash pays where subsidy may not",
    "branch payout",
    "branch adjust",
    "branch void",
    "branch link",
    "branch status",
    "branch remote",
    "branch start",
    "branch stop",
    "branch reload",
    "branch clock unset",
    "branch resent result",
    "branch door too late after a slow sync",
    "branch turn with only the reserve left",
    "branch entry of the reserve",
    "branch start without entries",
    "branch start from the good configuration",
    "branch start from the good card table",
    "branch ledger went on under another name",
    "branch an older copy was told",
    "branch a ledger of another machine was told",
    "branch a copy at another machine went on under another name",
    "branch start from what may not be on the medium",
    "branch room found again, and left for the next start",
    "allowed: a door opened without an entry",
    "branch turn of many frames",
    "branch frame decided after the live requests",
    "branch tail cut",
    "branch tail written again in pieces",
    "branch header set aside",
    "branch flip refused",
    "branch flip in the tail cut",
    "branch flip in the snapshot not believed",
    "branch flip in the one snapshot refused",
    "branch flip in an old segment seen by verify",
    "branch live state equals replayed",
    "branch start from the snapshot equals one from the whole ledger",
];

/// What can go wrong in the world and does not in this one, so that nobody takes it for proven.
pub const NOT_SIMULATED: &[&str] = &[
    "no room, at the next start, for writing again what a failed sync lost",
    "what was synced and is spoiled later, other than a bit flipped in a copy that is looked at and thrown away",
    "a medium that lies about a sync",
    "a datagram other than a sale's frame that comes more than 8 s late, or from before its device's power cut",
    "a forger who takes a device's own address: nothing tells his frames from the device's",
    "a 011 that comes when its record's address was used again: nothing tells it from the new record's",
    "a board whose readers ask at the same time",
    "two sales of one device with equal card, amount and time: nothing tells them from one",
    "a device without a serial whose address changes: to the server it is another one",
    "`ctl status` and `ctl reload` as lines, which the loop answers: tests/control has them",
    "IP_PKTINFO, several sockets, signals, locks and real files: tests/serve and tests/crash have these",
];

impl Coverage {
    pub fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            *self.counts.entry(name).or_default() += count;
        }
        for (name, count) in &other.counters {
            *self.counters.entry(name).or_default() += count;
        }
    }

    /// A process ended with these.
    pub fn add_counters(&mut self, counters: &Counters) {
        for (name, count) in counters.all() {
            *self.counters.entry(name).or_default() += count;
        }
    }

    /// What was unjust, of so many sales.
    pub fn unjust(&self, sales: u64) -> Unjust<'_> {
        Unjust { coverage: self, sales }
    }

    fn of(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// What of [`WANTED`] and of the server's counters was not reached.
    pub fn missing(&self) -> Vec<&'static str> {
        let wanted = WANTED.iter().copied().filter(|name| self.of(name) == 0);
        wanted.chain(self.counters.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name)).collect()
    }
}

/// What happened to people that was not just, though nobody in the server's place could have known
/// better.
pub const UNJUST: &[(&str, &str)] = &[
    ("free meals", "allowed: a free meal, "),
    ("charged twice", "allowed: a sale charged "),
    ("left to a person", "allowed: a sale left to a person, "),
];

/// The table of what was unjust.
pub struct Unjust<'a> {
    coverage: &'a Coverage,
    sales: u64,
}

impl std::fmt::Display for Unjust<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let per_million = |count: u64| count.saturating_mul(1_000_000).div_ceil(self.sales.max(1));
        writeln!(f, "unjust, of {} sales, and by million:", self.sales)?;
        for (name, prefix) in UNJUST {
            let reasons: Vec<_> =
                self.coverage.counts.iter().filter(|(reason, _)| reason.starts_with(prefix)).collect();
            let count: u64 = reasons.iter().map(|(_, count)| **count).sum();
            writeln!(f, "  {count:>8} {:>8}  {name}", per_million(count))?;
            for (reason, count) in reasons {
                writeln!(f, "  {count:>8} {:>8}    {}", per_million(*count), &reason[prefix.len()..])?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, count) in &self.counts {
            writeln!(f, "  {count:>10}  {name}")?;
        }
        for (name, count) in &self.counters {
            writeln!(f, "  {count:>10}  counter {name}")?;
        }
        for name in self.missing() {
            writeln!(f, "  not reached: {name}")?;
        }
        for name in NOT_SIMULATED {
            writeln!(f, "  not simulated: {name}")?;
        }
        Ok(())
    }
}
