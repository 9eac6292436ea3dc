//! As whom, and with which server.

use anyhow::{Context as _, anyhow};
use clap::Args;
use nexus_client::{
    Call, CallError, Client, ClientOptions, DevelopmentTokens, Endpoint, RetryPolicy, StaticToken,
};
use std::{path::PathBuf, time::Duration};
use tonic::Code;

/// Who administers, and where.
#[derive(Debug, Args)]
pub struct Connect {
    /// The server.
    #[arg(long, global = true, default_value = "https://localhost:8443")]
    server: String,
    /// The certificate authority to trust. Default: the local one of ./data, if it is there.
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Who administers, on a development server, where anybody can be anybody. Elsewhere it is the token's user.
    #[arg(long, global = true, value_name = "NAME")]
    user: Option<String>,
    /// A token of who administers. Prefer the variable to the flag: others can see flags.
    #[arg(long, global = true, env = "NEXUS_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// How long a request is repeated that gets no answer: a person waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// The device that a development token is for.
const DEVICE: &str = "nexus-admin";

impl Connect {
    /// The server. It need not be there yet.
    pub fn server(&self) -> anyhow::Result<Server> {
        let local = PathBuf::from(crate::chat::LOCAL_CA);
        let mut endpoint = Endpoint::new(&self.server);
        if let Some(path) = self.ca.clone().or_else(|| local.exists().then_some(local)) {
            endpoint = endpoint.ca_pem(std::fs::read(&path).with_context(|| path.display().to_string())?);
        }
        let transport = endpoint.connect()?;
        let retry = RetryPolicy { give_up_after: PATIENCE, ..RetryPolicy::default() };
        let how = ClientOptions { retry, ..ClientOptions::default() };
        let client = match (&self.user, &self.token) {
            (Some(user), _) => {
                let tokens = DevelopmentTokens::new(transport.clone(), user.as_str(), DEVICE);
                Client::with_options(transport, tokens, how)
            }
            (None, Some(token)) => Client::with_options(transport, StaticToken::new(token), how),
            (None, None) => {
                return Err(anyhow!(
                    "say who administers: with a token in NEXUS_TOKEN, which `nexus token --user NAME` makes in the \
                     deployment's folder; or on a development server with --user NAME"
                ));
            }
        };
        Ok(Server { client, url: self.server.clone() })
    }
}

/// A server, to be asked as an administrator.
pub struct Server {
    client: Client,
    url: String,
}

impl Server {
    /// An id for a request that changes something.
    pub fn id(&self) -> String {
        self.client.id()
    }

    /// The answer; an error says what to do.
    pub async fn ask<C: Call>(&self, request: C) -> anyhow::Result<C::Answer> {
        self.client.call(request).await.map_err(|error| self.explained(error))
    }

    /// The answer, or the refusal as it is.
    pub async fn try_ask<C: Call>(&self, request: C) -> Result<C::Answer, CallError> {
        self.client.call(request).await
    }

    /// The answer to a request that changes something and has an id. Without one it may have been done all the same.
    pub async fn change<C: Call>(&self, request: C) -> anyhow::Result<C::Answer> {
        match self.client.call(request).await {
            Ok(answer) => Ok(answer),
            Err(error) if error.refused => Err(self.explained(error)),
            Err(error) => Err(self.explained(error).context(
                "no answer came, so it may have been done or not: look (`nexus admin conversation ID`, `members ID`) before you \
                 repeat it",
            )),
        }
    }

    /// A refusal with what to do about it, where the server's own words don't say.
    pub fn explained(&self, error: CallError) -> anyhow::Error {
        let hint = match error.status.code() {
            Code::Unavailable | Code::DeadlineExceeded => {
                format!("does a server run at {}? --server says where", self.url)
            }
            Code::Unauthenticated => {
                "a new token is needed: `nexus token --user NAME` in the deployment's folder makes one"
                    .to_owned()
            }
            Code::NotFound => "`nexus admin conversations` lists what there is".to_owned(),
            _ => return anyhow!("{error}"),
        };
        anyhow!("{error} ({hint})")
    }
}
