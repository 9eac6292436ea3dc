//! The bus of several nodes: 64 sharded pub/sub channels of a Redis Cluster, the lanes, which every node subscribes.
//!
//! - here: the bus, its parts put together; what becomes of a frame; heartbeats.
//! - [`options`]: what an operator can set; [`link`]: a connection to one node of the cluster.
//! - [`topology`]: which master has which lane.
//! - [`publish`]: the way out; [`subscribe`]: the way in.
//! - [`wire`]: what goes over a channel; [`gaps`]: what was not heard.
//! - [`metrics`].
//!
//! A hint goes to this node's own listeners first, and at once: a node that is cut off from Redis still serves its own
//! users. What comes back of it from Redis only proves that the lane is alive. What is lost on the way to others is
//! never silent: hints that matter are numbered by lane, every frame repeats the last number, and a lane on which one
//! was skipped, on which somebody went silent, or that had to be subscribed again is said to be
//! [missed](crate::bus::Heard::Missed). Hints that don't matter have no numbers, since nobody makes up for them.
//!
//! Every master has connections of its own instead of the library's for whole clusters: that one holds up everybody
//! while it looks for the masters, and queues what it hears without a bound. Whoever can publish at this Redis can make
//! nodes believe that something was appended: it must be reached by nodes only.

mod gaps;
mod link;
mod metrics;
mod options;
mod publish;
mod subscribe;
mod topology;
mod wire;

use super::{Bus, Hint, Listener, listener};
use crate::domain::hash::LANES;
use async_trait::async_trait;
use bytes::Bytes;
use gaps::Senders;
use link::Login;
use metrics::{Failure, Metrics, Reason};
pub use options::Options;
use prometheus::Registry;
use rand::{Rng as _, RngCore as _, rngs::StdRng};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use topology::{Address, Topology};
use wire::{Draft, What};

/// Bytes up to which a hint without a promise goes out.
const LOSSY_BYTES: usize = 64 << 10;
/// The first pause after something failed, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Heartbeats after which a node that says nothing any more is not told of.
const FORGET: u32 = 4;
/// Nodes whose addresses are kept in mind.
const NODES: usize = 1024;
/// Heartbeats between two checks of lanes that are not subscribed.
const DEAF: u32 = 2;
/// The lane on which nodes say where they are.
const ANNOUNCEMENTS: u16 = 0;
/// How often the same trouble is written to the log.
const TROUBLE: Duration = Duration::from_secs(10);

/// Why there is no bus: a mistake in the configuration. Redis itself may be there later.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Values that can't be.
    #[error("{}", .0.join("; "))]
    Options(Vec<String>),
    /// A file that can't be used.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        error: String,
    },
    /// Two buses in one registry.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

/// The bus over Redis. Dropping it ends its tasks, without a farewell.
pub struct RedisBus {
    shared: Arc<Shared>,
}

/// What the tasks of a bus share.
struct Shared {
    options: Options,
    login: Login,
    incarnation: u64,
    chance: Mutex<StdRng>,
    /// The channels of the lanes.
    channels: Vec<String>,
    lanes: BTreeMap<Vec<u8>, u16>,
    feeds: listener::Feeds,
    metrics: Metrics,
    topology: Topology,
    outgoing: publish::Outgoing,
    incoming: subscribe::Incoming,
    senders: Mutex<Senders>,
    /// Where edges reach this node; and the others, by incarnation, with the time at which they said so last.
    announce: Option<String>,
    announced: Mutex<BTreeMap<u64, (String, Instant)>>,
    /// Lanes with frames that made no sense; told of with the next heartbeat, lest garbage costs a check per frame.
    unreadable: AtomicU64,
    trouble: Mutex<Trouble>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Default)]
struct Trouble {
    last: String,
    logged: Option<Instant>,
}

impl RedisBus {
    /// A bus, which connects on its own and goes on trying: [`Bus::health`] says how far it is. To be called in a
    /// runtime. The incarnation comes from chance. `announce`: where edges reach this node, told to the others.
    pub fn connect(
        options: Options,
        announce: Option<String>,
        mut chance: StdRng,
        registry: &Registry,
    ) -> Result<Self, ConnectError> {
        let problems = options.problems();
        if !problems.is_empty() {
            return Err(ConnectError::Options(problems));
        }
        let login = Login::new(&options)?;
        let seeds = options.nodes.iter().filter_map(|node| Address::parse(node)).collect();
        let channels: Vec<String> =
            (0..LANES).map(|lane| format!("{}:lane:{lane}", options.prefix)).collect();
        let lanes = channels.iter().zip(0..).map(|(channel, lane)| (channel.clone().into_bytes(), lane));
        let shared = Arc::new(Shared {
            login,
            incarnation: chance.next_u64(),
            chance: Mutex::new(chance),
            lanes: lanes.collect(),
            feeds: listener::Feeds::default(),
            metrics: Metrics::new(registry)?,
            topology: Topology::new(seeds, &channels),
            channels,
            outgoing: publish::Outgoing::default(),
            incoming: subscribe::Incoming::new(),
            senders: Mutex::new(Senders::new(options.heartbeat())),
            announce,
            announced: Mutex::default(),
            unreadable: AtomicU64::new(0),
            trouble: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            options,
        });
        shared.spawn(topology::keep(shared.clone()));
        shared.spawn(subscribe::listen(shared.clone()));
        shared.spawn(beat(shared.clone()));
        Ok(Self { shared })
    }
}

impl Drop for RedisBus {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

#[async_trait]
impl Bus for RedisBus {
    async fn publish(&self, hint: Hint) -> bool {
        let shared = &self.shared;
        shared.feeds.hint(&hint);
        shared.metrics.published.with_label_values(&[metrics::kind(&hint)]).inc();
        let sent = match shared.draft(&hint) {
            Some(draft) => {
                let (answer, heard) = oneshot::channel();
                shared.send(hint.lane(), draft, hint.matters(), Some(answer)).map(|()| heard)
            }
            None => Err(Failure::TooLarge),
        };
        match sent {
            Ok(heard) => matches!(timeout(shared.options.publish(), heard).await, Ok(Ok(true))),
            Err(failure) => {
                shared.metrics.failed(failure);
                false
            }
        }
    }

    fn listen(&self) -> Listener {
        self.shared.feeds.listen()
    }

    fn hears(&self, lane: u16) -> bool {
        self.shared.incoming.hears(lane)
    }

    /// How many lanes are not subscribed, since when, and what went wrong last.
    fn health(&self) -> Result<(), String> {
        let (subscribed, since) = self.shared.incoming.subscribed();
        let Some(since) = since else { return Ok(()) };
        let last = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).last.clone();
        Err(format!(
            "{} of {LANES} lanes of the bus are not subscribed, for {} s: {}",
            subscribed.count_zeros(),
            since.elapsed().as_secs(),
            if last.is_empty() { "still connecting" } else { &last },
        ))
    }

    /// Says farewell to the other nodes, so that they need not wonder, and ends the bus's tasks. Bounded in time by what
    /// a publish may take.
    async fn shutdown(&self) {
        let shared = &self.shared;
        let mut farewells = Vec::new();
        for lane in 0..LANES {
            let (answer, heard) = oneshot::channel();
            if shared.send(lane, Draft::bare(shared.incarnation, true), false, Some(answer)).is_ok() {
                farewells.push(heard);
            }
        }
        let all = futures_util::future::join_all(farewells);
        let _ = timeout(shared.options.publish(), all).await;
        shared.stop.cancel();
        shared.tasks.close();
        shared.tasks.wait().await;
    }

    fn nodes(&self) -> Vec<String> {
        let fresh = self.shared.options.heartbeat() * FORGET;
        let mut announced = self.shared.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.retain(|_, (_, heard)| heard.elapsed() < fresh);
        let others = announced.values().map(|(address, _)| address.clone());
        self.shared.announce.iter().cloned().chain(others).collect()
    }
}

impl Shared {
    /// Runs a task until it ends or the bus does.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// What goes out of a hint: itself, or if it is too large only where the log ends.
    fn draft(&self, hint: &Hint) -> Option<Draft> {
        if let Hint::Appended { place, events } = hint
            && let Some(last) = events.last()
        {
            let short = || {
                let ends = Hint::Ends { place: place.clone(), last_seq: last.seq };
                Some(Draft::hint(self.incarnation, &ends))
            };
            // Encoding all of it first would cost most where it is in vain.
            if hint.size() > 2 * self.options.hint_bytes {
                return short();
            }
            let draft = Draft::hint(self.incarnation, hint);
            return if draft.size() > self.options.hint_bytes { short() } else { Some(draft) };
        }
        let draft = Draft::hint(self.incarnation, hint);
        (draft.size() <= LOSSY_BYTES).then_some(draft)
    }

    /// A frame was heard on a lane.
    fn frame(&self, lane: u16, bytes: Bytes) {
        let frame = match wire::decode(bytes) {
            Ok(frame) if !matches!(&frame.what, What::Hint(hint) if hint.lane() != lane) => frame,
            // From another release, or from somebody who is none of us.
            strange => {
                self.metrics.unreadable.inc();
                self.unreadable.fetch_or(1 << lane, Ordering::AcqRel);
                if let Err(error) = strange {
                    self.trouble(format!("a frame on lane {lane} is {error}"));
                }
                return;
            }
        };
        if frame.sender == self.incarnation {
            self.beat_heard(lane);
            return;
        }
        let gap = {
            let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
            let numbered = matches!(&frame.what, What::Hint(hint) if hint.matters());
            match &frame.what {
                What::Leave => senders.left(frame.sender, lane, frame.count),
                _ => senders.heard(frame.sender, lane, frame.count, numbered, Instant::now()),
            }
        };
        self.remember(frame.sender, &frame.what);
        if let What::Hint(hint) = frame.what {
            self.metrics.heard.with_label_values(&[metrics::kind(&hint)]).inc();
            self.feeds.hint(&hint);
        }
        if gap {
            self.missed(1 << lane, Reason::Skipped);
        }
    }

    /// Where the sender is, if it says so.
    fn remember(&self, sender: u64, what: &What) {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        match what {
            What::Announce(address) if announced.len() < NODES || announced.contains_key(&sender) => {
                announced.insert(sender, (address.clone(), Instant::now()));
            }
            What::Leave => drop(announced.remove(&sender)),
            _ => {}
        }
    }

    /// Says that hints of these lanes may have been missed.
    fn missed(&self, lanes: u64, reason: Reason) {
        let counter = self.metrics.missed.with_label_values(&[reason.name()]);
        for lane in (0..LANES).filter(|lane| lanes & 1 << lane != 0) {
            counter.inc();
            self.feeds.missed(lane);
        }
    }

    fn lane_of_channel(&self, channel: &[u8]) -> Option<u16> {
        self.lanes.get(channel).copied()
    }

    /// Something went wrong that is tried again: for the log, not too often, and for [`Bus::health`].
    fn trouble(&self, what: String) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if trouble.logged.is_none_or(|at| now - at >= TROUBLE) {
            trouble.logged = Some(now);
            tracing::warn!(trouble = what, "the bus has trouble with Redis and goes on trying");
        }
        trouble.last = what;
    }

    fn with_chance<R>(&self, what: impl FnOnce(&mut StdRng) -> R) -> R {
        what(&mut self.chance.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A time between half of this and all of it, so that nodes don't act in step.
    fn jitter(&self, most: Duration) -> Duration {
        most.mul_f64(self.with_chance(|chance| chance.random_range(0.5..=1.0)))
    }

    fn backoff(&self) -> Backoff {
        Backoff(PAUSES.0)
    }
}

/// Pauses that grow.
struct Backoff(Duration);

impl Backoff {
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSES.1);
        pause
    }

    fn reset(&mut self) {
        self.0 = PAUSES.0;
    }
}

/// Heartbeats on all lanes, and what their absence says.
async fn beat(shared: Arc<Shared>) {
    let mut beats = interval(shared.options.heartbeat());
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut beat = 0_u32;
    loop {
        let now = beats.tick().await;
        for lane in 0..LANES {
            if let Err(failure) = shared.send(lane, Draft::bare(shared.incarnation, false), false, None) {
                shared.metrics.failed(failure);
            }
        }
        if let Some(address) = &shared.announce {
            let draft = Draft::announce(shared.incarnation, address);
            if let Err(failure) = shared.send(ANNOUNCEMENTS, draft, false, None) {
                shared.metrics.failed(failure);
            }
        }
        shared.suspect_the_deaf();
        shared.missed(shared.unreadable.swap(0, Ordering::AcqRel), Reason::Unreadable);
        beat = beat.wrapping_add(1);
        if beat.is_multiple_of(DEAF) {
            // What is said there now isn't heard; it is found in the log meanwhile.
            shared.missed(!shared.incoming.subscribed().0, Reason::Deaf);
        }
        let (subscribed, _) = shared.incoming.subscribed();
        shared.metrics.lanes.set(i64::from(subscribed.count_ones()));
        let silence = {
            let mut senders = shared.senders.lock().unwrap_or_else(PoisonError::into_inner);
            let silence = senders.look(now, subscribed);
            shared.metrics.nodes.set(senders.count() as i64);
            silence
        };
        shared.missed(silence.missed, Reason::Silent);
        if silence.split {
            shared.topology.doubt();
        }
    }
}
