//! What the screen asks of the server, beside the stream and the outbox.

use crate::chat::join::{self, Way};
use nexus_client::{CallError, Client, v1};
use v1::list_messages_request::Anchor;

/// A question. The same one is asked once at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    List,
    Summary {
        id: String,
        at_least: u64,
    },
    Page {
        id: String,
        before: Option<u64>,
        at_least: u64,
    },
    /// Messages that others answer.
    Messages {
        id: String,
        seqs: Vec<u64>,
        at_least: u64,
    },
    Members(String),
    Markers(String),
    Presence(Vec<String>),
    Names(Vec<String>),
    /// How one wants to be shown.
    Rename(String),
    Read {
        id: String,
        seq: u64,
    },
    Typing {
        id: String,
        typing: bool,
    },
    /// A direct conversation, to be opened.
    Direct(String),
    /// A public channel, or what one is invited to, by its title.
    Channel(String),
    Invitations,
}

/// What came of it.
#[derive(Debug)]
pub enum Answer {
    List(Vec<v1::Conversation>),
    Summary(v1::Conversation),
    Page {
        id: String,
        page: v1::ListMessagesResponse,
    },
    Messages {
        id: String,
        messages: Vec<v1::Message>,
        reflects: u64,
    },
    Members {
        id: String,
        users: Vec<String>,
    },
    Markers {
        id: String,
        markers: Vec<v1::Marker>,
    },
    Presence {
        asked: Vec<String>,
        told: Vec<v1::Presence>,
    },
    Names {
        asked: Vec<String>,
        told: Vec<v1::Profile>,
    },
    Renamed(v1::Profile),
    Read {
        id: String,
        seq: u64,
    },
    Open(v1::Conversation),
    /// The way in, if there is anything to join of this title.
    Channel {
        title: String,
        way: Option<Box<Way>>,
    },
    Invitations(Vec<String>),
    Nothing,
    Failed(CallError),
}

/// Messages of a page.
const PAGE: u32 = 50;
/// Conversations and members at a time, and people who are asked about.
pub const MANY: u32 = 200;
/// Conversations that are listed at most.
const LISTED: usize = 2_000;

/// Asks.
pub async fn ask(client: Client, ask: Ask) -> (Ask, Answer) {
    let answer = answer(&client, ask.clone()).await.unwrap_or_else(Answer::Failed);
    (ask, answer)
}

async fn answer(client: &Client, ask: Ask) -> Result<Answer, CallError> {
    Ok(match ask {
        Ask::List => {
            let mut list = Vec::new();
            let mut page_token = String::new();
            loop {
                let page = client.call(v1::ListConversationsRequest { page_size: MANY, page_token }).await?;
                list.extend(page.conversations);
                page_token = page.next_page_token;
                if page_token.is_empty() || list.len() >= LISTED {
                    break Answer::List(list);
                }
            }
        }
        Ask::Summary { id, at_least } => {
            let ask = v1::GetConversationRequest { conversation_id: id, at_least };
            client.call(ask).await?.conversation.map_or(Answer::Nothing, Answer::Summary)
        }
        Ask::Page { id, before, at_least } => {
            let anchor = before.map(Anchor::BeforeSeq);
            let ask = v1::ListMessagesRequest { conversation_id: id.clone(), anchor, limit: PAGE, at_least };
            Answer::Page { id, page: client.call(ask).await? }
        }
        Ask::Messages { id, seqs, at_least } => {
            let ask = v1::GetMessagesRequest { conversation_id: id.clone(), seqs, at_least };
            let got = client.call(ask).await?;
            Answer::Messages { id, messages: got.messages, reflects: got.reflects }
        }
        Ask::Members(id) => {
            let ask =
                v1::ListMembersRequest { conversation_id: id.clone(), page_size: MANY, ..Default::default() };
            let users = client.call(ask).await?.members.into_iter().map(|member| member.user).collect();
            Answer::Members { id, users }
        }
        Ask::Markers(id) => {
            let ask = v1::ListMarkersRequest { conversation_id: id.clone() };
            Answer::Markers { id, markers: client.call(ask).await?.markers }
        }
        Ask::Presence(users) => {
            let told = client.call(v1::GetPresenceRequest { users: users.clone() }).await?.presences;
            Answer::Presence { asked: users, told }
        }
        Ask::Names(users) => {
            let told = client.call(v1::GetProfilesRequest { users: users.clone() }).await?.profiles;
            Answer::Names { asked: users, told }
        }
        Ask::Rename(name) => {
            let ask = v1::UpdateProfileRequest { display_name: Some(name), ..Default::default() };
            client.call(ask).await?.profile.map_or(Answer::Nothing, Answer::Renamed)
        }
        Ask::Read { id, seq } => {
            let ask = v1::SetReadMarkerRequest { conversation_id: id.clone(), seq };
            Answer::Read { id, seq: client.call(ask).await?.read_seq }
        }
        Ask::Typing { id, typing } => {
            client.call(v1::SetTypingRequest { conversation_id: id, typing, thread: 0 }).await?;
            Answer::Nothing
        }
        Ask::Direct(user) => {
            let found = client.call(v1::GetOrCreateDirectRequest { user }).await?.conversation;
            found.map_or(Answer::Nothing, Answer::Open)
        }
        Ask::Channel(title) => {
            let way = join::way(client, &title).await?.map(Box::new);
            Answer::Channel { title, way }
        }
        Ask::Invitations => {
            Answer::Invitations(join::invitations(client).await?.iter().map(join::describe).collect())
        }
    })
}
