//! What was appended reaches everybody who is attached: in order, without a gap, without a seam.
//!
//! - here: attaching and detaching, and taking what was appended.
//! - [`hub`]: a conversation with attached streams; `lanes`: all of them, by lane.
//! - `stream`: an attached device; `attached`: all of them, by user.
//! - [`plan`]: what a stream is sent before it is live, a pure function; `catch_up`: doing it.
//! - [`frame`]: events in wire form; `outbox`: the bounded queue of a stream; [`body`]: its response body.
//! - `run`: the loops: hearing the bus, checking lanes, looking after streams; shutting down.
//! - `ephemeral`: presence and typing, told and heard; `presence`, `elsewhere`, `typing`: who is here, who is on other
//!   nodes, and who types.
//! - [`settings`], [`metrics`].

mod attached;
pub mod body;
mod catch_up;
mod elsewhere;
mod ephemeral;
pub mod frame;
pub mod hub;
mod lanes;
pub mod metrics;
mod outbox;
pub mod plan;
mod presence;
mod run;
pub mod settings;
mod stream;
mod typing;

use crate::{
    bus::{Bus, Listener},
    clock::SharedClock,
    conversation::Conversations,
    domain::{Caller, ConversationId, Event, Place, Seq},
};
use attached::{Attached, Full};
use body::StreamBody;
use elsewhere::Elsewhere;
use hub::{Flush, Hub};
use lanes::Lanes;
use metrics::Metrics;
use nexus_invariants::Invariant;
use nexus_proto::v1::{self, attach_response};
use outbox::Outbox;
use presence::Here;
use rand::{RngCore as _, rngs::StdRng};
pub use settings::Settings;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};
use stream::Stream;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};
use tokio_util::task::TaskTracker;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use typing::Typists;
use uuid::Uuid;

/// Delivery on this node.
pub struct Delivery {
    conversations: Arc<Conversations>,
    clock: SharedClock,
    settings: Settings,
    metrics: Metrics,
    lanes: Lanes,
    attached: Attached,
    /// Reads of the log that may be under way.
    reads: Semaphore,
    here: Here,
    elsewhere: Elsewhere,
    /// This node's own number, by which others know whose word of presence it is.
    node: u64,
    typists: Typists,
    chance: Mutex<Chance>,
    /// Until [`Self::run`] takes it; so that nothing is missed between being made and running.
    listener: Mutex<Option<Listener>>,
    /// The response bodies that are still being sent.
    bodies: TaskTracker,
}

/// What makes names and keys of streams.
struct Chance {
    rng: StdRng,
    keys: u64,
}

impl Delivery {
    /// Delivery of what these conversations append, as this bus tells of it. Nothing is delivered until
    /// [`Self::run`] runs. An error only if the registry has such metrics already.
    pub fn new(
        conversations: Arc<Conversations>,
        bus: Arc<dyn Bus>,
        clock: SharedClock,
        settings: Settings,
        registry: &prometheus::Registry,
        mut rng: StdRng,
    ) -> Result<Arc<Self>, prometheus::Error> {
        let metrics = Metrics::new(registry, &settings, conversations.watch().clone())?;
        Ok(Arc::new(Self {
            conversations,
            clock,
            lanes: Lanes::new(metrics.hubs.clone()),
            metrics,
            attached: Attached::default(),
            reads: Semaphore::new(settings.reads),
            here: Here::default(),
            elsewhere: Elsewhere::default(),
            node: rng.next_u64(),
            typists: Typists::new(settings.typists, settings.typists_per_conversation),
            chance: Mutex::new(Chance { rng, keys: 0 }),
            listener: Mutex::new(Some(bus.listen())),
            bodies: TaskTracker::new(),
            settings,
        }))
    }

    /// What delivery counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Opens a stream. `expires`: when the caller's token does, Unix milliseconds. Errors: INVALID_ARGUMENT,
    /// UNAUTHENTICATED when the token has expired, RESOURCE_EXHAUSTED when there are too many streams, UNAVAILABLE when
    /// this node goes away.
    pub fn attach(
        self: &Arc<Self>,
        caller: Caller,
        request: v1::AttachRequest,
        expires: Option<i64>,
    ) -> Result<StreamBody, Status> {
        let now_ms = self.clock.now_ms();
        if expires.is_some_and(|at| at <= now_ms) {
            return Err(token_expired());
        }
        let cursors = self.cursors(&request.cursors)?;
        let (key, id) = self.name();
        let now = Instant::now();
        let outbox = Outbox::new(self.settings.queue_bytes, now);
        let stream = Arc::new(Stream::new(key, id, caller, !request.no_ephemeral, expires, outbox, now));
        let caller = &stream.caller;
        let attached = v1::Attached {
            stream_id: id.to_string(),
            time_ms: now_ms,
            user: caller.user.to_string(),
            device: caller.device.to_string(),
        };
        stream.outbox.put(frame::control(attach_response::Frame::Attached(attached)));
        self.attached.add(&stream, &self.settings).map_err(|full| self.full(full))?;
        self.metrics.streams.inc();
        let body = StreamBody::new(self.clone(), stream.clone(), self.bodies.token());
        self.ask(&stream, &cursors, true)?;
        Ok(body)
    }

    /// Takes more cursors for an attached stream of the caller's. Errors: INVALID_ARGUMENT, NOT_FOUND,
    /// RESOURCE_EXHAUSTED.
    pub fn add_cursors(
        self: &Arc<Self>,
        caller: &Caller,
        request: v1::AddCursorsRequest,
    ) -> Result<(), Status> {
        let cursors = self.cursors(&request.cursors)?;
        let mine = self.attached.of(&caller.tenant, &caller.user);
        let named = |stream: &&Arc<Stream>| stream.id.to_string() == request.stream_id;
        let stream = mine.iter().find(named).ok_or_else(|| {
            Status::not_found(
                "stream_id: you have no such stream on this node; attach again, with all cursors",
            )
        })?;
        self.ask(stream, &cursors, false)
    }

    fn ask(
        self: &Arc<Self>,
        stream: &Arc<Stream>,
        cursors: &[(ConversationId, Seq)],
        attaching: bool,
    ) -> Result<(), Status> {
        let most = self.settings.conversations_per_stream;
        match stream.ask(cursors, attaching, most) {
            Ok(None) => {}
            Ok(Some(compared)) => self.caught_up(stream, compared),
            Err(stream::TooMany) => {
                return Err(quota(
                    "conversations of a stream",
                    &format!("a stream has at most {most} conversations"),
                ));
            }
        }
        self.employ(stream);
        Ok(())
    }

    fn cursors(&self, cursors: &[v1::Cursor]) -> Result<Vec<(ConversationId, Seq)>, Status> {
        let invalid = |why: String| {
            let details = ErrorDetails::with_bad_request_violation("cursors", &why);
            Status::with_error_details(Code::InvalidArgument, format!("cursors: {why}"), details)
        };
        let most = self.settings.cursors;
        if cursors.len() > most {
            let why = format!(
                "{} are given, at most {most} are allowed; send the rest by AddCursors",
                cursors.len()
            );
            return Err(invalid(why));
        }
        let mut known = BTreeSet::new();
        let mut checked = Vec::with_capacity(cursors.len());
        for cursor in cursors {
            let id = Uuid::try_parse(&cursor.conversation_id)
                .map_err(|_| invalid("conversation_id must be a UUID, as the server gave it".into()))?;
            if !known.insert(id) {
                return Err(invalid(format!("conversation {id} is given twice")));
            }
            if cursor.seq > i64::MAX as u64 {
                return Err(invalid(format!("seq {} of conversation {id} is no seq", cursor.seq)));
            }
            checked.push((ConversationId(id), cursor.seq));
        }
        Ok(checked)
    }

    fn name(&self) -> (u64, Uuid) {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        chance.keys += 1;
        let mut bytes = [0; 16];
        chance.rng.fill_bytes(&mut bytes);
        (chance.keys, uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    fn full(&self, full: Full) -> Status {
        let Settings { streams_per_device, streams_per_user, .. } = self.settings;
        self.metrics.refused.with_label_values(&[full.name()]).inc();
        match full {
            Full::Device => quota(
                "streams of a device",
                &format!("this device has {streams_per_device} streams, which is the most: end one first"),
            ),
            Full::User => quota(
                "streams of a user",
                &format!("this user has {streams_per_user} streams, which is the most: end one first"),
            ),
            Full::Node => {
                quota("streams of a node", "this node has as many streams as it may: try another later")
            }
            Full::Closed => going_away(),
        }
    }

    /// Unties a stream from everything. Doing it again changes nothing.
    fn detach(&self, stream: &Arc<Stream>, reason: &str) {
        if !self.attached.remove(stream) {
            return;
        }
        self.metrics.streams.dec();
        self.metrics.ended.with_label_values(&[reason]).inc();
        self.went(stream);
        for conversation in stream.untie() {
            self.lanes.find(&stream.place(conversation), |hub| hub.leave(stream.key));
        }
    }

    /// Events of a conversation were appended, or read from the log for its hub.
    fn appended(self: &Arc<Self>, place: &Place, events: &[Event]) {
        let now = Instant::now();
        let found = self.lanes.find(place, |hub| {
            let taken = hub.take(events, now, &self.settings);
            let busy = if taken.flush == Flush::Now { self.flush(place, hub, now) } else { Vec::new() };
            (taken, busy)
        });
        let Some((taken, busy)) = found else { return };
        busy.iter().for_each(|stream| self.employ(stream));
        self.metrics.watch.check(Invariant::Log4, taken.differs.is_none(), || {
            format!("conversation {}: event {:?} is not what it was", place.conversation, taken.differs)
        });
        if taken.read {
            self.read_for_hub(place);
        }
        if let Flush::At(tick) = taken.flush {
            let (delivery, place) = (self.clone(), place.clone());
            tokio::spawn(async move {
                sleep_until(tick).await;
                let flush = |hub: &mut Hub| delivery.flush(&place, hub, Instant::now());
                let busy = delivery.lanes.find(&place, flush).unwrap_or_default();
                busy.iter().for_each(|stream| delivery.employ(stream));
            });
        }
    }

    /// Flushes a hub, under its lane's lock; gives the streams that have work now.
    fn flush(&self, place: &Place, hub: &mut Hub, now: Instant) -> Vec<Arc<Stream>> {
        let flushed = hub.flush(now, self.clock.now_ms(), &self.settings, &self.metrics);
        let mut busy = flushed.busy;
        for user in &flushed.joiners {
            for stream in self.attached.of(&place.tenant, user) {
                stream.added(place.conversation);
                busy.push(stream);
            }
        }
        busy
    }
}

fn quota(subject: &str, message: &str) -> Status {
    let details = ErrorDetails::with_quota_failure_violation(subject, message);
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

fn token_expired() -> Status {
    Status::unauthenticated("the token has expired: attach again with a new one")
}

fn going_away() -> Status {
    Status::unavailable("this node goes away: attach again")
}
