//! The upgrade hook, the first start's script and the time server's.

use std::os::unix::net::UnixStream;
use std::process::Stdio;

use super::*;

/// A sysupgrade with this root's hook, which procd says runs a posgate or none: it reads the hooks,
/// runs them all, and ends. Whether the router goes on as it was is `comm`, the name of process 1.
fn sysupgrade(router: &Router, environment: &[(&str, &str)], is_started: bool, comm: &str) -> Output {
    router.write("comm", comm);
    let hook = router.path("lib/upgrade/posgate.sh");
    let text = router.read("lib/upgrade/posgate.sh");
    fs::write(&hook, text.replace("/proc/1/comm", router.path("comm").to_str().unwrap())).unwrap();
    let caller = router.path("sysupgrade");
    let instances = if is_started { "echo '{\"posgate\":{\"instances\":{\"instance1\":{}}}}'" } else { "echo '{}'" };
    let text = format!(
        "pidof() {{ return 1; }}\nuci() {{ return 1; }}\nubus() {{ {instances}; }}\nlogger() {{ echo \"logger $*\" >>'{record}'; }}\n\
         sysupgrade_init_conffiles=add_conffiles\nadd_conffiles() {{ echo conffiles; }}\n. '{hook}'\n\
         [ -n \"$CONF_RESTORE\" ] || for hook in $sysupgrade_init_conffiles; do $hook /tmp/list; done\n\
         echo archive >>'{record}'\nsleep 0.2\necho waits=$!\nexit 1\n",
        hook = hook.display(),
        record = router.path("record").display()
    );
    fs::write(&caller, text).unwrap();
    router.write("record", "");
    let output = router.command(caller.to_str().unwrap()).envs(environment.iter().copied()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    // What waits for its end has ended too.
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let waits = said.lines().find_map(|line| line.strip_prefix("waits=")).unwrap();
    if !waits.is_empty() {
        until("the one that waited ends", || !Path::new("/proc").join(waits).join("exe").exists());
    }
    output
}

#[test]
fn sysupgrade_stops_posgate_before_the_archive_and_starts_it_again_if_it_is_aborted() {
    for shell in shells() {
        let router = Router::new(&shell);
        router.recorder("etc/init.d/posgate");
        fs::remove_file(router.path("usr/bin/posgate")).unwrap();
        router.recorder("usr/bin/posgate");
        router.write("var/etc/posgate/posgate", "config server 'main'\n");
        let backup = ("CONF_BACKUP", "/tmp/backup.tgz");
        let restore = ("CONF_RESTORE", "/tmp/backup.tgz");
        let (stop, sync) = ("etc/init.d/posgate stop", "usr/bin/posgate ctl sync");
        let again = ["logger", "etc/init.d/posgate start"];
        let none: &[&str] = &[];
        for (environment, is_started, comm, before, after) in [
            (&[("CONF_BACKUP_LIST", "1")][..], true, "procd\n", None, none),
            (&[("CONF_BACKUP_LIST", "0"), backup], true, "procd\n", Some(sync), none),
            // The archive did not fit, or the image is none: sysupgrade ends, the router goes on.
            (&[("CONF_BACKUP_LIST", "0"), ("CONF_BACKUP", "")], true, "procd\n", Some(stop), &again),
            // The upgrade goes on: a sale now would be in no archive.
            (&[("CONF_BACKUP_LIST", "0")], true, "upgraded\n", Some(stop), none),
            // Whoever stopped it by hand does not find it started.
            (&[("CONF_BACKUP_LIST", "0")], false, "procd\n", None, none),
            // The backup is unpacked over what is there.
            (&[restore], true, "procd\n", Some(stop), &again),
            (&[restore], false, "procd\n", None, none),
        ] {
            sysupgrade(&router, environment, is_started, comm);
            let record = router.read("record");
            let calls: Vec<&str> = record.lines().collect();
            let place = calls.iter().position(|call| *call == "archive").unwrap();
            assert_eq!(place, usize::from(before.is_some()), "{environment:?} {calls:?}");
            assert!(before.is_none_or(|call| calls[0].starts_with(call)), "{environment:?} {calls:?}");
            let later = &calls[place + 1..];
            assert_eq!(later.len(), after.len(), "{environment:?} {calls:?}");
            assert!(later.iter().zip(after).all(|(call, start)| call.starts_with(start)), "{environment:?} {calls:?}");
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a wait that ends")]
fn a_server_that_hangs_holds_up_no_hook_longer_than_ctl_waits() {
    let router = Router::new(&shells()[0]);
    router.configure("\tlist listen '127.0.0.1:0'");
    router.init("start");
    let text = router.served().replace("; list bind_device 'lo'", "");
    router.write("var/etc/posgate/posgate", &text);
    let server = Command::new(router.path("usr/bin/posgate"))
        .args(["serve", "--config"])
        .arg(router.path("var/etc/posgate/posgate"))
        .stdout(Stdio::null())
        .spawn();
    let mut server = server.unwrap();
    let socket = router.path("var/run/posgate/ctl.sock");
    until("it serves", || UnixStream::connect(&socket).is_ok());
    let stopped = Command::new("kill").args(["-STOP", &server.id().to_string()]).status();
    assert!(stopped.unwrap().success());
    let begin = std::time::Instant::now();
    let ntp =
        router.command(router.path("etc/hotplug.d/ntp/90-posgate").to_str().unwrap()).env("ACTION", "step").spawn();
    router
        .write("backup", &format!(". '{}'\nposgate_before_archive\n", router.path("lib/upgrade/posgate.sh").display()));
    let mut backup = router.command(router.path("backup").to_str().unwrap());
    let backup = backup.env("CONF_BACKUP", "/tmp/backup.tgz").spawn();
    let status = router
        .command(router.path("etc/rc.common").to_str().unwrap())
        .arg(router.path("etc/init.d/posgate"))
        .arg("status_service")
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    for hook in [ntp, backup, status] {
        hook.unwrap().wait().unwrap();
    }
    let waited = begin.elapsed().as_secs();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!((9..14).contains(&waited), "{waited} s");
}

#[test]
fn a_backup_leaves_out_which_ledger_the_router_serves() {
    for shell in shells() {
        let router = Router::new(&shell);
        let hook = router.path("lib/upgrade/posgate.sh");
        let caller = router.path("sysupgrade");
        let list = router.path("tmp-list");
        let packed = router
            .rooted("/etc/posgate/cards.csv\n/etc/posgate/ledger/ledger-0000000001.tsv\n/etc/posgate/state/other\n");
        let own = router.rooted("/etc/posgate/state/identity\n/etc/posgate/state/identity.dir\n");
        fs::write(&list, format!("{own}{packed}")).unwrap();
        fs::write(
            &caller,
            format!("uci() {{ return 1; }}\n. '{}'\nposgate_leave_identity '{}'\n", hook.display(), list.display()),
        )
        .unwrap();
        let output = router.command(caller.to_str().unwrap()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(fs::read_to_string(&list).unwrap(), packed);
        // Nothing is left of it, and a list that is not there is no error.
        fs::write(
            &caller,
            format!(". '{}'\nposgate_leave_identity\nposgate_leave_identity /nowhere\n", hook.display()),
        )
        .unwrap();
        assert!(router.command(caller.to_str().unwrap()).output().unwrap().status.success());
    }
}

#[test]
fn a_first_start_makes_the_files_and_names_the_site_and_keeps_every_comment() {
    for shell in shells() {
        let router = Router::new(&shell);
        let run = || {
            router.write("record", "");
            let script = format!(". '{}'\n", router.path("lib/functions.sh").display());
            router.write("defaults", &(script + &router.read("etc/uci-defaults/90-posgate")));
            let output = router.command(router.path("defaults").to_str().unwrap()).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
            router.read("etc/config/posgate")
        };
        // A first installation: as packed, comments and all, with the site's line.
        fs::remove_file(router.path("etc/posgate/cards.csv")).unwrap();
        let packed = router.read("usr/share/posgate/posgate.config");
        let made = run();
        let line = "\toption site 'OpenWrt-0Abcde'\n";
        assert_eq!(made.replace(line, ""), packed);
        assert!(made.contains(&format!("config server 'main'\n{line}")), "{made}");
        for path in ["etc/config/posgate", "etc/posgate/cards.csv"] {
            let mode = fs::metadata(router.path(path)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o600, "{path} holds PINs: {mode:o}");
        }
        // What a person wrote stays, to the byte; uci, which would strip comments, writes nothing.
        let commits =
            || router.calls("uci").into_iter().filter(|call| call.starts_with("set") || call.starts_with("commit"));
        assert_eq!(run(), made);
        router.configure("\toption site 'mine'  # as on the door\n\toption identity '/etc/posgate/identity'");
        let mine = router.read("etc/config/posgate");
        assert_eq!(run(), mine);
        router.configure("# no site yet");
        let completed = run();
        let added = "\toption site 'OpenWrt-0Abcde'\n\toption identity '/etc/posgate/state/identity'\n";
        let added = router.rooted(added);
        assert_eq!(completed.replace(&added, ""), router.read("etc/config/posgate").replace(&added, ""));
        assert!(
            completed.contains(&format!("# the server\n{added}")) && completed.contains("# no site yet"),
            "{completed}"
        );
        assert_eq!(commits().count(), 0);
        // Where no line can be added, uci finds its way.
        router.write("etc/config/posgate", "config server main; option enabled 1\n");
        run();
        assert!(commits().any(|call| call == "set\tposgate.main.site=OpenWrt-0Abcde"));
        // opkg leaves this of a file that was an older package's and that a person changed.
        fs::remove_file(router.path("etc/config/posgate")).unwrap();
        router.write("etc/config/posgate-opkg.backup", &mine);
        assert_eq!(run(), mine);
        assert!(!router.path("etc/config/posgate-opkg.backup").exists());
    }
}

#[test]
fn the_time_servers_answer_wakes_posgate() {
    for shell in shells() {
        let router = Router::new(&shell);
        fs::remove_file(router.path("usr/bin/posgate")).unwrap();
        router.recorder("usr/bin/posgate");
        let run = |action: &str| {
            router.write("record", "");
            let file = router.path("etc/hotplug.d/ntp/90-posgate");
            let output = router.command(file.to_str().unwrap()).env("ACTION", action).output().unwrap();
            assert!(output.status.success());
            router.read("record")
        };
        assert_eq!(run("step"), "", "nothing is served");
        router.write("var/etc/posgate/posgate", "config server 'main'\n");
        for action in ["step", "stratum"] {
            assert!(run(action).starts_with("usr/bin/posgate ctl sync"));
        }
        assert_eq!(run("periodic"), "");
    }
}
