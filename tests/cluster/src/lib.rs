//! The real parts of a cluster on one machine, for tests, for `make cluster` and for `make faults`.
//!
//! - [`deployment`]: all of it. [`faults`]: what it loses while something dies.
//! - [`cassandra`], [`redis`]: the log and the bus. [`front`]: what stands in front of edges.
//! - [`program`]: our own program as a chat node or an edge; [`authority`]: their certificates.
//! - [`process`]: a program that runs: its log, its signals, its end.
//! - [`ports`], [`clock`]: addresses that nobody uses; clocks that are wrong.
//! - [`cut`], [`proxy`]: who may talk to whom, by the packet filter or by what stands between them.

pub mod authority;
pub mod cassandra;
pub mod clock;
pub mod cut;
pub mod deployment;
pub mod faults;
pub mod front;
pub mod ports;
pub mod process;
pub mod program;
pub mod proxy;
pub mod redis;
