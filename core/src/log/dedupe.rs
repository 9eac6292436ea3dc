//! What became of a client id.

use super::{Log, Tail};
use crate::{
    domain::{ClientId, Seq, User},
    store::{Dedupe, Floor, Read, Statics, StoreError},
};

/// How far back a client id is looked up. Older ids are refused without an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// Age of an id in milliseconds. Default: 7 days.
    pub age_ms: i64,
    /// Closed buckets. Default: 64.
    pub buckets: usize,
}

impl Default for Horizon {
    fn default() -> Self {
        Self { age_ms: 7 * 24 * 3600 * 1000, buckets: 64 }
    }
}

/// What became of an id in closed buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is this event.
    Event(Dedupe),
    /// No closed bucket has it, and none ever will.
    Nowhere,
    /// It is too old to tell.
    Beyond,
}

impl Log {
    /// Looks an id up in the closed buckets, newest first, as far as any can hold it: `id_max` is the greatest time of
    /// any id in the log so far, so a bucket whose `id_max` is below the id's time has it not, nor any before it. What was
    /// trimmed can't be asked.
    pub async fn find_closed(&self, tail: &Tail, sender: &User, id: ClientId) -> Result<Found, StoreError> {
        if id.time_ms() < self.clock.now_ms() - self.settings.horizon.age_ms {
            return Ok(Found::Beyond);
        }
        let floor = tail.floor();
        let trimmed =
            || if floor.seq > 0 && floor.id_max >= id.time_ms() { Found::Beyond } else { Found::Nowhere };
        let mut next: Option<(Seq, Statics)> = tail.closed;
        for _ in 0..self.settings.horizon.buckets {
            let Some((first, statics)) = next else { return Ok(trimmed()) };
            if statics.id_max < id.time_ms() {
                return Ok(Found::Nowhere);
            }
            let row = self.store.dedupe(&self.bucket(first), &[(sender.clone(), id)], Read::Quorum).await?;
            if let Some(dedupe) = row.into_iter().flatten().next() {
                return Ok(Found::Event(dedupe));
            }
            debug_assert!(statics.closed);
            next = self.closed_before(first, floor).await?;
        }
        Ok(match next {
            Some((_, statics)) if statics.id_max >= id.time_ms() => Found::Beyond,
            Some(_) => Found::Nowhere,
            None => trimmed(),
        })
    }

    /// What became of an id in the open bucket, settled: what isn't there now was not applied.
    pub async fn find_open(
        &self,
        tail: &Tail,
        sender: &User,
        id: ClientId,
    ) -> Result<Option<Dedupe>, StoreError> {
        let rows = self.store.dedupe(&self.bucket(tail.first), &[(sender.clone(), id)], Read::Serial).await?;
        Ok(rows.into_iter().flatten().next())
    }

    pub(super) async fn closed_before(
        &self,
        first: Seq,
        floor: Floor,
    ) -> Result<Option<(Seq, Statics)>, StoreError> {
        if first <= floor.seq + 1 {
            return Ok(None);
        }
        let Some(row) = self.store.index(&self.place, first - 1, 1).await?.pop() else { return Ok(None) };
        let statics = self.store.statics(&self.bucket(row.first), Read::Quorum).await?;
        let statics = statics.ok_or_else(|| self.broken("there is no bucket", row.first))?;
        Ok(Some((row.first, statics)))
    }
}
