//! What the operator wrote: a configuration and a card table as files, read by the very code that
//! serves.

use std::fmt::Write as _;
use std::path::Path;

use posgate::engine::model::{Civil, Date, Rules};
use posgate::files::cards::{self, CardFile};
use posgate::files::config;

use super::purses::Purses;
use super::random::Random;

pub const PIN: &str = "1234";
pub const DURESS_PIN: &str = "4321";
pub const DOOR_PIN: &str = "778899";

/// One card of the table.
#[derive(Clone, Debug)]
pub struct Card {
    pub number: u64,
    pub account: String,
    pub status: &'static str,
    pub balance: i64,
    pub subsidy: i64,
    pub uses: i64,
    pub credit: i64,
    pub day_max: Option<i64>,
    pub charge_max: Option<i64>,
    pub groups: &'static str,
    pub valid_until: Option<Date>,
    pub code: String,
    /// Nobody but the forgers uses it.
    pub is_decoy: bool,
}

/// Files.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "habits, each of its own")]
pub struct Site {
    pub cards: Vec<Card>,
    pub same_sale_s: i64,
    pub offline_match_s: i64,
    pub door_ttl_ms: u64,
    pub offline_max: i64,
    resend_max: u64,
    clock: &'static str,
    pub passback_s: u64,
    /// Machine number, and a serial or an address.
    pub registered: Vec<(u16, String)>,
    /// Cards that were taken out of the table.
    removed: Vec<Card>,
    pub boards: Vec<u16>,
    pub period_uses_max: u64,
    has_periods: bool,
    /// Periods have days.
    has_days: bool,
    /// A second meal costs more.
    has_next: bool,
    /// Holidays, and days worked instead: the first day, the last one and what they are called, for
    /// periods and doors.
    calendar: Vec<(Date, Date, &'static str)>,
    /// Between the end of the night and breakfast nothing is sold.
    has_pause: bool,
    /// Some registered terminals serve the staff only.
    has_groups: bool,
    /// Doors are for groups, days and hours.
    has_door_hours: bool,
    /// Some registered terminals take no subsidy.
    has_cash_terminals: bool,
    /// Of a night no subsidy pays.
    is_night_for_cash: bool,
    /// Hours after midnight.
    day_start: i64,
    /// Only registered devices are served.
    pub is_quarantined: bool,
    /// Only the devices' own addresses are heard.
    pub is_fenced: bool,
    pub rate_source: u64,
    pub rate_total: u64,
    pub segment_bytes: u64,
    pub reserve_bytes: u64,
}

/// A section of a door.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Whom it lets pass; empty: everybody.
    pub group: &'static str,
    /// Hours.
    from: i64,
    to: i64,
    /// Of the week.
    days: (i64, i64),
    /// It asks for a PIN, opens by its own, and lets nobody pass twice.
    pub is_guarded: bool,
}

impl Section {
    /// Whether it is open then.
    pub fn is_open(&self, at: Civil, site: &Site) -> bool {
        let hour = at.0.rem_euclid(86_400) / 3600;
        let (crosses, is_late) = (self.to < self.from, hour >= self.from);
        let is_in = if crosses { is_late || hour < self.to } else { is_late && hour < self.to };
        let began = at.0.div_euclid(86_400) - i64::from(crosses && !is_late);
        let weekday = site.weekday(Date(i32::try_from(began).expect("a day of this age")));
        is_in && (self.days.0..=self.days.1).contains(&weekday)
    }
}

/// What the addresses of a fenced site begin with.
pub const FENCE: (u8, u8) = (10, 0);

impl Site {
    pub fn new(random: &mut Random) -> Self {
        let count = random.between(40, 400);
        let cards = (0..count).map(|number| Self::card(number, random)).collect();
        Self {
            cards,
            same_sale_s: random.pick(&[30, 30, 30, 60, 0]),
            offline_match_s: random.pick(&[120, 120, 120, 300, 0]),
            door_ttl_ms: random.pick(&[3000, 3000, 1500, 6000]),
            // In some canteens many a sale is above it.
            offline_max: if count.is_multiple_of(4) { 2000 } else { 100_000 },
            resend_max: random.between(0, 5),
            clock: random.pick(&["trust", "ntp"]),
            passback_s: random.pick(&[0, 20]),
            registered: Vec::new(),
            removed: Vec::new(),
            boards: Vec::new(),
            period_uses_max: random.pick(&[0, 1, 3]),
            has_periods: random.happens(600),
            // No draws, so that the worlds without them stay as they were.
            has_days: count % 5 < 4,
            has_next: !count.is_multiple_of(3),
            calendar: if count % 7 < 5 { Self::calendar(count) } else { Vec::new() },
            has_pause: random.happens(500),
            has_groups: random.happens(400),
            has_door_hours: random.happens(500),
            has_cash_terminals: random.happens(500),
            is_night_for_cash: random.happens(500),
            day_start: random.pick(&[0, 0, 4]),
            is_quarantined: random.happens(120),
            is_fenced: random.happens(250),
            rate_source: random.pick(&[0, 0, 0, 5, 100]),
            rate_total: random.pick(&[0, 0, 0, 0, 60]),
            segment_bytes: random.pick(&[8, 32, 128, 512]) * 1024,
            reserve_bytes: random.pick(&[32, 64, 256]) * 1024,
        }
    }

    /// Whether a machine number may be served at all.
    pub fn serves(&self, machine: u64) -> bool {
        !self.is_quarantined || self.registered.iter().any(|(registered, _)| u64::from(*registered) == machine)
    }

    /// The first weeks have a holiday or a worked day every few days.
    fn calendar(count: u64) -> Vec<(Date, Date, &'static str)> {
        let monday = Date::parse(b"2026-03-02").expect("a date").0;
        let mut day = monday + i32::try_from(count % 2).expect("few");
        let mut ranges = Vec::new();
        for number in 0..12 {
            let len = i32::try_from((count + number) % 3).expect("few");
            let kind = if (count / 2 + number).is_multiple_of(2) { "off" } else { "work" };
            ranges.push((Date(day), Date(day + len), kind));
            day += len + 1 + i32::try_from((count / 3 + number) % 4).expect("few");
        }
        ranges
    }

    /// The weekday as which a day is served: 1 is Monday.
    fn weekday(&self, day: Date) -> i64 {
        match self.calendar.iter().find(|(first, last, _)| (*first..=*last).contains(&day)) {
            Some((_, _, "off")) => 7,
            Some(_) => 1,
            // 1970 began on a Thursday.
            None => (i64::from(day.0) + 3).rem_euclid(7) + 1,
        }
    }

    /// Fen of a meal in a period where the card has so many; without a price it takes a use.
    pub fn price_in(&self, period: &str, meals: i64) -> Option<i64> {
        let is_next = self.has_next && meals > 0;
        match period {
            "lunch" => Some(if is_next { 1800 } else { 1200 }),
            "brunch" => Some(if is_next { 2050 } else { 1500 }),
            _ => None,
        }
    }

    /// Whether the subsidy purse may pay there, in a period or in none.
    pub fn may_subsidy_pay(&self, machine: u64, period: &str) -> bool {
        let is_for_cash = self.has_cash_terminals && takes_cash_only(machine) && self.is_registered(machine);
        let is_night_for_cash = self.is_night_for_cash && period == "night";
        !is_for_cash && !is_night_for_cash
    }

    fn is_registered(&self, machine: u64) -> bool {
        self.registered.iter().any(|(registered, _)| u64::from(*registered) == machine)
    }

    /// Whether a machine sells to a card of these groups.
    pub fn admits(&self, machine: u64, groups: &str) -> bool {
        !(self.has_groups && is_of_staff(machine) && self.is_registered(machine)) || groups.contains("staff")
    }

    /// Whether no period holds there and then.
    pub fn is_closed(&self, machine: u64, at: Civil) -> bool {
        self.has_periods && self.is_registered(machine) && self.period_at(at).is_none()
    }

    /// The period that holds at a moment, and the day on which it began.
    fn period_at(&self, at: Civil) -> Option<(Date, &'static str)> {
        let today = at.date();
        let is_working_day = self.weekday(today) < 6;
        match at.0.rem_euclid(86_400) / 3600 {
            3..5 if self.has_pause => None,
            5..10 => (is_working_day || !self.has_days).then_some((today, "早餐")),
            10..15 if is_working_day || !self.has_days => Some((today, "lunch")),
            10..15 => Some((today, "brunch")),
            15.. => Some((today, "night")),
            // It began yesterday.
            _ => Some((today.previous(), "night")),
        }
        .filter(|(day, period)| *period != "night" || !self.has_days || self.weekday(*day) < 7)
    }

    /// The business day of a sale of no period.
    pub fn business_day(&self, at: Civil) -> Date {
        at.minus_s(self.day_start * 3600).date()
    }

    /// The business day and the meal period of a sale at this moment by this machine.
    pub fn day_of(&self, machine: u64, at: Civil) -> (Date, &'static str) {
        let period = self.period_at(at).filter(|_| self.has_periods && self.is_registered(machine));
        period.unwrap_or_else(|| (self.business_day(at), ""))
    }

    /// Who may pass a door, and when.
    pub fn sections(&self, door: &str) -> impl Iterator<Item = Section> {
        let always = Section { group: "", from: 0, to: 24, days: (1, 7), is_guarded: false };
        let guarded = Section { is_guarded: true, ..always };
        let (first, second) = match (door, self.has_door_hours) {
            ("1", false) => (Some(always), None),
            ("2", false) => (Some(guarded), None),
            // The world begins on a Monday.
            ("1", true) => (
                Some(Section { group: "guest", from: 7, to: 19, days: (1, 1), ..always }),
                Some(Section { group: "staff", ..always }),
            ),
            // What crosses midnight is of the day it began.
            ("2", true) => (Some(Section { from: 20, to: 18, days: (1, 6), ..guarded }), None),
            _ => (None, None),
        };
        first.into_iter().chain(second)
    }

    fn card(number: u64, random: &mut Random) -> Card {
        // The last digit is the row's, so that two cards may share an account: 4 and 5 of every
        // ten.
        let shared = if number % 10 == 5 { number - 1 } else { number };
        Card {
            number: 8_880_000_000 + number,
            account: format!("A{shared:05}"),
            status: match number % 37 {
                7 => "lost",
                8 => "frozen",
                9 => "closed",
                _ => "active",
            },
            // Some have little of their own.
            balance: i64::try_from(random.below(if number % 7 == 2 { 2000 } else { 600_000 })).expect("yuan"),
            subsidy: if number.is_multiple_of(2) { i64::try_from(random.below(9000)).expect("yuan") } else { 0 },
            uses: i64::try_from(random.below(100)).expect("uses"),
            credit: if number % 11 == 3 { 2000 } else { 0 },
            day_max: (number % 13 == 4).then_some(6000),
            charge_max: (number % 17 == 6).then_some(1500),
            groups: ["staff;guest", "guest", ""][usize::try_from(number % 3).expect("three")],
            valid_until: (number % 41 == 10).then(|| Date::parse(b"2026-03-02").expect("a date")),
            code: format!("CODE,{number:06}"),
            is_decoy: number % 20 == 19,
        }
    }

    pub fn rules(&self) -> Rules {
        let text = self.config();
        let settings = config::parse(text.as_bytes(), Path::new("posgate"));
        let mut rules = settings.unwrap_or_else(|problems| panic!("{problems:?}\n{text}")).rules;
        // Whatever day it is built on, a seed repeats itself.
        rules.built_on = Date::parse(b"2026-01-01").expect("a date");
        rules
    }

    /// The configuration.
    pub fn config(&self) -> String {
        let mut text = format!(
            "config server 'main'\n option cards 'cards.csv'\n option ledger_dir 'ledger'\n option unknown_devices '{}'\n option clock '{}'\n option timezone 'CST-8'\n \
             option day_start '{:02}:00'\n option same_sale_s '{}'\n option offline_match_s '{}'\n option door_ttl_ms '{}'\n option offline_max '{}'\n \
             option resend_max '{}'\n option rate_source '{}'\n option rate_total '{}'\n",
            if self.is_quarantined { "quarantine" } else { "serve" },
            self.clock,
            self.day_start,
            self.same_sale_s,
            self.offline_match_s,
            self.door_ttl_ms,
            yuan(self.offline_max),
            self.resend_max,
            self.rate_source,
            self.rate_total,
        );
        if self.is_fenced {
            let _ = writeln!(text, " list allow '{}.{}.0.0/16'", FENCE.0, FENCE.1);
        }
        for (machine, owner) in &self.registered {
            let key = if owner.contains('.') { "address" } else { "serial" };
            let _ = write!(
                text,
                "config device\n option machine '{machine:05}'\n option {key} '{owner}'\n list place 'hall'\n"
            );
            if self.has_groups && is_of_staff(u64::from(*machine)) {
                text.push_str(" list group 'staff'\n");
            }
            if self.has_cash_terminals && takes_cash_only(u64::from(*machine)) {
                text.push_str(" option subsidy '0'\n");
            }
        }
        if self.has_periods {
            let night_ends = if self.has_pause { "03:00" } else { "05:00" };
            for (name, from, to, days, price, price_next) in [
                ("早餐", "05:00", "10:00", "1-5", "", ""),
                ("lunch", "10:00", "15:00", "1-5", "12.00", "18.00"),
                ("brunch", "10:00", "15:00", "1-7", "15.00", "20.50"),
                ("night", "15:00", night_ends, "1-6", "", ""),
            ] {
                let _ = write!(
                    text,
                    "config period\n option name '{name}'\n option from '{from}'\n option to '{to}'\n list place 'hall'\n option uses_max '{}'\n",
                    self.period_uses_max
                );
                if self.has_days {
                    let _ = writeln!(text, " option days '{days}'");
                }
                if !price.is_empty() {
                    let _ = writeln!(text, " option price '{price}'");
                }
                if self.has_next && !price_next.is_empty() {
                    let _ = writeln!(text, " option price_next '{price_next}'");
                }
                if name == "night" && self.is_night_for_cash {
                    text.push_str(" option subsidy '0'\n");
                }
            }
        }
        for (first, last, kind) in &self.calendar {
            let _ = writeln!(text, "config calendar\n list {kind} '{first}..{last}'");
        }
        for machine in &self.boards {
            for (door, section) in ["1", "2"].into_iter().flat_map(|door| self.sections(door).map(move |it| (door, it)))
            {
                let Section { group, from, to, days: (first, last), is_guarded } = section;
                let _ = write!(
                    text,
                    "config door\n option machine '{machine:05}'\n option door '{door}'\n option from '{from:02}:00'\n option to '{to:02}:00'\n option days '{first}-{last}'\n"
                );
                if !group.is_empty() {
                    let _ = writeln!(text, " list group '{group}'");
                }
                if is_guarded {
                    let passback = self.passback_s;
                    let _ = write!(
                        text,
                        " option pin 'card'\n option open_pin '{DOOR_PIN}'\n option passback_s '{passback}'\n"
                    );
                }
            }
        }
        text
    }

    pub fn card_file(&self, rules: &Rules) -> CardFile {
        cards::parse(self.table().as_bytes(), Path::new("cards.csv"), &rules.groups)
            .unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// The card table.
    pub fn table(&self) -> String {
        let mut text =
            "card,account,name,status,balance,subsidy,uses,pin,duress_pin,credit,day_max,charge_max,groups,valid_until,code\n"
                .to_owned();
        let mut stated = std::collections::HashSet::new();
        for card in &self.cards {
            // Of rows that share an account one states the figures.
            let [balance, subsidy, uses] = if stated.insert(&card.account) {
                [yuan(card.balance), yuan(card.subsidy), card.uses.to_string()]
            } else {
                [const { String::new() }; 3]
            };
            let day_max = card.day_max.map(yuan).unwrap_or_default();
            let charge_max = card.charge_max.map(yuan).unwrap_or_default();
            let valid_until = card.valid_until.map(|day| day.to_string()).unwrap_or_default();
            let _ = writeln!(
                text,
                "{},{},张三,{},{balance},{subsidy},{uses},{PIN},{DURESS_PIN},{},{day_max},{charge_max},{},{valid_until},\"{}\"",
                card.number,
                card.account,
                card.status,
                yuan(card.credit),
                card.groups,
                card.code
            );
        }
        text
    }

    pub fn find(&self, number: u64) -> Option<&Card> {
        self.cards.iter().find(|card| card.number == number)
    }

    fn has_account(&self, account: &str) -> bool {
        self.cards.iter().any(|card| card.account == account)
    }

    /// Something is changed in the files, and all is as it should be.
    pub fn edit(&mut self, random: &mut Random) {
        match random.below(8) {
            // A card leaves the table, or comes back; its account lives on.
            5 | 6 if self.removed.is_empty() || random.happens(600) => {
                let place = random.place(self.cards.len());
                if !self.cards[place].is_decoy {
                    self.removed.push(self.cards.remove(place));
                }
            }
            5 | 6 => {
                let place = random.place(self.removed.len());
                let card = self.removed.swap_remove(place);
                // Its number may have been entered anew.
                if self.find(card.number).is_none() {
                    self.cards.push(card);
                }
            }
            0 => self.resend_max = random.between(0, 5),
            1 => {
                self.period_uses_max = random.pick(&[0, 1, 3]);
                self.has_next = !self.has_next;
                if let Some((_, _, kind)) = self.calendar.first_mut() {
                    *kind = if *kind == "off" { "work" } else { "off" };
                }
            }
            2 => {
                let place = random.place(self.cards.len());
                self.cards[place].balance += 10_000;
                self.cards[place].subsidy += 1000;
            }
            7 => self.is_night_for_cash ^= true,
            3 => {
                let place = random.place(self.cards.len());
                self.cards[place].status = random.pick(&["active", "lost", "frozen"]);
            }
            _ => {
                let number = self.cards.len() as u64 + 1000 + random.below(100_000);
                let is_new = self.find(8_880_000_000 + number).is_none();
                if is_new && !self.has_account(&format!("A{number:05}")) && self.cards.len() < 600 {
                    self.cards.push(Card { is_decoy: false, ..Self::card(number - number % 10 + 1, random) });
                    let mut seen = std::collections::HashSet::new();
                    self.cards.retain(|card| seen.insert(card.number));
                }
            }
        }
    }

    /// Takes over another site's card table.
    pub fn take_cards_of(&mut self, other: &Self) {
        self.cards.clone_from(&other.cards);
        self.removed.clone_from(&other.removed);
    }

    /// A card that carries on another's account gets a row.
    pub fn enter(&mut self, number: u64, account: String) {
        let card = Card {
            number,
            account,
            status: "active",
            balance: 0,
            subsidy: 0,
            uses: 0,
            credit: 0,
            day_max: None,
            charge_max: None,
            groups: "staff",
            valid_until: None,
            code: format!("CODE,{:06}", number.wrapping_sub(8_880_000_000)),
            is_decoy: false,
        };
        self.cards.push(card);
    }

    /// A table in which a fifth of the cards is missing: the server must refuse it.
    pub fn lose_cards(&mut self) {
        let keep = self.cards.len() * 8 / 10;
        self.cards.truncate(keep);
    }
}

impl Card {
    /// The figures that its row states.
    pub fn opening(&self) -> Purses {
        Purses { cash: self.balance, subsidy: self.subsidy, uses: self.uses }
    }
}

fn is_of_staff(machine: u64) -> bool {
    machine.is_multiple_of(4)
}

fn takes_cash_only(machine: u64) -> bool {
    machine % 5 == 2
}

pub fn yuan(fen: i64) -> String {
    format!("{}{}.{:02}", if fen < 0 { "-" } else { "" }, fen.abs() / 100, fen.abs() % 100)
}
