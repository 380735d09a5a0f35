//! Text for the displays: GBK, cleaned and cut on a character boundary (protocol.md, *Server → device*); and GB18030, in
//! which a spreadsheet may save a card table.
//!
//! 0x5C `\`, 0x7B `{`, 0x7D `}` and 0x7C occur as second bytes of GBK characters, so cleaning looks at
//! characters, before encoding; afterwards nobody touches single bytes.
//!
//! The tables are small because most of GBK follows a rule: it has the 20,902 unified ideographs, and those that the older
//! GB2312 lacks stand in the order of Unicode. `build/gbk.rs` writes them.
//!
//! ```text
//! second byte  40 …………… 7E 80 …… A0 A1 ………………… FE
//! first  81–A0 ideographs that GB2312 lacks            by rank
//!        A1–A9                      | signs            PAIRS
//!        AA–AF ideographs (by rank) | private use      PAIRS
//!        B0–F7 ideographs (by rank) | GB2312's own     HANZI
//!        F8–FE ideographs (by rank) | private use      PAIRS
//! four bytes, first and third 81–FE, second and fourth 30–39: the rest of Unicode  FOURS, and a formula
//! ```

use std::borrow::Cow;

include!(concat!(env!("OUT_DIR"), "/gbk.rs"));

/// The first and the last of the ideographs that GBK has.
const IDEOGRAPHS: std::ops::RangeInclusive<u32> = 0x4E00..=0x9FA5;

/// Encodes text for a display; a character outside GBK becomes `?`. May allocate: names and templates are
/// encoded once, at load.
pub fn encode(text: &str) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len());
    for character in text.chars() {
        match pair(character) {
            _ if character.is_ascii() => encoded.push(character as u8),
            Some(pair) => encoded.extend_from_slice(&pair),
            None => encoded.push(b'?'),
        }
    }
    encoded
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

/// The longest length of at most `len_max` that does not split a GBK character.
pub fn cut(encoded: &[u8], len_max: usize) -> usize {
    let mut len = 0;
    while len < encoded.len() {
        let next = len + if encoded[len] >= 0x81 { 2 } else { 1 };
        if next > len_max || next > encoded.len() {
            break;
        }
        len = next;
    }
    len
}

/// Decodes GBK for people (logs, sims, tests), or a file: what is neither GBK nor GB18030 becomes U+FFFD. Allocates where it must.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.is_ascii()
    {
        return Cow::Borrowed(text);
    }
    Cow::Owned(characters(bytes).map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

/// Whether all of it is GBK or GB18030.
pub fn is_valid(bytes: &[u8]) -> bool {
    characters(bytes).all(|character| character.is_some())
}

/// The characters; `None` for bytes that are none. A byte below 0x80 is never swallowed by a broken one before it.
fn characters(mut bytes: &[u8]) -> impl Iterator<Item = Option<char>> {
    std::iter::from_fn(move || {
        let (character, len) = first(bytes)?;
        bytes = &bytes[len..];
        Some(character)
    })
}

/// The first character, if its bytes are one, and how many they are; nothing at the end.
fn first(bytes: &[u8]) -> Option<(Option<char>, usize)> {
    let (lead, rest) = bytes.split_first()?;
    let found = match (lead, rest) {
        (0..=0x7F, _) => (Some(char::from(*lead)), 1),
        (0x80, _) => (Some('€'), 1),
        (0xFF, _) => (None, 1),
        (_, [0x30..=0x39, 0x81..=0xFE, 0x30..=0x39, ..]) => (of_four(*lead, rest), 4),
        // Cut off within four bytes.
        (_, [0x30..=0x39] | [0x30..=0x39, 0x81..=0xFE]) => (None, bytes.len()),
        (_, [trail @ (0x40..=0x7E | 0x80..=0xFE), ..]) => match of_pair(*lead, *trail) {
            None if trail.is_ascii() => (None, 1),
            character => (character, 2),
        },
        (_, [0xFF, ..]) => (None, 2),
        (_, _) => (None, 1),
    };
    Some(found)
}

/// The character of two bytes.
fn of_pair(lead: u8, trail: u8) -> Option<char> {
    let hanzi = hanzi_place(lead, trail).map_or(0, |place| HANZI[place]);
    if hanzi != 0 {
        return char::from_u32(u32::from(hanzi));
    }
    let number = u16::from(lead - 0x81) * 190 + u16::from(trail - 0x40) - u16::from(trail > 0x7F);
    if let Some(character) = in_runs(&PAIRS, number) {
        return Some(character);
    }
    let mut rank = if lead <= 0xA0 {
        u32::from(number)
    } else if lead >= 0xAA && trail <= 0xA0 {
        32 * 190 + u32::from(lead - 0xAA) * 96 + u32::from(number % 190)
    } else {
        return None;
    };
    // The ideograph outside GB2312 with that many such ones before it.
    for (word, is_hanzi) in (0..).zip(&IS_HANZI) {
        if rank < is_hanzi.count_zeros() {
            let bit = (0..32).filter(|bit| is_hanzi >> bit & 1 == 0).nth(rank as usize)?;
            return Some(IDEOGRAPHS.start() + word * 32 + bit)
                .filter(|code| IDEOGRAPHS.contains(code))
                .and_then(char::from_u32);
        }
        rank -= is_hanzi.count_zeros();
    }
    None
}

/// The two bytes of a character.
fn pair(character: char) -> Option<[u8; 2]> {
    if character == '€' {
        // A lone 0x80 to some, A2 E3 to later ones: devices know neither.
        return None;
    }
    let code = u32::from(character);
    if !IDEOGRAPHS.contains(&code) {
        let number = run_of(&PAIRS, code)?;
        let trail = 0x40 + number % 190;
        return Some([byte(0x81 + number / 190), byte(trail + u32::from(trail >= 0x7F))]);
    }
    let place = code - IDEOGRAPHS.start();
    let (word, bit) = (place as usize / 32, place % 32);
    if IS_HANZI[word] >> bit & 1 == 1 {
        let place = HANZI.iter().position(|hanzi| u32::from(*hanzi) == code)?;
        return Some([byte(0xB0 + place as u32 / 94), byte(0xA1 + place as u32 % 94)]);
    }
    let before: u32 = IS_HANZI[..word].iter().map(|word| word.count_zeros()).sum();
    let rank = before + (!IS_HANZI[word] & ((1 << bit) - 1)).count_ones();
    let (lead, trail) = match rank.checked_sub(32 * 190) {
        None => (0x81 + rank / 190, 0x40 + rank % 190),
        Some(rank) => (0xAA + rank / 96, 0x40 + rank % 96),
    };
    Some([byte(lead), byte(trail + u32::from(trail >= 0x7F))])
}

/// The character of four bytes.
fn of_four(lead: u8, rest: &[u8]) -> Option<char> {
    let number = ((u32::from(lead - 0x81) * 10 + u32::from(rest[0] - 0x30)) * 126 + u32::from(rest[1] - 0x81)) * 10
        + u32::from(rest[2] - 0x30);
    match number.checked_sub(189_000) {
        Some(astral) => char::from_u32(0x1_0000 + astral),
        None => in_runs(&FOURS, u16::try_from(number).ok()?),
    }
}

/// Where two bytes stand among GB2312's ideographs.
fn hanzi_place(lead: u8, trail: u8) -> Option<usize> {
    let is_hanzi = (0xB0..=0xF7).contains(&lead) && (0xA1..=0xFE).contains(&trail);
    is_hanzi.then(|| usize::from(lead - 0xB0) * 94 + usize::from(trail - 0xA1))
}

/// Runs are in the order of their numbers: (first number, first code point, count).
fn in_runs(runs: &[(u16, u16, u16)], number: u16) -> Option<char> {
    let after = runs.partition_point(|(first, ..)| *first <= number);
    let (first, code, count) = runs[..after].last()?;
    (number - first < *count).then(|| char::from_u32(u32::from(*code) + u32::from(number - first)))?
}

/// The other way round.
fn run_of(runs: &[(u16, u16, u16)], code: u32) -> Option<u32> {
    let (first, start, _) = runs.iter().find(|(_, start, count)| {
        code.checked_sub(u32::from(*start)).is_some_and(|offset| offset < u32::from(*count))
    })?;
    Some(u32::from(*first) + code - u32::from(*start))
}

fn byte(value: u32) -> u8 {
    u8::try_from(value).expect("the two bytes of a pair are at most FE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gbk_lacks_becomes_a_question_mark() {
        assert_eq!(encode("张三"), b"\xD5\xC5\xC8\xFD");
        assert_eq!(encode("a€b😀c𠀀"), b"a?b?c?");
        assert_eq!(encode("\u{e5e5}"), b"?");
    }

    /// What encoding_rs makes of a character, as `encode` wants it: two bytes, and no euro sign.
    fn told(character: char) -> Option<Vec<u8>> {
        let text = character.to_string();
        let (bytes, _, is_lossy) = encoding_rs::GBK.encode(&text);
        // It still encodes a few private code points of old standards, whose bytes now mean a public one.
        let is_current = encoding_rs::GBK.decode_without_bom_handling(&bytes).0 == text;
        (!is_lossy && character != '€' && bytes.len() <= 2 && is_current).then(|| bytes.into_owned())
    }

    #[test]
    fn every_character_is_encoded_as_encoding_rs_does() {
        let beyond = ('\u{10000}'..=char::MAX).step_by(257);
        for character in ('\0'..='\u{FFFF}').chain(beyond) {
            let expected = told(character).unwrap_or_else(|| vec![b'?']);
            assert_eq!(encode(character.encode_utf8(&mut [0; 4])), expected, "U+{:04X}", u32::from(character));
        }
    }

    #[test]
    fn every_pair_and_every_four_bytes_are_decoded_as_encoding_rs_does() {
        let pairs = (0..=u16::MAX).map(|pair| pair.to_be_bytes().to_vec());
        let four = |number: u32| {
            let bytes =
                [number / 12_600 + 0x81, number / 1260 % 10 + 0x30, number / 10 % 126 + 0x81, number % 10 + 0x30];
            bytes.map(byte).to_vec()
        };
        let fours = (0..40_000).chain((40_000..126 * 12_600).step_by(997)).map(four);
        for mut bytes in pairs.chain(fours) {
            bytes.push(b'x');
            let expected = encoding_rs::GB18030.decode_without_bom_handling(&bytes).0;
            assert_eq!(decode(&bytes), expected, "{bytes:02X?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_decoded_as_encoding_rs_does(
            bytes in proptest::collection::vec(proptest::prop_oneof![0x2F..=0x3A_u8, 0x7F..=0x82_u8, 0xA0..=0xFF_u8, proptest::prelude::any::<u8>()], 0..12),
        ) {
            let (expected, is_lossy) = encoding_rs::GB18030.decode_without_bom_handling(&bytes);
            proptest::prop_assert_eq!(decode(&bytes), expected);
            proptest::prop_assert_eq!(is_valid(&bytes), !is_lossy);
        }
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
}
