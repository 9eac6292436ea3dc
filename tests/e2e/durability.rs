//! kill -9 while people write: nothing acknowledged is gone, and streams go on without a gap or a duplicate.

use crate::server::Server;
use nexus_client::{AttachOptions, Client, Item, v1};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use tokio::task::JoinSet;

pub const WRITERS: usize = 4;
pub const MESSAGES: usize = 60;
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

/// Sends one after the other, each until it is acknowledged. Gives client id to seq.
pub async fn write(client: Client, conversation: String, who: usize) -> HashMap<String, u64> {
    let mut acknowledged = HashMap::new();
    for n in 0..MESSAGES {
        let content = v1::Content { text: format!("{who}/{n}"), ..Default::default() };
        let mut pending = client.prepare(v1::SendMessageRequest {
            conversation_id: conversation.clone(),
            content: Some(content),
            ..Default::default()
        });
        let sent = loop {
            match client.send(&mut pending).await {
                Ok(sent) => break sent,
                Err(nexus_client::SendError::Unknown(_)) => continue,
                Err(error) => panic!("{who}/{n}: {error}"),
            }
        };
        acknowledged.insert(pending.client_id().to_owned(), sent.receipt.seq);
    }
    acknowledged
}

/// Follows a conversation until it has seen as many messages as will be written.
pub async fn follow(client: Client, conversation: String, cursor: u64) -> BTreeMap<u64, v1::Event> {
    let cursors = vec![v1::Cursor { conversation_id: conversation.clone(), seq: cursor }];
    let mut attachment = client.attach(AttachOptions { cursors, ..Default::default() });
    let mut seen: BTreeMap<u64, v1::Event> = BTreeMap::new();
    let mut next = cursor + 1;
    while let Some(item) = attachment.next().await {
        match item {
            Item::Events { conversation_id, events, .. } if conversation_id == conversation => {
                for event in events {
                    assert_eq!(event.seq, next, "a gap or a duplicate");
                    next += 1;
                    seen.insert(event.seq, event);
                }
                if seen.values().last().is_some_and(|e| e.message_count == (WRITERS * MESSAGES) as u64) {
                    break;
                }
            }
            Item::Ended { code, message } => panic!("{code:?}: {message}"),
            Item::Skipped { conversation_id, .. } => {
                assert_ne!(conversation_id, conversation, "nothing is to be skipped")
            }
            _ => {}
        }
    }
    assert_eq!(attachment.stats().violations, 0);
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let mut server = Server::start().await;
    let users: Vec<String> = (0..WRITERS).map(|n| format!("user{n}")).collect();
    let conversation = group(&server.client("owner"), &users).await;
    let mut writers = JoinSet::new();
    for (n, user) in users.iter().enumerate() {
        writers.spawn(write(server.client(user), conversation.clone(), n));
    }
    let mut followers = JoinSet::new();
    for user in &users {
        followers.spawn(follow(server.client(user), conversation.clone(), 0));
    }
    let reader = server.client("owner");
    for kill in 1..=KILLS {
        // At points of the work, not of time: after each quarter of the messages.
        let wanted = (WRITERS * MESSAGES * kill / (KILLS + 1)) as u64;
        let reached = async {
            let ask = v1::GetConversationRequest { conversation_id: conversation.clone(), at_least: 0 };
            while reader.call(ask.clone()).await.unwrap().conversation.unwrap().message_count < wanted {}
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap();
        server.kill();
        server.begin().await;
    }
    let all = async {
        let acknowledged: Vec<_> = writers.join_all().await;
        (acknowledged, followers.join_all().await)
    };
    let (acknowledged, seen) =
        tokio::time::timeout(PATIENCE, all).await.expect("everything arrives in the end");
    let acknowledged: HashMap<String, u64> = acknowledged.into_iter().flatten().collect();
    assert_eq!(acknowledged.len(), WRITERS * MESSAGES);
    for events in &seen {
        assert_eq!(events, &seen[0], "everybody sees the same log");
    }
    let by_id: HashMap<&str, u64> =
        seen[0].values().filter(|e| !e.id.is_empty()).map(|e| (e.id.as_str(), e.seq)).collect();
    for (id, seq) in &acknowledged {
        assert_eq!(by_id.get(id.as_str()), Some(seq), "an acknowledged message is at its place");
    }
    let messages =
        seen[0].values().filter(|e| matches!(e.body, Some(v1::event::Body::MessageSent(_)))).count();
    assert_eq!(messages, WRITERS * MESSAGES, "nothing is there twice");
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
