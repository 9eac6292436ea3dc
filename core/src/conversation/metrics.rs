//! What appending counts.

use prometheus::{Histogram, HistogramOpts, IntCounter, Registry};

/// Metrics of the conversations of a node.
pub struct Metrics {
    /// Batches that were appended.
    pub appends: IntCounter,
    /// Events that were appended.
    pub events: IntCounter,
    /// Batches whose condition failed, or whose outcome was unknown.
    pub append_refused: IntCounter,
    /// Rounds that a batch needed beyond the first.
    pub append_retries: IntCounter,
    /// Commands that found the queue full.
    pub queue_full: IntCounter,
    /// Hints that were not published in time.
    pub publish_failures: IntCounter,
    /// Time of an append.
    pub append_seconds: Histogram,
    /// Looks through all conversations for what is too old.
    pub retention_passes: IntCounter,
    /// Events that were trimmed.
    pub trimmed: IntCounter,
    /// Buckets that were deleted.
    pub dropped: IntCounter,
    /// Conversations that could not be trimmed this time.
    pub retention_failures: IntCounter,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let append_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "nexus_append_seconds",
                "Time from a batch's first write to its answer by the store.",
            )
            .buckets(prometheus::exponential_buckets(0.0005, 2.0, 14)?),
        )?;
        registry.register(Box::new(append_seconds.clone()))?;
        Ok(Self {
            appends: counter("nexus_appends_total", "Batches that were appended to logs.")?,
            events: counter("nexus_events_total", "Events that were appended to logs.")?,
            append_refused: counter(
                "nexus_append_refused_total",
                "Batches whose condition failed or whose outcome was unknown.",
            )?,
            append_retries: counter(
                "nexus_append_rounds_total",
                "Rounds that batches needed beyond their first.",
            )?,
            queue_full: counter(
                "nexus_queue_full_total",
                "Commands that found their conversation's queue full.",
            )?,
            publish_failures: counter(
                "nexus_publish_failures_total",
                "Hints that the bus did not take in time.",
            )?,
            append_seconds,
            retention_passes: counter(
                "nexus_retention_passes_total",
                "Looks through all conversations for events that are too old to be kept.",
            )?,
            trimmed: counter("nexus_retention_trimmed_events_total", "Events that were trimmed.")?,
            dropped: counter(
                "nexus_retention_dropped_buckets_total",
                "Buckets of logs that were deleted after they were trimmed.",
            )?,
            retention_failures: counter(
                "nexus_retention_failures_total",
                "Conversations that could not be trimmed, and are tried again by the next look.",
            )?,
        })
    }
}
