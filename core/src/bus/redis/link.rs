//! Connections to single nodes of the cluster, each with its log-in, its TLS and its bounds of time.

use super::{ConnectError, options::Options, topology::Address};
use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, IntoConnectionInfo as _,
    ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, TlsCertificates, Value,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use std::{fs, path::Path, time::Duration};
use tokio::time::timeout;

/// How long a connection may be silent before the kernel asks whether the other end is there.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// A connection to a node.
pub type Link = MultiplexedConnection;

/// Why a connection is not there or doesn't answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// What Redis or the network says.
    #[error("{0}")]
    Redis(#[from] RedisError),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// What it takes to connect.
pub struct Login {
    settings: RedisConnectionInfo,
    tls: Option<TlsCertificates>,
    connect: Duration,
    response: Duration,
}

impl Login {
    /// Reads the files that the options name. An error names the one that can't be read, or makes no sense.
    pub fn new(options: &Options) -> Result<Self, ConnectError> {
        let mut settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        if let Some(path) = &options.password_file {
            let password = String::from_utf8(read(path)?)
                .map_err(|_| ConnectError::File { path: path.clone(), error: "it is not UTF-8".into() })?;
            settings = settings.set_password(password.trim());
        }
        if let Some(username) = &options.username {
            settings = settings.set_username(username);
        }
        if options.tls {
            // The library takes whatever is the process's own. A program has chosen before; in a test this is the choice.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let tls = options.tls.then(|| {
            let client_tls = match (&options.tls_cert, &options.tls_key) {
                (Some(cert), Some(key)) => {
                    Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? })
                }
                _ => None,
            };
            let root_cert = options.tls_ca.as_deref().map(read).transpose()?;
            Ok::<_, ConnectError>(TlsCertificates { client_tls, root_cert })
        });
        let tls = tls.transpose()?;
        let login = Self { settings, tls, connect: options.connect(), response: options.response() };
        // What is wrong with the files shows when a client is made.
        login
            .client(&Address::new("localhost", 1))
            .map_err(|error| ConnectError::Options(vec![format!("core.redis.tls_*: {error}")]))?;
        Ok(login)
    }

    fn client(&self, to: &Address) -> Result<Client, RedisError> {
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 2);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        let (host, port) = (to.host().to_owned(), to.port());
        let addr = match &self.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        };
        let info = addr.into_connection_info()?;
        let info = info.set_redis_settings(self.settings.clone()).set_tcp_settings(tcp);
        match &self.tls {
            None => Client::open(info),
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
        }
    }

    /// Connects. What Redis says unasked goes to `push`, which is called by the task that reads: it must not block.
    pub async fn open(
        &self,
        to: &Address,
        push: Option<Box<dyn Fn(PushInfo) + Send + Sync>>,
    ) -> Result<Link, LinkError> {
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect))
            .set_response_timeout(Some(self.response));
        if let Some(push) = push {
            config = config.set_push_sender(move |info| {
                push(info);
                Ok::<(), ()>(())
            });
        }
        let client = self.client(to)?;
        // The library's own bound leaves out the resolver.
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let link = timeout(self.connect, connecting).await.map_err(|_| LinkError::Timeout(self.connect))?;
        Ok(link?)
    }

    /// Asks one thing, over a connection of its own.
    pub async fn ask(&self, to: &Address, what: &Cmd) -> Result<Value, LinkError> {
        let answer = self.open(to, None).await?.send_packed_command(what).await?;
        Ok(answer.extract_error()?)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConnectError> {
    fs::read(path).map_err(|error| ConnectError::File { path: path.to_owned(), error: error.to_string() })
}
