//! The three servers as processes, and what /proc says of them.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Options, rivals};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Posgate,
    Floor,
    Echo,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Posgate => "posgate",
            Self::Floor => "floor",
            Self::Echo => "echo",
        }
    }
}

/// A server that waits for sales.
pub struct Running {
    pub kind: Kind,
    pub port: u16,
    /// Where its files are.
    pub dir: PathBuf,
    child: Child,
}

/// What a process has used so far.
#[derive(Clone, Copy, Default)]
pub struct Used {
    /// Seconds on a CPU.
    pub cpu_s: f64,
    /// As many of them in the kernel, by the kernel's ticks.
    pub system_s: f64,
    /// Syncs of the file of sales: posgate says them itself, a floor writes once for each.
    pub syncs: u64,
}

impl Running {
    pub fn start(kind: Kind, options: &Options, dir: &Path) -> Self {
        let dir = dir.join(kind.name());
        std::fs::create_dir(&dir).expect("a new directory");
        let mut command = match kind {
            Kind::Posgate => posgate(options, &dir),
            Kind::Floor | Kind::Echo => {
                let mut command = Command::new(std::env::current_exe().expect("this program"));
                command.args([rivals::ARGUMENT, kind.name(), &options.listen]).arg(dir.join("lines"));
                command
            }
        };
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let port = loop {
            let line = lines.next().expect("it says its port").expect("text");
            let word =
                if kind == Kind::Posgate { line.strip_prefix("listening address=").unwrap_or("") } else { &line };
            if let Ok(port) = word.rsplit(':').next().unwrap_or(word).parse() {
                break port;
            }
        };
        // What it says from now on nobody needs.
        std::thread::spawn(move || lines.for_each(drop));
        Self { kind, port, dir, child }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().expect("a process")), signal).expect("it lives");
    }

    pub fn used(&self) -> Used {
        let proc = PathBuf::from(format!("/proc/{}", self.child.id()));
        let read = |name: &str| std::fs::read_to_string(proc.join(name)).expect("a living process");
        // schedstat counts nanoseconds where stat counts ticks of ten milliseconds.
        let on_cpu: f64 = read("schedstat").split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
        let stat = read("stat");
        let after_name = stat.rsplit(") ").next().expect("fields after the name");
        let ticks =
            |place: usize| after_name.split(' ').nth(place).and_then(|word| word.parse::<f64>().ok()).expect("ticks");
        let io = read("io");
        let writes = io.lines().find_map(|line| line.strip_prefix("syscw: ")).and_then(|word| word.parse().ok());
        let syncs = if self.kind == Kind::Posgate { self.syncs() } else { writes.unwrap_or(0) };
        Used { cpu_s: on_cpu / 1e9, system_s: ticks(12) / 100.0, syncs }
    }

    /// Posgate's syncs of its ledger. Its writes tell nothing: those of the status file are more.
    fn syncs(&self) -> u64 {
        let mut socket = UnixStream::connect(self.dir.join("ctl.sock")).expect("the control socket");
        socket.write_all(b"{\"cmd\":\"status\"}\n").expect("sent");
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer).expect("an answer");
        let digits = answer.split_once("\"syncs\":").and_then(|(_, rest)| rest.split([',', '}']).next());
        digits.and_then(|digits| digits.parse().ok()).expect("the status counts syncs")
    }

    /// Ends it in order, verifies its ledger, and counts the sales there.
    pub fn stop_and_count(mut self, program: &Path) -> u64 {
        self.signal(Signal::SIGTERM);
        assert!(self.child.wait().expect("it ends").success(), "it ends in order");
        let ledger = self.dir.join("ledger");
        let verified = Command::new(program).args(["ledger", "verify"]).arg(&ledger).stdout(Stdio::null()).status();
        assert!(verified.expect("verify runs").success(), "the ledger is clean");
        let mut charges = 0;
        for file in std::fs::read_dir(&ledger).expect("the ledger").map(|file| file.expect("a file").path()) {
            if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ledger-")) {
                let lines = BufReader::new(std::fs::File::open(&file).expect("a segment")).split(b'\n');
                let is_charge = |line: &Vec<u8>| line.split(|byte| *byte == b'\t').nth(3) == Some(b"charge");
                charges += lines.map(|line| line.expect("a line")).filter(is_charge).count() as u64;
            }
        }
        charges
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the card table, all cards of one name, whole or not at all.
pub fn write_cards(count: u32, dir: &Path, name: &str) {
    let mut cards = "card,name,balance\n".to_owned();
    for number in 0..count {
        writeln!(cards, "{},{name},9000000.00", 8_888_000_000_u64 + u64::from(number))
            .expect("a String takes everything");
    }
    let temporary = dir.join("cards.tmp");
    std::fs::write(&temporary, cards).expect("a file");
    std::fs::rename(temporary, dir.join("cards.csv")).expect("renamed");
}

fn posgate(options: &Options, dir: &Path) -> Command {
    let config = format!(
        "config server 'main'\n\tlist listen '{}:0'\n\toption cards 'cards.csv'\n\toption ledger_dir 'ledger'\n\toption control 'ctl.sock'\n\
         \toption status 'status.json'\n\toption timezone 'CST-8'\n\toption rate_source '0'\n\toption segment_bytes '{}'\n",
        options.listen, options.segment_bytes
    );
    std::fs::write(dir.join("posgate"), config).expect("a file");
    write_cards(options.cards, dir, "张三");
    let mut command = Command::new(&options.posgate);
    command.arg("serve").arg("--config").arg(dir.join("posgate")).env_remove("RUST_LOG").env_remove("TZ");
    command
}
