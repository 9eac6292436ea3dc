//! How long events are kept, as administrators say it.

use crate::{
    api::{
        Api,
        check::{invalid, place},
        identity::Caller,
        status,
    },
    conversation::Refusal,
    domain::{ConversationId, Tenant},
};
use nexus_proto::v1;
use tonic::Status;

/// Days that events may be kept at most, other than for ever.
const MOST_DAYS: u32 = 36_500;

impl Api {
    /// The conversation that a request is about; `None`: the tenant.
    async fn subject(&self, tenant: &Tenant, id: &str) -> Result<Option<ConversationId>, Status> {
        if id.is_empty() {
            return Ok(None);
        }
        let place = place(tenant, id)?;
        match self.conversations.end(&place, 0).await.map_err(status::fault)? {
            Some(_) => Ok(Some(place.conversation)),
            None => Err(status::refusal(Refusal::NoConversation)),
        }
    }

    pub(super) async fn retention_of(
        &self,
        Caller { tenant, .. }: &Caller,
        request: &v1::GetRetentionRequest,
    ) -> Result<v1::GetRetentionResponse, Status> {
        let of = self.subject(tenant, &request.conversation_id).await?;
        let (days, own) = self.conversations.retention(tenant, of).await.map_err(status::fault)?;
        Ok(v1::GetRetentionResponse { retention: Some(v1::Retention { days }), own })
    }

    pub(super) async fn retain_as(
        &self,
        Caller { tenant, .. }: &Caller,
        request: &v1::SetRetentionRequest,
    ) -> Result<v1::SetRetentionResponse, Status> {
        let days = request.retention.map(|retention| retention.days);
        if let Some(days) = days.filter(|days| *days > MOST_DAYS) {
            let why = format!("is {days}, must be 1-{MOST_DAYS}, or 0 to keep everything");
            return Err(invalid("retention.days", why));
        }
        let of = self.subject(tenant, &request.conversation_id).await?;
        self.conversations.retain(tenant, of, days).await.map_err(status::fault)?;
        let (days, _) = self.conversations.retention(tenant, of).await.map_err(status::fault)?;
        let of = of.map(|of| of.to_string()).unwrap_or_default();
        tracing::info!(target: "audit", %tenant, conversation = of, days, "retention is set");
        Ok(v1::SetRetentionResponse { retention: Some(v1::Retention { days }) })
    }
}
