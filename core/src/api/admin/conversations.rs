//! What administrators see of conversations.

use crate::{
    api::{
        Api,
        check::{self, invalid, one_of, place, text},
        identity::Caller,
        status, wire,
    },
    conversation::{Refusal, survey::Survey},
    domain::{ConversationId, Place, User},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nexus_proto::v1::{self, ConversationKind};
use tonic::Status;
use uuid::Uuid;

/// Conversations that one request for a list looks at; a page for which that isn't enough is shorter.
const LOOKED_AT: usize = 1000;
/// Conversations that are looked at at once.
const WIDTH: usize = 32;
/// Owners that are named.
const OWNERS: usize = 10;
/// Buckets by which the size of a log is judged: of one that was asked for, and of each in a list.
pub(super) const SAMPLE_OF_ONE: usize = 64;
const SAMPLE_OF_LIST: usize = 2;
/// Bytes of a reason.
const REASON: usize = 512;

/// Which conversations a list has.
struct Wanted {
    kind: Option<ConversationKind>,
    user: Option<User>,
    orphaned: bool,
}

impl Wanted {
    fn new(r: &v1::ListTenantConversationsRequest) -> Result<Self, Status> {
        let kind = if r.kind == 0 { None } else { Some(one_of("kind", r.kind, None)?) };
        let user = if r.user.is_empty() { None } else { Some(check::user("user", &r.user)?) };
        Ok(Self { kind, user, orphaned: r.orphaned })
    }

    async fn is(&self, survey: &Survey) -> Result<bool, Status> {
        let about = &survey.about;
        let nobodys = about.kind() != ConversationKind::Direct && about.owners == 0;
        if self.kind.is_some_and(|kind| kind != about.kind()) || (self.orphaned && !nobodys) {
            return Ok(false);
        }
        let Some(user) = &self.user else { return Ok(true) };
        let member = survey.member(user).await.map_err(status::fault)?;
        Ok(member.is_some_and(|member| member.present()))
    }
}

fn page_token(token: &str) -> Result<Option<ConversationId>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let id = Uuid::try_parse(token).map(ConversationId);
    id.map(Some).map_err(|_| invalid("page_token", "must be the next_page_token of the answer before"))
}

impl Api {
    /// A conversation of the caller's tenant, for an administrator.
    pub(super) async fn surveyed(&self, caller: &Caller, id: &str) -> Result<Survey, Status> {
        let place = place(&caller.tenant, id)?;
        let survey = self.conversations.survey(&place).await.map_err(status::fault)?;
        survey.ok_or_else(|| status::refusal(Refusal::NoConversation))
    }

    /// As administrators see it; the size is judged by `sample` buckets.
    pub(super) async fn described(
        &self,
        survey: &Survey,
        sample: usize,
    ) -> Result<v1::TenantConversation, Status> {
        let owners = survey.owners(OWNERS).await.map_err(status::fault)?;
        let log_bytes = survey.log_bytes(sample).await.map_err(status::fault)?;
        let Place { tenant, conversation } = &survey.place;
        let retention = self.conversations.retention(tenant, Some(*conversation)).await;
        let (days, own) = retention.map_err(status::fault)?;
        Ok(v1::TenantConversation {
            conversation: Some(wire::surveyed(survey)),
            owners: owners.iter().map(User::to_string).collect(),
            log_bytes,
            retention: own.then_some(v1::Retention { days }),
        })
    }

    pub(super) async fn conversations_of_tenant(
        &self,
        caller: &Caller,
        r: &v1::ListTenantConversationsRequest,
    ) -> Result<v1::ListTenantConversationsResponse, Status> {
        let size = self.limits.page_size("page_size", r.page_size)?;
        let (wanted, mut after) = (Wanted::new(r)?, page_token(&r.page_token)?);
        let mut theirs = match &wanted.user {
            Some(user) => {
                let theirs = self.conversations.memberships(&caller.tenant, user).await;
                let mut theirs = theirs.map_err(status::fault)?;
                theirs.retain(|place| Some(place.conversation) > after);
                theirs.sort();
                Some(theirs.into_iter())
            }
            None => None,
        };
        let mut conversations = Vec::with_capacity(size);
        let mut looked_at = 0;
        let next_page_token = loop {
            let most = (size + 1 - conversations.len()).min(LOOKED_AT - looked_at);
            let places: Vec<Place> = match &mut theirs {
                Some(theirs) => theirs.take(most).collect(),
                None => {
                    let places = self.conversations.of_tenant(&caller.tenant, after, most).await;
                    places.map_err(status::fault)?
                }
            };
            looked_at += places.len();
            let whole = places.len() < most;
            let found = places.iter().cloned().map(|place| self.wanted(&wanted, place));
            let found: Vec<_> = stream::iter(found).buffered(WIDTH).try_collect().await?;
            let mut full = None;
            for (place, found) in places.iter().zip(found) {
                if found.is_some() && conversations.len() == size {
                    full = after;
                    break;
                }
                conversations.extend(found);
                after = Some(place.conversation);
            }
            match full {
                Some(last) => break last.to_string(),
                None if whole => break String::new(),
                None if looked_at >= LOOKED_AT => break after.map(|id| id.to_string()).unwrap_or_default(),
                None => {}
            }
        };
        Ok(v1::ListTenantConversationsResponse { conversations, next_page_token })
    }

    async fn wanted(&self, wanted: &Wanted, place: Place) -> Result<Option<v1::TenantConversation>, Status> {
        let Some(survey) = self.conversations.survey(&place).await.map_err(status::fault)? else {
            return Ok(None);
        };
        if !wanted.is(&survey).await? {
            return Ok(None);
        }
        self.described(&survey, SAMPLE_OF_LIST).await.map(Some)
    }

    pub(super) async fn members_of(
        &self,
        caller: &Caller,
        r: &v1::ListConversationMembersRequest,
    ) -> Result<v1::ListConversationMembersResponse, Status> {
        let size = self.limits.page_size("page_size", r.page_size)?;
        if !r.page_token.is_empty() {
            check::user("page_token", &r.page_token)?;
        }
        let survey = self.surveyed(caller, &r.conversation_id).await?;
        let (rows, reflects) = survey.members(&r.page_token, size).await.map_err(status::fault)?;
        let last = rows.last().filter(|_| rows.len() == size);
        let next_page_token = last.map(|(user, _)| user.to_string()).unwrap_or_default();
        let members = rows.into_iter().map(|(user, row)| wire::member(&user, &row)).collect();
        Ok(v1::ListConversationMembersResponse { members, next_page_token, reflects })
    }

    pub(super) async fn events_of(
        &self,
        caller: &Caller,
        r: &v1::ListConversationEventsRequest,
    ) -> Result<v1::ListConversationEventsResponse, Status> {
        if !self.administrators_read {
            return Err(Status::unimplemented(
                "administrators don't read what they are no members of: whoever runs this deployment allows it by \
                 core.administrators_read",
            ));
        }
        let limit = self.limits.page_size("limit", r.limit)?;
        text("reason", &r.reason, 1, REASON)?;
        let survey = self.surveyed(caller, &r.conversation_id).await?;
        let events = survey.events(r.after_seq, limit).await.map_err(status::fault)?;
        let events = events.iter().map(wire::event).collect::<Result<_, _>>()?;
        Ok(v1::ListConversationEventsResponse { events, reflects: survey.head.last_seq })
    }
}
