//! What is kept, and what is sent of it.
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use nexus_client::{
    Attachment,
    outbox::{Entry, Outbox, Outcome, Shelf, State},
    v1::*,
};
use tokio::time::timeout;
use tonic::Status;
use uuid::Uuid;

use crate::fake::{Accepted, Fake, Fate, SERVER_MS, Streams};

/// What outlives a process that is killed.
#[derive(Clone, Default)]
struct Disk {
    held: Arc<Mutex<BTreeMap<u64, Vec<u8>>>>,
    full: Arc<Mutex<bool>>,
}

impl Disk {
    fn holds(&self, text: &str) -> bool {
        let contains = |entry: &Vec<u8>| entry.windows(text.len()).any(|part| part == text.as_bytes());
        self.held.lock().unwrap().values().any(contains)
    }

    fn is_empty(&self) -> bool {
        self.held.lock().unwrap().is_empty()
    }
}

impl Shelf for Disk {
    fn load(&mut self) -> io::Result<Vec<(u64, Vec<u8>)>> {
        self.held.lock().unwrap().load()
    }
    fn put(&mut self, key: u64, entry: &[u8]) -> io::Result<()> {
        match *self.full.lock().unwrap() {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => self.held.lock().unwrap().put(key, entry),
        }
    }
    fn remove(&mut self, key: u64) -> io::Result<()> {
        Shelf::remove(&mut *self.held.lock().unwrap(), key)
    }
}

fn text(conversation: &str, text: &str) -> SendMessageRequest {
    let content = Some(Content { text: text.into(), ..Content::default() });
    SendMessageRequest { conversation_id: conversation.into(), content, ..Default::default() }
}

fn said(entry: &Entry) -> &str {
    let nexus_client::Mutation::SendMessage(request) = &entry.mutation else { panic!("{entry:?}") };
    request.content.as_ref().map_or("", |content| &content.text)
}

fn sends(fake: &Fake) -> Vec<(String, String)> {
    let sent = |request: &SendMessageRequest| {
        (request.content.clone().unwrap_or_default().text, request.client_id.clone())
    };
    fake.with(|state| state.sends.iter().map(|(request, _)| sent(request)).collect())
}

/// A process with an outbox, attached.
struct Process {
    outbox: Outbox,
    _attachment: Attachment,
    _stream: Accepted,
}

impl Process {
    async fn start(fake: &Fake, streams: &mut Streams, disk: &Disk) -> Self {
        let client = fake.client();
        let mut attachment = client.attach(Default::default());
        let stream = streams.attached().await;
        attachment.next().await.unwrap();
        let outbox = Outbox::open(client, disk.clone()).unwrap();
        Self { outbox, _attachment: attachment, _stream: stream }
    }

    /// Works until nothing more happens: attempts end after 10 s.
    async fn settle(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Ok(outcome) = timeout(Duration::from_secs(20), self.outbox.next()).await {
            outcomes.push(outcome);
        }
        outcomes
    }
}

#[tokio::test(start_paused = true)]
async fn before_the_server_told_its_time_a_message_waits_without_an_id() {
    let (fake, mut streams) = Fake::start();
    let disk = Disk::default();
    let client = fake.client();
    let mut outbox = Outbox::open(client.clone(), disk.clone()).unwrap();
    outbox.add(text("c", "early")).unwrap();
    assert!(timeout(Duration::from_secs(3_600), outbox.next()).await.is_err());
    assert_eq!(sends(&fake), []);
    assert!(disk.holds("early"), "it survives a kill even so");
    assert_eq!((outbox.entries()[0].mutation.client_id(), &outbox.entries()[0].state), ("", &State::Draft));

    let _attachment = client.attach(Default::default());
    let _stream = streams.attached().await;
    assert!(matches!(outbox.next().await, Outcome::Sent { .. }));
    let (seconds, _) = Uuid::parse_str(&sends(&fake)[0].1).unwrap().get_timestamp().unwrap().to_unix();
    assert!(seconds * 1000 >= u64::try_from(SERVER_MS).unwrap(), "its id is of the server's time");
    assert!(disk.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_leaves_what_the_next_one_sends_with_the_same_id() {
    let (fake, mut streams) = Fake::start();
    let disk = Disk::default();
    let mut process = Process::start(&fake, &mut streams, &disk).await;
    // The first arrives and is never answered; the second waits behind it.
    fake.with(|state| state.fates.push_back(Fate::Hang));
    process.outbox.add(text("c", "one")).unwrap();
    process.outbox.add(text("c", "two")).unwrap();
    assert!(timeout(Duration::from_secs(1), process.outbox.next()).await.is_err());
    let first = sends(&fake);
    assert_eq!(first.len(), 1);
    assert!(disk.holds(&first[0].1), "the id is kept before it is sent");
    drop(process);

    let mut process = Process::start(&fake, &mut streams, &disk).await;
    assert_eq!(process.settle().await.len(), 2);
    let sent = sends(&fake);
    assert_eq!(sent[1], first[0], "the same id");
    assert_eq!(sent.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), ["one", "one", "two"]);
    assert_eq!(fake.with(|state| state.log.len()), 2, "each exactly once");
    assert!(disk.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_for_hours_is_waited_for() {
    let (fake, mut streams) = Fake::start();
    let mut process = Process::start(&fake, &mut streams, &Disk::default()).await;
    fake.with(|state| state.fates.extend((0..500).map(|_| Fate::Lose(Status::unavailable("gone")))));
    process.outbox.add(text("c", "patient")).unwrap();
    assert!(matches!(process.outbox.next().await, Outcome::Sent { .. }));
    assert_eq!(fake.with(|state| (state.sends.len(), state.log.len())), (501, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_is_kept_for_its_author_and_holds_nothing_up() {
    let (fake, mut streams) = Fake::start();
    let disk = Disk::default();
    let mut process = Process::start(&fake, &mut streams, &disk).await;
    fake.with(|state| state.fates.push_back(Fate::Refuse(Status::permission_denied("readers don't write"))));
    process.outbox.add(text("c", "no")).unwrap();
    process.outbox.add(text("c", "yes")).unwrap();
    let outcomes = process.settle().await;
    let [Outcome::Held { entry }, Outcome::Sent { .. }] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!((said(entry), entry.mutation.client_id()), ("no", ""));
    assert!(matches!(&entry.state, State::Held { why, certain: true } if why.contains("readers")));
    let key = entry.key;
    drop(process);

    let mut process = Process::start(&fake, &mut streams, &disk).await;
    assert!(process.outbox.is_idle());
    assert_eq!(process.settle().await, [], "it is not sent by itself after a restart either");
    process.outbox.retry(key).unwrap();
    assert_eq!(process.settle().await.len(), 1);
    let sent = sends(&fake);
    assert_eq!(
        (sent[2].0.as_str(), sent[2].1 == sent[0].1),
        ("no", false),
        "it certainly was refused: a new id"
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_that_may_be_in_the_log_never_gets_another_id() {
    let (fake, mut streams) = Fake::start();
    let mut process = Process::start(&fake, &mut streams, &Disk::default()).await;
    let refuse = || Fate::Refuse(Status::permission_denied("removed"));
    fake.with(|state| state.fates.extend([Fate::Lose(Status::unavailable("gone")), refuse(), refuse()]));
    let key = process.outbox.add(text("c", "maybe")).unwrap();
    let outcomes = process.settle().await;
    let [Outcome::Held { entry }] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(matches!(entry.state, State::Held { certain: false, .. }));
    process.outbox.retry(key).unwrap();
    assert_eq!(process.settle().await.len(), 1);
    let ids: std::collections::HashSet<_> = sends(&fake).into_iter().map(|(_, id)| id).collect();
    assert_eq!((ids.len(), fake.with(|state| state.log.len())), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_can_be_taken_back_but_not_one_on_its_way() {
    let (fake, mut streams) = Fake::start();
    let disk = Disk::default();
    let mut process = Process::start(&fake, &mut streams, &disk).await;
    fake.with(|state| state.fates.push_back(Fate::Hang));
    let going = process.outbox.add(text("c", "going")).unwrap();
    let behind = process.outbox.add(text("c", "behind")).unwrap();
    assert_eq!(process.outbox.take(going).unwrap(), None);
    assert!(process.outbox.take(behind).unwrap().is_some());
    process.settle().await;
    assert_eq!(fake.with(|state| state.log.len()), 1);
    assert!(disk.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_conversation_does_not_wait_for_another() {
    let (fake, mut streams) = Fake::start();
    let mut process = Process::start(&fake, &mut streams, &Disk::default()).await;
    fake.with(|state| state.fates.push_back(Fate::Hang));
    let slow = process.outbox.add(text("c", "slow")).unwrap();
    let quick = process.outbox.add(text("d", "quick")).unwrap();
    let keys: Vec<_> = process.settle().await;
    let key = |outcome: &Outcome| match outcome {
        Outcome::Sent { key, .. } => *key,
        Outcome::Held { entry } => panic!("{entry:?}"),
    };
    assert_eq!(keys.iter().map(key).collect::<Vec<_>>(), [quick, slow]);
}

#[tokio::test(start_paused = true)]
async fn what_the_stream_brings_is_done() {
    let (fake, mut streams) = Fake::start();
    let disk = Disk::default();
    let mut process = Process::start(&fake, &mut streams, &disk).await;
    fake.with(|state| state.fates.push_back(Fate::Hang));
    process.outbox.add(text("c", "heard")).unwrap();
    assert!(timeout(Duration::from_secs(1), process.outbox.next()).await.is_err());
    let id = sends(&fake)[0].1.clone();
    process.outbox.settle("elsewhere", &id);
    assert_eq!(process.outbox.entries().len(), 1);
    process.outbox.settle("c", &id);
    assert_eq!(process.outbox.entries(), []);
    assert!(disk.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_that_cannot_be_kept() {
    let (fake, mut streams) = Fake::start();
    let disk = Disk::default();
    let client = fake.client();
    let mut outbox = Outbox::open(client.clone(), disk.clone()).unwrap();
    outbox.add(text("c", "kept as a draft")).unwrap();
    *disk.full.lock().unwrap() = true;
    assert_eq!(outbox.add(text("c", "not kept")).unwrap_err().kind(), io::ErrorKind::StorageFull);
    let _attachment = client.attach(Default::default());
    let _stream = streams.attached().await;
    let Outcome::Held { entry } = outbox.next().await else { panic!("it was sent") };
    assert_eq!((said(&entry), sends(&fake)), ("kept as a draft", vec![]));
    *disk.full.lock().unwrap() = false;
    outbox.retry(entry.key).unwrap();
    assert!(matches!(outbox.next().await, Outcome::Sent { .. }));
}
