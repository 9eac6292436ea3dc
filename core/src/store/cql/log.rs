//! The log: buckets, their index, and the conversations that were appended to.

use super::{
    CqlStore,
    batch::{Values, key, signed},
    error::{after_a_part, corrupt},
    values,
};
use crate::{
    domain::{ClientId, Event, Place, Seq, User},
    store::{Bucket, Commit, Dedupe, Floor, IndexRow, Limits, Order, Outcome, Read, Statics, StoreError},
};
use scylla::{
    response::query_result::QueryRowsResult,
    statement::{batch::BatchStatement, prepared::PreparedStatement},
};
use std::{collections::HashMap, ops::ControlFlow};
use uuid::Uuid;

/// Keys that one read names. ScyllaDB takes 100 by default.
pub const KEYS: usize = 100;
/// Times that blanking looks again after somebody else blanked meanwhile.
const BLANK_ROUNDS: usize = 8;

type StaticsRow = (
    Option<i64>,
    Option<bool>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<(i64, i64, i64)>,
);

impl CqlStore {
    pub(super) async fn read_statics(
        &self,
        bucket: &Bucket,
        read: Read,
    ) -> Result<Option<Statics>, StoreError> {
        let both = &self.statements.statics;
        let statement = if read == Read::Serial { &both.serial } else { &both.quorum };
        let rows = self.client.rows(statement, key(bucket)).await?;
        let row = rows.maybe_first_row::<StaticsRow>().map_err(|error| corrupt("static columns", error))?;
        let Some((
            Some(last_seq),
            closed,
            opened_at,
            last_at,
            id_max,
            members_at,
            messages,
            bytes,
            window,
            events,
            size,
            floor,
        )) = row
        else {
            return Ok(None);
        };
        let some = |column: Option<i64>| column.ok_or_else(|| corrupt("static columns", "one is missing"));
        let number = |column| values::unsigned("static columns", some(column)?);
        Ok(Some(Statics {
            last_seq: values::unsigned("static columns", last_seq)?,
            closed: closed.unwrap_or(false),
            opened_at: some(opened_at)?,
            last_at: some(last_at)?,
            id_max: some(id_max)?,
            members_at: number(members_at)?,
            messages: number(messages)?,
            bytes: number(bytes)?,
            limits: Limits { window_ms: some(window)?, events: number(events)?, bytes: number(size)? },
            floor: match floor {
                Some((seq, id_max, messages)) => Floor {
                    seq: values::unsigned("static columns", seq)?,
                    id_max,
                    messages: values::unsigned("static columns", messages)?,
                },
                None => Floor::default(),
            },
        }))
    }

    pub(super) async fn append(&self, bucket: &Bucket, commit: &Commit) -> Result<Outcome, StoreError> {
        commit.check(bucket)?;
        let s = &self.statements;
        let update = if commit.statics.closed { &s.seal } else { &s.update };
        let size = 1 + commit.events.len() + commit.dedupe.len();
        let (mut statements, mut values) = (Vec::with_capacity(size), Vec::with_capacity(size));
        let mut add = |statement: &PreparedStatement, row| {
            statements.push(BatchStatement::from(statement.clone()));
            values.push(row);
        };
        // First: the driver finds the node by it, and it's what the others depend on.
        add(update, Values::Update(bucket, commit));
        for event in &commit.events {
            add(&s.event, Values::Event(bucket, event));
        }
        for (user, id, row) in &commit.dedupe {
            add(&s.dedupe, Values::Dedupe(bucket, user.as_str(), id.0, row));
        }
        let applied = self.client.conditional(statements, values).await?;
        Ok(if applied { Outcome::Applied } else { Outcome::Refused })
    }

    pub(super) async fn read_dedupe(
        &self,
        bucket: &Bucket,
        ids: &[(User, ClientId)],
        read: Read,
    ) -> Result<Vec<Option<Dedupe>>, StoreError> {
        let both = &self.statements.deduped;
        let statement = if read == Read::Serial { &both.serial } else { &both.quorum };
        let mut found: HashMap<(String, Uuid), Dedupe> = HashMap::with_capacity(ids.len());
        for some in ids.chunks(KEYS) {
            let (tenant, conversation, first) = key(bucket);
            let keys: Vec<(i8, i64, &str, Uuid)> =
                some.iter().map(|(user, id)| (1, 0, user.as_str(), id.0)).collect();
            let rows = self.client.rows(statement, (tenant, conversation, first, keys)).await?;
            let rows = rows.rows::<(String, Uuid, i64, i64, &[u8])>();
            for row in rows.map_err(|error| corrupt("dedupe rows", error))? {
                let (user, id, became, time_ms, digest) =
                    row.map_err(|error| corrupt("dedupe row", error))?;
                let digest =
                    digest.try_into().map_err(|_| corrupt("dedupe row", "its digest isn't 32 bytes"))?;
                let row = Dedupe { seq: values::unsigned("dedupe row", became)?, time_ms, digest };
                found.insert((user, id), row);
            }
        }
        Ok(ids.iter().map(|(user, id)| found.get(&(user.as_str().to_owned(), id.0)).copied()).collect())
    }

    pub(super) async fn read_events(
        &self,
        bucket: &Bucket,
        (from, to): (Seq, Seq),
        order: Order,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        if from > to || limit == 0 {
            return Ok(Vec::new());
        }
        let statement = match order {
            Order::Up => &self.statements.events_up,
            Order::Down => &self.statements.events_down,
        };
        let (tenant, conversation, first) = key(bucket);
        let asked = (tenant, conversation, first, signed(from), signed(to), most(limit));
        let mut events = Vec::new();
        let page = |rows: &QueryRowsResult| {
            for row in rows.rows::<values::EventRow<'_>>().map_err(|error| corrupt("events", error))? {
                events.push(values::event(row.map_err(|error| corrupt("event", error))?)?);
            }
            Ok(ControlFlow::Continue(()))
        };
        self.client.pages(statement, asked, page).await?;
        Ok(events)
    }

    /// Conditional, as every write to the log: a plain one would be ordered by clocks, not by the log.
    pub(super) async fn blank_events(&self, bucket: &Bucket, seqs: &[Seq]) -> Result<(), StoreError> {
        let mut began = false;
        for some in seqs.chunks(KEYS) {
            let done = self.blank_some(bucket, some, &mut began).await;
            done.map_err(|error| if began { after_a_part(error) } else { error })?;
        }
        Ok(())
    }

    async fn blank_some(&self, bucket: &Bucket, seqs: &[Seq], began: &mut bool) -> Result<(), StoreError> {
        for _ in 0..BLANK_ROUNDS {
            // One that isn't there, or is erased, would refuse the whole batch.
            let (tenant, conversation, first) = key(bucket);
            let asked: Vec<i64> = seqs.iter().copied().map(signed).collect();
            let mut left = Vec::new();
            let page = |rows: &QueryRowsResult| {
                for row in rows.rows::<(i64, Option<bool>)>().map_err(|error| corrupt("events", error))? {
                    let (seq, erased) = row.map_err(|error| corrupt("event", error))?;
                    if erased == Some(false) {
                        left.push(values::unsigned("event", seq)?);
                    }
                }
                Ok(ControlFlow::Continue(()))
            };
            let asked = (tenant, conversation, first, asked);
            self.client.pages(&self.statements.unerased, asked, page).await?;
            if left.is_empty() {
                return Ok(());
            }
            let statements = left.iter().map(|_| self.statements.blank.clone().into()).collect();
            let values = left.iter().map(|seq| Values::Blank(bucket, *seq)).collect();
            if self.client.conditional(statements, values).await? {
                *began = true;
                return Ok(());
            }
        }
        Err(StoreError::Unknown("others blank the same events all the time".into()))
    }

    pub(super) async fn delete_bucket(&self, bucket: &Bucket) -> Result<(), StoreError> {
        // In this order: the index may name a bucket that is gone, but never miss one that is there.
        self.client.write(&self.statements.drop_bucket, key(bucket)).await?;
        self.client.write(&self.statements.drop_index, key(bucket)).await.map_err(after_a_part)
    }

    pub(super) async fn write_index(&self, place: &Place, row: IndexRow) -> Result<(), StoreError> {
        let (tenant, conversation) = (place.tenant.as_str(), place.conversation.0);
        let row = (tenant, conversation, signed(row.first), row.opened_at);
        self.client.write(&self.statements.put_index, row).await
    }

    pub(super) async fn read_index(
        &self,
        place: &Place,
        at_most: Seq,
        limit: usize,
    ) -> Result<Vec<IndexRow>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let asked = (place.tenant.as_str(), place.conversation.0, signed(at_most), most(limit));
        let mut found = Vec::new();
        let page = |rows: &QueryRowsResult| {
            for row in rows.rows::<(i64, i64)>().map_err(|error| corrupt("index rows", error))? {
                let (first, opened_at) = row.map_err(|error| corrupt("index row", error))?;
                found.push(IndexRow { first: values::unsigned("index row", first)?, opened_at });
            }
            Ok(ControlFlow::Continue(()))
        };
        self.client.pages(&self.statements.index, asked, page).await?;
        Ok(found)
    }

    pub(super) async fn write_recent(&self, lane: u16, minute: i64, place: &Place) -> Result<(), StoreError> {
        let conversation = place.conversation.0.as_bytes().as_slice();
        let row = (lane.cast_signed(), minute, place.tenant.as_str(), conversation);
        self.client.write(&self.statements.put_recent, row).await
    }

    pub(super) async fn read_recent(
        &self,
        lane: u16,
        minute: i64,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Place>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        // Before all others: no name is empty.
        let (tenant, conversation) = match after {
            Some(place) => (place.tenant.as_str(), place.conversation.0.as_bytes().as_slice()),
            None => ("", [].as_slice()),
        };
        let asked = (lane.cast_signed(), minute, tenant, conversation, most(limit));
        let mut places = Vec::new();
        let page = |rows: &QueryRowsResult| {
            for row in rows.rows::<(&str, &[u8])>().map_err(|error| corrupt("recent rows", error))? {
                let (tenant, id) = row.map_err(|error| corrupt("recent row", error))?;
                let id = Uuid::from_slice(id).map_err(|error| corrupt("recent row", error))?;
                places.push(values::place(tenant, id)?);
            }
            Ok(ControlFlow::Continue(()))
        };
        self.client.pages(&self.statements.recent, asked, page).await?;
        Ok(places)
    }

    /// In the order of tokens, and of keys where those are equal.
    pub(super) async fn read_places(
        &self,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Place>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        // How the database orders keys of one token: by their bytes, which begin with the tenant's length.
        let order = |place: &Place| (place.tenant.as_str().len(), place.clone());
        let past = after.map(order);
        let s = &self.statements;
        let token = match after {
            Some(place) => {
                let row = (place.tenant.as_str(), place.conversation.0, 1i64, 0i64);
                let token = s.put_index.calculate_token(&row);
                let token = token.map_err(|error| StoreError::Unavailable(error.to_string()))?;
                token.map(|token| token.value())
            }
            None => None,
        };
        let mut places = Vec::new();
        let page = |rows: &QueryRowsResult| {
            for row in rows.rows::<(&str, Uuid, i64)>().map_err(|error| corrupt("conversations", error))? {
                let (tenant, id, at) = row.map_err(|error| corrupt("conversation", error))?;
                let place = values::place(tenant, id)?;
                if Some(at) == token && past.as_ref().is_some_and(|past| order(&place) <= *past) {
                    continue;
                }
                places.push(place);
                if places.len() == limit {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        match after {
            Some(place) => {
                let asked = (place.tenant.as_str(), place.conversation.0);
                self.client.pages(&s.places, asked, page).await?;
            }
            None => self.client.pages(&s.all_places, (), page).await?,
        }
        Ok(places)
    }
}

/// A limit as the database has it.
fn most(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}
