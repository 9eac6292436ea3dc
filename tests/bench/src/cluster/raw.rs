//! One conditional write and one publish, by plain drivers, with nothing around them.

use anyhow::{Context as _, ensure};
use nexus_cluster::deployment::Deployment;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, Value, aio::MultiplexedConnection, cmd};
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    statement::{
        Consistency, SerialConsistency,
        batch::{Batch, BatchStatement, BatchType},
        prepared::PreparedStatement,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, time::timeout};
use uuid::Uuid;

const CHANNEL: &str = "nexus-bench";
const PATIENCE: Duration = Duration::from_secs(10);

/// The two.
pub struct Raw {
    session: Session,
    batch: Batch,
    last: i64,
    id: Uuid,
    publisher: MultiplexedConnection,
    heard: Arc<Notify>,
    /// It hears as long as it is there.
    _subscriber: MultiplexedConnection,
}

impl Raw {
    /// Connects to the parts of a deployment.
    pub async fn connect(deployment: &Deployment) -> anyhow::Result<Self> {
        let session = SessionBuilder::new().known_nodes(deployment.cassandra.addresses()).build().await?;
        session
            .query_unpaged(
                "CREATE KEYSPACE IF NOT EXISTS bench WITH replication = \
                 {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}",
                (),
            )
            .await?;
        session
            .query_unpaged(
                "CREATE TABLE IF NOT EXISTS bench.log (id uuid, part tinyint, seq bigint, owner text, client uuid, \
                 last bigint static, closed boolean static, body blob, became bigint, \
                 PRIMARY KEY (id, part, seq, owner, client))",
                (),
            )
            .await?;
        let none = Uuid::nil();
        let texts = [
            "UPDATE bench.log SET last = ? WHERE id = ? IF last = ? AND closed = null".to_owned(),
            format!("INSERT INTO bench.log (id, part, seq, owner, client, body) VALUES (?, 0, ?, '', {none}, ?)"),
            "INSERT INTO bench.log (id, part, seq, owner, client, became) VALUES (?, 1, 0, 'bench', ?, ?) IF NOT EXISTS"
                .to_owned(),
        ];
        let mut statements = Vec::new();
        for text in &texts {
            let prepared: PreparedStatement = session.prepare(text.as_str()).await?;
            statements.push(BatchStatement::from(prepared));
        }
        let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
        batch.set_consistency(Consistency::Quorum);
        batch.set_serial_consistency(Some(SerialConsistency::Serial));

        let redis = &deployment.redis;
        let master = redis.master_of(redis.slot(CHANNEL).await?).await?;
        let client = Client::open(format!("redis://{}/?protocol=resp3", redis.addresses()[master]))?;
        let heard = Arc::new(Notify::new());
        let told = heard.clone();
        let config = AsyncConnectionConfig::new().set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::SMessage {
                told.notify_one();
            }
            Ok::<(), ()>(())
        });
        let mut subscriber = client.get_multiplexed_async_connection_with_config(&config).await?;
        let _: Value = subscriber.send_packed_command(cmd("SSUBSCRIBE").arg(CHANNEL)).await?;
        let publisher = client.get_multiplexed_async_connection().await?;
        Ok(Self { session, batch, last: 0, id: Uuid::now_v7(), publisher, heard, _subscriber: subscriber })
    }

    /// An event of this size is appended on the condition that nobody else appended, and is on the disk.
    pub async fn write(&mut self, bytes: usize) -> anyhow::Result<()> {
        let (before, now) = ((self.last > 0).then_some(self.last), self.last + 1);
        let values =
            ((now, self.id, before), (self.id, now, vec![b'x'; bytes]), (self.id, Uuid::now_v7(), now));
        let result = self.session.batch(&self.batch, values).await?.into_rows_result()?;
        let applied = result.first_row::<scylla::deserialize::row::ColumnIterator<'_, '_>>()?.next();
        let applied =
            applied.context("an answer without columns")??.slice.map(|slice| slice.as_slice() == [1]);
        ensure!(applied == Some(true), "the condition failed, though nobody else writes");
        self.last = now;
        Ok(())
    }

    /// A message of this size is published, and heard on another connection.
    pub async fn publish(&mut self, bytes: usize) -> anyhow::Result<()> {
        let mut publish = cmd("SPUBLISH");
        publish.arg(CHANNEL).arg(vec![b'x'; bytes]);
        let sent = self.publisher.send_packed_command(&publish);
        let (sent, heard) = tokio::join!(sent, timeout(PATIENCE, self.heard.notified()));
        sent?;
        heard.context("what was published was not heard")
    }
}
