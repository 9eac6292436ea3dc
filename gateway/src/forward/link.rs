//! One connection to a chat node: HTTP/2, over TCP with certificates on both sides or without, or over a Unix socket.

use super::{Gathered, links::Links, request::InProgress};
use crate::{
    routing::{Endpoint, dial},
    tls::Credentials,
};
use bytes::Bytes;
use h2::{Ping, PingPong, client::SendRequest};
use prometheus::IntGauge;
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// For the answer to a PING. A node that is that late is not there.
const PONG: Duration = Duration::from_secs(5);
/// For saying goodbye.
const FAREWELL: Duration = Duration::from_secs(1);

/// How far it is.
pub(super) enum State {
    Opening,
    Open(SendRequest<Bytes>),
    /// And why.
    Closed(String),
}

/// The connection.
pub(super) struct Link {
    endpoint: Endpoint,
    /// What it was made with, where it takes a certificate. Newer ones get a connection of their own.
    credentials: Option<Arc<Credentials>>,
    /// The part of [`Links`] that it stands in.
    pub part: usize,
    pub streams: AtomicUsize,
    /// Whether it had a stream since somebody looked.
    pub used: AtomicBool,
    pub state: watch::Sender<State>,
}

impl Link {
    pub(super) fn new(endpoint: Endpoint, credentials: Option<Arc<Credentials>>, part: usize) -> Self {
        Link {
            endpoint,
            credentials,
            part,
            streams: AtomicUsize::new(0),
            used: AtomicBool::new(true),
            state: watch::Sender::new(State::Opening),
        }
    }

    pub(super) fn goes_to(&self, endpoint: &Endpoint, credentials: Option<&Arc<Credentials>>) -> bool {
        let same = match (&self.credentials, credentials) {
            (Some(mine), Some(now)) => Arc::ptr_eq(mine, now),
            (None, None) => true,
            _ => false,
        };
        same && self.endpoint == *endpoint
    }

    /// Whether it may have one more stream: of `limit`, and of what the node allows.
    pub(super) fn has_room(&self, limit: usize) -> bool {
        let allowed = match &*self.state.borrow() {
            State::Opening => limit,
            State::Open(node) => limit.min(node.current_max_send_streams()),
            State::Closed(_) => 0,
        };
        self.streams.load(Relaxed) < allowed
    }

    /// Waits until it is open, or says why it will not be. It takes the deadline for connecting at most.
    pub(super) async fn opened(&self) -> Result<SendRequest<Bytes>, String> {
        let mut state = self.state.subscribe();
        let known = state.wait_for(|state| !matches!(state, State::Opening)).await;
        match known.as_deref() {
            Ok(State::Open(node)) => Ok(node.clone()),
            Ok(State::Closed(reason)) => Err(reason.clone()),
            Ok(State::Opening) | Err(_) => Err("the connection was given up".to_owned()),
        }
    }

    /// Opens it, and keeps it going until it breaks, falls silent, or was not used for long enough.
    pub(super) async fn run(self: Arc<Self>, links: Arc<Links>, gauge: IntGauge) {
        let opened = timeout(links.connect, dial(&self.endpoint, self.credentials.clone())).await;
        let socket = match opened {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return self.close(&links, error.to_string()),
            Err(_) => return self.close(&links, format!("no connection within {:?}", links.connect)),
        };
        let (node, mut connection) = match links.http2.handshake(Gathered(socket)).await {
            Ok(made) => made,
            Err(error) => return self.close(&links, error.to_string()),
        };
        let _open = InProgress::new(&gauge);
        let pings = connection.ping_pong();
        self.state.send_replace(State::Open(node));
        let mut connection = pin!(connection);
        let why = tokio::select! {
            ended = &mut connection => match ended {
                Ok(()) => "the node has closed the connection".to_owned(),
                Err(error) => error.to_string(),
            },
            why = self.watch(&links, pings) => why.to_owned(),
        };
        self.close(&links, why);
        if self.streams.load(Relaxed) == 0 {
            // It ends by itself now that nobody can use it, with a goodbye.
            let _ = timeout(FAREWELL, connection).await;
        }
    }

    /// Until the node answers no PING, or nobody uses the connection.
    async fn watch(self: &Arc<Self>, links: &Links, pings: Option<PingPong>) -> &'static str {
        let Some(mut pings) = pings else { return std::future::pending().await };
        let mut idle_since = Instant::now();
        loop {
            sleep(links.ping.min(links.idle)).await;
            if !matches!(timeout(PONG, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
                tracing::warn!(upstream = %self.endpoint, "chat node does not answer on a connection; it is given up");
                return "the node does not answer";
            }
            if self.used.swap(false, Relaxed) || self.streams.load(Relaxed) > 0 {
                idle_since = Instant::now();
            } else if idle_since.elapsed() >= links.idle && links.forget_idle(self) {
                return "it was not used";
            }
        }
    }

    fn close(self: &Arc<Self>, links: &Links, why: String) {
        links.forget(self);
        self.state.send_replace(State::Closed(why));
    }
}
