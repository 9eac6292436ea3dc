//! The marker service.

use super::{
    Api,
    check::{place, seq},
    identity::{Caller, caller},
    status,
};
use crate::{
    bus::Hint,
    conversation::{Which, history::Look},
};
use nexus_proto::v1::{self, ephemeral, event::Body, marker_service_server::MarkerService};
use prost::Message as _;
use tonic::{Request, Response, Status};

impl Api {
    /// Messages above one's read marker that mention one, among at most `core.limits.mention_events` events.
    pub(super) async fn mentions(&self, look: &Look, caller: &Caller, read: u64) -> Result<u32, Status> {
        if look.role.is_none() || read >= look.head.last_seq {
            return Ok(0);
        }
        let read = read.max(look.head.floor);
        let among = self.limits.mention_events;
        let events = self.conversations.events(&look.place, read, among).await.map_err(status::fault)?;
        let mut mentions = 0;
        for event in events.iter().filter(|event| look.intervals.covers(event.seq)) {
            if let Ok(Some(Body::MessageSent(sent))) = event.decode() {
                let called = sent.content.and_then(|content| content.mentions);
                let me =
                    |m: v1::Mentions| m.everyone || m.users.iter().any(|user| user == caller.user.as_str());
                mentions += u32::from(event.sender != caller.user && called.is_some_and(me));
            }
        }
        Ok(mentions)
    }

    async fn mark(&self, caller: &Caller, conversation: &str, at: u64, which: Which) -> Result<Look, Status> {
        let at = seq("seq", at)?;
        let place = place(&caller.tenant, conversation)?;
        let look = self.conversations.look_for(&place, &caller.user, 0, at).await.map_err(status::read)?;
        if look.role.is_none() {
            return Err(Status::permission_denied("only members have markers"));
        }
        if at > look.head.last_seq {
            return Err(Status::out_of_range(format!(
                "seq is {at}, but the log ends at {}",
                look.head.last_seq
            )));
        }
        let messages = if at > look.head.floor {
            let event = self.conversations.events(&place, at - 1, 1).await.map_err(status::fault)?;
            event.first().map_or(0, |event| event.messages)
        } else {
            // How many they were by then is gone with them; that all of them were, is enough.
            0
        };
        self.conversations.mark(&place, &caller.user, which, at, messages).await.map_err(status::fault)?;
        if look.about.members <= self.limits.marker_members {
            let now = self.conversations.markers_of(&place, &caller.user).await.map_err(status::fault)?;
            let marker = Some(v1::Marker {
                user: caller.user.to_string(),
                read_seq: now.read,
                delivered_seq: now.delivered,
            });
            let moved = v1::MarkerMoved { conversation_id: place.conversation.to_string(), marker };
            let body = v1::Ephemeral { body: Some(ephemeral::Body::Marker(moved)) }.encode_to_vec().into();
            self.conversations.tell(Hint::Ephemeral { place, from: caller.user.clone(), body }).await;
        }
        Ok(look)
    }
}

#[tonic::async_trait]
impl MarkerService for Api {
    async fn set_read_marker(
        &self,
        request: Request<v1::SetReadMarkerRequest>,
    ) -> Result<Response<v1::SetReadMarkerResponse>, Status> {
        let caller = caller(&request)?;
        let r = request.into_inner();
        let look = self.mark(&caller, &r.conversation_id, r.seq, Which::Read).await?;
        let now = self.conversations.markers_of(&look.place, &caller.user).await.map_err(status::fault)?;
        Ok(Response::new(v1::SetReadMarkerResponse {
            read_seq: now.read,
            unread_count: look.head.unread(now.read_messages),
            mention_count: self.mentions(&look, &caller, now.read).await?,
        }))
    }

    async fn set_delivered_marker(
        &self,
        request: Request<v1::SetDeliveredMarkerRequest>,
    ) -> Result<Response<v1::SetDeliveredMarkerResponse>, Status> {
        let caller = caller(&request)?;
        let r = request.into_inner();
        let look = self.mark(&caller, &r.conversation_id, r.seq, Which::Delivered).await?;
        let now = self.conversations.markers_of(&look.place, &caller.user).await.map_err(status::fault)?;
        Ok(Response::new(v1::SetDeliveredMarkerResponse { delivered_seq: now.delivered }))
    }

    async fn list_markers(
        &self,
        request: Request<v1::ListMarkersRequest>,
    ) -> Result<Response<v1::ListMarkersResponse>, Status> {
        let caller = caller(&request)?;
        let r = request.into_inner();
        let place = place(&caller.tenant, &r.conversation_id)?;
        let look = self.conversations.look(&place, &caller.user, 0).await.map_err(status::read)?;
        if look.role.is_none() {
            return Err(Status::permission_denied("only members may see markers"));
        }
        let most = self.limits.marker_members;
        if look.about.members > most {
            return Err(Status::failed_precondition(format!(
                "the conversation has {} members: markers are shared among at most {most}",
                look.about.members
            )));
        }
        let (members, _) = look.members("", most as usize).await.map_err(status::read)?;
        let mut markers = Vec::with_capacity(members.len());
        for (user, _) in members {
            let now = self.conversations.markers_of(&place, &user).await.map_err(status::fault)?;
            markers.push(v1::Marker {
                user: user.to_string(),
                read_seq: now.read,
                delivered_seq: now.delivered,
            });
        }
        Ok(Response::new(v1::ListMarkersResponse { markers }))
    }
}
