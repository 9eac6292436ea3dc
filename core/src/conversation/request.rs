//! A command, and by what right it is given.

use super::{
    command::{Command, Refusal},
    decide::Rules,
    fold::{Rows, touched},
    rows::{Key, Member},
};
use crate::domain::{User, hash::Fields};
use nexus_proto::v1::{ConversationKind, MembersAdded, event::Body};

/// By what right somebody asks. It goes with the request through all its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// A member's: what their role in the conversation allows.
    Member,
    /// An administrator's of the tenant, who need not be a member: see [`Request::decide`].
    Administrator,
}

/// A command with the right by which it is given, and perhaps more of the same.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who, where, with which id, what.
    pub command: Command,
    /// By what right.
    pub authority: Authority,
    /// Bodies of further events that are appended right after the command's own: all of them or none.
    pub further: Vec<Body>,
}

impl From<Command> for Request {
    fn from(command: Command) -> Self {
        Self { command, authority: Authority::Member, further: Vec::new() }
    }
}

const SEVERAL: u8 = 17;

impl Request {
    /// An administrator's request.
    pub fn of_administrator(command: Command) -> Self {
        Self { authority: Authority::Administrator, ..command.into() }
    }

    /// A digest of what is asked. By what right is no part of it.
    pub(super) fn digest(&self) -> [u8; 32] {
        let first = self.command.digest();
        if self.further.is_empty() {
            return first;
        }
        let of = |body: &Body| Command { body: body.clone(), ..self.command.clone() }.digest();
        let fields = Fields::new(SEVERAL).field(&first);
        self.further.iter().fold(fields, |fields, body| fields.field(&of(body))).digest()
    }

    fn bodies(&self) -> impl Iterator<Item = &Body> {
        std::iter::once(&self.command.body).chain(&self.further)
    }

    /// The rows that deciding on this and folding it may read.
    pub(super) fn touched(&self) -> impl Iterator<Item = Key> {
        let Command { sender, target, .. } = &self.command;
        self.bodies().flat_map(|body| touched(sender, *target, body))
    }

    /// The bodies of the events to append at a time (Unix milliseconds), one at least, or why there are none.
    ///
    /// This is the one place where roles don't count: an administrator adds and removes members and changes their roles, the
    /// last owner's too. What holds for everybody still does: the pair of a direct conversation, and the limits.
    pub(super) fn decide(&self, rules: &Rules, rows: &Rows, at: i64) -> Result<Vec<Body>, Refusal> {
        if self.authority == Authority::Member {
            return rules.decide(rows, &self.command, at).map(|body| vec![body]);
        }
        let about = rows.about().ok_or(Refusal::NoConversation)?;
        if about.kind() == ConversationKind::Direct {
            return Err(Refusal::State("a direct conversation is always between its two people"));
        }
        let member = |user: &str| {
            let row = User::new(user).ok().and_then(|user| rows.member(&user));
            row.is_some_and(Member::present)
        };
        match &self.command.body {
            Body::MembersAdded(b) => {
                let mut body = b.clone();
                body.members.retain(|m| !member(&m.user));
                rules.room(about.kind(), about.members, body.members.len())?;
                Ok(vec![Body::MembersAdded(body)])
            }
            Body::MemberRemoved(_) => {
                let there = |body: &&Body| matches!(body, Body::MemberRemoved(b) if member(&b.user));
                let removed: Vec<Body> = self.bodies().filter(there).cloned().collect();
                // What is accepted is an event, by which a retry is known. This one changes nothing.
                let nobody = || vec![Body::MembersAdded(MembersAdded::default())];
                Ok(if removed.is_empty() { nobody() } else { removed })
            }
            Body::RoleChanged(b) if !member(&b.user) => {
                let why = "is not a member of this conversation".to_owned();
                Err(Refusal::Invalid { field: "user", why })
            }
            Body::RoleChanged(_) => Ok(vec![self.command.body.clone()]),
            _ => Err(Refusal::Denied("administrators do this as members only")),
        }
    }
}
