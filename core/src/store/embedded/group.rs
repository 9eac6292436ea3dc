//! Operations, decided one after another on what is stored plus what the group before them holds.

use super::{
    keys,
    tables::{Table, Tables},
    values,
};
use crate::{
    domain::{Place, Seq},
    store::{Bucket, Cell, Commit, IndexRow, Outcome, Partition, StoreError, Sync},
};
use std::collections::BTreeMap;

/// Longest key of a cell, its partition and row included; fjall's own limit is 65,535 bytes.
const MAX_CELL_KEY: usize = 16 << 10;

/// Something to write, or to wait for.
#[derive(Debug)]
pub enum Operation {
    /// See [`crate::store::Store::put_index`].
    PutIndex(Place, IndexRow),
    /// See [`crate::store::Store::commit`].
    Commit(Bucket, Box<Commit>),
    /// See [`crate::store::Store::blank`].
    Blank(Bucket, Vec<Seq>),
    /// See [`crate::store::Store::drop_bucket`].
    DropBucket(Bucket),
    /// See [`crate::store::Store::put_recent`].
    PutRecent(u16, i64, Place),
    /// See [`crate::store::Store::write_cells`].
    WriteCells(Partition, Vec<Cell>, Sync),
    /// See [`crate::store::Store::drop_cells`].
    DropCells(Partition),
    /// Writes nothing: it is answered when everything before it is settled.
    Settle,
}

impl Operation {
    /// About how many bytes it holds.
    pub fn size(&self) -> usize {
        const ROW: usize = 128;
        ROW + match self {
            Self::Commit(_, commit) => {
                let events: usize = commit.events.iter().map(|event| ROW + event.size()).sum();
                events + commit.dedupe.len() * 2 * ROW
            }
            Self::WriteCells(_, cells, _) => cells
                .iter()
                .map(|cell| {
                    ROW + cell.row.len()
                        + cell.column.len()
                        + cell.value.as_ref().map_or(0, bytes::Bytes::len)
                })
                .sum(),
            Self::Blank(_, seqs) => seqs.len() * ROW,
            _ => 0,
        }
    }

    /// Whether it must be on disk when it is answered.
    pub fn sync(&self) -> Sync {
        match self {
            Self::WriteCells(_, _, sync) => *sync,
            Self::Settle => Sync::Later,
            _ => Sync::Now,
        }
    }
}

type Writes = BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>;

/// What will be written with one fsync.
pub struct Group<'a> {
    tables: &'a Tables,
    writes: Writes,
    sync: Sync,
}

impl<'a> Group<'a> {
    /// An empty group.
    pub fn new(tables: &'a Tables) -> Self {
        Self { tables, writes: Writes::new(), sync: Sync::Later }
    }

    /// Decides an operation and takes its writes, all or none.
    pub fn add(&mut self, operation: Operation) -> Result<Outcome, StoreError> {
        let sync = operation.sync();
        let writes = match operation {
            Operation::PutIndex(place, row) => {
                put(Table::Index, keys::index(&place, row.first), values::encode_index(row.opened_at))
            }
            Operation::Commit(bucket, commit) => match self.decide(&bucket, &commit)? {
                Some(writes) => writes,
                None => return Ok(Outcome::Refused),
            },
            Operation::Blank(bucket, seqs) => self.blank(&bucket, &seqs)?,
            Operation::DropBucket(bucket) => self.drop_bucket(&bucket)?,
            Operation::PutRecent(lane, minute, place) => {
                put(Table::Recent, keys::recent(lane, minute, &place), Vec::new())
            }
            Operation::WriteCells(partition, cells, _) => self.write_cells(&partition, cells)?,
            Operation::DropCells(partition) => self.delete(Table::Cells, &keys::partition(&partition))?,
            Operation::Settle => Writes::new(),
        };
        if sync == Sync::Now && !writes.is_empty() {
            self.sync = Sync::Now;
        }
        self.writes.extend(writes);
        Ok(Outcome::Applied)
    }

    /// Whether the group must be fsynced.
    pub fn sync(&self) -> Sync {
        self.sync
    }

    /// The group as one batch of fjall; `None` if there is nothing to write.
    pub fn into_batch(self) -> Option<fjall::OwnedWriteBatch> {
        if self.writes.is_empty() {
            return None;
        }
        let mode = match self.sync {
            Sync::Now => fjall::PersistMode::SyncData,
            Sync::Later => fjall::PersistMode::Buffer,
        };
        let db = self.tables.db().clone();
        let mut batch = fjall::OwnedWriteBatch::with_capacity(db, self.writes.len()).durability(Some(mode));
        for ((table, key), value) in self.writes {
            match value {
                Some(value) => batch.insert(self.tables.space(table), key, value),
                None => batch.remove(self.tables.space(table), key),
            }
        }
        Some(batch)
    }

    fn get(&self, table: Table, key: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        let key = (table, key);
        match self.writes.get(&key) {
            Some(value) => Ok(value.clone()),
            None => Ok(self.tables.get(table, &key.1)?.map(|value| value.to_vec())),
        }
    }

    /// The writes of a conditional batch; `None` if it is refused.
    fn decide(&self, bucket: &Bucket, commit: &Commit) -> Result<Option<Writes>, StoreError> {
        commit.check(bucket)?;
        let stored = self.get(Table::Statics, keys::bucket(bucket))?;
        let stored = stored.map(|value| values::decode_statics(&value)).transpose()?;
        if stored.is_some_and(|s| s.closed) || stored.map(|s| s.last_seq) != commit.expect {
            return Ok(None);
        }
        let mut writes = put(Table::Statics, keys::bucket(bucket), values::encode_statics(&commit.statics));
        for (user, id, dedupe) in &commit.dedupe {
            let key = keys::dedupe(bucket, user, *id);
            if self.get(Table::Dedupe, key.clone())?.is_some() {
                return Ok(None);
            }
            writes.insert((Table::Dedupe, key), Some(values::encode_dedupe(dedupe)));
        }
        for event in &commit.events {
            let key = keys::event(bucket, event.seq);
            writes.insert((Table::Events, key), Some(values::encode_event(event)));
        }
        Ok(Some(writes))
    }

    fn blank(&self, bucket: &Bucket, seqs: &[Seq]) -> Result<Writes, StoreError> {
        let mut writes = Writes::new();
        for seq in seqs {
            let key = keys::event(bucket, *seq);
            let Some(value) = self.get(Table::Events, key.clone())? else { continue };
            let mut event = values::decode_event(*seq, &value)?;
            if !event.erased {
                event.erased = true;
                event.body = bytes::Bytes::new();
                writes.insert((Table::Events, key), Some(values::encode_event(&event)));
            }
        }
        Ok(writes)
    }

    fn drop_bucket(&self, bucket: &Bucket) -> Result<Writes, StoreError> {
        let mut writes = Writes::from([
            ((Table::Index, keys::index(&bucket.place, bucket.first)), None),
            ((Table::Statics, keys::bucket(bucket)), None),
        ]);
        for table in [Table::Events, Table::Dedupe] {
            writes.extend(self.delete(table, &keys::bucket(bucket))?);
        }
        Ok(writes)
    }

    fn write_cells(&self, partition: &Partition, cells: Vec<Cell>) -> Result<Writes, StoreError> {
        let partition = keys::partition(partition);
        let mut writes = Writes::new();
        for cell in cells {
            let mut key = keys::row(&partition, &cell.row);
            key.extend_from_slice(&cell.column);
            if key.len() > MAX_CELL_KEY {
                return Err(malformed(format!("the key of a cell is longer than {MAX_CELL_KEY} bytes")));
            }
            let key = (Table::Cells, key);
            let stored = match writes.get(&key) {
                Some(value) => value.clone(),
                None => self.get(key.0, key.1.clone())?,
            };
            let stored_at = stored.map(|value| values::decode_cell(&value)).transpose()?.map(|(at, _)| at);
            if stored_at.is_none_or(|at| cell.at >= at) {
                writes.insert(key, Some(values::encode_cell(cell.at, cell.value)));
            }
        }
        Ok(writes)
    }

    /// Deletes everything with a prefix, be it stored or only in this group.
    fn delete(&self, table: Table, prefix: &[u8]) -> Result<Writes, StoreError> {
        let mut writes = Writes::new();
        for pair in self.tables.range(table, prefix.to_vec(), keys::after(prefix)) {
            writes.insert((table, pair?.0.to_vec()), None);
        }
        let pending = self.writes.range((table, prefix.to_vec())..);
        let pending = pending.take_while(|((of, key), _)| *of == table && key.starts_with(prefix));
        writes.extend(pending.map(|(key, _)| (key.clone(), None)));
        Ok(writes)
    }
}

fn put(table: Table, key: Vec<u8>, value: Vec<u8>) -> Writes {
    Writes::from([((table, key), Some(value))])
}

fn malformed(why: String) -> StoreError {
    StoreError::Unavailable(format!("a batch is malformed: {why}"))
}
