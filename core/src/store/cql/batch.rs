//! Conditional batches: all statements on one partition, the one that finds the node first.

use super::{client::Client, error};
use crate::{
    domain::{Event, Seq},
    store::{Bucket, Commit, Dedupe, StoreError},
};
use scylla::{
    deserialize::row::ColumnIterator,
    errors::SerializationError,
    policies::retry::FallthroughRetryPolicy,
    response::query_result::QueryResult,
    serialize::{
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
    statement::batch::{Batch, BatchStatement, BatchType},
};
use std::sync::Arc;
use uuid::Uuid;

/// The values of one statement.
pub enum Values<'a> {
    /// The static columns, under the condition.
    Update(&'a Bucket, &'a Commit),
    /// An event.
    Event(&'a Bucket, &'a Event),
    /// A dedupe row: its user, its id, and what it became.
    Dedupe(&'a Bucket, &'a str, Uuid, &'a Dedupe),
    /// An event to blank.
    Blank(&'a Bucket, Seq),
}

/// A bucket's key as values.
pub fn key(bucket: &Bucket) -> (&str, Uuid, i64) {
    (bucket.place.tenant.as_str(), bucket.place.conversation.0, signed(bucket.first))
}

/// A number as the database has it. No log comes near what doesn't fit; a bound that doesn't is as good as the last.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl SerializeRow for Values<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        match self {
            Self::Update(bucket, Commit { expect, statics: s, .. }) => {
                let (tenant, conversation, first) = key(bucket);
                (
                    signed(s.last_seq),
                    s.opened_at,
                    s.last_at,
                    s.id_max,
                    signed(s.members_at),
                    signed(s.messages),
                    signed(s.bytes),
                    s.limits.window_ms,
                    signed(s.limits.events),
                    signed(s.limits.bytes),
                    (signed(s.floor.seq), s.floor.id_max, signed(s.floor.messages)),
                    tenant,
                    conversation,
                    first,
                    expect.map(signed),
                )
                    .serialize(context, writer)
            }
            Self::Event(bucket, event) => {
                let (tenant, conversation, first) = key(bucket);
                (
                    tenant,
                    conversation,
                    first,
                    signed(event.seq),
                    event.id.map(|id| id.0),
                    event.sender.as_str(),
                    i16::from(event.kind.0),
                    event.time_ms,
                    signed(event.target),
                    signed(event.messages),
                    event.erased,
                    event.body.as_ref(),
                )
                    .serialize(context, writer)
            }
            Self::Dedupe(bucket, user, id, row) => {
                let (tenant, conversation, first) = key(bucket);
                let became = (signed(row.seq), row.time_ms, row.digest.as_slice());
                (tenant, conversation, first, *user, *id, became.0, became.1, became.2)
                    .serialize(context, writer)
            }
            Self::Blank(bucket, seq) => {
                let (tenant, conversation, first) = key(bucket);
                (tenant, conversation, first, signed(*seq)).serialize(context, writer)
            }
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

impl Client {
    /// Makes a conditional batch, once. Whether it was applied.
    pub async fn conditional(
        &self,
        statements: Vec<BatchStatement>,
        values: Vec<Values<'_>>,
    ) -> Result<bool, StoreError> {
        // Logged or not makes no difference to a conditional batch; only an unlogged one can't be mistaken for one
        // that spans partitions.
        let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
        batch.set_consistency(self.levels.quorum);
        batch.set_serial_consistency(Some(self.levels.serial));
        batch.set_is_idempotent(false);
        batch.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy::new())));
        batch.set_load_balancing_policy(Some(self.levels.conditional.clone()));
        let result = self.session.batch(&batch, values).await.map_err(error::write)?;
        applied(result)
    }
}

/// `[applied]` of a conditional statement's answer, and nothing else of it. ScyllaDB answers with a row for each
/// statement, Cassandra with one or with those that stood in the way; the first column is the same in all of them.
pub fn applied(result: QueryResult) -> Result<bool, StoreError> {
    // The write was decided, only how is not known.
    let unknown = |why: String| StoreError::Unknown(format!("the answer to a conditional write: {why}"));
    let rows = result.into_rows_result().map_err(|error| unknown(error.to_string()))?;
    let first = rows.first_row::<ColumnIterator<'_, '_>>().map_err(|error| unknown(error.to_string()))?;
    let column = { first }.next().ok_or_else(|| unknown("it has no columns".into()))?;
    let column = column.map_err(|error| unknown(error.to_string()))?;
    match (column.spec.name(), column.slice.map(|slice| slice.as_slice())) {
        ("[applied]", Some([0])) => Ok(false),
        ("[applied]", Some([_])) => Ok(true),
        (name, _) => Err(unknown(format!("it begins with {name}"))),
    }
}
