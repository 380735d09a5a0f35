//! First and last passages of a day.

use std::fs;

use posgate::engine::model::{CardNo, ClockState, Detail, Entry, Kind, MachineNo, Stamp};

use crate::naive::Json;
use crate::{generate, ledger, text};

const CONFIG: &str =
    "config server 'main'\n option cards 'cards.csv'\n option ledger_dir 'ledger'\n option timezone 'CST-8'\n";

/// Passages of three cards on two days; a table that knows two of them.
fn passages() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let entry = |kind: Kind, time: &str, card: &[u8], detail: Detail| {
        let stamp = Stamp::parse(format!("2026-11-{time}.000+08:00")).unwrap();
        let mut entry = Entry::new(kind, stamp, ClockState::Ok);
        (entry.card, entry.machine) = (CardNo::parse(card), MachineNo::parse(b"00007"));
        entry.detail = detail;
        entry
    };
    let none = Detail::default;
    let corrected = || none().with("correction", 1);
    let (one, two, three): (&[u8], &[u8], &[u8]) = (b"8888888801", b"8888888802", b"8888888803");
    let mut unset = entry(Kind::Admit, "23T00:00:05", three, none().with("day", "2026-11-22"));
    unset.clock = ClockState::Unset;
    let entries = vec![
        entry(Kind::Refuse, "21T07:00:00", one, none().with("reason", "pin")),
        entry(Kind::Admit, "21T08:00:00", one, none()),
        entry(Kind::Admit, "21T08:01:00", two, corrected()),
        entry(Kind::Admit, "21T12:00:00", one, corrected()),
        // The clock was set back.
        entry(Kind::Admit, "21T07:59:00", one, none()),
        entry(Kind::Admit, "21T17:30:00", one, corrected()),
        entry(Kind::Refuse, "21T20:00:00", one, none().with("reason", "door-time")),
        // After midnight, before the business day ended.
        entry(Kind::Admit, "22T02:00:00", two, none().with("day", "2026-11-21")),
        entry(Kind::Admit, "22T09:00:00", two, none()),
        unset,
        entry(Kind::Remote, "23T10:00:00", one, none()),
    ];
    generate::write_entries(&directory.path().join("ledger"), "site", entries);
    let table = "card,name,department\n8888888801,张三,食堂\n8888888802,李四,\n";
    fs::write(directory.path().join("cards.csv"), table).unwrap();
    fs::write(directory.path().join("posgate"), CONFIG).unwrap();
    directory
}

#[test]
fn each_card_has_its_first_and_last_passage_of_each_day_with_corrections_marked() {
    let directory = passages();
    let config = directory.path().join("posgate");
    let report = |arguments: &[&str]| {
        let common = ["report", "--attendance", "--config", text(&config)];
        ledger(&[common.as_slice(), arguments].concat()).expect(0, &[], &[]).out
    };
    let csv = report(&["--csv", "--month", "2026-11"]);
    let lines: Vec<&str> = csv.trim_start_matches('\u{FEFF}').split_terminator("\r\n").collect();
    assert_eq!(
        lines,
        [
            "day,card,name,department,first,mark 1,last,mark 2,n,corr.",
            "2026-11-21,8888888801,张三,食堂,07:59:00,,17:30:00,补 correction,4,2",
            "2026-11-21,8888888802,李四,,08:01:00,补 correction,2026-11-22 02:00:00,,2,1",
            "2026-11-22,8888888802,李四,,09:00:00,,09:00:00,,1,0",
            "2026-11-22,8888888803,,,2026-11-23 00:00:05,时钟 clock,2026-11-23 00:00:05,时钟 clock,1,0",
        ]
    );
    let json = Json::read(&report(&["--json", "--from", "2026-11-21", "--to", "2026-11-21"]));
    let rows = json.list("attendance");
    assert_eq!(rows.len(), 2, "the other day is left out");
    assert_eq!((rows[1].text("card"), rows[1].text("name")), ("8888888802", "李四"));
    assert_eq!(rows[1].get("first.correction"), &Json::Flag(true));
    assert_eq!((rows[1].text("last.time"), rows[1].number("corrections")), ("2026-11-22 02:00:00", 1));
    let paper = report(&["--day", "2026-11-21"]);
    let line = paper.lines().find(|line| line.contains("张三")).unwrap();
    let words: Vec<&str> = line.split_whitespace().skip(4).collect();
    assert_eq!(words, ["07:59:00", "17:30:00", "补", "correction", "4", "2"]);
    assert!(paper.starts_with("考勤 attendance\n"));
}

#[test]
fn without_a_table_the_card_stands_and_it_is_said() {
    let directory = passages();
    let place = directory.path().join("ledger");
    let words = ["8888888801", "no card table: names and departments are unknown"];
    let ended = ledger(&["report", "--attendance", "--day", "2026-11-21", text(&place)]).expect(0, &words, &[]);
    assert!(!ended.out.contains("张三"));
}
