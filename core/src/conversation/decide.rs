//! Whether a command is allowed, at the end of the log that the rows reflect. Pure.

use super::{
    command::{Command, Refusal},
    fold::Rows,
    rows::{About, Member, MessageRow},
};
use crate::domain::{Seq, User};
use nexus_proto::v1::{ConversationKind, MembersAdded, Role, Visibility, event::Body};
use std::time::Duration;

/// Limits of a conversation.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Members of a group. Default: 10,000.
    pub group_members: u32,
    /// Members of a channel. Default: 100,000.
    pub channel_members: u32,
    /// Pinned messages. Default: 100.
    pub pins: usize,
    /// Reactions to one message. Default: 1,000.
    pub reactions: usize,
    /// Kinds of reactions to one message. Default: 50.
    pub reaction_kinds: usize,
    /// Open invitations. Default: 100.
    pub invitations: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            group_members: 10_000,
            channel_members: 100_000,
            pins: 100,
            reactions: 1000,
            reaction_kinds: 50,
            invitations: 100,
        }
    }
}

impl Rules {
    /// The body of the event to append at a time (Unix milliseconds), or why there is none.
    pub fn decide(&self, rows: &Rows, command: &Command, at: i64) -> Result<Body, Refusal> {
        if let Body::ConversationCreated(b) = &command.body {
            if rows.about().is_some() {
                return Err(Refusal::Exists);
            }
            self.room(b.kind(), 0, b.members.len())?;
            return Ok(command.body.clone());
        }
        if let Some(decided) = self.invited(rows, command, at) {
            return decided;
        }
        let about = rows.about().ok_or(Refusal::NoConversation)?;
        let member = rows.member(&command.sender).filter(|member| member.present());
        if let (None, Body::MembersAdded(b)) = (member, &command.body) {
            return self.join(about, &command.sender, b);
        }
        let Some(member) = member else {
            return Err(match about.visibility() {
                Visibility::Public => Refusal::Denied("you are not a member of this channel: join it first"),
                _ => Refusal::NoConversation,
            });
        };
        let case = Case { rules: self, rows, about, member, sender: &command.sender, at };
        case.decide(command)
    }

    fn join(&self, about: &About, sender: &User, body: &MembersAdded) -> Result<Body, Refusal> {
        let oneself = matches!(&body.members[..], [only] if only.user == sender.as_str());
        if about.visibility() != Visibility::Public {
            return Err(Refusal::NoConversation);
        }
        if !oneself {
            return Err(Refusal::Denied("you are not a member of this channel: join it first"));
        }
        self.room(about.kind(), about.members, 1)?;
        let mut body = body.clone();
        body.members[0].role = Role::Member as i32;
        Ok(Body::MembersAdded(body))
    }

    pub(super) fn room(&self, kind: ConversationKind, members: u32, more: usize) -> Result<(), Refusal> {
        let limit = match kind {
            ConversationKind::Channel => self.channel_members,
            _ => self.group_members,
        };
        if members as usize + more > limit as usize {
            return Err(Refusal::Full { what: "members of the conversation", limit: u64::from(limit) });
        }
        Ok(())
    }
}

struct Case<'a> {
    rules: &'a Rules,
    rows: &'a Rows,
    about: &'a About,
    member: &'a Member,
    sender: &'a User,
    /// When the event will be accepted, Unix milliseconds.
    at: i64,
}

impl Case<'_> {
    fn decide(&self, command: &Command) -> Result<Body, Refusal> {
        let body = command.body.clone();
        match &command.body {
            Body::ConversationChanged(b) => {
                self.not_direct()?;
                self.at_least(Role::Admin, "only admins may change the conversation")?;
                let public = b.visibility == Some(Visibility::Public as i32);
                if public && self.about.kind() != ConversationKind::Channel {
                    return Err(invalid("visibility", "only channels can be public"));
                }
            }
            Body::MembersAdded(b) => return self.add(b.clone()),
            Body::MemberRemoved(b) => self.remove(&b.user)?,
            Body::RoleChanged(b) => self.change_role(&b.user, b.role())?,
            Body::MessageSent(b) => {
                // Logs may have READER from before it was refused.
                let needed = self.about.post_role().max(Role::Member);
                self.at_least(needed, "your role may not send messages in this conversation")?;
                self.not_too_soon()?;
                if b.reply_to > 0 {
                    self.visible(b.reply_to)?;
                }
                if b.thread > 0 && self.visible(b.thread)?.text.thread > 0 {
                    return Err(invalid(
                        "thread",
                        "this message is in a thread itself: name the thread's first message",
                    ));
                }
            }
            Body::MessageEdited(_) => {
                self.at_least(Role::Member, "readers may not edit messages")?;
                let row = self.visible(command.target)?;
                if row.text.sender != self.sender.as_str() {
                    return Err(Refusal::Denied("only the sender may edit a message"));
                }
                if row.text.deleted || row.text.erased {
                    return Err(Refusal::State("the message was deleted"));
                }
            }
            Body::MessageDeleted(_) => {
                let row = self.visible(command.target)?;
                if row.text.sender != self.sender.as_str() {
                    self.at_least(Role::Admin, "only the sender or an admin may delete a message")?;
                }
            }
            Body::ReactionAdded(b) => {
                self.at_least(Role::Member, "readers may not react")?;
                self.react(command.target, &b.reaction)?;
            }
            Body::ReactionRemoved(_) => {
                self.at_least(Role::Member, "readers may not react")?;
                self.visible(command.target)?;
            }
            Body::MessagePinned(_) => {
                self.may_pin()?;
                let row = self.visible(command.target)?;
                if row.text.deleted {
                    return Err(Refusal::State("the message was deleted"));
                }
                if self.about.pinned.len() >= self.rules.pins && !row.text.pinned {
                    return Err(Refusal::Full { what: "pinned messages", limit: self.rules.pins as u64 });
                }
            }
            Body::MessageUnpinned(_) => {
                self.may_pin()?;
                self.visible(command.target)?;
            }
            Body::HandshakeSent(_) => return Err(Refusal::State("handshakes come in a later version")),
            Body::InvitationCreated(b) => {
                self.not_direct()?;
                self.at_least(Role::Admin, "only admins may invite")?;
                if b.role > self.member.role {
                    return Err(Refusal::Denied("nobody may give a role above their own"));
                }
                self.rules.may_invite(&self.about.invitations, b, self.at)?;
            }
            Body::InvitationEnded(_) => {
                self.at_least(Role::Admin, "only admins may revoke invitations")?;
                self.rows.invitation(command.target).ok_or(Refusal::NoInvitation)?;
            }
            Body::ConversationCreated(_) | Body::Trimmed(_) | Body::ErasedEvents(_) => {
                return Err(Refusal::Denied("only the server appends this"));
            }
        }
        Ok(body)
    }

    fn at_least(&self, role: Role, why: &'static str) -> Result<(), Refusal> {
        if self.member.role >= role as i32 { Ok(()) } else { Err(Refusal::Denied(why)) }
    }

    fn not_too_soon(&self) -> Result<(), Refusal> {
        let pause = i64::from(self.about.slow_mode_seconds) * 1000;
        if pause == 0 || self.member.role >= Role::Admin as i32 || self.member.spoke_at == 0 {
            return Ok(());
        }
        match u64::try_from(self.member.spoke_at + pause - self.at) {
            Ok(wait) if wait > 0 => Err(Refusal::Slow { wait: Duration::from_millis(wait) }),
            _ => Ok(()),
        }
    }

    fn not_direct(&self) -> Result<(), Refusal> {
        if self.about.kind() == ConversationKind::Direct {
            return Err(Refusal::State("a direct conversation is always between its two people"));
        }
        Ok(())
    }

    fn may_pin(&self) -> Result<(), Refusal> {
        if self.about.kind() == ConversationKind::Direct {
            return Ok(());
        }
        self.at_least(Role::Admin, "only admins may pin messages")
    }

    /// A message that exists and that the sender may see.
    fn visible(&self, seq: Seq) -> Result<&MessageRow, Refusal> {
        let seen = self.member.intervals().covers(seq);
        self.rows.message(seq).filter(|_| seen).ok_or(Refusal::NoMessage(seq))
    }

    fn add(&self, mut body: MembersAdded) -> Result<Body, Refusal> {
        self.not_direct()?;
        let oneself = body.members.iter().all(|m| m.user == self.sender.as_str());
        if !oneself {
            self.at_least(Role::Admin, "only admins may add members")?;
        }
        if body.members.iter().any(|m| m.role > self.member.role) {
            return Err(Refusal::Denied("nobody may give a role above their own"));
        }
        // Those who are members already stay as they are.
        body.members.retain(|m| {
            let row = User::new(&m.user).ok().and_then(|user| self.rows.member(&user));
            !row.is_some_and(Member::present)
        });
        self.rules.room(self.about.kind(), self.about.members, body.members.len())?;
        Ok(Body::MembersAdded(body))
    }

    fn other(&self, user: &str) -> Result<&Member, Refusal> {
        let row = User::new(user).ok().and_then(|user| self.rows.member(&user));
        row.filter(|member| member.present())
            .ok_or_else(|| invalid("user", "is not a member of this conversation"))
    }

    fn remove(&self, user: &str) -> Result<(), Refusal> {
        self.not_direct()?;
        let other = self.other(user)?;
        if user != self.sender.as_str() {
            self.at_least(Role::Admin, "only admins may remove members")?;
            if other.role > self.member.role {
                return Err(Refusal::Denied("nobody may remove a member whose role is above their own"));
            }
        }
        if other.role() == Role::Owner && self.about.owners == 1 && self.about.members > 1 {
            return Err(Refusal::State("the last owner can't leave: appoint another owner first"));
        }
        Ok(())
    }

    fn change_role(&self, user: &str, role: Role) -> Result<(), Refusal> {
        self.not_direct()?;
        self.at_least(Role::Admin, "only admins may change roles")?;
        let other = self.other(user)?;
        if other.role > self.member.role || role as i32 > self.member.role {
            return Err(Refusal::Denied("nobody may change roles above their own"));
        }
        if other.role() == Role::Owner && role != Role::Owner && self.about.owners == 1 {
            return Err(Refusal::State("the last owner can't step down: appoint another owner first"));
        }
        Ok(())
    }

    fn react(&self, target: Seq, reaction: &str) -> Result<(), Refusal> {
        let row = self.visible(target)?;
        if row.text.deleted || row.text.erased {
            return Err(Refusal::State("the message was deleted"));
        }
        if row.reactions.contains_key(&(reaction.to_owned(), self.sender.to_string())) {
            return Ok(());
        }
        if row.reactions.len() >= self.rules.reactions {
            return Err(Refusal::Full {
                what: "reactions to the message",
                limit: self.rules.reactions as u64,
            });
        }
        let mut kinds: Vec<&str> = row.reactions.keys().map(|(kind, _)| kind.as_str()).collect();
        kinds.dedup();
        if kinds.len() >= self.rules.reaction_kinds && !kinds.contains(&reaction) {
            return Err(Refusal::Full {
                what: "kinds of reactions",
                limit: self.rules.reaction_kinds as u64,
            });
        }
        Ok(())
    }
}

fn invalid(field: &'static str, why: &str) -> Refusal {
    Refusal::Invalid { field, why: why.to_owned() }
}
