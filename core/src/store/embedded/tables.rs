//! The tables in fjall, and what is read from them.

use super::{files::Identity, journal::Mark, keys, values};
use crate::{
    domain::{ClientId, Event, Place, Seq, User},
    store::{Bucket, Dedupe, IndexRow, Order, Partition, Row, Rows, Statics, StoreError},
};
use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, Slice, compaction::Leveled};
use std::{collections::BTreeMap, ops::Bound, path::Path, sync::Arc};

/// A table; a keyspace of fjall, so that rows that are rewritten often aren't merged with those that never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// The database's identity: the [`Mark`] of the last group.
    Groups,
    /// Conversation, first seq: [`IndexRow`].
    Index,
    /// Bucket: [`Statics`].
    Statics,
    /// Bucket, seq: [`Event`].
    Events,
    /// Bucket, user, client id: [`Dedupe`].
    Dedupe,
    /// Lane, minute, conversation: nothing.
    Recent,
    /// Partition, row, column: a cell.
    Cells,
}

/// Every table with its stored name, in the order of [`Table`].
const NAMES: [(Table, &str); 7] = [
    (Table::Groups, "groups"),
    (Table::Index, "index"),
    (Table::Statics, "statics"),
    (Table::Events, "events"),
    (Table::Dedupe, "dedupe"),
    (Table::Recent, "recent"),
    (Table::Cells, "cells"),
];

/// A table is written from memory to disk when it holds this much. Four of them are written to all the time; with at most
/// four waiting for it, each takes at most 80 MiB, and mostly far less.
const MEMORY_BYTES: u64 = 16 << 20;

/// Files that a table may have before they are merged into what is there already: each merge writes most of that again.
const LOOSE_FILES: u8 = 8;

/// Bytes of journals, above which tables are written out so that the oldest can go. All of them are read at a start.
const JOURNALS_BYTES: u64 = 128 << 20;

/// All tables.
pub struct Tables {
    db: Database,
    spaces: Vec<Keyspace>,
}

type Pair = (Slice, Slice);

impl Tables {
    /// Opens the tables, and makes those that aren't there.
    pub fn open(path: &Path, cache_bytes: u64) -> Result<Self, fjall::Error> {
        let db =
            Database::builder(path).cache_size(cache_bytes).max_journaling_size(JOURNALS_BYTES).open()?;
        let merging = Arc::new(Leveled::default().with_l0_threshold(LOOSE_FILES));
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMORY_BYTES)
                .compaction_strategy(merging.clone())
        };
        let spaces = NAMES.iter().map(|(_, name)| db.keyspace(name, options)).collect::<Result<_, _>>()?;
        Ok(Self { db, spaces })
    }

    /// The database.
    pub fn db(&self) -> &Database {
        &self.db
    }

    /// A table's keyspace.
    pub fn space(&self, table: Table) -> &Keyspace {
        &self.spaces[table as usize]
    }

    /// The mark of the last group, if there ever was one.
    pub fn mark(&self, of: &Identity) -> Result<Option<Mark>, StoreError> {
        let value = self.get(Table::Groups, of)?;
        let damaged = || StoreError::Corrupt("the mark of the last group makes no sense".into());
        value.map(|value| Mark::decode(of, &value).ok_or_else(damaged)).transpose()
    }

    /// One value.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, StoreError> {
        self.space(table).get(key).map_err(unreadable)
    }

    /// Pairs with `from <= key` (and `key < to`, if given).
    pub fn range(
        &self,
        table: Table,
        from: Vec<u8>,
        to: Option<Vec<u8>>,
    ) -> impl DoubleEndedIterator<Item = Result<Pair, StoreError>> + use<> {
        let to = to.map_or(Bound::Unbounded, Bound::Excluded);
        let pairs = self.space(table).range::<Vec<u8>, _>((Bound::Included(from), to));
        pairs.map(|guard| guard.into_inner().map_err(unreadable))
    }

    /// Index rows with `first <= at_most`, newest first.
    pub fn index(&self, place: &Place, at_most: Seq, limit: usize) -> Result<Vec<IndexRow>, StoreError> {
        let (from, to) = (keys::index(place, 0), keys::after(&keys::index(place, at_most)));
        let row = |pair: Result<Pair, StoreError>| {
            let (key, value) = pair?;
            Ok(IndexRow { first: keys::parse_last_number(&key)?, opened_at: values::decode_index(&value)? })
        };
        self.range(Table::Index, from, to).rev().take(limit).map(row).collect()
    }

    /// A bucket's static columns.
    pub fn statics(&self, bucket: &Bucket) -> Result<Option<Statics>, StoreError> {
        let value = self.get(Table::Statics, &keys::bucket(bucket))?;
        value.map(|value| values::decode_statics(&value)).transpose()
    }

    /// Dedupe rows, in the order asked.
    pub fn dedupe(
        &self,
        bucket: &Bucket,
        ids: &[(User, ClientId)],
    ) -> Result<Vec<Option<Dedupe>>, StoreError> {
        let one = |(user, id): &(User, ClientId)| {
            let value = self.get(Table::Dedupe, &keys::dedupe(bucket, user, *id))?;
            value.map(|value| values::decode_dedupe(&value)).transpose()
        };
        ids.iter().map(one).collect()
    }

    /// Events with `from <= seq <= to`.
    pub fn events(
        &self,
        bucket: &Bucket,
        from: Seq,
        to: Seq,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        if from > to {
            return Ok(Vec::new());
        }
        let to = keys::after(&keys::event(bucket, to));
        let pairs = self.range(Table::Events, keys::event(bucket, from), to);
        let event = |pair: Result<Pair, StoreError>| {
            let (key, value) = pair?;
            values::decode_event(keys::parse_last_number(&key)?, &value)
        };
        match order {
            Order::Up => pairs.take(limit).map(event).collect(),
            Order::Down => pairs.rev().take(limit).map(event).collect(),
        }
    }

    /// The conversations of a minute of a lane.
    pub fn recent(
        &self,
        lane: u16,
        minute: i64,
        past: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Place>, StoreError> {
        let prefix = keys::minute(lane, minute);
        let from = past.and_then(|place| keys::after(&keys::recent(lane, minute, place)));
        let to = keys::after(&prefix);
        let pairs = self.range(Table::Recent, from.unwrap_or_else(|| prefix.clone()), to);
        pairs.take(limit).map(|pair| keys::parse_place(&pair?.0[prefix.len()..])).collect()
    }

    /// Every conversation with an index row.
    pub fn places(&self, past: Option<&Place>, limit: usize) -> Result<Vec<Place>, StoreError> {
        let mut places = Vec::new();
        let mut from = past.and_then(|place| keys::after(&keys::place(place))).unwrap_or_default();
        while places.len() < limit {
            // One look per conversation, so that one with many buckets costs no more than one with few.
            let Some(pair) = self.range(Table::Index, from, None).next() else { break };
            let place = keys::parse_place(&pair?.0)?;
            let next = keys::after(&keys::place(&place));
            places.push(place);
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
        Ok(places)
    }

    /// Rows of a partition of cells.
    pub fn rows(&self, partition: &Partition, rows: &Rows) -> Result<Vec<Row>, StoreError> {
        let partition = keys::partition(partition);
        match rows {
            Rows::Keys(asked) => {
                let mut found = Vec::new();
                for row in asked {
                    let from = keys::row(&partition, row);
                    let to = keys::after(&from);
                    found.extend(fold_rows(partition.len(), self.range(Table::Cells, from, to), 1)?);
                }
                Ok(found)
            }
            Rows::Range { from, to, down, limit } => {
                let from = keys::row_start(&partition, from);
                let to = match to {
                    Some(to) => Some(keys::row_start(&partition, to)),
                    None => keys::after(&partition),
                };
                if to.as_ref().is_some_and(|to| *to <= from) {
                    return Ok(Vec::new());
                }
                let cells = self.range(Table::Cells, from, to);
                if *down {
                    fold_rows(partition.len(), cells.rev(), *limit)
                } else {
                    fold_rows(partition.len(), cells, *limit)
                }
            }
        }
    }
}

/// Gathers cells, which come row by row, into at most `limit` rows that have any cell left.
fn fold_rows(
    prefix: usize,
    cells: impl Iterator<Item = Result<Pair, StoreError>>,
    limit: usize,
) -> Result<Vec<Row>, StoreError> {
    let mut rows: Vec<Row> = Vec::new();
    for pair in cells {
        let (key, value) = pair?;
        let (at, Some(value)) = values::decode_cell(&value)? else { continue };
        let (row, column) = keys::parse_cell(&key[prefix..])?;
        let cell = (Bytes::copy_from_slice(column), (at, value));
        let full = rows.len() == limit;
        match rows.last_mut().filter(|last| last.key == row) {
            Some(last) => drop(last.cells.insert(cell.0, cell.1)),
            None if full => break,
            None => rows.push(Row { key: row.into(), cells: BTreeMap::from([cell]) }),
        }
    }
    Ok(rows)
}

/// A failed read: damage, as far as fjall can tell it from the disk's other failures.
fn unreadable(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(error) => StoreError::Unavailable(format!("the disk failed to read: {error}")),
        fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            StoreError::Unavailable(format!("the disk failed to read: {error}"))
        }
        error => StoreError::Corrupt(format!("a table is damaged ({error})")),
    }
}
