//! A user of a check, who writes and listens in one room, over a connection that is broken now and then.

use crate::{check::envelope, seen::Seen};
use nexus_client::{AttachOptions, Client, Item, PendingSend, SendError, Sent, v1};
use nexus_invariants::Spans;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// Makes the client of a user: each with a connection of its own.
pub type Connect = Arc<dyn Fn(&str) -> anyhow::Result<Client> + Send + Sync>;

/// Each user listens with one device.
const DEVICE: &str = "check";
/// However often the connection is broken, no message is sent over another one later than this after the first attempt: then
/// it is the client that gives up.
const GIVE_UP: Duration = Duration::from_secs(60);

/// A user in a room.
pub struct Person {
    /// The name.
    pub user: String,
    /// The room.
    pub room: String,
    connect: Connect,
    line: watch::Sender<Arc<Line>>,
    seen: Arc<Seen>,
}

/// A connection. What failed on it is counted when the last who uses it lets it go, which also closes it.
pub struct Line {
    client: Client,
    seen: Arc<Seen>,
}

impl Line {
    /// The client that uses the connection.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.seen.failed_attempts.add(self.client.failed_attempts());
    }
}

/// What became of a request.
pub enum Outcome {
    /// It was done.
    Acknowledged,
    /// Nobody knows.
    Unknown,
    /// It was certainly not done.
    Refused,
}

impl Person {
    /// A user with a connection.
    ///
    /// # Errors
    /// Those of `connect`.
    pub fn new(connect: &Connect, user: &str, room: &str, seen: &Arc<Seen>) -> anyhow::Result<Arc<Self>> {
        let line = Arc::new(Line { client: connect(user)?, seen: seen.clone() });
        Ok(Arc::new(Self {
            user: user.to_owned(),
            room: room.to_owned(),
            connect: connect.clone(),
            line: watch::Sender::new(line),
            seen: seen.clone(),
        }))
    }

    /// The connection of the moment.
    pub fn line(&self) -> Arc<Line> {
        self.line.borrow().clone()
    }

    /// Breaks the connection: whatever is under way on it is cut, it closes, and everything goes on over another.
    fn break_line(&self) -> anyhow::Result<()> {
        let client = (self.connect)(&self.user)?;
        self.line.send_replace(Arc::new(Line { client, seen: self.seen.clone() }));
        self.seen.broken.add(1);
        Ok(())
    }

    /// Sends a message to the room. Every tenth is sent again although it was acknowledged, as after a lost answer.
    pub async fn say(self: Arc<Self>, n: u64) -> Outcome {
        let content = Some(v1::Content { text: format!("message {n}"), ..Default::default() });
        let conversation_id = self.room.clone();
        let request = v1::SendMessageRequest { conversation_id, content, ..Default::default() };
        let mut pending = self.line().client.prepare(request);
        self.seen.deliveries(|deliveries| deliveries.sent(pending.client_id(), Instant::now()));
        for _ in 0..=u64::from(n.is_multiple_of(10)) {
            match self.settle(&mut pending).await {
                Ok(_) => {}
                Err(outcome) => return outcome,
            }
        }
        Outcome::Acknowledged
    }

    /// Leaves the room, for good.
    pub async fn leave(self: Arc<Self>) -> Outcome {
        let conversation_id = self.room.clone();
        let request = v1::LeaveConversationRequest { conversation_id, ..Default::default() };
        let mut pending = self.line().client.prepare(request);
        let (last, outcome) = match self.settle(&mut pending).await {
            Ok(sent) => (sent.receipt.seq, Outcome::Acknowledged),
            // Nothing can be said of what they may see.
            Err(Outcome::Unknown) => (u64::MAX, Outcome::Unknown),
            Err(outcome) => return outcome,
        };
        self.seen.judge(|judge| judge.member(&self.room, &self.user, Spans(vec![(1, Some(last))])));
        outcome
    }

    /// Sends until the outcome is known or the client gives up, and tells the judge.
    async fn settle(&self, pending: &mut PendingSend) -> Result<Sent, Outcome> {
        let sent = self.send(pending).await;
        let id = pending.client_id();
        match sent {
            Ok(sent) => {
                self.seen.judge(|judge| judge.acknowledged(&self.room, &self.user, id, sent.receipt.seq));
                Ok(sent)
            }
            Err(SendError::Refused(error)) => {
                tracing::warn!(user = self.user, %error, "a request was refused");
                self.seen.judge(|judge| judge.refused(&self.room, &self.user, id));
                Err(Outcome::Refused)
            }
            Err(error) => {
                tracing::warn!(user = self.user, %error, "the outcome of a request is not known");
                Err(Outcome::Unknown)
            }
        }
    }

    /// Sends; when the connection is broken meanwhile, again over the new one, with the same id.
    async fn send(&self, pending: &mut PendingSend) -> Result<Sent, SendError> {
        let mut lines = self.line.subscribe();
        let began = Instant::now();
        let mut cut = false;
        loop {
            let line = lines.borrow_and_update().clone();
            tokio::select! {
                sent = line.client.send(pending) => return match sent {
                    // What was cut may have been done.
                    Err(SendError::Refused(error)) if cut => Err(SendError::Unknown(error)),
                    other => other,
                },
                Ok(()) = lines.changed(), if began.elapsed() < GIVE_UP => {
                    cut = true;
                    self.seen.failed_attempts.add(1);
                }
            }
        }
    }

    /// Listens until it is ended; breaks its connection now and then and resumes by its cursor. The cursor is the
    /// listener's own: what the client delivers is judged, not trusted. It never ends by itself.
    pub async fn listen(self: Arc<Self>, break_every: Duration) {
        let mut cursor = 0;
        loop {
            self.seen.judge(|judge| judge.attached(&self.room, &self.user, DEVICE, Some(cursor)));
            let line = self.line();
            let listening = self.follow(line.client(), &mut cursor);
            if break_every.is_zero() {
                listening.await;
            } else if timeout(break_every, listening).await.is_err() {
                if let Err(error) = self.break_line() {
                    tracing::warn!(user = self.user, %error, "there is no new connection");
                }
                continue;
            }
            // It was refused for good. That is judged as well: by what is missing.
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn follow(&self, client: &Client, cursor: &mut u64) {
        let cursors = vec![v1::Cursor { conversation_id: self.room.clone(), seq: *cursor }];
        let mut attachment = client.attach(AttachOptions { cursors, ..AttachOptions::default() });
        let mut open = false;
        while let Some(item) = attachment.next().await {
            match item {
                Item::Events { conversation_id, events, .. } if conversation_id == self.room => {
                    for event in events {
                        *cursor = event.seq;
                        self.seen.deliveries(|deliveries| deliveries.received(&event.id, Instant::now()));
                        self.seen.judge(|judge| {
                            judge.received(&self.room, &self.user, DEVICE, envelope(&event));
                        });
                    }
                }
                Item::Skipped { conversation_id, first, last, .. } if conversation_id == self.room => {
                    *cursor = last;
                    self.seen.judge(|judge| {
                        judge.skipped(&self.room, &self.user, DEVICE, first, last, false);
                    });
                }
                Item::Attached { .. } => open = true,
                // Attempts to open one that fail are told in the same way.
                Item::Detached { .. } | Item::Ended { .. } => {
                    self.seen.streams_ended.add(u64::from(std::mem::take(&mut open)));
                }
                _ => {}
            }
        }
    }
}
