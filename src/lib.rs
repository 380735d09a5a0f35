//! posgate: the server that canteen card terminals (消费机), scan-to-pay terminals and door access boards
//! (门禁控制板) talk to over UDP.
#![doc = include_str!("lib.md")]

// In reading order: values first, then decisions, then the world.
pub mod gbk;
pub mod index;
pub mod ledger;
pub mod limits;
pub mod model;
