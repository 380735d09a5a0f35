//! Datagrams from a network on which anybody can send.

use std::net::{Ipv4Addr, SocketAddrV4};

use nix::sys::signal::Signal;

use crate::harness::{COLUMNS, DEVICE_TIME, DOOR_PIN, DURESS_PIN, Device, Line, MEMBER_CODE, PIN, Site, card};

/// Bytes without a pattern, the same in each run (xorshift).
fn noise(state: &mut u32, len: usize) -> Vec<u8> {
    let mut next = || {
        *state ^= *state << 13;
        *state ^= *state >> 17;
        *state ^= *state << 5;
        state.to_le_bytes()[1]
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn a_datagram_that_is_not_a_frame_gets_no_reply_and_the_server_goes_on() {
    let site = Site::new();
    let server = site.start();
    let mut device = Device::new(2, &server);
    let too_few = format!("103,00001,{},127.0.0.1", device.address);
    let no_machine = format!("103,00001,{},127.0.0.1,twelve,{},1.00,{DEVICE_TIME}", device.address, card(1));
    let long = device.charge(&card(1), "1.00") + &",x".repeat(600);
    for bytes in [
        b"".as_slice(),
        b",",
        b",,,,,,,,,,,,",
        b"103",
        b"\0\0\0\0",
        b"abc,00001,1,2,3",
        b"1O3,00001,192.168.1.1,192.168.1.3,00002,8888888801,1.00,2024-02-29 12:00:00",
        b"103,seq,192.168.1.1,192.168.1.3,00002,8888888801,1.00,2024-02-29 12:00:00",
        b"103,,192.168.1.1,192.168.1.3,00002,8888888801,1.00,2024-02-29 12:00:00",
        b"103,-0001,192.168.1.1,192.168.1.3,00002,8888888801,1.00,2024-02-29 12:00:00",
        b"103,99999999999,192.168.1.1,192.168.1.3,00002,8888888801,1.00,2024-02-29 12:00:00",
        b"\xef\xbc\x8c103",
        too_few.as_bytes(),
        no_machine.as_bytes(),
        &long.as_bytes()[..1025],
        &[b'1'; 1025],
        &[0xFF; 9000],
    ] {
        device.send(bytes);
    }
    assert_eq!(device.heard_so_far(), []);
    // A few at a time, because the kernel's buffers are small.
    let mut state = 0x2545_F491;
    for round in 0..500 {
        device.send(noise(&mut state, round * 3 % 1400));
        if round % 50 == 49 {
            device.heard_so_far();
        }
    }
    // From here on this device holds the machine number, whatever serials come.
    device.pay(&card(1), "1.00");
    // Whole frames with some bytes changed may be answered, but only as the protocol answers.
    for round in 0..500_usize {
        let mut bytes = device.charge("7777777777", "1.00").into_bytes();
        for byte in noise(&mut state, 4) {
            let place = (usize::from(byte) * 7 + round) % bytes.len();
            bytes[place] = byte;
        }
        device.send(&bytes);
        if round % 50 == 49 {
            for reply in device.heard_so_far() {
                assert!(matches!(reply.code(), "001" | "003" | "006" | "009" | "051"), "{reply:?}");
            }
        }
    }
    assert!(device.pay(&card(1), "1.00").text.contains("{998.00}"));
    let ended = server.stop();
    assert_eq!(ended.err.lines().filter(|line| line.contains("panic")).count(), 0, "{}", ended.err);
    assert!(ended.out.contains("drop source="), "it is logged");
    assert!(ended.out.lines().filter(|line| line.contains("drop source=")).count() < 100, "within a limit");
}

#[test]
fn a_frame_of_1024_bytes_is_still_a_frame() {
    let site = Site::new();
    let server = site.start();
    let mut device = Device::new(2, &server);
    let head = device.frame("106", "").trim_end_matches(|character| character != ',').to_owned();
    let keys = format!("{head}{}", "1".repeat(1024 - head.len()));
    assert_eq!(keys.len(), 1024);
    device.send(&keys);
    assert_eq!(device.hear("001").fields[1], "00001");
    server.stop();
}

#[test]
fn an_unknown_code_is_acknowledged_with_its_seq_as_received() {
    let site = Site::new();
    let server = site.start();
    let device = Device::new(2, &server);
    for (frame, ack) in [("107,00042,x", "001,00042"), ("999,7", "001,7"), ("004,0000000123,,,,", "001,0000000123")] {
        device.send(frame);
        assert_eq!(device.next().text, ack);
    }
    server.stop();
    assert_eq!(site.ledger().kinds(), ["start", "stop"]);
}

#[test]
fn a_reply_leaves_from_the_address_that_received_the_request() {
    let site = Site::new();
    let server = site.start_with(&["--listen", "0.0.0.0:0"]);
    for last in [7, 1, 99] {
        // A connected socket receives only from that address.
        let mut device = Device::new(u32::from(last), &server);
        device.turn_to_address(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), server.port));
        device.pay(&card(u64::from(last % 12) + 1), "1.00");
        // Resends leave from there too.
        device.hear("008");
    }
    server.stop();
}

#[test]
fn several_addresses_are_served_at_once() {
    let site = Site::new();
    let server = site.start_with(&["--listen", "127.0.0.3:0", "--listen", "127.0.0.4:0"]);
    server.wait_for_count(2, "listening address=");
    for address in ["127.0.0.3", "127.0.0.4"] {
        let line = server.wait_for(&format!("listening address={address}:"));
        let port = line.rsplit_once(':').unwrap().1.parse().unwrap();
        let mut device = Device::new(2, &server);
        device.serial = "5555555555".to_owned();
        device.turn_to_address(SocketAddrV4::new(address.parse().unwrap(), port));
        device.pay(&card(1), "1.00");
    }
    server.stop();
}

#[test]
fn sources_outside_the_allowed_networks_get_no_reply() {
    let site = Site::with("\tlist allow '127.1.0.0/16'", "");
    let server = site.start();
    let mut inside = Device::new(2, &server);
    let mut outside = Device::new(3, &server);
    outside.address = Ipv4Addr::new(127, 2, 0, 1);
    outside.turn_to(&server);
    let frame = outside.charge(&card(1), "1.00");
    outside.send(&frame);
    inside.pay(&card(2), "1.00");
    outside.socket.set_nonblocking(true).unwrap();
    assert!(outside.socket.recv(&mut [0; 100]).is_err(), "both frames were in the server before the second's answer");
    server.stop();
    assert_eq!(site.ledger().count("charge"), 1);
}

#[test]
fn no_pin_and_no_code_reaches_ledger_or_log() {
    let doors = format!(
        "config door\n\toption machine '00007'\n\toption door '1'\n\toption pin 'card'\n\toption open_pin '{DOOR_PIN}'\n"
    );
    let site = Site::with("\toption log 'trace'", &doors);
    let config = std::fs::read_to_string(site.path("posgate")).unwrap();
    site.write("posgate", &config.replace("\toption log 'debug'\n", ""));
    let server = site.start();
    let mut board = Device::new(7, &server);
    let wrong_pin = "40404848";
    let foreign_code = "2887766554433221";
    let one = card(1);
    for (card, kind, pin, code) in [
        (one.as_str(), 1, PIN, "050"),
        (&one, 2, PIN, "050"),
        (&one, 1, DURESS_PIN, "050"),
        (&one, 4, DURESS_PIN, "050"),
        (&one, 4, wrong_pin, "051"),
        (&one, 1, wrong_pin, "051"),
        (&one, 3, DOOR_PIN, "050"),
        ("", 3, DOOR_PIN, "050"),
        ("", 3, wrong_pin, "051"),
        ("7777777777", 1, PIN, "051"),
    ] {
        let frame = board.access(card, kind, pin);
        let reply = board.ask(&frame, code);
        assert!(![PIN, DURESS_PIN, DOOR_PIN, wrong_pin].iter().any(|pin| reply.text.contains(pin)));
        // And again: a duplicate.
        board.send(&frame);
        board.hear(code);
        board.confirm();
    }
    // A known code whose reader or kind is not a number; a PIN that is too long.
    let broken = [
        board.frame("150", &format!("{one},x,1,0,1,{PIN},{DEVICE_TIME}")),
        board.frame("150", &format!("{one},1,1,0,x,{PIN},{DEVICE_TIME}")),
        board.access(&one, 1, &format!("{PIN}{PIN}")),
        // One field is missing, so the PIN is in the place of another field.
        board.frame("150", &format!("{one},1,0,1,{PIN},{DEVICE_TIME}")),
        board.frame("150", &format!("1,1,0,1,{PIN},{DEVICE_TIME}")),
    ];
    for frame in broken {
        board.send(&frame);
        board.hear("051");
    }
    // Another device with the board's number.
    let mut stranger = Device::new(7, &server);
    stranger.serial = "9090909090".to_owned();
    let frame = stranger.access(&one, 1, PIN);
    stranger.ask(&frame, "051");
    let mut pos = Device::new(2, &server);
    for (code, reply) in [(MEMBER_CODE, "008"), (foreign_code, "006")] {
        let frame = pos.frame("128", &format!("0000000321,2.00,{DEVICE_TIME},0,{code}"));
        pos.ask(&frame, reply);
        pos.send(&frame);
        pos.hear(reply);
        let malformed = pos.frame("128", &format!("0000000321,two,{DEVICE_TIME},0,{code}"));
        pos.ask(&malformed, "006");
    }
    site.write("cards.csv", &crate::harness::card_table(12).replace(PIN, &format!("{PIN}{PIN}")));
    server.signal(Signal::SIGHUP);
    server.wait_for_trouble("reload refused");
    let ended = server.stop();
    // Without header and crcs, which may have any digits.
    let ledger = site.ledger().lines;
    let columns = |line: &Line| COLUMNS[..19].iter().map(|column| line.raw(column)).collect::<Vec<_>>().join("\t");
    let ledger = ledger.iter().map(columns).collect::<Vec<_>>().join("\n");
    assert!(ledger.contains("rule=duress") && ledger.contains("reason=pin") && ledger.contains("foreign-code"));
    assert!(ended.out.contains("debug: frame code=150"), "everything was logged:\n{}", ended.out);
    for secret in [PIN, DURESS_PIN, DOOR_PIN, wrong_pin, MEMBER_CODE, foreign_code] {
        // Codes may show their last four characters.
        let part = &secret[..if secret.len() > 8 { secret.len() - 4 } else { 6 }];
        for (place, text) in [("out", &ended.out), ("err", &ended.err), ("ledger", &ledger)] {
            let line = text.lines().find(|line| line.contains(part));
            assert_eq!(line, None, "{part} of {secret} in {place}");
        }
    }
    for text in [&ended.out, &ended.err] {
        assert!(!text.contains(&one), "a log shows a card's last four digits");
    }
}

#[test]
fn frames_beyond_the_rate_of_a_source_are_dropped_and_others_are_served() {
    let site = Site::new();
    let config = std::fs::read_to_string(site.path("posgate")).unwrap();
    site.write("posgate", &config.replace("rate_source '0'", "rate_source '1'"));
    let server = site.start();
    let flood = Device::new(2, &server);
    let mut other = Device::new(3, &server);
    for seq in 0..300 {
        flood.send(format!("199,{seq:05}"));
    }
    other.pay(&card(1), "1.00");
    flood.socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 100];
    let heard = (0..300).take_while(|_| flood.socket.recv(&mut buffer).is_ok()).count();
    assert!((4..100).contains(&heard), "{heard} of 300 were answered");
    server.stop();
}

#[test]
fn a_door_requested_while_the_server_was_stopped_does_not_open() {
    let site = Site::with("\toption door_ttl_ms '400'", "config door\n\toption machine '00007'\n\toption door '1'");
    let server = site.start();
    let mut board = Device::new(7, &server);
    let frame = board.access(&card(1), 0, "");
    board.ask(&frame, "050");
    board.confirm();
    server.signal(Signal::SIGSTOP);
    let frame = board.access(&card(2), 0, "");
    board.send(&frame);
    // This test is about real time, so it waits for it.
    std::thread::sleep(std::time::Duration::from_millis(900));
    server.signal(Signal::SIGCONT);
    assert!(board.hear("051").text.contains("请重新刷卡"));
    // A request now opens the door.
    let frame = board.access(&card(2), 0, "");
    board.ask(&frame, "050");
    server.stop();
    let ledger = site.ledger();
    assert_eq!(ledger.only("refuse").detail("reason"), Some("replay"));
    assert_eq!(ledger.count("admit"), 2);
}
