//! The conversation that is open, and how what happens reads.

use super::input::Input;
use crate::chat::text::{clean, line};
use anyhow::Context as _;
use nexus_client::{Client, Item, v1};
use std::collections::HashMap;
use v1::event::Body;

/// Messages that are shown when a conversation is opened.
const SHOWN: u32 = 20;

/// The open conversation.
pub struct Room {
    id: String,
    me: String,
    reflects: u64,
    /// Titles of other conversations, to say where something happened.
    others: HashMap<String, String>,
}

impl Room {
    /// Opens a conversation and prints its last messages.
    pub async fn open(
        client: &Client,
        me: &str,
        conversation: v1::Conversation,
        input: &Input,
    ) -> anyhow::Result<Self> {
        input.say(&format!("-- {} ({} members) --", title(&conversation), conversation.member_count));
        let ask = v1::ListMessagesRequest {
            conversation_id: conversation.id.clone(),
            limit: SHOWN,
            ..Default::default()
        };
        let page = client.call(ask).await?;
        for message in &page.messages {
            input.say(&clean(&past(message)));
        }
        let list = client.call(v1::ListConversationsRequest { page_size: 200, ..Default::default() }).await?;
        let others = list.conversations.iter().map(|c| (c.id.clone(), title(c))).collect();
        Ok(Self { id: conversation.id, me: me.to_owned(), reflects: page.reflects, others })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The seq up to which its messages were printed.
    pub fn reflects(&self) -> u64 {
        self.reflects
    }

    /// Prints what happened.
    pub fn heard(&mut self, item: &Item, input: &Input) {
        match item {
            Item::Events { conversation_id, events, .. } => {
                for event in events {
                    if *conversation_id == self.id {
                        if event.seq > self.reflects {
                            input.say(&clean(&happened(event)));
                            self.reflects = event.seq;
                        }
                    } else if event.sender != self.me {
                        let unknown = conversation_id.clone();
                        let place = self.others.get(conversation_id).unwrap_or(&unknown);
                        input.say(&clean(&format!("[{place}] {}", happened(event))));
                    }
                }
            }
            Item::Detached { cause, retry_in } => {
                input.say(&format!("-- disconnected ({cause}); again in {:.1} s --", retry_in.as_secs_f32()));
            }
            Item::Attached { user, .. } => input.say(&format!("-- connected as {user} --")),
            Item::Ephemeral(body) if input.is_terminal() => self.fleeting(body, input),
            _ => {}
        }
    }

    fn fleeting(&self, body: &v1::ephemeral::Body, input: &Input) {
        match body {
            v1::ephemeral::Body::Typing(t)
                if t.conversation_id == self.id && t.typing && t.user != self.me =>
            {
                input.say(&format!("   {} is typing …", t.user));
            }
            v1::ephemeral::Body::Account(a) if a.area() == v1::AccountArea::Invitations => {
                input.say("   what you are invited to has changed: /invitations");
            }
            v1::ephemeral::Body::Presence(p) if p.user != self.me => {
                let how = p.status().as_str_name().trim_start_matches("PRESENCE_STATUS_").to_lowercase();
                input.say(&format!("   {} is {how}", p.user));
            }
            _ => {}
        }
    }

    /// Prints who is here.
    pub async fn members(&self, client: &Client, input: &Input) -> anyhow::Result<()> {
        let ask =
            v1::ListMembersRequest { conversation_id: self.id.clone(), page_size: 200, ..Default::default() };
        let names: Vec<String> = client.call(ask).await?.members.into_iter().map(|m| m.user).collect();
        input.say(&names.join(", "));
        Ok(())
    }
}

/// Prints the caller's conversations.
pub async fn list(client: &Client, input: &Input) -> anyhow::Result<()> {
    let list = client.call(v1::ListConversationsRequest { page_size: 200, ..Default::default() }).await?;
    for c in &list.conversations {
        input.say(&format!("{:>4} unread  {}  {}", c.unread_count, c.id, title(c)));
    }
    Ok(())
}

/// The conversation with this title, peer or id.
pub async fn find(client: &Client, name: &str) -> anyhow::Result<v1::Conversation> {
    let list = client.call(v1::ListConversationsRequest { page_size: 200, ..Default::default() }).await?;
    let named = |c: &v1::Conversation| c.id == name || title(c).eq_ignore_ascii_case(name);
    list.conversations
        .into_iter()
        .find(named)
        .with_context(|| format!("no conversation {name:?}: /list shows them"))
}

fn title(c: &v1::Conversation) -> String {
    line(if c.title.is_empty() { &c.peer } else { &c.title })
}

fn past(message: &v1::Message) -> String {
    let text = match &message.content {
        Some(content) => content.text.clone(),
        None => "(deleted)".into(),
    };
    let edited = if message.edited_at_ms > 0 { " (edited)" } else { "" };
    let reactions: String =
        message.reactions.iter().map(|r| format!("  {} {}", r.reaction, r.users.len())).collect();
    format!("{:>4} {}: {text}{edited}{reactions}", message.seq, message.sender)
}

fn happened(event: &v1::Event) -> String {
    let (seq, who, target) = (event.seq, &event.sender, event.target);
    let text = |content: &Option<v1::Content>| content.as_ref().map(|c| c.text.clone()).unwrap_or_default();
    let names =
        |members: &[v1::MemberRole]| members.iter().map(|m| m.user.as_str()).collect::<Vec<_>>().join(", ");
    match &event.body {
        Some(Body::MessageSent(b)) if b.reply_to > 0 => {
            format!("{seq:>4} {who} (to {}): {}", b.reply_to, text(&b.content))
        }
        Some(Body::MessageSent(b)) => format!("{seq:>4} {who}: {}", text(&b.content)),
        Some(Body::MessageEdited(b)) => format!("   * {who} changed {target}: {}", text(&b.content)),
        Some(Body::MessageDeleted(_)) => format!("   * {who} deleted {target}"),
        Some(Body::ReactionAdded(b)) => format!("   * {who} reacted to {target}: {}", b.reaction),
        Some(Body::ReactionRemoved(b)) => format!("   * {who} took {} back from {target}", b.reaction),
        Some(Body::MembersAdded(b)) => format!("   * joined: {}", names(&b.members)),
        Some(Body::MemberRemoved(b)) => format!("   * left: {}", b.user),
        Some(Body::RoleChanged(b)) => format!("   * {who} changed the role of {}", b.user),
        Some(Body::ConversationCreated(b)) => {
            format!("   * {who} made {:?} with {}", b.title, names(&b.members))
        }
        Some(Body::ConversationChanged(_)) => format!("   * {who} changed the conversation"),
        Some(Body::InvitationCreated(b)) if b.users.is_empty() => format!("   * {who} made a link to invite"),
        Some(Body::InvitationCreated(b)) => format!("   * {who} invited {}", b.users.join(", ")),
        Some(Body::InvitationEnded(b)) if b.user.is_empty() => format!("   * {who} revoked an invitation"),
        Some(Body::InvitationEnded(b)) => format!("   * {} declined an invitation", b.user),
        Some(Body::MessagePinned(_)) => format!("   * {who} pinned {target}"),
        Some(Body::MessageUnpinned(_)) => format!("   * {who} unpinned {target}"),
        _ => format!("   * something that this version does not know ({seq})"),
    }
}
