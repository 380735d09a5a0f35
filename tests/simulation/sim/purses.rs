//! What an account holds, and which purse pays: the naive rule (design.md, section 6).

use std::fmt;
use std::ops::{Add, AddAssign, Neg};

use posgate::engine::model::Figures;

use super::judge::{Line, fen};
use super::site::yuan;

/// Fen of cash, fen of subsidy, and uses: held, or moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purses {
    pub cash: i64,
    pub subsidy: i64,
    pub uses: i64,
}

impl Purses {
    /// What an entry moves.
    pub fn moved(line: &Line) -> Self {
        Self { cash: fen(line.column(10)), subsidy: fen(line.column(11)), uses: uses(line.column(12)) }
    }

    /// What an entry says that its account holds then.
    pub fn after(line: &Line) -> Self {
        Self { cash: fen(line.column(13)), subsidy: fen(line.column(14)), uses: uses(line.column(15)) }
    }

    /// Reads `left=`: `12.50/2`, or with subsidy `12.50+3.00/2`.
    pub fn parse(left: &str) -> Option<Self> {
        let (money, uses) = left.split_once('/')?;
        let (cash, subsidy) = money.split_once('+').unwrap_or((money, "0.00"));
        Some(Self { cash: fen(cash), subsidy: fen(subsidy), uses: uses.parse().ok()? })
    }

    /// What the server holds, in this model's figures.
    pub fn of(figures: Figures) -> Self {
        let Figures { balance, subsidy, uses } = figures;
        Self { cash: balance.fen(), subsidy: subsidy.fen(), uses: i64::from(uses) }
    }

    /// Both purses: what displays show, or what a sale took.
    pub fn money(self) -> i64 {
        self.cash + self.subsidy
    }

    /// What a sale of so many fen takes of whoever holds this: subsidy first, where it may pay.
    pub fn pay(self, price: i64, may_subsidy_pay: bool) -> Self {
        let subsidy = if may_subsidy_pay { price.min(self.subsidy) } else { 0 };
        Self { cash: price - subsidy, subsidy, uses: 0 }
    }
}

fn uses(text: &str) -> i64 {
    text.parse().unwrap_or(0)
}

/// As `left=` says it.
impl fmt::Display for Purses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subsidy = if self.subsidy == 0 { String::new() } else { format!("+{}", yuan(self.subsidy)) };
        write!(f, "{}{subsidy}/{}", yuan(self.cash), self.uses)
    }
}

impl Add for Purses {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { cash: self.cash + other.cash, subsidy: self.subsidy + other.subsidy, uses: self.uses + other.uses }
    }
}

impl AddAssign for Purses {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Neg for Purses {
    type Output = Self;
    fn neg(self) -> Self {
        Self { cash: -self.cash, subsidy: -self.subsidy, uses: -self.uses }
    }
}
