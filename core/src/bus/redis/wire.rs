//! What goes over a channel: a header of 18 bytes, and for a hint a protobuf message of our own.
//!
//! | bytes | |
//! |---|---|
//! | 1 | version: 1 |
//! | 1 | kind |
//! | 8 | the sender's incarnation, big-endian |
//! | 8 | the sender's counter for this lane, big-endian |
//!
//! A hint that [matters](Hint::matters) has a number of its own: the counter grows by one with it. Everything else
//! repeats the last number, so that whoever missed that one learns of it. A kind's number and the number of a field are
//! never used again for something else. A version or a kind that a node doesn't know is an [`Unreadable`] to it.

use crate::{
    bus::{Hint, Person},
    domain::{ClientId, ConversationId, Event, Kind, Name, Place},
};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message;
use uuid::Uuid;

/// The version that this node writes, and the only one that it reads.
const VERSION: u8 = 1;
/// Bytes of the header.
const HEADER: usize = 18;
/// Where the counter stands in it.
const COUNT: usize = 10;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The sending node's incarnation.
    pub sender: u64,
    /// Its counter for the lane.
    pub count: u64,
    /// What it says.
    pub what: What,
}

/// What a frame says.
#[derive(Debug, Clone)]
pub enum What {
    /// That the sender is there.
    Beat,
    /// That the sender goes.
    Leave,
    /// Where edges reach the sender.
    Announce(String),
    /// A hint.
    Hint(Hint),
}

/// A frame that makes no sense to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Shorter than a header.
    #[error("too short")]
    Short,
    /// Of another version of the format.
    #[error("of version {0}")]
    Version(u8),
    /// Of a kind that this version doesn't know.
    #[error("of unknown kind {0}")]
    Kind(u8),
    /// Its body is not what its kind says.
    #[error("broken")]
    Body,
}

impl From<prost::DecodeError> for Unreadable {
    fn from(_: prost::DecodeError) -> Self {
        Self::Body
    }
}

const BEAT: u8 = 1;
const LEAVE: u8 = 2;
const APPENDED: u8 = 3;
const ENDS: u8 = 4;
const MEMBERSHIPS: u8 = 5;
const EPHEMERAL: u8 = 6;
const ACCOUNT: u8 = 7;
const PRESENCE: u8 = 8;
const ROLL: u8 = 9;
const ANNOUNCE: u8 = 10;

#[derive(Clone, PartialEq, Message)]
struct WireEvent {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(bytes = "bytes", optional, tag = "2")]
    id: Option<Bytes>,
    #[prost(string, tag = "3")]
    sender: String,
    #[prost(uint32, tag = "4")]
    kind: u32,
    #[prost(int64, tag = "5")]
    time_ms: i64,
    #[prost(uint64, tag = "6")]
    target: u64,
    #[prost(uint64, tag = "7")]
    messages: u64,
    #[prost(bool, tag = "8")]
    erased: bool,
    #[prost(bytes = "bytes", tag = "9")]
    body: Bytes,
}

/// The body of every kind of hint; which fields are there depends on the kind.
#[derive(Clone, PartialEq, Message)]
struct WireHint {
    #[prost(string, tag = "1")]
    tenant: String,
    #[prost(bytes = "bytes", tag = "2")]
    conversation: Bytes,
    #[prost(string, tag = "3")]
    user: String,
    #[prost(message, repeated, tag = "4")]
    events: Vec<WireEvent>,
    #[prost(uint64, tag = "5")]
    last_seq: u64,
    #[prost(bytes = "bytes", tag = "6")]
    body: Bytes,
    /// 16 bytes each.
    #[prost(bytes = "bytes", tag = "7")]
    conversations: Bytes,
    #[prost(fixed64, tag = "8")]
    node: u64,
    #[prost(message, repeated, tag = "9")]
    people: Vec<WirePerson>,
    #[prost(bool, tag = "10")]
    last: bool,
}

#[derive(Clone, PartialEq, Message)]
struct WirePerson {
    #[prost(string, tag = "1")]
    tenant: String,
    #[prost(string, tag = "2")]
    user: String,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
}

/// A frame whose counter is still to be written.
pub struct Draft(BytesMut);

impl Draft {
    /// One without a hint.
    pub fn bare(sender: u64, leave: bool) -> Self {
        Self::new(sender, if leave { LEAVE } else { BEAT }, None)
    }

    /// Where edges reach this node.
    pub fn announce(sender: u64, address: &str) -> Self {
        let body = WireHint { body: Bytes::copy_from_slice(address.as_bytes()), ..WireHint::default() };
        Self::new(sender, ANNOUNCE, Some(body))
    }

    /// A hint.
    pub fn hint(sender: u64, hint: &Hint) -> Self {
        let (kind, body) = to_wire(hint);
        Self::new(sender, kind, Some(body))
    }

    fn new(sender: u64, kind: u8, body: Option<WireHint>) -> Self {
        let mut bytes = BytesMut::with_capacity(HEADER + body.as_ref().map_or(0, Message::encoded_len));
        bytes.put_u8(VERSION);
        bytes.put_u8(kind);
        bytes.put_u64(sender);
        bytes.put_u64(0);
        if let Some(body) = body {
            bytes.extend_from_slice(&body.encode_to_vec());
        }
        Self(bytes)
    }

    /// How many bytes it has.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// Writes the counter.
    pub fn finish(mut self, count: u64) -> Bytes {
        self.0[COUNT..HEADER].copy_from_slice(&count.to_be_bytes());
        self.0.freeze()
    }
}

/// Reads a frame.
pub fn decode(mut bytes: Bytes) -> Result<Frame, Unreadable> {
    match bytes.first() {
        Some(&VERSION) if bytes.len() >= HEADER => {}
        Some(&VERSION) | None => return Err(Unreadable::Short),
        Some(other) => return Err(Unreadable::Version(*other)),
    }
    bytes.advance(1);
    let (kind, sender, count) = (bytes.get_u8(), bytes.get_u64(), bytes.get_u64());
    let what = match kind {
        BEAT => What::Beat,
        LEAVE => What::Leave,
        ANNOUNCE => {
            let address = WireHint::decode(bytes)?.body;
            What::Announce(String::from_utf8(address.into()).map_err(|_| Unreadable::Body)?)
        }
        APPENDED..=ROLL => What::Hint(from_wire(kind, WireHint::decode(bytes)?)?),
        unknown => return Err(Unreadable::Kind(unknown)),
    };
    Ok(Frame { sender, count, what })
}

fn to_wire(hint: &Hint) -> (u8, WireHint) {
    let at = |place: &Place| WireHint {
        tenant: place.tenant.to_string(),
        conversation: Bytes::copy_from_slice(place.conversation.0.as_bytes()),
        ..WireHint::default()
    };
    let of = |tenant: &Name, user: &Name| WireHint {
        tenant: tenant.to_string(),
        user: user.to_string(),
        ..WireHint::default()
    };
    match hint {
        Hint::Appended { place, events } => {
            (APPENDED, WireHint { events: events.iter().map(event_to_wire).collect(), ..at(place) })
        }
        Hint::Ends { place, last_seq } => (ENDS, WireHint { last_seq: *last_seq, ..at(place) }),
        Hint::Memberships { tenant, user } => (MEMBERSHIPS, of(tenant, user)),
        Hint::Ephemeral { place, from, body } => {
            (EPHEMERAL, WireHint { user: from.to_string(), body: body.clone(), ..at(place) })
        }
        Hint::Account { tenant, user, body } => {
            (ACCOUNT, WireHint { body: body.clone(), ..of(tenant, user) })
        }
        Hint::Roll { node, people, last } => {
            let person = |person: &Person| WirePerson {
                tenant: person.tenant.to_string(),
                user: person.user.to_string(),
                body: person.body.clone(),
            };
            let people = people.iter().map(person).collect();
            (ROLL, WireHint { node: *node, people, last: *last, ..WireHint::default() })
        }
        Hint::Presence { node, tenant, user, conversations, body } => {
            let conversations: Vec<u8> = conversations.iter().flat_map(|id| id.0.into_bytes()).collect();
            let (node, body) = (*node, body.clone());
            (PRESENCE, WireHint { node, conversations: conversations.into(), body, ..of(tenant, user) })
        }
    }
}

fn from_wire(kind: u8, wire: WireHint) -> Result<Hint, Unreadable> {
    let name = |text: &str| Name::new(text).map_err(|_| Unreadable::Body);
    if kind == ROLL {
        let person = |person: WirePerson| {
            let (tenant, user) = (name(&person.tenant)?, name(&person.user)?);
            Ok(Person { tenant, user, body: person.body })
        };
        let people = wire.people.into_iter().map(person).collect::<Result<Vec<_>, Unreadable>>()?;
        return Ok(Hint::Roll { node: wire.node, people: people.into(), last: wire.last });
    }
    let tenant = name(&wire.tenant)?;
    let id = conversation(&wire.conversation);
    let place = |tenant: Name| id.map(|conversation| Place { tenant, conversation });
    Ok(match kind {
        APPENDED => {
            let place = place(tenant)?;
            let events: Vec<Event> =
                wire.events.into_iter().map(event_from_wire).collect::<Result<_, _>>()?;
            let consecutive = events.windows(2).all(|two| two[0].seq.checked_add(1) == Some(two[1].seq));
            if events.is_empty() || !consecutive || events[0].seq == 0 {
                return Err(Unreadable::Body);
            }
            Hint::Appended { place, events: events.into() }
        }
        ENDS => Hint::Ends { place: place(tenant)?, last_seq: wire.last_seq },
        MEMBERSHIPS => Hint::Memberships { tenant, user: name(&wire.user)? },
        EPHEMERAL => Hint::Ephemeral { place: place(tenant)?, from: name(&wire.user)?, body: wire.body },
        ACCOUNT => Hint::Account { tenant, user: name(&wire.user)?, body: wire.body },
        PRESENCE => {
            let ids = wire.conversations.chunks(16).map(conversation);
            let conversations = ids.collect::<Result<Vec<_>, _>>()?.into();
            Hint::Presence {
                node: wire.node,
                tenant,
                user: name(&wire.user)?,
                conversations,
                body: wire.body,
            }
        }
        unknown => return Err(Unreadable::Kind(unknown)),
    })
}

fn conversation(bytes: &[u8]) -> Result<ConversationId, Unreadable> {
    Uuid::from_slice(bytes).map(ConversationId).map_err(|_| Unreadable::Body)
}

fn event_to_wire(event: &Event) -> WireEvent {
    WireEvent {
        seq: event.seq,
        id: event.id.map(|id| Bytes::copy_from_slice(id.0.as_bytes())),
        sender: event.sender.to_string(),
        kind: u32::from(event.kind.0),
        time_ms: event.time_ms,
        target: event.target,
        messages: event.messages,
        erased: event.erased,
        body: event.body.clone(),
    }
}

fn event_from_wire(wire: WireEvent) -> Result<Event, Unreadable> {
    let id = wire.id.map(|id| Uuid::from_slice(&id).map(ClientId)).transpose();
    Ok(Event {
        seq: wire.seq,
        id: id.map_err(|_| Unreadable::Body)?,
        sender: Name::sender(&wire.sender).map_err(|_| Unreadable::Body)?,
        kind: Kind(u8::try_from(wire.kind).map_err(|_| Unreadable::Body)?),
        time_ms: wire.time_ms,
        target: wire.target,
        messages: wire.messages,
        erased: wire.erased,
        body: wire.body,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::sync::Arc;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn every_hint() -> Vec<Hint> {
        let place = Place { tenant: name("t"), conversation: ConversationId(Uuid::from_u128(7)) };
        let event = |seq| Event {
            seq,
            id: (seq == 5).then(|| ClientId(Uuid::from_u128(9))),
            sender: name("ann"),
            kind: Kind::MessageSent,
            time_ms: 12,
            target: 3,
            messages: 4,
            erased: false,
            body: Bytes::from_static(b"hi"),
        };
        let (tenant, user, body) = (name("t"), name("ann"), Bytes::from_static(b"e"));
        vec![
            Hint::Appended { place: place.clone(), events: Arc::from([event(5), event(6)]) },
            Hint::Ends { place: place.clone(), last_seq: 300 },
            Hint::Memberships { tenant: tenant.clone(), user: user.clone() },
            Hint::Ephemeral { place, from: user.clone(), body: body.clone() },
            Hint::Account { tenant: tenant.clone(), user: user.clone(), body: body.clone() },
            Hint::Roll {
                node: 8,
                people: Arc::from([Person {
                    tenant: tenant.clone(),
                    user: user.clone(),
                    body: body.clone(),
                }]),
                last: true,
            },
            Hint::Presence {
                node: 8,
                tenant,
                user,
                conversations: Arc::from([
                    ConversationId(Uuid::from_u128(1)),
                    ConversationId(Uuid::from_u128(2)),
                ]),
                body,
            },
        ]
    }

    #[test]
    fn every_hint_comes_back_as_it_was() {
        for hint in every_hint() {
            let frame = decode(Draft::hint(1 << 60, &hint).finish(1 << 40)).unwrap();
            assert_eq!((frame.sender, frame.count), (1 << 60, 1 << 40));
            let What::Hint(again) = frame.what else { panic!("{:?}", frame.what) };
            assert_eq!(format!("{again:?}"), format!("{hint:?}"));
        }
        assert!(matches!(decode(Draft::bare(1, false).finish(2)).unwrap().what, What::Beat));
        assert!(matches!(decode(Draft::bare(1, true).finish(2)).unwrap().what, What::Leave));
        let announced = decode(Draft::announce(1, "https://10.0.0.1:9000").finish(2)).unwrap().what;
        assert!(matches!(announced, What::Announce(address) if address == "https://10.0.0.1:9000"));
    }

    /// Nodes of two releases talk to each other while one replaces the other: these bytes never change.
    #[test]
    fn the_format_is_the_one_that_was_released() {
        let hex = |bytes: Bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let frames: Vec<String> = std::iter::once(Draft::bare(258, false).finish(3))
            .chain(every_hint().iter().map(|hint| Draft::hint(258, hint).finish(3)))
            .chain([Draft::announce(258, "https://a:1").finish(3)])
            .map(hex)
            .collect();
        let released = include_str!("../../../tests/golden/hints.txt");
        assert_eq!(frames.join("\n"), released.trim_end());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let good = Draft::hint(1, &every_hint()[0]).finish(1);
        let with = |at: usize, byte: u8| {
            let mut bytes = good.to_vec();
            bytes[at] = byte;
            decode(bytes.into())
        };
        assert_eq!(with(0, 2).unwrap_err(), Unreadable::Version(2));
        assert_eq!(with(1, 99).unwrap_err(), Unreadable::Kind(99));
        assert_eq!(decode(good.slice(..17)).unwrap_err(), Unreadable::Short);
        assert_eq!(decode(good.slice(..good.len() - 1)).unwrap_err(), Unreadable::Body);
        assert_eq!(decode(Bytes::new()).unwrap_err(), Unreadable::Short);
        // A cut between two fields can't be told from a shorter message; any other is refused, and none panics.
        let refused = (0..good.len()).filter(|cut| decode(good.slice(..*cut)).is_err()).count();
        assert!(refused > good.len() / 2);
    }
}
