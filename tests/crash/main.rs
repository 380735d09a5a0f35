//! The real binary on real files, killed, starved of room and robbed of its directory: what was
//! answered is in the ledger exactly once, whatever happened.
//!
//! `cargo test --test crash` kills a few times; `.ci/crash` 200 times (`POSGATE_CRASH_ROUNDS`). The
//! seed of the instants is printed, and `POSGATE_CRASH_SEED` sets it; how far the server was at an
//! instant, only luck repeats.

#![allow(missing_docs, clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../serve/harness.rs"]
mod harness;
mod kills;
mod media;
mod moves;
#[path = "../support/not_run.rs"]
mod not_run;
mod tails;
mod terminal;
