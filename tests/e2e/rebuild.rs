//! `nexus rebuild` on the data of a server that was in use: views that were lost are there again, and everybody goes on.

use crate::{
    durability::PATIENCE,
    server::{Server, command},
};
use nexus_client::{AttachOptions, Attachment, Client, Item, Mutation, v1};
use nexus_core::{
    domain::Name,
    store::{
        Partition, Store as _,
        embedded::{EmbeddedStore, Options},
    },
};

/// What a person sees, of a conversation and around it.
#[derive(Debug, PartialEq)]
struct Seen {
    list: Vec<v1::Conversation>,
    directory: Vec<v1::DirectoryEntry>,
    members: Vec<v1::Member>,
    messages: Vec<v1::Message>,
    thread: Vec<v1::Message>,
    events: Vec<v1::Event>,
}

async fn seen(client: &Client, id: &str, thread: u64) -> Seen {
    let conversation_id = id.to_owned();
    let list = client.call(v1::ListConversationsRequest::default()).await.unwrap().conversations;
    let directory = client.call(v1::ListDirectoryRequest::default()).await.unwrap().entries;
    let members = v1::ListMembersRequest { conversation_id: conversation_id.clone(), ..Default::default() };
    let members = client.call(members).await.unwrap().members;
    let messages = v1::ListMessagesRequest { conversation_id: conversation_id.clone(), ..Default::default() };
    let messages = client.call(messages).await.unwrap().messages;
    let events = v1::ListEventsRequest { conversation_id: conversation_id.clone(), ..Default::default() };
    let events = client.call(events).await.unwrap().events;
    let thread = v1::ListThreadRequest { conversation_id, thread, ..Default::default() };
    let thread = client.call(thread).await.unwrap().messages;
    Seen { list, directory, members, messages, thread, events }
}

async fn done(client: &Client, change: impl Into<Mutation>) -> u64 {
    client.send(&mut client.prepare(change)).await.unwrap().receipt.seq
}

fn says(id: &str, text: &str, thread: u64) -> v1::SendMessageRequest {
    let content = Some(v1::Content { text: text.into(), ..Default::default() });
    v1::SendMessageRequest { conversation_id: id.into(), content, thread, ..Default::default() }
}

/// Everything up to a seq, each event once and in its place.
async fn hears(attachment: &mut Attachment, id: &str, mut next: u64, last: u64) {
    let all = async {
        while next <= last {
            if let Item::Events { conversation_id, events, .. } = attachment.next().await.unwrap()
                && conversation_id == id
            {
                for event in events {
                    assert_eq!(event.seq, next);
                    next += 1;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("everything arrives");
}

/// As a fault of ours might: every view of the conversations, and what is derived from them.
async fn lose_the_views(server: &Server, thread: u64) {
    let path = server.data("store");
    let store = EmbeddedStore::open(&path, Options::default(), &prometheus::Registry::new()).unwrap();
    let name = |name| Name::new(name).unwrap();
    let mut lost = vec![Partition::Directory(name("default"))];
    lost.extend(["ann", "bob"].map(|user| Partition::Memberships(name("default"), name(user))));
    for place in store.places(None, 100).await.unwrap() {
        let views = [(1, 0), (2, 0), (3, 0), (4, thread)].into_iter();
        lost.extend(views.map(|(view, part)| Partition::View {
            place: place.clone(),
            generation: 0,
            view,
            part,
        }));
    }
    for partition in lost {
        store.drop_cells(&partition).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lost_is_made_anew_and_everybody_goes_on() {
    let mut server = Server::start().await;
    let (ann, bob) = (server.client("ann"), server.client("bob"));
    let channel = v1::CreateConversationRequest {
        kind: v1::ConversationKind::Channel as i32,
        title: "Team".into(),
        visibility: v1::Visibility::Public as i32,
        members: vec![v1::MemberRole { user: "bob".into(), role: v1::Role::Admin as i32 }],
        ..Default::default()
    };
    let created = ann.send(&mut ann.prepare(channel)).await.unwrap();
    let id = created.conversation.unwrap().id;
    let cursors = vec![v1::Cursor { conversation_id: id.clone(), seq: 0 }];
    let mut attachment = bob.attach(AttachOptions { cursors, ..Default::default() });
    let first = done(&ann, says(&id, "one", 0)).await;
    done(&bob, says(&id, "two", first)).await;
    let (conversation_id, seq) = (id.clone(), first);
    let pin = v1::PinMessageRequest { conversation_id: conversation_id.clone(), seq, ..Default::default() };
    done(&bob, pin).await;
    let reaction = "+1".to_owned();
    let react = v1::AddReactionRequest { conversation_id, seq, reaction, ..Default::default() };
    done(&bob, react).await;
    for n in 0..5 {
        done(&ann, says(&id, &format!("unread {n}"), 0)).await;
    }
    let before = (seen(&ann, &id, first).await, seen(&bob, &id, first).await);
    let team = before.1.list.iter().find(|conversation| conversation.id == id).unwrap();
    assert_eq!((team.unread_count, team.member_count), (5, 2));
    assert!(before.1.directory.iter().any(|entry| entry.conversation_id == id));
    let last = team.last_seq;
    hears(&mut attachment, &id, 1, last).await;
    server.signal("TERM");
    assert_eq!(server.ended().await, 0, "{}", server.log());

    lose_the_views(&server, first).await;
    let rebuilt = command(server.folder.path(), 0).arg("rebuild").output().unwrap();
    let said = String::from_utf8_lossy(&rebuilt.stdout).into_owned();
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    // The lobby is there as well.
    assert!(said.starts_with("rebuilt the views of 2 conversations from "), "{said}");

    server.begin().await;
    assert_eq!((seen(&ann, &id, first).await, seen(&bob, &id, first).await), before);
    let next = done(&ann, says(&id, "after it", 0)).await;
    assert_eq!(next, last + 1);
    hears(&mut attachment, &id, next, next).await;
    let asked = v1::GetConversationRequest { conversation_id: id.clone(), at_least: next };
    let team = bob.call(asked).await.unwrap().conversation.unwrap();
    assert_eq!(team.unread_count, 6);
    done(&bob, says(&id, "an answer", first)).await;
    assert_eq!(seen(&ann, &id, first).await.thread.len(), 2);
}
