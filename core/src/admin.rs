//! What those who run a node look at, in plain HTTP: /healthz, /readyz, /metrics.

use crate::store::embedded::EmbeddedStore;
use axum::{Router, extract::State, http::StatusCode, routing::get};
use prometheus::{Registry, TextEncoder};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
struct Seen {
    registry: Registry,
    store: Arc<EmbeddedStore>,
}

/// Serves until `stop`. `None` for the address "off".
pub async fn start(
    address: &str,
    registry: Registry,
    store: Arc<EmbeddedStore>,
    stop: CancellationToken,
) -> io::Result<Option<SocketAddr>> {
    if address == "off" {
        return Ok(None);
    }
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Seen { registry, store });
    let server = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the admin address is no longer served");
        }
    });
    Ok(Some(bound))
}

async fn ready(State(seen): State<Seen>) -> (StatusCode, String) {
    match (seen.store.health(), seen.store.room()) {
        (Ok(()), Ok(())) => (StatusCode::OK, "ready\n".into()),
        // What was said can still be read and attached to: whoever routes by this shall go on.
        (Ok(()), Err(full)) => (StatusCode::OK, format!("ready, for reading only: {full}\n")),
        (Err(error), _) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

async fn metrics(State(seen): State<Seen>) -> (StatusCode, String) {
    match TextEncoder::new().encode_to_string(&seen.registry.gather()) {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
