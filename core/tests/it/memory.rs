//! A store in memory that takes a chosen time for each call and runs on a paused clock. It keeps the port's promises.

use async_trait::async_trait;
use nexus_core::{
    domain::{ClientId, Event, Place, Seq, User},
    store::{
        Bucket, Cell, Commit, Dedupe, IndexRow, Order, Outcome, Partition, Read, Row, Rows, Statics, Store,
        StoreError, Sync,
    },
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

type Cells = BTreeMap<bytes::Bytes, BTreeMap<bytes::Bytes, (u64, Option<bytes::Bytes>)>>;

#[derive(Default)]
struct Data {
    index: BTreeMap<Place, BTreeMap<Seq, IndexRow>>,
    statics: BTreeMap<Bucket, Statics>,
    events: BTreeMap<Bucket, BTreeMap<Seq, Event>>,
    dedupe: BTreeMap<(Bucket, User, ClientId), Dedupe>,
    recent: BTreeSet<(u16, i64, Place)>,
    cells: BTreeMap<Partition, Cells>,
}

/// The store.
pub struct MemoryStore {
    data: Mutex<Data>,
    chance: Mutex<StdRng>,
    slowest: Duration,
    /// The next commit is done, but its answer gets lost.
    pub lose_answer: AtomicBool,
    /// The buckets of this conversation can't be read.
    pub unreadable: Mutex<Option<Place>>,
    /// Reads of events.
    pub reads: AtomicU64,
    /// Calls of any kind.
    pub calls: AtomicU64,
    /// Read by commits that are under way, so that a serial read can wait for them.
    under_way: tokio::sync::RwLock<()>,
}

impl MemoryStore {
    /// An empty store, whose calls take up to `slowest`.
    pub fn new(seed: u64, slowest: Duration) -> Self {
        let chance = Mutex::new(StdRng::seed_from_u64(seed));
        Self {
            data: Mutex::default(),
            chance,
            slowest,
            lose_answer: false.into(),
            unreadable: Mutex::default(),
            reads: 0.into(),
            calls: 0.into(),
            under_way: Default::default(),
        }
    }

    async fn settle(&self, read: Read) {
        if read == Read::Serial {
            drop(self.under_way.write().await);
        }
    }

    async fn pause(&self) {
        if !self.slowest.is_zero() {
            let time = self.chance.lock().unwrap().random_range(Duration::ZERO..=self.slowest);
            tokio::time::sleep(time).await;
        }
    }

    async fn with<R>(&self, what: impl FnOnce(&mut Data) -> R) -> R {
        self.calls.fetch_add(1, SeqCst);
        self.pause().await;
        let result = what(&mut self.data.lock().unwrap());
        self.pause().await;
        result
    }
}

impl Data {
    fn commit(&mut self, bucket: &Bucket, commit: Commit) -> Result<Outcome, StoreError> {
        commit.check(bucket)?;
        let now = self.statics.get(bucket);
        let fits = now.map(|now| now.last_seq) == commit.expect && now.is_none_or(|now| !now.closed);
        let known = |(user, id, _): &(User, ClientId, Dedupe)| {
            self.dedupe.contains_key(&(bucket.clone(), user.clone(), *id))
        };
        if !fits || commit.dedupe.iter().any(known) {
            return Ok(Outcome::Refused);
        }
        self.statics.insert(bucket.clone(), commit.statics);
        self.events
            .entry(bucket.clone())
            .or_default()
            .extend(commit.events.into_iter().map(|event| (event.seq, event)));
        self.dedupe
            .extend(commit.dedupe.into_iter().map(|(user, id, row)| ((bucket.clone(), user, id), row)));
        Ok(Outcome::Applied)
    }
}

fn row(key: &bytes::Bytes, cells: &BTreeMap<bytes::Bytes, (u64, Option<bytes::Bytes>)>) -> Option<Row> {
    let alive =
        cells.iter().filter_map(|(column, (at, value))| Some((column.clone(), (*at, value.clone()?))));
    let cells: BTreeMap<_, _> = alive.collect();
    (!cells.is_empty()).then(|| Row { key: key.clone(), cells })
}

#[async_trait]
impl Store for MemoryStore {
    async fn put_index(&self, place: &Place, row: IndexRow) -> Result<(), StoreError> {
        self.with(|data| data.index.entry(place.clone()).or_default().insert(row.first, row)).await;
        Ok(())
    }

    async fn index(&self, place: &Place, at_most: Seq, limit: usize) -> Result<Vec<IndexRow>, StoreError> {
        let rows = |data: &mut Data| {
            let rows = data.index.get(place).map(|rows| rows.range(..=at_most).rev().take(limit));
            rows.map(|rows| rows.map(|(_, row)| *row).collect()).unwrap_or_default()
        };
        Ok(self.with(rows).await)
    }

    async fn statics(&self, bucket: &Bucket, read: Read) -> Result<Option<Statics>, StoreError> {
        self.settle(read).await;
        if self.unreadable.lock().unwrap().as_ref() == Some(&bucket.place) {
            return Err(StoreError::Corrupt("a bucket is damaged".into()));
        }
        Ok(self.with(|data| data.statics.get(bucket).copied()).await)
    }

    async fn commit(&self, bucket: &Bucket, commit: Commit) -> Result<Outcome, StoreError> {
        let _under_way = self.under_way.read().await;
        let answer = self.with(|data| data.commit(bucket, commit)).await;
        if self.lose_answer.swap(false, SeqCst) {
            return Err(StoreError::Unknown("its answer was lost".into()));
        }
        answer
    }

    async fn dedupe(
        &self,
        bucket: &Bucket,
        ids: &[(User, ClientId)],
        read: Read,
    ) -> Result<Vec<Option<Dedupe>>, StoreError> {
        self.settle(read).await;
        let find = |data: &mut Data| {
            ids.iter()
                .map(|(user, id)| data.dedupe.get(&(bucket.clone(), user.clone(), *id)).copied())
                .collect()
        };
        Ok(self.with(find).await)
    }

    async fn events(
        &self,
        bucket: &Bucket,
        from: Seq,
        to: Seq,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        self.reads.fetch_add(1, SeqCst);
        let read = |data: &mut Data| {
            let Some(events) = data.events.get(bucket).filter(|_| from <= to) else { return Vec::new() };
            let range = events.range(from..=to).map(|(_, event)| event.clone());
            match order {
                Order::Up => range.take(limit).collect(),
                Order::Down => range.rev().take(limit).collect(),
            }
        };
        Ok(self.with(read).await)
    }

    async fn blank(&self, bucket: &Bucket, seqs: &[Seq]) -> Result<(), StoreError> {
        let blank = |data: &mut Data| {
            for (seq, event) in data.events.get_mut(bucket).into_iter().flatten() {
                if seqs.contains(seq) {
                    event.erased = true;
                    event.body = bytes::Bytes::new();
                }
            }
        };
        self.with(blank).await;
        Ok(())
    }

    async fn drop_bucket(&self, bucket: &Bucket) -> Result<(), StoreError> {
        let drop = |data: &mut Data| {
            data.statics.remove(bucket);
            data.events.remove(bucket);
            data.dedupe.retain(|(of, ..), _| of != bucket);
            if let Some(rows) = data.index.get_mut(&bucket.place) {
                rows.remove(&bucket.first);
            }
        };
        self.with(drop).await;
        Ok(())
    }

    async fn put_recent(&self, lane: u16, minute: i64, place: &Place) -> Result<(), StoreError> {
        self.with(|data| data.recent.insert((lane, minute, place.clone()))).await;
        Ok(())
    }

    async fn recent(
        &self,
        lane: u16,
        minute: i64,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Place>, StoreError> {
        let read = |data: &mut Data| {
            let rows = data.recent.iter().filter(|(l, m, place)| {
                (*l, *m) == (lane, minute) && after.is_none_or(|after| place > after)
            });
            rows.take(limit).map(|(_, _, place)| place.clone()).collect()
        };
        Ok(self.with(read).await)
    }

    async fn write_cells(&self, partition: &Partition, cells: Vec<Cell>, _: Sync) -> Result<(), StoreError> {
        let write = |data: &mut Data| {
            let rows = data.cells.entry(partition.clone()).or_default();
            for Cell { row, column, at, value } in cells {
                let cell = rows.entry(row).or_default().entry(column).or_insert((at, None));
                if at >= cell.0 {
                    *cell = (at, value);
                }
            }
        };
        self.with(write).await;
        Ok(())
    }

    async fn read_rows(&self, partition: &Partition, rows: Rows) -> Result<Vec<Row>, StoreError> {
        let read = |data: &mut Data| {
            let Some(all) = data.cells.get(partition) else { return Vec::new() };
            match rows {
                Rows::Keys(keys) => keys.iter().filter_map(|key| row(key, all.get(key)?)).collect(),
                Rows::Range { from, to, down, limit } => {
                    let within =
                        all.iter().filter(|(key, _)| **key >= from && to.as_ref().is_none_or(|to| *key < to));
                    let found = within.filter_map(|(key, cells)| row(key, cells));
                    if down {
                        let mut found: Vec<Row> = found.collect();
                        found.reverse();
                        found.truncate(limit);
                        found
                    } else {
                        found.take(limit).collect()
                    }
                }
            }
        };
        Ok(self.with(read).await)
    }

    async fn drop_cells(&self, partition: &Partition) -> Result<(), StoreError> {
        self.with(|data| data.cells.remove(partition)).await;
        Ok(())
    }

    async fn places(&self, after: Option<&Place>, limit: usize) -> Result<Vec<Place>, StoreError> {
        let read = |data: &mut Data| {
            let all = data
                .index
                .iter()
                .filter(|(place, rows)| !rows.is_empty() && after.is_none_or(|after| *place > after));
            all.take(limit).map(|(place, _)| place.clone()).collect()
        };
        Ok(self.with(read).await)
    }
}

#[tokio::test(start_paused = true)]
async fn keeps_the_ports_promises() {
    for check in crate::store_port::CHECKS {
        eprintln!("{}", check.name);
        (check.run)(&MemoryStore::new(1, Duration::from_millis(1)), crate::store_port::Promises::ALL).await;
    }
}
