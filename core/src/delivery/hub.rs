//! What a node knows of a conversation with attached streams: the seq that comes next, the last few frames, the streams.
//!
//! Pure state under its lane's lock. Every seam of delivery is here: an event goes to a stream only if it is the
//! stream's next one, so whatever comes double, late or out of order changes nothing.

use super::{frame::Frame, metrics::Metrics, settings::Settings, stream::Stream};
use crate::domain::{ConversationId, Event, Kind, Seq, User};
use bytes::Bytes;
use nexus_invariants::Invariant;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// A conversation that was quiet for so long keeps no frames.
const QUIET: Duration = Duration::from_secs(10);

/// A conversation with attached streams.
pub struct Hub {
    conversation: ConversationId,
    /// The first event that it doesn't have; `None` until something is known of the log.
    next: Option<Seq>,
    /// The last event that is known to exist.
    known: Seq,
    /// Whether it is reading the log to get there.
    reading: bool,
    /// Events that the coming frame will hold.
    pending: Vec<Event>,
    recent: VecDeque<Frame>,
    recent_bytes: usize,
    streams: BTreeMap<u64, Attachment>,
    rate: Rate,
    flushed_at: Option<Instant>,
    /// Whether a tick is going to flush it.
    ticking: bool,
    /// Members, as far as they matter for presence; `None`: presence is not shared here, whatever their number.
    members: Option<u32>,
}

/// A stream in a hub.
struct Attachment {
    stream: Arc<Stream>,
    /// The event that it needs next, if it got that far.
    next: Option<Seq>,
    /// A worker brings it up to date; until then it gets nothing here.
    behind: bool,
}

/// What is to be done after events were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// When to flush.
    pub flush: Flush,
    /// Whether to start reading the log for what is missing.
    pub read: bool,
    /// LOG-4: an event that came again, and was not what it was before.
    pub differs: Option<Seq>,
}

/// When to flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Nothing to do.
    Not,
    /// At once.
    Now,
    /// At the tick.
    At(Instant),
}

/// What came of a flush.
#[derive(Default)]
pub struct Flushed {
    /// Streams that have work for a worker now.
    pub busy: Vec<Arc<Stream>>,
    /// Users who became members.
    pub joiners: Vec<User>,
}

/// What came of an attempt to go live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// It is live.
    Live,
    /// It needs events from here on that only the log has, or its queue has no room.
    Behind(Seq),
    /// The user's leaving was the last event; this would have been next.
    Left(Seq),
    /// It is not in this hub.
    Gone,
}

impl Hub {
    /// A hub that knows nothing yet.
    pub fn new(conversation: ConversationId) -> Self {
        Self {
            conversation,
            next: None,
            known: 0,
            reading: false,
            pending: Vec::new(),
            recent: VecDeque::new(),
            recent_bytes: 0,
            streams: BTreeMap::new(),
            rate: Rate::default(),
            flushed_at: None,
            ticking: false,
            members: None,
        }
    }

    /// Whether nobody is attached.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// The last event that it has.
    pub fn last(&self) -> Option<Seq> {
        self.next.map(|next| next - 1)
    }

    /// The first event that was not offered to the streams yet.
    fn unsent(&self) -> Option<Seq> {
        self.next.map(|next| next - self.pending.len() as u64)
    }

    /// Takes consecutive events: those that come next, and of the others only that they exist.
    pub fn take(&mut self, events: &[Event], now: Instant, settings: &Settings) -> Taken {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Taken { flush: Flush::Not, read: false, differs: None };
        };
        let mut next = *self.next.get_or_insert(first.seq);
        let before = next;
        for event in events {
            if event.seq == next {
                self.pending.push(event.clone());
                next += 1;
            }
        }
        let again = events.iter().filter(|event| event.seq < before);
        let differs = again.map(|event| (event, self.sent(event))).find(|(_, same)| *same == Some(false));
        let differs = differs.map(|(event, _)| event.seq);
        self.next = Some(next);
        self.known = self.known.max(last.seq);
        self.rate.note((next - before) as u32, now);
        Taken { flush: self.when(now, settings), read: self.start_reading(), differs }
    }

    /// Whether an event is the one that was taken before with this seq; `None` if that is not here any more, or was erased.
    fn sent(&self, event: &Event) -> Option<bool> {
        if let Some(pending) = self.pending.iter().find(|pending| pending.seq == event.seq) {
            return Some(pending == event);
        }
        let frame = self.recent.iter().find(|frame| (frame.first..=frame.last()).contains(&event.seq))?;
        let again = Frame::encode(self.conversation, std::slice::from_ref(event), 0)?;
        (!event.erased).then(|| frame.part(event.seq, event.seq) == again.bytes)
    }

    /// The log is known to end here, at least. Gives whether to start reading it; a hub that knows nothing begins there.
    pub fn ends_at(&mut self, last: Seq) -> bool {
        self.next.get_or_insert(last + 1);
        self.known = self.known.max(last);
        self.start_reading()
    }

    fn start_reading(&mut self) -> bool {
        let start = !self.reading && self.next.is_some_and(|next| next <= self.known);
        self.reading |= start;
        start
    }

    /// What it still lacks: events above the answer. `None`: nothing, and reading the log is over.
    pub fn lacks(&mut self) -> Option<Seq> {
        let lacks = self.next.filter(|next| *next <= self.known).map(|next| next - 1);
        self.reading = lacks.is_some();
        lacks
    }

    /// Events below a seq are gone, and it lacked some of them: it goes on there, and its streams look at the log anew. Gives
    /// those that have work now.
    pub fn skip_to(&mut self, next: Seq) -> Vec<Arc<Stream>> {
        if self.next.is_none_or(|now| now >= next) {
            return Vec::new();
        }
        self.next = Some(next);
        self.known = self.known.max(next - 1);
        self.pending.clear();
        self.recent.clear();
        self.recent_bytes = 0;
        let mut busy = Vec::new();
        for attachment in self.streams.values_mut().filter(|attachment| !attachment.behind) {
            attachment.behind = true;
            if let Some(at) = attachment.next {
                attachment.stream.overflowed(self.conversation, at - 1);
                busy.push(attachment.stream.clone());
            }
        }
        busy
    }

    fn when(&mut self, now: Instant, settings: &Settings) -> Flush {
        if self.pending.is_empty() || self.ticking {
            return Flush::Not;
        }
        let bytes: usize = self.pending.iter().map(Event::size).sum();
        let due = self.flushed_at.map_or(now, |at| at + settings.tick());
        if due <= now || bytes >= settings.frame_bytes || !self.rate.above(settings.tick_above) {
            return Flush::Now;
        }
        self.ticking = true;
        Flush::At(due)
    }

    /// Offers what is pending to all live streams.
    pub fn flush(&mut self, now: Instant, now_ms: i64, settings: &Settings, metrics: &Metrics) -> Flushed {
        self.ticking = false;
        let mut flushed = Flushed::default();
        let pending = std::mem::take(&mut self.pending);
        for event in &pending {
            metrics.latency.observe((now_ms - event.time_ms).max(0) as f64 / 1000.0);
        }
        let mut rest = &pending[..];
        while let Some(frame) = Frame::encode(self.conversation, rest, settings.frame_bytes) {
            rest = &rest[(frame.last() - frame.first + 1) as usize..];
            metrics.encoded.inc_by(frame.last() - frame.first + 1);
            self.send(&frame, &mut flushed, metrics);
            flushed.joiners.extend(frame.joiners.iter().cloned());
            if let Some(members) = &mut self.members {
                *members = (*members + frame.joiners.len() as u32).saturating_sub(frame.leavers.len() as u32);
            }
            self.recent_bytes += frame.bytes.len();
            self.recent.push_back(frame);
        }
        // Whoever is about to join must find a frame to join at, however large.
        while self.recent_bytes > settings.recent_bytes && self.recent.len() > 1 {
            self.recent_bytes -= self.recent.pop_front().map_or(0, |frame| frame.bytes.len());
        }
        if pending.iter().any(|event| event.kind == Kind::ErasedEvents) {
            self.recent.clear();
            self.recent_bytes = 0;
        }
        self.flushed_at = Some(now);
        flushed
    }

    fn send(&mut self, frame: &Frame, flushed: &mut Flushed, metrics: &Metrics) {
        let mut gone = Vec::new();
        let (mut frames, mut bytes) = (0, 0);
        for (key, attachment) in &mut self.streams {
            let Some(next) = attachment.next.filter(|next| !attachment.behind && *next <= frame.last())
            else {
                continue;
            };
            let stream = &attachment.stream;
            if next < frame.first {
                metrics.watch.check(Invariant::Stream1, false, || {
                    let (place, first) = (self.conversation, frame.first);
                    format!("conversation {place}: a live stream that needs {next} would get {first}")
                });
                attachment.behind = true;
            } else {
                let (out, last, leaves) = cut(frame, next, &stream.caller.user);
                if stream.outbox.offer(&out) {
                    frames += 1;
                    bytes += out.len() as u64;
                    attachment.next = Some(last + 1);
                    if leaves {
                        stream.left(self.conversation, last + 1);
                        gone.push(*key);
                    }
                    continue;
                }
                metrics.overflows.inc();
                attachment.behind = true;
            }
            stream.overflowed(self.conversation, next - 1);
            flushed.busy.push(stream.clone());
        }
        for key in gone {
            self.streams.remove(&key);
        }
        metrics.frames.inc_by(frames);
        metrics.bytes.inc_by(bytes);
    }

    /// Puts a stream in, behind; gives the last event that the hub has. To be called before the log is looked at: from
    /// here on nothing is missed.
    pub fn register(&mut self, stream: &Arc<Stream>) -> Option<Seq> {
        let fresh = || Attachment { stream: stream.clone(), next: None, behind: true };
        let attachment = self.streams.entry(stream.key).or_insert_with(fresh);
        attachment.behind = true;
        self.last()
    }

    /// Lets a stream go live that has everything below `next`. Membership must have been looked at up to there.
    pub fn join(&mut self, key: u64, mut next: Seq, metrics: &Metrics) -> Joined {
        let unsent = self.unsent().unwrap_or(next);
        let Some(attachment) = self.streams.get_mut(&key) else { return Joined::Gone };
        let before = attachment.next.replace(next);
        metrics.watch.check(Invariant::Stream1, before.is_none_or(|before| before <= next), || {
            format!(
                "conversation {}: a stream that needs {before:?} would go on at {next}",
                self.conversation
            )
        });
        for frame in &self.recent {
            if frame.last() < next {
                continue;
            }
            if next < frame.first {
                return Joined::Behind(next);
            }
            let (out, last, leaves) = cut(frame, next, &attachment.stream.caller.user);
            if !attachment.stream.outbox.offer(&out) {
                return Joined::Behind(next);
            }
            metrics.frames.inc();
            metrics.bytes.inc_by(out.len() as u64);
            next = last + 1;
            attachment.next = Some(next);
            if leaves {
                self.streams.remove(&key);
                return Joined::Left(next);
            }
        }
        if next < unsent {
            return Joined::Behind(next);
        }
        attachment.behind = false;
        Joined::Live
    }

    /// The last event that a live stream was given or spared; `None`: it is not live here.
    pub fn carried(&self, key: u64) -> Option<Seq> {
        let attachment = self.streams.get(&key).filter(|attachment| !attachment.behind)?;
        attachment.next.map(|next| next - 1)
    }

    /// Takes a stream out.
    pub fn leave(&mut self, key: u64) {
        self.streams.remove(&key);
    }

    /// Lets go of its last frames if it has been quiet: whoever joins reads the log.
    pub fn forget(&mut self, now: Instant) {
        if self.flushed_at.is_some_and(|at| now.saturating_duration_since(at) >= QUIET) {
            self.recent = VecDeque::new();
            self.recent_bytes = 0;
            self.pending.shrink_to_fit();
        }
    }

    /// How many members it has, in a conversation of a kind in which presence is shared.
    pub fn has_members(&mut self, members: Option<u32>) {
        self.members = members;
    }

    /// Whether presence is shared among its members.
    pub fn shares_presence(&self, most: u32) -> bool {
        self.members.is_some_and(|members| members <= most)
    }

    /// The live streams that want frames without a promise, by key.
    pub fn listeners(&self) -> impl Iterator<Item = (u64, &Arc<Stream>)> {
        let live = self.streams.iter().filter(|(_, attachment)| !attachment.behind);
        live.map(|(key, attachment)| (*key, &attachment.stream)).filter(|(_, stream)| stream.ephemeral)
    }

    /// Offers a frame without a promise to those who want such, except the streams of `but`.
    pub fn tell(&self, frame: &Bytes, but: Option<&User>, metrics: &Metrics) {
        let to = self.listeners().filter(|(_, stream)| but != Some(&stream.caller.user));
        let (told, dropped) = to.fold((0, 0), |(told, dropped), (_, stream)| {
            let fits = stream.outbox.offer_lossy(frame);
            (told + u64::from(fits), dropped + u64::from(!fits))
        });
        metrics.ephemeral.inc_by(told);
        metrics.ephemeral_dropped.inc_by(dropped);
    }
}

/// The part of a frame from `next` on that a user may see: up to their leaving, if that is in it.
fn cut(frame: &Frame, next: Seq, user: &User) -> (Bytes, Seq, bool) {
    let leaving = frame.leavers.iter().find(|(who, seq)| who == user && *seq >= next);
    let last = leaving.map_or(frame.last(), |(_, seq)| *seq);
    (frame.part(next, last), last, leaving.is_some())
}

/// About how many events a second come.
#[derive(Default)]
struct Rate {
    since: Option<Instant>,
    count: u32,
    before: u32,
}

impl Rate {
    const WINDOW: Duration = Duration::from_secs(1);

    fn note(&mut self, events: u32, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let age = now - since;
        if age >= Self::WINDOW {
            self.before = if age < 2 * Self::WINDOW { self.count } else { 0 };
            self.count = 0;
            self.since = Some(now);
        }
        self.count = self.count.saturating_add(events);
    }

    fn above(&self, limit: u32) -> bool {
        self.count.max(self.before) > limit
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::{delivery::outbox::Outbox, domain::Caller, watch::Watch};
    use prometheus::Registry;
    use uuid::Uuid;

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_would_get_something_twice_is_a_violation() {
        let (registry, settings) = (Registry::new(), Settings::default());
        let metrics = Metrics::new(&registry, &settings, Watch::new(&registry).unwrap()).unwrap();
        let noticed = || {
            let families = registry.gather();
            let mut all = families.iter().flat_map(|family| family.get_metric());
            all.any(|metric| {
                metric.get_label().iter().any(|label| label.get_value() == "STREAM-1")
                    && metric.get_counter().get_value() > 0.0
            })
        };
        let caller = ["default", "ann", "phone"].map(|name| User::new(name).unwrap());
        let [tenant, user, device] = caller;
        let (caller, now) = (Caller { tenant, user, device }, Instant::now());
        let outbox = Outbox::new(1 << 20, now);
        let stream = Arc::new(Stream::new(1, Uuid::nil(), caller, false, None, outbox, now));
        let mut hub = Hub::new(ConversationId(Uuid::nil()));
        hub.ends_at(5);
        hub.register(&stream);
        assert_eq!(hub.join(1, 6, &metrics), Joined::Live);
        hub.register(&stream);
        assert!(!noticed());
        hub.join(1, 4, &metrics);
        assert!(noticed());
    }
}
