//! The first line of a segment (design.md, section 7): 511 bytes, padded with spaces, and LF.
//!
//! ```text
//! #posgate-ledger ⇥ version=2 ⇥ ledger=<16 hex> ⇥ parent=<16 hex>:<seq>:<8 hex> ⇥ host=<8 hex> ⇥ site=…
//!     ⇥ first=… ⇥ chain=<8 hex> ⇥ created=… ␠␠␠ … ␊
//! ```
//!
//! `parent=\N`: the ledger is not a branch; `host=\N`: the machine has no identifier.
//!
//! It is written and synced before the segment's first entry, so a power cut can spoil it only
//! while the segment holds nothing else. No crc covers it: `first`, `chain` and `ledger` must agree
//! with the segments around it.

use core::fmt;
use core::str::FromStr;

use crate::engine::model::{EntrySeq, Stamp};
use crate::lang::{Text, tr};

use super::{Head, line};

/// Bytes of the line, LF included.
pub const HEADER_LEN: usize = 512;

/// Bytes of the site's label, escaped: the room that the other words leave, rounded down. The rest
/// of the label is cut off.
pub(crate) const SITE_LEN_MAX: usize = 300;

/// The header of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The ledger's random number, drawn when it was created or branched; the same in every segment
    /// from then on.
    pub ledger: u64,
    /// What the ledger branched off, if it did; the same in every segment of the branch.
    pub parent: Option<Parent>,
    /// The machine that wrote the segment, if it has an identifier.
    pub host: Option<Host>,
    /// The operator's label for the site.
    pub site: String,
    /// The first entry that this segment holds, or will hold.
    pub first: EntrySeq,
    /// The crc of the entry before that one; 0 if there is none.
    pub chain: u32,
    /// When the segment was created.
    pub created: Stamp,
}

/// The entry of another ledger that a branch continues from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The ledger that the entry belongs to.
    pub ledger: u64,
    /// The last entry that both ledgers have.
    pub head: Head,
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:{}:{:08x}", self.ledger, self.head.seq, self.head.crc)
    }
}

impl FromStr for Parent {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split(':');
        let mut next = || words.next().ok_or(());
        let ledger = hex(next()?, 16).ok_or(())?;
        let seq = decimal(next()?).ok_or(())?;
        let crc = hex(next()?, 8).and_then(|crc| u32::try_from(crc).ok()).ok_or(())?;
        words.next().is_none().then_some(Self { ledger, head: Head { seq: EntrySeq(seq), crc } }).ok_or(())
    }
}

/// A machine's identifier: a digest of its lowest burned-in hardware address, else of its board's
/// serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host(pub u32);

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Why the first 512 bytes of a segment are not a header that this program reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// They are a header of this other version.
    Version(String),
    /// What is missing or wrong in them.
    Unreadable(Text),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => f.write_str(&tr!(
                "the header says version={version}, this program reads version=2",
                "文件头写的是 version={version}，这个程序读 version=2"
            )),
            Self::Unreadable(what) => {
                f.write_str(&tr!("the header cannot be read: {}", "文件头读不了：{}", what.words()))
            }
        }
    }
}

impl core::error::Error for HeaderError {}

impl Header {
    /// The line. A site too long for it is cut at a character.
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        emit(self.ledger, self.parent, self.host, &self.site, self.before(), self.created)
    }

    /// The entry before the segment's first.
    pub fn before(&self) -> Head {
        Head { seq: EntrySeq(self.first.0 - 1), crc: self.chain }
    }

    /// Whether it belongs to `ledger`, or to a branch of `ledger` that begins with this segment.
    pub(crate) fn continues(&self, ledger: u64) -> bool {
        self.ledger == ledger || self.parent == Some(Parent { ledger, head: self.before() })
    }

    /// Reads the line. Unknown words are ignored: a later program of version 2 may add some.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let unreadable = |en, zh| HeaderError::Unreadable(Text::new(en, zh));
        if bytes.len() != HEADER_LEN || bytes[HEADER_LEN - 1] != b'\n' {
            return Err(unreadable("it is not 511 bytes and an LF", "不是 511 字节加 LF"));
        }
        let text =
            core::str::from_utf8(&bytes[..HEADER_LEN - 1]).map_err(|_| unreadable("it is not UTF-8", "不是 UTF-8"))?;
        let mut words = text.trim_end_matches(' ').split('\t');
        if words.next() != Some("#posgate-ledger") {
            return Err(unreadable("it does not begin with #posgate-ledger", "不以 #posgate-ledger 开头"));
        }
        let find = |key: &str| words.clone().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        match find("version") {
            Some("2") => (),
            Some(version) => return Err(HeaderError::Version(version.to_owned())),
            None => return Err(unreadable("version= is missing", "没有 version=")),
        }
        Ok(Self {
            ledger: find("ledger")
                .and_then(|word| hex(word, 16))
                .ok_or(unreadable("ledger= is not 16 hex digits", "ledger= 不是 16 位十六进制数字"))?,
            parent: find("parent").and_then(|word| or_none(word, |word| word.parse().ok())).ok_or(unreadable(
                "parent= is neither \\N nor LEDGER:SEQ:CRC",
                "parent= 既不是 \\N 也不是 LEDGER:SEQ:CRC",
            ))?,
            host: find("host")
                .and_then(|word| or_none(word, |word| Some(Host(u32::try_from(hex(word, 8)?).ok()?))))
                .ok_or(unreadable(
                    "host= is neither \\N nor 8 hex digits",
                    "host= 既不是 \\N 也不是 8 位十六进制数字",
                ))?,
            site: find("site")
                .and_then(unescape)
                .ok_or(unreadable("site= is not an escaped text", "site= 不是转义过的文字"))?,
            first: find("first")
                .and_then(decimal)
                .filter(|first| *first > 0)
                .map(EntrySeq)
                .ok_or(unreadable("first= is not a number from 1", "first= 不是从 1 起的数"))?,
            chain: find("chain")
                .and_then(|word| u32::try_from(hex(word, 8)?).ok())
                .ok_or(unreadable("chain= is not 8 hex digits", "chain= 不是 8 位十六进制数字"))?,
            created: find("created")
                .and_then(Stamp::parse)
                .ok_or(unreadable("created= is not an RFC 3339 time", "created= 不是 RFC 3339 时间"))?,
        })
    }
}

pub(super) fn hex(digits: &str, len: usize) -> Option<u64> {
    let is_hex = digits.len() == len && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

fn decimal(digits: &str) -> Option<u64> {
    digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The outer `None`: the word cannot be read; the inner one: it is `\N`.
#[allow(clippy::option_option)] // three cases, all named above
fn or_none<T>(word: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    if word == NONE { Some(None) } else { read(word).map(Some) }
}

/// How COPY writes a missing value.
const NONE: &str = "\\N";

/// A value, or [`NONE`].
struct OrNone<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrNone<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str(NONE),
        }
    }
}

/// The header line of a segment that continues from the entry `head`. It allocates nothing.
pub(crate) fn emit(
    ledger: u64,
    parent: Option<Parent>,
    host: Option<Host>,
    site: &str,
    head: Head,
    created: Stamp,
) -> [u8; HEADER_LEN] {
    let text = heapless::format!(
        HEADER_LEN;
        "#posgate-ledger\tversion=2\tledger={ledger:016x}\tparent={}\thost={}\tsite={}\tfirst={}\tchain={:08x}\tcreated={}",
        OrNone(parent),
        OrNone(host),
        escape(site),
        head.seq.next(),
        head.crc,
        line::writable(created)
    );
    let text = text.expect("SITE_LEN_MAX leaves room for the other words");
    let mut line = [b' '; HEADER_LEN];
    line[..text.len()].copy_from_slice(text.as_bytes());
    line[HEADER_LEN - 1] = b'\n';
    line
}

/// The site's label with COPY's escapes and with `?` for control characters, cut to
/// [`SITE_LEN_MAX`].
fn escape(site: &str) -> heapless::String<SITE_LEN_MAX> {
    let mut escaped = heapless::String::new();
    for character in site.chars() {
        let mut own = [0; 4];
        let piece = match character {
            '\\' => "\\\\",
            '\t' => "\\t",
            '\n' => "\\n",
            '\r' => "\\r",
            _ if character.is_control() => "?",
            _ => character.encode_utf8(&mut own),
        };
        if escaped.push_str(piece).is_err() {
            break;
        }
    }
    escaped
}

/// The site's label as it is read back from a header.
pub(crate) fn as_written(site: &str) -> String {
    unescape(&escape(site)).unwrap_or_else(|| site.to_owned())
}

fn unescape(escaped: &str) -> Option<String> {
    let mut site = String::new();
    let mut characters = escaped.chars();
    while let Some(character) = characters.next() {
        site.push(match character {
            '\\' => match characters.next()? {
                '\\' => '\\',
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            _ => character,
        });
    }
    Some(site)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::Wall;
    use proptest::prelude::*;

    fn header(site: &str) -> Header {
        Header {
            ledger: 0x0123_4567_89AB_CDEF,
            parent: None,
            host: None,
            site: site.to_owned(),
            first: EntrySeq(1),
            chain: 0,
            created: Stamp::parse("2026-11-22T12:00:00.000+08:00").unwrap(),
        }
    }

    #[test]
    fn the_line_is_what_the_design_draws() {
        let line = header("site1").emit();
        let text = "#posgate-ledger\tversion=2\tledger=0123456789abcdef\tparent=\\N\thost=\\N\tsite=site1\tfirst=1\tchain=00000000\tcreated=2026-11-22T12:00:00.000+08:00";
        assert_eq!(String::from_utf8(line.to_vec()).unwrap(), format!("{text:511}\n"));
        let parent = Parent { ledger: 0xA1, head: Head { seq: EntrySeq(17), crc: 0xBEEF } };
        let branch = Header { parent: Some(parent), host: Some(Host(0x12_3456)), ..header("site1") };
        let text = text.replace("parent=\\N\thost=\\N", "parent=00000000000000a1:17:0000beef\thost=00123456");
        assert_eq!(String::from_utf8(branch.emit().to_vec()).unwrap(), format!("{text:511}\n"));
    }

    #[test]
    fn no_site_breaks_the_line() {
        for site in ["", " a ", "a\tb\nc\\d\r", "食堂\u{1}", &"长".repeat(400), &"\\".repeat(400)] {
            let parent = Parent { ledger: u64::MAX, head: Head { seq: EntrySeq(u64::MAX), crc: u32::MAX } };
            let largest = Header {
                parent: Some(parent),
                host: Some(Host(u32::MAX)),
                first: EntrySeq(u64::MAX),
                chain: u32::MAX,
                created: Stamp { wall: Wall(i64::MAX), offset_s: i32::MAX },
                ..header(site)
            };
            let line = largest.emit();
            assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(HEADER_LEN - 1));
            let parsed = Header::parse(&line).unwrap();
            assert!(site.replace('\u{1}', "?").starts_with(&parsed.site));
            assert_eq!((parsed.first, parsed.chain), (largest.first, largest.chain));
        }
    }

    #[test]
    fn a_wrong_header_says_what_is_wrong() {
        let line = header("site1").emit();
        let change = |from: &str, to: &str| {
            let text = core::str::from_utf8(&line[..511]).unwrap().trim_end().replace(from, to);
            Header::parse(format!("{text:511}\n").as_bytes()).unwrap_err().to_string()
        };
        assert!(change("version=2", "version=3").contains("version=3"));
        assert!(change("version=2", "version=1").contains("version=1"));
        assert!(change("#posgate", "#other").contains("#posgate-ledger"));
        for word in ["version=2", "ledger=0", "parent=", "host=", "site=", "first=1", "chain=0", "created=2"] {
            let key = word.split_once('=').unwrap().0;
            assert!(change(word, "x").contains(key), "{word}");
        }
        for (key, wrong) in [
            ("parent", "a1:17:0000beef"),
            ("parent", "00000000000000a1:17"),
            ("parent", ""),
            ("host", "12345"),
            ("host", "+1234567"),
        ] {
            assert!(change(&format!("{key}=\\N"), &format!("{key}={wrong}")).contains(key), "{key}={wrong}");
        }
        assert!(Header::parse(&line[..511]).is_err());
        assert!(Header::parse(&[]).is_err());
        let later = core::str::from_utf8(&line[..511]).unwrap().trim_end().to_owned() + "\tnew=1";
        assert_eq!(Header::parse(format!("{later:511}\n").as_bytes()), Ok(header("site1")));
    }

    proptest! {
        #![proptest_config(crate::proptest_config())]

        #[test]
        fn parse_returns_what_emit_was_given(
            ledger in any::<u64>(), site in "\\PC{0,60}", first in 1_u64.., chain in any::<u32>(),
            parent in proptest::option::of((any::<u64>(), any::<u64>(), any::<u32>())),
            host in proptest::option::of(any::<u32>()),
        ) {
            let parent = parent.map(|(ledger, seq, crc)| Parent { ledger, head: Head { seq: EntrySeq(seq), crc } });
            let host = host.map(Host);
            let header = Header { ledger, parent, host, site, first: EntrySeq(first), chain, ..header("") };
            prop_assert_eq!(Header::parse(&header.emit()), Ok(header));
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 512), change in any::<bool>()) {
            if change {
                bytes[..300].copy_from_slice(&header("site").emit()[..300]);
            }
            bytes[511] = b'\n';
            let _ = Header::parse(&bytes);
        }
    }
}
