//! SIGHUP: a new table is installed as a whole, or the old one stays.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;

use crate::harness::{CARDS, Device, PATIENCE, Server, Site, card, card_table};

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

/// Cards of a table that takes a while.
const MANY: u64 = 50_000;

/// Replaces the card table at once, as an editor does.
fn replace_cards(site: &Site, text: &str) {
    fs::write(site.path("cards.new"), text).unwrap();
    fs::rename(site.path("cards.new"), site.path("cards.csv")).unwrap();
}

/// A line to the control socket; the answer comes later.
fn ask(site: &Site, line: &str) -> BufReader<UnixStream> {
    let mut stream = UnixStream::connect(site.path("ctl.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    BufReader::new(stream)
}

fn answer(mut asked: BufReader<UnixStream>) -> String {
    let mut line = String::new();
    asked.read_line(&mut line).unwrap();
    line
}

/// Sells until `asked` is answered; returns the sales and the answer.
fn sell_until_answered(device: &mut Device, asked: BufReader<UnixStream>) -> (u64, String) {
    let is_over = AtomicBool::new(false);
    let mut sales = 0;
    let answered = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let line = answer(asked);
            is_over.store(true, Ordering::Relaxed);
            line
        });
        while !is_over.load(Ordering::Relaxed) {
            device.pay(&card(1), "0.01");
            sales += 1;
        }
        waiting.join().unwrap()
    });
    (sales, answered)
}

#[test]
fn terminals_and_the_desk_are_served_while_a_reload_of_50000_cards_runs() {
    let site = Site::new();
    site.write("cards.csv", &card_table(MANY));
    let server = site.start();
    let mut device = Device::new(2, &server);
    replace_cards(&site, &card_table(MANY + 1));
    let asked = ask(&site, "{\"cmd\":\"reload\"}");
    assert!(answer(ask(&site, "{\"cmd\":\"sync\"}")).starts_with("{\"ok\":true"), "another client's order");
    let status = answer(ask(&site, "{\"cmd\":\"status\"}"));
    assert!(status.contains(&format!("\"count\":{MANY}")), "the old table: {status}");
    // Two others ask for the same meanwhile: one reload each, after the one that runs.
    let others = [(); 2].map(|()| ask(&site, "{\"cmd\":\"reload\"}"));
    let (sales, line) = sell_until_answered(&mut device, asked);
    assert!(line.contains(&format!("\"cards\":{},\"new\":1,\"gone\":0,\"changed\":0", MANY + 1)), "{line}");
    assert!(sales > 100, "{sales} sales while it ran");
    for other in others {
        let line = answer(other);
        assert!(line.contains("\"unchanged\":true"), "{line}");
    }
    // An error in the last row: nothing changes, and nobody waits.
    replace_cards(&site, &format!("{}12x,,,,,,,,,,,,,\n", card_table(MANY + 2)));
    let (sales, line) = sell_until_answered(&mut device, ask(&site, "{\"cmd\":\"reload\"}"));
    assert!(line.starts_with("{\"ok\":false") && line.contains(&format!("cards.csv:{}", MANY + 4)), "{line}");
    assert!(sales > 100, "{sales} sales while it ran");
    let frame = device.charge(&card(MANY + 2), "1.00");
    assert!(device.ask(&frame, "006").text.contains("未登记卡"));
    server.stop();
    assert_eq!(site.ledger().count("reload"), 1);
    assert_eq!(fs::read_to_string(site.path("ledger/good/cards.csv")).unwrap(), card_table(MANY + 1));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_again_and_one_that_never_rests_is_refused() {
    let site = Site::new();
    site.write("cards.csv", &card_table(10_000));
    let server = site.start();
    let mut device = Device::new(2, &server);
    replace_cards(&site, &card_table(10_001));
    let asked = ask(&site, "{\"cmd\":\"reload\"}");
    // It runs: the table before is served, and the files are read.
    assert!(answer(ask(&site, "{\"cmd\":\"status\"}")).contains("\"count\":10000"));
    device.pay(&card(1), "0.01");
    replace_cards(&site, &card_table(10_002));
    let line = answer(asked);
    assert!(line.contains("\"cards\":10002,\"new\":2"), "{line}");
    // Somebody appends to it for ever.
    let mut number = 10_003;
    let is_over = AtomicBool::new(false);
    let line = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                replace_cards(&site, &card_table(number));
                number += 1;
            }
        });
        let line = answer(ask(&site, "{\"cmd\":\"reload\"}"));
        is_over.store(true, Ordering::Relaxed);
        line
    });
    assert!(line.starts_with("{\"ok\":false") && line.contains("changed while it was read"), "{line}");
    device.pay(&card(10_002), "0.01");
    server.stop();
    assert_eq!(site.ledger().count("reload"), 1);
}

#[test]
fn a_server_that_is_killed_amid_a_reload_starts_with_the_new_table_and_every_sale() {
    let site = Site::new();
    site.write("cards.csv", &card_table(10_000));
    for sales in 0..6 {
        let server = site.start();
        let mut device = Device::new(2, &server);
        replace_cards(&site, &card_table(10_001 + sales));
        let _lost = ask(&site, "{\"cmd\":\"reload\"}");
        // Each time a little later: while it is read, compared, switched or copied.
        for _ in 0..=sales * 12 {
            device.pay(&card(1), "0.01");
        }
        server.kill();
        let paid = site.ledger().count("charge");
        let server = site.start();
        server.wait_for(&format!("serving site=site1 cards={}", 10_001 + sales));
        assert_eq!(site.ledger().count("charge"), paid);
        server.stop();
        let good: Vec<_> =
            fs::read_dir(site.path("ledger/good")).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(good.len(), 2, "{good:?}");
        assert_eq!(fs::read_to_string(site.path("ledger/good/cards.csv")).unwrap(), card_table(10_001 + sales));
    }
    let ended = site.run(&["ledger", "verify", "--config", "CONFIG"]);
    ended.expect(0, &[], &[]);
}

/// Bytes that a process has read from files and sockets.
fn bytes_read(server: &Server) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", server.pid())).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    line.parse().unwrap()
}

#[test]
fn files_that_nobody_touched_are_not_read_and_equal_ones_not_parsed() {
    let site = Site::new();
    site.write("cards.csv", &card_table(5000));
    let len = fs::metadata(site.path("cards.csv")).unwrap().len();
    let age = |name| {
        let changed = Duration::from_secs(u64::try_from(fs::metadata(site.path(name)).unwrap().ctime()).unwrap());
        SystemTime::UNIX_EPOCH.elapsed().unwrap().saturating_sub(changed)
    };
    // A younger file may change again and look the same.
    let rest = || {
        while ["cards.csv", "posgate"].iter().any(|name| age(name) < Duration::from_secs(5)) {
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    rest();
    let server = site.start();
    let mut count = 0;
    let mut reload = || {
        let before = bytes_read(&server);
        count += 1;
        server.signal(Signal::SIGHUP);
        server.wait_for_count(count, "reload cards=5000 accounts=5000 unchanged");
        bytes_read(&server) - before
    };
    for _ in 0..3 {
        let read = reload();
        assert!(read < len / 4, "{read} bytes, and the table has {len}");
    }
    // Written again with the same bytes: its crc says so. After that nobody touched it.
    replace_cards(&site, &card_table(5000));
    rest();
    let read = reload();
    assert!((len..len * 3 / 2).contains(&read), "{read} bytes, and the table has {len}");
    let read = reload();
    assert!(read < len / 4, "{read} bytes, and the table has {len}");
    server.stop();
    assert_eq!(site.ledger().count("reload"), 0);
}
