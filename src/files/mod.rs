//! Files that people write, into checked values: all problems at once, each with its file, line and
//! remedy.

pub mod cards;
pub mod config;
pub mod good;
pub mod problem;
pub mod sheet;
pub mod zone;
