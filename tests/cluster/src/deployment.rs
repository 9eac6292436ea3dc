//! All of it: Redis, Cassandra, chat nodes, edges, and what stands in front of them.

use crate::{
    authority::Authority, cassandra, cassandra::Cassandra, front::Front, ports, process::Process,
    program::Part, proxy::Proxy, redis, redis::RedisCluster,
};
use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// How long a part may take to end in good order.
const STOP: Duration = Duration::from_secs(60);
/// How long edges may take to learn how a chat node is, also one that none of them names.
const LEARNED: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The first chat node's user id, where each has its own; nobody's on a usual machine.
const FIRST_USER: u32 = 47_110;
/// The user who administers every tenant.
pub const ADMINISTRATOR: &str = "root";

/// How large it is.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Cassandra nodes: 1, or 3 with every row on all of them.
    pub cassandra: u8,
    /// Chat nodes.
    pub cores: usize,
    /// Edges.
    pub gateways: usize,
    /// Where clients connect; `None`: a free port.
    pub port: Option<u16>,
    /// Whether Redis, Cassandra and chat nodes are reached through proxies, by which one can be cut off without root.
    pub proxied: bool,
    /// Further settings of every part, by their environment variables.
    pub settings: Vec<(String, String)>,
}

impl Default for Shape {
    fn default() -> Self {
        Self { cassandra: 1, cores: 3, gateways: 2, port: None, proxied: false, settings: Vec::new() }
    }
}

/// What this machine lacks for it; `None`: nothing.
pub fn missing() -> Option<String> {
    redis::missing().or_else(cassandra::missing).or_else(crate::front::missing)
}

/// A chat node or an edge, which may be dead.
pub struct Member {
    /// How it is started.
    pub part: Part,
    process: Option<Process>,
}

impl Member {
    /// Starts it, and waits until it is ready.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.process = Some(self.part.start().await?);
        Ok(())
    }

    /// Its process's id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref()?.id()
    }

    /// SIGKILL.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().context("it is dead")?.kill().await
    }

    /// SIGTERM, and its end.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let name = self.part.name.clone();
        let status = self.process.take().context("it is dead")?.stop(STOP).await?;
        ensure!(status.success(), "{name} ended with {status}: {}", self.part.last_lines());
        Ok(())
    }

    /// SIGSTOP: its connections stay, and it says nothing.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.process.as_ref().context("it is dead")?.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.process.as_ref().context("it is dead")?.signal(Signal::CONT)
    }
}

/// A running deployment. Dropping it kills all of it and deletes what it stored.
pub struct Deployment {
    /// The log.
    pub cassandra: Cassandra,
    /// The bus.
    pub redis: RedisCluster,
    /// Chat nodes.
    pub cores: Vec<Member>,
    /// Edges.
    pub gateways: Vec<Member>,
    /// Before the chat nodes, in the same order, if there are any.
    pub proxies: Vec<Proxy>,
    front: Front,
    folder: TempDir,
}

impl Deployment {
    /// Starts all of it; `progress` is told how far it is, for people. When it returns, everything is ready.
    pub async fn start(shape: &Shape, progress: impl Fn(String)) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("nexus-cluster-").tempdir()?;
        let path = folder.path();
        progress(format!("starting Redis (3 masters, 3 replicas) and Cassandra ({} nodes)", shape.cassandra));
        let settings =
            cassandra::Settings { nodes: shape.cassandra, proxied: shape.proxied, ..Default::default() };
        let redis = async {
            match shape.proxied {
                true => RedisCluster::start_proxied().await,
                false => RedisCluster::start().await,
            }
        };
        let (redis, cassandra) = tokio::try_join!(redis, Cassandra::start(settings))?;

        // Each chat node runs as another user, if it can, so that it can be cut off alone; proxies know it by its id.
        let apart = !shape.proxied && crate::cut::impossible().is_none();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        if apart {
            fs::copy(crate::program::path()?, path.join("nexus")).context("a copy of the program")?;
        }
        let secret = path.join("token-secret");
        fs::write(&secret, "only for tests: anybody who can read this may be anybody")?;
        let (nodes, edges) = (Authority::new(path, "nodes")?, Authority::new(path, "edges")?);
        let ports = ports::free(2 * (shape.cores + shape.gateways))?;
        let mut proxies = Vec::new();
        let (core_ports, gateway_ports) = ports.split_at(2 * shape.cores);
        let (mut cores, mut reached) = (Vec::new(), Vec::new());
        for (n, two) in core_ports.chunks(2).enumerate() {
            let name = format!("core-{n}");
            let pair = nodes.sign(&name, &["127.0.0.1"])?;
            let listen = format!("127.0.0.1:{}", two[0]);
            let mut part = Part::core(path, &name, &listen, two[1], &pair, &path.join("edges-ca.pem"))
                .with("NEXUS_CORE_CQL_NODES", cassandra.addresses().join(","))
                .with("NEXUS_CORE_CQL_REPLICATION_FACTOR", shape.cassandra)
                .with("NEXUS_CORE_REDIS_NODES", redis.addresses().join(","))
                .with("NEXUS_CORE_ADMINISTRATORS", format!("*/{ADMINISTRATOR}"));
            reached.push(format!("https://{listen}"));
            if shape.proxied {
                let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                let proxy = Proxy::start(local(ports::one()?), local(two[0])).await?;
                reached[n] = format!("https://{}", proxy.address());
                part = part.with("NEXUS_CORE_ANNOUNCE", &reached[n]);
                proxies.push(proxy);
            }
            // Another user may not be let into the folder of the build.
            let program = apart.then(|| path.join("nexus"));
            let user = apart.then_some(FIRST_USER + n as u32);
            if let Some(user) = user {
                std::os::unix::fs::chown(&pair.key, Some(user), None)?;
            }
            cores.push(Member { part: Part { user, program, ..part }, process: None });
        }
        // The last has to announce itself.
        reached.truncate(shape.cores.saturating_sub(1).max(1));
        let mut gateways = Vec::new();
        for (n, two) in gateway_ports.chunks(2).enumerate() {
            let name = format!("gateway-{n}");
            let pair = edges.sign(&name, &[&name])?;
            let part = Part::gateway(path, &name, two[0], two[1], &pair, &path.join("nodes-ca.pem"))
                .with("NEXUS_GATEWAY_UPSTREAMS", reached.join(","));
            gateways.push(Member { part, process: None });
        }
        for member in cores.iter_mut().chain(&mut gateways) {
            member.part.settings.extend(shape.settings.iter().cloned());
            progress(format!("starting {}", member.part.name));
            member.start().await?;
        }
        let behind: Vec<(u16, u16)> = gateway_ports.chunks(2).map(|two| (two[0], two[1])).collect();
        let front = Front::start(path, shape.port, &behind).await?;
        let deployment = Self { cassandra, redis, cores, gateways, proxies, front, folder };
        deployment.until_known(deployment.last()?, true).await?;
        Ok(deployment)
    }

    /// Waits until every edge takes a chat node for well, or none does.
    pub async fn until_known(&self, core: usize, well: bool) -> anyhow::Result<()> {
        let label = self.label(core)?;
        for Member { part, .. } in &self.gateways {
            let known = async || {
                let healthy = part.metric("nexus_gateway_upstream_healthy", &label).await;
                healthy.is_ok_and(|healthy| (healthy >= 1.0) == well)
            };
            let until = async {
                while !known().await {
                    sleep(LOOK).await;
                }
            };
            let what = || format!("{} does not learn how the node at {label} is", part.name);
            timeout(LEARNED, until).await.with_context(what)?;
        }
        Ok(())
    }

    /// The chat node that no edge names.
    fn last(&self) -> anyhow::Result<usize> {
        self.cores.len().checked_sub(1).context("there is no chat node")
    }

    /// A chat node as it is called in edges' metrics.
    fn label(&self, core: usize) -> anyhow::Result<String> {
        let part = &self.cores[core].part;
        let listens = || part.setting("NEXUS_CORE_LISTEN").map(|listen| format!("https://{listen}"));
        let url = part.setting("NEXUS_CORE_ANNOUNCE").or_else(listens).context("it listens nowhere")?;
        Ok(format!("upstream=\"{url}\""))
    }

    /// How many requests the chat node answered that no edge names.
    pub async fn answered_by_announced(&self) -> anyhow::Result<f64> {
        let (label, mut sum) = (self.label(self.last()?)?, 0.0);
        for Member { part, .. } in &self.gateways {
            sum += part.metric("nexus_gateway_upstream_header_seconds_count", &label).await?;
        }
        Ok(sum)
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.front.port)
    }

    /// Whom clients trust.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("data/tls/ca.pem")
    }

    /// Where the logs of its parts are.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The sum of a metric over all chat nodes that answer.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        let mut sum = 0.0;
        for core in &self.cores {
            sum += core.part.metric(name, label).await.unwrap_or(0.0);
        }
        sum
    }

    /// Ends everything in order: edges and nodes say goodbye, the rest is killed.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for member in self.cores.iter_mut().chain(&mut self.gateways) {
            if member.process.is_some() {
                member.stop().await?;
            }
        }
        Ok(())
    }

    /// The local authority's certificate.
    pub fn ca_pem(&self) -> anyhow::Result<Vec<u8>> {
        fs::read(self.ca()).with_context(|| self.ca().display().to_string())
    }
}
