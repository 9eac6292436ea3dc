//! How long events are kept, and the loop that trims what is too old.
//!
//! A conversation's own retention goes before its tenant's, which goes before the deployment's. They are rows of
//! `Retention(tenant)`: of the conversation, or of the tenant itself under an empty key; `d` the days, 0: for ever. Which
//! conversations are being trimmed is written there before they are, so that a node that dies in between leaves work and no
//! waste: `t` with the seq up to which they are.
//!
//! A pass goes through all conversations, and enters those in their tenants that began before there was [`tenancy`]. What it trimmed, and what others left, it deletes a while later, when nobody
//! reads any more who looked at the log before. One node does it at a time, as far as they see each other: the row of no
//! tenant says when a pass was begun. Two at once do no harm; what one has done the other finds done.

use super::{Conversations, Fault, Shared, list::row_of, tenancy};
use crate::{
    domain::{ConversationId, Place, Seq, Tenant},
    store::{Cell, Partition, Row, Rows, StoreError, Sync},
};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::sleep;
use uuid::Uuid;

const DAYS: Bytes = Bytes::from_static(b"d");
const TRIMMING: Bytes = Bytes::from_static(b"t");
const BEGUN: Bytes = Bytes::from_static(b"b");
/// Conversations, or rows, that are read at once.
const PAGE: usize = 200;
/// Tenants whose settings are kept in mind during a pass.
const TENANTS: usize = 1000;
/// Conversations whose trimmed buckets one pass deletes; the next one goes on.
const MOST: usize = 10_000;
const DAY_MS: i64 = 24 * 3_600_000;

/// How long events are kept, and how that is seen to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Age at which events may go, milliseconds, where nothing else was said; 0: never. Default: 0.
    pub keep_ms: i64,
    /// Time between two passes. Default: 6 h.
    pub every: Duration,
    /// Time from trimming until deletion. Longer than any read takes. Default: 5 min.
    pub grace: Duration,
    /// Pause after each page of conversations. Default: 50 ms.
    pub pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keep_ms: 0,
            every: Duration::from_secs(6 * 3600),
            grace: Duration::from_secs(300),
            pause: Duration::from_millis(50),
        }
    }
}

/// The settings of a tenant, and its conversations that are being trimmed.
#[derive(Default)]
struct Tenancy {
    own: Option<i64>,
    conversations: BTreeMap<ConversationId, i64>,
    trimming: Vec<ConversationId>,
}

impl Conversations {
    /// Says how many days events are kept: of a tenant's conversations, or of one of them; 0: for ever; `None`: as long as
    /// is said elsewhere. Durable when it answers; the last writer wins.
    pub async fn retain(
        &self,
        tenant: &Tenant,
        conversation: Option<ConversationId>,
        days: Option<u32>,
    ) -> Result<(), Fault> {
        let row = key(tenant, conversation);
        let partition = Partition::Retention(tenant.clone());
        let there = self.shared.store.read_rows(&partition, Rows::Keys(vec![row.clone()])).await?.pop();
        let at = Row::after(there.as_ref(), self.shared.clock.now_ms());
        let value = days.map(|days| Bytes::copy_from_slice(&days.to_be_bytes()));
        let cell = Cell { row, column: DAYS, at, value };
        Ok(self.shared.store.write_cells(&partition, vec![cell], Sync::Now).await?)
    }

    /// How many days events of a conversation are kept, or of a tenant's conversations, and whether that was said of it
    /// itself; 0: for ever.
    pub async fn retention(
        &self,
        tenant: &Tenant,
        conversation: Option<ConversationId>,
    ) -> Result<(u32, bool), Fault> {
        let partition = Partition::Retention(tenant.clone());
        let keys = [conversation, None].map(|of| key(tenant, of));
        let rows = self.shared.store.read_rows(&partition, Rows::Keys(keys.to_vec())).await?;
        let said = |key: &Bytes| rows.iter().find(|row| row.key == *key).and_then(days);
        let deployment = (self.shared.settings.retention.keep_ms / DAY_MS) as u32;
        Ok(match (said(&keys[0]), said(&keys[1])) {
            (Some(own), _) => (own, true),
            (None, inherited) => (inherited.unwrap_or(deployment), false),
        })
    }

    /// Trims what is too old, again and again, until it is dropped. To be run once on every node.
    pub async fn keep_trimmed(&self) {
        let settings = self.shared.settings.retention.clone();
        // Looked for more often than it is done, so that another goes on soon after a node that died.
        let look = settings.every / 6;
        loop {
            sleep(look).await;
            match self.claim(settings.every).await {
                Ok(false) => {}
                Ok(true) => {
                    if let Err(fault) = self.trim_old().await {
                        tracing::warn!(%fault, "the look for events that are too old broke off; trying again later");
                    }
                }
                Err(fault) => tracing::warn!(%fault, "can't see when events were trimmed last"),
            }
        }
    }

    /// Whether a pass is due; then it is this node's.
    async fn claim(&self, every: Duration) -> Result<bool, Fault> {
        let partition = Partition::Retention(Tenant::lowest());
        let rows = self.shared.store.read_rows(&partition, Rows::Keys(vec![Bytes::new()])).await?;
        let begun = rows.first().and_then(|row| row.cells.get(&BEGUN));
        let (at, then) = begun.map_or((0, None), |(at, value)| (*at, number(value)));
        let now = self.shared.clock.now_ms();
        // By a clock that is ahead it was begun in the future.
        if then.is_some_and(|then| u128::from(now.abs_diff(then)) < every.as_millis()) {
            return Ok(false);
        }
        let value = Some(Bytes::copy_from_slice(&now.to_be_bytes()));
        let cell = Cell { row: Bytes::new(), column: BEGUN, at: at + 1, value };
        self.shared.store.write_cells(&partition, vec![cell], Sync::Later).await?;
        Ok(true)
    }

    /// One pass: trims what is too old in all conversations, and deletes it a while later.
    pub async fn trim_old(&self) -> Result<(), Fault> {
        let (shared, settings) = (&self.shared, &self.shared.settings.retention);
        shared.metrics.retention_passes.inc();
        let mut tenants: BTreeMap<Tenant, Tenancy> = BTreeMap::new();
        let mut trimmed: Vec<Place> = Vec::new();
        let mut after = None;
        loop {
            let places = shared.store.places(after.as_ref(), PAGE).await?;
            tenancy::enter_missing(&*shared.store, &places).await?;
            for place in &places {
                if !tenants.contains_key(&place.tenant) {
                    if tenants.len() >= TENANTS {
                        tenants.clear();
                    }
                    let tenancy = tenancy(shared, &place.tenant).await?;
                    tenants.insert(place.tenant.clone(), tenancy);
                }
                let Some(tenancy) = tenants.get(&place.tenant) else { continue };
                let own = tenancy.conversations.get(&place.conversation).copied();
                let keep_ms = own.or(tenancy.own).unwrap_or(settings.keep_ms);
                let left = tenancy.trimming.contains(&place.conversation);
                if self.trim(place, keep_ms).await || left {
                    trimmed.push(place.clone());
                }
            }
            match places.last() {
                Some(last) if places.len() == PAGE && trimmed.len() < MOST => after = Some(last.clone()),
                _ => break,
            }
            sleep(settings.pause).await;
        }
        sleep(settings.grace).await;
        for place in trimmed {
            match self.conversation(&place).drop_trimmed().await {
                Ok(dropped) => shared.metrics.dropped.inc_by(dropped),
                Err(error) => self.not_trimmed(&place, &error),
            }
        }
        Ok(())
    }

    /// Trims a conversation; gives whether it was.
    async fn trim(&self, place: &Place, keep_ms: i64) -> bool {
        if keep_ms <= 0 {
            return false;
        }
        let before = self.shared.clock.now_ms().saturating_sub(keep_ms);
        let trimming = async {
            // Most are not, and to see that is cheap.
            if !self.log(place).is_old(before).await? {
                return Ok(0);
            }
            self.conversation(place).trim(before).await
        };
        match trimming.await {
            Ok(events) => {
                self.shared.metrics.trimmed.inc_by(events);
                events > 0
            }
            Err(error) => {
                self.not_trimmed(place, &error);
                false
            }
        }
    }

    fn not_trimmed(&self, place: &Place, error: &StoreError) {
        self.shared.metrics.retention_failures.inc();
        tracing::warn!(conversation = %place.conversation, %error, "not trimmed yet");
    }
}

/// Notes that a conversation is being trimmed up to a seq, or that all of that is deleted.
pub(super) async fn note(
    shared: &Shared,
    place: &Place,
    through: Seq,
    begins: bool,
) -> Result<(), StoreError> {
    let value = begins.then(Bytes::new);
    let cell = Cell { row: row_of(place), column: TRIMMING, at: through, value };
    let partition = Partition::Retention(place.tenant.clone());
    shared.store.write_cells(&partition, vec![cell], Sync::Now).await
}

async fn tenancy(shared: &Arc<Shared>, tenant: &Tenant) -> Result<Tenancy, StoreError> {
    let partition = Partition::Retention(tenant.clone());
    let mut found = Tenancy::default();
    let mut from = Bytes::new();
    loop {
        let range = Rows::Range { from, to: None, down: false, limit: PAGE };
        let page = shared.store.read_rows(&partition, range).await?;
        for row in &page {
            let keep_ms = days(row).map(|days| i64::from(days) * DAY_MS);
            let Ok(id) = Uuid::from_slice(&row.key).map(ConversationId) else {
                found.own = keep_ms;
                continue;
            };
            found.conversations.extend(keep_ms.map(|keep_ms| (id, keep_ms)));
            found.trimming.extend(row.cells.contains_key(&TRIMMING).then_some(id));
        }
        match page.last() {
            Some(last) if page.len() == PAGE => from = [&last.key[..], &[0]].concat().into(),
            _ => return Ok(found),
        }
    }
}

fn key(tenant: &Tenant, conversation: Option<ConversationId>) -> Bytes {
    let of = |conversation| row_of(&Place { tenant: tenant.clone(), conversation });
    conversation.map(of).unwrap_or_default()
}

fn days(row: &Row) -> Option<u32> {
    let (_, value) = row.cells.get(&DAYS)?;
    value.as_ref().try_into().ok().map(u32::from_be_bytes)
}

fn number(value: &Bytes) -> Option<i64> {
    value.as_ref().try_into().ok().map(i64::from_be_bytes)
}
