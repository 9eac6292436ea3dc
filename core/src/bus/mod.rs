//! Hints between nodes: what wakes a node up. A hint may be lost, late, or double; the log has the truth.
//!
//! - here: the port.
//! - [`listener`]: the bounded queue between a bus and whoever listens to it; every implementation fills one.
//! - [`local`]: the bus of a single process.
//! - [`redis`]: the bus of several nodes, over a Redis Cluster.

pub mod listener;
pub mod local;
pub mod redis;

use crate::domain::{
    ConversationId, Event, Place, Seq, Tenant, User,
    hash::{LANES, lane_of, lane_of_user},
};
use async_trait::async_trait;
use bytes::Bytes;
pub use listener::{Feed, Listener};
use std::sync::Arc;

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
    /// A conversation's log ends here, or later: what an `Appended` becomes that is too large for the way.
    Ends {
        /// The conversation.
        place: Place,
        /// Its last event, as far as is known.
        last_seq: Seq,
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
    /// An encoded `nexus.v1.Ephemeral` for a user's own streams.
    Account {
        /// The user's tenant.
        tenant: Tenant,
        /// The user.
        user: User,
        /// The encoded message.
        body: Bytes,
    },
    /// Who is here at a node, repeated every now and then.
    Roll {
        /// The node's own number.
        node: u64,
        /// Some of them, or all.
        people: Arc<[Person]>,
        /// Whether all were named, with this and what came before.
        last: bool,
    },
    /// How a user is, an encoded `nexus.v1.Ephemeral`, for those who share one of these conversations with them. Each of
    /// their streams hears it once.
    Presence {
        /// The number of the node where they are, or were.
        node: u64,
        /// The user's tenant.
        tenant: Tenant,
        /// The user.
        user: User,
        /// The user's conversations, a bounded number of them.
        conversations: Arc<[ConversationId]>,
        /// The encoded message.
        body: Bytes,
    },
}

/// Somebody who is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The user's tenant.
    pub tenant: Tenant,
    /// The user.
    pub user: User,
    /// How they are, an encoded `nexus.v1.Presence`.
    pub body: Bytes,
}

impl Hint {
    /// The lane on which it travels.
    pub fn lane(&self) -> u16 {
        match self {
            Hint::Appended { place, .. } | Hint::Ends { place, .. } | Hint::Ephemeral { place, .. } => {
                lane_of(place)
            }
            Hint::Memberships { tenant, user }
            | Hint::Account { tenant, user, .. }
            | Hint::Presence { tenant, user, .. } => lane_of_user(tenant, user),
            // Any would do, as long as one node's go one way.
            Hint::Roll { node, .. } => (node % u64::from(LANES)) as u16,
        }
    }

    /// Whether somebody must make up for it when it is lost.
    pub fn matters(&self) -> bool {
        match self {
            Hint::Appended { .. } | Hint::Ends { .. } | Hint::Memberships { .. } => true,
            Hint::Ephemeral { .. } | Hint::Account { .. } | Hint::Presence { .. } | Hint::Roll { .. } => {
                false
            }
        }
    }

    /// About how many bytes it holds.
    pub fn size(&self) -> usize {
        match self {
            Hint::Appended { events, .. } => events.iter().map(Event::size).sum(),
            Hint::Ends { .. } | Hint::Memberships { .. } => 128,
            Hint::Ephemeral { body, .. } | Hint::Account { body, .. } => 128 + body.len(),
            Hint::Roll { people, .. } => {
                128 + people.iter().map(|person| 128 + person.body.len()).sum::<usize>()
            }
            Hint::Presence { conversations, body, .. } => 128 + 16 * conversations.len() + body.len(),
        }
    }
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

    /// Why other nodes may not be heard just now, if that is so. Asked every second.
    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    /// Whether hints of a lane reach this node, as far as it knows. Asked for every read that memory could answer.
    fn hears(&self, _lane: u16) -> bool {
        true
    }

    /// Says farewell to the other nodes, and ends. Bounded in time.
    async fn shutdown(&self) {}

    /// Where edges reach the nodes that are heard, this one included; as each announces itself.
    fn nodes(&self) -> Vec<String> {
        Vec::new()
    }

    /// What this node hears, from now on. What doesn't fit its queue becomes [`Heard::Missed`].
    fn listen(&self) -> Listener;
}
