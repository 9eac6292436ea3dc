//! GetPresence: who is told how somebody is, and what it costs.

use crate::delivery::world::{World, id_of, name};
use nexus_core::{
    api::{check::Limits, presence::PresenceApi},
    delivery::Settings,
};
use nexus_proto::v1::{
    self, ConversationKind, MemberRole, Role, event::Body, presence_service_server::PresenceService as _,
};
use std::time::Duration;
use tonic::{Code, Request, Status};

fn api(world: &World) -> PresenceApi {
    let (delivery, conversations) = (world.delivery.clone(), world.conversations.clone());
    PresenceApi { delivery, conversations, limits: Limits::default() }
}

async fn channel(world: &World, conversation: u128, members: &[String]) {
    let role = Role::Member as i32;
    let body = v1::ConversationCreated {
        kind: ConversationKind::Channel as i32,
        title: "News".into(),
        members: members.iter().map(|user| MemberRole { user: user.clone(), role }).collect(),
        post_role: role,
        ..Default::default()
    };
    world.act(conversation, &members[0], Body::ConversationCreated(body)).await.unwrap();
}

/// Who of some users the caller is told of.
async fn told(api: &PresenceApi, caller: &str, users: &[String]) -> Result<Vec<String>, Status> {
    let mut request = Request::new(v1::GetPresenceRequest { users: users.to_vec() });
    for (header, value) in [("nexus-tenant", "default"), ("nexus-user", caller), ("nexus-device", "phone")] {
        request.metadata_mut().insert(header, value.parse().unwrap());
    }
    let answer = api.get_presence(request).await?.into_inner();
    let mut users: Vec<String> = answer.presences.into_iter().map(|presence| presence.user).collect();
    users.sort();
    Ok(users)
}

#[tokio::test(start_paused = true)]
async fn channels_do_not_hide_a_group() {
    let world = World::new(1, Duration::ZERO, Settings { presence_members: 3, ..Settings::default() });
    let users = ["ann", "bob", "cid", "dee"].map(str::to_owned);
    for n in 1..=20 {
        channel(&world, n, &users).await;
    }
    // Too large to share presence in.
    for n in 21..=40 {
        world.create(n, &["ann", "bob", "cid", "dee"]).await;
    }
    world.create(41, &["bob", "ann"]).await;
    world.create(42, &["ann", "cid"]).await;
    world.remove(42, "ann", "cid").await.unwrap();
    let api = api(&world);
    let ask = async |who: &str| told(&api, who, &users).await.unwrap();
    assert_eq!(ask("ann").await, ["ann", "bob"]);
    assert_eq!(ask("bob").await, ["ann", "bob"]);
    assert_eq!(ask("cid").await, ["cid"]);
    // What is asked agrees with what is told to an attached device.
    let mut ann = world.attach("ann", &[]);
    ann.short().await;
    let _bob = world.attach("bob", &[(41, 1)]);
    assert!(ann.short().await.contains(&"bob online".to_owned()), "{}", id_of(41));
}

#[tokio::test(start_paused = true)]
async fn a_request_looks_at_the_callers_conversations_once() {
    let world = World::new(1, Duration::ZERO, Settings::default());
    let users: Vec<String> = (0..100).map(|n| format!("u{n:02}")).collect();
    for n in 1..=30 {
        channel(&world, n, &users).await;
    }
    let group: Vec<&str> = users[..50].iter().map(String::as_str).collect();
    world.create(31, &group).await;
    let api = api(&world);
    let before = world.counted("nexus_cache_reads_total");
    assert_eq!(told(&api, "u00", &users).await.unwrap(), users[..50]);
    let reads = world.counted("nexus_cache_reads_total") - before;
    // For each user the direct conversation and the group, with the end of its log; 31 conversations of the caller's.
    assert!(reads < 3 * 100 + 2 * 31, "{reads} reads");

    let many: Vec<String> = (0..201).map(|n| format!("u{n}")).collect();
    let refused = told(&api, "u00", &many).await.unwrap_err();
    assert_eq!((refused.code(), refused.message().contains("at most 200")), (Code::InvalidArgument, true));
    let stranger = name("u00");
    assert_eq!(told(&api, "eve", &[stranger.to_string()]).await.unwrap(), Vec::<String>::new());
}
