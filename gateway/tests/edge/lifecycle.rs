//! Start, reload, drain.

use crate::{
    client::{Client, SEND, connect, tls},
    node::Echo,
    world::{World, assets, config, until},
};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use nexus_gateway::{Assets, Gateway, StartError, config::Listen};
use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinHandle};
use tonic::{Code, Status};

/// A certificate for localhost and its key, in files.
pub fn certificate(directory: &Path, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (chain, key)
}

async fn refused(change: impl FnOnce(&mut nexus_gateway::Config)) -> StartError {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.upstreams = vec!["http://127.0.0.1:1".into()];
    change(&mut config);
    match Gateway::start(config, Assets::none(), &prometheus::Registry::new()).await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_busy_port_is_one_clear_message() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = refused(|config| config.listen = address).await.to_string();
    assert!(error.contains(&address.to_string()) && error.contains("gateway.listen"), "{error}");
    assert!(error.contains("another process has it"), "{error}");
    let error = refused(|config| config.admin = Listen::At(address)).await.to_string();
    assert!(error.contains("gateway.admin"), "{error}");
    let error = refused(|config| config.listen = "192.0.2.1:1".parse().unwrap()).await.to_string();
    assert!(error.contains("no such address"), "{error}");
}

#[tokio::test]
async fn a_bad_configuration_does_not_start() {
    let error = refused(|config| (config.auth.secret, config.limits.calls) = (None, 0)).await.to_string();
    assert!(error.contains("gateway.auth") && error.contains("limits.calls"), "{error}");
    let missing =
        refused(|config| config.auth.jwks = Some("/nonexistent/jwks.json".into())).await.to_string();
    assert!(missing.contains("/nonexistent/jwks.json"), "{missing}");
}

#[tokio::test]
async fn a_bad_certificate_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let ((chain, _), (_, other)) = (certificate(directory.path(), "a"), certificate(directory.path(), "b"));
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for (chain, key, part) in [
        (chain.clone(), other, "does not belong"),
        (chain.clone(), empty.clone(), "empty.pem"),
        (empty, chain.clone(), "pem"),
        (directory.path().join("missing.pem"), chain, "missing.pem"),
    ] {
        let error =
            refused(|config| (config.tls.certificate, config.tls.key) = (Some(chain), Some(key))).await;
        assert!(matches!(error, StartError::Tls(_)) && error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn the_local_authority_is_the_same_after_a_restart() {
    let world = World::new().await;
    let ca = world.ca();
    drop(tls(&world, b"h2").await);
    let directory = world.edge.local_ca().unwrap().parent().unwrap().to_owned();
    let mut again = config(&directory);
    again.upstreams = vec!["http://127.0.0.1:1".into()];
    let second = Gateway::start(again, assets(), &prometheus::Registry::new()).await.unwrap();
    connect(second.addresses().https.port(), &ca, b"h2").await.unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_used_without_touching_streams() {
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = certificate(directory.path(), "live");
    let old = std::fs::read(&chain).unwrap();
    let world = World::with(1, |config| {
        (config.tls.certificate, config.tls.key) = (Some(chain.clone()), Some(key.clone()));
        config.tls.reload_s = 3_600;
    })
    .await;
    let client = Client::trusting(&world, &old).await;
    let client = client.with("authorization", &format!("Bearer {}", crate::client::token("bob")));
    let mut stream = client.attach("ticks").await.unwrap();

    // Half of a pair changes nothing.
    let (fresh, fresh_key) = certificate(directory.path(), "fresh");
    std::fs::copy(&fresh, &chain).unwrap();
    world.edge.reload_certificate();
    let errors = r#"nexus_gateway_certificate_reloads_total{result="error"}"#;
    until("the reload was tried", async || world.metric(errors) == 1.0).await;
    connect(world.port(), &old, b"h2").await.unwrap();

    std::fs::copy(&fresh_key, &key).unwrap();
    world.edge.reload_certificate();
    let new = std::fs::read(&fresh).unwrap();
    until("new connections get it", async || connect(world.port(), &new, b"h2").await.is_ok()).await;
    assert!(connect(world.port(), &old, b"h2").await.is_err());
    for _ in 0..3 {
        stream.message().await.unwrap().unwrap();
    }
}

async fn admin(world: &World, path: &str) -> Option<(u16, String)> {
    let tcp = TcpStream::connect(world.edge.addresses().admin?).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.ok()?;
    tokio::spawn(connection);
    let asks = http::Request::get(path).header("host", "admin").body(Empty::<bytes::Bytes>::new()).unwrap();
    let response = sender.send_request(asks).await.ok()?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.ok()?.to_bytes();
    Some((status, String::from_utf8(body.to_vec()).unwrap()))
}

#[tokio::test]
async fn operators_see_health_and_metrics() {
    let mut world = World::new().await;
    Client::of(&world, "bob").await.call(SEND, "").await.unwrap();
    assert_eq!(admin(&world, "/healthz").await.unwrap().0, 200);
    until("it is ready", async || admin(&world, "/readyz").await.unwrap() == (200, "ready\n".into())).await;
    let (status, text) = admin(&world, "/metrics").await.unwrap();
    assert_eq!(status, 200);
    for name in ["nexus_gateway_requests_total", "nexus_gateway_call_seconds_bucket", "nexus_gateway_limit"] {
        assert!(text.contains(&format!("\n{name}{{")), "{name}");
    }
    for line in text.lines().filter(|line| line.starts_with("# HELP")) {
        assert!(line.split_whitespace().count() > 4, "{line}");
    }
    assert_eq!(admin(&world, "/other").await.unwrap().0, 404);
    world.nodes.clear();
    until("it is not ready", async || admin(&world, "/readyz").await.unwrap().0 == 503).await;
    assert_eq!(admin(&world, "/healthz").await.unwrap().0, 200);
}

#[tokio::test]
async fn an_edge_is_not_ready_before_a_node_has_answered() {
    let world = World::over(Vec::new(), |config| config.upstreams = vec!["http://127.0.0.1:1".into()]).await;
    assert_eq!(admin(&world, "/readyz").await.unwrap().0, 503);
}

/// Threads that share nothing are what production has, and what tests with many edges in a process can't.
#[test]
fn threads_that_share_nothing_serve() {
    let binary = std::env::current_exe().unwrap();
    let alone = ["--exact", "lifecycle::alone_in_its_process", "--ignored"];
    let output = std::process::Command::new(binary).args(alone).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
#[ignore = "run by threads_that_share_nothing_serve, in a process of its own"]
async fn alone_in_its_process() {
    let world = World::with(2, |config| (config.work_stealing, config.threads) = (false, 2)).await;
    for n in 0..10 {
        let client = Client::of(&world, &format!("user-{n}")).await;
        client.call(SEND, "").await.unwrap();
        let mut stream = client.attach("count:10").await.unwrap();
        while stream.message().await.unwrap().is_some() {}
    }
    assert_eq!(world.edge.shutdown(Duration::from_secs(60)).await.connections_cut, 0);
}

/// A call that its node has and doesn't answer.
async fn a_call_without_answer(world: &World, client: Client) -> JoinHandle<Result<Echo, Status>> {
    let arrived = || world.nodes.iter().map(|node| node.calls.load(Ordering::SeqCst)).sum::<usize>();
    let before = arrived();
    let call = tokio::spawn(async move { client.call(SEND, "silence").await });
    until("the call is under way", async || arrived() > before).await;
    call
}

#[tokio::test]
async fn draining_sends_streams_elsewhere_and_takes_nothing_new() {
    let world = World::new().await;
    let client = Client::of(&world, "bob").await;
    let mut stream = client.attach("ticks").await.unwrap();
    stream.message().await.unwrap().unwrap();
    let other = Client::of(&world, "ann").await;
    let slow = a_call_without_answer(&world, other).await;
    let mut idle = tls(&world, b"http/1.1").await;
    until("both are counted", async || world.edge.connections() == 3).await;
    let (https, registry) = (world.edge.addresses().https, world.registry.clone());
    let World { edge, nodes, .. } = world;
    let shutdown = tokio::spawn(edge.shutdown(Duration::from_secs(60)));

    // The idle connection ends at once, new ones are refused, the stream is told to attach elsewhere, the call goes on.
    let mut nothing = Vec::new();
    let _ = idle.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty());
    until("it refuses", async || TcpStream::connect(https).await.is_err()).await;
    let end = stream.end().await;
    assert_eq!((end.code(), end.message()), (Code::Unavailable, "this edge goes away; attach again"));
    assert!(!shutdown.is_finished() && !slow.is_finished());

    // A call on the connection that drains gets a new connection, and there is none.
    assert!(client.call(SEND, "").await.is_err());
    drop((stream, client));
    slow.abort();
    let drained = tokio::time::timeout(Duration::from_secs(60), shutdown).await.unwrap().unwrap();
    assert_eq!(drained.connections_cut, 0);
    until("the node's stream ends", async || nodes[0].streams() == 0).await;
    assert!(!registry.gather().is_empty());
}

#[tokio::test]
async fn draining_has_a_deadline() {
    let world = World::new().await;
    let client = Client::of(&world, "bob").await;
    let slow = a_call_without_answer(&world, client).await;
    let drained = world.edge.shutdown(Duration::from_millis(300)).await;
    assert_eq!(drained.connections_cut, 1);
    assert!(tokio::time::timeout(Duration::from_secs(60), slow).await.unwrap().unwrap().is_err());
}
