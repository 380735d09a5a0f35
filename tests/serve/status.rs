//! The status and metrics files, read as other programs do: with a JSON parser, and a strict reader
//! of Prometheus' text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use posgate::engine::model::{Reason, Stamp, Wall};
use posgate::engine::server::Counters;
use posgate::files::zone::Zone;
use tinyjson::JsonValue;

use crate::harness::{DEVICE_TIME, Device, PATIENCE, Server, Site, card};
use crate::not_run::not_run;

const METRICS: &str = "\toption metrics 'out/posgate.prom'\n";

fn parse(text: &str) -> JsonValue {
    assert_eq!(text.matches('\n').count(), 1, "one line: {text}");
    text.parse().unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn status(site: &Site) -> JsonValue {
    parse(&fs::read_to_string(site.path("status.json")).expect("a status file"))
}

/// The value at a path such as `ledger.seq`.
#[track_caller]
fn at<'a>(status: &'a JsonValue, path: &str) -> &'a JsonValue {
    path.split('.').fold(status, |value, key| {
        value
            .get::<std::collections::HashMap<String, JsonValue>>()
            .and_then(|map| map.get(key))
            .unwrap_or_else(|| panic!("no {path}: {}", status.stringify().unwrap()))
    })
}

#[track_caller]
pub fn number(status: &JsonValue, path: &str) -> i64 {
    let number = *at(status, path).get::<f64>().unwrap_or_else(|| panic!("{path} is no number"));
    assert!(number.fract() == 0.0, "{path} is {number}");
    number as i64
}

#[track_caller]
fn text<'a>(status: &'a JsonValue, path: &str) -> &'a str {
    at(status, path).get::<String>().unwrap_or_else(|| panic!("{path} is no text"))
}

#[track_caller]
fn flag(status: &JsonValue, path: &str) -> bool {
    *at(status, path).get::<bool>().unwrap_or_else(|| panic!("{path} is no flag"))
}

fn devices(status: &JsonValue) -> &[JsonValue] {
    at(status, "device_list").get::<Vec<JsonValue>>().expect("a list")
}

/// Waits until the file meets the condition.
#[track_caller]
pub fn wait_until(site: &Site, what: &str, says: impl Fn(&JsonValue) -> bool) -> JsonValue {
    let step = Duration::from_millis(20);
    let steps = PATIENCE.as_millis() / step.as_millis();
    for _ in 0..steps {
        let status = status(site);
        if says(&status) {
            return status;
        }
        std::thread::sleep(step);
    }
    panic!("it never says {what}: {}", status(site).stringify().unwrap());
}

#[track_caller]
pub fn count(status: &JsonValue, name: &str) -> i64 {
    number(status, &format!("counters.{name}"))
}

/// The paths of all values; a value in a list has the list's path.
fn leaves(value: &JsonValue, path: &str, into: &mut BTreeSet<String>) {
    match value {
        JsonValue::Object(map) => {
            for (key, value) in map {
                leaves(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, into);
            }
        }
        JsonValue::Array(list) if list.iter().any(JsonValue::is_object) => {
            for value in list {
                leaves(value, path, into);
            }
        }
        _ => drop(into.insert(path.to_owned())),
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the devices' clocks go as the machine's does, in another zone")]
fn a_wrong_zone_is_reported_to_the_minute() {
    let site = Site::new();
    let server = site.start();
    // Devices with India's time at a server with China's zone.
    let india = Zone::from_posix("IST-5:30").unwrap();
    for machine in [2, 3] {
        let mut device = Device::new(machine, &server);
        let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        let time = india.stamp(Wall(now_ms.try_into().unwrap())).civil();
        let frame = device.frame("101", &time.to_string());
        device.send(frame);
        device.hear("001");
    }
    server.wait_for_trouble("zone wrong by -02:30: 2 devices agree on it");
    wait_until(&site, "how wrong the zone is", |status| number(status, "clock.zone_error_s") == -9000);
    server.stop();
}

fn is_the_first_pid_namespace() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link == std::path::Path::new("pid:[4026531836]"))
}

#[test]
fn inside_a_jail_no_number_of_another_process_is_said() {
    let site = Site::new();
    let mut jailed = Command::new("unshare");
    jailed.args(["--pid", "--fork", "--kill-child", "--mount-proc", env!("CARGO_BIN_EXE_posgate")]);
    let jailed = jailed.args(["serve", "--config"]).arg(site.path("posgate")).stdout(Stdio::piped()).spawn();
    let mut jailed = jailed.unwrap();
    let mut said = String::new();
    BufReader::new(jailed.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.contains("serving site="))
        .for_each(|line| said.push_str(&line));
    let status = fs::read_to_string(site.path("status.json")).ok();
    jailed.kill().unwrap();
    jailed.wait().unwrap();
    let Some(status) = status else {
        return not_run(&format!("the pid of a server in a jail: no pid namespace ({said})"));
    };
    let status: JsonValue = status.parse().unwrap();
    assert!(flag(&status, "running") && at(&status, "pid").is_null());
}

#[test]
fn the_file_is_there_from_the_start_and_follows_a_sale_within_about_a_second() {
    let site = Site::new();
    let server = site.start();
    server.wait_for("serving site=");
    let first = status(&site);
    assert!(flag(&first, "running"));
    // In a namespace of its own, such as a container's, the test sees numbers that the machine does
    // not.
    if is_the_first_pid_namespace() {
        assert_eq!(number(&first, "pid"), i64::from(server.pid()));
    }
    assert_eq!((text(&first, "site"), text(&first, "room.state")), ("site1", "open"));
    assert_eq!((text(&first, "clock.state"), number(&first, "cards.count")), ("ok", 12));
    assert!(at(&first, "room.days_until_full").is_null(), "not known on the first day");

    let mut device = Device::new(2, &server);
    device.pay(&card(1), "1.00");
    let frame = device.charge("7777777777", "1.00");
    device.ask(&frame, "006");
    let sold = wait_until(&site, "a sale and a refusal", |status| count(status, "declined") > 0);
    assert_eq!((count(&sold, "approved"), number(&sold, "reasons.unknown-card")), (1, 1));
    assert_eq!(number(&sold, "devices.seen"), 1);
    let listed = &devices(&sold)[0];
    assert_eq!((text(listed, "machine"), text(listed, "serial")), ("00002", "1000000002"));
    assert_eq!(text(listed, "address"), device.address.to_string());
    assert_eq!((number(listed, "frames"), number(listed, "approved"), number(listed, "refused")), (2, 1, 1));
    assert_eq!(number(listed, "in_doubt"), 1);
    assert!(number(listed, "clock_offset_s") < -86_400, "the device's clock is far behind");
    let charge = Stamp::parse(site.ledger().only("charge").raw("time")).unwrap();
    let written = Stamp::parse(text(&sold, "written")).unwrap();
    let late_ms = written.wall.0 - charge.wall.0;
    assert!((900..5000).contains(&late_ms), "{late_ms} ms after the sale");
    let seen = Stamp::parse(text(listed, "last_seen")).unwrap();
    assert!((0..1000).contains(&(seen.wall.0 - charge.wall.0)));

    server.stop();
    let last = status(&site);
    assert!(!flag(&last, "running") && at(&last, "pid").is_null(), "the last word of a clean stop");
    assert_eq!(number(&last, "ledger.seq").to_string(), site.ledger().only("stop").raw("seq"));
    assert!(!site.path("status.json.tmp").exists());
}

#[test]
fn every_counter_and_reason_is_named_and_every_field_is_in_both_manuals() {
    let site = Site::with("", "config device\n\toption machine '9'\n\toption name 'a \"b\" \\ 张'\n");
    let server = site.start();
    Device::new(2, &server).pay(&card(1), "1.00");
    let status = wait_until(&site, "a sale", |status| count(status, "approved") > 0);
    for (name, _) in Counters::default().all() {
        count(&status, name);
    }
    // Linux reports dropped datagrams since 4.12.
    assert_eq!(
        (count(&status, "kernel_dropped"), count(&status, "unsent"), count(&status, "status_failed")),
        (0, 0, 0)
    );
    for reason in Reason::ALL {
        number(&status, &format!("reasons.{}", reason.word()));
    }
    let name = devices(&status).iter().find(|device| flag(device, "registered")).map(|device| text(device, "name"));
    assert_eq!(name, Some("a \"b\" \\ 张"));
    let mut paths = BTreeSet::new();
    leaves(&status, "", &mut paths);
    for readme in ["docs/control-socket-and-status.md", "docs/zh/control-socket-and-status.md"] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(readme);
        let readme_text = fs::read_to_string(path).unwrap();
        let told: BTreeSet<&str> = readme_text
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(path, _)| path))
            .collect();
        for path in paths.iter().filter(|path| !path.starts_with("reasons.")) {
            assert!(told.contains(path.as_str()), "{readme} has no row for `{path}`");
        }
        for path in told.iter().filter(|path| path.starts_with("counters.") || path.starts_with("device_list.")) {
            assert!(paths.contains(*path), "{readme} tells of `{path}`, which is not there");
        }
    }
    // Another parser checks it too, if there is one.
    let script = "import json, sys; json.loads(sys.stdin.read(), object_pairs_hook=lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else sys.exit('a key twice'))";
    let file = fs::File::open(site.path("status.json")).unwrap();
    match Command::new("python3").args(["-c", script]).stdin(file).status() {
        Ok(status) => assert!(status.success()),
        Err(error) => not_run(&format!("python3: {error}")),
    }
    server.stop();
}

#[test]
fn an_idle_server_neither_writes_nor_wakes() {
    let site = Site::with(METRICS, "");
    let server = site.start();
    let mut device = Device::new(2, &server);
    device.pay(&card(1), "1.00");
    device.confirm();
    wait_until(&site, "that the confirmation is synced", |status| {
        count(status, "confirmed") > 0 && number(status, "ledger.unsynced_bytes") == 0
    });
    let stand = || {
        let switches = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let switches = switches.lines().find(|line| line.starts_with("voluntary")).unwrap().to_owned();
        let file =
            |name| fs::metadata(site.path(name)).map(|file| (file.ino(), file.mtime(), file.mtime_nsec())).unwrap();
        (switches, file("status.json"), file("out/posgate.prom"))
    };
    // The metrics come after the status.
    std::thread::sleep(Duration::from_millis(200));
    let before = stand();
    // Nothing must happen, so there is no event to wait for: this waits twice as long as a change
    // takes to be written.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(stand(), before);
    // A change is still written.
    device.pay(&card(1), "1.00");
    wait_until(&site, "the next sale", |status| count(status, "approved") > 1);
    assert_ne!(stand().1, before.1);
    server.stop();
}

#[test]
fn a_path_that_cannot_be_written_is_warned_about_once_and_counted_and_sales_go_on() {
    let site = Site::with(METRICS, "");
    let config = fs::read_to_string(site.path("posgate")).unwrap();
    site.write("posgate", &config.replace("'status.json'", "'cards.csv/status.json'"));
    let server = site.start();
    server.wait_for_trouble("status-failed path=");
    let mut device = Device::new(2, &server);
    let failures = || metrics(&site).get("posgate_status_failed_total").copied().unwrap_or_default();
    for _ in 0..3 {
        let before = failures();
        device.pay(&card(1), "1.00");
        wait_for(|| failures() > before);
    }
    let ended = server.stop();
    assert_eq!(ended.err.matches("status-failed").count(), 1, "{}", ended.err);
}

#[test]
fn a_file_in_the_place_of_the_temporary_file_is_not_written_to() {
    let site = Site::new();
    nix::unistd::mkfifo(&site.path("status.json.tmp"), Mode::S_IRWXU).unwrap();
    let server = site.start();
    server.wait_for("serving site=");
    assert!(flag(&status(&site), "running"), "a pipe that nobody reads would hold the server up");
    std::os::unix::fs::symlink(site.path("cards.csv"), site.path("status.json.tmp")).unwrap();
    Device::new(2, &server).pay(&card(1), "1.00");
    wait_until(&site, "a sale", |status| count(status, "approved") > 0);
    assert!(fs::read_to_string(site.path("cards.csv")).unwrap().starts_with("card,"));
    server.stop();
}

#[test]
fn a_start_computes_the_growth_from_the_segments_headers() {
    let site = Site::new();
    let server = site.start();
    Device::new(2, &server).pay(&card(1), "1.00");
    server.stop();
    // As if the ledger were ten days old; no crc covers the header.
    let mut bytes = fs::read(site.segment()).unwrap();
    let created = site.ledger().header["created"].clone();
    let mut stamp = Stamp::parse(&created).unwrap();
    stamp.wall.0 -= 10 * 86_400_000;
    let at = bytes.windows(created.len()).position(|window| window == created.as_bytes()).unwrap();
    bytes[at..at + created.len()].copy_from_slice(stamp.to_string().as_bytes());
    fs::write(site.segment(), &bytes).unwrap();
    let server = site.start();
    server.wait_for("serving site=");
    let status = status(&site);
    let (bytes_a_day, len) = (number(&status, "ledger.bytes_a_day"), number(&status, "ledger.bytes"));
    assert!((len / 10 - 1..=len / 10).contains(&bytes_a_day), "{bytes_a_day} of {len} in ten days");
    let left = number(&status, "room.free_bytes") - number(&status, "room.reserve_bytes");
    assert_eq!(number(&status, "room.days_until_full"), left / bytes_a_day);
    server.stop();
}

#[test]
fn datagrams_that_the_kernel_dropped_are_counted() {
    const SENT: i64 = 20_000;
    let site = Site::new();
    let server = site.start();
    let device = Device::new(2, &server);
    // More datagrams than any buffer holds come while nobody reads.
    server.signal(Signal::SIGSTOP);
    for _ in 0..SENT {
        device.send([b'x'; 900]);
    }
    server.signal(Signal::SIGCONT);
    let arrived = |status: &JsonValue| count(status, "received") + count(status, "kernel_dropped");
    let status = wait_until(&site, "every datagram", |status| arrived(status) >= SENT);
    assert_eq!(arrived(&status), SENT);
    assert!(count(&status, "kernel_dropped") > 0 && count(&status, "received") > 0);
    server.stop();
}

#[test]
fn status_shows_mute_devices_good_copies_and_the_last_trouble() {
    let site = Site::with("\toption resend_first_ms '50'\n\toption resend_max '1'\n", "");
    site.start().stop();
    let config = fs::read_to_string(site.path("posgate")).unwrap();
    site.write("posgate", &format!("{config}\toption nonsense '1'\n"));
    let server = site.start();
    let mut device = Device::new(7, &server);
    device.pay(&card(2), "1.00");
    // Not a frame, since its machine number is unreadable; but it may be this device's form of a
    // 109.
    device.send(format!("109,00099,127.0.0.1,127.0.0.1,7x,{}", card(2)));
    for _ in 0..9 {
        device.pay(&card(2), "1.00");
    }
    server.wait_for_trouble("mute machine=00007");
    let status = wait_until(&site, "a mute device", |status| {
        number(status, "devices.mute") > 0 && text(status, "last_trouble.line").contains("mute")
    });
    assert_eq!(at(&status, "devices.mute_machines").stringify().unwrap(), "[\"00007\"]");
    assert_eq!(text(&devices(&status)[0], "state"), "mute");
    assert_eq!((flag(&status, "config.degraded"), flag(&status, "cards.degraded")), (true, false));
    assert_eq!(text(&status, "last_trouble.level"), "warn");
    assert!(text(&status, "last_trouble.line").contains("****8802"), "{}", text(&status, "last_trouble.line"));
    assert!(!status.stringify().unwrap().contains("88888888"), "no card number whole");
    site.write("posgate", &config);
    server.signal(Signal::SIGHUP);
    let status = wait_until(&site, "the reload", |status| !flag(status, "config.degraded"));
    assert!(text(&status, "config.loaded") > text(&status, "last_trouble.time"));
    server.stop();
}

#[test]
fn status_says_why_a_clock_is_not_believed() {
    let site = Site::with("\toption clock 'ntp'\n", "");
    let server = site.start();
    server.wait_for("serving site=");
    let status = status(&site);
    // This machine's kernel may or may not be synchronized.
    if text(&status, "clock.state") == "unset" {
        assert_eq!((text(&status, "clock.why"), flag(&status, "clock.synchronized")), ("not-synchronized", false));
        assert!(number(&status, "clock.unset_s") < 60);
    } else {
        assert!(flag(&status, "clock.synchronized") && at(&status, "clock.why").is_null());
    }
    server.stop();
}

// ---------------------------------------------------------------- metrics

fn wait_for(condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it never came true");
}

fn metrics(site: &Site) -> BTreeMap<String, i64> {
    read_metrics(&fs::read_to_string(site.path("out/posgate.prom")).expect("a metrics file"))
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|next| next.is_ascii_alphanumeric() || next == '_')
}

/// Reads version 0.0.4 strictly: each family once, with HELP, TYPE and samples, no sample twice.
/// Returns a map from `name{labels}` to value.
#[track_caller]
fn read_metrics(text: &str) -> BTreeMap<String, i64> {
    assert!(text.ends_with('\n'), "the last line ends");
    let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
    let (mut helped, mut typed, mut kind) = (String::new(), String::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a name and words");
            assert!(is_name(name) && !help.is_empty(), "{line}");
            let unescaped = help.replace("\\\\", "").replace("\\n", "");
            assert!(!unescaped.contains('\\'), "{line}");
            assert!(families.insert(name.to_owned()), "{name} twice");
            name.clone_into(&mut helped);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, word) = rest.split_once(' ').expect("a name and a type");
            assert!(name == helped && matches!(word, "counter" | "gauge"), "{line}");
            assert_eq!(word == "counter", name.ends_with("_total"), "{line}");
            name.clone_into(&mut typed);
            word.clone_into(&mut kind);
        } else {
            let name_len = line.find(['{', ' ']).expect("a name");
            let (name, rest) = line.split_at(name_len);
            assert!(name == typed && name.starts_with("posgate_"), "{line}: a sample outside its family {typed}");
            let value = match rest.strip_prefix('{') {
                Some(labels) => read_labels(labels).strip_prefix(' ').expect("a space"),
                None => &rest[1..],
            };
            // The format allows floats; these values are whole.
            let parsed: i64 = value.parse().unwrap_or_else(|_| panic!("{line}: no whole number"));
            assert!(kind == "gauge" || parsed >= 0, "{line}");
            let key = line[..line.len() - value.len() - 1].to_owned();
            assert!(samples.insert(key, parsed).is_none(), "{line} twice");
        }
    }
    samples
}

/// Reads labels up to `}`; returns the rest.
#[track_caller]
fn read_labels(mut rest: &str) -> &str {
    loop {
        let (label, value) = rest.split_once("=\"").expect("a label and a quote");
        assert!(is_name(label), "{label}");
        let mut next = value.char_indices();
        let end = loop {
            match next.next().expect("a closing quote") {
                (at, '"') => break at,
                (_, '\\') => assert!(matches!(next.next(), Some((_, '\\' | '"' | 'n'))), "{value}"),
                _ => (),
            }
        };
        match value[end + 1..].strip_prefix(',') {
            Some(more) => rest = more,
            None => return value[end + 1..].strip_prefix('}').expect("a closing brace"),
        }
    }
}

#[test]
fn the_metrics_have_the_same_values_in_prometheus_text() {
    let sections = "config device\n\toption machine '00009'\n\toption name 'a \"b\" \\ c'\n";
    let site = Site::with(METRICS, sections);
    let server: Server = site.start();
    let mut device = Device::new(9, &server);
    device.pay(&card(1), "1.00");
    let frame = device.frame("103", &format!("{},x,{DEVICE_TIME}", card(1)));
    device.ask(&frame, "006");
    let status = wait_until(&site, "a refusal", |status| count(status, "malformed") > 0);
    // Written after the status, in the same turn.
    wait_for(|| metrics(&site)["posgate_malformed_total"] > 0);
    let metrics = metrics(&site);
    for (name, count) in Counters::default().all().map(|(name, _)| (name, count(&status, name))) {
        assert_eq!(metrics[&format!("posgate_{name}_total")], count, "{name}");
    }
    for reason in Reason::ALL.iter().map(|reason| reason.word()) {
        let wanted = number(&status, &format!("reasons.{reason}"));
        assert_eq!(metrics[&format!("posgate_refusals_total{{reason=\"{reason}\"}}")], wanted);
    }
    let of_device = |name: &str| metrics[&format!(r#"posgate_device_{name}{{machine="00009",name="a \"b\" \\ c"}}"#)];
    assert_eq!((of_device("frames_total"), of_device("approved_total"), of_device("mute")), (2, 1, 0));
    assert!(of_device("last_seen_timestamp_seconds") > 1_700_000_000);
    assert_eq!((metrics["posgate_running"], metrics["posgate_room{state=\"open\"}"]), (1, 1));
    assert_eq!(metrics["posgate_ledger_bytes"], number(&status, "ledger.bytes"));
    assert!(metrics["posgate_kernel_dropped_total"] == 0 && !metrics.contains_key("posgate_days_until_full"));
    server.stop();
    assert_eq!(self::metrics(&site)["posgate_running"], 0);
    // No other program is needed; if `promtool` is there, it must agree.
    let file = fs::File::open(site.path("out/posgate.prom")).unwrap();
    if let Ok(status) = Command::new("promtool").args(["check", "metrics"]).stdin(file).status() {
        assert!(status.success());
    }
}
