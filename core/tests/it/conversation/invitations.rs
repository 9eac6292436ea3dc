//! Invitations over the real store: used exactly as often as they may be, and what is left of them.

use super::{HOUR, NOON, Node, World, acts, created, place, says, user};
use nexus_core::{
    conversation::{
        Command, CommandError, Receipt, Refusal, Settings, invitation::Invitation, rebuild::rebuild,
    },
    domain::Seq,
    log::Log,
    store::{Cell, Limits, Partition, Rows, Store, Sync},
};
use nexus_proto::v1::{self, InvitationCreated, InvitationEnded, MemberRole, Role, event::Body};
use std::{sync::Arc, time::Duration};

fn link(max_uses: u32) -> InvitationCreated {
    let (role, secret_sha256) = (Role::Reader as i32, vec![7; 32]);
    InvitationCreated { role, secret_sha256, max_uses, ..Default::default() }
}

fn naming(users: &[&str]) -> InvitationCreated {
    let users = users.iter().map(|user| (*user).to_owned()).collect();
    InvitationCreated { role: Role::Member as i32, users, ..Default::default() }
}

fn invites(world: &World, by: &str, body: InvitationCreated) -> Command {
    acts(by, world.id(), 0, Body::InvitationCreated(body))
}

fn accepts(world: &World, who: &str, target: Seq) -> Command {
    let members = vec![MemberRole { user: who.into(), role: 0 }];
    acts(who, world.id(), target, Body::MembersAdded(v1::MembersAdded { members }))
}

fn declines(world: &World, who: &str, target: Seq) -> Command {
    acts(who, world.id(), target, Body::InvitationEnded(InvitationEnded { user: who.into() }))
}

fn revokes(world: &World, who: &str, target: Seq) -> Command {
    acts(who, world.id(), target, Body::InvitationEnded(InvitationEnded { user: String::new() }))
}

impl Node {
    async fn invitation(&self, seq: Seq) -> Option<Invitation> {
        let found = self.all.invitation(&place(), seq, &user("eve")).await.unwrap();
        found.map(|found| found.invitation)
    }

    async fn open(&self) -> Vec<Seq> {
        let look = self.all.look(&place(), &user("ann"), 0).await.unwrap();
        look.about.invitations.iter().map(|open| open.seq).collect()
    }

    async fn received(&self, who: &str) -> Vec<Seq> {
        let page = self.all.received(&user("default"), &user(who), None, 10).await.unwrap();
        assert!(page.next.is_none());
        page.found.iter().map(|found| found.seq).collect()
    }
}

async fn rebuilt(world: &World, store: &Arc<dyn Store>) -> Seq {
    let log = Log::new(store.clone(), world.clock.clone(), place(), world.settings.log.clone());
    rebuild(store.clone(), &log, &place()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_at_once_let_in_no_more_than_may_join() {
    let world = World::small_buckets();
    let store = world.store();
    let nodes = [world.node_on(store.clone()), world.node_on(store)];
    nodes[0].does(created(&world, &[])).await;
    let seq = nodes[0].does(invites(&world, "ann", link(5))).await.seq;
    let names: Vec<String> = (0..24).map(|n| format!("u{n}")).collect();
    let asked: Vec<(usize, Command)> =
        names.iter().enumerate().map(|(n, who)| (n % 2, accepts(&world, who, seq))).collect();
    let tasks: Vec<_> = asked
        .iter()
        .map(|(n, command)| {
            let (all, command) = (nodes[*n].all.clone(), command.clone());
            tokio::spawn(async move {
                loop {
                    // Of two nodes that append to one conversation, one may be overtaken again and again.
                    match all.submit(command.clone()).await {
                        Err(CommandError::Unknown(_)) => {}
                        other => return other,
                    }
                }
            })
        })
        .collect();
    let mut joined: Vec<(usize, Command, Receipt)> = Vec::new();
    for (task, (n, command)) in tasks.into_iter().zip(asked) {
        match task.await.unwrap() {
            Ok(receipt) => joined.push((n, command, receipt)),
            Err(error) => {
                assert!(matches!(error, CommandError::Refused(Refusal::State(_))), "{error:?}");
            }
        }
    }
    assert_eq!(joined.len(), 5);
    let row = nodes[1].invitation(seq).await.unwrap();
    assert_eq!((row.uses, row.state_at(0)), (5, v1::InvitationState::UsedUp));
    let about = nodes[0].all.look(&place(), &user("ann"), 0).await.unwrap().about;
    assert_eq!((about.members, about.invitations.len()), (6, 0));
    for (n, command, receipt) in joined {
        assert_eq!(nodes[1 - n].does(command).await, receipt, "a retry elsewhere gets the first receipt");
    }
}

#[tokio::test]
async fn who_may_and_who_may_not() {
    let world = World::small_buckets();
    let node = world.node();
    node.does(created(&world, &["bob"])).await;
    let denied = node.refuses(invites(&world, "bob", link(0))).await;
    assert!(matches!(denied, Refusal::Denied(_)), "{denied:?}");
    assert_eq!(node.refuses(invites(&world, "eve", link(0))).await, Refusal::NoConversation);
    let named = node.does(invites(&world, "ann", naming(&["cyd", "dee"]))).await.seq;
    assert_eq!(node.refuses(accepts(&world, "eve", named)).await, Refusal::NoInvitation);
    assert_eq!(node.refuses(declines(&world, "eve", named)).await, Refusal::NoInvitation);
    assert_eq!(node.refuses(accepts(&world, "eve", named + 7)).await, Refusal::NoInvitation);
    assert_eq!(node.refuses(accepts(&world, "cyd", 1)).await, Refusal::NoInvitation);
    let denied = node.refuses(revokes(&world, "bob", named)).await;
    assert!(matches!(denied, Refusal::Denied(_)), "{denied:?}");
    assert_eq!(node.refuses(revokes(&world, "eve", named)).await, Refusal::NoConversation);
    assert_eq!(node.refuses(revokes(&world, "ann", 1)).await, Refusal::NoInvitation);
    node.does(declines(&world, "cyd", named)).await;
    for again in [declines(&world, "cyd", named), accepts(&world, "cyd", named)] {
        let refused = node.refuses(again).await;
        assert!(matches!(refused, Refusal::State(_)), "{refused:?}");
    }
    assert_eq!(node.open().await, [named], "it stays open for the other");
    node.does(accepts(&world, "dee", named)).await;
    assert_eq!(node.invitation(named).await.unwrap().state_at(0), v1::InvitationState::UsedUp);
    assert!(node.open().await.is_empty());
    // It has ended, and stays as it is.
    node.does(revokes(&world, "ann", named)).await;
    assert_eq!(node.invitation(named).await.unwrap().state_at(0), v1::InvitationState::UsedUp);
}

#[tokio::test]
async fn a_member_takes_none_of_its_uses() {
    let world = World::small_buckets();
    let node = world.node();
    node.does(created(&world, &["bob"])).await;
    let seq = node.does(invites(&world, "ann", link(1))).await.seq;
    for _ in 0..3 {
        node.does(accepts(&world, "bob", seq)).await;
    }
    assert_eq!(node.invitation(seq).await.unwrap().uses, 0);
    let look = node.all.look(&place(), &user("bob"), 0).await.unwrap();
    assert_eq!((look.role, look.about.members), (Some(Role::Member), 2));
    node.does(accepts(&world, "eve", seq)).await;
    let look = node.all.look(&place(), &user("eve"), 0).await.unwrap();
    assert_eq!(look.role, Some(Role::Reader), "the role is the invitation's");
    // One who is named and was added meanwhile is done with it.
    let named = node.does(invites(&world, "ann", naming(&["eve", "fay"]))).await.seq;
    node.does(accepts(&world, "eve", named)).await;
    let row = node.invitation(named).await.unwrap();
    assert_eq!((row.uses, &row.settled[..]), (0, &["eve".to_owned()][..]));
}

#[tokio::test]
async fn a_full_conversation_takes_no_use() {
    let mut settings = Settings::default();
    settings.rules.group_members = 2;
    let world = World::new(settings);
    let node = world.node();
    node.does(created(&world, &["bob"])).await;
    let seq = node.does(invites(&world, "ann", link(1))).await.seq;
    let full = node.refuses(accepts(&world, "eve", seq)).await;
    assert!(matches!(full, Refusal::Full { limit: 2, .. }), "{full:?}");
    assert_eq!(node.invitation(seq).await.unwrap().uses, 0);
    let left = Body::MemberRemoved(v1::MemberRemoved { user: "bob".into() });
    node.does(acts("bob", world.id(), 0, left)).await;
    node.does(accepts(&world, "eve", seq)).await;
}

#[tokio::test]
async fn so_many_are_open_at_once_and_time_makes_room() {
    let world = World::new(Settings::default());
    let node = world.node();
    node.does(created(&world, &[])).await;
    let brief = InvitationCreated { expires_at_ms: NOON + HOUR, ..link(0) };
    for n in 0..100 {
        node.does(invites(&world, "ann", if n % 2 == 0 { brief.clone() } else { link(0) })).await;
    }
    let full = Refusal::Full { what: "open invitations of the conversation", limit: 100 };
    assert_eq!(node.refuses(invites(&world, "ann", link(0))).await, full);
    world.clock.0.fetch_add(HOUR, std::sync::atomic::Ordering::SeqCst);
    let late = node.refuses(invites(&world, "ann", brief)).await;
    assert!(matches!(late, Refusal::Invalid { field: "expires_at_ms", .. }), "{late:?}");
    for _ in 0..50 {
        node.does(invites(&world, "ann", link(0))).await;
    }
    assert_eq!(node.refuses(invites(&world, "ann", link(0))).await, full);
    let open = node.open().await;
    assert_eq!(open.len(), 100);
    node.does(revokes(&world, "ann", open[0])).await;
    node.does(invites(&world, "ann", link(0))).await;
}

#[tokio::test]
async fn a_rebuild_makes_of_the_log_what_was_there() {
    let world = World::small_buckets();
    let node = world.node();
    node.does(created(&world, &["bob"])).await;
    let used = node.does(invites(&world, "ann", link(1))).await.seq;
    node.does(accepts(&world, "cyd", used)).await;
    let open = node.does(invites(&world, "ann", link(3))).await.seq;
    node.does(accepts(&world, "dee", open)).await;
    let revoked = node.does(invites(&world, "ann", naming(&["eve", "fay"]))).await.seq;
    node.does(revokes(&world, "ann", revoked)).await;
    let named = node.does(invites(&world, "ann", naming(&["eve", "fay", "gus"]))).await.seq;
    node.does(declines(&world, "fay", named)).await;
    node.does(accepts(&world, "gus", named)).await;
    let all = [used, open, revoked, named];
    let mut before = Vec::new();
    for seq in all {
        before.push(node.invitation(seq).await.unwrap());
    }
    assert_eq!((node.open().await, node.received("eve").await), (vec![open, named], vec![named]));
    let store = node.store.clone();
    drop(node);

    for part in 1..=5 {
        let lost = Partition::View { place: place(), generation: 0, view: part, part: 0 };
        store.drop_cells(&lost).await.unwrap();
    }
    store.drop_cells(&Partition::Received(user("default"), user("eve"))).await.unwrap();
    assert_eq!(rebuilt(&world, &store).await, 10);
    let node = world.node_on(store.clone());
    for (seq, before) in all.iter().zip(before) {
        assert_eq!(node.invitation(*seq).await, Some(before));
    }
    assert_eq!((node.open().await, node.received("eve").await), (vec![open, named], vec![named]));
    for who in ["fay", "gus"] {
        assert!(node.received(who).await.is_empty(), "{who}");
    }
    drop(node);
    rebuilt(&world, &store).await;
    let old = Partition::View { place: place(), generation: 1, view: 5, part: 0 };
    let rows = Rows::Range { from: bytes::Bytes::new(), to: None, down: false, limit: 9 };
    assert!(store.read_rows(&old, rows).await.unwrap().is_empty(), "the generation before is gone");
}

#[tokio::test]
async fn an_open_one_outlives_the_part_of_the_log_that_it_stands_in() {
    let mut settings = Settings::default();
    settings.log.limits = Limits { events: 4, ..Limits::default() };
    settings.retention.keep_ms = 24 * HOUR;
    (settings.retention.grace, settings.retention.pause) = (Duration::ZERO, Duration::ZERO);
    let world = World::new(settings);
    let node = world.node();
    node.does(created(&world, &[])).await;
    let open = node.does(invites(&world, "ann", link(1))).await.seq;
    let named = node.does(invites(&world, "ann", naming(&["eve"]))).await.seq;
    for n in 0..6 {
        node.does(says("ann", world.id(), &n.to_string())).await;
    }
    world.clock.0.fetch_add(72 * HOUR, std::sync::atomic::Ordering::SeqCst);
    node.all.trim_old().await.unwrap();
    assert!(node.all.head(&place()).await.unwrap().unwrap().floor > named);
    assert!(node.all.events(&place(), 0, 10).await.unwrap().iter().all(|event| event.seq > named));
    let store = node.store.clone();
    drop(node);
    for _ in 0..2 {
        let node = world.node_on(store.clone());
        assert_eq!((node.open().await, node.received("eve").await), (vec![open, named], vec![named]));
        drop(node);
        rebuilt(&world, &store).await;
    }
    let node = world.node_on(store);
    node.does(accepts(&world, "bob", open)).await;
    node.does(accepts(&world, "eve", named)).await;
    assert!(node.open().await.is_empty() && node.received("eve").await.is_empty());
}

#[tokio::test]
async fn it_is_received_though_its_node_died_before_it_stored_its_views() {
    let world = World::new(Settings::default());
    let died = world.node();
    died.does(created(&world, &[])).await;
    let seq = died.does(invites(&world, "ann", naming(&["eve"]))).await.seq;
    let store = died.store.clone();
    drop(died);
    assert_eq!(world.node_on(store).received("eve").await, [seq]);
}

#[tokio::test]
async fn a_row_that_leads_nowhere_is_deleted_by_whoever_comes_upon_it() {
    let world = World::new(Settings::default());
    let node = world.node();
    node.does(created(&world, &[])).await;
    let seq = node.does(invites(&world, "ann", naming(&["eve"]))).await.seq;
    let partition = Partition::Received(user("default"), user("eve"));
    // As of a batch that came to stand elsewhere, and of one that is still under way.
    for (time, seq) in [(5i64, 1u64), (6, seq), (7, seq + 1)] {
        let row = [&time.to_be_bytes()[..], &seq.to_be_bytes(), place().conversation.0.as_bytes()].concat();
        let cell = Cell { row: row.into(), column: "w".into(), at: seq, value: Some("".into()) };
        node.store.write_cells(&partition, vec![cell], Sync::Now).await.unwrap();
    }
    let rows = async || {
        let all = Rows::Range { from: bytes::Bytes::new(), to: None, down: false, limit: 9 };
        node.store.read_rows(&partition, all).await.unwrap().len()
    };
    assert_eq!(rows().await, 4);
    assert_eq!(node.received("eve").await, [seq]);
    assert_eq!(rows().await, 2, "what is not decided yet stays");
}
