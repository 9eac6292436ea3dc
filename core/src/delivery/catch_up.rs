//! Bringing one stream up to date with its conversations: short-lived workers that read the log in pages until the
//! stream meets the hub.

use super::{
    Delivery, frame,
    frame::Frame,
    hub::{Hub, Joined},
    plan::{Start, Step, plan},
    stream::{Batch, Outcome, Stream, Work},
};
use crate::{
    conversation::{Fault, Head, Intervals, rows::About},
    domain::{ConversationId, Event, Place, Seq},
};
use nexus_invariants::{Invariant, stream::may_see};
use nexus_proto::v1::{self, ConversationKind, attach_response};
use std::{cmp::Reverse, collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// Ends the work on a stream that is over.
struct Over;

/// Reads in a row, each after a longer pause and 11 s in all, that lack what must be there, until it is a violation: what
/// was committed just now may not be everywhere yet.
const MISSES: u32 = 8;

/// Waits longer after each failure in a row.
struct Backoff {
    pause: Duration,
    misses: u32,
}

/// Why events can't be had now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// The read failed, which says nothing.
    Fault,
    /// The log doesn't have them.
    Hole,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(5);

    fn new() -> Self {
        Self { pause: Self::FIRST, misses: 0 }
    }

    async fn wait(&mut self) {
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(Self::LONGEST);
    }

    /// Counts a read that lacked what must be there. Whether that is one too many, once.
    fn missed(&mut self) -> bool {
        self.misses += 1;
        self.misses == MISSES
    }
}

/// Where a round through a plan got to.
enum Round {
    /// All of it was sent.
    Sent,
    /// What the plan said can't be had: make another one.
    Changed(Missing),
}

impl Delivery {
    /// Sees to it that a stream's work is being done.
    pub(super) fn employ(self: &Arc<Self>, stream: &Arc<Stream>) {
        while stream.hire(self.settings.reads_per_stream) {
            let (delivery, stream) = (self.clone(), stream.clone());
            tokio::spawn(async move {
                while let Some(work) = stream.take() {
                    if delivery.work(&stream, work).await.is_err() {
                        // It is untied already; there is nothing left to take.
                        continue;
                    }
                }
            });
        }
    }

    async fn work(self: &Arc<Self>, stream: &Arc<Stream>, work: Work) -> Result<(), Over> {
        let (batch, compared) = match work {
            Work::Refresh(batch) => {
                self.refresh(stream, batch).await?;
                (batch, false)
            }
            Work::Conversation(conversation, start, batch) => {
                let cursor = matches!(start, Start::Cursor(_));
                let outcome = self.bring_up(stream, conversation, start).await?;
                (batch, cursor || outcome != Outcome::Foreign)
            }
        };
        if let Some(conversations) = stream.done(batch, compared) {
            self.caught_up(stream, conversations);
        }
        Ok(())
    }

    pub(super) fn caught_up(&self, stream: &Stream, conversations: u32) {
        let frame = attach_response::Frame::CaughtUp(v1::CaughtUp { conversations });
        stream.outbox.put(frame::control(frame));
        self.announce(stream);
    }

    /// Reads the user's memberships and has the new ones brought in.
    async fn refresh(self: &Arc<Self>, stream: &Arc<Stream>, batch: Option<Batch>) -> Result<(), Over> {
        let (tenant, user) = (&stream.caller.tenant, &stream.caller.user);
        let mut backoff = Backoff::new();
        let places = loop {
            if stream.outbox.is_over() {
                return Err(Over);
            }
            let read = self.reads.acquire().await;
            match self.conversations.memberships(tenant, user).await {
                Ok(places) => break places,
                Err(fault) => self.failed(&fault, "memberships"),
            }
            drop(read);
            backoff.wait().await;
        };
        let found: Vec<ConversationId> = places.iter().map(|place| place.conversation).collect();
        self.watch_members(stream, &found).await;
        let (mut take, tied) = stream.unknown(&found);
        // What turns up later was just added; that is not bounded by what a client has cursors for.
        let most =
            if batch.is_some() { self.settings.cursors } else { self.settings.conversations_per_stream };
        let room = most.saturating_sub(tied);
        let mut beyond = Vec::new();
        if take.len() > room {
            take = self.by_activity(stream, take).await?;
            beyond = take.split_off(room);
        }
        stream.refreshed(&found, &take, &beyond, batch, Instant::now());
        self.employ(stream);
        Ok(())
    }

    /// STREAM-3: where the user's memberships lack a conversation of which the stream gets live events, the last of these
    /// was still for a member. The leave itself may be on its way.
    async fn watch_members(&self, stream: &Stream, found: &[ConversationId]) {
        let known: BTreeSet<&ConversationId> = found.iter().collect();
        let live = stream.live(usize::MAX);
        for conversation in live.into_iter().filter(|conversation| !known.contains(conversation)) {
            let place = stream.place(conversation);
            let Some(carried) = self.lanes.find(&place, |hub| hub.carried(stream.key)).flatten() else {
                continue;
            };
            let _read = self.reads.acquire().await;
            // A read that fails says nothing.
            if let Ok(intervals) = self.conversations.intervals(&place, &stream.caller.user).await {
                let may = may_see(&intervals.spans(), carried);
                self.metrics.watch.check(Invariant::Stream3, may, || {
                    format!("conversation {conversation}: {} was given {carried}", stream.caller.user)
                });
            }
        }
    }

    /// The most recently active first; those whose log can't be read last.
    async fn by_activity(
        &self,
        stream: &Stream,
        conversations: Vec<ConversationId>,
    ) -> Result<Vec<ConversationId>, Over> {
        let mut dated = Vec::with_capacity(conversations.len());
        for conversation in conversations {
            if stream.outbox.is_over() {
                return Err(Over);
            }
            let _read = self.reads.acquire().await;
            let head = self.conversations.head(&stream.place(conversation)).await;
            dated.push((head.ok().flatten().map_or(0, |head| head.last_at), conversation));
        }
        dated.sort_by_key(|(at, conversation)| (Reverse(*at), *conversation));
        Ok(dated.into_iter().map(|(_, conversation)| conversation).collect())
    }

    /// Sends what is missing of a conversation and hands the stream over to the hub, or finds that the user left.
    async fn bring_up(
        self: &Arc<Self>,
        stream: &Arc<Stream>,
        conversation: ConversationId,
        mut start: Start,
    ) -> Result<Outcome, Over> {
        self.metrics.catch_ups.inc();
        let place = stream.place(conversation);
        let mut backoff = Backoff::new();
        loop {
            if !stream.outbox.room().await {
                return Err(Over);
            }
            // First into the hub, so that nothing is missed that is appended after the look at the log.
            let registered =
                self.lanes.enter(&place, |hub| (!stream.outbox.is_over()).then(|| hub.register(stream)));
            let Some(seen) = registered else { return Err(Over) };
            let found = {
                let _read = self.reads.acquire().await;
                self.conversations.standing(&place, &stream.caller.user).await
            };
            let (head, intervals, about) = match found {
                Ok(Some(found)) if seen.is_none_or(|seen| seen <= found.0.last_seq) => found,
                Ok(None) if seen.is_none() => (NOTHING, Intervals::default(), About::default()),
                // The log is behind what the hub has seen of it.
                Ok(_) => {
                    let behind = backoff.missed();
                    self.metrics.watch.check(Invariant::Log3, !behind, || {
                        let place = place.conversation;
                        format!("conversation {place}: event {seen:?} was told of and is not in the log")
                    });
                    backoff.wait().await;
                    continue;
                }
                Err(fault) => {
                    self.failed(&fault, "a conversation's head and members");
                    backoff.wait().await;
                    continue;
                }
            };
            let shared = about.kind() != ConversationKind::Channel;
            let read = head.last_seq > 0
                && self.lanes.find(&place, |hub| {
                    hub.has_members(shared.then_some(about.members));
                    hub.ends_at(head.last_seq)
                }) == Some(true);
            if read {
                self.read_for_hub(&place);
            }
            let plan = plan(start, &head, &intervals, self.settings.push_events);
            match self.carry_out(stream, &place, &intervals, &plan.steps, &mut start).await? {
                Round::Sent => backoff.misses = 0,
                Round::Changed(missing) => {
                    let hole = missing == Missing::Hole && backoff.missed();
                    self.metrics.watch.check(Invariant::Log1, !hole, || {
                        let (place, end) = (place.conversation, head.last_seq);
                        format!(
                            "conversation {place}: ends at {end}, and what follows {start:?} is not there"
                        )
                    });
                    backoff.wait().await;
                    continue;
                }
            }
            if plan.next > 0 {
                start = Start::Carried(plan.next - 1);
            }
            let settled = self.lanes.enter(&place, |hub| {
                let outcome = if plan.member {
                    match hub.join(stream.key, plan.next, &self.metrics) {
                        Joined::Live => Outcome::Live,
                        Joined::Left(next) => {
                            start = Start::Carried(next - 1);
                            Outcome::Left(next)
                        }
                        Joined::Behind(next) => {
                            start = Start::Carried(next - 1);
                            return None;
                        }
                        Joined::Gone => return Some(Err(Over)),
                    }
                } else {
                    hub.leave(stream.key);
                    if plan.next == 0 || intervals.0.is_empty() {
                        Outcome::Foreign
                    } else {
                        Outcome::Left(plan.next)
                    }
                };
                stream.settle(conversation, outcome).then_some(Ok(outcome))
            });
            if let Some(outcome) = settled {
                return outcome;
            }
        }
    }

    async fn carry_out(
        &self,
        stream: &Stream,
        place: &Place,
        intervals: &Intervals,
        steps: &[Step],
        start: &mut Start,
    ) -> Result<Round, Over> {
        let spans = intervals.spans();
        for step in steps {
            match *step {
                Step::Reset { reason, first, last } => {
                    self.metrics.reset(reason);
                    let conversation_id = place.conversation.to_string();
                    let reset = v1::Reset { conversation_id, reason: reason.into(), first, last };
                    stream.outbox.put(frame::control(attach_response::Frame::Reset(reset)));
                    *start = Start::Carried(last);
                }
                Step::Send { first, last } => {
                    let mut next = first;
                    let mut limit = self.settings.page_events;
                    while next <= last {
                        if !stream.outbox.room().await {
                            return Err(Over);
                        }
                        let want = limit.min((last - next + 1) as usize);
                        let page = match self.page(place, next, want).await {
                            Ok(page) => page,
                            Err(missing) => return Ok(Round::Changed(missing)),
                        };
                        let hidden = page.iter().find(|event| !may_see(&spans, event.seq));
                        let may = self.metrics.watch.check(Invariant::Stream3, hidden.is_none(), || {
                            let (place, user) = (place.conversation, &stream.caller.user);
                            format!("conversation {place}: {user} would get {:?}", hidden.map(|e| e.seq))
                        });
                        if !may {
                            return Ok(Round::Changed(Missing::Fault));
                        }
                        let sent = self.offer(stream, place.conversation, &page);
                        // A single event that is larger than the room fits the empty queue only. Trying again before
                        // that would do nothing but read.
                        if sent == 0 && page.len() == 1 && !stream.outbox.drained().await {
                            return Err(Over);
                        }
                        // What found no room is read again later; no memory is kept for a slow stream.
                        limit = if sent < page.len() { (2 * sent).max(1) } else { self.settings.page_events };
                        next += sent as u64;
                        *start = Start::Carried(next - 1);
                    }
                }
            }
        }
        Ok(Round::Sent)
    }

    /// Events from `next` on, consecutive, at least one.
    async fn page(&self, place: &Place, next: Seq, limit: usize) -> Result<Vec<Event>, Missing> {
        let _read = self.reads.acquire().await;
        match self.conversations.events(place, next - 1, limit).await {
            Ok(mut events) => {
                events.truncate(limit);
                let dense = events.iter().zip(next..).all(|(event, seq)| event.seq == seq);
                if dense && !events.is_empty() {
                    return Ok(events);
                }
                // The store is behind, or the range was dropped just now.
                self.metrics.faults.inc();
                tracing::warn!(conversation = %place.conversation, next, "the log doesn't have what it should; looking again");
                Err(Missing::Hole)
            }
            Err(fault) => {
                self.failed(&fault, "events");
                Err(Missing::Fault)
            }
        }
    }

    /// Puts as many of the events into the queue as it has room for; gives how many.
    fn offer(&self, stream: &Stream, conversation: ConversationId, page: &[Event]) -> usize {
        let mut sent = 0;
        while let Some(frame) = Frame::encode(conversation, &page[sent..], self.settings.frame_bytes) {
            if !stream.outbox.offer(&frame.bytes) {
                break;
            }
            let events = frame.last() - frame.first + 1;
            self.metrics.caught_up.inc_by(events);
            self.metrics.frames.inc();
            self.metrics.bytes.inc_by(frame.bytes.len() as u64);
            sent += events as usize;
        }
        sent
    }

    /// What a hub lacks may have been trimmed and deleted while it could not be read.
    async fn skip_trimmed(self: &Arc<Self>, place: &Place) {
        if let Ok(Some(head)) = self.conversations.head(place).await {
            let skip = |hub: &mut Hub| hub.skip_to(head.floor + 1);
            let busy = self.lanes.find(place, skip).unwrap_or_default();
            busy.iter().for_each(|stream| self.employ(stream));
        }
    }

    fn failed(&self, fault: &Fault, what: &str) {
        self.metrics.faults.inc();
        tracing::warn!(%fault, "{what} could not be read; trying again");
    }

    /// Reads the log for a hub that lacks events, until it lacks none.
    pub(super) fn read_for_hub(self: &Arc<Self>, place: &Place) {
        self.metrics.hub_reads.inc();
        let (delivery, place) = (self.clone(), place.clone());
        tokio::spawn(async move {
            let mut backoff = Backoff::new();
            while let Some(Some(after)) = delivery.lanes.find(&place, |hub| hub.lacks()) {
                match delivery.page(&place, after + 1, delivery.settings.page_events).await {
                    Ok(events) => {
                        backoff.misses = 0;
                        delivery.appended(&place, &events);
                    }
                    Err(missing) => {
                        delivery.skip_trimmed(&place).await;
                        // What was trimmed is not lacked any more.
                        let last = delivery.lanes.find(&place, |hub| hub.last()).flatten();
                        let hole = missing == Missing::Hole && last == Some(after);
                        let lost = hole && backoff.missed();
                        delivery.metrics.watch.check(Invariant::Log3, !lost, || {
                            let (place, seq) = (place.conversation, after + 1);
                            format!("conversation {place}: event {seq} was told of and is not in the log")
                        });
                        backoff.wait().await;
                    }
                }
            }
        });
    }
}

/// The end of a log that isn't there.
const NOTHING: Head = Head { last_seq: 0, floor: 0, messages: 0, last_at: 0, members_at: 0, trimmed: 0 };
