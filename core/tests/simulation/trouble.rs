//! What befalls a whole node, or all of them, for a while: being cut off, standing still, answers that nobody hears, calls that
//! come to the wrong node.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How often somebody who waits looks whether it is over; also when the weather clears up.
const LOOK: Duration = Duration::from_millis(500);

/// Something that lasts for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// A node doesn't reach the store.
    StoreCut(usize),
    /// A node doesn't reach the bus, nor is it reached.
    BusCut(usize),
    /// A node stands still, as after SIGSTOP: whatever it asks, it asks later. Its clock goes on.
    NodeStands(usize),
    /// The store stands still. It goes on with what it had got, though nobody waits any more.
    StoreStands,
    /// No receipt arrives.
    AnswersLost,
    /// Those who route don't agree where a conversation is.
    RingStale,
}

/// What lasts now, and until when.
#[derive(Default)]
pub struct Troubles(Mutex<BTreeMap<Trouble, Instant>>);

impl Troubles {
    fn until(&self) -> MutexGuard<'_, BTreeMap<Trouble, Instant>> {
        self.0.lock().unwrap()
    }

    /// It begins.
    pub fn begin(&self, trouble: Trouble, time: Duration) {
        self.until().insert(trouble, Instant::now() + time);
    }

    /// How long it still lasts, if it does.
    pub fn left(&self, trouble: Trouble) -> Option<Duration> {
        let until = *self.until().get(&trouble)?;
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    pub fn lasts(&self, trouble: Trouble) -> bool {
        self.left(trouble).is_some()
    }

    /// Waits until it is over, but no longer than `most`. Gives whether it is.
    pub async fn over(&self, trouble: Trouble, most: Duration) -> bool {
        let most = Instant::now() + most;
        while let Some(left) = self.left(trouble) {
            let now = Instant::now();
            if now >= most {
                return false;
            }
            sleep(left.min(most - now).min(LOOK)).await;
        }
        true
    }

    /// All of it is over.
    pub fn end(&self) {
        self.until().clear();
    }
}
