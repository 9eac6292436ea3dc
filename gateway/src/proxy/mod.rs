//! Pingora, kept apart: it reads requests, asks the policy, and moves bytes. Nothing here decides anything,
//! and nothing outside names a type of Pingora's.
//!
//! - `server.rs`: Pingora's server on a thread of its own, and its end
//! - `listen.rs`: sockets bound before anything starts, handed to Pingora
//! - `app.rs`: what happens to an accepted connection; `connections.rs`: how many there may be;
//!   `http1_head.rs`: reading an HTTP/1.1 header with limits; `io.rs`: how bytes are written
//! - `edge.rs`: what happens to a request; `reply.rs`: answers; `peer.rs`: connections to chat nodes;
//!   `request.rs`: what is known of a request while it lasts, and its line in the log

mod app;
mod connections;
mod edge;
mod http1_head;
mod io;
mod listen;
mod peer;
mod reply;
mod request;
mod server;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use http1_head::fuzz as fuzz_http1_head;
pub(crate) use listen::{Bound, bind};
pub(crate) use server::{Plan, Server};
