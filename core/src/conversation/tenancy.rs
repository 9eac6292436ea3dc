//! All conversations of a tenant: a row for each, in the order of their ids, in [`PARTS`] partitions of about one size, since
//! ids are hashes.
//!
//! A row is written *before* a conversation's first event, so that the rows are a superset; each is checked against its
//! log when it is shown. Those that began before there were such rows are entered by the passes of [`super::retention`].

use super::{Conversations, Fault, list::row_of};
use crate::{
    domain::{ConversationId, Place, Tenant},
    store::{Cell, Partition, Rows, Store, StoreError, Sync},
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const THERE: Bytes = Bytes::from_static(b"t");
/// Partitions of a tenant: one for each value of the first four bits of an id.
const PARTS: u8 = 16;

fn part_of(id: ConversationId) -> u8 {
    id.0.as_bytes()[0] >> 4
}

fn cell(place: &Place) -> Cell {
    Cell { row: row_of(place), column: THERE, at: 1, value: Some(Bytes::new()) }
}

/// Enters a conversation that is about to begin.
pub(super) async fn enter(store: &dyn Store, place: &Place) -> Result<(), StoreError> {
    let partition = Partition::Conversations(place.tenant.clone(), part_of(place.conversation));
    store.write_cells(&partition, vec![cell(place)], Sync::Later).await
}

/// Enters those of these conversations that are missing.
pub(super) async fn enter_missing(store: &dyn Store, places: &[Place]) -> Result<(), StoreError> {
    let mut parts: BTreeMap<Partition, Vec<&Place>> = BTreeMap::new();
    for place in places {
        let partition = Partition::Conversations(place.tenant.clone(), part_of(place.conversation));
        parts.entry(partition).or_default().push(place);
    }
    for (partition, places) in parts {
        let keys = places.iter().map(|place| row_of(place)).collect();
        let rows = store.read_rows(&partition, Rows::Keys(keys)).await?;
        let there: BTreeSet<Bytes> = rows.into_iter().map(|row| row.key).collect();
        let missing = places.iter().filter(|place| !there.contains(&row_of(place)));
        let cells: Vec<Cell> = missing.map(|place| cell(place)).collect();
        if !cells.is_empty() {
            store.write_cells(&partition, cells, Sync::Later).await?;
        }
    }
    Ok(())
}

impl Conversations {
    /// Conversations of a tenant in the order of their ids, after one, at most `limit`; fewer only at the end. A superset: not
    /// all of them need have begun.
    pub async fn of_tenant(
        &self,
        tenant: &Tenant,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<Vec<Place>, Fault> {
        let mut places = Vec::new();
        for part in after.map_or(0, part_of)..PARTS {
            let from = match after {
                Some(id) if part_of(id) == part => [&id.0.as_bytes()[..], &[0]].concat().into(),
                _ => Bytes::new(),
            };
            let ask = Rows::Range { from, to: None, down: false, limit: limit - places.len() };
            let partition = Partition::Conversations(tenant.clone(), part);
            for row in self.shared.store.read_rows(&partition, ask).await? {
                let id = Uuid::from_slice(&row.key);
                let id = id.map_err(|e| StoreError::Corrupt(format!("a conversation of a tenant: {e}")))?;
                places.push(Place { tenant: tenant.clone(), conversation: ConversationId(id) });
            }
            if places.len() >= limit {
                break;
            }
        }
        Ok(places)
    }
}
