//! The directory of public channels.

use super::world::{World, by};
use nexus_core::{
    bus::local::LocalBus,
    clock::SystemClock,
    conversation::{Command, Conversations, Settings, rebuild::rebuild},
    domain::{ConversationId, Name, Place},
    log::Log,
    store::{
        Partition, Store,
        embedded::{EmbeddedStore, Options},
    },
};
use nexus_proto::v1::{self, ConversationKind, MemberRole, Role, Visibility, event::Body};
use prometheus::Registry;
use std::sync::Arc;
use tonic::{Code, Request, Status};

async fn channel(world: &World, title: &str, visibility: Visibility) -> String {
    let request = v1::CreateConversationRequest {
        client_id: world.id(),
        kind: ConversationKind::Channel.into(),
        title: title.into(),
        visibility: visibility.into(),
        ..Default::default()
    };
    let answer = world.conversations().create_conversation(by("ann", request)).await.unwrap();
    answer.into_inner().conversation.unwrap().id
}

async fn list(world: &World, request: Request<v1::ListDirectoryRequest>) -> Result<Vec<String>, Status> {
    let answer = world.conversations().list_directory(request).await?;
    Ok(answer.into_inner().entries.into_iter().map(|entry| entry.title).collect())
}

async fn titles(world: &World, prefix: &str) -> Vec<String> {
    let request = v1::ListDirectoryRequest { prefix: prefix.into(), ..Default::default() };
    list(world, by("eve", request)).await.unwrap()
}

fn change(conversation_id: &str) -> v1::UpdateConversationRequest {
    v1::UpdateConversationRequest { conversation_id: conversation_id.into(), ..Default::default() }
}

#[tokio::test]
async fn public_channels_stand_by_title_in_pages() {
    let mut world = World::new().await;
    for title in ["beta", "Alpha", "älter", "alp", "BETA 2", "alpha"] {
        channel(&world, title, Visibility::Public).await;
    }
    channel(&world, "alphabet", Visibility::Private).await;
    let all = titles(&world, "").await;
    let lower: Vec<String> = all.iter().map(|title| title.to_lowercase()).collect();
    assert_eq!(lower, ["alp", "alpha", "alpha", "beta", "beta 2", "älter"]);
    assert_eq!(titles(&world, "ALPH").await.len(), 2);
    assert_eq!(titles(&world, "Ä").await, ["älter"]);
    assert!(titles(&world, "gamma").await.is_empty());
    let (mut paged, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListDirectoryRequest { page_size: 2, page_token, prefix: String::new() };
        let page = world.conversations().list_directory(by("eve", request)).await.unwrap().into_inner();
        assert!(page.entries.len() <= 2);
        paged.extend(page.entries.into_iter().map(|entry| entry.title));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, all);
    world.stop().await;
}

#[tokio::test]
async fn it_follows_what_becomes_of_a_channel() {
    let mut world = World::new().await;
    let id = channel(&world, "First", Visibility::Public).await;
    let join = v1::JoinConversationRequest { conversation_id: id.clone(), client_id: world.id() };
    world.conversations().join_conversation(by("bob", join)).await.unwrap();
    let page = world.conversations().list_directory(by("eve", v1::ListDirectoryRequest::default())).await;
    let entry = page.unwrap().into_inner().entries.remove(0);
    assert_eq!((entry.conversation_id, entry.title, entry.member_count), (id.clone(), "First".into(), 2));

    let rename = |title: &str| v1::UpdateConversationRequest { title: Some(title.into()), ..change(&id) };
    world.update("ann", rename("Second")).await.unwrap();
    assert_eq!(titles(&world, "").await, ["Second"]);
    assert!(titles(&world, "first").await.is_empty());
    world.update("ann", rename("First")).await.unwrap();
    assert_eq!(titles(&world, "").await, ["First"]);
    let show = |visibility: Visibility| v1::UpdateConversationRequest {
        visibility: Some(visibility.into()),
        ..change(&id)
    };
    world.update("ann", show(Visibility::Private)).await.unwrap();
    assert!(titles(&world, "").await.is_empty());
    world.update("ann", show(Visibility::Public)).await.unwrap();
    assert_eq!(titles(&world, "").await, ["First"]);

    let mut request = by("eve", v1::ListDirectoryRequest::default());
    request.metadata_mut().insert("nexus-tenant", "another".parse().unwrap());
    assert!(list(&world, request).await.unwrap().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn a_rebuild_makes_it_anew_from_the_logs() {
    let mut world = World::new().await;
    channel(&world, "One", Visibility::Public).await;
    let two = channel(&world, "Two", Visibility::Public).await;
    let three = v1::UpdateConversationRequest { title: Some("Three".into()), ..change(&two) };
    world.update("ann", three).await.unwrap();
    world.stop().await;
    {
        let store = EmbeddedStore::open(&world.store(), Options::default(), &Registry::new()).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        store.drop_cells(&Partition::Directory(Name::new("default").unwrap())).await.unwrap();
        let (clock, settings) = world.settings();
        for place in store.places(None, 10).await.unwrap() {
            let log = Log::new(store.clone(), clock.clone(), place.clone(), settings.log.clone());
            rebuild(store.clone(), &log, &place).await.unwrap();
        }
    }
    world.start().await;
    assert_eq!(titles(&world, "").await, ["One", "Three"]);
    world.stop().await;
}

#[tokio::test]
async fn bad_pages_are_refused() {
    let mut world = World::new().await;
    let page = |page_size, page_token: &str, prefix: String| v1::ListDirectoryRequest {
        page_size,
        page_token: page_token.into(),
        prefix,
    };
    let bad = [page(201, "", "".into()), page(0, "!", "".into()), page(0, "YWJj", "".into())];
    for request in bad.into_iter().chain([page(0, "", "x".repeat(257))]) {
        let status = list(&world, by("eve", request.clone())).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{request:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_channel_is_listed_though_its_node_died_before_it_stored_its_views() {
    let folder = tempfile::TempDir::new().unwrap();
    let store: Arc<dyn Store> = Arc::new(crate::embedded::open(folder.path()));
    let node = || {
        let (bus, clock) = (Arc::new(LocalBus::default()), Arc::new(SystemClock));
        Conversations::new(store.clone(), bus, clock, Settings::default(), &Registry::new()).unwrap()
    };
    let (tenant, ann) = (Name::new("default").unwrap(), Name::new("ann").unwrap());
    let place = Place { tenant: tenant.clone(), conversation: ConversationId(uuid::Uuid::from_u128(7)) };
    let body = Body::ConversationCreated(v1::ConversationCreated {
        kind: ConversationKind::Channel.into(),
        title: "Open".into(),
        members: vec![MemberRole { user: "ann".into(), role: Role::Owner.into() }],
        visibility: Visibility::Public.into(),
        ..Default::default()
    });
    let died = node();
    died.submit(Command { place, sender: ann, id: None, target: 0, body }).await.unwrap();
    drop(died);
    let listed = node().directory(&tenant, "op", None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|listed| &listed.about.title[..]).collect::<Vec<_>>(), ["Open"]);
}
