//! The naive model of the rates (design.md, section 13): a source has four seconds of its rate at
//! once, and then its rate; all together too.

use std::net::Ipv4Addr;

use super::aging::Map;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of a frame.
    tokens: u64,
    at: u64,
}

/// What each source may still send in this process.
#[derive(Clone, Debug, Default)]
pub struct Buckets {
    all: Option<Bucket>,
    sources: Map<Ipv4Addr, Bucket>,
}

impl Buckets {
    /// Whether a frame is within the rates, frames a second; 0: no limit.
    pub fn take(&mut self, t: u64, source: Ipv4Addr, rate_source: u64, rate_total: u64) -> bool {
        let own = self.sources.entry(source).or_insert(Bucket { tokens: 4000 * rate_source, at: t });
        own.take(t, rate_source)
            && self.all.get_or_insert(Bucket { tokens: 4000 * rate_total, at: t }).take(t, rate_total)
    }
}

impl Bucket {
    fn take(&mut self, t: u64, rate: u64) -> bool {
        self.tokens = (self.tokens + (t - self.at) * rate).min(4000 * rate);
        self.at = t;
        let is_within = rate == 0 || self.tokens >= 1000;
        self.tokens -= if is_within && rate > 0 { 1000 } else { 0 };
        is_within
    }
}
