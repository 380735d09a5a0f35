//! The simulator's clocks: the only place here that reads one.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use posgate::engine::model::Civil;

/// Time since the simulator started: drives devices and measures latencies.
pub type Moment = Duration;

/// Both clocks of this machine.
pub struct Clock {
    start: Instant,
}

#[allow(clippy::disallowed_methods, reason = "virtual devices live in real time; the server's one reader is elsewhere")]
impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// How long ago that was.
    pub fn now(&self) -> Moment {
        self.start.elapsed()
    }

    /// What this machine's wall clock shows, in its own time zone.
    pub fn local() -> Civil {
        Self::in_zone(Self::since_epoch().as_secs().cast_signed())
    }

    fn in_zone(unix: i64) -> Civil {
        let zone = tz::TimeZone::local().ok();
        let offset = zone.and_then(|zone| zone.find_local_time_type(unix).map(tz::LocalTimeType::ut_offset).ok());
        Civil(unix + i64::from(offset.unwrap_or(0)))
    }

    /// Tenths of a second since 1970: a frame number to begin with that a run a moment ago hardly
    /// used.
    pub fn tenths() -> u64 {
        u64::try_from(Self::since_epoch().as_millis() / 100).unwrap_or(0)
    }

    /// Microseconds since 1970: the server's log dates its turns by the same clock.
    pub fn unix_us() -> i64 {
        i64::try_from(Self::since_epoch().as_micros()).unwrap_or(i64::MAX)
    }

    /// The local time of day of a moment in microseconds since 1970, with milliseconds.
    pub fn time_of_day_at(unix_us: i64) -> String {
        let second = Self::in_zone(unix_us.div_euclid(1_000_000)).to_string().split_off(11);
        format!("{second}.{:03}", unix_us.rem_euclid(1_000_000) / 1000)
    }

    fn since_epoch() -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}
