//! The world's side of the server: sockets and the loop (design.md, section 2).

pub mod udp;
