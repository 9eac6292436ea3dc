//! One conversation, from pages of folded messages and from events, in whatever order they come.
//!
//! Each message remembers the seq up to which it is folded; an event at or below it was in the page already. The
//! newest events are kept, to be applied to pages that arrive after them.
use std::collections::{BTreeMap, VecDeque};

use nexus_proto::v1::{self, Covered, Event, ListMessagesResponse, MemberRole, Message, event::Body};

use super::{Coverage, fold, summary};

/// How many events are kept for pages that arrive late.
const RECENT: usize = 1_000;

/// A page is older than what can be brought up to date: ask again, with this as `at_least`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the page is too old: ask again for at least seq {at_least}")]
pub struct Stale {
    /// The least seq that the page has to reflect.
    pub at_least: u64,
}

/// One conversation.
#[derive(Clone, Debug)]
pub struct Conversation {
    user: String,
    summary: v1::Conversation,
    /// Number of messages up to the read marker.
    read_count: u64,
    /// The summary may lack something: an event of a hole, or what lies above a read marker that was moved.
    uncertain: bool,
    messages: BTreeMap<u64, Held>,
    covered: Coverage,
    /// The newest events, without a gap, the last being `seq`.
    recent: VecDeque<Event>,
    seq: u64,
}

#[derive(Clone, Debug)]
struct Held {
    message: Message,
    reflects: u64,
}

impl Held {
    fn apply(&mut self, event: &Event) {
        if event.seq > self.reflects {
            fold::apply(&mut self.message, event);
            self.reflects = event.seq;
        }
    }
}

impl Conversation {
    pub(super) fn new(user: &str, id: &str) -> Self {
        Self {
            user: user.to_owned(),
            summary: v1::Conversation { id: id.to_owned(), ..v1::Conversation::default() },
            read_count: 0,
            uncertain: false,
            messages: BTreeMap::new(),
            covered: Coverage::default(),
            recent: VecDeque::new(),
            seq: 0,
        }
    }

    /// Its line in the list.
    pub fn view(&self) -> &v1::Conversation {
        &self.summary
    }

    /// Whether the line in the list may lack something: fetch it (GetConversation) with this `at_least`.
    pub fn needs_summary(&self) -> Option<u64> {
        self.uncertain.then(|| self.base())
    }

    /// The newest messages that are known without a hole between them, oldest first.
    pub fn newest(&self) -> impl DoubleEndedIterator<Item = &Message> {
        let (first, last) = self.tail().unwrap_or((1, 0));
        self.messages.range(first..last.max(first).saturating_add(1)).map(|(_, held)| &held.message)
    }

    /// What to fetch to see what is before [`newest`](Self::newest): None when there is nothing; `Some(None)`: the
    /// newest page; `Some(Some(seq))`: the page before this seq.
    pub fn older(&self) -> Option<Option<u64>> {
        match self.tail() {
            None => Some(None),
            Some((1, _)) => None,
            Some((first, _)) => Some(Some(first)),
        }
    }

    /// The covered range that reaches up to the last event.
    fn tail(&self) -> Option<(u64, u64)> {
        self.covered.newest().filter(|(_, last)| *last >= self.seq)
    }

    /// A message, if it is held.
    pub fn message(&self, seq: u64) -> Option<&Message> {
        self.messages.get(&seq).map(|held| &held.message)
    }

    /// Which seqs are known completely.
    pub fn covered(&self) -> &Coverage {
        &self.covered
    }

    /// Events up to here have been applied.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The seq that a page has to reflect at least.
    pub fn base(&self) -> u64 {
        self.recent.front().map_or(self.seq, |event| event.seq - 1)
    }

    /// Applies the next event. One that was applied before changes nothing; one that comes after a gap makes a
    /// hole of the gap.
    pub fn event(&mut self, event: &Event) {
        if event.seq <= self.seq {
            return;
        }
        if event.seq > self.seq + 1 {
            self.hole(event.seq - 1);
        }
        self.seq = event.seq;
        self.covered.insert(event.seq, event.seq);
        for seq in fold::touched(event) {
            if let Some(held) = self.messages.get_mut(&seq) {
                held.apply(event);
            }
        }
        if let Some(message) = fold::sent(event) {
            let held = Held { message, reflects: event.seq };
            self.messages.entry(event.seq).or_insert(held);
        }
        if event.seq > self.summary.reflects {
            self.fold_summary(event);
        }
        self.recent.push_back(event.clone());
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// The events up to `last` don't come: everything that they might have changed is dropped, and has to be
    /// fetched again. So it is when the user was not a member meanwhile: messages may have been edited.
    pub fn hole(&mut self, last: u64) {
        if last > self.seq {
            self.uncertain |= self.summary.reflects < last;
            self.messages.clear();
            self.covered = Coverage::default();
            self.recent.clear();
            self.seq = last;
        }
    }

    /// Takes a page of messages.
    ///
    /// # Errors
    /// When the page is too old to be brought up to date; nothing was changed.
    pub fn page(&mut self, page: ListMessagesResponse) -> Result<(), Stale> {
        let Covered { first, last, at_start, .. } = page.covered.unwrap_or_default();
        self.messages(page.messages, page.reflects)?;
        self.covered.insert(if at_start { 1 } else { first }, last);
        Ok(())
    }

    /// Takes some messages, as GetMessages and ListThread give them: they say nothing of what is between them.
    ///
    /// # Errors
    /// When they are too old to be brought up to date; nothing was changed.
    pub fn messages(&mut self, messages: Vec<Message>, reflects: u64) -> Result<(), Stale> {
        if reflects < self.base() {
            return Err(Stale { at_least: self.base() });
        }
        for message in messages {
            let seq = message.seq;
            if self.messages.get(&seq).is_some_and(|held| held.reflects >= reflects) {
                continue;
            }
            let mut held = Held { message, reflects };
            for event in self.recent.iter().filter(|event| event.seq > reflects) {
                if fold::touched(event).contains(&seq) {
                    held.apply(event);
                }
            }
            self.messages.insert(seq, held);
        }
        Ok(())
    }

    /// Takes the line in the list as the server gave it, unless something newer is known.
    pub fn summary(&mut self, summary: v1::Conversation) {
        let older = summary.reflects < self.summary.reflects && !self.uncertain;
        if older || summary.reflects < self.base() {
            return;
        }
        let read_seq = self.summary.read_seq;
        self.read_count = summary.message_count.saturating_sub(summary.unread_count);
        self.summary = summary;
        self.uncertain = false;
        let reflects = self.summary.reflects;
        let later: Vec<Event> = self.recent.iter().filter(|event| event.seq > reflects).cloned().collect();
        for event in &later {
            self.fold_summary(event);
        }
        // The marker may have moved while the answer was under way.
        self.read(read_seq);
    }

    /// The user has read up to here, on whichever device.
    pub fn read(&mut self, seq: u64) {
        if seq <= self.summary.read_seq {
            return;
        }
        self.summary.read_seq = seq;
        // What lies above the marker can be counted only where all events above it are at hand.
        self.uncertain |= seq < self.base() || self.summary.reflects > self.seq;
        let above = self.recent.iter().filter(|event| event.seq > seq);
        let (mut messages, mut mentions) = (0, 0);
        for event in above {
            messages += u64::from(matches!(event.body, Some(Body::MessageSent(_))));
            mentions += u32::from(self.is_mention(event));
        }
        self.read_count = self.summary.message_count.saturating_sub(messages);
        self.summary.mention_count = mentions;
        self.count_unread();
    }

    /// Forgets the oldest messages beyond this number.
    pub fn keep_newest(&mut self, messages: usize) {
        if let Some((&first, _)) = self.messages.iter().rev().nth(messages.saturating_sub(1))
            && self.messages.len() > messages
        {
            self.messages = self.messages.split_off(&first);
            self.covered.drop_below(first);
        }
    }

    fn fold_summary(&mut self, event: &Event) {
        summary::apply(&mut self.summary, &self.user, event);
        let joined = |members: &[MemberRole]| members.iter().any(|member| member.user == self.user);
        let moves_marker = match &event.body {
            Some(Body::MessageSent(_)) => event.sender == self.user,
            Some(Body::ConversationCreated(body)) => joined(&body.members),
            Some(Body::MembersAdded(body)) => joined(&body.members),
            _ => false,
        };
        self.summary.mention_count += u32::from(self.is_mention(event));
        if moves_marker && event.seq > self.summary.read_seq {
            self.summary.read_seq = event.seq;
            self.summary.mention_count = 0;
            self.read_count = event.message_count;
        }
        self.count_unread();
    }

    fn is_mention(&self, event: &Event) -> bool {
        let Some(Body::MessageSent(body)) = &event.body else { return false };
        event.sender != self.user && summary::mentions(body.content.as_ref(), &self.user)
    }

    fn count_unread(&mut self) {
        let member = self.summary.member_since > 0;
        let unread = self.summary.message_count.saturating_sub(self.read_count);
        self.summary.unread_count = if member { unread } else { 0 };
    }
}
