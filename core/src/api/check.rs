//! Checks of what needs no log: names, ids, sizes. A violation is INVALID_ARGUMENT with a `BadRequest` that names the
//! field and says what to do.

use crate::domain::{ClientId, ConversationId, Name, Place, Tenant, User};
use confique::Config;
use nexus_proto::v1::{self, Content, Role};
use prost::Message as _;
use std::collections::{BTreeSet, HashMap};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use uuid::Uuid;

/// Limits of requests.
#[derive(Debug, Clone, PartialEq, Eq, Config)]
pub struct Limits {
    /// Bytes of a message's encoded content.
    #[config(default = 32768, env = "NEXUS_CORE_LIMITS_CONTENT_BYTES")]
    pub content_bytes: usize,
    /// Entries of a page.
    #[config(default = 200, env = "NEXUS_CORE_LIMITS_PAGE")]
    pub page: u32,
    /// Users that one request adds.
    #[config(default = 100, env = "NEXUS_CORE_LIMITS_USERS_PER_REQUEST")]
    pub users_per_request: usize,
    /// Attachments of a message.
    #[config(default = 32, env = "NEXUS_CORE_LIMITS_ATTACHMENTS")]
    pub attachments: usize,
    /// Users whose presence one request asks for.
    #[config(default = 200, env = "NEXUS_CORE_LIMITS_PRESENCE_USERS")]
    pub presence_users: usize,
    /// Users whose profiles one request asks for.
    #[config(default = 200, env = "NEXUS_CORE_LIMITS_PROFILE_USERS")]
    pub profile_users: usize,
    /// Members of a conversation up to which they see each other's read and delivered markers; 0: nobody sees others'.
    #[config(default = 200, env = "NEXUS_CORE_LIMITS_MARKER_MEMBERS")]
    pub marker_members: u32,
    /// Events above one's read marker in which mentions are counted; each conversation of a list may read so many.
    #[config(default = 1000, env = "NEXUS_CORE_LIMITS_MENTION_EVENTS")]
    pub mention_events: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            content_bytes: 32 << 10,
            page: 200,
            users_per_request: 100,
            attachments: 32,
            presence_users: 200,
            profile_users: 200,
            marker_members: 200,
            mention_events: 1000,
        }
    }
}

/// Bytes of a title.
pub const TITLE: usize = 256;
/// Bytes of a topic.
pub const TOPIC: usize = 1024;
/// Greatest least time between two messages in slow mode, in seconds.
pub const SLOW_MODE_SECONDS: u32 = 6 * 60 * 60;
/// Bytes of a reaction.
pub const REACTION: usize = 64;
/// Entries of a page if the request doesn't say.
pub const DEFAULT_PAGE: u32 = 50;

/// INVALID_ARGUMENT for a field.
pub fn invalid(field: &str, why: impl Into<String>) -> Status {
    let why = why.into();
    let details = ErrorDetails::with_bad_request_violation(field, &why);
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {why}"), details)
}

/// A user's name.
pub fn user(field: &str, text: &str) -> Result<User, Status> {
    Name::new(text).map_err(|wrong| invalid(field, wrong.to_string()))
}

/// Users that are asked about, at most so many.
pub fn named(field: &str, names: &[String], most: usize) -> Result<BTreeSet<User>, Status> {
    if names.len() > most {
        return Err(invalid(field, format!("has {} users, at most {most} are allowed", names.len())));
    }
    names.iter().map(|name| user(field, name)).collect()
}

/// A conversation of the caller's tenant.
pub fn place(tenant: &Tenant, id: &str) -> Result<Place, Status> {
    let uuid = Uuid::try_parse(id)
        .map_err(|_| invalid("conversation_id", "must be a UUID, as the server gave it"))?;
    Ok(Place { tenant: tenant.clone(), conversation: ConversationId(uuid) })
}

/// The client-made id of a mutation.
pub fn client_id(text: &str) -> Result<ClientId, Status> {
    let wrong = || invalid("client_id", "must be a UUIDv7, made by the client and kept for retries");
    let uuid = Uuid::try_parse(text).map_err(|_| wrong())?;
    if uuid.get_version_num() == 7 { Ok(ClientId(uuid)) } else { Err(wrong()) }
}

/// A text of bounded length.
pub fn text(field: &str, text: &str, least: usize, most: usize) -> Result<(), Status> {
    match text.len() {
        n if n < least => Err(invalid(field, "must not be empty")),
        n if n > most => Err(invalid(field, format!("has {n} bytes, at most {most} are allowed"))),
        _ => Ok(()),
    }
}

/// Bytes of bounded number.
pub fn bytes(field: &str, bytes: &[u8], least: usize, most: usize) -> Result<(), Status> {
    match bytes.len() {
        n if n < least => Err(invalid(field, "must not be empty")),
        n if n > most => Err(invalid(field, format!("has {n} bytes, at most {most} are allowed"))),
        _ => Ok(()),
    }
}

/// What the application adds to a message or a profile.
pub fn metadata(field: &str, entries: &HashMap<String, String>) -> Result<(), Status> {
    if entries.len() > 16 {
        return Err(invalid(field, "at most 16 entries are allowed"));
    }
    for (key, value) in entries {
        let wrong = match (key.len(), value.len()) {
            (1..=64, ..=1024) => continue,
            (1..=64, n) => format!("the value of {key:?} has {n} bytes, at most 1024 are allowed"),
            (n, _) => format!("a key has {n} bytes, must be 1-64"),
        };
        return Err(invalid(field, wrong));
    }
    Ok(())
}

/// A seq that names a message.
pub fn seq(field: &str, seq: u64) -> Result<u64, Status> {
    if seq > 0 { Ok(seq) } else { Err(invalid(field, "must be the seq of a message")) }
}

/// The value of an enum field; `default` if it isn't given.
pub fn one_of<E: TryFrom<i32> + PartialEq>(field: &str, value: i32, default: Option<E>) -> Result<E, Status> {
    match (value, default) {
        (0, Some(default)) => Ok(default),
        (0, None) => Err(invalid(field, "must be given")),
        (n, _) => {
            E::try_from(n).map_err(|_| invalid(field, format!("{n} is not a value that this version knows")))
        }
    }
}

/// The least role that may send messages; `default` if it isn't given. Readers never send, so it is MEMBER or above.
pub fn post_role(value: i32, default: Option<Role>) -> Result<Role, Status> {
    match one_of("post_role", value, default)? {
        role if role < Role::Member => {
            Err(invalid("post_role", "must be MEMBER, ADMIN or OWNER: readers only read"))
        }
        role => Ok(role),
    }
}

impl Limits {
    /// Every setting's name and value, with its least and its greatest.
    pub fn limits(&self) -> [(&'static str, u64, u64, u64); 8] {
        [
            ("content_bytes", self.content_bytes as u64, 1, 1 << 20),
            ("page", u64::from(self.page), 1, 1000),
            ("users_per_request", self.users_per_request as u64, 1, 1000),
            ("attachments", self.attachments as u64, 1, 1000),
            ("presence_users", self.presence_users as u64, 1, 1000),
            ("profile_users", self.profile_users as u64, 1, 1000),
            ("marker_members", u64::from(self.marker_members), 0, 1000),
            ("mention_events", self.mention_events as u64, 1, 10_000),
        ]
    }

    /// Entries of a page.
    pub fn page_size(&self, field: &str, asked: u32) -> Result<usize, Status> {
        match asked {
            0 => Ok(DEFAULT_PAGE.min(self.page) as usize),
            n if n <= self.page => Ok(n as usize),
            n => Err(invalid(field, format!("is {n}, at most {} are allowed", self.page))),
        }
    }

    /// Users of a request, each once, in their order.
    pub fn users(&self, field: &str, names: &[String]) -> Result<Vec<User>, Status> {
        if names.len() > self.users_per_request {
            let most = self.users_per_request;
            return Err(invalid(field, format!("has {} users, at most {most} are allowed", names.len())));
        }
        let mut users = Vec::with_capacity(names.len());
        for name in names {
            let user = user(field, name)?;
            if !users.contains(&user) {
                users.push(user);
            }
        }
        Ok(users)
    }

    /// What a message says.
    pub fn content(&self, content: Option<Content>) -> Result<Content, Status> {
        let content = content.ok_or_else(|| invalid("content", "must be given"))?;
        let size = content.encoded_len();
        if size > self.content_bytes {
            let most = self.content_bytes;
            return Err(invalid("content", format!("has {size} bytes, at most {most} are allowed")));
        }
        let empty = content.text.trim().is_empty() && content.attachments.is_empty();
        if empty && content.encrypted.is_none() && content.forwarded.is_none() {
            return Err(invalid(
                "content",
                "must have a text, an attachment, an encrypted payload or a forwarded origin",
            ));
        }
        one_of("content.format", content.format, Some(v1::TextFormat::Plain))?;
        if let Some(mentions) = &content.mentions {
            self.users("content.mentions.users", &mentions.users)?;
        }
        if content.attachments.len() > self.attachments {
            return Err(invalid("content.attachments", format!("at most {} are allowed", self.attachments)));
        }
        for attachment in &content.attachments {
            text("content.attachments.upload_id", &attachment.upload_id, 1, 64)?;
            text("content.attachments.name", &attachment.name, 0, 255)?;
            text("content.attachments.media_type", &attachment.media_type, 0, 127)?;
            text("content.attachments.thumbnail_upload_id", &attachment.thumbnail_upload_id, 0, 64)?;
            bytes("content.attachments.preview", &attachment.preview, 0, 256)?;
            if !matches!(attachment.sha256.len(), 0 | 32) {
                return Err(invalid("content.attachments.sha256", "must be 32 bytes, or empty"));
            }
        }
        metadata("content.metadata", &content.metadata)?;
        if let Some(origin) = &content.forwarded {
            text("content.forwarded.conversation_id", &origin.conversation_id, 0, 64)?;
            text("content.forwarded.sender", &origin.sender, 0, 64)?;
        }
        if let Some(encrypted) = &content.encrypted {
            text("content.encrypted.scheme", &encrypted.scheme, 1, 32)?;
            bytes("content.encrypted.ciphertext", &encrypted.ciphertext, 1, self.content_bytes)?;
        }
        Ok(content)
    }
}
