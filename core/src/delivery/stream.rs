//! One attached device: its queue, and how far along each of its conversations is.

use super::{outbox::Outbox, plan::Start};
use crate::domain::{Caller, ConversationId, Place, Seq};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;
use uuid::Uuid;

/// An attached device.
pub struct Stream {
    /// Tells streams of this node apart; in order of attaching.
    pub key: u64,
    /// Its name for clients.
    pub id: Uuid,
    /// Who is attached.
    pub caller: Caller,
    /// Whether it wants typing, presence and markers.
    pub ephemeral: bool,
    /// When the token expires, Unix milliseconds.
    pub expires: Option<i64>,
    /// What waits to go out.
    pub outbox: Outbox,
    desk: Mutex<Desk>,
}

/// A batch of cursors, answered by one CaughtUp frame.
pub type Batch = u32;

/// What is to be done for a stream, and by how many workers it is being done.
struct Desk {
    ties: BTreeMap<ConversationId, Tie>,
    todo: VecDeque<ConversationId>,
    /// Memberships are to be read; for the batch of attaching, or again.
    refresh: Option<Option<Batch>>,
    refreshed_at: Instant,
    workers: usize,
    batches: BTreeMap<Batch, Counts>,
    next_batch: Batch,
    announced: bool,
}

/// How a stream is tied to a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tie {
    /// Waits for a worker.
    Todo(Start, Option<Batch>),
    /// A worker is at it; and the user became a member meanwhile, so that finding them no member is out of date.
    Busy { again: bool },
    /// Gets live events from the hub.
    Live,
    /// The user left; this would have been next.
    Left(Seq),
    /// One conversation too many at attaching; only a cursor brings it in.
    Beyond,
}

#[derive(Default)]
struct Counts {
    open: usize,
    compared: u32,
}

/// What a worker is to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Work {
    /// Read the user's memberships.
    Refresh(Option<Batch>),
    /// Bring a conversation up to date.
    Conversation(ConversationId, Start, Option<Batch>),
}

/// More conversations than a stream may have.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

/// Where a worker left a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The hub has it.
    Live,
    /// The user left; this would have been next.
    Left(Seq),
    /// The user was never a member.
    Foreign,
}

impl Stream {
    /// A stream that is tied to nothing yet.
    pub fn new(
        key: u64,
        id: Uuid,
        caller: Caller,
        ephemeral: bool,
        expires: Option<i64>,
        outbox: Outbox,
        now: Instant,
    ) -> Self {
        let desk = Desk {
            ties: BTreeMap::new(),
            todo: VecDeque::new(),
            refresh: None,
            refreshed_at: now,
            workers: 0,
            batches: BTreeMap::new(),
            next_batch: 0,
            announced: false,
        };
        Self { key, id, caller, ephemeral, expires, outbox, desk: Mutex::new(desk) }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of one of its conversations.
    pub fn place(&self, conversation: ConversationId) -> Place {
        Place { tenant: self.caller.tenant.clone(), conversation }
    }

    /// Takes cursors as a batch; `attaching`: the memberships without one belong to it. Gives the number of compared
    /// conversations if nothing is left to do. Nothing is taken if the stream would have more than `limit` conversations.
    pub fn ask(
        &self,
        cursors: &[(ConversationId, Seq)],
        attaching: bool,
        limit: usize,
    ) -> Result<Option<u32>, TooMany> {
        let desk = &mut *self.desk();
        let news = cursors.iter().filter(|(conversation, _)| !desk.ties.contains_key(conversation)).count();
        if desk.ties.len() + news > limit {
            return Err(TooMany);
        }
        let batch = desk.next_batch;
        desk.next_batch += 1;
        let mut counts = Counts::default();
        for (conversation, seq) in cursors {
            let start = Start::Cursor(*seq);
            match desk.ties.get_mut(conversation) {
                None | Some(Tie::Beyond) => {
                    desk.ties.insert(*conversation, Tie::Todo(start, Some(batch)));
                    desk.todo.push_back(*conversation);
                    counts.open += 1;
                    continue;
                }
                Some(Tie::Todo(waiting @ (Start::NoCursor | Start::Added), _)) => *waiting = start,
                // The stream knows better than the client where it stands.
                Some(_) => {}
            }
            counts.compared += 1;
        }
        if attaching {
            counts.open += 1;
            desk.refresh = Some(Some(batch));
        }
        if counts.open == 0 {
            return Ok(Some(counts.compared));
        }
        desk.batches.insert(batch, counts);
        Ok(None)
    }

    /// Has the memberships read again.
    pub fn refresh(&self) {
        self.desk().refresh.get_or_insert(None);
    }

    /// Has the memberships read again if that was last done before `then`.
    pub fn refresh_if_before(&self, then: Instant) -> bool {
        let mut desk = self.desk();
        let due = desk.refreshed_at < then;
        if due {
            desk.refresh.get_or_insert(None);
        }
        due
    }

    /// The conversations of `found` that the stream is not tied to.
    pub fn unknown(&self, found: &[ConversationId]) -> (Vec<ConversationId>, usize) {
        let desk = self.desk();
        let unknown =
            found.iter().filter(|conversation| !desk.ties.contains_key(conversation)).copied().collect();
        (unknown, desk.ties.len())
    }

    /// The memberships were read: `take` are to be brought in, `beyond` are too many, and those among `found` that the
    /// user had left are looked at again.
    pub fn refreshed(
        &self,
        found: &[ConversationId],
        take: &[ConversationId],
        beyond: &[ConversationId],
        batch: Option<Batch>,
        now: Instant,
    ) {
        let desk = &mut *self.desk();
        desk.refreshed_at = now;
        for conversation in found {
            if let Some(Tie::Left(next)) = desk.ties.get(conversation) {
                let start = Start::Carried(next - 1);
                desk.ties.insert(*conversation, Tie::Todo(start, None));
                desk.todo.push_back(*conversation);
            }
        }
        let start = if batch.is_some() { Start::NoCursor } else { Start::Added };
        for conversation in take {
            if !desk.ties.contains_key(conversation) {
                desk.ties.insert(*conversation, Tie::Todo(start, batch));
                desk.todo.push_back(*conversation);
                if let Some(counts) = batch.and_then(|batch| desk.batches.get_mut(&batch)) {
                    counts.open += 1;
                }
            }
        }
        for conversation in beyond {
            desk.ties.entry(*conversation).or_insert(Tie::Beyond);
        }
    }

    /// The user became a member while attached.
    pub fn added(&self, conversation: ConversationId) {
        let desk = &mut *self.desk();
        let start = match desk.ties.get_mut(&conversation) {
            Some(Tie::Busy { again }) => {
                *again = true;
                return;
            }
            Some(Tie::Left(next)) => Start::Carried(*next - 1),
            Some(_) => return,
            None => Start::Added,
        };
        desk.ties.insert(conversation, Tie::Todo(start, None));
        desk.todo.push_back(conversation);
    }

    /// The queue had no room for an event of a live conversation: what follows `carried` must come from the log.
    pub fn overflowed(&self, conversation: ConversationId, carried: Seq) {
        let desk = &mut *self.desk();
        if let Some(tie) = desk.ties.get_mut(&conversation) {
            *tie = Tie::Todo(Start::Carried(carried), None);
            desk.todo.push_back(conversation);
        }
    }

    /// The user's leaving went out with the live events.
    pub fn left(&self, conversation: ConversationId, next: Seq) {
        if let Some(tie) = self.desk().ties.get_mut(&conversation)
            && *tie == Tie::Live
        {
            *tie = Tie::Left(next);
        }
    }

    /// Counts a worker in if there is work for one more, of at most `most`.
    pub fn hire(&self, most: usize) -> bool {
        let mut desk = self.desk();
        let work = desk.todo.len() + usize::from(desk.refresh.is_some());
        let hire = desk.workers < work.min(most);
        desk.workers += usize::from(hire);
        hire
    }

    /// What a worker does next; with nothing to do it is counted out.
    pub fn take(&self) -> Option<Work> {
        let mut desk = self.desk();
        if let Some(batch) = desk.refresh.take() {
            return Some(Work::Refresh(batch));
        }
        while let Some(conversation) = desk.todo.pop_front() {
            if let Some(tie) = desk.ties.get_mut(&conversation)
                && let Tie::Todo(start, batch) = *tie
            {
                *tie = Tie::Busy { again: false };
                return Some(Work::Conversation(conversation, start, batch));
            }
        }
        desk.workers -= 1;
        None
    }

    /// A worker is through with a conversation. `false`: it must look again. To be called under the hub's lock, so that
    /// nothing happens in between.
    pub fn settle(&self, conversation: ConversationId, outcome: Outcome) -> bool {
        let mut desk = self.desk();
        let Some(tie) = desk.ties.get_mut(&conversation) else { return true };
        match outcome {
            Outcome::Live => *tie = Tie::Live,
            _ if *tie == (Tie::Busy { again: true }) => {
                *tie = Tie::Busy { again: false };
                return false;
            }
            Outcome::Left(next) => *tie = Tie::Left(next),
            Outcome::Foreign => drop(desk.ties.remove(&conversation)),
        }
        true
    }

    /// One thing of a batch is done. Gives the number of compared conversations when it was the last.
    pub fn done(&self, batch: Option<Batch>, compared: bool) -> Option<u32> {
        let batch = batch?;
        let mut desk = self.desk();
        let counts = desk.batches.get_mut(&batch)?;
        counts.open -= 1;
        counts.compared += u32::from(compared);
        if counts.open > 0 {
            return None;
        }
        desk.batches.remove(&batch).map(|counts| counts.compared)
    }

    /// Conversations of which it gets live events, at most so many.
    pub fn live(&self, most: usize) -> Vec<ConversationId> {
        let desk = self.desk();
        let live = desk.ties.iter().filter(|(_, tie)| **tie == Tie::Live);
        live.map(|(conversation, _)| *conversation).take(most).collect()
    }

    /// Does something the first time that this is called. `false` every other time.
    pub fn announce(&self, first: impl FnOnce()) -> bool {
        let mut desk = self.desk();
        let is_first = !std::mem::replace(&mut desk.announced, true);
        if is_first {
            first();
        }
        is_first
    }

    /// Unties it from everything; gives what it was tied to.
    pub fn untie(&self) -> Vec<ConversationId> {
        let desk = &mut *self.desk();
        desk.todo.clear();
        desk.refresh = None;
        std::mem::take(&mut desk.ties).into_keys().collect()
    }
}
