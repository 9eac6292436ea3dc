//! A deployment of real parts, and those who talk on it.

use crate::{
    client::{Connection, Edge},
    server,
};
use anyhow::{Context as _, ensure};
use jsonwebtoken::EncodingKey;
use nexus_cluster::deployment::{Deployment, Shape};
use nexus_proto::v1;
use std::{fs, time::Duration};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// For everything that should happen at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often something is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A running deployment.
pub struct World {
    /// Its parts.
    pub deployment: Deployment,
    /// The way in, past the load balancer.
    pub edge: Edge,
    key: EncodingKey,
}

impl World {
    /// Starts Redis (3 masters, 3 replicas), one Cassandra, three chat nodes and two edges, which limit nobody.
    pub async fn start() -> anyhow::Result<Self> {
        let limits = [
            "ADDRESS_RATE",
            "ADDRESS_BURST",
            "USER_RATE",
            "USER_BURST",
            "MUTATION_RATE",
            "MUTATION_BURST",
            "CONNECTIONS_PER_ADDRESS",
        ];
        let settings =
            limits.map(|limit| (format!("NEXUS_GATEWAY_LIMITS_{limit}"), "50000".to_owned())).to_vec();
        let deployment =
            Deployment::start(&Shape { settings, ..Shape::default() }, |step| eprintln!("{step}")).await?;
        let secret = fs::read(deployment.folder().join("token-secret"))?;
        let port = deployment.url().rsplit(':').next().context("a port")?.parse()?;
        let edge = Edge::new(&deployment.ca_pem()?, port)?;
        Ok(Self { deployment, edge, key: EncodingKey::from_secret(secret.trim_ascii_end()) })
    }

    /// A token of a user.
    pub fn token(&self, user: &str) -> anyhow::Result<String> {
        server::token(&self.key, user)
    }

    /// A group of these users, of whom the first makes it.
    pub async fn room(&self, connection: &Connection, users: &[String]) -> anyhow::Result<String> {
        let members = users.iter().skip(1).map(|user| v1::MemberRole { user: user.clone(), role: 0 });
        let create = v1::CreateConversationRequest {
            client_id: Uuid::now_v7().to_string(),
            kind: v1::ConversationKind::Group as i32,
            title: "A room".into(),
            members: members.collect(),
            ..Default::default()
        };
        let path = "/nexus.v1.ConversationService/CreateConversation";
        let owner = users.first().context("nobody")?;
        let made: v1::CreateConversationResponse =
            connection.call(path, &self.token(owner)?, &create).await?;
        Ok(made.conversation.context("no conversation was made")?.id)
    }

    /// Waits until both edges use so many chat nodes.
    pub async fn until_used(&self, cores: usize) -> anyhow::Result<()> {
        let used = async || {
            let mut all = true;
            for edge in &self.deployment.gateways {
                let healthy = edge.part.metric("nexus_gateway_upstream_healthy", "").await.unwrap_or(-1.0);
                all &= healthy == cores as f64;
            }
            all
        };
        until("the edges use as many chat nodes as there are", used).await
    }

    /// A metric of each chat node; 0 of one that doesn't run.
    pub async fn of_each(&self, metric: &str, label: &str) -> Vec<f64> {
        let mut values = Vec::new();
        for core in &self.deployment.cores {
            values.push(core.part.metric(metric, label).await.unwrap_or(0.0));
        }
        values
    }

    /// The sum of a metric over all chat nodes.
    pub async fn sum(&self, metric: &str, label: &str) -> f64 {
        self.of_each(metric, label).await.iter().sum()
    }
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !holds().await {
        ensure!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(LOOK).await;
    }
    Ok(())
}
