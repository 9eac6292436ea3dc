//! Clients that misbehave.

use crate::{
    client::{ATTACH, Client, Http, LIST, SEND, piecemeal, pieces, request, tls, token},
    world::{World, soon, until},
};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What comes back until the connection is closed.
async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut all)).await;
    // A reset, or an end without a goodbye, is an end.
    let _ = read.expect("the connection is closed within a minute");
    String::from_utf8_lossy(&all).into_owned()
}

async fn redirect_port(world: &World) -> TcpStream {
    TcpStream::connect(world.edge.addresses().redirect.unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_header_that_never_ends_is_cut_off() {
    let world = World::with(1, |config| config.timeouts.head_s = 1).await;
    let mut secure = tls(&world, b"http/1.1").await;
    secure.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ").await.unwrap();
    assert!(rest(&mut secure).await.starts_with("HTTP/1.1 408 "));
    let mut clear = redirect_port(&world).await;
    clear.write_all(b"GET").await.unwrap();
    assert!(rest(&mut clear).await.starts_with("HTTP/1.1 408 "));
    assert_eq!(world.metric(r#"nexus_gateway_connections_refused_total{reason="head_timeout"}"#), 2.0);
}

#[tokio::test]
async fn half_open_connections_are_closed() {
    let world = World::with(1, |config| (config.timeouts.head_s, config.timeouts.idle_s) = (1, 1)).await;
    // Nothing at all, not even TLS; half of TLS; nothing within TLS, a preface that stops, HTTP/2 without a request, and a HEADERS frame
    // that promises more than it brings.
    let opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".as_slice();
    let headers = [opening, b"\0\0\x40\x01\x04\0\0\0\x01\x82".as_slice()].concat();
    let half = async |alpn: &'static [u8], bytes: &[u8]| {
        let mut stream = tls(&world, alpn).await;
        stream.write_all(bytes).await.unwrap();
        rest(&mut stream).await
    };
    let clear = async { rest(&mut redirect_port(&world).await).await };
    let half_tls = async |bytes: &[u8]| {
        let mut stream = TcpStream::connect(world.edge.addresses().https).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        rest(&mut stream).await
    };
    let (clear, none, hello, secure, ..) = tokio::join!(
        clear,
        half_tls(b""),
        half_tls(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        half(b"http/1.1", b""),
        half(b"h2", b"PRI * HTTP"),
        half(b"h2", opening),
        half(b"h2", &headers)
    );
    assert_eq!([&clear, &none, &hello, &secure], ["", "", "", ""]);
    assert_eq!(world.metric(r#"nexus_gateway_connections_refused_total{reason="tls"}"#), 2.0);
    until("none is left", async || world.edge.connections() == 0).await;
}

#[tokio::test]
async fn oversized_headers_are_refused() {
    let world = World::with(1, |config| config.limits.header_bytes = 4_096).await;
    let mut stream = tls(&world, b"http/1.1").await;
    let large = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(5_000));
    stream.write_all(large.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 431 "));

    let call = Request::get("/").header("x", "x".repeat(5_000)).body(Bytes::new()).unwrap();
    let (response, _) = request(&world, Http::Two, call).await;
    assert_eq!(response.status(), 431);
    // The next one on the same edge is well.
    Client::of(&world, "bob").await.call(LIST, "").await.unwrap();
}

#[tokio::test]
async fn ambiguous_requests_are_refused() {
    let world = World::new().await;
    let token = token("bob");
    for (what, head) in [
        ("two lengths", "content-length: 5\r\ncontent-length: 6\r\n".to_owned()),
        ("length and chunks", "content-length: 5\r\ntransfer-encoding: chunked\r\n".to_owned()),
        ("two hosts", "content-length: 5\r\nhost: other\r\n".to_owned()),
        ("a space before the colon", "content-length : 5\r\n".to_owned()),
    ] {
        let mut stream = tls(&world, b"http/1.1").await;
        let call = format!(
            "POST {SEND} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/grpc-web\r\nauthorization: Bearer {token}\r\n{head}\r\n\0\0\0\0\0GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
        );
        stream.write_all(call.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(!answer.contains("<title>"), "{what}: a second request was answered: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), usize::from(!answer.is_empty()), "{what}: {answer}");
        if what != "length and chunks" {
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{what}: {answer}");
        }
    }
    for junk in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\r\n\r\n"] {
        let mut stream = tls(&world, b"http/1.1").await;
        stream.write_all(junk.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{junk:?}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let world = World::with(1, |config| (config.timeouts.call_s, config.upstream.eject_after) = (1, 1)).await;
    let mut stream = tls(&world, b"http/1.1").await;
    let call = format!(
        "POST {SEND} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web\r\nauthorization: Bearer {}\r\ncontent-length: 100\r\n\r\n\0\0",
        token("bob")
    );
    stream.write_all(call.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.contains("grpc-status: 4\r\n"), "{answer}");
    until("it is gone", async || world.metric("nexus_gateway_calls_in_progress") == 0.0).await;
    assert_eq!(world.ejections(&world.nodes[0]), 0.0);
}

/// Otherwise anybody could have the nodes passed over, one after the other.
#[tokio::test]
async fn calls_that_are_not_sent_whole_are_no_fault_of_their_node() {
    let world = World::with(1, |config| {
        (config.upstream.eject_after, config.upstream.eject_s) = (1, 3_600);
        config.timeouts.call_s = 3;
    })
    .await;
    let sender = piecemeal(&world).await;
    let mut unfinished = Vec::new();
    let mut open = |deadline: Option<&str>| {
        let call = Request::post(format!("https://localhost:{}{SEND}", world.port()))
            .header("content-type", "application/grpc")
            .header("authorization", format!("Bearer {}", token("bob")));
        let call = deadline.into_iter().fold(call, |call, time| call.header("grpc-timeout", time));
        let (rest, body) = pieces();
        unfinished.push(rest);
        tokio::spawn(sender.clone().send_request(call.body(body).unwrap()))
    };
    let (by_edge, by_node, given_up) = (open(None), open(Some("1200m")), open(None));
    let answer = soon("the node's answer to what it gave up", by_node).await.unwrap().unwrap();
    let status = answer.headers()["grpc-status"].to_str().unwrap();
    assert!(["1", "4"].contains(&status), "{status}");
    given_up.abort();
    let answer = soon("the edge's answer to what it gave up", by_edge).await.unwrap().unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");
    until("all have ended", async || world.metric("nexus_gateway_calls_in_progress") == 0.0).await;
    assert_eq!(world.ejections(&world.nodes[0]), 0.0);
}

#[tokio::test]
async fn one_address_has_only_so_many_connections() {
    let world = World::with(1, |config| config.limits.connections_per_address = 2).await;
    let first = tls(&world, b"h2").await;
    let _second = tls(&world, b"h2").await;
    until("both are counted", async || world.edge.connections() == 2).await;
    // Closed before TLS, which would be the dearer part of it.
    let mut third = TcpStream::connect(world.edge.addresses().https).await.unwrap();
    assert_eq!(rest(&mut third).await, "");
    drop(first);
    until("there is room again", async || world.edge.connections() == 1).await;
    let (response, _) = request(&world, Http::One, Request::get("/").body(Bytes::new()).unwrap()).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_connection_carries_many_requests_of_http_1() {
    let world = World::new().await;
    let mut stream = tls(&world, b"http/1.1").await;
    for _ in 0..5 {
        stream.write_all(b"HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off() {
    let world = World::with(1, |config| config.timeouts.write_s = 1).await;
    let mut stream = tls(&world, b"http/1.1").await;
    let body = [&[0u8, 0, 0, 0, 14, 10, 12][..], b"size:9000000"].concat();
    let head = format!(
        "POST {LIST} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        token("bob"),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let slow = r#"nexus_gateway_closed_total{reason="slow_client"}"#;
    until("it is given up", async || world.metric(slow) == 1.0).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_holds_its_node_back_and_is_cut_off() {
    let world = World::with(1, |config| config.timeouts.write_s = 1).await;
    let io = TokioIo::new(tls(&world, b"h2").await);
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(1 << 20)
        .handshake(io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut ask = async |path: &str, body: &'static [u8]| {
        let call = Request::post(format!("https://localhost:{}{path}", world.port()))
            .header("content-type", "application/grpc")
            .header("authorization", format!("Bearer {}", token("bob")))
            .body(Full::new(Bytes::from_static(body)))
            .unwrap();
        sender.send_request(call).await.unwrap()
    };
    let mut flooded = ask(ATTACH, b"\0\0\0\0\x07\x0a\x05flood").await;
    // Other streams of the connection go on meanwhile.
    let quick = ask(SEND, b"\0\0\0\0\x02\x0a\0").await;
    assert_eq!(quick.into_body().collect().await.unwrap().trailers().unwrap()["grpc-status"], "0");
    let slow = r#"nexus_gateway_closed_total{reason="slow_client"}"#;
    until("it is given up", async || world.metric(slow) == 1.0).await;
    until("the node hears of it", async || world.nodes[0].streams() == 0).await;
    // What was under way is what the windows between them allow.
    let sent = world.nodes[0].sent.load(std::sync::atomic::Ordering::SeqCst) * 65_536;
    assert!(sent < 4 << 20, "the node has sent {sent} bytes");
    while let Some(Ok(_)) = flooded.body_mut().frame().await {}
}

#[tokio::test]
async fn a_request_that_names_two_hosts_is_refused() {
    let world = World::new().await;
    let page = || Request::get("/").header("host", "other.example").body(Bytes::new()).unwrap();
    assert_eq!(request(&world, Http::Two, page()).await.0.status(), 400);
}
