//! Slow mode: a member's messages keep a distance.

use super::world::{World, by};
use nexus_proto::v1::{self, ConversationKind, Role};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

async fn slow(world: &World, who: &str, id: &str, seconds: u32) -> Result<(), Status> {
    let change = v1::UpdateConversationRequest {
        conversation_id: id.into(),
        slow_mode_seconds: Some(seconds),
        ..Default::default()
    };
    world.update(who, change).await
}

#[tokio::test]
async fn a_member_waits_and_hears_for_how_long() {
    let mut world = World::new().await;
    let id = world.create("ann", ConversationKind::Group, "Team", &["bob", "cyd"]).await;
    world.say("bob", &id, &world.id()).await.unwrap();
    slow(&world, "ann", &id, 30).await.unwrap();
    assert_eq!(world.see("bob", &id).await.slow_mode_seconds, 30);
    // What was said before doesn't count.
    let first = world.id();
    let receipt = world.say("bob", &id, &first).await.unwrap();
    world.pass(10);
    let early = world.id();
    let refused = world.say("bob", &id, &early).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let pause = refused.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(pause, Some(Duration::from_secs(20)), "{}", refused.message());
    assert_eq!(world.say("bob", &id, &first).await.unwrap(), receipt, "a retry is no second message");
    // Others have their own time; what is no message needs none.
    world.say("cyd", &id, &world.id()).await.unwrap();
    let react = v1::AddReactionRequest {
        conversation_id: id.clone(),
        client_id: world.id(),
        seq: receipt.seq,
        reaction: "+1".into(),
    };
    world.messages().add_reaction(by("bob", react)).await.unwrap();

    world.stop().await;
    world.start().await;
    world.pass(19);
    assert_eq!(world.say("bob", &id, &early).await.unwrap_err().code(), Code::FailedPrecondition);
    world.pass(1);
    world.say("bob", &id, &early).await.unwrap();
    slow(&world, "ann", &id, 0).await.unwrap();
    for _ in 0..3 {
        world.say("bob", &id, &world.id()).await.unwrap();
    }
    world.stop().await;
}

#[tokio::test]
async fn two_at_once_are_one() {
    let mut world = World::new().await;
    let id = world.create("ann", ConversationKind::Group, "Team", &["bob"]).await;
    slow(&world, "ann", &id, 30).await.unwrap();
    let ids: Vec<String> = (0..8).map(|_| world.id()).collect();
    let sends = ids.iter().map(|client_id| world.say("bob", &id, client_id));
    let sent = futures_util::future::join_all(sends).await;
    assert_eq!(sent.iter().filter(|sent| sent.is_ok()).count(), 1);
    world.stop().await;
}

#[tokio::test]
async fn admins_are_exempt_and_only_they_set_it() {
    let mut world = World::new().await;
    let id = world.create("ann", ConversationKind::Group, "Team", &["bob"]).await;
    slow(&world, "ann", &id, 21_600).await.unwrap();
    for _ in 0..3 {
        world.say("ann", &id, &world.id()).await.unwrap();
    }
    assert_eq!(slow(&world, "bob", &id, 0).await.unwrap_err().code(), Code::PermissionDenied);
    let too_long = slow(&world, "ann", &id, 21_601).await.unwrap_err();
    assert_eq!(too_long.code(), Code::InvalidArgument);
    let details = too_long.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, "slow_mode_seconds");
    // Who said something as an admin waits once they are none.
    let demote = v1::SetRoleRequest {
        conversation_id: id.clone(),
        client_id: world.id(),
        user: "bob".into(),
        role: Role::Admin.into(),
    };
    world.conversations().set_role(by("ann", demote.clone())).await.unwrap();
    world.say("bob", &id, &world.id()).await.unwrap();
    let demote = v1::SetRoleRequest { client_id: world.id(), role: Role::Member.into(), ..demote };
    world.conversations().set_role(by("ann", demote)).await.unwrap();
    assert_eq!(world.say("bob", &id, &world.id()).await.unwrap_err().code(), Code::FailedPrecondition);
    let nothing = v1::UpdateConversationRequest { conversation_id: id.clone(), ..Default::default() };
    assert_eq!(world.update("ann", nothing).await.unwrap_err().code(), Code::InvalidArgument);
    world.stop().await;
}
