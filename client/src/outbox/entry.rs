//! One change that waits, and what is known of its outcome.
use std::io;

use prost::Message as _;

use crate::mutation::{Mutation, PendingSend, Record};

/// A change that has no receipt yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Names it within its outbox. Later ones have greater keys.
    pub key: u64,
    /// What it does. Its client id is empty until it is sent for the first time.
    pub mutation: Mutation,
    /// What is known of it.
    pub state: State,
}

/// How far a change has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It was never sent.
    Draft,
    /// It has its id; whether it is in the log is not known.
    Sending,
    /// It is not sent by itself any more: somebody has to decide.
    Held {
        /// Why, for people.
        why: String,
        /// It is not in the log and never will be. Otherwise it may be.
        certain: bool,
    },
}

impl Entry {
    /// What it has to wait for: one change of a conversation is sent after the other.
    pub(super) fn lane(&self) -> &str {
        self.mutation.conversation_id().unwrap_or_default()
    }

    pub(super) fn pending(&self) -> PendingSend {
        PendingSend { mutation: self.mutation.clone(), uncertain: true }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let held = match &self.state {
            State::Held { why, .. } => why.clone(),
            State::Draft | State::Sending => String::new(),
        };
        Record { mutation: Some(self.mutation.clone()), held }.encode_to_vec()
    }

    pub(super) fn from_bytes(key: u64, bytes: &[u8]) -> io::Result<Self> {
        let unreadable = |why: &str| {
            io::Error::new(io::ErrorKind::InvalidData, format!("entry {key:016x} can't be read: {why}"))
        };
        let record = Record::decode(bytes).map_err(|error| unreadable(&error.to_string()))?;
        let mutation = record.mutation.ok_or_else(|| unreadable("it is of a newer version"))?;
        let state = match (record.held, mutation.client_id()) {
            (why, id) if !why.is_empty() => State::Held { why, certain: id.is_empty() },
            (_, "") => State::Draft,
            _ => State::Sending,
        };
        Ok(Self { key, mutation, state })
    }
}
