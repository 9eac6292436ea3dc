//! Reading a conversation's past, as its members may see it.

use super::{
    Conversations, Fault, Head, Intervals, Refusal,
    cache::{Standing, Tail},
    rows::{self, About, Key, MessageRow, PART, seq_key},
    survey,
    views::Views,
    writer::Conversation,
};
use crate::{
    domain::{Event, Place, Seq, User},
    store::{Row, Rows, StoreError},
};
use nexus_proto::v1::{Covered, Role, Visibility};
use std::sync::Arc;

/// Partitions of messages that one page looks into; a page that comes to this bound covers less.
const PARTS: u64 = 64;

/// Pages that begin this near to the end of the log are read from memory, into which the end is read for them.
const NEAR: u64 = 150;

/// Why a page can't be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The caller may not, or asks for something that isn't.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// `at_least` lies above the end of the log.
    #[error("at_least is {asked}, but the log ends at {last}: wait for the event, or read without at_least")]
    Ahead {
        /// What was demanded.
        asked: Seq,
        /// Where the log ends.
        last: Seq,
    },
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        ReadError::Fault(Fault(error))
    }
}

/// A conversation as one user may see it.
pub struct Look {
    /// Which.
    pub place: Place,
    /// What it is.
    pub about: About,
    /// Its end.
    pub head: Head,
    /// When the user was a member.
    pub intervals: Intervals,
    /// The user's role; `None`: not a member now.
    pub role: Option<Role>,
    /// The seq up to which all this is true, at least.
    pub reflects: Seq,
    /// The event by which the user left, and its time; `None`: a member, or never was one.
    pub(super) left: Option<(Seq, i64)>,
    pub(super) conversation: Arc<Conversation>,
}

/// A page of messages.
pub struct Page {
    /// Oldest first.
    pub messages: Vec<(Seq, MessageRow)>,
    /// Which seqs it covers.
    pub covered: Covered,
    /// The seq that the messages reflect.
    pub reflects: Seq,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    /// The newest below this seq.
    Before(Seq),
    /// The oldest above this seq.
    After(Seq),
    /// Half up to and including this seq, half above it.
    Around(Seq),
}

impl Conversations {
    /// A conversation as a user may see it: as a member now or once, or anybody if it is public. Who left one that is
    /// not public sees of it what never changes, and of its log the end that they saw.
    pub async fn look(&self, place: &Place, user: &User, at_least: Seq) -> Result<Look, ReadError> {
        self.look_for(place, user, at_least, 0).await
    }

    /// The same, for the sake of a seq that the user names: they know of it, so nothing older is good enough if it is
    /// there. Unlike `at_least` it need not be.
    pub async fn look_for(
        &self,
        place: &Place,
        user: &User,
        at_least: Seq,
        named: Seq,
    ) -> Result<Look, ReadError> {
        let least = at_least.max(named);
        let held = self.shared.cache.standing(place, user, least);
        let (mut head, conversation, mut about, member, mut reflects) = match held {
            Some(Standing { head, about, member }) => {
                (head, self.conversation(place), about, member, head.last_seq)
            }
            None => {
                let head = self.end(place, least).await?.ok_or(Refusal::NoConversation)?;
                let conversation = self.conversation(place);
                let (about, member, folded) = conversation.standing(user, head.last_seq, head.floor).await?;
                (head, conversation, about.ok_or(Refusal::NoConversation)?, member, folded)
            }
        };
        if member.is_none() && about.visibility() != Visibility::Public {
            return Err(Refusal::NoConversation.into());
        }
        let role = member.as_ref().filter(|member| member.present()).map(|member| member.role());
        let intervals = member.map(|member| member.intervals()).unwrap_or_default();
        let leave = intervals.0.last().and_then(|span| span.to);
        let leave = match leave {
            Some(seq) if seq > head.floor => conversation.log.events_up(seq, seq, 1).await?.pop(),
            _ => None,
        };
        let left = leave.as_ref().map(|leave| (leave.seq, leave.time_ms));
        // Of a log that was trimmed beyond that they see nothing.
        let gone = intervals.0.last().and_then(|span| span.to).filter(|seq| *seq <= head.floor);
        let left = left.or(gone.map(|seq| (seq, 0)));
        if let Some(seq) = gone.filter(|_| about.visibility() != Visibility::Public) {
            head = Head { last_seq: seq, floor: seq, ..Head::default() };
            about = about.as_left();
            reflects = seq;
        } else if let Some(leave) = leave.filter(|_| about.visibility() != Visibility::Public) {
            head = Head { last_seq: leave.seq, messages: leave.messages, last_at: leave.time_ms, ..head };
            about = about.as_left();
            reflects = leave.seq;
        }
        // Only now: how long a log is, and that it is there, is not for everybody.
        if at_least > head.last_seq {
            return Err(ReadError::Ahead { asked: at_least, last: head.last_seq });
        }
        Ok(Look { place: place.clone(), about, head, intervals, role, reflects, left, conversation })
    }

    /// Turns a time into the first seq whose event is not before it.
    pub async fn seq_at(&self, look: &Look, time_ms: i64) -> Result<Seq, ReadError> {
        let (first, last) = (look.head.floor + 1, look.head.last_seq);
        Ok(self.log(&look.place).seq_at(time_ms, first, last).await?)
    }

    /// A page of the log as it stands, as far as the user may see it.
    pub async fn visible_events(
        &self,
        look: &Look,
        from: Seq,
        to: Seq,
        down: bool,
        limit: usize,
    ) -> Result<(Vec<Event>, Covered), ReadError> {
        let (low, high) = (from.max(look.head.floor + 1), to.min(look.head.last_seq));
        let mut spans = look.intervals.within(low, high);
        if down {
            spans.reverse();
        }
        let log = self.log(&look.place);
        let mut events: Vec<Event> = Vec::new();
        for span in spans {
            let room = limit - events.len();
            if room == 0 {
                break;
            }
            // Of those the highest that there is room for; or from the lowest on.
            let from = if down { span.0.max((span.1 + 1).saturating_sub(room as Seq)) } else { span.0 };
            let most = room.min((span.1 + 1 - from) as usize);
            let held = self.shared.cache.tail(&look.place, span.1, "events", |tail| tail.events(from, most));
            let page = match held {
                Some(page) => page,
                None if down => log.events_down(span.0, span.1, room).await?,
                None => log.events_up(span.0, span.1, room).await?,
            };
            if let Some(first) = page.first() {
                self.watch_page(&look.place, if down { first.seq } else { span.0 }, &page);
            }
            events.extend(page);
        }
        events.sort_by_key(|event| event.seq);
        let full = events.len() >= limit;
        let first = if down && full { events.first().map_or(low, |event| event.seq) } else { low };
        let last = if !down && full { events.last().map_or(high, |event| event.seq) } else { high };
        Ok((events, look.covered(first, last)))
    }
}

impl Look {
    /// Refuses those who never were members.
    pub fn member_once(&self) -> Result<&Self, ReadError> {
        if self.intervals.0.is_empty() {
            return Err(Refusal::Denied("you are not a member of this channel: join it first").into());
        }
        Ok(self)
    }

    fn covered(&self, first: Seq, last: Seq) -> Covered {
        let start = self.head.floor + 1;
        let at_start = first <= start || self.intervals.next_visible(start, first - 1).is_none();
        let at_end = self.intervals.next_visible(last + 1, self.head.last_seq).is_none();
        Covered { first, last, at_start, at_end }
    }

    /// A page of messages as they are now.
    pub async fn messages(&self, anchor: Anchor, limit: usize) -> Result<Page, ReadError> {
        let mut page = match self.held(anchor, limit).await? {
            Some(page) => page,
            None => self.stored(anchor, limit).await?,
        };
        self.take_back(&mut page.messages).await?;
        Ok(page)
    }

    /// A page from memory, if it is near the end of the log.
    async fn held(&self, anchor: Anchor, limit: usize) -> Result<Option<Page>, StoreError> {
        let end = self.head.last_seq;
        let (Anchor::Before(near) | Anchor::After(near) | Anchor::Around(near)) = anchor;
        if near < end.saturating_sub(NEAR) {
            return Ok(None);
        }
        let (cache, place) = (&self.conversation.shared.cache, &self.place);
        let look = || cache.tail(place, end, "messages", |tail| self.page_of(tail, anchor, limit));
        if let Some(page) = look() {
            return Ok(Some(page));
        }
        self.conversation.hold_tail().await?;
        Ok(look())
    }

    fn page_of(&self, tail: &Tail, anchor: Anchor, limit: usize) -> Option<Page> {
        let (end, floor, see) = (self.head.last_seq, self.head.floor, &self.intervals);
        let (messages, first, last) = match anchor {
            Anchor::Before(seq) => {
                let high = seq.saturating_sub(1).min(end);
                let (messages, first) = tail.down(high, limit, floor, see)?;
                (messages, first, high)
            }
            Anchor::After(seq) => {
                let low = seq.max(floor).saturating_add(1);
                let (messages, last) = tail.up(low, end, limit, see)?;
                (messages, low, last)
            }
            Anchor::Around(seq) => {
                let seq = seq.min(end);
                let (mut messages, first) = tail.down(seq, limit.div_ceil(2), floor, see)?;
                let (above, last) = tail.up(seq.max(floor) + 1, end, (limit / 2).max(1), see)?;
                messages.extend(above);
                (messages, first, last)
            }
        };
        Some(Page { messages, covered: self.covered(first, last), reflects: self.reflected(tail.next() - 1) })
    }

    async fn stored(&self, anchor: Anchor, limit: usize) -> Result<Page, ReadError> {
        let views = self.conversation.views(self.head.last_seq, self.head.floor).await?;
        let (end, floor) = (self.head.last_seq, self.floor(&views));
        let (messages, first, last) = match anchor {
            Anchor::Before(seq) => {
                let high = seq.saturating_sub(1).min(end);
                let (messages, first) = self.down(&views, high, limit).await?;
                (messages, first, high)
            }
            Anchor::After(seq) => {
                let low = seq.max(floor).saturating_add(1);
                let (messages, last) = self.up(&views, low, limit).await?;
                (messages, low, last)
            }
            Anchor::Around(seq) => {
                let seq = seq.min(end);
                let (mut messages, first) = self.down(&views, seq, limit.div_ceil(2)).await?;
                let above = seq.max(floor) + 1;
                let (above, last) = self.up(&views, above, (limit / 2).max(1)).await?;
                messages.extend(above);
                (messages, first, last)
            }
        };
        Ok(Page { messages, covered: self.covered(first, last), reflects: self.reflected(views.folded()) })
    }

    /// Up to where messages are gone: the views may know of more than was known when this was looked up.
    fn floor(&self, views: &Views) -> Seq {
        self.head.floor.max(views.rows().floor())
    }

    /// Which seq the views reflect, as far as it is the user's business.
    fn reflected(&self, folded: Seq) -> Seq {
        if self.left.is_some() { self.head.last_seq } else { folded }
    }

    /// Some messages by seq.
    pub async fn some(&self, seqs: &[Seq]) -> Result<(Vec<(Seq, MessageRow)>, Seq), ReadError> {
        let mut seqs = seqs.to_vec();
        seqs.sort_unstable();
        seqs.dedup();
        let (cache, end) = (&self.conversation.shared.cache, self.head.last_seq);
        let held = cache.tail(&self.place, end, "messages", |tail| {
            Some((tail.some(&seqs, &self.intervals)?, self.reflected(tail.next() - 1)))
        });
        if let Some((mut found, reflects)) = held {
            self.take_back(&mut found).await?;
            return Ok((found, reflects));
        }
        let views = self.conversation.views(end, self.head.floor).await?;
        let mut found = Vec::new();
        let floor = self.floor(&views);
        let there = |seq: &Seq| *seq > floor && self.intervals.covers(*seq);
        for seq in seqs.into_iter().filter(there) {
            let rows = views.read_rows(&Key::Message(seq), Rows::Keys(vec![seq_key(seq)])).await?;
            found.extend(self.visible(rows)?);
        }
        let reflects = self.reflected(views.folded());
        // What is taken back may need the views anew.
        drop(views);
        self.take_back(&mut found).await?;
        Ok((found, reflects))
    }

    /// A page of a thread's messages, without its first.
    pub async fn thread(&self, root: Seq, anchor: Anchor, limit: usize) -> Result<Page, ReadError> {
        let (end, floor) = (self.head.last_seq, self.head.floor);
        if root <= floor {
            return Err(Refusal::NoMessage(root).into());
        }
        let (low, high, down) = match anchor {
            Anchor::Before(seq) => (root.saturating_add(1), seq.saturating_sub(1).min(end), true),
            Anchor::After(seq) | Anchor::Around(seq) => (seq.saturating_add(1), end, false),
        };
        let seqs: Vec<Seq> = {
            let views = self.conversation.views(end, self.head.floor).await?;
            let range = Rows::Range { from: seq_key(low), to: Some(seq_key(high + 1)), down, limit };
            let rows = views.read_rows(&Key::Thread(root, 0), range).await?;
            rows.iter().map(rows::key_seq).collect::<Result<_, _>>()?
        };
        let full = seqs.len() == limit;
        let reached = seqs.last().copied().filter(|_| full);
        let (first, last) =
            if down { (reached.unwrap_or(low), high) } else { (low, reached.unwrap_or(high)) };
        let (messages, reflects) = self.some(&seqs).await?;
        Ok(Page { messages, covered: self.covered(first, last), reflects })
    }

    /// Members by name, after a name.
    pub async fn members(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<(User, rows::Member)>, Seq), ReadError> {
        let views = self.conversation.views(self.head.last_seq, self.head.floor).await?;
        let members = survey::members(&views, after, limit).await?;
        Ok((members, views.folded()))
    }

    /// The newest `limit` visible messages up to `high`, and the lowest seq that was looked at.
    async fn down(
        &self,
        views: &Views,
        high: Seq,
        limit: usize,
    ) -> Result<(Vec<(Seq, MessageRow)>, Seq), ReadError> {
        let mut messages: Vec<(Seq, MessageRow)> = Vec::new();
        let start = self.floor(views) + 1;
        let mut part = high / PART;
        for _ in 0..PARTS {
            // More than is missing are read, since some may be out of sight.
            let mut to = Some(seq_key(high + 1));
            loop {
                let from = seq_key(start);
                let range = Rows::Range { from, to, down: true, limit: limit - messages.len() };
                let page = views.read_rows(&Key::Message(part * PART), range).await?;
                let Some(lowest) = page.last().map(rows::key_seq).transpose()? else { break };
                messages.extend(self.visible(page)?);
                if messages.len() >= limit {
                    break;
                }
                to = Some(seq_key(lowest));
            }
            if messages.len() >= limit || part <= start / PART {
                break;
            }
            part -= 1;
        }
        messages.sort_by_key(|(seq, _)| *seq);
        let first = match messages.first() {
            Some((seq, _)) if messages.len() >= limit => *seq,
            _ => (part * PART).max(start),
        };
        Ok((messages, first))
    }

    /// The oldest `limit` visible messages from `low` on, and the highest seq that was looked at.
    async fn up(
        &self,
        views: &Views,
        low: Seq,
        limit: usize,
    ) -> Result<(Vec<(Seq, MessageRow)>, Seq), ReadError> {
        let end = self.head.last_seq;
        let mut messages: Vec<(Seq, MessageRow)> = Vec::new();
        let mut last = low.saturating_sub(1);
        let mut part = low / PART;
        while part <= (end / PART).min(low / PART + PARTS - 1) && messages.len() < limit {
            let mut from = seq_key(low);
            loop {
                let range = Rows::Range {
                    from,
                    to: Some(seq_key(end + 1)),
                    down: false,
                    limit: limit - messages.len(),
                };
                let page = views.read_rows(&Key::Message(part * PART), range).await?;
                let Some(highest) = page.last().map(rows::key_seq).transpose()? else { break };
                messages.extend(self.visible(page)?);
                if messages.len() >= limit {
                    break;
                }
                from = seq_key(highest + 1);
            }
            last = ((part + 1) * PART - 1).min(end);
            part += 1;
        }
        if messages.len() >= limit {
            last = messages.last().map_or(last, |(seq, _)| *seq);
        }
        Ok((messages, last.max(low.saturating_sub(1))))
    }

    fn visible(&self, rows: Vec<Row>) -> Result<Vec<(Seq, MessageRow)>, StoreError> {
        let mut messages = Vec::with_capacity(rows.len());
        for row in &rows {
            let seq = rows::key_seq(row)?;
            if self.intervals.covers(seq)
                && let Some(message) = rows::message(row)?
            {
                messages.push((seq, message));
            }
        }
        Ok(messages)
    }
}
