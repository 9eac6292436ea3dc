//! Rates and loads.

use crate::{
    client::{Client, LIST, SEND},
    world::{World, until},
};
use nexus_gateway::config::MethodLimit;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// When a refused client may come again.
fn retry(status: &Status) -> Duration {
    status.get_details_retry_info().unwrap().retry_delay.unwrap()
}

/// Calls until it is refused.
async fn exhaust(client: &Client, path: &'static str) -> (usize, Status) {
    // More often than any burst here allows. A call may take so long that a default limit never refuses one.
    for passed in 0..100 {
        if let Err(status) = client.call(path, "").await {
            return (passed, status);
        }
    }
    panic!("{path} was called 100 times and never refused");
}

#[tokio::test]
async fn a_user_is_limited_and_others_are_not() {
    let world = World::with(1, |config| (config.limits.user_rate, config.limits.user_burst) = (1, 3)).await;
    let (passed, status) = exhaust(&Client::of(&world, "bob").await, SEND).await;
    assert!(passed >= 3);
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("1 a second of your calls"), "{}", status.message());
    assert!(retry(&status) > Duration::ZERO && retry(&status) <= Duration::from_secs(1));
    Client::of(&world, "alice").await.call(SEND, "").await.unwrap();
    let answered = r#"nexus_gateway_answered_total{layer="user_limit"}"#;
    assert_eq!(world.metric(answered), 1.0);
}

#[tokio::test]
async fn each_class_of_methods_has_its_own_limit() {
    let world = World::with(1, |config| {
        (config.limits.mutation_rate, config.limits.mutation_burst) = (1, 2);
        (config.limits.stream_rate, config.limits.stream_burst) = (1, 2);
    })
    .await;
    let client = Client::of(&world, "bob").await;
    assert!(exhaust(&client, SEND).await.1.message().contains("your changes"));
    client.call(LIST, "").await.unwrap();
    let mut streams = Vec::new();
    let refused = loop {
        match client.attach("idle").await {
            Ok(stream) => streams.push(stream),
            Err(status) => break status,
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("streams"));
    assert!(streams.len() >= 2);
    client.call(LIST, "").await.unwrap();
}

#[tokio::test]
async fn an_address_is_limited_before_anything_is_checked() {
    let world =
        World::with(1, |config| (config.limits.address_rate, config.limits.address_burst) = (1, 2)).await;
    let stranger = Client::new(&world).await;
    let mut codes = Vec::new();
    while codes.last() != Some(&Code::ResourceExhausted) {
        codes.push(stranger.call(SEND, "").await.unwrap_err().code());
    }
    assert!(codes.len() > 2);
    assert!(codes[..codes.len() - 1].iter().all(|code| *code == Code::Unauthenticated));
}

#[tokio::test]
async fn load_beyond_the_limit_is_shed_and_comes_back() {
    let world = World::with(1, |config| (config.limits.calls, config.limits.streams) = (1, 1)).await;
    let client = Client::of(&world, "bob").await;
    let stream = client.attach("idle").await.unwrap();
    let status = client.attach("idle").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(retry(&status) > Duration::ZERO);
    // Streams take no place from calls.
    client.call(SEND, "").await.unwrap();

    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.call(SEND, "silence").await })
    };
    until("the silent call is in progress", async || world.metric("nexus_gateway_calls_in_progress") == 1.0)
        .await;
    assert_eq!(client.call(SEND, "").await.unwrap_err().code(), Code::Unavailable);
    waiting.abort();
    until("its place is free", async || client.call(SEND, "").await.is_ok()).await;
    drop(stream);
    until("the stream's place is free", async || client.attach("idle").await.is_ok()).await;
}

#[tokio::test]
async fn a_method_may_have_a_limit_of_its_own() {
    let of_list = || format!("{} 1 2", LIST.trim_start_matches('/')).parse().unwrap();
    let world = World::with(1, |config| config.limits.methods = vec![of_list()]).await;
    let client = Client::of(&world, "bob").await;
    let (passed, refused) = exhaust(&client, LIST).await;
    assert!(passed >= 2);
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("your calls of ListMessages"), "{}", refused.message());
    assert!(refused.get_details_retry_info().is_some());
    client.call("/nexus.v1.HistoryService/GetMessages", "").await.unwrap();
    Client::of(&world, "ann").await.call(LIST, "").await.unwrap();
    let metric = r#"nexus_gateway_limit{name="nexus.v1.HistoryService/ListMessages burst"}"#;
    assert_eq!(world.metric(metric), 2.0);
    let mistaken = "ListMessages 1 2".parse::<MethodLimit>().unwrap_err().to_string();
    assert!(mistaken.contains("no method with its rate and its burst"), "{mistaken}");
}

#[tokio::test]
async fn limits_are_metrics() {
    let world = World::with(1, |config| config.limits.calls = 123).await;
    assert_eq!(world.metric(r#"nexus_gateway_limit{name="calls"}"#), 123.0);
}
