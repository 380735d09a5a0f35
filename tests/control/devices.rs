//! What the desk sees of the devices, and what it tells them.

use std::net::UdpSocket;

use crate::harness::{DEVICE_TIME, Device, PATIENCE, Site, card};
use crate::tools::{Client, ctl};

#[test]
fn devices_are_listed_told_the_time_and_shown_texts() {
    let site = Site::with("", "config device\n\toption machine '00009'\n\toption name '三号窗'\n\toption kind 'board'");
    let server = site.start();
    let mut terminal = Device::new(2, &server);
    ctl(&site, &["clock", "2"]).expect(1, &["machine 2 sent nothing since the start"]);
    terminal.pay(&card(1), "1.00");
    terminal.confirm();
    let frame = terminal.charge("77", "1.00");
    terminal.ask(&frame, "006");
    let said = ctl(&site, &["devices"]).expect(0, &["00009", "三号窗", "not since the start", "(not registered)"]);
    let row = said.out.lines().find(|line| line.starts_with("00002")).unwrap();
    for words in [&terminal.serial, &terminal.address.to_string(), "confirming"] {
        assert!(row.contains(words), "{words}: {row}");
    }
    assert!(row.trim_end().ends_with("3       1         1"), "frames, approved, refused: {row}");
    let uci = ctl(&site, &["devices", "--uci"])
        .expect(0, &["config device\n\toption machine '00002'\n\toption serial '1000000002'"]);
    assert!(!uci.out.contains("00009"), "only what was seen");
    // It can be pasted.
    site.configure("", &uci.out);
    ctl(&site, &["reload"]).expect(0, &[]);
    terminal.heard_so_far();
    ctl(&site, &["clock", "all"]).expect(0, &["1 devices were told"]);
    assert_eq!(terminal.hear("003").fields[1], "00002");
    ctl(&site, &["show", "2", "停水通知"]).expect(0, &["sent"]);
    assert!(terminal.hear("009").text.contains("停水通知"));
    ctl(&site, &["show", "2", "a,b"]).expect(1, &["without commas"]);
    server.stop();
}

#[test]
fn a_door_is_opened_by_hand_with_an_entry() {
    let site = Site::with("", "config door\n\toption machine '00007'\n\toption door '1'");
    let server = site.start();
    let mut board = Device::new(7, &server);
    let frame = board.access(&card(1), 0, "");
    board.ask(&frame, "050");
    ctl(&site, &["open", "7", "1", "--key", "o1"]).expect(0, &["done"]);
    board.hear("050");
    ctl(&site, &["open", "7", "2"]).expect(1, &["no `config door` names door 2"]);
    server.stop();
    let ledger = site.ledger();
    assert_eq!((ledger.only("remote").detail("by"), ledger.only("remote").raw("machine")), (Some("li"), "00007"));
}

#[test]
fn unknown_cards_are_listed_as_rows_to_paste() {
    let site = Site::new();
    let server = site.start();
    let mut terminal = Device::new(2, &server);
    for number in ["77", "78", "77"] {
        let frame = terminal.frame("103", &format!("{number},1.00,{DEVICE_TIME}"));
        terminal.ask(&frame, "006");
    }
    let said = ctl(&site, &["seen", "--unknown"]).expect(0, &["0000000077,,,active,,00002,", "0000000078,,,active,,"]);
    site.write("cards.csv", &said.out);
    site.run(&["cards", "check", "--config", "CONFIG"]).expect(0, &["2 cards"], &[]);
    ctl(&site, &["reload", "--accept"]).expect(0, &["2 cards: 2 new"]);
    let after = ctl(&site, &["seen", "--unknown"]).expect(0, &["card,account"]);
    assert_eq!(after.out.lines().count(), 1, "they are known now: {}", after.out);
    server.stop();
}

#[test]
fn discover_lists_who_answers_and_marks_what_is_wrong() {
    let site = Site::new();
    let server = site.start();
    // A device of the loopback's network, on a port of its own.
    let device = UdpSocket::bind("127.255.255.255:0").expect("the loopback's broadcast address");
    device.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = device.local_addr().unwrap().port();
    let mut client = Client::of(&site);
    let asked = client.ask(&format!("{{\"cmd\":\"discover\",\"port\":{port}}}"));
    assert_eq!(asked, "{\"ok\":true,\"networks\":1}");
    let mut frame = [0; 100];
    let (len, from) = device.recv_from(&mut frame).expect("a 000");
    assert_eq!((&frame[..len], from.port()), (&b"000"[..], server.port));
    // Two answer; one is set to another server, and both have the serial of one device.
    for (index, host) in ["127.0.0.1", "10.9.9.9"].into_iter().enumerate() {
        let own = UdpSocket::bind(format!("127.5.0.{}:0", index + 1)).unwrap();
        let answer = format!("100,00001,127.5.0.{},255.0.0.0,127.0.0.1,{host},39192,1000000055", index + 1);
        own.send_to(answer.as_bytes(), from).unwrap();
    }
    server.wait_for_count(2, "found source=127.5.0.");
    let found = client.ask("{\"cmd\":\"found-devices\"}");
    assert_eq!(found.matches("\"serial\":\"1000000055\"").count(), 2, "{found}");
    assert_eq!(found.matches("\"host_is_ours\":true").count(), 1, "{found}");
    assert_eq!(found.matches("\"twice\":[\"serial\"]").count(), 2, "{found}");
    // The next one begins anew.
    let port = port.to_string();
    ctl(&site, &["discover", "--port", &port, "--seconds", "0"]).expect(0, &["asked 1 networks, 0 devices answered"]);
    server.stop();
}
