//! Decides whether a card may pay an amount here and now, and whether it may pass a door
//! (design.md, section 6).
//!
//! Each decision is a ladder of checks in the order of the table of reasons; the first that fails
//! is the answer. Nothing here changes anything.

use crate::engine::book::{Book, CardHistory};
use crate::engine::model::card::{CardRow, GroupSet, Pin};
use crate::engine::model::rules::{DeviceRule, DoorRule, Period, Rules};
use crate::engine::model::{
    Balance, Calendar, CardNo, CardStatus, Civil, ClockState, Date, Figures, MachineNo, Money, Now, Reason, TimeOfDay,
    UnitNo,
};

/// What a sale asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// An amount that was keyed in, fixed, or scanned.
    Amount(Money),
    /// One meal: the period's price, or else one use.
    Count,
}

/// An approved sale's effect.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'a> {
    /// What is taken: cash, subsidy and uses, none below zero.
    pub taken: Figures,
    /// The business day that it counts for.
    pub day: Date,
    /// The meal period that it counts for.
    pub period: Option<&'a Period>,
}

/// Whether the card may be used at all.
///
/// # Errors
/// The first rule that refuses: closed, lost, frozen, not-yet-valid, expired.
pub(crate) fn check_card(book: &Book, row: &CardRow, today: Date) -> Result<(), Reason> {
    check_terms(row, &book.history_of(row.card), today)
}

fn check_terms(row: &CardRow, history: &CardHistory, today: Date) -> Result<(), Reason> {
    match row.terms.status.max(history.status()) {
        CardStatus::Active => (),
        CardStatus::Frozen => return Err(Reason::Frozen),
        CardStatus::Lost => return Err(Reason::Lost),
        CardStatus::Closed => return Err(Reason::Closed),
    }
    if row.terms.valid_from.is_some_and(|first| today < first) {
        return Err(Reason::NotYetValid);
    }
    if row.terms.valid_until.is_some_and(|last| last < today) {
        return Err(Reason::Expired);
    }
    Ok(())
}

/// Whether this card may buy this at this device now.
///
/// # Errors
/// The first rule that refuses.
pub fn decide_sale<'a>(
    book: &Book,
    rules: &'a Rules,
    device: Option<&DeviceRule>,
    row: &CardRow,
    basis: Basis,
    at: Civil,
) -> Result<Charge<'a>, Reason> {
    climb(book, rules, device, row, basis, at, true)
}

/// The answer that [`decide_sale`] would have given to an offline sale. The sale has happened, so
/// this does not refuse it. If `is_timed` is false, the time of the sale is unknown: periods and
/// the day's limit are not checked.
///
/// # Errors
/// The first rule that would have refused.
pub fn judge_offline(
    book: &Book,
    rules: &Rules,
    device: Option<&DeviceRule>,
    row: &CardRow,
    basis: Basis,
    at: Civil,
    is_timed: bool,
) -> Result<(), Reason> {
    climb(book, rules, device, row, basis, at, is_timed).map(|_| ())
}

/// The checks of a sale, in order.
fn climb<'a>(
    book: &Book,
    rules: &'a Rules,
    device: Option<&DeviceRule>,
    row: &CardRow,
    basis: Basis,
    at: Civil,
    is_timed: bool,
) -> Result<Charge<'a>, Reason> {
    let history = book.history_of(row.card);
    check_terms(row, &history, at.date())?;
    if !device.is_none_or(|device| device.groups.admits(row.terms.groups)) {
        return Err(Reason::Group);
    }
    let (period, day) = match find_period(rules, device, row.terms.groups, at) {
        Fit::In(period, day) if is_timed => (Some(period), day),
        Fit::Outside if is_timed => return Err(Reason::Period),
        Fit::Any | Fit::In(..) | Fit::Outside => (None, business_day(rules, at)),
    };
    if let Some(period) = period
        && period.uses_max > 0
        && period.uses_max <= history.sales(day, &period.name)
    {
        return Err(Reason::PeriodUses);
    }
    if basis == Basis::Amount(Money::ZERO) {
        return Err(Reason::Amount);
    }
    let (amount, uses) = price(basis, period, &history, day);
    if row.terms.charge_max.is_some_and(|max| max < amount) {
        return Err(Reason::ChargeMax);
    }
    let spent = history.spent(day).saturating_add(i64::from(amount.fen()));
    if is_timed && amount != Money::ZERO && row.terms.day_max.is_some_and(|max| i64::from(max.fen()) < spent) {
        return Err(Reason::DayMax);
    }
    let figures = book.account(row.account).figures();
    if uses > 0 && figures.uses < uses {
        return Err(Reason::Uses);
    }
    let taken = take(figures, may_subsidy_pay(device, period), amount, uses);
    let after = figures.balance - taken.balance;
    if taken.balance != Balance::ZERO && after < -Balance::from(row.terms.credit) {
        return Err(Reason::Balance);
    }
    Ok(Charge { taken, day, period })
}

/// Whether the subsidy purse may pay at this device in this period.
fn may_subsidy_pay(device: Option<&DeviceRule>, period: Option<&Period>) -> bool {
    device.is_none_or(|device| device.subsidy) && period.is_none_or(|period| period.subsidy)
}

/// What a sale takes from an account: subsidy first where it may pay, then cash (design.md, section
/// 6).
fn take(figures: Figures, may_subsidy_pay: bool, amount: Money, uses: i32) -> Figures {
    let amount = Balance::from(amount);
    let most = if may_subsidy_pay { figures.subsidy.max(Balance::ZERO) } else { Balance::ZERO };
    let subsidy = most.min(amount);
    Figures { balance: amount - subsidy, subsidy, uses }
}

/// What an offline sale takes of an account that holds these figures. It has happened, so no rule
/// refuses it. The card's history tells whether this is a second meal. If `is_timed` is false, it
/// counts for no period.
pub(crate) fn charge_offline<'a>(
    (figures, history): (Figures, &CardHistory),
    rules: &'a Rules,
    device: Option<&DeviceRule>,
    groups: GroupSet,
    basis: Basis,
    at: Civil,
    is_timed: bool,
) -> Charge<'a> {
    let (period, day) = match find_period(rules, device, groups, at) {
        Fit::In(period, day) if is_timed => (Some(period), day),
        Fit::Any | Fit::In(..) | Fit::Outside => (None, business_day(rules, at)),
    };
    let (amount, uses) = price(basis, period, history, day);
    Charge { taken: take(figures, may_subsidy_pay(device, period), amount, uses), day, period }
}

/// Money and uses that a sale takes in a period of a business day.
fn price(basis: Basis, period: Option<&Period>, history: &CardHistory, day: Date) -> (Money, i32) {
    let of_period = period.and_then(|period| Some((period, period.price?)));
    match (basis, of_period) {
        (Basis::Amount(amount), _) => (amount, 0),
        (Basis::Count, Some((period, price))) => {
            let next = period.price_next.filter(|_| history.has_eaten(day, &period.name));
            (next.unwrap_or(price), 0)
        }
        (Basis::Count, None) => (Money::ZERO, 1),
    }
}

/// How a time relates to the meal periods of a device.
enum Fit<'a> {
    /// The device has no periods: it sells at any time.
    Any,
    /// Within this period. The sale counts for the business day on which the period began.
    In(&'a Period, Date),
    /// The device has periods, and none of them admits this card now.
    Outside,
}

fn find_period<'a>(rules: &'a Rules, device: Option<&DeviceRule>, groups: GroupSet, at: Civil) -> Fit<'a> {
    let places = device.map_or(GroupSet::default(), |device| device.places);
    let mut fit = Fit::Any;
    for period in rules.periods.iter().filter(|period| period.places.admits(places)) {
        fit = Fit::Outside;
        let began = began_on(period.from, period.to, at).filter(|_| period.groups.admits(groups));
        let day = began.map(|began| business_day(rules, began.at(period.from)));
        if let Some(day) = day.filter(|day| period.days.include(*day, &rules.calendar)) {
            return Fit::In(period, day);
        }
    }
    fit
}

/// The calendar day on which the span that contains `at` began; `None` if `at` is outside.
fn began_on(from: TimeOfDay, to: TimeOfDay, at: Civil) -> Option<Date> {
    let (today, time) = (at.date(), at.time_of_day());
    if from < to {
        return (from <= time && time < to).then_some(today);
    }
    if from <= time {
        return Some(today);
    }
    (time < to).then(|| today.previous())
}

/// The business day of a time; a business day begins at `day_start`.
pub fn business_day(rules: &Rules, at: Civil) -> Date {
    at.minus_s(i64::from(rules.day_start.0)).date()
}

/// The card and PIN of an access request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    /// A card without a PIN.
    Card,
    /// A card and its PIN.
    CardAndPin(Option<Pin>),
    /// A card and a PIN given under duress.
    Duress(Option<Pin>),
    /// A door's own PIN.
    DoorPin(Option<Pin>),
}

/// A request to pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage {
    /// The board.
    pub machine: MachineNo,
    /// The door on it.
    pub door: UnitNo,
    /// The card or PIN presented.
    pub presented: Presented,
    /// What the wall clock shows.
    pub at: Civil,
    /// For the pass-back rule.
    pub now: Now,
    /// For the pass-back rule.
    pub clock: ClockState,
}

/// Whether a request means duress: the board says so, or the PIN is the card's duress PIN.
pub(crate) fn is_duress(row: Option<&CardRow>, presented: Presented) -> bool {
    match presented {
        Presented::Duress(_) => true,
        Presented::CardAndPin(pin) => pin.is_some() && row.is_some_and(|row| row.terms.duress_pin == pin),
        Presented::Card | Presented::DoorPin(_) => false,
    }
}

/// Decides whether the door opens: gives the first section that admits the request, or the reason
/// of the section that got furthest.
///
/// # Errors
/// The first rule that refuses.
pub(crate) fn decide_access<'a>(
    book: &Book,
    rules: &'a Rules,
    row: Option<&CardRow>,
    request: &Passage,
) -> Result<&'a DoorRule, Reason> {
    if !matches!(request.presented, Presented::DoorPin(_)) {
        check_card(book, row.ok_or(Reason::UnknownCard)?, request.at.date())?;
    }
    let mut furthest = Reason::NoDoor;
    for rule in door_rules(rules, request.machine, request.door) {
        match decide_section(book, &rules.calendar, rule, row, request) {
            Ok(()) => return Ok(rule),
            Err(reason) => furthest = furthest.max(reason),
        }
    }
    Err(furthest)
}

/// The section whose numbers a repeated 050 carries: the first that admits the request. The
/// pass-back rule is not checked, since the remembered passage is this request's own.
pub(crate) fn section_that_admits<'a>(
    rules: &'a Rules,
    row: Option<&CardRow>,
    request: &Passage,
) -> Option<&'a DoorRule> {
    let mut sections = door_rules(rules, request.machine, request.door);
    sections.find(|rule| check_section(&rules.calendar, rule, row, request).is_ok())
}

/// The sections that name a door.
pub(crate) fn door_rules(rules: &Rules, machine: MachineNo, door: UnitNo) -> impl Iterator<Item = &DoorRule> {
    rules.doors.iter().filter(move |rule| rule.machine == machine && u64::from(rule.door) == door.value())
}

fn decide_section(
    book: &Book,
    calendar: &Calendar,
    rule: &DoorRule,
    row: Option<&CardRow>,
    request: &Passage,
) -> Result<(), Reason> {
    check_section(calendar, rule, row, request)?;
    if let Some(row) = row_presented(row, request)
        && rule.passback_s > 0
        && has_just_passed(book, rule, CardNo::from_value(row.card), request)
    {
        return Err(Reason::Passback);
    }
    Ok(())
}

/// The card's row, which a door's own PIN ignores.
fn row_presented<'a>(row: Option<&'a CardRow>, request: &Passage) -> Option<&'a CardRow> {
    row.filter(|_| !matches!(request.presented, Presented::DoorPin(_)))
}

/// Checks groups, days, hours and PIN: all that needs no book.
fn check_section(calendar: &Calendar, rule: &DoorRule, row: Option<&CardRow>, request: &Passage) -> Result<(), Reason> {
    let row = row_presented(row, request);
    if row.is_some_and(|row| !rule.groups.admits(row.terms.groups)) {
        return Err(Reason::DoorGroup);
    }
    let began = began_on(rule.from, rule.to, request.at).ok_or(Reason::DoorTime)?;
    if !rule.days.include(began, calendar) {
        return Err(Reason::DoorTime);
    }
    let is_pin_right = match request.presented {
        Presented::Card => !rule.card_pin,
        Presented::CardAndPin(pin) | Presented::Duress(pin) => {
            pin.is_some() && row.is_some_and(|row| row.terms.pin == pin || row.terms.duress_pin == pin)
        }
        Presented::DoorPin(pin) => pin.is_some() && rule.open_pin == pin,
    };
    if !is_pin_right {
        return Err(Reason::Pin);
    }
    Ok(())
}

/// A passage of unknown age is outside the window: when in doubt, the door lets the same person
/// pass, since the card was good the first time. At a board that confirms, an unconfirmed admission
/// is not a passage.
fn has_just_passed(book: &Book, rule: &DoorRule, card: CardNo, request: &Passage) -> bool {
    let confirms = book.is_confirming(request.machine);
    let mut passes = book.passes(request.machine, request.door, card).filter(|pass| pass.is_confirmed || !confirms);
    passes
        .next()
        .and_then(|pass| pass.at.known_age_ms(&request.now, request.clock))
        .is_some_and(|age| age < u64::from(rule.passback_s) * 1000)
}

#[cfg(test)]
mod tests;
