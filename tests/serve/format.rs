//! The ledger's text follows design.md, section 7: header, columns, types, chain.

use crate::harness::{COLUMNS, DEVICE_TIME, Device, Ledger, Line, Site, card};

/// A ledger with an entry of nearly every kind that frames lead to.
fn a_day() -> Ledger {
    let site = Site::with("", "config door\n\toption machine '00007'\n\toption door '1'\n");
    let server = site.start();
    let mut pos = Device::new(2, &server);
    let mut board = Device::new(7, &server);
    let boot = pos.frame("101", DEVICE_TIME);
    pos.ask(&boot, "003");
    pos.pay(&card(2), "5.50");
    pos.confirm();
    let meal = pos.frame("104", &format!("{},{DEVICE_TIME}", card(3)));
    pos.ask(&meal, "008");
    let scan = pos.frame("128", &format!("0000000321,2.00,{DEVICE_TIME},0,{}", crate::harness::MEMBER_CODE));
    pos.ask(&scan, "008");
    let offline = pos.frame("105", &format!("{},3.25,2024-02-28 09:00:00,0,12345678,4", card(4)));
    pos.ask(&offline, "011");
    let unreadable = pos.frame("105", &format!("{},x\ty\\z,{DEVICE_TIME},0,12345679,3", card(4)));
    pos.ask(&unreadable, "011");
    let unknown = pos.charge("7777777777", "1.00");
    pos.ask(&unknown, "006");
    let keys = pos.frame("106", "12\\34");
    pos.send(&keys);
    let open = board.access(&card(5), 0, "");
    board.ask(&open, "050");
    let refuse = board.access("7777777777", 0, "");
    board.ask(&refuse, "051");
    pos.heard_so_far();
    server.stop();
    site.ledger()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_signed(text: &str) -> bool {
    is_digits(text.strip_prefix('-').unwrap_or(text))
}

fn is_yuan(text: &str) -> bool {
    text.split_once('.').is_some_and(|(yuan, fen)| is_signed(yuan) && is_digits(fen) && fen.len() == 2)
}

/// `2026-11-22T12:00:00.000+08:00`.
fn is_time(text: &str) -> bool {
    let shape: String =
        text.chars().map(|character| if character.is_ascii_digit() { '0' } else { character }).collect();
    shape == "0000-00-00T00:00:00.000+00:00" && text.ends_with("+08:00")
}

fn is_text(text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character.is_control() || (character == '\\' && !matches!(characters.next(), Some('\\' | 't' | 'n' | 'r'))) {
            return false;
        }
    }
    !text.is_empty()
}

fn is_detail(text: &str) -> bool {
    text.split(' ').all(|word| {
        word.split_once('=').is_some_and(|(key, value)| {
            let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            is_key && !value.contains('=')
        })
    })
}

fn is_of_type(column: &str, text: &str) -> bool {
    match column {
        "seq" | "ref" => is_digits(text) && !text.starts_with('0'),
        "time" => is_time(text),
        "clock" => matches!(text, "ok" | "unset"),
        "kind" => text.bytes().all(|byte| byte.is_ascii_lowercase()),
        "machine" | "frame" => is_digits(text) && text.len() == 5,
        "serial" => is_digits(text) && text.len() == 10,
        "card" => is_digits(text) && text.len() == 10,
        "account" | "device_time" | "slot" => is_text(text),
        "amount" | "balance" | "subsidy" | "subsidy_left" => is_yuan(text),
        "uses" | "uses_left" => is_signed(text),
        "detail" => is_text(text) && is_detail(text),
        "crc" => text.len() == 8 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
        _ => unreachable!(),
    }
}

#[test]
fn every_column_of_every_line_has_its_type() {
    let ledger = a_day();
    assert_eq!(ledger.torn, 0);
    let always = ["seq", "time", "clock", "kind", "crc"];
    for (line, number) in ledger.lines.iter().zip(1..) {
        assert_eq!(line.raw("seq"), format!("{number}"));
        for column in COLUMNS {
            match line.get(column) {
                Some(text) => assert!(is_of_type(column, text), "{column}: {text:?} in {line:?}"),
                None => assert!(!always.contains(&column), "{column} in {line:?}"),
            }
        }
    }
}

#[test]
fn the_kinds_of_a_day_are_in_the_order_of_their_frames() {
    let ledger = a_day();
    let kinds: Vec<&str> = ledger.kinds();
    let expected = [
        "start", "boot", "open", "charge", "confirm", "open", "meal", "open", "scan", "open", "offline", "offline",
        "decline", "keys", "admit", "refuse", "stop",
    ];
    // There are two devices, and only the frames of one device are ordered. A sale without its 109
    // is replaced by the next one.
    let mut sorted: Vec<&str> = kinds.iter().copied().filter(|kind| *kind != "unconfirmed").collect();
    sorted.sort_unstable();
    let mut wanted = expected.to_vec();
    wanted.sort_unstable();
    assert_eq!(sorted, wanted);
    let place = |kind: &str| kinds.iter().position(|other| *other == kind).unwrap();
    assert!(place("open") + 1 == place("charge"), "an account is opened just before it moves");
    assert!(place("charge") < place("confirm") && place("meal") < place("scan") && place("scan") < place("offline"));
}

#[test]
fn each_kind_fills_its_columns() {
    let ledger = a_day();
    let cells = |line: &Line, columns: &[&str]| -> String {
        columns.iter().map(|column| line.raw(column)).collect::<Vec<_>>().join(" ")
    };
    let money = ["amount", "subsidy", "uses", "balance", "subsidy_left", "uses_left"];
    let place = ["machine", "serial", "frame", "card", "account"];

    let open = ledger.of_kind("open").next().unwrap();
    assert_eq!(cells(open, &["card", "account"]), "8888888802 A00002");
    assert_eq!(cells(open, &money), "1000.00 0.00 100 1000.00 0.00 100");
    let charge = ledger.only("charge");
    assert_eq!(cells(charge, &place), "00002 1000000002 00002 8888888802 A00002");
    assert_eq!(cells(charge, &money), "-5.50 0.00 0 994.50 0.00 100");
    assert_eq!((charge.raw("device_time"), charge.raw("slot"), charge.raw("ref")), (DEVICE_TIME, "\\N", "\\N"));
    assert!(charge.detail("day").is_some());
    let confirm = ledger.only("confirm");
    assert_eq!(confirm.raw("ref"), charge.raw("seq"));
    assert_eq!(cells(confirm, &["amount", "subsidy", "uses"]), "\\N \\N \\N");
    let meal = ledger.only("meal");
    assert_eq!(cells(meal, &money), "0.00 0.00 -1 1000.00 0.00 99");
    let scan = ledger.only("scan");
    assert_eq!(cells(scan, &["card", "slot", "amount"]), "8888888801 0000000321 -2.00");
    let offline: Vec<&Line> = ledger.of_kind("offline").collect();
    assert_eq!(cells(offline[0], &["slot", "device_time"]), "12345678 2024-02-28 09:00:00");
    assert_eq!(cells(offline[0], &money), "-3.25 0.00 0 996.75 0.00 100");
    assert_eq!(cells(offline[1], &["amount", "uses"]), "0.00 0");
    assert!(offline[1].detail("claimed").is_some(), "{:?}", offline[1]);
    let decline = ledger.only("decline");
    assert_eq!((decline.detail("reason"), decline.detail("code")), (Some("unknown-card"), Some("103")));
    assert_eq!(decline.detail("asked"), Some("1.00"));
    let admit = ledger.only("admit");
    assert_eq!(cells(admit, &["machine", "card", "slot"]), "00007 8888888805 1:1");
    assert_eq!(ledger.only("refuse").detail("reason"), Some("unknown-card"));
    let start = ledger.only("start");
    assert_eq!((start.detail("cards"), start.detail("unopened")), (Some("12"), Some("12")));
    assert_eq!(start.detail("unopened_sum"), Some("12000.00"));
    assert!(start.detail("cards_crc").is_some() && start.detail("config_crc").is_some());
}

#[test]
fn an_account_s_amounts_add_up_to_its_balance() {
    let ledger = a_day();
    for (account, fen) in [("A00001", 99_800), ("A00002", 99_450), ("A00003", 100_000), ("A00004", 99_675)] {
        assert_eq!(ledger.sum(account), fen, "{account}");
        let last = ledger.lines.iter().rfind(|line| line.get("account") == Some(account)).unwrap();
        assert_eq!(last.fen("balance"), fen, "{account}");
    }
}

#[test]
fn the_header_names_the_ledger() {
    let site = Site::with("\toption site '食堂 one'", "");
    site.start().stop();
    let header = site.ledger().header;
    assert_eq!((header["version"].as_str(), header["site"].as_str()), ("2", "食堂 one"));
    assert_eq!((header["first"].as_str(), header["chain"].as_str()), ("1", "00000000"));
    assert!(is_time(&header["created"]), "{header:?}");
    let name = &header["ledger"];
    assert!(name.len() == 16 && u64::from_str_radix(name, 16).is_ok_and(|number| number != 0), "{name}");
    site.start().stop();
    assert_eq!(site.ledger().header, header, "the same ledger after a restart");
    let other = Site::new();
    other.start().stop();
    assert_ne!(&other.ledger().header["ledger"], name, "another ledger has another name");
}

#[test]
fn the_time_zone_stamps_entries_and_sets_clocks() {
    let boot_at = |zone: &str| {
        let site = Site::new();
        let config = std::fs::read_to_string(site.path("posgate")).unwrap();
        site.write("posgate", &config.replace("CST-8", zone));
        let server = site.start();
        let mut device = Device::new(2, &server);
        let boot = device.frame("101", DEVICE_TIME);
        let set = device.ask(&boot, "003");
        server.stop();
        let entry = site.ledger().only("boot").raw("time").to_owned();
        assert_eq!(entry[..19].replace('T', " "), set.fields[2], "003 carries the local time of its entry");
        entry
    };
    let (china, utc) = (boot_at("CST-8"), boot_at("UTC0"));
    assert!(china.ends_with("+08:00") && utc.ends_with("+00:00"), "{china} {utc}");
    let instant = |text: &str| posgate::engine::model::Stamp::parse(text).unwrap().wall.0;
    assert!((0..60_000).contains(&(instant(&utc) - instant(&china))), "the same instant, moments apart: {china} {utc}");
}
