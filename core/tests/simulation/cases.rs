//! Stories that broke, or would break, a plausible implementation, each told at every step at which it can go wrong.

use crate::{
    fate::Fate,
    node::Node,
    store::Mishap,
    world::{World, name},
};
use nexus_core::{
    conversation::{Command, CommandError, Receipt},
    domain::{ClientId, Place},
};
use nexus_proto::v1::{self, MemberRole, Role, event::Body};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time::sleep;

/// More than any of these stories has.
pub const STEPS: usize = 40;

pub fn tell<F: Future<Output = ()>>(story: impl FnOnce(Arc<World>) -> F) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(Fate::calm(3), 2);
        world.start(0);
        world.start(1);
        world.create().await;
        story(world.clone()).await;
        sleep(Duration::from_secs(130)).await;
        world.compare().await;
        world.verdict().unwrap();
    });
}

pub fn id(world: &World, number: u8) -> ClientId {
    let mut chance = [0; 10];
    chance[9] = number;
    ClientId(uuid::Builder::from_unix_timestamp_millis(world.fate.now_ms() as u64, &chance).into_uuid())
}

pub fn command(place: &Place, sender: &str, id: ClientId, body: Body) -> Command {
    Command { place: place.clone(), sender: name(sender), id: Some(id), target: 0, body }
}

pub fn says(thread: u64) -> Body {
    let content = Some(v1::Content { text: "hello".into(), ..Default::default() });
    Body::MessageSent(v1::MessageSent { content, thread, reply_to: 0 })
}

pub fn adds(user: &str) -> Body {
    let members = vec![MemberRole { user: user.into(), role: Role::Member as i32 }];
    Body::MembersAdded(v1::MembersAdded { members })
}

pub async fn does(node: &Node, command: Command) -> Result<Receipt, CommandError> {
    tokio::select! {
        biased;
        () = node.gate.died() => Err(CommandError::Unknown("it died".into())),
        answer = node.conversations.submit(command) => answer,
    }
}

#[test]
fn a_crash_at_any_step_of_an_append_loses_nothing_and_doubles_nothing() {
    for step in 1..STEPS {
        tell(|world| async move {
            let (node, place) = (world.start(0), &world.places[0]);
            node.gate.dies_after(step);
            // Enough to fill a bucket, seal it, and open the next.
            for number in 0..6 {
                let wanted = command(place, "bob", id(&world, number), says(0));
                let first = does(&node, wanted.clone()).await;
                let again = does(&world.start(1), wanted.clone()).await.unwrap();
                assert!(first.is_err() || first.unwrap() == again);
                assert_eq!(does(&world.start(0), wanted).await.unwrap(), again);
            }
        });
    }
}

#[test]
fn a_crash_while_views_are_stored_leaves_what_a_fold_can_go_on_from() {
    for step in 1..STEPS {
        tell(|world| async move {
            let (node, place) = (world.start(0), &world.places[0]);
            does(&node, command(place, "ann", id(&world, 0), adds("dee"))).await.unwrap();
            let root = does(&node, command(place, "dee", id(&world, 1), says(0))).await.unwrap().seq;
            does(&node, command(place, "ann", id(&world, 2), says(root))).await.unwrap();
            let left = Body::MemberRemoved(v1::MemberRemoved { user: "dee".into() });
            does(&node, command(place, "dee", id(&world, 3), left)).await.unwrap();
            node.gate.dies_after(step);
            tokio::select! {
                biased;
                () = node.gate.died() => {}
                () = node.conversations.settle() => {}
            }
            node.gate.shut();
            // Whoever goes on finds some rows that are newer than the others.
            does(&world.start(0), command(place, "ann", id(&world, 4), adds("dee"))).await.unwrap();
        });
    }
}

#[test]
fn nobody_is_refused_for_what_another_node_allowed_already() {
    tell(|world| async move {
        let (one, other, place) = (world.start(0), world.start(1), &world.places[0]);
        // The other one has looked, and thinks that it knows the end of the log.
        does(&other, command(place, "ann", id(&world, 0), says(0))).await.unwrap();
        does(&one, command(place, "ann", id(&world, 1), adds("dee"))).await.unwrap();
        does(&other, command(place, "dee", id(&world, 2), says(0))).await.unwrap();
    });
}

#[test]
fn a_write_that_is_held_back_across_a_seal_is_refused() {
    tell(|world| async move {
        let (node, place) = (world.start(0), &world.places[0]);
        let held = command(place, "bob", id(&world, 0), says(0));
        world.model.next(Mishap::Late(Duration::from_secs(60)));
        let first = does(&node, held.clone()).await;
        // On the other node it is appended anew, and its bucket is filled and sealed.
        let again = does(&world.start(1), held.clone()).await.unwrap();
        assert!(first.is_err() || first.unwrap() == again);
        for number in 1..20 {
            does(&node, command(place, "ann", id(&world, number), says(0))).await.unwrap();
        }
        sleep(Duration::from_secs(61)).await;
        assert_eq!(does(&node, held).await.unwrap(), again);
    });
}

#[test]
fn what_is_under_way_is_settled_before_an_id_is_too_old_to_tell() {
    for (before, luck) in (0..9).flat_map(|before| (0..4).map(move |luck| (before, luck))) {
        tell(|world| async move {
            // Chance goes another way each time: on it depends what becomes of the append.
            for _ in 0..luck {
                world.fate.percent(50);
            }
            let (node, other, place) = (world.start(0), world.start(1), &world.places[0]);
            // The other one knows the end of the log, open buckets and full ones; or must ask for it.
            for number in 0..before {
                does(&other, command(place, "ann", id(&world, 100 + number), says(0))).await.unwrap();
            }
            // It dies while its append is under way, and whether that is done is open.
            let held = command(place, "bob", id(&world, 0), says(0));
            world.model.next(Mishap::InDoubt);
            let attempt = tokio::spawn({
                let (node, held) = (node.clone(), held.clone());
                async move { does(&node, held).await }
            });
            while !world.model.happened() {
                sleep(Duration::from_millis(1)).await;
            }
            node.gate.shut();
            attempt.await.unwrap().unwrap_err();
            // By a clock that jumps days ahead the id is too old.
            world.clock(1).set(8 * 86_400_000);
            let (conversation, asked) = (place.conversation.to_string(), held.id);
            let answer = does(&other, held).await;
            // Whoever is told so looks into the history.
            let found = world.model.log(place).into_iter().find(|event| event.id == asked);
            let id_of = asked.unwrap().to_string();
            match answer.map(|receipt| receipt.seq).ok().or(found.map(|event| event.seq)) {
                Some(seq) => world.judge().acknowledged(&conversation, "bob", &id_of, seq),
                None => world.judge().refused(&conversation, "bob", &id_of),
            }
            world.clock(1).set(0);
            does(&world.start(0), command(place, "ann", id(&world, 200), says(0))).await.unwrap();
        });
    }
}

#[test]
fn an_append_of_unknown_outcome_is_told_to_those_who_listen() {
    tell(|world| async move {
        let (node, place) = (world.start(0), &world.places[0]);
        let mut listener = crate::bus::listener(&world);
        world.model.next(Mishap::Done);
        let seq = does(&node, command(place, "bob", id(&world, 0), says(0))).await.unwrap().seq;
        assert!(crate::bus::heard(&mut listener, seq), "it was acknowledged, and nobody was told");
    });
}

#[test]
fn nodes_whose_clocks_are_minutes_apart_seal_and_open_the_same_buckets() {
    tell(|world| async move {
        world.clock(0).set(300_000);
        world.clock(1).set(-300_000);
        for number in 0..30 {
            let wanted = command(&world.places[0], "bob", id(&world, number), says(0));
            let nodes = [world.start(0), world.start(1)];
            let (a, b) = tokio::join!(does(&nodes[0], wanted.clone()), does(&nodes[1], wanted));
            assert_eq!(a.unwrap(), b.unwrap());
            sleep(Duration::from_secs(15)).await;
        }
    });
}
