//! The words of the domain; they import nothing of this crate.
//!
//! - [`ids`]: tenants, users, conversations, client ids, and the ids that derive from others.
//! - [`event`]: an entry of the log as it is stored.
//! - [`hash`]: the hashes that stored data and clients depend on: derived ids, digests, lanes.

pub mod event;
pub mod hash;
pub mod ids;

pub use event::{Event, Kind};
pub use ids::{Caller, ClientId, ConversationId, InvalidName, Name, Place, Seq, Tenant, User};
