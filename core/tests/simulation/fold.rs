//! The plain fold of a log, written anew from the API's words: what every view must equal.

use crate::invited::Invited;
use nexus_core::{
    conversation::rows::{About, Member, MessageRow},
    domain::{Event, Seq},
};
use nexus_invariants::Spans;
use nexus_proto::v1::{Role, Visibility, event::Body};
use std::collections::BTreeMap;

/// Who administers, and is a member nowhere.
pub const ADMINISTRATOR: &str = "root";

/// A conversation as its log says it is.
#[derive(Debug, Clone, Default)]
pub struct Plain {
    pub seq: Seq,
    pub exists: bool,
    pub title: String,
    pub visibility: i32,
    pub post_role: i32,
    pub pinned: Vec<Seq>,
    pub members: BTreeMap<String, Person>,
    pub messages: BTreeMap<Seq, Said>,
    pub invitations: BTreeMap<Seq, Invited>,
    /// Number of messages.
    pub count: u64,
    /// The last event that changed members or roles.
    pub members_at: Seq,
    /// Events up to this one are gone.
    pub floor: Seq,
}

/// A member, now or once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Person {
    pub role: i32,
    pub spans: Spans,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    pub id: String,
    pub sender: String,
    pub text: Option<String>,
    pub edited_at: i64,
    pub deleted: bool,
    pub pinned: bool,
    pub replies: u32,
    /// (reaction, user), with the event that gave it.
    pub reactions: BTreeMap<(String, String), Seq>,
}

impl Person {
    pub fn is_member(&self) -> bool {
        self.spans.current().is_some()
    }
}

impl Plain {
    /// The fold of a whole log.
    pub fn of(log: &[Event]) -> Self {
        let mut plain = Self::default();
        log.iter().for_each(|event| plain.take(event));
        plain
    }

    pub fn role(&self, user: &str) -> Option<i32> {
        self.members.get(user).filter(|person| person.is_member()).map(|person| person.role)
    }

    pub fn spans(&self, user: &str) -> Spans {
        self.members.get(user).map(|person| person.spans.clone()).unwrap_or_default()
    }

    fn joins(&mut self, user: &str, role: i32, at: Seq) {
        let person = self.members.entry(user.to_owned()).or_default();
        if !person.is_member() {
            person.spans.0.push((at, None));
            person.role = role;
        }
    }

    /// Takes the next event.
    pub fn take(&mut self, event: &Event) {
        self.seq = event.seq;
        self.members_at = if event.changes_members() { event.seq } else { self.members_at };
        let target = event.target;
        match event.decode().unwrap().unwrap() {
            Body::ConversationCreated(b) => {
                (self.exists, self.title) = (true, b.title);
                (self.visibility, self.post_role) = (b.visibility, b.post_role);
                b.members.iter().for_each(|m| self.joins(&m.user, m.role, event.seq));
            }
            Body::ConversationChanged(b) => self.title = b.title.unwrap_or(std::mem::take(&mut self.title)),
            Body::MembersAdded(b) => {
                if let Some(invitation) = self.invitations.get_mut(&target) {
                    invitation.accepted(event.sender.as_str(), b.members.len());
                }
                b.members.iter().for_each(|m| self.joins(&m.user, m.role, event.seq));
            }
            Body::MemberRemoved(b) => {
                let person = self.members.get_mut(&b.user).unwrap();
                person.spans.0.last_mut().unwrap().1 = Some(event.seq);
            }
            Body::RoleChanged(b) => self.members.get_mut(&b.user).unwrap().role = b.role,
            Body::MessageSent(b) => {
                self.count += 1;
                if b.thread > 0 {
                    self.messages.get_mut(&b.thread).unwrap().replies += 1;
                }
                let said = Said {
                    id: event.id.unwrap().to_string(),
                    sender: event.sender.to_string(),
                    text: b.content.map(|content| content.text),
                    ..Said::default()
                };
                self.messages.insert(event.seq, said);
            }
            Body::MessageEdited(b) => {
                let said = self.messages.get_mut(&target).unwrap();
                said.text = b.content.map(|content| content.text).filter(|_| !said.deleted);
                said.edited_at = event.time_ms;
            }
            Body::MessageDeleted(_) => {
                let said = self.messages.get_mut(&target).unwrap();
                (said.text, said.deleted) = (None, true);
            }
            Body::ReactionAdded(b) => {
                let given = (b.reaction, event.sender.to_string());
                self.messages.get_mut(&target).unwrap().reactions.entry(given).or_insert(event.seq);
            }
            Body::ReactionRemoved(b) => {
                let given = (b.reaction, event.sender.to_string());
                self.messages.get_mut(&target).unwrap().reactions.remove(&given);
            }
            Body::MessagePinned(_) => {
                self.messages.get_mut(&target).unwrap().pinned = true;
                if !self.pinned.contains(&target) {
                    self.pinned.push(target);
                }
            }
            Body::MessageUnpinned(_) => {
                self.messages.get_mut(&target).unwrap().pinned = false;
                self.pinned.retain(|seq| *seq != target);
            }
            Body::Trimmed(b) => {
                self.floor = b.through;
                self.messages.retain(|seq, _| *seq > b.through);
                self.pinned.retain(|seq| *seq > b.through);
            }
            Body::InvitationCreated(b) => {
                self.invitations.insert(event.seq, Invited::of(b));
            }
            Body::InvitationEnded(b) => {
                self.invitations.get_mut(&target).unwrap().ended(&b, event.time_ms);
            }
            other => panic!("nobody asked for {other:?}"),
        }
    }

    /// Whether an event may follow, by the rules that this simulation relies on.
    pub fn allows(&self, event: &Event) -> bool {
        let role = self.role(event.sender.as_str());
        let body = event.decode().unwrap().unwrap();
        if let Some(allowed) = self.allows_invited(event, &body) {
            return allowed;
        }
        if event.sender.as_str() == ADMINISTRATOR {
            return match body {
                Body::MembersAdded(_) => true,
                Body::MemberRemoved(b) => self.role(&b.user).is_some(),
                Body::Trimmed(b) => b.through >= self.floor && b.through < event.seq,
                _ => false,
            };
        }
        match body {
            Body::ConversationCreated(_) => !self.exists,
            Body::MembersAdded(_) => {
                role.is_some_and(|role| role >= Role::Admin as i32)
                    || self.visibility == Visibility::Public as i32
                    || role.is_some()
            }
            Body::MessageSent(_) => role.is_some_and(|role| role >= self.post_role.max(Role::Member as i32)),
            Body::MessageEdited(_) => {
                let said = self.messages.get(&event.target);
                role.is_some() && said.is_some_and(|s| s.sender == event.sender.as_str() && !s.deleted)
            }
            Body::Trimmed(b) => {
                event.sender.as_str().is_empty() && b.through > self.floor && b.through < event.seq
            }
            _ => role.is_some(),
        }
    }

    /// What differs between a conversation as it is served and as it is.
    pub fn differs(&self, about: &About) -> Option<String> {
        let members = self.members.values().filter(|person| person.is_member());
        let owners = members.clone().filter(|person| person.role == Role::Owner as i32).count() as u32;
        let lasting = about.invitations.iter().filter(|open| open.expires_at == 0);
        let open: Vec<Seq> = lasting.map(|open| open.seq).collect();
        let served = (&about.title, about.members, about.owners, &about.pinned, open);
        let truth = (&self.title, members.count() as u32, owners, &self.pinned, self.open());
        (served != truth).then(|| format!("{served:?} is served instead of {truth:?}"))
    }
}

/// A member as they are served.
pub fn person(member: &Member) -> Person {
    Person { role: member.role, spans: member.intervals().spans() }
}

/// A message as it is served.
pub fn said(row: &MessageRow) -> Said {
    let text = &row.text;
    Said {
        id: text.id.clone(),
        sender: text.sender.clone(),
        text: text.content.as_ref().map(|content| content.text.clone()),
        edited_at: text.edited_at,
        deleted: text.deleted,
        pinned: text.pinned,
        replies: text.replies,
        reactions: row.reactions.clone(),
    }
}
