//! The chat node. Data flows one way through the folders, and each imports only those below it:
//!
//! - [`node`]: all of it put together, and served; [`admin`]: what those who run it look at.
//! - [`api`]: the gRPC services, thin.
//! - [`delivery`]: hubs and streams: what was appended reaches everybody who is attached.
//! - [`bus`]: hints between nodes; a port, and the local one.
//! - [`conversation`]: the aggregate: validate, append, fold. [`account`]: what is kept of users.
//! - [`log`]: the append protocol: buckets, conditions, dedupe.
//! - [`store`]: the port under it, and the embedded store.
//! - [`socket`]: sockets as h2 should see them.
//! - [`config`], [`clock`], [`domain`], [`watch`]: what all of them stand on.
//!
//! `fuzzing` is not part of the node: with the feature of that name, the soak tests feed it bytes.

pub mod account;
pub mod admin;
pub mod api;
pub mod bus;
pub mod clock;
pub mod config;
pub mod conversation;
pub mod delivery;
pub mod domain;
#[doc(hidden)]
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod log;
pub mod node;
pub mod socket;
pub mod store;
pub mod watch;
