//! What `posgate ledger repair` leaves of a ledger that is more than a row of segments of one name.

use std::fs;

use crate::harness::{Device, Ledger, Site, card};
use crate::{ledger, text};

/// The entries before the cut stay, and what branched off after them goes with the rest: the next
/// start takes what is left for an older copy, and goes on with it under another name, so that no
/// (ledger, seq) ever names two entries.
#[test]
fn a_ledger_that_is_cut_before_a_branch_began_goes_on_as_another_branch() {
    let site = Site::new();
    let config = site.path("posgate");
    let with_config = |words: &[&'static str]| [words, &["--config", text(&config)]].concat();
    let server = site.start();
    let mut till = Device::new(1, &server);
    for _ in 0..3 {
        till.pay(&card(1), "1.00");
    }
    site.run(&["ctl", "branch", "--by", "li", "--config", "CONFIG"]).expect(0, &["goes on as"], &[]);
    till.pay(&card(1), "5.00");
    server.stop();
    let place = site.path("ledger");
    let segment = |first: u64| place.join(format!("ledger-{first:010}.tsv"));
    let first = Ledger::read(&segment(1));
    let began = first.lines.last().unwrap().raw("seq").parse::<u64>().unwrap() + 1;
    let branch = Ledger::read(&segment(began));
    let last = branch.lines.last().unwrap().raw("seq").to_owned();
    assert_eq!(branch.header["parent"].split(':').next(), Some(first.header["ledger"].as_str()));
    // Before the branch's beginning: the third sale and all that followed it.
    let third = first.lines.iter().filter(|line| line.raw("kind") == "charge").nth(2).unwrap().raw("seq").to_owned();
    let cut = third.parse::<u64>().unwrap();
    assert!(cut < began);
    let repair = |yes: &[&str]| ledger(&[&["repair", "--cut", &third], yes, &["--config", text(&config)]].concat());
    let words = format!("entries {cut} to {last}");
    repair(&[]).expect(1, &[], &["has no damage", &words, "add --yes"]);
    assert!(segment(began).exists(), "nothing was moved");
    repair(&["--yes"]).expect(0, &[&format!("ledger-{began:010}.tsv.cut"), "are now in"], &[]);
    assert!(!segment(began).exists());
    ledger(&with_config(&["verify"])).expect(0, &["clean", &format!("seq 1 to {}", cut - 1)], &[]);
    // Who serves here knows that there was more.
    let gone = format!("{cut}-{last}");
    site.run(&["check", "--config", "CONFIG"]).expect(0, &["branch (rolled-back", &gone], &[]);
    let server = site.start();
    server.wait_for_trouble("branch ledger=");
    Device::new(1, &server).pay(&card(1), "2.00");
    site.run(&["ctl", "status", "--json", "--config", "CONFIG"]).expect(
        0,
        &["\"rolled-back\"", &format!("\"last\":{last}")],
        &[],
    );
    site.run(&["ctl", "card", &card(1), "--config", "CONFIG"]).expect(0, &["996.00 yuan"], &[]);
    server.stop();
    let again = Ledger::read(&segment(cut));
    let kept = &first.lines[usize::try_from(cut).unwrap() - 2];
    assert_eq!(again.header["parent"], format!("{}:{}:{}", first.header["ledger"], cut - 1, kept.raw("crc")));
    for other in [&first, &branch] {
        assert_ne!(again.header["ledger"], other.header["ledger"]);
    }
    assert_eq!(again.only("start").detail("rolled_back"), Some(gone.as_str()));
    for command in ["verify", "report", "show", "export"] {
        ledger(&with_config(&[command])).expect(0, &[], &[]);
    }
    // What was cut is kept, line by line.
    let kept = fs::read(place.join(format!("ledger-{began:010}.tsv.cut"))).unwrap();
    assert_eq!(kept.split(|byte| *byte == b'\n').count() - 1, branch.lines.len() + 1);
}
