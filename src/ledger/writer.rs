//! Appending to the ledger: a turn's entries in one write, made durable by one sync (design.md, section 1).
//!
//! ```rust,ignore
//! ledger.append(&entry);  // formats into the turn's buffer; while has_room()
//! ledger.write()?;        // the turn's lines, one write
//! ledger.sync()?;         // now results may leave
//! ```
//!
//! What always holds: entries are appended in order without a gap; never more than [`TAIL_LEN_MAX`] bytes are
//! written and not yet synced, which is how far recovery looks for a torn tail; a segment is whole and synced before
//! the next one begins; nothing here allocates after [`Ledger::open`], also not where a segment begins or a snapshot is
//! written. After an error nothing may be called any more: what the file holds then only the next start can say.

use std::io;

use crate::limits::{FRAME_ENTRIES_BYTES, LINE_LEN_MAX, TAIL_LEN_MAX, TURN_BYTES_MAX};
use crate::model::{Entry, EntrySeq, Stamp};

use super::header::{self, HEADER_LEN};
use super::line;
use super::recovery::{self, OpenError};
use super::segment::{LINK, Name, stack_name_of};
use super::snapshot;
use super::storage::Storage;
use super::{Entries, Head, State};

/// The ledger in service.
pub struct Ledger<S> {
    storage: S,
    /// The newest segment's name.
    segment: Name,
    number: u64,
    site: String,
    /// Bytes of a segment before the next one begins.
    segment_bytes: u64,
    /// The last entry appended, the last one written, and the last one synced.
    head: Head,
    written: Head,
    synced: Head,
    /// Bytes written since the ledger was opened.
    appended: u64,
    /// Bytes written to the segment.
    len: u64,
    lines: line::Emitter,
    /// The turn's lines, [`TURN_BYTES_MAX`] long, of which `filled` bytes are.
    buffer: Box<[u8]>,
    filled: usize,
    /// Bytes written since the last sync.
    unsynced: usize,
    /// Whether the end of the newest segment is still as it was found: there was no room to mend it. Nothing is written until it is.
    is_unmended: bool,
    /// Syncs of entries since the ledger was opened.
    syncs: u64,
    /// The entry that the snapshot in force is of, if this program wrote or believed it.
    snapshot: Option<EntrySeq>,
}

/// What opening found and did, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Entries replayed.
    pub entries: u64,
    /// The entry that a snapshot was of, after which the replay began; `None`: it began with the first.
    pub snapshot: Option<EntrySeq>,
    /// The last of them.
    pub head: Head,
    /// Whether the ledger was made just now.
    pub created: bool,
    /// Whether the server stopped as it should before: the last entry is a `stop` and nothing had to be mended.
    pub clean: bool,
    /// What was cut off the newest segment.
    pub cut: Option<recovery::TornTail>,
    /// Sentences for the operator.
    pub warnings: Vec<String>,
}

impl<S: Storage> Ledger<S> {
    /// Replays the ledger of a directory into `state`, from its snapshot if that is believed, mends its end, and goes on with it; or begins a new one.
    /// When this returns, everything that was replayed is durable.
    ///
    /// Where there is no room to mend, the ledger is opened [unmended](Ledger::is_unmended): what was replayed is synced once more, which is all that can be
    /// done, and nothing is written before [`Ledger::try_room`] mended it.
    ///
    /// `site`, `created` and `draw_number` (random: it names the ledger for ever) are for the header of a new ledger.
    ///
    /// # Errors
    /// If a file cannot be read or written, or the ledger is damaged (see [`recovery`]).
    pub fn open(
        mut storage: S,
        site: &str,
        created: Stamp,
        draw_number: impl FnOnce() -> u64,
        state: &mut dyn State,
    ) -> Result<(Self, Opened), OpenError> {
        let replayed = recovery::replay(&storage, state)?;
        let mut warnings: Vec<String> = replayed.disbelief.clone().into_iter().collect();
        let is_new = replayed.newest.is_none();
        let is_unmended = match recovery::mend(&mut storage, &replayed) {
            Ok(sentences) => {
                warnings.extend(sentences);
                false
            }
            Err(error) if is_no_room(&error) && !is_new => {
                warnings.push(format!(
                    "{error}: the ledger's end is mended when there is room, and nothing is written before"
                ));
                true
            }
            Err(error) => return Err(error.into()),
        };
        let number = replayed.ledger.unwrap_or_else(draw_number);
        let segment = match &replayed.newest {
            Some(name) => Name::try_from(name.as_str()).expect("it is a segment's name"),
            None => create_segment(&mut storage, number, site, created, replayed.head).inspect_err(|error| {
                if is_no_room(error) {
                    // Else the next start would keep half a header, and the one after it another.
                    let _left = storage.remove(&stack_name_of(replayed.head.seq.next()));
                }
            })?,
        };
        match storage.point(LINK, &segment) {
            Ok(true) => storage.sync_dir()?,
            Ok(false) => (),
            // A USB stick's file system has no links. The ledger works without.
            Err(error) => warnings.push(format!("{error}: `tail -F` wants {segment} instead")),
        }
        // The storage opens the file now, so that the first turn opens nothing.
        storage.sync(&segment)?;
        let opened = Opened {
            entries: replayed.entries,
            snapshot: replayed.snapshot,
            head: replayed.head,
            created: is_new,
            clean: replayed.is_clean(),
            cut: replayed.tail,
            warnings,
        };
        let ledger = Self {
            len: storage.len(&segment)?,
            storage,
            segment,
            number,
            site: site.to_owned(),
            segment_bytes: u64::MAX,
            head: opened.head,
            written: opened.head,
            synced: opened.head,
            appended: 0,
            lines: line::Emitter::default(),
            buffer: vec![0; TURN_BYTES_MAX].into_boxed_slice(),
            filled: 0,
            unsynced: 0,
            is_unmended,
            syncs: 0,
            snapshot: opened.snapshot,
        };
        Ok((ledger, opened))
    }

    /// From now on lets a segment end before it exceeds so many bytes, unless one turn alone does; before this is
    /// called none ends.
    pub fn limit_segments(&mut self, segment_bytes: u64) {
        self.segment_bytes = segment_bytes;
    }

    /// Formats an entry into the turn's buffer. It is in no file before [`Ledger::write`], and may be lost before
    /// [`Ledger::sync`].
    ///
    /// # Panics
    /// If its seq is not the next, or there is no room: the caller asks [`Ledger::has_room`] before.
    pub fn append(&mut self, entry: &Entry) {
        assert_eq!(entry.seq, self.head.seq.next(), "entries are appended in order, without a gap");
        let room: &mut [u8; LINE_LEN_MAX] =
            self.buffer[self.filled..].first_chunk_mut().expect("has_room() was asked before");
        let emitted = self.lines.emit(entry, self.head.crc, room);
        self.filled += emitted.len;
        self.head = Head { seq: entry.seq, crc: emitted.crc };
    }

    /// Whether the buffer takes another entry.
    pub fn has_room(&self) -> bool {
        self.buffer.len() - self.filled >= LINE_LEN_MAX
    }

    /// Frames that the turn may still take so that it makes one write, of [`FRAME_ENTRIES_BYTES`] each. Where they need more
    /// they are written in pieces.
    pub fn frames_left(&self) -> usize {
        (self.buffer.len() - self.filled) / FRAME_ENTRIES_BYTES
    }

    /// Whether there are entries that were appended and not yet written.
    pub fn is_dirty(&self) -> bool {
        self.filled > 0
    }

    /// Whether there are entries that were appended and are not yet durable.
    pub fn unsynced(&self) -> bool {
        self.unsynced > 0 || self.is_dirty()
    }

    /// Whether there was no room to mend the ledger's end. Until [`Ledger::try_room`] finds some, nothing may be written.
    pub fn is_unmended(&self) -> bool {
        self.is_unmended
    }

    /// Writes the turn's entries at the end of the segment, in one piece. If more than a tail of bytes would then
    /// wait for a sync, those written before are synced first.
    ///
    /// # Errors
    /// With path and operation, if not everything could be written.
    ///
    /// # Panics
    /// If the ledger is unmended: behind a torn tail an entry would be lost.
    pub fn write(&mut self) -> io::Result<()> {
        if !self.is_dirty() {
            return Ok(());
        }
        assert!(!self.is_unmended, "without room nothing is written");
        if self.unsynced + self.filled > TAIL_LEN_MAX {
            self.sync_written()?;
        }
        self.storage.append(&self.segment, &self.buffer[..self.filled])?;
        self.unsynced += self.filled;
        self.len += self.filled as u64;
        self.appended += self.filled as u64;
        self.written = self.head;
        self.filled = 0;
        Ok(())
    }

    /// Whether the turn's entries, not yet written, belong into a new segment: the newest would exceed its limit.
    pub fn is_segment_full(&self) -> bool {
        self.is_dirty() && self.len > HEADER_LEN as u64 && self.len + self.filled as u64 > self.segment_bytes
    }

    /// Begins a new segment with the turn's entries. The one before is synced first, since recovery cuts in the newest only; then
    /// the new one is made durable with its header and its name; then the link leads to it. A crash between leaves a
    /// newest segment without a whole header, or without an entry: the next start sets it aside, or goes on with it.
    ///
    /// It says whether it did: where there is no room for a header, the segment goes on beyond its limit.
    ///
    /// # Errors
    /// With path and operation.
    ///
    /// # Panics
    /// If there is no entry in the segment, so that the new one would have the same name.
    pub fn rotate(&mut self, created: Stamp) -> io::Result<bool> {
        assert!(self.len > HEADER_LEN as u64, "a segment ends after an entry");
        self.sync_written()?;
        self.segment = match create_segment(&mut self.storage, self.number, &self.site, created, self.written) {
            Ok(name) => name,
            Err(error) if is_no_room(&error) => {
                // What is there of it must be gone for good before the segment before goes on.
                self.remove_if_there(&stack_name_of(self.written.seq.next()))?;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        self.len = HEADER_LEN as u64;
        // Where the file system has no links, the start has said so.
        if let Ok(true) = self.storage.point(LINK, &self.segment) {
            self.storage.sync_dir()?;
        }
        Ok(true)
    }

    fn remove_if_there(&mut self, name: &str) -> io::Result<()> {
        if self.storage.has(name)? {
            self.storage.remove(name)?;
        }
        self.storage.sync_dir()
    }

    /// After a write or sync that found no room: cuts off what was written since the last sync, and forgets what was appended. The state
    /// is then to be replayed.
    ///
    /// # Errors
    /// With path and operation. The ledger is of no use then.
    pub fn give_up(&mut self) -> io::Result<()> {
        self.len -= self.unsynced as u64;
        (self.filled, self.unsynced) = (0, 0);
        (self.head, self.written) = (self.synced, self.synced);
        self.storage.truncate(&self.segment, self.len)?;
        self.storage.sync(&self.segment)
    }

    /// Tries whether a whole turn could be written, in a file of its own; and where there was no room to mend the ledger's end, mends it
    /// now. Gives a sentence for each thing a person should know of that.
    ///
    /// # Errors
    /// If there is no room; or of the storage.
    ///
    /// # Panics
    /// If entries wait to be written.
    pub fn try_room(&mut self) -> io::Result<Vec<String>> {
        assert!(!self.is_dirty(), "it writes the turn's buffer");
        // Nothing that a file system could compress.
        let mut state = 1_u32;
        for byte in &mut self.buffer {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = state.to_be_bytes()[0];
        }
        self.remove_if_there(TRIAL)?;
        let tried = self.storage.create(TRIAL, &self.buffer).and_then(|()| self.storage.sync(TRIAL));
        self.remove_if_there(TRIAL)?;
        tried?;
        if self.is_unmended { self.mend() } else { Ok(Vec::new()) }
    }

    /// Does what the start could not. What it may have done of it is found anew.
    fn mend(&mut self) -> io::Result<Vec<String>> {
        let replayed = recovery::replay(&self.storage, &mut Entries(|_: &Entry| Ok(())));
        let replayed = replayed.map_err(|error| io::Error::other(error.to_string()))?;
        let sentences = recovery::mend(&mut self.storage, &replayed)?;
        self.len = self.storage.len(&self.segment)?;
        self.is_unmended = false;
        Ok(sentences)
    }

    /// Bytes of entries written since the ledger was opened.
    pub fn appended(&self) -> u64 {
        self.appended
    }

    /// Makes durable what was written. Results may leave after it.
    ///
    /// # Errors
    /// With path and operation. It must not be tried again.
    ///
    /// # Panics
    /// If entries were appended since the last [`Ledger::write`]: a caller that syncs then believes them durable.
    pub fn sync(&mut self) -> io::Result<()> {
        assert!(!self.is_dirty(), "what is synced was written before");
        self.sync_written()
    }

    /// Writes the state as of the last entry as `snapshot.tsv`.
    ///
    /// # Errors
    /// With path and operation. The ledger itself is as it was.
    ///
    /// # Panics
    /// If an entry is not yet durable.
    pub fn write_snapshot(&mut self, created: Stamp, state: &dyn State) -> io::Result<()> {
        assert!(!self.unsynced(), "a snapshot is never newer than the ledger");
        let title = snapshot::Title { ledger: self.number, head: self.head };
        let written = snapshot::write(&mut self.storage, &mut self.buffer, title, created, state);
        if written.is_err() {
            // It may be what fills the disk. If it cannot be removed either, the next one will.
            let _left = self.storage.remove(snapshot::TEMPORARY);
        } else {
            self.snapshot = Some(self.head.seq);
        }
        written
    }

    /// The last entry appended.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The seq of the next entry.
    pub fn next_seq(&self) -> EntrySeq {
        self.head.seq.next()
    }

    /// The last entry that is durable.
    pub fn synced(&self) -> Head {
        self.synced
    }

    /// The number that names this ledger.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The site's label, as new segments' headers have it.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// Bytes of the newest segment, its header included.
    pub fn segment_len(&self) -> u64 {
        self.len
    }

    /// Bytes written and not yet synced: 0 between turns, unless entries wait that nothing rests on.
    pub fn unsynced_bytes(&self) -> usize {
        self.unsynced
    }

    /// Syncs of entries since the ledger was opened: one for each turn with a result that rests on an entry.
    pub fn syncs(&self) -> u64 {
        self.syncs
    }

    /// The entry after which the next start begins to replay; `None`: it replays everything.
    pub fn snapshot(&self) -> Option<EntrySeq> {
        self.snapshot
    }

    /// Where the entries stand.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// For tests that spoil it.
    #[cfg(test)]
    pub(crate) fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    fn sync_written(&mut self) -> io::Result<()> {
        if self.unsynced > 0 {
            self.storage.sync(&self.segment)?;
            self.unsynced = 0;
            self.syncs += 1;
        }
        self.synced = self.written;
        Ok(())
    }
}

/// What [`Ledger::try_room`] writes.
const TRIAL: &str = "room.tmp";

/// Whether an error says that there is no room: then nothing is broken, and it may come back.
pub fn is_no_room(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull, WriteZero};
    matches!(error.kind(), StorageFull | QuotaExceeded | WriteZero)
}

const _: () = assert!(TURN_BYTES_MAX >= LINE_LEN_MAX, "an entry fits a turn");
const _: () = assert!(TURN_BYTES_MAX <= TAIL_LEN_MAX, "recovery looks as far back as one write reaches");

/// Makes a segment that continues from `head`, durable with its name before any entry is written to it.
fn create_segment<S: Storage>(
    storage: &mut S,
    ledger: u64,
    site: &str,
    created: Stamp,
    head: Head,
) -> io::Result<Name> {
    let name = stack_name_of(head.seq.next());
    storage.create(&name, &header::emit(ledger, None, None, site, head, created))?;
    storage.sync(&name)?;
    storage.sync_dir()?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::super::segment::name_of;
    use super::super::storage::{DirStorage, Files as _, MemoryStorage};
    use super::super::testing::{self, FIRST};
    use super::*;
    use crate::model::Detail;

    fn open(storage: &mut MemoryStorage) -> Ledger<&mut MemoryStorage> {
        Ledger::open(storage, "test", testing::stamp(), || 0xA1, &mut Entries(|_: &Entry| Ok(()))).unwrap().0
    }

    #[test]
    fn what_is_appended_is_what_a_start_replays() {
        let mut storage = MemoryStorage::default();
        let mut ledger = open(&mut storage);
        assert_eq!((ledger.head(), ledger.next_seq(), ledger.number()), (Head::default(), EntrySeq(1), 0xA1));
        for seq in 1..=9 {
            ledger.append(&testing::entry(seq));
            if seq % 3 == 0 {
                ledger.write().unwrap();
                ledger.sync().unwrap();
            }
        }
        let head = ledger.head();
        let (opened, entries) = testing::open(&mut storage).unwrap();
        assert_eq!(opened.head, head);
        assert_eq!(entries, (1..=9).map(testing::entry).collect::<Vec<_>>());
        assert_eq!(storage.links["ledger.tsv"], FIRST);
    }

    #[test]
    fn a_turn_is_one_write_and_one_sync() {
        let mut storage = MemoryStorage::default();
        let mut ledger = open(&mut storage);
        ledger.storage.done.clear();
        ledger.write().unwrap();
        ledger.sync().unwrap();
        assert!(ledger.storage.done.is_empty(), "nothing to write, nothing to sync");
        for seq in 1..=5 {
            ledger.append(&testing::entry(seq));
        }
        assert!(ledger.is_dirty() && ledger.unsynced());
        ledger.write().unwrap();
        assert!(!ledger.is_dirty() && ledger.unsynced());
        ledger.sync().unwrap();
        assert!(!ledger.unsynced());
        assert_eq!(storage.done, [format!("append {FIRST}"), format!("sync {FIRST}")]);
    }

    #[test]
    fn a_turn_is_full_when_another_entry_might_not_fit() {
        let mut storage = MemoryStorage::default();
        let mut ledger = open(&mut storage);
        let longest = Detail::from_text(&"\\".repeat(crate::limits::DETAIL_LEN_MAX)).unwrap();
        let mut frames_left = ledger.frames_left();
        let mut seq = 0;
        while ledger.has_room() {
            seq += 1;
            ledger.append(&Entry { detail: longest, ..testing::entry(seq) });
            assert!(ledger.frames_left() < frames_left);
            frames_left = ledger.frames_left();
        }
        ledger.write().unwrap();
        assert!(ledger.has_room());
        let header_and_turn = ledger.storage.files[FIRST].len();
        assert!((TURN_BYTES_MAX - LINE_LEN_MAX..=TURN_BYTES_MAX + HEADER_LEN).contains(&header_and_turn));
    }

    #[test]
    fn never_more_than_a_tail_waits_for_a_sync() {
        let mut storage = MemoryStorage::default();
        let mut ledger = open(&mut storage);
        ledger.storage.done.clear();
        let mut unsynced = 0;
        for seq in 1..=5000 {
            ledger.append(&testing::entry(seq));
            if seq % 100 == 0 {
                let (before, steps) = (ledger.storage.files[FIRST].len(), ledger.storage.done.len());
                ledger.write().unwrap();
                if ledger.storage.done[steps..].iter().any(|step| step.starts_with("sync")) {
                    unsynced = 0;
                }
                unsynced += ledger.storage.files[FIRST].len() - before;
                assert!(unsynced <= TAIL_LEN_MAX);
            }
        }
        assert!(storage.done.iter().any(|step| step.starts_with("sync")));
    }

    #[test]
    fn a_failed_write_or_sync_is_an_error() {
        for step in ["append", "sync"] {
            let mut storage = MemoryStorage::default();
            let mut ledger = open(&mut storage);
            ledger.storage.fail = Some(step.to_owned());
            ledger.append(&testing::entry(1));
            let error = ledger.write().and_then(|()| ledger.sync()).unwrap_err();
            assert!(error.to_string().contains(FIRST), "{error}");
        }
    }

    /// Turns of `entries` each; segments of at most `segment_bytes`.
    fn run_turns(
        ledger: &mut Ledger<&mut MemoryStorage>,
        turns: u64,
        entries: u64,
        segment_bytes: u64,
    ) -> io::Result<()> {
        ledger.limit_segments(segment_bytes);
        for _ in 0..turns {
            for _ in 0..entries {
                ledger.append(&testing::entry(ledger.next_seq().0));
            }
            if ledger.is_segment_full() {
                ledger.rotate(testing::stamp())?;
            }
            ledger.write()?;
            ledger.sync()?;
        }
        Ok(())
    }

    #[test]
    fn a_segment_ends_before_it_exceeds_its_limit() {
        let mut storage = MemoryStorage::default();
        let mut ledger = open(&mut storage);
        run_turns(&mut ledger, 100, 7, 4096).unwrap();
        let head = ledger.head();
        let segments = super::super::segment::list(&storage).unwrap();
        assert!(segments.len() > 10, "{segments:?}");
        assert!(storage.files.values().all(|bytes| bytes.len() <= 4096));
        assert_eq!(storage.links[LINK], segments.last().unwrap().name);
        // A turn is in one segment: it begins with the first entry of one.
        assert!(segments.iter().all(|segment| segment.first.0 % 7 == 1), "{segments:?}");
        let (opened, entries) = testing::open(&mut storage).unwrap();
        assert_eq!((opened.head, entries.len()), (head, 700));
        let names: Vec<String> = segments.into_iter().map(|segment| segment.name).collect();
        assert_eq!(crate::ledger::verify::verify(&storage, &names, true, &mut || ()).unwrap().exit_code(), 0);
    }

    #[test]
    fn a_turn_larger_than_the_limit_has_a_segment_of_its_own() {
        let mut storage = MemoryStorage::default();
        let mut ledger = open(&mut storage);
        run_turns(&mut ledger, 3, 20, 600).unwrap();
        assert_eq!(super::super::segment::list(&storage).unwrap().len(), 3);
    }

    #[test]
    fn a_new_segment_begins_in_an_order_that_a_crash_may_cut_anywhere() {
        let mut storage = MemoryStorage::default();
        let mut ledger = open(&mut storage);
        ledger.storage.done.clear();
        run_turns(&mut ledger, 2, 20, 600).unwrap();
        let second = name_of(EntrySeq(21));
        let steps = [
            format!("append {FIRST}"),
            format!("sync {FIRST}"),
            format!("create {second}"),
            format!("sync {second}"),
            "sync directory".to_owned(),
            "point ledger.tsv".to_owned(),
            "sync directory".to_owned(),
            format!("append {second}"),
            format!("sync {second}"),
        ];
        assert_eq!(storage.done, steps);
    }

    #[test]
    fn after_a_crash_at_any_step_of_a_rotation_no_synced_entry_is_lost() {
        for steps in 0.. {
            let mut storage = MemoryStorage::default();
            let mut ledger = open(&mut storage);
            run_turns(&mut ledger, 1, 20, 600).unwrap();
            ledger.storage.steps_left = Some(steps);
            let has_crashed = run_turns(&mut ledger, 2, 20, 600).is_err();
            storage.steps_left = None;
            let (opened, entries) = testing::open(&mut storage).unwrap();
            assert!(entries.len() >= 20 && entries.len() % 20 == 0, "{steps}: {}", entries.len());
            let newest = super::super::segment::list(&storage).unwrap().pop().unwrap();
            assert_eq!(storage.links[LINK], newest.name, "{steps}");
            // And it goes on.
            let mut ledger = open(&mut storage);
            run_turns(&mut ledger, 2, 20, 600).unwrap();
            assert_eq!(ledger.head().seq.0, opened.head.seq.0 + 40);
            assert_eq!(testing::open(&mut storage).unwrap().1.len(), entries.len() + 40);
            if !has_crashed {
                break;
            }
        }
    }

    #[test]
    #[should_panic(expected = "in order, without a gap")]
    fn a_gap_is_our_own_mistake() {
        open(&mut MemoryStorage::default()).append(&testing::entry(2));
    }

    #[test]
    fn a_real_directory_goes_through_a_life() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("ledger");
        for (round, created) in [(0, true), (1, false), (2, false)] {
            let storage = DirStorage::open(&dir).unwrap();
            let mut replayed = 0;
            let mut apply = Entries(|_: &Entry| {
                replayed += 1;
                Ok(())
            });
            let (mut ledger, opened) = Ledger::open(storage, "site", testing::stamp(), || 7, &mut apply).unwrap();
            assert_eq!((opened.created, opened.entries, replayed), (created, round * 4, round * 4));
            assert!(opened.warnings.is_empty(), "{:?}", opened.warnings);
            for seq in round * 4 + 1..=round * 4 + 4 {
                ledger.append(&testing::entry(seq));
            }
            ledger.write().unwrap();
            ledger.sync().unwrap();
            let error = DirStorage::open(&dir).unwrap_err();
            assert!(error.to_string().contains("another posgate"), "{error}");
            let link = std::fs::read(dir.join("ledger.tsv")).unwrap();
            assert_eq!(link.len() as u64, ledger.storage().len(FIRST).unwrap());
        }
        let mut out = Vec::new();
        assert_eq!(crate::ledger::run_verify(&[dir], &mut out).unwrap(), 0);
        assert!(String::from_utf8(out).unwrap().contains("head seq=12 crc="));
    }
}
