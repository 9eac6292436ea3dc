//! The store in Cassandra or ScyllaDB.
//!
//! - here: the port's calls.
//! - `options`: what an operator can set.
//! - `open`: connecting; `refused`: why not. `tls`: encrypted. `server`: how the database's nodes are set.
//! - `schema`, `migrations`: the tables, made once by whichever node comes first.
//! - `statements`: every statement, prepared. `levels`: with which consistency.
//! - `client`: calls, bounded in time and counted.
//! - `batch`: conditional batches.
//! - `log`, `cells`: the two halves of the port.
//! - `values`: columns to values of the domain.
//! - `routing`: to which node conditional batches go.
//! - `retry`: when the driver makes a serial read again.
//! - `error`: what a failed request did.
//! - `metrics`: what it tells of itself.
//!
//! # Tables
//!
//! - `log`: a partition for each bucket. Its static columns are the bucket's; rows with `part = 0` are events, by
//!   `seq`; rows with `part = 1` are dedupe rows, by `owner` and `id`. Envelope and body are columns of their own, so
//!   that a body can be blanked. It is written by conditional batches only, because a plain write is ordered by clocks;
//!   the one exception is that a bucket below the floor is deleted.
//! - `buckets`: a partition for each conversation, with a row for each bucket, newest first.
//! - `recent`: a partition for each minute of each lane, with a row for each conversation that was appended to. Rows
//!   expire after two days: nobody reads them for longer than a node can be behind.
//! - `cells`: a partition for each [`Partition`], with a row for each cell, whose timestamp is the cell's time.
//! - `schema_version`: one row.
//!
//! # Where it differs from the embedded store
//!
//! - Of two cells with one time, the deletion wins, then the larger value, instead of the last.
//! - A dropped partition of cells shadows what is written to it later: its deletion is newer than any cell. Only
//!   generations that nothing writes any more may be dropped.
//! - `places` come in the order of the database's tokens.
//! - [`Sync::Later`] is as durable as [`Sync::Now`].
//!
//! # What the database must be
//!
//! Cassandra 5 with `paxos_variant: v2`, `commitlog_sync: group` or `batch` (`periodic` acknowledges before it is on
//! disk) and regular repair, or ScyllaDB. `server` checks the first two.

mod batch;
mod cells;
mod client;
mod error;
mod levels;
mod log;
mod metrics;
mod migrations;
mod open;
mod options;
mod refused;
mod retry;
mod routing;
mod schema;
mod server;
mod statements;
mod tls;
mod values;

pub use options::{Options, Scope};
pub use refused::OpenError;

use super::{
    Bucket, Cell, Commit, Dedupe, Health, IndexRow, Order, Outcome, Partition, Read, Row, Rows, Statics,
    Store, StoreError, Sync,
};
use crate::domain::{ClientId, Event, Place, Seq, User};
use async_trait::async_trait;
use client::{Client, Kind};
use statements::Statements;

/// The store. Dropping it closes the connections.
pub struct CqlStore {
    client: Client,
    statements: Statements,
}

#[async_trait]
impl Store for CqlStore {
    async fn put_index(&self, place: &Place, row: IndexRow) -> Result<(), StoreError> {
        self.client.call("put_index", Kind::Write, self.write_index(place, row)).await
    }

    async fn index(&self, place: &Place, at_most: Seq, limit: usize) -> Result<Vec<IndexRow>, StoreError> {
        self.client.call("index", Kind::Read, self.read_index(place, at_most, limit)).await
    }

    async fn statics(&self, bucket: &Bucket, read: Read) -> Result<Option<Statics>, StoreError> {
        let name = if read == Read::Serial { "statics_serial" } else { "statics" };
        self.client.call(name, Kind::Read, self.read_statics(bucket, read)).await
    }

    async fn commit(&self, bucket: &Bucket, commit: Commit) -> Result<Outcome, StoreError> {
        let outcome = self.client.call("commit", Kind::Write, self.append(bucket, &commit)).await;
        let label = match &outcome {
            Ok(Outcome::Applied) => "applied",
            Ok(Outcome::Refused) => "refused",
            Err(StoreError::Unavailable(_)) => "unavailable",
            Err(_) => "unknown",
        };
        self.client.metrics.commits.with_label_values(&[label]).inc();
        outcome
    }

    async fn dedupe(
        &self,
        bucket: &Bucket,
        ids: &[(User, ClientId)],
        read: Read,
    ) -> Result<Vec<Option<Dedupe>>, StoreError> {
        let name = if read == Read::Serial { "dedupe_serial" } else { "dedupe" };
        self.client.call(name, Kind::Read, self.read_dedupe(bucket, ids, read)).await
    }

    async fn events(
        &self,
        bucket: &Bucket,
        from: Seq,
        to: Seq,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        self.client.call("events", Kind::Read, self.read_events(bucket, (from, to), order, limit)).await
    }

    async fn blank(&self, bucket: &Bucket, seqs: &[Seq]) -> Result<(), StoreError> {
        self.client.call("blank", Kind::Write, self.blank_events(bucket, seqs)).await
    }

    async fn drop_bucket(&self, bucket: &Bucket) -> Result<(), StoreError> {
        self.client.call("drop_bucket", Kind::Write, self.delete_bucket(bucket)).await
    }

    async fn put_recent(&self, lane: u16, minute: i64, place: &Place) -> Result<(), StoreError> {
        self.client.call("put_recent", Kind::Write, self.write_recent(lane, minute, place)).await
    }

    async fn recent(
        &self,
        lane: u16,
        minute: i64,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Place>, StoreError> {
        self.client.call("recent", Kind::Read, self.read_recent(lane, minute, after, limit)).await
    }

    async fn write_cells(
        &self,
        partition: &Partition,
        cells: Vec<Cell>,
        _sync: Sync,
    ) -> Result<(), StoreError> {
        self.client.call("write_cells", Kind::Write, self.put_cells(partition, &cells)).await
    }

    async fn read_rows(&self, partition: &Partition, rows: Rows) -> Result<Vec<Row>, StoreError> {
        self.client.call("rows", Kind::Read, self.get_rows(partition, &rows)).await
    }

    async fn drop_cells(&self, partition: &Partition) -> Result<(), StoreError> {
        self.client.call("drop_cells", Kind::Write, self.delete_cells(partition)).await
    }

    async fn places(&self, after: Option<&Place>, limit: usize) -> Result<Vec<Place>, StoreError> {
        self.client.call("places", Kind::Read, self.read_places(after, limit)).await
    }

    /// Whether the database answers a small read.
    async fn health(&self) -> Health {
        let probe = async { self.client.rows(&self.statements.probe, ()).await.map(drop) };
        match self.client.call("health", Kind::Read, probe).await {
            Ok(()) => Health::Well,
            Err(error) => Health::Failed(error.to_string()),
        }
    }
}
