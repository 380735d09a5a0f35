//! Each rule alone, at its bounds, and beside the rule before it: the first that fails gives the
//! reason.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;
use crate::engine::model::CardTable;
use crate::engine::model::IncomingTable;
use crate::engine::model::{Entry, Kind, Mono, Stamp, Text, Wall};
use crate::files::cards;
use crate::files::config;

/// Too large for a test's stack.
static TABLES: Mutex<(Book, CardTable)> = Mutex::new((Book::new(), CardTable::new()));

/// A canteen at noon, on Sunday 2026-11-22: rules, cards and what the cards bought.
struct Canteen {
    tables: MutexGuard<'static, (Book, CardTable)>,
    rules: Rules,
}

const NOON: &str = "2026-11-22 12:00:00";

impl Canteen {
    /// `config`: the sections after `config server`; `cards`: lines of a card table.
    fn new(config: &str, cards: &str) -> Self {
        let config = format!("config server 'main'\n{config}\n");
        let rules = config::parse(config.as_bytes(), Path::new("posgate")).unwrap().rules;
        let file = cards::parse(format!("{cards}\n").as_bytes(), Path::new("cards.csv"), &rules.groups).unwrap();
        let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
        let (book, table) = &mut *tables;
        book.clear();
        book.install(table, IncomingTable::of(&file.records)).unwrap();
        Self { tables, rules }
    }

    fn row(&self, card: u64) -> CardRow {
        self.tables.1.find(CardNo::from_value(card)).unwrap()
    }

    /// Applies an entry of a card; its seq and account are filled in.
    fn apply(&mut self, card: u64, mut entry: Entry) {
        let account = self.row(card).account;
        let book = &mut self.tables.0;
        entry.seq = book.head().next();
        entry.card = Some(CardNo::from_value(card).padded());
        entry.account = Some(book.account(account).id);
        book.apply(&entry, Some(Mono(1000 * entry.seq.0))).unwrap();
    }

    /// A sale of `fen` on a day, in a period if one is named.
    fn bought(&mut self, card: u64, fen: i64, day: &str, period: &str) {
        let mut entry = Entry::new(Kind::Charge, Stamp::default(), ClockState::Ok);
        (entry.amount, entry.uses) = (Some(Balance::from_fen(-fen)), Some(0));
        entry.detail.push("day", day);
        if !period.is_empty() {
            entry.detail.push("period", period);
        }
        self.apply(card, entry);
    }

    /// A meal of 12.00 in count mode, or the void of one.
    fn ate(&mut self, card: u64, day: &str, period: &str, kind: Kind) {
        let mut entry = Entry::new(kind, Stamp::default(), ClockState::Ok);
        let fen = if kind == Kind::Void { 1200 } else { -1200 };
        (entry.amount, entry.uses) = (Some(Balance::from_fen(fen)), Some(0));
        entry.detail = entry.detail.with("day", day).with("period", period);
        if kind != Kind::Meal {
            entry.detail.push("mode", 1);
        }
        self.apply(card, entry);
    }

    /// Applies an operator's mark on a card.
    fn marked(&mut self, card: u64, status: CardStatus) {
        let mut entry = Entry::new(Kind::Status, Stamp::default(), ClockState::Ok);
        entry.detail.push("status", status.word());
        self.apply(card, entry);
    }

    fn sale(&self, machine: u16, card: u64, basis: Basis, at: &str) -> Result<Charge<'_>, Reason> {
        let device = self.rules.device(MachineNo::from_value(machine));
        decide_sale(&self.tables.0, &self.rules, device, &self.row(card), basis, civil(at))
    }

    /// Whether a card may pay this at noon at a device without a section.
    fn pays(&self, card: u64, fen: u32) -> Result<(), Reason> {
        self.pays_at(card, fen, NOON)
    }

    fn pays_at(&self, card: u64, fen: u32, at: &str) -> Result<(), Reason> {
        self.sale(99, card, amount(fen), at).map(|_| ())
    }

    fn eats_at(&self, card: u64, at: &str) -> Result<(), Reason> {
        self.sale(99, card, Basis::Count, at).map(|_| ())
    }

    /// The day and the period that a sale counts for.
    fn counts_for(&self, card: u64, at: &str) -> Result<(String, Option<String>), Reason> {
        let charge = self.sale(99, card, amount(1), at)?;
        Ok((charge.day.to_string(), charge.period.map(|period| period.name.to_string())))
    }

    fn passage(presented: Presented, at: &str) -> Passage {
        let door = UnitNo::parse(b"1").unwrap();
        let now = Now { mono: Mono(100_000), stamp: Stamp::default(), synchronized: true };
        let (machine, clock) = (MachineNo::from_value(7), ClockState::Ok);
        Passage { machine, door, presented, at: civil(at), now, clock }
    }

    fn passes(&self, card: Option<u64>, presented: Presented, at: &str) -> Result<&DoorRule, Reason> {
        let row = card.map(|card| self.row(card));
        decide_access(&self.tables.0, &self.rules, row.as_ref(), &Self::passage(presented, at))
    }

    fn passes_with(&self, card: u64, presented: Presented) -> Result<(), Reason> {
        self.passes(Some(card), presented, NOON).map(|_| ())
    }
}

fn civil(text: &str) -> Civil {
    Civil::parse(text.as_bytes()).unwrap()
}

fn amount(fen: u32) -> Basis {
    Basis::Amount(Money::from_fen(fen).unwrap())
}

#[allow(clippy::unnecessary_wraps, reason = "as a request holds it")]
fn pin(digits: &str) -> Option<Pin> {
    Some(Pin::parse(digits.as_bytes()).unwrap())
}

// ---------------------------------------------------------------- cards

#[test]
fn a_card_s_status_is_the_stricter_of_the_table_s_and_the_ledger_s() {
    let mut canteen = Canteen::new(
        "",
        "card,status,balance\n1,active,9.00\n2,frozen,9.00\n3,lost,9.00\n4,closed,9.00\n5,active,9.00\n6,frozen,9.00",
    );
    let expected = [(1, Ok(())), (2, Err(Reason::Frozen)), (3, Err(Reason::Lost)), (4, Err(Reason::Closed))];
    for (card, answer) in expected {
        assert_eq!(canteen.pays(card, 100), answer, "{card}");
    }
    canteen.marked(5, CardStatus::Lost);
    canteen.marked(6, CardStatus::Lost);
    canteen.marked(4, CardStatus::Lost);
    assert_eq!([5, 6, 4].map(|card| canteen.pays(card, 100)), [Reason::Lost, Reason::Lost, Reason::Closed].map(Err));
}

#[test]
fn a_card_is_valid_from_its_first_day_to_the_end_of_its_last() {
    let canteen = Canteen::new("", "card,balance,valid_from,valid_until\n1,9.00,2026-11-22,2026-11-23");
    for (at, answer) in [
        ("2026-11-21 23:59:59", Err(Reason::NotYetValid)),
        ("2026-11-22 00:00:00", Ok(())),
        ("2026-11-23 23:59:59", Ok(())),
        ("2026-11-24 00:00:00", Err(Reason::Expired)),
    ] {
        assert_eq!(canteen.pays_at(1, 100, at), answer, "{at}");
    }
}

#[test]
fn a_validity_ends_at_midnight_whenever_the_business_day_begins() {
    let canteen = Canteen::new("option day_start '04:00'", "card,balance,valid_until\n1,9.00,2026-11-22");
    assert_eq!(canteen.pays_at(1, 100, "2026-11-23 01:00:00"), Err(Reason::Expired));
}

// ---------------------------------------------------------------- sales

/// Each card fails one rule and every rule after it: swapped rules would give another reason.
#[test]
fn the_first_rule_that_fails_gives_the_reason() {
    let config = "
        config device
            option machine '00003'
            list group 'staff'
            list place 'canteen'
        config period
            option name 'lunch'
            option from '11:00'
            option to '13:00'
            option uses_max '1'
            list place 'canteen'";
    let cards = "card,status,groups,balance,charge_max,day_max,valid_from,valid_until
        1,closed,guest,0.00,1.00,1.00,2026-12-01,
        2,lost,guest,0.00,1.00,1.00,2026-12-01,
        3,frozen,guest,0.00,1.00,1.00,2026-12-01,
        4,active,guest,0.00,1.00,1.00,2026-12-01,2026-12-31
        5,active,guest,0.00,1.00,1.00,2026-01-01,2026-10-01
        6,active,guest,0.00,1.00,1.00,,
        7,active,staff,0.00,1.00,1.00,,
        8,active,staff,0.00,2.00,1.00,,
        9,active,staff,0.00,2.00,2.00,,"
        .replace("        ", "");
    let mut canteen = Canteen::new(config, &cards);
    for card in [6, 7] {
        canteen.bought(card, 0, "2026-11-22", "lunch");
    }
    let reason =
        |canteen: &Canteen, card, fen, at: &str| canteen.sale(3, card, amount(fen), at).map(|_| ()).unwrap_err();
    let ladder = [1, 2, 3, 4, 5, 6].map(|card| reason(&canteen, card, 200, NOON));
    let expected = [Reason::Closed, Reason::Lost, Reason::Frozen, Reason::NotYetValid, Reason::Expired, Reason::Group];
    assert_eq!(ladder, expected);
    assert_eq!(reason(&canteen, 7, 200, "2026-11-22 14:00:00"), Reason::Period);
    assert_eq!(reason(&canteen, 7, 0, NOON), Reason::PeriodUses);
    assert_eq!(reason(&canteen, 8, 0, NOON), Reason::Amount);
    assert_eq!(reason(&canteen, 8, 201, NOON), Reason::ChargeMax);
    assert_eq!(reason(&canteen, 8, 200, NOON), Reason::DayMax);
    assert_eq!(reason(&canteen, 9, 200, NOON), Reason::Balance);
}

#[test]
fn a_device_of_groups_serves_their_cards_and_one_without_serves_all() {
    let config = "
        config device
            option machine '00003'
            list group 'staff'
            list group 'guest'
        config device
            option machine '00004'";
    let canteen = Canteen::new(config, "card,groups,balance\n1,staff,9.00\n2,pupil;guest,9.00\n3,pupil,9.00\n4,,9.00");
    let at = |machine, card| canteen.sale(machine, card, amount(1), NOON).map(|_| ());
    assert_eq!([1, 2, 3, 4].map(|card| at(3, card)), [Ok(()), Ok(()), Err(Reason::Group), Err(Reason::Group)]);
    assert_eq!([1, 2, 3, 4].map(|card| at(4, card)), [Ok(()); 4]);
    assert_eq!([1, 2, 3, 4].map(|card| at(99, card)), [Ok(()); 4], "a device of no section");
}

#[test]
fn charge_max_and_day_max_may_be_reached_but_not_exceeded() {
    let mut canteen = Canteen::new("", "card,balance,charge_max,day_max\n1,99.00,5.00,8.00");
    assert_eq!([500, 501].map(|fen| canteen.pays(1, fen)), [Ok(()), Err(Reason::ChargeMax)]);
    canteen.bought(1, 400, "2026-11-22", "");
    canteen.bought(1, 800, "2026-11-21", "");
    assert_eq!([400, 401].map(|fen| canteen.pays(1, fen)), [Ok(()), Err(Reason::DayMax)]);
    assert_eq!(canteen.pays_at(1, 1, "2026-11-21 12:00:00"), Err(Reason::DayMax));
    assert_eq!(canteen.pays_at(1, 500, "2026-11-23 00:00:00"), Ok(()), "another day");
}

#[test]
fn a_limit_of_zero_refuses_every_amount() {
    let canteen = Canteen::new("", "card,balance,uses,charge_max,day_max\n1,9.00,1,0.00,\n2,9.00,1,,0.00");
    assert_eq!([1, 2].map(|card| canteen.pays(card, 1)), [Reason::ChargeMax, Reason::DayMax].map(Err));
    assert_eq!([1, 2].map(|card| canteen.eats_at(card, NOON)), [Ok(()); 2], "a use is no money");
}

#[test]
fn a_balance_may_fall_to_minus_its_credit() {
    let canteen = Canteen::new("", "card,balance,credit\n1,5.00,\n2,5.00,3.00\n3,-1.00,3.00\n4,-9.00,3.00");
    assert_eq!([500, 501].map(|fen| canteen.pays(1, fen)), [Ok(()), Err(Reason::Balance)]);
    assert_eq!([800, 801].map(|fen| canteen.pays(2, fen)), [Ok(()), Err(Reason::Balance)]);
    assert_eq!([200, 201].map(|fen| canteen.pays(3, fen)), [Ok(()), Err(Reason::Balance)]);
    assert_eq!(canteen.pays(4, 1), Err(Reason::Balance));
}

#[test]
fn a_meal_takes_the_period_s_price_or_one_use() {
    let config = "
        config period
            option name 'lunch'
            option from '11:00'
            option to '13:00'
            option price '12.00'
        config period
            option name 'supper'
            option from '17:00'
            option to '19:00'";
    let cards = "card,balance,uses,charge_max\n1,12.00,0,\n2,11.99,5,\n3,0.00,1,\n4,99.00,0,11.99";
    let canteen = Canteen::new(config, cards);
    let lunch = [1, 2, 3, 4].map(|card| canteen.eats_at(card, NOON));
    assert_eq!(lunch, [Ok(()), Err(Reason::Balance), Err(Reason::Balance), Err(Reason::ChargeMax)]);
    let supper = [1, 2, 3, 4].map(|card| canteen.eats_at(card, "2026-11-22 18:00:00"));
    assert_eq!(supper, [Err(Reason::Uses), Ok(()), Ok(()), Err(Reason::Uses)]);
    let effect =
        |at| canteen.sale(99, 2, Basis::Count, at).map(|charge| (charge.taken.balance.fen(), charge.taken.uses));
    assert_eq!(effect("2026-11-22 18:00:00"), Ok((0, 1)));
    let effect = canteen.sale(99, 1, Basis::Count, NOON).map(|charge| (charge.taken.balance.fen(), charge.taken.uses));
    assert_eq!(effect, Ok((1200, 0)));
    let keyed = canteen.sale(99, 1, amount(550), NOON).map(|charge| (charge.taken.balance.fen(), charge.taken.uses));
    assert_eq!(keyed, Ok((550, 0)), "an amount that was keyed is no meal of the period's price");
}

#[test]
fn a_second_meal_costs_price_next_until_the_first_is_voided() {
    let config = "
        config period
            option name 'lunch'
            option from '11:00'
            option to '13:00'
            option price '12.00'
            option price_next '18.00'
        config period
            option name 'supper'
            option from '17:00'
            option to '19:00'
            option price '10.00'";
    let mut canteen = Canteen::new(config, "card,balance\n1,99.00\n2,17.99");
    let price = |canteen: &Canteen, card, at| {
        canteen.sale(99, card, Basis::Count, at).map(|charge| (charge.taken.balance.fen(), charge.taken.uses))
    };
    let offline = |canteen: &Canteen| {
        let history = canteen.tables.0.history_of(1);
        let groups = canteen.row(1).terms.groups;
        charge_offline((Figures::ZERO, &history), &canteen.rules, None, groups, Basis::Count, civil(NOON), true)
            .taken
            .balance
            .fen()
    };
    // A sale by amount is no meal.
    canteen.bought(1, 100, "2026-11-22", "lunch");
    assert_eq!((price(&canteen, 1, NOON), offline(&canteen)), (Ok((1200, 0)), 1200));
    for card in [1, 2] {
        canteen.ate(card, "2026-11-22", "lunch", Kind::Meal);
    }
    assert_eq!((price(&canteen, 1, NOON), offline(&canteen)), (Ok((1800, 0)), 1800));
    assert_eq!(price(&canteen, 2, NOON), Err(Reason::Balance), "by the price that it would take");
    let elsewhere = ["2026-11-22 18:00:00", "2026-11-23 12:00:00"].map(|at| price(&canteen, 1, at));
    assert_eq!(elsewhere, [Ok((1000, 0)), Ok((1200, 0))], "another period, another day");
    canteen.ate(1, "2026-11-22", "supper", Kind::Meal);
    assert_eq!(price(&canteen, 1, "2026-11-22 18:00:00"), Ok((1000, 0)), "without price_next: price");
    canteen.ate(1, "2026-11-22", "lunch", Kind::Void);
    assert_eq!((price(&canteen, 1, NOON), offline(&canteen)), (Ok((1200, 0)), 1200));
    canteen.ate(1, "2026-11-22", "lunch", Kind::Offline);
    assert_eq!(price(&canteen, 1, NOON), Ok((1800, 0)));
}

#[test]
fn an_offline_sale_takes_what_it_says_and_counts_for_the_period_it_fell_into() {
    let config = "
        config period
            option name 'lunch'
            option from '11:00'
            option to '13:00'
            option price '12.00'";
    let canteen = Canteen::new(config, "card,balance\n1,0.00");
    let groups = canteen.row(1).terms.groups;
    let taken = |basis, at| {
        let history = CardHistory::default();
        let charge = charge_offline((Figures::ZERO, &history), &canteen.rules, None, groups, basis, civil(at), true);
        (charge.taken.balance.fen(), charge.taken.uses, charge.day.to_string(), charge.period.is_some())
    };
    let day = "2026-11-22".to_owned();
    assert_eq!(taken(Basis::Count, NOON), (1200, 0, day.clone(), true));
    assert_eq!(taken(amount(99_999), NOON), (99_999, 0, day.clone(), true));
    assert_eq!(taken(Basis::Count, "2026-11-22 15:00:00"), (0, 1, day, false), "no rule refuses what has happened");
    let history = CardHistory::default();
    let untimed =
        charge_offline((Figures::ZERO, &history), &canteen.rules, None, groups, Basis::Count, civil(NOON), false);
    let got = (untimed.taken.uses, untimed.period.is_none());
    assert_eq!(got, (1, true), "when it was nobody knows: it is of no period");
}

// ---------------------------------------------------------------- periods

#[test]
fn a_period_holds_from_its_first_second_to_the_one_before_its_end() {
    let config = "
        config period
            option name 'lunch'
            option from '10:30'
            option to '13:30'";
    let canteen = Canteen::new(config, "card,balance\n1,9.00");
    for (at, answer) in [
        ("2026-11-22 10:29:59", Err(Reason::Period)),
        ("2026-11-22 10:30:00", Ok(())),
        ("2026-11-22 13:29:59", Ok(())),
        ("2026-11-22 13:30:00", Err(Reason::Period)),
    ] {
        assert_eq!(canteen.pays_at(1, 100, at), answer, "{at}");
    }
}

#[test]
fn a_period_holds_on_its_days_as_the_calendar_moves_them() {
    let config = "
        config period
            option name 'lunch'
            option from '11:00'
            option to '13:00'
            option days '1-5'
        config period
            option name 'brunch'
            option from '10:00'
            option to '14:00'
            option days '7'
        config period
            option name 'night'
            option from '22:00'
            option to '02:00'
            option days '1-5'
        config calendar
            list off '2026-10-01..2026-10-07'
            list work '2026-10-10'";
    let canteen = Canteen::new(config, "card,balance\n1,99.00");
    let period = |at: &str| canteen.counts_for(1, at).map(|(day, period)| (day, period.unwrap()));
    let of = |day: &str, period: &str| Ok((day.to_owned(), period.to_owned()));
    // Wednesday; a holiday on Thursday, as a Sunday; Friday after it; a worked Saturday; Sunday.
    assert_eq!(period("2026-09-30 12:00:00"), of("2026-09-30", "lunch"));
    assert_eq!(period("2026-10-01 12:00:00"), of("2026-10-01", "brunch"));
    assert_eq!(period("2026-10-09 12:00:00"), of("2026-10-09", "lunch"));
    assert_eq!(period("2026-10-10 12:00:00"), of("2026-10-10", "lunch"));
    assert_eq!(period("2026-10-11 12:00:00"), of("2026-10-11", "brunch"));
    assert_eq!(period("2026-10-17 12:00:00"), Err(Reason::Period), "a Saturday as any");
    // A night belongs to the day it began, whatever the next one is called.
    assert_eq!(period("2026-10-01 01:00:00"), of("2026-09-30", "night"));
    assert_eq!(period("2026-10-01 23:00:00"), Err(Reason::Period));
    assert_eq!(period("2026-10-08 01:00:00"), Err(Reason::Period));
    assert_eq!(period("2026-10-11 01:00:00"), of("2026-10-10", "night"));
}

#[test]
fn a_period_that_begins_before_day_start_asks_for_the_business_day() {
    let config = "
        option day_start '04:00'
        config period
            option name 'snack'
            option from '00:30'
            option to '05:00'
            option days '1-5'
        config calendar
            list off '2026-10-01'";
    let canteen = Canteen::new(config, "card,balance\n1,99.00");
    let answer = |at: &str| canteen.counts_for(1, at).map(|(day, _)| day);
    // The night of Wednesday to the holiday is Wednesday's; the night after it is the holiday's.
    assert_eq!(answer("2026-10-01 01:00:00").as_deref(), Ok("2026-09-30"));
    assert_eq!(answer("2026-10-01 04:30:00").as_deref(), Ok("2026-09-30"));
    assert_eq!(answer("2026-10-02 01:00:00"), Err(Reason::Period));
    assert_eq!(answer("2026-10-03 01:00:00").as_deref(), Ok("2026-10-02"));
    assert_eq!(answer("2026-10-04 01:00:00"), Err(Reason::Period));
}

#[test]
fn the_first_section_whose_groups_days_and_time_fit_wins() {
    let config = "
        config period
            option name 'staff'
            option from '11:00'
            option to '13:00'
            option days '1-5'
            option price '8.00'
            list group 'staff'
        config period
            option name 'lunch'
            option from '11:00'
            option to '13:00'
            option price '12.00'";
    let canteen = Canteen::new(config, "card,balance,groups\n1,99.00,staff\n2,99.00,");
    let fen = |card, at| canteen.sale(99, card, Basis::Count, at).map(|charge| charge.taken.balance.fen());
    let (friday, saturday) = ("2026-11-20 12:00:00", "2026-11-21 12:00:00");
    assert_eq!([fen(1, friday), fen(1, saturday), fen(2, friday)], [Ok(800), Ok(1200), Ok(1200)]);
}

#[test]
fn a_period_across_midnight_belongs_to_the_day_it_began() {
    let config = "
        config period
            option name 'night'
            option from '22:00'
            option to '02:00'
            option uses_max '1'";
    let mut canteen = Canteen::new(config, "card,balance\n1,99.00");
    let night = |day: &str| Ok((day.to_owned(), Some("night".to_owned())));
    assert_eq!(canteen.counts_for(1, "2026-11-22 22:00:00"), night("2026-11-22"));
    assert_eq!(canteen.counts_for(1, "2026-11-23 01:59:59"), night("2026-11-22"));
    assert_eq!(canteen.counts_for(1, "2026-11-23 02:00:00"), Err(Reason::Period));
    canteen.bought(1, 100, "2026-11-22", "night");
    assert_eq!(canteen.pays_at(1, 100, "2026-11-23 01:00:00"), Err(Reason::PeriodUses));
    assert_eq!(canteen.pays_at(1, 100, "2026-11-23 22:00:00"), Ok(()));
}

/// The business day begins at six, so a period that begins at 5:30 belongs to the day before, also
/// after six.
#[test]
fn a_period_that_begins_before_day_start_belongs_as_a_whole_to_the_day_it_began() {
    let config = "
            option day_start '06:00'
        config period
            option name 'early'
            option from '05:30'
            option to '07:30'
            option uses_max '1'";
    let mut canteen = Canteen::new(config, "card,balance,day_max\n1,99.00,5.00");
    let early = |day: &str| Ok((day.to_owned(), Some("early".to_owned())));
    assert_eq!(canteen.counts_for(1, "2026-11-22 05:30:00"), early("2026-11-21"));
    assert_eq!(canteen.counts_for(1, "2026-11-22 07:00:00"), early("2026-11-21"));
    canteen.bought(1, 500, "2026-11-21", "early");
    assert_eq!(canteen.pays_at(1, 1, "2026-11-22 07:00:00"), Err(Reason::PeriodUses));
    assert_eq!(canteen.pays_at(1, 500, "2026-11-23 05:30:00"), Ok(()), "the next morning");
}

#[test]
fn the_business_day_begins_at_day_start() {
    let canteen = Canteen::new("option day_start '04:00'", "card,balance\n1,9.00");
    let day = |at| canteen.counts_for(1, at).unwrap().0;
    assert_eq!(day("2026-11-22 03:59:59"), "2026-11-21");
    assert_eq!(day("2026-11-22 04:00:00"), "2026-11-22");
}

#[test]
fn uses_max_counts_sales_of_the_card_in_the_period_of_the_day() {
    let config = "
        config period
            option name 'lunch'
            option from '11:00'
            option to '13:00'
            option uses_max '2'
        config period
            option name 'supper'
            option from '17:00'
            option to '19:00'";
    let mut canteen = Canteen::new(config, "card,balance\n1,99.00\n2,99.00");
    canteen.bought(1, 100, "2026-11-22", "lunch");
    canteen.bought(1, 100, "2026-11-22", "supper");
    canteen.bought(1, 100, "2026-11-22", "");
    assert_eq!(canteen.pays(1, 100), Ok(()), "one lunch");
    canteen.bought(1, 100, "2026-11-22", "lunch");
    assert_eq!(canteen.pays(1, 100), Err(Reason::PeriodUses), "two");
    assert_eq!(canteen.pays(2, 100), Ok(()), "another card");
    assert_eq!(canteen.pays_at(1, 100, "2026-11-23 12:00:00"), Ok(()), "another day");
    assert_eq!(canteen.pays_at(1, 100, "2026-11-22 18:00:00"), Ok(()), "a period without a limit");
}

#[test]
fn the_first_section_of_the_place_that_fits_card_and_time_holds() {
    let config = "
        config device
            option machine '00003'
            list place 'canteen'
        config device
            option machine '00004'
            list place 'shop'
        config period
            option name 'staff'
            option from '11:00'
            option to '14:00'
            list place 'canteen'
            list group 'staff'
        config period
            option name 'all'
            option from '11:30'
            option to '13:00'
            list place 'canteen'";
    let canteen = Canteen::new(config, "card,groups,balance\n1,staff,9.00\n2,pupil,9.00");
    let period = |machine, card, at| {
        let charge = canteen.sale(machine, card, amount(1), at)?;
        Ok(charge.period.map(|period| period.name.to_string()))
    };
    let named = |name: &str| Ok(Some(name.to_owned()));
    assert_eq!(period(3, 1, NOON), named("staff"));
    assert_eq!(period(3, 2, NOON), named("all"));
    assert_eq!(period(3, 2, "2026-11-22 11:15:00"), Err(Reason::Period), "the staff's hour only");
    assert_eq!(period(3, 1, "2026-11-22 13:30:00"), named("staff"));
    assert_eq!(period(4, 2, "2026-11-22 03:00:00"), Ok(None), "no period holds in the shop");
    assert_eq!(period(99, 2, "2026-11-22 03:00:00"), Ok(None), "nor at a device without a place");
}

// ---------------------------------------------------------------- doors

const DOOR: &str = "
        config door
            option machine '00007'
            option door '1'
            option from '06:00'
            option to '23:00'
            option days '1-5'
            list group 'staff'";

#[test]
fn a_door_lets_pass_by_group_hour_and_day() {
    let canteen = Canteen::new(DOOR, "card,groups,status\n1,staff,\n2,pupil,\n3,staff,lost");
    let monday = "2026-11-23 12:00:00";
    let passes = |card, at| canteen.passes(Some(card), Presented::Card, at).map(|_| ());
    assert_eq!(passes(1, monday), Ok(()));
    assert_eq!(passes(2, monday), Err(Reason::DoorGroup));
    assert_eq!(passes(2, "2026-11-22 12:00:00"), Err(Reason::DoorGroup), "before the day");
    assert_eq!(passes(3, monday), Err(Reason::Lost));
    for (at, answer) in [
        ("2026-11-23 05:59:59", Err(Reason::DoorTime)),
        ("2026-11-23 06:00:00", Ok(())),
        ("2026-11-23 22:59:59", Ok(())),
        ("2026-11-23 23:00:00", Err(Reason::DoorTime)),
        ("2026-11-27 12:00:00", Ok(())),
        ("2026-11-28 12:00:00", Err(Reason::DoorTime)),
    ] {
        assert_eq!(passes(1, at), answer, "{at}");
    }
    let unknown = canteen.passes(None, Presented::Card, monday).map(|_| ());
    assert_eq!(unknown, Err(Reason::UnknownCard));
}

#[test]
fn a_door_without_a_section_admits_nobody() {
    let canteen = Canteen::new("", "card\n1");
    assert_eq!(canteen.passes_with(1, Presented::Card), Err(Reason::NoDoor));
    let other = Canteen::passage(Presented::Card, NOON);
    drop(canteen);
    let canteen = Canteen::new(&DOOR.replace("door '1'", "door '2'"), "card,groups\n1,staff");
    let answer = decide_access(&canteen.tables.0, &canteen.rules, Some(&canteen.row(1)), &other);
    assert_eq!(answer.map(|_| ()), Err(Reason::NoDoor), "its neighbour's section");
}

#[test]
fn a_span_across_midnight_is_of_the_weekday_it_began() {
    let door = DOOR.replace("06:00", "22:00").replace("23:00", "02:00");
    let canteen = Canteen::new(&door, "card,groups\n1,staff");
    let passes = |at| canteen.passes(Some(1), Presented::Card, at).map(|_| ());
    assert_eq!(passes("2026-11-27 23:00:00"), Ok(()), "Friday");
    assert_eq!(passes("2026-11-28 01:00:00"), Ok(()), "still Friday's");
    assert_eq!(passes("2026-11-28 23:00:00"), Err(Reason::DoorTime), "Saturday");
    assert_eq!(passes("2026-11-23 01:00:00"), Err(Reason::DoorTime), "Sunday's");
    assert_eq!(passes("2026-11-24 01:00:00"), Ok(()), "Monday's");
}

#[test]
fn a_door_s_days_are_moved_by_the_calendar() {
    let calendar = "
        config calendar
            list off '2026-10-01..2026-10-07'
            list work '2026-10-10'";
    let night = DOOR.replace("06:00", "22:00").replace("23:00", "02:00");
    let passes = |canteen: &Canteen, at| canteen.passes(Some(1), Presented::Card, at).map(|_| ());
    let canteen = Canteen::new(&format!("{DOOR}{calendar}"), "card,groups\n1,staff");
    assert_eq!(passes(&canteen, "2026-10-01 12:00:00"), Err(Reason::DoorTime), "a holiday on a Thursday");
    assert_eq!(passes(&canteen, "2026-10-09 12:00:00"), Ok(()), "Friday");
    assert_eq!(passes(&canteen, "2026-10-10 12:00:00"), Ok(()), "a worked Saturday");
    assert_eq!(passes(&canteen, "2026-10-11 12:00:00"), Err(Reason::DoorTime), "Sunday");
    let row = canteen.row(1);
    let again = |at| {
        let passage = Canteen::passage(Presented::Card, at);
        section_that_admits(&canteen.rules, Some(&row), &passage).is_some()
    };
    assert_eq!(["2026-10-01 12:00:00", "2026-10-10 12:00:00"].map(again), [false, true], "a repeated 050 too");
    drop(canteen);
    let canteen = Canteen::new(&format!("{night}{calendar}"), "card,groups\n1,staff");
    assert_eq!(passes(&canteen, "2026-10-01 01:00:00"), Ok(()), "still Wednesday's night");
    assert_eq!(passes(&canteen, "2026-10-08 01:00:00"), Err(Reason::DoorTime), "still the holiday's");
    assert_eq!(passes(&canteen, "2026-10-11 01:00:00"), Ok(()), "still the worked Saturday's");
}

#[test]
fn pins_open_only_doors_that_ask_for_them() {
    let config = format!(
        "{DOOR}
            option pin 'card'
            option open_pin '4711'"
    )
    .replace("'1-5'", "'1-7'");
    let canteen = Canteen::new(&config, "card,groups,pin,duress_pin\n1,staff,1234,9999\n2,staff,,\n3,staff,0012,");
    let answers = [
        (1, Presented::Card, Err(Reason::Pin)),
        (1, Presented::CardAndPin(pin("1234")), Ok(())),
        (1, Presented::CardAndPin(pin("9999")), Ok(())),
        (1, Presented::CardAndPin(pin("01234")), Err(Reason::Pin)),
        (1, Presented::CardAndPin(pin("4711")), Err(Reason::Pin)),
        (1, Presented::CardAndPin(None), Err(Reason::Pin)),
        (1, Presented::Duress(pin("1234")), Ok(())),
        (1, Presented::Duress(pin("9999")), Ok(())),
        (1, Presented::Duress(pin("1")), Err(Reason::Pin)),
        (2, Presented::CardAndPin(None), Err(Reason::Pin)),
        (2, Presented::CardAndPin(pin("1234")), Err(Reason::Pin)),
        (2, Presented::Duress(None), Err(Reason::Pin)),
        (3, Presented::CardAndPin(pin("12")), Err(Reason::Pin)),
        (3, Presented::CardAndPin(pin("0012")), Ok(())),
    ];
    for (card, presented, answer) in answers {
        assert_eq!(canteen.passes_with(card, presented), answer, "{card} {presented:?}");
    }
    let door_pin = |given| canteen.passes(None, Presented::DoorPin(given), NOON).map(|_| ());
    assert_eq!(door_pin(pin("4711")), Ok(()));
    assert_eq!(door_pin(pin("1234")), Err(Reason::Pin));
    assert_eq!(door_pin(None), Err(Reason::Pin));
    // A card shown with a door's own PIN is not checked.
    assert_eq!(canteen.passes(Some(2), Presented::DoorPin(pin("4711")), NOON).map(|_| ()), Ok(()));
}

#[test]
fn a_door_without_an_open_pin_opens_for_no_pin() {
    let canteen = Canteen::new(&DOOR.replace("1-5", "1-7"), "card\n1");
    for given in [None, pin("0"), pin("1234")] {
        assert_eq!(canteen.passes(None, Presented::DoorPin(given), NOON).map(|_| ()), Err(Reason::Pin), "{given:?}");
    }
}

#[test]
fn duress_is_the_board_s_word_or_the_card_s_duress_pin() {
    let canteen = Canteen::new("", "card,pin,duress_pin\n1,1234,9999\n2,1234,");
    let row = |card| canteen.row(card);
    assert!(is_duress(None, Presented::Duress(None)));
    assert!(is_duress(Some(&row(1)), Presented::CardAndPin(pin("9999"))));
    assert!(!is_duress(Some(&row(1)), Presented::CardAndPin(pin("1234"))));
    assert!(
        !is_duress(Some(&row(2)), Presented::CardAndPin(None)),
        "no PIN is not the duress PIN of a card without one"
    );
    assert!(!is_duress(Some(&row(1)), Presented::DoorPin(pin("9999"))));
    assert!(!is_duress(Some(&row(1)), Presented::Card));
}

#[test]
fn any_section_may_admit_and_the_one_that_got_furthest_gives_the_reason() {
    let config = "
        config door
            option machine '00007'
            option door '1'
            list group 'staff'
            option relay_s '1'
        config door
            option machine '00007'
            option door '1'
            list group 'cook'
            option from '01:00'
            option to '02:00'
            option relay_s '2'
        config door
            option machine '00007'
            option door '1'
            list group 'cook'
            option pin 'card'
            option relay_s '3'";
    let canteen = Canteen::new(config, "card,groups,pin\n1,staff,\n2,cook,1234\n3,pupil,\n4,staff;cook,");
    let relay = |card, presented, at| canteen.passes(Some(card), presented, at).map(|rule| rule.relay_s);
    assert_eq!(relay(1, Presented::Card, NOON), Ok(1));
    assert_eq!(relay(2, Presented::Card, "2026-11-22 01:30:00"), Ok(2));
    assert_eq!(relay(2, Presented::CardAndPin(pin("1234")), NOON), Ok(3));
    assert_eq!(relay(4, Presented::Card, "2026-11-22 01:30:00"), Ok(1), "the first that fits");
    assert_eq!(relay(2, Presented::Card, NOON), Err(Reason::Pin), "groups and hour were right in the third");
    assert_eq!(relay(3, Presented::Card, NOON), Err(Reason::DoorGroup));
}

#[test]
fn the_same_card_passes_the_same_door_again_after_passback_s() {
    let config = "
        config door
            option machine '00007'
            option door '1'
            option passback_s '30'";
    let mut canteen = Canteen::new(config, "card\n1\n2");
    let mut entry = Entry::new(Kind::Admit, Stamp::default(), ClockState::Ok);
    entry.machine = Some(MachineNo::from_value(7));
    entry.slot = Some(Text::try_from("1:1").unwrap());
    canteen.apply(1, entry);
    // It was admitted at 1,000 ms.
    let passes = |card, mono| {
        let mut passage = Canteen::passage(Presented::Card, NOON);
        passage.now.mono = Mono(mono);
        let row = canteen.row(card);
        decide_access(&canteen.tables.0, &canteen.rules, Some(&row), &passage).map(|_| ())
    };
    assert_eq!(passes(1, 30_999), Err(Reason::Passback));
    assert_eq!(passes(1, 31_000), Ok(()));
    assert_eq!(passes(2, 1_000), Ok(()), "another card");
    let mut other = Canteen::passage(Presented::Card, NOON);
    other.now.mono = Mono(2_000);
    // The frame of the passage itself finds its section again.
    let row = canteen.row(1);
    assert!(section_that_admits(&canteen.rules, Some(&row), &other).is_some());
}

#[test]
fn after_a_restart_an_unknown_age_lets_the_same_person_pass() {
    let config = "
        config door
            option machine '00007'
            option door '1'
            option passback_s '30'";
    let mut canteen = Canteen::new(config, "card\n1");
    let mut entry = Entry::new(Kind::Admit, Stamp { wall: Wall(1_000), ..Stamp::default() }, ClockState::Ok);
    entry.machine = Some(MachineNo::from_value(7));
    entry.slot = Some(Text::try_from("1:1").unwrap());
    (entry.seq, entry.card) = (canteen.tables.0.head().next(), Some(CardNo::from_value(1).padded()));
    canteen.tables.0.apply(&entry, None).unwrap();
    let passes = |clock, wall| {
        let mut passage = Canteen::passage(Presented::Card, NOON);
        (passage.now.stamp.wall, passage.clock) = (Wall(wall), clock);
        decide_access(&canteen.tables.0, &canteen.rules, Some(&canteen.row(1)), &passage).map(|_| ())
    };
    assert_eq!(passes(ClockState::Ok, 2_000), Err(Reason::Passback));
    assert_eq!(passes(ClockState::Unset, 2_000), Ok(()));
    assert_eq!(passes(ClockState::Ok, 0), Ok(()), "the clock went back");
    assert_eq!(passes(ClockState::Ok, 31_000), Ok(()));
}
