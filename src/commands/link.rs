//! `posgate link`: one office's stream over stdin and stdout (design.md, section 14).
//!
//! ```text
//!   office ──stdin──▶ lines ──▶ orders, questions, acks ──▶ the server's control socket, as that office
//!   office ◀─stdout── hello, entries, answers, pings ◀──┬── its answers; and `wait`: what is durable
//!                                                      └── the ledger's files, up to what is durable
//! ```
//!
//! *Invariants:*
//! - Nothing is sent that the server has not said to be durable.
//! - Memory is bounded: while the peer does not read, nothing is read for it; of its lines eight
//!   wait for their answers; of a line at most [`CONTROL_LINE_MAX`] bytes are kept.
//! - A peer that says nothing for [`SILENT_MS`], or takes nothing for so long, ends the stream.
//! - What an office may do is decided by the server: it knows this stream as that office's.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use posgate::desk::json::{self, Object, Value};
use posgate::engine::limits::CONTROL_LINE_MAX;
use posgate::engine::model::{EntrySeq, Mono};
use posgate::files::config;
use posgate::files::problem::typed;
use posgate::host::clock::Clock;
use posgate::lang::tr;
use posgate::ledger::acks::office_name;
use posgate::ledger::header::{HEADER_LEN, Header};
use posgate::ledger::seek::{self, Absent};
use posgate::ledger::segment::{self, Lines};
use posgate::ledger::{DirFiles, Files, Head, HeldFiles};

use super::{EXIT_CONFIG, EXIT_IO, EXIT_USAGE, Options, ctl, print_problems};

/// Between two pings, and between two acknowledgements that are passed on, in milliseconds.
const PING_MS: u64 = 10_000;
const ACK_MS: u64 = 10_000;

/// A peer from which no line came for so long, or that took nothing, is gone.
const SILENT_MS: u64 = 30_000;

/// While so many bytes wait for the peer, no entry is read for it.
const OUT_LEN: usize = 64 * 1024;

/// And while so many wait, no line of it is read. More than [`OUT_LEN`]: a peer that catches up
/// slowly is heard meanwhile, else its stream would end as that of a silent one.
const ANSWERED_LEN: usize = OUT_LEN + 4 * CONTROL_LINE_MAX;

/// Lines of the peer that the server has not answered. More wait.
const ASKED_MAX: usize = 8;

/// Most bytes of an `id`.
const ID_LEN_MAX: usize = 64;

/// Why the stream ended. The sentence is printed where it is known: a value without one makes a
/// router's binary smaller.
#[derive(Clone, Copy)]
enum End {
    /// The peer has gone.
    Peer,
    /// The peer broke a rule, and was told; or something failed, and stderr says what.
    Told,
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        failed(&error)
    }
}

/// Says on stderr why the stream ends.
#[inline(never)]
fn failed(why: &dyn Display) -> End {
    complain!("posgate: {why}");
    End::Told
}

/// Runs it until the peer has gone.
pub(super) fn run(options: &Options) -> u8 {
    let Some(office) = options.value("office").filter(|name| office_name(name).is_some()) else {
        let given = options.value("office").map_or_else(String::new, typed);
        complain!(
            "posgate: --office {given}: write the office's name, 1 to 25 letters, digits, - and _",
            "posgate: --office {given}：请写总部的名称，1 到 25 个字母、数字、- 和 _"
        );
        return EXIT_USAGE;
    };
    let path = match options.value("control").map(PathBuf::from) {
        Some(path) => path,
        None => match config::inspect(&options.config()) {
            Ok((settings, _)) => settings.control.unwrap_or_default(),
            Err(problems) => {
                print_problems(&problems);
                return EXIT_CONFIG;
            }
        },
    };
    let stdout = io::stdout();
    let flags = fcntl(stdout.as_fd(), FcntlArg::F_GETFL).map(OFlag::from_bits_retain);
    let set = |flags| fcntl(stdout.as_fd(), FcntlArg::F_SETFL(flags));
    let _blocks = flags.map(|flags| set(flags | OFlag::O_NONBLOCK));
    let ended = Session::open(office, &path).and_then(|mut session| session.serve());
    // A shell may have the same terminal.
    let _blocks = flags.map(set);
    match ended {
        Ok(never) => match never {},
        Err(End::Peer) => 0,
        Err(End::Told) => EXIT_IO,
    }
}

/// What an answer of the server is for.
enum Asked {
    /// A line of the peer, with its id.
    Peer(Value),
    /// The greeting.
    Hello,
    /// An acknowledgement; a refusal is told the peer.
    Ack,
}

/// A connection to the server, line by line.
struct Line {
    stream: UnixStream,
    bytes: Vec<u8>,
}

impl Line {
    fn open(path: &Path) -> Result<Self, End> {
        let stream = ctl::connect(path).map_err(|sentence| failed(&sentence))?;
        Ok(Self { stream, bytes: Vec::new() })
    }

    fn send(&mut self, line: &str) -> Result<(), End> {
        self.stream.write_all(format!("{line}\n").as_bytes()).map_err(|_| gone())
    }

    /// Reads what is there.
    fn fill(&mut self) -> Result<(), End> {
        let mut piece = [0; CONTROL_LINE_MAX];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(gone()),
            Ok(len) => {
                self.bytes.extend_from_slice(&piece[..len]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(_) => Err(gone()),
        }
    }

    /// The next whole line.
    fn next(&mut self) -> Option<String> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
        self.bytes.drain(..=end);
        Some(line)
    }
}

fn gone() -> End {
    failed(&tr(
        "the server ended, or another stream of this office began: start again",
        "服务器停了，或者这个总部另有连接：请重新连接",
    ))
}

/// Where the stream of entries stands.
struct Reading {
    files: HeldFiles,
    /// The path of the segment.
    path: String,
    offset: u64,
    head: Head,
    /// The ledger of the segment, and the one that the peer believes to read.
    header: Header,
    announced: u64,
}

/// The stream.
struct Session {
    clock: Clock,
    /// For what the peer asks and orders; and for `wait`, behind which nothing else may wait.
    orders: Line,
    waits: Line,
    /// What the orders' next answers are for.
    asked: VecDeque<Asked>,
    input: Vec<u8>,
    /// Whether the peer sends no more.
    is_over: bool,
    out: Vec<u8>,
    hello: Option<Value>,
    ledger_dir: PathBuf,
    durable: Head,
    reading: Option<Reading>,
    /// The newest acknowledgement that was not passed on, and when one was.
    ack: Option<String>,
    acked: Option<Mono>,
    /// When a line of the peer came, when it took something, and when it got a ping.
    heard: Mono,
    taken: Mono,
    pinged: Mono,
}

/// Nothing is ever returned.
enum Never {}

impl Session {
    fn open(office: &str, path: &Path) -> Result<Self, End> {
        let (mut orders, waits) = (Line::open(path)?, Line::open(path)?);
        orders.send(&Object::new().text("cmd", "link").text("office", office).end())?;
        Ok(Self {
            clock: Clock::new(),
            orders,
            waits,
            asked: [Asked::Hello].into(),
            input: Vec::new(),
            is_over: false,
            out: Vec::new(),
            hello: None,
            ledger_dir: PathBuf::new(),
            durable: Head::default(),
            reading: None,
            ack: None,
            acked: None,
            heard: Mono(0),
            taken: Mono(0),
            pinged: Mono(0),
        })
    }

    fn serve(&mut self) -> Result<Never, End> {
        loop {
            self.take_lines()?;
            self.read_on()?;
            self.keep_time()?;
            self.wait()?;
        }
    }

    /// Waits for anything to do, and does what concerns no more than bytes.
    fn wait(&mut self) -> Result<(), End> {
        let now = self.clock.mono();
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let is_room = self.takes_lines() && !self.is_over && self.input.len() <= CONTROL_LINE_MAX;
        // Without POLLOUT too it says when the reader has gone.
        let output = if self.out.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
        let mut fds = vec![
            PollFd::new(stdout.as_fd(), output),
            PollFd::new(self.orders.stream.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.waits.stream.as_fd(), PollFlags::POLLIN),
        ];
        // If it were asked about without need, a closed one would wake the loop again and again.
        if is_room {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        let sleep = u16::try_from(self.deadline().ms_since(now)).unwrap_or(u16::MAX);
        match poll(&mut fds, PollTimeout::from(sleep)) {
            Ok(_) | Err(Errno::EINTR) => (),
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let sources = [Source::Output, Source::Orders, Source::Waits, Source::Input];
        let events: Vec<(Source, PollFlags)> = sources
            .into_iter()
            .zip(fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty())))
            .filter(|(_, events)| !events.is_empty())
            .collect();
        drop(fds);
        for (source, events) in events {
            match source {
                Source::Input => self.fill()?,
                Source::Output if events.contains(PollFlags::POLLOUT) => self.flush()?,
                Source::Output => return Err(End::Peer),
                Source::Orders => self.orders.fill()?,
                Source::Waits => self.waits.fill()?,
            }
        }
        Ok(())
    }

    /// Whether a line of the peer could be taken.
    fn takes_lines(&self) -> bool {
        self.may_ask() && self.out.len() < ANSWERED_LEN && self.hello.is_some()
    }

    /// Whether the server may be asked something more.
    fn may_ask(&self) -> bool {
        self.asked.len() < ASKED_MAX
    }

    /// When something is to be done though nothing comes.
    fn deadline(&self) -> Mono {
        // One that has no place among what is asked waits for an answer, not for a time.
        let ack = self.ack.as_ref().filter(|_| self.may_ask());
        let ack_at = ack.map(|_| self.acked.map_or(Mono(0), |acked| acked.plus_ms(ACK_MS)));
        let taken_until = (!self.out.is_empty()).then(|| self.taken.plus_ms(SILENT_MS));
        let others = [ack_at, taken_until].into_iter().flatten();
        others.chain([self.pinged.plus_ms(PING_MS), self.heard.plus_ms(SILENT_MS)]).min().expect("there are two")
    }

    fn fill(&mut self) -> Result<(), End> {
        let mut piece = [0; CONTROL_LINE_MAX];
        // Not through std, which would keep bytes that the poll does not see.
        match nix::unistd::read(io::stdin(), &mut piece) {
            Ok(0) => self.is_over = true,
            Ok(len) => self.input.extend_from_slice(&piece[..len]),
            Err(Errno::EAGAIN | Errno::EINTR) => (),
            Err(_) => return Err(End::Peer),
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), End> {
        match nix::unistd::write(io::stdout(), &self.out) {
            Ok(len) => {
                self.out.drain(..len);
                self.taken = self.clock.mono();
                Ok(())
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
            Err(_) => Err(End::Peer),
        }
    }

    /// Adds a line for the peer.
    fn post(&mut self, line: &str) {
        if self.out.is_empty() {
            self.taken = self.clock.mono();
        }
        self.out.extend_from_slice(line.as_bytes());
        self.out.push(b'\n');
    }

    /// Tells the peer what it did wrong, as far as it reads, and ends.
    fn end<T>(&mut self, error: &str) -> Result<T, End> {
        self.post(&Object::new().text("error", error).end());
        let _gone = self.flush();
        Err(End::Told)
    }

    /// Pings, and acknowledgements that waited; ends a silent stream.
    fn keep_time(&mut self) -> Result<(), End> {
        let now = self.clock.mono();
        let is_stalled = !self.out.is_empty() && now.ms_since(self.taken) >= SILENT_MS;
        if is_stalled || now.ms_since(self.heard) >= SILENT_MS {
            return self.end("silent: no line came for 30 s, or nothing was read");
        }
        let is_answered = self.asked.is_empty() && self.ack.is_none() && self.out.is_empty();
        if self.is_over && !self.input.contains(&b'\n') && is_answered {
            return Err(End::Peer);
        }
        if now.ms_since(self.pinged) >= PING_MS {
            self.pinged = now;
            if self.out.len() < OUT_LEN && self.hello.is_some() {
                self.post(&Object::new().number("ping", self.durable.seq).end());
            }
        }
        let is_time = self.is_over || self.acked.is_none_or(|acked| now.ms_since(acked) >= ACK_MS);
        if is_time
            && self.may_ask()
            && let Some(line) = self.ack.take()
        {
            self.acked = Some(now);
            self.orders.send(&line)?;
            self.asked.push_back(Asked::Ack);
        }
        Ok(())
    }

    /// Takes the lines that came.
    fn take_lines(&mut self) -> Result<(), End> {
        while let Some(line) = self.waits.next() {
            let head = json::parse(&line).ok().as_ref().and_then(head_of);
            let Some(head) = head else { return Err(failed(&line)) };
            self.durable = head;
            self.ask_for_more()?;
        }
        while let Some(line) = self.orders.next() {
            self.answered(&line)?;
        }
        while self.takes_lines() {
            let Some(end) = self.input.iter().position(|byte| *byte == b'\n') else { break };
            let line = String::from_utf8_lossy(&self.input[..end.min(CONTROL_LINE_MAX + 1)]).into_owned();
            self.input.drain(..=end);
            self.heard(&line)?;
        }
        if self.input.len() > CONTROL_LINE_MAX && !self.input.contains(&b'\n') {
            return self.end("a line is longer than 4096 bytes");
        }
        Ok(())
    }

    fn ask_for_more(&mut self) -> Result<(), End> {
        self.waits.send(&Object::new().text("cmd", "wait").number("after", self.durable.seq).end())
    }

    /// An answer of the server.
    fn answered(&mut self, line: &str) -> Result<(), End> {
        let Some(asked) = self.asked.pop_front() else { return Err(gone()) };
        match asked {
            Asked::Peer(id) => {
                let rest = line.strip_prefix('{').unwrap_or(line);
                self.post(&format!("{{\"id\":{id},{rest}"));
            }
            Asked::Ack => {
                if let Some(refused) = json::parse(line).ok().filter(|answer| !answer.is("ok")) {
                    let reason = refused.text("reason").unwrap_or("malformed");
                    self.post(&Object::new().text("error", reason).text("of", "ack").end());
                }
            }
            Asked::Hello => {
                let answer = json::parse(line).ok().filter(|answer| answer.is("ok"));
                let Some(answer) = answer else { return Err(failed(&line)) };
                self.durable = head_of(&answer).unwrap_or_default();
                self.ledger_dir = answer.text("ledger_dir").unwrap_or_default().into();
                let member = |key| answer.get(key).map(Value::to_string).unwrap_or_default();
                let (ledger, parent) = (member("ledger"), member("parent"));
                self.hello = Some(answer);
                self.greet(&ledger, &parent);
                self.ask_for_more()?;
            }
        }
        Ok(())
    }

    fn member(&self, key: &str) -> &Value {
        self.hello.as_ref().and_then(|hello| hello.get(key)).unwrap_or(&Value::Null)
    }

    /// Greets the peer, at the beginning and before the first entry of another ledger. Both are
    /// JSON.
    fn greet(&mut self, ledger: &str, parent: &str) {
        let hello = Object::new().number("hello", 1_u32).raw("ledger", ledger).raw("parent", parent);
        let hello = ["site", "version"].iter().fold(hello, |hello, key| hello.raw(key, self.member(key)));
        let hello = hello.number("seq", self.durable.seq).text("crc", format_args!("{:08x}", self.durable.crc));
        let hello = ["purse", "n", "rules"].iter().fold(hello, |hello, key| hello.raw(key, self.member(key)));
        self.post(&hello.end());
    }

    /// A line of the peer.
    fn heard(&mut self, line: &str) -> Result<(), End> {
        let parsed = json::parse(line).ok().filter(|_| line.len() <= CONTROL_LINE_MAX);
        let Some(Value::Object(mut members)) = parsed else {
            return self.end("send one JSON object a line, of at most 4096 bytes");
        };
        self.heard = self.clock.mono();
        let key = members.first().map(|(key, _)| key.as_str()).unwrap_or_default();
        match key {
            "ping" => return Ok(()),
            "from" => return self.begin(&members[0].1),
            "ack" => {
                let ack = members[0].1.to_string();
                let Some(rest) = ack.strip_prefix('{') else { return self.end("ack is no object") };
                self.ack = Some(format!("{{\"cmd\":\"ack\",{rest}"));
                return Ok(());
            }
            _ => (),
        }
        let id = members.iter().position(|(key, _)| key == "id").map(|place| members.remove(place).1);
        let id = id.filter(|id| matches!(id, Value::Text(_) | Value::Number(_)) && id.to_string().len() <= ID_LEN_MAX);
        let Some(id) = id else { return self.end("send from, ack, ping, or a command with an id of at most 64 bytes") };
        let line = Value::Object(members).to_string();
        if line.len() > CONTROL_LINE_MAX {
            let error = Object::new().raw("id", id).flag("ok", false).text("error", "the line is too long");
            self.post(&error.end());
            return Ok(());
        }
        self.orders.send(&line)?;
        self.asked.push_back(Asked::Peer(id));
        Ok(())
    }

    /// The peer says from where on it wants entries.
    fn begin(&mut self, from: &Value) -> Result<(), End> {
        self.reading = None;
        let ledger = from.text("ledger").and_then(|ledger| u64::from_str_radix(ledger, 16).ok());
        let (Some(ledger), Some(head)) = (ledger, head_of(from)) else {
            return self.end("from needs ledger (16 digits), seq and crc (8 digits)");
        };
        if head.seq > self.durable.seq {
            self.post(&Object::new().text("error", "ahead").end());
            return Ok(());
        }
        let place = match seek::find(&DirFiles::new(&self.ledger_dir), head.seq)? {
            Ok(place) if place.head == head => place,
            Ok(_) => {
                self.post(&Object::new().text("error", "diverged").end());
                return Ok(());
            }
            Err(Absent::Archived(first)) => {
                self.gap(first);
                return Ok(());
            }
            Err(Absent::Ahead | Absent::Damaged) => {
                let error = format!("entry {} cannot be read: posgate ledger verify tells more", head.seq);
                self.post(&Object::new().text("error", "damaged").text("what", error).end());
                return Ok(());
            }
        };
        self.reading = self.open_segment(&place.segment.name, place.offset, place.head, ledger)?;
        // Who wants what comes after it has all up to it.
        let ack = Object::new().text("cmd", "ack").text("ledger", format_args!("{:016x}", place.ledger));
        self.ack = Some(ack.number("seq", head.seq).text("crc", format_args!("{:08x}", head.crc)).end());
        self.acked = None;
        Ok(())
    }

    fn gap(&mut self, first: EntrySeq) {
        self.post(&Object::new().text("error", "gap").number("first", first).end());
    }

    /// Opens a segment; `None` if it is not there.
    fn open_segment(&self, name: &str, offset: u64, head: Head, announced: u64) -> Result<Option<Reading>, End> {
        let path = self.ledger_dir.join(name);
        let files = match HeldFiles::of_file(&path) {
            Ok(files) => files,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let path = path.display().to_string();
        let mut bytes = [0; HEADER_LEN];
        let len = files.read_at(&path, 0, &mut bytes)?;
        match Header::parse(&bytes[..len]) {
            Ok(header) => Ok(Some(Reading { files, path, offset, head, header, announced })),
            Err(error) => Err(failed(&format_args!("{path}:1: {error}"))),
        }
    }

    /// Sends what is durable, as far as the peer takes it.
    fn read_on(&mut self) -> Result<(), End> {
        while self.out.len() < OUT_LEN && !self.is_over {
            let Some(mut reading) = self.reading.take() else { return Ok(()) };
            if reading.head.seq >= self.durable.seq {
                self.reading = Some(reading);
                return Ok(());
            }
            if self.send_some(&mut reading)? {
                self.reading = Some(reading);
                continue;
            }
            // The segment is read to its end.
            let name = segment::name_of(reading.head.seq.next());
            self.reading = self.open_segment(&name, HEADER_LEN as u64, reading.head, reading.announced)?;
            match &self.reading {
                Some(next) if next.header.before() == reading.head => (),
                Some(next) => {
                    return Err(failed(&format_args!("{}:1: it does not continue from {}", next.path, reading.head)));
                }
                None => {
                    let later = segment::list(&DirFiles::new(&self.ledger_dir))?;
                    let first = later.iter().map(|segment| segment.first).find(|first| *first > reading.head.seq);
                    self.gap(first.unwrap_or(self.durable.seq.next()));
                }
            }
        }
        Ok(())
    }

    /// Sends entries of one segment; `false` if none is left in it.
    fn send_some(&mut self, reading: &mut Reading) -> Result<bool, End> {
        let Reading { files, path, offset, head, header, announced } = reading;
        let before = head.seq;
        let (files, path) = (files.clone(), path.clone());
        let mut lines = Lines::starting_at(&files, &path, *offset, 0, Some(head.crc));
        while self.out.len() < OUT_LEN
            && head.seq < self.durable.seq
            && let Some(line) = lines.read()?
        {
            let crc = line.is_chained().then(|| posgate::ledger::line::crc_column(line.text)).flatten();
            let Some(crc) = crc.filter(|_| line.ended && seek::seq_of(line.text) == Some(head.seq.next())) else {
                let error =
                    format!("{path}: entry {} does not follow: posgate ledger verify tells more", head.seq.next());
                return Err(failed(&error));
            };
            if *announced != header.ledger {
                *announced = header.ledger;
                let parent = header.parent.map_or_else(|| "null".to_owned(), json::string);
                self.greet(&format!("\"{:016x}\"", header.ledger), &parent);
            }
            if self.out.is_empty() {
                self.taken = self.clock.mono();
            }
            self.out.extend_from_slice(line.text);
            self.out.push(b'\n');
            *head = Head { seq: head.seq.next(), crc };
            *offset = line.end();
        }
        if head.seq == self.durable.seq && head.crc != self.durable.crc {
            return Err(failed(&tr!("the server serves another ledger than {path}", "服务器用的不是 {path} 这个账本")));
        }
        Ok(head.seq > before)
    }
}

/// What may have something to say.
#[derive(Clone, Copy)]
enum Source {
    Input,
    Output,
    Orders,
    Waits,
}

/// An entry's number and crc.
fn head_of(value: &Value) -> Option<Head> {
    let crc = value.text("crc").filter(|crc| crc.len() == 8)?;
    Some(Head { seq: EntrySeq(value.number("seq")?), crc: u32::from_str_radix(crc, 16).ok()? })
}
