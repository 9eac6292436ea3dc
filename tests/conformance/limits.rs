//! Every limit that `docs/promises.md` tells, where it can be reached in a moment: beyond it one is told which it is.

use crate::{
    person::Person,
    refusal::{expect, expect_invalid},
    stream::Stream,
    world::World,
};
use nexus_client::v1;
use std::sync::Arc;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

fn expect_quota(status: &Status) {
    expect(status, Code::ResourceExhausted);
    let violations = status.get_details_quota_failure().map(|quota| quota.violations).unwrap_or_default();
    let told = !violations.is_empty() && violations.iter().all(|v| !v.subject.is_empty());
    assert!(told, "{status:?} has no google.rpc.QuotaFailure");
}

pub async fn a_message_has_so_many_kinds_of_reactions(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let seq = ann.say(&group, "react").await;
    let react = |who: &Person, n: usize| v1::AddReactionRequest {
        conversation_id: group.clone(),
        client_id: who.id(),
        seq,
        reaction: format!("kind{n}"),
    };
    for n in 0..50 {
        ann.call(react(&ann, n)).await;
    }
    expect_quota(&ann.refused(react(&ann, 50)).await);
    bob.call(react(&bob, 49)).await;
}

pub async fn a_conversation_has_so_many_pins(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let direct = ann.direct(&bob).await.id;
    let pin = |who: &Person, seq| v1::PinMessageRequest {
        conversation_id: direct.clone(),
        client_id: who.id(),
        seq,
    };
    let mut seqs = Vec::new();
    for _ in 0..101 {
        seqs.push(bob.say(&direct, "pin me").await);
    }
    for seq in &seqs[..100] {
        ann.call(pin(&ann, *seq)).await;
    }
    expect_quota(&ann.refused(pin(&ann, seqs[100])).await);
    ann.call(pin(&ann, seqs[0])).await;
    let unpin =
        v1::UnpinMessageRequest { conversation_id: direct.clone(), client_id: ann.id(), seq: seqs[0] };
    ann.call(unpin).await;
    ann.call(pin(&ann, seqs[100])).await;
    assert_eq!(bob.see(&direct).await.pinned.len(), 100);
}

pub async fn people_come_by_the_hundred(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let group = ann.group(&[]).await;
    let names = |n: usize| (0..n).map(|n| format!("somebody{n}")).collect::<Vec<_>>();
    let add =
        |users| v1::AddMembersRequest { conversation_id: group.clone(), client_id: ann.id(), users, role: 0 };
    expect_invalid(&ann.refused(add(names(101))).await, "users");
    expect_invalid(&ann.refused(add(Vec::new())).await, "users");
    expect_invalid(&ann.refused(v1::GetPresenceRequest { users: names(201) }).await, "users");
    let markers = v1::ListMarkersRequest { conversation_id: group.clone() };
    for _ in 0..2 {
        let users = (0..100).map(|_| world.name("m")).collect();
        ann.call(add(users)).await;
    }
    expect(&ann.refused(markers).await, Code::FailedPrecondition);
    assert_eq!(ann.see(&group).await.member_count, 201);
    let all: Vec<String> = names(101);
    let members = all.into_iter().map(|user| v1::MemberRole { user, role: 0 }).collect();
    let create = v1::CreateConversationRequest {
        client_id: ann.id(),
        kind: v1::ConversationKind::Group as i32,
        title: "Crowd".into(),
        members,
        ..Default::default()
    };
    expect_invalid(&ann.refused(create).await, "members.user");
}

pub async fn attach_takes_so_many_cursors(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let ids: Vec<String> = (0..5001u32)
        .map(|n| {
            uuid::Uuid::new_v8([n.to_be_bytes(), [7; 4], [7; 4], [7; 4]].concat().try_into().unwrap())
                .to_string()
        })
        .collect();
    let cursors: Vec<(&str, u64)> = ids.iter().map(|id| (&id[..], 0)).collect();
    let attach = async |cursors: &[(&str, u64)]| Stream::try_attach(&ann, &ann.token, cursors, false).await;
    expect_invalid(&attach(&cursors).await.err().unwrap(), "cursors");
    expect_invalid(&attach(&[cursors[0], cursors[0]]).await.err().unwrap(), "cursors");
    expect_invalid(&attach(&[(&ids[0], u64::MAX)]).await.err().unwrap(), "cursors");
    let mut most = attach(&cursors[..5000]).await.unwrap();
    assert_eq!(most.caught_up().await, 5000);
}
