//! What goes onto an OpenWrt router, tried on any machine: the init script under stand-ins that
//! write down what procd would be told (`rc.common` and `functions.sh` beside this file), the
//! hooks, the packages to the byte, and their upgrades with a server that runs.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod feed;
mod hooks;
mod init;
#[path = "../support/not_run.rs"]
mod not_run;
mod package;
#[path = "../support/program.rs"]
mod program;
mod upgrade;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use not_run::not_run;
use program::write_script;
use tempfile::TempDir;

/// The files of the package.
fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// The shell that runs these files: the router's if it is there (`.ci/run` installs it), else this
/// machine's.
fn shells() -> [Vec<&'static str>; 1] {
    let has_busybox = Command::new("busybox").arg("true").output().is_ok_and(|output| output.status.success());
    if !has_busybox {
        not_run("the init script by busybox, a router's shell");
    }
    [if has_busybox { vec!["busybox", "ash"] } else { vec!["sh"] }]
}

/// A router's root directory, with the files of the package in which its paths lead there.
struct Router {
    dir: TempDir,
    shell: Vec<&'static str>,
}

impl Router {
    fn new(shell: &[&'static str]) -> Self {
        let router = Self { dir: tempfile::tempdir().unwrap(), shell: shell.to_vec() };
        for (file, path) in [
            ("posgate.init", "etc/init.d/posgate"),
            ("posgate.upgrade", "lib/upgrade/posgate.sh"),
            ("posgate.defaults", "etc/uci-defaults/90-posgate"),
            ("posgate.hotplug-ntp", "etc/hotplug.d/ntp/90-posgate"),
        ] {
            let text = fs::read_to_string(deploy("openwrt/files").join(file)).unwrap();
            router.write(path, &router.rooted(&text));
        }
        router.write("etc/posgate/cards.csv", "card,balance\n8888888801,10.00\n");
        router.write(
            "lib/functions/network.sh",
            "network_get_device() { [ \"$2\" = lan ] && eval \"$1=lo\"; [ \"$2\" = lan ]; }\n",
        );
        for (file, path) in [("functions.sh", "lib/functions.sh"), ("rc.common", "etc/rc.common")] {
            let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openwrt").join(file);
            write_script(router.path_made(path), &fs::read_to_string(stand_in).unwrap());
        }
        router.write("lib/functions/system.sh", "get_mac_label() { echo 94:83:c4:0A:bc:de; }\n");
        router.write("proc/mounts", "overlay / overlay rw 0 0\n");
        for file in ["posgate.config", "cards.csv"] {
            let text = fs::read_to_string(deploy("openwrt/files").join(file)).unwrap();
            router.write(&format!("usr/share/posgate/{file}"), &router.rooted(&text));
        }
        router.write("etc/config/system", "config system\n\toption timezone '<+0330>-3:30'\n");
        fs::create_dir_all(router.path("usr/bin")).unwrap();
        fs::create_dir_all(router.path("sbin")).unwrap();
        fs::create_dir_all(router.path("tmp")).unwrap();
        symlink(env!("CARGO_BIN_EXE_posgate"), router.path("usr/bin/posgate")).unwrap();
        router
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// The same, in a directory that is there.
    fn path_made(&self, path: &str) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path_made(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// A text whose absolute paths lead into this root.
    fn rooted(&self, text: &str) -> String {
        let root = self.dir.path().to_str().unwrap();
        let mut rooted = String::new();
        for (at, character) in text.char_indices() {
            let is_path = ["/etc/", "/var/", "/lib/", "/usr/bin/", "/usr/share/", "/sbin/", "/proc/mounts", "/tmp/"]
                .iter()
                .any(|prefix| text[at..].starts_with(prefix));
            let before = text[..at].chars().next_back().unwrap_or(' ');
            if is_path && !(before.is_alphanumeric() || "._}".contains(before)) {
                rooted.push_str(root);
            }
            rooted.push(character);
        }
        rooted
    }

    /// `/etc/config/posgate`: its server section with these lines.
    fn configure(&self, lines: &str) {
        let text = format!(
            "# a comment\nconfig server 'main'  # the server\n\toption enabled '1'\n\tlist interface 'lan'\n\toption cards '/etc/posgate/cards.csv'\n\
             \toption ledger_dir '/etc/posgate/ledger'\n\toption control '/var/run/posgate/ctl.sock'\n\toption status '/var/run/posgate/status.json'\n{lines}\n"
        );
        self.write("etc/config/posgate", &self.rooted(&text));
    }

    /// Runs a file of the root.
    fn command(&self, file: &str) -> Command {
        let mut command = Command::new(self.shell[0]);
        command
            .args(&self.shell[1..])
            .arg(file)
            .env("ROOT", self.dir.path())
            .current_dir(self.dir.path())
            .env_remove("IPKG_INSTROOT");
        command
    }

    fn init(&self, action: &str) -> Output {
        self.init_with(action, &[])
    }

    /// The init script's action, what procd was told before forgotten.
    fn init_with(&self, action: &str, environment: &[(&str, &str)]) -> Output {
        self.write("record", "");
        let mut command = self.command(self.path("etc/rc.common").to_str().unwrap());
        command.arg(self.path("etc/init.d/posgate")).arg(action).envs(environment.iter().copied());
        command.output().unwrap()
    }

    /// The calls of this name.
    fn calls(&self, name: &str) -> Vec<String> {
        let record = self.read("record");
        record.lines().filter_map(|line| line.strip_prefix(name)).map(|rest| rest.trim_start().to_owned()).collect()
    }

    fn has_instance(&self) -> bool {
        !self.calls("procd_open_instance").is_empty()
    }

    fn served(&self) -> String {
        self.read("var/etc/posgate/posgate")
    }

    /// ujail, which writes its words to the record and then runs what they name.
    fn jail(&self) {
        let record = self.path("record");
        let text = "#!/bin/sh\nprintf ujail >>RECORD; printf '\\t%s' \"$@\" >>RECORD; echo >>RECORD\n\
                    while [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n";
        write_script(self.path("sbin/ujail"), &text.replace("RECORD", &format!("'{}'", record.display())));
    }

    /// A program of the root that writes its arguments to the record.
    fn recorder(&self, path: &str) {
        let record = self.path("record");
        write_script(self.path(path), &format!("#!/bin/sh\necho \"{path} $*\" >>'{}'\n", record.display()));
    }
}

/// Waits for a condition.
#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("waited half a minute in vain: {what}");
}

#[test]
fn every_shell_file_parses_in_the_routers_shell() {
    for shell in shells() {
        for dir in ["openwrt", "openwrt/files", "."] {
            for entry in fs::read_dir(deploy(dir)).unwrap() {
                let path = entry.unwrap().path();
                let Ok(text) = fs::read_to_string(&path) else { continue };
                let is_posix = text.starts_with("#!/bin/sh");
                if !is_posix {
                    continue;
                }
                let output = Command::new(shell[0]).args(&shell[1..]).arg("-n").arg(&path).output().unwrap();
                assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
            }
        }
    }
}
