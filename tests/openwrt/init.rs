//! The init script.

use super::*;

fn on_each_shell(test: impl Fn(&Router)) {
    for shell in shells() {
        test(&Router::new(&shell));
    }
}

#[test]
fn a_service_that_is_disabled_has_no_instance() {
    on_each_shell(|router| {
        for enabled in ["0", "off", "nonsense"] {
            router.configure("");
            let text = router.read("etc/config/posgate").replace("enabled '1'", &format!("enabled '{enabled}'"));
            router.write("etc/config/posgate", &text);
            for action in ["start", "reload"] {
                assert!(router.init(action).status.success());
                assert!(!router.has_instance());
                // That is how procd learns that it has to stop what runs.
                assert_eq!(router.calls("close_service").len(), 1);
            }
        }
        // One that does not say is not enabled either.
        let text = router.read("etc/config/posgate").replace("\toption enabled 'nonsense'\n", "");
        assert!(!text.contains("enabled"));
        router.write("etc/config/posgate", &text);
        router.init("start");
        assert!(!router.has_instance());
        fs::remove_file(router.path("etc/config/posgate")).unwrap();
        router.init("start");
        assert!(!router.has_instance());
    });
}

#[test]
fn each_directory_that_the_service_writes_to_is_made_and_its_own() {
    on_each_shell(|router| {
        let root = router.dir.path().display().to_string();
        let places =
            ["var/run/control", "var/run/status", "var/run/metrics", "etc/posgate-state", "etc/posgate-ledger"];
        let lines = "\toption identity '/etc/posgate-state/identity'\n\toption metrics '/var/run/metrics/metrics'";
        router.configure(lines);
        let text = router.read("etc/config/posgate");
        let text = text.replace("/var/run/posgate/ctl.sock", "/var/run/control/ctl.sock");
        let text = text.replace("/var/run/posgate/status.json", "/var/run/status/status.json");
        router.write("etc/config/posgate", &text.replace("/etc/posgate/ledger", "/etc/posgate-ledger"));
        let output = router.init("start");
        assert!(router.has_instance(), "{}", String::from_utf8_lossy(&output.stderr));
        let owners = router.calls("chown");
        for place in places {
            let found = fs::metadata(router.path(place)).map(|found| found.permissions().mode() & 0o7777).ok();
            assert_eq!(found, Some(0o750), "{place}");
            assert!(owners.contains(&format!("posgate:posgate\t{root}/{place}")), "{place}: {owners:?}");
        }
    });
}

#[test]
fn the_file_as_packed_is_disabled_and_right_once_enabled() {
    on_each_shell(|router| {
        let packed = fs::read_to_string(deploy("openwrt/files/posgate.config")).unwrap();
        router.write("etc/config/posgate", &router.rooted(&packed));
        router.init("start");
        assert!(!router.has_instance());
        let empty = fs::read_to_string(deploy("openwrt/files/cards.csv")).unwrap();
        router.write("etc/posgate/cards.csv", &empty);
        let enabled = packed.replace("option enabled '0'", "option enabled '1'");
        router.write("etc/config/posgate", &router.rooted(&enabled));
        let output = router.init("start");
        assert!(router.has_instance(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(router.calls("logger"), Vec::<String>::new(), "no complaint");
    });
}

#[test]
fn an_instance_gets_what_it_needs_and_never_another_command_line() {
    on_each_shell(|router| {
        let root = router.dir.path().display().to_string();
        let command = format!("command\t{root}/usr/bin/posgate\tserve\t--config\t{root}/var/etc/posgate/posgate");
        for lines in ["", "\toption site 'other'", "\tlist listen '127.0.0.1:40000'\n\toption log 'debug'"] {
            router.configure(lines);
            let output = router.init("start");
            let params = router.calls("procd_set_param");
            assert!(params.contains(&command), "{params:?} {}", String::from_utf8_lossy(&output.stderr));
            for param in [
                format!("file\t{root}/var/etc/posgate/posgate\t{root}/etc/posgate/cards.csv"),
                "respawn\t3600\t5\t0".to_owned(),
                "reload_signal\tHUP".to_owned(),
                "netdev\tlo".to_owned(),
                "term_timeout\t15".to_owned(),
                "user\tposgate".to_owned(),
                "group\tposgate".to_owned(),
                "no_new_privs\t1".to_owned(),
                "stdout\t1".to_owned(),
                "stderr\t1".to_owned(),
            ] {
                assert!(params.contains(&param), "{param:?} in {params:?}");
            }
        }
        assert!(router.path("etc/posgate/ledger").is_dir() && router.path("var/run/posgate").is_dir());
        assert_eq!(router.calls("procd_add_reload_interface_trigger"), ["lan"]);
        assert_eq!(router.calls("procd_add_reload_trigger"), ["posgate\tsystem"]);
        assert_eq!(router.calls("procd_add_reload_mount_trigger"), [format!("{root}/etc/posgate/ledger")]);
    });
}

#[test]
fn the_copy_has_the_interfaces_device_and_the_routers_zone_on_the_lines_of_the_original() {
    on_each_shell(|router| {
        router.configure("\toption site 'a'");
        router.init("start");
        let (original, copy) = (router.read("etc/config/posgate"), router.served());
        assert_eq!(original.lines().count(), copy.lines().count());
        for (number, (before, after)) in original.lines().zip(copy.lines()).enumerate() {
            if number == 1 {
                assert_eq!(after, "config server 'main'; list bind_device 'lo'; option timezone '<+0330>-3:30'");
            } else {
                assert_eq!(before, after);
            }
        }
        // A zone of one's own stays.
        router.configure("\toption timezone 'CST-8'");
        router.init("start");
        assert!(!router.served().contains("0330"));
        // A network that nobody knows would leave the server open to all: it does not start.
        fs::remove_dir_all(router.path("var/etc")).unwrap();
        router.configure("\tlist interface 'guest'");
        router.init("start");
        assert!(!router.has_instance());
        assert!(router.read("record").contains("network 'guest' has no device"));
    });
}

#[test]
fn relative_paths_are_relative_to_the_file_that_a_person_edits() {
    on_each_shell(|router| {
        let root = router.dir.path().display().to_string();
        router
            .configure("\toption metrics 'state/metrics' # Prometheus\nconfig text\n\toption inquiry 'status metrics'");
        let text = router.read("etc/config/posgate");
        let text = text.replace(&format!("'{root}/etc/posgate/cards.csv'"), "../posgate/cards.csv");
        router.write("etc/config/posgate", &text.replace(&format!("'{root}/etc/posgate/ledger'"), "\"ledger\""));
        let output = router.init("start");
        assert!(router.has_instance(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(router.calls("logger"), Vec::<String>::new(), "no complaint");
        let served = router.served();
        for line in [
            format!("\toption cards {root}/etc/config/../posgate/cards.csv"),
            format!("\toption ledger_dir \"{root}/etc/config/ledger\""),
            format!("\toption metrics '{root}/etc/config/state/metrics' # Prometheus"),
            format!("\toption control '{root}/var/run/posgate/ctl.sock'"),
            "\toption inquiry 'status metrics'".to_owned(),
        ] {
            assert!(served.lines().any(|said| said == line), "{line} in {served}");
        }
        assert!(router.path("etc/config/ledger").is_dir() && router.path("etc/config/state").is_dir());
        assert!(!router.path("var/etc/posgate/ledger").exists(), "that is RAM");
    });
}

#[test]
fn a_wrong_option_on_reload_keeps_the_instance_and_names_its_line() {
    on_each_shell(|router| {
        router.configure("");
        router.init("start");
        let before = router.served();
        for wrong in [
            "\toption no_such_option '1'",
            "\toption log 'loud'",
            "\toption day_start '25:00'",
            "\toption segment_bytes 'many'",
            "\toption timezone 'Mars/Olympus'",
            "\tlist listen '300.0.0.1'",
            "\tlist allow '192.168.1.0/99'",
            "\toption cards '/etc/posgate/none.csv'",
            "\toption offline_max '1.234'",
            "\toption unknown_devices 'maybe'",
            "\toption site 'unclosed",
            "config nonsense",
        ] {
            router.configure(wrong);
            let output = router.init("reload");
            assert!(!output.status.success(), "{wrong}");
            assert_eq!(router.calls("open_service").len() + router.calls("kill").len(), 0, "{wrong}");
            assert_eq!(router.served(), before, "{wrong}");
            assert!(!router.path("var/etc/posgate/posgate.new").exists());
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("not reloaded") && !said.contains("posgate.new"), "{said}");
            if !wrong.contains("none.csv") && !wrong.contains("Mars") && !wrong.contains("unclosed") {
                let place = format!("{}:9:", router.path("etc/config/posgate").display());
                assert!(said.contains(&place), "{place} {said}");
            }
        }
        // Nor does a table that is wrong.
        router.configure("");
        router.write("etc/posgate/cards.csv", "card,balance\n12x,1\n");
        assert!(!router.init("reload").status.success());
        assert_eq!(router.calls("open_service").len(), 0);
    });
}

#[test]
fn a_wrong_configuration_at_a_start_is_left_to_posgate_which_has_a_good_copy() {
    on_each_shell(|router| {
        router.configure("\toption log 'loud'");
        router.init("start");
        assert!(router.has_instance());
        assert!(router.served().contains("loud"));
    });
}

#[test]
fn a_reload_is_a_signal_unless_it_takes_a_new_start() {
    on_each_shell(|router| {
        router.configure("");
        router.init("start");
        for (lines, kills) in [
            ("\toption log 'debug'", 0),
            ("\toption log 'debug'\nconfig device\n\toption machine '00001'\n\toption serial '1234567890'", 0),
            ("\toption log 'debug'", 0),
            ("\toption log 'debug'\n\tlist listen '0.0.0.0:39190'", 1),
            ("\toption log 'debug'\n\tlist listen '0.0.0.0:39190'", 0),
            ("\toption site 'b'", 1),
        ] {
            router.configure(lines);
            let output = router.init("reload");
            assert!(output.status.success(), "{lines} {}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(router.calls("kill").len(), kills, "{lines}");
            assert!(router.has_instance());
        }
    });
}

#[test]
fn shell_metacharacters_in_options_stay_data() {
    on_each_shell(|router| {
        // Told from what another run has left.
        let mark = format!("pwned{}", std::process::id());
        let evil =
            "$(touch pwned) `touch pwned` ; touch pwned # && touch pwned * ? \\ | & \\047 \"".replace("pwned", &mark);
        router.configure(&format!("config text\n\toption charge_ok '{evil}'"));
        let output = router.init("start");
        assert!(router.served().contains(&format!("option charge_ok '{evil}'")), "{}", router.served());
        assert!(router.has_instance(), "{}", String::from_utf8_lossy(&output.stderr));
        for option in ["site", "control", "metrics", "ledger_dir", "cards", "timezone", "x_own"] {
            // Below this root: the script makes the directories that it is told of.
            router.configure(&format!("\toption {option} '/tmp/{evil}'"));
            router.init("reload");
            router.init("start");
        }
        router.init("check");
        router.configure(&format!("\tlist interface '{evil}'"));
        router.init("start");
        router.configure("");
        router.write("etc/config/system", &format!("config system\n\toption timezone '{evil}'\n"));
        router.init("start");
        assert!(!router.served().contains("touch"), "a zone that is none is not handed over");
        assert!(!router.path(&mark).exists());
        // Once an option led out of this root, and the script made that directory in the root of the machine.
        for dir in [Path::new("/"), std::env::temp_dir().as_path()] {
            let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
            assert!(names.into_iter().all(|name| !name.to_string_lossy().contains(&mark)), "in {}", dir.display());
        }
    });
}

#[test]
fn a_root_that_is_being_built_is_left_alone() {
    on_each_shell(|router| {
        router.configure("");
        for action in ["start", "reload"] {
            let root = router.dir.path().to_str().unwrap().to_owned();
            router.init_with(action, &[("IPKG_INSTROOT", &root)]);
            assert!(!router.has_instance());
            assert!(!router.path("var").exists() && !router.path("etc/posgate/ledger").exists());
            assert_eq!(router.calls("procd_add_reload_trigger").len(), 0);
        }
    });
}

#[test]
fn the_jail_holds_directories_where_there_is_one() {
    on_each_shell(|router| {
        router.configure("\toption identity '/etc/posgate/state/identity'");
        router.init("start");
        assert_eq!(router.calls("procd_add_jail").len(), 0, "without ujail");
        router.recorder("sbin/ujail");
        router.init("start");
        let root = router.dir.path().display().to_string();
        let record = router.read("record");
        for line in [
            "procd_add_jail\tposgate\tlog\tprocfs\tsysfs".to_owned(),
            format!("procd_add_jail_mount\t{root}/var/etc/posgate\t{root}/etc/posgate"),
            format!(
                "procd_add_jail_mount_rw\t{root}/etc/posgate/ledger\t{root}/var/run/posgate\t{root}/var/run/posgate"
            ),
            format!("procd_add_jail_mount_rw\t{root}/etc/posgate/state"),
        ] {
            assert!(record.lines().any(|said| said == line), "{line:?} in {record}");
        }
    });
}

#[test]
fn a_ledger_on_a_disk_that_is_not_mounted_yet_is_waited_for() {
    on_each_shell(|router| {
        let root = router.dir.path().display().to_string();
        router.configure("");
        let text = router.read("etc/config/posgate").replace("/etc/posgate/ledger", "/mnt/usb/ledger");
        router.write("etc/config/posgate", &text);
        fs::create_dir_all(router.path("etc/mnt/usb")).unwrap();
        let disk = format!("{root}/mnt/usb");
        router.write("etc/config/fstab", &format!("config mount\n\toption target '{disk}/'\n\toption enabled '1'\n"));
        router.init("start");
        assert!(!router.has_instance());
        assert!(!router.path("mnt/usb/ledger").exists(), "no second ledger on the flash");
        assert!(router.read("record").contains(&format!("waiting for {disk}")));
        assert!(!router.init("reload").status.success());
        router.write("proc/mounts", &format!("overlay / overlay rw 0 0\n/dev/sda1 {disk} ext4 rw 0 0\n"));
        router.init("reload");
        assert!(router.has_instance());
        // One that is switched off is nothing to wait for.
        router.write("proc/mounts", "");
        router.write("etc/config/fstab", &format!("config mount\n\toption target '{disk}'\n\toption enabled '0'\n"));
        router.init("start");
        assert!(router.has_instance());
    });
}

#[test]
fn a_mount_that_does_not_say_whether_it_is_enabled_is_waited_for() {
    on_each_shell(|router| {
        let root = router.dir.path().display().to_string();
        router.configure("");
        let text = router.read("etc/config/posgate").replace("/etc/posgate/ledger", "/mnt/usb/ledger");
        router.write("etc/config/posgate", &text);
        let disk = format!("{root}/mnt/usb");
        for (section, waits) in [
            (format!("config mount\n\toption target '{disk}'\n"), true),
            (format!("config mount 'usb'\n\toption uuid 'x'\n\toption target '{disk}/'\n"), true),
            // Neither a mount of another place, nor one of none, nor a section of another type.
            (format!("config mount\n\toption target '{root}/mnt/us'\n"), false),
            ("config mount\n\toption uuid 'x'\n".to_owned(), false),
            (format!("config swap\n\toption target '{disk}'\n"), false),
        ] {
            router.write("etc/config/fstab", &section);
            router.init("start");
            assert_eq!(router.has_instance(), !waits, "{section}");
            assert_eq!(router.read("record").contains(&format!("waiting for {disk}")), waits, "{section}");
        }
    });
}

#[test]
fn what_holds_pins_and_money_is_readable_by_the_service_alone() {
    on_each_shell(|router| {
        router.configure("\toption metrics '/var/run/posgate-metrics/metrics'");
        router.write("etc/posgate/ledger/ledger-0000000001.tsv.torn", "");
        let text = router
            .read("etc/config/posgate")
            .replace("'/var/run/posgate-metrics", &format!("'{}/var/run/posgate-metrics", router.dir.path().display()));
        router.write("etc/config/posgate", &text);
        // As a careless hand, or a restored backup, may leave them.
        for (path, mode) in [("etc/posgate", 0o777), ("etc/posgate/cards.csv", 0o666), ("etc/posgate/ledger", 0o777)] {
            fs::set_permissions(router.path(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        router.init("start");
        let root = router.dir.path().display().to_string();
        let owners = router.calls("chown");
        for (path, mode, owner) in [
            ("etc/posgate", 0o750, "root:posgate"),
            ("etc/posgate/cards.csv", 0o640, "root:posgate"),
            ("etc/posgate/ledger", 0o750, "posgate:posgate"),
            ("var/run/posgate", 0o750, "posgate:posgate"),
            ("var/run/posgate-metrics", 0o750, "posgate:posgate"),
            ("var/etc/posgate", 0o750, "root:posgate"),
        ] {
            let found = fs::metadata(router.path(path)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(found, mode, "{path}: {found:o}");
            assert!(owners.contains(&format!("{owner}\t{root}/{path}")), "{path}: {owners:?}");
        }
        assert!(owners.contains(&format!("-R\tposgate:posgate\t{root}/etc/posgate/ledger")), "{owners:?}");
        let copy = fs::metadata(router.path("var/etc/posgate/posgate")).unwrap().permissions().mode() & 0o7777;
        assert_eq!(copy, 0o640, "it holds open_pin: {copy:o}");
        assert!(owners.contains(&format!("root:posgate\t{root}/var/etc/posgate/posgate.new")), "{owners:?}");
    });
}

#[test]
fn a_reload_is_not_refused_for_what_only_a_person_must_look_at() {
    on_each_shell(|router| {
        router.configure("\toption log 'info'");
        router.init("start");
        // A whole look finds no room there; what is served can be changed all the same.
        let text = router.read("etc/config/posgate");
        let root = router.dir.path().display().to_string();
        let text = text.replace(&format!("'{root}/etc/posgate/ledger'"), "'/proc/posgate/ledger'");
        router.write("etc/config/posgate", &text);
        let output = router.init("check");
        assert_eq!(output.status.code(), Some(74), "{}", String::from_utf8_lossy(&output.stdout));
        let quick = Command::new(env!("CARGO_BIN_EXE_posgate"))
            .args(["check", "--quick", "--config"])
            .arg(router.path("etc/config/posgate"))
            .output();
        let quick = quick.unwrap();
        let said = String::from_utf8_lossy(&quick.stderr).into_owned();
        assert!(!said.contains("bytes are free"), "{said}");
    });
}

#[test]
fn check_and_status_are_for_people() {
    on_each_shell(|router| {
        router.configure("");
        let output = router.init("check");
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("cards"));
        assert_eq!(router.calls("extra_command"), ["check"]);
        router.configure("\toption log 'loud'");
        let output = router.init("check");
        assert_eq!(output.status.code(), Some(78));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("etc/config/posgate:9:"), "{said}");
        assert_eq!(fs::read_dir(router.path("tmp")).unwrap().count(), 0);
    });
}
