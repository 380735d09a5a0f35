//! The order of a turn, whatever carries the datagrams (design.md, section 1).
//!
//! [`Service`] joins the server to its ledger. What always holds: a turn's prompt mail leaves first, then all its
//! entries are written, then synced if anything rests on them, and only then does its committed mail leave. After an
//! error nothing may be called any more: what is in memory then is not what is on the medium.
//! [`Loop`](super::Loop) drives it from sockets; the simulation drives it from a world of its own.

use std::io;

use log::{info, warn};

use crate::ledger::{Ledger, Refusal, State, Storage};
use crate::limits::{TURN_BATCH, TURN_DATAGRAMS_MAX};
use crate::model::{Entry, EntrySeq, Mono, Now};
use crate::server::{Effects, Mailbag, Peer, Server};

/// Entries that nothing rests on are synced within so long (design.md, section 7).
const SYNC_WITHIN_MS: u64 = 5000;

/// Sends a bag of mail. What cannot be sent is lost: devices send again, and so do we.
pub type Post<'a> = &'a mut dyn FnMut(&Mailbag);

/// A server, its ledger, and the effects on their way from one to the other.
pub struct Service<'t, S: Storage> {
    server: Server<'t>,
    ledger: Ledger<S>,
    fx: &'t mut Effects,
    /// Whether an entry of this turn must be durable before the turn's results leave.
    must_sync: bool,
    /// Whether entries of this turn were written before its end: more than one write holds.
    has_written: bool,
    /// Since when written entries wait for a sync.
    unsynced_since: Option<Mono>,
}

impl<'t, S: Storage> Service<'t, S> {
    /// Of a server into which the ledger was replayed.
    pub fn new(server: Server<'t>, ledger: Ledger<S>, fx: &'t mut Effects) -> Self {
        fx.clear();
        Self { server, ledger, fx, must_sync: false, has_written: false, unsynced_since: None }
    }

    /// What is served.
    pub fn server(&self) -> &Server<'t> {
        &self.server
    }

    /// For a reload; [`Service::reloaded`] follows if it was taken.
    pub fn server_mut(&mut self) -> &mut Server<'t> {
        &mut self.server
    }

    /// Bytes of a ledger segment before the next one begins.
    pub fn limit_segments(&mut self, segment_bytes: u64) {
        self.ledger.limit_segments(segment_bytes);
    }

    /// The mail of the running turn, and entries on their way to the ledger.
    pub fn effects(&self) -> &Effects {
        self.fx
    }

    /// Writes the `start` entry, before anything is received.
    ///
    /// # Errors
    /// If the ledger cannot be written or synced.
    pub fn start(&mut self, now: &Now, post: Post) -> io::Result<()> {
        self.server.start(now, self.fx);
        self.collect()?;
        self.must_sync = true;
        self.commit(now, post)
    }

    /// Writes the `reload` entry, after the server installed what was read.
    ///
    /// # Errors
    /// If the ledger cannot be written or synced.
    pub fn reloaded(&mut self, now: &Now, post: Post) -> io::Result<()> {
        self.server.reloaded(now, self.fx);
        self.collect()?;
        self.commit(now, post)
    }

    /// Makes everything durable and writes the `stop` entry.
    ///
    /// # Errors
    /// If the ledger cannot be written or synced.
    pub fn stop(&mut self, now: &Now, post: Post) -> io::Result<()> {
        // First all that was written: a `stop` that the next start finds must not vouch for entries that a
        // failed sync of its own left in the page cache only.
        self.must_sync = true;
        self.commit(now, post)?;
        self.server.stop(now, self.fx);
        self.collect()?;
        self.must_sync = true;
        self.commit(now, post)?;
        let counters = self.server.counters();
        info!("stop received={} approved={} declined={}", counters.received, counters.approved, counters.declined);
        Ok(())
    }

    /// When there is something to do though no datagram came.
    pub fn next_deadline(&self) -> Option<Mono> {
        let sync_at = self.unsynced_since.map(|since| since.plus_ms(SYNC_WITHIN_MS));
        [self.server.next_deadline(), sync_at].into_iter().flatten().min()
    }

    /// Whether a batch's replies leave room for those of timers, and its entries likely fit the turn's one write.
    pub fn takes_a_batch(&self) -> bool {
        self.fx.has_room(2 * TURN_BATCH) && !self.ledger.is_half_full()
    }

    /// A datagram of this turn, one of at most [`TURN_BATCH`] since [`Service::takes_a_batch`] was asked. `is_oversize`:
    /// these are the first bytes of a longer one.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn receive(&mut self, now: &Now, peer: Peer, datagram: &[u8], is_oversize: bool) -> io::Result<()> {
        if is_oversize {
            self.server.handle_oversize(now, peer, datagram);
        } else {
            self.server.handle(now, peer, datagram, self.fx);
        }
        self.collect()
    }

    /// Ends a turn: handles the deadlines that passed, and commits.
    ///
    /// # Errors
    /// If the ledger cannot be written or synced.
    pub fn end_turn(&mut self, now: &Now, post: Post) -> io::Result<()> {
        // After the datagrams: a 109 may wait among them for the command that a timer would send again or give up.
        let mut fired = 0;
        while fired < TURN_DATAGRAMS_MAX && self.fx.has_room(1) && self.server.on_timer(now, self.fx) {
            self.collect()?;
            fired += 1;
        }
        self.commit(now, post)
    }

    /// Hands the entries of one frame, timer or signal to the ledger.
    fn collect(&mut self) -> io::Result<()> {
        for entry in &self.fx.entries {
            self.must_sync |= entry.is_committed();
            self.ledger.append(entry);
        }
        self.fx.entries.clear();
        if !self.ledger.has_room() {
            // More entries than one write holds: the turn's sync covers them all.
            self.has_written = true;
            self.ledger.write()?;
        }
        Ok(())
    }

    /// Sends what rests on nothing, makes the turn's entries durable, and sends what rests on them.
    fn commit(&mut self, now: &Now, post: Post) -> io::Result<()> {
        send(&mut self.fx.prompt, post);
        // A turn's entries stand in one segment.
        let is_new_segment = !self.has_written && self.ledger.is_segment_full();
        if is_new_segment {
            self.ledger.rotate(now.stamp)?;
        }
        self.has_written = false;
        self.ledger.write()?;
        if !self.ledger.unsynced() {
            self.unsynced_since = None;
        } else if self.must_sync
            || is_new_segment
            || self.unsynced_since.is_some_and(|since| now.mono.ms_since(since) >= SYNC_WITHIN_MS)
        {
            self.ledger.sync()?;
            self.unsynced_since = None;
        } else if self.unsynced_since.is_none() {
            self.unsynced_since = Some(now.mono);
        }
        self.must_sync = false;
        send(&mut self.fx.committed, post);
        if is_new_segment {
            self.write_snapshot(now);
        }
        Ok(())
    }

    /// A snapshot saves the next start time, and lets old segments be taken away: without a new one the old one does.
    fn write_snapshot(&mut self, now: &Now) {
        match self.ledger.write_snapshot(now.stamp, &self.server) {
            Ok(()) => info!("snapshot seq={}", self.ledger.head().seq),
            Err(error) => warn!("snapshot-failed error=\"{error}\": the one before stays"),
        }
    }
}

impl State for Server<'_> {
    fn rewind(&mut self) {
        self.rewind_book();
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), Refusal> {
        self.restore(entry).map_err(|mismatch| Refusal(mismatch.to_string()))
    }

    fn restore(&mut self, line: &str) -> Result<(), Refusal> {
        self.restore_line(line).map_err(|bad| Refusal(bad.to_string()))
    }

    fn resume(&mut self, head: EntrySeq) {
        self.resume_after(head);
    }

    fn emit(&self, sink: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        self.book().emit(sink)
    }
}

fn send(bag: &mut Mailbag, post: Post) {
    if !bag.is_empty() {
        post(bag);
        bag.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;
    use crate::ledger::storage::MemoryStorage;
    use crate::ledger::{recovery, snapshot};
    use crate::model::{Stamp, Wall};
    use crate::server::{Origin, Tables};
    use crate::{cards, config};

    /// Too large for a test's stack: the tables that serve, and those of a second opinion.
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
        for number in 1..=20 {
            table += &format!("{},1000.00,100\n", 8_888_888_800_u64 + number);
        }
        cards::parse(table.as_bytes(), Path::new("/site/cards.csv"), &settings().rules.groups).unwrap()
    }

    fn now(at_ms: u64) -> Now {
        let wall = Wall(1_795_320_000_000 + i64::try_from(at_ms).unwrap());
        Now { mono: Mono(1000 + at_ms), stamp: Stamp { wall, offset_s: 28_800 }, synchronized: true }
    }

    /// A server on a storage, started; what it sent.
    struct Site<'t> {
        service: Service<'t, &'t mut MemoryStorage>,
        at_ms: u64,
        sent: Vec<String>,
    }

    impl<'t> Site<'t> {
        fn start(tables: &'t mut (Tables, Effects), storage: &'t mut MemoryStorage) -> Self {
            let mut server = Server::new(&mut tables.0, settings().rules);
            let opened = Ledger::open(storage, "test", now(0).stamp, || 7, &mut server);
            let (mut ledger, _) = opened.unwrap_or_else(|error| panic!("{error}"));
            ledger.limit_segments(4096);
            server.install(settings().rules, &card_file().records, Origin::default(), true).unwrap();
            let mut service = Service::new(server, ledger, &mut tables.1);
            service.start(&now(0), &mut |_| ()).unwrap();
            Self { service, at_ms: 0, sent: Vec::new() }
        }

        /// A turn of these frames, a second after the one before; gives what was sent in it.
        fn turn(&mut self, frames: &[String]) -> io::Result<Vec<String>> {
            self.at_ms += 1000;
            let now = now(self.at_ms);
            for frame in frames {
                let source = "192.168.1.20:5000".parse().unwrap();
                let peer = Peer { source, local: [192, 168, 1, 1].into(), socket: 0 };
                self.service.receive(&now, peer, frame.as_bytes(), false)?;
            }
            let mut sent = Vec::new();
            self.service.end_turn(&now, &mut |bag| {
                sent.extend(bag.iter().map(|(_, bytes)| crate::gbk::decode(bytes).into_owned()));
            })?;
            self.sent.extend(sent.iter().cloned());
            Ok(sent)
        }

        /// A few frames of each kind that changes the state.
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
            }
            Ok(())
        }
    }

    /// Replays a storage into the other tables, with the table of cards, and compares.
    fn compare(storage: &MemoryStorage, running: &Server) -> recovery::Replayed {
        let mut tables = locked(&OTHER);
        let mut server = Server::new(&mut tables, settings().rules);
        let replayed = recovery::replay(storage, &mut server).unwrap_or_else(|error| panic!("{error}"));
        server.install(settings().rules, &card_file().records, Origin::default(), true).unwrap();
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
    }
}
