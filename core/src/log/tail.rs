//! Where a log ends.

use super::Log;
use crate::{
    domain::Seq,
    store::{Bucket, Floor, Read, Statics, StoreError},
};

/// A bucket that was opened longer ago than this may have been trimmed. Milliseconds: what is trimmed is a day old at least, and
/// clocks differ by minutes.
const OLD_MS: i64 = 12 * 3_600_000;

/// The end of a log: the bucket that the next event goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The bucket's name.
    pub first: Seq,
    /// Its static columns; `None`: not opened yet.
    pub opened: Option<Statics>,
    /// The newest closed bucket and its static columns.
    pub closed: Option<(Seq, Statics)>,
}

impl Tail {
    /// The log that has no event yet.
    pub const EMPTY: Tail = Tail { first: 1, opened: None, closed: None };

    /// The columns that an opening append carries over, or the open bucket's.
    pub fn latest(&self) -> Option<Statics> {
        self.opened.or(self.closed.map(|(_, statics)| statics))
    }

    /// The same, with the name of their bucket.
    pub fn latest_of(&self) -> Option<(Seq, Statics)> {
        self.opened.map(|statics| (self.first, statics)).or(self.closed)
    }

    /// Up to where the log was trimmed.
    pub fn floor(&self) -> Floor {
        self.latest().map(|statics| statics.floor).unwrap_or_default()
    }

    /// Last seq of the log; 0 if there is none.
    pub fn last_seq(&self) -> Seq {
        self.opened.map_or(self.first - 1, |statics| statics.last_seq)
    }
}

impl Log {
    pub(super) fn bucket(&self, first: Seq) -> Bucket {
        Bucket { place: self.place.clone(), first }
    }

    /// The end for deciding on it: read at `SERIAL`, and with the newest closed bucket, in which retries are looked up.
    pub async fn tail(&self) -> Result<Tail, StoreError> {
        let mut tail = self.end(Read::Serial).await?;
        if tail.closed.is_none() {
            tail.closed = self.closed_before(tail.first, tail.floor()).await?;
        }
        Ok(tail)
    }

    /// The latest columns of the log, for reading, and the bucket that they are of; `None` if it has no event. `known`: a
    /// bucket of the log, which saves a look at the index if it is still the last.
    pub async fn latest(&self, known: Option<Seq>) -> Result<Option<(Seq, Statics)>, StoreError> {
        let there = match known {
            Some(first) => self.store.statics(&self.bucket(first), Read::Quorum).await?.map(|s| (first, s)),
            None => None,
        };
        // An append that was held up since then may open it anew when it is deleted. The index names no such bucket.
        let old = self.clock.now_ms() - OLD_MS;
        let there = there.filter(|(_, statics)| statics.opened_at > old);
        let tail = match there {
            Some((first, statics)) => self.follow(first, Some(statics), None, Read::Quorum).await?,
            None => self.end(Read::Quorum).await?,
        };
        Ok(tail.latest_of())
    }

    /// Finds the end: the newest row of the index, followed forward through closed buckets. Knows the newest closed
    /// bucket only if it came by it.
    async fn end(&self, read: Read) -> Result<Tail, StoreError> {
        let Some(row) = self.store.index(&self.place, Seq::MAX, 1).await?.pop() else {
            return Ok(Tail::EMPTY);
        };
        let first = row.first;
        let mut closed = None;
        let opened = self.store.statics(&self.bucket(first), read).await?;
        if opened.is_none() && first > 1 {
            // The index names a bucket that nobody has opened yet: the one before it was closed first.
            let before = self.store.index(&self.place, first - 1, 1).await?.pop();
            let before = before.ok_or_else(|| self.broken("the index lost the bucket before", first))?.first;
            let statics = self.store.statics(&self.bucket(before), read).await?;
            closed = Some((before, statics.ok_or_else(|| self.broken("there is no bucket", before))?));
        }
        self.follow(first, opened, closed, read).await
    }

    async fn follow(
        &self,
        mut first: Seq,
        mut opened: Option<Statics>,
        mut closed: Option<(Seq, Statics)>,
        read: Read,
    ) -> Result<Tail, StoreError> {
        while let Some(statics) = opened.filter(|statics| statics.closed) {
            closed = Some((first, statics));
            first = statics.last_seq + 1;
            opened = self.store.statics(&self.bucket(first), read).await?;
        }
        Ok(Tail { first, opened, closed })
    }

    pub(super) fn broken(&self, what: &str, seq: Seq) -> StoreError {
        StoreError::Corrupt(format!("conversation {}: {what} {seq}", self.place.conversation))
    }
}
