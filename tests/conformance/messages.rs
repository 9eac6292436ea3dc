//! What can be done to a message, and that streams and history agree on what became of it.

use crate::{
    person::{Person, content},
    refusal::{expect, expect_invalid},
    world::World,
};
use nexus_client::v1::{self, event::Body};
use std::{collections::HashMap, sync::Arc};
use tonic::Code;

/// A message as it is now.
async fn message(who: &Person, group: &str, seq: u64) -> v1::Message {
    let request = v1::GetMessagesRequest { conversation_id: group.into(), seqs: vec![seq], at_least: 0 };
    who.call(request).await.messages.pop().expect("the message is there")
}

fn edit(who: &Person, group: &str, seq: u64, text: &str) -> v1::EditMessageRequest {
    let (conversation_id, client_id) = (group.to_owned(), who.id());
    v1::EditMessageRequest { conversation_id, client_id, seq, content: Some(content(text)) }
}

fn delete(who: &Person, group: &str, seq: u64) -> v1::DeleteMessageRequest {
    v1::DeleteMessageRequest { conversation_id: group.into(), client_id: who.id(), seq }
}

fn react(who: &Person, group: &str, seq: u64, reaction: &str) -> v1::AddReactionRequest {
    let (conversation_id, client_id) = (group.to_owned(), who.id());
    v1::AddReactionRequest { conversation_id, client_id, seq, reaction: reaction.into() }
}

fn unreact(who: &Person, group: &str, seq: u64, reaction: &str) -> v1::RemoveReactionRequest {
    let (conversation_id, client_id) = (group.to_owned(), who.id());
    v1::RemoveReactionRequest { conversation_id, client_id, seq, reaction: reaction.into() }
}

pub async fn a_content_arrives_as_it_was_sent(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let mut stream = bob.attach(&[(&group, 0)]).await;
    let sent = v1::Content {
        text: "**Bold** ünï¢ødé 👩‍👩‍👧 \u{0}".into(),
        format: v1::TextFormat::Markdown as i32,
        mentions: Some(v1::Mentions { users: vec![bob.user.clone()], everyone: true }),
        attachments: vec![v1::AttachmentReference {
            upload_id: "upload-1".into(),
            name: "photo.jpg".into(),
            media_type: "image/jpeg".into(),
            size: 1 << 40,
            width: 640,
            height: 480,
            duration_ms: 7,
            sha256: vec![0xab; 32],
            thumbnail_upload_id: "00000000-0000-7000-8000-000000000001".into(),
            preview: vec![1, 2, 3],
        }],
        encrypted: Some(v1::EncryptedPayload {
            scheme: "mls10".into(),
            ciphertext: vec![0, 255, 1].into(),
            associated_data: vec![9].into(),
        }),
        forwarded: Some(v1::ForwardedFrom {
            conversation_id: "elsewhere".into(),
            seq: 12,
            sender: "somebody".into(),
            time_ms: 1_700_000_000_000,
        }),
        metadata: HashMap::from([("key".into(), "value".into()), ("empty".into(), String::new())]),
    };
    let request = v1::SendMessageRequest { content: Some(sent.clone()), ..ann.message(&group, "") };
    let receipt = ann.send(request.clone()).await;
    let event = stream.events(&group, receipt.seq).await.last().unwrap().clone();
    assert!(matches!(&event.body, Some(Body::MessageSent(m)) if m.content.as_ref() == Some(&sent)));
    let read = message(&bob, &group, receipt.seq).await;
    assert_eq!((&read.id, &read.sender, read.time_ms), (&request.client_id, &ann.user, receipt.time_ms));
    assert_eq!((read.content, read.edited_at_ms, read.message_count), (Some(sent), 0, 1));
    assert_eq!(ann.send(request).await, receipt, "a retry of all this is the same content");
}

pub async fn one_edits_and_deletes_ones_own(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let seq = bob.say(&group, "typo").await;
    expect(&ann.refused(edit(&ann, &group, seq, "mine now")).await, Code::PermissionDenied);
    let edited = bob.call(edit(&bob, &group, seq, "no typo")).await.receipt.unwrap();
    let read = message(&ann, &group, seq).await;
    assert_eq!((read.content, read.edited_at_ms), (Some(content("no typo")), edited.time_ms));
    bob.call(delete(&bob, &group, seq)).await;
    let read = message(&ann, &group, seq).await;
    assert_eq!((read.content, read.deleted, read.sender), (None, true, bob.user.clone()));
    for refused in [
        bob.refused(edit(&bob, &group, seq, "back")).await,
        bob.refused(react(&bob, &group, seq, "👍")).await,
    ] {
        expect(&refused, Code::FailedPrecondition);
    }
    let seen = ann.see(&group).await;
    assert_eq!((seen.message_count, seen.unread_count), (1, 1), "edits and deletions don't count");
    expect(&bob.refused(edit(&bob, &group, 1, "the creation")).await, Code::NotFound);
    expect(&bob.refused(delete(&bob, &group, 99)).await, Code::NotFound);
    expect_invalid(&bob.refused(delete(&bob, &group, 0)).await, "seq");
}

pub async fn reactions_are_each_there_once(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let seq = ann.say(&group, "nice?").await;
    bob.call(react(&bob, &group, seq, "👍")).await;
    ann.call(react(&ann, &group, seq, "🎉")).await;
    ann.call(react(&ann, &group, seq, "👍")).await;
    let again = react(&bob, &group, seq, "👍");
    let receipt = bob.call(again.clone()).await.receipt;
    let reaction = |name: &str, users: &[&Person]| v1::Reaction {
        reaction: name.into(),
        users: users.iter().map(|who| who.user.clone()).collect(),
    };
    let read = message(&ann, &group, seq).await.reactions;
    assert_eq!(read, [reaction("🎉", &[&ann]), reaction("👍", &[&bob, &ann])]);
    bob.call(unreact(&bob, &group, seq, "👍")).await;
    assert_eq!(
        message(&ann, &group, seq).await.reactions,
        [reaction("🎉", &[&ann]), reaction("👍", &[&ann])]
    );
    assert_eq!(bob.call(again).await.receipt, receipt, "a retry, also of what changed nothing");
    assert_eq!(message(&ann, &group, seq).await.reactions[1], reaction("👍", &[&ann]), "brings nothing back");
    bob.call(react(&bob, &group, seq, "👍")).await;
    assert_eq!(message(&ann, &group, seq).await.reactions[1], reaction("👍", &[&ann, &bob]));
    expect_invalid(&bob.refused(react(&bob, &group, seq, "two words")).await, "reaction");
    expect_invalid(&bob.refused(react(&bob, &group, seq, "")).await, "reaction");
}

pub async fn pins_are_for_everybody(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let (one, two) = (bob.say(&group, "one").await, bob.say(&group, "two").await);
    let pin = |seq| v1::PinMessageRequest { conversation_id: group.clone(), client_id: ann.id(), seq };
    let unpin = |seq| v1::UnpinMessageRequest { conversation_id: group.clone(), client_id: ann.id(), seq };
    ann.call(pin(two)).await;
    ann.call(pin(one)).await;
    assert_eq!(bob.see(&group).await.pinned, [two, one], "oldest pin first");
    assert!(message(&bob, &group, one).await.pinned);
    ann.call(unpin(two)).await;
    assert_eq!(bob.see(&group).await.pinned, [one]);
    assert!(!message(&bob, &group, two).await.pinned);
    ann.call(delete(&ann, &group, two)).await;
    expect(&ann.refused(pin(two)).await, Code::FailedPrecondition);
    expect(&ann.refused(pin(99)).await, Code::NotFound);
}

pub async fn replies_and_threads_hang_together(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let group = ann.group(&[]).await;
    let root = ann.say(&group, "root").await;
    let mut in_thread = Vec::new();
    for n in 0..5 {
        let request = v1::SendMessageRequest { thread: root, ..ann.message(&group, &n.to_string()) };
        in_thread.push(ann.send(request).await.seq);
        ann.say(&group, "outside").await;
    }
    let reply = v1::SendMessageRequest { reply_to: root, ..ann.message(&group, "a reply") };
    let reply = ann.send(reply).await.seq;
    assert_eq!(message(&ann, &group, reply).await.reply_to, root);
    let read = message(&ann, &group, root).await;
    assert_eq!((read.thread, read.thread_replies), (0, 5));
    assert_eq!(message(&ann, &group, in_thread[0]).await.thread, root);
    let page = async |anchor, limit| {
        let request = v1::ListThreadRequest {
            conversation_id: group.clone(),
            thread: root,
            anchor,
            limit,
            at_least: 0,
        };
        let page = ann.call(request).await;
        (page.messages.iter().map(|m| m.seq).collect::<Vec<_>>(), page.covered.unwrap())
    };
    use v1::list_thread_request::Anchor;
    let (seqs, covered) = page(None, 0).await;
    assert_eq!((&seqs, covered.at_end), (&in_thread, true));
    let (seqs, _) = page(Some(Anchor::AfterSeq(0)), 2).await;
    assert_eq!(seqs, in_thread[..2]);
    let (seqs, covered) = page(Some(Anchor::AfterSeq(in_thread[1])), 200).await;
    assert_eq!((&seqs[..], covered.at_end), (&in_thread[2..], true));
    let (seqs, covered) = page(Some(Anchor::BeforeSeq(in_thread[3])), 2).await;
    assert_eq!((&seqs[..], covered.first <= in_thread[1]), (&in_thread[1..3], true));
    let nested = v1::SendMessageRequest { thread: in_thread[0], ..ann.message(&group, "nested") };
    expect_invalid(&ann.refused(nested).await, "thread");
    let nowhere = v1::SendMessageRequest { thread: 99, ..ann.message(&group, "nowhere") };
    expect(&ann.refused(nowhere).await, Code::NotFound);
}

pub async fn a_content_has_limits(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let group = ann.group(&[]).await;
    let with = |content| v1::SendMessageRequest { content: Some(content), ..ann.message(&group, "") };
    let text = |n: usize| v1::Content { text: "x".repeat(n), ..Default::default() };
    ann.send(with(text(32_000))).await;
    expect_invalid(&ann.refused(with(text(33_000))).await, "content");
    expect_invalid(&ann.refused(with(v1::Content::default())).await, "content");
    expect_invalid(&ann.refused(with(text(0))).await, "content");
    let many = (0..17).map(|n| (n.to_string(), String::new())).collect();
    let metadata = v1::Content { metadata: many, ..text(1) };
    expect_invalid(&ann.refused(with(metadata)).await, "content.metadata");
    let users = (0..101).map(|n| format!("user{n}")).collect();
    let mentions = v1::Content { mentions: Some(v1::Mentions { users, everyone: false }), ..text(1) };
    expect_invalid(&ann.refused(with(mentions)).await, "content.mentions.users");
}
