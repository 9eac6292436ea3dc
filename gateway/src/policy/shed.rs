//! Sheds load beyond what may be in progress. Tower's own limit ends with the decision; this one's permit
//! travels with the request and is given back when the request ends, hours later for a stream.

use super::{
    decision::{Facts, Reply},
    gate::Check,
    head::RequestHead,
    method::Class,
    reply::unavailable,
};
use crate::config::Limits;
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a shed client is told to wait. Its own jitter spreads it.
const RETRY: Duration = Duration::from_secs(1);

/// The layer's check.
pub(crate) struct Shed {
    calls: Arc<Semaphore>,
    public_calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Shed {
    pub(crate) fn new(limits: &Limits) -> Self {
        let semaphore = |places: usize| Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Shed {
            calls: semaphore(limits.calls),
            public_calls: semaphore(limits.public_calls),
            streams: semaphore(limits.streams),
        }
    }

    fn permit(&self, facts: &Facts) -> Option<OwnedSemaphorePermit> {
        let semaphore = match (&facts.identity, facts.class) {
            // Strangers can fill their own places only.
            (None, _) => &self.public_calls,
            (Some(_), Some(Class::Stream)) => &self.streams,
            (Some(_), _) => &self.calls,
        };
        semaphore.clone().try_acquire_owned().ok()
    }
}

impl Check for Shed {
    fn check(&self, head: &mut RequestHead) -> Result<(), Reply> {
        match self.permit(&head.facts) {
            Some(permit) => {
                head.permit = Some(permit);
                Ok(())
            }
            None => Err(Reply::Status(unavailable("too much is going on here; try again shortly", RETRY))),
        }
    }
}
