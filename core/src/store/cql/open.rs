//! Connecting: what would break the promise later is refused now.

use super::{
    CqlStore,
    client::Client,
    metrics::Metrics,
    options::{Options, Scope},
    schema::Schema,
    statements::{Levels, Statements},
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
use std::{fs, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How often a connection is tried, and how long it may then be silent before it counts as broken. Until then, batches of
/// the conversations that a stopped node comes first for wait for it.
const KEEPALIVE: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(3);
/// Times the time to connect to one node in which the whole cluster must have been found.
const CONNECTS: u32 = 4;

/// Why the store couldn't be opened. At most the schema was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Options that can't be honoured.
    #[error("the options of core.cql are wrong: {}", .0.join("; "))]
    Options(Vec<String>),
    /// The password can't be read.
    #[error("can't read core.cql.password_file {}: {error}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// Its files can't be used.
    #[error("core.cql.{0}")]
    Tls(String),
    /// The two ends don't take each other.
    #[error("can't connect to the database at {nodes} with TLS: {trouble} ({why})")]
    Handshake {
        /// The nodes that were tried.
        nodes: String,
        /// What to do about it.
        trouble: &'static str,
        /// What the last one said.
        why: String,
    },
    /// A node's own settings, which can break the promise.
    #[error("the database's node {node} {problem}")]
    Server {
        /// Its address.
        node: std::net::IpAddr,
        /// What is wrong there, and what to do.
        problem: &'static str,
    },
    /// No node answers.
    #[error(
        "can't connect to the database at {nodes}: {why}; check core.cql.nodes, core.cql.tls, and that they run"
    )]
    Connect {
        /// The nodes that were tried.
        nodes: String,
        /// What the last one said.
        why: String,
    },
    /// A node refused to let this user in.
    #[error(
        "the database refused the log-in of {user}: {why}; check core.cql.username and core.cql.password_file"
    )]
    LogIn {
        /// Who.
        user: String,
        /// What it said.
        why: String,
    },
    /// What is acknowledged could be lost with a node.
    #[error(
        "the keyspace {keyspace} has {replicas} replicas where core.cql.scope counts them, but what is acknowledged \
         survives the loss of a node only with 3; raise them and repair, or set core.mode = \"development\""
    )]
    Replication {
        /// The keyspace.
        keyspace: String,
        /// How many it has, or would get.
        replicas: u32,
    },
    /// The keyspace bypasses the commit log.
    #[error(
        "the keyspace {keyspace} has durable_writes = false, which loses what is acknowledged; set it to true"
    )]
    NotDurable {
        /// The keyspace.
        keyspace: String,
    },
    /// Rows of the log would vanish.
    #[error(
        "the table {table} has default_time_to_live = {seconds}, which tears holes into the log; set it to 0"
    )]
    Lifetime {
        /// The table.
        table: String,
        /// Its time to live.
        seconds: i32,
    },
    /// A newer version was here.
    #[error(
        "the schema has version {found}, but this version of nexus knows versions up to {known}; use the version \
         that made it, or a newer one"
    )]
    Future {
        /// The schema's version.
        found: i32,
        /// The newest that is known.
        known: i32,
    },
    /// Other nodes agree differently.
    #[error(
        "this deployment writes with core.cql.scope = \"{found}\", but here it is \"{wanted}\"; all nodes must have \
         the same"
    )]
    Scope {
        /// What the deployment was begun with.
        found: String,
        /// What is set.
        wanted: Scope,
    },
    /// The schema can't be read or made.
    #[error("can't settle the schema: {0}")]
    Schema(String),
    /// The metrics are already registered, or their names taken.
    #[error("can't register the store's metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

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
