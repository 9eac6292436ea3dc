//! Sheds load beyond what may be in progress. Tower's own limit ends with the decision; here a request's place
//! travels with it and is given back when it ends, hours later for a stream.

use super::{
    decision::{Facts, Reply},
    gate::Check,
    head::RequestHead,
    method::Class,
    places::{Place, Places},
    reply::unavailable,
};
use crate::config::Limits;
use std::time::Duration;

/// What a shed client is told to wait. Its own jitter spreads it.
const RETRY: Duration = Duration::from_secs(1);

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
