//! The rows of a conversation's views that are in memory.

use super::{
    invitation::Invitation,
    rows::{About, Key, Member, MessageRow},
};
use crate::domain::{Seq, User};
use std::collections::BTreeMap;

/// A row as it was looked up, or that there is none; and the last event that is in it. Another node, or this one before a
/// crash, may have stored more of some rows than the others reflect: an event that is in a row must not change it again.
#[derive(Debug, Clone)]
pub struct Dated<T> {
    /// The event.
    pub at: Seq,
    /// The row.
    pub row: Option<T>,
}

impl<T> Default for Dated<T> {
    fn default() -> Self {
        Self { at: 0, row: None }
    }
}

/// Rows by key.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub(super) about: Dated<About>,
    pub(super) members: BTreeMap<User, Dated<Member>>,
    /// Boxed, since a tree moves what it holds.
    pub(super) messages: BTreeMap<Seq, Dated<Box<MessageRow>>>,
    pub(super) invitations: BTreeMap<Seq, Dated<Invitation>>,
    /// Messages up to this seq are gone, whatever is stored of them still.
    pub(super) floor: Seq,
}

impl Rows {
    /// What the conversation is; `None` before its first event.
    pub fn about(&self) -> Option<&About> {
        self.about.row.as_ref()
    }

    /// A user's row, if it was loaded and exists.
    pub fn member(&self, user: &User) -> Option<&Member> {
        self.members.get(user)?.row.as_ref()
    }

    /// A message, if it was loaded and exists.
    pub fn message(&self, seq: Seq) -> Option<&MessageRow> {
        self.messages.get(&seq)?.row.as_deref()
    }

    /// An invitation, if it was loaded and exists.
    pub fn invitation(&self, seq: Seq) -> Option<&Invitation> {
        self.invitations.get(&seq)?.row.as_ref()
    }

    /// Whether a key was looked up already.
    pub fn knows(&self, key: &Key) -> bool {
        match key {
            Key::About => self.about.row.is_some(),
            Key::Member(user) => self.members.contains_key(user),
            Key::Message(seq) => *seq <= self.floor || self.messages.contains_key(seq),
            Key::Thread(..) => true,
            Key::Invitation(seq) => self.invitations.contains_key(seq),
        }
    }

    /// Takes a row as it was found.
    pub fn put_about(&mut self, about: Dated<About>) {
        self.trim(about.row.as_ref().map_or(0, |about| about.floor));
        self.about = about;
    }

    /// Takes a row as it was found.
    pub fn put_member(&mut self, user: User, member: Dated<Member>) {
        self.members.insert(user, member);
    }

    /// Takes a row as it was found.
    pub fn put_message(&mut self, seq: Seq, message: Dated<Box<MessageRow>>) {
        if seq > self.floor {
            self.messages.insert(seq, message);
        }
    }

    /// Takes a row as it was found.
    pub fn put_invitation(&mut self, seq: Seq, invitation: Dated<Invitation>) {
        self.invitations.insert(seq, invitation);
    }

    /// Messages up to this seq are gone.
    pub fn floor(&self) -> Seq {
        self.floor
    }

    /// Drops messages up to a seq: they are gone.
    pub fn trim(&mut self, floor: Seq) {
        if floor > self.floor {
            self.floor = floor;
            self.messages = self.messages.split_off(&(floor + 1));
        }
    }

    /// How many rows are held.
    pub fn held(&self) -> usize {
        self.members.len() + self.messages.len() + self.invitations.len()
    }

    /// A copy of some rows, to decide and fold on before it is known whether the events are appended.
    pub fn copy_of<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> Rows {
        let mut copy = Rows { about: self.about.clone(), floor: self.floor, ..Rows::default() };
        for key in keys {
            match key {
                Key::Member(user) => {
                    copy.put_member(user.clone(), self.members.get(user).cloned().unwrap_or_default());
                }
                Key::Message(seq) => {
                    copy.put_message(*seq, self.messages.get(seq).cloned().unwrap_or_default());
                }
                Key::Invitation(seq) => {
                    copy.put_invitation(*seq, self.invitations.get(seq).cloned().unwrap_or_default());
                }
                Key::About | Key::Thread(..) => {}
            }
        }
        copy
    }

    /// Takes over the rows of a copy whose events were appended.
    pub fn take(&mut self, copy: Rows) {
        self.about = copy.about;
        self.trim(copy.floor);
        self.members.extend(copy.members);
        self.messages.extend(copy.messages);
        self.invitations.extend(copy.invitations);
    }

    /// Drops all rows but the conversation's own. They are in the store.
    pub fn forget(&mut self) {
        self.members.clear();
        self.messages.clear();
        self.invitations.clear();
    }

    /// Messages of a range of seqs, in order.
    pub fn messages(&self, from: Seq, to: Seq) -> impl DoubleEndedIterator<Item = (Seq, &MessageRow)> {
        // An empty range is no error.
        let within = self.messages.range(from..to.saturating_add(1).max(from));
        within.filter_map(|(seq, dated)| Some((*seq, dated.row.as_deref()?)))
    }

    /// Drops a message's row.
    pub fn forget_message(&mut self, seq: Seq) {
        self.messages.remove(&seq);
    }
}
