//! What each conversation has and what may come next.
use std::collections::{HashMap, VecDeque};

use nexus_proto::v1::{Cursor, Event, ListEventsResponse, Reset, ResetReason};

use super::{AttachStats, Holes, Item};

/// How many live events, of all conversations together, wait for their holes to be filled. Beyond it they are read
/// from the history as well.
const WAITING_EVENTS: usize = 10_000;

/// The server broke the protocol: the stream can't be believed any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation(pub String);

/// All conversations of an attachment.
#[derive(Debug)]
pub(super) struct Tracker {
    holes: Holes,
    table: Table,
    /// Events in all `waiting` queues.
    waiting: usize,
    pub(super) stats: AttachStats,
}

#[derive(Debug, Default)]
struct Table {
    conversations: HashMap<String, Conversation>,
    /// In the order in which they are given to the server.
    order: Vec<String>,
}

impl Table {
    fn entry(&mut self, id: &str) -> &mut Conversation {
        if !self.conversations.contains_key(id) {
            self.order.push(id.to_owned());
        }
        let new = || Conversation { next: 1, ..Conversation::default() };
        self.conversations.entry(id.to_owned()).or_insert_with(new)
    }
}

#[derive(Debug, Default)]
struct Conversation {
    /// Everything up to here was delivered (or can't be had).
    cursor: u64,
    /// The seq that the stream sends next.
    next: u64,
    /// The stream left out everything from the cursor to here.
    hole: Option<u64>,
    /// What came after the hole, until it is filled. Without a gap up to `next`.
    waiting: VecDeque<Event>,
}

impl Tracker {
    pub(super) fn new(cursors: &[Cursor], holes: Holes) -> Self {
        let mut tracker = Self { holes, table: Table::default(), waiting: 0, stats: AttachStats::default() };
        for cursor in cursors {
            let conversation = tracker.table.entry(&cursor.conversation_id);
            conversation.cursor = conversation.cursor.max(cursor.seq);
            conversation.next = conversation.cursor + 1;
        }
        tracker
    }

    /// The cursors for a new stream.
    pub(super) fn begin(&mut self) -> Vec<Cursor> {
        self.waiting = 0;
        let mut cursors = Vec::with_capacity(self.table.order.len());
        for id in &self.table.order {
            let Some(conversation) = self.table.conversations.get_mut(id) else { continue };
            conversation.waiting.clear();
            if self.holes == Holes::Fill {
                conversation.hole = None;
                conversation.next = conversation.cursor + 1;
            }
            cursors.push(Cursor { conversation_id: id.clone(), seq: conversation.next - 1 });
        }
        cursors
    }

    /// A frame of events.
    pub(super) fn events(&mut self, id: &str, events: Vec<Event>) -> Result<Option<Item>, Violation> {
        let conversation = self.table.entry(id);
        let mut fresh = Vec::with_capacity(events.len());
        for event in events {
            if event.seq < conversation.next {
                self.stats.duplicates += 1;
            } else if event.seq == conversation.next {
                conversation.next += 1;
                fresh.push(event);
            } else {
                let (seq, next) = (event.seq, conversation.next);
                return Err(Violation(format!("event {seq} of {id} came where {next} is next")));
            }
        }
        let mut item = None;
        if conversation.hole.is_none() || self.holes == Holes::Report {
            if conversation.hole.is_none() {
                conversation.cursor = conversation.next - 1;
            }
            let cursor = conversation.cursor;
            if !fresh.is_empty() {
                item = Some(Item::Events { conversation_id: id.to_owned(), events: fresh, cursor });
            }
        } else if self.waiting + fresh.len() > WAITING_EVENTS {
            conversation.hole = Some(conversation.next - 1);
            self.waiting -= conversation.waiting.len();
            conversation.waiting = VecDeque::new();
        } else {
            self.waiting += fresh.len();
            conversation.waiting.extend(fresh);
        }
        Ok(item)
    }

    /// A Reset frame. `fill` of the answer: the history has to be read from the cursor on.
    pub(super) fn reset(&mut self, reset: Reset) -> Result<Reaction, Violation> {
        let reason = reset.reason();
        let Reset { conversation_id: id, first, last, .. } = reset;
        if first == 0 || last.saturating_add(1) < first {
            return Err(Violation(format!("a Reset of {id} names the range {first}-{last}")));
        }
        let conversation = self.table.entry(&id);
        let mut items = Vec::new();
        if reason == ResetReason::Ahead {
            self.waiting -= conversation.waiting.len();
            *conversation = Conversation { next: 1, ..Conversation::default() };
            items.push(Item::Forget { conversation_id: id.clone() });
        }
        let anywhere = matches!(reason, ResetReason::NoCursor | ResetReason::Ahead);
        if first > conversation.next && !anywhere {
            let next = conversation.next;
            return Err(Violation(format!(
                "a Reset of {id} names the range {first}-{last} where {next} is next"
            )));
        }
        let from = conversation.next;
        conversation.next = conversation.next.max(last + 1);
        let gone = matches!(reason, ResetReason::NotAMember | ResetReason::BelowFloor);
        if last < from && !anywhere {
            return Ok(Reaction { items, fill: false });
        }
        if gone && conversation.hole.is_none() {
            conversation.cursor = last;
            items.push(Item::Skipped { conversation_id: id, first: from, last, reason, cursor: last });
            return Ok(Reaction { items, fill: false });
        }
        if self.holes == Holes::Report {
            if last >= first {
                conversation.hole = Some(last);
            } else if conversation.hole.is_none() {
                // Nothing below `first` is visible.
                conversation.cursor = conversation.next - 1;
            }
            items.push(Item::Hole { conversation_id: id, first: first.max(from), last, reason });
            return Ok(Reaction { items, fill: false });
        }
        if last < from {
            return Ok(Reaction { items, fill: false });
        }
        let fill = conversation.hole.replace(last).is_none();
        self.waiting -= std::mem::take(&mut conversation.waiting).len();
        Ok(Reaction { items, fill })
    }

    /// What to ask the history for: events after `.0`, and `.1` must have been reached. None: nothing is missing.
    pub(super) fn missing(&self, id: &str) -> Option<(u64, u64)> {
        let conversation = self.table.conversations.get(id)?;
        conversation.hole.map(|last| (conversation.cursor, last))
    }

    /// A page that answers `missing`. Gives what can be delivered now.
    pub(super) fn page(&mut self, id: &str, page: ListEventsResponse) -> Result<Vec<Item>, Violation> {
        let conversation = self.table.entry(id);
        let Some(hole) = conversation.hole else { return Ok(Vec::new()) };
        let covered = page.covered.unwrap_or_default();
        let mut delivery = Delivery { id, items: Vec::new(), cursor: conversation.cursor };
        for event in page.events {
            delivery.event(event);
        }
        let to = if covered.at_end { covered.last.max(hole) } else { covered.last };
        // A page that is read while the log grows may end above the hole, in what waits: nothing of it is skipped.
        delivery.skip_to(to.min(hole));
        if delivery.cursor == conversation.cursor {
            return Err(Violation(format!("the history of {id} doesn't go on after {}", delivery.cursor)));
        }
        conversation.cursor = delivery.cursor;
        if conversation.cursor >= hole {
            self.waiting -= conversation.close(&mut delivery);
        }
        Ok(delivery.items)
    }

    /// The history doesn't show the hole.
    pub(super) fn unreadable(&mut self, id: &str) -> Vec<Item> {
        let conversation = self.table.entry(id);
        let mut delivery = Delivery { id, items: Vec::new(), cursor: conversation.cursor };
        delivery.skip_to(conversation.hole.unwrap_or_default());
        self.waiting -= conversation.close(&mut delivery);
        delivery.items
    }

    /// The caller filled a hole by itself.
    pub(super) fn filled(&mut self, id: &str, through: u64) -> u64 {
        let conversation = self.table.entry(id);
        match conversation.hole {
            Some(last) if through >= last => {
                conversation.hole = None;
                conversation.cursor = conversation.next - 1;
            }
            _ => conversation.cursor = conversation.cursor.max(through.min(conversation.next - 1)),
        }
        conversation.cursor
    }
}

impl Conversation {
    /// The hole is filled: what waited follows. Gives how many events waited.
    fn close(&mut self, delivery: &mut Delivery<'_>) -> usize {
        let waiting = std::mem::take(&mut self.waiting);
        let waited = waiting.len();
        for event in waiting {
            delivery.event(event);
        }
        self.cursor = delivery.cursor;
        self.next = self.next.max(delivery.cursor + 1);
        self.hole = None;
        waited
    }
}

/// What a Reset leads to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reaction {
    pub items: Vec<Item>,
    pub fill: bool,
}

/// Events of one conversation on their way out, in order; what lies between them is skipped.
struct Delivery<'a> {
    id: &'a str,
    items: Vec<Item>,
    cursor: u64,
}

impl Delivery<'_> {
    fn event(&mut self, event: Event) {
        if event.seq <= self.cursor {
            return;
        }
        self.skip_to(event.seq - 1);
        self.cursor = event.seq;
        match self.items.last_mut() {
            Some(Item::Events { events, cursor, .. }) => {
                *cursor = event.seq;
                events.push(event);
            }
            _ => self.items.push(Item::Events {
                conversation_id: self.id.to_owned(),
                cursor: event.seq,
                events: vec![event],
            }),
        }
    }

    fn skip_to(&mut self, last: u64) {
        if last > self.cursor {
            self.items.push(Item::Skipped {
                conversation_id: self.id.to_owned(),
                first: self.cursor + 1,
                last,
                reason: ResetReason::Unspecified,
                cursor: last,
            });
            self.cursor = last;
        }
    }
}
