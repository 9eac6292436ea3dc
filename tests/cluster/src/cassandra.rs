//! Real Cassandra nodes, one process each, on 127.0.0.1, 127.0.0.2 and so on, from jars alone.
//!
//! - here: a cluster, and what can be done to its nodes.
//! - `tools`: what it takes on the machine: java, and the jars, which maven fetches once.
//! - `config`: the files and the command line of a node.
//!
//! A node is ready after some 5 s and takes 0.9 GiB. All nodes share one native port, because drivers expect that; so do
//! proxies before them, on 127.0.1.1 and so on.

mod config;
mod tools;

pub use tools::missing;

use crate::{authority::Pair, ports, process::Process, proxy::Proxy};
use anyhow::Context as _;
use rustix::process::Signal;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// In which a node must be ready.
const READY: Duration = Duration::from_secs(180);
/// In which a node must end when it is asked to.
const STOP: Duration = Duration::from_secs(60);

/// How a cluster is made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Nodes, 1-9.
    pub nodes: u8,
    /// Whether one must log in. The first user is `cassandra`, with the password `cassandra`.
    pub passwords: bool,
    /// The heap of each node, in MiB.
    pub heap_mib: u32,
    /// Whether clients must encrypt.
    pub tls: Option<Tls>,
    /// `group` or `batch`: an answer means that it is on disk, as it must be in production; else `periodic`.
    pub commitlog_sync: &'static str,
    /// How nodes agree on conditional writes.
    pub paxos_variant: &'static str,
    /// Whether clients reach every node through a proxy.
    pub proxied: bool,
}

/// Encryption between nodes and their clients, who must show certificates as well.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The nodes' certificate, which names their addresses, and its key.
    pub pair: Pair,
    /// Authorities of clients.
    pub clients: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            nodes: 1,
            passwords: false,
            heap_mib: 512,
            tls: None,
            commitlog_sync: "group",
            paxos_variant: "v2",
            proxied: false,
        }
    }
}

/// A running cluster. Dropping it kills every node and deletes what they stored.
pub struct Cassandra {
    settings: Settings,
    native: u16,
    storage: u16,
    jmx: Vec<u16>,
    nodes: Vec<Option<Process>>,
    /// Before the nodes, in the same order, if there are any.
    proxies: Vec<Proxy>,
    folder: TempDir,
}

impl Cassandra {
    /// Starts a cluster; when this returns, every node answers and knows of all others.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        tools::jars().await?;
        let ports = ports::free(2 + usize::from(settings.nodes))?;
        let mut cluster = Self {
            native: ports[0],
            storage: ports[1],
            jmx: ports[2..].to_vec(),
            nodes: (0..settings.nodes).map(|_| None).collect(),
            proxies: Vec::new(),
            folder: tempfile::Builder::new().prefix("nexus-cassandra-").tempdir()?,
            settings,
        };
        for node in 0..cluster.nodes.len() {
            if cluster.settings.proxied {
                let native = |address| SocketAddr::from((address, cluster.native));
                let proxy = Proxy::start(native(cluster.reached(node)), native(address(node))).await?;
                cluster.proxies.push(proxy);
            }
            cluster.start_node(node).await?;
        }
        for node in 0..cluster.nodes.len() {
            let others: Vec<_> =
                (0..cluster.nodes.len()).filter(|other| *other != node).map(address).collect();
            let folder = cluster.folder_of(node);
            let process = cluster.nodes[node].as_mut().context("the node doesn't run")?;
            process.until(READY, async || others.iter().all(|other| sees(&folder, *other))).await?;
        }
        Ok(cluster)
    }

    /// Where clients reach the nodes, `address:port`.
    pub fn addresses(&self) -> Vec<String> {
        (0..self.nodes.len()).map(|node| format!("{}:{}", self.reached(node), self.native)).collect()
    }

    /// What stands before the nodes, if anything does.
    pub fn proxies(&self) -> &[Proxy] {
        &self.proxies
    }

    /// The address that clients learn of a node: its own, or that of the proxy before it.
    fn reached(&self, node: usize) -> Ipv4Addr {
        let [a, b, c, d] = address(node).octets();
        Ipv4Addr::new(a, b, c + u8::from(self.settings.proxied), d)
    }

    /// Starts a node that doesn't run, with what it stored; when this returns, it answers.
    pub async fn start_node(&mut self, node: usize) -> anyhow::Result<()> {
        let name = format!("cassandra {}", node + 1);
        eprintln!("cluster: {name} starts on {}:{}", address(node), self.native);
        let folder = self.folder_of(node);
        let at = config::At {
            folder: &folder,
            address: address(node),
            reached: self.reached(node),
            seed: address(0),
            native: self.native,
            storage: self.storage,
            jmx: self.jmx[node],
            settings: &self.settings,
        };
        let command = at.prepare().with_context(|| format!("prepare {name}"))?;
        let mut process = Process::start(&name, command, &folder.join("out.log"))?;
        let native = (address(node), self.native);
        let answers = async || match self.settings.tls {
            None => answers(native).await,
            // It would have to be spoken to in TLS.
            Some(_) => listens(&folder) && TcpStream::connect(native).await.is_ok(),
        };
        process.until(READY, answers).await.with_context(|| end_of_log(&folder))?;
        if self.settings.passwords {
            // The first user is made after the port is open.
            process.until(READY, async || has_first_user(&folder)).await?;
        }
        self.nodes[node] = Some(process);
        eprintln!("cluster: {name} is ready");
        Ok(())
    }

    fn folder_of(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("n{}", node + 1))
    }

    /// SIGKILL.
    pub async fn kill(&mut self, node: usize) -> anyhow::Result<()> {
        self.nodes[node].take().context("the node doesn't run")?.kill().await
    }

    /// SIGTERM, and its end.
    pub async fn stop(&mut self, node: usize) -> anyhow::Result<()> {
        self.nodes[node].take().context("the node doesn't run")?.stop(STOP).await.map(drop)
    }

    /// SIGSTOP: its connections stay, and it says nothing.
    pub fn pause(&self, node: usize) -> anyhow::Result<()> {
        self.process(node)?.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn resume(&self, node: usize) -> anyhow::Result<()> {
        self.process(node)?.signal(Signal::CONT)
    }

    /// A running node's process.
    pub fn process(&self, node: usize) -> anyhow::Result<&Process> {
        self.nodes[node].as_ref().context("the node doesn't run")
    }
}

fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, node as u8 + 1)
}

/// Whether the native port answers an OPTIONS frame with SUPPORTED.
async fn answers(native: (Ipv4Addr, u16)) -> bool {
    const OPTIONS: [u8; 9] = [4, 0, 0, 0, 5, 0, 0, 0, 0];
    const SUPPORTED: u8 = 6;
    let ask = async {
        let mut stream = TcpStream::connect(native).await?;
        stream.write_all(&OPTIONS).await?;
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        std::io::Result::Ok(head[4] == SUPPORTED)
    };
    matches!(timeout(Duration::from_secs(2), ask).await, Ok(Ok(true)))
}

fn listens(folder: &Path) -> bool {
    log_of(folder).contains("Starting listening for CQL clients on")
}

/// Whether a node has found another alive since it was made.
fn sees(folder: &Path, other: Ipv4Addr) -> bool {
    log_of(folder).lines().any(|line| line.contains(&format!("/{other}:")) && line.ends_with("is now UP"))
}

fn has_first_user(folder: &Path) -> bool {
    log_of(folder).contains("Created default superuser role 'cassandra'")
}

fn log_of(folder: &Path) -> String {
    fs::read_to_string(folder.join("system.log")).unwrap_or_default()
}

/// What an error shows.
fn end_of_log(folder: &Path) -> String {
    let log = log_of(folder);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
