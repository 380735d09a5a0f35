//! Short texts stored in place, without allocation.

use core::fmt::{self, Write as _};
use core::ops::Deref;

use crate::engine::{gbk, words};

/// A short text of at most `N` bytes (`N` ≤ 255), stored in place.
///
/// Its bytes are UTF-8: this is checked when it is made and when it is read as a `str`, which no
/// sale does. The bytes after its end are zero, so that texts are compared and copied a machine
/// word at a time. The order of the fields makes texts compare as `str` does.
#[derive(Clone, Copy, Eq, PartialOrd, Ord, Hash)]
#[expect(
    clippy::derived_hash_with_manual_eq,
    clippy::derive_ord_xor_partial_ord,
    reason = "the bytes after the end are zero"
)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Text<N> {
    /// Empty.
    pub const fn new() -> Self {
        const { assert!(N <= u8::MAX as usize, "its length fits a byte") };
        Self { bytes: [0; N], len: 0 }
    }

    /// Takes these bytes; `None` if they are more than `N`. They must be UTF-8.
    fn of_utf8(bytes: &[u8]) -> Option<Self> {
        let mut text = Self::new();
        text.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        text.len = bytes.len() as u8;
        Some(text)
    }

    /// Takes bytes; `None` if they are more than `N`, or not UTF-8.
    pub fn from_utf8(bytes: &[u8]) -> Option<Self> {
        if is_utf8(bytes) { Self::of_utf8(bytes) } else { None }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).expect("it was made of UTF-8")
    }

    /// The text as UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Its length in bytes.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it is empty.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds the whole text, or nothing.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn push_str(&mut self, more: &str) -> Result<(), TooLong> {
        let len = self.len();
        self.bytes.get_mut(len..len + more.len()).ok_or(TooLong)?.copy_from_slice(more.as_bytes());
        self.len += more.len() as u8;
        Ok(())
    }

    /// Adds a character.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn push(&mut self, character: char) -> Result<(), TooLong> {
        self.push_str(character.encode_utf8(&mut [0; 4]))
    }
}

/// The error of a text that is too long for its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Deref for Text<N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> TryFrom<&str> for Text<N> {
    type Error = TooLong;

    fn try_from(text: &str) -> Result<Self, TooLong> {
        Self::of_utf8(text.as_bytes()).ok_or(TooLong)
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        // Most texts are short, and what follows them is equal.
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> PartialEq<str> for Text<N> {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> PartialEq<&str> for Text<N> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text).map_err(|TooLong| fmt::Error)
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// For a message or the log: a value that may be or contain a card's number. Shows only the last
/// four of its digits, whatever surrounds them.
///
/// Every value that a person typed is shown like this. [`HiddenAccount`] is for accounts, whose
/// names may look like card numbers; [`CardNo::masked`](super::CardNo::masked) is for known card
/// numbers.
pub struct Hidden<'a>(pub &'a str);

impl fmt::Display for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        const MARK: &str = "****";
        let mut left = self.0.chars().filter(|next| next.is_numeric()).count();
        let mut is_marked = false;
        for next in self.0.chars() {
            let is_hidden = next.is_numeric() && left > SHOWN;
            left -= usize::from(next.is_numeric());
            match (is_hidden, is_marked) {
                // One `****` replaces any number of digits.
                (true, true) => (),
                (true, false) => f.write_str(MARK)?,
                (false, _) => f.write_char(next)?,
            }
            is_marked = is_hidden || (is_marked && next == '*');
        }
        Ok(())
    }
}

/// An account for a message or the log: as [`Hidden`] if it may be a card's number, as a card's own
/// account is. A name such as `S2024001` is shown whole.
pub struct HiddenAccount<'a>(pub &'a str);

impl fmt::Display for HiddenAccount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// With a letter beside them, fewer digits than this are not a card's number.
        const DIGITS_MIN: usize = 8;
        let has_letter = self.0.chars().any(char::is_alphabetic);
        let digits = self.0.chars().filter(|next| next.is_numeric()).count();
        if has_letter && digits < DIGITS_MIN { f.write_str(self.0) } else { Hidden(self.0).fmt(f) }
    }
}

/// A device's raw text for the log: a number long enough for a card's shows only its last four
/// digits.
pub struct Unnumbered<'a>(pub &'a str);

impl fmt::Display for Unnumbered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Shorter numbers are machines, frames, amounts and parts of times.
        const DIGITS_MIN: usize = 7;
        const SHOWN: usize = 4;
        let mut rest = self.0;
        while let Some(start) = rest.find(|next: char| next.is_ascii_digit()) {
            let len = rest[start..].find(|next: char| !next.is_ascii_digit()).unwrap_or(rest.len() - start);
            f.write_str(&rest[..start])?;
            let digits = &rest[start..start + len];
            match len {
                DIGITS_MIN.. => write!(f, "****{}", &digits[len - SHOWN..])?,
                _ => f.write_str(digits)?,
            }
            rest = &rest[start + len..];
        }
        f.write_str(rest)
    }
}

/// Whether the bytes are UTF-8. Nearly all are printable ASCII, which is checked first because it
/// is faster.
pub(super) fn is_utf8(bytes: &[u8]) -> bool {
    words::is_printable(bytes) || core::str::from_utf8(bytes).is_ok()
}

/// Takes a device's bytes as a text: `None` if it is longer than `N` or not printable ASCII.
pub fn text_from<const N: usize>(bytes: &[u8]) -> Option<Text<N>> {
    if !words::is_printable(bytes) {
        return None;
    }
    Text::of_utf8(bytes)
}

/// Makes a text for a person's terminal of any bytes: a byte that is not printable ASCII becomes
/// `?`, and bytes beyond `N` are left out.
pub(crate) fn text_from_lossy<const N: usize>(bytes: &[u8]) -> Text<N> {
    let bytes = &bytes[..bytes.len().min(N)];
    if let Some(text) = text_from(bytes) {
        return text;
    }
    let mut text = Text::new();
    for byte in bytes {
        let printable = if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '?' };
        text.push(printable).expect("at most N ASCII characters were taken");
    }
    text
}

/// Makes a text for the ledger of any bytes: GBK becomes UTF-8. Control characters stay, since the
/// ledger escapes them. Invalid GBK and zero bytes, which no line may hold, become `?`. Text beyond
/// `N` is left out.
pub fn text_of_gbk<const N: usize>(bytes: &[u8]) -> Text<N> {
    if let Some(text) = text_from(bytes) {
        return text;
    }
    let mut text = Text::new();
    let mut has_room = true;
    gbk::for_each_character(bytes, |character| {
        let kept = if matches!(character, '\0' | char::REPLACEMENT_CHARACTER) { '?' } else { character };
        has_room = has_room && text.push(kept).is_ok();
    });
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_compare_as_the_strings_that_they_are() {
        let words = ["", "a", "a\0", "a\0b", "ab", "aб", "b", "zzzzzzzz", "张", "张三", "\u{7f}", "\0"];
        for (one, other) in words.iter().flat_map(|one| words.iter().map(move |other| (*one, *other))) {
            let texts = [one, other].map(|word| Text::<8>::try_from(word).expect("eight bytes at most"));
            assert_eq!(texts[0].cmp(&texts[1]), one.cmp(other), "{one:?} {other:?}");
            assert_eq!(texts[0] == texts[1], one == other);
            assert_eq!(texts[0] == *other, one == other);
            // Whatever stood there before, nothing is left of it.
            let mut grown = Text::<8>::new();
            assert_eq!(one.chars().try_for_each(|character| grown.push(character)), Ok(()));
            assert_eq!((grown, grown.as_str()), (texts[0], one));
        }
        assert_eq!(Text::<2>::try_from("张"), Err(TooLong));
        let mut full = Text::<4>::try_from("abc").expect("it is short");
        assert_eq!((full.push('张'), full.as_str()), (Err(TooLong), "abc"), "whole or not at all");
        assert_eq!(Text::<4>::from_utf8(b"\xE5\xBC"), None);
    }

    #[test]
    fn of_a_value_the_last_four_digits_are_shown_whatever_stands_between_them() {
        for (value, shown) in [
            ("8888888801", "****8801"),
            ("@8888888801", "@****8801"),
            ("'8888888801", "'****8801"),
            ("=\"8888888801\"", "=\"****8801\""),
            ("卡8888888801号", "卡****8801号"),
            ("88 8888 8801", "**** **** 8801"),
            ("８８８８８８８８０１", "****８８０１"),
            ("张三8888888801李四42", "张三****01李四42"),
            ("*8888888801", "*****8801"),
            ("S001", "S001"),
            ("", ""),
        ] {
            assert_eq!(Hidden(value).to_string(), shown);
        }
        for (account, shown) in [
            ("@0000008801", "@****8801"),
            ("2024000001", "****0001"),
            ("88801", "****8801"),
            ("S2024000001", "S****0001"),
            ("S2024001", "S2024001"),
            ("A00001", "A00001"),
        ] {
            assert_eq!(HiddenAccount(account).to_string(), shown);
        }
    }

    proptest! {
        #![proptest_config(crate::proptest_config())]

        #[test]
        fn a_hidden_value_has_four_digits_at_most_and_its_other_letters(value in "([0-9]{0,6}|[@ 'a-z张０-９]{0,3}){0,6}") {
            let digits = |text: &str| text.chars().filter(|next| next.is_numeric()).collect::<String>();
            let letters = |text: &str| text.chars().filter(|next| !next.is_numeric() && *next != '*').collect::<String>();
            let shown = Hidden(&value).to_string();
            prop_assert!(digits(&shown).chars().count() <= 4);
            prop_assert!(digits(&value).ends_with(&digits(&shown)));
            prop_assert_eq!(letters(&shown), letters(&value));
        }
    }

    #[test]
    fn a_raw_text_shows_no_cards_number() {
        let shown = |text| Unnumbered(text).to_string();
        assert_eq!(shown("109,00042,00003,8888888801,008"), "109,00042,00003,****8801,008");
        assert_eq!(shown("2026-11-22 12:00:00,1234567"), "2026-11-22 12:00:00,****4567");
        assert_eq!(shown("x"), "x");
        assert_eq!(shown(""), "");
    }

    #[test]
    fn what_a_device_says_is_kept_as_it_says_it() {
        assert_eq!(text_of_gbk::<8>(b"\xD5\xC5\t\x1B"), "张\t\u{1b}");
        assert_eq!(text_of_gbk::<8>(b"\xFF\0\xD5"), "???");
        assert_eq!(text_of_gbk::<5>(b"\xD5\xC5\xC8\xFDa"), "张", "a character that does not fit ends it");
    }
}
