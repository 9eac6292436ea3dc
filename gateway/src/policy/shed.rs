//! Sheds load beyond what may be in progress. Tower's own limit ends with the decision; here a request's place
//! travels with it and is given back when it ends, hours later for a stream.

use super::{
    decision::{Facts, Reply},
    gate::Check,
    head::RequestHead,
    method::Class,
    reply::unavailable,
};
use crate::config::Limits;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What a shed client is told to wait. Its own jitter spreads it.
const RETRY: Duration = Duration::from_secs(1);

/// What is in progress at an edge. It outlives a reload, which changes only how much may be.
#[derive(Clone, Default)]
pub(crate) struct Places {
    calls: Arc<AtomicUsize>,
    public_calls: Arc<AtomicUsize>,
    streams: Arc<AtomicUsize>,
}

/// A place among the requests in progress, given back when it is dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
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

/// The layer's check.
pub(crate) struct Shed {
    taken: Places,
    calls: usize,
    public_calls: usize,
    streams: usize,
}

impl Shed {
    pub(crate) fn new(limits: &Limits, taken: Places) -> Self {
        Shed { taken, calls: limits.calls, public_calls: limits.public_calls, streams: limits.streams }
    }

    fn place(&self, facts: &Facts) -> Option<Place> {
        match (&facts.identity, facts.class) {
            // Strangers can fill their own places only.
            (None, _) => Place::take(&self.taken.public_calls, self.public_calls),
            (Some(_), Some(Class::Stream)) => Place::take(&self.taken.streams, self.streams),
            (Some(_), _) => Place::take(&self.taken.calls, self.calls),
        }
    }
}

impl Check for Shed {
    fn check(&self, head: &mut RequestHead) -> Result<(), Reply> {
        match self.place(&head.facts) {
            Some(place) => {
                head.place = Some(place);
                Ok(())
            }
            None => Err(Reply::Status(unavailable("too much is going on here; try again shortly", RETRY))),
        }
    }
}
