//! The beginning of a log that is too old to be kept: which buckets that is, and their end.

use super::{Log, Tail};
use crate::{
    domain::Seq,
    store::{Floor, Read, Statics, StoreError},
};

/// Buckets that are dropped between two looks at the index.
const PAGE: usize = 100;

/// Which closed buckets may go.
#[derive(Debug, Clone, Copy)]
pub enum Goes {
    /// Those whose events all are before a time, Unix milliseconds.
    Before(i64),
    /// Those whose events all are at or below a seq and before a time, Unix milliseconds.
    Through(Seq, i64),
}

impl Goes {
    fn takes(self, statics: &Statics) -> bool {
        match self {
            Goes::Before(time_ms) => statics.last_at < time_ms,
            Goes::Through(seq, time_ms) => statics.last_seq <= seq && statics.last_at < time_ms,
        }
    }
}

impl Log {
    /// Whether anything of the log is so old that it may go: a look that changes nothing.
    pub async fn is_old(&self, before_ms: i64) -> Result<bool, StoreError> {
        let Some((_, latest)) = self.latest(None).await? else { return Ok(false) };
        let first = latest.floor.seq + 1;
        let oldest = self.store.statics(&self.bucket(first), Read::Quorum).await?;
        Ok(oldest.is_some_and(|oldest| oldest.last_at < before_ms) && !is_bare(latest.last_seq, latest.floor))
    }

    /// Up to where the log may be trimmed, if further than it is. The last bucket is closed for that if it may go whole.
    /// Returns the end as it is then.
    pub async fn trimmable(&self, tail: Tail, goes: Goes) -> Result<(Tail, Option<Floor>), StoreError> {
        let mut found = None;
        if is_bare(tail.last_seq(), tail.floor()) {
            return Ok((tail, None));
        }
        let mut first = tail.floor().seq + 1;
        while first < tail.first {
            let statics = self.store.statics(&self.bucket(first), Read::Quorum).await?;
            let statics = statics.ok_or_else(|| self.broken("there is no bucket", first))?;
            if !statics.closed || !goes.takes(&statics) {
                break;
            }
            found = Some(floor_after(&statics));
            first = statics.last_seq + 1;
        }
        match tail.opened {
            Some(open) if first == tail.first && goes.takes(&open) => {
                let now = self.seal(first, open).await?;
                // Not if somebody appended to it meanwhile, even if it is closed by now.
                let sealed =
                    now.closed.filter(|(of, sealed)| *of == first && sealed.last_seq == open.last_seq);
                Ok((now, sealed.map(|(_, sealed)| floor_after(&sealed)).or(found)))
            }
            _ => Ok((tail, found)),
        }
    }

    /// The first seq of the oldest bucket at or below the floor that is still there.
    pub async fn oldest_trimmed(&self, floor: Seq) -> Result<Option<Seq>, StoreError> {
        let mut oldest = None;
        let mut at_most = floor;
        loop {
            let rows = self.store.index(&self.place, at_most, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(oldest) };
            oldest = Some(last.first);
            at_most = last.first - 1;
            if rows.len() < PAGE || at_most == 0 {
                return Ok(oldest);
            }
        }
    }

    /// Deletes the buckets at or below a floor that was stored; gives how many.
    pub async fn drop_trimmed(&self, floor: Seq) -> Result<u64, StoreError> {
        let mut dropped = 0;
        loop {
            let rows = self.store.index(&self.place, floor, PAGE).await?;
            for row in &rows {
                self.store.drop_bucket(&self.bucket(row.first)).await?;
                dropped += 1;
            }
            if rows.len() < PAGE {
                return Ok(dropped);
            }
        }
    }
}

fn floor_after(statics: &Statics) -> Floor {
    Floor { seq: statics.last_seq, id_max: statics.id_max, messages: statics.messages }
}

/// Whether a log that ends with this seq has nothing left but the event that says where it was trimmed. That one stays, or an
/// idle log would be trimmed for ever.
fn is_bare(last: Seq, floor: Floor) -> bool {
    floor.seq > 0 && last <= floor.seq + 1
}
