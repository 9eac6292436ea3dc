//! Delivery over real conversations: what a device sees.
//!
//! - [`world`]: a node on a paused clock, and devices that check what they get.
//! - [`attach`]: one thing after another. [`property`]: everything at once.
//! - [`wire`]: over real sockets, threads and the embedded store, by gRPC and gRPC-web.
//! - [`ephemeral`]: presence, typing and markers.

mod attach;
mod ephemeral;
mod property;
mod wire;
pub mod world;
