//! Reads and writes ASCII digits without `core::fmt`, which would cost more than the rest of a
//! ledger line.

/// The digits of 0 to 99.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

/// The two digits of a number's last two.
fn last_pair(value: u32) -> [u8; 2] {
    PAIRS[(value % 100) as usize]
}

/// Fills `place` with `value`, zero-padded. Leading digits that do not fit are left out.
pub fn fill(place: &mut [u8], value: u32) {
    let mut rest = value;
    let mut pairs = place.rchunks_exact_mut(2);
    for pair in pairs.by_ref() {
        pair.copy_from_slice(&last_pair(rest));
        rest /= 100;
    }
    if let [digit] = pairs.into_remainder() {
        *digit = last_pair(rest)[1];
    }
}

/// The value of one to ten ASCII digits; `None` for anything else.
pub fn number(digits: &[u8]) -> Option<u64> {
    /// Digits whose value always fits 32 bits.
    const NARROW: usize = 9;
    let (high, low) = match digits {
        [] => return None,
        [first, rest @ ..] if rest.len() == NARROW => (narrow_number(&[*first])?, rest),
        digits if digits.len() <= NARROW => (0, digits),
        _ => return None,
    };
    Some(u64::from(high) * 1_000_000_000 + u64::from(narrow_number(low)?))
}

/// The value of up to nine digits.
fn narrow_number(digits: &[u8]) -> Option<u32> {
    let mut value = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u32::from(digit);
    }
    Some(value)
}

/// Each byte's value as a lower-case hexadecimal digit; 255: it is not one.
const HEXADECIMAL: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// The value of up to 16 lower-case hexadecimal digits; `None` for anything else.
pub fn hexadecimal<const N: usize>(digits: &[u8; N]) -> Option<u64> {
    const { assert!(N <= 16, "they fit 64 bits") };
    let (mut value, mut all) = (0, 0);
    for digit in digits {
        let nibble = HEXADECIMAL[usize::from(*digit)];
        (value, all) = (value << 4 | u64::from(nibble), all | nibble);
    }
    (all < 16).then_some(value)
}

/// The value of two ASCII digits; `None` for anything else.
pub fn pair(tens: u8, units: u8) -> Option<u32> {
    let (tens, units) = (tens.wrapping_sub(b'0'), units.wrapping_sub(b'0'));
    (tens < 10 && units < 10).then(|| u32::from(tens) * 10 + u32::from(units))
}

/// Bytes of the longest number: 20 digits of a u64, a sign and a decimal point.
const LEN_MAX: usize = 22;

/// Writes a whole number at the beginning of `place`, which has at least 20 bytes. Returns the
/// bytes written.
#[inline]
pub(crate) fn put_whole(place: &mut [u8], value: u64) -> usize {
    match u32::try_from(value) {
        Ok(digit @ 0..10) => {
            place[0] = b'0' + digit as u8;
            1
        }
        Ok(value) if value < CHUNK => {
            let len = value.ilog10() as usize + 1;
            fill(&mut place[..len], value);
            len
        }
        _ => put_wide(place, value),
    }
}

/// A 32-bit processor divides 64 bits in software, so this divides once per eight digits.
const CHUNK: u32 = 100_000_000;

#[cold]
fn put_wide(place: &mut [u8], value: u64) -> usize {
    let chunk = u64::from(CHUNK);
    let len = put_whole(place, value / chunk);
    fill(&mut place[len..len + 8], (value % chunk) as u32);
    len + 8
}

/// Writes a whole number of either sign: see [`put_whole`].
#[inline]
pub(crate) fn put_signed(place: &mut [u8], value: i64) -> usize {
    let len = put_sign(place, value < 0);
    len + put_whole(&mut place[len..], value.unsigned_abs())
}

/// Writes fen as yuan with two decimals, and a minus if below zero, at the beginning of `place`,
/// which has at least 22 bytes. Returns the bytes written.
#[inline]
pub(crate) fn put_yuan(place: &mut [u8], fen: i64) -> usize {
    let amount = fen.unsigned_abs();
    // Nearly all values fit 32 bits, which a 32-bit processor divides in hardware.
    let (yuan, fraction) = match u32::try_from(amount) {
        Ok(amount) => (u64::from(amount / 100), amount % 100),
        Err(_) => (amount / 100, (amount % 100) as u32),
    };
    let mut len = put_sign(place, fen < 0);
    len += put_whole(&mut place[len..], yuan);
    let [tens, units] = last_pair(fraction);
    place[len..len + 3].copy_from_slice(&[b'.', tens, units]);
    len + 3
}

fn put_sign(place: &mut [u8], is_negative: bool) -> usize {
    if is_negative {
        place[0] = b'-';
    }
    usize::from(is_negative)
}

/// A number's digits in a buffer of their own.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    bytes: [u8; LEN_MAX],
    len: usize,
}

impl Decimal {
    fn of(put: impl FnOnce(&mut [u8]) -> usize) -> Self {
        let mut bytes = [0; LEN_MAX];
        let len = put(&mut bytes);
        Self { bytes, len }
    }

    /// A whole number.
    pub fn whole(value: u64) -> Self {
        Self::of(|place| put_whole(place, value))
    }

    /// A whole number of either sign.
    pub(crate) fn signed(value: i64) -> Self {
        Self::of(|place| put_signed(place, value))
    }

    /// Fen as yuan with two decimals; a minus if below zero.
    pub fn yuan(fen: i64) -> Self {
        Self::of(|place| put_yuan(place, fen))
    }

    /// The digits.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
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
    fn only_one_to_ten_digits_are_a_number() {
        for text in ["0", "9", "00009", "123456789", "999999999", "1000000000", "9999999999", "0000000000"] {
            assert_eq!(number(text.as_bytes()), Some(text.parse().expect("digits")));
            for place in 0..text.len() {
                for wrong in *b"/:- \xFF" {
                    let mut spoiled = text.as_bytes().to_vec();
                    spoiled[place] = wrong;
                    assert_eq!(number(&spoiled), None);
                }
            }
        }
        assert_eq!(number(b""), None);
        assert_eq!(number(b"12345678901"), None);
        assert_eq!(number(&[b'9'; 1000]), None);
    }

    #[test]
    fn hexadecimal_digits_are_a_number_in_lower_case_only() {
        for value in [0, 9, 10, 0xDEAD_BEEF, u64::MAX, 1 << 63] {
            let text = format!("{value:016x}");
            let digits: &[u8; 16] = text.as_bytes().try_into().expect("sixteen");
            assert_eq!(hexadecimal(digits), Some(value));
            for place in 0..16 {
                for wrong in *b"/:`gG@A \0\xFF" {
                    let mut spoiled = *digits;
                    spoiled[place] = wrong;
                    assert_eq!(hexadecimal(&spoiled), None);
                }
            }
        }
    }

    #[test]
    fn only_two_digits_are_a_pair() {
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
