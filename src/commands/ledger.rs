//! pending
use super::Options;
pub(super) fn verify(_: &Options) -> u8 {
    0
}
pub(super) fn show(_: &Options) -> u8 {
    0
}
