//! The checker: users on a running deployment who write and listen, and a judge of what they saw.
//!
//! - [`check`]: rooms of users, an open-loop rate, connections that are broken on purpose, a report.
//! - [`deliveries`]: how long each delivery took.
//! - `person`: a user who writes and listens. `history`: what the server shows afterwards. `seen`: what was observed.

pub mod check;
pub mod deliveries;
mod history;
mod person;
mod seen;

pub use check::{Plan, Report, check, development, envelope};
pub use deliveries::Deliveries;
pub use person::Connect;
