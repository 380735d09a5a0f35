//! One line of the ledger: an [`Entry`] as text, and back (design.md, section 7).
//!
//! ```text
//! seq ⇥ time ⇥ clock ⇥ kind ⇥ machine ⇥ serial ⇥ frame ⇥ card ⇥ account ⇥ amount ⇥ subsidy ⇥ uses
//!     ⇥ balance ⇥ subsidy_left ⇥ uses_left ⇥ device_time ⇥ slot ⇥ ref ⇥ detail ⇥ crc ␊
//! ```
//!
//! The text is PostgreSQL's COPY format: `\\ \t \n \r` escaped, `\N` for none, UTF-8. The crc is
//! CRC-32 as zlib computes it, continued from the crc of the line before, over the line up to and
//! including the tab before it.
//!
//! What always holds: `parse` returns what `emit` was given; a line holds no zero byte (PostgreSQL
//! accepts none, and recovery takes zeros for a page that never reached the medium); a line fits
//! [`LINE_LEN_MAX`]. Its longest columns, with every byte of a text escaped and the tab or LF after
//! each:
//!
//! | column | bytes | | column | bytes |
//! |---|---|---|---|---|
//! | seq | 20 + 1 | | subsidy | 21 + 1 |
//! | time | 29 + 1 | | uses | 11 + 1 |
//! | clock | 5 + 1 | | balance | 21 + 1 |
//! | kind | 11 + 1 | | subsidy_left | 21 + 1 |
//! | machine | 10 + 1 | | uses_left | 11 + 1 |
//! | serial | 2·20 + 1 | | device_time | 2·32 + 1 |
//! | frame | 10 + 1 | | slot | 2·32 + 1 |
//! | card | 10 + 1 | | ref | 20 + 1 |
//! | account | 2·24 + 1 | | detail | 2·300 + 1 |
//! | amount | 21 + 1 | | crc | 8 + 1 |
//!
//! which is 1065 ([`LINE_LEN_BOUND`]), at most 1088.

use core::fmt;
use core::ops::Range;

use crate::engine::limits::{DETAIL_LEN_MAX, LINE_LEN_MAX};
use crate::engine::model::digits::{fill, hexadecimal, number, put_signed, put_whole, put_yuan};
use crate::engine::model::ids::DIGITS_MAX;
use crate::engine::model::{
    AccountId, Balance, CardNo, ClockState, DeviceTime, Entry, EntrySeq, FrameSeq, Kind, MachineNo, Serial, Stamp,
    Text, Wall,
};
use crate::engine::words;
use crate::lang::{Text as Words, tr};

use super::Head;

/// The names of the columns, for the manual and messages.
pub const COLUMNS: [&str; 20] = [
    "seq",
    "time",
    "clock",
    "kind",
    "machine",
    "serial",
    "frame",
    "card",
    "account",
    "amount",
    "subsidy",
    "uses",
    "balance",
    "subsidy_left",
    "uses_left",
    "device_time",
    "slot",
    "ref",
    "detail",
    "crc",
];

/// The sum of the module's table: the most bytes of a line, LF included.
pub const LINE_LEN_BOUND: usize = (20 + 29 + 5 + 11) // seq, time, clock, kind
    + (10 + 2 * 20 + 10 + 10 + 2 * 24) // machine, serial, frame, card, account
    + (21 + 21 + 11) // amount, subsidy, uses
    + (21 + 21 + 11) // balance, subsidy_left, uses_left
    + (2 * 32 + 2 * 32 + 20 + 2 * DETAIL_LEN_MAX + 8) // device_time, slot, ref, detail, crc
    + COLUMNS.len(); // 19 tabs and the LF

const _: () = assert!(LINE_LEN_BOUND <= LINE_LEN_MAX, "the longest line fits");

/// What [`emit`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// Bytes of the line, LF included.
    pub len: usize,
    /// The line's crc, from which the next line continues.
    pub crc: u32,
}

/// Writes an entry as a line that continues the chain from the crc `chain`. Allocates nothing.
///
/// A time before year 1 or after year 9999 is written as the nearest that RFC 3339 can write.
pub fn emit(entry: &Entry, chain: u32, out: &mut [u8; LINE_LEN_MAX]) -> Emitted {
    Emitter::default().emit(entry, chain, out)
}

/// Writes lines in sequence and keeps the text of the last time: most times equal the one before,
/// or differ in their milliseconds. Without this a sale takes 2.2 % more instructions (15,739
/// instead of 15,408, x86_64).
#[derive(Debug)]
pub struct Emitter {
    /// The time that was written last.
    last: Stamp,
    /// Its text.
    text: [u8; STAMP_LEN],
}

/// `2026-11-22T12:00:01.234+08:00`.
const STAMP_LEN: usize = 29;

impl Default for Emitter {
    fn default() -> Self {
        Self { last: Stamp::default(), text: stamp_text(Stamp::default()) }
    }
}

impl Emitter {
    /// Writes an entry: see [`emit`].
    pub fn emit(&mut self, entry: &Entry, chain: u32, out: &mut [u8; LINE_LEN_MAX]) -> Emitted {
        let mut line = Columns { out, len: 0 };
        line.number(entry.seq.0);
        line.tab();
        line.fixed(self.stamp(entry.time));
        line.tab();
        line.bytes(entry.clock.word().as_bytes());
        line.tab();
        line.bytes(entry.kind.word().as_bytes());
        line.tab();
        line.optional(entry.machine.as_ref(), |line, machine| line.digits(machine.as_array()));
        line.optional(entry.serial.as_ref(), |line, serial| line.text(serial.as_bytes()));
        line.optional(entry.frame.as_ref(), |line, frame| line.digits(frame.as_array()));
        line.optional(entry.card.as_ref(), |line, card| line.digits(card.padded().as_array()));
        line.optional(entry.account.as_ref(), |line, account| line.text(account.as_bytes()));
        line.optional(entry.amount.as_ref(), |line, amount| line.fen(amount.fen()));
        line.optional(entry.subsidy.as_ref(), |line, subsidy| line.fen(subsidy.fen()));
        line.optional(entry.uses.as_ref(), |line, uses| line.signed(*uses));
        line.optional(entry.balance.as_ref(), |line, balance| line.fen(balance.fen()));
        line.optional(entry.subsidy_left.as_ref(), |line, left| line.fen(left.fen()));
        line.optional(entry.uses_left.as_ref(), |line, uses_left| line.signed(*uses_left));
        line.optional(entry.device_time.as_ref(), |line, time| line.text(time.raw.as_bytes()));
        line.optional(entry.slot.as_ref(), |line, slot| line.text(slot.as_bytes()));
        line.optional(entry.about.as_ref(), |line, about| line.number(about.0));
        let detail = Some(entry.detail.as_bytes()).filter(|detail| !detail.is_empty());
        line.optional(detail, Columns::text);
        let crc = continue_crc(chain, line.written());
        line.hex(crc);
        line.byte(b'\n');
        Emitted { len: line.len, crc }
    }

    fn stamp(&mut self, stamp: Stamp) -> &[u8; STAMP_LEN] {
        if stamp != self.last {
            if stamp.wall.seconds() == self.last.wall.seconds() && stamp.offset_s == self.last.offset_s {
                fill(&mut self.text[20..23], millisecond(writable(stamp)));
            } else {
                self.text = stamp_text(writable(stamp));
            }
            self.last = stamp;
        }
        &self.text
    }
}

/// The text of a time that RFC 3339 can write.
fn stamp_text(stamp: Stamp) -> [u8; STAMP_LEN] {
    let civil = stamp.civil();
    let (year, month, day) = civil.date().year_month_day();
    let second = civil.time_of_day().0;
    let offset_min = stamp.offset_s.unsigned_abs() / 60;
    let mut text = *b"0000-00-00T00:00:00.000+00:00";
    let mut put = |place: Range<usize>, value: u32| fill(&mut text[place], value);
    put(0..4, u32::try_from(year).expect("a writable time is after year 0"));
    put(5..7, month);
    put(8..10, day);
    put(11..13, second / 3600);
    put(14..16, second / 60 % 60);
    put(17..19, second % 60);
    put(20..23, millisecond(stamp));
    put(24..26, offset_min / 60);
    put(27..29, offset_min % 60);
    if stamp.offset_s < 0 {
        text[23] = b'-';
    }
    text
}

fn millisecond(stamp: Stamp) -> u32 {
    u32::try_from(stamp.wall.0 - stamp.wall.seconds() * 1000).expect("below a thousand")
}

/// The nearest time that RFC 3339 can write: local years 1 to 9999, an offset of whole minutes
/// below a day.
pub(crate) fn writable(stamp: Stamp) -> Stamp {
    /// 0001-01-01T00:00:00.000 and 9999-12-31T23:59:59.999, in milliseconds of the local clock.
    const LOCAL_MS: (i64, i64) = (-62_135_596_800_000, 253_402_300_799_999);
    const OFFSET_MIN_MAX: i32 = 24 * 60 - 1;
    let offset_s = 60 * (stamp.offset_s / 60).clamp(-OFFSET_MIN_MAX, OFFSET_MIN_MAX);
    let offset_ms = i64::from(offset_s) * 1000;
    let local_ms = stamp.wall.0.saturating_add(offset_ms).clamp(LOCAL_MS.0, LOCAL_MS.1);
    Stamp { wall: Wall(local_ms - offset_ms), offset_s }
}

/// CRC-32 as zlib computes it, continued over `bytes` from the crc `chain`.
pub fn continue_crc(chain: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(chain);
    hasher.update(bytes);
    hasher.finalize()
}

/// The last column of a line (without its LF) as a crc; `None` if its last eight bytes are not
/// lower-case hexadecimal digits. The rest of the line is not checked: the line after a damaged one
/// continues from its crc column.
pub fn crc_column(line: &[u8]) -> Option<u32> {
    parse_hex(line.get(line.len().checked_sub(8)?..)?)
}

/// Whether the crc of a line (without its LF) follows from `chain`, the crc of the line before.
pub fn follows(line: &[u8], chain: u32) -> bool {
    let Some(crc) = crc_column(line) else { return false };
    let covered = &line[..line.len() - 8];
    covered.last() == Some(&b'\t') && continue_crc(chain, covered) == crc
}

/// What [`parse`] read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// All columns but the last. Its kind is [`Kind::Other`] if this version does not know the
    /// line's word.
    pub entry: Entry,
    /// The last column, unchecked: [`follows`] checks it.
    pub crc: u32,
}

impl Parsed {
    /// The head of a ledger that ends with this line.
    pub fn head(&self) -> Head {
        Head { seq: self.entry.seq, crc: self.crc }
    }
}

/// Why a line cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The column's number from 1. A line that is cut off or too long is wrong in its last column.
    pub column: usize,
    /// What is wrong with the column.
    pub what: Words,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.column.checked_sub(1).and_then(|index| COLUMNS.get(index)).unwrap_or(&"?");
        let (column, what) = (self.column, self.what.words());
        f.write_str(&tr!("column {column} ({name}): {what}", "第 {column} 列（{name}）：{what}"))
    }
}

impl core::error::Error for LineError {}

// What is wrong with a column.
const TOO_MANY: Words = Words::new("there are more than 20 columns", "多于 20 列");
const TOO_FEW: Words = Words::new("the line ends here: there are fewer than 20 columns", "这一行到此为止：不足 20 列");
const SEQ: Words = Words::new("not a number from 1", "不是从 1 起的数");
const TIME: Words = Words::new("not an RFC 3339 time with milliseconds and offset", "不是带毫秒和时差的 RFC 3339 时间");
const CLOCK: Words = Words::new("neither `ok` nor `unset`", "既不是 `ok` 也不是 `unset`");
const WORD: Words = Words::new("not a word", "不是一个词");
const DIGITS: Words = Words::new("not a number of one to ten digits", "不是 1 到 10 位数字");
const TEN_DIGITS: Words = Words::new("not a number of ten digits", "不是 10 位数字");
const AMOUNT: Words = Words::new("not an amount in yuan with two decimals", "不是两位小数的元");
const WHOLE: Words = Words::new("not a whole number", "不是整数");
const TEXT_OF_20: Words = Words::new("not a text of at most 20 bytes", "不是至多 20 字节的文字");
const TEXT_OF_24: Words = Words::new("not a text of at most 24 bytes", "不是至多 24 字节的文字");
const TEXT_OF_32: Words = Words::new("not a text of at most 32 bytes", "不是至多 32 字节的文字");
const DETAIL: Words = Words::new("not a text of the detail's length", "不是 detail 长度以内的文字");
const CRC: Words = Words::new("not eight lower-case hexadecimal digits", "不是 8 位小写十六进制数字");

/// The columns of a line (without its LF), still escaped.
///
/// # Errors
/// If there are not exactly 20.
#[inline]
pub fn columns(line: &[u8]) -> Result<[&[u8]; COLUMNS.len()], LineError> {
    let mut columns = [&[][..]; COLUMNS.len()];
    let (mut count, mut start) = (0, 0);
    words::each(line, b'\t', |tab| {
        if let Some(column) = columns.get_mut(count) {
            *column = &line[start..tab];
        }
        (count, start) = (count + 1, tab + 1);
    });
    match columns.get_mut(count) {
        Some(last) => *last = &line[start..],
        None => return Err(LineError { column: COLUMNS.len(), what: TOO_MANY }),
    }
    if count + 1 < COLUMNS.len() {
        return Err(LineError { column: count + 1, what: TOO_FEW });
    }
    Ok(columns)
}

/// Reads a line (without its LF). An unknown kind, or an unknown key in the detail, is not an
/// error: later programs of version 2 may write them. The crc is not checked.
///
/// # Errors
/// The first column that is not valid in version 2.
pub fn parse(line: &[u8]) -> Result<Parsed, LineError> {
    let mut reader = LineReader::default();
    let crc = reader.read(line)?;
    Ok(Parsed { entry: reader.entry, crc })
}

/// Reads lines in sequence, each into the same entry: see [`parse`].
#[derive(Debug)]
pub struct LineReader {
    /// The entry of the line that was read last. After an error it holds parts of two lines.
    pub entry: Entry,
}

impl Default for LineReader {
    fn default() -> Self {
        Self { entry: Entry::new(Kind::Other, Stamp::default(), ClockState::Ok) }
    }
}

impl LineReader {
    /// Reads a line, and returns its crc column unchecked: [`follows`] checks it.
    ///
    /// # Errors
    /// See [`parse`].
    pub fn read(&mut self, line: &[u8]) -> Result<u32, LineError> {
        let raw = columns(line)?;
        let Self { entry } = self;
        entry.seq = required(&raw, 1, &SEQ, seq)?;
        entry.time = required(&raw, 2, &TIME, Stamp::parse)?;
        entry.clock = required(&raw, 3, &CLOCK, clock)?;
        entry.kind = required(&raw, 4, &WORD, kind)?;
        entry.machine = optional(&raw, 5, &DIGITS, MachineNo::parse)?;
        entry.serial = optional(&raw, 6, &TEXT_OF_20, text::<20>)?.map(Serial::from);
        entry.frame = optional(&raw, 7, &DIGITS, FrameSeq::parse)?;
        entry.card = optional(&raw, 8, &TEN_DIGITS, card)?;
        entry.account = optional(&raw, 9, &TEXT_OF_24, text::<24>)?;
        entry.amount = optional(&raw, 10, &AMOUNT, Balance::parse)?;
        entry.subsidy = optional(&raw, 11, &AMOUNT, Balance::parse)?;
        entry.uses = optional(&raw, 12, &WHOLE, signed)?;
        entry.balance = optional(&raw, 13, &AMOUNT, Balance::parse)?;
        entry.subsidy_left = optional(&raw, 14, &AMOUNT, Balance::parse)?;
        entry.uses_left = optional(&raw, 15, &WHOLE, signed)?;
        let device_time = optional(&raw, 16, &TEXT_OF_32, text::<32>)?;
        entry.device_time = device_time.map(DeviceTime::of_text);
        entry.slot = optional(&raw, 17, &TEXT_OF_32, text::<32>)?;
        entry.about = optional(&raw, 18, &SEQ, seq)?;
        let has_detail =
            optional(&raw, 19, &DETAIL, |column| entry.detail.set(unescape(column, &mut [0; DETAIL_LEN_MAX])?))?;
        if has_detail.is_none() {
            entry.detail.clear();
        }
        required(&raw, 20, &CRC, parse_hex)
    }
}

// `AccountId` is the text that column 9 is read as.
const _: fn(Text<24>) -> AccountId = |account| account;

fn required<'a, T>(
    raw: &[&'a [u8]; COLUMNS.len()],
    column: usize,
    what: &'static Words,
    read: impl FnOnce(&'a [u8]) -> Option<T>,
) -> Result<T, LineError> {
    read(raw[column - 1]).ok_or(LineError { column, what: *what })
}

fn optional<'a, T>(
    raw: &[&'a [u8]; COLUMNS.len()],
    column: usize,
    what: &'static Words,
    read: impl FnOnce(&'a [u8]) -> Option<T>,
) -> Result<Option<T>, LineError> {
    if raw[column - 1] == b"\\N" {
        return Ok(None);
    }
    required(raw, column, what, read).map(Some)
}

fn seq(column: &[u8]) -> Option<EntrySeq> {
    whole(column).filter(|seq| *seq > 0).map(EntrySeq)
}

/// A whole number; leading zeros are allowed.
fn whole(digits: &[u8]) -> Option<u64> {
    // Nearly all numbers have at most ten digits.
    number(digits).or_else(|| {
        let digits = core::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_digit))?;
        digits.parse().ok()
    })
}

fn clock(column: &[u8]) -> Option<ClockState> {
    [ClockState::Ok, ClockState::Unset].into_iter().find(|clock| clock.word().as_bytes() == column)
}

fn kind(column: &[u8]) -> Option<Kind> {
    Kind::from_word(column).or_else(|| {
        let is_word = !column.is_empty() && column.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'\\');
        is_word.then_some(Kind::Other)
    })
}

fn card(column: &[u8]) -> Option<CardNo> {
    CardNo::parse(column).filter(|_| column.len() == 10)
}

fn signed(column: &[u8]) -> Option<i32> {
    let below_zero = column.strip_prefix(b"-");
    let value = i64::try_from(whole(below_zero.unwrap_or(column))?).ok()?;
    i32::try_from(if below_zero.is_some() { -value } else { value }).ok()
}

fn text<const N: usize>(column: &[u8]) -> Option<Text<N>> {
    Text::from_utf8(unescape(column, &mut [0; N])?)
}

/// A text column without its escapes; `buffer` holds it if there are any. `None` if it does not fit
/// the buffer, or holds bytes that `emit` never writes.
fn unescape<'a>(column: &'a [u8], buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    if words::is_plain(column, b'\\') {
        return Some(column);
    }
    let mut len = 0;
    let mut bytes = column.iter();
    while let Some(byte) = bytes.next() {
        let plain = match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b't' => b'\t',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            b'\r' | b'\n' | 0 => return None,
            _ => *byte,
        };
        *buffer.get_mut(len)? = plain;
        len += 1;
    }
    Some(&buffer[..len])
}

fn parse_hex(digits: &[u8]) -> Option<u32> {
    let digits: &[u8; 8] = digits.try_into().ok()?;
    u32::try_from(hexadecimal(digits)?).ok()
}

/// A line that is being written. Indexing cannot go past the end: the module's table bounds the
/// line.
struct Columns<'a> {
    out: &'a mut [u8; LINE_LEN_MAX],
    len: usize,
}

impl Columns<'_> {
    fn written(&self) -> &[u8] {
        &self.out[..self.len]
    }

    fn byte(&mut self, byte: u8) {
        self.out[self.len] = byte;
        self.len += 1;
    }

    fn fixed<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.first(bytes, N);
    }

    /// Writes the first `len` bytes. It copies all `N`, since a copy of fixed length is faster, and
    /// the next column overwrites the others. Only columns before the detail do so: its room holds
    /// them.
    fn first<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        *self.out[self.len..].first_chunk_mut().expect("a line has room for its columns") = *bytes;
        self.len += len;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.out[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn tab(&mut self) {
        self.byte(b'\t');
    }

    /// Writes a column and the tab after it; `\N` without a value.
    fn optional<T: ?Sized>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        match value {
            Some(value) => {
                write(self, value);
                self.tab();
            }
            None => self.fixed(b"\\N\t"),
        }
    }

    fn text(&mut self, text: &[u8]) {
        // Nearly all texts are plain.
        if words::is_plain(text, b'\\') {
            return self.bytes(text);
        }
        for byte in text {
            match byte {
                b'\\' => self.fixed(b"\\\\"),
                b'\t' => self.fixed(b"\\t"),
                b'\n' => self.fixed(b"\\n"),
                b'\r' => self.fixed(b"\\r"),
                0 => self.byte(b'?'),
                _ => self.byte(*byte),
            }
        }
    }

    fn digits(&mut self, (digits, len): (&[u8; DIGITS_MAX], usize)) {
        self.first(digits, len);
    }

    fn number(&mut self, value: u64) {
        self.len += put_whole(&mut self.out[self.len..], value);
    }

    fn signed(&mut self, value: i32) {
        self.len += put_signed(&mut self.out[self.len..], i64::from(value));
    }

    fn fen(&mut self, fen: i64) {
        self.len += put_yuan(&mut self.out[self.len..], fen);
    }

    fn hex(&mut self, value: u32) {
        let mut digits = [0; 8];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(value.to_be_bytes()) {
            *pair = HEX_PAIRS[usize::from(byte)];
        }
        self.fixed(&digits);
    }
}

/// The two hexadecimal digits of each byte.
const HEX_PAIRS: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte >> 4], digits[byte & 0xF]];
        byte += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::engine::model::Detail;
    use crate::engine::server::Effects;
    use proptest::prelude::*;

    fn emitted(entry: &Entry, chain: u32) -> (Vec<u8>, u32) {
        let mut out = [0; LINE_LEN_MAX];
        let Emitted { len, crc } = emit(entry, chain, &mut out);
        (out[..len].to_vec(), crc)
    }

    /// Equality that also sees the width of numbers, which `==` ignores.
    fn assert_same(left: &Entry, right: &Entry) {
        assert_eq!(left, right);
        assert_eq!(format!("{left:?}"), format!("{right:?}"));
    }

    fn sale() -> Entry {
        let time = Stamp::parse("2026-11-22T12:00:01.234+08:00").unwrap();
        let mut entry = Entry::new(Kind::Charge, time, ClockState::Ok);
        entry.seq = EntrySeq(17);
        entry.machine = MachineNo::parse(b"00002");
        entry.serial = Serial::try_from("1234567890").ok();
        entry.frame = FrameSeq::parse(b"00009");
        entry.card = CardNo::parse(b"88888888");
        entry.account = Some(Text::try_from("学\\7\t").unwrap());
        entry.amount = Some(Balance::from_fen(-350));
        entry.subsidy = Some(Balance::from_fen(-200));
        entry.uses = Some(0);
        entry.balance = Some(Balance::from_fen(-5));
        entry.subsidy_left = Some(Balance::from_fen(1));
        entry.uses_left = Some(-3);
        entry.device_time = Some(DeviceTime::new(b"2012-04-20 11:12:13"));
        entry.detail = Detail::default().with("day", "2026-11-22").with("period", "a b\\");
        entry
    }

    /// The crcs are Python's: `zlib.crc32(line up to and including the tab before the crc, chain)`.
    #[test]
    fn lines_are_what_zlib_and_the_design_say() {
        let first = Entry {
            seq: EntrySeq(1),
            ..Entry::new(Kind::Start, Stamp { wall: Wall(0), offset_s: 0 }, ClockState::Unset)
        };
        let (line, crc) = emitted(&first, 0);
        let nones = "\\N\t".repeat(15);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            format!("1\t1970-01-01T00:00:00.000+00:00\tunset\tstart\t{nones}{FIRST_CRC:08x}\n")
        );
        assert_eq!(crc, FIRST_CRC);
        let (line, crc) = emitted(&sale(), FIRST_CRC);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            format!(
                "17\t2026-11-22T12:00:01.234+08:00\tok\tcharge\t00002\t1234567890\t00009\t0088888888\t学\\\\7\\t\t-3.50\t-2.00\t0\t\
                 -0.05\t0.01\t-3\t2012-04-20 11:12:13\t\\N\t\\N\tday=2026-11-22 period=a%20b\\\\\t{SALE_CRC:08x}\n"
            )
        );
        assert_eq!(crc, SALE_CRC);
    }

    const FIRST_CRC: u32 = 0x6A99_CAF6;
    const SALE_CRC: u32 = 0x055B_687C;

    #[test]
    fn the_longest_line_fits_and_has_the_length_of_the_table() {
        let worst = |len: usize| "\\".repeat(len);
        let entry = Entry {
            seq: EntrySeq(u64::MAX),
            time: Stamp { wall: Wall(i64::MAX), offset_s: i32::MIN },
            clock: ClockState::Unset,
            kind: Kind::Unconfirmed,
            machine: MachineNo::parse(b"0123456789"),
            serial: Serial::try_from(worst(20).as_str()).ok(),
            frame: FrameSeq::parse(b"0123456789"),
            card: CardNo::parse(b"1"),
            account: Some(Text::try_from(worst(24).as_str()).unwrap()),
            amount: Some(Balance::from_fen(i64::MIN)),
            subsidy: Some(Balance::from_fen(i64::MIN)),
            uses: Some(i32::MIN),
            balance: Some(Balance::from_fen(i64::MIN)),
            subsidy_left: Some(Balance::from_fen(i64::MIN)),
            uses_left: Some(i32::MIN),
            device_time: Some(DeviceTime::of_text(Text::try_from(worst(32).as_str()).unwrap())),
            slot: Some(Text::try_from(worst(32).as_str()).unwrap()),
            about: Some(EntrySeq(u64::MAX)),
            detail: Detail::from_text(&worst(DETAIL_LEN_MAX)).unwrap(),
        };
        let (line, _) = emitted(&entry, u32::MAX);
        assert_eq!(line.len(), LINE_LEN_BOUND);
        let longest = Kind::ALL.iter().map(|kind| kind.word().len()).max();
        assert_eq!(longest, Some(Kind::Unconfirmed.word().len()), "the table counts the longest kind");
        assert!(line.starts_with(b"18446744073709551615\t9999-12-31T23:59:59.999-23:59\t"));
    }

    #[test]
    fn a_kind_of_a_later_version_is_read_and_its_amounts_with_it() {
        let (line, _) = emitted(&sale(), 7);
        let later = String::from_utf8(line).unwrap().replace("\tcharge\t", "\trefund\t");
        let parsed = parse(later.trim_end().as_bytes()).unwrap();
        assert_eq!(parsed.entry, Entry { kind: Kind::Other, ..sale() });
    }

    #[test]
    fn an_error_names_its_column() {
        let (line, _) = emitted(&sale(), 0);
        let line = String::from_utf8(line).unwrap();
        let line = line.trim_end();
        for (column, wrong) in [
            (1, "0"),
            (1, "+1"),
            (1, "18446744073709551616"),
            (2, "2026-11-22 12:00:01"),
            (3, "set"),
            (4, ""),
            (5, "12345678901"),
            (6, "\\x"),
            (6, "123456789012345678901"),
            (7, "-1"),
            (8, "88888888"),
            (9, "\\"),
            (10, "1e3"),
            (11, "1.234"),
            (12, "+1"),
            (12, "2147483648"),
            (13, ""),
            (14, "-"),
            (15, "-"),
            (16, "a\0"),
            (18, "x"),
            (20, "ABCDEF01"),
            (20, "123"),
        ] {
            let mut columns: Vec<&str> = line.split('\t').collect();
            columns[column - 1] = wrong;
            let error = parse(columns.join("\t").as_bytes()).unwrap_err();
            assert_eq!(error.column, column, "{wrong:?}: {error}");
        }
        let error = parse(line.replace("\tok\t", "\tset\t").as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "column 3 (clock): neither `ok` nor `unset`");
        crate::lang::speak(crate::lang::Lang::Zh);
        assert_eq!(error.to_string(), "第 3 列（clock）：既不是 `ok` 也不是 `unset`");
        crate::lang::speak(crate::lang::Lang::En);
        assert_eq!(parse(b"").unwrap_err().column, 1);
        assert_eq!(parse(b"1\t2").unwrap_err().column, 2);
        assert_eq!(parse(format!("{line}\t").as_bytes()).unwrap_err().column, 20);
        assert_eq!(parse(&[b"1\t\xFF", &b"\t".repeat(18)[..]].concat()).unwrap_err().column, 2);
    }

    #[test]
    fn numbers_are_written_as_rust_writes_them() {
        for value in [0, 1, 9, 10, 99, 100, 4_294_967_295, 4_294_967_296, 10_000_000_000, 1_000_000_000_000_000_000] {
            let mut out = [0; LINE_LEN_MAX];
            let mut line = Columns { out: &mut out, len: 0 };
            line.number(value);
            assert_eq!(line.written(), value.to_string().as_bytes());
        }
    }

    #[test]
    fn a_zero_byte_never_reaches_the_ledger() {
        let mut entry = sale();
        entry.account = Some(Text::try_from("a\0b").unwrap());
        let (line, _) = emitted(&entry, 0);
        assert!(!line.contains(&0));
        assert_eq!(parse(&line[..line.len() - 1]).unwrap().entry.account.as_deref(), Some("a?b"));
    }

    fn any_text<const N: usize>() -> impl Strategy<Value = Option<Text<N>>> {
        proptest::option::of("[^\\x00]{0,32}").prop_map(|text: Option<String>| {
            let mut short = Text::new();
            for character in text?.chars() {
                if short.push(character).is_err() {
                    break;
                }
            }
            Some(short)
        })
    }

    fn any_digits() -> impl Strategy<Value = Option<String>> {
        proptest::option::of("[0-9]{1,10}")
    }

    fn any_fen() -> impl Strategy<Value = Option<Balance>> {
        // Balance::parse reads below 10^15 yuan.
        let fen = prop_oneof![-10_000_i64..10_000, -99_999_999_999_999_999_i64..=99_999_999_999_999_999];
        proptest::option::of(fen.prop_map(Balance::from_fen))
    }

    fn any_uses() -> impl Strategy<Value = Option<i32>> {
        proptest::option::of(any::<i32>())
    }

    fn any_stamp() -> impl Strategy<Value = Stamp> {
        let wall = prop_oneof![0..4_102_444_800_000_i64, -62_135_510_400_000..253_402_214_400_000_i64];
        (wall, -1439..1440_i32).prop_map(|(wall, offset)| Stamp { wall: Wall(wall), offset_s: offset * 60 })
    }

    prop_compose! {
        fn any_entry()(
            head in (1_u64.., any_stamp(), any::<bool>(), 0..Kind::ALL.len()),
            numbers in (any_digits(), any_digits(), any_digits()),
            texts in (any_text(), any_text(), any_text(), any_text()),
            sums in (any_fen(), any_fen(), any_uses(), any_fen(), any_fen(), any_uses()),
            about in proptest::option::of(1_u64..),
            words in proptest::collection::vec(("[a-z]{1,8}", "\\PC{0,40}|[\\x01-\\x7f]{0,20}"), 0..5),
        ) -> Entry {
            let clock = if head.2 { ClockState::Ok } else { ClockState::Unset };
            let mut entry = Entry::new(Kind::ALL[head.3], head.1, clock);
            entry.seq = EntrySeq(head.0);
            entry.machine = numbers.0.and_then(|digits| MachineNo::parse(digits.as_bytes()));
            entry.frame = numbers.1.and_then(|digits| FrameSeq::parse(digits.as_bytes()));
            entry.card = numbers.2.and_then(|digits| CardNo::parse(digits.as_bytes())).map(|card| card.padded());
            let (serial, account, device_time, slot) = texts;
            (entry.serial, entry.account, entry.slot) = (serial.map(Serial::from), account, slot);
            entry.device_time = device_time.map(DeviceTime::of_text);
            (entry.amount, entry.subsidy, entry.uses) = (sums.0, sums.1, sums.2);
            (entry.balance, entry.subsidy_left, entry.uses_left) = (sums.3, sums.4, sums.5);
            entry.about = about.map(EntrySeq);
            for (key, value) in words {
                entry.detail.push(&key, value);
            }
            entry
        }
    }

    proptest! {
        #![proptest_config(crate::proptest_config())]

        #[test]
        fn parse_returns_what_emit_was_given(entry in any_entry(), chain in any::<u32>()) {
            let (line, crc) = emitted(&entry, chain);
            prop_assert!(line.len() <= LINE_LEN_BOUND);
            let (end, line) = line.split_last().unwrap();
            prop_assert_eq!(*end, b'\n');
            prop_assert!(!line.contains(&b'\n') && !line.contains(&0));
            let parsed = parse(line).unwrap();
            assert_same(&parsed.entry, &entry);
            prop_assert_eq!(parsed.crc, crc);
            prop_assert!(follows(line, chain));
            prop_assert!(!follows(line, chain ^ 1));
        }

        #[test]
        fn no_bytes_make_it_panic(line in proptest::collection::vec(any::<u8>(), 0..400), chain in any::<u32>()) {
            let _ = parse(&line);
            let _ = follows(&line, chain);
        }

        #[test]
        fn a_changed_line_never_panics_and_never_follows(
            entry in any_entry(), place in any::<prop::sample::Index>(), bit in 0..8_u32,
        ) {
            let (mut line, _) = emitted(&entry, 9);
            line.pop();
            let place = place.index(line.len());
            line[place] ^= 1 << bit;
            let _ = parse(&line);
            prop_assert!(!follows(&line, 9));
        }

        #[test]
        fn a_reader_keeps_nothing_of_the_line_before(
            mut entries in proptest::collection::vec(any_entry(), 2..8), is_spoiled in proptest::collection::vec(any::<bool>(), 8),
        ) {
            for (number, entry) in entries.iter_mut().enumerate().step_by(2) {
                entry.detail.push("day", format_args!("2026-11-{:02}", 22 + number / 4));
            }
            let mut reader = LineReader::default();
            for (entry, is_spoiled) in entries.iter().zip(is_spoiled) {
                let (mut line, crc) = emitted(entry, 3);
                line.pop();
                if is_spoiled {
                    // The crc is too short: every other column was read before the error.
                    line.pop();
                    prop_assert!(reader.read(&line).is_err());
                    continue;
                }
                prop_assert_eq!(reader.read(&line), Ok(crc));
                assert_same(&reader.entry, entry);
                prop_assert_eq!(reader.entry.detail.day(), entry.detail.day());
                for key in entries.iter().flat_map(|entry| entry.detail.words()).map(|(key, _)| key) {
                    prop_assert_eq!(reader.entry.detail.get(key), entry.detail.get(key), "{}", key);
                }
            }
        }

        #[test]
        fn a_frames_entry_keeps_nothing_of_the_one_that_had_its_place(
            frames in proptest::collection::vec(proptest::collection::vec(any_entry(), 0..4), 2..6),
            day in 0_usize..4,
        ) {
            /// Too large for a test's stack.
            static EFFECTS: Mutex<Effects> = Mutex::new(Effects::new());
            let mut fx = EFFECTS.lock().unwrap_or_else(PoisonError::into_inner);
            for mut entries in frames.clone() {
                if let Some(entry) = entries.get_mut(day) {
                    entry.detail.push("day", "2026-11-22");
                }
                fx.entries.clear();
                for entry in &entries {
                    fx.append(entry);
                }
                prop_assert_eq!(fx.entries.len(), entries.len());
                for (place, entry) in fx.entries.iter().zip(&entries) {
                    assert_same(place, entry);
                    prop_assert_eq!(emitted(place, 7), emitted(entry, 7));
                    prop_assert_eq!(place.detail.day(), entry.detail.day());
                    for (key, _) in frames.iter().flatten().flat_map(|other| other.detail.words()) {
                        prop_assert_eq!(place.detail.get(key), entry.detail.get(key), "{}", key);
                    }
                    let more = (place.detail.with("more", "1"), entry.detail.with("more", "1"));
                    prop_assert_eq!(more.0, more.1);
                }
            }
        }

        #[test]
        fn a_line_does_not_depend_on_the_time_of_the_line_before(
            walls in proptest::collection::vec(prop_oneof![0..3000_i64, 1_795_320_000_000..1_795_320_003_000_i64, any::<i64>()], 1..20),
            offsets in proptest::collection::vec(prop_oneof![Just(28_800), Just(-12_600), any::<i32>()], 20),
        ) {
            let mut emitter = Emitter::default();
            for (wall, offset_s) in walls.into_iter().zip(offsets) {
                let stamp = Stamp { wall: Wall(wall), offset_s };
                let entry = Entry { seq: EntrySeq(1), ..Entry::new(Kind::Clock, stamp, ClockState::Ok) };
                let mut out = [0; LINE_LEN_MAX];
                let Emitted { len, .. } = emitter.emit(&entry, 5, &mut out);
                prop_assert_eq!(&out[..len], &emitted(&entry, 5).0[..]);
            }
        }

        #[test]
        fn any_stamp_can_be_written(wall in any::<i64>(), offset_s in any::<i32>()) {
            let stamp = Stamp { wall: Wall(wall), offset_s };
            let entry = Entry { seq: EntrySeq(1), ..Entry::new(Kind::Clock, stamp, ClockState::Ok) };
            let (line, _) = emitted(&entry, 0);
            prop_assert!(parse(&line[..line.len() - 1]).is_ok());
        }
    }
}
