//! Files of orders: validated whole, done in order, done once.

use crate::harness::{CARDS, Site, card};
use crate::tools::ctl;

#[test]
fn a_file_is_done_once_however_often_it_is_given() {
    let site = Site::new();
    let server = site.start();
    let rows: Vec<String> = (1..=CARDS).map(|number| format!("{},{number}.50,五月", card(number))).collect();
    site.write("may.csv", &format!("\u{FEFF}卡号,金额(元),备注\r\n{}\r\n", rows.join("\r\n")));
    let file = site.path("may.csv");
    let file = file.to_str().unwrap();
    ctl(&site, &["subsidy", "--file", file]).expect(0, &["12 done, 84.00 yuan, seq 3–25"]);
    ctl(&site, &["subsidy", "--file", file]).expect(0, &["already applied, seq 3–25"]);
    let server_after = {
        server.kill();
        site.start()
    };
    ctl(&site, &["subsidy", "--file", file]).expect(0, &["already applied, seq 3–25"]);
    // The same file for another month, and as another command, are other batches.
    ctl(&site, &["subsidy", "--file", file, "--key", "june"]).expect(0, &["12 done"]);
    ctl(&site, &["topup", "--file", file, "--json"])
        .expect(0, &["{\"ok\":true,\"done\":12,\"again\":0,\"sum\":\"84.00\""]);
    server_after.stop();
    let ledger = site.ledger();
    assert_eq!((ledger.count("subsidy"), ledger.count("topup")), (24, 12));
    assert_eq!(ledger.of_kind("subsidy").next().unwrap().detail("note"), Some("五月"));
    assert_eq!(ledger.sum("A00001"), 100_000 + 3 * 150);
}

#[test]
fn one_bad_line_and_nothing_is_done() {
    let site = Site::new();
    let server = site.start();
    let file = site.path("f.csv");
    let file = file.to_str().unwrap();
    site.write("f.csv", &format!("card,amount\n{},1.00\n{},1.005\n{},-1\n", card(1), card(2), card(3)));
    let said = ctl(&site, &["topup", "--file", file]);
    said.expect(1, &["f.csv:3: column 金额/amount", "f.csv:4: column", "nothing was done"]);
    // What only the server knows.
    site.write("f.csv", &format!("card,amount\n{},1.00\n77,1\n{},1\n", card(1), card(3)));
    ctl(&site, &["close", &card(3)]).expect(0, &[]);
    let said = ctl(&site, &["topup", "--file", file]);
    said.expect(
        1,
        &[
            "f.csv:3: neither the card table nor the ledger has card",
            "f.csv:4: card 8888888803 is closed",
            "nothing was done",
        ],
    );
    // The same for programs.
    let said = ctl(&site, &["topup", "--file", file, "--json"]).expect(1, &[]);
    assert!(
        said.out.starts_with("{\"ok\":false,\"error\":\"") && said.out.contains("nothing was done\",\"problems\":[")
    );
    assert!(said.out.contains("f.csv:3: neither") && said.out.lines().count() == 1, "{}", said.out);
    ctl(&site, &["topup", "--file", "/nowhere.csv"]).expect(74, &["/nowhere.csv"]);
    ctl(&site, &["topup", &card(1), "1", "--file", file]).expect(64, &["--file"]);
    ctl(&site, &["payout", "--file", file]).expect(64, &["--file"]);
    server.stop();
    assert_eq!(site.ledger().count("topup"), 0);
}

#[test]
fn rows_with_keys_of_their_own_are_done_once_whatever_file_they_stand_in() {
    let site = Site::new();
    let server = site.start();
    let file = site.path("f.csv");
    let file = file.to_str().unwrap();
    site.write("f.csv", &format!("card,amount,key\n{},1.00,A-1\n{},2.00,\n{},3.00,A-3\n", card(1), card(2), card(3)));
    ctl(&site, &["adjust", "--file", file]).expect(0, &["3 done, 6.00 yuan"]);
    site.write("f.csv", &format!("card,amount,key\n{},1.00,A-1\n{},-4.00,A-4\n", card(1), card(4)));
    ctl(&site, &["adjust", "--file", file]).expect(0, &["1 done now, -4.00 yuan; 1 had been done before"]);
    server.stop();
    assert_eq!(site.ledger().count("adjust"), 4);
}
