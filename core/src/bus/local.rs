//! The bus of a single process: whoever listens hears every hint at once.

use super::{Bus, Hint, Listener, listener};
use async_trait::async_trait;

/// The bus of a single process.
#[derive(Default)]
pub struct LocalBus(listener::Feeds);

impl LocalBus {
    /// A bus whose listeners queue this much.
    pub fn new(limits: listener::Limits) -> Self {
        Self(listener::Feeds::new(limits))
    }
}

#[async_trait]
impl Bus for LocalBus {
    async fn publish(&self, hint: Hint) -> bool {
        self.0.hint(&hint);
        true
    }

    fn listen(&self) -> Listener {
        self.0.listen()
    }
}
