//! The edge of Nexus: TLS and HTTP/1.1 by Pingora, HTTP/2 by h2, policy by a Tower stack.
//!
//! A request goes down this list, and its answer up again:
//!
//! - `gateway.rs`: starting and ending; the public interface
//! - `reload.rs`: what can be changed meanwhile
//! - `config/`: the section `[gateway]`
//! - `proxy/`: Pingora, kept apart. It listens, speaks TLS and HTTP/1.1
//! - `forward/`: a request from its header to its line in the log: asks the policy, moves bytes
//! - `policy/`: what to do with a request, as Tower layers over its head
//! - `routing/`: which chat node gets it
//!
//! and beside it stand
//!
//! - `tls/`: certificates, made, read and renewed
//! - `admin.rs`: health and metrics for operators; `metrics.rs`: every metric
//! - `assets.rs`: the files of the web page; `clock.rs`: the time of day
//! - `fuzzing.rs`: not part of the edge; with the feature of that name, the soak tests feed it bytes

/// Pingora logs an error for every client that breaks off a handshake; whoever scans ports could fill a disk.
/// These directives of `tracing_subscriber::EnvFilter` leave that out, and keep everything else of Pingora from
/// warnings upwards.
pub const LOG_DIRECTIVES: &str = "pingora_core=warn,pingora_core::services::listening=off,pingora_proxy=warn";

mod admin;
mod assets;
mod clock;
pub mod config;
mod forward;
#[doc(hidden)]
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod gateway;
mod metrics;
mod policy;
mod proxy;
mod reload;
mod routing;
mod tls;

pub use assets::Assets;
pub use clock::Clock;
pub use config::Config;
pub use gateway::{Addresses, Drained, Gateway, Running, StartError};
pub use reload::ReloadError;
pub use routing::{Address, BadAddress, Endpoint, Upstreams};
pub use tls::TlsError;
