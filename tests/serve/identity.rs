//! The ledger's identity from outside: a ledger that is missing, a copy, an older copy, another
//! ledger, and one of version 1.

use std::fs;
use std::path::Path;

use crate::harness::{Device, Ended, Site, card};

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The words of the identity file.
fn identity(site: &Site) -> Vec<String> {
    let line = fs::read_to_string(site.path("identity")).unwrap();
    let words = line.strip_suffix('\n').unwrap().split(' ');
    words.zip(["ledger=", "seq=", "crc="]).map(|(word, key)| word.strip_prefix(key).unwrap().to_owned()).collect()
}

/// A site that was served with `sales` sales.
fn sold(sales: usize) -> Site {
    let site = Site::new();
    let server = site.start();
    let mut till = Device::new(1, &server);
    for _ in 0..sales {
        till.pay(&card(1), "1.00");
    }
    server.stop();
    site
}

fn sell(site: &Site, sales: usize) {
    let server = site.start();
    let mut till = Device::new(1, &server);
    for _ in 0..sales {
        till.pay(&card(1), "1.00");
    }
    server.stop();
}

fn run(site: &Site, words: &[&str]) -> Ended {
    site.run(&[words, &["--config", "CONFIG"]].concat())
}

#[test]
fn the_identity_is_the_durable_head_after_every_stop() {
    let site = sold(2);
    for _ in 0..2 {
        let ledger = site.ledger();
        let last = ledger.lines.last().unwrap();
        assert_eq!(identity(&site), [ledger.header["ledger"].as_str(), last.raw("seq"), last.raw("crc")]);
        assert_eq!(ledger.header["parent"], "\\N");
        sell(&site, 1);
    }
}

#[test]
fn a_missing_ledger_is_replaced_by_a_new_one_only_by_a_person() {
    let site = sold(2);
    let [ledger, seq, _] = identity(&site).try_into().unwrap();
    let (place, away) = (site.path("ledger"), site.path("away"));
    fs::rename(&place, &away).unwrap();
    let words = ["no ledger", &ledger, &format!("seq={seq}"), place.to_str().unwrap(), "ledger new"];
    for is_mount_point_there in [false, true] {
        if is_mount_point_there {
            fs::create_dir(&place).unwrap();
        }
        run(&site, &["serve"]).expect(78, &[], &words);
        run(&site, &["check"]).expect(78, &[], &words);
        assert_eq!(place.exists(), is_mount_point_there, "nothing is made where a medium is to be mounted");
        assert!(!is_mount_point_there || fs::read_dir(&place).unwrap().next().is_none());
    }
    fs::remove_dir(&place).unwrap();
    // The configuration names another place: the error names the former one.
    let config = fs::read_to_string(site.path("posgate")).unwrap();
    site.write("posgate", &config.replace("'ledger'", "'elsewhere'"));
    let moved = fs::read_to_string(site.path("posgate")).unwrap() != config;
    if moved {
        run(&site, &["serve"]).expect(78, &[], &[place.to_str().unwrap(), "elsewhere"]);
    }
    site.write("posgate", &config);
    // The ledger is back: it is served as before.
    fs::rename(&away, &place).unwrap();
    sell(&site, 1);
    assert_eq!(site.ledger().header["ledger"], ledger);
    // The ledger is gone for good.
    fs::remove_dir_all(&place).unwrap();
    run(&site, &["ledger", "new"]).expect(0, &["opening figures count again", &ledger], &[]);
    sell(&site, 1);
    let new = site.ledger();
    assert_ne!(new.header["ledger"], ledger);
    assert_eq!((new.lines[0].raw("seq"), new.count("charge")), ("1", 1));
    // `ledger new` does nothing while a ledger is served.
    run(&site, &["ledger", "new"]).expect(78, &[], &["--yes"]);
}

#[test]
fn an_older_copy_goes_on_as_a_branch_and_names_the_missing_entries_until_acknowledged() {
    let site = sold(2);
    let copy = site.path("copy");
    copy_dir(&site.path("ledger"), &copy);
    let [ledger, kept, crc] = identity(&site).try_into().unwrap();
    sell(&site, 3);
    let [_, gone, _] = identity(&site).try_into().unwrap();
    fs::remove_dir_all(site.path("ledger")).unwrap();
    copy_dir(&copy, &site.path("ledger"));
    let kept: u64 = kept.parse().unwrap();
    let seqs = format!("{}-{gone}", kept + 1);
    run(&site, &["check"]).expect(0, &["branch (rolled-back", &seqs], &[]);
    let server = site.start();
    server.wait_for_trouble("branch ledger=");
    Device::new(1, &server).pay(&card(1), "1.00");
    run(&site, &["ctl", "status", "--json"]).expect(0, &["\"rolled-back\"", &format!("\"last\":{gone}")], &[]);
    server.stop();
    let branch = crate::harness::Ledger::read(&site.path(&format!("ledger/ledger-{:010}.tsv", kept + 1)));
    assert_eq!(branch.header["parent"], format!("{ledger}:{kept}:{crc}"));
    assert_ne!(branch.header["ledger"], ledger);
    assert_eq!(branch.only("start").detail("rolled_back"), Some(seqs.as_str()));
    assert_eq!(identity(&site)[0], branch.header["ledger"]);
    // Every reader reads both as one ledger.
    run(&site, &["ledger", "verify"]).expect(0, &["clean"], &[]);
    for words in [&["ledger", "report"][..], &["ledger", "show"], &["ledger", "export"]] {
        run(&site, words).expect(0, &[], &[]);
    }
    // A restart does not forget it and does not branch again.
    let server = site.start();
    run(&site, &["ctl", "status", "--json"]).expect(0, &["\"rolled-back\""], &[]);
    run(&site, &["ctl", "acknowledge", "--by", "wang"]).expect(0, &[&seqs], &[]);
    run(&site, &["ctl", "acknowledge", "--by", "wang"]).expect(1, &[], &["no older copy"]);
    run(&site, &["ctl", "status", "--json"]).expect(0, &["\"rolled_back\":null"], &[]);
    server.stop();
    let server = site.start();
    run(&site, &["ctl", "status", "--json"]).expect(0, &["\"rolled_back\":null"], &[]);
    server.stop();
}

#[test]
fn an_old_copy_is_recognized_each_time_that_it_is_restored() {
    let site = sold(2);
    let copy = site.path("copy");
    copy_dir(&site.path("ledger"), &copy);
    let [ledger, kept, crc] = identity(&site).try_into().unwrap();
    let kept: u64 = kept.parse().unwrap();
    // A branch by order hides the former id as one from a restored copy does.
    let server = site.start();
    run(&site, &["ctl", "branch", "--by", "office"]).expect(0, &[], &[]);
    server.stop();
    let mut names = vec![ledger.clone()];
    for sales in [3, 1, 2] {
        let [name, gone, _] = identity(&site).try_into().unwrap();
        assert!(!names.contains(&name), "a name of its own");
        names.push(name);
        fs::remove_dir_all(site.path("ledger")).unwrap();
        copy_dir(&copy, &site.path("ledger"));
        let seqs = format!("{}-{gone}", kept + 1);
        run(&site, &["check"]).expect(0, &["branch (rolled-back", &seqs], &[]);
        run(&site, &["ledger", "move"]).expect(78, &[], &["start it"]);
        let server = site.start();
        server.wait_for_trouble("branch ledger=");
        let mut till = Device::new(1, &server);
        for _ in 0..sales {
            till.pay(&card(1), "1.00");
        }
        run(&site, &["ctl", "status", "--json"]).expect(0, &["\"rolled-back\"", &format!("\"last\":{gone}")], &[]);
        server.stop();
        let branch = crate::harness::Ledger::read(&site.path(&format!("ledger/ledger-{:010}.tsv", kept + 1)));
        assert_eq!(branch.header["parent"], format!("{ledger}:{kept}:{crc}"));
        assert_eq!(branch.only("start").detail("rolled_back"), Some(seqs.as_str()));
        let line = fs::read_to_string(site.path("identity")).unwrap();
        assert!(line.ends_with(&format!(" parents={ledger}:{kept}:{crc}\n")), "{line}");
        run(&site, &["ledger", "verify"]).expect(0, &["clean"], &[]);
    }
    // A restart does not branch again.
    let before = identity(&site)[0].clone();
    sell(&site, 1);
    assert_eq!(identity(&site)[0], before);
}

#[test]
fn a_branch_is_ordered_and_reports_refuse_two_branches_of_one_ledger() {
    let site = sold(2);
    let copy = site.path("copy");
    let server = site.start();
    run(&site, &["ctl", "branch", "--by", "office"]).expect(0, &["goes on as"], &[]);
    Device::new(1, &server).pay(&card(1), "1.00");
    server.stop();
    copy_dir(&site.path("ledger"), &copy);
    let server = site.start();
    Device::new(1, &server).pay(&card(1), "1.00");
    run(&site, &["ctl", "branch", "--by", "office"]).expect(0, &[], &[]);
    server.stop();
    run(&site, &["ledger", "verify"]).expect(0, &["clean"], &[]);
    let other = Site::new();
    copy_dir(&copy, &other.path("ledger"));
    let server = other.start();
    Device::new(1, &server).pay(&card(1), "2.00");
    run(&other, &["ctl", "branch", "--by", "office"]).expect(0, &[], &[]);
    server.stop();
    let (one, two) = (site.path("ledger"), other.path("ledger"));
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    for command in ["report", "show", "export"] {
        let ended = site.run(&["ledger", command, one, two]);
        assert!(ended.code != Some(0), "{command} took one of two branches: {}", ended.out);
    }
    let third = sold(1);
    let three = third.path("ledger");
    site.run(&["ledger", "report", one, three.to_str().unwrap()]).expect(64, &[], &["two ledgers", "one by one"]);
}

#[test]
fn another_ledger_is_refused_with_both_ids_and_accepted_only_by_a_person() {
    let (site, other) = (sold(2), sold(3));
    let (ours, theirs) = (identity(&site)[0].clone(), identity(&other)[0].clone());
    fs::rename(site.path("ledger"), site.path("ours")).unwrap();
    copy_dir(&other.path("ledger"), &site.path("ledger"));
    let words = [ours.as_str(), &theirs, "ledger move", "ledger new"];
    run(&site, &["serve"]).expect(78, &[], &words);
    run(&site, &["check"]).expect(78, &[], &words);
    run(&site, &["ledger", "move"]).expect(0, &[&theirs, "branch"], &[]);
    let server = site.start();
    server.wait_for_trouble("branch ledger=");
    server.stop();
    assert!(![ours, theirs].contains(&identity(&site)[0]), "a name of its own");
    run(&site, &["ledger", "move"]).expect(78, &[], &["nothing needs to be moved"]);
}

#[test]
fn a_ledger_that_another_machine_wrote_branches_with_one_warning() {
    let site = sold(2);
    let path = site.segment();
    let mut bytes = fs::read(&path).unwrap();
    let header = String::from_utf8(bytes[..511].to_vec()).unwrap();
    let host = header.split('\t').find_map(|word| word.strip_prefix("host=")).unwrap().to_owned();
    // If this machine's host id is unknown, no host counts as another.
    let is_known = host != "\\N";
    let changed = header.trim_end().replace(&format!("host={host}"), "host=0badf00d");
    bytes.splice(..511, format!("{changed:511}").into_bytes());
    fs::write(&path, bytes).unwrap();
    let before = identity(&site)[0].clone();
    let server = site.start();
    if is_known {
        server.wait_for_trouble("branch ledger=");
    }
    server.stop();
    assert_eq!(identity(&site)[0] != before, is_known);
    let after = identity(&site)[0].clone();
    sell(&site, 1);
    assert_eq!(identity(&site)[0], after, "once");
}

#[test]
fn an_identity_that_cannot_be_read_or_written_stops_no_service() {
    let site = sold(2);
    let before = identity(&site)[0].clone();
    for rest in ["", "ledger=12", "garbage\n"] {
        site.write("identity", rest);
        let server = site.start();
        server.wait_for_trouble("branch ledger=");
        Device::new(1, &server).pay(&card(1), "1.00");
        server.stop();
    }
    assert_ne!(identity(&site)[0], before);
    run(&site, &["ledger", "verify"]).expect(0, &["clean"], &[]);
    // A ledger was served here, and its id is unreadable: no new ledger begins.
    site.write("identity", "");
    fs::rename(site.path("ledger"), site.path("away")).unwrap();
    run(&site, &["serve"]).expect(78, &[], &["no ledger", "identity"]);
    fs::rename(site.path("away"), site.path("ledger")).unwrap();
    // A directory in its place can be neither read nor written, and does not lead to a branch.
    fs::remove_file(site.path("identity")).unwrap();
    fs::create_dir(site.path("identity")).unwrap();
    let segments = || fs::read_dir(site.path("ledger")).unwrap().count();
    let count = segments();
    for _ in 0..2 {
        let server = site.start();
        server.wait_for_trouble("identity-failed");
        Device::new(1, &server).pay(&card(1), "1.00");
        server.stop();
    }
    assert_eq!(segments(), count);
}

#[test]
fn every_reader_refuses_a_ledger_of_version_1_with_an_explanation() {
    let site = sold(1);
    let bytes = fs::read(site.segment()).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (header, lines) = text.split_at(512);
    let header: Vec<&str> = header
        .trim_end()
        .split('\t')
        .filter(|word| !word.starts_with("parent=") && !word.starts_with("host="))
        .collect();
    let header = header.join("\t").replace("version=2", "version=1");
    let mut crc = 0;
    let mut old = format!("{header:511}\n");
    for line in lines.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let columns = [&columns[..10], &columns[11..13], &columns[14..19]].concat();
        let covered = format!("{}\t", columns.join("\t"));
        let mut hasher = crc32fast::Hasher::new_with_initial(crc);
        hasher.update(covered.as_bytes());
        crc = hasher.finalize();
        old = [old, format!("{covered}{crc:08x}\n")].concat();
    }
    for has_identity in [true, false] {
        fs::write(site.segment(), &old).unwrap();
        if !has_identity {
            fs::remove_file(site.path("identity")).unwrap();
        }
        run(&site, &["serve"]).expect(78, &[], &["version=1", "version=2", "ledger-0000000001.tsv"]);
        run(&site, &["check"]).expect(78, &[], &["version=1"]);
        run(&site, &["ledger", "verify"]).expect(5, &["version=1"], &[]);
        for command in ["show", "report", "export"] {
            let ended = run(&site, &["ledger", command]);
            assert!(ended.code == Some(78) || ended.code == Some(74), "{command}: {:?} {}", ended.code, ended.err);
            assert!(ended.err.contains("version=1"), "{command}: {}", ended.err);
        }
        assert_eq!(fs::read_to_string(site.segment()).unwrap(), old, "it is not touched");
    }
}
