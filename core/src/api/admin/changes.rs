//! What administrators change of conversations.

use crate::{
    api::{
        Api,
        check::{self, client_id, invalid, one_of, place},
        identity::Caller,
        status,
    },
    conversation::{Command, Request},
    domain::User,
};
use nexus_proto::v1::{self, MemberRole, Role, event::Body};
use tonic::Status;

impl Api {
    /// Appends an administrator's events, one for each body: all of them or none.
    async fn administer(
        &self,
        caller: Caller,
        conversation: &str,
        id: &str,
        bodies: Vec<Body>,
    ) -> Result<v1::Receipt, Status> {
        let place = place(&caller.tenant, conversation)?;
        let id = Some(client_id(id)?);
        let mut bodies = bodies.into_iter();
        let body = bodies.next().ok_or_else(|| Status::internal("a request asks for nothing"))?;
        let command = Command { place, sender: caller.user, id, target: 0, body };
        let request = Request { further: bodies.collect(), ..Request::of_administrator(command) };
        let receipt = self.conversations.submit(request).await.map_err(status::command)?;
        Ok(v1::Receipt { seq: receipt.seq, time_ms: receipt.time_ms })
    }

    pub(super) async fn add_as_administrator(
        &self,
        caller: Caller,
        r: &v1::AddConversationMembersRequest,
    ) -> Result<v1::Receipt, Status> {
        let names: Vec<String> = r.members.iter().map(|member| member.user.clone()).collect();
        let mut members = Vec::with_capacity(names.len());
        for user in self.limits.users("members.user", &names)? {
            let given = r.members.iter().find(|m| m.user == user.as_str()).map_or(0, |m| m.role);
            let role = one_of("members.role", given, Some(Role::Member))? as i32;
            members.push(MemberRole { user: user.to_string(), role });
        }
        if members.is_empty() {
            return Err(invalid("members", "must name somebody"));
        }
        let body = Body::MembersAdded(v1::MembersAdded { members });
        self.administer(caller, &r.conversation_id, &r.client_id, vec![body]).await
    }

    pub(super) async fn remove_as_administrator(
        &self,
        caller: Caller,
        r: &v1::RemoveConversationMembersRequest,
    ) -> Result<v1::Receipt, Status> {
        let users = self.limits.users("users", &r.users)?;
        if users.is_empty() {
            return Err(invalid("users", "must name somebody"));
        }
        let removed = |user: User| Body::MemberRemoved(v1::MemberRemoved { user: user.to_string() });
        let bodies = users.into_iter().map(removed).collect();
        self.administer(caller, &r.conversation_id, &r.client_id, bodies).await
    }

    pub(super) async fn set_role_as_administrator(
        &self,
        caller: Caller,
        r: &v1::SetConversationRoleRequest,
    ) -> Result<v1::Receipt, Status> {
        let user = check::user("user", &r.user)?.to_string();
        let role = one_of::<Role>("role", r.role, None)? as i32;
        let body = Body::RoleChanged(v1::RoleChanged { user, role });
        self.administer(caller, &r.conversation_id, &r.client_id, vec![body]).await
    }

    pub(super) async fn trim_as_administrator(
        &self,
        caller: Caller,
        r: &v1::TrimConversationRequest,
    ) -> Result<v1::TrimConversationResponse, Status> {
        let place = place(&caller.tenant, &r.conversation_id)?;
        let id = client_id(&r.client_id)?;
        let trimmed = self.conversations.trim_through(&place, caller.user, id, r.through).await;
        let trimmed = trimmed.map_err(status::command)?;
        let head = self.conversations.end(&place, trimmed.seq).await.map_err(status::fault)?;
        let receipt = Some(v1::Receipt { seq: trimmed.seq, time_ms: trimmed.time_ms });
        Ok(v1::TrimConversationResponse { receipt, floor: head.map_or(0, |head| head.floor) })
    }
}
