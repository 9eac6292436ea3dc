//! What the cache counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Metrics of the cache.
pub struct Metrics {
    /// Bytes that are held, about.
    pub bytes: IntGauge,
    /// Conversations of which something is held.
    pub conversations: IntGauge,
    /// Reads, by what was read and whether memory answered.
    reads: IntCounterVec,
    /// Conversations that had to go for others.
    pub evictions: IntCounter,
    /// Reads of the store that were answered by another's.
    pub shared: IntCounter,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            bytes: IntGauge::new("nexus_cache_bytes", "Bytes of conversations that are held in memory.")?,
            conversations: IntGauge::new(
                "nexus_cache_conversations",
                "Conversations of which something is held in memory.",
            )?,
            reads: IntCounterVec::new(
                Opts::new("nexus_cache_reads_total", "Reads, by what was read and whether memory answered."),
                &["read", "result"],
            )?,
            evictions: IntCounter::new(
                "nexus_cache_evictions_total",
                "Conversations that went from memory to make room for others.",
            )?,
            shared: IntCounter::new(
                "nexus_cache_shared_reads_total",
                "Reads of the store that were answered by one that another had asked for.",
            )?,
        };
        registry.register(Box::new(metrics.bytes.clone()))?;
        registry.register(Box::new(metrics.conversations.clone()))?;
        registry.register(Box::new(metrics.reads.clone()))?;
        registry.register(Box::new(metrics.evictions.clone()))?;
        registry.register(Box::new(metrics.shared.clone()))?;
        Ok(metrics)
    }

    /// Counts a read.
    pub fn read(&self, what: &str, hit: bool) {
        self.reads.with_label_values(&[what, if hit { "hit" } else { "miss" }]).inc();
    }
}
