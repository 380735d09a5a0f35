//! The last line of trouble: the log hands it over, status tells it.

use super::time::Stamp;

/// Bytes kept of the last line of trouble: what an operator needs to know where to look, and little
/// enough for the control socket's answer.
pub(crate) const TROUBLE_LEN_MAX: usize = 240;

/// The last line of trouble, for status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Lines of trouble since the start; 0: there was none, and the rest says nothing.
    pub count: u32,
    /// Whether it was an error, and not a warning.
    pub is_error: bool,
    /// When it was logged.
    pub at: Stamp,
    /// The line, cut at a character. Long runs of digits in quotes show their last four: a frame's
    /// bytes may be there.
    pub line: heapless::String<TROUBLE_LEN_MAX>,
}
