//! The invariants, once: observations in, verdicts out.
//!
//! Whoever watches a deployment (the checker, a test) tells a [`Judge`] what was acknowledged and what each device received;
//! at the end the judge says of each invariant how much was looked at and how often it was violated. It knows nothing of how
//! anything was observed.

use std::collections::{BTreeMap, HashMap};

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// A conversation's sequence is dense: no gap, no duplicate.
    Log1,
    /// An id names at most one event, and every retry gets its seq.
    Log2,
    /// An acknowledged event is in the log.
    Log3,
    /// An event's envelope never changes: everybody sees the same one.
    Log4,
    /// On one stream, a conversation's events are consecutive.
    Stream1,
    /// Every acknowledged event reaches every attached member's stream.
    Stream2,
    /// Nobody receives what they were not a member for.
    Stream3,
}

impl Invariant {
    /// All of them, in their order.
    pub const ALL: [Invariant; 7] = [
        Invariant::Log1,
        Invariant::Log2,
        Invariant::Log3,
        Invariant::Log4,
        Invariant::Stream1,
        Invariant::Stream2,
        Invariant::Stream3,
    ];

    /// Its id, as reports and metrics name it.
    pub fn id(self) -> &'static str {
        match self {
            Invariant::Log1 => "LOG-1",
            Invariant::Log2 => "LOG-2",
            Invariant::Log3 => "LOG-3",
            Invariant::Log4 => "LOG-4",
            Invariant::Stream1 => "STREAM-1",
            Invariant::Stream2 => "STREAM-2",
            Invariant::Stream3 => "STREAM-3",
        }
    }

    /// What it says, for people.
    pub fn says(self) -> &'static str {
        match self {
            Invariant::Log1 => "the log is dense",
            Invariant::Log2 => "an id is one event",
            Invariant::Log3 => "what was acknowledged is in the log",
            Invariant::Log4 => "everybody sees the same event",
            Invariant::Stream1 => "events come consecutively",
            Invariant::Stream2 => "every event reaches every member",
            Invariant::Stream3 => "nobody receives others' events",
        }
    }
}

/// What is compared of an event: all that never changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// Its place.
    pub seq: u64,
    /// The client's id.
    pub id: String,
    /// Who caused it.
    pub sender: String,
    /// When, Unix milliseconds.
    pub time_ms: i64,
}

/// What became of an invariant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many times it was looked at.
    pub checked: u64,
    /// How many times it was violated.
    pub violated: u64,
    /// The first violations, for people; at most [`EXAMPLES`].
    pub examples: Vec<String>,
}

/// Violations that a verdict describes.
pub const EXAMPLES: usize = 5;

/// Who is a member of what, what was acknowledged, and what was received.
#[derive(Debug, Default)]
pub struct Judge {
    members: BTreeMap<String, Vec<String>>,
    /// Conversation, sender and id to the seqs that were acknowledged.
    acknowledged: BTreeMap<(String, String, String), Vec<u64>>,
    /// Conversation and user to what was received, in order.
    received: BTreeMap<(String, String), Vec<Envelope>>,
    /// Conversation to its log, as it was read at the end.
    logs: BTreeMap<String, Vec<Envelope>>,
}

impl Judge {
    /// A conversation and its members, who stay the same throughout.
    pub fn conversation(&mut self, id: &str, members: &[String]) {
        self.members.insert(id.to_owned(), members.to_vec());
    }

    /// A receipt, of the first attempt or of a retry.
    pub fn acknowledged(&mut self, conversation: &str, sender: &str, id: &str, seq: u64) {
        let key = (conversation.to_owned(), sender.to_owned(), id.to_owned());
        self.acknowledged.entry(key).or_default().push(seq);
    }

    /// An event that a user's device was given, in the order in which it was.
    pub fn received(&mut self, conversation: &str, user: &str, event: Envelope) {
        self.received.entry((conversation.to_owned(), user.to_owned())).or_default().push(event);
    }

    /// A conversation's log as it was read afresh at the end, from seq 1.
    pub fn log(&mut self, conversation: &str, events: Vec<Envelope>) {
        self.logs.insert(conversation.to_owned(), events);
    }

    /// Acknowledged (message, member) pairs that must have been delivered.
    pub fn pairs(&self) -> u64 {
        let members = |place: &String| self.members.get(place).map_or(0, Vec::len) as u64;
        self.acknowledged.keys().map(|(place, _, _)| members(place)).sum()
    }

    /// Whether every acknowledged event has been received by every member: there is nothing left to wait for.
    pub fn complete(&self) -> bool {
        self.stream_2().violated == 0
    }

    /// The verdicts, in the order of [`Invariant::ALL`].
    pub fn verdicts(&self) -> Vec<(Invariant, Verdict)> {
        let judge = |invariant| match invariant {
            Invariant::Log1 => self.log_1(),
            Invariant::Log2 => self.log_2(),
            Invariant::Log3 => self.log_3(),
            Invariant::Log4 => self.log_4(),
            Invariant::Stream1 => self.stream_1(),
            Invariant::Stream2 => self.stream_2(),
            Invariant::Stream3 => self.stream_3(),
        };
        Invariant::ALL.into_iter().map(|invariant| (invariant, judge(invariant))).collect()
    }

    fn log_1(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for (place, events) in &self.logs {
            for (index, event) in events.iter().enumerate() {
                let expected = index as u64 + 1;
                verdict.check(event.seq == expected, || {
                    format!("{place}: {} stands where {expected} must", event.seq)
                });
            }
        }
        verdict
    }

    fn log_2(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for ((place, sender, id), seqs) in &self.acknowledged {
            let same = seqs.iter().all(|seq| *seq == seqs[0]);
            verdict.check(same, || format!("{place}: {sender}'s {id} was acknowledged as {seqs:?}"));
        }
        for (place, events) in &self.logs {
            let mut seen: HashMap<(&str, &str), u64> = HashMap::new();
            for event in events.iter().filter(|event| !event.id.is_empty()) {
                let before = seen.insert((&event.sender, &event.id), event.seq);
                verdict.check(before.is_none(), || {
                    format!("{place}: {} is {before:?} and {}", event.id, event.seq)
                });
            }
        }
        verdict
    }

    fn log_3(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for ((place, sender, id), seqs) in &self.acknowledged {
            let log = self.logs.get(place).map_or(&[][..], Vec::as_slice);
            let found = log.iter().find(|event| event.seq == seqs[0]);
            let there = found.is_some_and(|event| event.sender == *sender && event.id == *id);
            verdict.check(there, || format!("{place}: {sender}'s {id} is not at {}", seqs[0]));
        }
        verdict
    }

    fn log_4(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for ((place, user), events) in &self.received {
            let log = self.logs.get(place).map_or(&[][..], Vec::as_slice);
            let by_seq: HashMap<u64, &Envelope> = log.iter().map(|event| (event.seq, event)).collect();
            for event in events {
                let same = by_seq.get(&event.seq).is_some_and(|other| *other == event);
                verdict.check(same, || format!("{place}: {user} received another {}", event.seq));
            }
        }
        verdict
    }

    fn stream_1(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for ((place, user), events) in &self.received {
            for pair in events.windows(2) {
                let (a, b) = (pair[0].seq, pair[1].seq);
                verdict.check(b == a + 1, || format!("{place}: {user} received {b} after {a}"));
            }
        }
        verdict
    }

    fn stream_2(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let mut seen: HashMap<(&str, &str), HashMap<u64, u64>> = HashMap::new();
        for ((place, user), events) in &self.received {
            let counts = seen.entry((place, user)).or_default();
            for event in events {
                *counts.entry(event.seq).or_default() += 1;
            }
        }
        for ((place, _, id), seqs) in &self.acknowledged {
            for user in self.members.get(place).map_or(&[][..], Vec::as_slice) {
                let times =
                    seen.get(&(&place[..], &user[..])).and_then(|c| c.get(&seqs[0])).copied().unwrap_or(0);
                verdict.check(times == 1, || {
                    format!("{place}: {user} received {id} (seq {}) {times} times", seqs[0])
                });
            }
        }
        verdict
    }

    fn stream_3(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for ((place, user), events) in &self.received {
            let member = self.members.get(place).is_none_or(|members| members.contains(user));
            for event in events {
                verdict.check(member, || format!("{place}: {user} is no member and received {}", event.seq));
            }
        }
        verdict
    }
}

impl Verdict {
    fn check(&mut self, holds: bool, example: impl FnOnce() -> String) {
        self.checked += 1;
        if !holds {
            self.violated += 1;
            if self.examples.len() < EXAMPLES {
                self.examples.push(example());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64) -> Envelope {
        Envelope { seq, id: format!("id{seq}"), sender: "ann".into(), time_ms: 0 }
    }

    fn judge(log: &[u64], received: &[u64]) -> Vec<&'static str> {
        let mut judge = Judge::default();
        judge.conversation("c", &["ann".into(), "bob".into()]);
        judge.acknowledged("c", "ann", "id1", 1);
        judge.acknowledged("c", "ann", "id2", 2);
        judge.log("c", log.iter().map(|seq| event(*seq)).collect());
        received.iter().for_each(|seq| judge.received("c", "bob", event(*seq)));
        [1, 2].into_iter().for_each(|seq| judge.received("c", "ann", event(seq)));
        let verdicts = judge.verdicts();
        verdicts.into_iter().filter(|(_, v)| v.violated > 0).map(|(invariant, _)| invariant.id()).collect()
    }

    #[test]
    fn what_is_right_is_right() {
        assert!(judge(&[1, 2], &[1, 2]).is_empty());
    }

    #[test]
    fn each_violation_is_found() {
        assert_eq!(judge(&[1, 2], &[1]), ["STREAM-2"]);
        assert_eq!(judge(&[1, 2], &[1, 2, 2]), ["STREAM-1", "STREAM-2"]);
        assert_eq!(judge(&[1, 2], &[2, 1]), ["STREAM-1"]);
        assert_eq!(judge(&[1], &[1, 2]), ["LOG-3", "LOG-4"]);
        let mut twice = Judge::default();
        twice.acknowledged("c", "ann", "x", 1);
        twice.acknowledged("c", "ann", "x", 2);
        twice.conversation("c", &[]);
        twice.received("c", "eve", event(1));
        let violated: Vec<_> =
            twice.verdicts().into_iter().filter(|(_, v)| v.violated > 0).map(|(i, _)| i.id()).collect();
        assert_eq!(violated, ["LOG-2", "LOG-3", "LOG-4", "STREAM-3"]);
    }
}
