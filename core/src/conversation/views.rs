//! A conversation's views: the rows in memory, and their way to and from the store.
//!
//! What is folded is stored a little later, all at once; then `reflects` is. After a crash the events above `reflects`
//! are folded again, which changes nothing that was stored already.

use super::{
    directory,
    fold::{self, Change, Dated, Rows, touched},
    invitation::Invitation,
    list, received,
    rows::{self, About, Key, Member},
};
use crate::{
    domain::{Event, Place, Seq},
    log::Log,
    store::{Cell, Partition, Row, Rows as Ask, Store, StoreError, Sync},
    watch::Watch,
};
use bytes::Bytes;
use nexus_invariants::Invariant;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const REFLECTS: Bytes = Bytes::from_static(b"v");
const GENERATION: Bytes = Bytes::from_static(b"g");
/// Events that are read at once when catching up.
const PAGE: usize = 200;
/// Rows that stay in memory after they were stored.
const KEPT_ROWS: usize = 512;
/// Cells that may wait to be stored.
const WAITING_CELLS: usize = 512;

/// The views of one conversation, folded up to a seq.
pub struct Views {
    store: Arc<dyn Store>,
    place: Place,
    generation: u32,
    folded: Seq,
    stored: Seq,
    rows: Rows,
    waiting: BTreeMap<Partition, Vec<Cell>>,
    cells: usize,
    watch: Watch,
}

impl Views {
    /// Reads which generation is in force and what it reflects.
    pub async fn load(store: Arc<dyn Store>, place: Place, watch: Watch) -> Result<Self, StoreError> {
        let (generation, stored) = in_force(&*store, &place).await?;
        Ok(Self { watch, ..Self::at(store, place, generation, stored) })
    }

    /// Views of a generation that reflects the log up to a seq.
    pub(super) fn at(store: Arc<dyn Store>, place: Place, generation: u32, reflects: Seq) -> Self {
        let (rows, waiting) = (Rows::default(), BTreeMap::new());
        let (folded, stored, watch) = (reflects, reflects, Watch::default());
        Self { store, place, generation, folded, stored, rows, waiting, cells: 0, watch }
    }

    /// The seq up to which the rows are a fold of the log.
    pub fn folded(&self) -> Seq {
        self.folded
    }

    /// Loads rows that are not in memory.
    pub async fn know(&mut self, keys: &[Key]) -> Result<(), StoreError> {
        let mut asked: BTreeMap<Partition, BTreeSet<&Key>> = BTreeMap::new();
        for key in keys.iter().filter(|key| !self.rows.knows(key)) {
            asked.entry(key.partition(&self.place, self.generation)).or_default().insert(key);
        }
        let mut newer = false;
        for (partition, keys) in asked {
            let ask = Ask::Keys(keys.iter().map(|key| key.row()).collect());
            let found = self.store.read_rows(&partition, ask).await?;
            let found: BTreeMap<&Bytes, &Row> = found.iter().map(|row| (&row.key, row)).collect();
            for key in keys {
                let row = found.get(&key.row()).copied();
                match key {
                    Key::About => self.rows.put_about(rows::dated(row)?),
                    Key::Member(user) => {
                        newer |= rows::main_at(row) > self.folded;
                        self.rows.put_member(user.clone(), rows::dated(row)?);
                    }
                    Key::Message(seq) => {
                        let message = row.map(rows::message).transpose()?.flatten();
                        self.rows
                            .put_message(*seq, Dated { at: rows::main_at(row), row: message.map(Box::new) });
                    }
                    Key::Invitation(seq) => self.rows.put_invitation(*seq, rows::dated(row)?),
                    Key::Thread(..) => {}
                }
            }
        }
        if newer {
            // Somebody stored more than is folded here. The counts of members must not be older than any member's row,
            // from which the event is missing then by which they could be counted; they are stored before it.
            self.rows.put_about(rows::dated(self.read(&Key::About).await?.as_ref())?);
        }
        Ok(())
    }

    /// The rows that were loaded.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Takes what a batch that was appended did to a copy of the rows. The events follow what is folded.
    pub fn take(&mut self, copy: Rows, changes: Vec<Change>, last: Seq) {
        self.rows.take(copy);
        self.note(changes);
        self.folded = last;
    }

    /// Folds the log in up to a seq. Events up to `floor` are gone, or will be.
    pub async fn catch_up(&mut self, log: &Log, to: Seq, floor: Seq) -> Result<(), StoreError> {
        self.rows.trim(floor);
        let mut anew = true;
        while self.folded < to {
            let events = log.events_up(self.folded + 1, to, PAGE).await?;
            let gone = events.first().is_none_or(|event| event.seq != self.folded + 1);
            if gone && self.folded < floor && std::mem::take(&mut anew) {
                self.go_on_from_stored(floor).await?;
                continue;
            }
            if events.first().is_none_or(|event| event.seq != self.folded + 1) {
                return Err(StoreError::Corrupt(format!(
                    "conversation {}: event {} is not in the log",
                    self.place.conversation,
                    self.folded + 1
                )));
            }
            let seqs = || events.iter().map(|event| event.seq);
            let dense = nexus_invariants::log::dense(self.folded + 1, seqs());
            self.watch.check(Invariant::Log1, dense, || {
                let (place, seqs) = (self.place.conversation, seqs().collect::<Vec<_>>());
                format!("conversation {place}: read {seqs:?} from {} on", self.folded + 1)
            });
            for event in &events {
                self.fold(event).await?;
            }
            if self.cells > WAITING_CELLS {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// The partition of a row of these views.
    pub fn partition(&self, key: &Key) -> Partition {
        key.partition(&self.place, self.generation)
    }

    /// Somebody else stored all that these views lack of what was trimmed, before it was.
    async fn go_on_from_stored(&mut self, floor: Seq) -> Result<(), StoreError> {
        let (generation, stored) = in_force(&*self.store, &self.place).await?;
        if stored > self.folded {
            let watch = std::mem::take(&mut self.watch);
            *self = Self { watch, ..Self::at(self.store.clone(), self.place.clone(), generation, stored) };
            self.rows.trim(floor);
        }
        Ok(())
    }

    /// Drops what is stored of messages whose whole part lies at or below a seq, from another on. Where they were trimmed,
    /// what was stored last must reflect the floor.
    pub async fn drop_messages(&self, from: Seq, through: Seq) -> Result<(), StoreError> {
        for part in from / rows::PART..(through + 1) / rows::PART {
            let like = Key::Message(part * rows::PART);
            let mut at = Bytes::new();
            loop {
                let page = Ask::Range { from: at, to: None, down: false, limit: PAGE };
                let page = self.read_rows(&like, page).await?;
                for row in &page {
                    // A thread goes with its first message. One that can't be read, which a rebuild is there for, may
                    // have one.
                    let text = rows::main_cell::<rows::Text>(Some(row));
                    if text.map_or(true, |text| text.is_some_and(|text| text.replies > 0)) {
                        let thread = Key::Thread(rows::key_seq(row)?, 0);
                        self.store.drop_cells(&thread.partition(&self.place, self.generation)).await?;
                    }
                }
                match page.last() {
                    Some(last) if page.len() == PAGE => at = [&last.key[..], &[0]].concat().into(),
                    _ => break,
                }
            }
            self.store.drop_cells(&like.partition(&self.place, self.generation)).await?;
        }
        Ok(())
    }

    /// Takes over from an older generation what the log alone doesn't tell any more: the conversation itself, its members
    /// and invitations. Their cells say up to which event they go.
    pub(super) async fn take_over(&self, old: u32) -> Result<(), StoreError> {
        for (from, to) in [
            (Key::About.partition(&self.place, old), Key::About.partition(&self.place, self.generation)),
            (rows::members(&self.place, old), rows::members(&self.place, self.generation)),
            (rows::invitations(&self.place, old), rows::invitations(&self.place, self.generation)),
        ] {
            let mut at = Bytes::new();
            loop {
                let page = Ask::Range { from: at, to: None, down: false, limit: PAGE };
                let page = self.store.read_rows(&from, page).await?;
                let cells = page.iter().flat_map(|row| {
                    let cells =
                        row.cells.iter().map(|(column, (at, value))| (column.clone(), *at, value.clone()));
                    let key = row.key.clone();
                    cells.map(move |(column, at, value)| Cell {
                        row: key.clone(),
                        column,
                        at,
                        value: Some(value),
                    })
                });
                self.store.write_cells(&to, cells.collect(), Sync::Later).await?;
                match page.last() {
                    Some(last) if page.len() == PAGE => at = [&last.key[..], &[0]].concat().into(),
                    _ => break,
                }
            }
        }
        Ok(())
    }

    async fn fold(&mut self, event: &Event) -> Result<(), StoreError> {
        let body = event.decode().map_err(|e| StoreError::Corrupt(format!("event {}: {e}", event.seq)))?;
        if let Some(body) = body {
            self.know(&touched(&event.sender, event.target, &body)).await?;
            self.watch.check(Invariant::View1, self.rows.expect(event, &body), || {
                let (place, kind) = (self.place.conversation, event.kind);
                format!("conversation {place}: event {} ({kind:?}) doesn't fit the views", event.seq)
            });
            let changes = self.rows.fold(event, &body);
            self.note(changes);
        }
        self.folded = event.seq;
        Ok(())
    }

    fn note(&mut self, changes: Vec<Change>) {
        self.cells += changes.len();
        for (place, cell) in changes {
            let (partition, cell) = match place {
                fold::Place::View(key) => (key.partition(&self.place, self.generation), cell),
                fold::Place::Markers => (Partition::Markers(self.place.clone()), cell),
                fold::Place::Memberships(user) => {
                    let partition = Partition::Memberships(self.place.tenant.clone(), user);
                    (partition, list::membership(&self.place, cell))
                }
                fold::Place::Directory => {
                    (Partition::Directory(self.place.tenant.clone()), directory::entry(&self.place, cell))
                }
                fold::Place::Received(user) => {
                    let partition = Partition::Received(self.place.tenant.clone(), user);
                    (partition, received::entry(&self.place, cell))
                }
            };
            self.waiting.entry(partition).or_default().push(cell);
        }
    }

    /// Whether enough waits to be stored.
    pub fn heavy(&self) -> bool {
        self.cells > WAITING_CELLS || self.rows.held() > 4 * KEPT_ROWS
    }

    /// Stores what was folded, then what it reflects, and lets go of rows beyond those that stay in memory.
    pub async fn flush(&mut self) -> Result<(), StoreError> {
        if self.stored < self.folded {
            self.store_folded().await?;
        }
        // Also when nothing was: commands that are refused load rows too.
        if self.rows.held() > KEPT_ROWS {
            self.rows.forget();
        }
        Ok(())
    }

    async fn store_folded(&mut self) -> Result<(), StoreError> {
        // Kept until all of it is stored: writing it again changes nothing. In the partitions' order, of which the first
        // says what the conversation is: see [`Self::know`].
        for (partition, cells) in &self.waiting {
            self.store.write_cells(partition, last_of_each(cells), Sync::Later).await?;
        }
        store_reflects(&*self.store, &self.place, self.generation, self.folded).await?;
        self.waiting.clear();
        self.cells = 0;
        self.stored = self.folded;
        Ok(())
    }

    /// What the conversation is, from the store. Call after [`Self::flush`], like all reads below.
    pub async fn about(&self) -> Result<Option<About>, StoreError> {
        rows::main_cell(self.read(&Key::About).await?.as_ref())
    }

    /// A user's row, from the store.
    pub async fn member(&self, user: &crate::domain::User) -> Result<Option<Member>, StoreError> {
        rows::main_cell(self.read(&Key::Member(user.clone())).await?.as_ref())
    }

    /// An invitation, from the store.
    pub async fn invitation(&self, seq: Seq) -> Result<Option<Invitation>, StoreError> {
        rows::main_cell(self.read(&Key::Invitation(seq)).await?.as_ref())
    }

    async fn read(&self, key: &Key) -> Result<Option<Row>, StoreError> {
        let partition = key.partition(&self.place, self.generation);
        Ok(self.store.read_rows(&partition, Ask::Keys(vec![key.row()])).await?.pop())
    }

    /// Members' rows, from the store.
    pub async fn read_members(&self, ask: Ask) -> Result<Vec<Row>, StoreError> {
        self.store.read_rows(&rows::members(&self.place, self.generation), ask).await
    }

    /// Rows of the view that a key is in, from the store.
    pub async fn read_rows(&self, like: &Key, ask: Ask) -> Result<Vec<Row>, StoreError> {
        self.store.read_rows(&like.partition(&self.place, self.generation), ask).await
    }
}

fn last_of_each(cells: &[Cell]) -> Vec<Cell> {
    let mut last: Vec<&Cell> = cells.iter().rev().collect();
    last.sort_by_key(|cell| (&cell.row, &cell.column));
    last.dedup_by_key(|cell| (&cell.row, &cell.column));
    last.into_iter().cloned().collect()
}

/// The generation in force, and what it reflects.
pub(super) async fn in_force(store: &dyn Store, place: &Place) -> Result<(u32, Seq), StoreError> {
    let row = store.read_rows(&Partition::Reflects(place.clone()), Ask::Keys(vec![REFLECTS])).await?.pop();
    let Some(row) = row else { return Ok((0, 0)) };
    let generation = row.cells.get(&GENERATION).map_or(0, |(at, _)| *at as u32);
    let reflects = row.cells.get(&column_of(generation)).map_or(0, |(at, _)| *at);
    Ok((generation, reflects))
}

/// Says what a generation reflects.
pub(super) async fn store_reflects(
    store: &dyn Store,
    place: &Place,
    generation: u32,
    reflects: Seq,
) -> Result<(), StoreError> {
    let cell = Cell { row: REFLECTS, column: column_of(generation), at: reflects, value: Some(Bytes::new()) };
    store.write_cells(&Partition::Reflects(place.clone()), vec![cell], Sync::Later).await
}

/// Puts a generation in force.
pub(super) async fn enforce(store: &dyn Store, place: &Place, generation: u32) -> Result<(), StoreError> {
    let cell =
        Cell { row: REFLECTS, column: GENERATION, at: u64::from(generation), value: Some(Bytes::new()) };
    store.write_cells(&Partition::Reflects(place.clone()), vec![cell], Sync::Now).await
}

fn column_of(generation: u32) -> Bytes {
    format!("r{generation}").into()
}
