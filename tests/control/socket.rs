//! The control socket as the manual promises it to scripts: what stands in its table is what the
//! real server answers with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use tinyjson::JsonValue;

use crate::harness::{Device, Server, Site, card};
use crate::tools::{Client, member, until};

/// The members that the table names for the answers to each command, whatever their depth.
fn promised() -> BTreeMap<String, BTreeSet<String>> {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/control-socket-and-status.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let table = manual.split("\n## The control socket\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let words = |cell: &str| -> BTreeSet<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let rows = table.lines().filter(|line| line.starts_with("| `")).skip(1);
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        (words(cells[1]).into_iter().next().unwrap(), words(cells[4]))
    })
    .collect()
}

fn members(value: &JsonValue, names: &mut BTreeSet<String>) {
    match value {
        JsonValue::Object(members_here) => {
            for (name, value) in members_here {
                names.insert(name.clone());
                members(value, names);
            }
        }
        JsonValue::Array(values) => values.iter().for_each(|value| members(value, names)),
        _ => (),
    }
}

/// Asks, and keeps what the answers hold.
struct Script {
    client: Client,
    seen: BTreeMap<String, BTreeSet<String>>,
    keys: u32,
}

impl Script {
    fn ask(&mut self, cmd: &str, fields: &str) -> String {
        let line = self.client.ask(&format!("{{\"cmd\":\"{cmd}\"{fields}}}"));
        assert!(line.len() <= 4096, "{line}");
        let mut names = BTreeSet::new();
        members(&line.parse().unwrap_or_else(|error| panic!("{error}: {line}")), &mut names);
        self.seen.entry(cmd.to_owned()).or_default().extend(names);
        line
    }

    fn done(&mut self, cmd: &str, fields: &str) -> String {
        let line = self.ask(cmd, fields);
        assert!(line.starts_with("{\"ok\":true"), "{cmd}{fields}: {line}");
        line
    }

    fn order(&mut self, cmd: &str, fields: &str) -> String {
        self.keys += 1;
        let fields = format!("{fields},\"key\":\"k{}\",\"by\":\"li\"", self.keys);
        self.done(cmd, &fields)
    }
}

/// Cards with all columns that an answer shows, and as many as fill more than one line.
fn table() -> String {
    let header = "card,account,name,balance,uses,status,valid_from,valid_until,charge_max,day_max,credit\n";
    let mut table = header.to_owned();
    for number in 1..=60 {
        writeln!(table, "{},A{number:05},张三,1000.00,100,,2020-01-01,2099-12-31,500,900,5", card(number)).unwrap();
    }
    table
}

/// A registered device whose places and groups no line holds, another registered one, and a door.
fn sections() -> String {
    let mut sections = "config device\n\toption machine '00009'\n\toption name '大门'\n".to_owned();
    for number in 0..60 {
        writeln!(sections, "\tlist place 'p{number:063}'").unwrap();
    }
    sections.push_str("config device\n\toption machine '00002'\n\tlist place 'canteen'\n\tlist group 'staff'\n");
    sections + "config door\n\toption machine '00007'\n\toption door '1'\n"
}

fn swipe(server: &Server) {
    // Twenty-two sales in doubt, one of which will be voided, and so many cards that nobody knows
    // that they fill more than one line.
    let mut terminal = Device::new(3, server);
    for cent in 1..=22 {
        terminal.pay(&card(5), &format!("0.{cent:02}"));
    }
    let record = terminal.frame("105", "9999999999,8.00,2024-02-29 11:00:00,0,7,1");
    terminal.ask(&record, "011");
    for number in 100..164 {
        let frame = terminal.charge(&number.to_string(), "1.00");
        terminal.ask(&frame, "006");
    }
}

#[test]
fn every_answer_holds_what_the_readme_says_and_nothing_else() {
    let site = Site::with("", &sections());
    site.write("cards.csv", &table());
    // The ledger is an older copy: `acknowledge` has something to end.
    site.start().stop();
    let known = std::fs::read_to_string(site.path("identity")).unwrap();
    site.write("identity", &known.replace("seq=", "seq=9"));
    let server = site.start();
    let mut script = Script { client: Client::of(&site), seen: BTreeMap::new(), keys: 0 };
    let card_of = |number: u64| format!(",\"card\":\"{}\"", card(number));
    for cmd in ["topup", "subsidy", "payout", "adjust"] {
        let fields = format!("{},\"amount\":\"1.00\"", card_of(1));
        let seq = script.order(cmd, &fields);
        assert!(seq.contains("\"again\":false,\"seq\":"), "{seq}");
        // A row of a file, and the same again; whether the table's name is another nobody asks
        // then.
        let row = format!("{fields},\"for\":\"2026-12\",\"nth\":2,\"by\":\"li\"");
        script.done(cmd, &row);
        let again = script.done(cmd, &format!("{row},\"name\":\"王五\""));
        assert!(
            again.contains("\"again\":true,\"seq\":") && again.contains("\"for\":\"2026-12\",\"nth\":2"),
            "{again}"
        );
    }
    script.order("subsidy", &format!("{},\"clear\":true", card_of(1)));
    script.order("subsidy", &format!("{},\"clear\":true", card_of(1)));
    let all = ",\"clear\":true,\"all\":true,\"for\":\"2026-11\",\"by\":\"li\"";
    until("every purse is empty", || script.done("subsidy", all).contains("\"done\":true"));
    swipe(&server);
    let mut board = Device::new(7, &server);
    let frame = board.access(&card(2), 0, "");
    board.ask(&frame, "050");
    script.order("open", ",\"machine\":\"7\",\"door\":\"1\"");
    for number in 20..90 {
        let mut device = Device::new(number, &server);
        let frame = device.frame("102", &card(1));
        device.ask(&frame, "009");
        device.send(format!("100,00001,{0},255.0.0.0,{0},10.9.9.9,39192,{1}", device.address, device.serial));
    }
    server.wait_for_count(70, "found source=");
    let sale = site.ledger().of_kind("charge").next().unwrap().raw("seq").to_owned();
    script.order("void", &format!(",\"seq\":{sale}"));
    for cmd in ["lost", "found", "freeze", "unfreeze", "close"] {
        script.order(cmd, &card_of(3));
        script.done(cmd, &format!("{},\"for\":\"{cmd}\",\"by\":\"li\"", card_of(3)));
    }
    script.order("replace", &format!(",\"old\":\"{}\",\"new\":\"8888888899\"", card(4)));
    for number in [3, 4, 5] {
        script.done("card", &card_of(number));
    }
    site.write("cards.csv", &format!("{}9999999999,S9,王五,,,,,,,,\n", table()));
    script.done("reload", "");
    let whole = std::fs::read_to_string(site.path("cards.csv")).unwrap();
    site.write("cards.csv", &whole[..=whole.find('\n').unwrap()]);
    assert!(script.ask("reload", "").contains("\"crc\":\""));
    site.write("cards.csv", &whole);
    script.done("card", ",\"card\":\"9999999999\"");
    script.order("account", ",\"card\":\"9999999999\",\"account\":\"S8\"");
    script.order("rename", ",\"old\":\"S8\",\"new\":\"S7\"");
    let row = "\"for\":\"2027\",\"by\":\"li\"";
    script.done("account", &format!(",\"card\":\"9999999999\",\"account\":\"S8\",{row}"));
    script.done("rename", &format!(",\"old\":\"S8\",\"new\":\"S6\",{row}"));
    site.write("cards.csv", &format!("{}9999999999,S5,王五,,,,,,,,\n", table()));
    script.done("reload", "");
    script.order("reissue", ",\"card\":\"9999999999\"");
    for cmd in ["cards", "unknown", "devices", "found-devices"] {
        // As a script goes through a list.
        let mut line = script.done(cmd, "");
        let mut pages = 1;
        while let Some((_, next)) = line.split_once("\"next\":") {
            line = script.done(cmd, &format!(",\"after\":{}", next.trim_end_matches('}')));
            pages += 1;
        }
        assert!(pages > 1, "{cmd}");
    }
    script.done("clock", ",\"machine\":\"all\"");
    script.done("show", ",\"machine\":\"3\",\"text\":\"x\"");
    script.done("clock-accept", ",\"by\":\"li\"");
    script.done("acknowledge", ",\"by\":\"li\"");
    script.done("branch", ",\"by\":\"li\"");
    script.done("sync", "");
    script.done("head", "");
    script.done("wait", ",\"after\":0");
    script.done("crc_of", ",\"seq\":1");
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    script.done("discover", &format!(",\"port\":{nobody}"));
    site.write("cards.csv", &format!("{}{}", table(), "12x,,,,,,,,,,\n".repeat(30)));
    assert!(script.ask("reload", "").starts_with("{\"ok\":false"));
    site.write("cards.csv", &table());
    script.done("reload", "");
    // From here on the client is an office.
    script.done("link", ",\"office\":\"hq\"");
    let head = script.done("head", "").parse().unwrap();
    let [ledger, seq, crc] = ["ledger", "seq", "crc"].map(|key| member(&head, key));
    script.done("ack", &format!(",\"ledger\":\"{ledger}\",\"seq\":{seq},\"crc\":\"{crc}\""));
    assert!(script.ask("forget-office", ",\"office\":\"hq\"").contains("an office may not forget-office"));
    script.client = Client::of(&site);
    script.done("forget-office", ",\"office\":\"hq\",\"by\":\"li\"");
    server.stop();

    for (cmd, promised) in promised() {
        if cmd == "status" {
            // The status object has tables of its own, and tests.
            continue;
        }
        let mut seen = script.seen.remove(&cmd).unwrap_or_else(|| panic!("{cmd} was not asked"));
        for name in ["ok", "error"] {
            seen.remove(name);
        }
        assert_eq!(seen, promised, "{cmd}: left the answers, right the manual");
    }
    assert_eq!(script.seen.len(), 0, "{:?} stand in no table", script.seen);
}
