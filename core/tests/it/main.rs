//! Tests of the core's parts against what a caller notices, in one binary so that it links once.
//!
//! - [`cache`]: what is answered from memory is what the store would answer.
//! - [`store_port`]: what the store port promises, of every implementation.
//! - [`memory`]: a store on a paused clock; [`sequences`]: the embedded store is its equal.
//! - [`embedded`]: what the embedded store promises beyond that.
//! - [`torn`]: what it makes of a damaged journal; [`crash`]: of kill -9.
//! - [`left`]: what those who left may read. [`retention`]: what is left of a log that was trimmed.
//! - [`presence`]: who is told how somebody is, and what it costs.
//! - [`told`]: the bus is told of everything that was appended.
//! - [`hashes`]: the test vectors of what stored data and clients depend on.
//! - [`delivery`]: what an attached device sees, over [`memory`].
//! - [`served`]: a whole node over its socket: the table of methods, and what only the services do.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cache;
mod conversation;
mod crash;
mod delivery;
mod embedded;
mod hashes;
mod left;
mod memory;
mod presence;
mod retention;
mod sequences;
mod served;
mod store_port;
mod told;
mod torn;
