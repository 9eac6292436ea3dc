//! When somebody was a member.

/// Spans of a log, in order and disjoint: (first seq, last seq); the last is `None` while they are a member. One's own join
/// and leave are in the span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans(pub Vec<(u64, Option<u64>)>);

impl Spans {
    /// A member from the first event on.
    pub fn always() -> Self {
        Self(vec![(1, None)])
    }

    /// Whether an event may be seen.
    pub fn covers(&self, seq: u64) -> bool {
        self.0.iter().any(|(from, to)| *from <= seq && to.is_none_or(|to| seq <= to))
    }

    /// Where the span begins that goes on, if any does.
    pub fn current(&self) -> Option<u64> {
        self.0.last().filter(|(_, to)| to.is_none()).map(|(from, _)| *from)
    }
}
