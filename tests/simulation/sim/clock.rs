//! The clocks of the router: true time is the simulation's, and what the kernel shows of it is
//! wrong most ways it can be.

use posgate::engine::model::{Civil, Mono, Now, Stamp, Wall};

use super::coverage::Coverage;
use super::random::Random;

/// 2026-03-02 00:00:00 +08:00, a Monday: when every world begins.
pub const BEGIN: Civil = Civil(1_772_409_600);
pub const OFFSET_S: i32 = 8 * 3600;
const HOUR: u64 = 3_600_000;

/// The router's clocks. Times are milliseconds since the world began.
#[derive(Clone, Debug)]
pub struct Clocks {
    process_at: u64,
    /// What the wall clock shows beyond the true time.
    error_ms: i64,
    is_synchronized: bool,
    /// When NTP answers next, and sets the clock right.
    ntp_at: Option<u64>,
}

impl Clocks {
    pub fn new() -> Self {
        Self { process_at: 0, error_ms: 0, is_synchronized: true, ntp_at: None }
    }

    pub fn now(&self, t: u64, wants_kernel: bool) -> Now {
        Now {
            mono: Mono(t - self.process_at),
            stamp: self.stamp(t),
            synchronized: wants_kernel && self.is_synchronized,
        }
    }

    /// The world's time of a process's monotonic time.
    pub fn time_of(&self, mono: Mono) -> u64 {
        self.process_at.saturating_add(mono.0)
    }

    pub fn begin_process(&mut self, t: u64) {
        self.process_at = t;
    }

    /// The router has no battery clock: it starts in 1970, or at the newest file, until NTP
    /// answers.
    pub fn begin_router(&mut self, t: u64, random: &mut Random, coverage: &mut Coverage) {
        let shown = self.stamp(t).wall.0;
        if random.happens(500) {
            coverage.count("fault clock 1970 at boot");
            self.error_ms = -true_wall(t) + 30_000;
        } else {
            coverage.count("fault clock newest file at boot");
            let back = i64::try_from(random.below(12 * HOUR)).expect("hours");
            self.error_ms = (shown - back) - true_wall(t);
        }
        self.is_synchronized = false;
        let wait = if random.happens(800) { random.between(3000, 120_000) } else { random.between(60_000, 6 * HOUR) };
        self.ntp_at = Some(t + wait);
    }

    /// Something sets the clock wrong, or right.
    pub fn step(&mut self, t: u64, random: &mut Random, coverage: &mut Coverage) {
        let years = i64::try_from(random.between(1, 8) * 365 * 24 * HOUR).expect("years");
        let hours = i64::try_from(random.between(1, 30 * HOUR)).expect("hours");
        let seconds = i64::try_from(random.between(1, 180_000)).expect("seconds");
        let (error_ms, name) = match random.below(8) {
            0 | 1 => (seconds, "fault clock stepped ahead"),
            2 | 3 => (-seconds, "fault clock stepped back"),
            4 => (hours, "fault clock stepped ahead"),
            5 => (-hours, "fault clock stepped back"),
            6 => (years, "fault clock years off"),
            _ => (-years, "fault clock years off"),
        };
        coverage.count(name);
        self.error_ms = error_ms;
        self.is_synchronized = random.happens(300);
        self.ntp_at = Some(t + random.between(1000, 4 * HOUR));
    }

    /// Lets NTP answer if its time has come.
    pub fn tick(&mut self, t: u64, coverage: &mut Coverage) {
        if self.ntp_at.is_some_and(|at| at <= t) {
            match self.error_ms {
                ..-60_000 => coverage.count("fault clock stepped ahead by NTP"),
                60_001.. => coverage.count("fault clock stepped back by NTP"),
                _ => coverage.count("fault clock slewed by NTP"),
            }
            self.set_right();
        }
    }

    pub fn set_right(&mut self) {
        self.ntp_at = None;
        self.error_ms = 0;
        self.is_synchronized = true;
    }

    fn stamp(&self, t: u64) -> Stamp {
        Stamp { wall: Wall(true_wall(t) + self.error_ms), offset_s: OFFSET_S }
    }
}

fn true_wall(t: u64) -> i64 {
    (BEGIN.0 - i64::from(OFFSET_S)) * 1000 + i64::try_from(t).expect("a world lasts no ages")
}

/// What a right clock on the wall shows.
pub fn true_civil(t: u64) -> Civil {
    Civil(BEGIN.0 + i64::try_from(t / 1000).expect("a world lasts no ages"))
}
