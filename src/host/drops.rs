//! Logs datagrams that the kernel dropped before we could read them.
//!
//! The status file has their number. The kernel is asked after turns that read a full batch, at
//! most once per second, and at the end: a buffer that overflowed was full.

use log::warn;

use crate::engine::limits::TURN_BATCH;
use crate::engine::model::Mono;

/// Least time between two questions to the kernel, in milliseconds.
const ASK_MS: u64 = 1000;

/// Least time between two warnings, in milliseconds.
const WARN_MS: u64 = 60_000;

/// Which dropped datagrams are logged already.
#[derive(Debug, Default)]
pub(crate) struct Drops {
    asked: Option<Mono>,
    warned: Option<Mono>,
    /// Datagrams in the warnings so far.
    logged: u64,
}

impl Drops {
    /// Called after a turn that read `received` datagrams. `lost` returns the datagrams dropped so
    /// far; it is rarely called.
    pub(crate) fn after_turn(&mut self, now: Mono, received: usize, lost: impl FnOnce() -> u64) {
        let is_due = self.asked.is_none_or(|asked| now.ms_since(asked) >= ASK_MS);
        if received < TURN_BATCH || !is_due {
            return;
        }
        self.asked = Some(now);
        if self.warned.is_none_or(|warned| now.ms_since(warned) >= WARN_MS) && self.log(lost()) > 0 {
            self.warned = Some(now);
        }
    }

    /// Called at the end; `lost` is the total.
    pub(crate) fn finish(&mut self, lost: u64) {
        self.log(lost);
    }

    /// Logs the datagrams that are not logged yet; returns their number.
    fn log(&mut self, lost: u64) -> u64 {
        let new = lost.saturating_sub(self.logged);
        if new > 0 {
            warn!("lost datagrams={new}: they came faster than they could be read; a larger net.core.rmem_max helps");
        }
        self.logged = lost;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_full_batches_the_kernel_is_asked_once_per_second_and_losses_are_logged_once_per_minute() {
        let mut drops = Drops::default();
        let (mut asked, mut logged) = (0, Vec::new());
        for at_ms in 0..130_000 {
            drops.after_turn(Mono(at_ms), TURN_BATCH - 1, || unreachable!("nothing was full"));
            let before = drops.logged;
            drops.after_turn(Mono(at_ms), TURN_BATCH, || {
                asked += 1;
                at_ms
            });
            if drops.logged != before {
                logged.push(drops.logged);
            }
        }
        assert_eq!(logged, [1000, 61_000, 121_000]);
        assert!(asked <= 130, "{asked}");
        drops.finish(130_000);
        assert_eq!(drops.logged, 130_000);
    }
}
