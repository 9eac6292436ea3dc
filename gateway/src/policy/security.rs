//! Headers that keep a browser from doing harm with what we serve.

use super::{
    decision::{Action, Decision},
    head::RequestHead,
    protocol::Protocol,
};
use crate::config::{Config, Mode};
use futures_util::{FutureExt, future::Map};
use http::{HeaderMap, HeaderValue, header};
use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// Two years, as the preload list of browsers asks for at least one.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000; includeSubDomains");

/// The layer.
#[derive(Clone)]
pub(crate) struct SecurityHeaders {
    everywhere: Arc<HeaderMap>,
    /// Over plain HTTP browsers ignore it.
    over_tls: Arc<HeaderMap>,
    page: Arc<HeaderMap>,
}

impl SecurityHeaders {
    pub(crate) fn new(config: &Config) -> Self {
        let mut everywhere = HeaderMap::new();
        everywhere.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let mut over_tls = HeaderMap::new();
        // Never in development: it would make every other server on this laptop's localhost unreachable.
        if config.mode == Mode::Production {
            over_tls.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
        let mut page = HeaderMap::new();
        if let Ok(csp) = HeaderValue::from_str(&config.page.content_security_policy) {
            page.insert(header::CONTENT_SECURITY_POLICY, csp);
        }
        page.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        page.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        page.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
        SecurityHeaders {
            everywhere: Arc::new(everywhere),
            over_tls: Arc::new(over_tls),
            page: Arc::new(page),
        }
    }

    fn add(&self, decision: &mut Decision, secure: bool) {
        // A browser shows whatever we answer to what is no call: files, redirects, refusals.
        let shown = decision.facts.protocol == Protocol::Http && matches!(decision.action, Action::Reply(_));
        let over_tls = self.over_tls.iter().filter(|_| secure);
        let page = self.page.iter().filter(|_| shown);
        for (name, value) in self.everywhere.iter().chain(over_tls).chain(page) {
            decision.headers.insert(name, value.clone());
        }
    }
}

impl<S> Layer<S> for SecurityHeaders {
    type Service = WithSecurityHeaders<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithSecurityHeaders { headers: self.clone(), inner }
    }
}

/// The service.
#[derive(Clone)]
pub(crate) struct WithSecurityHeaders<S> {
    headers: SecurityHeaders,
    inner: S,
}

type Answer = Result<Decision, Infallible>;

impl<S: Service<RequestHead, Response = Decision, Error = Infallible>> Service<RequestHead>
    for WithSecurityHeaders<S>
{
    type Response = Decision;
    type Error = Infallible;
    type Future = Map<S::Future, Box<dyn FnOnce(Answer) -> Answer + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, head: RequestHead) -> Self::Future {
        let headers = self.headers.clone();
        let secure = head.secure;
        self.inner.call(head).map(Box::new(move |answer| {
            answer.map(|mut decision| {
                headers.add(&mut decision, secure);
                decision
            })
        }))
    }
}
