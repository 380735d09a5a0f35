//! Who may speak how fast: a token bucket a source address and one for all (design.md, section 13), and a limit
//! to what one source may write into the log.

use core::net::Ipv4Addr;

use crate::limits::SOURCES_MAX;
use crate::model::Mono;

/// Seconds of its rate that a source may send at once.
const BURST_S: u64 = 4;

/// Log lines of one source a minute.
const LOG_LINES_MAX: u16 = 30;

/// Places that one address may stand in.
const WAYS: usize = 4;

/// A bucket of tokens, in thousandths: one token a frame.
#[derive(Clone, Copy)]
struct Bucket {
    missing: u64,
    at: Mono,
}

impl Bucket {
    const FULL: Self = Self { missing: 0, at: Mono(0) };

    /// Takes a token; `false` if there is none. `rate` is tokens a second, 0 for no limit.
    fn take(&mut self, now: Mono, rate: u32) -> bool {
        let rate = u64::from(rate);
        if rate == 0 {
            return true;
        }
        // A thousandth of a token for each millisecond and unit of rate.
        self.missing = self.missing.saturating_sub(now.ms_since(self.at).saturating_mul(rate));
        self.at = now;
        if self.missing + 1000 > BURST_S * rate * 1000 {
            return false;
        }
        self.missing += 1000;
        true
    }
}

#[derive(Clone, Copy)]
struct Source {
    /// 0.0.0.0 is a free place: no datagram comes from there.
    address: u32,
    bucket: Bucket,
    log_minute: Mono,
    log_lines: u16,
    log_left_out: u32,
}

impl Source {
    const FREE: Self = Self { address: 0, bucket: Bucket::FULL, log_minute: Mono(0), log_lines: 0, log_left_out: 0 };
}

/// The buckets of all sources. Each address has [`WAYS`] places; the one idle longest there gives way.
pub(super) struct Sources {
    all: Bucket,
    places: [[Source; WAYS]; SOURCES_MAX / WAYS],
}

impl Sources {
    pub(super) const fn new() -> Self {
        Self { all: Bucket::FULL, places: [[Source::FREE; WAYS]; SOURCES_MAX / WAYS] }
    }

    pub(super) fn clear(&mut self) {
        self.all = Bucket::FULL;
        self.places.fill([Source::FREE; WAYS]);
    }

    /// Whether a frame of this source is within its rate and the rate of all.
    pub(super) fn admit(&mut self, now: Mono, address: Ipv4Addr, rate_source: u32, rate_total: u32) -> bool {
        self.place(now, address).bucket.take(now, rate_source) && self.all.take(now, rate_total)
    }

    /// Whether the source may write a line into the log; with the number of lines left out before it.
    pub(super) fn may_log(&mut self, now: Mono, address: Ipv4Addr) -> Option<u32> {
        let source = self.place(now, address);
        if now.ms_since(source.log_minute) >= 60_000 || source.log_lines == 0 {
            source.log_minute = now;
            source.log_lines = 0;
        }
        if source.log_lines == LOG_LINES_MAX {
            source.log_left_out = source.log_left_out.saturating_add(1);
            return None;
        }
        source.log_lines += 1;
        Some(core::mem::take(&mut source.log_left_out))
    }

    fn place(&mut self, now: Mono, address: Ipv4Addr) -> &mut Source {
        let address = address.to_bits();
        let set = crate::index::hash_number(u64::from(address)) as usize % self.places.len();
        let set = &mut self.places[set];
        let known = set.iter().position(|source| source.address == address);
        let place = known.unwrap_or_else(|| {
            let idle_longest = (0..WAYS).min_by_key(|place| (set[*place].address != 0, set[*place].bucket.at));
            let place = idle_longest.expect("a set has places");
            set[place] = Source { address, bucket: Bucket { missing: 0, at: now }, ..Source::FREE };
            place
        });
        &mut set[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 7);
    const B: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 8);

    #[test]
    fn a_source_has_four_seconds_of_burst_and_then_its_rate() {
        let mut sources = Sources::new();
        let mut admitted = |at: u64, address| sources.admit(Mono(at), address, 10, 0);
        assert_eq!((0..100).filter(|_| admitted(1000, A)).count(), 40);
        assert_eq!((0..100).filter(|_| admitted(1000, B)).count(), 40, "another source has its own");
        assert_eq!((0..100).filter(|_| admitted(2000, A)).count(), 10);
        assert_eq!((0..100).filter(|_| admitted(1_000_000, A)).count(), 40);
    }

    #[test]
    fn all_sources_together_have_a_rate_too() {
        let mut sources = Sources::new();
        let addresses = (0..100_u8).map(|last| Ipv4Addr::new(10, 0, 0, last + 1));
        assert_eq!(addresses.filter(|address| sources.admit(Mono(5), *address, 100, 5)).count(), 20);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut sources = Sources::new();
        assert!((0..10_000).all(|_| sources.admit(Mono(1), A, 0, 0)));
    }

    #[test]
    fn a_noisy_source_is_left_out_of_the_log_and_counted() {
        let mut sources = Sources::new();
        let lines = (0..100).filter(|_| sources.may_log(Mono(10), A).is_some()).count();
        assert_eq!(lines, usize::from(LOG_LINES_MAX));
        assert_eq!(sources.may_log(Mono(60_010), A), Some(70));
        assert_eq!(sources.may_log(Mono(60_011), A), Some(0));
    }
}
