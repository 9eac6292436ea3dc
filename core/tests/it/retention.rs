//! What is left of a log that was trimmed, as those see it who write, read, attach and operate.

use crate::delivery::world::{World, name, place};
use nexus_core::{
    bus::local::LocalBus,
    conversation::{
        self, CommandError, Conversations, Refusal,
        history::{Anchor, ReadError},
        rebuild::rebuild,
        rows::About,
    },
    delivery::Settings,
    domain::{ClientId, Seq},
    log::{self, Horizon, Log},
    store::{Bucket, Commit, Outcome, Statics, Store},
};
use nexus_proto::v1::{self, event::Body};
use prometheus::Registry;
use std::{sync::Arc, time::Duration};
use tokio::time::advance;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn says(text: &str, thread: Seq) -> Body {
    let content = Some(v1::Content { text: text.into(), ..Default::default() });
    Body::MessageSent(v1::MessageSent { content, thread, ..Default::default() })
}

/// A conversation of 150 events in buckets of 64, with a thread, a pin and somebody who left; and a request of then.
async fn past() -> (World, ClientId) {
    let world = World::new(1, Duration::ZERO, Settings::default());
    world.create(1, &["ann", "bob", "cid", "dee"]).await;
    let (old, root) = (world.id(), 2);
    assert_eq!(world.ask(1, "bob", old, 0, says("root", 0)).await.unwrap().seq, root);
    world.ask(1, "bob", world.id(), 0, says("reply", root)).await.unwrap();
    let pin = Body::MessagePinned(v1::MessagePinned {});
    world.ask(1, "ann", world.id(), root, pin).await.unwrap();
    world.remove(1, "ann", "dee").await.unwrap();
    for n in 6..=150 {
        assert_eq!(world.say(1, "ann", &n.to_string()).await, n);
    }
    (world, old)
}

async fn texts(all: &Conversations, who: &str) -> (Vec<String>, About) {
    let look = all.look(&place(1), &name(who), 0).await.unwrap();
    let page = look.messages(Anchor::Before(Seq::MAX), 200).await.unwrap();
    let texts = page.messages.into_iter().map(|(_, row)| row.text.content.unwrap().text);
    (texts.collect(), look.about)
}

fn beyond<T: std::fmt::Debug>(answer: Result<T, CommandError>) {
    assert!(matches!(answer, Err(CommandError::Refused(Refusal::Beyond { .. }))), "{answer:?}");
}

fn no_message<T: std::fmt::Debug>(answer: Result<T, CommandError>) {
    assert!(matches!(answer, Err(CommandError::Refused(Refusal::NoMessage(_)))), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_conversation_past_retention_goes_on() {
    let (world, old) = past().await;
    let tenant = &name("default");
    world.conversations.retain(tenant, None, Some(2)).await.unwrap();
    advance(3 * DAY).await;
    world.conversations.trim_old().await.unwrap();
    let head = world.conversations.head(&place(1)).await.unwrap().unwrap();
    assert_eq!((head.floor, head.last_seq, head.messages, head.trimmed), (150, 151, 147, 147));
    assert_eq!(head.unread(0), 0, "what is gone is not unread");
    let buckets = world.store.index(&place(1), Seq::MAX, 9).await.unwrap();
    assert_eq!(buckets.iter().map(|row| row.first).collect::<Vec<_>>(), [151], "nothing of it is kept");

    // Send, and retry what was sent before.
    let new = world.id();
    assert_eq!(world.ask(1, "bob", new, 0, says("hello again", 0)).await.unwrap().seq, 152);
    // One of then that nobody ever saw.
    let unseen = ClientId(uuid::Uuid::from_u128(old.0.as_u128() ^ (1 << 64)));
    beyond(world.ask(1, "bob", unseen, 0, says("?", 0)).await);
    let fresh = node(&world);
    beyond(fresh.submit(command("bob", old, says("root", 0))).await);
    assert_eq!(fresh.submit(command("bob", new, says("hello again", 0))).await.unwrap().seq, 152);
    no_message(world.ask(1, "ann", world.id(), 0, says("reply", 2)).await);
    let react = Body::ReactionAdded(v1::ReactionAdded { reaction: "+".into() });
    no_message(world.ask(1, "ann", world.id(), 40, react).await);

    // Read.
    let told = texts(&world.conversations, "bob").await;
    assert_eq!(told.0, ["hello again"]);
    assert_eq!((told.1.members, told.1.pinned.len(), told.1.title.as_str()), (3, 0, "Team"));
    let look = world.conversations.look(&place(1), &name("cid"), 0).await.unwrap();
    for anchor in [Anchor::Before(40), Anchor::After(0), Anchor::Around(150)] {
        let page = look.messages(anchor, 10).await.unwrap();
        assert!(page.covered.at_start && page.covered.first == 151, "{anchor:?}: {:?}", page.covered);
    }
    let (events, covered) = world.conversations.visible_events(&look, 1, Seq::MAX, false, 10).await.unwrap();
    assert_eq!((events[0].seq, covered.first, covered.at_start), (151, 151, true));
    assert_eq!((events[0].sender.as_str(), events[0].time_ms), ("", head.last_at));
    assert_eq!(look.some(&[2, 40, 152]).await.unwrap().0.len(), 1);
    let thread = look.thread(2, Anchor::After(0), 10).await;
    assert!(matches!(thread, Err(ReadError::Refused(Refusal::NoMessage(2)))));
    assert_eq!(world.conversations.seq_at(&look, 0).await.unwrap(), 151);
    let left = world.conversations.look(&place(1), &name("dee"), 0).await.unwrap();
    assert_eq!(
        (left.head.last_seq, left.about.title.as_str()),
        (5, ""),
        "who left sees the end that they saw"
    );
    assert_eq!(left.messages(Anchor::Before(Seq::MAX), 10).await.unwrap().messages.len(), 0);

    // Rebuild.
    drop((look, left));
    for _ in 0..3 {
        // It is done while nobody serves: the node forgets what it has folded.
        world.conversations.settle().await;
    }
    let settings = conversation::Settings::default().log;
    let log = Log::new(world.store.clone(), world.clock.clone(), place(1), settings);
    assert_eq!(rebuild(world.store.clone(), &log, &place(1)).await.unwrap(), 152);
    let fresh = node(&world);
    assert_eq!(texts(&fresh, "bob").await, told);
    let look = fresh.look(&place(1), &name("cid"), 0).await.unwrap();
    assert_eq!(look.members("", 10).await.unwrap().0.len(), 3);

    // Resume.
    let mut bob = world.attach("bob", &[(1, 3)]);
    let came = bob.short().await;
    assert!(came.iter().any(|came| came == "1 below_floor 4-150"), "{came:?}");
    assert_eq!(bob.at.values().copied().max(), Some(152));

    // What is left of an idle log is not trimmed for ever.
    for _ in 0..3 {
        advance(3 * DAY).await;
        world.conversations.trim_old().await.unwrap();
    }
    let head = world.conversations.head(&place(1)).await.unwrap().unwrap();
    assert_eq!((head.floor, head.last_seq), (152, 153));
    assert_eq!(world.counted("nexus_invariant_violations_total"), 0);
    assert_eq!(world.counted("nexus_retention_trimmed_events_total"), 152);
}

fn command(sender: &str, id: ClientId, body: Body) -> conversation::Command {
    conversation::Command { place: place(1), sender: name(sender), id: Some(id), target: 0, body }
}

/// A node that knows nothing.
fn node(world: &World) -> Arc<Conversations> {
    let mut settings = conversation::Settings::default();
    settings.log.limits.events = 64;
    // Ids of days ago are known unless they were trimmed.
    settings.log.horizon = Horizon { age_ms: 1 << 40, ..Horizon::default() };
    let bus = Arc::new(LocalBus::default());
    Conversations::new(world.store.clone(), bus, world.clock.clone(), settings, &Registry::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn only_whole_buckets_go_and_only_what_is_old() {
    let (world, _) = past().await;
    world.conversations.retain(&name("default"), Some(place(1).conversation), Some(2)).await.unwrap();
    advance(DAY).await;
    world.conversations.trim_old().await.unwrap();
    assert_eq!(world.conversations.head(&place(1)).await.unwrap().unwrap().floor, 0);
    // The last bucket is not old any more.
    world.say(1, "bob", "I am here").await;
    advance(DAY + DAY / 2).await;
    world.conversations.trim_old().await.unwrap();
    let head = world.conversations.head(&place(1)).await.unwrap().unwrap();
    assert_eq!((head.floor, head.last_seq), (128, 152));
    let told = texts(&world.conversations, "bob").await.0;
    assert_eq!((told.len(), told[0].as_str()), (23, "129"));
    let look = world.conversations.look(&place(1), &name("bob"), 0).await.unwrap();
    assert_eq!(head.unread(0), 23);
    let all = look.messages(Anchor::After(0), 200).await.unwrap();
    assert_eq!((all.covered.first, all.messages.len()), (129, 23));
}

#[tokio::test(start_paused = true)]
async fn a_conversations_own_retention_goes_first() {
    let (world, _) = past().await;
    let (all, tenant) = (&world.conversations, &name("default"));
    let id = Some(place(1).conversation);
    assert_eq!(all.retention(tenant, id).await.unwrap(), (0, false));
    all.retain(tenant, None, Some(30)).await.unwrap();
    assert_eq!(all.retention(tenant, id).await.unwrap(), (30, false));
    assert_eq!(all.retention(tenant, None).await.unwrap(), (30, true));
    all.retain(tenant, id, Some(0)).await.unwrap();
    assert_eq!(all.retention(tenant, id).await.unwrap(), (0, true));
    advance(400 * DAY).await;
    all.trim_old().await.unwrap();
    assert_eq!(all.head(&place(1)).await.unwrap().unwrap().floor, 0, "it is kept for ever");
    all.retain(tenant, id, None).await.unwrap();
    assert_eq!(all.retention(tenant, id).await.unwrap(), (30, false));
    all.trim_old().await.unwrap();
    assert_eq!(all.head(&place(1)).await.unwrap().unwrap().floor, 150);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_a_late_append_opens_anew_is_not_the_logs_end() {
    let (world, _) = past().await;
    let log = Log::new(world.store.clone(), world.clock.clone(), place(1), log::Settings::default());
    let (known, statics) = log.latest(None).await.unwrap().unwrap();
    let events = log.events_up(known, known, 1).await.unwrap();
    let opening = Commit {
        expect: None,
        statics: Statics { last_seq: known, closed: false, ..statics },
        events,
        dedupe: Vec::new(),
    };
    world.conversations.retain(&name("default"), None, Some(1)).await.unwrap();
    advance(3 * DAY).await;
    world.conversations.trim_old().await.unwrap();
    let bucket = Bucket { place: place(1), first: known };
    assert_eq!(world.store.commit(&bucket, opening).await.unwrap(), Outcome::Applied);
    for known in [None, Some(known)] {
        let (_, end) = log.latest(known).await.unwrap().unwrap();
        assert_eq!((end.last_seq, end.floor.seq), (151, 150), "by {known:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_node_does_it_for_all() {
    let (world, _) = past().await;
    world.conversations.retain(&name("default"), None, Some(1)).await.unwrap();
    let other = node(&world);
    let both = [world.conversations.clone(), other.clone()]
        .map(|all| tokio::spawn(async move { all.keep_trimmed().await }));
    tokio::time::sleep(2 * DAY).await;
    both.iter().for_each(|task| task.abort());
    let head = other.head(&place(1)).await.unwrap().unwrap();
    assert_eq!((head.floor, head.last_seq), (150, 151));
    assert_eq!(world.store.index(&place(1), Seq::MAX, 9).await.unwrap().len(), 1);
}
