//! The presence service.

use super::{
    check::{invalid, one_of, place, text, user},
    identity::{Caller, caller},
    status,
};
use crate::{
    conversation::{Conversations, Fault},
    delivery::Delivery,
    domain::{Place, User, hash::direct_id},
};
use nexus_proto::v1::{self, ConversationKind, PresenceStatus, presence_service_server::PresenceService};
use std::{collections::BTreeSet, sync::Arc};
use tonic::{Request, Response, Status};

/// Bytes of a status in one's own words.
const TEXT: usize = 256;
/// Users that one request asks for.
const USERS: usize = 200;
/// Conversations of two users that are looked into for one that shares presence.
const COMMON: usize = 16;

/// The presence service.
pub struct PresenceApi {
    /// Where presence is kept.
    pub delivery: Arc<Delivery>,
    /// Who shares what with whom.
    pub conversations: Arc<Conversations>,
}

impl PresenceApi {
    /// Whether two users share a conversation in which presence is shared. `mine`: the caller's conversations.
    async fn share(&self, caller: &Caller, mine: &BTreeSet<Place>, other: &User) -> Result<bool, Fault> {
        if *other == caller.user {
            return Ok(true);
        }
        let tenant = &caller.tenant;
        let direct = Place { tenant: tenant.clone(), conversation: direct_id(tenant, &caller.user, other) };
        if self.conversations.head(&direct).await?.is_some() {
            return Ok(true);
        }
        let theirs = self.conversations.memberships(tenant, other).await?;
        for place in theirs.into_iter().filter(|place| mine.contains(place)).take(COMMON) {
            let Some((_, my, about)) = self.conversations.standing(&place, &caller.user).await? else {
                continue;
            };
            let small = about.members <= self.delivery.presence_members();
            if small && about.kind() != ConversationKind::Channel && my.current().is_some() {
                let their = self.conversations.intervals(&place, other).await?;
                if their.current().is_some() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

#[tonic::async_trait]
impl PresenceService for PresenceApi {
    async fn set_typing(
        &self,
        request: Request<v1::SetTypingRequest>,
    ) -> Result<Response<v1::SetTypingResponse>, Status> {
        let caller = caller(&request)?;
        let r = request.into_inner();
        let place = place(&caller.tenant, &r.conversation_id)?;
        let standing = self.conversations.standing(&place, &caller.user).await.map_err(status::fault)?;
        if standing.is_none_or(|(_, intervals, _)| intervals.current().is_none()) {
            return Err(Status::not_found("no such conversation, or you are not a member of it"));
        }
        self.delivery.set_typing(place, &caller.user, r.thread, r.typing).await;
        Ok(Response::new(v1::SetTypingResponse {}))
    }

    async fn set_presence(
        &self,
        request: Request<v1::SetPresenceRequest>,
    ) -> Result<Response<v1::SetPresenceResponse>, Status> {
        let caller = caller(&request)?;
        let r = request.into_inner();
        let status = one_of("status", r.status, None::<PresenceStatus>)?;
        if status == PresenceStatus::Offline {
            return Err(invalid("status", "must be ONLINE, AWAY or BUSY: offline is who has no stream"));
        }
        text("text", &r.text, 0, TEXT)?;
        if !self.delivery.set_presence(&caller, status, &r.text) {
            return Err(Status::failed_precondition("you have no stream: attach first, wait for CaughtUp"));
        }
        Ok(Response::new(v1::SetPresenceResponse {}))
    }

    async fn get_presence(
        &self,
        request: Request<v1::GetPresenceRequest>,
    ) -> Result<Response<v1::GetPresenceResponse>, Status> {
        let caller = caller(&request)?;
        let r = request.into_inner();
        if r.users.len() > USERS {
            return Err(invalid(
                "users",
                format!("has {} users, at most {USERS} are allowed", r.users.len()),
            ));
        }
        let asked = r.users.iter().map(|name| user("users", name)).collect::<Result<BTreeSet<_>, _>>()?;
        let mine =
            self.conversations.memberships(&caller.tenant, &caller.user).await.map_err(status::fault)?;
        let mine = mine.into_iter().collect();
        let mut presences = Vec::new();
        for user in asked {
            if self.share(&caller, &mine, &user).await.map_err(status::fault)? {
                presences.push(self.delivery.presence(&caller.tenant, &user));
            }
        }
        Ok(Response::new(v1::GetPresenceResponse { presences }))
    }
}
