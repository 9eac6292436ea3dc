//! Operations, decided one after another on what is stored plus what the group before them holds.

use super::{
    files::Identity,
    heads::Heads,
    journal::Mark,
    keys,
    tables::{Table, Tables},
    values,
};
use crate::{
    domain::Seq,
    store::{Bucket, Cell, Commit, Outcome, Partition, Statics, StoreError, Sync},
};
use bytes::Bytes;
use fjall::{OwnedWriteBatch, PersistMode, Slice};
use std::collections::{BTreeMap, HashMap};

/// Longest key of a cell, its partition and row included; fjall's own limit is 65,535 bytes.
const MAX_CELL_KEY: usize = 16 << 10;

/// A row to write, encoded; without a value it is deleted.
type Write = (Table, Slice, Option<Slice>);

/// A dedupe row to write.
pub struct New {
    key: Slice,
    value: Slice,
    /// The time in the client id.
    id_ms: i64,
}

/// Something to write, or to wait for. It is encoded by whoever asks, so that the one writer has less to do.
pub enum Operation {
    /// Rows, plainly.
    Put(Vec<Write>),
    /// See [`crate::store::Store::commit`].
    Commit {
        /// The bucket's key.
        bucket: Slice,
        /// The `last_seq` that it must have.
        expect: Option<Seq>,
        /// Its new static columns.
        statics: Statics,
        /// They, encoded.
        encoded: Slice,
        /// Rows that must not exist yet.
        dedupe: Vec<New>,
        /// Events.
        events: Vec<(Slice, Slice)>,
    },
    /// See [`crate::store::Store::blank`].
    Blank(Bucket, Vec<Seq>),
    /// Deletes what has one of these prefixes.
    Drop(Vec<(Table, Slice)>),
    /// See [`crate::store::Store::write_cells`]: key, time, encoded value.
    Cells(Vec<(Slice, u64, Slice)>, Sync),
    /// Writes nothing: it is answered when everything before it is settled.
    Settle,
}

impl Operation {
    /// One row, plainly.
    pub fn put(table: Table, key: Vec<u8>, value: Vec<u8>) -> Self {
        Self::Put(vec![(table, key.into(), Some(value.into()))])
    }

    /// A conditional batch.
    pub fn commit(bucket: &Bucket, commit: &Commit) -> Result<Self, StoreError> {
        commit.check(bucket)?;
        let dedupe = commit.dedupe.iter().map(|(user, id, dedupe)| New {
            key: keys::dedupe(bucket, user, *id).into(),
            value: values::encode_dedupe(dedupe).into(),
            id_ms: id.time_ms(),
        });
        let events = commit
            .events
            .iter()
            .map(|event| (keys::event(bucket, event.seq).into(), values::encode_event(event).into()));
        Ok(Self::Commit {
            bucket: keys::bucket(bucket).into(),
            expect: commit.expect,
            statics: commit.statics,
            encoded: values::encode_statics(&commit.statics).into(),
            dedupe: dedupe.collect(),
            events: events.collect(),
        })
    }

    /// Deletes a bucket.
    pub fn drop_bucket(bucket: &Bucket) -> Self {
        let index = (Table::Index, keys::index(&bucket.place, bucket.first).into());
        let of_bucket = [Table::Statics, Table::Events, Table::Dedupe];
        let rows = of_bucket.map(|table| (table, keys::bucket(bucket).into()));
        Self::Drop([index].into_iter().chain(rows).collect())
    }

    /// Writes cells.
    pub fn cells(partition: &Partition, cells: Vec<Cell>, sync: Sync) -> Result<Self, StoreError> {
        let partition = keys::partition(partition);
        let encode = |cell: Cell| {
            let mut key = keys::row(&partition, &cell.row);
            key.extend_from_slice(&cell.column);
            if key.len() > MAX_CELL_KEY {
                let why = format!("the key of a cell has {} bytes, of {MAX_CELL_KEY} at most", key.len());
                return Err(StoreError::Unavailable(why));
            }
            Ok((key.into(), cell.at, values::encode_cell(cell.at, cell.value).into()))
        };
        Ok(Self::Cells(cells.into_iter().map(encode).collect::<Result<_, _>>()?, sync))
    }

    /// About how many bytes it holds.
    pub fn size(&self) -> usize {
        /// What a row takes besides its bytes.
        const ROW: usize = 64;
        let pairs =
            |rows: &[(Slice, Slice)]| rows.iter().map(|(k, v)| ROW + k.len() + v.len()).sum::<usize>();
        ROW + match self {
            Self::Put(rows) => rows
                .iter()
                .map(|(_, key, value)| ROW + key.len() + value.as_ref().map_or(0, |v| v.len()))
                .sum(),
            Self::Commit { encoded, dedupe, events, .. } => {
                let dedupe: usize = dedupe.iter().map(|new| ROW + new.key.len() + new.value.len()).sum();
                encoded.len() + dedupe + pairs(events)
            }
            Self::Blank(_, seqs) => seqs.len() * ROW,
            Self::Cells(cells, _) => cells.iter().map(|(key, _, value)| ROW + key.len() + value.len()).sum(),
            Self::Drop(_) | Self::Settle => 0,
        }
    }

    /// Whether it only stores what follows from the log.
    pub fn is_view(&self) -> bool {
        matches!(self, Self::Cells(_, Sync::Later))
    }

    fn sync(&self) -> Sync {
        match self {
            Self::Cells(_, sync) => *sync,
            _ => Sync::Now,
        }
    }
}

/// What will be written with one fsync.
pub struct Group<'a> {
    tables: &'a Tables,
    heads: &'a mut Heads,
    /// In the order of their keys, in which fjall takes them with the least searching.
    writes: BTreeMap<(Table, Slice), Option<Slice>>,
    sync: Sync,
}

impl<'a> Group<'a> {
    /// An empty group; it is fsynced if `sync` or one of its operations says so.
    pub fn new(tables: &'a Tables, heads: &'a mut Heads, sync: Sync) -> Self {
        Self { tables, heads, writes: BTreeMap::new(), sync }
    }

    /// Decides an operation and takes its writes, all or none.
    pub fn add(&mut self, operation: Operation) -> Result<Outcome, StoreError> {
        let sync = operation.sync();
        let writes = match operation {
            Operation::Put(rows) => rows,
            Operation::Commit { bucket, expect, statics, encoded, dedupe, events } => {
                if !self.holds(&bucket, expect, &dedupe)? {
                    return Ok(Outcome::Refused);
                }
                self.heads.put(bucket.clone(), statics);
                let mut writes = vec![(Table::Statics, bucket, Some(encoded))];
                writes.extend(dedupe.into_iter().map(|new| (Table::Dedupe, new.key, Some(new.value))));
                writes.extend(events.into_iter().map(|(key, value)| (Table::Events, key, Some(value))));
                writes
            }
            Operation::Blank(bucket, seqs) => self.blank(&bucket, &seqs)?,
            Operation::Drop(prefixes) => self.delete(prefixes)?,
            Operation::Cells(cells, _) => self.newest(cells)?,
            Operation::Settle => Vec::new(),
        };
        if sync == Sync::Now && !writes.is_empty() {
            self.sync = Sync::Now;
        }
        self.writes.extend(writes.into_iter().map(|(table, key, value)| ((table, key), value)));
        Ok(Outcome::Applied)
    }

    /// Whether the group must be fsynced.
    pub fn sync(&self) -> Sync {
        self.sync
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The group as one batch of fjall, which its mark begins.
    pub fn into_batch(self, identity: &Identity, mark: Mark) -> OwnedWriteBatch {
        let mode = match self.sync {
            Sync::Now => PersistMode::SyncData,
            Sync::Later => PersistMode::Buffer,
        };
        let db = self.tables.db().clone();
        let mut batch = OwnedWriteBatch::with_capacity(db, self.writes.len() + 1).durability(Some(mode));
        batch.insert(self.tables.space(Table::Groups), *identity, mark.encode(identity));
        for ((table, key), value) in self.writes {
            match value {
                Some(value) => batch.insert(self.tables.space(table), key, value),
                None => batch.remove(self.tables.space(table), key),
            }
        }
        batch
    }

    fn get(&self, table: Table, key: &Slice) -> Result<Option<Slice>, StoreError> {
        match self.writes.get(&(table, key.clone())) {
            Some(value) => Ok(value.clone()),
            None => self.tables.get(table, key),
        }
    }

    fn statics(&mut self, bucket: &Slice) -> Result<Option<Statics>, StoreError> {
        if let Some(known) = self.heads.get(bucket) {
            return Ok(Some(known));
        }
        let stored = self.get(Table::Statics, bucket)?;
        let stored = stored.map(|value| values::decode_statics(&value)).transpose()?;
        if let Some(statics) = stored {
            self.heads.put(bucket.clone(), statics);
        }
        Ok(stored)
    }

    /// Whether a conditional batch's condition holds.
    fn holds(&mut self, bucket: &Slice, expect: Option<Seq>, dedupe: &[New]) -> Result<bool, StoreError> {
        let stored = self.statics(bucket)?;
        if stored.is_some_and(|s| s.closed) || stored.map(|s| s.last_seq) != expect {
            return Ok(false);
        }
        // An id that is newer than all in the bucket can't be there.
        let doubtful = |new: &&New| stored.is_none_or(|s| new.id_ms <= s.id_max);
        for new in dedupe.iter().filter(doubtful) {
            if self.get(Table::Dedupe, &new.key)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn blank(&self, bucket: &Bucket, seqs: &[Seq]) -> Result<Vec<Write>, StoreError> {
        let mut writes = Vec::new();
        for seq in seqs {
            let key = keys::event(bucket, *seq).into();
            let Some(value) = self.get(Table::Events, &key)? else { continue };
            let mut event = values::decode_event(*seq, &value)?;
            if !event.erased {
                event.erased = true;
                event.body = Bytes::new();
                writes.push((Table::Events, key, Some(values::encode_event(&event).into())));
            }
        }
        Ok(writes)
    }

    /// The cells that win over what is there, the later of equals.
    fn newest(&self, cells: Vec<(Slice, u64, Slice)>) -> Result<Vec<Write>, StoreError> {
        let mut newest: HashMap<Slice, (u64, Slice)> = HashMap::new();
        for (key, at, value) in cells {
            let above = match newest.get(&key) {
                Some((at, _)) => Some(*at),
                None => {
                    let stored = self.get(Table::Cells, &key)?;
                    stored.map(|value| values::decode_cell(&value)).transpose()?.map(|(at, _)| at)
                }
            };
            if above.is_none_or(|above| at >= above) {
                newest.insert(key, (at, value));
            }
        }
        Ok(newest.into_iter().map(|(key, (_, value))| (Table::Cells, key, Some(value))).collect())
    }

    /// Deletes everything with these prefixes, be it stored or only in this group.
    fn delete(&mut self, prefixes: Vec<(Table, Slice)>) -> Result<Vec<Write>, StoreError> {
        let mut writes = Vec::new();
        for (table, prefix) in prefixes {
            self.heads.forget(table, &prefix);
            for pair in self.tables.range(table, prefix.to_vec(), keys::after(&prefix)) {
                writes.push((table, pair?.0, None));
            }
            let pending = self.writes.keys().filter(|(of, key)| *of == table && key.starts_with(&prefix));
            writes.extend(pending.map(|(table, key)| (*table, key.clone(), None)));
        }
        Ok(writes)
    }
}
