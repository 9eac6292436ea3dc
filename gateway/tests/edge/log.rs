//! What operators read.

use crate::{
    client::{Client, Http, SEND, request, sign, token},
    world::{NOW, World, until},
};
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use std::{
    io::Write,
    sync::{LazyLock, Mutex},
};
use tonic::Code;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// Every line that was logged, by every test.
static LINES: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(|| {
    let filter = EnvFilter::new(format!("info,{}", nexus_gateway::LOG_DIRECTIVES));
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_writer(Lines).init();
    Mutex::default()
});

#[derive(Clone)]
struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        Lines
    }
}

/// The line of this request in the access log.
async fn line(request_id: &str) -> Value {
    let mut found = None;
    until("the request has its line", async || {
        let text = String::from_utf8(LINES.lock().unwrap().clone()).unwrap();
        found = text.lines().filter(|line| line.contains(request_id)).find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["target"] == "access" && line["request_id"] == request_id).then_some(line)
        });
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test]
async fn each_request_has_a_line() {
    LazyLock::force(&LINES);
    let world = World::new().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let secret = sign(&json!({"sub": "bob", "tenant": "acme", "sid": "phone", "exp": NOW / 1_000 + 60}));
    let client = Client::new(&world)
        .await
        .with("authorization", &format!("Bearer {secret}"))
        .with("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));

    client.clone().with("x-request-id", "log-ok").call(SEND, "hello").await.unwrap();
    let ok = line("log-ok").await;
    for (name, value) in [
        ("method", json!("POST")),
        ("path", json!(SEND)),
        ("class", json!("mutation")),
        ("user", json!("bob")),
        ("tenant", json!("acme")),
        ("device", json!("phone")),
        ("client", json!("127.0.0.1")),
        ("status", json!(200)),
        ("grpc_status", json!(0)),
        ("bytes_received", json!(12)),
        ("close", json!("done")),
        ("upstream", json!(world.nodes[0].address)),
        ("trace_id", json!(trace)),
    ] {
        assert_eq!(ok[name], value, "{name} in {ok}");
    }
    assert!(ok["bytes_sent"].as_u64().unwrap() > 12);
    assert!(ok["duration_ms"].as_f64().unwrap() > 0.0);

    let mut stream = client.clone().with("x-request-id", "log-gone").attach("idle").await.unwrap();
    stream.message().await.unwrap().unwrap();
    drop(stream);
    let gone = line("log-gone").await;
    assert_eq!((&gone["close"], &gone["class"]), (&json!("client_gone"), &json!("stream")));

    let stranger = Client::new(&world).await.with("x-request-id", "log-denied");
    assert_eq!(stranger.call(SEND, "").await.unwrap_err().code(), Code::Unauthenticated);
    let denied = line("log-denied").await;
    assert_eq!((&denied["grpc_status"], &denied["answered_by"]), (&json!(16), &json!("authenticate")));
    assert_eq!(denied["user"], Value::Null);

    let page = Request::get("/").header("x-request-id", "log-page").body(Bytes::new()).unwrap();
    request(&world, Http::One, page).await;
    let page = line("log-page").await;
    assert_eq!((&page["status"], &page["class"]), (&json!(200), &json!("page")));

    let text = String::from_utf8(LINES.lock().unwrap().clone()).unwrap();
    for secret in
        [secret.rsplit('.').next().unwrap(), token("bob").rsplit('.').next().unwrap(), crate::world::SECRET]
    {
        assert!(!text.contains(secret), "a secret was logged");
    }
    assert!(!text.lines().any(|line| line.contains("client_gone") && line.contains("\"ERROR\"")));
}
