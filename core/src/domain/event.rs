//! An entry of the log as it is stored.

use super::{ClientId, Seq, User};
use bytes::Bytes;
use nexus_invariants::Envelope;
use nexus_proto::v1::{self, event::Body};
use prost::Message as _;

/// What an event is: the number of its body's field in `nexus.v1.Event`. Stored; never renumbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(pub u8);

/// An entry of the log: envelope and encoded body. The body is the protobuf message that `kind` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place.
    pub seq: Seq,
    /// The request that caused it; `None` for the second and later events of a request.
    pub id: Option<ClientId>,
    /// Who caused it.
    pub sender: User,
    /// What it is.
    pub kind: Kind,
    /// When it was accepted, Unix milliseconds; never decreases.
    pub time_ms: i64,
    /// The message that it acts on, or 0.
    pub target: Seq,
    /// Running count of messages, this one included.
    pub messages: u64,
    /// Whether the body was blanked.
    pub erased: bool,
    /// The encoded body; empty when erased.
    pub body: Bytes,
}

macro_rules! bodies {
    ($($variant:ident = $number:literal),* $(,)?) => {
        /// The kind of a body, and its encoding.
        pub fn encode_body(body: &Body) -> (Kind, Bytes) {
            match body {
                $(Body::$variant(b) => (Kind($number), b.encode_to_vec().into()),)*
            }
        }

        fn decode_body(kind: Kind, bytes: &[u8]) -> Result<Option<Body>, prost::DecodeError> {
            Ok(match kind.0 {
                $($number => Some(Body::$variant(prost::Message::decode(bytes)?)),)*
                _ => None,
            })
        }

        /// The kinds by name.
        #[allow(non_upper_case_globals, missing_docs)]
        impl Kind {
            $(pub const $variant: Kind = Kind($number);)*
        }
    };
}

bodies! {
    ConversationCreated = 16, ConversationChanged = 17, MembersAdded = 18, MemberRemoved = 19, RoleChanged = 20,
    MessageSent = 21, MessageEdited = 22, MessageDeleted = 23, ReactionAdded = 24, ReactionRemoved = 25,
    MessagePinned = 26, MessageUnpinned = 27, Trimmed = 28, ErasedEvents = 29,
    HandshakeSent = 30, InvitationCreated = 31, InvitationEnded = 32,
}

impl Event {
    /// The body. `None` for a kind that this version doesn't know.
    pub fn decode(&self) -> Result<Option<Body>, prost::DecodeError> {
        decode_body(self.kind, &self.body)
    }

    /// Whether it changes who is a member, or a role.
    pub fn changes_members(&self) -> bool {
        [Kind::ConversationCreated, Kind::MembersAdded, Kind::MemberRemoved, Kind::RoleChanged]
            .contains(&self.kind)
    }

    /// The event as clients see it.
    pub fn to_wire(&self) -> Result<v1::Event, prost::DecodeError> {
        Ok(v1::Event {
            seq: self.seq,
            id: self.id.map(|id| id.to_string()).unwrap_or_default(),
            sender: self.sender.as_str().to_owned(),
            time_ms: self.time_ms,
            target: self.target,
            message_count: self.messages,
            erased: self.erased,
            body: self.decode()?,
        })
    }

    /// About how many bytes it takes on disk and on the wire.
    pub fn size(&self) -> usize {
        self.body.len() + self.sender.as_str().len() + 64
    }
}

impl From<&Event> for Envelope {
    fn from(event: &Event) -> Self {
        Self {
            seq: event.seq,
            id: event.id.map(|id| id.to_string()).unwrap_or_default(),
            sender: event.sender.to_string(),
            kind: u32::from(event.kind.0),
            time_ms: event.time_ms,
            target: event.target,
        }
    }
}
