//! Trimming a conversation. Each step can be the last one of a node, and whoever comes next goes on from there:
//!
//! 1. The last bucket is closed, if it is to go too.
//! 2. It is noted that the conversation is being trimmed, so that what is left below is found by whoever looks.
//! 3. The event that says where the log begins is appended to the next one, and with it, in the same batch, the floor is
//!    stored. From here on nobody is told of what lies below, and an id that may have been there is too old to tell.
//! 4. Later: the views are stored up to the floor at least, since members and pins can't be folded anew from what is left.
//! 5. What is stored of messages below the floor is deleted, then the buckets, then the note.

use super::{
    batch::{Answer, ahead, first_result},
    command::{Command, CommandError, Receipt, Refusal},
    fold::Rows,
    retention,
    rows::Key,
    views::Views,
    writer::{Conversation, Turn},
};
use crate::{
    domain::{ClientId, Event, Kind, Seq, User, event::encode_body},
    log::{Appended, Entry, Found, Goes, Tail},
    store::{Floor, Statics, StoreError},
};
use nexus_proto::v1::{self, event::Body};
use std::sync::Arc;

/// Rounds after which others who keep appending are left alone for now.
const ROUNDS: usize = 8;
/// Age of what is trimmed because somebody asks: as where it is retention that does it, which knows whole days. An id from
/// before the last one that was trimmed is too old to tell, so anything younger would refuse messages that are under way or
/// wait on a phone; and nodes believe of a bucket that was opened lately that it is there.
const LEAST_AGE_MS: i64 = 24 * 3_600_000;

/// Who trims.
struct Trimmer<'a> {
    sender: User,
    /// Their id, and the digest of what they asked for; the server itself has none.
    asked: Option<(ClientId, [u8; 32])>,
    /// Where the log must end still.
    at: &'a Tail,
}

/// What an attempt to trim came to.
enum Step {
    Done(Receipt),
    /// It was refused, or may be done after all; the floor is this now.
    Again(Seq),
    /// The log goes on elsewhere, and is to be looked at again.
    Elsewhere,
}

impl Conversation {
    /// Trims what is older than a time; gives how many events that are.
    pub(super) async fn trim(&self, before_ms: i64) -> Result<u64, StoreError> {
        let mut turn = self.turn.lock().await;
        for _ in 0..ROUNDS {
            let (tail, found) = self.log.trimmable(self.log.tail().await?, Goes::Before(before_ms)).await?;
            turn.tail = Some(tail);
            let Some(floor) = found else { return Ok(0) };
            let by = Trimmer { sender: User::lowest(), asked: None, at: &tail };
            let trimmed = match self.trim_to(&mut turn, floor, &by).await? {
                Step::Done(_) => true,
                // By this batch or by another node's.
                Step::Again(now) => now >= floor.seq,
                Step::Elsewhere => false,
            };
            if trimmed {
                return Ok(floor.seq - tail.floor().seq);
            }
        }
        Err(StoreError::Unavailable("others append faster".into()))
    }

    /// Trims up to a seq because somebody asks, whose id is deduplicated as any other. It is done even if they go away.
    pub(super) async fn trim_asked(self: &Arc<Self>, command: Command, through: Seq) -> Answer {
        let (conversation, deadline) = (self.clone(), self.shared.settings.deadline);
        let trimming = tokio::spawn(Box::pin(async move { conversation.trim_for(&command, through).await }));
        match tokio::time::timeout(deadline, trimming).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(CommandError::Unknown("the append was broken off".into())),
            Err(_) => Err(CommandError::Unknown("the append took too long".into())),
        }
    }

    async fn trim_for(&self, command: &Command, through: Seq) -> Answer {
        let mut turn = self.turn.lock().await;
        let unknown = |error: StoreError| CommandError::Unknown(error.to_string());
        for _ in 0..ROUNDS {
            let tail = self.log.tail().await.map_err(unknown)?;
            turn.tail = Some(tail);
            if let Some(first) = self.known(&tail, command).await? {
                return Ok(first);
            }
            if through > tail.last_seq() {
                let why = format!("is {through}, and the log ends at {}", tail.last_seq());
                return Err(Refusal::Invalid { field: "through", why }.into());
            }
            let goes = Goes::Through(through, self.shared.clock.now_ms() - LEAST_AGE_MS);
            let (now, found) = self.log.trimmable(tail, goes).await.map_err(unknown)?;
            turn.tail = Some(now);
            if now.last_seq() != tail.last_seq() {
                // What was appended meanwhile may be this request, from another node.
                continue;
            }
            // A request that finds nothing to trim is an event as well, by which a retry is known.
            let floor = found.unwrap_or(tail.floor());
            let asked = command.id.map(|id| (id, command.digest()));
            let by = Trimmer { sender: command.sender.clone(), asked, at: &now };
            match self.trim_to(&mut turn, floor, &by).await.map_err(unknown)? {
                Step::Done(receipt) => {
                    self.shared.metrics.trimmed.inc_by(floor.seq - tail.floor().seq);
                    return Ok(receipt);
                }
                Step::Again(_) | Step::Elsewhere => {}
            }
        }
        Err(CommandError::Unknown("others append faster".into()))
    }

    /// The first result of a request, if it has one; or why it can have none.
    async fn known(&self, tail: &Tail, command: &Command) -> Result<Option<Receipt>, CommandError> {
        if tail.latest().is_none() {
            return Err(Refusal::NoConversation.into());
        }
        let Some(id) = command.id else { return Ok(None) };
        let unknown = |error: StoreError| CommandError::Unknown(error.to_string());
        let open = self.log.find_open(tail, &command.sender, id).await.map_err(unknown)?;
        let found = match open {
            Some(dedupe) => Found::Event(dedupe),
            None => self.log.find_closed(tail, &command.sender, id).await.map_err(unknown)?,
        };
        match found {
            Found::Event(dedupe) => {
                self.watch_retry(&command.sender, id, &dedupe).await;
                self.shared.cache.ends(&self.place, dedupe.seq);
                first_result(&command.digest(), dedupe).map(Some)
            }
            Found::Beyond => Err(Refusal::Beyond { horizon: self.horizon() }.into()),
            Found::Nowhere => {
                let now = self.shared.clock.now_ms();
                let early = id.time_ms() > now + self.shared.settings.ahead_ms;
                if early { Err(ahead(now).into()) } else { Ok(None) }
            }
        }
    }

    /// Appends the event that says where the log begins.
    async fn trim_to(&self, turn: &mut Turn, floor: Floor, by: &Trimmer<'_>) -> Result<Step, StoreError> {
        let step = self.append_trimmed(turn, floor, by).await;
        if step.is_err() {
            turn.tail = None;
        }
        step
    }

    async fn append_trimmed(
        &self,
        turn: &mut Turn,
        floor: Floor,
        by: &Trimmer<'_>,
    ) -> Result<Step, StoreError> {
        // The server itself says nothing that changes nothing: if the floor is there already, somebody else trimmed it.
        let further = by.asked.is_none() || floor.seq > by.at.floor().seq;
        if further {
            retention::note(&self.shared, &self.place, floor.seq, true).await?;
        }
        let (tail, _) = self.log.make_room(*by.at).await?;
        turn.tail = Some(tail);
        // Somebody else may have appended, or trimmed it, meanwhile.
        let here = |latest: &Statics| {
            let behind = if further { latest.floor.seq < floor.seq } else { latest.floor == floor };
            tail.first > floor.seq && behind && (by.asked.is_none() || tail.last_seq() == by.at.last_seq())
        };
        let Some(latest) = tail.latest().filter(here) else { return Ok(Step::Elsewhere) };
        let body = Body::Trimmed(v1::Trimmed { through: floor.seq });
        let (kind, encoded) = encode_body(&body);
        debug_assert_eq!(kind, Kind::Trimmed);
        let now = self.shared.clock.now_ms().max(latest.last_at);
        let event = Event {
            seq: tail.last_seq() + 1,
            id: by.asked.map(|(id, _)| id),
            sender: by.sender.clone(),
            kind,
            // By the server itself: that of the event before, so that nothing looks as if somebody had said something.
            time_ms: if by.asked.is_some() { now } else { latest.last_at },
            target: 0,
            messages: latest.messages,
            erased: false,
            body: encoded,
        };
        let (rows, changes) = {
            let mut guard = self.views.write().await;
            let views: &mut Views = self.loaded(&mut guard).await?;
            if views.folded() > tail.last_seq() {
                return Ok(Step::Elsewhere);
            }
            views.catch_up(&self.log, tail.last_seq(), tail.floor().seq).await?;
            views.know(&[Key::About]).await?;
            let mut rows: Rows = views.rows().copy_of(&[Key::About]);
            let changes = rows.fold(&event, &body);
            (rows, changes)
        };
        let (seq, time_ms) = (event.seq, event.time_ms);
        let digest = by.asked.map_or([0; 32], |(_, digest)| digest);
        let entry = Entry { event, digest, floor: further.then_some(floor) };
        let moment = self.shared.cache.begin(&self.place);
        let before = tail.last_seq();
        match self.log.append(tail, std::slice::from_ref(&entry), &mut turn.noted).await? {
            Appended::Done(after) => {
                turn.tail = Some(after);
                let events: Arc<[Event]> = [entry.event].into();
                if let Some((bucket, statics)) = after.latest_of() {
                    self.shared.cache.appended(&self.place, moment, (&statics).into(), bucket, &events);
                }
                self.take(rows, changes, before, after.last_seq()).await;
                self.publish(events, Vec::new()).await;
                Ok(Step::Done(Receipt { seq, time_ms }))
            }
            Appended::Again(now, _) => {
                turn.tail = Some(now);
                if let Some((bucket, statics)) = now.latest_of() {
                    self.shared.cache.found(&self.place, moment, (&statics).into(), bucket);
                }
                self.publish_after_all(&tail, now.last_seq(), Vec::new()).await;
                Ok(Step::Again(now.floor().seq))
            }
        }
    }

    /// Deletes what lies at or below the floor; gives how many buckets that were. To be called only when nobody reads any
    /// more who looked at the log before it was trimmed.
    pub(super) async fn drop_trimmed(&self) -> Result<u64, StoreError> {
        let Some((_, latest)) = self.log.latest(None).await? else { return Ok(0) };
        let floor: Seq = latest.floor.seq;
        let Some(oldest) = self.log.oldest_trimmed(floor).await? else {
            retention::note(&self.shared, &self.place, floor, false).await?;
            return Ok(0);
        };
        {
            let views = self.views(latest.last_seq, floor).await?;
            views.drop_messages(oldest, floor).await?;
        }
        let dropped = self.log.drop_trimmed(floor).await?;
        retention::note(&self.shared, &self.place, floor, false).await?;
        Ok(dropped)
    }
}
