//! What is kept of users themselves: in no log, the last writer of each field wins.
//!
//! - here: profiles.

use crate::{
    clock::SharedClock,
    domain::{Tenant, User},
    store::{Cell, Partition, Row, Rows, Store, StoreError, Sync},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nexus_proto::v1;
use prost::Message as _;
use std::{collections::BTreeSet, sync::Arc};

/// The row of a profile.
const PROFILE: Bytes = Bytes::from_static(b"p");
const DISPLAY_NAME: Bytes = Bytes::from_static(b"n");
const ABOUT: Bytes = Bytes::from_static(b"w");
const TIME_ZONE: Bytes = Bytes::from_static(b"z");
const METADATA: Bytes = Bytes::from_static(b"m");
/// Profiles that are read at once.
const WIDTH: usize = 32;

/// The accounts of all tenants.
pub struct Accounts {
    store: Arc<dyn Store>,
    clock: SharedClock,
}

/// What is to change of a profile.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The name to show.
    pub display_name: Option<String>,
    /// A few words.
    pub about: Option<String>,
    /// IANA name of the time zone.
    pub time_zone: Option<String>,
    /// All of the metadata.
    pub metadata: Option<v1::ProfileMetadata>,
}

impl Accounts {
    /// Accounts in a store.
    pub fn new(store: Arc<dyn Store>, clock: SharedClock) -> Self {
        Self { store, clock }
    }

    /// Changes a profile, durably, and gives all of it.
    pub async fn update(&self, tenant: &Tenant, user: &User, wish: Wish) -> Result<v1::Profile, StoreError> {
        let row = self.row(tenant, user).await?;
        let at = Row::after(row.as_ref(), self.clock.now_ms());
        let values = [
            (DISPLAY_NAME, wish.display_name.map(Bytes::from)),
            (ABOUT, wish.about.map(Bytes::from)),
            (TIME_ZONE, wish.time_zone.map(Bytes::from)),
            (METADATA, wish.metadata.map(|metadata| metadata.encode_to_vec().into())),
        ];
        let cells = values.into_iter().filter(|(_, value)| value.is_some());
        let cells: Vec<_> = cells.map(|(column, value)| Cell { row: PROFILE, column, at, value }).collect();
        if !cells.is_empty() {
            let partition = Partition::Account(tenant.clone(), user.clone());
            self.store.write_cells(&partition, cells, Sync::Now).await?;
        }
        let row = self.row(tenant, user).await?;
        let empty = || v1::Profile { user: user.to_string(), ..Default::default() };
        row.map_or_else(|| Ok(empty()), |row| profile(user, &row))
    }

    /// The profiles of users, by user; who has none is left out.
    pub async fn profiles(
        &self,
        tenant: &Tenant,
        users: BTreeSet<User>,
    ) -> Result<Vec<v1::Profile>, StoreError> {
        let profiles = users.into_iter().map(|user| async move {
            let row = self.row(tenant, &user).await?;
            row.map(|row| profile(&user, &row)).transpose()
        });
        let found: Vec<_> = stream::iter(profiles).buffered(WIDTH).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn row(&self, tenant: &Tenant, user: &User) -> Result<Option<Row>, StoreError> {
        let partition = Partition::Account(tenant.clone(), user.clone());
        Ok(self.store.read_rows(&partition, Rows::Keys(vec![PROFILE])).await?.pop())
    }
}

fn profile(user: &User, row: &Row) -> Result<v1::Profile, StoreError> {
    let corrupt = |why: String| StoreError::Corrupt(format!("the profile of {user}: {why}"));
    let text = |column: &Bytes| match row.cells.get(column) {
        Some((_, value)) => String::from_utf8(value.to_vec()).map_err(|error| corrupt(error.to_string())),
        None => Ok(String::new()),
    };
    let metadata = row.cells.get(&METADATA).map(|(_, value)| v1::ProfileMetadata::decode(value.clone()));
    let metadata = metadata.transpose().map_err(|error| corrupt(error.to_string()))?.unwrap_or_default();
    Ok(v1::Profile {
        user: user.to_string(),
        display_name: text(&DISPLAY_NAME)?,
        about: text(&ABOUT)?,
        time_zone: text(&TIME_ZONE)?,
        metadata: metadata.entries,
        updated_at_ms: row.cells.values().map(|(at, _)| *at as i64).max().unwrap_or_default(),
        ..Default::default()
    })
}
