//! The deployment: an address, whom to trust, and a maker of tokens. If the environment names none, one is started.

use crate::{half_open, person::Person, server::Server, tokens::Tokens};
use nexus_client::{Clock as _, Endpoint, SystemClock, Transport};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use std::{
    env, fs,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpStream, sync::OnceCell};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A deployment, and what this run calls its own in it.
pub struct World {
    /// `https://host:port`.
    pub url: String,
    pub tokens: Tokens,
    /// The process, if it was started here.
    pub own: Option<Server>,
    /// A user who administers every tenant, if there is one.
    pub administrator: Option<String>,
    /// Whether they may read conversations of which they are no members.
    pub administrators_read: bool,
    host: String,
    port: u16,
    ca: Option<Vec<u8>>,
    run: String,
    chance: Mutex<StdRng>,
    impatient: OnceCell<Arc<World>>,
    /// By how much the deployment's clock is ahead of this machine's, milliseconds.
    ahead_ms: i64,
}

impl World {
    /// The deployment that the environment names, or one of our own.
    pub async fn find() -> Self {
        match env::var("NEXUS_ADDRESS") {
            Ok(url) => {
                let ca = env::var("NEXUS_CA").ok();
                let ca = ca.map(|file| fs::read(&file).unwrap_or_else(|e| panic!("NEXUS_CA={file}: {e}")));
                let administrator = env::var("NEXUS_ADMINISTRATOR").ok();
                Self::over(url, ca, Tokens::from_environment(), None, administrator).await
            }
            // Tests come from one address, and tokens say for whom they are.
            Err(_) => {
                Self::start(vec![
                    ("NEXUS_GATEWAY_LIMITS_ADDRESS_RATE", "100000".into()),
                    ("NEXUS_GATEWAY_LIMITS_ADDRESS_BURST", "100000".into()),
                ])
                .await
            }
        }
    }

    /// A deployment of our own with these settings.
    pub async fn start(mut settings: Vec<(&'static str, String)>) -> Self {
        settings.push(("NEXUS_GATEWAY_AUTH_ISSUER", "conformance".into()));
        settings.push(("NEXUS_GATEWAY_AUTH_AUDIENCE", "nexus".into()));
        settings.push(("NEXUS_CORE_ADMINISTRATORS", "*/root".into()));
        settings.push(("NEXUS_CORE_ADMINISTRATORS_READ", "true".into()));
        let server = Server::start_with(settings.clone()).await;
        let ca = fs::read(server.folder.path().join("data/tls/ca.pem")).unwrap();
        let url = format!("https://localhost:{}", server.port);
        let tokens = Tokens::of_program(server.folder.path(), settings);
        Self::over(url, Some(ca), tokens, Some(server), Some("root".into())).await
    }

    async fn over(
        url: String,
        ca: Option<Vec<u8>>,
        tokens: Tokens,
        own: Option<Server>,
        administrator: Option<String>,
    ) -> Self {
        let uri: http::Uri = url.parse().unwrap_or_else(|e| panic!("NEXUS_ADDRESS={url}: {e}"));
        let host = uri.host().expect("NEXUS_ADDRESS is https://host:port").to_owned();
        let port = uri.port_u16().unwrap_or(443);
        let mut chance = StdRng::from_os_rng();
        let run = format!("{:06x}", chance.random::<u32>() & 0xff_ffff);
        let chance = Mutex::new(chance);
        let reads = own.is_some() || env::var("NEXUS_ADMINISTRATORS_READ").is_ok_and(|value| value == "1");
        let mut world = Self {
            url,
            tokens,
            own,
            administrators_read: reads && administrator.is_some(),
            administrator,
            host,
            port,
            ca,
            run,
            chance,
            impatient: OnceCell::new(),
            ahead_ms: 0,
        };
        // Whoever can't get in here need not try anything else.
        let world_now = Arc::new(world);
        let told = Person::new(&world_now, "clock").await.attach(&[]).await.attached.time_ms;
        world = Arc::into_inner(world_now).expect("the person is gone");
        world.ahead_ms = told - SystemClock.unix_ms();
        world
    }

    /// Another deployment of ours, with small limits.
    pub async fn impatient(&self) -> Arc<World> {
        self.impatient.get_or_init(async || Arc::new(half_open::impatient().await)).await.clone()
    }

    /// A name that nobody else has.
    pub fn name(&self, who: &str) -> String {
        format!("{who}-{}-{:08x}", self.run, self.chance.lock().unwrap().random::<u32>())
    }

    /// The tenant of this run.
    pub fn tenant(&self) -> String {
        format!("conformance-{}", self.run)
    }

    /// The deployment's time, Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        SystemClock.unix_ms() + self.ahead_ms
    }

    /// A client id of now.
    pub fn id(&self) -> String {
        self.id_at(self.now_ms())
    }

    /// A client id of a time, Unix milliseconds.
    pub fn id_at(&self, time_ms: i64) -> String {
        let bytes: [u8; 10] = self.chance.lock().unwrap().random();
        uuid::Builder::from_unix_timestamp_millis(time_ms as u64, &bytes).into_uuid().to_string()
    }

    /// A connection of its own.
    pub fn transport(&self) -> Transport {
        let mut endpoint = Endpoint::new(&self.url);
        endpoint.ca_pem = self.ca.clone();
        endpoint.connect().unwrap()
    }

    /// `host:port`.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// A bare connection.
    pub async fn tcp(&self) -> TcpStream {
        let bare = self.host.trim_matches(['[', ']']);
        TcpStream::connect((bare, self.port)).await.expect("the deployment can be connected to")
    }

    /// A bare connection within TLS.
    pub async fn tls(&self, alpn: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    roots.add(certificate.unwrap()).unwrap();
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().unwrap());
            }
        }
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        let name = ServerName::try_from(self.host.trim_matches(['[', ']']).to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, self.tcp().await).await.unwrap()
    }
}
