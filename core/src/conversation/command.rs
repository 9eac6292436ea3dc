//! What somebody wants to do to a conversation, and why it may be refused.

use crate::domain::{ClientId, Place, Seq, User, hash::Fields};
use nexus_proto::v1::{Content, EncryptedPayload, MemberRole, event::Body};
use std::time::Duration;

/// A request to append one event: who, with which id, what.
#[derive(Debug, Clone)]
pub struct Command {
    /// The conversation.
    pub place: Place,
    /// Who asks.
    pub sender: User,
    /// The request's id; `None` for what the server derives itself (a direct conversation's creation).
    pub id: Option<ClientId>,
    /// The message or invitation that it acts on, or 0. Whoever joins by a link has shown that they know its secret.
    pub target: Seq,
    /// The event's body, already checked for what needs no log: sizes, names, presence of fields.
    pub body: Body,
}

/// What a command came to: where its event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The event's seq.
    pub seq: Seq,
    /// Its time, Unix milliseconds.
    pub time_ms: i64,
}

/// Why a command certainly did nothing, and never will.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field is wrong; the request can't succeed as it is.
    #[error("{field}: {why}")]
    Invalid {
        /// The request's field.
        field: &'static str,
        /// What is wrong and what to do.
        why: String,
    },
    /// There is no such conversation for this user.
    #[error("no such conversation, or you are not a member of it")]
    NoConversation,
    /// There is no such message.
    #[error("there is no message with seq {0} in this conversation")]
    NoMessage(Seq),
    /// There is no such invitation, or it is for somebody else.
    #[error("there is no such invitation for you, or not any more: ask for a new one")]
    NoInvitation,
    /// It exists already.
    #[error("the conversation exists already")]
    Exists,
    /// The sender may not.
    #[error("{0}")]
    Denied(&'static str),
    /// Not in the state that the conversation is in.
    #[error("{0}")]
    State(&'static str),
    /// Slow mode: one's last message is too young.
    #[error("slow mode: your next message can be sent in {} s", wait.as_secs_f64().ceil())]
    Slow {
        /// How much longer.
        wait: Duration,
    },
    /// The id is beyond the retry horizon.
    #[error("client_id is beyond the retry horizon of {} h: nothing was appended; read the history instead", horizon.as_secs() / 3600)]
    Beyond {
        /// The horizon.
        horizon: Duration,
    },
    /// A limit of the conversation is reached.
    #[error("{what}: at most {limit}")]
    Full {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

/// Why a command got no receipt.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommandError {
    /// It did nothing and never will.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It may have been done. Also where this attempt certainly did nothing: an earlier one with the same id may have.
    #[error("the outcome is not known ({0}); retry with the same client_id")]
    Unknown(String),
}

const DIGEST: u8 = 16;

impl Command {
    /// A digest of what is asked, so that an id that is used again with another content is found out. It is made of
    /// named fields, never of an encoding, which another version might write differently.
    pub fn digest(&self) -> [u8; 32] {
        let fields = Fields::new(DIGEST).field(b"target").number(self.target).field(b"kind");
        match &self.body {
            Body::ConversationCreated(b) => {
                let f = fields.field(b"created").number(b.kind as u64).field(b.title.as_bytes());
                let f = f.field(b.topic.as_bytes()).number(b.visibility as u64).number(b.post_role as u64);
                members(f, &b.members)
            }
            Body::ConversationChanged(b) => {
                let mut f = fields.field(b"changed");
                for (name, text) in [(b"title", &b.title), (b"topic", &b.topic)] {
                    if let Some(text) = text {
                        f = f.field(name).field(text.as_bytes());
                    }
                }
                let numbers = [
                    (b"visibility".as_slice(), b.visibility.map(|n| n as u64)),
                    (b"post_role", b.post_role.map(|n| n as u64)),
                    (b"slow_mode", b.slow_mode_seconds.map(u64::from)),
                ];
                for (name, number) in numbers {
                    if let Some(number) = number {
                        f = f.field(name).number(number);
                    }
                }
                f
            }
            Body::MembersAdded(b) => members(fields.field(b"added"), &b.members),
            Body::MemberRemoved(b) => fields.field(b"removed").field(b.user.as_bytes()),
            Body::RoleChanged(b) => fields.field(b"role").field(b.user.as_bytes()).number(b.role as u64),
            Body::MessageSent(b) => {
                let f = fields.field(b"sent").number(b.reply_to).number(b.thread);
                content(f, b.content.as_ref())
            }
            Body::MessageEdited(b) => content(fields.field(b"edited"), b.content.as_ref()),
            Body::MessageDeleted(_) => fields.field(b"deleted"),
            Body::ReactionAdded(b) => fields.field(b"reacted").field(b.reaction.as_bytes()),
            Body::ReactionRemoved(b) => fields.field(b"unreacted").field(b.reaction.as_bytes()),
            Body::MessagePinned(_) => fields.field(b"pinned"),
            Body::MessageUnpinned(_) => fields.field(b"unpinned"),
            Body::HandshakeSent(b) => {
                b.payload.iter().fold(fields.field(b"handshake").number(b.epoch), encrypted)
            }
            Body::InvitationCreated(b) => {
                let f = fields.field(b"invited").number(b.role as u64).field(&b.secret_sha256);
                let f = f.number(b.expires_at_ms as u64).number(u64::from(b.max_uses));
                let f = f.field(b.note.as_bytes()).number(b.users.len() as u64);
                b.users.iter().fold(f, |f, user| f.field(user.as_bytes()))
            }
            Body::InvitationEnded(b) => fields.field(b"uninvited").field(b.user.as_bytes()),
            Body::Trimmed(b) => fields.field(b"trimmed").number(b.through),
            Body::ErasedEvents(b) => b.seqs.iter().fold(fields.field(b"erased"), |f, seq| f.number(*seq)),
        }
        .digest()
    }
}

fn members(fields: Fields, members: &[MemberRole]) -> Fields {
    let fields = fields.field(b"members").number(members.len() as u64);
    members.iter().fold(fields, |f, m| f.field(m.user.as_bytes()).number(m.role as u64))
}

fn encrypted(fields: Fields, e: &EncryptedPayload) -> Fields {
    fields.field(b"encrypted").field(e.scheme.as_bytes()).field(&e.ciphertext).field(&e.associated_data)
}

fn content(fields: Fields, content: Option<&Content>) -> Fields {
    let Some(c) = content else { return fields.field(b"none") };
    let mut f = fields.field(b"text").field(c.text.as_bytes()).number(c.format as u64);
    if let Some(m) = &c.mentions {
        f = f.field(b"mentions").number(u64::from(m.everyone)).number(m.users.len() as u64);
        f = m.users.iter().fold(f, |f, user| f.field(user.as_bytes()));
    }
    for a in &c.attachments {
        f = f.field(b"attachment").field(a.upload_id.as_bytes()).field(a.name.as_bytes());
        f = f.field(a.media_type.as_bytes()).number(a.size).number(u64::from(a.width));
        f = f.number(u64::from(a.height)).number(u64::from(a.duration_ms)).field(&a.sha256);
        f = f.field(a.thumbnail_upload_id.as_bytes()).field(&a.preview);
    }
    f = c.encrypted.iter().fold(f, encrypted);
    if let Some(o) = &c.forwarded {
        f = f.field(b"forwarded").field(o.conversation_id.as_bytes()).number(o.seq);
        f = f.field(o.sender.as_bytes()).number(o.time_ms as u64);
    }
    let mut metadata: Vec<_> = c.metadata.iter().collect();
    metadata.sort();
    metadata.iter().fold(f, |f, (k, v)| f.field(b"metadata").field(k.as_bytes()).field(v.as_bytes()))
}
