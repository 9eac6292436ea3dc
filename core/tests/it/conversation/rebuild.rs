//! Views that are made anew from the log are what they were, and those before them are gone.

use super::{World, acts, created, place, says, user};
use bytes::Bytes;
use nexus_core::{
    conversation::{history::Anchor, rebuild::rebuild},
    log::Log,
    store::{Cell, Partition, Rows, Sync},
};
use nexus_proto::v1::{self, event::Body};

#[tokio::test]
async fn views_are_what_a_rebuild_makes_of_the_log() {
    let world = World::small_buckets();
    let node = world.node();
    node.does(created(&world, &["bob", "cyd"])).await;
    let one = node.does(says("bob", world.id(), "one")).await.seq;
    let two = node.does(says("cyd", world.id(), "two")).await.seq;
    let edit = v1::MessageEdited { content: Some(v1::Content { text: "uno".into(), ..Default::default() }) };
    node.does(acts("bob", world.id(), one, Body::MessageEdited(edit))).await;
    for who in ["ann", "bob", "cyd"] {
        let body = Body::ReactionAdded(v1::ReactionAdded { reaction: "+1".into() });
        node.does(acts(who, world.id(), two, body)).await;
    }
    let body = Body::ReactionRemoved(v1::ReactionRemoved { reaction: "+1".into() });
    node.does(acts("bob", world.id(), two, body)).await;
    node.does(acts("ann", world.id(), two, Body::MessagePinned(v1::MessagePinned {}))).await;
    let three = node.does(says("ann", world.id(), "three")).await.seq;
    node.does(acts("ann", world.id(), three, Body::MessageDeleted(v1::MessageDeleted {}))).await;
    let look = node.all.look(&place(), &user("bob"), 0).await.unwrap();
    let before = look.messages(Anchor::After(0), 100).await.unwrap().messages;
    assert_eq!(node.texts("bob").await, ["uno", "two", "-"]);
    let about = look.about.clone();
    drop(look);
    drop(node);

    let store = world.store();
    let log = Log::new(store.clone(), world.clock.clone(), place(), world.settings.log.clone());
    assert_eq!(rebuild(store.clone(), &log, &place()).await.unwrap(), 11);
    let node = world.node_on(store);
    let look = node.all.look(&place(), &user("bob"), 0).await.unwrap();
    assert_eq!(look.about, about);
    assert_eq!(about.pinned, [two]);
    assert_eq!(look.messages(Anchor::After(0), 100).await.unwrap().messages, before);
    assert_eq!(before[1].1.reactions.len(), 2);
}

#[tokio::test]
async fn a_rebuild_drops_also_what_one_before_it_left() {
    let world = World::small_buckets();
    let node = world.node();
    node.does(created(&world, &["bob"])).await;
    let thread = node.does(says("bob", world.id(), "one")).await.seq;
    let mut reply = says("bob", world.id(), "two");
    let Body::MessageSent(body) = &mut reply.body else { unreachable!() };
    body.thread = thread;
    node.does(reply).await;
    drop(node);

    let store = world.store();
    let log = Log::new(store.clone(), world.clock.clone(), place(), world.settings.log.clone());
    let views = [(1, 0), (2, 0), (3, 0), (4, thread)];
    let of = |generation, (view, part)| Partition::View { place: place(), generation, view, part };
    let stored = async |partition: &Partition| {
        let all = Rows::Range { from: Bytes::new(), to: None, down: false, limit: 100 };
        store.read_rows(partition, all).await.unwrap()
    };
    let again = async || rebuild(store.clone(), &log, &place()).await.unwrap();
    again().await;
    let mut before = Vec::new();
    for view in views {
        before.push((of(1, view), stored(&of(1, view)).await));
    }
    again().await;
    // As if it had died as soon as the new ones were in force.
    for (partition, rows) in before {
        assert!(!rows.is_empty() && stored(&partition).await.is_empty(), "{partition:?}");
        for row in rows {
            let cell = |(column, (at, value))| Cell { row: row.key.clone(), column, at, value: Some(value) };
            let cells = row.cells.into_iter().map(cell).collect();
            store.write_cells(&partition, cells, Sync::Now).await.unwrap();
        }
    }
    again().await;
    for view in views {
        let held = [stored(&of(1, view)).await, stored(&of(2, view)).await, stored(&of(3, view)).await];
        assert_eq!(held.map(|rows| rows.is_empty()), [true, true, false], "{view:?}");
    }
}
