//! The tables, and how they come to be.
//!
//! Several nodes may start at once on an empty cluster. The table [`VERSION`] says which version the schema has; a
//! node that finds an older one takes the row's lock by a conditional write, makes what is missing, and notes the
//! version by another. The lock expires by itself if its holder dies; every statement can be made again. On Cassandra
//! each table is made under an id that follows from its name, so that even two nodes that make it at the same time
//! make the same one.

use super::{
    levels::Levels,
    migrations::{self, CURRENT, Change, RECENT, TABLES, VERSION},
    options::{Options, Scope},
    refused::OpenError,
    server,
};
use crate::domain::hash::Fields;
use scylla::{
    client::session::Session,
    errors::ExecutionError,
    policies::retry::FallthroughRetryPolicy,
    response::query_result::QueryRowsResult,
    serialize::row::SerializeRow,
    statement::{Consistency, Statement},
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// Replicas without which the loss of one node may lose what was acknowledged, or stop everything.
const LEAST_REPLICAS: u32 = 3;
/// Seconds after which a dead node's lock is free.
const LOCK_SECONDS: i32 = 60;
/// How often a node looks whether another is done.
const LOOK: Duration = Duration::from_millis(200);
/// Longest time of one statement that changes the schema.
const CHANGE: Duration = Duration::from_secs(30);
/// The kind of a table's id among hashed things.
const TABLE_ID: u8 = 0x71;

/// What answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Apache Cassandra.
    Cassandra,
    /// ScyllaDB, and whether it knows tablets, with which conditional writes don't go together in many versions.
    Scylla {
        /// It does.
        tablets: bool,
    },
}

/// What is done with the schema at a start.
pub struct Schema<'a> {
    /// The connection to the database.
    pub session: &'a Session,
    /// What is asked for.
    pub options: &'a Options,
    /// With which consistency.
    pub levels: &'a Levels,
    /// Whether few replicas will do.
    pub development: bool,
}

type Replication = HashMap<String, String>;

impl Schema<'_> {
    /// Makes what is missing, waits for whoever else does, and refuses what can't keep the promise.
    pub async fn settle(&self) -> Result<(), OpenError> {
        let server = self.server().await?;
        match server {
            Server::Cassandra if !self.development => server::check(self.session, self.options).await?,
            Server::Cassandra => {}
            Server::Scylla { .. } => {
                tracing::info!("the database is ScyllaDB, which doesn't show its settings: none is checked");
            }
        }
        self.make_keyspace(server).await?;
        self.check_replication().await?;
        self.change(&migrations::version_table(&self.table(VERSION), &self.id(server, VERSION))).await?;
        self.migrate(server).await?;
        self.check_lifetimes().await?;
        // Only nodes that are known are asked whether they agree; and what they agree on must be known, to route by it.
        self.session.refresh_metadata().await.map_err(failed)?;
        self.session.await_schema_agreement().await.map_err(failed)?;
        self.session.refresh_metadata().await.map_err(failed)
    }

    async fn server(&self) -> Result<Server, OpenError> {
        let columns = "SELECT column_name FROM system_schema.columns \
            WHERE keyspace_name = 'system_schema' AND table_name = ?";
        let is_scylla = self.rows(columns, ("scylla_tables",)).await?.rows_num() > 0;
        if !is_scylla {
            return Ok(Server::Cassandra);
        }
        let known = self.rows(columns, ("scylla_keyspaces",)).await?;
        let mut names = known.rows::<(String,)>().map_err(failed)?;
        Ok(Server::Scylla { tablets: names.any(|name| name.is_ok_and(|name| name.0 == "initial_tablets")) })
    }

    async fn replication(&self) -> Result<Option<(Replication, bool)>, OpenError> {
        let text = "SELECT replication, durable_writes FROM system_schema.keyspaces WHERE keyspace_name = ?";
        let found = self.rows(text, (&self.options.keyspace,)).await?;
        found.maybe_first_row().map_err(failed)
    }

    async fn make_keyspace(&self, server: Server) -> Result<(), OpenError> {
        if self.replication().await?.is_some() {
            return Ok(());
        }
        let replicas = self.options.replication_factor;
        self.enough(replicas)?;
        let key = self.options.local_dc.as_deref().unwrap_or("replication_factor");
        let tablets = match server {
            Server::Scylla { tablets: true } => " AND tablets = {'enabled': false}",
            _ => "",
        };
        self.change(&format!(
            "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = \
             {{'class': 'NetworkTopologyStrategy', '{key}': {replicas}}}{tablets}",
            self.options.keyspace
        ))
        .await
    }

    async fn check_replication(&self) -> Result<(), OpenError> {
        let keyspace = &self.options.keyspace;
        let missing = || OpenError::Schema(format!("the keyspace {keyspace} isn't there after it was made"));
        let (replication, durable) = self.replication().await?.ok_or_else(missing)?;
        if !durable {
            return Err(OpenError::NotDurable { keyspace: keyspace.clone() });
        }
        let home = match self.options.scope {
            Scope::Local => self.options.local_dc.as_deref(),
            Scope::Global => None,
        };
        self.enough(replicas(&replication, home))
    }

    fn enough(&self, replicas: u32) -> Result<(), OpenError> {
        if self.development || replicas >= LEAST_REPLICAS {
            return Ok(());
        }
        Err(OpenError::Replication { keyspace: self.options.keyspace.clone(), replicas })
    }

    /// A row that expires is a hole in the log.
    async fn check_lifetimes(&self) -> Result<(), OpenError> {
        let text =
            "SELECT table_name, default_time_to_live FROM system_schema.tables WHERE keyspace_name = ?";
        let found = self.rows(text, (&self.options.keyspace,)).await?;
        for row in found.rows::<(String, Option<i32>)>().map_err(failed)? {
            let (table, seconds) = row.map_err(failed)?;
            let seconds = seconds.unwrap_or(0);
            if seconds > 0 && table != RECENT && TABLES.contains(&table.as_str()) {
                return Err(OpenError::Lifetime { table: self.table(&table), seconds });
            }
        }
        Ok(())
    }

    async fn migrate(&self, server: Server) -> Result<(), OpenError> {
        let me = self.session.session_id();
        let table = self.table(VERSION);
        let lock =
            format!("UPDATE {table} USING TTL {LOCK_SECONDS} SET holder = ? WHERE id = 0 IF holder = null");
        let until = Instant::now() + self.options.schema_timeout();
        let mut why = "another node holds the schema's lock".to_owned();
        loop {
            // An outcome that is unknown is looked up in the next round, like a refusal.
            match self.state(&table).await {
                Ok((Some(found), ..)) if found > CURRENT => {
                    return Err(OpenError::Future { found, known: CURRENT });
                }
                Ok((Some(CURRENT), scope, _)) => return self.check_scope(scope),
                Ok((version, _, holder)) => {
                    let mine = holder == Some(me)
                        || (holder.is_none() && self.conditional(&lock, (me,)).await.unwrap_or(false));
                    if mine && self.migrate_from(server, &table, version.unwrap_or(0), me).await? {
                        return Ok(());
                    }
                }
                Err(error) => why = error.to_string(),
            }
            if Instant::now() > until {
                let waited = self.options.schema_timeout_ms;
                return Err(OpenError::Schema(format!("nothing changed within {waited} ms: {why}")));
            }
            sleep(LOOK).await;
        }
    }

    async fn state(&self, table: &str) -> Result<(Option<i32>, Option<String>, Option<Uuid>), OpenError> {
        let text = format!("SELECT version, scope, holder FROM {table} WHERE id = 0");
        let mut read = Statement::new(text);
        read.set_consistency(self.levels.settling());
        let rows = self.session.query_unpaged(read, ()).await.map_err(failed)?;
        let rows = rows.into_rows_result().map_err(failed)?;
        Ok(rows.maybe_first_row().map_err(failed)?.unwrap_or_default())
    }

    fn check_scope(&self, found: Option<String>) -> Result<(), OpenError> {
        let wanted = self.options.scope;
        match found {
            Some(found) if found == wanted.to_string() => Ok(()),
            found => Err(OpenError::Scope { found: found.unwrap_or_default(), wanted }),
        }
    }

    /// Makes every version from the next on, and notes the last; `false`: the lock was lost meanwhile.
    async fn migrate_from(
        &self,
        server: Server,
        table: &str,
        from: i32,
        me: Uuid,
    ) -> Result<bool, OpenError> {
        for version in from + 1..=CURRENT {
            tracing::info!(version, "the schema is migrated");
            for (name, change) in migrations::of(version) {
                match change {
                    Change::Table(text) => {
                        let text = text(&self.table(name), &self.id(server, name), compaction(server));
                        self.change(&text).await?;
                    }
                    Change::Column(column, kind) => self.add_column(name, column, kind).await?,
                }
            }
        }
        let note =
            format!("UPDATE {table} SET version = ?, scope = ?, holder = null WHERE id = 0 IF holder = ?");
        Ok(self.conditional(&note, (CURRENT, self.options.scope.to_string(), me)).await.unwrap_or(false))
    }

    /// Adds a column that isn't there. Not every server knows a statement for that which can be made again.
    async fn add_column(&self, table: &str, column: &str, kind: &str) -> Result<(), OpenError> {
        if self.has_column(table, column).await? {
            return Ok(());
        }
        let added = self.change(&format!("ALTER TABLE {} ADD {column} {kind}", self.table(table))).await;
        // Somebody who held the lock before may have been slow.
        if added.is_err() && self.has_column(table, column).await? {
            return Ok(());
        }
        added
    }

    async fn has_column(&self, table: &str, column: &str) -> Result<bool, OpenError> {
        let text = "SELECT column_name FROM system_schema.columns \
            WHERE keyspace_name = ? AND table_name = ? AND column_name = ?";
        Ok(self.rows(text, (&self.options.keyspace, table, column)).await?.rows_num() > 0)
    }

    /// Changes the schema, and waits until all nodes agree on it.
    async fn change(&self, text: &str) -> Result<(), OpenError> {
        let mut change = Statement::new(text);
        change.set_request_timeout(Some(CHANGE));
        change.set_is_idempotent(true);
        let done = self.session.query_unpaged(change, ()).await;
        done.map(drop).map_err(|error| OpenError::Schema(format!("`{text}`: {error}")))
    }

    async fn conditional(&self, text: &str, values: impl SerializeRow) -> Result<bool, ExecutionError> {
        let mut statement = Statement::new(text);
        statement.set_consistency(self.levels.quorum);
        statement.set_serial_consistency(Some(self.levels.serial));
        statement.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy::new())));
        let result = self.session.query_unpaged(statement, values).await?;
        Ok(super::batch::applied(result).unwrap_or(false))
    }

    async fn rows(&self, text: &str, values: impl SerializeRow) -> Result<QueryRowsResult, OpenError> {
        let mut read = Statement::new(text);
        // These tables are each node's own.
        read.set_consistency(Consistency::One);
        let result = self.session.query_unpaged(read, values).await.map_err(failed)?;
        result.into_rows_result().map_err(failed)
    }

    fn table(&self, name: &str) -> String {
        format!("{}.{name}", self.options.keyspace)
    }

    fn id(&self, server: Server, name: &str) -> String {
        let fields = Fields::new(TABLE_ID).field(self.options.keyspace.as_bytes()).field(name.as_bytes());
        match server {
            Server::Cassandra => format!("ID = {} AND ", fields.uuid()),
            // It serialises changes of the schema by itself.
            Server::Scylla { .. } => String::new(),
        }
    }
}

fn compaction(server: Server) -> &'static str {
    match server {
        Server::Cassandra => "{'class': 'UnifiedCompactionStrategy'}",
        Server::Scylla { .. } => "{'class': 'IncrementalCompactionStrategy'}",
    }
}

/// Replicas in one data centre, or in all.
fn replicas(replication: &Replication, home: Option<&str>) -> u32 {
    let counts = replication.iter().filter(|(key, _)| match home {
        Some(home) => key.as_str() == home,
        None => *key != "class",
    });
    // "3/1" are three, of which one is transient and counts only while the others are well.
    let full = |text: &str| match text.split_once('/') {
        Some((all, transient)) => Some(all.parse::<u32>().ok()?.saturating_sub(transient.parse().ok()?)),
        None => text.parse().ok(),
    };
    counts.filter_map(|(_, count)| full(count)).sum()
}

fn failed(error: impl std::fmt::Display) -> OpenError {
    OpenError::Schema(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_counted_where_they_are_asked() {
        let of = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Replication>()
        };
        let two =
            of(&[("class", "org.apache.cassandra.locator.NetworkTopologyStrategy"), ("a", "3"), ("b", "2")]);
        assert_eq!([None, Some("a"), Some("b"), Some("c")].map(|home| replicas(&two, home)), [5, 3, 2, 0]);
        let simple = of(&[("class", "SimpleStrategy"), ("replication_factor", "3/1")]);
        assert_eq!(replicas(&simple, None), 2);
    }
}
