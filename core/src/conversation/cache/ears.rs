//! Whether this node hears what other nodes append, lane by lane.

use crate::domain::hash::LANES;
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
};
use std::time::Duration;
use tokio::time::Instant;

/// A moment at which something was certain.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// How often hints of its lane had been missed by then.
    missed: u64,
    at: Instant,
}

impl Moment {
    /// The later of two.
    pub fn later(self, other: Option<Self>) -> Self {
        other.filter(|other| other.at > self.at).unwrap_or(self)
    }
}

/// What is known of hearing.
pub struct Ears {
    listening: AtomicBool,
    lanes: Vec<Lane>,
}

#[derive(Default)]
struct Lane {
    /// How often hints may have been missed.
    missed: AtomicU64,
    /// From when until when it was compared with the log without a hole.
    checked: Mutex<Option<(Instant, Instant)>>,
    /// Conversations that are held.
    held: AtomicUsize,
}

impl Ears {
    /// Nobody listens.
    pub fn new() -> Self {
        Self { listening: AtomicBool::new(false), lanes: (0..LANES).map(|_| Lane::default()).collect() }
    }

    fn lane(&self, lane: u16) -> &Lane {
        &self.lanes[usize::from(lane % LANES)]
    }

    /// From now on hints are heard, or no longer.
    pub fn listen(&self, listening: bool) {
        self.listening.store(listening, SeqCst);
        // What was certain before nobody would have heard changes of.
        (0..LANES).for_each(|lane| self.miss(lane));
    }

    /// Hints of a lane may have been missed.
    pub fn miss(&self, lane: u16) {
        self.lane(lane).missed.fetch_add(1, SeqCst);
    }

    /// A lane was compared with the log, beginning at `at`: everything to which something was appended since `from` was told
    /// of.
    pub fn check(&self, lane: u16, from: Instant, at: Instant) {
        let mut checked = self.lane(lane).checked.lock().unwrap_or_else(PoisonError::into_inner);
        let since = checked.filter(|(_, to)| *to >= from).map_or(from, |(since, _)| since);
        *checked = Some((since, at));
    }

    /// How many conversations of a lane are held.
    pub fn held(&self, lane: u16) -> &AtomicUsize {
        &self.lane(lane).held
    }

    /// Now.
    pub fn moment(&self, lane: u16) -> Moment {
        Moment { missed: self.lane(lane).missed.load(SeqCst), at: Instant::now() }
    }

    /// Whether what was certain at a moment is still to be believed.
    pub fn believe(&self, lane: u16, then: Moment, most: Duration) -> bool {
        let of = self.lane(lane);
        if most.is_zero() || !self.listening.load(SeqCst) || of.missed.load(SeqCst) != then.missed {
            return false;
        }
        let checked = *of.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let covered = checked.filter(|(since, _)| *since <= then.at);
        let certain = covered.map_or(then.at, |(_, to)| to.max(then.at));
        certain.elapsed() < most
    }
}
