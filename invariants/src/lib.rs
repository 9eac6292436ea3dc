//! The invariants, once: observations in, verdicts out.
//!
//! - here: their names. [`spans`], [`event`]: what they speak of.
//! - [`log`], [`stream`]: each as a plain question about two or three values. Nodes ask them of what they read and send, and
//!   count every "no" in `nexus_invariant_violations_total`.
//! - [`judge`]: all that was observed of a deployment, put to the same questions at the end: by `nexus check`, by the tests
//!   and by the simulation. [`verdict`]: what came of it.
//!
//! It knows nothing of how anything was observed.

pub mod event;
pub mod judge;
pub mod log;
pub mod spans;
pub mod stream;
pub mod verdict;

pub use event::Envelope;
pub use judge::Judge;
pub use spans::Spans;
pub use verdict::{EXAMPLES, Verdict};

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// A conversation's sequence is dense: no gap, no duplicate.
    Log1,
    /// An id names at most one event, and every retry gets its seq; what was definitely refused is no event.
    Log2,
    /// An acknowledged event is in the log.
    Log3,
    /// An event's envelope never changes: everybody sees the same one.
    Log4,
    /// On one stream, a conversation's events are consecutive, or a Reset says why not.
    Stream1,
    /// Every event reaches every attached member's stream.
    Stream2,
    /// Nobody receives what they were not a member for.
    Stream3,
    /// A view equals the fold of its log.
    View1,
}

impl Invariant {
    /// All of them, in their order.
    pub const ALL: [Invariant; 8] = [
        Invariant::Log1,
        Invariant::Log2,
        Invariant::Log3,
        Invariant::Log4,
        Invariant::Stream1,
        Invariant::Stream2,
        Invariant::Stream3,
        Invariant::View1,
    ];

    /// Its id, as reports and metrics name it.
    pub fn id(self) -> &'static str {
        match self {
            Invariant::Log1 => "LOG-1",
            Invariant::Log2 => "LOG-2",
            Invariant::Log3 => "LOG-3",
            Invariant::Log4 => "LOG-4",
            Invariant::Stream1 => "STREAM-1",
            Invariant::Stream2 => "STREAM-2",
            Invariant::Stream3 => "STREAM-3",
            Invariant::View1 => "VIEW-1",
        }
    }

    /// What it says, for people.
    pub fn says(self) -> &'static str {
        match self {
            Invariant::Log1 => "the log is dense",
            Invariant::Log2 => "an id is one event",
            Invariant::Log3 => "what was acknowledged is in the log",
            Invariant::Log4 => "everybody sees the same event",
            Invariant::Stream1 => "events come consecutively",
            Invariant::Stream2 => "every event reaches every member",
            Invariant::Stream3 => "nobody receives others' events",
            Invariant::View1 => "what is served is the fold of the log",
        }
    }
}
