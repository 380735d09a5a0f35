//! A short canteen day on the example table: what a technician sees before the hardware is there.
//!
//! Every scene says what must come out. Balances are compared before and after, never with the
//! table, so a ledger of earlier days does no harm; a refusal that an earlier day may have caused
//! (the day's limit, an empty account) is no surprise. Amounts are drawn, so that no sale looks
//! like one of a day that was cut short.

use std::io;
use std::time::Duration;

use posgate::engine::gbk;
use posgate::engine::model::{Balance, CardNo, Civil, Money, Pin, Reason, Text, UnitNo};
use posgate::engine::wire::{CountedIn, PinKind};

use crate::cast::{self, Part, card};
use crate::device::{Ask, Device, Door, Habits, Outcome};
use crate::random::Random;
use crate::world::{Finished, World};

/// How often somebody tries before going away.
const TRIES_MAX: u32 = 4;

/// How long stored sales may take to be released once the server answers again.
const COLLECT_MAX: Duration = Duration::from_secs(60);

/// What came of everything that was asked: `asked` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Enquiries, sales and requests at doors; one that is tried again is still one.
    pub asked: u32,
    /// 008 and 050.
    pub approved: u32,
    /// 006 and 051.
    pub refused: u32,
    /// 009.
    pub shown: u32,
    /// Sales booked by a terminal and released by 011.
    pub collected: u32,
    /// Whatever never got its result.
    pub lost: u32,
    /// Of a crowd: what got no result from a server that was away meanwhile, as a killed one is.
    /// Whether such a sale was charged stands in the ledger alone.
    pub unknown: u32,
}

impl Tally {
    /// Counts how something ended. A sale that was booked is counted when it is released.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Heard | Outcome::Booked => (),
            Outcome::Shown(_) => self.shown += 1,
            Outcome::Approved(_) | Outcome::Admitted(_) => self.approved += 1,
            Outcome::Declined(_) | Outcome::Refused(_) => self.refused += 1,
            Outcome::Released => self.collected += 1,
            Outcome::NoResult | Outcome::Unheard => self.lost += 1,
        }
    }

    /// The closing line.
    pub fn print(&self, confirmed: u32, broken: u32) {
        let Self { asked, approved, refused, shown, collected, lost, unknown } = self;
        println!(
            "asked {asked} · approved {approved} · refused {refused} · shown {shown} · collected {collected} · \
             confirmed {confirmed} · lost {lost} · unknown {unknown} · promises broken {broken}"
        );
    }
}

/// What a scene expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// It succeeds, unless earlier sales have used something up.
    Success,
    /// It is refused for this reason.
    Refusal(Reason),
}

/// Reasons that sales of earlier days, or an hour outside the example's, may bring about.
const EXCUSES: [Reason; 7] =
    [Reason::Full, Reason::Period, Reason::PeriodUses, Reason::DayMax, Reason::Uses, Reason::Balance, Reason::DoorTime];

/// How things stood before a sale.
#[derive(Clone, Copy, Debug)]
struct Before {
    balance: Option<Balance>,
    /// Whether the server can know a sale that is tried again from a new one: not from a device
    /// that has never confirmed anything, not where a late 109 may end the doubt before the second
    /// try arrives, not with codes.
    is_told_apart: bool,
}

/// How often a sale may have been charged.
#[derive(Clone, Copy, Debug)]
struct Sold {
    times_min: u32,
    /// If the server cannot tell the tries apart.
    times_max: u32,
}

impl Sold {
    const ONCE: Self = Self { times_min: 1, times_max: 1 };

    fn after(ended: &Finished, tries: u32) -> Self {
        match &ended.outcome {
            _ if !ended.is_own => Self { times_min: 0, times_max: tries },
            Outcome::Approved(_) | Outcome::Booked => Self { times_min: 1, times_max: tries },
            Outcome::Declined(_) => Self { times_min: 0, times_max: tries - 1 },
            Outcome::NoResult | Outcome::Unheard => Self { times_min: 0, times_max: tries },
            Outcome::Heard | Outcome::Shown(_) | Outcome::Admitted(_) => Self { times_min: 0, times_max: 0 },
            Outcome::Refused(_) | Outcome::Released => Self { times_min: 0, times_max: 0 },
        }
    }
}

/// The day: its devices in a world.
struct Day {
    world: World,
    random: Random,
    tally: Tally,
    /// Between two sends of a frame.
    interval: Duration,
    window_1: usize,
    window_2: usize,
    shop: usize,
    board: usize,
}

/// Plays the day; gives the tally, the confirmed results and the promises broken.
///
/// # Errors
/// If a socket or the poll fails.
pub fn play(mut world: World, habits: &Habits, mut random: Random) -> io::Result<(Tally, u32, u32)> {
    let mut add = |part: Part, habits: Habits| {
        let seq = 1 + u16::try_from(random.below(20_000)).unwrap_or(0);
        let clock = (world.now(), crate::clock::Clock::local());
        let mut device = Device::new(part.machine(), part.serial(), seq, clock, habits);
        device.set_next_record(u32::try_from(random.below(90_000_000)).unwrap_or(0));
        world.add(device)
    };
    // The second window is a model that writes the maker's constant.
    let with_mode = Habits { mode: Text::try_from("2").ok(), ..habits.clone() };
    let (window_1, window_2) = (add(cast::WINDOW_1, habits.clone())?, add(cast::WINDOW_2, with_mode)?);
    let (shop, board) = (add(cast::SHOP, habits.clone())?, add(cast::BOARD, habits.clone())?);
    for window in [window_1, window_2] {
        world.device(window).set_white_list(&[card(cast::ZHAO)]);
    }
    let mut day =
        Day { world, random, tally: Tally::default(), interval: habits.interval, window_1, window_2, shop, board };
    day.morning()?;
    day.refusals()?;
    day.lost_approval_tried_again()?;
    day.lost_approval_booked_offline()?;
    day.lunch_hour()?;
    day.offline_spell()?;
    day.codes()?;
    day.doors()?;
    day.power_cut()?;
    for station in [day.window_1, day.window_2, day.shop, day.board] {
        let held = day.world.device(station).records_held();
        day.tally.lost += u32::try_from(held).unwrap_or(u32::MAX);
    }
    Ok((day.tally, day.world.confirmed(), day.world.broken()))
}

impl Day {
    fn morning(&mut self) -> io::Result<()> {
        println!("— morning: the power comes on; the shop's clock has lost its battery");
        let now = self.world.now();
        self.world.device(self.shop).set_clock(now, Civil(946_684_800));
        for station in [self.window_1, self.window_2, self.shop, self.board] {
            self.act(station, &Ask::Boot, Expect::Success)?;
        }
        // The clocks are set a moment later.
        self.world.idle(Duration::from_millis(200))?;
        let keys = Ask::Keys { keys: b"F1".to_vec() };
        self.act(self.window_1, &keys, Expect::Success)?;
        self.act(self.window_1, &inquiry(cast::ZHANG), Expect::Success)?;
        self.act(self.window_1, &inquiry(cast::STRANGER), Expect::Success)?;
        let before = self.before(self.window_1, cast::ZHANG)?;
        let amount = self.draw(100, 999);
        let sold = self.sell(self.window_1, cast::ZHANG, amount)?;
        self.compare(self.window_1, cast::ZHANG, before, amount, sold)?;
        self.act(self.window_2, &Ask::Meal { card: card(cast::WANG) }, Expect::Success)?;
        self.act(self.window_2, &charge(cast::WANG, "0.00"), Expect::Success)?;
        // Two cards, one account.
        let before = self.before(self.shop, cast::SON)?;
        let amount = self.draw(100, 999);
        let sold = self.sell(self.shop, cast::FATHER, amount)?;
        self.compare(self.shop, cast::SON, before, amount, sold)?;
        self.sell(self.shop, cast::OVERDRAFT, Money::from_fen(50).unwrap_or_default())?;
        Ok(())
    }

    fn refusals(&mut self) -> io::Result<()> {
        println!("— cards that are refused");
        for (number, reason) in [
            (cast::STRANGER, Reason::UnknownCard),
            (cast::CLOSED, Reason::Closed),
            (cast::LOST, Reason::Lost),
            (cast::FROZEN, Reason::Frozen),
            (cast::NOT_YET, Reason::NotYetValid),
            (cast::EXPIRED, Reason::Expired),
            (cast::EMPTY, Reason::Balance),
            (cast::DEBTOR, Reason::Balance),
        ] {
            self.act(self.window_1, &charge(number, "1.00"), Expect::Refusal(reason))?;
        }
        self.act(self.window_2, &charge(cast::VISITOR, "1.00"), Expect::Refusal(Reason::Group))?;
        self.act(self.window_1, &charge(cast::CHARGE_MAX, "20.01"), Expect::Refusal(Reason::ChargeMax))?;
        self.act(self.window_1, &charge(cast::CHARGE_MAX, "2.00"), Expect::Success)?;
        self.act(self.window_1, &charge(cast::DAY_MAX, "0.50"), Expect::Success)?;
        self.act(self.window_1, &charge(cast::DAY_MAX, "49.51"), Expect::Refusal(Reason::DayMax))?;
        for number in [cast::EMPTY, cast::NO_USES] {
            self.act(self.window_2, &Ask::Meal { card: card(number) }, Expect::Refusal(Reason::Uses))?;
        }
        Ok(())
    }

    fn lost_approval_tried_again(&mut self) -> io::Result<()> {
        println!("— an approval gets lost, with every 001: the cashier tries again");
        self.sell(self.shop, cast::LI, Money::from_fen(50).unwrap_or_default())?;
        let before = self.before(self.shop, cast::LI)?;
        let amount = self.draw(100, 999);
        self.world.deafen(self.shop, &[1, 6, 8]);
        let ask = charge(cast::LI, &amount.to_string());
        let first = self.attempt(self.shop, &ask)?;
        self.world.deafen(self.shop, &[]);
        self.say(&first, " (lost on the way back)");
        let second = self.sell(self.shop, cast::LI, amount)?;
        let sold = Sold { times_max: second.times_max + 1, ..second };
        self.compare(self.shop, cast::LI, before, amount, sold)?;
        Ok(())
    }

    fn lost_approval_booked_offline(&mut self) -> io::Result<()> {
        println!("— an approval gets lost: the terminal books the sale itself and sends it later");
        let before = self.before(self.window_1, cast::ZHAO)?;
        let amount = self.draw(100, 999);
        self.world.deafen(self.window_1, &[1, 6, 8]);
        let ask = charge(cast::ZHAO, &amount.to_string());
        self.act(self.window_1, &ask, Expect::Success)?;
        self.world.deafen(self.window_1, &[]);
        self.collect(self.window_1)?;
        self.compare(self.window_1, cast::ZHAO, before, amount, Sold::ONCE)
    }

    fn lunch_hour(&mut self) -> io::Result<()> {
        println!("— lunch: everybody at once");
        for _ in 0..6 {
            let places = [self.window_1, self.window_2, self.shop];
            let mut asks = Vec::new();
            for place in places {
                let buyer = usize::try_from(self.random.below(cast::BUYERS.len() as u64)).unwrap_or(0);
                let number = if place == self.window_2 { cast::WANG } else { cast::BUYERS[buyer] };
                let is_meal = place == self.window_2 && self.random.happens(50);
                let amount = self.draw(100, 1500).to_string();
                let ask = if is_meal { Ask::Meal { card: card(number) } } else { charge(number, &amount) };
                asks.push((place, ask));
            }
            self.rush(asks)?;
        }
        Ok(())
    }

    fn offline_spell(&mut self) -> io::Result<()> {
        println!("— the cable of the second window is pulled");
        let before = self.before(self.window_2, cast::ZHAO)?;
        self.world.cut(self.window_2, true);
        let amount = self.draw(100, 999);
        self.act(self.window_2, &charge(cast::ZHAO, &amount.to_string()), Expect::Success)?;
        self.act(self.window_2, &Ask::Meal { card: card(cast::ZHAO) }, Expect::Success)?;
        println!("— and two older sales are still in its memory: one without a date, one of a card that nobody knows");
        let now = self.world.now();
        let device = self.world.device(self.window_2);
        let time = device.local(now).to_string();
        device.store(card(cast::ZHAO).as_str(), "0.75", "2000-00-00 00:00:00", CountedIn::Amount);
        device.store(card(cast::STRANGER).as_str(), "0.25", &time, CountedIn::Amount);
        self.tally.asked += 2;
        println!("— the cable is back; the first 011 gets lost");
        self.world.cut(self.window_2, false);
        self.world.deafen(self.window_2, &[11]);
        loop {
            let ended = self.next(COLLECT_MAX)?;
            let is_upload = ended.as_ref().is_none_or(|ended| matches!(ended.ask, Ask::Upload(_)));
            if let Some(ended) = &ended {
                self.automatic(ended);
            }
            if is_upload {
                break;
            }
        }
        self.world.deafen(self.window_2, &[]);
        self.collect(self.window_2)?;
        let whole = Money::from_fen(amount.fen() + 75).unwrap_or_default();
        self.compare(self.window_2, cast::ZHAO, before, whole, Sold::ONCE)
    }

    fn codes(&mut self) -> io::Result<()> {
        println!("— codes");
        for (code, expect) in [
            (cast::MEMBER_CODE, Expect::Success),
            (cast::COMMA_CODE, Expect::Success),
            (cast::FOREIGN_CODE, Expect::Refusal(Reason::ForeignCode)),
        ] {
            let amount = self.draw(100, 999).to_string();
            let command = self.world.device(self.shop).next_command();
            self.act(self.shop, &Ask::Scan { command, code: code.as_bytes().to_vec(), amount }, expect)?;
        }
        println!("— every frame of the shop arrives twice");
        let before = self.before(self.shop, cast::MEMBER)?;
        self.world.double(self.shop, true);
        let amount = self.draw(100, 999);
        let command = self.world.device(self.shop).next_command();
        let code = cast::MEMBER_CODE.as_bytes().to_vec();
        let ask = Ask::Scan { command, code, amount: amount.to_string() };
        let (ended, tries) = self.act_counted(self.shop, &ask, Expect::Success)?;
        self.world.double(self.shop, false);
        let before = Before { is_told_apart: false, ..before };
        self.compare(self.shop, cast::MEMBER, before, amount, Sold::after(&ended, tries))
    }

    fn doors(&mut self) -> io::Result<()> {
        println!("— doors");
        let mut admitted = Vec::new();
        for (number, at, pin_kind, pin, open_seconds, expect) in [
            (cast::ZHANG, 1, PinKind::AfterCard, cast::ZHANG_PIN, 0, Expect::Success),
            (cast::ZHANG, 1, PinKind::AfterCard, "9999", 0, Expect::Refusal(Reason::Pin)),
            (cast::ZHANG, 1, PinKind::None, "", 0, Expect::Refusal(Reason::Pin)),
            (cast::LI, 1, PinKind::Correction, cast::LI_PIN, 0, Expect::Success),
            (cast::WANG, 1, PinKind::None, "", 0, Expect::Refusal(Reason::DoorGroup)),
            (cast::WANG, 2, PinKind::None, "", 35, Expect::Success),
            (cast::LOST, 2, PinKind::None, "", 0, Expect::Refusal(Reason::Lost)),
            (cast::STRANGER, 2, PinKind::None, "", 0, Expect::Refusal(Reason::UnknownCard)),
            (cast::ZHANG, 3, PinKind::None, "", 0, Expect::Refusal(Reason::NoDoor)),
            (cast::ZHANG, 1, PinKind::Duress, cast::ZHANG_PIN, 0, Expect::Success),
            (cast::ZHANG, 1, PinKind::AfterCard, cast::ZHANG_DURESS, 0, Expect::Success),
            (0, 1, PinKind::DoorPin, cast::OPEN_PIN, 0, Expect::Success),
            (0, 2, PinKind::DoorPin, cast::OPEN_PIN, 0, Expect::Refusal(Reason::Pin)),
        ] {
            let place = UnitNo::parse(format!("{at}").as_bytes()).expect("digits");
            let holder = (number != 0).then(|| card(number));
            let pin = Pin::parse(pin.as_bytes());
            let door = Door { card: holder, reader: place, relay: place, open_seconds, pin_kind, pin };
            let ended = self.act(self.board, &Ask::Door(door), expect)?;
            if number == cast::ZHANG
                && let Outcome::Admitted(text) = ended.outcome
            {
                admitted.push(text);
            }
        }
        if admitted.windows(2).any(|pair| pair[0] != pair[1]) {
            self.world.breach(self.board, "an admission under duress looks unlike any other");
        }
        Ok(())
    }

    fn power_cut(&mut self) -> io::Result<()> {
        println!("— the first window starts again, and counts its frames from the start");
        self.act(self.window_1, &Ask::Boot, Expect::Success)?;
        for _ in 0..3 {
            let amount = self.draw(100, 999);
            self.sell(self.window_1, cast::ZHANG, amount)?;
        }
        // Results that are not confirmed would be sent again now.
        self.world.idle(2 * self.interval)
    }

    /// Somebody does something, until it ends in some way or is given up.
    fn act(&mut self, station: usize, ask: &Ask, expect: Expect) -> io::Result<Finished> {
        self.act_counted(station, ask, expect).map(|(ended, _)| ended)
    }

    /// A sale that should succeed; gives how often it may have been charged.
    fn sell(&mut self, station: usize, number: u64, amount: Money) -> io::Result<Sold> {
        let ask = charge(number, &amount.to_string());
        let (ended, tries) = self.act_counted(station, &ask, Expect::Success)?;
        Ok(Sold::after(&ended, tries))
    }

    fn act_counted(&mut self, station: usize, ask: &Ask, expect: Expect) -> io::Result<(Finished, u32)> {
        let mut tries = 1;
        let mut ended = self.attempt(station, ask)?;
        while matches!(ended.outcome, Outcome::NoResult | Outcome::Unheard) && tries < TRIES_MAX {
            self.say(&ended, ": tried again");
            tries += 1;
            ended = self.attempt(station, ask)?;
        }
        self.account(&ended, expect);
        Ok((ended, tries))
    }

    /// Counts and prints what ended, and compares it with what was expected.
    fn account(&mut self, ended: &Finished, expect: Expect) {
        self.tally.asked += u32::from(ended.ask.wants_result());
        if ended.ask.wants_result() {
            self.tally.count(&ended.outcome);
        }
        let text = ended.outcome.text().map(|text| gbk::decode(text).into_owned()).unwrap_or_default();
        let says = |reason: &Reason| text.contains(reason.text());
        let (note, surprise) = match (&ended.outcome, expect) {
            (Outcome::Approved(_) | Outcome::Admitted(_), Expect::Refusal(reason)) => {
                ("", Some(format!("expected a refusal: {}", reason.word())))
            }
            (Outcome::Declined(_) | Outcome::Refused(_), Expect::Success) => match EXCUSES.iter().find(|it| says(it)) {
                Some(_) => (" (an earlier day's doing)", None),
                None => ("", Some("expected success".to_owned())),
            },
            (Outcome::Declined(_) | Outcome::Refused(_), Expect::Refusal(reason)) if !says(&reason) => {
                (" (in other words than expected)", None)
            }
            _ => ("", None),
        };
        let surprise = surprise.filter(|_| ended.is_own);
        self.say(ended, if ended.is_own { note } else { " (perhaps a late copy of an earlier answer)" });
        if let Some(surprise) = surprise {
            self.world.breach(ended.station, &surprise);
        }
    }

    /// One try, without a word.
    fn attempt(&mut self, station: usize, ask: &Ask) -> io::Result<Finished> {
        while !self.world.device(station).is_idle() {
            if let Some(ended) = self.next(COLLECT_MAX)? {
                self.automatic(&ended);
            }
        }
        self.world.start(station, ask.clone())?;
        loop {
            match self.next(COLLECT_MAX)? {
                Some(ended) if ended.station == station && ended.ask == *ask => return Ok(ended),
                Some(ended) => self.automatic(&ended),
                None => (),
            }
        }
    }

    /// Several people at several devices, all at once.
    fn rush(&mut self, asks: Vec<(usize, Ask)>) -> io::Result<()> {
        let mut waiting = Vec::new();
        for (station, ask) in asks {
            if self.world.device(station).is_idle() {
                self.world.start(station, ask.clone())?;
                waiting.push((station, ask));
            }
        }
        let mut again = Vec::new();
        while !waiting.is_empty() {
            let Some(ended) = self.next(COLLECT_MAX)? else { continue };
            let place = waiting.iter().position(|(station, ask)| *station == ended.station && *ask == ended.ask);
            match place {
                None => self.automatic(&ended),
                Some(place) => {
                    let one = waiting.swap_remove(place);
                    if matches!(ended.outcome, Outcome::NoResult | Outcome::Unheard) {
                        self.say(&ended, ": tried again");
                        again.push(one);
                    } else {
                        self.account(&ended, Expect::Success);
                    }
                }
            }
        }
        for (station, ask) in again {
            self.act(station, &ask, Expect::Success)?;
        }
        Ok(())
    }

    /// Lets a terminal send what it has booked.
    fn collect(&mut self, station: usize) -> io::Result<()> {
        let until = self.world.now() + COLLECT_MAX;
        while self.world.device(station).records_held() > 0 && self.world.now() < until {
            if let Some(ended) = self.next(Duration::from_secs(1))? {
                self.automatic(&ended);
            }
        }
        Ok(())
    }

    /// A terminal did something by itself: it sent a stored sale.
    fn automatic(&mut self, ended: &Finished) {
        if ended.outcome == Outcome::Released {
            self.tally.count(&ended.outcome);
        }
        self.say(ended, "");
    }

    fn next(&mut self, time: Duration) -> io::Result<Option<Finished>> {
        let until = self.world.now() + time;
        loop {
            if let Some(ended) = self.world.take_finished() {
                return Ok(Some(ended));
            }
            if self.world.now() >= until {
                return Ok(None);
            }
            self.world.step(until)?;
        }
    }

    /// The balance that an enquiry shows; `None` if its text has none.
    fn balance(&mut self, station: usize, number: u64) -> io::Result<Option<Balance>> {
        let ended = self.act(station, &inquiry(number), Expect::Success)?;
        Ok(ended.outcome.text().filter(|_| ended.is_own).and_then(balance_in))
    }

    /// What a sale will be compared with.
    fn before(&mut self, station: usize, number: u64) -> io::Result<Before> {
        let balance = self.balance(station, number)?;
        let is_told_apart = self.world.judge(station).is_confirming() && !self.world.is_bad();
        Ok(Before { balance, is_told_apart })
    }

    /// A sale must have moved the balance once, however often it was tried.
    fn compare(&mut self, station: usize, number: u64, before: Before, amount: Money, sold: Sold) -> io::Result<()> {
        let after = self.balance(station, number)?;
        let (Some(balance), Some(after)) = (before.balance, after) else {
            println!("  (no balance was shown: nothing to compare)");
            return Ok(());
        };
        let times_max = if before.is_told_apart { sold.times_max.min(1) } else { sold.times_max };
        let moved = (balance - after).fen();
        let is_right = (sold.times_min..=times_max).any(|times| moved == i64::from(times) * i64::from(amount.fen()));
        if !is_right {
            let what = format!("a sale of {amount} moved the balance from {balance} to {after}");
            self.world.breach(station, &what);
        }
        Ok(())
    }

    fn say(&mut self, ended: &Finished, note: &str) {
        let machine = self.world.device(ended.station).machine();
        println!("{} {machine} {}", World::time_of_day(), line(ended, note));
    }

    /// An amount of so many fen.
    fn draw(&mut self, fen_min: u32, fen_max: u32) -> Money {
        let drawn = self.random.below(u64::from(fen_max - fen_min + 1));
        Money::from_fen(fen_min + u32::try_from(drawn).unwrap_or(0)).unwrap_or_default()
    }
}

/// What was asked and how it ended, for a line of print.
pub fn line(ended: &Finished, note: &str) -> String {
    let what = match &ended.ask {
        Ask::Boot => "power on".to_owned(),
        Ask::Inquiry { card } => format!("enquiry {card}"),
        Ask::Charge { card, amount } => format!("charge {card} {amount}"),
        Ask::Meal { card } => format!("meal {card}"),
        Ask::Scan { code, amount, .. } => format!("code {} {amount}", gbk::decode(code)),
        Ask::Door(door) => {
            let who = door.card.as_ref().map_or("no card", CardNo::as_str);
            let pin = match door.pin_kind {
                PinKind::None => "",
                PinKind::AfterCard => " and a PIN",
                PinKind::Correction => " and a PIN, to correct attendance",
                PinKind::DoorPin => " and the door's PIN",
                PinKind::Duress => " and a PIN, under duress",
            };
            format!("door {} {who}{pin}", door.relay)
        }
        Ask::Keys { keys } => format!("keys {}", gbk::decode(keys)),
        Ask::Upload(record) => {
            format!(
                "stored sale {} {} of {}",
                gbk::decode(&record.card),
                gbk::decode(&record.amount),
                gbk::decode(&record.time)
            )
        }
    };
    let end = match &ended.outcome {
        Outcome::Heard => "heard",
        Outcome::Shown(_) => "shown",
        Outcome::Approved(_) => "approved",
        Outcome::Declined(_) | Outcome::Refused(_) => "refused",
        Outcome::Admitted(_) => "admitted",
        Outcome::Released => "released",
        Outcome::Booked => "no answer, booked by the terminal",
        Outcome::NoResult => "heard, but no result",
        Outcome::Unheard => "no answer",
    };
    let text = ended
        .outcome
        .text()
        .map(|text| format!(" 「{}」", gbk::decode(text).trim_end_matches("\\n").replace("\\n", " / ")));
    format!("{what}: {end}{note}{}", text.unwrap_or_default())
}

fn inquiry(number: u64) -> Ask {
    Ask::Inquiry { card: card(number) }
}

fn charge(number: u64, amount: &str) -> Ask {
    Ask::Charge { card: card(number), amount: amount.to_owned() }
}

/// The balance in an enquiry's text, as the default text writes it.
fn balance_in(text: &[u8]) -> Option<Balance> {
    let text = gbk::decode(text);
    let (_, after) = text.split_once("余额:")?;
    let end = after.find(|character: char| !(character.is_ascii_digit() || "-.".contains(character)));
    Balance::parse(&after.as_bytes()[..end.unwrap_or(after.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::device::Confirm;
    use crate::fake::{Fake, Sin};
    use crate::judge::Terms;
    use crate::world::Weather;

    /// Nobody waits long here.
    fn play_against(sin: Sin, weather: Weather, confirm: Confirm) -> (Tally, u32, u32) {
        let fake = Fake::start(sin);
        let habits = Habits {
            interval: Duration::from_millis(100),
            patience: Duration::from_millis(300),
            upload_pause: Duration::from_millis(40),
            confirm,
            ..Habits::default()
        };
        let terms = Terms { resend_max: 4, door_ttl: Duration::from_secs(3), is_ordered: false };
        let world = World::new(fake.address, weather, terms, Random::new(1)).expect("a poll");
        play(world, &habits, Random::new(2)).expect("sockets work")
    }

    /// A day with an honest server. On a machine so busy that the server's thread stands still
    /// longer than a device waits, honesty does not show: what counts is the best of three days.
    fn honest_day(weather: Weather, confirm: Confirm) -> (Tally, u32, u32) {
        let is_good = |(tally, _, broken): &(Tally, u32, u32)| tally.lost == 0 && *broken == 0;
        let mut days = (0..3).map(|_| play_against(Sin::None, weather, confirm));
        let first = days.next().expect("three days");
        if is_good(&first) { first } else { days.find(is_good).unwrap_or(first) }
    }

    #[test]
    fn a_day_with_an_honest_server_loses_nothing() {
        std::thread::scope(|scope| {
            for confirm in [Confirm::Named, Confirm::Bare, Confirm::Never] {
                scope.spawn(move || loses_nothing(confirm));
            }
        });
    }

    fn loses_nothing(confirm: Confirm) {
        let (tally, confirmed, broken) = honest_day(Weather::default(), confirm);
        assert_eq!((tally.lost, broken), (0, 0), "{confirm:?}");
        let Tally { asked, approved, refused, shown, collected, .. } = tally;
        assert_eq!(asked, approved + refused + shown + collected);
        assert!(approved > 20 && refused > 15 && shown > 8 && collected >= 5, "{tally:?}");
        // A 109 for every result but the stored sales'; the lost approval has none.
        let confirms = if confirm == Confirm::Never { 0 } else { approved + refused + shown };
        assert_eq!(confirmed, confirms, "{confirm:?}");
    }

    #[test]
    fn a_bad_network_is_not_held_against_an_honest_server() {
        let weather = Weather { loss: 15, dup: 10, delay: Duration::from_millis(10) };
        let (tally, _, broken) = honest_day(weather, Confirm::Named);
        assert_eq!((tally.lost, broken), (0, 0), "{tally:?}");
    }

    #[test]
    fn a_day_notices_every_sin_of_a_server() {
        std::thread::scope(|scope| {
            let play = |sin| move || (sin, play_against(sin, Weather::default(), Confirm::Named));
            let days: Vec<_> = Sin::ALL.map(|sin| scope.spawn(play(sin))).into();
            for day in days {
                let (sin, (_, _, broken)) = day.join().expect("a day does not panic");
                assert!(broken > 0, "{sin:?}");
            }
        });
    }

    #[test]
    fn the_balance_is_read_from_an_enquirys_text() {
        let text = gbk::encode("卡号:8888888888\\n姓名:张三丰\\n余额:-888.88\\n状态:卡可正常使用\\n");
        assert_eq!(balance_in(&text), Some(Balance::from_fen(-88_888)));
        assert_eq!(balance_in(&gbk::encode("余额:5.50")), Some(Balance::from_fen(550)));
        assert_eq!(balance_in(&gbk::encode("姓名:张三丰")), None);
    }
}
