//! Trimming a conversation. Each step can be the last one of a node, and whoever comes next goes on from there:
//!
//! 1. The last bucket is closed, if it is to go too.
//! 2. It is noted that the conversation is being trimmed, so that what is left below is found by whoever looks.
//! 3. The event that says where the log begins is appended to the next one, and with it, in the same batch, the floor is
//!    stored. From here on nobody is told of what lies below, and an id that may have been there is too old to tell.
//! 4. Later: the views are stored up to the floor at least, since members and pins can't be folded anew from what is left.
//! 5. What is stored of messages below the floor is deleted, then the buckets, then the note.

use super::{
    fold::Rows,
    retention,
    rows::Key,
    views::Views,
    writer::{Conversation, Turn},
};
use crate::{
    domain::{Event, Kind, Seq, User, event::encode_body},
    log::{Appended, Entry, Tail},
    store::{Floor, Statics, StoreError},
};
use nexus_proto::v1::{self, event::Body};
use std::sync::Arc;

/// Rounds after which others who keep appending are left alone for now.
const ROUNDS: usize = 8;

impl Conversation {
    /// Trims what is older than a time; gives how many events that are.
    pub(super) async fn trim(&self, before_ms: i64) -> Result<u64, StoreError> {
        let mut turn = self.turn.lock().await;
        for _ in 0..ROUNDS {
            let (tail, found) = self.log.trimmable(self.log.tail().await?, before_ms).await?;
            turn.tail = Some(tail);
            let Some(floor) = found else { return Ok(0) };
            retention::note(&self.shared, &self.place, floor.seq, true).await?;
            let trimmed = self.trim_to(&mut turn, tail, floor).await;
            if trimmed.is_err() {
                turn.tail = None;
            }
            if trimmed? {
                return Ok(floor.seq - tail.floor().seq);
            }
        }
        Err(StoreError::Unavailable("others append faster".into()))
    }

    /// Appends the event. `false`: the log goes on elsewhere, and is to be looked at again.
    async fn trim_to(&self, turn: &mut Turn, tail: Tail, floor: Floor) -> Result<bool, StoreError> {
        let (tail, _) = self.log.make_room(tail).await?;
        turn.tail = Some(tail);
        // Somebody else may have trimmed it meanwhile.
        let here = |latest: &Statics| tail.first > floor.seq && latest.floor.seq < floor.seq;
        let Some(latest) = tail.latest().filter(here) else { return Ok(false) };
        let body = Body::Trimmed(v1::Trimmed { through: floor.seq });
        let (kind, encoded) = encode_body(&body);
        debug_assert_eq!(kind, Kind::Trimmed);
        let event = Event {
            seq: tail.last_seq() + 1,
            id: None,
            sender: User::lowest(),
            kind,
            // That of the event before, so that nothing looks as if somebody had said something.
            time_ms: latest.last_at,
            target: 0,
            messages: latest.messages,
            erased: false,
            body: encoded,
        };
        let (rows, changes) = {
            let mut guard = self.views.write().await;
            let views: &mut Views = self.loaded(&mut guard).await?;
            if views.folded() > tail.last_seq() {
                return Ok(false);
            }
            views.catch_up(&self.log, tail.last_seq(), tail.floor().seq).await?;
            views.know(&[Key::About]).await?;
            let mut rows: Rows = views.rows().copy_of(&[Key::About]);
            let changes = rows.fold(&event, &body);
            (rows, changes)
        };
        let entry = Entry { event, digest: [0; 32], floor: Some(floor) };
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
                Ok(true)
            }
            Appended::Again(now, _) => {
                turn.tail = Some(now);
                if let Some((bucket, statics)) = now.latest_of() {
                    self.shared.cache.found(&self.place, moment, (&statics).into(), bucket);
                }
                self.publish_after_all(&tail, now.last_seq(), Vec::new()).await;
                // It may be done after all, by this batch or by another node's.
                Ok(now.floor().seq >= floor.seq)
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
