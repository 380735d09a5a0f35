//! The loop between the world and the server: one thread, one poll (design.md, section 1).
//!
//! One turn: datagrams and deadlines are handled; what rests on nothing is sent at once; the turn's entries are
//! written and synced; what rests on them is sent. A failed write or sync ends the loop, and with it the
//! process: what is in memory then is not what is on the medium, and only a replay can tell.

pub mod udp;

use std::io;
use std::time::Duration;

use log::{info, warn};
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use crate::clock::Clock;
use crate::ledger::{Ledger, Storage};
use crate::limits::{TURN_BATCH, TURN_DATAGRAMS_MAX};
use crate::logging;
use crate::model::{Mono, Now};
use crate::server::{Effects, Mailbag, Peer, Server};
use crate::zone::Zone;
use udp::{Mail, Socket};

/// Entries that nothing rests on are synced within so long (design.md, section 7).
const SYNC_WITHIN_MS: u64 = 5000;

/// Replies that cannot be sent are warned about at most this often.
const UNSENT_TOLD_MS: u64 = 60_000;

/// More sockets than this cannot be told apart: a reply remembers its socket in a byte ([`Peer`]).
pub const SOCKETS_MAX: usize = 256;

const SIGNALS: Token = Token(usize::MAX);

/// What a person asked for by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Reload,
    Stop,
}

/// Everything that runs.
pub struct Loop<'t, S: Storage> {
    poll: Poll,
    events: Events,
    signals: Signals,
    sockets: Vec<Socket>,
    /// Whether a socket may hold more than was taken from it: the poll tells of each datagram once.
    ready: Vec<bool>,
    clock: Clock,
    zone: Zone,
    server: Server<'t>,
    ledger: Ledger<S>,
    fx: &'t mut Effects,
    /// Whether an entry of this turn must be durable before the turn's results leave.
    must_sync: bool,
    /// Since when written entries wait for a sync.
    unsynced_since: Option<Mono>,
    /// The socket that is asked first in the next turn.
    first: usize,
    unsent: Unsent,
}

/// Replies that could not be sent.
#[derive(Debug, Default)]
struct Unsent {
    /// As many since the last warning.
    count: u64,
    told: Option<Mono>,
}

/// Takes SIGHUP, SIGTERM and SIGINT over. To be called before anything that takes long: what comes from then
/// on waits for the loop, where before it would have killed the process.
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
        let events = Events::with_capacity(64);
        Ok(Self {
            poll,
            events,
            signals,
            sockets,
            ready,
            clock,
            zone,
            server,
            ledger,
            fx,
            must_sync: false,
            unsynced_since: None,
            first: 0,
            unsent: Unsent::default(),
        })
    }

    /// Writes the `start` entry. Nothing is received before [`Loop::run`].
    ///
    /// # Errors
    /// If the ledger cannot be written or synced.
    pub fn start(&mut self) -> io::Result<()> {
        // Whether the `start` entry's clock is believed may hang on the kernel's word.
        let now = self.clock.now(&self.zone, true);
        logging::set_offset(now.stamp.offset_s);
        self.server.start(&now, self.fx);
        self.collect()?;
        self.must_sync = true;
        self.commit(&now)
    }

    /// What is served.
    pub fn server(&self) -> &Server<'t> {
        &self.server
    }

    /// Serves until a signal says to stop, after [`Loop::start`]. `reload` reads configuration and cards again and installs them; it gives the
    /// zone to use from now on, or `None` if it refused and everything stays as it is.
    ///
    /// # Errors
    /// If the ledger cannot be written or synced, or a socket not be read.
    pub fn run(mut self, mut reload: impl FnMut(&mut Server) -> Option<Zone>) -> io::Result<()> {
        loop {
            self.wait()?;
            let order = self.order();
            let now = self.now();
            logging::set_offset(now.stamp.offset_s);
            self.turn(&now)?;
            match order {
                Some(Order::Reload) => {
                    if let Some(zone) = reload(&mut self.server) {
                        self.zone = zone;
                        logging::set_offset(self.zone.offset_at(now.stamp.wall));
                        self.server.reloaded(&now, self.fx);
                        self.collect()?;
                        self.commit(&now)?;
                    }
                }
                Some(Order::Stop) => {
                    // First all that was written: a `stop` that the next start finds must not vouch for entries that a
                    // failed sync of its own left in the page cache only.
                    self.must_sync = true;
                    self.commit(&now)?;
                    self.server.stop(&now, self.fx);
                    self.collect()?;
                    self.must_sync = true;
                    self.commit(&now)?;
                    let counters = self.server.counters();
                    info!(
                        "stop received={} approved={} declined={}",
                        counters.received, counters.approved, counters.declined
                    );
                    return Ok(());
                }
                None => (),
            }
        }
    }

    fn now(&self) -> Now {
        self.clock.now(&self.zone, self.server.wants_kernel_clock())
    }

    /// Sleeps until a datagram, a signal or a deadline.
    fn wait(&mut self) -> io::Result<()> {
        let sync_at = self.unsynced_since.map(|since| since.plus_ms(SYNC_WITHIN_MS));
        let deadline = [self.server.next_deadline(), sync_at].into_iter().flatten().min();
        let timeout = if self.ready.contains(&true) {
            Some(Duration::ZERO)
        } else {
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
            while self.ready[socket] && received < TURN_DATAGRAMS_MAX && self.takes_a_batch() {
                received += self.receive(now, socket)?;
            }
        }
        // Another one is first in the next turn: frames that pour in on one must not keep the others waiting.
        self.first = (self.first + 1) % self.sockets.len().max(1);
        // After the datagrams: a 109 may wait among them for the command that a timer would send again or give up.
        let mut fired = 0;
        while fired < TURN_DATAGRAMS_MAX && self.fx.has_room(1) && self.server.on_timer(now, self.fx) {
            self.collect()?;
            fired += 1;
        }
        self.commit(now)
    }

    /// Whether a batch's replies leave room for those of timers, and its entries likely fit the turn's one write.
    fn takes_a_batch(&self) -> bool {
        self.fx.has_room(2 * TURN_BATCH) && !self.ledger.is_half_full()
    }

    /// Takes a batch from a socket.
    fn receive(&mut self, now: &Now, number: usize) -> io::Result<usize> {
        let Self { sockets, server, ledger, fx, must_sync, .. } = self;
        let mut failure = Ok(());
        let tag = u8::try_from(number).unwrap_or(u8::MAX);
        let received = sockets[number].recv(TURN_BATCH, |datagram| {
            if failure.is_err() {
                return;
            }
            let peer = Peer { source: datagram.source, local: datagram.local, socket: tag };
            if datagram.is_oversize() {
                server.handle_oversize(now, peer, datagram.bytes);
            } else {
                server.handle(now, peer, datagram.bytes, fx);
            }
            failure = collect(fx, ledger, must_sync);
        })?;
        failure?;
        self.ready[number] = received == TURN_BATCH;
        Ok(received)
    }

    fn collect(&mut self) -> io::Result<()> {
        collect(self.fx, &mut self.ledger, &mut self.must_sync)
    }

    /// Sends what rests on nothing, makes the turn's entries durable, and sends what rests on them.
    fn commit(&mut self, now: &Now) -> io::Result<()> {
        self.unsent.post(now, &mut self.sockets, &mut self.fx.prompt);
        self.ledger.write()?;
        if !self.ledger.unsynced() {
            self.unsynced_since = None;
        } else if self.must_sync || self.unsynced_since.is_some_and(|since| now.mono.ms_since(since) >= SYNC_WITHIN_MS)
        {
            self.ledger.sync()?;
            self.unsynced_since = None;
        } else if self.unsynced_since.is_none() {
            self.unsynced_since = Some(now.mono);
        }
        self.must_sync = false;
        self.unsent.post(now, &mut self.sockets, &mut self.fx.committed);
        Ok(())
    }
}

/// Hands the entries of one frame, timer or signal to the ledger.
fn collect<S: Storage>(fx: &mut Effects, ledger: &mut Ledger<S>, must_sync: &mut bool) -> io::Result<()> {
    for entry in &fx.entries {
        *must_sync |= entry.is_committed();
        ledger.append(entry);
    }
    fx.entries.clear();
    // More entries than one write holds: the turn's sync covers them all.
    if ledger.has_room() { Ok(()) } else { ledger.write() }
}

impl Unsent {
    /// Sends a bag of mail. What cannot be sent is lost: devices send again, and so do we.
    fn post(&mut self, now: &Now, sockets: &mut [Socket], bag: &mut Mailbag) {
        if bag.is_empty() {
            return;
        }
        for (number, socket) in sockets.iter_mut().enumerate() {
            let own = bag.iter().filter(|(peer, _)| usize::from(peer.socket) == number);
            let sent = socket.send(own.map(|(peer, bytes)| Mail { to: peer.source, from: peer.local, bytes }));
            self.count += u64::try_from(sent.failed).unwrap_or(u64::MAX);
            // A network that is down would fill the log.
            let is_due = self.told.is_none_or(|told| now.mono.ms_since(told) >= UNSENT_TOLD_MS);
            if let Some(error) = sent.error.filter(|_| is_due) {
                // The kind alone: the whole error's words would be allocated.
                warn!("unsent replies={} error=\"{}\"", self.count, error.kind());
                *self = Self { count: 0, told: Some(now.mono) };
            }
        }
        bag.clear();
    }
}
