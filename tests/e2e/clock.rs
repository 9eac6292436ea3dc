//! A clock that jumps, by libfaketime (Debian's package `faketime`): order, retries, streams and tokens survive it.

use crate::{durability::PATIENCE, server::Server, talk::Talk};
use nexus_client::{AttachOptions, Item, SendError, v1};
use std::{fs, time::Duration};

/// Moves the server's clock to so much before or after the machine's, such as "-2d".
fn jump(server: &Server, by: &str) {
    let new = server.folder.path().join("clock.new");
    fs::write(&new, by).unwrap();
    fs::rename(new, server.folder.path().join("clock")).unwrap();
}

/// Sends; an id of another time is definitely refused, and then a new one may be made.
async fn say(talk: &mut Talk, text: &str) {
    let said = async {
        loop {
            let mut pending = talk.prepare(text);
            match talk.client.send(&mut pending).await {
                Err(SendError::Refused(error)) if error.status.message().contains("too far ahead") => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                // Made before the server's clock jumped beyond the horizon; the history has shown that it isn't there.
                Err(SendError::NotSent) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(SendError::Refused(error)) => panic!("{error}"),
                _ => break pending,
            }
        }
    };
    let mut pending =
        tokio::time::timeout(PATIENCE, said).await.expect("the client learns the server's time");
    talk.send(&mut pending).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_breaks_neither_order_nor_retries_nor_streams() {
    let Some(library) = nexus_cluster::clock::library() else {
        eprintln!("skipped: libfaketime is not installed (Debian's package `faketime`)");
        return;
    };
    let mut server = Server::prepared(vec![
        ("LD_PRELOAD", library.to_str().unwrap().into()),
        ("FAKETIME_TIMESTAMP_FILE", "clock".into()),
        ("FAKETIME_NO_CACHE", "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ("NEXUS_CORE_DELIVERY_HEARTBEAT_MS", "1000".into()),
    ]);
    jump(&server, "+0");
    server.begin().await;
    let mut talk = Talk::begin(&server).await;
    let cursors = vec![v1::Cursor { conversation_id: talk.conversation.clone(), seq: 0 }];
    let mut attachment = talk.client.attach(AttachOptions { cursors, ..Default::default() });
    let conversation = talk.conversation.clone();
    let (seen, mut up_to) = tokio::sync::watch::channel(0);
    let following = tokio::spawn(async move {
        while let Some(item) = attachment.next().await {
            match item {
                Item::Events { conversation_id, events, .. } if conversation_id == conversation => {
                    for event in events {
                        assert_eq!(event.seq, *seen.borrow() + 1, "a gap or a duplicate");
                        seen.send_replace(event.seq);
                    }
                }
                Item::Ended { code, message } => panic!("{code:?}: {message}"),
                Item::Skipped { ref conversation_id, .. } if *conversation_id == conversation => {
                    panic!("{item:?}")
                }
                _ => {}
            }
        }
    });
    let mut first = talk.prepare("first");
    talk.send(&mut first).await;
    let at = talk.client.send(&mut first).await.unwrap().receipt.seq;
    // While it runs, and last between two runs; tokens are valid for a week.
    for by in ["+3h", "-2d", "+6d", "+9d", "+1h"] {
        jump(&server, by);
        say(&mut talk, by).await;
        say(&mut talk, "and on").await;
        let again = talk.client.send(&mut first).await.unwrap();
        assert_eq!(again.receipt.seq, at, "{by}: a retry gets the first result");
        talk.is_whole().await;
    }
    // Not more than a day ahead: clients whose clock is right would not believe its certificate yet.
    for by in ["+20h", "-30d"] {
        server.kill();
        jump(&server, by);
        server.begin().await;
        say(&mut talk, by).await;
        let again = talk.client.send(&mut first).await.unwrap();
        assert_eq!(again.receipt.seq, at, "{by}: a retry gets the first result");
        talk.is_whole().await;
    }
    let head = v1::GetConversationRequest { conversation_id: talk.conversation.clone(), at_least: 0 };
    let last = talk.client.call(head).await.unwrap().conversation.unwrap().last_seq;
    let arrived = up_to.wait_for(|seq| *seq == last);
    tokio::time::timeout(PATIENCE, arrived).await.expect("the stream has all of it").unwrap();
    assert!(!following.is_finished());
    following.abort();
}
