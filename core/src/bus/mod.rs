//! Hints between nodes: what wakes a node up. A hint may be lost, late, or double; the log has the truth.
//!
//! - here: the port.
//! - [`local`]: the bus of a single process.

pub mod local;

use crate::domain::{Event, Place, Tenant, User};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What a node tells all nodes.
#[derive(Debug, Clone)]
pub enum Hint {
    /// These consecutive events were appended to a conversation.
    Appended {
        /// The conversation.
        place: Place,
        /// Consecutive, at least one.
        events: Arc<[Event]>,
    },
    /// What a user is a member of may have changed.
    Memberships {
        /// The user's tenant.
        tenant: Tenant,
        /// The user.
        user: User,
    },
    /// An encoded `nexus.v1.Ephemeral` for the attached members of a conversation.
    Ephemeral {
        /// The conversation.
        place: Place,
        /// Whose doing it is.
        from: User,
        /// The encoded message.
        body: Bytes,
    },
}

/// What a node hears.
#[derive(Debug, Clone)]
pub enum Heard {
    /// A hint.
    Hint(Hint),
    /// Hints of this lane may have been missed: check it.
    Missed(u16),
}

/// The bus.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Tells all nodes, this one included. Bounded in time; `false` when it may not have been heard.
    async fn publish(&self, hint: Hint) -> bool;

    /// What this node hears, from now on. A bounded queue: what doesn't fit becomes [`Heard::Missed`].
    fn listen(&self) -> mpsc::Receiver<Heard>;
}
