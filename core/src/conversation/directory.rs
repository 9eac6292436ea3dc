//! The directory of a tenant: a row for each public channel, ordered by its title without regard to case.
//!
//! A row is written *before* the event that lists the channel, and deleted after the one that doesn't any more, so that
//! the rows are a superset; each is checked against its conversation when it is shown.

use super::{
    Conversations, Fault,
    fold::{Change, Place as Where},
    rows::About,
};
use crate::{
    domain::{ConversationId, Place, Seq, Tenant},
    store::{Cell, Partition, Rows, Store, StoreError, Sync},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nexus_proto::v1::Visibility;
use uuid::Uuid;

const LISTED: Bytes = Bytes::from_static(b"l");
/// Bytes of a conversation's id at the end of a row's key, and the zero before it.
const TAIL: usize = 17;
/// Channels that are looked at at once.
const WIDTH: usize = 32;

/// A title as it is ordered and searched.
pub fn folded(title: &str) -> String {
    title.to_lowercase()
}

/// The cells by which an event that turns `before` into `after` changes the directory. Their row lacks the conversation,
/// which [`entry`] fills in.
pub(super) fn changes(before: Option<&About>, after: &About, at: Seq) -> Vec<Cell> {
    let listed = |about: &About| (about.visibility() == Visibility::Public).then(|| folded(&about.title));
    let (was, is) = (before.and_then(listed), listed(after));
    if was == is {
        return Vec::new();
    }
    let cell = |title: String, value| Cell { row: title.into(), column: LISTED, at, value };
    let gone = was.map(|title| cell(title, None));
    gone.into_iter().chain(is.map(|title| cell(title, Some(Bytes::new())))).collect()
}

/// The same cell in its row.
pub(super) fn entry(place: &Place, cell: Cell) -> Cell {
    let row = [&cell.row[..], &[0], place.conversation.0.as_bytes()].concat().into();
    Cell { row, ..cell }
}

/// Lists a channel that the events of these changes are about to list.
pub(super) async fn point(store: &dyn Store, place: &Place, changes: &[Change]) -> Result<(), StoreError> {
    let listing = changes.iter().filter(|(of, cell)| *of == Where::Directory && cell.value.is_some());
    let cells: Vec<Cell> = listing.map(|(_, cell)| entry(place, cell.clone())).collect();
    if cells.is_empty() {
        return Ok(());
    }
    store.write_cells(&Partition::Directory(place.tenant.clone()), cells, Sync::Later).await
}

/// A public channel.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Which.
    pub place: Place,
    /// What it is.
    pub about: About,
    key: Bytes,
}

impl Listed {
    /// Names its place in the directory.
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

/// Whether these bytes can name a place in a directory.
pub fn is_key(key: &[u8]) -> bool {
    parse(key).is_some()
}

fn parse(key: &[u8]) -> Option<(&str, ConversationId)> {
    let (title, rest) = key.split_at_checked(key.len().checked_sub(TAIL)?)?;
    let id = rest.strip_prefix(&[0])?;
    Some((std::str::from_utf8(title).ok()?, ConversationId(Uuid::from_slice(id).ok()?)))
}

impl Conversations {
    /// Public channels whose folded title starts with `prefix`, after the place `after`, at most `limit`.
    pub async fn directory(
        &self,
        tenant: &Tenant,
        prefix: &str,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Listed>, Fault> {
        let partition = Partition::Directory(tenant.clone());
        let mut from: Bytes = match after {
            Some(key) if key >= prefix.as_bytes() => above(key),
            _ => Bytes::copy_from_slice(prefix.as_bytes()),
        };
        let mut found = Vec::new();
        loop {
            let page = limit - found.len();
            let ask = Rows::Range { from: from.clone(), to: None, down: false, limit: page };
            let rows = self.shared.store.read_rows(&partition, ask).await?;
            let mut keys: Vec<Bytes> = rows.into_iter().map(|row| row.key).collect();
            let read = keys.len();
            keys.retain(|key| key.starts_with(prefix.as_bytes()));
            let whole = keys.len() < page || keys.len() < read;
            if let Some(last) = keys.last() {
                from = above(last);
            }
            let listed = keys.into_iter().map(|key| self.listed(tenant, key));
            let listed: Vec<_> = stream::iter(listed).buffered(WIDTH).try_collect().await?;
            found.extend(listed.into_iter().flatten());
            if whole || found.len() >= limit {
                return Ok(found);
            }
        }
    }

    /// What a row of the directory points to, if it is what the row says.
    async fn listed(&self, tenant: &Tenant, key: Bytes) -> Result<Option<Listed>, Fault> {
        let Some((title, conversation)) = parse(&key) else {
            return Err(StoreError::Corrupt("a row of the directory".into()).into());
        };
        let place = Place { tenant: tenant.clone(), conversation };
        let Some(head) = self.head(&place).await? else { return Ok(None) };
        let about = self.conversation(&place).views(head.last_seq, head.floor).await?.about().await?;
        let public = |about: &About| about.visibility() == Visibility::Public;
        let about = about.filter(|about| public(about) && folded(&about.title) == title);
        Ok(about.map(|about| Listed { place, about, key: key.clone() }))
    }
}

fn above(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}
