//! When somebody was a member.

use crate::domain::Seq;

/// A span of a log during which a user was a member; one's own join and leave are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// The event by which they joined.
    pub from: Seq,
    /// The event by which they left; `None`: still a member.
    pub to: Option<Seq>,
}

/// Spans in order, disjoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intervals(pub Vec<Interval>);

impl Intervals {
    /// Whether an event may be seen.
    pub fn covers(&self, seq: Seq) -> bool {
        self.next_visible(seq, seq).is_some()
    }

    /// The same, as invariants are asked about them.
    pub fn spans(&self) -> nexus_invariants::Spans {
        nexus_invariants::Spans(self.0.iter().map(|span| (span.from, span.to)).collect())
    }

    /// The span that goes on, if any.
    pub fn current(&self) -> Option<Interval> {
        self.0.last().copied().filter(|span| span.to.is_none())
    }

    /// The part of `first..=last` from `first` on that may be seen without a hole: the first such span clipped.
    pub fn next_visible(&self, first: Seq, last: Seq) -> Option<(Seq, Seq)> {
        // By halving: somebody may have come and gone ten thousand times, and this is asked once for each.
        let next = self.0.partition_point(|span| span.to.is_some_and(|to| to < first));
        let span = self.0.get(next)?;
        let (from, to) = (span.from.max(first), span.to.unwrap_or(Seq::MAX).min(last));
        (from <= to).then_some((from, to))
    }

    /// The parts of `first..=last` that may be seen, in order.
    pub fn within(&self, first: Seq, last: Seq) -> Vec<(Seq, Seq)> {
        let clip = |span: &Interval| (span.from.max(first), span.to.unwrap_or(Seq::MAX).min(last));
        self.0.iter().map(clip).filter(|(from, to)| from <= to).collect()
    }
}
