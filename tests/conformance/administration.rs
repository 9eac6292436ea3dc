//! What administrators may do, and nobody else.

use crate::{
    person::Person,
    refusal::{expect, expect_invalid},
    world::World,
};
use nexus_client::v1::{self, Role};
use std::sync::Arc;
use tonic::Code;

async fn retention(who: &Person, conversation: &str) -> (u32, bool) {
    let answer = who.call(v1::GetRetentionRequest { conversation_id: conversation.into() }).await;
    (answer.retention.unwrap().days, answer.own)
}

fn keep(conversation: &str, days: Option<u32>) -> v1::SetRetentionRequest {
    let retention = days.map(|days| v1::Retention { days });
    v1::SetRetentionRequest { conversation_id: conversation.into(), retention }
}

pub async fn retention_is_said_of_one_conversation(world: Arc<World>) {
    let (root, ann) = (Person::administrator(&world).await, Person::new(&world, "ann").await);
    let (one, other) = (ann.group(&[]).await, ann.group(&[]).await);
    let (inherited, own) = retention(&root, &one).await;
    assert!(!own);
    let set = root.call(keep(&one, Some(30))).await;
    assert_eq!(set.retention.unwrap().days, 30);
    assert_eq!(retention(&root, &one).await, (30, true));
    assert_eq!(retention(&root, &other).await, (inherited, false));
    let set = root.call(keep(&one, None)).await;
    assert_eq!(set.retention.unwrap().days, inherited);
    assert_eq!(retention(&root, &one).await, (inherited, false));
}

pub async fn retention_has_bounds(world: Arc<World>) {
    let (root, ann) = (Person::administrator(&world).await, Person::new(&world, "ann").await);
    let group = ann.group(&[]).await;
    for bad in [36_501, u32::MAX] {
        let status = root.refused(keep(&group, Some(bad))).await;
        expect(&status, Code::InvalidArgument);
        assert!(status.message().contains("36500"), "{status:?}");
    }
    assert!(!retention(&root, &group).await.1, "nothing was done");
    assert_eq!(root.call(keep(&group, Some(36_500))).await.retention.unwrap().days, 36_500);
}

pub async fn nobody_else_administers(world: Arc<World>) {
    let (root, ann) = (Person::administrator(&world).await, Person::new(&world, "ann").await);
    let group = ann.group(&[]).await;
    expect(&ann.refused(keep(&group, Some(1))).await, Code::PermissionDenied);
    let see = v1::GetRetentionRequest { conversation_id: group.clone() };
    expect(&ann.refused(see.clone()).await, Code::PermissionDenied);
    // Nor does one's own conversation make an administrator of its owner.
    let it = v1::GetTenantConversationRequest { conversation_id: group.clone() };
    expect(&ann.refused(it).await, Code::PermissionDenied);
    let list = v1::ListTenantConversationsRequest::default();
    expect(&ann.refused(list).await, Code::PermissionDenied);
    let who = v1::ListConversationMembersRequest { conversation_id: group.clone(), ..Default::default() };
    expect(&ann.refused(who).await, Code::PermissionDenied);
    expect(&ann.refused(adding(&group, &ann, &[(&root, Role::Member)])).await, Code::PermissionDenied);
    expect(&ann.refused(removing(&group, &ann, &[&ann])).await, Code::PermissionDenied);
    expect(&ann.refused(making(&group, &ann, &ann, Role::Reader)).await, Code::PermissionDenied);
    expect(&ann.refused(trimming(&group, &ann, 1)).await, Code::PermissionDenied);
    // Another tenant's conversation is none, for its administrators too.
    let stranger = Person::named(&world, "eve", &world.name("elsewhere"), "phone").await;
    let foreign = stranger.group(&[]).await;
    expect(&root.refused(keep(&foreign, Some(1))).await, Code::NotFound);
    expect(&root.refused(adding(&foreign, &root, &[(&root, Role::Owner)])).await, Code::NotFound);
    expect(&root.refused(removing(&foreign, &root, &[&stranger])).await, Code::NotFound);
    expect(&root.refused(trimming(&foreign, &root, 1)).await, Code::NotFound);
    assert!(!retention(&root, &group).await.1);
}

fn adding(
    conversation: &str,
    who: &Person,
    members: &[(&Person, Role)],
) -> v1::AddConversationMembersRequest {
    let member =
        |(person, role): &(&Person, Role)| v1::MemberRole { user: person.user.clone(), role: *role as i32 };
    v1::AddConversationMembersRequest {
        conversation_id: conversation.into(),
        client_id: who.id(),
        members: members.iter().map(member).collect(),
    }
}

fn removing(conversation: &str, who: &Person, users: &[&Person]) -> v1::RemoveConversationMembersRequest {
    v1::RemoveConversationMembersRequest {
        conversation_id: conversation.into(),
        client_id: who.id(),
        users: users.iter().map(|person| person.user.clone()).collect(),
    }
}

fn making(conversation: &str, who: &Person, user: &Person, role: Role) -> v1::SetConversationRoleRequest {
    v1::SetConversationRoleRequest {
        conversation_id: conversation.into(),
        client_id: who.id(),
        user: user.user.clone(),
        role: role as i32,
    }
}

fn trimming(conversation: &str, who: &Person, through: u64) -> v1::TrimConversationRequest {
    v1::TrimConversationRequest { conversation_id: conversation.into(), client_id: who.id(), through }
}

async fn described(root: &Person, conversation: &str) -> v1::TenantConversation {
    let request = v1::GetTenantConversationRequest { conversation_id: conversation.into() };
    root.call(request).await.conversation.unwrap()
}

/// Names and roles, by pages of two.
async fn members(root: &Person, conversation: &str) -> Vec<(String, Role)> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListConversationMembersRequest {
            conversation_id: conversation.into(),
            page_size: 2,
            page_token,
        };
        let page = root.call(request).await;
        all.extend(page.members.into_iter().map(|member| (member.user.clone(), member.role())));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

/// Ids of the tenant's conversations, by pages of three.
async fn listed(root: &Person, wanted: v1::ListTenantConversationsRequest) -> Vec<String> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListTenantConversationsRequest { page_size: 3, page_token, ..wanted.clone() };
        let page = root.call(request).await;
        assert!(page.conversations.len() <= 3);
        all.extend(page.conversations.into_iter().map(|described| described.conversation.unwrap().id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

pub async fn who_is_no_member_adds_and_removes(world: Arc<World>) {
    let (root, ann) = (Person::administrator(&world).await, Person::new(&world, "ann").await);
    let bob = Person::new(&world, "bob").await;
    let group = ann.group(&[]).await;
    let mut stream = bob.attach(&[]).await;
    stream.caught_up().await;
    let request = adding(&group, &root, &[(&bob, Role::Owner), (&ann, Role::Reader)]);
    let receipt = root.call(request.clone()).await.receipt.unwrap();
    assert_eq!(root.call(request.clone()).await.receipt.unwrap(), receipt, "a retry appends nothing");
    let told = stream.events(&group, receipt.seq).await.last().unwrap().clone();
    assert_eq!((told.seq, &told.sender, &told.id), (receipt.seq, &root.user, &request.client_id));
    let Some(v1::event::Body::MembersAdded(body)) = told.body else { panic!("{told:?}") };
    assert_eq!(body.members.len(), 1, "by which clients count");
    let mut both = vec![(ann.user.clone(), Role::Owner), (bob.user.clone(), Role::Owner)];
    both.sort();
    assert_eq!(members(&root, &group).await, both, "who is a member stays as they are");
    let request = removing(&group, &root, &[&bob]);
    let removed = root.call(request.clone()).await.receipt.unwrap();
    assert_eq!(removed.seq, receipt.seq + 1);
    let told = stream.events(&group, removed.seq).await.last().unwrap().seq;
    assert_eq!(told, removed.seq, "the last event that bob gets");
    assert_eq!(root.call(request).await.receipt.unwrap(), removed);
    // The administrator has become no member by all that.
    let see = v1::GetConversationRequest { conversation_id: group.clone(), at_least: 0 };
    expect(&root.refused(see).await, Code::NotFound);
    let fresh = root.message(&group, "hello");
    expect(&root.refused(fresh).await, Code::NotFound);
}

pub async fn several_are_removed_at_once_or_not_at_all(world: Arc<World>) {
    let (root, ann) = (Person::administrator(&world).await, Person::new(&world, "ann").await);
    let [bob, eve] = [Person::new(&world, "bob").await, Person::new(&world, "eve").await];
    let group = ann.group(&[&bob]).await;
    let mut bad = removing(&group, &root, &[&ann, &bob]);
    bad.users.push("no name".into());
    expect_invalid(&root.refused(bad).await, "users");
    assert_eq!(members(&root, &group).await.len(), 2, "nobody was removed");
    // Eve is no member, which is no error; ann is the last owner.
    let request = removing(&group, &root, &[&ann, &eve, &bob]);
    let receipt = root.call(request.clone()).await.receipt.unwrap();
    assert_eq!(root.call(request.clone()).await.receipt.unwrap(), receipt);
    assert!(members(&root, &group).await.is_empty());
    let other = v1::RemoveConversationMembersRequest { users: vec![bob.user.clone()], ..request };
    expect_invalid(&root.refused(other).await, "client_id");
    // What nobody is left to see, an owner sees who is appointed afterwards, and everybody who was there.
    let nobody = removing(&group, &root, &[&eve]);
    let first = root.call(nobody.clone()).await.receipt.unwrap();
    assert_eq!(first.seq, receipt.seq + 2, "two events, one after the other, then one that changes nothing");
    assert_eq!(root.call(nobody).await.receipt.unwrap(), first);
    let orphans = v1::ListTenantConversationsRequest { orphaned: true, ..Default::default() };
    assert!(listed(&root, orphans.clone()).await.contains(&group));
    root.call(adding(&group, &root, &[(&eve, Role::Owner)])).await;
    assert!(!listed(&root, orphans).await.contains(&group), "it has an owner again");
    assert_eq!(eve.see(&group).await.member_count, 1);
    let seen = bob.events(&group).await;
    let last = seen.last().unwrap();
    assert_eq!((last.seq, &last.sender, last.id.as_str()), (receipt.seq + 1, &root.user, ""));
}

pub async fn roles_have_no_bounds_for_administrators(world: Arc<World>) {
    let (root, ann) = (Person::administrator(&world).await, Person::new(&world, "ann").await);
    let [bob, eve] = [Person::new(&world, "bob").await, Person::new(&world, "eve").await];
    let group = ann.group(&[&bob]).await;
    let request = making(&group, &root, &ann, Role::Reader);
    let receipt = root.call(request.clone()).await.receipt.unwrap();
    assert_eq!(root.call(request).await.receipt.unwrap(), receipt);
    assert_eq!(ann.see(&group).await.role(), Role::Reader, "the last owner too");
    root.call(making(&group, &root, &bob, Role::Owner)).await;
    assert_eq!(described(&root, &group).await.owners, [bob.user.as_str()]);
    expect_invalid(&root.refused(making(&group, &root, &eve, Role::Admin)).await, "user");
    // By this right only: as somebody who uses the conversation they are nobody.
    let as_member = v1::SetRoleRequest {
        conversation_id: group.clone(),
        client_id: root.id(),
        user: ann.user.clone(),
        role: Role::Owner as i32,
    };
    expect(&root.refused(as_member).await, Code::NotFound);
}

pub async fn a_direct_conversation_keeps_its_two(world: Arc<World>) {
    let (root, ann) = (Person::administrator(&world).await, Person::new(&world, "ann").await);
    let [bob, eve] = [Person::new(&world, "bob").await, Person::new(&world, "eve").await];
    let direct = ann.direct(&bob).await.id;
    expect(&root.refused(adding(&direct, &root, &[(&eve, Role::Member)])).await, Code::FailedPrecondition);
    expect(&root.refused(removing(&direct, &root, &[&bob])).await, Code::FailedPrecondition);
    expect(&root.refused(making(&direct, &root, &bob, Role::Owner)).await, Code::FailedPrecondition);
    assert_eq!(members(&root, &direct).await.len(), 2);
    let it = described(&root, &direct).await;
    assert!(it.owners.is_empty() && it.conversation.unwrap().peer.is_empty());
    let orphans = v1::ListTenantConversationsRequest { orphaned: true, ..Default::default() };
    assert!(!listed(&root, orphans).await.contains(&direct), "it never has an owner");
}

pub async fn a_tenants_conversations_are_listed_once(world: Arc<World>) {
    let (root, ann) = (Person::administrator(&world).await, Person::new(&world, "ann").await);
    let bob = Person::new(&world, "bob").await;
    let mut theirs = Vec::new();
    for _ in 0..7 {
        theirs.push(ann.group(&[]).await);
    }
    theirs.push(ann.channel(&[&bob]).await);
    theirs.push(ann.direct(&bob).await.id);
    theirs.sort();
    let everything = v1::ListTenantConversationsRequest::default();
    let mut found = listed(&root, everything.clone()).await;
    let ordered: Vec<String> = found.clone();
    found.sort();
    assert_eq!(found, ordered, "by id");
    found.dedup();
    assert_eq!(found.len(), ordered.len(), "each once");
    assert!(theirs.iter().all(|id| found.contains(id)));
    let of =
        |who: &Person| v1::ListTenantConversationsRequest { user: who.user.clone(), ..everything.clone() };
    assert_eq!(listed(&root, of(&ann)).await, theirs);
    let both = listed(&root, of(&bob)).await;
    assert_eq!(both.len(), 2);
    let channel =
        v1::ListTenantConversationsRequest { kind: v1::ConversationKind::Channel as i32, ..of(&bob) };
    let channel = listed(&root, channel).await;
    assert!(channel.len() == 1 && both.contains(&channel[0]));
    ann.remove(&channel[0], &bob).await;
    assert!(!listed(&root, of(&bob)).await.contains(&channel[0]), "who left has it no more");
    // Another tenant's are none.
    let stranger = Person::named(&world, "eve", &world.name("elsewhere"), "phone").await;
    let foreign = stranger.group(&[]).await;
    assert!(!listed(&root, everything).await.contains(&foreign));
}

pub async fn a_conversation_is_described(world: Arc<World>) {
    let (root, ann) = (Person::administrator(&world).await, Person::new(&world, "ann").await);
    let bob = Person::new(&world, "bob").await;
    let group = ann.group(&[&bob]).await;
    let before = described(&root, &group).await;
    let said = ann.say(&group, &"x".repeat(1000)).await;
    root.call(keep(&group, Some(30))).await;
    let it = described(&root, &group).await;
    assert_eq!(it.owners, [ann.user.as_str()]);
    assert_eq!(it.retention, Some(v1::Retention { days: 30 }));
    assert_eq!(before.retention, None);
    assert!(it.log_bytes >= before.log_bytes + 1000, "{it:?}");
    let seen = it.conversation.unwrap();
    let anns = ann.see(&group).await;
    // As a member sees it, without anything of one user's own.
    let general = v1::Conversation {
        role: 0,
        member_since: 0,
        read_seq: 0,
        unread_count: 0,
        mention_count: 0,
        preferences: None,
        ..anns
    };
    assert_eq!(seen, general);
    assert_eq!((seen.last_seq, seen.message_count, seen.member_count), (said, 1, 2));
}

pub async fn a_log_is_trimmed_on_request(world: Arc<World>) {
    let (root, ann) = (Person::administrator(&world).await, Person::new(&world, "ann").await);
    let group = ann.group(&[]).await;
    for text in ["one", "two", "three"] {
        ann.say(&group, text).await;
    }
    let mut stream = ann.attach(&[(&group, 4)]).await;
    stream.caught_up().await;
    for (bad, code) in [(0, Code::InvalidArgument), (5, Code::InvalidArgument)] {
        let status = root.refused(trimming(&group, &root, bad)).await;
        expect(&status, code);
        expect_invalid(&status, "through");
    }
    // What is younger than a day stays. The request is an event all the same, by which its retry is known.
    let request = trimming(&group, &root, 4);
    let nothing = root.call(request.clone()).await;
    assert_eq!((nothing.floor, nothing.receipt.unwrap().seq), (0, 5));
    assert_eq!(root.call(request.clone()).await, nothing, "a retry appends nothing");
    let other = v1::TrimConversationRequest { through: 3, ..request.clone() };
    expect_invalid(&root.refused(other).await, "client_id");
    // Who is attached is told, and nothing is gone.
    let came = stream.events(&group, 5).await;
    let Some(v1::event::Body::Trimmed(body)) = &came.last().unwrap().body else { panic!("{came:?}") };
    assert_eq!(body.through, 0);
    let left = ann.events(&group).await;
    assert_eq!((left.len(), &left[4].sender, &left[4].id), (5, &root.user, &request.client_id));
    assert_eq!(ann.say(&group, "four").await, 6);
    let seen = ann.see(&group).await;
    assert_eq!((seen.floor, seen.member_count, seen.message_count), (0, 1, 4));
}

pub async fn a_log_is_read_for_a_reason(world: Arc<World>) {
    let (root, ann) = (Person::administrator(&world).await, Person::new(&world, "ann").await);
    let group = ann.group(&[]).await;
    for text in ["one", "two", "three"] {
        ann.say(&group, text).await;
    }
    let asked = v1::ListConversationEventsRequest {
        conversation_id: group.clone(),
        after_seq: 0,
        limit: 3,
        reason: "a court asked".into(),
    };
    let without = v1::ListConversationEventsRequest { reason: String::new(), ..asked.clone() };
    expect_invalid(&root.refused(without).await, "reason");
    expect(&ann.refused(asked.clone()).await, Code::PermissionDenied);
    let first = root.call(asked.clone()).await;
    let second = root.call(v1::ListConversationEventsRequest { after_seq: 3, ..asked.clone() }).await;
    assert_eq!((first.reflects, second.reflects), (4, 4));
    let read: Vec<v1::Event> = first.events.into_iter().chain(second.events).collect();
    assert_eq!(read, ann.events(&group).await);
    let end = v1::ListConversationEventsRequest { after_seq: 4, ..asked };
    assert!(root.call(end).await.events.is_empty());
}
