//! What is stored of everything that is not the log: rows of cells, each with the time (a seq, mostly) at which it
//! was written, where the greater time wins whoever comes last.

use crate::domain::{Place, Tenant, User};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Which rows belong together. All of a partition's rows are ordered by their key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Partition {
    /// Which generation of a conversation's views is in force, and what it reflects. Generation-less.
    Reflects(Place),
    /// A view of a conversation's log.
    View {
        /// The conversation.
        place: Place,
        /// The generation; a rebuild writes a new one.
        generation: u32,
        /// Which view, by its fixed number.
        view: u8,
        /// Part of a long view, so that no partition grows without bound.
        part: u64,
    },
    /// What points from a user to their conversations.
    Memberships(Tenant, User),
    /// Read and delivered markers of a conversation's members.
    Markers(Place),
    /// The public channels of a tenant.
    Directory(Tenant),
    /// What is kept of a user.
    Account(Tenant, User),
    /// How long a tenant's conversations are kept, and which of them are being trimmed. Of no tenant (the name that sorts
    /// before all others): who looked through all of them last.
    Retention(Tenant),
    /// A part of a tenant's conversations, of which no other partition tells whether they are there.
    Conversations(Tenant, u8),
    /// Invitations that name a user.
    Received(Tenant, User),
}

/// A cell to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The row's key.
    pub row: Bytes,
    /// The column's name.
    pub column: Bytes,
    /// Which write wins: the greater. For views: the event's seq.
    pub at: u64,
    /// The value; `None` deletes.
    pub value: Option<Bytes>,
}

/// A row as it is read: its cells by column, with the time of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The row's key.
    pub key: Bytes,
    /// Column to (time, value).
    pub cells: BTreeMap<Bytes, (u64, Bytes)>,
}

impl Row {
    /// A time for cells that win over those of a row, also after the clock was set back: the last writer wins.
    pub fn after(row: Option<&Row>, now_ms: i64) -> u64 {
        let latest = row.and_then(|row| row.cells.values().map(|(at, _)| *at).max());
        u64::try_from(now_ms).unwrap_or_default().max(latest.unwrap_or_default() + 1)
    }
}

/// Which rows to read.
#[derive(Debug, Clone)]
pub enum Rows {
    /// These, where they exist, in the order asked.
    Keys(Vec<Bytes>),
    /// At most `limit` rows with `from <= key` (and `key < to`, if given), in order, or from the end downwards.
    Range {
        /// Lowest key.
        from: Bytes,
        /// Below this key; `None`: to the end.
        to: Option<Bytes>,
        /// Highest first.
        down: bool,
        /// At most this many rows.
        limit: usize,
    },
}

/// Whether a write must be durable when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// It may be lost in a crash, but only together with every later write: it can be made again from the log.
    Later,
    /// It must survive a crash from now on.
    Now,
}
