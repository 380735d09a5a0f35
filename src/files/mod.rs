//! Reads the files that people write into checked values, or reports all their problems at once,
//! each with file, line and remedy.

pub mod cards;
pub mod config;
pub mod good;
pub mod problem;
pub mod put;
pub mod sheet;
pub mod sight;
pub mod zone;
