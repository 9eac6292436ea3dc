//! Stories of nodes that are cut off or stand still, each with somebody who listens elsewhere.

use crate::{
    cases::{STEPS, adds, command, does, id, says, tell},
    device::Device,
    rare::Rare,
    store::Mishap,
    trouble::Trouble,
    world::World,
};
use nexus_core::conversation::CommandError;
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// A lane is checked every 30 s, and what is found then is read and sent.
const UNTOLD: Duration = Duration::from_secs(35);
/// What a minute and more brings: a node that stands still is forgotten by everybody who waited for it.
const LONG: Duration = Duration::from_secs(90);

/// Somebody who was in the conversation from its beginning listens at a node of their own.
async fn listens(world: &Arc<World>, user: &str) {
    let node = world.start(1);
    let device = Device::brisk(world.clone(), user, "watch");
    tokio::spawn(device.stays(node));
    sleep(Duration::from_secs(2)).await;
}

#[test]
fn a_node_that_stands_still_at_any_step_changes_nothing_when_it_goes_on() {
    for step in 1..STEPS {
        tell(|world| async move {
            let (one, other, place) = (world.start(0), world.start(1), &world.places[0]);
            // Both know the end of the log.
            does(&one, command(place, "ann", id(&world, 0), says(0))).await.unwrap();
            does(&other, command(place, "bob", id(&world, 1), says(0))).await.unwrap();
            one.gate.stands_after(step, LONG);
            let wanted = command(place, "bob", id(&world, 2), says(0));
            let stands = tokio::spawn({
                let (one, wanted) = (one.clone(), wanted.clone());
                async move { does(&one, wanted).await }
            });
            sleep(Duration::from_secs(1)).await;
            // Meanwhile it is asked for elsewhere, and what was open is filled, sealed and left behind.
            let again = does(&other, wanted.clone()).await.unwrap();
            for number in 10..26 {
                does(&other, command(place, "ann", id(&world, number), says(0))).await.unwrap();
            }
            let first = stands.await.unwrap();
            assert!(first.is_err() || first.unwrap() == again);
            // However late it came to that.
            one.gate.stands_after(0, LONG);
            sleep(2 * LONG).await;
            assert_eq!(does(&one, wanted).await.unwrap(), again);
        });
    }
}

#[test]
fn what_a_node_appended_before_it_died_untold_is_delivered_by_others() {
    tell(|world| async move {
        listens(&world, "cid").await;
        let (node, place) = (world.start(0), &world.places[0]);
        node.gate.dies_at("publish");
        // Nobody asks again.
        let lost = does(&node, command(place, "bob", id(&world, 0), says(0))).await;
        assert!(matches!(lost, Err(CommandError::Unknown(_))));
        assert_eq!(world.model.end(place), 2, "it was appended");
        sleep(UNTOLD).await;
        world.tell_truth();
        assert!(world.judge().complete(), "it was appended, and nobody heard");
    });
}

#[test]
fn a_node_without_a_bus_takes_messages_and_they_arrive() {
    tell(|world| async move {
        listens(&world, "cid").await;
        let (node, place) = (world.start(0), &world.places[0]);
        world.cut_from_bus(0, LONG);
        for number in 0..3 {
            does(&node, command(place, "bob", id(&world, number), says(0))).await.unwrap();
        }
        sleep(UNTOLD).await;
        world.tell_truth();
        assert!(world.judge().complete(), "they were acknowledged, and nobody heard");
    });
}

#[test]
fn who_is_added_by_a_node_without_a_bus_that_dies_hears_of_it() {
    tell(|world| async move {
        listens(&world, "eve").await;
        let (node, place) = (world.start(0), &world.places[0]);
        world.cut_from_bus(0, LONG);
        does(&node, command(place, "ann", id(&world, 0), adds("eve"))).await.unwrap();
        node.gate.shut();
        // Memberships are read again every minute.
        sleep(Duration::from_secs(60) + UNTOLD).await;
        world.tell_truth();
        assert!(world.judge().complete(), "eve was added, and hears nothing");
    });
}

#[test]
fn a_node_without_a_store_says_that_it_doesnt_know() {
    tell(|world| async move {
        let (node, place) = (world.start(0), &world.places[0]);
        let wanted = command(place, "bob", id(&world, 0), says(0));
        world.fate.troubles.begin(Trouble::StoreCut(0), LONG);
        let cut = does(&node, wanted.clone()).await;
        assert!(matches!(cut, Err(CommandError::Unknown(_))), "{cut:?}");
        let receipt = does(&world.start(1), wanted.clone()).await.unwrap();
        sleep(LONG).await;
        assert_eq!(does(&node, wanted).await.unwrap(), receipt);
    });
}

#[test]
fn a_store_that_stands_still_past_every_deadline_goes_on_without_doubling_anything() {
    tell(|world| async move {
        let place = &world.places[0];
        let wanted = command(place, "bob", id(&world, 0), says(0));
        world.fate.troubles.begin(Trouble::StoreStands, Duration::from_secs(40));
        // Tried over and over at both; every try may be done when it goes on.
        let mut receipts = Vec::new();
        for _ in 0..4 {
            for node in [0, 1] {
                receipts.extend(does(&world.start(node), wanted.clone()).await.ok());
            }
        }
        let last = does(&world.start(0), wanted.clone()).await.unwrap();
        assert!(receipts.iter().all(|receipt| *receipt == last));
        assert_eq!(world.model.log(place).iter().filter(|event| event.id == wanted.id).count(), 1);
    });
}

#[test]
fn a_late_write_of_one_node_meets_what_the_other_did_meanwhile() {
    // It is done when nobody went on, and refused when the bucket was sealed at the same end, or has other events.
    for (others, rare) in [(0, Rare::LateAndDone), (1, Rare::LateMeetsAppend)] {
        tell(|world| async move {
            let (node, place) = (world.start(0), &world.places[0]);
            world.model.next(Mishap::Late(Duration::from_secs(20)));
            let held = command(place, "bob", id(&world, 0), says(0));
            let attempt = tokio::spawn({
                let (node, held) = (node.clone(), held.clone());
                async move { does(&node, held).await }
            });
            while !world.model.happened() {
                sleep(Duration::from_millis(1)).await;
            }
            // It dies, so that nobody decides what became of it.
            node.gate.shut();
            attempt.await.unwrap().unwrap_err();
            for number in 1..=others {
                does(&world.start(1), command(place, "ann", id(&world, number), says(0))).await.unwrap();
            }
            sleep(Duration::from_secs(30)).await;
            assert!(world.fate.seen.counts().any(|(seen, count)| seen == rare && count > 0), "{rare:?}");
            does(&world.start(1), held).await.unwrap();
        });
    }
}
