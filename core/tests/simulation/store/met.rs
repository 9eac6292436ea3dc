//! What two writes of different nodes came to when they met at one condition; for the counts of [`crate::rare`].

use super::{Connection, Data};
use crate::rare::Rare;
use nexus_core::store::{Bucket, Commit, Outcome};

/// Clocks that are so far apart are minutes apart.
const APART_MS: i64 = 120_000;

impl Connection {
    /// Does a conditional write, and notes what it met.
    pub(super) fn commits(&self, bucket: &Bucket, commit: Commit, late: bool) -> Outcome {
        let data = &mut *self.model.data();
        data.settle(bucket, self.coin());
        let seals = commit.events.is_empty();
        let (full, opens, opened_at) =
            (commit.statics.closed && !seals, commit.expect.is_none(), commit.statics.opened_at);
        let before = data.buckets.get(bucket).cloned().unwrap_or_default();
        let other = before.statics.is_some() && before.by != self.gate.node;
        let outcome = data.commit(bucket, commit.clone(), self.gate.node, self.coin());
        let saw = |rare| self.fate().saw(rare);
        if outcome == Outcome::Applied {
            match (late, other) {
                (true, _) => saw(Rare::LateAndDone),
                (_, true) if seals => saw(Rare::SealedByTime),
                (_, true) if full => saw(Rare::SealedBySize),
                _ => {}
            }
            if opens {
                self.note_clock(data, bucket, opened_at);
            }
            return outcome;
        }
        let same_end = before.statics.map(|statics| statics.last_seq) == commit.expect;
        let closed = before.statics.is_some_and(|statics| statics.closed);
        let known =
            commit.dedupe.iter().any(|(user, id, _)| before.dedupe.contains_key(&(user.clone(), *id)));
        match (late, other) {
            (true, _) if closed && same_end => saw(Rare::LateMeetsSeal),
            (true, _) if !same_end => saw(Rare::LateMeetsAppend),
            (_, true) if seals => saw(Rare::SealMeetsOther),
            (_, true) if closed && same_end => saw(Rare::AppendMeetsSeal),
            (_, true) if known => saw(Rare::RetryMeetsItself),
            (_, true) if !same_end => saw(Rare::AppendMeetsAppend),
            _ => {}
        }
        outcome
    }

    fn note_clock(&self, data: &mut Data, bucket: &Bucket, opened_at: i64) {
        let before = data.buckets_of(&bucket.place).filter(|(other, _)| other.first < bucket.first).last();
        let before = before.map(|(_, stored)| (stored.by, stored.off));
        let off = opened_at - self.fate().now_ms();
        if let Some(stored) = data.buckets.get_mut(bucket) {
            stored.off = off;
        }
        if before.is_some_and(|(by, theirs)| by != self.gate.node && (off - theirs).abs() > APART_MS) {
            self.fate().saw(Rare::ClocksApart);
        }
    }
}
