//! A table is taken only if it is whole beside the one before it, at a reload and at a start; a
//! person takes any by its crc.

use crate::harness::{Device, Site, card, card_table};
use crate::tools::{Said, ctl};

const ALL: u64 = 40;

/// A site that was served with 40 cards, and is not running.
fn served() -> Site {
    let site = Site::new();
    site.write("cards.csv", &card_table(ALL));
    let server = site.start();
    Device::new(1, &server).pay(&card(1), "1.00");
    server.stop();
    site
}

fn good(site: &Site) -> String {
    std::fs::read_to_string(site.path("ledger/good/cards.csv")).unwrap()
}

/// The crc by which a refused table is taken.
pub fn crc_in(text: &str) -> String {
    let (_, crc) = text.split_once("`posgate ctl reload --accept ").unwrap_or_else(|| panic!("no crc: {text}"));
    crc[..8].to_owned()
}

fn reload_refused(site: &Site, words: &[&str]) -> Said {
    ctl(site, &["reload"]).expect(1, words).expect(1, &["stay in service"])
}

#[test]
fn a_start_serves_the_good_copy_in_the_place_of_a_stump_and_keeps_it() {
    let whole = card_table(ALL);
    let header = whole.lines().next().unwrap();
    let stumps = [
        (String::new(), "lacks 40 of 40 cards, all of them"),
        (format!("{header}\n"), "lacks 40 of 40 cards, all of them"),
        (card_table(35), "lacks 5 of 40 cards, more than a tenth: ****8836"),
        // Cut within a line, whatever is missing.
        (whole[..whole.len() - 9].to_owned(), "cut short"),
        (whole[..7].to_owned(), "cut short"),
    ];
    let site = served();
    for (stump, words) in &stumps {
        site.write("cards.csv", stump);
        let said = site.run(&["check", "--config", "CONFIG"]);
        let said = said.expect(
            78,
            &["`serve` would start with the good copy", "ledger/good/cards.csv, accepted 20"],
            &[words],
        );
        assert!(!said.out.contains("refuse"), "{}", said.out);
        let server = site.start();
        server.wait_for_trouble(words);
        server.wait_for_trouble("degraded serving=");
        Device::new(1, &server).pay(&card(40), "1.00");
        assert!(ctl(&site, &["status", "--json"]).out.contains("\"degraded\":true"), "it says so");
        assert_eq!(good(&site), whole);
        // Nor does a reload take it unasked.
        ctl(&site, &["reload"]).expect(1, &["stay in service"]);
        assert_eq!(good(&site), whole);
        server.kill();
    }
}

#[test]
fn a_table_that_is_not_whole_is_taken_by_its_crc_and_only_that_one() {
    let site = served();
    site.write("cards.csv", &card_table(20));
    let server = site.start();
    let said =
        reload_refused(&site, &["lacks 20 of 40 cards, more than a tenth: ****8821, ****8822, ****8823 and 17 more"]);
    let crc = crc_in(&said.err);
    let json = ctl(&site, &["reload", "--json"]).expect(1, &[&format!("\"crc\":\"{crc}\"")]);
    assert_eq!(json.out.lines().count(), 1);
    ctl(&site, &["reload", "--accept", "00000000"])
        .expect(1, &[&format!("the file's crc is {crc} now, and not 00000000")]);
    for wrong in ["", "1", "0x12345678", "12345678 ", "+1234567"] {
        ctl(&site, &["reload", "--accept", wrong]).expect(64, &["8 digits of hexadecimal"]);
    }
    ctl(&site, &["reload", "--accept"]).expect(64, &[]);
    // It changed since it was looked at.
    site.write("cards.csv", &card_table(10));
    ctl(&site, &["reload", "--accept", &crc]).expect(1, &["it changed since"]);
    site.write("cards.csv", &card_table(20));
    ctl(&site, &["reload", "--accept", &crc.to_uppercase()]).expect(0, &["20 cards: 0 new, 20 gone"]);
    assert_eq!(good(&site), card_table(20));
    assert!(!ctl(&site, &["status", "--json"]).out.contains("\"degraded\":true"), "no good copy is served any more");
    // The same again is no news.
    ctl(&site, &["reload"]).expect(0, &["20 cards: 0 new, 0 gone"]);
    server.stop();
    site.run(&["check", "--config", "CONFIG"]).expect(0, &["20 cards"], &[]);
    site.start().stop();
}

#[test]
fn a_start_takes_the_table_that_was_in_service_although_its_good_copy_was_not_kept() {
    let site = served();
    let before = good(&site);
    let server = site.start();
    site.write("cards.csv", &card_table(20));
    let crc = crc_in(&reload_refused(&site, &[]).err);
    ctl(&site, &["reload", "--accept", &crc]).expect(0, &[]);
    // As if the power had failed before the good copy was in its place.
    server.kill();
    std::fs::write(site.path("ledger/good/cards.csv"), &before).unwrap();
    site.run(&["check", "--config", "CONFIG"]).expect(0, &[], &[]);
    let server = site.start();
    assert!(!ctl(&site, &["status", "--json"]).out.contains("\"degraded\":true"), "the accepted table is served");
    assert_eq!(good(&site), card_table(20));
    server.kill();
    // Another table is compared as before.
    site.write("cards.csv", &card_table(10));
    let server = site.start();
    server.wait_for_trouble("lacks 10 of 20 cards");
    server.kill();
}

#[test]
fn a_tenth_of_the_cards_or_three_may_go_at_a_start_and_at_a_reload() {
    let site = served();
    site.write("cards.csv", &card_table(ALL - 4));
    site.run(&["check", "--config", "CONFIG"]).expect(0, &["36 cards"], &[]);
    let server = site.start();
    assert_eq!(good(&site), card_table(ALL - 4));
    site.write("cards.csv", &card_table(ALL - 7));
    ctl(&site, &["reload"]).expect(0, &["33 cards: 0 new, 3 gone"]);
    site.write("cards.csv", &card_table(ALL - 11));
    reload_refused(&site, &["lacks 4 of 33 cards, more than a tenth"]);
    server.stop();
}

#[test]
fn a_table_without_a_column_that_restricts_or_with_cards_on_other_peoples_money_is_refused() {
    let site = served();
    let whole = card_table(ALL);
    let without = |place: usize| -> String {
        let fields = |line: &str| {
            let fields = line.split(',').enumerate().filter(|(column, _)| *column != place).map(|(_, field)| field);
            fields.collect::<Vec<_>>().join(",") + "\n"
        };
        whole.lines().map(fields).collect()
    };
    let server = site.start();
    for (place, column) in [(5, "密码/pin"), (6, "胁迫密码/duress_pin"), (7, "二维码/code")] {
        site.write("cards.csv", &without(place));
        reload_refused(&site, &[&format!("it lacks a column that was there: {column}")]);
    }
    // A typing slip, and a new card: the first account has moved money.
    site.write("cards.csv", &whole.replace("8888888802,A00002", "8888888802,A00001"));
    reload_refused(&site, &["not on before: line 3: card ****8802 on account A00001"]);
    site.write("cards.csv", &format!("{whole}{},A00001,李四,,,,,\n", card(41)));
    let said = reload_refused(&site, &["line 42: card ****8841 on account A00001"]);
    assert!(!said.err.contains(&card(41)) && !said.out.contains(&card(41)), "a card is shown whole: {said:?}");
    ctl(&site, &["reload", "--accept", &crc_in(&said.err)]).expect(0, &["41 cards: 1 new"]);
    // Now it was on it before; an account that moved nothing is free to share.
    site.write("cards.csv", &format!("{whole}{},A00001,李四,,,,,\n{},A00003,王五,,,,,\n", card(41), card(42)));
    ctl(&site, &["reload"]).expect(0, &["42 cards: 1 new"]);
    server.stop();
    // At a start the same.
    site.write("cards.csv", &whole.replace("8888888805,A00005", "8888888805,A00001"));
    let refused = ["line 6: card ****8805 on account A00001"];
    site.run(&["check", "--config", "CONFIG"]).expect(78, &["would start with the good copy"], &refused);
    let server = site.start();
    server.wait_for_trouble(refused[0]);
    server.stop();
}

#[test]
fn a_first_start_takes_what_it_is_given_and_a_good_copy_that_cannot_be_read_meets_words() {
    let site = Site::new();
    site.write("cards.csv", "");
    let server = site.start();
    server.wait_for_trouble("the table holds no cards");
    site.write("cards.csv", &card_table(12));
    ctl(&site, &["reload"]).expect(0, &["12 cards: 12 new"]);
    server.stop();
    // As another program may have left it.
    std::fs::write(site.path("ledger/good/cards.csv"), "card,balance\n12x,1\n").unwrap();
    let words = "the good copy cannot be read, so the card table is taken as it stands";
    site.write("cards.csv", &card_table(3));
    site.run(&["check", "--config", "CONFIG"]).expect(0, &["3 cards"], &["good/cards.csv:2:", words]);
    let server = site.start();
    server.wait_for_trouble(words);
    server.stop();
    assert_eq!(good(&site), card_table(3));
}

#[test]
fn a_configuration_that_is_empty_or_without_its_server_section_gives_way_to_its_good_copy() {
    let site = served();
    let config = std::fs::read_to_string(site.path("posgate")).unwrap();
    let stumps = [
        ("", "there is no section config server"),
        ("# nothing\n", "there is no section config server"),
        ("config device\n\toption machine '3'\n", "there is no section config server"),
        (&format!("\u{FEFF}{config}"), "a byte order mark"),
        // Cut within a line.
        (&config[..config.find("'debug'").unwrap() + 4], "posgate:"),
        (&config[..config.find("option cards").unwrap() + 9], "posgate:"),
    ];
    for (stump, words) in stumps {
        site.write("posgate", stump);
        let said = site.run(&["check", "--config", "CONFIG"]);
        said.expect(78, &["would start with the good copy", "ledger/good/config, accepted 20"], &[words]);
        let server = site.spawn(&[]);
        server.wait_for_trouble(words);
        server.wait_for_trouble("degraded serving=");
        server.kill();
        assert_eq!(std::fs::read_to_string(site.path("ledger/good/config")).unwrap(), config);
    }
    // A bad one without a good one: words for both.
    site.write("posgate", &format!("{config}\toption nonsense '1'\n"));
    std::fs::write(site.path("ledger/good/config"), format!("{config}\toption other '1'\n")).unwrap();
    site.spawn(&[]).end().expect(78, &[], &["nonsense", "good/config:", "other"]);
}
