//! What is being sent: one change after the other, each with one id until its outcome is known.

use nexus_client::{Client, Mutation, SendError};
use std::collections::VecDeque;
use tokio::task::JoinHandle;

/// Changes in the order in which they were made.
pub struct Outbox {
    client: Client,
    waiting: VecDeque<Mutation>,
    sending: Option<JoinHandle<Option<String>>>,
}

impl Outbox {
    pub fn new(client: Client) -> Self {
        Self { client, waiting: VecDeque::new(), sending: None }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sending.is_none()
    }

    /// Sends a change when those before it have been.
    pub fn send(&mut self, mutation: Mutation) {
        self.waiting.push_back(mutation);
    }

    /// Waits until a change's outcome is known: nothing, or what a person must know. Safe to cancel.
    pub async fn next(&mut self) -> Option<String> {
        if self.sending.is_none() {
            let mutation = self.waiting.pop_front()?;
            self.sending = Some(tokio::spawn(deliver(self.client.clone(), mutation)));
        }
        let said = match &mut self.sending {
            Some(task) => task.await.unwrap_or_else(|error| Some(format!("! not sent: {error}"))),
            None => None,
        };
        self.sending = None;
        said
    }
}

async fn deliver(client: Client, mutation: Mutation) -> Option<String> {
    let mut pending = client.prepare(mutation);
    loop {
        match client.send(&mut pending).await {
            Ok(sent) => {
                let made = sent.conversation.map(|c| format!("made {:?}: /open {}", c.title, c.id));
                return made;
            }
            // It may be in the log: the same id, until that is known.
            Err(SendError::Unknown(_)) => {}
            Err(error) => return Some(format!("! not sent: {error}")),
        }
    }
}
