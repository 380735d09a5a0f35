//! On the ledger of the real server, with the virtual devices' day behind it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Device, Site, card};
use crate::naive::{Json, Row, fen, rows};
use crate::{ledger, text};

#[test]
fn a_simulated_day_closes_and_every_sale_of_it_can_be_explained() {
    let site = Site::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/example");
    let config = fs::read_to_string(example.join("posgate")).unwrap().replace("0.0.0.0:39192", "127.0.0.1:0");
    site.write("posgate", &config.replace("data/ledger", "ledger"));
    site.write("cards.csv", include_str!("../support/example-cards.csv"));
    fs::create_dir(site.path("data")).unwrap();
    let server = site.start();
    let day = Command::new(env!("CARGO_BIN_EXE_posgate-sim"))
        .args(["--seed", "7", "--server", &format!("127.0.0.1:{}", server.port), "day"])
        .output()
        .unwrap();
    assert!(day.status.success(), "{}", String::from_utf8_lossy(&day.stdout));

    let config = site.path("posgate");
    let ended = ledger(&["report", "--json", "--from", "2000-01-01", "--config", text(&config)]).expect(0, &[], &[]);
    let report = Json::read(&ended.out);
    let all = rows(&[&site.path("ledger")]);
    let sales: i64 = all.iter().filter(|row| row.is_sale()).map(Row::fen).sum();
    let told: i64 = report.list("machines").iter().map(|row| fen(row.text("sales.amount"))).sum();
    assert_eq!(told, -sales);
    let total: i64 = all.iter().map(Row::fen).sum();
    assert_eq!(fen(report.text("closing.amount")), total);
    assert_eq!(report.get("balanced"), &Json::Flag(true));
    for row in all.iter().filter(|row| row.is_sale()) {
        let story = ledger(&["explain", row.column(1), "--config", text(&config)]).expect(0, &["the chain holds"], &[]);
        assert!(story.out.contains(&format!("= {}", row.column(13))), "{}", story.out);
    }
    server.stop();
}

#[test]
fn after_the_first_segments_were_taken_away_sums_begin_at_the_snapshot_and_say_so() {
    let site = Site::with("\toption segment_bytes '65536'\n", "");
    let server = site.start();
    let mut device = Device::new(1, &server);
    let mut paid = 0;
    while crate::naive::segments(&[&site.path("ledger")]).len() < 3 {
        device.pay(&card(1 + paid % 5), "0.01");
        paid += 1;
    }
    device.pay(&card(6), "3.00");
    let (config, archive) = (site.path("posgate"), site.path("archive"));
    let (config, archive) = (text(&config), text(&archive));
    let whole = |arguments: &[&str]| {
        Json::read(&ledger(&[["report", "--json"].as_slice(), arguments].concat()).expect(0, &[], &[]).out)
    };
    let before = whole(&["--config", config]);
    assert_eq!(before.list("notes"), []);
    ledger(&["archive", "--config", config, archive]).expect(0, &["archived 2 segments"], &[]);
    let after = whole(&["--config", config]);
    // It begins with the snapshot, knows all accounts, and does not pretend to be the whole day.
    assert_eq!(after.get("closing"), before.get("closing"));
    assert_eq!((after.get("balanced"), after.get("total_known")), (&Json::Flag(true), &Json::Flag(true)));
    assert!(after.number("entries") < before.number("entries"));
    let notes = format!("{:?}", after.list("notes"));
    assert!(
        notes.contains("sums begin with the snapshot as of entry") && notes.contains("NOT WHOLE 不完整"),
        "{notes}"
    );
    let balances = |place: &[&str]| whole(&[["--balances", "--config", config].as_slice(), place].concat());
    assert_eq!(balances(&[]).get("accounts"), balances(&[archive, text(&site.path("ledger"))]).get("accounts"));
    // With the archive beside it all is as it was.
    let together = whole(&["--config", config, text(&site.path("ledger")), archive]);
    assert_eq!(together, before);
    server.stop();
}
