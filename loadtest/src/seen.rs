//! What the users of a check saw, put together.

use crate::Deliveries;
use nexus_invariants::Judge;
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use tokio::time::Instant;

/// What is observed.
pub struct Seen {
    judge: Mutex<Judge>,
    deliveries: Mutex<Deliveries>,
    /// Attempts of calls that failed before the outcome was known.
    pub failed_attempts: Count,
    /// Streams that ended and were opened again.
    pub streams_ended: Count,
    /// Connections that were broken on purpose.
    pub broken: Count,
}

impl Seen {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            judge: Mutex::default(),
            deliveries: Mutex::new(Deliveries::begin(Instant::now())),
            failed_attempts: Count::default(),
            streams_ended: Count::default(),
            broken: Count::default(),
        }
    }

    /// Tells or asks the judge something.
    pub fn judge<R>(&self, what: impl FnOnce(&mut Judge) -> R) -> R {
        what(&mut self.judge.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same with the times of deliveries.
    pub fn deliveries<R>(&self, what: impl FnOnce(&mut Deliveries) -> R) -> R {
        what(&mut self.deliveries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How often something happened.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// It happened so many times more.
    pub fn add(&self, times: u64) {
        self.0.fetch_add(times, Ordering::Relaxed);
    }

    /// How often until now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
