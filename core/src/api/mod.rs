//! The gRPC services. Each only checks its request, calls what does the work, and puts the outcome into words.
//!
//! - [`identity`]: who calls. [`check`]: what needs no log to be checked. [`status`]: errors in the words of gRPC.
//! - [`framing`]: a request is one message.
//! - [`admin`]: what administrators may do. `accounts`: how people show themselves.
//! - `conversations` (with `directory` and `preferences`), `messages`, `history`, `markers`, `invitations`: a service each.
//! - [`stream`]: attaching; a service by hand. [`presence`]: presence and typing.
//! - [`development`]: tokens and the lobby, in development only.
//! - [`later`]: what is not there yet.
//! - [`wire`]: rows and events as clients see them.

mod accounts;
pub mod admin;
pub mod check;
mod conversations;
pub mod development;
mod directory;
pub mod framing;
mod history;
pub mod identity;
mod invitations;
pub mod later;
mod markers;
mod messages;
mod preferences;
pub mod presence;
pub mod status;
pub mod stream;
pub mod wire;

use crate::{account::Accounts, clock::SharedClock, conversation::Conversations};
use std::sync::Arc;

/// What the services stand on.
pub struct Api {
    /// The conversations of this node.
    pub conversations: Arc<Conversations>,
    /// What is kept of users.
    pub accounts: Accounts,
    /// The time of day.
    pub clock: SharedClock,
    /// Who administers.
    pub administrators: Vec<admin::Administrator>,
    /// Whether they read conversations of which they are no members.
    pub administrators_read: bool,
    /// Limits of requests.
    pub limits: check::Limits,
    /// Makes ids.
    pub ids: development::Ids,
}
