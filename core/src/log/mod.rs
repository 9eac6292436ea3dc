//! The append protocol of one conversation's log, over the store port.
//!
//! - [`tail`]: where the log ends.
//! - [`append`]: sealing, opening, appending: one conditional batch at a time.
//! - [`dedupe`]: what became of a client id, in the open bucket and in closed ones.
//! - [`read`]: events across buckets. [`size`]: how much it holds.
//! - [`trim`]: the beginning, where it is too old to be kept.
//!
//! Correctness never depends on who appends: every batch has the condition that the log still ends where its maker
//! thinks it does. A batch that was refused, or whose outcome is unknown, is answered by reading at `SERIAL`.

pub mod append;
pub mod dedupe;
pub mod read;
pub mod size;
pub mod tail;
pub mod trim;

pub use append::{Appended, Entry};
pub use dedupe::{Found, Horizon};
pub use tail::Tail;
pub use trim::Goes;

use crate::{
    clock::SharedClock,
    domain::Place,
    store::{Limits, Store},
};
use std::sync::Arc;

/// What the protocol needs besides the conversation.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// When buckets close.
    pub limits: Limits,
    /// How far back an id is looked up.
    pub horizon: Horizon,
    /// Whether appends are noted in `recent`, which only a bus that can lose hints needs.
    pub recent: bool,
}

/// The log of one conversation. Holds no state of it.
#[derive(Clone)]
pub struct Log {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: SharedClock,
    pub(crate) place: Place,
    pub(crate) settings: Settings,
}

impl Log {
    /// The log of a conversation.
    pub fn new(store: Arc<dyn Store>, clock: SharedClock, place: Place, settings: Settings) -> Self {
        Self { store, clock, place, settings }
    }
}
