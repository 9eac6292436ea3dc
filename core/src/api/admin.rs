//! The administration service: what those may do whom the deployment names.

use super::{
    Api,
    check::{invalid, place},
    identity::{Caller, caller},
    status,
};
use crate::domain::{ConversationId, Name, Tenant, User};
use nexus_proto::v1::{self, admin_service_server::AdminService};
use std::str::FromStr;
use tonic::{Request, Response, Status};

/// Days that events may be kept at most, other than for ever.
const MOST_DAYS: u32 = 36_500;

/// Who administers: a user of one tenant (`acme/root`), or a user of that name in every tenant (`*/root`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administrator {
    tenant: Option<Tenant>,
    user: User,
}

impl FromStr for Administrator {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.split_once('/').and_then(|(tenant, user)| {
            let tenant = if tenant == "*" { None } else { Some(Name::new(tenant).ok()?) };
            Some(Self { tenant, user: Name::new(user).ok()? })
        });
        named.ok_or_else(|| {
            format!("{text:?}: must be tenant/user, such as \"default/root\", or */user for every tenant")
        })
    }
}

impl Administrator {
    fn is(&self, caller: &Caller) -> bool {
        self.user == caller.user && self.tenant.as_ref().is_none_or(|tenant| *tenant == caller.tenant)
    }
}

impl Api {
    /// The caller, if they administer their tenant. Either way it is recorded.
    fn administrator<T>(&self, request: &Request<T>, method: &'static str) -> Result<Caller, Status> {
        let caller = caller(request)?;
        let allowed = self.administrators.iter().any(|administrator| administrator.is(&caller));
        let Caller { tenant, user, device } = &caller;
        tracing::info!(target: "audit", %tenant, %user, %device, method, allowed, "administration");
        if allowed {
            return Ok(caller);
        }
        Err(Status::permission_denied(format!(
            "{user} of tenant {tenant} is no administrator: whoever runs this deployment names them in core.administrators"
        )))
    }

    /// The conversation that a request is about; `None`: the tenant.
    async fn subject(&self, tenant: &Tenant, id: &str) -> Result<Option<ConversationId>, Status> {
        if id.is_empty() {
            return Ok(None);
        }
        let place = place(tenant, id)?;
        match self.conversations.end(&place, 0).await.map_err(status::fault)? {
            Some(_) => Ok(Some(place.conversation)),
            None => Err(status::refusal(crate::conversation::Refusal::NoConversation)),
        }
    }
}

#[tonic::async_trait]
impl AdminService for Api {
    async fn get_retention(
        &self,
        request: Request<v1::GetRetentionRequest>,
    ) -> Result<Response<v1::GetRetentionResponse>, Status> {
        let Caller { tenant, .. } = self.administrator(&request, "GetRetention")?;
        let of = self.subject(&tenant, &request.get_ref().conversation_id).await?;
        let (days, own) = self.conversations.retention(&tenant, of).await.map_err(status::fault)?;
        Ok(Response::new(v1::GetRetentionResponse { retention: Some(v1::Retention { days }), own }))
    }

    async fn set_retention(
        &self,
        request: Request<v1::SetRetentionRequest>,
    ) -> Result<Response<v1::SetRetentionResponse>, Status> {
        let Caller { tenant, .. } = self.administrator(&request, "SetRetention")?;
        let request = request.get_ref();
        let days = request.retention.map(|retention| retention.days);
        if let Some(days) = days.filter(|days| *days > MOST_DAYS) {
            let why = format!("is {days}, must be 1-{MOST_DAYS}, or 0 to keep everything");
            return Err(invalid("retention.days", why));
        }
        let of = self.subject(&tenant, &request.conversation_id).await?;
        self.conversations.retain(&tenant, of, days).await.map_err(status::fault)?;
        let (days, _) = self.conversations.retention(&tenant, of).await.map_err(status::fault)?;
        let of = of.map(|of| of.to_string()).unwrap_or_default();
        tracing::info!(target: "audit", %tenant, conversation = of, days, "retention is set");
        Ok(Response::new(v1::SetRetentionResponse { retention: Some(v1::Retention { days }) }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn caller(tenant: &str, user: &str) -> Caller {
        let name = |text| Name::new(text).unwrap();
        Caller { tenant: name(tenant), user: name(user), device: name("phone") }
    }

    #[test]
    fn an_administrator_is_a_user_of_one_tenant_or_of_each() {
        let one: Administrator = "acme/root".parse().unwrap();
        assert!(one.is(&caller("acme", "root")));
        assert!(!one.is(&caller("other", "root")) && !one.is(&caller("acme", "bob")));
        let each: Administrator = "*/root".parse().unwrap();
        assert!(each.is(&caller("acme", "root")) && each.is(&caller("other", "root")));
        assert!(!each.is(&caller("acme", "bob")));
    }

    #[test]
    fn nobody_is_one_by_a_slip() {
        for wrong in ["", "root", "/root", "acme/", "acme/*", "*", "*/*", "a/b/c", "acme /root"] {
            let told = wrong.parse::<Administrator>().unwrap_err();
            assert!(told.contains("tenant/user"), "{told}");
        }
    }
}
