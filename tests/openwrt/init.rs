//! The init script.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::*;

fn on_each_shell(test: impl Fn(&Router)) {
    for shell in shells() {
        test(&Router::new(&shell));
    }
}

#[test]
fn only_an_explicit_word_switches_the_service_off() {
    on_each_shell(|router| {
        for enabled in ["0", "off", "no", "false", "disabled"] {
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
        // A file that does not say is enabled, as docs/configuration.md has it.
        router.configure("");
        let text = router.read("etc/config/posgate").replace("\toption enabled '1'\n", "");
        assert!(!text.contains("enabled"));
        router.write("etc/config/posgate", &text);
        router.init("start");
        assert!(router.has_instance());
    });
}

/// Files that a slip of a hand, an editor or a power cut leaves, made of a right one: none switches
/// the server off, though `uci` finds no `enabled` in most of them.
fn typos(right: &str) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let with = |from: &str, to: &str| {
        assert!(right.contains(from), "{from}");
        Some(right.replacen(from, to, 1).into_bytes())
    };
    vec![
        ("unclosed name", with("config server 'main'", "config server 'main")),
        ("unclosed name at the start of the file", with("# a comment\nconfig server 'main'", "config server 'main")),
        ("unknown section", with("config server", "config serber")),
        ("unknown keyword of a section", with("config server", "confg server")),
        ("no Boolean", with("enabled '1'", "enabled 'yess'")),
        ("unclosed value", with("enabled '1'", "enabled '1")),
        ("unknown keyword", with("option enabled", "opton enabled")),
        ("unknown option", with("option enabled", "option enabeld")),
        ("unclosed double quote", with("enabled '1'", "enabled \"1")),
        ("empty", Some(Vec::new())),
        ("blanks only", Some(b"\n\n \n".to_vec())),
        ("NULs only", Some(vec![0; 64])),
        ("NULs in it", with("\toption enabled", "\0\0\0\toption enabled")),
        ("byte order mark", Some([b"\xEF\xBB\xBF".as_slice(), right.replace("# a comment\n", "").as_bytes()].concat())),
        ("UTF-16", Some(right.encode_utf16().flat_map(u16::to_le_bytes).collect())),
        ("cut in its first line", Some(b"conf".to_vec())),
        ("cut in its section's line", Some(b"# a comment\nconfig ser".to_vec())),
        ("its beginning is gone", Some(right.as_bytes()[right.find("erver 'main'").unwrap()..].to_vec())),
        ("gone", None),
        // uci gives these options to the server's section.
        (
            "unknown section keyword, then another's switch",
            Some(format!("{right}confg x_backup\n\toption enabled '0'\n").into()),
        ),
        (
            "no name for a section, then its switch",
            Some(format!("{right}config x_backup 'my-backup'\n\toption enabled '0'\n").into()),
        ),
        ("a bare config, then a switch", Some(format!("{right}config\n\toption enabled '0'\n").into())),
        ("two values", with("enabled '1'", "enabled '0' '1'")),
        ("said twice", with("\toption enabled '1'\n", "\toption enabled '1'\n\toption enabled '0'\n")),
        ("a list", with("option enabled '1'", "list enabled '0'")),
        (
            "off, with a typo elsewhere",
            Some(right.replace("enabled '1'", "enabled '0'").replace("\tlist interface", "\tlst interface").into()),
        ),
        // Its interfaces cannot be added, and without them it would hear all.
        ("two commands in a line", with("config server 'main'  # the server\n", "config server; ")),
        ("a network that is not there", with("interface 'lan'", "interface 'lna'")),
    ]
}

/// A router that serves, with the good copy that posgate keeps of what it took.
fn serving(router: &Router) -> String {
    router.configure("\tlist allow '127.0.0.0/8'");
    let output = router.init("start");
    assert!(router.has_instance(), "{}", String::from_utf8_lossy(&output.stderr));
    let good = router.served();
    router.write("etc/posgate/ledger/good/config", &good);
    router.write("etc/posgate/state/identity.dir", router.path("etc/posgate/ledger").to_str().unwrap());
    good
}

fn put(router: &Router, file: Option<&[u8]>) {
    let path = router.path("etc/config/posgate");
    match file {
        Some(bytes) => fs::write(path, bytes).unwrap(),
        None => fs::remove_file(path).unwrap(),
    }
}

#[test]
fn a_file_from_windows_keeps_its_interfaces() {
    on_each_shell(|router| {
        for named in [" 'main'  # the server", " main", "", "   "] {
            router.configure("");
            let text = router.read("etc/config/posgate").replace(" 'main'  # the server", named);
            router.write("etc/config/posgate", &text.replace('\n', "\r\n"));
            let output = router.init("start");
            assert!(router.has_instance(), "{named}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(router.served().contains("list bind_device 'lo'"), "{named}: {}", router.served());
        }
    });
}

#[test]
fn no_directory_of_the_systems_is_taken_over() {
    on_each_shell(|router| {
        let shared = |path: &str| {
            fs::create_dir_all(router.path(path)).unwrap();
            fs::set_permissions(router.path(path), fs::Permissions::from_mode(0o1777)).unwrap();
        };
        let mode = |path: &str| fs::metadata(router.path(path)).unwrap().permissions().mode() & 0o7777;
        for option in ["control", "status", "metrics", "identity"] {
            shared("tmp");
            router.configure("");
            let text = router.read("etc/config/posgate");
            let text: String =
                text.lines().filter(|line| !line.contains(option)).map(|line| format!("{line}\n")).collect();
            router.write(
                "etc/config/posgate",
                &router.rooted(&format!("{text}\toption {option} '/tmp/posgate.{option}'\n")),
            );
            router.init("start");
            assert!(router.has_instance(), "{option}");
            assert_eq!(mode("tmp"), 0o1777, "{option}");
            assert!(!router.calls("chown").iter().any(|call| call.ends_with("/tmp")), "{option}");
        }
        // Directories of this machine: the stand-in would not touch them either.
        for ledger in ["/", "/etc", "/tmp/", "/usr/lib", "/proc/posgate"] {
            router.configure("");
            let text = router.read("etc/config/posgate");
            let root = router.dir.path().display();
            router.write(
                "etc/config/posgate",
                &text.replace(&format!("'{root}/etc/posgate/ledger'"), &format!("'{ledger}'")),
            );
            router.init("start");
            assert!(!router.has_instance(), "{ledger}");
            assert!(router.calls("logger").join("\n").contains("is the system's"), "{ledger}");
            assert_eq!(router.calls("chown").iter().filter(|call| call.ends_with(&format!("\t{ledger}"))).count(), 0);
        }
    });
}

#[test]
fn a_typo_stops_no_server_that_runs() {
    on_each_shell(|router| {
        let good = serving(router);
        let right = router.read("etc/config/posgate");
        for (typo, file) in typos(&right) {
            put(router, file.as_deref());
            let output = router.init("reload");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success(), "{typo}");
            // procd is told nothing, so what runs goes on.
            assert_eq!(router.calls("open_service").len() + router.calls("kill").len(), 0, "{typo}");
            assert_eq!(router.served(), good, "{typo}");
            assert!(said.contains("not reloaded"), "{typo}: {said}");
            let reason = router.calls("logger").join("\n");
            let file = router.path("etc/config/posgate").display().to_string();
            assert!(reason.contains(&file), "{typo}: the log names the file and what is wrong: {reason}");
            router.write("etc/config/posgate", &right);
            assert!(router.init("reload").status.success(), "{typo}");
            assert!(router.has_instance(), "{typo}");
        }
    });
}

#[test]
fn a_typo_before_a_boot_leaves_the_good_copy_in_service() {
    on_each_shell(|router| {
        serving(router);
        router.jail();
        let root = router.dir.path().display().to_string();
        let right = router.read("etc/config/posgate");
        for (typo, file) in typos(&right) {
            put(router, file.as_deref());
            fs::remove_dir_all(router.path("var")).unwrap();
            let output = router.init("start");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(router.has_instance(), "{typo}: {said}");
            assert!(said.contains("the configuration is wrong"), "{typo}: {said}");
            let params = router.calls("procd_set_param");
            if file.is_none_or(|bytes| bytes.is_empty()) {
                // The good copy's, whose device was found in time.
                assert!(params.contains(&"netdev\tlo".to_owned()), "{typo}: {params:?}");
            }
            let mounts = router.calls("procd_add_jail_mount_rw");
            assert!(mounts[0].starts_with(&format!("{root}/etc/posgate/ledger\t{root}/var/run/posgate")), "{mounts:?}");
            assert_eq!(router.calls("procd_add_reload_trigger"), ["posgate\tsystem"], "{typo}");
        }
    });
}

#[test]
fn without_a_good_copy_the_log_says_why_nothing_starts() {
    on_each_shell(|router| {
        router.configure("");
        let right = router.read("etc/config/posgate");
        for (typo, file) in typos(&right) {
            put(router, file.as_deref());
            let _gone = fs::remove_dir_all(router.path("var"));
            router.init("start");
            let log = router.calls("logger").join("\n");
            // What uci can read, posgate judges: it ends with 78 and is tried again.
            assert!(router.has_instance() || log.contains("no good copy to serve"), "{typo}: {log}");
            assert!(log.contains(&router.path("etc/config/posgate").display().to_string()), "{typo}: {log}");
            // Once it is right, a reload starts it.
            router.write("etc/config/posgate", &right);
            assert!(router.init("reload").status.success(), "{typo}");
            assert!(router.has_instance(), "{typo}");
        }
    });
}

#[test]
fn the_good_copy_of_a_ledger_on_a_disk_is_waited_for_and_served() {
    on_each_shell(|router| {
        let root = router.dir.path().display().to_string();
        router.configure("");
        let right = router.read("etc/config/posgate").replace("/etc/posgate/ledger", "/mnt/usb/ledger");
        router.write("etc/config/posgate", &right);
        router.init("start");
        router.write("mnt/usb/ledger/good/config", &router.served());
        router.write("etc/posgate/state/identity.dir", &format!("{root}/mnt/usb/ledger"));
        for wrong in [
            "conf".to_owned(),
            format!("{right}\toption log 'loud'\n"),
            right.replace("option ledger_dir", "opton ledger_dir"),
        ] {
            router.write("etc/config/posgate", &wrong);
            router.write("proc/mounts", "overlay / overlay rw 0 0\n");
            let disk = format!("{root}/mnt/usb");
            router.write("etc/config/fstab", &format!("config mount\n\toption target '{disk}'\n"));
            fs::remove_dir_all(router.path("var")).unwrap();
            router.init("start");
            assert!(!router.has_instance(), "{wrong}");
            assert!(router.read("record").contains(&format!("waiting for {disk}")), "{wrong}");
            let triggers = router.calls("procd_add_reload_mount_trigger");
            let waits =
                triggers.iter().flat_map(|trigger| trigger.split('\t')).any(|dir| dir == format!("{disk}/ledger"));
            assert!(waits, "{wrong}: {triggers:?}");
            router.write("proc/mounts", &format!("/dev/sda1 {disk} ext4 rw 0 0\n"));
            // procd's trigger, once the disk is there.
            router.init("reload");
            assert!(router.has_instance(), "{wrong}: {}", router.read("record"));
            assert!(!router.path("etc/posgate/ledger").exists(), "{wrong}: no second ledger on the flash");
        }
    });
}

#[test]
fn a_zone_of_the_routers_that_posgate_cannot_read_is_a_warning() {
    on_each_shell(|router| {
        for zone in ["Mars/Olympus", "Mars/Olympus_Mons", "sometime soon", "EET-2EEST,M3.4.4/900,M10.4.4/50"] {
            router.write("etc/config/system", &format!("config system\n\toption timezone '{zone}'\n"));
            for action in ["start", "reload"] {
                router.configure("");
                let output = router.init(action);
                assert!(output.status.success() && router.has_instance(), "{zone} {action}");
                assert!(!router.served().contains("option timezone"), "{zone}: {}", router.served());
                let said = router.calls("logger").join("\n");
                assert!(said.contains(&format!("cannot read this router's time zone '{zone}'")), "{said}");
                let errors: Vec<&str> = said.lines().filter(|line| line.contains("daemon.err")).collect();
                assert!(errors.is_empty(), "{said}");
                // A person who asks is told the same.
                let checked = router.init("check");
                let said = String::from_utf8_lossy(&checked.stdout).into_owned();
                assert!(checked.status.success() && !said.contains("Mars"), "{zone}: {said}");
            }
            // With something else that is wrong, that alone is said.
            router.configure("\toption log 'loud'");
            let said = router.init("reload");
            let said = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(said.contains(":9:") && said.contains("not reloaded"), "{said}");
            assert!(
                !router.calls("logger").iter().any(|line| line.contains("daemon.err") && line.contains(zone)),
                "{said}"
            );
        }
        // LuCI's for Jerusalem, Gaza and Nuuk.
        for zone in ["IST-2IDT,M3.4.4/26,M10.5.0", "EET-2EEST,M3.4.4/50,M10.4.4/50", "<-02>2<-01>,M3.5.0/-1,M10.5.0/0"]
        {
            router.write("etc/config/system", &format!("config system\n\toption timezone '{zone}'\n"));
            router.configure("");
            assert!(router.init("start").status.success());
            assert!(router.served().contains(&format!("option timezone '{zone}'")), "{}", router.served());
            assert_eq!(router.calls("logger"), Vec::<String>::new());
        }
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
        // posgate may take this file, with the good copy of the cards: it keeps the router's zone.
        router.configure("");
        router.write("etc/posgate/cards.csv", "card,balance\n12x,1\n");
        router.init("start");
        assert!(router.served().contains("option timezone '<+0330>-3:30'"), "{}", router.served());
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

/// Serves once what the init script has prepared, so that there is a ledger.
fn serve_once(router: &Router) {
    let mut command = Command::new(router.path("usr/bin/posgate"));
    command.args(["serve", "--config"]).arg(router.path("var/etc/posgate/posgate"));
    let mut server = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line.starts_with("serving ")), "it serves");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(server.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(server.wait().unwrap().success());
}

#[test]
fn a_ledger_moves_to_a_stick_in_one_command_between_a_stop_and_a_start() {
    on_each_shell(|router| {
        router.configure("\toption identity '/etc/posgate/state/identity'  # in no backup");
        let text = router.read("etc/config/posgate");
        let text = text.replace("\tlist interface 'lan'\n", "\tlist listen '127.0.0.1:0'\n");
        let text = text.replace("/etc/posgate/ledger'", "/etc/posgate/ledger'   # on the flash: 账本");
        router.write("etc/config/posgate", &text);
        fs::set_permissions(router.path("etc/config/posgate"), fs::Permissions::from_mode(0o600)).unwrap();
        router.recorder("sbin/ujail");
        router.init("start");
        serve_once(router);
        let was = router.path("etc/posgate/ledger");
        let now = router.path("mnt/sda1/posgate");
        fs::create_dir_all(router.path("mnt/sda1")).unwrap();
        // As the guide had it once: the option alone. What runs keeps its ledger.
        let named = text.replace(was.to_str().unwrap(), now.to_str().unwrap());
        router.write("etc/config/posgate", &named);
        let served = router.served();
        for copied in [false, true] {
            if copied {
                // A copy that was made beside the running server is an older one.
                assert!(Command::new("cp").arg("-a").arg(&was).arg(&now).status().unwrap().success());
            }
            let output = router.init("reload");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && said.contains("not reloaded"), "{said}");
            let remedy = format!("posgate ledger move {}", now.display());
            assert!(router.calls("logger").join("\n").contains(&remedy), "{said}");
            assert_eq!((router.calls("kill").len(), router.served()), (0, served.clone()));
        }
        fs::remove_dir_all(&now).unwrap();
        router.write("etc/config/posgate", &text);
        // stop; move; start.
        router.init("stop");
        let mut moves = Command::new(router.path("usr/bin/posgate"));
        moves.args(["ledger", "move"]).arg(&now).env("POSGATE_CONFIG", router.path("etc/config/posgate"));
        let output = moves.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(router.read("etc/config/posgate"), named, "one value, and every comment");
        let mode = fs::metadata(router.path("etc/config/posgate")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(fs::read_dir(router.path("etc/config")).unwrap().count(), 2, "each file there is a configuration");
        let output = router.init("start");
        assert!(router.has_instance(), "{}", String::from_utf8_lossy(&output.stderr));
        // The jail and the owner follow.
        assert!(router.calls("procd_add_jail_mount_rw")[0].contains(now.to_str().unwrap()));
        assert!(
            router.calls("chown").iter().any(|call| call.starts_with("-R") && call.ends_with(now.to_str().unwrap()))
        );
        assert!(!router.calls("procd_add_jail_mount_rw")[0].contains(was.to_str().unwrap()));
        serve_once(router);
        assert!(router.init("reload").status.success());
        assert_eq!(router.calls("kill").len(), 0, "nothing has changed since");
        // A typo finds the good copy there, and a boot waits for the stick.
        router.write("etc/config/posgate", "");
        router.init("start");
        assert!(router.has_instance() && router.calls("procd_add_jail_mount_rw")[0].contains(now.to_str().unwrap()));
        router.write("etc/config/posgate", &named);
        let stick = router.path("mnt/sda1").display().to_string();
        router.write("etc/config/fstab", &format!("config mount\n\toption target '{stick}'\n"));
        router.init("start");
        assert!(!router.has_instance() && router.calls("logger").join("\n").contains("waiting for"));
        // A backup of the configuration comes back: the ledger on the flash is not served.
        fs::remove_file(router.path("etc/config/fstab")).unwrap();
        router.write("etc/config/posgate", &text);
        let output = router.init("reload");
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(router.calls("logger").join("\n").contains(&format!("the ledger is in '{}'", now.display())));
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
        // Once an option led out of this root, and the script made that directory in the root of
        // the machine.
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
        router.jail();
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
fn a_check_is_made_with_the_servers_view_of_the_file_system() {
    on_each_shell(|router| {
        router.configure("\toption identity '/etc/posgate/state/identity'\n\toption metrics '/var/run/metrics/m'");
        router.jail();
        router.init("start");
        let words = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
        let jail = words(&router.calls("ujail")[0]);
        let (options, command) = jail.split_at(jail.iter().position(|word| word == "--").unwrap());
        assert_eq!(command[1..4], [router.path("usr/bin/posgate").to_str().unwrap(), "check", "--quick"]);
        assert!(options.windows(2).any(|pair| pair == ["-U", "posgate"]), "{options:?}");
        let shown = |option: &str| {
            let pairs = options.windows(2).filter(|pair| pair[0] == option);
            pairs.map(|pair| pair[1].clone()).collect::<std::collections::BTreeSet<_>>()
        };
        let of_server = |call: &str| {
            let record = router.read("record");
            let calls = record.lines().filter_map(|line| line.strip_prefix(call));
            calls.flat_map(words).filter(|word| !word.is_empty()).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(shown("-r"), of_server("procd_add_jail_mount\t"));
        assert_eq!(shown("-w"), of_server("procd_add_jail_mount_rw\t"));
        // A person's check too, which says nothing of the jail's own.
        let jail = fs::read_to_string(router.path("sbin/ujail")).unwrap();
        write_script(
            router.path("sbin/ujail"),
            &jail
                .replace("exec \"$@\"", "\"$@\"\ncode=$?\necho \"jail: jail (7) exited with exit: $code\"\nexit $code"),
        );
        let output = router.init("check");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("accounts=1") && !said.contains("jail"), "{said}");
        // Where the server would fail, so does a reload; what runs goes on.
        let before = router.served();
        router.configure("\toption log 'debug'");
        write_script(router.path("sbin/ujail"), "#!/bin/sh\necho cards.csv: not in the jail >&2\nexit 78\n");
        let output = router.init("reload");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains("not in the jail") && said.contains("not reloaded"),
            "{said}"
        );
        assert_eq!((router.has_instance(), router.served()), (false, before));
        // A jail that cannot be made is no reason.
        write_script(router.path("sbin/ujail"), "#!/bin/sh\necho jail: Connection to ubus failed >&2\nexit 255\n");
        assert!(router.init("reload").status.success());
        assert!(router.has_instance());
        // A directory that the jail of the running one does not show takes a new start.
        router.configure("\toption log 'debug'\n\toption metrics '/var/run/other/m'");
        router.init("reload");
        assert_eq!(router.calls("kill").len(), 1);
    });
}

#[test]
fn a_check_is_made_by_the_servers_user() {
    let router = Router::new(&["busybox", "ash"]);
    let busybox = Command::new("sh").args(["-c", "command -v busybox"]).output().unwrap();
    let busybox = String::from_utf8(busybox.stdout).unwrap();
    if busybox.is_empty() || !nix::unistd::Uid::effective().is_root() {
        return not_run("a check by another user: it takes root and busybox");
    }
    symlink(busybox.trim(), router.path("sbin/start-stop-daemon")).unwrap();
    let script = router.path("etc/init.d/posgate");
    let text = fs::read_to_string(&script).unwrap();
    fs::write(&script, text.replace("OWNER=posgate\n", "OWNER=nobody\n").replace("$OWNER:$OWNER\" -x", "$OWNER\" -x"))
        .unwrap();
    // The program too must be in that user's reach.
    fs::remove_file(router.path("usr/bin/posgate")).unwrap();
    program::copy_program(env!("CARGO_BIN_EXE_posgate"), router.path("usr/bin/posgate"));
    fs::set_permissions(router.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let reaches = |path: &str, mode: u32| fs::set_permissions(router.path(path), fs::Permissions::from_mode(mode));
    router.configure("\toption log 'debug'");
    let reload = |mode: u32| {
        router.init("start");
        // chown is a stand-in: others may read, in the place of the group.
        for path in ["etc/posgate", "etc/posgate/ledger", "var/etc/posgate"] {
            reaches(path, 0o755).unwrap();
        }
        let text = router.read("lib/functions.sh").replace("command chmod \"$@\"", "command chmod o+rX \"$2\"");
        fs::write(router.path("lib/functions.sh"), text).unwrap();
        router.write("etc/private/cards.csv", "card,balance\n8888888801,10.00\n");
        reaches("etc/private", mode).unwrap();
        router.init("reload")
    };
    let text = router.read("etc/config/posgate").replace("etc/posgate/cards.csv", "etc/private/cards.csv");
    let output = reload(0o755);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    router.write("etc/config/posgate", &text);
    let output = reload(0o700);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("Permission denied") && said.contains("not reloaded"), "{said}");
    let output = reload(0o755);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
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
        assert_eq!(router.calls("extra_command"), ["check", "leave"]);
        router.configure("\toption log 'loud'");
        let output = router.init("check");
        assert_eq!(output.status.code(), Some(78));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("etc/config/posgate:9:"), "{said}");
        assert_eq!(fs::read_dir(router.path("tmp")).unwrap().count(), 0);
    });
}

/// Runs `posgate serve` with this root's `/etc` and `/mnt` in the place of the machine's, until it
/// serves; what it said.
fn serve_in(router: &Router) -> Option<String> {
    let root = router.dir.path().display();
    let script = format!(
        "mount --bind '{root}/etc' /etc && mount --bind '{root}/mnt' /mnt && exec '{}' serve --config /etc/config/posgate",
        env!("CARGO_BIN_EXE_posgate")
    );
    let mut child = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut said = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        said.push_str(&line);
        said.push('\n');
        if line.contains("serving site=") {
            break;
        }
    }
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_forbidden = errors.contains("unshare") || errors.contains("mount:");
    (!is_forbidden).then(|| said + &errors)
}

#[test]
fn the_good_copy_is_found_where_the_ledger_was_served_last() {
    let router = Router::new(&shells()[0]);
    let root = router.dir.path().display().to_string();
    router.write("etc/posgate/cards.csv", "card,balance\n8888888801,10.00\n");
    fs::create_dir_all(router.path("etc/posgate/state")).unwrap();
    fs::create_dir_all(router.path("mnt")).unwrap();
    // Neither beside the configuration nor in the default directory.
    let right = format!(
        "config server 'main'\n\toption enabled '1'\n\toption ledger_dir '/mnt/ledger'\n\toption identity '/etc/posgate/state/identity'\n\
         \tlist listen '127.0.0.1:0'\n\toption control '{root}/ctl.sock'\n\toption status '{root}/status.json'\n"
    );
    router.write("etc/config/posgate", &right);
    let Some(said) = serve_in(&router) else {
        return not_run("the good copy of a ledger elsewhere: no mount namespace");
    };
    assert!(said.contains("good-copy path=/mnt/ledger/good/config"), "{said}");
    for file in [Some("config serber"), Some(""), Some("config server 'main"), None] {
        put(&router, file.map(str::as_bytes));
        let said = serve_in(&router).unwrap();
        assert!(said.contains("degraded serving=\"/mnt/ledger/good/config\""), "{file:?}: {said}");
        assert!(said.contains("serving site=") && said.contains("ledger=/mnt/ledger"), "{file:?}: {said}");
    }
}
