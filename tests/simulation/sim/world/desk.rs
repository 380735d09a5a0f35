//! The desk: people who give the running server orders and ask it, as `ctl` does, line by line, and
//! believe an answer only when it came.
//!
//! [`World::next_task`] and [`World::next_question`] say every command of the control socket
//! (`reload` is in `operator`). Orders of a turn come after its frames and are answered after its
//! end, as the control socket does it. When the process or the power is gone before the answer, or
//! the answer is lost on its way, the order is given again under its key; a file from its first
//! row. An operator saves a file again before that: sorted, with other line ends, in another
//! encoding, cut short, mended.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use posgate::desk::control::batch;
use posgate::engine::gbk;
use posgate::engine::model::order::{Holder, KeyText, Note, Operator, Purpose};
use posgate::engine::model::{
    AccountId, Act, Balance, CardNo, EntrySeq, Key, MachineNo, Mark, Money, Now, Order, Subject, UnitNo, Way,
};
use posgate::engine::server::Room;
use posgate::turn::Service;

use super::super::disk::Disk;
use super::super::judge::{Tag, number};
use super::super::lines::{self, Said, quoted, say};
use super::super::orders::{self, Made};
use super::super::purses::Purses;
use super::super::tell;
use super::{Event, MINUTE, SECOND, World};

/// As many rows of a file in one turn.
const ROWS_A_TURN: usize = 3;

/// Orders of one turn.
const TASKS_A_TURN: usize = 4;

/// Orders that may be given again although they were answered.
const REMEMBERED: usize = 40;

/// Cards that no table has, for those who lost theirs.
const NEW_CARDS: u64 = 8_890_000_000;

/// What is to be done.
#[derive(Clone, Debug)]
enum Task {
    Order(Order),
    /// A payout of all that there is: what that is, the server says.
    PayOutAll(Order),
    File(File),
    /// What is no order; the line that says it.
    Question(Question, String),
}

/// What a line asks that is no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    SetClock,
    Show,
    AcceptClock,
    /// That the ledger is an older copy was seen.
    Acknowledge,
    /// The ledger goes on under another name.
    Branch,
    Card(u64),
    List,
    Sync,
    /// Whether an order would be done.
    Dry,
}

impl Task {
    fn order(&self) -> Option<&Order> {
        match self {
            Self::Order(order) | Self::PayOutAll(order) => Some(order),
            Self::File(_) | Self::Question(..) => None,
        }
    }
}

/// A file of orders, as it is on the operator's machine.
#[derive(Clone, Debug)]
struct File {
    command: &'static str,
    name: Purpose,
    /// Whose account, and fen: all rows name cards, or all accounts.
    rows: Vec<(Subject, i64)>,
    saved: Saved,
    /// The row that comes next.
    next: usize,
}

/// How a file was saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "habits, each of its own")]
struct Saved {
    has_bom: bool,
    is_crlf: bool,
    is_gbk: bool,
    /// `100` for `100.00`, `5.5` for `5.50`, a card without its zeros.
    is_short: bool,
}

impl File {
    /// Its bytes.
    fn save(&self) -> Vec<u8> {
        let Saved { has_bom, is_crlf, is_gbk, is_short } = self.saved;
        let has_amount = !matches!(self.command, "lost" | "clear");
        let is_by_account = matches!(self.rows.first(), Some((Subject::Account(_), _)));
        let heading = if is_by_account { "工号" } else { "卡号" };
        let mut text = if has_amount { format!("{heading},金额\n") } else { format!("{heading}\n") };
        for (subject, fen) in &self.rows {
            let amount = Balance::from_fen(*fen).to_string();
            let card = match subject {
                Subject::Card(card) => card.to_string(),
                Subject::Account(account) => account.to_string(),
            };
            let (card, amount) = if is_short {
                let shorter = amount.strip_suffix(".00").or(amount.strip_suffix('0')).unwrap_or(&amount);
                (if is_by_account { &card } else { card.trim_start_matches('0') }, shorter)
            } else {
                (card.as_str(), amount.as_str())
            };
            let _ = if has_amount { writeln!(text, "{card},{amount}") } else { writeln!(text, "{card}") };
        }
        let text = if is_crlf { text.replace('\n', "\r\n") } else { text };
        match (is_gbk, has_bom) {
            (true, _) => gbk::encode(&text),
            (false, true) => format!("\u{FEFF}{text}").into_bytes(),
            (false, false) => text.into_bytes(),
        }
    }

    /// The orders that `ctl` reads in its bytes.
    fn orders(&self) -> Vec<(Act, Key)> {
        let rows = batch::parse(&self.save(), Path::new("orders.csv"), self.command);
        let rows = rows.unwrap_or_else(|problems| panic!("{problems:?}: {self:?}"));
        let order = |row: batch::OrderRow| (row.act, Key::For { name: self.name, nth: row.nth });
        rows.rows.into_iter().map(order).collect()
    }

    fn is(&self, other: &Self) -> bool {
        (self.command, self.name) == (other.command, other.name)
    }
}

/// An order of this turn, that waits for its answer.
#[derive(Debug)]
struct Asked {
    task: Task,
    /// Its entry, if it was durable before.
    before: Option<Made>,
    /// `None`: the process ended before it said anything.
    said: Option<Said>,
}

#[derive(Debug, Default)]
pub(super) struct Desk {
    waiting: VecDeque<Task>,
    asked: Vec<Asked>,
    /// Files of which rows were given in this turn.
    given: Vec<File>,
    /// Answered as done, in this process.
    done: VecDeque<(Task, u64)>,
    keys: u64,
    cards: u64,
    /// Names of accounts that the desk gave.
    names: u64,
}

impl Desk {
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty()
    }
}

impl World {
    // ---------------------------------------------------------------- what is ordered

    /// Somebody comes to the desk.
    pub(super) fn come_to_desk(&mut self) {
        let pause = if self.is_calm { 10 * SECOND } else { self.random.between(2 * SECOND, 5 * MINUTE) };
        self.schedule(self.t + pause, Event::Desk);
        if !self.is_calm && self.desk.waiting.len() < 8 {
            for _ in 0..self.random.pick(&[1, 1, 1, 2, 4]) {
                let task = self.next_task();
                let is_clear_of_all = matches!(&task, Task::Order(Order { act: Act::ClearAll, .. }));
                self.desk.waiting.push_back(task);
                if is_clear_of_all {
                    self.come_amid_a_clear();
                }
            }
        }
        if !self.desk.waiting.is_empty() && self.turn_at.is_none() {
            self.turn_at = Some(self.t + self.random.below(30));
        }
    }

    /// Somebody comes with what must wait while all subsidy purses are emptied, or need not.
    fn come_amid_a_clear(&mut self) {
        for _ in 0..self.random.below(6) {
            let act = match self.random.below(8) {
                0 => self.next_clear(),
                1 | 2 => self.next_void(),
                3 | 4 => self.next_void_of_credit(),
                5 => self.next_account(),
                6 => Act::ClearAll,
                _ => self.next_move(),
            };
            let task = self.task(act);
            self.desk.waiting.push_back(task);
        }
    }

    fn next_task(&mut self) -> Task {
        match self.random.below(44) {
            0..=4 => {
                let act = self.next_move();
                self.task(act)
            }
            5 => {
                let act = Act::Move {
                    way: Way::PayOut,
                    subject: Subject::Card(self.some_card()),
                    amount: Balance::ZERO,
                    uses: 0,
                };
                match self.task(act) {
                    Task::Order(order) => Task::PayOutAll(order),
                    other => other,
                }
            }
            6..=11 => {
                let act = self.next_void();
                self.task(act)
            }
            12..=16 => {
                let act = self.next_mark();
                self.task(act)
            }
            17 | 18 => {
                let act = self.next_link();
                self.task(act)
            }
            36 | 37 => {
                let act = self.next_account();
                self.task(act)
            }
            38 | 39 => {
                let act = self.next_clear();
                self.task(act)
            }
            40 => self.next_clear_of_all(),
            41..=43 => {
                let act = self.next_void_of_credit();
                self.task(act)
            }
            19..=21 => {
                let door = self.random.pick(&["1", "1", "2", "2", "3"]);
                let machine = self.some_machine(true);
                self.task(Act::Open { machine, door: UnitNo::parse(door.as_bytes()).expect("a digit") })
            }
            22..=24 => self.next_file(),
            25..=28 => self.next_mistake(),
            _ => self.next_question(),
        }
    }

    /// What is no order: most of it changes nothing.
    fn next_question(&mut self) -> Task {
        let (question, line) = match self.random.below(12) {
            0 => {
                let machine = self.some_machine(false).to_string();
                let machine = if self.random.happens(700) { &machine } else { "all" };
                (Question::SetClock, format!("{{\"cmd\":\"clock\",\"machine\":\"{machine}\"}}"))
            }
            1 => {
                let machine = self.some_machine(false);
                let text = quoted(self.random.pick(&["请到一号窗", "收银员\\n换班", "a,b", " "]));
                (Question::Show, format!("{{\"cmd\":\"show\",\"machine\":\"{machine}\",\"text\":{text}}}"))
            }
            2 => (Question::AcceptClock, "{\"cmd\":\"clock-accept\",\"by\":\"desk\"}".to_owned()),
            3..=5 => {
                let card = self.some_card();
                (Question::Card(card.value()), format!("{{\"cmd\":\"card\",\"card\":\"{card}\"}}"))
            }
            6 if self.is_copied => match self.random.below(3) {
                0 => (Question::Branch, "{\"cmd\":\"branch\",\"by\":\"desk\"}".to_owned()),
                _ => (Question::Acknowledge, "{\"cmd\":\"acknowledge\",\"by\":\"desk\"}".to_owned()),
            },
            6 => (Question::Sync, "{\"cmd\":\"sync\"}".to_owned()),
            7 | 8 => {
                let act = if self.random.happens(500) { self.next_void() } else { self.next_move() };
                let key = self.fresh_key();
                let Task::Order(order) = self.order(act, key) else { unreachable!("it makes orders") };
                (Question::Dry, lines::line_of(&order, lines::command(&order.act), false, true))
            }
            _ => {
                let after = self.random.below(400);
                let line = match self.random.below(6) {
                    0 => format!("{{\"cmd\":\"cards\",\"after\":{after}}}"),
                    1 => format!("{{\"cmd\":\"cards\",\"search\":\"{}\"}}", after % 100),
                    2 => "{\"cmd\":\"unknown\"}".to_owned(),
                    3 => format!("{{\"cmd\":\"devices\",\"after\":{}}}", after % 30),
                    4 => "{\"cmd\":\"discover\"}".to_owned(),
                    _ => "{\"cmd\":\"found-devices\"}".to_owned(),
                };
                (Question::List, line)
            }
        };
        Task::Question(question, line)
    }

    fn task(&mut self, act: Act) -> Task {
        let key = self.fresh_key();
        self.order(act, key)
    }

    fn order(&mut self, act: Act, key: Key) -> Task {
        let note = self.random.pick(&["", "", "50% off = 张三", "补卡"]);
        let by = Operator::try_from("desk").expect("short");
        Task::Order(Order { act, key, by, note: Note::try_from(note).expect("short"), holder: Holder::new() })
    }

    fn fresh_key(&mut self) -> Key {
        self.desk.keys += 1;
        Key::Own(KeyText::try_from(format!("K{}", self.desk.keys).as_str()).expect("short"))
    }

    /// One of the table, one that follows another, now and then one that was stopped or replaced,
    /// or that nobody knows.
    fn some_card(&mut self) -> CardNo {
        let row = self.random.place(self.site.cards.len());
        let card = self.site.cards[row].number;
        CardNo::from_value(match self.random.below(20) {
            0 => card,
            1 => 7_000_000_000 + self.random.below(500),
            2 | 3 => self.sold_card().unwrap_or(card),
            _ => self.judge.orders.newest(card),
        })
    }

    /// A card that bought something just now.
    fn sold_card(&mut self) -> Option<u64> {
        let sales = &self.judge.orders.sales;
        let back = self.random.place(sales.len().min(60));
        Some(sales.values().rev().nth(back)?.card)
    }

    fn some_machine(&mut self, is_board: bool) -> MachineNo {
        let place = self.random.place(self.devices.len());
        let board = self.random.place(self.site.boards.len());
        let is_other = self.random.happens(60);
        let machine = if is_board && !is_other { self.site.boards[board] } else { self.devices[place].machine };
        MachineNo::from_value(machine)
    }

    fn next_move(&mut self) -> Act {
        let way = self.random.pick(&[Way::TopUp, Way::TopUp, Way::Subsidy, Way::PayOut, Way::Adjust]);
        let card = self.some_card();
        let fen = i64::try_from(self.random.between(1, 20_000)).expect("small");
        let fen = match self.random.below(20) {
            0 => 0,
            1 => -fen,
            2 => 1_000_000_000,
            3 if way == Way::PayOut => 2_000_000,
            _ if way == Way::Adjust && self.random.happens(500) => -fen,
            _ => fen,
        };
        let uses = if self.random.happens(200) { i32::try_from(self.random.below(20)).expect("few") } else { 0 };
        Act::Move { way, subject: self.subject_of(card), amount: Balance::from_fen(fen), uses }
    }

    /// A card, or now and then its holder's account.
    fn subject_of(&mut self, card: CardNo) -> Subject {
        let account = self.judge.orders.account(card.value(), &self.site).filter(|_| self.random.happens(200));
        let account = account.and_then(|account| AccountId::try_from(account.as_str()).ok());
        account.map_or(Subject::Card(card), Subject::Account)
    }

    /// Mostly a card whose account holds subsidy.
    fn card_with_subsidy(&mut self) -> CardNo {
        for _ in 0..10 {
            let card = self.some_card();
            if self.subsidy_of(card) > 0 {
                return card;
            }
        }
        self.some_card()
    }

    fn subsidy_of(&self, card: CardNo) -> i64 {
        let account = self.judge.orders.account(card.value(), &self.site).unwrap_or_default();
        self.judge.holds(&account, &self.site).subsidy
    }

    fn next_clear(&mut self) -> Act {
        let card = self.card_with_subsidy();
        Act::Clear { subject: self.subject_of(card) }
    }

    /// Month's end; mostly it is not.
    fn next_clear_of_all(&mut self) -> Task {
        if !self.random.happens(300) {
            let act = self.next_clear();
            return self.task(act);
        }
        if self.random.happens(300) {
            return self.task(Act::ClearAll);
        }
        self.desk.keys += 1;
        let name = Purpose::try_from(format!("清零={}", self.desk.keys).as_str()).expect("short");
        self.judge.orders.mean("clear-all", name.as_str(), "", 1);
        self.order(Act::ClearAll, Key::For { name, nth: 1 })
    }

    fn next_void_of_credit(&mut self) -> Act {
        let credits = &self.judge.orders.credits;
        let back = self.random.place(credits.len().min(20));
        let credit = credits.iter().rev().nth(back).map(|(seq, credit)| (*seq, credit.left()));
        let (seq, left) = credit.unwrap_or((1, 100));
        self.void_of(seq, left)
    }

    /// Mostly of a sale just made, which may still be on its way to its terminal, or tried again.
    fn next_void(&mut self) -> Act {
        let sales = &self.judge.orders.sales;
        let back = if self.random.happens(800) { 30 } else { 1000 };
        let back = self.random.place(sales.len().min(back));
        let sale = sales.iter().rev().nth(back).map(|(seq, sold)| (*seq, sold.left()));
        let (sale, left) = sale.filter(|_| self.random.happens(930)).unwrap_or_else(|| {
            // Something else: an `open`, a void, or one that is not there yet.
            (self.random.between(1, self.judge.seq + 2), 500)
        });
        self.void_of(sale, left)
    }

    fn void_of(&mut self, seq: u64, left: i64) -> Act {
        let left = u64::try_from(left).unwrap_or(0);
        let amount = match self.random.below(10) {
            0..=4 => None,
            5 => Some(left),
            6 => Some(left + self.random.below(3)),
            _ => Some(self.random.between(0, left)),
        };
        let amount = amount.and_then(|fen| Money::from_fen(u32::try_from(fen).expect("a sum")));
        Act::Void { sale: EntrySeq(seq), amount, card: None }
    }

    fn next_mark(&mut self) -> Act {
        let marked = self.judge.orders.marked();
        if !marked.is_empty() && self.random.happens(450) {
            // Nobody knows by heart what ends what: mostly the word that does, now and then the
            // other.
            let card = self.random.pick(&marked);
            let is_lost = self.judge.orders.standing_of(card)[orders::LOST] != card.is_multiple_of(5);
            let mark = if is_lost { Mark::Found } else { Mark::Unfrozen };
            return Act::Mark { card: CardNo::from_value(card), mark };
        }
        let mark = self.random.pick(&[Mark::Lost, Mark::Lost, Mark::Frozen, Mark::Frozen, Mark::Closed, Mark::Found]);
        let sold = if self.random.happens(500) { self.sold_card() } else { None };
        let card = sold.map(CardNo::from_value);
        Act::Mark { card: card.unwrap_or_else(|| self.some_card()), mark }
    }

    /// A card that is given up, mostly for one that the table does not have.
    fn next_link(&mut self) -> Act {
        let old = self.some_card();
        self.desk.cards += 1;
        let fresh = NEW_CARDS + self.desk.cards;
        let partner = old.value() / 10 * 10 + if old.value().is_multiple_of(10) { 1 } else { 5 };
        let new = match self.random.below(12) {
            0 => self.some_card().value(),
            // A card of the same account.
            1..=3 if old.value() % 10 == 4 => partner,
            _ => fresh,
        };
        Act::Link { old, new: CardNo::from_value(new) }
    }

    /// A card goes to another account, or an account gets another name; now and then a number is
    /// given out again to whom it belongs.
    fn next_account(&mut self) -> Act {
        let card = self.some_card();
        self.desk.names += 1;
        let row = self.random.place(self.site.cards.len());
        let name = match self.random.below(8) {
            0 => format!("@{card}"),
            1 | 2 => self.site.cards[row].account.clone(),
            _ => format!("N{:05}", self.desk.names),
        };
        let account = |name: &str| AccountId::try_from(name).expect("short");
        let own = self.judge.orders.account(card.value(), &self.site);
        let is_as_named = self.site.find(card.value()).is_none_or(|row| own.as_ref() == Some(&row.account));
        match self.random.below(10) {
            0 if is_as_named => Act::Reissue { card },
            0..=4 => Act::Account { card, account: account(&name) },
            _ => Act::Rename { old: account(own.as_deref().unwrap_or("nobody")), new: account(&name) },
        }
    }

    fn next_file(&mut self) -> Task {
        self.desk.keys += 1;
        let command =
            self.random.pick(&["topup", "subsidy", "adjust", "topup", "subsidy", "subsidy", "adjust", "clear", "lost"]);
        let count = if command == "lost" { 3 } else { 25 };
        let is_by_account = command != "lost" && self.random.happens(300);
        let mut rows = Vec::new();
        for _ in 0..self.random.between(1, count) {
            let row = self.random.place(self.site.cards.len());
            let card = CardNo::from_value(self.judge.orders.newest(self.site.cards[row].number));
            if command == "clear" && self.subsidy_of(card) == 0 {
                continue;
            }
            let Some(subject) = self.row_of(card, is_by_account) else { continue };
            rows.push((subject, i64::try_from(self.random.between(1, 9000)).expect("small")));
        }
        if rows.is_empty() {
            let act = self.next_move();
            return self.task(act);
        }
        let name = Purpose::try_from(format!("月={}", self.desk.keys).as_str()).expect("short");
        let file = File { command, name, rows, saved: Saved::default(), next: 0 };
        self.mean(&file);
        Task::File(file)
    }

    /// A card in a file, or its account.
    fn row_of(&self, card: CardNo, is_by_account: bool) -> Option<Subject> {
        if !is_by_account {
            return Some(Subject::Card(card));
        }
        let account = self.judge.orders.account(card.value(), &self.site)?;
        AccountId::try_from(account.as_str()).ok().map(Subject::Account)
    }

    /// What stands in a file is meant, each row once.
    fn mean(&mut self, file: &File) {
        let mut rows: BTreeMap<String, u32> = BTreeMap::new();
        for (subject, _) in &file.rows {
            *rows.entry(lines::subject(subject)).or_default() += 1;
        }
        for (subject, count) in rows {
            self.judge.orders.mean(file.command, file.name.as_str(), &subject, count);
        }
    }

    /// The operator opens a file and saves it again.
    fn save_again(&mut self, file: &mut File) {
        file.next = 0;
        file.saved = Saved {
            has_bom: self.random.happens(500),
            is_crlf: self.random.happens(500),
            is_gbk: self.random.happens(300),
            is_short: self.random.happens(500),
        };
        match self.random.below(6) {
            0 => file.rows.sort_by_key(|(subject, _)| lines::subject(subject)),
            1 => file.rows.sort_by_key(|(_, fen)| *fen),
            2 => file.rows.reverse(),
            3 => {
                let len = self.random.place(file.rows.len()) + 1;
                file.rows.truncate(len);
            }
            4 => {
                let row = self.random.place(self.site.cards.len());
                let card = CardNo::from_value(self.site.cards[row].number);
                let is_by_account = matches!(file.rows.first(), Some((Subject::Account(_), _)));
                if let Some(subject) = self.row_of(card, is_by_account) {
                    file.rows.insert(0, (subject, 700));
                }
                self.mean(file);
            }
            _ => (),
        }
    }

    /// The same again, or a key used for something else, be it a row's.
    fn next_mistake(&mut self) -> Task {
        let act = self.next_move();
        let mut known = None;
        if !self.desk.done.is_empty() {
            let place = self.random.place(self.desk.done.len());
            known = Some(self.desk.done[place].0.clone());
        }
        let order = known.as_ref().and_then(Task::order).cloned();
        match (known.zip(order), self.random.below(8)) {
            (Some((task, _)), 0..=4) => task,
            // By account in a file by card, or the other way round.
            (Some((_, Order { act: Act::Move { way, subject, amount, uses }, key: key @ Key::For { .. }, .. })), 5) => {
                let subject = match subject {
                    Subject::Card(card) => self.row_of(card, true).unwrap_or(subject),
                    Subject::Account(_) => Subject::Card(self.some_card()),
                };
                let act = Act::Move { way, subject, amount, uses };
                // After an older copy was restored the name may be free again.
                if let Key::For { name, .. } = &key {
                    self.judge.orders.mean(lines::command(&act), name.as_str(), &lines::subject(&subject), 1);
                }
                self.order(act, key)
            }
            (Some((_, Order { act: Act::Move { way, subject, amount, uses }, key: key @ Key::For { .. }, .. })), _) => {
                let amount = amount + Balance::from_fen(1);
                self.order(Act::Move { way, subject, amount, uses }, key)
            }
            // Another order for what a file was for, such as a top-up where cards were lost, is a
            // row of its own.
            (Some((task, Order { key: Key::For { .. }, .. })), _) => task,
            (Some((_, Order { key, .. })), _) => self.order(act, key),
            (None, _) => {
                // Of what no file holds.
                let act = self.next_link();
                self.order(act, Key::For { name: Purpose::try_from("x").expect("short"), nth: 1 })
            }
        }
    }

    // ---------------------------------------------------------------- a turn

    /// Gives the server what waits, after the turn's frames.
    pub(super) fn serve_desk(&mut self, service: &mut Service<Disk>, now: &Now) -> io::Result<()> {
        for _ in 0..TASKS_A_TURN {
            if !service.takes_lines() {
                break;
            }
            let Some(task) = self.desk.waiting.pop_front() else { break };
            tell(|| format!("{:>9} desk {task:?}", self.t));
            match task {
                Task::File(file) => self.give_rows(service, now, file)?,
                Task::Order(order) => self.give(service, now, &order, false)?,
                Task::PayOutAll(order) => {
                    let order = self.all_of(service, order);
                    self.give(service, now, &order, true)?;
                }
                Task::Question(question, line) => self.ask(service, now, question, &line)?,
            }
        }
        if !self.desk.waiting.is_empty() && self.turn_at.is_none() {
            self.turn_at = Some(self.t + 1);
        }
        Ok(())
    }

    /// Asks what changes no account.
    fn ask(&mut self, service: &mut Service<Disk>, now: &Now, question: Question, line: &str) -> io::Result<()> {
        let head = service.server().book().head();
        let is_settled = head.0 == self.judge.seq;
        self.desk.asked.push(Asked { task: Task::Question(question, line.to_owned()), before: None, said: None });
        self.judge.branches_asked += u32::from(question == Question::Branch);
        let said = say(service, now, line)?;
        if let (Question::Acknowledge, true) = (question, is_settled) {
            let expected = if self.judge.rolled_back.is_some() { ["asked", "full"] } else { ["not-rolled-back"; 2] };
            assert!(expected.contains(&said.word.as_str()), "an older copy, or none: {said:?}");
        }
        let written = service.server().book().head().0.saturating_sub(head.0);
        // A text takes the place of a command that waits for its 109, and a clock that stepped is
        // seen.
        let may_write = matches!(
            question,
            Question::Show | Question::SetClock | Question::AcceptClock | Question::Acknowledge | Question::Branch
        );
        assert!(written <= 2 * u64::from(may_write), "a question wrote {written} entries: {line}");
        if let (Question::Card(card), true, "asked") = (question, is_settled, said.word.as_str()) {
            let account = self.judge.orders.account(card, &self.site);
            let held = account.map_or(Purses::default(), |account| self.judge.holds(&account, &self.site));
            assert_eq!(lines::holds(&said.value), Some(held), "what a card holds: {line}, {said:?}");
        }
        self.answered(said);
        self.tags.resize(service.effects().committed.len(), None);
        Ok(())
    }

    /// What a payout of all pays, or paid when it was done.
    fn all_of(&self, service: &Service<Disk>, mut order: Order) -> Order {
        let made = self.judge.orders.made(&orders::key_text(&order.act, &order.key)).map(|made| made.what.clone());
        let held = Balance::from_fen(self.held_by(service, &order.act).cash.max(0));
        if let Act::Move { subject, amount, .. } = &mut order.act {
            let subject = lines::subject(subject);
            let paid = made.as_deref().and_then(|what| what.strip_prefix(&format!("payout {subject} -")));
            let paid = paid.and_then(|rest| rest.split(' ').next()).map(|fen| fen.parse().expect("fen"));
            *amount = paid.map_or(held, Balance::from_fen);
        }
        order
    }

    /// The next rows of a file, which is looked at whole before its first.
    fn give_rows(&mut self, service: &mut Service<Disk>, now: &Now, mut file: File) -> io::Result<()> {
        let rows: Vec<Order> = file
            .orders()
            .into_iter()
            .map(|(act, key)| match self.order(act, key) {
                Task::Order(order) => order,
                other => unreachable!("an order: {other:?}"),
            })
            .collect();
        if file.next == 0 {
            for order in &rows {
                let dry = lines::line_of(order, lines::command(&order.act), false, true);
                if say(service, now, &dry)?.word != "asked" {
                    self.coverage.count("operator file refused whole");
                    return Ok(());
                }
            }
        }
        self.desk.given.push(file.clone());
        let end = rows.len().min(file.next + ROWS_A_TURN);
        for order in &rows[file.next..end] {
            self.give(service, now, order, false)?;
        }
        file.next = end;
        if file.next < rows.len() {
            self.desk.waiting.push_front(Task::File(file));
        } else {
            self.coverage.count("operator file given whole");
            if self.random.happens(300) {
                self.save_again(&mut file);
                self.coverage.count("operator file saved again, and given again");
                self.desk.waiting.push_back(Task::File(file));
            }
        }
        Ok(())
    }

    fn give(&mut self, service: &mut Service<Disk>, now: &Now, order: &Order, is_all: bool) -> io::Result<()> {
        let key = orders::key_text(&order.act, &order.key);
        self.judge.orders.expect(&key, &order.act);
        let before = self.judge.orders.made(&key).cloned();
        // Those of the same turn are not durable yet, and may change what must be answered.
        let is_first = self.desk.asked.is_empty();
        let held = self.held_by(service, &order.act);
        let first_kept = self.first_kept();
        let made_at = before.as_ref().map(|made| made.seq);
        let cmd = lines::command(&order.act);
        // A file holds sums and words on cards; anything else with its name is no order.
        let may_be_row = matches!(order.act, Act::Move { .. } | Act::Mark { .. } | Act::Clear { .. } | Act::ClearAll);
        let expected = if matches!(order.key, Key::For { .. }) && !may_be_row {
            Some(vec![lines::UNREAD])
        } else {
            is_first.then(|| self.judge.orders.answers(&order.act, &order.key, &self.site, held, first_kept))
        };
        let task = if is_all { Task::PayOutAll(order.clone()) } else { Task::Order(order.clone()) };
        self.desk.asked.push(Asked { task, before, said: None });
        let said = say(service, now, &lines::line_of(order, cmd, is_all, false))?;
        if let Some((account, held)) = &said.account {
            let is_of_then = said.word == "again";
            match self.desk.asked.last().and_then(|asked| asked.before.as_ref()) {
                Some(made) if is_of_then => {
                    assert_eq!(made.figures, Some(*held), "what it held then: {order:?}");
                }
                // It was made in this turn.
                None if is_of_then => (),
                Some(_) | None => {
                    let book = service.server().book();
                    let figures = book.account(book.account_row(account).expect("it moved")).figures();
                    assert_eq!(Purses::of(figures), *held, "what it holds now: {order:?}");
                }
            }
        }
        if let (Act::ClearAll, Some(clearing), Some(accounts)) =
            (&order.act, self.judge.orders.clearing, said.value.number::<u32>("accounts"))
            && clearing.begin == said.seq
            && clearing.end.is_some()
        {
            let sum = said.value.text("sum").map(super::super::judge::fen);
            let told = (accounts, sum, said.value.is("done"));
            assert_eq!(told, (clearing.accounts, Some(clearing.sum), true), "a clear that ended: {order:?}");
        }
        let tag = matches!(order.act, Act::Open { .. }).then(|| Tag::Remote(key));
        self.tags.resize(service.effects().committed.len(), tag);
        let word = said.word.as_str();
        let is_full = word == "full" && service.server().room() == Room::Nothing;
        // A void that finds no sale to read is not done; the terminals are served.
        let is_unreadable = word == "unreadable" && self.disk.is_unreadable();
        // What a payout of all paid stands in its entry only.
        let is_archived = is_all && word == "no-such-entry" && made_at.is_some_and(|seq| seq < first_kept);
        if is_archived {
            self.coverage.count("operator payout of all, archived, refused");
        }
        let is_expected = expected.as_ref().is_none_or(|expected| expected.contains(&word));
        assert!(
            is_expected || is_full || is_unreadable || is_archived,
            "{order:?}\nanswered {said:?}\nexpected {expected:?}"
        );
        self.answered(said);
        Ok(())
    }

    /// What the account holds that an order moves.
    fn held_by(&self, service: &Service<Disk>, act: &Act) -> Purses {
        let server = service.server();
        let row = match act {
            Act::Move { subject: Subject::Card(card), .. } | Act::Clear { subject: Subject::Card(card) } => {
                server.account_of(*card)
            }
            Act::Move { subject: Subject::Account(account), .. }
            | Act::Clear { subject: Subject::Account(account) } => server.book().account_row(account),
            Act::Void { sale, .. } => {
                self.judge.orders.purse_of(sale.0).and_then(|account| server.book().account_row(&account))
            }
            Act::ClearAll | Act::Mark { .. } | Act::Link { .. } | Act::Open { .. } | Act::Settle { .. } => None,
            Act::Account { .. } | Act::Rename { .. } | Act::Reissue { .. } => None,
        };
        row.map_or(Purses::default(), |row| Purses::of(server.book().account(row).figures()))
    }

    /// The first entry that was not archived.
    fn first_kept(&self) -> u64 {
        let name = self.disk.segments().into_iter().next();
        name.map_or(1, |name| number(name.trim_start_matches("ledger-").trim_end_matches(".tsv")))
    }

    fn answered(&mut self, said: Said) {
        self.desk.asked.last_mut().expect("it was just asked").said = Some(said);
    }

    /// The turn is over, and what it wrote durable: the answers leave.
    pub(super) fn answer_desk(&mut self) {
        let asked = std::mem::take(&mut self.desk.asked);
        for asked in asked {
            let Asked { task, before, said } = asked;
            let said = said.expect("the turn came to its end");
            match (&task, said.word.as_str()) {
                (Task::Order(_) | Task::PayOutAll(_), "done" | "again") => {
                    self.believe(task, &said, before.as_ref());
                }
                (Task::Question(question, _), "asked") => {
                    assert!(self.judge.seq >= said.seq, "said to be durable, and is not: {question:?} {said:?}");
                    self.coverage.count(match question {
                        Question::SetClock => "operator clocks set",
                        Question::Show => "operator text shown",
                        Question::AcceptClock => "operator clock accepted",
                        Question::Acknowledge => "operator older copy acknowledged",
                        Question::Branch => "operator branch",
                        Question::Card(_) => "operator card asked for",
                        Question::List => "operator list asked for",
                        Question::Sync => "operator sync",
                        Question::Dry => "operator order tried dry",
                    });
                }
                _ => self.hear_refusal(&said, &task),
            }
        }
        self.desk.given.clear();
    }

    /// An order was answered as done: its entry is in the durable ledger, once.
    fn believe(&mut self, task: Task, said: &Said, before: Option<&Made>) {
        if said.seq == 0 {
            self.coverage.count("operator nothing to do");
            return;
        }
        let order = task.order().expect("an order was done").clone();
        let is_again = said.word == "again";
        let key = orders::key_text(&order.act, &order.key);
        let made = self.judge.orders.made(&key).cloned();
        let made = made.unwrap_or_else(|| panic!("answered {said:?}, and not in the durable ledger: {order:?}"));
        // What a payout of all paid is told again.
        let is_all_again = is_again && matches!(task, Task::PayOutAll(_));
        assert!(is_all_again || made.what == orders::what_of(&order.act), "done under {key}: {made:?}");
        assert!(before.is_none() || is_again, "done before, and not said so: {order:?} {said:?}");
        assert_eq!(made.seq, said.seq, "which entry: {order:?}");
        if let Some(undone) = made.undone {
            let told = ["undone_cash", "undone_subsidy", "cleared", "rest"];
            let told = told.map(|word| said.value.text(word).map_or(0, super::super::judge::fen));
            assert_eq!(told, undone, "what was undone: {order:?} {said:?}");
        }
        if is_again {
            let is_row = matches!(order.key, Key::For { .. });
            self.coverage.count(if is_row { "operator row of a file again" } else { "operator same key again" });
            let is_it = |known: &Task| known.order().is_some_and(|known| known.key == order.key);
            if self.desk.done.iter().any(|(known, process)| is_it(known) && *process < self.process) {
                self.coverage.count("operator same key again after a restart");
            }
            return;
        }
        self.coverage.count(done_name(&task, &order));
        if matches!(order.act, Act::Clear { .. }) && said.value.is("unchanged") {
            self.coverage.count("operator clear of an empty purse");
        }
        if self.desk.done.len() == REMEMBERED {
            self.desk.done.pop_front();
        }
        self.desk.done.push_back((task.clone(), self.process));
        if self.random.happens(80) {
            self.coverage.count("operator answer lost, and asked again");
            self.desk.waiting.push_back(task);
        }
    }

    fn hear_refusal(&mut self, said: &Said, task: &Task) {
        let is_row = task.order().is_some_and(|order| matches!(order.key, Key::For { .. }));
        self.coverage.count(match said.word.as_str() {
            "key-used" if is_row => "operator row that was another refused",
            "key-used" => "operator key of another order refused",
            "already-voided" => "operator void of nothing left refused",
            "more-than-left" => "operator void of more than left refused",
            "not-a-sale" => "operator void of no sale refused",
            "busy" => "operator order refused while every subsidy is cleared",
            "cleared" => "operator void of a subsidy that was cleared since refused",
            "full" => "operator order refused, for want of room",
            "overdraw" => "operator payout of more than there is refused",
            "replaced" => "operator order for a replaced card refused",
            "table-says" => "operator found, but the table says lost: refused",
            "unknown-card" => "operator order for an unknown card refused",
            "closed" => "operator credit for a closed card refused",
            "account-taken" | "own-account" | "no-such-account" => "operator name of an account refused",
            "same-account" | "same-holder" => "operator account that is there already refused",
            "new-card-has-account" | "new-card-stopped" => "operator used new card refused",
            "not-seen" | "quarantined" => "operator order for a device not seen refused",
            "other-state" => "operator found for unfreeze refused",
            lines::UNREAD => "operator line that is no order refused",
            _ => "operator order refused",
        });
        // What could not be written is tried again, later.
        if said.word == "full" && self.random.happens(500) {
            self.desk.waiting.push_back(task.clone());
        }
        // The rest of a file is not done without its row.
        if let Task::Order(Order { key: Key::For { name, .. }, .. }) = task {
            let is_other = |task: &Task| !matches!(task, Task::File(file) if file.name == *name);
            self.desk.waiting.retain(is_other);
        }
    }

    /// The process is gone: nobody knows what became of the orders of its last turn.
    pub(super) fn lose_orders(&mut self) {
        for Asked { task, .. } in std::mem::take(&mut self.desk.asked) {
            self.coverage.count("operator order lost in a cut");
            let is_given_up = !self.is_calm && self.random.happens(150);
            let is_own = task.order().is_some_and(|order| matches!(order.key, Key::Own(_)));
            if is_own && !is_given_up {
                self.desk.waiting.push_front(task);
            }
        }
        self.run_files_again();
        self.desk.given.clear();
    }

    /// Those of which nobody knows how far they came, from their first rows; some are saved again
    /// before that.
    fn run_files_again(&mut self) {
        for mut file in std::mem::take(&mut self.desk.given) {
            self.coverage.count("operator file cut, and run again");
            self.desk.waiting.retain(|task| !matches!(task, Task::File(other) if other.is(&file)));
            file.next = 0;
            if self.random.happens(500) {
                self.save_again(&mut file);
            }
            self.desk.waiting.push_front(Task::File(file));
        }
    }

    /// Some of the new cards come into the table, with their account's name or one of their own.
    pub(super) fn enter_new_cards(&mut self, site: &mut super::Site) {
        for card in self.judge.orders.followers(site) {
            if !self.random.happens(200) {
                continue;
            }
            let account = self.judge.orders.account(card, site).expect("it follows another");
            let is_own = self.random.happens(300);
            // A card's own account is no other's to name.
            let account = if is_own || account.starts_with('@') { format!("H{card}") } else { account };
            site.enter(card, account);
            self.coverage.count("operator new card comes into the table");
        }
    }
}

fn done_name(task: &Task, order: &Order) -> &'static str {
    match (&order.key, &order.act) {
        _ if matches!(task, Task::PayOutAll(_)) => "operator payout of all",
        (_, Act::ClearAll) => "operator every subsidy cleared",
        (Key::For { .. }, _) => "operator row of a file",
        (_, Act::Move { way: Way::TopUp, .. }) => "operator topup",
        (_, Act::Move { way: Way::Subsidy, .. }) => "operator subsidy",
        (_, Act::Clear { .. }) => "operator subsidy cleared",
        (_, Act::Move { way: Way::PayOut, .. }) => "operator payout",
        (_, Act::Move { way: Way::Adjust, .. } | Act::Settle { .. }) => "operator adjust",
        (_, Act::Void { amount: None, .. }) => "operator void",
        (_, Act::Void { amount: Some(_), .. }) => "operator void of an amount",
        (_, Act::Mark { mark: Mark::Found | Mark::Unfrozen, .. }) => "operator card found or unfrozen",
        (_, Act::Mark { mark: Mark::Frozen, .. }) => "operator card frozen",
        (_, Act::Mark { mark: Mark::Lost, .. }) => "operator card lost",
        (_, Act::Mark { mark: Mark::Closed, .. }) => "operator card closed",
        (_, Act::Link { .. }) => "operator card replaced",
        (_, Act::Account { .. }) => "operator card put on another account",
        (_, Act::Rename { .. }) => "operator account renamed",
        (_, Act::Reissue { .. }) => "operator number given to another holder",
        (_, Act::Open { .. }) => "operator door opened",
    }
}
