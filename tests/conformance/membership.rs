//! One sees what was said between one's own join and leave, both included, and nothing else.

use crate::{person::Person, refusal::expect, world::World};
use nexus_client::v1::{self, ResetReason, list_messages_request::Anchor};
use std::sync::Arc;
use tonic::Code;

/// Texts that a person finds in a conversation's history, by the page and one by one.
async fn readable(who: &Person, group: &str, end: u64) -> Vec<String> {
    let page = who
        .call(v1::ListMessagesRequest {
            conversation_id: group.into(),
            anchor: Some(Anchor::AfterSeq(0)),
            limit: 200,
            at_least: 0,
        })
        .await
        .messages;
    let request =
        v1::GetMessagesRequest { conversation_id: group.into(), seqs: (1..=end).collect(), at_least: 0 };
    assert_eq!(who.call(request).await.messages, page, "by seq one sees what one sees by the page");
    page.into_iter().map(|message| message.content.unwrap().text).collect()
}

pub async fn who_joins_later_sees_nothing_before(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[]).await;
    let secret = ann.say(&group, "before").await;
    let joined = ann.add(&group, &[&bob]).await;
    let said = ann.say(&group, "after").await;
    assert_eq!(readable(&bob, &group, said).await, ["after"]);
    let events = bob.events(&group).await;
    assert_eq!((events[0].seq, events.len()), (joined, 2), "one's own joining is the first that one sees");
    assert_eq!(bob.see(&group).await.member_since, joined);
    let mut stream = bob.attach(&[(&group, 0)]).await;
    assert_eq!(stream.reset(&group).await, (ResetReason::NotAMember, 1, joined - 1));
    assert_eq!(stream.events(&group, said).await.len(), 2);
    // What one can't see one can't act on either.
    let reaction = v1::AddReactionRequest {
        conversation_id: group.clone(),
        client_id: bob.id(),
        seq: secret,
        reaction: "👍".into(),
    };
    let unknown = v1::AddReactionRequest { seq: 1, client_id: bob.id(), ..reaction.clone() };
    for request in [reaction, unknown] {
        expect(&bob.refused(request).await, Code::NotFound);
    }
    let answer = v1::SendMessageRequest { reply_to: secret, ..bob.message(&group, "to what?") };
    expect(&bob.refused(answer).await, Code::NotFound);
    assert_eq!(bob.see(&group).await.unread_count, 1, "what was said before is not unread");
}

pub async fn who_was_removed_keeps_what_they_had(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    ann.say(&group, "with bob").await;
    let removed = ann.remove(&group, &bob).await;
    let end = ann.say(&group, "without bob").await;
    assert_eq!(readable(&bob, &group, end).await, ["with bob"]);
    let events = bob.events(&group).await;
    assert_eq!(events.last().unwrap().seq, removed, "one's own removal is the last that one sees");
    let listed = bob.call(v1::ListConversationsRequest::default()).await.conversations;
    assert!(listed.iter().all(|conversation| conversation.id != group));
    let mut stream = bob.attach(&[(&group, 1)]).await;
    assert_eq!(stream.caught_up().await, 1);
    assert_eq!(stream.came(&group).last().unwrap().seq, removed);
    expect(&bob.refused(bob.message(&group, "still here?")).await, Code::NotFound);
    let members = v1::ListMembersRequest { conversation_id: group.clone(), ..Default::default() };
    expect(&bob.refused(members).await, Code::PermissionDenied);
}

pub async fn what_was_said_meanwhile_stays_unseen(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    ann.say(&group, "first").await;
    let leave = v1::LeaveConversationRequest { conversation_id: group.clone(), client_id: bob.id() };
    let left = bob.call(leave).await.receipt.unwrap().seq;
    ann.say(&group, "meanwhile").await;
    let back = ann.add(&group, &[&bob]).await;
    let end = ann.say(&group, "again").await;
    assert_eq!(readable(&bob, &group, end).await, ["first", "again"]);
    let seqs: Vec<u64> = bob.events(&group).await.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [1, 2, left, back, end]);
    let mut stream = bob.attach(&[(&group, 0)]).await;
    assert_eq!(stream.reset(&group).await, (ResetReason::NotAMember, left + 1, back - 1));
    let came: Vec<u64> = stream.events(&group, end).await.iter().map(|event| event.seq).collect();
    assert_eq!(came, seqs);
}

pub async fn a_stranger_finds_nothing(world: Arc<World>) {
    let (ann, eve) = (Person::new(&world, "ann").await, Person::new(&world, "eve").await);
    let group = ann.group(&[]).await;
    ann.say(&group, "secret").await;
    let request = v1::ListEventsRequest { conversation_id: group.clone(), ..Default::default() };
    expect(&eve.refused(request).await, Code::NotFound);
    // A public channel may be looked at, and joined to be read.
    let channel = ann.channel(&[]).await;
    let secret = ann.say(&channel, "for members").await;
    let seen = eve.see(&channel).await;
    assert_eq!((seen.title.as_str(), seen.role, seen.unread_count), ("Conformance", 0, 0));
    let request = v1::ListEventsRequest { conversation_id: channel.clone(), ..Default::default() };
    expect(&eve.refused(request).await, Code::PermissionDenied);
    let members = v1::ListMembersRequest { conversation_id: channel.clone(), ..Default::default() };
    expect(&eve.refused(members).await, Code::PermissionDenied);
    expect(&eve.refused(eve.message(&channel, "hi")).await, Code::PermissionDenied);
    let join = v1::JoinConversationRequest { conversation_id: channel.clone(), client_id: eve.id() };
    let joined = eve.call(join).await.receipt.unwrap().seq;
    assert_eq!(joined, secret + 1);
    assert_eq!(readable(&eve, &channel, joined).await, Vec::<String>::new());
    assert_eq!(eve.see(&channel).await.role(), v1::Role::Member);
}
