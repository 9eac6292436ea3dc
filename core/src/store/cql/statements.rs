//! Every statement, prepared once.

use super::{levels::Levels, migrations, refused::OpenError, retry::SerialReads};
use scylla::{
    client::session::Session, policies::retry::FallthroughRetryPolicy, statement::prepared::PreparedStatement,
};
use std::sync::Arc;

/// Rows of one page of a read.
const PAGE_ROWS: i32 = 1000;
/// A partition of [`migrations::LOG`], and of [`migrations::CELLS`].
const BUCKET: &str = "tenant = ? AND conversation = ? AND bucket = ?";
const PARTITION: &str =
    "kind = ? AND tenant = ? AND owner = ? AND generation = ? AND view_no = ? AND part = ?";

/// A read in its two strengths.
pub struct Both {
    /// Sees every acknowledged write.
    pub quorum: PreparedStatement,
    /// Also settles what is under way.
    pub serial: PreparedStatement,
}

/// All of them.
pub struct Statements {
    /// Conditional: a bucket's static columns.
    pub update: PreparedStatement,
    /// Conditional: the same, and it closes.
    pub seal: PreparedStatement,
    /// In a conditional batch: an event.
    pub event: PreparedStatement,
    /// In a conditional batch: a dedupe row, if there is none.
    pub dedupe: PreparedStatement,
    /// Conditional: an event loses its body.
    pub blank: PreparedStatement,
    /// A bucket's static columns.
    pub statics: Both,
    /// Dedupe rows of a list of keys.
    pub deduped: Both,
    /// Events, lowest first.
    pub events_up: PreparedStatement,
    /// Events, highest first.
    pub events_down: PreparedStatement,
    /// Of a list of seqs, those that aren't erased.
    pub unerased: PreparedStatement,
    /// Deletes a bucket.
    pub drop_bucket: PreparedStatement,
    /// Writes an index row.
    pub put_index: PreparedStatement,
    /// Deletes an index row.
    pub drop_index: PreparedStatement,
    /// Index rows, newest first.
    pub index: PreparedStatement,
    /// Conversations from a token on.
    pub places: PreparedStatement,
    /// All conversations.
    pub all_places: PreparedStatement,
    /// Notes that a conversation was appended to.
    pub put_recent: PreparedStatement,
    /// The conversations of a minute, after one.
    pub recent: PreparedStatement,
    /// Writes a cell.
    pub put_cell: PreparedStatement,
    /// Deletes a cell.
    pub delete_cell: PreparedStatement,
    /// Deletes a partition of cells.
    pub drop_cells: PreparedStatement,
    /// Cells of a list of rows.
    pub cells_of: PreparedStatement,
    /// Cells from a row on.
    pub cells_up: PreparedStatement,
    /// Cells from the end to a row.
    pub cells_down: PreparedStatement,
    /// Cells from a row to below another.
    pub cells_up_to: PreparedStatement,
    /// Cells from below a row down to another.
    pub cells_down_to: PreparedStatement,
    /// Whether the database answers.
    pub probe: PreparedStatement,
}

impl Statements {
    /// Prepares them.
    pub async fn prepare(session: &Session, keyspace: &str, levels: &Levels) -> Result<Self, OpenError> {
        let make = Make { session, keyspace, levels };
        let sets = "last_seq = ?, opened_at = ?, last_at = ?, id_max = ?, members_at = ?, messages = ?, \
            bytes = ?, window_ms = ?, max_events = ?, max_bytes = ?, floor = ?";
        let condition = "IF last_seq = ? AND closed = null";
        let columns = "seq, request, sender, event_kind, time_ms, target, running, erased, body";
        let events =
            format!("SELECT {columns} FROM {{log}} WHERE {BUCKET} AND part = 0 AND seq >= ? AND seq <= ?");
        let cells = format!("SELECT row_key, name, cell, writetime(cell) FROM {{cells}} WHERE {PARTITION}");
        let (up, down) = ("ORDER BY row_key ASC, name ASC", "ORDER BY row_key DESC, name DESC");
        let (from, to) = ("AND row_key >= ?", "AND row_key >= ? AND row_key < ?");
        Ok(Self {
            update: make.conditional(&format!("UPDATE {{log}} SET {sets} WHERE {BUCKET} {condition}")).await?,
            seal: make
                .conditional(&format!("UPDATE {{log}} SET {sets}, closed = true WHERE {BUCKET} {condition}"))
                .await?,
            event: make
                .conditional(&format!(
                    "INSERT INTO {{log}} (tenant, conversation, bucket, part, owner, id, {columns}) \
                     VALUES (?, ?, ?, 0, '', 00000000-0000-0000-0000-000000000000, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                ))
                .await?,
            dedupe: make
                .conditional(
                    "INSERT INTO {log} (tenant, conversation, bucket, part, seq, owner, id, became, time_ms, digest) \
                     VALUES (?, ?, ?, 1, 0, ?, ?, ?, ?, ?) IF NOT EXISTS",
                )
                .await?,
            blank: make
                .conditional(&format!(
                    "UPDATE {{log}} SET body = null, erased = true WHERE {BUCKET} AND part = 0 AND seq = ? \
                     AND owner = '' AND id = 00000000-0000-0000-0000-000000000000 IF erased = false"
                ))
                .await?,
            statics: make
                .both(&format!(
                    "SELECT DISTINCT last_seq, closed, opened_at, last_at, id_max, members_at, messages, bytes, \
                     window_ms, max_events, max_bytes, floor FROM {{log}} WHERE {BUCKET}"
                ))
                .await?,
            deduped: make
                .both(&format!(
                    "SELECT owner, id, became, time_ms, digest FROM {{log}} \
                     WHERE {BUCKET} AND (part, seq, owner, id) IN ?"
                ))
                .await?,
            events_up: make.plain(&format!("{events} ORDER BY part ASC, seq ASC LIMIT ?")).await?,
            events_down: make.plain(&format!("{events} ORDER BY part DESC, seq DESC LIMIT ?")).await?,
            unerased: make
                .plain(&format!("SELECT seq, erased FROM {{log}} WHERE {BUCKET} AND part = 0 AND seq IN ?"))
                .await?,
            drop_bucket: make.plain(&format!("DELETE FROM {{log}} WHERE {BUCKET}")).await?,
            put_index: make
                .plain("INSERT INTO {buckets} (tenant, conversation, bucket, opened_at) VALUES (?, ?, ?, ?)")
                .await?,
            drop_index: make.plain(&format!("DELETE FROM {{buckets}} WHERE {BUCKET}")).await?,
            index: make
                .plain(
                    "SELECT bucket, opened_at FROM {buckets} \
                     WHERE tenant = ? AND conversation = ? AND bucket <= ? LIMIT ?",
                )
                .await?,
            places: make
                .plain(
                    "SELECT DISTINCT tenant, conversation, token(tenant, conversation) FROM {buckets} \
                     WHERE token(tenant, conversation) >= token(?, ?)",
                )
                .await?,
            all_places: make
                .plain("SELECT DISTINCT tenant, conversation, token(tenant, conversation) FROM {buckets}")
                .await?,
            put_recent: make
                .plain("INSERT INTO {recent} (lane, minute, tenant, conversation) VALUES (?, ?, ?, ?)")
                .await?,
            recent: make
                .plain(
                    "SELECT tenant, conversation FROM {recent} \
                     WHERE lane = ? AND minute = ? AND (tenant, conversation) > (?, ?) LIMIT ?",
                )
                .await?,
            put_cell: make
                .plain(&format!(
                    "UPDATE {{cells}} USING TIMESTAMP ? SET cell = ? WHERE {PARTITION} AND row_key = ? AND name = ?"
                ))
                .await?,
            delete_cell: make
                .plain(&format!(
                    "DELETE cell FROM {{cells}} USING TIMESTAMP ? WHERE {PARTITION} AND row_key = ? AND name = ?"
                ))
                .await?,
            drop_cells: make.plain(&format!("DELETE FROM {{cells}} WHERE {PARTITION}")).await?,
            cells_of: make.plain(&format!("{cells} AND row_key IN ?")).await?,
            cells_up: make.plain(&format!("{cells} {from} {up}")).await?,
            cells_down: make.plain(&format!("{cells} {from} {down}")).await?,
            cells_up_to: make.plain(&format!("{cells} {to} {up}")).await?,
            cells_down_to: make.plain(&format!("{cells} {to} {down}")).await?,
            probe: make.plain("SELECT version FROM {schema_version} WHERE id = 0").await?,
        })
    }
}

/// How a statement is prepared.
struct Make<'a> {
    session: &'a Session,
    keyspace: &'a str,
    levels: &'a Levels,
}

impl Make<'_> {
    /// `{table}` stands for a table of the keyspace.
    async fn any(&self, text: &str) -> Result<PreparedStatement, OpenError> {
        let mut text = text.to_owned();
        for table in migrations::TABLES {
            text = text.replace(&format!("{{{table}}}"), &format!("{}.{table}", self.keyspace));
        }
        let prepared = self.session.prepare(text.as_str()).await;
        let mut prepared =
            prepared.map_err(|error| OpenError::Schema(format!("prepare `{text}`: {error}")))?;
        prepared.set_consistency(self.levels.quorum);
        prepared.set_page_size(PAGE_ROWS);
        Ok(prepared)
    }

    /// One that changes nothing when it is made again: the driver may.
    async fn plain(&self, text: &str) -> Result<PreparedStatement, OpenError> {
        let mut prepared = self.any(text).await?;
        prepared.set_is_idempotent(true);
        Ok(prepared)
    }

    /// One that the driver must never make again by itself.
    async fn conditional(&self, text: &str) -> Result<PreparedStatement, OpenError> {
        let mut prepared = self.any(text).await?;
        prepared.set_is_idempotent(false);
        prepared.set_serial_consistency(Some(self.levels.serial));
        prepared.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy::new())));
        prepared.set_load_balancing_policy(Some(self.levels.conditional.clone()));
        Ok(prepared)
    }

    async fn both(&self, text: &str) -> Result<Both, OpenError> {
        let quorum = self.plain(text).await?;
        let mut serial = quorum.clone();
        serial.set_consistency(self.levels.settling());
        serial.set_retry_policy(Some(Arc::new(SerialReads)));
        Ok(Both { quorum, serial })
    }
}
