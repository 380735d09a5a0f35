//! Segments, archive, repair and good copies, from outside.

use crate::harness::{Device, Site, card};

#[test]
fn segments_are_archived_beside_the_running_server_and_repaired_only_without_it() {
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
    site.run(&["ledger", "verify", "--config", "CONFIG"]).expect(0, &["the snapshot stands for them", "clean"], &[]);
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
