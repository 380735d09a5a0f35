//! The real binary on the loopback. The tests see frames, files, signals, streams and exit codes,
//! nothing else.

#![allow(clippy::unwrap_used, reason = "these are tests, and so are their helpers")]

mod commands;
mod commit;
mod format;
mod frames;
mod harness;
mod identity;
mod import;
mod interfaces;
mod life;
#[path = "../support/not_run.rs"]
mod not_run;
#[path = "../support/own_network.rs"]
mod own_network;
#[path = "../support/program.rs"]
mod program;
mod reload;
mod resend;
mod room;
mod status;
mod trace;
