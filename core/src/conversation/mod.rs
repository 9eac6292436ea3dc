//! The aggregate: a conversation decides over its log, appends, and folds what was appended.

pub mod membership;

use crate::domain::{Event, Place, Seq, Tenant, User};
pub use membership::{Interval, Intervals};

/// What is known of the end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Last seq.
    pub last_seq: Seq,
    /// Events up to this seq are gone; 0: none.
    pub floor: Seq,
    /// Number of messages.
    pub messages: u64,
    /// Time of the last event, Unix milliseconds.
    pub last_at: i64,
    /// Last seq that changed members or roles.
    pub members_at: Seq,
}

/// Why a read failed; nothing that a caller can mend.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct Fault(#[from] pub crate::store::StoreError);

/// All conversations of this node.
pub struct Conversations {}

impl Conversations {
    /// The end of a conversation's log; `None` if there is no such conversation.
    pub async fn head(&self, _place: &Place) -> Result<Option<Head>, Fault> {
        Ok(None)
    }

    /// Events above `after`, lowest first, at most `limit`, across buckets.
    pub async fn events(&self, _place: &Place, _after: Seq, _limit: usize) -> Result<Vec<Event>, Fault> {
        Ok(Vec::new())
    }

    /// When a user was a member, true at least up to the head that an earlier call of [`Self::head`] returned.
    pub async fn intervals(&self, _place: &Place, _user: &User) -> Result<Intervals, Fault> {
        Ok(Intervals::default())
    }

    /// The conversations that a user may be a member of: a superset, to be checked by [`Self::intervals`].
    pub async fn memberships(&self, _tenant: &Tenant, _user: &User) -> Result<Vec<Place>, Fault> {
        Ok(Vec::new())
    }
}
