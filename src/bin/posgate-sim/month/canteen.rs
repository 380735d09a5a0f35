//! The canteen: its people, its calendar and the files that its operator writes.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use posgate::engine::model::Date;

use super::model::{Account, Model, Purses, yuan};
use crate::cast::{SHOP, WINDOW_1, WINDOW_2};
use crate::random::Random;

/// More than one turn of a clear empties: the second death of the server falls into its middle.
const PEOPLE: usize = 72;

/// With a comma in one, as departments have it.
const DEPARTMENTS: [&str; 4] = ["生产部", "研发部", "行政部", "后勤,保洁"];

const SURNAMES: [&str; 20] = [
    "赵", "钱", "孙", "李", "周", "吴", "郑", "王", "冯", "陈", "褚", "卫", "蒋", "沈", "韩", "杨", "朱", "秦", "尤",
    "许",
];

const FIRST_CARD: u64 = 8_800_000_001;

/// Cards of the new ones: for whoever lost the old one, and for who comes later.
pub const SPARE_CARD: u64 = 8_800_009_001;

/// What the employer pays into this account a month, in fen: to most more than they spend, to every
/// third less, so that cash pays a part.
pub const fn subsidy_of(place: usize) -> i64 {
    if place % 3 == 2 { 15_000 } else { 30_000 }
}

/// A calendar month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month {
    /// Its first day.
    pub first: Date,
    /// How many days it has.
    pub len: u8,
}

impl Month {
    /// Reads `2026-11`.
    pub fn parse(text: &str) -> Option<Self> {
        let first = Date::parse(format!("{text}-01").as_bytes())?;
        let is_day = |day: &u8| Date::parse(format!("{text}-{day:02}").as_bytes()).is_some();
        let len = (28..=31).rev().find(is_day)?;
        Some(Self { first, len })
    }

    /// The month of this day, or the next one if that is too short.
    pub fn of(day: Date, days: u8) -> Option<Self> {
        let own = Self::parse(day.to_string().get(..7)?)?;
        if own.len >= days { Some(own) } else { Self::of(Date(own.first.0 + i32::from(own.len)), days) }
    }
}

/// As in `2026-11`.
impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.first.to_string().get(..7).unwrap_or_default())
    }
}

/// Everybody, with what they begin with, and the month's calendar: two days off in the week of the
/// second Wednesday, and the Saturday after them worked instead.
pub fn people(month: Month, random: &mut Random) -> Model {
    let mut model = Model::default();
    for place in 0..PEOPLE {
        let holder =
            format!("{}{}", SURNAMES[place % SURNAMES.len()], ["一", "二", "三", "四"][place / SURNAMES.len()]);
        let opening = Purses {
            cash: random.below(8000).cast_signed(),
            // The last month's clear did not find all of them.
            subsidy: if random.happens(20) { random.below(900).cast_signed() } else { 0 },
        };
        let card = FIRST_CARD + place as u64;
        let department = DEPARTMENTS[place % DEPARTMENTS.len()];
        let mut own = Account::new(format!("G{:03}", place + 1), holder, department, card, opening);
        own.is_on_nights = department == DEPARTMENTS[0];
        model.accounts.push(own);
    }
    let first_wednesday = (0..7).map(|day| Date(month.first.0 + day)).find(|day| day.weekday() == 3);
    let wednesday = Date(first_wednesday.unwrap_or(month.first).0 + 7);
    model.off = vec![wednesday, Date(wednesday.0 + 1)];
    model.worked = vec![Date(wednesday.0 + 3)];
    model
}

/// Somebody new, who is not in the table yet.
pub fn newcomer(model: &Model) -> Account {
    let opening = Purses { cash: 2000, subsidy: 550 };
    let id = format!("G{:03}", model.accounts.len() + 1);
    Account::new(id, "施新".to_owned(), DEPARTMENTS[1], SPARE_CARD, opening)
}

/// Writes the configuration.
///
/// # Errors
/// If the file cannot be written.
pub fn write_config(directory: &Path, model: &Model) -> io::Result<()> {
    let days = |days: &[Date], kind: &str| {
        days.iter().fold(String::new(), |mut lines, day| {
            let _ = writeln!(lines, "\tlist {kind} '{day}'");
            lines
        })
    };
    let device = |part: crate::cast::Part, more: &str| {
        format!("config device\n\toption machine '{:05}'\n\toption serial '{}'\n{more}\n", part.machine, part.serial)
    };
    let text = format!(
        "# The canteen of `posgate-sim month`.
config server 'main'
	list listen '127.0.0.1:0'
	option cards 'cards.csv'
	option ledger_dir 'ledger'
	option identity 'identity'
	option site 'month'
	option timezone 'CST-8'
	option day_start '04:00'
	option control 'ctl.sock'

{}{}{}config period
	option name 'lunch'
	option from '10:30'
	option to '13:30'
	option days '1-5'
	list place 'canteen'
	option price '12.00'
	option price_next '18.00'

config period
	option name 'supper'
	option from '16:30'
	option to '19:00'
	option days '1-5'
	list place 'canteen'
	option price '9.00'
	option subsidy '0'

config period
	option name 'night'
	option from '22:00'
	option to '02:00'
	option days '1-5'
	list place 'canteen'
	option price '8.00'
	option price_next '15.00'

config calendar
{}{}
config text
	option meal_ok '姓名:$name {{$balance}}\\n'
",
        device(WINDOW_1, "\tlist place 'canteen'\n"),
        device(WINDOW_2, "\tlist place 'canteen'\n"),
        device(SHOP, "\toption subsidy '0'\n"),
        days(&model.off, "off"),
        days(&model.worked, "work"),
    );
    fs::write(directory.join("posgate"), text)
}

/// Writes the card table.
///
/// # Errors
/// If the file cannot be written.
pub fn write_cards(directory: &Path, model: &Model) -> io::Result<()> {
    let mut text = "卡号,工号,姓名,部门,余额,补贴\n".to_owned();
    for own in &model.accounts {
        let Account { id, holder, department, first_card, .. } = own;
        let opening = own.opening();
        let _ = writeln!(
            text,
            "{first_card},{id},{holder},\"{department}\",{},{}",
            yuan(opening.cash),
            yuan(opening.subsidy)
        );
    }
    fs::write(directory.join("cards.csv"), text)
}

/// Writes a file of orders: 工号, name and amount of each.
///
/// # Errors
/// If the file cannot be written.
pub fn write_orders(file: &Path, rows: &[(&Account, i64)]) -> io::Result<()> {
    let mut text = "工号,姓名,金额\n".to_owned();
    for (own, amount) in rows {
        let _ = writeln!(text, "{},{},{}", own.id, own.holder, yuan(*amount));
    }
    fs::write(file, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_has_its_days_and_another_is_found_if_it_has_too_few() {
        let february = Month::parse("2027-02").expect("a month");
        assert_eq!((february.len, february.to_string().as_str()), (28, "2027-02"));
        assert_eq!(Month::of(february.first, 28), Some(february));
        assert_eq!(Month::of(february.first, 30), Month::parse("2027-03"));
        assert_eq!((Month::parse("2026-13"), Month::parse("november")), (None, None));
    }

    #[test]
    fn the_days_off_and_the_day_worked_instead_are_of_one_week() {
        for month in ["2026-11", "2026-04", "2027-02", "2028-01"] {
            let model = people(Month::parse(month).expect("a month"), &mut Random::new(1));
            let weekdays = |days: &[Date]| days.iter().map(|day| day.weekday()).collect::<Vec<_>>();
            assert_eq!((weekdays(&model.off), weekdays(&model.worked)), (vec![3, 4], vec![6]), "{month}");
            assert!(!model.is_working(model.off[0]) && model.is_working(model.worked[0]), "{month}");
        }
    }
}
