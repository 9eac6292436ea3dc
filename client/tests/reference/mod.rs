//! A server that answers from the whole log each time, as naively as can be: nothing here is shared with the client.
use nexus_client::v1::{event::Body, *};
use proptest::prelude::*;

/// The user whose client it is.
pub const ME: &str = "bob";
const USERS: [&str; 3] = ["alice", ME, "carol"];

pub struct Server {
    pub log: Vec<Event>,
    /// The log's end, as far as it has happened.
    pub head: u64,
    /// Read up to here, beside what the log says.
    read: u64,
}

/// What somebody does; `target` picks a message.
#[derive(Clone, Debug)]
struct Deed {
    kind: u8,
    user: usize,
    target: prop::sample::Index,
    word: u8,
}

/// A log that a server would accept.
pub fn log() -> impl Strategy<Value = Vec<Event>> {
    let deed = (0..14u8, 0..USERS.len(), any::<prop::sample::Index>(), 0..3u8)
        .prop_map(|(kind, user, target, word)| Deed { kind, user, target, word });
    prop::collection::vec(deed, 0..120).prop_map(|deeds| {
        let members = USERS.map(|user| MemberRole { user: user.into(), role: Role::Member.into() });
        let created = ConversationCreated {
            kind: ConversationKind::Group.into(),
            title: "t".into(),
            members: members.into(),
            ..Default::default()
        };
        let mut log = vec![event(1, "alice", 0, Body::ConversationCreated(created))];
        for deed in deeds {
            if let Some(next) = act(&log, &deed) {
                log.push(next);
            }
        }
        let mut count = 0;
        for event in &mut log {
            count += u64::from(matches!(event.body, Some(Body::MessageSent(_))));
            event.message_count = count;
        }
        log
    })
}

fn event(seq: u64, sender: &str, target: u64, body: Body) -> Event {
    let (id, time_ms) = (format!("id-{seq}"), 1_000 + seq as i64);
    Event { seq, id, sender: sender.into(), time_ms, target, body: Some(body), ..Default::default() }
}

fn act(log: &[Event], deed: &Deed) -> Option<Event> {
    let seq = log.len() as u64 + 1;
    let sender = USERS[deed.user];
    let sent = |event: &&Event| matches!(event.body, Some(Body::MessageSent(_)));
    let messages: Vec<u64> = log.iter().filter(sent).map(|event| event.seq).collect();
    let target = (!messages.is_empty()).then(|| *deed.target.get(&messages));
    let carol_is_in = is_member(log, "carol");
    if sender == "carol" && !carol_is_in {
        return None;
    }
    let users = if deed.word == 0 { vec![ME.to_owned()] } else { Vec::new() };
    let mentions = Some(Mentions { users, everyone: deed.word == 1 });
    let content = Some(Content { text: format!("said at {seq}"), mentions, ..Default::default() });
    let reaction = ["+1", "heart", "a"][usize::from(deed.word)].to_owned();
    let gone = |seq| {
        let message = fold(log, seq, u64::MAX).unwrap();
        message.deleted || message.erased
    };
    let body = match deed.kind {
        0..=3 => {
            let reply_to = target.filter(|_| deed.word == 2).unwrap_or_default();
            Body::MessageSent(MessageSent { content, reply_to, thread: 0 })
        }
        4 => Body::MessageSent(MessageSent { content, reply_to: 0, thread: target? }),
        5 if !gone(target?) => Body::MessageEdited(MessageEdited { content }),
        6 if !gone(target?) => Body::MessageDeleted(MessageDeleted {}),
        7 | 8 => Body::ReactionAdded(ReactionAdded { reaction }),
        9 => Body::ReactionRemoved(ReactionRemoved { reaction }),
        10 => Body::MessagePinned(MessagePinned {}),
        11 => Body::MessageUnpinned(MessageUnpinned {}),
        12 if deed.word == 0 => Body::ErasedEvents(Erased { seqs: vec![target?] }),
        12 => {
            let topic = Some(format!("topic {seq}"));
            Body::ConversationChanged(ConversationChanged { topic, ..Default::default() })
        }
        13 if carol_is_in => Body::MemberRemoved(MemberRemoved { user: "carol".into() }),
        13 => {
            let members = vec![MemberRole { user: "carol".into(), role: Role::Reader.into() }];
            Body::MembersAdded(MembersAdded { members })
        }
        _ => return None,
    };
    let target = if (5..=11).contains(&deed.kind) { target? } else { 0 };
    Some(event(seq, sender, target, body))
}

fn is_member(log: &[Event], user: &str) -> bool {
    let last = log.iter().rev().find_map(|event| match event.body.as_ref().unwrap() {
        Body::MemberRemoved(body) if body.user == user => Some(false),
        Body::MembersAdded(body) if body.members.iter().any(|member| member.user == user) => Some(true),
        _ => None,
    });
    last.unwrap_or(true)
}

/// The message at `seq` as of `head`, from the whole log.
fn fold(log: &[Event], seq: u64, head: u64) -> Option<Message> {
    let log: Vec<&Event> = log.iter().filter(|event| event.seq <= head).collect();
    let first = log.iter().find(|event| event.seq == seq)?;
    let Body::MessageSent(sent) = first.body.as_ref().unwrap() else { return None };
    let about = || log.iter().filter(|event| event.target == seq);
    let deleted = about().any(|event| matches!(event.body, Some(Body::MessageDeleted(_))));
    let erased = log
        .iter()
        .any(|event| matches!(&event.body, Some(Body::ErasedEvents(body)) if body.seqs.contains(&seq)));
    let edits = || {
        about().rev().find_map(|event| match &event.body {
            Some(Body::MessageEdited(body)) => Some((event.time_ms, body.content.clone())),
            _ => None,
        })
    };
    let pinned = about().rev().find_map(|event| match event.body {
        Some(Body::MessagePinned(_)) => Some(true),
        Some(Body::MessageUnpinned(_)) => Some(false),
        _ => None,
    });
    let in_thread =
        |event: &&&Event| matches!(&event.body, Some(Body::MessageSent(body)) if body.thread == seq);
    let content = edits().map_or(sent.content.clone(), |(_, content)| content);
    Some(Message {
        seq,
        id: first.id.clone(),
        sender: first.sender.clone(),
        time_ms: first.time_ms,
        content: content.filter(|_| !deleted && !erased),
        reply_to: sent.reply_to,
        thread: sent.thread,
        edited_at_ms: edits().map_or(0, |(at, _)| at),
        deleted,
        erased,
        reactions: reactions(about()),
        pinned: pinned.unwrap_or(false),
        thread_replies: log.iter().filter(in_thread).count() as u32,
        message_count: first.message_count,
    })
}

fn reactions<'a>(about: impl Iterator<Item = &'a &'a Event>) -> Vec<Reaction> {
    let mut given: Vec<(&str, &str)> = Vec::new();
    for event in about {
        match &event.body {
            Some(Body::ReactionAdded(body)) if !given.contains(&(&body.reaction, &event.sender)) => {
                given.push((&body.reaction, &event.sender));
            }
            Some(Body::ReactionRemoved(body)) => {
                given.retain(|pair| *pair != (&body.reaction, &event.sender))
            }
            _ => {}
        }
    }
    let mut kinds: Vec<&str> = given.iter().map(|(kind, _)| *kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let users = |kind| given.iter().filter(|pair| pair.0 == kind).map(|pair| pair.1.to_owned()).collect();
    kinds.into_iter().map(|kind| Reaction { reaction: kind.to_owned(), users: users(kind) }).collect()
}

impl Server {
    pub fn new(log: Vec<Event>) -> Self {
        Self { log, head: 1, read: 0 }
    }

    pub fn grow(&mut self, events: usize) {
        self.head = (self.head + events as u64).min(self.log.len() as u64);
    }

    pub fn read(&mut self, seq: u64) {
        self.read = self.read.max(seq);
    }

    pub fn message(&self, seq: u64) -> Option<Message> {
        fold(&self.log, seq, self.head)
    }

    pub fn list_messages(&self, request: &ListMessagesRequest) -> ListMessagesResponse {
        use list_messages_request::Anchor;
        let limit = request.limit as usize;
        let all: Vec<Message> = (1..=self.head).filter_map(|seq| self.message(seq)).collect();
        let below = |seq: u64, limit: usize| {
            let messages: Vec<Message> = all.iter().filter(|message| message.seq < seq).cloned().collect();
            let messages = messages[messages.len().saturating_sub(limit)..].to_vec();
            let first = if messages.len() < limit { 1 } else { messages[0].seq };
            (messages, first, (seq - 1).min(self.head))
        };
        let above = |seq: u64, limit: usize| {
            let messages: Vec<Message> =
                all.iter().filter(|message| message.seq > seq).take(limit).cloned().collect();
            let last = if messages.len() < limit { self.head } else { messages[limit - 1].seq };
            (messages, seq + 1, last)
        };
        let (messages, first, last) = match request.anchor {
            None => below(self.head + 1, limit),
            Some(Anchor::BeforeSeq(seq)) => below(seq, limit),
            Some(Anchor::AfterSeq(seq)) => above(seq, limit),
            Some(Anchor::AroundSeq(seq)) => {
                let (mut messages, first, _) = below(seq + 1, limit);
                let (more, _, last) = above(seq, limit);
                messages.extend(more);
                (messages, first, last)
            }
            _ => panic!("not asked"),
        };
        let covered = Some(Covered { first, last, at_start: first == 1, at_end: last == self.head });
        ListMessagesResponse { messages, covered, reflects: self.head }
    }

    /// The conversation as the user sees it now.
    pub fn summary(&self) -> Conversation {
        let log: Vec<Event> = self.log.iter().take(self.head as usize).cloned().collect();
        let last = log.last().unwrap();
        let own = log
            .iter()
            .rev()
            .find(|event| event.sender == ME && matches!(event.body, Some(Body::MessageSent(_))));
        let read_seq = self.read.max(own.map_or(1, |event| event.seq));
        let unread = log.iter().filter(|event| event.seq > read_seq);
        let unread: Vec<&MessageSent> = unread
            .filter_map(|event| match event.body.as_ref().unwrap() {
                Body::MessageSent(body) => Some(body),
                _ => None,
            })
            .collect();
        let calls = |body: &&&MessageSent| {
            let mentions = body.content.as_ref().unwrap().mentions.as_ref().unwrap();
            mentions.everyone || mentions.users.contains(&ME.to_owned())
        };
        let topic = log.iter().rev().find_map(|event| match event.body.as_ref().unwrap() {
            Body::ConversationChanged(body) => body.topic.clone(),
            _ => None,
        });
        let mut pinned: Vec<u64> = Vec::new();
        for event in &log {
            match event.body.as_ref().unwrap() {
                Body::MessagePinned(_) if !pinned.contains(&event.target) => pinned.push(event.target),
                Body::MessageUnpinned(_) => pinned.retain(|seq| *seq != event.target),
                _ => {}
            }
        }
        Conversation {
            kind: ConversationKind::Group.into(),
            title: "t".into(),
            topic: topic.unwrap_or_default(),
            creator: "alice".into(),
            created_at_ms: 1_001,
            member_count: 2 + u32::from(is_member(&log, "carol")),
            last_seq: last.seq,
            message_count: last.message_count,
            last_at_ms: last.time_ms,
            role: Role::Member.into(),
            member_since: 1,
            read_seq,
            unread_count: unread.len() as u64,
            mention_count: unread.iter().filter(calls).count() as u32,
            pinned,
            reflects: last.seq,
            ..Default::default()
        }
    }
}
