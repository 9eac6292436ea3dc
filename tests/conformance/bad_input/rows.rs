//! The table: for each method a request that is good, by somebody who may send it. What is wrong with a bad one is only
//! what was changed in it.

use crate::{
    invitations::{by_name, by_token, link, naming},
    person::{Person, content},
    stream::Stream,
    world::World,
};
use nexus_client::v1::{self, Role};
use std::sync::Arc;
use tonic::Code;

/// A conversation and its people, for one method to be tried on.
pub struct Stage {
    /// The owner of the group, who is attached.
    pub ann: Person,
    pub bob: Person,
    /// Nobody's friend.
    pub eve: Person,
    /// Of another tenant.
    pub stranger: Person,
    /// Who administers the tenant, if anybody does.
    root: Option<Person>,
    pub group: String,
    /// A message of ann's in it, which bob reacted to and which is pinned.
    pub said: u64,
    /// A link to it, and an invitation to it that names eve.
    token: String,
    invitation: u64,
    /// A public channel in which ann is not.
    pub channel: String,
    stream: Stream,
}

/// What is known of a method.
pub struct Row<'a> {
    pub by: &'a Person,
    pub request: Vec<u8>,
    /// What an empty message is answered with.
    pub empty: Code,
}

impl Stage {
    pub async fn set(world: &Arc<World>) -> Self {
        let (ann, bob) = (Person::new(world, "ann").await, Person::new(world, "bob").await);
        let eve = Person::new(world, "eve").await;
        let stranger = Person::named(world, "eve", &world.name("elsewhere"), "phone").await;
        let root =
            if world.administrator.is_some() { Some(Person::administrator(world).await) } else { None };
        let group = ann.group(&[&bob]).await;
        let said = ann.say(&group, "something to react to").await;
        let (conversation_id, seq) = (group.clone(), said);
        let react = v1::AddReactionRequest {
            conversation_id: conversation_id.clone(),
            client_id: bob.id(),
            seq,
            reaction: "👍".into(),
        };
        bob.call(react).await;
        ann.call(v1::PinMessageRequest { conversation_id, client_id: ann.id(), seq }).await;
        let (_, token) = ann.invite(link(&ann, &group)).await;
        let (invitation, _) = ann.invite(naming(&ann, &group, &[&eve])).await;
        let channel = eve.channel(&[]).await;
        let mut stream = ann.attach(&[(&group, 0)]).await;
        stream.caught_up().await;
        Self { ann, bob, eve, stranger, root, group, said, token, invitation, channel, stream }
    }

    /// The row of a method, named `Service/Method`.
    pub fn row(&self, method: &str) -> Option<Row<'_>> {
        let (ann, seq) = (&self.ann, self.said);
        let conversation_id = self.group.clone();
        let client_id = ann.id();
        let eve = self.eve.user.clone();
        let at_least = 1;
        let (by, request) = match method {
            "AccountService/UpdateProfile" => {
                let text = |text: &str| Some(text.to_owned());
                (
                    ann,
                    encoded(v1::UpdateProfileRequest {
                        display_name: text("Ann Smith"),
                        about: text("about"),
                        time_zone: text("Europe/Vienna"),
                        ..Default::default()
                    }),
                )
            }
            "AccountService/GetProfiles" => (ann, encoded(v1::GetProfilesRequest { users: vec![eve] })),
            "AdminService/GetRetention" => {
                (self.root.as_ref()?, encoded(v1::GetRetentionRequest { conversation_id }))
            }
            "AdminService/SetRetention" => {
                let retention = Some(v1::Retention { days: 30 });
                (self.root.as_ref()?, encoded(v1::SetRetentionRequest { conversation_id, retention }))
            }
            "AdminService/ListTenantConversations" => {
                let (page_token, user) = (String::new(), ann.user.clone());
                let kind = v1::ConversationKind::Group as i32;
                let request = v1::ListTenantConversationsRequest {
                    kind,
                    user,
                    orphaned: false,
                    page_size: 5,
                    page_token,
                };
                (self.root.as_ref()?, encoded(request))
            }
            "AdminService/GetTenantConversation" => {
                (self.root.as_ref()?, encoded(v1::GetTenantConversationRequest { conversation_id }))
            }
            "AdminService/ListConversationMembers" => {
                let (page_size, page_token) = (5, "a".to_owned());
                let request = v1::ListConversationMembersRequest { conversation_id, page_size, page_token };
                (self.root.as_ref()?, encoded(request))
            }
            "AdminService/ListConversationEvents" => {
                let (after_seq, limit, reason) = (0, 5, "an inquiry".to_owned());
                let request = v1::ListConversationEventsRequest { conversation_id, after_seq, limit, reason };
                (self.root.as_ref()?, encoded(request))
            }
            "AdminService/AddConversationMembers" => {
                let members = vec![v1::MemberRole { user: eve, role: Role::Owner as i32 }];
                let request = v1::AddConversationMembersRequest { conversation_id, client_id, members };
                (self.root.as_ref()?, encoded(request))
            }
            "AdminService/RemoveConversationMembers" => {
                let users = vec![self.bob.user.clone(), eve];
                let request = v1::RemoveConversationMembersRequest { conversation_id, client_id, users };
                (self.root.as_ref()?, encoded(request))
            }
            "AdminService/SetConversationRole" => {
                let (user, role) = (ann.user.clone(), Role::Reader as i32);
                let request = v1::SetConversationRoleRequest { conversation_id, client_id, user, role };
                (self.root.as_ref()?, encoded(request))
            }
            "AdminService/TrimConversation" => {
                let request = v1::TrimConversationRequest { conversation_id, client_id, through: seq };
                (self.root.as_ref()?, encoded(request))
            }
            "ConversationService/CreateConversation" => {
                let members = vec![v1::MemberRole { user: eve, role: Role::Reader as i32 }];
                (
                    ann,
                    encoded(v1::CreateConversationRequest {
                        client_id,
                        kind: v1::ConversationKind::Channel as i32,
                        title: "Title".into(),
                        topic: "Topic".into(),
                        members,
                        visibility: v1::Visibility::Public as i32,
                        post_role: Role::Admin as i32,
                    }),
                )
            }
            "ConversationService/GetOrCreateDirect" => {
                (ann, encoded(v1::GetOrCreateDirectRequest { user: eve }))
            }
            "ConversationService/GetConversation" => {
                (ann, encoded(v1::GetConversationRequest { conversation_id, at_least }))
            }
            "ConversationService/ListConversations" => {
                (ann, encoded(v1::ListConversationsRequest { page_size: 5, page_token: String::new() }))
            }
            "ConversationService/UpdateConversation" => (
                ann,
                encoded(v1::UpdateConversationRequest {
                    conversation_id,
                    client_id,
                    title: Some("Title".into()),
                    topic: Some("Topic".into()),
                    visibility: Some(v1::Visibility::Private as i32),
                    post_role: Some(Role::Member as i32),
                    ..Default::default()
                }),
            ),
            "ConversationService/AddMembers" => (
                ann,
                encoded(v1::AddMembersRequest {
                    conversation_id,
                    client_id,
                    users: vec![eve],
                    role: Role::Reader as i32,
                }),
            ),
            "ConversationService/RemoveMember" => {
                let user = self.bob.user.clone();
                (ann, encoded(v1::RemoveMemberRequest { conversation_id, client_id, user }))
            }
            "ConversationService/SetRole" => {
                let (user, role) = (self.bob.user.clone(), Role::Admin as i32);
                (ann, encoded(v1::SetRoleRequest { conversation_id, client_id, user, role }))
            }
            "ConversationService/JoinConversation" => {
                let conversation_id = self.channel.clone();
                (ann, encoded(v1::JoinConversationRequest { conversation_id, client_id }))
            }
            "ConversationService/LeaveConversation" => {
                (&self.bob, encoded(v1::LeaveConversationRequest { conversation_id, client_id }))
            }
            "ConversationService/ListMembers" => {
                let page_token = "a".to_owned();
                (ann, encoded(v1::ListMembersRequest { conversation_id, page_size: 5, page_token, at_least }))
            }
            "ConversationService/ListDirectory" => {
                let (page_token, prefix) = (String::new(), "t".to_owned());
                (ann, encoded(v1::ListDirectoryRequest { page_size: 5, page_token, prefix }))
            }
            "ConversationService/SetPreferences" => {
                let notifications = Some(v1::NotificationLevel::Mentions as i32);
                (
                    ann,
                    encoded(v1::SetPreferencesRequest {
                        conversation_id,
                        notifications,
                        ..Default::default()
                    }),
                )
            }
            "DevelopmentService/CreateToken" => {
                let (tenant, device) = (ann.tenant.clone(), "phone".to_owned());
                (ann, encoded(v1::CreateTokenRequest { user: eve, tenant, device }))
            }
            "HistoryService/ListMessages" => {
                let anchor = Some(v1::list_messages_request::Anchor::BeforeSeq(9));
                (ann, encoded(v1::ListMessagesRequest { conversation_id, anchor, limit: 5, at_least }))
            }
            "HistoryService/GetMessages" => {
                (ann, encoded(v1::GetMessagesRequest { conversation_id, seqs: vec![seq], at_least }))
            }
            "HistoryService/ListThread" => (
                ann,
                encoded(v1::ListThreadRequest {
                    conversation_id,
                    thread: seq,
                    anchor: None,
                    limit: 5,
                    at_least,
                }),
            ),
            "HistoryService/ListEvents" => {
                let anchor = Some(v1::list_events_request::Anchor::AfterSeq(0));
                (ann, encoded(v1::ListEventsRequest { conversation_id, anchor, limit: 5, at_least }))
            }
            "InvitationService/CreateInvitation" => {
                let role = Role::Reader as i32;
                let request = v1::CreateInvitationRequest { role, ..naming(ann, &self.group, &[&self.eve]) };
                (ann, encoded(v1::CreateInvitationRequest { note: "note".into(), ..request }))
            }
            "InvitationService/ListInvitations" => {
                let (page_token, include_closed) = ("9".to_owned(), true);
                (
                    ann,
                    encoded(v1::ListInvitationsRequest {
                        conversation_id,
                        page_size: 5,
                        page_token,
                        include_closed,
                        at_least,
                    }),
                )
            }
            "InvitationService/ListReceivedInvitations" => {
                let page_token = String::new();
                (&self.eve, encoded(v1::ListReceivedInvitationsRequest { page_size: 5, page_token }))
            }
            "InvitationService/GetInvitation" => {
                let invitation = by_name(&self.group, self.invitation);
                (&self.eve, encoded(v1::GetInvitationRequest { invitation }))
            }
            "InvitationService/AcceptInvitation" => {
                let invitation = by_token(&self.token);
                (&self.eve, encoded(v1::AcceptInvitationRequest { invitation, client_id }))
            }
            "InvitationService/DeclineInvitation" => {
                let seq = self.invitation;
                (&self.eve, encoded(v1::DeclineInvitationRequest { conversation_id, seq, client_id }))
            }
            "InvitationService/RevokeInvitation" => {
                let seq = self.invitation;
                (ann, encoded(v1::RevokeInvitationRequest { conversation_id, seq, client_id }))
            }
            "MarkerService/SetReadMarker" => {
                (ann, encoded(v1::SetReadMarkerRequest { conversation_id, seq }))
            }
            "MarkerService/SetDeliveredMarker" => {
                (ann, encoded(v1::SetDeliveredMarkerRequest { conversation_id, seq }))
            }
            "MarkerService/ListMarkers" => (ann, encoded(v1::ListMarkersRequest { conversation_id })),
            "MessageService/SendMessage" => (
                ann,
                encoded(v1::SendMessageRequest {
                    conversation_id,
                    client_id,
                    content: Some(whole("text")),
                    reply_to: seq,
                    thread: seq,
                }),
            ),
            "MessageService/EditMessage" => {
                let content = Some(whole("other text"));
                (ann, encoded(v1::EditMessageRequest { conversation_id, client_id, seq, content }))
            }
            "MessageService/DeleteMessage" => {
                (ann, encoded(v1::DeleteMessageRequest { conversation_id, client_id, seq }))
            }
            "MessageService/AddReaction" => {
                let reaction = "🎉".into();
                (ann, encoded(v1::AddReactionRequest { conversation_id, client_id, seq, reaction }))
            }
            "MessageService/RemoveReaction" => {
                let reaction = "👍".into();
                (&self.bob, encoded(v1::RemoveReactionRequest { conversation_id, client_id, seq, reaction }))
            }
            "MessageService/PinMessage" => {
                (ann, encoded(v1::PinMessageRequest { conversation_id, client_id, seq }))
            }
            "MessageService/UnpinMessage" => {
                (ann, encoded(v1::UnpinMessageRequest { conversation_id, client_id, seq }))
            }
            "PresenceService/SetTyping" => {
                (ann, encoded(v1::SetTypingRequest { conversation_id, typing: true, thread: seq }))
            }
            "PresenceService/SetPresence" => {
                let status = v1::PresenceStatus::Busy as i32;
                (ann, encoded(v1::SetPresenceRequest { status, text: "text".into() }))
            }
            "PresenceService/GetPresence" => (ann, encoded(v1::GetPresenceRequest { users: vec![eve] })),
            "StreamService/Attach" => {
                let cursors = vec![v1::Cursor { conversation_id, seq }];
                (ann, encoded(v1::AttachRequest { cursors, no_ephemeral: false }))
            }
            "StreamService/AddCursors" => {
                let stream_id = self.stream.attached.stream_id.clone();
                let cursors = vec![v1::Cursor { conversation_id, seq }];
                (ann, encoded(v1::AddCursorsRequest { stream_id, cursors }))
            }
            _ => return None,
        };
        let empty = match method {
            "AccountService/UpdateProfile"
            | "AccountService/GetProfiles"
            // Without a conversation it is about the tenant.
            | "AdminService/GetRetention"
            | "AdminService/SetRetention"
            | "AdminService/ListTenantConversations"
            | "ConversationService/ListConversations"
            | "ConversationService/ListDirectory"
            | "InvitationService/ListReceivedInvitations"
            | "PresenceService/GetPresence"
            | "StreamService/Attach" => Code::Ok,
            // Without an id it names a stream that isn't there.
            "StreamService/AddCursors" => Code::NotFound,
            _ => Code::InvalidArgument,
        };
        Some(Row { by, request, empty })
    }
}

/// A content whose parts are all as they must be, so that each can be wrong alone.
fn whole(text: &str) -> v1::Content {
    let attachment = v1::AttachmentReference { upload_id: "upload".into(), ..Default::default() };
    v1::Content { attachments: vec![attachment], ..content(text) }
}

fn encoded(message: impl prost::Message) -> Vec<u8> {
    message.encode_to_vec()
}
