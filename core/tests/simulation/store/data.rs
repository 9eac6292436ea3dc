//! What the model store holds, and what its conditions mean. No chance here but which end an undecided write takes.

use nexus_core::{
    domain::{ClientId, Event, Place, Seq, User},
    store::{Bucket, Cell, Commit, Dedupe, IndexRow, Order, Outcome, Partition, Row, Rows, Statics},
};
use std::collections::{BTreeMap, BTreeSet};

type Cells = BTreeMap<bytes::Bytes, BTreeMap<bytes::Bytes, (u64, Option<bytes::Bytes>)>>;

#[derive(Default)]
pub struct Data {
    pub index: BTreeMap<Place, BTreeMap<Seq, IndexRow>>,
    pub buckets: BTreeMap<Bucket, Stored>,
    /// Buckets as they were when they were dropped for the first time.
    pub dropped: BTreeMap<Bucket, Stored>,
    pub recent: BTreeSet<(u16, i64, Place)>,
    pub cells: BTreeMap<Partition, Cells>,
    tickets: u64,
}

/// A bucket.
#[derive(Default, Clone)]
pub struct Stored {
    pub statics: Option<Statics>,
    pub events: BTreeMap<Seq, Event>,
    pub dedupe: BTreeMap<(User, ClientId), Dedupe>,
    /// Which node wrote last.
    pub by: usize,
    /// How far its clock was off when the bucket was opened, milliseconds.
    pub off: i64,
    in_flight: Option<InFlight>,
}

/// A conditional write whose condition held, on its way to the replicas. Whoever looks at `SERIAL`, or writes next, brings
/// it to an end first.
#[derive(Clone)]
struct InFlight {
    commit: Commit,
    by: usize,
    ticket: u64,
    /// Enough replicas have it that it will be done whatever happens.
    decided: bool,
}

impl Stored {
    fn holds(&self, commit: &Commit) -> bool {
        let fits = self.statics.map(|statics| statics.last_seq) == commit.expect
            && self.statics.is_none_or(|statics| !statics.closed);
        let known = commit.dedupe.iter().any(|(user, id, _)| self.dedupe.contains_key(&(user.clone(), *id)));
        fits && !known
    }

    fn apply(&mut self, commit: Commit, by: usize) {
        self.by = by;
        self.statics = Some(commit.statics);
        self.events.extend(commit.events.into_iter().map(|event| (event.seq, event)));
        self.dedupe.extend(commit.dedupe.into_iter().map(|(user, id, row)| ((user, id), row)));
    }

    /// As somebody sees it whose read happens to meet a replica that has what is decided.
    pub fn ahead(&self) -> Stored {
        let mut ahead = self.clone();
        if let Some(flying) = ahead.in_flight.take().filter(|flying| flying.decided) {
            ahead.apply(flying.commit, flying.by);
        }
        ahead
    }

    pub fn page(&self, from: Seq, to: Seq, order: Order, limit: usize) -> Vec<Event> {
        if from > to {
            return Vec::new();
        }
        let range = self.events.range(from..=to).map(|(_, event)| event.clone());
        match order {
            Order::Up => range.take(limit).collect(),
            Order::Down => range.rev().take(limit).collect(),
        }
    }
}

impl Data {
    fn bucket(&mut self, bucket: &Bucket) -> &mut Stored {
        self.buckets.entry(bucket.clone()).or_default()
    }

    /// Brings what is under way on a bucket to an end. An undecided write goes as `coin` says.
    pub fn settle(&mut self, bucket: &Bucket, coin: bool) {
        let Some(stored) = self.buckets.get_mut(bucket) else { return };
        if let Some(flying) = stored.in_flight.take()
            && (flying.decided || coin)
        {
            stored.apply(flying.commit, flying.by);
        }
    }

    /// A conditional write from beginning to end.
    pub fn commit(&mut self, bucket: &Bucket, commit: Commit, by: usize, coin: bool) -> Outcome {
        self.settle(bucket, coin);
        let stored = self.bucket(bucket);
        if !stored.holds(&commit) {
            return Outcome::Refused;
        }
        stored.apply(commit, by);
        Outcome::Applied
    }

    /// A conditional write that gets no further than that its condition held. `None`: it didn't.
    pub fn take_off(
        &mut self,
        bucket: &Bucket,
        commit: Commit,
        by: usize,
        decided: bool,
        coin: bool,
    ) -> Option<u64> {
        self.settle(bucket, coin);
        self.tickets += 1;
        let ticket = self.tickets;
        let stored = self.bucket(bucket);
        if !stored.holds(&commit) {
            return None;
        }
        stored.in_flight = Some(InFlight { commit, by, ticket, decided });
        Some(ticket)
    }

    /// Ends a decided write that nobody else has ended.
    pub fn land(&mut self, bucket: &Bucket, ticket: u64) {
        let flying = self.buckets.get(bucket).and_then(|stored| stored.in_flight.as_ref());
        if flying.is_some_and(|flying| flying.ticket == ticket) {
            self.settle(bucket, true);
        }
    }

    pub fn write(&mut self, partition: &Partition, cells: Vec<Cell>) {
        let rows = self.cells.entry(partition.clone()).or_default();
        for Cell { row, column, at, value } in cells {
            let cell = rows.entry(row).or_default().entry(column).or_insert((at, None));
            if at >= cell.0 {
                *cell = (at, value);
            }
        }
    }

    pub fn rows(&self, partition: &Partition, rows: Rows) -> Vec<Row> {
        let Some(all) = self.cells.get(partition) else { return Vec::new() };
        match rows {
            Rows::Keys(keys) => keys.iter().filter_map(|key| row(key, all.get(key)?)).collect(),
            Rows::Range { from, to, down, limit } => {
                let within =
                    all.iter().filter(|(key, _)| **key >= from && to.as_ref().is_none_or(|to| *key < to));
                let mut found: Vec<Row> = within.filter_map(|(key, cells)| row(key, cells)).collect();
                if down {
                    found.reverse();
                }
                found.truncate(limit);
                found
            }
        }
    }

    /// Deletes a bucket, as a database does: conditions that hold for what isn't there hold again.
    pub fn drop_bucket(&mut self, bucket: &Bucket, coin: bool) {
        self.settle(bucket, coin);
        if let Some(stored) = self.buckets.remove(bucket) {
            self.dropped.entry(bucket.clone()).or_insert(stored);
        }
        if let Some(rows) = self.index.get_mut(&bucket.place) {
            rows.remove(&bucket.first);
        }
    }

    /// A conversation's log as it ever was, bucket after bucket, with all that is decided. What was written to a bucket that
    /// had been dropped is not in it.
    pub fn log(&self, place: &Place) -> Vec<Event> {
        let (from, to) = bounds(place);
        let gone = self.dropped.range(from..to);
        let left = self.buckets_of(place).filter(|(bucket, _)| !self.dropped.contains_key(*bucket));
        gone.chain(left).flat_map(|(_, stored)| stored.ahead().events.into_values()).collect()
    }

    /// Where dropped buckets ended.
    pub fn dropped_to(&self, place: &Place) -> Option<Seq> {
        let (from, to) = bounds(place);
        self.dropped.range(from..to).filter_map(|(_, stored)| stored.statics.map(|s| s.last_seq)).max()
    }

    /// A conversation's buckets, in order.
    pub fn buckets_of(&self, place: &Place) -> impl Iterator<Item = (&Bucket, &Stored)> {
        let (from, to) = bounds(place);
        self.buckets.range(from..to).filter(|(_, stored)| stored.ahead().statics.is_some())
    }
}

fn bounds(place: &Place) -> (Bucket, Bucket) {
    let at = |first| Bucket { place: place.clone(), first };
    (at(0), at(Seq::MAX))
}

fn row(key: &bytes::Bytes, cells: &BTreeMap<bytes::Bytes, (u64, Option<bytes::Bytes>)>) -> Option<Row> {
    let alive =
        cells.iter().filter_map(|(column, (at, value))| Some((column.clone(), (*at, value.clone()?))));
    let cells: BTreeMap<_, _> = alive.collect();
    (!cells.is_empty()).then(|| Row { key: key.clone(), cells })
}
