//! The loop between the world and the server: one thread, one poll (design.md, section 1).
//!
//! One turn: datagrams, a few lines of the control socket and deadlines are handled; what rests on
//! nothing is sent at once; the turn's entries are written and synced; what rests on them is sent
//! ([`Service`] keeps this order). A failed write or sync ends the loop, and with it the process:
//! what is in memory then is not what is on the medium, and only a replay can tell.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::warn;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::arrival::Arrivals;
use super::control_socket::Control;
use super::drops::Drops;
use super::udp::{self, Likely, Mail, Socket};
use super::watch::{Places, SocketStats, Watch};
use crate::desk::control::{self as operator, Deferred, Host};
use crate::desk::status::Status;
use crate::engine::limits::{TURN_BEYOND_MS_MAX, TURN_DATAGRAMS_MAX};
use crate::engine::model::{Mono, Now};
use crate::engine::server::{Effects, Outgoing, Peer, Server};
use crate::engine::wire::{Buffer, Reply};
use crate::files::zone::Zone;
use crate::host::clock::{self, Clock};
use crate::host::logging;
use crate::ledger::identity::Keeper;
use crate::ledger::{Ledger, Storage};
use crate::turn::Service;

/// After commands that took longer than this many milliseconds in a turn (a reload, a search on a
/// small router), later ones wait [`LINES_REST`] times as long as these took: terminals get most of
/// the time, however often an operator asks.
const LINES_LONG_MS: u64 = 10;
const LINES_REST: u64 = 4;

/// Replies that cannot be sent are warned about at most this often.
const UNSENT_TOLD_MS: u64 = 60_000;

/// A start that took longer than this since the clock was made (before the sockets were bound)
/// finds stale frames.
const STALE: Mono = Mono(1000);

/// The control socket's token, and its clients' after it.
const CONTROL: usize = SOCKETS_MAX;

/// More sockets than this cannot be told apart: a reply remembers its socket in a byte ([`Peer`]).
pub const SOCKETS_MAX: usize = 256;

const SIGNALS: Token = Token(usize::MAX);

/// What a person asked for by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Reload,
    Stop,
}

/// What a reload changes beside the server.
#[derive(Debug)]
pub struct Reloaded {
    /// Stamps the ledger and the log from now on.
    pub zone: Zone,
    /// Bytes of a ledger segment before the next one begins.
    pub segment_bytes: u64,
    /// Free bytes below which sales are refused.
    pub reserve_bytes: u64,
    /// Whether all is as it was in service: there is nothing to write down.
    pub is_unchanged: bool,
    /// The card table's headings and what divides them, for rows to paste into it.
    pub headings: Headings,
    /// The answer to the client that asked for it.
    pub answer: String,
}

/// The headings of the card table in service, and what divides them.
pub type Headings = (Vec<String>, char);

/// Everything that runs.
pub struct Loop<'t, S: Storage> {
    poll: Poll,
    events: Events,
    signals: Signals,
    sockets: Vec<Socket>,
    /// Whether a socket may hold more than was taken from it: the poll tells of each datagram once.
    ready: Vec<bool>,
    /// What is known of each socket's datagrams' ages.
    arrivals: Vec<Arrivals>,
    clock: Clock,
    zone: Zone,
    service: Service<'t, S>,
    /// The socket that is asked first in the next turn.
    first: usize,
    /// How long the last turn took to write, sync and send, in milliseconds.
    end_ms: u64,
    unsent: Unsent,
    drops: Drops,
    control: Option<Control>,
    /// Until when the operator's lines wait.
    lines_at: Mono,
    ledger_dir: PathBuf,
    headings: Headings,
    watch: Watch,
}

/// Replies that could not be sent.
#[derive(Debug, Default)]
struct Unsent {
    /// As many since the last warning.
    count: u64,
    /// As many since the start.
    total: u64,
    told: Option<Mono>,
}

/// Takes SIGHUP, SIGTERM and SIGINT over. To be called before anything that takes long: what comes
/// from then on waits for the loop, where before it would have killed the process.
///
/// # Errors
/// Of the kernel.
pub fn signals() -> io::Result<Signals> {
    Signals::new([SIGHUP, SIGTERM, SIGINT])
}

impl<'t, S: Storage> Loop<'t, S> {
    /// Registers sockets, at most [`SOCKETS_MAX`], and signals.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn new(
        mut sockets: Vec<Socket>,
        mut signals: Signals,
        clock: Clock,
        zone: Zone,
        server: Server<'t>,
        ledger: Ledger<S>,
        fx: &'t mut Effects,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        for (number, socket) in sockets.iter_mut().enumerate() {
            poll.registry().register(socket, Token(number), Interest::READABLE)?;
        }
        let ready = vec![true; sockets.len()];
        let arrivals = sockets.iter().map(|_| Arrivals::default()).collect();
        let events = Events::with_capacity(64);
        Ok(Self {
            poll,
            events,
            signals,
            sockets,
            ready,
            arrivals,
            clock,
            zone,
            service: Service::new(server, ledger, fx),
            first: 0,
            end_ms: 0,
            unsent: Unsent::default(),
            drops: Drops::default(),
            control: None,
            lines_at: Mono(0),
            ledger_dir: PathBuf::new(),
            headings: (Vec::new(), ','),
            watch: Watch::new(Places::default()),
        })
    }

    /// Takes orders and questions from this socket, too. `ledger_dir` is told to clients that ask
    /// for a card, `headings` to those that ask for unknown cards.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn take_orders(&mut self, mut control: Control, ledger_dir: &Path, headings: Headings) -> io::Result<()> {
        control.register(self.poll.registry(), CONTROL)?;
        self.control = Some(control);
        ledger_dir.clone_into(&mut self.ledger_dir);
        self.headings = headings;
        Ok(())
    }

    /// Free bytes below which sales are refused; until it is called, none.
    pub fn keep_reserve(&mut self, reserve_bytes: u64) {
        self.service.keep_reserve(reserve_bytes);
    }

    /// Where it is kept which ledger this machine serves, and what was wrong with what was kept
    /// before: [`Service::keep_identity`]. Before [`Loop::start`].
    pub fn keep_identity(&mut self, keeper: &'t mut dyn Keeper, fault: Option<String>) {
        self.service.keep_identity(keeper, fault);
    }

    /// Where the status files are; until it is called there are none. Before [`Loop::start`].
    pub fn keep_status(&mut self, places: Places) {
        self.watch = Watch::new(places);
    }

    /// Writes the `start` entry. Nothing is received before [`Loop::run`].
    ///
    /// # Errors
    /// If the ledger cannot be written or synced.
    pub fn start(&mut self) -> io::Result<()> {
        let now = self.now();
        if now.mono >= STALE {
            self.discard()?;
        }
        logging::set_offset(now.stamp.offset_s);
        let Self { service, sockets, unsent, clock, .. } = self;
        service.start(&now, &mut |bag| unsent.post(clock, sockets, bag))?;
        self.watch.write(&now, &self.service, socket_stats(&self.sockets, &self.unsent));
        Ok(())
    }

    /// Lets go of what waited in the sockets while a long ledger was replayed: who swiped then has
    /// left, and no door opens for them. Devices send again.
    fn discard(&mut self) -> io::Result<()> {
        for socket in &mut self.sockets {
            socket.recv(TURN_DATAGRAMS_MAX, Likely::Many, |_| ())?;
        }
        Ok(())
    }

    /// What is served.
    pub fn server(&self) -> &Server<'t> {
        self.service.server()
    }

    /// Serves until a signal says to stop, after [`Loop::start`]. `reload` reads configuration and
    /// cards again and installs them, told whether a table that loses more than a tenth of the
    /// cards is taken; it gives what else changes, or, if it refused and everything stays as it is,
    /// the answer to the client that asked for it.
    ///
    /// # Errors
    /// If the ledger cannot be written or synced, or a socket not be read.
    pub fn run(
        mut self,
        mut reload: impl FnMut(&mut Server, Option<u32>) -> Result<Reloaded, String>,
    ) -> io::Result<()> {
        loop {
            self.wait()?;
            let order = self.order();
            let now = self.now();
            logging::set_offset(now.stamp.offset_s);
            self.turn(&now)?;
            if order == Some(Order::Reload) {
                let reloaded = reload(self.service.server_mut(), None);
                self.reload(&now, reloaded)?;
            }
            self.answer_owed(&now, &mut reload)?;
            if order == Some(Order::Stop) {
                return self.stop(&now);
            }
            self.tell_status(&now);
        }
    }

    /// Ends: what waits in the sockets is sent again by its devices.
    fn stop(mut self, now: &Now) -> io::Result<()> {
        let Self { service, sockets, unsent, clock, drops, watch, .. } = &mut self;
        drops.finish(socket_stats(sockets, unsent).kernel_dropped.unwrap_or(0));
        service.stop(now, &mut |bag| unsent.post(clock, sockets, bag))?;
        watch.finish(now, service, socket_stats(sockets, unsent));
        Ok(())
    }

    /// Answers the operator's lines of a committed turn; first those whose answers the loop itself
    /// gives.
    fn answer_owed(
        &mut self,
        now: &Now,
        reload: &mut impl FnMut(&mut Server, Option<u32>) -> Result<Reloaded, String>,
    ) -> io::Result<()> {
        while let Some(deferred) = self.control.as_ref().and_then(Control::deferred) {
            let begin = self.clock.mono();
            let answer = match deferred {
                Deferred::Reload { accept } => {
                    let reloaded = reload(self.service.server_mut(), accept);
                    self.reload(now, reloaded)?
                }
                Deferred::Status => operator::status(&self.status(now)),
            };
            self.control.as_mut().expect("it was just asked").answer_owed(answer);
            self.rest_from_lines(begin);
        }
        if let Some(control) = &mut self.control {
            control.deliver(self.clock.mono());
        }
        Ok(())
    }

    /// Takes over what a reload changed, and writes its entry if it did change something; gives the
    /// answer to who asked for it.
    fn reload(&mut self, now: &Now, reloaded: Result<Reloaded, String>) -> io::Result<String> {
        let new = match reloaded {
            Ok(new) => new,
            Err(answer) => return Ok(answer),
        };
        let Self { service, sockets, unsent, zone, clock, headings, .. } = self;
        *zone = new.zone;
        *headings = new.headings;
        // By the new zone: the server finds out what it changed.
        let now = &Now { stamp: zone.stamp(now.stamp.wall), ..*now };
        service.limit_segments(new.segment_bytes);
        service.keep_reserve(new.reserve_bytes);
        logging::set_offset(zone.offset_at(now.stamp.wall));
        service.server_mut().watch_zone(now);
        if !new.is_unchanged {
            service.reloaded(now, &mut |bag| unsent.post(clock, sockets, bag))?;
        }
        Ok(new.answer)
    }

    /// How the server stands.
    pub fn status(&self, now: &Now) -> Status<'_> {
        self.watch.status(now, &self.service, socket_stats(&self.sockets, &self.unsent))
    }

    /// Lets the status files follow what this turn changed.
    fn tell_status(&mut self, now: &Now) {
        let Self { watch, service, sockets, unsent, clock, .. } = self;
        watch.after_turn(now, clock, service, unsent.total, || socket_stats(sockets, unsent));
    }

    fn now(&self) -> Now {
        self.clock.now(&self.zone, self.service.server().wants_kernel_clock())
    }

    /// Sleeps until a datagram, a signal or a deadline.
    fn wait(&mut self) -> io::Result<()> {
        let timeout = if self.ready.contains(&true) {
            Some(Duration::ZERO)
        } else {
            let control = self.control.as_ref();
            let lines_at = control.filter(|control| control.has_work()).map(|_| self.lines_at);
            let given_up_at = control.and_then(Control::next_deadline);
            let deadlines = [self.service.next_deadline(), self.watch.deadline(), lines_at, given_up_at];
            let deadline = deadlines.into_iter().flatten().min();
            deadline.map(|at| Duration::from_millis(at.ms_since(self.clock.mono())))
        };
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => (),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        for event in &self.events {
            if let Some(ready) = self.ready.get_mut(event.token().0) {
                *ready = true;
            } else if let Some(control) = self.control.as_mut().filter(|_| event.token() != SIGNALS) {
                control.on_event(event);
            }
        }
        Ok(())
    }

    /// What the signals say; stopping goes before reloading.
    fn order(&mut self) -> Option<Order> {
        if !self.events.iter().any(|event| event.token() == SIGNALS) {
            return None;
        }
        let orders = self.signals.pending().map(|signal| if signal == SIGHUP { Order::Reload } else { Order::Stop });
        orders.reduce(|one, other| if one == Order::Stop { one } else { other })
    }

    fn turn(&mut self, now: &Now) -> io::Result<()> {
        let mut received = 0;
        for socket in (self.first..self.sockets.len()).chain(0..self.first) {
            let mut likely = Likely::Few;
            while self.ready[socket] && self.goes_on(now, received) {
                let batch = self.service.batch();
                if batch == 0 {
                    break;
                }
                received += self.receive(now, socket, batch, likely)?;
                likely = Likely::Many;
            }
        }
        // Another one is first in the next turn: frames that pour in on one must not keep the
        // others waiting.
        self.first = (self.first + 1) % self.sockets.len().max(1);
        self.service.serve_aside(now)?;
        self.take_lines(now)?;
        let Self { service, sockets, unsent, clock, drops, end_ms, .. } = self;
        drops.after_turn(now.mono, received, || socket_stats(sockets, unsent).kernel_dropped.unwrap_or(0));
        let begin = clock.mono();
        service.end_turn(now, &mut |bag| unsent.post(clock, sockets, bag))?;
        *end_ms = clock.mono().ms_since(begin);
        Ok(())
    }

    /// Whether the turn takes more, if there is more. A flood brings more during a sync than
    /// [`TURN_DATAGRAMS_MAX`], and would fill the kernel's buffer turn by turn; so as much time as
    /// the last turn gave to the disk is given to reading, within [`TURN_BEYOND_MS_MAX`].
    fn goes_on(&self, now: &Now, received: usize) -> bool {
        received < TURN_DATAGRAMS_MAX || self.clock.mono().ms_since(now.mono) < self.end_ms.min(TURN_BEYOND_MS_MAX)
    }

    /// Takes a few lines of the operator's tools, after the devices' frames.
    fn take_lines(&mut self, now: &Now) -> io::Result<()> {
        let begin = self.clock.mono();
        let Self { control, service, sockets, poll, ledger_dir, headings, .. } = self;
        let Some(control) = control.as_mut().filter(|_| self.lines_at <= begin) else { return Ok(()) };
        control.accept(now.mono, poll.registry());
        if !service.takes_lines() {
            // This turn's replies go first; nobody sleeps while lines wait.
            return Ok(());
        }
        let mut world = World { sockets, ledger_dir, headings };
        control.answer_lines(|line| operator::answer(service, now, &mut world, line))?;
        self.rest_from_lines(begin);
        Ok(())
    }

    /// The operator's lines were answered since then.
    fn rest_from_lines(&mut self, begin: Mono) {
        let end = self.clock.mono();
        let spent_ms = end.ms_since(begin);
        if spent_ms > LINES_LONG_MS {
            self.lines_at = end.plus_ms(LINES_REST * spent_ms);
        }
    }

    /// Takes a batch from a socket.
    fn receive(&mut self, now: &Now, number: usize, batch: usize, likely: Likely) -> io::Result<usize> {
        let Self { sockets, service, arrivals, clock: own, .. } = self;
        let mut failure = Ok(());
        let (begin, wall) = (own.mono(), clock::wall());
        let tag = u8::try_from(number).unwrap_or(u8::MAX);
        let received = sockets[number].recv(batch, likely, |datagram| {
            if failure.is_err() {
                return;
            }
            let peer = Peer { source: datagram.source, local: datagram.local, socket: tag };
            service.arrived_at(arrivals[number].arrived(datagram.noted, begin, wall));
            failure = service.receive(now, peer, datagram.bytes, datagram.is_oversize());
        })?;
        failure?;
        self.ready[number] = received == batch;
        if received < batch {
            self.arrivals[number].found_empty(begin);
        }
        Ok(received)
    }
}

/// The machine, as the operator's lines need it.
struct World<'a> {
    sockets: &'a mut [Socket],
    ledger_dir: &'a Path,
    headings: &'a Headings,
}

impl Host for World<'_> {
    fn addresses(&self) -> Vec<Ipv4Addr> {
        udp::addresses().unwrap_or_default().into_iter().map(|here| here.address).collect()
    }

    fn discover(&mut self, port: u16) -> Result<usize, String> {
        let addresses =
            udp::addresses().map_err(|error| format!("the machine does not tell its addresses: {error}"))?;
        let mut frame = Buffer::new();
        Reply::Discover.emit(&mut frame);
        let (mut networks, mut error) = (0, None);
        for socket in self.sockets.iter_mut() {
            for (from, broadcast) in socket.networks(&addresses) {
                let to = SocketAddrV4::new(broadcast, port);
                let sent = socket.send([Mail { to, from, bytes: &frame }]);
                networks += sent.sent;
                error = sent.error.or(error);
            }
        }
        match error {
            Some(error) if networks == 0 => Err(format!("no 000 could be sent: {error}")),
            _ if networks == 0 => {
                Err("no network here takes a broadcast: listen on an address that has one".to_owned())
            }
            _ => Ok(networks),
        }
    }

    fn ledger_dir(&self) -> &Path {
        self.ledger_dir
    }

    fn headings(&self) -> (&[String], char) {
        (&self.headings.0, self.headings.1)
    }
}

/// What the sockets say beside their datagrams.
fn socket_stats(sockets: &[Socket], unsent: &Unsent) -> SocketStats {
    let dropped = sockets.iter().map(Socket::kernel_dropped);
    SocketStats { kernel_dropped: dropped.sum(), unsent: unsent.total }
}

impl Unsent {
    /// Sends a bag of mail. What cannot be sent is lost: devices send again, and so do we.
    fn post(&mut self, clock: &Clock, sockets: &mut [Socket], bag: &Outgoing) {
        // After the sync: a slow disk may have made an opened door too old.
        let now = clock.mono();
        for (number, socket) in sockets.iter_mut().enumerate() {
            let own = bag.iter_at(now).filter(|(peer, _)| usize::from(peer.socket) == number);
            let sent = socket.send(own.map(|(peer, bytes)| Mail { to: peer.source, from: peer.local, bytes }));
            let failed = u64::try_from(sent.failed).unwrap_or(u64::MAX);
            self.count += failed;
            self.total += failed;
            // A network that is down would fill the log.
            let is_due = self.told.is_none_or(|told| now.ms_since(told) >= UNSENT_TOLD_MS);
            if let Some(error) = sent.error.filter(|_| is_due) {
                // The kind alone: the whole error's words would be allocated.
                warn!("unsent replies={} error=\"{}\"", self.count, error.kind());
                *self = Self { count: 0, told: Some(now), ..*self };
            }
        }
    }
}
