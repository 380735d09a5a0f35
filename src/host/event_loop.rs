//! The server's event loop: one thread, one poll (design.md, section 1).
//!
//! One turn handles datagrams, a few lines of the control socket, and deadlines. It sends replies
//! that need no entry at once, writes and syncs the turn's entries, then sends the replies that
//! rest on them ([`Service`] keeps this order). A failed write or sync ends the loop and the
//! process: memory may then differ from the medium, and only a replay at the next start can find
//! out what was written.

use std::cell::LazyCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::{debug, info, warn};
use mio::{Events, Interest, Poll, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::arrival::Arrivals;
use super::control_socket::Control;
use super::drops::Drops;
use super::interfaces::Interfaces;
use super::trace::Trace;
use super::udp::{self, Likely, Mail, Renewal, Socket};
use super::watch::{Places, SocketStats, Watch};
use crate::desk::control::{self as operator, Deferred, Host};
use crate::desk::status::Status;
use crate::engine::limits::{TURN_BEYOND_MS_MAX, TURN_DATAGRAMS_MAX};
use crate::engine::model::{Mono, Now, Wall};
use crate::engine::server::{Effects, Outgoing, Peer, Server};
use crate::engine::wire::{Buffer, Reply};
use crate::files::zone::Zone;
use crate::host::clock::{self, Clock};
use crate::host::logging;
use crate::ledger::acks::{Ack, AckKeeper, OfficeName};
use crate::ledger::identity::Keeper;
use crate::ledger::{Ledger, Storage};
use crate::turn::{Service, Step};

/// After commands that took longer than this in a turn, in milliseconds (a reload, a search on a
/// small router), later ones wait [`LINES_REST`] times as long: terminals get most of the time,
/// however often an operator asks.
const LINES_LONG_MS: u64 = 10;
const LINES_REST: u64 = 4;

/// Least time between two warnings about unsent replies, in milliseconds.
const UNSENT_WARN_MS: u64 = 60_000;

/// If a start took longer than this since the clock was created (before the sockets were bound),
/// the frames that wait in the sockets are stale.
const SLOW_START: Mono = Mono(1000);

/// The control socket's token; its clients' tokens follow it.
const CONTROL: usize = SOCKETS_MAX;

/// Most UDP sockets: a reply stores the index of its socket in one byte ([`Peer`]).
pub const SOCKETS_MAX: usize = 256;

const SIGNALS: Token = Token(usize::MAX);

const INTERFACES: Token = Token(usize::MAX - 1);

/// The request of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignalOrder {
    Reload,
    Stop,
}

/// The changes of a reload outside the server.
#[derive(Debug)]
pub struct Reloaded {
    /// The zone of the stamps in ledger and log from now on.
    pub zone: Zone,
    /// Size at which a ledger segment ends, in bytes.
    pub segment_bytes: u64,
    /// Free bytes below which sales are refused.
    pub reserve_bytes: u64,
    /// Whether an office may give orders.
    pub may_offices_order: bool,
    /// Days for which entries stay that every office has.
    pub keep_days: u32,
    /// Whether nothing changed, so that no entry is written.
    pub is_unchanged: bool,
    /// The card table's headings and separator, for rows to paste into it.
    pub headings: Headings,
    /// Changed options that take effect only at the next start.
    pub at_next_start: Vec<&'static str>,
}

/// Reads configuration and cards again, in steps of bounded work between the turns.
pub trait Reload {
    /// Begins a reload. `accept`: the CRC-32 of the only card table to accept, even if it seems
    /// incomplete.
    fn begin(&mut self, accept: Option<u32>);

    /// Does the next step of the running reload.
    fn step(&mut self, server: &mut Server) -> ReloadStep;

    /// Whether a reload runs.
    fn is_running(&self) -> bool;

    /// Whether a reload runs that was taken: its end concerns the good copies only.
    fn is_taken(&self) -> bool;
}

/// What a step of a reload has reached.
#[derive(Debug)]
pub enum ReloadStep {
    /// There is more to do.
    Working,
    /// Everything was taken into service at once; the changes outside the server. There is more to
    /// do.
    Taken(Box<Reloaded>),
    /// The end: the answer to who asked. Without a [`ReloadStep::Taken`] before it, nothing
    /// changed.
    Ended(String),
}

/// Who asked for the reload that runs, and signals that ask for another.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
struct Asked {
    /// The client, if one asked.
    client: Option<u64>,
    /// The last client whose reload began.
    last: u64,
    /// Whether a signal came since the running reload began.
    is_signalled: bool,
    /// Whether the running reload is a signal's.
    is_of_signal: bool,
    /// Whether a SIGHUP waits until every subsidy is cleared.
    waits: bool,
    /// Whether a reload runs, or a client waits for one.
    is_running: bool,
}

/// The headings and the separator of the card table in service.
pub type Headings = (Vec<String>, char);

/// The event loop with everything that it drives: sockets, clock, service, status files.
pub struct Loop<'t, S: Storage> {
    poll: Poll,
    events: Events,
    signals: Signals,
    /// `None` if no socket is bound to an interface, or the kernel does not let us subscribe.
    interfaces: Option<Interfaces>,
    sockets: Vec<Socket>,
    /// Per socket: whether it may still hold datagrams. The poll reports each datagram once.
    ready: Vec<bool>,
    /// Per socket: bounds on the age of its datagrams.
    arrivals: Vec<Arrivals>,
    clock: Clock,
    zone: Zone,
    service: Service<'t, S>,
    /// The socket to read first in the next turn.
    first: usize,
    /// Duration of the last turn's write, sync and sends, in milliseconds.
    end_ms: u64,
    unsent: Unsent,
    drops: Drops,
    control: Option<Control>,
    /// When the next lines of the control socket are answered, at the earliest.
    lines_at: Mono,
    ledger_dir: PathBuf,
    headings: Headings,
    may_offices_order: bool,
    watch: Watch,
    trace: Trace,
    reload: Asked,
}

/// Replies that could not be sent.
#[derive(Debug, Default)]
struct Unsent {
    /// Since the last warning.
    count: u64,
    /// Since the start.
    total: u64,
    warned: Option<Mono>,
}

/// Takes over SIGHUP, SIGTERM and SIGINT, which otherwise end the process. Call it before anything
/// slow: a signal that arrives later waits for the loop.
/// # Errors
/// The kernel's.
pub fn signals() -> io::Result<Signals> {
    Signals::new([SIGHUP, SIGTERM, SIGINT])
}

impl<'t, S: Storage> Loop<'t, S> {
    /// Registers the sockets, at most [`SOCKETS_MAX`], and the signals.
    /// # Errors
    /// The kernel's.
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
        let interfaces = watch_interfaces(poll.registry(), &sockets);
        let ready = vec![true; sockets.len()];
        let arrivals = sockets.iter().map(|_| Arrivals::default()).collect();
        let events = Events::with_capacity(64);
        Ok(Self {
            poll,
            events,
            signals,
            interfaces,
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
            may_offices_order: false,
            watch: Watch::new(Places::default()),
            trace: Trace::default(),
            reload: Asked::default(),
        })
    }

    /// Serves this control socket, too. Clients that ask for a card, and offices, receive
    /// `ledger_dir`, from the root: they may run elsewhere. Clients that ask for unknown cards receive
    /// `headings`.
    /// # Errors
    /// The kernel's.
    pub fn take_orders(&mut self, mut control: Control, ledger_dir: &Path, headings: Headings) -> io::Result<()> {
        control.register(self.poll.registry(), CONTROL)?;
        self.control = Some(control);
        self.ledger_dir = std::path::absolute(ledger_dir)?;
        self.headings = headings;
        Ok(())
    }

    /// Sets the free bytes below which sales are refused; initially 0.
    pub fn keep_reserve(&mut self, reserve_bytes: u64) {
        self.service.keep_reserve(reserve_bytes);
    }

    /// Sets the path of the served ledger's identity, and the problem of the identity that was kept
    /// before: [`Service::keep_identity`]. Call it before [`Loop::start`].
    pub fn keep_identity(&mut self, keeper: &'t mut dyn Keeper, fault: Option<String>) {
        self.service.keep_identity(keeper, fault);
    }

    /// Sets whether an office may give orders, initially not, for how many days entries stay that
    /// every office has, and where is kept what offices have; `known` is what was kept before.
    pub fn serve_offices(
        &mut self,
        may_order: bool,
        keep_days: u32,
        keeper: &'t mut dyn AckKeeper,
        known: io::Result<Vec<(OfficeName, Ack)>>,
    ) {
        self.may_offices_order = may_order;
        self.service.keep_for_days(keep_days);
        self.service.keep_offices(keeper, known);
    }

    /// Sets the paths of the status files; initially none is written. Call it before
    /// [`Loop::start`].
    pub fn keep_status(&mut self, places: Places) {
        self.watch = Watch::new(places);
    }

    /// Writes the `start` entry. Nothing is received before [`Loop::run`].
    ///
    /// # Errors
    /// If the ledger cannot be written or synced.
    pub fn start(&mut self) -> io::Result<()> {
        let now = self.now();
        if now.mono >= SLOW_START {
            self.discard()?;
        }
        logging::set_offset(now.stamp.offset_s);
        // An interface may have changed after its socket was bound and before we subscribed.
        self.renew_sockets();
        let Self { service, sockets, unsent, clock, .. } = self;
        service.start(&now, &mut |bag| unsent.post(clock, sockets, bag))?;
        self.watch.write(&now, &self.service, socket_stats(&self.sockets, &self.unsent));
        Ok(())
    }

    /// Discards the datagrams that arrived while a long ledger was replayed: those people have
    /// left, and no door may open for them. Devices send again.
    fn discard(&mut self) -> io::Result<()> {
        for socket in &mut self.sockets {
            socket.recv(TURN_DATAGRAMS_MAX, Likely::Many, |_| ())?;
        }
        Ok(())
    }

    /// The server that the loop drives.
    pub fn server(&self) -> &Server<'t> {
        self.service.server()
    }

    /// Serves until a signal asks to stop; call it after [`Loop::start`]. `reload` does the reloads
    /// that signals and clients ask for, one after the other.
    ///
    /// # Errors
    /// If the ledger cannot be written or synced, or a socket cannot be read.
    pub fn run(mut self, reload: &mut dyn Reload) -> io::Result<()> {
        loop {
            self.wait()?;
            self.trace.begin(&mut self.service);
            let order = self.order();
            let is_reload = order == Some(SignalOrder::Reload);
            if is_reload || self.events.iter().any(|event| event.token() == INTERFACES) {
                self.renew_sockets();
            }
            if let Some(control) = self.control.as_mut().filter(|control| is_reload || control.may_be_gone()) {
                control.renew(self.poll.registry());
            }
            let now = self.now();
            logging::set_offset(now.stamp.offset_s);
            self.turn(&now)?;
            let is_clearing = self.service.server().clearing().is_some();
            let waited = !is_clearing && std::mem::take(&mut self.reload.waits);
            self.reload.is_signalled |= is_reload || waited;
            self.reload(&now, reload)?;
            self.answer_deferred(&now);
            if order == Some(SignalOrder::Stop) {
                // A table that was taken is also kept.
                while reload.is_taken() {
                    reload.step(self.service.server_mut());
                }
                return self.stop(&now);
            }
            self.update_status(&now);
            self.service.laps().end(Step::Status);
            self.trace.end(&now, &mut self.service);
        }
    }

    /// Stops without reading the waiting datagrams: devices send them again.
    fn stop(mut self, now: &Now) -> io::Result<()> {
        let Self { service, sockets, unsent, clock, drops, watch, .. } = &mut self;
        drops.finish(socket_stats(sockets, unsent).kernel_dropped.unwrap_or(0));
        service.stop(now, &mut |bag| unsent.post(clock, sockets, bag))?;
        watch.finish(now, service, socket_stats(sockets, unsent));
        Ok(())
    }

    /// Answers the control lines of a committed turn; the loop itself answers the deferred ones
    /// first.
    fn answer_deferred(&mut self, now: &Now) {
        let is_status = |deferred: Deferred| matches!(deferred, Deferred::Status);
        while let Some((client, _)) = self.control.as_ref().and_then(|control| control.deferred(0, is_status)) {
            let begin = self.clock.mono();
            let answer = operator::status(&self.status(now));
            self.control.as_mut().expect("it was just asked").answer_deferred(client, answer);
            self.rest_from_lines(begin);
        }
        if let Some(control) = self.control.as_mut().filter(|control| control.has_clients()) {
            let ledger = self.service.ledger();
            control.deliver(self.clock.mono(), ledger.number(), ledger.synced());
        }
    }

    /// Does a step of the running reload. If none runs, begins the next one: what was written
    /// before somebody asked is read after it.
    fn reload(&mut self, now: &Now, reload: &mut dyn Reload) -> io::Result<()> {
        if !reload.is_running() && !self.begin_reload(reload) {
            // The client that waited may have gone meanwhile.
            self.reload.is_running = false;
            return Ok(());
        }
        let step = reload.step(self.service.server_mut());
        self.service.laps().end(Step::Reload);
        match step {
            ReloadStep::Working => (),
            ReloadStep::Taken(new) => self.take_over(now, *new)?,
            ReloadStep::Ended(answer) => {
                let is_refused = answer.starts_with("{\"ok\":false");
                if is_refused && self.reload.is_of_signal && self.service.server().clearing().is_some() {
                    self.reload.waits = true;
                    info!("reload waits: it is tried again when every subsidy is cleared");
                }
                if let Some((control, client)) = self.control.as_mut().zip(self.reload.client.take()) {
                    control.answer_deferred(client, answer);
                }
            }
        }
        self.reload.is_running = reload.is_running() || self.wants_reload().is_some();
        Ok(())
    }

    /// Begins the next reload that a signal or a client asks for; `false` if none does.
    fn begin_reload(&mut self, reload: &mut dyn Reload) -> bool {
        let asked = self.wants_reload();
        // One reload is enough for a signal and a client, unless the client accepts a file.
        let is_both = |(_, accept): &(u64, Option<u32>)| !self.reload.is_signalled || accept.is_none();
        let client = asked.filter(is_both);
        if client.is_none() && !self.reload.is_signalled {
            return false;
        }
        self.reload.client = client.map(|(client, _)| client);
        self.reload.last = self.reload.client.unwrap_or(self.reload.last);
        self.reload.is_of_signal = std::mem::take(&mut self.reload.is_signalled);
        reload.begin(client.and_then(|(_, accept)| accept));
        true
    }

    /// The next client that waits for a reload to begin, and the file that it accepts.
    fn wants_reload(&self) -> Option<(u64, Option<u32>)> {
        let is_reload = |deferred| matches!(deferred, Deferred::Reload { .. });
        match self.control.as_ref()?.deferred(self.reload.last, is_reload)? {
            (client, Deferred::Reload { accept }) => Some((client, accept)),
            (_, Deferred::Status) => None,
        }
    }

    /// Takes over the changes of a reload, and writes its entry if anything changed.
    fn take_over(&mut self, now: &Now, new: Reloaded) -> io::Result<()> {
        let Self { service, sockets, unsent, zone, clock, headings, may_offices_order, watch, .. } = self;
        watch.wait_for_start(new.at_next_start);
        *zone = new.zone;
        *headings = new.headings;
        *may_offices_order = new.may_offices_order;
        service.keep_for_days(new.keep_days);
        // In the new zone: the server compares the two.
        let now = &Now { stamp: zone.stamp(now.stamp.wall), ..*now };
        service.limit_segments(new.segment_bytes);
        service.keep_reserve(new.reserve_bytes);
        logging::set_offset(zone.offset_at(now.stamp.wall));
        service.server_mut().watch_zone(now);
        if !new.is_unchanged {
            service.reloaded(now, &mut |bag| unsent.post(clock, sockets, bag))?;
        }
        Ok(())
    }

    /// Creates sockets again whose interface was deleted and added again; logs which interfaces
    /// came and went.
    fn renew_sockets(&mut self) {
        if let Some(interfaces) = &self.interfaces {
            interfaces.drain();
        }
        self.sockets.iter_mut().for_each(Socket::release);
        for (number, socket) in self.sockets.iter_mut().enumerate() {
            let renewal = socket.renew(self.poll.registry(), Token(number));
            if !matches!(renewal, Renewal::Same) {
                self.watch.note_sockets();
            }
            let (address, device) = (socket.address(), socket.device().unwrap_or_default());
            match renewal {
                Renewal::Same => (),
                Renewal::Gone => {
                    warn!("interface gone device={device} address={address}: nothing is heard there until it is back");
                }
                Renewal::New => {
                    info!("interface new device={device} address={address}: it is served by a new socket");
                    self.ready[number] = true;
                    self.arrivals[number] = Arrivals::default();
                }
                Renewal::Failed(error) => warn!("interface deaf device={device}: {error}; tried again when it changes"),
            }
        }
    }

    /// The current status.
    pub fn status(&self, now: &Now) -> Status<'_> {
        self.watch.status(now, &self.service, socket_stats(&self.sockets, &self.unsent))
    }

    /// Updates the status files after a turn.
    fn update_status(&mut self, now: &Now) {
        let Self { watch, service, sockets, unsent, clock, .. } = self;
        watch.after_turn(now, clock, service, unsent.total, || socket_stats(sockets, unsent));
    }

    fn now(&self) -> Now {
        self.clock.now(&self.zone, self.service.server().wants_kernel_clock())
    }

    /// Sleeps until a datagram, a signal or a deadline.
    fn wait(&mut self) -> io::Result<()> {
        let timeout = if self.ready.contains(&true) || self.reload.is_running || self.reload.is_signalled {
            Some(Duration::ZERO)
        } else {
            let control = self.control.as_ref();
            let lines_at = control.filter(|control| control.has_work()).map(|_| self.lines_at);
            let given_up_at = control.and_then(Control::next_deadline);
            let deadlines = [self.service.next_deadline(), self.watch.deadline(), lines_at, given_up_at];
            let deadline = deadlines.iter().flatten().min();
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

    /// The order of the pending signals; stopping has priority over reloading.
    fn order(&mut self) -> Option<SignalOrder> {
        if !self.events.iter().any(|event| event.token() == SIGNALS) {
            return None;
        }
        let orders =
            self.signals.pending().map(|signal| if signal == SIGHUP { SignalOrder::Reload } else { SignalOrder::Stop });
        orders.reduce(|one, other| if one == SignalOrder::Stop { one } else { other })
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
                // The first read comes right after the clock was read for the turn.
                let read_at =
                    if received == 0 { (now.mono, now.stamp.wall) } else { (self.clock.mono(), clock::wall()) };
                received += self.receive(now, socket, batch, likely, read_at)?;
                likely = Likely::Many;
            }
        }
        // The next turn begins with another socket: a flood on one must not delay the others.
        self.first = (self.first + 1) % self.sockets.len().max(1);
        self.service.serve_aside(now)?;
        self.service.laps().end(Step::Hear);
        self.take_lines(now)?;
        self.service.laps().end(Step::Orders);
        let Self { service, sockets, unsent, clock, drops, end_ms, .. } = self;
        drops.after_turn(now.mono, received, || socket_stats(sockets, unsent).kernel_dropped.unwrap_or(0));
        let begin = clock.mono();
        service.end_turn(now, &mut |bag| unsent.post(clock, sockets, bag))?;
        *end_ms = clock.mono().ms_since(begin);
        Ok(())
    }

    /// Whether the turn may read more datagrams. During a sync a flood brings more than
    /// [`TURN_DATAGRAMS_MAX`], and would fill the kernel's buffer turn by turn; so a turn may read
    /// for as long as the last turn's sync took, at most [`TURN_BEYOND_MS_MAX`].
    fn goes_on(&self, now: &Now, received: usize) -> bool {
        received < TURN_DATAGRAMS_MAX || self.clock.mono().ms_since(now.mono) < self.end_ms.min(TURN_BEYOND_MS_MAX)
    }

    /// Answers a few lines of the control socket, after the devices' frames.
    fn take_lines(&mut self, now: &Now) -> io::Result<()> {
        let Self { control, service, sockets, poll, ledger_dir, headings, may_offices_order, .. } = self;
        // Nearly always there is no line.
        let Some(control) = control.as_mut().filter(|control| control.has_work()) else { return Ok(()) };
        let begin = self.clock.mono();
        if begin < self.lines_at {
            return Ok(());
        }
        control.accept(now.mono, poll.registry());
        if !service.takes_lines() {
            // This turn's replies go first; the loop does not sleep while lines wait.
            return Ok(());
        }
        let mut world = World { sockets, ledger_dir, headings, may_offices_order: *may_offices_order };
        control.answer_lines(|office, line| operator::answer_to(service, now, &mut world, office, line))?;
        self.rest_from_lines(begin);
        Ok(())
    }

    /// Delays later lines if answering those since `begin` was slow.
    fn rest_from_lines(&mut self, begin: Mono) {
        let end = self.clock.mono();
        let spent_ms = end.ms_since(begin);
        if spent_ms > LINES_LONG_MS {
            self.lines_at = end.plus_ms(LINES_REST * spent_ms);
        }
    }

    /// Reads a batch from a socket; the read begins at `begin`, when the wall clock shows `wall`.
    fn receive(
        &mut self,
        now: &Now,
        number: usize,
        batch: usize,
        likely: Likely,
        (begin, wall): (Mono, Wall),
    ) -> io::Result<usize> {
        let Self { sockets, service, arrivals, .. } = self;
        let mut failure = Ok(());
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

/// What control lines need from the machine.
struct World<'a> {
    sockets: &'a mut [Socket],
    ledger_dir: &'a Path,
    headings: &'a Headings,
    may_offices_order: bool,
}

impl Host for World<'_> {
    fn addresses(&self) -> Vec<Ipv4Addr> {
        udp::addresses().unwrap_or_default().into_iter().map(|here| here.address).collect()
    }

    fn discover(&mut self, port: u16) -> Result<usize, String> {
        let addresses =
            udp::addresses().map_err(|error| format!("cannot list the addresses of this machine: {error}"))?;
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
                Err("no network of this machine supports broadcasts: listen on an address that has one".to_owned())
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

    fn lets_offices_order(&self) -> bool {
        self.may_offices_order
    }
}

/// Subscribes to changes of interfaces, if a socket is bound to one.
fn watch_interfaces(registry: &Registry, sockets: &[Socket]) -> Option<Interfaces> {
    sockets.iter().find_map(Socket::device)?;
    let subscribed = Interfaces::watch().and_then(|mut interfaces| {
        registry.register(&mut interfaces, INTERFACES, Interest::READABLE)?;
        Ok(interfaces)
    });
    subscribed
        .inspect_err(|error| {
            debug!("interfaces not watched: {error}; after an interface was made anew, reload (SIGHUP)");
        })
        .ok()
}

/// Counters of the sockets.
fn socket_stats(sockets: &[Socket], unsent: &Unsent) -> SocketStats {
    let dropped = sockets.iter().map(Socket::kernel_dropped);
    let missing = sockets.iter().filter(|socket| socket.is_missing()).count();
    SocketStats { kernel_dropped: dropped.sum(), unsent: unsent.total, missing }
}

impl Unsent {
    /// Sends a turn's replies. A reply that cannot be sent is dropped: devices send again, and so
    /// does the server.
    fn post(&mut self, clock: &Clock, sockets: &mut [Socket], bag: &Outgoing) {
        // After the sync: if the disk was slow, an 050 may be too old to send. Without an 050 the
        // clock is not read.
        let now = LazyCell::new(|| clock.mono());
        for (number, socket) in sockets.iter_mut().enumerate() {
            let own = bag.iter_at(|| *now).filter(|(peer, _)| usize::from(peer.socket) == number);
            let sent = socket.send(own.map(|(peer, bytes)| Mail { to: peer.source, from: peer.local, bytes }));
            let failed = u64::try_from(sent.failed).unwrap_or(u64::MAX);
            self.count += failed;
            self.total += failed;
            // A network that is down must not fill the log.
            let is_due = || self.warned.is_none_or(|warned| now.ms_since(warned) >= UNSENT_WARN_MS);
            if let Some(error) = sent.error.filter(|_| is_due()) {
                // The kind alone: formatting the whole error allocates.
                warn!("unsent replies={} error=\"{}\"", self.count, error.kind());
                *self = Self { count: 0, warned: Some(*now), ..*self };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;
    use crate::engine::server::Tables;
    use crate::files::config;
    use crate::ledger::storage::MemoryStorage;

    /// Too large for a test's stack.
    static SERVING: Mutex<(Tables, Effects)> = Mutex::new((Tables::new(), Effects::new()));

    /// Reloads of two steps.
    #[derive(Default)]
    struct Short {
        left: usize,
        begun: usize,
    }

    impl Reload for Short {
        fn begin(&mut self, _: Option<u32>) {
            self.begun += 1;
            self.left = 2;
        }

        fn step(&mut self, _: &mut Server) -> ReloadStep {
            self.left -= 1;
            if self.is_running() { ReloadStep::Working } else { ReloadStep::Ended("{\"ok\":true}".to_owned()) }
        }

        fn is_running(&self) -> bool {
            self.left > 0
        }

        fn is_taken(&self) -> bool {
            false
        }
    }

    #[test]
    fn the_loop_sleeps_again_when_the_client_that_waited_for_a_reload_is_gone() {
        let mut serving = SERVING.lock().unwrap();
        let (tables, effects) = &mut *serving;
        let settings = config::parse(b"config server 'main'\n", Path::new("/site/posgate")).unwrap();
        let (clock, zone) = (Clock::new(), Zone::utc());
        let mut server = Server::new(tables, settings.rules);
        let stamp = clock.now(&zone, false).stamp;
        let (ledger, _) = Ledger::open(MemoryStorage::default(), "test", stamp, || 7, server.book_to_replay()).unwrap();
        let mut site = Loop::new(Vec::new(), signals().unwrap(), clock, zone, server, ledger, effects).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ctl.sock");
        site.take_orders(Control::bind(&path).unwrap(), dir.path(), (Vec::new(), ',')).unwrap();
        let mut reloads = Short::default();
        let mut turn = |site: &mut Loop<_>| {
            site.wait().unwrap();
            let now = site.now();
            site.turn(&now).unwrap();
            site.reload(&now, &mut reloads).unwrap();
            let waits = site.reload.is_running;
            site.answer_deferred(&now);
            (reloads.begun, waits)
        };
        let mut stays = UnixStream::connect(&path).unwrap();
        stays.write_all(b"{\"cmd\":\"reload\"}\n").unwrap();
        assert_eq!(turn(&mut site), (1, true), "it runs");
        // The answer to its first line finds that it hung up.
        let mut leaves = UnixStream::connect(&path).unwrap();
        leaves.write_all(b"x\n{\"cmd\":\"reload\"}\n").unwrap();
        drop(leaves);
        assert_eq!(turn(&mut site), (1, true), "the second one waits");
        assert_eq!(turn(&mut site), (1, false), "it is gone");
    }
}
