//! Too few open files: whoever is connected is served on, and everybody is again as soon as there are some.

use crate::{durability::PATIENCE, server::Server, talk::Talk};
use std::{process::Command, time::Duration};
use tokio::net::TcpStream;

const FILES: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_out_of_open_files_keeps_what_stands_and_passes() {
    let mut server = Server::prepared(Vec::new());
    let plain = server.command();
    let mut limited = Command::new("sh");
    // As an operator's shell would.
    limited.args(["-c", &format!("ulimit -n {FILES}; exec \"$0\""), plain.get_program().to_str().unwrap()]);
    limited.current_dir(server.folder.path());
    limited.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    server.begin_as(limited).await;
    let mut talk = Talk::begin(&server).await;
    talk.say("before").await;
    let mut idle = Vec::new();
    for _ in 0..FILES + 50 {
        let connect = TcpStream::connect(("127.0.0.1", server.port));
        if let Ok(Ok(socket)) = tokio::time::timeout(Duration::from_secs(1), connect).await {
            idle.push(socket);
        }
    }
    for n in 0..20 {
        talk.say(&n.to_string()).await;
    }
    talk.is_whole().await;
    drop(idle);
    // Somebody new, as soon as files are free again.
    let late = async {
        let newcomer = server.client("bob");
        let ask = nexus_client::v1::ListConversationsRequest::default();
        while newcomer.call(ask.clone()).await.is_err() {}
    };
    tokio::time::timeout(PATIENCE, late).await.expect("there is room for newcomers again");
    talk.say("after").await;
    talk.is_whole().await;
    assert!(server.log().contains("open files"), "the log says it: {}", server.log());
}
