//! Presence, typing and markers: who hears of whom, and when it is over.

use super::world::{Device, Weather, World, name, place};
use bytes::Bytes;
use nexus_core::{bus::Hint, delivery::Settings, domain::Caller};
use nexus_proto::v1::{self, PresenceStatus};
use prost::Message as _;
use std::time::Duration;
use tokio::time::sleep;

async fn two() -> (World, Device, Device) {
    let world = World::new(1, Duration::ZERO, Settings::default());
    world.create(1, &["ann", "bob"]).await;
    world.create(2, &["ann", "bob"]).await;
    let mut ann = world.attach("ann", &[(1, 1), (2, 1)]);
    assert_eq!(ann.short().await, ["attached", "caught up 2"]);
    let mut bob = world.attach("bob", &[(1, 1), (2, 1)]);
    assert_eq!(bob.short().await, ["attached", "caught up 2"]);
    // Told once, though they share two conversations.
    assert_eq!(ann.short().await, ["bob online"]);
    (world, ann, bob)
}

#[tokio::test(start_paused = true)]
async fn presence_is_told_to_those_who_share_a_conversation() {
    let (world, mut ann, bob) = two().await;
    let caller = Caller { tenant: name("default"), user: name("bob"), device: name("phone") };
    assert!(world.delivery.set_presence(&caller, PresenceStatus::Busy, "in a meeting"));
    assert_eq!(ann.short().await, ["bob busy"]);
    drop(bob);
    // A reconnect is no news; staying away is.
    sleep(Duration::from_secs(30)).await;
    let mut bob = world.attach("bob", &[(1, 1), (2, 1)]);
    bob.short().await;
    assert!(ann.short().await.is_empty());
    drop(bob);
    sleep(Duration::from_secs(62)).await;
    assert!(ann.short().await.contains(&"bob offline".to_owned()));
    assert_eq!(world.delivery.presence(&name("default"), &name("bob")).status(), PresenceStatus::Offline);
    assert!(!world.delivery.set_presence(&caller, PresenceStatus::Away, ""));
}

#[tokio::test(start_paused = true)]
async fn presence_is_not_shared_among_many() {
    let world = World::new(1, Duration::ZERO, Settings { presence_members: 2, ..Settings::default() });
    world.create(1, &["ann", "bob", "cid"]).await;
    let mut ann = world.attach("ann", &[(1, 1)]);
    let _bob = world.attach("bob", &[(1, 1)]);
    assert_eq!(ann.short().await, ["attached", "caught up 1"]);
    world.remove(1, "ann", "cid").await;
    assert_eq!(ann.short().await, ["1 2-2"]);
    let caller = Caller { tenant: name("default"), user: name("bob"), device: name("phone") };
    world.delivery.set_presence(&caller, PresenceStatus::Away, "");
    assert_eq!(ann.short().await, ["bob away"]);
}

#[tokio::test(start_paused = true)]
async fn typing_is_told_to_the_others_and_expires() {
    let (world, mut ann, mut bob) = two().await;
    world.delivery.set_typing(place(1), &name("bob"), 0, true).await;
    assert_eq!(ann.short().await, ["1 bob typing true"]);
    sleep(Duration::from_secs(7)).await;
    assert_eq!(ann.short().await, ["1 bob typing false"]);
    world.delivery.set_typing(place(1), &name("bob"), 0, true).await;
    world.delivery.set_typing(place(1), &name("bob"), 0, false).await;
    assert_eq!(ann.short().await, ["1 bob typing true", "1 bob typing false"]);
    assert!(bob.short().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_marker_is_told_to_ones_own_devices_as_well() {
    let (world, mut ann, mut bob) = two().await;
    let marker = v1::MarkerMoved { conversation_id: super::world::id_of(1), marker: None };
    let body = v1::Ephemeral { body: Some(v1::ephemeral::Body::Marker(marker)) }.encode_to_vec();
    let hint = Hint::Ephemeral { place: place(1), from: name("bob"), body: Bytes::from(body) };
    world.conversations.tell(hint).await;
    assert_eq!((ann.short().await, bob.short().await), (vec!["1 marker".into()], vec!["1 marker".into()]));
}

#[tokio::test(start_paused = true)]
async fn a_slow_stream_hears_less_and_loses_nothing_else() {
    let (world, mut ann, _bob) = two().await;
    for n in 0..2000 {
        world.delivery.set_typing(place(1), &name("bob"), 0, n % 2 == 0).await;
    }
    sleep(Duration::from_millis(100)).await;
    world.say(1, "bob", "done").await;
    let came = ann.short().await;
    assert!(came.len() < 1000 && came.last() == Some(&"1 2-2".to_owned()), "{} frames", came.len());
    assert!(world.counted("nexus_delivery_ephemeral_dropped_total") > 0);
}

#[tokio::test(start_paused = true)]
async fn presence_goes_from_node_to_node() {
    let (world, mut ann, bob) = two().await;
    let other = world.another(2);
    let (tenant, status) = (name("default"), |world: &World, user| {
        world.delivery.presence(&name("default"), &name(user)).status()
    });
    // A node that starts hears who is there.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(status(&other, "ann"), PresenceStatus::Online);
    let mut cid = other.attach("bob", &[(1, 1), (2, 1)]);
    assert_eq!(cid.short().await, ["attached", "caught up 2"]);
    ann.short().await;

    // Bob is on both; when he goes from one he is not gone.
    drop(bob);
    sleep(Duration::from_secs(65)).await;
    assert!(!ann.short().await.contains(&"bob offline".to_owned()));
    assert_eq!(status(&world, "bob"), PresenceStatus::Online);
    let caller = Caller { tenant, user: name("bob"), device: name("phone") };
    assert!(other.delivery.set_presence(&caller, PresenceStatus::Busy, ""));
    assert_eq!(ann.short().await, ["bob busy"]);
    assert_eq!(status(&world, "bob"), PresenceStatus::Busy);

    // The other node dies without a word: its users are gone when its word no longer counts.
    other.stop.cancel();
    sleep(Duration::from_secs(60)).await;
    assert!(!ann.short().await.contains(&"bob offline".to_owned()));
    sleep(Duration::from_secs(30)).await;
    assert!(ann.short().await.contains(&"bob offline".to_owned()));
    assert_eq!(status(&world, "bob"), PresenceStatus::Offline);
    drop(cid);
}

#[tokio::test(start_paused = true)]
async fn presence_that_got_lost_comes_with_the_roll() {
    let (world, mut ann, _bob) = two().await;
    let other = world.another(2);
    sleep(Duration::from_secs(45)).await;
    ann.short().await;
    world.create(3, &["ann", "cid"]).await;
    ann.short().await;
    world.weather(Weather { lost: 100, ..Weather::default() });
    let mut cid = other.attach("cid", &[(3, 1)]);
    assert_eq!(cid.short().await, ["attached", "caught up 1"]);
    assert!(ann.short().await.iter().all(|frame| !frame.starts_with("cid")));
    world.weather(Weather::default());
    sleep(Duration::from_secs(25)).await;
    assert!(ann.short().await.contains(&"cid online".to_owned()));
}
