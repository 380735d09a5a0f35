//! A card's purchases per business day: the sums and counts for day limits, period limits and the
//! price of a second meal.
//!
//! Counts use the entries' own `day=`, `period=` and `mode=`, never today's configuration
//! (design.md, section 7). A card keeps two days, since a meal period may cross midnight and an
//! offline sale may be yesterday's. A sale of an older day is not counted: each meal of such a day
//! is its period's first.

use crate::engine::limits::{PERIOD_NAMES_MAX, PERIODS_PER_DAY_MAX};
use crate::engine::model::{AccountId, Date};

/// No offline sale is older than this. Kept days further than this ahead of a sale come from a
/// wrong clock.
const AHEAD_DAYS: i32 = 40;

/// A period's index in the list of all period names of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeriodId(u8);

/// The period names of a ledger, in order of appearance.
#[derive(Debug, PartialEq, Eq)]
pub struct PeriodNames(heapless::Vec<AccountId, PERIOD_NAMES_MAX>);

impl PeriodNames {
    /// No names.
    pub const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    /// Removes all names.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// All names, in order of appearance.
    pub fn names(&self) -> &[AccountId] {
        &self.0
    }

    /// The id of a known name. If [`PERIOD_NAMES_MAX`] names are known, all others share one id.
    pub fn find(&self, name: &str) -> Option<PeriodId> {
        let place = self.0.iter().position(|known| known == name);
        let place = place.or(self.0.is_full().then_some(PERIOD_NAMES_MAX));
        place.map(|place| PeriodId(u8::try_from(place).expect("PERIOD_NAMES_MAX fits a byte")))
    }

    /// The id of a name, which is added if it is new.
    pub(crate) fn intern(&mut self, name: &str) -> PeriodId {
        if let Some(known) = self.find(name) {
            return known;
        }
        let text = AccountId::try_from(name).unwrap_or_default();
        assert!(self.0.push(text).is_ok(), "a full list finds every name");
        self.find(name).unwrap_or(PeriodId(u8::MAX))
    }
}

/// Sales of a card in one period of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PeriodCount {
    /// The period's id.
    pub(super) period: u8,
    /// Those in count mode. A count that has reached 255 stays, so that it never says that a card
    /// has eaten nothing.
    pub(super) meals: u8,
    /// All of them.
    pub(super) sales: u16,
}

/// What a sale adds to its day, or a void takes back.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// What the sale took, in fen; of a void what it gives back.
    pub fen: i64,
    /// The sale's period.
    pub period: Option<PeriodId>,
    /// Whether the sale was in count mode.
    pub is_meal: bool,
}

/// One business day of a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayCount {
    /// Days since 1970; 0: not used.
    pub(super) day: i32,
    /// Fen.
    pub(super) spent: i64,
    /// The sales in each period.
    pub(super) counts: [PeriodCount; PERIODS_PER_DAY_MAX],
    /// How many `counts` are used.
    pub(super) periods: u8,
    /// Sales in count mode in periods beyond those of `counts`, as [`PeriodCount::meals`].
    pub(super) other_meals: u8,
    /// Sales in periods beyond those of `counts`.
    pub(super) others: u16,
}

impl DayCount {
    /// The used part of `counts`.
    pub(super) fn used(&self) -> &[PeriodCount] {
        &self.counts[..usize::from(self.periods)]
    }

    /// The sales and meals that are counted for a period.
    fn of(&self, period: PeriodId) -> (u16, u8) {
        let own = self.used().iter().find(|count| count.period == period.0);
        own.map_or((self.others, self.other_meals), |count| (count.sales, count.meals))
    }

    /// Where a period's sales and meals are counted: in a place of its own if there is one left.
    fn place_of(&mut self, period: PeriodId) -> (&mut u16, &mut u8) {
        let used = usize::from(self.periods);
        let known = self.used().iter().position(|count| count.period == period.0);
        let place = known.unwrap_or(used);
        if place == PERIODS_PER_DAY_MAX {
            return (&mut self.others, &mut self.other_meals);
        }
        if place == used {
            self.counts[used].period = period.0;
            self.periods += 1;
        }
        let count = &mut self.counts[place];
        (&mut count.sales, &mut count.meals)
    }

    fn add(&mut self, sale: Counted) {
        self.spent = self.spent.saturating_add(sale.fen);
        if let Some(period) = sale.period {
            self.add_sales(period, 1, u8::from(sale.is_meal));
        }
    }

    fn add_sales(&mut self, period: PeriodId, more_sales: u16, more_meals: u8) {
        let (sales, meals) = self.place_of(period);
        *sales = sales.saturating_add(more_sales);
        *meals = meals.saturating_add(more_meals);
    }

    fn take_back(&mut self, sale: Counted, is_whole: bool) {
        self.spent = self.spent.saturating_sub(sale.fen).max(0);
        let Some(PeriodId(period)) = sale.period.filter(|_| is_whole) else { return };
        let used = usize::from(self.periods);
        let (sales, meals) = match self.counts[..used].iter_mut().find(|count| count.period == period) {
            Some(count) => (&mut count.sales, &mut count.meals),
            None => (&mut self.others, &mut self.other_meals),
        };
        *sales = sales.saturating_sub(1);
        if sale.is_meal && *meals < u8::MAX {
            *meals = meals.saturating_sub(1);
        }
    }
}

/// The two newest business days of a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayCounts(pub(super) [DayCount; 2]);

impl DayCounts {
    /// Adds a sale to its day.
    pub fn add(&mut self, day: Date, sale: Counted) {
        if let Some(count) = self.place_of(day) {
            count.add(sale);
        }
    }

    /// Adds the purchases of the card that this one replaced.
    pub fn carry_on(&mut self, other: &Self) {
        for before in other.0.iter().filter(|before| before.day != 0) {
            let Some(count) = self.place_of(Date(before.day)) else { continue };
            count.spent = count.spent.saturating_add(before.spent);
            for of_period in before.used() {
                count.add_sales(PeriodId(of_period.period), of_period.sales, of_period.meals);
            }
            count.others = count.others.saturating_add(before.others);
            count.other_meals = count.other_meals.saturating_add(before.other_meals);
        }
    }

    /// The day's count, in place of the older one if it is new; `None` if the day is older than
    /// both.
    fn place_of(&mut self, day: Date) -> Option<&mut DayCount> {
        if let Some(place) = self.0.iter().position(|count| count.day == day.0) {
            return Some(&mut self.0[place]);
        }
        let older = usize::from(self.0[1].day < self.0[0].day);
        // If both days are far ahead, either the clock was wrong then, and keeping both would shut
        // out every real day; or it is wrong now, and the newer one is today, whose count must
        // stay.
        let is_implausible = self.0[older].day > day.0.saturating_add(AHEAD_DAYS);
        if !is_implausible && self.0[older].day >= day.0 {
            return None;
        }
        self.0[older] = DayCount { day: day.0, ..DayCount::default() };
        Some(&mut self.0[older])
    }

    /// Forgets the days after this one: the clock was ahead when they were counted.
    pub(crate) fn forget_after(&mut self, day: Date) {
        for count in self.0.iter_mut().filter(|count| count.day > day.0) {
            *count = DayCount::default();
        }
    }

    /// Takes what a void gives back from the sale's own day, and the sale itself if the void
    /// `is_whole`. A day that is not kept is not added: it would replace one that counts.
    pub fn take_back(&mut self, day: Date, sale: Counted, is_whole: bool) {
        if let Some(count) = self.0.iter_mut().find(|count| count.day == day.0) {
            count.take_back(sale, is_whole);
        }
    }

    /// Fen spent on a day.
    pub fn spent(&self, day: Date) -> i64 {
        self.of(day).map_or(0, |count| count.spent)
    }

    /// Sales in a period of a day.
    pub fn sales(&self, day: Date, period: PeriodId) -> u32 {
        self.of(day).map_or(0, |count| u32::from(count.of(period).0))
    }

    /// Sales in count mode in a period of a day.
    pub fn meals(&self, day: Date, period: PeriodId) -> u8 {
        self.of(day).map_or(0, |count| count.of(period).1)
    }

    fn of(&self, day: Date) -> Option<&DayCount> {
        self.0.iter().find(|count| count.day == day.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sale by amount.
    fn sale(fen: i64, period: Option<PeriodId>) -> Counted {
        Counted { fen, period, is_meal: false }
    }

    /// A sale in count mode.
    fn meal(period: PeriodId) -> Counted {
        Counted { fen: 1200, period: Some(period), is_meal: true }
    }

    #[test]
    fn a_card_keeps_its_two_newest_days() {
        let mut names = PeriodNames::new();
        let lunch = names.intern("lunch");
        let mut days = DayCounts::default();
        days.add(Date(100), sale(550, Some(lunch)));
        days.add(Date(101), sale(200, None));
        days.add(Date(100), sale(50, Some(lunch)));
        assert_eq!((days.spent(Date(100)), days.sales(Date(100), lunch)), (600, 2));
        assert_eq!((days.spent(Date(101)), days.sales(Date(101), lunch)), (200, 0));
        days.add(Date(99), sale(1, Some(lunch)));
        assert_eq!(days.spent(Date(99)), 0, "older than both kept days");
        days.add(Date(102), sale(5, None));
        assert_eq!(days.spent(Date(100)), 0, "the oldest was replaced");
        days.take_back(Date(102), sale(5, None), true);
        assert_eq!(days.spent(Date(102)), 0);
    }

    #[test]
    fn days_of_a_wrong_clock_do_not_shut_out_real_days() {
        let mut days = DayCounts::default();
        days.add(Date(9000), sale(550, None));
        days.add(Date(9001), sale(550, None));
        days.add(Date(100), sale(200, None));
        assert_eq!(days.spent(Date(100)), 200);
        days.add(Date(101), sale(300, None));
        assert_eq!(days.spent(Date(101)), 300);
        days.add(Date(70), sale(1, None));
        assert_eq!((days.spent(Date(101)), days.spent(Date(70))), (300, 0), "an old record replaces no day");
    }

    #[test]
    fn a_replaced_card_s_purchases_are_added_to_the_new_card_s() {
        let (lunch, supper) = (Some(PeriodId(1)), Some(PeriodId(2)));
        let (mut old, mut new) = (DayCounts::default(), DayCounts::default());
        old.add(Date(99), sale(50, lunch));
        old.add(Date(100), sale(300, lunch));
        old.add(Date(100), sale(20, supper));
        new.add(Date(100), sale(4, lunch));
        new.carry_on(&old);
        assert_eq!((new.spent(Date(99)), new.spent(Date(100))), (50, 324));
        assert_eq!((new.sales(Date(100), PeriodId(1)), new.sales(Date(100), PeriodId(2))), (2, 1));
        // A day older than both is not counted.
        let mut later = DayCounts::default();
        later.add(Date(101), sale(1, None));
        later.add(Date(102), sale(2, None));
        later.carry_on(&old);
        assert_eq!([99, 100, 101, 102].map(|day| later.spent(Date(day))), [0, 0, 1, 2]);
    }

    #[test]
    fn a_void_counts_for_the_sale_s_own_day_only() {
        let mut names = PeriodNames::new();
        let lunch = names.intern("lunch");
        let mut days = DayCounts::default();
        days.add(Date(100), sale(550, Some(lunch)));
        days.take_back(Date(100), sale(50, Some(lunch)), false);
        assert_eq!((days.spent(Date(100)), days.sales(Date(100), lunch)), (500, 1), "a partial void keeps the sale");
        days.take_back(Date(101), sale(500, Some(lunch)), true);
        assert_eq!((days.spent(Date(100)), days.spent(Date(101))), (500, 0));
        days.take_back(Date(100), sale(500, Some(lunch)), true);
        days.take_back(Date(100), sale(500, Some(lunch)), true);
        assert_eq!((days.spent(Date(100)), days.sales(Date(100), lunch)), (0, 0), "never below zero");
    }

    #[test]
    fn periods_beyond_the_eighth_of_a_day_share_one_count() {
        let mut names = PeriodNames::new();
        let mut days = DayCounts::default();
        for number in 0..10 {
            let period = names.intern(&format!("p{number}"));
            days.add(Date(100), sale(0, Some(period)));
        }
        days.add(Date(100), meal(names.find("p9").unwrap()));
        assert_eq!(["p0", "p8"].map(|name| days.meals(Date(100), names.find(name).unwrap())), [0, 1]);
        days.take_back(Date(100), meal(names.find("p9").unwrap()), true);
        assert_eq!(days.meals(Date(100), names.find("p8").unwrap()), 0);
        assert_eq!(days.sales(Date(100), names.find("p0").unwrap()), 1);
        assert_eq!(days.sales(Date(100), names.find("p9").unwrap()), 2);
        // The shared count carries on to the new card, whatever periods that one has.
        let ninth = names.find("p9").unwrap();
        let mut successor = DayCounts::default();
        successor.carry_on(&days);
        assert_eq!((successor.sales(Date(100), names.find("p0").unwrap()), successor.sales(Date(100), ninth)), (1, 2));
        let mut other = DayCounts::default();
        for number in 20..29 {
            let period = names.intern(&format!("p{number}"));
            other.add(Date(100), sale(0, Some(period)));
        }
        other.carry_on(&days);
        assert_eq!((other.sales(Date(100), names.find("p20").unwrap()), other.sales(Date(100), ninth)), (1, 11));
    }

    #[test]
    fn meals_are_counted_beside_all_sales_and_given_back_by_a_whole_void() {
        let mut names = PeriodNames::new();
        let (lunch, supper) = (names.intern("lunch"), names.intern("supper"));
        let mut days = DayCounts::default();
        days.add(Date(100), sale(550, Some(lunch)));
        assert_eq!((days.sales(Date(100), lunch), days.meals(Date(100), lunch)), (1, 0));
        days.add(Date(100), meal(lunch));
        days.add(Date(100), meal(supper));
        assert_eq!((days.sales(Date(100), lunch), days.meals(Date(100), lunch)), (2, 1));
        assert_eq!((days.meals(Date(100), supper), days.meals(Date(101), supper)), (1, 0));
        // A part of a meal is given back, a sale by amount, a meal of another day: the meal stands.
        days.take_back(Date(100), meal(lunch), false);
        days.take_back(Date(100), sale(550, Some(lunch)), true);
        days.take_back(Date(101), meal(lunch), true);
        assert_eq!((days.sales(Date(100), lunch), days.meals(Date(100), lunch)), (1, 1));
        let mut new = DayCounts::default();
        new.add(Date(100), meal(lunch));
        new.carry_on(&days);
        assert_eq!((new.sales(Date(100), lunch), new.meals(Date(100), lunch)), (2, 2));
        days.take_back(Date(100), meal(lunch), true);
        days.take_back(Date(100), meal(lunch), true);
        assert_eq!((days.sales(Date(100), lunch), days.meals(Date(100), lunch)), (0, 0), "never below zero");
    }

    #[test]
    fn meals_beyond_255_are_never_forgotten() {
        let mut names = PeriodNames::new();
        let lunch = names.intern("lunch");
        let mut days = DayCounts::default();
        for _ in 0..256 {
            days.add(Date(100), meal(lunch));
        }
        for _ in 0..255 {
            days.take_back(Date(100), meal(lunch), true);
        }
        assert_eq!((days.sales(Date(100), lunch), days.meals(Date(100), lunch)), (1, 255));
    }

    /// 65,536 cards keep two of them: a byte more is 128 KiB of a router's memory.
    #[test]
    fn a_day_takes_48_bytes() {
        assert_eq!(size_of::<DayCount>(), 48);
    }

    #[test]
    fn a_count_holds_the_largest_limit() {
        let mut names = PeriodNames::new();
        let lunch = names.intern("lunch");
        let mut days = DayCounts::default();
        for _ in 0..65_535 {
            days.add(Date(100), sale(0, Some(lunch)));
        }
        assert_eq!(days.sales(Date(100), lunch), 65_535);
        days.add(Date(100), sale(0, Some(lunch)));
        assert_eq!(days.sales(Date(100), lunch), 65_535, "and no limit is larger");
    }

    #[test]
    fn only_days_ahead_are_forgotten() {
        let mut days = DayCounts::default();
        days.add(Date(101), sale(300, None));
        days.add(Date(100), sale(200, None));
        days.forget_after(Date(100));
        assert_eq!((days.spent(Date(100)), days.spent(Date(101))), (200, 0));
        days.forget_after(Date(99));
        days.add(Date(99), sale(100, None));
        assert_eq!((days.spent(Date(99)), days.spent(Date(100))), (100, 0));
    }

    #[test]
    fn period_names_beyond_the_limit_share_one_id() {
        let mut names = PeriodNames::new();
        for number in 0..300 {
            names.intern(&format!("p{number}"));
        }
        assert_eq!(names.find("p0"), Some(PeriodId(0)));
        assert_eq!(names.find("p299"), Some(PeriodId(255)));
    }
}
