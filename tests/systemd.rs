//! The systemd kit (`deploy/systemd`): what `install.sh` lays into another root, and, in namespaces
//! of its own, a whole installation that is served as the unit says (`tests/systemd.sh`).

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[path = "support/not_run.rs"]
mod not_run;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use not_run::not_run;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn deploy(name: &str) -> PathBuf {
    root().join("deploy").join(name)
}

fn install(arguments: &[&str]) -> Output {
    Command::new(deploy("systemd/install.sh")).args(arguments).output().unwrap()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether this machine lets the kit be installed; says so if not.
fn can_install() -> bool {
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let is_root = nix::unistd::Uid::effective().is_root();
    if !is_root || !has("systemd-sysusers") {
        not_run("an installation under systemd: it needs root and systemd-sysusers");
        return false;
    }
    true
}

#[test]
fn another_root_gets_all_of_it_and_its_own_group_owns_what_is_secret() {
    if !can_install() {
        return;
    }
    let image = tempfile::tempdir().unwrap();
    fs::create_dir(image.path().join("etc")).unwrap();
    // The image knows posgate's group under a number of its own.
    fs::write(image.path().join("etc/group"), "root:x:0:\nposgate:x:4242:\n").unwrap();
    let run = install(&["--root", image.path().to_str().unwrap(), env!("CARGO_BIN_EXE_posgate")]);
    assert!(run.status.success(), "{}", said(&run.stderr));
    for (path, mode, group) in [
        ("usr/local/bin/posgate", 0o755, 0),
        ("usr/local/bin/posgate-desk", 0o755, 0),
        ("etc/systemd/system/posgate.service", 0o644, 0),
        ("etc/sysusers.d/posgate.conf", 0o644, 0),
        ("etc/profile.d/posgate.sh", 0o644, 0),
        ("etc/posgate", 0o750, 4242),
        ("etc/posgate/posgate", 0o640, 4242),
        ("etc/posgate/cards.csv", 0o640, 4242),
    ] {
        let found = fs::metadata(image.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (mode, 0, group), "{path}");
    }
    let users = fs::read_to_string(image.path().join("etc/passwd")).unwrap();
    assert!(users.lines().any(|line| line.starts_with("posgate:") && line.contains(":4242:")), "{users}");
    // Machines made from one image must not share a name.
    let config = fs::read_to_string(image.path().join("etc/posgate/posgate")).unwrap();
    assert!(!config.contains("option site"), "{config}");
}

#[test]
fn what_is_installed_serves_as_the_unit_says_and_a_desk_works_with_it() {
    let namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let can_unshare =
        Command::new("unshare").args(namespaces).arg("true").output().is_ok_and(|run| run.status.success());
    if !can_install() || !can_unshare {
        not_run("the systemd kit in namespaces: it needs root and unshare");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(namespaces).arg(root().join("tests/systemd.sh"));
    command.args([&deploy(""), Path::new(env!("CARGO_BIN_EXE_posgate")), scratch.path()]);
    let run = command.env_remove("POSGATE_CONFIG").env("LC_ALL", "C").output().unwrap();
    let told = said(&run.stdout);
    assert!(run.status.success() && told.ends_with("all true\n"), "{told}{}", said(&run.stderr));
    if told.contains("NOT RUN: systemd-analyze") {
        not_run("systemd-analyze verify");
    }
}

#[test]
fn what_cannot_be_installed_is_said_with_what_to_do() {
    for (arguments, sentence) in [
        (&[][..], "install.sh: which program? deploy/systemd/install.sh BINARY, such as target/release/posgate\n"),
        (
            &["/nowhere/posgate"],
            "install.sh: /nowhere/posgate is not there: cargo build --release makes target/release/posgate\n",
        ),
        (&["--root", "/nowhere", "x"], "install.sh: --root /nowhere: no such directory\n"),
    ] {
        let run = install(arguments);
        assert_eq!((run.status.code(), said(&run.stderr).as_str()), (Some(1), sentence));
    }
}

#[test]
fn the_card_table_has_the_headings_of_the_openwrt_package() {
    let headings = |path: &str| fs::read_to_string(deploy(path)).unwrap();
    assert_eq!(headings("systemd/cards.csv"), headings("openwrt/files/cards.csv"));
}
