//! Browsers on pages of other origins (Fetch standard, "CORS protocol").

use super::{
    decision::{Decision, Reply},
    head::RequestHead,
};
use crate::config::{Config, Mode};
use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{Either, Map},
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// What a page may read of an answer, beside what it always may.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("grpc-status, grpc-message, grpc-status-details-bin, x-request-id");

/// The layer.
#[derive(Clone)]
pub(crate) struct Cors(Arc<Rules>);

struct Rules {
    any: bool,
    origins: Vec<String>,
    /// A bundler's development server is another origin on the same machine.
    localhost: bool,
    max_age: HeaderValue,
}

impl Cors {
    pub(crate) fn new(config: &Config) -> Self {
        Cors(Arc::new(Rules {
            any: config.cors.origins.iter().any(|origin| origin == "*"),
            origins: config.cors.origins.clone(),
            localhost: config.mode == Mode::Development,
            max_age: HeaderValue::from(config.cors.max_age_s),
        }))
    }
}

impl Rules {
    fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(text) = origin.to_str() else { return false };
        self.any || self.origins.iter().any(|known| known == text) || (self.localhost && is_localhost(text))
    }

    /// The headers that let a page of this origin have the answer.
    fn grant(&self, origin: Option<&HeaderValue>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        // Caches must know that the answer depends on the origin even when there was none.
        if !self.any {
            headers.insert(header::VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = origin.filter(|origin| self.allows(origin)) {
            let allowed = if self.any { HeaderValue::from_static("*") } else { origin.clone() };
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        headers
    }

    fn preflight(&self, head: &RequestHead, origin: &HeaderValue) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        if !self.allows(origin) {
            *response.status_mut() = StatusCode::FORBIDDEN;
            *response.body_mut() = Bytes::from_static(b"this origin is not in gateway.cors.origins\n");
            return response;
        }
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET"));
        // gRPC metadata is free for callers to name, and no header of ours is trusted because a page sent it.
        if let Some(asked) = head.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        response
    }
}

/// `http://localhost`, `https://127.0.0.1:5173` and the like.
fn is_localhost(origin: &str) -> bool {
    let Some(rest) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else {
        return false;
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|host| {
        rest.strip_prefix(host).is_some_and(|port| {
            port.is_empty()
                || port
                    .strip_prefix(':')
                    .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
        })
    })
}

impl<S> Layer<S> for Cors {
    type Service = WithCors<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithCors { rules: self.0.clone(), inner }
    }
}

/// The service.
#[derive(Clone)]
pub(crate) struct WithCors<S> {
    rules: Arc<Rules>,
    inner: S,
}

type Answer = Result<Decision, Infallible>;

impl<S: Service<RequestHead, Response = Decision, Error = Infallible>> Service<RequestHead> for WithCors<S> {
    type Response = Decision;
    type Error = Infallible;
    type Future = Either<Ready<Answer>, Map<S::Future, Box<dyn FnOnce(Answer) -> Answer + Send>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, head: RequestHead) -> Self::Future {
        let origin = head.headers.get(header::ORIGIN).cloned();
        let grant = self.rules.grant(origin.as_ref());
        let asks = head.method == Method::OPTIONS
            && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if let (true, true, Some(origin)) = (asks, head.secure, origin) {
            let response = self.rules.preflight(&head, &origin);
            let mut decision = head.answer("cors", Reply::http(response));
            decision.headers.extend(grant);
            return Either::Left(ready(Ok(decision)));
        }
        Either::Right(self.inner.call(head).map(Box::new(move |answer| {
            answer.map(|mut decision| {
                decision.headers.extend(grant);
                decision
            })
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::is_localhost;

    #[test]
    fn only_this_machine_is_localhost() {
        for (origin, local) in [
            ("http://localhost:5173", true),
            ("https://localhost", true),
            ("http://[::1]:80", true),
            ("http://localhost.evil.example", false),
            ("http://localhost:80.evil.example", false),
            ("http://127.0.0.10", false),
            ("ftp://localhost", false),
            ("null", false),
        ] {
            assert_eq!(is_localhost(origin), local, "{origin}");
        }
    }
}
