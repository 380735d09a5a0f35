//! Asks the kernel whether its clock is disciplined (design.md, section 11). The one module with `unsafe`.
//!
//! No kept crate offers `adjtimex` (nix 0.31 has none), and there is no other way to ask: whether a time daemon has
//! set the clock is known to the kernel alone. The call is a read: with `modes` 0 it changes nothing and
//! needs no capability. What has to be right is said at each `unsafe`; nothing else may be added here.

#![allow(unsafe_code)]

/// Whether the kernel says that its clock is synchronized. A kernel that cannot be asked says no.
///
/// Only [`crate::clock::Clock`] calls this, at most once a second.
pub fn synchronized() -> bool {
    // SAFETY: `timex` is a C struct of integers only, for which all zeros is a valid value.
    let mut state: libc::timex = unsafe { core::mem::zeroed() };
    state.modes = 0;
    // SAFETY: the pointer leads to a live `timex` that nobody else uses. The kernel (or the C library, which on a 32-bit
    // machine translates the layout) fills it during the call and keeps no pointer.
    let result = unsafe { libc::adjtimex(&raw mut state) };
    // -1 is an error (a sandbox that forbids the call), TIME_ERROR a clock that nobody has set or that drifted away.
    result >= 0 && result != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_twice_gives_the_same_answer() {
        // Nothing is known about the machine a test runs on but that it does not change meanwhile.
        assert_eq!(synchronized(), synchronized());
    }
}
