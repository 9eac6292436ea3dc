//! Every change carries a client-made id, and is one event, however often it is sent.

use crate::{
    person::{Person, content},
    refusal::{expect, expect_invalid},
    world::World,
};
use nexus_client::v1;
use std::{collections::HashSet, sync::Arc};
use tokio::task::JoinSet;
use tonic::Code;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

pub async fn a_retry_gets_the_first_receipt(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let message = ann.message(&group, "once");
    let first = ann.send(message.clone()).await;
    bob.say(&group, "between").await;
    assert_eq!(ann.send(message.clone()).await, first);
    assert_eq!(ann.on("laptop").await.send(message.clone()).await, first, "on another device");
    assert_eq!(ann.see(&group).await.last_seq, first.seq + 1, "nothing was appended");
    let events = bob.events(&group).await;
    let same: Vec<_> = events.iter().filter(|event| event.id == message.client_id).collect();
    assert_eq!((same.len(), same[0].seq, same[0].time_ms), (1, first.seq, first.time_ms));
}

pub async fn the_same_id_at_once_is_one_event(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let group = ann.group(&[]).await;
    let before = ann.see(&group).await.last_seq;
    let message = ann.message(&group, "once");
    let mut sends = JoinSet::new();
    for n in 0..4 {
        let device = Arc::new(ann.on(&format!("device{n}")).await);
        for _ in 0..8 {
            let (device, message) = (device.clone(), message.clone());
            sends.spawn(async move { device.send(message).await });
        }
    }
    let receipts = sends.join_all().await;
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]), "{receipts:?}");
    assert_eq!(ann.see(&group).await.last_seq, before + 1);
}

pub async fn an_id_stands_for_one_content(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let group = ann.group(&[]).await;
    let message = ann.message(&group, "one thing");
    let first = ann.send(message.clone()).await;
    let mut other = message.clone();
    other.content = Some(content("another thing"));
    expect_invalid(&ann.refused(other).await, "client_id");
    let mut answering = message.clone();
    answering.reply_to = first.seq;
    expect_invalid(&ann.refused(answering).await, "client_id");
    let reaction = v1::AddReactionRequest {
        conversation_id: group.clone(),
        client_id: message.client_id.clone(),
        seq: first.seq,
        reaction: "👍".into(),
    };
    expect_invalid(&ann.refused(reaction).await, "client_id");
    assert_eq!(ann.send(message).await, first);
    assert_eq!(ann.see(&group).await.last_seq, first.seq);
}

pub async fn an_id_belongs_to_its_sender_and_conversation(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let (group, other) = (ann.group(&[&bob]).await, ann.group(&[&bob]).await);
    let message = ann.message(&group, "mine");
    let first = ann.send(message.clone()).await;
    let second = bob.send(message.clone()).await;
    assert_eq!(second.seq, first.seq + 1, "bob's is another event");
    let elsewhere = v1::SendMessageRequest { conversation_id: other.clone(), ..message.clone() };
    let third = ann.send(elsewhere).await;
    assert_eq!(ann.see(&other).await.last_seq, third.seq);
    assert_eq!(ann.send(message).await, first);
}

pub async fn a_retry_after_removal_gets_the_first_receipt(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let message = bob.message(&group, "before I go");
    let first = bob.send(message.clone()).await;
    ann.remove(&group, &bob).await;
    assert_eq!(bob.send(message).await, first);
    expect(&bob.refused(bob.message(&group, "after")).await, Code::NotFound);
}

pub async fn ids_of_another_time_are_told_so(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let group = ann.group(&[]).await;
    let now = world.now_ms();
    let at = |time_ms: i64| v1::SendMessageRequest {
        client_id: world.id_at(time_ms),
        ..ann.message(&group, "when?")
    };
    let before = ann.see(&group).await.last_seq;
    let future = ann.refused(at(now + 12 * MINUTE_MS)).await;
    expect_invalid(&future, "client_id");
    let numbers: Vec<i64> =
        future.message().split(|c: char| !c.is_ascii_digit()).flat_map(str::parse).collect();
    let told = numbers.iter().any(|number| (number - now).abs() < 10 * MINUTE_MS);
    assert!(told, "the server's time is not in: {}", future.message());
    let ancient = at(now - 8 * DAY_MS);
    expect(&ann.refused(ancient.clone()).await, Code::OutOfRange);
    expect(&ann.refused(ancient).await, Code::OutOfRange);
    assert_eq!(ann.see(&group).await.last_seq, before, "nothing was appended");
    // A phone whose clock is a little off is served.
    let early = ann.send(at(now + 8 * MINUTE_MS)).await;
    let late = at(now - 6 * DAY_MS);
    let receipt = ann.send(late.clone()).await;
    assert_eq!((receipt.seq, ann.send(late).await), (early.seq + 1, receipt));
}

pub async fn a_conversation_is_created_once(world: Arc<World>) {
    let ann = Arc::new(Person::new(&world, "ann").await);
    let request = v1::CreateConversationRequest {
        client_id: ann.id(),
        kind: v1::ConversationKind::Group as i32,
        title: "Once".into(),
        ..Default::default()
    };
    let mut creations = JoinSet::new();
    for _ in 0..8 {
        let (ann, request) = (ann.clone(), request.clone());
        creations.spawn(async move {
            let answer = ann.call(request).await;
            (answer.conversation.unwrap().id, answer.receipt.unwrap().seq)
        });
    }
    let answers: HashSet<_> = creations.join_all().await.into_iter().collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let other = v1::CreateConversationRequest { title: "Other".into(), ..request };
    expect_invalid(&ann.refused(other).await, "client_id");
}
