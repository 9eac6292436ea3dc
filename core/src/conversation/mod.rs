//! The aggregate: a conversation decides over its log, appends, and folds what was appended.
//!
//! - [`command`]: what somebody wants, and why it may be refused. [`request`]: by what right.
//! - [`decide`]: whether it is allowed. [`fold`]: what an event does to the views' [`rows`], of which some are [`kept`].
//!   All are pure.
//! - [`views`]: the rows on their way to and from the store. [`list`]: what is kept per user.
//! - [`tenancy`]: all conversations of a tenant. [`survey`]: one of them, whoever is a member.
//! - [`invitation`]: what invitations are, and who joins by them. [`invited`]: reading them; [`received`]: those that name
//!   a user.
//! - [`directory`]: the public channels of a tenant. [`preferences`]: a user's own settings.
//! - `writer`: the queue of a conversation, and its rounds; `batch`: what is in one; `folded`: its views and its tail.
//! - [`history`]: reading the past, as the members may see it; `left`: as those who left may.
//! - `noticed`: what is noticed of the invariants.
//! - [`cache`]: what of all this is kept in memory, and when it is believed.
//! - [`membership`]: when somebody was a member. [`rebuild`]: making the views anew. [`metrics`].
//! - [`retention`]: how long events are kept, and the loop that trims; `trim`: trimming one conversation.
//! - here: all conversations of this node.

mod batch;
pub mod cache;
pub mod command;
pub mod decide;
pub mod directory;
pub mod fold;
mod folded;
pub mod history;
pub mod invitation;
pub mod invited;
pub mod kept;
mod left;
pub mod list;
pub mod membership;
pub mod metrics;
mod noticed;
pub mod preferences;
pub mod rebuild;
pub mod received;
pub mod request;
pub mod retention;
pub mod rows;
pub mod survey;
pub mod tenancy;
mod trim;
pub mod views;
mod writer;

use crate::{
    bus::{Bus, Hint},
    clock::SharedClock,
    domain::{Event, Place, Seq, Tenant, User},
    log,
    store::{Rows, Statics, Store, StoreError},
    watch::Watch,
};
use cache::{Cache, flights::Flights};
pub use command::{Command, CommandError, Receipt, Refusal};
use futures_util::future::BoxFuture;
pub use list::{Markers, Which};
pub use membership::{Interval, Intervals};
use metrics::Metrics;
use nexus_invariants::Invariant;
pub use request::{Authority, Request};
use rows::About;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use writer::Conversation;

/// How conversations append.
#[derive(Clone)]
pub struct Settings {
    /// The append protocol's.
    pub log: log::Settings,
    /// Limits of a conversation.
    pub rules: decide::Rules,
    /// Commands that may wait for one conversation. Default: 1,024.
    pub queue: usize,
    /// Commands in one batch. Default: 256.
    pub batch: usize,
    /// Bytes of events in one batch, about. Default: 1 MiB.
    pub batch_bytes: usize,
    /// How far a client id's time may be ahead, milliseconds. Default: 10 minutes.
    pub ahead_ms: i64,
    /// Time in which a command is answered. Default: 10 s.
    pub deadline: Duration,
    /// Time that publishing may take before the senders are answered. Default: 200 ms.
    pub publish: Duration,
    /// What is kept in memory.
    pub cache: cache::Settings,
    /// How long events are kept.
    pub retention: retention::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            log: log::Settings::default(),
            rules: decide::Rules::default(),
            queue: 1024,
            batch: 256,
            batch_bytes: 1 << 20,
            ahead_ms: 10 * 60 * 1000,
            deadline: Duration::from_secs(10),
            publish: Duration::from_millis(200),
            cache: cache::Settings::default(),
            retention: retention::Settings::default(),
        }
    }
}

/// What is known of the end of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// Last seq.
    pub last_seq: Seq,
    /// Events up to this seq are gone; 0: none.
    pub floor: Seq,
    /// Number of messages.
    pub messages: u64,
    /// Time of the last event, Unix milliseconds.
    pub last_at: i64,
    /// Last seq that changed members or roles.
    pub members_at: Seq,
    /// Number of messages that are gone.
    pub trimmed: u64,
}

impl Head {
    /// Messages that are there above a marker, given the number of messages up to the marker.
    pub fn unread(&self, read: u64) -> u64 {
        self.messages.saturating_sub(read.max(self.trimmed))
    }
}

impl From<&Statics> for Head {
    fn from(statics: &Statics) -> Self {
        Self {
            last_seq: statics.last_seq,
            floor: statics.floor.seq,
            messages: statics.messages,
            last_at: statics.last_at,
            members_at: statics.members_at,
            trimmed: statics.floor.messages,
        }
    }
}

/// Why a read failed; nothing that a caller can mend.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct Fault(#[from] pub StoreError);

/// What all conversations of a node share.
pub(crate) struct Shared {
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    clock: SharedClock,
    settings: Settings,
    metrics: Metrics,
    watch: Watch,
    cache: Cache,
    /// Reads of the ends of logs, and of what tails lack.
    ends: Flights<Place, Option<Head>>,
    tails: Flights<Place, ()>,
}

impl Shared {
    fn log(&self, place: &Place) -> log::Log {
        log::Log::new(self.store.clone(), self.clock.clone(), place.clone(), self.settings.log.clone())
    }
}

/// All conversations of this node.
pub struct Conversations {
    shared: Arc<Shared>,
    open: Mutex<BTreeMap<Place, Arc<Conversation>>>,
    /// The conversation whose views were compared with its log last.
    compared: Mutex<Option<Place>>,
}

impl Conversations {
    /// Conversations over a store, whose appends are told to a bus.
    pub fn new(
        store: Arc<dyn Store>,
        bus: Arc<dyn Bus>,
        clock: SharedClock,
        settings: Settings,
        registry: &prometheus::Registry,
    ) -> Result<Arc<Self>, prometheus::Error> {
        let metrics = Metrics::new(registry)?;
        let watch = Watch::new(registry)?;
        let cache = Cache::new(settings.cache.clone(), bus.clone(), registry)?;
        let ends = Flights::new(cache.metrics.shared.clone());
        let tails = Flights::new(cache.metrics.shared.clone());
        let shared = Arc::new(Shared { store, bus, clock, settings, metrics, watch, cache, ends, tails });
        Ok(Arc::new(Self { shared, open: Mutex::default(), compared: Mutex::default() }))
    }

    fn conversation(&self, place: &Place) -> Arc<Conversation> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Conversation::new(self.shared.clone(), place.clone()));
        let conversation = open.entry(place.clone()).or_insert_with(made);
        conversation.touch();
        conversation.clone()
    }

    /// Decides a request, appends its events and answers where they begin. It is done even if the caller goes away.
    pub async fn submit(&self, request: impl Into<Request>) -> Result<Receipt, CommandError> {
        let request = request.into();
        self.conversation(&request.command.place).submit(request).await
    }

    fn log(&self, place: &Place) -> log::Log {
        self.shared.log(place)
    }

    /// The end of a conversation's log, read from now on; `None` if there is no such conversation.
    pub async fn head(&self, place: &Place) -> Result<Option<Head>, Fault> {
        let (shared, of) = (self.shared.clone(), place.clone());
        let read = move || -> BoxFuture<'static, Result<Option<Head>, StoreError>> {
            Box::pin(read_end(shared.clone(), of.clone()))
        };
        Ok(self.shared.ends.ask(place, read).await?)
    }

    /// The end of a conversation's log as it is believed to be, or read if it is not known this far at least: see
    /// [`cache`]. `None` if there is no such conversation.
    pub async fn end(&self, place: &Place, at_least: Seq) -> Result<Option<Head>, Fault> {
        match self.shared.cache.end(place, at_least) {
            Some(head) => Ok(Some(head)),
            None => self.head(place).await,
        }
    }

    /// Events above `after`, lowest first, at most `limit`, across buckets; perhaps fewer than there are, but not none.
    pub async fn events(&self, place: &Place, after: Seq, limit: usize) -> Result<Vec<Event>, Fault> {
        let from = after + 1;
        if let Some(events) = self.shared.cache.tail(place, from, "events", |tail| tail.events(from, limit)) {
            return Ok(events);
        }
        let events = self.log(place).events_up(from, Seq::MAX, limit).await?;
        self.watch_page(place, from, &events);
        Ok(events)
    }

    /// Takes note of what other nodes, or this one, say that they appended.
    pub fn hear(&self, hint: &Hint) {
        match hint {
            Hint::Appended { place, events } => self.shared.cache.heard(place, events),
            Hint::Ends { place, last_seq } => self.shared.cache.ends(place, *last_seq),
            _ => {}
        }
    }

    /// From now on all hints are passed on to [`Self::hear`], or no longer.
    pub fn listen(&self, listening: bool) {
        self.shared.cache.listen(listening);
    }

    /// Hints of a lane may have been missed.
    pub fn missed(&self, lane: u16) {
        self.shared.cache.missed(lane);
    }

    /// The notes of a lane were read, beginning at `at`: since `from` something may have been appended to these
    /// conversations of it, and to no other.
    pub fn checked(&self, lane: u16, from: Instant, at: Instant, active: &BTreeSet<Place>) {
        self.shared.cache.checked(lane, from, at, active);
    }

    /// Of how many conversations of a lane something is kept in memory.
    pub fn held(&self, lane: u16) -> usize {
        self.shared.cache.held(lane)
    }

    /// What this node notices of the invariants.
    pub fn watch(&self) -> &Watch {
        &self.shared.watch
    }

    fn watch_page(&self, place: &Place, first: Seq, events: &[Event]) {
        let dense = nexus_invariants::log::dense(first, events.iter().map(|event| event.seq));
        self.watch().check(Invariant::Log1, dense, || {
            let seqs: Vec<Seq> = events.iter().map(|event| event.seq).collect();
            format!("conversation {}: read {seqs:?} from {first} on", place.conversation)
        });
    }

    /// When a user was a member, true at least up to the head that an earlier call of [`Self::head`] returned.
    pub async fn intervals(&self, place: &Place, user: &User) -> Result<Intervals, Fault> {
        let Some(head) = self.head(place).await? else { return Ok(Intervals::default()) };
        let conversation = self.conversation(place);
        let views = conversation.views(head.members_at, head.floor).await?;
        Ok(views.member(user).await?.map(|member| member.intervals()).unwrap_or_default())
    }

    /// How a user stands in a conversation: its end, when the user was a member, true at least up to that end, and what
    /// it is. `None` if there is no such conversation.
    pub async fn standing(
        &self,
        place: &Place,
        user: &User,
    ) -> Result<Option<(Head, Intervals, About)>, Fault> {
        let Some(head) = self.head(place).await? else { return Ok(None) };
        let conversation = self.conversation(place);
        let views = conversation.views(head.members_at, head.floor).await?;
        let member = views.member(user).await?;
        let intervals = member.map(|member| member.intervals()).unwrap_or_default();
        Ok(Some((head, intervals, views.about().await?.unwrap_or_default())))
    }

    /// The conversations that a user may be a member of: a superset, to be checked by [`Self::intervals`].
    pub async fn memberships(&self, tenant: &Tenant, user: &User) -> Result<Vec<Place>, Fault> {
        Ok(list::of_user(&*self.shared.store, tenant, user).await?)
    }

    /// A user's markers in a conversation.
    pub async fn markers_of(&self, place: &Place, user: &User) -> Result<Markers, Fault> {
        self.store_views(place).await?;
        let found = list::markers(&*self.shared.store, place, list::row_of_user(user)).await?;
        Ok(found.into_iter().next().map(|(_, markers)| markers).unwrap_or_default())
    }

    /// Everybody's markers in a conversation, by user, at most `limit`.
    pub async fn markers(&self, place: &Place, limit: usize) -> Result<Vec<(User, Markers)>, Fault> {
        self.store_views(place).await?;
        let rows = Rows::Range { from: bytes::Bytes::new(), to: None, down: false, limit };
        Ok(list::markers(&*self.shared.store, place, rows).await?)
    }

    /// Has all that follows from the log stored, before it is read: what one says moves one's own marker.
    async fn store_views(&self, place: &Place) -> Result<(), Fault> {
        if let Some(end) = self.end(place, 0).await? {
            drop(self.conversation(place).views(end.last_seq, end.floor).await?);
        }
        Ok(())
    }

    /// Moves a marker up, durably; `messages` is the running count at that seq.
    pub async fn mark(
        &self,
        place: &Place,
        user: &User,
        which: Which,
        at: Seq,
        messages: u64,
    ) -> Result<(), Fault> {
        Ok(list::mark(&*self.shared.store, place, user, which, at, messages).await?)
    }

    /// Whether it is noted which conversations were appended to.
    pub fn notes_recent(&self) -> bool {
        self.shared.settings.log.recent
    }

    /// The conversations of a lane to which something was appended in a minute (Unix time in minutes), after `after`.
    pub async fn recent(
        &self,
        lane: u16,
        minute: i64,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Place>, Fault> {
        Ok(self.shared.store.recent(lane, minute, after, limit).await?)
    }

    /// Tells all nodes something that makes no promise, within the time that publishing may take.
    pub async fn tell(&self, hint: Hint) {
        let heard = tokio::time::timeout(self.shared.settings.publish, self.shared.bus.publish(hint)).await;
        if !matches!(heard, Ok(true)) {
            self.shared.metrics.publish_failures.inc();
        }
    }

    /// Stores the views of conversations, and forgets those that nobody uses. To be called every few seconds:
    /// one that was not asked for since the call before is quiet. Of one, each time another, the views are compared with
    /// the log.
    pub async fn settle(&self) {
        let all: Vec<Arc<Conversation>> = {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.values().cloned().collect()
        };
        for conversation in all {
            match conversation.flush().await {
                Ok(()) => {
                    let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                    // One here, one in the map: nobody else has it, and nobody can get it meanwhile.
                    if Arc::strong_count(&conversation) == 2 && conversation.rested() {
                        open.remove(&conversation.place);
                    }
                }
                Err(error) => {
                    tracing::warn!(conversation = %conversation.place.conversation, %error, "views not stored yet");
                }
            }
        }
        if let Some(conversation) = self.next_compared()
            && let Err(error) = conversation.watch_views().await
        {
            tracing::warn!(conversation = %conversation.place.conversation, %error, "views not compared");
        }
    }

    fn next_compared(&self) -> Option<Arc<Conversation>> {
        let mut compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let after = compared.take().map_or(Bound::Unbounded, Bound::Excluded);
        let next = open.range((after, Bound::Unbounded)).next().or_else(|| open.first_key_value())?;
        *compared = Some(next.0.clone());
        Some(next.1.clone())
    }
}

async fn read_end(shared: Arc<Shared>, place: Place) -> Result<Option<Head>, StoreError> {
    let moment = shared.cache.begin(&place);
    let found = shared.log(&place).latest(shared.cache.bucket(&place)).await?;
    match &found {
        Some((bucket, statics)) => shared.cache.found(&place, moment, statics.into(), *bucket),
        None => shared.cache.nothing(&place),
    }
    Ok(found.map(|(_, statics)| Head::from(&statics)))
}
