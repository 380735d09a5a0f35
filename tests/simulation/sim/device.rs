//! Terminals and boards as protocol.md knows them (*How the devices behave*). They write and read
//! frames with code of their own: a second opinion on the wire.
//!
//! A device does one thing at a time: it sends a frame three times until it hears 001, waits some
//! seconds for the result, and gives up. Then a terminal books the sale itself if the card is on
//! its white list, or the cashier tries again under a new seq, or the customer leaves. A command is
//! confirmed by a 109 if it belongs to what the device is doing, or is the last such command once
//! more. What came too late is ignored.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

use posgate::engine::model::Civil;

use super::clock::true_civil;
use super::coverage::Coverage;
use super::random::Random;

pub type SaleId = usize;

/// What a device sends in its 109s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirms {
    Bare,
    Named,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceClock {
    /// Milliseconds beyond the true time, when it was set; and how many it gains an hour.
    Runs(i64),
    /// It says something that is no date.
    Dead,
    /// It says for ever what it said when the power came.
    Stuck,
}

/// What a clock without a battery begins with: 2000-01-01 00:00:00.
const EPOCH: Civil = Civil(946_684_800);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Boot,
    Keys,
    Inquiry,
    /// Fen.
    Charge(i64),
    /// `true`: as a 103 of 0.00.
    Meal(bool),
    /// Fen.
    Scan(i64),
    /// Of a record.
    Upload,
    /// Door, kind of PIN.
    Door(u8, u8),
}

impl Ask {
    pub fn is_sale(self) -> bool {
        matches!(self, Self::Charge(_) | Self::Meal(_) | Self::Scan(_))
    }
}

/// What the device is doing.
#[derive(Clone, Debug)]
pub struct Work {
    pub ask: Ask,
    /// Card or command number.
    pub subject: String,
    pub card: u64,
    pub sale: Option<SaleId>,
    pub tries: u8,
    /// What the display of its 008 must echo.
    amount: String,
    frame: Vec<u8>,
    seq: u16,
    /// Its time in the frame.
    pub time: String,
    at: Option<Civil>,
    sends: u8,
    heard: bool,
    send_at: u64,
    give_up_at: u64,
}

/// A sale that the terminal booked itself.
#[derive(Clone, Debug)]
pub struct Record {
    pub sale: SaleId,
    pub card: String,
    pub amount: String,
    pub time: String,
    pub at: Option<Civil>,
    pub kind: u8,
    pub slot: u64,
    uploads: u32,
}

/// What the world must know or do.
#[derive(Clone, Debug)]
pub enum Note {
    Send(Vec<u8>),
    /// A frame of a sale, a door or a record was made: the key under which the ledger must know it.
    Framed {
        frame: Vec<u8>,
        work: Box<Work>,
    },
    /// 008 for the sale was shown.
    Approved(SaleId),
    /// 011 came, and the record is gone.
    Dropped(Record),
    /// The cashier gave up, and may try again.
    Failed(Box<Work>),
    /// 050 came.
    Opened,
    /// The terminal booked it itself.
    Booked(Record),
}

impl Record {
    /// One like it, of another sale.
    pub fn of(&self, sale: SaleId) -> Self {
        Self { sale, uploads: 0, ..self.clone() }
    }
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "habits, each of its own")]
pub struct Device {
    pub machine: u16,
    pub address: Ipv4Addr,
    pub serial: Option<String>,
    pub confirms: Confirms,
    pub is_board: bool,
    pub clock: DeviceClock,
    /// Its clock is set to 2000 when the power comes back, or does not run.
    pub forgets_time: bool,
    /// It does so at the same second each time.
    begins_alike: bool,
    /// What its clock is, if it is broken.
    broken: Option<DeviceClock>,
    dead_time: &'static str,
    /// Milliseconds that its clock gains an hour, and since when.
    drift_ms: i64,
    set_at: u64,
    /// Its records begin at the first address again once all are gone.
    reuses_addresses: bool,
    /// An offline sale carries the time of the request, or that of the booking.
    books_first_time: bool,
    has_mode: bool,
    interval: u64,
    patience: u64,
    pub is_intruder: bool,
    pub off_until: Option<u64>,
    has_begun: bool,
    seq: u16,
    pub work: Option<Work>,
    pub planned: VecDeque<(u64, Work)>,
    pub records: VecDeque<Record>,
    slot: u64,
    slots: u64,
    upload_at: u64,
    last_command: Vec<u8>,
    commands: u32,
}

impl Work {
    pub fn new(ask: Ask, subject: String, card: u64, sale: Option<SaleId>) -> Self {
        let amount = match ask {
            Ask::Charge(fen) | Ask::Scan(fen) => super::site::yuan(fen),
            _ => "0.00".to_owned(),
        };
        Self {
            ask,
            subject,
            card,
            sale,
            tries: 0,
            amount,
            frame: Vec::new(),
            seq: 0,
            time: String::new(),
            at: None,
            sends: 0,
            heard: false,
            send_at: 0,
            give_up_at: 0,
        }
    }

    /// Every third card is on the terminals' white lists.
    pub fn is_white(&self) -> bool {
        self.card.is_multiple_of(3)
    }

    /// The same, to be tried once more. Whose code led to nothing shows it again, under another
    /// command number, or swipes the card.
    pub fn again(&self, command: Option<String>) -> Self {
        let (ask, subject) = match (self.ask, command) {
            (Ask::Scan(fen), Some(command)) => (Ask::Scan(fen), command),
            (Ask::Scan(fen), None) => (Ask::Charge(fen), format!("{:010}", self.card)),
            (ask, _) => (ask, self.subject.clone()),
        };
        Self { tries: self.tries + 1, ..Self::new(ask, subject, self.card, self.sale) }
    }
}

impl Device {
    pub fn new(machine: u16, address: Ipv4Addr, is_board: bool, random: &mut Random) -> Self {
        let broken = match random.below(1000) {
            0..70 => Some(DeviceClock::Dead),
            70..140 => Some(DeviceClock::Stuck),
            _ => None,
        };
        Self {
            machine,
            address,
            serial: random.happens(600).then(|| format!("{:010}", random.below(10_000_000_000))),
            confirms: random.pick(&[Confirms::Bare, Confirms::Named, Confirms::Named, Confirms::Never]),
            is_board,
            clock: broken.unwrap_or(DeviceClock::Runs(0)),
            forgets_time: random.happens(400),
            begins_alike: random.happens(500),
            broken,
            dead_time: random.pick(&["0000-00-00 00:00:00", "2000-00-00 00:00:00"]),
            drift_ms: random.pick(&[0, 0, 0, 0, 12_000, -12_000, 45_000, -45_000]),
            set_at: 0,
            reuses_addresses: random.happens(250),
            books_first_time: random.happens(500),
            has_mode: random.happens(500),
            interval: random.between(300, 2000),
            patience: random.between(3000, 6500),
            is_intruder: false,
            off_until: None,
            has_begun: false,
            seq: random.pick(&[0, 0, 65_480]),
            work: None,
            planned: VecDeque::new(),
            records: VecDeque::new(),
            slot: random.below(90_000_000),
            slots: if random.happens(150) { 2 } else { 100_000_000 },
            upload_at: 0,
            last_command: Vec::new(),
            commands: 0,
        }
    }

    pub fn source(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, 39_190)
    }

    /// When it has something to do next.
    pub fn next_deadline(&self) -> Option<u64> {
        if let Some(until) = self.off_until {
            return Some(until);
        }
        if let Some(work) = &self.work {
            return Some(if work.heard || work.sends >= 3 {
                work.give_up_at
            } else {
                work.send_at.min(work.give_up_at)
            });
        }
        let planned = self.planned.front().map(|(at, _)| *at);
        let upload = (!self.records.is_empty()).then_some(self.upload_at);
        planned.into_iter().chain(upload).min()
    }

    /// Whether its clock tells nobody when anything was.
    pub fn is_timeless(&self) -> bool {
        self.broken.is_some()
    }

    /// Whether a result was shown since its power came on.
    pub fn was_answered(&self) -> bool {
        !self.last_command.is_empty()
    }

    /// The power goes, and comes back at `until`.
    pub fn cut_power(&mut self, until: u64) {
        self.off_until = Some(until);
        self.work = None;
        self.planned.clear();
        self.last_command.clear();
    }

    pub fn plan(&mut self, at: u64, work: Work) {
        let place = self.planned.partition_point(|(other, _)| *other <= at);
        self.planned.insert(place, (at, work));
    }

    fn shown(&self, t: u64) -> (String, Option<Civil>) {
        match self.clock {
            DeviceClock::Dead => (self.dead_time.to_owned(), None),
            DeviceClock::Stuck => (EPOCH.to_string(), Some(EPOCH)),
            DeviceClock::Runs(error_ms) => {
                let runs_s = i64::try_from((t - self.set_at) / 1000).expect("a world lasts no ages");
                let error_ms = error_ms + self.drift_ms * runs_s / 3600;
                let civil = Civil(true_civil(t).0 + error_ms.div_euclid(1000));
                (civil.to_string(), Some(civil))
            }
        }
    }

    fn next_seq(&mut self) -> u16 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }

    /// Does what is due.
    pub fn tick(&mut self, t: u64, random: &mut Random, coverage: &mut Coverage, notes: &mut Vec<Note>) {
        if let Some(until) = self.off_until {
            if t < until {
                return;
            }
            self.off_until = None;
            // It may have counted for long before this world began.
            if self.has_begun {
                coverage.count("device seq began anew");
                self.seq = 0;
            }
            self.has_begun = true;
            if let Some(broken) = self.broken {
                coverage.count(match broken {
                    DeviceClock::Stuck => "device clock stuck",
                    DeviceClock::Dead | DeviceClock::Runs(_) => "device clock dead",
                });
                self.clock = broken;
            } else if self.forgets_time {
                let month_s = if self.begins_alike { 0 } else { random.below(28 * 86_400) };
                let month_s = i64::try_from(month_s).expect("a month");
                self.clock = DeviceClock::Runs((EPOCH.0 + month_s - true_civil(t).0) * 1000);
                self.set_at = t;
            }
            if self.drift_ms != 0 {
                coverage.count(if self.drift_ms > 0 { "device clock fast" } else { "device clock slow" });
            }
            self.begin(t, Work::new(Ask::Boot, String::new(), 0, None), None, random, coverage, notes);
        }
        if let Some(mut work) = self.work.take() {
            if work.give_up_at <= t {
                self.give_up(t, work, random, coverage, notes);
            } else {
                if !work.heard && work.sends < 3 && work.send_at <= t {
                    work.sends += 1;
                    coverage.count(if work.sends == 3 {
                        "device frame sent a third time"
                    } else {
                        "device frame sent again"
                    });
                    work.send_at = t + self.interval;
                    notes.push(Note::Send(work.frame.clone()));
                }
                self.work = Some(work);
                return;
            }
        }
        if self.work.is_some() {
            return;
        }
        let is_planned = self.planned.front().is_some_and(|(at, _)| *at <= t);
        let is_stored = !self.records.is_empty() && self.upload_at <= t;
        if is_stored && (!is_planned || random.happens(500)) {
            self.upload(t, random, coverage, notes);
        } else if is_planned && let Some((_, work)) = self.planned.pop_front() {
            self.begin(t, work, None, random, coverage, notes);
        }
    }

    fn upload(&mut self, t: u64, random: &mut Random, coverage: &mut Coverage, notes: &mut Vec<Note>) {
        let Some(record) = self.records.front_mut() else { return };
        record.uploads += 1;
        if record.uploads > 1 {
            coverage.count("device record sent again");
        }
        let record = record.clone();
        let work = Work::new(Ask::Upload, record.card.clone(), 0, Some(record.sale));
        self.begin(t, work, Some(&record), random, coverage, notes);
    }

    fn begin(
        &mut self,
        t: u64,
        mut work: Work,
        record: Option<&Record>,
        random: &mut Random,
        coverage: &mut Coverage,
        notes: &mut Vec<Note>,
    ) {
        let seq = self.next_seq();
        if seq == 0 {
            coverage.count("device seq wrapped");
        }
        self.last_command.clear();
        (work.time, work.at) = self.shown(t);
        let code = match work.ask {
            Ask::Boot => 101,
            Ask::Keys => 106,
            Ask::Inquiry => 102,
            Ask::Charge(_) | Ask::Meal(true) => 103,
            Ask::Meal(false) => 104,
            Ask::Scan(_) => 128,
            Ask::Upload => 105,
            Ask::Door(..) => 150,
        };
        let head = format!("{code},{seq:05},{},192.168.1.2,{:05}", self.address, self.machine);
        let (subject, time, amount) = (&work.subject, &work.time, &work.amount);
        let mut body = match work.ask {
            Ask::Boot => time.clone(),
            Ask::Keys => format!("F{}", random.below(9)),
            Ask::Inquiry => subject.clone(),
            Ask::Charge(_) | Ask::Meal(true) if self.has_mode => format!("{subject}, {amount},{time},2"),
            Ask::Charge(_) | Ask::Meal(true) => format!("{subject},{amount},{time}"),
            Ask::Meal(false) => format!("{subject},{time}"),
            Ask::Scan(_) => format!("{subject},{amount},{time},0,CODE,{:06}", work.card.wrapping_sub(8_880_000_000)),
            Ask::Upload => {
                let record = record.expect("an upload is of a record");
                format!(
                    "{},{},{},{},{:08},{}",
                    record.card,
                    record.amount,
                    record.time,
                    record.kind,
                    record.slot,
                    self.records.len()
                )
            }
            Ask::Door(door, kind) => {
                let pin = match kind {
                    0 => "",
                    1 | 2 if random.happens(100) => "9",
                    1 | 2 if random.happens(100) => super::site::DURESS_PIN,
                    1 | 2 => super::site::PIN,
                    3 => super::site::DOOR_PIN,
                    _ => random.pick(&[super::site::PIN, super::site::DURESS_PIN]),
                };
                let open = if random.happens(30) { 60 } else { 0 };
                format!("{subject},{door},{door},{open},{kind},{pin},{time}")
            }
        };
        match (&self.serial, work.ask) {
            (Some(serial), _) => body = format!("{body},{serial}"),
            (None, Ask::Scan(_)) => body.push(','),
            (None, _) => (),
        }
        work.frame = format!("{head},{body}").into_bytes();
        work.seq = seq;
        work.sends = 1;
        work.heard = false;
        work.send_at = t + self.interval;
        work.give_up_at = t + self.patience;
        let frame = work.frame.clone();
        notes.push(Note::Framed { frame: frame.clone(), work: Box::new(work.clone()) });
        notes.push(Note::Send(frame));
        self.work = Some(work);
    }

    fn give_up(&mut self, t: u64, work: Work, random: &mut Random, coverage: &mut Coverage, notes: &mut Vec<Note>) {
        coverage.count("device gave up");
        if !work.heard {
            coverage.count("device heard no 001");
        }
        // The server may be away: the stored sales wait a while.
        self.upload_at = t + random.between(1000, 20_000);
        let Some(sale) = work.sale.filter(|_| work.ask.is_sale()) else { return };
        if work.is_white() && !matches!(work.ask, Ask::Scan(_)) {
            self.book(t, sale, &work, random, coverage, notes);
        } else {
            notes.push(Note::Failed(Box::new(work)));
        }
    }

    fn book(
        &mut self,
        t: u64,
        sale: SaleId,
        work: &Work,
        random: &mut Random,
        coverage: &mut Coverage,
        notes: &mut Vec<Note>,
    ) {
        coverage.count("device booked offline");
        let (time, at) = if self.books_first_time { (work.time.clone(), work.at) } else { self.shown(t) };
        let (time, at) = if random.happens(30) { ("0000-00-00 25:61:00".to_owned(), None) } else { (time, at) };
        if at.is_none() {
            coverage.count("device record with invalid time");
        }
        if self.reuses_addresses && self.records.is_empty() {
            coverage.count("device record addresses began anew");
            self.slot = self.slot / self.slots * self.slots;
        }
        self.slot = self.slot / self.slots * self.slots + (self.slot + 1) % self.slots;
        let kind = u8::from(matches!(work.ask, Ask::Meal(_)));
        let record = Record {
            sale,
            card: work.subject.clone(),
            amount: work.amount.clone(),
            time,
            at,
            kind,
            slot: self.slot,
            uploads: 0,
        };
        self.records.push_back(record.clone());
        notes.push(Note::Booked(record));
    }

    /// A record that the terminal made of a sale without asking; the world says which.
    pub fn store(&mut self, mut record: Record) -> Record {
        self.slot = self.slot / self.slots * self.slots + (self.slot + 1) % self.slots;
        record.slot = self.slot;
        self.records.push_back(record.clone());
        record
    }

    /// A datagram came.
    pub fn hear(
        &mut self,
        t: u64,
        datagram: &[u8],
        random: &mut Random,
        coverage: &mut Coverage,
        notes: &mut Vec<Note>,
    ) {
        if self.off_until.is_some() {
            return;
        }
        let fields: Vec<&[u8]> = datagram.split(|byte| *byte == b',').collect();
        let field = |index: usize| std::str::from_utf8(fields.get(index).copied().unwrap_or_default()).unwrap_or("");
        let code = field(0);
        if code == "001" {
            let seq: u16 = field(1).parse().unwrap_or(0);
            match &mut self.work {
                Some(work) if work.seq == seq => {
                    work.heard = true;
                    if matches!(work.ask, Ask::Boot | Ask::Keys) {
                        self.end(t);
                    }
                }
                Some(_) | None => (),
            }
            return;
        }
        if field(1) != format!("{:05}", self.machine) {
            return;
        }
        if code == "003" {
            if let (DeviceClock::Runs(_), Some(civil)) = (self.clock, Civil::parse(field(2).as_bytes())) {
                coverage.count("device clock set");
                self.set_at = t;
                self.clock = DeviceClock::Runs((civil.0 - true_civil(t).0) * 1000);
            }
            return;
        }
        if code == "011" {
            self.drop_record(t, &[field(2), field(3), field(4), field(5)], coverage, notes);
            return;
        }
        // Once more, because the 109 was lost perhaps. Only until the next request: its 109 would
        // then be taken for that one's command, since it names nothing or the same code, and nobody
        // can tell.
        if datagram == self.last_command {
            self.confirm(code, field(2), coverage, notes);
            return;
        }
        if self.work.is_none() && matches!(code, "009" | "050") {
            // Nobody asked for it: the operator did. While a request is going on its 109 could be
            // taken for that one's.
            coverage.count(if code == "009" { "device text shown unasked" } else { "device door opened unasked" });
            self.confirm(code, field(2), coverage, notes);
            return;
        }
        let Some(work) = &self.work else { return };
        let is_its = match (code, work.ask) {
            ("008", ask) => ask.is_sale() && field(2) == work.subject && field(3) == work.amount,
            ("006", ask) => ask.is_sale() && field(2) == work.subject,
            ("009", ask) => ask == Ask::Inquiry,
            ("050" | "051", ask) => matches!(ask, Ask::Door(..)) && field(2) == work.subject,
            _ => false,
        };
        if !is_its {
            return;
        }
        match (code, work.sale) {
            ("008", Some(sale)) => {
                coverage.count("device approval shown");
                notes.push(Note::Approved(sale));
            }
            ("050", _) => {
                coverage.count("device door opened");
                notes.push(Note::Opened);
            }
            ("051", _) => coverage.count("device door refused"),
            ("009", _) => coverage.count("device balance shown"),
            _ => coverage.count("device refusal shown"),
        }
        let subject = work.subject.clone();
        self.last_command = datagram.to_vec();
        self.confirm(code, &subject, coverage, notes);
        self.end(t);
        let _ = random;
    }

    fn end(&mut self, t: u64) {
        self.work = None;
        // The server answers: stored sales go now.
        self.upload_at = self.upload_at.min(t + 200);
    }

    fn confirm(&mut self, code: &str, subject: &str, coverage: &mut Coverage, notes: &mut Vec<Note>) {
        if self.confirms == Confirms::Never {
            coverage.count("device 109 never sent");
            return;
        }
        coverage.count("device 109 sent");
        self.commands += 1;
        let seq = self.next_seq();
        let head = format!("109,{seq:05},{},192.168.1.2,{:05}", self.address, self.machine);
        let frame = match self.confirms {
            Confirms::Named => format!("{head},{code},{subject}"),
            Confirms::Bare | Confirms::Never => head,
        };
        notes.push(Note::Send(frame.into_bytes()));
    }

    fn drop_record(
        &mut self,
        t: u64,
        [card, amount, time, slot]: &[&str; 4],
        coverage: &mut Coverage,
        notes: &mut Vec<Note>,
    ) {
        let Some(record) = self.records.front() else { return };
        let expected = if record.at.is_some() { record.time.as_str() } else { "9999-99-99 99:99:99" };
        if record.card != *card
            || record.amount != *amount
            || expected != *time
            || format!("{:08}", record.slot) != *slot
        {
            return;
        }
        // It waits for it: a 011 for a record that it did not send yet is for its twin before.
        if record.uploads == 0 {
            return;
        }
        let Some(record) = self.records.pop_front() else { return };
        coverage.count("device record dropped");
        if record.uploads > 1 {
            coverage.count("device record dropped after more than one upload");
        }
        notes.push(Note::Dropped(record));
        if self.work.as_ref().is_some_and(|work| work.ask == Ask::Upload) {
            self.work = None;
        }
        self.upload_at = t;
    }
}
