//! The control socket and `posgate ctl` with the real binary: every command, every refusal with its
//! exit code and one line, kill -9 at the worst moments, and clients that are silent, slow or
//! hostile while terminals sell.

#![allow(clippy::unwrap_used, reason = "these are tests, and so are their helpers")]

mod batches;
mod clients;
mod crashes;
mod desk;
mod devices;
#[path = "../serve/harness.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of serve")]
mod harness;
mod language;
mod link;
#[path = "../support/not_run.rs"]
mod not_run;
#[path = "../support/own_network.rs"]
mod own_network;
#[path = "../support/program.rs"]
mod program;
mod purses;
mod socket;
mod tools;
mod whole;
mod wrong;
