//! The order of a turn, whatever carries the datagrams (design.md, section 1).
//!
//! [`Service`] joins the server to its ledger. *Invariants:* a turn's 001s leave first; then all
//! its entries are written and its prompt mail leaves; then the entries are synced if any result
//! rests on them; and only then its committed mail leaves.
//!
//! After an error no method may be called any more: memory then differs from the medium, and a
//! restart is the undo. Only a start enters the state in which nothing can be written, and only a
//! restart leaves it (design.md, section 12).
//!
//! `host::event_loop` drives a service from sockets; the simulation drives one from a world of its
//! own.

mod laps;
pub mod offices;
mod orders;

use std::io;

use log::{debug, info, warn};

use crate::engine::book::Book;
use crate::engine::limits::{ROOM_TRIED_LEN, TAIL_LEN_MAX, TURN_BATCH, TURN_BATCH_MIN};
use crate::engine::model::{Entry, EntrySeq, Mono, Now};
use crate::engine::server::{Effects, Outgoing, Peer, Room, Server};
use crate::ledger::identity::{Identity, Keeper};
use crate::ledger::{self, Ledger, Refusal, State, Storage, snapshot};

pub use laps::{Laps, Step};

/// Entries on which no result rests are synced within this time (design.md, section 7).
const SYNC_WITHIN_MS: u64 = 5000;

/// The free space is asked for at most this often, unless this many bytes were written since.
const ROOM_ASKED_MS: u64 = 1000;
const ROOM_ASKED_BYTES: u64 = 32 * 1024;

/// While nothing can be written, and no more bytes are free than at the last trial, a write is
/// tried this often. A trial costs the flash [`ROOM_TRIED_LEN`] bytes.
const ROOM_TRIED_MS: u64 = 10_000;

/// A snapshot of up to this many bytes is written when its segment begins, between two turns:
/// 10,000 accounts have 1.5 MB, which takes 8 ms on a small server and some tenths of a second on a
/// router. A larger one, of up to 11 MB and seconds, waits for a pause. It is not spread over
/// turns: a snapshot is the state after one entry, so each sale would spoil the part that was
/// written, and a router has no memory for a copy of the state.
const SNAPSHOT_AT_ONCE_BYTES: u64 = 2 * 1024 * 1024;

/// The identity of the ledger is kept this often if an entry came; a failure is logged this often.
const IDENTITY_KEPT_MS: u64 = 3_600_000;

/// Bytes that an account and its card take in a snapshot, roughly.
const SNAPSHOT_ACCOUNT_BYTES: u64 = 160;

/// A pause: no frame came for this long.
const PAUSE_MS: u64 = 2000;

/// Sends a bag of mail. A reply that cannot be sent is lost: devices send again, and so do we.
pub type Post<'a> = &'a mut dyn FnMut(&Outgoing);

/// A server, its ledger, and the effects on their way from one to the other.
pub struct Service<'t, S: Storage> {
    server: Server<'t>,
    ledger: Ledger<S>,
    fx: &'t mut Effects,
    turn: Turn,
    /// The time since which written entries wait for a sync.
    unsynced_since: Option<Mono>,
    /// Free bytes below which sales are refused.
    reserve_bytes: u64,
    /// When the free space was asked for, and how much was written by then.
    room_asked: Option<(Mono, u64)>,
    /// When a trial found no room, and the free bytes that the file system reported then.
    room_tried: (Mono, u64),
    /// Whether a segment began since the last snapshot.
    is_snapshot_due: bool,
    /// The identity of the ledger that this machine serves, kept outside the ledger's directory.
    kept: Option<Kept<'t>>,
    /// When the last frame came.
    heard: Mono,
    laps: Laps,
    /// What offices have of the ledger.
    offices: offices::Offices<'t>,
}

/// The entries that the running turn handed to the ledger.
#[derive(Default)]
struct Turn {
    /// Whether an entry of this turn must be durable before the turn's results leave.
    must_sync: bool,
    /// Whether entries of this turn were written before its end, because one write does not hold
    /// them all.
    has_written: bool,
}

impl Turn {
    /// Hands entries to the ledger.
    fn append<S: Storage>(&mut self, entries: &[Entry], ledger: &mut Ledger<S>) -> io::Result<()> {
        for entry in entries {
            if !ledger.has_room() {
                // The turn's sync covers this write too.
                self.has_written = true;
                ledger.write()?;
            }
            self.must_sync |= entry.is_committed();
            ledger.append(entry);
        }
        Ok(())
    }
}

impl<'t, S: Storage> Service<'t, S> {
    /// A service for a server into which this ledger was replayed.
    pub fn new(server: Server<'t>, ledger: Ledger<S>, fx: &'t mut Effects) -> Self {
        fx.clear();
        Self {
            server,
            ledger,
            fx,
            turn: Turn::default(),
            unsynced_since: None,
            reserve_bytes: 0,
            room_asked: None,
            room_tried: (Mono(0), 0),
            is_snapshot_due: false,
            kept: None,
            heard: Mono(0),
            laps: Laps::default(),
            offices: offices::Offices::default(),
        }
    }

    /// From now on keeps the identity of the ledger that this machine serves: after
    /// [`Service::start`], when a segment begins, hourly if an entry came, and after
    /// [`Service::stop`]. `fault`: the problem of the identity that was kept before; it is logged
    /// hourly.
    pub fn keep_identity(&mut self, keeper: &'t mut dyn Keeper, fault: Option<String>) {
        self.kept = Some(Kept { keeper, last: None, at: Mono(0), told: None, fault, is_due: true });
    }

    /// The storage, for tests that fill it.
    #[cfg(test)]
    fn ledger_mut(&mut self) -> &mut S {
        self.ledger.storage_mut()
    }

    /// The times of the running turn's steps. The caller gives them a clock, begins each turn, and
    /// ends the steps that it does itself.
    pub fn laps(&mut self) -> &mut Laps {
        &mut self.laps
    }

    /// The server.
    pub fn server(&self) -> &Server<'t> {
        &self.server
    }

    /// The server, for a reload; [`Service::reloaded`] follows if the reload was accepted.
    pub fn server_mut(&mut self) -> &mut Server<'t> {
        &mut self.server
    }

    /// The ledger, for status.
    pub fn ledger(&self) -> &Ledger<S> {
        &self.ledger
    }

    /// Free bytes below which sales are refused.
    pub fn reserve_bytes(&self) -> u64 {
        self.reserve_bytes
    }

    /// The time since which entries wait for a sync, because no result rests on them.
    pub(crate) fn unsynced_since(&self) -> Option<Mono> {
        self.unsynced_since
    }

    /// Sets how many bytes a ledger segment has before the next one begins.
    pub fn limit_segments(&mut self, segment_bytes: u64) {
        self.ledger.limit_segments(segment_bytes);
    }

    /// Sets the free bytes below which sales are refused.
    pub fn keep_reserve(&mut self, reserve_bytes: u64) {
        self.reserve_bytes = reserve_bytes;
        self.room_asked = None;
    }

    /// The mail of the running turn, and entries on their way to the ledger.
    pub fn effects(&self) -> &Effects {
        self.fx
    }

    /// Writes the `start` entry, before any datagram is received. If that entry cannot be written,
    /// the service begins in the state in which nothing is ([`Room::Nothing`]): this is found out
    /// before any device is answered.
    ///
    /// # Errors
    /// If the ledger cannot be written or synced.
    pub fn start(&mut self, now: &Now, post: Post) -> io::Result<()> {
        if self.ledger.is_closed() {
            self.begin_closed(now);
            self.server.start(now, self.fx);
            return self.commit(now, post);
        }
        self.look_for_room(now)?;
        self.server.start(now, self.fx);
        match self.commit_all(now, post) {
            Err(error) if ledger::cannot_write(&error) => {
                warn!("{error}: the `start` entry found no room; nothing is written until a start can");
                self.fx.clear();
                self.ledger.close(self.server.book_to_replay()).map_err(|error| io::Error::other(error.to_string()))?;
                self.turn = Turn::default();
                self.begin_closed(now);
                Ok(())
            }
            started => started,
        }
    }

    fn begin_closed(&mut self, now: &Now) {
        let free = self.ledger.storage().free_bytes();
        self.room_tried = (now.mono, *free.as_ref().unwrap_or(&u64::MAX));
        self.server.serve_without_entries(free.unwrap_or(0), self.ledger.is_proven());
    }

    /// Writes and syncs the `reload` entry, after the server installed the new configuration and
    /// cards.
    ///
    /// # Errors
    /// If the ledger cannot be written or synced.
    pub fn reloaded(&mut self, now: &Now, post: Post) -> io::Result<()> {
        self.server.reloaded(now, self.fx);
        self.commit_all(now, post)
    }

    /// Makes everything durable and writes the `stop` entry.
    ///
    /// # Errors
    /// If the ledger cannot be written or synced.
    pub fn stop(&mut self, now: &Now, post: Post) -> io::Result<()> {
        // First all that was written: a `stop` that the next start finds must not vouch for entries
        // that a failed sync left in the page cache only.
        self.turn.must_sync = true;
        self.commit(now, post)?;
        self.server.stop(now, self.fx);
        self.commit_all(now, post)?;
        self.keep(now, true);
        self.offices.keep(now, true);
        let counters = self.server.counters();
        let (received, approved, declined) = (counters.received, counters.approved, counters.declined);
        info!("stop received={received} approved={approved} declined={declined}{}", counters.others());
        Ok(())
    }

    /// When [`Service::end_turn`] must be called though no datagram came.
    pub fn next_deadline(&self) -> Option<Mono> {
        let sync_at = self.unsynced_since.map(|since| since.plus_ms(SYNC_WITHIN_MS));
        let waits_for_pause = self.is_snapshot_due || self.offices.is_removal_due;
        let snapshot_at = waits_for_pause.then(|| self.heard.plus_ms(PAUSE_MS));
        let kept = self.kept.as_ref().filter(|_| !self.ledger.is_closed());
        let identity_at = kept.and_then(|kept| kept.deadline(&self.ledger));
        let acks_at = self.offices.deadline();
        [self.server.next_deadline(), sync_at, snapshot_at, identity_at, acks_at].iter().flatten().min().copied()
    }

    /// How many datagrams this turn may take before this is asked again; 0: no more. Their replies,
    /// and those to the frames set aside, leave room for timers; and their entries likely fit the
    /// turn's one write.
    pub fn batch(&self) -> usize {
        let aside = self.server.aside();
        let frames_left = self.ledger.frames_left().saturating_sub(aside);
        let is_open = !self.turn.has_written && frames_left >= TURN_BATCH_MIN;
        if is_open && self.fx.has_room(aside + 2 * TURN_BATCH) { frames_left.min(TURN_BATCH) } else { 0 }
    }

    /// Takes a datagram of this turn, one of at most as many as [`Service::batch`] allowed.
    /// `is_oversize`: these are the first bytes of a longer one.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn receive(&mut self, now: &Now, peer: Peer, datagram: &[u8], is_oversize: bool) -> io::Result<()> {
        self.heard = now.mono;
        self.look_for_room(now)?;
        if is_oversize {
            self.server.handle_oversize(now, peer, datagram);
            return Ok(());
        }
        self.server.hear(now, peer, datagram, self.fx);
        self.collect()
    }

    /// Says when the datagram arrived that is received next.
    pub fn arrived_at(&mut self, arrived: Mono) {
        self.server.arrived_at(arrived);
    }

    /// Decides the frames that were set aside. [`Service::end_turn`] does so too; a caller that has
    /// more work for this turn after its datagrams calls this before that work.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub(crate) fn serve_aside(&mut self, now: &Now) -> io::Result<()> {
        while self.serve_next_aside(now)? {}
        Ok(())
    }

    /// Decides the frame that was set aside first; `false` if none is left.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn serve_next_aside(&mut self, now: &Now) -> io::Result<bool> {
        let is_served = self.server.serve_aside(now, self.fx);
        self.collect()?;
        Ok(is_served)
    }

    /// Ends a turn: decides the frames that were set aside, handles the deadlines that have passed
    /// ([`Server::finish_turn`]), and commits.
    ///
    /// # Errors
    /// If the ledger cannot be written or synced.
    pub fn end_turn(&mut self, now: &Now, post: Post) -> io::Result<()> {
        let Self { server, ledger, fx, turn, .. } = self;
        server.finish_turn(now, fx, |entries| turn.append(entries, ledger))?;
        self.turn.must_sync |= self.is_snapshot_due && self.is_pause(now);
        self.commit(now, post)
    }

    fn is_pause(&self, now: &Now) -> bool {
        now.mono.ms_since(self.heard) >= PAUSE_MS
    }

    /// Hands the entries of one frame or order to the ledger.
    fn collect(&mut self) -> io::Result<()> {
        self.turn.append(&self.fx.entries, &mut self.ledger)?;
        self.fx.entries.clear();
        Ok(())
    }

    /// Hands the entries to the ledger and ends the turn; all of it is durable when this returns.
    fn commit_all(&mut self, now: &Now, post: Post) -> io::Result<()> {
        self.collect()?;
        self.turn.must_sync = true;
        self.commit(now, post)
    }

    /// Sends the 001s, writes the turn's entries, sends the prompt replies, syncs the entries if a
    /// result rests on them, and sends those results.
    fn commit(&mut self, now: &Now, post: Post) -> io::Result<()> {
        send(&mut self.fx.acks, post);
        self.laps.end(Step::Acks);
        // A turn's entries are in one segment.
        let is_new_segment = !self.turn.has_written && self.ledger.is_segment_full();
        if is_new_segment {
            self.ledger.rotate(now.stamp)?;
            self.laps.end(Step::Rotation);
        }
        self.ledger.write()?;
        self.laps.end(Step::Write);
        send(&mut self.fx.prompt, post);
        self.laps.end(Step::Prompt);
        self.sync_turn(now, is_new_segment)?;
        self.laps.end(Step::Sync);
        self.turn = Turn::default();
        send(&mut self.fx.committed, post);
        self.laps.end(Step::Results);
        self.is_snapshot_due |= is_new_segment;
        self.keep(now, is_new_segment);
        self.offices.keep(now, false);
        self.laps.end(Step::Identity);
        let is_time = is_new_segment && self.expected_snapshot() <= SNAPSHOT_AT_ONCE_BYTES || self.is_pause(now);
        if self.is_snapshot_due && is_time && !self.ledger.unsynced() {
            self.is_snapshot_due = false;
            self.write_snapshot(now);
            self.laps.end(Step::Snapshot);
        }
        self.offices.is_removal_due |= is_new_segment && !self.offices().is_empty();
        if self.offices.is_removal_due && !self.is_snapshot_due && self.is_pause(now) {
            self.remove_collected(now);
        }
        Ok(())
    }

    /// Keeps the identity of the ledger if that is due. Not of a closed ledger: the medium may not
    /// hold it as it was replayed.
    fn keep(&mut self, now: &Now, is_due: bool) {
        if let Some(kept) = self.kept.as_mut().filter(|_| !self.ledger.is_closed()) {
            kept.is_due |= is_due;
            kept.keep(now, &self.ledger);
        }
    }

    /// Syncs the entries that were written, if a result rests on them or they waited for long.
    fn sync_turn(&mut self, now: &Now, is_new_segment: bool) -> io::Result<()> {
        let is_late = self.unsynced_since.is_some_and(|since| now.mono.ms_since(since) >= SYNC_WITHIN_MS);
        if !self.ledger.unsynced() {
            self.unsynced_since = None;
        } else if self.turn.must_sync || is_new_segment || is_late {
            self.ledger.sync()?;
            self.unsynced_since = None;
        } else if self.unsynced_since.is_none() {
            self.unsynced_since = Some(now.mono);
        }
        Ok(())
    }

    // ---------------------------------------------------------------- room

    /// Asks for the free space when frames come, and not too often.
    fn look_for_room(&mut self, now: &Now) -> io::Result<()> {
        let appended = self.ledger.appended();
        let is_due = self.room_asked.is_none_or(|(asked, before)| {
            now.mono.ms_since(asked) >= ROOM_ASKED_MS || appended - before >= ROOM_ASKED_BYTES
        });
        if !is_due {
            return Ok(());
        }
        self.room_asked = Some((now.mono, appended));
        // If the file system does not say, a write finds out that it is full.
        let free = self.ledger.storage().free_bytes().unwrap_or(u64::MAX);
        if self.server.room() == Room::Nothing {
            return self.leave_if_there_is_room(now, free);
        }
        self.server.take_room(if free < self.reserve_bytes { Room::Reserve } else { Room::Open }, free);
        Ok(())
    }

    /// While nothing can be written: returns the error that ends the process once a trial finds
    /// room. The next start then does the work that was left out. The free space that a file system
    /// reports is not always true (quotas, compression), so a trial is made at once when free space
    /// grew, else every [`ROOM_TRIED_MS`].
    fn leave_if_there_is_room(&mut self, now: &Now, free: u64) -> io::Result<()> {
        let (tried, before) = self.room_tried;
        let is_due = free.saturating_sub(before) > ROOM_TRIED_LEN as u64 || now.mono.ms_since(tried) >= ROOM_TRIED_MS;
        if !is_due || free < ROOM_TRIED_LEN as u64 {
            return Ok(());
        }
        self.room_tried = (now.mono, free);
        match self.ledger.try_room() {
            Ok(()) => {
                Err(io::Error::other(format!("room free={free}: the ledger can be written again, after a restart")))
            }
            Err(error) => {
                debug!("{error}: nothing is written");
                Ok(())
            }
        }
    }

    /// An estimate of the next snapshot's bytes: a quarter more than the last one, and at least
    /// what its accounts take.
    fn expected_snapshot(&self) -> u64 {
        let storage = self.ledger.storage();
        let before = if storage.has(snapshot::NAME).unwrap_or(false) { storage.len(snapshot::NAME) } else { Ok(0) };
        let before = before.map_or(0, |len| len + len / 4);
        before.max(self.server.book().moved_accounts() as u64 * SNAPSHOT_ACCOUNT_BYTES)
    }

    /// Writes a snapshot, so that the next start is faster and old segments can be archived. If it
    /// fails, the last one stays.
    fn write_snapshot(&mut self, now: &Now) {
        let storage = self.ledger.storage();
        // The ledger's entries need their room first.
        let needed = self.expected_snapshot() + TAIL_LEN_MAX as u64;
        let free = storage.free_bytes().unwrap_or(u64::MAX);
        if free.saturating_sub(needed) < self.reserve_bytes {
            warn!("snapshot-failed free={free}: no room for another beside the reserve; the one before stays");
            return;
        }
        match self.ledger.write_snapshot(now.stamp, self.server.book()) {
            Ok(()) => info!("snapshot seq={}", self.ledger.head().seq),
            Err(error) => warn!("snapshot-failed error=\"{error}\": the one before stays"),
        }
    }
}

/// The identity of the ledger that this machine serves, as it was kept last.
struct Kept<'t> {
    keeper: &'t mut dyn Keeper,
    /// The identity that was kept; `None` if none was kept in this run.
    last: Option<Identity>,
    /// When keeping it was tried last.
    at: Mono,
    /// When a failure or the fault was logged last.
    told: Option<Mono>,
    /// The problem of the identity that was kept before this run.
    fault: Option<String>,
    /// Whether it is kept at the next turn, whatever the hour.
    is_due: bool,
}

impl Kept<'_> {
    /// When [`Kept::keep`] has work next: an hour after the last time, if the identity changed or
    /// the fault is logged.
    fn deadline<S: Storage>(&self, ledger: &Ledger<S>) -> Option<Mono> {
        let is_moved = self.last.as_ref().is_none_or(|last| !ledger.is_known_as(last));
        (is_moved || self.fault.is_some()).then(|| self.at.plus_ms(IDENTITY_KEPT_MS))
    }

    fn keep<S: Storage>(&mut self, now: &Now, ledger: &Ledger<S>) {
        let is_time = self.deadline(ledger).is_some_and(|at| at <= now.mono);
        if !self.is_due && !is_time {
            return;
        }
        (self.is_due, self.at) = (false, now.mono);
        let is_untold = self.told.is_none_or(|told| now.mono.ms_since(told) >= IDENTITY_KEPT_MS);
        if self.last.as_ref().is_none_or(|last| !ledger.is_known_as(last)) {
            let identity = ledger.identity();
            match self.keeper.keep(&identity) {
                Ok(()) => self.last = Some(identity),
                Err(error) if is_untold => {
                    self.told = Some(now.mono);
                    warn!(
                        "identity-failed error=\"{error}\": which ledger this machine serves is not kept; a ledger that is away, or an older \
                         copy of it, would not be told: name a place that can be written in option identity"
                    );
                }
                Err(_) => (),
            }
        }
        if let Some(fault) = self.fault.as_ref().filter(|_| is_untold) {
            self.told = Some(now.mono);
            warn!(
                "identity-fault {fault}: whether the ledger is an older copy could not be told; this word ends with the next start"
            );
        }
    }
}

impl State for Book {
    fn rewind(&mut self) {
        Self::rewind(self);
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), Refusal> {
        Self::apply(self, entry, None).map_err(|mismatch| Refusal(mismatch.to_string()))
    }

    fn restore(&mut self, line: &str) -> Result<(), Refusal> {
        self.restore_line(line).map_err(|bad| Refusal(bad.to_string()))
    }

    fn resume(&mut self, head: EntrySeq) {
        Self::resume(self, head);
    }

    fn emit(&self, sink: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        Self::emit(self, sink)
    }
}

fn send(bag: &mut Outgoing, post: Post) {
    if !bag.is_empty() {
        post(bag);
        bag.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;
    use crate::engine::limits::{FRAME_ENTRIES_BYTES, LINKS_MAX};
    use crate::engine::model::order::{Holder, KeyText, Note, Operator, Purpose};
    use crate::engine::model::{
        AccountId, Act, Balance, CardNo, CardRecord, Done, Figures, IncomingTable, Key, MachineNo, Mark, Money, Order,
        Stamp, Subject, UnitNo, Wall, Way,
    };
    use crate::engine::server::{Origin, Refused, Tables};
    use crate::files::{cards, config};
    use crate::ledger::storage::MemoryStorage;
    use crate::ledger::writer::Opening;
    use crate::ledger::{acks, recovery, snapshot};

    /// Too large for a test's stack: the tables in service, and a second set for comparison.
    static SERVING: Mutex<(Tables, Effects)> = Mutex::new((Tables::new(), Effects::new()));
    static OTHER: Mutex<Tables> = Mutex::new(Tables::new());

    fn locked<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings() -> config::Settings {
        let text =
            "config server 'main'\n option rate_source '0'\nconfig door\n option machine '00007'\n option door '1'\n";
        config::parse(text.as_bytes(), Path::new("/site/posgate")).unwrap()
    }

    fn card_file() -> cards::CardFile {
        let mut table = "card,balance,uses\n".to_owned();
        for number in 8_888_888_801_u64..=8_888_888_820 {
            writeln!(table, "{number},1000.00,100").unwrap();
        }
        cards::parse(table.as_bytes(), Path::new("/site/cards.csv"), &settings().rules.groups).unwrap()
    }

    fn now(at_ms: u64) -> Now {
        let wall = Wall(1_795_320_000_000 + i64::try_from(at_ms).unwrap());
        Now { mono: Mono(1000 + at_ms), stamp: Stamp { wall, offset_s: 28_800 }, synchronized: true }
    }

    /// A started server on a storage in memory, and the replies that it sent.
    struct Site<'t> {
        service: Service<'t, &'t mut MemoryStorage>,
        at_ms: u64,
        sent: Vec<String>,
    }

    /// Free bytes below which a start tries to write before it serves.
    const RESERVE: u64 = 1000;

    impl<'t> Site<'t> {
        fn start(tables: &'t mut (Tables, Effects), storage: &'t mut MemoryStorage) -> Self {
            Self::start_at(tables, storage, 0)
        }

        /// Starts at this time, as `serve` does.
        fn start_at(tables: &'t mut (Tables, Effects), storage: &'t mut MemoryStorage, at_ms: u64) -> Self {
            let mut server = Server::new(&mut tables.0, settings().rules);
            let mut storage = storage;
            let opened = match ledger::room_below(&mut storage, RESERVE) {
                Ok(()) => Ledger::open(storage, "test", now(0).stamp, || 7, server.book_to_replay()),
                Err(error) => {
                    let opening = Opening { site: "test", host: None, created: now(0).stamp, identity: None };
                    Ledger::open_closed(storage, &opening, error, server.book_to_replay())
                }
            };
            let (mut ledger, _) = opened.unwrap_or_else(|error| panic!("{error}"));
            ledger.limit_segments(4096);
            server.install(settings().rules, &card_file().records, Origin::default()).unwrap();
            let mut service = Service::new(server, ledger, &mut tables.1);
            service.keep_reserve(RESERVE);
            service.start(&now(at_ms), &mut |_| ()).unwrap();
            Self { service, at_ms, sent: Vec::new() }
        }

        /// Runs a turn with these frames, a second after the last turn; returns the replies of the
        /// turn.
        fn turn(&mut self, frames: &[String]) -> io::Result<Vec<String>> {
            self.at_ms += 1000;
            let now = now(self.at_ms);
            for frame in frames {
                let source = "192.168.1.20:5000".parse().unwrap();
                let peer = Peer { source, local: [192, 168, 1, 1].into(), socket: 0 };
                self.service.receive(&now, peer, frame.as_bytes(), false)?;
            }
            let mut sent = Vec::new();
            let ended = self.service.end_turn(&now, &mut |bag| {
                sent.extend(bag.iter().map(|(_, bytes)| crate::engine::gbk::decode(bytes).into_owned()));
            });
            self.sent.extend(sent.iter().cloned());
            ended.map(|()| sent)
        }

        /// Runs a turn with as many of these frames as it takes; returns its writes, its syncs and
        /// the bytes of its entries.
        fn full_turn(&mut self, frame: impl Fn(u64) -> String) -> (usize, usize, usize) {
            self.service.limit_segments(u64::MAX);
            let (steps, before) = (self.service.ledger.storage().done.len(), self.service.ledger.appended());
            let now = now(self.at_ms + 1000);
            let peer = Peer { source: "192.168.1.20:5000".parse().unwrap(), local: [192, 168, 1, 1].into(), socket: 0 };
            let mut number = 0;
            while let batch @ 1.. = self.service.batch() {
                for _ in 0..batch {
                    number += 1;
                    self.service.receive(&now, peer, frame(number).as_bytes(), false).unwrap();
                }
            }
            self.turn(&[]).unwrap();
            let done = &self.service.ledger.storage().done[steps..];
            let count = |what| done.iter().filter(|step| step.starts_with(what)).count();
            (count("append"), count("sync"), usize::try_from(self.service.ledger.appended() - before).unwrap())
        }

        /// Sends a few frames of each kind that changes the state.
        fn lunch(&mut self, from: u64, turns: u64) -> io::Result<()> {
            for number in from..from + turns {
                let (card, seq) = (8_888_888_801 + number % 20, number % 60_000);
                let time = format!("2026-11-22 12:{:02}:{:02}", number / 60 % 60, number % 60);
                let head = |code, machine| format!("{code},{seq:05},192.168.1.20,192.168.1.1,{machine:05}");
                let frames = [
                    format!("{},{card},1.50,{time},1234567890", head(103, number % 5)),
                    format!("{},1234567890", head(109, number % 5)),
                    format!("{},{card},{time}", head(104, 10 + number % 3)),
                    format!("{},{},2.25,{time},0,{number:08},3", head(105, 20), card + number % 2 * 100),
                    format!("{},{card},1,1,0,0,,{time}", head(150, 7)),
                    format!("{},9999999999,1.00,{time}", head(103, 30)),
                    format!("{},{number}", head(106, 31)),
                ];
                self.turn(&frames)?;
                if number % 4 == 0 {
                    self.desk(number)?;
                }
            }
            Ok(())
        }

        /// Runs a turn with orders of every kind, and a sale that one of them voids.
        fn desk(&mut self, number: u64) -> io::Result<()> {
            self.at_ms += 1000;
            let now = now(self.at_ms);
            let card = CardNo::from_value(8_888_888_801 + number % 19);
            let peer = Peer { source: "192.168.1.20:5000".parse().unwrap(), local: [192, 168, 1, 1].into(), socket: 0 };
            self.service.receive(&now, peer, sale(50_000 + number, 41).as_bytes(), false)?;
            let before = self.service.ledger.head().seq;
            let (way, amount) = (Way::TopUp, Balance::from_fen(1000));
            let money = Act::Move { way, subject: Subject::Card(card), amount, uses: 1 };
            let last = CardNo::from_value(8_888_888_820 + number / 4);
            let acts = [
                money.clone(),
                Act::Void { sale: before, amount: Money::from_fen(50), card: None },
                Act::Void { sale: before, amount: None, card: None },
                Act::Mark { card, mark: Mark::ALL[(number / 4 % 2) as usize] },
                Act::Link { old: last, new: CardNo::from_value(last.value() + 1) },
                Act::Open { machine: MachineNo::from_value(7), door: UnitNo::parse(b"1").unwrap() },
            ];
            for (place, act) in acts.into_iter().enumerate() {
                let _answer = self.service.operate(&now, &order(act, &format!("k-{number}-{place}")))?;
            }
            for nth in 1..3 {
                let name = Purpose::try_from(format!("f{number}").as_str()).unwrap();
                let key = Key::For { name, nth };
                let _answer = self.service.operate(&now, &Order { key, ..order(money.clone(), "") })?;
            }
            self.turn(&[])?;
            Ok(())
        }

        /// Runs an order in a separate turn.
        fn ordered(&mut self, order: &Order) -> io::Result<Result<Done, Refused>> {
            self.at_ms += 1000;
            let done = self.service.operate(&now(self.at_ms), order)?;
            self.turn(&[])?;
            Ok(done)
        }
    }

    fn order(act: Act, key: &str) -> Order {
        let by = Operator::try_from("li").unwrap();
        Order { act, key: Key::Own(KeyText::try_from(key).unwrap()), holder: Holder::new(), by, note: Note::new() }
    }

    fn topup(fen: i64) -> Act {
        let subject = Subject::Card(CardNo::from_value(8_888_888_801));
        Act::Move { way: Way::TopUp, subject, amount: Balance::from_fen(fen), uses: 0 }
    }

    fn sale(seq: u64, machine: u64) -> String {
        let card = 8_888_888_801 + seq % 20;
        format!("103,{seq:05},192.168.1.20,192.168.1.1,{machine:05},{card},1.50,2026-11-22 12:00:{:02}", seq % 60)
    }

    fn stored(seq: u64) -> String {
        format!("105,{seq:05},192.168.1.20,192.168.1.1,00020,8888888801,2.25,2026-11-22 11:00:00,0,{seq:08},3")
    }

    fn door(seq: u64) -> String {
        let card = 8_888_888_801 + seq % 20;
        format!("150,{seq:05},192.168.1.20,192.168.1.1,00007,{card},1,1,0,0,,2026-11-22 12:00:{:02}", seq % 60)
    }

    fn unknown(seq: u64) -> String {
        format!("103,{seq:05},192.168.1.20,192.168.1.1,00030,9999999999,1.00,2026-11-22 12:00:00")
    }

    /// Fills the storage: no further byte fits.
    fn fill(storage: &mut MemoryStorage) {
        storage.capacity = Some(used(storage));
    }

    fn used(storage: &MemoryStorage) -> usize {
        storage.files.values().map(Vec::len).sum()
    }

    /// A site that starts without space to write, and has opened a door once.
    fn start_full<'t>(tables: &'t mut (Tables, Effects), storage: &'t mut MemoryStorage) -> Site<'t> {
        drop(Site::start(tables, storage));
        fill(storage);
        let mut site = Site::start(tables, storage);
        assert_eq!(site.service.server().room(), Room::Nothing);
        assert_eq!(codes(&site.turn(&[door(1)]).unwrap()), ["050"]);
        site
    }

    /// The codes of replies, without the 001s.
    fn codes(sent: &[String]) -> Vec<&str> {
        sent.iter().map(|reply| &reply[..3]).filter(|code| !matches!(*code, "001" | "003")).collect()
    }

    /// Replays a storage into the second tables, with the card table, and compares the books.
    fn compare(storage: &MemoryStorage, running: &Server) -> recovery::Replayed {
        let mut tables = locked(&OTHER);
        let mut server = Server::new(&mut tables, settings().rules);
        let replayed = recovery::replay(storage, server.book_to_replay()).unwrap_or_else(|error| panic!("{error}"));
        server.install(settings().rules, &card_file().records, Origin::default()).unwrap();
        assert_eq!(running.book().difference(server.book()), None);
        replayed
    }

    #[test]
    fn the_state_that_runs_is_that_of_the_snapshot_and_what_follows_and_that_of_the_whole_ledger() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        for lunch in 0..5 {
            site.lunch(lunch * 37, 37).unwrap();
            let storage = (*site.service.ledger.storage()).clone();
            let replayed = compare(&storage, site.service.server());
            assert!(replayed.snapshot.is_some_and(|seq| seq > EntrySeq(100)) && replayed.disbelief.is_none());
            let mut whole = storage.clone();
            whole.files.remove(snapshot::NAME);
            assert_eq!(compare(&whole, site.service.server()).snapshot, None);
        }
        assert!(site.sent.iter().any(|sent| sent.starts_with("008")), "{:?}", site.sent);
        assert!(site.sent.iter().any(|sent| sent.starts_with("011")));
        assert!(site.sent.iter().any(|sent| sent.starts_with("050")));
        let text: String =
            site.service.ledger.storage().files.values().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        for word in ["topup", "void", "status", "link", "remote"] {
            assert!(text.contains(&format!("\t{word}\t")), "no {word}");
        }
        assert!(text.contains("rest=1.00") && text.contains("for=f") && text.contains("nth=2"));
    }

    /// What offices have, in memory; it can fail.
    #[derive(Default)]
    struct Acks {
        kept: Vec<(acks::OfficeName, acks::Ack)>,
        writes: u32,
        fails: bool,
    }

    impl acks::AckKeeper for Acks {
        fn keep(&mut self, office: &acks::OfficeName, ack: &acks::Ack) -> io::Result<()> {
            if self.fails {
                return Err(io::Error::other("as the test wants"));
            }
            self.writes += 1;
            self.kept.retain(|(name, _)| name != office);
            self.kept.push((*office, *ack));
            Ok(())
        }

        fn forget(&mut self, office: &acks::OfficeName) -> io::Result<()> {
            self.kept.retain(|(name, _)| name != office);
            Ok(())
        }
    }

    const DAYS_MS: u64 = 86_400_000;

    #[test]
    fn segments_that_every_office_has_are_removed_after_keep_days_in_a_pause() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut kept = Acks::default();
        let mut site = Site::start(&mut tables, &mut storage);
        site.service.keep_offices(&mut kept, Ok(Vec::new()));
        site.service.keep_for_days(40);
        let (hq, other) = (acks::office_name("hq").unwrap(), acks::office_name("other").unwrap());
        let first = |site: &Site| ledger::segment::list(*site.service.ledger.storage()).unwrap()[0].first;
        let ack = |site: &mut Site, name| {
            let (now, head) = (now(site.at_ms), site.service.ledger.synced());
            site.service.take_ack(&now, name, 7, head).unwrap();
        };
        // Nobody has anything: nothing goes, however old.
        site.lunch(1, 20).unwrap();
        site.at_ms += 50 * DAYS_MS;
        site.lunch(21, 20).unwrap();
        site.turn(&[]).unwrap();
        assert_eq!(first(&site), EntrySeq(1));
        // One has all, and another nothing.
        ack(&mut site, &hq);
        site.service.take_ack(&now(site.at_ms), &other, 7, ledger::Head::default()).unwrap();
        site.lunch(41, 20).unwrap();
        site.at_ms += PAUSE_MS;
        site.turn(&[]).unwrap();
        assert_eq!(first(&site), EntrySeq(1), "the other office needs it");
        // Both have all: what is old goes in the next pause, a few at once; what is young stays.
        ack(&mut site, &hq);
        ack(&mut site, &other);
        site.at_ms += 60_000;
        site.turn(&[]).unwrap();
        let young = site.service.ledger.head().seq;
        site.lunch(61, 20).unwrap();
        assert_eq!(first(&site), EntrySeq(1), "not while frames come");
        let due = site.service.next_deadline().unwrap();
        assert!(due <= now(site.at_ms).mono.plus_ms(PAUSE_MS), "the loop wakes for it");
        site.at_ms += PAUSE_MS;
        site.turn(&[]).unwrap();
        let after = first(&site);
        assert!(EntrySeq(1) < after && after < young, "{after}");
        let storage = (*site.service.ledger.storage()).clone();
        compare(&storage, site.service.server());
        // A forgotten office holds nothing back; without any, nothing goes.
        for name in [&hq, &other] {
            assert!(site.service.forget_office(name, "li").unwrap());
        }
        site.at_ms += 50 * DAYS_MS;
        site.lunch(81, 20).unwrap();
        site.at_ms += PAUSE_MS;
        site.turn(&[]).unwrap();
        assert_eq!(first(&site), after);
        // With one that has all, everything up to the snapshot goes in the end.
        ack(&mut site, &hq);
        for number in 0..40 {
            site.at_ms += 41 * DAYS_MS;
            site.lunch(101 + number * 20, 20).unwrap();
            ack(&mut site, &hq);
            site.at_ms += 60_000;
            site.turn(&[]).unwrap();
            let storage = (*site.service.ledger.storage()).clone();
            assert!(compare(&storage, site.service.server()).snapshot.is_some());
        }
        let left = ledger::segment::list(*site.service.ledger.storage()).unwrap();
        let snapshot = site.service.ledger.snapshot().unwrap();
        assert!(left[0].first > EntrySeq(1000) && left[0].first <= snapshot.next(), "{:?} {snapshot}", left[0]);
    }

    #[test]
    fn what_an_office_has_is_written_once_a_minute_and_a_failure_removes_nothing() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut kept = Acks { fails: true, ..Acks::default() };
        let mut site = Site::start(&mut tables, &mut storage);
        site.service.keep_offices(&mut kept, Ok(Vec::new()));
        site.service.keep_for_days(1);
        let hq = acks::office_name("hq").unwrap();
        for number in 0..10 {
            site.at_ms += 5 * DAYS_MS;
            site.lunch(1 + number * 20, 20).unwrap();
            let head = site.service.ledger.synced();
            site.service.take_ack(&now(site.at_ms), &hq, 7, head).unwrap();
            site.at_ms += PAUSE_MS;
            site.turn(&[]).unwrap();
        }
        let list = ledger::segment::list(*site.service.ledger.storage()).unwrap();
        assert_eq!(list[0].first, EntrySeq(1), "its word is on no medium");
        drop(site);
        let mut kept = Acks::default();
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        site.service.keep_offices(&mut kept, Ok(Vec::new()));
        for _ in 0..130 {
            site.lunch(1, 1).unwrap();
            let head = site.service.ledger.synced();
            site.service.take_ack(&now(site.at_ms), &hq, 7, head).unwrap();
        }
        let lasted_ms = site.at_ms;
        assert!(site.service.next_deadline().is_some());
        drop(site);
        assert!((3..=lasted_ms / 60_000 + 2).contains(&u64::from(kept.writes)), "{} in {lasted_ms} ms", kept.writes);
    }

    #[test]
    fn a_turn_sends_acks_writes_sends_what_rests_on_nothing_syncs_then_sends_results() {
        let cases = [
            ("append", &["001", "001", "001"][..]),
            ("sync", &["001", "001", "001", "006", "009"]),
            ("nothing", &["001", "001", "001", "006", "009", "008"]),
        ];
        let mut tables = locked(&SERVING);
        for (fails, left) in cases {
            let mut storage = MemoryStorage::default();
            let mut site = Site::start(&mut tables, &mut storage);
            site.service.ledger_mut().fail = Some(format!("{fails} ledger-"));
            let enquiry = "102,00100,192.168.1.20,192.168.1.1,00002,8888888801".to_owned();
            let ended = site.turn(&[sale(1, 1), unknown(2), enquiry]);
            assert_eq!(ended.is_ok(), fails == "nothing");
            let codes: Vec<&str> = site.sent.iter().map(|reply| &reply[..3]).filter(|code| *code != "003").collect();
            assert_eq!(codes, left, "{fails} fails");
        }
    }

    #[test]
    fn a_snapshot_that_the_entries_after_it_contradict_is_not_believed() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        site.lunch(1, 37).unwrap();
        // Until a sale of an account in the newest snapshot follows that snapshot.
        for seq in 9000.. {
            let before = site.service.ledger.storage().files[snapshot::NAME].clone();
            site.turn(&[stored(seq)]).unwrap();
            if site.service.ledger.storage().files[snapshot::NAME] == before {
                break;
            }
        }
        let mut storage = (**site.service.ledger.storage()).clone();
        let text = String::from_utf8(storage.files[snapshot::NAME].clone()).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        // Adds a fen to each account, and seals the snapshot as if it had been written so.
        for line in lines.iter_mut().filter(|line| line.starts_with("account\t")) {
            let columns: Vec<&str> = line.split('\t').collect();
            let more = Figures { balance: Balance::from_fen(1), ..Figures::ZERO } + Figures::parse(columns[2]).unwrap();
            *line = format!("account\t{}\t{more}\t{}", columns[1], columns[3..].join("\t"));
        }
        let end = lines.pop().unwrap();
        let covered = format!("{}\n{}", lines.join("\n"), &end[..end.len() - 8]);
        let crc = ledger::line::continue_crc(0, covered.as_bytes());
        storage.files.insert(snapshot::NAME.to_owned(), format!("{covered}{crc:08x}\n").into_bytes());
        let replayed = compare(&storage, site.service.server());
        assert!(replayed.disbelief.is_some_and(|why| why.contains("contradict it")));
        assert_eq!((replayed.snapshot, replayed.head), (None, site.service.ledger.head()));
        // Without the segments before the snapshot, recovery cannot start from an earlier entry.
        let first = ledger::segment::list(&storage).unwrap().remove(0).name;
        storage.files.remove(&first);
        let mut other = locked(&OTHER);
        let mut server = Server::new(&mut other, settings().rules);
        let error = recovery::replay(&storage, server.book_to_replay()).unwrap_err().to_string();
        assert!(error.contains("balance") && !error.contains("missing"), "{error}");
    }

    #[test]
    fn a_large_snapshot_waits_for_a_pause_and_is_then_that_of_the_ledger() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        storage.files.insert(snapshot::NAME.to_owned(), vec![b'x'; 2 * 1024 * 1024]);
        let mut site = Site::start(&mut tables, &mut storage);
        site.lunch(1, 60).unwrap();
        let is_written =
            |site: &Site| site.service.ledger.storage().files[snapshot::NAME].starts_with(b"#posgate-snapshot");
        assert!(ledger::segment::list(site.service.ledger.storage()).unwrap().len() > 3 && !is_written(&site));
        let due = site.service.next_deadline().expect("a snapshot is due");
        assert!(due <= Mono(1000 + site.at_ms).plus_ms(PAUSE_MS));
        site.turn(&[unknown(1)]).unwrap();
        site.turn(&[]).unwrap();
        assert!(!is_written(&site), "a second is no pause");
        site.turn(&[]).unwrap();
        assert!(is_written(&site));
        let replayed = compare(site.service.ledger.storage(), site.service.server());
        assert!(replayed.snapshot.is_some() && replayed.disbelief.is_none());
        // It is written once per segment; a small snapshot is written when its segment begins.
        let whole = site.service.ledger.storage().files[snapshot::NAME].clone();
        for _ in 0..5 {
            site.turn(&[]).unwrap();
        }
        assert_eq!(site.service.ledger.storage().files[snapshot::NAME], whole);
        let segments = ledger::segment::list(site.service.ledger.storage()).unwrap().len();
        for number in 100.. {
            site.lunch(number, 1).unwrap();
            let is_new = ledger::segment::list(site.service.ledger.storage()).unwrap().len() > segments;
            assert_eq!(site.service.ledger.storage().files[snapshot::NAME] != whole, is_new);
            if is_new {
                break;
            }
        }
    }

    #[test]
    fn below_the_reserve_sales_and_stored_records_wait_and_doors_open_with_their_entries() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage { claims_free: Some(RESERVE), ..MemoryStorage::default() };
        let mut site = Site::start(&mut tables, &mut storage);
        assert_eq!(codes(&site.turn(&[sale(1, 1), stored(2), door(3)]).unwrap()), ["008", "050", "011"]);
        site.service.ledger_mut().claims_free = Some(RESERVE - 1);
        // Until no sale waits for its 109 any more.
        for _ in 0..40 {
            site.turn(&[]).unwrap();
        }
        let head = site.service.ledger.head();
        let sent = site.turn(&[sale(4, 1), stored(5), unknown(6)]).unwrap();
        assert_eq!(codes(&sent), ["006", "006"]);
        assert!(sent.iter().any(|reply| reply.contains(",888888880") && reply.contains("存储已满")), "{sent:?}");
        assert_eq!(site.service.ledger.head(), head, "refusals are counted, not written");
        assert!(codes(&site.turn(&[door(7)]).unwrap()).contains(&"050"));
        assert_eq!(site.service.ledger.head().seq, head.seq.next());
        for _ in 0..40 {
            site.turn(&[]).unwrap();
        }
        // A repeated frame gets its first result again: that result rests on an entry.
        assert_eq!(codes(&site.turn(&[sale(1, 1), stored(2)]).unwrap()), ["008", "011"]);
        let counters = site.service.server().counters();
        assert_eq!((counters.full, counters.left_out, counters.unwritten), (3, 2, 0));
        // Free space restores service, and the refusals are written when the minute is over.
        site.service.ledger_mut().claims_free = Some(RESERVE);
        assert_eq!(codes(&site.turn(&[sale(8, 1), stored(9)]).unwrap()), ["008", "011"]);
        // A refused frame stays refused: a person whose sale was refused has paid in cash.
        assert!(codes(&site.turn(&[sale(4, 1)]).unwrap()).contains(&"006"));
        site.at_ms += 200_000;
        site.turn(&[]).unwrap();
        let text =
            String::from_utf8(site.service.ledger.storage().files.values().next_back().unwrap().clone()).unwrap();
        assert!(text.contains("n=2"), "{text}");
        compare(site.service.ledger.storage(), site.service.server());
    }

    #[test]
    fn a_write_without_room_ends_the_process_with_the_ledger_cut_and_the_next_start_serves_doors_and_nothing_else() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        site.lunch(1, 3).unwrap();
        let (head, at_ms) = (site.service.ledger.head(), site.at_ms);
        let files = site.service.ledger.storage().files.clone();
        // Space for half a line.
        site.service.ledger_mut().capacity = Some(used(site.service.ledger.storage()) + 50);
        let heard = site.sent.len();
        let error = site.turn(&[sale(100, 1), door(101), unknown(102)]).unwrap_err();
        assert!(ledger::is_no_room(&error), "{error}");
        assert_eq!(codes(&site.sent[heard..]), [""; 0], "everyone is heard, and nobody told anything");
        assert_eq!(storage.files, files, "cut to its last synced end");

        // The devices send again, to a new process.
        let mut site = Site::start_at(&mut tables, &mut storage, at_ms + 5000);
        assert_eq!((site.service.ledger.head(), site.service.server().room()), (head, Room::Nothing));
        let sent = site.turn(&[sale(100, 1), door(101), stored(103), door(101)]).unwrap();
        assert_eq!(codes(&sent), ["006", "050", "050"]);
        assert!(sent.iter().any(|reply| reply.contains("存储已满")), "{sent:?}");
        let counters = site.service.server().counters();
        assert_eq!((counters.admitted_unwritten, counters.declined, counters.full), (1, 1, 2));
        // An approved sale is approved again: the result rests on an entry.
        let time = "2026-11-22 12:00:01";
        let known = format!("103,00001,192.168.1.20,192.168.1.1,00001,8888888802,1.50,{time},1234567890");
        assert!(codes(&site.turn(&[known]).unwrap()).contains(&"008"));
        assert_eq!(storage.files, files, "nothing is written");

        // With free space the process ends at once; the next start does the work that was left out.
        let mut site = Site::start_at(&mut tables, &mut storage, at_ms + 5000);
        site.turn(&[]).unwrap();
        site.service.ledger_mut().capacity = Some(used(site.service.ledger.storage()) + ROOM_TRIED_LEN + 2000);
        let error = site.turn(&[sale(104, 1)]).unwrap_err().to_string();
        assert!(error.starts_with("room free=") && error.contains("after a restart"), "{error}");
        assert_eq!(storage.files, files, "the trial is gone");
        let mut site = Site::start_at(&mut tables, &mut storage, at_ms + 15_000);
        assert_eq!(site.service.server().room(), Room::Open);
        let sent = site.turn(&[door(104), stored(103), sale(120, 2)]).unwrap();
        assert!(["008", "050", "011"].iter().all(|code| codes(&sent).contains(code)), "{sent:?}");
        compare(site.service.ledger.storage(), site.service.server());
        assert_eq!(starts(&storage), 2);
    }

    #[test]
    fn a_sync_without_room_cuts_what_it_should_have_made_durable() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        let files = site.service.ledger.storage().files.clone();
        let failing = site.service.ledger_mut();
        (failing.fail, failing.fails_for_room, failing.fails_once) = (Some("sync ledger-".to_owned()), true, true);
        assert!(ledger::is_no_room(&site.turn(&[sale(100, 1)]).unwrap_err()));
        assert!(codes(&site.sent).is_empty(), "{:?}", site.sent);
        assert_eq!(storage.files, files);
    }

    #[test]
    fn a_segment_that_finds_no_room_for_its_header_ends_the_process_and_leaves_no_half_of_it() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        site.service.limit_segments(1);
        let files = site.service.ledger.storage().files.clone();
        site.service.ledger_mut().capacity = Some(used(site.service.ledger.storage()) + 300);
        site.service.ledger_mut().claims_free = Some(1 << 20);
        assert!(ledger::is_no_room(&site.turn(&[sale(100, 1)]).unwrap_err()));
        assert_eq!(storage.files, files);
    }

    #[test]
    fn on_a_read_only_medium_doors_open_and_no_terminal_forgets_a_sale_that_may_not_be_there() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        site.turn(&[stored(1), sale(2, 1)]).unwrap();
        // The medium becomes read-only in the middle.
        site.service.ledger_mut().is_read_only = true;
        let error = site.turn(&[sale(3, 1)]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ReadOnlyFilesystem);
        let files = storage.files.clone();
        // The file system claims free space, or reports none.
        for claims_free in [None, Some(0)] {
            storage.claims_free = claims_free;
            let mut site = Site::start_at(&mut tables, &mut storage, 5000);
            assert_eq!(site.service.server().room(), Room::Nothing);
            let sent = site.turn(&[stored(1), sale(3, 1), door(4)]).unwrap();
            assert_eq!(codes(&sent), ["006", "050"], "no 011: what the page cache shows may not be on the medium");
            for seq in 5..60 {
                site.turn(&[door(seq)]).unwrap();
            }
            assert_eq!(storage.files, files);
        }
        storage.claims_free = None;
        let mut site = Site::start_at(&mut tables, &mut storage, 5000);
        site.service.ledger_mut().is_read_only = false;
        site.at_ms += ROOM_TRIED_MS;
        site.turn(&[door(60)]).unwrap_err();
        let mut site = Site::start_at(&mut tables, &mut storage, 40_000);
        assert_eq!(codes(&site.turn(&[stored(1)]).unwrap()), ["011"]);
    }

    /// The number of `start` entries.
    fn starts(storage: &MemoryStorage) -> usize {
        let segments = ledger::segment::list(storage).unwrap();
        let starts_of = |name: &String| String::from_utf8_lossy(&storage.files[name]).matches("\tstart\t").count();
        segments.iter().map(|segment| starts_of(&segment.name)).sum()
    }

    #[test]
    fn a_start_on_a_full_disk_serves_without_entries_and_the_start_after_it_mends() {
        let mut tables = locked(&SERVING);
        let mut first = MemoryStorage::default();
        Site::start(&mut tables, &mut first).lunch(1, 20).unwrap();
        let torn = b"9999\t2026-11-22T12:0";
        // The ledger's end is whole or torn; overwriting a byte in place takes new space or none;
        // the file system reports that it is full, or claims free space.
        for case in 0..8 {
            let (is_torn, writes_elsewhere, is_boasting) = (case & 1 > 0, case & 2 > 0, case & 4 > 0);
            let mut storage = MemoryStorage { writes_elsewhere, ..first.clone() };
            let newest = ledger::segment::list(&storage).unwrap().pop().unwrap().name;
            if is_torn {
                storage.files.get_mut(&newest).unwrap().extend_from_slice(torn);
            }
            let files = storage.files.clone();
            fill(&mut storage);
            storage.claims_free = is_boasting.then_some(1 << 20);
            let mut site = Site::start_at(&mut tables, &mut storage, 600_000);
            assert_eq!(site.service.server().room(), Room::Nothing, "{case}");
            let enquiry = "102,00100,192.168.1.20,192.168.1.1,00001,8888888801".to_owned();
            let sent = site.turn(&[sale(110, 1), door(102), enquiry, stored(9003), unknown(104)]).unwrap();
            assert_eq!(codes(&sent), ["006", "009", "006", "050"], "{case}");
            // The process can be stopped cleanly in this state.
            site.service.stop(&now(site.at_ms), &mut |_| ()).unwrap();
            assert_eq!(storage.files, files, "nothing is touched");
            let mut site = Site::start_at(&mut tables, &mut storage, 700_000);
            site.service.ledger_mut().capacity = None;
            site.at_ms += ROOM_TRIED_MS;
            let error = site.turn(&[sale(111, 1)]).unwrap_err().to_string();
            assert!(error.starts_with("room free="), "{error}");
            let mut site = Site::start_at(&mut tables, &mut storage, 720_000);
            let sent = site.turn(&[sale(111, 1), door(105), stored(9003)]).unwrap();
            assert!(["008", "050", "011"].iter().all(|code| codes(&sent).contains(code)), "{sent:?}");
            assert_eq!((site.service.server().room(), starts(site.service.ledger.storage())), (Room::Open, 2));
            let replayed = compare(site.service.ledger.storage(), site.service.server());
            assert_eq!((replayed.tail, replayed.head), (None, site.service.ledger.head()));
            assert_eq!(storage.files.get(&format!("{newest}.torn")).map(Vec::as_slice), is_torn.then_some(&torn[..]));
            assert!(storage.files[&newest].starts_with(&files[&newest][..files[&newest].len() - torn.len()]));
        }
    }

    /// The file system claims free space, but the first byte of the `start` entry does not fit, or
    /// its last byte, or its sync fails.
    #[test]
    fn a_start_entry_that_finds_no_room_is_found_out_before_anybody_is_answered() {
        let mut tables = locked(&SERVING);
        let mut first = MemoryStorage { claims_free: Some(1 << 20), ..MemoryStorage::default() };
        Site::start(&mut tables, &mut first).lunch(1, 3).unwrap();
        for room in [Some(0), Some(40), None] {
            let mut storage = first.clone();
            storage.capacity = room.map(|room| used(&storage) + room);
            if room.is_none() {
                // Not the first sync, which belongs to the mending of the ledger.
                let newest = ledger::segment::list(&storage).unwrap().pop().unwrap().name;
                storage.fail = Some(format!("append {newest}"));
                storage.fails_for_room = true;
            }
            let files = storage.files.clone();
            let mut site = Site::start_at(&mut tables, &mut storage, 600_000);
            assert_eq!((site.service.server().room(), starts(site.service.ledger.storage())), (Room::Nothing, 1));
            compare(site.service.ledger.storage(), site.service.server());
            for seq in 100..109 {
                assert!(codes(&site.turn(&[door(seq)]).unwrap()).contains(&"050"));
            }
            assert_eq!(storage.files, files, "{room:?}");
        }
    }

    #[test]
    fn a_first_start_on_a_full_disk_is_an_error_and_leaves_nothing_behind() {
        let mut tables = locked(&SERVING);
        for capacity in [0, 100, 511] {
            let mut storage = MemoryStorage { capacity: Some(capacity), ..MemoryStorage::default() };
            let mut server = Server::new(&mut tables.0, settings().rules);
            let opened = Ledger::open(&mut storage, "test", now(0).stamp, || 7, server.book_to_replay());
            assert!(matches!(opened, Err(ledger::OpenError::Io(error)) if ledger::is_no_room(&error)));
            assert!(storage.files.is_empty(), "{:?}", storage.files.keys());
        }
    }

    /// Uses the longest names, serials, accounts and amounts that can be configured; each frame
    /// opens an account and ends an older command.
    #[test]
    fn what_a_frame_leads_to_fits_what_a_turn_allows_for_it() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        site.service.limit_segments(u64::MAX);
        let config = "config server 'main'\n option rate_source '0'\nconfig device\n option machine '00002'\n list place 'canteen'\n\
                      config period\n option name '一二三四五六七八'\n option from '00:00'\n option to '23:59'\n list place 'canteen'\n\
                      config door\n option machine '00007'\n option door '1'\n";
        let rules = config::parse(config.as_bytes(), Path::new("/site/posgate")).unwrap().rules;
        let mut table = "card,account,balance,uses,code\n".to_owned();
        for number in 0..40 {
            writeln!(table, "{},一二三四五六{number:06},9000000.00,9000000,member{number}", 7_777_777_700_u64 + number)
                .unwrap();
        }
        let table = cards::parse(table.as_bytes(), Path::new("/site/cards.csv"), &rules.groups).unwrap();
        site.service.server_mut().install(rules, &table.records, Origin::default()).unwrap();
        let (mut longest, mut number) = (0, 0);
        site.at_ms = 1000;
        let serial = "12345678901234567890";
        for _ in 0..8 {
            for kind in 0..5 {
                number += 1;
                let card = 7_777_777_700_u64 + number;
                let head =
                    |code: u16, machine: u16| format!("{code},{number:05},192.168.1.20,192.168.1.1,{machine:05}");
                let time = format!("2026-11-22 12:00:{:02}", number % 60);
                let frame = match kind {
                    0 => format!("{},{card},999999.99,{time},{serial}", head(103, 2)),
                    1 => format!("{},{card},{time},{serial}", head(104, 2)),
                    2 => format!("{},{card},999.99,0000-00-00 00:00:00,0,{number:010},3,{serial}", head(105, 2)),
                    3 => format!("{},{number:010},999999.99,{time},,member{number},{serial}", head(128, 2)),
                    _ => format!("{},{card},1,1,0,0,,{time},{serial}", head(150, 7)),
                };
                let before = site.service.ledger.appended();
                // All at one instant: entries of timers do not count for the frame.
                site.at_ms -= 1000;
                site.turn(&[frame]).unwrap();
                longest = longest.max(site.service.ledger.appended() - before);
            }
        }
        assert!((FRAME_ENTRIES_BYTES as u64 * 7 / 8..=FRAME_ENTRIES_BYTES as u64).contains(&longest), "{longest}");
    }

    #[test]
    fn a_turn_takes_what_fills_its_one_write_and_no_more() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        // One turn opens accounts, two do not.
        for turn in 0..3 {
            let (writes, syncs, written) = site.full_turn(|number| sale(turn * 10_000 + number, 100 + number));
            assert_eq!((writes, syncs), (1, 1));
            assert!((TAIL_LEN_MAX * 6 / 8..=TAIL_LEN_MAX).contains(&written), "{written}");
        }
        // Stored sales count although the server decides them at the end of the turn.
        for turn in 0..3 {
            let frame = |number| stored_of(2000 + number, turn + 1);
            let (writes, syncs, written) = site.full_turn(frame);
            assert_eq!((writes, syncs), (1, 1));
            assert!((TAIL_LEN_MAX * 2 / 8..=TAIL_LEN_MAX).contains(&written), "{written}");
        }
    }

    #[test]
    fn a_turn_whose_entries_did_not_fit_one_write_takes_no_more_frames() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        let is_written = |site: &Site, from: usize| {
            site.service.ledger.storage().done[from..].iter().any(|step| step.starts_with("append"))
        };
        let from = site.service.ledger.storage().done.len();
        let mut keys = (0..).map(|number| format!("k-{number}"));
        while !is_written(&site, from) {
            let _answer = site.service.operate(&now(1000), &order(topup(1), &keys.next().unwrap())).unwrap();
        }
        assert_eq!(site.service.batch(), 0);
        site.turn(&[]).unwrap();
        assert!(site.service.batch() > 0);
    }

    /// Found by the simulation: after a door opened without an entry, the server remembered sixteen
    /// later answers, not 32.
    #[test]
    fn a_recorded_door_does_not_open_again_because_nothing_can_be_written() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = start_full(&mut tables, &mut storage);
        for seq in 2..=32 {
            assert!(codes(&site.turn(&[door(seq)]).unwrap()).contains(&"050"));
        }
        let sent = site.turn(&[door(1)]).unwrap();
        // The last answer is sent again too.
        let is_of_card = |reply: &&String| reply.contains(",8888888802,");
        assert_eq!(codes(&sent.iter().filter(is_of_card).cloned().collect::<Vec<_>>()), ["051"], "{sent:?}");
    }

    /// Found by the simulation: a frame of another sender under the board's number ended the memory
    /// of answers without an entry.
    #[test]
    fn a_recorded_door_does_not_open_again_because_another_sent_under_its_number() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = start_full(&mut tables, &mut storage);
        // The clash window is over.
        site.at_ms += 3_600_000;
        let peer = Peer { source: "192.168.1.21:5000".parse().unwrap(), local: [192, 168, 1, 1].into(), socket: 0 };
        site.service.receive(&now(site.at_ms), peer, door(2).as_bytes(), false).unwrap();
        let sent = site.turn(&[]).unwrap();
        assert!(codes(&sent).contains(&"050"), "{sent:?}");
        site.at_ms += 3_600_000;
        assert_eq!(codes(&site.turn(&[door(1)]).unwrap()), ["051"]);
    }

    #[test]
    fn an_order_is_durable_before_it_is_answered_and_done_once() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        let done = site.ordered(&order(topup(500), "A")).unwrap().unwrap();
        assert_eq!((done.seq, done.is_again), (EntrySeq(3), false));
        let (id, held) = done.account.unwrap();
        assert_eq!((id.as_str(), held.balance, held.uses), ("@8888888801", Balance::from_fen(100_500), 100));
        assert!(site.service.ledger.storage().done.last().is_some_and(|step| step.starts_with("sync")));
        let again = site.ordered(&order(topup(500), "A")).unwrap().unwrap();
        assert_eq!((again.seq, again.is_again), (EntrySeq(3), true));
        assert_eq!(site.service.ledger.head().seq, EntrySeq(3));
        assert_eq!(site.ordered(&order(topup(501), "A")).unwrap(), Err(Refused::KeyUsed { seq: EntrySeq(3) }));
        assert_eq!(site.service.would(&now(site.at_ms), &order(topup(0), "B")).unwrap(), Err(Refused::Zero));
        compare(site.service.ledger.storage(), site.service.server());
    }

    #[test]
    fn a_void_finds_its_sale_in_this_turn_and_in_any_segment() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        site.turn(&[sale(1, 41)]).unwrap();
        let old = site.service.ledger.head().seq;
        site.lunch(1, 60).unwrap();
        assert!(site.service.ledger.storage().files.len() > 5);
        let void = |sale, key: &str| order(Act::Void { sale, amount: None, card: None }, key);
        assert!(site.ordered(&void(old, "A")).unwrap().is_ok());
        let now = now(site.at_ms);
        let peer = Peer { source: "192.168.1.20:5000".parse().unwrap(), local: [192, 168, 1, 1].into(), socket: 0 };
        site.service.receive(&now, peer, sale(60_000, 42).as_bytes(), false).unwrap();
        let new = site.service.ledger.head().seq;
        assert!(site.service.operate(&now, &void(new, "B")).unwrap().is_ok());
        assert!(codes(&site.turn(&[]).unwrap()).contains(&"008"));
        let none = void(EntrySeq(9999), "C");
        assert_eq!(site.ordered(&none).unwrap(), Err(Refused::NoSuchEntry { seq: EntrySeq(9999) }));
        compare(site.service.ledger.storage(), site.service.server());
    }

    #[test]
    fn an_order_uses_the_reserve_and_what_cannot_be_written_was_not_done() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        site.service.ledger_mut().claims_free = Some(RESERVE - 1);
        assert!(site.ordered(&order(topup(500), "A")).unwrap().is_ok());
        site.service.ledger_mut().capacity = Some(used(site.service.ledger.storage()) + 50);
        assert!(ledger::is_no_room(&site.ordered(&order(topup(700), "B")).unwrap_err()));
        // After the next start the server knows that the disk is full, and refuses the order.
        let mut site = Site::start_at(&mut tables, &mut storage, 10_000);
        assert_eq!(site.ordered(&order(topup(700), "B")).unwrap(), Err(Refused::Full));
        // An order that was done before is reported in any state.
        assert!(site.ordered(&order(topup(500), "A")).unwrap().is_ok_and(|done| done.is_again));
        storage.capacity = None;
        let mut site = Site::start_at(&mut tables, &mut storage, 20_000);
        let done = site.ordered(&order(topup(700), "B")).unwrap().unwrap();
        assert_eq!(done.account.map(|(_, held)| held.balance), Some(Balance::from_fen(101_200)));
        compare(site.service.ledger.storage(), site.service.server());
    }

    /// Removes the newest segment's last line, except its first `but` bytes; returns the line.
    fn cut_last_line(storage: &mut MemoryStorage, but: usize) -> String {
        let name = ledger::segment::list(storage).unwrap().pop().unwrap().name;
        let bytes = storage.files.get_mut(&name).unwrap();
        let begin = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        let line = String::from_utf8(bytes[begin..].to_vec()).unwrap();
        bytes.truncate(begin + but);
        line
    }

    #[test]
    fn a_purse_that_left_one_account_comes_to_the_other_at_the_start_after_the_power_went() {
        let mut tables = locked(&SERVING);
        let id = |text: &str| AccountId::try_from(text).unwrap();
        let card = CardNo::from_value(8_888_888_803);
        let account = order(Act::Account { card, account: id("S1") }, "A");
        let rename = order(Act::Rename { old: id("S1"), new: id("S2") }, "R");
        for (has_snapshot, is_rename, but) in
            [(false, false, 0), (false, true, 0), (true, false, 0), (true, true, 0), (true, true, 20)]
        {
            let case = format!("snapshot {has_snapshot}, rename {is_rename}, {but} bytes left");
            let mut storage = MemoryStorage::default();
            let mut site = Site::start(&mut tables, &mut storage);
            site.service.limit_segments(if has_snapshot { 4096 } else { u64::MAX });
            site.lunch(1, 37).unwrap();
            site.service.limit_segments(u64::MAX);
            assert_eq!(site.service.ledger.storage().files.contains_key(snapshot::NAME), has_snapshot, "{case}");
            let mut order = &account;
            let mut done = site.ordered(order).unwrap().unwrap();
            if is_rename {
                order = &rename;
                done = site.ordered(order).unwrap().unwrap();
            }
            let (to, held) = done.account.unwrap();
            assert!(held.balance > Balance::ZERO && held.uses > 0, "{case}");
            let at_ms = site.at_ms;
            // The power fails between the two entries; then the first start has no space for the
            // second entry.
            let line = cut_last_line(&mut storage, but);
            assert!(line.contains(" from=") || line.contains("\tfrom="), "{case}: {line}");
            storage.capacity = Some(used(&storage));
            let mut site = Site::start_at(&mut tables, &mut storage, at_ms + 10_000);
            assert_eq!(site.service.server().room(), Room::Nothing, "{case}");
            assert!(site.ordered(order).unwrap().is_err(), "{case}: half of it is not done");
            storage.capacity = None;
            let mut site = Site::start_at(&mut tables, &mut storage, at_ms + 20_000);
            let moved = |site: &Site, name: &str| {
                let book = site.service.server().book();
                book.account_row(name).map(|row| book.account(row).held)
            };
            assert_eq!(moved(&site, &to), Some(held), "{case}");
            let from = if is_rename { id("S1") } else { card.own_account() };
            assert_eq!(moved(&site, &from), Some(Figures::ZERO), "{case}");
            assert_eq!(site.service.server().account_of(card), site.service.server().book().account_row(&to), "{case}");
            // The second entry is written once, before the `start`, and unchanged except for its
            // time and its crc.
            let name = ledger::segment::list(site.service.ledger.storage()).unwrap().pop().unwrap().name;
            let text = String::from_utf8(site.service.ledger.storage().files[&name].clone()).unwrap();
            let last: Vec<&str> = text.lines().rev().take(2).collect();
            let columns = |line: &str| -> Vec<String> { line.trim_end().split('\t').map(str::to_owned).collect() };
            let (was, is) = (columns(&line), columns(last[1]));
            let differ: Vec<usize> = (0..was.len()).filter(|column| was[*column] != is[*column]).collect();
            assert!(last[0].contains("\tstart\t"), "{case}: {}", last[0]);
            assert!(differ.len() <= 3 && was.len() == is.len(), "{case}: {differ:?}: {line}{}", last[1]);
            let mut whole = (*site.service.ledger.storage()).clone();
            assert_eq!(compare(&whole, site.service.server()).disbelief, None, "{case}");
            whole.files.remove(snapshot::NAME);
            assert_eq!(compare(&whole, site.service.server()).snapshot, None, "{case}");
            // The same order is reported as done; another start does not write the entry again.
            let again = site.ordered(order).unwrap().unwrap();
            assert_eq!((again.is_again, again.account), (true, Some((to, held))), "{case}");
            drop(site);
            let site = Site::start_at(&mut tables, &mut storage, at_ms + 30_000);
            assert_eq!(moved(&site, &to), Some(held), "{case}");
        }
    }

    #[test]
    fn a_card_is_replaced_as_often_as_its_row_is_found() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        let card = |number: usize| CardNo::from_value(8_888_888_820 + number as u64);
        for number in 0..LINKS_MAX {
            let link = Act::Link { old: card(number), new: card(number + 1) };
            assert!(site.ordered(&order(link, &format!("k{number}"))).unwrap().is_ok(), "{number}");
            assert!(site.service.server().card_row(card(number + 1)).is_some(), "{number}");
        }
        let one_more = Act::Link { old: card(LINKS_MAX), new: card(LINKS_MAX + 1) };
        assert_eq!(site.ordered(&order(one_more, "more")).unwrap(), Err(Refused::TooManyLinks));
        compare(site.service.ledger.storage(), site.service.server());
    }

    /// What a reload makes of accounts and cards, if sales and orders come between its steps.
    fn reloaded_amid(looks_up_first: bool) -> Vec<String> {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        let id = |text: &str| AccountId::try_from(text).unwrap();
        let card = |number: u64| CardNo::from_value(8_888_888_800 + number).padded();
        let mut records = card_file().records;
        // Card 3 would be on an account of another holder, card 4 on a new one; two cards are new;
        // card 6 is gone; each states another figure.
        for record in &mut records {
            record.balance = Some(Balance::from_fen(700));
            record.line += 1;
        }
        records[2].account = records[4].account;
        records[3].account = id("S-NEW");
        let new = |number, account| CardRecord { card: card(number), account, ..records[0].clone() };
        records.extend([new(50, id("S-OTHER")), new(51, card(9).own_account())]);
        records.remove(5);
        let mut table = IncomingTable::of(&records);
        while looks_up_first && site.service.server().look_up(&mut table, 3) {}
        // Sales of cards that never moved, among them 3, 4, 6 and 9; one of a card that is in no
        // table; and a card of the new table that gets an account by an order.
        site.lunch(1, 12).unwrap();
        let unknown = "105,00099,192.168.1.20,192.168.1.1,00021,8888888851,2.25,2026-11-22 11:00:00,0,00000099,3";
        site.turn(&[unknown.to_owned()]).unwrap();
        let account = Act::Account { card: card(14), account: id("S-OTHER") };
        assert!(site.ordered(&order(account, "A")).unwrap().is_ok());
        let rules = site.service.server().rules().clone();
        let ignored = site.service.server_mut().install_table(rules, table, Origin::default()).unwrap();
        let server = site.service.server();
        let mut said: Vec<String> = ignored.iter().map(|account| format!("ignored {account}")).collect();
        for account in server.book().accounts() {
            let known = (account.figures(), account.unopened(), account.is_opened(), account.named_by());
            said.push(format!("{} {known:?}", account.id));
        }
        for number in 1..=60 {
            let account = server.account_of(card(number)).map(|row| server.book().account(row).id);
            said.push(format!("{number} {account:?} {}", server.cards().find(card(number)).is_some()));
        }
        said.sort();
        said
    }

    #[test]
    fn what_sales_and_orders_do_while_a_table_comes_counts_when_it_is_switched() {
        let at_once = reloaded_amid(false);
        assert!(at_once.iter().any(|line| line.starts_with("ignored")), "{at_once:#?}");
        assert!(at_once.iter().any(|line| line.starts_with("S-NEW ") && line.contains(" None, false")), "{at_once:#?}");
        assert_eq!(reloaded_amid(true), at_once);
    }

    #[test]
    fn what_is_asked_to_be_synced_is_synced() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        site.turn(&[unknown(1)]).unwrap();
        assert!(site.service.ledger.unsynced());
        site.service.sync_at_end();
        site.turn(&[]).unwrap();
        assert!(!site.service.ledger.unsynced());
    }

    #[test]
    fn a_disk_that_claims_room_it_does_not_have_is_tried_and_not_believed() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage { claims_free: Some(1 << 30), ..MemoryStorage::default() };
        drop(Site::start(&mut tables, &mut storage));
        storage.capacity = Some(0);
        let mut site = Site::start(&mut tables, &mut storage);
        for seq in 100..200 {
            let sent = site.turn(&[sale(seq, 1)]).unwrap();
            assert!(!codes(&sent).contains(&"008"), "{sent:?}");
        }
        let trials = site.service.ledger.storage().done.iter().filter(|step| *step == "create room.tmp").count();
        assert!((5..=10).contains(&trials), "{trials} in a hundred seconds");
        assert!(!site.service.ledger.storage().files.contains_key("room.tmp"));
        // Without frames there are no trials.
        let steps = site.service.ledger.storage().done.len();
        for _ in 0..100 {
            site.turn(&[]).unwrap();
        }
        assert_eq!(site.service.ledger.storage().done.len(), steps);
    }

    #[test]
    fn whatever_the_disk_holds_what_was_approved_is_in_the_ledger_and_the_state_is_its_replay() {
        let mut tables = locked(&SERVING);
        for capacity in (5_000..50_000).step_by(1_237) {
            let mut storage = MemoryStorage::default();
            let mut site = Site::start(&mut tables, &mut storage);
            site.service.ledger_mut().capacity = Some(capacity);
            let mut sent = Vec::new();
            // After a turn that found no space, another process may still have some, because no
            // real reserve is this small.
            for process in 1.. {
                assert!(ledger::is_no_room(&site.lunch(process * 600, 600).unwrap_err()));
                sent.append(&mut site.sent);
                let at_ms = site.at_ms + 5000;
                site = Site::start_at(&mut tables, &mut storage, at_ms);
                if site.service.server().room() == Room::Nothing {
                    break;
                }
            }
            let storage = &**site.service.ledger.storage();
            let replayed = compare(storage, site.service.server());
            assert_eq!((replayed.head, &replayed.tail), (site.service.ledger.head(), &None), "{capacity}");
            let segments = ledger::segment::list(storage).unwrap();
            let lines: String =
                segments.iter().map(|segment| String::from_utf8_lossy(&storage.files[&segment.name])).collect();
            let entries = |kind: &str| lines.lines().filter(|line| line.split('\t').nth(3) == Some(kind)).count();
            let distinct = |code: &str| -> usize {
                let replies = sent.iter().filter(|sent| sent.starts_with(code));
                replies.collect::<std::collections::BTreeSet<_>>().len()
            };
            // An approval names card and balance, so only a resent approval is equal.
            assert_eq!(distinct("008"), entries("charge") + entries("meal"), "{capacity}");
            assert_eq!(distinct("011"), entries("offline") + entries("matched"), "{capacity}");
            assert!(distinct("050") > 0, "{capacity}");
        }
    }

    /// A stored sale of this machine.
    fn stored_of(machine: u64, seq: u64) -> String {
        let card = 8_888_888_801 + machine % 20;
        format!("105,{seq:05},192.168.1.20,192.168.1.1,{machine:05},{card},0.25,2026-11-22 11:00:00,0,{seq:08},3")
    }

    #[test]
    fn a_turns_stored_sales_are_decided_after_its_live_requests_and_none_waits_for_a_later_turn() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        let mut frames: Vec<String> = (100..210).map(|machine| stored_of(machine, 1)).collect();
        // A terminal's own request follows its stored sale, and so follows all other stored sales.
        frames.extend([sale(3, 100), sale(1, 1), door(2)]);
        let sent = site.turn(&frames).unwrap();
        assert_eq!(sent.iter().filter(|reply| reply.starts_with("001")).count(), 113);
        assert!(sent[..113].iter().all(|reply| reply.starts_with("001")), "everyone is heard at once");
        let answers = codes(&sent);
        assert_eq!(answers[..2], ["008", "050"]);
        assert_eq!(answers[2..], [&["011"; 110][..], &["008"]].concat());
        assert_eq!(site.service.server().counters().offline, 110);
        assert_eq!(site.service.server().aside(), 0);
        compare(site.service.ledger.storage(), site.service.server());
    }

    #[test]
    fn frames_of_one_device_keep_their_order() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        let head = |code, seq| format!("{code},{seq:05},192.168.1.20,192.168.1.1,00001");
        let pay = |seq, second| format!("{},8888888801,2.00,2026-11-22 12:00:{second:02}", head(103, seq));
        // A device that confirms; its second sale stays in doubt.
        site.turn(&[pay(1, 1)]).unwrap();
        site.turn(&[head(109, 2)]).unwrap();
        site.turn(&[pay(3, 10)]).unwrap();
        // The terminal also booked the sale in doubt, and the 109 that ends the doubt follows at
        // once.
        let again = format!("{},8888888801,2.00,2026-11-22 12:00:20,0,00000001,1", head(105, 4));
        let others: Vec<String> = (100..200).map(|machine| stored_of(machine, 1)).collect();
        site.turn(&[others, vec![again, head(109, 5)]].concat()).unwrap();
        let counters = site.service.server().counters();
        assert_eq!((counters.recognized, counters.offline), (1, 100), "it is that sale, and charged once");
    }

    #[test]
    fn the_room_is_asked_for_once_a_second_and_never_when_idle() {
        let mut tables = locked(&SERVING);
        let mut storage = MemoryStorage::default();
        let mut site = Site::start(&mut tables, &mut storage);
        let before = site.service.ledger.storage().asked.get();
        for _ in 0..50 {
            site.turn(&[]).unwrap();
        }
        assert_eq!(site.service.ledger.storage().asked.get(), before);
        for seq in 0..50 {
            site.at_ms -= 980;
            site.turn(&[unknown(seq), door(seq)]).unwrap();
        }
        assert!(site.service.ledger.storage().asked.get() <= before + 5, "a second, and a few segments");
    }
}
