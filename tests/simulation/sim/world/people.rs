//! Events as they come due: datagrams arrive, devices act, customers pay, cashiers try again.

use posgate::engine::model::Civil;

use super::super::clock::true_civil;
use super::super::device::{Ask, Note, Record, SaleId, Work};
use super::super::judge::{self, Tag};
use super::{Event, HOUR, MINUTE, SECOND, World};

/// So many devices have customers as fast as they come; where there are more, each has fewer.
const DEVICES_BUSY: u64 = 25;

/// So many people come to a terminal again and again, and take the same.
const HABITS: usize = 6;

/// After so long the same is another sale for certain, whatever the terminal's clock says; a sale
/// is tried for two minutes at most, and a frame without a believed time is known for ten.
const HABIT_PAUSE: u64 = 15 * MINUTE;

impl World {
    pub(super) fn happen(&mut self) {
        let Some(((at, _), event)) = self.events.pop_first() else { return };
        self.t = self.t.max(at);
        match event {
            Event::Recorded(board, frame, number) => self.play_recorded(board, frame, number),
            Event::ToServer(source, datagram) => {
                if self.inbox.len() < 4096 {
                    self.inbox.push_back((source, datagram));
                }
                if self.turn_at.is_none() {
                    let slow = if self.random.happens(20) { 300 } else { 10 };
                    self.turn_at = Some(self.t + self.random.below(slow));
                }
            }
            Event::ToDevice(place, datagram) => {
                let mut notes = Vec::new();
                self.devices[place].hear(self.t, &datagram, &mut self.random, &mut self.coverage, &mut notes);
                self.take_notes(place, notes);
            }
            Event::Tick(place) => {
                if self.ticks[place] == at {
                    self.ticks[place] = u64::MAX;
                }
                let mut notes = Vec::new();
                self.devices[place].tick(self.t, &mut self.random, &mut self.coverage, &mut notes);
                self.take_notes(place, notes);
            }
            Event::Customer(place) => self.serve_customer(place),
            Event::Trouble => self.make_trouble(),
            Event::Desk => self.come_to_desk(),
            Event::Room => self.free_room(),
        }
    }

    pub(super) fn take_notes(&mut self, place: usize, notes: Vec<Note>) {
        for note in notes {
            self.take_note(place, note);
        }
        self.schedule_tick(place);
    }

    fn take_note(&mut self, place: usize, note: Note) {
        let machine = self.devices[place].machine;
        match note {
            Note::Send(frame) => {
                self.carry(place, &frame, false);
            }
            Note::Framed { frame, work, .. } => {
                if let (Some(tag @ Tag::Sale(_)), Some(sale)) = (judge::tag(&frame), work.sale) {
                    self.judge.expect_frame(&tag, sale, self.t);
                }
                let shown = Civil::parse(work.time.as_bytes()).filter(|_| work.ask != Ask::Upload);
                if let Some(shown) = shown {
                    self.judge.note_clock(u64::from(machine), shown.0 - true_civil(self.t).0, self.process);
                }
                self.hold_back(place, &frame, &work);
                if matches!(work.ask, Ask::Door(..)) {
                    self.judge.expect_door(&frame, self.t, &self.site);
                    self.door_frames[place] += 1;
                    if self.random.happens(300) {
                        self.recorded_doors.push((place, frame, self.door_frames[place]));
                    }
                }
            }
            Note::Approved(sale) => {
                self.report.told += u64::from(self.judge.told(sale, self.t, self.process));
            }
            Note::Dropped(record) => self.judge.dropped(machine, &record, self.t, self.process),
            Note::Opened => (),
            Note::Booked(record) => {
                self.judge.expect_record(machine, &record);
                if record.at.is_none() && self.random.happens(400) {
                    // The same again: two sales, and nothing but the slot tells them apart.
                    self.coverage.count("device booked two alike");
                    let sale = self.judge.add_sale();
                    let twin = self.devices[place].store(record.of(sale));
                    self.judge.expect_record(machine, &twin);
                } else if self.random.happens(60) {
                    self.store_odd(place, &record);
                }
            }
            Note::Failed(work) => {
                if work.tries < 2 && self.random.happens(700) {
                    self.coverage.count("device tried again under a new seq");
                    let at = self.t + self.random.between(500, 26 * SECOND);
                    let is_shown = matches!(work.ask, Ask::Scan(_)) && self.random.happens(500);
                    if is_shown {
                        self.coverage.count("device code shown again");
                    }
                    let command = is_shown.then(|| self.next_command());
                    let again = work.again(command);
                    self.devices[place].plan(at, again);
                }
            }
        }
    }

    /// Records that only a broken terminal makes: each must be let go of.
    fn store_odd(&mut self, place: usize, record: &Record) {
        let machine = self.devices[place].machine;
        let sale: SaleId = self.judge.add_sale();
        let mut odd = record.of(sale);
        match self.random.below(4) {
            0 => odd.card = "ABC".into(),
            1 => odd.amount = "1.2.3".into(),
            2 => odd.amount = "5000.00".into(),
            _ => odd.card = format!("{}", 7_000_000_000 + self.random.below(500)),
        }
        self.coverage.count("device record unreadable");
        let odd = self.devices[place].store(odd);
        self.judge.expect_record(machine, &odd);
    }

    pub(super) fn serve_customer(&mut self, place: usize) {
        if self.is_calm {
            return;
        }
        let hour = self.t / HOUR % 24;
        let pause = match hour {
            7 | 11 | 12 | 17 => 30 * SECOND,
            6 | 8 | 13 | 18 => 3 * MINUTE,
            9..=22 => 15 * MINUTE,
            _ => 2 * HOUR,
        };
        // The more devices, the fewer customers each.
        let pause = pause * (self.devices.len() as u64).div_ceil(DEVICES_BUSY);
        let next = self.t + pause / 4 + self.random.below(pause * 3 / 2);
        self.schedule(next, Event::Customer(place));
        if let Some(work) = self.invent_work(place) {
            if matches!(work.ask, Ask::Door(..)) && self.random.happens(200) {
                // Who was let in hands the card to the next one.
                let at = self.t + self.random.between(2 * SECOND, 25 * SECOND);
                self.devices[place].plan(at, work.clone());
            }
            self.devices[place].plan(self.t, work);
            self.schedule_tick(place);
        }
    }

    fn next_command(&mut self) -> String {
        self.commands += 1;
        format!("{:012}", self.commands)
    }

    fn invent_work(&mut self, place: usize) -> Option<Work> {
        let habits = &self.habits[place];
        if !habits.is_empty() && self.random.happens(250) {
            let habit = self.random.pick(habits);
            return self.sale_of(place, habit);
        }
        let row = self.random.place(self.site.cards.len());
        let card = &self.site.cards[row];
        if card.is_decoy {
            return None;
        }
        // Who got a new card uses it, mostly.
        let number = card.number;
        let number = if self.random.happens(800) { self.judge.orders.newest(number) } else { number };
        let mut subject = format!("{number:010}");
        if self.devices[place].is_board {
            let kind = u8::try_from(self.random.below(5)).expect("five kinds");
            if kind == 3 && self.random.happens(500) {
                subject.clear();
            }
            return Some(Work::new(Ask::Door(self.random.pick(&[1, 1, 1, 2, 2, 2, 3]), kind), subject, number, None));
        }
        let fen = i64::try_from(self.random.between(100, 3000)).expect("fen");
        let ask = match self.random.below(20) {
            0 => Ask::Keys,
            1 | 2 => Ask::Inquiry,
            3..=5 => Ask::Meal(true),
            6 | 7 => Ask::Meal(false),
            8 | 9 => Ask::Scan(fen),
            _ => Ask::Charge(fen),
        };
        if !ask.is_sale() {
            return Some(Work::new(ask, subject, number, None));
        }
        if self.habits[place].len() < HABITS && self.random.happens(150) {
            self.habits[place].push((number, ask));
        }
        self.sale_of(place, (number, ask))
    }

    /// A sale, unless the same was sold there a moment ago: nobody could tell it from that one
    /// tried again.
    pub(super) fn sale_of(&mut self, place: usize, (number, ask): (u64, Ask)) -> Option<Work> {
        let asked = match ask {
            Ask::Charge(fen) | Ask::Scan(fen) => fen,
            _ => 0,
        };
        let device = &self.devices[place];
        let key = (device.machine, number, asked);
        let before = self.used.get(&key).copied();
        // Where the clock is dead some do not wait until the frame before is forgotten.
        let pause = if device.is_timeless() && self.random.happens(300) { 3 * MINUTE } else { HABIT_PAUSE };
        if before.is_some_and(|before| self.t < before + pause) {
            return None;
        }
        if before.is_some() {
            self.coverage.count("device same sale as before");
        }
        self.used.insert(key, self.t);
        let subject = if matches!(ask, Ask::Scan(_)) { self.next_command() } else { format!("{number:010}") };
        Some(Work::new(ask, subject, number, Some(self.judge.add_sale())))
    }
}
