//! Media that fail: no room, read-only, gone. What was answered stays. The process ends with 74 and
//! says why; a start where nothing can be written opens doors, and leaves with 74 once it can; and
//! once the medium is good again a start goes on. (The simulation of `server` and `ledger` fails
//! single writes and syncs; here it is the kernel.)
//!
//! Mounting needs root and `unshare -m`: each such test runs itself again in a mount namespace of
//! its own. Without them it says that it was not run, which fails where all must run.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::harness::{Device, Reply, Server, Site, card, read_reply};
use crate::not_run::not_run;
use crate::terminal::{Stopped, Terminal, assert_kept, doors_of, rich_cards};

const TERMINALS: u32 = 8;

/// A server that gives as many answers does not notice what it should.
const ANSWERS_MAX: usize = 20_000;

/// Set in the process that is inside the namespace.
const INSIDE: &str = "POSGATE_CRASH_NAMESPACE";

/// Whether this process may mount. If not, the test is run once more, where it may.
pub fn may_mount(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let unshare = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let probe = "d=$(mktemp -d) && mount -t tmpfs none $d && umount $d; s=$?; rmdir $d; exit $s";
    if !unshare(Command::new("unshare").args(["-m", "sh", "-c", probe])) {
        not_run(&format!("{test} needs root and `unshare -m` to mount a tmpfs of its own"));
        return false;
    }
    let test_binary = std::env::current_exe().expect("this program");
    let mut inside = Command::new("unshare");
    inside.arg("-m").arg(test_binary).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let output = inside.output().expect("it runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    print!("{}", said(&output.stdout));
    assert!(output.status.success(), "{}\n{}", said(&output.stdout), said(&output.stderr));
    assert!(said(&output.stdout).contains("1 passed"), "the name of the test is {test}: {}", said(&output.stdout));
    false
}

#[track_caller]
pub fn mount(arguments: &[&str], at: &Path) {
    let output = Command::new("mount").args(arguments).arg(at).output().expect("mount runs");
    assert!(output.status.success(), "mount {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Unmounts at the end, so that the test's directory can be removed.
pub struct Mounted(pub PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// A site whose ledger lies in a tmpfs with these options.
fn site_in_tmpfs(options: &str) -> (Site, Mounted) {
    let site = Site::with("", &doors_of(TERMINALS));
    site.write("cards.csv", &rich_cards());
    std::fs::create_dir(site.path("ledger")).unwrap();
    mount(&["-t", "tmpfs", "-o", options, "tmpfs"], &site.path("ledger"));
    let mounted = Mounted(site.path("ledger"));
    (site, mounted)
}

fn terminals() -> Vec<Terminal> {
    (1..=TERMINALS).map(Terminal::new).collect()
}

/// All of them go on until the server is gone. `then` is called after each answer with their
/// number. Says how many were refused.
fn trade(terminals: &mut [Terminal], server: &Server, mut then: impl FnMut(usize)) -> usize {
    let (sender, answers) = channel();
    std::thread::scope(|scope| {
        let running: Vec<_> = terminals
            .iter_mut()
            .map(|terminal| {
                let (sender, port) = (sender.clone(), server.port);
                scope.spawn(move || {
                    terminal.turn_to(port);
                    terminal.go_on(&sender)
                })
            })
            .collect();
        drop(sender);
        let mut count = 0;
        while answers.recv().is_ok() {
            count += 1;
            then(count);
            if count == ANSWERS_MAX {
                kill_after(server, count)(count);
            }
        }
        running.into_iter().map(|thread| thread.join().unwrap()).filter(|stopped| *stopped != Stopped::Gone).count()
    })
}

/// What a frame leads to, sent again as devices do until there is a decision of this code or
/// another, and confirmed: an answer that is sent again later must not pass for the next frame's.
/// Every approval that is heard is noted: it names the balance, so only a resend is the same.
fn decision(device: &mut Device, frame: &str, approvals: &mut BTreeSet<String>) -> String {
    let ack = format!("001,{}", frame.split(',').nth(1).expect("a seq"));
    let mut heard = Vec::new();
    for _ in 0..5 {
        device.send(frame);
        heard.extend(device.heard_so_far());
        // Whatever stands before this frame's first 001 answers an older one.
        let heard_since = heard.iter().skip_while(|reply| reply.text != ack);
        let is_decision = |reply: &&Reply| matches!(reply.code(), "006" | "008" | "050" | "051");
        if let Some(reply) = heard_since.filter(is_decision).last() {
            let code = reply.code().to_owned();
            let of_sales = heard.iter().filter(|reply| reply.code() == "008");
            approvals.extend(of_sales.map(|reply| reply.text.clone()));
            device.confirm();
            return code;
        }
    }
    panic!("no decision: {frame}");
}

/// A door is asked for; gives the frame if nobody decides it, because the server is gone.
fn open_if_served(door: &mut Device) -> Result<(), String> {
    let frame = door.access(&card(2), 0, "");
    let ack = format!("001,{:05}", door.seq);
    door.socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut is_heard = false;
    while door.socket.send(frame.as_bytes()).is_ok() {
        let mut buffer = [0; 2048];
        loop {
            let reply = match door.socket.recv(&mut buffer) {
                Ok(len) => read_reply(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return Err(frame),
            };
            is_heard |= reply.text == ack;
            if is_heard && reply.code() == "050" {
                let confirm = door.frame("109", "").replace(",,", ",");
                let _lost = door.socket.send(confirm.as_bytes());
                return Ok(());
            }
        }
    }
    Err(frame)
}

/// Room was made, or the medium can be written again: with the frames that come the server finds
/// it, and leaves.
fn leaves_for_the_next_start(server: Server, door: &mut Device) {
    while open_if_served(door).is_ok() {}
    server.end().expect(74, &[], &["the ledger can be written again, after a restart"]);
}

#[test]
fn a_full_file_system_refuses_sales_and_opens_doors_and_with_room_it_goes_on() {
    if !may_mount("media::a_full_file_system_refuses_sales_and_opens_doors_and_with_room_it_goes_on") {
        return;
    }
    let (site, _mounted) = site_in_tmpfs("size=1m");
    let (filler, stuffing) = (site.path("ledger/filler"), site.path("ledger/stuffing"));
    let server = site.start();
    let (mut till, mut door) = (Device::new(1, &server), Device::new(2, &server));
    let mut approvals = BTreeSet::new();
    let mut sell = |till: &mut Device| {
        let frame = till.charge(&card(1), "0.01");
        decision(till, &frame, &mut approvals)
    };
    let open = |door: &mut Device| {
        let frame = door.access(&card(2), 0, "");
        decision(door, &frame, &mut BTreeSet::new())
    };
    assert_eq!((sell(&mut till), open(&mut door)), ("008".to_owned(), "050".to_owned()));

    // Only the reserve is left: it is asked for once a second.
    std::fs::write(&filler, vec![b'x'; 900 * 1024]).unwrap();
    while sell(&mut till) == "008" {}
    server.wait_for_trouble("only the reserve is left");
    let admitted = site.ledger().count("admit");
    assert_eq!(open(&mut door), "050");
    assert_eq!(site.ledger().count("admit"), admitted + 1, "with its entry");

    // Nothing is left but the rest of a page: it ends.
    let mut rest = std::fs::File::create(&stuffing).unwrap();
    while rest.write_all(&[b'x'; 1024]).is_ok() {}
    let mut opened = 0;
    let last = loop {
        match open_if_served(&mut door) {
            Ok(()) => opened += 1,
            Err(frame) => break frame,
        }
    };
    server.end().expect(74, &[], &["No space left on device"]);
    site.run(&["ledger", "verify", "--config", "CONFIG"]).expect(0, &["clean"], &[]);

    // The next start finds out: doors open by the table, and that is all.
    let server = site.start();
    server.wait_for_trouble("nothing can be written");
    till.turn_to(&server);
    door.turn_to(&server);
    assert_eq!(decision(&mut door, &last, &mut BTreeSet::new()), "050", "asked again");
    let before = std::fs::read(site.segment()).unwrap();
    for _ in 0..3 {
        assert_eq!((open(&mut door), sell(&mut till)), ("050".to_owned(), "006".to_owned()));
    }
    assert!(site.path("ledger/room.tmp").metadata().is_err(), "the trial is gone");
    assert_eq!(std::fs::read(site.segment()).unwrap(), before, "nothing is touched");

    // With room it leaves, and the next one goes on.
    std::fs::remove_file(&filler).unwrap();
    std::fs::remove_file(&stuffing).unwrap();
    leaves_for_the_next_start(server, &mut door);
    let server = site.start();
    till.turn_to(&server);
    assert_eq!(sell(&mut till), "008");
    server.stop();
    assert_eq!(site.ledger().count("charge"), approvals.len(), "what was approved, and nothing else");
    site.run(&["ledger", "verify", "--config", "CONFIG"]).expect(0, &["clean"], &[]);
    let sold = approvals.len();
    println!("full: {sold} sales, {opened} doors until nothing could be written");
}

#[test]
fn a_start_on_a_full_file_system_opens_doors_and_mends_the_ledger_when_there_is_room() {
    if !may_mount("media::a_start_on_a_full_file_system_opens_doors_and_mends_the_ledger_when_there_is_room") {
        return;
    }
    let (site, _mounted) = site_in_tmpfs("size=1m");
    let filler = site.path("ledger/filler");
    let fill = || {
        let mut file = std::fs::File::create(&filler).unwrap();
        while file.write_all(&[b'x'; 4096]).is_ok() {}
    };
    // The very first start has no ledger to go on with.
    fill();
    let error = "make some in the file system of";
    site.spawn(&[]).end().expect(74, &[], &["No space left on device", error]);
    std::fs::remove_file(&filler).unwrap();

    let server = site.start();
    let (mut till, mut door) = (Device::new(1, &server), Device::new(2, &server));
    let mut approvals = BTreeSet::new();
    let frame = till.charge(&card(1), "0.01");
    assert_eq!(decision(&mut till, &frame, &mut approvals), "008");
    server.stop();
    // A power cut left half a line, and the disk is full before the next start.
    let segment = site.segment();
    let half = b"9999\t2026-11-22T12:00:0";
    std::fs::OpenOptions::new().append(true).open(&segment).unwrap().write_all(half).unwrap();
    let found = std::fs::read(&segment).unwrap();
    fill();
    let server = site.start();
    server.wait_for_trouble("nothing is written, and the ledger's end stays as it is");
    till.turn_to(&server);
    door.turn_to(&server);
    let frame = till.charge(&card(1), "0.01");
    assert_eq!(decision(&mut till, &frame, &mut approvals), "006");
    let frame = door.access(&card(2), 0, "");
    assert_eq!(decision(&mut door, &frame, &mut BTreeSet::new()), "050");
    let enquiry = till.frame("102", &card(1));
    till.ask(&enquiry, "009");
    assert_eq!(std::fs::read(&segment).unwrap(), found, "nothing is touched");
    std::fs::remove_file(&filler).unwrap();
    leaves_for_the_next_start(server, &mut door);
    let server = site.start();
    till.turn_to(&server);
    let frame = till.charge(&card(1), "0.01");
    assert_eq!(decision(&mut till, &frame, &mut approvals), "008");
    assert_eq!(decision(&mut till, &frame, &mut approvals), "008", "the same again");
    server.stop();
    let ledger = site.ledger();
    assert_eq!((ledger.count("start"), ledger.count("charge"), ledger.torn), (2, approvals.len(), 0));
    assert_eq!(std::fs::read(segment.with_extension("tsv.torn")).unwrap(), half);
    site.run(&["ledger", "verify", "--config", "CONFIG"]).expect(0, &["clean"], &[]);
}

#[test]
fn a_read_only_file_system_opens_doors_and_a_writable_one_serves_again() {
    if !may_mount("media::a_read_only_file_system_opens_doors_and_a_writable_one_serves_again") {
        return;
    }
    let (site, _mounted) = site_in_tmpfs("size=8m");
    let remount = |how| mount(&["-o", how], &site.path("ledger"));
    // Where there is no ledger yet none can be begun.
    remount("remount,ro");
    let said = "there is no ledger yet";
    site.spawn(&[]).end().expect(74, &[], &["Read-only file system", said]);
    remount("remount,rw");
    let mut terminals = terminals();
    let server = site.start();
    // The kernel makes nothing read-only that is open for writing.
    trade(&mut terminals, &server, kill_after(&server, 100));
    server.end();
    remount("remount,ro");
    let before = std::fs::read(site.segment()).unwrap();
    let server = site.start();
    server.wait_for_trouble("Read-only file system");
    server.wait_for_trouble("nothing can be written");
    site.spawn(&[]).end().expect(74, &[], &["another posgate serves"]);
    let (mut till, mut door) = (Device::new(101, &server), Device::new(2, &server));
    let frame = till.charge(&card(1), "0.01");
    assert_eq!(decision(&mut till, &frame, &mut BTreeSet::new()), "006");
    let frame = door.access(&card(2), 0, "");
    assert_eq!(decision(&mut door, &frame, &mut BTreeSet::new()), "050");
    site.run(&["ctl", "topup", &card(1), "1.00", "--by", "li", "--config", "CONFIG"]).expect(
        1,
        &[],
        &["nothing can be written"],
    );
    assert_eq!(std::fs::read(site.segment()).unwrap(), before);
    assert!(site.run(&["ledger", "verify", "--config", "CONFIG"]).code.unwrap() <= 1, "verify needs to write nothing");
    // A table that cannot be kept as a good copy is taken all the same.
    site.write("cards.csv", &format!("{}9999999999,,\n", rich_cards()));
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.wait_for_trouble("good-copy failed");
    remount("remount,rw");
    leaves_for_the_next_start(server, &mut door);
    let server = site.start();
    trade(&mut terminals, &server, kill_after(&server, 100));
    server.end();
    assert_kept(&site.ledger(), &terminals);
}

#[test]
fn a_directory_that_vanishes_ends_the_service_before_anything_else_is_answered() {
    let site = Site::with("", &doors_of(TERMINALS));
    site.write("cards.csv", &rich_cards());
    let mut terminals = terminals();
    let server = site.start();
    let (here, gone) = (site.path("ledger"), site.path("gone"));
    trade(&mut terminals, &server, |count| {
        if count == 100 {
            std::fs::rename(&here, &gone).unwrap();
        }
    });
    server.end().expect(74, &[], &["ledger-0000000001.tsv", "is not there any more"]);
    assert!(!here.exists(), "nothing was begun in its place");
    std::fs::rename(&gone, &here).unwrap();
    assert_kept(&site.ledger(), &terminals);
    let server = site.start();
    trade(&mut terminals, &server, kill_after(&server, 100));
    server.end();
    assert_kept(&site.ledger(), &terminals);
}

#[test]
fn a_medium_that_is_pulled_out_ends_the_service() {
    if !may_mount("media::a_medium_that_is_pulled_out_ends_the_service") {
        return;
    }
    let (site, _mounted) = site_in_tmpfs("size=8m");
    let mut terminals = terminals();
    let server = site.start();
    let ledger = site.path("ledger");
    trade(&mut terminals, &server, |count| {
        if count == 100 {
            let output = Command::new("umount").arg("-l").arg(&ledger).output().expect("umount runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    });
    server.end().expect(74, &[], &["ledger-0000000001.tsv", "is not there any more"]);
    assert_eq!(std::fs::read_dir(&ledger).unwrap().count(), 0, "nothing was begun in its place");
}

/// Kills the server after so many answers.
fn kill_after(server: &Server, answers: usize) -> impl FnMut(usize) + use<> {
    let pid = nix::unistd::Pid::from_raw(server.pid().try_into().expect("a process"));
    move |count| {
        if count == answers {
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it lives");
        }
    }
}
