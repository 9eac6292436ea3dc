//! The program as its users run it: a real process, TLS, real clients; killed and started again.
//!
//! - [`server`]: the process. [`chat`]: `nexus chat`. [`durability`]: what survives it.
//! - [`start`], [`configuration`]: what its start says when it can't.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod chat;
mod configuration;
mod durability;
mod server;
mod start;
