//! The real parts of a cluster on one machine, for tests, for `make cluster` and for `make faults`.
//!
//! - [`process`]: a program that runs: its log, its signals, its end.
//! - [`program`]: our own program as a chat node or an edge; [`authority`]: their certificates.
//! - [`ports`]: addresses that nobody uses.
//! - [`redis`]: a Redis Cluster.

pub mod authority;
pub mod ports;
pub mod process;
pub mod program;
pub mod redis;
