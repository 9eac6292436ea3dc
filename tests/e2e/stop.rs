//! Stopping: in good order while messages flow, at once when told twice, and at any moment of a start.

use crate::{
    durability::{self, MESSAGES, PATIENCE, WRITERS},
    server::Server,
    talk::Talk,
};
use std::{fs, process::Stdio, time::Duration};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_it_in_good_order_while_messages_flow() {
    let mut server = Server::start().await;
    let users: Vec<String> = (0..WRITERS).map(|n| format!("user{n}")).collect();
    let conversation = durability::group(&server.client("owner"), &users).await;
    let (mut writers, mut followers) = (JoinSet::new(), JoinSet::new());
    for (n, user) in users.iter().enumerate() {
        writers.spawn(durability::write(server.client(user), conversation.clone(), n));
        followers.spawn(durability::follow(server.client(user), conversation.clone(), 0));
    }
    let reader = server.client("owner");
    let flowing = async {
        let ask =
            nexus_client::v1::GetConversationRequest { conversation_id: conversation.clone(), at_least: 0 };
        while reader.call(ask.clone()).await.unwrap().conversation.unwrap().message_count < 20 {}
    };
    tokio::time::timeout(PATIENCE, flowing).await.unwrap();
    server.signal("TERM");
    assert_eq!(server.ended().await, 0, "{}", server.log());
    let log = server.log();
    for said in ["stopping; a second signal stops at once", "\"stopped\"", "connections_cut"] {
        assert!(log.contains(said), "{said} is not in {log}");
    }
    server.begin().await;
    let all = async { (writers.join_all().await, followers.join_all().await) };
    let (acknowledged, seen) = tokio::time::timeout(PATIENCE, all).await.expect("everything arrives");
    let messages: usize = acknowledged.iter().map(|of_one| of_one.len()).sum();
    assert_eq!(messages, WRITERS * MESSAGES);
    for events in &seen {
        assert_eq!(events, &seen[0], "everybody sees the same log");
        for (id, seq) in acknowledged.iter().flatten() {
            assert_eq!(&events[seq].id, id);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start().await;
    let mut talk = Talk::begin(&server).await;
    talk.say("before").await;
    // Both arrive while it stands still, so that the second surely comes before the first is done with.
    for signal in ["STOP", "INT", "TERM", "CONT"] {
        server.signal(signal);
    }
    let code = server.ended().await;
    assert!(code == 130 || code == 143, "{code}: {}", server.log());
    server.begin().await;
    talk.is_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_step_of_its_first_start_it_starts_the_next_time() {
    for step in
        ["token-secret", "store/lock", "store/format", "store/db.new", "store/db", "core.sock", "tls/ca.key"]
    {
        let mut server = Server::prepared(Vec::new());
        let log = fs::File::create(server.folder.path().join("nexus.log")).unwrap();
        let child = server.command().stdout(Stdio::null()).stderr(log).spawn().unwrap();
        server.child = Some(child);
        let reached = async {
            while !server.data(step).exists() {
                // db.new is there for a moment only.
                if step == "store/db.new" && server.data("store/db").exists() {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{step}: {}", server.log()));
        server.kill();
        server.begin().await;
        let mut talk = Talk::begin(&server).await;
        talk.say(step).await;
        talk.is_whole().await;
    }
}
