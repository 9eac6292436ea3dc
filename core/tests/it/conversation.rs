//! Conversations over the real embedded store: what a sender and a reader notice.

mod administration;
mod invitations;
mod rebuild;

use nexus_core::{
    bus::local::LocalBus,
    clock::Clock,
    conversation::{
        Command, CommandError, Conversations, Receipt, Refusal, Settings,
        history::{Anchor, ReadError},
    },
    domain::{ClientId, ConversationId, Place, Seq, User, hash},
    log::{Horizon, Log},
    store::{
        Limits, Partition, Rows, Store,
        embedded::{EmbeddedStore, Options},
    },
};
use nexus_proto::v1::{self, ConversationKind, MemberRole, Role, Visibility, event::Body};
use prometheus::Registry;
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
};
use tempfile::TempDir;
use uuid::Uuid;

/// A clock that stands still until it is moved.
struct Still(AtomicI64);

impl Clock for Still {
    fn now_ms(&self) -> i64 {
        self.0.load(SeqCst)
    }
}

const NOON: i64 = 1_790_000_000_000;
const HOUR: i64 = 3_600_000;

struct World {
    folder: TempDir,
    clock: Arc<Still>,
    settings: Settings,
    ids: AtomicU64,
}

struct Node {
    all: Arc<Conversations>,
    store: Arc<dyn Store>,
}

impl World {
    fn new(settings: Settings) -> Self {
        let (folder, clock) = (TempDir::new().unwrap(), Arc::new(Still(AtomicI64::new(NOON))));
        Self { folder, clock, settings, ids: AtomicU64::new(1) }
    }

    fn small_buckets() -> Self {
        let mut settings = Settings::default();
        settings.log.limits = Limits { events: 4, ..Limits::default() };
        Self::new(settings)
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(EmbeddedStore::open(self.folder.path(), Options::default(), &Registry::new()).unwrap())
    }

    fn node_on(&self, store: Arc<dyn Store>) -> Node {
        let bus = Arc::new(LocalBus::default());
        let registry = Registry::new();
        let all =
            Conversations::new(store.clone(), bus, self.clock.clone(), self.settings.clone(), &registry);
        Node { all: all.unwrap(), store }
    }

    fn node(&self) -> Node {
        self.node_on(self.store())
    }

    fn id(&self) -> ClientId {
        self.id_at(self.clock.now_ms())
    }

    fn id_at(&self, time_ms: i64) -> ClientId {
        let mut chance = [0; 10];
        chance[2..].copy_from_slice(&self.ids.fetch_add(1, SeqCst).to_be_bytes());
        ClientId(uuid::Builder::from_unix_timestamp_millis(time_ms as u64, &chance).into_uuid())
    }
}

fn user(name: &str) -> User {
    User::new(name).unwrap()
}

fn place() -> Place {
    Place { tenant: user("default"), conversation: ConversationId(Uuid::from_u128(7)) }
}

fn says(sender: &str, id: ClientId, text: &str) -> Command {
    let content = Some(v1::Content { text: text.into(), ..Default::default() });
    let body = Body::MessageSent(v1::MessageSent { content, reply_to: 0, thread: 0 });
    Command { place: place(), sender: user(sender), id: Some(id), target: 0, body }
}

fn acts(sender: &str, id: ClientId, target: Seq, body: Body) -> Command {
    Command { place: place(), sender: user(sender), id: Some(id), target, body }
}

fn members(names: &[&str]) -> Vec<MemberRole> {
    names.iter().map(|name| MemberRole { user: (*name).into(), role: Role::Member as i32 }).collect()
}

fn created(world: &World, others: &[&str]) -> Command {
    let mut all = vec![MemberRole { user: "ann".into(), role: Role::Owner as i32 }];
    all.extend(members(others));
    let body = Body::ConversationCreated(v1::ConversationCreated {
        kind: ConversationKind::Group as i32,
        title: "Team".into(),
        members: all,
        visibility: Visibility::Private as i32,
        post_role: Role::Member as i32,
        ..Default::default()
    });
    acts("ann", world.id(), 0, body)
}

fn added(world: &World, by: &str, who: &str) -> Command {
    acts(by, world.id(), 0, Body::MembersAdded(v1::MembersAdded { members: members(&[who]) }))
}

fn removed(world: &World, by: &str, who: &str) -> Command {
    acts(by, world.id(), 0, Body::MemberRemoved(v1::MemberRemoved { user: who.into() }))
}

impl Node {
    async fn does(&self, command: Command) -> Receipt {
        self.all.submit(command).await.unwrap()
    }

    async fn refuses(&self, command: Command) -> Refusal {
        match self.all.submit(command).await {
            Err(CommandError::Refused(refusal)) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    async fn seqs(&self) -> Vec<Seq> {
        self.all.events(&place(), 0, 10_000).await.unwrap().iter().map(|event| event.seq).collect()
    }

    async fn texts(&self, who: &str) -> Vec<String> {
        let look = self.all.look(&place(), &user(who), 0).await.unwrap();
        let page = look.messages(Anchor::Before(u64::MAX), 200).await.unwrap();
        page.messages
            .into_iter()
            .map(|(_, row)| row.text.content.map(|c| c.text).unwrap_or("-".into()))
            .collect()
    }
}

#[tokio::test]
async fn a_retry_gets_the_first_result_even_after_a_restart() {
    let world = World::new(Settings::default());
    let id = world.id();
    let first = {
        let node = world.node();
        node.does(created(&world, &["bob"])).await;
        let first = node.does(says("bob", id, "hello")).await;
        assert_eq!(node.does(says("bob", id, "hello")).await, first);
        first
    };
    let node = world.node();
    assert_eq!(node.does(says("bob", id, "hello")).await, first);
    assert_eq!(node.seqs().await, [1, 2]);
    assert!(matches!(
        node.refuses(says("bob", id, "other")).await,
        Refusal::Invalid { field: "client_id", .. }
    ));
    // The id of one sender is nothing to another.
    assert_eq!(node.does(says("ann", id, "hello")).await.seq, 3);
}

#[tokio::test]
async fn retries_are_known_across_buckets_up_to_the_horizon() {
    let mut world = World::small_buckets();
    world.settings.log.horizon = Horizon { buckets: 3, ..Horizon::default() };
    let node = world.node();
    node.does(created(&world, &[])).await;
    let ids: Vec<ClientId> = (0..30).map(|n| world.id_at(NOON + n)).collect();
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(node.does(says("ann", *id, "x")).await.seq, n as Seq + 2);
    }
    drop(node);
    let node = world.node();
    assert_eq!(node.seqs().await, (1..=31).collect::<Vec<_>>());
    assert_eq!(node.does(says("ann", ids[29], "x")).await.seq, 31);
    // Buckets hold 1-4, 5-8, ... 29-31: three closed ones are 17-20, 21-24, 25-28.
    assert_eq!(node.does(says("ann", ids[15], "x")).await.seq, 17);
    assert!(matches!(node.refuses(says("ann", ids[14], "x")).await, Refusal::Beyond { .. }));
    assert_eq!(node.seqs().await.len(), 31);
    let down = Log::new(node.store.clone(), world.clock.clone(), place(), world.settings.log.clone());
    let seqs = |events: Vec<nexus_core::domain::Event>| events.iter().map(|e| e.seq).collect::<Vec<_>>();
    assert_eq!(seqs(down.events_down(1, 22, 10).await.unwrap()), (13..=22).collect::<Vec<_>>());
    assert_eq!(seqs(down.events_up(3, 9, 100).await.unwrap()), (3..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn ids_of_a_phone_with_a_wrong_clock_are_still_known_after_two_seals() {
    let world = World::small_buckets();
    let node = world.node();
    node.does(created(&world, &["bob"])).await;
    let (behind, ahead) = (world.id_at(NOON - 24 * HOUR), world.id_at(NOON + HOUR / 10));
    let first = [node.does(says("bob", behind, "a")).await, node.does(says("bob", ahead, "b")).await];
    for _ in 0..12 {
        node.does(says("ann", world.id(), "filler")).await;
    }
    assert_eq!(node.does(says("bob", behind, "a")).await, first[0]);
    assert_eq!(node.does(says("bob", ahead, "b")).await, first[1]);
    let far = world.id_at(NOON + 24 * HOUR);
    let Refusal::Invalid { field: "client_id", why } = node.refuses(says("bob", far, "c")).await else {
        panic!()
    };
    assert!(why.contains(&NOON.to_string()), "the refusal says the server's time: {why}");
    assert!(matches!(
        node.refuses(says("bob", world.id_at(NOON - 200 * HOUR), "d")).await,
        Refusal::Beyond { .. }
    ));
}

#[tokio::test]
async fn time_seals_a_bucket_and_an_idle_conversation_goes_on() {
    let world = World::new(Settings::default());
    let node = world.node();
    node.does(created(&world, &[])).await;
    let id = world.id();
    node.does(says("ann", id, "one")).await;
    world.clock.0.fetch_add(6 * 24 * HOUR, SeqCst);
    assert_eq!(node.does(says("ann", id, "one")).await.seq, 2);
    world.clock.0.fetch_add(2 * 24 * HOUR, SeqCst);
    assert_eq!(node.does(says("ann", world.id(), "two")).await.seq, 3);
    assert_eq!(node.store.index(&place(), Seq::MAX, 10).await.unwrap().len(), 2);
    drop(node);
    assert!(matches!(world.node().refuses(says("ann", id, "one")).await, Refusal::Beyond { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_on_one_store_never_tear_the_log() {
    let world = Arc::new(World::small_buckets());
    let store = world.store();
    let nodes = [Arc::new(world.node_on(store.clone())), Arc::new(world.node_on(store.clone()))];
    nodes[0].does(created(&world, &["bob"])).await;
    let mut tasks = Vec::new();
    for n in 0..60 {
        let (world, nodes) = (world.clone(), nodes.clone());
        tasks.push(tokio::spawn(async move {
            let id = world.id();
            let command = says("bob", id, &n.to_string());
            // The same request at both nodes at once is one event.
            let (a, b) =
                tokio::join!(nodes[0].all.submit(command.clone()), nodes[1].all.submit(command.clone()));
            let (mut a, mut b) = (a, b);
            while a.is_err() {
                a = nodes[0].all.submit(command.clone()).await;
            }
            while b.is_err() {
                b = nodes[1].all.submit(command.clone()).await;
            }
            assert_eq!(a.unwrap(), b.unwrap());
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(nodes[0].seqs().await, (1..=61).collect::<Vec<_>>());
    let mut texts: Vec<u32> = nodes[1].texts("bob").await.iter().map(|text| text.parse().unwrap()).collect();
    texts.sort_unstable();
    assert_eq!(texts, (0..60).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_id_twice_in_one_queue_is_one_event() {
    let world = World::new(Settings::default());
    let node = world.node();
    node.does(created(&world, &["bob"])).await;
    let id = world.id();
    let all = (0..20).map(|_| node.does(says("bob", id, "once")));
    let receipts = futures_util::future::join_all(all).await;
    assert!(receipts.iter().all(|receipt| receipt.seq == 2), "{receipts:?}");
    assert_eq!(node.seqs().await, [1, 2]);
}

#[tokio::test]
async fn a_removed_sender_gets_the_first_result_and_nothing_new() {
    let world = World::new(Settings::default());
    let node = world.node();
    node.does(created(&world, &["bob"])).await;
    let id = world.id();
    let first = node.does(says("bob", id, "before")).await;
    // Removal and a message of the removed one in one batch: the second is decided after the first.
    let (removal, late) = tokio::join!(
        node.all.submit(removed(&world, "ann", "bob")),
        node.all.submit(says("bob", world.id(), "late"))
    );
    assert_eq!(removal.unwrap().seq, 3);
    assert!(matches!(late, Err(CommandError::Refused(Refusal::NoConversation))));
    drop(node);
    let node = world.node();
    assert_eq!(node.does(says("bob", id, "before")).await, first);
    assert_eq!(node.refuses(says("bob", world.id(), "after")).await, Refusal::NoConversation);
}

#[tokio::test]
async fn who_left_sees_nothing_of_what_happens_afterwards() {
    let world = World::new(Settings::default());
    let node = world.node();
    node.does(created(&world, &["bob"])).await;
    let said = node.does(says("ann", world.id(), "hello bob")).await.seq;
    let left = node.does(removed(&world, "ann", "bob")).await;
    world.clock.0.fetch_add(HOUR, SeqCst);
    let content = Some(v1::Content { text: "not for bob".into(), ..Default::default() });
    let edit = Body::MessageEdited(v1::MessageEdited { content });
    let react = Body::ReactionAdded(v1::ReactionAdded { reaction: "+1".into() });
    let rename = Body::ConversationChanged(v1::ConversationChanged {
        title: Some("Without bob".into()),
        ..Default::default()
    });
    for (target, body) in [(said, edit), (said, react), (0, rename)] {
        node.does(acts("ann", world.id(), target, body)).await;
    }
    let look = node.all.look(&place(), &user("bob"), 0).await.unwrap();
    assert_eq!((look.head.last_seq, look.head.last_at, look.reflects), (left.seq, left.time_ms, left.seq));
    assert_eq!((look.about.title.as_str(), look.about.members), ("", 0));
    assert_eq!(node.all.seq_at(&look, i64::MAX).await.unwrap(), left.seq + 1);
    let page = look.messages(Anchor::Before(u64::MAX), 10).await.unwrap();
    assert_eq!((page.covered.last, page.covered.at_end, page.reflects), (left.seq, true, left.seq));
    let (one, reflects) = look.some(&[said]).await.unwrap();
    assert_eq!((&one, reflects), (&page.messages, left.seq));
    let row = &one[0].1;
    assert_eq!(row.text.content.as_ref().unwrap().text, "hello bob");
    assert_eq!((row.text.edited_at, row.reactions.len()), (0, 0));
    assert_eq!(node.texts("ann").await, ["not for bob"]);
    // How long a log is, and that it is there at all, is told to none but those who saw it.
    for (who, asked) in [("bob", left.seq + 1), ("ann", left.seq + 4)] {
        let ahead = node.all.look(&place(), &user(who), asked).await;
        assert!(matches!(ahead, Err(ReadError::Ahead { last, .. }) if last == asked - 1), "{who}");
    }
    let stranger = node.all.look(&place(), &user("eve"), u64::MAX).await;
    assert!(matches!(stranger, Err(ReadError::Refused(Refusal::NoConversation))));
}

#[tokio::test]
async fn one_sees_what_was_said_while_one_was_a_member() {
    let world = World::new(Settings::default());
    let node = world.node();
    node.does(created(&world, &[])).await;
    node.does(says("ann", world.id(), "alone")).await;
    node.does(added(&world, "ann", "bob")).await;
    node.does(says("ann", world.id(), "together")).await;
    node.does(removed(&world, "ann", "bob")).await;
    node.does(says("ann", world.id(), "alone again")).await;
    assert_eq!(node.texts("bob").await, ["together"]);
    node.does(added(&world, "ann", "bob")).await;
    node.does(says("ann", world.id(), "back")).await;
    assert_eq!(node.texts("bob").await, ["together", "back"]);
    assert_eq!(node.texts("ann").await.len(), 4);
    let look = node.all.look(&place(), &user("bob"), 0).await.unwrap();
    let (events, covered) = node.all.visible_events(&look, 1, u64::MAX, false, 100).await.unwrap();
    assert_eq!(events.iter().map(|e| e.seq).collect::<Vec<_>>(), [3, 4, 5, 7, 8]);
    assert!(covered.at_start && covered.at_end);
    let stranger = node.all.look(&place(), &user("eve"), 0).await;
    assert!(matches!(stranger, Err(ReadError::Refused(Refusal::NoConversation))));
    let unread = node.all.markers_of(&place(), &user("bob")).await.unwrap();
    assert_eq!(
        look.head.messages - unread.read_messages,
        1,
        "what was said before one came back is not unread"
    );
}

#[tokio::test]
async fn pages_join_up_in_both_directions() {
    let world = World::small_buckets();
    let node = world.node();
    node.does(created(&world, &[])).await;
    for n in 0..50 {
        world.clock.0.fetch_add(1000, SeqCst);
        node.does(says("ann", world.id(), &n.to_string())).await;
    }
    let look = node.all.look(&place(), &user("ann"), 0).await.unwrap();
    let mut all = Vec::new();
    let mut before = u64::MAX;
    loop {
        let page = look.messages(Anchor::Before(before), 7).await.unwrap();
        before = page.covered.first;
        all.splice(0..0, page.messages.iter().map(|(seq, _)| *seq));
        if page.covered.at_start {
            break;
        }
    }
    assert_eq!(all, (2..=51).collect::<Vec<_>>());
    let mut up = Vec::new();
    let mut after = 0;
    loop {
        let page = look.messages(Anchor::After(after), 7).await.unwrap();
        after = page.covered.last;
        up.extend(page.messages.iter().map(|(seq, _)| *seq));
        if page.covered.at_end {
            break;
        }
    }
    assert_eq!(up, all);
    let around = look.messages(Anchor::Around(20), 6).await.unwrap();
    assert_eq!(
        around.messages.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        (18..=23).collect::<Vec<_>>()
    );
    assert_eq!(node.all.seq_at(&look, NOON + 10_000).await.unwrap(), 11);
    assert_eq!(node.all.seq_at(&look, NOON + 10_001).await.unwrap(), 12);
    assert_eq!(node.all.seq_at(&look, i64::MAX).await.unwrap(), 52);
}

#[tokio::test]
async fn everybody_meets_in_the_one_direct_conversation() {
    let world = World::new(Settings::default());
    let node = world.node();
    let (ann, bob) = (user("ann"), user("bob"));
    let id = hash::direct_id(&user("default"), &ann, &bob);
    assert_eq!(id, hash::direct_id(&user("default"), &bob, &ann));
    let make = |sender: &User| {
        let body = Body::ConversationCreated(v1::ConversationCreated {
            kind: ConversationKind::Direct as i32,
            members: members(&["ann", "bob"]),
            ..Default::default()
        });
        let place = Place { tenant: user("default"), conversation: id };
        node.all.submit(Command { place, sender: sender.clone(), id: None, target: 0, body })
    };
    let (a, b) = tokio::join!(make(&ann), make(&bob));
    let made = [a, b].into_iter().filter(Result::is_ok).count();
    assert_eq!(made, 1);
    for who in [ann, bob] {
        let places = node.all.memberships(&user("default"), &who).await.unwrap();
        assert_eq!(places.iter().map(|place| place.conversation).collect::<Vec<_>>(), [id]);
    }
}

#[tokio::test]
async fn views_of_a_conversation_that_nobody_reads_are_stored_all_the_same() {
    let world = World::new(Settings::default());
    let node = world.node();
    node.all.submit(created(&world, &[])).await.unwrap();
    for n in 0..400 {
        node.all.submit(says("ann", world.id(), &n.to_string())).await.unwrap();
    }
    let all = Rows::Range { from: bytes::Bytes::new(), to: None, down: false, limit: 9 };
    let stored = node.store.read_rows(&Partition::Reflects(place()), all).await.unwrap();
    let reflects = stored.iter().flat_map(|row| row.cells.values()).map(|(at, _)| *at).max();
    assert!(reflects.is_some_and(|seq| seq > 200), "{reflects:?}");
}
