//! Whether the wall clock is believed, and what devices are told of it (design.md, section 11).

use log::{debug, info, warn};

use super::device::{Device, Devices};
use super::{Context, Effects, Server, Timer};
use crate::engine::book::Book;
use crate::engine::limits::TURN_BATCH;
use crate::engine::model::rules::{ClockTrust, Rules};
use crate::engine::model::{Civil, ClockState, DeviceTime, Entry, Kind, Mono, Now, Stamp};
use crate::engine::wheel::TimerId;
use crate::engine::wire::{Buffer, Reply};

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
    /// The time that was judged last, by the rules and the book that are in force.
    judged: Option<Now>,
    was_synchronized: bool,
    /// Why the clock would not be believed without the kernel's word.
    fault: Option<ClockFault>,
    /// Whether the kernel's word decides: there is a fault, or nobody has looked yet.
    needs_kernel: bool,
    /// When the state last became what it is.
    since: Mono,
    /// The zone's offset at the last look.
    offset_s: Option<i32>,
    /// By how much summer time, as it began or ended in this run, put local time back: who was
    /// right before is ahead by this.
    season_s: i64,
    /// By how many seconds all devices' clocks are ahead of our zone, which is then wrong; 0: it is
    /// right, as far as is known.
    zone_error_s: i32,
    /// The timer for the next look, while a device waits for the clock.
    pub(super) polling: Option<TimerId>,
    /// The timer that warns of an unset clock.
    warning: Option<TimerId>,
    /// Whether a clock behind the ledger was told.
    is_behind_told: bool,
    /// As of the last look.
    pub(super) state: ClockState,
}

impl ClockWatch {
    /// Before the first look, when the kernel's word may well decide.
    pub(super) const fn new() -> Self {
        Self {
            last: None,
            judged: None,
            was_synchronized: false,
            fault: None,
            needs_kernel: true,
            since: Mono(0),
            offset_s: None,
            season_s: 0,
            zone_error_s: 0,
            polling: None,
            warning: None,
            is_behind_told: false,
            state: ClockState::Ok,
        }
    }

    /// Whether this very time was judged before, as it is for all frames of a turn but the first.
    pub(super) fn has_judged(&self, now: &Now) -> bool {
        self.judged == Some(*now)
    }

    /// What it was judged by changed: the rules, or the book.
    pub(super) fn forget(&mut self) {
        self.judged = None;
    }

    /// Takes the zone's offset; gives by how many seconds that put local time back since the last
    /// look.
    fn take_offset(&mut self, now: &Now) -> i64 {
        let before_s = self.offset_s.replace(now.stamp.offset_s).unwrap_or(now.stamp.offset_s);
        i64::from(before_s) - i64::from(now.stamp.offset_s)
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
        self.judged = Some(*now);
        state
    }

    /// Why the clock is not believed, and since when; `None`: it is.
    pub(super) fn fault(&self) -> Option<(ClockFault, Mono)> {
        self.fault.filter(|_| self.state == ClockState::Unset).map(|fault| (fault, self.since))
    }

    /// What the kernel said of its clock; `None`: not needed, so not asked.
    pub(super) fn kernel_word(&self) -> Option<bool> {
        (self.was_synchronized || self.needs_kernel).then_some(self.was_synchronized)
    }

    /// Whether the kernel's word would change anything: only then is it worth asking for.
    pub(super) fn wants_kernel(&self) -> bool {
        self.needs_kernel
    }

    /// By how many seconds all devices' clocks are ahead of the zone in service, which is then
    /// wrong (design.md, section 11). It is taken off a device's time before that is judged. 0: the
    /// zone is right, as far as is known.
    pub(super) fn zone_error_s(&self) -> i32 {
        self.zone_error_s
    }

    fn is_behind_ledger(&self) -> bool {
        self.fault().is_some_and(|(fault, _)| fault == ClockFault::BehindLedger)
    }

    /// A clock behind the ledger will not come right by itself if it is right: said at once, and
    /// once.
    fn tell_behind(&mut self, now: &Now, book: &Book) {
        let is_behind = self.is_behind_ledger();
        let was_told = core::mem::replace(&mut self.is_behind_told, is_behind);
        if let Some(floor) = book.clock_floor().filter(|_| is_behind && !was_told) {
            warn!(
                "clock unset: it shows {}, and the newest entry of the ledger is of {floor}: set the clock, or, if it is right, \
                 accept it with `posgate ctl clock-accept`; until then days and periods follow that entry and the terminals",
                now.stamp
            );
        }
    }

    /// An unset clock has been so for long.
    pub(super) fn warn_unset(&self) {
        let or_accept =
            if self.is_behind_ledger() { ", or accept it with `posgate ctl clock-accept` if it is right" } else { "" };
        warn!(
            "clock unset for 10 minutes: set it (`date -s`, or let NTP through){or_accept}; meanwhile days and periods follow the terminals"
        );
    }

    /// Whether a device's clock is off because our zone is wrong, and not the device: three
    /// devices, or all of several, are off by the same multiple of 15 minutes. What such a device
    /// is told would make it wrong.
    fn is_zones_fault(&mut self, now: &Now, clock: &DeviceClock, devices: &Devices, slack_s: u64) -> bool {
        let Some(ahead_s) = clock.unexplained_s(now, self.season_s) else { return false };
        if self.zone_error_s != 0 {
            return ahead_s.abs_diff(i64::from(self.zone_error_s)) <= NEAR_S;
        }
        let Some(step_s) = zone_step(ahead_s, slack_s) else { return false };
        let (witnesses, heard) = self.witnesses(now, step_s, devices, slack_s);
        if witnesses < ZONE_WITNESSES && (witnesses < 2 || witnesses < heard) {
            return false;
        }
        self.zone_error_s = i32::try_from(step_s).expect("14 hours at most");
        let sign = if step_s < 0 { '-' } else { '+' };
        let (hours, minutes) = (step_s.abs() / 3600, step_s.abs() / 60 % 60);
        warn!(
            "zone wrong by {sign}{hours:02}:{minutes:02}: {witnesses} devices agree on it, and are not set: correct `option timezone` \
             (or the machine's zone) and reload; local time here is {}. If the devices are wrong, `posgate ctl clock all` sets them",
            now.stamp
        );
        true
    }

    /// A device's clock is right: our zone is not wrong if no device says so any more.
    fn recheck_zone(&mut self, now: &Now, devices: &Devices, slack_s: u64) {
        let error_s = i64::from(self.zone_error_s);
        if error_s != 0 && self.witnesses(now, error_s, devices, slack_s).0 == 0 {
            self.zone_error_s = 0;
        }
    }

    /// How many devices are off by so much, and how many were heard that say anything of our zone.
    fn witnesses(&self, now: &Now, step_s: i64, devices: &Devices, slack_s: u64) -> (usize, usize) {
        let heard = devices.rows().iter().filter_map(|device| device.clock.unexplained_s(now, self.season_s));
        heard.fold((0, 0), |(witnesses, heard), ahead_s| {
            (witnesses + usize::from(zone_step(ahead_s, slack_s) == Some(step_s)), heard + 1)
        })
    }
}

/// A wrong zone is off by a multiple of this many seconds,
const ZONE_STEP_S: i64 = 900;
/// at least so many,
const ZONE_ERROR_S_MIN: i64 = 3600;
/// and at most so many.
const ZONE_ERROR_S_MAX: i64 = 14 * 3600;

/// Devices that say the same of our zone, unless all that were heard do: one may be off by whatever
/// it likes.
const ZONE_WITNESSES: usize = 3;

/// A clock is where it is looked for within this many seconds: as near as a device's time is
/// believed.
const NEAR_S: u64 = 300;

/// Times that a device is set in answer to 101s in a row; then hourly.
const TELLS_MAX: u8 = 3;

/// What our zone would be off by, if it were a device's clock's fault that it is off by `offset_s`;
/// `None`: it is not.
fn zone_step(offset_s: i64, slack_s: u64) -> Option<i64> {
    let step = (offset_s + ZONE_STEP_S / 2).div_euclid(ZONE_STEP_S) * ZONE_STEP_S;
    let is_step = (ZONE_ERROR_S_MIN..=ZONE_ERROR_S_MAX).contains(&step.abs());
    (is_step && offset_s.abs_diff(step) <= slack_s).then_some(step)
}

/// A device's clock that is this near to a wrong zone's time is a witness of it.
fn zone_slack_s(rules: &Rules) -> u64 {
    u64::from(rules.clock_tolerance_s).min(NEAR_S)
}

/// What a device's clock showed, and what we told it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DeviceClock {
    /// Its time in its newest frame, and when that arrived.
    seen: Option<(Civil, Mono)>,
    /// When it was told the time; `None`: its hour is over.
    told: Option<Mono>,
    /// If it was ever told: by how much its clock is ahead of ours now if it still shows what we
    /// said, which a new zone or a step changes.
    ours_s: Option<i64>,
    /// Times it was told in answer to a 101 since it was right.
    tells: u8,
    /// It is off, and is told when nothing is on its way to it.
    is_due: bool,
    /// The device started while our clock was not believed: its 003 is owed.
    is_owed: bool,
    /// By how many seconds it was ahead of ours in its newest frame with a time.
    offset_s: Option<i64>,
}

impl DeviceClock {
    /// By how many seconds it is ahead of ours; `None`: nobody knows.
    fn ahead_s(&self, now: &Now) -> Option<i64> {
        let (seen, at) = self.seen?;
        let since_s = i64::try_from(now.mono.ms_since(at) / 1000).unwrap_or(i64::MAX);
        Some(seen.0.saturating_add(since_s).saturating_sub(now.stamp.civil().0))
    }

    /// Takes note of what it shows in a frame that arrived at this time. `is_ok`: our clock is
    /// believed. Gives whether it is right.
    fn see(&mut self, now: &Now, civil: Option<Civil>, arrived: Mono, is_ok: bool, tolerance_s: u32) -> bool {
        self.seen = civil.map(|civil| (civil, arrived));
        self.offset_s = self.ahead_s(now).filter(|_| is_ok);
        let is_right = is_ok && !self.is_off(now, tolerance_s);
        if is_right {
            self.tells = 0;
            self.is_due = false;
        }
        is_right
    }

    /// By how many seconds it was ahead of ours in its newest frame with a time.
    pub(super) fn offset_s(&self) -> Option<i64> {
        self.offset_s
    }

    /// Whether it is off by more than the tolerance, or says no date.
    fn is_off(&self, now: &Now, tolerance_s: u32) -> bool {
        self.ahead_s(now).is_none_or(|ahead_s| ahead_s.unsigned_abs() > u64::from(tolerance_s))
    }

    /// By how many seconds it is ahead of ours. `None`: nobody knows, or it is off by what we told
    /// it under another zone or before a step, or by what summer time makes of a clock that was
    /// right.
    fn unexplained_s(&self, now: &Now, season_s: i64) -> Option<i64> {
        let ahead_s = self.ahead_s(now)?;
        let is_near = |other_s: i64| other_s != 0 && ahead_s.abs_diff(other_s) <= NEAR_S;
        (!self.ours_s.is_some_and(is_near) && !is_near(season_s)).then_some(ahead_s)
    }

    /// Another device has the machine number: what it shows is unknown. A 003 that is owed stays
    /// so.
    pub(super) fn forget(&mut self) {
        *self = Self { is_owed: self.is_owed, ..Self::default() };
    }

    /// The device started while our clock is not believed.
    pub(super) fn owe(&mut self) {
        self.is_owed = true;
    }

    /// Whether a device that started may be told the time: not for ever if that does not help.
    fn may_tell_at_boot(&mut self, now: Mono) -> bool {
        let may_tell = self.tells < TELLS_MAX || self.is_hour_over(now);
        if may_tell {
            self.tells = self.tells.saturating_add(1).min(TELLS_MAX);
        }
        may_tell
    }

    fn is_hour_over(&self, now: Mono) -> bool {
        self.told.is_none_or(|told| now.ms_since(told) >= TOLD_MS)
    }

    /// Our clock, or its zone, changed: whoever shows what we said before is ahead of it now by so
    /// much more.
    fn shift(&mut self, by_s: i64) {
        self.told = None;
        self.tells = 0;
        self.ours_s = self.ours_s.map(|ours_s| ours_s.saturating_add(by_s));
    }
}

impl Device {
    /// Sends it the time.
    pub(super) fn tell_time(&mut self, now: &Now, tolerance_s: u32, fx: &mut Effects) {
        let clock = &mut self.clock;
        let (ahead_s, is_off) = (clock.ahead_s(now), clock.is_off(now, tolerance_s));
        *clock = DeviceClock { told: Some(now.mono), ours_s: Some(0), is_due: false, is_owed: false, ..*clock };
        // Whether a device confirms a 003 is unknown.
        self.lapsed = None;
        let mut frame = Buffer::new();
        Reply::SetClock { machine: self.machine, time: now.stamp.civil() }.emit(&mut frame);
        fx.prompt.push(self.peer, &frame);
        match ahead_s {
            Some(ahead_s) if is_off => info!("set-clock machine={} ahead_s={ahead_s}", self.machine),
            Some(_) => debug!("set-clock machine={}", self.machine),
            None => info!("set-clock machine={} ahead_s=unknown", self.machine),
        }
    }
}

impl Server<'_> {
    /// Looks at the clocks before anything else is done with `now`.
    pub(super) fn watch_clock(&mut self, now: &Now, fx: &mut Effects) {
        if self.clock.has_judged(now) {
            return;
        }
        let shifted_s = self.clock.take_offset(now);
        if shifted_s != 0 {
            // Summer time begins or ends. Devices that were right are off by this, and that is no
            // fault of our zone.
            self.clock.season_s = shifted_s;
            self.shift_clocks(shifted_s);
        }
        let before = self.clock.state;
        let stepped_from = self.clock.look(now);
        let state = self.clock.judge(now, &self.rules, &self.tables.book, stepped_from.is_some());
        if let Some(was) = stepped_from {
            self.enter_step(was.stamp, now, state, fx);
            let wall_s = now.stamp.wall.seconds().saturating_sub(was.stamp.wall.seconds());
            let since_s = i64::try_from(now.mono.ms_since(was.mono) / 1000).unwrap_or(i64::MAX);
            self.shift_clocks(since_s.saturating_sub(wall_s));
        } else if let (ClockState::Ok, Some(ClockFault::BehindLedger), Some(floor)) =
            (state, self.clock.fault, self.tables.book.clock_floor())
        {
            // The kernel vouches for it: what the ledger holds of later times was wrong.
            self.enter_step(floor, now, state, fx);
            self.clock.judge(now, &self.rules, &self.tables.book, false);
        }
        self.clock_changed(now, before, state, fx);
        self.clock.tell_behind(now, &self.tables.book);
    }

    fn enter_step(&mut self, was: Stamp, now: &Now, state: ClockState, fx: &mut Effects) {
        let mut entry = Entry::new(Kind::Clock, now.stamp, state);
        entry.detail.push("was", was);
        entry.detail.push("now", now.stamp);
        self.append(&mut entry, now, fx);
        info!("clock was={was} now={} state={}", now.stamp, state.word());
    }

    /// The zone may be another one since a reload: what was found of the one before is void.
    pub fn watch_zone(&mut self, now: &Now) {
        let shifted_s = self.clock.take_offset(now);
        if shifted_s != 0 {
            self.clock.season_s = 0;
            self.shift_clocks(shifted_s);
        }
    }

    /// Our local time went back by so many seconds: each device's hour is over, and our zone may be
    /// right again.
    fn shift_clocks(&mut self, by_s: i64) {
        self.clock.zone_error_s = 0;
        for device in self.tables.devices.rows_mut() {
            device.clock.shift(by_s);
        }
    }

    /// What follows if the clock is believed now and was not before, or the other way round.
    pub(super) fn clock_changed(&mut self, now: &Now, before: ClockState, state: ClockState, fx: &mut Effects) {
        match (before, state) {
            (ClockState::Ok, ClockState::Unset) => {
                self.clock.warning = self.tables.wheel.arm(now.mono.plus_ms(WARN_MS), Timer::ClockWarn);
                info!("clock state=unset now={}", now.stamp);
            }
            (ClockState::Unset, ClockState::Ok) => {
                info!("clock state=ok now={}", now.stamp);
                if let Some(timer) = self.clock.warning.take() {
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
            if self.tables.devices.get(device).clock.is_owed && fx.prompt.has_room(TURN_BATCH) {
                if self.is_zones_fault(now, device) {
                    self.tables.devices.get_mut(device).clock.is_owed = false;
                } else {
                    self.tables.devices.get_mut(device).tell_time(now, self.rules.clock_tolerance_s, fx);
                }
            }
        }
        self.poll_clock(now);
    }

    /// Looks at the clock again soon if a device waits for it.
    pub(super) fn poll_clock(&mut self, now: &Now) {
        if self.clock.polling.is_none() && self.tables.devices.rows().iter().any(|device| device.clock.is_owed) {
            self.clock.polling = self.tables.wheel.arm(now.mono.plus_ms(POLL_MS), Timer::ClockPoll);
        }
    }

    /// Takes note of the time in a live frame, before anything is decided by it.
    pub(super) fn note_clock(&mut self, now: &Now, arrived: Mono, device: usize, time: &DeviceTime) {
        let is_ok = self.clock.state == ClockState::Ok;
        let clock = &mut self.tables.devices.get_mut(device).clock;
        if clock.see(now, time.civil, arrived, is_ok, self.rules.clock_tolerance_s) {
            self.clock.recheck_zone(now, &self.tables.devices, zone_slack_s(&self.rules));
        } else if is_ok {
            self.is_zones_fault(now, device);
        }
    }

    /// A device whose frames are off gets the time, at most hourly, when nothing is on its way to
    /// it.
    pub(super) fn check_device_clock(&mut self, context: &Context, fx: &mut Effects) {
        let now = &context.now;
        let clock = &mut self.tables.devices.get_mut(context.device).clock;
        if context.clock == ClockState::Unset || !clock.is_off(now, self.rules.clock_tolerance_s) {
            return;
        }
        clock.is_due |= clock.is_hour_over(now.mono);
        self.pay_due_clock(now, context.device, fx);
    }

    /// Tells a device the time if that is due and nothing forbids it: a command that waits for its
    /// 109, which would name the device's old time; a sale in doubt that may be tried again or come
    /// as a 105; a zone of ours that is wrong.
    pub(super) fn pay_due_clock(&mut self, now: &Now, device: usize, fx: &mut Effects) {
        let row = self.tables.devices.get(device);
        if !row.clock.is_due || self.clock.state == ClockState::Unset || self.tables.outbox.awaits_confirm(row.slots())
        {
            return;
        }
        if self.is_sale_near(now, device) {
            return;
        }
        if self.is_zones_fault(now, device) {
            self.tables.devices.get_mut(device).clock.is_due = false;
            return;
        }
        self.tables.devices.get_mut(device).tell_time(now, self.rules.clock_tolerance_s, fx);
    }

    /// Whether a sale of a confirming device is in doubt that may still be tried again, or come as
    /// a 105.
    fn is_sale_near(&self, now: &Now, device: usize) -> bool {
        let (book, machine) = (&self.tables.book, self.tables.devices.get(device).machine);
        if !book.is_confirming(machine) || !book.has_doubts(machine) {
            return false;
        }
        let window_ms = u64::from(self.rules.offline_match_s) * 1000;
        book.doubts_tried(machine).any(|tried| tried.age_ms(now, self.clock.state, self.started) <= window_ms)
    }

    /// A device that started is told the time if it is off: at once, but not for ever if that does
    /// not help.
    pub(super) fn answer_boot_clock(&mut self, context: &Context, fx: &mut Effects) {
        let now = &context.now;
        let is_off = self.tables.devices.get(context.device).clock.is_off(now, self.rules.clock_tolerance_s);
        if !is_off || self.is_zones_fault(now, context.device) {
            return;
        }
        let device = self.tables.devices.get_mut(context.device);
        if device.clock.may_tell_at_boot(now.mono) {
            device.tell_time(now, self.rules.clock_tolerance_s, fx);
        }
    }

    /// [`ClockWatch::is_zones_fault`] for the device in this row.
    fn is_zones_fault(&mut self, now: &Now, device: usize) -> bool {
        let devices = &self.tables.devices;
        self.clock.is_zones_fault(now, &devices.get(device).clock, devices, zone_slack_s(&self.rules))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_wrong_by_quarters_of_an_hour_from_one_hour_to_fourteen() {
        for (offset_s, step_s) in [
            (8 * 3600, Some(8 * 3600)),
            (8 * 3600 + 30, Some(8 * 3600)),
            (8 * 3600 - 30, Some(8 * 3600)),
            (8 * 3600 + 31, None),
            (-5 * 3600 - 1800, Some(-19_800)),
            (3600, Some(3600)),
            (3600 + 900, Some(4500)),
            (2700, None),
            (0, None),
            (14 * 3600, Some(14 * 3600)),
            (-14 * 3600 - 900, None),
            (24 * 3600, None),
        ] {
            assert_eq!(zone_step(offset_s, 30), step_s, "{offset_s}");
        }
    }
}
