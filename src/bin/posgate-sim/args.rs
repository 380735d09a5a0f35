//! The command line.

use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::{Long, Short, Value, ValueExt};
use posgate::engine::gbk;
use posgate::engine::model::text::text_from;
use posgate::engine::model::{CardNo, MachineNo, Money, Pin, Serial, Text, UnitNo};
use posgate::engine::wire::{CountedIn, PinKind};

use crate::cast;
use crate::clock::Clock;
use crate::crowd::{Plan, TERMINALS_MAX};
use crate::device::{Ask, Confirm, Door, Habits, Record};
use crate::judge::Terms;
use crate::month::{self, Month};
use crate::world::Weather;

/// What `--help` prints.
pub const HELP: &str = "\
posgate-sim: virtual card terminals and door boards, to try and test posgate without hardware

    posgate-sim [options] day                  a short canteen day on deploy/example
    posgate-sim [options] month [--days N] [--month YYYY-MM] [--dir DIR] [--posgate FILE]
                                               a month of a canteen, and its close compared to the fen
    posgate-sim [options] crowd [--terminals N] [--rate R] [--seconds S] [--card C]… [--sales] [--server-log FILE]
    posgate-sim [options] pay    --card C --amount A        103
    posgate-sim [options] pay    --card C --count           103 of 0.00: count mode
    posgate-sim [options] swipe  --card C                   102
    posgate-sim [options] meal   --card C                   104
    posgate-sim [options] scan   --code TEXT --amount A     128
    posgate-sim [options] door   [--card C] [--door N] [--reader N] [--pin P] [--pin-kind none|card|correction|door|duress] [--open S]
    posgate-sim [options] boot                              101
    posgate-sim [options] keys   TEXT                       106
    posgate-sim [options] upload --card C --amount A [--time T] [--record R] [--count]   105

options
    --server HOST[:PORT]   where posgate listens; 127.0.0.1:39192
    --machine M            the device's number; 00003 of the example (at doors 00007)
    --serial S             its serial; the example's for the example's numbers, else none; '' for none
    --seq N                its first frame number (of each of a crowd); by default drawn from the clock
    --confirm SHAPE        109s: named (code and card), bare (the common fields alone) or never; named
    --mode DIGITS          stands behind a 103's time, as the maker's 2 does; none
    --interval MS          between sends of a frame that was not heard; 500
    --patience MS          from the 001 until the device gives up on the result; 3000
    --loss PERCENT --dup PERCENT --delay MS    a bad network, in both directions
    --seed N               repeats the choices of an earlier run; within half a minute its sales look like retries
    --resend-max N --door-ttl MS               the server's settings, if they are not 4 and 3000
    --trace                print every datagram (single frames always do)

A crowd asks R times a second, whether the server keeps up or not: an answer's time counts from when its frame was due,
also while every terminal was busy. Seven of ten asks are sales, two enquiries, one a meal; with --sales all are sales.
At the end it names its worst moments, and with --server-log what the server did then: FILE is the log of a server on
this machine, started with RUST_LOG=info,posgate::host::trace=debug (or with debug).
On loopback machine M sends from 127.1.(M / 256).(M mod 256).
Exit code: 0; 1 something was lost or the server broke a promise of the protocol; 64 usage; 74 input/output.
What a crowd got no answer to while the server was away (killed, started again) is unknown: the ledger tells.
";

/// What to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// The day on the example.
    Day,
    /// A month, with its own server.
    Month(month::Plan),
    /// Many terminals.
    Crowd(Plan),
    /// One frame.
    Single(Ask),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// Everything the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to do.
    pub command: Command,
    /// Where the server listens.
    pub server: SocketAddrV4,
    /// The device of a single frame.
    pub machine: MachineNo,
    /// Its serial.
    pub serial: Option<Serial>,
    /// Its first frame number.
    pub seq: Option<u16>,
    /// How devices behave.
    pub habits: Habits,
    /// How bad the network is.
    pub weather: Weather,
    /// Repeats choices.
    pub seed: Option<u64>,
    /// What the judge must know.
    pub terms: Terms,
    /// Print every datagram.
    pub is_tracing: bool,
}

impl Options {
    /// The number of a device's first frame, as asked for or drawn from the clock.
    pub fn first_seq(&self) -> u16 {
        self.seq.unwrap_or(Clock::tenths() as u16)
    }
}

/// What single frames are made of.
#[derive(Default)]
struct Fields {
    card: Option<CardNo>,
    cards: Vec<CardNo>,
    amount: Option<String>,
    is_count: bool,
    code: Option<String>,
    door: Option<UnitNo>,
    reader: Option<UnitNo>,
    pin: Option<Pin>,
    pin_kind: Option<PinKind>,
    open_seconds: u32,
    time: Option<String>,
    record: Option<String>,
    keys: Option<String>,
    is_sales: bool,
    server_log: Option<PathBuf>,
    terminals: Option<u16>,
    rate: Option<u32>,
    seconds: Option<u32>,
    month: month::Plan,
}

/// Reads the command line.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>, now: &str) -> Result<Options, String> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut options = Options {
        command: Command::Help,
        server: SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 39192),
        machine: cast::SHOP.machine(),
        serial: None,
        seq: None,
        habits: Habits::default(),
        weather: Weather::default(),
        seed: None,
        terms: Terms { resend_max: 4, door_ttl: Duration::from_secs(3), is_ordered: false },
        is_tracing: false,
    };
    let (mut word, mut machine, mut serial) = (None, None, None);
    let mut fields = Fields::default();
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Short('h') | Long("help") => return Ok(options),
            Short('V') | Long("version") => {
                options.command = Command::Version;
                return Ok(options);
            }
            Long("count") => fields.is_count = true,
            Long("sales") => fields.is_sales = true,
            Long("trace") => options.is_tracing = true,
            Long(name) => {
                let name = name.to_owned();
                let value = parser.value().and_then(ValueExt::string).map_err(|error| error.to_string())?;
                match name.as_str() {
                    "server" => options.server = server(&value)?,
                    "machine" => machine = Some(read(&name, &value, "1 to 10 digits", MachineNo::parse)?),
                    "serial" => serial = Some(value),
                    "seq" => options.seq = Some(number(&name, &value)?),
                    "seed" => options.seed = Some(number(&name, &value)?),
                    "confirm" => options.habits.confirm = confirm(&value)?,
                    "mode" => options.habits.mode = Some(read(&name, &value, "1 to 7 digits", mode)?),
                    "interval" => options.habits.interval = Duration::from_millis(number(&name, &value)?),
                    "patience" => options.habits.patience = Duration::from_millis(number(&name, &value)?),
                    "delay" => options.weather.delay = Duration::from_millis(number(&name, &value)?),
                    "loss" => options.weather.loss = percent(&name, &value)?,
                    "dup" => options.weather.dup = percent(&name, &value)?,
                    "resend-max" => options.terms.resend_max = number(&name, &value)?,
                    "door-ttl" => options.terms.door_ttl = Duration::from_millis(number(&name, &value)?),
                    _ => field(&mut fields, &name, &value)?,
                }
            }
            Value(value) => {
                let value = value.string().map_err(|error| error.to_string())?;
                if word.is_none() {
                    word = Some(value);
                } else if word.as_deref() == Some("keys") && fields.keys.is_none() {
                    fields.keys = Some(value);
                } else {
                    return Err(format!("{value:?} is one word too many"));
                }
            }
            Short(letter) => return Err(format!("-{letter} is no option; --help lists them")),
        }
    }
    let word = word.ok_or("say what to do: day, month, crowd, pay, swipe, meal, door, scan, boot, keys or upload")?;
    options.command = command(&word, &fields, now)?;
    let default = if word == "door" { cast::BOARD } else { cast::SHOP };
    options.machine = machine.unwrap_or(default.machine());
    options.serial = match serial {
        Some(text) if text.is_empty() => None,
        Some(text) => Some(Serial::try_from(text.as_str()).map_err(|_| "--serial: at most 20 characters")?),
        None => cast::PARTS.into_iter().find(|part| part.machine() == options.machine).and_then(cast::Part::serial),
    };
    Ok(options)
}

fn field(fields: &mut Fields, name: &str, value: &str) -> Result<(), String> {
    match name {
        "card" => {
            let card = read(name, value, "1 to 10 digits", CardNo::parse)?;
            fields.card = Some(card);
            fields.cards.push(card);
        }
        // As it stands: what the server makes of a strange amount is worth a try.
        "amount" => fields.amount = Some(value.to_owned()),
        "code" => fields.code = Some(value.to_owned()),
        "door" => fields.door = Some(read(name, value, "1 to 10 digits", UnitNo::parse)?),
        "reader" => fields.reader = Some(read(name, value, "1 to 10 digits", UnitNo::parse)?),
        "pin" => fields.pin = Some(read(name, value, "1 to 8 digits", Pin::parse)?),
        "pin-kind" => fields.pin_kind = Some(pin_kind(value)?),
        "open" => fields.open_seconds = number(name, value)?,
        "time" => fields.time = Some(value.to_owned()),
        "record" => fields.record = Some(value.to_owned()),
        "terminals" => fields.terminals = Some(number(name, value)?),
        "server-log" => fields.server_log = Some(value.into()),
        "rate" => fields.rate = Some(number(name, value)?),
        "seconds" => fields.seconds = Some(number(name, value)?),
        "days" => fields.month.days = Some(days(value)?),
        "month" => fields.month.month = Some(read(name, value, "a month such as 2026-11", month_of)?),
        "dir" => fields.month.directory = Some(value.into()),
        "posgate" => fields.month.posgate = Some(value.into()),
        _ => return Err(format!("--{name} is no option; --help lists them")),
    }
    Ok(())
}

fn command(word: &str, fields: &Fields, now: &str) -> Result<Command, String> {
    let card = || fields.card.ok_or(format!("{word} wants --card"));
    let amount = || {
        let amount = fields.amount.clone();
        amount.or(fields.is_count.then(|| "0.00".to_owned())).ok_or(format!("{word} wants --amount, such as 5.50"))
    };
    let ask = match word {
        "day" => return Ok(Command::Day),
        "month" => return month_plan(&fields.month),
        "crowd" => return plan(fields).map(Command::Crowd),
        "pay" => Ask::Charge { card: card()?, amount: amount()? },
        "swipe" => Ask::Inquiry { card: card()? },
        "meal" => Ask::Meal { card: card()? },
        "boot" => Ask::Boot,
        "keys" => Ask::Keys { keys: gbk::encode(fields.keys.as_deref().ok_or("keys wants a text")?) },
        "scan" => {
            let code = gbk::encode(fields.code.as_deref().ok_or("scan wants --code")?);
            Ask::Scan { command: Text::new(), code, amount: amount()? }
        }
        "door" => {
            let one = UnitNo::parse(b"1").expect("a digit");
            let door = fields.door.unwrap_or(one);
            let assumed = match (fields.pin, fields.card) {
                (None, _) => PinKind::None,
                (Some(_), Some(_)) => PinKind::AfterCard,
                (Some(_), None) => PinKind::DoorPin,
            };
            Ask::Door(Door {
                card: fields.card,
                reader: fields.reader.unwrap_or(door),
                relay: door,
                open_seconds: fields.open_seconds,
                pin_kind: fields.pin_kind.unwrap_or(assumed),
                pin: fields.pin,
            })
        }
        "upload" => Ask::Upload(Record {
            card: card()?.as_bytes().to_vec(),
            amount: amount()?.into_bytes(),
            time: fields.time.clone().unwrap_or(now.to_owned()).into_bytes(),
            basis: if fields.is_count { CountedIn::Count } else { CountedIn::Amount },
            address: fields.record.clone().unwrap_or("00000001".to_owned()),
        }),
        _ => return Err(format!("unknown command {word:?}; --help lists them")),
    };
    if let Ask::Charge { amount, .. } = &ask
        && Money::parse(amount.as_bytes()).is_none()
    {
        eprintln!("posgate-sim: {amount:?} is no amount; it is sent as it stands");
    }
    Ok(Command::Single(ask))
}

fn plan(fields: &Fields) -> Result<Plan, String> {
    let terminals = fields.terminals.unwrap_or(20);
    let (rate, seconds) = (fields.rate.unwrap_or(100), fields.seconds.unwrap_or(10));
    if !(1..=TERMINALS_MAX).contains(&terminals) || rate == 0 || seconds == 0 {
        return Err(format!("--terminals: 1 to {TERMINALS_MAX}; --rate and --seconds: at least 1"));
    }
    let example = cast::BUYERS.into_iter().map(cast::card);
    let cards = if fields.cards.is_empty() { example.collect() } else { fields.cards.clone() };
    let Fields { is_sales, ref server_log, .. } = *fields;
    Ok(Plan { terminals, rate, seconds, cards, is_sales, server_log: server_log.clone() })
}

fn month_plan(plan: &month::Plan) -> Result<Command, String> {
    match (plan.month, plan.days) {
        (Some(month), Some(days)) if month.len < days => Err(format!("--days {days}: {month} has {}", month.len)),
        (Some(_) | None, _) => Ok(Command::Month(plan.clone())),
    }
}

fn month_of(text: &[u8]) -> Option<Month> {
    Month::parse(std::str::from_utf8(text).ok()?)
}

fn days(value: &str) -> Result<u8, String> {
    number("days", value).ok().filter(|days| (1..=31).contains(days)).ok_or(format!("--days {value:?}: 1 to 31"))
}

fn server(value: &str) -> Result<SocketAddrV4, String> {
    let whole = if value.contains(':') { value.to_owned() } else { format!("{value}:39192") };
    let mut found = whole.to_socket_addrs().map_err(|error| format!("--server {value:?}: {error}"))?;
    let v4 = |address| match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    };
    found.find_map(v4).ok_or(format!("--server {value:?} has no IPv4 address"))
}

fn confirm(value: &str) -> Result<Confirm, String> {
    match value {
        "bare" => Ok(Confirm::Bare),
        "named" => Ok(Confirm::Named),
        "never" => Ok(Confirm::Never),
        _ => Err(format!("--confirm {value:?}: bare, named or never")),
    }
}

fn pin_kind(value: &str) -> Result<PinKind, String> {
    match value {
        "none" | "0" => Ok(PinKind::None),
        "card" | "1" => Ok(PinKind::AfterCard),
        "correction" | "2" => Ok(PinKind::Correction),
        "door" | "3" => Ok(PinKind::DoorPin),
        "duress" | "4" => Ok(PinKind::Duress),
        _ => Err(format!("--pin-kind {value:?}: none, card, correction, door or duress")),
    }
}

fn mode(digits: &[u8]) -> Option<Text<8>> {
    // Eight digits would be read as a serial.
    let is_mode = (1..8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_mode.then(|| text_from(digits)).flatten()
}

fn percent(name: &str, value: &str) -> Result<u8, String> {
    number(name, value.trim_end_matches('%'))
        .ok()
        .filter(|percent| *percent <= 100)
        .ok_or(format!("--{name} {value:?}: a percentage, 0 to 100"))
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("--{name} {value:?}: a number"))
}

fn read<T>(name: &str, value: &str, what: &str, parse: impl FnOnce(&[u8]) -> Option<T>) -> Result<T, String> {
    parse(value.as_bytes()).ok_or(format!("--{name} {value:?}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, String> {
        parse(line.split(' ').map(Into::into), "2026-11-22 12:00:00")
    }

    #[test]
    fn options_may_stand_before_and_behind_the_command() {
        let options =
            parsed("--server 127.0.0.2 pay --card 8888888801 --amount 5.50 --loss 5 --confirm bare").expect("right");
        assert_eq!(options.server.to_string(), "127.0.0.2:39192");
        assert_eq!((options.weather.loss, options.habits.confirm), (5, Confirm::Bare));
        assert_eq!(options.serial.as_deref(), Some("1000000003"), "the example's");
        let Command::Single(Ask::Charge { card, amount }) = options.command else { panic!("a charge") };
        assert_eq!((card.as_str(), amount.as_str()), ("8888888801", "5.50"));
    }

    #[test]
    fn what_is_not_said_follows_from_what_is() {
        let options = parsed("door --pin 1357 --door 2").expect("right");
        assert_eq!(options.machine.as_str(), "00007");
        let Command::Single(Ask::Door(door)) = options.command else { panic!("a door") };
        assert_eq!((door.pin_kind, door.reader.as_str(), door.card), (PinKind::DoorPin, "2", None));
        let options = parsed("pay --card 1 --count --machine 00011").expect("right");
        assert_eq!(options.serial, None, "no device of the example");
        let Command::Single(Ask::Charge { amount, .. }) = options.command else { panic!("a charge") };
        assert_eq!(amount, "0.00");
        let Command::Single(Ask::Upload(record)) = parsed("upload --card 1 --amount 2.00").expect("right").command
        else {
            panic!("an upload")
        };
        assert_eq!(record.time, b"2026-11-22 12:00:00");
    }

    #[test]
    fn every_mistake_is_named() {
        for (line, words) in [
            ("pay --amount 5", "pay wants --card"),
            ("pay --card 1", "pay wants --amount"),
            ("pay --card x", "--card \"x\": 1 to 10 digits"),
            ("dance", "unknown command \"dance\""),
            ("day night", "one word too many"),
            ("day --loss 101", "a percentage"),
            ("day --confirm maybe", "bare, named or never"),
            ("day --mode 12345678", "1 to 7 digits"),
            ("crowd --terminals 0", "--terminals: 1 to"),
            ("day --color red", "--color is no option"),
            ("month --days 32", "--days \"32\": 1 to 31"),
            ("month --days 31 --month 2026-11", "--days 31: 2026-11 has 30"),
            ("month --month november", "--month \"november\": a month such as 2026-11"),
            ("--seed 1", "say what to do"),
        ] {
            let message = parsed(line).expect_err(line);
            assert!(message.contains(words), "{message}");
        }
    }
}
