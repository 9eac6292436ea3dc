//! What is known of a request while it lasts, and its line in the log.

use crate::{
    metrics::Metrics,
    policy::{Class, Facts, Forward, Protocol},
    routing::Chosen,
};
use http::HeaderMap;
use prometheus::IntGauge;
use tokio::time::Instant;
use tonic::{Code, Status};

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

/// One request.
pub(super) struct Request {
    pub began: Instant,
    pub facts: Option<Facts>,
    pub forward: Option<Forward>,
    /// Headers to set on the response.
    pub headers: HeaderMap,
    pub upstream: Option<Chosen>,
    /// Nodes that could not be connected to.
    pub tried: Vec<String>,
    /// Bytes of the request's body so far.
    pub received: usize,
    /// What the answer's body is; a node may answer gRPC-Web text with binary.
    pub answer: Protocol,
    pub grpc_status: Option<u16>,
    /// Why the edge gave up on it, and what to tell the client.
    pub failure: Option<(Close, Status)>,
    pub close: Close,
    pub in_progress: Option<InProgress>,
}

impl Request {
    pub(super) fn new() -> Self {
        Request {
            began: Instant::now(),
            facts: None,
            forward: None,
            headers: HeaderMap::new(),
            upstream: None,
            tried: Vec::new(),
            received: 0,
            answer: Protocol::Http,
            grpc_status: None,
            failure: None,
            close: Close::Done,
            in_progress: None,
        }
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.facts.as_ref().map_or(Protocol::Http, |facts| facts.protocol)
    }

    pub(super) fn is_stream(&self) -> bool {
        self.forward.as_ref().is_some_and(|forward| forward.class == Class::Stream)
    }

    /// Counts it, and writes its line.
    pub(super) fn log(&self, method: &str, path: &str, http_status: u16, sent: usize, metrics: &Metrics) {
        let took = self.began.elapsed();
        let facts = self.facts.as_ref();
        let protocol = self.protocol();
        let class = match facts.and_then(|facts| facts.class) {
            Some(class) => class.as_str(),
            None if protocol == Protocol::Http && http_status < 400 => "page",
            None => "other",
        };
        let code = match self.grpc_status {
            Some(code) => format!("{:?}", Code::from(i32::from(code))),
            None => http_status.to_string(),
        };
        metrics.requests.with_label_values(&[class, &code]).inc();
        metrics.closed.with_label_values(&[self.close.as_str()]).inc();
        metrics.body_bytes.with_label_values(&["sent"]).inc_by(self.received as u64);
        metrics.body_bytes.with_label_values(&["received"]).inc_by(sent as u64);
        if let Some(layer) = facts.and_then(|facts| facts.answered_by) {
            metrics.answered.with_label_values(&[layer]).inc();
        }
        if self.is_stream() {
            metrics.stream_seconds.observe(took.as_secs_f64());
        } else if self.forward.is_some() {
            metrics.call_seconds.observe(took.as_secs_f64());
        }

        let identity = facts.and_then(|facts| facts.identity.as_ref());
        tracing::info!(
            target: "access",
            method,
            path = clipped(path),
            class,
            user = identity.map(|identity| identity.user.as_str()),
            tenant = identity.map(|identity| identity.tenant.as_str()),
            device = identity.map(|identity| identity.device.as_str()),
            client = facts.map(|facts| tracing::field::display(facts.client)),
            status = http_status,
            grpc_status = self.grpc_status,
            duration_ms = took.as_secs_f64() * 1_000.0,
            bytes_received = self.received,
            bytes_sent = sent,
            close = self.close.as_str(),
            answered_by = facts.and_then(|facts| facts.answered_by),
            upstream = self.upstream.as_ref().map(Chosen::label),
            request_id = facts.map(|facts| facts.request_id.as_str()),
            trace_id = facts.and_then(|facts| facts.trace_id.as_deref()),
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
