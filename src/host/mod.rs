//! The machine: sockets, signals, clocks, the log. Only this room and the commands do IO on it.

mod arrival;
pub mod clock;
pub mod control_socket;
mod drops;
pub mod event_loop;
mod interfaces;
mod kernel;
pub mod logging;
mod lost;
pub mod machine;
mod trace;
pub mod udp;
pub mod watch;
