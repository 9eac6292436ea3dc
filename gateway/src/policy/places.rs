//! Places among the requests in progress.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What is in progress at an edge. It outlives a reload, which changes only how much may be.
#[derive(Clone, Default)]
pub(crate) struct Places {
    pub calls: Arc<AtomicUsize>,
    pub public_calls: Arc<AtomicUsize>,
    pub streams: Arc<AtomicUsize>,
}

/// A place among the requests in progress, given back when it is dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    pub(crate) fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let one_more = |now| (now < most).then_some(now + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Place(taken.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
