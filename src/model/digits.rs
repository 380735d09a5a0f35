//! ASCII digits without `core::fmt`: every frame and every ledger line holds some, and its machinery costs more than
//! the rest of a line.

/// Writes `value` into the whole of `place`, zero-padded; what does not fit is left out at the front.
pub fn fill(place: &mut [u8], value: u32) {
    let mut rest = value;
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).expect("a digit");
        rest /= 10;
    }
}

/// The number that two ASCII digits make; `None` if they are none.
pub fn pair(tens: u8, units: u8) -> Option<u32> {
    let (tens, units) = (tens.wrapping_sub(b'0'), units.wrapping_sub(b'0'));
    (tens < 10 && units < 10).then(|| u32::from(tens) * 10 + u32::from(units))
}

/// A number's digits, at the end of a buffer that holds the longest: 20 of a u64, a sign and a point.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    bytes: [u8; 24],
    start: usize,
}

impl Decimal {
    /// A whole number.
    pub fn whole(value: u64) -> Self {
        let mut decimal = Self { bytes: [b'0'; 24], start: 24 };
        decimal.prepend(value);
        decimal
    }

    /// A whole number of either sign.
    pub fn signed(value: i64) -> Self {
        let mut decimal = Self::whole(value.unsigned_abs());
        decimal.sign(value < 0);
        decimal
    }

    /// Fen as yuan: two decimals, a minus before what is below zero.
    pub fn yuan(fen: i64) -> Self {
        let mut decimal = Self { bytes: [b'0'; 24], start: 21 };
        let amount = fen.unsigned_abs();
        fill(&mut decimal.bytes[22..], u32::try_from(amount % 100).expect("two digits"));
        decimal.bytes[21] = b'.';
        decimal.prepend(amount / 100);
        decimal.sign(fen < 0);
        decimal
    }

    fn sign(&mut self, is_negative: bool) {
        if is_negative {
            self.start -= 1;
            self.bytes[self.start] = b'-';
        }
    }

    fn prepend(&mut self, value: u64) {
        /// A 32-bit processor divides 64 bits in software: it is done once for nine digits.
        const CHUNK: u64 = 1_000_000_000;
        let mut rest = value;
        while rest >= CHUNK {
            let low = u32::try_from(rest % CHUNK).expect("nine digits");
            fill(&mut self.bytes[self.start - 9..self.start], low);
            self.start -= 9;
            rest /= CHUNK;
        }
        let mut rest = u32::try_from(rest).expect("nine digits");
        loop {
            self.start -= 1;
            self.bytes[self.start] = b'0' + u8::try_from(rest % 10).expect("a digit");
            rest /= 10;
            if rest == 0 {
                return;
            }
        }
    }

    /// The digits.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).expect("digits are ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_core_prints_them() {
        let mut value = 1_u64;
        for _ in 0..200 {
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            for shift in [0, 7, 20, 33, 48, 60, 63] {
                let value = value >> shift;
                assert_eq!(Decimal::whole(value).as_str(), value.to_string());
                let fen = i64::from_ne_bytes(value.to_ne_bytes());
                let sign = if fen < 0 { "-" } else { "" };
                let amount = fen.unsigned_abs();
                assert_eq!(Decimal::signed(fen).as_str(), fen.to_string());
                assert_eq!(Decimal::yuan(fen).as_str(), format!("{sign}{}.{:02}", amount / 100, amount % 100));
            }
        }
        for value in [0, 9, 10, 999_999_999, 1_000_000_000, u64::MAX] {
            assert_eq!(Decimal::whole(value).as_str(), value.to_string());
        }
        assert_eq!(Decimal::yuan(i64::MIN).as_str(), "-92233720368547758.08");
        assert_eq!(Decimal::yuan(0).as_str(), "0.00");
    }

    #[test]
    fn a_pair_is_two_digits_and_nothing_else() {
        for tens in 0..=255 {
            for units in 0..=255 {
                let text = [tens, units];
                let expected = text
                    .iter()
                    .all(u8::is_ascii_digit)
                    .then(|| core::str::from_utf8(&text).expect("digits").parse::<u32>().expect("digits"));
                assert_eq!(pair(tens, units), expected);
            }
        }
    }
}
