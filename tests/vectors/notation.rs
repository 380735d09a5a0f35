//! The vectors' notation: what stands in `requests.txt` and `replies.txt`, and how values are
//! written there.
//!
//! ```text
//! # Says what the vector is about.
//! ~ bytes that mean the same, but are not what emit writes (any number of lines, or none)
//! > bytes that emit writes for the meaning (one line, or none)
//! = the meaning: a word, then key=value; a key that is missing is a `None`
//! ! instead of a meaning: the word of what is not a frame
//! ```
//!
//! Bytes are text, encoded as GBK; `\xNN` is any byte, every other backslash is itself. A value
//! with blanks, or with nothing, stands in `'…'`.

use posgate::engine::gbk;
use posgate::engine::model::text::text_from;
use posgate::engine::model::{CardNo, Civil, DeviceTime, FrameSeq, MachineNo, Money, Pin, Serial, Text, UnitNo};
use posgate::engine::wire::{
    Access, Amount, Body, Code, CountedIn, DeviceFrame, Found, Malformed, OfflineSale, PinKind, Reply, Request,
};

/// One vector of a file.
#[derive(Debug, Default)]
pub struct Vector {
    /// For messages: the line of its meaning.
    pub line: usize,
    /// Bytes that parse to the meaning.
    pub spellings: Vec<Vec<u8>>,
    /// Bytes that the meaning emits, and that parse to it.
    pub normal: Option<Vec<u8>>,
    /// The meaning, or what begins with `!`.
    pub meaning: String,
}

impl Vector {
    /// All bytes that have the meaning.
    pub fn all_bytes(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.spellings.iter().chain(&self.normal)
    }
}

/// Reads a file of vectors.
pub fn read(file: &str) -> Vec<Vector> {
    let mut vectors = Vec::new();
    let mut vector = Vector::default();
    for (index, line) in file.lines().enumerate() {
        let (mark, rest) = line.split_at(line.len().min(2));
        match mark {
            "~ " => vector.spellings.push(bytes(rest)),
            "> " => assert!(vector.normal.replace(bytes(rest)).is_none(), "line {}: a second >", index + 1),
            "= " | "! " => {
                vector.line = index + 1;
                vector.meaning = if mark == "! " { line.to_owned() } else { rest.to_owned() };
                assert!(vector.all_bytes().next().is_some(), "line {}: a meaning without bytes", index + 1);
                vectors.push(std::mem::take(&mut vector));
            }
            _ => assert!(line.is_empty() || line.starts_with('#'), "line {}: {line:?}", index + 1),
        }
    }
    assert!(vector.all_bytes().next().is_none(), "the last bytes have a meaning");
    vectors
}

/// From the notation to bytes.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        bytes.extend(gbk::encode(&rest[..at]));
        bytes.push(u8::from_str_radix(&rest[at + 2..at + 4], 16).expect("two hex digits after \\x"));
        rest = &rest[at + 4..];
    }
    bytes.extend(gbk::encode(rest));
    bytes
}

/// From bytes to the notation.
pub fn show(bytes: &[u8]) -> String {
    let text = gbk::decode(bytes);
    if gbk::encode(&text) == bytes && !text.chars().any(char::is_control) && !text.contains("\\x") {
        return text.into_owned();
    }
    let escape = |byte: &u8| match byte {
        b' '..=b'[' | b']'..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\x{byte:02X}"),
    };
    bytes.iter().map(escape).collect()
}

/// A meaning, taken apart: its first word, and the values by their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// What it is.
    pub word: String,
    /// In order.
    pub values: Vec<(String, Vec<u8>)>,
}

impl Meaning {
    /// Nothing but its first word.
    pub fn new(word: &str) -> Self {
        Self { word: word.to_owned(), values: Vec::new() }
    }

    /// With one more value.
    pub fn with(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.values.push((key.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// With one more value, if there is one.
    pub fn with_some(self, key: &str, value: Option<impl AsRef<[u8]>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Reads the notation.
    pub fn read(line: &str) -> Self {
        let (word, mut rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut meaning = Self::new(word);
        while let Some((key, value)) = rest.trim_start().split_once('=') {
            let quoted = value.strip_prefix('\'').and_then(|value| value.split_once('\''));
            let (value, after) = quoted.unwrap_or_else(|| value.split_once(' ').unwrap_or((value, "")));
            meaning = meaning.with(key, bytes(value));
            rest = after;
        }
        meaning
    }

    /// Writes the notation.
    pub fn show(&self) -> String {
        let mut line = self.word.clone();
        for (key, value) in &self.values {
            let value = show(value);
            let quote = if value.is_empty() || value.contains(' ') { "'" } else { "" };
            line.extend([" ", key, "=", quote, &value, quote]);
        }
        line
    }

    fn find(&self, key: &str) -> Option<&[u8]> {
        self.values.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_slice())
    }

    fn get(&self, key: &str) -> &[u8] {
        self.find(key).unwrap_or_else(|| panic!("no {key}= in {self:?}"))
    }

    fn str(&self, key: &str) -> &str {
        std::str::from_utf8(self.get(key)).expect("ASCII")
    }

    fn text<const N: usize>(&self, key: &str) -> Option<Text<N>> {
        self.find(key).map(|value| text_from(value).unwrap_or_else(|| panic!("{key} in {self:?}")))
    }

    fn number(&self, key: &str) -> u32 {
        self.str(key).parse().expect("a number")
    }

    fn time(&self) -> DeviceTime {
        DeviceTime::new(self.get("time"))
    }

    fn seq(&self) -> FrameSeq {
        FrameSeq::parse(self.get("seq")).expect("digits")
    }

    fn machine(&self) -> MachineNo {
        MachineNo::parse(self.get("machine")).expect("digits")
    }

    fn card(&self) -> CardNo {
        CardNo::parse(self.get("card")).expect("digits")
    }

    fn amount(&self) -> Amount<'_> {
        Amount::parse(self.get("amount")).expect("an amount")
    }

    /// The request that it means.
    pub fn request(&self) -> Request<'_> {
        let code = match self.word.as_str() {
            "unknown" => {
                let code = u16::try_from(self.number("code")).expect("three digits");
                return Request::Unknown { code, seq: self.seq() };
            }
            "found" => {
                return Request::Found(Found {
                    seq: self.find("seq").map(|seq| FrameSeq::parse(seq).expect("digits")),
                    device_ip: self.get("device"),
                    mask: self.get("mask"),
                    gateway: self.get("gateway"),
                    host_ip: self.get("host"),
                    port: self.get("port"),
                    serial: self.text("serial").map(Serial::from),
                });
            }
            "malformed" => {
                let number = u16::try_from(self.number("code")).expect("three digits");
                Code::from_number(number).expect("a known code")
            }
            word => Code::ALL.into_iter().find(|code| code_word(*code) == word).expect("a word of a code"),
        };
        let body = if self.word == "malformed" { self.malformed() } else { self.body(code) };
        Request::Device(DeviceFrame {
            code,
            seq: self.seq(),
            device_ip: self.get("device"),
            host_ip: self.get("host"),
            machine: self.machine(),
            serial: if self.word == "malformed" { None } else { self.text("serial").map(Serial::from) },
            body,
        })
    }

    fn malformed(&self) -> Body<'_> {
        const FIELDS: [&str; 10] =
            ["card", "amount", "time", "keys", "command", "unread", "code", "reader", "serial", "pin"];
        let known = FIELDS.into_iter().chain(["door", "open_seconds", "pin_kind"]);
        let field = known.into_iter().find(|field| *field == self.str("field")).expect("a known field");
        Body::Malformed(Malformed {
            field,
            subject: self.get("subject"),
            card: self.find("card").and_then(CardNo::parse),
            asked: self.find("asked").and_then(Money::parse),
            time: self.find("time").map(DeviceTime::new),
            serial: self.text("serial").map(Serial::from),
        })
    }

    fn body(&self, code: Code) -> Body<'_> {
        match code {
            Code::Boot => Body::Boot { time: self.time() },
            Code::Inquiry => Body::Inquiry { card: self.card() },
            Code::Charge => {
                Body::Charge { card: self.card(), amount: self.amount(), time: self.time(), mode: self.text("mode") }
            }
            Code::Meal => Body::Meal { card: self.card(), time: self.time() },
            Code::Offline => Body::Offline(OfflineSale {
                card: CardNo::parse(self.get("card")),
                card_raw: self.get("card"),
                amount: Money::parse(self.get("amount")),
                amount_raw: self.get("amount"),
                time: self.time(),
                time_raw: self.get("time"),
                basis: self.find("basis").map(|basis| match basis {
                    b"amount" => CountedIn::Amount,
                    b"count" => CountedIn::Count,
                    _ => panic!("basis in {self:?}"),
                }),
                record: posgate::engine::model::text::text_of_gbk(self.get("record")),
                record_raw: self.get("record"),
                records_held: self.get("held"),
            }),
            Code::Keys => Body::Keys { keys: self.get("keys") },
            Code::Confirm => Body::Confirm { rest: self.get("rest") },
            Code::Scan => Body::Scan {
                command: self.text("command").expect("there"),
                amount: self.amount(),
                time: self.time(),
                code: self.get("code"),
            },
            Code::Access => Body::Access(Access {
                card: CardNo::parse(self.get("card")),
                card_raw: self.get("card"),
                reader: UnitNo::parse(self.get("reader")).expect("digits"),
                door: UnitNo::parse(self.get("door")).expect("digits"),
                open_seconds: self.number("open"),
                pin_kind: *PinKind::ALL
                    .iter()
                    .find(|kind| pin_kind_word(**kind).as_bytes() == self.get("pin_kind"))
                    .expect("a word of a kind"),
                pin: self.find("pin").map(|pin| Pin::parse(pin).expect("digits")),
                time: self.time(),
            }),
        }
    }

    /// The reply that it means.
    pub fn reply(&self) -> Reply<'_> {
        let trailer = || self.get("trailer");
        let text = || self.get("text");
        match self.word.as_str() {
            "discover" => Reply::Discover,
            "ack" => Reply::Ack { seq: self.seq() },
            "ask-time" => Reply::AskTime { machine: self.machine() },
            "set-clock" => {
                Reply::SetClock { machine: self.machine(), time: Civil::parse(self.get("time")).expect("a date") }
            }
            "decline" => Reply::Decline {
                machine: self.machine(),
                subject: self.get("subject"),
                text: text(),
                trailer: trailer(),
            },
            "approve" => Reply::Approve {
                machine: self.machine(),
                subject: self.get("subject"),
                amount: self.get("amount"),
                text: text(),
                trailer: trailer(),
            },
            "show" => Reply::Show { machine: self.machine(), text: text(), trailer: trailer() },
            "release" => Reply::Release {
                machine: self.machine(),
                card: self.get("card"),
                amount: self.get("amount"),
                time: self.get("time"),
                record: self.get("record"),
            },
            "admit" => Reply::Admit {
                machine: self.machine(),
                card: self.get("card"),
                text: text(),
                trailer: trailer(),
                reader: UnitNo::parse(self.get("reader")).expect("digits"),
                door: UnitNo::parse(self.get("door")).expect("digits"),
                relay_s: self.number("relay"),
                left_open_s: self.number("left_open"),
            },
            "refuse" => {
                Reply::Refuse { machine: self.machine(), card: self.get("card"), text: text(), trailer: trailer() }
            }
            word => panic!("no reply is called {word}"),
        }
    }

    /// What a request means.
    pub fn of_request(request: &Request<'_>) -> Self {
        match request {
            Request::Found(found) => Self::new("found")
                .with_some("seq", found.seq.as_ref().map(FrameSeq::as_bytes))
                .with("device", found.device_ip)
                .with("mask", found.mask)
                .with("gateway", found.gateway)
                .with("host", found.host_ip)
                .with("port", found.port)
                .with_some("serial", found.serial.as_deref()),
            Request::Unknown { code, seq } => {
                Self::new("unknown").with("code", format!("{code:03}")).with("seq", seq.as_bytes())
            }
            Request::Device(frame) => {
                let start = match &frame.body {
                    Body::Malformed(_) => Self::new("malformed").with("code", frame.code.number().to_string()),
                    _ => Self::new(code_word(frame.code)),
                };
                let common = start
                    .with("seq", frame.seq.as_bytes())
                    .with("device", frame.device_ip)
                    .with("host", frame.host_ip)
                    .with("machine", frame.machine.as_bytes())
                    .with_some("serial", frame.serial.as_deref());
                common.and_body(&frame.body)
            }
        }
    }

    fn and_body(self, body: &Body<'_>) -> Self {
        match body {
            Body::Boot { time } => self.with("time", gbk::encode(&time.raw)),
            Body::Inquiry { card } => self.with("card", card.as_bytes()),
            Body::Charge { card, amount, time, mode } => self
                .with("card", card.as_bytes())
                .with("amount", amount.raw)
                .with("time", gbk::encode(&time.raw))
                .with_some("mode", mode.as_deref()),
            Body::Meal { card, time } => self.with("card", card.as_bytes()).with("time", gbk::encode(&time.raw)),
            Body::Offline(sale) => self
                .with("card", sale.card_raw)
                .with("amount", sale.amount_raw)
                .with("time", sale.time_raw)
                .with_some(
                    "basis",
                    sale.basis.map(|basis| match basis {
                        CountedIn::Amount => "amount",
                        CountedIn::Count => "count",
                    }),
                )
                .with("record", sale.record_raw)
                .with("held", sale.records_held),
            Body::Keys { keys } => self.with("keys", keys),
            Body::Confirm { rest } => self.with("rest", rest),
            Body::Scan { command, amount, time, code } => self
                .with("command", &**command)
                .with("amount", amount.raw)
                .with("time", gbk::encode(&time.raw))
                .with("code", code),
            Body::Access(access) => self
                .with("card", access.card_raw)
                .with("reader", access.reader.as_bytes())
                .with("door", access.door.as_bytes())
                .with("open", access.open_seconds.to_string())
                .with("pin_kind", pin_kind_word(access.pin_kind))
                .with_some("pin", access.pin.map(|pin| pin.digits().to_string()))
                .with("time", gbk::encode(&access.time.raw)),
            Body::Malformed(malformed) => self
                .with_some("serial", malformed.serial.as_deref())
                .with("field", malformed.field)
                .with("subject", malformed.subject)
                .with_some("card", malformed.card.as_ref().map(CardNo::as_bytes))
                .with_some("asked", malformed.asked.map(|asked| asked.to_string()))
                .with_some("time", malformed.time.as_ref().map(|time| gbk::encode(&time.raw))),
        }
    }

    /// What a reply means.
    pub fn of_reply(reply: &Reply<'_>) -> Self {
        match reply {
            Reply::Discover => Self::new("discover"),
            Reply::Ack { seq } => Self::new("ack").with("seq", seq.as_bytes()),
            Reply::AskTime { machine } => Self::new("ask-time").with("machine", machine.as_bytes()),
            Reply::SetClock { machine, time } => {
                Self::new("set-clock").with("machine", machine.as_bytes()).with("time", time.to_string())
            }
            Reply::Decline { machine, subject, text, trailer } => Self::new("decline")
                .with("machine", machine.as_bytes())
                .with("subject", subject)
                .with("text", text)
                .with("trailer", trailer),
            Reply::Approve { machine, subject, amount, text, trailer } => Self::new("approve")
                .with("machine", machine.as_bytes())
                .with("subject", subject)
                .with("amount", amount)
                .with("text", text)
                .with("trailer", trailer),
            Reply::Show { machine, text, trailer } => {
                Self::new("show").with("machine", machine.as_bytes()).with("text", text).with("trailer", trailer)
            }
            Reply::Release { machine, card, amount, time, record } => Self::new("release")
                .with("machine", machine.as_bytes())
                .with("card", card)
                .with("amount", amount)
                .with("time", time)
                .with("record", record),
            Reply::Admit { machine, card, text, trailer, reader, door, relay_s, left_open_s } => Self::new("admit")
                .with("machine", machine.as_bytes())
                .with("card", card)
                .with("text", text)
                .with("trailer", trailer)
                .with("reader", reader.as_bytes())
                .with("door", door.as_bytes())
                .with("relay", relay_s.to_string())
                .with("left_open", left_open_s.to_string()),
            Reply::Refuse { machine, card, text, trailer } => Self::new("refuse")
                .with("machine", machine.as_bytes())
                .with("card", card)
                .with("text", text)
                .with("trailer", trailer),
        }
    }
}

/// The vectors' word for a frame.
pub fn code_word(code: Code) -> &'static str {
    match code {
        Code::Boot => "boot",
        Code::Inquiry => "inquiry",
        Code::Charge => "charge",
        Code::Meal => "meal",
        Code::Offline => "offline",
        Code::Keys => "keys",
        Code::Confirm => "confirm",
        Code::Scan => "scan",
        Code::Access => "access",
    }
}

/// The vectors' word for a PIN's kind.
pub fn pin_kind_word(kind: PinKind) -> &'static str {
    match kind {
        PinKind::None => "none",
        PinKind::AfterCard => "card",
        PinKind::Correction => "correction",
        PinKind::DoorPin => "door",
        PinKind::Duress => "duress",
    }
}
