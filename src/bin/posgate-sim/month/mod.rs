//! A month of a small canteen, played in seconds, and its close compared to the fen.
//!
//! Nothing makes the clock of a running `posgate serve` go faster, and nothing should: a switch for
//! that would be a way to sell at yesterday's price. So the server runs in this process, on a clock
//! that jumps from one thing to the next, as in the project's simulation, and everything that
//! outlives it is real: configuration, card table and ledger stand in a directory, every sale is
//! synced before its 008, every order at the desk is `posgate ctl` as an operator gives it, over
//! the control socket, and `posgate ledger verify` and `ledger report` read the month's files at
//! its end. That is worth more than real sockets with a false clock around them: `day` has the
//! sockets, and a month here takes seconds and is repeated by its seed.
//!
//! The month: the employer pays in on the 1st; lunches, suppers, meals at night, a shop that takes
//! cash; second lunches at another price; two days off and a Saturday worked instead; a server that
//! is killed with a sale half answered, restarted for a new card table, and killed in the middle of
//! the clear; a window without its cable, twice, once until after the close; a lost card and its
//! successor; somebody who leaves; top-ups, voids, a correction; and the clear of all at the end.
//!
//! | file | |
//! |---|---|
//! | `model` | what every account must hold, by the manual's rules |
//! | `canteen` | people, calendar, files |
//! | `scenes` | what happens, and when |
//! | `hall` | the server on the simulation's clock, devices, `posgate ctl` |
//! | `desk` | the orders, and what each answer must say |
//! | `close` | the reports beside the model |

mod canteen;
mod close;
mod desk;
mod hall;
mod model;
mod scenes;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use posgate::engine::gbk;
use posgate::engine::limits::CLEARED_PER_TURN;
use posgate::engine::model::{Civil, Date, Reason};
use posgate::engine::server::{Effects, Tables};
use posgate::engine::wire::CountedIn;

pub use self::canteen::Month;
use self::hall::{Hall, Running};
use self::model::{Bought, Meal, Model, fen, yuan};
use self::scenes::Scene;
use crate::args::Options;
use crate::cast::{Part, SHOP, WINDOW_1, WINDOW_2, card};
use crate::clock::Clock;
use crate::device::{Ask, Device, Outcome};
use crate::random::Random;

/// The big tables, as `posgate serve` has them.
static TABLES: Mutex<Tables> = Mutex::new(Tables::new());
static EFFECTS: Mutex<Effects> = Mutex::new(Effects::new());

/// A restarted server is back after this long: before a terminal gives up.
const AWAY_MS: u64 = 300;

/// Which month to play.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// How many of its days; `None`: all.
    pub days: Option<u8>,
    /// `None`: the one of this machine's clock.
    pub month: Option<Month>,
    /// Where its files are and stay; `None`: in a temporary directory, which is removed at the end.
    pub directory: Option<PathBuf>,
    /// The program; `None`: beside this one.
    pub posgate: Option<PathBuf>,
}

/// What the last process left undone.
#[derive(Clone, Copy, Debug)]
enum Left {
    /// A device that waits for the answer to this.
    Visit(usize, Bought),
    /// The clear of all.
    Clear,
}

/// What happened on a business day.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    meals: u32,
    second: u32,
    dishes: u32,
    goods: u32,
    offline: u32,
    refused: u32,
    orders: u32,
}

/// The month as it goes.
struct Story {
    hall: Hall,
    model: Model,
    random: Random,
    month: Month,
    directory: PathBuf,
    window_1: usize,
    window_2: usize,
    shop: usize,
    is_pulled: bool,
    /// By account, its last sale that a terminal approved, and its business day.
    last: Vec<Option<(usize, Date)>>,
    left: Option<Left>,
    tally: Tally,
    sold: u32,
    /// Where server and model differ.
    wrong: Vec<String>,
}

/// Plays the month; whether its close balances and every promise was kept.
///
/// # Errors
/// If a file, the ledger or the program fails.
pub fn play(options: &Options, plan: &Plan, seed: u64, mut random: Random) -> io::Result<bool> {
    let wanted = plan.days.unwrap_or(1);
    let today = Clock::local().date();
    let month = plan.month.or_else(|| Month::of(today, wanted)).ok_or(io::ErrorKind::InvalidInput)?;
    let days = plan.days.unwrap_or(month.len);
    println!("{days} days of {month} (--month {month} --days {days} --seed {seed})");
    let posgate = plan.posgate.clone().map_or_else(beside, Ok)?;
    fs::metadata(&posgate).map_err(|error| hall::no_program(&posgate, &error))?;
    let directory = match &plan.directory {
        Some(directory) => directory.clone(),
        None => std::env::temp_dir().join(format!("posgate-month-{}", std::process::id())),
    };
    prepare(&directory)?;
    let model = canteen::people(month, &mut random);
    canteen::write_config(&directory, &model)?;
    canteen::write_cards(&directory, &model)?;
    let mut hall = Hall::new(&directory, &posgate, month.first, options.is_tracing)?;
    let mut add = |part: Part| {
        let clock = (hall.moment(), hall.civil());
        hall.add(Device::new(part.machine(), part.serial(), 1, clock, options.habits.clone()), options.terms)
    };
    let [window_1, window_2, shop] = [WINDOW_1, WINDOW_2, SHOP].map(&mut add);
    let last = vec![None; model.accounts.len()];
    let mut story = Story {
        hall,
        model,
        random,
        month,
        directory: directory.clone(),
        window_1,
        window_2,
        shop,
        is_pulled: false,
        last,
        left: None,
        tally: Tally::default(),
        sold: 0,
        wrong: Vec::new(),
    };
    let scenes = story.scenes(days);
    let played = story.run(&scenes).map(|()| story.tell_end());
    if plan.directory.is_none() && matches!(played, Ok(true)) {
        fs::remove_dir_all(&directory)?;
    } else {
        println!("its files: {0} (posgate ledger report --month {month} --config {0}/posgate)", directory.display());
    }
    played
}

/// The program beside this one.
fn beside() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("posgate"))
}

/// Makes the directory; what stands in one belongs to somebody.
fn prepare(directory: &Path) -> io::Result<()> {
    let explain = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", directory.display()));
    fs::create_dir_all(directory).map_err(explain)?;
    if fs::read_dir(directory).map_err(explain)?.next().is_some() {
        return Err(explain(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "not empty: name a new directory with --dir",
        )));
    }
    Ok(())
}

impl Story {
    // ---------------------------------------------------------------- processes

    /// Plays the scenes, from one start of the server to the next.
    fn run(&mut self, scenes: &[(u64, Scene)]) -> io::Result<()> {
        let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
        let mut effects = EFFECTS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scenes = scenes.iter().copied();
        for process in 0.. {
            let mut keeper = None;
            let mut service = self.hall.start(&mut tables, &mut effects, &mut keeper)?;
            if process == 0 {
                for station in [self.window_1, self.window_2, self.shop] {
                    self.hall.act(&mut service, station, Ask::Boot)?;
                }
                self.trust_everybody();
            }
            self.finish_what_is_left(&mut service)?;
            loop {
                let Some((at, scene)) = scenes.next() else {
                    return self.hall.stop(service);
                };
                self.hall.wait(&mut service, at)?;
                match scene {
                    Scene::VisitAndKill(who, bought) => {
                        self.say("the server is killed: it has written a sale, and no word of it has left");
                        let (station, ask) = self.ask(who, bought);
                        self.hall.act_and_kill(service, station, ask)?;
                        self.left = Some(Left::Visit(who, bought));
                        break;
                    }
                    Scene::Join => {
                        self.hall.stop(service)?;
                        self.join()?;
                        break;
                    }
                    Scene::Clear => {
                        self.say("补贴清零: every subsidy purse is cleared; the server is killed in the middle of it");
                        let month = self.month.to_string();
                        let (said, cleared) = self.hall.ctl_and_kill(service, &clear_of(&month))?;
                        self.expect_code(74, &clear_of(&month), &said);
                        let full = self.model.accounts.iter().filter(|own| own.held.subsidy > 0).count();
                        self.say(&format!("by then {cleared} of {full} purses are empty"));
                        if cleared == 0 || cleared == full && full > CLEARED_PER_TURN {
                            self.wrong
                                .push(format!("the clear of all: expected its middle, found {cleared} of {full}"));
                        }
                        self.left = Some(Left::Clear);
                        break;
                    }
                    scene => self.act(&mut service, scene)?,
                }
            }
            self.hall.be_away(AWAY_MS);
        }
        Ok(())
    }

    /// Somebody new stands in the table that the next start reads.
    fn join(&mut self) -> io::Result<()> {
        let new = canteen::newcomer(&self.model);
        self.say(&format!("{} {} is new in the card table; the server is restarted", new.id, new.holder));
        self.model.accounts.push(new);
        self.last.push(None);
        canteen::write_cards(&self.directory, &self.model)
    }

    fn finish_what_is_left(&mut self, service: &mut Running) -> io::Result<()> {
        match self.left.take() {
            None => Ok(()),
            Some(Left::Visit(who, bought)) => {
                let (day, verdict) = (self.today(), self.model.decide(who, self.today(), bought));
                let (station, _) = self.ask(who, bought);
                let outcome = self.hall.end(service, station)?;
                self.judge(who, day, bought, verdict, &outcome);
                Ok(())
            }
            Some(Left::Clear) => {
                let (accounts, sum) = self.model.clear_all();
                let month = self.month.to_string();
                if let Some(answer) = self.order(service, &clear_of(&month))? {
                    let found = (answer.number("accounts"), answer.text("sum").and_then(fen));
                    if found != (Some(accounts), Some(sum)) {
                        self.wrong.push(format!(
                            "the clear of all: expected {accounts} accounts, {}, found {answer}",
                            yuan(sum)
                        ));
                    }
                }
                Ok(())
            }
        }
    }

    /// The terminals' white lists, for when the server does not answer.
    fn trust_everybody(&mut self) {
        let cards: Vec<_> = self.model.accounts.iter().map(|own| card(own.card)).collect();
        self.hall.device(self.window_2).set_white_list(&cards);
    }

    // ---------------------------------------------------------------- scenes

    fn act(&mut self, service: &mut Running, scene: Scene) -> io::Result<()> {
        match scene {
            Scene::Visit(who, bought) => self.visit(service, who, bought),
            Scene::Void(who, part) => self.void(service, who, part),
            Scene::Grant => self.grant(service),
            Scene::TopUpFile => self.top_up_file(service),
            Scene::TopUps => self.top_ups(service),
            Scene::VoidTopUp => self.void_top_up(service),
            Scene::VoidGrant => self.void_grant(service),
            Scene::Adjust => self.adjust(service),
            Scene::Pull => {
                self.say("the second window's cable is pulled: it books sales itself");
                self.is_pulled = true;
                self.hall.cut(self.window_2, true);
                Ok(())
            }
            Scene::Plug => self.plug(service),
            Scene::Lose(who) => self.lose(service, who),
            Scene::Replace(who) => self.replace(service, who),
            Scene::Leave(who) => self.leave(service, who),
            Scene::Close => self.close(),
            Scene::VoidAfterClear => self.void_after_clear(service),
            Scene::Night(day) => {
                self.tell_day(day);
                Ok(())
            }
            Scene::VisitAndKill(..) | Scene::Join | Scene::Clear => unreachable!("a process ends with it"),
        }
    }

    /// The business day.
    fn today(&self) -> Date {
        business_day(self.hall.civil())
    }

    /// Where this is bought, and what the terminal is asked for.
    fn ask(&self, who: usize, bought: Bought) -> (usize, Ask) {
        let card = card(self.model.accounts[who].card);
        match bought {
            Bought::Meal(_) => (self.window_2, Ask::Meal { card }),
            Bought::Dish(_, fen) => (self.window_1, Ask::Charge { card, amount: yuan(fen) }),
            Bought::Goods(fen) => (self.shop, Ask::Charge { card, amount: yuan(fen) }),
        }
    }

    fn visit(&mut self, service: &mut Running, who: usize, bought: Bought) -> io::Result<()> {
        let (day, verdict) = (self.today(), self.model.decide(who, self.today(), bought));
        if verdict == Err(Reason::Closed) && self.random.happens(90) {
            // Whoever left comes back no more, or hardly.
            return Ok(());
        }
        let (station, ask) = self.ask(who, bought);
        if self.random.happens(3) {
            self.hall.lose_result(station);
        }
        let outcome = self.hall.act(service, station, ask)?;
        self.judge(who, day, bought, verdict, &outcome);
        Ok(())
    }

    /// Compares what the terminal got with what the model says.
    fn judge(&mut self, who: usize, day: Date, bought: Bought, verdict: Result<i64, Reason>, outcome: &Outcome) {
        let text = outcome.text().map(|text| gbk::decode(text).into_owned()).unwrap_or_default();
        match (outcome, verdict) {
            (Outcome::Approved(_), Ok(cost)) => {
                let sale = self.model.sell(who, day, bought);
                self.last[who] = Some((sale, day));
                self.count(bought, cost);
                let held = yuan(self.model.accounts[who].held.both());
                if !text.contains(&format!("{{{held}}}")) {
                    self.differs(who, &bought.to_string(), &format!("{held} on the display"), &text);
                }
            }
            (Outcome::Declined(_), Err(reason)) if text.contains(reason.text()) => self.tally.refused += 1,
            (Outcome::Booked, _) if self.is_pulled => (),
            (outcome, Ok(cost)) => {
                self.differs(who, &bought.to_string(), &format!("approved for {}", yuan(cost)), &told(outcome, &text));
            }
            (outcome, Err(reason)) => {
                self.differs(who, &bought.to_string(), &format!("refused: {}", reason.word()), &told(outcome, &text));
            }
        }
    }

    fn count(&mut self, bought: Bought, cost: i64) {
        self.sold += 1;
        match bought {
            Bought::Meal(meal) => {
                self.tally.meals += 1;
                self.tally.second += u32::from(cost != meal.prices()[0]);
            }
            Bought::Dish(..) => self.tally.dishes += 1,
            Bought::Goods(_) => self.tally.goods += 1,
        }
    }

    /// The cable is back: the window sends what it booked, one sale at a time.
    fn plug(&mut self, service: &mut Running) -> io::Result<()> {
        self.is_pulled = false;
        self.hall.cut(self.window_2, false);
        let mut count = 0;
        while let Some(record) = self.hall.collect(service, self.window_2)? {
            let at = Civil::parse(&record.time);
            let of = |own: &model::Account| own.card.to_string().as_bytes() == record.card;
            let who = self.model.accounts.iter().position(of);
            let (Some(at), Some(who), CountedIn::Count) = (at, who, record.basis) else {
                self.wrong.push(format!("a stored sale that nobody made: {record:?}"));
                continue;
            };
            let meal = match at.time_of_day().0 / 3600 {
                10..=13 => Meal::Lunch,
                16..=18 => Meal::Supper,
                _ => Meal::Night,
            };
            self.model.sell(who, business_day(at), Bought::Meal(meal));
            // A void finds online sales alone.
            self.last[who] = None;
            count += 1;
        }
        self.tally.offline += count;
        self.sold += count;
        self.say(&format!("the second window's cable is back: it sends {count} sales"));
        Ok(())
    }

    fn differs(&mut self, who: usize, what: &str, expected: &str, found: &str) {
        let (own, when) = (&self.model.accounts[who], self.hall.civil());
        self.wrong
            .push(format!("{when} account {} {}, {what}: expected {expected}, found {found}", own.id, own.holder));
    }

    // ---------------------------------------------------------------- what is printed

    fn say(&self, what: &str) {
        println!("— {} {what}", &self.hall.civil().to_string()[..16]);
    }

    fn tell_day(&mut self, day: u8) {
        let date = self.day(u64::from(day));
        let weekday = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][usize::from(date.weekday() - 1)];
        let kind = match (self.model.off.contains(&date), self.model.worked.contains(&date)) {
            (true, _) => "  放假 holiday",
            (_, true) => "  调休上班 worked",
            (false, false) => "",
        };
        let Tally { meals, second, dishes, goods, offline, refused, orders } = std::mem::take(&mut self.tally);
        println!(
            "{date} {weekday}  meals {meals:>2} (second ones {second})  by amount {dishes:>2}  shop {goods:>2}  offline {offline:>2}  \
             refused {refused}  desk {orders:>2}{kind}"
        );
    }

    fn close(&mut self) -> io::Result<()> {
        self.say(&format!("posgate ledger report --month {}", self.month));
        let found = close::compare(&self.hall, &self.model, &self.month.to_string())?;
        self.wrong.extend(found);
        Ok(())
    }

    /// The close; whether all is as it must be.
    fn tell_end(&self) -> bool {
        println!("— the close of {}: {} sales, {} accounts", self.month, self.sold, self.model.accounts.len());
        close::print(&self.model);
        for what in &self.wrong {
            println!("DIFFERS {what}");
        }
        let (wrong, broken) = (self.wrong.len(), self.hall.broken);
        if wrong == 0 && broken == 0 {
            println!("平 balanced: every account, department and sum of the reports is as expected, to the fen");
        } else {
            println!("不平 not balanced: {wrong} differences, {broken} promises broken");
        }
        wrong == 0 && broken == 0
    }
}

/// The clear of all, as it is given and given again.
fn clear_of(month: &str) -> [&str; 7] {
    ["subsidy", "--clear", "--all", "--for", month, "--yes", "--json"]
}

/// The business day of a time: it begins at four.
fn business_day(at: Civil) -> Date {
    at.minus_s(4 * 3600).date()
}

/// What a terminal got, for a sentence.
fn told(outcome: &Outcome, text: &str) -> String {
    let word = match outcome {
        Outcome::Approved(_) | Outcome::Admitted(_) => "approved",
        Outcome::Declined(_) | Outcome::Refused(_) => "refused",
        Outcome::Heard | Outcome::Shown(_) | Outcome::Released => "another answer",
        Outcome::Booked => "booked by the terminal",
        Outcome::NoResult | Outcome::Unheard => "no answer",
    };
    format!("{word} {text}").trim_end().to_owned()
}
