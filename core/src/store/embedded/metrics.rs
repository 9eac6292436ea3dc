//! What the embedded store tells of itself.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntGauge, Registry, exponential_buckets,
};

/// The metrics, registered.
pub struct Metrics {
    /// Groups written.
    pub groups: IntCounter,
    /// Operations that shared a group.
    pub group_operations: Histogram,
    /// Seconds to write a group, fsync included.
    pub commit_seconds: HistogramVec,
    /// Operations that wait for the writer.
    pub queue_operations: IntGauge,
    /// Bytes of the operations that wait for the writer.
    pub queue_bytes: IntGauge,
    /// Seconds that a read took, by what was read.
    pub read_seconds: HistogramVec,
    /// Free bytes of the disk.
    pub free_bytes: IntGauge,
    /// Whether a write failed, so that nothing is written any more.
    pub failed: IntGauge,
}

impl Metrics {
    /// Makes and registers them.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let seconds = |name: &str, help: &str, from: f64, label: &str| {
            let buckets = exponential_buckets(from, 4.0, 10)?;
            HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), &[label])
        };
        let sizes = exponential_buckets(1.0, 2.0, 11)?;
        let metrics = Self {
            groups: IntCounter::new(
                "nexus_store_groups_total",
                "Groups of operations written with one fsync",
            )?,
            group_operations: Histogram::with_opts(
                HistogramOpts::new("nexus_store_group_operations", "Operations that shared a group")
                    .buckets(sizes),
            )?,
            commit_seconds: seconds(
                "nexus_store_commit_seconds",
                "Time to write a group to the journal, by whether it was fsynced",
                64e-6,
                "synced",
            )?,
            queue_operations: IntGauge::new(
                "nexus_store_queue_operations",
                "Operations that wait for the writer",
            )?,
            queue_bytes: IntGauge::new(
                "nexus_store_queue_bytes",
                "Bytes of operations that wait for the writer",
            )?,
            read_seconds: seconds(
                "nexus_store_read_seconds",
                "Time of a read, by what was read",
                4e-6,
                "read",
            )?,
            free_bytes: IntGauge::new("nexus_store_free_bytes", "Free bytes of the data directory's disk")?,
            failed: IntGauge::new(
                "nexus_store_failed",
                "1 after a failed write, when nothing is written until a restart",
            )?,
        };
        registry.register(Box::new(metrics.groups.clone()))?;
        registry.register(Box::new(metrics.group_operations.clone()))?;
        registry.register(Box::new(metrics.commit_seconds.clone()))?;
        registry.register(Box::new(metrics.queue_operations.clone()))?;
        registry.register(Box::new(metrics.queue_bytes.clone()))?;
        registry.register(Box::new(metrics.read_seconds.clone()))?;
        registry.register(Box::new(metrics.free_bytes.clone()))?;
        registry.register(Box::new(metrics.failed.clone()))?;
        Ok(metrics)
    }
}
