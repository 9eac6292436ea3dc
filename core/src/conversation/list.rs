//! What is kept per user: which conversations, and how far they have read.
//!
//! - `Memberships(tenant, user)`, a row per conversation: `p` is written *before* the event that makes one a member, so
//!   that the rows are a superset; `s` says after an event whether one was a member then.
//!   Other columns of these rows are the user's own settings ([`super::preferences`]).
//! - `Markers(place)`, a row per user: `r` the read marker, `d` the delivered one. The time of a cell is the marker's
//!   seq, so the greatest wins; the value is the number of messages up to there.

use crate::{
    domain::{ConversationId, Place, Seq, Tenant, User},
    store::{Cell, Partition, Row, Rows, Store, StoreError, Sync},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use uuid::Uuid;

const POINTER: Bytes = Bytes::from_static(b"p");
const STATE: Bytes = Bytes::from_static(b"s");
const READ: Bytes = Bytes::from_static(b"r");
const DELIVERED: Bytes = Bytes::from_static(b"d");
const PRESENT: &[u8] = b"1";
/// Pointers that are written at once.
const WIDTH: usize = 32;
/// Rows that are read at once.
const PAGE: usize = 1000;

/// The state cell that an event writes. Its row is the conversation, which [`membership`] fills in.
pub(super) fn state(at: Seq, present: bool) -> Cell {
    let value = Bytes::from_static(if present { PRESENT } else { b"0" });
    Cell { row: Bytes::new(), column: STATE, at, value: Some(value) }
}

/// The same cell in its row.
pub(super) fn membership(place: &Place, cell: Cell) -> Cell {
    Cell { row: row_of(place), ..cell }
}

/// The read marker that an event of one's own sets.
pub(super) fn read_marker(user: &User, at: Seq, messages: u64) -> Cell {
    marker_cell(user, READ, at, messages)
}

fn marker_cell(user: &User, column: Bytes, at: Seq, messages: u64) -> Cell {
    let value = Some(Bytes::copy_from_slice(&messages.to_be_bytes()));
    Cell { row: Bytes::copy_from_slice(user.as_str().as_bytes()), column, at, value }
}

pub(super) fn row_of(place: &Place) -> Bytes {
    Bytes::copy_from_slice(place.conversation.0.as_bytes())
}

/// Points users to a conversation, before the event at `at` or later makes them members.
pub(super) async fn point(
    store: &dyn Store,
    place: &Place,
    users: Vec<User>,
    at: Seq,
) -> Result<(), StoreError> {
    let writes = users.into_iter().map(|user| async move {
        let cell = Cell { row: row_of(place), column: POINTER, at, value: Some(Bytes::new()) };
        store.write_cells(&Partition::Memberships(place.tenant.clone(), user), vec![cell], Sync::Later).await
    });
    stream::iter(writes).buffer_unordered(WIDTH).try_collect::<()>().await
}

/// The conversations that a user may be a member of: a superset.
pub(super) async fn of_user(
    store: &dyn Store,
    tenant: &Tenant,
    user: &User,
) -> Result<Vec<Place>, StoreError> {
    let partition = Partition::Memberships(tenant.clone(), user.clone());
    let mut places = Vec::new();
    let mut from = Bytes::new();
    loop {
        let range = Rows::Range { from: from.clone(), to: None, down: false, limit: PAGE };
        let page = store.read_rows(&partition, range).await?;
        let whole = page.len() < PAGE;
        for row in &page {
            let id =
                Uuid::from_slice(&row.key).map_err(|e| StoreError::Corrupt(format!("a membership: {e}")))?;
            if possible(row) {
                places.push(Place { tenant: tenant.clone(), conversation: ConversationId(id) });
            }
        }
        match page.last() {
            Some(last) if !whole => from = [&last.key[..], &[0]].concat().into(),
            _ => return Ok(places),
        }
    }
}

/// Unless the last that is known is that they left, and no pointer was written since.
fn possible(row: &Row) -> bool {
    let pointed = row.cells.get(&POINTER).map(|(at, _)| *at);
    match row.cells.get(&STATE) {
        Some((at, state)) => state == PRESENT || pointed.is_some_and(|pointed| pointed > *at),
        None => pointed.is_some(),
    }
}

/// A user's markers in a conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Markers {
    /// Read up to here.
    pub read: Seq,
    /// Number of messages up to there.
    pub read_messages: u64,
    /// Stored on a device up to here.
    pub delivered: Seq,
}

/// Which marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Read.
    Read,
    /// Delivered.
    Delivered,
}

/// Moves a marker up. A lower one changes nothing. Durable when it answers.
pub(super) async fn mark(
    store: &dyn Store,
    place: &Place,
    user: &User,
    which: Which,
    at: Seq,
    messages: u64,
) -> Result<(), StoreError> {
    let column = if which == Which::Read { READ } else { DELIVERED };
    let cell = marker_cell(user, column, at, messages);
    store.write_cells(&Partition::Markers(place.clone()), vec![cell], Sync::Now).await
}

/// The markers of some users, or of all.
pub(super) async fn markers(
    store: &dyn Store,
    place: &Place,
    rows: Rows,
) -> Result<Vec<(User, Markers)>, StoreError> {
    let rows = store.read_rows(&Partition::Markers(place.clone()), rows).await?;
    let named = rows.iter().filter_map(|row| {
        let user = std::str::from_utf8(&row.key).ok().and_then(|name| User::new(name).ok())?;
        Some((user, read(row)))
    });
    Ok(named.collect())
}

fn read(row: &Row) -> Markers {
    let cell = |column: &Bytes| row.cells.get(column).map(|(at, value)| (*at, value));
    let (read, messages) = cell(&READ).map_or((0, 0), |(at, value)| {
        (at, value.as_ref().try_into().map(u64::from_be_bytes).unwrap_or_default())
    });
    Markers { read, read_messages: messages, delivered: cell(&DELIVERED).map_or(0, |(at, _)| at) }
}

/// The row of one user.
pub(super) fn row_of_user(user: &User) -> Rows {
    Rows::Keys(vec![Bytes::copy_from_slice(user.as_str().as_bytes())])
}
