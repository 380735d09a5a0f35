//! The desk: people who give the running server orders, as `ctl` does, and believe an answer only when it came.
//!
//! [`World::next_task`] lists every act that changes something. Orders of a turn come after its frames and are answered
//! after its end, as the control socket does it. When the process or the power is gone before the answer, or the answer is lost
//! on its way, the order is given again under its key; a batch from its first line.

use std::collections::VecDeque;
use std::io;

use posgate::book::Figures;
use posgate::model::order::{Digest, KeyText, Note, Operator};
use posgate::model::{
    Act, Balance, CardNo, CardStatus, ClockState, Done, EntrySeq, Key, MachineNo, Money, Now, Order, UnitNo, Way,
};
use posgate::net::Service;
use posgate::server::{Refused, Room};

use super::super::disk::Disk;
use super::super::judge::{Tag, number};
use super::super::orders::{self, Made};
use super::super::tell;
use super::{Event, MINUTE, SECOND, World};

/// As many lines of a batch in one turn.
const LINES_A_TURN: u32 = 3;

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
    Batch(Batch),
    SetClock(Option<MachineNo>),
    Show(MachineNo, &'static str),
    AcceptClock,
}

/// A file of orders.
#[derive(Clone, Debug)]
struct Batch {
    digest: Digest,
    lines: Vec<Act>,
    /// The line that comes next.
    next: u32,
}

/// An order of this turn, that waits for its answer.
#[derive(Debug)]
struct Asked {
    task: Task,
    /// Turns undone before it was given.
    undone: u64,
    /// Its entry, if it was durable before.
    before: Option<Made>,
    /// `None`: the process ended before it said anything.
    answer: Option<Answer>,
}

#[derive(Debug)]
enum Answer {
    Done(Done),
    Refused(Refused),
    /// The clock was accepted, with this entry.
    Clock(EntrySeq),
    /// It was sent.
    Told,
}

#[derive(Debug, Default)]
pub(super) struct Desk {
    waiting: VecDeque<Task>,
    asked: Vec<Asked>,
    /// Batches of which lines were given in this turn.
    given: Vec<Batch>,
    /// Answered as done, in this process.
    done: VecDeque<(Order, u64)>,
    keys: u64,
    cards: u64,
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
                self.desk.waiting.push_back(task);
            }
        }
        if !self.desk.waiting.is_empty() && self.turn_at.is_none() {
            self.turn_at = Some(self.t + self.random.below(30));
        }
    }

    fn next_task(&mut self) -> Task {
        match self.random.below(32) {
            0..=5 => {
                let act = self.next_move();
                self.task(act)
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
            19..=21 => {
                let door = self.random.pick(&["1", "1", "2", "2", "3"]);
                let machine = self.some_machine(true);
                self.task(Act::Open { machine, door: UnitNo::parse(door.as_bytes()).expect("a digit") })
            }
            22 => {
                let machine = self.some_machine(false);
                Task::SetClock(self.random.happens(700).then_some(machine))
            }
            23 => {
                let machine = self.some_machine(false);
                Task::Show(machine, self.random.pick(&["请到一号窗", "收银员\\n换班", "a,b", " "]))
            }
            24 => Task::AcceptClock,
            25..=27 => self.next_batch(),
            _ => self.next_mistake(),
        }
    }

    fn task(&mut self, act: Act) -> Task {
        let key = self.fresh_key();
        self.order(act, key)
    }

    fn order(&mut self, act: Act, key: Key) -> Task {
        let note = self.random.pick(&["", "", "50% off = 张三", "补卡"]);
        let by = Operator::try_from("desk").expect("short");
        Task::Order(Order { act, key, by, note: Note::try_from(note).expect("short") })
    }

    fn fresh_key(&mut self) -> Key {
        self.desk.keys += 1;
        Key::Own(KeyText::try_from(format!("K{}", self.desk.keys).as_str()).expect("short"))
    }

    /// One of the table, one that follows another, now and then one that was stopped or replaced, or that nobody knows.
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
        Act::Move { way, card, amount: Balance::from_fen(fen), uses }
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
        let left = u64::try_from(left).unwrap_or(0);
        let amount = match self.random.below(10) {
            0..=4 => None,
            5 => Some(left),
            6 => Some(left + self.random.below(3)),
            _ => Some(self.random.between(0, left)),
        };
        let amount = amount.and_then(|fen| Money::from_fen(u32::try_from(fen).expect("a sale")));
        Act::Void { sale: EntrySeq(sale), amount }
    }

    fn next_mark(&mut self) -> Act {
        let marked = self.judge.orders.marked();
        if !marked.is_empty() && self.random.happens(450) {
            let card = CardNo::from_value(self.random.pick(&marked));
            return Act::Mark { card, status: CardStatus::Active };
        }
        let status = self.random.pick(&[
            CardStatus::Lost,
            CardStatus::Lost,
            CardStatus::Frozen,
            CardStatus::Frozen,
            CardStatus::Closed,
            CardStatus::Active,
        ]);
        let sold = if self.random.happens(500) { self.sold_card() } else { None };
        let card = sold.map(CardNo::from_value);
        Act::Mark { card: card.unwrap_or_else(|| self.some_card()), status }
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

    fn next_batch(&mut self) -> Task {
        self.desk.keys += 1;
        let way = self.random.pick(&[Way::TopUp, Way::Subsidy, Way::Adjust]);
        let lines = (0..self.random.between(1, 25)).map(|_| {
            let row = self.random.place(self.site.cards.len());
            let card = CardNo::from_value(self.judge.orders.newest(self.site.cards[row].number));
            let fen = i64::try_from(self.random.between(1, 9000)).expect("small");
            Act::Move { way, card, amount: Balance::from_fen(fen), uses: 0 }
        });
        let lines = lines.collect();
        let digest = Digest::try_from(format!("{:016x}", self.desk.keys).as_str()).expect("16 digits");
        Task::Batch(Batch { digest, lines, next: 1 })
    }

    /// The same again, a key used for something else, or a line that does not follow.
    fn next_mistake(&mut self) -> Task {
        let act = self.next_move();
        let mut known = None;
        if !self.desk.done.is_empty() {
            let place = self.random.place(self.desk.done.len());
            known = Some(self.desk.done[place].0.clone());
        }
        match (known, self.random.below(8)) {
            (Some(order), 0..=4) => Task::Order(order),
            (Some(order), 5) => self.order(act, order.key),
            (Some(Order { key: Key::Line { digest, line }, .. }), _) => {
                let act = if self.random.happens(500) { act } else { self.next_mark() };
                let line = line + u32::try_from(self.random.between(1, 3)).expect("few");
                self.order(act, Key::Line { digest, line })
            }
            _ => {
                let digest = Digest::try_from("beef").expect("short");
                let act = self.next_mark();
                self.order(act, Key::Line { digest, line: 1 })
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
            let undone = service.undone();
            if let Task::Batch(batch) = task {
                self.give_lines(service, now, batch)?;
                continue;
            }
            if let Task::Order(order) = task {
                self.give(service, now, &order)?;
                continue;
            }
            self.desk.asked.push(Asked { task: task.clone(), undone, before: None, answer: None });
            let answer = match task {
                Task::SetClock(machine) => match service.set_clock(now, machine)? {
                    Ok(_) => Answer::Told,
                    Err(refused) => Answer::Refused(refused),
                },
                Task::Show(machine, text) => match service.show(now, machine, text)? {
                    Ok(()) => Answer::Told,
                    Err(refused) => Answer::Refused(refused),
                },
                Task::AcceptClock | Task::Order(_) | Task::Batch(_) => {
                    let by = Operator::try_from("desk").expect("short");
                    match service.accept_clock(now, &by)? {
                        Ok((seq, ClockState::Ok | ClockState::Unset)) => Answer::Clock(seq),
                        Err(refused) => Answer::Refused(refused),
                    }
                }
            };
            self.answered(answer);
            self.tags.resize(service.effects().committed.len(), None);
        }
        if !self.desk.waiting.is_empty() && self.turn_at.is_none() {
            self.turn_at = Some(self.t + 1);
        }
        Ok(())
    }

    /// The next lines of a batch, which is looked at whole before its first.
    fn give_lines(&mut self, service: &mut Service<Disk>, now: &Now, mut batch: Batch) -> io::Result<()> {
        let count = u32::try_from(batch.lines.len()).expect("few");
        let order = |world: &mut Self, batch: &Batch, line: u32| {
            let act = batch.lines[line as usize - 1].clone();
            match world.order(act, Key::Line { digest: batch.digest.clone(), line }) {
                Task::Order(order) => order,
                other => unreachable!("an order: {other:?}"),
            }
        };
        if batch.next == 1 {
            for line in 1..=count {
                let order = order(self, &batch, line);
                if service.would(now, &order)?.is_err() {
                    self.coverage.count("operator batch refused whole");
                    return Ok(());
                }
            }
        }
        self.desk.given.push(batch.clone());
        let end = count.min(batch.next + LINES_A_TURN - 1);
        for line in batch.next..=end {
            let order = order(self, &batch, line);
            self.give(service, now, &order)?;
        }
        batch.next = end + 1;
        if batch.next <= count {
            self.desk.waiting.push_front(Task::Batch(batch));
        } else {
            self.coverage.count("operator batch given whole");
            if self.random.happens(300) {
                self.desk.waiting.push_back(Task::Batch(Batch { next: 1, ..batch }));
            }
        }
        Ok(())
    }

    fn give(&mut self, service: &mut Service<Disk>, now: &Now, order: &Order) -> io::Result<()> {
        let key = orders::key_text(&order.key);
        self.judge.orders.expect(&key, &order.act);
        let before = self.judge.orders.made(&key).cloned();
        // Those of the same turn are not durable yet, and may change what must be answered.
        let is_first = self.desk.asked.is_empty();
        let figures = figures_of(service, &order.act);
        let first_kept = self.first_kept();
        let expected =
            is_first.then(|| self.judge.orders.answers(&order.act, &order.key, &self.site, figures, first_kept));
        let undone = service.undone();
        self.desk.asked.push(Asked { task: Task::Order(order.clone()), undone, before, answer: None });
        let done = service.operate(now, order)?;
        if let Ok(Done { account: Some((account, balance, uses)), .. }) = &done {
            let book = service.server().book();
            let figures = book.account(book.account_row(account).expect("it moved")).figures();
            assert_eq!(figures, Figures { balance: *balance, uses: *uses }, "what it holds now: {order:?}");
        }
        let tag = matches!(order.act, Act::Open { .. }).then(|| Tag::Remote(key));
        self.tags.resize(service.effects().committed.len(), tag);
        let word = match &done {
            Ok(done) if done.is_again => "again",
            Ok(_) => "done",
            Err(refused) => refused.word(),
        };
        tell(|| format!("{:>9} desk: {word} {done:?}", self.t));
        let is_full = word == "full" && service.server().room() == Room::Nothing;
        // A void that finds no sale to read is not done; the terminals are served.
        let is_unreadable = word == "unreadable" && self.disk.is_unreadable();
        let is_expected = expected.as_ref().is_none_or(|expected| expected.contains(&word));
        assert!(is_expected || is_full || is_unreadable, "{order:?}\nanswered {done:?}\nexpected {expected:?}");
        self.answered(match done {
            Ok(done) => Answer::Done(done),
            Err(refused) => Answer::Refused(refused),
        });
        Ok(())
    }

    /// The first entry that was not archived.
    fn first_kept(&self) -> u64 {
        let name = self.disk.segments().into_iter().next();
        name.map_or(1, |name| number(name.trim_start_matches("ledger-").trim_end_matches(".tsv")))
    }

    fn answered(&mut self, answer: Answer) {
        self.desk.asked.last_mut().expect("it was just asked").answer = Some(answer);
    }

    /// The turn is over, and what it wrote durable: the answers leave.
    pub(super) fn answer_desk(&mut self, service: &Service<Disk>) {
        let asked = std::mem::take(&mut self.desk.asked);
        let mut is_cut = false;
        for asked in asked {
            let Asked { task, undone, before, answer } = asked;
            let is_undone = service.undone() > undone;
            let answer = answer.expect("the turn came to its end");
            if let (Task::Order(order), true) = (&task, is_undone) {
                let made = self.judge.orders.made(&orders::key_text(&order.key)).cloned();
                assert_eq!(made, before, "the turn was undone, and this is there: {order:?}");
                self.coverage.count("operator order undone for want of room");
                if matches!(order.key, Key::Line { .. }) {
                    is_cut = true;
                } else {
                    self.desk.waiting.push_back(task);
                }
                continue;
            }
            match (answer, task) {
                (Answer::Done(done), Task::Order(order)) => {
                    self.believe(order, &done, before.as_ref());
                }
                (Answer::Clock(seq), _) => {
                    assert!(
                        is_undone || self.judge.seq >= seq.0,
                        "the clock was accepted, and its entry is not durable"
                    );
                    self.coverage.count("operator clock accepted");
                }
                (Answer::Refused(refused), task) => self.hear_refusal(&refused, &task),
                (Answer::Told, Task::Show(..)) => self.coverage.count("operator text shown"),
                (Answer::Told | Answer::Done(_), _) => self.coverage.count("operator clocks set"),
            }
        }
        if is_cut {
            self.run_batches_again();
        }
        self.desk.given.clear();
    }

    /// An order was answered as done: its entry is in the durable ledger, once.
    fn believe(&mut self, order: Order, done: &Done, before: Option<&Made>) {
        let key = orders::key_text(&order.key);
        let made = self.judge.orders.made(&key).cloned();
        let made = made.unwrap_or_else(|| panic!("answered {done:?}, and not in the durable ledger: {order:?}"));
        // The digest names what stands in a batch's lines: nobody looks at them again.
        let is_line_again = done.is_again && matches!(order.key, Key::Line { .. });
        assert!(is_line_again || made.what == orders::what_of(&order.act), "done under {key}: {made:?}");
        assert!(before.is_none() || done.is_again, "done before, and not said so: {order:?} {done:?}");
        match &order.key {
            Key::Line { digest, .. } if done.is_again => {
                let lines = self.judge.orders.batch(digest).expect("a batch of which a line was done");
                assert!(done.first.0 == lines.first && done.last.0 <= lines.last, "{lines:?}, answered {done:?}");
            }
            _ => assert_eq!((made.seq, made.seq), (done.first.0, done.last.0), "which entry: {order:?}"),
        }
        if done.is_again {
            self.coverage.count("operator same key again");
            if self.desk.done.iter().any(|(known, process)| known.key == order.key && *process < self.process) {
                self.coverage.count("operator same key again after a restart");
            }
            return;
        }
        self.coverage.count(done_name(&order));
        if self.desk.done.len() == REMEMBERED {
            self.desk.done.pop_front();
        }
        self.desk.done.push_back((order.clone(), self.process));
        if self.random.happens(80) {
            self.coverage.count("operator answer lost, and asked again");
            self.desk.waiting.push_back(Task::Order(order));
        }
    }

    fn hear_refusal(&mut self, refused: &Refused, task: &Task) {
        self.coverage.count(match refused {
            Refused::KeyUsed { .. } => "operator key of another order refused",
            Refused::OutOfOrder { .. } => "operator line out of order refused",
            Refused::NotForBatch => "operator line of another kind refused",
            Refused::AlreadyVoided { .. } => "operator void of nothing left refused",
            Refused::MoreThanLeft { .. } => "operator void of more than left refused",
            Refused::NotASale { .. } => "operator void of no sale refused",
            Refused::Full => "operator order refused, for want of room",
            Refused::Overdraw { .. } => "operator payout of more than there is refused",
            Refused::Replaced { .. } => "operator order for a replaced card refused",
            Refused::TableSays { .. } => "operator found, but the table says lost: refused",
            Refused::UnknownCard { .. } => "operator order for an unknown card refused",
            Refused::Closed { .. } => "operator credit for a closed card refused",
            Refused::NewCardHasAccount { .. } | Refused::NewCardStopped { .. } => "operator used new card refused",
            Refused::NotSeen { .. } | Refused::Quarantined { .. } => "operator order for a device not seen refused",
            _ => "operator order refused",
        });
        // What could not be written is tried again, later.
        if *refused == Refused::Full && self.random.happens(500) {
            self.desk.waiting.push_back(task.clone());
        }
        // The rest of a batch is not done without its line.
        if let Task::Order(Order { key: Key::Line { digest, .. }, .. }) = task {
            let is_other = |task: &Task| !matches!(task, Task::Batch(batch) if batch.digest == *digest);
            self.desk.waiting.retain(is_other);
        }
    }

    /// The process is gone: nobody knows what became of the orders of its last turn.
    pub(super) fn lose_orders(&mut self) {
        for Asked { task, .. } in std::mem::take(&mut self.desk.asked) {
            self.coverage.count("operator order lost in a cut");
            let is_given_up = !self.is_calm && self.random.happens(150);
            if let (Task::Order(Order { key: Key::Own(_), .. }), false) = (&task, is_given_up) {
                self.desk.waiting.push_front(task);
            }
        }
        self.run_batches_again();
        self.desk.given.clear();
    }

    /// Those of which nobody knows how far they came, from their first lines.
    fn run_batches_again(&mut self) {
        for batch in std::mem::take(&mut self.desk.given) {
            self.coverage.count("operator batch cut, and run again");
            let is_other = |task: &Task| !matches!(task, Task::Batch(other) if other.digest == batch.digest);
            self.desk.waiting.retain(is_other);
            self.desk.waiting.push_front(Task::Batch(Batch { next: 1, ..batch }));
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
            let account = if is_own { format!("H{card}") } else { account };
            site.enter(card, account);
            self.coverage.count("operator new card comes into the table");
        }
    }
}

fn figures_of(service: &Service<Disk>, act: &Act) -> Figures {
    let Act::Move { card, .. } = act else { return Figures::default() };
    let server = service.server();
    server.account_of(*card).map_or(Figures::default(), |row| server.book().account(row).figures())
}

fn done_name(order: &Order) -> &'static str {
    match (&order.key, &order.act) {
        (Key::Line { .. }, _) => "operator line of a batch",
        (_, Act::Move { way: Way::TopUp, .. }) => "operator topup",
        (_, Act::Move { way: Way::Subsidy, .. }) => "operator subsidy",
        (_, Act::Move { way: Way::PayOut, .. }) => "operator payout",
        (_, Act::Move { way: Way::Adjust, .. }) => "operator adjust",
        (_, Act::Void { amount: None, .. }) => "operator void",
        (_, Act::Void { amount: Some(_), .. }) => "operator void of an amount",
        (_, Act::Mark { status: CardStatus::Active, .. }) => "operator card found or unfrozen",
        (_, Act::Mark { status: CardStatus::Frozen, .. }) => "operator card frozen",
        (_, Act::Mark { status: CardStatus::Lost, .. }) => "operator card lost",
        (_, Act::Mark { status: CardStatus::Closed, .. }) => "operator card closed",
        (_, Act::Link { .. }) => "operator card replaced",
        (_, Act::Open { .. }) => "operator door opened",
    }
}
