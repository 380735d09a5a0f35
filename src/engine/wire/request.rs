//! Messages from devices: one datagram is one [`Request`] (protocol.md, *Device → server*).
//!
//! A datagram that cannot be answered is [`NotAFrame`]. A frame that can be answered but has an
//! unreadable field is [`Body::Malformed`], which names the field, so that the server can refuse
//! it. A 105 is never malformed: a stored sale that is not released blocks the records after it in
//! the terminal (design.md, section 6).

use core::fmt;

use heapless::Vec;

use super::fields::{Fields, FrameWriter, append};
use crate::engine::gbk;
use crate::engine::limits::DATAGRAM_LEN_MAX;
use crate::engine::model::digits;
use crate::engine::model::text::{text_from, text_of_gbk};
use crate::engine::model::{CardNo, DeviceTime, FrameSeq, MachineNo, Money, Pin, Serial, Text, UnitNo};

/// The number of a scan payment (指令号), in the field where other sales have a card number.
/// Replies echo it as received.
pub type RequestNo = Text<20>;

/// Bytes of a malformed frame's card or command number that a refusal echoes. The longest valid
/// numbers have 20.
const SUBJECT_LEN_MAX: usize = 32;

/// Length in letters or digits of a field that is taken for a serial if nothing is known of the
/// device.
const SERIAL_LEN: core::ops::RangeInclusive<usize> = 8..=20;

/// Reads a datagram from a device of which nothing is known.
///
/// # Errors
/// If the datagram must not be answered.
pub fn parse(datagram: &[u8]) -> Result<Request<'_>, NotAFrame> {
    parse_knowing(datagram, |_, _| None)
}

/// Reads a datagram. `is_serial` says whether a field is the serial of the device with this machine
/// number; `None`: nothing is known of the device. Only a 128 needs this, since its last field may
/// be a serial or the end of the scanned code.
///
/// # Errors
/// If the datagram must not be answered.
pub(crate) fn parse_knowing(
    datagram: &[u8],
    is_serial: impl Fn(MachineNo, &[u8]) -> Option<bool>,
) -> Result<Request<'_>, NotAFrame> {
    if datagram.len() > DATAGRAM_LEN_MAX {
        return Err(NotAFrame::TooLong);
    }
    let mut fields = Fields::of(datagram);
    let number = fields.next().and_then(code_number).ok_or(NotAFrame::NoCode)?;
    if super::reply::ReplyCode::from_number(number).is_some() {
        return Err(NotAFrame::NoCode);
    }
    if number == Found::CODE {
        return Found::parse(fields).map(Request::Found);
    }
    if let Some(code) = Code::from_number(number) {
        return DeviceFrame::parse(code, fields, &is_serial).map(Request::Device);
    }
    let seq = fields.next().and_then(FrameSeq::parse).ok_or(NotAFrame::NoSeq)?;
    Ok(Request::Unknown { code: number, seq })
}

/// What a person keyed at a door, read even if other fields of the frame are unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keyed {
    /// What kind of PIN it is.
    pub kind: PinKind,
    /// The card, if it can be read.
    pub card: Option<CardNo>,
    /// The PIN, if it can be read.
    pub pin: Option<Pin>,
}

impl Keyed {
    /// Reads card, kind and PIN of an access request; `None` if the datagram is not one or its kind
    /// is unreadable.
    pub fn of(datagram: &[u8]) -> Option<Self> {
        // After the code: seq, two addresses, machine, card, reader, door, open_seconds, pin_kind,
        // pin.
        const CARD: usize = 4;
        const PIN_KIND: usize = 8;
        let mut fields = Fields::of(datagram);
        let code = fields.next().and_then(code_number).and_then(Code::from_number);
        code.filter(|code| *code == Code::Access)?;
        let card = fields.clone().nth(CARD).and_then(CardNo::parse);
        let kind = fields.nth(PIN_KIND).and_then(number).and_then(PinKind::from_number)?;
        Some(Self { kind, card, pin: fields.next().and_then(Pin::parse) })
    }
}

/// Why a datagram gets no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotAFrame {
    /// More than [`DATAGRAM_LEN_MAX`] bytes.
    TooLong,
    /// A known code with fewer than five fields.
    TooShort,
    /// The first field is not three digits, or is a code that only servers send: two servers could
    /// answer each other endlessly.
    NoCode,
    /// The frame number is not a number.
    NoSeq,
    /// The machine number is not a number.
    NoMachine,
}

impl NotAFrame {
    /// All reasons, for counters.
    pub const ALL: [Self; 5] = [Self::TooLong, Self::TooShort, Self::NoCode, Self::NoSeq, Self::NoMachine];

    /// The stable word that log, counters and status use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::TooShort => "too-short",
            Self::NoCode => "no-code",
            Self::NoSeq => "no-seq",
            Self::NoMachine => "no-machine",
        }
    }
}

impl fmt::Display for NotAFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One datagram of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// 100: a device answers a 000. It gets no reply.
    Found(Found<'a>),
    /// An unknown code, with any number of fields. It gets a 001 and has no other effect.
    Unknown {
        /// Three digits.
        code: u16,
        /// What the 001 echoes.
        seq: FrameSeq,
    },
    /// A frame with the common five fields.
    Device(DeviceFrame<'a>),
}

impl Request<'_> {
    /// Appends the frame as a device writes it. If it does not fit, `out` stays as it was.
    pub fn emit<const N: usize>(&self, out: &mut Vec<u8, N>) {
        append(out, |room| match self {
            Self::Found(found) => found.write(room),
            Self::Unknown { code, seq } => FrameWriter::begin(room, *code).field(seq.as_bytes()).end(),
            Self::Device(frame) => frame.write(room),
        });
    }
}

/// `100,seq,device_ip,mask,gateway,host_ip,port,serial`: the answer to `000`. Some firmware leaves
/// `seq` out.
///
/// The server decides nothing from it, so the fields stay as received. Missing fields are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// `None` if the first field after the code is an address.
    pub seq: Option<FrameSeq>,
    /// The device's address, as it says.
    pub device_ip: &'a [u8],
    /// Its network mask.
    pub mask: &'a [u8],
    /// Its gateway.
    pub gateway: &'a [u8],
    /// The server's address in the device's settings.
    pub host_ip: &'a [u8],
    /// The server's port in the device's settings.
    pub port: &'a [u8],
    /// Its hardware serial, if it can be read.
    pub serial: Option<Serial>,
}

impl<'a> Found<'a> {
    const CODE: u16 = 100;

    fn parse(mut fields: Fields<'a>) -> Result<Self, NotAFrame> {
        if fields.clone().nth(3).is_none() {
            return Err(NotAFrame::TooShort);
        }
        let mut next = || fields.next().unwrap_or_default();
        let first = next();
        let (seq, device_ip) = if is_dotted_quad(first) {
            (None, first)
        } else {
            (Some(FrameSeq::parse(first).ok_or(NotAFrame::NoSeq)?), next())
        };
        let (mask, gateway, host_ip, port) = (next(), next(), next(), next());
        Ok(Self { seq, device_ip, mask, gateway, host_ip, port, serial: readable_serial(next()) })
    }

    fn write(&self, out: &mut [u8]) -> usize {
        let mut line = FrameWriter::begin(out, Self::CODE);
        if let Some(seq) = self.seq {
            line = line.field(seq.as_bytes());
        }
        line.field(self.device_ip)
            .field(self.mask)
            .field(self.gateway)
            .field(self.host_ip)
            .field(self.port)
            .field(self.serial.as_deref().unwrap_or_default().as_bytes())
            .end()
    }
}

/// The codes of frames that begin with the common five fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The device has started; also the answer to 002.
    Boot = 101,
    /// Card swiped, no amount.
    Inquiry = 102,
    /// Payment of an amount; of 0.00 likely count mode (inferred).
    Charge = 103,
    /// Payment in count mode: one meal a swipe.
    Meal = 104,
    /// A sale that the terminal made offline.
    Offline = 105,
    /// Keys pressed.
    Keys = 106,
    /// The device has received a command.
    Confirm = 109,
    /// Scan-code payment.
    Scan = 128,
    /// Access request.
    Access = 150,
}

impl Code {
    /// All codes, in ascending order.
    pub const ALL: [Self; 9] = [
        Self::Boot,
        Self::Inquiry,
        Self::Charge,
        Self::Meal,
        Self::Offline,
        Self::Keys,
        Self::Confirm,
        Self::Scan,
        Self::Access,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The code with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }
}

/// A frame that begins `code,seq,device_ip,host_ip,machine`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFrame<'a> {
    /// What it is.
    pub code: Code,
    /// What the 001 echoes.
    pub seq: FrameSeq,
    /// The device's address, as it says: for the log only. Replies go to the datagram's source.
    pub device_ip: &'a [u8],
    /// The server's address, as the device says: for the log only.
    pub host_ip: &'a [u8],
    /// The device's machine number; replies echo it.
    pub machine: MachineNo,
    /// The hardware serial; firmware before 2018 sends none. `None` for a 109, whose layout is
    /// unknown, and for a malformed frame.
    pub serial: Option<Serial>,
    /// The fields after the common five.
    pub body: Body<'a>,
}

/// The fields after the common five.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// 101: `time[,serial]`.
    Boot {
        /// The device's clock.
        time: DeviceTime,
    },
    /// 102: `card[,serial]`.
    Inquiry {
        /// The card swiped.
        card: CardNo,
    },
    /// 103: `card,amount,time[,mode][,serial]`.
    Charge {
        /// The card that pays.
        card: CardNo,
        /// How much; 0.00 is count mode (inferred).
        amount: Amount<'a>,
        /// When, by the device's clock.
        time: DeviceTime,
        /// The maker's constant `2`, meaning unknown.
        mode: Option<Text<8>>,
    },
    /// 104: `card,time[,serial]`.
    Meal {
        /// The card that pays.
        card: CardNo,
        /// When, by the device's clock.
        time: DeviceTime,
    },
    /// 105: `card,amount,time,kind,record_address,records_held[,serial]`.
    Offline(OfflineSale<'a>),
    /// 106: `keys[,serial]`.
    Keys {
        /// As received; the meaning is unknown.
        keys: &'a [u8],
    },
    /// 109: layout unknown.
    Confirm {
        /// Everything after the common five as one slice, commas included.
        rest: &'a [u8],
    },
    /// 128: `command_no,amount,time,<unread>,code…[,serial]` (design.md, section 13).
    Scan {
        /// In the field where other sales have a card number.
        command: RequestNo,
        /// How much.
        amount: Amount<'a>,
        /// When, by the device's clock.
        time: DeviceTime,
        /// The scanned code's text as received, with its own commas. May be empty.
        code: &'a [u8],
    },
    /// 150: `card,reader,door,open_seconds,pin_kind,pin,time[,serial]`.
    Access(Access<'a>),
    /// Code, seq and machine are readable, another field is not.
    Malformed(Malformed<'a>),
}

/// An amount, and its text as received, which a 008 echoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount<'a> {
    /// The value.
    pub money: Money,
    /// As received: `5.5` and `05.50` are the same amount.
    pub raw: &'a [u8],
}

impl<'a> Amount<'a> {
    /// Reads what [`Money::parse`] reads.
    pub fn parse(raw: &'a [u8]) -> Option<Self> {
        Money::parse(raw).map(|money| Self { money, raw })
    }
}

/// What an offline sale takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CountedIn {
    /// 0: money.
    Amount,
    /// 1: one use.
    Count,
}

/// A sale that has happened, so it is never refused. An unreadable field is `None` beside its bytes
/// as received, a missing one is empty. So the server can always send a 011.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfflineSale<'a> {
    /// Who paid, if it can be read.
    pub card: Option<CardNo>,
    /// As received, for the 011.
    pub card_raw: &'a [u8],
    /// How much, if it can be read.
    pub amount: Option<Money>,
    /// As received, for the 011.
    pub amount_raw: &'a [u8],
    /// When, by the device's clock.
    pub time: DeviceTime,
    /// As received, for the 011.
    pub time_raw: &'a [u8],
    /// Money or uses; `None` for any other kind.
    pub basis: Option<CountedIn>,
    /// The slot in the terminal, as the ledger writes it.
    pub record: Text<32>,
    /// As received, for the 011.
    pub record_raw: &'a [u8],
    /// Records that the terminal holds; whether this one is included is unknown.
    pub records_held: &'a [u8],
}

/// An access request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access<'a> {
    /// `None` only if the field is empty and the PIN is a door's or was keyed under duress.
    pub card: Option<CardNo>,
    /// As received, for 050 and 051.
    pub card_raw: &'a [u8],
    /// The reader.
    pub reader: UnitNo,
    /// The number of the door or relay.
    pub door: UnitNo,
    /// How long the door has stood open; 0 = closed.
    pub open_seconds: u32,
    /// What kind of PIN it is.
    pub pin_kind: PinKind,
    /// The PIN, if one was keyed and `pin_kind` is not `None`.
    pub pin: Option<Pin>,
    /// When, by the board's clock.
    pub time: DeviceTime,
}

/// The kind of an access request's PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PinKind {
    /// No PIN; the PIN's field is ignored.
    None = 0,
    /// The card's PIN.
    AfterCard = 1,
    /// The card's PIN, keyed to correct an attendance record.
    Correction = 2,
    /// The door's PIN, perhaps without a card.
    DoorPin = 3,
    /// A PIN keyed under duress.
    Duress = 4,
}

impl PinKind {
    /// All kinds; a kind's index is its number.
    pub const ALL: [Self; 5] = [Self::None, Self::AfterCard, Self::Correction, Self::DoorPin, Self::Duress];

    /// The kind with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }
}

/// A frame with an unreadable field: what could be read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed<'a> {
    /// The first field that is missing or cannot be read.
    pub field: &'static str,
    /// The card or command number as received, which the refusal echoes. Empty if it is missing,
    /// longer than 32 bytes, or not printable ASCII: a display must not show garbage.
    pub subject: &'a [u8],
    /// The card, if its field is readable.
    pub card: Option<CardNo>,
    /// The amount, if its field is readable; always 0.00 for a 104.
    pub asked: Option<Money>,
    /// The device's time, if its field is readable.
    pub time: Option<DeviceTime>,
    /// The hardware serial, if one follows the time, or the card of a 102. Other contents of that
    /// field may be a PIN or a scanned code.
    pub serial: Option<Serial>,
}

impl<'a> Malformed<'a> {
    /// Keeps what can be read of a frame. `fields` are those after the common five.
    #[cold]
    fn of(code: Code, field: &'static str, fields: &Fields<'a>) -> Self {
        let at = |place| fields.clone().nth(place);
        let (card, amount, time) = match code {
            Code::Boot => (None, None, Some(0)),
            Code::Inquiry => (Some(0), None, None),
            Code::Charge => (Some(0), Some(1), Some(2)),
            Code::Meal => (Some(0), None, Some(1)),
            Code::Scan => (None, Some(1), Some(2)),
            Code::Access => (Some(0), None, Some(6)),
            Code::Offline | Code::Keys | Code::Confirm => (None, None, None),
        };
        let behind_time = time.and_then(|place| {
            let mut behind = fields.clone();
            let time = DeviceTime::new(behind.nth(place)?);
            time.civil.map(|_| (time, behind))
        });
        let serial = match (code, behind_time.clone()) {
            (Code::Inquiry, _) => at(1),
            (_, None) => None,
            (Code::Charge, Some((_, mut behind))) => mode_and_serial(&mut behind).1,
            // The unread field and the code come before the serial.
            (Code::Scan, Some((_, mut behind))) => {
                behind.clone().nth(2).and_then(|_| behind.next_back()).filter(|field| may_be_serial(field))
            }
            (_, Some((_, mut behind))) => behind.next(),
        };
        Self {
            field,
            subject: shown_subject(code, fields.clone()),
            card: card.and_then(at).and_then(CardNo::parse),
            asked: if code == Code::Meal { Some(Money::ZERO) } else { amount.and_then(at).and_then(Money::parse) },
            time: behind_time.map(|(time, _)| time),
            serial: serial.and_then(readable_serial),
        }
    }
}

impl<'a> DeviceFrame<'a> {
    /// `fields` are those after the code.
    fn parse(
        code: Code,
        mut fields: Fields<'a>,
        is_serial: &dyn Fn(MachineNo, &[u8]) -> Option<bool>,
    ) -> Result<Self, NotAFrame> {
        let head = (fields.next(), fields.next(), fields.next(), fields.next());
        let (Some(seq), Some(device_ip), Some(host_ip), Some(machine)) = head else {
            return Err(NotAFrame::TooShort);
        };
        let seq = FrameSeq::parse(seq).ok_or(NotAFrame::NoSeq)?;
        let machine = MachineNo::parse(machine).ok_or(NotAFrame::NoMachine)?;
        let body = fields.clone();
        let (body, serial) = Body::parse(code, &mut fields, &|field| is_serial(machine, field))
            .unwrap_or_else(|Unreadable(field)| (Body::Malformed(Malformed::of(code, field, &body)), None));
        Ok(Self { code, seq, device_ip, host_ip, machine, serial, body })
    }

    /// Writes the frame as a device writes it, and returns its length; 0 if it does not fit. A
    /// malformed frame is written as its common five fields and its subject; its other fields are
    /// not kept.
    fn write(&self, out: &mut [u8]) -> usize {
        let line = FrameWriter::begin(out, self.code.number())
            .field(self.seq.as_bytes())
            .field(self.device_ip)
            .field(self.host_ip)
            .field(self.machine.as_bytes());
        let line = self.body.emit(line);
        match (&self.serial, self.code) {
            (Some(serial), _) => line.field(serial.as_bytes()).end(),
            // The empty field keeps the end of a code from being taken for a serial.
            (None, Code::Scan) if !matches!(self.body, Body::Malformed(_)) => line.field(b"").end(),
            (None, _) => line.end(),
        }
    }
}

/// The field that a refusal echoes; `fields` are those after the common five.
fn shown_subject(code: Code, mut fields: Fields<'_>) -> &[u8] {
    match code {
        Code::Inquiry | Code::Charge | Code::Meal | Code::Offline | Code::Scan | Code::Access => {
            let first = fields.next().unwrap_or_default();
            let is_shown = first.len() <= SUBJECT_LEN_MAX && first.iter().all(|byte| (b' '..=b'~').contains(byte));
            if is_shown { first } else { b"" }
        }
        Code::Boot | Code::Keys | Code::Confirm => b"",
    }
}

/// The name of a field that is missing or unreadable.
struct Unreadable(&'static str);

/// A body, and the serial at its end.
type Read<'a> = Result<(Body<'a>, Option<Serial>), Unreadable>;

impl<'a> Body<'a> {
    fn parse(code: Code, fields: &mut Fields<'a>, is_serial: &dyn Fn(&[u8]) -> Option<bool>) -> Read<'a> {
        match code {
            Code::Boot => Self::parse_boot(fields),
            Code::Inquiry => Self::parse_inquiry(fields),
            Code::Charge => Self::parse_charge(fields),
            Code::Meal => Self::parse_meal(fields),
            Code::Offline => Ok(Self::parse_offline(fields)),
            Code::Keys => Self::parse_keys(fields),
            Code::Confirm => Ok((Self::Confirm { rest: fields.take_rest().unwrap_or_default() }, None)),
            Code::Scan => Self::parse_scan(fields, is_serial),
            Code::Access => Self::parse_access(fields),
        }
    }

    fn parse_boot(fields: &mut Fields<'a>) -> Read<'a> {
        let time = time(fields)?;
        Ok((Self::Boot { time }, serial(fields.next())?))
    }

    fn parse_inquiry(fields: &mut Fields<'a>) -> Read<'a> {
        let card = read(fields, "card", CardNo::parse)?;
        Ok((Self::Inquiry { card }, serial(fields.next())?))
    }

    fn parse_charge(fields: &mut Fields<'a>) -> Read<'a> {
        let card = read(fields, "card", CardNo::parse)?;
        let amount = read(fields, "amount", Amount::parse)?;
        let time = time(fields)?;
        let (mode, serial_field) = mode_and_serial(fields);
        Ok((Self::Charge { card, amount, time, mode }, serial(serial_field)?))
    }

    fn parse_meal(fields: &mut Fields<'a>) -> Read<'a> {
        let card = read(fields, "card", CardNo::parse)?;
        let time = time(fields)?;
        Ok((Self::Meal { card, time }, serial(fields.next())?))
    }

    fn parse_offline(fields: &mut Fields<'a>) -> (Self, Option<Serial>) {
        let mut next = || fields.next().unwrap_or_default();
        let (card_raw, amount_raw, time_raw) = (next(), next(), next());
        let (basis, record_raw, records_held) = (next(), next(), next());
        let sale = OfflineSale {
            card: CardNo::parse(card_raw),
            card_raw,
            amount: Money::parse(amount_raw),
            amount_raw,
            time: DeviceTime::new(time_raw),
            time_raw,
            basis: match basis {
                b"0" => Some(CountedIn::Amount),
                b"1" => Some(CountedIn::Count),
                _ => None,
            },
            record: text_of_gbk(record_raw),
            record_raw,
            records_held,
        };
        (Self::Offline(sale), readable_serial(next()))
    }

    fn parse_keys(fields: &mut Fields<'a>) -> Read<'a> {
        let keys = read(fields, "keys", Some)?;
        Ok((Self::Keys { keys }, serial(fields.next())?))
    }

    fn parse_scan(fields: &mut Fields<'a>, is_serial: &dyn Fn(&[u8]) -> Option<bool>) -> Read<'a> {
        let command = read(fields, "command", |bytes| text_from(bytes).filter(|text| !text.is_empty()))?;
        let amount = read(fields, "amount", Amount::parse)?;
        let time = time(fields)?;
        read(fields, "unread", Some)?;
        // The code may contain commas, and its last part may look like a serial.
        let mut before = fields.clone();
        let last = before.next_back().ok_or(Unreadable("code"))?;
        let is_serial = match is_serial(last) {
            Some(is_serial) => is_serial,
            None => may_be_serial(last) && !before.is_empty(),
        };
        // A device without a serial sends an empty last field.
        let (code, serial) = if is_serial || (last.is_empty() && !before.is_empty()) {
            (before.take_rest().ok_or(Unreadable("code"))?, readable_serial(last))
        } else {
            (fields.take_rest().ok_or(Unreadable("code"))?, None)
        };
        Ok((Self::Scan { command, amount, time, code }, serial))
    }

    fn parse_access(fields: &mut Fields<'a>) -> Read<'a> {
        let card_raw = fields.next().ok_or(Unreadable("card"))?;
        let card = CardNo::parse(card_raw);
        if card.is_none() && !card_raw.is_empty() {
            return Err(Unreadable("card"));
        }
        let reader = read(fields, "reader", UnitNo::parse)?;
        let door = read(fields, "door", UnitNo::parse)?;
        let open_seconds = read(fields, "open_seconds", number)?;
        let pin_kind = read(fields, "pin_kind", |bytes| number(bytes).and_then(PinKind::from_number))?;
        // A door's PIN needs no card. A duress alarm must not be lost because a field is
        // unreadable.
        if card.is_none() && !matches!(pin_kind, PinKind::DoorPin | PinKind::Duress) {
            return Err(Unreadable("card"));
        }
        let pin = read(fields, "pin", |bytes| match pin_kind {
            PinKind::None => Some(None),
            PinKind::Duress => Some(Pin::parse(bytes)),
            PinKind::AfterCard | PinKind::Correction | PinKind::DoorPin => {
                if bytes.is_empty() {
                    return Some(None);
                }
                Pin::parse(bytes).map(Some)
            }
        })?;
        let time = time(fields)?;
        let access = Access { card, card_raw, reader, door, open_seconds, pin_kind, pin, time };
        Ok((Self::Access(access), serial(fields.next())?))
    }

    fn emit<'o>(&self, line: FrameWriter<'o>) -> FrameWriter<'o> {
        match self {
            Self::Boot { time } => line.field(&sent(time)),
            Self::Inquiry { card } => line.field(card.as_bytes()),
            Self::Charge { card, amount, time, mode } => {
                let line = line.field(card.as_bytes()).field(amount.raw).field(&sent(time));
                match mode {
                    Some(mode) => line.field(mode.as_bytes()),
                    None => line,
                }
            }
            Self::Meal { card, time } => line.field(card.as_bytes()).field(&sent(time)),
            Self::Offline(sale) => {
                let basis: &[u8] = match sale.basis {
                    Some(CountedIn::Amount) => b"0",
                    Some(CountedIn::Count) => b"1",
                    None => b"",
                };
                line.field(sale.card_raw)
                    .field(sale.amount_raw)
                    .field(sale.time_raw)
                    .field(basis)
                    .field(sale.record_raw)
                    .field(sale.records_held)
            }
            Self::Keys { keys } => line.field(keys),
            Self::Confirm { rest: b"" } => line,
            Self::Confirm { rest } => line.field(rest),
            Self::Scan { command, amount, time, code } => line
                .field(command.as_bytes())
                .field(amount.raw)
                .field(&sent(time))
                // This field is never read; its meaning is unknown.
                .field(b"0")
                .field(code),
            Self::Access(access) => line
                .field(access.card_raw)
                .field(access.reader.as_bytes())
                .field(access.door.as_bytes())
                .number(access.open_seconds)
                .number(access.pin_kind as u32)
                .field(access.pin.map(|pin| pin.digits()).unwrap_or_default().as_bytes())
                .field(&sent(&access.time)),
            Self::Malformed(malformed) => line.field(malformed.subject),
        }
    }
}

/// A device's time in the bytes that a device sends.
fn sent(time: &DeviceTime) -> alloc::vec::Vec<u8> {
    gbk::encode(&time.raw)
}

/// The next field, if `parse` can read it.
fn read<'a, T>(
    fields: &mut Fields<'a>,
    name: &'static str,
    parse: impl FnOnce(&'a [u8]) -> Option<T>,
) -> Result<T, Unreadable> {
    fields.next().and_then(parse).ok_or(Unreadable(name))
}

/// The time, valid or not. Only a missing one is an error.
fn time(fields: &mut Fields<'_>) -> Result<DeviceTime, Unreadable> {
    read(fields, "time", |bytes| Some(DeviceTime::new(bytes)))
}

/// The serial at the end of a frame, if the firmware sends one.
fn serial(field: Option<&[u8]>) -> Result<Option<Serial>, Unreadable> {
    match field {
        None | Some(b"") => Ok(None),
        Some(bytes) => text_from(bytes).map(Serial::from).map(Some).ok_or(Unreadable("serial")),
    }
}

/// Whether a field looks like a serial.
fn may_be_serial(field: &[u8]) -> bool {
    SERIAL_LEN.contains(&field.len()) && field.iter().all(u8::is_ascii_alphanumeric)
}

/// The serial; `None` also if it is unreadable.
fn readable_serial(field: &[u8]) -> Option<Serial> {
    serial(Some(field)).unwrap_or(None)
}

/// The two fields that may follow a 103's time (inferred). The maker's table has a constant `2`
/// there; the seed reads the serial there. A number of less than eight digits is the mode, if it
/// comes first. The last field of eight or more characters is the serial; without one, a shorter
/// text that is not a number is the serial.
fn mode_and_serial<'a>(fields: &mut Fields<'a>) -> (Option<Text<8>>, Option<&'a [u8]>) {
    let (mut mode, mut serial) = (None, None);
    for (index, field) in fields.by_ref().enumerate() {
        let is_short = field.len() < 8;
        if is_short && field.iter().all(u8::is_ascii_digit) {
            if index == 0 && !field.is_empty() {
                mode = text_from(field);
            }
        } else if !is_short || serial.is_none() {
            serial = Some(field);
        }
    }
    (mode, serial)
}

/// A number of 32 bits, with any number of leading zeros.
fn number(digits: &[u8]) -> Option<u32> {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count().min(digits.len().saturating_sub(1));
    u32::try_from(digits::number(&digits[zeros..])?).ok()
}

/// The number, if the field is exactly three digits.
fn code_number(field: &[u8]) -> Option<u16> {
    if field.len() != 3 {
        return None;
    }
    digits::number(field).and_then(|value| u16::try_from(value).ok())
}

/// Whether the field is an address as these devices write it: four groups of one to three digits,
/// with or without leading zeros.
fn is_dotted_quad(field: &[u8]) -> bool {
    let is_group = |group: &[u8]| (1..=3).contains(&group.len()) && group.iter().all(u8::is_ascii_digit);
    field.split(|byte| *byte == b'.').count() == 4 && field.split(|byte| *byte == b'.').all(is_group)
}
