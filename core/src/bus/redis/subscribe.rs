//! The way in: for each master an ear, a task with a connection that is subscribed to that master's lanes.
//!
//! Redis drops subscriptions in more ways than it tells of, so an ear subscribes again whenever there is a doubt: after
//! a disconnection, after an SUNSUBSCRIBE that nobody asked for, when a hint had no receivers, when publishing to that
//! master failed, and when this node's own heartbeats don't come back. It is told that a lane was missed *after* the
//! confirmation, so what was published meanwhile is covered, however it got lost.

use super::{Shared, metrics::Reason, publish::moved, topology::Address};
use crate::domain::hash::LANES;
use ::redis::{PushInfo, PushKind, Value, cmd};
use futures_util::future::join_all;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

/// How soon a lane is subscribed again that was subscribed just now.
const AGAIN: Duration = Duration::from_millis(250);
/// Own heartbeats that Redis took and that were not heard, after which a lane is taken to be deaf.
const DEAF: u32 = 3;

/// The ears by master, and what is known of each lane.
pub struct Incoming {
    ears: Mutex<BTreeMap<Address, Arc<Ear>>>,
    lanes: Mutex<Vec<Lane>>,
    lines: AtomicU64,
}

/// What listens at a master.
struct Ear {
    at: Address,
    /// Lanes whose subscription is in doubt, a bit for each.
    suspects: AtomicU64,
    wake: Notify,
}

/// A connection of an ear.
struct Line {
    key: u64,
    ear: Arc<Ear>,
    confirmed: AtomicU64,
    dropped: AtomicU64,
    gone: AtomicBool,
}

#[derive(Clone)]
struct Lane {
    /// The connection on which it is subscribed.
    line: Option<u64>,
    /// Since when it is subscribed, or not.
    since: Instant,
    /// Own heartbeats that Redis took since one was heard.
    unheard: u32,
}

impl Incoming {
    /// Nothing is subscribed.
    pub fn new() -> Self {
        let lane = Lane { line: None, since: Instant::now(), unheard: 0 };
        Self {
            ears: Mutex::default(),
            lanes: Mutex::new(vec![lane; usize::from(LANES)]),
            lines: AtomicU64::new(0),
        }
    }

    fn ears(&self) -> MutexGuard<'_, BTreeMap<Address, Arc<Ear>>> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lanes(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lanes that are subscribed, a bit for each; and since when the one is not that has not been the longest.
    pub fn subscribed(&self) -> (u64, Option<Instant>) {
        let lanes = self.lanes();
        let bits = lanes.iter().enumerate().filter(|(_, lane)| lane.line.is_some());
        let bits = bits.fold(0, |bits, (lane, _)| bits | 1 << lane);
        (bits, lanes.iter().filter(|lane| lane.line.is_none()).map(|lane| lane.since).min())
    }

    /// Whether a lane is subscribed.
    pub fn hears(&self, lane: u16) -> bool {
        self.lanes().get(usize::from(lane)).is_some_and(|lane| lane.line.is_some())
    }

    fn gain(&self, lane: u16, line: u64) {
        self.lanes()[usize::from(lane)] = Lane { line: Some(line), since: Instant::now(), unheard: 0 };
    }

    /// Lanes are no longer subscribed on a connection. Those that meanwhile are on another stay so.
    fn lose(&self, which: u64, line: u64) {
        for (lane, state) in self.lanes().iter_mut().enumerate() {
            if which & 1 << lane != 0 && state.line == Some(line) {
                *state = Lane { line: None, since: Instant::now(), unheard: 0 };
            }
        }
    }
}

impl Shared {
    /// Something shows that subscriptions may be lost: of these lanes, at this master or wherever they are.
    pub(super) fn suspect(&self, lanes: u64, at: Option<&Address>) {
        for ear in self.incoming.ears().values() {
            let mine = self.topology.lanes_of(&ear.at) & lanes;
            if mine != 0 && at.is_none_or(|at| *at == ear.at) {
                ear.suspects.fetch_or(mine, Ordering::AcqRel);
                ear.wake.notify_one();
            }
        }
    }

    /// Redis took a heartbeat of this node.
    pub(super) fn beat_taken(&self, lane: u16) {
        self.incoming.lanes()[usize::from(lane)].unheard += 1;
    }

    /// A frame of this node's own came back: the lane's subscription is alive.
    pub(super) fn beat_heard(&self, lane: u16) {
        self.incoming.lanes()[usize::from(lane)].unheard = 0;
    }

    /// Suspects the lanes on which this node doesn't hear itself.
    pub(super) fn suspect_the_deaf(&self) {
        let mut deaf = 0;
        for (lane, state) in self.incoming.lanes().iter_mut().enumerate() {
            if state.unheard >= DEAF {
                state.unheard = 0;
                deaf |= 1 << lane;
            }
        }
        if deaf != 0 {
            self.topology.doubt();
            self.suspect(deaf, None);
        }
    }

    /// What Redis said unasked, on a connection of an ear. Called by the task that reads it, so there is no queue
    /// between the socket and the listeners' own, which are bounded.
    fn pushed(&self, line: &Line, push: PushInfo) {
        let channel = match push.data.first() {
            Some(Value::BulkString(channel)) => self.lane_of_channel(channel),
            _ => None,
        };
        match (push.kind, channel) {
            (PushKind::SMessage, Some(lane)) => {
                if let Some(Value::BulkString(frame)) = push.data.into_iter().nth(1) {
                    self.frame(lane, frame.into());
                }
            }
            (PushKind::SSubscribe, Some(lane)) => {
                line.confirmed.fetch_or(1 << lane, Ordering::AcqRel);
                self.incoming.gain(lane, line.key);
                self.metrics.subscriptions.inc();
                self.missed(1 << lane, Reason::Subscribed);
            }
            (PushKind::SUnsubscribe, Some(lane)) => {
                self.incoming.lose(1 << lane, line.key);
                if line.dropped.fetch_and(!(1 << lane), Ordering::AcqRel) & 1 << lane == 0 {
                    line.ear.suspects.fetch_or(1 << lane, Ordering::AcqRel);
                    line.ear.wake.notify_one();
                    self.topology.doubt();
                }
            }
            (PushKind::Disconnection, _) => {
                line.gone.store(true, Ordering::Release);
                self.incoming.lose(u64::MAX, line.key);
                line.ear.wake.notify_one();
                self.topology.doubt();
            }
            _ => {}
        }
    }
}

/// Sees that every master has an ear, until the bus ends.
pub async fn listen(shared: Arc<Shared>) {
    let mut changes = shared.topology.changes();
    loop {
        let masters: Vec<Address> = changes.borrow_and_update().iter().flatten().cloned().collect();
        {
            let mut ears = shared.incoming.ears();
            for at in masters {
                ears.entry(at).or_insert_with_key(|at| {
                    let ear = Ear { at: at.clone(), suspects: AtomicU64::new(0), wake: Notify::new() };
                    let ear = Arc::new(ear);
                    shared.spawn(hear(shared.clone(), ear.clone()));
                    ear
                });
            }
            ears.values().for_each(|ear| ear.wake.notify_one());
        }
        shared.forget_masters();
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Listens at a master as long as it has lanes.
async fn hear(shared: Arc<Shared>, ear: Arc<Ear>) {
    let mut pause = shared.backoff();
    loop {
        {
            let mut ears = shared.incoming.ears();
            if shared.topology.lanes_of(&ear.at) == 0 {
                ears.remove(&ear.at);
                return;
            }
        }
        let begun = Instant::now();
        let line = Arc::new(Line {
            key: shared.incoming.lines.fetch_add(1, Ordering::Relaxed),
            ear: ear.clone(),
            confirmed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            gone: AtomicBool::new(false),
        });
        let ended = hear_on(&shared, &line).await;
        shared.incoming.lose(u64::MAX, line.key);
        if let Err(why) = ended {
            shared.trouble(format!("listening at {}: {why}", ear.at));
            shared.topology.doubt();
            if begun.elapsed() > 10 * AGAIN {
                pause.reset();
            }
            sleep(shared.jitter(pause.next())).await;
        }
    }
}

/// Listens on one connection. Ends well when the master has no lanes any more.
async fn hear_on(shared: &Arc<Shared>, line: &Arc<Line>) -> Result<(), String> {
    let push: Box<dyn Fn(PushInfo) + Send + Sync> = {
        let (shared, line) = (shared.clone(), line.clone());
        Box::new(move |push| shared.pushed(&line, push))
    };
    let link = shared.login.open(&line.ear.at, Some(push)).await.map_err(|error| error.to_string())?;
    let mut asked = 0;
    loop {
        let mine = shared.topology.lanes_of(&line.ear.at);
        if mine == 0 {
            return Ok(());
        }
        if line.gone.load(Ordering::Acquire) {
            return Err("the connection broke".into());
        }
        for lane in bits(asked & !mine) {
            line.dropped.fetch_or(1 << lane, Ordering::AcqRel);
            let command = cmd("SUNSUBSCRIBE").arg(&shared.channels[usize::from(lane)]).clone();
            let mut link = link.clone();
            // If it fails there is one more lane that is heard twice for a while.
            let _ = timeout(shared.options.response(), link.send_packed_command(&command)).await;
        }
        asked &= mine;
        let doubted = line.ear.suspects.swap(0, Ordering::AcqRel) & asked;
        let wanted = mine & !asked | doubted;
        if wanted != 0 {
            asked = asked & !wanted | subscribe(shared, line, &link, wanted).await?;
            sleep(shared.jitter(AGAIN)).await;
            continue;
        }
        line.ear.wake.notified().await;
    }
}

/// Subscribes lanes, again or for the first time. Gives those that are; the others have moved.
async fn subscribe(
    shared: &Shared,
    line: &Line,
    link: &super::link::Link,
    wanted: u64,
) -> Result<u64, String> {
    line.confirmed.fetch_and(!wanted, Ordering::AcqRel);
    line.dropped.fetch_and(!wanted, Ordering::AcqRel);
    let asked = bits(wanted).map(|lane| {
        let command = cmd("SSUBSCRIBE").arg(&shared.channels[usize::from(lane)]).clone();
        let mut link = link.clone();
        async move { (lane, link.send_packed_command(&command).await.and_then(Value::extract_error)) }
    });
    let response = shared.options.response();
    let answers =
        timeout(response, join_all(asked)).await.map_err(|_| format!("no answer within {response:?}"))?;
    let mut left = wanted;
    for (lane, answer) in answers {
        // The confirmations themselves come as pushes; an answer is only looked at if it is none.
        let Err(error) = answer else { continue };
        match moved(&error).filter(|to| *to != line.ear.at) {
            Some(to) => {
                shared.topology.moved(lane, to);
                left &= !(1 << lane);
            }
            None => return Err(error.to_string()),
        }
    }
    let confirmed = line.confirmed.load(Ordering::Acquire);
    if left & !confirmed != 0 {
        return Err(format!("{} lanes were not confirmed", (left & !confirmed).count_ones()));
    }
    Ok(left)
}

fn bits(lanes: u64) -> impl Iterator<Item = u16> {
    (0..LANES).filter(move |lane| lanes & 1 << lane != 0)
}
