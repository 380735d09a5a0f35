//! Whether the wall clock is believed, and what devices are told of it (design.md, section 11).

use log::{debug, info};

use super::{Context, Effects, Server, Timer};
use crate::book::Book;
use crate::limits::TURN_BATCH;
use crate::model::rules::{ClockTrust, Rules};
use crate::model::{ClockState, DeviceTime, Entry, Kind, Mono, Now};
use crate::wheel::TimerId;
use crate::wire::{Buffer, Reply};

/// A device is told the time at most this often for frames whose time is off.
const TOLD_MS: u64 = 3_600_000;

/// How often the clock is looked at while a device waits for it to be set.
const POLL_MS: u64 = 10_000;

/// An unset clock is warned about after this long.
const WARN_MS: u64 = 600_000;

/// A wall clock this far behind what it should be is not believed; a step beyond it is an entry.
const TOLERANCE_MS: i64 = 60_000;

/// Why the wall clock is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockFault {
    /// It shows a time before the newest entry of the ledger.
    BehindLedger,
    /// It shows a time before the program was built.
    BehindBuild,
    /// `clock 'ntp'`: the kernel did not yet call itself synchronized in this boot.
    NotSynchronized,
}

impl ClockFault {
    /// The word that status uses.
    pub const fn word(self) -> &'static str {
        match self {
            Self::BehindLedger => "behind-ledger",
            Self::BehindBuild => "behind-build",
            Self::NotSynchronized => "not-synchronized",
        }
    }
}

/// Watches the wall clock against the monotonic one and against the ledger.
#[derive(Debug)]
pub(super) struct ClockWatch {
    last: Option<Now>,
    /// Whether that time was judged, by the rules and the book that are in force.
    has_judged: bool,
    was_synchronized: bool,
    /// Why the clock would not be believed without the kernel's word.
    fault: Option<ClockFault>,
    /// Whether the kernel's word decides: there is a fault, or nobody has looked yet.
    needs_kernel: bool,
    /// When the state last became what it is.
    since: Mono,
    /// As of the last look.
    pub(super) state: ClockState,
}

impl ClockWatch {
    /// Before the first look, when the kernel's word may well decide.
    pub(super) const fn new() -> Self {
        Self {
            last: None,
            has_judged: false,
            was_synchronized: false,
            fault: None,
            needs_kernel: true,
            since: Mono(0),
            state: ClockState::Ok,
        }
    }

    /// Whether this very time was judged before, as it is for all frames of a turn but the first.
    pub(super) fn has_judged(&self, now: &Now) -> bool {
        self.has_judged && self.last == Some(*now)
    }

    /// What it was judged by changed: the rules, or the book.
    pub(super) fn forget(&mut self) {
        self.has_judged = false;
    }

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
        let is_behind_build = now.stamp.wall.0 < i64::from(rules.built_on.0) * 86_400_000;
        let is_waiting = match rules.clock {
            ClockTrust::Trust => false,
            ClockTrust::Ntp => !self.was_synchronized,
        };
        self.fault = match (is_behind_ledger, is_behind_build, is_waiting) {
            (true, _, _) => Some(ClockFault::BehindLedger),
            (false, true, _) => Some(ClockFault::BehindBuild),
            (false, false, true) => Some(ClockFault::NotSynchronized),
            (false, false, false) => None,
        };
        self.needs_kernel = self.fault.is_some();
        let is_unset = !now.synchronized && self.needs_kernel;
        let state = if is_unset { ClockState::Unset } else { ClockState::Ok };
        if state != self.state {
            self.since = now.mono;
        }
        self.state = state;
        self.has_judged = true;
        state
    }

    /// Why the clock is not believed, and since when; `None`: it is.
    pub(super) fn fault(&self) -> Option<(ClockFault, Mono)> {
        self.fault.filter(|_| self.state == ClockState::Unset).map(|fault| (fault, self.since))
    }

    /// What the kernel said of its clock; `None`: it mattered not, and was not asked.
    pub(super) fn kernel_word(&self) -> Option<bool> {
        (self.was_synchronized || self.needs_kernel).then_some(self.was_synchronized)
    }

    /// Whether the kernel's word would change anything: only then is it worth asking for.
    pub(super) fn wants_kernel(&self) -> bool {
        self.needs_kernel
    }
}

/// The clock's own timers on their way.
#[derive(Debug, Default)]
pub(super) struct ClockTimers {
    pub(super) is_polling: bool,
    pub(super) warning: Option<TimerId>,
}

impl Server<'_> {
    /// Looks at the clocks before anything else is done with `now`.
    pub(super) fn watch_clock(&mut self, now: &Now, fx: &mut Effects) {
        if self.clock.has_judged(now) {
            return;
        }
        let before = self.clock.state;
        let stepped_from = self.clock.look(now);
        let state = self.clock.judge(now, &self.rules, &self.tables.book, stepped_from.is_some());
        if let Some(was) = stepped_from {
            let mut entry = Entry::new(Kind::Clock, now.stamp, state);
            entry.detail.push("was", was.stamp);
            entry.detail.push("now", now.stamp);
            self.append(&mut entry, now, fx);
            info!("clock was={} now={} state={}", was.stamp, now.stamp, state.word());
        }
        self.clock_changed(now, before, state, fx);
    }

    /// What follows if the clock is believed now and was not before, or the other way round.
    pub(super) fn clock_changed(&mut self, now: &Now, before: ClockState, state: ClockState, fx: &mut Effects) {
        match (before, state) {
            (ClockState::Ok, ClockState::Unset) => {
                self.clock_timers.warning = self.tables.wheel.arm(now.mono.plus_ms(WARN_MS), Timer::ClockWarn);
                info!("clock state=unset now={}", now.stamp);
            }
            (ClockState::Unset, ClockState::Ok) => {
                info!("clock state=ok now={}", now.stamp);
                if let Some(timer) = self.clock_timers.warning.take() {
                    self.tables.wheel.cancel(timer);
                }
                self.pay_owed_clocks(now, fx);
            }
            (ClockState::Ok, ClockState::Ok) | (ClockState::Unset, ClockState::Unset) => (),
        }
    }

    pub(super) fn pay_owed_clocks(&mut self, now: &Now, fx: &mut Effects) {
        for device in 0..self.tables.devices.rows().len() {
            // What finds no room in this turn is paid at the next look.
            if self.tables.devices.get(device).clock_owed && fx.prompt.has_room(TURN_BATCH) {
                self.tell_time(now, device, fx);
            }
        }
        self.poll_clock(now);
    }

    /// Looks at the clock again soon if a device waits for it.
    pub(super) fn poll_clock(&mut self, now: &Now) {
        if !self.clock_timers.is_polling && self.tables.devices.rows().iter().any(|device| device.clock_owed) {
            let timer = self.tables.wheel.arm(now.mono.plus_ms(POLL_MS), Timer::ClockPoll);
            self.clock_timers.is_polling = timer.is_some();
        }
    }

    /// A device whose frames are off gets the time, at most hourly.
    pub(super) fn check_device_clock(&mut self, context: &Context, time: &DeviceTime, fx: &mut Effects) {
        self.note_offset(context, time);
        if context.clock == ClockState::Unset || !self.is_off(context, time) {
            return;
        }
        let told = self.tables.devices.get(context.device).clock_told;
        if told.is_none_or(|told| context.now.mono.ms_since(told) >= TOLD_MS) {
            self.tell_time(&context.now, context.device, fx);
        }
    }

    /// How far the device's clock is ahead of ours, for status; unknown where either is no date.
    pub(super) fn note_offset(&mut self, context: &Context, time: &DeviceTime) {
        let ours = context.now.stamp.civil().0;
        let offset = time.civil.filter(|_| context.clock == ClockState::Ok).map(|at_device| at_device.0 - ours);
        self.tables.devices.get_mut(context.device).clock_offset_s = offset;
    }

    pub(super) fn is_off(&self, context: &Context, time: &DeviceTime) -> bool {
        let tolerance = u64::from(self.rules.clock_tolerance_s);
        time.civil.is_none_or(|at_device| at_device.distance_s(context.now.stamp.civil()) > tolerance)
    }

    pub(super) fn tell_time(&mut self, now: &Now, device: usize, fx: &mut Effects) {
        let device = self.tables.devices.get_mut(device);
        device.clock_told = Some(now.mono);
        device.clock_owed = false;
        // Whether a device confirms a 003 is unknown.
        device.lapsed = None;
        let mut frame = Buffer::new();
        Reply::SetClock { machine: device.machine, time: now.stamp.civil() }.emit(&mut frame);
        fx.prompt.push(device.peer, &frame);
        debug!("set-clock machine={}", device.machine);
    }
}
