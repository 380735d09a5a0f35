//! Files of orders: validated whole, done in order, and each row done once for what the file is
//! for.

use std::io::Write as _;
use std::process::Stdio;

use crate::harness::{CARDS, Site, card};
use crate::tools::{Said, command, ctl, end};

/// Gives the file `f.csv` of these bytes.
fn give(site: &Site, bytes: &[u8], words: &[&str]) -> Said {
    std::fs::write(site.path("f.csv"), bytes).unwrap();
    let file = site.path("f.csv");
    let words: Vec<&str> = [&words[..1], &["--file", file.to_str().unwrap()], &words[1..]].concat();
    ctl(site, &words)
}

/// The bytes of a text in GBK.
fn gbk(text: &str) -> Vec<u8> {
    posgate::engine::gbk::encode(text)
}

#[test]
fn cards_and_accounts_are_moved_by_file_too() {
    let site = Site::new();
    let server = site.start();
    let one = card(1);
    ctl(&site, &["topup", &one, "1"]).expect(0, &["done"]);
    let file = format!("卡号,编号\n{one},S9\n");
    give(&site, file.as_bytes(), &["account", "--for", "autumn"]).expect(0, &["1 rows for autumn\n", "1 done, seq "]);
    give(&site, file.as_bytes(), &["account", "--for", "autumn"]).expect(0, &["already applied, seq "]);
    ctl(&site, &["card", &one]).expect(0, &["account   S9"]);
    let file = "原编号,新编号\nS9,S10\n".as_bytes();
    give(&site, file, &["rename", "--for", "autumn"]).expect(0, &["1 done, seq "]);
    ctl(&site, &["card", &one]).expect(0, &["account   S10"]);
    server.stop();
}

#[test]
fn a_file_is_done_once_however_often_it_is_given() {
    let site = Site::new();
    let server = site.start();
    let rows: Vec<String> = (1..=CARDS).map(|number| format!("{},{number}.50,五月", card(number))).collect();
    site.write("may.csv", &format!("\u{FEFF}卡号,金额(元),备注\r\n{}\r\n", rows.join("\r\n")));
    let file = site.path("may.csv");
    let file = file.to_str().unwrap();
    let may = ["subsidy", "--file", file, "--for", "2026-05"];
    ctl(&site, &may).expect(0, &["12 rows, 84.00 yuan for 2026-05\n", "12 done, 84.00 yuan, seq 3–25"]);
    ctl(&site, &may).expect(0, &["; 12 of them were done before, 84.00 yuan\n", "already applied, seq 3–25"]);
    let server_after = {
        server.kill();
        site.start()
    };
    ctl(&site, &may).expect(0, &["already applied, seq 3–25"]);
    // The same file for another month, and as another command, holds other orders.
    ctl(&site, &["subsidy", "--file", file, "--for", "2026-06"]).expect(0, &["12 done"]);
    ctl(&site, &["topup", "--file", file, "--for", "2026-05", "--json"])
        .expect(0, &["{\"ok\":true,\"done\":12,\"again\":0,\"sum\":\"84.00\""]);
    server_after.stop();
    let ledger = site.ledger();
    assert_eq!((ledger.count("subsidy"), ledger.count("topup")), (24, 12));
    assert_eq!(ledger.of_kind("subsidy").next().unwrap().detail("note"), Some("五月"));
    assert_eq!(ledger.of_kind("subsidy").next().unwrap().detail("for"), Some("2026-05"));
    assert_eq!((ledger.sum("A00001"), ledger.subsidy("A00001")), (100_000 + 150, 2 * 150));
}

#[test]
fn a_file_that_was_saved_again_sorted_mended_or_cut_short_pays_nobody_twice() {
    let site = Site::new();
    let server = site.start();
    let december = ["subsidy", "--for", "2026-12"];
    let (one, two, three) = (card(1), card(2), card(3));
    let plain = format!("卡号,金额\n{one},100.00\n{two},5.50\n{three},7.00\n{two},2.00\n");
    give(&site, plain.as_bytes(), &december).expect(0, &["4 rows, 114.50 yuan for 2026-12\n", "4 done, 114.50 yuan"]);
    let sorted = format!("金额,卡号\n7,{three}\n5.5,{two}\n2,{two}\n100,{one}\n");
    for (how, bytes) in [
        ("CRLF", plain.replace('\n', "\r\n").into_bytes()),
        ("a BOM", format!("\u{FEFF}{plain}").into_bytes()),
        ("GBK", gbk(&plain)),
        ("semicolons", plain.replace(',', ";").into_bytes()),
        ("columns and rows in another order, and 100 for 100.00", sorted.into_bytes()),
        (
            "another name, empty lines and a column of the office's own",
            format!("卡号,金额,x_班级\n\n{one},100,1\n,,\n{two},5.50,2\n{three},7.00,2\n{two},2.00,1\n").into_bytes(),
        ),
    ] {
        let said = give(&site, &bytes, &december);
        assert!(said.code == Some(0) && said.out.contains("already applied"), "{how}: {said:?}");
    }
    // Cut short; and then with what was forgotten in it, a second row of a card among them.
    give(&site, format!("卡号,金额\n{one},100\n").as_bytes(), &december).expect(0, &["already applied"]);
    let longer = format!("卡号,金额\n{},1.00\n{plain}{one},0.50\n", card(4)).replace("1.00\n卡号,金额\n", "1.00\n");
    give(&site, longer.as_bytes(), &december).expect(0, &["2 done now, 1.50 yuan; 4 had been done before"]);
    give(&site, longer.as_bytes(), &december).expect(0, &["already applied"]);
    // A changed amount under a used name.
    let changed = plain.replace("5.50", "55.00");
    let said = give(&site, changed.as_bytes(), &december);
    said.expect(
        1,
        &[
            "f.csv:3: this name was used for another order of this card, entry",
            "3 rows were done before, in lines 2, 4–5",
        ],
    );
    server.stop();
    let ledger = site.ledger();
    assert_eq!(ledger.count("subsidy"), 6);
    assert_eq!((ledger.sum("A00001"), ledger.subsidy("A00001")), (100_000, 10_050));
    assert_eq!((ledger.sum("A00002"), ledger.subsidy("A00002")), (100_000, 750));
    let nth: Vec<Option<&str>> = ledger.of_kind("subsidy").map(|line| line.detail("nth")).collect();
    assert_eq!(nth, [None, None, None, Some("2"), None, Some("2")]);
    assert!(ledger.of_kind("subsidy").all(|line| line.detail("key").is_none() && line.detail("batch").is_none()));
}

#[test]
fn a_refused_file_says_which_rows_were_done_before_and_goes_on_when_it_is_mended() {
    let site = Site::new();
    let server = site.start();
    let december = ["topup", "--for", "2026-12"];
    let rows = |numbers: &[u64]| -> String {
        let rows = numbers.iter().map(|number| format!("{},1.00\n", card(*number)));
        ["card,amount\n".to_owned()].into_iter().chain(rows).collect()
    };
    // It was cut short after its first four rows, and a later card was closed meanwhile.
    give(&site, rows(&[1, 2, 3, 4]).as_bytes(), &december).expect(0, &["4 done"]);
    ctl(&site, &["close", &card(5), "--yes"]).expect(0, &[]);
    ctl(&site, &["close", &card(1), "--yes"]).expect(0, &[]);
    let whole = rows(&[1, 2, 5, 3, 4, 6]);
    let said = give(&site, whole.as_bytes(), &december).expect(
        1,
        &[
            "nothing was done now; 4 rows were done before, in lines 2–3, 5–6: remove or correct",
            "f.csv:4: card ****8805 is closed",
            "6 rows, 6.00 yuan for 2026-12; 4 of them were done before, 4.00 yuan\n",
        ],
    );
    assert!(!said.err.contains("f.csv:2:"), "what was done is no problem: {said:?}");
    let json: Vec<&str> = [&december[..], &["--json"]].concat();
    let said = give(&site, whole.as_bytes(), &json).expect(1, &["\"before\":4,\"before_lines\":\"2–3, 5–6\""]);
    assert_eq!(said.out.lines().count(), 1);
    // Without its row the rest is done.
    give(&site, rows(&[1, 2, 3, 4, 6]).as_bytes(), &december)
        .expect(0, &["1 done now, 1.00 yuan; 4 had been done before"]);
    server.stop();
    assert_eq!(site.ledger().count("topup"), 5);
}

#[test]
fn a_dry_run_adds_up_and_does_nothing() {
    let site = Site::new();
    let server = site.start();
    let file = format!("card,amount,uses\n{},1.50,2\n{},2,\n{},-1,-1\n", card(1), card(2), card(3));
    let dry = ["adjust", "--for", "12月", "--dry-run"];
    give(&site, file.as_bytes(), &dry).expect(0, &["3 rows, 2.50 yuan, 1 uses for 12月; nothing was done\n"]);
    give(&site, file.as_bytes(), &["adjust", "--for", "12月", "--dry-run", "--json"]).expect(
        0,
        &["{\"ok\":true,\"dry\":true,\"rows\":3,\"sum\":\"2.50\",\"uses\":1,\"again\":0,\"sum_again\":\"0.00\"}\n"],
    );
    give(&site, format!("{file}77,1,\n").as_bytes(), &dry)
        .expect(1, &["f.csv:5: neither the card table", "4 rows, 3.50 yuan"]);
    give(&site, file.as_bytes(), &["adjust", "--for", "12月"])
        .expect(0, &["3 rows, 2.50 yuan", "3 done, 2.50 yuan, 1 uses"]);
    give(&site, file.as_bytes(), &dry)
        .expect(0, &["; 3 of them were done before, 2.50 yuan, 1 uses; nothing was done\n"]);
    server.stop();
    assert_eq!(site.ledger().count("adjust"), 3);
}

#[test]
fn a_file_comes_by_stdin_too_and_is_the_same_file() {
    let site = Site::new();
    let server = site.start();
    let text = format!("card,amount\n{},1.00\n{},2.00\n", card(1), card(2));
    let pipe = |text: &str| {
        let mut command = command(&site, &["topup", "--file", "-", "--for", "2026-12"]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        end(child)
    };
    pipe(&text).expect(0, &["2 done, 3.00 yuan"]);
    give(&site, text.as_bytes(), &["topup", "--for", "2026-12"]).expect(0, &["already applied"]);
    pipe(&format!("{text}x,1\n")).expect(1, &["stdin:4: column 卡号/card", "nothing was done"]);
    server.stop();
    assert_eq!(site.ledger().count("topup"), 2);
}

#[test]
fn words_on_cards_take_files_too() {
    let site = Site::new();
    let server = site.start();
    let (one, two) = (card(1), card(2));
    let file = format!("卡号,姓名\n{one},\n{two},\n");
    for (command, status) in
        [("lost", "lost"), ("found", "active"), ("freeze", "frozen"), ("unfreeze", "active"), ("close", "closed")]
    {
        let yes: &[&str] = if command == "close" { &["--yes"] } else { &[] };
        let words = &[&[command, "--for", "毕业2026"], yes].concat();
        give(&site, file.as_bytes(), words).expect(0, &["2 rows for 毕业", "2 done, seq "]);
        give(&site, file.as_bytes(), words).expect(0, &["already applied"]);
        ctl(&site, &["card", &one]).expect(0, &[if status == "active" { "active" } else { status }]);
    }
    server.stop();
    assert_eq!(site.ledger().count("status"), 10);
}

#[test]
fn a_row_that_names_another_holder_than_the_table_is_an_error() {
    let site = Site::new();
    site.write("cards.csv", &format!("card,name\n{},张三\n{},李四\n{},\n", card(1), card(2), card(3)));
    let server = site.start();
    let december = ["topup", "--for", "2026-12"];
    let rows = |names: [&str; 3]| {
        let rows: Vec<String> =
            (1..).zip(names).map(|(number, name)| format!("{},{name},1.00", card(number))).collect();
        format!("卡号,姓名,金额\n{}\n", rows.join("\n"))
    };
    give(&site, rows(["李四", "李四", ""]).as_bytes(), &december).expect(
        1,
        &["f.csv:2: the card table says that card ****8801 is held by 张三, not by 李四", "nothing was done"],
    );
    give(&site, &gbk(&rows(["张 三", "", "王五"])), &december).expect(0, &["3 done"]);
    // Done before, and wrong all the same.
    give(&site, rows(["李四", "李四", ""]).as_bytes(), &december).expect(
        1,
        &["f.csv:2: the card table says that card ****8801 is held by 张三, not by 李四", "nothing was done now"],
    );
    give(&site, rows(["张三", "李四", ""]).as_bytes(), &december).expect(0, &["already applied"]);
    server.stop();
    assert_eq!(site.ledger().count("topup"), 3);
}

#[test]
fn one_bad_line_and_nothing_is_done() {
    let site = Site::new();
    let server = site.start();
    let december = ["topup", "--for", "2026-12"];
    let bytes = format!("card,amount\n{},1.00\n{},1.005\n{},-1\n", card(1), card(2), card(3));
    let said = give(&site, bytes.as_bytes(), &december);
    said.expect(1, &["f.csv:3: column 金额/amount", "f.csv:4: column", "nothing was done"]);
    // What only the server knows.
    let bytes = format!("card,amount\n{},1.00\n77,1\n{},1\n", card(1), card(3));
    ctl(&site, &["close", &card(3), "--yes"]).expect(0, &[]);
    let said = give(&site, bytes.as_bytes(), &december);
    said.expect(
        1,
        &[
            "f.csv:3: neither the card table nor the ledger has card",
            "f.csv:4: card ****8803 is closed",
            "nothing was done",
        ],
    );
    // The same for programs.
    let said = give(&site, bytes.as_bytes(), &["topup", "--for", "2026-12", "--json"]).expect(1, &[]);
    assert!(
        said.out.starts_with("{\"ok\":false,\"error\":\"") && said.out.contains("nothing was done\",\"problems\":[")
    );
    assert!(said.out.contains("f.csv:3: neither") && said.out.lines().count() == 1, "{}", said.out);
    ctl(&site, &["topup", "--file", "/nowhere.csv", "--for", "x"]).expect(74, &["/nowhere.csv"]);
    let file = site.path("f.csv");
    let file = file.to_str().unwrap();
    for (words, what) in [
        (&["topup", &card(1), "1", "--file", file][..], "--file"),
        (&["payout", "--file", file, "--for", "x"], "--file"),
        (&["void", "--file", file, "--for", "x"], "--file"),
        (&["topup", "--file", file], "say what the file is for, such as --for 2026-12"),
        (&["topup", "--file", file, "--for", ""], "--for \"\" must say what the file is for"),
        (&["topup", "--file", file, "--for", "a b"], "without blanks"),
        (&["topup", "--file", file, "--for", "２０２６"], "none of them full-width"),
        (&["topup", "--file", file, "--key", "x"], "--for NAME"),
        (&["topup", &card(1), "1", "--for", "x"], "--file FILE"),
        (&["topup", &card(1), "1", "--dry-run"], "--file FILE"),
    ] {
        ctl(&site, words).expect(64, &[what]);
    }
    server.stop();
    assert_eq!(site.ledger().count("topup"), 0);
}

#[test]
fn rows_with_keys_of_their_own_are_done_once_whatever_file_they_stand_in() {
    let site = Site::new();
    let server = site.start();
    let bytes = format!("card,amount,key\n{},1.00,A-1\n{},2.00,\n{},3.00,A-3\n", card(1), card(2), card(3));
    give(&site, bytes.as_bytes(), &["adjust"]).expect(64, &["--for"]);
    give(&site, bytes.as_bytes(), &["adjust", "--for", "x"]).expect(0, &["3 done, 6.00 yuan"]);
    // Where each has one, the file needs no name.
    let bytes = format!("card,amount,key\n{},1.00,A-1\n{},-4.00,A-4\n", card(1), card(4));
    give(&site, bytes.as_bytes(), &["adjust"]).expect(0, &["1 done now, -4.00 yuan; 1 had been done before"]);
    server.stop();
    assert_eq!(site.ledger().count("adjust"), 4);
}
