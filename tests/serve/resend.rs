//! Commands are sent again until their 109 comes. The tests check order and counts, not times: a
//! later reply proves that no further resend came.

use crate::harness::{DEVICE_TIME, Device, Reply, Site, card};

const FAST: &str = "\toption resend_first_ms '50'\n\toption resend_max '3'";

#[test]
fn an_approval_is_sent_again_as_often_as_configured_and_is_then_unconfirmed() {
    let site = Site::with(FAST, "");
    let server = site.start();
    let mut device = Device::new(2, &server);
    let first = device.pay(&card(1), "1.00");
    for _ in 0..3 {
        assert_eq!(device.hear("008"), first, "the same bytes");
    }
    server.wait_for("unconfirmed machine=00002 ref=3 code=008 resends=3");
    assert_eq!(device.heard_so_far(), [], "and no more");
    server.stop();
    let ledger = site.ledger();
    assert_eq!(ledger.only("unconfirmed").raw("ref"), ledger.only("charge").raw("seq"));
}

#[test]
fn answers_to_inquiries_and_refusals_are_sent_again_too() {
    let site = Site::with(FAST, "config door\n\toption machine '00007'\n\toption door '1'\n");
    let server = site.start();
    let mut pos = Device::new(2, &server);
    let inquiry = pos.frame("102", &card(1));
    let refused = pos.charge("7777777777", "1.00");
    for (frame, code) in [(inquiry, "009"), (refused, "006")] {
        let first = pos.ask(&frame, code);
        for _ in 0..3 {
            assert_eq!(pos.hear(code), first);
        }
    }
    let mut board = Device::new(7, &server);
    let admitted = board.access(&card(1), 0, "");
    let refused = board.access("7777777777", 0, "");
    for (frame, code) in [(admitted, "050"), (refused, "051")] {
        let first = board.ask(&frame, code);
        for _ in 0..3 {
            assert_eq!(board.hear(code), first);
        }
    }
    server.stop();
}

#[test]
fn a_109_ends_the_resending() {
    let site = Site::with(FAST, "");
    let server = site.start();
    let mut device = Device::new(2, &server);
    let mut mute = Device::new(3, &server);
    let first = device.pay(&card(1), "1.00");
    assert_eq!(device.hear("008"), first, "one resend");
    device.confirm();
    server.wait_for("confirm machine=00002");
    device.heard_so_far();
    // A later sale goes through its whole schedule, after which the first one's would have ended.
    mute.pay(&card(2), "1.00");
    for _ in 0..3 {
        mute.hear("008");
    }
    server.wait_for("unconfirmed machine=00003");
    assert_eq!(device.heard_so_far(), []);
    server.stop();
    let ledger = site.ledger();
    assert_eq!(ledger.only("confirm").raw("ref"), ledger.of_kind("charge").next().unwrap().raw("seq"));
    assert_eq!(ledger.only("unconfirmed").raw("machine"), "00003");
}

#[test]
fn a_newer_command_replaces_the_one_before() {
    let site = Site::with(FAST, "");
    let server = site.start();
    let mut device = Device::new(2, &server);
    device.pay(&card(1), "1.00");
    let newer = device.pay(&card(2), "2.00");
    let heard: Vec<Reply> = (0..3).map(|_| device.hear("008")).collect();
    assert_eq!(heard, [newer.clone(), newer.clone(), newer]);
    server.wait_for_count(2, "unconfirmed machine=00002");
    server.stop();
}

#[test]
fn a_boot_ends_the_resending() {
    let site = Site::with(FAST, "");
    let server = site.start();
    let mut device = Device::new(2, &server);
    let mut other = Device::new(3, &server);
    device.pay(&card(1), "1.00");
    let boot = device.frame("101", DEVICE_TIME);
    device.ask(&boot, "003");
    device.heard_so_far();
    other.pay(&card(2), "1.00");
    server.wait_for("unconfirmed machine=00003");
    assert_eq!(device.heard_so_far(), []);
    server.stop();
}

#[test]
fn nothing_is_sent_again_without_a_request_after_a_restart() {
    let site = Site::with(FAST, "");
    let server = site.start();
    let mut device = Device::new(2, &server);
    let frame = device.charge(&card(1), "1.00");
    let first = device.ask(&frame, "008");
    let port = server.port;
    server.kill();
    let server = site.start_with(&["--listen", &format!("127.0.0.1:{port}")]);
    let mut other = Device::new(3, &server);
    other.pay(&card(2), "1.00");
    server.wait_for("unconfirmed machine=00003");
    let unasked: Vec<Reply> = device.heard_so_far().into_iter().filter(|reply| *reply != first).collect();
    assert_eq!(unasked, []);
    assert_eq!(device.ask(&frame, "008"), first, "asked, it answers as before");
    server.stop();
    assert_eq!(site.ledger().of_kind("charge").filter(|line| line.get("machine") == Some("00002")).count(), 1);
}

#[test]
fn a_release_of_a_stored_sale_is_sent_again_twice() {
    let site = Site::with(FAST, "");
    let server = site.start();
    let mut device = Device::new(2, &server);
    let record = device.frame("105", &format!("{},1.00,{DEVICE_TIME},0,00000001,2", card(1)));
    let first = device.ask(&record, "011");
    // After one and two seconds, whatever resend_first_ms is.
    for _ in 0..2 {
        assert_eq!(device.hear("011"), first);
    }
    server.stop();
}
