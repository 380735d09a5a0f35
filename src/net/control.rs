//! The control socket: lines from the operator's tools in, answers out (design.md, section 4, option `control`).
//!
//! What always holds:
//! - Nothing here blocks. A turn handles at most [`CONTROL_TURN_LINES`] lines, after the devices' frames: no client, however fast,
//!   slow, silent or hostile, makes a terminal wait.
//! - Each client has buffers of fixed size. Who does not take its answers is read no further, and closed after [`STALLED_MS`];
//!   half a line waits for its rest or for the close, and does nothing; a longer line than [`CONTROL_LINE_MAX`] gets one answer and the
//!   close.
//! - Answers leave in the order of their lines, and only when their turn is committed: [`Control::answer_lines`], then the commit, then
//!   [`Control::deliver`].
//! - Without a client that has something to say or to take, nobody is woken.
//! - The socket of a dead server is replaced, a living one's is never taken; only the own one is removed.
//!
//! What a line means is [`crate::control`]'s business.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use mio::event::Event;
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr};

use crate::control::{Answer, Owed, Reply, json::Object};
use crate::limits::{CONTROL_CLIENTS_MAX, CONTROL_LINE_MAX, CONTROL_OUTPUT_LEN, CONTROL_TURN_LINES};
use crate::model::Mono;

/// Who takes none of its answers for so long is gone or stuck.
const STALLED_MS: u64 = 10_000;

/// Who may connect: its owner and its group.
const MODE: u32 = 0o660;

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
}

#[derive(Debug)]
struct Held {
    reply: Reply,
    /// Turns undone before it was made; `None` if it rests on nothing.
    undone: Option<u64>,
}

impl Control {
    /// Makes the socket, and its directory if that is missing.
    ///
    /// # Errors
    /// With the path and what to do in the message: somebody listens there already, the path is no socket, no permission.
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
        registry.register(&mut self.listener, Token(token), Interest::READABLE)
    }

    /// Takes note of what the poll tells.
    pub fn on_event(&mut self, event: &Event) {
        let Some(place) = event.token().0.checked_sub(self.token) else { return };
        if place == 0 {
            self.may_accept = true;
        } else if let Some(Some(client)) = self.clients.get_mut(place - 1) {
            client.is_readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        }
    }

    /// Whether the loop must not sleep: the poll tells of each thing once.
    pub fn has_work(&self) -> bool {
        self.may_accept || self.clients.iter().flatten().any(Client::has_work)
    }

    /// When a client is given up.
    pub fn next_deadline(&self) -> Option<Mono> {
        let stalled = self.clients.iter().flatten().filter_map(|client| client.stalled_since);
        stalled.min().map(|since| since.plus_ms(STALLED_MS))
    }

    /// Lets in who knocks. The one too many is told so.
    pub fn accept(&mut self, registry: &Registry) {
        while self.may_accept {
            let Ok((mut stream, _)) = self.listener.accept() else {
                // Nobody is left, or the machine has no room: the next who knocks wakes us.
                self.may_accept = false;
                return;
            };
            let free = self.clients.iter().position(Option::is_none);
            let Some(place) = free else {
                let busy = format!("busy: {CONTROL_CLIENTS_MAX} clients are connected; try again when one has left");
                let _lost = stream.write(format!("{}\n", Object::error(busy).end()).as_bytes());
                continue;
            };
            let interest = Interest::READABLE | Interest::WRITABLE;
            if registry.register(&mut stream, Token(self.token + 1 + place), interest).is_ok() {
                self.clients[place] = Some(Client::new(stream));
            }
        }
    }

    /// Reads lines and has each answered, the clients in turns. `answer` is told a line without its end; it says how many turns were
    /// undone before, too. After one that was heavy the others wait for the next turn.
    ///
    /// # Errors
    /// Those of `answer`.
    pub fn answer_lines(&mut self, mut answer: impl FnMut(&[u8]) -> io::Result<(Answer, u64)>) -> io::Result<()> {
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

    /// What the loop owes a client, now that the turn is committed. Asked until it is nothing; [`Control::answer_owed`] follows each.
    pub fn owed(&self) -> Option<Owed> {
        self.clients.iter().flatten().find_map(|client| match client.held.last()?.reply {
            Reply::Owed(owed) => Some(owed),
            Reply::Line(_) => None,
        })
    }

    /// Answers what [`Control::owed`] told of.
    pub fn answer_owed(&mut self, line: String) {
        let mut held = self.clients.iter_mut().flatten().filter_map(|client| client.held.last_mut());
        if let Some(held) = held.find(|held| matches!(held.reply, Reply::Owed(_))) {
            *held = Held { reply: Reply::Line(line), undone: None };
        }
    }

    /// Sends the answers of a committed turn; those of a turn that was undone for want of room say so instead. `undone` turns were undone
    /// so far. Clients that left, or take nothing, are let go.
    pub fn deliver(&mut self, now: Mono, undone: u64) {
        for place in &mut self.clients {
            let Some(client) = place else { continue };
            client.post_held(undone);
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
        let is_own = fs::symlink_metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.identity);
        if is_own {
            let _kept = fs::remove_file(&self.path);
        }
    }
}

impl Client {
    fn new(stream: UnixStream) -> Self {
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

    /// Has one line answered, and says whether it was heavy; `None` if there is no line, or no room for its answer.
    fn answer_line(&mut self, answer: &mut impl FnMut(&[u8]) -> io::Result<(Answer, u64)>) -> io::Result<Option<bool>> {
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
            self.held.push(Held { reply: Reply::Line(Object::error(sentence).end()), undone: None });
            (self.filled, self.is_readable, self.is_over) = (0, false, true);
            return Ok(Some(false));
        };
        let (Answer { reply, is_heavy }, undone) = answer(&self.input[..len])?;
        self.held.push(Held { reply, undone: Some(undone) });
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
    fn post_held(&mut self, undone: u64) {
        self.output.drain(..self.sent);
        self.sent = 0;
        for held in self.held.drain(..) {
            let Reply::Line(line) = held.reply else { continue };
            let is_undone = held.undone.is_some_and(|before| before != undone);
            let line = if is_undone { crate::control::full() } else { line };
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
            Reply::Owed(_) => CONTROL_OUTPUT_LEN,
        }
    }
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
