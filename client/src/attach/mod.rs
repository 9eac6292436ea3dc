//! The attach stream: every conversation's events, in order, each once, without a gap, over as many connections
//! as it takes.
//!
//! - `track`: what each conversation has and what may come next. Pure: frames in, items out.
//! - `session`: one stream, and the history pages that fill what it leaves out.
//! - this file: the caller's end, and attaching again whenever a session has ended.
mod session;
mod track;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use nexus_proto::v1::{Cursor, Event, ResetReason, ephemeral};
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};
use tonic::Code;

use crate::{client::Client, clock::lock, retry::Backoff};
use session::{End, Session};
use track::Tracker;

/// How to attach.
#[derive(Clone, Debug)]
pub struct AttachOptions {
    /// What the caller has: per conversation the seq up to which it has everything. The most recently active
    /// ones first; beyond 5,000 they are given to the server after attaching.
    pub cursors: Vec<Cursor>,
    /// Leave out typing, presence and markers.
    pub no_ephemeral: bool,
    /// What to do about events that the stream leaves out.
    pub holes: Holes,
    /// How long the server may take to open the stream. 15 s.
    pub open_timeout: Duration,
    /// A stream without a frame for this long is dead. 60 s, three times the server's heartbeat.
    pub silence_timeout: Duration,
    /// The pauses before attaching again.
    pub backoff: Backoff,
    /// How many items may wait for the caller; then the stream itself waits. 64.
    pub queue: usize,
}

impl Default for AttachOptions {
    fn default() -> Self {
        Self {
            cursors: Vec::new(),
            no_ephemeral: false,
            holes: Holes::Fill,
            open_timeout: Duration::from_secs(15),
            silence_timeout: Duration::from_secs(60),
            backoff: Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(15) },
            queue: 64,
        }
    }
}

/// What to do about a range of events that the stream leaves out, but the history has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holes {
    /// Read it from the history, and deliver it in its place: events always come in order from the cursor on, and
    /// live ones wait.
    Fill,
    /// Tell it as [`Item::Hole`], and go on with what comes after it. For those who show messages and read
    /// the past page by page. The cursor stays below the hole until [`Attachment::filled`].
    Report,
}

/// What an attachment delivers.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A stream is open.
    Attached {
        /// Who the server says is attached.
        user: String,
        /// The device, from the token.
        device: String,
    },
    /// The next events of a conversation: each seq follows the one before.
    Events {
        /// Whose.
        conversation_id: String,
        /// Never empty.
        events: Vec<Event>,
        /// Everything up to here has been delivered: persist it together with the events.
        cursor: u64,
    },
    /// These seqs don't exist for the caller; the events go on after `last`.
    Skipped {
        /// Of which conversation.
        conversation_id: String,
        /// First seq.
        first: u64,
        /// Last seq.
        last: u64,
        /// Why, if the server said it.
        reason: ResetReason,
        /// Persist this.
        cursor: u64,
    },
    /// These events exist, but were not delivered ([`Holes::Report`] only). The events go on after `last`.
    Hole {
        /// Of which conversation.
        conversation_id: String,
        /// First seq.
        first: u64,
        /// Last seq; `first - 1` when there is nothing to read.
        last: u64,
        /// Why.
        reason: ResetReason,
    },
    /// The caller's data of this conversation is of another log: drop it. Its events follow from the beginning.
    Forget {
        /// Which.
        conversation_id: String,
    },
    /// Everything that had happened when the stream was opened has been delivered.
    CaughtUp,
    /// Typing, presence, or a marker.
    Ephemeral(ephemeral::Body),
    /// The stream has ended, and will be opened again by itself.
    Detached {
        /// Why, for people.
        cause: String,
        /// When, from now.
        retry_in: Duration,
    },
    /// It can't go on: the token or the request is refused for good. The last item.
    Ended {
        /// The gRPC code.
        code: Code,
        /// Why, for people.
        message: String,
    },
}

/// Counts since the attachment began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttachStats {
    /// Streams that were opened.
    pub streams: u64,
    /// Events that came again and were dropped.
    pub duplicates: u64,
    /// Streams that were given up because the server broke the protocol: 0, or something is wrong.
    pub violations: u64,
}

/// A running attachment. Ends when it is dropped.
#[derive(Debug)]
pub struct Attachment {
    items: mpsc::Receiver<Item>,
    tracker: Arc<Mutex<Tracker>>,
    task: JoinHandle<()>,
}

impl Attachment {
    /// The next item; None after [`Item::Ended`]. Safe to cancel.
    pub async fn next(&mut self) -> Option<Item> {
        self.items.recv().await
    }

    /// The caller has read a conversation's [`Item::Hole`] up to `through` from the history. Gives the cursor to
    /// persist.
    pub fn filled(&self, conversation_id: &str, through: u64) -> u64 {
        lock(&self.tracker).filled(conversation_id, through)
    }

    /// What has happened so far.
    pub fn stats(&self) -> AttachStats {
        lock(&self.tracker).stats
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    /// Attaches, and keeps attached until the attachment is dropped. Must be called within a tokio runtime.
    pub fn attach(&self, options: AttachOptions) -> Attachment {
        let (sender, items) = mpsc::channel(options.queue.max(1));
        let tracker = Arc::new(Mutex::new(Tracker::new(&options.cursors, options.holes)));
        let session = Session {
            client: self.clone(),
            options,
            tracker: tracker.clone(),
            items: sender,
            stale_token: None,
        };
        Attachment { items, tracker, task: tokio::spawn(keep_attached(session)) }
    }
}

/// A stream that lasted as long as this was a good one: the next pause is a short one again.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// A server may ask for at most this pause.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

async fn keep_attached(mut session: Session) {
    let mut failures = 0;
    loop {
        let began = tokio::time::Instant::now();
        let end = session.run().await;
        if began.elapsed() >= GOOD_AFTER {
            failures = 0;
        }
        let backoff = session.options.backoff.pause(failures, session.client.chance());
        let (cause, retry_in) = match end {
            End::CallerGone => return,
            End::Final(status) => {
                let (code, message) = (status.code(), status.message().to_owned());
                let _ = session.items.send(Item::Ended { code, message }).await;
                return;
            }
            End::TokenRefused => ("the token was refused".to_owned(), backoff),
            End::Reconnect { after, reason } => {
                let pause = if failures == 0 { Duration::ZERO } else { backoff };
                (reason, after.min(LONGEST_ASKED) + pause)
            }
            End::Failed { cause, after } => (cause, after.min(LONGEST_ASKED) + backoff),
        };
        failures += 1;
        tracing::debug!(cause, ?retry_in, "detached");
        if session.items.send(Item::Detached { cause, retry_in }).await.is_err() {
            return;
        }
        sleep(retry_in).await;
    }
}
