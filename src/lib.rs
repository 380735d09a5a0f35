//! posgate: the server that canteen card terminals (消费机), scan-to-pay terminals and door access boards
//! (门禁控制板) talk to over UDP.
#![doc = include_str!("lib.md")]

// In reading order: values first, then decisions, then the world.
pub mod limits;

pub mod index;

pub mod words;

pub mod gbk;

pub mod model;

pub mod wire;

pub mod wheel;

pub mod book;

pub mod policy;

pub mod server;

pub mod ledger;

pub mod problem;

pub mod config;

pub mod sheet;

pub mod cards;

pub mod good;

pub mod audit;

pub mod status;

pub mod control;

pub mod net;

pub mod zone;

pub mod kernel;

pub mod clock;

pub mod logging;
pub mod machine;
