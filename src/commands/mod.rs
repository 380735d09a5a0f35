//! The command line (design.md, section 3).

mod addresses;
mod cards;
mod check;
mod ledger;
mod serve;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::{Arg, Parser};

/// The command line itself is wrong.
const EXIT_USAGE: u8 = 64;
/// Input or output failed.
const EXIT_IO: u8 = 74;
/// Configuration, cards or ledger are wrong.
const EXIT_CONFIG: u8 = 78;

const CONFIG: &str = "/etc/config/posgate";

const HELP: &str = "\
posgate: the server that card terminals and door access boards talk to

    posgate serve  [--config FILE] [--listen ADDR[:PORT]]…   run in the foreground
    posgate check  [--config FILE]                           read config, cards and ledger; say what would be served
    posgate addresses                                        this machine's IPv4 addresses
    posgate cards  check [--config FILE | FILE]              read a card table, name every error
    posgate cards  template                                  a card table to begin with
    posgate ledger verify [--config FILE | DIR | SEGMENT…]   check every line of a ledger
    posgate ledger show [--raw] [--config FILE | DIR | SEGMENT…]

FILE defaults to /etc/config/posgate. Exit codes: 0 done, 64 usage, 74 input/output, 78 configuration or damaged
ledger; `ledger verify`: 0 clean, 1 torn tail only, 2 altered, 3 missing, 4 swapped, 5 header or snapshot.
";

/// Runs the command that the arguments name.
pub fn run(mut arguments: Parser) -> ExitCode {
    let code = match dispatch(&mut arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("posgate: {error}; `posgate --help` lists the commands");
            EXIT_USAGE
        }
    };
    ExitCode::from(code)
}

fn dispatch(arguments: &mut Parser) -> Result<u8, lexopt::Error> {
    let Some(command) = word(arguments)? else {
        return Err("say what to do, for example `posgate serve --config FILE`".into());
    };
    match command.as_str() {
        "--help" => Ok(print_help()),
        "--version" => Ok(print_version()),
        "serve" => {
            let Some(options) = Options::read(arguments, &["config", "listen"], 0)? else { return Ok(0) };
            Ok(serve::run(&options))
        }
        "check" => {
            let Some(options) = Options::read(arguments, &["config"], 0)? else { return Ok(0) };
            Ok(check::run(&options))
        }
        "addresses" => {
            let Some(_) = Options::read(arguments, &[], 0)? else { return Ok(0) };
            Ok(addresses::run())
        }
        "cards" => match word(arguments)?.as_deref() {
            Some("check") => {
                let Some(options) = Options::read(arguments, &["config"], 1)? else { return Ok(0) };
                Ok(cards::check(&options))
            }
            Some("template") => {
                let Some(_) = Options::read(arguments, &[], 0)? else { return Ok(0) };
                Ok(cards::template())
            }
            Some("--help") => Ok(print_help()),
            Some("--version") => Ok(print_version()),
            _ => Err("`posgate cards` takes check or template".into()),
        },
        "ledger" => match word(arguments)?.as_deref() {
            Some("verify") => {
                let Some(options) = Options::read(arguments, &["config"], usize::MAX)? else { return Ok(0) };
                Ok(ledger::verify(&options))
            }
            Some("show") => {
                let Some(options) = Options::read(arguments, &["config", "raw"], usize::MAX)? else {
                    return Ok(0);
                };
                Ok(ledger::show(&options))
            }
            Some("--help") => Ok(print_help()),
            Some("--version") => Ok(print_version()),
            _ => Err("`posgate ledger` takes verify or show".into()),
        },
        other => Err(format!("{other:?} is no command").into()),
    }
}

fn print_help() -> u8 {
    print!("{HELP}");
    0
}

fn print_version() -> u8 {
    println!("posgate {}", env!("CARGO_PKG_VERSION"));
    0
}

fn word(arguments: &mut Parser) -> Result<Option<String>, lexopt::Error> {
    Ok(match arguments.next()? {
        None => None,
        Some(Arg::Value(value)) => Some(value.to_string_lossy().into_owned()),
        Some(Arg::Long("help") | Arg::Short('h')) => Some("--help".to_owned()),
        Some(Arg::Long("version") | Arg::Short('V')) => Some("--version".to_owned()),
        Some(other) => return Err(other.unexpected()),
    })
}

/// The options and operands of a command.
#[derive(Debug, Default)]
struct Options {
    config: Option<PathBuf>,
    listen: Vec<String>,
    raw: bool,
    operands: Vec<OsString>,
}

impl Options {
    /// Reads what is left of the command line; `None` if it asked for help or the version, and got it.
    fn read(arguments: &mut Parser, known: &[&str], operands_max: usize) -> Result<Option<Self>, lexopt::Error> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("help") | Arg::Short('h') => {
                    print_help();
                    return Ok(None);
                }
                Arg::Long("version") | Arg::Short('V') => {
                    print_version();
                    return Ok(None);
                }
                Arg::Long("config") if known.contains(&"config") => options.config = Some(arguments.value()?.into()),
                Arg::Long("listen") if known.contains(&"listen") => {
                    options.listen.push(arguments.value()?.to_string_lossy().into_owned());
                }
                Arg::Long("raw") if known.contains(&"raw") => options.raw = true,
                Arg::Value(value) if options.operands.len() < operands_max => options.operands.push(value),
                other => return Err(other.unexpected()),
            }
        }
        Ok(Some(options))
    }

    fn config(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| CONFIG.into())
    }
}

/// Prints problems, one a line, to stderr.
fn print_problems<T: std::fmt::Display>(problems: &[T]) {
    for problem in problems {
        eprintln!("{problem}");
    }
}
