//! `posgate ledger show|report|export|explain`: entries, reports and exports of a ledger for
//! people, also while the server runs.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use posgate::desk::audit::attendance::Attendance;
use posgate::desk::audit::balances::Balances;
use posgate::desk::audit::explain::{Question, explain as tell};
use posgate::desk::audit::export::{Export, Format, Language};
use posgate::desk::audit::filter::{self, Written};
use posgate::desk::audit::groups::{By, Groups};
use posgate::desk::audit::people::People;
use posgate::desk::audit::report::{Span, gather};
use posgate::desk::audit::show::{self, AskSynced, LAST_MAX, Show};
use posgate::desk::audit::source::After;
use posgate::desk::audit::{AuditError, Calendar, Filter, Source};
use posgate::desk::paper::{Form, Paper};
use posgate::desk::table::printable;
use posgate::engine::model::{AccountId, CardNo, CardRecord, Civil, Date, EntrySeq, Figures, MachineNo, Stamp};
use posgate::files::config::Settings;
use posgate::files::good::{self, Good};
use posgate::files::problem::{hidden, typed, typed_time};
use posgate::files::zone::Zone;
use posgate::files::{cards, config};
use posgate::host::clock;
use posgate::lang::tr;
use posgate::ledger::{Head, is_served};

use super::progress::Progress;
use super::{EXIT_CONFIG, EXIT_IO, EXIT_NO, EXIT_USAGE, Options, ctl, print_problems};

/// Prints the requested entries.
pub(super) fn show(options: &Options) -> u8 {
    finish(show_all(options))
}

fn show_all(options: &Options) -> Result<u8, Failure> {
    let ledger_args = LedgerArgs::find(options, &options.operands)?;
    let calendar = ledger_args.calendar()?;
    let filter = filter(options, &calendar)?;
    let last = match options.value("last") {
        None => None,
        Some(text) => {
            let count = text.parse().ok().filter(|count| *count <= LAST_MAX);
            Some(count.ok_or_else(|| {
                usage(tr!("--last {} is no number up to {LAST_MAX}", "--last {} 不是 {LAST_MAX} 以内的数", typed(text)))
            })?)
        }
    };
    // A row with all columns takes three lines of a terminal.
    let is_narrow = io::stdout().is_terminal() && !options.has("wide") && !options.has("raw");
    if is_narrow {
        complain!(
            "posgate: these are 7 of 16 columns, for a terminal of 80: --wide shows all",
            "posgate: 这是 16 列里的 7 列，终端 80 列放得下：加 --wide 显示全部"
        );
    }
    let show = Show { filter, calendar, last, raw: options.has("raw"), is_narrow, after: after(options)? };
    let mut synced = options.has("durable").then(|| Synced::of(options, &ledger_args));
    let mut ask = synced.as_mut().map(|synced| || synced.ask());
    let ask = ask.as_mut().map(|ask| ask as &mut AskSynced);
    let damage = show::run(&ledger_args.places, &show, options.has("follow"), ask, &mut io::stdout())?;
    match damage {
        None => Ok(0),
        Some(sentence) => Err(AuditError::Damaged(sentence).into()),
    }
}

/// Prints the close of a day, a month or other days: as a whole, by department and the like, the
/// balances, or the attendance.
pub(super) fn report(options: &Options) -> u8 {
    finish(report_all(options))
}

/// What a report shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Close,
    Groups,
    Balances,
    Attendance,
}

fn report_all(options: &Options) -> Result<u8, Failure> {
    let ledger_args = LedgerArgs::find(options, &options.operands)?;
    let span = span(options, &ledger_args.calendar()?)?;
    let by = options.value("by").map(By::parse).transpose().map_err(usage)?;
    let view = one_of(options, ["by", "balances", "attendance"])?;
    let view = view.map_or(View::Close, |index| [View::Groups, View::Balances, View::Attendance][index]);
    let form = form(options, view)?;
    let table = if view == View::Balances { ledger_args.cards()? } else { None };
    let people = if matches!(view, View::Groups | View::Attendance) { ledger_args.people() } else { None };
    let source = Source::open(&ledger_args.places)?;
    let progress = Progress::start(tr("adding up the ledger", "正在汇总账本"));
    let gathered = gather(&source, span, Groups::new(by.unwrap_or_default(), people));
    let (report, accounts) = gathered?;
    let attendance = match view {
        View::Attendance => Attendance::gather(&source, &report)?,
        View::Close | View::Groups | View::Balances => Attendance::default(),
    };
    drop(progress);
    let people = report.groups.people();
    let balances = match view {
        View::Balances => Balances::new(&accounts, table.as_deref()),
        View::Close | View::Groups | View::Attendance => Balances::default(),
    };
    match form {
        None => {
            let json = match view {
                View::Close => report.json(),
                View::Groups => report.groups_json(),
                View::Balances => balances.json(&report),
                View::Attendance => attendance.json(&report, people),
            };
            print(&format!("{json}\n"))?;
        }
        Some(form) => {
            let paper: Paper = match view {
                View::Close => report.paper(),
                View::Groups => report.groups_paper(matches!(form, Form::Csv(_))),
                View::Balances => balances.paper(&report),
                View::Attendance => attendance.paper(&report, people),
            };
            let mut out = io::BufWriter::new(io::stdout().lock());
            paper.write(form, &mut out).and_then(|()| out.flush()).map_err(AuditError::Io)?;
        }
    }
    if report.is_balanced() {
        return Ok(0);
    }
    complain!(
        "posgate: opening total and movements do not make the closing total: run `posgate ledger verify`",
        "posgate: 期初加变动不等于期末：请执行 `posgate ledger verify`"
    );
    Ok(EXIT_NO)
}

/// The days of `--day`, `--month`, or `--from` and `--to`.
fn span(options: &Options, calendar: &Calendar) -> Result<Span, Failure> {
    let day = |name: &str| match options.value(name) {
        None => Ok(None),
        Some(text) => day_of(text, calendar).map(Some).ok_or_else(|| {
            usage(tr!(
                "--{name} {} is not a day: write 2026-11-22, today or yesterday",
                "--{name} {} 不是日期：请写 2026-11-22、today 或 yesterday",
                typed_time(text)
            ))
        }),
    };
    let month = |text: &str| {
        month_of(text).ok_or_else(|| {
            usage(tr!(
                "--month {} is not a month: write 2026-11",
                "--month {} 不是月份：请写 2026-11",
                typed_time(text)
            ))
        })
    };
    let month = options.value("month").map(month).transpose()?;
    match (day("day")?, month, day("from")?, day("to")?) {
        (None, None, None, None) => Ok(Span::Newest),
        (Some(day), None, None, None) => Ok(Span::Days(Some(day), Some(day))),
        (None, Some((first, last)), None, None) => Ok(Span::Days(Some(first), Some(last))),
        (None, None, Some(from), Some(to)) if from > to => Err(usage(tr!(
            "--from {from} is after --to {to}: exchange the two",
            "--from {from} 晚于 --to {to}：请对调"
        ))),
        (None, None, from, to) => Ok(Span::Days(from, to)),
        (Some(_), ..) | (_, Some(_), ..) => Err(usage(
            tr("give --day, --month, or --from and --to, not both", "--day、--month 与 --from、--to 只写一种")
                .to_owned(),
        )),
    }
}

/// The first and the last day of a month such as `2026-11`.
fn month_of(text: &str) -> Option<(Date, Date)> {
    let divider = text.get(4..5)?;
    let first = Date::parse(format!("{text}{divider}01").as_bytes())?;
    // Every month has 28 to 31 days.
    let next = Date(first.0 + 31).to_string();
    let next = Date::parse(format!("{}01", next.get(..8)?).as_bytes())?;
    Some((first, next.previous()))
}

/// Which one of these options is given.
fn one_of<const N: usize>(options: &Options, names: [&str; N]) -> Result<Option<usize>, Failure> {
    let is_given = |name: &&str| options.has(name) || options.value(name).is_some();
    if names.iter().filter(|name| is_given(name)).count() > 1 {
        let names = names.map(|name| format!("--{name}")).join(", ");
        return Err(usage(tr!("give only one of {names}", "{names} 只写一个")));
    }
    Ok(names.iter().position(is_given))
}

/// How the report is written; `None` for JSON.
fn form(options: &Options, view: View) -> Result<Option<Form>, Failure> {
    let language = header(options)?;
    Ok(match one_of(options, ["json", "csv", "print", "html"])? {
        Some(0) => None,
        Some(1) if view == View::Close => {
            return Err(usage(
                tr(
                    "--csv is one table: give --by, --balances or --attendance too, such as --by period",
                    "--csv 是一张表：请同时写 --by、--balances 或 --attendance，例如 --by period",
                )
                .to_owned(),
            ));
        }
        Some(1) => Some(Form::Csv(usize::from(language == Language::English))),
        Some(2) => Some(Form::Print),
        Some(_) => Some(Form::Html),
        None => Some(Form::Text),
    })
}

/// The language of a table's titles, from `--header`.
fn header(options: &Options) -> Result<Language, Failure> {
    match options.value("header") {
        None | Some("en") => Ok(Language::English),
        Some("zh") => Ok(Language::Chinese),
        Some(other) => Err(usage(tr!("--header {}: write en or zh", "--header {}：请写 en 或 zh", typed(other)))),
    }
}

/// Writes the entries as a table for a spreadsheet.
pub(super) fn export(options: &Options) -> u8 {
    finish(export_all(options))
}

fn export_all(options: &Options) -> Result<u8, Failure> {
    let format = match options.value("format") {
        None | Some("csv") => Format::Csv,
        Some("tsv") => Format::Tsv,
        Some(other) => {
            return Err(usage(tr!("--format {}: write csv or tsv", "--format {}：请写 csv 或 tsv", typed(other))));
        }
    };
    let header = header(options)?;
    let ledger_args = LedgerArgs::find(options, &options.operands)?;
    let calendar = ledger_args.calendar()?;
    let (filter, after) = (filter(options, &calendar)?, after(options)?);
    let people = ledger_args.people();
    let export = Export { filter, calendar, format, header, gbk: options.has("gbk"), after, people };
    let source = Source::open(&ledger_args.places)?;
    if let Some(note) = source.note() {
        complain!("{note}");
    }
    export.write(&source, &mut io::stdout())?;
    Ok(0)
}

/// Explains one sale.
pub(super) fn explain(options: &Options) -> u8 {
    finish(explain_all(options))
}

fn explain_all(options: &Options) -> Result<u8, Failure> {
    let mut numbers: Vec<&str> = Vec::new();
    let mut time = String::new();
    let mut places = Vec::new();
    for operand in &options.operands {
        match operand.to_str() {
            Some(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => numbers.push(text),
            // A date and a time may be one operand or two.
            Some(text) if Written::parse(text).is_some() => {
                time.push_str(if time.is_empty() { "" } else { " " });
                time.push_str(text);
            }
            _ => places.push(operand.clone()),
        }
    }
    let how = tr(
        "write `posgate ledger explain SEQ`, or `… explain CARD TIME` with a time such as 12:30 or '2026-11-22 12:30'",
        "请写 `posgate ledger explain SEQ`，或 `… explain CARD TIME`，时刻如 12:30 或 '2026-11-22 12:30'",
    );
    let looks_like_time =
        |place: &&OsString| place.to_str().is_some_and(|text| text.contains(':') && !text.contains('/'));
    if let Some(place) = places.iter().filter(looks_like_time).find(|place| !Path::new(place).exists()) {
        return Err(usage(tr!("{} is no time: {how}", "{} 不是时刻：{how}", hidden(&place.to_string_lossy()))));
    }
    let question = match (numbers.as_slice(), time.as_str()) {
        ([seq], "") => Question::Entry(EntrySeq(
            seq.parse()
                .map_err(|_| usage(tr!("{} is no entry's number: {how}", "{} 不是流水号：{how}", hidden(seq))))?,
        )),
        ([card], time) => {
            let card = CardNo::parse(card.as_bytes())
                .ok_or_else(|| usage(tr!("{} is no card: {how}", "{} 不是卡号：{how}", hidden(card))))?;
            let written = Written::parse(time)
                .ok_or_else(|| usage(tr!("{} is no time: {how}", "{} 不是时刻：{how}", typed(time))))?;
            Question::Card(card.padded(), written)
        }
        _ => return Err(usage(how.to_owned())),
    };
    let ledger_args = LedgerArgs::find(options, &places)?;
    let calendar = ledger_args.calendar()?;
    let story = tell(&Source::open(&ledger_args.places)?, &calendar, question)?;
    let text = if options.has("json") { format!("{}\n", story.json()) } else { story.to_string() };
    print(&text)?;
    Ok(0)
}

/// Prints a text that may hold a device's control characters, and prints `?` for each of them,
/// because a terminal would obey them.
fn print(text: &str) -> Result<(), AuditError> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in text.split_inclusive('\n') {
        out.write_all(printable(line.trim_end_matches('\n')).as_bytes())?;
        out.write_all(if line.ends_with('\n') { b"\n" } else { b"" })?;
    }
    Ok(out.flush()?)
}

/// The accounts that a ledger has opened, with what they hold.
pub(super) fn opened(ledger_dir: &Path) -> Result<HashMap<AccountId, Figures>, u8> {
    let read = || -> Result<HashMap<AccountId, Figures>, AuditError> {
        let source = Source::open(&[ledger_dir.to_owned()])?;
        let (_, accounts) = gather(&source, Span::Days(None, None), Groups::default())?;
        let opened = accounts.sorted().into_iter().filter(|(_, account)| account.is_opened_then);
        Ok(opened
            .map(|(id, account)| {
                let uses = i32::try_from(account.uses).unwrap_or(i32::MAX);
                (*id, Figures { balance: account.balance, subsidy: account.subsidy, uses })
            })
            .collect())
    };
    read().map_err(|error| finish(Err(error.into())))
}

/// The ledgers named by the operands or by `--config`.
struct LedgerArgs {
    places: Vec<PathBuf>,
    /// Set if a configuration is named: its time zone, start of the day and card table.
    settings: Option<Settings>,
}

impl LedgerArgs {
    fn find(options: &Options, operands: &[impl AsRef<OsStr>]) -> Result<Self, Failure> {
        let is_asked = options.config.is_some() || operands.is_empty();
        let settings = if is_asked { Some(config::load(&options.config()).map_err(Failure::Config)?) } else { None };
        let places = match &settings {
            Some(settings) if operands.is_empty() => vec![settings.ledger_dir.clone()],
            _ => operands.iter().map(PathBuf::from).collect(),
        };
        Ok(Self { places, settings })
    }

    fn calendar(&self) -> Result<Calendar, Failure> {
        let Some(settings) = &self.settings else { return Ok(Calendar::default()) };
        let found = settings.find_zone().map_err(|problem| Failure::Config(vec![problem]))?;
        Ok(Calendar { zone: Some(found.zone), day_start: settings.rules.day_start })
    }

    /// The holders by the card table; without one, and after words if it cannot be read, `None`:
    /// sums need no names.
    fn people(&self) -> Option<People> {
        match self.cards() {
            Ok(records) => Some(People::new(records?, &self.settings.as_ref()?.rules.groups)),
            Err(failure) => {
                finish(Err(failure));
                None
            }
        }
    }

    /// The card table that the server would serve: the file, or its good copy if the file is bad.
    fn cards(&self) -> Result<Option<Vec<CardRecord>>, Failure> {
        let Some(settings) = &self.settings else { return Ok(None) };
        let groups = &settings.rules.groups;
        let problems = match cards::load(&settings.cards, groups) {
            Ok(file) => return Ok(Some(file.records)),
            Err(problems) => problems,
        };
        let good = Good::of(&settings.ledger_dir);
        let copy = good.read(good::CARDS).and_then(|bytes| cards::parse(&bytes, &good.path(good::CARDS), groups).ok());
        match copy {
            Some(file) => {
                print_problems(&problems);
                complain!(
                    "the good copy is read instead: {}",
                    "改读上次采用的副本：{}",
                    good.path(good::CARDS).display()
                );
                Ok(Some(file.records))
            }
            None => Err(Failure::Config(problems)),
        }
    }
}

/// The filter of `--card`, `--from` and the like.
fn filter(options: &Options, calendar: &Calendar) -> Result<Filter, Failure> {
    let wrong = |name: &str, typed: fn(&str) -> String, wanted: &str| {
        let text = typed(options.value(name).unwrap_or_default());
        usage(tr!("--{name} {text} is not a {wanted}", "--{name} {text} 不是{wanted}"))
    };
    let card = options.value("card").map(|text| {
        CardNo::parse(text.as_bytes())
            .ok_or_else(|| wrong("card", typed, tr("card number of 1 to 10 digits", " 1 到 10 位数字的卡号")))
    });
    let machine = options.value("machine").map(|text| {
        MachineNo::parse(text.as_bytes())
            .ok_or_else(|| wrong("machine", typed, tr("machine number of 1 to 10 digits", " 1 到 10 位数字的机号")))
    });
    let time = |name: &str, edge: fn(&Written) -> Option<Civil>| {
        let wanted = tr(
            "time: write 2026-11-22, '2026-11-22 12:30', 12:30 of today, today or yesterday",
            "时刻：请写 2026-11-22、'2026-11-22 12:30'、12:30（今天）、today 或 yesterday",
        );
        let read = |text: &str| {
            let written = Written::parse_near(text, calendar.civil(now(calendar)).date());
            written.and_then(|written| edge(&written)).ok_or_else(|| wrong(name, typed_time, wanted))
        };
        options.value(name).map(read).transpose()
    };
    Ok(Filter {
        card: card.transpose()?,
        account: options.value("account").map(str::to_owned),
        machine: machine.transpose()?,
        kinds: options.value("kind").map_or(Ok(Vec::new()), filter::kinds).map_err(usage)?,
        from: time("from", Written::begin)?,
        until: time("to", Written::end)?,
        after: after(options)?.map_or(EntrySeq(0), |after| after.seq),
    })
}

/// The reader's position, from `--after SEQ` or `--after SEQ:CRC`.
fn after(options: &Options) -> Result<Option<After>, Failure> {
    let Some(text) = options.value("after") else { return Ok(None) };
    let wrong = || {
        usage(tr!(
            "--after {}: write an entry's number, or number and crc as in 4211:09ab34ef",
            "--after {}：请写流水号，或者流水号和 crc，如 4211:09ab34ef",
            typed(text)
        ))
    };
    let (seq, crc) = text.split_once(':').map_or((text, None), |(seq, crc)| (seq, Some(crc)));
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seq = seq.parse().ok().filter(|_| is_plain(seq)).ok_or_else(wrong)?;
    let is_crc = |crc: &&str| crc.len() == 8 && crc.bytes().all(|byte| byte.is_ascii_hexdigit());
    let crc = match crc {
        None => None,
        Some(crc) => {
            let digits = Some(crc).filter(is_crc).ok_or_else(wrong)?;
            Some(u32::from_str_radix(digits, 16).map_err(|_| wrong())?)
        }
    };
    Ok(Some(After { seq: EntrySeq(seq), crc }))
}

/// Asks which entries are durable (`--durable`): the server of the ledger answers over its control
/// socket.
struct Synced {
    control: Option<PathBuf>,
    dirs: Vec<PathBuf>,
    /// Number of further failed attempts allowed in a row while a server holds the ledger: it may
    /// be starting or stopping.
    patience: u32,
    is_followed: bool,
}

/// A follower asks five times per second, and waits ten seconds for a server that reads its ledger
/// before it answers.
const PATIENCE: u32 = 50;

impl Synced {
    fn of(options: &Options, ledger_args: &LedgerArgs) -> Self {
        let named = options.value("control").map(PathBuf::from);
        let control = named.or_else(|| ledger_args.settings.as_ref()?.control.clone());
        let dirs = ledger_args.places.iter().filter(|place| place.is_dir()).cloned().collect();
        Self { control, dirs, patience: 0, is_followed: options.has("follow") }
    }

    /// The last entry that the server synced. `None` if no server runs; after the first answer,
    /// also if a server does not answer yet.
    fn ask(&mut self) -> Result<Option<Head>, AuditError> {
        match self.ask_once() {
            Err(AuditError::Io(_)) if self.patience > 0 => {
                self.patience -= 1;
                Ok(None)
            }
            answer => {
                self.patience = if self.is_followed && answer.is_ok() { PATIENCE } else { 0 };
                answer
            }
        }
    }

    fn ask_once(&self) -> Result<Option<Head>, AuditError> {
        let answer = match &self.control {
            Some(path) => ctl::synced_head(path),
            None => Ok(None),
        };
        if let Some(head) = answer.map_err(|sentence| AuditError::Io(io::Error::other(sentence)))? {
            return Ok(Some(head));
        }
        let Some(dir) = self.dirs.iter().find(|dir| is_served(dir)) else { return Ok(None) };
        let who = match &self.control {
            Some(path) => tr!("and nobody answers at {}", "而 {} 没有应答", path.display()),
            None => tr(
                "and no control socket is known: say --config FILE or --control PATH",
                "而不知道控制接口在哪里：请写 --config FILE 或 --control PATH",
            )
            .to_owned(),
        };
        let sentence = tr!(
            "{}: a server serves from here, {who}: what is durable cannot be told",
            "{}：有服务器在用这里的账本，{who}：不知道哪些已落盘",
            dir.display()
        );
        Err(AuditError::Io(io::Error::other(sentence)))
    }
}

/// Parses a business day as people write it.
fn day_of(text: &str, calendar: &Calendar) -> Option<Date> {
    let today = || calendar.day(now(calendar));
    match text {
        "today" => Some(today()),
        "yesterday" => Some(today().previous()),
        _ => Date::parse(text.as_bytes()),
    }
}

/// The current time in the calendar's zone, or in this machine's if the calendar has none.
fn now(calendar: &Calendar) -> Stamp {
    let zone = calendar.zone.clone();
    zone.unwrap_or_else(|| Zone::find(None).map_or_else(|_| Zone::utc(), |found| found.zone)).stamp(clock::wall())
}

/// The reason why a command ends without an answer.
enum Failure {
    Audit(AuditError),
    Config(Vec<posgate::files::problem::Problem>),
    Sentence(u8, String),
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        Self::Audit(error)
    }
}

fn usage(sentence: String) -> Failure {
    Failure::Sentence(EXIT_USAGE, sentence)
}

fn finish(result: Result<u8, Failure>) -> u8 {
    let (code, sentence) = match result {
        Ok(code) => return code,
        Err(Failure::Audit(error)) if error.is_broken_pipe() => return 0,
        Err(Failure::Audit(error)) => {
            let code = match error {
                AuditError::Io(_) => EXIT_IO,
                AuditError::Damaged(_) => EXIT_CONFIG,
                AuditError::Usage(_) => EXIT_USAGE,
                AuditError::Nothing(_) => EXIT_NO,
            };
            (code, error.to_string())
        }
        Err(Failure::Config(problems)) => {
            print_problems(&problems);
            return EXIT_CONFIG;
        }
        Err(Failure::Sentence(code, sentence)) => (code, sentence),
    };
    complain!("posgate: {sentence}");
    code
}
