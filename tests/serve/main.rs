//! The real binary on the loopback: what stands outside sees frames, files, signals, streams and exit codes, nothing else.

mod commands;
mod commit;
mod crash;
mod format;
mod frames;
mod harness;
mod life;
mod reload;
mod resend;
