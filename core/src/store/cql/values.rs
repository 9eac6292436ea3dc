//! Columns to values of the domain.

use super::error::corrupt;
use crate::{
    domain::{ClientId, ConversationId, Event, Kind, Name, Place},
    store::StoreError,
};
use bytes::Bytes;
use uuid::Uuid;

/// An event's columns, as they are selected.
pub type EventRow<'a> = (i64, Option<Uuid>, &'a str, i16, i64, i64, i64, bool, Option<&'a [u8]>);

/// A number that is never negative.
pub fn unsigned(what: &str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| corrupt(what, format!("{number} is negative")))
}

/// A name.
pub fn name(what: &str, text: &str) -> Result<Name, StoreError> {
    Name::new(text).map_err(|error| corrupt(what, error))
}

/// A conversation.
pub fn place(tenant: &str, conversation: Uuid) -> Result<Place, StoreError> {
    Ok(Place { tenant: name("tenant", tenant)?, conversation: ConversationId(conversation) })
}

/// An event.
pub fn event(row: EventRow<'_>) -> Result<Event, StoreError> {
    let (seq, request, sender, kind, time_ms, target, messages, erased, body) = row;
    let kind = u8::try_from(kind).map_err(|_| corrupt("event", format!("there is no kind {kind}")))?;
    let body = match (body, erased) {
        (Some(body), _) => Bytes::copy_from_slice(body),
        (None, true) => Bytes::new(),
        (None, false) => return Err(corrupt("event", format!("{seq} has no body, but isn't erased"))),
    };
    Ok(Event {
        seq: unsigned("event", seq)?,
        id: request.map(ClientId),
        sender: Name::sender(sender).map_err(|error| corrupt("sender", error))?,
        kind: Kind(kind),
        time_ms,
        target: unsigned("event", target)?,
        messages: unsigned("event", messages)?,
        erased,
        body,
    })
}
