//! The one place that reads clocks (CONTRIBUTING.md, *Two clocks, never confused*).
//!
//! Everything else receives a [`Now`]. The monotonic time counts from the creation of the [`Clock`]
//! and drives timers; the wall clock stamps records. Whether the kernel's clock is synchronized
//! costs a system call, so the kernel is asked only if the answer is needed, and at most once per
//! second (design.md, section 11).

use core::cell::Cell;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::engine::model::{Date, Mono, Now, Wall};
use crate::files::zone::Zone;
use crate::host::kernel;

/// The day on which the program was built, `YYYY-MM-DD` in UTC (from `SOURCE_DATE_EPOCH` if the
/// build sets it).
pub(crate) const BUILT_ON: &str = env!("POSGATE_BUILT_ON");

/// How long the kernel's answer is reused, in milliseconds.
const ASK_MS: u64 = 1000;

/// Wall times are clamped to the years 2 to 9998, so that the year of a stamp has four digits in
/// every zone.
const WALL_MIN: Wall = Wall(-62_104_060_800_000);
/// The upper bound; see [`WALL_MIN`].
const WALL_MAX: Wall = Wall(253_370_764_799_999);

/// Reads the machine's clocks. A process makes one.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    /// When the kernel was last asked whether its clock is synchronized, and its answer.
    asked: Cell<Option<(Mono, bool)>>,
}

impl Clock {
    /// A clock whose monotonic time begins at 0 now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads clocks")]
    #[allow(clippy::new_without_default, reason = "a default suggests that two clocks are equal")]
    pub fn new() -> Self {
        Self { start: Instant::now(), asked: Cell::new(None) }
    }

    /// Reads the clocks. If `wanted`, `synchronized` is the kernel's answer, up to one second old;
    /// otherwise `false`.
    pub fn now(&self, zone: &Zone, wanted: bool) -> Now {
        let mono = self.mono();
        Now { mono, stamp: zone.stamp(wall()), synchronized: wanted && self.synchronized(mono, kernel::synchronized) }
    }

    /// The monotonic time alone: milliseconds since [`Clock::new`].
    pub fn mono(&self) -> Mono {
        let elapsed = self.start.elapsed();
        // Not `as_millis`, which reckons with 128 bits.
        Mono(elapsed.as_secs().saturating_mul(1000).saturating_add(u64::from(elapsed.subsec_millis())))
    }

    fn synchronized(&self, mono: Mono, ask: impl FnOnce() -> bool) -> bool {
        if let Some((asked, answer)) = self.asked.get()
            && mono.ms_since(asked) < ASK_MS
        {
            return answer;
        }
        let answer = ask();
        self.asked.set(Some((mono, answer)));
        answer
    }
}

/// Microseconds since the process first asked, for the trace alone ([`super::trace`]).
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads clocks")]
pub(crate) fn microseconds() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    u64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Reads the wall clock alone. It may show any time, even one before 1970.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads clocks")]
pub fn wall() -> Wall {
    wall_of(SystemTime::now())
}

/// The beginning of the day on which the program was built, in UTC: a clock that shows an earlier
/// time is wrong.
pub fn built_on() -> Wall {
    let date = Date::parse(BUILT_ON.as_bytes()).expect("build.rs writes a date");
    Wall(i64::from(date.0) * 86_400_000)
}

fn wall_of(time: SystemTime) -> Wall {
    let ms = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => {
            let seconds = i64::try_from(after.as_secs()).unwrap_or(i64::MAX);
            seconds.saturating_mul(1000).saturating_add(i64::from(after.subsec_millis()))
        }
        // Rounded down like times after 1970, so that the millisecond around 1970 is not twice as
        // long.
        Err(error) => i64::try_from(error.duration().as_nanos().div_ceil(1_000_000)).map_or(i64::MIN, |before| -before),
    };
    Wall(ms).clamp(WALL_MIN, WALL_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::{Civil, Stamp};
    use std::time::Duration;

    #[test]
    fn a_time_before_1970_is_rounded_down_like_one_after() {
        let at = |ns: i64| {
            let distance = Duration::from_nanos(ns.unsigned_abs());
            wall_of(if ns < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }).0
        };
        assert_eq!(at(1_999_999), 1);
        assert_eq!(at(0), 0);
        assert_eq!(at(-1), -1);
        assert_eq!(at(-1_000_000), -1);
        assert_eq!(at(-1_000_001), -2);
    }

    #[test]
    fn an_absurd_time_still_has_a_stamp_of_29_characters() {
        let far = Duration::from_secs(1 << 62);
        for time in [UNIX_EPOCH.checked_add(far), UNIX_EPOCH.checked_sub(far)].into_iter().flatten() {
            for offset_s in [-86_340, 0, 86_340] {
                let text = Stamp { wall: wall_of(time), offset_s }.to_string();
                assert_eq!(text.len(), 29, "{text}");
                assert!(Stamp::parse(&text).is_some(), "{text}");
            }
        }
        let civil = |wall: Wall| Civil(wall.seconds()).to_string();
        assert_eq!(civil(WALL_MIN), "0002-01-01 00:00:00");
        assert_eq!(civil(WALL_MAX), "9998-12-31 23:59:59");
    }

    #[test]
    fn the_kernel_is_asked_at_most_once_per_second_and_only_if_wanted() {
        let clock = Clock::new();
        let asked = Cell::new(0);
        let ask = |ms, answer| {
            clock.synchronized(Mono(ms), || {
                asked.set(asked.get() + 1);
                answer
            })
        };
        assert!(!ask(5000, false));
        assert!(!ask(5999, true));
        assert_eq!(asked.get(), 1);
        assert!(ask(6000, true));
        assert!(ask(6999, false));
        assert_eq!(asked.get(), 2);

        let idle = Clock::new();
        assert!(!idle.now(&Zone::utc(), false).synchronized);
        assert_eq!(idle.asked.get(), None);
        let _ = idle.now(&Zone::utc(), true);
        assert!(idle.asked.get().is_some());
    }

    #[test]
    fn the_build_date_begins_its_day_in_utc() {
        assert_eq!(Stamp { wall: built_on(), offset_s: 0 }.to_string(), format!("{BUILT_ON}T00:00:00.000+00:00"));
    }

    #[test]
    fn the_monotonic_time_goes_forward() {
        let clock = Clock::new();
        let first = clock.now(&Zone::utc(), false).mono;
        assert!(first <= clock.mono());
    }
}
