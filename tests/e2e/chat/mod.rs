//! `nexus chat` as people and scripts run it.
//!
//! - [`plain`]: line by line, through pipes. [`screen`]: the full screen, by a [`person`] at a terminal.
//! - [`picture`]: the README's picture of it.

#[cfg(target_os = "linux")]
mod person;
#[cfg(target_os = "linux")]
mod picture;
mod plain;
#[cfg(target_os = "linux")]
mod screen;

use crate::server::Server;
use nexus_client::{Client, v1};
use std::{path::Path, process::Command, time::Duration};

/// Longer than anything here takes; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The chat of a user, who keeps what is unsent in a folder beside the server's data.
fn chat(server: &Server, user: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexus"));
    command
        .current_dir(server.folder.path())
        .args(["chat", "--user", user, "--server", &format!("https://localhost:{}", server.port)])
        .args(["--state", "state"])
        .env_remove("NEXUS_TOKEN");
    command
}

async fn direct(client: &Client, user: &str) -> String {
    let ask = v1::GetOrCreateDirectRequest { user: user.into() };
    client.call(ask).await.unwrap().conversation.unwrap().id
}

/// What was said in a conversation, oldest first.
async fn said(client: &Client, conversation_id: &str) -> Vec<String> {
    let conversation_id = conversation_id.to_owned();
    let ask = v1::ListMessagesRequest { conversation_id, limit: 200, ..Default::default() };
    let messages = client.call(ask).await.unwrap().messages;
    messages.into_iter().map(|message| message.content.unwrap_or_default().text).collect()
}

/// Waits until a file below a folder contains a text: what is kept there survives a kill.
async fn kept(folder: &Path, text: &str) {
    let holds = || {
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                // Until it has its name it is not kept.
                } else if path.extension().is_some_and(|kind| kind == "entry")
                    && std::fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text))
                {
                    return true;
                }
            }
        }
        false
    };
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{text:?} is not kept"));
}
