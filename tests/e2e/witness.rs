//! Who writes and who follows in one conversation, and the invariants on all that they saw.

use crate::{durability::PATIENCE, server::Server};
use nexus_client::{AttachOptions, Client, Item, v1};
use nexus_invariants::{Invariant, Judge};
use nexus_loadtest::envelope;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::task::JoinSet;

pub const WRITERS: usize = 4;
pub const MESSAGES: usize = 60;
/// What must have been looked at for a verdict to mean something.
const ASKED: [Invariant; 7] = [
    Invariant::Log1,
    Invariant::Log2,
    Invariant::Log3,
    Invariant::Log4,
    Invariant::Stream1,
    Invariant::Stream2,
    Invariant::Stream3,
];

/// A conversation of `owner` and some others, all of whom write and follow until every message is there.
pub struct Witness {
    pub conversation: String,
    pub reader: Client,
    judge: Arc<Mutex<Judge>>,
    work: JoinSet<()>,
}

impl Witness {
    pub async fn begin(server: &Server) -> Self {
        let users: Vec<String> = (0..WRITERS).map(|n| format!("user{n}")).collect();
        let reader = server.client("owner");
        let conversation = crate::durability::group(&reader, &users).await;
        let judge: Arc<Mutex<Judge>> = Arc::default();
        locked(&judge).conversation(&conversation, &[&users[..], &["owner".into()]].concat());
        let mut work = JoinSet::new();
        for user in &users {
            let of = || (server.client(user), user.clone(), conversation.clone(), judge.clone());
            work.spawn(write(of()));
            work.spawn(follow(of()));
        }
        Self { conversation, reader, judge, work }
    }

    /// Waits until so many messages are there.
    pub async fn reached(&self, messages: usize) {
        let reached = async { while self.messages().await < messages as u64 {} };
        tokio::time::timeout(PATIENCE, reached).await.expect("messages go on arriving");
    }

    async fn messages(&self) -> u64 {
        let conversation_id = self.conversation.clone();
        let ask = v1::GetConversationRequest { conversation_id, at_least: 0 };
        self.reader.call(ask).await.unwrap().conversation.unwrap().message_count
    }

    /// Waits until everybody has written and seen everything, reads the log, and puts it all to the judge.
    pub async fn judges(mut self) {
        let work = std::mem::take(&mut self.work);
        tokio::time::timeout(PATIENCE, work.join_all()).await.expect("everything arrives in the end");
        let mut log = Vec::new();
        loop {
            let page = v1::ListEventsRequest {
                conversation_id: self.conversation.clone(),
                anchor: Some(v1::list_events_request::Anchor::AfterSeq(log.len() as u64)),
                limit: 200,
                at_least: 0,
            };
            let page = self.reader.call(page).await.unwrap();
            if page.events.is_empty() {
                break;
            }
            log.extend(page.events.iter().map(envelope));
        }
        let verdicts = {
            let mut judge = locked(&self.judge);
            judge.log(&self.conversation, log);
            judge.verdicts()
        };
        for (invariant, verdict) in verdicts {
            assert_eq!(verdict.violated, 0, "{}: {:?}", invariant.id(), verdict.examples);
            assert!(verdict.checked > 0 || !ASKED.contains(&invariant), "{} was not asked", invariant.id());
        }
        assert_eq!(self.messages().await, (WRITERS * MESSAGES) as u64, "nothing is there twice");
    }
}

fn locked(judge: &Mutex<Judge>) -> MutexGuard<'_, Judge> {
    judge.lock().unwrap()
}

type Of = (Client, String, String, Arc<Mutex<Judge>>);

/// Sends one after the other, each until it is acknowledged.
async fn write((client, user, conversation, judge): Of) {
    for n in 0..MESSAGES {
        let content = v1::Content { text: format!("{user}/{n}"), ..Default::default() };
        let mut pending = client.prepare(v1::SendMessageRequest {
            conversation_id: conversation.clone(),
            content: Some(content),
            ..Default::default()
        });
        let sent = loop {
            match client.send(&mut pending).await {
                Ok(sent) => break sent,
                Err(nexus_client::SendError::Unknown(_)) => continue,
                Err(error) => panic!("{user}/{n}: {error}"),
            }
        };
        locked(&judge).acknowledged(&conversation, &user, pending.client_id(), sent.receipt.seq);
    }
}

/// Follows the conversation until it has seen as many messages as will be written. Nothing is ever skipped.
async fn follow((client, user, conversation, judge): Of) {
    let cursors = vec![v1::Cursor { conversation_id: conversation.clone(), seq: 0 }];
    locked(&judge).attached(&conversation, &user, "", Some(0));
    let mut attachment = client.attach(AttachOptions { cursors, ..Default::default() });
    while let Some(item) = attachment.next().await {
        match item {
            Item::Events { conversation_id, events, .. } if conversation_id == conversation => {
                for event in events {
                    let all = event.message_count == (WRITERS * MESSAGES) as u64;
                    locked(&judge).received(&conversation, &user, "", envelope(&event));
                    if all {
                        assert_eq!(attachment.stats().violations, 0);
                        return;
                    }
                }
            }
            Item::Ended { code, message } => panic!("{code:?}: {message}"),
            Item::Skipped { conversation_id, .. } => {
                assert_ne!(conversation_id, conversation, "nothing is to be skipped")
            }
            _ => {}
        }
    }
}
