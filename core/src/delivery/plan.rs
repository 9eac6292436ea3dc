//! What a stream is sent of a conversation before it goes live: a pure function of where it stands, the end of the log
//! and when the user was a member.

use crate::{
    conversation::{Head, Intervals},
    domain::Seq,
};
pub use nexus_proto::v1::ResetReason;

/// Where a stream stands in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The client has everything up to here.
    Cursor(Seq),
    /// The stream has carried everything up to here. Unlike a client's cursor it needs no answer.
    Carried(Seq),
    /// When the stream was attached, the conversation was there and the client had no cursor for it.
    NoCursor,
    /// The conversation came while the stream was attached.
    Added,
}

/// A thing to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// That this range is not sent.
    Reset {
        /// Why.
        reason: ResetReason,
        /// First seq.
        first: Seq,
        /// Last seq; `first - 1`: none.
        last: Seq,
    },
    /// These events, all of them visible.
    Send {
        /// First seq.
        first: Seq,
        /// Last seq.
        last: Seq,
    },
}

/// What is sent, and what then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// The seq that follows.
    pub next: Seq,
    /// Whether the user is a member at the end of the log, so that live events follow.
    pub member: bool,
}

/// Makes the plan. Gaps above `longest` events become a Reset.
pub fn plan(start: Start, head: &Head, intervals: &Intervals, longest: u64) -> Plan {
    let end = head.last_seq;
    let spans = || intervals.0.iter().filter(|span| span.from <= end);
    let current = spans().next_back().filter(|span| span.to.is_none_or(|to| to > end)).copied();
    let member = current.is_some();
    let mut plan = Plan { steps: Vec::new(), next: 0, member };
    // The first and the last that this user may read at all.
    let first_visible = spans().next().map_or(end + 1, |span| span.from).max(head.floor + 1);
    let last_visible = spans().next_back().map_or(0, |span| span.to.unwrap_or(Seq::MAX).min(end));

    let carried = match (start, current) {
        (Start::Cursor(carried) | Start::Carried(carried), _) => carried,
        (_, None) => return plan,
        (Start::NoCursor, Some(_)) => {
            plan.reset(ResetReason::NoCursor, first_visible, end);
            return plan;
        }
        (Start::Added, Some(current)) => {
            let from = current.from.max(head.floor + 1);
            if end + 1 - from > longest {
                plan.reset(ResetReason::NoCursor, from, end);
                return plan;
            }
            plan.reset(ResetReason::NoCursor, from, from - 1);
            from - 1
        }
    };
    plan.next = carried + 1;
    if carried > end && member {
        plan.reset(ResetReason::Ahead, first_visible, end);
    } else if carried >= last_visible && !member {
        if matches!(start, Start::Cursor(_)) {
            plan.reset(ResetReason::NotAMember, carried + 1, carried);
        }
    } else {
        plan.bring_up(head.floor, last_visible, intervals, longest);
    }
    plan
}

impl Plan {
    fn reset(&mut self, reason: ResetReason, first: Seq, last: Seq) {
        self.steps.push(Step::Reset { reason, first, last });
        self.next = last + 1;
    }

    /// From `next` to the last visible seq.
    fn bring_up(&mut self, floor: Seq, last: Seq, intervals: &Intervals, longest: u64) {
        if self.next <= floor.min(last) {
            self.reset(ResetReason::BelowFloor, self.next, floor.min(last));
        }
        let mut visible = 0;
        let mut from = self.next;
        while let Some((first, to)) = intervals.next_visible(from, last) {
            visible += to + 1 - first;
            from = to + 1;
        }
        if visible > longest {
            return self.reset(ResetReason::TooLong, self.next, last);
        }
        while let Some((first, to)) = intervals.next_visible(self.next, last) {
            if first > self.next {
                self.reset(ResetReason::NotAMember, self.next, first - 1);
            }
            self.steps.push(Step::Send { first, last: to });
            self.next = to + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::conversation::Interval;
    use Start::*;
    use proptest::prelude::*;

    fn at(last_seq: Seq, floor: Seq) -> Head {
        Head { last_seq, floor, ..Head::default() }
    }

    fn spans(spans: &[(Seq, Seq)]) -> Intervals {
        Intervals(
            spans.iter().map(|(from, to)| Interval { from: *from, to: (*to != 0).then_some(*to) }).collect(),
        )
    }

    fn reset(reason: ResetReason, first: Seq, last: Seq) -> Step {
        Step::Reset { reason, first, last }
    }

    fn send(first: Seq, last: Seq) -> Step {
        Step::Send { first, last }
    }

    fn check(start: Start, head: Head, intervals: &[(Seq, Seq)], steps: &[Step], next: Seq, member: bool) {
        let expected = Plan { steps: steps.to_vec(), next, member };
        assert_eq!(plan(start, &head, &spans(intervals), 1000), expected, "{start:?} {head:?} {intervals:?}");
    }

    #[test]
    fn a_member_gets_what_is_missing() {
        check(Cursor(5), at(8, 0), &[(1, 0)], &[send(6, 8)], 9, true);
        check(Cursor(8), at(8, 0), &[(1, 0)], &[], 9, true);
        check(Cursor(0), at(8, 0), &[(1, 0)], &[send(1, 8)], 9, true);
    }

    #[test]
    fn a_cursor_that_is_missing_or_of_another_log_is_reset() {
        check(NoCursor, at(8, 0), &[(3, 0)], &[reset(ResetReason::NoCursor, 3, 8)], 9, true);
        check(NoCursor, at(8, 4), &[(3, 0)], &[reset(ResetReason::NoCursor, 5, 8)], 9, true);
        check(Cursor(9), at(8, 0), &[(3, 0)], &[reset(ResetReason::Ahead, 3, 8)], 9, true);
    }

    #[test]
    fn what_retention_dropped_is_said_so() {
        check(Cursor(2), at(8, 4), &[(1, 0)], &[reset(ResetReason::BelowFloor, 3, 4), send(5, 8)], 9, true);
        check(Cursor(2), at(8, 8), &[(1, 0)], &[reset(ResetReason::BelowFloor, 3, 8)], 9, true);
    }

    #[test]
    fn a_long_gap_is_left_to_the_history() {
        check(Cursor(1), at(1001, 0), &[(1, 0)], &[send(2, 1001)], 1002, true);
        check(Cursor(1), at(1002, 0), &[(1, 0)], &[reset(ResetReason::TooLong, 2, 1002)], 1003, true);
        // Only what may be seen counts.
        let steps = [reset(ResetReason::NotAMember, 2, 5000), send(5001, 5002)];
        check(Cursor(1), at(5002, 0), &[(1, 1), (5001, 0)], &steps, 5003, true);
    }

    #[test]
    fn nobody_gets_what_they_were_no_member_for() {
        let steps = [send(3, 4), reset(ResetReason::NotAMember, 5, 6), send(7, 8)];
        check(Cursor(2), at(8, 0), &[(1, 4), (7, 0)], &steps, 9, true);
        check(Cursor(0), at(8, 0), &[(7, 0)], &[reset(ResetReason::NotAMember, 1, 6), send(7, 8)], 9, true);
        // The leave is the last event.
        check(Cursor(2), at(8, 0), &[(1, 4)], &[send(3, 4)], 5, false);
        // The end of the log is not told to those who left.
        check(Cursor(4), at(8, 0), &[(1, 4)], &[reset(ResetReason::NotAMember, 5, 4)], 5, false);
        check(Cursor(99), at(8, 0), &[(1, 4)], &[reset(ResetReason::NotAMember, 100, 99)], 100, false);
        check(Cursor(3), at(8, 0), &[], &[reset(ResetReason::NotAMember, 4, 3)], 4, false);
        check(Carried(4), at(8, 0), &[(1, 4)], &[], 5, false);
        check(NoCursor, at(8, 0), &[(1, 4)], &[], 0, false);
        check(Added, at(8, 0), &[], &[], 0, false);
    }

    #[test]
    fn what_lies_above_the_known_end_is_left_for_later() {
        check(Cursor(2), at(8, 0), &[(1, 10)], &[send(3, 8)], 9, true);
        check(Cursor(2), at(8, 0), &[(1, 4), (9, 0)], &[send(3, 4)], 5, false);
    }

    #[test]
    fn an_added_conversation_starts_with_an_empty_reset() {
        check(Added, at(8, 0), &[(7, 0)], &[reset(ResetReason::NoCursor, 7, 6), send(7, 8)], 9, true);
        check(Added, at(8, 0), &[(1, 3), (8, 0)], &[reset(ResetReason::NoCursor, 8, 7), send(8, 8)], 9, true);
        check(Added, at(2000, 0), &[(2, 0)], &[reset(ResetReason::NoCursor, 2, 2000)], 2001, true);
    }

    proptest! {
        #[test]
        fn every_plan_is_consecutive_and_visible(
            carried in 0u64..40, last in 1u64..40, floor in 0u64..40, longest in 1u64..40,
            ends in proptest::collection::btree_set(1u64..60, 0..7), first_client in any::<bool>(),
        ) {
            let ends: Vec<Seq> = ends.into_iter().collect();
            let pairs: Vec<(Seq, Seq)> =
                ends.chunks(2).map(|pair| (pair[0], pair.get(1).copied().unwrap_or(0))).collect();
            let intervals = spans(&pairs);
            let floor = floor.min(last);
            let start = if first_client { Cursor(carried) } else { Carried(carried) };
            let plan = plan(start, &at(last, floor), &intervals, longest);
            let mut next = carried + 1;
            let mut sent = 0;
            for step in &plan.steps {
                match *step {
                    Step::Reset { reason: ResetReason::Ahead, last: end, .. } => {
                        prop_assert!(carried > last && end == last);
                        next = end + 1;
                    }
                    Step::Reset { first, last: end, .. } => {
                        prop_assert_eq!(first, next);
                        next = end + 1;
                    }
                    Step::Send { first, last: end } => {
                        prop_assert!(first == next && end >= first && end <= last && first > floor);
                        prop_assert!((first..=end).all(|seq| intervals.covers(seq)));
                        sent += end + 1 - first;
                        next = end + 1;
                    }
                }
            }
            prop_assert_eq!(plan.next, next);
            prop_assert!(sent <= longest);
            if plan.member {
                prop_assert_eq!(plan.next, last + 1);
            }
        }
    }
}
