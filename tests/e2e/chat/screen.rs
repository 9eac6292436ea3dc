//! The full screen, on a pseudo-terminal.

use super::{
    PATIENCE, direct, kept,
    person::{CONTROL_UP, PAGE_UP, Person, TAB, UP},
    said,
};
use crate::server::Server;
use nexus_client::{AttachOptions, Client, Item, Mutation, v1};

async fn change(client: &Client, mutation: impl Into<Mutation>) -> u64 {
    let mut pending = client.prepare(mutation);
    client.send(&mut pending).await.unwrap().receipt.seq
}

fn text(text: &str) -> Option<v1::Content> {
    Some(v1::Content { text: text.into(), ..Default::default() })
}

async fn says(client: &Client, conversation_id: &str, content: &str) -> u64 {
    let (conversation_id, content) = (conversation_id.to_owned(), text(content));
    change(client, v1::SendMessageRequest { conversation_id, content, ..Default::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sees_what_the_other_does_at_once() {
    let server = Server::start().await;
    let bob = server.client("bob");
    let id = direct(&bob, "ann").await;
    let first = says(&bob, &id, "hello ann, 日本語 👍").await;
    let mut ann = Person::sit_down(&server, "ann", &["--with", "bob"]);
    ann.sees("hello ann, 日本語 👍").await;
    ann.sees("○ bob").await;
    let mut stream = bob.attach(AttachOptions::default());
    ann.sees("● bob").await;

    // What bob does, ann sees.
    bob.call(v1::SetTypingRequest { conversation_id: id.clone(), typing: true, thread: 0 }).await.unwrap();
    ann.sees("bob is typing").await;
    let content = text("hello Ann");
    let conversation_id = id.clone();
    change(&bob, v1::EditMessageRequest { conversation_id, seq: first, content, ..Default::default() }).await;
    ann.sees("hello Ann (edited)").await;
    ann.sees_no("bob is typing").await;

    // What ann does, bob sees.
    ann.types("what");
    let typing = async {
        loop {
            match stream.next().await.unwrap() {
                Item::Ephemeral(v1::ephemeral::Body::Typing(typing)) if typing.typing => break typing.user,
                _ => {}
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, typing).await.unwrap(), "ann");
    ann.says(" a day");
    ann.sees("   what a day").await;
    let seq = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Item::Events { events, .. } = stream.next().await.unwrap()
                && let Some(event) = events.iter().find(|event| event.sender == "ann")
                && matches!(&event.body, Some(v1::event::Body::MessageSent(_)))
            {
                break event.seq;
            }
        }
    });
    let seq = seq.await.unwrap();
    let (conversation_id, reaction) = (id.clone(), "🎉".to_owned());
    change(&bob, v1::AddReactionRequest { conversation_id, seq, reaction, ..Default::default() }).await;
    ann.sees("🎉 bob").await;
    bob.call(v1::SetReadMarkerRequest { conversation_id: id.clone(), seq }).await.unwrap();
    ann.sees("✓ read by bob").await;
    ann.types(UP);
    ann.sees("› what a day").await;
    ann.says("!");
    ann.sees("what a day! (edited)").await;
    ann.types(CONTROL_UP);
    ann.sees("r reply").await;
    ann.types("\x1b[A");
    ann.types("r");
    ann.sees("reply to bob: hello Ann").await;
    ann.says("hello yourself");
    ann.sees("┃ bob: hello Ann").await;
    assert_eq!(said(&bob, &id).await, ["hello Ann", "what a day!", "hello yourself"]);

    // Another conversation has something new.
    let cy = server.client("cy");
    let other = direct(&cy, "ann").await;
    says(&cy, &other, "psst").await;
    ann.looks_until("cy's unread message", |screen| {
        screen.lines().any(|row| row.contains("○ cy") && row.contains("1 │"))
    })
    .await;
    ann.types(TAB);
    ann.sees("   psst").await;
    assert!(ann.leaves().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_scrolls_through_more_than_a_page_on_any_size() {
    let server = Server::start().await;
    let bob = server.client("bob");
    let id = direct(&bob, "ann").await;
    for n in 0..120 {
        says(&bob, &id, &format!("message {n}.")).await;
    }
    let mut ann = Person::with(&server, "ann", &["--with", "bob"], |command| {
        command.env("NO_COLOR", "1");
    });
    ann.sees("message 119.").await;
    assert!(!ann.has_colours());
    for _ in 0..12 {
        ann.types(PAGE_UP);
        ann.sees("more rows").await;
    }
    let to_the_beginning = async {
        while !ann.screen().contains("the beginning") {
            ann.types(PAGE_UP);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, to_the_beginning).await.expect("the pages before are fetched");
    ann.sees("message 0.").await;
    ann.types("\x1b");
    ann.sees("message 119.").await;
    ann.resize(40, 12);
    ann.looks_until("a narrow screen", |screen| screen.contains("message 119.") && !screen.contains("│"))
        .await;
    ann.resize(100, 30);
    ann.sees("│").await;
    assert!(ann.leaves().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed_while_one_writes_and_nothing_is_lost_or_doubled() {
    let mut server = Server::start().await;
    let id = direct(&server.client("bob"), "ann").await;
    let mut ann = Person::sit_down(&server, "ann", &["--with", "bob"]);
    ann.sees("nothing was said yet").await;
    assert!(!ann.screen().contains("Not connected"));
    ann.says("before");
    ann.sees("   before").await;
    ann.types("half a sen");
    ann.says("tence");
    server.kill();
    ann.sees("Not connected, again in").await;
    ann.says("meanwhile");
    ann.sees("… on its way").await;
    server.begin().await;
    ann.sees_no("Not connected").await;
    ann.sees_no("on its way").await;
    ann.says("after");
    ann.sees("   after").await;
    ann.sees_no("on its way").await;
    let all = said(&server.client("bob"), &id).await;
    assert_eq!(all, ["before", "half a sentence", "meanwhile", "after"]);
    assert!(ann.has_colours());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_waits_survives_the_death_of_the_chat_and_of_the_server() {
    let mut server = Server::start().await;
    let id = direct(&server.client("bob"), "ann").await;
    let mut ann = Person::sit_down(&server, "ann", &["--with", "bob"]);
    ann.sees("nothing was said yet").await;
    ann.says("before");
    ann.sees("   before").await;
    ann.sees_no("on its way").await;
    server.kill();
    ann.sees("Not connected").await;
    ann.says("it waits");
    ann.sees("… on its way").await;
    kept(&server.folder.path().join("state"), "it waits").await;
    ann.dies();
    let ann = Person::sit_down(&server, "ann", &[]);
    ann.sees("1 message waits").await;
    server.begin().await;
    ann.sees("   it waits").await;
    ann.sees_no("on its way").await;
    assert!(ann.leaves().success());
    let again = Person::sit_down(&server, "ann", &[]);
    again.sees("   it waits").await;
    assert!(again.leaves().success());
    assert_eq!(said(&server.client("bob"), &id).await, ["before", "it waits"]);
}
