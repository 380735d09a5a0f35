//! What the fuzz targets do with their input: a module each. A broken promise is a panic, which is
//! what the fuzzer looks for.
//!
//! | target | input | promises |
//! |---|---|---|
//! | [`datagrams`] | frames, time and restarts, a line each | see there |
//! | [`config`] | a configuration | no panic; what is accepted serves frames |
//! | [`cards`] | a card table | no panic; what is accepted can be found, shown and charged |
//! | [`recovery`] | a ledger's files, spoiled | no panic; no wrong balance; mended once, whole for ever |
//! | [`snapshot`] | a snapshot beside whole ledgers, spoiled | believed only if it is the ledger's own; a start from it is one from the whole ledger |
//! | [`control`] | lines of the control socket, and what happens between them | no panic; done once; adds up |

pub mod cards;
pub mod config;
pub mod control;
pub mod datagrams;
pub mod recovery;
pub mod snapshot;

mod site;
mod storage;
