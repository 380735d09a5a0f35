//! `posgate import`: from another system's export to a ledger with the same sums.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::harness::{Device, Ended, Ledger, Site};

/// What a canteen system exports on its last evening: a title, columns that posgate does not know,
/// words of its own, a debt, a closed card, two cards of one person.
const EXPORT: &str = "一卡通导出 2026-11-27\n\
    卡号;学工号;姓名;部门;卡状态;账户余额(元);补贴余额;剩余次数;累计消费;有效期至\n\
    8888888801;T001;张三;食堂;正常;100.50;30.00;5;2000;2037-06-30\n\
    8888888802;T002;李四;教务;挂失;-3.20;0.00;0;10;\n\
    8888888803;T003;王五;\"后勤\n一楼,左\";退卡;12.00;;;10;\n\
    8888888804;T001;张三;食堂;停用;;;;;\n\
    8888888805;;赵六;食堂;正常;1500.00;0.05;;;\n";

/// Cash, subsidy and uses of the export, in fen.
const SUMS: (i64, i64, i64) = (160_930, 3_005, 5);

const STATUSES: [&str; 4] = ["--status", "停用=冻结", "--status", "退卡=closed"];

/// A site that serves an empty table, and another system's export.
fn site() -> Site {
    let site = Site::new();
    site.write("cards.csv", "card,account,name,status,balance\n");
    fs::write(site.path("old.csv"), encoding_rs::GBK.encode(EXPORT).0).unwrap();
    site
}

fn import(site: &Site, further: &[&str]) -> Ended {
    let (old, to) = (site.path("old.csv"), site.path("moving"));
    let words = ["import", old.to_str().unwrap(), "--to", to.to_str().unwrap(), "--config", "CONFIG"];
    site.run(&[&words, further].concat())
}

/// Does what an import printed, command by command; returns the last one's answer.
#[track_caller]
fn follow(site: &Site, said: &Ended) -> Ended {
    let mut commands = said.out.lines().filter(|line| line.starts_with("cp ") || line.starts_with("posgate "));
    let mut last = None;
    for command in &mut commands {
        let words: Vec<&str> = command.split(' ').map(|word| if word == "NAME" { "wang" } else { word }).collect();
        if let ["cp", from, to] = words[..] {
            fs::copy(from, to).unwrap();
            continue;
        }
        let by: &[&str] = if words[1] == "ctl" && words.contains(&"--file") { &["--by", "wang"] } else { &[] };
        let by = if words.contains(&"--by") { &[] } else { by };
        last = Some(site.run(&[&words[1..], by].concat()).expect(0, &[], &[]));
    }
    last.expect("there are commands")
}

/// Cash, subsidy and uses that the ledger's entries of this kind moved; without a kind, all.
fn moved(ledger: &Ledger, kind: Option<&str>) -> (i64, i64, i64) {
    let lines = ledger.lines.iter().filter(|line| kind.is_none_or(|kind| line.kind() == kind));
    lines.filter(|line| line.get("amount").is_some()).fold((0, 0, 0), |(cash, subsidy, uses), line| {
        let (cash, subsidy) = (cash + line.fen("amount"), subsidy + line.fen("subsidy"));
        (cash, subsidy, uses + line.raw("uses").parse::<i64>().unwrap())
    })
}

#[test]
fn an_export_becomes_a_ledger_with_the_same_sums_and_nobody_is_paid_twice() {
    let site = site();
    let server = site.start();
    let said = import(&site, &STATUSES).expect(
        0,
        &["5 cards: 2 active, 1 lost, 1 frozen, 1 closed", "4 accounts", "1609.30  30.05    5", "go on"],
        &["unknown column '累计消费' is ignored"],
    );
    let report = follow(&site, &said);
    let ledger = site.ledger();
    let (cash, subsidy, uses) = SUMS;
    assert_eq!(moved(&ledger, Some("adjust")), (cash, 0, uses));
    assert_eq!(moved(&ledger, Some("subsidy")), (0, subsidy, 0));
    let all = moved(&ledger, None);
    assert_eq!(all, SUMS);
    assert_eq!(moved(&ledger, Some("open")), (0, 0, 0), "the table has no figures");
    let closing = report.out.lines().find(|line| line.contains("期末 closing")).expect("a balance");
    assert_eq!(closing.split_whitespace().collect::<Vec<_>>()[2..], ["1609.30", "30.05", "5"], "{}", report.out);
    assert!(report.out.contains("平 balanced"), "{}", report.out);

    // Imported and given again: at once, and after a restart.
    let again = import(&site, &STATUSES).expect(0, &["go on"], &["4 of these accounts are in the ledger already"]);
    follow(&site, &again);
    server.stop();
    let server = site.start();
    follow(&site, &again);
    assert_eq!(moved(&site.ledger(), None), all);

    let mut terminal = Device::new(1, &server);
    let frame = terminal.charge("8888888804", "1.00");
    assert!(terminal.ask(&frame, "006").text.contains("此卡已冻结"));
    terminal.pay("8888888801", "100.00");
    server.stop();
    let sale = moved(&site.ledger(), Some("charge"));
    assert_eq!(sale.0 + sale.1, -10_000);
    assert_eq!(site.ledger().only("charge").get("account"), Some("T001"));
}

#[test]
fn an_account_that_has_moved_already_gets_its_figures_too() {
    let site = site();
    site.write("cards.csv", "card,name,balance\n8888888805,赵六,7.00\n");
    let server = site.start();
    Device::new(1, &server).pay("8888888805", "2.00");
    let said =
        import(&site, &STATUSES).expect(0, &[], &["1 of these accounts are in the ledger already, with 5.00 yuan"]);
    follow(&site, &said);
    server.stop();
    let (cash, subsidy, uses) = SUMS;
    let all = moved(&site.ledger(), None);
    assert_eq!(all, (cash + 500, subsidy, uses));
}

/// Imports an export, follows what that printed, and returns what each account then holds.
#[track_caller]
fn held_after(site: &Site, export: &str) -> Vec<(String, i64, i64)> {
    site.write("old.csv", &format!("card,account,name,status,balance,subsidy\n{export}"));
    follow(site, &import(site, &["--yes"]).expect(0, &["go on"], &[]));
    let ledger = site.ledger();
    let of = |account: &str| (account.to_owned(), ledger.sum(account), ledger.subsidy(account));
    ["S2", "@0000000001"].map(of).to_vec()
}

#[test]
fn a_later_export_pays_nobody_twice_however_it_is_sorted_and_whichever_card_is_closed_in_it() {
    let (first, second, own) = ("1000000002,S2,乙", "1000000003,S2,丙", "1,,甲");
    let money = "10.00,3.00\n";
    let paid = [("S2".to_owned(), 1000, 300), ("@0000000001".to_owned(), 1000, 300)];
    for (what, earlier, later) in [
        ("sorted otherwise", ["active", "active"], [(second, "active"), (first, "active")]),
        ("the first card closed meanwhile", ["active", "active"], [(first, "closed"), (second, "active")]),
        ("the first card opened again", ["closed", "active"], [(first, "active"), (second, "active")]),
    ] {
        let site = site();
        let server = site.start();
        let rows = |cards: [(&str, &str); 2]| {
            let all = [cards[0], (own, "active"), cards[1]];
            all.map(|(card, status)| format!("{card},{status},{money}")).concat()
        };
        let export = rows([(first, earlier[0]), (second, earlier[1])]);
        assert_eq!(held_after(&site, &export), paid, "{what}: the first export");
        assert_eq!(held_after(&site, &rows(later)), paid, "{what}");
        server.stop();
    }
}

#[test]
fn an_account_of_another_name_in_a_later_export_is_another_one_and_refused_if_no_card_is_on_it() {
    let site = site();
    let server = site.start();
    held_after(&site, "1000000002,S2,乙,active,10.00,\n");
    site.write("old.csv", "card,account,name,status,balance,subsidy\n1000000002,S3,乙,active,10.00,\n");
    import(&site, &["--yes"]).expect(0, &["go on"], &[]);
    let (adjust, table) = (site.path("moving/adjust.csv"), site.path("moving/cards.csv"));
    fs::copy(table, site.path("cards.csv")).unwrap();
    site.run(&["ctl", "reload", "--config", "CONFIG"]).expect(0, &[], &[]);
    let words = ["ctl", "adjust", "--file", adjust.to_str().unwrap(), "--for", "import", "--by", "wang"];
    site.run(&[&words[..], &["--config", "CONFIG"]].concat()).expect(
        1,
        &[],
        &["neither the card table nor the ledger has account S3"],
    );
    server.stop();
    assert_eq!(site.ledger().sum("S2"), 1000);
}

#[test]
fn an_accounts_figures_are_paid_by_one_row_that_names_a_holder_whose_card_is_not_closed() {
    let site = site();
    site.write(
        "old.csv",
        "card,account,name,status,balance,subsidy\n1,T,甲,closed,5.00,2.00\n2,T,乙,active,,\n3,,丙,closed,1.00,\n",
    );
    import(&site, &[]).expect(0, &["6.00     2.00     0     3"], &[]);
    let rows = |name: &str| fs::read_to_string(site.path("moving").join(name)).unwrap();
    let orders =
        [rows("adjust.csv"), rows("subsidy.csv")].map(|text| text.lines().skip(1).collect::<Vec<_>>().join(" "));
    assert_eq!(orders, ["T,5.00,0,乙 @0000000003,1.00,0,丙", "T,2.00,乙"]);
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_nothing_is_written() {
    let site = site();
    let told = [
        "old.csv:5: column 状态/status: '退卡' (closed?): write active",
        "old.csv:7: column 状态/status: '停用' (frozen?): write active",
        "--status WORD=frozen",
        "nothing was imported",
    ];
    import(&site, &[]).expect(78, &[], &told);
    // A closed card would get a subsidy.
    site.write("old.csv", "card,balance(分),status,subsidy\n1,100,closed,5\n2,1.5,,\n");
    import(&site, &[]).expect(78, &[], &["old.csv:1: column 余额/balance", "amounts are fen", "--fen"]);
    let fen = [
        "old.csv:2: column 补贴/subsidy: the card is closed",
        "old.csv:3: column 余额/balance",
        "whole numbers of fen",
    ];
    import(&site, &["--fen"]).expect(78, &[], &fen);
    for (text, words) in [
        ("卡号,余额\n", "there are no cards"),
        ("卡号,余额\n1,5\n1,6\n", "card ****0001 is in line 2 already"),
        ("卡号,余额\n1,5\n合计,5\n", "this row adds up the others"),
        ("卡号,编号,补贴\n1,A,5\n2,A,6\n", "line 2 opens the same account with another figure"),
        ("卡号,余额(元)\n1,5\n", "its heading says yuan"),
    ] {
        site.write("old.csv", text);
        import(&site, &["--fen"]).expect(78, &[], &[words]);
    }
    for (wrong, words) in [
        (&["--status", "停用"][..], "write it so: 停用=frozen"),
        (&["--status", "停用=broken"], "write it so: 停用=frozen"),
    ] {
        import(&site, wrong).expect(64, &[], &[words]);
    }
    site.run(&["import"]).expect(64, &[], &["posgate import FILE --to DIR"]);
    site.run(&["import", "old.csv"]).expect(64, &[], &["posgate import FILE --to DIR"]);
    assert!(!site.path("moving").exists());
}

#[test]
fn amounts_in_fen_are_taken_as_such_only_where_a_person_says_so() {
    let site = site();
    site.write("old.csv", "card,balance(分),subsidy,charge_max,credit\n1,1050,-0,500,\n2,-50,100,,10000\n");
    import(&site, &["--fen"]).expect(0, &["10.00    1.00     0     2"], &[]);
    let cards = fs::read_to_string(site.path("moving/cards.csv")).unwrap();
    let rows: Vec<&str> = cards.lines().skip(1).collect();
    assert_eq!(rows, ["0000000001,5.00,", "0000000002,,100.00"]);
}

#[test]
fn files_of_another_import_are_replaced_only_if_a_person_says_so() {
    let site = site();
    let old = ["import", "old", "--dry-run"].map(str::to_owned);
    let path = site.path("old.csv");
    site.run(&[&old[0], path.to_str().unwrap(), &old[2]]).expect(78, &[], &[]);
    import(&site, &[&STATUSES[..], &["--dry-run"]].concat()).expect(0, &["nothing was written"], &[]);
    assert!(!site.path("moving").exists());
    import(&site, &STATUSES).expect(0, &[], &[]);
    let adjust = site.path("moving/adjust.csv");
    let written = fs::metadata(&adjust).unwrap();
    assert_eq!(written.permissions().mode() & 0o777, 0o600, "a table holds PINs");
    // The same again changes nothing; what is missing is added.
    fs::remove_file(site.path("moving/cards.csv")).unwrap();
    import(&site, &STATUSES).expect(0, &[], &[]);
    assert!(site.path("moving/cards.csv").exists());
    assert_eq!(fs::metadata(&adjust).unwrap().ino(), written.ino());

    // Another export, without subsidies: the file of the first would be given with it.
    site.write("old.csv", "card,balance\n8888888801,5.00\n");
    let before = fs::read(&adjust).unwrap();
    import(&site, &[]).expect(1, &[], &["another file is here", "nothing was written"]);
    assert_eq!(fs::read(&adjust).unwrap(), before);
    import(&site, &["--yes"]).expect(0, &["ctl adjust"], &[]);
    let mut names: Vec<String> = fs::read_dir(site.path("moving"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["adjust.csv", "cards.csv"]);
}
