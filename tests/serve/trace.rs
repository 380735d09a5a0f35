//! The trace: a line per turn at `debug`, and posgate-sim, which reads it.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{Device, Server, Site, card, card_table, posgate};

/// The numbers of a turn's line, by their keys.
fn figures(line: &str) -> Vec<(&str, u64)> {
    let words = line.strip_prefix("debug: turn at=").unwrap_or_else(|| panic!("a turn's line: {line}")).split(' ');
    let pairs = words.skip(1).map(|word| word.split_once('=').unwrap_or_else(|| panic!("{line}")));
    pairs.map(|(key, value)| (key, value.parse().unwrap_or_else(|_| panic!("{line}")))).collect()
}

#[test]
fn at_debug_each_turn_says_how_long_its_steps_took() {
    let site = Site::with("\toption segment_bytes '1024'\n", "");
    let server = site.start();
    let mut device = Device::new(21, &server);
    device.pay(&card(1), "0.50");
    let line = server.wait_for(" entries=2 ");
    let [("us", us), ("frames", 1), ("entries", 2), steps @ ..] = &figures(&line)[..] else { panic!("{line}") };
    assert_eq!(*us, steps.iter().map(|(_, us)| us).sum::<u64>(), "{line}");
    assert!(steps.iter().any(|(step, us)| *step == "sync" && *us > 0), "{line}");
    for _ in 0..10 {
        device.pay(&card(1), "0.50");
    }
    assert!(figures(&server.wait_for(" rotation=")).iter().any(|(step, _)| *step == "snapshot"));
    site.write("cards.csv", &card_table(11));
    server.signal(Signal::SIGHUP);
    server.wait_for(" reload=");
    let order = ["ctl", "topup", &card(2), "1.00", "--by", "test", "--config", "CONFIG"];
    site.run(&order).expect(0, &[], &[]);
    server.wait_for(" orders=");
    server.stop();
}

#[test]
fn at_info_no_turn_is_told() {
    let site = Site::with("", "");
    let mut command = posgate();
    command.arg("serve").arg("--config").arg(site.path("posgate")).env("RUST_LOG", "info");
    let server = Server::run(command);
    Device::new(21, &server).pay(&card(1), "0.50");
    let ended = server.stop();
    assert!(ended.out.contains("stop received=1") && !ended.out.contains("turn at="), "{}", ended.out);
}

/// Killed when the test ends, however it ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_crowds_worst_moments_name_what_the_server_did_then() {
    let site = Site::with("", "");
    let log = site.path("log");
    let mut command = posgate();
    command.arg("serve").arg("--config").arg(site.path("posgate"));
    command
        .env("RUST_LOG", "info,posgate::host::trace=debug")
        .stdout(File::create(&log).unwrap())
        .stderr(Stdio::null());
    let _server = Killed(command.spawn().unwrap());
    let address = loop {
        let said = fs::read_to_string(&log).unwrap();
        if let Some((_, rest)) = said.split_once("listening address=").filter(|(_, rest)| rest.contains('\n')) {
            break rest.lines().next().unwrap().to_owned();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let crowd = |log: &std::path::Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_posgate-sim"));
        command.args(["--server", &address, "crowd", "--terminals", "4", "--rate", "50", "--seconds", "1", "--sales"]);
        command.args(["--card", &card(1)]).arg("--server-log").arg(log);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let said = crowd(&log);
    let (_, moments) = said.split_once("worst moments").unwrap_or_else(|| panic!("{said}"));
    let named = moments.lines().skip(1).take_while(|line| line.contains("  server: ")).count();
    assert!(named > 0 && moments.contains(" · sync "), "{said}");
    let none = site.path("none");
    fs::write(&none, "serving\n").unwrap();
    assert!(crowd(&none).contains("no `turn at=` of this time"));
    assert!(crowd(&site.path("missing")).contains("--server-log"));
}
