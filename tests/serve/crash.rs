//! kill -9 in the middle of a lunch, again and again.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::harness::{Device, Ledger, Reply, Server, Site, card, read_reply};

const ROUNDS: usize = 12;
const DEVICES: u32 = 4;

/// A terminal that keeps paying, as real ones do: the same frame again until it is answered.
struct Payer {
    device: Device,
    /// Whether it sends 109s.
    confirms: bool,
    /// The frame on its way, its amount, and whether it was answered.
    frame: String,
    amount: String,
    approved: Vec<(String, String)>,
    answer: Option<Reply>,
}

impl Payer {
    fn new(machine: u32, server: &Server) -> Self {
        Self {
            device: Device::new(machine, server),
            confirms: machine.is_multiple_of(2),
            frame: String::new(),
            amount: String::new(),
            approved: Vec::new(),
            answer: None,
        }
    }

    /// No two sales of a device are of one amount: whose 008 it is, the amount tells.
    fn next_sale(&mut self) {
        let fen = self.device.seq + 1;
        self.amount = format!("{}.{:02}", fen / 100, fen % 100);
        let card = card(u64::from(fen % 12) + 1);
        self.frame = self.device.charge(&card, &self.amount);
        self.answer = None;
    }

    /// Sends the frame until its 008 comes; `None` if the server is gone.
    fn ask(&mut self) -> Option<Reply> {
        let mut buffer = [0; 2048];
        self.device.socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        'send: loop {
            match self.device.socket.send(self.frame.as_bytes()) {
                Ok(_) => (),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return None,
                Err(error) => panic!("{error}"),
            }
            loop {
                match self.device.socket.recv(&mut buffer) {
                    Ok(len) => {
                        let reply = read_reply(&buffer[..len]);
                        assert_ne!(reply.code(), "006", "{reply:?} to {}", self.frame);
                        if reply.code() == "008" && reply.fields[3] == self.amount {
                            return Some(reply);
                        }
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue 'send,
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => return None,
                    Err(error) if error.kind() == ErrorKind::Interrupted => (),
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Pays until the server is gone.
    fn pay_on(&mut self, port: u16, approvals: &Sender<()>) {
        self.device.turn_to_address(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
        if let Some(first) = self.answer.clone() {
            // What was answered before the crash is answered the same after it.
            let Some(again) = self.ask() else { return };
            assert_eq!(again, first, "the same frame, another answer");
        }
        loop {
            if self.answer.is_some() || self.frame.is_empty() {
                self.next_sale();
            }
            let Some(reply) = self.ask() else { return };
            let seq = self.frame.split(',').nth(1).unwrap().to_owned();
            self.approved.push((seq, self.amount.clone()));
            self.answer = Some(reply);
            let _ = approvals.send(());
            if self.confirms {
                self.device.seq += 1;
                let (seq, machine, serial) = (self.device.seq, &self.device.machine, &self.device.serial);
                let confirm = format!("109,{seq:05},{},127.0.0.1,{machine},{serial}", self.device.address);
                if self.device.socket.send(confirm.as_bytes()).is_err() {
                    return;
                }
            }
        }
    }
}

fn kill_after(server: Server, approvals: &Receiver<()>, count: usize) {
    for _ in 0..count {
        approvals.recv_timeout(crate::harness::PATIENCE).expect("sales go on");
    }
    server.kill();
}

fn every_approval_is_charged_once(ledger: &Ledger, payers: &[Payer]) {
    let mut charges: HashMap<(String, String), Vec<&str>> = HashMap::new();
    for line in ledger.of_kind("charge") {
        let frame = (line.raw("machine").to_owned(), line.raw("frame").to_owned());
        charges.entry(frame).or_default().push(line.raw("amount"));
    }
    for (frame, amounts) in &charges {
        assert_eq!(amounts.len(), 1, "frame {frame:?} was charged {amounts:?}");
    }
    for payer in payers {
        for (seq, amount) in &payer.approved {
            let frame = (payer.device.machine.clone(), seq.clone());
            assert_eq!(charges.get(&frame), Some(&vec![format!("-{amount}").as_str()]), "frame {frame:?}");
        }
    }
    assert_eq!(ledger.count("decline"), 0);
}

#[test]
fn killed_in_mid_load_again_and_again_every_approved_sale_is_charged_once() {
    let site = Site::new();
    let mut payers: Vec<Payer> = Vec::new();
    let mut last_seq = 0;
    for round in 0..ROUNDS {
        let server = site.start();
        if payers.is_empty() {
            payers = (1..=DEVICES).map(|machine| Payer::new(machine, &server)).collect();
        }
        let (sender, approvals) = channel();
        std::thread::scope(|scope| {
            for payer in &mut payers {
                let (sender, port) = (sender.clone(), server.port);
                scope.spawn(move || payer.pay_on(port, &sender));
            }
            kill_after(server, &approvals, 15 + 7 * round);
        });
        let ledger = site.ledger();
        assert!(ledger.lines.len() > last_seq, "round {round}: nothing that was answered is gone");
        last_seq = ledger.lines.len();
        let verified = site.run(&["ledger", "verify", "--config", "CONFIG"]);
        assert_eq!(verified.code, Some(i32::from(ledger.torn > 0)), "{}", verified.out);
        every_approval_is_charged_once(&ledger, &payers);
    }
    site.start().stop();
    let ledger = site.ledger();
    assert_eq!(ledger.torn, 0);
    every_approval_is_charged_once(&ledger, &payers);
    let approved: usize = payers.iter().map(|payer| payer.approved.len()).sum();
    let charges = ledger.count("charge");
    // At most one sale a terminal may be on its way: charged, its 008 not yet heard.
    assert!((approved..=approved + payers.len()).contains(&charges), "{charges} charges, {approved} approvals");
    for number in 1..=12_u64 {
        let account = format!("A{number:05}");
        let sales = ledger.of_kind("charge").filter(|line| line.get("account") == Some(&account));
        let spent: i64 = sales.map(|line| -line.fen("amount")).sum();
        assert_eq!(ledger.sum(&account), 100_000 - spent);
    }
}
