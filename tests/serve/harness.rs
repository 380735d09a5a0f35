//! Shared by the tests: a site in a temporary directory, the real binary started on it, devices
//! with addresses of their own, and a reader of the ledger.
//!
//! The reader follows design.md, section 7, and uses none of posgate's ledger code, so it is an
//! independent check. Nothing here sleeps; every wait ends within [`PATIENCE`], or the test fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// The longest wait for an event that must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The cards of a site: `card(1)` to `card(12)` hold 1000.00 and 100 uses.
pub const CARDS: u64 = 12;

pub const PIN: &str = "73914652";
pub const DURESS_PIN: &str = "86205739";
pub const DOOR_PIN: &str = "59173864";
pub const MEMBER_CODE: &str = "MEMBER-CODE-OF-CARD-1-X7Q9";

/// The time that every device shows: far from the server's, so that a 003 is always due.
pub const DEVICE_TIME: &str = "2024-02-29 12:00:00";

pub fn card(number: u64) -> String {
    format!("{}", 8_888_888_800 + number)
}

/// A card table of `count` cards; the first has PINs and a member code.
pub fn card_table(cards: u64) -> String {
    let mut table = "card,account,name,balance,uses,pin,duress_pin,code\n".to_owned();
    for number in 1..=cards {
        let secrets = if number == 1 { format!("{PIN},{DURESS_PIN},{MEMBER_CODE}") } else { ",,".to_owned() };
        writeln!(table, "{},A{number:05},张三,1000.00,100,{secrets}", card(number)).unwrap();
    }
    table
}

/// Configuration, cards and ledger in a directory that is removed after the test.
pub struct Site {
    dir: TempDir,
}

impl Site {
    pub fn new() -> Self {
        Self::with("", "")
    }

    /// A site with more lines in the server's section, and more sections.
    pub fn with(options: &str, sections: &str) -> Self {
        let site = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        site.configure(options, sections);
        site.write("cards.csv", &card_table(CARDS));
        site
    }

    pub fn configure(&self, options: &str, sections: &str) {
        let config = format!(
            "config server 'main'\n\
             \tlist listen '127.0.0.1:0'\n\
             \toption cards 'cards.csv'\n\
             \toption ledger_dir 'ledger'\n\
             \toption control 'ctl.sock'\n\
             \toption status 'status.json'\n\
             \toption timezone 'CST-8'\n\
             \toption rate_source '0'\n\
             \toption log 'debug'\n\
             {options}\n{sections}\n"
        );
        self.write("posgate", &config);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("it can be written");
    }

    /// The only segment.
    pub fn segment(&self) -> PathBuf {
        self.path("ledger/ledger-0000000001.tsv")
    }

    /// All segments in order. A newest one without a whole header counts as torn.
    #[track_caller]
    pub fn ledger(&self) -> Ledger {
        let mut names: Vec<PathBuf> = fs::read_dir(self.path("ledger"))
            .expect("a ledger")
            .map(|file| file.expect("a file").path())
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ledger-")))
            .filter(|path| path.extension().is_some_and(|extension| extension == "tsv"))
            .collect();
        names.sort();
        let mut whole = Ledger::read(&names[0]);
        let mut name_of_ledger = whole.header["ledger"].clone();
        for name in &names[1..] {
            let bytes = fs::read(name).expect("a segment");
            if bytes.len() < 512 {
                whole.torn = bytes.len().max(1);
                break;
            }
            let next = Ledger::parse(&bytes);
            let last = whole.lines.last().expect("a segment ends with an entry");
            assert_eq!(next.header["chain"], last.raw("crc"), "segments follow from each other");
            // The same ledger, or a branch of it that begins here.
            let parent = format!("{name_of_ledger}:{}:{}", last.raw("seq"), last.raw("crc"));
            assert!(next.header["ledger"] == name_of_ledger || next.header["parent"] == parent, "{:?}", next.header);
            name_of_ledger.clone_from(&next.header["ledger"]);
            whole.lines.extend(next.lines);
            whole.torn = next.torn;
        }
        whole
    }

    /// Runs a command of posgate to its end; the word `CONFIG` becomes the configuration's path.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let config = self.path("posgate");
        let arguments = arguments.iter().map(|word| if *word == "CONFIG" { config.as_os_str() } else { word.as_ref() });
        Ended::of(&posgate().args(arguments).output().expect("it runs"))
    }

    pub fn start(&self) -> Server {
        self.start_with(&[])
    }

    pub fn start_with(&self, arguments: &[&str]) -> Server {
        self.spawn(arguments).wait_until_it_listens()
    }

    /// Starts the server without waiting until it listens, which it may never do.
    pub fn spawn(&self, arguments: &[&str]) -> Server {
        let mut command = posgate();
        command.arg("serve").arg("--config").arg(self.path("posgate")).args(arguments);
        Server::spawn(command)
    }
}

/// The binary under test, with an environment without settings.
pub fn posgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_posgate"));
    command.env_remove("RUST_LOG").env_remove("TZ").stdin(Stdio::null());
    command
}

/// How a process ended.
pub struct Ended {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Fails and prints all output.
    #[track_caller]
    pub fn expect(self, code: i32, out: &[&str], err: &[&str]) -> Self {
        let said = format!("{:?}\n--- out\n{}--- err\n{}", self.code, self.out, self.err);
        assert_eq!(self.code, Some(code), "{said}");
        for words in out {
            assert!(self.out.contains(words), "not in out: {words}\n{said}");
        }
        for words in err {
            assert!(self.err.contains(words), "not in err: {words}\n{said}");
        }
        self
    }
}

/// The lines that a process writes to a stream, as they come.
struct Lines {
    heard: Arc<(Mutex<Heard>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Heard {
    lines: Vec<String>,
    is_over: bool,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let heard = Arc::new((Mutex::new(Heard::default()), Condvar::new()));
        let shared = Arc::clone(&heard);
        let reader = std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
                shared.0.lock().unwrap().lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                shared.1.notify_all();
                line.clear();
            }
            shared.0.lock().unwrap().is_over = true;
            shared.1.notify_all();
        });
        Self { heard, reader: Some(reader) }
    }

    /// Waits for the first line with these words.
    #[track_caller]
    fn wait_for(&self, words: &str) -> String {
        self.wait(1, words)
    }

    /// Waits until `count` lines have these words; returns the last of them.
    #[track_caller]
    fn wait(&self, count: usize, words: &str) -> String {
        assert!(count > 0, "something is waited for");
        let find = |heard: &Heard| heard.lines.iter().filter(|line| line.contains(words)).nth(count - 1).cloned();
        let heard = self.heard.0.lock().unwrap();
        let waiting = |heard: &mut Heard| find(heard).is_none() && !heard.is_over;
        let (heard, _) = self.heard.1.wait_timeout_while(heard, PATIENCE, waiting).unwrap();
        find(&heard).unwrap_or_else(|| panic!("no line says {words:?}:\n{}", heard.lines.join("\n")))
    }

    #[track_caller]
    fn wait_for_end(&mut self) -> String {
        let heard = self.heard.0.lock().unwrap();
        let (heard, _) = self.heard.1.wait_timeout_while(heard, PATIENCE, |heard| !heard.is_over).unwrap();
        assert!(heard.is_over, "the process does not end:\n{}", heard.lines.join("\n"));
        let text = heard.lines.join("\n") + if heard.lines.is_empty() { "" } else { "\n" };
        drop(heard);
        if let Some(reader) = self.reader.take() {
            reader.join().expect("it only reads");
        }
        text
    }
}

/// A running server. It is killed when the value is dropped.
pub struct Server {
    child: Child,
    out: Lines,
    err: Lines,
    pub port: u16,
}

impl Server {
    /// Starts a server by a command of the test's own, and waits until it listens.
    pub fn run(command: Command) -> Self {
        Self::spawn(command).wait_until_it_listens()
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let out = Lines::of(child.stdout.take().expect("a pipe"));
        let err = Lines::of(child.stderr.take().expect("a pipe"));
        Self { child, out, err, port: 0 }
    }

    fn wait_until_it_listens(mut self) -> Self {
        let line = self.out.wait_for("listening address=");
        let port = line.rsplit_once(':').expect("an address").1;
        self.port = port.parse().expect("a port");
        self
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().expect("a process")), signal).expect("it lives");
    }

    /// Waits for a line of the log (info and below) with these words.
    #[track_caller]
    pub fn wait_for(&self, words: &str) -> String {
        self.out.wait_for(words)
    }

    /// Waits until `count` lines of the log have these words.
    #[track_caller]
    pub fn wait_for_count(&self, count: usize, words: &str) {
        self.out.wait(count, words);
    }

    /// Waits for a warning or an error with these words.
    #[track_caller]
    pub fn wait_for_trouble(&self, words: &str) -> String {
        self.err.wait_for(words)
    }

    /// Waits until the server has ended by itself.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let (out, err) = (self.out.wait_for_end(), self.err.wait_for_end());
        Ended { code: self.child.wait().expect("it ended").code(), out, err }
    }

    /// Sends SIGTERM; the server must end with 0.
    #[track_caller]
    pub fn stop(self) -> Ended {
        self.signal(Signal::SIGTERM);
        let ended = self.end();
        assert_eq!(ended.code, Some(0), "--- out\n{}--- err\n{}", ended.out, ended.err);
        ended
    }

    /// Sends SIGKILL and waits.
    #[track_caller]
    pub fn kill(mut self) -> Ended {
        self.child.kill().expect("it lives");
        self.end()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A device with an address, a machine number and a serial of its own.
pub struct Device {
    pub socket: UdpSocket,
    pub address: Ipv4Addr,
    pub machine: String,
    pub serial: String,
    pub seq: u32,
}

/// A reply, its fields decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub text: String,
    pub fields: Vec<String>,
}

impl Reply {
    pub fn code(&self) -> &str {
        &self.fields[0]
    }
}

impl Device {
    /// A device with this machine number that sends to the server at 127.0.0.1. No other device of
    /// this process has its address.
    pub fn new(machine: u32, server: &Server) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(10);
        let address = Ipv4Addr::new(127, 1, NEXT.fetch_add(1, Ordering::Relaxed), 1);
        let socket = UdpSocket::bind((address, 0)).expect("a free port");
        let mut device = Self {
            socket,
            address,
            machine: format!("{machine:05}"),
            serial: format!("{:010}", machine + 1_000_000_000),
            seq: 0,
        };
        device.turn_to(server);
        device
    }

    /// Sends to another server from now on.
    pub fn turn_to(&mut self, server: &Server) {
        self.turn_to_address(SocketAddrV4::new(Ipv4Addr::LOCALHOST, server.port));
    }

    pub fn turn_to_address(&mut self, server: SocketAddrV4) {
        self.socket = UdpSocket::bind((self.address, 0)).expect("a free port");
        self.socket.connect(SocketAddr::V4(server)).expect("a connected socket");
        self.socket.set_read_timeout(Some(PATIENCE)).expect("set");
    }

    /// The next frame: code, the common fields, the given fields, the serial.
    pub fn frame(&mut self, code: &str, fields: &str) -> String {
        self.seq += 1;
        let Self { address, machine, serial, seq, .. } = self;
        format!("{code},{seq:05},{address},127.0.0.1,{machine},{fields},{serial}")
    }

    pub fn send(&self, frame: impl AsRef<[u8]>) {
        self.socket.send(frame.as_ref()).expect("sent");
    }

    /// The next reply of any code.
    #[track_caller]
    pub fn next(&self) -> Reply {
        let mut buffer = [0; 2048];
        let received = loop {
            match self.socket.recv(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                received => break received,
            }
        };
        read_reply(&buffer[..received.expect("a reply")])
    }

    /// The next reply of this code; others are skipped.
    #[track_caller]
    pub fn hear(&self, code: &str) -> Reply {
        loop {
            let reply = self.next();
            if reply.code() == code {
                assert!(!reply.text.contains('\u{FFFD}'), "GBK throughout: {reply:?}");
                return reply;
            }
        }
    }

    /// Sends a frame; waits for its 001 and then for a reply of this code.
    #[track_caller]
    pub fn ask(&self, frame: &str, code: &str) -> Reply {
        self.send(frame);
        let seq = frame.split(',').nth(1).expect("a seq");
        while self.hear("001").fields[1] != seq {}
        self.hear(code)
    }

    /// Pays with a card; returns the 008 or fails.
    #[track_caller]
    pub fn pay(&mut self, card: &str, amount: &str) -> Reply {
        let frame = self.charge(card, amount);
        self.ask(&frame, "008")
    }

    /// A 103.
    pub fn charge(&mut self, card: &str, amount: &str) -> String {
        self.frame("103", &format!("{card},{amount},{DEVICE_TIME}"))
    }

    /// A 150 at reader 1, door 1.
    pub fn access(&mut self, card: &str, pin_kind: u8, pin: &str) -> String {
        self.frame("150", &format!("{card},1,1,0,{pin_kind},{pin},{DEVICE_TIME}"))
    }

    /// Confirms the last answer.
    pub fn confirm(&mut self) {
        let frame = self.frame("109", "");
        self.send(frame.replace(",,", ","));
    }

    /// All replies that came and were not read yet. Replies on the loopback keep their order, so
    /// the 001 of one more frame (of an unknown code) comes after all of them.
    #[track_caller]
    pub fn heard_so_far(&mut self) -> Vec<Reply> {
        let frame = self.frame("199", "fence");
        self.send(&frame);
        let fence = format!("001,{:05}", self.seq);
        let mut heard = Vec::new();
        loop {
            let reply = self.next();
            if reply.text == fence {
                return heard;
            }
            heard.push(reply);
        }
    }
}

pub fn read_reply(bytes: &[u8]) -> Reply {
    let (text, _, _) = encoding_rs::GBK.decode(bytes);
    Reply { fields: text.split(',').map(str::to_owned).collect(), text: text.into_owned() }
}

/// The columns' names, in their order.
pub const COLUMNS: [&str; 20] = [
    "seq",
    "time",
    "clock",
    "kind",
    "machine",
    "serial",
    "frame",
    "card",
    "account",
    "amount",
    "subsidy",
    "uses",
    "balance",
    "subsidy_left",
    "uses_left",
    "device_time",
    "slot",
    "ref",
    "detail",
    "crc",
];

/// A segment as a reader sees it who has only the design.
pub struct Ledger {
    pub header: BTreeMap<String, String>,
    pub lines: Vec<Line>,
    /// Bytes after the last line whose crc follows.
    pub torn: usize,
}

/// A line whose crc follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(Vec<String>);

impl Line {
    /// The column's text.
    #[track_caller]
    pub fn raw(&self, column: &str) -> &str {
        &self.0[COLUMNS.iter().position(|name| *name == column).expect("a column")]
    }

    /// The column; `None` for `\N`.
    #[track_caller]
    pub fn get(&self, column: &str) -> Option<&str> {
        Some(self.raw(column)).filter(|text| *text != "\\N")
    }

    /// A value of the detail.
    pub fn detail(&self, key: &str) -> Option<&str> {
        self.get("detail")?.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    pub fn kind(&self) -> &str {
        self.raw("kind")
    }

    /// A column of yuan as fen.
    #[track_caller]
    pub fn fen(&self, column: &str) -> i64 {
        let digits: String = self.raw(column).chars().filter(|character| *character != '.').collect();
        digits.parse().expect("yuan with two decimals")
    }
}

impl Ledger {
    #[track_caller]
    pub fn read(path: &Path) -> Self {
        Self::parse(&fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// Reads header and lines up to the first whose crc does not follow.
    #[track_caller]
    pub fn parse(bytes: &[u8]) -> Self {
        assert!(bytes.len() >= 512 && bytes[511] == b'\n', "a header of 512 bytes");
        let header = std::str::from_utf8(&bytes[..511]).expect("UTF-8").trim_end_matches(' ');
        let mut words = header.split('\t');
        assert_eq!(words.next(), Some("#posgate-ledger"));
        let header: BTreeMap<String, String> = words
            .map(|word| word.split_once('=').expect("key=value"))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let mut crc = u32::from_str_radix(&header["chain"], 16).expect("8 hex digits");
        let mut rest = &bytes[512..];
        let mut lines = Vec::new();
        while let Some(len) = rest.iter().position(|byte| *byte == b'\n') {
            let Some(covered) = len.checked_sub(8) else { break };
            let mut hasher = crc32fast::Hasher::new_with_initial(crc);
            hasher.update(&rest[..covered]);
            let next = hasher.finalize();
            if rest[covered..len] != *format!("{next:08x}").as_bytes() {
                break;
            }
            crc = next;
            let text = std::str::from_utf8(&rest[..len]).expect("UTF-8");
            let line = Line(text.split('\t').map(str::to_owned).collect());
            assert_eq!(line.0.len(), 20, "{text}");
            lines.push(line);
            rest = &rest[len + 1..];
        }
        Self { header, lines, torn: rest.len() }
    }

    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Line> + 'a {
        self.lines.iter().filter(move |line| line.kind() == kind)
    }

    pub fn count(&self, kind: &str) -> usize {
        self.of_kind(kind).count()
    }

    /// The one line of this kind.
    #[track_caller]
    pub fn only<'a>(&'a self, kind: &'a str) -> &'a Line {
        assert_eq!(self.count(kind), 1, "lines of kind {kind}: {:#?}", self.lines);
        self.of_kind(kind).next().expect("one")
    }

    /// The sum of an account's amounts, in fen.
    pub fn sum(&self, account: &str) -> i64 {
        let own = self.lines.iter().filter(|line| line.get("account") == Some(account));
        own.map(|line| line.fen("amount")).sum()
    }

    /// The sum of an account's subsidies, in fen.
    pub fn subsidy(&self, account: &str) -> i64 {
        let own = self.lines.iter().filter(|line| line.get("account") == Some(account));
        own.map(|line| line.fen("subsidy")).sum()
    }

    pub fn kinds(&self) -> Vec<&str> {
        self.lines.iter().map(Line::kind).collect()
    }
}
