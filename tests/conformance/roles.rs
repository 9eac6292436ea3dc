//! Who may do what to whom.

use crate::{
    person::{Person, content},
    refusal::{expect, expect_invalid},
    world::World,
};
use nexus_client::v1::{self, Role};
use std::sync::Arc;
use tonic::Code;

struct Team {
    group: String,
    owner: Person,
    admin: Person,
    member: Person,
    reader: Person,
    /// A message of the owner's.
    said: u64,
}

fn role_of(who: &Person, whose: &Person, group: &str, role: Role) -> v1::SetRoleRequest {
    v1::SetRoleRequest {
        conversation_id: group.into(),
        client_id: who.id(),
        user: whose.user.clone(),
        role: role as i32,
    }
}

async fn team(world: &Arc<World>) -> Team {
    let mut people = Vec::new();
    for who in ["owner", "admin", "member", "reader"] {
        people.push(Person::new(world, who).await);
    }
    let [owner, admin, member, reader] = people.try_into().ok().unwrap();
    let group = owner.group(&[&admin, &member, &reader]).await;
    owner.call(role_of(&owner, &admin, &group, Role::Admin)).await;
    owner.call(role_of(&owner, &reader, &group, Role::Reader)).await;
    let said = owner.say(&group, "welcome").await;
    Team { group, owner, admin, member, reader, said }
}

impl Team {
    fn title(&self, who: &Person, title: &str) -> v1::UpdateConversationRequest {
        v1::UpdateConversationRequest {
            conversation_id: self.group.clone(),
            client_id: who.id(),
            title: Some(title.into()),
            ..Default::default()
        }
    }

    fn adding(&self, who: &Person, whom: &Person, role: Role) -> v1::AddMembersRequest {
        v1::AddMembersRequest {
            conversation_id: self.group.clone(),
            client_id: who.id(),
            users: vec![whom.user.clone()],
            role: role as i32,
        }
    }

    fn removing(&self, who: &Person, whom: &Person) -> v1::RemoveMemberRequest {
        v1::RemoveMemberRequest {
            conversation_id: self.group.clone(),
            client_id: who.id(),
            user: whom.user.clone(),
        }
    }

    fn leaving(&self, who: &Person) -> v1::LeaveConversationRequest {
        v1::LeaveConversationRequest { conversation_id: self.group.clone(), client_id: who.id() }
    }
}

pub async fn a_reader_reads(world: Arc<World>) {
    let team = team(&world).await;
    let (reader, group) = (&team.reader, &team.group);
    assert_eq!(reader.see(group).await.role(), Role::Reader);
    assert_eq!(reader.events(group).await.len() as u64, team.said);
    let reaction = v1::AddReactionRequest {
        conversation_id: group.clone(),
        client_id: reader.id(),
        seq: team.said,
        reaction: "👍".into(),
    };
    expect(&reader.refused(reader.message(group, "may I?")).await, Code::PermissionDenied);
    expect(&reader.refused(reaction).await, Code::PermissionDenied);
    expect(&reader.refused(team.title(reader, "mine")).await, Code::PermissionDenied);
    reader.call(team.leaving(reader)).await;
}

pub async fn a_member_writes_and_an_admin_keeps_order(world: Arc<World>) {
    let team = team(&world).await;
    let (member, admin, group) = (&team.member, &team.admin, &team.group);
    let guest = Person::new(&world, "guest").await;
    let own = member.say(group, "I may").await;
    let pin = |who: &Person| v1::PinMessageRequest {
        conversation_id: group.clone(),
        client_id: who.id(),
        seq: own,
    };
    let delete = |who: &Person, seq| v1::DeleteMessageRequest {
        conversation_id: group.clone(),
        client_id: who.id(),
        seq,
    };
    for refused in [
        member.refused(pin(member)).await,
        member.refused(delete(member, team.said)).await,
        member.refused(team.title(member, "mine")).await,
        member.refused(team.adding(member, &guest, Role::Member)).await,
        member.refused(team.removing(member, &team.reader)).await,
        member.refused(role_of(member, member, group, Role::Admin)).await,
    ] {
        expect(&refused, Code::PermissionDenied);
    }
    admin.call(pin(admin)).await;
    admin.call(team.title(admin, "In order")).await;
    admin.call(delete(admin, own)).await;
    admin.call(team.adding(admin, &guest, Role::Admin)).await;
    admin.call(team.removing(admin, &team.reader)).await;
    assert_eq!(guest.see(group).await.title, "In order");
    assert_eq!((guest.see(group).await.role(), guest.see(group).await.member_count), (Role::Admin, 4));
}

pub async fn nobody_reaches_above_their_own_role(world: Arc<World>) {
    let team = team(&world).await;
    let (admin, owner, group) = (&team.admin, &team.owner, &team.group);
    let guest = Person::new(&world, "guest").await;
    for refused in [
        admin.refused(team.adding(admin, &guest, Role::Owner)).await,
        admin.refused(team.removing(admin, owner)).await,
        admin.refused(role_of(admin, owner, group, Role::Member)).await,
        admin.refused(role_of(admin, admin, group, Role::Owner)).await,
    ] {
        expect(&refused, Code::PermissionDenied);
    }
    expect_invalid(&owner.refused(role_of(owner, &guest, group, Role::Admin)).await, "user");
    expect_invalid(&owner.refused(team.removing(owner, &guest)).await, "user");
}

pub async fn the_last_owner_stays(world: Arc<World>) {
    let team = team(&world).await;
    let (owner, admin, group) = (&team.owner, &team.admin, &team.group);
    for refused in [
        owner.refused(team.leaving(owner)).await,
        owner.refused(team.removing(owner, owner)).await,
        owner.refused(role_of(owner, owner, group, Role::Member)).await,
    ] {
        expect(&refused, Code::FailedPrecondition);
    }
    owner.call(role_of(owner, admin, group, Role::Owner)).await;
    owner.call(role_of(owner, owner, group, Role::Member)).await;
    owner.call(team.leaving(owner)).await;
    for other in [&team.member, &team.reader] {
        admin.remove(group, other).await;
    }
    admin.call(team.leaving(admin)).await;
    let listed = admin.call(v1::ListConversationsRequest::default()).await.conversations;
    assert!(listed.iter().all(|conversation| conversation.id != *group), "the last one may leave");
}

pub async fn two_owners_can_not_both_go(world: Arc<World>) {
    let team = team(&world).await;
    team.owner.call(role_of(&team.owner, &team.admin, &team.group, Role::Owner)).await;
    let leave = async |who: &Person| {
        let transport = who.transport.clone();
        let mut request = tonic::Request::new(team.leaving(who));
        request.metadata_mut().insert("authorization", format!("Bearer {}", who.token).parse().unwrap());
        v1::conversation_service_client::ConversationServiceClient::new(transport)
            .leave_conversation(request)
            .await
    };
    let (one, two) = tokio::join!(leave(&team.owner), leave(&team.admin));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    expect(&one.err().or(two.err()).unwrap(), Code::FailedPrecondition);
}

pub async fn who_is_a_member_already_stays_as_they_are(world: Arc<World>) {
    let team = team(&world).await;
    let guest = Person::new(&world, "guest").await;
    let request = v1::AddMembersRequest {
        users: vec![team.admin.user.clone(), guest.user.clone(), guest.user.clone()],
        ..team.adding(&team.owner, &guest, Role::Reader)
    };
    let added = team.owner.call(request).await.receipt.unwrap().seq;
    let see = async |who: &Person| {
        let seen = who.see(&team.group).await;
        (seen.role(), seen.member_since, seen.member_count)
    };
    assert_eq!(see(&team.admin).await, (Role::Admin, 1, 5));
    assert_eq!(see(&guest).await, (Role::Reader, added, 5));
}

pub async fn a_channel_may_be_for_admins_to_write(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let channel = ann.channel(&[&bob]).await;
    bob.say(&channel, "anybody may").await;
    let update = v1::UpdateConversationRequest {
        conversation_id: channel.clone(),
        client_id: ann.id(),
        topic: Some("Announcements".into()),
        post_role: Some(Role::Admin as i32),
        ..Default::default()
    };
    let at = ann.call(update).await.receipt.unwrap().seq;
    expect(&bob.refused(bob.message(&channel, "may I?")).await, Code::PermissionDenied);
    ann.say(&channel, "only admins may").await;
    let seen = bob.see(&channel).await;
    assert_eq!(
        (seen.post_role(), &seen.topic[..], &seen.title[..]),
        (Role::Admin, "Announcements", "Conformance")
    );
    assert!(seen.reflects > at);
    // A channel that is private from now on is found by members only.
    let hide = v1::UpdateConversationRequest {
        conversation_id: channel.clone(),
        client_id: ann.id(),
        visibility: Some(v1::Visibility::Private as i32),
        ..Default::default()
    };
    ann.call(hide).await;
    let eve = Person::new(&world, "eve").await;
    let join = v1::JoinConversationRequest { conversation_id: channel.clone(), client_id: eve.id() };
    expect(&eve.refused(join).await, Code::NotFound);
    let public_group = v1::CreateConversationRequest {
        client_id: ann.id(),
        kind: v1::ConversationKind::Group as i32,
        title: "A group".into(),
        visibility: v1::Visibility::Public as i32,
        ..Default::default()
    };
    expect_invalid(&ann.refused(public_group).await, "visibility");
}

pub async fn a_direct_conversation_is_one_per_pair(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let (one, two, three) = tokio::join!(ann.direct(&bob), bob.direct(&ann), ann.direct(&bob));
    assert_eq!((&one.id, &one.id), (&two.id, &three.id), "two who ask at once get the same one");
    assert_eq!((one.kind(), &one.peer, &two.peer), (v1::ConversationKind::Direct, &bob.user, &ann.user));
    ann.say(&one.id, "hello").await;
    let seen = bob.direct(&ann).await;
    assert_eq!((seen.last_seq, seen.message_count, seen.member_count), (2, 1, 2));
    let eve = Person::new(&world, "eve").await;
    let id = &one.id;
    let add = v1::AddMembersRequest {
        conversation_id: id.clone(),
        client_id: ann.id(),
        users: vec![eve.user.clone()],
        role: 0,
    };
    let remove =
        v1::RemoveMemberRequest { conversation_id: id.clone(), client_id: ann.id(), user: bob.user.clone() };
    let leave = v1::LeaveConversationRequest { conversation_id: id.clone(), client_id: ann.id() };
    for refused in [
        ann.refused(add).await,
        ann.refused(remove).await,
        ann.refused(leave).await,
        ann.refused(role_of(&ann, &bob, id, Role::Reader)).await,
    ] {
        expect(&refused, Code::FailedPrecondition);
    }
    expect_invalid(&ann.refused(v1::GetOrCreateDirectRequest { user: ann.user.clone() }).await, "user");
    expect(&eve.refused(eve.message(id, "let me in")).await, Code::NotFound);
    // Both may pin, and neither may touch the other's words.
    let seq = bob.say(id, "mine").await;
    ann.call(v1::PinMessageRequest { conversation_id: id.clone(), client_id: ann.id(), seq }).await;
    let edit = v1::EditMessageRequest {
        conversation_id: id.clone(),
        client_id: ann.id(),
        seq,
        content: Some(content("yours")),
    };
    expect(&ann.refused(edit).await, Code::PermissionDenied);
    let delete = v1::DeleteMessageRequest { conversation_id: id.clone(), client_id: ann.id(), seq };
    expect(&ann.refused(delete).await, Code::PermissionDenied);
}
