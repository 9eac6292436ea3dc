//! The administration service: what those may do whom the deployment names.
//!
//! - here: who they are, what is recorded of it, and the methods.
//! - `conversations`: what they see. `changes`: what they change. `retention`: how long events are kept.

mod changes;
mod conversations;
mod retention;

use super::{
    Api,
    identity::{Caller, caller},
};
use crate::domain::{Name, Tenant, User};
use nexus_proto::v1::{self, admin_service_server::AdminService};
use std::str::FromStr;
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;

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
    /// The caller, if they administer their tenant. Either way it is recorded, with what it is about.
    fn administrator<T>(
        &self,
        request: &Request<T>,
        method: &'static str,
        about: &About<'_>,
    ) -> Result<Caller, Status> {
        let caller = caller(request)?;
        let allowed = self.administrators.iter().any(|administrator| administrator.is(&caller));
        let Caller { tenant, user, device } = &caller;
        let [conversation, whom, reason] = [about.conversation, about.user, about.reason].map(brief);
        tracing::info!(
            target: "audit", %tenant, %user, %device, method, allowed, conversation, whom, reason, "administration"
        );
        if allowed {
            return Ok(caller);
        }
        Err(Status::permission_denied(format!(
            "{user} of tenant {tenant} is no administrator: whoever runs this deployment names them in core.administrators"
        )))
    }
}

/// What a request is about, for its record; empty where it names nothing.
#[derive(Default)]
struct About<'a> {
    conversation: &'a str,
    user: &'a str,
    reason: &'a str,
}

impl<'a> About<'a> {
    fn conversation(conversation: &'a str) -> Self {
        Self { conversation, ..Self::default() }
    }
}

/// Bytes of what a caller wrote that a record repeats; a reason may have as many.
const RECORDED: usize = 512;

fn brief(text: &str) -> &str {
    let mut end = text.len().min(RECORDED);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[tonic::async_trait]
impl AdminService for Api {
    async fn list_tenant_conversations(
        &self,
        request: Request<v1::ListTenantConversationsRequest>,
    ) -> Answer<v1::ListTenantConversationsResponse> {
        let about = About { user: &request.get_ref().user, ..About::default() };
        let caller = self.administrator(&request, "ListTenantConversations", &about)?;
        Ok(Response::new(self.conversations_of_tenant(&caller, request.get_ref()).await?))
    }

    async fn get_tenant_conversation(
        &self,
        request: Request<v1::GetTenantConversationRequest>,
    ) -> Answer<v1::GetTenantConversationResponse> {
        let id = &request.get_ref().conversation_id;
        let caller = self.administrator(&request, "GetTenantConversation", &About::conversation(id))?;
        let survey = self.surveyed(&caller, id).await?;
        let conversation = Some(self.described(&survey, conversations::SAMPLE_OF_ONE).await?);
        Ok(Response::new(v1::GetTenantConversationResponse { conversation }))
    }

    async fn list_conversation_members(
        &self,
        request: Request<v1::ListConversationMembersRequest>,
    ) -> Answer<v1::ListConversationMembersResponse> {
        let about = About::conversation(&request.get_ref().conversation_id);
        let caller = self.administrator(&request, "ListConversationMembers", &about)?;
        Ok(Response::new(self.members_of(&caller, request.get_ref()).await?))
    }

    async fn list_conversation_events(
        &self,
        request: Request<v1::ListConversationEventsRequest>,
    ) -> Answer<v1::ListConversationEventsResponse> {
        let r = request.get_ref();
        let about = About { conversation: &r.conversation_id, reason: &r.reason, ..About::default() };
        let caller = self.administrator(&request, "ListConversationEvents", &about)?;
        Ok(Response::new(self.events_of(&caller, r).await?))
    }

    async fn add_conversation_members(
        &self,
        request: Request<v1::AddConversationMembersRequest>,
    ) -> Answer<v1::AddConversationMembersResponse> {
        let r = request.get_ref();
        let whom = names(r.members.iter().map(|member| &member.user));
        let about = About { conversation: &r.conversation_id, user: &whom, ..About::default() };
        let caller = self.administrator(&request, "AddConversationMembers", &about)?;
        let receipt = Some(self.add_as_administrator(caller, r).await?);
        Ok(Response::new(v1::AddConversationMembersResponse { receipt }))
    }

    async fn remove_conversation_members(
        &self,
        request: Request<v1::RemoveConversationMembersRequest>,
    ) -> Answer<v1::RemoveConversationMembersResponse> {
        let r = request.get_ref();
        let whom = names(r.users.iter());
        let about = About { conversation: &r.conversation_id, user: &whom, ..About::default() };
        let caller = self.administrator(&request, "RemoveConversationMembers", &about)?;
        let receipt = Some(self.remove_as_administrator(caller, r).await?);
        Ok(Response::new(v1::RemoveConversationMembersResponse { receipt }))
    }

    async fn set_conversation_role(
        &self,
        request: Request<v1::SetConversationRoleRequest>,
    ) -> Answer<v1::SetConversationRoleResponse> {
        let r = request.get_ref();
        let about = About { conversation: &r.conversation_id, user: &r.user, ..About::default() };
        let caller = self.administrator(&request, "SetConversationRole", &about)?;
        let receipt = Some(self.set_role_as_administrator(caller, r).await?);
        Ok(Response::new(v1::SetConversationRoleResponse { receipt }))
    }

    async fn trim_conversation(
        &self,
        request: Request<v1::TrimConversationRequest>,
    ) -> Answer<v1::TrimConversationResponse> {
        let about = About::conversation(&request.get_ref().conversation_id);
        let caller = self.administrator(&request, "TrimConversation", &about)?;
        Ok(Response::new(self.trim_as_administrator(caller, request.get_ref()).await?))
    }

    async fn get_retention(
        &self,
        request: Request<v1::GetRetentionRequest>,
    ) -> Answer<v1::GetRetentionResponse> {
        let about = About::conversation(&request.get_ref().conversation_id);
        let caller = self.administrator(&request, "GetRetention", &about)?;
        Ok(Response::new(self.retention_of(&caller, request.get_ref()).await?))
    }

    async fn set_retention(
        &self,
        request: Request<v1::SetRetentionRequest>,
    ) -> Answer<v1::SetRetentionResponse> {
        let about = About::conversation(&request.get_ref().conversation_id);
        let caller = self.administrator(&request, "SetRetention", &about)?;
        Ok(Response::new(self.retain_as(&caller, request.get_ref()).await?))
    }
}

fn names<'a>(users: impl Iterator<Item = &'a String>) -> String {
    // As many as a record repeats.
    let mut names = String::new();
    for user in users.take(RECORDED) {
        if names.len() > RECORDED {
            break;
        }
        let gap = if names.is_empty() { "" } else { " " };
        names.extend([gap, brief(user)]);
    }
    names
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
    fn a_record_repeats_a_bounded_part_of_what_was_written() {
        assert_eq!(brief("why"), "why");
        assert_eq!(brief(&"ä".repeat(400)).len(), RECORDED);
        assert_eq!(brief(&format!("x{}", "ä".repeat(400))).len(), RECORDED - 1);
        let many = vec!["x".repeat(600); 3];
        assert!(names(many.iter()).len() <= 2 * RECORDED + 1);
    }

    #[test]
    fn nobody_is_one_by_a_slip() {
        for wrong in ["", "root", "/root", "acme/", "acme/*", "*", "*/*", "a/b/c", "acme /root"] {
            let told = wrong.parse::<Administrator>().unwrap_err();
            assert!(told.contains("tenant/user"), "{told}");
        }
    }
}
