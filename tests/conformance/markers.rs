//! Markers only move up, and unread counts follow them.

use crate::{
    person::{Person, content},
    refusal::expect,
    world::World,
};
use nexus_client::v1;
use std::sync::Arc;
use tonic::Code;

async fn read(who: &Person, group: &str, seq: u64) -> v1::SetReadMarkerResponse {
    who.call(v1::SetReadMarkerRequest { conversation_id: group.into(), seq }).await
}

async fn counts(who: &Person, group: &str) -> (u64, u64, u32) {
    let seen = who.see(group).await;
    (seen.read_seq, seen.unread_count, seen.mention_count)
}

pub async fn the_highest_marker_wins(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    for n in 0..5 {
        ann.say(&group, &n.to_string()).await;
    }
    let laptop = bob.on("laptop").await;
    let (high, low) = tokio::join!(read(&bob, &group, 5), read(&laptop, &group, 3));
    assert!(high.read_seq == 5 && low.read_seq >= 3);
    assert_eq!(counts(&bob, &group).await, (5, 1, 0));
    assert_eq!(
        read(&laptop, &group, 2).await,
        v1::SetReadMarkerResponse { read_seq: 5, unread_count: 1, mention_count: 0 }
    );
    let delivered = async |seq| {
        let request = v1::SetDeliveredMarkerRequest { conversation_id: group.clone(), seq };
        bob.call(request).await.delivered_seq
    };
    assert_eq!((delivered(6).await, delivered(4).await), (6, 6));
    let list = v1::ListMarkersRequest { conversation_id: group.clone() };
    let mut markers = ann.call(list).await.markers;
    markers.sort_by_key(|marker| marker.read_seq);
    let marker = |who: &Person, read_seq, delivered_seq| v1::Marker {
        user: who.user.clone(),
        read_seq,
        delivered_seq,
    };
    assert_eq!(markers, [marker(&bob, 5, 6), marker(&ann, 6, 0)], "sending moves one's own read marker");
    let beyond = v1::SetReadMarkerRequest { conversation_id: group.clone(), seq: 7 };
    expect(&bob.refused(beyond).await, Code::OutOfRange);
    let beyond = v1::SetDeliveredMarkerRequest { conversation_id: group.clone(), seq: 7 };
    expect(&bob.refused(beyond).await, Code::OutOfRange);
}

pub async fn unread_are_the_messages_above_it(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    assert_eq!(counts(&bob, &group).await.1, 0);
    let first = ann.say(&group, "one").await;
    let second = ann.say(&group, "two").await;
    let reaction = v1::AddReactionRequest {
        conversation_id: group.clone(),
        client_id: ann.id(),
        seq: first,
        reaction: "👍".into(),
    };
    ann.call(reaction).await;
    let delete =
        v1::DeleteMessageRequest { conversation_id: group.clone(), client_id: ann.id(), seq: second };
    let deleted = ann.call(delete).await.receipt.unwrap().seq;
    assert_eq!(counts(&bob, &group).await.1, 2, "reactions and deletions don't change it");
    assert_eq!(read(&bob, &group, first).await.unread_count, 1);
    let third = ann.say(&group, "three").await;
    assert_eq!(read(&bob, &group, deleted).await.unread_count, 1, "a marker may stand on any event");
    assert_eq!(counts(&bob, &group).await, (deleted, 1, 0));
    bob.say(&group, "mine").await;
    assert_eq!(counts(&bob, &group).await, (third + 1, 0, 0), "sending reads all that is before");
    assert_eq!(counts(&ann, &group).await, (third, 1, 0));
}

pub async fn mentions_are_counted(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let call = async |who: &Person, users: &[&Person], everyone| {
        let users = users.iter().map(|user| user.user.clone()).collect();
        let called = v1::Content { mentions: Some(v1::Mentions { users, everyone }), ..content("you there") };
        who.send(v1::SendMessageRequest { content: Some(called), ..who.message(&group, "") }).await.seq
    };
    call(&ann, &[&bob], false).await;
    let first = call(&ann, &[], true).await;
    call(&ann, &[&ann], false).await;
    ann.say(&group, "nobody").await;
    call(&ann, &[&ann, &bob], false).await;
    assert_eq!(counts(&bob, &group).await, (1, 5, 3));
    assert_eq!(read(&bob, &group, first).await.mention_count, 1);
    assert_eq!(counts(&bob, &group).await, (first, 3, 1));
    assert_eq!(counts(&ann, &group).await.2, 0);
}

pub async fn a_stranger_has_no_markers(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    ann.remove(&group, &bob).await;
    let mark = v1::SetReadMarkerRequest { conversation_id: group.clone(), seq: 1 };
    expect(&bob.refused(mark).await, Code::PermissionDenied);
    expect(&bob.refused(v1::ListMarkersRequest { conversation_id: group }).await, Code::PermissionDenied);
}
