//! The steps of `.ci/run` (`.ci/steps.bash`): a step that fails or takes too long is named, none is
//! left running, and what each took is told.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::path::Path;
use std::process::{Command, Output};

/// Runs these lines as a script with steps; what it said, and whether it passed.
fn steps(lines: &str, whole_s: &str) -> (String, bool) {
    let script = format!("set -euo pipefail\n. .ci/steps.bash\n{lines}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = Command::new("bash").args(["-c", &script]).env("CI_WHOLE_S", whole_s).current_dir(root).output();
    let Output { status, stdout, .. } = run.unwrap();
    (String::from_utf8(stdout).unwrap(), status.success())
}

fn last_line(said: &str) -> &str {
    said.trim_end().lines().next_back().unwrap()
}

/// What the table says of a step: its outcome and its name.
fn row<'a>(said: &'a str, name: &str) -> &'a str {
    let is_row = |line: &&str| line.ends_with(name) && line.starts_with(' ');
    said.lines().rev().find(is_row).unwrap_or_else(|| panic!("no row of {name}: {said}"))
}

#[test]
fn steps_that_pass_say_what_they_said_and_what_they_took() {
    let (said, is_good) =
        steps("words() { echo \"test result: $1\"; }\nstep one 20 words ok\nstep two 20 true\n", "60");
    assert!(is_good, "{said}");
    assert!(said.contains("=== one (at 0 s; at most 20 s)\ntest result: ok\n"), "{said}");
    assert!(row(&said, "one").contains(" 20  ok "), "{said}");
    assert!(row(&said, "two").contains(" 20  ok "), "{said}");
    assert_eq!(last_line(&said), "=== all passed");
}

#[test]
fn a_step_that_fails_in_its_middle_is_named_and_nothing_comes_after_it() {
    let (said, is_good) =
        steps("half() {\n false\n echo went on\n}\nstep half 20 half\nstep next 20 echo came\n", "60");
    assert!(!is_good && !said.contains("went on") && !said.contains("came"), "{said}");
    assert!(row(&said, "half").contains("FAILED"), "{said}");
    assert_eq!(last_line(&said), "=== FAILED: half: failed with 1");
}

#[test]
fn a_step_beyond_its_budget_ends_with_all_that_it_started_and_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("process");
    let lines = format!("hang() {{ sleep 1000 & echo $! >'{}'; wait; }}\nstep hang 1 hang\n", file.display());
    let (said, is_good) = steps(&lines, "60");
    assert!(!is_good, "{said}");
    assert!(row(&said, "hang").contains("TOO LONG"), "{said}");
    assert_eq!(last_line(&said), "=== FAILED: hang: took longer than 1 s");
    let process = std::fs::read_to_string(file).unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", process.trim())).unwrap_or_default();
    // It may still be there as what nobody has waited for.
    assert!(state().is_empty() || state().contains(") Z "), "{}", state());
}

#[test]
fn the_whole_has_a_budget_too() {
    let (said, is_good) = steps("step first 20 sleep 1\nstep long 20 sleep 1000\n", "3");
    assert!(!is_good, "{said}");
    assert!(row(&said, "first").contains("ok"), "{said}");
    let last = last_line(&said);
    assert!(last.starts_with("=== FAILED: long: took longer than ") && last.ends_with("left of 3 s"), "{said}");
    let (said, _) = steps("step none 20 echo came\n", "0");
    assert_eq!(last_line(&said), "=== FAILED: none: not begun, for the whole took longer than 0 s");
}

#[test]
fn every_step_of_a_run_names_its_budget() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for file in [".ci/run", ".ci/router.bash"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        for line in text.lines().filter_map(|line| line.trim_start().strip_prefix("step \"")) {
            let (_, rest) = line.split_once("\" ").unwrap();
            let budget: u32 = rest.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{file}: {line}"));
            assert!((10..=1200).contains(&budget), "{file}: {line}");
            count += 1;
        }
    }
    assert_eq!(count, 24);
}
