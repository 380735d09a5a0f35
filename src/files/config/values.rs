//! Single values: from a file's text to the value that decisions use. Each function reads one
//! [`Form`](super::options::Form).

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::engine::model::rules::{Network, Trailer};
use crate::engine::model::{AccountId, Date, GroupSet, Money, Pin, Serial, TimeOfDay, Weekdays};
use crate::files::zone::Zone;

/// The port that devices send to (protocol.md, *Transport*).
pub const PORT: u16 = 39_192;

/// UCI's words for yes and no.
pub(super) fn flag(value: &str) -> Option<bool> {
    match value {
        "1" | "on" | "yes" | "true" | "enabled" => Some(true),
        "0" | "off" | "no" | "false" | "disabled" => Some(false),
        _ => None,
    }
}

/// Digits only: no sign, no blanks.
pub(super) fn number(value: &str, min: u32, max: u32) -> Option<u32> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| value.parse().ok()).flatten()?;
    (min..=max).contains(&number).then_some(number)
}

pub(super) fn money(value: &str) -> Option<Money> {
    Money::parse(value.as_bytes())
}

pub(super) fn pin(value: &str) -> Option<Pin> {
    Pin::parse(value.as_bytes())
}

/// `00:00` to `24:00`.
pub(super) fn time_end(value: &str) -> Option<TimeOfDay> {
    TimeOfDay::parse(value.as_bytes())
}

/// `00:00` to `23:59`.
pub(super) fn time(value: &str) -> Option<TimeOfDay> {
    time_end(value).filter(|time| time.0 < 86_400)
}

/// `1-5`, `1,3,5`, `1-3,6`: bit 0 is Monday.
pub(super) fn days(value: &str) -> Option<Weekdays> {
    let mut days = 0;
    for part in value.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first.trim(), 1, 7)?, number(last.trim(), 1, 7)?);
        if first > last {
            return None;
        }
        for day in first..=last {
            days |= 1 << (day - 1);
        }
    }
    Some(Weekdays(days))
}

/// `2026-10-10`, or `2026-10-01..2026-10-07`: the first and the last date, in whatever order.
pub(super) fn dates(value: &str) -> Option<(Date, Date)> {
    let (first, last) = value.split_once("..").unwrap_or((value, value));
    Some((Date::parse(first.trim().as_bytes())?, Date::parse(last.trim().as_bytes())?))
}

/// Letters and digits: serials are 10 digits, or 16 hexadecimal in sibling products.
pub(super) fn serial(value: &str) -> Option<Serial> {
    let plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| Serial::try_from(value).ok()).flatten()
}

/// An address, with [`PORT`] if it has no port.
pub(super) fn endpoint(value: &str) -> Option<SocketAddrV4> {
    value.parse().ok().or_else(|| Some(SocketAddrV4::new(value.parse().ok()?, PORT)))
}

/// Whether one socket keeps the other from being bound: 0.0.0.0 is every address of the machine.
/// Port 0 is any free port.
pub(super) fn excludes(one: SocketAddrV4, other: SocketAddrV4) -> bool {
    let is_every = |address: SocketAddrV4| address.ip().is_unspecified();
    one != other && one.port() == other.port() && one.port() != 0 && (is_every(one) || is_every(other))
}

/// A network, its host bits cleared; an address alone is a network of one.
pub(super) fn network(value: &str) -> Option<Network> {
    let (address, prefix_len) = match value.split_once('/') {
        None => (value, 32),
        Some((address, prefix_len)) => (address, number(prefix_len, 0, 32)?),
    };
    let address: Ipv4Addr = address.parse().ok()?;
    let mask = u32::MAX.checked_shl(32 - prefix_len).unwrap_or(0);
    Some(Network { address: Ipv4Addr::from_bits(address.to_bits() & mask), prefix_len: u8::try_from(prefix_len).ok()? })
}

/// A name that Linux accepts for an interface.
pub(super) fn interface(value: &str) -> Option<String> {
    let fits = !value.is_empty() && value.len() <= 15 && value != "." && value != "..";
    let plain = value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
    (fits && plain).then(|| value.to_owned())
}

/// A text of at most `len_max` bytes, not blank.
pub(super) fn label(value: &str, len_max: usize) -> Option<&str> {
    (!value.trim().is_empty() && value.len() <= len_max).then_some(value)
}

/// A period's name, as the ledger holds it.
pub(super) fn account_id(value: &str) -> Option<AccountId> {
    label(value, 24).and_then(|value| AccountId::try_from(value).ok())
}

/// The name of a group or a place, blanks around it removed. The card table divides groups by `;`.
pub(super) fn name(value: &str) -> Option<&str> {
    let value = label(value.trim(), 64)?;
    (!value.contains([';', '；'])).then_some(value)
}

/// A zone that [`Zone::find`] accepts: a POSIX TZ, or a zone's name if this machine has its file.
/// UTC's usual names become `UTC0`.
pub(super) fn zone(value: &str) -> Option<String> {
    let value = match value {
        "UTC" | "GMT" | "Etc/UTC" => "UTC0",
        other => other,
    };
    (!value.trim().is_empty() && Zone::check(value).is_ok()).then(|| value.to_owned())
}

/// Three numbers, rewritten without blanks and leading zeros.
pub(super) fn trailer(value: &str) -> Option<Trailer> {
    let mut numbers = value.split(',').map(|part| number(part.trim(), 0, 255));
    let (first, second, third) = (numbers.next()??, numbers.next()??, numbers.next()??);
    if numbers.next().is_some() {
        return None;
    }
    Trailer::try_from(format!("{first},{second},{third}").as_str()).ok()
}

/// The set of these bits.
pub(super) fn union(sets: impl IntoIterator<Item = GroupSet>) -> GroupSet {
    GroupSet(sets.into_iter().fold(0, |bits, set| bits | set.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_within_their_bounds() {
        assert_eq!(number("50", 50, 60), Some(50));
        assert_eq!(number("060", 50, 60), Some(60));
        for wrong in ["", "49", "61", "+50", "-50", "50 ", "5e1", "99999999999999999999"] {
            assert_eq!(number(wrong, 50, 60), None, "{wrong:?}");
        }
    }

    #[test]
    fn days_are_spans_and_lists() {
        let read = |text| days(text).map(|Weekdays(days)| days);
        assert_eq!(read("1-5"), Some(0b001_1111));
        assert_eq!(read("1,3,5"), Some(0b001_0101));
        assert_eq!(read("6-7"), Some(0b110_0000));
        assert_eq!(read("1-2, 7"), Some(0b100_0011));
        for wrong in ["", "0", "8", "5-1", "1-", "-", "1,,2", "mon"] {
            assert_eq!(days(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn dates_are_days_that_exist_one_or_the_first_and_the_last() {
        let read = |text| dates(text).map(|(first, last)| format!("{first} {last}"));
        assert_eq!(read("2026-10-10").as_deref(), Some("2026-10-10 2026-10-10"));
        assert_eq!(read("2026-10-01..2026-10-07").as_deref(), Some("2026-10-01 2026-10-07"));
        assert_eq!(read("2028-02-29 .. 2028-03-01").as_deref(), Some("2028-02-29 2028-03-01"));
        for wrong in [
            "",
            "2026-02-30",
            "2026-02-29",
            "2026-10-1",
            "10-01",
            "2026-10-01-2026-10-07",
            "2026-10-01..",
            "..2026-10-07",
            "2026-10-01..2026-09-31",
            "2026-10-01..2026-10-03..2026-10-07",
            "2026-10-01 12:00:00",
        ] {
            assert_eq!(dates(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_network_loses_its_host_bits() {
        let network = |text| network(text).map(|network| (network.address.to_string(), network.prefix_len));
        assert_eq!(network("192.168.1.77/24"), Some(("192.168.1.0".into(), 24)));
        assert_eq!(network("10.1.2.3"), Some(("10.1.2.3".into(), 32)));
        assert_eq!(network("10.1.2.3/0"), Some(("0.0.0.0".into(), 0)));
        for wrong in ["", "10.1.2.3/33", "10.1.2/24", "10.1.2.3/", "10.1.2.3/255.0.0.0", "lan", "fe80::1/64"] {
            assert_eq!(network(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_address_without_a_port_gets_ours() {
        assert_eq!(endpoint("127.0.0.1"), Some("127.0.0.1:39192".parse().expect("an endpoint")));
        assert_eq!(endpoint("127.0.0.1:0"), Some("127.0.0.1:0".parse().expect("an endpoint")));
        for wrong in ["", ":39192", "localhost", "127.0.0.1:", "127.0.0.1:99999", "[::]:39192"] {
            assert_eq!(endpoint(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_zone_is_accepted_as_by_the_reader_of_zones() {
        assert_eq!(zone("CST-8").as_deref(), Some("CST-8"));
        assert_eq!(zone("UTC").as_deref(), Some("UTC0"));
        assert_eq!(zone("CET-1CEST,M3.5.0,M10.5.0/3").as_deref(), Some("CET-1CEST,M3.5.0,M10.5.0/3"));
        for taken in ["EST5EDT", "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "<+0330>-3:30"] {
            assert_eq!(zone(taken).as_deref(), Some(taken));
        }
        for name in ["Asia/Shanghai", ":Asia/Shanghai"] {
            assert_eq!(
                zone(name).is_some(),
                std::path::Path::new("/usr/share/zoneinfo/Asia/Shanghai").exists(),
                "{name}"
            );
        }
        for wrong in ["", " ", "+8", "CST", "Mars/Olympus", "/no/such/file"] {
            assert_eq!(zone(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_trailer_is_three_small_numbers() {
        assert_eq!(trailer(" 020, 0 ,1").as_deref(), Some("20,0,1"));
        for wrong in ["", "20", "20,0", "20,0,1,2", "20,0,256", "20,0,-1", "20;0;1"] {
            assert_eq!(trailer(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn words_for_yes_and_no_are_ucis() {
        assert_eq!(flag("enabled"), Some(true));
        assert_eq!(flag("off"), Some(false));
        assert_eq!(flag("2"), None);
    }
}
