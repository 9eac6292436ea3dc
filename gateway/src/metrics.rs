//! Every metric of the edge, with its help text.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, core::Collector,
};
use std::sync::Arc;

/// From a cached answer to the deadline of a call, in seconds.
const CALL_SECONDS: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
/// From a lost connection to a working day, in seconds.
const STREAM_SECONDS: &[f64] = &[1.0, 10.0, 60.0, 300.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0];

/// The metrics of one edge. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

pub(crate) struct Inner {
    /// Open connections, by protocol.
    pub connections: IntGaugeVec,
    /// Connections that were refused, by reason.
    pub connections_refused: IntCounterVec,
    /// Calls in progress.
    pub calls: IntGauge,
    /// Attached streams.
    pub streams: IntGauge,
    /// Requests answered, by class and gRPC code or HTTP status.
    pub requests: IntCounterVec,
    /// Time of calls.
    pub call_seconds: Histogram,
    /// Time that streams stayed attached.
    pub stream_seconds: Histogram,
    /// How requests and streams ended, by reason.
    pub closed: IntCounterVec,
    /// Bytes of bodies, by direction.
    pub body_bytes: IntCounterVec,
    /// Requests answered by the edge itself, by the layer that did.
    pub answered: IntCounterVec,
    /// Keys that a rate limit let through uncounted because its table was full.
    pub rate_uncounted: IntCounter,
    upstream_healthy: IntGaugeVec,
    /// Open connections to chat nodes, by node.
    pub upstream_connections: IntGaugeVec,
    /// Failures of chat nodes, by node and kind.
    pub upstream_failures: IntCounterVec,
    /// Times that a node was passed over because its calls failed, by node.
    pub upstream_ejections: IntCounterVec,
    /// Time to the header of a node's answer.
    pub upstream_seconds: HistogramVec,
    /// When the certificate in use expires.
    pub certificate_expiry: Gauge,
    /// Reloads of the certificate, by result.
    pub certificate_reloads: IntCounterVec,
    /// Reloads of the configuration, by result.
    pub config_reloads: IntCounterVec,
    /// Refreshes of the key set, by result.
    pub jwks_refreshes: IntCounterVec,
    /// Keys in the key set.
    pub jwks_keys: IntGauge,
    /// The limits of the configuration.
    pub limits: GaugeVec,
}

impl std::ops::Deref for Metrics {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// Registers as it makes them, so that no metric can be forgotten.
struct Register<'a>(&'a Registry);

impl Register<'_> {
    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
    }
}

impl Metrics {
    /// Makes and registers them. Fails only if the registry already has metrics of an edge.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let make = Register(registry);
        Ok(Metrics(Arc::new(Inner {
            connections: make.gauges(
                "nexus_gateway_connections",
                "Open client connections, by protocol (h2, http1).",
                &["protocol"],
            )?,
            connections_refused: make.counters(
                "nexus_gateway_connections_refused_total",
                "Client connections that were closed at once, by reason (limit, address_limit, head_timeout, head_size, handshake).",
                &["reason"],
            )?,
            calls: make.gauge("nexus_gateway_calls_in_progress", "Calls in progress, attached streams not counted.")?,
            streams: make.gauge("nexus_gateway_streams", "Attached streams.")?,
            requests: make.counters(
                "nexus_gateway_requests_total",
                "Requests that ended, by class (read, mutation, stream, page, other) and code: a gRPC code's name, or an HTTP status.",
                &["class", "code"],
            )?,
            call_seconds: make.histogram("nexus_gateway_call_seconds", "Time of calls, from header to end.", CALL_SECONDS)?,
            stream_seconds: make.histogram(
                "nexus_gateway_stream_seconds",
                "Time that streams stayed attached.",
                STREAM_SECONDS,
            )?,
            closed: make.counters(
                "nexus_gateway_closed_total",
                "How requests and streams ended, by reason (done, answered, client_gone, upstream_failed, upstream_timeout, upstream_out, edge_leaving, token_expired, body_too_large, slow_client, internal).",
                &["reason"],
            )?,
            body_bytes: make.counters(
                "nexus_gateway_body_bytes_total",
                "Bytes of bodies, by direction as the client sees it (sent, received).",
                &["direction"],
            )?,
            answered: make.counters(
                "nexus_gateway_answered_total",
                "Requests that the edge answered itself, by the layer of the policy that did.",
                &["layer"],
            )?,
            rate_uncounted: make.add(IntCounter::new(
                "nexus_gateway_rate_uncounted_total",
                "Requests that no rate limit counted because its table of keys was full (limits.tracked).",
            )?)?,
            upstream_healthy: make.gauges(
                "nexus_gateway_upstream_healthy",
                "1 if the chat node passes its health checks, else 0.",
                &["upstream"],
            )?,
            upstream_connections: make.gauges(
                "nexus_gateway_upstream_connections",
                "Open connections to the chat node; each carries many requests (upstream.streams_per_connection).",
                &["upstream"],
            )?,
            upstream_failures: make.counters(
                "nexus_gateway_upstream_failures_total",
                "Failures of chat nodes, by node and kind (connect, timeout, broken, out).",
                &["upstream", "kind"],
            )?,
            upstream_ejections: make.counters(
                "nexus_gateway_upstream_ejections_total",
                "Times that the chat node was passed over because its calls failed (upstream.eject_after).",
                &["upstream"],
            )?,
            upstream_seconds: make.add(HistogramVec::new(
                HistogramOpts::new(
                    "nexus_gateway_upstream_header_seconds",
                    "Time from the request to the header of the chat node's answer.",
                )
                .buckets(CALL_SECONDS.to_vec()),
                &["upstream"],
            )?)?,
            certificate_expiry: make.add(Gauge::new(
                "nexus_gateway_certificate_expiry_timestamp_seconds",
                "When the certificate in use expires, in Unix seconds.",
            )?)?,
            certificate_reloads: make.counters(
                "nexus_gateway_certificate_reloads_total",
                "Certificates read again, by result (ok, error).",
                &["result"],
            )?,
            config_reloads: make.counters(
                "nexus_gateway_config_reloads_total",
                "Configurations read again, by result (ok, error).",
                &["result"],
            )?,
            jwks_refreshes: make.counters(
                "nexus_gateway_jwks_refreshes_total",
                "Refreshes of the key set, by result (ok, error).",
                &["result"],
            )?,
            jwks_keys: make.gauge("nexus_gateway_jwks_keys", "Keys in the key set.")?,
            limits: make.add(GaugeVec::new(
                Opts::new("nexus_gateway_limit", "The limits of the configuration, by name."),
                &["name"],
            )?)?,
        })))
    }

    pub(crate) fn upstream_healthy(&self, upstream: &str, healthy: bool) {
        self.upstream_healthy.with_label_values(&[upstream]).set(i64::from(healthy));
    }

    /// Drops the series of a node that left, so that it does not look unhealthy for ever.
    pub(crate) fn forget_upstream(&self, upstream: &str) {
        // A series that was never written is not there; that is all that can fail.
        self.upstream_healthy.remove_label_values(&[upstream]).ok();
        self.upstream_ejections.remove_label_values(&[upstream]).ok();
        self.upstream_seconds.remove_label_values(&[upstream]).ok();
        self.upstream_connections.remove_label_values(&[upstream]).ok();
        for kind in ["connect", "timeout", "broken", "out"] {
            self.upstream_failures.remove_label_values(&[upstream, kind]).ok();
        }
    }

    /// Publishes the limits, so that a dashboard can draw them beside what they limit.
    pub(crate) fn publish_limits(&self, limits: &crate::config::Limits) {
        self.limits.reset();
        for limit in &limits.methods {
            for (what, value) in [("rate", limit.rate), ("burst", limit.burst)] {
                let name = format!("{} {what}", limit.method);
                self.limits.with_label_values(&[&name]).set(f64::from(value));
            }
        }
        for (name, value) in [
            ("connections", limits.connections as f64),
            ("connections_per_address", limits.connections_per_address as f64),
            ("streams_per_connection", f64::from(limits.streams_per_connection)),
            ("calls", limits.calls as f64),
            ("public_calls", limits.public_calls as f64),
            ("streams", limits.streams as f64),
            ("leaving_rate", f64::from(limits.leaving_rate)),
            ("header_bytes", limits.header_bytes as f64),
            ("body_bytes", limits.body_bytes as f64),
            ("tracked", limits.tracked as f64),
            ("address_rate", f64::from(limits.address_rate)),
            ("address_burst", f64::from(limits.address_burst)),
            ("user_rate", f64::from(limits.user_rate)),
            ("user_burst", f64::from(limits.user_burst)),
            ("read_rate", f64::from(limits.read_rate)),
            ("read_burst", f64::from(limits.read_burst)),
            ("mutation_rate", f64::from(limits.mutation_rate)),
            ("mutation_burst", f64::from(limits.mutation_burst)),
            ("stream_rate", f64::from(limits.stream_rate)),
            ("stream_burst", f64::from(limits.stream_burst)),
        ] {
            self.limits.with_label_values(&[name]).set(value);
        }
    }
}
