//! The naive model of the operator's orders: what was asked under which key, what the durable
//! ledger says was done, and what follows of it for cards and sales. It reads entries as texts and
//! shares no code with the book.

use std::collections::{BTreeMap, BTreeSet};

use posgate::engine::limits::LINKS_MAX;
use posgate::engine::model::{Act, EntrySeq, Key, Subject, Way};

use super::aging::{Aging, Map};
use super::judge::{Admission, Line, fen, number};
use super::lines;
use super::purses::Purses;
use super::site::{Card, Site};

/// By strictness.
pub const STATUSES: [&str; 4] = ["active", "frozen", "lost", "closed"];
pub const FROZEN: usize = 1;
pub const LOST: usize = 2;
const CLOSED: usize = 3;

/// What stands on a card, by strictness; the first place is never used.
type Standing = [bool; 4];

/// An order's word on a card: what it sets, or ends.
fn meaning(word: &str) -> (usize, bool) {
    match word {
        "frozen" => (FROZEN, true),
        "unfrozen" => (FROZEN, false),
        "lost" => (LOST, true),
        "found" => (LOST, false),
        "closed" => (CLOSED, true),
        other => panic!("a status that nobody orders: {other}"),
    }
}

/// Sales of which voids are judged: of older ones the operator asks no more.
const SALES_KEPT: usize = 3000;

/// A sale that is booked.
#[derive(Clone, Debug)]
pub struct Sold {
    pub kind: String,
    pub card: u64,
    account: String,
    taken: Purses,
    day: String,
    period: String,
    /// It was in count mode.
    is_meal: bool,
    /// Given back, or for ever gone with a clear.
    voided: Purses,
    is_whole: bool,
}

impl Sold {
    /// What may still be given back of it.
    pub fn left(&self) -> i64 {
        self.taken.money() - self.voided.money()
    }
}

/// A top-up or a subsidy.
#[derive(Clone, Debug)]
pub struct Credit {
    is_subsidy: bool,
    card: u64,
    account: String,
    given: Purses,
    taken_back: i64,
    is_whole: bool,
}

impl Credit {
    /// What may still be taken back of it.
    pub fn left(&self) -> i64 {
        self.given.money() - self.taken_back
    }
}

/// A clear of all subsidy purses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clearing {
    pub begin: u64,
    /// The process in which it began.
    process: u64,
    pub accounts: u32,
    pub sum: i64,
    /// Its last entry.
    pub end: Option<u64>,
}

/// What a void undid: cash, subsidy, what a clear has taken since, and what is left.
pub type Undone = [i64; 4];

/// An order's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub seq: u64,
    /// What it says was done.
    pub what: String,
    /// What it says the account held then.
    pub figures: Option<Purses>,
    pub undone: Option<Undone>,
}

/// What an order's entry says of its account: a word on a card moves none, and says it in `left=`.
fn told(line: &Line) -> Option<Purses> {
    match line.word("left") {
        Some(left) => Purses::parse(left),
        None => Some(Purses::after(line)),
    }
}

fn undone(line: &Line) -> Option<Undone> {
    let Purses { cash, subsidy, .. } = Purses::moved(line);
    let word = |key| line.word(key).map_or(0, fen);
    (line.column(4) == "void").then(|| [cash, subsidy, word("cleared"), word("rest")])
}

#[derive(Clone, Default)]
pub struct Orders {
    /// What was asked under a key: a refused order leaves its key free for another one.
    asked: Aging<String, Vec<String>>,
    made: Aging<String, Made>,
    /// How often a card or an account stands in a file, as whoever wrote it meant it, and how often
    /// it was done.
    meant: Aging<String, u32>,
    paid: Aging<String, u32>,
    standing: Map<u64, Standing>,
    was: Map<u64, u64>,
    heirs: Map<u64, u64>,
    /// The account that a card is on, since it moved money.
    moved: BTreeMap<u64, String>,
    /// Which purse went where, and at which entry.
    gone: Vec<(u64, String, String)>,
    /// Accounts that hold, or held, somebody's money: whoever is on them.
    held: BTreeSet<String>,
    pub sales: BTreeMap<u64, Sold>,
    pub credits: BTreeMap<u64, Credit>,
    /// The last clear of all subsidy purses.
    pub clearing: Option<Clearing>,
    /// When the subsidy purse of an account was emptied.
    cleared: BTreeMap<String, Vec<u64>>,
    /// Whether the rows of a file named accounts.
    by_account: BTreeMap<String, bool>,
    /// The newest durable entry.
    head: u64,
    /// The newest sale of which nothing is known here any more.
    forgotten: u64,
    /// Doors opened by hand.
    pub remotes: Aging<String, Admission>,
}

impl Orders {
    /// The operator asks this under this key.
    pub fn expect(&mut self, key: &str, act: &Act) {
        let what = what_of(act);
        let asked = self.asked.of(key.to_owned());
        if !asked.contains(&what) {
            asked.push(what);
        }
    }

    /// The durable entry of a key.
    pub fn made(&self, key: &str) -> Option<&Made> {
        self.made.get(key)
    }

    /// Somebody writes a file in which the card or account stands so often: one that is sorted,
    /// saved in another way or cut short means nothing more.
    pub fn mean(&mut self, command: &str, name: &str, subject: &str, rows: u32) {
        let meant = self.meant.of(in_file(command, name, subject));
        *meant = rows.max(*meant);
    }

    /// An older copy of the ledger is in its place: what was asked and meant stays.
    pub fn roll_back(&mut self, now: Self) {
        (self.asked, self.meant) = (now.asked, now.meant);
    }

    pub fn forget(&mut self) {
        self.asked.turn();
        self.made.turn();
        self.meant.turn();
        self.paid.turn();
        self.remotes.turn();
    }

    /// The strictest of what stands on a card by the ledger.
    pub fn status(&self, card: u64) -> usize {
        self.standing_of(card).iter().rposition(|stands| *stands).unwrap_or(0)
    }

    pub fn standing_of(&self, card: u64) -> Standing {
        self.standing.get(&card).copied().unwrap_or_default()
    }

    fn stand(&mut self, card: u64, status: usize, stands: bool) {
        let mut standing = self.standing_of(card);
        standing[status] = stands;
        self.standing.insert(card, standing);
    }

    pub fn heir(&self, card: u64) -> Option<u64> {
        self.heirs.get(&card).copied()
    }

    /// The cards that this one replaced, the newest first.
    fn replaced_by(&self, card: u64) -> Vec<u64> {
        let before = |card: &u64| self.heirs.iter().find(|(_, heir)| *heir == card).map(|(old, _)| *old);
        std::iter::successors(before(&card), before).take(64).collect()
    }

    /// Cards that the operator said something of.
    pub fn marked(&self) -> Vec<u64> {
        let stopped = self.standing.keys().filter(|card| self.status(**card) > 0 && !self.heirs.contains_key(card));
        let mut marked: Vec<u64> = stopped.copied().collect();
        marked.sort_unstable();
        marked
    }

    /// Cards that follow others, and that the table does not have.
    pub fn followers(&self, site: &Site) -> Vec<u64> {
        let mut followers: Vec<u64> = self.was.keys().copied().filter(|card| site.find(*card).is_none()).collect();
        followers.sort_unstable();
        followers
    }

    /// The card that carries on the account now.
    pub fn newest(&self, card: u64) -> u64 {
        self.line_of(card).last().unwrap_or(card)
    }

    /// A card and those that carry its days on, in order; a card that was replaced oftener than
    /// anybody loses one counts no more.
    pub fn carriers(&self, card: u64) -> impl Iterator<Item = u64> {
        self.line_of(card).take(LINKS_MAX + 1)
    }

    /// A card and all that came after it.
    fn line_of(&self, card: u64) -> impl Iterator<Item = u64> {
        std::iter::successors(Some(card), |card| self.heir(*card))
    }

    /// The row whose limits hold for a card: its own, else the nearest of those it follows.
    pub fn terms<'a>(&self, card: u64, site: &'a Site) -> Option<&'a Card> {
        std::iter::successors(Some(card), |card| self.was.get(card).copied()).find_map(|card| site.find(card))
    }

    /// What stops a card: the stricter of the table's word on it and the ledger's.
    pub fn stopped(&self, card: u64, site: &Site) -> usize {
        self.table_rank(card, site).max(self.status(card))
    }

    /// The table's word: a holder who is frozen is so with a card that the table does not have yet.
    fn table_rank(&self, card: u64, site: &Site) -> usize {
        match (site.find(card), self.terms(card, site).map(rank)) {
            (Some(row), _) => rank(row),
            (None, Some(FROZEN)) => FROZEN,
            (None, _) => 0,
        }
    }

    /// The account that a card moves: once it moved money the ledger's, else the table's.
    pub fn account(&self, card: u64, site: &Site) -> Option<String> {
        let row = || site.find(card).map(|row| row.account.clone());
        self.moved.get(&card).cloned().or_else(row)
    }

    /// The account that paid a sale, or that got a credit, as it is named today.
    pub fn purse_of(&self, entry: u64) -> Option<String> {
        let sold = self.sales.get(&entry).map(|sold| &sold.account);
        let account = sold.or_else(|| self.credits.get(&entry).map(|credit| &credit.account))?;
        Some(self.purse(account, entry))
    }

    /// Whether all subsidy purses are being emptied.
    pub fn is_clearing(&self) -> bool {
        self.clearing.is_some_and(|clearing| clearing.end.is_none())
    }

    /// Whether the subsidy that an account held at an entry is gone: a clear has emptied the purse
    /// since, under whatever name, or a clear of all has found it empty or will.
    fn is_cleared(&self, account: &str, since: u64) -> bool {
        if self.clearing.is_some_and(|clearing| clearing.end.is_none_or(|end| since < end)) {
            return true;
        }
        let (mut name, mut since) = (account, since);
        loop {
            let gone = self.gone.iter().find(|(seq, from, _)| *seq > since && from == name);
            let until = gone.map_or(u64::MAX, |(seq, ..)| *seq);
            let cleared = self.cleared.get(name).into_iter().flatten();
            if cleared.into_iter().any(|seq| (since..until).contains(seq)) {
                return true;
            }
            let Some((seq, _, to)) = gone else { return false };
            (name, since) = (to, *seq);
        }
    }

    /// The cards of the table on an account.
    fn cards_of(&self, account: &str, site: &Site) -> Vec<u64> {
        let numbers = site.cards.iter().map(|card| card.number);
        numbers.filter(|card| self.account(*card, site).is_some_and(|own| own == account)).collect()
    }

    /// What became of an account after an entry: names change, and a card's own account may go
    /// where the card goes.
    fn purse(&self, account: &str, since: u64) -> String {
        let mut name = account.to_owned();
        for (_, _, to) in self.gone.iter().filter(|(seq, ..)| *seq > since).fold(
            Vec::new(),
            |mut path: Vec<&(u64, String, String)>, gone| {
                if gone.1 == path.last().map_or(account, |last| last.2.as_str()) {
                    path.push(gone);
                }
                path
            },
        ) {
            name.clone_from(to);
        }
        name
    }

    /// Whether anybody is on an account, or its money is there.
    fn is_somebodys(&self, account: &str, site: &Site) -> bool {
        self.held.contains(account)
            || site.cards.iter().any(|card| card.account == account && !self.moved.contains_key(&card.number))
    }

    /// Takes note of a link that puts a card or a purse on another account.
    fn take_account(&mut self, line: &Line, text: &str, seq: u64, site: &Site) {
        let to = line.column(9).to_owned();
        let Some(from) = line.word("from").map(str::to_owned) else {
            self.moved.insert(number(line.column(8)), to);
            return;
        };
        let is_purse = line.column(8).is_empty() || from.starts_with('@');
        if is_purse {
            for own in self.moved.values_mut().filter(|own| **own == from) {
                own.clone_from(&to);
            }
            self.gone.push((seq, from.clone(), to.clone()));
            self.held.remove(&from);
            self.held.insert(to.clone());
        }
        if !line.column(8).is_empty() {
            let card = number(line.column(8));
            assert!(
                self.account(card, site).is_none_or(|own| own == from || own == to),
                "from another account: {text}"
            );
            // Those that it replaced are the same holder's.
            for old in std::iter::successors(Some(card), |card| self.was.get(card).copied()).collect::<Vec<_>>() {
                self.moved.insert(old, to.clone());
            }
        }
    }

    // ---------------------------------------------------------------- the ledger says

    /// Takes note of an entry. It gives the key, if an order led to it.
    pub fn take(&mut self, line: &Line, text: &str, site: &Site, seq: u64, at: Admission) -> Option<String> {
        self.head = seq;
        let kind = line.column(4);
        let card = number(line.column(8));
        let moves = matches!(
            kind,
            "open" | "charge" | "meal" | "scan" | "topup" | "subsidy" | "payout" | "adjust" | "void" | "link"
        ) || (kind == "offline" && line.word("claimed").is_none());
        // Those that begin and end a clear of all purses are of nobody.
        if moves && !line.column(9).is_empty() {
            let account = line.column(9).to_owned();
            self.held.insert(account.clone());
            // Before a card comes to an account, that one is opened.
            let is_elsewhere = matches!(kind, "link" | "void" | "open");
            // A purse that is cleared with all others may have no card.
            let has_card = !line.column(8).is_empty() || kind == "link";
            let expected = if is_elsewhere || !has_card { None } else { self.account(card, site) };
            assert!(expected.is_none_or(|expected| expected == account), "another account than its card's: {text}");
            if has_card && card > 0 && (kind != "link" || line.word("was").is_none()) {
                self.moved.entry(card).or_insert(account);
            }
        }
        if kind == "link" && line.word("was").is_none() && line.word("to").is_none() {
            self.take_account(line, text, seq, site);
        }
        if matches!(kind, "charge" | "meal" | "scan" | "offline") && line.word("claimed").is_none() {
            self.sales.insert(
                seq,
                Sold {
                    kind: kind.to_owned(),
                    card,
                    account: line.column(9).to_owned(),
                    taken: -Purses::moved(line),
                    day: line.word("day").unwrap_or("").to_owned(),
                    period: line.word("period").unwrap_or("").to_owned(),
                    is_meal: kind == "meal" || (kind == "offline" && line.word("mode") == Some("1")),
                    voided: Purses::default(),
                    is_whole: false,
                },
            );
            if self.sales.len() > SALES_KEPT
                && let Some((seq, _)) = self.sales.pop_first()
            {
                self.forgotten = seq;
                self.credits = self.credits.split_off(&seq);
            }
        }
        self.take_credit(line, seq);
        self.take_clear(line, text, seq, at.process);
        let what = what_of_entry(line)?;
        let is_held_off = matches!(kind, "subsidy") && line.word("clear") != Some("all");
        let is_held_off = is_held_off || what.contains(" account ") || what.contains(" name ");
        assert!(!(is_held_off && self.is_clearing()), "while every subsidy is cleared: {text}");
        let key = match (line.word("for"), line.word("key")) {
            (Some(name), None) => self.take_row(line, &name.replace("%3D", "="), text),
            (None, Some(key)) => key.to_owned(),
            (Some(_), Some(_)) | (None, None) => panic!("an order has one name: {text}"),
        };
        assert_eq!(line.word("by"), Some("desk"), "who ordered it: {text}");
        let asked = self.asked.get(&key).unwrap_or_else(|| panic!("nobody ordered this: {text}"));
        assert!(asked.contains(&what), "another order than was given: {text}\ngiven: {asked:?}");
        let before = self.made.insert(key.clone(), Made { seq, what, figures: told(line), undone: undone(line) });
        assert!(before.is_none(), "done twice under one key: {text}\nbefore: {before:?}");
        match kind {
            "void" => self.take_void(line, text),
            "status" => {
                let (status, stands) = meaning(line.word("status").expect("a status says which"));
                assert!(!self.standing_of(card)[CLOSED] || status == CLOSED, "a closed card was changed: {text}");
                self.stand(card, status, stands);
            }
            "link" if line.word("was").is_none() => (),
            "link" => {
                let old = number(line.word("was").expect("a link says of which card"));
                assert_eq!(Some(line.column(9).to_owned()), self.account(old, site), "another account: {text}");
                assert!(self.heirs.insert(old, card).is_none(), "replaced twice: {text}");
                let is_frozen = self.standing_of(old)[FROZEN] || self.table_rank(old, site) == FROZEN;
                assert_eq!(line.word("status") == Some("frozen"), is_frozen, "the holder is frozen, or not: {text}");
                assert!(self.stopped(old, site) < CLOSED, "a closed card was replaced: {text}");
                self.stand(old, CLOSED, true);
                if is_frozen {
                    self.stand(card, FROZEN, true);
                }
                self.was.insert(card, old);
                self.moved.insert(card, line.column(9).to_owned());
                // What a terminal books late for it is its holder's, also where it never moved
                // money.
                self.moved.entry(old).or_insert_with(|| line.column(9).to_owned());
            }
            "payout" => {
                let (balance, uses) = (fen(line.column(13)), line.column(15).parse::<i64>().unwrap_or(0));
                let is_over = (fen(line.column(10)) < 0 && balance < 0) || (line.column(12) != "0" && uses < 0);
                assert!(!is_over, "more was paid out than there is: {text}");
            }
            "remote" => {
                self.remotes.insert(key.clone(), at);
            }
            _ => (),
        }
        Some(key)
    }

    /// A row of a file was done: never oftener than its card or account stands in the file.
    fn take_row(&mut self, line: &Line, name: &str, text: &str) -> String {
        let command = match line.word("clear") {
            Some("all") => "clear-all",
            Some(_) => "clear",
            None if line.column(4) == "status" => line.word("status").expect("a status says which"),
            None => line.column(4),
        };
        let subject = if command == "clear-all" { String::new() } else { subject_of(line) };
        if !matches!(line.column(4), "status") && command != "clear-all" {
            let is_by_account = line.word("via").is_some();
            let first = *self.by_account.entry(format!("{command}/{name}")).or_insert(is_by_account);
            assert_eq!(first, is_by_account, "a file by card, or by account: {text}");
        }
        let file = in_file(command, name, &subject);
        let nth: u32 = line.word("nth").map_or(1, |nth| nth.parse().expect("a count"));
        let paid = self.paid.of(file.clone());
        *paid += 1;
        let meant = self.meant.get(&file).copied().unwrap_or(0);
        assert!(*paid <= meant, "done {paid} times, and meant {meant} times: {text}");
        format!("{file}/{nth}")
    }

    /// A top-up or a subsidy, which may be voided.
    fn take_credit(&mut self, line: &Line, seq: u64) {
        if matches!(line.column(4), "topup" | "subsidy") && line.word("clear").is_none() {
            let credit = Credit {
                is_subsidy: line.column(4) == "subsidy",
                card: number(line.column(8)),
                account: line.column(9).to_owned(),
                given: Purses::moved(line),
                taken_back: 0,
                is_whole: false,
            };
            self.credits.insert(seq, credit);
        }
    }

    /// One subsidy purse is emptied, or all of them begin to be, or are; nothing gets into one in
    /// the meantime.
    fn take_clear(&mut self, line: &Line, text: &str, seq: u64, process: u64) {
        let moved = Purses::moved(line);
        let is_opening = line.column(4) == "open";
        assert!(moved.subsidy <= 0 || is_opening || !self.is_clearing(), "while every subsidy is cleared: {text}");
        let Some(word) = line.word("clear") else { return };
        assert_eq!(line.column(4), "subsidy", "what clears: {text}");
        let begun = self.clearing.filter(|clearing| clearing.end.is_none());
        if word == "one" {
            let is_ordered = line.column(18).is_empty();
            assert!(moved.subsidy < 0 || (is_ordered && moved.subsidy == 0), "what a clear takes: {text}");
            assert_eq!((moved.cash, moved.uses, fen(line.column(14))), (0, 0, 0), "a cleared purse is empty: {text}");
            self.cleared.entry(line.column(9).to_owned()).or_default().push(seq);
            let begin = begun.map_or(String::new(), |clearing| clearing.begin.to_string());
            assert_eq!(line.column(18), begin, "which clear it belongs to: {text}");
            if let Some(clearing) = &mut self.clearing.filter(|clearing| clearing.end.is_none()) {
                clearing.accounts += 1;
                clearing.sum -= moved.subsidy;
                self.clearing = Some(*clearing);
            }
            return;
        }
        assert_eq!([line.column(8), line.column(9)], ["", ""], "all purses are nobody's: {text}");
        assert_eq!(moved, Purses::default(), "all purses are nobody's: {text}");
        if word == "all" {
            assert_eq!(begun, None, "a clear of all began while another one went on: {text}");
            self.clearing = Some(Clearing { begin: seq, process, accounts: 0, sum: 0, end: None });
            return;
        }
        let clearing = begun.unwrap_or_else(|| panic!("the end of what never began: {text}"));
        let said = [line.word("clear").unwrap_or(""), line.word("accounts").unwrap_or(""), line.column(18)];
        assert_eq!(said, ["done", &clearing.accounts.to_string(), &clearing.begin.to_string()], "the end: {text}");
        assert_eq!(line.word("sum").map(fen), Some(clearing.sum), "the sum of what was cleared: {text}");
        self.clearing = Some(Clearing { end: Some(seq), ..clearing });
    }

    /// Whether the clear of all that ended with this entry was cut off by the end of a process.
    pub fn was_cut(&self, process: u64) -> bool {
        self.clearing.is_some_and(|clearing| clearing.process != process)
    }

    fn take_void(&mut self, line: &Line, text: &str) {
        let about = number(line.column(18));
        if about <= self.forgotten {
            return;
        }
        if line.word("of").is_some() {
            self.take_void_of_credit(line, text, about);
            return;
        }
        let purse = self.purse_of(about).unwrap_or_default();
        let account = self.sales.get(&about).map(|sold| sold.account.clone()).unwrap_or_default();
        let is_cleared = self.is_cleared(&account, about);
        let sold = self.sales.get_mut(&about).unwrap_or_else(|| panic!("a void of what is no sale: {text}"));
        let (back, cleared) = (Purses::moved(line), line.word("cleared").map_or(0, fen));
        let asked = line.word("asked").map_or(sold.left(), fen);
        assert!(!sold.is_whole, "nothing was left of the sale: {text}");
        assert!((0..=sold.left()).contains(&asked), "more than is left of the sale ({}): {text}", sold.left());
        // Cash first; what was paid of a purse that is cleared since nobody gets back.
        let cash = asked.min(sold.taken.cash - sold.voided.cash);
        let subsidy = asked - cash;
        assert_eq!(back.cash, cash, "cash that is given back: {text}");
        assert_eq!((back.subsidy, cleared), if is_cleared { (0, subsidy) } else { (subsidy, 0) }, "subsidy: {text}");
        sold.voided += Purses { cash, subsidy, uses: 0 };
        sold.is_whole = sold.left() == 0;
        assert_eq!(back.uses, if sold.is_whole { sold.taken.uses } else { 0 }, "the sale's uses: {text}");
        let rest = line.word("rest").map(fen);
        assert_eq!(rest, (!sold.is_whole).then(|| sold.left()), "what is left: {text}");
        let said = [line.column(9), line.word("day").unwrap_or(""), line.word("period").unwrap_or("")];
        assert_eq!(said, [purse.as_str(), &sold.day, &sold.period], "account, day and period of the sale: {text}");
        assert_eq!(line.word("mode"), sold.is_meal.then_some("1"), "whether the sale was in count mode: {text}");
        assert_eq!(number(line.column(8)), sold.card, "the sale's card: {text}");
    }

    /// A top-up or a subsidy is taken back, as far as its purse holds it.
    fn take_void_of_credit(&mut self, line: &Line, text: &str, about: u64) {
        let purse = self.purse_of(about).unwrap_or_else(|| panic!("a void of what is no credit: {text}"));
        let credit = self.credits.get(&about).unwrap_or_else(|| panic!("a void of what is no credit: {text}"));
        let is_cleared = credit.is_subsidy && credit.given.subsidy > 0 && self.is_cleared(&credit.account, about);
        assert!(!is_cleared, "a subsidy that was cleared since was taken from another one: {text}");
        assert!(!(credit.is_subsidy && self.is_clearing()), "while every subsidy is cleared: {text}");
        let credit = self.credits.get_mut(&about).expect("it is there");
        let (moved, after) = (Purses::moved(line), Purses::after(line));
        let (taken, other, held) = if credit.is_subsidy {
            (-moved.subsidy, moved.cash, after.subsidy)
        } else {
            (-moved.cash, moved.subsidy, after.cash)
        };
        let held = held + taken;
        assert_eq!(line.word("of"), Some(if credit.is_subsidy { "subsidy" } else { "topup" }), "of what: {text}");
        assert!(!credit.is_whole && other == 0, "nothing was left, or another purse paid: {text}");
        let asked = line.word("asked").map_or(credit.left().min(held.max(0)), fen);
        assert_eq!(taken, asked, "what is taken back of {} where {held} is held: {text}", credit.left());
        assert!((0..=credit.left()).contains(&taken) && taken <= held.max(0), "more than there is: {text}");
        credit.taken_back += taken;
        credit.is_whole = credit.left() == 0;
        let uses = if credit.is_whole { credit.given.uses } else { 0 };
        assert_eq!(-moved.uses, uses, "the credit's uses: {text}");
        assert!(uses == 0 || after.uses >= 0, "more uses than there are: {text}");
        let rest = line.word("rest").map(fen);
        assert_eq!(rest, (!credit.is_whole).then(|| credit.left()), "what is left: {text}");
        assert_eq!((number(line.column(8)), line.column(9)), (credit.card, purse.as_str()), "whose: {text}");
    }

    // ---------------------------------------------------------------- what must be answered

    /// The words that may answer an order now; `held` is what the account holds that it moves.
    pub fn answers(&self, act: &Act, key: &Key, site: &Site, held: Purses, first_kept: u64) -> Vec<&'static str> {
        if let Act::Move { way, amount, .. } = act
            && ((*way != Way::Adjust && amount.fen() < 0) || amount.fen().abs() > 999_999_999)
        {
            return vec![lines::UNREAD];
        }
        if self.is_named_otherwise(act, key) {
            return vec!["key-used"];
        }
        match self.made.get(&key_text(act, key)) {
            Some(made) if made.what == what_of(act) => return vec!["again"],
            Some(_) => return vec!["key-used"],
            None => (),
        }
        // A row of a file that was corrected to the new card is the old card's row.
        if let (
            Act::Move { subject: Subject::Card(card), .. } | Act::Clear { subject: Subject::Card(card) },
            Key::For { .. },
        ) = (act, key)
        {
            for old in self.replaced_by(card.value()) {
                let mut before = act.clone();
                if let Act::Move { subject, .. } | Act::Clear { subject } = &mut before {
                    *subject = Subject::Card(posgate::engine::model::CardNo::from_value(old).padded());
                }
                match self.made.get(&key_text(&before, key)) {
                    Some(made) if made.what == what_of(&before) => return vec!["again"],
                    Some(_) => return vec!["key-used"],
                    None => (),
                }
            }
        }
        let busy = if self.is_clearing() { Some("busy") } else { None };
        match act {
            Act::Move { way, subject, amount, uses } => {
                let busy = busy.filter(|_| *way == Way::Subsidy);
                let asked = (amount.fen(), i64::from(*uses));
                self.of_subject(subject, site, busy, |card| self.answer_to_move(*way, card, asked, site, held))
            }
            Act::Clear { subject } => self.of_subject(subject, site, busy, |card| {
                if self.account(card, site).is_none() {
                    "unknown-card"
                } else if self.heir(card).is_some() {
                    "replaced"
                } else {
                    // An empty purse is cleared, too.
                    "done"
                }
            }),
            Act::ClearAll => vec![busy.unwrap_or("done")],
            Act::Void { sale, amount, .. } => {
                let asked = amount.map(|amount| i64::from(amount.fen()));
                if sale.0 > self.head {
                    // It may be of this turn, or not durable.
                    return vec![
                        "no-such-entry",
                        "not-a-sale",
                        "zero",
                        "more-than-left",
                        "overdraw",
                        "cleared",
                        "busy",
                        "done",
                    ];
                }
                if sale.0 <= self.forgotten && sale.0 >= first_kept {
                    let words =
                        ["not-a-sale", "already-voided", "zero", "more-than-left", "overdraw", "cleared", "busy"];
                    return words.into_iter().chain(["done"]).collect();
                }
                vec![self.answer_to_void(*sale, asked, first_kept, held)]
            }
            Act::Mark { card, mark } => vec![self.answer_to_mark(card.value(), mark.word(), site)],
            Act::Link { old, new } => vec![self.answer_to_link(old.value(), new.value(), site)],
            Act::Settle { .. } => unreachable!("no operator of this world settles a stored sale"),
            Act::Account { card, account } => {
                vec![busy.unwrap_or_else(|| self.answer_to_account(card.value(), account, site))]
            }
            Act::Rename { old, new } => vec![busy.unwrap_or_else(|| self.answer_to_rename(old, new, site))],
            // The simulation's table is never edited: it has no other holder for a number.
            Act::Reissue { card } => {
                let card = card.value();
                let is_known = self.is_known(card, site);
                vec![if let Some(busy) = busy {
                    busy
                } else if !is_known {
                    "unknown-card"
                } else if site.find(card).is_none() {
                    "not-in-table"
                } else {
                    "same-holder"
                }]
            }
            // Whether the device spoke since the start is not looked at here.
            Act::Open { machine, door } => {
                let is_door = door.value() <= 2 && site.boards.iter().any(|board| u64::from(*board) == machine.value());
                vec!["not-seen", "quarantined", if is_door { "done" } else { "no-door" }]
            }
        }
    }

    /// Whether the rows of an order's file named accounts where it names a card, or the other way
    /// round.
    fn is_named_otherwise(&self, act: &Act, key: &Key) -> bool {
        let (Act::Move { subject, .. } | Act::Clear { subject }, Key::For { name, .. }) = (act, key) else {
            return false;
        };
        let file = format!("{}/{}", command_of(act), name.as_str());
        self.by_account.get(&file).is_some_and(|by| *by != matches!(subject, Subject::Account(_)))
    }

    /// The answer for the card that an order names, or for one of the account's that is not closed.
    fn of_subject(
        &self,
        subject: &Subject,
        site: &Site,
        busy: Option<&'static str>,
        answer: impl Fn(u64) -> &'static str,
    ) -> Vec<&'static str> {
        let account = match subject {
            Subject::Card(card) => return vec![busy.unwrap_or_else(|| answer(card.value()))],
            Subject::Account(account) => account,
        };
        // A card that was replaced stands for the newest one.
        let mut cards: Vec<u64> = self.cards_of(account, site).into_iter().map(|card| self.newest(card)).collect();
        cards.dedup();
        if cards.is_empty() {
            // A card of the ledger may be found that the table does not have.
            return vec!["no-such-account", "not-in-table", "zero", "negative", "too-much", "overdraw", "done"];
        }
        match (busy, cards.iter().find(|card| self.stopped(**card, site) < CLOSED)) {
            (Some(busy), _) => vec![busy],
            (None, Some(card)) => vec![answer(*card)],
            // Which of the closed ones it is that is looked at nobody is told.
            (None, None) => cards.into_iter().map(answer).collect(),
        }
    }

    fn answer_to_move(
        &self,
        way: Way,
        card: u64,
        (amount, uses): (i64, i64),
        site: &Site,
        held: Purses,
    ) -> &'static str {
        let has_row = self.terms(card, site).is_some();
        if self.account(card, site).is_none() {
            return "unknown-card";
        }
        if self.heir(card).is_some() {
            return "replaced";
        }
        let is_credit = matches!(way, Way::TopUp | Way::Subsidy);
        if is_credit && !has_row {
            return "not-in-table";
        }
        if is_credit && self.stopped(card, site) == STATUSES.len() - 1 {
            return "closed";
        }
        if (amount, uses) == (0, 0) {
            return "zero";
        }
        if way != Way::Adjust && (amount < 0 || uses < 0) {
            return "negative";
        }
        if amount.abs() > 999_999_999 || uses.abs() > 999_999 {
            return "too-much";
        }
        let is_over = (amount > 0 && amount > held.cash) || (uses > 0 && uses > held.uses);
        if way == Way::PayOut && is_over {
            return "overdraw";
        }
        "done"
    }

    fn answer_to_void(&self, sale: EntrySeq, asked: Option<i64>, first_kept: u64, held: Purses) -> &'static str {
        if let Some(credit) = self.credits.get(&sale.0).filter(|_| sale.0 >= first_kept) {
            return self.answer_to_void_of_credit(credit, sale.0, asked, held);
        }
        let Some(sold) = self.sales.get(&sale.0).filter(|_| sale.0 >= first_kept) else {
            return if sale.0 < first_kept { "no-such-entry" } else { "not-a-sale" };
        };
        if sold.is_whole {
            return "already-voided";
        }
        match asked {
            Some(0) => "zero",
            Some(asked) if asked > sold.left() => "more-than-left",
            Some(_) | None => "done",
        }
    }

    fn answer_to_void_of_credit(&self, credit: &Credit, seq: u64, asked: Option<i64>, held: Purses) -> &'static str {
        if credit.is_whole {
            return "already-voided";
        }
        if asked == Some(0) {
            return "zero";
        }
        if credit.is_subsidy && self.is_clearing() {
            return "busy";
        }
        if credit.given.uses > held.uses.max(0) {
            return "overdraw";
        }
        if credit.is_subsidy && credit.given.subsidy > 0 && self.is_cleared(&credit.account, seq) {
            return "cleared";
        }
        let purse = if credit.is_subsidy { held.subsidy } else { held.cash };
        let there = purse.clamp(0, credit.left());
        match asked {
            Some(asked) if asked > credit.left() => "more-than-left",
            Some(asked) if asked > there => "overdraw",
            _ if there == 0 && credit.left() > 0 => "overdraw",
            Some(_) | None => "done",
        }
    }

    fn answer_to_mark(&self, card: u64, status: &str, site: &Site) -> &'static str {
        let (wanted, is_set) = meaning(status);
        if !self.is_known(card, site) {
            return "unknown-card";
        }
        if self.heir(card).is_some() {
            return "replaced";
        }
        let (table, standing) = (self.table_rank(card, site), self.standing_of(card));
        if standing[CLOSED] && wanted != CLOSED {
            return "other-state";
        }
        if is_set || (standing[wanted] && table != wanted && table != CLOSED) {
            return "done";
        }
        let is_clear = standing == Standing::default();
        if table == wanted || table == CLOSED || (is_clear && table > 0) {
            return "table-says";
        }
        if is_clear { "done" } else { "other-state" }
    }

    fn is_known(&self, card: u64, site: &Site) -> bool {
        self.terms(card, site).is_some()
            || self.moved.contains_key(&card)
            || self.standing.contains_key(&card)
            || self.heir(card).is_some()
    }

    fn answer_to_account(&self, card: u64, account: &str, site: &Site) -> &'static str {
        if !self.is_known(card, site) {
            return "unknown-card";
        }
        if self.heir(card).is_some() {
            return "replaced";
        }
        if account.starts_with('@') {
            return "own-account";
        }
        let is_there = self.moved.get(&card).is_some_and(|own| own == account);
        if is_there { "same-account" } else { "done" }
    }

    fn answer_to_rename(&self, old: &str, new: &str, site: &Site) -> &'static str {
        if !self.is_somebodys(old, site) {
            return "no-such-account";
        }
        if old == new {
            return "account-taken";
        }
        if new.starts_with('@') {
            return "own-account";
        }
        if self.is_somebodys(new, site) { "account-taken" } else { "done" }
    }

    fn answer_to_link(&self, old: u64, new: u64, site: &Site) -> &'static str {
        if old == new {
            return "same-card";
        }
        let Some(account) = self.account(old, site) else { return "unknown-card" };
        if self.heir(old).is_some() || self.heir(new).is_some() {
            return "replaced";
        }
        if self.stopped(old, site) == CLOSED {
            return "closed";
        }
        if self.stopped(new, site) > 0 {
            return "new-card-stopped";
        }
        let has_own = self.account(new, site).is_some_and(|own| own != account)
            || self.moved.get(&new).is_some_and(|own| *own != account)
            || site.find(new).is_some_and(|row| row.account != account);
        if has_own { "new-card-has-account" } else { "done" }
    }
}

fn rank(row: &Card) -> usize {
    STATUSES.iter().position(|status| *status == row.status).expect("a status")
}

/// The command of an order that may be a file's row; else empty.
fn command_of(act: &Act) -> &'static str {
    match act {
        Act::Move { .. } => lines::command(act),
        Act::Mark { mark, .. } => mark.word(),
        Act::Clear { .. } => "clear",
        Act::ClearAll => "clear-all",
        Act::Void { .. } | Act::Link { .. } | Act::Open { .. } | Act::Settle { .. } => "",
        Act::Account { .. } | Act::Rename { .. } | Act::Reissue { .. } => "",
    }
}

/// The text by which a key is known in `asked` and `made`.
pub fn key_text(act: &Act, key: &Key) -> String {
    let subject = match act {
        Act::Move { subject, .. } | Act::Clear { subject } => lines::subject(subject),
        Act::Mark { card, .. } => card.value().to_string(),
        Act::ClearAll | Act::Void { .. } | Act::Link { .. } | Act::Open { .. } | Act::Settle { .. } => String::new(),
        Act::Account { .. } | Act::Rename { .. } | Act::Reissue { .. } => String::new(),
    };
    match key {
        Key::Own(key) => key.as_str().to_owned(),
        Key::For { name, nth } => format!("{}/{nth}", in_file(command_of(act), name.as_str(), &subject)),
    }
}

/// A card or an account in a file.
fn in_file(command: &str, name: &str, subject: &str) -> String {
    format!("{command}/{name}/{subject}")
}

/// Whose account an entry says that its order named.
fn subject_of(line: &Line) -> String {
    match line.word("via") {
        Some(via) => {
            assert_eq!(via, "account");
            format!("of {}", line.column(9))
        }
        None => number(line.column(8)).to_string(),
    }
}

/// An order in the words of its entry.
pub fn what_of(act: &Act) -> String {
    match act {
        Act::Move { way, subject, amount, uses } => {
            let (kind, sign) = match way {
                Way::TopUp => ("topup", 1),
                Way::Subsidy => ("subsidy", 1),
                Way::PayOut => ("payout", -1),
                Way::Adjust => ("adjust", 1),
            };
            let subject = lines::subject(subject);
            format!("{kind} {subject} {} {}", sign * amount.fen(), sign * i64::from(*uses))
        }
        Act::Clear { subject } => format!("clear {}", lines::subject(subject)),
        Act::ClearAll => "clear all".to_owned(),
        Act::Void { sale, amount: None, .. } => format!("void {} left", sale.0),
        Act::Void { sale, amount: Some(amount), .. } => format!("void {} {}", sale.0, amount.fen()),
        Act::Mark { card, mark } => format!("status {} {}", card.value(), mark.word()),
        Act::Link { old, new } => format!("link {} {}", new.value(), old.value()),
        Act::Settle { card, amount, uses, .. } => format!("adjust {} {} {uses}", card.value(), amount.fen()),
        Act::Account { card, account } => format!("link {} account {account}", card.value()),
        Act::Rename { old, new } => format!("link {old} name {new}"),
        Act::Reissue { card } => format!("link {} reissued", card.value()),
        Act::Open { machine, door } => format!("remote {} {}", machine.value(), door.value()),
    }
}

/// What an entry says was done by an order; `None` if it is not of one.
fn what_of_entry(line: &Line) -> Option<String> {
    let card = || number(line.column(8));
    Some(match line.column(4) {
        "subsidy" if line.word("clear") == Some("all") => "clear all".to_owned(),
        // What a clear of all does to one purse, and its end.
        "subsidy" if line.word("clear").is_some() && line.word("by").is_none() => return None,
        "subsidy" if line.word("clear") == Some("one") => format!("clear {}", subject_of(line)),
        kind @ ("topup" | "subsidy" | "payout" | "adjust") => {
            let Purses { cash, subsidy, uses } = Purses::moved(line);
            let (moved, other) = if kind == "subsidy" { (subsidy, cash) } else { (cash, subsidy) };
            assert_eq!(other, 0, "the other purse was moved by {kind}");
            format!("{kind} {} {moved} {uses}", subject_of(line))
        }
        "void" => match line.word("asked") {
            Some(asked) => format!("void {} {}", line.column(18), fen(asked)),
            None => format!("void {} left", line.column(18)),
        },
        "status" => format!("status {} {}", card(), line.word("status").unwrap_or("")),
        // The first of two, or a card that comes along.
        "link" if line.word("to").is_some() || line.word("key").is_none() => return None,
        "link" if line.word("was").is_some() => format!("link {} {}", card(), number(line.word("was").unwrap_or(""))),
        "link" if line.column(8).is_empty() => {
            format!("link {} name {}", line.word("from").unwrap_or(""), line.column(9))
        }
        "link" => format!("link {} account {}", card(), line.column(9)),
        "remote" => {
            let door = line.column(17).split_once(':').map_or("", |(_, door)| door);
            format!("remote {} {}", number(line.column(5)), number(door))
        }
        _ => return None,
    })
}
