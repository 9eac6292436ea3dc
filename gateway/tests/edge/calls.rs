//! Forwarding: calls, streams, headers.

use crate::{
    client::{ATTACH, Client, Http, LIST, SEND, piecemeal, pieces, request},
    node::{Echo, Node},
    world::{NOW, World, until},
};
use bytes::Bytes;
use http::Request;
use hyper::body::Frame;
use std::time::Duration;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_types::StatusExt as _;

/// What the edge allows clocks to differ by.
const LEEWAY_MS: i64 = 30_000;

#[tokio::test]
async fn a_call_reaches_the_node_with_who_calls() {
    let world = World::new().await;
    let client =
        Client::of(&world, "bob").await.with("x-request-id", "mine-1").with("nexus-conversation", "c1");
    let echo = client.call(SEND, "hello").await.unwrap();
    assert_eq!(echo.text, "hello");
    assert_eq!(echo.header("nexus-user"), ["bob"]);
    assert_eq!(echo.header("nexus-tenant"), ["default"]);
    assert_eq!(echo.header("nexus-device"), ["-"]);
    assert_eq!(echo.header("nexus-token-expires"), [(NOW + 3_600_000 + LEEWAY_MS).to_string()]);
    assert_eq!(echo.header("nexus-conversation"), ["c1"]);
    assert_eq!(echo.header("x-request-id"), ["mine-1"]);
    assert_eq!(echo.header("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(echo.header("authorization"), [""; 0]);
}

#[tokio::test]
async fn headers_of_ours_can_not_be_forged() {
    let world = World::new().await;
    let client = Client::of(&world, "bob")
        .await
        .with("nexus-user", "alice")
        .with("nexus-user", "root")
        .with("nexus-tenant", "other")
        .with("nexus-device", "d")
        .with("nexus-token-expires", "9")
        .with("nexus-anything", "x")
        .with("x-forwarded-for", "6.6.6.6")
        .with("x-request-id", "not an id");
    let echo = client.call(LIST, "").await.unwrap();
    assert_eq!(echo.header("nexus-user"), ["bob"]);
    assert_eq!(echo.header("nexus-tenant"), ["default"]);
    assert_eq!(echo.header("nexus-device"), ["-"]);
    assert_eq!(echo.header("nexus-token-expires").len(), 1);
    assert_eq!(echo.header("nexus-anything"), [""; 0]);
    assert_eq!(echo.header("x-forwarded-for"), ["127.0.0.1"]);
    assert_ne!(echo.header("x-request-id"), ["not an id"]);

    // Nor on methods that need no token.
    let stranger = Client::new(&world).await.with("nexus-user", "alice").with("nexus-tenant", "other");
    let echo = stranger.call("/nexus.v1.DevelopmentService/CreateToken", "").await.unwrap();
    assert_eq!(echo.header("nexus-user"), [""; 0]);
    assert_eq!(echo.header("nexus-tenant"), [""; 0]);
}

#[tokio::test]
async fn the_address_is_found_behind_trusted_proxies() {
    let world = World::with(1, |config| config.trusted_hops = 2).await;
    let client = Client::of(&world, "bob").await.with("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.1");
    assert_eq!(client.call(LIST, "").await.unwrap().header("x-forwarded-for"), ["1.2.3.4"]);
}

#[tokio::test]
async fn a_nodes_status_arrives_as_it_was() {
    let world = World::new().await;
    let client = Client::of(&world, "bob").await;
    let status = client.call(SEND, "refuse").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "not yours: ä"));
    assert_eq!(
        world.metric(r#"nexus_gateway_requests_total{class="mutation",code="PermissionDenied"}"#),
        1.0
    );
}

#[tokio::test]
async fn each_message_of_a_stream_comes_when_it_is_sent() {
    let world = World::new().await;
    let client = Client::of(&world, "bob").await;
    let mut stream = client.attach("idle").await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap().text, "idle");
    assert_eq!(world.nodes[0].streams(), 1);
    until("the stream is counted", async || world.metric("nexus_gateway_streams") == 1.0).await;
    drop(stream);
    until("the node hears that the client left", async || world.nodes[0].streams() == 0).await;
    until("it is counted", async || {
        world.metric(r#"nexus_gateway_closed_total{reason="client_gone"}"#) == 1.0
    })
    .await;
    assert_eq!(world.metric("nexus_gateway_streams"), 0.0);

    let mut stream = client.attach("count:500").await.unwrap();
    let mut count = 0;
    while stream.message().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 500);
}

#[tokio::test]
async fn both_directions_of_a_stream_are_open_at_once() {
    let world = World::new().await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let mut answers = {
        sender.send(Echo::new("0")).await.unwrap();
        let client = Client::of(&world, "bob").await;
        client.chat(ReceiverStream::new(receiver)).await.unwrap()
    };
    assert_eq!(answers.message().await.unwrap().unwrap().text, "0");
    for n in 1..20 {
        sender.send(Echo::new(&n.to_string())).await.unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap().text, n.to_string());
    }
    drop(sender);
    assert!(answers.message().await.unwrap().is_none());
}

#[tokio::test]
async fn many_streams_share_few_connections() {
    let world = World::new().await;
    let clients = [Client::of(&world, "a").await, Client::of(&world, "b").await];
    let mut streams = Vec::new();
    for n in 0..30 {
        let mut stream = clients[n % 2].attach("idle").await;
        if let Ok(stream) = &mut stream {
            stream.message().await.unwrap();
        }
        streams.push(stream.unwrap());
    }
    assert_eq!(world.nodes[0].streams(), 30);
    assert_eq!(world.edge.connections(), 2);
}

#[tokio::test]
async fn a_node_on_a_unix_socket_is_reached() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::on_socket("local", directory.path().join("core.sock"));
    let world = World::over(vec![node], |_| {}).await;
    let client = Client::of(&world, "bob").await;
    // More than once, so that the connection is used again.
    for _ in 0..3 {
        assert_eq!(client.call(SEND, "").await.unwrap().node, "local");
    }
    let mut stream = client.attach("count:3").await.unwrap();
    while stream.message().await.unwrap().is_some() {}
    until("it passes its checks", async || world.edge.upstreams().any_healthy()).await;
}

#[tokio::test]
async fn what_is_not_served_is_unimplemented() {
    let world = World::new().await;
    let client = Client::of(&world, "bob").await;
    for path in [
        "/other.v1.Service/Method",
        "/nexus.v2.MessageService/Send",
        "/nexus.v1/Send",
        "/grpc.channelz.v1.Channelz/GetServers",
        "/grpc.health.v1.Health/Watch",
    ] {
        assert_eq!(client.call(path, "").await.unwrap_err().code(), Code::Unimplemented, "{path}");
    }
    assert_eq!(world.nodes[0].calls.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_of_the_edge_is_trailers_only() {
    let world = World::new().await;
    let call = Request::post(ATTACH).header("content-type", "application/grpc").header("te", "trailers");
    let (response, ended_with_header) = request(&world, Http::Two, call.body("".into()).unwrap()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "16");
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert!(ended_with_header, "END_STREAM stands on the header");

    // Over HTTP/1.1 there are no trailers, and the answer says what to do.
    let call = Request::post(ATTACH).header("content-type", "application/grpc").body("".into()).unwrap();
    let (response, _) = request(&world, Http::One, call).await;
    assert_eq!(response.headers()["grpc-status"], "12");
}

#[tokio::test]
async fn a_call_ends_by_its_deadline() {
    let world = World::with(1, |config| config.timeouts.call_s = 1).await;
    let client = Client::of(&world, "bob").await;
    let status = client.call(SEND, "silence").await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let began = Instant::now();
    let status = client.with("grpc-timeout", "100m").call(SEND, "silence").await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn what_is_large_arrives_whole_and_what_is_too_large_does_not_get_in() {
    // Larger than all windows on the way.
    const LARGE: usize = 3_000_000;
    let world = World::with(1, |config| config.limits.body_bytes = LARGE + 100).await;
    let client = Client::of(&world, "bob").await;
    assert_eq!(client.call(LIST, &format!("size:{LARGE}")).await.unwrap().text.len(), LARGE);
    assert_eq!(client.call(SEND, &"x".repeat(LARGE)).await.unwrap().text.len(), LARGE);
    let status = client.call(SEND, &"x".repeat(LARGE + 100)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("3000100 bytes"));
    let quota = status.get_details_quota_failure().unwrap().violations;
    assert_eq!(quota[0].subject, "bytes of the request");
    assert!(quota[0].description.contains("3000100 bytes"), "{quota:?}");
}

#[tokio::test]
async fn an_early_answer_does_not_reset_what_is_still_sent() {
    let world = World::new().await;
    let mut sender = piecemeal(&world).await;
    let ask = |path: &str, body| {
        let uri = format!("https://localhost:{}{path}", world.port());
        Request::post(uri).header("content-type", "application/grpc").body(body).unwrap()
    };
    let (sent, body) = pieces();
    let refused = sender.send_request(ask(SEND, body)).await.unwrap();
    assert_eq!(refused.headers()["grpc-status"], "16");

    // Whatever follows the first answer has come before the second one.
    let (_, nothing) = pieces();
    let other = sender.send_request(ask("/not.Served/Here", nothing)).await.unwrap();
    assert_eq!(other.headers()["grpc-status"], "12");
    assert!(!sent.is_closed(), "the stream was reset while its request was under way");
    sent.send(Ok(Frame::data(Bytes::from_static(&[0; 5])))).await.unwrap();
}
