//! The command line (design.md, section 3).

/// Prints a line to stdout. That nobody reads it any more (`posgate check | head`) is no error.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}

/// The same to stderr.
macro_rules! complain {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}

mod addresses;
mod audit;
mod cards;
mod check;
mod ctl;
mod help;
mod ledger;
mod load;
mod serve;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::{Arg, Parser};
use posgate::engine::model::text::Unnumbered;
use posgate::files::problem::typed;

/// The command line itself is wrong.
const EXIT_USAGE: u8 = 64;
/// The answer is no.
const EXIT_NO: u8 = 1;
/// Input or output failed.
const EXIT_IO: u8 = 74;
/// Configuration, cards or ledger are wrong.
const EXIT_CONFIG: u8 = 78;

const CONFIG: &str = "/etc/config/posgate";

const HELP: &str = "\
posgate: the server that card terminals and door access boards talk to

    posgate serve  [--config FILE] [--listen ADDR[:PORT]]…   run in the foreground
    posgate check  [--quick] [--config FILE]                 read config, cards and ledger; say what would be served
    posgate addresses                                        this machine's IPv4 addresses
    posgate cards  check [--config FILE | FILE]              read a card table, name every error
    posgate cards  diff OLD NEW [--config FILE]              what another card table would change
    posgate cards  template                                  a card table to begin with
    posgate cards  number TEXT [--config FILE]               what a number printed on a card may be; which card of the table it is
    posgate ledger verify [--config FILE | DIR | SEGMENT…]   check every line of a ledger
    posgate ledger show [--raw] [FILTER…] [--last N] [--follow] [--durable] [--config FILE | DIR | SEGMENT…]
    posgate ledger report [--day DAY | --from DAY --to DAY] [--balances] [--json] [--config FILE | DIR | SEGMENT…]
    posgate ledger export [--format csv|tsv] [--gbk] [--header en|zh] [FILTER…] [--config FILE | DIR | SEGMENT…]
    posgate ledger explain SEQ | CARD TIME [--json] [--config FILE | DIR | SEGMENT…]
    posgate ledger archive [--config FILE] DIR               move the segments before the snapshot to DIR
    posgate ledger repair --cut SEQ [--yes] [--config FILE | LEDGER]
                                                             keep the entries before SEQ, the rest in *.cut; server stopped
    posgate ledger new [--yes] [--config FILE]               begin a new ledger: everybody's opening figures count again; server stopped
    posgate ledger move [--config FILE]                      go on with the ledger that lies in ledger_dir; server stopped

    posgate ctl COMMAND …                                    talk to the running server; --config FILE or --control PATH, --json
      topup|subsidy CARD AMOUNT    payout CARD AMOUNT|all    adjust CARD ±AMOUNT [--about SEQ]    also with --uses N
      topup|subsidy|adjust --file FILE.csv --for NAME        card 卡号, amount 金额, uses 次数, name 姓名, note 备注, key 操作编号
      lost|found|freeze|unfreeze|close --file FILE.csv --for NAME   card 卡号, name 姓名, note 备注, key 操作编号
          FILE - is stdin; NAME says what the file is for (2026-12): each card's row is done once under it; --dry-run adds up only
      void SEQ [--amount AMOUNT]                             undo a sale
      lost|found|freeze|unfreeze|close CARD    replace OLD NEW    reissue CARD
      account CARD ACCOUNT    rename ACCOUNT NEW-ACCOUNT    open MACHINE DOOR
          of an order: --key KEY (the same key again does nothing), --by NAME (or POSGATE_BY), --note TEXT
      card CARD    cards [--search TEXT]    seen --unknown    devices [--uci]    discover [--port N] [--seconds N]
      clock MACHINE|all    show MACHINE TEXT    status    reload [--accept CRC]    clock-accept    sync
      acknowledge    branch    also with --by and --note

FILTER: --card N --account A --machine N --kind KIND,… (sales: all four kinds) --from TIME --to TIME --after SEQ[:CRC]
DAY: 2026-11-22, today or yesterday; the day of the newest entry if none is given
TIME: 2026-11-22, '2026-11-22 12:30', 12:30, today or yesterday; 12:30 is of today, for explain of any day

FILE defaults to $POSGATE_CONFIG, else /etc/config/posgate. `posgate help COMMAND` shows a command's own page. Exit codes: 0 done, 1 the answer is no, 64 usage, 74 input/output, 78 configuration or damaged
ledger; `ledger verify`: 0 clean, 1 torn tail only, 2 altered, 3 missing, 4 swapped, 5 header or snapshot.
";

/// Runs the command that the arguments name.
pub fn run(mut arguments: Parser) -> ExitCode {
    let code = match dispatch(&mut arguments) {
        Ok(code) => code,
        Err(error) => {
            let sentence = match &error {
                lexopt::Error::Custom(sentence) => sentence.to_string(),
                // It names a word that was typed, such as one more card.
                other => Unnumbered(&other.to_string()).to_string(),
            };
            complain!("posgate: {sentence}; `posgate --help` lists the commands");
            EXIT_USAGE
        }
    };
    ExitCode::from(code)
}

fn dispatch(arguments: &mut Parser) -> Result<u8, lexopt::Error> {
    let mut word = || match arguments.next()? {
        None => Ok(None),
        Some(Arg::Value(value)) => Ok(Some(value.to_string_lossy().into_owned())),
        Some(Arg::Long("help") | Arg::Short('h')) => Ok(Some("--help".to_owned())),
        Some(Arg::Long("version") | Arg::Short('V')) => Ok(Some("--version".to_owned())),
        Some(other) => Err(other.unexpected()),
    };
    let Some(command) = word()? else {
        return Err("say what to do, for example `posgate serve --config FILE`".into());
    };
    if matches!(command.as_str(), "help" | "--help") {
        let mut words = Vec::new();
        while let Some(word) = word()? {
            words.push(word);
        }
        words.retain(|word| !word.starts_with("--"));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        return match words.as_slice() {
            [] => Ok(help::overview()),
            words => help::page(words).ok_or_else(|| format!("{} is no command", typed(&words.join(" "))).into()),
        };
    }
    if command == "ctl" {
        let words = arguments.clone();
        return Ok(match ctl::run(arguments)? {
            Asked::Help => ctl_help(words),
            Asked::Version => version(),
            Asked::Command(code) => code,
        });
    }
    let has_subcommand = matches!(command.as_str(), "cards" | "ledger");
    let subcommand = if has_subcommand { word()? } else { None };
    let words = (command.as_str(), subcommand.as_deref());
    let (known, operands_max, execute): (&[&'static str], usize, fn(&Options) -> u8) = match words {
        (command, Some("--help")) => return Ok(help::page(&[command]).unwrap_or_else(help::overview)),
        ("--version", _) | (_, Some("--version")) => return Ok(version()),
        ("serve", _) => (&["config", "listen"], 0, serve::run),
        ("check", _) => (&["config", "quick"], 0, check::run),
        ("addresses", _) => (&[], 0, |_| addresses::run()),
        ("cards", Some("check")) => (&["config"], 1, cards::check),
        ("cards", Some("template")) => (&[], 0, |_| cards::template()),
        ("cards", Some("diff")) => (&["config"], 2, cards::diff),
        ("cards", Some("number")) => (&["config"], 1, cards::number),
        ("cards", _) => return Err("`posgate cards` takes check, diff, template or number".into()),
        ("ledger", Some("verify")) => (&["config"], usize::MAX, ledger::verify),
        ("ledger", Some("show")) => (audit::SHOW, usize::MAX, audit::show),
        ("ledger", Some("report")) => (audit::REPORT, usize::MAX, audit::report),
        ("ledger", Some("export")) => (audit::EXPORT, usize::MAX, audit::export),
        ("ledger", Some("explain")) => (audit::EXPLAIN, usize::MAX, audit::explain),
        ("ledger", Some("archive")) => (&["config"], 1, ledger::archive),
        ("ledger", Some("repair")) => (&["config", "cut", "yes"], 1, ledger::repair),
        ("ledger", Some("new")) => (&["config", "yes"], 0, ledger::new),
        ("ledger", Some("move")) => (&["config"], 0, ledger::take),
        ("ledger", _) => {
            return Err(
                "`posgate ledger` takes verify, show, report, export, explain, archive, repair, new or move".into()
            );
        }
        (other, _) => return Err(format!("{} is no command", typed(other)).into()),
    };
    Ok(match Options::read(arguments, known, operands_max)? {
        Asked::Help => {
            let words: Vec<&str> = [Some(words.0), words.1].into_iter().flatten().collect();
            help::page(&words).unwrap_or_else(help::overview)
        }
        Asked::Version => version(),
        Asked::Command(options) => execute(&options),
    })
}

/// The page of the command that stands among the words behind `ctl`, else what `ctl` takes.
fn ctl_help(mut words: Parser) -> u8 {
    let words: Vec<OsString> = words.raw_args().map(Iterator::collect).unwrap_or_default();
    let page = words.iter().filter_map(|word| word.to_str()).find_map(|word| help::page(&["ctl", word]));
    page.or_else(|| help::page(&["ctl"])).unwrap_or_else(help::overview)
}

fn version() -> u8 {
    say!("posgate {}", env!("CARGO_PKG_VERSION"));
    0
}

/// What the rest of the command line asks for.
enum Asked<T> {
    Command(T),
    Help,
    Version,
}

/// The options and operands of a command.
#[derive(Debug, Default)]
struct Options {
    config: Option<PathBuf>,
    listen: Vec<String>,
    cut: Option<u64>,
    /// Further options of the command, by name; a flag has no value.
    further: Vec<(&'static str, Option<String>)>,
    operands: Vec<OsString>,
}

impl Options {
    /// Reads what is left of the command line. A known option whose name ends with `=` takes a value.
    fn read(arguments: &mut Parser, known: &[&'static str], operands_max: usize) -> Result<Asked<Self>, lexopt::Error> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("help") | Arg::Short('h') => return Ok(Asked::Help),
                Arg::Long("version") | Arg::Short('V') => return Ok(Asked::Version),
                Arg::Long("config") if known.contains(&"config") => options.config = Some(arguments.value()?.into()),
                Arg::Long("listen") if known.contains(&"listen") => {
                    options.listen.push(arguments.value()?.to_string_lossy().into_owned());
                }
                Arg::Long("cut") if known.contains(&"cut") => {
                    let text = arguments.value()?.to_string_lossy().into_owned();
                    let seq = text.parse().map_err(|_| format!("--cut {} is no entry's number", typed(&text)))?;
                    options.cut = Some(seq);
                }
                Arg::Long(name) if find(known, name).is_some() => {
                    let (name, has_value) = find(known, name).expect("the guard found it");
                    let value = if has_value { Some(arguments.value()?.to_string_lossy().into_owned()) } else { None };
                    options.further.push((name, value));
                }
                Arg::Value(value) if options.operands.len() < operands_max => options.operands.push(value),
                other => return Err(other.unexpected()),
            }
        }
        Ok(Asked::Command(options))
    }

    /// Whether a flag was given.
    fn has(&self, name: &str) -> bool {
        self.further.iter().any(|(given, _)| *given == name)
    }

    /// The value of an option, the last if it was given twice.
    fn value(&self, name: &str) -> Option<&str> {
        self.further.iter().rev().find(|(given, _)| *given == name)?.1.as_deref()
    }

    fn config(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(default_config)
    }
}

/// The configuration that is meant where none is named.
fn default_config() -> PathBuf {
    std::env::var_os("POSGATE_CONFIG").filter(|path| !path.is_empty()).map_or_else(|| CONFIG.into(), PathBuf::from)
}

/// An option that a command knows, without its `=`, and whether it takes a value.
fn find(known: &[&'static str], name: &str) -> Option<(&'static str, bool)> {
    let special = ["config", "listen", "cut"];
    let mut names = known.iter().map(|known| (known.trim_end_matches('='), known.ends_with('=')));
    names.find(|(known, _)| *known == name && !special.contains(known))
}

/// Prints problems, one a line, to stderr.
fn print_problems<T: std::fmt::Display>(problems: &[T]) {
    for problem in problems {
        complain!("{problem}");
    }
}
