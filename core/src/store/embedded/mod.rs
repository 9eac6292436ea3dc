//! The store in one process, on fjall.
//!
//! - here: the port's calls.
//! - `options`: what an operator can set.
//! - `open`: opening, and what can be wrong with a data directory.
//! - `files`: the data directory: its lock, its format, its disk.
//! - `writer`: the one thread that writes, in groups with one fsync each.
//! - `group`: operations, decided on what is stored plus what the group already holds.
//! - `heads`: where buckets end, as the writer remembers it.
//! - `tables`: fjall's keyspaces, and what is read from them.
//! - `keys`, `values`: how rows are stored.
//! - `journal`: what a crash or a bad disk left behind, judged before fjall sees it.
//! - `metrics`: what it tells of itself.
//! - `golden`: that what is stored stays readable. `fuzz`: that anything else is damage.
//!
//! A write is visible only when it is as durable as it asked to be: fjall applies a batch to memory after the fsync.
//! Deadlines use tokio's clock, and the writer is a thread of its own: under a paused clock that has nothing else to
//! wait for, deadlines pass at once.

mod files;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
#[cfg(test)]
mod golden;
mod group;
mod heads;
mod journal;
mod keys;
mod metrics;
mod open;
mod options;
mod tables;
mod values;
mod writer;

#[cfg(any(test, feature = "fuzzing"))]
pub use fuzz::fuzz;
pub use open::OpenError;
pub use options::Options;

use super::{
    Bucket, Cell, Commit, Dedupe, Health, IndexRow, Order, Outcome, Partition, Read, Row, Rows, Statics,
    Store, StoreError, Sync,
};
use crate::domain::{ClientId, Event, Place, Seq, User};
use async_trait::async_trait;
use files::Directory;
use group::Operation;
use metrics::Metrics;
use prometheus::Registry;
use std::{path::Path, sync::Arc};
use tables::{Table, Tables};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use writer::{Shared, Writer};

/// The store. Dropping it waits until everything that is queued is written.
pub struct EmbeddedStore {
    writer: Writer,
    reads: Arc<Semaphore>,
    shared: Arc<Shared>,
}

impl EmbeddedStore {
    /// Opens a data directory, and makes it if need be. It blocks: call it before serving, or on a blocking thread.
    pub fn open(path: &Path, options: Options, registry: &Registry) -> Result<Self, OpenError> {
        let problems = options.problems();
        if !problems.is_empty() {
            return Err(OpenError::Options(problems));
        }
        let directory = Directory::open(path)?;
        let (tables, last) = open::tables(&directory, options.cache_bytes)?;
        let metrics = Metrics::register(registry)?;
        let reads = Arc::new(Semaphore::new(options.reads));
        let shared = Arc::new(Shared { tables, directory, metrics, options, failed: Default::default() });
        let io = |error| OpenError::Io { path: path.to_owned(), error };
        let writer = Writer::start(shared.clone(), last).map_err(io)?;
        Ok(Self { writer, reads, shared })
    }

    /// Writes, and ignores the outcome of what has no condition.
    async fn write(&self, operation: Operation) -> Result<(), StoreError> {
        self.writer.submit(operation).await.map(drop)
    }

    /// Reads on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        what: &'static str,
        read: impl FnOnce(&Tables) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.check()?;
        let start = Instant::now();
        let reading = async {
            let permit = self.reads.clone().acquire_owned().await;
            let shared = self.shared.clone();
            // The permit belongs to the thread: a caller who gives up doesn't make room for another read.
            tokio::task::spawn_blocking(move || {
                let _permit = permit;
                read(&shared.tables)
            })
            .await
        };
        let answer = timeout(self.shared.options.deadline(), reading).await;
        let seconds = start.elapsed().as_secs_f64();
        self.shared.metrics.read_seconds.with_label_values(&[what]).observe(seconds);
        match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(StoreError::Corrupt(format!("a read of {what} broke off: {error}"))),
            Err(_) => {
                let most = self.shared.options.deadline_ms;
                Err(StoreError::Unavailable(format!("a read of {what} took more than {most} ms")))
            }
        }
    }

    /// Waits, for a serial read, until every write that came before it is settled.
    async fn settle(&self, read: Read) -> Result<(), StoreError> {
        match read {
            Read::Quorum => Ok(()),
            Read::Serial => self.write(Operation::Settle).await,
        }
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn put_index(&self, place: &Place, row: IndexRow) -> Result<(), StoreError> {
        let (key, value) = (keys::index(place, row.first), values::encode_index(row.opened_at));
        self.write(Operation::put(Table::Index, key, value)).await
    }

    async fn index(&self, place: &Place, at_most: Seq, limit: usize) -> Result<Vec<IndexRow>, StoreError> {
        let place = place.clone();
        self.read("index", move |tables| tables.index(&place, at_most, limit)).await
    }

    async fn statics(&self, bucket: &Bucket, read: Read) -> Result<Option<Statics>, StoreError> {
        self.settle(read).await?;
        let bucket = bucket.clone();
        self.read("statics", move |tables| tables.statics(&bucket)).await
    }

    async fn commit(&self, bucket: &Bucket, commit: Commit) -> Result<Outcome, StoreError> {
        self.writer.submit(Operation::commit(bucket, &commit)?).await
    }

    async fn dedupe(
        &self,
        bucket: &Bucket,
        ids: &[(User, ClientId)],
        read: Read,
    ) -> Result<Vec<Option<Dedupe>>, StoreError> {
        self.settle(read).await?;
        let (bucket, ids) = (bucket.clone(), ids.to_vec());
        self.read("dedupe", move |tables| tables.dedupe(&bucket, &ids)).await
    }

    async fn events(
        &self,
        bucket: &Bucket,
        from: Seq,
        to: Seq,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let bucket = bucket.clone();
        self.read("events", move |tables| tables.events(&bucket, from, to, order, limit)).await
    }

    async fn blank(&self, bucket: &Bucket, seqs: &[Seq]) -> Result<(), StoreError> {
        self.write(Operation::Blank(bucket.clone(), seqs.to_vec())).await
    }

    async fn drop_bucket(&self, bucket: &Bucket) -> Result<(), StoreError> {
        self.write(Operation::drop_bucket(bucket)).await
    }

    async fn put_recent(&self, lane: u16, minute: i64, place: &Place) -> Result<(), StoreError> {
        self.write(Operation::put(Table::Recent, keys::recent(lane, minute, place), Vec::new())).await
    }

    async fn recent(
        &self,
        lane: u16,
        minute: i64,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Place>, StoreError> {
        let after = after.cloned();
        self.read("recent", move |tables| tables.recent(lane, minute, after.as_ref(), limit)).await
    }

    async fn write_cells(
        &self,
        partition: &Partition,
        cells: Vec<Cell>,
        sync: Sync,
    ) -> Result<(), StoreError> {
        self.write(Operation::cells(partition, cells, sync)?).await
    }

    async fn read_rows(&self, partition: &Partition, rows: Rows) -> Result<Vec<Row>, StoreError> {
        let partition = partition.clone();
        self.read("rows", move |tables| tables.rows(&partition, &rows)).await
    }

    async fn drop_cells(&self, partition: &Partition) -> Result<(), StoreError> {
        self.write(Operation::Drop(vec![(Table::Cells, keys::partition(partition).into())])).await
    }

    async fn places(&self, after: Option<&Place>, limit: usize) -> Result<Vec<Place>, StoreError> {
        let after = after.cloned();
        self.read("places", move |tables| tables.places(after.as_ref(), limit)).await
    }

    /// After a failed write only a restart helps. On a full disk it reads, and writes again by itself when there is room.
    async fn health(&self) -> Health {
        match (self.shared.check(), writer::room(&self.shared)) {
            (Err(error), _) => Health::Failed(error.to_string()),
            (Ok(()), Err(full)) => Health::ReadOnly(full.to_string()),
            (Ok(()), Ok(())) => Health::Well,
        }
    }
}
