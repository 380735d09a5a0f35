//! The command line: what it prints, and its exit codes.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::harness::{CARDS, Device, Site, card, card_table, posgate};
use crate::not_run::not_run;

#[test]
fn help_and_version_work_everywhere() {
    let site = Site::new();
    for command in [
        &["serve"][..],
        &["check"],
        &["addresses"],
        &["cards", "check"],
        &["cards", "diff"],
        &["cards", "template"],
        &["ledger", "verify"],
        &["ledger", "show"],
        &["ledger", "report"],
        &["ledger", "export"],
        &["ledger", "explain"],
        &["ledger", "archive"],
        &["ledger", "repair"],
        &["ledger", "new"],
        &["ledger", "move"],
        &["cards", "number"],
        &["import"],
        &["ctl", "topup"],
        &["ctl", "status"],
        &["ctl", "void"],
    ] {
        let with = |word| [command, &[word]].concat();
        // Both ways print the command's page, which begins with its usage.
        let written = format!("    posgate {}", command.join(" "));
        let page = site.run(&with("--help")).expect(0, &[&written], &[]).out;
        assert!(page.starts_with(&written) && !page.contains("posgate serve  ["), "{page}");
        assert_eq!(site.run(&[["help"].as_slice(), command].concat()).expect(0, &[], &[]).out, page);
        site.run(&with("--version")).expect(0, &[concat!("posgate ", env!("CARGO_PKG_VERSION"))], &[]);
    }
    for group in ["cards", "ledger", "ctl"] {
        let page = site.run(&[group, "--help"]).expect(0, &[&format!("posgate {group}")], &[]).out;
        assert!(!page.contains("posgate addresses"), "{page}");
        assert_eq!(site.run(&["help", group]).out, page);
    }
    for all in [&["--help"][..], &["-h"], &["help"], &["help", "--help"]] {
        site.run(all).expect(0, &["posgate serve", "posgate ledger verify", "posgate ctl COMMAND", "Exit codes"], &[]);
    }
    site.run(&["--version"]).expect(0, &[concat!("posgate ", env!("CARGO_PKG_VERSION"))], &[]);
    site.run(&["ctl", "cards", "--search", "x", "--help"]).expect(0, &["posgate ctl cards", "--search TEXT"], &[]);
    for wrong in [&["help", "sell"][..], &["help", "ctl", "sell"], &["help", "ledger", "sell"]] {
        site.run(wrong).expect(64, &[], &["unknown command"]);
    }
}

#[test]
fn check_says_by_its_exit_code_whether_the_configuration_enables_the_service() {
    let site = Site::new();
    for (text, code) in [
        ("config server\n", 0),
        ("config server\n\toption enabled 'on'\n", 0),
        ("config server\n\toption enabled '0'\n", 1),
        // The card table does not matter.
        ("config server\n\toption enabled 'off'\n\toption cards '/no/such/table'\n", 1),
        ("config server\n\toption enabled '0'\nconfg device\n", 78),
        ("config server\n\toption enabled '0' '1'\n", 78),
        ("", 78),
    ] {
        site.write("enabled", text);
        let file = site.path("enabled");
        let said = site.run(&["check", "--enabled", "--config", file.to_str().unwrap()]).expect(code, &[], &[]);
        assert_eq!(said.err.is_empty(), code != 78, "{text:?}: {}", said.err);
    }
}

#[test]
fn the_page_of_a_command_is_found_by_its_last_word() {
    let site = Site::new();
    for (word, name) in [("topup", "ctl topup"), ("verify", "ledger verify"), ("seen", "ctl seen")] {
        let page = site.run(&["help", word]).expect(0, &[&format!("    posgate {name}")], &[]).out;
        assert_eq!(site.run(&["help", "ledger", "x", word]).expect(64, &[], &["unknown command"]).out, "");
        let whole: Vec<&str> = ["help"].into_iter().chain(name.split(' ')).collect();
        assert_eq!(site.run(&whole).out, page, "{word}");
    }
}

#[test]
fn a_mistyped_word_is_answered_with_the_nearest_known_one() {
    let site = Site::new();
    for (words, answer) in [
        (&["serv"][..], "unknown command \"serv\": did you mean serve?\n"),
        (&["help", "chek"], "unknown command \"chek\": did you mean check?"),
        (&["ledger", "verfy"], "unknown command \"ledger verfy\": did you mean ledger verify?"),
        (&["cards", "chek"], "unknown command \"cards chek\": did you mean cards check?"),
        (&["leger", "show"], "unknown command \"leger\": did you mean ledger?"),
        (&["ctl", "topop", "8888888801", "1"], "unknown command \"ctl topop\": did you mean ctl topup?"),
        // A word of another command.
        (&["topup", "8888888801", "1"], "unknown command \"topup\": did you mean ctl topup?"),
        (&["verify"], "unknown command \"verify\": did you mean ledger verify?"),
        (&["check", "--confg", "x"], "unknown option \"--confg\": did you mean --config?"),
        (&["ctl", "topup", "--nte", "x"], "unknown option \"--nte\": did you mean --note?"),
        (&["ledger", "show", "--crd", "1"], "unknown option \"--crd\": did you mean --card?"),
        (&["ledger", "show", "--crad", "1"], "unknown option \"--crad\": did you mean --card?"),
        (&["ctl", "lsot", "1"], "did you mean ctl lost?"),
        (&["ledger", "report", "--day", "2026-13-01", "."], "--day \"2026-13-01\" is not a day: write 2026-11-22"),
        (&["ledger", "show", "--from", "2026-11-31", "."], "--from \"2026-11-31\" is not a time: write 2026-11-22"),
        (&["ctl", "topup", "--no\u{1b}[2Jte", "x"], "unknown option \"--no\\u{1b}[2Jte\""),
        (&["ctl", "status", "1"], "write `posgate ctl status`; "),
        // No known word is near.
        (&["sell"], "unknown command \"sell\"; "),
        (&["ledger", "frobnicate"], "`posgate ledger` takes verify"),
        // It may be a card.
        (&["check", "--8888888801"], "****8801"),
    ] {
        let said = site.run(words).expect(64, &[], &[answer]);
        assert!(!said.err.contains("8888888801"), "{}", said.err);
    }
    site.run(&["--lang", "zh", "serv"]).expect(64, &[], &["没有 \"serv\" 这个命令：是不是 serve？"]);
}

#[test]
fn the_man_page_and_the_completions_are_printed() {
    let site = Site::new();
    site.run(&["help", "--man"]).expect(
        0,
        &[".TH POSGATE 1", ".SS posgate ctl topup CARD AMOUNT", "\\-\\-durable"],
        &[],
    );
    site.run(&["help", "--completion", "fish"]).expect(0, &["complete -c posgate"], &[]);
    site.run(&["help", "--completion", "zsh"]).expect(0, &["#compdef posgate"], &[]);
    site.run(&["help", "--completion", "csh"]).expect(64, &[], &["write bash, zsh or fish"]);
    let bash = site.run(&["help", "--completion", "bash"]).expect(0, &[], &[]).out;
    site.write("completion", &bash);
    let script = ". ./completion; COMP_WORDS=(posgate \"$@\"); COMP_CWORD=$#; _posgate; echo \"${COMPREPLY[*]}\"";
    for (words, wanted) in [
        (&["se"][..], "serve"),
        (&["ledger", "re"], "report repair"),
        (&["ctl", "to"], "topup"),
        (&["ctl", "topup", "8888888801", "5", "--no"], "--note"),
        (&["check", "--q"], "--quick"),
        (&["check", "--y"], ""),
        (&["ledger", "verify", "comple"], "completion"),
    ] {
        let mut command = std::process::Command::new("bash");
        match command.args(["-c", script, "bash"]).args(words).current_dir(site.path("")).output() {
            Ok(said) => assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), wanted, "{words:?}: {said:?}"),
            Err(error) => not_run(&format!("bash: {error}")),
        }
    }
}

/// A card number in the wrong place is not printed whole: others read a terminal's screen, and a
/// script may keep it.
#[test]
fn a_card_number_in_the_wrong_place_is_shown_with_its_last_four_digits() {
    const NUMBER: &str = "8765438801";
    let site = Site::new();
    site.start().stop();
    for arguments in [
        &[NUMBER][..],
        &["help", NUMBER],
        &["help", "ctl", NUMBER],
        &["serve", NUMBER],
        &["check", NUMBER],
        &["cards", "number", "card 8765438801"],
        &["ctl", NUMBER],
        &["ctl", "status", NUMBER],
        &["ctl", "lost", "8765438802", NUMBER],
        &["ctl", "lost", "8765438802", "--key", "a 8765438801"],
        &["ctl", "void", "x8765438801"],
        &["ctl", "reload", "--accept", NUMBER],
        &["ctl", "adjust", "8765438802", "5.00", "--about", "x8765438801"],
        &["ctl", "topup", "8765438802", "--uses", "x8765438801"],
        &["ctl", "--8765438801"],
        &["ledger", "show", "--card", "card8765438801"],
        &["ledger", "show", "--machine", "m8765438801"],
        &["ledger", "show", "--kind", NUMBER],
        &["ledger", "show", "--last", "x8765438801"],
        &["ledger", "show", "--after", "x8765438801"],
        &["ledger", "show", "--from", NUMBER],
        &["ledger", "report", "--day", NUMBER],
        &["ctl", "topup", "8765438802", NUMBER, "x"],
        &["ctl", "topup", "8765438802", "8765438801.5"],
        &["ctl", "lost", "x8765438801"],
        &["ledger", "export", "--format", NUMBER],
        &["ledger", "explain", "x8765438801"],
        &["ledger", "explain", NUMBER, "--config", "CONFIG"],
        &["serve", "--listen", NUMBER],
        &["ledger", "explain", NUMBER, "noon:8765438801"],
        &["ledger", "repair", "--cut", "x8765438801"],
    ] {
        let ended = site.run(arguments);
        let said = format!("{}{}", ended.out, ended.err);
        assert!(!said.contains("87654") && !said.contains("7654"), "{arguments:?}: {said}");
        assert_ne!(ended.code, Some(0), "{arguments:?}: {said}");
    }
}

#[test]
fn an_environment_variable_may_name_the_configuration() {
    let site = Site::new();
    let run = |arguments: &[&str]| {
        let output = posgate().args(arguments).env("POSGATE_CONFIG", site.path("posgate")).output().unwrap();
        crate::harness::Ended::of(&output)
    };
    run(&["check"]).expect(0, &["cards.csv"], &[]);
    run(&["check", "--config", "/no/such/posgate"]).expect(78, &[], &["/no/such/posgate"]);
    let server = site.start();
    run(&["ctl", "status"]).expect(0, &[], &[]);
    server.stop();
    run(&["ledger", "show"]).expect(0, &["start"], &[]);
}

#[test]
fn a_wrong_command_line_is_64_and_lists_the_commands() {
    let site = Site::new();
    for arguments in [
        &[][..],
        &["sell"],
        &["serve", "--fast"],
        &["serve", "now"],
        &["cards"],
        &["cards", "shuffle"],
        &["ledger"],
        &["check", "--listen", "127.0.0.1"],
        &["serve", "--config"],
        &["cards", "check", "a", "b"],
        &["serve", "--config", "CONFIG", "--listen", "nowhere"],
        &["serve", "--config", "CONFIG", "--listen", "127.0.0.1:39192", "--listen", "0.0.0.0"],
    ] {
        site.run(arguments).expect(64, &[], &["posgate: "]);
    }
}

#[test]
fn check_prints_what_the_example_would_serve() {
    let site = Site::new();
    site.write("posgate", include_str!("../../deploy/example/posgate"));
    // Not the example's own table: people edit it in the README's ten minutes.
    site.write("cards.csv", include_str!("../support/example-cards.csv"));
    fs::create_dir(site.path("data")).unwrap();
    let ended = site.run(&["check", "--config", "CONFIG"]);
    ended.expect(0, &["cards.csv", "20 cards", "devices=4 periods=2 doors=2", "serves      127.0.0.1:39192   lo"], &[]);
}

/// People edit it in the README's ten minutes, and no edit may fail a test.
#[test]
fn no_test_reads_the_examples_own_card_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut left =
        ["src", "tests", "deploy", "fuzz/seeds.py", "benches", "examples"].map(|place| root.join(place)).to_vec();
    let mut count = 0;
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let is_source = path.extension().is_some_and(|end| ["rs", "sh", "py"].iter().any(|known| end == *known));
        if !is_source {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        count += 1;
        assert!(!text.contains(concat!("example/", "cards.csv")), "{}", path.display());
        let copies_all = text.contains(concat!("cp -r deploy/", "example"));
        assert!(!copies_all || text.contains("support/example-cards.csv"), "{}", path.display());
    }
    assert!(count > 100, "only {count} sources were found");
}

#[test]
fn check_counts_the_ledger_s_entries_and_changes_nothing() {
    let site = Site::new();
    site.run(&["check", "--config", "CONFIG"]).expect(0, &["none yet", "serves      127.0.0.1:0   lo"], &[]);
    assert!(!site.path("ledger").exists());
    let server = site.start();
    let mut device = Device::new(2, &server);
    device.pay(&card(1), "1.00");
    // Also while the server runs.
    site.run(&["check", "--config", "CONFIG"]).expect(0, &["seq=3 ", "accounts=12 doubts=1"], &[]);
    server.kill();
    let before = fs::read(site.segment()).unwrap();
    site.run(&["check", "--config", "CONFIG"]).expect(0, &["seq=3 "], &[]);
    assert_eq!(fs::read(site.segment()).unwrap(), before);
}

#[test]
fn check_finds_an_altered_line_that_a_start_does_not_read() {
    let site = Site::with("\toption segment_bytes '2048'\n", "");
    let server = site.start();
    let mut device = Device::new(2, &server);
    for number in 0..40 {
        device.pay(&card(1 + number % 5), "1.00");
    }
    server.stop();
    site.run(&["check", "--config", "CONFIG"]).expect(0, &["replayed from the snapshot"], &[]);
    let whole = fs::read(site.segment()).unwrap();
    let mut altered = whole.clone();
    altered[700] ^= 1;
    fs::write(site.segment(), altered).unwrap();
    let line = whole[..700].split(|byte| *byte == b'\n').count();
    let place = format!("{}:{line}: altered: ", site.segment().display());
    site.run(&["check", "--config", "CONFIG"]).expect(78, &["seq="], &[&place, "posgate ledger verify"]);
    fs::remove_file(site.segment()).unwrap();
    // An archived segment is not damage; a missing one is.
    site.run(&["check", "--config", "CONFIG"]).expect(0, &["replayed from the snapshot"], &[]);
    fs::write(site.segment(), whole).unwrap();
    let second = fs::read_dir(site.path("ledger")).unwrap().map(|entry| entry.unwrap().path());
    let mut second: Vec<_> = second.filter(|path| path.display().to_string().contains("ledger-0")).collect();
    second.sort();
    fs::remove_file(&second[1]).unwrap();
    site.run(&["check", "--config", "CONFIG"]).expect(78, &[], &["missing: "]);
}

#[test]
fn check_reports_a_full_file_system() {
    let site = Site::new();
    let config = fs::read_to_string(site.path("posgate")).unwrap();
    // A file system without a free byte, also for root.
    site.write("posgate", &config.replace("'ledger'", "'/proc/posgate/ledger'"));
    let place = format!("{}:", site.path("posgate").display());
    let words = "/proc: 0 bytes are free, below the reserve of 262144: sales are refused";
    site.run(&["check", "--config", "CONFIG"]).expect(74, &["none yet"], &[&place, words]);
}

#[test]
fn check_compares_the_table_with_the_one_that_was_last_served() {
    let site = Site::new();
    site.start().stop();
    site.write("cards.csv", &card_table(CARDS / 2));
    let ended = site.run(&["check", "--config", "CONFIG"]);
    ended.expect(78, &["good copy"], &["cards.csv", "6 of 12 cards"]);
    site.write("cards.csv", &card_table(CARDS + 3));
    site.run(&["check", "--config", "CONFIG"]).expect(0, &["accounts=15"], &[]);
}

#[test]
fn whole_entries_are_cut_only_with_yes() {
    let site = spoiled(|_| ());
    let ledger = site.path("ledger").display().to_string();
    let names = || {
        let mut names: Vec<_> = fs::read_dir(&ledger).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        (names, fs::read(site.segment()).unwrap())
    };
    let before = names();
    for place in [["--config", "CONFIG"].as_slice(), &[&ledger]] {
        let cut = [["ledger", "repair", "--cut", "4"].as_slice(), place].concat();
        let words = ["has no damage", "entries 4 to ", "add --yes"];
        site.run(&cut).expect(1, &[], &words);
        assert_eq!(names(), before, "nothing was moved");
    }
    site.run(&["ledger", "repair", "--cut", "4", "--yes", &ledger]).expect(0, &["are now in"], &[]);
    site.run(&["ledger", "verify", &ledger]).expect(0, &["seq 1 to 3"], &[]);
}

#[test]
fn check_warns_of_texts_that_displays_would_cut() {
    let long = "长".repeat(112);
    let site = Site::with("", &format!("config text\n\toption charge_ok '{long} $name {{$balance}}'"));
    site.write("cards.csv", "card,name\n8888888801,张\n8888888802,欧阳娜娜\n8888888803,张\n");
    let line = fs::read_to_string(site.path("posgate")).unwrap().lines().count();
    let warning = format!("posgate:{line}: option charge_ok: up to 247 bytes of GBK with the longest name (");
    let ended = site.run(&["check", "--config", "CONFIG"]).expect(0, &[], &[&warning, "cards.csv:3)"]);
    assert_eq!(ended.err.matches("bytes of GBK").count(), 1, "{}", ended.err);
}

#[test]
fn addresses_lists_the_loopback() {
    let ended = Site::new().run(&["addresses"]).expect(0, &["127.0.0.1/8   lo"], &[]);
    assert!(ended.out.starts_with("1   "), "{}", ended.out);
}

#[test]
fn all_errors_of_configuration_and_cards_are_printed_at_once() {
    let site = Site::with("\toption resend_max 'many'\n\toption log 'loud'", "config door\n\toption machine 'x'\n");
    site.write(
        "cards.csv",
        &card_table(3).replace(&card(2), "8.88889E+09").replace("A00003,张三,1000.00", "A00003,张三,much"),
    );
    let complaints =
        ["posgate:10:", "posgate:11:", "posgate:13:", "cards.csv:3:", "format the column as text", "cards.csv:4:"];
    for command in [&["serve", "--config", "CONFIG"], &["check", "--config", "CONFIG"]] {
        site.run(command).expect(78, &[], &complaints);
    }
    assert!(!site.path("ledger").exists(), "nothing was begun");
}

#[test]
fn a_missing_configuration_or_table_is_named() {
    let site = Site::new();
    for command in ["serve", "check"] {
        site.run(&[command, "--config", "/no/such/posgate"]).expect(78, &[], &["/no/such/posgate: cannot read"]);
    }
    fs::remove_file(site.path("cards.csv")).unwrap();
    for command in ["serve", "check"] {
        site.run(&[command, "--config", "CONFIG"]).expect(78, &[], &["cards.csv: cannot read the card table"]);
    }
}

#[test]
fn cards_check_counts_a_good_table_and_names_the_errors_of_a_bad_one() {
    let site = Site::new();
    site.run(&["cards", "check", "--config", "CONFIG"]).expect(0, &["12 cards: 12 active", "1 member codes"], &[]);
    let table = site.path("cards.csv").display().to_string();
    site.run(&["cards", "check", &table]).expect(0, &["12 cards"], &[]);
    site.write("cards.csv", &card_table(3).replace(&card(3), &card(1)));
    let twice = [format!("{table}:4: column"), "is in line 2 already".to_owned()];
    site.run(&["cards", "check", &table]).expect(78, &[], &[&twice[0], &twice[1]]);
    site.run(&["cards", "check", "--config", "CONFIG"]).expect(78, &[], &[&twice[0]]);
}

#[test]
fn the_template_can_be_served() {
    let site = Site::new();
    // 8888888801 is beyond 32 bits; 0x00000102 and its bytes reversed are not.
    let number = site.run(&["cards", "number", "'8888888801", "--config", "CONFIG"]);
    number.expect(0, &["8888888801", "in the table, line 2: 8888888801 A00001 张三: as a decimal number"], &[]);
    let number = site.run(&["cards", "number", "077,30211", "--config", "CONFIG"]);
    number.expect(0, &["0005076483  004D7603     077,30211", "in the table: none of these"], &[]);
    site.run(&["cards", "number", "4D:76:03"]).expect(0, &["0005076483  004D7603     077,30211"], &[]);
    site.run(&["cards", "number", "card"]).expect(1, &[], &["077,30211"]);
    site.run(&["cards", "number"]).expect(64, &[], &["cards number 077,30211"]);
    let template = site.run(&["cards", "template"]).expect(0, &["card 卡号"], &[]);
    site.write("cards.csv", &template.out);
    site.run(&["cards", "check", "--config", "CONFIG"]).expect(0, &["3 cards"], &[]);
    let server = site.start();
    let mut device = Device::new(2, &server);
    device.pay("0000000001", "1.00");
    server.stop();
}

#[test]
fn a_port_in_use_is_74_and_named() {
    let site = Site::new();
    let server = site.start();
    let listen = format!("127.0.0.1:{}", server.port);
    let other = Site::new();
    let ended = other.spawn(&["--listen", &listen]).end();
    ended.expect(74, &[], &[&format!("cannot listen on {listen}: another program uses it")]);
    assert!(!other.path("ledger").exists(), "no ledger was begun");
    let foreign = other.spawn(&["--listen", "192.0.2.77:39192"]).end();
    foreign.expect(74, &[], &["192.0.2.77 is not an address of this machine", "posgate addresses"]);
}

#[test]
fn an_option_that_this_machine_cannot_apply_is_named_with_its_line() {
    let site = Site::with("\tlist bind_device 'lo'\n\tlist bind_device 'no-such-if'\n", "");
    let place = format!("{}:11: ", site.path("posgate").display());
    let wrong = format!("{place}list bind_device 'no-such-if': there is no such interface");
    site.run(&["check", "--config", "CONFIG"]).expect(78, &[], &[&wrong]);
    // A boot must not wait for it, nor serve a good copy because of it.
    site.run(&["check", "--quick", "--config", "CONFIG"]).expect(0, &[], &[&wrong]);
    // Only the one error: the addresses that it would serve are not printed.
    site.configure("\tlist bind_device 'no-such-if'\n", "");
    let wrong = format!("{}:10: list bind_device 'no-such-if'", site.path("posgate").display());
    let ended = site.run(&["check", "--config", "CONFIG"]).expect(78, &[], &[&wrong]);
    assert!(!ended.err.contains("list listen"), "{}", ended.err);
    site.configure("\tlist listen '192.0.2.77:0'\n", "");
    let place = format!("{}:10: ", site.path("posgate").display());
    let wrong = format!("{place}list listen '192.0.2.77:0' is not an address of this machine");
    site.run(&["check", "--config", "CONFIG"]).expect(78, &[], &[&wrong]);
    site.spawn(&[]).end().expect(74, &[], &[&place, "cannot listen on 192.0.2.77:0"]);
}

#[test]
fn an_interface_without_an_address_yet_is_a_warning_and_served() {
    let site = Site::with("\tlist bind_device 'lo'\n", "");
    // In a network namespace of its own, in which the loopback is down.
    let inside = |arguments: &[&str]| {
        let mut command = std::process::Command::new("unshare");
        command.args(["-rn", env!("CARGO_BIN_EXE_posgate")]).args(arguments).arg("--config").arg(site.path("posgate"));
        command.output()
    };
    let can = std::process::Command::new("unshare").args(["-rn", "true"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        not_run("an interface without an address, in a network namespace (`unshare -rn`)");
        return;
    }
    let output = inside(&["check"]).unwrap();
    let place =
        format!("{}:10: list bind_device 'lo': this interface has no IPv4 address yet", site.path("posgate").display());
    crate::harness::Ended::of(&output).expect(0, &["rules "], &[&place]);
}

#[test]
fn a_ledger_directory_that_cannot_be_created_is_74_with_its_path() {
    let site = Site::new();
    let config = fs::read_to_string(site.path("posgate")).unwrap();
    // Below a file, because root may write everywhere else.
    site.write("posgate", &config.replace("'ledger'", "'cards.csv/ledger'"));
    let path = site.path("cards.csv/ledger").display().to_string();
    site.spawn(&[]).end().expect(74, &[], &[&path]);
}

/// Runs `verify` and `serve` on a ledger of a few sales whose lines `spoil` changed.
fn spoiled(spoil: impl FnOnce(&mut Vec<Vec<u8>>)) -> Site {
    let site = Site::new();
    let server = site.start();
    let mut device = Device::new(2, &server);
    for number in 1..=8 {
        device.pay(&card(number), "1.00");
    }
    server.stop();
    let bytes = fs::read(site.segment()).unwrap();
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    spoil(&mut lines);
    fs::write(site.segment(), lines.concat()).unwrap();
    site
}

#[track_caller]
fn verify(site: &Site, code: i32) {
    let directory = site.path("ledger").display().to_string();
    let segment = site.segment().display().to_string();
    for place in [["--config", "CONFIG"].as_slice(), &[&directory], &[&segment]] {
        site.run(&[["ledger", "verify"].as_slice(), place].concat()).expect(code, &[], &[]);
    }
}

/// Checks that `serve` refuses the ledger at this line and leaves the file as it is.
#[track_caller]
fn is_refused(site: &Site, line: usize) {
    let before = fs::read(site.segment()).unwrap();
    let place = format!("{}:{line}:", site.segment().display());
    let command = ["serve", "--config", "CONFIG"];
    site.run(&command).expect(78, &[], &[&place, "posgate ledger repair --cut"]);
    site.run(&["check", "--config", "CONFIG"]).expect(78, &[], &[&place, "posgate ledger repair --cut"]);
    assert_eq!(fs::read(site.segment()).unwrap(), before);
}

#[test]
fn a_whole_ledger_is_0() {
    let site = spoiled(|_| ());
    verify(&site, 0);
    let server = site.start();
    assert_eq!(server.stop().err, "");
}

#[test]
fn a_torn_tail_is_1_and_is_cut_with_a_copy() {
    let site = spoiled(|lines| {
        let last = lines.last_mut().unwrap();
        last.truncate(20);
    });
    verify(&site, 1);
    let server = site.start();
    server.wait_for_trouble("20 bytes, on which no answer rests, were cut off");
    server.stop();
    verify(&site, 0);
    let copies: Vec<_> = fs::read_dir(site.path("ledger")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let torn: Vec<_> = copies.iter().filter(|path| path.extension().is_some_and(|end| end == "torn")).collect();
    assert_eq!(torn.len(), 1, "{copies:?}");
    assert_eq!(fs::read(torn[0]).unwrap().len(), 20);
}

#[test]
fn an_altered_last_line_is_cut_and_named_with_the_command_that_shows_it() {
    let site = spoiled(|lines| {
        let last = lines.last_mut().unwrap();
        let kind = last.windows(4).position(|word| word == b"stop").unwrap();
        last[kind..kind + 4].copy_from_slice(b"keys");
    });
    verify(&site, 2);
    let server = site.start();
    let kept = site.path("ledger/ledger-0000000001.tsv.torn").display().to_string();
    let said = server.wait_for_trouble("a whole line whose crc does not follow");
    assert!(said.contains(&format!("`cat {kept}`")) && said.contains("posgate ctl adjust"), "{said}");
    server.stop();
    verify(&site, 0);
}

#[test]
fn an_altered_line_is_2_and_refused() {
    let site = spoiled(|lines| {
        let text = String::from_utf8(lines[5].clone()).unwrap();
        assert!(text.contains("\t999.00\t") || text.contains("\t1000.00\t"));
        lines[5] = text.replace("\t999.00\t", "\t998.00\t").replace("\t1000.00\t", "\t9000.00\t").into_bytes();
    });
    verify(&site, 2);
    is_refused(&site, 6);
}

#[test]
fn a_missing_line_is_3_and_refused() {
    let site = spoiled(|lines| drop(lines.remove(5)));
    verify(&site, 3);
    is_refused(&site, 6);
}

#[test]
fn swapped_lines_are_4_and_refused() {
    let site = spoiled(|lines| lines.swap(5, 6));
    verify(&site, 4);
    is_refused(&site, 6);
}

#[test]
fn a_spoiled_header_is_5_and_refused() {
    let site = spoiled(|lines| lines[0][20] = b'?');
    verify(&site, 5);
    is_refused(&site, 1);
}

#[test]
fn a_ledger_that_is_not_there_is_74() {
    let site = Site::new();
    site.run(&["ledger", "verify", "/no/such/ledger"]).expect(74, &[], &["/no/such/ledger"]);
    site.run(&["ledger", "show", "/no/such/ledger"]).expect(74, &[], &["/no/such/ledger"]);
}

#[test]
fn show_raw_prints_the_lines_unchanged() {
    let site = spoiled(|_| ());
    let raw = site.run(&["ledger", "show", "--raw", "--config", "CONFIG"]).expect(0, &["\tcharge\t"], &[]);
    let file = fs::read_to_string(site.segment()).unwrap();
    assert!(file.ends_with(&raw.out) && raw.out.lines().count() >= 18, "{}", raw.out);
    let show = site.run(&["ledger", "show", "--config", "CONFIG"]).expect(0, &["charge", "999.00"], &[]);
    assert_ne!(show.out, raw.out);
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let site = spoiled(|_| ());
    let config = site.path("posgate");
    for command in [["cards", "template"].as_slice(), &["check", "--config"], &["ledger", "show", "--config"]] {
        let mut posgate = posgate();
        posgate.args(command);
        if command.contains(&"--config") {
            posgate.arg(&config);
        }
        let mut child = posgate.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn relative_paths_are_relative_to_the_configuration() {
    let site = Site::new();
    let mut command = posgate();
    let ended = command.args(["check", "--config"]).arg(site.path("posgate")).current_dir(Path::new("/")).output();
    assert_eq!(ended.unwrap().status.code(), Some(0));
}
