//! What is known of a request while it lasts, and its line in the log.

use super::boundary::Boundary;
use crate::{
    metrics::Metrics,
    policy::{Class, Facts, Forward, Protocol},
    routing::Chosen,
};
use http::{HeaderMap, Method};
use prometheus::IntGauge;
use tokio::time::Instant;
use tonic::Code;
use xxhash_rust::xxh3::xxh3_64;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// The node answered, to the end.
    Done,
    /// The edge answered.
    Answered,
    ClientGone,
    UpstreamFailed,
    UpstreamTimeout,
    /// The node was taken out while the request waited at it.
    UpstreamOut,
    /// The edge goes away.
    EdgeLeaving,
    TokenExpired,
    BodyTooLarge,
    SlowClient,
    Internal,
}

impl Close {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Close::Done => "done",
            Close::Answered => "answered",
            Close::ClientGone => "client_gone",
            Close::UpstreamFailed => "upstream_failed",
            Close::UpstreamTimeout => "upstream_timeout",
            Close::UpstreamOut => "upstream_out",
            Close::EdgeLeaving => "edge_leaving",
            Close::TokenExpired => "token_expired",
            Close::BodyTooLarge => "body_too_large",
            Close::SlowClient => "slow_client",
            Close::Internal => "internal",
        }
    }
}

/// Counts in a gauge until it is dropped.
pub(super) struct InProgress(IntGauge);

impl InProgress {
    pub(super) fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        InProgress(gauge.clone())
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// One request. There is one for every attached stream, for hours.
pub(super) struct Request {
    pub began: Instant,
    pub method: Method,
    pub path: Box<str>,
    pub facts: Facts,
    /// None if the edge answered.
    pub forward: Option<Forward>,
    /// Headers to set on the answer.
    pub headers: HeaderMap,
    pub upstream: Option<Chosen>,
    /// Bytes of the request's body so far.
    pub received: usize,
    /// Bytes of the answer's body so far.
    pub sent: usize,
    /// The answer's HTTP status once it has begun.
    pub status: Option<u16>,
    /// What the answer's body is; a node may answer gRPC-Web text with binary.
    pub answer: Protocol,
    /// Where that body stands among its messages.
    pub boundary: Boundary,
    pub grpc_status: Option<u16>,
    pub close: Close,
    pub in_progress: Option<InProgress>,
}

impl Request {
    pub(super) fn new(began: Instant, method: Method, path: &str, facts: Facts, headers: HeaderMap) -> Self {
        Request {
            began,
            method,
            path: clipped(path).into(),
            facts,
            forward: None,
            headers,
            upstream: None,
            received: 0,
            sent: 0,
            status: None,
            answer: Protocol::Http,
            boundary: Boundary::default(),
            grpc_status: None,
            close: Close::Done,
            in_progress: None,
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        self.forward.as_ref().is_some_and(|forward| forward.class == Class::Stream)
    }

    /// Where it stands, from 0 to 1, among those that end one after the other.
    pub(super) fn turn(&self) -> Option<f64> {
        let turn = xxh3_64(self.facts.request_id.as_bytes()) as f64 / u64::MAX as f64;
        self.is_stream().then_some(turn)
    }

    /// Counts it, and writes its line.
    pub(super) fn log(&self, metrics: &Metrics) {
        let took = self.began.elapsed();
        let facts = &self.facts;
        let http_status = self.status.unwrap_or(0);
        let class = match facts.class {
            Some(class) => class.as_str(),
            None if facts.protocol == Protocol::Http && http_status < 400 => "page",
            None => "other",
        };
        let code = match self.grpc_status {
            Some(code) => format!("{:?}", Code::from(i32::from(code))),
            None => http_status.to_string(),
        };
        metrics.requests.with_label_values(&[class, &code]).inc();
        metrics.closed.with_label_values(&[self.close.as_str()]).inc();
        metrics.body_bytes.with_label_values(&["sent"]).inc_by(self.received as u64);
        metrics.body_bytes.with_label_values(&["received"]).inc_by(self.sent as u64);
        if let Some(layer) = facts.answered_by {
            metrics.answered.with_label_values(&[layer]).inc();
        }
        if self.is_stream() {
            metrics.stream_seconds.observe(took.as_secs_f64());
        } else if self.forward.is_some() {
            metrics.call_seconds.observe(took.as_secs_f64());
        }

        let identity = facts.identity.as_ref();
        tracing::info!(
            target: "access",
            method = self.method.as_str(),
            path = &*self.path,
            class,
            user = identity.map(|identity| identity.user.as_str()),
            tenant = identity.map(|identity| identity.tenant.as_str()),
            device = identity.map(|identity| identity.device.as_str()),
            client = tracing::field::display(facts.client),
            status = http_status,
            grpc_status = self.grpc_status,
            duration_ms = took.as_secs_f64() * 1_000.0,
            bytes_received = self.received,
            bytes_sent = self.sent,
            close = self.close.as_str(),
            answered_by = facts.answered_by,
            upstream = self.upstream.as_ref().map(Chosen::label),
            request_id = facts.request_id.as_str(),
            trace_id = facts.trace_id.as_deref(),
        );
    }
}

/// A path may be as long as a header; a line of a log may not.
fn clipped(path: &str) -> &str {
    let mut end = path.len().min(256);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    &path[..end]
}
