//! Numbers and names as devices send them: digits with their width kept, short texts.
//!
//! Numbers compare by value, so `2` and `00002` are one machine, and echo as they were received
//! (protocol.md, *Field formats*). No calculation uses them, except the distance of two frame
//! numbers.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::num::NonZeroU8;
use core::ops::Deref;

use super::digits::number;
use super::text::{Text, TooLong};

/// A device's hardware serial: 10 digits, or 16 hexadecimal in sibling products; at most 20
/// characters. Kept as written and compared without regard to the case of ASCII letters: a label
/// may say `0A1B` and a frame `0a1b`.
#[derive(Clone, Copy)]
pub struct Serial(Text<20>);

impl Serial {
    /// As written.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether a field of a frame is this serial.
    pub fn is(&self, field: &[u8]) -> bool {
        // The fast path: nearly always all bytes are equal.
        self.0.as_bytes() == field || self.0.as_bytes().eq_ignore_ascii_case(field)
    }
}

impl From<Text<20>> for Serial {
    fn from(text: Text<20>) -> Self {
        Self(text)
    }
}

impl TryFrom<&str> for Serial {
    type Error = TooLong;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        Text::try_from(text).map(Self)
    }
}

impl Deref for Serial {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Serial {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.0.as_bytes())
    }
}

impl Eq for Serial {}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({:?})", &**self)
    }
}

/// An account's name. At most 24 bytes of UTF-8.
///
/// It is either an account of the table, such as a student or staff number (编号), or a card's own:
/// `OWN_MARK` and the card's ten digits (`CardNo::own_account`). An account of the table never
/// begins with the mark, so the two kinds never share a name.
pub type AccountId = Text<24>;

/// The first character of a card's own account, and of no other.
pub(crate) const OWN_MARK: char = '@';

/// Whether an account is a card's own.
pub(crate) fn is_own_account(account: &str) -> bool {
    account.starts_with(OWN_MARK)
}

/// Digits of the longest numbers that devices send.
pub(crate) const DIGITS_MAX: usize = 10;

/// One to ten decimal digits with their width, and their value, which is read far more often than
/// parsed. A sale copies some forty: in these 16 bytes each copy is four words, and no call of
/// `memcpy`.
#[derive(Clone, Copy)]
struct Digits {
    /// The value's lower 32 bits.
    low: u32,
    /// The others: ten digits have 34.
    high: u8,
    /// 1 to 10.
    len: NonZeroU8,
    bytes: [u8; DIGITS_MAX],
}

const _: () = assert!(size_of::<Option<Digits>>() == 16, "`None` needs no room of its own");

impl Digits {
    fn new(value: u64, bytes: [u8; DIGITS_MAX], len: u8) -> Option<Self> {
        Some(Self { low: value as u32, high: u8::try_from(value >> 32).ok()?, len: NonZeroU8::new(len)?, bytes })
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut bytes = [b'0'; DIGITS_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Self::new(number(text)?, bytes, text.len() as u8)
    }

    const fn value(&self) -> u64 {
        (self.high as u64) << 32 | self.low as u64
    }

    const fn len(&self) -> usize {
        self.len.get() as usize
    }

    /// The number with `len` digits; `value` must not have more.
    fn of(value: u64, len: u8) -> Self {
        let mut bytes = [b'0'; DIGITS_MAX];
        let mut rest = value;
        for digit in bytes[..usize::from(len)].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        assert!(rest == 0, "{value} has more than {len} digits");
        Self::new(value, bytes, len).expect("one to ten digits")
    }

    /// The number with ten digits.
    fn padded(&self) -> Self {
        let mut bytes = [b'0'; DIGITS_MAX];
        bytes[DIGITS_MAX - self.len()..].copy_from_slice(self.as_bytes());
        Self { bytes, len: const { NonZeroU8::new(DIGITS_MAX as u8).expect("ten") }, ..*self }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }
}

macro_rules! digits_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name(Digits);

        impl $name {
            /// One to ten decimal digits; `None` for anything else.
            pub fn parse(text: &[u8]) -> Option<Self> {
                Digits::parse(text).map(Self)
            }

            /// The digits as received.
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }

            /// The digits as received, padded to a fixed array, and their count.
            pub const fn as_array(&self) -> (&[u8; DIGITS_MAX], usize) {
                (&self.0.bytes, self.0.len())
            }

            /// The digits as received.
            pub fn as_str(&self) -> &str {
                core::str::from_utf8(self.0.as_bytes()).expect("digits are ASCII")
            }

            /// The number, for comparing and looking up.
            pub const fn value(&self) -> u64 {
                self.0.value()
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.value() == other.value()
            }
        }

        impl Eq for $name {}

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.value().hash(state);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.as_str())
            }
        }
    };
}

digits_type! {
    /// The number an operator gave a device (机号), 5 digits by habit.
    MachineNo
}
digits_type! {
    /// A device's frame number (包序列号), 5 digits by habit: echoed as received. It likely wraps
    /// at 65535.
    FrameSeq
}
digits_type! {
    /// A card's number (卡号): up to 10 decimal digits, beyond 32 bits.
    CardNo
}
digits_type! {
    /// A reader's or a door's number on a board (读头号, 门号): compared by value, echoed as
    /// received.
    UnitNo
}

impl MachineNo {
    /// The number with five digits, as devices write it.
    pub fn from_value(value: u16) -> Self {
        Self(Digits::of(u64::from(value), 5))
    }
}

impl FrameSeq {
    /// The number with five digits, as devices write it.
    pub fn from_value(value: u16) -> Self {
        Self(Digits::of(u64::from(value), 5))
    }

    /// Whether this frame was sent before `other`; frame numbers count modulo 65,536 (design.md,
    /// section 10).
    pub fn is_behind(&self, other: &Self) -> bool {
        let distance = self.value().wrapping_sub(other.value()) & 0xFFFF;
        distance >= 0x8000
    }
}

impl CardNo {
    /// The number with ten digits, as the ledger and the table write it.
    ///
    /// # Panics
    /// If `value` has more than ten digits.
    pub fn from_value(value: u64) -> Self {
        Self(Digits::of(value, 10))
    }

    /// The number with ten digits, whatever width was received.
    #[must_use]
    pub fn padded(&self) -> Self {
        Self(self.0.padded())
    }

    /// The card's own account, which it has unless the table names another.
    ///
    /// # Panics
    /// Never: a mark and ten digits fit an account's 24 bytes.
    pub(crate) fn own_account(&self) -> AccountId {
        let mut account = AccountId::new();
        account.push(OWN_MARK).expect("a mark fits 24 bytes");
        account.push_str(self.padded().as_str()).expect("ten digits more fit 24 bytes");
        account
    }

    /// The number for a log, with only its last four digits.
    pub fn masked(&self) -> Masked {
        Masked(self.value())
    }
}

/// A card number of which only the last four digits are shown.
pub struct Masked(u64);

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "****{:04}", self.0 % 10_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value_and_echo_as_received() {
        let short = CardNo::parse(b"88").expect("digits");
        let long = CardNo::parse(b"0000000088").expect("digits");
        assert_eq!(short, long);
        assert_eq!(short.as_bytes(), b"88");
        assert_eq!(short.padded().as_bytes(), b"0000000088");
        assert_eq!(long.masked().to_string(), "****0088");
        for wrong in [&b""[..], b"12345678901", b"12a", b" 1", b"-1"] {
            assert!(CardNo::parse(wrong).is_none());
        }
    }

    #[test]
    fn a_card_s_own_account_is_never_an_account_of_a_table() {
        let card = CardNo::parse(b"88").expect("digits");
        assert_eq!(card.own_account().as_str(), "@0000000088");
        for other in ["0000000088", "S001", "@88", "@00000000088", "@000000008x", "", "@", "\u{ff20}0000000088"] {
            assert_eq!(is_own_account(other), other.starts_with('@'), "{other}");
        }
    }

    #[test]
    fn serials_compare_without_regard_to_case_and_stay_as_they_were_written() {
        let (label, frame) = (Serial::try_from("0A1b").expect("short"), Serial::try_from("0a1B").expect("short"));
        assert_eq!(label, frame);
        assert_eq!((label.to_string(), &*frame), ("0A1b".to_owned(), "0a1B"));
        assert_ne!(label, Serial::try_from("0A1b2").expect("short"));
    }

    #[test]
    fn a_frame_number_is_before_another_across_the_wrap() {
        let seq = |value| FrameSeq::from_value(value);
        assert!(seq(9).is_behind(&seq(10)));
        assert!(!seq(10).is_behind(&seq(10)));
        assert!(!seq(11).is_behind(&seq(10)));
        assert!(seq(65_535).is_behind(&seq(0)));
        assert!(!seq(0).is_behind(&seq(65_535)));
    }
}
