//! Everything that the screen shows, and what it lacks.

use super::{
    calls::{Ask, MANY},
    composer::Composer,
    people::People,
};
use nexus_client::{
    Mutation,
    outbox::Entry,
    state::{Conversation, Replica},
    v1,
};
use std::collections::{HashMap, HashSet};
use tokio::time::Instant;

/// Messages of a conversation that are held at most.
pub const HELD: usize = 5_000;

/// The connection.
#[derive(Debug)]
pub enum Link {
    /// It never stood.
    Connecting,
    Online,
    Away {
        cause: String,
        until: Instant,
    },
}

/// What keys do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Write,
    /// A message is picked.
    Pick(u64),
    /// One chooses among the conversations: which is marked.
    List(String),
    Help,
}

/// What Enter does with what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    #[default]
    Say,
    Reply(u64),
    Edit(u64),
}

/// What was begun in a conversation, and where one looks in it.
#[derive(Debug, Default)]
pub struct Room {
    pub composer: Composer,
    pub purpose: Purpose,
    /// The row at the bottom, as message and row of it; None: the newest.
    pub anchor: Option<(u64, usize)>,
    /// Messages above this one were new when it was opened.
    pub fresh_after: Option<u64>,
}

/// Something to tell the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    pub bad: bool,
}

/// The screen's state.
pub struct State {
    pub me: String,
    pub server: String,
    pub replica: Replica,
    pub people: People,
    pub link: Link,
    /// What has no receipt yet.
    pub waiting: Vec<Entry>,
    pub open: Option<String>,
    pub mode: Mode,
    pub notice: Option<Notice>,
    /// What is looked for, in lower case.
    pub search: String,
    /// Whether the person looks at this terminal.
    pub focused: bool,
    /// A conversation is being made that will be opened: no other is meanwhile.
    pub awaited: bool,
    /// The list has come.
    pub listed: bool,
    /// Markers were asked for since the stream began.
    pub marked: HashSet<String>,
    /// The top of what is loaded is in sight: more is wanted.
    pub at_top: bool,
    /// Columns for what is written, as they were drawn last.
    pub columns: usize,
    /// Rows for messages, as they were drawn last.
    pub height: usize,
    /// The rows that were drawn last: message and row of it.
    pub rows: Vec<(u64, usize)>,
    pub(super) rooms: HashMap<String, Room>,
    /// When the server was told last that one types, and where.
    pub said_typing: Option<(String, Instant)>,
}

impl State {
    pub fn new(me: &str, server: &str) -> Self {
        Self {
            me: me.to_owned(),
            server: server.to_owned(),
            replica: Replica::new(me),
            people: People::default(),
            link: Link::Connecting,
            waiting: Vec::new(),
            open: None,
            mode: Mode::Write,
            notice: None,
            search: String::new(),
            focused: true,
            awaited: false,
            listed: false,
            marked: HashSet::new(),
            at_top: false,
            columns: 80,
            height: 24,
            rows: Vec::new(),
            rooms: HashMap::new(),
            said_typing: None,
        }
    }

    /// The open conversation.
    pub fn conversation(&self) -> Option<&Conversation> {
        self.replica.get(self.open.as_deref()?)
    }

    /// What was begun in the open conversation.
    pub fn room(&mut self) -> &mut Room {
        let open = self.open.clone().unwrap_or_default();
        self.rooms.entry(open).or_default()
    }

    /// Those that one is in, the most recently active first.
    pub fn list(&self) -> Vec<&v1::Conversation> {
        let mut list: Vec<_> = self
            .replica
            .conversations()
            .map(Conversation::view)
            .filter(|view| view.member_since > 0)
            .collect();
        list.sort_by(|a, b| b.last_at_ms.cmp(&a.last_at_ms).then_with(|| a.id.cmp(&b.id)));
        list
    }

    pub fn show(&mut self, id: &str) {
        self.open = Some(id.to_owned());
        self.mode = Mode::Write;
        self.notice = None;
        let view = self.replica.get(id).map(Conversation::view);
        let fresh = view.filter(|view| view.unread_count > 0).map(|view| view.read_seq);
        // What was written before any conversation was open is meant for the first one.
        let early = self.rooms.remove("").map(|room| room.composer);
        let room = self.room();
        if let Some(early) = early.filter(|_| room.composer.is_empty()) {
            room.composer = early;
        }
        room.fresh_after = fresh;
        room.anchor = None;
    }

    pub fn tell(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), bad: false });
    }

    pub fn warn(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), bad: true });
    }

    /// The messages that are loaded, oldest first.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = &v1::Message> {
        self.conversation().into_iter().flat_map(Conversation::newest)
    }

    /// What the open conversation waits to have sent. Messages that the stream has brought are not in it.
    pub fn unsent(&self) -> impl Iterator<Item = &Entry> {
        let open = self.open.as_deref();
        self.waiting.iter().filter(move |entry| entry.mutation.conversation_id() == open && open.is_some())
    }

    /// One's own newest message that can be changed.
    pub fn own(&self) -> Option<u64> {
        let own = |message: &&v1::Message| message.sender == self.me && message.content.is_some();
        self.messages().rev().find(own).map(|message| message.seq)
    }

    /// The message that is picked, or the newest.
    pub fn target(&self) -> Option<u64> {
        match self.mode {
            Mode::Pick(seq) => Some(seq),
            _ => self.messages().next_back().map(|message| message.seq),
        }
    }

    /// What the screen lacks. Whoever asks it sees to it that a question is not asked twice at a time.
    pub fn wants(&self) -> Vec<Ask> {
        let mut asks = Vec::new();
        if !matches!(self.link, Link::Online) {
            return asks;
        }
        if !self.listed {
            asks.push(Ask::List);
        }
        for conversation in self.replica.conversations() {
            let id = conversation.view().id.clone();
            let at_least = conversation.needs_summary();
            // One that came while attached is known by its events from its beginning, or not at all.
            let at_least = at_least.or_else(|| (conversation.view().reflects == 0).then_some(0));
            if let Some(at_least) = at_least.filter(|_| self.listed) {
                asks.push(Ask::Summary { id, at_least });
            }
        }
        let unknown = |user: &&String| !user.is_empty() && self.people.status(user).is_none();
        let list = self.list();
        let peers = list.iter().map(|view| &view.peer);
        let members = self.open.as_deref().and_then(|id| self.people.members(id)).unwrap_or_default();
        let mut users: Vec<String> = peers.chain(members).filter(unknown).cloned().collect();
        users.sort();
        users.dedup();
        users.truncate(MANY as usize);
        if !users.is_empty() {
            asks.push(Ask::Presence(users));
        }
        let senders = self.messages().map(|message| &message.sender);
        let peers = list.iter().map(|view| &view.peer);
        let shown = peers.chain(members).chain(senders).chain([&self.me]);
        let nameless = |user: &&String| !user.is_empty() && !self.people.knows(user);
        let mut users: Vec<String> = shown.filter(nameless).cloned().collect();
        users.sort();
        users.dedup();
        users.truncate(MANY as usize);
        if !users.is_empty() {
            asks.push(Ask::Names(users));
        }
        asks.extend(self.open_wants());
        asks
    }

    fn open_wants(&self) -> Vec<Ask> {
        let Some(conversation) = self.conversation() else { return Vec::new() };
        let (view, id) = (conversation.view(), conversation.view().id.clone());
        if view.member_since == 0 {
            return Vec::new();
        }
        let mut asks = Vec::new();
        let at_least = conversation.base();
        match conversation.older() {
            Some(None) => asks.push(Ask::Page { id: id.clone(), before: None, at_least }),
            Some(before) if self.at_top && conversation.newest().count() < HELD => {
                asks.push(Ask::Page { id: id.clone(), before, at_least });
            }
            _ => {}
        }
        if self.people.members(&id).is_none() {
            asks.push(Ask::Members(id.clone()));
        }
        if !self.marked.contains(&id) {
            asks.push(Ask::Markers(id.clone()));
        }
        let answered = |message: &v1::Message| message.reply_to;
        let mut seqs: Vec<u64> = conversation.newest().map(answered).filter(|seq| *seq > 0).collect();
        seqs.retain(|seq| {
            conversation.message(*seq).is_none() && !conversation.covered().contains(*seq, *seq)
        });
        seqs.sort_unstable();
        seqs.dedup();
        seqs.truncate(MANY as usize);
        if !seqs.is_empty() {
            asks.push(Ask::Messages { id: id.clone(), seqs, at_least });
        }
        let newest = conversation.newest().next_back().map_or(0, |message| message.seq);
        let bottom = self.rooms.get(&id).is_none_or(|room| room.anchor.is_none());
        if self.focused && bottom && newest > view.read_seq {
            asks.push(Ask::Read { id, seq: newest });
        }
        asks
    }
}

/// What a waiting change says, in a few words.
pub fn describe(mutation: &Mutation) -> String {
    let text = |content: &Option<v1::Content>| content.as_ref().map_or(String::new(), |c| c.text.clone());
    match mutation {
        Mutation::SendMessage(request) => text(&request.content),
        Mutation::EditMessage(request) => format!("change to: {}", text(&request.content)),
        Mutation::DeleteMessage(_) => "delete a message".into(),
        Mutation::AddReaction(request) => format!("react with {}", request.reaction),
        Mutation::RemoveReaction(request) => format!("take {} back", request.reaction),
        Mutation::CreateConversation(request) => format!("make {}", request.title),
        Mutation::AddMembers(request) => format!("add {}", request.users.join(", ")),
        Mutation::CreateInvitation(request) if request.users.is_empty() => "make a link".into(),
        Mutation::CreateInvitation(request) => format!("invite {}", request.users.join(", ")),
        Mutation::JoinConversation(_) | Mutation::AcceptInvitation(_) => "join".into(),
        Mutation::LeaveConversation(_) => "leave".into(),
        _ => "a change".into(),
    }
}
