//! One stream, and the history pages that fill what it leaves out.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use nexus_proto::v1::{
    AddCursorsRequest, AttachRequest, AttachResponse, Cursor, ListEventsRequest, ListEventsResponse,
    attach_response::Frame, list_events_request::Anchor, stream_service_client::StreamServiceClient,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tonic::{Code, Status, Streaming};

use super::{
    AttachOptions, Item,
    track::{Tracker, Violation},
};
use crate::{
    call::MAX_ANSWER_BYTES,
    client::{CallError, Client},
    clock::lock,
    retry::{Verdict, verdict},
    token::TokenError,
};

/// Cursors that one Attach or AddCursors takes.
const CURSORS_AT_ONCE: usize = 5_000;

/// Events that one page of the history holds at most.
const PAGE: u32 = 200;

/// Conversations whose holes are filled at the same time.
const FILLS_AT_ONCE: usize = 4;

/// What outlives a stream.
pub(super) struct Session {
    pub client: Client,
    pub options: AttachOptions,
    pub tracker: Arc<Mutex<Tracker>>,
    pub items: mpsc::Sender<Item>,
    /// The token that the server refused, until a stream was opened with another.
    pub stale_token: Option<String>,
}

/// Why a stream has ended.
pub(super) enum End {
    CallerGone,
    /// It will not be otherwise next time.
    Final(Status),
    TokenRefused,
    Reconnect {
        after: Duration,
        reason: String,
    },
    Failed {
        cause: String,
        after: Duration,
    },
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        let after = match verdict(&status) {
            Verdict::Later(after) | Verdict::Unknown(Some(after)) => after,
            _ => Duration::ZERO,
        };
        Self::Failed { cause: CallError { status, refused: false, attempts: 1 }.to_string(), after }
    }
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        tracing::warn!(violation = violation.0, "the server broke the protocol; attaching again");
        Self::failed(violation.0)
    }
}

impl End {
    fn failed(cause: impl Into<String>) -> Self {
        Self::Failed { cause: cause.into(), after: Duration::ZERO }
    }
}

impl Session {
    /// Opens a stream and passes on what it brings, until it ends.
    pub(super) async fn run(&mut self) -> End {
        match self.attach().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn attach(&mut self) -> Result<std::convert::Infallible, End> {
        let mut cursors = lock(&self.tracker).begin();
        let late = cursors.split_off(cursors.len().min(CURSORS_AT_ONCE));
        let deadline = Instant::now() + self.options.open_timeout;
        let opened = timeout_at(deadline, self.open(cursors)).await;
        let (mut frames, token) = opened.map_err(|_| End::failed("the server doesn't answer"))??;
        let first = timeout_at(deadline, frames.message()).await;
        let first = first.map_err(|_| End::failed("the server doesn't answer"))?;
        let first = first.map_err(|status| self.refused_open(status, token))?;
        let attached = match first.and_then(|first| first.frame) {
            Some(Frame::Attached(attached)) => attached,
            Some(_) => return Err(self.violation("the first frame is not Attached")),
            None => return Err(End::failed("the server closed the stream")),
        };
        self.stale_token = None;
        self.client.time().set(attached.time_ms);
        lock(&self.tracker).stats.streams += 1;
        let mut work = Work::new(self.client.clone());
        for cursors in late.chunks(CURSORS_AT_ONCE) {
            work.add_cursors(&attached.stream_id, cursors.to_vec());
        }
        self.deliver([Item::Attached { user: attached.user, device: attached.device }]).await?;
        let silence = self.options.silence_timeout;
        let mut awaited = 1 + late.len().div_ceil(CURSORS_AT_ONCE);
        loop {
            let before = awaited;
            let mut filled = false;
            tokio::select! {
                frame = timeout(silence, frames.message()) => {
                    let frame = frame.map_err(|_| End::failed(format!("no sign of life for {silence:?}")))?;
                    let Some(frame) = frame? else { return Err(End::failed("the server closed the stream")) };
                    match frame.frame {
                        Some(Frame::CaughtUp(_)) => awaited = awaited.saturating_sub(1),
                        Some(frame) => self.frame(frame, &mut work).await?,
                        None => {}
                    }
                }
                done = work.next() => match done {
                    Done::Added(answer) => answer.map_err(|error| End::from(error.status))?,
                    Done::Page(id, answer) => {
                        self.page(&id, answer, &mut work).await?;
                        filled = true;
                    }
                },
            }
            let caught_up = awaited == 0 && (before > 0 || filled) && work.fills == 0;
            if caught_up && std::mem::replace(&mut work.caught_up, true) {
                continue;
            }
            if caught_up {
                self.deliver([Item::CaughtUp]).await?;
            }
        }
    }

    /// Opens a stream; gives it with the token that was used.
    async fn open(&mut self, cursors: Vec<Cursor>) -> Result<(Streaming<AttachResponse>, String), End> {
        let token = match self.client.tokens().token(self.stale_token.as_deref()).await {
            Ok(token) => token,
            Err(TokenError::Unavailable(why)) => return Err(End::failed(why)),
            Err(TokenError::Refused(why)) => return Err(End::Final(Status::unauthenticated(why))),
        };
        let request = AttachRequest { cursors, no_ephemeral: self.options.no_ephemeral };
        let request = self.client.authorized(request, &token).map_err(End::Final)?;
        let mut service =
            StreamServiceClient::new(self.client.transport()).max_decoding_message_size(MAX_ANSWER_BYTES);
        match service.attach(request).await {
            Ok(frames) => Ok((frames.into_inner(), token)),
            Err(status) => Err(self.refused_open(status, token)),
        }
    }

    /// What it means when a stream ends before its first frame.
    fn refused_open(&mut self, status: Status, token: String) -> End {
        match verdict(&status) {
            // The next attempt needs another. A server that doesn't answer refuses none.
            Verdict::Unauthenticated => {
                self.stale_token = Some(token);
                End::TokenRefused
            }
            Verdict::Refused if status.code() != Code::ResourceExhausted => End::Final(status),
            _ => status.into(),
        }
    }

    async fn frame(&mut self, frame: Frame, work: &mut Work) -> Result<(), End> {
        match frame {
            Frame::Attached(_) => return Err(self.violation("a second Attached frame")),
            Frame::Events(frame) => {
                let item = lock(&self.tracker).events(&frame.conversation_id, frame.events);
                self.deliver(item.map_err(|violation| self.violation(violation.0))?).await?;
            }
            Frame::Reset(reset) => {
                let id = reset.conversation_id.clone();
                let reaction = lock(&self.tracker).reset(reset);
                let reaction = reaction.map_err(|violation| self.violation(violation.0))?;
                self.deliver(reaction.items).await?;
                if reaction.fill {
                    work.fill(id, &self.tracker);
                }
            }
            Frame::Heartbeat(heartbeat) => self.client.time().set(heartbeat.time_ms),
            Frame::Ephemeral(ephemeral) => {
                self.deliver(ephemeral.body.map(Item::Ephemeral)).await?;
            }
            Frame::Reconnect(reconnect) => {
                let after = Duration::from_millis(reconnect.after_ms.into());
                return Err(End::Reconnect { after, reason: reconnect.reason });
            }
            Frame::CaughtUp(_) => {}
        }
        Ok(())
    }

    async fn page(
        &mut self,
        id: &str,
        answer: Result<ListEventsResponse, CallError>,
        work: &mut Work,
    ) -> Result<(), End> {
        let items = match answer {
            Ok(page) => {
                let items = lock(&self.tracker).page(id, page);
                items.map_err(|violation| self.violation(violation.0))?
            }
            // Not a member any more, and not allowed to look back: there is nothing to be had.
            Err(error) if matches!(error.status.code(), Code::NotFound | Code::PermissionDenied) => {
                lock(&self.tracker).unreadable(id)
            }
            Err(error) => return Err(error.status.into()),
        };
        self.deliver(items).await?;
        work.filled(id, &self.tracker);
        Ok(())
    }

    async fn deliver(&self, items: impl IntoIterator<Item = Item>) -> Result<(), End> {
        for item in items {
            self.items.send(item).await.map_err(|_| End::CallerGone)?;
        }
        Ok(())
    }

    fn violation(&self, what: impl Into<String>) -> End {
        lock(&self.tracker).stats.violations += 1;
        Violation(what.into()).into()
    }
}

/// Calls that go on beside the stream; they end with it.
struct Work {
    client: Client,
    running: JoinSet<Done>,
    /// Conversations whose fill waits for its turn.
    queue: VecDeque<String>,
    /// Fills that run or wait.
    fills: usize,
    /// The caller was told.
    caught_up: bool,
}

enum Done {
    Added(Result<(), CallError>),
    Page(String, Result<ListEventsResponse, CallError>),
}

impl Work {
    fn new(client: Client) -> Self {
        Self { client, running: JoinSet::new(), queue: VecDeque::new(), fills: 0, caught_up: false }
    }

    /// The next call that is done; never, when none runs.
    async fn next(&mut self) -> Done {
        loop {
            match self.running.join_next().await {
                Some(Ok(done)) => return done,
                Some(Err(error)) => tracing::error!(%error, "a call panicked"),
                None => std::future::pending().await,
            }
        }
    }

    fn add_cursors(&mut self, stream_id: &str, cursors: Vec<Cursor>) {
        let client = self.client.clone();
        let request = AddCursorsRequest { stream_id: stream_id.to_owned(), cursors };
        self.running.spawn(async move { Done::Added(client.call(request).await.map(drop)) });
    }

    fn fill(&mut self, id: String, tracker: &Mutex<Tracker>) {
        self.fills += 1;
        self.queue.push_back(id);
        if self.fills <= FILLS_AT_ONCE {
            self.start(tracker);
        }
    }

    /// A page has come: reads on, or begins with the next conversation.
    fn filled(&mut self, id: &str, tracker: &Mutex<Tracker>) {
        if lock(tracker).missing(id).is_some() {
            self.queue.push_front(id.to_owned());
        } else {
            self.fills -= 1;
        }
        self.start(tracker);
    }

    fn start(&mut self, tracker: &Mutex<Tracker>) {
        while let Some(id) = self.queue.pop_front() {
            let Some((after, at_least)) = lock(tracker).missing(&id) else {
                self.fills -= 1;
                continue;
            };
            let client = self.client.clone();
            let conversation_id = id.clone();
            let anchor = Some(Anchor::AfterSeq(after));
            let request = ListEventsRequest { conversation_id, anchor, limit: PAGE, at_least };
            self.running.spawn(async move { Done::Page(id, client.call(request).await) });
            return;
        }
    }
}
