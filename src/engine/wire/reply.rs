//! What the server says: one [`Reply`], one datagram (protocol.md, *Server → device*).
//!
//! Texts arrive here in GBK, ready for a display. `\n` and `{…}` in them are left as they are.

use core::fmt;

use heapless::Vec;

use super::fields::{Fields, FrameWriter, append};
use crate::engine::gbk;
use crate::engine::limits::{REPLY_LEN_MAX, TEXT_LEN_MAX};
use crate::engine::model::{Civil, FrameSeq, MachineNo, UnitNo};

/// Room for one reply.
pub type Buffer = Vec<u8, REPLY_LEN_MAX>;

/// A [`Reply`]'s number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyCode {
    /// 000.
    Discover = 0,
    /// 001.
    Ack = 1,
    /// 002.
    AskTime = 2,
    /// 003.
    SetClock = 3,
    /// 006.
    Decline = 6,
    /// 008.
    Approve = 8,
    /// 009.
    Show = 9,
    /// 011.
    Release = 11,
    /// 050.
    Admit = 50,
    /// 051.
    Refuse = 51,
}

impl ReplyCode {
    /// All codes.
    pub const ALL: [Self; 10] = [
        Self::Discover,
        Self::Ack,
        Self::AskTime,
        Self::SetClock,
        Self::Decline,
        Self::Approve,
        Self::Show,
        Self::Release,
        Self::Admit,
        Self::Refuse,
    ];

    /// The number whose three digits stand on the wire.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The code with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// Whether the reply rests on a ledger entry. Such a reply is sent only after the sync of that
    /// entry (design.md, section 1).
    pub(crate) const fn rests_on_entry(self) -> bool {
        match self {
            Self::Approve | Self::Release | Self::Admit => true,
            Self::Discover | Self::Ack | Self::AskTime | Self::SetClock | Self::Decline | Self::Show | Self::Refuse => {
                false
            }
        }
    }
}

impl fmt::Display for ReplyCode {
    /// As on the wire: `008`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.number())
    }
}

/// The time in a 011 if the record's own time is not a valid date; without a time the device cannot
/// drop the record.
pub const INVALID_TIME: &[u8] = b"9999-99-99 99:99:99";

/// Bytes kept free after a text: a trailer of at most 16 bytes, a 050's four numbers of at most ten
/// digits each, and six commas.
const AFTER_TEXT_LEN_MAX: usize = 64;

/// One datagram of the server. `text` is GBK; `trailer` is the three numbers after it, such as
/// `20,0,1`: display seconds, then a flag and a sound (inferred).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// 000: a broadcast that asks all devices to report (100).
    Discover,
    /// 001: the server has heard the frame.
    Ack {
        /// As received.
        seq: FrameSeq,
    },
    /// 002: asks the device for its time, which it answers with a 101 (inferred).
    AskTime {
        /// The device.
        machine: MachineNo,
    },
    /// 003: sets the device's clock.
    SetClock {
        /// The device.
        machine: MachineNo,
        /// The server's local time.
        time: Civil,
    },
    /// 006: declines a sale.
    Decline {
        /// As received.
        machine: MachineNo,
        /// The card or command number, as received.
        subject: &'a [u8],
        /// For the display.
        text: &'a [u8],
        /// See [`Reply`].
        trailer: &'a [u8],
    },
    /// 008: approves a sale.
    Approve {
        /// As received.
        machine: MachineNo,
        /// The card or command number, as received.
        subject: &'a [u8],
        /// As received.
        amount: &'a [u8],
        /// For the display.
        text: &'a [u8],
        /// See [`Reply`].
        trailer: &'a [u8],
    },
    /// 009: shows a text; no money moves.
    Show {
        /// As received.
        machine: MachineNo,
        /// For the display.
        text: &'a [u8],
        /// See [`Reply`].
        trailer: &'a [u8],
    },
    /// 011: allows the terminal to delete this record and send the next. All fields as received,
    /// except that [`INVALID_TIME`] replaces a time that is not a valid date.
    Release {
        /// As received.
        machine: MachineNo,
        /// 卡号.
        card: &'a [u8],
        /// 消费金额.
        amount: &'a [u8],
        /// 消费时间.
        time: &'a [u8],
        /// 记录地址标识.
        record: &'a [u8],
    },
    /// 050: opens a door.
    Admit {
        /// As received.
        machine: MachineNo,
        /// Card number as received; empty if a door's own PIN was keyed.
        card: &'a [u8],
        /// For the display.
        text: &'a [u8],
        /// See [`Reply`].
        trailer: &'a [u8],
        /// As received.
        reader: UnitNo,
        /// As received.
        door: UnitNo,
        /// Seconds that the relay stays on (inferred).
        relay_s: u32,
        /// Seconds until the board reports a door that was left open (inferred).
        left_open_s: u32,
    },
    /// 051: leaves a door closed.
    Refuse {
        /// As received.
        machine: MachineNo,
        /// As received.
        card: &'a [u8],
        /// For the display.
        text: &'a [u8],
        /// See [`Reply`].
        trailer: &'a [u8],
    },
}

impl<'a> Reply<'a> {
    /// The number on the wire.
    pub fn code(&self) -> ReplyCode {
        match self {
            Self::Discover => ReplyCode::Discover,
            Self::Ack { .. } => ReplyCode::Ack,
            Self::AskTime { .. } => ReplyCode::AskTime,
            Self::SetClock { .. } => ReplyCode::SetClock,
            Self::Decline { .. } => ReplyCode::Decline,
            Self::Approve { .. } => ReplyCode::Approve,
            Self::Show { .. } => ReplyCode::Show,
            Self::Release { .. } => ReplyCode::Release,
            Self::Admit { .. } => ReplyCode::Admit,
            Self::Refuse { .. } => ReplyCode::Refuse,
        }
    }

    /// Appends the datagram. If it does not fit in `out`, `out` stays as it was.
    pub fn emit<const N: usize>(&self, out: &mut Vec<u8, N>) {
        append(out, |room| self.write(room));
    }

    /// Writes the datagram at the beginning of `out`, and returns its length: at most
    /// [`REPLY_LEN_MAX`] bytes for any request that was parsed; 0 if it does not fit. A text longer
    /// than [`TEXT_LEN_MAX`], or than the room that the other fields leave, is cut, but not within
    /// a character, a number or a line break.
    pub(crate) fn write(&self, out: &mut [u8]) -> usize {
        let line = FrameWriter::begin(out, self.code().number());
        match self {
            Self::Discover => line,
            Self::Ack { seq } => line.field(seq.as_bytes()),
            Self::AskTime { machine } => line.field(machine.as_bytes()),
            Self::SetClock { machine, time } => line.field(machine.as_bytes()).number(time),
            Self::Decline { machine, subject, text, trailer } => {
                display(line.field(machine.as_bytes()).field(subject), text, trailer)
            }
            Self::Approve { machine, subject, amount, text, trailer } => {
                display(line.field(machine.as_bytes()).field(subject).field(amount), text, trailer)
            }
            Self::Show { machine, text, trailer } => display(line.field(machine.as_bytes()), text, trailer),
            Self::Release { machine, card, amount, time, record } => {
                line.field(machine.as_bytes()).field(card).field(amount).field(time).field(record)
            }
            Self::Admit { machine, card, text, trailer, reader, door, relay_s, left_open_s } => {
                display(line.field(machine.as_bytes()).field(card), text, trailer)
                    .field(reader.as_bytes())
                    .field(door.as_bytes())
                    .number(relay_s)
                    .number(left_open_s)
            }
            Self::Refuse { machine, card, text, trailer } => {
                display(line.field(machine.as_bytes()).field(card), text, trailer)
            }
        }
        .end()
    }

    /// Reads a datagram as a device does; `None` if it is not a reply. A text keeps its blanks and
    /// may hold commas.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::of(datagram);
        let code = fields.next()?;
        if code == b"000" {
            return fields.next().is_none().then_some(Self::Discover);
        }
        if code == b"001" {
            let seq = FrameSeq::parse(fields.next()?)?;
            return fields.next().is_none().then_some(Self::Ack { seq });
        }
        let machine = MachineNo::parse(fields.next()?)?;
        let reply = match code {
            b"002" => Self::AskTime { machine },
            b"003" => Self::SetClock { machine, time: Civil::parse(fields.next()?)? },
            b"006" => {
                let subject = fields.next()?;
                let (text, trailer) = take_display(&mut fields)?;
                Self::Decline { machine, subject, text, trailer }
            }
            b"008" => {
                let (subject, amount) = (fields.next()?, fields.next()?);
                let (text, trailer) = take_display(&mut fields)?;
                Self::Approve { machine, subject, amount, text, trailer }
            }
            b"009" => {
                let (text, trailer) = take_display(&mut fields)?;
                Self::Show { machine, text, trailer }
            }
            b"011" => {
                let (card, amount, time) = (fields.next()?, fields.next()?, fields.next()?);
                Self::Release { machine, card, amount, time, record: fields.next()? }
            }
            b"050" => {
                let card = fields.next()?;
                let left_open_s = seconds(fields.next_back()?)?;
                let relay_s = seconds(fields.next_back()?)?;
                let door = UnitNo::parse(fields.next_back()?)?;
                let reader = UnitNo::parse(fields.next_back()?)?;
                let (text, trailer) = take_display(&mut fields)?;
                Self::Admit { machine, card, text, trailer, reader, door, relay_s, left_open_s }
            }
            b"051" => {
                let card = fields.next()?;
                let (text, trailer) = take_display(&mut fields)?;
                Self::Refuse { machine, card, text, trailer }
            }
            _ => return None,
        };
        fields.next().is_none().then_some(reply)
    }
}

/// Adds a text, and its trailer as the fields after it.
fn display<'o>(line: FrameWriter<'o>, text: &[u8], trailer: &[u8]) -> FrameWriter<'o> {
    let room = REPLY_LEN_MAX.saturating_sub(line.len() + AFTER_TEXT_LEN_MAX);
    let len = gbk::cut_text(text, room.min(TEXT_LEN_MAX));
    line.field(&text[..len]).field(trailer)
}

/// Takes the text and its trailer. The trailer is the last three fields left.
fn take_display<'a>(fields: &mut Fields<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let display = fields.take_raw()?;
    let comma = display.iter().enumerate().rev().filter(|(_, byte)| **byte == b',').map(|(index, _)| index).nth(2)?;
    let trailer = core::str::from_utf8(&display[comma + 1..]).ok()?.trim_ascii().as_bytes();
    Some((&display[..comma], trailer))
}

fn seconds(digits: &[u8]) -> Option<u32> {
    core::str::from_utf8(digits).ok()?.parse().ok()
}
