//! Keeps the status and metrics files current (design.md, section 4; [`crate::desk::status`] has
//! their contents).
//!
//! ```text
//!   a turn ──▶ anything changed? ──yes──▶ one deadline, a second later ──▶ name.tmp ──rename──▶ name
//!                      └─no─▶ nothing: no deadline, no system call
//! ```
//!
//! *Invariants:*
//! - A reader finds a whole file, the old one or the new one.
//! - The files are written at most once per second; if writing is slow, so rarely that it takes at
//!   most a twentieth of the time.
//! - A failure is counted, warned about once per hour, and tried again at the next change. It never
//!   delays service.
//! - Nothing is synced: /var/run is RAM, and after a power cut the old files are useless.
//! - After a warm-up nothing allocates, unless the ledger's directory changed.

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

/// Delay from a change to its write, in milliseconds; later changes go into the same write.
const DELAY_MS: u64 = 1000;

/// Writing takes at most one part in this many of the time.
const SHARE: u64 = 20;

/// Least time between two warnings about failures, in milliseconds.
const FAILED_WARN_MS: u64 = 3_600_000;

/// Bytes per write call.
const PIECE_LEN: usize = 4096;

/// Permissions of the files: everybody may read them (SECURITY.md says what they hold).
const MODE: u32 = 0o644;

/// Paths of the files.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The status file, if one is written.
    pub status: Option<PathBuf>,
    /// The metrics file, if one is written.
    pub metrics: Option<PathBuf>,
    /// The ledger's directory, for the sizes of its segments.
    pub ledger_dir: PathBuf,
}

/// Counters of the sockets since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketStats {
    /// Datagrams that the kernel dropped because a buffer was full; `None` if it does not report
    /// them.
    pub kernel_dropped: Option<u64>,
    /// Replies that could not be sent.
    pub unsent: u64,
    /// As in [`Outside`].
    pub missing: usize,
}

/// Writes a service's status and metrics files when they change.
#[derive(Debug)]
pub struct Watch {
    status: Option<Target>,
    metrics: Option<Target>,
    census: Census,
    ledger: DirFiles,
    ledger_dir: PathBuf,
    /// The directory's modification time when its segments were counted.
    counted: Option<(i64, i64)>,
    is_running: bool,
    pid: Option<u32>,
    /// Options that wait for the next start.
    at_next_start: Vec<&'static str>,
    /// The state in the files.
    written: Option<Pulse>,
    due: Option<Mono>,
    /// The earliest time of the next write.
    not_before: Mono,
    failed: u64,
    failed_warned: Option<Mono>,
    piece: Box<[u8]>,
}

/// This process as the machine numbers it. `None` in a pid namespace of its own, such as a ujail's:
/// there it has a number that is another process's outside.
fn machine_pid() -> Option<u32> {
    /// The first namespace's name, the same on every kernel (`PROC_PID_INIT_INO`).
    const FIRST: &str = "pid:[4026531836]";
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    (namespace == Path::new(FIRST)).then(std::process::id)
}

/// A file, and the temporary one that replaces it.
#[derive(Debug)]
struct Target {
    path: PathBuf,
    temporary: PathBuf,
}

impl Watch {
    /// Counts the ledger's segments and creates the directories of the files. Failures are logged
    /// only.
    pub fn new(places: Places) -> Self {
        let mut watch = Self {
            status: places.status.map(Target::new),
            metrics: places.metrics.map(Target::new),
            census: Census::default(),
            ledger: DirFiles::new(places.ledger_dir.clone()),
            ledger_dir: places.ledger_dir,
            counted: None,
            is_running: true,
            pid: machine_pid(),
            at_next_start: Vec::new(),
            written: None,
            due: None,
            not_before: Mono(0),
            failed: 0,
            failed_warned: None,
            piece: vec![0; PIECE_LEN].into_boxed_slice(),
        };
        for target in [&watch.status, &watch.metrics].into_iter().flatten() {
            if let Some(dir) = target.path.parent()
                && let Err(error) = fs::create_dir_all(dir)
            {
                // The first write fails, too, and is counted.
                debug!("no directory {}: {error}", dir.display());
            }
        }
        watch.count_segments();
        watch
    }

    /// Whether there is a file to write.
    fn is_on(&self) -> bool {
        self.status.is_some() || self.metrics.is_some()
    }

    /// When [`Watch::after_turn`] has files to write.
    pub fn deadline(&self) -> Option<Mono> {
        self.due
    }

    /// Notes that a socket came or went, so that the files are written again.
    pub(crate) const fn note_sockets(&mut self) {
        self.written = None;
    }

    /// Called after a turn has sent its results: notes a change, and writes the files if it is
    /// time.
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
        if self.due.is_none() && self.written.as_ref() != Some(&pulse(service, unsent)) {
            self.due = Some(now.mono.plus_ms(DELAY_MS).max(self.not_before));
        }
        if self.due.is_some_and(|due| due <= now.mono) {
            let begun = clock.mono();
            self.write(now, service, socket_stats());
            let done = clock.mono();
            self.not_before = done.plus_ms(DELAY_MS.max(SHARE * done.ms_since(begun)));
        }
    }

    /// Writes the files now.
    pub fn write<S: Storage>(&mut self, now: &Now, service: &Service<S>, socket_stats: SocketStats) {
        if !self.is_on() {
            return;
        }
        self.due = None;
        self.not_before = now.mono.plus_ms(DELAY_MS);
        self.written = Some(pulse(service, socket_stats.unsent));
        self.count_segments();
        let mut piece = core::mem::take(&mut self.piece);
        let status = self.status(now, service, socket_stats);
        let emits: [(Option<&Target>, Emit); 2] =
            [(self.status.as_ref(), &|out| status.emit(out)), (self.metrics.as_ref(), &|out| status.emit_metrics(out))];
        let mut failed = 0;
        let is_due = self.failed_warned.is_none_or(|warned| now.mono.ms_since(warned) >= FAILED_WARN_MS);
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
            self.failed_warned = Some(now.mono);
            // The warning itself must not count as a change, or the files would be tried again at
            // once.
            self.written = Some(pulse(service, socket_stats.unsent));
        }
    }

    /// Writes the files at a clean stop, with `"running":false`.
    pub fn finish<S: Storage>(&mut self, now: &Now, service: &Service<S>, socket_stats: SocketStats) {
        self.is_running = false;
        self.pid = None;
        self.write(now, service, socket_stats);
    }

    /// Names the options of which a reload has said that they wait for the next start.
    pub fn wait_for_start(&mut self, options: Vec<&'static str>) {
        self.at_next_start = options;
    }

    /// The current status, for the control socket.
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
                offices: service.offices(),
            },
            outside: Outside {
                is_running: self.is_running,
                pid: self.pid,
                kernel_dropped: socket_stats.kernel_dropped,
                unsent: socket_stats.unsent,
                sockets_missing: socket_stats.missing,
                status_failed: self.failed,
            },
            at_next_start: &self.at_next_start,
            now: *now,
            trouble: logging::last_trouble(),
        }
    }

    /// Counts the segments again if the directory changed: a segment began, or some were removed.
    fn count_segments(&mut self) {
        let changed = fs::metadata(&self.ledger_dir).map(|dir| (dir.mtime(), dir.mtime_nsec())).ok();
        if changed.is_none() || changed == self.counted {
            return;
        }
        match self.census.take(&self.ledger) {
            Ok(()) => self.counted = changed,
            // The old counts stay; the ledger's writer reports trouble with the directory.
            Err(error) => debug!("segments not counted: {error}"),
        }
    }
}

fn pulse<S: Storage>(service: &Service<S>, unsent: u64) -> Pulse {
    let ledger = service.ledger();
    let (troubles, acks) = (logging::troubles(), service.acks_heard());
    Pulse::of(service.server(), ledger.head(), !ledger.unsynced(), unsent, troubles, acks)
}

impl Target {
    fn new(path: PathBuf) -> Self {
        let mut temporary = path.clone().into_os_string();
        temporary.push(".tmp");
        Self { path, temporary: temporary.into() }
    }

    /// Replaces the file.
    fn replace(&self, piece: &mut [u8], emit: Emit) -> io::Result<()> {
        let mut out = Out { file: create(&self.temporary)?, piece, filled: 0, error: None };
        let _kept_in_out = emit(&mut out);
        let written = out.finish().and_then(|()| fs::rename(&self.temporary, &self.path));
        if written.is_err() {
            // A partial file may use the very space that is missing.
            let _left = fs::remove_file(&self.temporary);
        }
        written
    }
}

/// Creates a new file that everybody may read. An existing file (left by a crash), link or pipe is
/// removed, never written to.
fn create(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
    let file = match open() {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            open()
        }
        opened => opened,
    }?;
    // The umask of a service that keeps its ledger private must not apply here.
    file.set_permissions(Permissions::from_mode(MODE))?;
    Ok(file)
}

/// Writes the text of one of the files.
type Emit<'a> = &'a dyn Fn(&mut Out<'_>) -> fmt::Result;

/// Writes text to a file in pieces of [`PIECE_LEN`] bytes.
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
