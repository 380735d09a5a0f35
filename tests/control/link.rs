//! `posgate link`, as an office's program uses it: every durable entry comes once, whatever is
//! killed; an office does what it may and nothing else; no peer costs more than its own process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tinyjson::JsonValue;

use crate::harness::{Device, PATIENCE, Site, card, posgate};
use crate::tools::{Client, ctl, member, until};

/// An office's end of a stream. It is killed when the value is dropped.
struct Office {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Office {
    fn of(site: &Site, name: &str) -> Self {
        let mut command = posgate();
        command.args(["link", "--office", name, "--config"]).arg(site.path("posgate"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (heard, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if heard.send(line).is_err() {
                    break;
                }
            }
        });
        let stdin = child.stdin.take();
        Self { child, stdin, lines }
    }

    fn send(&mut self, line: &str) {
        let _gone = self.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes());
    }

    /// The next line; pings are passed over.
    #[track_caller]
    fn hear(&mut self) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.starts_with("{\"ping\"") => (),
                Ok(line) => return line,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    #[track_caller]
    fn hello(&mut self) -> JsonValue {
        let line = self.hear();
        assert!(line.starts_with("{\"hello\":1,\"ledger\":\""), "{line}");
        line.parse().unwrap()
    }

    fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.hear()
    }

    fn from(&mut self, ledger: &str, seq: u64, crc: &str) {
        self.send(&format!("{{\"from\":{{\"ledger\":\"{ledger}\",\"seq\":{seq},\"crc\":\"{crc}\"}}}}"));
    }

    fn ack(&mut self, ledger: &str, seq: u64, crc: &str) {
        self.send(&format!("{{\"ack\":{{\"ledger\":\"{ledger}\",\"seq\":{seq},\"crc\":\"{crc}\"}}}}"));
    }

    /// Waits until it has ended; its exit code and what it says at last.
    #[track_caller]
    fn ended(&mut self) -> (Option<i32>, String) {
        let mut code = None;
        until("the stream ends", || {
            code = self.child.try_wait().unwrap().map(|status| status.code());
            code.is_some()
        });
        (code.unwrap(), self.lines.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// What an office has collected: ledger, seq, crc and line of each entry.
#[derive(Default)]
struct Database {
    ledger: String,
    rows: Vec<(String, u64, String, String)>,
}

impl Database {
    fn last(&self) -> (u64, String) {
        self.rows.last().map_or((0, "00000000".to_owned()), |(_, seq, crc, _)| (*seq, crc.clone()))
    }

    /// Takes a line of the stream.
    fn take(&mut self, line: &str) {
        if line.starts_with('{') {
            let hello = line.parse().unwrap_or_else(|error| panic!("{error}: {line}"));
            self.ledger = member(&hello, "ledger");
            return;
        }
        let columns: Vec<&str> = line.split('\t').collect();
        let seq: u64 = columns[0].parse().unwrap();
        assert_eq!(seq, self.last().0 + 1, "each entry once, in order: {line}");
        self.rows.push((self.ledger.clone(), seq, columns[19].to_owned(), line.to_owned()));
    }

    /// Connects and asks for what comes after it.
    fn connect(&self, site: &Site) -> (Office, JsonValue) {
        let mut office = Office::of(site, "hq");
        let hello = office.hello();
        let (seq, crc) = self.last();
        let ledger = if self.ledger.is_empty() { member(&hello, "ledger") } else { self.ledger.clone() };
        office.from(&ledger, seq, &crc);
        (office, hello)
    }
}

#[test]
fn every_durable_entry_comes_once_across_segments_branches_and_kills() {
    let site = Site::with("\toption segment_bytes '4096'\n", "");
    let mut server = site.start();
    let mut database = Database::default();
    let mut terminal = Device::new(1, &server);
    let mut ids = Vec::new();
    for round in 0..4 {
        let (mut office, hello) = database.connect(&site);
        if database.ledger.is_empty() {
            database.ledger = member(&hello, "ledger");
        }
        for sale in 0..15 {
            terminal.pay(&card(1), "0.01");
            if sale == 7 {
                ids.push(member(&hello, "ledger"));
                ctl(&site, &["branch"]).expect(0, &["the ledger goes on as"]);
            }
            if sale == 4 || sale == 11 {
                // As much as is there now.
                let head = Client::of(&site).ask("{\"cmd\":\"head\"}").parse().unwrap();
                let seq: u64 = member(&head, "seq").parse().unwrap();
                while database.last().0 < seq {
                    database.take(&office.hear());
                }
            }
        }
        if round % 2 == 0 {
            drop(office);
        }
        if round == 2 {
            // What is not durable never came; what came is there after a kill.
            server.kill();
            server = site.start();
            terminal = Device::new(1, &server);
        }
    }
    let (mut office, _) = database.connect(&site);
    let head = Client::of(&site).ask("{\"cmd\":\"head\"}").parse().unwrap();
    while database.last().0 < member(&head, "seq").parse().unwrap() {
        database.take(&office.hear());
    }
    // Another that begins with nothing gets the same, with the names of all ledgers.
    let mut whole = Database::default();
    let mut other = Office::of(&site, "other");
    other.hello();
    other.from("0000000000000000", 0, "00000000");
    while whole.last() != database.last() {
        whole.take(&other.hear());
    }
    server.stop();
    assert_eq!(whole.rows, database.rows);
    let ledger = site.ledger();
    let lines: Vec<_> =
        ledger.lines.iter().map(|line| (line.raw("seq").to_owned(), line.raw("crc").to_owned())).collect();
    let came: Vec<_> = whole.rows.iter().map(|(_, seq, crc, _)| (seq.to_string(), crc.clone())).collect();
    assert_eq!(came, lines[..came.len()]);
    let mut names: Vec<&String> = whole.rows.iter().map(|(ledger, ..)| ledger).collect();
    names.dedup();
    assert_eq!(names.len(), 5, "the first and four branches");
    assert_eq!(names.iter().filter(|name| ids.contains(name)).count(), 4);
    let segments = std::fs::read_dir(site.path("ledger")).unwrap().count();
    assert!(segments > 8, "{segments} files: across segments");
}

#[test]
fn what_does_not_continue_is_told_and_the_stream_stays() {
    let site = Site::with("\toption segment_bytes '4096'\n", "");
    let server = site.start();
    let mut terminal = Device::new(1, &server);
    for _ in 0..30 {
        terminal.pay(&card(1), "0.01");
    }
    let ledger = site.ledger();
    let (id, third) = (ledger.header["ledger"].clone(), &ledger.lines[2]);
    let mut office = Office::of(&site, "hq");
    let hello = office.hello();
    assert_eq!((member(&hello, "ledger"), member(&hello, "site")), (id.clone(), "site1".to_owned()));
    for key in ["version", "rules", "parent", "purse", "n", "crc"] {
        member(&hello, key);
    }
    office.from(&id, 3, "deadbeef");
    assert_eq!(office.hear(), "{\"error\":\"diverged\"}");
    office.from(&id, 100_000, "deadbeef");
    assert_eq!(office.hear(), "{\"error\":\"ahead\"}");
    office.from(&id, 3, third.raw("crc"));
    assert!(office.hear().starts_with("4\t"));
    // The first segment is archived.
    let mut names: Vec<_> = std::fs::read_dir(site.path("ledger")).unwrap().map(|file| file.unwrap().path()).collect();
    names.retain(|name| name.to_string_lossy().contains("/ledger-"));
    names.sort();
    std::fs::remove_file(&names[0]).unwrap();
    let first: u64 = names[1].to_string_lossy().split(['-', '.']).rev().nth(1).unwrap().parse().unwrap();
    let mut late = Office::of(&site, "late");
    late.hello();
    late.from(&id, 3, third.raw("crc"));
    assert_eq!(late.hear(), format!("{{\"error\":\"gap\",\"first\":{first}}}"));
    // Its last entry is enough to go on.
    let last = &ledger.lines[usize::try_from(first).unwrap() - 2];
    late.from(&id, first - 1, last.raw("crc"));
    assert!(late.hear().starts_with(&format!("{first}\t")));
    server.stop();
    let (code, _) = office.ended();
    assert_eq!(code, Some(74), "it ends with the server");
    let mut dead = Office::of(&site, "hq");
    assert_eq!(dead.ended(), (Some(74), String::new()), "without a server nothing is sent");
}

#[test]
fn an_office_does_what_it_may_by_its_own_name_and_nothing_else() {
    let site = Site::new();
    let server = site.start();
    let mut office = Office::of(&site, "hq");
    office.hello();
    let topup = format!(
        "{{\"cmd\":\"topup\",\"id\":\"a-1\",\"card\":\"{}\",\"amount\":\"1.00\",\"key\":\"k1\",\"by\":\"boss\"}}",
        card(1)
    );
    let refused = office.ask(&topup);
    assert!(refused.starts_with("{\"id\":\"a-1\",\"ok\":false,\"error\":\"this office may not topup: "), "{refused}");
    assert!(office.ask("{\"id\":7,\"cmd\":\"head\"}").starts_with("{\"id\":7,\"ok\":true,\"ledger\":"));
    // The right comes, and goes, with a reload.
    site.configure("\tlist office_may 'orders'\n", "");
    ctl(&site, &["reload"]).expect(0, &[]);
    let done = office.ask(&topup);
    assert!(done.starts_with("{\"id\":\"a-1\",\"ok\":true,\"again\":false,"), "{done}");
    assert!(office.ask(&topup).contains("\"again\":true"));
    for cmd in ["reload", "sync", "clock-accept", "acknowledge", "discover", "forget-office", "show", "clock"] {
        let line =
            format!("{{\"id\":1,\"cmd\":\"{cmd}\",\"by\":\"li\",\"office\":\"hq\",\"machine\":\"1\",\"text\":\"x\"}}");
        let refused = office.ask(&line);
        assert!(
            refused.starts_with(&format!("{{\"id\":1,\"ok\":false,\"error\":\"an office may not {cmd}")),
            "{refused}"
        );
    }
    // It is no other office, whatever it says.
    let hello = office.ask("{\"id\":1,\"cmd\":\"link\",\"office\":\"other\"}");
    assert!(hello.starts_with("{\"id\":1,\"ok\":true"), "{hello}");
    let lost = format!("{{\"id\":2,\"cmd\":\"lost\",\"card\":\"{}\",\"key\":\"k2\"}}", card(2));
    assert!(office.ask(&lost).starts_with("{\"id\":2,\"ok\":true"));
    assert!(office.ask("{\"id\":3,\"cmd\":\"branch\",\"by\":\"li\"}").starts_with("{\"id\":3,\"ok\":true"));
    site.configure("", "");
    ctl(&site, &["reload"]).expect(0, &[]);
    assert!(office.ask(&lost.replace("k2", "k3")).contains("may not lost"));
    server.stop();
    let ledger = site.ledger();
    for kind in ["topup", "status", "branch"] {
        assert_eq!(ledger.only(kind).detail("by"), Some("office:hq"), "{kind}");
    }
}

#[test]
fn an_acknowledgement_counts_if_the_entry_is_durable_here_and_is_kept_until_forgotten() {
    let site = Site::new();
    let server = site.start();
    Device::new(1, &server).pay(&card(1), "0.01");
    let head = Client::of(&site).ask("{\"cmd\":\"sync\"}");
    assert!(head.contains("\"ok\":true"));
    let head = Client::of(&site).ask("{\"cmd\":\"head\"}").parse().unwrap();
    let [id, seq, crc] = ["ledger", "seq", "crc"].map(|key| member(&head, key));
    let seq: u64 = seq.parse().unwrap();
    for (wrong, word) in [
        ((id.clone(), seq + 5, crc.clone()), "ahead"),
        ((id.clone(), seq, "deadbeef".to_owned()), "diverged"),
        (("00000000deadbeef".to_owned(), seq, crc.clone()), "diverged"),
    ] {
        let mut office = Office::of(&site, "hq");
        office.hello();
        office.ack(&wrong.0, wrong.1, &wrong.2);
        assert_eq!(office.hear(), format!("{{\"error\":\"{word}\",\"of\":\"ack\"}}"));
    }
    assert!(!site.path("ledger/acks/hq").exists());
    let mut office = Office::of(&site, "hq");
    office.hello();
    office.ack(&id, seq, &crc);
    let kept = format!("ledger={id} seq={seq} crc={crc} time=");
    let file = || std::fs::read_to_string(site.path("ledger/acks/hq")).unwrap_or_default();
    until("it is kept", || file().starts_with(&kept));
    let shown = format!("\"offices\":[{{\"name\":\"hq\",\"seq\":{seq},\"age_s\":");
    until("status shows it", || ctl(&site, &["status", "--json"]).out.contains(&shown));
    drop(office);
    server.kill();
    let server = site.start();
    assert!(ctl(&site, &["status", "--json"]).out.contains(&shown), "after a start too");
    ctl(&site, &["office", "forget", "nobody"]).expect(1, &["no office nobody is known here (known: hq)"]);
    ctl(&site, &["office", "remove", "hq"]).expect(64, &["office forget NAME"]);
    ctl(&site, &["office", "forget", "hq"]).expect(0, &["hq is forgotten"]);
    assert!(!site.path("ledger/acks/hq").exists());
    assert!(ctl(&site, &["status", "--json"]).out.contains("\"offices\":[]"));
    // The place where it wants to go on says the same.
    let mut office = Office::of(&site, "hq");
    office.hello();
    office.from(&id, seq, &crc);
    until("it is kept", || file().starts_with(&kept));
    server.stop();
}

#[test]
fn a_new_stream_ends_the_old_one_and_a_stream_that_ends_leaves_nothing() {
    let site = Site::new();
    let server = site.start();
    let mut old = Office::of(&site, "hq");
    old.hello();
    let mut other = Office::of(&site, "other");
    other.hello();
    let mut new = Office::of(&site, "hq");
    new.hello();
    assert_eq!(old.ended().0, Some(74));
    assert!(other.ask("{\"id\":1,\"cmd\":\"head\"}").contains("\"ok\":true"));
    // Its reader has gone; it gets a signal; its writer closes: it ends, and its places are free.
    kill(Pid::from_raw(new.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(new.ended().0, None);
    other.stdin = None;
    assert_eq!(other.ended().0, Some(0));
    // One that asks and closes gets its answers.
    let mut half = Office::of(&site, "hq");
    half.send("{\"id\":1,\"cmd\":\"head\"}\n{\"id\":2,\"cmd\":\"head\"}");
    half.stdin = None;
    half.hello();
    assert!(half.hear().starts_with("{\"id\":1,") && half.hear().starts_with("{\"id\":2,"));
    assert_eq!(half.ended().0, Some(0));
    until("all places are free", || {
        let mut clients: Vec<Client> = (0..32).map(|_| Client::of(&site)).collect();
        clients.iter_mut().all(|client| client.ask("{\"cmd\":\"sync\"}").starts_with("{\"ok\":true"))
    });
    server.stop();
}

/// Resident memory of a process in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn hostile_peers_end_and_one_that_never_reads_costs_its_own_process_a_bounded_amount() {
    let site = Site::new();
    let server = site.start();
    let mut terminal = Device::new(1, &server);
    for (line, told) in [
        ("garbage", "send one JSON object a line"),
        ("[]", "send one JSON object a line"),
        ("{\"cmd\":\"head\"}", "a command with an id"),
        ("{\"from\":{\"seq\":1}}", "from needs ledger"),
        ("{\"ack\":7}", "ack is no object"),
    ] {
        let mut office = Office::of(&site, "hq");
        office.hello();
        assert!(office.ask(line).contains(told), "{line}");
        assert_eq!(office.ended().0, Some(74), "{line}");
    }
    let mut endless = Office::of(&site, "hq");
    endless.hello();
    let _gone = endless.stdin.as_mut().unwrap().write_all(&vec![b'{'; 10_000_000]);
    let (code, told) = endless.ended();
    assert!(code == Some(74) && told.contains("longer than 4096 bytes"), "{told}");
    // Asks for the longest answers, and reads none.
    let mut command = posgate();
    command.args(["link", "--office", "slow", "--config"]).arg(site.path("posgate"));
    let mut slow = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = slow.stdin.take().unwrap();
    let writer = std::thread::spawn(move || while stdin.write_all(b"{\"id\":1,\"cmd\":\"cards\"}\n").is_ok() {});
    for _ in 0..200 {
        terminal.pay(&card(2), "0.01");
    }
    let resident = resident(slow.id());
    assert!(resident < 16_000, "{resident} KiB");
    slow.kill().unwrap();
    slow.wait().unwrap();
    writer.join().unwrap();
    let ended = server.stop();
    assert!(ended.out.contains("approved=200 declined=0"), "{}", ended.out);
    assert!(!ended.out.contains("duplicates="), "no terminal waited: {}", ended.out);
}

/// A stream whose pipe holds little, so that it soon waits for its reader, who reads nothing.
fn unread(site: &Site, name: &str) -> (Child, ChildStdin) {
    let mut command = posgate();
    command.args(["link", "--office", name, "--config"]).arg(site.path("posgate"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    fcntl(child.stdout.as_ref().unwrap(), FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

#[test]
fn a_peer_that_catches_up_slowly_is_heard_meanwhile() {
    let site = Site::with("\tlist office_may 'orders'\n", "");
    let server = site.start();
    let mut terminal = Device::new(1, &server);
    let path = site.path("ledger/ledger.tsv");
    while std::fs::metadata(&path).unwrap().len() < 100_000 {
        terminal.pay(&card(1), "0.01");
    }
    let (mut slow, mut stdin) = unread(&site, "slow");
    let mut out = slow.stdout.take().unwrap();
    let mut byte = [0];
    while byte != *b"\n" {
        out.read_exact(&mut byte).unwrap();
    }
    stdin.write_all(b"{\"from\":{\"ledger\":\"0000000000000000\",\"seq\":0,\"crc\":\"00000000\"}}\n").unwrap();
    until("entries wait for the reader", || {
        let mut fds = [PollFd::new(out.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() > 0
    });
    let lost = format!("{{\"id\":1,\"cmd\":\"lost\",\"card\":\"{}\",\"key\":\"k1\"}}\n", card(2));
    stdin.write_all(lost.as_bytes()).unwrap();
    until("its order is given", || ctl(&site, &["card", &card(2), "--json"]).out.contains("\"marks\":[\"lost\""));
    slow.kill().unwrap();
    slow.wait().unwrap();
    server.stop();
}

#[test]
fn an_acknowledgement_that_has_to_wait_turns_no_circles_and_one_before_the_end_is_kept() {
    let site = Site::new();
    let server = site.start();
    let head = Client::of(&site).ask("{\"cmd\":\"head\"}").parse().unwrap();
    let [id, seq, crc] = ["ledger", "seq", "crc"].map(|key| member(&head, key));
    let mut busy = Office::of(&site, "busy");
    busy.hello();
    let from = format!("{{\"from\":{{\"ledger\":\"{id}\",\"seq\":{seq},\"crc\":\"{crc}\"}}}}");
    let wait = "{\"id\":1,\"cmd\":\"wait\",\"after\":1000000}";
    busy.send(&[[from.as_str()].as_slice(), &[wait; 8]].concat().join("\n"));
    std::thread::sleep(Duration::from_secs(3));
    let spent = std::fs::read_to_string(format!("/proc/{}/stat", busy.child.id())).unwrap();
    let ticks: u64 = spent.split(' ').skip(13).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    assert!(ticks < 40, "{ticks} hundredths of a second in three seconds");
    drop(busy);
    let mut brief = Office::of(&site, "brief");
    brief.hello();
    brief.ack(&id, 0, "00000000");
    until("the first is kept", || site.path("ledger/acks/brief").exists());
    brief.ack(&id, seq.parse().unwrap(), &crc);
    brief.stdin = None;
    assert_eq!(brief.ended(), (Some(0), String::new()));
    let shown = format!("{{\"name\":\"brief\",\"seq\":{seq},");
    assert!(ctl(&site, &["status", "--json"]).out.contains(&shown));
    let mut wrong = Office::of(&site, "brief");
    wrong.hello();
    wrong.send(&format!("{{\"ack\":{{\"ledger\":\"{id}\",\"seq\":{seq},\"crc\":\"{crc}\",\"cmd\":\"sync\"}}}}"));
    assert_eq!(wrong.hear(), "{\"error\":\"malformed\",\"of\":\"ack\"}");
    server.stop();
}

#[test]
fn a_stream_pings_and_ends_after_half_a_minute_of_silence() {
    let site = Site::new();
    let server = site.start();
    let mut silent = Office::of(&site, "hq");
    silent.hello();
    let patience = Duration::from_secs(15);
    let mut pings = 0;
    let told = loop {
        let line = silent.lines.recv_timeout(patience).unwrap();
        if !line.starts_with("{\"ping\":1}") {
            break line;
        }
        pings += 1;
    };
    assert!(pings >= 2, "{pings} pings");
    assert!(told.contains("silent"), "{told}");
    assert_eq!(silent.ended().0, Some(74));
    server.stop();
}
