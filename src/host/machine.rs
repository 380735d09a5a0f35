//! Identifies this machine: eight hexadecimal digits in the header of every segment that it writes
//! (design.md, section 7, `host=`), so that a ledger that was moved or copied to another machine is
//! noticed.
//!
//! They are the CRC-32 of the lowest permanent hardware address of its network cards, as `/sys`
//! writes it (lower case, colons); if there is none, of its board's serial. Addresses that software
//! changes do not count: set or random ones, those of bridges and virtual cards. Nor does a PC's
//! own serial: only root can read it, and posgate does not run as root, so `check` and `serve`
//! would see different machines.
//!
//! The answer depends only on the files under a root directory, so that a test can make a machine.

use std::fs;
use std::path::Path;

use crate::ledger::Host;

/// This machine; `None` if it has neither a permanent hardware address nor a serial.
pub fn host() -> Option<Host> {
    host_in(Path::new("/"))
}

/// The machine whose `/sys` and `/proc` are under `root`.
fn host_in(root: &Path) -> Option<Host> {
    let name = lowest_address(root).or_else(|| board_serial(root))?;
    Some(Host(crc32fast::hash(name.as_bytes())))
}

/// The lowest permanent Ethernet address.
fn lowest_address(root: &Path) -> Option<String> {
    let cards = fs::read_dir(root.join("sys/class/net")).ok()?;
    let addresses = cards.filter_map(|card| {
        let card = card.ok()?.path();
        let read = |file: &str| fs::read_to_string(card.join(file)).ok().map(|text| text.trim().to_owned());
        // type 1: Ethernet. addr_assign_type 0: permanent, not random, stolen or set. A virtual
        // card has no `device`.
        let is_permanent = read("type")? == "1" && read("addr_assign_type")? == "0" && card.join("device").exists();
        let address = read("address").filter(|_| is_permanent)?.to_lowercase();
        let is_address = address.len() == 17 && address.bytes().any(|byte| !matches!(byte, b'0' | b':'));
        is_address.then_some(address)
    });
    addresses.min()
}

/// The board's serial, from its device tree or from its processor.
fn board_serial(root: &Path) -> Option<String> {
    let of_tree = fs::read(root.join("sys/firmware/devicetree/base/serial-number")).ok();
    let of_tree = of_tree.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let of_processor = || {
        let text = fs::read_to_string(root.join("proc/cpuinfo")).ok()?;
        let line = text.lines().find(|line| line.starts_with("Serial"))?;
        line.split_once(':').map(|(_, serial)| serial.to_owned())
    };
    let is_serial = |serial: &String| serial.bytes().any(|byte| byte.is_ascii_alphanumeric() && byte != b'0');
    let serials = [of_tree, of_processor()].into_iter().flatten();
    serials.map(|serial| serial.trim_matches(['\0', ' ', '\t', '\n']).to_owned()).find(is_serial)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a network card; `assigned` is its `addr_assign_type`.
    fn card(root: &Path, name: &str, address: &str, assigned: &str, is_device: bool) {
        let card = root.join("sys/class/net").join(name);
        fs::create_dir_all(&card).unwrap();
        fs::write(card.join("type"), "1\n").unwrap();
        fs::write(card.join("address"), format!("{address}\n")).unwrap();
        fs::write(card.join("addr_assign_type"), format!("{assigned}\n")).unwrap();
        if is_device {
            fs::create_dir(card.join("device")).unwrap();
        }
    }

    #[test]
    fn a_machine_is_identified_by_its_lowest_permanent_address_or_else_by_its_board() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(host_in(root), None);
        fs::create_dir_all(root.join("proc")).unwrap();
        fs::write(root.join("proc/cpuinfo"), "processor : 0\nSerial\t\t: 0000000000000000\n").unwrap();
        assert_eq!(host_in(root), None, "a serial of zeros does not count");
        fs::write(root.join("proc/cpuinfo"), "processor : 0\nSerial\t\t: 10000000abcdef01\n").unwrap();
        let of_processor = host_in(root);
        assert_eq!(of_processor, Some(Host(crc32fast::hash(b"10000000abcdef01"))));
        fs::create_dir_all(root.join("sys/firmware/devicetree/base")).unwrap();
        fs::write(root.join("sys/firmware/devicetree/base/serial-number"), "BOARD-7\0").unwrap();
        assert_eq!(host_in(root), Some(Host(crc32fast::hash(b"BOARD-7"))));
        // Addresses that do not identify the machine.
        card(root, "lo", "00:00:00:00:00:00", "0", true);
        card(root, "br-lan", "00:00:00:00:00:01", "3", false);
        card(root, "veth0", "00:00:00:00:00:02", "0", false);
        card(root, "wlan0", "00:00:00:00:00:03", "1", true);
        assert_eq!(host_in(root), Some(Host(crc32fast::hash(b"BOARD-7"))));
        card(root, "eth1", "9C:00:00:00:00:0B", "0", true);
        card(root, "eth0", "9c:00:00:00:00:0a", "0", true);
        assert_eq!(host_in(root), Some(Host(crc32fast::hash(b"9c:00:00:00:00:0a"))));
    }

    #[test]
    fn the_machine_is_the_same_on_every_call() {
        assert_eq!(host(), host());
    }
}
