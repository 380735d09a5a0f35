//! Everything a person can get wrong: one line that says what to do, an exit code, and nothing
//! half-done.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::harness::{Device, Site, card, posgate};
use crate::not_run::not_run;
use crate::program::copy_program;
use crate::tools::{Client, ctl, end};

#[test]
fn each_mistake_has_its_line_and_its_exit_code() {
    let site = Site::new();
    let server = site.start();
    let mut terminal = Device::new(2, &server);
    terminal.pay(&card(2), "5.00");
    ctl(&site, &["topup", &card(1), "1"]).expect(0, &[]);
    let sale = site.ledger().only("charge").raw("seq").to_owned();
    ctl(&site, &["void", &sale]).expect(0, &[]);
    let void = site.ledger().only("void").raw("seq").to_owned();
    ctl(&site, &["close", &card(3), "--yes"]).expect(0, &[]);
    terminal.pay(&card(2), "6.00");
    let other = site.ledger().of_kind("charge").last().unwrap().raw("seq").to_owned();
    let before = site.ledger().lines.len();
    let (one, two, three) = (card(1), card(2), card(3));
    let long = "x".repeat(97);
    let wrong: &[(&[&str], i32, &str)] = &[
        (&["topup", "77", "1"], 1, "neither the card table nor the ledger has card"),
        (&["topup", &three, "1"], 1, "is closed"),
        (&["topup", &one, "1.005"], 1, "\"amount\" is \"1.005\": write yuan above zero with at most two decimals"),
        (&["adjust", &one, "5.5.0"], 1, "\"amount\" is \"5.5.0\": write yuan with at most two decimals"),
        (&["lost", "one"], 1, "\"card\" is \"one\": write a card's number"),
        (&["open", "1", "east"], 1, "\"door\" is \"east\": write a door's number"),
        (&["topup", &one, "-1"], 1, "above zero"),
        (&["topup", &one, "0"], 1, "nothing would move"),
        (&["topup", &one, "10000000", "--yes"], 1, "up to 9999999.99"),
        (&["topup", &one, "1e3"], 1, "at most two decimals"),
        (&["topup", &one, "五"], 1, "at most two decimals"),
        (&["topup", &one, "all"], 1, "at most two decimals"),
        (&["topup", "12345678901", "1"], 1, "1 to 10 digits"),
        (&["topup", "88x", "1"], 1, "1 to 10 digits"),
        (&["topup", &one, "1", "--note", &long], 1, "at most 96 bytes"),
        (&["topup", &one, "1", "--by", "a name that is far longer than any name can be"], 1, "1 to 32 bytes"),
        (&["payout", &two, "99999", "--yes"], 1, "take no more than that from each"),
        (&["void", &void], 1, "is a void about"),
        (&["void", "1"], 1, "cannot be voided (kind start)"),
        (&["void", "999999"], 1, "no entry 999999"),
        (&["void", &sale], 1, "nothing is left of entry"),
        (&["void", &other, "--amount", "6.01"], 1, "only 6.00 is left"),
        (&["void", &other, "--amount", "0"], 1, "nothing would move"),
        (&["found", "77"], 1, "neither"),
        (&["replace", &one, &one], 1, "cannot replace itself"),
        (&["replace", &one, &two], 1, "is used already"),
        (&["card", "77"], 1, "neither"),
        (&["topup"], 64, "write `posgate ctl topup CARD AMOUNT`"),
        (&["topup", &one], 64, "write `posgate ctl topup CARD AMOUNT`"),
        (&["topup", &one, "1", "2"], 64, "write `posgate ctl topup"),
        (&["topup", &one, "1", "--key", "a b"], 64, "without blanks"),
        (&["topup", &one, "1", "--uses", "x"], 64, "no number of meals"),
        (&["topup", &one, "1", "--accept"], 64, "--accept"),
        (&["void", "x"], 64, "no entry's number"),
        (&["frobnicate"], 64, "unknown command \"frobnicate\": `posgate ctl` takes "),
        (&[], 64, "takes topup"),
        (&["seen"], 64, "seen --unknown"),
        (&["discover", "--port", "x"], 64, "--port"),
    ];
    for (words, code, sentence) in wrong {
        let said = ctl(&site, words).expect(*code, &[sentence]);
        let lines: Vec<&str> = said.err.lines().filter(|line| !line.starts_with("key=")).collect();
        assert_eq!((lines.len(), said.out.as_str()), (1, ""), "one line: {words:?} {said:#?}");
    }
    assert_eq!(site.ledger().lines.len(), before, "nothing half-done");
    // No key is drawn for what is not sent.
    let said = ctl(&site, &["topup", &one, "1.005"]).expect(1, &["1.005"]);
    assert!(!said.err.contains("key="), "{}", said.err);
    // For programs the same line as JSON.
    let said = ctl(&site, &["topup", "77", "1", "--json"]).expect(1, &["\"reason\":\"unknown-card\""]);
    assert!(said.out.starts_with("{\"ok\":false,\"error\":"), "{}", said.out);
    // As root somebody must be named.
    if nix::unistd::Uid::effective().is_root() {
        let mut command = posgate();
        command.args(["ctl", "topup", &one, "1", "--config"]).arg(site.path("posgate")).env_remove("POSGATE_BY");
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        end(command.spawn().unwrap()).expect(64, &["--by NAME, or the variable POSGATE_BY"]);
    }
    server.stop();
}

#[test]
fn a_person_at_a_terminal_is_asked_about_what_a_slip_makes_dear() {
    let site = Site::new();
    let server = site.start();
    let (one, two) = (card(1), card(2));
    site.write("large.csv", &format!("card,amount\n{one},5\n{two},1000.01\n"));
    let large = site.path("large.csv").display().to_string();
    // Nobody is there to be asked: what a script orders is done.
    ctl(&site, &["topup", &one, "1000.01"]).expect(0, &["done, entry"]);
    ctl(&site, &["topup", "--file", &large, "--for", "x"]).expect(0, &["2 done"]);
    ctl(&site, &["topup", &one, "1000.01", "--yes"]).expect(0, &["done, entry"]);
    // A person at a terminal is asked, and may think better of it.
    let config = site.path("posgate").display().to_string();
    let (asked, answers) = (site.ledger().lines.len(), [("n", 1), ("", 1), ("y", 0)]);
    for (answer, code) in answers {
        let order =
            format!("{} ctl payout {two} 5.00 --by li --config {config}", posgate().get_program().to_str().unwrap());
        let script = format!("printf '%s\\n' '{answer}' | script -qec '{order}' /dev/null");
        match Command::new("sh").args(["-c", &script]).output() {
            Ok(said) => {
                let text = String::from_utf8_lossy(&said.stdout).into_owned();
                assert_eq!(said.status.code(), Some(code), "{answer}: {said:?}");
                assert!(text.contains(&format!("payout {two} 5.00: a payout is asked about. Do it? [y/N]")), "{text}");
                assert_eq!(text.contains("nothing was ordered"), code == 1, "{text}");
            }
            Err(error) => not_run(&format!("sh: {error}")),
        }
    }
    assert_eq!(site.ledger().count("payout"), 1);
    assert!(site.ledger().lines.len() > asked);
    server.stop();
}

#[test]
fn a_socket_that_nobody_listens_on_is_told_from_one_that_is_not_there() {
    let site = Site::new();
    ctl(&site, &["topup", &card(1), "1"]).expect(74, &["there is no such socket: is posgate running"]);
    site.start().kill();
    ctl(&site, &["topup", &card(1), "1"]).expect(74, &["nobody listens there: start posgate"]);
    let said = ctl(&site, &["sync", "--json"]).expect(74, &["{\"ok\":false,\"error\":"]);
    assert!(!said.err.contains("not known"), "nothing was sent: {}", said.err);
    // The next server replaces what the killed one left.
    let server = site.start();
    ctl(&site, &["sync"]).expect(0, &[]);
    // And a second one, with another ledger, does not take it.
    let other = Site::new();
    let socket = site.path("ctl.sock");
    let config = std::fs::read_to_string(other.path("posgate")).unwrap();
    other.write("posgate", &config.replace("'ctl.sock'", &format!("'{}'", socket.display())));
    let second = other.start();
    second.wait_for_trouble("another server listens there");
    second.stop();
    ctl(&site, &["sync"]).expect(0, &[]);
    server.stop();
    let empty = std::fs::read_to_string(site.path("posgate")).unwrap().replace("'ctl.sock'", "''");
    site.write("posgate", &empty);
    ctl(&site, &["sync"]).expect(78, &["option control is empty"]);
    site.run(&["ctl", "sync", "--config", "/nowhere/posgate"]).expect(78, &[], &["--control PATH"]);
}

#[test]
fn who_may_not_is_told_so() {
    let site = Site::new();
    let server = site.start();
    let mode = std::fs::metadata(site.path("ctl.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "its owner and its group");
    if nix::unistd::Uid::effective().is_root() {
        // Somebody else, who may see the directory.
        std::fs::set_permissions(site.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
        let copy = site.path("posgate-copy");
        copy_program(env!("CARGO_BIN_EXE_posgate"), &copy);
        let said = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&copy)
            .args(["ctl", "sync", "--control"])
            .arg(site.path("ctl.sock"))
            .output();
        match said {
            Ok(said) => {
                assert_eq!(said.status.code(), Some(74), "{said:?}");
                assert!(String::from_utf8_lossy(&said.stderr).contains("not permitted"), "{said:?}");
            }
            Err(error) => not_run(&format!("setpriv: {error}")),
        }
    } else {
        not_run("to be somebody else needs root");
    }
    server.stop();
}

#[test]
fn half_a_line_and_a_line_too_long_do_nothing() {
    let site = Site::new();
    let server = site.start();
    let mut client = Client::of(&site);
    let order = format!("{{\"cmd\":\"topup\",\"card\":\"{}\",\"amount\":\"1\",\"key\":\"k\",\"by\":\"li\"", card(1));
    std::io::Write::write_all(client.0.get_mut(), order.as_bytes()).unwrap();
    drop(client);
    let mut client = Client::of(&site);
    client.send(&format!("{order},\"note\":\"{}\"}}", "x".repeat(5000)));
    assert!(client.hear().contains("longer than 4096 bytes"));
    assert_eq!(client.hear(), "", "closed");
    ctl(&site, &["show", "2", &"x".repeat(5000)]).expect(1, &["\"text\" is longer than 240 bytes"]);
    server.stop();
    assert_eq!(site.ledger().count("topup"), 0);
}
