//! The one thread that writes. Whatever was queued while the previous group was being fsynced is the next group.

use super::{
    Options,
    files::Directory,
    group::{Group, Operation},
    heads::Heads,
    journal::Mark,
    metrics::Metrics,
    tables::Tables,
};
use crate::store::{Outcome, StoreError, Sync};
use std::{
    sync::{Arc, OnceLock},
    thread::JoinHandle,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, timeout_at},
};

/// What readers and the writer share.
pub struct Shared {
    /// The tables; before `directory`, because the lock is the last to be given up.
    pub tables: Tables,
    /// The locked directory.
    pub directory: Directory,
    /// The metrics.
    pub metrics: Metrics,
    /// The limits.
    pub options: Options,
    /// Why nothing is written any more.
    pub failed: OnceLock<String>,
}

impl Shared {
    /// Refuses everything after a failed write: what the disk holds is only known again after a restart.
    pub fn check(&self) -> Result<(), StoreError> {
        match self.failed.get() {
            Some(why) => Err(StoreError::Unavailable(format!("{why}; restart the node to recover"))),
            None => Ok(()),
        }
    }

    fn fail(&self, why: String) {
        tracing::error!(why, "the store failed; it writes nothing more until a restart");
        self.metrics.failed.set(1);
        self.failed.get_or_init(|| why);
    }
}

type Answer = Result<Outcome, StoreError>;

struct Job {
    operation: Operation,
    answer: oneshot::Sender<Answer>,
    bytes: OwnedSemaphorePermit,
}

/// The way to the writer.
pub struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    bytes: Arc<Semaphore>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. `last` is the number of the last group, which is on disk.
    pub fn start(shared: Arc<Shared>, last: u64) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(shared.options.queue_operations);
        let bytes = Arc::new(Semaphore::new(shared.options.queue_bytes));
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new().name("nexus-store".into()).spawn(move || {
            // Whatever way it ends while somebody still asks, nothing can be written any more.
            let ended = Ended(of_thread);
            run(&ended.0, Mark { number: last, synced: last }, queue);
        })?;
        Ok(Self { jobs: Some(jobs), bytes, shared, thread: Some(thread) })
    }

    /// Does an operation.
    pub async fn submit(&self, operation: Operation) -> Answer {
        self.shared.check()?;
        let options = &self.shared.options;
        let deadline = Instant::now() + options.deadline();
        let size = operation.size();
        if size > options.queue_bytes {
            let most = options.queue_bytes;
            return Err(refused(format!("an operation of {size} bytes; queue_bytes allows {most}")));
        }
        let enqueue = async {
            // Neither is ever closed while this lives, but for a writer that died.
            let bytes = self.bytes.clone().acquire_many_owned(size as u32).await.ok()?;
            let slot = self.jobs.as_ref()?.reserve().await.ok()?;
            let (answer, answered) = oneshot::channel();
            self.shared.metrics.queue_operations.inc();
            self.shared.metrics.queue_bytes.add(size as i64);
            slot.send(Job { operation, answer, bytes });
            Some(answered)
        };
        let answered = match timeout_at(deadline, enqueue).await {
            Ok(Some(answered)) => answered,
            Ok(None) => return Err(refused("its writer has ended".into())),
            Err(_) => return Err(refused(format!("its queue was full for {} ms", options.deadline_ms))),
        };
        match timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::Unknown("its writer ended meanwhile".into())),
            Err(_) => Err(StoreError::Unknown(format!("no answer within {} ms", options.deadline_ms))),
        }
    }
}

impl Drop for Writer {
    /// Waits for the thread, so that what is queued is written and the directory can be opened again.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was told by `Ended`.
            drop(thread.join());
        }
    }
}

struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("the writer panicked".into());
        }
    }
}

fn run(shared: &Shared, mut last: Mark, mut queue: mpsc::Receiver<Job>) {
    let options = &shared.options;
    let mut heads = Heads::default();
    while let Some(first) = queue.blocking_recv() {
        let mut bytes = first.bytes.num_permits();
        let mut jobs = vec![first];
        while jobs.len() < options.group_operations && bytes < options.group_bytes {
            let Ok(job) = queue.try_recv() else { break };
            bytes += job.bytes.num_permits();
            jobs.push(job);
        }
        shared.metrics.queue_operations.sub(jobs.len() as i64);
        shared.metrics.queue_bytes.sub(bytes as i64);
        write(shared, &mut last, &mut heads, jobs);
    }
    // A last mark, behind which there is nothing: whatever is damaged from now on is known to have been whole.
    if last.number > 0 && shared.check().is_ok() {
        let end = Group::new(&shared.tables, &mut heads, Sync::Now);
        drop(persist(shared, &mut last, end, 0));
    }
}

/// Decides and writes a group, and then answers all of it: a refusal too may rest on what only this group holds.
fn write(shared: &Shared, last: &mut Mark, heads: &mut Heads, jobs: Vec<Job>) {
    let mut group = Group::new(&shared.tables, heads, Sync::Later);
    let free = free(shared);
    let above = |least| free.clone().and_then(|free| above(shared, free, least)).err();
    let (full, narrow) = (above(shared.options.min_free_bytes), above(shared.options.min_free_bytes / 4));
    let mut answers = Vec::with_capacity(jobs.len());
    // Whoever has stopped waiting was told that the outcome is unknown: never doing it is one of them.
    for job in jobs.into_iter().filter(|job| !job.answer.is_closed()) {
        // Views are stored before they are read: there is room for what they lack of a log that can't grow.
        let full = if job.operation.is_view() { &narrow } else { &full };
        let answer = match (&job.operation, shared.check(), full) {
            (_, Err(failed), _) => Err(failed),
            (Operation::Settle, ..) | (_, _, None) => group.add(job.operation),
            (_, _, Some(full)) => Err(full.clone()),
        };
        answers.push((job.answer, answer, job.bytes));
    }
    let persisted = if group.is_empty() { Ok(()) } else { persist(shared, last, group, answers.len()) };
    for (to, answer, _bytes) in answers {
        let answer = match (&answer, &persisted) {
            (Ok(_), Err(error)) => Err(error.clone()),
            _ => answer,
        };
        // Nobody there any more: they were told that the outcome is unknown.
        drop(to.send(answer));
    }
}

fn persist(shared: &Shared, last: &mut Mark, group: Group<'_>, operations: usize) -> Result<(), StoreError> {
    let sync = group.sync();
    let mark = Mark { number: last.number + 1, synced: last.synced };
    let metrics = &shared.metrics;
    metrics.groups.inc();
    metrics.group_operations.observe(operations as f64);
    let start = Instant::now();
    let done = group.into_batch(&shared.directory.identity(), mark).commit();
    let synced = if sync == Sync::Now { "true" } else { "false" };
    metrics.commit_seconds.with_label_values(&[synced]).observe(start.elapsed().as_secs_f64());
    match done {
        Ok(()) => {
            last.number = mark.number;
            if sync == Sync::Now {
                last.synced = mark.number;
            }
            Ok(())
        }
        // fjall looks for this before it writes the first byte: a failure of its own threads.
        Err(fjall::Error::Poisoned) => {
            shared.fail("the database failed in the background".into());
            shared.check()
        }
        // Part or all of it may be in the journal, or get there when the file is closed.
        Err(error) => {
            shared.fail(format!("writing to the journal failed: {error}"));
            Err(StoreError::Unknown(format!("writing to the journal failed: {error}")))
        }
    }
}

/// Refuses while the disk is almost full, because a write that fails half-way stops the store.
pub fn room(shared: &Shared) -> Result<(), StoreError> {
    above(shared, free(shared)?, shared.options.min_free_bytes)
}

fn free(shared: &Shared) -> Result<u64, StoreError> {
    let told = shared.directory.free_bytes();
    let free = told.map_err(|error| refused(format!("can't tell how full the disk is: {error}")))?;
    shared.metrics.free_bytes.set(free.min(i64::MAX as u64) as i64);
    Ok(free)
}

fn above(shared: &Shared, free: u64, least: u64) -> Result<(), StoreError> {
    if free >= least {
        return Ok(());
    }
    let set = shared.options.min_free_bytes;
    Err(refused(format!(
        "disk almost full: {free} bytes are free, and core.store.min_free_bytes is {set}; free some"
    )))
}

fn refused(why: String) -> StoreError {
    StoreError::Unavailable(why)
}
