//! The generic cell rate algorithm (ITU-T I.371): of each key only the time is kept at which its bucket will
//! be full again. A key whose time has passed is as good as one never seen, so the table can forget it.

use parking_lot::Mutex;
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// So that requests on several cores rarely meet.
const SHARDS: usize = 16;

/// The limit of one kind of thing, for many keys.
pub(super) struct Gcra {
    started: Instant,
    /// Nanoseconds between two requests at the steady rate.
    interval: u64,
    /// Nanoseconds by which a burst may run ahead of it.
    tolerance: u64,
    shards: Vec<Mutex<HashMap<u64, u64>>>,
    shard_capacity: usize,
}

/// The answer for one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Conforms,
    Exceeds {
        retry: Duration,
    },
    /// There is no room to remember one more key, and the request goes through: a flood of addresses must not
    /// lock out the users whom it is not from.
    Uncounted,
}

impl Gcra {
    /// At most `rate` a second with `burst` at once, for at most `capacity` keys.
    pub(super) fn new(rate: u32, burst: u32, capacity: usize) -> Self {
        let interval = 1_000_000_000 / u64::from(rate.max(1));
        Gcra {
            started: Instant::now(),
            interval,
            tolerance: interval * u64::from(burst.max(1) - 1),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shard_capacity: capacity.div_ceil(SHARDS),
        }
    }

    pub(super) fn check(&self, key: u64, now: Instant) -> Verdict {
        let now = u64::try_from(now.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX);
        let mut shard = self.shards[(key >> 32) as usize % SHARDS].lock();
        if let Some(full_at) = shard.get_mut(&key) {
            let ahead = full_at.saturating_sub(now);
            if ahead > self.tolerance {
                return Verdict::Exceeds { retry: Duration::from_nanos(ahead - self.tolerance) };
            }
            *full_at = (*full_at).max(now) + self.interval;
            return Verdict::Conforms;
        }
        if shard.len() >= self.shard_capacity {
            shard.retain(|_, full_at| *full_at > now);
            if shard.len() >= self.shard_capacity {
                return Verdict::Uncounted;
            }
        }
        shard.insert(key, now + self.interval);
        Verdict::Conforms
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let limit = Gcra::new(10, 3, 100);
        let start = limit.started;
        for _ in 0..3 {
            assert_eq!(limit.check(1, start), Verdict::Conforms);
        }
        assert_eq!(limit.check(1, start), Verdict::Exceeds { retry: Duration::from_millis(100) });
        assert_eq!(limit.check(2, start), Verdict::Conforms);
        let later = start + Duration::from_millis(100);
        assert_eq!(limit.check(1, later), Verdict::Conforms);
        assert_eq!(limit.check(1, later), Verdict::Exceeds { retry: Duration::from_millis(100) });
    }

    #[test]
    fn a_full_table_forgets_the_idle_and_lets_the_new_through() {
        let limit = Gcra::new(1, 1, SHARDS);
        let start = limit.started;
        for key in 0..1_000u64 {
            assert_ne!(limit.check(key, start), Verdict::Exceeds { retry: Duration::from_secs(1) });
        }
        assert!(limit.shards.iter().all(|shard| shard.lock().len() <= 1));
        assert_eq!(limit.check(5_000, start), Verdict::Uncounted);
        assert_eq!(limit.check(5_000, start + Duration::from_secs(2)), Verdict::Conforms);
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate(rate in 1u32..200, burst in 1u32..50, gaps in prop::collection::vec(0u64..50, 1..200)) {
            let limit = Gcra::new(rate, burst, 100);
            let (mut now, mut passed) = (limit.started, 0u64);
            for gap in gaps {
                now += Duration::from_millis(gap);
                match limit.check(9, now) {
                    Verdict::Conforms => passed += 1,
                    Verdict::Exceeds { retry } => {
                        // What it says is when it will work, and not a moment earlier.
                        let then = copy(&limit).check(9, now + retry);
                        prop_assert_eq!(then, Verdict::Conforms);
                        let sooner = copy(&limit).check(9, now + retry - Duration::from_nanos(1));
                        prop_assert_ne!(sooner, Verdict::Conforms);
                    }
                    Verdict::Uncounted => prop_assert!(false),
                }
                let elapsed = (now - limit.started).as_nanos() as u64;
                prop_assert!(passed <= u64::from(burst) + elapsed / limit.interval + 1);
            }
        }
    }

    fn copy(limit: &Gcra) -> Gcra {
        let shards = limit.shards.iter().map(|shard| Mutex::new(shard.lock().clone())).collect();
        Gcra { shards, ..*limit }
    }
}
