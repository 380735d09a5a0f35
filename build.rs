//! Tells the program the day it was built on: a clock that shows an earlier one is wrong (design.md, section 11); and writes the
//! tables of GB18030.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use encoding_rs::GB18030;

fn main() {
    write_tables(Path::new(&std::env::var_os("OUT_DIR").expect("cargo names OUT_DIR")));
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.trim().parse().expect("SOURCE_DATE_EPOCH is a number of seconds since 1970"),
        Err(_) => today(),
    };
    // Howard Hinnant, chrono-compatible low-level date algorithms, civil_from_days: the years begin in March.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    println!("cargo::rustc-env=POSGATE_BUILT_ON={year:04}-{month:02}-{day:02}");
}

#[expect(clippy::disallowed_methods, reason = "a build has no clock to be given")]
fn today() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the building machine's clock is past 1970").as_secs()
}

/// GB18030 as the program carries it: 48 KB of the 180 KB that encoding_rs takes, which links every encoding's tables
/// whichever is used. Two files: `gb18030-two`, the code point of each pair of bytes, in order, as 16 bits, little endian;
/// `gb18030-four`, the ranges of four bytes within which code points follow one another: pointer and code point of the first of each.
fn write_tables(directory: &Path) {
    let decode = |bytes: &[u8]| {
        let text = GB18030.decode_without_bom_handling_and_without_replacement(bytes)?;
        let mut characters = text.chars();
        Some(u32::from(characters.next()?)).filter(|_| characters.next().is_none())
    };
    let mut two = Vec::new();
    for lead in 0x81..=0xFE {
        for trail in (0x40..=0x7E).chain(0x80..=0xFE) {
            let point = decode(&[lead, trail]).expect("every pair of bytes is a character");
            two.extend(u16::try_from(point).expect("no pair of bytes is beyond 16 bits").to_le_bytes());
        }
    }
    fs::write(directory.join("gb18030-two"), two).expect("OUT_DIR can be written");

    let mut four = Vec::new();
    let mut expected = None;
    for pointer in 0..39_420_u16 {
        let [lead, second, third, fourth] = [pointer / 12_600, pointer / 1260 % 10, pointer / 10 % 126, pointer % 10];
        let byte =
            |from: u8, offset: u16| from + u8::try_from(offset).expect("an offset within the bytes that are used");
        let point = decode(&[byte(0x81, lead), byte(0x30, second), byte(0x81, third), byte(0x30, fourth)]);
        if let Some(point) = point.filter(|point| Some(*point) != expected) {
            four.extend(pointer.to_le_bytes());
            four.extend(u16::try_from(point).expect("these are within 16 bits").to_le_bytes());
        }
        expected = point.map(|point| point + 1);
    }
    fs::write(directory.join("gb18030-four"), four).expect("OUT_DIR can be written");
}
