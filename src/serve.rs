//! Core and edge: in one process, or each in one of its own.

use crate::{
    config::{Config, Role},
    files, logging, page, token,
};
use anyhow::bail;
use nexus_core::{
    clock::SystemClock,
    node::{Node, Outside},
};
use nexus_gateway::{Gateway, Running};
use prometheus::Registry;
use rand::{SeedableRng as _, rngs::StdRng};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::signal::unix::{SignalKind, signal};

/// Seconds for which a development token is valid.
const TOKEN_SECONDS: i64 = 7 * 24 * 3600;
/// How often edge and core are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// For the edge to end what is under way, however long the core took.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves until SIGINT or SIGTERM; SIGHUP reads the certificate and the configuration, which came from `path`, again.
pub fn run(mut config: Config, path: Option<&Path>, role: Role) -> anyhow::Result<()> {
    #[allow(clippy::disallowed_methods, reason = "how long the start took, before there is a runtime")]
    let begun = Instant::now();
    logging::start(&config.log)?;
    files::fit(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("core").enable_all().build()?;
    runtime.block_on(serve(config, path, role, begun))
}

/// What runs.
struct Parts {
    node: Option<Node>,
    gateway: Option<Running>,
}

impl Parts {
    async fn start(config: &Config, role: Role) -> anyhow::Result<Self> {
        let node = if role.has_core() {
            let outside = Outside {
                clock: Arc::new(SystemClock),
                chance: StdRng::from_os_rng(),
                tokens: if config.development() { Some(tokens(config)?) } else { None },
            };
            Some(Node::start(&config.core, outside).await?)
        } else {
            None
        };
        if !role.has_gateway() {
            return Ok(Self { node, gateway: None });
        }
        match Gateway::start(config.gateway.clone(), page::assets(), &Registry::new()).await {
            Ok(gateway) => Ok(Self { node, gateway: Some(gateway) }),
            Err(error) => {
                if let Some(node) = node {
                    node.shutdown().await;
                }
                Err(error.into())
            }
        }
    }

    /// Which part has ended by itself.
    fn ended(&self) -> Option<&'static str> {
        if self.gateway.as_ref().is_some_and(Running::has_ended) {
            return Some("edge");
        }
        self.node.as_ref().is_some_and(Node::has_ended).then_some("chat node")
    }

    /// Ends them; gives the number of connections that were cut.
    async fn stop(self, deadline: Duration) -> usize {
        let end = tokio::time::Instant::now() + deadline;
        // The core first: it tells streams to come back, and ends them itself.
        if let Some(node) = self.node {
            node.shutdown().await;
        }
        match self.gateway {
            Some(gateway) => {
                // What the core left of the time; some there must be to say goodbye.
                let left =
                    end.saturating_duration_since(tokio::time::Instant::now()).max(deadline.min(FAREWELL));
                gateway.shutdown(left).await.connections_cut
            }
            None => 0,
        }
    }
}

async fn serve(mut config: Config, path: Option<&Path>, role: Role, begun: Instant) -> anyhow::Result<()> {
    // Whoever stops us while we start shall not be ignored.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hangup = signal(SignalKind::hangup())?;
    if config.development()
        && let Some(path) = &config.gateway.auth.secret_file
    {
        token::ensure_secret(path)?;
    }
    let parts = Parts::start(&config, role).await?;
    greet(&config, &parts, begun.elapsed());
    let mut look = tokio::time::interval(LOOK);
    let ended = loop {
        tokio::select! {
            _ = interrupt.recv() => break None,
            _ = terminate.recv() => break None,
            _ = hangup.recv() => reload(&mut config, path, role, &parts).await,
            _ = look.tick() => match parts.ended() {
                None => {}
                ended => break ended,
            },
        }
    };
    if logging::is_json() {
        tracing::info!("stopping; a second signal stops at once");
    } else {
        eprintln!("Stopping; a second signal stops at once.");
    }
    let stopped = parts.stop(Duration::from_millis(config.core.drain_ms));
    tokio::select! {
        connections_cut = stopped => tracing::info!(connections_cut, "stopped"),
        _ = interrupt.recv() => std::process::exit(130),
        _ = terminate.recv() => std::process::exit(143),
    }
    match ended {
        None => Ok(()),
        Some(part) => bail!("the {part} ended by itself, which is a mistake of ours; the log says more"),
    }
}

async fn reload(running: &mut Config, path: Option<&Path>, role: Role, parts: &Parts) {
    parts.gateway.iter().for_each(Running::reload_certificate);
    match follow(running, path, role, parts).await {
        Ok(()) => tracing::info!("the configuration was read again and is in use"),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the configuration stays as it was")
        }
    }
}

/// Takes what the configuration says now in use, as a whole or not at all.
async fn follow(running: &mut Config, path: Option<&Path>, role: Role, parts: &Parts) -> anyhow::Result<()> {
    let mut now = Config::read(path, role)?;
    files::fit(&mut now);
    if role.has_core() && now.core != running.core {
        bail!("[core] can't be changed while a chat node runs; restart it");
    }
    if now.log.format != running.log.format {
        bail!("log.format can't be changed while the process runs; restart it");
    }
    if let Some(gateway) = &parts.gateway {
        gateway.reload(now.gateway.clone()).await?;
    }
    logging::refilter(&now.log).map_err(anyhow::Error::msg)?;
    *running = now;
    Ok(())
}

fn tokens(config: &Config) -> anyhow::Result<nexus_core::api::development::TokenMaker> {
    let signer = token::Signer::new(config)?;
    Ok(Arc::new(move |tenant, user, device| {
        let signed = signer.sign(tenant, user, device, TOKEN_SECONDS);
        signed.map(|(token, exp)| (token, exp as i64 * 1000)).map_err(|error| error.to_string())
    }))
}

/// The first lines: where it is, how to log in, whom to trust.
fn greet(config: &Config, parts: &Parts, took: Duration) {
    let version = env!("CARGO_PKG_VERSION");
    let url = parts
        .gateway
        .as_ref()
        .map(|gateway| format!("https://localhost:{}", gateway.addresses().https.port()));
    let edge_admin = parts.gateway.as_ref().and_then(|gateway| gateway.addresses().admin);
    let core_admin = parts.node.as_ref().and_then(|node| node.admin);
    if logging::is_json() {
        tracing::info!(
            url,
            listen = parts.node.as_ref().and_then(|node| node.address).map(|address| address.to_string()),
            data = %config.core.data.display(),
            mode = %config.core.mode,
            admin_edge = edge_admin.map(|address| address.to_string()),
            admin_core = core_admin.map(|address| address.to_string()),
            "Nexus {version} is ready after {} ms.",
            took.as_millis()
        );
        return;
    }
    eprintln!("Nexus {version} is ready after {} ms.", took.as_millis());
    eprintln!();
    if let Some(url) = &url {
        greet_clients(config, url);
    }
    if let Some(node) = &parts.node {
        match node.address {
            Some(address) => eprintln!("  Node     {address}, for edges that show a certificate"),
            None if parts.gateway.is_none() => eprintln!("  Node     unix:{}", config.core.socket.display()),
            None => {}
        }
        eprintln!("  Data     {}", config.core.data.display());
    }
    for (what, admin) in [("edge", edge_admin), ("core", core_admin)] {
        if let Some(address) = admin {
            eprintln!("  Admin    http://{address}/metrics ({what})");
        }
    }
    if config.development() && url.is_some() {
        eprintln!();
        eprintln!("  mode = \"development\": anybody who reaches this address can log in as anybody.");
    }
    eprintln!();
}

/// How clients come in.
fn greet_clients(config: &Config, url: &str) {
    if page::present() {
        eprintln!("  Open     {url}   and log in with any name");
    } else {
        eprintln!("  Serving  {url}   (built without the web page: `make run` builds it)");
    }
    if config.development() {
        // As it was called, so that the lines can be typed.
        let nexus = std::env::args().next().unwrap_or_else(|| "nexus".into());
        eprintln!("  Chat     {nexus} chat --user bob --server {url}   in a second terminal");
        eprintln!("  Token    {nexus} token --user bob   for grpcurl, or a client of yours");
        let ca = config.gateway.local_ca();
        eprintln!("  Trust    {}   is the local authority: import it into the browser,", ca.display());
        eprintln!("           or accept the browser's warning; `nexus chat` trusts it by itself");
    }
}
