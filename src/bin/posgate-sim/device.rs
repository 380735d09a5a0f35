//! One virtual device: what a terminal or a board does, as far as protocol.md knows it (*How the
//! devices behave*).
//!
//! A plain value: time and datagrams come in, datagrams and outcomes go out. It sends a frame three
//! times in all until it hears 001, waits some seconds for the result, confirms each command with a
//! 109, books a sale of a card on its white list itself when no answer comes, and sends such sales
//! as 105s, one at a time, when the server answers again. It believes whatever it is sent: judging
//! the server is the [`crate::judge`]'s.

use std::collections::VecDeque;
use std::time::Duration;

use posgate::engine::model::{CardNo, Civil, DeviceTime, FrameSeq, MachineNo, Pin, Serial, Text, UnitNo};
use posgate::engine::wire::{
    Access, Amount, Body, Buffer, Code, CountedIn, DeviceFrame, Found, INVALID_TIME, OfflineSale, PinKind, Reply,
    Request,
};

use crate::clock::Moment;

/// What a 109 holds behind the common five fields; its layout is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// Nothing.
    Bare,
    /// The command's code, and its card or command number if it has one.
    Named,
    /// The device sends none.
    Never,
}

/// How a device behaves where the protocol leaves it open.
#[derive(Clone, Debug)]
pub struct Habits {
    /// Between two sends of a frame that was not heard.
    pub interval: Duration,
    /// Sends of a frame in all.
    pub sends_max: u8,
    /// From the 001 to giving up on the result.
    pub patience: Duration,
    /// Between two tries to send stored sales while the server does not answer.
    pub upload_pause: Duration,
    /// The shape of its 109s.
    pub confirm: Confirm,
    /// What stands behind a 103's time: the maker's table has a constant `2` there, meaning
    /// unknown.
    pub mode: Option<Text<8>>,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(500),
            sends_max: 3,
            patience: Duration::from_secs(3),
            upload_pause: Duration::from_secs(1),
            confirm: Confirm::Named,
            mode: None,
        }
    }
}

/// What somebody does at a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The power comes on.
    Boot,
    /// A card is shown, no amount.
    Inquiry {
        /// It.
        card: CardNo,
    },
    /// An amount is keyed and a card shown.
    Charge {
        /// It.
        card: CardNo,
        /// As keyed.
        amount: String,
    },
    /// A card is shown in count mode.
    Meal {
        /// It.
        card: CardNo,
    },
    /// An amount is keyed and a code scanned.
    Scan {
        /// Drawn by the terminal.
        command: Text<20>,
        /// As scanned.
        code: Vec<u8>,
        /// As keyed.
        amount: String,
    },
    /// A card is shown, or a PIN keyed, at a door.
    Door(Door),
    /// Keys are pressed.
    Keys {
        /// As sent.
        keys: Vec<u8>,
    },
    /// A stored sale is sent.
    Upload(Record),
}

impl Ask {
    /// Whether a result follows the 001.
    pub fn wants_result(&self) -> bool {
        match self {
            Self::Boot | Self::Keys { .. } => false,
            Self::Inquiry { .. } | Self::Charge { .. } | Self::Meal { .. } | Self::Scan { .. } => true,
            Self::Door(_) | Self::Upload(_) => true,
        }
    }
}

/// Somebody at a door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// `None` for a door's own PIN.
    pub card: Option<CardNo>,
    /// Where.
    pub reader: UnitNo,
    /// What to open.
    pub relay: UnitNo,
    /// How long it has stood open.
    pub open_seconds: u32,
    /// What the PIN is.
    pub pin_kind: PinKind,
    /// The PIN keyed.
    pub pin: Option<Pin>,
}

/// A sale that the terminal booked itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// As the frame writes it.
    pub card: Vec<u8>,
    /// As the frame writes it.
    pub amount: Vec<u8>,
    /// As the frame writes it; may be no date.
    pub time: Vec<u8>,
    /// Money or one use.
    pub basis: CountedIn,
    /// The slot in the terminal.
    pub address: String,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 001, and nothing more was wanted.
    Heard,
    /// 009.
    Shown(Vec<u8>),
    /// 008.
    Approved(Vec<u8>),
    /// 006.
    Declined(Vec<u8>),
    /// 050.
    Admitted(Vec<u8>),
    /// 051.
    Refused(Vec<u8>),
    /// 011.
    Released,
    /// No answer; the terminal booked the sale itself.
    Booked,
    /// 001, but no result in time.
    NoResult,
    /// Nothing at all.
    Unheard,
}

impl Outcome {
    /// The display's text, in GBK.
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Shown(text) | Self::Approved(text) | Self::Declined(text) => Some(text),
            Self::Admitted(text) | Self::Refused(text) => Some(text),
            Self::Heard | Self::Released | Self::Booked | Self::NoResult | Self::Unheard => None,
        }
    }
}

/// What a device wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A datagram to the server.
    Send(Vec<u8>),
    /// The frame on its way was heard: its first 001 came.
    Heard,
    /// What was asked has ended.
    Finished {
        /// What it was.
        ask: Ask,
        /// The frame's number.
        seq: FrameSeq,
        /// How it ended.
        outcome: Outcome,
    },
}

/// A frame on its way, and what it waits for.
#[derive(Debug)]
struct Exchange {
    ask: Ask,
    seq: FrameSeq,
    frame: Vec<u8>,
    time: String,
    sends: u8,
    heard: bool,
    /// The next send, or the end.
    deadline: Moment,
}

/// A terminal or a board.
#[derive(Debug)]
pub struct Device {
    machine: MachineNo,
    serial: Option<Serial>,
    own_ip: String,
    host_ip: String,
    habits: Habits,
    power_on_seq: u16,
    seq: u16,
    /// What its clock showed, and when.
    clock: (Moment, Civil),
    white_list: Vec<CardNo>,
    exchange: Option<Exchange>,
    records: VecDeque<Record>,
    /// When the next stored sale is sent.
    upload_at: Moment,
    records_made: u32,
    /// Whether the last frame was not heard.
    is_offline: bool,
}

impl Device {
    /// A device whose frames count from `seq`, also after power-on. `clock` is what its clock shows
    /// now.
    pub fn new(machine: MachineNo, serial: Option<Serial>, seq: u16, clock: (Moment, Civil), habits: Habits) -> Self {
        Self {
            machine,
            serial,
            own_ip: "0.0.0.0".to_owned(),
            host_ip: "0.0.0.0".to_owned(),
            habits,
            power_on_seq: seq,
            seq,
            clock,
            white_list: Vec::new(),
            exchange: None,
            records: VecDeque::new(),
            upload_at: Moment::ZERO,
            records_made: 0,
            is_offline: false,
        }
    }

    /// The addresses that its frames name.
    pub fn set_addresses(&mut self, own_ip: String, host_ip: String) {
        self.own_ip = own_ip;
        self.host_ip = host_ip;
    }

    /// Cards that it may serve while the server does not answer.
    pub fn set_white_list(&mut self, cards: &[CardNo]) {
        self.white_list = cards.to_vec();
    }

    /// Its number.
    pub fn machine(&self) -> MachineNo {
        self.machine
    }

    /// Whether nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.exchange.is_none()
    }

    /// Stored sales that were not released yet.
    pub fn records_held(&self) -> usize {
        self.records.len()
    }

    /// What its clock shows.
    pub fn local(&self, now: Moment) -> Civil {
        let seconds = now.saturating_sub(self.clock.0).as_secs();
        Civil(self.clock.1.0.saturating_add(i64::try_from(seconds).unwrap_or(0)))
    }

    /// Sets its clock by hand.
    pub fn set_clock(&mut self, now: Moment, time: Civil) {
        self.clock = (now, time);
    }

    /// The slot of the next sale that it stores.
    pub fn set_next_record(&mut self, number: u32) {
        self.records_made = number;
    }

    /// Puts a sale into its memory as if it had been made long ago.
    pub fn store(&mut self, card: &str, amount: &str, time: &str, basis: CountedIn) {
        self.records_made = self.records_made.wrapping_add(1);
        self.records.push_back(Record {
            card: card.as_bytes().to_vec(),
            amount: amount.as_bytes().to_vec(),
            time: time.as_bytes().to_vec(),
            basis,
            address: format!("{:08}", self.records_made),
        });
    }

    /// A number for a scan payment.
    pub fn next_command(&self) -> Text<20> {
        let mut text = Text::new();
        core::fmt::Write::write_fmt(&mut text, format_args!("{:010}", self.seq)).expect("ten digits fit");
        text
    }

    /// Somebody does something. A device does one thing at a time.
    ///
    /// # Panics
    /// If something is still on its way.
    pub fn start(&mut self, now: Moment, ask: Ask, effects: &mut Vec<Effect>) {
        assert!(self.exchange.is_none(), "a device does one thing at a time");
        if ask == Ask::Boot {
            self.seq = self.power_on_seq;
            self.is_offline = false;
        }
        let time = self.local(now).to_string();
        let seq = self.next_seq();
        if self.is_offline && self.can_book(&ask) {
            // Known to be unreachable: the next upload finds out when that ends.
            self.book(&ask, &time);
            effects.push(Effect::Finished { ask, seq, outcome: Outcome::Booked });
            return;
        }
        let frame = self.frame(&ask, seq, &time);
        effects.push(Effect::Send(frame.clone()));
        let deadline = now + self.habits.interval;
        self.exchange = Some(Exchange { ask, seq, frame, time, sends: 1, heard: false, deadline });
    }

    /// The server said something.
    pub fn receive(&mut self, now: Moment, datagram: &[u8], effects: &mut Vec<Effect>) {
        let Some(reply) = Reply::parse(datagram) else {
            return;
        };
        self.confirm(&reply, effects);
        match &reply {
            Reply::Ack { seq } => self.hear(now, *seq, effects),
            Reply::SetClock { time, .. } => self.clock = (now, *time),
            Reply::Discover => effects.push(Effect::Send(self.found())),
            Reply::AskTime { .. } => {
                let seq = self.next_seq();
                let time = self.local(now).to_string();
                effects.push(Effect::Send(self.frame(&Ask::Boot, seq, &time)));
            }
            Reply::Decline { .. } | Reply::Approve { .. } | Reply::Show { .. } => self.decide(now, &reply, effects),
            Reply::Release { .. } | Reply::Admit { .. } | Reply::Refuse { .. } => self.decide(now, &reply, effects),
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if let Some(exchange) = &mut self.exchange {
            if now < exchange.deadline {
                return;
            }
            if !exchange.heard && exchange.sends < self.habits.sends_max {
                exchange.sends += 1;
                exchange.deadline = now + self.habits.interval;
                effects.push(Effect::Send(exchange.frame.clone()));
                return;
            }
            let outcome = if exchange.heard { Outcome::NoResult } else { Outcome::Unheard };
            self.give_up(now, outcome, effects);
        } else if now >= self.upload_at
            && let Some(record) = self.records.front()
        {
            let ask = Ask::Upload(record.clone());
            self.start(now, ask, effects);
        }
    }

    /// When [`Device::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Moment> {
        match &self.exchange {
            Some(exchange) => Some(exchange.deadline),
            None => (!self.records.is_empty()).then_some(self.upload_at),
        }
    }

    fn next_seq(&mut self) -> FrameSeq {
        let seq = FrameSeq::from_value(self.seq);
        self.seq = self.seq.wrapping_add(1);
        seq
    }

    fn hear(&mut self, now: Moment, seq: FrameSeq, effects: &mut Vec<Effect>) {
        self.is_offline = false;
        let Some(exchange) = self.exchange.as_mut().filter(|exchange| exchange.seq == seq && !exchange.heard) else {
            return;
        };
        exchange.heard = true;
        exchange.deadline = now + self.habits.patience;
        effects.push(Effect::Heard);
        let is_over = !exchange.ask.wants_result();
        if is_over {
            self.finish(Outcome::Heard, effects);
        }
    }

    fn decide(&mut self, now: Moment, reply: &Reply<'_>, effects: &mut Vec<Effect>) {
        let Some(outcome) = self.exchange.as_ref().and_then(|exchange| result_of(&exchange.ask, reply)) else {
            return;
        };
        self.is_offline = false;
        if outcome == Outcome::Released {
            self.records.pop_front();
        }
        self.upload_at = now;
        self.finish(outcome, effects);
    }

    fn give_up(&mut self, now: Moment, outcome: Outcome, effects: &mut Vec<Effect>) {
        let exchange = self.exchange.as_ref().expect("something was on its way");
        self.is_offline = !exchange.heard;
        self.upload_at = now + self.habits.upload_pause;
        let (ask, time) = (exchange.ask.clone(), exchange.time.clone());
        if self.can_book(&ask) {
            self.book(&ask, &time);
            self.finish(Outcome::Booked, effects);
        } else {
            self.finish(outcome, effects);
        }
    }

    fn finish(&mut self, outcome: Outcome, effects: &mut Vec<Effect>) {
        let exchange = self.exchange.take().expect("something was on its way");
        effects.push(Effect::Finished { ask: exchange.ask, seq: exchange.seq, outcome });
    }

    fn can_book(&self, ask: &Ask) -> bool {
        match ask {
            Ask::Charge { card, .. } | Ask::Meal { card } => self.white_list.contains(card),
            Ask::Boot | Ask::Inquiry { .. } | Ask::Scan { .. } => false,
            Ask::Door(_) | Ask::Keys { .. } | Ask::Upload(_) => false,
        }
    }

    fn book(&mut self, ask: &Ask, time: &str) {
        match ask {
            Ask::Charge { card, amount } => self.store(card.as_str(), amount, time, CountedIn::Amount),
            Ask::Meal { card } => self.store(card.as_str(), "0.00", time, CountedIn::Count),
            Ask::Boot | Ask::Inquiry { .. } | Ask::Scan { .. } => (),
            Ask::Door(_) | Ask::Keys { .. } | Ask::Upload(_) => (),
        }
    }

    /// A 109 for each command that wants one, also for each further copy of it.
    fn confirm(&mut self, reply: &Reply<'_>, effects: &mut Vec<Effect>) {
        let subject = match reply {
            Reply::Decline { subject, .. } | Reply::Approve { subject, .. } => *subject,
            Reply::Admit { card, .. } | Reply::Refuse { card, .. } => *card,
            Reply::Show { .. } => b"",
            Reply::Discover | Reply::Ack { .. } | Reply::AskTime { .. } => return,
            Reply::SetClock { .. } | Reply::Release { .. } => return,
        };
        let mut rest = Vec::new();
        match self.habits.confirm {
            Confirm::Never => return,
            Confirm::Bare => (),
            Confirm::Named => {
                rest.extend(format!("{}", reply.code()).into_bytes());
                if !subject.is_empty() {
                    rest.push(b',');
                    rest.extend(subject);
                }
            }
        }
        let seq = self.next_seq();
        effects.push(Effect::Send(self.device_frame(Code::Confirm, seq, Body::Confirm { rest: &rest })));
    }

    fn frame(&self, ask: &Ask, seq: FrameSeq, time: &str) -> Vec<u8> {
        let time = DeviceTime::new(time.as_bytes());
        let amount = |raw: &str| Amount::parse(raw.as_bytes()).map(|amount| amount.money);
        match ask {
            Ask::Boot => self.device_frame(Code::Boot, seq, Body::Boot { time }),
            Ask::Inquiry { card } => self.device_frame(Code::Inquiry, seq, Body::Inquiry { card: *card }),
            Ask::Charge { card, amount: raw } => {
                let amount = Amount { money: amount(raw).unwrap_or_default(), raw: raw.as_bytes() };
                let mode = self.habits.mode;
                self.device_frame(Code::Charge, seq, Body::Charge { card: *card, amount, time, mode })
            }
            Ask::Meal { card } => self.device_frame(Code::Meal, seq, Body::Meal { card: *card, time }),
            Ask::Scan { command, code, amount: raw } => {
                let amount = Amount { money: amount(raw).unwrap_or_default(), raw: raw.as_bytes() };
                self.device_frame(Code::Scan, seq, Body::Scan { command: *command, amount, time, code })
            }
            Ask::Door(door) => {
                let access = Access {
                    card: door.card,
                    card_raw: door.card.as_ref().map_or(b"", CardNo::as_bytes),
                    reader: door.reader,
                    door: door.relay,
                    open_seconds: door.open_seconds,
                    pin_kind: door.pin_kind,
                    pin: door.pin,
                    time,
                };
                self.device_frame(Code::Access, seq, Body::Access(access))
            }
            Ask::Keys { keys } => self.device_frame(Code::Keys, seq, Body::Keys { keys }),
            Ask::Upload(record) => {
                let held = self.records.len().max(1).to_string();
                let sale = OfflineSale {
                    card: None,
                    card_raw: &record.card,
                    amount: None,
                    amount_raw: &record.amount,
                    time,
                    time_raw: &record.time,
                    basis: Some(record.basis),
                    record: Text::new(),
                    record_raw: record.address.as_bytes(),
                    records_held: held.as_bytes(),
                };
                self.device_frame(Code::Offline, seq, Body::Offline(sale))
            }
        }
    }

    fn device_frame(&self, code: Code, seq: FrameSeq, body: Body<'_>) -> Vec<u8> {
        let serial = match code {
            Code::Confirm => None,
            Code::Boot | Code::Inquiry | Code::Charge | Code::Meal | Code::Offline => self.serial,
            Code::Keys | Code::Scan | Code::Access => self.serial,
        };
        emitted(&Request::Device(DeviceFrame {
            code,
            seq,
            device_ip: self.own_ip.as_bytes(),
            host_ip: self.host_ip.as_bytes(),
            machine: self.machine,
            serial,
            body,
        }))
    }

    fn found(&mut self) -> Vec<u8> {
        let seq = self.next_seq();
        emitted(&Request::Found(Found {
            seq: Some(seq),
            device_ip: self.own_ip.as_bytes(),
            mask: b"255.255.255.0",
            gateway: b"0.0.0.0",
            host_ip: self.host_ip.as_bytes(),
            port: b"39192",
            serial: self.serial,
        }))
    }
}

/// What a reply means for what was asked; `None` if it is about something else.
fn result_of(ask: &Ask, reply: &Reply<'_>) -> Option<Outcome> {
    let is_subject = |subject: &[u8]| match ask {
        Ask::Inquiry { card } | Ask::Charge { card, .. } | Ask::Meal { card } => subject == card.as_bytes(),
        Ask::Scan { command, .. } => subject == command.as_bytes(),
        Ask::Door(door) => subject == door.card.as_ref().map_or(&b""[..], CardNo::as_bytes),
        Ask::Boot | Ask::Keys { .. } | Ask::Upload(_) => false,
    };
    let is_sale = matches!(ask, Ask::Charge { .. } | Ask::Meal { .. } | Ask::Scan { .. });
    let is_inquiry = matches!(ask, Ask::Inquiry { .. });
    match reply {
        Reply::Approve { subject, amount, text, .. } => {
            let asked = match ask {
                Ask::Charge { amount, .. } | Ask::Scan { amount, .. } => amount,
                Ask::Meal { .. } => "0.00",
                Ask::Boot | Ask::Inquiry { .. } | Ask::Door(_) | Ask::Keys { .. } | Ask::Upload(_) => return None,
            };
            (is_subject(subject) && *amount == asked.as_bytes()).then(|| Outcome::Approved(text.to_vec()))
        }
        Reply::Decline { subject, text, .. } => {
            ((is_sale || is_inquiry) && is_subject(subject)).then(|| Outcome::Declined(text.to_vec()))
        }
        Reply::Show { text, .. } => is_inquiry.then(|| Outcome::Shown(text.to_vec())),
        Reply::Admit { card, text, reader, door, .. } => match ask {
            Ask::Door(asked) if is_subject(card) && (asked.reader, asked.relay) == (*reader, *door) => {
                Some(Outcome::Admitted(text.to_vec()))
            }
            _ => None,
        },
        Reply::Refuse { card, text, .. } => {
            (matches!(ask, Ask::Door(_)) && is_subject(card)).then(|| Outcome::Refused(text.to_vec()))
        }
        Reply::Release { card, amount, time, record, .. } => match ask {
            Ask::Upload(held) => {
                let is_time = *time == held.time || (*time == INVALID_TIME && Civil::parse(&held.time).is_none());
                let is_record = *record == held.address.as_bytes() && *card == held.card && *amount == held.amount;
                (is_record && is_time).then_some(Outcome::Released)
            }
            _ => None,
        },
        Reply::Discover | Reply::Ack { .. } | Reply::AskTime { .. } | Reply::SetClock { .. } => None,
    }
}

fn emitted(request: &Request<'_>) -> Vec<u8> {
    let mut out = Buffer::new();
    request.emit(&mut out);
    out.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Moment = Moment::from_millis;

    fn device(confirm: Confirm) -> Device {
        let habits = Habits { confirm, ..Habits::default() };
        let clock = (MS(0), Civil::parse(b"2026-11-22 12:00:00").expect("a date"));
        Device::new(MachineNo::from_value(2), Serial::try_from("1234567890").ok(), 1, clock, habits)
    }

    fn card() -> CardNo {
        CardNo::from_value(8_888_888_888)
    }

    fn charge() -> Ask {
        Ask::Charge { card: card(), amount: "5.50".to_owned() }
    }

    /// What came out, as text: frames as they are, outcomes by name.
    fn shown(effects: &mut Vec<Effect>) -> Vec<String> {
        let show = |effect| match effect {
            Effect::Send(frame) => String::from_utf8(frame).expect("ASCII"),
            Effect::Heard => "heard".to_owned(),
            Effect::Finished { outcome, .. } => format!("{outcome:?}"),
        };
        effects.drain(..).map(show).filter(|line| line != "heard").collect()
    }

    const CHARGE: &str = "103,00001,0.0.0.0,0.0.0.0,00002,8888888888,5.50,2026-11-22 12:00:00,1234567890";

    #[test]
    fn a_frame_that_is_not_heard_is_sent_three_times_in_all() {
        let (mut device, mut effects) = (device(Confirm::Named), Vec::new());
        device.start(MS(0), charge(), &mut effects);
        for now in [499, 500, 999, 1000, 1499] {
            device.tick(MS(now), &mut effects);
        }
        assert_eq!(shown(&mut effects), [CHARGE, CHARGE, CHARGE]);
        device.tick(MS(1500), &mut effects);
        assert_eq!(shown(&mut effects), ["Unheard"]);
        assert_eq!(device.next_deadline(), None);
    }

    #[test]
    fn a_frame_that_was_heard_waits_for_its_result() {
        let (mut device, mut effects) = (device(Confirm::Named), Vec::new());
        device.start(MS(0), charge(), &mut effects);
        device.receive(MS(10), b"001,00001", &mut effects);
        device.tick(MS(3000), &mut effects);
        assert_eq!(shown(&mut effects), [CHARGE]);
        device.tick(MS(3010), &mut effects);
        assert_eq!(shown(&mut effects), ["NoResult"]);
    }

    #[test]
    fn each_copy_of_a_command_is_confirmed_in_the_shape_of_the_device() {
        let approve = b"008,00002,8888888888,5.50,ok,20,0,1";
        for (confirm, rest) in
            [(Confirm::Bare, Some("")), (Confirm::Named, Some(",008,8888888888")), (Confirm::Never, None)]
        {
            let (mut device, mut effects) = (device(confirm), Vec::new());
            device.start(MS(0), charge(), &mut effects);
            device.receive(MS(10), b"001,00001", &mut effects);
            device.receive(MS(20), approve, &mut effects);
            device.receive(MS(30), approve, &mut effects);
            let confirms = |seq: u16| rest.map(|rest| format!("109,{seq:05},0.0.0.0,0.0.0.0,00002{rest}"));
            let outcome = "Approved([111, 107])".to_owned();
            let expected: Vec<_> =
                [Some(CHARGE.to_owned()), confirms(2), Some(outcome), confirms(3)].into_iter().flatten().collect();
            assert_eq!(shown(&mut effects), expected);
        }
    }

    #[test]
    fn a_result_for_another_sale_is_not_taken() {
        let (mut device, mut effects) = (device(Confirm::Never), Vec::new());
        device.start(MS(0), charge(), &mut effects);
        for other in [
            &b"001,00002"[..],
            b"008,00002,8888888888,5.51,ok,20,0,1",
            b"008,00002,8888888887,5.50,ok,20,0,1",
            b"006,00002,8888888887,no,20,0,6",
            b"009,00002,text,20,1,0",
            b"050,00002,8888888888,ok,20,1,0,1,1,5,20",
            b"051,00002,8888888888,no,20,1,3",
            b"011,00002,8888888888,5.50,2026-11-22 12:00:00,00000001",
            b"garbage",
        ] {
            device.receive(MS(10), other, &mut effects);
        }
        assert_eq!(shown(&mut effects), [CHARGE]);
    }

    #[test]
    fn a_sale_without_an_answer_is_booked_and_uploaded_until_it_is_released() {
        let (mut device, mut effects) = (device(Confirm::Named), Vec::new());
        device.set_white_list(&[card()]);
        device.start(MS(0), charge(), &mut effects);
        for now in [500, 1000, 1500] {
            device.tick(MS(now), &mut effects);
        }
        assert_eq!(shown(&mut effects)[3], "Booked");
        // While nothing is heard the next one is booked at once.
        device.start(MS(1600), Ask::Meal { card: card() }, &mut effects);
        assert_eq!(shown(&mut effects), ["Booked"]);
        assert_eq!(device.records_held(), 2);
        device.tick(MS(2499), &mut effects);
        device.tick(MS(2500), &mut effects);
        let upload = "105,00003,0.0.0.0,0.0.0.0,00002,8888888888,5.50,2026-11-22 12:00:00,0,00000001,2,1234567890";
        assert_eq!(shown(&mut effects), [upload]);
        device.receive(MS(2510), b"011,00002,8888888888,5.50,2026-11-22 12:00:00,00000002", &mut effects);
        device.receive(MS(2510), b"011,00002,8888888888,5.50,9999-99-99 99:99:99,00000001", &mut effects);
        assert_eq!(device.records_held(), 2, "neither is about this record");
        device.receive(MS(2520), b"011,00002,8888888888,5.50,2026-11-22 12:00:00,00000001", &mut effects);
        device.tick(MS(2520), &mut effects);
        let next = "105,00004,0.0.0.0,0.0.0.0,00002,8888888888,0.00,2026-11-22 12:00:01,1,00000002,1,1234567890";
        assert_eq!(shown(&mut effects), ["Released", next]);
    }

    #[test]
    fn a_record_without_a_valid_time_is_dropped_only_for_the_invalid_time() {
        let (mut device, mut effects) = (device(Confirm::Named), Vec::new());
        device.store("8888888888", "5.50", "2000-00-00 00:00:00", CountedIn::Amount);
        device.tick(MS(0), &mut effects);
        effects.clear();
        device.receive(MS(1), b"011,00002,8888888888,5.50,9999-99-99 99:99:99,00000001", &mut effects);
        assert_eq!(shown(&mut effects), ["Released"]);
    }

    #[test]
    fn power_on_counts_frames_from_the_start_and_the_server_sets_the_clock() {
        let (mut device, mut effects) = (device(Confirm::Named), Vec::new());
        device.start(MS(0), Ask::Keys { keys: b"F1".to_vec() }, &mut effects);
        device.receive(MS(0), b"001,00001", &mut effects);
        device.start(MS(1000), Ask::Boot, &mut effects);
        device.receive(MS(1000), b"001,00001", &mut effects);
        device.receive(MS(1000), b"003,00002,2027-01-01 00:00:00", &mut effects);
        assert_eq!(
            shown(&mut effects),
            [
                "106,00001,0.0.0.0,0.0.0.0,00002,F1,1234567890",
                "Heard",
                "101,00001,0.0.0.0,0.0.0.0,00002,2026-11-22 12:00:01,1234567890",
                "Heard"
            ]
        );
        assert_eq!(device.local(MS(3000)).to_string(), "2027-01-01 00:00:02");
    }

    #[test]
    fn a_search_and_a_question_for_the_time_are_answered() {
        let (mut device, mut effects) = (device(Confirm::Named), Vec::new());
        device.receive(MS(0), b"000", &mut effects);
        device.receive(MS(0), b"002,00002", &mut effects);
        assert_eq!(
            shown(&mut effects),
            [
                "100,00001,0.0.0.0,255.255.255.0,0.0.0.0,0.0.0.0,39192,1234567890",
                "101,00002,0.0.0.0,0.0.0.0,00002,2026-11-22 12:00:00,1234567890"
            ]
        );
    }
}
