//! A desk's day: money, cards, the server; each command done once, durable, in the ledger.

use crate::harness::{Device, Site, card, card_table};
use crate::tools::{Client, ctl, member};
use crate::whole::crc_in;

#[test]
fn money_moves_once_and_a_terminal_sees_it() {
    let site = Site::new();
    let server = site.start();
    let mut terminal = Device::new(2, &server);
    let card = card(1);
    let first = ctl(&site, &["topup", &card, "5.50", "--note", "现金"]).expect(0, &["done, entry 3", "1005.50 yuan"]);
    let again = ctl(&site, &["topup", &card, "5.50", "--key", &first.key()]);
    again.expect(0, &["was done before, entry 3", "1005.50 yuan"]);
    ctl(&site, &["subsidy", &card, "10", "--uses", "2", "--key", "may"])
        .expect(0, &["1005.50 yuan of cash, 10.00 yuan of subsidy, 102 uses"]);
    ctl(&site, &["adjust", &card, "-0.50"]).expect(0, &["1005.00 yuan of cash, 10.00 yuan of subsidy"]);
    ctl(&site, &["adjust", &card, "+0.50"]).expect(0, &["1005.50 yuan of cash"]);
    ctl(&site, &["topup", &card, "--uses", "3"]).expect(0, &["1005.50 yuan of cash, 10.00 yuan of subsidy, 105 uses"]);
    assert!(terminal.pay(&card, "15.50").text.contains("{1000.00}"));
    let sale = site.ledger().only("charge").raw("seq").to_owned();
    // The sale took 10.00 of subsidy and 5.50 of cash; the cash comes back first.
    ctl(&site, &["void", &sale, "--amount", "6.00", "--key", "v1"]).expect(
        0,
        &[
            "given back: 5.50 yuan of cash, 0.50 yuan of subsidy; 9.50 yuan are left to undo",
            "1005.50 yuan of cash, 0.50 yuan of subsidy",
        ],
    );
    ctl(&site, &["void", &sale, "--key", "v2"])
        .expect(0, &["0.00 yuan of cash, 9.50 yuan of subsidy", "1005.50 yuan of cash, 10.00 yuan of subsidy"]);
    ctl(&site, &["void", &sale, "--key", "v2"]).expect(0, &["was done before"]);
    ctl(&site, &["void", &sale]).expect(1, &["nothing is left of entry"]);
    ctl(&site, &["payout", &card, "all", "--yes", "--key", "p1"])
        .expect(0, &["holds 0.00 yuan of cash, 10.00 yuan of subsidy"]);
    // "All" is now nothing, and the key still stands for what it was.
    ctl(&site, &["payout", &card, "all", "--yes", "--key", "p1"])
        .expect(0, &["was done before", "held then 0.00 yuan"]);
    server.kill();
    // Also after a restart, and after a crash.
    let server = site.start();
    let said =
        ctl(&site, &["topup", &card, "5.50", "--json", "--key", &first.key()]).expect(0, &["\"again\":true,\"seq\":3"]);
    said.expect(
        0,
        &[
            &format!("\"key\":\"{}\"", first.key()),
            "\"account\":\"A00001\",\"balance\":\"1005.50\",\"subsidy\":\"0.00\",\"uses\":100",
        ],
    );
    ctl(&site, &["payout", &card, "all", "--yes", "--key", "p1"]).expect(0, &["was done before"]);
    ctl(&site, &["payout", &card, "all", "--yes", "--key", "p2"]).expect(1, &["nothing would move"]);
    server.stop();
    let ledger = site.ledger();
    let topup = ledger.of_kind("topup").next().unwrap();
    assert_eq!((topup.raw("amount"), topup.detail("by"), topup.detail("note")), ("5.50", Some("li"), Some("现金")));
    assert_eq!((ledger.count("topup"), ledger.count("void"), ledger.count("payout")), (2, 2, 1));
    assert_eq!(ledger.sum("A00001"), 0);
}

/// Found by the simulation: it was refused as another order's key, with the advice to take a new
/// one.
#[test]
fn a_payout_of_all_that_was_archived_is_not_paid_again_under_its_key() {
    let site = Site::with("\toption segment_bytes '65536'\n", "");
    let server = site.start();
    let card = card(1);
    ctl(&site, &["payout", &card, "all", "--yes", "--key", "p1"]).expect(0, &["holds 0.00 yuan"]);
    let rows: Vec<String> = (0..600).map(|_| format!("{card},0.01")).collect();
    site.write("many.csv", &format!("card,amount\n{}\n", rows.join("\n")));
    let file = site.path("many.csv");
    ctl(&site, &["topup", "--file", file.to_str().unwrap(), "--for", "x"]).expect(0, &["600 done"]);
    ctl(&site, &["payout", &card, "all", "--yes", "--key", "p1"]).expect(0, &["was done before"]);
    server.wait_for("snapshot seq=");
    let to = site.path("archive");
    site.run(&["ledger", "archive", "--config", "CONFIG", to.to_str().unwrap()]).expect(
        0,
        &["archived 1 segments"],
        &[],
    );
    let said = ctl(&site, &["payout", &card, "all", "--yes", "--key", "p1"]);
    said.expect(1, &["this key was used for entry 3, which is archived"]);
    server.stop();
    assert_eq!(site.ledger().count("payout"), 0);
}

#[test]
fn a_lost_card_is_refused_at_once_and_its_account_goes_on_with_a_new_one() {
    let site = Site::new();
    let table = card_table(12).replace("8888888802,A00002,张三", "8888888802,A00002,李四").replacen(
        "card,account,name,",
        "card,account,name,status,",
        1,
    );
    let mut lines = table.lines();
    let header = lines.next().unwrap();
    let rows = lines.map(|line| {
        let status = if line.starts_with("8888888803") { "lost" } else { "" };
        line.replacen("张三,", &format!("张三,{status},"), 1).replacen("李四,", "李四,,", 1)
    });
    site.write("cards.csv", &format!("{header}\n{}\n", rows.collect::<Vec<_>>().join("\n")));
    let server = site.start();
    let mut terminal = Device::new(2, &server);
    let (one, two, three) = (card(1), card(2), card(3));
    terminal.pay(&one, "1.00");
    ctl(&site, &["lost", &one]).expect(0, &["done"]);
    let frame = terminal.charge(&one, "1.00");
    assert!(terminal.ask(&frame, "006").text.contains("此卡已挂失"));
    // What is so already is ordered all the same: somebody said so, and the key is used.
    let said = ctl(&site, &["lost", &one, "--key", "again", "--note", "also by phone"]);
    said.expect(0, &["done, entry", "nothing changed: the card was so already"]);
    ctl(&site, &["unfreeze", &one]).expect(1, &["is lost, not frozen: use found"]);
    ctl(&site, &["card", &one]).expect(0, &["lost 挂失; an order says so", "999.00 yuan", "张三", "in doubt  sale 3"]);
    let said = ctl(&site, &["found", &one]).expect(0, &["done"]);
    assert!(!said.out.contains("nothing changed"), "{}", said.out);
    ctl(&site, &["found", &one]).expect(0, &["done, entry", "nothing changed: the card was not lost"]);
    ctl(&site, &["unfreeze", &one, "--json"]).expect(0, &["\"unchanged\":true"]);
    let said = ctl(&site, &["lost", &one, "--key", "again"]).expect(0, &["was done before"]);
    assert!(!said.out.contains("nothing changed"), "{}", said.out);
    terminal.pay(&one, "1.00");
    ctl(&site, &["found", &three])
        .expect(1, &["the card table says that card ****8803 is lost: change its status there"]);
    ctl(&site, &["card", &three]).expect(0, &["lost 挂失; the card table says so"]);
    ctl(&site, &["freeze", &two]).expect(0, &["done"]);
    ctl(&site, &["found", &two]).expect(1, &["is frozen, not lost: use unfreeze"]);
    ctl(&site, &["unfreeze", &two]).expect(0, &["done"]);
    ctl(&site, &["replace", &two, "8888888899"]).expect(0, &["account A00002 holds 1000.00 yuan"]);
    assert!(terminal.pay("8888888899", "2.00").text.contains("李四 {998.00}"));
    ctl(&site, &["card", &two]).expect(0, &["closed 注销", "replaced  by 8888888899"]);
    ctl(&site, &["topup", &two, "1"])
        .expect(1, &["was replaced by ****8899: order it for that card, which `posgate ctl card` shows"]);
    ctl(&site, &["close", "8888888899", "--yes"]).expect(0, &["done"]);
    ctl(&site, &["found", "8888888899"]).expect(1, &["a closed card stays closed"]);
    // The last entries, also for programs.
    let said = ctl(&site, &["card", &one, "--json"]).expect(0, &["\"entries\":[{\"seq\":"]);
    assert_eq!((member(&said.json(), "state"), member(&said.json(), "balance")), ("active".into(), "998.00".into()));
    server.stop();
}

#[test]
fn the_answer_of_every_order_names_the_holder() {
    let site = Site::new();
    site.write("cards.csv", &card_table(12).replace("A00002,张三", "A00002,李四"));
    let server = site.start();
    let mut terminal = Device::new(2, &server);
    let (one, two) = (card(1), card(2));
    terminal.pay(&one, "1.00");
    let sale = site.ledger().only("charge").raw("seq").to_owned();
    for (words, holder) in [
        (&["topup", &one, "1", "--key", "a"][..], "张三"),
        (&["topup", &one, "1", "--key", "a"], "张三"),
        (&["subsidy", &two, "1"], "李四"),
        (&["adjust", &two, "-1"], "李四"),
        (&["payout", &one, "1", "--yes"], "张三"),
        (&["void", &sale, "--key", "v"], "张三"),
        (&["void", &sale, "--key", "v"], "张三"),
        (&["lost", &two], "李四"),
        (&["found", &two], "李四"),
        (&["freeze", &two], "李四"),
        (&["unfreeze", &two], "李四"),
        (&["rename", "A00001", "B00001", "--key", "r"], "张三"),
        (&["rename", "A00001", "B00001", "--key", "r"], "张三"),
        (&["account", &one, "C00001"], "张三"),
        (&["replace", &two, "8888888899"], "李四"),
        (&["close", "8888888899", "--yes"], "李四"),
    ] {
        let said = ctl(&site, words).expect(0, &[&format!("; {holder}")]);
        assert!(said.out.contains(", entry "), "{said:?}");
        if words[1] == one && words[0] == "topup" {
            let said = ctl(&site, &[words, &["--json"]].concat()).expect(0, &[]);
            assert_eq!(member(&said.json(), "name"), holder);
        }
    }
    server.stop();
}

#[test]
fn cards_are_found_by_name_number_and_account_however_many_there_are() {
    let site = Site::new();
    site.write("cards.csv", &card_table(3000).replace("8888889900,A01100,张三", "8888889900,A01100,欧阳修"));
    let server = site.start();
    for (search, count) in [("欧阳", 1), ("A0110", 10), ("8888891799", 1), ("nobody", 0)] {
        let said = ctl(&site, &["cards", "--search", search]).expect(0, &["card"]);
        assert_eq!(said.out.lines().count() - 1, count, "{search}");
    }
    let said = ctl(&site, &["cards", "--json"]).expect(0, &[]);
    assert_eq!(said.out.matches("\"card\":").count(), 3000);
    // No line is longer than it may be, however many match.
    let mut client = Client::of(&site);
    let (mut after, mut lines) = ("0".to_owned(), 0);
    loop {
        let line = client.ask(&format!("{{\"cmd\":\"cards\",\"after\":{after}}}"));
        assert!(line.len() <= 4096, "{}", line.len());
        lines += 1;
        let value = line.parse().unwrap();
        if !line.contains("\"next\"") {
            break;
        }
        after = member(&value, "next").replace(".0", "");
    }
    assert!(lines > 50, "{lines}");
    server.stop();
}

#[test]
fn what_an_unknown_card_owes_is_told_once_the_table_names_another_account() {
    let site = Site::new();
    let server = site.start();
    let mut terminal = Device::new(2, &server);
    let record = terminal.frame("105", "9999999999,8.00,2026-11-22 11:59:00,0,7,1");
    terminal.ask(&record, "011");
    let owed = "the table names account S9, which is ignored: the card moved account @****9999 (-8.00, 0.00 of subsidy and 0 uses)";
    let table = |account: &str| format!("{}9999999999,{account},王五,100.00,0,,,\n", card_table(12));
    site.write("cards.csv", &table("S9"));
    let said = ctl(&site, &["reload", "--json"]).expect(0, &[]).json();
    assert_eq!((member(&said, "ignored"), member(&said, "elsewhere")), ("1".into(), "1".into()));
    server.wait_for_trouble(&format!("ignored card=****9999: {owed}"));
    ctl(&site, &["card", "9999999999"])
        .expect(0, &["account   @9999999999", "holds     -8.00 yuan", "ignored   account S9"]);
    site.run(&["check", "--config", "CONFIG"]).expect(0, &[], &[&format!("cards.csv: card ****9999: {owed}")]);
    server.kill();
    let server = site.start();
    server.wait_for_trouble(owed);
    // What the table opens its account with counts once, also where the card moved money before.
    ctl(&site, &["account", "9999999999", "S9"]).expect(0, &["account S9 holds 92.00 yuan"]);
    let said = ctl(&site, &["card", "9999999999"]).expect(0, &["account   S9", "holds     92.00 yuan"]);
    assert!(!said.out.contains("ignored"), "{said:?}");
    ctl(&site, &["account", "9999999999", "S9"]).expect(1, &["is on account S9"]);
    ctl(&site, &["rename", "S9", "A00001"]).expect(1, &["account A00001 is in use"]);
    ctl(&site, &["rename", "S9", "S10"]).expect(0, &["account S10 holds 92.00 yuan"]);
    // The table has the old name yet: that is no other holder.
    ctl(&site, &["reissue", "9999999999"]).expect(1, &["which is the same holder's"]);
    site.write("cards.csv", &table("S11").replace("王五,100.00", "赵六,7.00"));
    ctl(&site, &["reload"]).expect(0, &["1 changed"]);
    ctl(&site, &["reissue", "9999999999"]).expect(0, &["account S11 holds 7.00 yuan"]);
    ctl(&site, &["card", "9999999999"]).expect(0, &["account   S11", "赵六", "holds     7.00 yuan"]);
    server.kill();
}

#[test]
fn a_reload_says_what_changed_and_a_tenth_fewer_cards_must_be_accepted() {
    let site = Site::new();
    let server = site.start();
    ctl(&site, &["topup", &card(1), "1"]).expect(0, &[]);
    site.write(
        "cards.csv",
        &card_table(13).replacen("1000.00", "7.00", 2).replace("8888888804,A00004,张三", "8888888804,A00004,赵六"),
    );
    let said = ctl(&site, &["reload"])
        .expect(0, &["13 cards: 1 new, 0 gone, 2 changed", "new: 8888888813", "changed: 8888888802 8888888804"]);
    assert!(said.out.contains("the ledger's balance and uses stand, not the table's: A00001"), "{}", said.out);
    assert!(!said.out.contains("A00002"), "an account that is not open takes the new figures: {}", said.out);
    ctl(&site, &["reload"]).expect(0, &["13 cards: 0 new, 0 gone, 0 changed"]);
    assert!(ctl(&site, &["status", "--json"]).out.contains("\"unsynced_bytes\":0,"), "its entry is durable, too");
    site.write("cards.csv", &card_table(6));
    let said = ctl(&site, &["reload"]);
    let said = said.expect(1, &["lacks 7 of 13 cards", "posgate ctl reload --accept", "stay in service"]);
    ctl(&site, &["reload", "--accept", &crc_in(&said.err)]).expect(0, &["6 cards: 0 new, 7 gone"]);
    site.write("cards.csv", "card,balance\n12x,1\n13,x\n");
    ctl(&site, &["reload"]).expect(1, &["correct the files", "cards.csv:2:", "cards.csv:3:"]);
    site.configure("\toption control 'elsewhere.sock'", "");
    server.stop();
}

#[test]
fn the_server_answers_for_itself() {
    let site = Site::new();
    let server = site.start();
    ctl(&site, &["status"]).expect(0, &["version", "ledger.seq", "site1"]);
    assert_eq!(member(&ctl(&site, &["status", "--json"]).json(), "ok"), "true");
    ctl(&site, &["sync"]).expect(0, &["durable up to entry 1"]);
    ctl(&site, &["clock-accept"]).expect(0, &["believed from now on; entry 2"]);
    // The socket alone will do, also to find the ledger.
    let path = site.path("ctl.sock");
    let said =
        crate::harness::posgate().args(["ctl", "card", &card(1), "--control"]).arg(&path).output().expect("it runs");
    assert!(said.status.success() && String::from_utf8_lossy(&said.stdout).contains("1000.00 yuan"), "{said:?}");
    assert!(path.exists());
    server.stop();
    assert!(!path.exists(), "a clean stop removes its socket");
    assert_eq!(site.ledger().only("clock").detail("by"), Some("li"));
}

#[test]
fn without_a_socket_the_terminals_are_served_all_the_same() {
    let site = Site::with("\toption control '/proc/nowhere/ctl.sock'", "");
    // The harness names one as well: the last word counts no more than the first, so it is left out
    // here.
    let config = std::fs::read_to_string(site.path("posgate")).unwrap().replace("\toption control 'ctl.sock'\n", "");
    site.write("posgate", &config);
    let server = site.start();
    server.wait_for_trouble("control failed: cannot make the directory of the control socket /proc/nowhere/ctl.sock");
    Device::new(2, &server).pay(&card(1), "1.00");
    server.stop();
}
