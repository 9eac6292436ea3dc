//! Names and ids.

use std::{fmt, sync::Arc};
use uuid::Uuid;

/// A place in a conversation's log, from 1. 0 is "before everything".
pub type Seq = u64;

/// A tenant's, user's or device's name: 1-64 characters of `A-Za-z0-9._-`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// A tenant's name.
pub type Tenant = Name;
/// A user's name.
pub type User = Name;

/// A user on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant.
    pub tenant: Tenant,
    /// The user.
    pub user: User,
    /// The device.
    pub device: Name,
}

/// A name that is empty, too long, or has a character that names don't have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1-64 characters of A-Za-z0-9._-")]
pub struct InvalidName;

impl Name {
    /// Greatest length in bytes.
    pub const MAX: usize = 64;

    /// Checks and takes a name.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        let fits = (1..=Self::MAX).contains(&name.len());
        let known = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if fits && known { Ok(Self(name.into())) } else { Err(InvalidName) }
    }

    /// Checks and takes the sender of an event: a name, or nothing for the server itself.
    pub fn sender(name: &str) -> Result<Self, InvalidName> {
        if name.is_empty() { Ok(Self::lowest()) } else { Self::new(name) }
    }

    /// A name that sorts before all others.
    pub fn lowest() -> Self {
        Self("".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A conversation's id within its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConversationId(pub Uuid);

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A conversation of a tenant: the key of everything that is stored of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub conversation: ConversationId,
}

/// The client-made id of a request: a UUIDv7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub Uuid);

impl ClientId {
    /// The time in the id, Unix milliseconds. 0 for ids that the server derived.
    pub fn time_ms(self) -> i64 {
        if self.0.get_version_num() != 7 {
            return 0;
        }
        (self.0.as_u128() >> 80) as i64
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
