//! A crowd: many terminals at a given rate, for a given time; a line a second, and at the end the
//! latencies and the worst moments.
//!
//! The rate is an open loop: each ask is due at its share of the second, whether the server keeps
//! up or not. If every terminal waits for an answer, an ask waits for a terminal, and its time
//! counts from when it was due: otherwise a server that stands still for a second would spoil one
//! answer per terminal, and not all that people waited for.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use posgate::engine::model::{CardNo, MachineNo, Money, Serial};

use crate::args::Options;
use crate::clock::{Clock, Moment};
use crate::day::Tally;
use crate::device::{Ask, Device, Outcome};
use crate::random::Random;
use crate::trace::{Span, Trace};
use crate::world::{Finished, World};

/// The first machine number of the crowd: none that the example registers.
const FIRST_MACHINE: u16 = 10_001;

/// How many terminals there are numbers for.
pub const TERMINALS_MAX: u16 = u16::MAX - FIRST_MACHINE;

/// How big, how fast, how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Terminals, at most [`TERMINALS_MAX`].
    pub terminals: u16,
    /// Asks a second, of all together.
    pub rate: u32,
    /// For so long.
    pub seconds: u32,
    /// Cards that buy.
    pub cards: Vec<CardNo>,
    /// Whether all of them buy, and nobody asks for a balance or takes a meal.
    pub is_sales: bool,
    /// The server's log with a line per turn, if it runs on this machine.
    pub server_log: Option<PathBuf>,
}

/// Latencies of one kind.
#[derive(Debug, Default)]
struct Latencies(Vec<Duration>);

impl Latencies {
    /// So long took half of them at most, nine in ten, ninety-nine in a hundred, 999 in a thousand,
    /// and all.
    fn percentiles(&mut self) -> [Ms; 5] {
        self.0.sort_unstable();
        [500, 900, 990, 999, 1000].map(|permille| {
            let rank = (self.0.len() * permille).div_ceil(1000).saturating_sub(1);
            Ms(self.0.get(rank).copied().unwrap_or_default())
        })
    }
}

/// An answer that took long: one of the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wait {
    /// When its ask was due.
    from: Moment,
    /// When its answer came.
    to: Moment,
    /// How much later than due it was sent: because every terminal was busy, or because the
    /// simulator did not run.
    late: Duration,
}

impl Wait {
    fn time(self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

/// The longest waits, in no order.
#[derive(Debug, Default)]
struct Longest(Vec<Wait>);

impl Longest {
    /// Waits that are remembered: of a server that stood still for a second there are hundreds.
    const KEPT: usize = 1000;
    /// Moments that are told.
    const TOLD: usize = 5;

    fn note(&mut self, wait: Wait) {
        self.0.push(wait);
        if self.0.len() > 2 * Self::KEPT {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.0.sort_unstable_by_key(|wait| std::cmp::Reverse(wait.time()));
        self.0.truncate(Self::KEPT);
    }

    /// The worst moments, the worst first: the longest wait of each, and how many waits of the
    /// longest were under way in its midst.
    fn moments(mut self) -> Vec<(Wait, usize)> {
        self.cut();
        let mut moments: Vec<(Wait, usize)> = Vec::new();
        for wait in self.0 {
            let met = moments.iter_mut().find(|(worst, _)| wait.from <= worst.to && worst.from <= wait.to);
            match met {
                Some((_, count)) => *count += 1,
                None => moments.push((wait, 1)),
            }
        }
        moments.truncate(Self::TOLD);
        moments
    }
}

/// Prints as milliseconds with two decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ms(Duration);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0.as_micros();
        f.pad(&format!("{}.{:02}", us / 1000, us % 1000 / 10))
    }
}

/// Lets the crowd loose; gives the tally, the confirmed results and the promises broken.
///
/// # Errors
/// If a socket or the poll fails.
pub fn run(world: World, options: &Options, random: Random, plan: &Plan) -> io::Result<(Tally, u32, u32)> {
    let mut crowd = Crowd::of(world, options, random, plan)?;
    // Both clocks at one moment: the server's log has the wall's.
    let unix_us = |moment: Moment| i64::try_from(moment.as_micros()).unwrap_or(i64::MAX);
    let epoch_us = Clock::unix_us() - unix_us(crowd.world.now());
    crowd.run()?;
    let waits = [("001", &mut crowd.heard), ("result", &mut crowd.decided), ("sent late", &mut crowd.late)];
    println!("latency in ms      p50      p90      p99    p99.9      max");
    for (name, latencies) in waits {
        let [p50, p90, p99, p999, max] = latencies.percentiles();
        println!("{name:<13} {p50:>8} {p90:>8} {p99:>8} {p999:>8} {max:>8}");
    }
    let moments = std::mem::take(&mut crowd.longest).moments();
    print_moments(&moments, plan, |moment| epoch_us + unix_us(moment), crowd.world.now());
    println!("datagrams sent {}", crowd.world.sent());
    Ok((crowd.tally, crowd.world.confirmed(), crowd.world.broken()))
}

/// Tells the worst moments, and what the server did then if its log is known.
fn print_moments(moments: &[(Wait, usize)], plan: &Plan, unix_us: impl Fn(Moment) -> i64, end: Moment) {
    if moments.is_empty() {
        return;
    }
    let span = |from, to| Span { from_us: unix_us(from), to_us: unix_us(to) };
    let trace = plan.server_log.as_deref().map(|path| (path, Trace::read(path, span(Moment::ZERO, end))));
    println!("worst moments, in ms: due, answered after, sent late, long waits then");
    for (wait, count) in moments {
        let Wait { from, to, late } = *wait;
        let time = Clock::time_of_day_at(unix_us(from));
        let doing = match &trace {
            Some((_, Ok(trace))) if !trace.is_empty() => format!("  server: {}", trace.during(span(from, to))),
            Some(_) | None => String::new(),
        };
        println!("{time} {:>8} {:>8} {count:>5}{doing}", Ms(wait.time()), Ms(late));
    }
    match trace {
        Some((path, Err(error))) => println!("--server-log {}: {error}", path.display()),
        Some((path, Ok(trace))) if trace.is_empty() => println!(
            "--server-log {}: no `turn at=` of this time in it: start the server with RUST_LOG=info,posgate::host::trace=debug",
            path.display()
        ),
        Some((_, Ok(_))) | None => (),
    }
}

/// The ask that a terminal sent last.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    due_at: Moment,
    at: Moment,
}

struct Crowd<'a> {
    world: World,
    random: Random,
    plan: &'a Plan,
    tally: Tally,
    heard: Latencies,
    decided: Latencies,
    /// How much later than due asks were sent.
    late: Latencies,
    longest: Longest,
    /// When the asks were due that wait for a terminal.
    due: VecDeque<Moment>,
    /// By terminal.
    sent: Vec<Sent>,
    /// Whose turn it is.
    next: usize,
}

impl<'a> Crowd<'a> {
    /// The terminals of a plan, all idle.
    fn of(mut world: World, options: &Options, random: Random, plan: &'a Plan) -> io::Result<Self> {
        let clock = (world.now(), Clock::local());
        let first_seq = options.first_seq();
        for index in 0..plan.terminals {
            let machine = FIRST_MACHINE + index;
            let serial = Serial::try_from(format!("20000{machine:05}").as_str()).ok();
            world.add(Device::new(MachineNo::from_value(machine), serial, first_seq, clock, options.habits.clone()))?;
        }
        Ok(Self {
            world,
            random,
            plan,
            tally: Tally::default(),
            heard: Latencies::default(),
            decided: Latencies::default(),
            late: Latencies::default(),
            longest: Longest::default(),
            due: VecDeque::new(),
            sent: vec![Sent::default(); usize::from(plan.terminals)],
            next: 0,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let start = self.world.now();
        let end = start + Duration::from_secs(u64::from(self.plan.seconds));
        let (mut asks, mut second) = (0_u64, 0);
        loop {
            let now = self.world.now();
            if now >= start + Duration::from_secs(second + 1) {
                second += 1;
                self.progress(second);
            }
            if now >= end {
                break;
            }
            // Each is due at its share of the second.
            let nanos = |asks: u64| Duration::from_nanos(asks * 1_000_000_000 / u64::from(self.plan.rate));
            while start + nanos(asks) <= now {
                self.due.push_back(start + nanos(asks));
                asks += 1;
            }
            let next_at = start + nanos(asks);
            self.send_due()?;
            self.step(next_at)?;
        }
        self.give_up(end);
        while (0..usize::from(self.plan.terminals)).any(|station| !self.world.device(station).is_idle()) {
            let until = self.world.now() + Duration::from_millis(100);
            self.step(until)?;
        }
        self.step(self.world.now())
    }

    /// Sends what is due, as long as a terminal is idle.
    fn send_due(&mut self) -> io::Result<()> {
        // Even if everything is due at once, answers are heard in between.
        for _ in 0..64 {
            let Some(due_at) = self.due.front().copied() else { break };
            let Some(station) = self.idle_terminal() else { break };
            self.due.pop_front();
            let ask = self.draw();
            self.tally.asked += 1;
            let at = self.world.now();
            self.sent[station] = Sent { due_at, at };
            self.late.0.push(at.saturating_sub(due_at));
            self.world.start(station, ask)?;
        }
        Ok(())
    }

    /// The time is over: what still waits for a terminal is not sent. It waited as long as it did.
    fn give_up(&mut self, end: Moment) {
        for due_at in std::mem::take(&mut self.due) {
            let waited = end.saturating_sub(due_at);
            self.late.0.push(waited);
            self.decided.0.push(waited);
            self.longest.note(Wait { from: due_at, to: due_at + waited, late: waited });
        }
    }

    fn step(&mut self, until: Duration) -> io::Result<()> {
        self.world.step(until)?;
        while let Some(ended) = self.world.take_finished() {
            self.count(&ended);
        }
        Ok(())
    }

    fn count(&mut self, ended: &Finished) {
        if ended.is_unknown {
            self.tally.unknown += 1;
        } else {
            self.tally.count(&ended.outcome);
        }
        let Sent { due_at, at } = self.sent[ended.station];
        let late = at.saturating_sub(due_at);
        self.heard.0.extend(ended.heard_after.map(|after| late + after));
        if !matches!(ended.outcome, Outcome::NoResult | Outcome::Unheard) {
            let waited = late + ended.after;
            self.decided.0.push(waited);
            self.longest.note(Wait { from: due_at, to: due_at + waited, late });
        }
    }

    fn progress(&mut self, second: u64) {
        let [heard, ..] = self.heard.percentiles();
        let [p50, _, p99, ..] = self.decided.percentiles();
        let Tally { asked, lost, unknown, .. } = self.tally;
        let answered = asked - lost - unknown - self.in_flight();
        let waiting = self.due.len();
        let waiting = if waiting > 0 { format!(" · {waiting} due: every terminal is busy") } else { String::new() };
        println!(
            "second {second}: asked {asked} · answered {answered} · lost {lost} · 001 p50 {heard} ms · result p50 {p50} p99 {p99} ms{waiting}"
        );
    }

    fn in_flight(&self) -> u32 {
        let Tally { asked, approved, refused, shown, collected, lost, unknown } = self.tally;
        asked - approved - refused - shown - collected - lost - unknown
    }

    fn idle_terminal(&mut self) -> Option<usize> {
        let terminals = usize::from(self.plan.terminals);
        for _ in 0..terminals {
            let station = self.next;
            self.next = (self.next + 1) % terminals;
            if self.world.device(station).is_idle() {
                return Some(station);
            }
        }
        None
    }

    /// Of ten people seven buy, two ask for their balance and one takes a meal.
    fn draw(&mut self) -> Ask {
        let which = usize::try_from(self.random.below(self.plan.cards.len() as u64)).unwrap_or(0);
        let card = self.plan.cards[which];
        let which = if self.plan.is_sales { 9 } else { self.random.below(10) };
        match which {
            0 => Ask::Meal { card },
            1 | 2 => Ask::Inquiry { card },
            _ => {
                let fen = 1 + u32::try_from(self.random.below(99)).unwrap_or(0);
                Ask::Charge { card, amount: Money::from_fen(fen).unwrap_or_default().to_string() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::fake::{Fake, Sin};
    use crate::judge::Terms;
    use crate::world::Weather;

    /// Lets eight terminals loose on a server that does this wrong; nobody waits long here.
    fn crowd_against(sin: Sin) -> (Tally, u32) {
        let fake = Fake::start(sin);
        let words =
            ["--interval", "300", "--patience", "600", "crowd", "--terminals", "8", "--rate", "100", "--seconds", "1"];
        let options = crate::args::parse(words.map(Into::into), "2026-11-22 12:00:00").expect("a command line");
        let crate::args::Command::Crowd(plan) = &options.command else { panic!("a crowd") };
        let terms = Terms { resend_max: 4, door_ttl: Duration::from_secs(3), is_ordered: false };
        let world = World::new(fake.address, Weather::default(), terms, Random::new(1)).expect("a poll");
        let (tally, _, broken) = run(world, &options, Random::new(2), plan).expect("sockets work");
        (tally, broken)
    }

    /// On a machine so busy that the server's thread stands still longer than a terminal waits, a
    /// living server looks like a killed one: one of three crowds must see what is so.
    fn assert_seen(sin: Sin, is_so: impl Fn(&Tally, u32) -> bool) {
        let mut seen = Vec::new();
        for _ in 0..3 {
            let (tally, broken) = crowd_against(sin);
            if is_so(&tally, broken) {
                return;
            }
            seen.push((tally, broken));
        }
        panic!("{sin:?}: {seen:?}");
    }

    #[test]
    fn what_a_killed_server_left_unanswered_is_unknown_and_no_broken_promise() {
        assert_seen(Sin::IsKilled, |tally, broken| tally.unknown > 0 && tally.lost == 0 && broken == 0);
    }

    #[test]
    fn what_a_killed_server_never_heard_is_unknown_as_well() {
        assert_seen(Sin::IsKilledForLong, |tally, broken| tally.unknown > 1 && tally.lost == 0 && broken == 0);
    }

    #[test]
    fn a_server_that_lives_and_leaves_one_sale_unanswered_breaks_its_promise() {
        assert_seen(Sin::SwallowsOneResult, |tally, broken| (tally.unknown, tally.lost, broken) == (0, 1, 1));
    }

    #[test]
    fn a_server_that_does_not_hear_one_terminal_breaks_its_promise() {
        // Its last frame, sent when all others have ended, may be one that a server away did not
        // hear.
        assert_seen(Sin::IgnoresOneTerminal, |tally, broken| {
            tally.unknown <= 1 && tally.lost > 0 && broken == tally.lost
        });
    }

    /// The terminal waits 600 ms for a result that never comes, and ten asks a second are due.
    #[test]
    fn what_is_due_while_every_terminal_waits_counts_from_when_it_was_due() {
        let fake = Fake::start(Sin::SwallowsOneResult);
        let words = "--patience 600 crowd --terminals 1 --rate 20 --seconds 2 --sales";
        let options = crate::args::parse(words.split(' ').map(Into::into), "2026-11-22 12:00:00").expect("words");
        let crate::args::Command::Crowd(plan) = &options.command else { panic!("a crowd") };
        let terms = Terms { resend_max: 4, door_ttl: Duration::from_secs(3), is_ordered: false };
        let world = World::new(fake.address, Weather::default(), terms, Random::new(1)).expect("a poll");
        let mut crowd = Crowd::of(world, &options, Random::new(2), plan).expect("sockets");
        crowd.run().expect("sockets work");
        assert_eq!((crowd.tally.asked, crowd.tally.lost), (40, 1), "nothing that was due is left out");
        let [p50, .., max] = crowd.decided.percentiles();
        assert!(max.0 >= Duration::from_millis(400), "{max}: the one behind it waited nearly as long");
        assert!(crowd.late.percentiles()[4].0 >= Duration::from_millis(400) && p50 < max, "{p50}");
        let moments = crowd.longest.moments();
        let (worst, count) = moments[0];
        assert!(count > 5 && worst.late >= Duration::from_millis(400), "{moments:?}");
    }

    #[test]
    fn waits_that_meet_are_one_moment() {
        let wait = |from: u64, to: u64| {
            let (from, to) = (Duration::from_millis(from), Duration::from_millis(to));
            Wait { from, to, late: Duration::ZERO }
        };
        let mut longest = Longest::default();
        for at in 0..5000 {
            longest.note(wait(10_000 + 10 * at, 10_001 + 10 * at));
        }
        for one in [wait(100, 190), wait(120, 192), wait(191, 199), wait(500, 560), wait(1000, 1050)] {
            longest.note(one);
        }
        let moments = longest.moments();
        assert_eq!(moments.len(), Longest::TOLD);
        // The third met the second, and not the worst of them.
        let told = moments[..3].iter().map(|(worst, count)| (*worst, *count)).collect::<Vec<_>>();
        assert_eq!(told, [(wait(100, 190), 2), (wait(500, 560), 1), (wait(1000, 1050), 1)]);
        assert_eq!(moments[3], (wait(191, 199), 1));
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut latencies = Latencies((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!(
            latencies.percentiles().map(|ms| ms.to_string()),
            ["100.00", "180.00", "198.00", "200.00", "200.00"]
        );
        assert_eq!(Latencies::default().percentiles().map(|ms| ms.to_string()), ["0.00"; 5]);
        let mut one = Latencies(vec![Duration::from_micros(7_059)]);
        assert_eq!(one.percentiles().map(|ms| ms.to_string()), ["7.05"; 5]);
    }
}
