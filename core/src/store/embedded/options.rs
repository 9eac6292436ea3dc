//! What an operator can set of the embedded store.

use confique::Config;
use std::time::Duration;

/// The embedded store's limits. Every one of them is checked by [`Options::problems`].
#[derive(Debug, Clone, PartialEq, Eq, Config)]
pub struct Options {
    /// Memory for blocks read from disk, in bytes.
    #[config(default = 33554432, env = "NEXUS_STORE_CACHE_BYTES")]
    pub cache_bytes: u64,

    /// Free bytes of the disk below which nothing more is written. It leaves room for what is in memory and for
    /// merging files, which need space to give space back. What follows from the log, and readers need, is written
    /// down to a quarter of it.
    #[config(default = 67108864, env = "NEXUS_STORE_MIN_FREE_BYTES")]
    pub min_free_bytes: u64,

    /// Longest time in milliseconds that any call takes. A write that takes longer has an unknown outcome.
    #[config(default = 10000, env = "NEXUS_STORE_DEADLINE_MS")]
    pub deadline_ms: u64,

    /// Most operations that share one fsync.
    #[config(default = 1024, env = "NEXUS_STORE_GROUP_OPERATIONS")]
    pub group_operations: usize,

    /// Bytes of operations after which a group is closed.
    #[config(default = 4194304, env = "NEXUS_STORE_GROUP_BYTES")]
    pub group_bytes: usize,

    /// Most operations that wait for the writer; further callers wait for room until their deadline.
    #[config(default = 4096, env = "NEXUS_STORE_QUEUE_OPERATIONS")]
    pub queue_operations: usize,

    /// Most bytes of operations that wait for the writer; also the size of the largest operation.
    #[config(default = 67108864, env = "NEXUS_STORE_QUEUE_BYTES")]
    pub queue_bytes: usize,

    /// Most reads at once; further callers wait for room until their deadline.
    #[config(default = 64, env = "NEXUS_STORE_READS")]
    pub reads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            min_free_bytes: 64 << 20,
            deadline_ms: 10_000,
            group_operations: 1024,
            group_bytes: 4 << 20,
            queue_operations: 4096,
            queue_bytes: 64 << 20,
            reads: 64,
        }
    }
}

impl Options {
    /// Every setting's name and value, with its least.
    pub fn limits(&self) -> [(&'static str, u64, u64); 8] {
        [
            ("cache_bytes", self.cache_bytes, 1 << 20),
            ("min_free_bytes", self.min_free_bytes, 0),
            ("deadline_ms", self.deadline_ms, 100),
            ("group_operations", self.group_operations as u64, 1),
            ("group_bytes", self.group_bytes as u64, 1),
            ("queue_operations", self.queue_operations as u64, 1),
            ("queue_bytes", self.queue_bytes as u64, 1 << 20),
            ("reads", self.reads as u64, 1),
        ]
    }

    /// Everything that is wrong with these values, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let low = self.limits().into_iter().filter(|(_, value, least)| value < least);
        let mut problems: Vec<String> = low
            .map(|(name, value, least)| format!("{name} is {value}; it must be at least {least}"))
            .collect();
        // Permits of the queue are counted in 32 bits.
        if self.queue_bytes > u32::MAX as usize {
            problems.push(format!("queue_bytes is {}; it must be at most {}", self.queue_bytes, u32::MAX));
        }
        problems
    }

    pub(super) fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_defaults_of_the_configuration_are_the_defaults_of_the_type() {
        assert_eq!(Options::builder().load().unwrap(), Options::default());
        assert_eq!(Options::default().problems(), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let wrong = Options { cache_bytes: 0, reads: 0, queue_bytes: 1 << 40, ..Options::default() };
        assert_eq!(wrong.problems().len(), 3);
    }
}
