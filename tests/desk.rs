//! The desk without a web page (`deploy/desk/posgate-desk`) and an office's key
//! (`deploy/desk/posgate-link`): what a key may order, with a stand-in for posgate that writes down
//! its arguments. Whatever comes over the network, it is these four
//! orders or nothing.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[path = "support/not_run.rs"]
mod not_run;
#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use not_run::not_run;
use program::{copy_program, write_script};
use tempfile::TempDir;

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/desk/posgate-desk")
}

fn office_script() -> PathBuf {
    script().with_file_name("posgate-link")
}

/// A directory with a stand-in that writes each argument into a file, a line each, and fails with
/// 3.
struct Desk {
    dir: TempDir,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let posgate = dir.path().join("posgate");
        let text = "#!/bin/sh\nset -u\nprintf '%s\\n' \"$@\" >>\"${0%/*}/asked\"\nprintf 'by=%s\\n' \"${POSGATE_BY-none}\" >>\"${0%/*}/asked\"\nexit 3\n";
        write_script(&posgate, text);
        Self { dir }
    }

    fn run(&self, shell: &str, name: &str, command: Option<&str>) -> Option<Output> {
        self.run_for(shell, &[name], command)
    }

    /// The same with more words in `authorized_keys`.
    fn run_for(&self, shell: &str, words: &[&str], command: Option<&str>) -> Option<Output> {
        self.run_script(&script(), shell, words, command)
    }

    fn run_script(&self, script: &Path, shell: &str, words: &[&str], command: Option<&str>) -> Option<Output> {
        let posgate = self.dir.path().join("posgate");
        let mut process = Command::new(shell);
        if shell == "busybox" {
            process.arg("sh");
        }
        // What a client might get into the environment.
        process.env("POSGATE_BY", "mallory").env("IFS", "0").env("POSGATE_CONFIG", "/tmp/x");
        // A word like `*` would become these names.
        process.current_dir(self.dir.path()).arg(script).args(words).arg(posgate);
        match command {
            Some(command) => process.env("SSH_ORIGINAL_COMMAND", command),
            None => process.env_remove("SSH_ORIGINAL_COMMAND"),
        };
        match process.output() {
            Ok(output) => Some(output),
            Err(error) => {
                not_run(&format!("{shell}: {error}"));
                None
            }
        }
    }

    /// What the stand-in was asked; nothing if it was not.
    fn asked(&self) -> Vec<String> {
        let path = self.dir.path().join("asked");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _gone = fs::remove_file(path);
        text.lines().map(str::to_owned).collect()
    }
}

/// Shells that a router or a server may have as `sh`; those that are not here are not run.
const SHELLS: [&str; 4] = ["sh", "dash", "bash", "busybox"];

#[test]
fn the_four_orders_reach_posgate_word_by_word_with_the_desks_name() {
    let desk = Desk::new();
    for shell in SHELLS {
        for (command, wanted) in [
            ("topup 8888888801 50", "ctl topup 8888888801 50 --by window-1 by=none"),
            ("  topup   8888888801 12.5  k-1 ", "ctl topup 8888888801 12.5 --by window-1 --key k-1 by=none"),
            ("topup 7 0.05", "ctl topup 7 0.05 --by window-1 by=none"),
            ("lost 8888888801", "ctl lost 8888888801 --by window-1 by=none"),
            ("found 8888888801 again", "ctl found 8888888801 --by window-1 --key again by=none"),
            ("card 0000000007", "ctl card 0000000007 by=none"),
        ] {
            let Some(output) = desk.run(shell, "window-1", Some(command)) else { break };
            assert_eq!(desk.asked().join(" "), wanted, "{shell}: {command}");
            assert_eq!(output.status.code(), Some(3), "posgate's own exit code");
        }
    }
}

#[test]
fn a_key_may_name_the_server_and_only_the_key() {
    let desk = Desk::new();
    for shell in SHELLS {
        for (words, wanted) in [
            (["--config", "/etc/posgate/posgate", "w1"], "--by w1 --config /etc/posgate/posgate by=none"),
            (["--control", "/run/posgate/ctl sock", "w1"], "--by w1 --control /run/posgate/ctl sock by=none"),
        ] {
            let Some(output) = desk.run_for(shell, &words, Some("topup 7 5")) else { break };
            assert_eq!(desk.asked().join(" "), format!("ctl topup 7 5 {wanted}"), "{shell}");
            assert_eq!(output.status.code(), Some(3));
        }
        for (words, command) in [
            (&["--config"][..], "card 1"),
            (&["--config", "w1"], "card 1"),
            (&["--config", "", "w1"], "card 1"),
            (&["--control", "ctl.sock", "w1"], "card 1"),
            (&["--socket", "/run/x", "w1"], "card 1"),
            (&["--config", "/x", "--control", "/y", "w1"], "card 1"),
            (&["w1"], "--config /tmp/x card 1"),
            (&["w1"], "card 1 --config /tmp/x"),
            (&["w1"], "topup 1 5 --config"),
        ] {
            let Some(output) = desk.run_for(shell, words, Some(command)) else { break };
            assert_eq!((output.status.code(), desk.asked().len()), (Some(64), 0), "{shell}: {words:?} {command}");
        }
    }
}

#[test]
fn posgate_is_the_one_beside_the_script() {
    let desk = Desk::new();
    let copy = desk.dir.path().join("posgate-desk");
    copy_program(script(), &copy);
    let output = Command::new(&copy).arg("w1").env("SSH_ORIGINAL_COMMAND", "card 1").output().unwrap();
    assert_eq!((desk.asked().join(" ").as_str(), output.status.code()), ("ctl card 1 by=none", Some(3)));
}

#[test]
fn anything_else_is_refused_and_posgate_never_runs() {
    let desk = Desk::new();
    let long = format!("card {}", "1".repeat(100_000));
    let commands = [
        "",
        " ",
        "sh",
        "status",
        "payout 8888888801 5",
        "void 3",
        "topup",
        "topup 1",
        "topup 1 2 3 4",
        "card",
        "card 1 2",
        "lost",
        "lost 1 k k",
        "card 12345678901",
        "card 1x",
        "card -1",
        "card --help",
        "card 1\n",
        "card 1\nstatus",
        "card 1\r",
        "card 1\t",
        "card 1;id",
        "card 1 ; id",
        "card $(id)",
        "card `id`",
        "card 1 && id",
        "card 1|id",
        "card 1>asked",
        "card 1 < /etc/passwd",
        "card *",
        "card ?",
        "card [0-9]",
        "card ~",
        "card $HOME",
        "card ${IFS}1",
        "card '1'",
        "card \"1\"",
        "card \\1",
        "card 1 #",
        "card !!",
        "card １",
        "card é",
        "topup 1 -5",
        "topup 1 +5",
        "topup 1 5.005",
        "topup 1 5.",
        "topup 1 .5",
        "topup 1 1.2.3",
        "topup 1 .",
        "topup 1 1e3",
        "topup 1 5,00",
        "topup 1 99999999999",
        "topup 1 5 --by",
        "topup 1 5 -k",
        "topup 1 5 a.b",
        "topup --by 1 5",
        "-topup 1 5",
        "topup 1 --file",
        "lost 1 --by=root",
        "TOPUP 1 5",
        "topup\u{a0}1 5",
        "sudo topup 1 5",
        "env X=1 card 1",
        &format!("topup 1 5 {}", "k".repeat(41)),
        &long,
    ];
    for shell in SHELLS {
        for command in commands {
            let Some(output) = desk.run(shell, "window-1", Some(command)) else { break };
            assert_eq!(desk.asked(), [""; 0], "{shell}: {command:?}");
            assert_eq!(output.status.code(), Some(64), "{shell}: {command:?}");
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(err.lines().count() == 2 && err.contains("usage:"), "{shell}: {command:?}: {err}");
        }
        // Nobody gave a command: no shell either.
        if let Some(output) = desk.run(shell, "window-1", None) {
            assert_eq!((output.status.code(), desk.asked().len()), (Some(64), 0), "{shell}");
        }
        for name in ["", "-x", "a b", "a;b", "$(id)"] {
            if let Some(output) = desk.run(shell, name, Some("card 1")) {
                assert_eq!((output.status.code(), desk.asked().len()), (Some(64), 0), "{shell}: {name:?}");
            }
        }
    }
}

#[test]
fn an_offices_key_gets_its_own_stream_and_nothing_else() {
    let desk = Desk::new();
    let run = |shell: &str, words: &[&str], command| desk.run_script(&office_script(), shell, words, command);
    for shell in SHELLS {
        for (words, wanted) in [
            (&["hq"][..], "link --office hq by=none"),
            (&["Campus_2-east"], "link --office Campus_2-east by=none"),
            (&["--config", "/etc/posgate/x y", "hq"], "link --office hq --config /etc/posgate/x y by=none"),
            (&["--control", "/run/ctl.sock", "hq"], "link --office hq --control /run/ctl.sock by=none"),
        ] {
            for command in [None, Some("")] {
                let Some(output) = run(shell, words, command) else { break };
                assert_eq!(desk.asked().join(" "), wanted, "{shell}: {words:?}");
                assert_eq!(output.status.code(), Some(3), "posgate's own exit code");
            }
        }
        for command in ["sh", "link --office other", "--office other", "x; id", "$(id)", "\n", " "] {
            let Some(output) = run(shell, &["hq"], Some(command)) else { break };
            assert_eq!((output.status.code(), desk.asked().len()), (Some(64), 0), "{shell}: {command:?}");
        }
        let long = "x".repeat(26);
        for words in
            [&[""][..], &["-x"], &["a b"], &["a.b"], &["$(id)"], &[&long], &["--config", "ctl", "hq"], &["--config"]]
        {
            let Some(output) = run(shell, words, None) else { break };
            assert_eq!((output.status.code(), desk.asked().len()), (Some(64), 0), "{shell}: {words:?}");
        }
    }
}

#[test]
fn shellcheck_finds_nothing() {
    match Command::new("shellcheck").args([script(), office_script()]).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => not_run(&format!("shellcheck: {error}")),
    }
}

#[test]
fn what_a_test_wrote_can_be_run_while_other_threads_start_children() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    assert!(Command::new("true").status().unwrap().success());
                }
            });
        }
        let (script, copy) = (dir.path().join("script"), dir.path().join("copy"));
        for _ in 0..40 {
            write_script(&script, "#!/bin/sh\n");
            assert!(Command::new(&script).status().unwrap().success());
            copy_program("/bin/true", &copy);
            assert!(Command::new(&copy).status().unwrap().success());
            fs::remove_file(&copy).unwrap();
        }
    });
}
