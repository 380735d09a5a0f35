//! The hall: the server on the simulation's clock, its devices, and the desk.
//!
//! What is real: the server, the order of its turns, the ledger's files and their syncs, the
//! configuration, and every `posgate ctl`, which is the program and connects to the control socket.
//! What is not: datagrams pass from hand to hand instead of through sockets, and the time is a
//! number that jumps to the next thing that happens.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use posgate::desk::control::{self, ControlReply, Host};
use posgate::desk::json::{self, Value};
use posgate::engine::gbk;
use posgate::engine::model::{Civil, Date, Mono, Now, Stamp, Wall};
use posgate::engine::server::{Effects, Origin, Outgoing, Peer, Server, Tables};
use posgate::files::config::{self, Settings};
use posgate::files::{cards, problem::Problem};
use posgate::host::machine;
use posgate::ledger::identity::{self, FileKeeper};
use posgate::ledger::writer::Opening;
use posgate::ledger::{DirStorage, Ledger};
use posgate::turn::Service;

use crate::clock::Moment;
use crate::device::{Ask, Device, Effect, Outcome};
use crate::judge::{Judge, Terms};

/// The server of one process.
pub type Running<'t> = Service<'t, DirStorage>;

/// The server's address.
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);

/// The zone of the configuration: China's time, which never changes.
const OFFSET_S: i32 = 8 * 3600;

/// A stored sale is released within this time.
const COLLECTED_WITHIN_MS: u64 = 60_000;

/// From the 001 to the next thing that a device does, and from one line of a tool to the next.
const STEP_MS: u64 = 20;

/// A device in the hall.
struct Station {
    device: Device,
    judge: Judge,
    address: SocketAddrV4,
    /// Nothing passes in either direction.
    is_cut: bool,
    /// The next result gets lost on its way.
    loses_result: bool,
}

/// What the acceptor of the control socket hears, and the end of a tool.
enum Heard {
    Line(UnixStream, Vec<u8>),
    Ended(io::Result<Output>),
}

/// What a `posgate` said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it complained of.
    pub complaint: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), complaint: text(&output.stderr) }
    }

    /// What it printed, read as JSON.
    ///
    /// # Errors
    /// If it is none.
    pub fn json(&self) -> io::Result<Value> {
        json::parse(self.out.trim_end()).map_err(|wrong| io::Error::other(format!("{wrong}: {}", self.out)))
    }
}

/// Devices, time and desk.
pub struct Hall {
    directory: PathBuf,
    posgate: PathBuf,
    /// Midnight of the first day, by the wall.
    begin: Civil,
    /// Milliseconds since then.
    t: u64,
    /// When the running process began.
    process_at: u64,
    stations: Vec<Station>,
    /// Letters of the running turn.
    mail: Vec<(SocketAddrV4, Vec<u8>)>,
    heard: (Sender<Heard>, Receiver<Heard>),
    is_tracing: bool,
    /// Promises of the protocol that were broken.
    pub broken: u32,
    /// What ended last.
    finished: Option<Finished>,
}

impl Hall {
    /// An empty hall at this midnight. `directory` holds configuration and card table, `posgate` is
    /// the program.
    ///
    /// # Errors
    /// If the control socket cannot be made.
    pub fn new(directory: &Path, posgate: &Path, first: Date, is_tracing: bool) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let path = directory.join("ctl.sock");
        let explain = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let listener = UnixListener::bind(&path).map_err(explain)?;
        let heard = sender.clone();
        std::thread::spawn(move || accept(&listener, &heard));
        Ok(Self {
            directory: directory.to_owned(),
            posgate: posgate.to_owned(),
            begin: Civil(i64::from(first.0) * 86_400),
            t: 0,
            process_at: 0,
            stations: Vec::new(),
            mail: Vec::new(),
            heard: (sender, receiver),
            is_tracing,
            broken: 0,
            finished: None,
        })
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.directory.join("posgate")
    }

    /// Puts a device into the hall; gives its place.
    pub fn add(&mut self, mut device: Device, terms: Terms) -> usize {
        let station = self.stations.len();
        let last = 10 + u8::try_from(station).unwrap_or(0);
        let address = SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, last), 39190);
        device.set_addresses(address.ip().to_string(), SERVER.to_string());
        let judge = Judge::new(terms);
        self.stations.push(Station { device, judge, address, is_cut: false, loses_result: false });
        station
    }

    /// The device at a place.
    pub fn device(&mut self, station: usize) -> &mut Device {
        &mut self.stations[station].device
    }

    /// Pulls a device's cable, or plugs it in again.
    pub fn cut(&mut self, station: usize, is_cut: bool) {
        self.stations[station].is_cut = is_cut;
    }

    /// Loses the next result on its way to a device.
    pub fn lose_result(&mut self, station: usize) {
        self.stations[station].loses_result = true;
    }

    /// The time as devices count it.
    pub fn moment(&self) -> Moment {
        Duration::from_millis(self.t)
    }

    /// What a right clock shows.
    pub fn civil(&self) -> Civil {
        Civil(self.begin.0 + (self.t / 1000).cast_signed())
    }

    fn now(&self) -> Now {
        let wall = Wall((self.begin.0 - i64::from(OFFSET_S)) * 1000 + self.t.cast_signed());
        Now { mono: Mono(self.t - self.process_at), stamp: Stamp { wall, offset_s: OFFSET_S }, synchronized: true }
    }

    // ---------------------------------------------------------------- the server

    /// A start, as `posgate serve` does it, but for sockets and signals.
    ///
    /// # Errors
    /// If configuration, card table or ledger cannot be read or served.
    pub fn start<'t>(
        &mut self,
        tables: &'t mut Tables,
        effects: &'t mut Effects,
        keeper: &'t mut Option<FileKeeper>,
    ) -> io::Result<Running<'t>> {
        self.process_at = self.t;
        let Settings { ledger_dir, identity, site, mut rules, segment_bytes, reserve_bytes, crc, cards, .. } =
            config::load(&self.config()).map_err(|problems| all(&problems))?;
        // The month may be an earlier one than that of the build.
        rules.built_on = Date(0);
        let file = cards::load(&cards, &rules.groups).map_err(|problems| all(&problems))?;
        let mut server = Server::new(tables, rules.clone());
        let found = identity::read(&identity);
        let now = self.now();
        let opening = Opening { site: &site, host: machine::host(), created: now.stamp, identity: Some(&found) };
        let number = identity::draw()?;
        let storage = DirStorage::open(&ledger_dir)?;
        let opened = Ledger::open_as(storage, &opening, || number, server.book_to_replay());
        let (mut ledger, opened) = opened.map_err(|error| io::Error::other(error.to_string()))?;
        if let Some((verdict, _)) = opened.verdict.zip(opened.branch) {
            return Err(io::Error::other(format!("the ledger goes on as a branch: {}", verdict.word())));
        }
        ledger.limit_segments(segment_bytes);
        let origin = Origin { cards_crc: file.crc, config_crc: crc, ..Origin::default() };
        server.install(rules, &file.records, origin).map_err(|error| io::Error::other(error.to_string()))?;
        let mut service = Service::new(server, ledger, effects);
        service.keep_reserve(reserve_bytes);
        service.keep_identity(keeper.insert(FileKeeper::new(&identity)), None);
        let mail = &mut self.mail;
        service.start(&now, &mut |bag| collect(mail, bag))?;
        self.deliver(&mut service)?;
        Ok(service)
    }

    /// SIGTERM.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn stop(&mut self, mut service: Running) -> io::Result<()> {
        let now = self.now();
        let mail = &mut self.mail;
        service.stop(&now, &mut |bag| collect(mail, bag))?;
        self.mail.clear();
        Ok(())
    }

    /// The process is gone for this long; so is what it was about to send.
    pub fn be_away(&mut self, ms: u64) {
        self.mail.clear();
        self.t += ms;
    }

    /// Ends a turn, and brings its letters to the devices, and their answers to the server.
    fn turn(&mut self, service: &mut Running) -> io::Result<()> {
        let now = self.now();
        let mail = &mut self.mail;
        service.end_turn(&now, &mut |bag| collect(mail, bag))?;
        self.deliver(service)
    }

    /// Brings letters to devices. What they answer is received in the next turn.
    fn deliver(&mut self, service: &mut Running) -> io::Result<()> {
        let mut has_answers = false;
        for (to, letter) in std::mem::take(&mut self.mail) {
            let Some(place) = self.stations.iter().position(|station| station.address == to) else { continue };
            let now = self.moment();
            self.print(place, "←", &letter);
            let station = &mut self.stations[place];
            if let Err(promise) = station.judge.receive(now, &letter) {
                self.breach(place, &format!("{promise}: {}", gbk::decode(&letter)));
                continue;
            }
            let is_result = [&b"008"[..], b"006"].iter().any(|code| letter.starts_with(code));
            if station.is_cut || is_result && std::mem::take(&mut station.loses_result) {
                continue;
            }
            let mut effects = Vec::new();
            station.device.receive(now, &letter, &mut effects);
            has_answers |= self.perform(service, place, effects)?;
        }
        if has_answers { self.turn(service) } else { Ok(()) }
    }

    /// Does what a device wants; whether the server received something.
    fn perform(&mut self, service: &mut Running, place: usize, effects: Vec<Effect>) -> io::Result<bool> {
        let mut has_sent = false;
        for effect in effects {
            match effect {
                Effect::Heard => (),
                Effect::Finished { seq, outcome, ask } => {
                    let station = &mut self.stations[place];
                    if !station.is_cut
                        && let Err(promise) = station.judge.end(seq.as_bytes(), &outcome)
                    {
                        self.breach(place, &promise);
                    }
                    self.finished = Some(Finished { station: place, ask, outcome });
                }
                Effect::Send(datagram) => {
                    self.print(place, "→", &datagram);
                    if self.stations[place].is_cut {
                        continue;
                    }
                    self.receive(service, place, &datagram)?;
                    has_sent = true;
                }
            }
        }
        Ok(has_sent)
    }

    fn receive(&mut self, service: &mut Running, place: usize, datagram: &[u8]) -> io::Result<()> {
        let (now, moment) = (self.now(), self.moment());
        let station = &mut self.stations[place];
        station.judge.sent(moment, datagram);
        let peer = Peer { source: station.address, local: SERVER, socket: 0 };
        service.receive(&now, peer, datagram, false)
    }

    /// When a device does something by itself. Without its cable it would try to send what it
    /// holds every second, for hours.
    fn deadline_of(station: &Station) -> Option<u64> {
        let is_in_vain = station.is_cut && station.device.is_idle();
        let deadline = station.device.next_deadline().filter(|_| !is_in_vain);
        deadline.map(|at| u64::try_from(at.as_millis()).unwrap_or(u64::MAX))
    }

    /// Lets the time pass until this moment, or until something ends at a device.
    fn pass(&mut self, service: &mut Running, until: u64) -> io::Result<()> {
        while self.finished.is_none() {
            let devices = self.stations.iter().filter_map(Self::deadline_of);
            let server_at = service.next_deadline().map(|at| self.process_at.saturating_add(at.0));
            let wake_at = devices.chain(server_at).min().unwrap_or(u64::MAX);
            if wake_at > until {
                self.t = self.t.max(until);
                return Ok(());
            }
            self.t = self.t.max(wake_at);
            for place in 0..self.stations.len() {
                if Self::deadline_of(&self.stations[place]).is_some_and(|at| at <= self.t) {
                    let (now, mut effects) = (self.moment(), Vec::new());
                    self.stations[place].device.tick(now, &mut effects);
                    self.perform(service, place, effects)?;
                }
            }
            self.turn(service)?;
            self.t += 1;
        }
        Ok(())
    }

    /// Lets the time pass until this moment.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn wait(&mut self, service: &mut Running, until: u64) -> io::Result<()> {
        self.pass(service, until)?;
        while self.finished.take().is_some() {
            self.pass(service, until)?;
        }
        Ok(())
    }

    // ---------------------------------------------------------------- devices

    /// Somebody does something at a device, until it ends in some way.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn act(&mut self, service: &mut Running, station: usize, ask: Ask) -> io::Result<Outcome> {
        self.begin(service, station, ask)?;
        self.turn(service)?;
        self.end(service, station)
    }

    /// The same, but the server dies after it wrote the sale and before a word of it left.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn act_and_kill(&mut self, mut service: Running, station: usize, ask: Ask) -> io::Result<()> {
        self.begin(&mut service, station, ask)?;
        let now = self.now();
        service.end_turn(&now, &mut |_| ())
    }

    fn begin(&mut self, service: &mut Running, station: usize, ask: Ask) -> io::Result<()> {
        let (now, mut effects) = (self.moment(), Vec::new());
        self.stations[station].device.start(now, ask, &mut effects);
        self.perform(service, station, effects)?;
        Ok(())
    }

    /// Waits until what was begun at a device has ended.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn end(&mut self, service: &mut Running, station: usize) -> io::Result<Outcome> {
        loop {
            self.pass(service, u64::MAX)?;
            if let Some(ended) = self.finished.take()
                && ended.station == station
            {
                self.t += STEP_MS;
                self.turn(service)?;
                return Ok(ended.outcome);
            }
        }
    }

    /// The next stored sale that the server took from a device; `None` if it holds none.
    ///
    /// # Errors
    /// If the ledger cannot be written, or the sale never gets through.
    pub fn collect(&mut self, service: &mut Running, station: usize) -> io::Result<Option<crate::device::Record>> {
        let until = self.t + COLLECTED_WITHIN_MS;
        while self.stations[station].device.records_held() > 0 {
            self.pass(service, until)?;
            if self.t >= until {
                return Err(io::Error::other("a stored sale never gets through"));
            }
            if let Some(Finished { ask: Ask::Upload(record), outcome: Outcome::Released, .. }) = self.finished.take() {
                self.turn(service)?;
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn breach(&mut self, place: usize, what: &str) {
        self.broken += 1;
        println!("{} {} BROKEN {what}", self.civil(), self.stations[place].device.machine());
    }

    fn print(&self, place: usize, arrow: &str, datagram: &[u8]) {
        if self.is_tracing {
            println!("{} {} {arrow} {}", self.civil(), self.stations[place].device.machine(), gbk::decode(datagram));
        }
    }

    // ---------------------------------------------------------------- the desk

    /// `posgate ctl …` to its end.
    ///
    /// # Errors
    /// If the program cannot be run, or the ledger not be written.
    pub fn ctl(&mut self, service: &mut Running, arguments: &[&str]) -> io::Result<Said> {
        self.run_ctl(arguments);
        loop {
            match self.next_heard()? {
                Heard::Ended(output) => return output.map(|output| Said::of(&output)),
                Heard::Line(mut client, line) => {
                    let answer = self.answer(service, &line)?;
                    self.turn(service)?;
                    // A tool that has gone reads nothing.
                    let _lost = client.write_all(format!("{answer}\n").as_bytes());
                    self.wait(service, self.t + STEP_MS)?;
                }
            }
        }
    }

    /// `posgate ctl …` of a clear of all, which takes several turns; the server dies after the
    /// first. Gives how many purses are empty by then.
    ///
    /// # Errors
    /// If the program cannot be run, or the ledger not be written.
    pub fn ctl_and_kill(&mut self, mut service: Running, arguments: &[&str]) -> io::Result<(Said, usize)> {
        self.run_ctl(arguments);
        let client = loop {
            match self.next_heard()? {
                Heard::Ended(output) => return output.map(|output| (Said::of(&output), 0)),
                Heard::Line(mut client, line) => {
                    let answer = self.answer(&mut service, &line)?;
                    self.turn(&mut service)?;
                    if !String::from_utf8_lossy(&line).contains("\"dry\":true") {
                        break client;
                    }
                    let _lost = client.write_all(format!("{answer}\n").as_bytes());
                }
            }
        };
        self.t += 1;
        self.turn(&mut service)?;
        let cleared = service.server().book().clearing().map_or(0, |clearing| clearing.accounts);
        drop(service);
        client.shutdown(Shutdown::Both)?;
        loop {
            if let Heard::Ended(output) = self.next_heard()? {
                return output.map(|output| (Said::of(&output), usize::try_from(cleared).unwrap_or(usize::MAX)));
            }
        }
    }

    /// `posgate …`, which reads the ledger.
    ///
    /// # Errors
    /// If the program cannot be run.
    pub fn posgate(&self, arguments: &[&str]) -> io::Result<Said> {
        let output = self.command(arguments).output().map_err(|error| no_program(&self.posgate, &error))?;
        Ok(Said::of(&output))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.posgate);
        command.args(arguments).arg("--config").arg(self.config());
        command.env("LC_ALL", "C").env("POSGATE_BY", "desk").stdin(Stdio::null());
        command
    }

    fn run_ctl(&self, arguments: &[&str]) {
        let mut command = self.command(&[&["ctl"], arguments].concat());
        let ended = self.heard.0.clone();
        std::thread::spawn(move || {
            let _gone = ended.send(Heard::Ended(command.output()));
        });
    }

    fn next_heard(&self) -> io::Result<Heard> {
        let heard = self.heard.1.recv().expect("the hall holds a sender");
        match heard {
            Heard::Ended(Err(error)) => Err(no_program(&self.posgate, &error)),
            heard => Ok(heard),
        }
    }

    fn answer(&mut self, service: &mut Running, line: &[u8]) -> io::Result<String> {
        let now = self.now();
        let mut desk = Desk { ledger_dir: self.directory.join("ledger") };
        match control::answer(service, &now, &mut desk, line)?.reply {
            ControlReply::Line(line) | ControlReply::Stream { line, .. } => Ok(line),
            others @ (ControlReply::Deferred(_) | ControlReply::Wait { .. }) => {
                Err(io::Error::other(format!("{others:?} is for the loop of `posgate serve`")))
            }
        }
    }
}

impl Drop for Hall {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(self.directory.join("ctl.sock"));
    }
}

/// Something that ended at a device.
struct Finished {
    station: usize,
    ask: Ask,
    outcome: Outcome,
}

/// What control lines need from the machine.
struct Desk {
    ledger_dir: PathBuf,
}

impl Host for Desk {
    fn addresses(&self) -> Vec<Ipv4Addr> {
        vec![SERVER]
    }

    fn discover(&mut self, _port: u16) -> Result<usize, String> {
        Err("the hall has no network".to_owned())
    }

    fn ledger_dir(&self) -> &Path {
        &self.ledger_dir
    }
}

/// Hands on every line of every client, one client at a time.
fn accept(listener: &UnixListener, heard: &Sender<Heard>) {
    for client in listener.incoming() {
        let Ok(client) = client else { return };
        let Ok(reader) = client.try_clone() else { continue };
        for line in BufReader::new(reader).split(b'\n') {
            let (Ok(line), Ok(answers)) = (line, client.try_clone()) else { break };
            if heard.send(Heard::Line(answers, line)).is_err() {
                return;
            }
        }
    }
}

/// Why the program cannot be run, and the ways out.
pub fn no_program(path: &Path, error: &io::Error) -> io::Error {
    let path = path.display();
    io::Error::new(
        error.kind(),
        format!("{path}: {error}: build it (`cargo build --release`), or name it with --posgate FILE"),
    )
}

fn collect(mail: &mut Vec<(SocketAddrV4, Vec<u8>)>, bag: &Outgoing) {
    mail.extend(bag.iter().map(|(peer, letter)| (peer.source, letter.to_vec())));
}

fn all(problems: &[Problem]) -> io::Error {
    io::Error::other(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}
