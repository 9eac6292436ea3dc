//! What administrators may do, and nobody else.

use crate::{person::Person, refusal::expect, world::World};
use nexus_client::v1;
use std::sync::Arc;
use tonic::Code;

async fn retention(who: &Person, conversation: &str) -> (u32, bool) {
    let answer = who.call(v1::GetRetentionRequest { conversation_id: conversation.into() }).await;
    (answer.retention.unwrap().days, answer.own)
}

fn keep(conversation: &str, days: Option<u32>) -> v1::SetRetentionRequest {
    let retention = days.map(|days| v1::Retention { days });
    v1::SetRetentionRequest { conversation_id: conversation.into(), retention }
}

pub async fn retention_is_said_of_one_conversation(world: Arc<World>) {
    let (root, ann) = (Person::administrator(&world).await, Person::new(&world, "ann").await);
    let (one, other) = (ann.group(&[]).await, ann.group(&[]).await);
    let (inherited, own) = retention(&root, &one).await;
    assert!(!own);
    let set = root.call(keep(&one, Some(30))).await;
    assert_eq!(set.retention.unwrap().days, 30);
    assert_eq!(retention(&root, &one).await, (30, true));
    assert_eq!(retention(&root, &other).await, (inherited, false));
    let set = root.call(keep(&one, None)).await;
    assert_eq!(set.retention.unwrap().days, inherited);
    assert_eq!(retention(&root, &one).await, (inherited, false));
}

pub async fn retention_has_bounds(world: Arc<World>) {
    let (root, ann) = (Person::administrator(&world).await, Person::new(&world, "ann").await);
    let group = ann.group(&[]).await;
    for bad in [36_501, u32::MAX] {
        let status = root.refused(keep(&group, Some(bad))).await;
        expect(&status, Code::InvalidArgument);
        assert!(status.message().contains("36500"), "{status:?}");
    }
    assert!(!retention(&root, &group).await.1, "nothing was done");
    assert_eq!(root.call(keep(&group, Some(36_500))).await.retention.unwrap().days, 36_500);
}

pub async fn nobody_else_administers(world: Arc<World>) {
    let (root, ann) = (Person::administrator(&world).await, Person::new(&world, "ann").await);
    let group = ann.group(&[]).await;
    expect(&ann.refused(keep(&group, Some(1))).await, Code::PermissionDenied);
    let see = v1::GetRetentionRequest { conversation_id: group.clone() };
    expect(&ann.refused(see.clone()).await, Code::PermissionDenied);
    // Another tenant's conversation is none, for its administrators too.
    let stranger = Person::named(&world, "eve", &world.name("elsewhere"), "phone").await;
    let foreign = stranger.group(&[]).await;
    expect(&root.refused(keep(&foreign, Some(1))).await, Code::NotFound);
    assert!(!retention(&root, &group).await.1);
}
