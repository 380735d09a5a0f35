//! How long each step of a turn took, for the trace at `debug` (design.md, section 3).
//!
//! Nothing here reads a clock: the host gives one with [`Laps::time_by`], and only while somebody
//! reads the trace. Without it a step costs a comparison.

/// A step of a turn. A turn's steps come in this order, some of them several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Datagrams were received and decided.
    Hear,
    /// Lines of the control socket were answered.
    Orders,
    /// The 001s left.
    Acks,
    /// A new segment began.
    Rotation,
    /// The entries were written.
    Write,
    /// The results left that rest on nothing.
    Prompt,
    /// The entries were synced.
    Sync,
    /// The results left that rest on entries.
    Results,
    /// The ledger's identity was kept.
    Identity,
    /// A snapshot was written.
    Snapshot,
    /// Configuration and cards were read again.
    Reload,
    /// Control clients were answered, and the status files written.
    Status,
}

impl Step {
    /// Every step, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Hear,
        Self::Orders,
        Self::Acks,
        Self::Rotation,
        Self::Write,
        Self::Prompt,
        Self::Sync,
        Self::Results,
        Self::Identity,
        Self::Snapshot,
        Self::Reload,
        Self::Status,
    ];

    /// Its key in the trace.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hear => "hear",
            Self::Orders => "orders",
            Self::Acks => "acks",
            Self::Rotation => "rotation",
            Self::Write => "write",
            Self::Prompt => "prompt",
            Self::Sync => "sync",
            Self::Results => "results",
            Self::Identity => "identity",
            Self::Snapshot => "snapshot",
            Self::Reload => "reload",
            Self::Status => "status",
        }
    }
}

/// The times of one turn's steps.
#[derive(Debug, Default)]
pub struct Laps {
    /// Gives microseconds since any moment; `None`: nothing is timed.
    clock: Option<fn() -> u64>,
    /// When the last step ended.
    last: u64,
    us: [u64; Step::ALL.len()],
}

impl Laps {
    /// From now on times steps by this clock, which gives microseconds; `None`: times none.
    pub fn time_by(&mut self, clock: Option<fn() -> u64>) {
        self.clock = clock;
        self.begin();
    }

    /// Whether steps are timed.
    pub fn is_timed(&self) -> bool {
        self.clock.is_some()
    }

    /// Begins a turn.
    pub fn begin(&mut self) {
        if let Some(clock) = self.clock {
            self.last = clock();
            self.us = Default::default();
        }
    }

    /// A step ends; it began when the step before it ended.
    pub fn end(&mut self, step: Step) {
        if let Some(clock) = self.clock {
            let now = clock();
            self.us[step as usize] += now.saturating_sub(self.last);
            self.last = now;
        }
    }

    /// The steps of this turn so far, with their microseconds.
    pub fn iter(&self) -> impl Iterator<Item = (Step, u64)> + '_ {
        Step::ALL.into_iter().zip(self.us)
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// 32 bits: MIPS has no wider atomic numbers.
    static NOW: AtomicU32 = AtomicU32::new(0);

    fn at(us: u32) {
        NOW.store(us, Ordering::Relaxed);
    }

    #[test]
    fn a_step_takes_as_long_as_since_the_step_before_it() {
        let mut laps = Laps::default();
        laps.end(Step::Sync);
        assert!(!laps.is_timed() && laps.iter().all(|(_, us)| us == 0));
        at(100);
        laps.time_by(Some(|| NOW.load(Ordering::Relaxed).into()));
        at(107);
        laps.end(Step::Hear);
        at(110);
        laps.end(Step::Sync);
        at(150);
        laps.end(Step::Reload);
        at(152);
        laps.end(Step::Sync);
        let taken: Vec<_> = laps.iter().filter(|(_, us)| *us > 0).collect();
        assert_eq!(taken, [(Step::Hear, 7), (Step::Sync, 5), (Step::Reload, 40)]);
        at(1000);
        laps.begin();
        assert!(laps.iter().all(|(_, us)| us == 0), "each turn for itself");
    }

    #[test]
    fn every_step_stands_at_its_number() {
        assert!(Step::ALL.iter().enumerate().all(|(number, step)| *step as usize == number));
    }
}
