//! Events across buckets.

use super::Log;
use crate::{
    domain::{Event, Seq},
    store::{Order, StoreError},
};

impl Log {
    /// Events with `from <= seq <= to`, lowest first, at most `limit`. Consecutive.
    pub async fn events_up(&self, from: Seq, to: Seq, limit: usize) -> Result<Vec<Event>, StoreError> {
        let from = from.max(1);
        let Some(row) = self.store.index(&self.place, from, 1).await?.pop() else { return Ok(Vec::new()) };
        let mut events = Vec::new();
        let mut bucket = row.first;
        let mut next = from;
        while events.len() < limit && next <= to {
            let room = limit - events.len();
            let page = self.store.events(&self.bucket(bucket), next, to, Order::Up, room).await?;
            if let Some(last) = page.last() {
                next = last.seq + 1;
                events.extend(page);
                continue;
            }
            // The bucket is at its end: if it was closed, its successor is named by what follows its last event.
            if bucket == next {
                break;
            }
            bucket = next;
        }
        Ok(events)
    }

    /// Events with `from <= seq <= to`, of these the highest `limit`, lowest first.
    pub async fn events_down(&self, from: Seq, to: Seq, limit: usize) -> Result<Vec<Event>, StoreError> {
        let mut events = Vec::new();
        let mut below = to;
        while events.len() < limit && below >= from.max(1) {
            let Some(row) = self.store.index(&self.place, below, 1).await?.pop() else { break };
            let room = limit - events.len();
            let page = self.store.events(&self.bucket(row.first), from, below, Order::Down, room).await?;
            let reached = page.last().map_or(row.first, |event| event.seq);
            let whole = page.len() < room;
            events.extend(page);
            below = if whole { row.first - 1 } else { reached - 1 };
        }
        events.reverse();
        Ok(events)
    }

    /// The first seq of `first..=last` whose event is not before a time; one above the last if all are before it.
    pub async fn seq_at(&self, time_ms: i64, first: Seq, last: Seq) -> Result<Seq, StoreError> {
        // Times never decrease along a log, so the place is found by halving.
        let (mut low, mut high) = (first, last + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.events_up(middle, last, 1).await?.first() {
                Some(event) if event.time_ms < time_ms => low = event.seq + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}
