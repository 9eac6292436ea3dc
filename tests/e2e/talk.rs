//! Messages of one person in one conversation, and whether all that were acknowledged are there.

use crate::{durability::PATIENCE, server::Server};
use nexus_client::{CallError, Client, PendingSend, SendError, v1};
use std::collections::HashMap;

/// Says things, and remembers what was acknowledged.
pub struct Talk {
    pub client: Client,
    pub conversation: String,
    acknowledged: HashMap<String, u64>,
}

impl Talk {
    pub async fn begin(server: &Server) -> Self {
        let client = server.client("ann");
        let conversation = crate::durability::group(&client, &[]).await;
        Self { client, conversation, acknowledged: HashMap::new() }
    }

    pub fn prepare(&self, text: &str) -> PendingSend {
        let content = Some(v1::Content { text: text.into(), ..Default::default() });
        let conversation_id = self.conversation.clone();
        self.client.prepare(v1::SendMessageRequest { conversation_id, content, ..Default::default() })
    }

    /// Sends until it is acknowledged.
    pub async fn send(&mut self, pending: &mut PendingSend) {
        let sent = async {
            loop {
                match self.client.send(pending).await {
                    Ok(sent) => break sent.receipt.seq,
                    Err(SendError::Unknown(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let seq = tokio::time::timeout(PATIENCE, sent).await.expect("it is acknowledged in the end");
        self.acknowledged.insert(pending.client_id().to_owned(), seq);
    }

    pub async fn say(&mut self, text: &str) {
        let mut pending = self.prepare(text);
        self.send(&mut pending).await;
    }

    /// Sends, and must fail. Why.
    pub async fn fails(&self, pending: &mut PendingSend) -> CallError {
        match self.client.send(pending).await {
            Err(SendError::Unknown(error) | SendError::Refused(error)) => error,
            other => panic!("it should fail: {other:?}"),
        }
    }

    /// Everything that was acknowledged is at its place, and nothing is there twice.
    pub async fn is_whole(&self) {
        self.try_whole().await.unwrap();
    }

    /// The same, unless it can't be read, and why.
    pub async fn try_whole(&self) -> Result<(), CallError> {
        let mut seqs = HashMap::new();
        let mut next = 1;
        loop {
            let page = v1::ListEventsRequest {
                conversation_id: self.conversation.clone(),
                anchor: Some(v1::list_events_request::Anchor::AfterSeq(next - 1)),
                limit: 200,
                at_least: 0,
            };
            let page = self.client.call(page).await?;
            for event in &page.events {
                assert_eq!(event.seq, next, "the log is dense");
                next += 1;
                if !event.id.is_empty() {
                    assert_eq!(seqs.insert(event.id.clone(), event.seq), None, "{} is there twice", event.id);
                }
            }
            if next > page.reflects {
                break;
            }
        }
        for (id, seq) in &self.acknowledged {
            assert_eq!(seqs.get(id), Some(seq), "what was acknowledged is there");
        }
        Ok(())
    }
}
