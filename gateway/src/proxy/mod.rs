//! Pingora, kept apart: it listens, speaks TLS, and reads and writes HTTP/1.1. Nothing here decides anything,
//! and nothing outside names a type of Pingora's.
//!
//! - `server.rs`: Pingora's server on a thread of its own, and its end
//! - `listen.rs`: sockets bound before anything starts, handed to Pingora
//! - `app.rs`: what happens to an accepted connection; `connections.rs`: how many there may be;
//!   `http1_head.rs`: reading an HTTP/1.1 header with limits
//! - `edge.rs`: what happens to a request over HTTP/1.1; `http1.rs`: its client

mod app;
mod connections;
mod edge;
mod http1;
mod http1_head;
mod listen;
mod server;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use http1_head::fuzz as fuzz_http1_head;
pub(crate) use listen::{Bound, bind};
pub(crate) use server::{Plan, Server};
