//! What operators ask: is it alive, is it ready, how is it doing. Plain HTTP, on an address of its own.

use crate::routing::Upstreams;
use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::sync::watch;

/// What the answers are made of.
#[derive(Clone)]
pub(crate) struct Admin {
    pub registry: Registry,
    pub upstreams: Upstreams,
    pub draining: watch::Receiver<bool>,
}

impl Admin {
    /// Serves until dropped.
    pub(crate) async fn serve(self, listener: std::net::TcpListener) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self);
        axum::serve(listener, router).await
    }
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if *admin.draining.borrow() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if !admin.upstreams.any_healthy() {
        (StatusCode::SERVICE_UNAVAILABLE, "no chat node passes its health check\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&admin.registry.gather(), &mut text) {
        Ok(()) => (StatusCode::OK, [("content-type", encoder.format_type().to_owned())], text),
        Err(error) => {
            let reason = format!("the metrics can't be written: {error}\n").into_bytes();
            (StatusCode::INTERNAL_SERVER_ERROR, [("content-type", "text/plain".to_owned())], reason)
        }
    }
}
