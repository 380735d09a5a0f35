//! Other forms of a card's number: with its bytes in another order, with fewer bytes, or as printed
//! on the card.
//!
//! A card holds four bytes or more. One reader sends them as a decimal number, another reversed, a
//! third sends the last three as Wiegand 26 does; and people type what is printed: hexadecimal
//! digits, or facility and number, `077,30211`. No sale uses these forms: they only help a person
//! to find the row that was meant.

use super::ids::CardNo;

/// The last three bytes of a number.
const LOW: u32 = 0xFF_FFFF;

/// Forms that a person is shown: the first of [`each`]. The other forms only serve to compare two
/// numbers.
pub(crate) const LIKELY: usize = 3;

/// Calls the function with each other form of a card's number and a phrase that describes it.
/// Numbers beyond 32 bits have no other form.
pub fn each(card: CardNo, found: impl FnMut(CardNo, &'static str)) {
    first(card, usize::MAX, found);
}

/// As [`each`], for the first `count` forms.
pub fn first(card: CardNo, count: usize, mut found: impl FnMut(CardNo, &'static str)) {
    let Ok(value) = u32::try_from(card.value()) else { return };
    let reversed = value.swap_bytes();
    let low_of_reversed = reversed & LOW;
    let all = [
        (Some(reversed), "the bytes reversed"),
        (Some(value & LOW), "the last three bytes, as by Wiegand 26"),
        (Some((value & LOW).swap_bytes() >> 8), "the last three bytes, reversed"),
        (Some(low_of_reversed), "the bytes reversed, and the last three of these"),
        (Some(printed(value)), "the last three bytes as printed, 077,30211, without the comma"),
        (
            Some(printed(reversed)),
            "the bytes reversed, and the last three of these as printed, 077,30211, without the comma",
        ),
        (hexadecimal_as_decimal(value), "the hexadecimal digits taken for decimal ones"),
    ];
    for (other, words) in all.into_iter().take(count) {
        if let Some(other) = other.filter(|other| *other != value && *other != 0) {
            found(CardNo::from_value(u64::from(other)), words);
        }
    }
}

/// Facility and number of a card's last three bytes.
pub fn wiegand(value: u32) -> (u32, u32) {
    ((value & LOW) >> 16, value & 0xFFFF)
}

/// Facility and number, one after the other: 077,30211 as 7730211.
fn printed(value: u32) -> u32 {
    let (facility, number) = wiegand(value);
    facility * 100_000 + number
}

/// 0x00123456 as 123456.
fn hexadecimal_as_decimal(value: u32) -> Option<u32> {
    let nibbles = (0..8).rev().map(|place| value >> (4 * place) & 0xF);
    nibbles.into_iter().try_fold(0_u32, |sum, nibble| (nibble < 10).then(|| sum * 10 + nibble))
}

/// Whether two numbers may be the same card's, and by which form.
pub fn alike(one: CardNo, other: CardNo) -> Option<&'static str> {
    let mut how = None;
    let mut look = |from: CardNo, to: CardNo| {
        each(from, |form, words| {
            if form == to && how.is_none() {
                how = Some(words);
            }
        });
    };
    look(one, other);
    look(other, one);
    how
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_found_in_each_of_its_forms() {
        // 0x004D7603 is 077,30211 where only three bytes are printed.
        let card = |value: u64| CardNo::from_value(value);
        for (one, other, words) in [
            (0x1234_5678, 0x7856_3412, "the bytes reversed"),
            (0x124D_7603, 0x004D_7603, "the last three bytes, as by Wiegand 26"),
            (0x124D_7603, 0x0003_764D, "the last three bytes, reversed"),
            (0x124D_7603, 7_730_211, "the last three bytes as printed, 077,30211, without the comma"),
            (0x004D_7603, 7_730_211, "the last three bytes as printed, 077,30211, without the comma"),
            (0x1234_5678, 12_345_678, "the hexadecimal digits taken for decimal ones"),
            (0x0376_4D12, 0x004D_7603, "the bytes reversed, and the last three of these"),
        ] {
            assert_eq!(alike(card(one), card(other)), Some(words), "{one:x} {other:x}");
            assert_eq!(alike(card(other), card(one)), Some(words), "{one:x} {other:x}");
        }
        assert_eq!(alike(card(0x1234_5678), card(0x1234_5679)), None);
        assert_eq!(alike(card(88), card(88)), None, "the same is no other form");
        assert_eq!(alike(card(9_999_999_999), card(1_410_065_407)), None);
        assert_eq!(wiegand(0x124D_7603), (77, 30_211));
    }
}
