//! A local copy of what a client has seen, kept by applying the stream: it equals what fetching afresh would give
//! (VIEW-1).
//!
//! - `fold`: what an event does to a message. `coverage`: which seqs are known completely.
//! - `conversation`: one conversation, from pages and events in any order. `summary`: its line in the list.
//! - this file: all conversations of a user, fed with the items of an attachment.
//!
//! ```
//! use nexus_client::{Item, state::Replica, v1};
//!
//! let mut replica = Replica::new("bob");
//! let conversation = v1::Conversation { id: "c".into(), last_seq: 7, reflects: 7, ..Default::default() };
//! replica.summary(conversation);
//! let hole = Item::Hole { conversation_id: "c".into(), first: 1, last: 7, reason: v1::ResetReason::NoCursor };
//! replica.apply(&hole);
//! assert_eq!(replica.get("c").unwrap().older(), Some(None), "its newest messages are to be fetched");
//! ```
mod conversation;
mod coverage;
pub mod fold;
mod summary;

use std::collections::HashMap;

use nexus_proto::v1;

use crate::Item;
pub use conversation::{Conversation, Stale};
pub use coverage::Coverage;

/// All conversations that a user has seen.
#[derive(Clone, Debug)]
pub struct Replica {
    user: String,
    conversations: HashMap<String, Conversation>,
}

impl Replica {
    /// Nothing yet.
    pub fn new(user: impl Into<String>) -> Self {
        Self { user: user.into(), conversations: HashMap::new() }
    }

    /// Applies what an attachment delivered. Gives the conversation that has changed by it. Items that are not
    /// events of a conversation change nothing.
    pub fn apply<'a>(&mut self, item: &'a Item) -> Option<&'a str> {
        match item {
            Item::Events { conversation_id, events, .. } => {
                let conversation = self.entry(conversation_id);
                events.iter().for_each(|event| conversation.event(event));
                Some(conversation_id)
            }
            Item::Hole { conversation_id, last, .. } | Item::Skipped { conversation_id, last, .. } => {
                self.entry(conversation_id).hole(*last);
                Some(conversation_id)
            }
            Item::Forget { conversation_id } => {
                self.conversations.remove(conversation_id);
                Some(conversation_id)
            }
            Item::Attached { .. }
            | Item::CaughtUp
            | Item::Ephemeral(_)
            | Item::Detached { .. }
            | Item::Ended { .. } => None,
        }
    }

    /// Takes a conversation as the server gave it (by ListConversations, GetConversation, and so on).
    pub fn summary(&mut self, summary: v1::Conversation) {
        let id = summary.id.clone();
        self.entry(&id).summary(summary);
    }

    /// One conversation.
    pub fn get(&self, conversation_id: &str) -> Option<&Conversation> {
        self.conversations.get(conversation_id)
    }

    /// One conversation.
    pub fn get_mut(&mut self, conversation_id: &str) -> Option<&mut Conversation> {
        self.conversations.get_mut(conversation_id)
    }

    /// All of them, in no order.
    pub fn conversations(&self) -> impl Iterator<Item = &Conversation> {
        self.conversations.values()
    }

    fn entry(&mut self, id: &str) -> &mut Conversation {
        let user = &self.user;
        self.conversations.entry(id.to_owned()).or_insert_with(|| Conversation::new(user, id))
    }
}
