//! A store that does on purpose, by chance, what a real one does now and then: it refuses, is slow, doesn't say what came
//! of a write, does it later than anybody expects, and shows plain reads less than it will have done.
//!
//! - [`data`]: what it holds, and what conditions mean. [`met`]: what rarely meets at a condition. - here: what goes wrong on the
//!   way.
//!
//! Every node has a connection of its own, at whose calls it may die: before the call, or after it took effect.

mod data;
mod met;

use crate::{fate::Fate, gate::Gate, rare::Rare, trouble::Trouble};
use async_trait::async_trait;
pub use data::{Data, Stored};
use nexus_core::{
    domain::{ClientId, Event, Place, Seq, User},
    store::{
        Bucket, Cell, Commit, Dedupe, IndexRow, Order, Outcome, Partition, Read, Row, Rows, Statics, Store,
        StoreError, Sync,
    },
};
use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::time::sleep;

/// How long a node waits for an answer.
const DEADLINE: Duration = Duration::from_secs(8);

/// What all nodes share.
pub struct Model {
    data: Mutex<Data>,
    /// What becomes of the next conditional write, if a story says so.
    next: Mutex<Option<Mishap>>,
}

/// A node's connection to it.
pub struct Connection {
    model: Arc<Model>,
    gate: Gate,
}

/// What becomes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    None,
    Refused,
    /// Unknown, but done.
    Done,
    /// Unknown, and never done.
    Never,
    /// Unknown, and ended one way or the other by whoever looks next.
    InDoubt,
    /// Unknown, and done after so long, if its condition holds then.
    Late(Duration),
    /// Done only after so long, if its condition holds then: the node stood still before it asked.
    Pause(Duration),
}

impl Model {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { data: Mutex::default(), next: Mutex::default() })
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap()
    }

    /// Damages what is stored.
    pub fn damage(&self, how: impl FnOnce(&mut Data)) {
        how(&mut self.data());
    }

    pub fn connect(self: &Arc<Self>, gate: Gate) -> Arc<dyn Store> {
        Arc::new(Connection { model: self.clone(), gate })
    }

    /// Says what becomes of the next conditional write.
    pub fn next(&self, mishap: Mishap) {
        *self.next.lock().unwrap() = Some(mishap);
    }

    /// Whether that has happened to one.
    pub fn happened(&self) -> bool {
        self.next.lock().unwrap().is_none()
    }

    /// The truth about a log: all that is done or decided.
    pub fn log(&self, place: &Place) -> Vec<Event> {
        self.data().log(place)
    }

    /// Where a log truly ends.
    pub fn end(&self, place: &Place) -> Seq {
        let data = self.data();
        let last = data.buckets_of(place).last().and_then(|(_, stored)| stored.ahead().statics);
        last.map_or(0, |statics| statics.last_seq)
    }

    /// Where the dropped buckets of a log ended; `None`: none was.
    pub fn dropped_to(&self, place: &Place) -> Option<Seq> {
        self.data().dropped_to(place)
    }

    /// Buckets in order, each with what is stored of it and whether the index names it.
    pub fn buckets(&self, place: &Place) -> Vec<(Seq, Statics, bool)> {
        let data = self.data();
        let rows = data.index.get(place);
        let named = |first| rows.is_some_and(|rows| rows.contains_key(&first));
        let all = data.buckets_of(place);
        all.filter_map(|(b, stored)| Some((b.first, stored.ahead().statics?, named(b.first)))).collect()
    }
}

impl Connection {
    fn fate(&self) -> &Fate {
        &self.gate.fate
    }

    fn coin(&self) -> bool {
        self.fate().percent(50)
    }

    /// The way there: it takes time, and the node may die on it.
    async fn go(&self, call: &str) {
        self.gate.pass(call).await;
        let fate = self.fate();
        if fate.percent(fate.weather().slow) {
            let time = fate.ms(500..14_000);
            fate.note(|| format!("{}: {call} takes {time:?}", self.gate.name));
            sleep(time).await;
        } else if fate.percent(50) {
            sleep(fate.ms(1..8)).await;
        }
        self.gate.pass(call).await;
    }

    /// The way back. `false`: no answer arrives.
    async fn back(&self, call: &str) -> bool {
        self.gate.pass(call).await;
        let fate = self.fate();
        if fate.percent(25) {
            sleep(fate.ms(1..8)).await;
            self.gate.pass(call).await;
        }
        let cut = Trouble::StoreCut(self.gate.node);
        let arrives = !fate.troubles.lasts(cut);
        if !arrives {
            fate.troubles.over(cut, DEADLINE).await;
        }
        arrives
    }

    /// Whether a call reaches the store; if not now, what becomes of a write.
    async fn reach(&self, call: &str) -> Option<Mishap> {
        let (fate, cut) = (self.fate(), Trouble::StoreCut(self.gate.node));
        if !fate.troubles.over(cut, fate.ms(100..4000)).await {
            fate.note(|| format!("{}: {call} doesn't reach the store", self.gate.name));
            return Some(Mishap::Never);
        }
        if !fate.troubles.over(Trouble::StoreStands, DEADLINE).await {
            let left = fate.troubles.left(Trouble::StoreStands).unwrap_or_default();
            return Some(Mishap::Late(left + fate.ms(1..100)));
        }
        None
    }

    async fn read<R>(&self, call: &str, look: impl FnOnce(&mut Data) -> R) -> Result<R, StoreError> {
        self.go(call).await;
        let reached = self.reach(call).await.is_none();
        if !reached || self.fate().percent(self.fate().weather().refused) {
            self.fate().note(|| format!("{}: {call} fails", self.gate.name));
            return Err(StoreError::Unavailable("no replicas".into()));
        }
        let found = look(&mut self.model.data());
        if !self.back(call).await {
            return Err(StoreError::Unavailable("no answer in time".into()));
        }
        Ok(found)
    }

    fn mishap(&self) -> Mishap {
        let fate = self.fate();
        if fate.percent(fate.weather().refused) {
            return Mishap::Refused;
        }
        if !fate.percent(fate.weather().unknown) {
            return Mishap::None;
        }
        match fate.below(4) {
            0 => Mishap::Done,
            1 => Mishap::Never,
            2 => Mishap::InDoubt,
            _ => Mishap::Late(fate.ms(1..120_000)),
        }
    }

    async fn unknown<R>(&self, call: &str, mishap: Mishap) -> Result<R, StoreError> {
        self.fate().note(|| format!("{}: {call} is {mishap:?}", self.gate.name));
        if mishap == Mishap::Refused {
            return Err(StoreError::Unavailable("no replicas".into()));
        }
        sleep(self.fate().ms(10..3000)).await;
        self.back(call).await;
        Err(StoreError::Unknown("no answer in time".into()))
    }

    async fn write(
        &self,
        call: &'static str,
        change: impl FnOnce(&mut Data) + Send + 'static,
    ) -> Result<(), StoreError> {
        self.go(call).await;
        let mishap = self.reach(call).await.unwrap_or_else(|| self.mishap());
        match mishap {
            Mishap::Refused | Mishap::Never => return self.unknown(call, mishap).await,
            Mishap::None | Mishap::Done | Mishap::InDoubt | Mishap::Pause(_) => {
                change(&mut self.model.data())
            }
            Mishap::Late(late) => {
                let model = self.model.clone();
                tokio::spawn(async move {
                    sleep(late).await;
                    change(&mut model.data());
                });
            }
        }
        if mishap != Mishap::None || !self.back(call).await {
            return self.unknown(call, mishap).await;
        }
        Ok(())
    }

    /// A bucket as a read sees it.
    fn seen(&self, data: &mut Data, bucket: &Bucket, read: Read) -> Stored {
        if read == Read::Serial {
            data.settle(bucket, self.coin());
        }
        let Some(stored) = data.buckets.get(bucket) else { return Stored::default() };
        if self.coin() { stored.ahead() } else { stored.clone() }
    }

    fn describe(&self, bucket: &Bucket, commit: &Commit, what: &str) {
        self.fate().note(|| {
            let ids: Vec<String> = commit.dedupe.iter().map(|(_, id, _)| short(*id)).collect();
            let seqs = commit.events.first().map(|event| (event.seq, commit.statics.last_seq));
            let seal = if commit.statics.closed { ", sealing" } else { "" };
            let place = short_place(&bucket.place);
            format!("{}: {place}/{} append {seqs:?} {ids:?}{seal}: {what}", self.gate.name, bucket.first)
        });
    }
}

/// The end of an id, by which people tell it apart.
pub fn short(id: ClientId) -> String {
    format!("{:x}", id.0.as_u128() & 0xffff)
}

/// The same of a conversation.
pub fn short_place(place: &Place) -> String {
    format!("c{:x}", place.conversation.0.as_u128() & 0xff)
}

#[async_trait]
impl Store for Connection {
    async fn put_index(&self, place: &Place, row: IndexRow) -> Result<(), StoreError> {
        let place = place.clone();
        let put = move |data: &mut Data| {
            data.index.entry(place).or_default().insert(row.first, row);
        };
        self.write("put_index", put).await
    }

    async fn index(&self, place: &Place, at_most: Seq, limit: usize) -> Result<Vec<IndexRow>, StoreError> {
        let rows = |data: &mut Data| {
            let rows = data.index.get(place).map(|rows| rows.range(..=at_most).rev().take(limit));
            rows.map(|rows| rows.map(|(_, row)| *row).collect()).unwrap_or_default()
        };
        self.read("index", rows).await
    }

    async fn statics(&self, bucket: &Bucket, read: Read) -> Result<Option<Statics>, StoreError> {
        self.read("statics", |data| self.seen(data, bucket, read).statics).await
    }

    async fn commit(&self, bucket: &Bucket, commit: Commit) -> Result<Outcome, StoreError> {
        commit.check(bucket)?;
        let (end, stood, by) = (self.model.end(&bucket.place), self.gate.stood(), self.gate.node);
        // Between the look at the log's end and the append is where it hurts.
        if self.fate().weather().troubles && self.fate().percent(1) {
            self.fate().troubles.begin(Trouble::NodeStands(by), self.fate().ms(500..20_000));
        }
        self.go("commit").await;
        if self.gate.stood() > stood && self.model.end(&bucket.place) > end {
            self.fate().saw(Rare::StoodAndOvertaken);
        }
        let said = self.model.next.lock().unwrap().take();
        let mishap = match self.reach("commit").await {
            Some(mishap) => {
                let stands = matches!(mishap, Mishap::Late(_));
                self.fate().saw(if stands { Rare::StoreStands } else { Rare::StoreCutBefore });
                mishap
            }
            None => said.unwrap_or_else(|| self.mishap()),
        };
        self.describe(bucket, &commit, &format!("{mishap:?}"));
        match mishap {
            Mishap::Refused | Mishap::Never => return self.unknown("commit", mishap).await,
            Mishap::Done => {
                self.commits(bucket, commit, false);
                return self.unknown("commit", mishap).await;
            }
            Mishap::InDoubt => {
                self.model.data().take_off(bucket, commit, by, false, self.coin());
                return self.unknown("commit", mishap).await;
            }
            Mishap::Late(late) => {
                let late_one = Connection { model: self.model.clone(), gate: self.gate.clone() };
                let bucket = bucket.clone();
                tokio::spawn(async move {
                    sleep(late).await;
                    let outcome = late_one.commits(&bucket, commit.clone(), true);
                    late_one.describe(&bucket, &commit, &format!("late, {outcome:?}"));
                });
                return self.unknown("commit", mishap).await;
            }
            Mishap::Pause(long) => sleep(long).await,
            Mishap::None => {}
        }
        if !self.fate().percent(self.fate().weather().in_flight) {
            let outcome = self.commits(bucket, commit, false);
            if !self.back("commit").await {
                self.fate().saw(Rare::StoreCutAfter);
                return self.unknown("commit", Mishap::Done).await;
            }
            return Ok(outcome);
        }
        let ticket = self.model.data().take_off(bucket, commit, by, true, self.coin());
        sleep(self.fate().ms(1..200)).await;
        // Whether its node is there to hear of it or not.
        if let Some(ticket) = ticket {
            self.model.data().land(bucket, ticket);
        }
        if !self.back("commit").await {
            self.fate().saw(Rare::StoreCutAfter);
            return self.unknown("commit", Mishap::Done).await;
        }
        Ok(if ticket.is_some() { Outcome::Applied } else { Outcome::Refused })
    }

    async fn dedupe(
        &self,
        bucket: &Bucket,
        ids: &[(User, ClientId)],
        read: Read,
    ) -> Result<Vec<Option<Dedupe>>, StoreError> {
        let find = |data: &mut Data| {
            let seen = self.seen(data, bucket, read);
            ids.iter().map(|key| seen.dedupe.get(key).copied()).collect()
        };
        self.read("dedupe", find).await
    }

    async fn events(
        &self,
        bucket: &Bucket,
        from: Seq,
        to: Seq,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let page = |data: &mut Data| self.seen(data, bucket, Read::Quorum).page(from, to, order, limit);
        self.read("events", page).await
    }

    async fn blank(&self, _: &Bucket, _: &[Seq]) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("erasing is not simulated".into()))
    }

    async fn drop_bucket(&self, bucket: &Bucket) -> Result<(), StoreError> {
        let (bucket, coin) = (bucket.clone(), self.coin());
        self.fate()
            .note(|| format!("{}: {}/{} goes", self.gate.name, short_place(&bucket.place), bucket.first));
        self.write("drop_bucket", move |data| data.drop_bucket(&bucket, coin)).await
    }

    async fn put_recent(&self, lane: u16, minute: i64, place: &Place) -> Result<(), StoreError> {
        let row = (lane, minute, place.clone());
        let put = move |data: &mut Data| {
            data.recent.insert(row);
        };
        self.write("put_recent", put).await
    }

    async fn recent(
        &self,
        lane: u16,
        minute: i64,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Place>, StoreError> {
        // Read by the thousand: it is only slow, and fails, where it finds something.
        let rows: Vec<Place> = {
            let data = self.model.data();
            let all = data
                .recent
                .range((lane, minute, first())..)
                .take_while(|row| row.0 == lane && row.1 == minute);
            let rows = all.filter(|row| after.is_none_or(|after| row.2 > *after));
            rows.take(limit).map(|row| row.2.clone()).collect()
        };
        if rows.is_empty() { Ok(rows) } else { self.read("recent", |_| rows).await }
    }

    async fn write_cells(&self, partition: &Partition, cells: Vec<Cell>, _: Sync) -> Result<(), StoreError> {
        let partition = partition.clone();
        self.write("write_cells", move |data| data.write(&partition, cells)).await
    }

    async fn read_rows(&self, partition: &Partition, rows: Rows) -> Result<Vec<Row>, StoreError> {
        self.read("read_rows", |data| data.rows(partition, rows)).await
    }

    async fn drop_cells(&self, partition: &Partition) -> Result<(), StoreError> {
        let partition = partition.clone();
        self.write("drop_cells", move |data| drop(data.cells.remove(&partition))).await
    }

    async fn places(&self, after: Option<&Place>, limit: usize) -> Result<Vec<Place>, StoreError> {
        let places = |data: &mut Data| {
            let all = data.index.keys().filter(|place| after.is_none_or(|after| *place > after));
            all.take(limit).cloned().collect()
        };
        self.read("places", places).await
    }
}

/// The place that sorts before all others.
fn first() -> Place {
    use nexus_core::domain::{ConversationId, Tenant};
    Place { tenant: Tenant::lowest(), conversation: ConversationId(uuid::Uuid::nil()) }
}
