//! What is stored of a bucket: one partition of a conversation's log.

use super::StoreError;
use crate::domain::{ClientId, Event, Place, Seq, User};
use std::collections::HashSet;

/// A bucket's key. Its name is its first seq, so two nodes can never open different successors.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket {
    /// The conversation.
    pub place: Place,
    /// Its first seq.
    pub first: Seq,
}

/// A row of a conversation's index of buckets. It may name an empty bucket; it never misses one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexRow {
    /// The bucket's name.
    pub first: Seq,
    /// When it was (about to be) opened, Unix milliseconds.
    pub opened_at: i64,
}

/// When a bucket closes; fixed when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time window in milliseconds. Default: 7 days.
    pub window_ms: i64,
    /// Events. Default: 8,192.
    pub events: u64,
    /// Bytes of events, as [`Event::size`] counts them. Default: 4 MiB.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { window_ms: 7 * 24 * 3600 * 1000, events: 8192, bytes: 4 << 20 }
    }
}

/// Up to where a log was trimmed, and what must be known of the part that is gone. Whole buckets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Floor {
    /// The last event that was trimmed; 0: none.
    pub seq: Seq,
    /// Greatest time in any client id up to there.
    pub id_max: i64,
    /// Messages up to there.
    pub messages: u64,
}

/// A bucket's static columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statics {
    /// Last seq of the log in this bucket; `first - 1` only in a bucket that was sealed empty.
    pub last_seq: Seq,
    /// Sealed for ever.
    pub closed: bool,
    /// When it was opened, Unix milliseconds.
    pub opened_at: i64,
    /// Time of the last event.
    pub last_at: i64,
    /// Greatest time in any client id of the whole log so far.
    pub id_max: i64,
    /// Last seq that changed members or roles.
    pub members_at: Seq,
    /// Messages in the whole log so far.
    pub messages: u64,
    /// Bytes of events in this bucket.
    pub bytes: u64,
    /// When it closes.
    pub limits: Limits,
    /// Up to where the log was trimmed when the last event was appended. In the same batch as the event that says so, and
    /// carried over: nobody who appends can miss it.
    pub floor: Floor,
}

/// A dedupe row: what a client id became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dedupe {
    /// The first event of the request.
    pub seq: Seq,
    /// The event's time, Unix milliseconds.
    pub time_ms: i64,
    /// Digest of the request's content.
    pub digest: [u8; 32],
}

/// One conditional batch: an append, a seal, or an append that seals.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The `last_seq` that the bucket must have; `None`: it must not exist.
    pub expect: Option<Seq>,
    /// The static columns afterwards.
    pub statics: Statics,
    /// The events to append, consecutive from the expected seq + 1.
    pub events: Vec<Event>,
    /// Dedupe rows, each of which must not exist yet. No id twice.
    pub dedupe: Vec<(User, ClientId, Dedupe)>,
}

impl Commit {
    /// Refuses what would break the log whatever the condition says: a gap, or an id twice. Every store asks first.
    pub fn check(&self, bucket: &Bucket) -> Result<(), StoreError> {
        let malformed = |why: String| Err(StoreError::Unavailable(format!("a batch is malformed: {why}")));
        let mut next = self.expect.map_or(bucket.first, |last| last + 1);
        for event in &self.events {
            if event.seq != next {
                return malformed(format!("event {} stands where {next} belongs", event.seq));
            }
            next += 1;
        }
        if self.statics.last_seq + 1 != next {
            return malformed(format!("last_seq is {} before {next}", self.statics.last_seq));
        }
        if let Some((_, id, _)) = self.dedupe.iter().find(|(_, id, _)| id.time_ms() > self.statics.id_max) {
            return malformed(format!("id_max is {}, and id {id} is newer", self.statics.id_max));
        }
        let mut ids = HashSet::with_capacity(self.dedupe.len());
        match self.dedupe.iter().find(|(user, id, _)| !ids.insert((user, id))) {
            Some((user, id, _)) => malformed(format!("id {id} of {user} is in it twice")),
            None => Ok(()),
        }
    }
}

/// What a conditional batch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is durable.
    Applied,
    /// Nothing of it was done.
    Refused,
}
