//! The history service.

use super::{
    Api,
    check::{invalid, place, seq},
    identity::caller,
    status, wire,
};
use crate::conversation::history::{Anchor, Look, Page};
use nexus_proto::v1::{
    self, history_service_server::HistoryService, list_events_request::Anchor as InLog,
    list_messages_request::Anchor as Asked, list_thread_request::Anchor as InThread,
};
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;

/// The last seq below one that somebody names; what is above all logs says nothing.
fn before(seq: u64) -> u64 {
    if seq > i64::MAX as u64 { 0 } else { seq.saturating_sub(1) }
}

impl Api {
    /// The conversation as the caller may see it, having been a member once.
    /// `named`: a seq that they know of.
    async fn past<T>(
        &self,
        request: &Request<T>,
        conversation: &str,
        at_least: u64,
        named: u64,
    ) -> Result<Look, Status> {
        let caller = caller(request)?;
        let place = place(&caller.tenant, conversation)?;
        let look = self.conversations.look_for(&place, &caller.user, at_least, named).await;
        let look = look.map_err(status::read)?;
        look.member_once().map_err(status::read)?;
        Ok(look)
    }

    async fn anchor(&self, look: &Look, asked: Option<Asked>) -> Result<Anchor, Status> {
        let at = async |time| self.conversations.seq_at(look, time).await.map_err(status::read);
        Ok(match asked {
            None => Anchor::Before(u64::MAX),
            Some(Asked::BeforeSeq(seq)) => Anchor::Before(seq),
            Some(Asked::AfterSeq(seq)) => Anchor::After(seq),
            Some(Asked::AroundSeq(seq)) => Anchor::Around(seq),
            Some(Asked::BeforeTimeMs(time)) => Anchor::Before(at(time).await?),
            Some(Asked::AfterTimeMs(time)) => Anchor::After(at(time).await? - 1),
            Some(Asked::AroundTimeMs(time)) => Anchor::Around(at(time).await? - 1),
        })
    }
}

#[tonic::async_trait]
impl HistoryService for Api {
    async fn list_messages(
        &self,
        request: Request<v1::ListMessagesRequest>,
    ) -> Answer<v1::ListMessagesResponse> {
        let r = request.get_ref();
        let limit = self.limits.page_size("limit", r.limit)?;
        let named = match r.anchor {
            Some(Asked::BeforeSeq(seq)) => before(seq),
            Some(Asked::AfterSeq(seq) | Asked::AroundSeq(seq)) => seq,
            _ => 0,
        };
        let look = self.past(&request, &r.conversation_id, r.at_least, named).await?;
        let anchor = self.anchor(&look, r.anchor).await?;
        let Page { messages, covered, reflects } =
            look.messages(anchor, limit).await.map_err(status::read)?;
        Ok(Response::new(v1::ListMessagesResponse {
            messages: wire::messages(messages),
            covered: Some(covered),
            reflects,
        }))
    }

    async fn get_messages(
        &self,
        request: Request<v1::GetMessagesRequest>,
    ) -> Answer<v1::GetMessagesResponse> {
        let r = request.get_ref();
        if r.seqs.len() > self.limits.page as usize {
            return Err(invalid("seqs", format!("at most {} are allowed", self.limits.page)));
        }
        let named = r.seqs.iter().copied().max().unwrap_or(0);
        let look = self.past(&request, &r.conversation_id, r.at_least, named).await?;
        let (messages, reflects) = look.some(&r.seqs).await.map_err(status::read)?;
        Ok(Response::new(v1::GetMessagesResponse { messages: wire::messages(messages), reflects }))
    }

    async fn list_thread(&self, request: Request<v1::ListThreadRequest>) -> Answer<v1::ListThreadResponse> {
        let r = request.get_ref();
        let limit = self.limits.page_size("limit", r.limit)?;
        let root = seq("thread", r.thread)?;
        let named = match r.anchor {
            Some(InThread::AfterSeq(seq)) => seq.max(root),
            _ => root,
        };
        let look = self.past(&request, &r.conversation_id, r.at_least, named).await?;
        let anchor = match r.anchor {
            None => Anchor::Before(u64::MAX),
            Some(InThread::BeforeSeq(seq)) => Anchor::Before(seq),
            Some(InThread::AfterSeq(seq)) => Anchor::After(seq),
        };
        let Page { messages, covered, reflects } =
            look.thread(root, anchor, limit).await.map_err(status::read)?;
        Ok(Response::new(v1::ListThreadResponse {
            messages: wire::messages(messages),
            covered: Some(covered),
            reflects,
        }))
    }

    async fn list_events(&self, request: Request<v1::ListEventsRequest>) -> Answer<v1::ListEventsResponse> {
        let r = request.get_ref();
        let limit = self.limits.page_size("limit", r.limit)?;
        let named = match r.anchor {
            Some(InLog::AfterSeq(seq)) => seq,
            Some(InLog::BeforeSeq(seq)) => before(seq),
            None => 0,
        };
        let look = self.past(&request, &r.conversation_id, r.at_least, named).await?;
        let (from, to, down) = match r.anchor {
            None => (1, u64::MAX, true),
            Some(InLog::BeforeSeq(seq)) => (1, seq.saturating_sub(1), true),
            Some(InLog::AfterSeq(seq)) => (seq.saturating_add(1), u64::MAX, false),
        };
        let page = self.conversations.visible_events(&look, from, to, down, limit).await;
        let (events, covered) = page.map_err(status::read)?;
        let events = events.iter().map(wire::event).collect::<Result<_, _>>()?;
        let reflects = look.head.last_seq;
        Ok(Response::new(v1::ListEventsResponse { events, covered: Some(covered), reflects }))
    }
}
