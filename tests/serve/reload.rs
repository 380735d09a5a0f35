//! SIGHUP: a new table is installed as a whole, or the old one stays.

use nix::sys::signal::Signal;

use crate::harness::{CARDS, Device, Server, Site, card, card_table};

/// A server, and a terminal that has sold once.
fn in_service(site: &Site) -> (Server, Device) {
    let server = site.start();
    let mut device = Device::new(2, &server);
    device.pay(&card(1), "1.00");
    (server, device)
}

/// Checks that the old table still sells and that the process stops cleanly.
#[track_caller]
fn serves_on(site: &Site, server: Server, mut device: Device) -> String {
    assert!(device.pay(&card(1), "1.00").text.contains("{998.00}"));
    let ended = server.stop();
    assert_eq!(site.ledger().count("reload"), 0, "a refused reload leaves no entry");
    ended.err
}

#[test]
fn a_new_card_sells_after_a_reload_and_a_balance_in_the_ledger_stays() {
    let site = Site::new();
    let (server, mut device) = in_service(&site);
    let frame = device.charge(&card(CARDS + 1), "1.00");
    assert!(device.ask(&frame, "006").text.contains("未登记卡"));
    // The first card's opening figure changes too, but its account is opened by now.
    site.write("cards.csv", &card_table(CARDS + 1).replacen("1000.00", "7.00", 1));
    server.signal(Signal::SIGHUP);
    server.wait_for("reload cards=13");
    assert!(device.pay(&card(CARDS + 1), "1.00").text.contains("{999.00}"));
    assert!(device.pay(&card(1), "1.00").text.contains("{998.00}"));
    server.stop();
    let ledger = site.ledger();
    assert_eq!(ledger.only("reload").detail("cards"), Some("13"));
    let start = ledger.only("start");
    assert_ne!(ledger.only("reload").detail("cards_crc"), start.detail("cards_crc"));
    assert_eq!(ledger.only("reload").detail("config_crc"), start.detail("config_crc"));
}

#[test]
fn rules_and_texts_are_installed_with_the_cards() {
    let site = Site::new();
    let (server, mut device) = in_service(&site);
    let texts = "config text\n\toption reason_unknown_card '请到办公室'\n";
    site.configure("\toption site 'other'", texts);
    server.signal(Signal::SIGHUP);
    server.wait_for("reload cards=12");
    server.wait_for_trouble("option site takes effect at the next start");
    let frame = device.charge("7777777777", "1.00");
    assert!(device.ask(&frame, "006").text.contains("请到办公室"));
    server.stop();
}

#[test]
fn only_changed_options_that_need_a_restart_are_named() {
    let words = " takes effect at the next start";
    let with = |values: [&str; 7]| {
        let [listen, device, identity, name, control, status, metrics] = values;
        format!(
            "config server 'main'\n\tlist listen '{listen}'\n{device}\toption ledger_dir 'ledger'\n\toption identity '{identity}'\n\
             \toption site '{name}'\n\toption control '{control}'\n\toption status '{status}'\n\toption metrics '{metrics}'\n\
             \toption cards 'cards.csv'\n\toption timezone 'CST-8'\n\toption rate_source '0'\n"
        )
    };
    let before = ["127.0.0.1:0", "", "identity", "one", "ctl.sock", "status.json", "metrics"];
    let after = ["127.0.0.2:0", "\tlist bind_device 'lo'\n", "who", "two", "ctl2.sock", "status2.json", "metrics2"];
    let names = ["listen", "bind_device", "identity", "site", "control", "status", "metrics"];
    let site = Site::new();
    site.write("posgate", &with(before));
    let server = site.start();
    let reload = |values: [&str; 7], count: usize| {
        site.write("posgate", &with(values));
        server.signal(Signal::SIGHUP);
        server.wait_for_count(count, "reload cards=");
    };
    let control = site.path("ctl.sock");
    let pending = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let list = format!("\"at_next_start\":[{}]", names.join(","));
        site.run(&["ctl", "status", "--json", "--control", control.to_str().unwrap()]).expect(0, &[&list], &[]);
    };
    pending(&[]);
    // One by one, each compared with what the process was started with.
    let mut values = before;
    for (number, value) in after.into_iter().enumerate() {
        values[number] = value;
        reload(values, number + 1);
        pending(&names[..=number]);
    }
    // A second reload says it again, and status too, until it is as it was.
    reload(values, names.len() + 1);
    pending(&names);
    reload(before, names.len() + 2);
    pending(&[]);
    let ended = server.stop();
    let told = ended.err.lines().filter_map(|line| Some(line.split_once(words)?.0.rsplit_once("option ")?.1));
    let said: Vec<&str> = told.collect();
    let each: Vec<&str> = (1..=names.len()).chain([names.len()]).flat_map(|count| &names[..count]).copied().collect();
    assert_eq!(said, each, "{}", ended.err);
}

#[test]
fn a_broken_table_keeps_the_old_one_and_names_the_line() {
    let site = Site::new();
    let (server, device) = in_service(&site);
    let table = card_table(CARDS);
    site.write("cards.csv", &table.replacen("A00002,张三,1000.00", "A00002,张三,a lot", 1));
    server.signal(Signal::SIGHUP);
    server.wait_for_trouble("reload refused problems=1");
    let err = serves_on(&site, server, device);
    assert!(err.contains("cards.csv:3:") && err.contains("balance"), "{err}");
}

#[test]
fn a_missing_table_keeps_the_old_one() {
    let site = Site::new();
    let (server, device) = in_service(&site);
    std::fs::remove_file(site.path("cards.csv")).unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for_trouble("reload refused");
    assert!(serves_on(&site, server, device).contains("cards.csv"));
}

#[test]
fn a_broken_configuration_keeps_the_old_one_and_names_the_line() {
    let site = Site::new();
    let (server, device) = in_service(&site);
    site.configure("\toption resend_max 'many'\n\toption unheard_of '1'", "");
    server.signal(Signal::SIGHUP);
    server.wait_for_trouble("reload refused problems=2");
    let err = serves_on(&site, server, device);
    for place in ["posgate:10:", "posgate:11:"] {
        assert!(err.contains(place), "{place}\n{err}");
    }
}

#[test]
fn a_table_that_loses_more_than_a_tenth_of_the_cards_is_refused() {
    let site = Site::new();
    let (server, device) = in_service(&site);
    site.write("cards.csv", &card_table(CARDS - 4));
    server.signal(Signal::SIGHUP);
    server.wait_for_trouble("lacks 4 of 12 cards");
    server.wait_for_trouble("reload refused");
    serves_on(&site, server, device);

    // A start does not install it either.
    let server = site.start();
    server.wait_for_trouble("lacks 4 of 12 cards");
    server.stop().expect(0, &["cards=12"], &[]);
}

#[test]
fn a_reload_without_a_change_writes_nothing() {
    let site = Site::new();
    let (server, mut device) = in_service(&site);
    let entries = site.ledger().kinds().len();
    for count in 1..=5 {
        server.signal(Signal::SIGHUP);
        server.wait_for_count(count, "reload cards=12 accounts=12 unchanged");
    }
    let ended = site.run(&["ctl", "reload", "--config", "CONFIG"]);
    ended.expect(0, &["no entry was written"], &[]);
    assert_eq!(site.ledger().kinds().len(), entries);
    // A comment is a change, and so is its removal.
    for (count, options) in [(1, "\t# a remark"), (2, "")] {
        site.configure(options, "");
        let ended = site.run(&["ctl", "reload", "--json", "--config", "CONFIG"]);
        ended.expect(0, &["\"unchanged\":false"], &[]);
        assert_eq!(site.ledger().count("reload"), count);
    }
    // The good copy is served until the same file is there again, which is a change too.
    server.stop();
    let table = card_table(CARDS);
    site.write("cards.csv", "card\n12x\n");
    let server = site.start();
    device.turn_to(&server);
    site.write("cards.csv", &table);
    let ended = site.run(&["ctl", "reload", "--json", "--config", "CONFIG"]);
    ended.expect(0, &["\"unchanged\":false"], &[]);
    assert_eq!(site.ledger().count("reload"), 3);
    server.stop();
}
