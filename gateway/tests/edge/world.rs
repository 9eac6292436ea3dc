//! An edge, and the nodes behind it.

use crate::node::Node;
use confique::Config as _;
use nexus_gateway::{Assets, Clock, Config, Gateway, Running, config::Listen};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub const SECRET: &str = "a secret that only tests know, and long enough";
/// When the world's clock starts, in Unix milliseconds.
pub const NOW: i64 = 1_800_000_000_000;

pub struct World {
    pub edge: Running,
    /// What it was started with.
    pub config: Config,
    pub nodes: Vec<Node>,
    pub registry: prometheus::Registry,
    _directory: tempfile::TempDir,
    clock: Arc<AtomicI64>,
}

impl World {
    /// One node on TCP, and the defaults.
    pub async fn new() -> Self {
        World::with(1, |_| {}).await
    }

    /// So many nodes on TCP, and a changed configuration.
    pub async fn with(nodes: usize, change: impl FnOnce(&mut Config)) -> Self {
        let nodes = (0..nodes).map(|n| Node::on_tcp(&format!("node-{n}"))).collect();
        World::over(nodes, change).await
    }

    pub async fn over(nodes: Vec<Node>, change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(&directory.path().join("tls"));
        config.upstreams = nodes.iter().map(|node| node.address.clone()).collect();
        change(&mut config);
        let clock = Arc::new(AtomicI64::new(NOW));
        let registry = prometheus::Registry::new();
        let hand = clock.clone();
        let clock_of_edge = Clock::from_fn(move || hand.load(Ordering::SeqCst));
        let edge = Gateway::start_at(config.clone(), assets(), &registry, clock_of_edge).await.unwrap();
        World { edge, config, nodes, registry, _directory: directory, clock }
    }

    pub fn ca(&self) -> Vec<u8> {
        std::fs::read(self.edge.local_ca().unwrap()).unwrap()
    }

    pub fn port(&self) -> u16 {
        self.edge.addresses().https.port()
    }

    /// Moves the edge's clock.
    pub fn pass(&self, time: Duration) {
        self.clock.fetch_add(time.as_millis() as i64, Ordering::SeqCst);
    }

    /// A metric's value, as `/metrics` shows it: `name{label="value"}`.
    pub fn metric(&self, series: &str) -> f64 {
        let text = prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// How often a node was passed over because its calls failed.
    pub fn ejections(&self, node: &Node) -> f64 {
        self.metric(&format!(r#"nexus_gateway_upstream_ejections_total{{upstream="{}"}}"#, node.address))
    }
}

/// The defaults, on free ports.
pub fn config(tls: &std::path::Path) -> Config {
    let mut config = Config::builder().load().unwrap();
    config.listen = "127.0.0.1:0".parse().unwrap();
    config.redirect = Listen::At("127.0.0.1:0".parse().unwrap());
    config.admin = Listen::At("127.0.0.1:0".parse().unwrap());
    config.threads = 1;
    // One process, many edges.
    config.work_stealing = true;
    config.upstream.health_ms = 100;
    config.auth.secret = Some(SECRET.into());
    config.tls.directory = PathBuf::from(tls);
    config
}

pub fn assets() -> Assets {
    Assets::none()
        .with("/index.html", "<!doctype html><title>Nexus</title>")
        .with("/assets/index-DiwrgTda.js", "console.log(1)")
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(what, waited).await;
}

/// Waits for what must come. A minute is for ever.
pub async fn soon<T>(what: &str, comes: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(60), comes).await;
    waited.unwrap_or_else(|_| panic!("not so after a minute: {what}"))
}

/// Serves a key set over HTTPS.
pub struct Issuer {
    pub address: String,
    /// What to trust it by.
    pub ca: PathBuf,
    body: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    _directory: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Issuer {
    pub async fn new(body: String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (ca, key) = crate::lifecycle::certificate(directory.path(), "issuer");
        let chain = vec![CertificateDer::from_pem_file(&ca).unwrap()];
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://localhost:{}/keys", listener.local_addr().unwrap().port());
        let (body, asked) = (Arc::new(Mutex::new(body)), Arc::new(AtomicUsize::new(0)));
        let (shared, count) = (body.clone(), asked.clone());
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                count.fetch_add(1, Ordering::SeqCst);
                let body = shared.lock().unwrap().clone();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
        });
        Issuer { address, ca, body, asked, _directory: directory, task }
    }

    pub fn answer(&self, body: String) {
        *self.body.lock().unwrap() = body;
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
