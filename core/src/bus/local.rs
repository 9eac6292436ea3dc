//! The bus of a single process: whoever listens hears every hint at once.

use super::{Bus, Feed, Hint, Listener, listener};
use async_trait::async_trait;
use std::sync::{Mutex, PoisonError};

/// The bus of a single process.
#[derive(Default)]
pub struct LocalBus {
    limits: listener::Limits,
    feeds: Mutex<Vec<Feed>>,
}

impl LocalBus {
    /// A bus whose listeners queue this much.
    pub fn new(limits: listener::Limits) -> Self {
        Self { limits, feeds: Mutex::default() }
    }
}

#[async_trait]
impl Bus for LocalBus {
    async fn publish(&self, hint: Hint) -> bool {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|feed| !feed.is_closed());
        for feed in feeds.iter() {
            feed.hint(hint.clone());
        }
        true
    }

    fn listen(&self) -> Listener {
        let (feed, listener) = listener::queue(self.limits);
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).push(feed);
        listener
    }
}
