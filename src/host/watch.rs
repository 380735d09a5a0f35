//! Keeps the status and metrics files true (design.md, section 4; [`crate::desk::status`] says what
//! stands in them).
//!
//! ```text
//!   a turn ──▶ anything changed? ──yes──▶ one deadline, a second later ──▶ name.tmp ──rename──▶ name
//!                      └─no─▶ nothing: no deadline, no system call
//! ```
//!
//! What always holds: a reader finds a whole file, the old one or the new one; a file is written at
//! most once a second, and where writing is slow so seldom that it takes a twentieth of the time;
//! what cannot be written is counted, warned about once an hour and tried again at the next change,
//! and never holds up service. It is written without a sync: /var/run is RAM, and after a power cut
//! nobody wants the old one. Once warm nothing here allocates, save where the ledger's directory
//! changed.

use core::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use log::{debug, warn};

use crate::desk::status::{LedgerFacts, Outside, Pulse, ServerRef, Status};
use crate::engine::model::{Mono, Now};
use crate::host::clock::Clock;
use crate::host::logging;
use crate::ledger::census::Census;
use crate::ledger::{DirFiles, Storage};
use crate::turn::Service;

/// A change is written after so long, with all that follows it.
const DELAY_MS: u64 = 1000;

/// Writing takes at most one part of so many of the time.
const SHARE: u64 = 20;

/// A failure is warned about at most this often.
const FAILED_TOLD_MS: u64 = 3_600_000;

/// Bytes that are handed to the kernel at once.
const PIECE_LEN: usize = 4096;

/// Everybody may read them: SECURITY.md says what they hold.
const MODE: u32 = 0o644;

/// Where the files are.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The status file; `None`: none is written.
    pub status: Option<PathBuf>,
    /// The metrics file; `None`: none is written.
    pub metrics: Option<PathBuf>,
    /// The ledger, for its size.
    pub ledger_dir: PathBuf,
}

/// What the loop knows beside its service.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketStats {
    /// As in [`Outside`].
    pub kernel_dropped: Option<u64>,
    /// As in [`Outside`].
    pub unsent: u64,
    /// As in [`Outside`].
    pub missing: usize,
}

/// Watches a service and writes its files.
#[derive(Debug)]
pub struct Watch {
    status: Option<Target>,
    metrics: Option<Target>,
    census: Census,
    ledger: DirFiles,
    ledger_dir: PathBuf,
    /// When the ledger's directory was changed last, as it was counted.
    counted: Option<(i64, i64)>,
    pid: u32,
    /// As the files have it.
    told: Option<Pulse>,
    due: Option<Mono>,
    /// When the next write may be.
    not_before: Mono,
    failed: u64,
    failed_told: Option<Mono>,
    piece: Box<[u8]>,
}

/// A file, and the one that takes its place.
#[derive(Debug)]
struct Target {
    path: PathBuf,
    temporary: PathBuf,
}

impl Watch {
    /// Counts the ledger's segments and makes the directories of the files. What fails is warned
    /// about.
    pub fn new(places: Places) -> Self {
        let mut watch = Self {
            status: places.status.map(Target::new),
            metrics: places.metrics.map(Target::new),
            census: Census::default(),
            ledger: DirFiles::new(places.ledger_dir.clone()),
            ledger_dir: places.ledger_dir,
            counted: None,
            pid: std::process::id(),
            told: None,
            due: None,
            not_before: Mono(0),
            failed: 0,
            failed_told: None,
            piece: vec![0; PIECE_LEN].into_boxed_slice(),
        };
        for target in [&watch.status, &watch.metrics].into_iter().flatten() {
            if let Some(dir) = target.path.parent()
                && let Err(error) = fs::create_dir_all(dir)
            {
                // The first write fails too, and counts.
                debug!("no directory {}: {error}", dir.display());
            }
        }
        watch.count_segments();
        watch
    }

    /// Whether a file is kept at all.
    fn is_on(&self) -> bool {
        self.status.is_some() || self.metrics.is_some()
    }

    /// When the files are to be written, if they are; [`Watch::after_turn`] does so.
    pub fn deadline(&self) -> Option<Mono> {
        self.due
    }

    /// Notes that a socket came or went: the files are written again.
    pub(crate) const fn note_sockets(&mut self) {
        self.told = None;
    }

    /// After a turn, when its results have left: sees whether anything changed, and writes when it
    /// is time.
    pub fn after_turn<S: Storage>(
        &mut self,
        now: &Now,
        clock: &Clock,
        service: &Service<S>,
        unsent: u64,
        socket_stats: impl FnOnce() -> SocketStats,
    ) {
        if !self.is_on() {
            return;
        }
        if self.due.is_none() && self.told.as_ref() != Some(&pulse(service, unsent)) {
            self.due = Some(now.mono.plus_ms(DELAY_MS).max(self.not_before));
        }
        if self.due.is_some_and(|due| due <= now.mono) {
            let begun = clock.mono();
            self.write(now, service, socket_stats());
            let done = clock.mono();
            self.not_before = done.plus_ms(DELAY_MS.max(SHARE * done.ms_since(begun)));
        }
    }

    /// Writes the files now: at the start, before anything changed.
    pub fn write<S: Storage>(&mut self, now: &Now, service: &Service<S>, socket_stats: SocketStats) {
        if !self.is_on() {
            return;
        }
        self.due = None;
        self.not_before = now.mono.plus_ms(DELAY_MS);
        self.told = Some(pulse(service, socket_stats.unsent));
        self.count_segments();
        let mut piece = core::mem::take(&mut self.piece);
        let status = self.status(now, service, socket_stats);
        let emits: [(Option<&Target>, Emit); 2] =
            [(self.status.as_ref(), &|out| status.emit(out)), (self.metrics.as_ref(), &|out| status.emit_metrics(out))];
        let mut failed = 0;
        let is_due = self.failed_told.is_none_or(|told| now.mono.ms_since(told) >= FAILED_TOLD_MS);
        for (target, emit) in emits {
            let Some(target) = target else { continue };
            if let Err(error) = target.replace(&mut piece, emit) {
                failed += 1;
                if is_due {
                    let path = target.path.display();
                    warn!("status-failed path={path} error=\"{error}\": the file is old or missing; service goes on");
                }
            }
        }
        self.piece = piece;
        self.failed += failed;
        if is_due && failed > 0 {
            self.failed_told = Some(now.mono);
            // The warning itself is no change that would be worth another try.
            self.told = Some(pulse(service, socket_stats.unsent));
        }
    }

    /// The last word of a clean stop: the same with `"running":false`.
    pub fn finish<S: Storage>(&mut self, now: &Now, service: &Service<S>, socket_stats: SocketStats) {
        self.pid = 0;
        self.write(now, service, socket_stats);
    }

    /// What the files say, for the control socket.
    pub fn status<'a, S: Storage>(
        &'a self,
        now: &Now,
        service: &'a Service<'_, S>,
        socket_stats: SocketStats,
    ) -> Status<'a> {
        let ledger = service.ledger();
        let newest_len = ledger.segment_len();
        Status {
            server: ServerRef(service.server()),
            ledger: LedgerFacts {
                number: ledger.number(),
                parent: ledger.parent(),
                site: ledger.site(),
                head: ledger.head(),
                snapshot: ledger.snapshot(),
                segments: self.census.segments(),
                bytes: self.census.bytes(newest_len),
                bytes_a_day: self.census.bytes_a_day(now.stamp.wall, newest_len),
                free: ledger.storage().free_bytes().ok(),
                reserve: service.reserve_bytes(),
                unsynced: ledger.unsynced_bytes(),
                unsynced_since: service.unsynced_since(),
                syncs: ledger.syncs(),
            },
            outside: Outside {
                pid: self.pid,
                kernel_dropped: socket_stats.kernel_dropped,
                unsent: socket_stats.unsent,
                sockets_missing: socket_stats.missing,
                status_failed: self.failed,
            },
            now: *now,
            trouble: logging::last_trouble(),
        }
    }

    /// Counts the segments again if the directory changed: one began, or some were taken away.
    fn count_segments(&mut self) {
        let changed = fs::metadata(&self.ledger_dir).map(|dir| (dir.mtime(), dir.mtime_nsec())).ok();
        if changed.is_none() || changed == self.counted {
            return;
        }
        match self.census.take(&self.ledger) {
            Ok(()) => self.counted = changed,
            // What was known stays; the ledger's own trouble is told by who writes it.
            Err(error) => debug!("segments not counted: {error}"),
        }
    }
}

fn pulse<S: Storage>(service: &Service<S>, unsent: u64) -> Pulse {
    let ledger = service.ledger();
    Pulse::of(service.server(), ledger.head(), !ledger.unsynced(), unsent, logging::troubles())
}

impl Target {
    fn new(path: PathBuf) -> Self {
        let mut temporary = path.clone().into_os_string();
        temporary.push(".tmp");
        Self { path, temporary: temporary.into() }
    }

    /// Puts a new file in the place of the old one.
    fn replace(&self, piece: &mut [u8], emit: Emit) -> io::Result<()> {
        let mut out = Out { file: create(&self.temporary)?, piece, filled: 0, error: None };
        let _told_by_the_error = emit(&mut out);
        let written = out.finish().and_then(|()| fs::rename(&self.temporary, &self.path));
        if written.is_err() {
            // Half a file takes room that may be what is missing.
            let _left = fs::remove_file(&self.temporary);
        }
        written
    }
}

/// Makes a new file that everybody may read. What stands there (a crash left it, or somebody laid a
/// link or a pipe) is taken away, never written to.
fn create(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
    let file = match open() {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            open()
        }
        opened => opened,
    }?;
    // Also under the umask of a service that keeps its ledger to itself.
    file.set_permissions(Permissions::from_mode(MODE))?;
    Ok(file)
}

/// Writes one of the files.
type Emit<'a> = &'a dyn Fn(&mut Out<'_>) -> fmt::Result;

/// Text on its way to a file, in pieces.
struct Out<'a> {
    file: File,
    piece: &'a mut [u8],
    filled: usize,
    error: Option<io::Error>,
}

impl Out<'_> {
    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.piece[..core::mem::take(&mut self.filled)])
    }

    fn finish(mut self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), Err)?;
        self.flush()
    }
}

impl fmt::Write for Out<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            if self.filled == self.piece.len()
                && let Err(error) = self.flush()
            {
                self.error = Some(error);
                return Err(fmt::Error);
            }
            let fits = rest.len().min(self.piece.len() - self.filled);
            self.piece[self.filled..self.filled + fits].copy_from_slice(&rest[..fits]);
            self.filled += fits;
            rest = &rest[fits..];
        }
        Ok(())
    }
}
