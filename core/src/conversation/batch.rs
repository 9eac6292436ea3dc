//! What a batch of commands comes to, before it is appended.

use super::{command::Refusal, fold::Change};
use crate::{domain::User, log::Entry, store::Dedupe};
use nexus_proto::v1::event::Body;
use std::collections::HashMap;

/// What a batch is to do, by the index of each command in it.
#[derive(Default)]
pub(super) struct Plan {
    pub entries: Vec<Entry>,
    pub seqs: HashMap<usize, Dedupe>,
    pub refused: HashMap<usize, Refusal>,
    pub changes: Vec<Change>,
    /// Users who become members.
    pub joining: Vec<User>,
    /// Users whose membership changes.
    pub moved: Vec<User>,
}

impl Plan {
    pub fn note_members(&mut self, body: &Body) {
        let (joining, leaving): (&[_], _) = match body {
            Body::ConversationCreated(b) => (&b.members, None),
            Body::MembersAdded(b) => (&b.members, None),
            Body::MemberRemoved(b) => (&[], Some(&b.user)),
            _ => (&[], None),
        };
        let joining: Vec<User> = joining.iter().filter_map(|m| User::new(&m.user).ok()).collect();
        self.moved.extend(joining.iter().cloned());
        self.moved.extend(leaving.and_then(|user| User::new(user).ok()));
        self.joining.extend(joining);
    }
}
