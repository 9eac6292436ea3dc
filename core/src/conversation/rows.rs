//! The rows of a conversation's views, and how they are stored.
//!
//! A row is stored in cells that carry the seq of the event that wrote them, so that a late writer loses and a replay
//! changes nothing. The encodings are protobuf messages of this module, which only ever gain fields.

use super::{
    fold::Dated,
    invitation::Open,
    membership::{Interval, Intervals},
};
use crate::{
    domain::{Place, Seq, User},
    store::{Cell, Partition, Row, StoreError},
};
use bytes::Bytes;
use nexus_proto::v1::{Content, ConversationKind, Role, Visibility};
use std::collections::BTreeMap;

/// Messages of this many seqs share a partition.
pub const PART: u64 = 1024;

/// Names a row of a view.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// What the conversation is.
    About,
    /// A user's memberships.
    Member(User),
    /// A message.
    Message(Seq),
    /// A message (second) that belongs to a thread (first).
    Thread(Seq, Seq),
    /// An invitation.
    Invitation(Seq),
}

/// The partition of all members' rows.
pub fn members(place: &Place, generation: u32) -> Partition {
    Partition::View { place: place.clone(), generation, view: 2, part: 0 }
}

/// The partition of all invitations' rows.
pub fn invitations(place: &Place, generation: u32) -> Partition {
    Partition::View { place: place.clone(), generation, view: 5, part: 0 }
}

impl Key {
    /// Where the row is kept.
    pub fn partition(&self, place: &Place, generation: u32) -> Partition {
        let (view, part) = match self {
            Key::About => (1, 0),
            Key::Member(_) => return members(place, generation),
            Key::Message(seq) => (3, seq / PART),
            Key::Thread(root, _) => (4, *root),
            Key::Invitation(_) => return invitations(place, generation),
        };
        Partition::View { place: place.clone(), generation, view, part }
    }

    /// The row's key in its partition.
    pub fn row(&self) -> Bytes {
        match self {
            Key::About => Bytes::from_static(b"about"),
            Key::Member(user) => Bytes::copy_from_slice(user.as_str().as_bytes()),
            Key::Message(seq) | Key::Thread(_, seq) | Key::Invitation(seq) => seq_key(*seq),
        }
    }
}

/// A seq as a row's key: ordered as the numbers are.
pub fn seq_key(seq: Seq) -> Bytes {
    Bytes::copy_from_slice(&seq.to_be_bytes())
}

/// What a conversation is: one row.
#[derive(Clone, PartialEq, prost::Message)]
pub struct About {
    /// Its kind.
    #[prost(enumeration = "ConversationKind", tag = "1")]
    pub kind: i32,
    /// Title.
    #[prost(string, tag = "2")]
    pub title: String,
    /// Topic.
    #[prost(string, tag = "3")]
    pub topic: String,
    /// Who may find it.
    #[prost(enumeration = "Visibility", tag = "4")]
    pub visibility: i32,
    /// The least role that may send.
    #[prost(enumeration = "Role", tag = "5")]
    pub post_role: i32,
    /// Seconds between two messages of one member.
    #[prost(uint32, tag = "6")]
    pub slow_mode_seconds: u32,
    /// Who created it.
    #[prost(string, tag = "7")]
    pub creator: String,
    /// When.
    #[prost(int64, tag = "8")]
    pub created_at: i64,
    /// Number of members.
    #[prost(uint32, tag = "9")]
    pub members: u32,
    /// Number of owners.
    #[prost(uint32, tag = "10")]
    pub owners: u32,
    /// Pinned messages, oldest pin first.
    #[prost(uint64, repeated, tag = "11")]
    pub pinned: Vec<Seq>,
    /// The two of a direct conversation.
    #[prost(string, repeated, tag = "12")]
    pub pair: Vec<String>,
    /// Events up to this seq are gone.
    #[prost(uint64, tag = "13")]
    pub floor: Seq,
    /// Invitations that have not ended, but perhaps by time; oldest first.
    #[prost(message, repeated, tag = "14")]
    pub invitations: Vec<Open>,
}

impl About {
    /// What those who left may know of it: what never changes.
    pub fn as_left(self) -> Self {
        let About { kind, visibility, creator, created_at, pair, .. } = self;
        Self { kind, visibility, creator, created_at, pair, ..Self::default() }
    }
}

/// A user in a conversation: one row.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Member {
    /// The role, meaningful while a member.
    #[prost(enumeration = "Role", tag = "1")]
    pub role: i32,
    /// First seqs of the spans.
    #[prost(uint64, repeated, tag = "2")]
    pub from: Vec<Seq>,
    /// Last seqs of the spans; one fewer than `from` while a member.
    #[prost(uint64, repeated, tag = "3")]
    pub to: Vec<Seq>,
    /// Time of their last message that was sent in slow mode, Unix milliseconds.
    #[prost(int64, tag = "4")]
    pub spoke_at: i64,
}

impl Member {
    /// Whether they are a member now.
    pub fn present(&self) -> bool {
        self.from.len() > self.to.len()
    }

    /// When they were a member.
    pub fn intervals(&self) -> Intervals {
        let spans = self.from.iter().enumerate();
        Intervals(spans.map(|(i, from)| Interval { from: *from, to: self.to.get(i).copied() }).collect())
    }
}

/// A message without its reactions: one cell.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Text {
    /// The client's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Who wrote it.
    #[prost(string, tag = "2")]
    pub sender: String,
    /// When.
    #[prost(int64, tag = "3")]
    pub time_ms: i64,
    /// What it says; absent when deleted or erased.
    #[prost(message, optional, tag = "4")]
    pub content: Option<Content>,
    /// The message that it answers.
    #[prost(uint64, tag = "5")]
    pub reply_to: Seq,
    /// Its thread.
    #[prost(uint64, tag = "6")]
    pub thread: Seq,
    /// Time of the last edit.
    #[prost(int64, tag = "7")]
    pub edited_at: i64,
    /// Deleted.
    #[prost(bool, tag = "8")]
    pub deleted: bool,
    /// Erased.
    #[prost(bool, tag = "9")]
    pub erased: bool,
    /// Pinned.
    #[prost(bool, tag = "10")]
    pub pinned: bool,
    /// Messages in the thread that it started.
    #[prost(uint32, tag = "11")]
    pub replies: u32,
    /// Running count of messages.
    #[prost(uint64, tag = "12")]
    pub messages: u64,
}

/// A message: one row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MessageRow {
    /// All but the reactions.
    pub text: Text,
    /// (reaction, user) to the seq by which it was given.
    pub reactions: BTreeMap<(String, String), Seq>,
}

const MAIN: &[u8] = b"m";
const REACTION: u8 = b'r';

/// Reads the main cell of a row; `None` when the row has none.
pub fn main_cell<M: prost::Message + Default>(row: Option<&Row>) -> Result<Option<M>, StoreError> {
    let cell = row.and_then(|row| row.cells.get(MAIN));
    cell.map(|(_, bytes)| M::decode(bytes.clone())).transpose().map_err(damaged)
}

/// The main cell of a row, with the seq of the event that wrote it.
pub fn dated<M: prost::Message + Default>(row: Option<&Row>) -> Result<Dated<M>, StoreError> {
    Ok(Dated { at: main_at(row), row: main_cell(row)? })
}

/// The seq of the event that wrote the main cell of a row last; 0 when the row has none.
pub fn main_at(row: Option<&Row>) -> Seq {
    row.and_then(|row| row.cells.get(MAIN)).map_or(0, |(at, _)| *at)
}

/// The main cell of a row as an event at `at` leaves it.
pub fn main(key: &Key, at: Seq, value: &impl prost::Message) -> Cell {
    let value = Some(value.encode_to_vec().into());
    Cell { row: key.row(), column: Bytes::from_static(MAIN), at, value }
}

/// The cell of a reaction: given by the event at `at`, or taken back.
pub fn reaction_cell(message: Seq, reaction: &str, user: &str, at: Seq, given: bool) -> Cell {
    let mut column = Vec::with_capacity(2 + user.len() + reaction.len());
    column.push(REACTION);
    column.push(user.len() as u8); // names have at most 64 bytes
    column.extend_from_slice(user.as_bytes());
    column.extend_from_slice(reaction.as_bytes());
    Cell { row: seq_key(message), column: column.into(), at, value: given.then(Bytes::new) }
}

/// Reads a message; `None` when the row holds none.
pub fn message(row: &Row) -> Result<Option<MessageRow>, StoreError> {
    let Some(text) = main_cell::<Text>(Some(row))? else { return Ok(None) };
    let mut reactions = BTreeMap::new();
    for (column, (at, _)) in &row.cells {
        if let [REACTION, length, rest @ ..] = &column[..] {
            let (user, reaction) =
                rest.split_at_checked(*length as usize).ok_or_else(|| damaged("a reaction"))?;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(damaged);
            reactions.insert((text(reaction)?, text(user)?), *at);
        }
    }
    Ok(Some(MessageRow { text, reactions }))
}

/// The seq in a row's key.
pub fn key_seq(row: &Row) -> Result<Seq, StoreError> {
    let bytes = row.key.as_ref().try_into().map_err(|_| damaged("a row's key"))?;
    Ok(Seq::from_be_bytes(bytes))
}

fn damaged(what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("a view's row: {what}; `nexus rebuild` makes the views anew"))
}
