//! The table of methods is what a node answers, and reflection tells of all of it.

use super::world::{World, by};
use std::collections::HashSet;
use tokio_stream::{StreamExt as _, iter};
use tonic::{Code, Status, client::Grpc};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

/// Service, method and state of each row.
fn table() -> Vec<(&'static str, &'static str, &'static str)> {
    let rows = include_str!("../../../../docs/api.md").lines().filter(|line| line.contains("Service | "));
    let cells = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    cells.map(|cells| (cells[0], cells[1], cells[2])).collect()
}

/// Calls a method with nothing in the request.
async fn call(world: &World, service: &str, method: &str) -> Result<(), Status> {
    let mut grpc = Grpc::new(world.channel.clone());
    grpc.ready().await.unwrap();
    let path = format!("/nexus.v1.{service}/{method}").parse().unwrap();
    grpc.unary(by("ann", ()), path, ProstCodec::<(), ()>::default()).await.map(|_| ())
}

#[tokio::test]
async fn what_comes_later_says_so_by_name() {
    let mut world = World::new().await;
    let mut later = 0;
    for (service, method, _) in table().into_iter().filter(|(.., state)| *state == "later") {
        let status = call(&world, service, method).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{service}.{method}: {status:?}");
        assert!(status.message().contains(method), "{service}.{method}: {status:?}");
        later += 1;
    }
    assert!(later > 0);
    world.stop().await;
}

#[tokio::test]
async fn what_works_now_is_there() {
    let mut world = World::new().await;
    for (service, method, _) in table().into_iter().filter(|(.., state)| *state != "later") {
        if method == "Attach" {
            continue; // Answers for ever.
        }
        if let Err(status) = call(&world, service, method).await {
            assert_ne!(status.code(), Code::Unimplemented, "{service}.{method}: {status:?}");
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn what_is_not_described_is_not_there() {
    let mut world = World::new().await;
    for (service, method) in [("MessageService", "Shout"), ("SearchService", "Search")] {
        let status = call(&world, service, method).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{service}.{method}: {status:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn reflection_resolves_services_and_error_details() {
    let mut world = World::new().await;
    let mut client = ServerReflectionClient::new(world.channel.clone());
    let mut symbols: HashSet<String> =
        table().iter().map(|(service, ..)| format!("nexus.v1.{service}")).collect();
    let details = ["BadRequest", "RetryInfo", "QuotaFailure", "Status", "Code"];
    symbols.extend(details.iter().map(|name| format!("google.rpc.{name}")));
    symbols.extend(["google.protobuf.Any", "google.protobuf.Duration"].map(String::from));
    let asked = symbols.len();
    let requests = symbols.into_iter().map(|symbol| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(symbol)),
    });
    let mut answers =
        client.server_reflection_info(iter(requests.collect::<Vec<_>>())).await.unwrap().into_inner();
    for _ in 0..asked {
        let answer = answers.next().await.unwrap().unwrap();
        let found = matches!(answer.message_response, Some(MessageResponse::FileDescriptorResponse(_)));
        assert!(found, "{answer:?}");
    }
    drop(answers);
    world.stop().await;
}
