//! The port behind which the log and its views are kept, and its implementations.
//!
//! - here: the port. What it promises is checked by one set of tests that every implementation passes.
//! - [`bucket`]: what is stored of a bucket of the log.
//! - [`cells`]: what is stored of everything that is not the log.
//! - [`cql`]: the implementation on Cassandra or ScyllaDB.
//! - [`embedded`]: the implementation in one process, on fjall.

pub mod bucket;
pub mod cells;
pub mod cql;
pub mod embedded;

use crate::domain::{ClientId, Event, Place, Seq, User};
use async_trait::async_trait;
pub use bucket::{Bucket, Commit, Dedupe, Floor, IndexRow, Limits, Outcome, Statics};
pub use cells::{Cell, Partition, Row, Rows, Sync};

/// Why the store didn't answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It certainly did nothing.
    #[error("the store refused: {0}")]
    Unavailable(String),
    /// It may have done it, may do it later, or never.
    #[error("the store's answer is unknown: {0}")]
    Unknown(String),
    /// What it holds can't be read: a format of the future, or damage.
    #[error("stored data can't be read: {0}")]
    Corrupt(String),
}

/// How much a read must see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Every acknowledged write.
    Quorum,
    /// Also settles conditional writes that are under way: what it doesn't see will never be applied to that state. A
    /// write that was held back before it reached a database is not under way; its condition and its dedupe rows are
    /// what it meets when it comes.
    Serial,
}

/// How a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It reads and writes.
    Well,
    /// It only reads, and why.
    ReadOnly(String),
    /// It does neither, and why.
    Failed(String),
}

/// The order of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Lowest first.
    Up,
    /// Highest first.
    Down,
}

/// The store. Every call returns within a time that the implementation bounds.
#[async_trait]
pub trait Store: Send + std::marker::Sync + 'static {
    /// Writes an index row, plainly; writing it again changes nothing.
    async fn put_index(&self, place: &Place, row: IndexRow) -> Result<(), StoreError>;

    /// Index rows with `first <= at_most`, newest first.
    async fn index(&self, place: &Place, at_most: Seq, limit: usize) -> Result<Vec<IndexRow>, StoreError>;

    /// A bucket's static columns; `None` if it was never opened (or was dropped).
    async fn statics(&self, bucket: &Bucket, read: Read) -> Result<Option<Statics>, StoreError>;

    /// One conditional batch on one bucket: applied whole if `last_seq = expect AND closed = false` (`expect = None`:
    /// the bucket does not exist) and none of the dedupe rows exists; else refused. Durable when it answers.
    async fn commit(&self, bucket: &Bucket, commit: Commit) -> Result<Outcome, StoreError>;

    /// The dedupe rows of these ids in one bucket, in the order asked.
    async fn dedupe(
        &self,
        bucket: &Bucket,
        ids: &[(User, ClientId)],
        read: Read,
    ) -> Result<Vec<Option<Dedupe>>, StoreError>;

    /// Events of one bucket with `from <= seq <= to`, at most `limit`.
    async fn events(
        &self,
        bucket: &Bucket,
        from: Seq,
        to: Seq,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError>;

    /// Blanks the bodies of events of one bucket, closed or not; the envelope stays. Blanking again changes nothing.
    async fn blank(&self, bucket: &Bucket, seqs: &[Seq]) -> Result<(), StoreError>;

    /// Deletes a whole bucket, plainly, and its index row last. Only one that was sealed, at or below the stored floor. What
    /// was held back on its way here since before may still open it anew: who opens a bucket looks afterwards whether it
    /// lies above the floor.
    async fn drop_bucket(&self, bucket: &Bucket) -> Result<(), StoreError>;

    /// Notes that a conversation was appended to in a minute of a lane. Plain.
    async fn put_recent(&self, lane: u16, minute: i64, place: &Place) -> Result<(), StoreError>;

    /// The conversations of a minute of a lane, after `after`, in the order of [`Place`].
    async fn recent(
        &self,
        lane: u16,
        minute: i64,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Place>, StoreError>;

    /// Writes cells: a cell wins over what is there if its `at` is greater or equal.
    async fn write_cells(
        &self,
        partition: &Partition,
        cells: Vec<Cell>,
        sync: Sync,
    ) -> Result<(), StoreError>;

    /// Reads whole rows of a partition, without deleted cells; rows that have none left are left out.
    async fn read_rows(&self, partition: &Partition, rows: Rows) -> Result<Vec<Row>, StoreError>;

    /// Deletes a partition of cells, plainly. For generations that nothing reads any more.
    async fn drop_cells(&self, partition: &Partition) -> Result<(), StoreError>;

    /// Every conversation that has an index row, after `after`, in the order of [`Place`]. Slow where there are many.
    async fn places(&self, after: Option<&Place>, limit: usize) -> Result<Vec<Place>, StoreError>;

    /// How it is. Asked every second.
    async fn health(&self) -> Health {
        Health::Well
    }
}
