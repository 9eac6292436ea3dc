//! Which chat node gets a request.
//!
//! - `address.rs`: the address of a node, as the configuration writes it
//! - `dial.rs`: a socket to one
//! - `discovery.rs`: which nodes there are, as names lead to them
//! - `rendezvous.rs`: a key's order of preference among the nodes (consistent hashing)
//! - `upstreams.rs`: the set of nodes, swapped as a whole, with the health of each
//! - `choosing.rs`: which of them gets a request, by its key and their loads
//! - `ejection.rs`: a node that passes its checks and fails its calls
//! - `ending.rs`: when what is under way at a node ends before it is done
//! - `health.rs`: the gRPC health checks that take a node out and bring it back

mod address;
mod choosing;
mod dial;
mod discovery;
mod ejection;
mod ending;
mod health;
mod rendezvous;
mod upstreams;

pub use address::{Address, BadAddress, Endpoint};
pub(crate) use choosing::{Chosen, Load};
pub(crate) use dial::dial;
pub(crate) use discovery::{Discovery, Learned};
pub use ejection::Eject;
pub(crate) use ending::{Ending, Out};
pub(crate) use health::watch;
pub use upstreams::Upstreams;
