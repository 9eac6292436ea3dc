//! The rules of the protocol, each of which is left out once.

/// A rule that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// The condition has no `closed = false`.
    ClosedInCondition,
    /// A bucket's successor is named by the node that opens it too, not by its first seq alone.
    NamesBySeq,
    /// Whose window has passed opens the next bucket, and seals the old one later.
    SealBeforeOpen,
    /// The index row is written after the bucket was opened, before anybody is answered.
    IndexBeforeOpen,
    /// Closed buckets are not asked for an id.
    ClosedAsked,
    /// An id is looked up once, wherever the log ends then; what was open is not asked again when it is closed.
    AskedOnceClosed,
    /// A closed bucket is read from one replica, which may lack what is there.
    ClosedAtOne,
    /// The same id in a queue twice is not joined.
    JoinedInQueue,
    /// The dedupe rows of a batch are written without `IF NOT EXISTS`.
    IdsInCondition,
    /// The condition has no `last_seq = N`, only that the bucket is open.
    EndInCondition,
    /// What a write of unknown outcome did is not looked up: its messages are answered as if it were done.
    UnknownLookedUp,
}

impl Mutation {
    /// Every one.
    pub const ALL: [Mutation; 11] = [
        Mutation::ClosedInCondition,
        Mutation::NamesBySeq,
        Mutation::SealBeforeOpen,
        Mutation::IndexBeforeOpen,
        Mutation::ClosedAsked,
        Mutation::AskedOnceClosed,
        Mutation::ClosedAtOne,
        Mutation::JoinedInQueue,
        Mutation::IdsInCondition,
        Mutation::EndInCondition,
        Mutation::UnknownLookedUp,
    ];

    /// What is left out, for people.
    pub fn says(self) -> &'static str {
        match self {
            Mutation::ClosedInCondition => "the condition has no `closed`",
            Mutation::NamesBySeq => "a bucket is not named by its first seq alone",
            Mutation::SealBeforeOpen => "the next bucket is opened before the last is sealed",
            Mutation::IndexBeforeOpen => "the index row is written after the bucket is opened",
            Mutation::ClosedAsked => "closed buckets are not asked",
            Mutation::AskedOnceClosed => "buckets are asked before they are closed, not after",
            Mutation::ClosedAtOne => "closed buckets are asked at one replica",
            Mutation::JoinedInQueue => "one id twice in a queue is not joined",
            Mutation::IdsInCondition => "a batch's ids are not in its condition",
            Mutation::EndInCondition => "the log's end is not in the condition",
            Mutation::UnknownLookedUp => "an unknown outcome is taken for done",
        }
    }
}
