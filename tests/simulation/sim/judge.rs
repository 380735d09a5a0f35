//! The naive model: it reads the ledger's durable bytes with code of its own, keeps plain sums and
//! lists, and says what must be true of them. It knows what happened at the counters, which the
//! server cannot know.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::RangeInclusive;

use posgate::engine::book::Book;
use posgate::engine::limits::DOUBTS_KEPT_MIN;
use posgate::engine::model::{Civil, Date};
use posgate::ledger::Files;

use super::aging::{Aging, Map};
use super::clock::true_civil;
use super::coverage::Coverage;
use super::days::Days;
use super::device::{Record, SaleId};
use super::disk::Disk;
use super::lineage::{Fate, Header, Names};
use super::orders::{Orders, STATUSES};
use super::purses::Purses;
use super::site::{Card, DOOR_PIN, DURESS_PIN, PIN, Section, Site, yuan};

pub const HEADER_LEN: usize = 512;

/// What the rules of a sale may say, besides what stops a card.
const LADDER: &[&str] = &[
    "unknown-card",
    "closed",
    "lost",
    "frozen",
    "expired",
    "group",
    "period",
    "period-uses",
    "amount",
    "charge-max",
    "day-max",
    "uses",
    "balance",
];

/// What the rules of a door may say, from the first to the last.
const DOOR_LADDER: &[&str] =
    &["unknown-card", "closed", "lost", "frozen", "expired", "no-door", "door-group", "door-time", "pin", "passback"];

/// So many wrong PINs in a minute stop a card at a door for another, with what it may be on its
/// way.
const PIN_TRIES: usize = 5;
const PIN_STOPPED_MS: u64 = 140_000;

/// A refusal is durable at most so much later than it was decided: with the next commit, or the
/// sync of every 5 s, which may be slow.
const DURABLE_LATE_MS: u64 = 10_000;

/// Why a meal may be free: nobody who sees frames only can tell.
const LOOKS_SAME: &str =
    "allowed: a free meal, whose frame looks like one of ten minutes before, without a believed time";
const UNPROVEN: &str =
    "allowed: a free meal, approved again where nothing could be written, by an entry that a power cut took";
const TRIED_AGAIN: &str = "allowed: a free meal, equal to one in doubt within same_sale_s";
const SAME_SECOND: &str = "allowed: a free meal, with equal card, amount and believed time as another";
const IN_NO_COPY: &str = "allowed: a free meal, whose entry an older copy of the ledger did not have";
const NEAR_IN_DOUBT: &str = "allowed: a free meal, whose record is near an equal sale in doubt";

/// What a frame is known by in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tag {
    /// 103, 104, 128.
    Sale(String),
    /// 105.
    Record(String),
    /// 150; whether its PIN says duress.
    Door(String, bool),
    /// A door that the operator opened, by the order's key.
    Remote(String),
}

/// What a sale came to.
#[derive(Clone, Debug, Default)]
pub struct Sale {
    pub is_told: bool,
    /// Entries that moved an account for it.
    moves: Vec<Move>,
    /// Why the server took it for another one, as nobody in its place could have known better.
    excuse: Option<&'static str>,
    /// Another one was taken for it.
    is_lent: bool,
    /// The last frame that asked for it, and when it was made.
    frame: String,
    framed_at: u64,
}

/// An entry that moved an account for a sale.
#[derive(Clone, Debug)]
struct Move {
    seq: u64,
    at: Option<Civil>,
    /// The number of its frame.
    frame: u64,
    /// By the terminal's own record.
    is_offline: bool,
}

/// A sale in doubt.
#[derive(Clone, Debug)]
struct Doubt {
    seq: u64,
    /// What the device said and was believed, first and at the last try.
    at: Option<Civil>,
    tried_at: Option<Civil>,
    /// The last try.
    tried: Heard,
    serial: String,
}

/// When the server heard something.
#[derive(Clone, Copy, Debug)]
struct Heard {
    t: u64,
    process: u64,
    /// What its clock showed, in milliseconds, if that was believed.
    wall: Option<i64>,
}

#[derive(Clone, Debug)]
struct Stored {
    seq: u64,
    /// Raw.
    time: String,
    serial: String,
}

/// Machine, card, fen.
type Place = (u64, u64, i64);

/// The records that a device kept under one address with one time: a slot may be used again.
#[derive(Clone, Debug, Default)]
struct Slot {
    /// In the order they were made, which is the order in which they are sent.
    made: Vec<Made>,
    /// The frames that brought them.
    booked_by: Vec<u64>,
    /// The newest entry, if its time was not believed.
    newest: Option<Heard>,
}

#[derive(Clone, Copy, Debug)]
struct Made {
    sale: SaleId,
    is_entered: bool,
    /// It was entered in what an older copy of the ledger lacks.
    was_entered: bool,
    is_dropped: bool,
}

/// So long a frame or a record without a believed time is known by its looks, with what it may be
/// on its way.
const TIMELESS_MS: u64 = 600_000 + 60_000;

/// What a frame asked of a door.
#[derive(Clone, Debug)]
pub struct DoorAsk {
    card: u64,
    door: String,
    kind: String,
    pin: String,
}

impl DoorAsk {
    /// Whose wrong PINs are counted together.
    fn lock(&self, machine: u64) -> (u64, String, u64) {
        (machine, self.door.clone(), if self.kind == "3" { 0 } else { self.card })
    }

    /// Whether its PIN opens a section.
    fn is_pin_right(&self, section: &Section) -> bool {
        match self.kind.as_str() {
            "0" => !section.is_guarded,
            "3" => section.is_guarded && self.pin == DOOR_PIN,
            _ => self.pin == PIN || self.pin == DURESS_PIN,
        }
    }
}

/// A passage of a card through a door.
#[derive(Clone, Copy, Debug)]
struct Pass {
    seq: u64,
    at: Admission,
    wall: Option<i64>,
    is_confirmed: bool,
}

/// A door that was opened.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    pub at: u64,
    pub process: u64,
    /// Whether the board's time was believed.
    pub is_timed: bool,
}

impl Admission {
    /// Whether its frame may be another request: a time that is not believed names no frame for
    /// longer, and a recording cannot be told from what a board with a dead clock asks next.
    pub fn is_over(&self, t: u64, process: u64) -> bool {
        !self.is_timed && (self.process != process || t - self.at >= 600_000)
    }
}

/// An entry's columns as texts.
pub struct Line<'a> {
    columns: Vec<&'a str>,
    detail: HashMap<&'a str, &'a str>,
}

impl Line<'_> {
    pub fn word(&self, key: &str) -> Option<&str> {
        self.detail.get(key).copied()
    }

    pub fn column(&self, number: usize) -> &str {
        let column = self.columns[number - 1];
        if column == "\\N" { "" } else { column }
    }
}

#[derive(Clone, Default)]
pub struct Judge {
    /// All that was durable, by segment, of those that were not archived.
    kept: BTreeMap<String, Vec<u8>>,
    pub seq: u64,
    crc: u32,
    /// What the segment of the newest entry says.
    header: Header,
    /// The names of all entries that ever were.
    pub names: Names,
    /// The machine that writes.
    pub host: String,
    /// Branches that the desk asked for, or that a start began and wrote no entry of.
    pub branches_asked: u32,
    /// What the running process must have made of the ledger that it found.
    pub fate: Option<Fate>,
    /// What an older copy lacks, and nobody has acknowledged.
    pub rolled_back: Option<String>,
    sums: Map<String, Purses>,
    opened: HashSet<String>,
    pub sales: Aging<SaleId, Sale>,
    sales_made: SaleId,
    /// When sales were voided whole.
    voided_at: Aging<u64, u64>,
    /// Approved again by an entry that was perhaps not on the medium.
    unproven: Vec<SaleId>,
    /// Moved no account any more, since an older copy was restored; whether their terminals know
    /// that they were booked.
    undone: Vec<(SaleId, bool)>,
    /// The process, and by how many seconds the devices' clocks were ahead of the true time in it.
    clocks_off: (u64, HashSet<(u64, i64)>),
    /// The last process in which a device's time was judged by the zone's error.
    zone_off_in: Option<u64>,
    /// What a frame asked for, and when: it may look the same another day.
    sale_of_frame: Aging<String, Vec<(u64, SaleId)>>,
    records: Aging<String, Slot>,
    /// What the display says that is left, by frame.
    figures: Aging<String, Vec<String>>,
    /// What was asked of doors, by frame.
    doors: Aging<String, DoorAsk>,
    /// Who passed which door of which board, and when last.
    passes: Aging<(u64, String, u64), Vec<Pass>>,
    /// When PINs were asked of a door that some section of it does not take; of its own PIN without
    /// a card.
    wrong_pins: Aging<(u64, String, u64), Vec<u64>>,
    /// When a frame was decided last, if its time was not believed.
    answered: Aging<String, Heard>,
    moved: Aging<(String, Option<SaleId>), ()>,
    sale_of_entry: Aging<u64, SaleId>,
    /// The number of the 109 that confirmed an entry.
    confirmed_by: Aging<u64, u64>,
    doubts: Map<Place, Vec<Doubt>>,
    /// By entry.
    doubt_places: BTreeMap<u64, Place>,
    /// With the sale's entry.
    approved_at: Aging<Place, Vec<(Civil, String, u64)>>,
    /// Sales that a 105 was taken for, with the sale that it was.
    taken: Aging<u64, Option<SaleId>>,
    offline: Aging<Place, Vec<Stored>>,
    approvals: Map<u64, VecDeque<(u64, bool)>>,
    /// Devices that may have had to give way to others: what the server knew of them it need not
    /// know any more.
    pub forgettable: HashSet<u64>,
    /// When the running process began to serve.
    pub started: u64,
    /// The newest time that was believed.
    newest_ok: Option<Civil>,
    /// The latest believed time since the clock last stepped.
    clock_floor: Option<Civil>,
    /// Until when, and by which process, entries up to a seq were written that a start found: some
    /// are on the medium much later, where nothing could be written.
    written: Vec<(u64, u64, u64)>,
    /// The entries after this one were decided by the site's files as they are.
    pub site_from: u64,
    /// Entries of turns in which only the reserve was left.
    closed: VecDeque<RangeInclusive<u64>>,
    days: Days,
    pub admissions: Aging<String, Admission>,
    pub orders: Orders,
    duress: Aging<String, ()>,
    /// Accounts and cards touched since the last look at the server's book.
    touched: Vec<(String, Option<(u64, i32)>)>,
    pub coverage: Coverage,
    pub entries: u64,
}

impl Judge {
    pub fn add_sale(&mut self) -> SaleId {
        self.sales_made += 1;
        self.sales.insert(self.sales_made, Sale::default());
        self.sales_made
    }

    pub fn sales_made(&self) -> u64 {
        self.sales_made as u64
    }

    /// A week is over: what is older than another one is forgotten, save what devices hold.
    pub fn forget(&mut self) {
        self.sales.turn();
        self.voided_at.turn();
        self.sale_of_frame.turn();
        self.records.turn();
        self.answered.turn();
        self.figures.turn();
        self.doors.turn();
        self.passes.turn();
        self.wrong_pins.turn();
        self.moved.turn();
        self.sale_of_entry.turn();
        self.confirmed_by.turn();
        self.approved_at.turn();
        self.taken.turn();
        self.offline.turn();
        self.admissions.turn();
        self.orders.forget();
        self.duress.turn();
        self.names.forget();
        // The server keeps no more than twice as many.
        while self.doubt_places.len() > 2 * DOUBTS_KEPT_MIN {
            let (seq, _) = self.doubt_places.first_key_value().map(|(seq, place)| (*seq, *place)).expect("it is full");
            self.settle(seq);
        }
    }

    /// A device holds this record still.
    pub fn keep_record(&mut self, machine: u16, record: &Record) {
        self.records.keep(&record_key(u64::from(machine), record));
        self.sales.keep(&record.sale);
        for entry in self.sales.get(&record.sale).into_iter().flat_map(|made| &made.moves) {
            self.sale_of_entry.keep(&entry.seq);
        }
    }

    /// A board asks for a door.
    pub fn expect_door(&mut self, frame: &[u8], t: u64, site: &Site) {
        let Some(Tag::Door(key, _)) = tag(frame) else { return };
        let text = std::str::from_utf8(frame).expect("ASCII");
        let fields: Vec<&str> = text.split(',').map(str::trim).collect();
        let (card, door) = (number(fields[5]), fields[7].to_owned());
        let (kind, pin) = (fields[9].to_owned(), fields[10].to_owned());
        let ask = DoorAsk { card, door, kind, pin };
        if site.sections(&ask.door).any(|section| !ask.is_pin_right(&section)) {
            self.wrong_pins.of(ask.lock(number(fields[4]))).push(t);
        }
        self.doors.insert(key, ask);
    }

    /// A device makes a frame of this sale.
    pub fn expect_frame(&mut self, tag: &Tag, sale: SaleId, t: u64) {
        let Tag::Sale(key) = tag else { return };
        let sales = self.sale_of_frame.of(key.clone());
        if sales.last().is_none_or(|(_, before)| *before != sale) {
            let is_at_once = sales.last().is_some_and(|(before, _)| t < before + 60_000);
            assert!(!is_at_once, "simulation: two sales in one frame {key}");
            if !sales.is_empty() {
                self.coverage.count("device frame that looks like another sale's");
            }
            sales.push((t, sale));
        }
        self.sales.keep(&sale);
        let made = self.sales.of(sale);
        (made.frame, made.framed_at) = (key.clone(), t);
    }

    /// The sale of a frame: the newest that looks like it.
    fn sale_of(&self, key: &str) -> Option<SaleId> {
        self.sale_of_frame.get(key).and_then(|sales| sales.last()).map(|(_, sale)| *sale)
    }

    /// Whether the server may not know how long ago this was, or that it is long ago.
    fn may_be_recent(&self, heard: &Heard, t: u64, process: u64) -> bool {
        let since = if heard.process == process { heard.t } else { heard.t.max(self.started) };
        t < since + TIMELESS_MS
    }

    /// A sale was taken for another one.
    fn lend(&mut self, sale: SaleId, about: Option<SaleId>, excuse: &'static str) {
        self.sales.of(sale).excuse = Some(excuse);
        if let Some(about) = about {
            self.sales.of(about).is_lent = true;
        }
    }

    pub fn expect_record(&mut self, machine: u16, record: &Record) {
        let made = Made { sale: record.sale, is_entered: false, was_entered: false, is_dropped: false };
        self.records.of(record_key(u64::from(machine), record)).made.push(made);
    }

    /// A device dropped a record because it was told to.
    pub fn dropped(&mut self, machine: u16, record: &Record, t: u64, process: u64) {
        let key = record_key(u64::from(machine), record);
        let slot = self.records.of(key.clone());
        let newest = slot.newest;
        let made = slot.made.iter_mut().find(|made| made.sale == record.sale).expect("it was stored");
        made.is_dropped = true;
        if made.is_entered || made.was_entered {
            return;
        }
        // Two of one card and amount in one place, within ten minutes and without a time: nobody
        // can tell them from one sent again.
        let is_excused = newest.is_some_and(|newest| self.may_be_recent(&newest, t, process));
        assert!(is_excused, "011 for a record that is not in the durable ledger: {key}");
        if self.sales.of(record.sale).moves.is_empty() {
            self.coverage.count(
                "allowed: a free meal, whose record looks like one of ten minutes before, without a believed time",
            );
        }
    }

    /// Whether it was told for the first time.
    pub fn told(&mut self, sale: SaleId, t: u64, process: u64) -> bool {
        let made = self.sales.of(sale);
        if std::mem::replace(&mut made.is_told, true) {
            return false;
        }
        if !made.moves.is_empty() {
            return true;
        }
        let (excuse, frame, framed_at) = (made.excuse, made.frame.clone(), made.framed_at);
        if let Some(excuse) = excuse {
            // Its entry may become durable yet.
            if excuse != UNPROVEN {
                self.coverage.count(excuse);
            }
            return true;
        }
        // Its frame is, to all looks, one of a sale before.
        let sales = self.sale_of_frame.get(&frame).cloned().unwrap_or_default();
        let before = sales.iter().rev().find(|(_, other)| *other != sale).map(|(_, other)| *other);
        let heard = self.answered.get(&frame).copied();
        let is_excused = before.is_some() && heard.is_some_and(|heard| self.may_be_recent(&heard, t, process));
        assert!(
            is_excused,
            "008 was shown for sale {sale}, and the durable ledger has no entry that moves for it: {frame} of {framed_at}, decided {heard:?}"
        );
        self.lend(sale, before, LOOKS_SAME);
        self.coverage.count(LOOKS_SAME);
        true
    }

    /// What 008 says is left, once its entry is durable.
    pub fn figures(&self, key: &str) -> Option<&[String]> {
        self.figures.get(key).map(Vec::as_slice)
    }

    /// Whether an entry of the frame says that this is left.
    pub fn has_figures(&self, key: &str, left: &[u8]) -> bool {
        self.figures(key).is_some_and(|figures| figures.iter().any(|figures| figures.as_bytes() == left))
    }

    /// Whether all that was charged for the frame's sale was voided whole, and before this moment.
    pub fn is_voided_before(&self, key: &str, t: u64) -> bool {
        let moves = self.sale_of(key).and_then(|sale| self.sales.get(&sale)).map_or(&[][..], |made| &made.moves);
        let is_gone = |moved: &Move| self.voided_at.get(&moved.seq).is_some_and(|at| *at < t);
        !moves.is_empty() && moves.iter().all(is_gone)
    }

    /// A sale is approved and nothing can be written: it must be in doubt, or its entry may be in
    /// the page cache only. `false`: it is neither.
    pub fn approve_unwritten(&mut self, key: &str, is_proven: bool, t: u64, process: u64, site: &Site) -> bool {
        if let Some(sale) = self.sale_of(key) {
            self.sales.of(sale).excuse = Some(if is_proven { TRIED_AGAIN } else { UNPROVEN });
            if !is_proven {
                self.unproven.push(sale);
            }
        }
        !is_proven || self.is_in_doubt(key, t, process, site)
    }

    /// The world is over: of the sales that were approved by what was perhaps not on the medium,
    /// some were not.
    pub fn count_lost(&mut self) {
        for sale in std::mem::take(&mut self.unproven) {
            if self.sales.get(&sale).is_some_and(|made| made.is_told && made.moves.is_empty()) {
                self.coverage.count(UNPROVEN);
            }
        }
        for (sale, is_dropped) in std::mem::take(&mut self.undone) {
            if self.sales.get(&sale).is_some_and(|made| (made.is_told || is_dropped) && made.moves.is_empty()) {
                self.coverage.count(IN_NO_COPY);
            }
        }
    }

    /// Whether a sale of the frame's machine, card and amount is in doubt and was tried a moment
    /// ago; of a scan, whose frame names no card, of its machine and amount.
    fn is_in_doubt(&self, key: &str, t: u64, process: u64, site: &Site) -> bool {
        let fields: Vec<&str> = key.split('/').collect();
        let (machine, asked) = (number(fields[0]), fields[fields.len() - 1]);
        let subject = fields[fields.len() - 2];
        let is_it = |(device, card, fen): &Place| {
            *device == machine && fen.to_string() == asked && (subject.len() > 10 || *card == number(subject))
        };
        let now = Heard { t, process, wall: None };
        let mut doubts = self.doubts.iter().filter(|(place, _)| is_it(place)).flat_map(|(_, doubts)| doubts);
        doubts.any(|doubt| self.is_recent(&doubt.tried, &now, site.same_sale_s + 1))
    }

    pub fn is_booked(&self, key: &str) -> bool {
        self.records.get(key).is_some_and(|slot| !slot.booked_by.is_empty())
    }

    pub fn is_duress_known(&self, key: &str) -> bool {
        self.duress.contains_key(key)
    }

    /// The ledger ends with this entry: later ones were undone or lost, and their numbers are given
    /// again.
    pub fn ends_with(&mut self, head: u64) {
        self.closed.retain_mut(|entries| {
            *entries = *entries.start()..=head.min(*entries.end());
            !entries.is_empty()
        });
    }

    /// The entries after this one, until [`Judge::ends_with`] is told, are decided while only the
    /// reserve is left.
    pub fn close_after(&mut self, head: u64) {
        self.closed.push_back(head + 1..=u64::MAX);
    }

    /// An older copy of the ledger was put in its place: what the entries say is what they said
    /// then; what happened stays.
    pub fn roll_back(&mut self, before: &Self) {
        let now = std::mem::replace(self, before.clone());
        self.coverage = now.coverage;
        self.coverage.count("fault an older copy of the ledger was restored");
        let sales = now.sales.into_iter().map(|(id, made)| {
            let moves = before.sales.get(&id).map(|made| made.moves.clone()).unwrap_or_default();
            if moves.is_empty() && !made.moves.is_empty() {
                self.undone.push((id, false));
            }
            (id, Sale { moves, ..made })
        });
        self.sales = sales.collect();
        let records = now.records.into_iter().map(|(key, mut slot)| {
            let before = before.records.get(&key).cloned().unwrap_or_default();
            for made in &mut slot.made {
                let is_entered = before.made.iter().any(|old| old.sale == made.sale && old.is_entered);
                made.was_entered |= made.is_entered && !is_entered;
                made.is_entered = is_entered;
                if made.was_entered && made.is_dropped {
                    self.undone.push((made.sale, true));
                }
            }
            (key, Slot { made: slot.made, ..before })
        });
        self.records = records.collect();
        self.sales_made = now.sales_made;
        self.unproven = now.unproven;
        self.undone.extend(now.undone);
        self.undone.sort_unstable_by_key(|(sale, is_dropped)| (*sale, !*is_dropped));
        self.undone.dedup_by_key(|(sale, _)| *sale);
        (self.clocks_off, self.zone_off_in) = (now.clocks_off, now.zone_off_in);
        self.sale_of_frame = now.sale_of_frame;
        self.doors = now.doors;
        self.forgettable = now.forgettable;
        self.started = now.started;
        self.names = now.names;
        self.host = now.host;
        self.branches_asked = now.branches_asked;
        self.entries = now.entries;
        self.orders.roll_back(now.orders);
        self.site_from = self.seq;
        self.closed.clear();
        self.touched.clear();
    }

    /// The ledger and the entry that it ends with.
    pub fn head(&self) -> (u64, u64) {
        (self.header.ledger, self.seq)
    }

    /// What a start will make of the ledger.
    pub fn expect_start(&mut self, fate: Fate) {
        // A branch whose header is durable before the process ends, and without an entry, is gone
        // on with.
        self.branches_asked += u32::from(matches!(self.fate, Some(Fate::Branch(..))));
        self.fate = Some(fate);
    }

    /// A start found the ledger to end with this entry, which this process wrote by then.
    pub fn was_written(&mut self, head: u64, t: u64, process: u64) {
        self.written.retain(|(end, ..)| *end > self.seq);
        match self.written.iter().position(|(end, ..)| *end >= head) {
            // Later ones were undone or lost.
            Some(place) => {
                self.written[place].0 = head;
                self.written.truncate(place + 1);
            }
            None => self.written.push((head, t, process)),
        }
    }

    /// A start failed; the header of the branch that it was to begin may be on the medium.
    pub fn fail_start(&mut self, fate: Fate) {
        self.branches_asked += u32::from(matches!(fate, Fate::Branch(..)));
    }

    /// A segment begins: of the same ledger, or of a branch that begins here, and only where there
    /// was a reason for one.
    fn take_header(&mut self, bytes: &[u8], name: &str) {
        let header = Header::parse(bytes).unwrap_or_else(|| panic!("{name}: no header"));
        super::tell(|| {
            format!("header of {name}: {:016x}, branches asked {}, {:?}", header.ledger, self.branches_asked, self.fate)
        });
        let Header { ledger, parent, .. } = self.header;
        assert_eq!((header.first, header.chain), (self.seq + 1, self.crc), "where {name} begins");
        assert_eq!(header.host, self.host, "who wrote {name}");
        if self.seq == 0 {
            assert_eq!(header.parent, None, "a ledger that begins is no branch: {name}");
        } else if header.ledger == ledger {
            assert_eq!(header.parent, parent, "what {name} branched off");
        } else {
            let before = (ledger, self.seq, self.crc);
            assert_eq!(header.parent, Some(before), "what {name} branched off");
            assert!(!self.names.has(header.ledger), "a branch has a name of its own: {name}");
            let is_told = self.branches_asked > 0 || matches!(self.fate, Some(Fate::Branch(..)));
            self.branches_asked = self.branches_asked.saturating_sub(1);
            assert!(is_told, "a branch for no reason: {name} {:?}", self.fate);
            self.coverage.count("branch ledger went on under another name");
        }
        self.header = header;
    }

    /// The first entry of a process says what it made of the ledger.
    fn judge_start(&mut self, line: &Line, text: &str) {
        let (word, gone) = match self.fate {
            Some(Fate::Branch(word, gone)) => (Some(word), gone.map(|(first, last)| format!("{first}-{last}"))),
            Some(Fate::Begin | Fate::Serve) | None => (None, None),
            Some(Fate::Refuse) => panic!("a start that must be refused: {text}"),
        };
        assert_eq!((line.word("branch"), line.word("rolled_back")), (word, gone.as_deref()), "the ledger: {text}");
        if let Some(word) = word {
            // A step of the clock, and the rest of an order that a cut halved, come before it.
            let is_first = self.seq - self.header.first <= 2;
            assert!(is_first, "the first entry of a branch: {text}");
            self.coverage.count(match word {
                "rolled-back" => "branch an older copy was told",
                _ => "branch a ledger of another machine was told",
            });
            self.rolled_back = gone.or(self.rolled_back.take());
        }
        self.fate = None;
    }

    /// A segment was archived: the copy must be the whole of it, durable, and nobody looks at it
    /// again.
    pub fn archived(&mut self, disk: &Disk, stick: &Disk) {
        let gone: Vec<String> = self.kept.keys().filter(|name| disk.is_gone(name)).cloned().collect();
        for name in gone {
            let kept = &self.kept[&name];
            stick.with_solid(&name, |solid| {
                assert!(solid == kept, "{name} was archived, and its copy is not what it was");
            });
            self.kept.remove(&name);
            stick.carry_away(&name);
            self.coverage.count("operator archive of a segment");
        }
    }

    /// Whether a segment was taken away at whose copy nobody has looked.
    pub fn has_gone(&self, disk: &Disk) -> bool {
        self.kept.keys().any(|name| disk.is_gone(name))
    }

    /// After a start: what was durable once is there still, and all that is there is durable.
    pub fn restarted(&self, disk: &Disk) {
        for (name, kept) in self.kept.iter().filter(|(name, _)| !disk.is_gone(name)) {
            disk.with_solid(name, |solid| {
                assert!(solid.starts_with(kept), "{name}: entries that were durable are gone or changed");
            });
            let len = Files::len(disk, name).expect("it is there");
            disk.with_solid(name, |solid| {
                assert!(
                    solid.len() as u64 == len,
                    "{name}: replayed {len} bytes, of which {} are durable",
                    solid.len()
                );
            });
        }
    }

    /// Reads what became durable.
    pub fn ingest(&mut self, disk: &Disk, site: &Site, t: u64, process: u64) {
        // A segment is complete before the next begins.
        let last = self.kept.last_key_value().map_or("ledger-", |(name, _)| name).to_owned();
        for name in disk.segments_from(&last) {
            let from = self.kept.get(&name).map_or(HEADER_LEN, Vec::len);
            let new = disk.with_solid(&name, |solid| solid.get(from..).map(<[u8]>::to_vec)).unwrap_or_default();
            // Behind a page that was never written there may be whole lines, until the end is
            // mended, which takes room.
            let written = new.split(|byte| *byte == 0).next().unwrap_or_default();
            let Some(end) = written.iter().rposition(|byte| *byte == b'\n') else { continue };
            let new = &new[..=end];
            let kept = self.kept.entry(name.clone()).or_default();
            let is_first = kept.is_empty();
            if is_first {
                kept.extend(disk.with_solid(&name, |solid| solid[..HEADER_LEN].to_vec()));
            }
            let header = kept[..HEADER_LEN].to_vec();
            kept.extend_from_slice(new);
            if is_first {
                self.take_header(&header, &name);
            }
            for line in std::str::from_utf8(new).expect("UTF-8").split_terminator('\n') {
                let seq = self.seq + 1;
                let written = self.written.iter().find(|(head, ..)| seq <= *head);
                let (t, process) = written.map_or((t, process), |(_, t, process)| (*t, *process));
                self.take(line, site, t, process);
            }
        }
    }

    fn take(&mut self, text: &str, site: &Site, t: u64, process: u64) {
        super::tell(|| format!("{t:>9} ledger {text}"));
        let columns: Vec<&str> = text.split('\t').collect();
        assert_eq!(columns.len(), 20, "columns of {text}");
        let detail = columns[18].split(' ').filter_map(|word| word.split_once('=')).collect();
        let line = Line { columns, detail };
        let seq: u64 = line.column(1).parse().expect("a seq");
        assert_eq!(seq, self.seq + 1, "seq of {text}");
        let mut hasher = crc32fast::Hasher::new_with_initial(self.crc);
        hasher.update(&text.as_bytes()[..text.len() - 8]);
        let crc = hasher.finalize();
        assert_eq!(line.column(20), format!("{crc:08x}"), "crc of {text}");
        self.seq = seq;
        self.crc = crc;
        self.entries += 1;
        self.names.give(self.header.ledger, seq, crc);
        match line.column(4) {
            "start" => self.judge_start(&line, text),
            "acknowledge" => {
                assert_eq!(line.word("rolled_back"), self.rolled_back.take().as_deref(), "what was seen: {text}");
            }
            "branch" => assert_eq!(self.header.first, seq, "the first entry of a branch: {text}"),
            _ => (),
        }
        self.judge_step(&line, text);
        self.days.watch_clock(line.column(2), line.column(3), line.column(4));
        self.count(&line);
        self.judge_reserve(&line, text);
        self.count_stopped(&line);
        let order = self.orders.take(&line, text, site, seq, Admission { at: t, process, is_timed: true });
        if order.is_some() {
            self.follow_order(&line, t);
        }
        self.judge_belief(&line, text, t, process);
        if self.site_from < seq {
            self.judge_ladder(&line, text, site, t, process);
        }
        self.take_figures(&line, text, site);
        self.judge_left(&line, text, site);
        self.judge_cleared(&line, text, site, process);
        self.take_decision(&line, text, site, seq, t, process);
        if let Some(shown) = shown_at(&line) {
            self.newest_ok = Some(shown);
        }
    }

    /// A believed clock goes back by more than a minute only after a `clock` entry.
    fn judge_step(&mut self, line: &Line, text: &str) {
        if line.column(4) == "clock" {
            self.clock_floor = None;
        }
        let Some(shown) = shown_at(line) else { return };
        let floor = self.clock_floor.unwrap_or(shown);
        assert!(shown.0 >= floor.0 - 61, "the clock stepped before this: {text}");
        self.clock_floor = Some(shown.max(floor));
    }

    fn count(&mut self, line: &Line) {
        let is_105 = line.word("code") == Some("105");
        let name = match (line.column(4), line.word("rule")) {
            ("open", _) => "branch open",
            ("charge", _) => "branch charge",
            ("meal", _) => "branch meal",
            ("scan", _) => "branch scan",
            ("offline", _) if line.word("claimed").is_some() => "branch offline claimed",
            ("offline", _) if line.word("reason") == Some("unknown-card") => "branch offline of an unknown card",
            ("offline", _) => "branch offline",
            ("repeat", _) => "branch repeat",
            ("matched", _) if is_105 => "branch matched 105",
            ("matched", _) => "branch matched 103",
            ("decline", _) => "branch decline",
            ("confirm", _) => "branch confirm",
            ("unconfirmed", _) => "branch unconfirmed",
            ("admit", _) => "branch admit",
            ("refuse", _) => "branch refuse",
            ("alarm", Some("duress")) => "branch alarm duress",
            ("alarm", Some("replay")) => "branch alarm replay",
            ("alarm", Some("machine-clash")) => "branch alarm machine-clash",
            ("alarm", _) => "branch alarm other",
            ("keys", _) => "branch keys",
            ("boot", _) => "branch boot",
            ("clock", _) => "branch clock",
            ("topup", _) => "branch topup",
            ("subsidy", _) => match (line.word("clear"), line.column(18)) {
                (None, _) => "branch subsidy",
                (Some("all"), _) => "branch clear of every subsidy begun",
                (Some("done"), _) => "branch clear of every subsidy ended",
                (Some(_), "") => "branch subsidy of one cleared",
                (Some(_), _) => "branch subsidy cleared with every other",
            },
            ("payout", _) => "branch payout",
            ("adjust", _) => "branch adjust",
            ("void", _) if line.word("of") == Some("topup") => "branch void of a top-up",
            ("void", _) if line.word("of").is_some() => "branch void of a subsidy",
            ("void", _) if line.word("cleared").is_some() => "branch void of what a clear took since",
            ("void", _) if fen(line.column(11)) > 0 => "branch void that gives subsidy back",
            ("void", _) => "branch void",
            ("link", _) => "branch link",
            ("status", _) => "branch status",
            ("remote", _) => "branch remote",
            ("start", _) => "branch start",
            ("stop", _) => "branch stop",
            ("reload", _) => "branch reload",
            ("acknowledge", _) => "branch acknowledge",
            ("branch", _) => "branch branch",
            (other, _) => panic!("kind {other}"),
        };
        self.coverage.count(name);
        if line.column(3) == "unset" {
            self.coverage.count("branch clock unset");
        }
    }

    /// A device's clock is ahead of the true time by so many seconds, in a frame that is on its
    /// way.
    pub fn note_clock(&mut self, machine: u64, ahead_s: i64, process: u64) {
        // A frame of before the start may be read after it.
        if self.clocks_off.0 + 1 < process {
            self.clocks_off.1.clear();
        }
        self.clocks_off.0 = process;
        self.clocks_off.1.insert((machine, ahead_s));
    }

    /// What a wrong zone would be off by: what two devices and more agree on. With it, a device's
    /// time may be believed.
    fn zone_errors(&self, server_ahead_s: i64) -> HashSet<i64> {
        let steps = self.clocks_off.1.iter().filter_map(|(machine, ahead_s)| {
            let offset = ahead_s - server_ahead_s;
            let step = (offset + 450).div_euclid(900) * 900;
            let is_zone = (3600..=14 * 3600).contains(&step.abs()) && (offset - step).abs() <= 300;
            is_zone.then_some((*machine, step))
        });
        let mut seen: HashMap<i64, HashSet<u64>> = HashMap::new();
        for (machine, step) in steps {
            seen.entry(step).or_default().insert(machine);
        }
        seen.into_iter().filter(|(_, machines)| machines.len() > 1).map(|(step, _)| step).collect()
    }

    /// Whether the device's time was believed, as this model sees it, is what the entry says.
    fn judge_belief(&mut self, line: &Line, text: &str, t: u64, process: u64) {
        let raw = line.column(16);
        if raw.is_empty() {
            return;
        }
        let (now, ahead_s) = match shown_at(line) {
            Some(now) => (now, 300),
            // The program is of 2026-01-01, midnight of UTC.
            None => (
                self.newest_ok
                    .map_or(Civil(1_767_225_600 + 8 * 3600), |newest| newest.max(Civil(1_767_225_600 + 8 * 3600))),
                366 * 86_400,
            ),
        };
        let is_stored = line.column(4) == "offline" || line.word("code") == Some("105");
        let back_s = if is_stored { 31 * 86_400 } else { 300 };
        let expected = match Civil::parse(raw.as_bytes()) {
            None => Some("time"),
            Some(at) if at.0 < now.0 - back_s => Some("past"),
            Some(at) if at.0 > now.0 + ahead_s => Some("ahead"),
            Some(_) => None,
        };
        // Devices that are off alike say that our zone is wrong (design.md, section 11).
        let said = line.word("invalid");
        let offset =
            Civil::parse(raw.as_bytes()).map(|at| at.0 - now.0).filter(|_| said.is_none() && expected.is_some());
        let is_known = offset.is_some_and(|offset| {
            let is_in = |offset: i64| (-back_s..=ahead_s).contains(&offset);
            let errors = self.zone_errors(now.0 - true_civil(t).0);
            errors.iter().any(|error| is_in(offset - error))
        });
        if is_known {
            self.coverage.count("branch device time judged by the zone's error");
            self.zone_off_in = Some(process);
            return;
        }
        assert_eq!(said, expected, "whether the device's time is believed: {text}");
        if let Some(word) = expected {
            self.coverage.count(match word {
                "past" => "branch device time past",
                "ahead" => "branch device time ahead",
                _ => "branch device time invalid",
            });
        }
    }

    /// How long ago something was, as the server must see it.
    fn age_ms(&self, before: &Heard, now: &Heard) -> u64 {
        if before.process == now.process {
            return now.t - before.t;
        }
        let known = before.wall.zip(now.wall).and_then(|(before, now)| u64::try_from(now - before).ok());
        known.unwrap_or(0).max(now.t.saturating_sub(self.started))
    }

    /// With only the reserve left no sale and no record is taken, and no refusal written
    /// (design.md, section 12).
    fn judge_reserve(&mut self, line: &Line, text: &str) {
        while self.closed.front().is_some_and(|entries| *entries.end() < self.seq) {
            self.closed.pop_front();
        }
        if self.closed.front().is_none_or(|entries| !entries.contains(&self.seq)) {
            return;
        }
        self.coverage.count("branch entry of the reserve");
        let is_wrong = match line.column(4) {
            "charge" | "meal" | "scan" | "offline" | "decline" | "refuse" | "keys" | "boot" => true,
            "matched" => line.word("code") == Some("105"),
            "alarm" => line.word("rule") != Some("duress"),
            _ => false,
        };
        assert!(!is_wrong, "only the reserve is left, and this was written: {text}");
    }

    fn take_figures(&mut self, line: &Line, text: &str, site: &Site) {
        let account = line.column(9);
        if account.is_empty() {
            return;
        }
        let moved = Purses::moved(line);
        let number = line.column(8).parse::<u64>().unwrap_or(0);
        let is_open = line.column(4) == "open";
        let opening = if is_open { self.opening(account, site) } else { None };
        // What is held back for a row's card opens when that card comes there with nothing that was
        // opened before.
        let held_back = site.cards.iter().find(|card| card.account == account && card.number == number);
        let held_back = held_back.map(Card::opening).filter(|_| is_open);
        if line.column(4) == "link"
            && let Some(from) = line.word("from")
        {
            // What the table says of an account to which a card or a purse comes is nobody's any
            // more.
            self.opened.insert(account.to_owned());
            if line.column(8).is_empty() || from.starts_with('@') {
                // All that it held is elsewhere, and its name is free.
                self.opened.remove(from);
            }
        }
        let sum = self.sums.entry(account.to_owned()).or_default();
        let before = *sum;
        *sum += moved;
        let after = *sum;
        assert_eq!(Purses::after(line), after, "figures of {text}");
        assert!(after.subsidy >= 0, "the subsidy purse is below zero: {text}");
        if is_open {
            assert!(self.opened.insert(account.to_owned()), "opened twice: {text}");
            let is_right = [opening, held_back].contains(&Some(moved));
            assert!(is_right, "opening figures of {text}: {opening:?}");
        }
        let is_online = matches!(line.column(4), "charge" | "meal" | "scan");
        if is_online {
            let card = self.orders.terms(number, site);
            let card = card.unwrap_or_else(|| panic!("a card that is in no table paid: {text}"));
            assert_eq!(self.orders.stopped(number, site), 0, "a stopped card paid: {text}");
            if card.number != number {
                self.coverage.count("branch sale of a card that follows another");
            }
            assert!(moved.cash == 0 || after.cash >= -card.credit, "below zero and credit: {text}");
            assert!(moved.uses == 0 || after.uses >= 0, "uses below zero: {text}");
        }
        if is_online || (line.column(4) == "offline" && line.word("claimed").is_none()) {
            self.judge_purses(line, text, site, before);
        }
        let mut counted = None;
        // A stored sale without a believed time counts for no day.
        let is_counted = line.word("claimed").is_none() && line.word("invalid").is_none();
        let is_sale = is_online || (line.column(4) == "offline" && is_counted);
        if let (true, Some(day)) = (is_sale, line.word("day").and_then(|day| Date::parse(day.as_bytes()))) {
            // Those that carry the card's days on count what comes late for it, too.
            for card in self.orders.carriers(number) {
                let period = line.word("period").unwrap_or("");
                let sold = self.days.add(card, day.0, -moved.money(), period, is_meal(line));
                let Some(counts) = sold else { continue };
                if card == number {
                    counted = Some((number, day.0));
                    let max = self.orders.terms(number, site).and_then(|card| card.day_max);
                    let max = max.filter(|_| is_online && moved.money() != 0);
                    assert!(max.is_none_or(|max| counts.fen <= max), "over the day's limit: {text}");
                    let max = i64::try_from(site.period_uses_max).expect("few");
                    let is_over = is_online && !period.is_empty() && max > 0 && counts.sales(period) > max;
                    assert!(!is_over, "oftener than the period allows: {text}");
                }
            }
        }
        self.touched.push((account.to_owned(), counted));
        if is_online {
            judge_day(line, text, site);
        }
    }

    /// A sale takes subsidy first where it may pay, then cash.
    fn judge_purses(&mut self, line: &Line, text: &str, site: &Site, before: Purses) {
        if self.seq <= self.site_from {
            return;
        }
        let taken = -Purses::moved(line);
        let price = taken.money();
        assert!(price >= 0, "a sale that gives: {text}");
        let may_subsidy_pay = site.may_subsidy_pay(number(line.column(5)), line.word("period").unwrap_or(""));
        let expected = Purses { uses: taken.uses, ..before.pay(price, may_subsidy_pay) };
        assert_eq!(taken, expected, "which purse pays: {text}\nheld: {before:?}");
        match (taken.cash > 0, taken.subsidy > 0) {
            (true, true) => self.coverage.count("purse both pay"),
            (false, true) => self.coverage.count("purse subsidy pays"),
            (true, false) if before.subsidy > 0 => self.coverage.count("purse cash pays where subsidy may not"),
            (true, false) => self.coverage.count("purse cash pays"),
            (false, false) => (),
        }
    }

    /// An entry that moves nothing says in `left=` what is held while opening figures are not
    /// entered.
    fn judge_left(&self, line: &Line, text: &str, site: &Site) {
        let Some(left) = line.word("left").filter(|_| self.site_from < self.seq) else { return };
        let by_card = || self.orders.account(number(line.column(8)), site).unwrap_or_default();
        let account = if line.column(9).is_empty() { by_card() } else { line.column(9).to_owned() };
        assert_eq!(left, self.holds(&account, site).to_string(), "what is left: {text}");
    }

    /// All subsidy purses were emptied: nobody has old subsidy.
    fn judge_cleared(&mut self, line: &Line, text: &str, site: &Site, process: u64) {
        if line.word("clear") != Some("done") {
            return;
        }
        if self.orders.was_cut(process) {
            self.coverage.count("branch clear of every subsidy gone on with after a start");
        }
        for (account, sum) in &self.sums {
            assert_eq!(sum.subsidy, 0, "what {account} holds when all is cleared: {text}");
        }
        for card in site.cards.iter().filter(|_| self.site_from < self.seq) {
            let account = self.orders.account(card.number, site).unwrap_or_default();
            assert_eq!(self.holds(&account, site).subsidy, 0, "what {account} holds when all is cleared: {text}");
        }
    }

    /// A door opened for whom it may, with an entry or without; what was asked. If the server
    /// started from entries that may not be on the medium (`is_proven` is false), one of them may
    /// have ended what stopped the card.
    pub fn judge_door(&self, key: &str, site: &Site, is_proven: bool) -> &DoorAsk {
        let ask = self.doors.get(key).unwrap_or_else(|| panic!("a door opened for a frame that nobody sent: {key}"));
        let machine = key.split('/').next().map_or(0, number);
        let is_board = site.boards.iter().any(|board| u64::from(*board) == machine);
        let groups = self.orders.terms(ask.card, site).map_or("", |terms| terms.groups);
        let is_admitted =
            |section: &Section| ask.is_pin_right(section) && (ask.kind == "3" || groups.contains(section.group));
        let is_open = site.sections(&ask.door).any(|section| is_admitted(&section));
        assert!(is_board && is_open, "a door opened for {ask:?}: {key}");
        if ask.kind != "3" {
            assert!(self.orders.terms(ask.card, site).is_some(), "a door opened for a card of no table: {key}");
            let is_stopped = self.orders.stopped(ask.card, site) > 0;
            assert!(!is_stopped || !is_proven, "a stopped card opened a door: {key}");
        }
        ask
    }

    /// A door opened by an entry: the rules let it, and not too soon after the last time.
    fn judge_admit(&mut self, line: &Line, text: &str, site: &Site, key: &str, at: Admission) {
        let ask = self.judge_door(key, site, true).clone();
        let machine = key.split('/').next().map_or(0, number);
        if let Some(shown) = shown_at(line).filter(|_| self.site_from < self.seq) {
            assert_eq!(self.door_ladder(&ask, machine, shown, at, site), Ok(()), "a door opened: {text}\n{ask:?}");
            self.coverage.count("door ladder yes");
        }
        let passes = self.passes.of((machine, ask.door, ask.card));
        passes.push(Pass { seq: self.seq, at, wall: wall_of(line), is_confirmed: false });
        // More are not asked of.
        let old = passes.len().saturating_sub(8);
        passes.drain(..old);
    }

    /// A door stayed shut: the reason is the one that the rules give.
    fn judge_door_refusal(&mut self, line: &Line, text: &str, site: &Site, at: Admission) {
        let reason = line.word("reason").and_then(|reason| DOOR_LADDER.iter().find(|it| **it == reason));
        let (Some(reason), Some(shown)) = (reason, shown_at(line)) else { return };
        let machine = number(line.column(5));
        let key = frame_key(line, machine, 0);
        let ask =
            self.doors.get(&key).unwrap_or_else(|| panic!("a refusal for a frame that nobody sent: {text}")).clone();
        let tries = self.wrong_pins.get(&ask.lock(machine)).into_iter().flatten();
        let is_stopped = tries.filter(|tried| at.at < **tried + PIN_STOPPED_MS).count() >= PIN_TRIES;
        // It may be durable later than it was decided: the entries' own times say when that was.
        let passes = self.passes.get(&(machine, ask.door.clone(), ask.card)).into_iter().flatten();
        let decided = passes.rev().find_map(|pass| {
            let age = wall_of(line)? - pass.wall?;
            pass.at.at.checked_add_signed(age).filter(|decided| *decided <= at.at)
        });
        let by_entries = Admission { at: decided.unwrap_or(at.at), ..at };
        let expected = self.door_ladder(&ask, machine, shown, by_entries, site);
        // A card that passed before the start: how long ago is not looked at here.
        let is_of_before = *reason == "passback"
            && self.passes.get(&(machine, ask.door.clone(), ask.card)).is_some_and(|passes| {
                passes
                    .iter()
                    .any(|pass| pass.at.process != at.process && at.at < pass.at.at + site.passback_s * 1000 + 600_000)
            });
        // If the clock stepped since the card passed, the entries do not tell when it was decided.
        let is_of_another_clock = *reason == "passback"
            && decided.is_none()
            && self.has_just_passed(&ask, machine, Admission { at: at.at.saturating_sub(DURABLE_LATE_MS), ..at }, site);
        let is_just =
            expected == Err(*reason) || (*reason == "pin" && is_stopped) || is_of_before || is_of_another_clock;
        assert!(is_just, "a door stayed shut: {text}\nexpected {expected:?} of {ask:?}");
        self.coverage.count(match *reason {
            "no-door" => "door ladder no-door",
            "door-group" => "door ladder door-group",
            "door-time" => "door ladder door-time",
            "pin" => "door ladder pin",
            "passback" => "door ladder passback",
            _ => "door ladder card",
        });
    }

    /// What the rules say of a door: the reason of the section that came furthest.
    fn door_ladder(
        &self,
        ask: &DoorAsk,
        machine: u64,
        shown: Civil,
        at: Admission,
        site: &Site,
    ) -> Result<(), &'static str> {
        let is_keyed = ask.kind == "3";
        let terms = self.orders.terms(ask.card, site);
        if !is_keyed {
            let Some(terms) = terms else { return Err("unknown-card") };
            let status = self.orders.stopped(ask.card, site);
            if status != 0 {
                return Err(STATUSES[status]);
            }
            if terms.valid_until.is_some_and(|last| last < shown.date()) {
                return Err("expired");
            }
        }
        let groups = terms.map_or("", |terms| terms.groups);
        let is_board = site.boards.iter().any(|board| u64::from(*board) == machine);
        let mut furthest = "no-door";
        for section in site.sections(&ask.door).filter(|_| is_board) {
            let reason = if !is_keyed && !groups.contains(section.group) {
                "door-group"
            } else if !section.is_open(shown, site) {
                "door-time"
            } else if !ask.is_pin_right(&section) {
                "pin"
            } else if section.is_guarded && !is_keyed && self.has_just_passed(ask, machine, at, site) {
                "passback"
            } else {
                return Ok(());
            };
            let rank = |reason| DOOR_LADDER.iter().position(|it| *it == reason);
            if rank(reason) > rank(furthest) {
                furthest = reason;
            }
        }
        Err(furthest)
    }

    fn has_just_passed(&self, ask: &DoorAsk, machine: u64, at: Admission, site: &Site) -> bool {
        let passes = self.passes.get(&(machine, ask.door.clone(), ask.card)).into_iter().flatten();
        let is_confirming = self.is_confirming(machine);
        passes
            .rev()
            .find(|pass| pass.is_confirmed || !is_confirming)
            .is_some_and(|before| before.at.process == at.process && at.at < before.at.at + site.passback_s * 1000)
    }

    /// Each decision of the rules is the one that this model comes to, in the order of design.md,
    /// section 6; and so is what is noted of a stored sale.
    fn judge_ladder(&mut self, line: &Line, text: &str, site: &Site, t: u64, process: u64) {
        let kind = line.column(4);
        // Where the zone is off, a record's own time says another hour.
        let is_zone_off = self.zone_off_in == Some(process);
        let is_stored = kind == "offline" && line.word("claimed").is_none() && !is_zone_off;
        let reason = line.word("reason");
        let is_refused =
            kind == "decline" && line.word("code").is_some() && reason.is_some_and(|it| LADDER.contains(&it));
        let is_sold = matches!(kind, "charge" | "meal" | "scan");
        let believed = Civil::parse(line.column(16).as_bytes()).filter(|_| line.word("invalid").is_none());
        let Some(now) = shown_at(line).filter(|_| is_stored || is_refused || is_sold) else { return };
        let at = believed.filter(|_| is_stored).unwrap_or(now);
        let (machine, card) = (number(line.column(5)), number(line.column(8)));
        let (is_count, asked) = match kind {
            "meal" => (true, 0),
            "charge" | "scan" => (false, -Purses::moved(line).money()),
            "offline" => (line.word("mode").is_some_and(|mode| mode != "0"), fen(line.word("asked").unwrap_or(""))),
            _ => {
                let asked = fen(line.word("asked").unwrap_or(""));
                (asked == 0 && line.word("code") != Some("128"), asked)
            }
        };
        let is_timed = !is_stored || believed.is_some();
        if is_count && !is_refused {
            self.judge_meal(line, text, site, at, is_timed);
        }
        let expected = self.ladder(card, machine, at, is_count, asked, is_timed, site);
        if reason != expected && is_stored && believed.is_some() {
            // The hour may be another one although the time is believed either way.
            let errors = self.zone_errors(now.0 - true_civil(t).0);
            let may_be = |error: &i64| {
                self.ladder(card, machine, Civil(at.0 - error), is_count, asked, is_timed, site) == reason
            };
            if errors.iter().any(may_be) {
                self.coverage.count("branch device time judged by the zone's error");
                self.zone_off_in = Some(process);
                return;
            }
        }
        assert_eq!(reason, expected, "what the rules say: {text}");
        self.coverage.count(match reason {
            None => "ladder yes",
            Some("group") => "ladder group",
            Some("period") => "ladder period",
            Some("period-uses") => "ladder period-uses",
            Some("charge-max") => "ladder charge-max",
            Some("day-max") => "ladder day-max",
            Some("expired") => "ladder expired",
            Some("uses") => "ladder uses",
            Some("balance") => "ladder balance",
            Some("unknown-card") => "ladder unknown-card",
            Some(_) => "ladder status",
        });
        if is_stored && reason.is_some() {
            self.coverage.count("ladder of a stored sale says no");
        }
    }

    /// A meal takes the period's price, a second one the price of second ones, or else a use.
    fn judge_meal(&mut self, line: &Line, text: &str, site: &Site, at: Civil, is_timed: bool) {
        let (machine, card) = (number(line.column(5)), number(line.column(8)));
        let (day, period) = if is_timed { site.day_of(machine, at) } else { (site.business_day(at), "") };
        let meals = self.days.of(card, day.0).map_or(0, |counts| counts.meals(period));
        let price = site.price_in(period, meals);
        let taken = -Purses::moved(line);
        let taken = (taken.money(), taken.uses);
        assert_eq!(taken, (price.unwrap_or(0), i64::from(price.is_none())), "after {meals} meals: {text}");
        if price.is_some_and(|price| Some(price) != site.price_in(period, 0)) {
            self.coverage.count("branch second meal");
        }
        if period == "brunch" {
            self.coverage.count("branch meal of a day off");
        }
    }

    /// The first rule that refuses.
    #[expect(clippy::too_many_arguments, reason = "all that a sale is decided by")]
    fn ladder(
        &self,
        card: u64,
        machine: u64,
        at: Civil,
        is_count: bool,
        asked: i64,
        is_timed: bool,
        site: &Site,
    ) -> Option<&'static str> {
        let Some(terms) = self.orders.terms(card, site) else { return Some("unknown-card") };
        let status = self.orders.stopped(card, site);
        if status != 0 {
            return Some(STATUSES[status]);
        }
        if terms.valid_until.is_some_and(|last| last < at.date()) {
            return Some("expired");
        }
        if !site.admits(machine, terms.groups) {
            return Some("group");
        }
        if is_timed && site.is_closed(machine, at) {
            return Some("period");
        }
        let (day, period) = if is_timed { site.day_of(machine, at) } else { (site.business_day(at), "") };
        let counts = self.days.of(card, day.0);
        let uses_max = i64::try_from(site.period_uses_max).expect("few");
        if !period.is_empty() && uses_max > 0 && counts.map_or(0, |counts| counts.sales(period)) >= uses_max {
            return Some("period-uses");
        }
        if !is_count && asked == 0 {
            return Some("amount");
        }
        let meals = counts.map_or(0, |counts| counts.meals(period));
        let meal = site.price_in(period, meals).filter(|_| is_count);
        let price = meal.unwrap_or(asked);
        if terms.charge_max.is_some_and(|max| max < price) {
            return Some("charge-max");
        }
        let spent = counts.map_or(0, |counts| counts.fen) + price;
        if is_timed && price != 0 && terms.day_max.is_some_and(|max| max < spent) {
            return Some("day-max");
        }
        let account = self.orders.account(card, site).unwrap_or_default();
        let held = self.holds(&account, site);
        if is_count && meal.is_none() && held.uses < 1 {
            return Some("uses");
        }
        let cash = held.pay(price, site.may_subsidy_pay(machine, period)).cash;
        (cash != 0 && held.cash - cash < -terms.credit).then_some("balance")
    }

    /// Nobody is refused for nothing.
    fn judge_refusal(&mut self, line: &Line, text: &str, site: &Site, asked: i64) {
        let (Some(reason), Some(at)) = (line.word("reason"), shown_at(line)) else { return };
        let (machine, card) = (number(line.column(5)), number(line.column(8)));
        let (day, period) = site.day_of(machine, at);
        let account = self.orders.account(card, site).unwrap_or_default();
        let held = self.holds(&account, site);
        let is_count = asked == 0 && line.column(4) == "decline";
        let terms = self.orders.terms(card, site);
        let counts = self.days.of(card, day.0);
        let meals = counts.map_or(0, |counts| counts.meals(period));
        let price = site.price_in(period, meals).filter(|_| is_count).unwrap_or(asked);
        let is_just = match reason {
            "balance" => {
                let cash = held.pay(price, site.may_subsidy_pay(machine, period)).cash;
                cash > 0 && terms.is_some_and(|terms| held.cash + terms.credit < cash)
            }
            "uses" => is_count && price == 0 && held.uses < 1,
            "day-max" => {
                let spent = counts.map_or(0, |counts| counts.fen) + price;
                terms.and_then(|terms| terms.day_max).is_some_and(|max| spent > max)
            }
            "period-uses" => {
                let sold = counts.map_or(0, |counts| counts.sales(period));
                site.period_uses_max > 0 && sold >= i64::try_from(site.period_uses_max).expect("few")
            }
            "unknown-card" => terms.is_none(),
            "frozen" | "lost" | "closed" => STATUSES[self.orders.stopped(card, site)] == reason,
            _ => return,
        };
        assert!(is_just, "refused for nothing: {text}\nholds {held:?}, counted {counts:?}, {terms:?}");
        self.coverage.count("branch refusal that is just");
    }

    /// The operator's word on a card is heard.
    fn count_stopped(&mut self, line: &Line) {
        let card = number(line.column(8));
        let status = self.orders.status(card);
        let is_refusal = matches!(line.column(4), "decline" | "refuse");
        if is_refusal && line.word("reason").is_some_and(|reason| reason == STATUSES[status]) {
            self.coverage.count("branch refused: the ledger's word on the card");
        }
    }

    /// What an order's entry means for days and doubts.
    fn follow_order(&mut self, line: &Line, t: u64) {
        let card = number(line.column(8));
        match line.column(4) {
            // A credit counts for no day, and is in no doubt.
            "void" if line.word("of").is_some() => (),
            "void" => {
                let about = number(line.column(18));
                let back = Purses::moved(line).money() + line.word("cleared").map_or(0, fen);
                let day = line.word("day").and_then(|day| Date::parse(day.as_bytes())).expect("a void says the day");
                let period = line.word("period").filter(|_| line.word("rest").is_none());
                let is_counted = line.word("invalid").is_none();
                for card in self.orders.carriers(card) {
                    if is_counted && self.days.take_back(card, day.0, back, period, is_meal(line)) {
                        self.touched.push((line.column(9).to_owned(), Some((card, day.0))));
                    }
                }
                if line.word("rest").is_none() {
                    if self.doubt_places.contains_key(&about) {
                        self.coverage.count("branch void of a sale in doubt");
                    }
                    self.settle(about);
                    self.voided_at.insert(about, t);
                }
                if self.orders.sales.get(&about).is_some_and(|sold| sold.kind == "offline") {
                    self.coverage.count("branch void of an offline sale");
                }
            }
            "link" => {
                let old = number(line.word("was").unwrap_or(""));
                for day in self.days.carry_on(old, card) {
                    self.touched.push((line.column(9).to_owned(), Some((card, day))));
                }
            }
            _ => (),
        }
    }

    fn take_decision(&mut self, line: &Line, text: &str, site: &Site, seq: u64, t: u64, process: u64) {
        let kind = line.column(4);
        let machine = line.column(5).parse::<u64>().unwrap_or(0);
        let serial = line.column(6).to_owned();
        let card = line.column(8).parse::<u64>().unwrap_or(0);
        let raw = line.column(16);
        let at = Civil::parse(raw.as_bytes()).filter(|_| line.word("invalid").is_none());
        let now = Heard { t, process, wall: wall_of(line) };
        let is_count = line.word("mode").is_some_and(|mode| mode != "0");
        let asked = match kind {
            "meal" => 0,
            "charge" | "scan" => -Purses::moved(line).money(),
            "offline" if is_count => 0,
            "matched" if is_count && line.word("code") == Some("105") => 0,
            _ => fen(line.word("asked").unwrap_or("")),
        };
        let place = (machine, card, asked);
        let frame = number(line.column(7));
        let about = line.column(18).parse::<u64>().ok();
        let is_decoy = site.find(card).is_some_and(|card| card.is_decoy);
        if matches!(kind, "charge" | "meal" | "scan" | "offline" | "matched" | "repeat" | "admit") {
            assert!(site.serves(machine), "a device in quarantine was served: {text}");
        }
        match kind {
            "charge" | "meal" | "scan" => {
                let key = frame_key(line, machine, asked);
                let sale = self.sale_of(&key);
                assert!(self.moved.insert((key.clone(), sale), ()).is_none(), "one frame charged twice: {text}");
                self.answer(line, &key, now);
                let after = Purses::after(line);
                self.figures.of(key.clone()).push(shown_of(after, kind == "meal"));
                let is_scan = kind == "scan";
                let is_nothing = is_scan && asked == 0;
                if !is_nothing {
                    self.judge_charge(place, &serial, at.filter(|_| !is_scan), &now, raw, site, text);
                }
                match sale {
                    Some(sale) => self.book(sale, Move { seq, at, frame, is_offline: false }, machine, text),
                    None => assert!(is_decoy, "an entry for a frame that nobody sent: {text}"),
                }
                let doubt = Doubt { seq, at, tried_at: at, tried: now, serial: serial.clone() };
                self.doubts.entry(place).or_default().push(doubt);
                self.doubt_places.insert(seq, place);
                if let Some(at) = at.filter(|_| !is_scan) {
                    self.approved_at.of(place).push((at, serial, seq));
                }
                self.approve(machine, seq);
            }
            "repeat" | "matched" if line.word("code") != Some("105") => {
                let key = frame_key(line, machine, asked);
                self.answer(line, &key, now);
                let left = line.word("left").map(|left| Purses::parse(left).expect("it was read"));
                self.figures.of(key.clone()).push(shown_of(left.unwrap_or_else(|| Purses::after(line)), asked == 0));
                let about = about.expect("a ref");
                let sale = self.sale_of(&key);
                let other = self.sale_of_entry.get(&about).copied();
                if let Some(sale) = sale.filter(|_| other.is_some() && sale != other) {
                    // `repeat` is judged below by the same rule as if it were.
                    let same_time = self.offline.get(&place).into_iter().flatten();
                    let mut same_time = same_time.filter(|stored| stored.seq == about && stored.time == raw);
                    let is_excused = kind == "repeat" || (at.is_some() && same_time.next().is_some());
                    assert!(is_excused, "taken for another sale: {text}");
                    let excuse = if kind == "repeat" { TRIED_AGAIN } else { SAME_SECOND };
                    self.lend(sale, other, excuse);
                } else {
                    assert!(is_decoy || sale.is_some() && sale == other, "taken for another sale: {text}");
                }
                if kind == "repeat" {
                    let doubts = self.doubts.get(&place);
                    let doubt = doubts.and_then(|doubts| doubts.iter().find(|doubt| doubt.seq == about));
                    let is_doubted = doubt.is_some_and(|doubt| self.is_recent(&doubt.tried, &now, site.same_sale_s));
                    assert!(is_doubted && self.is_confirming(machine), "forgiven without a doubt: {text}");
                    let mut doubts = self.doubts.get_mut(&place).into_iter().flatten();
                    if let Some(doubt) = doubts.find(|doubt| doubt.seq == about) {
                        (doubt.tried, doubt.tried_at) = (now, at);
                    }
                    if let Some(at) = at {
                        self.approved_at.of(place).push((at, serial, about));
                    }
                }
                if kind == "matched" {
                    self.settle(about);
                    // One record takes one sale.
                    let stored = self.offline.of(place);
                    let before = stored.len();
                    stored.retain(|stored| stored.seq != about);
                    assert!(stored.len() < before, "matched with no record that is free: {text}");
                }
            }
            "offline" | "matched" => {
                let slot = line.column(17);
                // A forger's 105 may hold nothing at all.
                let is_decoy = is_decoy || slot.is_empty();
                let key = format!("{machine}/{slot}/{raw}");
                let is_again = line.word("again").is_some();
                let stored = self.records.of(key);
                // The time may be believed now, and not when the record came before: the clock was
                // unset then.
                let is_unsure = at.is_none() || stored.newest.is_some();
                assert!(!is_again || (is_unsure && line.word("claimed").is_some()), "again, for certain: {text}");
                let waiting = stored.made.iter_mut().find(|made| !made.is_entered && !made.is_dropped);
                if is_again && waiting.is_none() {
                    self.coverage.count("branch offline claimed again");
                    return;
                }
                let sale = waiting.map(|made| {
                    made.is_entered = true;
                    made.sale
                });
                let (count, made) = (stored.booked_by.len() + 1, stored.made.len());
                let is_known = stored.booked_by.contains(&frame);
                stored.booked_by.push(frame);
                stored.newest = line.word("invalid").map(|_| now);
                if count > 1 && sale.is_none() && at.is_none() && !is_known {
                    // Without a time, nothing tells an earlier upload that comes late from a record
                    // that used the slot again.
                    self.coverage
                        .count("allowed: a record without a time booked again by an earlier upload that came late");
                } else {
                    assert!(is_decoy || sale.is_some(), "a record booked {count} times, made {made} times: {text}");
                }
                if line.word("claimed").is_none() {
                    if kind == "offline" {
                        self.judge_offline(place, &serial, at, &now, site, text);
                        if let Some(sale) = sale {
                            self.book(sale, Move { seq, at, frame, is_offline: true }, machine, text);
                        }
                    } else {
                        let about = about.expect("a ref");
                        assert!(self.taken.insert(about, sale).is_none(), "one sale absorbs one 105: {text}");
                        let other = self.sale_of_entry.get(&about).copied();
                        if let Some(sale) = sale.filter(|_| other.is_some() && sale != other) {
                            let excuse = self.resemblance(place, about, &serial, at, &now, site);
                            let excuse = excuse.unwrap_or_else(|| panic!("taken for another sale: {text}"));
                            self.lend(sale, other, excuse);
                            self.coverage.count(excuse);
                        } else {
                            assert!(is_decoy || sale == other, "taken for another sale: {text}");
                        }
                        self.settle(about);
                    }
                    if at.is_some() && kind == "offline" {
                        self.offline.of(place).push(Stored { seq, time: raw.to_owned(), serial });
                    }
                } else if line.word("reason") == Some("voided") {
                    let about = about.expect("a ref");
                    let is_whole = self.orders.sales.get(&about).is_some_and(|sold| sold.left() == 0);
                    assert!(is_whole, "listed as voided, and was not: {text}");
                    assert!(self.taken.insert(about, sale).is_none(), "one sale absorbs one 105: {text}");
                    self.coverage.count("branch offline of a voided sale");
                } else if let Some(claimed) = claimed_amount(line).filter(|_| !is_again) {
                    // What is listed the operator books by hand: it must be no sale that was
                    // charged.
                    let place = (machine, card, if is_count { 0 } else { claimed });
                    self.judge_offline(place, &serial, at, &now, site, text);
                }
                if line.word("claimed").is_some() && line.word("reason") != Some("voided") {
                    let unreadable = claimed_amount(line).is_none();
                    self.coverage.count(match (is_again, unreadable) {
                        (true, _) => "allowed: a sale left to a person, because its record looks like one before",
                        (false, true) => "allowed: a sale left to a person, because it cannot be read",
                        (false, false) => "allowed: a sale left to a person, because it is above offline_max",
                    });
                }
                if let Some(sale) = sale {
                    self.sale_of_entry.insert(seq, sale);
                }
            }
            "decline" if self.site_from < seq => self.judge_refusal(line, text, site, asked),
            _ => (),
        }
        match kind {
            "decline" => {
                let key = frame_key(line, machine, asked);
                self.answer(line, &key, now);
            }
            "confirm" => {
                let about = about.expect("a ref");
                if let Some(sale) = self.sale_of_entry.get(&about) {
                    // What its terminal booked is charged no more: there a 109 meant for an answer
                    // given again does no harm.
                    let is_over =
                        |made: &Sale| made.is_told || made.is_lent || made.moves.iter().any(|moved| moved.is_offline);
                    assert!(self.sales.get(sale).is_none_or(is_over), "confirmed, and never shown: {text}");
                }
                self.settle(about);
                self.confirmed_by.insert(about, frame);
                for pass in self.passes.values_mut().flatten().filter(|pass| pass.seq == about) {
                    pass.is_confirmed = true;
                }
                let approvals = self.approvals.entry(machine).or_default();
                if let Some(approval) = approvals.iter_mut().find(|(seq, _)| *seq == about) {
                    approval.1 = true;
                }
            }
            "admit" => {
                let key = frame_key(line, machine, 0);
                let admission = Admission { at: t, process, is_timed: line.word("invalid").is_none() };
                self.judge_admit(line, text, site, &key, admission);
                let before = self.admissions.insert(key, admission);
                if let Some(before) = before {
                    assert!(before.is_over(t, process), "admitted twice: {text}");
                    self.coverage.count("allowed: a door opened again for a frame whose time was not believed");
                }
                self.approve(machine, seq);
            }
            "refuse" if self.site_from < seq => {
                self.judge_door_refusal(line, text, site, Admission { at: t, process, is_timed: true });
            }
            "alarm" if line.word("rule") == Some("duress") => {
                let (card, slot) = (line.column(8), line.column(17));
                self.duress.insert(format!("{machine}/{}/{raw}/{card}@{slot}/0", number(line.column(7))), ());
            }
            _ => (),
        }
    }

    /// A frame was decided.
    fn answer(&mut self, line: &Line, key: &str, now: Heard) {
        if line.word("invalid").is_some() {
            self.answered.insert(key.to_owned(), now);
        }
    }

    /// Why a record could be taken for this sale, which was another one.
    fn resemblance(
        &self,
        place: Place,
        about: u64,
        serial: &str,
        at: Option<Civil>,
        now: &Heard,
        site: &Site,
    ) -> Option<&'static str> {
        let mut approved = self.approved_at.get(&place).into_iter().flatten();
        if approved.any(|(first, owner, sale)| *sale == about && Some(*first) == at && same(owner, serial)) {
            return Some(SAME_SECOND);
        }
        let doubts = self.doubts.get(&place).into_iter().flatten();
        let mut doubts = doubts.filter(|doubt| doubt.seq == about && same(&doubt.serial, serial));
        let is_near = doubts.any(|doubt| self.is_near(doubt, at, now, site.offline_match_s));
        (is_near && self.is_confirming(place.0)).then_some(NEAR_IN_DOUBT)
    }

    /// Whether a record of this time may be the sale in doubt.
    fn is_near(&self, doubt: &Doubt, at: Option<Civil>, now: &Heard, window: i64) -> bool {
        let by_device = at.filter(|_| doubt.at.or(doubt.tried_at).is_some());
        match by_device {
            Some(at) => is_within(doubt.at, at, -window, window) || is_within(doubt.tried_at, at, -window, window),
            None => self.is_recent(&doubt.tried, now, window),
        }
    }

    /// An entry moves an account for this sale: the first, or one that has an excuse.
    fn book(&mut self, sale: SaleId, entry: Move, machine: u64, text: &str) {
        let before = self.sales.get(&sale).and_then(|made| made.moves.last().cloned());
        if let Some(before) = before {
            let excuse = self.excuse(&before, &entry, machine);
            let excuse = excuse.unwrap_or_else(|| panic!("a sale charged twice: {text}\nbefore: {before:?}"));
            super::tell(|| format!("{excuse}: {before:?} {entry:?}"));
            self.coverage.count(excuse);
        }
        self.sale_of_entry.insert(entry.seq, sale);
        self.sales.of(sale).moves.push(entry);
    }

    /// Why nobody could know that this entry is of the same sale as the one before
    /// (docs/decisions.md).
    fn excuse(&self, before: &Move, entry: &Move, machine: u64) -> Option<&'static str> {
        let is_voided = self.orders.sales.get(&before.seq).is_some_and(|sold| sold.left() == 0);
        if is_voided {
            return Some("allowed: a sale charged again after it was voided");
        }
        if before.at.is_none() || entry.at.is_none() {
            return Some("allowed: a sale charged twice, of a device without a believed time");
        }
        let is_lent = |other: &Option<SaleId>| *other != self.sale_of_entry.get(&before.seq).copied();
        if entry.is_offline && self.taken.get(&before.seq).is_some_and(is_lent) {
            return Some("allowed: a sale charged twice, because another's record was taken for it");
        }
        // Its own record, or one that was taken for it.
        if before.is_offline || (!entry.is_offline && self.taken.contains_key(&before.seq)) {
            return Some(
                "allowed: a sale charged twice, whose record names another time than its frame that came later",
            );
        }
        let is_behind = |by: &u64| entry.frame.wrapping_sub(*by) & 0xFFFF >= 0x8000;
        if !entry.is_offline && self.confirmed_by.get(&before.seq).is_some_and(is_behind) {
            return Some("allowed: a sale charged twice, because a try came after the 109 that confirmed it");
        }
        let doubt = self.doubt_places.get(&before.seq).and_then(|place| self.doubts.get(place));
        let doubt = doubt.into_iter().flatten().find(|doubt| doubt.seq == before.seq)?;
        if !self.is_confirming(machine) {
            return Some("allowed: a sale charged twice, of a device that confirms nothing");
        }
        if !self.is_kept(machine, doubt) {
            return Some("allowed: a sale charged twice, whose first entry was forgotten");
        }
        // Within the window, `judge_charge` and `judge_offline` would have objected.
        Some("allowed: a sale charged twice, too long after each other")
    }

    fn approve(&mut self, machine: u64, seq: u64) {
        let approvals = self.approvals.entry(machine).or_default();
        approvals.push_back((seq, false));
        if approvals.len() > 10 {
            approvals.pop_front();
        }
    }

    fn is_confirming(&self, machine: u64) -> bool {
        self.approvals.get(&machine).is_some_and(|approvals| approvals.iter().any(|(_, confirmed)| *confirmed))
    }

    fn settle(&mut self, about: u64) {
        let Some(place) = self.doubt_places.remove(&about) else { return };
        let doubts = self.doubts.get_mut(&place).expect("its doubt is listed");
        doubts.retain(|doubt| doubt.seq != about);
        if doubts.is_empty() {
            self.doubts.remove(&place);
        }
    }

    /// Whether the server must know of this doubt: older ones may be forgotten, and all of a device
    /// that gave way.
    fn is_kept(&self, machine: u64, doubt: &Doubt) -> bool {
        let is_new = self.doubt_places.range(doubt.seq..).nth(DOUBTS_KEPT_MIN).is_none();
        is_new && self.is_confirming(machine) && !self.forgettable.contains(&machine)
    }

    /// Within a window, of which no seconds mean that there is none.
    fn is_recent(&self, before: &Heard, now: &Heard, window_s: i64) -> bool {
        window_s > 0 && self.age_ms(before, now) <= window_s.unsigned_abs() * 1000
    }

    /// A sale was charged: none of those before may have been the same one. `at`: of a card's, if
    /// it is believed.
    #[expect(clippy::too_many_arguments, reason = "all that a sale is known by")]
    fn judge_charge(
        &self,
        place: Place,
        serial: &str,
        at: Option<Civil>,
        now: &Heard,
        raw: &str,
        site: &Site,
        text: &str,
    ) {
        let mut doubts = self.doubts.get(&place).into_iter().flatten();
        let tried =
            doubts.find(|doubt| same(&doubt.serial, serial) && self.is_recent(&doubt.tried, now, site.same_sale_s));
        assert!(
            tried.is_none_or(|tried| !self.is_kept(place.0, tried)),
            "tried again, charged again: {text}\nfirst: {tried:?}"
        );
        let mut stored = self.offline.get(&place).into_iter().flatten().filter(|_| at.is_some());
        let stored = stored.find(|stored| stored.time == raw && same(&stored.serial, serial));
        assert!(stored.is_none(), "booked by its 105, and charged: {text}");
    }

    fn judge_offline(&self, place: Place, serial: &str, at: Option<Civil>, now: &Heard, site: &Site, text: &str) {
        let mut approved = self.approved_at.get(&place).into_iter().flatten();
        let same_time = approved
            .find(|(first, owner, sale)| Some(*first) == at && same(owner, serial) && !self.taken.contains_key(sale));
        assert!(same_time.is_none(), "approved at the same second, and booked: {text}");
        let mut doubts = self.doubts.get(&place).into_iter().flatten();
        let near =
            doubts.find(|doubt| same(&doubt.serial, serial) && self.is_near(doubt, at, now, site.offline_match_s));
        assert!(near.is_none_or(|near| !self.is_kept(place.0, near)), "in doubt, and booked: {text}\nfirst: {near:?}");
    }

    /// The server's figures are the sums of its durable entries.
    pub fn compare(&mut self, book: &Book, site: &Site) {
        self.compare_clearing(book);
        for (account, day) in std::mem::take(&mut self.touched) {
            self.compare_account(book, &account, site);
            if let Some((card, day)) = day {
                self.days.compare(book, card, day);
            }
        }
    }

    /// All of them.
    pub fn compare_all(&mut self, book: &Book, site: &Site) {
        self.touched.clear();
        self.compare_clearing(book);
        for account in self.sums.keys() {
            self.compare_account(book, account, site);
        }
        for card in &site.cards {
            // An account of the table that its card is not on, by the ledger, opens for nobody.
            let is_its = self.orders.account(card.number, site).is_some_and(|account| account == card.account);
            if is_its && !self.sums.contains_key(&card.account) {
                self.compare_account(book, &card.account, site);
            }
        }
    }

    /// How far the last clear of all subsidy purses is.
    fn compare_clearing(&self, book: &Book) {
        let live = book.clearing().map(|it| (it.begin.0, it.accounts, it.sum.fen(), it.end.0));
        let expected = self.orders.clearing.map(|it| (it.begin, it.accounts, it.sum, it.end.unwrap_or(0)));
        assert_eq!(live, expected, "the clear of every subsidy: live, or by its entries");
    }

    /// The sales in doubt, after a start: while it runs the server knows of 109s that are not
    /// durable yet.
    pub fn compare_doubts(&self, book: &Book) {
        let doubts = self.doubt_places.len();
        // Of more than these the oldest go.
        assert!(doubts > DOUBTS_KEPT_MIN || book.doubts() == doubts, "in doubt: {} or {doubts}", book.doubts());
    }

    /// What an account holds: its entries, or the table's figures until it is opened.
    pub fn holds(&self, id: &str, site: &Site) -> Purses {
        let sum = self.sums.get(id).copied().unwrap_or_default();
        let opening = if self.opened.contains(id) { None } else { self.opening(id, site) };
        sum + opening.unwrap_or_default()
    }

    /// The figures that an account opens with: nobody's, where the row that states them is of a
    /// card that the ledger has on another account.
    fn opening(&self, id: &str, site: &Site) -> Option<Purses> {
        let row = site.cards.iter().find(|card| card.account == id)?;
        let is_its = self.orders.account(row.number, site).is_some_and(|account| account == id);
        Some(if is_its { row.opening() } else { Purses::default() })
    }

    fn compare_account(&self, book: &Book, id: &str, site: &Site) {
        let sum = self.sums.get(id).copied().unwrap_or_default();
        let Some(row) = book.account_row(id) else {
            assert_eq!(sum, Purses::default(), "account {id} is gone");
            return;
        };
        let account = book.account(row);
        assert_eq!(Purses::of(account.held), sum, "account {id}: live, or summed up");
        assert_eq!(Purses::of(account.figures()), self.holds(id, site), "figures of {id}");
    }
}

/// Whether a sale was in count mode, or a void says so of its sale.
fn is_meal(line: &Line) -> bool {
    line.column(4) == "meal" || (line.column(4) != "charge" && line.word("mode") == Some("1"))
}

/// What a display says that is left: uses after a meal, else both purses together.
fn shown_of(left: Purses, is_count: bool) -> String {
    if is_count { left.uses.to_string() } else { yuan(left.money()) }
}

/// A sale counts for the day and the period in which it was made, if the clock was right.
fn judge_day(line: &Line, text: &str, site: &Site) {
    let Some(at) = shown_at(line) else { return };
    let machine = number(line.column(5));
    let (day, period) = site.day_of(machine, at);
    let said = [line.word("day").unwrap_or(""), line.word("period").unwrap_or("")];
    assert_eq!(said, [day.to_string().as_str(), period], "day and period of {text}");
}

/// What the clock showed, if it was right.
fn shown_at(line: &Line) -> Option<Civil> {
    let shown = line.column(2)[..19].replace('T', " ");
    let at = Civil::parse(shown.as_bytes()).unwrap_or_else(|| panic!("no time: {shown}"));
    Some(at).filter(|_| line.column(3) == "ok")
}

/// The same in milliseconds since 1970.
fn wall_of(line: &Line) -> Option<i64> {
    let ms: i64 = line.column(2)[20..23].parse().expect("milliseconds");
    shown_at(line).map(|at| at.0 * 1000 + ms)
}

/// Fen of a record that is listed and not booked, if all of it can be read.
fn claimed_amount(line: &Line) -> Option<i64> {
    let claimed =
        line.word("claimed").filter(|_| line.word("card").is_none() && line.word("mode") != Some("unreadable"))?;
    let is_amount =
        claimed.split('.').count() <= 2 && claimed.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_amount.then(|| fen(claimed))
}

fn record_key(machine: u64, record: &Record) -> String {
    format!("{machine}/{:08}/{}", record.slot, record.time)
}

fn frame_key(line: &Line, machine: u64, asked: i64) -> String {
    let subject = match (line.column(4), line.word("code")) {
        ("scan", _) | (_, Some("128")) => line.column(17).to_owned(),
        ("admit" | "refuse", _) => format!("{}@{}", line.column(8), line.column(17)),
        _ => line.column(8).to_owned(),
    };
    format!("{machine}/{}/{}/{subject}/{asked}", number(line.column(7)), line.column(16))
}

/// What the ledger will know a frame by; `None` for frames that nothing rests on.
pub fn tag(frame: &[u8]) -> Option<Tag> {
    let text = std::str::from_utf8(frame).ok()?;
    let fields: Vec<&str> = text.split(',').map(str::trim).collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or("");
    let (seq, machine) = (number(field(1)), number(field(4)));
    let card = |index: usize| format!("{:0>10}", field(index));
    let key = |time: &str, subject: &str, asked: i64| format!("{machine}/{seq}/{time}/{subject}/{asked}");
    match field(0) {
        "103" => Some(Tag::Sale(key(field(7), &card(5), fen(field(6))))),
        "104" => Some(Tag::Sale(key(field(6), &card(5), 0))),
        "128" => Some(Tag::Sale(key(field(7), field(5), fen(field(6))))),
        "105" => Some(Tag::Record(format!("{machine}/{}/{}", field(9), field(7)))),
        "150" => {
            let card = if field(5).is_empty() { String::new() } else { card(5) };
            let is_duress = field(9) == "4" || (matches!(field(9), "1" | "2") && field(10) == super::site::DURESS_PIN);
            Some(Tag::Door(key(field(11), &format!("{card}@{}:{}", field(6), field(7)), 0), is_duress))
        }
        _ => None,
    }
}

pub fn number(text: &str) -> u64 {
    text.parse().unwrap_or(u64::MAX)
}

pub fn fen(text: &str) -> i64 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (yuan, rest) = digits.split_once('.').unwrap_or((digits, "0"));
    sign * (yuan.parse::<i64>().unwrap_or(0) * 100 + rest.parse::<i64>().unwrap_or(0))
}

fn same(one: &str, other: &str) -> bool {
    one.is_empty() || other.is_empty() || one.eq_ignore_ascii_case(other)
}

/// Within a window, of which no seconds mean that there is none.
fn is_within(first: Option<Civil>, at: Civil, low: i64, high: i64) -> bool {
    high > 0 && first.is_some_and(|first| (low..=high).contains(&(at.0 - first.0)))
}
