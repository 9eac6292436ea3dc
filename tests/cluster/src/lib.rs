//! The real parts of a cluster on one machine, for tests, for `make cluster` and for `make faults`.
//!
//! - [`process`]: a program that runs: its log, its signals, its end.
//! - [`ports`]: addresses that nobody uses.

pub mod ports;
pub mod process;
