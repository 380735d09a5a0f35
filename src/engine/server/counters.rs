//! What happened, in numbers: for the log now, and for status and metrics.

use core::fmt;

use crate::engine::model::Reason;

macro_rules! counters {
    ($(#[doc = $doc:literal] $name:ident)*) => {
        /// Counts since start.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $(#[doc = $doc] pub $name: u64,)*
            /// Refusals of sales and doors, in the order of [`Reason::ALL`].
            reasons: [u64; Reason::ALL.len()],
        }

        impl Counters {
            #[cfg(test)]
            fn fill(&mut self, count: u64) {
                $(self.$name = count;)*
            }

            /// Names and counts, in a stable order.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }

            /// What became of all datagrams that arrived: as many as `received`, or one was dropped
            /// silently.
            pub fn outcomes(&self) -> u64 {
                let dropped = self.all().filter(|(name, _)| name.starts_with("dropped_")).map(|(_, count)| count);
                self.acknowledged + self.unacknowledged + dropped.sum::<u64>()
            }

            /// What each of [`Counters::all`] counts, for people.
            pub fn meanings() -> impl Iterator<Item = &'static str> {
                [$($doc.trim_ascii(),)*].into_iter()
            }

            /// For the log: ` name=count` for all that happened at all, save what `stop` names
            /// first.
            pub fn others(&self) -> impl fmt::Display {
                Others(self)
            }
        }
    };
}

counters! {
    /// Datagrams that arrived.
    received
    /// Frames that were acknowledged.
    acknowledged
    /// Frames that want no 001: 100, and 109 unless `ack_109` says otherwise.
    unacknowledged
    /// From a source that `allow` does not hold.
    dropped_source
    /// Beyond a rate.
    dropped_rate
    /// Over 1,024 bytes.
    dropped_long
    /// A known code with fewer than five fields.
    dropped_short
    /// No code at all.
    dropped_code
    /// A seq that is no number.
    dropped_seq
    /// A machine number that is no number.
    dropped_machine
    /// Codes that nobody knows.
    unknown_codes
    /// A field that could not be read.
    malformed
    /// Frames of another device under a machine number in use.
    clashes
    /// Frames of unregistered devices in quarantine.
    quarantined
    /// Frames recognized as sent again.
    duplicates
    /// Sales recognized as tried again or booked before.
    recognized
    /// Sales approved.
    approved
    /// Sales refused.
    declined
    /// Offline sales booked.
    offline
    /// Offline sales listed and not booked.
    offline_claimed
    /// Doors opened.
    admitted
    /// Doors kept shut.
    refused
    /// Commands sent again.
    resent
    /// Commands confirmed by 109.
    confirmed
    /// Commands whose resending ended without a 109.
    unconfirmed
    /// 109s that confirmed nothing.
    stray_confirms
    /// 105s without 011, and sales refused, because a table or the disk is full.
    full
    /// Entries left out: by the limit a minute, or since only the reserve is left.
    left_out
    /// Entries left out because nothing could be written.
    unwritten
    /// Doors opened without an entry, because nothing could be written.
    admitted_unwritten
}

impl Counters {
    /// A sale or a door was refused for this reason.
    pub(super) fn count_reason(&mut self, reason: Reason) {
        self.reasons[reason as usize] += 1;
    }

    /// Refusals by reason, in the ladder's order. A frame sent again is not counted again.
    pub fn reasons(&self) -> impl Iterator<Item = (Reason, u64)> + Clone {
        Reason::ALL.iter().copied().zip(self.reasons)
    }

    /// All counts as high as they go.
    #[cfg(test)]
    pub(crate) fn highest() -> Self {
        let mut counters = Self { reasons: [u64::MAX; Reason::ALL.len()], ..Self::default() };
        counters.fill(u64::MAX);
        counters
    }
}

struct Others<'a>(&'a Counters);

impl fmt::Display for Others<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_other = |name: &str| !["received", "approved", "declined"].contains(&name);
        let mut counts = self.0.all().filter(|(name, count)| *count > 0 && is_other(name));
        counts.try_for_each(|(name, count)| write!(f, " {name}={count}"))
    }
}
