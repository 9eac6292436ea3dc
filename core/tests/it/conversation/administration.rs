//! What administrators do, who are no members, while others append to the same log from another node.

use super::*;
use futures_util::future::join_all;
use nexus_core::conversation::Request;

fn by_root(id: ClientId, bodies: Vec<Body>) -> Request {
    let mut bodies = bodies.into_iter();
    let command = acts("root", id, 0, bodies.next().unwrap());
    Request { further: bodies.collect(), ..Request::of_administrator(command) }
}

fn removals(names: &[&str]) -> Vec<Body> {
    let removal = |name: &&str| Body::MemberRemoved(v1::MemberRemoved { user: (*name).into() });
    names.iter().map(removal).collect()
}

async fn log(node: &Node) -> Vec<nexus_core::domain::Event> {
    let mut events = Vec::new();
    loop {
        let after = events.last().map_or(0, |event: &nexus_core::domain::Event| event.seq);
        let page = node.all.events(&place(), after, 100).await.unwrap();
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}

/// The lost races of both nodes are decided again, by the same right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_administrator_asks_for_holds_whoever_appends_meanwhile() {
    let world = World::small_buckets();
    let store = world.store();
    let [one, two] = [world.node_on(store.clone()), world.node_on(store)];
    let names: Vec<String> = (0..7).map(|n| format!("user{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    one.does(created(&world, &names)).await;
    let (remove, add) = (world.id(), world.id());
    let says: Vec<Command> = (0..30).map(|n| says("ann", world.id(), &n.to_string())).collect();
    let talk = says.iter().enumerate().map(|(n, command)| {
        let node = if n % 2 == 0 { &one } else { &two };
        node.all.submit(command.clone())
    });
    let removal = || by_root(remove, removals(&names));
    let members = vec![MemberRole { user: "eve".into(), role: Role::Owner as i32 }];
    let body = Body::MembersAdded(v1::MembersAdded { members });
    let addition = || by_root(add, vec![body.clone()]);
    let asked = async {
        let (a, b) = (one.all.submit(removal()), two.all.submit(removal()));
        let (c, d) = (one.all.submit(addition()), two.all.submit(addition()));
        tokio::join!(a, b, c, d)
    };
    let (said, (a, b, c, d)) = tokio::join!(join_all(talk), asked);
    assert!(said.iter().all(Result::is_ok), "{said:?}");
    let (removed, added) = (a.unwrap(), c.unwrap());
    assert_eq!((removed, added), (b.unwrap(), d.unwrap()), "one id is one request");
    let events = log(&one).await;
    let seqs: Vec<Seq> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=1 + 30 + 7 + 1).collect::<Vec<_>>());
    // All of it in one piece: seven events, though a bucket is full with four; the id stands for the first of them.
    let own: Vec<_> = events.iter().filter(|event| event.sender == user("root")).collect();
    let ids: Vec<_> =
        own.iter().filter(|event| event.seq != added.seq).map(|event| (event.seq, event.id)).collect();
    let expected: Vec<_> = (0..7).map(|n| (removed.seq + n, (n == 0).then_some(remove))).collect();
    assert_eq!(ids, expected);
    for node in [&one, &two] {
        let survey = node.all.survey(&place()).await.unwrap().unwrap();
        assert_eq!((survey.about.members, survey.about.owners), (2, 2));
        let (left, _) = survey.members("", 100).await.unwrap();
        assert_eq!(left.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["ann", "eve"]);
    }
    // A retry finds it in buckets that were closed long ago.
    for n in 0..20 {
        two.does(super::says("ann", world.id(), &n.to_string())).await;
    }
    assert_eq!(one.all.submit(removal()).await.unwrap(), removed);
    let again = by_root(world.id(), removals(&names));
    let nothing = one.all.submit(again).await.unwrap();
    assert_eq!(log(&two).await.last().unwrap().seq, nothing.seq, "an event that changes nothing");
    assert_eq!(one.all.survey(&place()).await.unwrap().unwrap().about.members, 2);
}

#[tokio::test]
async fn the_right_is_the_requests_and_not_the_users() {
    let world = World::new(Settings::default());
    let node = world.node();
    node.does(created(&world, &["bob"])).await;
    // The same body, by the same user: as a member they are nobody.
    let id = world.id();
    let as_member = acts("root", id, 0, removals(&["bob"]).remove(0));
    let refused = node.all.submit(as_member).await;
    assert!(matches!(refused, Err(CommandError::Refused(Refusal::NoConversation))), "{refused:?}");
    let receipt = node.all.submit(by_root(id, removals(&["bob"]))).await.unwrap();
    assert_eq!(receipt.seq, 2);
    // And it is a right to look after the conversation only.
    for body in [
        says("root", world.id(), "hello").body,
        Body::MessageDeleted(v1::MessageDeleted {}),
        Body::ConversationChanged(v1::ConversationChanged::default()),
    ] {
        let refused = node.all.submit(by_root(world.id(), vec![body])).await;
        assert!(matches!(refused, Err(CommandError::Refused(Refusal::Denied(_)))), "{refused:?}");
    }
    assert_eq!(log(&node).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_trimmed_once_whoever_asks_and_appends_meanwhile() {
    let world = World::small_buckets();
    let store = world.store();
    let [one, two] = [world.node_on(store.clone()), world.node_on(store)];
    one.does(created(&world, &[])).await;
    for n in 0..9 {
        one.does(says("ann", world.id(), &n.to_string())).await;
    }
    // Buckets 1-4, 5-8, 9-. They are too young to go.
    let early = one.all.trim_through(&place(), user("root"), world.id(), 10).await.unwrap();
    assert_eq!((early.seq, one.all.head(&place()).await.unwrap().unwrap().floor), (11, 0));
    world.clock.0.fetch_add(25 * HOUR, SeqCst);
    let id = world.id();
    let says: Vec<Command> = (0..10).map(|n| says("ann", world.id(), &n.to_string())).collect();
    let talk = says.iter().map(|command| two.all.submit(command.clone()));
    let ask = |node: &Node| {
        let all = node.all.clone();
        async move { all.trim_through(&place(), user("root"), id, 7).await }
    };
    let (said, a, b) = tokio::join!(join_all(talk), ask(&one), ask(&two));
    assert!(said.iter().all(Result::is_ok), "{said:?}");
    let receipt = a.unwrap();
    assert_eq!(b.unwrap(), receipt);
    assert_eq!(one.all.head(&place()).await.unwrap().unwrap().floor, 4, "only whole buckets");
    let trimmed = one.all.events(&place(), receipt.seq - 1, 1).await.unwrap().remove(0);
    assert_eq!((trimmed.sender.as_str(), trimmed.id), ("root", Some(id)));
    // To its end: the open bucket goes as well.
    world.clock.0.fetch_add(25 * HOUR, SeqCst);
    let end = one.all.head(&place()).await.unwrap().unwrap().last_seq;
    let all = one.all.trim_through(&place(), user("root"), world.id(), end).await.unwrap();
    let head = two.all.head(&place()).await.unwrap().unwrap();
    assert_eq!((head.floor, head.last_seq, all.seq), (end, end + 1, end + 1));
    // What the first request left in the log is gone: it is too old to tell.
    let gone = ask(&two).await;
    assert!(matches!(gone, Err(CommandError::Refused(Refusal::Beyond { .. }))), "{gone:?}");
    let survey = two.all.survey(&place()).await.unwrap().unwrap();
    assert_eq!((survey.about.members, survey.head.messages), (1, 19));
}
