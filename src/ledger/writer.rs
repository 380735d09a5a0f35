//! Appending to the ledger: a turn's entries in one write, made durable by one sync (design.md,
//! section 1).
//!
//! ```rust,ignore
//! ledger.append(&entry);  // formats into the turn's buffer; while has_room()
//! ledger.write()?;        // the turn's lines, one write
//! ledger.sync()?;         // now results may leave
//! ```
//!
//! What always holds: entries are appended in order without a gap; at most [`TAIL_LEN_MAX`] bytes
//! are written and not yet synced, which is how far recovery looks for a torn tail; a segment is
//! whole and synced before the next one begins; nothing here allocates after [`Ledger::open`], even
//! when a segment begins or a snapshot is written. After an error no method may be called, except
//! [`Ledger::close`] by a start: only a replay can find out what the file holds. If the disk is
//! full, unsynced bytes are cut off before the error is returned: no answer rests on them.
//!
//! A ledger is *closed* if a start found that it cannot write: it was replayed, and nothing is
//! written to it (design.md, section 12).

use std::io;

use crate::engine::limits::{FRAME_ENTRIES_BYTES, LINE_LEN_MAX, MENDED_LEN, ROOM_TRIED_LEN, TAIL_LEN_MAX};
use crate::engine::model::{Entry, EntrySeq, Stamp, Wall};

use super::acks::Ack;
use super::collected;
use super::header::{self, HEADER_LEN, Host, Parent};
use super::identity::{self, Action, Found, Lineage, Parents, Verdict};
use super::line;
use super::recovery::{self, OpenError, Replayed};
use super::segment::{LINK, Name, stack_name_of};
use super::snapshot;
use super::storage::Storage;
use super::{Head, State};

/// The ledger in service.
pub struct Ledger<S> {
    storage: S,
    /// The newest segment's name.
    segment: Name,
    naming: Naming,
    /// Bytes of a segment before the next one begins.
    segment_bytes: u64,
    /// The last entry that was appended, the last one written, and the last one synced.
    head: Head,
    written: Head,
    synced: Head,
    /// Bytes written since the ledger was opened.
    appended: u64,
    /// Bytes of the segment.
    len: u64,
    lines: line::Emitter,
    /// [`TAIL_LEN_MAX`] bytes, of which the first `filled` are the turn's lines.
    buffer: Box<[u8]>,
    filled: usize,
    /// Bytes written since the last sync.
    unsynced: usize,
    /// Whether nothing is written: the end of the newest segment stays as it was found.
    is_closed: bool,
    /// Whether all that was replayed is durable: its end was written again and synced.
    is_proven: bool,
    /// Syncs of entries since the ledger was opened.
    syncs: u64,
    /// The entry of the snapshot, if this program wrote or believed it.
    snapshot: Option<EntrySeq>,
}

/// What the headers of new segments state about the ledger.
#[derive(Clone, Debug)]
struct Naming {
    number: u64,
    parent: Option<Parent>,
    /// `parent`, what that branched off, and so on. The machine's identity holds them, headers do
    /// not.
    parents: Parents,
    host: Option<Host>,
    site: String,
}

/// The verdict about a ledger before it is served.
#[derive(Clone, Copy, Debug, Default)]
struct Judged {
    verdict: Option<Verdict>,
    parents: Parents,
}

/// The machine that opens a ledger, and what it knows about it.
#[derive(Clone, Debug)]
pub struct Opening<'a> {
    /// The site's label, for new segments' headers.
    pub site: &'a str,
    /// The machine, for new segments' headers.
    pub host: Option<Host>,
    /// The time of the opening.
    pub created: Stamp,
    /// The ledger that this machine serves ([`identity`]); `None`: any ledger in the directory is
    /// served.
    pub identity: Option<&'a Found>,
}

impl Opening<'_> {
    /// Judges the ledger that was replayed.
    fn judge<S: Storage>(&self, storage: &S, replayed: &Replayed) -> Result<Judged, OpenError> {
        let Some(found) = self.identity else { return Ok(Judged::default()) };
        let machine = identity::Machine { host: self.host, site: self.site };
        let lineage = Lineage::read(storage)?;
        let verdict = lineage.judge(storage, replayed.head, found, machine)?;
        if verdict.action == Action::Refuse {
            return Err(OpenError::NotOurs(verdict));
        }
        Ok(Judged { verdict: Some(verdict), parents: lineage.parents(found) })
    }

    /// What the headers of new segments state.
    fn naming(&self, number: u64, replayed: &Replayed, judged: &Judged) -> Naming {
        let Judged { parents, .. } = *judged;
        Naming { number, parent: replayed.parent, parents, host: self.host, site: self.site.to_owned() }
    }
}

/// What the opening found and did, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Entries replayed.
    pub entries: u64,
    /// The entry of the snapshot after which the replay began; `None`: it began with the first
    /// entry.
    pub snapshot: Option<EntrySeq>,
    /// The last entry that was replayed.
    pub head: Head,
    /// Whether the ledger is new.
    pub created: bool,
    /// Whether the last run stopped in order: the last entry is a `stop`, and nothing had to be
    /// mended.
    pub clean: bool,
    /// The verdict, if the machine's identity was compared.
    pub verdict: Option<Verdict>,
    /// Number and parent of the branch, if the opening began one.
    pub branch: Option<(u64, Option<Parent>)>,
    /// What was cut off the newest segment.
    pub cut: Option<recovery::TornTail>,
    /// Sentences for the operator.
    pub warnings: Vec<String>,
}

impl<S: Storage> Ledger<S> {
    /// Replays the ledger of a directory into `state`, from its snapshot if that is believed, mends
    /// its end, and goes on with it; or begins a new one. When this returns, everything that was
    /// replayed is durable.
    ///
    /// If there is no room to mend, or the file system is read-only, the ledger is opened
    /// [closed](Ledger::is_closed). A start calls [`room_below`] first.
    ///
    /// `site`, `created` and `draw_number` (a random number, which names the ledger for ever) are
    /// for the header of a new ledger.
    ///
    /// # Errors
    /// If a file cannot be read or written, or the ledger is damaged (see [`recovery`]).
    pub fn open(
        storage: S,
        site: &str,
        created: Stamp,
        draw_number: impl FnOnce() -> u64,
        state: &mut dyn State,
    ) -> Result<(Self, Opened), OpenError> {
        Self::open_as(storage, &Opening { site, host: None, created, identity: None }, draw_number, state)
    }

    /// As [`Ledger::open`], on a machine that knows which ledger it serves: [`identity`] decides
    /// whether the ledger is served, branched or refused.
    ///
    /// # Errors
    /// If a file cannot be read or written, the ledger is damaged (see [`recovery`]), or it is not
    /// this machine's ([`OpenError::NotOurs`]); then nothing was changed.
    pub fn open_as(
        mut storage: S,
        opening: &Opening,
        draw_number: impl FnOnce() -> u64,
        state: &mut dyn State,
    ) -> Result<(Self, Opened), OpenError> {
        let replayed = recovery::replay(&storage, state)?;
        let judged = opening.judge(&storage, &replayed)?;
        let is_new = replayed.newest.is_none();
        let mut warnings: Vec<String> = replayed.disbelief.clone().into_iter().collect();
        match recovery::mend(&mut storage, &replayed) {
            Ok(sentences) => warnings.extend(sentences),
            Err(error) if cannot_write(&error) && !is_new => {
                return Self::of_replayed(storage, opening, &judged, replayed, &error);
            }
            Err(error) => return Err(error.into()),
        }
        let mut draw = Some(draw_number);
        let mut draw = || draw.take().expect("a start names one ledger")();
        let naming = opening.naming(replayed.ledger.unwrap_or_else(&mut draw), &replayed, &judged);
        let segment = match &replayed.newest {
            Some(name) => Name::try_from(name.as_str()).expect("it is a segment's name"),
            None => create_segment(&mut storage, &naming, opening.created, replayed.head)?,
        };
        match storage.point(LINK, &segment) {
            Ok(true) => storage.sync_dir()?,
            Ok(false) => (),
            // A USB stick's file system has no links. The ledger works without.
            Err(error) => warnings.push(format!("{error}: `tail -F` wants {segment} instead")),
        }
        // The storage opens the file now, so that the first turn opens nothing.
        storage.sync(&segment)?;
        let verdict = judged.verdict;
        let (mut ledger, mut opened) = Self::new(storage, naming, verdict, segment, replayed, warnings)?;
        if verdict.is_some_and(|verdict| verdict.action == Action::Branch) {
            let number = draw();
            match ledger.branch(number, opening.created) {
                Ok(()) => opened.branch = Some((number, ledger.parent())),
                Err(error) if cannot_write(&error) => {
                    opened.warnings.push(format!(
                        "{error}: the ledger must branch, and nothing is written until a start can do that"
                    ));
                    ledger.is_closed = true;
                    ledger.is_proven = ledger.prove()?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok((ledger, opened))
    }

    /// As [`Ledger::open_as`], if `reason` says that nothing can be written: the ledger is
    /// replayed, and nothing is changed.
    ///
    /// # Errors
    /// The reason, if there is no ledger to replay; else those of [`Ledger::open_as`].
    pub fn open_closed(
        storage: S,
        opening: &Opening,
        reason: io::Error,
        state: &mut dyn State,
    ) -> Result<(Self, Opened), OpenError> {
        let replayed = recovery::replay(&storage, state)?;
        let judged = opening.judge(&storage, &replayed)?;
        match replayed.newest {
            None => Err(reason.into()),
            Some(_) => Self::of_replayed(storage, opening, &judged, replayed, &reason),
        }
    }

    fn of_replayed(
        storage: S,
        opening: &Opening,
        judged: &Judged,
        replayed: Replayed,
        reason: &io::Error,
    ) -> Result<(Self, Opened), OpenError> {
        let mut warnings: Vec<String> = replayed.disbelief.clone().into_iter().collect();
        warnings.push(format!(
            "{reason}: nothing is written, and the ledger's end stays as it is, until a start can write"
        ));
        let newest = replayed.newest.as_deref().expect("it was replayed");
        let segment = Name::try_from(newest).expect("it is a segment's name");
        let number = replayed.ledger.expect("a ledger with a segment has a number");
        let naming = opening.naming(number, &replayed, judged);
        let (mut ledger, opened) = Self::new(storage, naming, judged.verdict, segment, replayed, warnings)?;
        ledger.is_closed = true;
        ledger.is_proven = ledger.prove()?;
        Ok((ledger, opened))
    }

    fn new(
        storage: S,
        naming: Naming,
        verdict: Option<Verdict>,
        segment: Name,
        replayed: Replayed,
        warnings: Vec<String>,
    ) -> Result<(Self, Opened), OpenError> {
        let opened = Opened {
            entries: replayed.entries,
            snapshot: replayed.snapshot,
            head: replayed.head,
            created: replayed.newest.is_none(),
            clean: replayed.is_clean(),
            verdict,
            branch: None,
            cut: replayed.tail,
            warnings,
        };
        let ledger = Self {
            len: storage.len(&segment)?,
            storage,
            segment,
            naming,
            segment_bytes: u64::MAX,
            head: opened.head,
            written: opened.head,
            synced: opened.head,
            appended: 0,
            lines: line::Emitter::default(),
            buffer: vec![0; TAIL_LEN_MAX].into_boxed_slice(),
            filled: 0,
            unsynced: 0,
            is_closed: false,
            is_proven: true,
            syncs: 0,
            snapshot: opened.snapshot,
        };
        Ok((ledger, opened))
    }

    /// Closes the ledger, because a start found no room for its own entry. `state` is replayed
    /// again.
    ///
    /// # Errors
    /// Those of a replay.
    pub fn close(&mut self, state: &mut dyn State) -> Result<(), OpenError> {
        state.rewind();
        self.head = recovery::replay(&self.storage, state)?.head;
        (self.written, self.synced, self.filled, self.unsynced) = (self.head, self.head, 0, 0);
        self.is_closed = true;
        self.is_proven = self.prove()?;
        Ok(())
    }

    /// Writes the end that was replayed again in place, unchanged, and syncs it: a sync alone would
    /// succeed for pages that the kernel dropped after a failed sync. Returns whether that was
    /// possible.
    fn prove(&mut self) -> io::Result<bool> {
        match recovery::write_again(&mut self.storage, &self.segment, TAIL_LEN_MAX, S::sync) {
            Ok(()) => Ok(true),
            Err(error) if cannot_write(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sets the bytes that a segment may have before it ends; only a single turn may exceed them.
    /// Before this is called, no segment ends.
    pub fn limit_segments(&mut self, segment_bytes: u64) {
        self.segment_bytes = segment_bytes;
    }

    /// Formats an entry into the turn's buffer. It is in no file before [`Ledger::write`], and may
    /// be lost before [`Ledger::sync`].
    ///
    /// # Panics
    /// If its seq is not the next, or there is no room: the caller asks [`Ledger::has_room`]
    /// before.
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

    /// Frames that the turn may still take and make one write, at [`FRAME_ENTRIES_BYTES`] each. If
    /// they need more, there are several writes.
    pub(crate) fn frames_left(&self) -> usize {
        (self.buffer.len() - self.filled) / FRAME_ENTRIES_BYTES
    }

    /// Whether there are entries that were appended and not yet written.
    pub(crate) fn is_dirty(&self) -> bool {
        self.filled > 0
    }

    /// Whether there are entries that were appended and are not yet durable.
    pub fn unsynced(&self) -> bool {
        self.unsynced > 0 || self.is_dirty()
    }

    /// Whether nothing is written to the ledger: a start found no room, or a read-only file system.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether all that was replayed is durable: its end was written again and synced. If it is
    /// not, entries may be in the page cache only, and no device may delete what it holds.
    pub fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Writes the turn's entries at the end of the segment in one write. If more than
    /// [`TAIL_LEN_MAX`] bytes would then be unsynced, the earlier ones are synced first.
    ///
    /// # Errors
    /// With path and operation, if not everything could be written.
    ///
    /// # Panics
    /// If the ledger is closed: an entry after a torn tail would be lost.
    pub fn write(&mut self) -> io::Result<()> {
        if !self.is_dirty() {
            return Ok(());
        }
        assert!(!self.is_closed, "nothing is written to a closed ledger");
        if self.unsynced + self.filled > TAIL_LEN_MAX {
            self.sync_written()?;
        }
        let written = self.storage.append(&self.segment, &self.buffer[..self.filled]);
        self.or_cut(written)?;
        self.unsynced += self.filled;
        self.len += self.filled as u64;
        self.appended += self.filled as u64;
        self.written = self.head;
        self.filled = 0;
        Ok(())
    }

    /// Whether the turn's entries, which are not yet written, need a new segment: the newest would
    /// exceed its limit.
    pub fn is_segment_full(&self) -> bool {
        self.is_dirty() && self.len > HEADER_LEN as u64 && self.len + self.filled as u64 > self.segment_bytes
    }

    /// Begins a new segment with the turn's entries. The old segment is synced first, since
    /// recovery cuts only in the newest; then the new one is made durable with its header and its
    /// name; then the link points to it. A crash in between leaves a newest segment without a whole
    /// header, or without an entry: the next start sets it aside, or goes on with it.
    ///
    /// # Errors
    /// With path and operation.
    ///
    /// # Panics
    /// If there is no entry in the segment, so that the new one would have the same name.
    pub fn rotate(&mut self, created: Stamp) -> io::Result<()> {
        assert!(self.len > HEADER_LEN as u64, "a segment ends after an entry");
        self.sync_written()?;
        self.segment = create_segment(&mut self.storage, &self.naming, created, self.written)?;
        self.len = HEADER_LEN as u64;
        // If the file system has no links, the start has said so.
        if let Ok(true) = self.storage.point(LINK, &self.segment) {
            self.storage.sync_dir()?;
        }
        Ok(())
    }

    /// Goes on as the branch `number`: the next entries are in a segment of the branch. A crash may
    /// happen at any step, as when any segment begins: until the header is durable under the
    /// segment's name, there is no branch.
    ///
    /// # Errors
    /// With path and operation. Then the ledger keeps its number.
    ///
    /// # Panics
    /// If entries wait to be written.
    pub fn branch(&mut self, number: u64, created: Stamp) -> io::Result<()> {
        assert!(!self.is_dirty(), "what was appended is of the ledger before");
        self.sync_written()?;
        let parent = self.parent_of_branch();
        let before = (self.naming.number, self.naming.parent);
        (self.naming.number, self.naming.parent) = (number, parent);
        let began = if self.len > HEADER_LEN as u64 { self.rotate(created) } else { self.replace_header(created) };
        match (&began, parent) {
            (Err(_), _) => (self.naming.number, self.naming.parent) = before,
            (Ok(()), Some(parent)) => self.naming.parents.begin(parent),
            (Ok(()), None) => (),
        }
        began
    }

    /// The parent of a branch that begins now: the last entry, and the ledger that it belongs to.
    /// `None` if there is no entry.
    fn parent_of_branch(&self) -> Option<Parent> {
        let Naming { number, parent, .. } = self.naming;
        let head = self.written;
        // No entry belongs to a number under which nothing was written.
        let of_nothing = parent.filter(|parent| parent.head == head);
        of_nothing.or((head.seq > EntrySeq(0)).then_some(Parent { ledger: number, head }))
    }

    /// Replaces the header of the newest segment, which holds nothing else.
    fn replace_header(&mut self, created: Stamp) -> io::Result<()> {
        remove_if_there(&mut self.storage, HEADER)?;
        let header = self.naming.header(created, self.written);
        if let Err(error) = self.storage.create(HEADER, &header).and_then(|()| self.storage.sync(HEADER)) {
            let _left = self.storage.remove(HEADER);
            return Err(error);
        }
        self.storage.rename(HEADER, &self.segment)?;
        self.storage.sync_dir()?;
        // The storage opens the file that has the segment's name now.
        self.storage.sync(&self.segment)
    }

    /// Cuts off unsynced bytes, if possible, after a write or sync that found no room: otherwise
    /// the next start would replay sales that were never answered. Returns `done`.
    fn or_cut(&mut self, done: io::Result<()>) -> io::Result<()> {
        if done.as_ref().is_err_and(is_no_room) {
            let end = self.len - self.unsynced as u64;
            let _cut = self.storage.truncate(&self.segment, end).and_then(|()| self.storage.sync(&self.segment));
        }
        done
    }

    /// Tries whether [`ROOM_TRIED_LEN`] bytes could be written to a closed ledger's directory.
    ///
    /// # Errors
    /// If they could not be written.
    pub(crate) fn try_room(&mut self) -> io::Result<()> {
        assert!(self.is_closed, "the buffer is the turn's");
        try_room(&mut self.storage, &mut self.buffer[..MENDED_LEN])
    }

    /// Bytes of entries written since the ledger was opened.
    pub(crate) fn appended(&self) -> u64 {
        self.appended
    }

    /// Makes durable what was written. Results may leave after it.
    ///
    /// # Errors
    /// With path and operation. It must not be tried again.
    ///
    /// # Panics
    /// If entries were appended since the last [`Ledger::write`]: a caller that syncs then believes
    /// them durable.
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
        let title = snapshot::Title { ledger: self.naming.number, head: self.head };
        // Not the whole buffer: its last pages take memory only if a flood fills them.
        let piece = &mut self.buffer[..SNAPSHOT_PIECE_LEN];
        let written = snapshot::write(&mut self.storage, piece, title, created, state);
        if written.is_err() {
            // The partial file may be what fills the disk. If it cannot be removed now, the next
            // snapshot removes it.
            let _left = self.storage.remove(snapshot::TEMPORARY);
        } else {
            self.snapshot = Some(self.head.seq);
        }
        written
    }

    /// Removes segments before the snapshot that every office has, and that are older than this:
    /// see `collected`. Gives the first entry and the last that went.
    ///
    /// # Errors
    /// If a file cannot be read or removed. The ledger goes on as it is.
    pub(crate) fn remove_collected(
        &mut self,
        acks: &[Ack],
        older_than: Wall,
    ) -> io::Result<Option<(EntrySeq, EntrySeq)>> {
        assert!(!self.is_closed, "nothing is changed in a closed ledger's directory");
        collected::remove(&mut self.storage, acks, older_than)
    }

    /// The last entry appended.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The seq of the next entry.
    pub fn next_seq(&self) -> EntrySeq {
        self.head.seq.next()
    }

    /// The last entry that is durable, if the ledger [is proven](Ledger::is_proven).
    pub fn synced(&self) -> Head {
        self.synced
    }

    /// The number that names this ledger.
    pub fn number(&self) -> u64 {
        self.naming.number
    }

    /// What it branched off, if it did.
    pub fn parent(&self) -> Option<Parent> {
        self.naming.parent
    }

    /// The ledger's identity: its number, its last durable entry, and what it branched off.
    pub fn identity(&self) -> identity::Identity {
        identity::Identity { ledger: self.naming.number, head: self.synced, parents: self.naming.parents }
    }

    /// Whether [`Ledger::identity`] equals this one. The head is compared first: it moves with
    /// each sync.
    pub(crate) fn is_known_as(&self, identity: &identity::Identity) -> bool {
        let naming = &self.naming;
        identity.head == self.synced && identity.ledger == naming.number && identity.parents == naming.parents
    }

    /// The site's label in the headers of new segments.
    pub fn site(&self) -> &str {
        &self.naming.site
    }

    /// Bytes of the newest segment, its header included.
    pub(crate) fn segment_len(&self) -> u64 {
        self.len
    }

    /// Bytes written and not yet synced: 0 between turns, unless entries wait on which no result
    /// rests.
    pub fn unsynced_bytes(&self) -> usize {
        self.unsynced
    }

    /// Syncs of entries since the ledger was opened: one per turn with a result that rests on an
    /// entry.
    pub fn syncs(&self) -> u64 {
        self.syncs
    }

    /// The entry after which the next start begins to replay; `None`: it replays everything.
    pub fn snapshot(&self) -> Option<EntrySeq> {
        self.snapshot
    }

    /// The ledger's storage.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// The storage, for tests that change it.
    #[cfg(test)]
    pub(crate) fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    fn sync_written(&mut self) -> io::Result<()> {
        if self.unsynced > 0 {
            let synced = self.storage.sync(&self.segment);
            self.or_cut(synced)?;
            self.unsynced = 0;
            self.syncs += 1;
        }
        self.synced = self.written;
        Ok(())
    }
}

impl Naming {
    /// The header of a segment that continues from `head`.
    fn header(&self, created: Stamp, head: Head) -> [u8; HEADER_LEN] {
        header::emit(self.number, self.parent, self.host, &self.site, head, created)
    }
}

/// Bytes of a snapshot that are collected for one write.
const SNAPSHOT_PIECE_LEN: usize = MENDED_LEN;

/// The file of a header until it has its segment's name.
const HEADER: &str = "header.tmp";

/// The file that a trial writes.
const TRIAL: &str = "room.tmp";

/// Checks whether a start may write. If less than the reserve is free, it tries, because the free
/// space that is reported is an estimate.
///
/// # Errors
/// If [`ROOM_TRIED_LEN`] bytes cannot be written and synced. Then the ledger must be opened
/// [closed](Ledger::open_closed).
pub fn room_below<S: Storage>(storage: &mut S, reserve_bytes: u64) -> io::Result<()> {
    // If the file system reports nothing, a later write finds out.
    if storage.free_bytes().is_ok_and(|free| free < reserve_bytes) {
        try_room(storage, &mut vec![0; MENDED_LEN])?;
    }
    Ok(())
}

/// Writes, syncs and removes a file of [`ROOM_TRIED_LEN`] bytes.
fn try_room<S: Storage>(storage: &mut S, piece: &mut [u8]) -> io::Result<()> {
    // Bytes that a file system cannot compress.
    let mut state = 1_u32;
    for byte in &mut *piece {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = state.to_be_bytes()[0];
    }
    remove_if_there(storage, TRIAL)?;
    let mut tried = storage.create(TRIAL, &[]);
    for _ in 0..ROOM_TRIED_LEN / piece.len() {
        tried = tried.and_then(|()| storage.append(TRIAL, piece));
    }
    let tried = tried.and_then(|()| storage.sync(TRIAL));
    let removed = remove_if_there(storage, TRIAL).and_then(|()| storage.sync_dir());
    tried.and(removed)
}

fn remove_if_there<S: Storage>(storage: &mut S, name: &str) -> io::Result<()> {
    match storage.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Whether an error says that there is no room: then nothing is broken, and room may return.
pub(crate) fn is_no_room(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull, WriteZero};
    matches!(error.kind(), StorageFull | QuotaExceeded | WriteZero)
}

/// Whether an error says that nothing can be written: no room, or a read-only file system. A start
/// then serves without entries.
pub fn cannot_write(error: &io::Error) -> bool {
    is_no_room(error) || error.kind() == io::ErrorKind::ReadOnlyFilesystem
}

const _: () = assert!(TAIL_LEN_MAX >= LINE_LEN_MAX, "an entry fits a turn");
const _: () = assert!(ROOM_TRIED_LEN.is_multiple_of(MENDED_LEN), "a trial is written in such pieces");

/// Makes a segment that continues from `head`, durable with its name before any entry is written to
/// it.
fn create_segment<S: Storage>(storage: &mut S, naming: &Naming, created: Stamp, head: Head) -> io::Result<Name> {
    let name = stack_name_of(head.seq.next());
    let created = storage.create(&name, &naming.header(created, head));
    let created = created.and_then(|()| storage.sync(&name)).and_then(|()| storage.sync_dir());
    if created.as_ref().is_err_and(is_no_room) {
        // Otherwise each further start would leave a partial header, and set the last one aside.
        let _left = storage.remove(&name);
    }
    created.map(|()| name)
}

#[cfg(test)]
mod tests {
    use super::super::Entries;
    use super::super::segment::name_of;
    use super::super::storage::{DirStorage, Files as _, MemoryStorage};
    use super::super::testing::{self, FIRST};
    use super::*;
    use crate::engine::model::Detail;

    fn open(storage: &mut MemoryStorage) -> Ledger<&mut MemoryStorage> {
        Ledger::open(storage, "test", testing::stamp(), || 0xA1, &mut Entries(|_: &Entry| Ok(()))).unwrap().0
    }

    #[test]
    fn a_start_replays_what_was_appended() {
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

    /// A sync alone succeeds for pages that the kernel dropped after a failed sync.
    #[test]
    fn a_closed_ledger_is_proven_only_if_its_end_can_be_written_again() {
        let mut storage = MemoryStorage::default();
        let mut ledger = open(&mut storage);
        ledger.append(&testing::entry(1));
        ledger.write().unwrap();
        ledger.sync().unwrap();
        let len = storage.files[FIRST].len();
        let opening = Opening { site: "test", host: None, created: testing::stamp(), identity: None };
        storage.fails_for_room = true;
        for (fail, is_proven) in [(None, true), (Some("write 0"), false), (Some("sync"), false)] {
            storage.done.clear();
            storage.fail = fail.map(str::to_owned);
            let reason = io::Error::from(io::ErrorKind::StorageFull);
            let opened =
                Ledger::open_closed(&mut storage, &opening, reason, &mut Entries(|_: &Entry| Ok(()))).unwrap().0;
            assert_eq!(opened.is_proven(), is_proven, "{fail:?}");
            if is_proven {
                assert_eq!(storage.done, [format!("write 0+{len} {FIRST}"), format!("sync {FIRST}")]);
            }
        }
    }

    #[test]
    fn a_turn_is_full_when_another_entry_might_not_fit() {
        let mut storage = MemoryStorage::default();
        let mut ledger = open(&mut storage);
        let longest = Detail::from_text(&"\\".repeat(crate::engine::limits::DETAIL_LEN_MAX)).unwrap();
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
        assert!((TAIL_LEN_MAX - LINE_LEN_MAX..=TAIL_LEN_MAX + HEADER_LEN).contains(&header_and_turn));
    }

    #[test]
    fn at_most_a_tail_is_unsynced() {
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

    /// Runs turns of `entries` entries with segments of at most `segment_bytes`.
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
        // A turn is in one segment: each segment begins with the first entry of a turn.
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
    fn a_new_segment_begins_in_an_order_that_survives_a_crash_at_any_step() {
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
            // The ledger goes on.
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
    fn appending_after_a_gap_panics() {
        open(&mut MemoryStorage::default()).append(&testing::entry(2));
    }

    #[test]
    fn a_real_directory_is_created_and_opened_again() {
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
