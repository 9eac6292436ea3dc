//! The last events of a log, without a gap, and the messages among them as they are now. Pure.
//!
//! Whatever changes a message comes after it, so the events from a seq on are all that it takes to fold the messages from
//! that seq on: nothing here depends on stored views.

use super::super::{fold::Rows, membership::Intervals, rows::MessageRow};
use crate::domain::{Event, Kind, Seq};
use nexus_proto::v1::event::Body;
use std::collections::VecDeque;

/// What an event takes besides its bytes; and it is held twice, as it is and folded.
const OVERHEAD: usize = 128;

/// Messages by seq.
pub type Messages = Vec<(Seq, MessageRow)>;

/// The end of a log.
pub struct Tail {
    /// The seq of the first event, also where there is none.
    first: Seq,
    events: VecDeque<Event>,
    rows: Rows,
    bytes: usize,
}

impl Tail {
    /// A tail that begins with these events, which are consecutive; `next` comes after them. At most so many bytes are
    /// kept. `None`: one of them can't be read.
    pub fn new(events: Vec<Event>, next: Seq, most: usize) -> Option<Self> {
        let first = next - events.len() as Seq;
        let mut tail = Self { first, events: VecDeque::new(), rows: Rows::default(), bytes: 0 };
        for event in events {
            if !tail.take(event, most) {
                return None;
            }
        }
        Some(tail)
    }

    /// The event that comes next.
    pub fn next(&self) -> Seq {
        self.first + self.events.len() as Seq
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the next event. `false`: it is not that, or can't be read, and the tail is of no use any more.
    #[must_use]
    pub fn take(&mut self, event: Event, most: usize) -> bool {
        let Ok(body) = event.decode() else { return false };
        if event.seq != self.next() {
            return false;
        }
        if let Some(Body::ErasedEvents(erased)) = &body {
            erased.seqs.iter().for_each(|seq| self.blank(*seq));
        }
        if let Some(body) = &body {
            self.rows.fold_messages(&event, body);
        }
        self.bytes += weight(&event);
        self.events.push_back(event);
        while self.bytes > most
            && let Some(oldest) = self.events.pop_front()
        {
            self.bytes -= weight(&oldest);
            self.rows.forget_message(oldest.seq);
            self.first = oldest.seq + 1;
        }
        true
    }

    fn blank(&mut self, seq: Seq) {
        let at = seq.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(event) = at.and_then(|at| self.events.get_mut(at)) {
            self.bytes -= weight(event);
            event.body = bytes::Bytes::new();
            event.erased = true;
            self.bytes += weight(event);
        }
    }

    /// Events from a seq on, at most `limit`; `None`: some of them are not here.
    pub fn events(&self, from: Seq, limit: usize) -> Option<Vec<Event>> {
        let skip = usize::try_from(from.checked_sub(self.first)?).ok()?;
        Some(self.events.iter().skip(skip).take(limit).cloned().collect())
    }

    /// The newest `limit` messages up to `high` that may be seen, and the lowest seq that was looked at; `None`: some of
    /// them may not be here. `floor`: events up to there are gone.
    pub fn down(&self, high: Seq, limit: usize, floor: Seq, see: &Intervals) -> Option<(Messages, Seq)> {
        let mut found: Messages = Vec::with_capacity(limit.min(self.events.len()));
        let from = self.first.max(floor + 1);
        let seen = self.rows.messages(from, high).rev().filter(|(seq, _)| see.covers(*seq));
        found.extend(seen.take(limit).map(|(seq, row)| (seq, row.clone())));
        found.reverse();
        let lowest = match found.first() {
            Some((lowest, _)) if found.len() >= limit => *lowest,
            _ if self.first <= floor + 1 => floor + 1,
            _ => return None,
        };
        Some((found, lowest))
    }

    /// The oldest `limit` messages of `low..=end` that may be seen, and the highest seq that was looked at; `None`: some of
    /// them are not here.
    pub fn up(&self, low: Seq, end: Seq, limit: usize, see: &Intervals) -> Option<(Messages, Seq)> {
        if low < self.first {
            return None;
        }
        let seen = self.rows.messages(low, end).filter(|(seq, _)| see.covers(*seq));
        let found: Messages = seen.take(limit).map(|(seq, row)| (seq, row.clone())).collect();
        let last = match found.last() {
            Some((last, _)) if found.len() >= limit => *last,
            _ => end.max(low.saturating_sub(1)),
        };
        Some((found, last))
    }

    /// Some messages by seq, those that may be seen; `None`: one of them is not here.
    pub fn some(&self, seqs: &[Seq], see: &Intervals) -> Option<Messages> {
        if seqs.iter().any(|seq| *seq < self.first) {
            return None;
        }
        let found = seqs.iter().filter(|seq| see.covers(**seq));
        Some(found.filter_map(|seq| Some((*seq, self.rows.message(*seq)?.clone()))).collect())
    }
}

fn weight(event: &Event) -> usize {
    2 * event.size() + OVERHEAD
}

/// Whether an event changes what is known of members, or of the conversation itself.
pub fn changes_people(event: &Event) -> bool {
    let about = [
        Kind::ConversationChanged,
        Kind::MessagePinned,
        Kind::MessageUnpinned,
        Kind::InvitationCreated,
        Kind::InvitationEnded,
        Kind::Trimmed,
    ];
    event.changes_members() || about.contains(&event.kind)
}
