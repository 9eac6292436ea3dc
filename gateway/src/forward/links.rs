//! The connections to chat nodes, kept and shared by the requests that go there.

use super::link::{Link, State};
use crate::{config, metrics::Metrics, routing::Endpoint, tls::Towards};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use parking_lot::Mutex;
use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::timeout;

/// All connections, in as many parts as there are threads: a connection whose streams are of one thread wakes up no
/// other.
pub(crate) struct Links {
    parts: Box<[Mutex<Vec<Arc<Link>>>]>,
    streams: usize,
    pub(super) http2: Builder,
    pub(super) connect: Duration,
    pub(super) ping: Duration,
    pub(super) idle: Duration,
    towards: Option<Arc<Towards>>,
    metrics: Metrics,
}

/// A request's place on a connection, until it is dropped.
pub(super) struct Held(Arc<Link>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Relaxed);
    }
}

impl Links {
    pub(crate) fn new(
        upstream: &config::Upstream,
        threads: usize,
        towards: Option<Arc<Towards>>,
        metrics: Metrics,
    ) -> Self {
        let mut http2 = Builder::new();
        http2
            .initial_window_size(upstream.stream_window_bytes)
            .initial_connection_window_size(upstream.connection_window_bytes)
            .enable_push(false);
        Links {
            parts: (0..threads.max(1)).map(|_| Mutex::default()).collect(),
            streams: upstream.streams_per_connection,
            http2,
            connect: Duration::from_millis(upstream.connect_ms),
            ping: Duration::from_secs(upstream.ping_s),
            idle: Duration::from_secs(upstream.idle_s),
            towards,
            metrics,
        }
    }

    /// A place on a connection to a node, which is made if there is none with room. An error says why there can be none;
    /// it takes the deadline for connecting at most.
    pub(super) async fn get(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        label: &str,
    ) -> Result<(SendRequest<Bytes>, Held), String> {
        loop {
            let (link, held) = self.reserve(endpoint, label);
            let is_new = matches!(*link.state.borrow(), State::Opening);
            let found = match link.opened().await {
                Ok(node) => match timeout(self.connect, node.ready()).await {
                    Ok(ready) => ready.map_err(|error| error.to_string()),
                    Err(_) => Err("there was no room on the connection".to_owned()),
                },
                Err(reason) => Err(reason),
            };
            match found {
                Ok(node) => return Ok((node, held)),
                Err(reason) if is_new => return Err(reason),
                // A kept connection that broke says nothing about a new one.
                Err(_) => self.forget(&link),
            }
        }
    }

    fn reserve(self: &Arc<Self>, endpoint: &Endpoint, label: &str) -> (Arc<Link>, Held) {
        let credentials = match endpoint {
            Endpoint::Tcp { name: Some(_), .. } => self.towards.as_ref().map(|towards| towards.now()),
            _ => None,
        };
        let part = self.part();
        let mut links = self.parts[part].lock();
        let fits =
            |link: &&Arc<Link>| link.goes_to(endpoint, credentials.as_ref()) && link.has_room(self.streams);
        let found = links.iter().find(fits).cloned();
        let link = found.unwrap_or_else(|| {
            let link = Arc::new(Link::new(endpoint.clone(), credentials, part));
            links.push(link.clone());
            let gauge = self.metrics.upstream_connections.with_label_values(&[label]);
            tokio::spawn(link.clone().run(self.clone(), gauge));
            link
        });
        link.streams.fetch_add(1, Relaxed);
        link.used.store(true, Relaxed);
        (link.clone(), Held(link))
    }

    /// Puts nothing more on it.
    pub(super) fn forget(&self, link: &Arc<Link>) {
        self.parts[link.part].lock().retain(|kept| !Arc::ptr_eq(kept, link));
    }

    /// The same, if it has no streams.
    pub(super) fn forget_idle(&self, link: &Arc<Link>) -> bool {
        let mut links = self.parts[link.part].lock();
        let idle = link.streams.load(Relaxed) == 0;
        if idle {
            links.retain(|kept| !Arc::ptr_eq(kept, link));
        }
        idle
    }

    /// The part of this thread.
    fn part(&self) -> usize {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static NUMBER: Cell<Option<usize>> = const { Cell::new(None) });
        let number = NUMBER.with(|number| {
            let known = number.get().unwrap_or_else(|| THREADS.fetch_add(1, Relaxed));
            number.set(Some(known));
            known
        });
        number % self.parts.len()
    }
}
