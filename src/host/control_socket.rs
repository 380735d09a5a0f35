//! The control socket: lines from the operator's tools in, answers out (design.md, section 4,
//! option `control`).
//!
//! What always holds:
//! - Nothing here blocks. A turn lets in at most [`CONTROL_CLIENTS_MAX`] clients and handles at
//!   most [`CONTROL_TURN_LINES`] lines, after the devices' frames: no client, however fast, slow,
//!   silent or hostile, makes a terminal wait.
//! - Each client has buffers of fixed size. Who does not take its answers is read no further, and
//!   closed after ten seconds; half a line waits for its rest or for the close, and does nothing; a
//!   longer line than [`CONTROL_LINE_MAX`] gets one answer and the close. When all places are
//!   taken, who was silent for a minute gives way: programs that hang must not keep the desk out.
//! - Answers leave in the order of their lines, and only when their turn is committed:
//!   `Control::answer_lines`, then the commit, then [`Control::deliver`].
//! - Without a client that has something to say or to take, nobody is woken.
//! - The socket of a dead server is replaced, a living one's is never taken; only the own one is
//!   removed.
//!
//! What a line means is [`crate::desk::control`]'s business.

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

use crate::desk::control::{Answer, Deferred, Reply};
use crate::desk::json::Object;
use crate::engine::limits::{CONTROL_CLIENTS_MAX, CONTROL_LINE_MAX, CONTROL_OUTPUT_LEN, CONTROL_TURN_LINES};
use crate::engine::model::Mono;

/// Disconnects clients that read none of their answers for this long.
const STALLED_MS: u64 = 10_000;

/// Who sent no whole line for so long gives way to one that finds no place.
const SILENT_MS: u64 = 60_000;

/// Who may connect: its owner and its group.
const MODE: u32 = 0o660;

/// The token of what happens to the socket's file, after the listener's.
const FILE: usize = CONTROL_CLIENTS_MAX + 1;

/// The listening socket and who is connected.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket's file: whether it is still ours when we stop.
    identity: (u64, u64),
    /// The listener's token; the clients' follow it.
    token: usize,
    may_accept: bool,
    /// Says that something happened to the socket's file; `None` if the kernel does not let us ask.
    watched: Option<Inotify>,
    /// Whether it said so.
    may_be_gone: bool,
    clients: [Option<Client>; CONTROL_CLIENTS_MAX],
    /// The client that is asked first in the next turn.
    first: usize,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    /// A line and its end.
    input: Box<[u8]>,
    filled: usize,
    /// Answers on their way out, of which `sent` bytes have left.
    output: Vec<u8>,
    sent: usize,
    /// Answers that wait for the end of their turn.
    held: Vec<Held>,
    /// Whether there may be more to read.
    is_readable: bool,
    /// Nothing more will be read; it goes when its answers are out.
    is_over: bool,
    /// The connection failed.
    is_gone: bool,
    /// Since when it takes nothing.
    stalled_since: Option<Mono>,
    /// When its last whole line was answered, or it came.
    heard: Mono,
}

#[derive(Debug)]
struct Held {
    reply: Reply,
}

impl Control {
    /// Makes the socket, and its directory if that is missing.
    ///
    /// # Errors
    /// With the path and what to do in the message: somebody listens there already, the path is no
    /// socket, no permission.
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
            // Nobody can connect before it listens, so nobody does with other permissions.
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
            clients: [const { None }; CONTROL_CLIENTS_MAX],
            first: 0,
        })
    }

    /// Has the poll tell of it under this token and those that follow.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn register(&mut self, registry: &Registry, token: usize) -> io::Result<()> {
        self.token = token;
        registry.register(&mut self.listener, Token(token), Interest::READABLE)?;
        if let Some(watched) = &self.watched {
            SourceFd(&watched.as_fd().as_raw_fd()).register(registry, Token(token + FILE), Interest::READABLE)?;
        }
        Ok(())
    }

    /// Whether something happened to the socket's file: it may be removed, or renamed.
    pub(crate) const fn may_be_gone(&self) -> bool {
        self.may_be_gone
    }

    /// Makes the socket again if its path does not lead to it any more: `ctl` finds it by its path.
    /// Clients that are connected stay. What fails is a warning, and tried again at the next
    /// SIGHUP.
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

    /// Takes note of what the poll tells.
    pub(crate) fn on_event(&mut self, event: &Event) {
        let Some(place) = event.token().0.checked_sub(self.token) else { return };
        if place == 0 {
            self.may_accept = true;
        } else if place == FILE {
            self.may_be_gone = true;
        } else if let Some(Some(client)) = self.clients.get_mut(place - 1) {
            client.is_readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        }
    }

    /// Whether there is something to accept or to answer: the poll tells of each thing once.
    pub(crate) fn has_work(&self) -> bool {
        self.may_accept || self.clients.iter().flatten().any(Client::has_work)
    }

    /// When a client is given up.
    pub fn next_deadline(&self) -> Option<Mono> {
        let stalled = self.clients.iter().flatten().filter_map(|client| client.stalled_since);
        stalled.min().map(|since| since.plus_ms(STALLED_MS))
    }

    /// Accepts at most a few clients per turn, so that one who reconnects for ever costs little. A
    /// client beyond the limit is told so.
    pub fn accept(&mut self, now: Mono, registry: &Registry) {
        for _ in 0..CONTROL_CLIENTS_MAX {
            if !self.may_accept {
                return;
            }
            let Ok((mut stream, _)) = self.listener.accept() else {
                // Nobody is left, or the machine has no room: the next who knocks wakes us.
                self.may_accept = false;
                return;
            };
            let free = self.clients.iter().position(Option::is_none);
            let Some(place) = free.or_else(|| self.silent_place(now)) else {
                let busy = format!("busy: {CONTROL_CLIENTS_MAX} clients are connected; try again when one has left");
                let _lost = stream.write(format!("{}\n", Object::error(busy).end()).as_bytes());
                continue;
            };
            let interest = Interest::READABLE | Interest::WRITABLE;
            if registry.register(&mut stream, Token(self.token + 1 + place), interest).is_ok() {
                self.clients[place] = Some(Client::new(now, stream));
            }
        }
    }

    /// The place of the client that was silent longest, if that is long.
    fn silent_place(&self, now: Mono) -> Option<usize> {
        let clients = self.clients.iter().enumerate().filter_map(|(place, client)| Some((place, client.as_ref()?)));
        let silent = clients.filter(|(_, client)| client.is_empty() && now.ms_since(client.heard) >= SILENT_MS);
        silent.min_by_key(|(_, client)| client.heard).map(|(place, _)| place)
    }

    /// Reads lines and has each answered, the clients in turns. `answer` is told a line without its
    /// end. After one that was heavy the others wait for the next turn.
    ///
    /// # Errors
    /// Those of `answer`.
    pub(crate) fn answer_lines(&mut self, mut answer: impl FnMut(&[u8]) -> io::Result<Answer>) -> io::Result<()> {
        let mut left = CONTROL_TURN_LINES;
        let mut is_idle = false;
        while left > 0 && !is_idle {
            is_idle = true;
            for place in (self.first..CONTROL_CLIENTS_MAX).chain(0..self.first) {
                let Some(client) = self.clients[place].as_mut().filter(|_| left > 0) else { continue };
                match client.answer_line(&mut answer)? {
                    None => continue,
                    Some(is_heavy) => left = if is_heavy { 0 } else { left - 1 },
                }
                is_idle = false;
            }
        }
        self.first = (self.first + 1) % CONTROL_CLIENTS_MAX;
        Ok(())
    }

    /// What the loop owes a client, now that the turn is committed. Asked until it is nothing;
    /// [`Control::answer_deferred`] follows each.
    pub(crate) fn deferred(&self) -> Option<Deferred> {
        self.clients.iter().flatten().find_map(|client| match client.held.last()?.reply {
            Reply::Deferred(deferred) => Some(deferred),
            Reply::Line(_) => None,
        })
    }

    /// Answers what [`Control::deferred`] told of.
    pub(crate) fn answer_deferred(&mut self, line: String) {
        let mut held = self.clients.iter_mut().flatten().filter_map(|client| client.held.last_mut());
        if let Some(held) = held.find(|held| matches!(held.reply, Reply::Deferred(_))) {
            *held = Held { reply: Reply::Line(line) };
        }
    }

    /// Sends the answers of a committed turn. Clients that left, or take nothing, are let go.
    pub fn deliver(&mut self, now: Mono) {
        for place in &mut self.clients {
            let Some(client) = place else { continue };
            if !client.held.is_empty() {
                client.heard = now;
            }
            client.post_held();
            client.flush(now);
            let is_stalled = client.stalled_since.is_some_and(|since| now.ms_since(since) >= STALLED_MS);
            let is_done = client.is_over && client.is_empty() && client.line_len().is_none();
            if client.is_gone || is_stalled || is_done {
                *place = None;
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
    fn new(now: Mono, stream: UnixStream) -> Self {
        Self {
            stream,
            input: vec![0; CONTROL_LINE_MAX + 1].into_boxed_slice(),
            filled: 0,
            output: Vec::new(),
            sent: 0,
            held: Vec::new(),
            is_readable: true,
            is_over: false,
            is_gone: false,
            stalled_since: None,
            heard: now,
        }
    }

    /// Whether another answer of any length fits; while the loop owes one, none does.
    fn has_room(&self) -> bool {
        let held: usize = self.held.iter().map(Held::len).sum();
        self.output.len() - self.sent + held + CONTROL_LINE_MAX < CONTROL_OUTPUT_LEN
    }

    fn is_empty(&self) -> bool {
        self.output.is_empty() && self.held.is_empty()
    }

    fn has_work(&self) -> bool {
        !self.is_gone && self.has_room() && (self.is_readable || self.line_len().is_some())
    }

    /// Bytes of the first whole line, its end not counted.
    fn line_len(&self) -> Option<usize> {
        self.input[..self.filled].iter().position(|byte| *byte == b'\n')
    }

    /// Has one line answered, and says whether it was heavy; `None` if there is no line, or no room
    /// for its answer.
    fn answer_line(&mut self, answer: &mut impl FnMut(&[u8]) -> io::Result<Answer>) -> io::Result<Option<bool>> {
        if self.is_gone || !self.has_room() {
            return Ok(None);
        }
        if self.line_len().is_none() {
            self.read();
        }
        let Some(len) = self.line_len() else {
            if self.filled < self.input.len() {
                return Ok(None);
            }
            let sentence = format!("this line is longer than {CONTROL_LINE_MAX} bytes: send one object a line");
            self.held.push(Held { reply: Reply::Line(Object::error(sentence).end()) });
            (self.filled, self.is_readable, self.is_over) = (0, false, true);
            return Ok(Some(false));
        };
        let Answer { reply, is_heavy } = answer(&self.input[..len])?;
        self.held.push(Held { reply });
        self.input.copy_within(len + 1..self.filled, 0);
        self.filled -= len + 1;
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

    /// Takes the answers of the turn that ended into the output.
    fn post_held(&mut self) {
        self.output.drain(..self.sent);
        self.sent = 0;
        for held in self.held.drain(..) {
            let Reply::Line(line) = held.reply else { continue };
            self.output.extend_from_slice(line.as_bytes());
            self.output.push(b'\n');
        }
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
            Reply::Line(line) => line.len() + 1,
            Reply::Deferred(_) => CONTROL_OUTPUT_LEN,
        }
    }
}

/// Whether a path leads to the file of this device and inode.
fn is_at(path: &Path, identity: (u64, u64)) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| (file.dev(), file.ino()) == identity)
}

/// Has the kernel say when a file is renamed or loses a name. A socket's file is not deleted while
/// the socket listens; what is seen of its removal is that its count of links changes (inotify(7),
/// IN_ATTRIB).
fn watch(path: &Path) -> io::Result<Inotify> {
    let watched = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let changes = AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_DONT_FOLLOW;
    watched.add_watch(path, changes)?;
    Ok(watched)
}

/// Removes the socket of a server that is dead.
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
        // Whoever made it is gone.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        // Many wait for it to let them in, or it did.
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

    /// A control socket whose every line is answered with its length.
    struct Desk {
        dir: TempDir,
        poll: Poll,
        control: Control,
        /// Lines answered, in their order.
        heard: Vec<String>,
    }

    impl Desk {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let poll = Poll::new().unwrap();
            let mut control = Control::bind(&dir.path().join("run/ctl.sock")).unwrap();
            control.register(poll.registry(), 256).unwrap();
            Self { dir, poll, control, heard: Vec::new() }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("run/ctl.sock")
        }

        fn connect(&self) -> StdStream {
            let stream = StdStream::connect(self.path()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream
        }

        /// What the poll has to tell, without waiting.
        fn look(&mut self, at_ms: u64) {
            let mut events = Events::with_capacity(64);
            self.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            for event in &events {
                self.control.on_event(event);
            }
            self.control.accept(Mono(at_ms), self.poll.registry());
        }

        /// Reads what there is; gives how many lines were answered.
        fn read(&mut self, at_ms: u64) -> usize {
            self.look(at_ms);
            let Self { control, heard, .. } = self;
            let before = heard.len();
            let answered = control.answer_lines(|line| {
                heard.push(String::from_utf8_lossy(line).into_owned());
                let reply = match line {
                    b"status" => Reply::Deferred(Deferred::Status),
                    line => Reply::Line(format!("{} {}", line.len(), "x".repeat(line.len() % 4000))),
                };
                Ok(Answer { reply, is_heavy: line.starts_with(b"heavy") })
            });
            answered.unwrap();
            heard.len() - before
        }

        /// A whole turn at a time.
        fn turn(&mut self, at_ms: u64) -> usize {
            let count = self.read(at_ms);
            self.control.deliver(Mono(at_ms));
            count
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
    fn a_turn_takes_so_many_lines_and_no_more_whoever_sends_them() {
        let mut desk = Desk::new();
        let mut fast = desk.connect();
        let mut other = desk.connect();
        fast.write_all("a\n".repeat(200).as_bytes()).unwrap();
        other.write_all(b"b\nb\n").unwrap();
        assert_eq!(desk.turn(0), CONTROL_TURN_LINES);
        assert_eq!(desk.heard.iter().filter(|line| *line == "b").count(), 2, "in turns: {:?}", desk.heard);
        assert!(desk.control.has_work(), "the poll will not tell of the rest");
        assert_eq!(desk.turn(0), CONTROL_TURN_LINES);
        other.write_all(b"heavy\nb\n").unwrap();
        while !desk.heard.iter().any(|line| line == "heavy") {
            assert!(desk.turn(0) > 0);
        }
        assert_eq!(desk.heard.last().unwrap(), "heavy", "after it the others wait for the next turn");
        while desk.control.has_work() {
            desk.turn(0);
        }
        assert_eq!(desk.heard.len(), 204);
        assert_eq!(desk.control.next_deadline(), None, "and then nobody is woken");
    }

    #[test]
    fn answers_leave_when_their_turn_is_committed() {
        let mut desk = Desk::new();
        let mut client = desk.connect();
        client.write_all(b"one\n").unwrap();
        desk.read(0);
        client.set_nonblocking(true).unwrap();
        assert_eq!(client.read(&mut [0; 10]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        client.set_nonblocking(false).unwrap();
        desk.control.deliver(Mono(0));
        assert_eq!(next_line(&client), "3 xxx\n");
        // An answer that the loop owes is the last of its client's in a turn, and rests on nothing.
        client.write_all(b"a\nstatus\nb\n").unwrap();
        assert_eq!(desk.read(0), 2);
        assert_eq!(desk.control.deferred(), Some(Deferred::Status));
        desk.control.answer_deferred("fine".to_owned());
        assert_eq!(desk.control.deferred(), None);
        desk.control.deliver(Mono(0));
        assert_eq!((next_line(&client), next_line(&client)), ("1 x\n".to_owned(), "fine\n".to_owned()));
        assert_eq!(desk.turn(0), 1);
    }

    #[test]
    fn half_a_line_does_nothing_until_its_rest_comes_or_the_close() {
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
        // Who sends, closes that way and listens gets its answers.
        client.write_all(b"last\nhalf").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        desk.turn(0);
        assert_eq!((next_line(&client), next_line(&client)), ("3 xxx\n".to_owned(), "4 xxxx\n".to_owned()));
        assert_eq!((next_line(&client).as_str(), desk.clients()), ("", 0));
    }

    #[test]
    fn a_line_without_end_gets_one_answer_and_the_close() {
        let mut desk = Desk::new();
        let mut client = desk.connect();
        let longest = "y".repeat(CONTROL_LINE_MAX);
        client.write_all(format!("{longest}\n").as_bytes()).unwrap();
        assert_eq!(desk.turn(0), 1);
        assert!(next_line(&client).starts_with("4096 "));
        let flood = std::thread::spawn(move || {
            // The server closes long before all is written.
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
    fn who_takes_no_answers_is_read_no_further_and_let_go() {
        let mut desk = Desk::new();
        let mut client = desk.connect();
        client.set_nonblocking(true).unwrap();
        let line = format!("{}\n", "z".repeat(3000));
        // Until neither side takes any more.
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
    fn a_ninth_client_is_told_that_it_is_busy() {
        let mut desk = Desk::new();
        let mut clients: Vec<StdStream> = (0..CONTROL_CLIENTS_MAX).map(|_| desk.connect()).collect();
        desk.turn(0);
        let ninth = desk.connect();
        desk.turn(0);
        assert!(next_line(&ninth).contains("\"error\":\"busy: 8 clients"));
        assert_eq!((next_line(&ninth).as_str(), desk.clients()), ("", CONTROL_CLIENTS_MAX));
        clients.pop();
        desk.turn(0);
        let mut tenth = desk.connect();
        tenth.write_all(b"x\n").unwrap();
        desk.turn(0);
        assert_eq!(next_line(&tenth), "1 x\n");
    }

    #[test]
    fn of_eight_the_one_that_was_silent_longest_gives_way_after_a_minute() {
        let mut desk = Desk::new();
        let mut clients: Vec<StdStream> = (0..CONTROL_CLIENTS_MAX).map(|_| desk.connect()).collect();
        desk.turn(0);
        // Half a line is none.
        clients[2].write_all(b"half").unwrap();
        for (place, at_ms) in [(0, 5000), (1, 3000), (3, 4000), (4, 5000), (5, 5000), (6, 5000), (7, 5000)] {
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
        assert_eq!((next_line(&clients[2]).as_str(), desk.clients()), ("", CONTROL_CLIENTS_MAX), "it was let go");
        let mut tenth = desk.connect();
        tenth.write_all(b"x\n").unwrap();
        while desk.turn(3000 + SILENT_MS) == 0 {}
        assert_eq!((next_line(&clients[1]), next_line(&clients[1])), ("1 x\n".to_owned(), String::new()));
        clients[3].write_all(b"still here\n").unwrap();
        while desk.turn(3000 + SILENT_MS) == 0 {}
        assert!(next_line(&clients[3]).starts_with("1 "), "its first answer");
    }

    #[test]
    fn a_turn_lets_in_a_few_however_many_knock() {
        let mut desk = Desk::new();
        // As many as the kernel lets wait, and each has left when it is let in.
        let knock =
            |count: usize| (0..count).for_each(|_| drop(StdStream::connect(desk.dir.path().join("run/ctl.sock"))));
        knock(2 * CONTROL_CLIENTS_MAX);
        desk.look(0);
        assert_eq!(desk.clients(), CONTROL_CLIENTS_MAX);
        assert!(desk.control.may_accept, "the poll will not tell of the rest");
        while desk.control.has_work() {
            desk.turn(0);
        }
        assert_eq!((desk.clients(), desk.control.may_accept), (0, false), "they left");
    }

    #[test]
    fn only_the_socket_of_a_dead_server_is_replaced_and_only_the_own_one_removed() {
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
        // What a killed server leaves.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let second = Control::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "somebody else's").unwrap();
        drop(second);
        assert!(path.exists(), "another file there is not ours to remove");
        let error = Control::bind(&path).unwrap_err().to_string();
        assert!(error.contains("another file is there"), "{error}");
        let under_file = Control::bind(&path.join("ctl.sock")).unwrap_err().to_string();
        assert!(under_file.contains("cannot make the directory"), "{under_file}");
    }
}
