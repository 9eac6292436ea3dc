//! What is compared of an event.

/// All of an event that never changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// Its place.
    pub seq: u64,
    /// The client's id; empty if it has none.
    pub id: String,
    /// Who caused it.
    pub sender: String,
    /// What it is, by the number of its kind.
    pub kind: u32,
    /// When, Unix milliseconds.
    pub time_ms: i64,
    /// The message that it acts on, or 0.
    pub target: u64,
}
