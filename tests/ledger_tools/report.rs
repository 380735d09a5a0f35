//! The daily close and the balances.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::process::Stdio;

use posgate::engine::model::{AccountId, Balance, ClockState, Detail, Entry, EntrySeq, Kind, Stamp};

use crate::harness::posgate;
use crate::naive::{Json, Row, Sum, fen, rows, segments, sum, yuan};
use crate::{days, generate, ledger, naive, text};

const DAYS: [&str; 3] = ["2026-11-01", "2026-11-02", "2026-11-03"];

#[track_caller]
fn report(arguments: &[&str]) -> Json {
    let ended = ledger(&[["report", "--json"].as_slice(), arguments].concat()).expect(0, &[], &[]);
    Json::read(&ended.out)
}

/// Sums of groups of lines, sales as what was taken.
fn grouped<'a>(rows: impl Iterator<Item = &'a Row>, name: impl Fn(&Row) -> String) -> BTreeMap<String, Sum> {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for row in rows {
        let sum = sums.entry(name(row)).or_default();
        *sum = naive::with(*sum, row);
    }
    sums
}

fn taken(sums: BTreeMap<String, Sum>) -> BTreeMap<String, Sum> {
    sums.into_iter().map(|(name, sum)| (name, naive::taken(sum))).collect()
}

fn or_dash(word: &str) -> String {
    if word.is_empty() { "-".to_owned() } else { word.to_owned() }
}

#[test]
fn every_figure_of_a_day_is_the_sum_of_its_lines() {
    let directory = days(12_000);
    let place = directory.path().join("ledger");
    let all = rows(&[&place]);
    assert!(segments(&[&place]).len() > 3);
    for day in DAYS {
        let report = report(&["--day", day, text(&place)]);
        let of_day: Vec<&Row> = all.iter().filter(|row| row.day() == day).collect();
        assert_eq!(report.number("entries"), i64::try_from(of_day.len()).unwrap());
        for (end, row) in [("first", of_day[0]), ("last", of_day[of_day.len() - 1])] {
            assert_eq!(report.number(&format!("{end}.seq")), i64::try_from(row.seq()).unwrap());
            assert_eq!(report.text(&format!("{end}.crc")), row.column(20));
        }
        let lines = || of_day.iter().copied();
        for (kind, wanted) in grouped(lines(), |row| row.kind().to_owned()) {
            assert_eq!(report.sum(&format!("kinds.{kind}")), wanted, "{day} {kind}");
        }
        let sales = || lines().filter(|row| row.is_sale());
        let told = |list: &str, value: &str| -> BTreeMap<String, Sum> {
            let rows = report.list(list).iter().map(|row| (row.text("name").to_owned(), row.sum(value)));
            rows.filter(|(_, sum)| sum.0 > 0).collect()
        };
        assert_eq!(told("machines", "sales"), taken(grouped(sales(), |row| or_dash(row.column(5)))), "{day}");
        assert_eq!(told("periods", "sales"), taken(grouped(sales(), |row| or_dash(row.word("period")))), "{day}");
        // A void counts for the machine and period of its sale.
        let sale_of = |row: &Row| &all[row.column(18).parse::<usize>().unwrap() - 1];
        let voids = || lines().filter(|row| row.kind() == "void" && sale_of(row).is_sale());
        assert_eq!(told("machines", "void"), grouped(voids(), |row| or_dash(sale_of(row).column(5))), "{day}");
        assert_eq!(told("periods", "void"), grouped(voids(), |row| or_dash(sale_of(row).word("period"))), "{day}");

        let declines = lines().filter(|row| row.kind() == "decline");
        let refused: Vec<(String, i64)> =
            report.list("refused").iter().map(|row| (row.text("name").to_owned(), row.number("count"))).collect();
        let wanted = grouped(declines, |row| row.word("reason").to_owned());
        let wanted: Vec<(String, i64)> =
            wanted.into_iter().map(|(reason, sum)| (reason, i64::try_from(sum.0).unwrap())).collect();
        assert_eq!(refused, wanted, "{day}");
        for row in report.list("operators") {
            for kind in ["topup", "subsidy", "cleared", "payout", "adjust", "void"] {
                let is_of = |line: &Row| match line.word("clear") {
                    "" => line.kind() == kind,
                    _ => kind == "cleared",
                };
                let own = lines().filter(|line| is_of(line) && line.word("by") == row.text("by"));
                assert_eq!(row.sum(kind), sum(own), "{day} {kind} by {}", row.text("by"));
            }
        }
    }
}

#[test]
fn what_is_listed_is_what_a_person_should_look_at() {
    let directory = days(12_000);
    let place = directory.path().join("ledger");
    let all = rows(&[&place]);
    let report = report(&["--day", DAYS[1], text(&place)]);
    let of_day = || all.iter().filter(|row| row.day() == DAYS[1]);
    let offline = || of_day().filter(|row| row.kind() == "offline");
    let confirmed: Vec<&str> =
        all.iter().filter(|row| ["confirm", "void"].contains(&row.kind())).map(|row| row.column(18)).collect();
    let doubts = || {
        let sales = of_day().filter(|row| ["charge", "meal", "scan"].contains(&row.kind()));
        sales.filter(|row| !confirmed.contains(&row.column(1)))
    };
    let seqs = |list: &str| -> Vec<u64> {
        let rows = report.list(&format!("{list}.listed")).iter();
        rows.map(|row| u64::try_from(row.number("seq")).unwrap()).collect()
    };
    let wanted = |rows: &mut dyn Iterator<Item = &Row>| rows.map(Row::seq).collect::<Vec<u64>>();
    for (list, rows) in [
        ("invalid_times", wanted(&mut offline().filter(|row| row.word("invalid") == "time"))),
        ("overdrafts", wanted(&mut offline().filter(|row| fen(row.column(13)) < 0))),
        ("bad_cards", wanted(&mut offline().filter(|row| !row.word("reason").is_empty()))),
        ("voids", wanted(&mut of_day().filter(|row| row.kind() == "void"))),
        ("adjusts", wanted(&mut of_day().filter(|row| row.kind() == "adjust"))),
        ("late", wanted(&mut of_day().filter(|row| &row.column(2)[..10] > DAYS[1]))),
        ("doubtful", wanted(&mut doubts().filter(|row| row.column(5) != "00005"))),
    ] {
        assert!(!rows.is_empty() && rows.len() <= 200, "{list} shows something");
        assert_eq!(seqs(list), rows, "{list}");
    }
    // Of a machine that never confirms a sum says it all.
    let mute = report.list("mute");
    assert_eq!((mute.len(), mute[0].text("machine")), (1, "00005"));
    assert_eq!(mute[0].sum("sales"), naive::taken(sum(doubts().filter(|row| row.column(5) == "00005"))));
}

#[test]
fn opening_and_movements_make_the_closing_total_and_the_next_days_opening() {
    let directory = days(6_000);
    let place = directory.path().join("ledger");
    let all = rows(&[&place]);
    for (member, own) in [("amount", Row::fen as fn(&Row) -> i64), ("subsidy", Row::subsidy)] {
        let told = |report: &Json, total: &str| fen(report.text(&format!("{total}.{member}")));
        // Offline sales of the first day's evening before.
        let mut before = told(&report(&["--day", "2026-10-31", text(&place)]), "closing");
        for day in DAYS {
            let report = report(&["--day", day, text(&place)]);
            let moved: i64 = all.iter().filter(|row| row.day() == day).map(own).sum();
            let earlier: i64 = all.iter().filter(|row| row.day() < day).map(own).sum();
            assert!(moved != 0 && (earlier != 0 || day == DAYS[0]), "{day} {member} moves");
            assert_eq!(told(&report, "opening"), earlier, "{day} {member}");
            assert_eq!(told(&report, "moved"), moved, "{day} {member}");
            assert_eq!(told(&report, "closing"), earlier + moved, "{day} {member}");
            assert_eq!(told(&report, "opening"), before, "{day} {member}: as the day before closed");
            before = earlier + moved;
            assert_eq!(report.get("balanced"), &Json::Flag(true));
        }
        let whole = report(&["--from", DAYS[0], "--to", DAYS[2], text(&place)]);
        assert_eq!(told(&whole, "closing"), before);
        // The last `balance` or `subsidy_left` column of each account says the same.
        let mut last: BTreeMap<&str, i64> = BTreeMap::new();
        let column = if member == "amount" { 13 } else { 14 };
        for row in all.iter().filter(|row| !row.column(9).is_empty()) {
            last.insert(row.column(9), fen(row.column(column)));
        }
        assert_eq!(last.values().sum::<i64>(), before, "{member}");
    }
    let newest = report(&[text(&place)]);
    assert_eq!((newest.text("from"), newest.text("to")), (DAYS[2], DAYS[2]));
}

/// A purse whose column says something else than its entries make is damage, with correct crcs.
#[test]
fn a_subsidy_that_does_not_follow_from_the_entries_before_is_damage() {
    let directory = day_of_oddities();
    let place = directory.path().join("ledger");
    let path = segments(&[&place]).remove(0);
    let bytes = fs::read_to_string(&path).unwrap();
    let (header, lines) = bytes.split_at(512);
    let mut crc = None;
    let mut spoiled = header.to_owned();
    for line in lines.lines() {
        let (own, _) = line.rsplit_once('\t').unwrap();
        let mut columns: Vec<&str> = own.split('\t').collect();
        if columns[0] == "3" {
            columns[13] = "1.00";
        }
        let own = columns.join("\t") + "\t";
        let mut hasher = crc32fast::Hasher::new_with_initial(crc.unwrap_or(0));
        hasher.update(own.as_bytes());
        crc = Some(hasher.finalize());
        let line = format!("{own}{:08x}\n", crc.unwrap());
        spoiled.push_str(&line);
    }
    fs::write(&path, spoiled).unwrap();
    let words = "says 1.00 of subsidy left, the entries before it make 0.00";
    ledger(&["report", text(&place)]).expect(78, &[], &[words]);
}

#[test]
fn on_paper_stands_the_same_in_both_languages() {
    let directory = days(12_000);
    let place = directory.path().join("ledger");
    let told = report(&["--day", DAYS[1], text(&place)]);
    let paper =
        ledger(&["report", "--day", DAYS[1], text(&place)]).expect(0, &["日结 daily close", "平 balanced"], &[]).out;
    for words in [
        format!("首条 first                      seq={} crc={}", told.number("first.seq"), told.text("first.crc")),
        "期末 closing".to_owned(),
        told.text("closing.amount").to_owned(),
        format!("站点 site                       {}", told.text("site")),
        told.text("ledger").to_owned(),
        "充值 top-up".to_owned(),
        "此卡已挂失 lost".to_owned(),
        "透支 below zero".to_owned(),
        "存疑消费".to_owned(),
    ] {
        assert!(paper.contains(&words), "{words}\n{paper}");
    }
}

#[test]
fn balances_at_a_days_end_are_the_sums_until_then() {
    let directory = days(6_000);
    let place = directory.path().join("ledger");
    let all = rows(&[&place]);
    let config = directory.path().join("posgate");
    fs::write(
        &config,
        "config server 'main'\n option cards 'cards.csv'\n option ledger_dir 'ledger'\n option timezone 'CST-8'\n",
    )
    .unwrap();
    // An account of the ledger, with a figure that does not count any more; one of two cards that
    // was never opened; one that owes.
    let table = "card,account,name,balance,subsidy,uses\n88888000,S00000,张三,777.00,5.00,7\n1,NEW,李四,12.50,8.00,3\n2,NEW,李四,,,\n3,OWES,王五,-1.00,,\n";
    fs::write(directory.path().join("cards.csv"), table).unwrap();
    let balances = report(&["--balances", "--day", DAYS[1], "--config", text(&config)]);
    let until = || all.iter().filter(|row| row.day() <= DAYS[1] && !row.column(9).is_empty());
    let mut wanted: BTreeMap<String, (i64, i64, i64)> = BTreeMap::new();
    for row in until() {
        let (fen, subsidy, uses) = wanted.entry(row.column(9).to_owned()).or_default();
        (*fen, *subsidy, *uses) = (*fen + row.fen(), *subsidy + row.subsidy(), *uses + row.uses());
    }
    let in_ledger: i64 = wanted.values().map(|(fen, ..)| fen).sum();
    let subsidies: i64 = wanted.values().map(|(_, subsidy, _)| subsidy).sum();
    assert!(subsidies > 0, "some have a subsidy");
    assert_eq!(balances.text("in_ledger.amount"), yuan(in_ledger));
    assert_eq!(balances.text("liability.subsidy"), yuan(subsidies + 800));
    let is_open = wanted.contains_key("S00000");
    assert!(is_open, "three hundred accounts are opened in two thousand entries a day");
    wanted.insert("NEW".to_owned(), (1250, 800, 3));
    wanted.insert("OWES".to_owned(), (-100, 0, 0));
    let figures = |row: &Json| (fen(row.text("balance")), fen(row.text("subsidy")), row.number("uses"));
    let told: BTreeMap<String, (i64, i64, i64)> =
        balances.list("accounts").iter().map(|row| (row.text("account").to_owned(), figures(row))).collect();
    assert_eq!(told, wanted);
    assert_eq!(balances.text("unopened.amount"), "11.50");
    assert_eq!(balances.text("liability.amount"), yuan(in_ledger + 1150));
    let below: i64 = wanted.values().map(|(fen, ..)| fen.min(&0)).sum();
    assert_eq!(balances.text("below_zero.amount"), yuan(below));
    let paper = ledger(&["report", "--balances", "--day", DAYS[1], "--config", text(&config)]);
    paper.expect(0, &["NEW", "未开户 not opened yet", "0000000001 0000000002", &yuan(in_ledger + 1150)], &[]);
}

#[test]
fn a_line_that_is_just_being_written_is_not_there_yet() {
    let directory = days(2_000);
    let place = directory.path().join("ledger");
    let before = report(&[text(&place)]);
    let newest = segments(&[&place]).pop().unwrap();
    let bytes = fs::read(&newest).unwrap();
    for half in ["2001\t2026-11-03T20:00:0", "2", "\0\0\0\0\0"] {
        fs::write(&newest, [&bytes, half.as_bytes()].concat()).unwrap();
        assert_eq!(report(&[text(&place)]), before, "{half:?}");
    }
    // And a segment that has no header yet.
    fs::write(&newest, bytes).unwrap();
    let next = place.join(format!("ledger-{:010}.tsv", before.number("head.seq") + 1));
    for header in [&b""[..], b"#posgate-led"] {
        fs::write(&next, header).unwrap();
        assert_eq!(report(&[text(&place)]), before);
    }
}

#[test]
fn a_ledger_damaged_in_the_middle_is_refused_with_file_line_and_case() {
    let directory = days(4_000);
    let place = directory.path().join("ledger");
    let segment = segments(&[&place])[1].clone();
    let whole = fs::read_to_string(&segment).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let altered = whole.replacen("\tok\t", "\tok \t", 5).replacen("\tok \t", "\tok\t", 4);
    let missing = [&lines[..10], &lines[11..]].concat().concat();
    let swapped = [&lines[..10], &[lines[11], lines[10]], &lines[12..]].concat().concat();
    for (spoiled, case, line) in [(altered, "altered", 6), (missing, "missing", 11), (swapped, "swapped", 11)] {
        fs::write(&segment, spoiled).unwrap();
        let place = text(&place);
        let told = format!("{}:{line}: {case}: ", segment.display());
        for command in [
            ["report", place].as_slice(),
            &["report", "--json", place],
            &["report", "--balances", place],
            &["export", place],
            &["explain", "9999999", place],
        ] {
            let ended = ledger(command).expect(78, &[], &[&told, "posgate ledger verify"]);
            assert_eq!((ended.out.as_str(), ended.err.lines().count()), ("", 1), "{command:?}");
        }
        // `show` shows what is there, names the line where it stands, and does not end as if all
        // were well.
        let mark = format!("# {}:{line}: ", segment.display());
        ledger(&["show", "--raw", place]).expect(78, &[&mark], &[&told]);
    }
}

#[test]
fn an_archive_and_the_live_ledger_are_read_as_one_in_any_order() {
    let directory = days(6_000);
    let place = directory.path().join("ledger");
    let archive = directory.path().join("archive");
    let whole = report(&[text(&place)]);
    let every = segments(&[&place]);
    fs::create_dir(&archive).unwrap();
    let (old, live) = every.split_at(every.len() / 2);
    for path in old {
        fs::rename(path, archive.join(path.file_name().unwrap())).unwrap();
    }
    let (place, archive) = (text(&place), text(&archive));
    assert_eq!(report(&[archive, place]), whole);
    assert_eq!(report(&[place, archive]), whole);
    ledger(&["verify", place, archive]).expect(0, &["clean"], &[]);
    // One by one, in no order, one of them twice.
    let mut one_by_one: Vec<String> = live.iter().rev().map(|path| text(path).to_owned()).collect();
    one_by_one.push(archive.to_owned());
    one_by_one.push(text(&live[0]).to_owned());
    let one_by_one: Vec<&str> = one_by_one.iter().map(String::as_str).collect();
    assert_eq!(report(&one_by_one), whole);
    // A part alone says that it is one; its movements are the same.
    let part = report(&["--day", DAYS[2], place]);
    assert_eq!(part.get("total_known"), &Json::Flag(false));
    assert!(part.list("notes").iter().any(|note| format!("{note:?}").contains("are not among the segments given")));
    assert_eq!(part.get("balanced"), &Json::Flag(true));
    assert_eq!(part.get("moved"), whole.get("moved"));
    // A hole is damage.
    fs::remove_file(&every[every.len() - 2]).unwrap();
    ledger(&["report", place, archive]).expect(78, &[], &[": missing: "]);
}

#[test]
fn a_wrong_question_is_64_and_no_ledger_is_74() {
    let directory = days(300);
    let place = directory.path().join("ledger");
    let place = text(&place);
    for (command, words) in [
        (["report", "--day", "yesteryear", place].as_slice(), "write 2026-11-22, today or yesterday"),
        (&["report", "--day", "2026-11-01", "--to", "2026-11-02", place], "not both"),
        (&["report", "--from", "2026-11-02", "--to", "2026-11-01", place], "exchange the two"),
        (&["report", "--nonsense", place], "--nonsense"),
        (&["report", "--raw", place], "--raw"),
        (&["show", "--kind", "sale", place], "write sales"),
        (&["show", "--last", "many", place], "--last"),
        (&["show", "--from", "noon", place], "write 2026-11-22"),
        (&["show", "--card", "12x", place], "--card"),
        (&["export", "--format", "xlsx", place], "csv or tsv"),
        (&["export", "--header", "fr", place], "en or zh"),
        (&["explain", place], "explain SEQ"),
        (&["explain", "1", "2", place], "explain SEQ"),
        (&["explain", "12345678901", "12:30", place], "is no card"),
    ] {
        let ended = ledger(command).expect(64, &[], &[words]);
        assert_eq!((ended.out.as_str(), ended.err.lines().count()), ("", 1), "{command:?}: {}", ended.err);
    }
    for command in ["verify", "report", "export", "show"] {
        let remedy =
            "`posgate serve` makes it at its first start; name another directory, its segments, or --config FILE";
        let missing = format!("/no/such/ledger: no ledger here: there is no such file or directory; {remedy}");
        ledger(&[command, "/no/such/ledger"]).expect(74, &[], &[&missing]);
        let empty = format!("no ledger here: no file ledger-….tsv; {remedy}");
        ledger(&[command, text(directory.path())]).expect(74, &[], &[&empty]);
    }
    ledger(&["explain", "1", "/no/such/ledger"]).expect(74, &[], &["/no/such/ledger"]);
    let other = days(300);
    let bytes = fs::read(other.path().join("ledger/ledger-0000000001.tsv")).unwrap();
    let stranger = other.path().join("ledger-0000000001.tsv");
    fs::write(&stranger, String::from_utf8(bytes).unwrap().replacen("ledger=00a1", "ledger=00a2", 1)).unwrap();
    ledger(&["report", place, text(&stranger)]).expect(64, &[], &["read them one by one"]);
}

/// The most memory that a report with this option took, in KiB. What it prints fills the pipe, so
/// that it lives until that is read.
fn memory_of_report(entries: u64, view: &[&str]) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("ledger");
    generate::write(&place, generate::Plan { entries, accounts: 2_000, days: 2, segment_bytes: 1024 * 1024 });
    let mut child = posgate()
        .args(["ledger", "report", "--from", DAYS[0]])
        .args(view)
        .arg(&place)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    // Everything is added up before the first byte is printed.
    out.read_exact(&mut [0]).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    out.read_to_end(&mut Vec::new()).unwrap();
    assert!(child.wait().unwrap().success());
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn ten_times_the_entries_take_no_more_memory() {
    // By person and period the first ten thousand entries do not make all rows.
    for (view, few) in [(["--balances"].as_slice(), 10_000), (&["--by", "person,period"], 30_000)] {
        let (few, many) = (memory_of_report(few, view), memory_of_report(10 * few, view));
        // Kept, the entries would take 15 MiB; how much of the program's file is resident differs
        // by some hundred KiB from run to run.
        assert!(many < few + 2048, "{view:?}: {few} KiB, then {many} KiB");
    }
}

/// A day of what a report lists beside the sales: offline ones that were flagged, refused or not
/// booked, one undone, and doors.
fn day_of_oddities() -> tempfile::TempDir {
    use posgate::engine::model::{
        AccountId, Balance, CardNo, ClockState, Detail, DeviceTime, Entry, EntrySeq, Kind, MachineNo, Stamp,
    };
    let directory = tempfile::tempdir().unwrap();
    let none = Detail::default;
    let entry = |kind: Kind, second: u32, fen: i64, detail: Detail| {
        let stamp = Stamp::parse(format!("2026-11-22T12:00:{second:02}.000+08:00")).unwrap();
        let mut entry = Entry::new(kind, stamp, ClockState::Ok);
        entry.card = CardNo::parse(b"8888888801");
        entry.account = AccountId::try_from("S001").ok();
        entry.amount = Some(Balance::from_fen(fen));
        entry.machine = MachineNo::parse(b"00003");
        entry.device_time = Some(DeviceTime::new(b"2026-11-22 11:00:00"));
        entry.detail = detail;
        entry
    };
    let door = |kind: Kind, second: u32, detail: Detail| {
        let mut entry = entry(kind, second, 0, detail);
        (entry.account, entry.amount) = (None, None);
        entry.machine = MachineNo::parse(b"00007");
        entry
    };
    let day = || none().with("day", "2026-11-22").with("period", "lunch");
    let mut void = entry(Kind::Void, 9, 550, day().with("by", "王").with("note", "多扣"));
    (void.about, void.machine, void.device_time) = (Some(EntrySeq(2)), None, None);
    let entries = vec![
        entry(Kind::Open, 0, 10_000, none()),
        entry(Kind::Offline, 1, -550, day()),
        entry(Kind::Offline, 2, -700, day().with("reason", "charge-max")),
        entry(Kind::Offline, 3, -100, day().with("reason", "day-max").with("invalid", "past")),
        entry(Kind::Offline, 4, -200, day().with("invalid", "ahead")),
        entry(Kind::Offline, 5, -300, day().with("invalid", "time").with("reason", "period-uses")),
        entry(Kind::Offline, 6, 0, none().with("claimed", "5.00").with("again", "6").with("invalid", "time")),
        entry(Kind::Offline, 7, 0, none().with("claimed", "5000.00")),
        entry(Kind::Offline, 8, -20_000, day().with("reason", "balance")),
        void,
        door(Kind::Admit, 10, none()),
        door(Kind::Admit, 11, none()),
        door(Kind::Refuse, 12, none().with("reason", "door-time")),
        door(Kind::Refuse, 13, none().with("reason", "pin")),
        door(Kind::Refuse, 14, none().with("reason", "pin")),
        door(Kind::Refuse, 15, none().with("n", "7")),
        door(Kind::Remote, 16, none().with("by", "王")),
        door(Kind::Alarm, 17, none().with("rule", "duress")),
        door(Kind::Alarm, 18, none().with("rule", "left-open")),
        door(Kind::Alarm, 19, none().with("rule", "left-open")),
        door(Kind::Alarm, 20, none().with("n", "4")),
    ];
    generate::write_entries(&directory.path().join("ledger"), "site", entries);
    directory
}

#[test]
fn offline_sales_that_were_flagged_refused_or_not_booked_are_listed_with_why() {
    let directory = day_of_oddities();
    let place = directory.path().join("ledger");
    let report = report(&["--day", "2026-11-22", text(&place)]);
    let listed = |list: &str| -> Vec<(i64, String)> {
        let rows = report.list(&format!("{list}.listed")).iter();
        rows.map(|row| (row.number("seq"), row.text("what").to_owned())).collect()
    };
    let is = |rows: &[(i64, &str)]| rows.iter().map(|(seq, what)| (*seq, (*what).to_owned())).collect::<Vec<_>>();
    let reasons = [(3, "reason=charge-max"), (4, "reason=day-max"), (6, "reason=period-uses"), (9, "reason=balance")];
    assert_eq!(listed("bad_cards"), is(&reasons));
    let at = "device_time=2026-11-22 11:00:00";
    let (past, ahead, none) =
        (format!("invalid=past {at}"), format!("invalid=ahead {at}"), format!("invalid=time {at}"));
    assert_eq!(listed("invalid_times"), is(&[(4, &past), (5, &ahead), (6, &none)]));
    assert_eq!(listed("not_booked"), is(&[(7, "claimed=5.00 again=6 invalid=time"), (8, "claimed=5000.00")]));
    assert_eq!(listed("overdrafts"), is(&[(9, "")]));
    let paper = ledger(&["report", "--day", "2026-11-22", text(&place)]);
    paper.expect(0, &["联机会被拒绝", "终端时间不可信", "未入账，请人工核对", "again=6", "reason=charge-max"], &[]);
}

#[test]
fn a_void_of_an_offline_sale_counts_for_its_machine_period_and_operator() {
    let directory = day_of_oddities();
    let place = directory.path().join("ledger");
    let report = report(&["--day", "2026-11-22", text(&place)]);
    let machines = report.list("machines");
    let till = machines.iter().find(|row| row.text("name") == "00003").unwrap();
    assert_eq!((till.text("offline.amount"), till.text("void.amount")), ("218.50", "5.50"));
    assert_eq!(till.number("offline.count"), 6, "what was not booked is no sale");
    assert!(machines.iter().all(|row| row.text("name") != "-"), "the void is the till's");
    let lunch = report.list("periods").iter().find(|row| row.text("name") == "lunch").unwrap();
    assert_eq!((lunch.text("offline.amount"), lunch.text("void.amount")), ("218.50", "5.50"));
    let desk = &report.list("operators")[0];
    assert_eq!((desk.text("by"), desk.text("void.amount"), desk.number("void.count")), ("王", "5.50", 1));
    let voids = report.list("voids.listed");
    assert_eq!((voids[0].number("ref"), voids[0].text("what")), (2, "day=2026-11-22 by=王 note=多扣"));
    assert_eq!((report.text("moved.amount"), report.get("balanced")), ("-113.00", &Json::Flag(true)));
}

#[test]
fn a_days_doors_are_counted_by_what_came_of_them() {
    let directory = day_of_oddities();
    let place = directory.path().join("ledger");
    let told = report(&["--day", "2026-11-22", text(&place)]);
    let counts = |list: &str| -> Vec<(String, i64)> {
        told.list(list).iter().map(|row| (row.text("name").to_owned(), row.number("count"))).collect()
    };
    let is = |rows: &[(&str, i64)]| rows.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>();
    assert_eq!(counts("kept_shut"), is(&[("door-time", 1), ("left-out", 7), ("pin", 2)]));
    // Of alarms beyond the limit it is not known which they were.
    assert_eq!(counts("alarms"), is(&[("-", 4), ("duress", 1), ("left-open", 2)]));
    assert_eq!((told.number("kinds.admit.count"), told.number("kinds.remote.count")), (2, 1));
    let paper =
        ledger(&["report", "--day", "2026-11-22", text(&place)]).expect(0, &["门禁 doors", "alarm duress"], &[]);
    let count_of = |words: &str| {
        let line =
            paper.out.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}\n{}", paper.out));
        line.split_whitespace().last().unwrap().to_owned()
    };
    for (words, count) in
        [("admitted", "2"), ("opened by operator", "1"), ("alarm left-open", "2"), ("beyond the limit", "7")]
    {
        assert_eq!(count_of(words), count, "{words}");
    }
    // A site without doors has no such part.
    let canteen = days(300);
    let paper = ledger(&["report", "--day", DAYS[0], text(&canteen.path().join("ledger"))]).expect(0, &[], &[]);
    assert!(!paper.out.contains("门禁"), "{}", paper.out);
}

#[test]
fn a_clear_of_all_counts_for_who_ordered_it_and_apart_from_what_was_paid_in() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("ledger");
    let entry = |time: &str, subsidy: Option<i64>, about: Option<u64>, detail: Detail| {
        let stamp = Stamp::parse(format!("2026-11-{time}.000+08:00")).unwrap();
        let mut entry = Entry::new(Kind::Subsidy, stamp, ClockState::Ok);
        entry.account = subsidy.and_then(|_| AccountId::try_from("S001").ok());
        entry.subsidy = subsidy.map(Balance::from_fen);
        (entry.about, entry.detail) = (about.map(EntrySeq), detail);
        entry
    };
    let none = Detail::default;
    let step = |word: &str| none().with("clear", word);
    let entries = vec![
        entry("22T23:00:00", Some(9_000), None, none().with("by", "王")), // 1
        entry("22T23:59:58", None, None, step("all").with("by", "李")),   // 2
        entry("22T23:59:59", Some(-5_000), Some(2), step("one")),         // 3
        entry("23T00:00:00", Some(-850), Some(2), step("one")),           // 4
        entry("23T00:00:01", None, Some(2), step("done")),                // 5
        entry("23T00:00:02", Some(-10), Some(1), step("one")),            // 6
    ];
    generate::write_entries(&place, "site", entries);
    let operators = |day: &str| -> Vec<(String, String)> {
        let told = report(&["--day", day, text(&place)]);
        told.list("operators")
            .iter()
            .map(|row| (row.text("by").to_owned(), row.text("cleared.subsidy").to_owned()))
            .collect()
    };
    let pair = |by: &str, sum: &str| (by.to_owned(), sum.to_owned());
    assert_eq!(operators("2026-11-22"), [pair("李", "-50.00"), pair("王", "0.00")]);
    // Also after midnight; and only of the clear that it names.
    assert_eq!(operators("2026-11-23"), [pair("-", "-0.10"), pair("李", "-8.50")]);
    let close = ledger(&["report", "--from", "2026-11-22", "--to", "2026-11-23", text(&place)]).expect(0, &[], &[]);
    for row in [["补贴发放", "granted", "1", "90.00"], ["补贴清零", "cleared", "3", "-58.60"]] {
        let is_row = |line: &str| {
            let cells: Vec<&str> = line.split_whitespace().filter(|cell| !["0", "0.00"].contains(cell)).collect();
            cells == row
        };
        assert!(
            close.out.lines().any(is_row),
            "{row:?}:
{}",
            close.out
        );
    }
}
