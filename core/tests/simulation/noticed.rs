//! Each invariant that a node can see broken is counted by the node itself, when what is stored is damaged.

use crate::{
    cases::{command, does, id, says},
    device::Device,
    fate::Fate,
    gate::Gate,
    store::Data,
    world::{World, name},
};
use nexus_core::{
    bus::Hint,
    conversation::{
        Settings,
        rows::{self, Key, Member, Text},
    },
    domain::{Event, Place, Seq},
    store::{Bucket, Cell, Partition},
};
use nexus_proto::v1::{self, event::Body};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time::sleep;

/// Tells a story in which a store is damaged; a node notices this, and none noticed anything before.
fn notices<F: Future<Output = ()>>(invariant: &str, story: impl FnOnce(Arc<World>, Place) -> F) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut settings = Settings::default();
        settings.log.recent = true;
        let world = World::with(Fate::calm(3), 2, settings);
        world.start(0);
        world.start(1);
        world.create().await;
        let place = world.places[0].clone();
        for number in 0..4 {
            says_at(&world, 0, number).await;
        }
        // Views are stored meanwhile.
        sleep(Duration::from_secs(10)).await;
        assert_eq!(world.noticed(), [""; 0]);
        story(world.clone(), place).await;
        let noticed = world.noticed();
        assert!(noticed.iter().any(|noticed| noticed.ends_with(invariant)), "{invariant}: {noticed:?}");
    });
}

async fn says_at(world: &World, node: usize, number: u8) {
    let wanted = command(&world.places[0], "bob", id(world, number), says(0));
    does(&world.start(node), wanted).await.unwrap();
}

async fn listens(world: &Arc<World>, user: &str) {
    let device = Device::brisk(world.clone(), user, "watch");
    tokio::spawn(device.stays(world.start(1)));
    sleep(Duration::from_secs(2)).await;
}

fn lose(data: &mut Data, place: &Place, seq: Seq) -> Event {
    let bucket = Bucket { place: place.clone(), first: 1 };
    data.buckets.get_mut(&bucket).unwrap().events.remove(&seq).unwrap()
}

fn write(data: &mut Data, key: &Key, place: &Place, at: Seq, value: &impl prost::Message) {
    data.write(&key.partition(place, 0), vec![rows::main(key, at, value)]);
}

#[test]
fn a_gap_in_a_page() {
    notices("LOG-1", |world, place| async move {
        world.model.damage(|data| drop(lose(data, &place, 3)));
        world.start(1).conversations.events(&place, 0, 10).await.unwrap();
    });
}

#[test]
fn an_end_that_is_not_there() {
    notices("LOG-1", |world, place| async move {
        world.model.damage(|data| drop(lose(data, &place, 5)));
        listens(&world, "cid").await;
        sleep(Duration::from_secs(20)).await;
    });
}

#[test]
fn an_id_that_names_another_event() {
    notices("LOG-2", |world, place| async move {
        let wanted = command(&place, "bob", id(&world, 9), says(0));
        does(&world.start(0), wanted.clone()).await.unwrap();
        world.model.damage(|data| {
            let stored = data.buckets.get_mut(&Bucket { place, first: 1 }).unwrap();
            stored.dedupe.get_mut(&(name("bob"), wanted.id.unwrap())).unwrap().seq = 2;
        });
        does(&world.start(1), wanted).await.unwrap();
    });
}

#[test]
fn an_acknowledged_event_that_is_gone() {
    notices("LOG-3", |world, place| async move {
        // As after a backup was put back under a running node.
        says_at(&world, 0, 8).await;
        world.model.damage(|data| {
            lose(data, &place, 6);
            let stored = data.buckets.get_mut(&Bucket { place: place.clone(), first: 1 }).unwrap();
            stored.statics.as_mut().unwrap().last_seq = 5;
        });
        let _ = does(&world.start(0), command(&place, "bob", id(&world, 9), says(0))).await;
    });
}

#[test]
fn an_event_that_was_told_of_and_is_not_there() {
    notices("LOG-3", |world, place| async move {
        listens(&world, "cid").await;
        let bus = world.makings.wires.connect(9, Gate::new(world.fate.clone(), 9));
        bus.publish(Hint::Ends { place, last_seq: 6 }).await;
        sleep(Duration::from_secs(20)).await;
    });
}

#[test]
fn an_event_that_comes_again_and_is_another() {
    notices("LOG-4", |world, place| async move {
        listens(&world, "cid").await;
        says_at(&world, 0, 9).await;
        let mut event = world.model.log(&place).pop().unwrap();
        event.sender = name("eve");
        let bus = world.makings.wires.connect(9, Gate::new(world.fate.clone(), 9));
        bus.publish(Hint::Appended { place, events: [event].into() }).await;
        sleep(Duration::from_secs(1)).await;
    });
}

#[test]
fn live_events_for_somebody_who_is_no_member() {
    notices("STREAM-3", |world, place| async move {
        listens(&world, "cid").await;
        says_at(&world, 0, 9).await;
        world.model.damage(|data| {
            let member = Member { role: 1, from: vec![1], to: vec![3], spoke_at: 0 };
            write(data, &Key::Member(name("cid")), &place, 6, &member);
            let row = bytes::Bytes::copy_from_slice(place.conversation.0.as_bytes());
            let left = Cell { row, column: "s".into(), at: 6, value: Some("0".into()) };
            data.write(&Partition::Memberships(place.tenant.clone(), name("cid")), vec![left]);
        });
        // Memberships are read again every minute.
        sleep(Duration::from_secs(70)).await;
    });
}

#[test]
fn an_event_that_doesnt_fit_the_views() {
    notices("VIEW-1", |world, place| async move {
        let left = Body::MemberRemoved(v1::MemberRemoved { user: "cid".into() });
        does(&world.start(0), command(&place, "ann", id(&world, 9), left)).await.unwrap();
        world.model.damage(|data| {
            let member = Member { role: 1, from: vec![1], to: vec![3], spoke_at: 0 };
            write(data, &Key::Member(name("cid")), &place, 3, &member);
        });
        let _ = world.start(1).conversations.look(&place, &name("bob"), 0).await;
    });
}

#[test]
fn a_message_that_is_stored_as_something_else() {
    notices("VIEW-1", |world, place| async move {
        world.model.damage(|data| {
            write(data, &Key::Message(3), &place, 3, &Text { sender: "bob".into(), ..Text::default() });
        });
        // One of the conversations in use is compared every few seconds.
        for _ in 0..20 {
            world.start(0).conversations.head(&place).await.unwrap();
            let _ = world.start(0).conversations.intervals(&place, &name("bob")).await;
            sleep(Duration::from_secs(1)).await;
        }
    });
}
