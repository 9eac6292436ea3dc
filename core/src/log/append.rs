//! Sealing, opening and appending.

use super::{Log, Tail};
use crate::{
    domain::{ClientId, Event, Seq, User, hash},
    store::{Commit, Dedupe, Floor, IndexRow, Outcome, Read, Statics, StoreError},
};

/// An event to append, with the digest of the request that it answers.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The event; its seq follows the log's end.
    pub event: Event,
    /// Digest of the request's content, for its dedupe row.
    pub digest: [u8; 32],
    /// Where the log begins from this event on, if it says so.
    pub floor: Option<Floor>,
}

/// What an append came to.
#[derive(Debug)]
pub enum Appended {
    /// All of it is durable; the log ends here now.
    Done(Tail),
    /// Refused, or the outcome is unknown: the batch is to be decided again from this end of the log. What each of its
    /// ids became stands beside it, in the order of the entries.
    Again(Tail, Vec<Option<Dedupe>>),
}

impl Log {
    /// Makes the open bucket ready for an event: seals it if its time is over or it is full, and finds the next.
    /// Returns the end and how many events fit into its bucket.
    pub async fn make_room(&self, tail: Tail) -> Result<(Tail, u64), StoreError> {
        let Some(statics) = tail.opened else { return Ok((tail, self.settings.limits.events)) };
        let used = statics.last_seq + 1 - tail.first;
        let over = self.clock.now_ms() >= statics.opened_at.saturating_add(statics.limits.window_ms);
        if !over && used < statics.limits.events && statics.bytes < statics.limits.bytes {
            return Ok((tail, statics.limits.events - used));
        }
        let tail = self.seal(tail.first, statics).await?;
        let room = tail.opened.map_or(self.settings.limits.events, |now| {
            now.limits.events.saturating_sub(now.last_seq + 1 - tail.first)
        });
        Ok((tail, room))
    }

    /// Closes a bucket for ever, if it is still as it was seen. Returns the end as it is now.
    pub(super) async fn seal(&self, first: Seq, statics: Statics) -> Result<Tail, StoreError> {
        let commit = Commit {
            expect: Some(statics.last_seq),
            statics: Statics { closed: true, ..statics },
            events: Vec::new(),
            dedupe: Vec::new(),
        };
        match self.store.commit(&self.bucket(first), commit).await {
            Ok(_) | Err(StoreError::Unknown(_)) => {}
            Err(error) => return Err(error),
        }
        // Applied, refused by somebody who sealed or appended first, or unknown: what it is now, is read.
        self.tail().await
    }

    /// Appends entries that follow the tail, in one conditional batch. No (sender, id) may be in it twice, and it
    /// must fit into the bucket. `noted`: the last minute in which this conversation was noted in `recent`.
    pub async fn append(
        &self,
        tail: Tail,
        entries: &[Entry],
        noted: &mut i64,
    ) -> Result<Appended, StoreError> {
        let now = self.clock.now_ms();
        self.note(now, noted).await?;
        if tail.opened.is_none() {
            // Before the bucket opens, so that the index may name an empty bucket and never misses one.
            self.store.put_index(&self.place, IndexRow { first: tail.first, opened_at: now }).await?;
        }
        let statics = self.after(&tail, entries, now);
        let commit = Commit {
            expect: tail.opened.map(|statics| statics.last_seq),
            statics,
            events: entries.iter().map(|entry| entry.event.clone()).collect(),
            dedupe: entries.iter().filter_map(dedupe_row).collect(),
        };
        let outcome = self.store.commit(&self.bucket(tail.first), commit).await;
        if tail.opened.is_none() && matches!(outcome, Ok(Outcome::Applied)) {
            // A bucket that was trimmed can be opened anew by who was held up for so long before; the log is elsewhere.
            let now = self.tail().await.map_err(|error| StoreError::Unknown(error.to_string()))?;
            if now.floor().seq >= tail.first {
                // Nobody finds it; if this fails, nobody finds it either.
                drop(self.store.drop_bucket(&self.bucket(tail.first)).await);
                return Ok(Appended::Again(now, vec![None; entries.len()]));
            }
        }
        match outcome {
            Ok(Outcome::Applied) if statics.closed => Ok(Appended::Done(Tail {
                first: statics.last_seq + 1,
                opened: None,
                closed: Some((tail.first, statics)),
            })),
            Ok(Outcome::Applied) => Ok(Appended::Done(Tail { opened: Some(statics), ..tail })),
            Ok(Outcome::Refused) | Err(StoreError::Unknown(_)) => {
                // The batch may still be applied as long as this is not read, whatever the reason for which it isn't.
                self.decide(tail.first, entries).await.map_err(|error| StoreError::Unknown(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads at `SERIAL` what a batch came to: afterwards it can't be applied any more to the state that it expected.
    async fn decide(&self, first: Seq, entries: &[Entry]) -> Result<Appended, StoreError> {
        // The statics first: a serial read settles what was under way on this bucket, so the ids are read after it.
        self.store.statics(&self.bucket(first), Read::Serial).await?;
        let ids: Vec<(User, ClientId)> =
            entries.iter().filter_map(|e| Some((e.event.sender.clone(), e.event.id?))).collect();
        let mut rows = self.store.dedupe(&self.bucket(first), &ids, Read::Serial).await?.into_iter();
        let found = entries.iter().map(|e| e.event.id.and_then(|_| rows.next().flatten())).collect();
        let now = self.tail().await?;
        let floor = now.floor();
        if floor.seq < first {
            return Ok(Appended::Again(now, found));
        }
        // What a bucket that was trimmed says now it says of another. Ids that are newer than all that was trimmed were not in
        // it; of others nobody knows any more, and to decide about them again would refuse for good what may have been done.
        let newer = |entry: &Entry| entry.event.id.is_none_or(|id| id.time_ms() > floor.id_max);
        if !entries.iter().all(newer) {
            return Err(StoreError::Unknown("the bucket was trimmed meanwhile".into()));
        }
        Ok(Appended::Again(now, vec![None; entries.len()]))
    }

    fn after(&self, tail: &Tail, entries: &[Entry], now: i64) -> Statics {
        let mut statics = match (tail.opened, tail.closed) {
            (Some(statics), _) => statics,
            (None, Some((_, before))) => {
                Statics { closed: false, opened_at: now, bytes: 0, limits: self.settings.limits, ..before }
            }
            (None, None) => Statics {
                last_seq: 0,
                closed: false,
                opened_at: now,
                last_at: 0,
                id_max: 0,
                members_at: 0,
                messages: 0,
                bytes: 0,
                limits: self.settings.limits,
                floor: Floor::default(),
            },
        };
        for Entry { event, floor, .. } in entries {
            statics.last_seq = event.seq;
            statics.last_at = event.time_ms;
            statics.id_max = statics.id_max.max(event.id.map_or(0, ClientId::time_ms));
            if event.changes_members() {
                statics.members_at = event.seq;
            }
            statics.messages = event.messages;
            statics.floor = floor.unwrap_or(statics.floor);
            statics.bytes += event.size() as u64;
        }
        let full = statics.last_seq + 1 - tail.first >= statics.limits.events;
        statics.closed = full || statics.bytes >= statics.limits.bytes;
        statics
    }

    async fn note(&self, now: i64, noted: &mut i64) -> Result<(), StoreError> {
        let minute = now.div_euclid(60_000);
        if self.settings.recent && *noted != minute {
            self.store.put_recent(hash::lane_of(&self.place), minute, &self.place).await?;
            *noted = minute;
        }
        Ok(())
    }
}

fn dedupe_row(entry: &Entry) -> Option<(User, ClientId, Dedupe)> {
    let Entry { event, digest, .. } = entry;
    Some((
        event.sender.clone(),
        event.id?,
        Dedupe { seq: event.seq, time_ms: event.time_ms, digest: *digest },
    ))
}
