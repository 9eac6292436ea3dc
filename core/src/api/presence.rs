//! The presence service.

use super::{
    check::{Limits, invalid, named, one_of, place, text},
    identity::{Caller, caller},
    status,
};
use crate::{
    conversation::{Conversations, history::ReadError, rows::About},
    delivery::Delivery,
    domain::{Place, User, hash::direct_id},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nexus_proto::v1::{self, ConversationKind, PresenceStatus, presence_service_server::PresenceService};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::sync::OnceCell;
use tonic::{Request, Response, Status};

/// Bytes of a status in one's own words.
const TEXT: usize = 256;
/// Users of a request that are looked into at once.
const WIDTH: usize = 16;
/// Conversations in which presence is shared that are looked into for one user. The list of a user's conversations is
/// almost always true, so that the first suffices.
const COMMON: usize = 4;
/// Conversations of the caller's that one request looks into. After them only those count that were looked into.
const LOOKED: usize = 1000;

/// The presence service.
pub struct PresenceApi {
    /// Where presence is kept.
    pub delivery: Arc<Delivery>,
    /// Who shares what with whom.
    pub conversations: Arc<Conversations>,
    /// Limits of requests.
    pub limits: Limits,
}

/// The caller's conversations during one request, with whether presence is shared in them as soon as that was asked.
struct Mine<'a> {
    caller: &'a Caller,
    places: BTreeMap<Place, OnceCell<bool>>,
    /// How many more may be looked into.
    left: AtomicUsize,
}

impl PresenceApi {
    /// A user in a conversation: what it is, if they are in it.
    async fn seen(&self, place: &Place, user: &User) -> Result<Option<About>, ReadError> {
        match self.conversations.look(place, user, 0).await {
            Ok(look) => Ok(look.role.map(|_| look.about)),
            Err(ReadError::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the caller's presence is shared in a conversation of theirs. Read at most once per request.
    async fn shared(&self, mine: &Mine<'_>, place: &Place) -> Result<bool, ReadError> {
        let Some(known) = mine.places.get(place) else { return Ok(false) };
        let look = || async {
            if mine.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err() {
                return Ok(false);
            }
            let about = self.seen(place, &mine.caller.user).await?;
            Ok(about.is_some_and(|about| {
                about.kind() != ConversationKind::Channel && about.members <= self.delivery.presence_members()
            }))
        };
        known.get_or_try_init(look).await.copied()
    }

    /// Whether the caller shares with somebody a conversation in which presence is shared.
    async fn share(&self, mine: &Mine<'_>, other: &User) -> Result<bool, ReadError> {
        let Caller { tenant, user, .. } = mine.caller;
        if other == user {
            return Ok(true);
        }
        let direct = Place { tenant: tenant.clone(), conversation: direct_id(tenant, user, other) };
        if self.conversations.end(&direct, 0).await?.is_some() {
            return Ok(true);
        }
        let mut common = 0;
        for place in self.conversations.memberships(tenant, other).await? {
            if !self.shared(mine, &place).await? {
                continue;
            }
            if self.seen(&place, other).await?.is_some() {
                return Ok(true);
            }
            // Only these count: channels and large conversations don't stand in the way of a small one.
            common += 1;
            if common == COMMON {
                break;
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
        let asked = named("users", &r.users, self.limits.presence_users)?;
        let places =
            self.conversations.memberships(&caller.tenant, &caller.user).await.map_err(status::fault)?;
        let places = places.into_iter().map(|place| (place, OnceCell::new())).collect();
        let mine = Mine { caller: &caller, places, left: AtomicUsize::new(LOOKED) };
        let looks = asked.into_iter().map(|user| {
            let mine = &mine;
            async move {
                let share = self.share(mine, &user).await.map_err(status::read)?;
                Ok::<_, Status>(share.then(|| self.delivery.presence(&mine.caller.tenant, &user)))
            }
        });
        let found: Vec<_> = stream::iter(looks).buffer_unordered(WIDTH).try_collect().await?;
        let presences = found.into_iter().flatten().collect();
        Ok(Response::new(v1::GetPresenceResponse { presences }))
    }
}
