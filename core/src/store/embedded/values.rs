//! Values: protobuf messages of our own. A field's number is never used again for something else; what a change of
//! them means for stored data is told by golden files and by [`super::files::FORMAT`].

use crate::{
    domain::{ClientId, Event, Kind, Name, Seq},
    store::{Dedupe, Floor, Limits, Statics, StoreError},
};
use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

#[derive(Clone, PartialEq, Message)]
struct StoredStatics {
    #[prost(uint64, tag = "1")]
    last_seq: u64,
    #[prost(bool, tag = "2")]
    closed: bool,
    #[prost(int64, tag = "3")]
    opened_at: i64,
    #[prost(int64, tag = "4")]
    last_at: i64,
    #[prost(int64, tag = "5")]
    id_max: i64,
    #[prost(uint64, tag = "6")]
    members_at: u64,
    #[prost(uint64, tag = "7")]
    messages: u64,
    #[prost(uint64, tag = "8")]
    bytes: u64,
    #[prost(int64, tag = "9")]
    limit_window_ms: i64,
    #[prost(uint64, tag = "10")]
    limit_events: u64,
    #[prost(uint64, tag = "11")]
    limit_bytes: u64,
    #[prost(uint64, tag = "12")]
    floor: u64,
    #[prost(int64, tag = "13")]
    floor_id_max: i64,
    #[prost(uint64, tag = "14")]
    floor_messages: u64,
}

#[derive(Clone, PartialEq, Message)]
struct StoredDedupe {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(int64, tag = "2")]
    time_ms: i64,
    #[prost(bytes = "bytes", tag = "3")]
    digest: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct StoredEvent {
    #[prost(bytes = "bytes", optional, tag = "1")]
    id: Option<Bytes>,
    #[prost(string, tag = "2")]
    sender: String,
    #[prost(uint32, tag = "3")]
    kind: u32,
    #[prost(int64, tag = "4")]
    time_ms: i64,
    #[prost(uint64, tag = "5")]
    target: u64,
    #[prost(uint64, tag = "6")]
    messages: u64,
    #[prost(bool, tag = "7")]
    erased: bool,
    #[prost(bytes = "bytes", tag = "8")]
    body: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct StoredCell {
    #[prost(uint64, tag = "1")]
    at: u64,
    #[prost(bytes = "bytes", optional, tag = "2")]
    value: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredIndex {
    #[prost(int64, tag = "1")]
    opened_at: i64,
}

/// Encodes a bucket's static columns.
pub fn encode_statics(s: &Statics) -> Vec<u8> {
    StoredStatics {
        last_seq: s.last_seq,
        closed: s.closed,
        opened_at: s.opened_at,
        last_at: s.last_at,
        id_max: s.id_max,
        members_at: s.members_at,
        messages: s.messages,
        bytes: s.bytes,
        limit_window_ms: s.limits.window_ms,
        limit_events: s.limits.events,
        limit_bytes: s.limits.bytes,
        floor: s.floor.seq,
        floor_id_max: s.floor.id_max,
        floor_messages: s.floor.messages,
    }
    .encode_to_vec()
}

/// Decodes a bucket's static columns.
pub fn decode_statics(bytes: &[u8]) -> Result<Statics, StoreError> {
    let s: StoredStatics = decode("static columns", bytes)?;
    Ok(Statics {
        last_seq: s.last_seq,
        closed: s.closed,
        opened_at: s.opened_at,
        last_at: s.last_at,
        id_max: s.id_max,
        members_at: s.members_at,
        messages: s.messages,
        bytes: s.bytes,
        limits: Limits { window_ms: s.limit_window_ms, events: s.limit_events, bytes: s.limit_bytes },
        floor: Floor { seq: s.floor, id_max: s.floor_id_max, messages: s.floor_messages },
    })
}

/// Encodes a dedupe row.
pub fn encode_dedupe(d: &Dedupe) -> Vec<u8> {
    let digest = Bytes::copy_from_slice(&d.digest);
    StoredDedupe { seq: d.seq, time_ms: d.time_ms, digest }.encode_to_vec()
}

/// Decodes a dedupe row.
pub fn decode_dedupe(bytes: &[u8]) -> Result<Dedupe, StoreError> {
    let d: StoredDedupe = decode("dedupe row", bytes)?;
    let digest =
        d.digest.as_ref().try_into().map_err(|_| corrupt("dedupe row", "its digest isn't 32 bytes"))?;
    Ok(Dedupe { seq: d.seq, time_ms: d.time_ms, digest })
}

/// Encodes an event, but for its seq, which is in the key.
pub fn encode_event(e: &Event) -> Vec<u8> {
    StoredEvent {
        id: e.id.map(|id| Bytes::copy_from_slice(id.0.as_bytes())),
        sender: e.sender.as_str().to_owned(),
        kind: e.kind.0.into(),
        time_ms: e.time_ms,
        target: e.target,
        messages: e.messages,
        erased: e.erased,
        body: e.body.clone(),
    }
    .encode_to_vec()
}

/// Decodes an event.
pub fn decode_event(seq: Seq, bytes: &[u8]) -> Result<Event, StoreError> {
    let e: StoredEvent = decode("event", bytes)?;
    let id = e.id.map(|id| Uuid::from_slice(&id)).transpose().map_err(|error| corrupt("event", error))?;
    Ok(Event {
        seq,
        id: id.map(ClientId),
        sender: Name::sender(&e.sender).map_err(|error| corrupt("event", error))?,
        kind: Kind(e.kind.try_into().map_err(|error| corrupt("event", error))?),
        time_ms: e.time_ms,
        target: e.target,
        messages: e.messages,
        erased: e.erased,
        body: e.body,
    })
}

/// Encodes a cell; one that was deleted has no value, but keeps its time.
pub fn encode_cell(at: u64, value: Option<Bytes>) -> Vec<u8> {
    StoredCell { at, value }.encode_to_vec()
}

/// Decodes a cell.
pub fn decode_cell(bytes: &[u8]) -> Result<(u64, Option<Bytes>), StoreError> {
    let cell: StoredCell = decode("cell", bytes)?;
    Ok((cell.at, cell.value))
}

/// Encodes an index row, but for its seq, which is in the key.
pub fn encode_index(opened_at: i64) -> Vec<u8> {
    StoredIndex { opened_at }.encode_to_vec()
}

/// Decodes an index row.
pub fn decode_index(bytes: &[u8]) -> Result<i64, StoreError> {
    Ok(decode::<StoredIndex>("index row", bytes)?.opened_at)
}

fn decode<M: Message + Default>(what: &str, bytes: &[u8]) -> Result<M, StoreError> {
    M::decode(bytes).map_err(|error| corrupt(what, error))
}

fn corrupt(what: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{what}: {why}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn examples() -> Vec<Vec<u8>> {
        let event = Event {
            seq: 7,
            id: Some(ClientId(Uuid::from_u128(1 << 100 | 5))),
            sender: Name::new("ann").unwrap(),
            kind: Kind(2),
            time_ms: -1,
            target: 3,
            messages: u64::MAX,
            erased: false,
            body: Bytes::from_static(b"\x0a\x02hi"),
        };
        let limits = Limits { window_ms: 1, events: 2, bytes: 3 };
        let statics = Statics {
            last_seq: 1,
            closed: true,
            opened_at: i64::MIN,
            last_at: 4,
            id_max: 5,
            members_at: 6,
            messages: 7,
            bytes: 8,
            limits,
            floor: Floor { seq: 9, id_max: -10, messages: 11 },
        };
        vec![
            encode_event(&event),
            encode_statics(&statics),
            encode_dedupe(&Dedupe { seq: 1, time_ms: 2, digest: [3; 32] }),
            encode_cell(9, Some(Bytes::from_static(b"value"))),
            encode_index(1 << 40),
        ]
    }

    /// Every decoder of stored bytes: it answers, or says that they are damaged.
    fn decode_all(bytes: &[u8]) {
        let event = decode_event(1, bytes).map(|event| drop(event.decode()));
        let others = [
            decode_statics(bytes).map(drop),
            decode_dedupe(bytes).map(drop),
            decode_cell(bytes).map(drop),
            decode_index(bytes).map(drop),
        ];
        for decoded in [event].into_iter().chain(others) {
            assert!(matches!(decoded, Ok(()) | Err(StoreError::Corrupt(_))), "{decoded:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn any_bytes_are_a_value_or_damage(bytes in vec(any::<u8>(), 0..200)) {
            decode_all(&bytes);
        }

        #[test]
        fn a_value_with_wrong_bytes_in_it_is_a_value_or_damage(
            which in 0usize..5,
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = examples().swap_remove(which);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            decode_all(&bytes);
            decode_all(&bytes[..cut.index(bytes.len())]);
        }
    }
}
