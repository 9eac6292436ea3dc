//! What those who run a node look at, in plain HTTP: /healthz, /readyz, /metrics.

use crate::{node::health::Parts, store::Health};
use axum::{Router, extract::State, http::StatusCode, routing::get};
use prometheus::{Registry, TextEncoder};
use std::{io, net::SocketAddr};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
struct Seen {
    registry: Registry,
    parts: Parts,
    leaving: CancellationToken,
}

/// Serves until `stop`; from `leaving` on the node isn't ready. `None` for the address "off".
pub async fn start(
    address: &str,
    registry: Registry,
    parts: Parts,
    leaving: CancellationToken,
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
        .with_state(Seen { registry, parts, leaving });
    let server = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the admin address is no longer served");
        }
    });
    Ok(Some(bound))
}

async fn ready(State(seen): State<Seen>) -> (StatusCode, String) {
    if seen.leaving.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".into());
    }
    match seen.parts.health().await {
        Health::Well => (StatusCode::OK, "ready\n".into()),
        // What was said can still be read and attached to: whoever routes by this shall go on.
        Health::ReadOnly(why) => (StatusCode::OK, format!("ready, for reading only: {why}\n")),
        Health::Failed(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics(State(seen): State<Seen>) -> (StatusCode, String) {
    match TextEncoder::new().encode_to_string(&seen.registry.gather()) {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
