//! What happens in the month, and when: drawn before it begins.

use posgate::engine::model::Date;

use super::Story;
use super::model::{Bought, Meal};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Something that happens at its time.
#[derive(Clone, Copy, Debug)]
pub enum Scene {
    /// The employer pays in, by a file.
    Grant,
    /// Several pay in, by a file.
    TopUpFile,
    /// Somebody buys something.
    Visit(usize, Bought),
    /// The same, and the server is killed before its answer leaves.
    VisitAndKill(usize, Bought),
    /// The cashier undoes somebody's last sale, or this much of it.
    Void(usize, Option<i64>),
    /// Whoever is short of cash pays some in.
    TopUps,
    /// A top-up is undone.
    VoidTopUp,
    /// A subsidy paid twice is taken back.
    VoidGrant,
    /// Somebody's cash is corrected.
    Adjust,
    /// The second window's cable is pulled.
    Pull,
    /// It is plugged in again.
    Plug,
    /// Somebody's card is lost.
    Lose(usize),
    /// That card gets a successor.
    Replace(usize),
    /// Somebody leaves.
    Leave(usize),
    /// Somebody comes: a new row in the table, and a restart.
    Join,
    /// What was not spent is cleared; the server is killed meanwhile.
    Clear,
    /// The month's report.
    Close,
    /// A sale of the month is undone after its clear.
    VoidAfterClear,
    /// A business day is over.
    Night(u8),
}

impl Story {
    /// The whole month, in order.
    pub(super) fn scenes(&mut self, days: u8) -> Vec<(u64, Scene)> {
        let mut scenes = Vec::new();
        let mut worked = 0;
        let working: Vec<u64> = (0..u64::from(days)).filter(|day| self.model.is_working(self.day(*day))).collect();
        for day in 0..u64::from(days) {
            let begin = day * DAY;
            if working.contains(&day) {
                worked += 1;
                let is_last = working.last() == Some(&day);
                self.working_day(begin, is_last, &mut scenes);
                self.special(begin, worked, &mut scenes);
                if is_last {
                    scenes.push((begin + 21 * HOUR, Scene::Pull));
                }
            } else {
                self.day_off(begin, &mut scenes);
            }
            scenes.push((begin + 28 * HOUR - 1000, Scene::Night(u8::try_from(day).unwrap_or(0))));
        }
        let begin = u64::from(days) * DAY;
        scenes.push((8 * HOUR, Scene::Grant));
        scenes.push((begin + 2 * HOUR + 30 * MINUTE, Scene::Clear));
        scenes.push((begin + 8 * HOUR, Scene::Close));
        scenes.push((begin + 9 * HOUR, Scene::VoidAfterClear));
        scenes.push((begin + 10 * HOUR, Scene::Plug));
        scenes.push((begin + 11 * HOUR, Scene::Close));
        scenes.sort_by_key(|(at, _)| *at);
        scenes
    }

    /// The business day of so many days after the first.
    pub(super) fn day(&self, day: u64) -> Date {
        Date(self.month.first.0 + i32::try_from(day).unwrap_or(0))
    }

    /// A time of a span of hours, in minutes after midnight.
    fn between(&mut self, from: u64, to: u64) -> u64 {
        (from + self.random.below(to - from)) * MINUTE + self.random.below(MINUTE)
    }

    pub(super) fn amount(&mut self, from: u64, to: u64) -> i64 {
        (from + self.random.below(to - from)).cast_signed()
    }

    fn working_day(&mut self, begin: u64, is_last: bool, scenes: &mut Vec<(u64, Scene)>) {
        for who in 0..self.model.accounts.len() {
            let lunch_at = begin + self.between(11 * 60, 12 * 60 + 40);
            match self.random.below(100) {
                0..70 => {
                    scenes.push((lunch_at, Scene::Visit(who, Bought::Meal(Meal::Lunch))));
                    if self.random.happens(6) {
                        scenes.push((lunch_at + 20 * MINUTE, Scene::Visit(who, Bought::Meal(Meal::Lunch))));
                    }
                }
                70..90 => {
                    let fen = self.amount(500, 2600);
                    scenes.push((lunch_at, Scene::Visit(who, Bought::Dish(Meal::Lunch, fen))));
                }
                _ => (),
            }
            let supper_at = begin + self.between(16 * 60 + 40, 18 * 60 + 50);
            match self.random.below(100) {
                0..15 => scenes.push((supper_at, Scene::Visit(who, Bought::Meal(Meal::Supper)))),
                15..25 => {
                    let fen = self.amount(300, 1800);
                    scenes.push((supper_at, Scene::Visit(who, Bought::Dish(Meal::Supper, fen))));
                }
                _ => (),
            }
            if self.random.happens(20) {
                let (at, fen) = (begin + self.between(14 * 60 + 10, 16 * 60), self.amount(100, 1500));
                scenes.push((at, Scene::Visit(who, Bought::Goods(fen))));
            }
            if self.model.accounts[who].is_on_nights && self.random.happens(60) {
                // Also after midnight: it belongs to the day before.
                let at = begin + self.between(22 * 60 + 10, 25 * 60 + 30);
                scenes.push((at, Scene::Visit(who, Bought::Meal(Meal::Night))));
                if !is_last && self.random.happens(10) {
                    scenes.push((at + 10 * MINUTE, Scene::Visit(who, Bought::Meal(Meal::Night))));
                }
            }
        }
        for hour in [13, 13, 18] {
            let (who, at) = (self.somebody(), begin + self.between(hour * 60 + 35, (hour + 1) * 60));
            let part = self.random.happens(50).then(|| self.amount(50, 900));
            scenes.push((at, Scene::Void(who, part)));
        }
        scenes.push((begin + 16 * HOUR + 5 * MINUTE, Scene::TopUps));
    }

    /// Nobody cooks; somebody tries all the same, and the shop is open.
    fn day_off(&mut self, begin: u64, scenes: &mut Vec<(u64, Scene)>) {
        for _ in 0..2 {
            let (who, at, fen) = (self.somebody(), begin + self.between(11 * 60, 13 * 60), self.amount(500, 2600));
            scenes.push((at, Scene::Visit(who, Bought::Dish(Meal::Lunch, fen))));
        }
        for _ in 0..4 {
            let (who, at, fen) = (self.somebody(), begin + self.between(9 * 60, 20 * 60), self.amount(100, 1500));
            scenes.push((at, Scene::Visit(who, Bought::Goods(fen))));
        }
    }

    /// What happens once, on the day worked so many days into the month.
    fn special(&mut self, begin: u64, worked: u32, scenes: &mut Vec<(u64, Scene)>) {
        let lunch = |at: u64, who| (begin + at * MINUTE, Scene::Visit(who, Bought::Meal(Meal::Lunch)));
        let at = |minute: u64, scene| (begin + minute * MINUTE, scene);
        let who = self.somebody();
        if worked % 3 == 1 {
            // Two first lunches, because one of them was undone.
            scenes.extend([
                lunch(10 * 60 + 35, who),
                at(10 * 60 + 40, Scene::Void(who, None)),
                lunch(10 * 60 + 45, who),
            ]);
        }
        match worked {
            2 => scenes.extend([at(9 * 60, Scene::TopUpFile), at(9 * 60 + 10, Scene::VoidTopUp)]),
            3 => scenes.extend([at(9 * 60, Scene::VoidGrant), at(9 * 60 + 20, Scene::Adjust)]),
            4 => {
                let fen = self.amount(500, 2600);
                scenes.push(at(11 * 60 + 30, Scene::VisitAndKill(who, Bought::Dish(Meal::Lunch, fen))));
            }
            5 => scenes.extend([at(11 * 60 + 30, Scene::Pull), at(15 * 60, Scene::Plug)]),
            6 => scenes.extend([
                at(10 * 60 + 50, Scene::Lose(who)),
                lunch(10 * 60 + 55, who),
                at(15 * 60, Scene::Replace(who)),
                at(17 * 60, Scene::Visit(who, Bought::Meal(Meal::Supper))),
            ]),
            7 => scenes.push(at(20 * 60, Scene::Join)),
            9 => {
                let again = Scene::Visit(who, Bought::Goods(100));
                scenes.extend([at(15 * 60, Scene::Leave(who)), at(15 * 60 + 30, again)]);
            }
            _ => (),
        }
    }

    pub(super) fn somebody(&mut self) -> usize {
        usize::try_from(self.random.below(self.model.accounts.len() as u64)).unwrap_or(0)
    }
}
