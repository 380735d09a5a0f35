//! Tells the program the day it was built on: a clock that shows an earlier one is wrong (design.md, section 11).

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
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
