//! Stopping: in good order while messages flow, at once when told twice, and at any moment of a start.

use crate::{durability::PATIENCE, server::Server, talk::Talk, witness::Witness};
use nexus_client::{AttachOptions, Item};
use std::{fs, process::Stdio, time::Duration};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_it_in_good_order_while_messages_flow() {
    let mut server = Server::start().await;
    let witness = Witness::begin(&server).await;
    witness.reached(20).await;
    server.signal("TERM");
    assert_eq!(server.ended().await, 0, "{}", server.log());
    let log = server.log();
    for said in ["stopping; a second signal stops at once", "\"stopped\"", "connections_cut"] {
        assert!(log.contains(said), "{said} is not in {log}");
    }
    server.begin().await;
    witness.judges().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_attached_is_told_to_come_back() {
    let mut server = Server::start().await;
    let mut attachment = server.client("ann").attach(AttachOptions::default());
    while !matches!(attachment.next().await.unwrap(), Item::CaughtUp) {}
    server.signal("TERM");
    let told = async {
        loop {
            if let Item::Detached { cause, .. } = attachment.next().await.unwrap() {
                break cause;
            }
        }
    };
    // Only the Reconnect frame says so; the status behind it has other words.
    assert_eq!(tokio::time::timeout(PATIENCE, told).await.unwrap(), "the node goes away");
    assert_eq!(server.ended().await, 0, "{}", server.log());
    server.begin().await;
    let back = async { while !matches!(attachment.next().await.unwrap(), Item::CaughtUp) {} };
    tokio::time::timeout(PATIENCE, back).await.expect("it comes back by itself");
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
