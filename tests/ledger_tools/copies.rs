//! A ledger and its archive, named together, wherever `archive` was stopped.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::Site;
use crate::naive::segments;
use crate::{ledger, sold, text};

/// A ledger of many segments with a snapshot, its server stopped, and an empty archive.
fn ready() -> (Site, PathBuf, PathBuf) {
    let site = sold();
    let (place, to) = (site.path("ledger"), site.path("archive"));
    fs::create_dir(&to).unwrap();
    assert!(segments(&[&place]).len() > 4);
    (site, place, to)
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn copy(path: &Path, to: &Path) -> PathBuf {
    let copy = to.join(path.file_name().unwrap());
    fs::copy(path, &copy).unwrap();
    copy
}

#[test]
fn an_archive_that_was_stopped_anywhere_is_read_with_its_ledger_as_one() {
    let (site, place, to) = ready();
    let all = segments(&[&place]);
    let whole = ledger(&["report", "--json", text(&place)]).expect(0, &[], &[]).out;
    let reads = |what: &str| {
        for order in [[text(&place), text(&to)], [text(&to), text(&place)]] {
            let verified = ledger(&[["verify"].as_slice(), &order].concat()).expect(0, &["clean", "seq 1 to"], &[]);
            assert!(!verified.out.contains("partial"), "{what}: {}", verified.out);
            assert_eq!(
                ledger(&[["report", "--json"].as_slice(), &order].concat()).expect(0, &[], &[]).out,
                whole,
                "{what}"
            );
        }
    };
    // Between two copies: all are here still.
    for path in &all[..3] {
        copy(path, &to);
    }
    fs::write(to.join(name(&all[3]).replace(".tsv", ".part")), b"half").unwrap();
    reads("between two copies");
    ledger(&["verify", text(&place)]).expect(0, &["clean"], &[]);
    // Between two removals: the ledger begins later, the archive holds some of it too.
    for path in &all[..2] {
        fs::remove_file(path).unwrap();
        reads("between two removals");
        ledger(&["verify", text(&place)]).expect(0, &["clean", "the snapshot covers them"], &[]);
        site.run(&["check", "--config", "CONFIG"]).expect(0, &["snapshot"], &[]);
        let server = site.start();
        server.kill();
        assert_eq!(segments(&[&place]).len(), all.len() - if path == &all[0] { 1 } else { 2 });
        // What the starts wrote is no part of the comparison, nor what the machine then knows of
        // it.
        return_to(&place, &all);
        fs::remove_file(site.path("identity")).unwrap();
    }
    // It is given again, and is whole.
    let done = ledger(&["archive", "--config", text(&site.path("posgate")), text(&to)]);
    done.expect(0, &["archived"], &[]);
    reads("after all");
    let named = fs::read_to_string(place.join("archived.txt")).unwrap();
    assert!(named.contains(&format!("dir={}", to.display())), "{named}");
}

/// Cuts what starts have written since off the newest segment.
fn return_to(place: &Path, all: &[PathBuf]) {
    let newest = all.last().unwrap();
    let bytes = fs::read(newest).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let end = text.find("\tstop\t").unwrap();
    let end = end + text[end..].find('\n').unwrap() + 1;
    fs::write(newest, &text[..end]).unwrap();
    for path in segments(&[place]) {
        assert!(all.contains(&path), "{}", path.display());
    }
}

#[test]
fn a_partial_copy_is_named_as_that_and_one_that_says_something_else_is_altered() {
    let (_site, place, to) = ready();
    let all = segments(&[&place]);
    let (places, second) = ([text(&place), text(&to)], copy(&all[1], &to));
    let whole = fs::read(&second).unwrap();
    let verify = || ledger(&[["verify"].as_slice(), &places].concat());
    verify().expect(0, &["1 more copies of segments, the same byte for byte", "clean"], &[]);
    for keep in [0, 100, 511, 512, 600, whole.len() - 1] {
        fs::write(&second, &whole[..keep]).unwrap();
        let partial = format!("{}: a partial copy, the first {keep} of {} bytes of ", second.display(), whole.len());
        verify().expect(0, &[&partial, "clean"], &[]);
        ledger(&[["report"].as_slice(), &places].concat()).expect(0, &[], &[]);
        ledger(&[["show"].as_slice(), &places].concat()).expect(0, &[], &[]);
    }
    let mut other = whole.clone();
    other[700] ^= 1;
    let line = whole[..700].split(|byte| *byte == b'\n').count();
    let said =
        format!("{}:{line}: altered: this copy differs from {} from byte 700 on", second.display(), all[1].display());
    fs::write(&second, &other).unwrap();
    verify().expect(2, &[&said], &[]);
    ledger(&[["report"].as_slice(), &places].concat()).expect(78, &[], &[&said]);
    // The copy is the good one, whichever of the two is longer.
    fs::write(&second, &whole).unwrap();
    fs::write(&all[1], &other).unwrap();
    let said = format!("{}:{line}: altered: this copy differs from {}", all[1].display(), second.display());
    verify().expect(2, &[&said], &[]);
}

#[test]
fn a_directory_is_the_same_by_whatever_path_it_is_named() {
    let (site, place, to) = ready();
    let link = site.path("link");
    std::os::unix::fs::symlink(&place, &link).unwrap();
    copy(&segments(&[&place])[0], &to);
    let whole = ledger(&["show", "--raw", text(&place)]).expect(0, &[], &[]).out;
    let slash = format!("{}/", place.display());
    for places in
        [[text(&link)].as_slice(), &[&slash], &[text(&link), text(&place)], &[text(&place), text(&to), text(&link)]]
    {
        for command in ["show", "verify", "report", "export"] {
            let raw: &[&str] = if command == "show" { &["--raw"] } else { &[] };
            let ended = ledger(&[&[command], raw, places].concat()).expect(0, &[], &[]);
            assert!(command != "show" || ended.out == whole, "{places:?}");
        }
    }
    let mut relative = crate::harness::posgate();
    relative.args(["ledger", "show", "--raw", "ledger"]).current_dir(site.path("."));
    assert_eq!(String::from_utf8(relative.output().unwrap().stdout).unwrap(), whole);
    let mut here = crate::harness::posgate();
    here.args(["ledger", "show", "--raw", "."]).current_dir(&place);
    assert_eq!(String::from_utf8(here.output().unwrap().stdout).unwrap(), whole);
    // What is no ledger is named: an empty directory, a file that is none, a ledger_dir that is a
    // file.
    let empty = site.path("empty");
    fs::create_dir(&empty).unwrap();
    for command in ["show", "verify", "report", "export"] {
        ledger(&[command, text(&empty)]).expect(74, &[], &[text(&empty), "no ledger here"]);
        let none = site.path("cards.csv");
        let ended = ledger(&[command, text(&none)]);
        assert!(matches!(ended.code, Some(5 | 78)) && (ended.err + &ended.out).contains(text(&none)), "{command}");
    }
    let config = fs::read_to_string(site.path("posgate")).unwrap();
    site.write("posgate", &config.replace("'ledger'", "'cards.csv'"));
    let path = site.path("cards.csv").display().to_string();
    site.run(&["check", "--config", "CONFIG"]).expect(74, &[], &[&path, "no directory"]);
    for command in ["show", "verify", "report", "export"] {
        let ended = site.run(&["ledger", command, "--config", "CONFIG"]);
        assert!(matches!(ended.code, Some(5 | 74 | 78)) && (ended.err + &ended.out).contains(&path), "{command}");
    }
}
