//! Media that fail: no room, read-only, gone. What was answered stays; the process ends with 74 and says why; and once the medium is
//! good again a start goes on. (The simulation of `server` and `ledger` fails single writes and syncs; here it is the kernel.)
//!
//! Mounting needs root and `unshare -m`: each such test runs itself again in a mount namespace of its own. Without them it says that
//! it was not run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;

use crate::harness::{Server, Site};
use crate::terminal::{Stopped, Terminal, assert_kept, rich_cards};

const TERMINALS: u32 = 8;

/// A server that gives as many answers does not notice what it should.
const ANSWERS_MAX: usize = 20_000;

/// Set in the process that is inside the namespace.
const INSIDE: &str = "POSGATE_CRASH_NAMESPACE";

/// Whether this process may mount. If not, the test is run once more, where it may.
fn may_mount(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let unshare = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let probe = "d=$(mktemp -d) && mount -t tmpfs none $d && umount $d; s=$?; rmdir $d; exit $s";
    if !unshare(Command::new("unshare").args(["-m", "sh", "-c", probe])) {
        println!("NOT RUN: {test} needs root and `unshare -m` to mount a tmpfs of its own");
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
fn mount(arguments: &[&str], at: &Path) {
    let output = Command::new("mount").args(arguments).arg(at).output().expect("mount runs");
    assert!(output.status.success(), "mount {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Unmounts at the end, so that the test's directory can be removed.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// A site whose ledger lies in a tmpfs with these options.
fn site_in_tmpfs(options: &str) -> (Site, Mounted) {
    let doors: String = (1..=TERMINALS)
        .map(|machine| format!("config door\n\toption machine '{machine}'\n\toption door '1'\n"))
        .collect();
    let site = Site::with("", &doors);
    site.write("cards.csv", &rich_cards());
    std::fs::create_dir(site.path("ledger")).unwrap();
    mount(&["-t", "tmpfs", "-o", options, "tmpfs"], &site.path("ledger"));
    let mounted = Mounted(site.path("ledger"));
    (site, mounted)
}

fn terminals() -> Vec<Terminal> {
    (1..=TERMINALS).map(Terminal::new).collect()
}

/// All of them go on until the server is gone. `then` is called after each answer with their number. Says how many were refused.
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

#[test]
fn a_full_file_system_loses_nothing_and_a_start_with_room_goes_on() {
    if !may_mount("media::a_full_file_system_loses_nothing_and_a_start_with_room_goes_on") {
        return;
    }
    let (site, _mounted) = site_in_tmpfs("size=128k");
    let mut terminals = terminals();
    let server = site.start();
    trade(&mut terminals, &server, |_| ());
    let ended = server.end();
    ended.expect(74, &[], &["ledger-0000000001.tsv", "No space left"]);
    assert_kept(&site.ledger(), &terminals);
    let answered: usize = terminals.iter().map(|terminal| terminal.answered.len()).sum();
    assert!(answered > 50, "{answered}");

    // Without room a start fails in the same way, and harms nothing.
    let again = site.spawn(&[]).end();
    again.expect(74, &[], &["No space left"]);
    assert_kept(&site.ledger(), &terminals);

    mount(&["-o", "remount,size=8m"], &site.path("ledger"));
    let server = site.start();
    trade(&mut terminals, &server, kill_after(&server, 400));
    server.end();
    let ledger = site.ledger();
    assert_kept(&ledger, &terminals);
    let after: usize = terminals.iter().map(|terminal| terminal.answered.len()).sum();
    println!(
        "full: {answered} answers until 128 KiB were full, {after} after room was made, {} entries",
        ledger.lines.len()
    );
    site.start().stop();
    site.run(&["ledger", "verify", "--config", "CONFIG"]).expect(0, &["clean"], &[]);
}

#[test]
fn a_read_only_file_system_is_said_and_a_writable_one_serves_again() {
    if !may_mount("media::a_read_only_file_system_is_said_and_a_writable_one_serves_again") {
        return;
    }
    let (site, _mounted) = site_in_tmpfs("size=8m");
    let mut terminals = terminals();
    let server = site.start();
    // The kernel makes nothing read-only that is open for writing.
    trade(&mut terminals, &server, kill_after(&server, 100));
    server.end();
    mount(&["-o", "remount,ro"], &site.path("ledger"));
    let before = std::fs::read(site.segment()).unwrap();
    site.spawn(&[]).end().expect(74, &[], &["Read-only file system", "ledger"]);
    assert_eq!(std::fs::read(site.segment()).unwrap(), before);
    assert!(site.run(&["ledger", "verify", "--config", "CONFIG"]).code.unwrap() <= 1, "verify needs to write nothing");
    mount(&["-o", "remount,rw"], &site.path("ledger"));
    let server = site.start();
    trade(&mut terminals, &server, kill_after(&server, 100));
    server.end();
    assert_kept(&site.ledger(), &terminals);
}

#[test]
fn a_directory_that_vanishes_ends_the_service_before_anything_else_is_answered() {
    let doors: String = (1..=TERMINALS)
        .map(|machine| format!("config door\n\toption machine '{machine}'\n\toption door '1'\n"))
        .collect();
    let site = Site::with("", &doors);
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
