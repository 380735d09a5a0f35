//! Chinese by `--lang` or the locale: one text of each area, with the real binary. The texts
//! themselves stand beside their English.

use std::fs;
use std::path::Path;

use crate::harness::{DEVICE_TIME, Device, Ended, Site, card, posgate};

/// Runs a command under a locale; `CONFIG` stands for the configuration's path.
fn run(site: &Site, locale: &str, words: &[&str]) -> Ended {
    let config = site.path("posgate");
    let words = words.iter().map(|word| if *word == "CONFIG" { config.as_os_str() } else { word.as_ref() });
    let mut command = posgate();
    command.env_remove("LC_ALL").env_remove("LC_MESSAGES").env("LANG", locale).args(words);
    Ended::of(&command.output().unwrap())
}

#[test]
fn the_option_comes_before_the_locale_and_stands_anywhere() {
    let site = Site::new();
    let (zh, en) = ("日结", "daily close");
    for (locale, words, wanted, unwanted) in [
        ("zh_CN.UTF-8", &["help"] as &[&str], zh, en),
        ("C.UTF-8", &["help"], en, zh),
        ("C.UTF-8", &["--lang", "zh", "help"], zh, en),
        ("C.UTF-8", &["help", "--lang=zh"], zh, en),
        ("C.UTF-8", &["ledger", "--lang", "zh", "report", "--help"], "期初", "opening"),
        ("zh_CN.UTF-8", &["help", "--lang", "en"], en, zh),
        ("C.UTF-8", &["help", "--lang", "en", "--lang", "zh"], zh, en),
    ] {
        let ended = run(&site, locale, words).expect(0, &[wanted], &[]);
        assert!(!ended.out.contains(unwanted), "{words:?}: {}", ended.out);
    }
    // The first error is told in it, though the option stands behind.
    run(&site, "C", &["sell", "--lang", "zh"]).expect(64, &[], &["没有 \"sell\" 这个命令"]);
    run(&site, "C", &["check", "--lang", "fr"]).expect(64, &[], &["--lang \"fr\": write zh or en"]);
    run(&site, "zh", &["check", "--lang"]).expect(64, &[], &["请写 zh 或 en"]);
    // The value of another option is not one, nor is an operand behind `--`.
    run(&site, "C", &["check", "--config", "--lang"]).expect(78, &[], &["--lang"]);
    run(&site, "C", &["ledger", "verify", "--", "--lang"]).expect(74, &[], &["--lang"]);
}

#[test]
fn a_refusal_is_told_by_its_reason_and_keeps_word_and_sentence() {
    let site = Site::new();
    let server = site.start();
    let topup = ["ctl", "topup", "77", "1", "--by", "li", "--config", "CONFIG"];
    let told = "neither the card table nor the ledger has card ****0077";
    run(&site, "zh_CN.UTF-8", &topup).expect(1, &[], &["卡表和账本里都没有这张卡", "unknown-card", told]);
    let json = [&topup[..], &["--json"]].concat();
    let ended = run(&site, "zh_CN.UTF-8", &json).expect(1, &[told], &[told]);
    assert!(ended.out.is_ascii() && !ended.err.contains("卡表"), "{}{}", ended.out, ended.err);
    let done = run(&site, "zh_CN.UTF-8", &["ctl", "topup", &card(1), "1", "--by", "li", "--config", "CONFIG"]);
    done.expect(0, &["：完成，流水号 ", "；账户 ", " 元，"], &["key="]);
    run(&site, "zh_CN.UTF-8", &["ctl", "card", &card(1), "--config", "CONFIG"]).expect(0, &["余额  ", "流水号"], &[]);
    // What the program itself finds before it asks has no word, and is Chinese whole.
    let slip = ["ctl", "topup", &card(1), "1.005", "--by", "li", "--config", "CONFIG"];
    let ended = run(&site, "zh_CN.UTF-8", &slip).expect(1, &[], &["amount（金额）是 \"1.005\"：请写大于零的元"]);
    assert!(!ended.err.contains("write"), "{}", ended.err);
    let json = [&slip[..], &["--json"]].concat();
    run(&site, "zh_CN.UTF-8", &json).expect(1, &["{\"ok\":false,\"error\":\"\\\"amount\\\" is "], &[]);
    // A refused reload says in Chinese that nothing changed; the server's sentence names the files.
    let (table, reload) =
        (fs::read_to_string(site.path("cards.csv")).unwrap(), ["ctl", "reload", "--config", "CONFIG"]);
    site.write("cards.csv", &format!("{table}x,y\n"));
    run(&site, "zh_CN.UTF-8", &reload).expect(1, &[], &["没有重读，一切照旧（", "correct the files", "cards.csv:"]);
    let half: Vec<&str> = table.lines().take(table.lines().count() / 2).collect();
    site.write("cards.csv", &format!("{}\n", half.join("\n")));
    run(&site, "zh_CN.UTF-8", &reload).expect(1, &[], &["卡表看来不完整，没有采用", "--accept"]);
    site.write("cards.csv", &table);
    // What was swiped and is in no table.
    let mut terminal = Device::new(2, &server);
    let frame = terminal.frame("103", &format!("77,1.00,{DEVICE_TIME}"));
    terminal.ask(&frame, "006");
    let seen = run(&site, "zh_CN.UTF-8", &["ctl", "seen", "--unknown", "--config", "CONFIG"]);
    seen.expect(0, &["0000000077,"], &["0000000077: 机号 00002，", "，1 次"]);
    // The clauses of a sale's story.
    terminal.pay(&card(1), "2.00");
    let sale = site.ledger().only("charge").raw("seq").to_owned();
    let told = run(&site, "zh_CN.UTF-8", &["ledger", "explain", &sale, "--config", "CONFIG"]);
    let told = told.expect(0, &["批准，没有规则拒绝：扣余额 2.00", "103：刷卡消费 2.00", "机号 00002  "], &[]);
    for english in ["approved", "a sale of", "machine", "from the balance", "no 109", "the chain"] {
        assert!(!told.out.contains(english), "{english}: {}", told.out);
    }
    let json = run(&site, "zh_CN.UTF-8", &["ledger", "explain", &sale, "--json", "--config", "CONFIG"]);
    json.expect(0, &["approved, no rule refused it"], &[]);
    server.stop();
    run(&site, "zh_CN.UTF-8", &topup).expect(74, &[], &["没有这个控制接口"]);
    // What is wrong with the words themselves is told to programs in English too.
    let json = ["ctl", "topup", "--json"];
    let ended = run(&site, "zh_CN.UTF-8", &json).expect(64, &[], &["write `posgate ctl topup"]);
    assert!(ended.err.is_ascii(), "{}", ended.err);
}

#[test]
fn each_area_tells_its_findings() {
    let site = Site::new();
    let server = site.start();
    server.stop();
    let segment = site.segment();
    let segment = segment.to_str().unwrap();
    let old = site.path("cards.csv");
    let new = site.path("new.csv");
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    site.write("new.csv", "卡号,编号,余额\n8888888801,T001,5.5.0\n88x,T002,1\n");
    site.write("orders.csv", "卡号,金额\n88,-1\n");
    let orders = site.path("orders.csv");
    let orders = orders.to_str().unwrap();
    let by = ["--by", "li", "--config", "CONFIG"];
    let topup = [&["ctl", "topup", "--file", orders, "--for", "x"], &by[..]].concat();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["cards", "check", new], 78, "new.csv:3: 卡号/card 列：'88x'：请写终端发来的卡号"),
        (&["cards", "diff", old, new], 78, "请写元，至多两位小数"),
        (&["cards", "diff", old, "/no/such/file"], 78, "读不了卡表"),
        (&["cards", "check", old], 0, "张卡：正常 "),
        (&["cards", "number", "x"], 1, "不是卡号"),
        (&["cards", "number", "4D7603"], 0, "当作十六进制数"),
        (&["ledger", "verify", segment], 0, "完好"),
        (&["ledger", "verify", "--config", "/no/such/file"], 78, "读不了配置"),
        (&["ledger", "show", "--kind", "sell", segment], 64, "没有 \"sell\" 这个类型"),
        (&["ledger", "report", "--day", "x", segment], 64, "不是日期"),
        (&["ledger", "explain", "99", segment], 1, "这里没有流水 99"),
        // The word is for scripts, in every language (docs/reports.md).
        (&["ledger", "show", "--after", "99", segment], 1, "ahead: 还没有流水 99"),
        (&["ledger", "archive", "--config", "CONFIG", new], 78, "没有归档"),
        (&["ledger", "repair", "--cut", "99", "--config", "CONFIG"], 78, "没有从 99 起可截的"),
        (&topup, 1, "什么也没做"),
    ];
    for (words, code, wanted) in cases {
        let ended = run(&site, "zh_CN.UTF-8", words);
        let said = format!("{}{}", ended.out, ended.err);
        ended.expect(*code, &[], &[]);
        assert!(said.contains(wanted), "{words:?}: {said}");
        let ended = run(&site, "C", words);
        assert!(!ended.err.contains(wanted) && !ended.out.contains(wanted), "{words:?}: {}{}", ended.out, ended.err);
    }
    site.write("posgate", "config server\n\toption day_start '25:00'\n\toption wrong 1\n");
    let wrong = ["posgate:2: day_start '25:00'：请写", "posgate:3: config server 里没有 'wrong'"];
    run(&site, "zh_CN.UTF-8", &["check", "--config", "CONFIG"]).expect(78, &[], &wrong);
}

/// What `verify` says of a ledger's files, of copies beside them, and of files that are not there.
#[test]
fn damage_of_a_ledger_is_told_in_chinese() {
    let site = Site::new();
    site.start().stop();
    let (ledger, segment) = (site.path("ledger"), site.segment());
    let whole = fs::read(&segment).unwrap();
    let name = segment.file_name().unwrap();
    let (copy, empty) = (site.path("copy"), site.path("empty"));
    fs::create_dir(&copy).unwrap();
    fs::create_dir(&empty).unwrap();
    let verify = |places: &[&Path], code: i32, wanted: &str, english: &str| {
        let words: Vec<&str> = places.iter().map(|place| place.to_str().unwrap()).collect();
        let words = [&["ledger", "verify"], &words[..]].concat();
        let [zh, en] = ["zh_CN.UTF-8", "C"].map(|locale| run(&site, locale, &words).expect(code, &[], &[]));
        let [zh, en] = [zh, en].map(|ended| format!("{}{}", ended.out, ended.err));
        assert!(zh.contains(wanted) && !zh.contains(english), "{words:?}: {zh}");
        assert!(en.contains(english) && !en.contains(wanted), "{words:?}: {en}");
    };
    verify(&[&empty], 74, "这里没有账本：没有 ledger-….tsv 文件", "no ledger here");
    verify(&[&site.path("none")], 74, "这里没有账本：没有这个文件或目录", "no ledger here");
    fs::write(copy.join(name), &whole[..whole.len() - 30]).unwrap();
    verify(&[&ledger, &copy], 0, "不完整的副本", "a partial copy");
    let mut changed = whole.clone();
    changed[600] ^= 1;
    fs::write(copy.join(name), &changed).unwrap();
    verify(&[&ledger, &copy], 2, "这份副本从第 600 字节起与", "this copy differs");
    fs::write(ledger.join("snapshot.tsv"), "x\n").unwrap();
    verify(&[&ledger], 5, "启动时不会采信这份快照：第一行不是快照的首行", "its first line is not a snapshot's");
    fs::write(
        ledger.join("snapshot.tsv"),
        format!("#posgate-snapshot\tversion=10\tledger={:016x}\tseq=99\tcrc=00000000\n", 7),
    )
    .unwrap();
    verify(&[&ledger], 5, "它属于账本 0000000000000007，而", "it belongs to ledger");
    fs::remove_file(ledger.join("snapshot.tsv")).unwrap();
    fs::write(&segment, [b"!", &whole[1..]].concat()).unwrap();
    verify(&[&ledger], 5, "文件头读不了：不以 #posgate-ledger 开头", "the header cannot be read: it does not begin");
}

#[test]
fn the_log_of_the_server_knows_no_language() {
    let site = Site::new();
    site.write("posgate", &format!("{}\toption wrong '1'\n", fs::read_to_string(site.path("posgate")).unwrap()));
    let ended =
        run(&site, "zh_CN.UTF-8", &["serve", "--config", "CONFIG"]).expect(78, &[], &["config server has no 'wrong'"]);
    assert!(ended.err.is_ascii(), "{}", ended.err);
}
