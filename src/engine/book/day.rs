//! A card's purchases per business day: the sums and counts for day limits and period limits.
//!
//! Counts use the entries' own `day=` and `period=`, never today's configuration (design.md,
//! section 7). A card keeps two days, since a meal period may cross midnight and an offline sale
//! may be yesterday's. A sale of an older day is not counted.

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

/// One business day of a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayCount {
    /// Days since 1970; 0: not used.
    pub(super) day: i32,
    /// Fen.
    pub(super) spent: i64,
    /// Period ids, and the sales in each period.
    pub(super) counts: [(u8, u16); PERIODS_PER_DAY_MAX],
    /// How many `counts` are used.
    pub(super) periods: u8,
    /// Sales in periods beyond those of `counts`.
    pub(super) others: u16,
}

impl DayCount {
    /// The used part of `counts`.
    pub(super) fn used(&self) -> &[(u8, u16)] {
        &self.counts[..usize::from(self.periods)]
    }

    fn add(&mut self, fen: i64, period: Option<PeriodId>) {
        self.spent = self.spent.saturating_add(fen);
        if let Some(PeriodId(period)) = period {
            self.add_sales(period, 1);
        }
    }

    fn add_sales(&mut self, period: u8, sales: u16) {
        let used = usize::from(self.periods);
        if let Some((_, count)) = self.counts[..used].iter_mut().find(|(id, _)| *id == period) {
            *count = count.saturating_add(sales);
        } else if used < PERIODS_PER_DAY_MAX {
            self.counts[used] = (period, sales);
            self.periods += 1;
        } else {
            self.others = self.others.saturating_add(sales);
        }
    }
}

impl DayCount {
    fn take_back(&mut self, fen: i64, period: Option<PeriodId>) {
        self.spent = self.spent.saturating_sub(fen).max(0);
        let Some(PeriodId(period)) = period else { return };
        let used = usize::from(self.periods);
        let sales = match self.counts[..used].iter_mut().find(|(id, _)| *id == period) {
            Some((_, sales)) => sales,
            None => &mut self.others,
        };
        *sales = sales.saturating_sub(1);
    }
}

/// The two newest business days of a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayCounts(pub(super) [DayCount; 2]);

impl DayCounts {
    /// Adds a sale of `fen` to a day.
    pub fn add(&mut self, day: Date, fen: i64, period: Option<PeriodId>) {
        if let Some(count) = self.place_of(day) {
            count.add(fen, period);
        }
    }

    /// Adds the purchases of the card that this one replaced.
    pub fn carry_on(&mut self, other: &Self) {
        for before in other.0.iter().filter(|before| before.day != 0) {
            let Some(count) = self.place_of(Date(before.day)) else { continue };
            count.spent = count.spent.saturating_add(before.spent);
            for (period, sales) in before.used() {
                count.add_sales(*period, *sales);
            }
            count.others = count.others.saturating_add(before.others);
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

    /// Takes `fen` back from the sale's own day, and the sale itself if the void `is_whole`. A day
    /// that is not kept is not added: it would replace one that counts.
    pub fn take_back(&mut self, day: Date, fen: i64, period: Option<PeriodId>, is_whole: bool) {
        if let Some(count) = self.0.iter_mut().find(|count| count.day == day.0) {
            count.take_back(fen, period.filter(|_| is_whole));
        }
    }

    /// Fen spent on a day.
    pub fn spent(&self, day: Date) -> i64 {
        self.of(day).map_or(0, |count| count.spent)
    }

    /// Sales in a period of a day.
    pub fn sales(&self, day: Date, period: PeriodId) -> u32 {
        self.of(day).map_or(0, |count| {
            let mut counted = count.used().iter();
            let found = counted.find(|(id, _)| *id == period.0).map(|(_, sales)| *sales);
            u32::from(found.unwrap_or(count.others))
        })
    }

    fn of(&self, day: Date) -> Option<&DayCount> {
        self.0.iter().find(|count| count.day == day.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_keeps_its_two_newest_days() {
        let mut names = PeriodNames::new();
        let lunch = names.intern("lunch");
        let mut days = DayCounts::default();
        days.add(Date(100), 550, Some(lunch));
        days.add(Date(101), 200, None);
        days.add(Date(100), 50, Some(lunch));
        assert_eq!((days.spent(Date(100)), days.sales(Date(100), lunch)), (600, 2));
        assert_eq!((days.spent(Date(101)), days.sales(Date(101), lunch)), (200, 0));
        days.add(Date(99), 1, Some(lunch));
        assert_eq!(days.spent(Date(99)), 0, "older than both kept days");
        days.add(Date(102), 5, None);
        assert_eq!(days.spent(Date(100)), 0, "the oldest was replaced");
        days.take_back(Date(102), 5, None, true);
        assert_eq!(days.spent(Date(102)), 0);
    }

    #[test]
    fn days_of_a_wrong_clock_do_not_shut_out_real_days() {
        let mut days = DayCounts::default();
        days.add(Date(9000), 550, None);
        days.add(Date(9001), 550, None);
        days.add(Date(100), 200, None);
        assert_eq!(days.spent(Date(100)), 200);
        days.add(Date(101), 300, None);
        assert_eq!(days.spent(Date(101)), 300);
        days.add(Date(70), 1, None);
        assert_eq!((days.spent(Date(101)), days.spent(Date(70))), (300, 0), "an old record replaces no day");
    }

    #[test]
    fn a_replaced_card_s_purchases_are_added_to_the_new_card_s() {
        let (lunch, supper) = (Some(PeriodId(1)), Some(PeriodId(2)));
        let (mut old, mut new) = (DayCounts::default(), DayCounts::default());
        old.add(Date(99), 50, lunch);
        old.add(Date(100), 300, lunch);
        old.add(Date(100), 20, supper);
        new.add(Date(100), 4, lunch);
        new.carry_on(&old);
        assert_eq!((new.spent(Date(99)), new.spent(Date(100))), (50, 324));
        assert_eq!((new.sales(Date(100), PeriodId(1)), new.sales(Date(100), PeriodId(2))), (2, 1));
        // A day older than both is not counted.
        let mut later = DayCounts::default();
        later.add(Date(101), 1, None);
        later.add(Date(102), 2, None);
        later.carry_on(&old);
        assert_eq!([99, 100, 101, 102].map(|day| later.spent(Date(day))), [0, 0, 1, 2]);
    }

    #[test]
    fn a_void_counts_for_the_sale_s_own_day_only() {
        let mut names = PeriodNames::new();
        let lunch = names.intern("lunch");
        let mut days = DayCounts::default();
        days.add(Date(100), 550, Some(lunch));
        days.take_back(Date(100), 50, Some(lunch), false);
        assert_eq!((days.spent(Date(100)), days.sales(Date(100), lunch)), (500, 1), "a partial void keeps the sale");
        days.take_back(Date(101), 500, Some(lunch), true);
        assert_eq!((days.spent(Date(100)), days.spent(Date(101))), (500, 0));
        days.take_back(Date(100), 500, Some(lunch), true);
        days.take_back(Date(100), 500, Some(lunch), true);
        assert_eq!((days.spent(Date(100)), days.sales(Date(100), lunch)), (0, 0), "never below zero");
    }

    #[test]
    fn periods_beyond_the_eighth_of_a_day_share_one_count() {
        let mut names = PeriodNames::new();
        let mut days = DayCounts::default();
        for number in 0..10 {
            let period = names.intern(&format!("p{number}"));
            days.add(Date(100), 0, Some(period));
        }
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
            other.add(Date(100), 0, Some(period));
        }
        other.carry_on(&days);
        assert_eq!((other.sales(Date(100), names.find("p20").unwrap()), other.sales(Date(100), ninth)), (1, 11));
    }

    #[test]
    fn a_count_holds_the_largest_limit() {
        let mut names = PeriodNames::new();
        let lunch = names.intern("lunch");
        let mut days = DayCounts::default();
        for _ in 0..65_535 {
            days.add(Date(100), 0, Some(lunch));
        }
        assert_eq!(days.sales(Date(100), lunch), 65_535);
        days.add(Date(100), 0, Some(lunch));
        assert_eq!(days.sales(Date(100), lunch), 65_535, "and no limit is larger");
    }

    #[test]
    fn only_days_ahead_are_forgotten() {
        let mut days = DayCounts::default();
        days.add(Date(101), 300, None);
        days.add(Date(100), 200, None);
        days.forget_after(Date(100));
        assert_eq!((days.spent(Date(100)), days.spent(Date(101))), (200, 0));
        days.forget_after(Date(99));
        days.add(Date(99), 100, None);
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
