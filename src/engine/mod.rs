//! The rules: bytes and times come in, decisions and effects go out, in order.
//!
//! *Invariants.* Nothing here does IO, reads a clock, or names `std`. Every table has a fixed
//! capacity ([`limits`]).

#![deny(clippy::std_instead_of_core, clippy::std_instead_of_alloc)]

pub mod book;
pub mod gbk;
pub mod index;
pub mod limits;
pub mod model;
pub mod policy;
pub mod server;
pub mod wheel;
pub mod wire;
pub mod words;
