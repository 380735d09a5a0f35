//! Money in fen (分), the hundredth of a yuan: never a float.
//!
//! On the wire and in the ledger an amount is yuan with two decimals (protocol.md, *Field
//! formats*).

use core::fmt;
use core::num::NonZeroU32;
use core::ops::{Add, AddAssign, Neg, Sub};

use super::digits::{Decimal, number, pair};

/// An amount asked for or allowed: never negative, at most 9,999,999.99 yuan (design.md, section
/// 6).
///
/// In memory it is one fen more, never zero, so that an `Option` of it takes no more room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(NonZeroU32);

impl Money {
    /// Zero.
    pub const ZERO: Self = Self(NonZeroU32::MIN);
    /// The largest amount a frame may ask for.
    pub const MAX: Self = Self(NonZeroU32::new(1_000_000_000).expect("it is above zero"));

    /// From fen; `None` above [`Money::MAX`].
    pub const fn from_fen(fen: u32) -> Option<Self> {
        match NonZeroU32::MIN.checked_add(fen) {
            Some(more) if more.get() <= Self::MAX.0.get() => Some(Self(more)),
            _ => None,
        }
    }

    /// In fen.
    pub const fn fen(self) -> u32 {
        self.0.get() - 1
    }

    /// Reads digits, or digits, a point and one or two digits; `None` for anything else or more
    /// than [`Money::MAX`] (design.md, section 6, *malformed*).
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (yuan, fraction) = match text.iter().position(|byte| *byte == b'.') {
            None => (text, 0),
            Some(point) => match text[point + 1..] {
                [tens] => (&text[..point], pair(tens, b'0')?),
                [tens, units] => (&text[..point], pair(tens, units)?),
                _ => return None,
            },
        };
        if yuan.is_empty() {
            return None;
        }
        let mut whole = 0_u32;
        for byte in yuan {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 || whole > Self::MAX.fen() / 1000 {
                return None;
            }
            whole = whole * 10 + u32::from(digit);
        }
        Self::from_fen(whole * 100 + fraction)
    }
}

impl Default for Money {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Money({})", self.fen())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Decimal::yuan(i64::from(self.fen())).as_str())
    }
}

/// A signed amount: an account's balance, or an entry's effect on it. A balance is below zero
/// within a credit, or after an offline sale that the card could not cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Balance(i64);

impl Balance {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// From fen.
    pub const fn from_fen(fen: i64) -> Self {
        Self(fen)
    }

    /// In fen.
    pub const fn fen(self) -> i64 {
        self.0
    }

    /// What of it is above zero, at most [`Money::MAX`].
    pub(crate) fn above_zero(self) -> Money {
        let fen = self.0.clamp(0, i64::from(Money::MAX.fen()));
        u32::try_from(fen).ok().and_then(Money::from_fen).unwrap_or_default()
    }

    /// Reads an optional minus and what [`Money::parse`] reads, of any size below 10^15 yuan.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, digits) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            _ => (false, text),
        };
        let (yuan, fraction) = match digits.iter().position(|byte| *byte == b'.') {
            None => (digits, &b"0"[..]),
            Some(point) => (&digits[..point], &digits[point + 1..]),
        };
        if yuan.is_empty() || yuan.len() > 15 || fraction.is_empty() || fraction.len() > 2 {
            return None;
        }
        // Split so that a 32-bit processor reads the last digits at its own width.
        let (high, low) = yuan.split_at(yuan.len().saturating_sub(9));
        let high = if high.is_empty() { 0 } else { number(high)? };
        let fraction = pair(fraction[0], *fraction.get(1).unwrap_or(&b'0'))?;
        let fen = (high * 1_000_000_000 + number(low)?) * 100 + u64::from(fraction);
        let fen = fen.cast_signed();
        Some(Self(if negative { -fen } else { fen }))
    }
}

impl From<Money> for Balance {
    fn from(money: Money) -> Self {
        Self(i64::from(money.fen()))
    }
}

impl Add for Balance {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Balance {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Balance {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Balance {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Decimal::yuan(self.0).as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read_as_the_design_says() {
        let fen = |text: &str| Money::parse(text.as_bytes()).map(Money::fen);
        assert_eq!(fen("5.50"), Some(550));
        assert_eq!(fen("5.5"), Some(550));
        assert_eq!(fen("5"), Some(500));
        assert_eq!(fen("0.00"), Some(0));
        assert_eq!(fen("00005.50"), Some(550));
        assert_eq!(fen("9999999.99"), Some(999_999_999));
        for wrong in ["", ".", "5.", ".5", "5.500", "-5", "+5", "5,5", "1e3", "5 0", "10000000", "99999999999999999999"]
        {
            assert_eq!(fen(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_balance_prints_as_it_is_read() {
        for text in ["0.00", "-0.01", "-5.50", "123.45", "10000000.00"] {
            assert_eq!(Balance::parse(text.as_bytes()).expect(text).to_string(), text);
        }
        for wrong in ["", "-", "--1", "1.234", "abc", "- 1"] {
            assert_eq!(Balance::parse(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
