//! Decides whether the wall clock is believed and when a device gets a 003 (design.md, section 11).

use log::{debug, info, warn};

use super::device::{Device, Devices};
use super::{Context, Effects, Server, Timer};
use crate::engine::book::Book;
use crate::engine::limits::TURN_BATCH;
use crate::engine::model::rules::{ClockTrust, Rules};
use crate::engine::model::{Civil, ClockState, DeviceTime, Entry, Kind, Mono, Now, Stamp};
use crate::engine::wheel::TimerId;
use crate::engine::wire::Reply;

/// A device gets a 003 for frames whose time is off at most this often.
const SEND_EVERY_MS: u64 = 3_600_000;

/// How often the clock is checked while a device waits until it is set.
const POLL_MS: u64 = 10_000;

/// An unset clock is warned about after this long.
const WARN_MS: u64 = 600_000;

/// A wall clock that is behind by more than this is not believed; a larger step is entered.
const TOLERANCE_MS: i64 = 60_000;

/// Why the wall clock is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockFault {
    /// It is earlier than the newest entry of the ledger.
    BehindLedger,
    /// It is earlier than the program's build date.
    BehindBuild,
    /// `clock 'ntp'`: the kernel has not yet reported itself synchronized in this boot.
    NotSynchronized,
}

impl ClockFault {
    /// The word in status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::BehindLedger => "behind-ledger",
            Self::BehindBuild => "behind-build",
            Self::NotSynchronized => "not-synchronized",
        }
    }
}

/// Compares the wall clock with the monotonic clock and with the ledger.
#[derive(Debug)]
pub(super) struct ClockWatch {
    last: Option<Now>,
    /// The time that was last judged by the present rules and book.
    judged: Option<Now>,
    was_synchronized: bool,
    /// Why the clock is not believed unless the kernel is synchronized.
    fault: Option<ClockFault>,
    /// Whether the kernel's word decides: there is a fault, or the clock was not judged yet.
    needs_kernel: bool,
    /// When `state` last changed.
    since: Mono,
    /// The zone's offset when the clocks were last compared.
    offset_s: Option<i32>,
    /// Seconds by which the last begin or end of summer time in this run put local time back. A
    /// device that was right before is ahead by this.
    season_s: i64,
    /// Seconds by which the devices' clocks are ahead because our zone is wrong; 0: nothing is
    /// known to be wrong.
    zone_error_s: i32,
    /// The timer of the next check, while a device waits for the clock.
    pub(super) polling: Option<TimerId>,
    /// The timer that warns of an unset clock.
    warning: Option<TimerId>,
    /// Whether the log warned of a clock behind the ledger.
    is_behind_warned: bool,
    /// The result of the last judgement.
    pub(super) state: ClockState,
}

impl ClockWatch {
    /// The state before the first judgement, which may need the kernel's word.
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
            is_behind_warned: false,
            state: ClockState::Ok,
        }
    }

    /// Whether exactly this time was judged already, as for all frames of a turn but the first.
    pub(super) fn has_judged(&self, now: &Now) -> bool {
        self.judged == Some(*now)
    }

    /// Forgets the last judgement, because the rules or the book changed.
    pub(super) fn forget(&mut self) {
        self.judged = None;
    }

    /// Sets the zone's offset. Returns the seconds by which a change put local time back since the
    /// last call.
    fn take_offset(&mut self, now: &Now) -> i64 {
        let before_s = self.offset_s.replace(now.stamp.offset_s).unwrap_or(now.stamp.offset_s);
        i64::from(before_s) - i64::from(now.stamp.offset_s)
    }

    /// Compares the clocks. If the wall clock stepped by more than a minute since the last call,
    /// returns the time of that call.
    pub(super) fn look(&mut self, now: &Now) -> Option<Now> {
        self.was_synchronized |= now.synchronized;
        let last = self.last.replace(*now)?;
        let wall = now.stamp.wall.0.saturating_sub(last.stamp.wall.0);
        let mono = i64::try_from(now.mono.ms_since(last.mono)).unwrap_or(i64::MAX);
        (wall.abs_diff(mono) > TOLERANCE_MS.unsigned_abs()).then_some(last)
    }

    /// Judges whether the wall clock is believed. `is_new`: not compared with the ledger, because
    /// the clock just stepped.
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

    /// Why the clock is not believed, and since when; `None`: it is believed.
    pub(super) fn fault(&self) -> Option<(ClockFault, Mono)> {
        self.fault.filter(|_| self.state == ClockState::Unset).map(|fault| (fault, self.since))
    }

    /// Whether the kernel reported itself synchronized; `None`: not needed, so not checked.
    pub(super) fn kernel_synchronized(&self) -> Option<bool> {
        (self.was_synchronized || self.needs_kernel).then_some(self.was_synchronized)
    }

    /// Whether the kernel's word can change the judgement.
    pub(super) fn wants_kernel(&self) -> bool {
        self.needs_kernel
    }

    /// Seconds by which the devices' clocks are ahead because our zone is wrong (design.md, section
    /// 11). They are subtracted from a device's time before it is judged. 0: nothing is known to be
    /// wrong.
    pub(super) fn zone_error_s(&self) -> i32 {
        self.zone_error_s
    }

    fn is_behind_ledger(&self) -> bool {
        self.fault().is_some_and(|(fault, _)| fault == ClockFault::BehindLedger)
    }

    /// Warns at once, and once, of a clock behind the ledger. If that clock is right, only a person
    /// can accept it.
    fn warn_behind(&mut self, now: &Now, book: &Book) {
        let is_behind = self.is_behind_ledger();
        let was_warned = core::mem::replace(&mut self.is_behind_warned, is_behind);
        if let Some(floor) = book.clock_floor().filter(|_| is_behind && !was_warned) {
            warn!(
                "clock unset: it shows {}, but the newest entry of the ledger is of {floor}: set the clock, or, if it is right, \
                 accept it with `posgate ctl clock-accept`; until then days and periods follow that entry and the terminals",
                now.stamp
            );
        }
    }

    /// Warns that the clock was unset for [`WARN_MS`].
    pub(super) fn warn_unset(&self) {
        let or_accept =
            if self.is_behind_ledger() { ", or accept it with `posgate ctl clock-accept` if it is right" } else { "" };
        warn!(
            "clock unset for 10 minutes: set it (`date -s`, or let NTP through){or_accept}; meanwhile days and periods follow the terminals"
        );
    }

    /// Whether a device's clock is off because our zone is wrong: three devices, or all of several,
    /// are off by the same multiple of 15 minutes. A 003 would make such a device wrong.
    fn is_zone_fault(&mut self, now: &Now, clock: &DeviceClock, devices: &Devices, slack_s: u64) -> bool {
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
            "zone wrong by {sign}{hours:02}:{minutes:02}: {witnesses} devices agree on it and are not set: correct `option timezone` \
             (or the machine's zone) and reload; local time here is {}. If the devices are wrong, `posgate ctl clock all` sets them",
            now.stamp
        );
        true
    }

    /// Called when a device's clock is right: our zone counts as right if no device contradicts it
    /// any more.
    fn recheck_zone(&mut self, now: &Now, devices: &Devices, slack_s: u64) {
        let error_s = i64::from(self.zone_error_s);
        if error_s != 0 && self.witnesses(now, error_s, devices, slack_s).0 == 0 {
            self.zone_error_s = 0;
        }
    }

    /// How many devices are off by `step_s`, and how many have a clock that can tell anything about
    /// our zone.
    fn witnesses(&self, now: &Now, step_s: i64, devices: &Devices, slack_s: u64) -> (usize, usize) {
        let heard = devices.rows().iter().filter_map(|device| device.clock.unexplained_s(now, self.season_s));
        heard.fold((0, 0), |(witnesses, heard), ahead_s| {
            (witnesses + usize::from(zone_step(ahead_s, slack_s) == Some(step_s)), heard + 1)
        })
    }
}

/// A wrong zone's error is a multiple of this many seconds.
const ZONE_STEP_S: i64 = 900;
/// The smallest error of a wrong zone, in seconds.
const ZONE_ERROR_S_MIN: i64 = 3600;
/// The largest error of a wrong zone, in seconds.
const ZONE_ERROR_S_MAX: i64 = 14 * 3600;

/// The devices that must agree on a zone error, unless all that were heard agree: a single device
/// may be off by any amount.
const ZONE_WITNESSES: usize = 3;

/// Two clocks are equal within this many seconds: the tolerance of belief.
const NEAR_S: u64 = 300;

/// A device gets at most this many 003s in answer to 101s in a row; then one per hour.
const BOOT_SENDS_MAX: u8 = 3;

/// The zone error that would explain a device's clock that is off by `offset_s`; `None`: none
/// would.
fn zone_step(offset_s: i64, slack_s: u64) -> Option<i64> {
    // Nearly all clocks are nearer than the smallest error.
    if offset_s.abs() < ZONE_ERROR_S_MIN - ZONE_STEP_S {
        return None;
    }
    let step = (offset_s + ZONE_STEP_S / 2).div_euclid(ZONE_STEP_S) * ZONE_STEP_S;
    let is_step = (ZONE_ERROR_S_MIN..=ZONE_ERROR_S_MAX).contains(&step.abs());
    (is_step && offset_s.abs_diff(step) <= slack_s).then_some(step)
}

/// A zone error explains a device's clock if the rest is at most this many seconds.
fn zone_slack_s(rules: &Rules) -> u64 {
    u64::from(rules.clock_tolerance_s).min(NEAR_S)
}

/// Whether a clock that is ahead by this counts as right.
fn is_within(ahead_s: i64, tolerance_s: u32) -> bool {
    ahead_s.unsigned_abs() <= u64::from(tolerance_s)
}

/// A device's clock: what it showed, and the 003s sent to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DeviceClock {
    /// The time in its newest frame, and when that arrived.
    shown: Option<(Civil, Mono)>,
    /// When a 003 was last sent; `None`: none was, or its hour is over.
    sent: Option<Mono>,
    /// Seconds by which its clock is ahead of ours if it still shows the time of the last 003: 0,
    /// until a new zone or a step changes ours. `None`: no 003 was sent.
    ours_s: Option<i64>,
    /// 003s in answer to 101s since its clock was last right.
    boot_sends: u8,
    /// Its clock is off, and a 003 goes when nothing is pending.
    is_due: bool,
    /// The device started while our clock was not believed, and its 003 is still missing.
    is_owed: bool,
    /// Seconds by which it was ahead of our clock in its newest frame with a time.
    offset_s: Option<i64>,
}

impl DeviceClock {
    /// Seconds by which it is ahead of our clock; `None`: unknown.
    fn ahead_s(&self, now: &Now) -> Option<i64> {
        let (shown, at) = self.shown?;
        let since_s = now.mono.seconds_since(at);
        Some(shown.0.saturating_add(since_s).saturating_sub(now.stamp.civil().0))
    }

    /// Notes the time in a frame that arrived at `arrived`; `is_ok`: our clock is believed. Returns
    /// whether the device's clock is right.
    fn note(&mut self, now: &Now, civil: Option<Civil>, arrived: Mono, is_ok: bool, tolerance_s: u32) -> bool {
        self.shown = civil.map(|civil| (civil, arrived));
        self.offset_s = self.ahead_s(now).filter(|_| is_ok);
        let is_right = self.offset_s.is_some_and(|ahead_s| is_within(ahead_s, tolerance_s));
        if is_right {
            self.boot_sends = 0;
            self.is_due = false;
        }
        is_right
    }

    /// Seconds by which it was ahead of our clock in its newest frame with a time.
    pub(super) fn offset_s(&self) -> Option<i64> {
        self.offset_s
    }

    /// Whether it is off by more than the tolerance, or shows no valid date.
    fn is_off(&self, now: &Now, tolerance_s: u32) -> bool {
        self.ahead_s(now).is_none_or(|ahead_s| !is_within(ahead_s, tolerance_s))
    }

    /// Seconds by which it is ahead of our clock without an explanation. `None`: unknown, or
    /// explained by a 003 under another zone or before a step, or by summer time.
    fn unexplained_s(&self, now: &Now, season_s: i64) -> Option<i64> {
        let ahead_s = self.ahead_s(now)?;
        let is_near = |other_s: i64| other_s != 0 && ahead_s.abs_diff(other_s) <= NEAR_S;
        (!self.ours_s.is_some_and(is_near) && !is_near(season_s)).then_some(ahead_s)
    }

    /// Another device has the machine number, so its clock is unknown. A missing 003 stays due.
    pub(super) fn forget(&mut self) {
        *self = Self { is_owed: self.is_owed, ..Self::default() };
    }

    /// Notes that the device started while our clock is not believed.
    pub(super) fn owe(&mut self) {
        self.is_owed = true;
    }

    /// Whether a device that started may get a 003. After some in a row that did not help, one per
    /// hour.
    fn may_send_at_boot(&mut self, now: Mono) -> bool {
        let may_send = self.boot_sends < BOOT_SENDS_MAX || self.is_hour_over(now);
        if may_send {
            self.boot_sends = self.boot_sends.saturating_add(1).min(BOOT_SENDS_MAX);
        }
        may_send
    }

    fn is_hour_over(&self, now: Mono) -> bool {
        self.sent.is_none_or(|sent| now.ms_since(sent) >= SEND_EVERY_MS)
    }

    /// Our clock or its zone changed: a device that shows the time of its last 003 is now ahead by
    /// `by_s` more.
    fn shift(&mut self, by_s: i64) {
        self.sent = None;
        self.boot_sends = 0;
        self.ours_s = self.ours_s.map(|ours_s| ours_s.saturating_add(by_s));
    }
}

impl Device {
    /// Sends a 003.
    pub(super) fn send_time(&mut self, now: &Now, tolerance_s: u32, fx: &mut Effects) {
        let clock = &mut self.clock;
        let (ahead_s, is_off) = (clock.ahead_s(now), clock.is_off(now, tolerance_s));
        *clock = DeviceClock { sent: Some(now.mono), ours_s: Some(0), is_due: false, is_owed: false, ..*clock };
        // Whether a device confirms a 003 is unknown.
        self.lapsed = None;
        fx.prompt.push(self.peer, &Reply::SetClock { machine: self.machine, time: now.stamp.civil() });
        match ahead_s {
            Some(ahead_s) if is_off => info!("set-clock machine={} ahead_s={ahead_s}", self.machine),
            Some(_) => debug!("set-clock machine={}", self.machine),
            None => info!("set-clock machine={} ahead_s=unknown", self.machine),
        }
    }
}

impl Server<'_> {
    /// Checks the clocks; it comes before everything else that uses `now`.
    pub(crate) fn watch_clock(&mut self, now: &Now, fx: &mut Effects) {
        if self.clock.has_judged(now) {
            return;
        }
        let shifted_s = self.clock.take_offset(now);
        if shifted_s != 0 {
            // Summer time begins or ends. Devices that were right are off by this, so our zone is
            // not wrong.
            self.clock.season_s = shifted_s;
            self.shift_clocks(shifted_s);
        }
        let before = self.clock.state;
        let stepped_from = self.clock.look(now);
        let state = self.clock.judge(now, &self.rules, &self.tables.book, stepped_from.is_some());
        if let Some(was) = stepped_from {
            self.enter_step(was.stamp, now, state, fx);
            let wall_s = now.stamp.wall.seconds().saturating_sub(was.stamp.wall.seconds());
            let since_s = now.mono.seconds_since(was.mono);
            self.shift_clocks(since_s.saturating_sub(wall_s));
        } else if let (ClockState::Ok, Some(ClockFault::BehindLedger), Some(floor)) =
            (state, self.clock.fault, self.tables.book.clock_floor())
        {
            // The kernel is synchronized, so the ledger's later times were wrong.
            self.enter_step(floor, now, state, fx);
            self.clock.judge(now, &self.rules, &self.tables.book, false);
        }
        self.clock_changed(now, before, state, fx);
        self.clock.warn_behind(now, &self.tables.book);
    }

    fn enter_step(&mut self, was: Stamp, now: &Now, state: ClockState, fx: &mut Effects) {
        let mut entry = Entry::new(Kind::Clock, now.stamp, state);
        entry.detail.push("was", was);
        entry.detail.push("now", now.stamp);
        self.append(&mut entry, now, fx);
        info!("clock was={was} now={} state={}", now.stamp, state.word());
    }

    /// Checks whether a reload changed the zone's offset. If so, findings about the old zone no
    /// longer count.
    pub(crate) fn watch_zone(&mut self, now: &Now) {
        let shifted_s = self.clock.take_offset(now);
        if shifted_s != 0 {
            self.clock.season_s = 0;
            self.shift_clocks(shifted_s);
        }
    }

    /// Our local time went back by `by_s` seconds: each device may get a 003 again, and the zone
    /// error is unknown again.
    fn shift_clocks(&mut self, by_s: i64) {
        self.clock.zone_error_s = 0;
        for device in self.tables.devices.rows_mut() {
            device.clock.shift(by_s);
        }
    }

    /// Acts on a change between believed and not believed.
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
                self.send_owed_times(now, fx);
            }
            (ClockState::Ok, ClockState::Ok) | (ClockState::Unset, ClockState::Unset) => (),
        }
    }

    pub(super) fn send_owed_times(&mut self, now: &Now, fx: &mut Effects) {
        for device in 0..self.tables.devices.rows().len() {
            // A 003 without room in this turn goes at the next check.
            if self.tables.devices.get(device).clock.is_owed && fx.prompt.has_room(TURN_BATCH) {
                if self.is_zone_fault(now, device) {
                    self.tables.devices.get_mut(device).clock.is_owed = false;
                } else {
                    self.tables.devices.get_mut(device).send_time(now, self.rules.clock_tolerance_s, fx);
                }
            }
        }
        self.poll_clock(now);
    }

    /// Arms the next check if a device waits for the clock.
    pub(super) fn poll_clock(&mut self, now: &Now) {
        if self.clock.polling.is_none() && self.tables.devices.rows().iter().any(|device| device.clock.is_owed) {
            self.clock.polling = self.tables.wheel.arm(now.mono.plus_ms(POLL_MS), Timer::ClockPoll);
        }
    }

    /// Notes the time in a live frame, before any decision uses it.
    pub(super) fn note_clock(&mut self, now: &Now, arrived: Mono, device: usize, time: &DeviceTime) {
        let is_ok = self.clock.state == ClockState::Ok;
        let clock = &mut self.tables.devices.get_mut(device).clock;
        if clock.note(now, time.civil, arrived, is_ok, self.rules.clock_tolerance_s) {
            self.clock.recheck_zone(now, &self.tables.devices, zone_slack_s(&self.rules));
        } else if is_ok {
            self.is_zone_fault(now, device);
        }
    }

    /// Marks a device whose clock is off for a 003, at most hourly, and sends it if nothing is
    /// pending.
    pub(super) fn check_device_clock(&mut self, context: &Context, fx: &mut Effects) {
        let now = &context.now;
        let clock = &mut self.tables.devices.get_mut(context.device).clock;
        if context.clock == ClockState::Unset || !clock.is_off(now, self.rules.clock_tolerance_s) {
            return;
        }
        clock.is_due |= clock.is_hour_over(now.mono);
        self.send_due_time(now, context.device, fx);
    }

    /// Sends a 003 that is due, unless a command waits for its 109, or a sale in doubt may still be
    /// tried again or come as a 105, whose times must stay comparable, or our zone is wrong.
    pub(super) fn send_due_time(&mut self, now: &Now, device: usize, fx: &mut Effects) {
        let row = self.tables.devices.get(device);
        if !row.clock.is_due || self.clock.state == ClockState::Unset || self.tables.outbox.awaits_confirm(row.slots())
        {
            return;
        }
        if self.is_sale_near(now, device) {
            return;
        }
        if self.is_zone_fault(now, device) {
            self.tables.devices.get_mut(device).clock.is_due = false;
            return;
        }
        self.tables.devices.get_mut(device).send_time(now, self.rules.clock_tolerance_s, fx);
    }

    /// Whether a confirming device has a sale in doubt that may still be tried again or come as a
    /// 105.
    fn is_sale_near(&self, now: &Now, device: usize) -> bool {
        let (book, machine) = (&self.tables.book, self.tables.devices.get(device).machine);
        if !book.is_confirming(machine) || !book.has_doubts(machine) {
            return false;
        }
        let window_ms = u64::from(self.rules.offline_match_s) * 1000;
        book.doubts_tried(machine).any(|tried| tried.age_ms(now, self.clock.state, self.started) <= window_ms)
    }

    /// Sends a 003 to a device that started, if its clock is off, within the limits of repeats.
    pub(super) fn answer_boot_clock(&mut self, context: &Context, fx: &mut Effects) {
        let now = &context.now;
        let is_off = self.tables.devices.get(context.device).clock.is_off(now, self.rules.clock_tolerance_s);
        if !is_off || self.is_zone_fault(now, context.device) {
            return;
        }
        let device = self.tables.devices.get_mut(context.device);
        if device.clock.may_send_at_boot(now.mono) {
            device.send_time(now, self.rules.clock_tolerance_s, fx);
        }
    }

    /// [`ClockWatch::is_zone_fault`] for the device in this row.
    fn is_zone_fault(&mut self, now: &Now, device: usize) -> bool {
        let devices = &self.tables.devices;
        self.clock.is_zone_fault(now, &devices.get(device).clock, devices, zone_slack_s(&self.rules))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_error_is_a_multiple_of_15_minutes_from_1_to_14_hours() {
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
