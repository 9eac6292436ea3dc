//! Appending to one conversation: a queue, one batch in flight, and what is sent meanwhile is the next batch.

use super::{
    Shared,
    batch::{Answer, Pending, Plan, ahead, answer, answer_first},
    command::{Command, CommandError, Receipt, Refusal},
    directory,
    fold::Rows,
    list, received,
    request::Request,
    rows::Key,
    tenancy,
    views::Views,
};
use crate::{
    bus::Hint,
    domain::{ClientId, Event, Place, Seq, User, event::encode_body},
    log::{Appended, Entry, Found, Log, Tail},
    store::{Dedupe, StoreError},
};
use futures_util::future::join_all;
use nexus_proto::v1::event::Body;
use std::{
    collections::{HashMap, VecDeque},
    iter,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{RwLock, oneshot};

/// Rounds after which a batch that others keep overtaking is given back to its senders.
const ROUNDS: usize = 16;
/// Ids that are remembered, so that a quick retry is answered from memory.
const REMEMBERED: usize = 1024;

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Pending>,
    driven: bool,
}

/// A conversation on this node.
pub(super) struct Conversation {
    pub(super) log: Log,
    pub(super) place: Place,
    pub(super) shared: Arc<Shared>,
    queue: Mutex<Queue>,
    pub(super) turn: tokio::sync::Mutex<Turn>,
    pub(super) views: RwLock<Option<Views>>,
    used: AtomicBool,
}

/// What only the one who appends needs.
#[derive(Default)]
pub(super) struct Turn {
    pub tail: Option<Tail>,
    /// The last event that was acknowledged here.
    pub acknowledged: Seq,
    pub noted: i64,
    remembered: HashMap<ClientId, (User, Dedupe)>,
    order: VecDeque<ClientId>,
}

impl Turn {
    fn remember(&mut self, sender: &User, id: ClientId, dedupe: Dedupe) {
        if self.remembered.insert(id, (sender.clone(), dedupe)).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.remembered.remove(&oldest);
        }
    }
}

impl Conversation {
    pub(super) fn new(shared: Arc<Shared>, place: Place) -> Self {
        Self {
            log: shared.log(&place),
            place,
            shared,
            queue: Mutex::default(),
            turn: Default::default(),
            views: RwLock::new(None),
            used: AtomicBool::new(true),
        }
    }

    /// Notes that somebody asked for this conversation.
    pub(super) fn touch(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    /// Whether nobody asked for it since this was called before.
    pub(super) fn rested(&self) -> bool {
        !self.used.swap(false, Ordering::Relaxed)
    }

    /// Queues a command and waits for its receipt. What is queued is done even if the caller goes away.
    pub(super) async fn submit(self: &Arc<Self>, request: Request) -> Answer {
        let (answer, answered) = oneshot::channel();
        let digest = request.digest();
        {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.waiting.len() >= self.shared.settings.queue {
                self.shared.metrics.queue_full.inc();
                return Err(CommandError::Unknown("the conversation's queue is full".into()));
            }
            queue.waiting.push_back(Pending { request, digest, answer });
            if !queue.driven {
                queue.driven = true;
                // Boxed, since a spawned future is moved, and this one is large.
                tokio::spawn(Box::pin(Self::drive(self.clone())));
            }
        }
        match tokio::time::timeout(self.shared.settings.deadline, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(CommandError::Unknown("the append was broken off".into())),
            Err(_) => Err(CommandError::Unknown("the append took too long".into())),
        }
    }

    async fn drive(self: Arc<Self>) {
        let guard = Driven(&self);
        let mut turn = self.turn.lock().await;
        while let Some(batch) = self.next_batch() {
            self.process(&mut turn, batch).await;
        }
        drop(turn);
        std::mem::forget(guard);
    }

    /// What waits, up to a batch; `None` ends the driving, under the same lock under which it is begun.
    fn next_batch(&self) -> Option<Vec<Pending>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.waiting.len().min(self.shared.settings.batch);
        queue.driven = count > 0;
        (count > 0).then(|| queue.waiting.drain(..count).collect())
    }

    async fn process(&self, turn: &mut Turn, mut batch: Vec<Pending>) {
        for _ in 0..ROUNDS {
            match self.round(turn, &mut batch).await {
                Ok(()) if batch.is_empty() => return,
                Ok(()) => self.shared.metrics.append_retries.inc(),
                Err(error) => {
                    turn.tail = None;
                    let error = CommandError::Unknown(error.to_string());
                    tracing::warn!(conversation = %self.place.conversation, %error, "append failed");
                    batch.into_iter().for_each(|p| answer(p, Err(error.clone())));
                    return;
                }
            }
        }
        batch.into_iter().for_each(|p| answer(p, Err(CommandError::Unknown("others append faster".into()))));
    }

    /// One batch: what is settled is answered and leaves it, what isn't stays in it.
    async fn round(&self, turn: &mut Turn, batch: &mut Vec<Pending>) -> Result<(), StoreError> {
        let tail = match turn.tail {
            Some(tail) => tail,
            None => self.log.tail().await?,
        };
        let (tail, room) = self.log.make_room(tail).await?;
        turn.tail = Some(tail);
        turn.acknowledged = self.watch_end(turn.acknowledged, &tail);
        self.answer_known(turn, &tail, batch).await?;
        if batch.is_empty() {
            return Ok(());
        }
        let keys: Vec<Key> = batch.iter().flat_map(|pending| pending.request.touched()).collect();
        let mut rows = {
            let mut views = self.views.write().await;
            let views = self.loaded(&mut views).await?;
            if views.folded() > tail.last_seq() {
                // Somebody else appended, and a reader has folded it already.
                turn.tail = Some(self.log.tail().await?);
                return Ok(());
            }
            views.catch_up(&self.log, tail.last_seq(), tail.floor().seq).await?;
            views.know(&keys).await?;
            views.rows().copy_of(&keys)
        };
        let plan = self.plan(&tail, room, &mut rows, batch);
        if plan.entries.is_empty() {
            // No append's condition will find out that others went on, and what isn't allowed here may be allowed there.
            let now = self.log.tail().await?;
            if (now.first, now.last_seq()) != (tail.first, tail.last_seq()) {
                turn.tail = Some(now);
                return Ok(());
            }
            return self.refuse(&tail, batch, plan.refused).await;
        }
        if !plan.joining.is_empty() {
            list::point(&*self.shared.store, &self.place, plan.joining.clone(), tail.last_seq() + 1).await?;
        }
        if tail.latest().is_none() {
            tenancy::enter(&*self.shared.store, &self.place).await?;
        }
        directory::point(&*self.shared.store, &self.place, &plan.changes).await?;
        received::point(&*self.shared.store, &self.place, &plan.changes).await?;
        let timer = self.shared.metrics.append_seconds.start_timer();
        let moment = self.shared.cache.begin(&self.place);
        let appended = self.log.append(tail, &plan.entries, &mut turn.noted).await?;
        timer.observe_duration();
        match appended {
            Appended::Done(after) => {
                turn.tail = Some(after);
                self.shared.metrics.events.inc_by(plan.entries.len() as u64);
                self.shared.metrics.appends.inc();
                let last = after.last_seq();
                turn.acknowledged = last;
                let told = plan.hints(&self.place);
                let events: Arc<[Event]> = plan.entries.iter().map(|entry| entry.event.clone()).collect();
                if let Some((bucket, statics)) = after.latest_of() {
                    // Before anybody hears of it: who was told that it is there finds it.
                    self.shared.cache.appended(&self.place, moment, (&statics).into(), bucket, &events);
                }
                self.take(rows, plan.changes, tail.last_seq(), last).await;
                self.publish(events, told).await;
                let mut seqs = plan.seqs;
                let mut rest = Vec::new();
                let mut refused = Vec::new();
                for (index, pending) in std::mem::take(batch).into_iter().enumerate() {
                    if let Some(dedupe) = seqs.remove(&index) {
                        if let Some(id) = pending.request.command.id {
                            turn.remember(&pending.request.command.sender, id, dedupe);
                        }
                        answer(pending, Ok(Receipt { seq: dedupe.seq, time_ms: dedupe.time_ms }));
                    } else if let Some(refusal) = plan.refused.get(&index) {
                        refused.push((pending, refusal.clone()));
                    } else {
                        rest.push(pending);
                    }
                }
                *batch = rest;
                for (pending, refusal) in refused {
                    self.refuse_one(&tail, pending, refusal).await?;
                }
                // Nobody waits for it but who comes next.
                self.flush_much().await;
                Ok(())
            }
            Appended::Again(now, found) => {
                self.shared.metrics.append_refused.inc();
                turn.tail = Some(now);
                if let Some((bucket, statics)) = now.latest_of() {
                    self.shared.cache.found(&self.place, moment, (&statics).into(), bucket);
                }
                self.publish_after_all(&tail, now.last_seq(), plan.hints(&self.place)).await;
                for (entry, dedupe) in plan.entries.iter().zip(found) {
                    if let (Some(id), Some(dedupe)) = (entry.event.id, dedupe) {
                        self.watch_retry(&entry.event.sender, id, &dedupe).await;
                        turn.remember(&entry.event.sender, id, dedupe);
                    }
                }
                Ok(())
            }
        }
    }

    /// Answers what is known to be in the log already, and what is too old to tell.
    async fn answer_known(
        &self,
        turn: &mut Turn,
        tail: &Tail,
        batch: &mut Vec<Pending>,
    ) -> Result<(), StoreError> {
        for pending in std::mem::take(batch) {
            let Some(id) = pending.request.command.id else {
                batch.push(pending);
                continue;
            };
            let sender = &pending.request.command.sender;
            let known = turn.remembered.get(&id).filter(|(by, _)| by == sender).map(|(_, dedupe)| *dedupe);
            let found = match known {
                Some(dedupe) => Ok(Found::Event(dedupe)),
                None => self.log.find_closed(tail, sender, id).await,
            };
            match found {
                Ok(Found::Event(dedupe)) => {
                    if known.is_none() {
                        self.watch_retry(sender, id, &dedupe).await;
                    }
                    self.shared.cache.ends(&self.place, dedupe.seq);
                    answer_first(pending, dedupe);
                }
                // Said by the clock alone, which may have jumped since an attempt that is still under way.
                Ok(Found::Beyond) => match self.log.tail().await {
                    Ok(now) => {
                        self.refuse_one(&now, pending, Refusal::Beyond { horizon: self.horizon() }).await?;
                    }
                    Err(error) => {
                        batch.push(pending);
                        return Err(error);
                    }
                },
                Ok(Found::Nowhere) => batch.push(pending),
                Err(error) => {
                    batch.push(pending);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    pub(super) fn horizon(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.shared.settings.log.horizon.age_ms.unsigned_abs())
    }

    /// Decides the batch in order, folding as it goes.
    fn plan(&self, tail: &Tail, room: u64, rows: &mut Rows, batch: &[Pending]) -> Plan {
        let mut plan = Plan::default();
        let latest = tail.latest();
        let now = self.shared.clock.now_ms();
        let time_ms = now.max(latest.map_or(0, |statics| statics.last_at));
        let mut messages = latest.map_or(0, |statics| statics.messages);
        let mut bytes = 0;
        let mut firsts: HashMap<(User, ClientId), usize> = HashMap::new();
        for (index, pending) in batch.iter().enumerate() {
            let Command { sender, id, target, .. } = &pending.request.command;
            if plan.entries.len() as u64 >= room || bytes > self.shared.settings.batch_bytes {
                break;
            }
            if let Some(id) = id {
                // The same id twice in one batch would be appended twice: the second waits for what the first becomes.
                if firsts.contains_key(&(sender.clone(), *id)) {
                    continue;
                }
                if id.time_ms() > now + self.shared.settings.ahead_ms {
                    plan.refused.insert(index, ahead(now));
                    continue;
                }
            }
            let bodies = match pending.request.decide(&self.shared.settings.rules, rows, time_ms) {
                Ok(bodies) => bodies,
                Err(refusal) => {
                    plan.refused.insert(index, refusal);
                    continue;
                }
            };
            if plan.entries.len() + bodies.len() > room as usize && !plan.entries.is_empty() {
                // What belongs together comes into one bucket, which may become that much fuller; so it begins a batch.
                break;
            }
            for (nth, decided) in bodies.into_iter().enumerate() {
                messages += u64::from(matches!(decided, Body::MessageSent(_)));
                let (kind, encoded) = encode_body(&decided);
                let event = Event {
                    seq: tail.last_seq() + 1 + plan.entries.len() as Seq,
                    // A request's id stands for the first of its events.
                    id: id.filter(|_| nth == 0),
                    sender: sender.clone(),
                    kind,
                    time_ms,
                    target: *target,
                    messages,
                    erased: false,
                    body: encoded,
                };
                bytes += event.size();
                plan.note_members(&decided);
                plan.changes.extend(rows.fold(&event, &decided));
                if nth == 0 {
                    plan.seqs.insert(index, Dedupe { seq: event.seq, time_ms, digest: pending.digest });
                }
                plan.entries.push(Entry { event, digest: pending.digest, floor: None });
            }
            if let Some(id) = id {
                firsts.insert((sender.clone(), *id), index);
            }
        }
        plan
    }

    /// Answers refusals when nothing of the batch is appended; nothing else of it is decided then.
    async fn refuse(
        &self,
        tail: &Tail,
        batch: &mut Vec<Pending>,
        mut refused: HashMap<usize, Refusal>,
    ) -> Result<(), StoreError> {
        for (index, pending) in std::mem::take(batch).into_iter().enumerate() {
            match refused.remove(&index) {
                Some(refusal) => self.refuse_one(tail, pending, refusal).await?,
                None => batch.push(pending),
            }
        }
        Ok(())
    }

    /// A retry of what was appended once gets the first result, whatever would be decided about it now.
    async fn refuse_one(&self, tail: &Tail, pending: Pending, refusal: Refusal) -> Result<(), StoreError> {
        let first = match pending.request.command.id {
            Some(id) => self.log.find_open(tail, &pending.request.command.sender, id).await,
            None => Ok(None),
        };
        match first {
            Ok(Some(dedupe)) => {
                if let Some(id) = pending.request.command.id {
                    self.watch_retry(&pending.request.command.sender, id, &dedupe).await;
                }
                self.shared.cache.ends(&self.place, dedupe.seq);
                answer_first(pending, dedupe);
            }
            Ok(None) => answer(pending, Err(refusal.into())),
            Err(error) => {
                answer(pending, Err(CommandError::Unknown(error.to_string())));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Tells the bus what stands in the log where a batch was to stand, since it may be that batch, and then nobody else tells
    /// of it. It is read, since another node may have appended the same requests in its own words.
    pub(super) async fn publish_after_all(&self, tail: &Tail, last: Seq, told: Vec<Hint>) {
        if last <= tail.last_seq() {
            return;
        }
        match self.log.events_up(tail.last_seq() + 1, last, self.shared.settings.batch).await {
            Ok(events) if !events.is_empty() => self.publish(events.into(), told).await,
            // The check of lanes finds it.
            _ => self.shared.metrics.publish_failures.inc(),
        }
    }

    /// Tells the bus, before the senders hear of it, but never for long: the log has it.
    pub(super) async fn publish(&self, events: Arc<[Event]>, told: Vec<Hint>) {
        let appended = Hint::Appended { place: self.place.clone(), events };
        // All at once: one after the other, the last of many would be told when the time is over.
        let publish = join_all(iter::once(appended).chain(told).map(|hint| self.shared.bus.publish(hint)));
        let heard = tokio::time::timeout(self.shared.settings.publish, publish).await;
        if !heard.is_ok_and(|heard| heard.into_iter().all(|heard| heard)) {
            self.shared.metrics.publish_failures.inc();
        }
    }
}

/// Ends the driving if it is broken off, so that the next command starts it again.
struct Driven<'a>(&'a Conversation);

impl Drop for Driven<'_> {
    fn drop(&mut self) {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).driven = false;
    }
}
