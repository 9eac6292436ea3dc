//! What an operator can set of delivery.

use confique::Config;
use std::time::Duration;

/// Limits and times of delivery. Every one of them is checked by [`Settings::problems`].
#[derive(Debug, Clone, PartialEq, Eq, Config)]
pub struct Settings {
    /// Bytes of frames that may wait for one stream. A stream that is slower goes back to reading the log.
    #[config(default = 262144, env = "NEXUS_CORE_DELIVERY_QUEUE_BYTES")]
    pub queue_bytes: usize,

    /// Milliseconds after which a stream that carried nothing else gets a heartbeat; at most 20,000, since clients take
    /// a stream without a frame in 60 seconds for dead.
    #[config(default = 20000, env = "NEXUS_CORE_DELIVERY_HEARTBEAT_MS")]
    pub heartbeat_ms: u64,

    /// Milliseconds after which a stream that takes nothing of what waits for it is ended.
    #[config(default = 60000, env = "NEXUS_CORE_DELIVERY_STALL_MS")]
    pub stall_ms: u64,

    /// Events that are read from the log at once.
    #[config(default = 200, env = "NEXUS_CORE_DELIVERY_PAGE_EVENTS")]
    pub page_events: usize,

    /// Longest gap, in events of one conversation, that is sent. A longer one becomes a Reset.
    #[config(default = 1000, env = "NEXUS_CORE_DELIVERY_PUSH_EVENTS")]
    pub push_events: u64,

    /// Bytes of events in one frame, unless a single event is larger.
    #[config(default = 65536, env = "NEXUS_CORE_DELIVERY_FRAME_BYTES")]
    pub frame_bytes: usize,

    /// Bytes of the last frames that a conversation keeps for streams that are about to catch up.
    #[config(default = 16384, env = "NEXUS_CORE_DELIVERY_RECENT_BYTES")]
    pub recent_bytes: usize,

    /// Events per second above which a conversation gathers its events into a frame per tick.
    #[config(default = 20, env = "NEXUS_CORE_DELIVERY_TICK_ABOVE")]
    pub tick_above: u32,

    /// Milliseconds of a tick.
    #[config(default = 100, env = "NEXUS_CORE_DELIVERY_TICK_MS")]
    pub tick_ms: u64,

    /// Reads of the log that catching up may have under way at once, on this node.
    #[config(default = 64, env = "NEXUS_CORE_DELIVERY_READS")]
    pub reads: usize,

    /// Conversations that one stream catches up with at once.
    #[config(default = 4, env = "NEXUS_CORE_DELIVERY_READS_PER_STREAM")]
    pub reads_per_stream: usize,

    /// Streams of one device.
    #[config(default = 8, env = "NEXUS_CORE_DELIVERY_STREAMS_PER_DEVICE")]
    pub streams_per_device: usize,

    /// Streams of one user, all devices together.
    #[config(default = 32, env = "NEXUS_CORE_DELIVERY_STREAMS_PER_USER")]
    pub streams_per_user: usize,

    /// Streams of this node.
    #[config(default = 50000, env = "NEXUS_CORE_DELIVERY_STREAMS")]
    pub streams: usize,

    /// Cursors that Attach or AddCursors takes. Of more conversations than this, a stream without cursors for them
    /// carries the most recently active.
    #[config(default = 5000, env = "NEXUS_CORE_DELIVERY_CURSORS")]
    pub cursors: usize,

    /// Conversations of one stream, those by AddCursors included.
    #[config(default = 50000, env = "NEXUS_CORE_DELIVERY_CONVERSATIONS_PER_STREAM")]
    pub conversations_per_stream: usize,

    /// Milliseconds after which an attached user's memberships are read again, whether a hint came or not.
    #[config(default = 60000, env = "NEXUS_CORE_DELIVERY_MEMBERSHIPS_MS")]
    pub memberships_ms: u64,

    /// Milliseconds after which every lane is compared with the log, whether a hint was missed or not. 0: never, which
    /// is right only where no hint can be lost: with the bus of a single process.
    #[config(default = 30000, env = "NEXUS_CORE_DELIVERY_CHECK_MS")]
    pub check_ms: u64,

    /// Clients per second that are asked to attach elsewhere when this node goes away. Each keeps its stream until its turn;
    /// if there is no other node, each is asked to come back at its turn.
    #[config(default = 500, env = "NEXUS_CORE_DELIVERY_RECONNECTS_PER_SECOND")]
    pub reconnects_per_second: u32,

    /// Milliseconds within which all of them are asked to, however many they are.
    #[config(default = 5000, env = "NEXUS_CORE_DELIVERY_RECONNECT_MS")]
    pub reconnect_ms: u32,

    /// Members of a direct or group conversation up to which they are told of each other's presence.
    #[config(default = 200, env = "NEXUS_CORE_DELIVERY_PRESENCE_MEMBERS")]
    pub presence_members: u32,

    /// Conversations of a user in which their presence is told.
    #[config(default = 200, env = "NEXUS_CORE_DELIVERY_PRESENCE_CONVERSATIONS")]
    pub presence_conversations: usize,

    /// Users per second whose presence is told to others.
    #[config(default = 500, env = "NEXUS_CORE_DELIVERY_PRESENCE_PER_SECOND")]
    pub presence_per_second: usize,

    /// Users of this node who may type at once. Of more nobody is told.
    #[config(default = 100000, env = "NEXUS_CORE_DELIVERY_TYPISTS")]
    pub typists: usize,

    /// Users of one conversation who may type at once. Of more nobody is told.
    #[config(default = 50, env = "NEXUS_CORE_DELIVERY_TYPISTS_PER_CONVERSATION")]
    pub typists_per_conversation: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queue_bytes: 256 << 10,
            heartbeat_ms: 20_000,
            stall_ms: 60_000,
            page_events: 200,
            push_events: 1000,
            frame_bytes: 64 << 10,
            recent_bytes: 16 << 10,
            tick_above: 20,
            tick_ms: 100,
            reads: 64,
            reads_per_stream: 4,
            streams_per_device: 8,
            streams_per_user: 32,
            streams: 50_000,
            cursors: 5000,
            conversations_per_stream: 50_000,
            memberships_ms: 60_000,
            check_ms: 30_000,
            reconnects_per_second: 500,
            reconnect_ms: 5000,
            presence_members: 200,
            presence_conversations: 200,
            presence_per_second: 500,
            typists: 100_000,
            typists_per_conversation: 50,
        }
    }
}

impl Settings {
    /// Every setting's name and value, with its least and its greatest.
    pub fn limits(&self) -> [(&'static str, u64, u64, u64); 25] {
        [
            ("queue_bytes", self.queue_bytes as u64, 4 << 10, 1 << 30),
            ("heartbeat_ms", self.heartbeat_ms, 1000, 20_000),
            ("stall_ms", self.stall_ms, 1000, 3_600_000),
            ("page_events", self.page_events as u64, 1, 10_000),
            ("push_events", self.push_events, 1, 1_000_000),
            ("frame_bytes", self.frame_bytes as u64, 1 << 10, 1 << 20),
            ("recent_bytes", self.recent_bytes as u64, 0, 16 << 20),
            ("tick_above", u64::from(self.tick_above), 1, 1_000_000),
            ("tick_ms", self.tick_ms, 1, 10_000),
            ("reads", self.reads as u64, 1, 100_000),
            ("reads_per_stream", self.reads_per_stream as u64, 1, 1000),
            ("streams_per_device", self.streams_per_device as u64, 1, 1_000_000),
            ("streams_per_user", self.streams_per_user as u64, 1, 1_000_000),
            ("streams", self.streams as u64, 1, 10_000_000),
            ("cursors", self.cursors as u64, 1, 100_000),
            ("conversations_per_stream", self.conversations_per_stream as u64, 1, 1_000_000),
            ("memberships_ms", self.memberships_ms, 1000, 3_600_000),
            ("check_ms", self.check_ms, 0, 3_600_000),
            ("reconnects_per_second", u64::from(self.reconnects_per_second), 1, 1_000_000),
            ("reconnect_ms", u64::from(self.reconnect_ms), 0, 600_000),
            ("presence_members", u64::from(self.presence_members), 0, 100_000),
            ("presence_conversations", self.presence_conversations as u64, 1, 10_000),
            ("presence_per_second", self.presence_per_second as u64, 1, 1_000_000),
            ("typists", self.typists as u64, 1, 10_000_000),
            ("typists_per_conversation", self.typists_per_conversation as u64, 1, 10_000),
        ]
    }

    /// Everything that is wrong with these values, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let wrong =
            self.limits().into_iter().filter(|(_, value, least, most)| !(least..=most).contains(&value));
        wrong
            .map(|(name, value, least, most)| {
                format!("core.delivery.{name} = {value}: must be {least}-{most}")
            })
            .collect()
    }

    pub(super) fn tick(&self) -> Duration {
        Duration::from_millis(self.tick_ms)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_defaults_of_the_configuration_are_the_defaults_of_the_type() {
        assert_eq!(Settings::builder().load().unwrap(), Settings::default());
        assert_eq!(Settings::default().problems(), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let wrong = Settings { heartbeat_ms: 30_000, reads: 0, ..Settings::default() };
        assert_eq!(wrong.problems().len(), 2);
    }
}
