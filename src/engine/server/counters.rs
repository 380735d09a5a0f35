//! Counters for the log, status and metrics.

use core::fmt;

use crate::engine::model::Reason;

macro_rules! counters {
    ($(#[doc = $doc:literal] $name:ident)*) => {
        /// Counts since the start.
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

            /// The number of datagrams with a counted outcome: equal to `received`, unless one was
            /// dropped without a count.
            pub fn outcomes(&self) -> u64 {
                let dropped = self.all().filter(|(name, _)| name.starts_with("dropped_")).map(|(_, count)| count);
                self.acknowledged + self.unacknowledged + dropped.sum::<u64>()
            }

            /// A description of each of [`Counters::all`].
            pub fn meanings() -> impl Iterator<Item = &'static str> {
                [$($doc.trim_ascii(),)*].into_iter()
            }

            /// For the log: ` name=count` for each count above 0, except those that the `stop` line
            /// names first.
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
    /// Frames that get no 001: 100, and 109 unless `ack_109` is set.
    unacknowledged
    /// Datagrams from a source outside `allow`.
    dropped_source
    /// Datagrams beyond the rate of a source or of all.
    dropped_rate
    /// Datagrams of more than 1,024 bytes.
    dropped_long
    /// Datagrams with a known code and fewer than five fields.
    dropped_short
    /// Datagrams without a code.
    dropped_code
    /// Datagrams whose seq is not a number.
    dropped_seq
    /// Datagrams whose machine number is not a number.
    dropped_machine
    /// Frames with an unknown code.
    unknown_codes
    /// Frames with an unreadable field.
    malformed
    /// Frames of another device with a machine number in use.
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
    /// Offline sales entered without effect.
    offline_claimed
    /// Doors opened.
    admitted
    /// Doors refused.
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
    /// Entries left out: by the limit per minute, or while only the reserve is left.
    left_out
    /// Entries left out because nothing could be written.
    unwritten
    /// Doors opened without an entry, because nothing could be written.
    admitted_unwritten
}

impl Counters {
    /// Counts a refused sale or door.
    pub(super) fn count_reason(&mut self, reason: Reason) {
        self.reasons[reason as usize] += 1;
    }

    /// Refusals by reason, in the ladder's order. A frame sent again is not counted again.
    pub fn reasons(&self) -> impl Iterator<Item = (Reason, u64)> + Clone {
        Reason::ALL.iter().copied().zip(self.reasons)
    }

    /// All counters at their highest value.
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
