//! A ledger entry: the columns of design.md, section 7, as values.
//!
//! The ledger writes entries as text and reads them back; applying them in order gives the book's
//! state. An entry has no crc: that belongs to the chain of lines.

use core::fmt::{self, Write as _};

use super::digits::number;
use super::figures::Figures;
use super::ids::{AccountId, CardNo, FrameSeq, MachineNo, Serial};
use super::money::{Balance, Money};
use super::reason::Reason;
use super::text::{Text, is_utf8};
use super::time::{Civil, Date, DeviceTime, Stamp};
use crate::engine::limits::DETAIL_LEN_MAX;

/// An entry's number: 1, 2, 3 …, never reused. Zero means "before the first entry".
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
    /// The last known one.
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

/// Whether the wall clock was believed when the entry was made (design.md, section 11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockState {
    /// Believed.
    #[default]
    Ok,
    /// Earlier than the ledger or the program's build date, or not yet set.
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
            /// All kinds, in the order of design.md, section 7.
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
    /// A sale that the terminal made offline (105).
    Offline "offline"
    /// A sale tried again: approved again without effect; `ref` is the first entry.
    Repeat "repeat"
    /// A sale that was booked before, received again as 103 or 105: no effect; `ref` is the first
    /// entry.
    Matched "matched"
    /// A refused sale.
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
    /// A correction by an operator.
    Adjust "adjust"
    /// A sale or a credit undone by an operator, in full or in part.
    Void "void"
    /// A card put on an account: a new card for an old one, another account, or another holder.
    Link "link"
    /// A mark set on a card or ended by an operator.
    Status "status"
    /// A door opened for a card or a PIN.
    Admit "admit"
    /// A door kept shut.
    Refuse "refuse"
    /// A door opened by an operator.
    Remote "remote"
    /// An event that a person should look at.
    Alarm "alarm"
    /// Keys pressed on a terminal (106).
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
    /// The ledger goes on under another id, by an operator's order: the branch's first entry.
    Branch "branch"
    /// A person acknowledged that the ledger was an older copy; `ref` is the `start` that found it.
    Acknowledge "acknowledge"
    /// A kind of a later version: read, never written. Its amounts move its account; it has no
    /// other effect.
    Other "other"
}

impl Kind {
    /// Whether results must wait until the entry is durable (design.md, section 7).
    pub const fn is_committed(self) -> bool {
        match self {
            Self::Open | Self::Charge | Self::Meal | Self::Scan | Self::Offline | Self::Repeat | Self::Matched => true,
            Self::TopUp | Self::Subsidy | Self::PayOut | Self::Adjust | Self::Void | Self::Link | Self::Status => true,
            Self::Admit | Self::Remote | Self::Branch | Self::Acknowledge => true,
            Self::Decline | Self::Confirm | Self::Unconfirmed | Self::Refuse | Self::Alarm | Self::Keys => false,
            Self::Boot | Self::Clock | Self::Start | Self::Reload | Self::Stop | Self::Other => false,
        }
    }

    /// Whether entries of this kind are limited per minute (design.md, section 7).
    pub const fn is_limited(self) -> bool {
        matches!(self, Self::Decline | Self::Refuse | Self::Keys | Self::Boot | Self::Alarm)
    }

    /// Whether an entry of this kind is a sale, which counts for its day and period.
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
    /// Column 8; of a 128 the card that its code names.
    pub card: Option<CardNo>,
    /// Column 9.
    pub account: Option<AccountId>,
    /// Column 10: the signed effect on the balance.
    pub amount: Option<Balance>,
    /// Column 11: the signed effect on the subsidy.
    pub subsidy: Option<Balance>,
    /// Column 12: the signed effect on the uses.
    pub uses: Option<i32>,
    /// Column 13: the account's balance after this entry.
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

// Half of it is the detail. With numbers of 24 bytes, 32 in an `Option`, it had 48 more.
const _: () = assert!(size_of::<Entry>() <= 624, "an entry grew: see docs/performance.md");

impl Entry {
    /// An entry with only kind, time and clock. Its seq is 0 until it is known.
    ///
    /// Not inline: so a caller's entry is made where it stays, not elsewhere and copied.
    #[inline(never)]
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
            detail: Detail { text: [0; DETAIL_LEN_MAX], len: 0, keys: 0, day: None },
        }
    }

    /// Becomes a copy of `other`: of the detail only the bytes that it has are copied.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        let Self {
            seq,
            time,
            clock,
            kind,
            machine,
            serial,
            frame,
            card,
            account,
            amount,
            subsidy,
            uses,
            balance,
            subsidy_left,
            uses_left,
            device_time,
            slot,
            about,
            detail,
        } = other;
        self.seq = *seq;
        self.time = *time;
        self.clock = *clock;
        self.kind = *kind;
        self.machine = *machine;
        self.serial = *serial;
        self.frame = *frame;
        self.card = *card;
        self.account = *account;
        self.amount = *amount;
        self.subsidy = *subsidy;
        self.uses = *uses;
        self.balance = *balance;
        self.subsidy_left = *subsidy_left;
        self.uses_left = *uses_left;
        self.device_time = *device_time;
        self.slot = *slot;
        self.about = *about;
        self.detail.copy_from(detail);
    }

    /// Fills in the columns of the account: `before`, what it held, and the entry's effect on it.
    pub(crate) fn enter_account(&mut self, account: AccountId, before: Figures, effect: Figures) {
        let after = before + effect;
        self.account = Some(account);
        (self.amount, self.subsidy, self.uses) = (Some(effect.balance), Some(effect.subsidy), Some(effect.uses));
        (self.balance, self.subsidy_left, self.uses_left) =
            (Some(after.balance), Some(after.subsidy), Some(after.uses));
    }

    /// The signed effect on the account; zero if no account is concerned.
    pub fn effect(&self) -> Figures {
        Figures {
            balance: self.amount.unwrap_or_default(),
            subsidy: self.subsidy.unwrap_or_default(),
            uses: self.uses.unwrap_or_default(),
        }
    }

    /// What the account holds after the entry.
    pub(crate) fn after(&self) -> Option<Figures> {
        Some(Figures { balance: self.balance?, subsidy: self.subsidy_left?, uses: self.uses_left? })
    }

    /// The device's time, if it is a date.
    pub(crate) fn at_device(&self) -> Option<Civil> {
        self.device_time.as_ref()?.civil
    }

    /// The device's time, if it was believed when the frame came (design.md, section 8).
    pub(crate) fn believed_at(&self) -> Option<Civil> {
        self.at_device().filter(|_| !self.detail.has("invalid"))
    }

    /// Whether the entry counts for its card's day and period. A stored sale whose time was not
    /// believed does not, nor does a void of one.
    pub fn is_counted(&self) -> bool {
        match self.kind {
            Kind::Offline | Kind::Void => !self.detail.has("invalid") && !self.is_void_of_credit(),
            _ => true,
        }
    }

    /// Whether the entry is a sale in count mode, or the void of one: a meal of its period.
    pub fn is_count_mode(&self) -> bool {
        match self.kind {
            Kind::Meal => true,
            // In a 103 `mode=` is the maker's last number.
            Kind::Offline | Kind::Void => self.detail.get("mode").is_some_and(|mode| mode.is("1")),
            _ => false,
        }
    }

    /// Whether the entry changes its account's figures.
    pub fn moves(&self) -> bool {
        self.effect() != Figures::ZERO
    }

    /// Whether the entry empties its account's subsidy purse, which may be empty.
    pub fn is_clear(&self) -> bool {
        self.kind == Kind::Subsidy && self.account.is_some() && self.detail.has("clear")
    }

    /// Whether the entry undoes a top-up or a subsidy, not a sale.
    pub fn is_void_of_credit(&self) -> bool {
        self.kind == Kind::Void && self.detail.has("of")
    }

    /// What a void gives back or takes back in all: its effect, and the subsidy of the sale that a
    /// clear has taken since.
    pub fn undone(&self) -> Balance {
        self.effect().money()
            + self.detail.get("cleared").and_then(|fen| Balance::parse(fen.0.as_bytes())).unwrap_or_default()
    }

    /// Sales that the entry adds to its card's day: 1, 0, or -1 for a void in full.
    pub fn sales(&self) -> i8 {
        match self.kind {
            kind if kind.is_sale() && !self.detail.has("claimed") => 1,
            Kind::Void if !self.is_partial() && !self.is_void_of_credit() => -1,
            _ => 0,
        }
    }

    /// Whether a 105 led to the entry, booked or not.
    pub(crate) fn is_of_record(&self) -> bool {
        self.kind == Kind::Offline || (self.kind == Kind::Matched && self.detail.code() == Some(105))
    }

    /// Whether the entry is a void of a part of its sale or credit.
    pub fn is_partial(&self) -> bool {
        self.kind == Kind::Void && self.detail.has("rest")
    }

    /// Whether the entry has an effect on its account or card that lasts, also if the table no
    /// longer has them. A sale of zero counts too, and so does a void that gives nothing back
    /// because a clear has taken it: it is taken off the day.
    pub(crate) fn is_lasting(&self) -> bool {
        let is_mark = matches!(self.kind, Kind::Status | Kind::Link | Kind::Open | Kind::Void) || self.is_clear();
        is_mark || self.moves() || self.sales() != 0
    }

    /// Whether results must wait until the entry is durable: by its kind, or because it is a duress
    /// alarm (design.md, section 7).
    pub fn is_committed(&self) -> bool {
        self.kind.is_committed() || self.is_duress()
    }

    /// Whether the entry is the alarm of a duress PIN.
    pub fn is_duress(&self) -> bool {
        self.kind == Kind::Alarm && self.detail.get("rule").is_some_and(|rule| rule.is("duress"))
    }
}

/// The `detail` column: words `key=value` with one space between them. In a value, `%`, space, `=`
/// and control characters are `%XX`. It is kept in the form that the ledger writes.
#[derive(Clone, Copy)]
pub struct Detail {
    /// UTF-8; the bytes after `len` mean nothing.
    text: [u8; DETAIL_LEN_MAX],
    len: u16,
    /// The [`key_bit`]s of all keys in the text.
    keys: u32,
    /// The value of `day=`, if it was known without parsing.
    day: Option<Date>,
}

impl Default for Detail {
    fn default() -> Self {
        Self { text: [0; DETAIL_LEN_MAX], len: 0, keys: 0, day: None }
    }
}

/// The bit of a key, one of 32, from its first byte and its length. Most lookups are for keys that
/// are not there; without these bits a sale takes 13 % more instructions (17,412 instead of 15,408,
/// x86_64).
const fn key_bit(key: &[u8]) -> u32 {
    match key {
        [first, ..] => 1 << ((*first as usize + key.len()) % 32),
        [] => 0,
    }
}

impl Detail {
    /// From the column's text in a ledger; `None` if it is too long.
    #[cfg(test)]
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut detail = Self::default();
        detail.set(text.as_bytes())?;
        Some(detail)
    }

    /// Replaces all words by the column's text in a ledger; `None` if it is too long or not UTF-8.
    pub fn set(&mut self, text: &[u8]) -> Option<()> {
        self.clear();
        if !is_utf8(text) || !self.extend(text) {
            return None;
        }
        let mut rest = text;
        while let Some(len) = rest.iter().position(|byte| *byte == b'=') {
            // A value has no `=`, and a word without `=` is not a key.
            let key = rest[..len].rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            self.keys |= key_bit(key);
            rest = &rest[len + 1..];
        }
        self.day = self.value("day").and_then(Date::parse);
        Some(())
    }

    /// Becomes a copy of `other`: only the bytes that it has are copied.
    fn copy_from(&mut self, other: &Self) {
        self.clear();
        assert!(self.extend(other.as_bytes()), "both have the same room");
        (self.keys, self.day) = (other.keys, other.day);
    }

    /// Removes all words.
    pub fn clear(&mut self) {
        (self.len, self.keys, self.day) = (0, 0, None);
    }

    /// The column's text as the ledger writes it; empty if there are no words.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).expect("only whole texts are added")
    }

    /// The column's text as the ledger writes it; empty if there are no words.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.len)]
    }

    /// Adds UTF-8 bytes, all or none; `false` if they do not fit.
    fn extend(&mut self, bytes: &[u8]) -> bool {
        let len = usize::from(self.len);
        let Some(room) = self.text.get_mut(len..len + bytes.len()) else { return false };
        room.copy_from_slice(bytes);
        self.len += bytes.len() as u16;
        true
    }

    /// Adds a word. A value that does not fit is cut between two characters; the words before it
    /// stay as they are.
    pub fn push(&mut self, key: &str, value: impl fmt::Display) {
        if self.begin(key) {
            // A value that does not fit stays cut.
            let _cut = write!(Escape(self), "{value}");
        }
    }

    /// Adds a word whose value needs no escaping: faster than [`Detail::push`], for sales.
    pub fn push_plain(&mut self, key: &str, value: &str) {
        self.push_bytes(key, value.as_bytes());
    }

    /// Adds the business day that a sale counts for.
    pub(crate) fn push_day(&mut self, day: Date) {
        let Some(text) = day.text() else { return self.push("day", day) };
        self.push_bytes("day", text.as_bytes());
        // Only if the word fit, because a replay sees only the text.
        self.day = (self.keys & key_bit(b"day") != 0).then_some(day);
    }

    /// Adds a word whose value is escaped already, or nothing if it does not fit.
    pub(crate) fn push_word(&mut self, key: &str, value: Value<'_>) {
        self.push_bytes(key, value.0.as_bytes());
    }

    fn push_bytes(&mut self, key: &str, value: &[u8]) {
        let (before, keys) = (self.len, self.keys);
        if self.begin(key) && !self.extend(value) {
            (self.len, self.keys) = (before, keys);
        }
    }

    /// Adds a key and its `=`, or nothing and returns `false` if they do not fit.
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

    /// The detail with one more word.
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

    /// Whether there is a word with this key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
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

    /// The value of `reason=`.
    pub fn reason(&self) -> Option<Reason> {
        self.get("reason").and_then(|value| Reason::from_word(value.0))
    }

    /// The value of `code=`: the frame's code.
    pub fn code(&self) -> Option<u16> {
        u16::try_from(number(self.value("code")?)?).ok()
    }

    /// The value of `asked=`: the amount asked for.
    pub fn asked(&self) -> Option<Money> {
        Money::parse(self.value("asked")?)
    }

    /// The value of `day=`: the business day for which a sale counts.
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

/// A value of a detail, still escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a>(pub &'a str);

impl Value<'_> {
    /// Whether nothing in the value is escaped.
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
        // The fast path: nearly all values need no escaping.
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
    fn a_pushed_value_is_read_back() {
        let nasty = "50% off = a\tb\nc 张三";
        let detail = Detail::default().with("note", nasty).with("reason", "lost");
        assert!(detail.as_str().starts_with("note=50%25%20off%20%3D%20a%09b%0Ac%20张三 reason=lost"));
        assert!(detail.get("note").expect("there").is(nasty));
        assert_eq!(detail.reason(), Some(Reason::Lost));
        assert_eq!(detail.get("rule"), None);
    }

    #[test]
    fn only_keys_in_the_detail_are_found_pushed_or_read() {
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
    fn a_value_that_is_cut_spoils_no_word_before_it() {
        let detail = Detail::default().with("reason", "lost").with("note", "长".repeat(500)).with("by", "x");
        assert!(detail.as_str().len() <= DETAIL_LEN_MAX);
        assert_eq!(detail.reason(), Some(Reason::Lost));
    }
}
