//! Reports from a ledger: lists, the daily close (日结), tables for a spreadsheet, the story of one
//! sale (design.md, section 3).
//!
//! ```text
//!   directories, segments ──▶ [source] ──▶ entries that follow from each other ─┬─▶ [show] [export]    as they come
//!   snapshot.tsv, if the first segments were taken away                         ├─▶ [report] [balances] one pass, flat memory
//!                                                                               └─▶ [explain]          two passes
//! ```
//!
//! *Invariants:*
//! - Nothing here writes, locks or repairs, so all of it works beside the running server and on
//!   read-only media.
//! - A line that is just being written does not count yet.
//! - A ledger that is damaged before its end is refused with file, line and case, and no sum of it
//!   is printed.

use core::fmt;
use std::io;

pub mod attendance;
pub mod balances;
pub mod days;
pub mod explain;
pub mod export;
pub mod filter;
pub mod groups;
pub mod people;
pub mod report;
pub mod show;
pub mod source;
pub mod totals;
pub mod words;

pub use days::Calendar;
pub use filter::Filter;
pub use source::Source;

/// Why a report cannot be made.
#[derive(Debug)]
pub enum AuditError {
    /// A file could not be read, or the output could not be written.
    Io(io::Error),
    /// The ledger is damaged: file, line and case.
    Damaged(String),
    /// The command line is wrong: a sentence that says what to write instead.
    Usage(String),
    /// There is no such entry: a sentence.
    Nothing(String),
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Damaged(sentence) | Self::Usage(sentence) | Self::Nothing(sentence) => sentence.fmt(f),
        }
    }
}

impl std::error::Error for AuditError {}

impl From<io::Error> for AuditError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl AuditError {
    /// Whether the reader of the output has gone (`posgate ledger show | head`).
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
