//! Pingora's server on a thread of its own, and its end.

use super::{
    app::App,
    connections::Connections,
    edge::Edge,
    listen::{Bound, table},
};
use crate::{
    Clock,
    config::Config,
    forward::{Forwarder, Links},
    metrics::Metrics,
    policy::Stack,
    routing::Upstreams,
    tls::{Keeper, Towards},
};
use async_trait::async_trait;
use pingora_core::{
    listeners::{
        ALPN, TlsAccept,
        tls::{Acceptor, TlsSettings},
    },
    protocols::tls::TlsRef,
    server::{
        ListenFds, RunArgs, Server as Pingora, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch,
        configuration::ServerConf,
    },
    services::{Service, listening},
};
use pingora_proxy::HttpProxy;
use std::{
    any::Any,
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::sync::{oneshot, watch};

/// What is left to do for tasks when the edge ends: nothing but to be dropped.
const TASKS: u64 = 1;

/// Everything that the server is made of.
pub(crate) struct Plan {
    pub config: Config,
    pub https: Bound,
    pub redirect: Option<Bound>,
    pub keeper: Arc<Keeper>,
    pub stack: Stack,
    pub upstreams: Upstreams,
    pub towards: Option<Arc<Towards>>,
    pub clock: Clock,
    pub metrics: Metrics,
}

/// The running server.
pub(crate) struct Server {
    thread: Option<JoinHandle<()>>,
    /// Stops listening, and lets what is under way end.
    drain: watch::Sender<bool>,
    /// Ends it. Dropping it does the same.
    end: Option<oneshot::Sender<()>>,
    ended: Option<oneshot::Receiver<()>>,
    connections: Connections,
}

impl Server {
    pub(crate) fn start(plan: Plan) -> io::Result<Self> {
        let (drain, draining) = watch::channel(false);
        let (end, ending) = oneshot::channel();
        let (ended_sender, ended) = oneshot::channel();
        let connections = Connections::new(&plan.config.limits, plan.metrics.clone());
        let counted = connections.clone();
        let thread = thread::Builder::new().name("edge".into()).spawn(move || {
            run(plan, counted, draining, ending);
            // Nobody waits if the handle was dropped.
            ended_sender.send(()).ok();
        })?;
        Ok(Server { thread: Some(thread), drain, end: Some(end), ended: Some(ended), connections })
    }

    /// Connections that are open.
    pub(crate) fn connections(&self) -> usize {
        self.connections.open()
    }

    /// Whether the thread has ended, which it does only when it is told to or panics.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops listening, waits until every connection is closed or the deadline is over, and ends. Gives the
    /// number of connections that were cut.
    pub(crate) async fn shutdown(mut self, deadline: Duration) -> usize {
        self.drain.send_replace(true);
        let _ = tokio::time::timeout(deadline, self.connections.closed()).await;
        let cut = self.connections.open();
        drop(self.end.take());
        if let Some(ended) = self.ended.take() {
            // An error means that the thread panicked; it has ended all the same.
            ended.await.ok();
        }
        cut
    }
}

fn run(plan: Plan, connections: Connections, draining: ShutdownWatch, ending: oneshot::Receiver<()>) {
    let Plan { config, https, redirect, keeper, stack, upstreams, towards, clock, metrics } = plan;
    let threads = match config.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let conf = ServerConf {
        threads,
        work_stealing: config.work_stealing,
        // Draining has been done, by watching connections instead of by sleeping.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(TASKS),
        ..ServerConf::default()
    };
    let mut server = Pingora::new_with_opt_and_conf(None, conf);
    server.bootstrap();

    let links = Arc::new(Links::new(&config.upstream, threads, towards, metrics.clone()));
    let forwarder = Arc::new(Forwarder::new(&config, stack, upstreams, links, clock, metrics));
    let edge = Edge { forwarder: forwarder.clone() };
    let mut proxy = HttpProxy::new(edge, server.configuration.clone());
    proxy.handle_init_modules();
    let proxy = Arc::new(proxy);

    let Ok(mut tls) = TlsSettings::with_callbacks(Box::new(NoCallbacks)) else { return };
    tls.set_cert_resolver(keeper);
    tls.set_alpn(ALPN::H2H1);

    let user_timeout = Duration::from_secs(config.timeouts.tcp_user_s);
    let mut serve = |name: &str, bound: Bound, tls: Option<Acceptor>| {
        let app = App::new(&config, proxy.clone(), forwarder.clone(), connections.clone(), tls);
        let sockets = table();
        let mut service = listening::Service::new(name.into(), app);
        service.add_listener(bound.give(&sockets, user_timeout));
        server.add_service(Handed { service, sockets, draining: draining.clone() });
    };
    serve("edge", https, Some(tls.build()));
    if let Some(redirect) = redirect {
        serve("redirect", redirect, None);
    }
    server.run(RunArgs { shutdown_signal: Box::new(Ending(tokio::sync::Mutex::new(ending))) });
}

/// Pingora's service, with sockets that are bound already and an end that is ours to say.
struct Handed {
    service: listening::Service<App>,
    sockets: ListenFds,
    draining: ShutdownWatch,
}

#[async_trait]
impl Service for Handed {
    async fn start_service(&mut self, _: Option<ListenFds>, _: ShutdownWatch, tasks: usize) {
        let (sockets, draining) = (self.sockets.clone(), self.draining.clone());
        Service::start_service(&mut self.service, Some(sockets), draining, tasks).await;
    }

    fn name(&self) -> &str {
        "edge"
    }
}

/// In place of Pingora's signal handlers: the program has its own.
struct Ending(tokio::sync::Mutex<oneshot::Receiver<()>>);

#[async_trait]
impl ShutdownSignalWatch for Ending {
    async fn recv(&self) -> ShutdownSignal {
        // Told or dropped, it is the same.
        (&mut *self.0.lock().await).await.ok();
        ShutdownSignal::FastShutdown
    }
}

/// Settings with a resolver can only be made with callbacks.
struct NoCallbacks;

#[async_trait]
impl TlsAccept for NoCallbacks {
    async fn handshake_complete_callback(&self, _: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }
}
