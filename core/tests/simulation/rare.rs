//! What seldom happens, counted, so that it is known that the seeds do come to it.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

macro_rules! rare {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Something that seldom happens.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Rare { $($(#[doc = $doc])+ $name,)+ }

        impl Rare {
            /// All of it.
            pub const ALL: &[Rare] = &[$(Rare::$name,)+];
        }
    };
}

rare! {
    /// An append is refused, since another node appended at the same end.
    AppendMeetsAppend,
    /// An append is refused, since another node sealed the bucket at the same end.
    AppendMeetsSeal,
    /// A seal is refused, since another node appended or sealed first.
    SealMeetsOther,
    /// A retry is refused, since its id stands in the bucket, appended by another node.
    RetryMeetsItself,
    /// A bucket whose window has passed is sealed by another node than the one that appended last.
    SealedByTime,
    /// A bucket is filled and sealed by another node than the one that appended before.
    SealedBySize,
    /// A bucket is opened by a clock that is minutes apart from the one that opened the bucket before.
    ClocksApart,
    /// A write of unknown outcome is done much later.
    LateAndDone,
    /// One comes late to a bucket that was sealed at the same end.
    LateMeetsSeal,
    /// One comes late to a bucket that others appended to.
    LateMeetsAppend,
    /// A node that is cut off from the store can't write.
    StoreCutBefore,
    /// A node is cut off from the store after its write was done, before it hears of it.
    StoreCutAfter,
    /// The store stands still for longer than anybody waits, and then goes on with what it had got.
    StoreStands,
    /// A node that is cut off from the bus publishes.
    BusCutTelling,
    /// A node that is cut off from the bus doesn't hear a hint.
    BusCutHearing,
    /// A node is cut off from both.
    BothCut,
    /// A hint is on its way when the bus loses all that it has.
    BusEmptied,
    /// A hint comes to a subscription that is gone without a word.
    SilentlyDeaf,
    /// A node stands still before its append, and meanwhile others append.
    StoodAndOvertaken,
    /// A receipt is lost in a second in which all are.
    AnswerLost,
    /// A call comes to another node than the one that has its conversation.
    WrongNode,
    /// A node dies when it has appended and told nobody.
    DiedUntold,
    /// Somebody gives up on a request that was done.
    GivenUp,
    /// As many joined by an invitation as may.
    InvitationUsedUp,
}

/// How often each happened.
pub struct Seen(Vec<AtomicU32>);

impl Default for Seen {
    fn default() -> Self {
        Self(Rare::ALL.iter().map(|_| AtomicU32::new(0)).collect())
    }
}

impl Seen {
    /// It happened.
    pub fn saw(&self, rare: Rare) {
        self.0[rare as usize].fetch_add(1, Relaxed);
    }

    /// Notes for each whether it happened to another.
    pub fn count_in(&self, other: &Seen) {
        for (mine, theirs) in self.0.iter().zip(&other.0) {
            mine.fetch_add(u32::from(theirs.load(Relaxed) > 0), Relaxed);
        }
    }

    /// Each with its count.
    pub fn counts(&self) -> impl Iterator<Item = (Rare, u32)> + '_ {
        Rare::ALL.iter().copied().zip(self.0.iter().map(|count| count.load(Relaxed)))
    }
}
