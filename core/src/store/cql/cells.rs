//! Cells: a column each, whose time is the database's own timestamp of it, so that who wrote last is decided there.
//!
//! It decides as the port says where times differ. Of two writes with one time a deletion wins, then the larger value,
//! whoever came last; within one call the last one wins here too. A fold gives one value to one time, so that this
//! doesn't show.

use super::{
    CqlStore,
    error::{after_a_part, corrupt, write},
    log::KEYS,
};
use crate::store::{Cell, Partition, Row, Rows, StoreError};
use bytes::Bytes;
use scylla::{
    errors::SerializationError,
    response::query_result::QueryRowsResult,
    serialize::{
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
    statement::batch::{Batch, BatchStatement, BatchType},
};
use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
};

/// Cells, and bytes of them, that one request carries.
const BATCH_CELLS: usize = 256;
const BATCH_BYTES: usize = 256 << 10;

/// A partition's key.
type Key = (i8, String, String, i64, i16, i64);

fn key(partition: &Partition) -> Key {
    let none = |kind, tenant: &str, owner: String| (kind, tenant.to_owned(), owner, 0, 0, 0);
    match partition {
        Partition::Reflects(place) => none(1, place.tenant.as_str(), place.conversation.to_string()),
        Partition::View { place, generation, view, part } => (
            2,
            place.tenant.as_str().to_owned(),
            place.conversation.to_string(),
            i64::from(*generation),
            i16::from(*view),
            part.cast_signed(),
        ),
        Partition::Memberships(tenant, user) => none(3, tenant.as_str(), user.as_str().to_owned()),
        Partition::Markers(place) => none(4, place.tenant.as_str(), place.conversation.to_string()),
        Partition::Directory(tenant) => none(5, tenant.as_str(), String::new()),
        Partition::Retention(tenant) => none(6, tenant.as_str(), String::new()),
        Partition::Account(tenant, user) => none(9, tenant.as_str(), user.as_str().to_owned()),
        Partition::Conversations(tenant, part) => {
            (8, tenant.as_str().to_owned(), String::new(), 0, 0, i64::from(*part))
        }
        Partition::Received(tenant, user) => none(7, tenant.as_str(), user.as_str().to_owned()),
    }
}

/// The values of a cell's statement.
struct Values<'a>(&'a Key, &'a Cell, i64);

impl SerializeRow for Values<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let Self((kind, tenant, owner, generation, view, part), cell, at) = self;
        let (row, name) = (cell.row.as_ref(), cell.column.as_ref());
        match &cell.value {
            Some(value) => (at, value.as_ref(), kind, tenant, owner, generation, view, part, row, name)
                .serialize(context, writer),
            None => (at, kind, tenant, owner, generation, view, part, row, name).serialize(context, writer),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

impl CqlStore {
    pub(super) async fn put_cells(&self, partition: &Partition, cells: &[Cell]) -> Result<(), StoreError> {
        let key = key(partition);
        let cells = winners(cells)?;
        let mut began = false;
        let mut rest = cells.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take(BATCH_CELLS).take_while(|(cell, _)| {
                let before = bytes;
                bytes += cell.row.len() + cell.column.len() + cell.value.as_ref().map_or(0, Bytes::len);
                before < BATCH_BYTES
            });
            let (some, more) = rest.split_at(fits.count());
            let done = self.put_some(&key, some).await;
            done.map_err(|error| if began { after_a_part(error) } else { error })?;
            (began, rest) = (true, more);
        }
        Ok(())
    }

    async fn put_some(&self, key: &Key, cells: &[(&Cell, i64)]) -> Result<(), StoreError> {
        let s = &self.statements;
        let statement = |(cell, _): &(&Cell, i64)| {
            let prepared = if cell.value.is_some() { &s.put_cell } else { &s.delete_cell };
            BatchStatement::from(prepared.clone())
        };
        let mut batch =
            Batch::new_with_statements(BatchType::Unlogged, cells.iter().map(statement).collect());
        batch.set_consistency(self.client.levels.quorum);
        batch.set_is_idempotent(true);
        let values: Vec<_> = cells.iter().map(|(cell, at)| Values(key, cell, *at)).collect();
        self.client.session.batch(&batch, values).await.map(drop).map_err(write)
    }

    pub(super) async fn get_rows(&self, partition: &Partition, rows: &Rows) -> Result<Vec<Row>, StoreError> {
        let (kind, tenant, owner, generation, view, part) = key(partition);
        match rows {
            Rows::Keys(asked) => {
                let mut found: HashMap<Bytes, Row> = HashMap::with_capacity(asked.len());
                for some in asked.chunks(KEYS) {
                    let keys: Vec<&[u8]> = some.iter().map(Bytes::as_ref).collect();
                    let asked = (kind, &tenant, &owner, generation, view, part, keys);
                    let mut gathered = Gathered::new(usize::MAX);
                    let page = |rows: &QueryRowsResult| gathered.page(rows);
                    self.client.pages(&self.statements.cells_of, asked, page).await?;
                    found.extend(gathered.rows.into_iter().map(|row| (row.key.clone(), row)));
                }
                Ok(asked.iter().filter_map(|key| found.get(key).cloned()).collect())
            }
            Rows::Range { limit: 0, .. } => Ok(Vec::new()),
            Rows::Range { from, to: Some(to), .. } if to <= from => Ok(Vec::new()),
            Rows::Range { from, to, down, limit } => {
                let s = &self.statements;
                let mut gathered = Gathered::new(*limit);
                let page = |rows: &QueryRowsResult| gathered.page(rows);
                let from = from.as_ref();
                match to {
                    Some(to) => {
                        let statement = if *down { &s.cells_down_to } else { &s.cells_up_to };
                        let asked = (kind, tenant, owner, generation, view, part, from, to.as_ref());
                        self.client.pages(statement, asked, page).await?;
                    }
                    None => {
                        let statement = if *down { &s.cells_down } else { &s.cells_up };
                        let asked = (kind, tenant, owner, generation, view, part, from);
                        self.client.pages(statement, asked, page).await?;
                    }
                }
                Ok(gathered.rows)
            }
        }
    }

    pub(super) async fn delete_cells(&self, partition: &Partition) -> Result<(), StoreError> {
        self.client.write(&self.statements.drop_cells, key(partition)).await
    }
}

/// Of cells with one key, the one that wins; with its time as the database has it.
fn winners(cells: &[Cell]) -> Result<Vec<(&Cell, i64)>, StoreError> {
    let mut winners: HashMap<(&Bytes, &Bytes), (&Cell, i64)> = HashMap::with_capacity(cells.len());
    for cell in cells {
        let far =
            |_| StoreError::Unavailable(format!("a cell's time is {}, which nothing can follow", cell.at));
        let at = i64::try_from(cell.at).map_err(far)?;
        let winner = winners.entry((&cell.row, &cell.column)).or_insert((cell, at));
        if at >= winner.1 {
            *winner = (cell, at);
        }
    }
    Ok(winners.into_values().collect())
}

/// Cells as they come, row by row, gathered into at most `limit` rows.
struct Gathered {
    rows: Vec<Row>,
    limit: usize,
}

impl Gathered {
    fn new(limit: usize) -> Self {
        Self { rows: Vec::new(), limit }
    }

    fn page(&mut self, page: &QueryRowsResult) -> Result<ControlFlow<()>, StoreError> {
        let cells = page.rows::<(&[u8], &[u8], Option<&[u8]>, Option<i64>)>();
        for cell in cells.map_err(|error| corrupt("cells", error))? {
            let (key, name, value, at) = cell.map_err(|error| corrupt("cell", error))?;
            let (Some(value), Some(at)) = (value, at) else { continue };
            let at = u64::try_from(at).map_err(|_| corrupt("cell", format!("its time is {at}")))?;
            let cell = (Bytes::copy_from_slice(name), (at, Bytes::copy_from_slice(value)));
            let full = self.rows.len() == self.limit;
            match self.rows.last_mut().filter(|last| last.key == key) {
                Some(last) => drop(last.cells.insert(cell.0, cell.1)),
                None if full => return Ok(ControlFlow::Break(())),
                None => {
                    self.rows.push(Row { key: Bytes::copy_from_slice(key), cells: BTreeMap::from([cell]) });
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
