//! What a device sees, one thing after another.

use super::world::{Came, Device, Weather, World, place};
use nexus_core::{delivery::Settings, domain::hash};
use nexus_proto::v1::attach_response::Frame;
use std::{sync::atomic::Ordering::SeqCst, time::Duration};
use tonic::Code;

const FAST: Duration = Duration::ZERO;

fn world() -> World {
    World::new(1, FAST, Settings::default())
}

async fn comes(device: &mut Device, expected: &[&str]) {
    let came = device.short().await.into_iter().filter(|came| !came.ends_with(" online"));
    assert_eq!(came.collect::<Vec<_>>(), expected, "{}", device.caller.user);
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_comes_first_and_then_what_happens() {
    let world = world();
    world.create(1, &["ann", "bob"]).await;
    world.say(1, "ann", "one").await;
    let mut bob = world.attach("bob", &[(1, 1)]);
    comes(&mut bob, &["attached", "1 2-2", "caught up 1"]).await;
    world.say(1, "ann", "two").await;
    world.say(1, "bob", "three").await;
    comes(&mut bob, &["1 3-3", "1 4-4"]).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_cursor_live_events_follow_a_reset() {
    let world = world();
    world.create(1, &["ann", "bob"]).await;
    let mut bob = world.attach("bob", &[]);
    comes(&mut bob, &["attached", "1 no_cursor 1-1", "caught up 1"]).await;
    world.say(1, "ann", "hello").await;
    comes(&mut bob, &["1 2-2"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_store_did_without_saying_so_comes_at_once() {
    let world = world();
    world.create(1, &["ann", "bob"]).await;
    let mut bob = world.attach("bob", &[(1, 1)]);
    comes(&mut bob, &["attached", "caught up 1"]).await;
    world.store.lose_answer.store(true, SeqCst);
    assert_eq!(world.say(1, "ann", "hello").await, 2);
    comes(&mut bob, &["1 2-2"]).await;
    let mut eve = world.attach("eve", &[]);
    comes(&mut eve, &["attached", "caught up 0"]).await;
    world.store.lose_answer.store(true, SeqCst);
    world.add(1, "ann", "eve").await.unwrap();
    comes(&mut eve, &["1 no_cursor 3-2", "1 3-3"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_user_without_conversations_is_caught_up_at_once() {
    let world = world();
    let mut ann = world.attach("ann", &[]);
    comes(&mut ann, &["attached", "caught up 0"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_cursor_above_the_log_or_of_a_foreign_conversation_is_answered() {
    let world = world();
    world.create(1, &["ann", "bob"]).await;
    world.create(2, &["ann"]).await;
    let mut bob = world.attach("bob", &[(1, 7), (2, 1), (3, 5)]);
    let mut came = bob.short().await;
    came.sort();
    // A foreign conversation and one that doesn't exist look the same.
    let expected = ["1 ahead 1-1", "2 not_a_member 2-1", "3 not_a_member 6-5", "attached", "caught up 3"];
    assert_eq!(came, expected);
}

#[tokio::test(start_paused = true)]
async fn a_long_gap_is_left_to_the_history() {
    let world = World::new(1, FAST, Settings { push_events: 5, ..Settings::default() });
    world.create(1, &["ann", "bob"]).await;
    for n in 0..6 {
        world.say(1, "ann", &n.to_string()).await;
    }
    let mut bob = world.attach("bob", &[(1, 1)]);
    comes(&mut bob, &["attached", "1 too_long 2-7", "caught up 1"]).await;
    let mut late = world.attach("bob", &[(1, 2)]);
    comes(&mut late, &["attached", "1 3-7", "caught up 1"]).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_is_added_while_attached_gets_the_conversation() {
    let world = world();
    let mut bob = world.attach("bob", &[]);
    world.create(1, &["ann"]).await;
    world.say(1, "ann", "not for bob").await;
    comes(&mut bob, &["attached", "caught up 0"]).await;
    world.add(1, "ann", "bob").await;
    world.say(1, "ann", "welcome").await;
    let came = bob.short().await.join(", ");
    assert!(came == "1 no_cursor 3-2, 1 3-4" || came == "1 no_cursor 3-2, 1 3-3, 1 4-4", "{came}");
}

#[tokio::test(start_paused = true)]
async fn the_leave_is_the_last_event_until_the_return() {
    let world = world();
    world.create(1, &["ann", "bob"]).await;
    let mut bob = world.attach("bob", &[(1, 1)]);
    let mut ann = world.attach("ann", &[(1, 1)]);
    comes(&mut bob, &["attached", "caught up 1"]).await;
    world.remove(1, "ann", "bob").await;
    world.say(1, "ann", "among us").await;
    comes(&mut bob, &["1 2-2"]).await;
    world.add(1, "ann", "bob").await;
    world.say(1, "ann", "again").await;
    assert_eq!(bob.short().await[..2], ["1 not_a_member 3-3", "1 4-4"]);
    comes(&mut ann, &["attached", "caught up 1", "1 2-2", "1 3-3", "1 4-4", "1 5-5"]).await;
    // The same from a cursor.
    let mut again = world.attach("bob", &[(1, 1)]);
    comes(&mut again, &["attached", "1 2-2", "1 not_a_member 3-3", "1 4-5", "caught up 1"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_cursor_of_somebody_who_left_gets_what_was_theirs() {
    let world = world();
    world.create(1, &["ann", "bob"]).await;
    world.say(1, "ann", "for bob").await;
    world.remove(1, "ann", "bob").await;
    world.say(1, "ann", "not for bob").await;
    let mut bob = world.attach("bob", &[(1, 1)]);
    comes(&mut bob, &["attached", "1 2-3", "caught up 1"]).await;
    let mut up_to_date = world.attach("bob", &[(1, 3)]);
    comes(&mut up_to_date, &["attached", "1 not_a_member 4-3", "caught up 1"]).await;
    let mut none = world.attach("bob", &[]);
    comes(&mut none, &["attached", "caught up 0"]).await;
}

#[tokio::test(start_paused = true)]
async fn lost_hints_are_made_up_for_by_the_check_of_lanes() {
    let world = world();
    world.create(1, &["ann", "bob"]).await;
    let mut bob = world.attach("bob", &[(1, 1)]);
    comes(&mut bob, &["attached", "caught up 1"]).await;
    world.weather(Weather { lost: 100, ..Weather::default() });
    world.say(1, "ann", "nobody hears me").await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    let came = bob.short().await;
    assert!(came.contains(&"1 2-2".to_owned()), "{came:?}");
    // So is being added.
    world.create(2, &["ann", "bob"]).await;
    tokio::time::sleep(Duration::from_secs(61)).await;
    let came = bob.short().await;
    assert!(came.contains(&"2 no_cursor 1-0".to_owned()) && came.contains(&"2 1-1".to_owned()), "{came:?}");
}

#[tokio::test(start_paused = true)]
async fn a_gap_in_the_hints_is_filled_from_the_log_before_anything_goes_out() {
    let world = world();
    world.create(1, &["ann", "bob"]).await;
    let mut bob = world.attach("bob", &[(1, 1)]);
    comes(&mut bob, &["attached", "caught up 1"]).await;
    world.weather(Weather { lost: 100, ..Weather::default() });
    world.say(1, "ann", "lost").await;
    world.weather(Weather::default());
    world.say(1, "ann", "heard").await;
    comes(&mut bob, &["1 2-3"]).await;
    assert_eq!(world.counted("nexus_delivery_hub_reads_total"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_busy_conversation_gathers_its_events_into_frames() {
    let world = world();
    world.create(1, &["ann", "bob"]).await;
    let mut bob = world.attach("bob", &[(1, 1)]);
    for n in 0..100 {
        world.say(1, "ann", &n.to_string()).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let frames = bob.short().await.len() - 2;
    // 20 at once, and then a frame per tick of 100 ms.
    assert!((25..35).contains(&frames), "{frames}");
    world.complete(&bob, 1, false).await.unwrap();
    assert_eq!(world.counted("nexus_delivery_encoded_events_total"), 100);
}

#[tokio::test(start_paused = true)]
async fn a_slow_stream_goes_back_to_the_log_and_costs_the_others_nothing() {
    let settings = Settings { queue_bytes: 4 << 10, push_events: 10_000, ..Settings::default() };
    let world = World::new(1, FAST, settings);
    world.create(1, &["ann", "bob"]).await;
    let mut slow = world.attach("bob", &[(1, 1)]);
    let mut quick = world.attach("ann", &[(1, 1)]);
    for n in 0..300 {
        world.say(1, "ann", &format!("message {n}")).await;
        quick.until_quiet(Duration::from_millis(1)).await;
    }
    quick.until_quiet(Duration::from_secs(1)).await;
    world.complete(&quick, 1, false).await.unwrap();
    assert!(world.counted("nexus_delivery_overflows_total") > 0);
    slow.until_quiet(Duration::from_secs(1)).await;
    world.complete(&slow, 1, false).await.unwrap();
    assert!(slow.resets.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_does_not_fit_beside_others_is_not_read_again_and_again() {
    let settings = Settings { queue_bytes: 4 << 10, ..Settings::default() };
    let world = World::new(1, Duration::from_millis(1), settings);
    world.create(1, &["ann", "bob"]).await;
    let mut bob = world.attach("bob", &[(1, 1)]);
    bob.until_quiet(Duration::from_secs(1)).await;
    for text in ["small".to_owned(), "large".repeat(1000)] {
        world.say(1, "ann", &text).await;
    }
    // Long enough to read thousands of times, short enough not to be cut off.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let reads = world.store.reads.load(SeqCst);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(world.store.reads.load(SeqCst) < reads + 100, "it reads on without room");
    bob.until_quiet(Duration::from_secs(1)).await;
    world.complete(&bob, 1, false).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_takes_nothing_is_ended() {
    let world = world();
    world.create(1, &["ann", "bob"]).await;
    let mut bob = world.attach("bob", &[(1, 1)]);
    tokio::time::sleep(Duration::from_secs(62)).await;
    let Came::End(status) = bob.next().await else { panic!("still there") };
    assert_eq!(status.code(), Code::Unavailable);
    assert!(world.try_attach("bob", "phone", &[]).is_ok());
}

#[tokio::test(start_paused = true)]
async fn heartbeats_come_when_nothing_else_does() {
    let world = world();
    let mut ann = world.attach("ann", &[]);
    comes(&mut ann, &["attached", "caught up 0"]).await;
    for _ in 0..5 {
        let came = ann.within(Duration::from_secs(20)).await;
        assert!(matches!(came, Some(Came::Frame(Frame::Heartbeat(_)))), "{came:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_has_a_bounded_number_of_streams() {
    let world = world();
    let attach = |device: &str| world.try_attach("ann", device, &[]);
    let mut open: Vec<Device> = (0..8).map(|_| attach("phone").unwrap()).collect();
    let status = attach("phone").err().unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("8 streams"), "{}", status.message());
    open.extend((0..24).map(|n| attach(&format!("d{n}")).unwrap()));
    assert_eq!(attach("tablet").err().unwrap().code(), Code::ResourceExhausted);
    // Closing one makes room.
    open.pop();
    assert!(attach("tablet").is_ok());
}

#[tokio::test(start_paused = true)]
async fn cursors_are_checked() {
    let world = World::new(1, FAST, Settings { cursors: 2, ..Settings::default() });
    for cursors in [&[(1, 0), (1, 0)][..], &[(1, 0), (2, 0), (3, 0)], &[(1, u64::MAX)]] {
        assert_eq!(world.try_attach("ann", "phone", cursors).err().unwrap().code(), Code::InvalidArgument);
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_cannot_be_read_does_not_hide_the_others_of_its_lane() {
    let world = world();
    let other = (2..).find(|n| hash::lane_of(&place(*n)) == hash::lane_of(&place(1))).unwrap();
    for conversation in [1, other] {
        world.create(conversation, &["ann", "bob"]).await;
    }
    let mut bob = world.attach("bob", &[(1, 1), (other, 1)]);
    bob.until_quiet(Duration::from_secs(1)).await;
    *world.store.unreadable.lock().unwrap() = Some(place(1).min(place(other)));
    world.weather(Weather { lost: 100, ..Weather::default() });
    let readable = if place(1) < place(other) { other } else { 1 };
    world.say(readable, "ann", "only the check of lanes finds this").await;
    bob.until_quiet(Duration::from_secs(35)).await;
    world.complete(&bob, readable, false).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn going_away_says_so() {
    let world = world();
    world.create(1, &["ann", "bob"]).await;
    let mut bob = world.attach("bob", &[(1, 1)]);
    comes(&mut bob, &["attached", "caught up 1"]).await;
    let (delivery, begun) = (world.delivery.clone(), tokio::time::Instant::now());
    let shutdown = tokio::spawn(async move { delivery.shutdown(Duration::from_secs(10), false).await });
    comes(&mut bob, &["reconnect", "end"]).await;
    drop(bob);
    shutdown.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(world.try_attach("bob", "phone", &[]).err().unwrap().code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn when_the_node_goes_away_a_stream_is_served_until_its_turn() {
    let settings = Settings { reconnects_per_second: 1, reconnect_ms: 60_000, ..Settings::default() };
    let world = World::new(1, FAST, settings);
    world.create(1, &["ann", "zoe"]).await;
    let mut ann = world.attach("ann", &[(1, 1)]);
    let between: Vec<Device> = (0..8).map(|n| world.attach(&format!("bob{n}"), &[])).collect();
    let mut zoe = world.attach("zoe", &[(1, 1)]);
    comes(&mut zoe, &["attached", "caught up 1"]).await;
    comes(&mut ann, &["attached", "caught up 1"]).await;
    let delivery = world.delivery.clone();
    let shutdown = tokio::spawn(async move { delivery.shutdown(Duration::from_secs(60), true).await });
    comes(&mut ann, &["reconnect", "end"]).await;
    world.say(1, "ann", "while the others still wait for their turn").await;
    assert!(matches!(zoe.within(Duration::from_secs(1)).await, Some(Came::Frame(Frame::Events(_)))));
    drop((ann, between));
    tokio::time::sleep(Duration::from_secs(30)).await;
    comes(&mut zoe, &["1 2-2", "reconnect", "end"]).await;
    drop(zoe);
    shutdown.await.unwrap();
}
