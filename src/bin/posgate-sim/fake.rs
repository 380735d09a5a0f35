//! A server for tests: the example's canteen in a few rules, honest or with one sin.
//!
//! It holds no ledger and sends nothing again; it is just good enough to play a day with.

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use posgate::engine::gbk;
use posgate::engine::model::{CardNo, Civil, Reason};
use posgate::engine::wire::{
    Access, Body, Buffer, Code, CountedIn, DeviceFrame, INVALID_TIME, OfflineSale, PinKind, Reply, Request, parse,
};

use crate::cast;
use crate::clock::Clock;

/// What a server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sin {
    /// Nothing.
    None,
    /// Forgets that it has answered a frame.
    ChargesRepeats,
    /// Does not know a sale that is tried again.
    ChargesRetries,
    /// Does not know a sale that the terminal booked as well.
    BooksMatchedSales,
    /// Lets every card pay.
    ApprovesEverything,
    /// Lets nobody pay.
    DeclinesEverything,
    /// Opens every door.
    OpensEveryDoor,
    /// Shows duress to the person at the door.
    ShowsDuress,
    /// Echoes a time that is no date.
    ReleasesBadTimes,
    /// Answers from another socket.
    AnswersFromElsewhere,
    /// Writes a code's amount its own way.
    RespellsAmounts,
    /// Is killed after a 001, and starts again soon.
    IsKilled,
    /// Is killed, and starts again when terminals have given up.
    IsKilledForLong,
    /// Says 001 to a sale and never its result.
    SwallowsOneResult,
    /// Hears everybody but one terminal.
    IgnoresOneTerminal,
}

impl Sin {
    /// All that a day notices; the others are a crowd's.
    pub const ALL: [Self; 10] = [
        Self::ChargesRepeats,
        Self::ChargesRetries,
        Self::BooksMatchedSales,
        Self::ApprovesEverything,
        Self::DeclinesEverything,
        Self::OpensEveryDoor,
        Self::ShowsDuress,
        Self::ReleasesBadTimes,
        Self::AnswersFromElsewhere,
        Self::RespellsAmounts,
    ];
}

/// A running server; it ends when dropped.
pub struct Fake {
    /// Where it listens.
    pub address: SocketAddrV4,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Starts one on a free port.
    pub fn start(sin: Sin) -> Self {
        let bind = || UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        let (socket, elsewhere) = (bind(), bind());
        let SocketAddr::V4(address) = socket.local_addr().expect("bound") else { unreachable!("an IPv4 socket") };
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let mut canteen = Canteen::new(sin);
            let mut buffer = [0; 2048];
            let clock = Clock::start();
            let (mut sales, mut away_until, mut ignored) = (0, Duration::ZERO, None);
            while let Ok((len, source)) = socket.recv_from(&mut buffer) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                if sin == Sin::IgnoresOneTerminal && source == *ignored.get_or_insert(source) {
                    continue;
                }
                if clock.now() < away_until {
                    continue;
                }
                let is_sale = buffer.starts_with(b"103");
                sales += u32::from(is_sale);
                let away_for = match sin {
                    Sin::IsKilled => Some(Duration::from_millis(150)),
                    Sin::IsKilledForLong => Some(Duration::from_millis(1500)),
                    Sin::SwallowsOneResult => Some(Duration::ZERO),
                    _ => None,
                };
                if let (Some(away_for), true, 10) = (away_for, is_sale, sales) {
                    let heard = canteen.handle(&buffer[..len]).swap_remove(0);
                    socket.send_to(&heard, source).expect("loopback takes a datagram");
                    away_until = clock.now() + away_for;
                    continue;
                }
                let from = if sin == Sin::AnswersFromElsewhere { &elsewhere } else { &socket };
                for reply in canteen.handle(&buffer[..len]) {
                    from.send_to(&reply, source).expect("loopback takes a datagram");
                }
            }
        });
        Self { address, is_over, thread: Some(thread) }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Anything wakes it.
        let woken = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"", self.address));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            thread.join().expect("the fake server does not panic");
        }
    }
}

/// A sale's name: machine, card and amount.
type Sale = (u64, u64, Vec<u8>);

struct Canteen {
    sin: Sin,
    moved: HashMap<u64, i64>,
    day_sum: i64,
    /// Frames answered.
    known: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    /// Sales in doubt, and their answer.
    doubtful: HashMap<Sale, Vec<u8>>,
    /// Sales booked, with their time.
    booked: HashSet<(Sale, Vec<u8>)>,
    confirming: HashSet<u64>,
}

impl Canteen {
    fn new(sin: Sin) -> Self {
        Self {
            sin,
            moved: HashMap::new(),
            day_sum: 0,
            known: HashMap::new(),
            doubtful: HashMap::new(),
            booked: HashSet::new(),
            confirming: HashSet::new(),
        }
    }

    fn handle(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let Ok(Request::Device(frame)) = parse(datagram) else {
            return Vec::new();
        };
        let machine = frame.machine.value();
        if frame.code == Code::Confirm {
            self.doubtful.retain(|(of, ..), _| *of != machine);
            self.confirming.insert(machine);
            return Vec::new();
        }
        let is_known = self.known.contains_key(datagram) && self.sin != Sin::ChargesRepeats;
        if !is_known {
            let answer = self.decide(&frame);
            self.known.insert(datagram.to_vec(), answer);
        }
        let mut replies = vec![emitted(&Reply::Ack { seq: frame.seq })];
        replies.extend(self.known[datagram].clone());
        replies
    }

    fn decide(&mut self, frame: &DeviceFrame<'_>) -> Vec<Vec<u8>> {
        let machine = frame.machine;
        match &frame.body {
            Body::Boot { .. } => vec![emitted(&Reply::SetClock { machine, time: Civil(1_795_348_800) })],
            Body::Inquiry { card } => {
                let text = gbk::encode(&format!("余额:{}\\n状态:卡可正常使用\\n", self.balance(card.value())));
                vec![emitted(&Reply::Show { machine, text: &text, trailer: b"20,1,0" })]
            }
            Body::Charge { card, amount, time, .. } => {
                let sale = (machine.value(), card.value(), amount.raw.to_vec());
                let fen = i64::from(amount.money.fen());
                vec![self.sell(frame, sale, *card, card.as_bytes(), amount.raw, fen, time.raw.as_bytes())]
            }
            Body::Meal { card, time } => {
                let sale = (machine.value(), card.value(), b"meal".to_vec());
                vec![self.sell(frame, sale, *card, card.as_bytes(), b"0.00", 0, time.raw.as_bytes())]
            }
            Body::Scan { command, amount, time, code } => {
                let card = match core::str::from_utf8(code) {
                    Ok(cast::MEMBER_CODE) => cast::MEMBER,
                    Ok(cast::COMMA_CODE) => cast::MERCHANT,
                    _ => return vec![Self::decline(frame, command.as_bytes(), Reason::ForeignCode)],
                };
                let sale = (machine.value(), card, command.as_bytes().to_vec());
                let fen = i64::from(amount.money.fen());
                let time = time.raw.as_bytes();
                vec![self.sell(frame, sale, cast::card(card), command.as_bytes(), amount.raw, fen, time)]
            }
            Body::Offline(sale) => vec![self.book(frame, sale)],
            Body::Access(access) => vec![self.open(frame, access)],
            Body::Keys { .. } | Body::Confirm { .. } | Body::Malformed(_) => Vec::new(),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "a test's helper")]
    fn sell(
        &mut self,
        frame: &DeviceFrame<'_>,
        sale: Sale,
        card: CardNo,
        subject: &[u8],
        amount: &[u8],
        fen: i64,
        time: &[u8],
    ) -> Vec<u8> {
        if let Some(answer) = self.doubtful.get(&sale)
            && self.sin != Sin::ChargesRetries
            && self.confirming.contains(&sale.0)
            && frame.code != Code::Scan
        {
            return answer.clone();
        }
        if let Some(reason) = self.refusal(sale.0, card.value(), frame.code, fen) {
            return Self::decline(frame, subject, reason);
        }
        *self.moved.entry(account(card.value())).or_default() += fen;
        if card.value() == cast::DAY_MAX {
            self.day_sum += fen;
        }
        let text = gbk::encode(&format!("姓名:张三 {{{}}}\\n", self.balance(card.value())));
        let is_respelled = self.sin == Sin::RespellsAmounts && frame.code == Code::Scan;
        let spelled = if is_respelled { b"5.5" } else { amount };
        let answer = emitted(&Reply::Approve {
            machine: frame.machine,
            subject,
            amount: spelled,
            text: &text,
            trailer: b"20,0,1",
        });
        self.doubtful.insert(sale.clone(), answer.clone());
        self.booked.insert((sale, time.to_vec()));
        answer
    }

    fn refusal(&self, machine: u64, card: u64, code: Code, fen: i64) -> Option<Reason> {
        match self.sin {
            Sin::ApprovesEverything => return None,
            Sin::DeclinesEverything => return Some(Reason::Frozen),
            _ => (),
        }
        let is_count = fen == 0;
        match card {
            cast::STRANGER => Some(Reason::UnknownCard),
            cast::CLOSED => Some(Reason::Closed),
            cast::LOST => Some(Reason::Lost),
            cast::FROZEN => Some(Reason::Frozen),
            cast::NOT_YET => Some(Reason::NotYetValid),
            cast::EXPIRED => Some(Reason::Expired),
            cast::VISITOR if machine == 2 => Some(Reason::Group),
            cast::CHARGE_MAX if fen > 2000 => Some(Reason::ChargeMax),
            cast::DAY_MAX if self.day_sum + fen > 5000 => Some(Reason::DayMax),
            cast::EMPTY | cast::NO_USES if is_count || code == Code::Meal => Some(Reason::Uses),
            cast::EMPTY | cast::DEBTOR => Some(Reason::Balance),
            _ => None,
        }
    }

    fn decline(frame: &DeviceFrame<'_>, subject: &[u8], reason: Reason) -> Vec<u8> {
        let text = gbk::encode(&format!("状态:{}\\n", reason.text()));
        emitted(&Reply::Decline { machine: frame.machine, subject, text: &text, trailer: b"20,0,6" })
    }

    fn book(&mut self, frame: &DeviceFrame<'_>, sale: &OfflineSale<'_>) -> Vec<u8> {
        let card = sale.card.map_or(0, |card| card.value());
        let amount = if sale.basis == Some(CountedIn::Count) { b"meal" } else { sale.amount_raw };
        let key = ((frame.machine.value(), card, amount.to_vec()), sale.time_raw.to_vec());
        let is_new = self.booked.insert(key);
        if is_new || self.sin == Sin::BooksMatchedSales {
            *self.moved.entry(account(card)).or_default() += sale.amount.map_or(0, |amount| i64::from(amount.fen()));
        }
        let is_date = Civil::parse(sale.time_raw).is_some() || self.sin == Sin::ReleasesBadTimes;
        emitted(&Reply::Release {
            machine: frame.machine,
            card: sale.card_raw,
            amount: sale.amount_raw,
            time: if is_date { sale.time_raw } else { INVALID_TIME },
            record: sale.record_raw,
        })
    }

    fn open(&self, frame: &DeviceFrame<'_>, access: &Access<'_>) -> Vec<u8> {
        let pin = access.pin.map(|pin| pin.digits().to_string()).unwrap_or_default();
        let card = access.card.map_or(0, |card| card.value());
        let reason = match (card, access.door.value(), access.pin_kind) {
            _ if self.sin == Sin::OpensEveryDoor => None,
            (_, 3.., _) => Some(Reason::NoDoor),
            (0, 1, PinKind::DoorPin) if pin == cast::OPEN_PIN => None,
            (0, ..) => Some(Reason::Pin),
            (cast::LOST, ..) => Some(Reason::Lost),
            (cast::STRANGER, ..) => Some(Reason::UnknownCard),
            (cast::WANG, 1, _) => Some(Reason::DoorGroup),
            (cast::ZHANG, 1, _) if pin != cast::ZHANG_PIN && pin != cast::ZHANG_DURESS => Some(Reason::Pin),
            (cast::LI, 1, _) if pin != cast::LI_PIN => Some(Reason::Pin),
            _ => None,
        };
        let machine = frame.machine;
        let Some(reason) = reason else {
            let is_shown = self.sin == Sin::ShowsDuress && access.pin_kind == PinKind::Duress;
            let text = gbk::encode(if is_shown { "状态:胁迫\\n" } else { "状态:欢迎光临\\n" });
            return emitted(&Reply::Admit {
                machine,
                card: access.card_raw,
                text: &text,
                trailer: b"20,1,0",
                reader: access.reader,
                door: access.door,
                relay_s: 5,
                left_open_s: 20,
            });
        };
        let text = gbk::encode(&format!("状态:{}\\n", reason.text()));
        emitted(&Reply::Refuse { machine, card: access.card_raw, text: &text, trailer: b"20,1,3" })
    }

    fn balance(&self, card: u64) -> posgate::engine::model::Balance {
        let moved = self.moved.get(&account(card)).copied().unwrap_or_default();
        posgate::engine::model::Balance::from_fen(2_000_000 - moved)
    }
}

fn account(card: u64) -> u64 {
    if card == cast::SON { cast::FATHER } else { card }
}

fn emitted(reply: &Reply<'_>) -> Vec<u8> {
    let mut out = Buffer::new();
    reply.emit(&mut out);
    out.to_vec()
}
