//! Start, stop and restart: a technician's first ten minutes.

use std::fs;

use nix::sys::signal::Signal;

use crate::harness::{Device, Ledger, Line, Server, Site, card};

#[test]
fn a_balance_survives_a_stop_and_a_restart() {
    let site = Site::new();
    let server = site.start();
    let mut device = Device::new(2, &server);
    let boot = device.frame("101", "2020-01-01 00:00:00");
    assert_eq!(device.ask(&boot, "003").fields[1], "00002");
    let approval = device.pay(&card(1), "5.50");
    assert_eq!(approval.text, "008,00002,8888888801,5.50,姓名:张三 {994.50}\\n,20,0,1");
    let ended = server.stop();
    assert_eq!(ended.err, "");
    let ledger = site.ledger();
    assert_eq!(ledger.kinds(), ["start", "boot", "open", "charge", "stop"]);
    assert_eq!(ledger.torn, 0);

    let server = site.start();
    device.turn_to(&server);
    let inquiry = device.frame("102", &card(1));
    let shown = device.ask(&inquiry, "009");
    assert!(shown.text.contains("余额:994.50\\n"), "{shown:?}");
    assert!(device.pay(&card(1), "4.50").text.contains("{990.00}"));
    server.stop();
    let ledger = site.ledger();
    assert_eq!(ledger.count("open"), 1, "an account is opened once");
    assert_eq!(ledger.sum("A00001"), 99_000);
    assert_eq!(ledger.lines.last().map(Line::kind), Some("stop"));
    site.run(&["ledger", "verify", "--config", "CONFIG"]).expect(0, &[], &[]);
}

/// docs/router.md names the limit; the tables are most of it.
#[test]
fn a_limit_of_64_mb_of_addresses_is_enough() {
    let site = Site::new();
    let serve = format!("ulimit -v 65536; exec '{}' serve --config \"$0\"", env!("CARGO_BIN_EXE_posgate"));
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", &serve]).arg(site.path("posgate"));
    let server = Server::run(limited);
    let mut device = Device::new(2, &server);
    device.pay(&card(1), "5.50");
    server.stop();
}

#[test]
fn a_signal_right_after_the_listening_line_is_handled() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let site = Site::new();
        let server = site.start();
        server.signal(signal);
        assert_eq!(server.end().code, Some(0));
        assert_eq!(site.ledger().kinds(), ["start", "stop"]);
    }
    let site = Site::new();
    let server = site.start();
    server.signal(Signal::SIGHUP);
    server.wait_for("reload cards=12 accounts=12 unchanged");
    server.stop();
    assert_eq!(site.ledger().kinds(), ["start", "stop"]);
}

#[test]
fn the_start_entry_is_in_the_ledger_when_the_log_says_listening() {
    let site = Site::new();
    let server = site.start();
    assert_eq!(site.ledger().kinds(), ["start"]);
    server.stop();
}

#[test]
fn the_link_points_to_the_segment_also_after_a_restart() {
    let site = Site::new();
    let link = site.path("ledger/ledger.tsv");
    for run in 1..=2 {
        let server = site.start();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_link(&link).unwrap().to_str(), Some("ledger-0000000001.tsv"));
        server.stop();
        assert_eq!(Ledger::read(&link).lines.len(), 2 * run);
    }
}

#[test]
fn a_stop_logs_its_counts() {
    let site = Site::new();
    let server = site.start();
    let mut device = Device::new(2, &server);
    device.pay(&card(1), "1.00");
    let refused = device.charge("7777777777", "1.00");
    device.ask(&refused, "006");
    let ended = server.stop();
    assert!(ended.out.contains("stop received=2 approved=1 declined=1"), "{}", ended.out);
}

#[test]
fn one_server_at_a_time_serves_a_ledger() {
    let site = Site::new();
    let first = site.start();
    let lock = site.path("ledger/lock").display().to_string();
    let second = site.spawn(&[]).end();
    second.expect(74, &[], &["another posgate serves from this ledger", &lock]);
    // The first server is not disturbed.
    let mut device = Device::new(2, &first);
    device.pay(&card(1), "1.00");
    first.kill();
    // A lock ends with its process, however that ends.
    site.start().stop();
}

/// Prints the memory of a server with 10,000 cards: `cargo test --test serve memory --
/// --nocapture`.
#[test]
fn memory_with_ten_thousand_cards_is_printed() {
    let site = Site::new();
    site.write("cards.csv", &crate::harness::card_table(10_000));
    let server = site.start();
    let mut device = Device::new(2, &server);
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let line = |key: &str| status.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
        format!("{} {}", line("VmRSS"), line("VmHWM"))
    };
    println!("10,000 cards, just started: {}", resident());
    for number in 1..=300 {
        device.pay(&card(number * 33), "1.00");
    }
    println!("10,000 cards, after 300 sales: {}", resident());
    server.stop();
}
