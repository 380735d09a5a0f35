//! `posgate ledger move DIR`: killed or failed before any of its system calls, a start finds one
//! whole ledger, and the command, given again, ends as if nothing had happened. And everything that
//! it refuses.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::harness::{Device, Ended, Site, card, posgate};
use crate::media::{Mounted, may_mount, mount};
use crate::not_run::not_run;

/// A site that was served, with all that a ledger's directory may hold: several segments, a
/// snapshot, what was archived, cut and put there by people.
fn served() -> Site {
    let site = Site::new();
    let server = site.start();
    let mut till = Device::new(1, &server);
    till.pay(&card(1), "1.00");
    site.run(&["ctl", "branch", "--by", "wang", "--config", "CONFIG"]).expect(0, &[], &[]);
    till.pay(&card(1), "2.00");
    server.stop();
    let config = fs::read_to_string(site.path("posgate")).unwrap();
    let config = config.replace("'ledger'\n", "'ledger'   # 账本 on flash\n");
    site.write("posgate", &format!("# by hand; it's ours\n{config}\n# the end\n"));
    site.write("ledger/archived.txt", "first=1 last=2 dir=/mnt/usb\n");
    site.write("ledger/ledger-0000000001.tsv.torn", "1\t20");
    fs::create_dir_all(site.path("ledger/notes/old")).unwrap();
    site.write("ledger/notes/old/why.txt", "moved in 2026");
    fs::set_permissions(site.path("ledger/notes"), Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(site.path("ledger/archived.txt"), Permissions::from_mode(0o600)).unwrap();
    site
}

/// What lies below a directory: bytes, mode and owner of each file, without the lock and the mark.
fn contents(dir: &Path) -> BTreeMap<String, (Vec<u8>, u32, u32)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if name == "lock" || name == "moved.txt" {
            continue;
        }
        let bytes = match metadata.file_type() {
            kind if kind.is_dir() => Vec::new(),
            kind if kind.is_symlink() => fs::read_link(&path).unwrap().to_str().unwrap().into(),
            _ => fs::read(&path).unwrap(),
        };
        if metadata.is_dir() {
            found.extend(contents(&path).into_iter().map(|(inner, of)| (format!("{name}/{inner}"), of)));
        }
        found.insert(name, (bytes, metadata.mode(), metadata.uid()));
    }
    found
}

fn copy_all(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

fn move_to(site: &Site, to: &Path, more: &[&str]) -> Ended {
    let words = ["ledger", "move", to.to_str().unwrap(), "--config", "CONFIG"];
    site.run(&[&words, more].concat())
}

fn config(site: &Site) -> String {
    fs::read_to_string(site.path("posgate")).unwrap()
}

/// The server's log of a start and a stop: no branch, no warning that it is an older copy.
fn serves(site: &Site) {
    let server = site.start();
    Device::new(1, &server).pay(&card(1), "1.00");
    let ended = server.stop();
    assert!(!ended.err.contains("branch"), "{}", ended.err);
}

#[test]
fn a_ledger_goes_to_another_directory_whole_and_no_server_starts_on_the_old_one() {
    let site = served();
    let (old, new) = (site.path("ledger"), site.path("usb/posgate"));
    let (before, text) = (contents(&old), config(&site));
    let ledger = site.ledger().header["ledger"].clone();
    let _socket = UnixListener::bind(old.join("left.sock")).unwrap();
    let named = format!("option ledger_dir '{}'", new.display());
    move_to(&site, &new, &[]).expect(0, &["read them again: seq=", &named, "is kept", "--remove-old --config "], &[]);
    // Everything is there, with its mode and owner; the configuration changed in one value.
    let mut after = contents(&new);
    let good = String::from_utf8(after.remove("good/config").unwrap().0).unwrap();
    assert!(good.contains(&named), "{good}");
    let mut expected = before.clone();
    expected.remove("good/config");
    assert_eq!(after.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert_eq!(after, expected);
    assert_eq!(config(&site), text.replace("option ledger_dir 'ledger'", &named));
    assert!(config(&site).contains("# 账本 on flash"));
    assert_eq!(fs::read_to_string(site.path("identity.dir")).unwrap(), new.to_str().unwrap());
    fs::remove_file(old.join("left.sock")).unwrap();
    assert_eq!(contents(&old), before, "the old one is as it was");
    // It is the same ledger, not a branch.
    serves(&site);
    let served = crate::harness::Ledger::read(&new.join(site.segment().file_name().unwrap()));
    assert_eq!(served.header["ledger"], ledger);
    // The old one, if a backup of the configuration names it again.
    let moved = config(&site);
    site.write("posgate", &text);
    let words = ["was moved to", new.to_str().unwrap(), "option ledger_dir", "moved.txt"];
    for command in ["serve", "check"] {
        site.run(&[command, "--config", "CONFIG"]).expect(78, &[], &words);
    }
    move_to(&site, &site.path("third"), &[]).expect(78, &[], &words);
    site.run(&["ledger", "move", "--config", "CONFIG"]).expect(78, &[], &words);
    assert_eq!(contents(&old), before);
    // Whoever wants it all the same is told that it is an older copy.
    let copy = site.path("copy");
    copy_all(&old, &copy);
    fs::remove_file(copy.join("moved.txt")).unwrap();
    site.write("posgate", &text.replace("'ledger'", "'copy'"));
    site.run(&["check", "--config", "CONFIG"]).expect(0, &["branch (rolled-back"], &[]);
    site.write("posgate", &moved);
    // Given again it says the same; a day later the old one goes, while the server runs.
    move_to(&site, &new, &[]).expect(0, &["is kept", "--remove-old"], &[]);
    let server = site.start();
    move_to(&site, &new, &["--remove-old"]).expect(0, &["is removed"], &[]);
    server.stop();
    assert!(!old.exists() && !new.join("moved.txt").exists());
    move_to(&site, &new, &["--remove-old"]).expect(0, &["nothing is left to remove"], &[]);
    move_to(&site, &new, &[]).expect(78, &[], &["nothing is to be moved"]);
    serves(&site);
    site.run(&["ledger", "verify", "--config", "CONFIG"]).expect(0, &["clean"], &[]);
}

#[test]
fn a_broken_configuration_after_a_move_is_served_from_the_copy_beside_the_ledger() {
    let site = served();
    let new = site.path("usb");
    move_to(&site, &new, &[]).expect(0, &[], &[]);
    site.write("posgate", "");
    let server = site.start();
    server.wait_for_trouble("degraded serving=");
    Device::new(1, &server).pay(&card(1), "1.00");
    server.stop();
    assert_ne!(contents(&new), contents(&site.path("ledger")), "the new one grew");
}

#[test]
fn a_configuration_that_names_the_new_directory_already_is_no_way_to_two_ledgers() {
    let site = served();
    let new = site.path("usb");
    let text = config(&site).replace("'ledger'", &format!("'{}'", new.display()));
    site.write("posgate", &text);
    let remedy = format!("`posgate ledger move {}`", new.display());
    site.run(&["serve", "--config", "CONFIG"]).expect(78, &[], &["no ledger is here", &remedy]);
    move_to(&site, &new, &["--remove-old"]).expect(0, &["copied", "is removed"], &[]);
    assert_eq!(config(&site), text);
    serves(&site);
}

#[test]
fn it_waits_for_a_server_that_is_stopping_and_refuses_beside_one_that_is_not() {
    let site = served();
    let new = site.path("usb");
    let server = site.start();
    let ended = std::thread::scope(|scope| {
        let mut words = posgate();
        words.args(["ledger", "move"]).arg(&new).arg("--config").arg(site.path("posgate"));
        words.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = words.spawn().unwrap();
        let mut err = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut err, &mut line).unwrap();
        assert!(line.contains("waiting until it has stopped"), "{line}");
        assert!(!new.exists(), "nothing is done beside a server");
        let stopping = scope.spawn(|| server.stop());
        let output = child.wait_with_output().unwrap();
        stopping.join().unwrap();
        Ended::of(&output)
    });
    ended.expect(0, &["copied"], &[]);
    serves(&site);
    let server = site.start();
    let third = site.path("third");
    move_to(&site, &third, &[]).expect(74, &[], &["waiting", "another posgate serves from this ledger: stop it first"]);
    assert!(!third.exists());
    server.stop();
}

#[test]
fn what_cannot_be_the_new_directory_is_refused_with_the_remedy_and_nothing_is_done() {
    let site = served();
    let (old, text) = (site.path("ledger"), config(&site));
    let before = contents(&old);
    fs::create_dir_all(site.path("full/lost+found")).unwrap();
    fs::create_dir(site.path("empty")).unwrap();
    site.write("file", "");
    symlink(site.path("empty"), site.path("link")).unwrap();
    symlink(site.path("nowhere"), site.path("dangling")).unwrap();
    symlink(&old, site.path("self")).unwrap();
    for (dir, code, words) in [
        ("ledger", 78, &["the ledger lies there already"][..]),
        ("./ledger/", 78, &["the ledger lies there already"]),
        ("self", 78, &["the ledger lies there already"]),
        ("ledger/inside/deep", 78, &["inside the ledger's directory", "name one outside"]),
        ("self/inside", 78, &["inside the ledger's directory"]),
        ("full", 78, &["not empty", "lost+found", "full/posgate"]),
        ("", 78, &["not empty"]),
        ("file", 78, &["no directory"]),
        ("file/x", 74, &["look at", "file/x"]),
        ("link", 78, &["a link to", "empty", "name that directory itself"]),
        ("dangling", 78, &["a link to", "nowhere"]),
        ("usb/../other", 64, &["whole path", "without `..`"]),
        ("a\nb", 64, &["whole path"]),
    ] {
        let to = format!("{}/{dir}", site.path("").display());
        let words: Vec<&str> = words.to_vec();
        site.run(&["ledger", "move", &to, "--config", "CONFIG"]).expect(code, &[], &words);
        assert_eq!((config(&site), contents(&old)), (text.clone(), before.clone()), "{dir}");
        assert!(!old.join("moved.txt").exists() && !old.join("inside").exists(), "{dir}");
        assert_eq!(fs::read_dir(site.path("empty")).unwrap().count(), 0, "{dir}");
    }
    let relative = posgate().args(["ledger", "move", "usb", "--config"]).arg(site.path("posgate")).output().unwrap();
    Ended::of(&relative).expect(64, &[], &["whole path", "`posgate ledger move /"]);
    site.run(&["ledger", "move", "--remove-old", "--config", "CONFIG"]).expect(64, &[], &["DIR --remove-old"]);
    let served = site.run(&["ledger", "move", "/mnt/usb/posgate", "--config", "/var/etc/posgate/posgate"]);
    served.expect(64, &[], &["/etc/config/posgate"]);
    // A link in the ledger's directory leads nobody knows where.
    let to = site.path("usb");
    symlink(site.path("file"), old.join("note")).unwrap();
    move_to(&site, &to, &[]).expect(78, &[], &["ledger/note", "a link"]);
    fs::remove_file(old.join("note")).unwrap();
    // A damaged ledger, or another's.
    let segment = site.segment();
    let bytes = fs::read(&segment).unwrap();
    let mut spoiled = bytes.clone();
    spoiled[600] ^= 1;
    fs::write(&segment, spoiled).unwrap();
    move_to(&site, &to, &[]).expect(78, &[], &["nothing is moved", "posgate check"]);
    fs::write(&segment, bytes).unwrap();
    let identity = fs::read_to_string(site.path("identity")).unwrap();
    site.write("identity", "ledger=00000000000000ee seq=1 crc=00000001\n");
    move_to(&site, &to, &[]).expect(78, &[], &["another ledger", "posgate check"]);
    site.write("identity", &identity);
    assert!(!to.exists());
    assert_eq!(contents(&old), before);
    // An empty directory, and one whose parents are missing, are fine.
    move_to(&site, &site.path("empty"), &[]).expect(0, &["one file system"], &[]);
    serves(&site);
}

#[test]
fn a_copy_that_was_left_is_made_anew_and_one_with_entries_of_its_own_is_not_touched() {
    let site = served();
    let (old, new) = (site.path("ledger"), site.path("usb"));
    // Killed before the last step: the copy is whole, and the configuration names the old one.
    copy_all(&old, &new);
    let from = old.to_str().unwrap();
    fs::write(new.join("moved.txt"), format!("copied from={from}\n")).unwrap();
    // Sales since then.
    serves(&site);
    let expected = fs::read(site.segment()).unwrap();
    assert_ne!(fs::read(new.join("ledger-0000000001.tsv")).unwrap().len(), 0);
    let other = site.path("other");
    copy_all(&old, &other);
    move_to(&site, &new, &[]).expect(0, &["copied"], &[]);
    assert_eq!(fs::read(new.join("ledger-0000000001.tsv")).unwrap(), expected);
    // Half a copy was never served; a start on it is refused.
    fs::write(other.join("moved.txt"), format!("copying from={}\n", new.display())).unwrap();
    let text = config(&site);
    site.write("posgate", &text.replace("usb", "other"));
    for command in ["serve", "check"] {
        site.run(&[command, "--config", "CONFIG"]).expect(78, &[], &["not finished", "give the command again"]);
    }
    site.write("posgate", &text);
    fs::write(other.join("ledger-0000000099.tsv"), "half").unwrap();
    move_to(&site, &other, &[]).expect(0, &["copied"], &[]);
    assert!(!other.join("ledger-0000000099.tsv").exists());
    serves(&site);
    // A copy that went on by itself is no leftover.
    let third = site.path("third");
    copy_all(&other, &third);
    fs::write(third.join("moved.txt"), format!("copied from={}\n", other.display())).unwrap();
    let newest = fs::read_dir(&third).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let newest = newest.filter(|name| name.starts_with("ledger-0") && !name.contains("torn")).max().unwrap();
    let longer = [fs::read(third.join(&newest)).unwrap(), b"9\tmore\n".to_vec()].concat();
    fs::write(third.join(&newest), &longer).unwrap();
    move_to(&site, &third, &[]).expect(78, &[], &["entries are here that the ledger in service lacks"]);
    assert_eq!(fs::read(third.join(&newest)).unwrap(), longer);
    // Nor is the old one overwritten.
    move_to(&site, &new, &[]).expect(78, &[], &["a ledger that was moved is kept here"]);
}

// ---------------------------------------------------------------- at any step

/// The system calls that change something; some machines have the second form only.
const CALLS: &[&str] = &[
    "write",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "mkdirat",
    "unlink",
    "unlinkat",
    "rmdir",
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "fchownat",
    "symlink",
    "symlinkat",
    "flock",
    "ftruncate",
];

/// Runs a move with `what` injected at its n-th call; `false` once there are no more.
fn disturbed(site: &Site, new: &Path, call: &str, what: &str, number: usize) -> (Ended, bool) {
    let trace = site.path("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(&trace).args(["-e", &format!("trace=?{call}")]);
    strace.args(["-e", &format!("inject=?{call}:{what}:when={number}")]);
    strace.arg(env!("CARGO_BIN_EXE_posgate")).args(["ledger", "move"]).arg(new);
    strace.args(["--remove-old", "--config"]).arg(site.path("posgate"));
    let ended = Ended::of(&strace.output().unwrap());
    let was = fs::read_to_string(&trace).unwrap_or_default();
    let was_disturbed = was.contains("(INJECTED)") || was.contains("killed by SIGKILL");
    let _ = fs::remove_file(&trace);
    (ended, was_disturbed)
}

fn at_every_step(what: &str, after: impl Fn(&Site, &Path, &Ended, &str)) {
    let probe = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return not_run("a move that is disturbed before each of its system calls needs strace");
    }
    let site = served();
    let (old, new) = (site.path("ledger"), site.path("usb"));
    let saved = tempfile::tempdir().unwrap();
    copy_all(&site.path("."), &saved.path().join("site"));
    let expected = contents(&old);
    let mut steps = 0;
    for call in CALLS {
        // The kernel lets go of a lock without fail.
        if what.starts_with("error") && *call == "flock" {
            continue;
        }
        for number in 1.. {
            for name in ["ledger", "usb"] {
                let _ = fs::remove_dir_all(site.path(name));
            }
            copy_all(&saved.path().join("site/."), &site.path("."));
            let (ended, was_disturbed) = disturbed(&site, &new, call, what, number);
            let at = format!("{what} at {call} {number}: {:?} {} {}", ended.code, ended.out, ended.err);
            assert!(!ended.err.contains("panicked"), "{at}");
            if was_disturbed {
                steps += 1;
                after(&site, &new, &ended, &at);
                // A start would serve, whichever of the two it is, and not on a branch.
                let check = site.run(&["check", "--quick", "--config", "CONFIG"]);
                assert!(check.code == Some(0) && !check.out.contains("branch"), "{at}: {} {}", check.out, check.err);
                let again = move_to(&site, &new, &["--remove-old"]);
                assert_eq!(again.code, Some(0), "{at}: {} {}", again.out, again.err);
            } else {
                assert_eq!(ended.code, Some(0), "{at}");
            }
            assert!(config(&site).contains(new.to_str().unwrap()), "{at}");
            let mut found = contents(&new);
            found.retain(|name, of| name != "good/config" && expected.get(name) != Some(of));
            assert!(found.is_empty(), "{at}: {:?} are not as they were", found.keys());
            // The link is for people, and made again by a start.
            let links = usize::from(!new.join("ledger.tsv").exists());
            assert_eq!(contents(&new).len() + links, expected.len(), "{at}");
            // Of the old one at most a directory that could not be removed.
            let is_empty = !old.exists() || contents(&old).values().all(|(bytes, ..)| bytes.is_empty());
            assert!(is_empty && (what != "signal=KILL" || !old.exists()), "{at}");
            assert!(!new.join("moved.txt").exists(), "{at}");
            if !was_disturbed {
                break;
            }
        }
    }
    println!("{steps} steps");
    assert!(steps > 60, "{steps} steps");
    serves(&site);
}

#[test]
fn a_move_that_is_killed_before_any_system_call_leaves_one_whole_ledger_and_ends_when_given_again() {
    at_every_step("signal=KILL", |_, _, ended, at| assert_ne!(ended.code, Some(0), "{at}"));
}

#[test]
fn a_move_in_which_any_system_call_fails_says_so_and_undoes_what_it_did() {
    at_every_step("error=EIO", |site, new, ended, at| {
        // What is left out, such as a link for people, harms nobody.
        if ended.code == Some(0) {
            return;
        }
        assert!([Some(74), Some(78)].contains(&ended.code), "{at}");
        assert!(ended.err.contains("posgate: "), "{at}");
        if !config(site).contains(new.to_str().unwrap()) {
            assert!(!new.exists(), "{at}");
        }
    });
}

// ---------------------------------------------------------------- owners, and other media

#[test]
fn owners_and_modes_go_along_and_a_place_that_the_servers_user_cannot_reach_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        return not_run("a ledger of another user needs root");
    }
    let site = served();
    let (old, new) = (site.path("ledger"), site.path("usb/posgate"));
    for path in ["ledger", "ledger/lock", "ledger/good", "ledger/good/config", "ledger/ledger-0000000001.tsv"] {
        chown(site.path(path), Some(12345), Some(12346)).unwrap();
    }
    fs::set_permissions(&old, Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(site.path("."), Permissions::from_mode(0o700)).unwrap();
    let refused = move_to(&site, &new, &[]);
    refused.expect(78, &[], &["user 12345, cannot go through", "chmod o+x"]);
    assert!(!site.path("usb").exists(), "what was made is taken away");
    fs::set_permissions(site.path("."), Permissions::from_mode(0o751)).unwrap();
    move_to(&site, &new, &[]).expect(0, &[], &[]);
    let owner = |path: &Path| fs::metadata(path).map(|found| (found.uid(), found.gid(), found.mode() & 0o777)).unwrap();
    assert_eq!(owner(&new), (12345, 12346, 0o750));
    for name in ["lock", "good", "good/config", "ledger-0000000001.tsv", "archived.txt", "notes"] {
        assert_eq!(owner(&new.join(name)), owner(&old.join(name)), "{name}");
    }
    for marked in [&old, &new] {
        assert_eq!(owner(&marked.join("moved.txt")), (12345, 12346, 0o644));
    }
    assert_eq!(owner(&site.path("identity.dir")).0, 12345);
}

#[test]
fn a_medium_that_is_full_or_read_only_takes_nothing_and_another_takes_all() {
    if !may_mount("moves::a_medium_that_is_full_or_read_only_takes_nothing_and_another_takes_all") {
        return;
    }
    let site = served();
    let (old, usb, text) = (site.path("ledger"), site.path("usb"), config(&site));
    let before = contents(&old);
    fs::create_dir(&usb).unwrap();
    let is_untouched = |words: &str| {
        assert_eq!((config(&site), contents(&old)), (text.clone(), before.clone()), "{words}");
        assert_eq!(fs::read_dir(&usb).unwrap().count(), 0, "{words}");
    };
    // Less than the ledger and its reserve; and less than it said, found out while copying.
    for (size, reserve, code, words) in
        [("size=128k", "262144", 78, "bytes are free, and"), ("size=1m,nr_inodes=8", "4096", 74, "No space left")]
    {
        mount(&["-t", "tmpfs", "-o", size, "tmpfs"], &usb);
        let mounted = Mounted(usb.clone());
        site.write("posgate", &text.replace("# by hand", &format!("# {reserve}")));
        let small = text.replace("'ledger' ", &format!("'ledger'; option reserve_bytes {reserve} "));
        site.write("posgate", &small);
        move_to(&site, &usb.join("posgate"), &[]).expect(code, &[], &[words]);
        assert_eq!(config(&site), small);
        site.write("posgate", &text);
        is_untouched(size);
        drop(mounted);
    }
    mount(&["-t", "tmpfs", "-o", "ro", "tmpfs"], &usb);
    let mounted = Mounted(usb.clone());
    move_to(&site, &usb.join("posgate"), &[]).expect(74, &[], &["Read-only file system"]);
    is_untouched("ro");
    drop(mounted);
    mount(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], &usb);
    let _mounted = Mounted(usb.clone());
    // The last ledger on a disk stays, if the test's own directory is on one.
    let is_on_disk = !posgate::ledger::relocate::is_in_ram(&old);
    if is_on_disk {
        move_to(&site, &usb.join("posgate"), &["--remove-old"]).expect(78, &[], &["this is in RAM"]);
        is_untouched("in RAM");
    }
    let moved = move_to(&site, &usb.join("posgate"), &[]);
    assert!(!moved.out.contains("one file system"), "{}", moved.out);
    moved.expect(0, &["copied", "is kept"], &["is in RAM"]);
    if is_on_disk {
        move_to(&site, &usb.join("posgate"), &["--remove-old"]).expect(78, &[], &["this is in RAM"]);
        assert!(old.join("ledger-0000000001.tsv").exists());
    }
    // And back: the mount point itself cannot be removed, what lies in it can.
    move_to(&site, &site.path("back"), &["--remove-old"]).expect(0, &["is removed"], &[]);
    assert_eq!(fs::read_dir(&usb).unwrap().count(), 0);
    serves(&site);
}

#[test]
fn a_server_that_is_asked_to_reload_another_directory_serves_on_and_says_how_to_move() {
    let site = served();
    let server = site.start();
    let mut till = Device::new(1, &server);
    let text = config(&site);
    let good = fs::read(site.path("ledger/good/config")).unwrap();
    site.write("posgate", &text.replace("'ledger'", "'usb'"));
    let words = ["posgate:5", "option ledger_dir", "`posgate ledger move", "stays in service"];
    for _ in 0..2 {
        site.run(&["ctl", "reload", "--config", "CONFIG"]).expect(1, &[], &words[..3]);
    }
    server.signal(Signal::SIGHUP);
    server.wait_for_trouble("reload refused");
    till.pay(&card(1), "1.00");
    assert!(!site.path("usb").exists(), "no good copy goes where no ledger is");
    assert_eq!(fs::read(site.path("ledger/good/config")).unwrap(), good);
    // The same directory by another name is no other.
    symlink("ledger", site.path("same")).unwrap();
    site.write("posgate", &text.replace("'ledger'", "'same'"));
    site.run(&["ctl", "reload", "--config", "CONFIG"]).expect(0, &[], &[]);
    server.stop();
}

/// The old ledger is removed only if the new one, in another place, has all of it; and of the old
/// directory only a ledger's files go, none that the configuration names.
#[test]
fn the_old_ledger_is_kept_where_its_removal_would_lose_an_entry() {
    // One directory by two names.
    let site = served();
    let (old, new) = (site.path("ledger"), site.path("new"));
    move_to(&site, &new, &[]).expect(0, &["is kept"], &[]);
    fs::remove_dir_all(&old).unwrap();
    symlink(&new, &old).unwrap();
    let ended = move_to(&site, &new, &["--remove-old"]);
    assert!(!ended.out.contains("is removed"), "{}", ended.out);
    assert!(new.join("ledger-0000000001.tsv").exists());
    site.start().stop();

    // The new medium lost entries.
    let site = served();
    let (old, new) = (site.path("ledger"), site.path("new"));
    move_to(&site, &new, &[]).expect(0, &["is kept"], &[]);
    let newest = fs::read_dir(&new).unwrap().map(|entry| entry.unwrap().path());
    let newest =
        newest.filter(|path| path.extension().is_some_and(|end| end == "tsv") && !path.is_symlink()).max().unwrap();
    let bytes = fs::read(&newest).unwrap();
    let end = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(&newest, &bytes[..end]).unwrap();
    let before = contents(&old);
    move_to(&site, &new, &["--remove-old"]).expect(78, &[], &["is kept: it holds entries"]);
    assert_eq!(contents(&old), before);

    // A foreign directory that a mark names, and files that the configuration names.
    let site = served();
    let (old, new) = (site.path("ledger"), site.path("new"));
    let text = config(&site).replace("option cards 'cards.csv'", "option cards 'ledger/cards.csv'");
    site.write("posgate", &text);
    fs::rename(site.path("cards.csv"), old.join("cards.csv")).unwrap();
    move_to(&site, &new, &["--remove-old"]).expect(0, &["is removed, but for cards.csv"], &[]);
    assert!(old.join("cards.csv").exists() && !old.join("ledger-0000000001.tsv").exists());
    let precious = site.path("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("ledger-2025.ods"), "years").unwrap();
    fs::write(new.join("moved.txt"), format!("copied from={}\n", precious.display())).unwrap();
    move_to(&site, &new, &["--remove-old"]);
    assert_eq!(fs::read_dir(&precious).unwrap().count(), 1, "nothing is added or removed");
    site.start().stop();
}

#[test]
fn a_link_in_the_place_of_the_mark_is_not_written_through() {
    let site = served();
    let (old, victim) = (site.path("ledger"), site.path("victim"));
    fs::write(&victim, "secret").unwrap();
    fs::set_permissions(&victim, Permissions::from_mode(0o600)).unwrap();
    for name in ["moved.txt.tmp", "moved.txt"] {
        symlink(&victim, old.join(name)).unwrap();
        move_to(&site, &site.path("new"), &[]).expect(78, &[], &["this is a link"]);
        fs::remove_file(old.join(name)).unwrap();
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "secret");
    assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o777, 0o600);
}

/// A second mount of the ledger's directory, with the mark of an earlier move in it, is no new
/// place: the ledger would be removed as its own interrupted copy.
#[test]
fn the_ledgers_directory_by_another_mount_is_refused_and_nothing_is_lost() {
    if !may_mount("moves::the_ledgers_directory_by_another_mount_is_refused_and_nothing_is_lost") {
        return;
    }
    let site = served();
    let (new, other) = (site.path("new"), site.path("other"));
    move_to(&site, &new, &[]).expect(0, &["is kept"], &[]);
    fs::create_dir(&other).unwrap();
    mount(&["--bind", new.to_str().unwrap()], &other);
    let mounted = Mounted(other.clone());
    let (before, text) = (contents(&new), config(&site));
    for options in [&[][..], &["--remove-old"]] {
        move_to(&site, &other, options).expect(78, &[], &["one directory under two names"]);
        move_to(&site, &other.join("inside"), options).expect(78, &[], &["inside the ledger's directory"]);
        assert_eq!((contents(&new), config(&site)), (before.clone(), text.clone()));
    }
    drop(mounted);
    site.start().stop();
}
