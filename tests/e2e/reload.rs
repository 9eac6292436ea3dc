//! SIGHUP: another configuration for the process that runs.

use crate::{durability::PATIENCE, server::Server, talk::Talk};
use std::{fs, time::Duration};

/// Waits for a line of the log that has all of these in it, after those that were there.
async fn said(server: &Server, seen: usize, parts: &[&str]) {
    let said = async {
        loop {
            let log = server.log();
            if log.lines().skip(seen).any(|line| parts.iter().all(|part| line.contains(part))) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, said).await.is_err() {
        panic!("{parts:?} was not said: {}", server.log());
    }
}

/// Puts a configuration in place, tells the process, and waits for what it says.
async fn told(server: &Server, text: &str, parts: &[&str]) {
    let seen = server.log().lines().count();
    fs::write(server.folder.path().join("nexus.toml"), text).unwrap();
    server.signal("HUP");
    said(server, seen, parts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_sighup_the_configuration_is_taken_in_use_or_nothing_of_it() {
    let server = Server::start_with(vec![("NEXUS_LOG_FORMAT", "json".into())]).await;
    let mut talk = Talk::begin(&server).await;
    talk.say("as it was").await;
    assert!(!server.log().contains("SendMessage"), "calls are not logged");

    let strict = "[log]\nfilter = \"info\"\n[gateway.limits]\nmutation_rate = 1\nmutation_burst = 2\n";
    told(&server, strict, &["the configuration was read again and is in use"]).await;
    // The client waits as it is told and tries again, so each of these arrives.
    for n in 0..3 {
        talk.say(&format!("as fast as it may {n}")).await;
    }
    said(&server, 0, &["SendMessage", "\"answered_by\":\"user_limit\""]).await;
    said(&server, 0, &["SendMessage", "\"duration_ms\""]).await;

    // Each of these is told in one line, and what was in use stays.
    let stays = "the configuration stays as it was";
    let broken = format!("{strict}calls = \"many\"\n");
    told(&server, &broken, &[stays, "gateway.limits.calls: it must be a whole number"]).await;
    let restart = format!("{strict}body_bytes = 5\n");
    told(&server, &restart, &[stays, "gateway.limits.body_bytes can't be changed while the edge runs"]).await;
    let core = format!("{strict}[core.limits]\npage = 50\n");
    told(&server, &core, &[stays, "[core] can't be changed while a chat node runs"]).await;

    told(&server, "", &["the configuration was read again and is in use"]).await;
    for n in 0..8 {
        talk.say(&format!("free again {n}")).await;
    }
    talk.is_whole().await;
}
