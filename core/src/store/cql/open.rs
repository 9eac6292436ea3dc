//! Connecting: what would break the promise later is refused now.

use super::{
    CqlStore,
    client::Client,
    levels::Levels,
    metrics::Metrics,
    options::{Options, Scope},
    refused::OpenError,
    schema::Schema,
    statements::Statements,
    tls,
};
use prometheus::Registry;
use scylla::{
    client::{
        PoolSize, execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder,
    },
    errors::NewSessionError,
    policies::load_balancing::{DefaultPolicy, LoadBalancingPolicy},
};
use std::{fs, num::NonZeroUsize, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How often a connection is tried, and how long it may then be silent before it counts as broken. Until then, batches of
/// the conversations that a stopped node comes first for wait for it.
const KEEPALIVE: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(3);
/// Times the time to connect to one node in which the whole cluster must have been found.
const CONNECTS: u32 = 4;

impl CqlStore {
    /// Connects, and makes or migrates the schema. With `development`, what is acknowledged may have fewer than three
    /// replicas.
    pub async fn connect(
        options: Options,
        development: bool,
        registry: &Registry,
    ) -> Result<Self, OpenError> {
        let problems = options.problems();
        if !problems.is_empty() {
            return Err(OpenError::Options(problems));
        }
        let policy = policy(&options);
        let levels = Levels::new(options.scope, policy.clone());
        let session = session(&options, &levels, policy).await?;
        let schema = Schema { session: &session, options: &options, levels: &levels, development };
        schema.settle().await?;
        let statements = Statements::prepare(&session, &options.keyspace, &levels).await?;
        let metrics = Metrics::register(registry, session.get_metrics())?;
        let client = Client { session, metrics, levels, deadline: options.request_timeout() };
        Ok(Self { client, statements })
    }
}

fn policy(options: &Options) -> Arc<dyn LoadBalancingPolicy> {
    // "Local" in another data centre is another majority.
    let policy =
        DefaultPolicy::builder().token_aware(true).permit_dc_failover(options.scope == Scope::Global);
    match &options.local_dc {
        Some(dc) => policy.prefer_datacenter(dc.clone()).build(),
        None => policy.build(),
    }
}

async fn session(
    options: &Options,
    levels: &Levels,
    policy: Arc<dyn LoadBalancingPolicy>,
) -> Result<Session, OpenError> {
    let tls = tls::configure(options).map_err(OpenError::Tls)?;
    // No speculative execution: a profile has none unless it is given one.
    let profile = ExecutionProfile::builder()
        .consistency(levels.quorum)
        .serial_consistency(Some(levels.serial))
        .request_timeout(Some(options.request_timeout()))
        .load_balancing_policy(policy)
        .build();
    let connections = NonZeroUsize::new(options.connections).unwrap_or(NonZeroUsize::MIN);
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.nodes)
        .default_execution_profile_handle(profile.into_handle())
        .connection_timeout(options.connect_timeout())
        .pool_size(PoolSize::PerShard(connections))
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(SILENCE)
        .schema_agreement_timeout(options.schema_timeout())
        .keyspaces_to_fetch([&options.keyspace])
        .tls_context(tls.clone());
    if let (Some(user), Some(path)) = (&options.username, &options.password_file) {
        let password = fs::read_to_string(path);
        let password = password.map_err(|error| OpenError::Password { path: path.clone(), error })?;
        builder = builder.user(user, password.trim_end_matches(['\r', '\n']));
    }
    let why = match timeout(options.connect_timeout() * CONNECTS, builder.build()).await {
        Ok(Ok(session)) => return Ok(session),
        Ok(Err(error)) if log_in(&error) => {
            return Err(OpenError::LogIn {
                user: options.username.clone().unwrap_or_else(|| "nobody".into()),
                why: error.to_string(),
            });
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {:?}", options.connect_timeout() * CONNECTS),
    };
    let nodes = options.nodes.join(", ");
    let trouble = match tls {
        Some(tls) => tls::trouble(options, tls).await,
        None => None,
    };
    Err(match trouble {
        Some((trouble, why)) => OpenError::Handshake { nodes, trouble, why },
        None => OpenError::Connect { nodes, why },
    })
}

/// Whether a node refused the user. The error may stand at any depth.
fn log_in(error: &NewSessionError) -> bool {
    let text = error.to_string();
    ["Authentication", "authentication", "credentials"].iter().any(|word| text.contains(word))
}
