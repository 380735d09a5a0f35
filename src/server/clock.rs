//! Whether the wall clock is believed (design.md, section 11).

use crate::book::Book;
use crate::model::rules::{ClockTrust, Rules};
use crate::model::{Civil, ClockState, Now};

/// A wall clock this far behind what it should be is not believed; a step beyond it is an entry.
const TOLERANCE_MS: i64 = 60_000;

/// Watches the wall clock against the monotonic one and against the ledger.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    last: Option<Now>,
    was_synchronized: bool,
    /// As of the last look.
    pub(super) state: ClockState,
}

impl ClockWatch {
    /// Looks at the clocks; gives the time before a step of more than a minute since the last look.
    pub(super) fn look(&mut self, now: &Now) -> Option<Now> {
        self.was_synchronized |= now.synchronized;
        let last = self.last.replace(*now)?;
        let wall = now.stamp.wall.0.saturating_sub(last.stamp.wall.0);
        let mono = i64::try_from(now.mono.ms_since(last.mono)).unwrap_or(i64::MAX);
        (wall.abs_diff(mono) > TOLERANCE_MS.unsigned_abs()).then_some(last)
    }

    /// Whether the wall clock is believed. `is_new` leaves the ledger out: the clock just stepped.
    pub(super) fn judge(&mut self, now: &Now, rules: &Rules, book: &Book, is_new: bool) -> ClockState {
        let floor = book.clock_floor().filter(|_| !is_new);
        let is_behind_ledger = floor.is_some_and(|floor| now.stamp.wall.0.saturating_add(TOLERANCE_MS) < floor.wall.0);
        let is_behind_build = now.stamp.wall.seconds().div_euclid(86_400) < i64::from(rules.built_on.0);
        let is_waiting = match rules.clock {
            ClockTrust::Trust => false,
            ClockTrust::Ntp => !self.was_synchronized,
        };
        let is_unset = !now.synchronized && (is_behind_ledger || is_behind_build || is_waiting);
        self.state = if is_unset { ClockState::Unset } else { ClockState::Ok };
        self.state
    }

    /// Whether the kernel's word would change anything: only then is it worth asking for.
    pub(super) fn wants_kernel(&self, rules: &Rules) -> bool {
        self.state == ClockState::Unset || (rules.clock == ClockTrust::Ntp && !self.was_synchronized)
    }
}

/// What the wall clock would show: itself if believed; else the device's time, if it is a date that is not before the
/// newest believed entry; else that entry's time.
pub(super) fn business_time(book: &Book, now: &Now, clock: ClockState, at_device: Option<Civil>) -> Civil {
    let newest = book.newest_ok().map(|stamp| stamp.civil());
    match (clock, at_device) {
        (ClockState::Ok, _) => now.stamp.civil(),
        (ClockState::Unset, Some(at_device)) if newest.is_none_or(|newest| newest <= at_device) => at_device,
        (ClockState::Unset, _) => newest.unwrap_or(now.stamp.civil()),
    }
}
