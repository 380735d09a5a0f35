//! kill -9 between a command and its answer: the same key again, and it is done once.

use std::fmt::Write as _;

use nix::sys::signal::Signal;

use crate::harness::{CARDS, Site, card};
use crate::tools::{Client, command, ctl, end, until};

#[test]
fn an_order_that_was_done_and_not_answered_is_not_done_again() {
    let site = Site::new();
    for round in 0..5 {
        let server = site.start();
        let key = format!("k{round}");
        let mut client = Client::of(&site);
        client.send(&format!(
            "{{\"cmd\":\"topup\",\"card\":\"{}\",\"amount\":\"1.00\",\"key\":\"{key}\",\"by\":\"li\"}}",
            card(1)
        ));
        // Nobody reads the answer.
        let is_done = || site.ledger().of_kind("topup").any(|line| line.detail("key") == Some(key.as_str()));
        until("the top-up stands in the ledger", is_done);
        server.kill();
        let server = site.start();
        ctl(&site, &["topup", &card(1), "1", "--key", &key]).expect(0, &["was done before"]);
        server.kill();
        assert_eq!(site.ledger().count("topup"), round + 1);
    }
}

#[test]
fn an_order_that_was_cut_off_says_that_nobody_knows_and_is_done_once_with_its_key() {
    let site = Site::new();
    let server = site.start();
    // It takes the line into the kernel's buffer and no further.
    server.signal(Signal::SIGSTOP);
    let mut child = command(&site, &["topup", &card(1), "1.00"]).spawn().expect("it starts");
    // The key is told before the order is sent.
    let mut key = String::new();
    let mut err = std::io::BufReader::new(child.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut err, &mut key).unwrap();
    let key = key.trim().strip_prefix("key=").expect("the key").to_owned();
    // Wherever it stands by now, the server will not answer.
    server.kill();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut err, &mut rest).unwrap();
    let said = end(child);
    assert_eq!(said.code, Some(74), "{rest}");
    assert!(rest.contains(&format!("not known whether it was done: run it again with --key {key}")), "{rest}");
    let server = site.start();
    ctl(&site, &["topup", &card(1), "1.00", "--key", &key]).expect(0, &["done, entry"]);
    ctl(&site, &["topup", &card(1), "1.00", "--key", &key]).expect(0, &["was done before"]);
    server.stop();
    assert_eq!(site.ledger().count("topup"), 1);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a wait that ends")]
fn a_server_that_is_stopped_is_given_up_after_10_s_and_the_same_key_again_is_done_once() {
    let site = Site::new();
    let server = site.start();
    server.signal(Signal::SIGSTOP);
    let begin = std::time::Instant::now();
    let ask = |arguments: &[&str]| command(&site, arguments).spawn().expect("it starts");
    let order = ask(&["topup", &card(1), "1.00", "--key", "k1"]);
    let others = [&["sync"][..], &["status"], &["reload"], &["card", &card(1)], &["devices"], &["head-of"]];
    let others: Vec<_> = others.iter().map(|arguments| ask(arguments)).collect();
    end(order).expect(74, &["no answer in 10 s", "not known whether it was done", "same key again", "--key k1"]);
    for (place, child) in others.into_iter().enumerate() {
        let said = end(child);
        // The last is no command.
        assert_eq!(said.code, Some(if place == 5 { 64 } else { 74 }), "{}", said.err);
        assert!(place == 5 || said.err.contains("no answer in 10 s"), "{}", said.err);
    }
    assert!((9..30).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    server.signal(Signal::SIGCONT);
    ctl(&site, &["topup", &card(1), "1.00", "--key", "k1"]).expect(0, &["entry"]);
    server.stop();
    assert_eq!(site.ledger().count("topup"), 1);
}

#[test]
fn a_batch_that_was_cut_short_is_completed_by_running_it_again() {
    let site = Site::new();
    let mut table = "card,amount\n".to_owned();
    let lines = 3000_usize;
    for line in 0..lines {
        writeln!(table, "{},0.01", card(line as u64 % CARDS + 1)).unwrap();
    }
    site.write("f.csv", &table);
    let file = site.path("f.csv");
    let words = ["topup", "--file", file.to_str().unwrap(), "--for", "2026-12"];
    for cut in [1, 700, 1900] {
        let server = site.start();
        let child = command(&site, &words).spawn().expect("it starts");
        let segment = site.segment();
        let count = || std::fs::read_to_string(&segment).map_or(0, |text| text.matches("\ttopup\t").count());
        until("some lines are done", || count() >= cut);
        server.kill();
        end(child).expect(74, &["connection was lost", "run the same again: it goes on where it stopped"]);
    }
    let done = site.ledger().count("topup");
    assert!((1900..lines).contains(&done), "cut in the midst: {done}");
    let server = site.start();
    ctl(&site, &words).expect(0, &[&format!("{} done now", lines - done), &format!("{done} had been done before")]);
    ctl(&site, &words).expect(0, &["already applied, seq "]);
    server.stop();
    let ledger = site.ledger();
    assert_eq!(ledger.count("topup"), lines);
    for number in 1..=CARDS {
        assert_eq!(ledger.sum(&format!("A{number:05}")), 100_000 + 250, "card {number}");
    }
}
