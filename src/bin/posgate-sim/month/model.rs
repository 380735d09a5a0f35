//! What a month must come to, by the rules of the manual and nothing of the server's code: whole
//! fen in plain integers, one list of accounts, and every movement entered twice, in the account
//! and in the sum of its kind.

use std::collections::BTreeMap;

use posgate::engine::model::{Date, Reason};

/// Fen in each of the two purses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purses {
    /// The holder's own.
    pub cash: i64,
    /// The employer's.
    pub subsidy: i64,
}

impl Purses {
    /// Cash alone.
    pub const fn cash(fen: i64) -> Self {
        Self { cash: fen, subsidy: 0 }
    }

    /// Subsidy alone.
    pub const fn subsidy(fen: i64) -> Self {
        Self { cash: 0, subsidy: fen }
    }

    /// Both together: what `$balance` shows.
    pub const fn both(self) -> i64 {
        self.cash + self.subsidy
    }
}

impl std::fmt::Display for Purses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of cash and {} of subsidy", yuan(self.cash), yuan(self.subsidy))
    }
}

impl std::ops::AddAssign for Purses {
    fn add_assign(&mut self, other: Self) {
        self.cash += other.cash;
        self.subsidy += other.subsidy;
    }
}

impl std::ops::Neg for Purses {
    type Output = Self;

    fn neg(self) -> Self {
        Self { cash: -self.cash, subsidy: -self.subsidy }
    }
}

/// A kind of movement, as the reports tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// What meals and goods cost.
    Sales,
    /// What voids of sales gave back.
    Voids,
    /// Paid in by holders.
    TopUps,
    /// Top-ups undone.
    TopUpVoids,
    /// Paid in by the employer.
    Subsidies,
    /// Subsidies undone.
    SubsidyVoids,
    /// What was not spent.
    Cleared,
    /// Paid back to holders.
    PayOuts,
    /// Corrections.
    Adjusts,
    /// The card table's opening figures.
    Opened,
}

impl Flow {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Sales,
        Self::Voids,
        Self::TopUps,
        Self::TopUpVoids,
        Self::Subsidies,
        Self::SubsidyVoids,
        Self::Cleared,
        Self::PayOuts,
        Self::Adjusts,
        Self::Opened,
    ];

    /// Its member in a report's JSON; Chinese and English for people.
    pub const fn words(self) -> [&'static str; 3] {
        match self {
            Self::Sales => ["sales", "消费", "sales"],
            Self::Voids => ["voids", "撤销", "voids"],
            Self::TopUps => ["topups", "充值", "top-ups"],
            Self::TopUpVoids => ["topup_voids", "撤充值", "top-up voids"],
            Self::Subsidies => ["subsidies", "补贴发放", "granted"],
            Self::SubsidyVoids => ["subsidy_voids", "撤发放", "grant voids"],
            Self::Cleared => ["cleared", "补贴清零", "cleared"],
            Self::PayOuts => ["payouts", "退款", "refunds"],
            Self::Adjusts => ["adjusts", "调整", "adjusted"],
            Self::Opened => ["opened", "开户", "opened"],
        }
    }
}

/// What moved, by kind, with the ledger's signs.
pub type Sums = BTreeMap<Flow, Purses>;

/// Adds one account's sums to another's.
pub fn add_sums(all: &mut Sums, own: &Sums) {
    for (flow, sum) in own {
        *all.entry(*flow).or_default() += *sum;
    }
}

/// A meal period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meal {
    /// On days worked; a second one costs more.
    Lunch,
    /// On days worked; the employer pays no part of it.
    Supper,
    /// On days worked, across midnight; a second one costs more.
    Night,
}

impl Meal {
    /// What the first one costs in count mode, and each further one of the same day.
    pub const fn prices(self) -> [i64; 2] {
        match self {
            Self::Lunch => [1200, 1800],
            Self::Supper => [900, 900],
            Self::Night => [800, 1500],
        }
    }

    /// Its name in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lunch => "lunch",
            Self::Supper => "supper",
            Self::Night => "night",
        }
    }

    /// Whether the subsidy purse pays in it.
    pub const fn is_subsidized(self) -> bool {
        !matches!(self, Self::Supper)
    }
}

/// Where somebody buys, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bought {
    /// At a window, in count mode: the period has the price.
    Meal(Meal),
    /// At a window, an amount.
    Dish(Meal, i64),
    /// At the shop, an amount: at any time, in cash.
    Goods(i64),
}

/// As in `lunch`, `5.50 by amount at lunch`, `5.50 at the shop`.
impl std::fmt::Display for Bought {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Meal(meal) => f.write_str(meal.word()),
            Self::Dish(meal, fen) => write!(f, "{} by amount at {}", yuan(*fen), meal.word()),
            Self::Goods(fen) => write!(f, "{} at the shop", yuan(*fen)),
        }
    }
}

/// A sale that was booked.
#[derive(Clone, Copy, Debug)]
pub struct Sale {
    /// Whose.
    pub account: usize,
    /// What each purse paid.
    pub paid: Purses,
    /// What each purse got back.
    pub back: Purses,
    /// Of a sale in count mode: its period and business day.
    meal: Option<(Meal, Date)>,
    /// Clears of the account before it.
    clears_before: u32,
}

/// How a card stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It pays.
    Good,
    /// Reported lost.
    Lost,
    /// Closed for good.
    Closed,
}

/// An employee with the account.
#[derive(Clone, Debug)]
pub struct Account {
    /// 工号.
    pub id: String,
    /// 姓名.
    pub holder: String,
    /// 部门.
    pub department: &'static str,
    /// The card that the table names.
    pub first_card: u64,
    /// The card of today.
    pub card: u64,
    /// How that card stands.
    pub standing: Standing,
    /// Eats at night.
    pub is_on_nights: bool,
    /// What the two purses hold.
    pub held: Purses,
    /// What made them so.
    pub sums: Sums,
    /// Sales, offline ones too.
    pub sales: u32,
    /// What the card table says of it.
    opening: Purses,
    is_opened: bool,
    meals: BTreeMap<(Meal, Date), u32>,
    clears: u32,
}

impl Account {
    /// As the card table has it.
    pub fn new(id: String, holder: String, department: &'static str, card: u64, opening: Purses) -> Self {
        Self {
            id,
            holder,
            department,
            first_card: card,
            card,
            standing: Standing::Good,
            is_on_nights: false,
            held: opening,
            sums: Sums::new(),
            sales: 0,
            opening,
            is_opened: false,
            meals: BTreeMap::new(),
            clears: 0,
        }
    }

    /// What the card table says that it begins with.
    pub fn opening(&self) -> Purses {
        self.opening
    }

    /// Its first movement opens it with the card table's figures.
    fn open(&mut self) {
        if !std::mem::replace(&mut self.is_opened, true) {
            *self.sums.entry(Flow::Opened).or_default() += self.opening;
        }
    }

    fn moves(&mut self, flow: Flow, by: Purses) {
        self.open();
        self.held += by;
        *self.sums.entry(flow).or_default() += by;
    }
}

/// A sale that was not stored: its price, or why not.
type Verdict = Result<i64, Reason>;

/// The whole canteen's money.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Everybody.
    pub accounts: Vec<Account>,
    /// Everything that was sold.
    pub sales: Vec<Sale>,
    /// Holidays and days worked instead.
    pub off: Vec<Date>,
    /// See `off`.
    pub worked: Vec<Date>,
}

impl Model {
    /// Whether the canteen cooks on this day.
    pub fn is_working(&self, day: Date) -> bool {
        self.worked.contains(&day) || day.weekday() < 6 && !self.off.contains(&day)
    }

    /// What something costs this account now, and whether a live sale of it is approved.
    pub fn decide(&self, account: usize, day: Date, bought: Bought) -> Verdict {
        let own = &self.accounts[account];
        match own.standing {
            Standing::Good => (),
            Standing::Lost => return Err(Reason::Lost),
            Standing::Closed => return Err(Reason::Closed),
        }
        if !matches!(bought, Bought::Goods(_)) && !self.is_working(day) {
            return Err(Reason::Period);
        }
        let cost = self.cost(account, day, bought);
        let paid = self.split(account, bought, cost);
        if paid.cash > 0 && own.held.cash < paid.cash { Err(Reason::Balance) } else { Ok(cost) }
    }

    fn cost(&self, account: usize, day: Date, bought: Bought) -> i64 {
        match bought {
            Bought::Dish(_, fen) | Bought::Goods(fen) => fen,
            Bought::Meal(meal) => {
                let had = self.accounts[account].meals.get(&(meal, day)).copied().unwrap_or(0);
                meal.prices()[usize::from(had > 0)]
            }
        }
    }

    /// Subsidy first, where it may pay.
    fn split(&self, account: usize, bought: Bought, cost: i64) -> Purses {
        let may_subsidy = match bought {
            Bought::Meal(meal) | Bought::Dish(meal, _) => meal.is_subsidized(),
            Bought::Goods(_) => false,
        };
        let subsidy = if may_subsidy { self.accounts[account].held.subsidy.clamp(0, cost) } else { 0 };
        Purses { cash: cost - subsidy, subsidy }
    }

    /// Books a sale, below zero if need be; gives its place among the sales.
    pub fn sell(&mut self, account: usize, day: Date, bought: Bought) -> usize {
        let cost = self.cost(account, day, bought);
        let paid = self.split(account, bought, cost);
        let own = &mut self.accounts[account];
        own.moves(Flow::Sales, -paid);
        own.sales += 1;
        let meal = match bought {
            Bought::Meal(meal) => Some((meal, day)),
            Bought::Dish(..) | Bought::Goods(_) => None,
        };
        if let Some(meal) = meal {
            *own.meals.entry(meal).or_default() += 1;
        }
        let clears_before = own.clears;
        self.sales.push(Sale { account, paid, back: Purses::default(), meal, clears_before });
        self.sales.len() - 1
    }

    /// Undoes a sale, or this much of it: cash first. Subsidy that was cleared since stays away.
    /// Gives what came back.
    pub fn void_sale(&mut self, sale: usize, part: Option<i64>) -> Purses {
        let sold = &mut self.sales[sale];
        let left = Purses { cash: sold.paid.cash - sold.back.cash, subsidy: sold.paid.subsidy - sold.back.subsidy };
        let wanted = part.unwrap_or(left.both());
        let cash = wanted.min(left.cash);
        let gone = Purses { cash, subsidy: wanted - cash };
        sold.back += gone;
        let own = &mut self.accounts[sold.account];
        if sold.back == sold.paid
            && let Some(meal) = sold.meal
        {
            *own.meals.entry(meal).or_default() -= 1;
        }
        let back = if own.clears > sold.clears_before { Purses::cash(gone.cash) } else { gone };
        own.moves(Flow::Voids, back);
        back
    }

    /// Something happens at the desk.
    pub fn order(&mut self, account: usize, flow: Flow, by: Purses) {
        self.accounts[account].moves(flow, by);
    }

    /// Empties a subsidy purse; gives what was in it.
    pub fn clear(&mut self, account: usize) -> i64 {
        let own = &mut self.accounts[account];
        own.clears += 1;
        let held = own.held.subsidy;
        own.moves(Flow::Cleared, Purses::subsidy(-held));
        held
    }

    /// Empties every purse; gives how many held something, and how much.
    pub fn clear_all(&mut self) -> (usize, i64) {
        let (mut count, mut sum) = (0, 0);
        for account in 0..self.accounts.len() {
            let held = self.accounts[account].held.subsidy;
            if held > 0 {
                (count, sum) = (count + 1, sum + held);
                self.clear(account);
            } else {
                // What was spent before counts as cleared, too.
                self.accounts[account].clears += 1;
            }
        }
        (count, sum)
    }

    /// The sums of every account, by department.
    pub fn departments(&self) -> BTreeMap<&'static str, (u32, Sums)> {
        let mut departments: BTreeMap<&'static str, (u32, Sums)> = BTreeMap::new();
        for account in &self.accounts {
            let (sales, sums) = departments.entry(account.department).or_default();
            *sales += account.sales;
            add_sums(sums, &account.sums);
        }
        departments
    }

    /// The sums of everybody.
    pub fn all(&self) -> (u32, Sums) {
        let mut all = (0, Sums::new());
        for (sales, sums) in self.departments().into_values() {
            all.0 += sales;
            add_sums(&mut all.1, &sums);
        }
        all
    }
}

/// Fen as yuan.
pub fn yuan(fen: i64) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", fen.abs() / 100, fen.abs() % 100)
}

/// Yuan as fen; `None` for what is no amount of two decimals.
pub fn fen(yuan: &str) -> Option<i64> {
    let (whole, part) = yuan.split_once('.')?;
    let is_whole = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_digit());
    is_whole.then(|| format!("{whole}{part}").parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-02, a Monday.
    fn monday() -> Date {
        Date::parse(b"2026-11-02").expect("a date")
    }

    fn canteen(cash: i64, subsidy: i64) -> Model {
        let own = Account::new("G001".to_owned(), "张三".to_owned(), "生产部", 1, Purses { cash, subsidy });
        Model { accounts: vec![own], ..Model::default() }
    }

    #[test]
    fn subsidy_pays_first_and_a_second_lunch_costs_more_until_the_first_is_undone() {
        let mut model = canteen(5000, 2000);
        let first = model.sell(0, monday(), Bought::Meal(Meal::Lunch));
        model.sell(0, monday(), Bought::Meal(Meal::Lunch));
        assert_eq!(model.accounts[0].held, Purses { cash: 4000, subsidy: 0 });
        assert_eq!(model.decide(0, monday(), Bought::Meal(Meal::Lunch)), Ok(1800));
        assert_eq!(model.void_sale(first, None), Purses::subsidy(1200));
        assert_eq!(model.decide(0, monday(), Bought::Meal(Meal::Lunch)), Ok(1800), "the second one stands");
        model.void_sale(1, Some(1800));
        assert_eq!(model.decide(0, monday(), Bought::Meal(Meal::Lunch)), Ok(1200));
        assert_eq!(model.accounts[0].held, Purses { cash: 5000, subsidy: 2000 });
    }

    #[test]
    fn a_part_comes_back_as_cash_first_and_cleared_subsidy_stays_away() {
        let mut model = canteen(5000, 700);
        let sale = model.sell(0, monday(), Bought::Dish(Meal::Lunch, 1000));
        assert_eq!(model.void_sale(sale, Some(400)), Purses { cash: 300, subsidy: 100 });
        assert_eq!(model.clear_all(), (1, 100));
        assert_eq!(model.void_sale(sale, None), Purses::default());
        assert_eq!(model.accounts[0].held, Purses::cash(5000));
    }

    #[test]
    fn the_shop_and_supper_take_cash_and_days_off_have_no_meals() {
        let mut model = canteen(1000, 5000);
        assert_eq!(model.decide(0, monday(), Bought::Goods(1001)), Err(Reason::Balance));
        assert_eq!(model.decide(0, monday(), Bought::Dish(Meal::Supper, 1001)), Err(Reason::Balance));
        assert_eq!(model.decide(0, monday(), Bought::Dish(Meal::Lunch, 6000)), Ok(6000));
        model.off.push(monday());
        assert_eq!(model.decide(0, monday(), Bought::Meal(Meal::Lunch)), Err(Reason::Period));
        assert_eq!(model.decide(0, monday(), Bought::Goods(1000)), Ok(1000));
    }

    #[test]
    fn the_sums_of_all_kinds_make_what_is_held() {
        let mut model = canteen(1000, 0);
        model.order(0, Flow::Subsidies, Purses::subsidy(3000));
        model.sell(0, monday(), Bought::Dish(Meal::Lunch, 3500));
        model.order(0, Flow::PayOuts, Purses::cash(-500));
        let mut sum = Purses::default();
        model.all().1.into_values().for_each(|moved| sum += moved);
        assert_eq!((sum, model.accounts[0].held), (Purses::default(), Purses::default()));
    }

    #[test]
    fn fen_and_yuan() {
        for (number, text) in [(0, "0.00"), (-5, "-0.05"), (123_456, "1234.56"), (-700, "-7.00")] {
            assert_eq!((yuan(number).as_str(), fen(text)), (text, Some(number)));
        }
        assert_eq!((fen("1.5"), fen("12"), fen("1,000.00")), (None, None, None));
    }
}
