//! A crowd: many terminals at a given rate, for a given time; a line a second and the latencies at
//! the end.

use std::fmt;
use std::io;
use std::time::Duration;

use posgate::engine::model::{CardNo, MachineNo, Money, Serial};

use crate::args::Options;
use crate::clock::Clock;
use crate::day::Tally;
use crate::device::{Ask, Device, Outcome};
use crate::random::Random;
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
    /// Frames a second, of all together.
    pub rate: u32,
    /// For so long.
    pub seconds: u32,
    /// Cards that buy.
    pub cards: Vec<CardNo>,
}

/// Latencies of one kind.
#[derive(Debug, Default)]
struct Latencies(Vec<Duration>);

impl Latencies {
    /// So long took half of them at most, nine in ten, ninety-nine in a hundred, and all.
    fn percentiles(&mut self) -> [Ms; 4] {
        self.0.sort_unstable();
        [50, 90, 99, 100].map(|percent| {
            let rank = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
            Ms(self.0.get(rank).copied().unwrap_or_default())
        })
    }
}

/// Prints as milliseconds with two decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
pub fn run(mut world: World, options: &Options, random: Random, plan: &Plan) -> io::Result<(Tally, u32, u32)> {
    let clock = (world.now(), Clock::local());
    let first_seq = options.first_seq();
    for index in 0..plan.terminals {
        let machine = FIRST_MACHINE + index;
        let serial = Serial::try_from(format!("20000{machine:05}").as_str()).ok();
        world.add(Device::new(MachineNo::from_value(machine), serial, first_seq, clock, options.habits.clone()))?;
    }
    let mut crowd = Crowd {
        world,
        random,
        plan,
        tally: Tally::default(),
        heard: Latencies::default(),
        decided: Latencies::default(),
        next: 0,
    };
    crowd.run()?;
    let heard = crowd.heard.percentiles();
    let decided = crowd.decided.percentiles();
    println!("latency in ms      p50      p90      p99      max");
    for (name, [p50, p90, p99, max]) in [("001", heard), ("result", decided)] {
        println!("{name:<13} {p50:>8} {p90:>8} {p99:>8} {max:>8}");
    }
    println!("datagrams sent {}", crowd.world.sent());
    Ok((crowd.tally, crowd.world.confirmed(), crowd.world.broken()))
}

struct Crowd<'a> {
    world: World,
    random: Random,
    plan: &'a Plan,
    tally: Tally,
    heard: Latencies,
    decided: Latencies,
    /// Whose turn it is.
    next: usize,
}

impl Crowd<'_> {
    fn run(&mut self) -> io::Result<()> {
        let start = self.world.now();
        let end = start + Duration::from_secs(u64::from(self.plan.seconds));
        let (mut asks, mut skipped) = (0_u32, 0_u32);
        let mut second = 0;
        loop {
            let now = self.world.now();
            if now >= start + Duration::from_secs(second + 1) {
                second += 1;
                self.progress(second, skipped);
            }
            if now >= end {
                break;
            }
            // The next one is due at its share of the second.
            let due_at = start + Duration::from_secs(1) * asks / self.plan.rate;
            if now < due_at {
                self.step(due_at)?;
                continue;
            }
            asks += 1;
            match self.idle_terminal() {
                Some(station) => {
                    let ask = self.draw();
                    self.tally.asked += 1;
                    self.world.start(station, ask)?;
                }
                // Everybody is waiting: the crowd wants more than its terminals can do.
                None => skipped += 1,
            }
            if asks.is_multiple_of(64) {
                // Even where everything is due at once, answers are heard in between.
                self.step(now)?;
            }
        }
        while (0..usize::from(self.plan.terminals)).any(|station| !self.world.device(station).is_idle()) {
            let until = self.world.now() + Duration::from_millis(100);
            self.step(until)?;
        }
        self.step(self.world.now())
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
        self.heard.0.extend(ended.heard_after);
        if !matches!(ended.outcome, Outcome::NoResult | Outcome::Unheard) {
            self.decided.0.push(ended.after);
        }
    }

    fn progress(&mut self, second: u64, skipped: u32) {
        let [heard, ..] = self.heard.percentiles();
        let [p50, _, p99, _] = self.decided.percentiles();
        let Tally { asked, lost, unknown, .. } = self.tally;
        let answered = asked - lost - unknown - self.in_flight();
        let skipped =
            if skipped > 0 { format!(" · {skipped} not asked: every terminal was busy") } else { String::new() };
        println!(
            "second {second}: asked {asked} · answered {answered} · lost {lost} · 001 p50 {heard} ms · result p50 {p50} p99 {p99} ms{skipped}"
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
        match self.random.below(10) {
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

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut latencies = Latencies((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!(latencies.percentiles().map(|ms| ms.to_string()), ["100.00", "180.00", "198.00", "200.00"]);
        assert_eq!(Latencies::default().percentiles().map(|ms| ms.to_string()), ["0.00"; 4]);
        let mut one = Latencies(vec![Duration::from_micros(7_059)]);
        assert_eq!(one.percentiles().map(|ms| ms.to_string()), ["7.05"; 4]);
    }
}
