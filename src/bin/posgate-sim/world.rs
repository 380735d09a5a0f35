//! The world around the devices: their sockets, the time, and a network as bad as one likes.
//!
//! One thread drives everything. A datagram passes, on its way out, the simulated network and then
//! the judge; on its way back, the judge and then the simulated network: what was lost here is
//! never held against the server.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use posgate::engine::gbk;
use posgate::engine::model::{FrameSeq, MachineNo};

use crate::clock::{Clock, Moment};
use crate::device::{Ask, Device, Effect, Outcome};
use crate::judge::{HEARD_WITHIN, Judge, Terms};
use crate::random::Random;

/// What the network between devices and server does, in both directions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Percent of datagrams that get lost.
    pub loss: u8,
    /// Percent of datagrams that arrive twice.
    pub dup: u8,
    /// Each datagram takes up to this long.
    pub delay: Duration,
}

/// Something asked that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// At which device.
    pub station: usize,
    /// What it was.
    pub ask: Ask,
    /// How it ended, as the device saw it.
    pub outcome: Outcome,
    /// Whether the server really said this of this frame: on a bad network a late copy of an
    /// earlier result may be taken for it, since results do not name their frame.
    pub is_own: bool,
    /// Whether nobody can know what came of it: it got no answer, and the server was away
    /// meanwhile.
    pub is_unknown: bool,
    /// From the first send to the first 001.
    pub heard_after: Option<Duration>,
    /// From the first send to the end.
    pub after: Duration,
}

/// A device with its socket, its judge and its part of the network.
struct Station {
    device: Device,
    judge: Judge,
    socket: UdpSocket,
    /// Nothing passes in either direction.
    is_cut: bool,
    /// Every frame goes out twice.
    is_doubling: bool,
    /// Replies of these codes get lost.
    deaf_to: Vec<u16>,
    asked_at: Moment,
    heard_after: Option<Duration>,
}

/// When the server was away, as a killed one is until its new start, judged from what the devices
/// see of it.
///
/// Whoever was told "heard" by a server that died gets no result from it, and no server promises
/// one then. A server that lives and hears everybody has no such excuse.
#[derive(Debug, Default)]
struct Outages {
    /// When the newest frame was sent that the server did not hear.
    unheard_at: Option<Moment>,
    /// When it said something last.
    replied_at: Moment,
    /// Its last long silences.
    silences: VecDeque<(Moment, Moment)>,
}

impl Outages {
    /// Silences remembered: a frame ends seconds after it was sent.
    const SILENCES_MAX: usize = 16;

    fn unheard(&mut self, at: Moment) {
        self.unheard_at = self.unheard_at.max(Some(at));
    }

    fn replied(&mut self, now: Moment) {
        if now >= self.replied_at + HEARD_WITHIN {
            self.silences.push_back((self.replied_at, now));
        }
        if self.silences.len() > Self::SILENCES_MAX {
            self.silences.pop_front();
        }
        self.replied_at = now;
    }

    /// Whether the server was away since: it did not hear what somebody sent after it had heard
    /// this frame.
    fn may_have_cut_off(&self, heard_at: Moment) -> bool {
        self.unheard_at.is_some_and(|unheard_at| unheard_at >= heard_at)
    }

    /// Whether the server said nothing to anybody while this frame was sent again and again.
    fn have_covered(&self, first_at: Moment, last_at: Moment) -> bool {
        let still = (self.replied_at, Moment::MAX);
        // What it said to others as it died may come a little later.
        self.silences.iter().chain([&still]).any(|(from, to)| *from <= first_at + HEARD_WITHIN && *to >= last_at)
    }
}

/// A datagram on its way.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Moment,
    /// Keeps the order of what is due at once.
    number: u64,
    station: usize,
    is_outward: bool,
    datagram: Vec<u8>,
}

/// Devices, time and network.
pub struct World {
    clock: Clock,
    poll: Poll,
    events: Events,
    server: SocketAddrV4,
    weather: Weather,
    terms: Terms,
    random: Random,
    stations: Vec<Station>,
    flights: BinaryHeap<Reverse<Flight>>,
    flights_made: u64,
    finished: VecDeque<Finished>,
    broken: u32,
    outages: Outages,
    sent: u64,
    is_tracing: bool,
}

impl World {
    /// No devices yet.
    ///
    /// # Errors
    /// If the system gives no poll.
    pub fn new(server: SocketAddrV4, weather: Weather, terms: Terms, random: Random) -> io::Result<Self> {
        Ok(Self {
            clock: Clock::start(),
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            server,
            weather,
            terms: Terms { is_ordered: server.ip().is_loopback(), ..terms },
            random,
            stations: Vec::new(),
            flights: BinaryHeap::new(),
            flights_made: 0,
            finished: VecDeque::new(),
            broken: 0,
            outages: Outages::default(),
            sent: 0,
            is_tracing: false,
        })
    }

    /// Prints every datagram from now on.
    pub fn trace(&mut self) {
        self.is_tracing = true;
    }

    /// Adds a device; gives its place. On loopback it has an address of its own.
    ///
    /// # Errors
    /// If no socket can be bound.
    pub fn add(&mut self, mut device: Device) -> io::Result<usize> {
        let own = address_of(device.machine());
        let bound = if self.server.ip().is_loopback() { bind(own) } else { bind(Ipv4Addr::UNSPECIFIED) };
        // Not every system has all of 127.0.0.0/8.
        let mut socket = bound.or_else(|_| bind(Ipv4Addr::UNSPECIFIED)).map_err(|error| {
            let hint = if error.raw_os_error() == Some(24) { " (raise `ulimit -n`)" } else { "" };
            io::Error::new(error.kind(), format!("binding a socket for machine {}: {error}{hint}", device.machine()))
        })?;
        let station = self.stations.len();
        self.poll.registry().register(&mut socket, Token(station), Interest::READABLE)?;
        let local = socket.local_addr()?.ip();
        device.set_addresses(local.to_string(), self.server.ip().to_string());
        let judge = Judge::new(self.terms);
        self.stations.push(Station {
            device,
            judge,
            socket,
            is_cut: false,
            is_doubling: false,
            deaf_to: Vec::new(),
            asked_at: Moment::ZERO,
            heard_after: None,
        });
        Ok(station)
    }

    /// Time since the start.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The device at a place.
    pub fn device(&mut self, station: usize) -> &mut Device {
        &mut self.stations[station].device
    }

    /// The judge of the device at a place.
    pub fn judge(&self, station: usize) -> &Judge {
        &self.stations[station].judge
    }

    /// Cuts a device off, or connects it again.
    pub fn cut(&mut self, station: usize, is_cut: bool) {
        self.stations[station].is_cut = is_cut;
    }

    /// Sends every frame of a device twice, or once again.
    pub fn double(&mut self, station: usize, is_doubling: bool) {
        self.stations[station].is_doubling = is_doubling;
    }

    /// Loses replies of these codes on the way to a device.
    pub fn deafen(&mut self, station: usize, codes: &[u16]) {
        self.stations[station].deaf_to = codes.to_vec();
    }

    /// Whether late copies are about: a result, or a 109, may then be taken for another frame's.
    pub fn is_bad(&self) -> bool {
        self.weather.loss > 0 || !self.weather.delay.is_zero()
    }

    /// Datagrams that really went out.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Promises broken so far.
    pub fn broken(&self) -> u32 {
        self.broken
    }

    /// 109s that really went out, one a result.
    pub fn confirmed(&self) -> u32 {
        self.stations.iter().map(|station| station.judge.confirmed()).sum()
    }

    /// Says and counts that a promise was broken.
    pub fn breach(&mut self, station: usize, what: &str) {
        self.broken += 1;
        println!("{} {} BROKEN {what}", Self::time_of_day(), self.stations[station].device.machine());
    }

    /// The local time for a line of print.
    pub fn time_of_day() -> String {
        Clock::local().to_string().split_off(11)
    }

    /// Somebody does something at an idle device.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn start(&mut self, station: usize, ask: Ask) -> io::Result<()> {
        let now = self.now();
        self.stations[station].asked_at = now;
        self.stations[station].heard_after = None;
        let mut effects = Vec::new();
        self.stations[station].device.start(now, ask, &mut effects);
        self.perform(now, station, effects)
    }

    /// Lets things happen until the moment, or until something ends.
    ///
    /// # Errors
    /// If a socket or the poll fails.
    pub fn step(&mut self, until: Moment) -> io::Result<()> {
        let now = self.now();
        while self.flights.peek().is_some_and(|Reverse(flight)| flight.at <= now) {
            let Some(Reverse(flight)) = self.flights.pop() else { break };
            self.land(now, &flight)?;
        }
        for station in 0..self.stations.len() {
            if self.stations[station].device.next_deadline().is_some_and(|deadline| deadline <= now) {
                let was_idle = self.stations[station].device.is_idle();
                let mut effects = Vec::new();
                self.stations[station].device.tick(now, &mut effects);
                if was_idle {
                    // The device began to send what it had stored.
                    self.stations[station].asked_at = now;
                    self.stations[station].heard_after = None;
                }
                self.perform(now, station, effects)?;
            }
        }
        if !self.finished.is_empty() {
            return Ok(());
        }
        let deadlines = self.stations.iter().filter_map(|station| station.device.next_deadline());
        let flights = self.flights.peek().map(|Reverse(flight)| flight.at);
        let wake_at = deadlines.chain(flights).chain([until]).min().unwrap_or(until);
        self.wait(wake_at.saturating_sub(now))
    }

    /// The next thing that ended.
    pub fn take_finished(&mut self) -> Option<Finished> {
        self.finished.pop_front()
    }

    /// Lets this much time pass; what ended meanwhile stays to be taken.
    ///
    /// # Errors
    /// If a socket or the poll fails.
    pub fn idle(&mut self, time: Duration) -> io::Result<()> {
        let until = self.now() + time;
        let mut ended = VecDeque::new();
        while self.now() < until {
            self.step(until)?;
            ended.append(&mut self.finished);
        }
        self.finished = ended;
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> io::Result<()> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        // The poll counts milliseconds and rounds up. It gets whole ones, so that it is not late;
        // what is due sooner is looked at at once.
        let timeout = Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let polled = self.poll.poll(&mut events, Some(timeout));
        let ready: Vec<_> = events.iter().map(|event| event.token().0).collect();
        self.events = events;
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => (),
        }
        for station in ready {
            self.drain(station)?;
        }
        Ok(())
    }

    fn drain(&mut self, station: usize) -> io::Result<()> {
        let mut buffer = [0; 2048];
        loop {
            let (len, source) = match self.stations[station].socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Nobody listens there: a frame that is not heard, like any other.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            };
            let datagram = &buffer[..len];
            let now = self.now();
            self.print(station, "←", datagram, "");
            self.outages.replied(now);
            if source != SocketAddr::V4(self.server) {
                self.breach(station, &format!("a reply from {source}: {} was asked", self.server));
            }
            if let Err(promise) = self.stations[station].judge.receive(now, datagram) {
                self.breach(station, &format!("{promise}: {}", gbk::decode(datagram)));
            }
            let code = std::str::from_utf8(&datagram[..len.min(3)]).ok().and_then(|code| code.parse().ok());
            if code.is_some_and(|code| self.stations[station].deaf_to.contains(&code)) {
                self.print(station, "✗", datagram, " (lost here)");
                continue;
            }
            self.take_off(now, station, false, datagram)?;
        }
    }

    /// A datagram enters the network.
    fn take_off(&mut self, now: Moment, station: usize, is_outward: bool, datagram: &[u8]) -> io::Result<()> {
        if self.stations[station].is_cut || self.random.happens(self.weather.loss) {
            self.print(station, "✗", datagram, " (lost here)");
            return Ok(());
        }
        let is_doubled = is_outward && self.stations[station].is_doubling;
        let copies = if is_doubled || self.random.happens(self.weather.dup) { 2 } else { 1 };
        for _ in 0..copies {
            let delay_us = u64::try_from(self.weather.delay.as_micros()).unwrap_or(u64::MAX);
            let at = now + Duration::from_micros(self.random.below(delay_us.saturating_add(1)));
            self.flights_made += 1;
            let flight = Flight { at, number: self.flights_made, station, is_outward, datagram: datagram.to_vec() };
            if at == now {
                self.land(now, &flight)?;
            } else {
                self.flights.push(Reverse(flight));
            }
        }
        Ok(())
    }

    /// A datagram leaves the network.
    fn land(&mut self, now: Moment, flight: &Flight) -> io::Result<()> {
        let station = flight.station;
        if flight.is_outward {
            self.print(station, "→", &flight.datagram, "");
            if let Some(at) = self.stations[station].judge.sent(now, &flight.datagram) {
                self.outages.unheard(at);
            }
            match self.stations[station].socket.send_to(&flight.datagram, SocketAddr::V4(self.server)) {
                // A full buffer or nobody there: lost, as on any network.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
                sent => sent.map_err(|error| io::Error::new(error.kind(), format!("to {}: {error}", self.server)))?,
            };
            self.sent += 1;
            return Ok(());
        }
        let mut effects = Vec::new();
        self.stations[station].device.receive(now, &flight.datagram, &mut effects);
        self.perform(now, station, effects)
    }

    fn perform(&mut self, now: Moment, station: usize, effects: Vec<Effect>) -> io::Result<()> {
        for effect in effects {
            match effect {
                Effect::Send(datagram) => self.take_off(now, station, true, &datagram)?,
                Effect::Heard => {
                    let since = now.saturating_sub(self.stations[station].asked_at);
                    self.stations[station].heard_after = Some(since);
                }
                Effect::Finished { ask, seq, outcome } => self.finish(now, station, ask, seq, outcome),
            }
        }
        Ok(())
    }

    fn finish(&mut self, now: Moment, station: usize, ask: Ask, seq: FrameSeq, outcome: Outcome) {
        let mut is_unknown = false;
        if let Err(promise) = self.stations[station].judge.end(seq.as_bytes(), &outcome) {
            let times = self.stations[station].judge.times_of(seq.as_bytes());
            is_unknown = times.is_some_and(|(first_at, last_at, heard_at)| match heard_at {
                Some(heard_at) => self.outages.may_have_cut_off(heard_at),
                None => self.outages.have_covered(first_at, last_at),
            });
            if !is_unknown {
                self.breach(station, &promise);
            }
        }
        let place = &self.stations[station];
        let is_own = !self.is_bad() || place.judge.is_result_of(seq.as_bytes(), &outcome);
        let (heard_after, after) = (place.heard_after, now.saturating_sub(place.asked_at));
        self.finished.push_back(Finished { station, ask, outcome, is_own, is_unknown, heard_after, after });
    }

    fn print(&self, station: usize, arrow: &str, datagram: &[u8], note: &str) {
        if self.is_tracing {
            let machine = self.stations[station].device.machine();
            println!("{} {machine} {arrow} {}{note}", Self::time_of_day(), gbk::decode(datagram));
        }
    }
}

/// A device's own loopback address: 127.1 and its machine number.
fn address_of(machine: MachineNo) -> Ipv4Addr {
    let [.., high, low] = machine.value().to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

fn bind(address: Ipv4Addr) -> io::Result<UdpSocket> {
    UdpSocket::bind(SocketAddr::V4(SocketAddrV4::new(address, 0)))
}
