//! Answers that get lost on their way to the client: what was asked has been done, and nobody hears of it.

use futures_util::future::BoxFuture;
use http::{Request, Response};
use nexus_client::Transport;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use tonic::body::Body;
use tower::{BoxError, Service, ServiceExt as _};

/// Whether answers get lost just now, and how many were.
#[derive(Debug, Clone, Default)]
pub struct Losses(Arc<(AtomicBool, AtomicU64)>);

impl Losses {
    /// From now on they do, or don't.
    pub fn set(&self, losing: bool) {
        self.0.0.store(losing, Ordering::Relaxed);
    }

    /// How many were lost.
    pub fn count(&self) -> u64 {
        self.0.1.load(Ordering::Relaxed)
    }

    /// Whether this one is.
    fn take(&self) -> bool {
        let losing = self.0.0.load(Ordering::Relaxed);
        self.0.1.fetch_add(u64::from(losing), Ordering::Relaxed);
        losing
    }
}

/// A transport that loses the answers to messages.
#[derive(Clone)]
pub struct Lossy {
    inner: Transport,
    losses: Losses,
}

impl Lossy {
    /// Over another transport.
    pub fn new(inner: Transport, losses: Losses) -> Self {
        Self { inner, losses }
    }
}

impl Service<Request<Body>> for Lossy {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (inner, losses) = (self.inner.clone(), self.losses.clone());
        Box::pin(async move {
            let sends = request.uri().path().ends_with("/SendMessage");
            let response = inner.oneshot(request).await?;
            if sends && losses.take() {
                return Err("the answer was lost".into());
            }
            Ok(response)
        })
    }
}
