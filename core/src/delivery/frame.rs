//! Frames as they go out: a gRPC message of `nexus.v1.AttachResponse`, with its prefix.
//!
//! Events are put into wire form straight from what is stored, without decoding their bodies, once per node.

use crate::domain::{ConversationId, Event, Kind, Seq, User};
use bytes::{BufMut as _, Bytes, BytesMut};
use nexus_proto::v1::{self, attach_response, event::Body};
use prost::{
    Message as _,
    encoding::{encode_varint, encoded_len_varint},
};

/// Length of a gRPC message's prefix: a flag and four bytes of length.
const PREFIX: usize = 5;
/// Length of an encoded conversation id with its key.
const CONVERSATION: usize = 2 + 36;

/// The key of a field whose value is a number.
const fn number(field: u64) -> u64 {
    field << 3
}

/// The key of a field whose value has a length.
const fn sized(field: u64) -> u64 {
    field << 3 | 2
}

/// Consecutive events of a conversation, encoded once for all streams.
#[derive(Debug)]
pub struct Frame {
    /// First seq.
    pub first: Seq,
    /// The whole frame.
    pub bytes: Bytes,
    /// Who ceases to be a member within it, and at which seq.
    pub leavers: Vec<(User, Seq)>,
    /// Who becomes a member within it.
    pub joiners: Vec<User>,
    conversation: ConversationId,
    /// Where the entries of the events begin in `bytes`, and where the last one ends.
    marks: Vec<u32>,
}

impl Frame {
    /// Encodes consecutive events: as many of the first ones as `limit` bytes take, and at least one.
    pub fn encode(conversation: ConversationId, events: &[Event], limit: usize) -> Option<Self> {
        let first = events.first()?.seq;
        let mut lengths = Vec::new();
        let mut total = 0;
        for event in events {
            let length = event_len(event);
            let entry = 1 + encoded_len_varint(length as u64) + length;
            if !lengths.is_empty() && total + entry > limit {
                break;
            }
            total += entry;
            lengths.push(length);
        }
        let mut bytes = start(conversation, total);
        let mut marks = Vec::with_capacity(lengths.len() + 1);
        marks.push(bytes.len() as u32);
        let (mut leavers, mut joiners) = (Vec::new(), Vec::new());
        for (event, length) in events.iter().zip(&lengths) {
            encode_varint(sized(2), &mut bytes);
            encode_varint(*length as u64, &mut bytes);
            put_event(event, &mut bytes);
            marks.push(bytes.len() as u32);
            if event.changes_members() {
                note_members(event, &mut leavers, &mut joiners);
            }
        }
        Some(Self { first, bytes: bytes.freeze(), leavers, joiners, conversation, marks })
    }

    /// Last seq.
    pub fn last(&self) -> Seq {
        self.first + self.marks.len() as u64 - 2
    }

    /// The events `from..=to` of this frame as a frame of their own. They must be within it.
    pub fn part(&self, from: Seq, to: Seq) -> Bytes {
        if from == self.first && to == self.last() {
            return self.bytes.clone();
        }
        let mark = |seq: Seq| self.marks.get((seq - self.first) as usize).map_or(0, |mark| *mark as usize);
        let entries = self.bytes.slice(mark(from)..mark(to + 1));
        let mut bytes = start(self.conversation, entries.len());
        bytes.put_slice(&entries);
        bytes.freeze()
    }
}

/// A frame that is made for one occasion.
pub fn control(frame: attach_response::Frame) -> Bytes {
    let message = v1::AttachResponse { frame: Some(frame) };
    let mut bytes = prefixed(message.encoded_len());
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

/// Whether an encoded `nexus.v1.Ephemeral` is for the devices of the one it is about as well: a marker is.
pub fn is_for_oneself(body: &[u8]) -> bool {
    body.first().is_some_and(|key| u64::from(*key) == sized(3))
}

/// A frame around an encoded `nexus.v1.Ephemeral`.
pub fn ephemeral(body: &[u8]) -> Bytes {
    let mut bytes = prefixed(1 + encoded_len_varint(body.len() as u64) + body.len());
    encode_varint(sized(5), &mut bytes);
    encode_varint(body.len() as u64, &mut bytes);
    bytes.put_slice(body);
    bytes.freeze()
}

fn prefixed(length: usize) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(0);
    bytes.put_u32(length as u32);
    bytes
}

/// All of a frame of events that stands before its entries.
fn start(conversation: ConversationId, entries: usize) -> BytesMut {
    let events = CONVERSATION + entries;
    let mut bytes = prefixed(1 + encoded_len_varint(events as u64) + events);
    encode_varint(sized(2), &mut bytes);
    encode_varint(events as u64, &mut bytes);
    encode_varint(sized(1), &mut bytes);
    put_uuid(conversation.0, &mut bytes);
    bytes
}

fn put_uuid(id: uuid::Uuid, bytes: &mut BytesMut) {
    bytes.put_u8(36);
    let mut text = [0; 36];
    bytes.put_slice(id.as_hyphenated().encode_lower(&mut text).as_bytes());
}

/// The fields of an event's envelope that are numbers. Zeros are left out.
fn numbers(event: &Event) -> [(u64, u64); 5] {
    [
        (1, event.seq),
        (4, event.time_ms as u64),
        (5, event.target),
        (6, event.messages),
        (7, u64::from(event.erased)),
    ]
}

fn event_len(event: &Event) -> usize {
    let numbers: usize = numbers(event)
        .iter()
        .filter(|(_, value)| *value != 0)
        .map(|(_, value)| 1 + encoded_len_varint(*value))
        .sum();
    let id = if event.id.is_some() { 2 + 36 } else { 0 };
    let body = event.body.len();
    let key = encoded_len_varint(sized(u64::from(event.kind.0)));
    numbers + id + 2 + event.sender.as_str().len() + key + encoded_len_varint(body as u64) + body
}

fn put_event(event: &Event, bytes: &mut BytesMut) {
    for (field, value) in numbers(event) {
        if value != 0 {
            encode_varint(number(field), bytes);
            encode_varint(value, bytes);
        }
    }
    if let Some(id) = event.id {
        encode_varint(sized(2), bytes);
        put_uuid(id.0, bytes);
    }
    encode_varint(sized(3), bytes);
    encode_varint(event.sender.as_str().len() as u64, bytes);
    bytes.put_slice(event.sender.as_str().as_bytes());
    encode_varint(sized(u64::from(event.kind.0)), bytes);
    encode_varint(event.body.len() as u64, bytes);
    bytes.put_slice(&event.body);
}

fn note_members(event: &Event, leavers: &mut Vec<(User, Seq)>, joiners: &mut Vec<User>) {
    let joined = |members: Vec<v1::MemberRole>| members.into_iter().filter_map(|m| User::new(&m.user).ok());
    match event.decode() {
        Ok(Some(Body::MemberRemoved(body))) => {
            leavers.extend(User::new(&body.user).ok().map(|user| (user, event.seq)));
        }
        Ok(Some(Body::MembersAdded(body))) => joiners.extend(joined(body.members)),
        Ok(Some(Body::ConversationCreated(body))) => joiners.extend(joined(body.members)),
        Ok(_) => {}
        Err(error) => {
            let Kind(kind) = event.kind;
            tracing::error!(seq = event.seq, kind, %error, "a stored event can't be decoded");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::domain::{ClientId, event::encode_body};
    use proptest::prelude::*;

    fn decode(bytes: &Bytes) -> v1::AttachResponse {
        assert_eq!(bytes[0], 0);
        assert_eq!(u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize, bytes.len() - PREFIX);
        v1::AttachResponse::decode(&bytes[PREFIX..]).unwrap()
    }

    fn wire(conversation: ConversationId, events: &[Event]) -> v1::AttachResponse {
        let events = events.iter().map(|event| event.to_wire().unwrap()).collect();
        let events = v1::Events { conversation_id: conversation.to_string(), events };
        v1::AttachResponse { frame: Some(attach_response::Frame::Events(events)) }
    }

    prop_compose! {
        fn event()(
            text in ".{0,300}", sender in "[a-z]{1,64}", id in any::<Option<u128>>(), time_ms in any::<i64>(),
            target in any::<u64>(), messages in any::<u64>(), erased in any::<bool>(), which in 0..3,
        ) -> Event {
            let body = match which {
                0 => Body::MessageSent(v1::MessageSent {
                    content: Some(v1::Content { text, ..Default::default() }), ..Default::default()
                }),
                1 => Body::MemberRemoved(v1::MemberRemoved { user: sender.clone() }),
                _ => Body::MessageDeleted(v1::MessageDeleted {}),
            };
            let (kind, body) = encode_body(&body);
            let body = if erased { Bytes::new() } else { body };
            let id = id.map(|id| ClientId(uuid::Uuid::from_u128(id)));
            Event { seq: 0, id, sender: User::new(&sender).unwrap(), kind, time_ms, target, messages, erased, body }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_frame_is_what_prost_would_write(
            mut events in proptest::collection::vec(event(), 1..12), first in 1u64..u64::MAX / 2,
            id in any::<u128>(), cut in any::<(prop::sample::Index, prop::sample::Index)>(), limit in 0usize..3000,
        ) {
            let conversation = ConversationId(uuid::Uuid::from_u128(id));
            for (n, event) in events.iter_mut().enumerate() {
                event.seq = first + n as u64;
            }
            let frame = Frame::encode(conversation, &events, limit).unwrap();
            prop_assert!(frame.bytes.len() <= limit + 100 || frame.last() == first);
            events.truncate((frame.last() - first + 1) as usize);
            prop_assert_eq!(decode(&frame.bytes), wire(conversation, &events));
            let (a, b) = (cut.0.index(events.len()), cut.1.index(events.len()));
            let (from, to) = (a.min(b), a.max(b));
            let part = frame.part(first + from as u64, first + to as u64);
            prop_assert_eq!(decode(&part), wire(conversation, &events[from..=to]));
            let left = events.iter().filter(|event| event.kind == Kind::MemberRemoved && !event.erased).count();
            prop_assert_eq!(frame.leavers.len(), left);
        }
    }

    #[test]
    fn control_frames_are_what_prost_would_write() {
        let typing = v1::Typing { user: "ann".into(), typing: true, ..Default::default() };
        let body = v1::Ephemeral { body: Some(v1::ephemeral::Body::Typing(typing)) };
        assert!(!is_for_oneself(&body.encode_to_vec()));
        let marker = v1::Ephemeral { body: Some(v1::ephemeral::Body::Marker(v1::MarkerMoved::default())) };
        assert!(is_for_oneself(&marker.encode_to_vec()));
        let expected = v1::AttachResponse { frame: Some(attach_response::Frame::Ephemeral(body.clone())) };
        assert_eq!(decode(&ephemeral(&body.encode_to_vec())), expected);
        assert_eq!(decode(&control(attach_response::Frame::Ephemeral(body))), expected);
    }
}
