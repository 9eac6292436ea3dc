//! The invitations that name a user: `Received(tenant, user)`, a row for each that waits, ordered by when it was made.
//!
//! A row is written *before* the event that invites, and deleted after the one by which the invitation no longer waits for
//! this user, so that the rows are a superset; each is checked against its conversation when it is shown. What no event
//! deletes, because the invitation expired or its event came to stand elsewhere, is deleted by whoever comes upon it.

use super::{
    Conversations, Fault,
    fold::{Change, Place as Where},
    invited::Found,
};
use crate::{
    bus::Hint,
    domain::{ConversationId, Place, Seq, Tenant, User},
    store::{Cell, Partition, Rows, Store, StoreError, Sync},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nexus_proto::v1::{self, InvitationState, ephemeral};
use prost::Message as _;
use std::collections::BTreeSet;
use uuid::Uuid;

const WAITS: Bytes = Bytes::from_static(b"w");
/// Bytes of a row's key: a time, a seq, and a conversation's id.
const KEY: usize = 32;
/// Invitations that are looked at, or rows that are written, at once.
const WIDTH: usize = 32;
/// Rows that one page looks at; a page that comes to this bound is shorter.
const MOST: usize = 1000;
/// Time after which an invitation that expired is forgotten. Clocks differ by less.
const PAST_MS: i64 = 24 * 3_600_000;

/// The cell of an invitation that waits for a user from the event at `at` on, or no longer. Its row lacks the conversation,
/// which [`entry`] fills in.
pub(super) fn cell(created_at: i64, seq: Seq, at: Seq, waits: bool) -> Cell {
    let row = [created_at.to_be_bytes(), seq.to_be_bytes()].concat().into();
    Cell { row, column: WAITS, at, value: waits.then(Bytes::new) }
}

/// The same cell in its row.
pub(super) fn entry(place: &Place, cell: Cell) -> Cell {
    let row = [&cell.row[..], place.conversation.0.as_bytes()].concat().into();
    Cell { row, ..cell }
}

/// Points users to the invitations that the events of these changes are about to make.
pub(super) async fn point(store: &dyn Store, place: &Place, changes: &[Change]) -> Result<(), StoreError> {
    let made = changes.iter().filter_map(|(of, cell)| match of {
        Where::Received(user) if cell.value.is_some() => Some((user.clone(), entry(place, cell.clone()))),
        _ => None,
    });
    // Gathered first: what borrows the changes while it waits is not known to be sendable.
    let made: Vec<(User, Cell)> = made.collect();
    let writes = made.into_iter().map(|(user, cell)| async move {
        store.write_cells(&Partition::Received(place.tenant.clone(), user), vec![cell], Sync::Later).await
    });
    stream::iter(writes).buffer_unordered(WIDTH).try_collect::<()>().await
}

/// What tells users that invitations wait for them, or no longer.
pub(super) fn hints(place: &Place, changes: &[Change]) -> Vec<Hint> {
    let users: BTreeSet<&User> = changes
        .iter()
        .filter_map(|(of, _)| match of {
            Where::Received(user) => Some(user),
            _ => None,
        })
        .collect();
    let area = v1::AccountArea::Invitations.into();
    let changed = v1::AccountChanged { area, conversation_id: place.conversation.to_string() };
    let body: Bytes = v1::Ephemeral { body: Some(ephemeral::Body::Account(changed)) }.encode_to_vec().into();
    let tenant = &place.tenant;
    let told = |user: &User| Hint::Account { tenant: tenant.clone(), user: user.clone(), body: body.clone() };
    users.into_iter().map(told).collect()
}

/// A page of the invitations that wait for a user.
#[derive(Debug, Default)]
pub struct Page {
    /// Newest first.
    pub found: Vec<Found>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<Bytes>,
}

/// Whether these bytes can name a row.
pub fn is_key(key: &[u8]) -> bool {
    parse(key).is_some()
}

fn parse(key: &[u8]) -> Option<(i64, Seq, ConversationId)> {
    let key: &[u8; KEY] = key.try_into().ok()?;
    let (time, rest) = key.split_first_chunk()?;
    let (seq, id) = rest.split_first_chunk()?;
    let conversation = ConversationId(Uuid::from_slice(id).ok()?);
    Some((i64::from_be_bytes(*time), Seq::from_be_bytes(*seq), conversation))
}

/// What became of a row.
enum Row {
    Waits(Box<Found>),
    /// Not now, but perhaps soon or to another clock.
    Unsure,
    /// Nobody needs it any more; what is known goes up to a seq.
    Done(Seq),
}

impl Conversations {
    /// Open invitations that wait for a user, newest first, at most `limit`; after the place `after`.
    pub async fn received(
        &self,
        tenant: &Tenant,
        user: &User,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, Fault> {
        let partition = Partition::Received(tenant.clone(), user.clone());
        let (mut page, mut to) = (Page::default(), after.map(Bytes::copy_from_slice));
        let mut looked = 0;
        while looked < MOST {
            // One more, to know whether there is a next page.
            let most = limit + 1 - page.found.len();
            let range = Rows::Range { from: Bytes::new(), to: to.clone(), down: true, limit: most };
            let keys = self.shared.store.read_rows(&partition, range).await?;
            let keys: Vec<Bytes> = keys.into_iter().map(|row| row.key).collect();
            looked += keys.len();
            let checked = keys.iter().cloned().map(|key| self.row_of(tenant, user, key));
            let checked: Vec<Row> = stream::iter(checked).buffered(WIDTH).try_collect().await?;
            let mut done = Vec::new();
            for (key, row) in keys.iter().zip(checked) {
                match row {
                    Row::Waits(_) if page.found.len() == limit => {
                        page.next = to.clone();
                        break;
                    }
                    Row::Waits(found) => page.found.push(*found),
                    Row::Unsure => {}
                    Row::Done(at) => {
                        done.push(Cell { row: key.clone(), column: WAITS, at, value: None });
                    }
                }
                to = Some(key.clone());
            }
            if !done.is_empty()
                && let Err(error) = self.shared.store.write_cells(&partition, done, Sync::Later).await
            {
                // They are looked at again by whoever comes next.
                tracing::warn!(%error, "rows of invitations that are over are not deleted yet");
            }
            if page.next.is_some() || keys.len() < most {
                return Ok(page);
            }
        }
        page.next = to;
        Ok(page)
    }

    async fn row_of(&self, tenant: &Tenant, user: &User, key: Bytes) -> Result<Row, Fault> {
        let Some((created_at, seq, conversation)) = parse(&key) else {
            return Err(StoreError::Corrupt("a row of received invitations".into()).into());
        };
        let place = Place { tenant: tenant.clone(), conversation };
        // Before the invitation is read: up to here it is known what stands in the log.
        let last_seq = self.head(&place).await?.map_or(0, |head| head.last_seq);
        let found = self.invitation(&place, seq, user).await?;
        let found = found.filter(|found| found.invitation.created_at == created_at);
        let Some(found) = found.filter(|found| found.invitation.waits_for(user)) else {
            // Of one that isn't there yet the event may still be on its way.
            return Ok(if seq <= last_seq { Row::Done(last_seq) } else { Row::Unsure });
        };
        let now = self.shared.clock.now_ms();
        Ok(match (found.invitation.state_at(now), found.invitation.state_at(now - PAST_MS)) {
            (InvitationState::Open, _) => Row::Waits(Box::new(found)),
            (InvitationState::Expired, InvitationState::Open) => Row::Unsure,
            _ => Row::Done(last_seq),
        })
    }
}
