//! What the desk sees of the devices, and what it tells them.

use std::net::UdpSocket;

use crate::harness::{DEVICE_TIME, Device, PATIENCE, Site, card};
use crate::own_network::{has_own_network, sh};
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
    ctl(&site, &["clock", "all"]).expect(0, &["clock set on 1 device"]);
    assert_eq!(terminal.hear("003").fields[1], "00002");
    ctl(&site, &["show", "2", "停水通知"]).expect(0, &["sent"]);
    assert!(terminal.hear("009").text.contains("停水通知"));
    ctl(&site, &["show", "2", "a,b"]).expect(1, &["without commas"]);
    server.stop();
}

#[test]
fn the_sections_of_uci_are_whole() {
    let rule = "config device\n\toption machine '00002'\n\toption name 'Li'\\''s'\n\toption serial '1000000002'\n\
                \tlist place 'canteen'\n\tlist group 'staff'\n\tlist group '老师'\n";
    let door = "config door\n\toption machine '00007'\n\toption door '1'\n";
    let site = Site::with("", &format!("{rule}{door}"));
    let server = site.start();
    let mut terminal = Device::new(2, &server);
    let frame = terminal.frame("102", &card(1));
    terminal.ask(&frame, "009");
    let mut board = Device::new(7, &server);
    let frame = board.access(&card(1), 0, "");
    board.ask(&frame, "050");
    let uci = ctl(&site, &["devices", "--uci"]).expect(0, &[]).out;
    let section = |machine: &str| {
        let own = uci.split("config device\n").find(|section| section.contains(machine));
        own.unwrap_or_else(|| panic!("no {machine}: {uci}"))
    };
    for line in [
        "name 'Li'\\''s'",
        "serial '1000000002'",
        "kind 'pos'",
        "list place 'canteen'",
        "list group 'staff'",
        "list group '老师'",
    ] {
        assert!(section("00002").contains(line), "{line}: {uci}");
    }
    // It asked for a door: pasted as a terminal it would be warned about.
    assert!(section("00007").contains("option kind 'board'"), "{uci}");
    site.configure("", &format!("{uci}{door}"));
    let checked = site.run(&["check", "--config", "CONFIG"]).expect(0, &["devices=2"], &[]);
    assert!(!checked.err.contains("00007"), "{}", checked.err);
    ctl(&site, &["reload"]).expect(0, &[]);
    assert_eq!(ctl(&site, &["devices", "--uci"]).out, uci, "nothing is lost on the way");
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
    let said = ctl(&site, &["seen", "--unknown"]);
    let said = said.expect(0, &["0000000077,,,,,,,\n0000000078,,,,,,,\n", "0000000077: machine 00002, ", ", 2 times"]);
    assert!(said.out.starts_with("card,account,name,balance,uses,pin,duress_pin,code\n"), "{}", said.out);
    // Under the headings of the table in service, and as a file of its own.
    let table = std::fs::read_to_string(site.path("cards.csv")).unwrap();
    let rows = said.out.split_once('\n').unwrap().1;
    site.write("cards.csv", &format!("{table}{rows}"));
    site.run(&["cards", "check", "--config", "CONFIG"]).expect(0, &["14 cards"], &[]);
    site.write("cards.csv", &said.out);
    site.run(&["cards", "check", "--config", "CONFIG"]).expect(0, &["2 cards"], &[]);
    let refused = ctl(&site, &["reload"]).expect(1, &["lacks 12 of 12 cards, all of them"]);
    ctl(&site, &["reload", "--accept", &crate::whole::crc_in(&refused.err)]).expect(0, &["2 cards: 2 new"]);
    let after = ctl(&site, &["seen", "--unknown"]).expect(0, &["card,account"]);
    assert_eq!(after.out.lines().count(), 1, "they are known now: {}", after.out);
    server.stop();
}

#[test]
fn unknown_cards_are_listed_in_the_order_of_the_table_and_by_their_other_forms() {
    let site = Site::new();
    // The example's order: somebody's free meals and a PIN stand where another table has a status
    // and a balance.
    let table = "卡号,编号,姓名,状态,余额,次数,分组,密码,x_备注\n0305419896,T1,张三,正常,1.00,,,,\n";
    site.write("cards.csv", table);
    let server = site.start();
    let mut terminal = Device::new(2, &server);
    // 0x12345678 with its bytes reversed.
    let frame = terminal.frame("103", &format!("2018915346,1.00,{DEVICE_TIME}"));
    terminal.ask(&frame, "006");
    let said = ctl(&site, &["seen", "--unknown"]);
    let said = said.expect(0, &["perhaps card 0305419896 of the table, the bytes reversed"]);
    let (header, row) = said.out.trim_end().split_once('\n').unwrap();
    assert_eq!(header, "卡号,编号,姓名,状态,余额,次数,分组,密码,x_备注");
    assert!(row.starts_with("2018915346,,,active,,,,,\"machine 00002, "), "{row}");
    // A reload with other headings is followed.
    site.write("cards.csv", "姓名;卡号\n张三;0305419896\n");
    let refused = ctl(&site, &["reload"]).expect(1, &["reload --accept"]);
    ctl(&site, &["reload", "--accept", &crate::whole::crc_in(&refused.err)]).expect(0, &["1 cards"]);
    let said = ctl(&site, &["seen", "--unknown"]).expect(0, &[]);
    assert_eq!(said.out, "姓名;卡号\n;2018915346\n");
    // The row gives nobody's meals, and no PIN.
    site.write("cards.csv", &format!("{table}{row}\n"));
    ctl(&site, &["reload"]).expect(0, &["2 cards: 1 new"]);
    ctl(&site, &["card", "2018915346"]).expect(0, &["holds     0.00 yuan, 0 uses"]);
    let said = ctl(&site, &["seen", "--unknown", "--json"]);
    assert_eq!(said.out.trim(), "{\"ok\":true,\"cards\":[]}");
    server.stop();
}

#[test]
fn a_reload_says_what_is_doubtful_in_the_table() {
    let site = Site::new();
    let server = site.start();
    let table = std::fs::read_to_string(site.path("cards.csv")).unwrap();
    site.write("cards.csv", &table.replacen("name", "籍贯", 1));
    let said = ctl(&site, &["reload"]).expect(0, &["warning: ", "unknown column '籍贯' is ignored"]);
    assert!(said.out.starts_with("12 cards: "), "{said:?}");
    let said = ctl(&site, &["reload", "--json"]).expect(0, &["\"warnings\":[\""]);
    assert!(said.out.contains("cards.csv:1: unknown column"), "{said:?}");
    site.run(&["cards", "check", "--config", "CONFIG"]).expect(0, &[], &["unknown column '籍贯'"]);
    site.run(&["check", "--config", "CONFIG"]).expect(0, &[], &["unknown column '籍贯'"]);
    site.write("cards.csv", &table.replacen("name", "人员状态", 1));
    ctl(&site, &["reload"]).expect(1, &["'人员状态': it seems to restrict cards", "状态/status"]);
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

#[test]
fn discover_says_how_many_found_no_place_and_leaves_out_no_registered_device() {
    let site = Site::with("", "config device\n\toption machine '00042'\n\toption serial '1000000042'");
    let server = site.start();
    let (to, count) = (("127.0.0.1", server.port), 300_u32);
    for number in 1..=count {
        let own = UdpSocket::bind(format!("127.6.{}.{}:0", number / 200, number % 200 + 1)).unwrap();
        let serial = if number == count { 42 } else { 5000 + number };
        let answer =
            format!("100,00001,{0},255.0.0.0,127.0.0.1,127.0.0.1,39192,1{serial:09}", own.local_addr().unwrap().ip());
        own.send_to(answer.as_bytes(), to).unwrap();
        if number % 50 == 0 {
            server.wait_for_count(number as usize, "found source=127.6.");
        }
    }
    let mut client = Client::of(&site);
    let mut found = client.ask("{\"cmd\":\"found-devices\"}");
    assert!(found.contains("\"devices\":[{\"source\":\"127.6.1.101\""), "{found}");
    assert!(found.contains("\"left_out\":44"), "{found}");
    let mut seen = 0;
    loop {
        seen += found.matches("\"source\"").count();
        let Some((_, next)) = found.split_once("\"next\":") else { break };
        let next: String = next.chars().take_while(char::is_ascii_digit).collect();
        found = client.ask(&format!("{{\"cmd\":\"found-devices\",\"after\":{next}}}"));
    }
    assert_eq!(seen, 256);
    server.stop();
}

#[test]
fn discover_marks_a_machine_number_that_two_devices_use() {
    let site = Site::new();
    let server = site.start();
    let mut first = Device::new(5, &server);
    first.pay(&card(1), "1.00");
    let mut second = Device::new(5, &server);
    second.serial = "1000000077".to_owned();
    let frame = second.charge(&card(1), "1.00");
    assert!(second.ask(&frame, "006").text.contains("机号重复"));
    let mut third = Device::new(6, &server);
    third.pay(&card(2), "1.00");
    // A 100 names no machine number: the frames before did.
    for device in [&first, &second, &third] {
        device.send(format!("100,00001,{0},255.0.0.0,{0},127.0.0.1,39192,{1}", device.address, device.serial));
    }
    server.wait_for_count(3, "found source=");
    let mut client = Client::of(&site);
    let found = client.ask("{\"cmd\":\"found-devices\"}");
    assert_eq!(
        found.matches("\"machine\":\"00005\",\"host_is_ours\":true,\"twice\":[\"machine\"]").count(),
        2,
        "{found}"
    );
    assert_eq!(found.matches("\"machine\":\"00006\",\"host_is_ours\":true,\"twice\":[]").count(), 1, "{found}");
    // With a number of its own it is no rival any more.
    second.machine = "00008".to_owned();
    let frame = second.charge(&card(1), "2.00");
    second.ask(&frame, "008");
    let found = client.ask("{\"cmd\":\"found-devices\"}");
    assert!(!found.contains("\"twice\":[\"machine\"]") && found.contains("\"machine\":\"00008\""), "{found}");
    server.stop();
}

#[test]
fn a_000_goes_to_every_served_interface_and_to_no_other() {
    if !has_own_network("devices::a_000_goes_to_every_served_interface_and_to_no_other") {
        return;
    }
    // The first address is given no broadcast address, as by a plain `ip addr add`; the last two
    // networks have none.
    let network = "ip link set lo up
        for n in 1 2 3; do
            ip link add d$n type veth peer name p$n && ip link set d$n up && ip link set p$n up
        done
        ip addr add 10.71.0.1/24 dev d1 && ip addr add 10.72.0.1/25 brd + dev d2
        ip addr add 10.73.0.1/32 dev d3 && ip addr add 10.74.0.0/31 dev d3";
    sh(network);
    // What is broadcast there comes back to us.
    let heard: Vec<UdpSocket> = ["10.71.0.255:39190", "10.72.0.127:39190"]
        .iter()
        .map(|address| {
            let device = UdpSocket::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
            device.set_read_timeout(Some(PATIENCE)).unwrap();
            device
        })
        .collect();
    let hear = |device: &UdpSocket| {
        let mut frame = [0; 100];
        let (len, from) = device.recv_from(&mut frame).expect("a 000");
        assert_eq!(&frame[..len], b"000");
        from.ip().to_string()
    };
    let site = Site::new();
    let listen_on = |lines: &str| {
        let config = std::fs::read_to_string(site.path("posgate")).unwrap();
        let rest: Vec<&str> = config.lines().filter(|line| !line.contains("list ")).collect();
        site.write("posgate", &format!("{}\n{lines}{}\n", rest[0], rest[1..].join("\n")));
    };
    listen_on("\tlist listen '0.0.0.0:39192'\n");
    let server = site.start();
    ctl(&site, &["discover", "--seconds", "0"]).expect(0, &["asked 2 networks"]);
    assert_eq!((hear(&heard[0]), hear(&heard[1])), ("10.71.0.1".to_owned(), "10.72.0.1".to_owned()));
    server.stop();
    for (lines, served) in
        [("\tlist listen '0.0.0.0:39192'\n\tlist bind_device 'd1'\n", 0), ("\tlist listen '10.72.0.1:39192'\n", 1)]
    {
        listen_on(lines);
        let server = site.start();
        ctl(&site, &["discover", "--seconds", "0"]).expect(0, &["asked 1 networks"]);
        hear(&heard[served]);
        heard[1 - served].set_nonblocking(true).unwrap();
        let silence = heard[1 - served].recv(&mut [0; 100]).expect_err("it is not served");
        assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock);
        heard[1 - served].set_nonblocking(false).unwrap();
        server.stop();
    }
    listen_on("\tlist listen '10.73.0.1:39192'\n");
    let server = site.start();
    ctl(&site, &["discover"])
        .expect(1, &["no network of this machine supports broadcasts: listen on an address that has one"]);
    server.stop();
}
