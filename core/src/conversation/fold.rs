//! What an event does to the views. Pure: the rows that an event touches are given, and changed.

pub use super::kept::{Dated, Rows};
use super::{
    directory,
    invitation::Invitation,
    list, received,
    rows::{self, About, Key, Member, MessageRow, Text},
};
use crate::{
    domain::{Event, Seq, User},
    store::Cell,
};
use nexus_proto::v1::{MemberRole, Role, event::Body};
use std::collections::BTreeSet;

/// Where a cell that a fold changed belongs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A row of the conversation's views.
    View(Key),
    /// The conversation's markers.
    Markers,
    /// A user's memberships.
    Memberships(User),
    /// The tenant's directory.
    Directory,
    /// The invitations that a user received.
    Received(User),
}

/// A cell that a fold changed.
pub type Change = (Place, Cell);

impl Rows {
    /// Folds in what an event does to messages, of those that are here; nothing else is touched.
    pub fn fold_messages(&mut self, event: &Event, body: &Body) {
        let of_messages = matches!(
            body,
            Body::MessageSent(_)
                | Body::MessageEdited(_)
                | Body::MessageDeleted(_)
                | Body::ReactionAdded(_)
                | Body::ReactionRemoved(_)
                | Body::MessagePinned(_)
                | Body::MessageUnpinned(_)
                | Body::ErasedEvents(_)
        );
        if of_messages {
            drop(self.fold(event, body));
        }
    }

    /// VIEW-1: whether an event of the log could be decided on these rows. Its keys ([`touched`]) must be known.
    pub fn expect(&self, event: &Event, body: &Body) -> bool {
        let is = |user: &str, changed: fn(&Member) -> &[Seq], present: bool| {
            let dated = User::new(user).ok().and_then(|name| self.members.get(&name));
            let Some(Dated { at, row }) = dated else { return !present };
            let member = row.as_ref();
            if *at < event.seq {
                member.is_some_and(Member::present) == present
            } else {
                member.is_some_and(|member| changed(member).contains(&event.seq))
            }
        };
        match body {
            Body::MembersAdded(b) => {
                let by = event.target == 0 || self.invitation(event.target).is_some();
                by && b.members.iter().all(|m| is(&m.user, |member| &member.from, false))
            }
            Body::InvitationEnded(_) => self.invitation(event.target).is_some(),
            Body::MemberRemoved(b) => is(&b.user, |member| &member.to, true),
            Body::MessageEdited(_) | Body::MessageDeleted(_) | Body::MessagePinned(_) => {
                event.target <= self.floor || self.message(event.target).is_some()
            }
            _ => true,
        }
    }

    /// Folds one event in. Its keys ([`touched`]) must be known. Returns the cells that changed.
    pub fn fold(&mut self, event: &Event, body: &Body) -> Vec<Change> {
        let mut out = Out { event, changes: Vec::new() };
        let shown = matches!(body, Body::ConversationCreated(_) | Body::ConversationChanged(_));
        let before = self.about.row.clone().filter(|_| shown);
        match body {
            Body::ConversationCreated(b) => {
                let pair =
                    if b.kind == 1 { b.members.iter().map(|m| m.user.clone()).collect() } else { Vec::new() };
                if self.about.at < event.seq {
                    self.about.row = Some(About {
                        kind: b.kind,
                        title: b.title.clone(),
                        topic: b.topic.clone(),
                        visibility: b.visibility,
                        post_role: b.post_role,
                        creator: event.sender.to_string(),
                        created_at: event.time_ms,
                        pair,
                        ..About::default()
                    });
                }
                self.join(&b.members, None, &mut out);
            }
            Body::ConversationChanged(b) => self.about_changed(
                |about| {
                    about.title = b.title.clone().unwrap_or(std::mem::take(&mut about.title));
                    about.topic = b.topic.clone().unwrap_or(std::mem::take(&mut about.topic));
                    about.visibility = b.visibility.unwrap_or(about.visibility);
                    about.post_role = b.post_role.unwrap_or(about.post_role);
                    about.slow_mode_seconds = b.slow_mode_seconds.unwrap_or(about.slow_mode_seconds);
                },
                &mut out,
            ),
            Body::MembersAdded(b) => {
                let ended = self.accepted(event, b.members.len(), &mut out);
                self.join(&b.members, ended, &mut out);
            }
            Body::MemberRemoved(b) => self.leave(&b.user, &mut out),
            Body::RoleChanged(b) => self.change_role(&b.user, b.role, &mut out),
            Body::MessageSent(b) => {
                let text = Text {
                    id: event.id.map(|id| id.to_string()).unwrap_or_default(),
                    sender: event.sender.to_string(),
                    time_ms: event.time_ms,
                    content: b.content.clone(),
                    reply_to: b.reply_to,
                    thread: b.thread,
                    erased: event.erased,
                    messages: event.messages,
                    ..Text::default()
                };
                let row = Box::new(MessageRow { text, ..MessageRow::default() });
                out.main(Key::Message(event.seq), &row.text);
                out.marker(&event.sender);
                self.spoke(event, &mut out);
                if event.seq > self.floor {
                    self.messages.insert(event.seq, Dated { at: event.seq, row: Some(row) });
                }
                if b.thread > self.floor {
                    out.main(Key::Thread(b.thread, event.seq), &Text::default());
                    self.text_changed(b.thread, |text| text.replies += 1, &mut out);
                }
            }
            Body::MessageEdited(b) => self.text_changed(
                event.target,
                |text| {
                    if !text.deleted && !text.erased && !event.erased {
                        text.content = b.content.clone();
                    }
                    text.edited_at = event.time_ms;
                },
                &mut out,
            ),
            Body::MessageDeleted(_) => self.text_changed(
                event.target,
                |text| {
                    text.content = None;
                    text.deleted = true;
                },
                &mut out,
            ),
            Body::ReactionAdded(b) => self.react(event, &b.reaction, true, &mut out),
            Body::ReactionRemoved(b) => self.react(event, &b.reaction, false, &mut out),
            Body::MessagePinned(_) => self.pin(event.target, true, &mut out),
            Body::MessageUnpinned(_) => self.pin(event.target, false, &mut out),
            Body::Trimmed(b) => {
                self.trim(b.through);
                let floor = b.through;
                self.about_changed(
                    |about| {
                        about.floor = floor;
                        about.pinned.retain(|seq| *seq > floor);
                    },
                    &mut out,
                );
            }
            Body::HandshakeSent(_) => {}
            Body::InvitationCreated(b) => self.invite(event, b, &mut out),
            Body::InvitationEnded(b) => self.uninvite(event, b, &mut out),
            Body::ErasedEvents(b) => {
                for seq in &b.seqs {
                    self.text_changed(
                        *seq,
                        |text| {
                            text.content = None;
                            text.erased = true;
                        },
                        &mut out,
                    );
                }
            }
        }
        if let (true, Some(about)) = (shown, &self.about.row) {
            let cells = directory::changes(before.as_ref(), about, event.seq);
            out.changes.extend(cells.into_iter().map(|cell| (Place::Directory, cell)));
        }
        out.changes
    }

    /// `ended`: the invitation that is used up by it.
    fn join(&mut self, members: &[MemberRole], ended: Option<Seq>, out: &mut Out<'_>) {
        let (mut joined, mut owners) = (BTreeSet::new(), 0);
        for MemberRole { user, role } in members {
            let Some(name) = User::new(user).ok().filter(|name| !joined.contains(name)) else { continue };
            let dated = self.members.entry(name.clone()).or_default();
            if dated.at < out.event.seq {
                let member = dated.row.get_or_insert_default();
                if member.present() {
                    continue;
                }
                member.from.push(out.event.seq);
                member.role = *role;
                dated.at = out.event.seq;
                out.main(Key::Member(name.clone()), member);
            } else if dated.row.as_ref().is_none_or(|member| !member.from.contains(&out.event.seq)) {
                continue;
            }
            out.membership(&name, true);
            // What was said before one joined is not unread.
            out.marker(&name);
            joined.insert(name);
            owners += u32::from(*role == Role::Owner as i32);
        }
        self.about_changed(
            |about| {
                about.members += joined.len() as u32;
                about.owners += owners;
                about.invitations.retain(|open| Some(open.seq) != ended);
            },
            out,
        );
    }

    fn leave(&mut self, user: &str, out: &mut Out<'_>) {
        let Ok(name) = User::new(user) else { return };
        let Some(dated) = self.members.get_mut(&name) else { return };
        let Some(member) = &mut dated.row else { return };
        if dated.at < out.event.seq {
            if !member.present() {
                return;
            }
            member.to.push(out.event.seq);
            dated.at = out.event.seq;
            out.main(Key::Member(name.clone()), member);
        } else if !member.to.contains(&out.event.seq) {
            return;
        }
        let owner = u32::from(member.role == Role::Owner as i32);
        out.membership(&name, false);
        self.about_changed(
            |about| {
                about.members = about.members.saturating_sub(1);
                about.owners = about.owners.saturating_sub(owner);
            },
            out,
        );
    }

    /// In slow mode the next message depends on this one's time.
    fn spoke(&mut self, event: &Event, out: &mut Out<'_>) {
        if self.about().is_none_or(|about| about.slow_mode_seconds == 0) {
            return;
        }
        if let Some(Dated { at, row: Some(member) }) = self.members.get_mut(&event.sender)
            && *at < event.seq
        {
            member.spoke_at = event.time_ms;
            *at = event.seq;
            out.main(Key::Member(event.sender.clone()), member);
        }
    }

    fn change_role(&mut self, user: &str, role: i32, out: &mut Out<'_>) {
        let Ok(name) = User::new(user) else { return };
        let Some(dated) = self.members.get_mut(&name) else { return };
        let Some(member) = dated.row.as_mut().filter(|_| dated.at < out.event.seq) else { return };
        let [was, is] = [member.role, role].map(|r| u32::from(r == Role::Owner as i32));
        member.role = role;
        dated.at = out.event.seq;
        out.main(Key::Member(name), member);
        self.about_changed(|about| about.owners = (about.owners + is).saturating_sub(was), out);
    }

    fn react(&mut self, event: &Event, reaction: &str, given: bool, out: &mut Out<'_>) {
        let Some(Dated { row: Some(row), .. }) = self.messages.get_mut(&event.target) else { return };
        let key = (reaction.to_owned(), event.sender.to_string());
        if row.reactions.contains_key(&key) == given {
            return;
        }
        let cell = rows::reaction_cell(event.target, reaction, event.sender.as_str(), event.seq, given);
        out.changes.push((Place::View(Key::Message(event.target)), cell));
        if given {
            row.reactions.insert(key, event.seq);
        } else {
            row.reactions.remove(&key);
        }
    }

    fn pin(&mut self, target: Seq, pinned: bool, out: &mut Out<'_>) {
        self.text_changed(target, |text| text.pinned = pinned, out);
        self.about_changed(
            |about| {
                let was = about.pinned.contains(&target);
                if pinned && !was {
                    about.pinned.push(target);
                } else if !pinned {
                    about.pinned.retain(|seq| *seq != target);
                }
            },
            out,
        );
    }

    fn text_changed(&mut self, seq: Seq, change: impl FnOnce(&mut Text), out: &mut Out<'_>) {
        if let Some(Dated { at, row: Some(row) }) = self.messages.get_mut(&seq)
            && *at < out.event.seq
        {
            change(&mut row.text);
            *at = out.event.seq;
            out.main(Key::Message(seq), &row.text);
        }
    }

    pub(super) fn about_changed(&mut self, change: impl FnOnce(&mut About), out: &mut Out<'_>) {
        if let Dated { at, row: Some(about) } = &mut self.about
            && *at < out.event.seq
        {
            change(about);
            *at = out.event.seq;
            out.main(Key::About, about);
        }
    }
}

/// What a fold changes.
pub(super) struct Out<'a> {
    event: &'a Event,
    changes: Vec<Change>,
}

impl Out<'_> {
    pub(super) fn main(&mut self, key: Key, value: &impl prost::Message) {
        let cell = rows::main(&key, self.event.seq, value);
        self.changes.push((Place::View(key), cell));
    }

    fn membership(&mut self, user: &User, present: bool) {
        let cell = list::state(self.event.seq, present);
        self.changes.push((Place::Memberships(user.clone()), cell));
    }

    fn marker(&mut self, user: &User) {
        let cell = list::read_marker(user, self.event.seq, self.event.messages);
        self.changes.push((Place::Markers, cell));
    }

    /// An invitation waits for these users, or no longer.
    pub(super) fn received(&mut self, invitation: &Invitation, seq: Seq, users: &[String], waits: bool) {
        let cell = received::cell(invitation.created_at, seq, self.event.seq, waits);
        let users = users.iter().filter_map(|user| User::new(user).ok());
        self.changes.extend(users.map(|user| (Place::Received(user), cell.clone())));
    }
}

/// The rows that deciding on and folding this body may read.
pub fn touched(sender: &User, target: Seq, body: &Body) -> Vec<Key> {
    let mut keys = vec![Key::About];
    // The server itself is no member.
    keys.extend((*sender != User::lowest()).then(|| Key::Member(sender.clone())));
    let mut member = |user: &str| keys.extend(User::new(user).ok().map(Key::Member));
    match body {
        Body::ConversationCreated(b) => b.members.iter().for_each(|m| member(&m.user)),
        Body::MembersAdded(b) => b.members.iter().for_each(|m| member(&m.user)),
        Body::MemberRemoved(b) => member(&b.user),
        Body::RoleChanged(b) => member(&b.user),
        Body::MessageSent(b) => {
            keys.extend([b.reply_to, b.thread].into_iter().filter(|seq| *seq > 0).map(Key::Message));
        }
        Body::ErasedEvents(b) => keys.extend(b.seqs.iter().copied().map(Key::Message)),
        _ => {}
    }
    if target > 0 {
        keys.push(match body {
            Body::MembersAdded(_) | Body::InvitationEnded(_) => Key::Invitation(target),
            _ => Key::Message(target),
        });
    }
    keys
}
