//! A terminal that goes on as real ones do: the same frame again until it is answered, whatever
//! server answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::harness::{CARDS, DEVICE_TIME, Ledger, Reply, card, card_table, read_reply};

/// Between two sends of a frame.
const INTERVAL: Duration = Duration::from_millis(200);

/// What a terminal keeps doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trade {
    /// 103s, each 008 confirmed by a 109.
    Sales,
    /// 103s, never a 109.
    MuteSales,
    /// Stored sales: 105s.
    Records,
    /// 150s.
    Doors,
}

const TRADES: [Trade; 4] = [Trade::Sales, Trade::MuteSales, Trade::Records, Trade::Doors];

/// The machine number that has a door.
pub fn trade_of(machine: u32) -> Trade {
    TRADES[machine as usize % TRADES.len()]
}

/// Why a terminal stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Nobody listens any more.
    Gone,
    /// A sale was refused; the words on the display.
    Refused(String),
}

pub struct Terminal {
    pub trade: Trade,
    pub machine: String,
    serial: String,
    address: Ipv4Addr,
    socket: UdpSocket,
    seq: u32,
    /// The frame on its way, and its answer if it has come.
    frame: String,
    answer: Option<Reply>,
    /// Frame number and amount (or record address) of all that was answered.
    pub answered: Vec<(String, String)>,
}

impl Terminal {
    pub fn new(machine: u32) -> Self {
        let [high, low] = u16::try_from(machine).unwrap().to_be_bytes();
        let address = Ipv4Addr::new(127, 2, high, low);
        Self {
            trade: trade_of(machine),
            machine: format!("{machine:05}"),
            serial: format!("{:010}", machine + 2_000_000),
            address,
            socket: UdpSocket::bind((address, 0)).expect("a free port"),
            seq: 0,
            frame: String::new(),
            answer: None,
            answered: Vec::new(),
        }
    }

    /// Asks this server from now on.
    pub fn turn_to(&mut self, port: u16) {
        self.socket = UdpSocket::bind((self.address, 0)).expect("a free port");
        self.socket.connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).expect("connected");
        self.socket.set_read_timeout(Some(INTERVAL)).expect("set");
    }

    fn build(&mut self, code: &str, fields: &str) {
        self.seq += 1;
        let Self { seq, address, machine, serial, .. } = self;
        self.frame = format!("{code},{seq:05},{address},127.0.0.1,{machine},{fields},{serial}");
        self.answer = None;
    }

    /// No two sales of a terminal are of one amount, no two records of one address: whose answer it
    /// is, that tells.
    fn next_frame(&mut self) {
        let next = self.seq + 1;
        let card = card(u64::from(next % 12) + 1);
        let amount = format!("{}.{:02}", next / 100, next % 100);
        match self.trade {
            Trade::Sales | Trade::MuteSales => self.build("103", &format!("{card},{amount},{DEVICE_TIME}")),
            Trade::Records => self.build("105", &format!("{card},{amount},{DEVICE_TIME},0,{next:08},3")),
            Trade::Doors => self.build("150", &format!("{card},1,1,0,0,,2024-02-29 {}", clock(next))),
        }
    }

    /// What tells this frame's answer from others'.
    fn mark(&self) -> String {
        let fields: Vec<&str> = self.frame.split(',').collect();
        match self.trade {
            Trade::Sales | Trade::MuteSales => fields[6].to_owned(),
            Trade::Records => fields[9].to_owned(),
            Trade::Doors => fields[5].to_owned(),
        }
    }

    fn is_answer(&self, reply: &Reply) -> bool {
        let at = |index: usize| reply.fields.get(index).map_or("", String::as_str);
        let mark = self.mark();
        match self.trade {
            Trade::Sales | Trade::MuteSales => reply.code() == "008" && at(3) == mark,
            Trade::Records => reply.code() == "011" && at(5) == mark,
            Trade::Doors => reply.code() == "050" && at(2) == mark,
        }
    }

    fn ask(&mut self) -> Result<Reply, Stopped> {
        let mut buffer = [0; 2048];
        'send: loop {
            if self.socket.send(self.frame.as_bytes()).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
            {
                return Err(Stopped::Gone);
            }
            loop {
                match self.socket.recv(&mut buffer) {
                    Ok(len) => {
                        let reply = read_reply(&buffer[..len]);
                        if self.is_answer(&reply) {
                            return Ok(reply);
                        }
                        if matches!(reply.code(), "006" | "051") {
                            return Err(Stopped::Refused(reply.text));
                        }
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue 'send,
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Err(Stopped::Gone),
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Goes on until the server is gone or refuses.
    pub fn go_on(&mut self, answers: &Sender<()>) -> Stopped {
        match self.answer.clone() {
            // Doors open again only in the same run.
            Some(_) if self.trade == Trade::Doors => (),
            Some(first) => match self.ask() {
                Ok(again) => assert_eq!(again, first, "the same frame, another answer: {}", self.frame),
                Err(stopped) => return stopped,
            },
            // What was committed and not answered before the crash is a recording after it: no door
            // opens for it.
            None if self.trade == Trade::Doors => self.frame.clear(),
            None => (),
        }
        loop {
            if self.answer.is_some() || self.frame.is_empty() {
                self.next_frame();
            }
            let reply = match self.ask() {
                Ok(reply) => reply,
                Err(stopped) => return stopped,
            };
            let seq = self.frame.split(',').nth(1).unwrap().to_owned();
            self.answered.push((seq, self.mark()));
            self.answer = Some(reply);
            let _ = answers.send(());
            if self.trade == Trade::Sales {
                self.seq += 1;
                let confirm = format!("109,{:05},{},127.0.0.1,{}", self.seq, self.address, self.machine);
                if self.socket.send(confirm.as_bytes()).is_err() {
                    return Stopped::Gone;
                }
            }
        }
    }
}

/// A door on each of so many boards, for every card.
pub fn doors_of(terminals: u32) -> String {
    (1..=terminals).fold(String::new(), |text, machine| {
        text + &format!("config door\n\toption machine '{machine}'\n\toption door '1'\n")
    })
}

/// Cards that no test empties.
pub fn rich_cards() -> String {
    card_table(CARDS).replace("1000.00", "9000000.00")
}

/// `HH:MM:SS` of so many seconds.
fn clock(second: u32) -> String {
    format!("{:02}:{:02}:{:02}", second / 3600 % 24, second / 60 % 60, second % 60)
}

/// Every answer has its one entry, nothing was charged or booked twice, and every account is what
/// its entries say.
pub fn assert_kept(ledger: &Ledger, terminals: &[Terminal]) {
    let mut found: BTreeMap<(&str, &str, String), u32> = BTreeMap::new();
    let is_own = |machine: &str| terminals.iter().any(|terminal| terminal.machine == machine);
    for line in ledger.lines.iter().filter(|line| is_own(line.raw("machine"))) {
        let (kind, mark) = match line.kind() {
            "charge" => ("charge", line.raw("amount").trim_start_matches('-').to_owned()),
            "offline" => ("offline", line.raw("slot").to_owned()),
            "admit" => ("admit", line.raw("frame").to_owned()),
            "decline" | "matched" => panic!("nothing here is refused, or booked twice by two ways: {line:?}"),
            _ => continue,
        };
        *found.entry((kind, line.raw("machine"), mark)).or_default() += 1;
    }
    for (what, times) in &found {
        assert_eq!(*times, 1, "{what:?} stands {times} times");
    }
    for terminal in terminals {
        for (seq, mark) in &terminal.answered {
            let (kind, mark) = match terminal.trade {
                Trade::Sales | Trade::MuteSales => ("charge", mark),
                Trade::Records => ("offline", mark),
                Trade::Doors => ("admit", seq),
            };
            let is_kept = found.contains_key(&(kind, terminal.machine.as_str(), mark.clone()));
            assert!(is_kept, "{kind} {mark} of {} was answered and is lost", terminal.machine);
        }
    }
    let accounts: BTreeSet<&str> = ledger.lines.iter().filter_map(|line| line.get("account")).collect();
    for account in accounts {
        let mut sum = 0;
        for line in ledger.lines.iter().filter(|line| line.get("account") == Some(account)) {
            sum += line.fen("amount");
            assert_eq!(line.fen("balance"), sum, "{line:?}");
        }
    }
}
