//! Limits the rate of frames, with a token bucket per source address and one for all sources
//! (design.md, section 13), and the log lines per source.
//!
//! *Invariants:* a bucket is forgotten only when it is full again, so a new place never gives an
//! address an additional burst. If all places of its set are in use, an address shares one more
//! bucket with others in the same case: however many addresses share a set, together they get
//! little more than the rates of its places.

use core::net::Ipv4Addr;

use crate::engine::limits::SOURCES_MAX;
use crate::engine::model::Mono;

/// A source may send this many seconds' worth of its rate at once.
const BURST_S: u64 = 4;

/// Log lines per source and minute.
const LOG_LINES_MAX: u16 = 30;

/// The span of [`LOG_LINES_MAX`].
const LOG_MINUTE_MS: u64 = 60_000;

/// The places of a set, one of which an address may take.
const WAYS: usize = 4;

/// A bucket of tokens, counted in thousandths. A frame takes one token.
#[derive(Clone, Copy)]
struct Bucket {
    missing: u64,
    at: Mono,
}

impl Bucket {
    const FULL: Self = Self { missing: 0, at: Mono(0) };

    /// Thousandths that are missing now. `rate`: tokens per second; 0: no limit.
    fn missing_at(&self, now: Mono, rate: u32) -> u64 {
        if rate == 0 {
            return 0;
        }
        // A thousandth of a token per millisecond and unit of rate.
        self.missing.saturating_sub(now.ms_since(self.at).saturating_mul(u64::from(rate)))
    }

    /// Takes a token; `false` if there is none.
    fn take(&mut self, now: Mono, rate: u32) -> bool {
        self.missing = self.missing_at(now, rate);
        self.at = now;
        let rate = u64::from(rate);
        if rate == 0 {
            return true;
        }
        if self.missing + 1000 > BURST_S * rate * 1000 {
            return false;
        }
        self.missing += 1000;
        true
    }
}

#[derive(Clone, Copy)]
struct Source {
    /// 0.0.0.0: a free place, since no datagram comes from there.
    address: u32,
    bucket: Bucket,
    log_minute: Mono,
    log_lines: u16,
    log_left_out: u32,
}

impl Source {
    const FREE: Self = Self { address: 0, bucket: Bucket::FULL, log_minute: Mono(0), log_lines: 0, log_left_out: 0 };
}

/// The places of all addresses with one hash.
#[derive(Clone, Copy)]
struct Set {
    own: [Source; WAYS],
    /// For the addresses without a place.
    shared: Source,
}

impl Set {
    const FREE: Self = Self { own: [Source::FREE; WAYS], shared: Source::FREE };
}

/// The buckets of all sources.
pub(super) struct Sources {
    all: Bucket,
    /// Mixed into the hash. A sender that knew it could choose with whom it shares a set.
    seed: u64,
    sets: [Set; SOURCES_MAX / WAYS],
}

impl Sources {
    pub(super) const fn new() -> Self {
        Self { all: Bucket::FULL, seed: 0, sets: [Set::FREE; SOURCES_MAX / WAYS] }
    }

    pub(super) fn clear(&mut self) {
        self.all = Bucket::FULL;
        self.sets.fill(Set::FREE);
    }

    /// Sets the seed of the hash, before the first datagram.
    pub(super) fn scatter(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// Whether a frame of this source is within its rate and the rate of all sources.
    pub(super) fn admit(&mut self, now: Mono, address: Ipv4Addr, rate_source: u32, rate_total: u32) -> bool {
        self.place(now, address, rate_source).bucket.take(now, rate_source) && self.all.take(now, rate_total)
    }

    /// Whether the source may cause a log line; if so, returns the number of lines left out before
    /// it.
    pub(super) fn may_log(&mut self, now: Mono, address: Ipv4Addr, rate_source: u32) -> Option<u32> {
        let source = self.place(now, address, rate_source);
        if now.ms_since(source.log_minute) >= LOG_MINUTE_MS || source.log_lines == 0 {
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

    /// The address's own place; else the longest idle place of its set whose bucket is full again;
    /// else the shared one.
    fn place(&mut self, now: Mono, address: Ipv4Addr, rate: u32) -> &mut Source {
        let address = address.to_bits();
        let set = crate::engine::index::hash_number(u64::from(address) ^ self.seed) as usize % self.sets.len();
        let Set { own, shared } = &mut self.sets[set];
        if let Some(known) = own.iter().position(|source| source.address == address) {
            return &mut own[known];
        }
        let is_given = |place: &usize| own[*place].bucket.missing_at(now, rate) == 0;
        let idle_longest =
            (0..WAYS).filter(is_given).min_by_key(|place| (own[*place].address != 0, own[*place].bucket.at));
        let Some(place) = idle_longest else { return shared };
        let bucket = Bucket { missing: 0, at: now };
        // The place's log lines still count for the new address, as an emptied bucket would.
        let Source { log_minute, log_lines, .. } = own[place];
        own[place] = Source { address, bucket, log_minute, log_lines, log_left_out: 0 };
        &mut own[place]
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
    fn all_sources_together_are_limited_too() {
        let mut sources = Sources::new();
        let addresses = (0..100_u8).map(|last| Ipv4Addr::new(10, 0, 0, last + 1));
        assert_eq!(addresses.filter(|address| sources.admit(Mono(5), *address, 100, 5)).count(), 20);
    }

    #[test]
    fn a_cleared_table_has_full_buckets_and_no_log_lines() {
        let mut sources = Sources::new();
        // These use up a part of each burst: that of the source, and that of all.
        let count = |sources: &mut Sources| (0..100).filter(|_| sources.admit(Mono(5), A, 10, 8)).count();
        let lines = |sources: &mut Sources| (0..100).filter(|_| sources.may_log(Mono(5), A, 10).is_some()).count();
        let fresh = (count(&mut sources), lines(&mut sources));
        assert_eq!(fresh, (32, usize::from(LOG_LINES_MAX)));
        sources.clear();
        assert_eq!((count(&mut sources), lines(&mut sources)), fresh);
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let mut sources = Sources::new();
        assert!((0..10_000).all(|_| sources.admit(Mono(1), A, 0, 0)));
    }

    #[test]
    fn lines_of_a_noisy_source_are_left_out_of_the_log_and_counted() {
        let mut sources = Sources::new();
        let lines = (0..100).filter(|_| sources.may_log(Mono(10), A, 0).is_some()).count();
        assert_eq!(lines, usize::from(LOG_LINES_MAX));
        assert_eq!(sources.may_log(Mono(60_010), A, 0), Some(70));
        assert_eq!(sources.may_log(Mono(60_011), A, 0), Some(0));
    }

    /// Addresses that share a set with each other.
    fn of_one_set(sources: &Sources, count: usize) -> Vec<Ipv4Addr> {
        let set = |address: &Ipv4Addr| {
            crate::engine::index::hash_number(u64::from(address.to_bits()) ^ sources.seed) as usize % sources.sets.len()
        };
        let all = (1..=u32::MAX).map(|bits| Ipv4Addr::from_bits(0x0A00_0000 + bits));
        all.filter(|address| set(address) == 7).take(count).collect()
    }

    #[test]
    fn addresses_that_share_a_set_get_only_the_rates_of_its_places() {
        for (seed, count) in [(0, WAYS + 1), (99, 40)] {
            let mut sources = Sources::new();
            sources.scatter(seed);
            let crowd = of_one_set(&sources, count);
            let mut admitted = 0;
            for frame in 0..4000_u64 {
                let address = crowd[usize::try_from(frame).unwrap() % count];
                admitted += u32::from(sources.admit(Mono(1000 + frame / 3), address, 10, 0));
            }
            // A burst of 40 and 13 more per place, and the same for the shared one.
            assert!(admitted <= (u32::try_from(WAYS).unwrap() + 1) * (40 + 14), "{admitted}");
        }
    }

    #[test]
    fn an_address_finds_a_place_and_a_burst_after_others_were_quiet() {
        let mut sources = Sources::new();
        let crowd = of_one_set(&sources, WAYS + 2);
        let count = |sources: &mut Sources, at: u64, address: &Ipv4Addr| {
            (0..100).filter(|_| sources.admit(Mono(at), *address, 10, 0)).count()
        };
        for address in &crowd[..=WAYS] {
            assert_eq!(count(&mut sources, 1000, address), 40);
        }
        assert_eq!(count(&mut sources, 1000, &crowd[WAYS + 1]), 0, "the shared bucket is empty");
        // Four seconds fill every bucket, so the longest idle place is taken.
        assert_eq!(count(&mut sources, 5000, &crowd[WAYS + 1]), 40);
        assert_eq!(count(&mut sources, 5000, &crowd[1]), 40);
    }

    #[test]
    fn one_flooding_source_does_not_use_up_the_rate_of_all() {
        let mut sources = Sources::new();
        assert_eq!((0..1000).filter(|_| sources.admit(Mono(5), A, 10, 20)).count(), 40);
        assert_eq!(
            (0..1000).filter(|_| sources.admit(Mono(5), B, 10, 20)).count(),
            40,
            "half of the total rate is left"
        );
    }

    #[test]
    fn a_place_s_log_lines_count_for_the_address_that_takes_it() {
        let mut sources = Sources::new();
        let crowd = of_one_set(&sources, 20 * WAYS);
        let lines = crowd.iter().flat_map(|address| [address; 100]).enumerate();
        let written = lines.filter(|(at, address)| sources.may_log(Mono(*at as u64 / 10), **address, 10).is_some());
        assert!(written.count() <= (WAYS + 1) * usize::from(LOG_LINES_MAX));
    }
}
