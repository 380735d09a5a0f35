//! Datagrams that the kernel had no room for: nothing is lost silently, not even before it arrives.
//!
//! The status file has their number; here the log is told. The kernel is asked after turns that
//! found many datagrams waiting, at most once a second, and at the end: a buffer that overflowed
//! was full.

use log::warn;

use crate::engine::limits::TURN_BATCH;
use crate::engine::model::Mono;

/// How often the kernel is asked at most.
const ASKED_MS: u64 = 1000;

/// How often losses are warned about at most.
const TOLD_MS: u64 = 60_000;

/// What was lost, and what the log knows of it.
#[derive(Debug, Default)]
pub struct Drops {
    asked: Option<Mono>,
    told: Option<Mono>,
    /// As many the log knows of.
    known: u64,
}

impl Drops {
    /// After a turn that took so many datagrams; `lost` gives what was lost until now, and is
    /// mostly not asked.
    pub fn after_turn(&mut self, now: Mono, received: usize, lost: impl FnOnce() -> u64) {
        let is_due = self.asked.is_none_or(|asked| now.ms_since(asked) >= ASKED_MS);
        if received < TURN_BATCH || !is_due {
            return;
        }
        self.asked = Some(now);
        if self.told.is_none_or(|told| now.ms_since(told) >= TOLD_MS) && self.tell(lost()) > 0 {
            self.told = Some(now);
        }
    }

    /// At the end, `lost` in all.
    pub fn finish(&mut self, lost: u64) {
        self.tell(lost);
    }

    /// Tells what the log does not know yet, and gives its number.
    fn tell(&mut self, lost: u64) -> u64 {
        let new = lost.saturating_sub(self.known);
        if new > 0 {
            warn!("lost datagrams={new}: they came faster than they could be read; a larger net.core.rmem_max helps");
        }
        self.known = lost;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_asked_once_a_second_after_a_full_batch_and_losses_are_told_once_a_minute() {
        let mut drops = Drops::default();
        let (mut asked, mut told) = (0, Vec::new());
        for at_ms in 0..130_000 {
            drops.after_turn(Mono(at_ms), TURN_BATCH - 1, || unreachable!("nothing was full"));
            let known = drops.known;
            drops.after_turn(Mono(at_ms), TURN_BATCH, || {
                asked += 1;
                at_ms
            });
            if drops.known != known {
                told.push(drops.known);
            }
        }
        assert_eq!(told, [1000, 61_000, 121_000]);
        assert!(asked <= 130, "{asked}");
        drops.finish(130_000);
        assert_eq!(drops.known, 130_000);
    }
}
