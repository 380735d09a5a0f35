//! What another card table would change.

use std::fs;

use crate::harness::{Device, Ended, Site, card, card_table, posgate};
use crate::text;

fn diff(arguments: &[&str]) -> Ended {
    Ended::of(&posgate().args(["cards", "diff"]).args(arguments).output().unwrap())
}

#[test]
fn figures_of_accounts_that_the_ledger_opened_are_named_as_ignored() {
    let site = Site::new();
    let server = site.start();
    Device::new(1, &server).pay(&card(1), "1.00");
    let new = card_table(13).replace(",1000.00,100,", ",1500.00,100,");
    site.write("new.csv", &new);
    let (old, new) = (site.path("cards.csv"), site.path("new.csv"));
    let (config, old, new) = (site.path("posgate"), text(&old), text(&new));
    // Beside the running server.
    let told = diff(&[old, new, "--config", text(&config)]).expect(
        0,
        &["1 new, 0 gone, 12 changed, 0 the same; 1 figures ignored"],
        &[],
    );
    assert!(told.out.contains(
        "ignored  A00001: balance 1500.00 subsidy 0.00 uses 100: the account is open in the ledger with 999.00"
    ));
    assert!(told.out.contains("balance 1000.00 → 1500.00"));
    server.stop();
    diff(&[old, new]).expect(0, &["; 0 figures ignored"], &[]);
    diff(&[old, old]).expect(0, &["0 new, 0 gone, 0 changed, 12 the same"], &[]);
}

#[test]
fn accounts_of_cards_that_the_ledger_has_on_others_are_named_as_ignored() {
    let site = Site::new();
    let server = site.start();
    Device::new(1, &server).pay(&card(1), "1.00");
    // Of the second card nothing is known: the new table's word counts.
    site.write("new.csv", &card_table(12).replace(",A00001,", ",B1,").replace(",A00002,", ",B2,"));
    let (old, new) = (site.path("cards.csv"), site.path("new.csv"));
    let (config, old, new) = (site.path("posgate"), text(&old), text(&new));
    let sentence = format!(
        "ignored  {}: the table names account B1, which is ignored: the card moved account A00001 (999.00, 0.00 of subsidy and 100 uses) and stays there",
        card(1)
    );
    let check = || {
        let told = diff(&[old, new, "--config", text(&config)]).expect(
            0,
            &["2 changed, 10 the same; 0 figures ignored; 1 cards keep other accounts", &sentence],
            &[],
        );
        assert_eq!(told.out.matches("ignored  ").count(), 1, "{}", told.out);
        // Also where it is no news.
        diff(&[new, new, "--config", text(&config)]).expect(0, &[&sentence, "12 the same"], &[]);
    };
    check();
    server.stop();
    check();
    diff(&[old, old, "--config", text(&config)]).expect(0, &["12 the same; 0 figures ignored"], &[]);
}

#[test]
fn a_table_that_cannot_be_read_is_78_and_one_name_too_few_is_64() {
    let directory = tempfile::tempdir().unwrap();
    let (good, bad) = (directory.path().join("good.csv"), directory.path().join("bad.csv"));
    fs::write(&good, "card\n1\n").unwrap();
    fs::write(&bad, "card\n12x\n").unwrap();
    let ended = diff(&[text(&good), text(&bad)]).expect(78, &[], &["bad.csv:2:"]);
    assert_eq!(ended.out, "");
    diff(&[text(&good), "/no/such.csv"]).expect(78, &[], &["/no/such.csv"]);
    diff(&[text(&good)]).expect(64, &[], &["cards diff OLD NEW"]);
}
