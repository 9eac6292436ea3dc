//! A chat node: everything of this crate put together, and served.
//!
//! - here: starting and ending it.
//! - `listen`: where edges come in; `tls`: certificates on both sides.
//! - [`health`]: how it is, told to edges and to people; `limits`: those in force.

pub mod health;
mod limits;
mod listen;
pub mod tls;

use crate::{
    account::Accounts,
    admin,
    api::{
        Api,
        development::{Development, Ids, TokenMaker},
        framing, later,
        presence::PresenceApi,
        status,
        stream::StreamServer,
    },
    bus::{
        Bus,
        local::LocalBus,
        redis::{ConnectError, RedisBus},
    },
    clock::SharedClock,
    config::{Config, Mode},
    conversation::Conversations,
    delivery::Delivery,
    store::{
        cql::{self, CqlStore},
        embedded::{EmbeddedStore, OpenError},
    },
};
use axum::{
    middleware::{from_fn, map_request, map_response},
    routing::get,
};
use health::Parts;
use listen::Listener;
use nexus_proto::v1::{
    account_service_server::AccountServiceServer, admin_service_server::AdminServiceServer,
    conversation_service_server::ConversationServiceServer,
    development_service_server::DevelopmentServiceServer, history_service_server::HistoryServiceServer,
    invitation_service_server::InvitationServiceServer, marker_service_server::MarkerServiceServer,
    message_service_server::MessageServiceServer, presence_service_server::PresenceServiceServer,
};
use prometheus::Registry;
use rand::{SeedableRng as _, rngs::StdRng};
use std::{
    fs, io, net::SocketAddr, os::unix::fs::DirBuilderExt as _, path::PathBuf, sync::Arc, time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::Server};

/// Bytes of one request's message.
const REQUEST: usize = 1 << 20;
/// How often views are stored and quiet conversations forgotten.
const SETTLE: Duration = Duration::from_secs(5);

/// Why a node doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The log that nodes share can't be opened.
    #[error(transparent)]
    Cql(#[from] cql::OpenError),
    /// The bus can't be made.
    #[error("core.redis: {0}")]
    Bus(#[from] ConnectError),
    /// A folder or a socket.
    #[error("{what} {path}: {error}", path = path.display())]
    Path {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// The address for edges.
    #[error("core.listen {address}: {error}; free the port, or set core.listen to another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What went wrong.
        error: io::Error,
    },
    /// The certificates for edges.
    #[error("core.tls: {0}")]
    Tls(String),
    /// The admin address.
    #[error("core.admin {address}: {error}; free the port, or set core.admin to another address or \"off\"")]
    Admin {
        /// The address.
        address: String,
        /// What went wrong.
        error: io::Error,
    },
    /// Anything else that shows a mistake of ours.
    #[error("{0}")]
    Internal(String),
}

/// What a node takes from outside: time, chance, and who signs development's tokens.
pub struct Outside {
    /// The time of day.
    pub clock: SharedClock,
    /// Chance.
    pub chance: StdRng,
    /// Signs tokens in development; `None`: there is no development service.
    pub tokens: Option<TokenMaker>,
}

/// A running node.
pub struct Node {
    /// Where /metrics is served; `None`: off.
    pub admin: Option<SocketAddr>,
    /// Where edges connect; `None`: the Unix socket.
    pub address: Option<SocketAddr>,
    conversations: Arc<Conversations>,
    delivery: Arc<Delivery>,
    bus: Arc<dyn Bus>,
    /// Says that this node goes away.
    leaving: CancellationToken,
    stop: CancellationToken,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    tasks: Vec<JoinHandle<()>>,
    drain: Duration,
    /// How long edges take to notice; `None`: there is no other node to go to.
    notice: Option<Duration>,
}

impl Node {
    /// Starts a node. When this returns it serves.
    pub async fn start(config: &Config, outside: Outside) -> Result<Self, StartError> {
        let registry = Registry::new();
        let internal = |error: prometheus::Error| StartError::Internal(error.to_string());
        limits::show(config, &registry).map_err(internal)?;
        let mut chance = outside.chance;
        let parts = open(config, &mut chance, &registry).await?;
        // After the store, whose lock shows that no other process uses this data.
        let listener = Listener::bind(config).await?;
        let address = listener.address();
        let Parts { store, bus } = parts.clone();
        let (told, ended) = (bus.clone(), bus.clone());
        let settings = config.conversations();
        let clock = outside.clock;
        let accounts = Accounts::new(store.clone(), clock.clone());
        let conversations = Conversations::new(store, bus.clone(), clock.clone(), settings, &registry);
        let conversations = conversations.map_err(internal)?;
        let split = StdRng::from_rng(&mut chance);
        let settings = config.delivery.clone();
        let delivery = Delivery::new(conversations.clone(), bus, clock.clone(), settings, &registry, split);
        let delivery = delivery.map_err(internal)?;

        let api = Arc::new(Api {
            conversations: conversations.clone(),
            accounts,
            clock,
            administrators: config.administrators(),
            administrators_read: config.administrators_read,
            limits: config.limits.clone(),
            ids: Ids::new(chance),
        });
        let presence = PresenceApi {
            delivery: delivery.clone(),
            conversations: conversations.clone(),
            limits: config.limits.clone(),
        };
        let (health, health_service) = tonic_health::server::health_reporter();
        let mut routes = Routes::new(health_service)
            .add_service(StreamServer::new(delivery.clone()))
            .add_service(PresenceServiceServer::new(presence).max_decoding_message_size(REQUEST))
            .add_service(ConversationServiceServer::from_arc(api.clone()).max_decoding_message_size(REQUEST))
            .add_service(MessageServiceServer::from_arc(api.clone()).max_decoding_message_size(REQUEST))
            .add_service(HistoryServiceServer::from_arc(api.clone()).max_decoding_message_size(REQUEST))
            .add_service(InvitationServiceServer::from_arc(api.clone()).max_decoding_message_size(REQUEST))
            .add_service(MarkerServiceServer::from_arc(api.clone()).max_decoding_message_size(REQUEST))
            .add_service(AccountServiceServer::from_arc(api.clone()).max_decoding_message_size(REQUEST))
            .add_service(AdminServiceServer::from_arc(api.clone()).max_decoding_message_size(REQUEST));
        if config.mode == Mode::Development {
            if let Some(tokens) = outside.tokens {
                routes = routes.add_service(DevelopmentServiceServer::new(Development { api, tokens }));
            }
            let described = || {
                tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(nexus_proto::DESCRIPTORS)
                    .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            };
            let wrong = |error: tonic_reflection::server::Error| StartError::Internal(error.to_string());
            routes = routes.add_service(described().build_v1().map_err(wrong)?);
            routes = routes.add_service(described().build_v1alpha().map_err(wrong)?);
        }
        let routes = Routes::from(
            routes
                .prepare()
                .into_axum_router()
                .fallback(later::answer)
                .layer(map_request(framing::one_message))
                .layer(map_response(status::unreadable))
                .layer(from_fn(later::by_name))
                // Edges have no path for it, so it can be asked by them alone.
                .route("/nodes", get(move || async move { told.nodes().join("\n") })),
        );

        let (leaving, stop) = (CancellationToken::new(), CancellationToken::new());
        let admin = admin::start(&config.admin, registry, parts.clone(), leaving.clone(), stop.clone()).await;
        let admin = admin.map_err(|error| StartError::Admin { address: config.admin.clone(), error })?;
        let server = Server::builder()
            .max_concurrent_streams(10_000)
            .initial_stream_window_size(256 << 10)
            .initial_connection_window_size(4 << 20)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .layer(tonic_web::GrpcWebLayer::new())
            .add_routes(routes)
            .serve_with_incoming_shutdown(listener.serve(stop.clone()), stop.clone().cancelled_owned());
        let server = tokio::spawn(server);
        let tasks = vec![
            tokio::spawn(delivery.clone().run(stop.clone())),
            tokio::spawn(settle(conversations.clone(), stop.clone())),
            tokio::spawn(trim(conversations.clone(), stop.clone())),
            tokio::spawn(parts.watch(health, leaving.clone())),
        ];
        Ok(Self {
            admin,
            address,
            conversations,
            delivery,
            bus: ended,
            leaving,
            stop,
            server,
            tasks,
            drain: Duration::from_millis(config.drain_ms),
            notice: config.is_clustered().then(|| Duration::from_millis(config.notice_ms)),
        })
    }

    /// Whether it no longer serves, which it does only when it is told to or by a mistake.
    pub fn has_ended(&self) -> bool {
        self.server.is_finished()
    }

    /// Ends streams with a word to attach again, lets requests finish, all of it within `core.drain_ms`, and stores what is
    /// folded.
    pub async fn shutdown(self) {
        let end = Instant::now() + self.drain;
        self.leaving.cancel();
        if let Some(notice) = self.notice {
            // Else those who are asked to attach elsewhere would be sent back here.
            sleep(notice.min(self.drain / 4)).await;
        }
        let streams = (end - Instant::now()).mul_f64(0.75);
        self.delivery.shutdown(streams, self.notice.is_some()).await;
        self.stop.cancel();
        if timeout_at(end, self.server).await.is_err() {
            tracing::warn!("requests were still under way at the end of core.drain_ms");
        }
        for task in self.tasks {
            task.abort();
        }
        self.conversations.settle().await;
        self.bus.shutdown().await;
    }
}

/// What the node stands on, as the configuration says.
async fn open(config: &Config, chance: &mut StdRng, registry: &Registry) -> Result<Parts, StartError> {
    if config.listen.is_none() || !config.is_clustered() {
        let data = &config.data;
        let failed = |error| StartError::Path { what: "make the folder", path: data.clone(), error };
        // What is in it is everything that was ever said.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(failed)?;
    }
    if !config.is_clustered() {
        let store = EmbeddedStore::open(&config.data.join("store"), config.store.clone(), registry)?;
        return Ok(Parts { store: Arc::new(store), bus: Arc::new(LocalBus::default()) });
    }
    let development = config.mode == Mode::Development;
    let store = CqlStore::connect(config.cql.clone(), development, registry).await?;
    let chance = StdRng::from_rng(chance);
    let bus = RedisBus::connect(config.redis.clone(), config.announced(), chance, registry)?;
    Ok(Parts { store: Arc::new(store), bus: Arc::new(bus) })
}

async fn settle(conversations: Arc<Conversations>, stop: CancellationToken) {
    while tokio::time::timeout(SETTLE, stop.cancelled()).await.is_err() {
        conversations.settle().await;
    }
}

async fn trim(conversations: Arc<Conversations>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = conversations.keep_trimmed() => {}
    }
}
