//! Browsers: gRPC-Web, CORS, the page, the redirect.

use crate::{
    client::{ATTACH, Http, SEND, plain, request, tls, token},
    node::Echo,
    world::World,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use nexus_gateway::config::Mode;
use prost::Message;
use std::time::Duration;

const BOTH: [Http; 2] = [Http::One, Http::Two];
const ORIGIN: &str = "https://app.example";

fn framed(text: &str) -> Bytes {
    let message = Echo::new(text).encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(&message);
    frame.freeze()
}

/// Messages and trailers of a gRPC-Web body.
fn unframed(mut body: Bytes) -> (Vec<Echo>, String) {
    let (mut messages, mut trailers) = (Vec::new(), String::new());
    while body.has_remaining() {
        let flags = body.get_u8();
        let length = body.get_u32() as usize;
        let frame = body.split_to(length);
        match flags {
            0 => messages.push(Echo::decode(frame).unwrap()),
            0x80 => trailers = String::from_utf8(frame.to_vec()).unwrap(),
            other => panic!("flags {other}"),
        }
    }
    (messages, trailers)
}

/// A gRPC-Web call, binary or text.
async fn call(world: &World, http: Http, text: bool, path: &str, what: &str) -> Response<Bytes> {
    let body = if text { STANDARD.encode(framed(what)).into() } else { framed(what) };
    let content_type = if text { "application/grpc-web-text+proto" } else { "application/grpc-web+proto" };
    let call = Request::post(path)
        .header("content-type", content_type)
        .header("accept", content_type)
        .header("x-grpc-web", "1")
        .header("origin", ORIGIN)
        .header("authorization", format!("Bearer {}", token("bob")))
        .body(body)
        .unwrap();
    let (response, _) = request(world, http, call).await;
    response.map(|body| if text { decode_text(&body) } else { body })
}

/// Text bodies are padded wherever the server flushed.
fn decode_text(body: &[u8]) -> Bytes {
    let mut out = Vec::new();
    for quartet in body.chunks(4) {
        out.extend(STANDARD.decode(quartet).unwrap());
    }
    out.into()
}

#[tokio::test]
async fn grpc_web_works_over_both_versions_of_http() {
    let world = World::new().await;
    for http in BOTH {
        for text in [false, true] {
            let response = call(&world, http, text, SEND, "hello").await;
            assert_eq!(response.status(), 200, "{http:?} {text}");
            let (messages, trailers) = unframed(response.into_body());
            assert_eq!(messages[0].text, "hello");
            assert_eq!(messages[0].header("nexus-user"), ["bob"]);
            assert!(trailers.contains("grpc-status:0"), "{trailers}");

            let (messages, trailers) =
                unframed(call(&world, http, text, ATTACH, "count:5").await.into_body());
            assert_eq!(messages.len(), 5);
            assert!(trailers.contains("grpc-status:0"));

            let refused = call(&world, http, text, SEND, "refuse").await;
            let status = refused.headers().get("grpc-status").map(|v| v.to_str().unwrap().to_owned());
            let (_, trailers) = unframed(refused.into_body());
            assert!(
                status.as_deref() == Some("7") || trailers.contains("grpc-status:7"),
                "{status:?} {trailers}"
            );
        }
    }
    let ok = r#"nexus_gateway_requests_total{class="stream",code="Ok"}"#;
    assert_eq!(world.metric(ok), 4.0, "the status in the body reaches the log");
}

#[tokio::test]
async fn answers_of_the_edge_reach_grpc_web() {
    let world = World::new().await;
    for http in BOTH {
        for content_type in ["application/grpc-web+proto", "application/grpc-web-text"] {
            let call = Request::post(SEND)
                .header("content-type", content_type)
                .header("origin", "http://localhost:5173");
            let (response, _) = request(&world, http, call.body(framed("x")).unwrap()).await;
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["grpc-status"], "16");
            assert_eq!(response.headers()["content-type"], content_type);
            assert_eq!(response.headers()["access-control-allow-origin"], "http://localhost:5173");
            assert!(
                response.headers()["access-control-expose-headers"].to_str().unwrap().contains("grpc-status")
            );
            assert!(response.headers().contains_key("x-request-id"));
            assert!(response.body().is_empty());
        }
    }
}

#[tokio::test]
async fn a_stream_of_grpc_web_is_not_held_back() {
    let world = World::new().await;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tls(&world, b"http/1.1").await)).await.unwrap();
    tokio::spawn(connection);
    let call = Request::post(ATTACH)
        .header("host", "localhost")
        .header("content-type", "application/grpc-web+proto")
        .header("authorization", format!("Bearer {}", token("bob")))
        .body(Full::new(framed("idle")))
        .unwrap();
    let mut body = sender.send_request(call).await.unwrap().into_body();
    let (messages, _) = unframed(body.frame().await.unwrap().unwrap().into_data().unwrap());
    assert_eq!(messages[0].text, "idle");
    assert_eq!(world.nodes[0].streams(), 1);
}

/// A stream of gRPC-Web that never ends by itself, in messages that come in several pieces, and the beginning of its body.
async fn flood(world: &World, text: bool) -> (Incoming, Vec<u8>) {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tls(world, b"http/1.1").await)).await.unwrap();
    tokio::spawn(connection);
    let content_type = if text { "application/grpc-web-text+proto" } else { "application/grpc-web+proto" };
    let framed = if text { STANDARD.encode(framed("flood")).into() } else { framed("flood") };
    let call = Request::post(ATTACH)
        .header("host", "localhost")
        .header("content-type", content_type)
        .header("accept", content_type)
        .header("authorization", format!("Bearer {}", token("bob")))
        .body(Full::new(framed))
        .unwrap();
    let mut body = sender.send_request(call).await.unwrap().into_body();
    let mut begun = Vec::new();
    while begun.len() < 500_000 {
        begun.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    (body, begun)
}

/// The rest of a body, and whether it broke off.
async fn rest(mut body: Incoming, mut all: Vec<u8>, text: bool) -> (Bytes, bool) {
    let mut broke = false;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => all.extend(frame.into_data().unwrap()),
            Err(_) => broke = true,
        }
    }
    (if text && !broke { decode_text(&all) } else { all.into() }, broke)
}

#[tokio::test]
async fn an_edge_that_goes_away_ends_a_stream_between_two_messages() {
    for text in [false, true] {
        let world = World::new().await;
        let (body, begun) = flood(&world, text).await;
        let World { edge, nodes, .. } = world;
        let shutdown = tokio::spawn(edge.shutdown(Duration::from_secs(60)));
        let (body, broke) = rest(body, begun, text).await;
        assert!(!broke);
        let (messages, trailers) = unframed(body);
        assert!(messages[1..].iter().all(|message| message.text.len() == 65_536));
        assert!(trailers.contains("grpc-status:14"), "{trailers}");
        assert_eq!(shutdown.await.unwrap().connections_cut, 0);
        drop(nodes);
    }
}

#[tokio::test]
async fn what_a_node_left_unfinished_is_not_finished_by_the_edge() {
    for text in [false, true] {
        let mut world = World::new().await;
        let (body, begun) = flood(&world, text).await;
        world.nodes.remove(0).kill();
        let (body, broke) = rest(body, begun, text).await;
        if !broke {
            let (messages, trailers) = unframed(body);
            assert!(messages[1..].iter().all(|message| message.text.len() == 65_536));
            assert!(trailers.contains("grpc-status:14"), "{trailers}");
        }
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_by_the_configuration() {
    let world = World::with(1, |config| config.cors.origins = vec![ORIGIN.into()]).await;
    let preflight = |origin: &str| {
        let asks =
            Request::options(SEND).header("origin", origin).header("access-control-request-method", "POST");
        asks.header("access-control-request-headers", "authorization,content-type,x-grpc-web")
            .body(Bytes::new())
            .unwrap()
    };
    for http in BOTH {
        let (response, _) = request(&world, http, preflight(ORIGIN)).await;
        assert_eq!(response.status(), 204);
        let headers = response.headers();
        assert_eq!(headers["access-control-allow-origin"], ORIGIN);
        assert_eq!(headers["access-control-allow-headers"], "authorization,content-type,x-grpc-web");
        assert!(headers["access-control-allow-methods"].to_str().unwrap().contains("POST"));
        assert_eq!(headers["access-control-max-age"], "7200");
        assert_eq!(headers["vary"], "origin");

        let (response, _) = request(&world, http, preflight("https://evil.example")).await;
        assert_eq!(response.status(), 403);
        assert!(!response.headers().contains_key("access-control-allow-origin"));
    }
    let response = call(&world, Http::Two, false, SEND, "x").await;
    assert_eq!(response.headers()["access-control-allow-origin"], ORIGIN);
    let exposed = response.headers()["access-control-expose-headers"].to_str().unwrap().to_owned();
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id"] {
        assert!(exposed.contains(name), "{exposed}");
    }
}

#[tokio::test]
async fn the_page_is_served_with_its_guards() {
    let world = World::new().await;
    for http in BOTH {
        let (response, _) = request(&world, http, Request::get("/").body(Bytes::new()).unwrap()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.body(), "<!doctype html><title>Nexus</title>");
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(headers["cache-control"], "no-cache");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert!(headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
        assert!(!headers.contains_key("strict-transport-security"), "not on somebody's localhost");

        let again =
            Request::get("/").header("if-none-match", headers["etag"].clone()).body(Bytes::new()).unwrap();
        let (response, _) = request(&world, http, again).await;
        assert_eq!((response.status().as_u16(), response.body().len()), (304, 0));

        let (response, _) =
            request(&world, http, Request::get("/assets/index-DiwrgTda.js").body(Bytes::new()).unwrap())
                .await;
        assert!(response.headers()["cache-control"].to_str().unwrap().contains("immutable"));
        let (response, _) =
            request(&world, http, Request::head("/index.html").body(Bytes::new()).unwrap()).await;
        assert_eq!((response.status().as_u16(), response.body().len()), (200, 0));

        for (path, status) in [("/missing", 404), ("/assets/../index.html", 404), ("//", 404)] {
            let (response, _) = request(&world, http, Request::get(path).body(Bytes::new()).unwrap()).await;
            assert_eq!(response.status(), status, "{http:?} {path}");
            assert!(response.headers().contains_key("content-security-policy"), "{http:?} {path}");
        }
        let (response, _) = request(&world, http, Request::put("/").body(Bytes::new()).unwrap()).await;
        assert_eq!(response.status(), 405);
        let json = Request::post(SEND).header("content-type", "application/json").body("{}".into()).unwrap();
        assert_eq!(request(&world, http, json).await.0.status(), 415);
    }
}

#[tokio::test]
async fn production_tells_browsers_to_stay_on_https() {
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = crate::lifecycle::certificate(directory.path(), "first");
    let world = World::with(1, |config| {
        config.mode = Mode::Production;
        (config.tls.certificate, config.tls.key) = (Some(chain.clone()), Some(key));
    })
    .await;
    let trust = std::fs::read(chain).unwrap();
    let io = TokioIo::new(crate::client::connect(world.port(), &trust, b"http/1.1").await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let page = Request::get("/").header("host", "localhost").body(Full::new(Bytes::new())).unwrap();
    let response = sender.send_request(page).await.unwrap();
    assert!(response.headers()["strict-transport-security"].to_str().unwrap().starts_with("max-age="));
}

#[tokio::test]
async fn plain_http_is_sent_to_https() {
    let world = World::new().await;
    for (host, path, location) in [
        ("chat.example", "/", format!("https://chat.example:{}/", world.port())),
        ("chat.example:8080", "/a?b=c", format!("https://chat.example:{}/a?b=c", world.port())),
        ("[::1]:8080", "/x", format!("https://[::1]:{}/x", world.port())),
    ] {
        for method in ["GET", "POST"] {
            let asks =
                Request::builder().method(method).uri(path).header("host", host).body(Bytes::new()).unwrap();
            let response = plain(&world, asks).await;
            assert_eq!(response.status(), 308);
            assert_eq!(response.headers()["location"], location.as_str());
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            assert!(response.headers().contains_key("content-security-policy"));
        }
    }
    // A call in the clear is not carried out, whatever it brings.
    let call = Request::post(SEND)
        .header("host", "chat.example")
        .header("content-type", "application/grpc-web+proto")
        .header("authorization", format!("Bearer {}", token("bob")));
    assert_eq!(plain(&world, call.body(framed("x")).unwrap()).await.status(), 308);
    assert_eq!(world.nodes[0].calls.load(std::sync::atomic::Ordering::SeqCst), 0);

    let world = World::with(1, |config| config.public_port = Some(443)).await;
    let asks = Request::get("/").header("host", "chat.example").body(Bytes::new()).unwrap();
    assert_eq!(plain(&world, asks).await.headers()["location"], "https://chat.example/");
}
