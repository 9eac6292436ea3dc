//! Changes that wait for their outcome: kept before they are sent, sent again with the same id whatever dies
//! meanwhile, and forgotten when their receipt is there.
//!
//! - `entry`: one of them. `shelf`: where they are kept; a folder, or a caller's own storage.
//! - this file: sending them, one after the other in each conversation.
//!
//! ```no_run
//! use nexus_client::{Client, outbox::{Folder, Outbox, Outcome}, v1};
//!
//! # async fn example(client: Client, request: v1::SendMessageRequest) -> std::io::Result<()> {
//! // What an earlier process left is sent first. Ids need the server's time: something has to be attached.
//! let _attachment = client.attach(Default::default());
//! let mut outbox = Outbox::open(client, Folder::open("state/outbox")?)?;
//! outbox.add(request)?;
//! while !outbox.is_idle() {
//!     match outbox.next().await {
//!         Outcome::Sent { sent, .. } => println!("it stands at {}", sent.receipt.seq),
//!         Outcome::Held { entry } => println!("somebody has to decide: {entry:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
mod entry;
mod shelf;

use std::{
    collections::{HashSet, VecDeque},
    io,
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};
use tonic::Code;

use crate::{
    client::Client,
    mutation::{Mutation, PendingSend, SendError, Sent},
    retry::Backoff,
};
pub use entry::{Entry, State};
pub use shelf::{Folder, Shelf};

/// Changes that an outbox takes at most; beyond it the server has to be heard of first.
pub const MOST: usize = 10_000;

/// The pauses after the client has given up for once.
const PAUSES: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(5) };

/// What became of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is in the log, and no longer in the outbox.
    Sent {
        /// Which it was.
        key: u64,
        /// Where it stands.
        sent: Sent,
    },
    /// It can't be sent: [`Outbox::retry`] or [`Outbox::take`] it.
    Held {
        /// As it is now.
        entry: Entry,
    },
}

/// Changes on their way to the server.
pub struct Outbox {
    client: Client,
    shelf: Box<dyn Shelf>,
    /// By key.
    entries: Vec<Entry>,
    next_key: u64,
    sending: JoinSet<(u64, Result<Sent, SendError>)>,
    /// Keys of `sending`.
    busy: HashSet<u64>,
    /// Keys of those that are held and were not told yet.
    untold: VecDeque<u64>,
}

impl Outbox {
    /// Takes up what the shelf holds.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn open(client: Client, mut shelf: impl Shelf) -> io::Result<Self> {
        let read = |(key, bytes): (u64, Vec<u8>)| Entry::from_bytes(key, &bytes);
        let entries: Vec<Entry> = shelf.load()?.into_iter().map(read).collect::<io::Result<_>>()?;
        Ok(Self {
            client,
            shelf: Box::new(shelf),
            next_key: entries.last().map_or(0, |last| last.key + 1),
            entries,
            sending: JoinSet::new(),
            busy: HashSet::new(),
            untold: VecDeque::new(),
        })
    }

    /// Keeps a change, and sends it after those of its conversation that came before. Must be called within a tokio
    /// runtime. Gives its key.
    ///
    /// # Errors
    /// When it can't be kept (nothing is sent then), or [`MOST`] wait already.
    pub fn add(&mut self, mutation: impl Into<Mutation>) -> io::Result<u64> {
        if self.entries.len() >= MOST {
            return Err(io::Error::new(io::ErrorKind::StorageFull, format!("{MOST} changes wait already")));
        }
        let key = self.next_key;
        let mut mutation = mutation.into();
        mutation.set_client_id(String::new());
        let entry = Entry { key, mutation, state: State::Draft };
        self.shelf.put(key, &entry.to_bytes())?;
        self.next_key += 1;
        self.entries.push(entry);
        self.launch();
        Ok(key)
    }

    /// Everything that has no receipt yet, in the order in which it was added.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether nothing waits to be sent; what is held doesn't count.
    pub fn is_idle(&self) -> bool {
        self.entries.iter().all(|entry| matches!(entry.state, State::Held { .. }))
    }

    /// Sends a held change once more: with a new id only if it certainly is not in the log.
    ///
    /// # Errors
    /// When that can't be kept; it is then held as before.
    pub fn retry(&mut self, key: u64) -> io::Result<()> {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) else { return Ok(()) };
        let State::Held { certain, .. } = entry.state else { return Ok(()) };
        let state = if certain { State::Draft } else { State::Sending };
        let again = Entry { state, ..entry.clone() };
        self.shelf.put(key, &again.to_bytes())?;
        *entry = again;
        self.launch();
        Ok(())
    }

    /// Takes a change out, if it is held or was never sent. One that is being sent may be in the log already.
    ///
    /// # Errors
    /// When it can't be forgotten; it is then still there.
    pub fn take(&mut self, key: u64) -> io::Result<Option<Mutation>> {
        let takeable = |entry: &Entry| entry.key == key && entry.state != State::Sending;
        let Some(place) = self.entries.iter().position(takeable) else { return Ok(None) };
        self.shelf.remove(key)?;
        Ok(Some(self.entries.remove(place).mutation))
    }

    /// The stream brought the event of this id: whatever becomes of the answer, the change is done.
    pub fn settle(&mut self, conversation_id: &str, client_id: &str) {
        let is_it = |entry: &Entry| {
            entry.mutation.client_id() == client_id
                && entry.mutation.conversation_id() == Some(conversation_id)
        };
        if let Some(key) = self.entries.iter().find(|entry| is_it(entry)).map(|entry| entry.key) {
            self.forget(key);
            self.launch();
        }
    }

    /// What became of the next change; never returns while there is none on its way. Changes go out only while
    /// this is called again and again. Safe to cancel.
    pub async fn next(&mut self) -> Outcome {
        loop {
            self.launch();
            while let Some(key) = self.untold.pop_front() {
                if let Some(entry) = self.entries.iter().find(|entry| entry.key == key) {
                    return Outcome::Held { entry: entry.clone() };
                }
            }
            let waits_for_time = !self.client.knows_server_time() && !self.is_idle();
            tokio::select! {
                Some(done) = self.sending.join_next() => match done {
                    Ok((key, result)) => {
                        if let Some(outcome) = self.done(key, result) {
                            return outcome;
                        }
                    }
                    Err(error) => tracing::error!(%error, "sending a change panicked"),
                },
                () = self.client.server_time_told(), if waits_for_time => {}
                else => std::future::pending().await,
            }
        }
    }

    /// Begins to send what needs to wait for nothing.
    fn launch(&mut self) {
        if !self.client.knows_server_time() {
            return;
        }
        let mut lanes = HashSet::new();
        for entry in &mut self.entries {
            if matches!(entry.state, State::Held { .. }) || !lanes.insert(entry.lane().to_owned()) {
                continue;
            }
            if self.busy.contains(&entry.key) {
                continue;
            }
            let pending = match entry.state {
                State::Draft => {
                    let pending = self.client.prepare(entry.mutation.clone());
                    let named =
                        Entry { mutation: pending.mutation.clone(), state: State::Sending, ..entry.clone() };
                    // Nothing is sent under an id that could be forgotten.
                    if let Err(error) = self.shelf.put(entry.key, &named.to_bytes()) {
                        let why = format!("it can't be kept: {error}");
                        entry.state = State::Held { why, certain: true };
                        self.untold.push_back(entry.key);
                        continue;
                    }
                    *entry = named;
                    pending
                }
                _ => entry.pending(),
            };
            self.busy.insert(entry.key);
            self.sending.spawn(deliver(self.client.clone(), entry.key, pending));
        }
    }

    fn done(&mut self, key: u64, result: Result<Sent, SendError>) -> Option<Outcome> {
        self.busy.remove(&key);
        let error = match result {
            Ok(sent) => {
                self.forget(key);
                return Some(Outcome::Sent { key, sent });
            }
            Err(error) => error,
        };
        // The stream may have brought it meanwhile.
        let entry = self.entries.iter_mut().find(|entry| entry.key == key)?;
        let certain = matches!(error, SendError::Refused(_) | SendError::NotSent);
        if certain {
            entry.mutation.set_client_id(String::new());
        }
        entry.state = State::Held { why: error.to_string(), certain };
        if let Err(error) = self.shelf.put(key, &entry.to_bytes()) {
            tracing::warn!(%error, key, "that a change is held can't be kept: it will be sent again");
        }
        Some(Outcome::Held { entry: entry.clone() })
    }

    fn forget(&mut self, key: u64) {
        self.entries.retain(|entry| entry.key != key);
        if let Err(error) = self.shelf.remove(key) {
            tracing::warn!(%error, key, "a change that is done will be sent again, with its id");
        }
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("entries", &self.entries).finish_non_exhaustive()
    }
}

/// Sends until the outcome is known, or only a person can help.
async fn deliver(client: Client, key: u64, mut pending: PendingSend) -> (u64, Result<Sent, SendError>) {
    let mut failures = 0;
    loop {
        let result = client.send(&mut pending).await;
        let again = match &result {
            // A token that is refused says nothing of the change: another one may do.
            Err(SendError::Refused(error)) => error.status.code() == Code::Unauthenticated,
            Err(SendError::Unknown(error)) => !error.refused || error.status.code() == Code::Unauthenticated,
            _ => false,
        };
        if !again {
            return (key, result);
        }
        sleep(PAUSES.pause(failures, client.chance())).await;
        failures += 1;
    }
}
