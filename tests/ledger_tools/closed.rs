//! A day that was closed stays what it was, whatever is configured later.

use std::fs;

use crate::harness::{Device, Site, card};
use crate::naive::{Json, rows};
use crate::{ledger, text};

/// A POSIX zone in which it is two at night now.
#[expect(clippy::disallowed_methods, reason = "as the server under test will read it")]
fn zone_at_night() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let hour = i64::try_from(now / 3600 % 24).unwrap();
    let east = (2 - hour + 36) % 24 - 12;
    format!("<X>{:+}", -east)
}

#[test]
fn a_closed_day_stays_what_it_was_when_zone_or_day_start_change() {
    let site = Site::new();
    let zone = zone_at_night();
    let config = fs::read_to_string(site.path("posgate")).unwrap();
    let with = |zone: &str, day_start: &str| {
        let zone = format!("option timezone '{zone}'\n\toption day_start '{day_start}'");
        config.replace("option timezone 'CST-8'", &zone)
    };
    site.write("posgate", &with(&zone, "04:00"));
    let server = site.start();
    let mut device = Device::new(2, &server);
    device.pay(&card(1), "5.50");
    device.confirm();
    let desk = |words: &[&str]| {
        let command = [["ctl"].as_slice(), words, &["--by", "li", "--config", "CONFIG"]].concat();
        site.run(&command).expect(0, &[], &[]);
    };
    desk(&["topup", &card(2), "20.00"]);
    desk(&["adjust", &card(2), "-1.00", "--note", &"长".repeat(32)]);
    desk(&["lost", &card(3)]);
    let frame = device.charge(&card(3), "1.00");
    device.ask(&frame, "006");
    let sale = site.ledger().only("charge").raw("seq").to_owned();
    desk(&["void", &sale, "--amount", "0.50"]);
    server.stop();
    let all = rows(&[&site.path("ledger")]);
    let day = all.iter().find(|row| row.kind() == "charge").unwrap().word("day").to_owned();
    assert!(day.as_str() < &all[0].column(2)[..10], "it is yesterday's night still");
    for row in &all {
        // Void and stored sale carry the sale's.
        assert_eq!(row.day(), day, "{} {}", row.kind(), row.column(17));
    }
    let closed = |zone: &str, day_start: &str| {
        site.write("posgate", &with(zone, day_start));
        let path = site.path("posgate");
        let command = ["report", "--json", "--day", &day, "--config", text(&path)];
        Json::read(&ledger(&command).expect(0, &[], &[]).out)
    };
    let before = closed(&zone, "04:00");
    assert_eq!(before.number("entries"), i64::try_from(all.len()).unwrap());
    assert_eq!(before.get("late"), closed(&zone, "04:00").get("late"));
    assert_eq!(before.number("late.all.count"), 0, "nothing of it was written on a later day");
    for (zone, day_start) in [(zone.as_str(), "00:00"), ("CST-8", "00:00"), ("UTC0", "12:00"), ("<Y>+11", "00:00")] {
        assert_eq!(closed(zone, day_start), before, "{zone} {day_start}");
    }
    // Without a configuration, too.
    let place = site.path("ledger");
    let command = ["report", "--json", "--day", &day, text(&place)];
    assert_eq!(Json::read(&ledger(&command).expect(0, &[], &[]).out), before);
}
