//! What is answered from memory is what the store would answer; and memory is not believed where it may be wrong.

use crate::memory::MemoryStore;
use async_trait::async_trait;
use nexus_core::{
    bus::{Bus, Feed, Hint, Listener, listener},
    clock::Clock,
    conversation::{Command, Conversations, Settings, history::Anchor},
    domain::{ClientId, ConversationId, Place, Seq, User, hash::lane_of},
};
use nexus_proto::v1::{self, ConversationKind, MemberRole, Role, Visibility, event::Body};
use prometheus::Registry;
use proptest::prelude::*;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::{Instant, advance};
use uuid::Uuid;

const NOON: i64 = 1_790_000_000_000;

struct Still;

impl Clock for Still {
    fn now_ms(&self) -> i64 {
        NOON
    }
}

/// What was published, until the test says who hears it.
#[derive(Default)]
struct Said(Mutex<Vec<Hint>>);

#[async_trait]
impl Bus for Said {
    async fn publish(&self, hint: Hint) -> bool {
        self.0.lock().unwrap().push(hint);
        true
    }

    fn listen(&self) -> Listener {
        let (_, listener): (Feed, Listener) = listener::queue(listener::Limits::default());
        listener
    }
}

/// Two nodes over one store.
struct World {
    store: Arc<MemoryStore>,
    settings: Settings,
    nodes: Vec<Node>,
    ids: AtomicU64,
}

struct Node {
    all: Arc<Conversations>,
    said: Arc<Said>,
}

fn place() -> Place {
    Place { tenant: user("default"), conversation: ConversationId(Uuid::from_u128(7)) }
}

fn user(name: &str) -> User {
    User::new(name).unwrap()
}

fn text(text: &str) -> Option<v1::Content> {
    Some(v1::Content { text: text.into(), ..Default::default() })
}

impl World {
    async fn new(conversation_bytes: usize) -> Self {
        let mut settings = Settings::default();
        settings.log.limits.events = 16;
        let store = Arc::new(MemoryStore::new(1, Duration::ZERO));
        let mut world = Self { store, settings, nodes: Vec::new(), ids: AtomicU64::new(1) };
        world.nodes = vec![world.node(conversation_bytes), world.node(conversation_bytes)];
        world.nodes.iter().for_each(|node| node.all.listen(true));
        let member = |user: &str, role: Role| MemberRole { user: user.into(), role: role as i32 };
        let body = Body::ConversationCreated(v1::ConversationCreated {
            kind: ConversationKind::Group as i32,
            title: "Team".into(),
            members: vec![member("ann", Role::Owner), member("bob", Role::Member)],
            visibility: Visibility::Private as i32,
            post_role: Role::Member as i32,
            ..Default::default()
        });
        world.does(0, "ann", 0, body).await;
        world
    }

    /// A node that knows nothing, and keeps this much of a conversation's end.
    fn node(&self, conversation_bytes: usize) -> Node {
        let said = Arc::new(Said::default());
        let (mut settings, registry) = (self.settings.clone(), Registry::new());
        settings.cache.conversation_bytes = conversation_bytes;
        let all = Conversations::new(self.store.clone(), said.clone(), Arc::new(Still), settings, &registry);
        Node { all: all.unwrap(), said }
    }

    /// Does something at a node; `None`: it was refused.
    async fn does(&self, node: usize, sender: &str, target: Seq, body: Body) -> Option<Seq> {
        let mut chance = [0; 10];
        chance[2..].copy_from_slice(&self.ids.fetch_add(1, SeqCst).to_be_bytes());
        let id = ClientId(uuid::Builder::from_unix_timestamp_millis(NOON as u64, &chance).into_uuid());
        let command = Command { place: place(), sender: user(sender), id: Some(id), target, body };
        self.nodes[node].all.submit(command).await.ok().map(|receipt| receipt.seq)
    }

    async fn says(&self, node: usize, what: &str) -> Seq {
        let body = Body::MessageSent(v1::MessageSent { content: text(what), ..Default::default() });
        self.does(node, "ann", 0, body).await.unwrap()
    }

    /// What a node said, told to the other.
    fn tell(&self, from: usize) {
        let said = std::mem::take(&mut *self.nodes[from].said.0.lock().unwrap());
        said.iter().for_each(|hint| self.nodes[1 - from].all.hear(hint));
    }

    fn lose(&self, from: usize) {
        self.nodes[from].said.0.lock().unwrap().clear();
    }

    async fn texts(&self, node: usize, at_least: Seq) -> (Vec<String>, Seq) {
        let look = self.nodes[node].all.look(&place(), &user("bob"), at_least).await.unwrap();
        let page = look.messages(Anchor::Before(Seq::MAX), 50).await.unwrap();
        let texts = page.messages.into_iter();
        (texts.map(|(_, row)| row.text.content.map_or("-".into(), |c| c.text)).collect(), page.reflects)
    }

    fn calls(&self) -> u64 {
        self.store.calls.load(SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_of_the_newest_messages_needs_no_store() {
    let world = World::new(256 << 10).await;
    for n in 0..40 {
        world.says(0, &n.to_string()).await;
    }
    let before = world.texts(0, 0).await;
    let calls = world.calls();
    assert_eq!(world.texts(0, 0).await, before);
    let last = world.says(0, "news").await;
    let appended = world.calls();
    let (texts, reflects) = world.texts(0, last).await;
    assert_eq!((texts.last().unwrap().as_str(), reflects), ("news", last));
    let look = world.nodes[0].all.look(&place(), &user("bob"), 0).await.unwrap();
    let (events, _) = world.nodes[0].all.visible_events(&look, 1, Seq::MAX, true, 10).await.unwrap();
    assert_eq!(events.last().unwrap().seq, last);
    assert_eq!(look.some(&[last]).await.unwrap().0.len(), 1);
    assert_eq!((world.calls() - appended, calls < appended), (0, true));
}

#[tokio::test(start_paused = true)]
async fn what_another_node_appended_is_heard() {
    let world = World::new(256 << 10).await;
    world.texts(1, 0).await;
    world.says(0, "one").await;
    world.says(0, "two").await;
    world.tell(0);
    let calls = world.calls();
    assert_eq!(world.texts(1, 0).await.0, ["one", "two"]);
    assert_eq!(world.calls(), calls, "hints bring what was appended");
    // A hint that leaves a gap, and one that only says where the log ends.
    world.says(0, "three").await;
    world.lose(0);
    world.says(0, "four").await;
    world.tell(0);
    assert_eq!(world.texts(1, 0).await.0, ["one", "two", "three", "four"]);
    let last = world.says(0, "five").await;
    world.lose(0);
    world.nodes[1].all.hear(&Hint::Ends { place: place(), last_seq: last });
    assert_eq!(world.texts(1, 0).await.0.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_may_be_wrong_is_not_believed() {
    let world = World::new(256 << 10).await;
    let (other, lane) = (&world.nodes[1].all, lane_of(&place()));
    let mut said = 0;
    let silently = async |said: &mut usize| {
        *said += 1;
        let seq = world.says(0, &said.to_string()).await;
        world.lose(0);
        seq
    };
    let sees = async |at_least| world.texts(1, at_least).await.0.len();
    let begun = Instant::now();
    assert_eq!(sees(0).await, 0);
    let last = silently(&mut said).await;
    assert_eq!(sees(0).await, 0, "nothing tells it, and nothing was demanded");
    assert_eq!(sees(last).await, 1, "it was demanded");
    silently(&mut said).await;
    other.missed(lane);
    assert_eq!(sees(0).await, 2, "hints were missed");
    silently(&mut said).await;
    advance(Duration::from_secs(29)).await;
    assert_eq!(sees(0).await, 2);
    // A check of the lane that found nothing is as good as a look; one that found it is not.
    let noted = Instant::now();
    other.checked(lane, begun, noted, &BTreeSet::new());
    advance(Duration::from_secs(20)).await;
    assert_eq!(sees(0).await, 2);
    other.checked(lane, noted, Instant::now(), &BTreeSet::from([place()]));
    assert_eq!(sees(0).await, 3, "the lane's notes say that something was appended");
    // A check says nothing of the time before the last one.
    silently(&mut said).await;
    advance(Duration::from_secs(29)).await;
    let noted = Instant::now();
    advance(Duration::from_secs(5)).await;
    other.checked(lane, noted, Instant::now(), &BTreeSet::new());
    assert_eq!(sees(0).await, 4);
    silently(&mut said).await;
    advance(Duration::from_secs(30)).await;
    assert_eq!(sees(0).await, 5, "it is too long ago");
    silently(&mut said).await;
    other.listen(false);
    assert_eq!(sees(0).await, 6, "it no longer listens");
    silently(&mut said).await;
    assert_eq!(sees(0).await, 7);
}

#[tokio::test(start_paused = true)]
async fn what_is_heard_while_the_log_is_read_is_not_lost() {
    let slow = Arc::new(MemoryStore::new(3, Duration::from_millis(10)));
    let mut world = World::new(256 << 10).await;
    world.store = slow;
    world.nodes = vec![world.node(256 << 10), world.node(256 << 10)];
    world.nodes.iter().for_each(|node| node.all.listen(true));
    let body = Body::ConversationCreated(v1::ConversationCreated {
        kind: ConversationKind::Group as i32,
        members: vec![
            MemberRole { user: "ann".into(), role: Role::Owner as i32 },
            MemberRole { user: "bob".into(), role: Role::Member as i32 },
        ],
        ..Default::default()
    });
    world.does(0, "ann", 0, body).await.unwrap();
    let world = Arc::new(world);
    for n in 0..60 {
        // A look that is under way, and an append that is heard at any moment of it.
        world.nodes[1].all.missed(lane_of(&place()));
        let looks = tokio::spawn({
            let world = world.clone();
            async move { world.texts(1, 0).await }
        });
        tokio::time::sleep(Duration::from_millis(n)).await;
        let last = world.says(0, "x").await;
        world.tell(0);
        looks.await.unwrap();
        let (texts, reflects) = world.texts(1, 0).await;
        assert_eq!((texts.len().min(50), reflects), (50.min(n as usize + 1), last));
    }
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    Says(usize, bool),
    Edits(usize, Seq),
    Deletes(usize, Seq),
    Reacts(usize, Seq, bool),
    Pins(usize, Seq, bool),
    Moves(usize, bool),
    Tells(usize),
    Loses(usize),
    Looks(usize, u8, Seq, usize),
}

fn steps() -> impl Strategy<Value = Step> {
    let (node, seq) = (0..2usize, 1..40u64);
    prop_oneof![
        6 => (node.clone(), any::<bool>()).prop_map(|(node, thread)| Step::Says(node, thread)),
        2 => (node.clone(), seq.clone()).prop_map(|(node, seq)| Step::Edits(node, seq)),
        1 => (node.clone(), seq.clone()).prop_map(|(node, seq)| Step::Deletes(node, seq)),
        2 => (node.clone(), seq.clone(), any::<bool>()).prop_map(|(node, seq, on)| Step::Reacts(node, seq, on)),
        1 => (node.clone(), seq.clone(), any::<bool>()).prop_map(|(node, seq, on)| Step::Pins(node, seq, on)),
        1 => (node.clone(), any::<bool>()).prop_map(|(node, on)| Step::Moves(node, on)),
        3 => node.clone().prop_map(Step::Tells),
        1 => node.clone().prop_map(Step::Loses),
        6 => (node, 0..3u8, 0..45u64, 1..12usize).prop_map(|(n, kind, seq, limit)| Step::Looks(n, kind, seq, limit)),
    ]
}

async fn happens(world: &World, step: Step) -> Result<(), TestCaseError> {
    let does = async |node: usize, target: Seq, body: Body| {
        world.does(node, "ann", target, body).await;
    };
    match step {
        Step::Says(node, in_thread) => {
            let sent = v1::MessageSent {
                content: text("words"),
                thread: if in_thread { 2 } else { 0 },
                ..Default::default()
            };
            does(node, 0, Body::MessageSent(sent)).await;
        }
        Step::Edits(node, seq) => {
            does(node, seq, Body::MessageEdited(v1::MessageEdited { content: text("other words") })).await;
        }
        Step::Deletes(node, seq) => does(node, seq, Body::MessageDeleted(v1::MessageDeleted {})).await,
        Step::Reacts(node, seq, on) => {
            let reaction = "+1".to_owned();
            let body = match on {
                true => Body::ReactionAdded(v1::ReactionAdded { reaction }),
                false => Body::ReactionRemoved(v1::ReactionRemoved { reaction }),
            };
            does(node, seq, body).await;
        }
        Step::Pins(node, seq, true) => does(node, seq, Body::MessagePinned(v1::MessagePinned {})).await,
        Step::Pins(node, seq, false) => does(node, seq, Body::MessageUnpinned(v1::MessageUnpinned {})).await,
        Step::Moves(node, true) => {
            let members = vec![MemberRole { user: "bob".into(), role: Role::Member as i32 }];
            does(node, 0, Body::MembersAdded(v1::MembersAdded { members })).await;
        }
        Step::Moves(node, false) => {
            does(node, 0, Body::MemberRemoved(v1::MemberRemoved { user: "bob".into() })).await;
        }
        Step::Tells(from) => world.tell(from),
        Step::Loses(from) => {
            world.lose(from);
            world.nodes[1 - from].all.missed(lane_of(&place()));
        }
        Step::Looks(node, kind, seq, limit) => return looks(world, node, kind, seq, limit).await,
    }
    Ok(())
}

/// A node that has heard everything answers as one that knows nothing and asks the store.
async fn looks(world: &World, node: usize, kind: u8, seq: Seq, limit: usize) -> Result<(), TestCaseError> {
    world.tell(1 - node);
    let anchor = match kind {
        0 => Anchor::Before(if seq > 40 { Seq::MAX } else { seq }),
        1 => Anchor::After(seq),
        _ => Anchor::Around(seq),
    };
    let fresh = world.node(0);
    for who in ["ann", "bob"] {
        let known = world.nodes[node].all.look(&place(), &user(who), 0).await.unwrap();
        let anew = fresh.all.look(&place(), &user(who), 0).await.unwrap();
        prop_assert_eq!((&known.head, &known.intervals), (&anew.head, &anew.intervals));
        prop_assert_eq!((&known.about, known.role, known.reflects), (&anew.about, anew.role, anew.reflects));
        let [one, other] = [known.messages(anchor, limit).await, anew.messages(anchor, limit).await]
            .map(|page| page.unwrap());
        prop_assert_eq!(&one.messages, &other.messages);
        prop_assert_eq!(one.reflects, other.reflects);
        prop_assert_eq!((one.covered.first, one.covered.last), (other.covered.first, other.covered.last));
        for down in [false, true] {
            let (one, other) = (&world.nodes[node].all, &fresh.all);
            let (events, _) = one.visible_events(&known, seq, seq + 9, down, limit).await.unwrap();
            let (truth, _) = other.visible_events(&anew, seq, seq + 9, down, limit).await.unwrap();
            prop_assert_eq!(events, truth);
        }
        let seqs = [1, 2, seq, seq + 1, seq + 2];
        prop_assert_eq!(known.some(&seqs).await.unwrap(), anew.some(&seqs).await.unwrap());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_answers_as_the_store_does(
        steps in proptest::collection::vec(steps(), 1..60), bytes in prop_oneof![Just(600usize), Just(2500), Just(1 << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::new(bytes).await;
            for step in steps {
                happens(&world, step).await?;
            }
            looks(&world, 0, 0, 45, 11).await
        })?;
    }
}
