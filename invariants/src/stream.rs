//! STREAM-1 and STREAM-3 as questions about one stream and one conversation. STREAM-2 is about all streams: see the judge.

use crate::Spans;

/// STREAM-1: whether an event may go out on a stream that has everything below `next`.
pub fn consecutive(next: u64, seq: u64) -> bool {
    next == seq
}

/// STREAM-1: whether a Reset that skips `first..=last` may go out on a stream that has everything below `next`. `anew`:
/// it says that there is no cursor, or one that lies above the log, and begins anew.
pub fn may_skip(next: u64, first: u64, last: u64, anew: bool) -> bool {
    last + 1 >= first && (anew || first == next)
}

/// STREAM-3: whether somebody may receive an event.
pub fn may_see(spans: &Spans, seq: u64) -> bool {
    spans.covers(seq)
}
