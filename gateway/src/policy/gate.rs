//! A check as a Tower layer: it lets a request through, or answers it.

use super::{
    decision::{Decision, Reply},
    head::RequestHead,
};
use futures_util::future::Either;
use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// A check of a request that needs nothing but its head.
pub(crate) trait Check: Send + Sync + 'static {
    /// Notes what it finds in the head. An error is the answer, and the request goes no further.
    fn check(&self, head: &mut RequestHead) -> Result<(), Reply>;
}

/// Makes a layer of a check. `name` says in logs and metrics who answered.
pub(crate) fn gate<C: Check>(name: &'static str, check: C) -> Gate<C> {
    Gate { name, check: Arc::new(check) }
}

/// The layer.
pub(crate) struct Gate<C> {
    name: &'static str,
    check: Arc<C>,
}

/// The service.
pub(crate) struct Gated<C, S> {
    name: &'static str,
    check: Arc<C>,
    inner: S,
}

impl<C, S: Clone> Clone for Gated<C, S> {
    fn clone(&self) -> Self {
        Gated { name: self.name, check: self.check.clone(), inner: self.inner.clone() }
    }
}

impl<C, S> Layer<S> for Gate<C> {
    type Service = Gated<C, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated { name: self.name, check: self.check.clone(), inner }
    }
}

impl<C, S> Service<RequestHead> for Gated<C, S>
where
    C: Check,
    S: Service<RequestHead, Response = Decision, Error = Infallible>,
{
    type Response = Decision;
    type Error = Infallible;
    type Future = Either<Ready<Result<Decision, Infallible>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut head: RequestHead) -> Self::Future {
        match self.check.check(&mut head) {
            Ok(()) => Either::Right(self.inner.call(head)),
            Err(reply) => Either::Left(ready(Ok(head.answer(self.name, reply)))),
        }
    }
}
