//! Why the store isn't opened, in words that say what to do.

use super::options::Scope;
use std::path::PathBuf;

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
