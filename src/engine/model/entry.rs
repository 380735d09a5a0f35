//! One ledger entry: every column of design.md, section 7, as values.
//!
//! The ledger's text is made of these and read back into these; the book's state is what applying
//! them in order gives. Entries carry no crc: that belongs to the chain of lines.

use core::fmt::{self, Write as _};

use super::digits::number;
use super::ids::{AccountId, CardNo, FrameSeq, MachineNo, Serial};
use super::money::{Balance, Money};
use super::reason::Reason;
use super::text::{Text, is_utf8};
use super::time::{Civil, Date, DeviceTime, Stamp};
use crate::engine::limits::DETAIL_LEN_MAX;

/// An entry's number: 1, 2, 3 … for ever, never reused. Zero is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntrySeq(pub u64);

impl EntrySeq {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for EntrySeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Entries that an older copy of a ledger lacks (design.md, section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingEntries {
    /// The first one.
    pub first: EntrySeq,
    /// The last one that is known of.
    pub last: EntrySeq,
}

impl fmt::Display for MissingEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl MissingEntries {
    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        let gone = Self { first: EntrySeq(first.parse().ok()?), last: EntrySeq(last.parse().ok()?) };
        Some(gone).filter(|gone| gone.first <= gone.last)
    }
}

/// Whether the wall clock could be believed when the entry was made (design.md, section 11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockState {
    /// Believed.
    #[default]
    Ok,
    /// Behind the ledger, behind the program, or not yet set.
    Unset,
}

impl ClockState {
    /// The ledger's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unset => "unset",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $word:literal)*) => {
        /// What an entry records.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            /// All of them, in the order of design.md, section 7.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The ledger's word.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The kind that a ledger's word names.
            pub fn from_word(word: impl AsRef<[u8]>) -> Option<Self> {
                let word = word.as_ref();
                $(if word == $word.as_bytes() { return Some(Self::$name); })*
                None
            }
        }
    };
}

kinds! {
    /// An account's opening figures, just before the first entry that moves it.
    Open "open"
    /// A sale by amount (103).
    Charge "charge"
    /// A sale in count mode (104, or 103 of 0.00).
    Meal "meal"
    /// A sale by a scanned code (128).
    Scan "scan"
    /// A sale that the terminal booked itself (105).
    Offline "offline"
    /// A sale tried again, recognized: approved again, no effect; `ref` is the first.
    Repeat "repeat"
    /// A sale already booked, recognized: no effect; `ref` is the first.
    Matched "matched"
    /// A sale refused.
    Decline "decline"
    /// A device's 109 for a committed entry.
    Confirm "confirm"
    /// Resending ended without a 109.
    Unconfirmed "unconfirmed"
    /// Credit paid by the holder.
    TopUp "topup"
    /// Credit paid by the employer.
    Subsidy "subsidy"
    /// Credit paid back.
    PayOut "payout"
    /// A correction by the operator.
    Adjust "adjust"
    /// A sale undone by the operator.
    Void "void"
    /// A new card that carries on an account.
    Link "link"
    /// A card's state changed by the operator.
    Status "status"
    /// A door opened for a card or a PIN.
    Admit "admit"
    /// A door kept shut.
    Refuse "refuse"
    /// A door opened by the operator.
    Remote "remote"
    /// Something a person should look at.
    Alarm "alarm"
    /// Keys pressed (106).
    Keys "keys"
    /// A device started (101).
    Boot "boot"
    /// The wall clock stepped.
    Clock "clock"
    /// The server started.
    Start "start"
    /// Configuration and cards were read again.
    Reload "reload"
    /// The server stopped.
    Stop "stop"
    /// The ledger goes on under another name: the first entry of the branch (an operator's order).
    Branch "branch"
    /// A person has seen that the ledger was an older copy; `ref` is the `start` that said so.
    Acknowledge "acknowledge"
    /// A kind of a later version: read, never written. It moves its account as its amounts say, and
    /// means nothing else.
    Other "other"
}

impl Kind {
    /// Whether no result may leave before the entry is durable (design.md, section 7).
    pub const fn is_committed(self) -> bool {
        match self {
            Self::Open | Self::Charge | Self::Meal | Self::Scan | Self::Offline | Self::Repeat | Self::Matched => true,
            Self::TopUp | Self::Subsidy | Self::PayOut | Self::Adjust | Self::Void | Self::Link | Self::Status => true,
            Self::Admit | Self::Remote | Self::Branch | Self::Acknowledge => true,
            Self::Decline | Self::Confirm | Self::Unconfirmed | Self::Refuse | Self::Alarm | Self::Keys => false,
            Self::Boot | Self::Clock | Self::Start | Self::Reload | Self::Stop | Self::Other => false,
        }
    }

    /// Whether entries of this kind are limited a minute (design.md, section 7).
    pub const fn is_limited(self) -> bool {
        matches!(self, Self::Decline | Self::Refuse | Self::Keys | Self::Boot | Self::Alarm)
    }

    /// Whether an entry of this kind is a sale that counts for the day and the period.
    pub const fn is_sale(self) -> bool {
        matches!(self, Self::Charge | Self::Meal | Self::Scan | Self::Offline)
    }
}

/// One line of the ledger, without its crc. A column that is `None` is written `\N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Column 1.
    pub seq: EntrySeq,
    /// Column 2.
    pub time: Stamp,
    /// Column 3.
    pub clock: ClockState,
    /// Column 4.
    pub kind: Kind,
    /// Column 5, as received.
    pub machine: Option<MachineNo>,
    /// Column 6, as received.
    pub serial: Option<Serial>,
    /// Column 7: the frame's seq, as received.
    pub frame: Option<FrameSeq>,
    /// Column 8; for a 128 the card whose code it is.
    pub card: Option<CardNo>,
    /// Column 9.
    pub account: Option<AccountId>,
    /// Column 10: the signed effect on the balance.
    pub amount: Option<Balance>,
    /// Column 11: the signed effect on the subsidy purse; zero where an account is concerned, until
    /// that purse has rules.
    pub subsidy: Option<Balance>,
    /// Column 12: the signed effect on the uses.
    pub uses: Option<i32>,
    /// Column 13: the account's sum after this entry.
    pub balance: Option<Balance>,
    /// Column 14: the account's subsidy after this entry.
    pub subsidy_left: Option<Balance>,
    /// Column 15: the account's uses after this entry.
    pub uses_left: Option<i32>,
    /// Column 16: the device's time, raw.
    pub device_time: Option<DeviceTime>,
    /// Column 17: 105: record address; 128: command number; 150: `reader:door`.
    pub slot: Option<Text<32>>,
    /// Column 18: the entry this one is about.
    pub about: Option<EntrySeq>,
    /// Column 19.
    pub detail: Detail,
}

impl Entry {
    /// An entry of nothing but its kind, time and clock; the seq is the book's to give.
    pub fn new(kind: Kind, time: Stamp, clock: ClockState) -> Self {
        Self {
            seq: EntrySeq(0),
            time,
            clock,
            kind,
            machine: None,
            serial: None,
            frame: None,
            card: None,
            account: None,
            amount: None,
            subsidy: None,
            uses: None,
            balance: None,
            subsidy_left: None,
            uses_left: None,
            device_time: None,
            slot: None,
            about: None,
            detail: Detail::default(),
        }
    }

    /// The device's time, if it is a date.
    pub(crate) fn at_device(&self) -> Option<Civil> {
        self.device_time.as_ref()?.civil
    }

    /// The device's time, if it was believed when the frame came (design.md, section 8).
    pub(crate) fn believed_at(&self) -> Option<Civil> {
        self.at_device().filter(|_| self.detail.get("invalid").is_none())
    }

    /// Whether the entry counts for its card's day and period: not a stored sale whose time was not
    /// believed, nor a void of one.
    pub fn is_counted(&self) -> bool {
        match self.kind {
            Kind::Offline | Kind::Void => self.detail.get("invalid").is_none(),
            _ => true,
        }
    }

    /// Whether the entry moves its account.
    pub fn moves(&self) -> bool {
        let is_sum = |sum: Option<Balance>| sum.is_some_and(|sum| sum != Balance::ZERO);
        is_sum(self.amount) || is_sum(self.subsidy) || self.uses.is_some_and(|uses| uses != 0)
    }

    /// Sales that the entry adds to its card's day: 1, -1 for one that is undone as a whole, or 0.
    pub fn sales(&self) -> i8 {
        match self.kind {
            kind if kind.is_sale() && self.detail.get("claimed").is_none() => 1,
            Kind::Void if !self.is_partial() => -1,
            _ => 0,
        }
    }

    /// Whether the entry is what a 105 led to, booked or not.
    pub(crate) fn is_of_record(&self) -> bool {
        self.kind == Kind::Offline || (self.kind == Kind::Matched && self.detail.code() == Some(105))
    }

    /// Whether the entry is a void that leaves something of its sale: the sale stands.
    pub fn is_partial(&self) -> bool {
        self.kind == Kind::Void && self.detail.get("rest").is_some()
    }

    /// Whether the entry says something of its account and card that outlives a table without them,
    /// be it a sale of nothing.
    pub(crate) fn is_lasting(&self) -> bool {
        self.moves() || self.sales() != 0 || matches!(self.kind, Kind::Status | Kind::Link | Kind::Open)
    }

    /// Whether nothing may rest on the entry before it is durable: its kind says so, or it is a
    /// duress alarm, which is committed too (design.md, section 7).
    pub fn is_committed(&self) -> bool {
        self.kind.is_committed() || self.is_duress()
    }

    /// Whether the entry is the alarm of a duress PIN.
    pub fn is_duress(&self) -> bool {
        self.kind == Kind::Alarm && self.detail.get("rule").is_some_and(|rule| rule.is("duress"))
    }
}

/// The `detail` column: words `key=value`, one space between; `%`, space, `=` and control
/// characters of a value as `%XX`. Kept as the ledger writes it.
#[derive(Clone, Copy)]
pub struct Detail {
    /// UTF-8; what is behind its end is left over.
    text: [u8; DETAIL_LEN_MAX],
    len: u16,
    /// The [`key_bit`]s of all keys in the text.
    keys: u32,
    /// The day that the book asks for, where it was at hand when the word was added.
    day: Option<Date>,
}

impl Default for Detail {
    fn default() -> Self {
        Self { text: [0; DETAIL_LEN_MAX], len: 0, keys: 0, day: None }
    }
}

/// One of 32 bits for each key, by its first byte and its length. Most keys that are asked for are
/// not there; without these bits a sale takes 13 % more instructions (17,412 instead of 15,408,
/// x86_64).
const fn key_bit(key: &[u8]) -> u32 {
    match key {
        [first, ..] => 1 << ((*first as usize + key.len()) % 32),
        [] => 0,
    }
}

impl Detail {
    /// Takes a column as a ledger holds it; `None` if it is too long.
    #[cfg(test)]
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut detail = Self::default();
        detail.set(text.as_bytes())?;
        Some(detail)
    }

    /// Takes another column; `None` if it is too long, or not UTF-8.
    pub fn set(&mut self, text: &[u8]) -> Option<()> {
        self.clear();
        if !is_utf8(text) || !self.extend(text) {
            return None;
        }
        let mut rest = text;
        while let Some(len) = rest.iter().position(|byte| *byte == b'=') {
            // A value has none, and a word without one is no key.
            let key = rest[..len].rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            self.keys |= key_bit(key);
            rest = &rest[len + 1..];
        }
        self.day = self.value("day").and_then(Date::parse);
        Some(())
    }

    /// Takes all words away.
    pub fn clear(&mut self) {
        (self.len, self.keys, self.day) = (0, 0, None);
    }

    /// As the ledger writes it; empty for none.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).expect("only whole texts are added")
    }

    /// As the ledger writes it; empty for none.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.len)]
    }

    /// Adds bytes, all or none; they are UTF-8.
    fn extend(&mut self, bytes: &[u8]) -> bool {
        let len = usize::from(self.len);
        let Some(room) = self.text.get_mut(len..len + bytes.len()) else { return false };
        room.copy_from_slice(bytes);
        self.len += bytes.len() as u16;
        true
    }

    /// Adds a word. A value that does not fit any more is cut at a character; it never spoils the
    /// words before it.
    pub fn push(&mut self, key: &str, value: impl fmt::Display) {
        if self.begin(key) {
            // A full column cuts the value: what was written of it stands.
            let _cut = write!(Escape(self), "{value}");
        }
    }

    /// Adds a word whose value has nothing to escape: digits, or a word of ours. The same as
    /// [`Detail::push`], for sales.
    pub fn push_plain(&mut self, key: &str, value: &str) {
        self.push_bytes(key, value.as_bytes());
    }

    /// Adds the business day that a sale counts for.
    pub(crate) fn push_day(&mut self, day: Date) {
        let Some(text) = day.text() else { return self.push("day", day) };
        self.push_bytes("day", text.as_bytes());
        // Only if it fit: what a replay does not find was not said.
        self.day = (self.keys & key_bit(b"day") != 0).then_some(day);
    }

    /// Adds a word whose value is escaped as it stands, whole or not at all.
    pub(crate) fn push_word(&mut self, key: &str, value: Value<'_>) {
        self.push_bytes(key, value.0.as_bytes());
    }

    fn push_bytes(&mut self, key: &str, value: &[u8]) {
        let (before, keys) = (self.len, self.keys);
        if self.begin(key) && !self.extend(value) {
            (self.len, self.keys) = (before, keys);
        }
    }

    /// Adds a key and its `=`; `false` if they do not fit.
    fn begin(&mut self, key: &str) -> bool {
        let before = self.len;
        let fits = (before == 0 || self.extend(b" ")) && self.extend(key.as_bytes()) && self.extend(b"=");
        if fits {
            self.keys |= key_bit(key.as_bytes());
        } else {
            self.len = before;
        }
        fits
    }

    /// With one more word.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.push(key, value);
        self
    }

    /// The value of the first word with this key, still escaped.
    #[inline]
    pub fn get(&self, key: &str) -> Option<Value<'_>> {
        let value = self.value(key)?;
        Some(Value(core::str::from_utf8(value).expect("a word ends where a character does")))
    }

    #[inline]
    fn value(&self, key: &str) -> Option<&[u8]> {
        if self.keys & key_bit(key.as_bytes()) == 0 {
            return None;
        }
        self.find(key.as_bytes())
    }

    fn find(&self, key: &[u8]) -> Option<&[u8]> {
        let mut rest = self.as_bytes();
        loop {
            let end = rest.iter().position(|byte| *byte == b' ');
            let word = &rest[..end.unwrap_or(rest.len())];
            if let Some([b'=', value @ ..]) = word.strip_prefix(key) {
                return Some(value);
            }
            rest = &rest[end? + 1..];
        }
    }

    /// All words in order.
    pub fn words(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        self.as_str().split(' ').filter_map(|word| word.split_once('=')).map(|(key, value)| (key, Value(value)))
    }

    /// The refusal's reason.
    pub fn reason(&self) -> Option<Reason> {
        self.get("reason").and_then(|value| Reason::from_word(value.0))
    }

    /// The code of the frame that was decided.
    pub fn code(&self) -> Option<u16> {
        u16::try_from(number(self.value("code")?)?).ok()
    }

    /// The amount that was asked for.
    pub fn asked(&self) -> Option<Money> {
        Money::parse(self.value("asked")?)
    }

    /// The business day a sale counts for.
    pub fn day(&self) -> Option<Date> {
        self.day.or_else(|| Date::parse(self.value("day")?))
    }
}

impl PartialEq for Detail {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Detail {}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Detail({:?})", self.as_str())
    }
}

/// A detail's value as it stands in the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a>(pub &'a str);

impl Value<'_> {
    /// Whether the value is as it stands: nothing of it is escaped.
    pub fn is_plain(&self) -> bool {
        !self.0.contains('%')
    }

    /// Whether the value, unescaped, is `text`.
    pub fn is(&self, text: &str) -> bool {
        self.bytes().eq(text.bytes())
    }

    /// The unescaped bytes.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        let mut rest = self.0.as_bytes();
        core::iter::from_fn(move || {
            let (first, tail) = rest.split_first()?;
            let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            if let (b'%', [high, low, after @ ..]) = (*first, tail)
                && let (Some(high), Some(low)) = (hex(*high), hex(*low))
            {
                rest = after;
                return Some(high * 16 + low);
            }
            rest = tail;
            Some(*first)
        })
    }
}

/// Writes a value with `%`, space, `=` and control characters as `%XX`.
struct Escape<'a>(&'a mut Detail);

impl fmt::Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Nearly every value is digits or a word of ours.
        let is_plain = |byte: &u8| (b'!'..=b'~').contains(byte) && !matches!(byte, b'%' | b'=');
        if text.as_bytes().iter().all(is_plain) && self.0.extend(text.as_bytes()) {
            return Ok(());
        }
        for character in text.chars() {
            let mut utf8 = [0; 4];
            let utf8 = character.encode_utf8(&mut utf8).as_bytes();
            let before = self.0.len;
            let fits = if matches!(character, '%' | ' ' | '=') || character.is_control() {
                utf8.iter().all(|byte| self.0.extend(&[b'%', hex(byte >> 4), hex(byte & 0xF)]))
            } else {
                self.0.extend(utf8)
            };
            if !fits {
                self.0.len = before;
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

/// The digit of a number below 16.
fn hex(nibble: u8) -> u8 {
    b"0123456789ABCDEF"[usize::from(nibble)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_its_kind() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_word(kind.word()), Some(*kind));
        }
    }

    #[test]
    fn a_detail_gives_back_what_was_pushed() {
        let nasty = "50% off = a\tb\nc 张三";
        let detail = Detail::default().with("note", nasty).with("reason", "lost");
        assert!(detail.as_str().starts_with("note=50%25%20off%20%3D%20a%09b%0Ac%20张三 reason=lost"));
        assert!(detail.get("note").expect("there").is(nasty));
        assert_eq!(detail.reason(), Some(Reason::Lost));
        assert_eq!(detail.get("rule"), None);
    }

    #[test]
    fn every_key_is_found_and_no_other_wherever_the_detail_comes_from() {
        let keys: Vec<String> = ('a'..='z')
            .flat_map(|first| (0..4).map(move |len| format!("{first}{}", "xyz"[..len].to_owned())))
            .collect();
        let mut detail = Detail::default();
        for (count, key) in keys.iter().enumerate().take(40) {
            detail.push_plain(key, "1");
            let read = Detail::from_text(detail.as_str()).expect("it is as long");
            let copied = detail.words().fold(Detail::default(), |mut copy, (key, value)| {
                copy.push_word(key, value);
                copy
            });
            for (place, key) in keys.iter().enumerate() {
                let is_there = place <= count;
                assert!([&detail, &read, &copied].iter().all(|detail| detail.get(key).is_some() == is_there), "{key}");
            }
        }
        assert_eq!(Detail::from_text("=1 lone a==b").expect("short").get("a"), Some(Value("=b")));
    }

    #[test]
    fn a_full_detail_keeps_the_words_before_it_whole() {
        let detail = Detail::default().with("reason", "lost").with("note", "长".repeat(500)).with("by", "x");
        assert!(detail.as_str().len() <= DETAIL_LEN_MAX);
        assert_eq!(detail.reason(), Some(Reason::Lost));
    }
}
