//! Finds out who calls, from a JSON Web Token.
//!
//! - `mod.rs`: the layer
//! - `bearer.rs`: the token in the header
//! - `claims.rs`: what it must say
//! - `keys.rs`: what it may be signed with
//! - `jwks.rs`: the key set, and when it is read again; `source.rs`: where it is read from
//! - `open.rs`: all of them, from the configuration

mod bearer;
mod claims;
mod jwks;
mod keys;
mod open;
mod source;

pub(crate) use jwks::KeySet;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use jwks::fuzz as fuzz_jwks;
pub(crate) use keys::Keys;
pub(crate) use open::open;

use super::{
    decision::{Decision, Identity, Reply},
    head::RequestHead,
    served::is_public,
};
use crate::Clock;
use futures_util::future::BoxFuture;
use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};
use tonic::Status;
use tower::{Layer, Service};

/// The layer. Methods that are public pass without a token, and one that they carry is not looked at.
#[derive(Clone)]
pub(crate) struct Authenticate {
    keys: Arc<Keys>,
    clock: Clock,
}

impl Authenticate {
    pub(crate) fn new(keys: Arc<Keys>, clock: Clock) -> Self {
        Authenticate { keys, clock }
    }

    async fn identify(&self, head: &RequestHead) -> Result<Identity, Status> {
        let values: Vec<&[u8]> = head.headers.get_all("authorization").iter().map(|v| v.as_bytes()).collect();
        let token = bearer::token(&values).map_err(|wrong| Status::unauthenticated(wrong.to_string()))?;
        let claims = self.keys.verify(token).await?;
        let identity = claims.identity(&self.keys.rules, self.clock.now_ms());
        identity.map_err(|wrong| Status::unauthenticated(wrong.to_string()))
    }
}

impl<S> Layer<S> for Authenticate {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Authenticated { authenticate: self.clone(), inner }
    }
}

/// The service.
#[derive(Clone)]
pub(crate) struct Authenticated<S> {
    authenticate: Authenticate,
    inner: S,
}

impl<S> Service<RequestHead> for Authenticated<S>
where
    S: Service<RequestHead, Response = Decision, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Decision;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Decision, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut head: RequestHead) -> Self::Future {
        // The inner service was polled ready; the clone that stays behind was not.
        let waiting = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, waiting);
        let authenticate = self.authenticate.clone();
        Box::pin(async move {
            if !is_public(&head.path) {
                match authenticate.identify(&head).await {
                    Ok(identity) => head.facts.identity = Some(identity),
                    Err(status) => return Ok(head.answer("authenticate", Reply::Status(status))),
                }
            }
            inner.call(head).await
        })
    }
}
