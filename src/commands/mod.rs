//! The command line (design.md, section 3).

/// Prints a line to stdout: a text and its Chinese, as `tr!` takes them, or what `format!` takes.
/// That nobody reads it any more (`posgate check | head`) is no error.
macro_rules! say {
    ($en:literal, $zh:literal $($arguments:tt)*) => { say!("{}", posgate::tr!($en, $zh $($arguments)*)) };
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}

/// The same to stderr.
macro_rules! complain {
    ($en:literal, $zh:literal $($arguments:tt)*) => { complain!("{}", posgate::tr!($en, $zh $($arguments)*)) };
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
mod days;
mod help;
mod import;
mod ledger;
mod link;
mod load;
#[cfg(feature = "manual")]
mod manual;
mod progress;
mod reload;
mod relocate;
mod serve;
mod table;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::{Arg, Parser};
use posgate::engine::model::text::Unnumbered;
use posgate::files::problem::{did_you_mean, nearest, typed};
use posgate::lang::{self, Lang, tr};

/// The command line itself is wrong.
const EXIT_USAGE: u8 = 64;
/// The answer is no.
const EXIT_NO: u8 = 1;
/// Input or output failed.
const EXIT_IO: u8 = 74;
/// Configuration, cards or ledger are wrong.
const EXIT_CONFIG: u8 = 78;

const CONFIG: &str = "/etc/config/posgate";

/// Runs the command that the arguments name, without the program's own name.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    lang::speak(Lang::of_locale(|name| std::env::var_os(name)));
    let code = match without_lang(arguments).and_then(|rest| dispatch(&mut Parser::from_args(rest))) {
        Ok(code) => code,
        Err(error) => {
            complain!("posgate: {}", usage_error(&error));
            EXIT_USAGE
        }
    };
    ExitCode::from(code)
}

/// Takes `--lang` out of the arguments, wherever it stands, and speaks that language: the first
/// error is told in it already.
fn without_lang(mut arguments: impl Iterator<Item = OsString>) -> Result<Vec<OsString>, lexopt::Error> {
    let mut rest = Vec::new();
    let mut lang = None;
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            rest.push(argument);
            break;
        }
        let word = if argument == "--lang" {
            Some(arguments.next().unwrap_or_default())
        } else {
            argument.to_str().and_then(|argument| argument.strip_prefix("--lang=")).map(OsString::from)
        };
        if word.is_some() {
            lang = word;
            continue;
        }
        // Its value may look like an option.
        let takes_value = argument.to_str().and_then(|text| text.strip_prefix("--")).is_some_and(table::takes_value);
        rest.push(argument);
        rest.extend(takes_value.then(|| arguments.next()).flatten());
    }
    rest.extend(arguments);
    if let Some(word) = lang {
        let wrong = || tr!("--lang {}: write zh or en", "--lang {}：请写 zh 或 en", typed(&word.to_string_lossy()));
        lang::speak(Lang::from_word(&word).ok_or_else(wrong)?);
    }
    Ok(rest)
}

/// What is wrong with the command line.
fn usage_error(error: &lexopt::Error) -> String {
    use lexopt::Error;
    let sentence = match (error, lang::spoken()) {
        (Error::Custom(sentence), _) => sentence.to_string(),
        (Error::MissingValue { option: Some(option) }, Lang::Zh) => format!("{option} 后面缺了值"),
        (Error::UnexpectedOption(option), _) => tr!("unknown option {}", "没有 {} 这个选项", typed(option)),
        (Error::UnexpectedArgument(word), Lang::Zh) => {
            format!("{} 是多余的", Unnumbered(&format!("{:?}", word.to_string_lossy())))
        }
        (Error::UnexpectedValue { option, value }, Lang::Zh) => {
            format!("{option} 不带值，却写了 {}", Unnumbered(&format!("{:?}", value.to_string_lossy())))
        }
        // It names a word that was typed, such as one more card.
        (other, _) => Unnumbered(&other.to_string()).to_string(),
    };
    if sentence.ends_with(['?', '？']) {
        return sentence;
    }
    tr!("{sentence}; `posgate --help` lists the commands", "{sentence}；`posgate --help` 列出全部命令")
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
        return Err(tr(
            "say what to do, for example `posgate serve --config FILE`",
            "请写要做什么，例如 `posgate serve --config FILE`",
        )
        .into());
    };
    if matches!(command.as_str(), "help" | "--help") {
        return help_asked(arguments);
    }
    if command == "--version" {
        return Ok(version());
    }
    if command == "ctl" {
        let words = arguments.clone();
        return Ok(match ctl::run(arguments)? {
            Asked::Help => ctl_help(words),
            Asked::Version => version(),
            Asked::Command(code) => code,
        });
    }
    let mut names = table::group(&command).filter_map(|command| command.name.split_once(' ')).map(|(_, word)| word);
    let name = match names.next() {
        None => command.clone(),
        Some(first) => match word()?.as_deref() {
            Some("--help") => return Ok(help::page(&[&command]).unwrap_or_else(help::overview)),
            Some("--version") => return Ok(version()),
            Some(second) if table::find(&format!("{command} {second}")).is_some() => format!("{command} {second}"),
            second => {
                let names: Vec<&str> = [first].into_iter().chain(names).collect();
                if let Some(name) = second.and_then(|word| nearest(word, names.iter().copied())) {
                    let typed = format!("{command} {}", second.unwrap_or_default());
                    return Err(unknown_command(&typed, &format!("{command} {name}")));
                }
                return Err(
                    tr!("`posgate {command}` takes {}", "`posgate {command}` 后面可写 {}", names.join(", ")).into()
                );
            }
        },
    };
    let found = table::find(&name).and_then(|command| Some((command, command.run?)));
    let Some((command, execute)) = found else { return Err(no_command(&name)) };
    Ok(match Options::read(arguments, command)? {
        Asked::Help => help::page(&[command.name]).unwrap_or_else(help::overview),
        Asked::Version => version(),
        Asked::Command(options) => {
            speak_for_programs(options.has("json"));
            execute(&options)
        }
    })
}

/// With `--json` everything is English: programs match the sentences too.
fn speak_for_programs(has_json: bool) {
    if has_json {
        lang::speak(Lang::En);
    }
}

/// `posgate help` and what may stand behind it.
fn help_asked(arguments: &mut Parser) -> Result<u8, lexopt::Error> {
    let mut words = Vec::new();
    while let Some(argument) = arguments.next()? {
        match argument {
            #[cfg(feature = "manual")]
            Arg::Long("man") => return Ok(manual::man()),
            #[cfg(feature = "manual")]
            Arg::Long("completion") => {
                let shell = arguments.value()?.to_string_lossy().into_owned();
                let wrong = || {
                    tr!(
                        "--completion {}: write bash, zsh or fish",
                        "--completion {}：请写 bash、zsh 或 fish",
                        typed(&shell)
                    )
                    .into()
                };
                return manual::completion(&shell).ok_or_else(wrong);
            }
            #[cfg(not(feature = "manual"))]
            Arg::Long("man" | "completion") => {
                return Err(tr!(
                    "a router's posgate has neither man page nor completions: ask that of a PC",
                    "路由器上的 posgate 没有 man 手册页和补全脚本：请在电脑上用 posgate 生成"
                )
                .into());
            }
            Arg::Value(value) => words.push(value.to_string_lossy().into_owned()),
            Arg::Long("help" | "version") | Arg::Short('h' | 'V') => (),
            other => return Err(other.unexpected()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => Ok(help::overview()),
        words => help::page(words).ok_or_else(|| no_command(&words.join(" "))),
    }
}

/// What to say of a command that there is not: which one it may have been meant for.
fn no_command(name: &str) -> lexopt::Error {
    let names = || table::COMMANDS.iter().map(|command| command.name);
    // `posgate topup` is `posgate ctl topup`, and its slips are those of a whole name.
    let last = names().find(|known| known.split_once(' ').is_some_and(|(_, word)| word == name));
    let first = || {
        names().filter_map(|known| known.split(' ').next()).find(|first| nearest(name, [*first].into_iter()).is_some())
    };
    match last.or_else(|| nearest(name, names())).or_else(first) {
        Some(meant) => unknown_command(name, meant),
        None => tr!("unknown command {}", "没有 {} 这个命令", typed(name)).into(),
    }
}

fn unknown_command(name: &str, meant: &str) -> lexopt::Error {
    tr!("unknown command {}: {}", "没有 {} 这个命令：{}", typed(name), did_you_mean(meant)).into()
}

/// The same of an option that is not `known`.
fn no_option(name: &str, known: impl Iterator<Item = &'static str>) -> lexopt::Error {
    let known = known.chain(["help", "version", "lang"]);
    match nearest(name, known) {
        Some(meant) => {
            let question = did_you_mean(&format!("--{meant}"));
            tr!("unknown option {}: {question}", "没有 {} 这个选项：{question}", typed(&format!("--{name}"))).into()
        }
        None => Arg::Long(name).unexpected(),
    }
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
    /// Reads what is left of the command line.
    fn read(arguments: &mut Parser, command: &table::Command) -> Result<Asked<Self>, lexopt::Error> {
        let operands_max = command.operands_max();
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("help") | Arg::Short('h') => return Ok(Asked::Help),
                Arg::Long("version") | Arg::Short('V') => return Ok(Asked::Version),
                Arg::Long(name) => {
                    let Some(option) = command.option(name) else {
                        return Err(no_option(name, command.options.iter().map(|option| option.name)));
                    };
                    if option.value.is_empty() {
                        options.further.push((option.name, None));
                        continue;
                    }
                    let value = arguments.value()?;
                    let text = value.to_string_lossy().into_owned();
                    match option.name {
                        "config" => options.config = Some(value.into()),
                        "listen" => options.listen.push(text),
                        "cut" => {
                            let seq = text.parse().map_err(|_| no_entry("--cut ", &text))?;
                            options.cut = Some(seq);
                        }
                        name => options.further.push((name, Some(text))),
                    }
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

    /// The values of an option that may be given several times.
    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.further.iter().filter(move |(given, _)| *given == name).filter_map(|(_, value)| value.as_deref())
    }

    fn config(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(default_config)
    }
}

/// A word that was to be the number of an entry.
fn no_entry(option: &str, word: &str) -> String {
    tr!("{option}{} is no entry's number", "{option}{} 不是流水号", typed(word))
}

/// The configuration that is meant where none is named.
fn default_config() -> PathBuf {
    std::env::var_os("POSGATE_CONFIG").filter(|path| !path.is_empty()).map_or_else(|| CONFIG.into(), PathBuf::from)
}

/// Prints problems, one a line, to stderr.
fn print_problems<T: std::fmt::Display>(problems: &[T]) {
    for problem in problems {
        complain!("{problem}");
    }
}
