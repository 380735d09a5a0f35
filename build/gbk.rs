//! Writes the tables of `src/gbk.rs`: encoding_rs knows GBK and GB18030, and is asked here, on the building machine.
//!
//! The crate itself would bring the tables of Japanese, Korean and Taiwanese encodings with it: 186 KB of a router's flash
//! instead of 18 KB.

use std::fmt::Write as _;

use encoding_rs::GB18030;

/// The unified ideographs that GBK has, all of them: U+4E00 to U+9FA5.
const IDEOGRAPHS: std::ops::RangeInclusive<u32> = 0x4E00..=0x9FA5;

/// The first code point that four bytes mean by a formula: 90 30 81 30.
const ASTRAL: u32 = 189_000;

/// The tables, as Rust.
pub fn tables() -> String {
    let mut source = String::new();
    // GB2312's ideographs are in an order of their own; a bit for each says that it is one of them.
    let mut hanzi = Vec::new();
    let mut is_hanzi = vec![0_u32; IDEOGRAPHS.count().div_ceil(32)];
    for lead in 0xB0..=0xF7 {
        for trail in 0xA1..=0xFE {
            let found = decode(&[lead, trail]).filter(|code| IDEOGRAPHS.contains(code));
            if let Some(code) = found {
                let at = (code - IDEOGRAPHS.start()) as usize;
                is_hanzi[at / 32] |= 1 << (at % 32);
            }
            hanzi.push(found.unwrap_or(0));
        }
    }
    array(&mut source, "HANZI", "u16", &hanzi);
    array(&mut source, "IS_HANZI", "u32", &is_hanzi);

    // The other pairs, but for the ideographs that stand in the order of Unicode: a run where both count on together.
    let mut runs: Vec<(u32, u32, u32)> = Vec::new();
    for pair in 0..126 * 190_u32 {
        let (lead, trail) = (pair / 190 + 0x81, pair % 190 + 0x40);
        let trail = if trail >= 0x7F { trail + 1 } else { trail };
        let bytes = [lead, trail].map(|byte| u8::try_from(byte).expect("a byte"));
        let Some(code) = decode(&bytes).filter(|code| !IDEOGRAPHS.contains(code)) else { continue };
        match runs.last_mut() {
            Some((first, start, count)) if *first + *count == pair && *start + *count == code => *count += 1,
            _ => runs.push((pair, code, 1)),
        }
    }
    triples(&mut source, "PAIRS", &runs);

    // Four bytes: what two have no room for, in the order of Unicode, so in few runs.
    let mut runs: Vec<(u32, u32, u32)> = Vec::new();
    for number in 0..ASTRAL {
        let Some(code) = decode(&four(number)) else { continue };
        match runs.last_mut() {
            Some((first, start, count)) if *first + *count == number && *start + *count == code => *count += 1,
            _ => runs.push((number, code, 1)),
        }
    }
    triples(&mut source, "FOURS", &runs);
    source
}

/// The bytes of a number of the four-byte forms.
fn four(number: u32) -> [u8; 4] {
    [number / 12_600 + 0x81, number / 1260 % 10 + 0x30, number / 10 % 126 + 0x81, number % 10 + 0x30]
        .map(|byte| u8::try_from(byte).expect("a byte"))
}

/// The one character of these bytes.
fn decode(bytes: &[u8]) -> Option<u32> {
    let text = GB18030.decode_without_bom_handling_and_without_replacement(bytes)?;
    let mut characters = text.chars();
    characters.next().filter(|_| characters.next().is_none()).map(u32::from)
}

fn array(source: &mut String, name: &str, of: &str, values: &[u32]) {
    writeln!(source, "#[allow(clippy::unreadable_literal)]\nstatic {name}: [{of}; {}] = {values:?};", values.len())
        .expect("a String grows");
}

fn triples(source: &mut String, name: &str, runs: &[(u32, u32, u32)]) {
    writeln!(
        source,
        "#[allow(clippy::unreadable_literal)]\nstatic {name}: [(u16, u16, u16); {}] = {runs:?};",
        runs.len()
    )
    .expect("a String grows");
}
