//! Tests that make and delete interfaces: each runs once more in a network namespace of its own.

use std::process::Command;

use crate::not_run::not_run;

/// Set in the process that is inside the namespace.
const INSIDE: &str = "POSGATE_TEST_NAMESPACE";

/// Whether this process has a network of its own. If not, the test is run once more, where it has.
#[must_use]
pub fn has_own_network(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let probe = "ip link set lo up && ip link add d0 type veth peer name p0 && ip link add b0 type bridge";
    let can = Command::new("unshare").args(["-n", "sh", "-c", probe]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        not_run(&format!("{test} needs root, `unshare -n` and `ip`"));
        return false;
    }
    let mut inside = Command::new("unshare");
    inside.arg("-n").arg(std::env::current_exe().expect("this program"));
    let output = inside.args(["--exact", test, "--nocapture"]).env(INSIDE, "1").output().expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// Runs lines of a shell, which stops at the first that fails.
#[track_caller]
pub fn sh(lines: &str) {
    let ended = Command::new("sh").args(["-ec", lines]).output().expect("sh runs");
    assert!(ended.status.success(), "{lines}: {}", String::from_utf8_lossy(&ended.stderr));
}
