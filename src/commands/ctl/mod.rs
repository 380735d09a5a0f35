//! `posgate ctl`: talks to the running server over its control socket (design.md, section 3;
//! docs/desk.md). Each command is one line to the server, several pages of a list, or a file of
//! orders.
//!
//! *Invariants:* the exit code is 0 only if the order is done and durable; an order's key is
//! printed before the order is sent, so that after a lost connection the same order can be given
//! again and is done once.

mod clear;
mod confirm;
mod file;
mod link;
mod print;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::{Arg, Parser};
use nix::unistd::{Uid, User};
use posgate::desk::control::refusals;
use posgate::desk::control::request::{self, crc_of, crc_wanted, is_key};
use posgate::desk::json::{Object, Value};
use posgate::engine::model::EntrySeq;
use posgate::files::config;
use posgate::files::problem::{nearest, typed};
use posgate::lang::{self, Lang, tr};
use posgate::ledger::Head;

use super::table::{Command, find, group};
use super::{
    Asked, EXIT_CONFIG, EXIT_IO, EXIT_NO, default_config, no_entry, no_option, print_problems, speak_for_programs,
    unknown_command,
};
use link::{Link, Lost};

/// How long to wait for devices that answer a 000, in seconds.
const DISCOVER_S: u64 = 3;

/// The options of one call.
#[derive(Debug, Default)]
struct Options {
    flags: Vec<&'static str>,
    values: Vec<(&'static str, OsString)>,
    operands: Vec<String>,
}

impl Options {
    fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    /// An option's value; the last one counts. Only paths may be no UTF-8.
    fn value(&self, name: &str) -> Option<&str> {
        self.path(name)?.to_str()
    }

    fn path(&self, name: &str) -> Option<&Path> {
        self.values.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| Path::new(value))
    }
}

/// Why a command ended without its result.
enum Ended {
    /// The command line is wrong.
    Usage(String),
    /// The sentence is printed already.
    Code(u8),
    /// The server, or the check of the line before it is sent, refused with this answer.
    Refused(Value),
    /// The connection could not be made, or was lost.
    Lost(Lost),
}

impl From<Lost> for Ended {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

/// A command with its connection.
struct Call<'a> {
    name: &'static str,
    options: &'a Options,
    /// Where the ledger is by the configuration, if that was read.
    ledger_dir: Option<PathBuf>,
    link: Link,
}

/// Runs the command that the rest of the command line names; gives its exit code.
pub(super) fn run(arguments: &mut Parser) -> Result<Asked<u8>, lexopt::Error> {
    let (spec, options) = match read(arguments)? {
        Asked::Help => return Ok(Asked::Help),
        Asked::Version => return Ok(Asked::Version),
        Asked::Command(read) => read,
    };
    speak_for_programs(options.has("json"));
    let Some(spec) = spec else {
        return Err(tr!("`posgate ctl` takes {}", "`posgate ctl` 后面可写 {}", names().join(", ")).into());
    };
    let wanted = operands_wanted(spec, &options);
    let has_file = options.path("file").is_some();
    let wanted = if has_file { 0 } else { wanted };
    if options.operands.len() != wanted {
        let operands = if has_file { "--file FILE".to_owned() } else { spec.operands.join(" ") };
        let wanted = format!("posgate {} {operands}", spec.name);
        return Err(tr!("write `{}`", "请写 `{}`", wanted.trim_end()).into());
    }
    if let Some(missing) = spec.options.iter().find(|option| option.is_needed && !options.has(option.name)) {
        return Err(tr!("write `posgate {} --{}`", "请写 `posgate {} --{}`", spec.name, missing.name).into());
    }
    let code = match execute(spec, &options) {
        Ok(()) => 0,
        Err(Ended::Usage(sentence)) => return Err(sentence.into()),
        Err(Ended::Code(code)) => code,
        Err(Ended::Refused(answer)) => {
            let told = if spec.of_ctl() == Some("reload") { reload_refusal(&answer) } else { refusal(&answer) };
            complain!("posgate: {told}");
            for problem in answer.list("problems") {
                if let Value::Text(problem) = problem {
                    complain!("{problem}");
                }
            }
            if options.has("json") {
                say!("{answer}");
            }
            EXIT_NO
        }
        Err(Ended::Lost(lost)) => {
            complain!("posgate: {lost}");
            if options.has("json") {
                say!("{}", Object::error(&lost).end());
            }
            EXIT_IO
        }
    };
    Ok(Asked::Command(code))
}

/// Why an order was refused. In Chinese by the reason word, followed by the word and the server's
/// sentence, which names cards and amounts.
fn refusal(answer: &Value) -> String {
    let sentence = answer.text("error").unwrap_or_else(|| {
        tr("the server answered what this program does not understand", "服务器的应答这个程序看不懂")
    });
    let known = |reason| Some((reason, refusals::in_chinese(reason)?));
    match (lang::spoken(), answer.text("reason").and_then(known)) {
        (Lang::Zh, Some((reason, chinese))) => format!("{chinese}（{reason}: {sentence}）"),
        (Lang::Zh | Lang::En, _) => sentence.to_owned(),
    }
}

/// Why a reload was refused. The server's sentence names files in English; Chinese says what became
/// of it.
fn reload_refusal(answer: &Value) -> String {
    let sentence = refusal(answer);
    match lang::spoken() {
        Lang::En => sentence,
        Lang::Zh if answer.get("crc").is_some() => format!("卡表看来不完整，没有采用，一切照旧（{sentence}）"),
        Lang::Zh => format!("没有重读，一切照旧（{sentence}）"),
    }
}

/// The commands of `ctl`.
fn names() -> Vec<&'static str> {
    group("ctl").filter_map(Command::of_ctl).collect()
}

/// How many operands the command takes with these options. `--account` stands for the card, and
/// `topup CARD --uses 5` and `subsidy --clear CARD` need no amount.
fn operands_wanted(spec: &Command, options: &Options) -> usize {
    let has_card = spec.operands.contains(&"CARD") && !names_no_card(options);
    let wanted = spec.operands.len() - usize::from(spec.operands.contains(&"CARD") && !has_card);
    let is_amount_left_out = options.value("uses").is_some() && options.operands.len() + 1 == wanted;
    let needs_no_amount = options.has("clear") || options.has("all") || is_amount_left_out;
    wanted - usize::from(spec.operands.contains(&"AMOUNT") && needs_no_amount)
}

/// Whether an option stands for the card.
fn names_no_card(options: &Options) -> bool {
    options.value("account").is_some() || options.has("all")
}

/// Command and options. A negative amount looks like an option, and is an operand.
fn read(arguments: &mut Parser) -> Result<Asked<(Option<&'static Command>, Options)>, lexopt::Error> {
    let mut options = Options::default();
    let mut spec: Option<&'static Command> = None;
    loop {
        let is_number = |word: &OsStr| word.to_str().is_some_and(is_negative_number);
        let number = arguments.try_raw_args().and_then(|mut raw| raw.next_if(is_number));
        if let Some(number) = number {
            options.operands.push(text(number)?);
            continue;
        }
        match arguments.next()? {
            None => break,
            Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Asked::Help),
            Some(Arg::Long("version") | Arg::Short('V')) => return Ok(Asked::Version),
            Some(Arg::Long(name)) => {
                // Before the command's own word, any option of any command may stand.
                let known = match spec {
                    Some(spec) => spec.option(name),
                    None => group("ctl").find_map(|spec| spec.option(name)),
                };
                let Some(option) = known else {
                    let specs = spec.into_iter().chain(group("ctl").filter(|_| spec.is_none()));
                    return Err(no_option(name, specs.flat_map(|spec| spec.options).map(|option| option.name)));
                };
                if option.value.is_empty() {
                    options.flags.push(option.name);
                    continue;
                }
                let value = arguments.value()?;
                let is_path = matches!(option.name, "config" | "control" | "file");
                let value = if is_path { value } else { text(value)?.into() };
                options.values.push((option.name, value));
            }
            Some(Arg::Value(word)) if spec.is_none() => {
                let word = text(word)?;
                let wrong = || match nearest(&word, names().into_iter()) {
                    Some(meant) => unknown_command(&format!("ctl {word}"), &format!("ctl {meant}")),
                    None => tr!(
                        "unknown command {}: `posgate ctl` takes {}",
                        "`posgate ctl` 没有 {} 这个命令：有 {}",
                        typed(&word),
                        names().join(", ")
                    )
                    .into(),
                };
                spec = Some(find(&format!("ctl {word}")).ok_or_else(wrong)?);
            }
            Some(Arg::Value(word)) => options.operands.push(text(word)?),
            Some(other) => return Err(other.unexpected()),
        }
    }
    Ok(Asked::Command((spec, options)))
}

fn is_negative_number(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_digit() || next == '.'))
}

fn text(word: OsString) -> Result<String, lexopt::Error> {
    word.into_string().map_err(|word| tr!("{} is no UTF-8", "{} 不是 UTF-8", word.to_string_lossy()).into())
}

fn execute(spec: &'static Command, options: &Options) -> Result<(), Ended> {
    // Mistakes of the command line come first: nothing is sent before.
    let name = spec.of_ctl().unwrap_or(spec.name);
    let by = if spec.option("by").is_some() { Some(operator(options)?) } else { None };
    if name == "office" && options.operands.first().is_none_or(|word| word != "forget") {
        return Err(Ended::Usage(tr!("write `{}`", "请写 `{}`", "posgate ctl office forget NAME")));
    }
    if let Some(key) = options.value("key").filter(|key| !is_key(key)) {
        return Err(Ended::Usage(tr!(
            "--key {}: write 1 to 40 letters, digits and signs without blanks",
            "--key {}：请写 1 到 40 个字母、数字和符号，不含空白",
            typed(key)
        )));
    }
    if let Some(accept) = options.value("accept").filter(|accept| crc_of(accept).is_none()) {
        return Err(Ended::Usage(format!("--accept {} {}", typed(accept), crc_wanted())));
    }
    let file = match options.path("file") {
        Some(path) => Some(file::read(name, path, options)?),
        None if clear::is_ordered(name, options) => None,
        None if options.value("for").is_some() => {
            return Err(Ended::Usage(
                tr(
                    "--for says what a file of orders is for: give --file FILE with it",
                    "--for 说明批量文件是做什么的：请同时写 --file FILE",
                )
                .to_owned(),
            ));
        }
        None if options.has("dry-run") => {
            return Err(Ended::Usage(
                tr(
                    "--dry-run looks at a file of orders: give --file FILE with it",
                    "--dry-run 只看批量文件：请同时写 --file FILE",
                )
                .to_owned(),
            ));
        }
        None => None,
    };
    let clear = match &by {
        Some(by) if file.is_none() && clear::is_ordered(name, options) => Some(clear::line(options, by)?),
        Some(_) | None => None,
    };
    let order = match (&file, &by) {
        (None, Some(_)) if clear.is_some() => None,
        (None, Some(by)) if spec.option("key").is_some() => Some(OrderLine::of(name, options, by)?),
        (None | Some(_), _) => None,
    };
    match &file {
        Some(_) if options.has("dry-run") => (),
        Some(file) => confirm::of_file(name, file.rows(), options)?,
        None => confirm::of_order(name, options)?,
    }
    let (path, ledger_dir) = place(options)?;
    let mut call = Call { name, options, ledger_dir, link: Link::connect(&path)? };
    if let Some(clear) = clear {
        return clear::give(&mut call, &clear);
    }
    match (by, order, file) {
        (Some(by), _, Some(file)) => file::apply(&mut call, &by, &file),
        (_, Some(order), None) => give_order(&mut call, &order),
        (Some(by), None, None) => {
            let cmd = if name == "office" { "forget-office" } else { name };
            let line = Object::new().text("cmd", cmd).text_if("office", options.operands.get(1)).text("by", by);
            let answer = call.ask(&line.text_if("note", options.value("note")).end())?;
            let print = match name {
                "clock-accept" => print::clock_accepted,
                "office" => print::forgotten,
                _ => print::of_ledger,
            };
            call.tell(&answer, print);
            Ok(())
        }
        (None, ..) => ask(&mut call),
    }
}

/// Reads a line as the server would. What is wrong with it is told in the language spoken, and
/// nothing is sent.
fn check(line: &str) -> Result<(), Ended> {
    let refused = |sentence| {
        let members = [("ok", Value::Flag(false)), ("error", Value::Text(sentence))];
        Ended::Refused(Value::Object(members.map(|(key, value)| (key.to_owned(), value)).into()))
    };
    request::parse(line.as_bytes()).map(|_| ()).map_err(refused)
}

/// The socket: of the command line, or of the configuration. With it, the ledger's directory, if
/// the configuration was read.
fn place(options: &Options) -> Result<(PathBuf, Option<PathBuf>), Ended> {
    let control = options.path("control").map(Path::to_owned);
    if let (Some(path), None) = (&control, options.path("config")) {
        return Ok((path.clone(), None));
    }
    let file = options.path("config").map_or_else(default_config, Path::to_owned);
    // Other problems do not matter here: the server has its own configuration in service.
    let (settings, _) = config::inspect(&file).map_err(|problems| {
        print_problems(&problems);
        complain!(
            "posgate: name the configuration with --config FILE, or the socket with --control PATH",
            "posgate: 请用 --config FILE 指定配置，或用 --control PATH 指定控制接口"
        );
        Ended::Code(EXIT_CONFIG)
    })?;
    match control.or_else(|| settings.control.clone()) {
        Some(path) => Ok((path, Some(settings.ledger_dir))),
        None => {
            let message = tr(
                "option control is empty: name a socket there and start posgate again",
                "option control 是空的：写上控制接口的路径，再重启 posgate",
            )
            .to_owned();
            complain!("{}", settings.problem("control", 0, message));
            Err(Ended::Code(EXIT_CONFIG))
        }
    }
}

/// Whether an order need not say who gives it.
pub(super) fn knows_operator() -> bool {
    std::env::var_os("POSGATE_BY").is_some() || login_name().is_ok()
}

/// Who gives the order: `--by`, else POSGATE_BY, else the login name.
fn operator(options: &Options) -> Result<String, Ended> {
    let named = options.value("by").map(str::to_owned).or_else(|| std::env::var("POSGATE_BY").ok());
    named.filter(|by| !by.trim().is_empty()).map_or_else(login_name, Ok)
}

/// An order of one line, and its key.
struct OrderLine {
    line: String,
    key: String,
}

impl OrderLine {
    /// Draws a key only for an order without a mistake.
    fn of(name: &str, options: &Options, by: &str) -> Result<Self, Ended> {
        let object = order_object(name, options)?;
        let line = |key: &str| {
            let object = object.clone().text("key", key).text("by", by);
            object.text_if("note", options.value("note")).end()
        };
        check(&line(options.value("key").unwrap_or("-")))?;
        let key = options.value("key").map_or_else(draw_key, |key| Ok(key.to_owned()))?;
        Ok(Self { line: line(&key), key })
    }
}

/// The user's login name; root does not identify a person.
fn login_name() -> Result<String, Ended> {
    let who = tr("give --by NAME, or the variable POSGATE_BY", "请写 --by NAME，或者设变量 POSGATE_BY");
    let uid = Uid::effective();
    if uid.is_root() {
        return Err(Ended::Usage(tr!("running as root: {who}", "现在是 root：{who}")));
    }
    match User::from_uid(uid) {
        Ok(Some(user)) => Ok(user.name),
        Ok(None) | Err(_) => Err(Ended::Usage(tr!("user {uid} has no name: {who}", "用户 {uid} 没有名字：{who}"))),
    }
}

fn draw_key() -> Result<String, Ended> {
    let mut bytes = [0; 8];
    let drawn = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    drawn.map_err(|error| {
        complain!(
            "posgate: no key can be drawn from /dev/urandom: {error}; give one with --key",
            "posgate: 不能从 /dev/urandom 抽操作编号：{error}；请用 --key 写一个"
        );
        Ended::Code(EXIT_IO)
    })?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

/// What is ordered, as members of a line.
fn order_object(name: &str, options: &Options) -> Result<Object, Ended> {
    let operand = |place: usize| options.operands.get(place).map(String::as_str);
    let object = Object::new().text("cmd", name);
    let object = match name {
        "void" => {
            let seq = operand(0).unwrap_or_default();
            let seq: u64 = seq.parse().map_err(|_| Ended::Usage(no_entry("", seq)))?;
            object.number("seq", seq).text_if("amount", options.value("amount")).text_if("card", options.value("card"))
        }
        "account" => object.text_if("card", operand(0)).text_if("account", operand(1)),
        "replace" | "rename" => object.text_if("old", operand(0)).text_if("new", operand(1)),
        "open" => object.text_if("machine", operand(0)).text_if("door", operand(1)),
        _ if names_no_card(options) => {
            object.text_if("account", options.value("account")).text_if("amount", operand(0))
        }
        _ => object.text_if("card", operand(0)).text_if("amount", operand(1)),
    };
    let object = if options.has("clear") { object.flag("clear", true) } else { object };
    let object = match options.value("uses") {
        Some(uses) => object.number("uses", file::uses(uses)?),
        None => object,
    };
    match options.value("about") {
        Some(seq) => {
            let seq: u64 = seq.parse().map_err(|_| Ended::Usage(no_entry("--about ", seq)))?;
            Ok(object.number("about", seq))
        }
        None => Ok(object),
    }
}

fn give_order(call: &mut Call, order: &OrderLine) -> Result<(), Ended> {
    let options = call.options;
    if options.value("key").is_none() {
        complain!("key={}", order.key);
    }
    match call.ask(&order.line) {
        Ok(answer) => {
            call.tell(&answer, |answer| print::done(call.name, options, answer));
            Ok(())
        }
        Err(Ended::Lost(lost)) => Err(Ended::Lost(lost.of_order(&order.key))),
        Err(ended) => Err(ended),
    }
}

fn ask(call: &mut Call) -> Result<(), Ended> {
    let options = call.options;
    let operand = |place: usize| options.operands.get(place).map(String::as_str);
    let object = Object::new().text("cmd", call.name);
    match call.name {
        "card" => {
            let answer = call.ask(&object.text_if("card", operand(0)).end())?;
            let dir = call.ledger_dir.clone().or_else(|| answer.text("ledger_dir").map(PathBuf::from));
            let entries = dir.and_then(|dir| {
                let read = print::last_entries(&dir, &answer);
                // The card's answer stands without them.
                read.map_err(|error| {
                    complain!(
                        "posgate: {}: its last entries cannot be read: {error}",
                        "posgate: {}：读不出最近的流水：{error}",
                        dir.display()
                    );
                })
                .ok()
            });
            if options.has("json") {
                say!("{}", print::with_entries(&answer, entries.as_deref()));
            } else {
                print::card(&answer, entries.as_deref());
            }
        }
        "cards" => {
            let rows = call.list("cards", |after| {
                let object = Object::new().text("cmd", "cards").text_if("search", options.value("search"));
                object.number("after", after).end()
            })?;
            call.tell_rows("cards", &rows, print::cards);
        }
        "seen" => {
            let line = |after: u64| Object::new().text("cmd", "unknown").number("after", after).end();
            let mut table = None;
            let rows = call.list_with("cards", line, |answer| {
                table.get_or_insert_with(|| print::paste(answer));
            })?;
            call.tell_rows("cards", &rows, |rows| print::unknown(table.as_ref(), rows));
        }
        "devices" => {
            let rows =
                call.list("devices", |after| Object::new().text("cmd", "devices").number("after", after).end())?;
            call.tell_rows("devices", &rows, if options.has("uci") { print::uci } else { print::devices });
        }
        "discover" => {
            let port = options.value("port").map(|port| number("--port", port)).transpose()?;
            let seconds = options.value("seconds").map(|seconds| number("--seconds", seconds)).transpose()?;
            let asked = call.ask(&object.number_if("port", port).end())?;
            std::thread::sleep(Duration::from_secs(seconds.unwrap_or(DISCOVER_S)));
            let line = |after| Object::new().text("cmd", "found-devices").number("after", after).end();
            let mut left_out = None;
            let rows = call.list_with("devices", line, |answer| left_out = answer.number::<u64>("left_out"))?;
            if call.options.has("json") {
                let list = Object::ok().list("devices", rows.iter().map(Value::to_string));
                say!("{}", list.number_if("left_out", left_out).end());
            } else {
                print::found(&asked, &rows, left_out);
            }
        }
        "clock" => {
            let answer = call.ask(&object.text_if("machine", operand(0)).end())?;
            call.tell(&answer, print::told);
        }
        "show" => {
            let answer = call.ask(&object.text_if("machine", operand(0)).text_if("text", operand(1)).end())?;
            call.tell(&answer, |_| say!("sent", "已发出"));
        }
        "reload" => {
            let answer = call.ask(&object.text_if("accept", options.value("accept")).end())?;
            call.tell(&answer, print::reloaded);
        }
        "sync" => {
            let answer = call.ask(&object.end())?;
            call.tell(&answer, print::synced);
        }
        _ => {
            let answer = call.ask(&object.end())?;
            call.tell(&answer, print::status);
        }
    }
    Ok(())
}

/// Connects to the control socket.
///
/// # Errors
/// With the path and what to do.
pub(super) fn connect(path: &Path) -> Result<UnixStream, String> {
    Link::connect(path).map(Link::into_stream).map_err(|lost| lost.to_string())
}

/// The last entry that the server at this control socket has synced; `None`: nobody listens there.
pub(super) fn synced_head(path: &Path) -> Result<Option<Head>, String> {
    let mut link = match Link::connect(path) {
        Ok(link) => link,
        Err(lost) if lost.is_nobody() => return Ok(None),
        Err(lost) => return Err(lost.to_string()),
    };
    let answer = link.send(&Object::new().text("cmd", "head").end()).and_then(|()| link.receive());
    let answer = answer.map_err(|lost| lost.to_string())?;
    let crc = answer.text("crc").and_then(|crc| u32::from_str_radix(crc, 16).ok());
    match (answer.number("seq"), crc) {
        (Some(seq), Some(crc)) => Ok(Some(Head { seq: EntrySeq(seq), crc })),
        _ => Err(format!(
            "{}: {}",
            path.display(),
            answer.text("error").unwrap_or(tr("what answers there is not posgate", "那里应答的不是 posgate"))
        )),
    }
}

fn number(option: &str, text: &str) -> Result<u64, Ended> {
    text.parse()
        .map_err(|_| Ended::Usage(tr!("{option} {}: write a whole number", "{option} {}：请写整数", typed(text))))
}

impl Call<'_> {
    /// Sends a line and waits for its answer, which must say that it is done.
    fn ask(&mut self, line: &str) -> Result<Value, Ended> {
        check(line)?;
        self.link.send(line)?;
        let answer = self.link.receive()?;
        if answer.is("ok") { Ok(answer) } else { Err(Ended::Refused(answer)) }
    }

    /// All pages of a list.
    fn list(&mut self, name: &str, line: impl Fn(u64) -> String) -> Result<Vec<Value>, Ended> {
        self.list_with(name, line, |_| ())
    }

    /// The same; each answer is looked at.
    fn list_with(
        &mut self,
        name: &str,
        line: impl Fn(u64) -> String,
        mut look: impl FnMut(&Value),
    ) -> Result<Vec<Value>, Ended> {
        let mut rows = Vec::new();
        let mut after = 0;
        loop {
            let answer = self.ask(&line(after))?;
            look(&answer);
            rows.extend_from_slice(answer.list(name));
            match answer.number::<u64>("next") {
                Some(next) if next > after => after = next,
                Some(_) | None => return Ok(rows),
            }
        }
    }

    fn tell(&self, answer: &Value, print: impl FnOnce(&Value)) {
        if self.options.has("json") {
            say!("{answer}");
        } else {
            print(answer);
        }
    }

    fn tell_rows(&self, name: &str, rows: &[Value], print: impl FnOnce(&[Value])) {
        if self.options.has("json") {
            say!("{}", Object::ok().list(name, rows.iter().map(Value::to_string)).end());
        } else {
            print(rows);
        }
    }
}
