//! What an account holds: cash, subsidy and meals (design.md, section 6).

use core::fmt;
use core::ops::{Add, AddAssign, Neg, Sub};

use super::entry::Entry;
use super::money::Balance;

/// What an account holds, or a signed effect on it. Cash is the holder's own, subsidy the
/// employer's, and uses are meals that were paid for before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Yuan of cash; below zero within a credit, or after an offline sale that the card could not
    /// cover.
    pub balance: Balance,
    /// Yuan of subsidy.
    pub subsidy: Balance,
    /// Meals.
    pub uses: i32,
}

impl Figures {
    /// Nothing.
    pub const ZERO: Self = Self { balance: Balance::ZERO, subsidy: Balance::ZERO, uses: 0 };

    /// Cash and subsidy together: what `$balance` shows, or what a sale took.
    pub fn money(self) -> Balance {
        self.balance + self.subsidy
    }

    /// The figures in the answer that an entry led to: `left=` if the entry has it, because opening
    /// figures were not entered yet; else the figures after the entry.
    pub(crate) fn in_answer(entry: &Entry) -> Option<Self> {
        entry.detail.get("left").and_then(|left| Self::parse(left.0)).or_else(|| entry.after())
    }

    /// Reads what `Display` writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (money, uses) = text.split_once('/')?;
        let (balance, subsidy) = match money.split_once('+') {
            Some((balance, subsidy)) => (balance, Balance::parse(subsidy.as_bytes())?),
            None => (money, Balance::ZERO),
        };
        Some(Self { balance: Balance::parse(balance.as_bytes())?, subsidy, uses: uses.parse().ok()? })
    }
}

/// The value of `left=`: `12.50/2`, or with subsidy `12.50+3.00/2`.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.balance)?;
        if self.subsidy != Balance::ZERO {
            write!(f, "+{}", self.subsidy)?;
        }
        write!(f, "/{}", self.uses)
    }
}

impl Add for Figures {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            balance: self.balance + other.balance,
            subsidy: self.subsidy + other.subsidy,
            uses: self.uses.saturating_add(other.uses),
        }
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Figures {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Neg for Figures {
    type Output = Self;
    fn neg(self) -> Self {
        Self { balance: -self.balance, subsidy: -self.subsidy, uses: self.uses.saturating_neg() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_print_as_they_are_read() {
        for text in ["0.00/0", "12.50+3.00/2", "-5.00+0.01/-1", "1.00+-2.00/0"] {
            assert_eq!(Figures::parse(text).expect(text).to_string(), text);
        }
        for wrong in ["", "1.00", "1.00/", "1.00/1/1", "x/1", "1.00+/1", "+1.00/1"] {
            assert_eq!(Figures::parse(wrong), None, "{wrong:?}");
        }
    }
}
