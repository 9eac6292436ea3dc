//! The way out: a task, a connection and a bounded queue for each master, so that one that is dead or paused holds up
//! nobody but its own lanes. What waits goes out together, in one round trip, in the order of its numbers.

use super::{Shared, link::Link, metrics::Failure, topology::Address, wire::Draft};
use crate::domain::hash::LANES;
use ::redis::{RedisError, Value, pipe};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

/// Hints that go out together.
const BATCH: usize = 128;
/// How often a hint follows a lane that moved.
const MOVES: u8 = 2;

/// A frame on its way.
pub struct Job {
    lane: u16,
    frame: Bytes,
    begun: Instant,
    moves: u8,
    /// `None` for a heartbeat.
    answer: Option<oneshot::Sender<bool>>,
}

/// The queues by master, and the counters of lanes.
pub struct Outgoing {
    queues: Mutex<BTreeMap<Address, mpsc::Sender<Job>>>,
    /// The number of the last hint of each lane. Whoever numbers one holds the lock until it stands in the queue.
    counts: Vec<Mutex<u64>>,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self { queues: Mutex::default(), counts: (0..LANES).map(|_| Mutex::default()).collect() }
    }
}

impl Outgoing {
    fn queues(&self) -> MutexGuard<'_, BTreeMap<Address, mpsc::Sender<Job>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Numbers a frame and puts it into its queue. A number that gets no further is a gap to the others, who check.
    pub(super) fn send(
        self: &Arc<Self>,
        lane: u16,
        draft: Draft,
        numbered: bool,
        answer: Option<oneshot::Sender<bool>>,
    ) -> Result<(), Failure> {
        let count = &self.outgoing.counts[usize::from(lane % LANES)];
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        *count += u64::from(numbered);
        let job = Job { lane, frame: draft.finish(*count), begun: Instant::now(), moves: 0, answer };
        self.enqueue(job).map_err(|(failure, _)| failure)
    }

    fn enqueue(self: &Arc<Self>, job: Job) -> Result<(), (Failure, Job)> {
        let Some(owner) = self.topology.owner(job.lane) else { return Err((Failure::Unmapped, job)) };
        let mut queues = self.outgoing.queues();
        let queue = queues.entry(owner).or_insert_with_key(|owner| {
            let (queue, jobs) = mpsc::channel(self.options.queue);
            self.spawn(publish_to(self.clone(), owner.clone(), jobs));
            queue
        });
        queue.try_send(job).map_err(|error| (Failure::QueueFull, error.into_inner()))
    }

    /// Lets the tasks of masters go that have no lane any more.
    pub(super) fn forget_masters(&self) {
        self.outgoing.queues().retain(|address, _| self.topology.lanes_of(address) != 0);
    }

    fn failed(&self, job: Job, failure: Failure) {
        self.metrics.failed(failure);
        if let Some(answer) = job.answer {
            let _ = answer.send(false);
        }
    }
}

async fn publish_to(shared: Arc<Shared>, to: Address, mut jobs: mpsc::Receiver<Job>) {
    let mut link: Option<Link> = None;
    let mut pause = shared.backoff();
    let mut not_before = Instant::now();
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        let begun = Instant::now();
        let open = match link.take() {
            Some(link) => Ok(link),
            None if begun < not_before => Err(None),
            None => shared.login.open(&to, None).await.map_err(|error| Some(error.to_string())),
        };
        let sent = match open {
            Ok(open) => send_all(&shared, open, &batch).await.map_err(Some),
            Err(why) => Err(why),
        };
        match sent {
            Ok((open, answers)) => {
                link = Some(open);
                pause.reset();
                for (job, answer) in batch.drain(..).zip(answers) {
                    answered(&shared, &to, job, answer);
                }
            }
            Err(why) => {
                if let Some(why) = why {
                    shared.trouble(format!("publishing to {to}: {why}"));
                    shared.topology.doubt();
                    // Whatever ails this connection may ail the subscriptions at that master.
                    shared.suspect(u64::MAX, Some(&to));
                    not_before = Instant::now() + shared.jitter(pause.next());
                }
                batch.drain(..).for_each(|job| shared.failed(job, Failure::Unreachable));
            }
        }
    }
}

/// Sends all of them and awaits the answers, one for each.
async fn send_all(shared: &Shared, mut link: Link, batch: &[Job]) -> Result<(Link, Vec<Value>), String> {
    let mut commands = pipe();
    for job in batch {
        commands.cmd("SPUBLISH").arg(&shared.channels[usize::from(job.lane)]).arg(&job.frame[..]);
    }
    let response = shared.options.response();
    let sending = link.send_packed_commands(&commands, 0, batch.len());
    match timeout(response, sending).await {
        Ok(Ok(answers)) if answers.len() == batch.len() => Ok((link, answers)),
        Ok(Ok(answers)) => Err(format!("{} answers to {} hints", answers.len(), batch.len())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {response:?}")),
    }
}

fn answered(shared: &Arc<Shared>, by: &Address, mut job: Job, answer: Value) {
    match answer.extract_error() {
        Ok(Value::Int(receivers)) => {
            if job.answer.is_none() {
                shared.beat_taken(job.lane);
            }
            if receivers == 0 {
                // Not even this node: its own subscription is not where its hints go.
                shared.suspect(1 << job.lane, None);
                return shared.failed(job, Failure::Unheard);
            }
            shared.metrics.seconds.observe(job.begun.elapsed().as_secs_f64());
            if let Some(answer) = job.answer {
                let _ = answer.send(true);
            }
        }
        Ok(_) => shared.failed(job, Failure::Refused),
        Err(error) => {
            shared.topology.doubt();
            match moved(&error).filter(|to| to != by) {
                Some(to) if job.moves < MOVES => {
                    job.moves += 1;
                    shared.topology.moved(job.lane, to);
                    if let Err((failure, job)) = shared.enqueue(job) {
                        shared.failed(job, failure);
                    }
                }
                _ => {
                    shared.trouble(format!("publishing to {by}: {error}"));
                    shared.failed(job, Failure::Refused);
                }
            }
        }
    }
}

/// Where a MOVED points to.
pub fn moved(error: &RedisError) -> Option<Address> {
    error.redirect_node().and_then(|(address, _)| Address::parse(address))
}
