//! The bounded queue between a bus and whoever listens. What doesn't fit is dropped, and its lane is said to be missed:
//! a listener that is slow, or was paused, is told so instead of being flooded.

use super::{Heard, Hint};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// How much may wait for a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Hints. Default: 16,384.
    pub hints: usize,
    /// Bytes of hints, as [`Hint::size`] counts them. Default: 16 MiB.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { hints: 16_384, bytes: 16 << 20 }
    }
}

#[derive(Default)]
struct Waiting {
    hints: VecDeque<Hint>,
    bytes: usize,
    /// A bit for each lane.
    missed: u64,
}

struct Shared {
    limits: Limits,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A queue and its two ends.
pub fn queue(limits: Limits) -> (Feed, Listener) {
    let shared = Arc::new(Shared { limits, waiting: Mutex::default(), wake: Notify::new() });
    (Feed(shared.clone()), Listener(shared))
}

/// The end that a bus fills. Never blocks.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

impl Feed {
    /// Passes a hint on, or notes that its lane was missed.
    pub fn hint(&self, hint: Hint) {
        {
            let mut waiting = self.0.waiting();
            let size = hint.size();
            let fits = waiting.hints.len() < self.0.limits.hints
                && (waiting.bytes + size <= self.0.limits.bytes || waiting.hints.is_empty());
            if fits {
                waiting.bytes += size;
                waiting.hints.push_back(hint);
            } else if hint.matters() {
                waiting.missed |= 1 << hint.lane();
            }
        }
        self.0.wake.notify_one();
    }

    /// Says that hints of a lane may have been missed.
    pub fn missed(&self, lane: u16) {
        self.0.waiting().missed |= 1 << lane;
        self.0.wake.notify_one();
    }

    /// Whether nobody listens any more.
    pub fn is_closed(&self) -> bool {
        // Every feed counts, so one that is shared by clones asks too late rather than too early.
        Arc::strong_count(&self.0) == 1
    }
}

/// The end that a node listens at.
pub struct Listener(Arc<Shared>);

impl Listener {
    /// The next thing heard. Waits for ever if nothing is. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.try_recv() {
                return heard;
            }
            self.0.wake.notified().await;
        }
    }

    /// The next thing heard, if there is one already.
    pub fn try_recv(&mut self) -> Option<Heard> {
        let mut waiting = self.0.waiting();
        if waiting.missed != 0 {
            let lane = waiting.missed.trailing_zeros() as u16;
            waiting.missed &= waiting.missed - 1;
            return Some(Heard::Missed(lane));
        }
        let hint = waiting.hints.pop_front()?;
        waiting.bytes -= hint.size();
        Some(Heard::Hint(hint))
    }
}

/// The feeds of everybody who listens to a bus.
#[derive(Default)]
pub struct Feeds {
    limits: Limits,
    feeds: Mutex<Vec<Feed>>,
}

impl Feeds {
    /// Nobody listens yet; each queue that comes holds this much.
    pub fn new(limits: Limits) -> Self {
        Self { limits, feeds: Mutex::default() }
    }

    /// One more who listens, from now on.
    pub fn listen(&self) -> Listener {
        let (feed, listener) = queue(self.limits);
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).push(feed);
        listener
    }

    /// Passes a hint on to everybody.
    pub fn hint(&self, hint: &Hint) {
        self.each(|feed| feed.hint(hint.clone()));
    }

    /// Says to everybody that hints of a lane may have been missed.
    pub fn missed(&self, lane: u16) {
        self.each(|feed| feed.missed(lane));
    }

    fn each(&self, what: impl Fn(&Feed)) {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|feed| !feed.is_closed());
        feeds.iter().for_each(what);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::domain::Name;

    fn about(user: &str) -> Hint {
        Hint::Memberships { tenant: Name::new("default").unwrap(), user: Name::new(user).unwrap() }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_said_to_be_missed() {
        let (feed, mut listener) = queue(Limits { hints: 1, bytes: 1 << 20 });
        feed.hint(about("ann"));
        feed.hint(about("bob"));
        feed.missed(3);
        let mut lanes = vec![3, about("bob").lane()];
        lanes.sort();
        for lane in lanes {
            assert!(matches!(listener.recv().await, Heard::Missed(missed) if missed == lane));
        }
        assert!(
            matches!(listener.recv().await, Heard::Hint(Hint::Memberships { user, .. }) if user.as_str() == "ann")
        );
        assert!(listener.try_recv().is_none());
        drop(listener);
        assert!(feed.is_closed());
    }
}
