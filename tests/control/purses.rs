//! The subsidy purse at the desk: files by account, clears of one and of all, kills in their
//! middle, and what a void says of them.

use std::fmt::Write as _;

use nix::sys::signal::Signal;

use crate::harness::{CARDS, Device, Server, Site, card};
use crate::tools::{Client, command, ctl, end, until};

/// A card table of this many cards, each of which opens with 3.00 of subsidy.
fn table(cards: u64) -> String {
    let mut table = String::from("card,account,name,balance,subsidy\n");
    for number in 1..=cards {
        writeln!(table, "{},A{number:05},张三,10.00,3.00", card(number)).unwrap();
    }
    table
}

/// A site whose cards open with subsidy.
fn site(cards: u64) -> Site {
    let site = Site::new();
    site.write("cards.csv", &table(cards));
    site
}

const ALL: [&str; 5] = ["subsidy", "--clear", "--all", "--for", "2026-11"];

#[test]
fn a_month_of_subsidy_is_paid_by_account_spent_first_cleared_and_paid_again() {
    let site = site(CARDS);
    let server = site.start();
    // The office knows 工号 and names, and no cards.
    site.write("december.csv", "工号,姓名,金额\nA00001,张三,20.00\nA00002,张三,20.00\n");
    let file = site.path("december.csv");
    let december = ["subsidy", "--file", file.to_str().unwrap(), "--for", "2026-12"];
    ctl(&site, &december).expect(0, &["2 rows, 40.00 yuan for 2026-12", "2 done, 40.00 yuan"]);
    ctl(&site, &december).expect(0, &["already applied"]);
    site.write("december.csv", "工号,姓名,金额\nA00001,李四,20.00\nA0000X,张三,20.00\n");
    ctl(&site, &["subsidy", "--file", file.to_str().unwrap(), "--for", "2027-01"]).expect(
        1,
        &[
            "december.csv:2: the card table says that card ****8801 is held by 张三, not by 李四",
            "december.csv:3: neither the card table nor the ledger has account A0000X",
            "nothing was done",
        ],
    );
    // The same month once more, by card: nobody could tell who was paid.
    site.write("december.csv", &format!("卡号,金额\n{},20.00\n", card(3)));
    ctl(&site, &december).expect(1, &["were given the other way, by card or by account"]);
    let mut terminal = Device::new(2, &server);
    assert!(terminal.pay(&card(1), "25.00").text.contains("{8.00}"), "10.00 + 23.00 - 25.00");
    let sale = site.ledger().only("charge").raw("seq").to_owned();
    ctl(&site, &["card", &card(1)]).expect(0, &["holds     8.00 yuan, 0 uses"]);
    ctl(&site, &["subsidy", "--clear", &card(1)]).expect(0, &["nothing changed: the purse was empty"]);
    ctl(&site, &["subsidy", "--clear", "--account", "A00002"]).expect(0, &["holds 10.00 yuan, 0 uses"]);
    ctl(&site, &[&ALL[..], &["--dry-run"]].concat())
        .expect(0, &["10 accounts hold 30.00 yuan of subsidy", "nothing was done"]);
    assert_eq!(site.ledger().count("subsidy"), 4, "looked, and not touched");
    ctl(&site, &ALL).expect(0, &["10 accounts hold 30.00 yuan", "done, entry", "10 accounts, 30.00 yuan"]);
    ctl(&site, &ALL).expect(0, &["was done before, entry", "10 accounts, 30.00 yuan"]);
    ctl(&site, &["void", &sale, "--card", &card(2)]).expect(1, &["is of card ****8801"]);
    ctl(&site, &["void", &sale, "--card", &card(1)]).expect(
        0,
        &[
            "given back: 2.00 yuan of cash; 23.00 yuan of subsidy are not given back: the purse was cleared since",
            "holds 10.00 yuan, 0 uses",
        ],
    );
    ctl(&site, &["topup", "--account", "A00001", "5.00"]).expect(0, &["张三; account A00001 holds 15.00 yuan"]);
    ctl(&site, &["payout", "--account", "A00001", "all", "--yes"]).expect(0, &["holds 0.00 yuan"]);
    server.stop();
    let ledger = site.ledger();
    for number in 1..=CARDS {
        assert_eq!(ledger.subsidy(&format!("A{number:05}")), 0);
    }
    site.run(&["ledger", "verify", site.path("ledger").to_str().unwrap()]).expect(0, &[], &[]);
}

#[test]
fn a_clear_of_everybody_that_is_killed_goes_on_at_the_start_and_takes_nothing_that_was_paid_after_it() {
    const MANY: u64 = 2000;
    let site = site(MANY);
    let mut server = site.start();
    let mut kills = 0;
    let count = || site.ledger().lines.iter().filter(|line| line.detail("clear") == Some("one")).count();
    let is_done = || site.ledger().lines.iter().any(|line| line.detail("clear") == Some("done"));
    let child = command(&site, &ALL).spawn().expect("it starts");
    until("it has begun", || site.ledger().lines.iter().any(|line| line.detail("clear") == Some("all")));
    loop {
        let before = count();
        if before >= MANY as usize * 3 / 4 {
            break;
        }
        server.kill();
        kills += 1;
        server = site.start();
        until("it goes on", || is_done() || count() > before);
    }
    assert!(kills > 2, "it was killed in its middle");
    // The command that was cut off says how to go on.
    end(child).expect(74, &[]);
    // While it goes on, nobody can be paid.
    let mut client = Client::of(&site);
    let paid =
        format!("{{\"cmd\":\"subsidy\",\"card\":\"{}\",\"amount\":\"7.00\",\"key\":\"d\",\"by\":\"li\"}}", card(1));
    let answer = client.ask(&paid);
    assert!(answer.contains("\"reason\":\"busy\"") || is_done(), "{answer}");
    ctl(&site, &ALL).expect(0, &["2000 accounts, 6000.00 yuan"]);
    assert!(client.ask(&paid).contains("\"ok\":true"));
    ctl(&site, &ALL).expect(0, &["2000 accounts, 6000.00 yuan"]);
    server.kill();
    let ledger = site.ledger();
    assert_eq!(ledger.subsidy("A00001"), 700);
    for number in 2..=MANY {
        assert_eq!(ledger.subsidy(&format!("A{number:05}")), 0, "{number}");
    }
    assert_eq!(ledger.lines.iter().filter(|line| line.detail("clear") == Some("all")).count(), 1);
}

/// Terminals are served while every purse is emptied, and the sale that comes in its middle takes
/// what is there.
#[test]
fn terminals_sell_while_everybody_is_cleared() {
    const MANY: u64 = 3000;
    let site = site(MANY);
    let server: Server = site.start();
    let child = command(&site, &ALL).spawn().expect("it starts");
    let mut terminal = Device::new(2, &server);
    let mut sold = 0;
    while !site.ledger().lines.iter().any(|line| line.detail("clear") == Some("done")) {
        sold += 1;
        assert!(terminal.pay(&card(sold % MANY + 1), "0.10").code() == "008");
    }
    end(child).expect(0, &["yuan"]);
    server.stop();
    assert!(sold > 3, "terminals waited: {sold}");
    let ledger = site.ledger();
    let taken: i64 = ledger.of_kind("charge").map(|line| line.fen("subsidy")).sum();
    let cleared: i64 = ledger
        .of_kind("subsidy")
        .filter(|line| line.detail("clear") == Some("one"))
        .map(|line| line.fen("subsidy"))
        .sum();
    assert_eq!(taken + cleared, -300 * i64::try_from(MANY).unwrap());
}

/// The table of the next month comes while the last one is cleared: what it opens is not emptied.
#[test]
fn a_table_that_comes_while_everybody_is_cleared_waits_and_keeps_its_subsidies() {
    const MANY: u64 = 6000;
    let site = site(MANY);
    let server = site.start();
    let child = command(&site, &ALL).spawn().expect("it starts");
    until("it has begun", || site.ledger().lines.iter().any(|line| line.detail("clear") == Some("all")));
    site.write("cards.csv", &table(MANY + 1));
    server.signal(Signal::SIGHUP);
    ctl(&site, &["reload"]).expect(1, &["every subsidy is being cleared"]);
    server.wait_for_trouble("every subsidy is being cleared");
    server.wait_for("reload waits");
    end(child).expect(0, &["6000 accounts, 18000.00 yuan"]);
    server.wait_for("reload cards=6001");
    ctl(&site, &["card", &card(MANY + 1)]).expect(0, &["10.00 yuan of cash, 3.00 yuan of subsidy"]);
    ctl(&site, &["card", &card(1)]).expect(0, &["holds     10.00 yuan, 0 uses"]);
    server.stop();
}

#[test]
fn mistakes_are_told_before_anything_is_cleared() {
    let site = site(3);
    let server = site.start();
    ctl(&site, &["subsidy", "--clear", "--all"]).expect(64, &["say which clear this is, such as --for 2026-11"]);
    ctl(&site, &["subsidy", "--all", "--for", "x"]).expect(64, &["--all goes with --clear"]);
    ctl(&site, &["subsidy", "--clear", "--all", "--for", "x", "--key", "k"]).expect(64, &["leave --key out"]);
    ctl(&site, &["subsidy", "--clear", "--all", "--for", "2026 11"]).expect(64, &["--for"]);
    ctl(&site, &["subsidy", "--clear", &card(1), "5.00"]).expect(64, &["write `posgate ctl subsidy"]);
    ctl(&site, &["topup", "--account", "A00001"]).expect(64, &["write `posgate ctl topup"]);
    ctl(&site, &["topup", "--account", "A00009", "1"])
        .expect(1, &["neither the card table nor the ledger has account"]);
    ctl(&site, &["subsidy", &card(1), "10000000"]).expect(1, &["up to 9999999.99"]);
    site.write("c.csv", "卡号,工号,金额\n1,A1,1.00\n");
    let file = site.path("c.csv");
    ctl(&site, &["subsidy", "--file", file.to_str().unwrap(), "--for", "x"])
        .expect(1, &["names both card and account: keep the one by which the money is to go"]);
    site.write("c.csv", &format!("卡号\n{}\n{}\n", card(1), card(9)));
    ctl(&site, &["subsidy", "--clear", "--file", file.to_str().unwrap(), "--for", "x"])
        .expect(1, &["c.csv:3: neither the card table", "nothing was done"]);
    site.write("c.csv", &format!("卡号\n{}\n{}\n", card(1), card(2)));
    ctl(&site, &["subsidy", "--clear", "--file", file.to_str().unwrap(), "--for", "x"]).expect(0, &["2 done"]);
    // Given again it does nothing.
    ctl(&site, &["subsidy", "--clear", "--file", file.to_str().unwrap(), "--for", "x"]).expect(0, &["already applied"]);
    server.stop();
    assert_eq!(site.ledger().subsidy("A00003"), 0, "it never moved");
}
