//! What an operator can set of the bus over Redis.

use super::topology::Address;
use confique::Config;
use std::{path::PathBuf, time::Duration};

/// Where Redis is, and the bus's limits and times. Every one of them is checked by [`Options::problems`].
#[derive(Debug, Clone, PartialEq, Eq, Config)]
pub struct Options {
    /// Nodes of the Redis Cluster, as `host:port`; the others are learnt from them. In the environment separated by
    /// commas.
    #[config(default = [], env = "NEXUS_CORE_REDIS_NODES", parse_env = confique::env::parse::list_by_comma)]
    pub nodes: Vec<String>,

    /// The user at Redis, who may use SSUBSCRIBE, SUNSUBSCRIBE, SPUBLISH, CLUSTER SLOTS and the bus's channels.
    #[config(env = "NEXUS_CORE_REDIS_USERNAME")]
    pub username: Option<String>,

    /// A file with that user's password. Space around it is no part of it.
    #[config(env = "NEXUS_CORE_REDIS_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,

    /// Whether to use TLS. Certificates of nodes must name what CLUSTER SLOTS calls them: mostly an IP address.
    #[config(default = false, env = "NEXUS_CORE_REDIS_TLS")]
    pub tls: bool,

    /// A PEM file with the authorities that Redis' certificates are checked against, instead of the system's.
    #[config(env = "NEXUS_CORE_REDIS_TLS_CA")]
    pub tls_ca: Option<PathBuf>,

    /// A PEM file with this node's certificate, where Redis asks for one.
    #[config(env = "NEXUS_CORE_REDIS_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,

    /// A PEM file with that certificate's key.
    #[config(env = "NEXUS_CORE_REDIS_TLS_KEY")]
    pub tls_key: Option<PathBuf>,

    /// What the names of channels begin with. Deployments that share a Redis Cluster need different ones.
    #[config(default = "nexus", env = "NEXUS_CORE_REDIS_PREFIX")]
    pub prefix: String,

    /// Milliseconds in which a connection must be there, name resolution and log-in included.
    #[config(default = 2000, env = "NEXUS_CORE_REDIS_CONNECT_MS")]
    pub connect_ms: u64,

    /// Milliseconds after which a connection that doesn't answer is given up.
    #[config(default = 1000, env = "NEXUS_CORE_REDIS_RESPONSE_MS")]
    pub response_ms: u64,

    /// Milliseconds that publishing may hold somebody up. What takes longer still goes out if it can.
    #[config(default = 200, env = "NEXUS_CORE_REDIS_PUBLISH_MS")]
    pub publish_ms: u64,

    /// Milliseconds between two heartbeats on a lane. After three without one a node is taken to have gone, or the
    /// lane to be deaf. The same on all nodes.
    #[config(default = 2000, env = "NEXUS_CORE_REDIS_HEARTBEAT_MS")]
    pub heartbeat_ms: u64,

    /// Bytes up to which a hint carries its events; above, other nodes read them from the log.
    #[config(default = 8192, env = "NEXUS_CORE_REDIS_HINT_BYTES")]
    pub hint_bytes: usize,

    /// Hints that may wait for one master of the cluster; further ones are dropped, and other nodes read the log.
    #[config(default = 1024, env = "NEXUS_CORE_REDIS_QUEUE")]
    pub queue: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            username: None,
            password_file: None,
            tls: false,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            prefix: "nexus".into(),
            connect_ms: 2000,
            response_ms: 1000,
            publish_ms: 200,
            heartbeat_ms: 2000,
            hint_bytes: 8192,
            queue: 1024,
        }
    }
}

impl Options {
    /// Everything that is wrong with these values, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.nodes.is_empty() {
            problems.push("core.redis.nodes is empty: name at least one node, as host:port".into());
        }
        for node in self.nodes.iter().filter(|node| Address::parse(node).is_none()) {
            problems.push(format!("core.redis.nodes: {node:?} must be host:port"));
        }
        // Braces would put all channels into one slot, so on one master.
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
        if !(1..=64).contains(&self.prefix.len()) || !self.prefix.bytes().all(fits) {
            problems.push(format!(
                "core.redis.prefix = {:?}: must be 1-64 characters of A-Za-z0-9._-:",
                self.prefix
            ));
        }
        if self.username.is_some() && self.password_file.is_none() {
            problems.push("core.redis.username needs core.redis.password_file".into());
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            problems.push("core.redis.tls_cert and core.redis.tls_key must be given together".into());
        }
        if !self.tls && (self.tls_ca.is_some() || self.tls_cert.is_some()) {
            problems.push(
                "core.redis.tls_ca and core.redis.tls_cert are given, but core.redis.tls is off".into(),
            );
        }
        let numbers = [
            ("connect_ms", self.connect_ms, 10, 60_000),
            ("response_ms", self.response_ms, 10, 60_000),
            ("publish_ms", self.publish_ms, 1, 60_000),
            ("heartbeat_ms", self.heartbeat_ms, 50, 60_000),
            ("hint_bytes", self.hint_bytes as u64, 256, 1 << 20),
            ("queue", self.queue as u64, 64, 1 << 20),
        ];
        for (name, value, least, most) in numbers {
            if value < least || value > most {
                problems.push(format!("core.redis.{name} = {value}: must be {least}-{most}"));
            }
        }
        problems
    }

    pub(super) fn connect(&self) -> Duration {
        Duration::from_millis(self.connect_ms)
    }

    pub(super) fn response(&self) -> Duration {
        Duration::from_millis(self.response_ms)
    }

    pub(super) fn publish(&self) -> Duration {
        Duration::from_millis(self.publish_ms)
    }

    pub(super) fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_defaults_of_the_configuration_are_the_defaults_of_the_type() {
        assert_eq!(Options::builder().load().unwrap(), Options::default());
        let nodes = vec!["10.0.0.1:6379".into(), "[::1]:6379".into(), "redis.internal:6379".into()];
        assert_eq!(Options { nodes, ..Options::default() }.problems(), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let wrong = Options {
            nodes: vec!["redis".into(), "redis:x".into()],
            username: Some("nexus".into()),
            tls_key: Some("key.pem".into()),
            prefix: "{nexus}".into(),
            queue: 0,
            ..Options::default()
        };
        assert_eq!(wrong.problems().len(), 6, "{:?}", wrong.problems());
    }
}
