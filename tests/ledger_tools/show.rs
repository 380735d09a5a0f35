//! Lists: filters, the last ones, and those to come.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use crate::harness::{Device, Site, card, posgate};
use crate::naive::{Row, rows, segments};
use crate::{days, ledger, text};

#[track_caller]
fn seqs(arguments: &[&str]) -> Vec<u64> {
    let ended = ledger(&[["show", "--raw"].as_slice(), arguments].concat()).expect(0, &[], &[]);
    ended.out.lines().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn each_filter_lets_through_what_it_says_and_all_together_what_all_say() {
    let directory = days(6_000);
    let place = directory.path().join("ledger");
    let all = rows(&[&place]);
    let of =
        |admits: &dyn Fn(&Row) -> bool| -> Vec<u64> { all.iter().filter(|row| admits(row)).map(Row::seq).collect() };
    let place = text(&place);
    assert_eq!(seqs(&[place]), of(&|_| true));
    assert_eq!(seqs(&["--card", "88888007", place]), of(&|row| row.column(8) == "0088888007"));
    assert_eq!(seqs(&["--account", "S00007", place]), of(&|row| row.column(9) == "S00007"));
    assert_eq!(seqs(&["--machine", "3", place]), of(&|row| row.column(5) == "00003"));
    assert_eq!(seqs(&["--kind", "void,adjust", place]), of(&|row| ["void", "adjust"].contains(&row.kind())));
    assert_eq!(seqs(&["--kind", "sales", place]), of(&Row::is_sale));
    assert_eq!(seqs(&["--after", "5000", place]), of(&|row| row.seq() > 5000));
    let time = |row: &Row| row.column(2)[..16].to_owned();
    assert_eq!(
        seqs(&["--from", "2026-11-02", "--to", "2026-11-02", place]),
        of(&|row| time(row).starts_with("2026-11-02"))
    );
    let lunch = |row: &Row| ("2026-11-02T11:30".."2026-11-02T12:31").contains(&time(row).as_str());
    assert_eq!(seqs(&["--from", "2026-11-02 11:30", "--to", "2026-11-02 12:30", place]), of(&lunch));
    let both = of(&|row| lunch(row) && row.column(5) == "00002" && row.kind() == "charge");
    assert!(!both.is_empty());
    let question =
        ["--from", "2026-11-02 11:30", "--to", "2026-11-02 12:30", "--machine", "00002", "--kind", "charge", place];
    assert_eq!(seqs(&question), both);
    assert_eq!(seqs(&[["--last", "3"].as_slice(), &question].concat()), both[both.len() - 3..]);
    assert_eq!(seqs(&["--last", "0", place]), [0; 0]);
    let newest = all.last().unwrap().seq();
    assert_eq!(seqs(&["--after", &newest.to_string(), place]), [0; 0]);
    ledger(&["show", "--after", "999999", place]).expect(1, &[], &["ahead: there is no entry 999999 yet"]);
}

#[test]
fn today_and_a_time_of_today_are_times() {
    let site = Site::new();
    let server = site.start();
    Device::new(2, &server).pay(&card(1), "1.00");
    let shown = |arguments: &[&str]| {
        let command = [["ledger", "show", "--raw", "--config", "CONFIG", "--kind", "sales"].as_slice(), arguments];
        site.run(&command.concat()).expect(0, &[], &[]).out.lines().count()
    };
    // Midnight may come between.
    assert_eq!(shown(&["--from", "yesterday", "--to", "today"]), 1);
    assert_eq!(shown(&["--to", "yesterday 00:00"]), 0);
    assert_eq!(shown(&["--from", "today 00:00", "--to", "23:59"]), 1);
    let wrong = site.run(&["ledger", "show", "--config", "CONFIG", "--from", "noon"]);
    wrong.expect(64, &[], &["12:30 of today, today or yesterday"]);
    server.stop();
}

/// A server whose segments are small.
fn small_segments() -> Site {
    Site::with("\toption segment_bytes '65536'\n", "")
}

#[test]
fn a_followed_ledger_is_followed_into_the_next_segments() {
    let site = small_segments();
    let server = site.start();
    let mut device = Device::new(1, &server);
    let config = site.path("posgate");
    let mut follower = posgate()
        .args(["ledger", "show", "--raw", "--follow", "--kind", "charge", "--config", text(&config)])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut paid = 0;
    while segments(&[&site.path("ledger")]).len() < 3 {
        device.pay(&card(1 + paid % 5), "0.01");
        paid += 1;
    }
    let mut heard = Vec::new();
    while heard.len() < usize::try_from(paid).unwrap() {
        heard.push(lines.next().expect("it goes on").unwrap());
    }
    server.stop();
    let all = rows(&[&site.path("ledger")]);
    let wanted: Vec<&str> = all.iter().filter(|row| row.kind() == "charge").map(|row| row.column(20)).collect();
    let told: Vec<&str> = heard.iter().map(|line| line.rsplit('\t').next().unwrap()).collect();
    assert_eq!(told, wanted, "every sale once, in order");
    // Nobody reads any more, and nothing is to be told: it leaves all the same.
    drop(lines);
    assert_eq!(follower.wait().unwrap().code(), Some(0));
}

#[test]
fn a_half_written_line_is_followed_when_it_is_whole() {
    let directory = days(300);
    let place = directory.path().join("ledger");
    let segment = segments(&[&place]).pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let (before, rest) = whole.split_at(whole.len() - lines[lines.len() - 1].len() - lines[lines.len() - 2].len());
    fs::write(&segment, before).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&segment).unwrap();
    let (half, other) = rest.split_at(rest.len() / 3);
    file.write_all(half).unwrap();
    let mut follower = posgate()
        .args(["ledger", "show", "--raw", "--follow", "--last", "1"])
        .arg(&place)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(told.next().unwrap().unwrap().as_bytes(), &lines[lines.len() - 3][..lines[lines.len() - 3].len() - 1]);
    file.write_all(other).unwrap();
    for line in &lines[lines.len() - 2..] {
        assert_eq!(told.next().unwrap().unwrap().as_bytes(), &line[..line.len() - 1]);
    }
    drop(told);
    assert_eq!(follower.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    let directory = days(3_000);
    let place = directory.path().join("ledger");
    for command in ["show", "export", "report"] {
        let script = format!(
            "{} ledger {command} {} | head -1; exit ${{PIPESTATUS[0]}}",
            env!("CARGO_BIN_EXE_posgate"),
            text(&place)
        );
        let ended = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{command}: {}", String::from_utf8_lossy(&ended.stderr));
        assert_eq!(ended.stderr, b"", "{command}");
    }
}

#[test]
fn on_a_terminal_a_row_fits_80_columns_and_how_to_widen_is_said() {
    let directory = days(300);
    let place = directory.path().join("ledger");
    let on_terminal = |option: &str| {
        let show = format!("{} ledger show {option} {}", env!("CARGO_BIN_EXE_posgate"), text(&place));
        let said = Command::new("script").args(["-qec", &show, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
        assert_eq!(said.status.code(), Some(0), "{said:?}");
        String::from_utf8(said.stdout).unwrap()
    };
    let widest = |said: &str| said.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
    let narrow = on_terminal("");
    assert!(narrow.contains("--wide shows all") && narrow.contains("balance"), "{narrow}");
    assert!(widest(&narrow) <= 80, "{narrow}");
    assert!(narrow.lines().count() > 300, "no entry is left out");
    let wide = on_terminal("--wide");
    assert!(!wide.contains("--wide") && wide.contains("detail") && widest(&wide) > 120, "{wide}");
    // Scripts get what they always got.
    let piped = ledger(&["show", text(&place)]).expect(0, &["detail"], &[]);
    assert!(piped.err.is_empty(), "{}", piped.err);
    assert_eq!(wide.replace('\r', ""), piped.out);
}

#[test]
fn work_over_a_second_says_so_on_a_terminal_alone() {
    // A ledger on a pipe that nobody writes to for a while is a slow one.
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("ledger-0000000001.tsv");
    let made = Command::new("mkfifo").arg(&place).status().unwrap();
    assert!(made.success());
    let verify = format!("{} ledger verify {}", env!("CARGO_BIN_EXE_posgate"), text(&place));
    let late = format!("(sleep 2.5; : >{}) & ", text(&place));
    let run = |command: &str| Command::new("bash").args(["-c", &format!("{late}{command}")]).output().unwrap();
    let shown = run(&format!("script -qec '{verify}' /dev/null </dev/null"));
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("\rposgate: checking the ledger, 1 s"), "{shown:?}");
    let piped = run(&verify);
    assert!(!String::from_utf8_lossy(&piped.stderr).contains("checking"), "{piped:?}");
}
