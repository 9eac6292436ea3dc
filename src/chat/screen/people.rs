//! Who is here, who types, and how far everybody has read.

use nexus_client::v1::{self, PresenceStatus};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// Typing ends by itself after this long.
const TYPING: Duration = Duration::from_secs(6);

/// What is known of people. Nothing of it is promised.
#[derive(Debug, Default)]
pub struct People {
    presence: HashMap<String, PresenceStatus>,
    /// By conversation and user.
    typing: HashMap<(String, String), Instant>,
    /// By conversation and user: read up to here.
    read: HashMap<(String, String), u64>,
    /// By conversation.
    members: HashMap<String, Vec<String>>,
    /// How people want to be shown; empty: by their id.
    names: HashMap<String, String>,
}

impl People {
    /// The stream is gone: what it told is old.
    pub fn forget(&mut self) {
        self.presence.clear();
        self.typing.clear();
        self.members.clear();
        self.names.clear();
    }

    pub fn present(&mut self, user: &str, status: PresenceStatus) {
        self.presence.insert(user.to_owned(), status);
    }

    /// None: not asked yet. Unspecified: the server doesn't tell.
    pub fn status(&self, user: &str) -> Option<PresenceStatus> {
        self.presence.get(user).copied()
    }

    pub fn is_called(&mut self, user: &str, name: &str) {
        self.names.insert(user.to_owned(), name.to_owned());
    }

    pub fn forget_name(&mut self, user: &str) {
        self.names.remove(user);
    }

    pub fn knows(&self, user: &str) -> bool {
        self.names.contains_key(user)
    }

    /// The name to show of somebody.
    pub fn name<'a>(&'a self, user: &'a str) -> &'a str {
        self.names.get(user).map(String::as_str).filter(|name| !name.is_empty()).unwrap_or(user)
    }

    /// Those of several.
    pub fn list(&self, users: &[impl AsRef<str>]) -> String {
        users.iter().map(|user| self.name(user.as_ref())).collect::<Vec<_>>().join(", ")
    }

    pub fn types(&mut self, conversation: &str, user: &str, typing: bool) {
        let key = (conversation.to_owned(), user.to_owned());
        match typing {
            true => self.typing.insert(key, Instant::now() + TYPING),
            false => self.typing.remove(&key),
        };
    }

    /// Who types, by name.
    pub fn typing(&self, conversation: &str) -> Vec<&str> {
        let now = Instant::now();
        let here = self.typing.iter().filter(|((id, _), until)| id == conversation && **until > now);
        let mut users: Vec<&str> = here.map(|((_, user), _)| user.as_str()).collect();
        users.sort_unstable();
        users
    }

    /// When the next of those who type will be thought to have stopped.
    pub fn next_change(&mut self) -> Option<Instant> {
        let now = Instant::now();
        self.typing.retain(|_, until| *until > now);
        self.typing.values().min().copied()
    }

    pub fn has_read(&mut self, conversation: &str, marker: &v1::Marker) {
        let seq = self.read.entry((conversation.to_owned(), marker.user.clone())).or_default();
        *seq = marker.read_seq.max(*seq);
    }

    /// Who else has read a message, by name.
    pub fn readers(&self, conversation: &str, me: &str, seq: u64) -> Vec<&str> {
        let here =
            self.read.iter().filter(|((id, user), read)| id == conversation && user != me && **read >= seq);
        let mut users: Vec<&str> = here.map(|((_, user), _)| user.as_str()).collect();
        users.sort_unstable();
        users
    }

    pub fn set_members(&mut self, conversation: &str, members: Vec<String>) {
        self.members.insert(conversation.to_owned(), members);
    }

    pub fn members(&self, conversation: &str) -> Option<&[String]> {
        self.members.get(conversation).map(Vec::as_slice)
    }

    /// Somebody came or went.
    pub fn forget_members(&mut self, conversation: &str) {
        self.members.remove(conversation);
    }
}
