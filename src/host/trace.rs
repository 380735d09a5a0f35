//! The trace: at `debug` a line per turn says how long each step took (design.md, section 3).
//!
//! ```text
//! turn at=2026-11-22T12:00:00.123+08:00 us=8214 frames=12 entries=9 hear=51 sync=8040 results=123
//! ```
//!
//! `at` is the turn's begin, `us` its length; then come the steps that took a microsecond or more,
//! each with its microseconds. A turn that took neither a frame nor a millisecond has no line.
//! `posgate-sim crowd --server-log FILE` reads these lines to say what the server did when a
//! terminal waited longest. The lines have a target of their own, so that they can be had alone:
//! `RUST_LOG=info,posgate::host::trace=debug`.

use core::fmt;

use log::{Level, debug, log_enabled};

use super::clock;
use crate::engine::model::Now;
use crate::ledger::Storage;
use crate::turn::{Laps, Service};

/// A turn without a frame has a line if it took at least so long, in microseconds.
const IDLE_US: u64 = 1000;

/// Counts at a turn's begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    frames: u64,
    entries: u64,
}

/// The trace of one event loop.
#[derive(Debug, Default)]
pub struct Trace {
    before: Counts,
}

impl Trace {
    /// A turn begins: it woke up.
    pub(super) fn begin<S: Storage>(&mut self, service: &mut Service<'_, S>) {
        let clock: Option<fn() -> u64> = log_enabled!(Level::Debug).then_some(clock::microseconds);
        service.laps().time_by(clock);
        if clock.is_some() {
            self.before = counts(service);
        }
    }

    /// A turn ends, all its work done.
    pub(super) fn end<S: Storage>(&self, now: &Now, service: &mut Service<'_, S>) {
        if !service.laps().is_timed() {
            return;
        }
        let after = counts(service);
        let (frames, entries) = (after.frames - self.before.frames, after.entries - self.before.entries);
        let laps = service.laps();
        let us: u64 = laps.iter().map(|(_, us)| us).sum();
        if frames > 0 || entries > 0 || us >= IDLE_US {
            debug!("turn at={} us={us} frames={frames} entries={entries}{}", now.stamp, Steps(laps));
        }
    }
}

fn counts<S: Storage>(service: &Service<'_, S>) -> Counts {
    Counts { frames: service.server().counters().received, entries: service.ledger().head().seq.0 }
}

/// The steps that took time, each behind a blank.
struct Steps<'a>(&'a Laps);

impl fmt::Display for Steps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().filter(|(_, us)| *us > 0).try_for_each(|(step, us)| write!(f, " {}={us}", step.word()))
    }
}
