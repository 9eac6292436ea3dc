//! What the stream, the outbox and the server's answers do to the screen's state.

use super::{
    calls::{Answer, Ask},
    state::{HELD, Link, Mode, State},
};
use nexus_client::{Item, Mutation, outbox, outbox::Outcome, v1};
use tokio::time::Instant;
use v1::{ephemeral, event::Body};

impl State {
    /// Something came from the stream.
    pub fn heard(&mut self, item: &Item) {
        match item {
            Item::Attached { .. } => {
                self.link = Link::Online;
                self.listed = false;
                self.marked.clear();
            }
            Item::Detached { cause, retry_in } => {
                self.link = Link::Away { cause: cause.clone(), until: Instant::now() + *retry_in };
                self.people.forget();
                self.said_typing = None;
            }
            Item::Ephemeral(body) => self.fleeting(body),
            Item::Events { conversation_id, events, .. } => {
                for event in events {
                    self.people.types(conversation_id, &event.sender, false);
                    if matches!(event.body, Some(Body::MembersAdded(_) | Body::MemberRemoved(_))) {
                        self.people.forget_members(conversation_id);
                    }
                }
            }
            _ => {}
        }
        self.replica.apply(item);
        let open = self.open.clone().and_then(|open| self.replica.get_mut(&open));
        if let Some(conversation) = open {
            if !self.at_top {
                conversation.keep_newest(HELD);
            }
            let view = conversation.view();
            if view.reflects > 0 && view.member_since == 0 {
                self.open = None;
                self.tell("you are no longer in that conversation");
            }
        }
        if let Mode::Pick(seq) = self.mode
            && self.conversation().and_then(|conversation| conversation.message(seq)).is_none()
        {
            self.mode = Mode::Write;
        }
    }

    /// The token goes where it can be copied from, or sent to somebody.
    fn made_link(&mut self, token: &str) {
        let composer = &mut self.room().composer;
        if composer.text().is_empty() {
            composer.set(token.to_owned());
        }
        self.tell(format!("whoever has the token may /join {token}"));
    }

    fn fleeting(&mut self, body: &ephemeral::Body) {
        match body {
            ephemeral::Body::Typing(t) if t.user != self.me => {
                self.people.types(&t.conversation_id, &t.user, t.typing);
            }
            ephemeral::Body::Presence(p) => self.people.present(&p.user, p.status()),
            ephemeral::Body::Marker(moved) => {
                let Some(marker) = &moved.marker else { return };
                self.people.has_read(&moved.conversation_id, marker);
                if marker.user == self.me
                    && let Some(conversation) = self.replica.get_mut(&moved.conversation_id)
                {
                    conversation.read(marker.read_seq);
                }
            }
            ephemeral::Body::Account(changed) if changed.area() == v1::AccountArea::Profile => {
                let me = self.me.clone();
                self.people.forget_name(&me);
            }
            ephemeral::Body::Account(a) if a.area() == v1::AccountArea::Invitations => {
                self.tell("what you are invited to has changed: /invitations");
            }
            _ => {}
        }
    }

    /// A question was answered. False: it is not to be asked again on this stream.
    pub fn answered(&mut self, ask: &Ask, answer: Answer) -> bool {
        match answer {
            Answer::List(list) => {
                self.listed = true;
                list.into_iter().for_each(|view| self.replica.summary(view));
                let first = self.list().first().map(|view| view.id.clone());
                if self.conversation().is_none()
                    && !self.awaited
                    && let Some(first) = first
                {
                    self.show(&first);
                }
            }
            Answer::Summary(view) => self.replica.summary(view),
            Answer::Page { id, page } => {
                self.at_top = false;
                if let Some(conversation) = self.replica.get_mut(&id) {
                    // Too old by now: the next question names what is needed.
                    let _ = conversation.page(page);
                }
            }
            Answer::Messages { id, messages, reflects } => {
                if let Some(conversation) = self.replica.get_mut(&id) {
                    let _ = conversation.messages(messages, reflects);
                }
                return false;
            }
            Answer::Members { id, users } => self.people.set_members(&id, users),
            Answer::Markers { id, markers } => {
                markers.iter().for_each(|marker| self.people.has_read(&id, marker));
                self.marked.insert(id);
            }
            Answer::Presence { asked, told } => {
                asked.iter().for_each(|user| self.people.present(user, v1::PresenceStatus::Unspecified));
                told.iter().for_each(|one| self.people.present(&one.user, one.status()));
            }
            Answer::Names { asked, told } => {
                asked.iter().for_each(|user| self.people.is_called(user, ""));
                told.iter().for_each(|one| self.people.is_called(&one.user, &one.display_name));
            }
            Answer::Renamed(profile) => {
                self.people.is_called(&profile.user, &profile.display_name);
                self.tell(format!("You are shown as {}", self.people.name(&profile.user)));
                return false;
            }
            Answer::Read { id, seq } => {
                if let Some(conversation) = self.replica.get_mut(&id) {
                    conversation.read(seq);
                }
                return false;
            }
            Answer::Open(view) => {
                let id = view.id.clone();
                self.replica.summary(view);
                self.awaited = false;
                self.show(&id);
            }
            Answer::Channel { title, way: None } => {
                self.warn(format!("there is no channel {title:?} to join, nor an invitation"));
            }
            Answer::Invitations(none) if none.is_empty() => self.tell("nobody invites you now"),
            Answer::Invitations(all) => self.tell(format!("/join TITLE: {}", all.join(" · "))),
            Answer::Channel { .. } | Answer::Nothing => {}
            Answer::Failed(error) => {
                self.awaited &= !matches!(ask, Ask::Direct(_));
                if matches!(
                    ask,
                    Ask::Direct(_)
                        | Ask::Channel(_)
                        | Ask::Invitations
                        | Ask::Rename(_)
                        | Ask::Page { .. }
                        | Ask::List
                ) {
                    self.warn(error.to_string());
                }
                return false;
            }
        }
        true
    }

    /// A change came out of the outbox.
    pub fn done(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Sent { sent, .. } => {
                if let Some(view) = &sent.conversation {
                    self.replica.summary(view.clone());
                    self.show(&view.id);
                }
                if !sent.token.is_empty() {
                    self.made_link(&sent.token);
                }
            }
            Outcome::Held { entry } => {
                let outbox::State::Held { why, .. } = &entry.state else { return };
                let how = match entry.mutation {
                    Mutation::SendMessage(_) => "Not sent; ↑ takes it back",
                    _ => "Not done; ↑ drops it",
                };
                self.warn(format!("{how}: {why}"));
            }
        }
    }
}
