//! The upgrade hook, the first start's script and the time server's.

use super::*;

#[test]
fn sysupgrade_stops_posgate_before_the_archive_and_only_then() {
    for shell in shells() {
        let router = Router::new(&shell);
        router.recorder("etc/init.d/posgate");
        fs::remove_file(router.path("usr/bin/posgate")).unwrap();
        router.recorder("usr/bin/posgate");
        router.write("var/etc/posgate/posgate", "config server 'main'\n");
        // As sysupgrade: sources the hooks, and runs them all before it packs.
        let caller = router.path("sysupgrade");
        let hook = router.path("lib/upgrade/posgate.sh");
        let text = format!(
            "pidof() {{ return 1; }}\nsysupgrade_init_conffiles=add_conffiles\nadd_conffiles() {{ echo conffiles; }}\n\
             . '{}'\nfor hook in $sysupgrade_init_conffiles; do $hook /tmp/list; done\n",
            hook.display()
        );
        fs::write(&caller, text).unwrap();
        for (environment, expected) in [
            (vec![("CONF_BACKUP_LIST", "1")], None),
            (vec![("CONF_BACKUP_LIST", "0"), ("CONF_BACKUP", "/tmp/backup.tgz")], Some("usr/bin/posgate ctl sync")),
            (vec![("CONF_BACKUP_LIST", "0"), ("CONF_BACKUP", "")], Some("etc/init.d/posgate stop")),
        ] {
            router.write("record", "");
            let output = router.command(caller.to_str().unwrap()).envs(environment.clone()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(String::from_utf8_lossy(&output.stdout), "conffiles\n");
            let record = router.read("record");
            match expected {
                Some(call) => assert!(record.starts_with(call), "{environment:?} {record}"),
                None => assert_eq!(record, ""),
            }
        }
    }
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
fn the_site_is_named_once_after_host_and_hardware() {
    for shell in shells() {
        let router = Router::new(&shell);
        let stand_in = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openwrt/rc.common")).unwrap();
        let functions = stand_in.split("# ---------------------------------------------------------------- rc.common");
        let script = router.read("etc/uci-defaults/90-posgate");
        router.write("defaults", &format!("{}\n{script}", functions.clone().next().unwrap()));
        let run = || {
            router.write("record", "");
            let output = router.command(router.path("defaults").to_str().unwrap()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            router.calls("uci")
        };
        router.configure("");
        let calls = run();
        assert!(calls.contains(&"set\tposgate.main.site=OpenWrt-0Abcde".to_owned()), "{calls:?}");
        assert!(calls.contains(&"commit\tposgate".to_owned()));
        router.configure("\toption site 'mine'");
        assert!(run().iter().all(|call| !call.starts_with("set")));
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
