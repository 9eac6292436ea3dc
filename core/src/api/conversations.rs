//! The conversation service.

use super::{
    Api, check,
    check::{SLOW_MODE_SECONDS, TITLE, TOPIC, client_id, invalid, one_of, place, text},
    identity::{Caller, caller},
    status, wire,
};
use crate::{
    conversation::{Command, CommandError, Head, Refusal, history::Look},
    domain::{Place, User, hash},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nexus_proto::v1::{
    self, ConversationKind, MemberRole, Role, Visibility, conversation_service_server::ConversationService,
    event::Body,
};
use std::cmp::Reverse;
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;

/// Heads that are read at once for a list.
const WIDTH: usize = 32;

impl Api {
    async fn seen(&self, caller: &Caller, place: &Place, at_least: u64) -> Result<v1::Conversation, Status> {
        let look = self.conversations.look(place, &caller.user, at_least).await.map_err(status::read)?;
        self.as_seen(caller, &look).await
    }

    async fn as_seen(&self, caller: &Caller, look: &Look) -> Result<v1::Conversation, Status> {
        let markers =
            self.conversations.markers_of(&look.place, &caller.user).await.map_err(status::fault)?;
        let mentions = self.mentions(look, caller, markers.read).await?;
        let preferences = self.conversations.preferences(&look.place, &caller.user, look.head.messages);
        let preferences = preferences.await.map_err(status::fault)?;
        Ok(wire::conversation(look, &caller.user, markers, mentions, preferences))
    }

    /// The heads of all conversations that the caller may be in, most recently active first.
    async fn heads(&self, caller: &Caller) -> Result<Vec<(Head, Place)>, Status> {
        let places =
            self.conversations.memberships(&caller.tenant, &caller.user).await.map_err(status::fault)?;
        let heads = places.into_iter().map(|place| async move {
            let head = self.conversations.end(&place, 0).await.map_err(status::fault)?;
            Ok::<_, Status>(head.map(|head| (head, place)))
        });
        let heads: Vec<_> = stream::iter(heads).buffer_unordered(WIDTH).try_collect().await?;
        let mut heads: Vec<_> = heads.into_iter().flatten().collect();
        heads.sort_by(|(a, p), (b, q)| b.last_at.cmp(&a.last_at).then_with(|| p.cmp(q)));
        Ok(heads)
    }
}

/// Where the next page of a list begins: after this time and conversation.
fn page_token(token: &str) -> Result<Option<(i64, Place)>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let parsed = token.split_once(':').and_then(|(time, rest)| {
        let (tenant, id) = rest.split_once(':')?;
        let tenant = check::user("page_token", tenant).ok()?;
        Some((time.parse().ok()?, place(&tenant, id).ok()?))
    });
    parsed.map(Some).ok_or_else(|| invalid("page_token", "must be the next_page_token of the answer before"))
}

#[tonic::async_trait]
impl ConversationService for Api {
    async fn create_conversation(
        &self,
        request: Request<v1::CreateConversationRequest>,
    ) -> Answer<v1::CreateConversationResponse> {
        let caller = caller(&request)?;
        let r = request.get_ref();
        let id = client_id(&r.client_id)?;
        let kind: ConversationKind = one_of("kind", r.kind, None)?;
        if kind == ConversationKind::Direct {
            return Err(invalid(
                "kind",
                "must be GROUP or CHANNEL; for a direct conversation call GetOrCreateDirect",
            ));
        }
        text("title", &r.title, 1, TITLE)?;
        text("topic", &r.topic, 0, TOPIC)?;
        let visibility: Visibility = one_of("visibility", r.visibility, Some(Visibility::Private))?;
        if visibility == Visibility::Public && kind != ConversationKind::Channel {
            return Err(invalid("visibility", "only channels can be public"));
        }
        let post_role = check::post_role(r.post_role, Some(Role::Member))?;
        let names: Vec<String> = r.members.iter().map(|m| m.user.clone()).collect();
        let mut members = vec![MemberRole { user: caller.user.to_string(), role: Role::Owner as i32 }];
        for user in self.limits.users("members.user", &names)? {
            if user == caller.user {
                continue;
            }
            let given = r.members.iter().find(|m| m.user == user.as_str()).map_or(0, |m| m.role);
            let role = one_of("members.role", given, Some(Role::Member))? as i32;
            members.push(MemberRole { user: user.to_string(), role });
        }
        let place = Place {
            tenant: caller.tenant.clone(),
            conversation: hash::created_id(&caller.tenant, &caller.user, id),
        };
        let body = Body::ConversationCreated(v1::ConversationCreated {
            kind: kind as i32,
            title: r.title.clone(),
            topic: r.topic.clone(),
            members,
            visibility: visibility as i32,
            post_role: post_role as i32,
        });
        let conversation_id = place.conversation.to_string();
        let receipt = self.append(&request, &conversation_id, &r.client_id, 0, body).await?;
        let conversation = Some(self.seen(&caller, &place, 0).await?);
        Ok(Response::new(v1::CreateConversationResponse { conversation, receipt }))
    }

    async fn get_or_create_direct(
        &self,
        request: Request<v1::GetOrCreateDirectRequest>,
    ) -> Answer<v1::GetOrCreateDirectResponse> {
        let caller = caller(&request)?;
        let other: User = check::user("user", &request.get_ref().user)?;
        if other == caller.user {
            return Err(invalid("user", "must be somebody else"));
        }
        let conversation = hash::direct_id(&caller.tenant, &caller.user, &other);
        let place = Place { tenant: caller.tenant.clone(), conversation };
        if self.conversations.head(&place).await.map_err(status::fault)?.is_none() {
            let mut pair = [caller.user.to_string(), other.to_string()];
            pair.sort();
            let body = Body::ConversationCreated(v1::ConversationCreated {
                kind: ConversationKind::Direct as i32,
                members: pair.map(|user| MemberRole { user, role: Role::Member as i32 }).to_vec(),
                visibility: Visibility::Private as i32,
                post_role: Role::Member as i32,
                ..Default::default()
            });
            let sender = caller.user.clone();
            let command = Command { place: place.clone(), sender, id: None, target: 0, body };
            match self.conversations.submit(command).await {
                Ok(_) | Err(CommandError::Refused(Refusal::Exists)) => {}
                Err(error) => return Err(status::command(error)),
            }
        }
        let conversation = Some(self.seen(&caller, &place, 0).await?);
        Ok(Response::new(v1::GetOrCreateDirectResponse { conversation }))
    }

    async fn get_conversation(
        &self,
        request: Request<v1::GetConversationRequest>,
    ) -> Answer<v1::GetConversationResponse> {
        let caller = caller(&request)?;
        let r = request.into_inner();
        let place = place(&caller.tenant, &r.conversation_id)?;
        let conversation = Some(self.seen(&caller, &place, r.at_least).await?);
        Ok(Response::new(v1::GetConversationResponse { conversation }))
    }

    async fn list_conversations(
        &self,
        request: Request<v1::ListConversationsRequest>,
    ) -> Answer<v1::ListConversationsResponse> {
        let caller = caller(&request)?;
        let r = request.into_inner();
        let size = self.limits.page_size("page_size", r.page_size)?;
        let after = page_token(&r.page_token)?;
        let mut conversations = Vec::with_capacity(size);
        let mut next_page_token = String::new();
        let mut last = String::new();
        for (head, place) in self.heads(&caller).await? {
            if after
                .as_ref()
                .is_some_and(|(time, from)| (Reverse(head.last_at), &place) <= (Reverse(*time), from))
            {
                continue;
            }
            if conversations.len() == size {
                next_page_token = last;
                break;
            }
            match self.conversations.look(&place, &caller.user, 0).await {
                Ok(look) if look.role.is_some() => conversations.push(self.as_seen(&caller, &look).await?),
                // The list points to more than one is in.
                Ok(_) | Err(crate::conversation::history::ReadError::Refused(_)) => continue,
                Err(error) => return Err(status::read(error)),
            }
            last = format!("{}:{}:{}", head.last_at, place.tenant, place.conversation);
        }
        Ok(Response::new(v1::ListConversationsResponse { conversations, next_page_token }))
    }

    async fn update_conversation(
        &self,
        request: Request<v1::UpdateConversationRequest>,
    ) -> Answer<v1::UpdateConversationResponse> {
        let r = request.get_ref();
        if let Some(title) = &r.title {
            text("title", title, 1, TITLE)?;
        }
        if let Some(topic) = &r.topic {
            text("topic", topic, 0, TOPIC)?;
        }
        r.visibility.map(|v| one_of::<Visibility>("visibility", v, None)).transpose()?;
        r.post_role.map(|v| check::post_role(v, None)).transpose()?;
        let nothing = r.title.is_none() && r.topic.is_none() && r.visibility.is_none();
        if nothing && r.post_role.is_none() && r.slow_mode_seconds.is_none() {
            return Err(invalid("title", "this or another field must be given: nothing would change"));
        }
        if let Some(seconds) = r.slow_mode_seconds.filter(|seconds| *seconds > SLOW_MODE_SECONDS) {
            let why = format!("is {seconds}, at most {SLOW_MODE_SECONDS} are allowed");
            return Err(invalid("slow_mode_seconds", why));
        }
        let body = Body::ConversationChanged(v1::ConversationChanged {
            title: r.title.clone(),
            topic: r.topic.clone(),
            visibility: r.visibility,
            post_role: r.post_role,
            slow_mode_seconds: r.slow_mode_seconds,
        });
        let receipt = self.append(&request, &r.conversation_id, &r.client_id, 0, body).await?;
        Ok(Response::new(v1::UpdateConversationResponse { receipt }))
    }

    async fn add_members(&self, request: Request<v1::AddMembersRequest>) -> Answer<v1::AddMembersResponse> {
        let r = request.get_ref();
        let role = one_of("role", r.role, Some(Role::Member))? as i32;
        let users = self.limits.users("users", &r.users)?;
        if users.is_empty() {
            return Err(invalid("users", "must name somebody"));
        }
        let members = users.iter().map(|user| MemberRole { user: user.to_string(), role }).collect();
        let body = Body::MembersAdded(v1::MembersAdded { members });
        let receipt = self.append(&request, &r.conversation_id, &r.client_id, 0, body).await?;
        Ok(Response::new(v1::AddMembersResponse { receipt }))
    }

    async fn remove_member(
        &self,
        request: Request<v1::RemoveMemberRequest>,
    ) -> Answer<v1::RemoveMemberResponse> {
        let r = request.get_ref();
        let user = check::user("user", &r.user)?.to_string();
        let body = Body::MemberRemoved(v1::MemberRemoved { user });
        let receipt = self.append(&request, &r.conversation_id, &r.client_id, 0, body).await?;
        Ok(Response::new(v1::RemoveMemberResponse { receipt }))
    }

    async fn set_role(&self, request: Request<v1::SetRoleRequest>) -> Answer<v1::SetRoleResponse> {
        let r = request.get_ref();
        let user = check::user("user", &r.user)?.to_string();
        let role = one_of::<Role>("role", r.role, None)? as i32;
        let body = Body::RoleChanged(v1::RoleChanged { user, role });
        let receipt = self.append(&request, &r.conversation_id, &r.client_id, 0, body).await?;
        Ok(Response::new(v1::SetRoleResponse { receipt }))
    }

    async fn join_conversation(
        &self,
        request: Request<v1::JoinConversationRequest>,
    ) -> Answer<v1::JoinConversationResponse> {
        let caller = caller(&request)?;
        let r = request.get_ref();
        let members = vec![MemberRole { user: caller.user.to_string(), role: Role::Member as i32 }];
        let body = Body::MembersAdded(v1::MembersAdded { members });
        let receipt = self.append(&request, &r.conversation_id, &r.client_id, 0, body).await?;
        Ok(Response::new(v1::JoinConversationResponse { receipt }))
    }

    async fn leave_conversation(
        &self,
        request: Request<v1::LeaveConversationRequest>,
    ) -> Answer<v1::LeaveConversationResponse> {
        let caller = caller(&request)?;
        let r = request.get_ref();
        let body = Body::MemberRemoved(v1::MemberRemoved { user: caller.user.to_string() });
        let receipt = self.append(&request, &r.conversation_id, &r.client_id, 0, body).await?;
        Ok(Response::new(v1::LeaveConversationResponse { receipt }))
    }

    async fn list_members(
        &self,
        request: Request<v1::ListMembersRequest>,
    ) -> Answer<v1::ListMembersResponse> {
        let caller = caller(&request)?;
        let r = request.into_inner();
        let size = self.limits.page_size("page_size", r.page_size)?;
        if !r.page_token.is_empty() {
            check::user("page_token", &r.page_token)?;
        }
        let place = place(&caller.tenant, &r.conversation_id)?;
        let look = self.conversations.look(&place, &caller.user, r.at_least).await.map_err(status::read)?;
        if look.role.is_none() {
            return Err(Status::permission_denied("only members may see who is a member"));
        }
        let (rows, reflects) = look.members(&r.page_token, size).await.map_err(status::read)?;
        let full = rows.len() == size;
        let next_page_token =
            rows.last().filter(|_| full).map(|(user, _)| user.to_string()).unwrap_or_default();
        let members = rows.into_iter().map(|(user, row)| wire::member(&user, &row)).collect();
        Ok(Response::new(v1::ListMembersResponse { members, next_page_token, reflects }))
    }

    async fn list_directory(
        &self,
        request: Request<v1::ListDirectoryRequest>,
    ) -> Answer<v1::ListDirectoryResponse> {
        let caller = caller(&request)?;
        Ok(Response::new(self.listed(&caller, request.get_ref()).await?))
    }

    async fn set_preferences(
        &self,
        request: Request<v1::SetPreferencesRequest>,
    ) -> Answer<v1::SetPreferencesResponse> {
        let caller = caller(&request)?;
        let preferences = Some(self.prefer(&caller, request.get_ref()).await?);
        Ok(Response::new(v1::SetPreferencesResponse { preferences }))
    }
}
