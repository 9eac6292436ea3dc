//! The checker: users on a running deployment who write and listen, and a judge of what they saw.
//!
//! - [`check`]: rooms of users, an open-loop rate, connections that are broken on purpose, a report.
//! - [`deliveries`]: how long each delivery took.

pub mod check;
pub mod deliveries;

pub use check::{Connect, Plan, Report, check, development, envelope};
pub use deliveries::Deliveries;
