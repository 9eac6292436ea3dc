//! How people show themselves.

use super::world::{World, by};
use nexus_proto::v1::{self, account_service_client::AccountServiceClient};

async fn show(world: &World, name: &str) -> v1::Profile {
    let request = v1::UpdateProfileRequest { display_name: Some(name.into()), ..Default::default() };
    let answer = AccountServiceClient::new(world.channel.clone()).update_profile(by("ann", request)).await;
    answer.unwrap().into_inner().profile.unwrap()
}

async fn seen(world: &World) -> Vec<v1::Profile> {
    let request = v1::GetProfilesRequest { users: vec!["ann".into(), "bob".into()] };
    let answer = AccountServiceClient::new(world.channel.clone()).get_profiles(by("bob", request)).await;
    answer.unwrap().into_inner().profiles
}

#[tokio::test]
async fn the_last_name_counts_also_after_the_clock_was_set_back() {
    let mut world = World::new().await;
    let first = show(&world, "Ann").await;
    world.pass(-3600);
    let second = show(&world, "Ann Smith").await;
    assert!(second.updated_at_ms > first.updated_at_ms);
    world.stop().await;
    world.start().await;
    assert_eq!(seen(&world).await, [second], "it outlives the node");
    world.stop().await;
}
