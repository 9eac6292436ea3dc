//! Nodes that fail, and which node gets what.

use crate::{
    client::{ATTACH, Client, Http, LIST, SEND, request, token},
    node::{Echo, Node},
    world::{World, until},
};
use bytes::Bytes;
use http::Request;
use nexus_gateway::Address;
use std::{collections::BTreeSet, sync::atomic::Ordering};
use tonic::Code;
use tonic_types::StatusExt;

#[tokio::test]
async fn with_no_node_calls_are_unavailable() {
    let mut world = World::new().await;
    let client = Client::of(&world, "bob").await;
    client.call(SEND, "").await.unwrap();
    let port = world.nodes.remove(0).kill();
    // The first may still meet the broken connection.
    for _ in 0..3 {
        let status = client.call(SEND, "").await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.get_details_retry_info().is_some(), "{status:?}");
    }
    for content_type in ["application/grpc", "application/grpc-web", "application/grpc-web-text"] {
        let call = Request::post(SEND)
            .header("content-type", content_type)
            .header("authorization", format!("Bearer {}", token("bob")))
            .body(Bytes::from_static(&[0; 5]))
            .unwrap();
        let (response, ended) = request(&world, Http::Two, call).await;
        assert_eq!((response.status().as_u16(), ended), (200, true));
        assert_eq!(response.headers()["grpc-status"], "14");
        assert_eq!(response.headers()["content-type"], content_type);
    }
    until("it is out", async || !world.edge.upstreams().any_healthy()).await;

    world.nodes.push(Node::on_port("again", port));
    until("calls work again", async || client.call(SEND, "").await.is_ok()).await;
    until("it is back", async || world.edge.upstreams().any_healthy()).await;
}

#[tokio::test]
async fn a_stream_whose_node_dies_ends_unavailable() {
    let mut world = World::new().await;
    let client = Client::of(&world, "bob").await;
    let mut stream = client.attach("idle").await.unwrap();
    stream.message().await.unwrap().unwrap();
    world.nodes.remove(0).kill();
    let status = stream.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    until("it is counted", async || {
        world.metric(r#"nexus_gateway_closed_total{reason="upstream_failed"}"#) == 1.0
    })
    .await;
}

#[tokio::test]
async fn a_grpc_web_stream_whose_node_dies_gets_its_trailers() {
    let mut world = World::new().await;
    for content_type in ["application/grpc-web", "application/grpc-web-text"] {
        let call = Request::post(ATTACH)
            .header("content-type", content_type)
            .header("accept", content_type)
            .header("authorization", format!("Bearer {}", token("bob")))
            .body(if content_type.ends_with("text") {
                "AAAAAAA=".into()
            } else {
                Bytes::from_static(&[0; 5])
            })
            .unwrap();
        let node = world.nodes.remove(0);
        let kill = async {
            until("the stream is open", async || node.streams() == 1).await;
            node.kill()
        };
        let ((response, _), port) = tokio::join!(request(&world, Http::One, call), kill);
        let body = response.into_body();
        let text = if content_type.ends_with("text") {
            use base64::{Engine, engine::general_purpose::STANDARD};
            body.chunks(4).flat_map(|four| STANDARD.decode(four).unwrap()).collect()
        } else {
            body.to_vec()
        };
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("grpc-status:14"), "{content_type}: {text}");
        world.nodes.push(Node::on_port("again", port));
        until("it is back", async || world.edge.upstreams().any_healthy()).await;
    }
}

#[tokio::test]
async fn a_silent_node_does_not_hold_a_stream_for_ever() {
    let world = World::with(1, |config| config.timeouts.stream_silence_s = 1).await;
    let mut stream = Client::of(&world, "bob").await.attach("idle").await.unwrap();
    stream.message().await.unwrap().unwrap();
    let status = stream.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("silent"));
}

#[tokio::test]
async fn a_node_that_answers_no_ping_loses_its_streams() {
    // Neither checks nor silence end them.
    let world = World::with(1, |config| {
        (config.upstream.ping_s, config.upstream.unhealthy_after) = (1, 1_000_000);
        config.timeouts.stream_silence_s = 3_600;
    })
    .await;
    let mut stream = Client::of(&world, "bob").await.attach("idle").await.unwrap();
    stream.message().await.unwrap().unwrap();
    let _paused = world.nodes[0].pause().await;
    let status = stream.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn streams_go_by_user_and_calls_by_conversation() {
    let world = World::with(4, |_| {}).await;
    let mut of_users = BTreeSet::new();
    let mut of_conversations = BTreeSet::new();
    for n in 0..12 {
        let user = format!("user-{n}");
        let mut homes = BTreeSet::new();
        for _ in 0..2 {
            let mut stream = Client::of(&world, &user).await.attach("count:1").await.unwrap();
            homes.insert(stream.message().await.unwrap().unwrap().node);
        }
        // A call that names no conversation goes where the user's streams are.
        homes.insert(Client::of(&world, &user).await.call(LIST, "").await.unwrap().node);
        assert_eq!(homes.len(), 1, "{user} is at {homes:?}");
        of_users.extend(homes);

        let conversation = format!("conversation-{n}");
        let mut homes = BTreeSet::new();
        for user in ["alice", "bob"] {
            let client = Client::of(&world, user).await.with("nexus-conversation", &conversation);
            homes.insert(client.call(SEND, "").await.unwrap().node);
        }
        assert_eq!(homes.len(), 1, "{conversation} is at {homes:?}");
        of_conversations.extend(homes);
    }
    assert!(of_users.len() > 1 && of_conversations.len() > 1);
}

#[tokio::test]
async fn a_node_that_says_it_does_not_serve_gets_nothing_until_it_does() {
    let world = World::with(2, |_| {}).await;
    let client = Client::of(&world, "bob").await;
    let home = client.call(SEND, "").await.unwrap().node;
    let node = world.nodes.iter().find(|node| home.ends_with(&node.name)).unwrap();
    node.serving(false).await;
    until("calls go elsewhere", async || client.call(SEND, "").await.unwrap().node != home).await;
    let series = format!(r#"nexus_gateway_upstream_healthy{{upstream="{}"}}"#, node.address);
    assert_eq!(world.metric(&series), 0.0);
    node.serving(true).await;
    until("calls come back", async || client.call(SEND, "").await.unwrap().node == home).await;
}

#[tokio::test]
async fn a_node_that_passes_its_checks_and_fails_its_calls_is_passed_over_for_a_while() {
    let world = World::with(2, |config| {
        (config.upstream.eject_after, config.upstream.eject_s) = (2, 3);
    })
    .await;
    let client = Client::of(&world, "bob").await;
    let home = client.call(SEND, "").await.unwrap().node;
    let mut stream = client.attach("ticks").await.unwrap();
    let give_up = async |within| {
        let client = Client::of(&world, "bob").await.with("grpc-timeout", within);
        client.call(SEND, "silence").await.unwrap_err();
        client.call(SEND, "silence").await.unwrap_err();
    };
    give_up("1m").await;
    assert_eq!(client.call(SEND, "").await.unwrap().node, home, "that is no fault of the node");
    give_up("1200m").await;
    let node = world.nodes.iter().find(|node| home.ends_with(&node.name)).unwrap();
    until("it is passed over", async || world.ejections(node) == 1.0).await;
    assert_ne!(client.call(SEND, "").await.unwrap().node, home);
    until("calls come back", async || client.call(SEND, "").await.unwrap().node == home).await;
    stream.message().await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_between_two_failures_shows_that_a_node_works() {
    let world = World::with(2, |config| {
        (config.timeouts.call_s, config.upstream.eject_after, config.upstream.eject_s) = (1, 2, 3_600);
    })
    .await;
    let client = Client::of(&world, "bob").await;
    let home = client.call(SEND, "").await.unwrap().node;
    let node = world.nodes.iter().find(|node| home.ends_with(&node.name)).unwrap();
    for _ in 0..3 {
        client.call(SEND, "silence").await.unwrap_err();
        assert_eq!(client.call(SEND, "").await.unwrap().node, home);
    }
    assert_eq!(world.ejections(node), 0.0);
    client.call(SEND, "silence").await.unwrap_err();
    client.call(SEND, "silence").await.unwrap_err();
    assert_eq!(world.ejections(node), 1.0);
}

#[tokio::test]
async fn while_one_node_can_not_be_reached_the_next_is_tried() {
    // No check ever takes it out; only trying finds it dead.
    let mut world = World::with(3, |config| config.upstream.unhealthy_after = 1_000_000).await;
    world.nodes.remove(0).kill();
    for n in 0..10 {
        Client::of(&world, &format!("user-{n}")).await.call(SEND, "").await.unwrap();
    }
}

#[tokio::test]
async fn a_node_that_takes_nothing_new_keeps_its_streams_and_calls_go_elsewhere() {
    // No check takes it out: the connection that its streams are on says that it leaves.
    let mut world = World::with(2, |config| config.upstream.unhealthy_after = 1_000_000).await;
    let client = Client::of(&world, "bob").await;
    let mut stream = client.attach("ticks").await.unwrap();
    let home = stream.message().await.unwrap().unwrap().node;
    world.nodes.iter_mut().find(|node| node.name == home).unwrap().leave();
    // One that is under way to the node when it says so may fail.
    let elsewhere = async || client.call(SEND, "").await.is_ok_and(|echo| echo.node != home);
    until("calls go elsewhere", elsewhere).await;
    for _ in 0..10 {
        client.call(SEND, "").await.unwrap();
    }
    for _ in 0..10 {
        stream.message().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_call_that_was_sent_is_not_sent_again() {
    let mut world = World::with(3, |_| {}).await;
    let client = Client::of(&world, "bob").await;
    let home = client.call(SEND, "").await.unwrap().node;
    let at = world.nodes.iter().position(|node| node.name == home).unwrap();
    let calls = |node: &Node| node.calls.load(std::sync::atomic::Ordering::SeqCst);
    let waiting = tokio::spawn(async move { client.call(SEND, "silence").await });
    until("the node has the call", async || calls(&world.nodes[at]) == 2).await;
    world.nodes.remove(at).kill();
    assert_eq!(waiting.await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert!(world.nodes.iter().all(|node| calls(node) == 0));
}

#[tokio::test]
async fn the_set_of_nodes_is_replaced_under_traffic() {
    let world = World::new().await;
    let client = Client::of(&world, "bob").await;
    let mut old_stream = client.attach("ticks").await.unwrap();
    assert_eq!(old_stream.message().await.unwrap().unwrap().node, "node-0");
    let other = Node::on_tcp("other");
    world.edge.upstreams().set(vec![other.address.parse::<Address>().unwrap().endpoint().unwrap()]);
    assert_eq!(client.call(SEND, "").await.unwrap().node, "other");
    old_stream.message().await.unwrap().unwrap();
}

/// A gRPC-Web call or stream over HTTP/1.1; gives the status in its body or its header.
async fn web(world: &World, path: &str, text: &str) -> String {
    let message = prost::Message::encode_to_vec(&Echo::new(text));
    let body = [&[0, 0, 0, 0, message.len() as u8], message.as_slice()].concat();
    let call = Request::post(path)
        .header("content-type", "application/grpc-web")
        .header("authorization", format!("Bearer {}", token("bob")))
        .body(Bytes::from(body))
        .unwrap();
    let (response, _) = request(world, Http::One, call).await;
    let of_header = response.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
    let body = String::from_utf8_lossy(response.body()).into_owned();
    of_header.unwrap_or_else(|| {
        body.rsplit("grpc-status:").next().unwrap().chars().take_while(char::is_ascii_digit).collect()
    })
}

#[tokio::test]
async fn what_waits_at_a_node_that_stands_still_ends_and_goes_to_another() {
    let world = World::with(2, |config| config.upstream.health_ms = 1_000).await;
    let client = Client::of(&world, "bob").await;
    let mut stream = client.attach("idle").await.unwrap();
    let home = stream.message().await.unwrap().unwrap().node;
    let node = world.nodes.iter().find(|node| node.name == home).unwrap();
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.call(SEND, "silence").await })
    };
    let stands_still = async {
        let all = async || node.calls.load(Ordering::SeqCst) == 3 && node.streams() == 2;
        until("the node has a call, a stream, and that of a browser", all).await;
        let paused = node.pause().await;
        // One that comes while nobody knows it yet waits as well.
        (client.call(SEND, "late").await, paused)
    };
    let ((late, paused), of_browser) = tokio::join!(stands_still, web(&world, ATTACH, "idle"));
    for status in [waiting.await.unwrap(), late]
        .map(Result::unwrap_err)
        .into_iter()
        .chain([stream.message().await.unwrap_err()])
    {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.message().contains("Retry with the same id"), "{status:?}");
        assert!(status.get_details_retry_info().is_some(), "{status:?}");
    }
    assert_eq!(of_browser, "14");
    let out = r#"nexus_gateway_closed_total{reason="upstream_out"}"#;
    until("all four are counted", async || world.metric(out) == 4.0).await;

    let mut stream = client.attach("idle").await.unwrap();
    assert_ne!(stream.message().await.unwrap().unwrap().node, home);
    assert_ne!(client.call(SEND, "").await.unwrap().node, home);
    drop(paused);
    until("its calls come back", async || client.call(SEND, "").await.unwrap().node == home).await;
}

#[tokio::test]
async fn what_waits_stays_while_there_is_nowhere_to_go() {
    let world = World::new().await;
    let client = Client::of(&world, "bob").await;
    let mut stream = client.attach("ticks").await.unwrap();
    stream.message().await.unwrap().unwrap();
    until("it passes its checks", async || world.edge.upstreams().any_healthy()).await;
    let paused = world.nodes[0].pause().await;
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.call(SEND, "").await })
    };
    until("it is out", async || !world.edge.upstreams().any_healthy()).await;
    drop(paused);
    waiting.await.unwrap().unwrap();
    for _ in 0..10 {
        stream.message().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_node_that_says_it_is_not_well_keeps_what_it_has() {
    let world = World::with(2, |_| {}).await;
    let client = Client::of(&world, "bob").await;
    let mut stream = client.attach("ticks").await.unwrap();
    let home = stream.message().await.unwrap().unwrap().node;
    let node = world.nodes.iter().find(|node| node.name == home).unwrap();
    node.serving(false).await;
    until("calls go elsewhere", async || client.call(SEND, "").await.unwrap().node != home).await;
    for _ in 0..10 {
        stream.message().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn streams_share_connections_to_a_node() {
    let world = World::with(1, |config| config.upstream.streams_per_connection = 10).await;
    let mut streams = Vec::new();
    for user in 0..25 {
        let mut stream = Client::of(&world, &format!("user-{user}")).await.attach("idle").await.unwrap();
        stream.message().await.unwrap();
        streams.push(stream);
    }
    let connections =
        format!(r#"nexus_gateway_upstream_connections{{upstream="{}"}}"#, world.nodes[0].address);
    assert_eq!(world.metric(&connections), 3.0);
    drop(streams);
    until("their places are free", async || world.nodes[0].streams() == 0).await;
    Client::of(&world, "bob").await.call(SEND, "").await.unwrap();
    assert_eq!(world.metric(&connections), 3.0);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let world = World::with(1, |config| (config.upstream.idle_s, config.upstream.ping_s) = (1, 1)).await;
    let client = Client::of(&world, "bob").await;
    client.call(SEND, "").await.unwrap();
    let connections =
        format!(r#"nexus_gateway_upstream_connections{{upstream="{}"}}"#, world.nodes[0].address);
    until("it is closed", async || world.metric(&connections) == 0.0).await;
    client.call(SEND, "").await.unwrap();
}
