//! Virtual card terminals and door boards: to try posgate without hardware, and to test it
//! (protocol.md).
//!
//! `posgate-sim day` plays a short canteen day on `deploy/example`; `month` plays a month with a
//! server of its own and compares its close; `crowd` lets many terminals loose; the other commands
//! send one frame. Devices behave as protocol.md says, the network is as bad as asked for, and a
//! judge compares everything the server really says with what the protocol promises. Not part of
//! the router's package.

mod args;
mod cast;
mod clock;
mod crowd;
mod day;
mod device;
#[cfg(test)]
mod fake;
mod judge;
mod month;
mod random;
mod trace;
mod world;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use args::{Command, Options};
use clock::Clock;
use day::Tally;
use device::{Ask, Device, Outcome};
use random::Random;
use world::World;

/// Something was lost, or a promise broken.
const EXIT_BROKEN: u8 = 1;
/// The command line.
const EXIT_USAGE: u8 = 64;
/// Input or output.
const EXIT_IO: u8 = 74;

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    let options = match args::parse(arguments, &Clock::local().to_string()) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("posgate-sim: {message}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match run(&options) {
        Ok(is_good) => ExitCode::from(if is_good { 0 } else { EXIT_BROKEN }),
        Err(error) => {
            eprintln!("posgate-sim: {error}");
            ExitCode::from(EXIT_IO)
        }
    }
}

fn run(options: &Options) -> io::Result<bool> {
    let seed = options.seed.unwrap_or_else(Clock::tenths);
    // The network's choices and the people's are two sequences.
    let (network, random) = (Random::new(seed), Random::new(!seed));
    let world = || {
        let mut world = World::new(options.server, options.weather, options.terms, network.clone())?;
        if options.is_tracing {
            world.trace();
        }
        Ok::<_, io::Error>(world)
    };
    let (tally, confirmed, broken) = match &options.command {
        Command::Help => {
            print!("{}", args::HELP);
            return Ok(true);
        }
        Command::Version => {
            println!("posgate-sim {}", env!("CARGO_PKG_VERSION"));
            return Ok(true);
        }
        Command::Single(ask) => return single(world()?, options, ask),
        Command::Day => {
            println!("a day at {} (--seed {seed})", options.server);
            day::play(world()?, &options.habits, random)?
        }
        Command::Month(plan) => return month::play(options, plan, seed, random),
        Command::Crowd(plan) => {
            println!(
                "{} terminals at {}: {} frames a second for {} s (--seed {seed})",
                plan.terminals, options.server, plan.rate, plan.seconds
            );
            crowd::run(world()?, options, random, plan)?
        }
    };
    tally.print(confirmed, broken);
    Ok(is_good(&tally, broken))
}

fn is_good(tally: &Tally, broken: u32) -> bool {
    broken == 0 && tally.lost == 0
}

/// One frame of one device, every datagram printed.
fn single(mut world: World, options: &Options, ask: &Ask) -> io::Result<bool> {
    let seq = options.first_seq();
    let clock = (world.now(), Clock::local());
    let device = Device::new(options.machine, options.serial, seq, clock, options.habits.clone());
    world.trace();
    let station = world.add(device)?;
    let mut ask = ask.clone();
    if let Ask::Scan { command, .. } = &mut ask {
        *command = world.device(station).next_command();
    }
    world.start(station, ask)?;
    let ended = loop {
        if let Some(ended) = world.take_finished() {
            break ended;
        }
        let until = world.now() + Duration::from_secs(1);
        world.step(until)?;
    };
    // A clock may still be set, and nothing that was confirmed may come again.
    world.idle(Duration::from_millis(300))?;
    println!("{}", day::line(&ended, ""));
    Ok(world.broken() == 0 && !matches!(ended.outcome, Outcome::NoResult | Outcome::Unheard))
}
