//! The last warning or error: the log provides it, status shows it.

use super::time::Stamp;

/// Bytes kept of the last warning or error: enough for an operator to know where to look, and short
/// enough for the control socket's answer.
pub(crate) const TROUBLE_LEN_MAX: usize = 240;

/// The last warning or error, for status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Warnings and errors since the start. If 0, the other fields have no meaning.
    pub count: u32,
    /// Whether it was an error; otherwise a warning.
    pub is_error: bool,
    /// When it was logged.
    pub at: Stamp,
    /// The line, cut at a character. Long runs of digits in quotes show their last four: a frame's
    /// bytes may be there.
    pub line: heapless::String<TROUBLE_LEN_MAX>,
}
