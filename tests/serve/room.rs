//! Segments, archive, repair and good copies, from outside.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use posgate::engine::limits::ACCOUNTS_MAX;

use crate::harness::{Device, Ended, Site, card};
use crate::not_run::not_run;
use crate::program::copy_program;

#[test]
fn segments_are_archived_while_the_server_runs_and_repaired_only_without_it() {
    let site = Site::with("\toption segment_bytes '65536'\n", "");
    let server = site.start();
    let mut till = Device::new(1, &server);
    while !site.path("ledger/snapshot.tsv").exists() {
        till.pay(&card(1), "0.01");
    }
    till.pay(&card(1), "0.01");
    let to = site.path("archive");
    let to = to.to_str().unwrap();
    site.run(&["ledger", "archive", "--config", "CONFIG", to]).expect(0, &["archived 1 segments"], &[]);
    assert!(!site.segment().exists() && site.path("archive/ledger-0000000001.tsv").exists());
    site.run(&["ledger", "verify", "--config", "CONFIG"]).expect(0, &["the snapshot covers them", "clean"], &[]);
    site.run(&["ledger", "verify", to]).expect(0, &["clean"], &[]);
    site.run(&["ledger", "repair", "--cut", "5", "--config", "CONFIG"]).expect(74, &[], &["another posgate serves"]);
    till.pay(&card(1), "0.01");
    server.stop();

    let server = site.start();
    server.wait_for("replayed snapshot=");
    till.turn_to(&server);
    till.pay(&card(1), "0.01");
    server.stop();
    site.run(&["ledger", "repair", "--cut", "5", "--config", "CONFIG"]).expect(78, &[], &["bring back the archived"]);
    site.run(&["ledger", "repair", "--config", "CONFIG"]).expect(64, &[], &["--cut SEQ"]);
    site.run(&["ledger", "archive", "--config", "CONFIG"]).expect(64, &[], &["archive DIR"]);

    // Without the snapshot a start needs the archived segments, and says how to bring them back.
    std::fs::remove_file(site.path("ledger/snapshot.tsv")).unwrap();
    let remedy = format!("`cp ARCHIVE/ledger-*.tsv {}/`", site.path("ledger").display());
    for command in [&["check"], &["serve"]] {
        let refused = site.run(&[command, ["--config", "CONFIG"].as_slice()].concat());
        refused.expect(78, &[], &["ledger/snapshot.tsv", "`posgate ledger archive`", &remedy]);
    }
    let name = "ledger-0000000001.tsv";
    std::fs::copy(site.path("archive").join(name), site.path("ledger").join(name)).unwrap();
    site.start().stop();
}

#[test]
fn a_broken_configuration_is_served_from_its_good_copy_until_a_reload() {
    let site = Site::new();
    site.start().stop();
    let config = std::fs::read_to_string(site.path("posgate")).unwrap();
    site.write("posgate", &format!("{config}\toption nonsense '1'\n"));
    site.write("cards.csv", "card,balance\n12x,1\n");
    let server = site.start();
    server.wait_for_trouble("nonsense");
    server.wait_for_trouble("ledger/good/config");
    server.wait_for_trouble("ledger/good/cards.csv");
    Device::new(1, &server).pay(&card(1), "1.00");
    server.stop();
    std::fs::remove_file(site.path("ledger/good/cards.csv")).unwrap();
    site.spawn(&[]).end().expect(78, &[], &["nonsense", "cards.csv:2"]);
}

#[test]
fn check_names_the_good_copies_that_a_start_would_serve() {
    let site = Site::new();
    let check = |said: &[&str], never: &str| {
        let ended = site.run(&["check", "--config", "CONFIG"]);
        let ended = ended.expect(78, said, &[]);
        assert!(!ended.out.contains(never), "{}", ended.out);
    };
    let (config, cards) = ("ledger/good/config, accepted 20", "ledger/good/cards.csv, accepted 20");
    let good = std::fs::read_to_string(site.path("posgate")).unwrap();
    site.start().stop();
    site.write("cards.csv", "card,balance\n12x,1\n");
    check(&["degraded    `serve` would start with the good copy", cards], config);
    site.write("posgate", &format!("{good}\toption nonsense '1'\n"));
    check(&[config, cards], "refuse");
    site.write("posgate", &good);
    std::fs::remove_file(site.path("cards.csv")).unwrap();
    check(&[cards], config);
    std::fs::remove_dir_all(site.path("ledger/good")).unwrap();
    check(&["`serve` would refuse to start"], "accepted");
}

#[test]
fn the_good_copy_is_served_if_the_table_and_the_ledger_have_too_many_accounts() {
    let site = Site::new();
    let server = site.start();
    Device::new(1, &server).pay(&card(1), "1.00");
    server.stop();
    let mut table = "card,balance\n".to_owned();
    for number in 1..=ACCOUNTS_MAX {
        writeln!(table, "{number},1.00").unwrap();
    }
    site.write("cards.csv", &table);
    site.run(&["check", "--config", "CONFIG"]).expect(78, &["good/cards.csv, accepted"], &["65537 accounts"]);
    let server = site.start();
    server.wait_for_trouble("65537 accounts");
    server.wait_for_trouble("degraded serving=");
    Device::new(1, &server).pay(&card(1), "1.00");
    server.stop();
    std::fs::remove_file(site.path("ledger/good/cards.csv")).unwrap();
    site.run(&["check", "--config", "CONFIG"]).expect(78, &["refuse to start"], &["65537 accounts"]);
    site.spawn(&[]).end().expect(78, &[], &["65537 accounts"]);
}

#[test]
fn a_ledger_of_another_user_is_an_error_of_the_configuration() {
    if !nix::unistd::Uid::effective().is_root() {
        not_run("to be somebody else needs root");
        return;
    }
    let site = Site::new();
    site.start().stop();
    let copy = site.path("posgate-copy");
    copy_program(env!("CARGO_BIN_EXE_posgate"), &copy);
    let mode = |path: &str, mode| std::fs::set_permissions(site.path(path), Permissions::from_mode(mode)).unwrap();
    mode("", 0o755);
    // The server may only read the ledger, or not even read it.
    for ledger in [0o755, 0o700] {
        mode("ledger", ledger);
        let mut serve = Command::new("setpriv");
        serve.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy).args(["serve", "--config"]);
        match serve.arg(site.path("posgate")).output() {
            Ok(output) => {
                let said = ["ermission denied", "must belong to the user that posgate runs as"];
                Ended::of(&output).expect(78, &[], &said);
            }
            Err(error) => not_run(&format!("setpriv: {error}")),
        }
    }
}
