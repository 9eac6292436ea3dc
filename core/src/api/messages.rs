//! The message service.

use super::{
    Api, check,
    check::{REACTION, client_id, place, seq, text},
    identity::caller,
    status,
};
use crate::conversation::Command;
use nexus_proto::v1::{self, event::Body, message_service_server::MessageService};
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;

impl Api {
    /// Appends one event on behalf of the caller.
    pub(super) async fn append<T>(
        &self,
        request: &Request<T>,
        conversation: &str,
        id: &str,
        target: u64,
        body: Body,
    ) -> Result<Option<v1::Receipt>, Status> {
        let caller = caller(request)?;
        let place = place(&caller.tenant, conversation)?;
        let command = Command { place, sender: caller.user, id: Some(client_id(id)?), target, body };
        let receipt = self.conversations.submit(command).await.map_err(status::command)?;
        Ok(Some(v1::Receipt { seq: receipt.seq, time_ms: receipt.time_ms }))
    }
}

#[tonic::async_trait]
impl MessageService for Api {
    async fn send_message(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Answer<v1::SendMessageResponse> {
        let r = request.get_ref();
        let content = Some(self.limits.content(r.content.clone())?);
        let body = Body::MessageSent(v1::MessageSent { content, reply_to: r.reply_to, thread: r.thread });
        let receipt = self.append(&request, &r.conversation_id, &r.client_id, 0, body).await?;
        Ok(Response::new(v1::SendMessageResponse { receipt }))
    }

    async fn edit_message(
        &self,
        request: Request<v1::EditMessageRequest>,
    ) -> Answer<v1::EditMessageResponse> {
        let r = request.get_ref();
        let body =
            Body::MessageEdited(v1::MessageEdited { content: Some(self.limits.content(r.content.clone())?) });
        let target = seq("seq", r.seq)?;
        let receipt = self.append(&request, &r.conversation_id, &r.client_id, target, body).await?;
        Ok(Response::new(v1::EditMessageResponse { receipt }))
    }

    async fn delete_message(
        &self,
        request: Request<v1::DeleteMessageRequest>,
    ) -> Answer<v1::DeleteMessageResponse> {
        let r = request.get_ref();
        let body = Body::MessageDeleted(v1::MessageDeleted {});
        let receipt =
            self.append(&request, &r.conversation_id, &r.client_id, seq("seq", r.seq)?, body).await?;
        Ok(Response::new(v1::DeleteMessageResponse { receipt }))
    }

    async fn add_reaction(
        &self,
        request: Request<v1::AddReactionRequest>,
    ) -> Answer<v1::AddReactionResponse> {
        let r = request.get_ref();
        let body = Body::ReactionAdded(v1::ReactionAdded { reaction: reaction(&r.reaction)? });
        let receipt =
            self.append(&request, &r.conversation_id, &r.client_id, seq("seq", r.seq)?, body).await?;
        Ok(Response::new(v1::AddReactionResponse { receipt }))
    }

    async fn remove_reaction(
        &self,
        request: Request<v1::RemoveReactionRequest>,
    ) -> Answer<v1::RemoveReactionResponse> {
        let r = request.get_ref();
        let body = Body::ReactionRemoved(v1::ReactionRemoved { reaction: reaction(&r.reaction)? });
        let receipt =
            self.append(&request, &r.conversation_id, &r.client_id, seq("seq", r.seq)?, body).await?;
        Ok(Response::new(v1::RemoveReactionResponse { receipt }))
    }

    async fn pin_message(&self, request: Request<v1::PinMessageRequest>) -> Answer<v1::PinMessageResponse> {
        let r = request.get_ref();
        let body = Body::MessagePinned(v1::MessagePinned {});
        let receipt =
            self.append(&request, &r.conversation_id, &r.client_id, seq("seq", r.seq)?, body).await?;
        Ok(Response::new(v1::PinMessageResponse { receipt }))
    }

    async fn unpin_message(
        &self,
        request: Request<v1::UnpinMessageRequest>,
    ) -> Answer<v1::UnpinMessageResponse> {
        let r = request.get_ref();
        let body = Body::MessageUnpinned(v1::MessageUnpinned {});
        let receipt =
            self.append(&request, &r.conversation_id, &r.client_id, seq("seq", r.seq)?, body).await?;
        Ok(Response::new(v1::UnpinMessageResponse { receipt }))
    }
}

fn reaction(name: &str) -> Result<String, Status> {
    text("reaction", name, 1, REACTION)?;
    if name.chars().any(char::is_whitespace) || name.chars().any(char::is_control) {
        return Err(check::invalid("reaction", "must be an emoji or a short name without spaces"));
    }
    Ok(name.to_owned())
}
