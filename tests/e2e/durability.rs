//! kill -9 while people write: nothing acknowledged is gone, and streams go on without a gap or a duplicate.

use crate::{
    server::Server,
    witness::{MESSAGES, WRITERS, Witness},
};
use nexus_client::{AttachOptions, Client, Item, v1};
use std::time::Duration;

const KILLS: usize = 3;
/// Longer than anything here takes; only a failure waits for it.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub async fn group(owner: &Client, members: &[String]) -> String {
    let members = members.iter().map(|user| v1::MemberRole { user: user.clone(), role: 0 }).collect();
    let mut pending = owner.prepare(v1::CreateConversationRequest {
        kind: v1::ConversationKind::Group as i32,
        title: "Team".into(),
        members,
        ..Default::default()
    });
    owner.send(&mut pending).await.unwrap().conversation.unwrap().id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let mut server = Server::start().await;
    let witness = Witness::begin(&server).await;
    for kill in 1..=KILLS {
        // At points of the work, not of time: after each quarter of the messages.
        witness.reached(WRITERS * MESSAGES * kill / (KILLS + 1)).await;
        server.kill();
        server.begin().await;
    }
    witness.judges().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_and_reactions_reach_the_other_device_at_once() {
    let server = Server::start().await;
    let (ann, bob) = (server.client("ann"), server.client("bob"));
    let direct = ann.call(v1::GetOrCreateDirectRequest { user: "bob".into() }).await.unwrap();
    let id = direct.conversation.unwrap().id;
    let cursors = vec![v1::Cursor { conversation_id: id.clone(), seq: 0 }];
    let mut attachment = bob.attach(AttachOptions { cursors, ..Default::default() });
    while !matches!(attachment.next().await.unwrap(), Item::CaughtUp) {}
    let content = Some(v1::Content { text: "hello".into(), ..Default::default() });
    let mut hello =
        ann.prepare(v1::SendMessageRequest { conversation_id: id.clone(), content, ..Default::default() });
    let seq = ann.send(&mut hello).await.unwrap().receipt.seq;
    let typing = v1::SetTypingRequest { conversation_id: id.clone(), typing: true, thread: 0 };
    ann.call(typing).await.unwrap();
    let (mut typed, mut heard) = (false, false);
    let both = async {
        while !(typed && heard) {
            match attachment.next().await.unwrap() {
                Item::Ephemeral(v1::ephemeral::Body::Typing(t)) => typed |= t.user == "ann" && t.typing,
                Item::Events { events, .. } => heard |= events.iter().any(|e| e.seq == seq),
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, both).await.expect("message and typing arrive");
}
