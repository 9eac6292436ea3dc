//! What this node keeps of conversations in memory: where logs end, their last events and messages, and who asked for them.
//!
//! - here: what is held of each conversation, and what happens to it. `lru`: which go first.
//! - `tail`: the last events and the messages among them. `ears`: whether this node hears of what others append.
//! - [`flights`]: identical reads are made once. `settings`, `metrics`.
//!
//! # When what is held is believed
//!
//! An end of a log is certain at a moment: when a read of the log began that found it, or when an append began whose
//! condition was that the log ends where it did. From then on it is told of more by hints, and by what this node appends
//! itself, which is here before anybody hears of it. It is believed without a look at the log only if all of this holds:
//!
//! - this node listens, and its bus says that it hears the lane;
//! - no hint of the lane was missed since that moment, as far as can be known (a gap, a new subscription, a full queue);
//! - no event is known to exist that is not held (a hint that left a gap, or only said where the log ends; a retry that is
//!   answered with what another node appended);
//! - it is not longer ago than `core.cache.believe_ms`. A check of the lane counts as a look at every conversation of it
//!   in which nothing was appended: what a silent publisher or a dead subscription concealed is found by it.
//!
//! Else the log is read. So what is answered without `at_least` lacks nothing that this node acknowledged, and of what
//! others did nothing that is older than `believe_ms`; `at_least` above the held end reads the log. Whoever needs the end
//! of the log exactly, as the delivery and every append do, reads it.
//!
//! The tail is a fold of consecutive events that ends where the end is, or it is not used. What is known of members and of
//! the conversation holds at the held end: an event that changes any of it drops all of it, to be read again from the views.

mod ears;
pub(super) mod flights;
mod lru;
mod metrics;
pub mod settings;
mod tail;

use super::{
    Head,
    rows::{About, Member},
};
use crate::{
    bus::Bus,
    domain::{
        Event, Kind, Place, Seq, User,
        hash::{LANES, lane_of},
    },
};
use ears::{Ears, Moment};
use lru::Lru;
use metrics::Metrics;
use prometheus::Registry;
use settings::SHARDS;
pub use settings::Settings;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};
pub(super) use tail::Tail;
use tail::changes_people;
use tokio::time::Instant;

/// Members of one conversation that are held; one more, and all of them are read again.
const PEOPLE: usize = 256;
/// What a conversation and a member take, about.
const OVERHEAD: usize = 320;
const PERSON: usize = 160;
/// Events with which a tail begins.
const FILL: usize = 256;

/// What is held of a conversation.
#[derive(Default)]
struct Held {
    /// Where the log ends; `None`: not known.
    end: Option<Head>,
    /// The bucket in which it ended.
    bucket: Seq,
    /// The last event that is known to exist.
    heard: Seq,
    /// When the end was certain.
    certain: Option<Moment>,
    tail: Option<Tail>,
    /// As they are at the end.
    about: Option<About>,
    people: BTreeMap<User, Option<Member>>,
}

/// How a user stands in a conversation, as it is held.
pub(crate) struct Standing {
    pub head: Head,
    pub about: About,
    pub member: Option<Member>,
}

/// What a tail lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lack {
    /// It is there, and ends where the log does.
    Nothing,
    /// The events from here to there.
    Events(Seq, Seq),
    /// All of it: the last so many events down to a seq, at most.
    All { from: Seq, to: Seq, most: usize },
}

/// The cache.
pub(crate) struct Cache {
    settings: Settings,
    bus: Arc<dyn Bus>,
    shards: Vec<Mutex<Lru<Place, Held>>>,
    ears: Ears,
    pub(super) metrics: Metrics,
}

impl Held {
    fn weight(&self) -> usize {
        let spans: usize = self.people.values().flatten().map(|member| 16 * member.from.len()).sum();
        let about = self.about.as_ref().map_or(0, |about| about.title.len() + about.topic.len() + 128);
        let tail = self.tail.as_ref().map_or(0, Tail::bytes);
        OVERHEAD + tail + about + self.people.len() * PERSON + spans
    }

    fn forget_people(&mut self) {
        self.about = None;
        self.people = BTreeMap::new();
    }

    /// Takes events that may follow the end; those that are known already change nothing.
    fn take(&mut self, events: &[Event], most: usize) {
        let Some(last) = events.last() else { return };
        self.heard = self.heard.max(last.seq);
        for event in events {
            let Some(end) = self.end.as_mut().filter(|end| end.last_seq + 1 == event.seq) else { continue };
            if event.kind == Kind::Trimmed {
                // The floor is more than the event says.
                self.end = None;
                self.tail = None;
                self.forget_people();
                return;
            }
            end.last_seq = event.seq;
            end.messages = event.messages;
            end.last_at = event.time_ms;
            if event.changes_members() {
                end.members_at = event.seq;
            }
            if changes_people(event) {
                self.forget_people();
            }
            self.tail = self.tail.take().filter(|tail| tail.next() == event.seq).and_then(|mut tail| {
                let goes_on = tail.take(event.clone(), most);
                goes_on.then_some(tail)
            });
        }
    }

    /// The log was seen to end here.
    fn found(&mut self, head: Head, bucket: Seq, moment: Moment) {
        self.heard = self.heard.max(head.last_seq);
        match self.end {
            // What was heard is later than what was read.
            Some(end) if end.last_seq > head.last_seq => return,
            Some(end) if end.last_seq == head.last_seq && end.floor == head.floor => {}
            _ => self.forget_people(),
        }
        self.end = Some(head);
        self.bucket = bucket;
        self.certain = Some(moment.later(self.certain));
    }
}

impl Cache {
    pub fn new(
        settings: Settings,
        bus: Arc<dyn Bus>,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let shard = || Mutex::new(Lru::new(settings.bytes / SHARDS));
        let shards = (0..SHARDS).map(|_| shard()).collect();
        Ok(Self { shards, settings, bus, ears: Ears::new(), metrics: Metrics::new(registry)? })
    }

    fn shard(&self, lane: u16) -> MutexGuard<'_, Lru<Place, Held>> {
        self.shards[usize::from(lane) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with what is held of a conversation, and takes note of what it weighs then.
    fn with<R>(&self, place: &Place, lane: u16, what: impl FnOnce(&mut Held) -> R) -> Option<R> {
        let mut shard = self.shard(lane);
        let before = (shard.weight(), shard.len());
        let result = what(shard.peek(place)?);
        let gone = shard.weigh(place, Held::weight);
        self.count(before, (shard.weight(), shard.len()));
        self.metrics.evictions.inc_by(gone.len() as u64);
        for gone in &gone {
            self.ears.held(lane_of(gone)).fetch_sub(1, Relaxed);
        }
        Some(result)
    }

    fn count(&self, before: (usize, usize), after: (usize, usize)) {
        self.metrics.bytes.add(after.0 as i64 - before.0 as i64);
        self.metrics.conversations.add(after.1 as i64 - before.1 as i64);
    }

    /// To be called before the log is read, or appended to: from here on nothing that is heard is lost.
    pub fn begin(&self, place: &Place) -> Moment {
        let lane = lane_of(place);
        {
            let mut shard = self.shard(lane);
            let before = shard.len();
            shard.enter(place, Held::default);
            if shard.len() > before {
                self.metrics.conversations.inc();
                self.ears.held(lane).fetch_add(1, Relaxed);
            }
        }
        self.with(place, lane, |_| ());
        self.ears.moment(lane)
    }

    /// The log was seen to end here, by a read that began at a moment.
    pub fn found(&self, place: &Place, moment: Moment, head: Head, bucket: Seq) {
        self.with(place, lane_of(place), |held| held.found(head, bucket, moment));
    }

    /// There is no such conversation: nothing is held of it.
    pub fn nothing(&self, place: &Place) {
        let lane = lane_of(place);
        let mut shard = self.shard(lane);
        if shard.peek(place).is_some_and(|held| held.heard == 0) {
            let before = (shard.weight(), shard.len());
            shard.remove(place);
            self.count(before, (shard.weight(), shard.len()));
            self.ears.held(lane).fetch_sub(1, Relaxed);
        }
    }

    /// This node appended events, beginning at a moment; the log ended there then.
    pub fn appended(&self, place: &Place, moment: Moment, head: Head, bucket: Seq, events: &[Event]) {
        let most = self.settings.conversation_bytes;
        self.with(place, lane_of(place), |held| {
            held.take(events, most);
            held.found(head, bucket, moment);
        });
    }

    /// Another node, or this one, says that it appended events.
    pub fn heard(&self, place: &Place, events: &[Event]) {
        let most = self.settings.conversation_bytes;
        self.with(place, lane_of(place), |held| held.take(events, most));
    }

    /// A log is said to end here, or later.
    pub fn ends(&self, place: &Place, last: Seq) {
        self.with(place, lane_of(place), |held| held.heard = held.heard.max(last));
    }

    /// From now on hints are heard, or no longer.
    pub fn listen(&self, listening: bool) {
        self.ears.listen(listening);
    }

    /// Hints of a lane may have been missed.
    pub fn missed(&self, lane: u16) {
        self.ears.miss(lane);
    }

    /// How many conversations of a lane are held.
    pub fn held(&self, lane: u16) -> usize {
        self.ears.held(lane).load(Relaxed)
    }

    /// A lane was compared with the log, beginning at `at`: something may have been appended to these since `from`, and to
    /// no other.
    pub fn checked<'a>(
        &self,
        lane: u16,
        from: Instant,
        at: Instant,
        active: impl IntoIterator<Item = &'a Place>,
    ) {
        for place in active {
            self.with(place, lane, |held| held.certain = None);
        }
        self.ears.check(lane, from, at);
    }

    fn believes(&self, lane: u16, held: &Held, at_least: Seq) -> Option<Head> {
        let head = held.end.filter(|end| end.last_seq >= held.heard.max(at_least))?;
        let certain = held.certain.filter(|then| self.ears.believe(lane, *then, self.settings.believe()));
        certain.filter(|_| self.bus.hears(lane % LANES)).map(|_| head)
    }

    /// The end of a log, if it is believed and this far at least.
    pub fn end(&self, place: &Place, at_least: Seq) -> Option<Head> {
        let lane = lane_of(place);
        let head = { self.shard(lane).get(place).and_then(|held| self.believes(lane, held, at_least)) };
        self.metrics.read("head", head.is_some());
        head
    }

    /// The bucket in which a log ended when it was seen last.
    pub fn bucket(&self, place: &Place) -> Option<Seq> {
        self.shard(lane_of(place)).peek(place).map(|held| held.bucket).filter(|bucket| *bucket > 0)
    }

    /// How a user stands, if that is known at an end which is believed and this far at least.
    pub fn standing(&self, place: &Place, user: &User, at_least: Seq) -> Option<Standing> {
        let lane = lane_of(place);
        let standing = {
            let mut shard = self.shard(lane);
            shard.get(place).and_then(|held| {
                let head = self.believes(lane, held, at_least)?;
                let (about, member) = (held.about.clone()?, held.people.get(user)?.clone());
                Some(Standing { head, about, member })
            })
        };
        self.metrics.read("member", standing.is_some());
        standing
    }

    /// Keeps how a user stands at a seq, if that is the held end.
    pub fn keep_standing(&self, place: &Place, at: Seq, user: &User, about: &About, member: Option<&Member>) {
        self.with(place, lane_of(place), |held| {
            if held.end.is_none_or(|end| end.last_seq != at) {
                return;
            }
            if held.people.len() >= PEOPLE {
                held.people.clear();
            }
            held.about = Some(about.clone());
            held.people.insert(user.clone(), member.cloned());
        });
    }

    /// Looks at the tail, if it goes to a seq at least.
    pub fn tail<R>(
        &self,
        place: &Place,
        to: Seq,
        what: &'static str,
        look: impl FnOnce(&Tail) -> Option<R>,
    ) -> Option<R> {
        let found = {
            let mut shard = self.shard(lane_of(place));
            let tail = shard.get(place).and_then(|held| held.tail.as_ref()).filter(|tail| tail.next() > to);
            tail.and_then(look)
        };
        self.metrics.read(what, found.is_some());
        found
    }

    /// What the tail lacks of the log, as far as that is known.
    pub fn lacks(&self, place: &Place) -> Lack {
        if self.settings.conversation_bytes == 0 {
            return Lack::Nothing;
        }
        let mut shard = self.shard(lane_of(place));
        let Some(held) = shard.get(place) else { return Lack::Nothing };
        let Some(end) = held.end else { return Lack::Nothing };
        match &held.tail {
            Some(tail) if tail.next() > end.last_seq => Lack::Nothing,
            Some(tail) if end.last_seq - tail.next() < FILL as u64 && tail.next() > end.floor => {
                Lack::Events(tail.next(), end.last_seq)
            }
            _ => Lack::All { from: end.floor + 1, to: end.last_seq, most: FILL },
        }
    }

    /// Gives the tail what it lacked.
    pub fn fill(&self, place: &Place, lack: Lack, events: Vec<Event>) {
        let most = self.settings.conversation_bytes;
        self.with(place, lane_of(place), |held| match lack {
            Lack::Nothing => {}
            Lack::Events(from, _) => {
                let Some(mut tail) = held.tail.take_if(|tail| tail.next() == from) else { return };
                held.tail = events.into_iter().all(|event| tail.take(event, most)).then_some(tail);
            }
            Lack::All { to, .. } => {
                let whole = events.last().is_some_and(|last| last.seq == to);
                if whole && held.tail.as_ref().is_none_or(|tail| tail.next() <= to) {
                    held.tail = Tail::new(events, to + 1, most);
                }
            }
        });
    }
}
