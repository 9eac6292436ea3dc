//! A Redis Cluster of three masters and three replicas on this machine, and what can happen to it.

use crate::{ports, process::Process, proxy::Proxy};
use anyhow::{Context as _, bail, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustix::process::Signal;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

/// Masters; there are as many replicas.
pub const MASTERS: usize = 3;
/// Slots of a cluster.
const SLOTS: usize = 16_384;
/// Milliseconds after which the nodes of the cluster take one that is silent for dead.
pub const NODE_TIMEOUT_MS: u64 = 2000;
/// How long anything that a cluster does by itself may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Why there can be no cluster on this machine, if so.
pub fn missing() -> Option<String> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let there = |program: &&str| std::env::split_paths(&paths).any(|path| path.join(program).is_file());
    let lacking: Vec<&str> = ["redis-server", "redis-cli"].into_iter().filter(|p| !there(p)).collect();
    (!lacking.is_empty()).then(|| format!("{} not installed", lacking.join(" and ")))
}

/// What a cluster demands of its clients.
pub struct Guard {
    /// A folder with `ca.pem`, `cert.pem` and `key.pem`, for nodes and clients alike.
    pub certificates: PathBuf,
    /// The default user's password; nodes use it among themselves.
    pub password: String,
    /// More users, each as ACL SETUSER has them.
    pub users: Vec<Vec<String>>,
}

impl Guard {
    /// A guard with certificates that it makes in a folder, good for 127.0.0.1.
    pub fn new(folder: &Path, password: &str, users: Vec<Vec<String>>) -> anyhow::Result<Self> {
        let (authority_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Of the same name as what it signs, that would look signed by itself.
        authority.distinguished_name.push(DnType::CommonName, "An authority");
        fs::write(folder.join("ca.pem"), authority.self_signed(&authority_key)?.pem())?;
        let issuer = Issuer::new(authority, authority_key);
        let signed = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
        fs::write(folder.join("cert.pem"), signed.pem())?;
        fs::write(folder.join("key.pem"), key.serialize_pem())?;
        Ok(Self { certificates: folder.to_owned(), password: password.to_owned(), users })
    }

    /// A file of it, by name.
    pub fn file(&self, name: &str) -> String {
        self.certificates.join(name).display().to_string()
    }
}

/// A running cluster. Its processes die and its files go with it.
pub struct RedisCluster {
    // Dropped before their folder.
    nodes: Vec<Node>,
    guard: Option<Guard>,
    /// Before the nodes, in the same order, if there are any.
    proxies: Vec<Proxy>,
    folder: TempDir,
}

struct Node {
    port: u16,
    /// The port that clients learn: its own, or that of the proxy before it.
    announced: u16,
    /// The port on which nodes talk to each other.
    bus: u16,
    /// `None` while it is dead.
    process: Option<Process>,
    paused: bool,
}

impl Node {
    fn answers(&self) -> bool {
        self.process.is_some() && !self.paused
    }
}

impl RedisCluster {
    /// Starts a cluster, and returns when it is whole.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(None).await
    }

    /// Starts one that may be guarded, and returns when it is whole.
    pub async fn start_with(guard: Option<Guard>) -> anyhow::Result<Self> {
        Self::start_as(guard, false).await
    }

    /// Starts one whose clients reach every node through a proxy, and returns when it is whole.
    pub async fn start_proxied() -> anyhow::Result<Self> {
        Self::start_as(None, true).await
    }

    async fn start_as(guard: Option<Guard>, proxied: bool) -> anyhow::Result<Self> {
        let ports = ports::free(6 * MASTERS)?;
        let node = |three: &[u16]| {
            let announced = if proxied { three[2] } else { three[0] };
            Node { port: three[0], announced, bus: three[1], process: None, paused: false }
        };
        let nodes: Vec<Node> = ports.chunks(3).map(node).collect();
        let mut proxies = Vec::new();
        for node in nodes.iter().filter(|_| proxied) {
            let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            proxies.push(Proxy::start(local(node.announced), local(node.port)).await?);
        }
        let mut cluster = Self { folder: TempDir::new()?, guard, proxies, nodes };
        for node in 0..cluster.nodes.len() {
            cluster.restart(node).await?;
        }
        cluster.found().await?;
        Ok(cluster)
    }

    /// The nodes as clients reach them, `host:port`, the first masters first.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.announced)).collect()
    }

    /// What stands before the nodes, if anything does.
    pub fn proxies(&self) -> &[Proxy] {
        &self.proxies
    }

    fn path(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("node-{node}"))
    }

    /// Starts a node that is dead, with what it has on disk.
    pub async fn restart(&mut self, node: usize) -> anyhow::Result<()> {
        let path = self.path(node);
        fs::create_dir_all(&path)?;
        let Node { port, announced, bus, .. } = self.nodes[node];
        let mut command = Command::new("redis-server");
        for (name, value) in [
            ("--bind", "127.0.0.1".to_owned()),
            ("--cluster-enabled", "yes".into()),
            ("--cluster-port", bus.to_string()),
            ("--cluster-node-timeout", NODE_TIMEOUT_MS.to_string()),
            ("--dir", path.display().to_string()),
            ("--save", String::new()),
            ("--appendonly", "yes".into()),
        ] {
            command.args([name, &value]);
        }
        if announced != port {
            command.args(["--cluster-announce-port", &announced.to_string()]);
        }
        let port = port.to_string();
        match &self.guard {
            None => drop(command.args(["--port", &port])),
            Some(guard) => {
                command.args(["--port", "0", "--tls-port", &port]);
                command.args(["--tls-cluster", "yes", "--tls-replication", "yes"]);
                let files = [
                    ("--tls-ca-cert-file", "ca.pem"),
                    ("--tls-cert-file", "cert.pem"),
                    ("--tls-key-file", "key.pem"),
                ];
                for (name, file) in files {
                    command.args([name, &guard.file(file)]);
                }
                command.args(["--requirepass", &guard.password, "--masterauth", &guard.password]);
                for user in &guard.users {
                    command.arg("--user").args(user);
                }
            }
        }
        let log = self.folder.path().join(format!("node-{node}.log"));
        let mut process = Process::start(&format!("redis node {node}"), command, &log)?;
        let answers = async || self.ask(node, &["PING"]).await.is_ok_and(|answer| answer.trim() == "PONG");
        process.until(PATIENCE, answers).await?;
        self.nodes[node].process = Some(process);
        Ok(())
    }

    /// SIGKILL.
    pub async fn kill(&mut self, node: usize) -> anyhow::Result<()> {
        self.nodes[node].process.take().context("it is dead")?.kill().await
    }

    /// SIGSTOP: it is there, and says nothing.
    pub fn pause(&mut self, node: usize) -> anyhow::Result<()> {
        self.nodes[node].paused = true;
        self.nodes[node].process.as_ref().context("it is dead")?.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn resume(&mut self, node: usize) -> anyhow::Result<()> {
        self.nodes[node].paused = false;
        self.nodes[node].process.as_ref().context("it is dead")?.signal(Signal::CONT)
    }

    /// How many nodes it has.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// SIGKILL for all of them, and a new cluster without any memory in their place.
    pub async fn begin_anew(&mut self) -> anyhow::Result<()> {
        for node in 0..self.nodes.len() {
            if let Some(process) = self.nodes[node].process.take() {
                process.kill().await?;
            }
            fs::remove_dir_all(self.path(node))?;
        }
        for node in 0..self.nodes.len() {
            self.restart(node).await?;
        }
        self.found().await
    }

    /// Asks a node, as redis-cli does.
    pub async fn ask(&self, node: usize, command: &[&str]) -> anyhow::Result<String> {
        let port = self.nodes[node].port.to_string();
        let mut cli = Command::new("redis-cli");
        cli.args(["-h", "127.0.0.1", "-p", &port]).kill_on_drop(true);
        if let Some(guard) = &self.guard {
            cli.args(["--tls", "--cacert", &guard.file("ca.pem"), "--cert", &guard.file("cert.pem")]);
            cli.args(["--key", &guard.file("key.pem"), "--no-auth-warning", "-a", &guard.password]);
        }
        cli.args(command);
        let output =
            timeout(Duration::from_secs(5), cli.output()).await.context("redis-cli takes too long")??;
        let answer = String::from_utf8(output.stdout)?;
        ensure!(
            output.status.success() && !answer.starts_with("ERR") && !answer.starts_with("Could not"),
            "node {node} answers {command:?} with {answer}{}",
            String::from_utf8_lossy(&output.stderr),
        );
        Ok(answer)
    }

    /// Makes a cluster of nodes that know nothing: slots, acquaintance, replicas.
    async fn found(&self) -> anyhow::Result<()> {
        let mut ids = Vec::new();
        for node in 0..self.nodes.len() {
            ids.push(self.ask(node, &["CLUSTER", "MYID"]).await?.trim().to_owned());
            self.ask(node, &["CLUSTER", "SET-CONFIG-EPOCH", &(node + 1).to_string()]).await?;
        }
        for node in 0..MASTERS {
            let (first, last) = (node * SLOTS / MASTERS, (node + 1) * SLOTS / MASTERS - 1);
            let range = [first.to_string(), last.to_string()];
            self.ask(node, &["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]).await?;
        }
        for Node { announced, bus, .. } in &self.nodes[1..] {
            self.ask(0, &["CLUSTER", "MEET", "127.0.0.1", &announced.to_string(), &bus.to_string()]).await?;
        }
        for node in MASTERS..self.nodes.len() {
            let (master, mut why) = (&ids[node - MASTERS], String::new());
            let replicates = async {
                // It can only once it has heard of its master.
                while let Err(error) = self.ask(node, &["CLUSTER", "REPLICATE", master]).await {
                    why = error.to_string();
                    sleep(LOOK).await;
                }
            };
            if timeout(PATIENCE, replicates).await.is_err() {
                bail!("node {node} does not become a replica: {why}");
            }
        }
        self.until_whole().await?;
        // A failover needs a replica that is in step with its master.
        for node in MASTERS..self.nodes.len() {
            let in_step = async || {
                let info = self.ask(node, &["INFO", "replication"]).await.unwrap_or_default();
                info.contains("master_link_status:up")
            };
            self.until("the replicas are in step", in_step).await?;
        }
        Ok(())
    }

    /// Waits until every node that is alive says that all slots are served by masters that are alive.
    pub async fn until_whole(&self) -> anyhow::Result<()> {
        let whole = async || {
            for node in self.alive() {
                let info = self.ask(node, &["CLUSTER", "INFO"]).await.unwrap_or_default();
                if !info.contains("cluster_state:ok") || !info.contains("cluster_slots_ok:16384") {
                    return false;
                }
                for master in self.masters_as_seen_by(node).await.unwrap_or_default() {
                    if !self.nodes[master].answers() {
                        return false;
                    }
                }
            }
            true
        };
        self.until("the cluster is whole", whole).await
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
        let holds = async {
            while !holds().await {
                sleep(LOOK).await;
            }
        };
        timeout(PATIENCE, holds).await.with_context(|| format!("not within {PATIENCE:?}: {what}"))
    }

    fn alive(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].answers())
    }

    /// The masters with slots, by the word of a node.
    async fn masters_as_seen_by(&self, node: usize) -> anyhow::Result<Vec<usize>> {
        let nodes = self.ask(node, &["CLUSTER", "NODES"]).await?;
        let lines = nodes.lines().filter(|line| line.contains("master") && line.split(' ').count() > 8);
        let port = |line: &str| line.split([':', '@']).nth(1)?.parse::<u16>().ok();
        let index = |port: u16| self.nodes.iter().position(|node| node.announced == port);
        Ok(lines.filter_map(|line| index(port(line)?)).collect())
    }

    /// Waits until another node than this has a slot, by the word of one that is alive.
    pub async fn until_taken_over(&self, slot: u16, from: usize) -> anyhow::Result<()> {
        let taken = async || self.master_of(slot).await.is_ok_and(|master| master != from);
        self.until("a replica takes over", taken).await
    }

    /// The slot of a channel.
    pub async fn slot(&self, channel: &str) -> anyhow::Result<u16> {
        let node = self.alive().next().context("all are dead")?;
        Ok(self.ask(node, &["CLUSTER", "KEYSLOT", channel]).await?.trim().parse()?)
    }

    /// The master that has a slot.
    pub async fn master_of(&self, slot: u16) -> anyhow::Result<usize> {
        let node = self.alive().next().context("all are dead")?;
        let slots = self.ask(node, &["--json", "CLUSTER", "SLOTS"]).await?;
        let ranges: Vec<(u16, u16, u16)> = slots
            .trim()
            .trim_start_matches("[[")
            .split("]],[")
            .filter_map(|row| {
                let mut fields = row.split([',', '[']).filter(|field| !field.is_empty());
                let (first, last) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
                fields.next()?;
                Some((first, last, fields.next()?.parse().ok()?))
            })
            .collect();
        let of = ranges.iter().find(|(first, last, _)| (first..=last).contains(&&slot));
        let port = of.with_context(|| format!("nobody has slot {slot}: {slots}"))?.2;
        self.nodes.iter().position(|node| node.announced == port).context("a master of another cluster")
    }

    /// Moves a slot without keys to another master, the way that resharding does. Gives the new one.
    pub async fn move_slot(&self, slot: u16) -> anyhow::Result<usize> {
        let from = self.master_of(slot).await?;
        let masters = self.masters_as_seen_by(from).await?;
        let to = *masters.iter().find(|master| **master != from).context("there is no other master")?;
        let slot = slot.to_string();
        let source = self.ask(from, &["CLUSTER", "MYID"]).await?.trim().to_owned();
        let target = self.ask(to, &["CLUSTER", "MYID"]).await?.trim().to_owned();
        self.ask(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]).await?;
        self.ask(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]).await?;
        self.ask(to, &["CLUSTER", "SETSLOT", &slot, "NODE", &target]).await?;
        self.ask(from, &["CLUSTER", "SETSLOT", &slot, "NODE", &target]).await?;
        Ok(to)
    }
}
