//! What people ask and order: lines of the operator's tools, reports, and how everything stands.

pub mod audit;
pub mod control;
pub mod json;
pub mod status;
pub mod table;
