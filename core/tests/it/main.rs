//! Tests of the core's parts against what a caller notices, in one binary so that it links once.
//!
//! - [`store_port`]: what the store port promises, of every implementation.
//! - [`embedded`]: what the embedded store promises beyond that.
//! - [`torn`]: what it makes of a damaged journal.
//! - [`delivery`]: what an attached device sees, over [`memory`], a store on a paused clock.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod delivery;
mod embedded;
mod memory;
mod store_port;
mod torn;
