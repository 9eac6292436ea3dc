//! The section `[core]`: every setting of the chat node, with its default and its unit.

use crate::{
    api::{admin::Administrator, check::Limits},
    bus, conversation, delivery,
    log::{self, Horizon},
    node::tls::Tls,
    store,
};
use confique::Config as Derive;
use serde::Deserialize;
use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

/// What a deployment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Tokens for whoever asks, a lobby, reflection.
    Development,
    /// None of these.
    Production,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Mode::Development { "development" } else { "production" })
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "development" => Ok(Mode::Development),
            "production" => Ok(Mode::Production),
            other => Err(format!("`{other}` is neither `development` nor `production`")),
        }
    }
}

/// The chat node: the log, conversations, and their delivery.
#[derive(Debug, Clone, PartialEq, Eq, Derive)]
pub struct Config {
    /// `development` or `production`. Development hands out tokens and has a lobby where everybody meets.
    #[config(default = "development", env = "NEXUS_CORE_MODE")]
    pub mode: Mode,

    /// Where the log and everything else durable is kept. One process at a time.
    #[config(default = "data", env = "NEXUS_CORE_DATA")]
    pub data: PathBuf,

    /// The Unix socket on which the edge reaches this node. Created with mode 0600: whoever can open it can speak for
    /// any user.
    #[config(default = "data/core.sock", env = "NEXUS_CORE_SOCKET")]
    pub socket: PathBuf,

    /// Where edges on other machines reach this node, such as "0.0.0.0:9000"; instead of the Unix socket. Both sides show
    /// certificates: see `core.tls`.
    #[config(env = "NEXUS_CORE_LISTEN")]
    pub listen: Option<SocketAddr>,

    /// Where edges are told to reach this node, such as "https://10.0.0.5:9000"; its certificate must name that host. It
    /// is announced to the other nodes, whom edges ask. Default: the address of `listen`, unless that is every address
    /// of the machine.
    #[config(env = "NEXUS_CORE_ANNOUNCE")]
    pub announce: Option<String>,

    /// Where /healthz, /readyz and /metrics are served, in plain HTTP, or "off". Keep it off the internet.
    #[config(default = "127.0.0.1:9902", env = "NEXUS_CORE_ADMIN")]
    pub admin: String,

    /// Milliseconds that streams and requests have to end at a shutdown, all in all.
    #[config(default = 10000, env = "NEXUS_CORE_DRAIN_MS")]
    pub drain_ms: u64,

    /// Milliseconds between saying that this node goes away and sending its streams elsewhere, of those: more than edges take
    /// to notice (`gateway.upstream.health_ms`). Only where there are other nodes; at most a quarter of `drain_ms`.
    #[config(default = 1500, env = "NEXUS_CORE_NOTICE_MS")]
    pub notice_ms: u64,

    /// Who this node is to the edges, and who they are to it.
    #[config(nested)]
    pub tls: Tls,

    /// Who may call AdminService, as tenant/user, such as "default/root"; "*/root" is the user of that name in every tenant.
    /// In the environment separated by commas. Default: nobody.
    #[config(default = [], env = "NEXUS_CORE_ADMINISTRATORS", parse_env = confique::env::parse::list_by_comma)]
    pub administrators: Vec<String>,

    /// Whether administrators may read the events of conversations of which they are no members
    /// (AdminService.ListConversationEvents), with a reason that is logged.
    #[config(default = false, env = "NEXUS_CORE_ADMINISTRATORS_READ")]
    pub administrators_read: bool,

    /// Limits of requests.
    #[config(nested)]
    pub limits: Limits,

    /// The log.
    #[config(nested)]
    pub log: Log,

    /// Conversations.
    #[config(nested)]
    pub conversation: Conversation,

    /// How long events are kept.
    #[config(nested)]
    pub retention: Retention,

    /// What is kept in memory of conversations.
    #[config(nested)]
    pub cache: conversation::cache::Settings,

    /// Streams.
    #[config(nested)]
    pub delivery: delivery::Settings,

    /// The embedded store.
    #[config(nested)]
    pub store: store::embedded::Options,

    /// The log in Cassandra or ScyllaDB, which several nodes share.
    #[config(nested)]
    pub cql: store::cql::Options,

    /// The bus between nodes, over a Redis Cluster.
    #[config(nested)]
    pub redis: bus::redis::Options,
}

/// When a log's buckets close, and how far back retries are known.
#[derive(Debug, Clone, PartialEq, Eq, Derive)]
pub struct Log {
    /// Hours after which a bucket is closed.
    #[config(default = 168, env = "NEXUS_CORE_LOG_BUCKET_HOURS")]
    pub bucket_hours: u32,

    /// Events after which a bucket is closed.
    #[config(default = 8192, env = "NEXUS_CORE_LOG_BUCKET_EVENTS")]
    pub bucket_events: u64,

    /// Bytes of events after which a bucket is closed.
    #[config(default = 4194304, env = "NEXUS_CORE_LOG_BUCKET_BYTES")]
    pub bucket_bytes: u64,

    /// Hours for which a retry of a request finds its first result. Older ones are OUT_OF_RANGE.
    #[config(default = 168, env = "NEXUS_CORE_LOG_HORIZON_HOURS")]
    pub horizon_hours: u32,

    /// Closed buckets in which a retry is looked up.
    #[config(default = 64, env = "NEXUS_CORE_LOG_HORIZON_BUCKETS")]
    pub horizon_buckets: usize,
}

/// How long events are kept. What is older is dropped, whole buckets at a time, so a little more may stay; a Trimmed event
/// says so. Conversations and tenants may have settings of their own.
#[derive(Debug, Clone, PartialEq, Eq, Derive)]
pub struct Retention {
    /// Days after which events may be dropped, unless a conversation or its tenant says otherwise; 0: never.
    #[config(default = 0, env = "NEXUS_CORE_RETENTION_DAYS")]
    pub days: u32,

    /// Minutes between two looks through all conversations for what is too old. One node does it for all.
    #[config(default = 360, env = "NEXUS_CORE_RETENTION_EVERY_MINUTES")]
    pub every_minutes: u32,
}

/// Limits of conversations.
#[derive(Debug, Clone, PartialEq, Eq, Derive)]
pub struct Conversation {
    /// Members of a group.
    #[config(default = 10000, env = "NEXUS_CORE_CONVERSATION_GROUP_MEMBERS")]
    pub group_members: u32,

    /// Members of a channel.
    #[config(default = 100000, env = "NEXUS_CORE_CONVERSATION_CHANNEL_MEMBERS")]
    pub channel_members: u32,

    /// Pinned messages of a conversation.
    #[config(default = 100, env = "NEXUS_CORE_CONVERSATION_PINS")]
    pub pins: usize,

    /// Reactions to one message, all kinds and users together.
    #[config(default = 1000, env = "NEXUS_CORE_CONVERSATION_REACTIONS")]
    pub reactions: usize,

    /// Kinds of reactions to one message.
    #[config(default = 50, env = "NEXUS_CORE_CONVERSATION_REACTION_KINDS")]
    pub reaction_kinds: usize,

    /// Requests that may wait for one conversation's append; further ones are UNAVAILABLE.
    #[config(default = 1024, env = "NEXUS_CORE_CONVERSATION_QUEUE")]
    pub queue: usize,

    /// Requests that one append carries.
    #[config(default = 256, env = "NEXUS_CORE_CONVERSATION_BATCH")]
    pub batch: usize,

    /// Milliseconds in which a request to append is answered; after them its outcome is unknown.
    #[config(default = 10000, env = "NEXUS_CORE_CONVERSATION_DEADLINE_MS")]
    pub deadline_ms: u64,
}

impl Config {
    /// Whether the log is one that several nodes share.
    pub fn is_clustered(&self) -> bool {
        !self.cql.nodes.is_empty()
    }

    /// Where edges are told to reach this node.
    pub fn announced(&self) -> Option<String> {
        let own = self.listen.filter(|address| !address.ip().is_unspecified() && address.port() != 0);
        self.announce.clone().or_else(|| own.map(|address| format!("https://{address}")))
    }

    /// Who may call AdminService.
    pub fn administrators(&self) -> Vec<Administrator> {
        self.administrators.iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// Everything that is wrong with these values, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> =
            self.store.problems().iter().map(|problem| format!("core.store.{problem}")).collect();
        problems.extend(self.delivery.problems());
        problems.extend(self.cache.problems());
        if self.admin != "off" && self.admin.parse::<std::net::SocketAddr>().is_err() {
            problems
                .push(format!("core.admin = {:?}: must be an address with a port, or \"off\"", self.admin));
        }
        let administrators = self.administrators.iter().map(|text| text.parse::<Administrator>());
        problems
            .extend(administrators.filter_map(Result::err).map(|why| format!("core.administrators: {why}")));
        match (self.is_clustered(), self.redis.nodes.is_empty()) {
            (true, false) => {
                problems.extend(self.cql.problems().iter().map(|problem| format!("core.cql.{problem}")));
                problems.extend(self.redis.problems());
            }
            (true, true) => problems.push(
                "core.cql.nodes: nodes that share a log need a bus to wake each other up; set core.redis.nodes".into(),
            ),
            (false, false) => problems.push(
                "core.redis.nodes: a bus is of no use to a node with a log of its own; set core.cql.nodes".into(),
            ),
            (false, true) => {}
        }
        if let Some(address) = &self.announce
            && !address.starts_with("https://")
        {
            problems.push(format!("core.announce = {address:?}: must begin with https://"));
        }
        if self.listen.is_some() && !self.tls.is_whole() {
            problems.push(
                "core.listen: whoever connects there is believed; set core.tls.certificate, key and client_ca".into(),
            );
        }
        // The kernel's limit of a socket's path is 107 bytes.
        if self.socket.as_os_str().len() > 107 {
            problems.push(format!(
                "core.socket = {}: a socket's path has at most 107 bytes",
                self.socket.display()
            ));
        }
        for (name, value, least, most) in self.numbers() {
            if value < least || value > most {
                problems.push(format!("core.{name} = {value}: must be {least}-{most}"));
            }
        }
        problems
    }

    /// Numbers by their names below `core`, with the least and the greatest that each may be.
    fn numbers(&self) -> Vec<(String, u64, u64, u64)> {
        let (log, conversation, retention) = (&self.log, &self.conversation, &self.retention);
        let numbers = [
            ("log.bucket_hours", u64::from(log.bucket_hours), 1, 24 * 366),
            ("log.bucket_events", log.bucket_events, 2, 1 << 20),
            ("log.bucket_bytes", log.bucket_bytes, 64 << 10, 64 << 20),
            ("log.horizon_hours", u64::from(log.horizon_hours), 1, 24 * 366),
            ("log.horizon_buckets", log.horizon_buckets as u64, 1, 4096),
            ("conversation.group_members", u64::from(conversation.group_members), 2, 1 << 20),
            ("conversation.channel_members", u64::from(conversation.channel_members), 2, 1 << 20),
            ("conversation.pins", conversation.pins as u64, 1, 1000),
            ("conversation.reactions", conversation.reactions as u64, 1, 10_000),
            ("conversation.reaction_kinds", conversation.reaction_kinds as u64, 1, 10_000),
            ("conversation.queue", conversation.queue as u64, 1, 1 << 20),
            ("conversation.batch", conversation.batch as u64, 1, 4096),
            ("conversation.deadline_ms", conversation.deadline_ms, 100, 600_000),
            ("retention.days", u64::from(retention.days), 0, 36_500),
            ("retention.every_minutes", u64::from(retention.every_minutes), 10, 24 * 60),
            ("drain_ms", self.drain_ms, 0, 600_000),
            ("notice_ms", self.notice_ms, 0, 60_000),
        ];
        let of_requests = self.limits.limits().into_iter();
        let of_requests =
            of_requests.map(|(name, value, least, most)| (format!("limits.{name}"), value, least, most));
        let numbers = numbers.into_iter();
        of_requests
            .chain(numbers.map(|(name, value, least, most)| (name.into(), value, least, most)))
            .collect()
    }

    /// The limits in force, by their names below `core`; those of delivery are its own.
    pub fn limits(&self) -> Vec<(String, u64)> {
        let mut limits: Vec<_> = self.numbers().into_iter().map(|(name, value, ..)| (name, value)).collect();
        if !self.is_clustered() {
            let of_store = self.store.limits().into_iter();
            limits.extend(of_store.map(|(name, value, _)| (format!("store.{name}"), value)));
        }
        limits
    }

    /// The settings of conversations.
    pub fn conversations(&self) -> conversation::Settings {
        let hour = 3_600_000;
        let rules = conversation::decide::Rules {
            group_members: self.conversation.group_members,
            channel_members: self.conversation.channel_members,
            pins: self.conversation.pins,
            reactions: self.conversation.reactions,
            reaction_kinds: self.conversation.reaction_kinds,
            ..Default::default()
        };
        conversation::Settings {
            log: log::Settings {
                limits: store::Limits {
                    window_ms: i64::from(self.log.bucket_hours) * hour,
                    events: self.log.bucket_events,
                    bytes: self.log.bucket_bytes,
                },
                horizon: Horizon {
                    age_ms: i64::from(self.log.horizon_hours) * hour,
                    buckets: self.log.horizon_buckets,
                },
                recent: self.is_clustered(),
            },
            rules,
            queue: self.conversation.queue,
            batch: self.conversation.batch,
            deadline: std::time::Duration::from_millis(self.conversation.deadline_ms),
            cache: self.cache.clone(),
            retention: conversation::retention::Settings {
                keep_ms: i64::from(self.retention.days) * 24 * hour,
                every: std::time::Duration::from_secs(u64::from(self.retention.every_minutes) * 60),
                ..Default::default()
            },
            ..Default::default()
        }
    }
}
