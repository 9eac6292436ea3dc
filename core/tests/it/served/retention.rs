//! How long events are kept, as administrators say it.

use super::world::{World, by};
use nexus_core::{bus::local::LocalBus, conversation::Conversations, store::embedded::EmbeddedStore};
use nexus_proto::v1::{
    self, ConversationKind, admin_service_client::AdminServiceClient,
    history_service_client::HistoryServiceClient,
};
use prometheus::Registry;
use std::{sync::Arc, time::Duration};
use tonic::{Code, Status};

const DAY_S: i64 = 24 * 3600;

async fn set(world: &World, who: &str, of: &str, days: Option<u32>) -> Result<u32, Status> {
    let retention = days.map(|days| v1::Retention { days });
    let request = v1::SetRetentionRequest { conversation_id: of.into(), retention };
    let answer = AdminServiceClient::new(world.channel.clone()).set_retention(by(who, request)).await?;
    Ok(answer.into_inner().retention.unwrap().days)
}

async fn get(world: &World, of: &str) -> (u32, bool) {
    let request = v1::GetRetentionRequest { conversation_id: of.into() };
    let answer = AdminServiceClient::new(world.channel.clone()).get_retention(by("root", request)).await;
    let answer = answer.unwrap().into_inner();
    (answer.retention.unwrap().days, answer.own)
}

async fn first_seq(world: &World, conversation_id: &str) -> u64 {
    let request = v1::ListEventsRequest {
        conversation_id: conversation_id.into(),
        anchor: Some(v1::list_events_request::Anchor::AfterSeq(0)),
        ..Default::default()
    };
    let answer = HistoryServiceClient::new(world.channel.clone()).list_events(by("ann", request)).await;
    answer.unwrap().into_inner().covered.unwrap().first
}

/// What the node does every six hours.
async fn trim(world: &World) {
    let store = Arc::new(EmbeddedStore::open(&world.store(), Default::default(), &Registry::new()).unwrap());
    let (clock, mut settings) = world.settings();
    settings.retention.grace = Duration::ZERO;
    let bus = Arc::new(LocalBus::default());
    let all = Conversations::new(store, bus, clock, settings, &Registry::new()).unwrap();
    all.trim_old().await.unwrap();
}

#[tokio::test]
async fn one_conversation_keeps_less_than_the_others() {
    let mut world = World::with(|config| {
        config.administrators = vec!["default/root".into()];
        config.retention.days = 400;
    })
    .await;
    let brief = world.create("ann", ConversationKind::Group, "Brief", &[]).await;
    let long = world.create("ann", ConversationKind::Group, "Long", &[]).await;
    for id in [&brief, &long] {
        world.say("ann", id, &world.id()).await.unwrap();
        assert_eq!((get(&world, id).await, first_seq(&world, id).await), ((400, false), 1));
    }
    assert_eq!(set(&world, "root", &brief, Some(30)).await.unwrap(), 30);
    assert_eq!((get(&world, &brief).await, get(&world, &long).await), ((30, true), (400, false)));
    world.pass(60 * DAY_S);
    world.stop().await;
    trim(&world).await;
    world.start().await;
    assert_eq!(get(&world, &brief).await, (30, true), "it outlives the node");
    assert_eq!(first_seq(&world, &long).await, 1);
    assert!(first_seq(&world, &brief).await > 2, "what is older is gone");
    assert_eq!(world.say("ann", &brief, &world.id()).await.unwrap().seq, 4);
    world.stop().await;
}

#[tokio::test]
async fn a_conversations_own_goes_before_its_tenants_and_that_before_the_deployments() {
    let mut world = World::with(|config| config.administrators = vec!["*/root".into()]).await;
    let id = world.create("ann", ConversationKind::Group, "Team", &[]).await;
    assert_eq!((get(&world, "").await, get(&world, &id).await), ((0, false), (0, false)));
    assert_eq!(set(&world, "root", "", Some(365)).await.unwrap(), 365);
    assert_eq!((get(&world, "").await, get(&world, &id).await), ((365, true), (365, false)));
    assert_eq!(set(&world, "root", &id, Some(0)).await.unwrap(), 0, "this one is kept for ever");
    assert_eq!((get(&world, "").await, get(&world, &id).await), ((365, true), (0, true)));
    // The clock was set back: who comes last wins all the same.
    world.pass(-3600);
    assert_eq!(set(&world, "root", &id, None).await.unwrap(), 365, "its own is taken away");
    assert_eq!(get(&world, &id).await, (365, false));
    assert_eq!(set(&world, "root", "", None).await.unwrap(), 0);
    assert_eq!((get(&world, "").await, get(&world, &id).await), ((0, false), (0, false)));
    world.stop().await;
}

#[tokio::test]
async fn only_administrators_say_how_long() {
    let mut world = World::with(|config| config.administrators = vec!["other/ann".into()]).await;
    let id = world.create("ann", ConversationKind::Group, "Team", &[]).await;
    // The owner of a conversation is none, nor is an administrator of another tenant.
    let status = set(&world, "ann", &id, Some(1)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("core.administrators"), "{status:?}");
    world.stop().await;
}
