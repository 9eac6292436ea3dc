//! Sending a change: the id is made once, and the outcome is found out.
use nexus_proto::v1::{
    Event, GetConversationRequest, ListEventsRequest, Receipt, list_events_request::Anchor,
};
use tonic::{Code, Status};

use crate::{
    call::Call,
    client::{CallError, Client},
    clock::id_time_ms,
    mutation::{Mutation, PendingSend, SendError, Sent},
};

/// How far the time in an id may lie ahead of the server's.
const CLOCK_TOLERANCE_MS: i64 = 10 * 60 * 1000;

/// How many pages of 200 events are read to find an id that is beyond the retry horizon.
const SEARCH_PAGES: usize = 1_000;

impl Client {
    /// Gives a change its id, and a link its secret, if it has none, from the server's time: do this when it is about to be sent for the first time,
    /// store the result, then [`send`](Self::send) it.
    pub fn prepare(&self, mutation: impl Into<Mutation>) -> PendingSend {
        let mut mutation = mutation.into();
        mutation.set_client_id(self.chance().id(self.server_time_ms()));
        if let Mutation::CreateInvitation(link) = &mut mutation
            && link.users.is_empty()
            && link.secret.is_empty()
        {
            link.secret = self.chance().secret();
        }
        PendingSend { mutation, uncertain: false }
    }

    /// Sends a change, always with the same id, until its outcome is known or the retry policy gives up.
    ///
    /// # Errors
    /// See [`SendError`]: it says what may be done with the change now.
    pub async fn send(&self, pending: &mut PendingSend) -> Result<Sent, SendError> {
        let error = match self.transmit(&pending.mutation).await {
            Ok(sent) => return Ok(sent),
            Err(error) => error,
        };
        if error.status.code() == Code::OutOfRange && error.refused {
            return self.find(pending).await;
        }
        pending.uncertain |= !error.refused;
        Err(if pending.uncertain { SendError::Unknown(error) } else { SendError::Refused(error) })
    }

    async fn transmit(&self, mutation: &Mutation) -> Result<Sent, CallError> {
        match mutation {
            Mutation::CreateConversation(request) => {
                let answer = self.call(request.clone()).await?;
                Ok(Sent { conversation: answer.conversation, ..sent(answer.receipt) })
            }
            Mutation::CreateInvitation(request) => {
                let answer = self.call(request.clone()).await?;
                Ok(Sent { token: answer.token, ..sent(answer.receipt) })
            }
            Mutation::AcceptInvitation(request) => {
                let answer = self.call(request.clone()).await?;
                let joined = GetConversationRequest { conversation_id: answer.conversation_id, at_least: 0 };
                // It is done, whether it can be looked at now or not.
                let conversation = self.call(joined).await.ok().and_then(|answer| answer.conversation);
                Ok(Sent { conversation, ..sent(answer.receipt) })
            }
            Mutation::DeclineInvitation(request) => self.receipt(request, |answer| answer.receipt).await,
            Mutation::RevokeInvitation(request) => self.receipt(request, |answer| answer.receipt).await,
            Mutation::SendMessage(request) => self.receipt(request, |answer| answer.receipt).await,
            Mutation::EditMessage(request) => self.receipt(request, |answer| answer.receipt).await,
            Mutation::DeleteMessage(request) => self.receipt(request, |answer| answer.receipt).await,
            Mutation::AddReaction(request) => self.receipt(request, |answer| answer.receipt).await,
            Mutation::RemoveReaction(request) => self.receipt(request, |answer| answer.receipt).await,
            Mutation::PinMessage(request) => self.receipt(request, |answer| answer.receipt).await,
            Mutation::UnpinMessage(request) => self.receipt(request, |answer| answer.receipt).await,
            Mutation::UpdateConversation(request) => self.receipt(request, |answer| answer.receipt).await,
            Mutation::AddMembers(request) => self.receipt(request, |answer| answer.receipt).await,
            Mutation::RemoveMember(request) => self.receipt(request, |answer| answer.receipt).await,
            Mutation::SetRole(request) => self.receipt(request, |answer| answer.receipt).await,
            Mutation::JoinConversation(request) => self.receipt(request, |answer| answer.receipt).await,
            Mutation::LeaveConversation(request) => self.receipt(request, |answer| answer.receipt).await,
        }
    }

    async fn receipt<C: Call>(
        &self,
        request: &C,
        receipt: impl FnOnce(C::Answer) -> Option<Receipt>,
    ) -> Result<Sent, CallError> {
        Ok(sent(receipt(self.call(request.clone()).await?)))
    }

    /// Looks for the id in the history, from its end back to before the id's time.
    async fn find(&self, pending: &PendingSend) -> Result<Sent, SendError> {
        let id = pending.client_id();
        let forgotten = |why: &str| {
            let status = Status::out_of_range(why);
            Err(SendError::Forgotten(CallError { status, refused: false, attempts: 0 }))
        };
        let (Some(conversation), Some(made_at)) = (pending.mutation.conversation_id(), id_time_ms(id)) else {
            return forgotten("there is no history to look into");
        };
        let mut below = None;
        for _ in 0..SEARCH_PAGES {
            let page = ListEventsRequest {
                conversation_id: conversation.to_owned(),
                anchor: below.map(Anchor::BeforeSeq),
                limit: 200,
                at_least: 0,
            };
            let page = match self.call(page).await {
                Ok(page) => page,
                Err(error) if error.refused => return Err(SendError::Forgotten(error)),
                Err(error) => return Err(SendError::Unknown(error)),
            };
            if let Some(event) = page.events.iter().find(|event| event.id == id) {
                return Ok(Sent { found_in_history: true, ..sent(Some(receipt_of(event))) });
            }
            let covered = page.covered.unwrap_or_default();
            // The times of a log never decrease: nothing older can hold the id.
            let passed =
                page.events.first().is_some_and(|event| event.time_ms < made_at - CLOCK_TOLERANCE_MS);
            if passed || page.events.first().is_some_and(|event| event.seq == 1) {
                return Err(SendError::NotSent);
            }
            if covered.at_start || covered.first <= 1 {
                break;
            }
            below = Some(covered.first);
        }
        forgotten("the history doesn't reach back to when it was made")
    }
}

fn sent(receipt: Option<Receipt>) -> Sent {
    Sent {
        receipt: receipt.unwrap_or_default(),
        conversation: None,
        token: String::new(),
        found_in_history: false,
    }
}

fn receipt_of(event: &Event) -> Receipt {
    Receipt { seq: event.seq, time_ms: event.time_ms }
}
