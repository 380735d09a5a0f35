//! One sale's whole story.

use posgate::engine::model::{
    AccountId, Balance, CardNo, ClockState, Detail, DeviceTime, Entry, EntrySeq, FrameSeq, Kind, MachineNo, Stamp,
};

use crate::naive::Json;
use crate::{generate, ledger, text};

fn entry(kind: Kind, time: &str, fen: i64) -> Entry {
    let stamp = Stamp::parse(format!("2026-11-{time}.000+08:00")).unwrap();
    let mut entry = Entry::new(kind, stamp, ClockState::Ok);
    entry.card = CardNo::parse(b"8888888801");
    entry.account = Some(AccountId::try_from("S001").unwrap());
    entry.amount = Some(Balance::from_fen(fen));
    entry.machine = MachineNo::parse(b"00001");
    entry.frame = FrameSeq::parse(b"00042");
    entry.device_time = Some(DeviceTime::new(stamp.civil().to_string().as_bytes()));
    entry
}

/// An entry that says something of another.
fn about(kind: Kind, time: &str, seq: u64, detail: &Detail) -> Entry {
    let whole = entry(kind, time, 0);
    let is_bare = matches!(kind, Kind::Confirm | Kind::Unconfirmed);
    let mut entry = if is_bare { Entry::new(kind, whole.time, ClockState::Ok) } else { whole };
    entry.machine = whole.machine;
    entry.about = Some(EntrySeq(seq));
    entry.detail = *detail;
    entry
}

fn day() -> Detail {
    Detail::default().with("day", "2026-11-22").with("period", "lunch")
}

/// A card's day.
fn site() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let none = Detail::default;
    let refused = none().with("reason", "day-max").with("code", 103).with("asked", "50.00");
    let entries = vec![
        entry(Kind::Open, "22T11:59:59", 10_000),                              // 1
        Entry { detail: day(), ..entry(Kind::Charge, "22T12:00:00", -550) },   // 2
        about(Kind::Confirm, "22T12:00:01", 2, &none().with("resent", 1)),     // 3
        Entry { detail: day(), ..entry(Kind::Charge, "22T12:29:00", -1200) },  // 4
        about(Kind::Unconfirmed, "22T12:29:08", 4, &none().with("resent", 4)), // 5
        about(Kind::Repeat, "22T12:29:20", 4, &none().with("code", 103).with("asked", "12.00")), // 6
        Entry { detail: day(), uses: Some(-1), ..entry(Kind::Meal, "22T12:50:00", 0) }, // 7
        Entry { detail: refused, ..entry(Kind::Decline, "22T12:31:00", 0) },   // 8
        Entry {
            amount: Some(Balance::from_fen(1200)),
            ..about(Kind::Void, "22T13:00:00", 4, &day().with("by", "王").with("note", "打错了"))
        }, // 9
        Entry {
            detail: none()
                .with("asked", "3.00")
                .with("invalid", "time")
                .with("reason", "lost")
                .with("day", "2026-11-22"),
            device_time: Some(DeviceTime::new(b"0000-00-00")),
            ..entry(Kind::Offline, "22T18:00:00", -300)
        }, // 10
        Entry { detail: none().with("claimed", "5000.00"), ..entry(Kind::Offline, "22T18:01:00", 0) }, // 11
        Entry { detail: day(), ..entry(Kind::Charge, "21T09:00:00", -100) },   // 12
    ];
    generate::write_entries(&directory.path().join("ledger"), "一食堂", entries);
    directory
}

#[track_caller]
fn told(arguments: &[&str], words: &[&str]) -> String {
    let site = site();
    let place = site.path().join("ledger");
    let ended = ledger(&[["explain"].as_slice(), arguments, &[text(&place)]].concat());
    let ended = ended.expect(0, words, &[]);
    assert!(ended.out.lines().count() <= 24, "one screen:\n{}", ended.out);
    ended.out
}

#[test]
fn a_sale_is_told_from_the_request_to_the_confirmation() {
    told(
        &["2"],
        &[
            "103: a sale of 5.50",
            "approved, no rule refused it",
            "100.00 -5.50 = 94.50",
            "entry 1 opened the account with the table's 100.00",
            "confirmed (109) in entry 3 1.000 s later 终端已确认, the answer was sent again once 重发 1 次",
            "the chain holds",
            "ledger-0000000001.tsv:3",
            "machine 机号 00001",
        ],
    );
}

#[test]
fn a_sale_that_was_doubted_repeated_and_undone_says_so() {
    let words = [
        "94.50 -12.00 = 82.50",
        "无回执 not confirmed",
        "重刷认出 sale tried again",
        "撤销 void 12.00",
        "by 王 (打错了)",
        "no 109, but entry 9 settles it: a void",
        "the answer was sent again 4 times 重发 4 次",
    ];
    told(&["4"], &words);
    // What is about a sale leads to it.
    for seq in ["5", "6", "9"] {
        told(&[seq], &[&words[..], &["which is about entry 4"]].concat());
    }
}

#[test]
fn a_refusal_and_offline_sales_name_their_rule_in_words() {
    told(&["8"], &["103: a request of 50.00", "above the card's limit for one day (day-max)", "超过该卡当日限额"]);
    told(&["10"], &["booked: it has happened", "the card is reported lost (lost)", "the device's time is no date"]);
    told(&["11"], &["a sale of 5000.00", "not booked"]);
    told(&["7"], &["one meal", "1 of the card's uses", "uses 次数: 0 -1 = -1", "IN DOUBT"]);
}

#[test]
fn of_a_sale_in_doubt_it_says_whether_its_machine_ever_confirms() {
    let of = |machine: &[u8], entry: Entry| Entry { machine: MachineNo::parse(machine), ..entry };
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("ledger");
    let sale = |time| Entry { detail: day(), ..entry(Kind::Charge, time, -100) };
    let none = Detail::default();
    let entries = vec![
        of(b"00001", sale("22T12:00:00")),
        of(b"00001", about(Kind::Confirm, "22T12:00:01", 1, &none)),
        of(b"00001", sale("22T12:01:00")), // 3
        of(b"00002", sale("22T12:02:00")), // 4
        of(b"00003", sale("22T12:03:00")), // 5
        of(b"00003", sale("22T12:04:00")),
        of(b"00003", about(Kind::Confirm, "22T12:04:01", 6, &none)),
    ];
    generate::write_entries(&place, "site", entries);
    // A confirmation counts wherever it stands, and only its own machine's.
    for (seq, is_mute) in [("3", false), ("4", true), ("5", false)] {
        let out = ledger(&["explain", seq, text(&place)]).expect(0, &["IN DOUBT"], &[]).out;
        assert_eq!(out.contains("this machine never confirms"), is_mute, "entry {seq}:\n{out}");
    }
}

#[test]
fn the_nearest_sale_of_the_card_is_meant_and_the_others_are_named() {
    // The refusal of 12:31 is nearer to 12:31, but a sale was asked for.
    let out = told(&["8888888801", "12:31"], &["流水 entry                      4 ", "entry 8  2026-11-22 12:31:00"]);
    assert!(out.contains("entry 2  2026-11-22 12:00:00") && out.contains("entry 7  2026-11-22 12:50:00"), "{out}");
    assert!(!out.contains("entry 12 "), "of another day: {out}");
    told(&["8888888801", "2026-11-21", "09:30"], &["流水 entry                      12 "]);
    told(&["8888888801", "2026-11-21 09:30"], &["流水 entry                      12 "]);
}

#[test]
fn how_far_off_the_sale_is_is_said_and_a_sale_beyond_a_day_is_not_told() {
    told(&["8888888801", "2026-11-21 09:00:00"], &["与所问时间 off by               at 2026-11-21 09:00:00"]);
    told(&["8888888801", "2026-11-21 09:30"], &["30 min 0 s earlier than 2026-11-21 09:30:00"]);
    told(
        &["8888888801", "2026-11-20 09:00"],
        &["entry                      12 ", "24 h 0 min later than 2026-11-20 09:00:00"],
    );
    assert!(!told(&["12"], &[]).contains("off by"), "its number was given");
    let site = site();
    let place = site.path().join("ledger");
    for (time, words) in [
        ("2026-11-20 08:59", "no sale within a day of 2026-11-20 08:59:00: the nearest was more than a day later than"),
        ("2026-11-25 12:30", "`posgate ledger explain "),
    ] {
        let ended = ledger(&["explain", "8888888801", time, text(&place)]).expect(1, &[], &["card ****8801", words]);
        assert_eq!((ended.out.as_str(), ended.err.lines().count()), ("", 1), "{time}");
    }
}

#[test]
fn for_scripts_it_is_one_object() {
    let site = site();
    let place = site.path().join("ledger");
    let json = Json::read(&ledger(&["explain", "--json", "4", text(&place)]).expect(0, &[], &[]).out);
    assert_eq!((json.text("balance_before"), json.text("balance_after")), ("94.50", "82.50"));
    assert_eq!((json.list("about").len(), json.number("resent")), (3, 4));
    assert_eq!(json.get("chain_holds"), &Json::Flag(true));
}

#[test]
fn what_is_not_there_is_1_with_what_to_do() {
    let site = site();
    let place = site.path().join("ledger");
    for (arguments, words) in [
        (["explain", "13"].as_slice(), "they go from 1 to 12; for a card say the time too"),
        (&["explain", "8888888801"], "for a card say the time too"),
        (&["explain", "8888888899", "12:30"], "has no sale at all"),
    ] {
        let ended = ledger(&[arguments, &[text(&place)]].concat()).expect(1, &[], &[words]);
        assert_eq!((ended.out.as_str(), ended.err.lines().count()), ("", 1), "{arguments:?}");
    }
    ledger(&["explain", "8888888801", "25:00"]).expect(64, &[], &["25:00 is no time: write"]);
}

#[test]
fn no_terminal_obeys_what_a_device_sent() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("ledger");
    let mut sale = entry(Kind::Offline, "22T12:00:00", -550);
    sale.device_time = Some(DeviceTime::new(b"\x1B[2Jnoon"));
    sale.detail = day().with("invalid", "time");
    generate::write_entries(&place, "site", vec![sale]);
    for command in [["explain", "1"], ["report", "--day=2026-11-22"]] {
        let out = ledger(&[command.as_slice(), &[text(&place)]].concat()).expect(0, &["?[2Jnoon"], &[]).out;
        assert!(!out.contains('\x1B'), "{out}");
    }
}

#[test]
fn an_operators_entry_is_told_with_who_and_why() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("ledger");
    let none = Detail::default;
    let desk = |kind: Kind, time: &str, fen: i64, detail: Detail| {
        let mut entry = entry(kind, time, fen);
        (entry.machine, entry.frame, entry.device_time) = (None, None, None);
        entry.detail = detail.with("by", "王");
        entry
    };
    let mut mark = desk(Kind::Status, "22T12:03:00", 0, none().with("key", "k4").with("status", "lost"));
    (mark.account, mark.amount) = (None, None);
    let mut door = Entry::new(Kind::Remote, mark.time, ClockState::Ok);
    (door.machine, door.slot) = (MachineNo::parse(b"00007"), posgate::engine::model::Text::try_from("1:1").ok());
    door.detail = none().with("key", "k6").with("by", "王");
    let entries = vec![
        entry(Kind::Open, "22T12:00:00", 10_000),
        desk(Kind::TopUp, "22T12:01:00", 2_000, none().with("key", "k2").with("note", "现金")),
        desk(Kind::Adjust, "22T12:02:00", -150, none().with("key", "k3").with("note", "盘点 差额")),
        mark,
        desk(Kind::Link, "22T12:04:00", 0, none().with("key", "k5").with("was", "8888888807")),
        door,
        desk(Kind::PayOut, "22T12:06:00", -500, none().with("key", "k7")),
        desk(Kind::Subsidy, "22T12:07:00", 700, none().with("key", "k8")),
    ];
    generate::write_entries(&place, "site", entries);
    for (seq, words) in [
        ("1", ["开户 opened", "100.00", "the chain holds"].as_slice()),
        ("2", &["充值 top-up", "20.00", "王", "note 现金", "100.00 +20.00 = 120.00"]),
        ("3", &["调整 adjustment", "-1.50", "盘点 差额", "120.00 -1.50 = 118.50"]),
        ("4", &["卡状态 card status", "王", "status lost"]),
        ("5", &["补卡 new card", "instead of card 8888888807"]),
        ("6", &["远程开门 opened by operator", "opened by the operator", "00007", "王"]),
        ("7", &["退款 paid out", "-5.00", "118.50 -5.00 = 113.50"]),
        ("8", &["补贴 subsidy", "7.00", "113.50 +7.00 = 120.50"]),
    ] {
        ledger(&["explain", seq, text(&place)]).expect(0, words, &[]);
        let json = Json::read(&ledger(&["explain", "--json", seq, text(&place)]).expect(0, &[], &[]).out);
        assert_eq!(json.get("chain_holds"), &Json::Flag(true));
    }
}

/// Two accounts' month: paid in, eaten, cleared one by one and all at once, and undone.
fn month() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let none = Detail::default;
    let both = |fen: i64, subsidy: i64, entry: Entry| Entry {
        amount: Some(Balance::from_fen(fen)),
        subsidy: Some(Balance::from_fen(subsidy)),
        ..entry
    };
    let moved = |kind: Kind, time: &str, fen: i64, subsidy: i64, detail: Detail| Entry {
        detail,
        ..both(fen, subsidy, entry(kind, time, 0))
    };
    let undo = |time: &str, fen: i64, subsidy: i64, seq: u64, detail: &Detail| {
        both(fen, subsidy, about(Kind::Void, time, seq, &detail.with("by", "王")))
    };
    let of_all = |time: &str, detail: &Detail, about: Option<u64>| {
        let mut entry = Entry::new(Kind::Subsidy, entry(Kind::Open, time, 0).time, ClockState::Ok);
        (entry.detail, entry.about) = (*detail, about.map(EntrySeq));
        entry
    };
    let clear = |step: &str| none().with("clear", step);
    let entries = vec![
        moved(Kind::Open, "22T11:00:00", 2_000, 300, none()), // 1
        moved(Kind::Subsidy, "22T11:00:01", 0, 2_000, none().with("by", "王")), // 2
        moved(Kind::Meal, "22T12:00:00", 0, -1_200, day()),   // 3
        moved(Kind::Meal, "22T12:10:00", -700, -1_100, day()), // 4
        moved(Kind::Charge, "22T12:20:00", -350, 0, day()),   // 5
        moved(Kind::Subsidy, "22T13:00:00", 0, 1_000, none().with("by", "王")), // 6
        undo("22T13:00:01", 0, -400, 6, &none().with("of", "subsidy").with("rest", "6.00")), // 7
        of_all("22T14:00:00", &clear("all").with("by", "李"), None), // 8
        Entry { about: Some(EntrySeq(8)), ..moved(Kind::Subsidy, "22T14:00:01", 0, -600, clear("one")) }, // 9
        of_all("22T14:00:02", &clear("done").with("accounts", 1).with("sum", "6.00"), Some(8)), // 10
        undo("22T15:00:00", 700, 0, 4, &day().with("cleared", "11.00").with("mode", 1)), // 11
        moved(Kind::Meal, "22T18:00:00", -1_200, 0, none().with("day", "2026-11-22").with("period", "dinner")), // 12
        moved(Kind::Subsidy, "22T19:00:00", 0, 0, clear("one").with("by", "王")), // 13
        undo("22T20:00:00", 0, 0, 3, &day().with("cleared", "12.00").with("mode", 1)), // 14
        moved(Kind::Meal, "22T20:10:00", -100, 0, day()),     // 15
    ];
    generate::write_entries(&directory.path().join("ledger"), "一食堂", entries);
    directory
}

#[test]
fn both_purses_are_told_wherever_the_subsidy_moved_or_holds_something() {
    let month = month();
    let place = month.path().join("ledger");
    let second = "a second or later meal of the card in this period: price_next";
    for (seq, wanted, others) in [
        (
            "2",
            [
                "subsidy 补贴: 20.00 of subsidy 补贴",
                "cash 现金: 20.00 +0.00 = 20.00",
                "subsidy 补贴: 3.00 +20.00 = 23.00",
                "table's 20.00 and 3.00 of subsidy",
            ]
            .as_slice(),
            ["it took nothing", second],
        ),
        (
            "3",
            &[
                "at the price of the period 批准，按餐段价格: 12.00 of subsidy 扣补贴",
                "cash 现金: 20.00 +0.00 = 20.00",
                "subsidy 补贴: 23.00 -12.00 = 11.00",
                "before it 上一笔: entry 2 2026-11-22 11:00:01 补贴 subsidy 20.00 of subsidy 补贴 → 20.00 and 23.00 of subsidy 补贴 by 王",
                "now 现在: 3.50, 0 uses",
                "撤销 void → 4.50 by 王; 12.00 of subsidy is not given back, the purse was cleared since",
            ],
            ["it took nothing", second],
        ),
        (
            "4",
            &[
                "11.00 of subsidy 扣补贴, 7.00 from the balance 扣余额",
                second,
                "cash 现金: 20.00 -7.00 = 13.00",
                "subsidy 补贴: 11.00 -11.00 = 0.00",
                "撤销 void 7.00 → 16.50 by 王; 11.00 of subsidy is not given back",
            ],
            ["it took nothing", "can still be undone"],
        ),
        ("5", &["balance                    13.00 -3.50 = 9.50"], ["cash 现金", "subsidy 补贴:"]),
        (
            "7",
            &[
                "which is about entry 6",
                "撤销 void -4.00 of subsidy 补贴 → 9.50 and 6.00 of subsidy 补贴 by 王; 6.00 can still be undone",
                "subsidy 补贴: 0.00 +10.00 = 10.00",
            ],
            ["not given back", "it took nothing"],
        ),
        (
            "8",
            &[
                "begins to empty every subsidy purse",
                "the operator 李:",
                "entry 9 2026-11-22 14:00:01 补贴 subsidy (empties the subsidy purse, took 6.00 补贴清零) → 9.50",
                "(every subsidy purse is empty: it took 6.00 from 1 accounts 全部补贴已清零)",
            ],
            ["subsidy 补贴: 0.00", "+0.00"],
        ),
        (
            "9",
            &[
                "entry 8: to clear all purses",
                "empties the subsidy purse, took 6.00 补贴清零",
                "cash 现金: 9.50 +0.00 = 9.50",
                "subsidy 补贴: 6.00 -6.00 = 0.00",
            ],
            ["the operator", "it took nothing"],
        ),
        ("10", &["entry 8: to clear all purses", "it took 6.00 from 1 accounts"], ["the operator", "0.00 "]),
        // Of another period; and one that follows on voided ones is a first meal again.
        ("12", &["at the price of the period 批准，按餐段价格: 12.00 from"], [second, "cash 现金"]),
        ("15", &["at the price of the period 批准，按餐段价格: 1.00 from"], [second, "cash 现金"]),
        ("13", &["the operator 王:", "empties the subsidy purse, took 0.00"], ["to clear all purses", "cash 现金"]),
    ] {
        let out = ledger(&["explain", seq, text(&place)]).expect(0, wanted, &[]).out;
        for other in others {
            assert!(!out.contains(other), "{seq}: {other}\n{out}");
        }
    }
    ledger(&["explain", "3", "--lang", "zh", text(&place)]).expect(
        0,
        &[
            "按餐段价格：扣补贴 12.00",
            "补贴：23.00 -12.00 = 11.00",
            "→ 20.00 和补贴 23.00",
            "补贴 12.00 不退，之后已清零",
        ],
        &[],
    );
    let told = |seq: &str| Json::read(&ledger(&["explain", "--json", seq, text(&place)]).expect(0, &[], &[]).out);
    let json = told("4");
    let figures = ["balance_before", "balance_after", "balance_now", "subsidy_before", "subsidy_after", "subsidy_now"];
    assert_eq!(figures.map(|member| json.text(member)), ["20.00", "13.00", "3.50", "11.00", "0.00", "0.00"]);
    assert_eq!(told("2").text("subsidy_before"), "3.00");
    let near = ledger(&["explain", "8888888801", "2026-11-22 12:20", text(&place)]);
    near.expect(0, &["12.00 of subsidy 补贴  计次消费", "-7.00 and -11.00 of subsidy 补贴  计次消费"], &[]);
}

#[test]
fn how_a_clear_of_all_ended_is_told_however_many_purses_it_emptied() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("ledger");
    let step = |word: &str, about: Option<u64>| {
        let mut step = entry(Kind::Subsidy, "22T12:00:00", 0);
        (step.about, step.detail) = (about.map(EntrySeq), Detail::default().with("clear", word));
        if word != "one" {
            (step.card, step.account, step.amount) = (None, None, None);
        }
        step
    };
    let mut entries = vec![step("all", None)];
    entries.extend((0..30).map(|_| step("one", Some(1))));
    entries.push(step("done", Some(1)));
    generate::write_entries(&place, "site", entries);
    ledger(&["explain", "1", text(&place)]).expect(0, &["entry 32 ", "every subsidy purse is empty", "10 more"], &[]);
}
