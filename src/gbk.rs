//! Chinese as devices and spreadsheets write it: text for the displays in GBK, cleaned and cut on a character boundary (protocol.md,
//! *Server → device*), and card tables in GB18030, of which GBK is the part of one and two bytes.
//!
//! 0x5C `\`, 0x7B `{`, 0x7D `}` and 0x7C occur as second bytes of GBK characters, so cleaning looks at
//! characters, before encoding; afterwards nobody touches single bytes.
//!
//! The tables come from encoding_rs, by `build.rs`, which says why. What is read and written is what encoding_rs reads and writes:
//! a test compares every character.

use std::borrow::Cow;
use std::sync::OnceLock;

/// Code points of lead 0x81 to 0xFE and trail 0x40 to 0xFE without 0x7F, in this order.
static TWO_BYTES: &[u8; 2 * 126 * TRAILS as usize] = include_bytes!(concat!(env!("OUT_DIR"), "/gb18030-two"));

/// Where in the characters of four bytes code points stop following one another: pointer and code point, 16 bits each.
static FOUR_BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/gb18030-four"));

const TRAILS: u16 = 190;

/// Four-byte characters up to here are within 16 bits (the pointers behind the last are none); from the next number on they are U+10000
/// and beyond, in order.
const SHORT_POINTERS: u32 = 39_420;
const LONG_POINTERS: u32 = 189_000;

/// Encodes text for a display; a character outside GBK becomes `?`. May allocate: names and templates are
/// encoded once, at load.
pub fn encode(text: &str) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len() + 16);
    for character in text.chars() {
        match (character, pointer_of(character)) {
            ('\0'..='\x7F', _) => encoded.push(character as u8),
            // Devices know no euro sign, neither as Windows' lone 0x80 nor as the pair that GB18030 has for it.
            ('€', _) | (_, None) => encoded.push(b'?'),
            (_, Some(pointer)) => {
                let (lead, trail) = ((pointer / TRAILS) as u8, (pointer % TRAILS) as u8);
                encoded.extend([0x81 + lead, trail + if trail < 0x3F { 0x40 } else { 0x41 }]);
            }
        }
    }
    encoded
}

/// The place of a character in `TWO_BYTES`.
fn pointer_of(character: char) -> Option<u16> {
    /// All places, by their characters: made at first use, because it is as large as the table.
    static BY_CHARACTER: OnceLock<Vec<u16>> = OnceLock::new();
    let by_character = BY_CHARACTER.get_or_init(|| {
        let mut pointers: Vec<u16> = (0..126 * TRAILS).collect();
        pointers.sort_by_key(|pointer| two_byte(*pointer));
        pointers
    });
    let wanted = u16::try_from(u32::from(character)).ok()?;
    // Of a character that stands twice, the first.
    let place = by_character.partition_point(|pointer| two_byte(*pointer) < wanted);
    let pointer = *by_character.get(place)?;
    (two_byte(pointer) == wanted).then_some(pointer)
}

fn two_byte(pointer: u16) -> u16 {
    let at = 2 * usize::from(pointer);
    u16::from_le_bytes([TWO_BYTES[at], TWO_BYTES[at + 1]])
}
/// Encodes data such as a name: without braces, backslashes, commas and control characters, which would be
/// commands or field limits there; cut to `len_max` bytes.
pub fn encode_data(text: &str, len_max: usize) -> Vec<u8> {
    let clean: String = text
        .chars()
        .filter(|character| !matches!(character, '{' | '}' | '\\' | ',') && !character.is_control())
        .collect();
    let mut encoded = encode(clean.trim());
    encoded.truncate(cut(&encoded, len_max));
    encoded
}

/// The longest length of at most `len_max` that does not split a GBK character of the text.
pub fn cut(encoded: &[u8], len_max: usize) -> usize {
    if encoded.len() <= len_max {
        return encoded.len();
    }
    let mut len = 0;
    while len < encoded.len() {
        let next = len + if encoded[len] >= 0x81 { 2 } else { 1 };
        if next > len_max {
            break;
        }
        len = next;
    }
    len
}

/// Decodes GBK or GB18030; what is neither becomes U+FFFD. Allocates where it must.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.is_ascii() => Cow::Borrowed(text),
        _ => Cow::Owned(characters(bytes).map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()),
    }
}

/// Whether all of it is GB18030.
pub fn is_gb18030(bytes: &[u8]) -> bool {
    characters(bytes).all(|character| character.is_some())
}

/// The characters, `None` for bytes that are none. Of a broken character only the first byte is passed over, so that a delimiter that
/// follows it is still seen.
fn characters(bytes: &[u8]) -> impl Iterator<Item = Option<char>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (character, len) = first(rest)?;
        rest = &rest[len..];
        Some(character)
    })
}

/// The first character and its length.
fn first(bytes: &[u8]) -> Option<(Option<char>, usize)> {
    Some(match *bytes {
        [] => return None,
        [byte @ ..=0x7F, ..] => (Some(char::from(byte)), 1),
        [0x80, ..] => (Some('€'), 1),
        [lead @ 0x81..=0xFE, trail @ (0x40..=0x7E | 0x80..=0xFE), ..] => {
            let trail = trail - if trail < 0x7F { 0x40 } else { 0x41 };
            (char::from_u32(two_byte(u16::from(lead - 0x81) * TRAILS + u16::from(trail)).into()), 2)
        }
        [lead @ 0x81..=0xFE, second @ b'0'..=b'9', third @ 0x81..=0xFE, fourth @ b'0'..=b'9', ..] => {
            let [lead, second, third, fourth] =
                [lead - 0x81, second - b'0', third - 0x81, fourth - b'0'].map(u32::from);
            (four_byte(((lead * 10 + second) * 126 + third) * 10 + fourth), 4)
        }
        // A character that the text ends within is one mistake.
        [0x81..=0xFE, b'0'..=b'9', 0x81..=0xFE] => (None, 3),
        [0x81..=0xFE, b'0'..=b'9'] | [0x81..=0xFE, 0xFF, ..] => (None, 2),
        _ => (None, 1),
    })
}

fn four_byte(pointer: u32) -> Option<char> {
    if pointer >= LONG_POINTERS {
        return char::from_u32(pointer - LONG_POINTERS + 0x1_0000);
    }
    let numbers = |range: &[u8]| [[range[0], range[1]], [range[2], range[3]]].map(u16::from_le_bytes).map(u32::from);
    let [from, point] = FOUR_BYTES.chunks_exact(4).map(numbers).take_while(|[from, _]| *from <= pointer).last()?;
    char::from_u32(point + pointer - from).filter(|_| pointer < SHORT_POINTERS)
}

#[cfg(test)]
mod tests {
    use encoding_rs::{EncoderResult, GB18030, GBK};

    use super::*;

    #[test]
    fn what_gbk_lacks_becomes_a_question_mark() {
        assert_eq!(encode("张三"), b"\xD5\xC5\xC8\xFD");
        assert_eq!(encode("a€b😀c𠀀"), b"a?b?c?");
        assert_eq!(encode("\u{e5e5}"), b"?");
    }

    #[test]
    fn second_bytes_that_look_like_ascii_survive() {
        // 誠 is D5 5C, 寋 is 8C 7B: cleaned as characters, never as bytes.
        for text in ["誠", "峿", "縗"] {
            let encoded = encode_data(text, 40);
            assert_eq!(decode(&encoded), text);
        }
        assert_eq!(encode_data("张{三}\\n,李\r\n", 40), encode("张三n李"));
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        let encoded = encode("a张三b");
        assert_eq!(cut(&encoded, 0), 0);
        assert_eq!(cut(&encoded, 1), 1);
        assert_eq!(cut(&encoded, 2), 1);
        assert_eq!(cut(&encoded, 3), 3);
        assert_eq!(cut(&encoded, 4), 3);
        assert_eq!(cut(&encoded, 100), 6);
    }

    #[test]
    fn every_character_is_read_as_encoding_rs_reads_it() {
        let same = |bytes: &[u8]| {
            let expected = GB18030.decode_without_bom_handling(bytes);
            assert_eq!(decode(bytes), expected.0, "{bytes:02X?}");
            assert_eq!(is_gb18030(bytes), !expected.1, "{bytes:02X?}");
        };
        for lead in 0..=0xFF {
            same(&[lead]);
            for trail in 0..=0xFF {
                same(&[lead, trail]);
                // What follows a broken character.
                same(&[lead, trail, b',', b'a']);
            }
        }
        // The edges of what is assigned: four bytes hold the rest of 16 bits from 81, and what is beyond from 90 to E3.
        for lead in [0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x8F, 0x90, 0xE2, 0xE3, 0xE4, 0xFE, 0xFF] {
            for second in b'/'..=b':' {
                for third in 0x80..=0xFF {
                    same(&[lead, second, third]);
                    for fourth in b'/'..=b':' {
                        same(&[lead, second, third, fourth]);
                    }
                }
            }
        }
    }

    #[test]
    fn every_character_is_written_as_encoding_rs_writes_it() {
        // Its encoder searches from the start for each: some of those beyond the first plane will do.
        for character in ('\0'..='\u{FFFF}').chain(('\u{1_0000}'..=char::MAX).step_by(997)) {
            let (mut utf8, mut one) = ([0; 4], [0; 16]);
            let source = character.encode_utf8(&mut utf8);
            let (result, _, written) = GBK.new_encoder().encode_from_utf8_without_replacement(source, &mut one, true);
            let is_gbk = result == EncoderResult::InputEmpty && written <= 2 && character != '€';
            let expected = if is_gbk { &one[..written] } else { b"?" };
            // Private use: a pair of bytes that has a character of its own by now is still written for 18 of them there.
            let is_private = matches!(character, '\u{E000}'..='\u{F8FF}');
            assert!(encode(source) == expected || is_private && encode(source) == b"?", "{character:?}");
        }
    }
}
