//! Where a client's token comes from.
use nexus_proto::v1::{CreateTokenRequest, development_service_client::DevelopmentServiceClient};
use tokio::{sync::Mutex, time::Duration};
use tonic::Code;

use crate::transport::Transport;

/// Gives tokens, and new ones when the server refuses the old.
#[async_trait::async_trait]
pub trait TokenSource: Send + Sync + 'static {
    /// A token for the header `authorization: Bearer TOKEN`. `refused` is the one that the server has just
    /// refused (it expired, or the key changed): give another, or fail.
    async fn token(&self, refused: Option<&str>) -> Result<String, TokenError>;
}

/// Why there is no token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenError {
    /// There will be none, however often one asks.
    #[error("no token: {0}")]
    Refused(String),
    /// There may be one later.
    #[error("no token for the moment: {0}")]
    Unavailable(String),
}

/// One token that is never renewed.
#[derive(Clone)]
pub struct StaticToken(String);

impl StaticToken {
    /// This token.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }
}

#[async_trait::async_trait]
impl TokenSource for StaticToken {
    async fn token(&self, refused: Option<&str>) -> Result<String, TokenError> {
        match refused {
            Some(refused) if refused == self.0 => {
                Err(TokenError::Refused("the server refuses the one that was given".into()))
            }
            _ => Ok(self.0.clone()),
        }
    }
}

/// Tokens that a server in development mode makes for whoever asks.
pub struct DevelopmentTokens {
    transport: Transport,
    request: CreateTokenRequest,
    current: Mutex<Option<String>>,
}

impl DevelopmentTokens {
    /// Tokens for this user of the tenant `default`, always for the same device.
    pub fn new(transport: Transport, user: impl Into<String>, device: impl Into<String>) -> Self {
        let request = CreateTokenRequest { user: user.into(), tenant: String::new(), device: device.into() };
        Self { transport, request, current: Mutex::new(None) }
    }
}

/// How long making a token may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

#[async_trait::async_trait]
impl TokenSource for DevelopmentTokens {
    async fn token(&self, refused: Option<&str>) -> Result<String, TokenError> {
        let mut current = self.current.lock().await;
        if let Some(token) = current.as_ref().filter(|token| Some(token.as_str()) != refused) {
            return Ok(token.clone());
        }
        let mut service = DevelopmentServiceClient::new(self.transport.clone());
        let answer = tokio::time::timeout(TOKEN_TIMEOUT, service.create_token(self.request.clone()))
            .await
            .map_err(|_| TokenError::Unavailable("the server doesn't answer".into()))?;
        match answer {
            Ok(answer) => Ok(current.insert(answer.into_inner().token).clone()),
            Err(status) => Err(match status.code() {
                Code::Unimplemented => TokenError::Refused(
                    "the server is not in development mode; make a token with `nexus token` and give it: to `nexus chat` \
                     with --token, to `nexus check` with --token-command"
                        .into(),
                ),
                Code::InvalidArgument => TokenError::Refused(status.message().to_owned()),
                _ => TokenError::Unavailable(status.message().to_owned()),
            }),
        }
    }
}
