//! No result leaves before its entry is in the file. Only strace shows from outside that it is also
//! synced: tests/strace.sh.

use std::fs;
use std::path::Path;

use crate::harness::{DEVICE_TIME, Device, Site, card};

/// Whether the file now has a line of this kind for the device's last frame.
fn stands_in(segment: &Path, kind: &str, device: &Device) -> bool {
    let bytes = fs::read(segment).unwrap();
    let words = format!("\t{kind}\t{}\t{}\t{:05}\t", device.machine, device.serial, device.seq);
    bytes.windows(words.len()).any(|window| window == words.as_bytes())
}

#[test]
fn every_result_arrives_after_its_entry_is_in_the_file() {
    let site = Site::with("", "config door\n\toption door '1'\n\toption machine '00021'\n");
    let server = site.start();
    let segment = site.segment();
    let devices: Vec<Device> = (21..25).map(|machine| Device::new(machine, &server)).collect();
    std::thread::scope(|scope| {
        for mut device in devices {
            let segment = &segment;
            scope.spawn(move || {
                for round in 0..100_u64 {
                    let number = round % 12 + 1;
                    match round % 4 {
                        0 if device.machine == "00021" => {
                            let frame = device.access(&card(number), 0, "");
                            device.ask(&frame, "050");
                            assert!(stands_in(segment, "admit", &device));
                        }
                        1 => {
                            let record = format!("{},0.50,{DEVICE_TIME},0,{round:08},1", card(number));
                            let frame = device.frame("105", &record);
                            device.ask(&frame, "011");
                            assert!(stands_in(segment, "offline", &device));
                        }
                        2 => {
                            let frame = device.frame("104", &format!("{},{DEVICE_TIME}", card(number)));
                            device.ask(&frame, "008");
                            assert!(stands_in(segment, "meal", &device));
                        }
                        _ => {
                            device.pay(&card(number), "0.50");
                            assert!(stands_in(segment, "charge", &device));
                        }
                    }
                }
            });
        }
    });
    server.stop();
    let ledger = site.ledger();
    assert_eq!(ledger.torn, 0);
    let (doors, records, meals) = (25, 4 * 25, 4 * 25);
    assert_eq!(ledger.count("admit"), doors);
    assert_eq!(ledger.count("offline"), records);
    assert_eq!(ledger.count("meal"), meals);
    assert_eq!(ledger.count("charge"), 400 - doors - records - meals);
}

#[test]
fn a_sale_whose_008_arrived_survives_a_kill_at_that_moment() {
    let site = Site::new();
    let mut server = site.start();
    let mut device = Device::new(2, &server);
    for round in 1..=5 {
        device.pay(&card(1), "1.00");
        server.kill();
        server = site.start();
        device.turn_to(&server);
        let inquiry = device.frame("102", &card(1));
        let shown = device.ask(&inquiry, "009");
        assert!(shown.text.contains(&format!("余额:{}.00", 1000 - round)), "{shown:?}");
    }
    server.stop();
    assert_eq!(site.ledger().sum("A00001"), 99_500);
}
