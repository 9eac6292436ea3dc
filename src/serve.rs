//! Core and edge in one process.

use crate::{config::Config, files, logging, page, token};
use anyhow::bail;
use nexus_core::{
    clock::SystemClock,
    node::{Node, Outside},
};
use nexus_gateway::{Gateway, Running};
use prometheus::Registry;
use rand::{SeedableRng as _, rngs::StdRng};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::signal::unix::{SignalKind, signal};

/// Seconds for which a development token is valid.
const TOKEN_SECONDS: i64 = 7 * 24 * 3600;
/// How often edge and core are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Serves until SIGINT or SIGTERM; SIGHUP reads the certificate again.
pub fn run(mut config: Config) -> anyhow::Result<()> {
    #[allow(clippy::disallowed_methods, reason = "how long the start took, before there is a runtime")]
    let begun = Instant::now();
    logging::start(&config.log)?;
    files::fit(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("core").enable_all().build()?;
    runtime.block_on(serve(config, begun))
}

async fn serve(config: Config, begun: Instant) -> anyhow::Result<()> {
    // Whoever stops us while we start shall not be ignored.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hangup = signal(SignalKind::hangup())?;
    if config.development()
        && let Some(path) = &config.gateway.auth.secret_file
    {
        token::ensure_secret(path)?;
    }
    let outside = Outside {
        clock: Arc::new(SystemClock),
        chance: StdRng::from_os_rng(),
        tokens: if config.development() { Some(tokens(&config)?) } else { None },
    };
    let node = Node::start(&config.core, outside).await?;
    let gateway = match Gateway::start(config.gateway.clone(), page::assets(), &Registry::new()).await {
        Ok(gateway) => gateway,
        Err(error) => {
            node.shutdown().await;
            return Err(error.into());
        }
    };
    greet(&config, &node, &gateway, begun.elapsed());
    let mut look = tokio::time::interval(LOOK);
    let ended = loop {
        tokio::select! {
            _ = interrupt.recv() => break None,
            _ = terminate.recv() => break None,
            _ = hangup.recv() => gateway.reload_certificate(),
            _ = look.tick() => match (gateway.has_ended(), node.has_ended()) {
                (false, false) => {}
                (true, _) => break Some("edge"),
                (_, true) => break Some("chat node"),
            },
        }
    };
    if logging::is_json() {
        tracing::info!("stopping; a second signal stops at once");
    } else {
        eprintln!("Stopping; a second signal stops at once.");
    }
    let stopped = async {
        // The core first: it tells streams to come back, and ends them itself.
        node.shutdown().await;
        gateway.shutdown(Duration::from_millis(config.core.drain_ms)).await
    };
    tokio::select! {
        drained = stopped => tracing::info!(connections_cut = drained.connections_cut, "stopped"),
        _ = interrupt.recv() => std::process::exit(130),
        _ = terminate.recv() => std::process::exit(143),
    }
    match ended {
        None => Ok(()),
        Some(part) => bail!("the {part} ended by itself, which is a mistake of ours; the log says more"),
    }
}

fn tokens(config: &Config) -> anyhow::Result<nexus_core::api::development::TokenMaker> {
    let signer = token::Signer::new(config)?;
    Ok(Arc::new(move |tenant, user, device| {
        let signed = signer.sign(tenant, user, device, TOKEN_SECONDS);
        signed.map(|(token, exp)| (token, exp as i64 * 1000)).map_err(|error| error.to_string())
    }))
}

/// The first lines: where it is, how to log in, whom to trust.
fn greet(config: &Config, node: &Node, gateway: &Running, took: Duration) {
    let port = gateway.addresses().https.port();
    let url = format!("https://localhost:{port}");
    let data = &config.core.data;
    if logging::is_json() {
        let admin = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        tracing::info!(
            url,
            data = %data.display(),
            mode = %config.core.mode,
            admin_edge = admin(gateway.addresses().admin),
            admin_core = admin(node.admin),
            "Nexus {} is ready after {} ms.",
            env!("CARGO_PKG_VERSION"),
            took.as_millis()
        );
        return;
    }
    eprintln!("Nexus {} is ready after {} ms.", env!("CARGO_PKG_VERSION"), took.as_millis());
    eprintln!();
    if page::present() {
        eprintln!("  Open     {url}   and log in with any name");
    } else {
        eprintln!("  Serving  {url}   (built without the web page: `make run` builds it)");
    }
    if config.development() {
        eprintln!("  Chat     nexus chat --user bob --server {url}   in a second terminal");
        eprintln!("  Token    nexus token --user bob   for grpcurl, or a client of yours");
        let ca = config.gateway.local_ca();
        eprintln!("  Trust    {}   is the local authority: import it into the browser,", ca.display());
        eprintln!("           or accept the browser's warning; `nexus chat` trusts it by itself");
    }
    eprintln!("  Data     {}", data.display());
    let admin = |address: Option<SocketAddr>| match address {
        Some(address) => format!("http://{address}/metrics"),
        None => "off".into(),
    };
    eprintln!("  Admin    {} (edge), {} (core)", admin(gateway.addresses().admin), admin(node.admin));
    if config.development() {
        eprintln!();
        eprintln!("  mode = \"development\": anybody who reaches this address can log in as anybody.");
    }
    eprintln!();
}
