//! Starting the edge, and ending it.

use crate::{
    Assets, Clock,
    admin::Admin,
    config::Config,
    metrics::Metrics,
    policy::{self, Places, open_keys},
    proxy::{self, Bound, Plan, Server},
    reload::{InUse, ReloadError},
    routing::{self, Discovery, Eject, Learned, Upstreams},
    tls::{Keeper, TlsError, Towards},
};
use prometheus::Registry;
use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet};

/// The edge.
pub struct Gateway;

/// Why the edge did not start. Nothing was left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Mistakes in the configuration, all of them.
    #[error("the configuration can't be honoured:\n  - {}", .0.join("\n  - "))]
    Config(Vec<String>),
    /// An address can't be listened on.
    #[error("can't listen on {address} ({setting}): {}", explain(.source, .setting))]
    Bind {
        /// The setting that names the address.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// There is no certificate to serve with.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The secret, or the key set, can't be read.
    #[error("gateway.auth: {0}")]
    Auth(String),
    /// The certificates towards chat nodes.
    #[error("gateway.upstream: {0}")]
    Upstream(String),
    /// The registry has metrics of an edge already.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The system gave no thread.
    #[error("no thread for the edge: {0}")]
    Thread(#[source] io::Error),
}

fn explain(error: &io::Error, setting: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another process has it. Stop that one, or set {setting} to another address")
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "ports below 1024 need the right to (CAP_NET_BIND_SERVICE). Grant it, or set {setting} to a higher port"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine has no such address. Set {setting} to one it has")
        }
        _ => error.to_string(),
    }
}

/// A running edge. Dropping it cuts everything off; [`Running::shutdown`] does not.
pub struct Running {
    server: Server,
    draining: watch::Sender<bool>,
    upstreams: Upstreams,
    keeper: Arc<Keeper>,
    in_use: InUse,
    addresses: Addresses,
    local_ca: Option<PathBuf>,
    /// The admin address, health checks, renewals. They end when this is dropped, after everything else.
    _tasks: JoinSet<()>,
}

/// Where a running edge listens; the ports are real even if the configuration said 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// HTTPS.
    pub https: SocketAddr,
    /// Plain HTTP, redirected.
    pub redirect: Option<SocketAddr>,
    /// Health and metrics.
    pub admin: Option<SocketAddr>,
}

/// How an edge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open at the deadline, and were cut.
    pub connections_cut: usize,
}

impl Gateway {
    /// Starts the edge: checks everything, binds every address, and only then begins to serve.
    ///
    /// Metrics go to `registry`, which may hold others. Must be called within a tokio runtime, on which the
    /// health checks and the admin address run; traffic runs on threads of its own.
    pub async fn start(config: Config, assets: Assets, registry: &Registry) -> Result<Running, StartError> {
        Gateway::start_at(config, assets, registry, Clock::system()).await
    }

    /// The same with a clock to check tokens by.
    pub async fn start_at(
        config: Config,
        assets: Assets,
        registry: &Registry,
        clock: Clock,
    ) -> Result<Running, StartError> {
        config.validate().map_err(StartError::Config)?;
        let https = bind("gateway.listen", config.listen)?;
        let redirect = bind_some("gateway.redirect", config.redirect.address())?;
        let admin = bind_some("gateway.admin", config.admin.address())?;
        let addresses = Addresses {
            https: https.address,
            redirect: redirect.as_ref().map(|bound| bound.address),
            admin: admin.as_ref().map(|bound| bound.address),
        };

        let metrics = Metrics::new(registry)?;
        metrics.publish_limits(&config.limits);
        let keeper = Keeper::open(&config.tls, clock.clone(), metrics.clone()).map_err(StartError::from);
        let (keeper, keys) = match (keeper, open_keys(&config.auth, &metrics).await.map_err(StartError::Auth))
        {
            (Ok(keeper), Ok(keys)) => (Arc::new(keeper), keys),
            (Err(tls), Err(auth)) => return Err(StartError::Config(vec![tls.to_string(), auth.to_string()])),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let towards = Towards::open(&config.upstream).map_err(StartError::Upstream)?.map(Arc::new);
        let learned: Arc<Learned> = Arc::default();
        let parts = policy::Parts {
            assets,
            clock: clock.clone(),
            metrics: metrics.clone(),
            https_port: addresses.https.port(),
            places: Places::default(),
        };
        let in_use = InUse::new(config.clone(), parts, keys);
        let mut discovery = Discovery::new(in_use.named(), learned.clone());
        let nodes = discovery.look().await;
        let eject = Eject {
            after: config.upstream.eject_after,
            during: Duration::from_secs(config.upstream.eject_s),
        };
        let upstreams = Upstreams::new(nodes.clone(), eject, metrics.clone());
        let (draining, is_draining) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let health = Duration::from_millis(config.upstream.health_ms);
        let unhealthy_after = config.upstream.unhealthy_after;
        tasks.spawn(routing::watch(upstreams.clone(), towards.clone(), learned, health, unhealthy_after));
        tasks.spawn(discovery.follow(upstreams.clone(), nodes, health));
        if let Some(kept) = towards.clone() {
            let every = Duration::from_secs(config.tls.reload_s);
            tasks.spawn(async move { kept.keep(every).await });
        }
        let (kept, every) = (keeper.clone(), Duration::from_secs(config.tls.reload_s));
        tasks.spawn(async move { kept.keep(every).await });
        if let Some(admin) = admin {
            let answers =
                Admin { registry: registry.clone(), upstreams: upstreams.clone(), draining: is_draining };
            tasks.spawn(async move {
                if let Err(error) = answers.serve(admin.into_std()).await {
                    tracing::error!(%error, "the admin address has stopped");
                }
            });
        }

        let local_ca = config.tls.certificate.is_none().then(|| config.local_ca());
        let plan = Plan {
            config,
            https,
            redirect,
            keeper: keeper.clone(),
            stack: in_use.stack(),
            upstreams: upstreams.clone(),
            towards,
            clock,
            metrics,
        };
        let server = Server::start(plan).map_err(StartError::Thread)?;
        Ok(Running { server, draining, upstreams, keeper, in_use, addresses, local_ca, _tasks: tasks })
    }
}

fn bind(setting: &'static str, address: SocketAddr) -> Result<Bound, StartError> {
    proxy::bind(address).map_err(|source| StartError::Bind { setting, address, source })
}

fn bind_some(setting: &'static str, address: Option<SocketAddr>) -> Result<Option<Bound>, StartError> {
    address.map(|address| bind(setting, address)).transpose()
}

impl StartError {
    /// Whether it takes another configuration, or other files that it names, so that trying again is of no use.
    pub fn is_mistake(&self) -> bool {
        matches!(
            self,
            StartError::Config(_) | StartError::Tls(_) | StartError::Auth(_) | StartError::Upstream(_)
        )
    }
}

impl Running {
    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The certificate of the local authority, if the edge made its own.
    pub fn local_ca(&self) -> Option<&std::path::Path> {
        self.local_ca.as_deref()
    }

    /// The chat nodes, which can be replaced while it runs.
    pub fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    /// Reads the certificate again. Connections that stand are not touched.
    pub fn reload_certificate(&self) {
        self.keeper.reload();
    }

    /// Takes another configuration in use, as a whole or not at all. Requests and streams under way go on as they began;
    /// rate limits begin anew.
    pub async fn reload(&self, config: Config) -> Result<(), ReloadError> {
        self.in_use.reload(config).await
    }

    /// Open client connections.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// Whether the edge has stopped by itself, which only a bug makes it do.
    pub fn has_ended(&self) -> bool {
        self.server.has_ended()
    }

    /// Drains: `/readyz` says so, nothing new is accepted, calls under way may end, and streams are told to attach
    /// elsewhere, one after the other. After the deadline the rest is cut.
    pub async fn shutdown(self, deadline: Duration) -> Drained {
        self.draining.send_replace(true);
        self.upstreams.leave(self.in_use.leaving(deadline.mul_f64(0.75)).await);
        Drained { connections_cut: self.server.shutdown(deadline).await }
    }
}
