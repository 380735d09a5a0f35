//! Many terminals in one thread: each sells as fast as it is answered.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt, sockopt};

use super::servers::{Kind, Running, Used};

/// Replies and frames that go in one call.
const BATCH: usize = 256;

/// A terminal that hears no result for so long sends its frame again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Before it is counted: caches are filled, accounts opened.
const WARM_UP_S: f64 = 0.4;

/// `103,00001,127.0.0.1,127.0.0.1,00001,8888000001,5.50,2026-11-22 12:00:00,1234567890`
const CHARGE: &[u8] = b"103,00000,127.0.0.1,127.0.0.1,00000,0000000000,5.50,2026-11-22 00:00:00,1234500000";
const CONFIRM: &[u8] = b"109,00000,127.0.0.1,127.0.0.1,00000";

struct Terminal {
    charge: [u8; CHARGE.len()],
    confirm: [u8; CONFIRM.len()],
    seq: u32,
    asked: Instant,
    waits: bool,
}

/// All terminals there may be, and one socket for them: a server tells them apart by machine number
/// and serial.
pub struct Crowd {
    terminals: Vec<Terminal>,
    cards: u32,
    drawn: u32,
    approved: [u64; 3],
}

/// What became of a round.
#[derive(Default)]
pub struct Tally {
    sales: u64,
    /// Frames sent again.
    pub again: u64,
    seconds: f64,
    used: Used,
    /// In microseconds, sorted.
    pub latencies: Vec<u32>,
    /// At a given rate: how much later than due each was sent, in microseconds, sorted.
    pub late: Vec<u32>,
}

impl Tally {
    pub fn rate(&self) -> f64 {
        self.sales as f64 / self.seconds
    }

    /// The time within which this part of the sales was answered.
    pub fn latency_us(&self, part: f64) -> f64 {
        part_of(&self.latencies, part)
    }

    /// CPU time of the server a sale.
    pub fn cpu_us(&self) -> f64 {
        self.used.cpu_s * 1e6 / self.sales as f64
    }

    pub fn system_us(&self) -> f64 {
        self.used.system_s * 1e6 / self.sales as f64
    }

    /// Sales a sync; of the echo, which writes nothing, none.
    pub fn sales_a_turn(&self) -> f64 {
        if self.used.syncs == 0 { 0.0 } else { self.sales as f64 / self.used.syncs as f64 }
    }
}

impl Crowd {
    pub fn new(cards: u32) -> Self {
        let terminal = |machine: u32| {
            let mut terminal = Terminal {
                charge: CHARGE.try_into().expect("as long"),
                confirm: CONFIRM.try_into().expect("as long"),
                seq: 0,
                asked: Instant::now(),
                waits: false,
            };
            digits(&mut terminal.charge[30..35], machine);
            digits(&mut terminal.charge[CHARGE.len() - 5..], machine);
            digits(&mut terminal.confirm[30..35], machine);
            terminal
        };
        Self { terminals: (0..=1024).map(terminal).collect(), cards, drawn: 1, approved: [0; 3] }
    }

    /// Approvals that came from a server in all rounds.
    pub fn approved_by(&self, kind: Kind) -> u64 {
        self.approved[kind as usize]
    }

    /// Lets so many terminals sell for so long.
    pub fn sell(&mut self, server: &mut Running, terminals: u16, seconds: f64) -> Tally {
        let mut line = Line::to(server.port);
        let begin = Instant::now();
        let (warm, end) = (Duration::from_secs_f64(WARM_UP_S), Duration::from_secs_f64(WARM_UP_S + seconds));
        let mut tally = Tally::default();
        let mut counted: Option<(Instant, Used)> = None;
        let count = usize::from(terminals);
        for machine in 1..=count {
            self.ask(machine, begin, &mut line);
        }
        line.flush();
        loop {
            let heard = line.hear();
            let now = Instant::now();
            if counted.is_none() && now - begin >= warm {
                counted = Some((now, server.used()));
            }
            if now - begin >= end {
                let (since, used) = counted.expect("it was warm before");
                tally.seconds = (now - since).as_secs_f64();
                tally.used = server.used().since(used);
                break;
            }
            for place in 0..heard {
                let Some(machine) = self.confirm(server.kind, &mut line, place) else { continue };
                if counted.is_some() {
                    let waited = now - self.terminals[machine].asked;
                    tally.sales += 1;
                    tally.latencies.push(micros(waited));
                }
                self.ask(machine, now, &mut line);
            }
            line.flush();
            if heard == 0 {
                for terminal in self.terminals[1..=count].iter().filter(|terminal| terminal.waits) {
                    tally.again += 1;
                    line.say(&terminal.charge);
                }
                line.flush();
            }
        }
        // What is still on its way is confirmed too: nothing is in doubt when the server is asked
        // again.
        while self.terminals.iter().any(|terminal| terminal.waits) && line.hear() > 0 {
            for place in 0..BATCH {
                self.confirm(server.kind, &mut line, place);
            }
            line.flush();
        }
        tally.latencies.sort_unstable();
        tally
    }

    /// Lets terminals sell at this rate for so long, whether the server keeps up or not: a sale's
    /// time counts from when it was due, also if every terminal waited then or this program did not
    /// run. What is due while it is warm is counted.
    pub fn sell_at(&mut self, server: &Running, terminals: u16, rate: f64, seconds: f64) -> Tally {
        let mut line = Line::to(server.port);
        let begin = Instant::now();
        let (warm, end) =
            (begin + Duration::from_secs_f64(WARM_UP_S), begin + Duration::from_secs_f64(WARM_UP_S + seconds));
        let due_at = |number: u32| begin + Duration::from_secs_f64(f64::from(number) / rate);
        let mut tally = Tally { seconds, ..Tally::default() };
        let mut idle: VecDeque<usize> = (1..=usize::from(terminals)).collect();
        let (mut due, mut number) = (VecDeque::new(), 0);
        let mut asked_again_at = begin + PATIENCE;
        loop {
            let now = Instant::now();
            if now >= end && due.is_empty() && idle.len() == usize::from(terminals) {
                break;
            }
            while due_at(number) <= now.min(end) {
                due.push_back(due_at(number));
                number += 1;
            }
            while let (Some(at), Some(machine)) = (due.front().copied(), idle.front().copied()) {
                (_, _) = (due.pop_front(), idle.pop_front());
                self.ask(machine, at, &mut line);
                if at >= warm {
                    tally.late.push(micros(now - at));
                }
            }
            if now >= asked_again_at {
                asked_again_at = now + PATIENCE;
                for terminal in
                    self.terminals.iter().filter(|terminal| terminal.waits && now - terminal.asked > PATIENCE)
                {
                    tally.again += 1;
                    line.say(&terminal.charge);
                }
            }
            line.flush();
            let until = if now < end { due_at(number) } else { now + PATIENCE };
            if !line.wait(until.saturating_duration_since(Instant::now())) {
                continue;
            }
            let heard = line.hear();
            let now = Instant::now();
            for place in 0..heard {
                let Some(machine) = self.confirm(server.kind, &mut line, place) else { continue };
                let asked = self.terminals[machine].asked;
                if asked >= warm {
                    tally.sales += 1;
                    tally.latencies.push(micros(now - asked));
                }
                idle.push_back(machine);
            }
            line.flush();
        }
        tally.latencies.sort_unstable();
        tally.late.sort_unstable();
        tally
    }

    /// Confirms the sale whose result this reply is; gives the machine number, if it is one and was
    /// waited for.
    fn confirm(&mut self, kind: Kind, line: &mut Line, place: usize) -> Option<usize> {
        let machine = line.result(place)?;
        let terminal = &mut self.terminals[machine];
        if !std::mem::take(&mut terminal.waits) {
            return None;
        }
        self.approved[kind as usize] += 1;
        terminal.seq = (terminal.seq + 1) % 65_536;
        digits(&mut terminal.confirm[4..9], terminal.seq);
        line.say(&terminal.confirm);
        Some(machine)
    }

    /// The next sale of a terminal: any card, a new number, the next second.
    fn ask(&mut self, machine: usize, now: Instant, line: &mut Line) {
        self.drawn = self.drawn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let card = (self.drawn >> 8) % self.cards;
        let terminal = &mut self.terminals[machine];
        terminal.seq = (terminal.seq + 1) % 65_536;
        let second = terminal.seq / 2 % 86_400;
        digits(&mut terminal.charge[4..9], terminal.seq);
        terminal.charge[36..46].copy_from_slice(b"8888000000");
        digits(&mut terminal.charge[41..46], card % 100_000);
        for (place, part) in [(63, second / 3600), (66, second / 60 % 60), (69, second % 60)] {
            digits(&mut terminal.charge[place..place + 2], part);
        }
        (terminal.asked, terminal.waits) = (now, true);
        line.say(&terminal.charge);
    }
}

impl Used {
    fn since(self, before: Self) -> Self {
        Self {
            cpu_s: self.cpu_s - before.cpu_s,
            system_s: self.system_s - before.system_s,
            syncs: self.syncs - before.syncs,
        }
    }
}

/// The figure that this part of sorted ones does not exceed.
pub fn part_of(sorted: &[u32], part: f64) -> f64 {
    let place = (sorted.len() as f64 * part) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default().into()
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

fn digits(place: &mut [u8], value: u32) {
    let mut rest = value;
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// The way to a server and back, in batches.
struct Line {
    socket: UdpSocket,
    incoming: MultiHeaders<SockaddrIn>,
    outgoing: MultiHeaders<SockaddrIn>,
    replies: Vec<[u8; 256]>,
    lens: Vec<usize>,
    frames: Vec<[u8; CHARGE.len()]>,
    frame_lens: Vec<usize>,
}

impl Line {
    fn to(port: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.connect(("127.0.0.1", port)).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        setsockopt(&socket, sockopt::RcvBufForce, &(8 << 20))
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &(8 << 20)))
            .expect("a buffer");
        Self {
            socket,
            incoming: MultiHeaders::preallocate(BATCH, None),
            outgoing: MultiHeaders::preallocate(BATCH, None),
            replies: vec![[0; 256]; BATCH],
            lens: vec![0; BATCH],
            frames: vec![[0; CHARGE.len()]; BATCH],
            frame_lens: Vec::with_capacity(BATCH),
        }
    }

    /// Waits for replies, for so long at most; returns whether there are any.
    fn wait(&self, time: Duration) -> bool {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        ppoll(&mut fds, Some(time.into()), None).is_ok_and(|ready| ready > 0)
    }

    /// Waits for replies; gives their number, 0 after [`PATIENCE`].
    fn hear(&mut self) -> usize {
        self.lens.fill(0);
        let mut slices: [[IoSliceMut; 1]; BATCH] = {
            let mut replies = self.replies.iter_mut();
            std::array::from_fn(|_| [IoSliceMut::new(replies.next().expect("as many"))])
        };
        let flags = MsgFlags::MSG_WAITFORONE;
        let Ok(received) = recvmmsg(self.socket.as_raw_fd(), &mut self.incoming, slices.iter_mut(), flags, None) else {
            return 0;
        };
        let mut count = 0;
        for message in received {
            self.lens[count] = message.bytes;
            count += 1;
        }
        count
    }

    /// The machine number of a result.
    fn result(&self, place: usize) -> Option<usize> {
        let reply = &self.replies[place][..self.lens[place]];
        let digits = reply.strip_prefix(b"008,")?.get(..5)?;
        Some(digits.iter().fold(0, |value, digit| value * 10 + usize::from(digit - b'0')))
    }

    fn say(&mut self, frame: &[u8]) {
        if self.frame_lens.len() == BATCH {
            self.flush();
        }
        self.frames[self.frame_lens.len()][..frame.len()].copy_from_slice(frame);
        self.frame_lens.push(frame.len());
    }

    fn flush(&mut self) {
        if self.frame_lens.is_empty() {
            return;
        }
        let slices: Vec<[IoSlice; 1]> =
            self.frames.iter().zip(&self.frame_lens).map(|(frame, len)| [IoSlice::new(&frame[..*len])]).collect();
        let to = vec![None; slices.len()];
        let _ = sendmmsg(self.socket.as_raw_fd(), &mut self.outgoing, &slices, &to, [], MsgFlags::empty());
        self.frame_lens.clear();
    }
}
