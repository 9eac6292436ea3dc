//! The development service: tokens for whoever asks, and a lobby where everybody meets.

use super::{Api, check, status};
use crate::{
    conversation::{Command, CommandError, Refusal},
    domain::{ClientId, Name, Place, Tenant, User, hash},
};
use nexus_proto::v1::{
    self, ConversationKind, MemberRole, Role, Visibility, development_service_server::DevelopmentService,
    event::Body,
};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Makes a token for a user on a device of a tenant: the token, and when it expires, Unix milliseconds.
pub type TokenMaker = Arc<dyn Fn(&Tenant, &User, &Name) -> Result<(String, i64), String> + Send + Sync>;

/// The development service.
pub struct Development {
    /// The services of the node.
    pub api: Arc<Api>,
    /// Signs.
    pub tokens: TokenMaker,
}

const LOBBY: &str = "lobby";
const HOST: &str = "nexus";

impl Development {
    /// Makes somebody a member of the lobby, which is created with its first member.
    async fn welcome(&self, tenant: &Tenant, user: &User) -> Result<(), Status> {
        let place = Place { tenant: tenant.clone(), conversation: hash::well_known_id(tenant, LOBBY) };
        let host = check::user("user", HOST)?;
        let owner = MemberRole { user: HOST.into(), role: Role::Owner as i32 };
        let created = Body::ConversationCreated(v1::ConversationCreated {
            kind: ConversationKind::Channel as i32,
            title: "Lobby".into(),
            topic: "Everybody who logs in during development".into(),
            members: vec![owner],
            visibility: Visibility::Public as i32,
            post_role: Role::Member as i32,
        });
        let command =
            Command { place: place.clone(), sender: host.clone(), id: None, target: 0, body: created };
        if self.api.conversations.head(&place).await.map_err(status::fault)?.is_none() {
            match self.api.conversations.submit(command).await {
                Ok(_) | Err(CommandError::Refused(Refusal::Exists)) => {}
                Err(error) => return Err(status::command(error)),
            }
        }
        let look = self.api.conversations.look(&place, user, 0).await.map_err(status::read)?;
        if look.role.is_some() {
            return Ok(());
        }
        let member = MemberRole { user: user.to_string(), role: Role::Member as i32 };
        let body = Body::MembersAdded(v1::MembersAdded { members: vec![member] });
        let command = Command { place, sender: host, id: None, target: 0, body };
        self.api.conversations.submit(command).await.map_err(status::command)?;
        Ok(())
    }
}

#[tonic::async_trait]
impl DevelopmentService for Development {
    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let r = request.into_inner();
        let user = check::user("user", &r.user)?;
        let tenant = check::user("tenant", if r.tenant.is_empty() { "default" } else { &r.tenant })?;
        let device = match &r.device[..] {
            "" => Name::new(&self.api.ids.new_id(self.api.clock.now_ms()).to_string()),
            device => Name::new(device),
        };
        let device = device.map_err(|wrong| check::invalid("device", wrong.to_string()))?;
        self.welcome(&tenant, &user).await?;
        let (token, expires_at_ms) = (self.tokens)(&tenant, &user, &device).map_err(Status::internal)?;
        Ok(Response::new(v1::CreateTokenResponse { token, expires_at_ms }))
    }
}

/// Makes ids.
pub struct Ids(std::sync::Mutex<rand::rngs::StdRng>);

impl Ids {
    /// Ids from a source of chance.
    pub fn new(chance: rand::rngs::StdRng) -> Self {
        Self(chance.into())
    }

    /// A UUIDv7 of a time.
    pub fn new_id(&self, now_ms: i64) -> ClientId {
        let bytes: [u8; 10] =
            rand::Rng::random(&mut *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        ClientId(uuid::Builder::from_unix_timestamp_millis(now_ms.max(0) as u64, &bytes).into_uuid())
    }
}
