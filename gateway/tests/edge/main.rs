//! The real edge on port 0 with real chat nodes behind it, driven by real clients.
//!
//! - `world.rs`: an edge and its nodes; `node.rs`: a small gRPC server; `client.rs`: clients and tokens
//! - `calls.rs`: forwarding; `tokens.rs`: who may call; `web.rs`: browsers; `limits.rs`: rates and loads;
//!   `upstreams.rs`: nodes that fail; `abuse.rs`: clients that misbehave; `lifecycle.rs`: start, renewal, drain;
//!   `reload.rs`: another configuration; `log.rs`: what operators read

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod abuse;
mod calls;
mod client;
mod lifecycle;
mod limits;
mod log;
mod node;
mod reload;
mod tokens;
mod upstreams;
mod web;
mod world;
