//! What cards bought on their business days, as the durable ledger says: the naive model behind the
//! limits of a day and of a meal period. Of a card two days are kept: no more is promised
//! (design.md, section 7).

use std::collections::BTreeMap;

use posgate::engine::book::Book;
use posgate::engine::model::Date;

use super::aging::Map;

/// A day further ahead than this was none: a clock was wrong.
const AHEAD_DAYS: i32 = 40;

/// One business day of a card.
#[derive(Clone, Debug, Default)]
pub struct Day {
    /// Days since 1970.
    date: i32,
    pub fen: i64,
    /// By period.
    sales: BTreeMap<String, i64>,
    /// Those in count mode.
    meals: BTreeMap<String, i64>,
}

impl Day {
    /// Sales in a period.
    pub fn sales(&self, period: &str) -> i64 {
        self.sales.get(period).copied().unwrap_or(0)
    }

    /// Sales in count mode in a period.
    pub fn meals(&self, period: &str) -> i64 {
        self.meals.get(period).copied().unwrap_or(0)
    }

    fn add_sales(&mut self, period: &str, count: i64, meals: i64) {
        if !period.is_empty() {
            let sales = self.sales.entry(period.to_owned()).or_default();
            *sales = (*sales + count).max(0);
            let eaten = self.meals.entry(period.to_owned()).or_default();
            *eaten = (*eaten + meals).max(0);
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Days {
    cards: Map<u64, [Day; 2]>,
    /// Whether the clock of the last entry was not believed.
    was_unset: bool,
}

impl Days {
    /// Before an entry is counted: where the clock was set, or is believed again, later days were
    /// none.
    pub fn watch_clock(&mut self, time: &str, clock: &str, kind: &str) {
        let is_ok = clock == "ok";
        if is_ok && (kind == "clock" || self.was_unset) {
            let today = Date::parse(&time.as_bytes()[..10]).expect("a time begins with its date").0;
            for day in self.cards.values_mut().flatten().filter(|day| day.date > today) {
                *day = Day::default();
            }
        }
        self.was_unset = !is_ok;
    }

    /// Adds a sale; `None` if its day is counted nowhere.
    pub fn add(&mut self, card: u64, date: i32, fen: i64, period: &str, is_meal: bool) -> Option<&Day> {
        let day = place_of(self.cards.entry(card).or_default(), date)?;
        day.fen += fen;
        day.add_sales(period, 1, i64::from(is_meal));
        Some(day)
    }

    /// Takes back what a void gives back, and the sale too if nothing is left of it; `false` if the
    /// day is not kept.
    pub fn take_back(&mut self, card: u64, date: i32, fen: i64, period: Option<&str>, is_meal: bool) -> bool {
        let days = self.cards.entry(card).or_default();
        let Some(day) = days.iter_mut().find(|day| day.date == date) else { return false };
        // Of a day that gave its place away and came back the sales before are not counted any
        // more.
        day.fen = (day.fen - fen).max(0);
        day.add_sales(period.unwrap_or(""), -1, -i64::from(is_meal));
        true
    }

    /// A card carries on what another one bought; gives the days that count.
    pub fn carry_on(&mut self, old: u64, new: u64) -> Vec<i32> {
        let carried = self.cards.get(&old).cloned().unwrap_or_default();
        let days = self.cards.entry(new).or_default();
        let mut counted = Vec::new();
        for before in carried.into_iter().filter(|before| before.date != 0) {
            let Some(day) = place_of(days, before.date) else { continue };
            day.fen += before.fen;
            for (period, sales) in &before.sales {
                day.add_sales(period, *sales, before.meals(period));
            }
            counted.push(before.date);
        }
        counted
    }

    /// What a card bought on a day that is kept.
    pub fn of(&self, card: u64, date: i32) -> Option<&Day> {
        self.cards.get(&card).into_iter().flatten().find(|day| day.date == date)
    }

    /// The server counts the same.
    pub fn compare(&self, book: &Book, card: u64, date: i32) {
        let Some(day) = self.of(card, date) else { return };
        let history = book.history_of(card);
        let spent = history.spent(Date(date));
        assert_eq!(day.fen, spent, "spent by {card} on {date}: summed up, or live");
        for (period, sales) in &day.sales {
            // It counts to the largest limit.
            let counted = i64::from(history.sales(Date(date), period));
            assert_eq!((*sales).min(65_535), counted, "sales of {card} in {period} of {date}: counted, or live");
            let has_eaten = history.has_eaten(Date(date), period);
            assert_eq!(day.meals(period) > 0, has_eaten, "meals of {card} in {period} of {date}: counted, or live");
        }
    }
}

/// The day among the two that are kept, made if it is new.
fn place_of(days: &mut [Day; 2], date: i32) -> Option<&mut Day> {
    let place = days.iter().position(|day| day.date == date).or_else(|| {
        let older = usize::from(days[1].date < days[0].date);
        let gives_way = days[older].date < date || days[older].date > date + AHEAD_DAYS;
        gives_way.then(|| {
            days[older] = Day { date, ..Day::default() };
            older
        })
    })?;
    Some(&mut days[place])
}
