//! What an operator can set of the CQL store.

use confique::Config;
use serde::Deserialize;
use std::{fmt, path::PathBuf, time::Duration};

/// Who must agree on a conditional write. All nodes of a deployment use the same; a mismatch is refused at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// A majority of all replicas: SERIAL, and QUORUM.
    Global,
    /// A majority of the replicas in the home data centre: LOCAL_SERIAL, and LOCAL_QUORUM.
    Local,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Scope::Global { "global" } else { "local" })
    }
}

/// Where Cassandra or ScyllaDB is, and how it is used. Every one of them is checked by [`Options::problems`].
#[derive(Debug, Clone, PartialEq, Eq, Config)]
pub struct Options {
    /// Nodes that are asked for all others: addresses or names, with a port. All nodes have the same port. With any the
    /// log is kept there, and not in `core.data`; `core.redis.nodes` is needed as well.
    #[config(
        default = [],
        env = "NEXUS_CORE_CQL_NODES",
        parse_env = confique::env::parse::list_by_comma
    )]
    pub nodes: Vec<String>,

    /// The keyspace; it is made if it isn't there. 1-48 characters of a-z, 0-9 and _, beginning with a letter.
    #[config(default = "nexus", env = "NEXUS_CORE_CQL_KEYSPACE")]
    pub keyspace: String,

    /// Replicas of a keyspace that is made here, in `local_dc` if it is set, else in every data centre. Outside
    /// development at least 3.
    #[config(default = 3, env = "NEXUS_CORE_CQL_REPLICATION_FACTOR")]
    pub replication_factor: u32,

    /// The data centre whose nodes are asked first. Needed for `scope = "local"`.
    #[config(env = "NEXUS_CORE_CQL_LOCAL_DC")]
    pub local_dc: Option<String>,

    /// `global`: a majority of all replicas agrees on what is written; `local`: one of those in `local_dc`, which is
    /// then the only data centre in which chat nodes may run. All nodes have the same.
    #[config(default = "global", env = "NEXUS_CORE_CQL_SCOPE")]
    pub scope: Scope,

    /// The user to log in as.
    #[config(env = "NEXUS_CORE_CQL_USERNAME")]
    pub username: Option<String>,

    /// A file that holds the user's password; a newline at its end isn't part of it.
    #[config(env = "NEXUS_CORE_CQL_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,

    /// Whether to use TLS. Certificates of nodes must name the IP addresses that they are reached at, even where
    /// `nodes` has names.
    #[config(default = false, env = "NEXUS_CORE_CQL_TLS")]
    pub tls: bool,

    /// A PEM file with the authorities that the database's certificates are checked against, instead of the system's.
    #[config(env = "NEXUS_CORE_CQL_TLS_CA")]
    pub tls_ca: Option<PathBuf>,

    /// A PEM file with this node's certificate, where the database asks for one.
    #[config(env = "NEXUS_CORE_CQL_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,

    /// A PEM file with that certificate's key.
    #[config(env = "NEXUS_CORE_CQL_TLS_KEY")]
    pub tls_key: Option<PathBuf>,

    /// Whether Cassandra may acknowledge before a write is on the disk (`commitlog_sync: periodic`). Then a power cut
    /// at one of its nodes can lose what was acknowledged. Outside development it is refused without this.
    #[config(default = false, env = "NEXUS_CORE_CQL_ALLOW_PERIODIC_SYNC")]
    pub allow_periodic_sync: bool,

    /// Longest time in milliseconds to connect to a node.
    #[config(default = 5000, env = "NEXUS_CORE_CQL_CONNECT_TIMEOUT_MS")]
    pub connect_timeout_ms: u64,

    /// Longest time in milliseconds that any call takes. A write that takes longer has an unknown outcome. Keep it
    /// above the servers' own timeouts, so that they give the answer.
    #[config(default = 5000, env = "NEXUS_CORE_CQL_REQUEST_TIMEOUT_MS")]
    pub request_timeout_ms: u64,

    /// Longest time in milliseconds for the schema to be made, or for another node to make it.
    #[config(default = 120000, env = "NEXUS_CORE_CQL_SCHEMA_TIMEOUT_MS")]
    pub schema_timeout_ms: u64,

    /// Connections to each node of Cassandra, or to each shard of ScyllaDB. Each carries up to 32,768 requests at once.
    #[config(default = 2, env = "NEXUS_CORE_CQL_CONNECTIONS")]
    pub connections: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            keyspace: "nexus".into(),
            replication_factor: 3,
            local_dc: None,
            scope: Scope::Global,
            username: None,
            password_file: None,
            tls: false,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            allow_periodic_sync: false,
            connect_timeout_ms: 5000,
            request_timeout_ms: 5000,
            schema_timeout_ms: 120_000,
            connections: 2,
        }
    }
}

impl Options {
    /// Everything that is wrong with these values, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let numbers = [
            ("replication_factor", u64::from(self.replication_factor), 1, 16),
            ("connect_timeout_ms", self.connect_timeout_ms, 100, 600_000),
            ("request_timeout_ms", self.request_timeout_ms, 100, 600_000),
            ("schema_timeout_ms", self.schema_timeout_ms, 1000, 3_600_000),
            ("connections", self.connections as u64, 1, 64),
        ];
        let wrong = numbers.into_iter().filter(|(_, value, least, most)| value < least || value > most);
        let mut problems: Vec<String> = wrong
            .map(|(name, value, least, most)| format!("{name} is {value}; it must be {least}-{most}"))
            .collect();
        if self.nodes.is_empty() {
            problems.push("nodes is empty; name at least one".into());
        }
        for node in &self.nodes {
            let port = node.rsplit_once(':').and_then(|(host, port)| {
                (!host.is_empty()).then_some(())?;
                port.parse::<u16>().ok().filter(|port| *port > 0)
            });
            if port.is_none() {
                problems.push(format!("nodes has {node:?}; it must be an address or a name with a port"));
            }
        }
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let begins = self.keyspace.starts_with(|c: char| c.is_ascii_lowercase());
        if !begins || self.keyspace.len() > 48 || !self.keyspace.bytes().all(known) {
            problems.push(format!(
                "keyspace is {:?}; it must be 1-48 characters of a-z, 0-9 and _, beginning with a letter",
                self.keyspace
            ));
        }
        // It stands in a statement that can't take it as a value.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        match &self.local_dc {
            Some(dc) if dc.is_empty() || !dc.bytes().all(plain) => {
                problems
                    .push(format!("local_dc is {dc:?}; it must be characters of A-Z, a-z, 0-9, -, _ and ."));
            }
            None if self.scope == Scope::Local => {
                problems.push("scope is local, but local_dc isn't set".into());
            }
            _ => {}
        }
        if self.username.is_some() != self.password_file.is_some() {
            problems.push("username and password_file belong together: set both, or none".into());
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            problems.push("tls_cert and tls_key belong together: set both, or none".into());
        }
        if !self.tls && (self.tls_ca.is_some() || self.tls_cert.is_some()) {
            problems.push("tls_ca and tls_cert are given, but tls is off".into());
        }
        problems
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(super) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    pub(super) fn schema_timeout(&self) -> Duration {
        Duration::from_millis(self.schema_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_defaults_of_the_configuration_are_the_defaults_of_the_type() {
        assert_eq!(Options::builder().load().unwrap(), Options::default());
        let named = Options { nodes: vec!["127.0.0.1:9042".into()], ..Options::default() };
        assert_eq!(named.problems(), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let wrong = Options {
            nodes: vec!["db".into(), ":9042".into(), "db:0".into(), "[::1]:9042".into()],
            keyspace: "Nexus".into(),
            scope: Scope::Local,
            username: Some("nexus".into()),
            tls_cert: Some("certificate.pem".into()),
            connections: 0,
            ..Options::default()
        };
        assert_eq!(wrong.problems().len(), 9, "{:?}", wrong.problems());
        let wrong = Options { nodes: vec![], local_dc: Some("a'b".into()), ..Options::default() };
        assert_eq!(wrong.problems().len(), 2);
    }
}
