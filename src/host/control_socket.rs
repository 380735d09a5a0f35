//! The control socket: lines from the operator's tools in, answers out (design.md, section 4,
//! option `control`). *Invariants:*
//! - Nothing here blocks. A turn accepts at most eight clients and answers at most
//!   [`CONTROL_TURN_LINES`] lines, after the devices' frames: no client, however fast, slow, silent
//!   or hostile, delays a terminal.
//! - A client that waits for the next entry costs a turn one comparison. It is disconnected when it
//!   hangs up, and otherwise waits at most a minute.
//! - Each client has buffers of fixed size. The server stops reading from a client that does not
//!   read its answers, and disconnects it after ten seconds. A partial line has no effect. A line
//!   longer than [`CONTROL_LINE_MAX`] gets one answer, then the server disconnects. If all slots
//!   are in use, a new client replaces the one that was silent longest, if that is a minute:
//!   hanging programs must not lock out the desk.
//! - Answers are sent in the order of their lines, and only after their turn is committed:
//!   `Control::answer_lines`, then the commit, then [`Control::deliver`].
//! - A socket without work never wakes the loop.
//! - A dead server's socket file is replaced, a running server's never. At the end only our own
//!   socket file is removed.
//!
//! [`crate::desk::control`] interprets the lines.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use log::{debug, info, warn};
use mio::event::{Event, Source as _};
use mio::net::{UnixListener, UnixStream};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr};

use crate::desk::control::{self, Answer, ControlReply, Deferred};
use crate::desk::json::Object;
use crate::engine::limits::{CONTROL_CLIENTS_MAX, CONTROL_LINE_MAX, CONTROL_OUTPUT_LEN, CONTROL_TURN_LINES};
use crate::engine::model::{EntrySeq, Mono};
use crate::ledger::Head;
use crate::ledger::acks::OfficeName;

/// Disconnects clients that read none of their answers for this long, in milliseconds.
const STALLED_MS: u64 = 10_000;

/// A client that sent no whole line for this long, in milliseconds, may be replaced by a new one.
const SILENT_MS: u64 = 60_000;

/// Clients that one turn accepts at most.
const ACCEPTED_MAX: usize = 8;

/// Permissions of the socket file: owner and group may connect.
const MODE: u32 = 0o660;

/// The token of events of the socket file, after those of the clients.
const FILE: usize = CONTROL_CLIENTS_MAX + 1;

/// The listening socket and its clients.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket file, to recognize it as ours at the end.
    identity: (u64, u64),
    /// The listener's token; the clients' tokens follow it.
    token: usize,
    may_accept: bool,
    /// Reports changes of the socket file; `None` if the kernel does not support it.
    watched: Option<Inotify>,
    /// Whether a change was reported.
    may_be_gone: bool,
    clients: Box<[Option<Client>; CONTROL_CLIENTS_MAX]>,
    /// The slot of the client to read first in the next turn.
    first: usize,
    /// Clients so far.
    count: u64,
}

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is what one event said")]
struct Client {
    stream: UnixStream,
    /// Space for one line and its LF.
    input: Box<[u8]>,
    filled: usize,
    /// Length of the first whole line in it, without its LF.
    line: Option<usize>,
    /// Answers to send; the first `sent` bytes are sent.
    output: Vec<u8>,
    sent: usize,
    /// Answers of the current turn.
    held: Vec<Held>,
    /// Whether the stream may hold more to read.
    is_readable: bool,
    /// Whether reading has ended; the client is disconnected after its answers are sent.
    is_over: bool,
    /// Whether the connection failed.
    is_gone: bool,
    /// Whether the client neither sends nor reads any more.
    is_hung_up: bool,
    /// Its last line waits for the next entry.
    waiting: Option<Waiting>,
    /// Since when the client reads none of its answers.
    stalled_since: Option<Mono>,
    /// The office whose stream it is.
    office: Option<OfficeName>,
    /// When its last whole line was answered; initially, when it connected.
    heard: Mono,
    /// Its number among all clients.
    number: u64,
}

#[derive(Debug)]
struct Held {
    reply: ControlReply,
}

/// A client that waits for an entry later than this one, until this time.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    after: EntrySeq,
    until: Mono,
}

impl Control {
    /// Creates the socket, and its directory if that is missing.
    ///
    /// # Errors
    /// If another server listens at `path`, if another file is there, or the kernel's; with path
    /// and remedy in the message.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let explain = |what: &str, error: &io::Error| {
            io::Error::new(error.kind(), format!("cannot {what} the control socket {}: {error}", path.display()))
        };
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::create_dir_all(directory).map_err(|error| explain("make the directory of", &error))?;
        }
        make_way(path).map_err(|error| explain("make", &error))?;
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let made = || -> io::Result<(UnixListener, (u64, u64))> {
            let socket = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
            socket::bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
            // Nobody can connect before `listen`, so nobody connects under other permissions.
            fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
            let file = fs::symlink_metadata(path)?;
            socket::listen(&socket, Backlog::new(16)?)?;
            Ok((UnixListener::from_std(socket.into()), (file.dev(), file.ino())))
        };
        let (listener, identity) = made().map_err(|error| explain("make", &error))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            identity,
            token: 0,
            may_accept: true,
            watched: watch(path)
                .inspect_err(|error| debug!("control path not watched: {error}; if it is gone, reload (SIGHUP)"))
                .ok(),
            may_be_gone: false,
            clients: Box::new([const { None }; CONTROL_CLIENTS_MAX]),
            first: 0,
            count: 0,
        })
    }

    /// Registers the listener under `token`; clients use the tokens after it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn register(&mut self, registry: &Registry, token: usize) -> io::Result<()> {
        self.token = token;
        registry.register(&mut self.listener, Token(token), Interest::READABLE)?;
        if let Some(watched) = &self.watched {
            SourceFd(&watched.as_fd().as_raw_fd()).register(registry, Token(token + FILE), Interest::READABLE)?;
        }
        Ok(())
    }

    /// Whether the socket file may have been removed or renamed.
    pub(crate) const fn may_be_gone(&self) -> bool {
        self.may_be_gone
    }

    /// Creates the socket again if its path does not lead to it any more: `ctl` finds it by its
    /// path. Connected clients stay. A failure is a warning, and tried again at the next SIGHUP.
    pub(crate) fn renew(&mut self, registry: &Registry) {
        self.may_be_gone = false;
        if let Some(watched) = &self.watched {
            while watched.read_events().is_ok() {}
        }
        if is_at(&self.path, self.identity) {
            return;
        }
        let path = self.path.display();
        let renewed = Self::bind(&self.path).and_then(|mut new| {
            new.register(registry, self.token)?;
            core::mem::swap(&mut new.clients, &mut self.clients);
            new.count = self.count;
            Ok(new)
        });
        match renewed {
            Ok(new) => {
                info!("control path={path}: it was gone, and is made again");
                *self = new;
            }
            Err(error) => {
                warn!("control failed: {error}; `posgate ctl` cannot reach this server until a reload (SIGHUP)");
            }
        }
    }

    /// Notes an event of the poll.
    pub(crate) fn on_event(&mut self, event: &Event) {
        let Some(slot) = event.token().0.checked_sub(self.token) else { return };
        if slot == 0 {
            self.may_accept = true;
        } else if slot == FILE {
            self.may_be_gone = true;
        } else if let Some(Some(client)) = self.clients.get_mut(slot - 1) {
            client.is_readable |= event.is_readable() || event.is_read_closed() || event.is_error();
            client.is_hung_up |= event.is_write_closed();
        }
    }

    /// Whether there is a client to accept or a line to answer. The poll reports each event once.
    pub(crate) fn has_work(&self) -> bool {
        self.may_accept || self.clients.iter().flatten().any(Client::has_work)
    }

    /// Whether a client is connected.
    pub(crate) fn has_clients(&self) -> bool {
        self.clients.iter().any(Option::is_some)
    }

    /// When a stalled client is to be disconnected, or one has waited long enough.
    pub fn next_deadline(&self) -> Option<Mono> {
        let stalled = self.clients.iter().flatten().filter_map(|client| client.stalled_since);
        let stalled = stalled.min().map(|since| since.plus_ms(STALLED_MS));
        let waiting = self.clients.iter().flatten().filter_map(|client| Some(client.waiting?.until));
        waiting.chain(stalled).min()
    }

    /// Accepts at most `ACCEPTED_MAX` clients per turn, so that a client that reconnects
    /// endlessly costs little. A client that finds no slot gets the error `busy` and is
    /// disconnected.
    pub fn accept(&mut self, now: Mono, registry: &Registry) {
        for _ in 0..ACCEPTED_MAX {
            if !self.may_accept {
                return;
            }
            let Ok((mut stream, _)) = self.listener.accept() else {
                // No client is waiting, or the machine is out of descriptors or memory: the next
                // client wakes the poll.
                self.may_accept = false;
                return;
            };
            let free = self.clients.iter().position(Option::is_none);
            let Some(slot) = free.or_else(|| self.silent_slot(now)) else {
                let busy =
                    format!("busy: {CONTROL_CLIENTS_MAX} clients are connected; try again after one has disconnected");
                let _lost = stream.write(format!("{}\n", Object::error(busy).end()).as_bytes());
                continue;
            };
            let interest = Interest::READABLE | Interest::WRITABLE;
            if registry.register(&mut stream, Token(self.token + 1 + slot), interest).is_ok() {
                self.count += 1;
                self.clients[slot] = Some(Client::new(now, stream, self.count));
            }
        }
    }

    /// The slot of the client that was silent longest, if that is at least [`SILENT_MS`].
    fn silent_slot(&self, now: Mono) -> Option<usize> {
        let clients = self.clients.iter().enumerate().filter_map(|(slot, client)| Some((slot, client.as_ref()?)));
        let silent = clients.filter(|(_, client)| client.is_empty() && now.ms_since(client.heard) >= SILENT_MS);
        silent.min_by_key(|(_, client)| client.heard).map(|(slot, _)| slot)
    }

    /// Reads lines and answers them, one line per client in rotation. `answer` receives a line
    /// without its LF. After a heavy line the others wait for the next turn.
    ///
    /// # Errors
    /// Those of `answer`.
    pub(crate) fn answer_lines(
        &mut self,
        mut answer: impl FnMut(Option<&OfficeName>, &[u8]) -> io::Result<Answer>,
    ) -> io::Result<()> {
        let mut left = CONTROL_TURN_LINES;
        let mut is_idle = false;
        while left > 0 && !is_idle {
            is_idle = true;
            for slot in (self.first..CONTROL_CLIENTS_MAX).chain(0..self.first) {
                let Some(client) = self.clients[slot].as_mut().filter(|_| left > 0) else { continue };
                let office = client.office;
                match client.answer_line(&mut answer)? {
                    None => continue,
                    Some(is_heavy) => left = if is_heavy { 0 } else { left - 1 },
                }
                if client.office != office {
                    self.end_other_streams(slot);
                }
                is_idle = false;
            }
        }
        self.first = (self.first + 1) % CONTROL_CLIENTS_MAX;
        Ok(())
    }

    /// Disconnects the client that was the stream of the same office before.
    fn end_other_streams(&mut self, slot: usize) {
        let office = self.clients[slot].as_ref().and_then(|client| client.office);
        let others = self.clients.iter_mut().enumerate().filter(|(other, _)| *other != slot);
        for client in others.filter_map(|(_, client)| client.as_mut()).filter(|client| client.office == office) {
            client.is_gone = true;
        }
    }

    /// The next request of a committed turn that the loop itself answers, with
    /// [`Control::answer_deferred`], and the number of its client: the first one after `last`, in
    /// rotation. Its client waits until then, and so do the client's further lines.
    pub(crate) fn deferred(&self, last: u64, is_meant: impl Fn(Deferred) -> bool) -> Option<(u64, Deferred)> {
        let asked = self.clients.iter().flatten().filter_map(|client| match client.held.last()?.reply {
            ControlReply::Deferred(deferred) => is_meant(deferred).then_some((client.number, deferred)),
            ControlReply::Line(_) | ControlReply::Stream { .. } | ControlReply::Wait { .. } => None,
        });
        asked.min_by_key(|(number, _)| (*number <= last, *number))
    }

    /// Answers the request that [`Control::deferred`] returned, if its client is still there.
    pub(crate) fn answer_deferred(&mut self, client: u64, line: String) {
        let client = self.clients.iter_mut().flatten().find(|other| other.number == client);
        let held = client.and_then(|client| client.held.last_mut());
        if let Some(held) = held.filter(|held| matches!(held.reply, ControlReply::Deferred(_))) {
            *held = Held { reply: ControlReply::Line(line) };
        }
    }

    /// Sends the answers of a committed turn, and the last durable entry of this ledger to clients
    /// that wait for it; drops clients that disconnected or stalled.
    pub fn deliver(&mut self, now: Mono, ledger: u64, synced: Head) {
        for slot in self.clients.iter_mut() {
            let Some(client) = slot else { continue };
            if !client.held.is_empty() {
                client.heard = now;
            }
            client.post_held(now);
            if client.waiting.is_some_and(|waiting| waiting.after < synced.seq || waiting.until <= now) {
                client.waiting = None;
                client.post(&control::last_entry(ledger, synced));
            }
            client.flush(now);
            // Reading would tell too, but nothing is read from a client that waits.
            client.is_gone |= client.is_hung_up && client.waiting.is_some();
            let is_stalled = client.stalled_since.is_some_and(|since| now.ms_since(since) >= STALLED_MS);
            let is_done = client.is_over && client.is_empty() && client.line.is_none();
            if client.is_gone || is_stalled || is_done {
                *slot = None;
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if is_at(&self.path, self.identity) {
            let _kept = fs::remove_file(&self.path);
        }
    }
}

impl Client {
    fn new(now: Mono, stream: UnixStream, number: u64) -> Self {
        Self {
            stream,
            input: vec![0; CONTROL_LINE_MAX + 1].into_boxed_slice(),
            filled: 0,
            line: None,
            output: Vec::new(),
            sent: 0,
            held: Vec::new(),
            is_readable: true,
            is_over: false,
            is_gone: false,
            is_hung_up: false,
            waiting: None,
            stalled_since: None,
            office: None,
            heard: now,
            number,
        }
    }

    /// Whether another answer of any length fits; none does while an answer is deferred, or waits.
    fn has_room(&self) -> bool {
        if self.waiting.is_some() {
            return false;
        }
        let held: usize = self.held.iter().map(Held::len).sum();
        self.output.len() - self.sent + held + CONTROL_LINE_MAX < CONTROL_OUTPUT_LEN
    }

    fn is_empty(&self) -> bool {
        self.output.is_empty() && self.held.is_empty() && self.waiting.is_none()
    }

    fn has_work(&self) -> bool {
        !self.is_gone && self.has_room() && (self.is_readable || self.line.is_some())
    }

    /// Looks for the first whole line, after the input changed.
    fn look_for_line(&mut self) {
        self.line = memchr::memchr(b'\n', &self.input[..self.filled]);
    }

    /// Answers one line and returns whether it was heavy; `None` if there is no line, or no space
    /// for its answer.
    fn answer_line(
        &mut self,
        answer: &mut impl FnMut(Option<&OfficeName>, &[u8]) -> io::Result<Answer>,
    ) -> io::Result<Option<bool>> {
        if self.is_gone || !self.has_room() {
            return Ok(None);
        }
        if self.line.is_none() && self.is_readable {
            self.read();
            self.look_for_line();
        }
        let Some(len) = self.line else {
            if self.filled < self.input.len() {
                return Ok(None);
            }
            let sentence = format!("this line is longer than {CONTROL_LINE_MAX} bytes: send one object per line");
            self.held.push(Held { reply: ControlReply::Line(Object::error(sentence).end()) });
            (self.filled, self.is_readable, self.is_over) = (0, false, true);
            return Ok(Some(false));
        };
        let Answer { reply, is_heavy } = answer(self.office.as_ref(), &self.input[..len])?;
        if let ControlReply::Stream { office, .. } = &reply {
            // Its next line is the office's already.
            self.office = Some(*office);
        }
        self.held.push(Held { reply });
        self.input.copy_within(len + 1..self.filled, 0);
        self.filled -= len + 1;
        self.look_for_line();
        Ok(Some(is_heavy))
    }

    fn read(&mut self) {
        while self.is_readable && self.filled < self.input.len() {
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => (self.is_readable, self.is_over) = (false, true),
                Ok(len) => self.filled += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_readable = false,
                Err(_) => (self.is_readable, self.is_gone) = (false, true),
            }
        }
    }

    /// Moves the turn's answers to the output. One that waits is the last.
    fn post_held(&mut self, now: Mono) {
        self.output.drain(..self.sent);
        self.sent = 0;
        // A deferred answer is the last one, and stays until it is there.
        let is_deferred = self.held.last().is_some_and(|held| matches!(held.reply, ControlReply::Deferred(_)));
        let deferred = if is_deferred { self.held.pop() } else { None };
        for held in core::mem::take(&mut self.held) {
            match held.reply {
                ControlReply::Line(line) | ControlReply::Stream { line, .. } => self.post(&line),
                ControlReply::Wait { after, max_s } => {
                    let until = now.plus_ms(u64::from(max_s) * 1000);
                    self.waiting = Some(Waiting { after, until });
                }
                ControlReply::Deferred(_) => (),
            }
        }
        self.held.extend(deferred);
    }

    /// Adds a line to the output.
    fn post(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.push(b'\n');
    }

    fn flush(&mut self, now: Mono) {
        while self.sent < self.output.len() && !self.is_gone {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(0) => self.is_gone = true,
                Ok(len) => (self.sent, self.stalled_since) = (self.sent + len, None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stalled_since = self.stalled_since.or(Some(now));
                    return;
                }
                Err(_) => self.is_gone = true,
            }
        }
        self.output.clear();
        self.sent = 0;
        self.stalled_since = None;
    }
}

impl Held {
    fn len(&self) -> usize {
        match &self.reply {
            ControlReply::Line(line) | ControlReply::Stream { line, .. } => line.len() + 1,
            ControlReply::Deferred(_) | ControlReply::Wait { .. } => CONTROL_OUTPUT_LEN,
        }
    }
}

/// Whether a path leads to the file of this device and inode.
fn is_at(path: &Path, identity: (u64, u64)) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| (file.dev(), file.ino()) == identity)
}

/// Asks the kernel to report when a file is renamed or removed. A socket file exists while the
/// socket listens, so its removal shows as a change of its link count (inotify(7), IN_ATTRIB).
fn watch(path: &Path) -> io::Result<Inotify> {
    let watched = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let changes = AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_DONT_FOLLOW;
    watched.add_watch(path, changes)?;
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        watched.add_watch(directory, AddWatchFlags::IN_MOVE_SELF)?;
    }
    Ok(watched)
}

/// Removes the socket file of a dead server.
fn make_way(path: &Path) -> io::Result<()> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !file.file_type().is_socket() {
        let sentence = "another file is there: name another path in option control, or remove it";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, sentence));
    }
    match UnixStream::connect(path) {
        // No process listens there any more.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        // The server's queue is full (WouldBlock), or it accepted.
        Err(_) | Ok(_) => {
            let sentence = "another server listens there: give each its own option control";
            Err(io::Error::new(io::ErrorKind::AddrInUse, sentence))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::os::unix::net::UnixStream as StdStream;
    use std::time::Duration;

    use mio::{Events, Poll};
    use tempfile::TempDir;

    use super::*;

    /// A control socket that answers each line with its length.
    struct Desk {
        dir: TempDir,
        poll: Poll,
        control: Control,
        /// The answered lines, in order.
        heard: Vec<String>,
        synced: Head,
    }

    impl Desk {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let poll = Poll::new().unwrap();
            let mut control = Control::bind(&dir.path().join("run/ctl.sock")).unwrap();
            control.register(poll.registry(), 256).unwrap();
            Self { dir, poll, control, heard: Vec::new(), synced: Head::default() }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("run/ctl.sock")
        }

        fn connect(&self) -> StdStream {
            let stream = StdStream::connect(self.path()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream
        }

        /// Handles the events of the poll, without waiting.
        fn look(&mut self, at_ms: u64) {
            let mut events = Events::with_capacity(64);
            self.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            for event in &events {
                self.control.on_event(event);
            }
            self.control.accept(Mono(at_ms), self.poll.registry());
        }

        /// Answers what has arrived; returns the number of lines.
        fn read(&mut self, at_ms: u64) -> usize {
            self.look(at_ms);
            let Self { control, heard, .. } = self;
            let before = heard.len();
            let answered = control.answer_lines(|_, line| {
                heard.push(String::from_utf8_lossy(line).into_owned());
                let reply = match line {
                    b"status" => ControlReply::Deferred(Deferred::Status),
                    b"hq" | b"hq2" => {
                        ControlReply::Stream { office: OfficeName::from_utf8(line).unwrap(), line: "hello".to_owned() }
                    }
                    b"wait" => ControlReply::Wait { after: EntrySeq(5), max_s: 3 },
                    line => ControlReply::Line(format!("{} {}", line.len(), "x".repeat(line.len() % 4000))),
                };
                Ok(Answer { reply, is_heavy: line.starts_with(b"heavy") })
            });
            answered.unwrap();
            heard.len() - before
        }

        /// A whole turn at the time `at_ms`.
        fn turn(&mut self, at_ms: u64) -> usize {
            let count = self.read(at_ms);
            self.control.deliver(Mono(at_ms), 0xA1, self.synced);
            count
        }

        /// As many clients as there are slots.
        fn connect_all(&mut self) -> Vec<StdStream> {
            let mut clients = Vec::new();
            while clients.len() < CONTROL_CLIENTS_MAX {
                clients.push(self.connect());
                self.turn(0);
            }
            clients
        }

        fn clients(&self) -> usize {
            self.control.clients.iter().flatten().count()
        }
    }

    fn next_line(stream: &StdStream) -> String {
        let mut line = String::new();
        io::BufReader::with_capacity(1, stream).read_line(&mut line).unwrap();
        line
    }

    #[test]
    fn a_turn_answers_a_bounded_number_of_lines_of_all_clients() {
        let mut desk = Desk::new();
        let mut fast = desk.connect();
        let mut other = desk.connect();
        fast.write_all("a\n".repeat(200).as_bytes()).unwrap();
        other.write_all(b"b\nb\n").unwrap();
        assert_eq!(desk.turn(0), CONTROL_TURN_LINES);
        assert_eq!(desk.heard.iter().filter(|line| *line == "b").count(), 2, "in rotation: {:?}", desk.heard);
        assert!(desk.control.has_work(), "the poll will not report the rest");
        assert_eq!(desk.turn(0), CONTROL_TURN_LINES);
        other.write_all(b"heavy\nb\n").unwrap();
        while !desk.heard.iter().any(|line| line == "heavy") {
            assert!(desk.turn(0) > 0);
        }
        assert_eq!(desk.heard.last().unwrap(), "heavy", "after it the other lines wait for the next turn");
        while desk.control.has_work() {
            desk.turn(0);
        }
        assert_eq!(desk.heard.len(), 204);
        assert_eq!(desk.control.next_deadline(), None, "no deadline is left");
    }

    #[test]
    fn answers_are_sent_after_their_turn_is_committed() {
        let mut desk = Desk::new();
        let mut client = desk.connect();
        client.write_all(b"one\n").unwrap();
        desk.read(0);
        client.set_nonblocking(true).unwrap();
        assert_eq!(client.read(&mut [0; 10]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        client.set_nonblocking(false).unwrap();
        desk.control.deliver(Mono(0), 0, Head::default());
        assert_eq!(next_line(&client), "3 xxx\n");
        // A deferred answer is the client's last one in its turn.
        client.write_all(b"a\nstatus\nb\n").unwrap();
        assert_eq!(desk.read(0), 2);
        let status = |deferred| matches!(deferred, Deferred::Status);
        assert_eq!(desk.control.deferred(0, |deferred| !status(deferred)), None);
        let (client_number, _) = desk.control.deferred(0, status).unwrap();
        // It may take several turns; nothing else is answered meanwhile.
        desk.control.deliver(Mono(0), 0, Head::default());
        assert_eq!(next_line(&client), "1 x\n");
        assert_eq!(desk.turn(0), 0);
        desk.control.answer_deferred(client_number + 1, "another's".to_owned());
        desk.control.answer_deferred(client_number, "fine".to_owned());
        assert_eq!(desk.control.deferred(0, status), None);
        desk.control.deliver(Mono(0), 0, Head::default());
        assert_eq!(next_line(&client), "fine\n");
        assert_eq!(desk.turn(0), 1);
    }

    #[test]
    fn a_client_that_waits_is_answered_when_a_later_entry_is_durable_or_its_time_is_over() {
        let mut desk = Desk::new();
        let mut client = desk.connect();
        client.write_all(b"wait\nlast\n").unwrap();
        assert_eq!(desk.turn(1000), 1, "the line after it waits too");
        assert_eq!(desk.control.next_deadline(), Some(Mono(4000)));
        assert!(!desk.control.has_work(), "it does not keep the loop awake");
        client.set_nonblocking(true).unwrap();
        desk.synced = Head { seq: EntrySeq(5), crc: 0xC5 };
        assert_eq!(desk.turn(3999), 0);
        assert_eq!(client.read(&mut [0; 10]).unwrap_err().kind(), io::ErrorKind::WouldBlock, "it has that one");
        client.set_nonblocking(false).unwrap();
        // A later entry.
        desk.synced = Head { seq: EntrySeq(7), crc: 0xC7 };
        assert_eq!(desk.turn(3999), 0);
        let answer = "{\"ok\":true,\"ledger\":\"00000000000000a1\",\"seq\":7,\"crc\":\"000000c7\"}\n";
        assert_eq!(next_line(&client), answer);
        assert!(desk.control.has_work(), "the line after it is there");
        assert_eq!(desk.turn(3999), 1);
        assert_eq!((next_line(&client).as_str(), desk.control.next_deadline()), ("4 xxxx\n", None));
        // It is there already.
        client.write_all(b"wait\n").unwrap();
        assert_eq!(desk.turn(5000), 1);
        assert_eq!(next_line(&client), answer);
        // None comes.
        desk.synced = Head { seq: EntrySeq(2), crc: 0xC2 };
        client.write_all(b"wait\n").unwrap();
        assert_eq!((desk.turn(6000), desk.turn(8999)), (1, 0));
        assert_eq!(desk.control.next_deadline(), Some(Mono(9000)));
        desk.turn(9000);
        assert!(next_line(&client).contains("\"seq\":2,\"crc\":\"000000c2\""));
    }

    #[test]
    fn a_client_that_hangs_up_while_it_waits_frees_its_slot_and_a_half_closed_one_gets_its_answer() {
        let mut desk = Desk::new();
        let (mut gone, mut half) = (desk.connect(), desk.connect());
        gone.write_all(b"wait\n").unwrap();
        half.write_all(b"wait\nrest\n").unwrap();
        half.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(desk.turn(0), 2);
        assert_eq!((desk.turn(100), desk.clients()), (0, 2));
        drop(gone);
        desk.turn(200);
        assert_eq!(desk.clients(), 1, "its slot is free at once");
        desk.turn(3000);
        desk.turn(3000);
        assert!(next_line(&half).contains("\"seq\":0"));
        assert_eq!((next_line(&half).as_str(), desk.clients()), ("4 xxxx\n", 0));
        // A silent minute does not count against one that waits.
        let mut clients = desk.connect_all();
        for client in &mut clients {
            client.write_all(b"wait\n").unwrap();
        }
        while desk.turn(0) > 0 {}
        let late = desk.connect();
        desk.look(2 * SILENT_MS);
        assert!(next_line(&late).contains("busy"));
    }

    #[test]
    fn a_new_stream_of_an_office_ends_the_one_before_and_no_other() {
        let mut desk = Desk::new();
        let (mut old, mut other, mut new) = (desk.connect(), desk.connect(), desk.connect());
        old.write_all(b"hq\n").unwrap();
        other.write_all(b"hq2\n").unwrap();
        assert_eq!(desk.turn(0), 2);
        // Once more by the same client: nothing ends.
        old.write_all(b"hq\n").unwrap();
        assert_eq!((desk.turn(0), desk.clients()), (1, 3));
        new.write_all(b"hq\n").unwrap();
        assert_eq!((desk.turn(0), desk.clients()), (1, 2));
        assert_eq!([next_line(&old), next_line(&old), next_line(&old)], ["hello\n", "hello\n", ""]);
        assert_eq!((next_line(&new), next_line(&other)), ("hello\n".to_owned(), "hello\n".to_owned()));
        other.write_all(b"x\n").unwrap();
        desk.turn(0);
        assert_eq!(next_line(&other), "1 x\n");
    }

    #[test]
    fn a_partial_line_does_nothing_until_it_is_complete() {
        let mut desk = Desk::new();
        let (mut client, mut other) = (desk.connect(), desk.connect());
        client.write_all(b"ab").unwrap();
        other.write_all(b"cd").unwrap();
        assert_eq!(desk.turn(0), 0);
        assert!(!desk.control.has_work());
        client.write_all(b"c\n").unwrap();
        drop(other);
        assert_eq!(desk.turn(0), 1);
        assert_eq!((desk.heard.as_slice(), desk.clients()), (["abc".to_owned()].as_slice(), 1));
        // A client that sends, closes its sending side and reads gets its answers.
        client.write_all(b"last\nhalf").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        desk.turn(0);
        assert_eq!((next_line(&client), next_line(&client)), ("3 xxx\n".to_owned(), "4 xxxx\n".to_owned()));
        assert_eq!((next_line(&client).as_str(), desk.clients()), ("", 0));
    }

    #[test]
    fn an_endless_line_gets_one_answer_and_is_disconnected() {
        let mut desk = Desk::new();
        let mut client = desk.connect();
        let longest = "y".repeat(CONTROL_LINE_MAX);
        client.write_all(format!("{longest}\n").as_bytes()).unwrap();
        assert_eq!(desk.turn(0), 1);
        assert!(next_line(&client).starts_with("4096 "));
        let flood = std::thread::spawn(move || {
            // The server disconnects long before all is written.
            let _broken = client.write_all(&vec![b'y'; 10_000_000]);
            client
        });
        while desk.clients() > 0 {
            assert_eq!(desk.turn(0), 0);
        }
        let client = flood.join().unwrap();
        assert!(next_line(&client).contains("longer than 4096 bytes"));
    }

    #[test]
    fn a_client_that_reads_no_answers_is_read_no_further_and_disconnected() {
        let mut desk = Desk::new();
        let mut client = desk.connect();
        client.set_nonblocking(true).unwrap();
        let line = format!("{}\n", "z".repeat(3000));
        // Until neither side accepts more.
        let mut is_full = false;
        while !is_full || desk.control.has_work() {
            is_full = client.write(line.as_bytes()).is_err();
            desk.turn(1000);
        }
        assert_eq!(desk.control.next_deadline(), Some(Mono(1000 + STALLED_MS)));
        let held: usize = desk.control.clients.iter().flatten().map(|client| client.output.len()).sum();
        assert!(held <= CONTROL_OUTPUT_LEN, "{held}");
        desk.turn(999 + STALLED_MS);
        assert_eq!(desk.clients(), 1);
        desk.turn(1000 + STALLED_MS);
        assert_eq!((desk.clients(), desk.control.next_deadline()), (0, None));
    }

    #[test]
    fn one_client_too_many_gets_the_error_busy() {
        let mut desk = Desk::new();
        let mut clients = desk.connect_all();
        let ninth = desk.connect();
        desk.turn(0);
        assert!(next_line(&ninth).contains("\"error\":\"busy: 32 clients"));
        assert_eq!((next_line(&ninth).as_str(), desk.clients()), ("", CONTROL_CLIENTS_MAX));
        clients.pop();
        desk.turn(0);
        let mut tenth = desk.connect();
        tenth.write_all(b"x\n").unwrap();
        desk.turn(0);
        assert_eq!(next_line(&tenth), "1 x\n");
    }

    #[test]
    fn a_new_client_replaces_the_one_that_was_silent_longest_after_a_minute() {
        let mut desk = Desk::new();
        let mut clients = desk.connect_all();
        // A partial line does not count.
        clients[2].write_all(b"half").unwrap();
        for (place, at_ms) in (0..CONTROL_CLIENTS_MAX).filter(|place| *place != 2).map(|place| (place, 5000)) {
            let at_ms = match place {
                1 => 3000,
                3 => 4000,
                _ => at_ms,
            };
            clients[place].write_all(b"x\n").unwrap();
            assert_eq!(desk.turn(at_ms), 1);
        }
        let too_soon = desk.connect();
        desk.turn(SILENT_MS - 1);
        assert!(next_line(&too_soon).contains("busy"));
        let mut ninth = desk.connect();
        ninth.write_all(b"nine\n").unwrap();
        while desk.turn(SILENT_MS) == 0 {}
        assert_eq!(next_line(&ninth), "4 xxxx\n");
        assert_eq!((next_line(&clients[2]).as_str(), desk.clients()), ("", CONTROL_CLIENTS_MAX), "it was disconnected");
        let mut tenth = desk.connect();
        tenth.write_all(b"x\n").unwrap();
        while desk.turn(3000 + SILENT_MS) == 0 {}
        assert_eq!((next_line(&clients[1]), next_line(&clients[1])), ("1 x\n".to_owned(), String::new()));
        clients[3].write_all(b"still here\n").unwrap();
        while desk.turn(3000 + SILENT_MS) == 0 {}
        assert!(next_line(&clients[3]).starts_with("1 "), "its first answer");
    }

    #[test]
    fn a_turn_accepts_at_most_eight_clients() {
        let mut desk = Desk::new();
        // As many as the kernel queues; each has disconnected before it is accepted.
        let connect =
            |count: usize| (0..count).for_each(|_| drop(StdStream::connect(desk.dir.path().join("run/ctl.sock"))));
        connect(2 * ACCEPTED_MAX);
        desk.look(0);
        assert_eq!(desk.clients(), ACCEPTED_MAX);
        assert!(desk.control.may_accept, "the poll will not report the rest");
        while desk.control.has_work() {
            desk.turn(0);
        }
        assert_eq!((desk.clients(), desk.control.may_accept), (0, false), "they disconnected");
    }

    #[test]
    fn only_a_dead_servers_socket_is_replaced_and_only_our_own_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/run/ctl.sock");
        let first = Control::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let error = Control::bind(&path).unwrap_err().to_string();
        assert!(error.contains("another server listens there"), "{error}");
        assert!(StdStream::connect(&path).is_ok(), "it still listens");
        drop(first);
        assert!(!path.exists());
        // A killed server leaves its socket file.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let second = Control::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another program's").unwrap();
        drop(second);
        assert!(path.exists(), "another file is not removed");
        let error = Control::bind(&path).unwrap_err().to_string();
        assert!(error.contains("another file is there"), "{error}");
        let under_file = Control::bind(&path.join("ctl.sock")).unwrap_err().to_string();
        assert!(under_file.contains("cannot make the directory"), "{under_file}");
    }
}
