//! What people ask and order: lines of the control socket, reports, and the status.

pub mod audit;
pub mod control;
pub mod json;
pub mod paper;
pub mod status;
pub mod table;
