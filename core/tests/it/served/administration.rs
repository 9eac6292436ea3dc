//! What administrators change outlives the node; and conversations from before there was a list of them get into it.

use super::world::{World, by};
use nexus_core::{
    bus::local::LocalBus,
    conversation::Conversations,
    domain::Name,
    store::{Partition, Store, embedded::EmbeddedStore},
};
use nexus_proto::v1::{
    self, ConversationKind, Role, admin_service_client::AdminServiceClient,
    history_service_client::HistoryServiceClient,
};
use prometheus::Registry;
use std::{sync::Arc, time::Duration};
use tonic::{Code, transport::Channel};

async fn administered() -> World {
    World::with(|config| config.administrators = vec!["default/root".into()]).await
}

fn admin(world: &World) -> AdminServiceClient<Channel> {
    AdminServiceClient::new(world.channel.clone())
}

async fn listed(world: &World) -> Vec<String> {
    let request = v1::ListTenantConversationsRequest::default();
    let answer = admin(world).list_tenant_conversations(by("root", request)).await.unwrap().into_inner();
    answer.conversations.into_iter().map(|it| it.conversation.unwrap().id).collect()
}

fn trimming(id: &str, client_id: &str, through: u64) -> v1::TrimConversationRequest {
    v1::TrimConversationRequest { conversation_id: id.into(), client_id: client_id.into(), through }
}

/// What the node does every six hours, of a store that was opened by itself.
async fn pass(world: &World, store: Arc<EmbeddedStore>) {
    let (clock, mut settings) = world.settings();
    settings.retention.grace = Duration::ZERO;
    let bus = Arc::new(LocalBus::default());
    let all = Conversations::new(store, bus, clock, settings, &Registry::new()).unwrap();
    all.trim_old().await.unwrap();
}

fn opened(world: &World) -> Arc<EmbeddedStore> {
    Arc::new(EmbeddedStore::open(&world.store(), Default::default(), &Registry::new()).unwrap())
}

#[tokio::test]
async fn a_log_that_was_trimmed_on_request_stays_so_and_the_next_pass_deletes_it() {
    let mut world = administered().await;
    let id = world.create("ann", ConversationKind::Group, "Team", &["bob"]).await;
    for _ in 0..3 {
        world.say("ann", &id, &world.id()).await.unwrap();
    }
    world.pass(25 * 3600);
    let request = trimming(&id, &world.id(), 4);
    let first = admin(&world).trim_conversation(by("root", request.clone())).await.unwrap().into_inner();
    assert_eq!((first.floor, first.receipt.unwrap().seq), (4, 5));
    world.stop().await;
    world.start().await;
    let again = admin(&world).trim_conversation(by("root", request.clone())).await.unwrap().into_inner();
    assert_eq!(again, first, "a retry after a restart");
    world.stop().await;
    let store = opened(&world);
    let place = store.places(None, 10).await.unwrap().remove(0);
    assert_eq!(
        store.index(&place, u64::MAX, 10).await.unwrap().len(),
        2,
        "it is out of view, and still there"
    );
    pass(&world, store.clone()).await;
    assert_eq!(store.index(&place, u64::MAX, 10).await.unwrap().len(), 1);
    drop(store);
    world.start().await;
    let request = v1::ListEventsRequest { conversation_id: id.clone(), ..Default::default() };
    let events = HistoryServiceClient::new(world.channel.clone()).list_events(by("bob", request)).await;
    let events = events.unwrap().into_inner().events;
    assert_eq!(
        events.iter().map(|event| (event.seq, event.sender.as_str())).collect::<Vec<_>>(),
        [(5, "root")]
    );
    assert_eq!(world.say("bob", &id, &world.id()).await.unwrap().seq, 6, "who was a member still is");
    world.stop().await;
}

#[tokio::test]
async fn conversations_from_before_there_was_a_list_get_into_it() {
    let mut world = administered().await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(world.create("ann", ConversationKind::Group, &n.to_string(), &[]).await);
    }
    ids.sort();
    assert_eq!(listed(&world).await, ids);
    world.stop().await;
    let store = opened(&world);
    for part in 0..16 {
        store.drop_cells(&Partition::Conversations(Name::new("default").unwrap(), part)).await.unwrap();
    }
    drop(store);
    world.start().await;
    assert!(listed(&world).await.is_empty());
    let new = world.create("ann", ConversationKind::Group, "new", &[]).await;
    assert_eq!(listed(&world).await, [new.as_str()]);
    world.stop().await;
    pass(&world, opened(&world)).await;
    world.start().await;
    ids.push(new);
    ids.sort();
    assert_eq!(listed(&world).await, ids);
    world.stop().await;
}

#[tokio::test]
async fn who_is_no_longer_named_administers_no_longer() {
    let mut world = administered().await;
    let id = world.create("ann", ConversationKind::Group, "Team", &["bob"]).await;
    let request = v1::RemoveConversationMembersRequest {
        conversation_id: id.clone(),
        client_id: world.id(),
        users: vec!["ann".into()],
    };
    let receipt = admin(&world).remove_conversation_members(by("root", request.clone())).await.unwrap();
    assert_eq!(receipt.into_inner().receipt.unwrap().seq, 2);
    world.stop().await;
    world.config.administrators.clear();
    world.start().await;
    // The first result of an id is for who may still ask.
    let status = admin(&world).remove_conversation_members(by("root", request)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(world.see("bob", &id).await.role(), Role::Member);
    world.stop().await;
}

#[tokio::test]
async fn administrators_read_nothing_unless_the_deployment_allows_it() {
    let mut world = administered().await;
    let id = world.create("ann", ConversationKind::Group, "Team", &[]).await;
    let request = v1::ListConversationEventsRequest {
        conversation_id: id,
        after_seq: 0,
        limit: 0,
        reason: "curiosity".into(),
    };
    let status = admin(&world).list_conversation_events(by("root", request.clone())).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("core.administrators_read"), "{status:?}");
    world.stop().await;
    world.config.administrators_read = true;
    world.start().await;
    let answer = admin(&world).list_conversation_events(by("root", request)).await.unwrap().into_inner();
    assert_eq!((answer.events.len(), answer.reflects), (1, 1));
    world.stop().await;
}
