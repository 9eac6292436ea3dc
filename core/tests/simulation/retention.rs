//! Stories of trimming: at every step somebody dies, and others go on; and what was held back for longer than anything is
//! kept.

use crate::{
    cases::{STEPS, command, does, id, says, tell},
    node::Node,
    store::Mishap,
    world::World,
};
use nexus_core::{conversation::CommandError, domain::Place};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

const PAUSE: Duration = Duration::from_secs(300);

/// Time passes, and everything that was said before goes.
async fn trims(world: &World, node: &Node) {
    let trimming = async {
        node.conversations.retain(&world.places[0].tenant, None, Some(1)).await.unwrap();
        // By the clock everything is older than a day.
        world.fate.skip(86_400_000);
        sleep(PAUSE).await;
        node.conversations.trim_old().await.unwrap();
    };
    tokio::select! {
        biased;
        () = node.gate.died() => {}
        () = trimming => {}
    }
}

async fn talks(world: &World, node: &Arc<Node>, place: &Place, from: u8, to: u8) {
    for number in from..to {
        does(node, command(place, "bob", id(world, number), says(0))).await.unwrap();
    }
}

#[test]
fn a_crash_at_any_step_of_trimming_is_gone_on_from() {
    for step in 1..3 * STEPS {
        tell(|world| async move {
            let (node, place) = (world.start(0), &world.places[0]);
            talks(&world, &node, place, 0, 12).await;
            node.gate.dies_after(step);
            trims(&world, &node).await;
            node.gate.shut();
            // In the middle of it somebody says something.
            let other = world.start(1);
            talks(&world, &other, place, 20, 23).await;
            trims(&world, &other).await;
            let buckets = world.model.buckets(place);
            let (floor, first) = (buckets.last().unwrap().1.floor.seq, buckets[0].0);
            assert!(floor >= 13, "trimmed up to {floor}");
            assert_eq!(first, floor + 1, "what was trimmed is deleted");
            talks(&world, &world.start(0), place, 30, 33).await;
        });
    }
}

#[test]
fn two_who_trim_at_once_do_no_harm() {
    for luck in 0..30 {
        tell(|world| async move {
            for _ in 0..luck {
                world.fate.percent(50);
            }
            let (one, other, place) = (world.start(0), world.start(1), &world.places[0]);
            talks(&world, &one, place, 0, 12).await;
            let talking = async {
                sleep(Duration::from_secs(299)).await;
                talks(&world, &other, place, 20, 40).await;
            };
            tokio::join!(trims(&world, &one), trims(&world, &other), talking);
            let floor = world.model.buckets(place).last().unwrap().1.floor.seq;
            assert!(floor >= 13, "trimmed up to {floor}");
        });
    }
}

#[test]
fn an_opening_that_is_held_back_until_its_bucket_is_deleted_is_not_acknowledged() {
    for held in 0..9 {
        tell(|world| async move {
            let (node, other, place) = (world.start(0), world.start(1), &world.places[0]);
            talks(&world, &node, place, 0, held).await;
            // It is done when everything that was here has been trimmed and deleted; its client has long given up.
            let late = command(place, "bob", id(&world, 200), says(0));
            world.model.next(Mishap::Pause(Duration::from_secs(4000)));
            let paused = tokio::spawn({
                let (node, late) = (node.clone(), late.clone());
                async move { node.conversations.submit(late).await }
            });
            while !world.model.happened() {
                sleep(Duration::from_millis(1)).await;
            }
            assert!(matches!(paused.await.unwrap(), Err(CommandError::Unknown(_))));
            for round in 0..3 {
                talks(&world, &other, place, 20 + 20 * round, 30 + 20 * round).await;
                trims(&world, &other).await;
            }
            sleep(Duration::from_secs(4000)).await;
            // Whatever the one who was paused says from now on, it says at the log's true end.
            talks(&world, &node, place, 100, 103).await;
            let end = world.model.end(place);
            talks(&world, &other, place, 110, 111).await;
            assert_eq!(world.model.end(place), end + 1);
        });
    }
}
