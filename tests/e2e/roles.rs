//! Edge and chat node in processes of their own, with certificates on both sides.

use nexus_client::{Client, DevelopmentTokens, Endpoint, v1};
use nexus_cluster::{
    authority::{Authority, Pair},
    ports,
    process::Process,
    program::Part,
};
use std::{fs, time::Duration};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Pieces {
    folder: TempDir,
    port: u16,
    edges: Authority,
    edge_pair: Pair,
    core: Part,
    gateway: Part,
}

impl Pieces {
    fn new(upstream_host: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path();
        let ports = ports::free(4).unwrap();
        let (nodes, edges) = (Authority::new(path, "nodes").unwrap(), Authority::new(path, "edges").unwrap());
        let edge_pair = edges.sign("edge", &["edge"]).unwrap();
        let core_pair = nodes.sign("core", &[upstream_host]).unwrap();
        let listen = format!("127.0.0.1:{}", ports[0]);
        let core = Part::core(path, "core", &listen, ports[1], &core_pair, &path.join("edges-ca.pem"));
        let gateway =
            Part::gateway(path, "gateway", ports[2], ports[3], &edge_pair, &path.join("nodes-ca.pem"))
                .with("NEXUS_GATEWAY_UPSTREAMS", format!("https://{upstream_host}:{}", ports[0]));
        Self { port: ports[2], folder, edges, edge_pair, core, gateway }
    }

    async fn start(&self) -> (Process, Process) {
        let core = self.core.start().await.unwrap();
        (core, self.gateway.start().await.unwrap())
    }

    fn client(&self, user: &str) -> Client {
        let ca = fs::read(self.folder.path().join("data/tls/ca.pem")).unwrap();
        let endpoint = Endpoint::new(format!("https://localhost:{}", self.port)).ca_pem(ca);
        let transport = endpoint.connect().unwrap();
        Client::new(transport.clone(), DevelopmentTokens::new(transport, user, "test"))
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "{what} takes too long");
}

async fn talks(client: &Client) -> bool {
    client.call(v1::ListConversationsRequest::default()).await.is_ok()
}

#[tokio::test]
async fn an_edge_reaches_a_node_on_another_machine_by_its_name() {
    let pieces = Pieces::new("localhost");
    let (core, _gateway) = pieces.start().await;
    let bob = pieces.client("bob");
    assert!(talks(&bob).await);

    // The node goes and comes back: edges find it by themselves.
    core.kill().await.unwrap();
    let _core = pieces.core.start().await.unwrap();
    until("the edge finds the node again", async || talks(&bob).await).await;
}

#[tokio::test]
async fn a_node_lets_nobody_in_whose_certificate_its_authority_has_not_signed() {
    let pieces = Pieces::new("127.0.0.1");
    let _core = pieces.core.start().await.unwrap();
    let stranger = Authority::new(pieces.folder.path(), "strangers").unwrap();
    let forged = stranger.sign("forged", &["edge"]).unwrap();
    let gateway = pieces
        .gateway
        .clone()
        .with("NEXUS_GATEWAY_UPSTREAM_CERTIFICATE", forged.certificate.display())
        .with("NEXUS_GATEWAY_UPSTREAM_KEY", forged.key.display());
    let _gateway = gateway.spawn().unwrap();
    let said = || fs::read_to_string(pieces.core.log()).unwrap().contains("not let in");
    until("the node says whom it did not let in", async || said()).await;
    assert!(!gateway.is_ready().await);
}

#[tokio::test]
async fn certificates_are_replaced_while_both_run() {
    let pieces = Pieces::new("127.0.0.1");
    let gateway = pieces.gateway.clone().with("NEXUS_GATEWAY_TLS_RELOAD_S", 1);
    let _core = pieces.core.start().await.unwrap();
    let _gateway = gateway.start().await.unwrap();
    let before = fs::read(&pieces.edge_pair.certificate).unwrap();
    pieces.edges.sign("edge", &["edge"]).unwrap();
    assert_ne!(fs::read(&pieces.edge_pair.certificate).unwrap(), before);
    let said = || fs::read_to_string(gateway.log()).unwrap().contains("a new certificate towards chat nodes");
    until("the edge takes its new certificate", async || said()).await;
    assert!(talks(&pieces.client("bob")).await);
}

#[tokio::test]
async fn a_node_that_would_believe_anybody_does_not_start() {
    let mut pieces = Pieces::new("127.0.0.1");
    pieces.core.settings.retain(|(name, _)| name != "NEXUS_CORE_TLS_CLIENT_CA");
    let error = pieces.core.start().await.err().unwrap().to_string();
    assert!(error.contains("core.tls.certificate, key and client_ca"), "{error}");
}
