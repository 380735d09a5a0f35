//! The machine: sockets, signals, clocks, the log. Only this room and the commands touch the world.

mod arrival;
pub mod clock;
pub mod control_socket;
pub mod drops;
pub mod event_loop;
pub mod kernel;
pub mod logging;
mod lost;
pub mod machine;
pub mod udp;
pub mod watch;
