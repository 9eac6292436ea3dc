//! All that was observed of a deployment, and the verdicts on it.

use crate::{Envelope, Invariant, Spans, Verdict, log, stream};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Who is a member of what, what was acknowledged, and what was received.
#[derive(Debug, Default)]
pub struct Judge {
    /// Conversation to its members, by user.
    members: BTreeMap<String, BTreeMap<String, Spans>>,
    /// What became of each id.
    asked: BTreeMap<Asked, Answers>,
    /// What each device was given of a conversation, in order.
    received: BTreeMap<Listening, Vec<Got>>,
    /// Conversation to its log, as it was read at the end.
    logs: BTreeMap<String, Vec<Envelope>>,
    /// Conversation to the last event that was trimmed.
    floors: BTreeMap<String, u64>,
    views: Verdict,
    /// Whether what may not be seen was kept from those who asked for it.
    hidden: Verdict,
    /// Deliveries that somebody gave up waiting for.
    late: Verdict,
}

/// A request: an id of a sender's in a conversation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    place: String,
    sender: String,
    id: String,
}

#[derive(Debug, Default)]
struct Answers {
    seqs: Vec<u64>,
    /// Every attempt was refused for good.
    refused: bool,
}

/// A device that listens to a conversation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Listening {
    place: String,
    user: String,
    device: String,
}

/// What a device was given.
#[derive(Debug)]
enum Got {
    /// A new stream, from a cursor or without one.
    Attached(Option<u64>),
    Event(Envelope),
    /// A Reset.
    Skipped {
        first: u64,
        last: u64,
        /// It begins the conversation anew.
        anew: bool,
    },
}

impl Listening {
    fn new(place: &str, user: &str, device: &str) -> Self {
        Self { place: place.into(), user: user.into(), device: device.into() }
    }
}

impl Judge {
    /// A conversation whose members stay the same throughout.
    pub fn conversation(&mut self, id: &str, members: &[String]) {
        members.iter().for_each(|user| self.member(id, user, Spans::always()));
    }

    /// When a user was a member; whoever is not named never was. What is said last counts.
    pub fn member(&mut self, conversation: &str, user: &str, spans: Spans) {
        self.members.entry(conversation.to_owned()).or_default().insert(user.to_owned(), spans);
    }

    /// A receipt, of the first attempt or of a retry.
    pub fn acknowledged(&mut self, conversation: &str, sender: &str, id: &str, seq: u64) {
        self.answers(conversation, sender, id).seqs.push(seq);
    }

    /// Every attempt of this id was refused for good: it is not in the log and never will be.
    pub fn refused(&mut self, conversation: &str, sender: &str, id: &str) {
        self.answers(conversation, sender, id).refused = true;
    }

    fn answers(&mut self, place: &str, sender: &str, id: &str) -> &mut Answers {
        let asked = Asked { place: place.into(), sender: sender.into(), id: id.into() };
        self.asked.entry(asked).or_default()
    }

    /// A user's device attaches, with this cursor for a conversation. From here on STREAM-1 starts anew, and STREAM-2 holds.
    pub fn attached(&mut self, conversation: &str, user: &str, device: &str, cursor: Option<u64>) {
        self.got(conversation, user, device, Got::Attached(cursor));
    }

    /// An event that a device was given, in the order in which it was.
    pub fn received(&mut self, conversation: &str, user: &str, device: &str, event: Envelope) {
        self.got(conversation, user, device, Got::Event(event));
    }

    /// A device was told that these events are not sent to it. `anew`: because the server has no
    /// cursor of it, or one that lies above the log.
    pub fn skipped(&mut self, place: &str, user: &str, device: &str, first: u64, last: u64, anew: bool) {
        self.got(place, user, device, Got::Skipped { first, last, anew });
    }

    fn got(&mut self, place: &str, user: &str, device: &str, got: Got) {
        self.received.entry(Listening::new(place, user, device)).or_default().push(got);
    }

    /// A conversation's log as it was read afresh at the end, from seq 1.
    pub fn log(&mut self, conversation: &str, events: Vec<Envelope>) {
        self.logs.insert(conversation.to_owned(), events);
    }

    /// A conversation's events up to this seq were trimmed: a device without a cursor isn't told of them.
    pub fn trimmed(&mut self, conversation: &str, floor: u64) {
        self.floors.insert(conversation.to_owned(), floor);
    }

    /// Whoever watches has waited as long as STREAM-2 allows: what is missing now is a violation, even if it comes yet.
    pub fn late(&mut self) {
        self.late = self.stream_2();
    }

    /// The highest seq of a conversation that was acknowledged; 0 if none was.
    pub fn last_acknowledged(&self, conversation: &str) -> u64 {
        let here = self.asked.iter().filter(|(asked, _)| asked.place == conversation);
        here.flat_map(|(_, answers)| &answers.seqs).max().copied().unwrap_or(0)
    }

    /// Something that was served was compared with the fold of the log.
    pub fn view(&mut self, equal: bool, what: impl FnOnce() -> String) {
        self.views.check(equal, what);
    }

    /// Somebody asked for an event and was shown it, otherwise than on a stream.
    pub fn shown(&mut self, conversation: &str, user: &str, seq: u64) {
        let spans = self.members.get(conversation).and_then(|members| members.get(user));
        let holds = spans.is_some_and(|spans| stream::may_see(spans, seq));
        self.hidden(holds, || format!("{conversation}: {user} was no member and was shown {seq}"));
    }

    /// Somebody asked for what they may not see, and it was kept from them, or not.
    pub fn hidden(&mut self, kept: bool, what: impl FnOnce() -> String) {
        self.hidden.check(kept, what);
    }

    /// Acknowledged (event, member) pairs that must have been delivered.
    pub fn pairs(&self) -> u64 {
        let acknowledged =
            self.asked.iter().filter_map(|(at, answers)| Some((&at.place, *answers.seqs.first()?)));
        let owed = |(place, seq): (&String, u64)| {
            let members = self.members.get(place).into_iter().flat_map(BTreeMap::values);
            members.filter(|spans| spans.current().is_some_and(|from| from <= seq)).count() as u64
        };
        acknowledged.map(owed).sum()
    }

    /// Whether every event that is known has been received by every device that must: there is nothing left to wait for.
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
            Invariant::Stream2 if self.late.violated > 0 => self.late.clone(),
            Invariant::Stream2 => self.stream_2(),
            Invariant::Stream3 => self.stream_3(),
            Invariant::View1 => self.views.clone(),
        };
        Invariant::ALL.into_iter().map(|invariant| (invariant, judge(invariant))).collect()
    }

    fn log_of(&self, place: &str) -> &[Envelope] {
        self.logs.get(place).map_or(&[], Vec::as_slice)
    }

    /// An event by its seq, wherever it stands.
    fn event(&self, place: &str, seq: u64) -> Option<&Envelope> {
        let log = self.log_of(place);
        let there = log.get((seq as usize).wrapping_sub(1)).filter(|event| event.seq == seq);
        there.or_else(|| log.iter().find(|event| event.seq == seq))
    }

    fn log_1(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for (place, events) in &self.logs {
            for (index, event) in events.iter().enumerate() {
                let expected = index as u64 + 1;
                verdict.check(log::dense(expected, [event.seq]), || {
                    format!("{place}: {} stands where {expected} must", event.seq)
                });
            }
        }
        verdict
    }

    fn log_2(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for (Asked { place, sender, id }, Answers { seqs, refused }) in &self.asked {
            let one = log::one_place(seqs);
            verdict.check(one, || format!("{place}: {sender}'s {id} was acknowledged as {seqs:?}"));
            let both = *refused && !seqs.is_empty();
            verdict.check(!both, || format!("{place}: {sender}'s {id} was acknowledged and refused"));
        }
        for (place, events) in &self.logs {
            let mut seen: HashMap<(&str, &str), u64> = HashMap::new();
            for event in events.iter().filter(|event| !event.id.is_empty()) {
                let before = seen.insert((&event.sender, &event.id), event.seq);
                verdict.check(before.is_none(), || {
                    format!("{place}: {} is {before:?} and {}", event.id, event.seq)
                });
                let asked =
                    Asked { place: place.clone(), sender: event.sender.clone(), id: event.id.clone() };
                let refused = self.asked.get(&asked).is_some_and(|answers| answers.refused);
                verdict.check(!refused, || {
                    format!("{place}: {} was refused and is event {}", event.id, event.seq)
                });
            }
        }
        verdict
    }

    fn log_3(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for (Asked { place, sender, id }, Answers { seqs, .. }) in &self.asked {
            for seq in seqs {
                let there = log::named(self.event(place, *seq), sender, id);
                verdict.check(there, || format!("{place}: {sender}'s {id} is not at {seq}"));
            }
        }
        verdict
    }

    fn log_4(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for (at, got) in &self.received {
            for event in got.iter().filter_map(Got::event) {
                let same = self.event(&at.place, event.seq).is_some_and(|in_log| log::same(in_log, event));
                verdict.check(same, || format!("{}: {} received another {}", at.place, at.user, event.seq));
            }
        }
        verdict
    }

    fn stream_1(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for (Listening { place, user, device }, got) in &self.received {
            let mut next = None;
            for got in got {
                match got {
                    Got::Attached(cursor) => next = cursor.map(|cursor| cursor + 1),
                    Got::Event(event) => {
                        // Without a cursor, a Reset comes first.
                        let holds = next.is_some_and(|next| stream::consecutive(next, event.seq));
                        verdict.check(holds, || {
                            format!("{place}: {user}/{device} received {} instead of {next:?}", event.seq)
                        });
                        next = Some(event.seq + 1);
                    }
                    Got::Skipped { first, last, anew } => {
                        let holds = stream::may_skip(next.unwrap_or(*first), *first, *last, *anew);
                        verdict.check(holds, || {
                            format!("{place}: {user}/{device} skipped {first}-{last} instead of {next:?}")
                        });
                        next = Some(last + 1);
                    }
                }
            }
        }
        verdict
    }

    /// What each device of a present member must have got since it first attached: every event that is known of.
    fn stream_2(&self) -> Verdict {
        let mut known: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        for (asked, answers) in &self.asked {
            known.entry(&asked.place).or_default().extend(&answers.seqs);
        }
        for (place, log) in &self.logs {
            known.entry(place).or_default().extend(log.iter().map(|event| event.seq));
        }
        let mut verdict = Verdict::default();
        for (Listening { place, user, device }, got) in &self.received {
            let from = self.members.get(place).and_then(|members| members.get(user)?.current());
            let (Some(from), Some(known)) = (from, known.get(&place[..])) else { continue };
            let begun = got.first().and_then(|got| if let Got::Attached(at) = got { *at } else { None });
            let mut times: HashMap<u64, u64> = HashMap::new();
            for got in got {
                match got {
                    // What lies above its cursor a device has not, or not any more.
                    Got::Attached(at) => times.retain(|seq, _| at.is_some_and(|at| *seq <= at)),
                    Got::Event(event) => *times.entry(event.seq).or_default() += 1,
                    Got::Skipped { .. } => {}
                }
            }
            let floor = self.floors.get(place).copied().unwrap_or(0);
            let skipped = |seq| got.iter().any(|got| got.skips(seq, floor));
            for seq in known.range(from.max(begun.map_or(0, |cursor| cursor + 1))..) {
                let times = times.get(seq).copied().unwrap_or(0);
                let holds = times == 1 || times == 0 && skipped(*seq);
                verdict.check(holds, || format!("{place}: {user}/{device} received {seq} {times} times"));
            }
        }
        verdict
    }

    fn stream_3(&self) -> Verdict {
        let mut verdict = self.hidden.clone();
        let nothing = Spans::default();
        for (at, got) in &self.received {
            let Some(members) = self.members.get(&at.place) else { continue };
            let spans = members.get(&at.user).unwrap_or(&nothing);
            for event in got.iter().filter_map(Got::event) {
                verdict.check(stream::may_see(spans, event.seq), || {
                    format!("{}: {} was no member and received {}", at.place, at.user, event.seq)
                });
            }
        }
        verdict
    }
}

impl Got {
    fn event(&self) -> Option<&Envelope> {
        if let Got::Event(event) = self { Some(event) } else { None }
    }

    /// Whether an event is not owed after this. Who begins anew does so above what was trimmed.
    fn skips(&self, seq: u64, floor: u64) -> bool {
        let Got::Skipped { first, last, anew } = self else { return false };
        let from = if *anew && *first <= floor + 1 { 0 } else { *first };
        (from..=*last).contains(&seq)
    }
}

#[cfg(test)]
mod tests;
