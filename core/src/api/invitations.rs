//! The invitation service.
//!
//! A link's token holds the conversation, the invitation's seq and its secret. Only a digest of the secret is stored, and
//! neither is ever logged.

use super::{
    Api, check,
    check::{invalid, one_of, place, text},
    identity::{Caller, caller},
    status,
};
use crate::{
    conversation::{Refusal, invitation::Invitation, invited::Found, received},
    domain::{ConversationId, Place, Seq, Tenant, hash},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nexus_proto::v1::{
    self, InvitationState, MemberRole, Role, event::Body, invitation_reference::By,
    invitation_service_server::InvitationService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

type Answer<T> = Result<Response<T>, Status>;

/// Users that one invitation names.
const USERS: usize = 100;
/// Bytes of a note.
const NOTE: usize = 256;
/// Bytes of a link's secret.
const SECRET: usize = 32;
/// Characters of a token.
const TOKEN: usize = 128;
/// The first byte of a token, for the day on which they look different.
const VERSION: u8 = 1;

/// An invitation as somebody names it who is not in the conversation.
struct Reference {
    place: Place,
    seq: Seq,
    /// Digest of the secret in a link's token; `None`: it names the caller.
    secret: Option<[u8; 32]>,
}

fn token(conversation: ConversationId, seq: Seq, secret: &[u8]) -> String {
    let bytes = [&[VERSION], &conversation.0.as_bytes()[..], &seq.to_be_bytes(), secret].concat();
    URL_SAFE_NO_PAD.encode(bytes)
}

fn parse(tenant: &Tenant, token: &str) -> Option<Reference> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let rest = bytes.strip_prefix(&[VERSION])?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let (seq, secret) = rest.split_first_chunk()?;
    let secret: &[u8; SECRET] = secret.try_into().ok()?;
    let place = Place { tenant: tenant.clone(), conversation: ConversationId(Uuid::from_bytes(*id)) };
    Some(Reference { place, seq: Seq::from_be_bytes(*seq), secret: Some(hash::sha256(secret)) })
}

fn reference(tenant: &Tenant, given: Option<&v1::InvitationReference>) -> Result<Reference, Status> {
    let by = given.and_then(|reference| reference.by.as_ref());
    match by
        .ok_or_else(|| invalid("invitation", "must be given: the token of a link, or one that names you"))?
    {
        By::Token(token) => {
            let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if token.is_empty() || token.len() > TOKEN || !token.bytes().all(known) {
                let why = format!("must be 1-{TOKEN} characters of A-Za-z0-9_-, as CreateInvitation gave it");
                return Err(invalid("invitation.token", why));
            }
            parse(tenant, token).ok_or_else(|| status::refusal(Refusal::NoInvitation))
        }
        By::Named(named) => {
            let id = Uuid::try_parse(&named.conversation_id).map_err(|_| {
                invalid("invitation.named.conversation_id", "must be a UUID, as the server gave it")
            })?;
            let place = Place { tenant: tenant.clone(), conversation: ConversationId(id) };
            Ok(Reference { place, seq: invitation_seq("invitation.named.seq", named.seq)?, secret: None })
        }
    }
}

fn invitation_seq(field: &str, seq: u64) -> Result<Seq, Status> {
    if seq > 0 { Ok(seq) } else { Err(invalid(field, "must be the seq of an invitation")) }
}

impl Api {
    /// The invitation, if the caller is one of those whom it is for: that never changes, so it needn't be decided with the
    /// command. To everybody else there is none.
    async fn shown(&self, caller: &Caller, given: Option<&v1::InvitationReference>) -> Result<Found, Status> {
        let Reference { place, seq, secret } = reference(&caller.tenant, given)?;
        let found = self.conversations.invitation(&place, seq, &caller.user).await.map_err(status::fault)?;
        let of_caller = |invitation: &Invitation| match secret {
            Some(secret) => {
                let kept = <&[u8; 32]>::try_from(&invitation.secret_sha256[..]);
                invitation.is_link() && kept.is_ok_and(|kept| hash::same(kept, &secret))
            }
            None => invitation.names(&caller.user),
        };
        let found = found.filter(|found| of_caller(&found.invitation));
        found.ok_or_else(|| status::refusal(Refusal::NoInvitation))
    }
}

fn preview(found: Found) -> v1::InvitationPreview {
    let Found { place, seq, invitation, about, member } = found;
    v1::InvitationPreview {
        conversation_id: place.conversation.to_string(),
        seq,
        kind: about.kind,
        title: about.title,
        topic: about.topic,
        member_count: about.members,
        inviter: invitation.inviter,
        role: invitation.role,
        expires_at_ms: invitation.expires_at,
        note: invitation.note,
        member,
    }
}

fn of_admins(conversation_id: &str, seq: Seq, invitation: Invitation, now: i64) -> v1::Invitation {
    v1::Invitation {
        conversation_id: conversation_id.to_owned(),
        seq,
        state: invitation.state_at(now).into(),
        inviter: invitation.inviter,
        created_at_ms: invitation.created_at,
        role: invitation.role,
        users: invitation.users,
        expires_at_ms: invitation.expires_at,
        max_uses: invitation.max_uses,
        uses: invitation.uses,
        note: invitation.note,
    }
}

fn bad_page_token() -> Status {
    invalid("page_token", "must be the next_page_token of the answer before")
}

#[tonic::async_trait]
impl InvitationService for Api {
    async fn create_invitation(
        &self,
        request: Request<v1::CreateInvitationRequest>,
    ) -> Answer<v1::CreateInvitationResponse> {
        let r = request.get_ref();
        if r.users.len() > USERS {
            return Err(invalid(
                "users",
                format!("has {} users, at most {USERS} are allowed", r.users.len()),
            ));
        }
        let users = self.limits.users("users", &r.users)?;
        let role: Role = one_of("role", r.role, Some(Role::Member))?;
        if role > Role::Admin {
            return Err(invalid("role", "must be READER, MEMBER or ADMIN: owners are appointed by SetRole"));
        }
        text("note", &r.note, 0, NOTE)?;
        if r.expires_at_ms < 0 {
            return Err(invalid("expires_at_ms", "must be a Unix time in milliseconds, or 0 for no end"));
        }
        match users.is_empty() {
            true if r.secret.len() != SECRET => {
                let why =
                    format!("has {} bytes: a link needs {SECRET} from a source of chance", r.secret.len());
                return Err(invalid("secret", format!("{why}; or name users")));
            }
            false if !r.secret.is_empty() => {
                return Err(invalid("secret", "must be empty where users are named: they need no token"));
            }
            false if r.max_uses > 0 => {
                return Err(invalid("max_uses", "must be 0 where users are named: each of them joins once"));
            }
            _ => {}
        }
        let digest = users.is_empty().then(|| hash::sha256(&r.secret).to_vec());
        let body = Body::InvitationCreated(v1::InvitationCreated {
            role: role.into(),
            users: users.iter().map(ToString::to_string).collect(),
            secret_sha256: digest.unwrap_or_default(),
            expires_at_ms: r.expires_at_ms,
            max_uses: r.max_uses,
            note: r.note.clone(),
        });
        let receipt = self.append(&request, &r.conversation_id, &r.client_id, 0, body).await?;
        let place = place(&caller(&request)?.tenant, &r.conversation_id)?;
        let link = receipt.as_ref().filter(|_| users.is_empty());
        let token = link.map(|receipt| token(place.conversation, receipt.seq, &r.secret)).unwrap_or_default();
        Ok(Response::new(v1::CreateInvitationResponse { receipt, token }))
    }

    async fn list_invitations(
        &self,
        request: Request<v1::ListInvitationsRequest>,
    ) -> Answer<v1::ListInvitationsResponse> {
        let caller = caller(&request)?;
        let r = request.into_inner();
        let size = self.limits.page_size("page_size", r.page_size)?;
        let below = match &r.page_token[..] {
            "" => Seq::MAX,
            token => token.parse().map_err(|_| bad_page_token())?,
        };
        let place = place(&caller.tenant, &r.conversation_id)?;
        let look = self.conversations.look(&place, &caller.user, r.at_least).await.map_err(status::read)?;
        if look.role.is_none_or(|role| role < Role::Admin) {
            return Err(Status::permission_denied("only admins may see a conversation's invitations"));
        }
        let now = self.clock.now_ms();
        let open_at = (!r.include_closed).then_some(now);
        let (mut found, reflects) = look.invitations(below, size + 1, open_at).await.map_err(status::read)?;
        let more = found.len() > size;
        found.truncate(size);
        let last = found.last().filter(|_| more);
        let next_page_token = last.map(|(seq, _)| seq.to_string()).unwrap_or_default();
        let conversation = place.conversation.to_string();
        let listed = found.into_iter().map(|(seq, row)| of_admins(&conversation, seq, row, now));
        let invitations = listed.collect();
        Ok(Response::new(v1::ListInvitationsResponse { invitations, next_page_token, reflects }))
    }

    async fn list_received_invitations(
        &self,
        request: Request<v1::ListReceivedInvitationsRequest>,
    ) -> Answer<v1::ListReceivedInvitationsResponse> {
        let Caller { tenant, user, .. } = caller(&request)?;
        let r = request.into_inner();
        let size = self.limits.page_size("page_size", r.page_size)?;
        let after = match &r.page_token[..] {
            "" => None,
            token => {
                let key = URL_SAFE_NO_PAD.decode(token).ok().filter(|key| received::is_key(key));
                Some(key.ok_or_else(bad_page_token)?)
            }
        };
        let page = self.conversations.received(&tenant, &user, after.as_deref(), size).await;
        let page = page.map_err(status::fault)?;
        let next_page_token = page.next.map(|next| URL_SAFE_NO_PAD.encode(next)).unwrap_or_default();
        let invitations = page.found.into_iter().map(preview).collect();
        Ok(Response::new(v1::ListReceivedInvitationsResponse { invitations, next_page_token }))
    }

    async fn get_invitation(
        &self,
        request: Request<v1::GetInvitationRequest>,
    ) -> Answer<v1::GetInvitationResponse> {
        let caller = caller(&request)?;
        let found = self.shown(&caller, request.get_ref().invitation.as_ref()).await?;
        let row = &found.invitation;
        let open = row.state_at(self.clock.now_ms()) == InvitationState::Open;
        if !open || !(row.is_link() || row.waits_for(&caller.user)) {
            return Err(status::refusal(Refusal::NoInvitation));
        }
        Ok(Response::new(v1::GetInvitationResponse { invitation: Some(preview(found)) }))
    }

    async fn accept_invitation(
        &self,
        request: Request<v1::AcceptInvitationRequest>,
    ) -> Answer<v1::AcceptInvitationResponse> {
        let caller = caller(&request)?;
        let r = request.get_ref();
        check::client_id(&r.client_id)?;
        let found = self.shown(&caller, r.invitation.as_ref()).await?;
        // The role is the invitation's, and decided with it.
        let members = vec![MemberRole { user: caller.user.to_string(), role: 0 }];
        let body = Body::MembersAdded(v1::MembersAdded { members });
        let conversation_id = found.place.conversation.to_string();
        let receipt = self.append(&request, &conversation_id, &r.client_id, found.seq, body).await?;
        Ok(Response::new(v1::AcceptInvitationResponse { conversation_id, receipt }))
    }

    async fn decline_invitation(
        &self,
        request: Request<v1::DeclineInvitationRequest>,
    ) -> Answer<v1::DeclineInvitationResponse> {
        let user = caller(&request)?.user.to_string();
        let r = request.get_ref();
        let body = Body::InvitationEnded(v1::InvitationEnded { user });
        let target = invitation_seq("seq", r.seq)?;
        let receipt = self.append(&request, &r.conversation_id, &r.client_id, target, body).await?;
        Ok(Response::new(v1::DeclineInvitationResponse { receipt }))
    }

    async fn revoke_invitation(
        &self,
        request: Request<v1::RevokeInvitationRequest>,
    ) -> Answer<v1::RevokeInvitationResponse> {
        let r = request.get_ref();
        let body = Body::InvitationEnded(v1::InvitationEnded { user: String::new() });
        let target = invitation_seq("seq", r.seq)?;
        let receipt = self.append(&request, &r.conversation_id, &r.client_id, target, body).await?;
        Ok(Response::new(v1::RevokeInvitationResponse { receipt }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::domain::Name;

    #[test]
    fn a_token_holds_what_is_needed_to_join_and_fits_into_a_url() {
        let (tenant, id) = (Name::new("default").unwrap(), ConversationId(Uuid::from_bytes([0xfb; 16])));
        let token = token(id, Seq::MAX, &[0xff; SECRET]);
        assert!(
            token.len() <= TOKEN && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        );
        let Reference { place, seq, secret } = parse(&tenant, &token).unwrap();
        assert_eq!((place.conversation, seq), (id, Seq::MAX));
        assert_eq!(secret, Some(hash::sha256(&[0xff; SECRET])));
        for wrong in [&token[1..], &token[..token.len() - 2], "", "AA"] {
            assert!(parse(&tenant, wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn digests_are_the_same_only_whole() {
        let digest = hash::sha256(b"secret");
        assert!(hash::same(&digest, &digest.clone()));
        for byte in 0..32 {
            let mut other = digest;
            other[byte] ^= 1;
            assert!(!hash::same(&digest, &other));
        }
    }
}
