//! Appending to the ledger: a turn's entries in one write, made durable by one sync (design.md, section 1).
//!
//! ```rust,ignore
//! ledger.append(&entry);  // formats into the turn's buffer; while has_room()
//! ledger.write()?;        // the turn's lines, one write
//! ledger.sync()?;         // now results may leave
//! ```
//!
//! What always holds: entries are appended in order without a gap; never more than [`TAIL_LEN_MAX`] bytes are
//! written and not yet synced, which is how far recovery looks for a torn tail; nothing here allocates after
//! [`Ledger::open`]. After an error nothing may be called any more: what the file holds then only the next start can say.

use std::io;

use crate::limits::{ENTRIES_MAX, LINE_LEN_MAX, TAIL_LEN_MAX, TURN_BYTES_MAX};
use crate::model::{Entry, EntrySeq, Stamp};

use super::Head;
use super::header::Header;
use super::line;
use super::recovery::{self, OpenError, Refusal};
use super::segment::{LINK, name_of};
use super::storage::Storage;

/// The ledger in service.
pub struct Ledger<S> {
    storage: S,
    /// The newest segment's name.
    segment: String,
    ledger: u64,
    head: Head,
    /// The turn's lines, [`TURN_BYTES_MAX`] long, of which `filled` bytes are.
    buffer: Box<[u8]>,
    filled: usize,
    /// Bytes written since the last sync.
    unsynced: usize,
}

/// What opening found and did, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Entries replayed.
    pub entries: u64,
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
    /// Replays the ledger of a directory into `apply`, mends its end, and goes on with it; or begins a new one.
    /// When this returns, everything that was replayed is durable.
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
        apply: &mut dyn FnMut(&Entry) -> Result<(), Refusal>,
    ) -> Result<(Self, Opened), OpenError> {
        let replayed = recovery::replay(&storage, apply)?;
        let mut warnings = recovery::mend(&mut storage, &replayed)?;
        let is_new = replayed.newest.is_none();
        let ledger = replayed.ledger.unwrap_or_else(draw_number);
        let segment = match &replayed.newest {
            Some(name) => name.clone(),
            None => create_segment(&mut storage, ledger, site, created, replayed.head)?,
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
            head: replayed.head,
            created: is_new,
            clean: replayed.is_clean(),
            cut: replayed.tail,
            warnings,
        };
        let buffer = vec![0; TURN_BYTES_MAX].into_boxed_slice();
        Ok((Self { storage, segment, ledger, head: opened.head, buffer, filled: 0, unsynced: 0 }, opened))
    }

    /// Formats an entry into the turn's buffer. It is in no file before [`Ledger::write`], and may be lost before
    /// [`Ledger::sync`].
    ///
    /// # Panics
    /// If its seq is not the next, or there is no room: the caller asks [`Ledger::has_room`] before each event.
    pub fn append(&mut self, entry: &Entry) {
        assert_eq!(entry.seq, self.head.seq.next(), "entries are appended in order, without a gap");
        let room: &mut [u8; LINE_LEN_MAX] = self.buffer[self.filled..]
            .first_chunk_mut()
            .expect("has_room() was asked before the event, and one event makes at most ENTRIES_MAX entries");
        let emitted = line::emit(entry, self.head.crc, room);
        self.filled += emitted.len;
        self.head = Head { seq: entry.seq, crc: emitted.crc };
    }

    /// Whether the buffer takes all entries of one more frame, timer or signal.
    pub fn has_room(&self) -> bool {
        self.buffer.len() - self.filled >= ENTRIES_MAX * LINE_LEN_MAX
    }

    /// Whether there are entries that were appended and not yet written.
    pub fn is_dirty(&self) -> bool {
        self.filled > 0
    }

    /// Whether there are entries that were appended and are not yet durable.
    pub fn unsynced(&self) -> bool {
        self.unsynced > 0 || self.is_dirty()
    }

    /// Writes the turn's entries at the end of the segment, in one piece. If more than a tail of bytes would then
    /// wait for a sync, those written before are synced first.
    ///
    /// # Errors
    /// With path and operation, if not everything could be written.
    pub fn write(&mut self) -> io::Result<()> {
        if !self.is_dirty() {
            return Ok(());
        }
        if self.unsynced + self.filled > TAIL_LEN_MAX {
            self.sync_written()?;
        }
        self.storage.append(&self.segment, &self.buffer[..self.filled])?;
        self.unsynced += self.filled;
        self.filled = 0;
        Ok(())
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

    /// The last entry appended.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The seq of the next entry.
    pub fn next_seq(&self) -> EntrySeq {
        self.head.seq.next()
    }

    /// The number that names this ledger.
    pub fn number(&self) -> u64 {
        self.ledger
    }

    /// Where the entries stand.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    fn sync_written(&mut self) -> io::Result<()> {
        if self.unsynced > 0 {
            self.storage.sync(&self.segment)?;
            self.unsynced = 0;
        }
        Ok(())
    }
}

const _: () = assert!(TURN_BYTES_MAX >= ENTRIES_MAX * LINE_LEN_MAX, "one event fits a turn");
const _: () = assert!(TURN_BYTES_MAX <= TAIL_LEN_MAX, "recovery looks as far back as one write reaches");

/// Makes a segment that continues from `head`, durable with its name before any entry is written to it.
fn create_segment<S: Storage>(
    storage: &mut S,
    ledger: u64,
    site: &str,
    created: Stamp,
    head: Head,
) -> io::Result<String> {
    let header = Header { ledger, site: site.to_owned(), first: head.seq.next(), chain: head.crc, created };
    let name = name_of(header.first);
    storage.create(&name, &header.emit())?;
    storage.sync(&name)?;
    storage.sync_dir()?;
    Ok(name)
}
