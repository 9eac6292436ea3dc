//! Invitations: by a link and by name, who may what, how often, and what they hide.

use crate::{
    person::Person,
    refusal::{expect, expect_invalid},
    world::World,
};
use futures_util::future::join_all;
use nexus_client::v1::{
    self, AccountArea, InvitationState, Role, ephemeral, event::Body, invitation_reference::By,
};
use std::sync::Arc;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const HOUR_MS: i64 = 3_600_000;

/// A link to a conversation; its secret is anything but the next one's.
pub fn link(who: &Person, conversation: &str) -> v1::CreateInvitationRequest {
    let secret = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].map(uuid::Uuid::into_bytes).concat();
    v1::CreateInvitationRequest {
        conversation_id: conversation.into(),
        client_id: who.id(),
        secret,
        ..Default::default()
    }
}

pub fn naming(who: &Person, conversation: &str, users: &[&Person]) -> v1::CreateInvitationRequest {
    let users = users.iter().map(|user| user.user.clone()).collect();
    v1::CreateInvitationRequest { users, secret: Vec::new(), ..link(who, conversation) }
}

pub fn by_token(token: &str) -> Option<v1::InvitationReference> {
    Some(v1::InvitationReference { by: Some(By::Token(token.into())) })
}

pub fn by_name(conversation: &str, seq: u64) -> Option<v1::InvitationReference> {
    let named = v1::NamedInvitation { conversation_id: conversation.into(), seq };
    Some(v1::InvitationReference { by: Some(By::Named(named)) })
}

impl Person {
    /// Invites; gives the invitation's seq and a link's token.
    pub async fn invite(&self, request: v1::CreateInvitationRequest) -> (u64, String) {
        let answer = self.call(request).await;
        (answer.receipt.unwrap().seq, answer.token)
    }

    fn accepting(&self, invitation: Option<v1::InvitationReference>) -> v1::AcceptInvitationRequest {
        v1::AcceptInvitationRequest { invitation, client_id: self.id() }
    }

    async fn received(&self) -> Vec<(String, u64)> {
        let page = self.call(v1::ListReceivedInvitationsRequest::default()).await;
        assert!(page.next_page_token.is_empty());
        page.invitations.into_iter().map(|preview| (preview.conversation_id, preview.seq)).collect()
    }

    async fn invitations(&self, conversation: &str, include_closed: bool) -> Vec<v1::Invitation> {
        let conversation_id = conversation.to_owned();
        let list = v1::ListInvitationsRequest { conversation_id, include_closed, ..Default::default() };
        self.call(list).await.invitations
    }

    async fn revoke(&self, conversation: &str, seq: u64) {
        let conversation_id = conversation.to_owned();
        self.call(v1::RevokeInvitationRequest { conversation_id, seq, client_id: self.id() }).await;
    }

    async fn decline(&self, conversation: &str, seq: u64) {
        let conversation_id = conversation.to_owned();
        self.call(v1::DeclineInvitationRequest { conversation_id, seq, client_id: self.id() }).await;
    }
}

fn told(status: &Status) -> (Code, String, Vec<u8>) {
    (status.code(), status.message().to_owned(), status.details().to_vec())
}

pub async fn a_link_lets_in_whoever_has_it(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[]).await;
    let expires_at_ms = world.now_ms() + HOUR_MS;
    let ask = v1::CreateInvitationRequest {
        expires_at_ms,
        max_uses: 2,
        role: Role::Reader as i32,
        note: "come in".into(),
        ..link(&ann, &group)
    };
    let (seq, token) = ann.invite(ask.clone()).await;
    let url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    assert!(!token.is_empty() && token.len() <= 128 && token.chars().all(url), "{token}");
    let preview = bob.call(v1::GetInvitationRequest { invitation: by_token(&token) }).await;
    let expected = v1::InvitationPreview {
        conversation_id: group.clone(),
        seq,
        kind: v1::ConversationKind::Group as i32,
        title: "Conformance".into(),
        topic: String::new(),
        member_count: 1,
        inviter: ann.user.clone(),
        role: Role::Reader as i32,
        expires_at_ms,
        note: "come in".into(),
        member: false,
    };
    assert_eq!(preview.invitation, Some(expected));
    assert!(bob.received().await.is_empty(), "a link names nobody");

    let accept = bob.accepting(by_token(&token));
    let joined = bob.call(accept.clone()).await;
    assert_eq!(joined.conversation_id, group);
    assert_eq!(bob.see(&group).await.role(), Role::Reader);
    let event = ann.events(&group).await.pop().unwrap();
    assert_eq!((event.seq, event.target, &event.sender), (joined.receipt.unwrap().seq, seq, &bob.user));
    assert!(matches!(&event.body, Some(Body::MembersAdded(b)) if b.members[0].user == bob.user));

    // Once more changes nothing, and takes no use.
    bob.call(bob.accepting(by_token(&token))).await;
    let listed = ann.invitations(&group, false).await;
    assert_eq!((listed.len(), listed[0].uses, listed[0].state()), (1, 1, InvitationState::Open));
    let cyd = Person::new(&world, "cyd").await;
    cyd.call(cyd.accepting(by_token(&token))).await;
    let dee = Person::new(&world, "dee").await;
    let late = dee.refused(dee.accepting(by_token(&token))).await;
    expect(&late, Code::FailedPrecondition);
    assert!(late.message().contains("used up"), "{late:?}");
    expect(&dee.refused(v1::GetInvitationRequest { invitation: by_token(&token) }).await, Code::NotFound);
    assert!(ann.invitations(&group, false).await.is_empty());
    let listed = ann.invitations(&group, true).await;
    assert_eq!((listed[0].uses, listed[0].state()), (2, InvitationState::UsedUp));

    // Retries get what they got, also now that it is used up.
    assert_eq!(bob.call(accept).await.receipt, joined.receipt);
    assert_eq!(ann.invite(ask.clone()).await, (seq, token));
    let other = v1::CreateInvitationRequest { secret: vec![1; 32], ..ask };
    expect_invalid(&ann.refused(other).await, "client_id");
}

pub async fn those_who_are_named_find_it(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let (cyd, eve) = (Person::new(&world, "cyd").await, Person::new(&world, "eve").await);
    let mut stream = bob.attach(&[]).await;
    stream.caught_up().await;
    let group = ann.group(&[]).await;
    let (first, token) = ann.invite(naming(&ann, &group, &[&bob, &cyd])).await;
    assert!(token.is_empty(), "they need none");
    let changed = |body: &ephemeral::Body| match body {
        ephemeral::Body::Account(changed) if changed.conversation_id == group => Some(changed.area()),
        _ => None,
    };
    assert_eq!(stream.ephemeral(changed).await, AccountArea::Invitations);
    let channel = ann.channel(&[]).await;
    let (second, _) = ann.invite(naming(&ann, &channel, &[&bob])).await;
    let both = [(channel.clone(), second), (group.clone(), first)];
    assert_eq!(bob.received().await, both, "newest first");
    assert_eq!(cyd.received().await, both[1..]);
    let preview = bob.call(v1::GetInvitationRequest { invitation: by_name(&group, first) }).await;
    assert_eq!(preview.invitation.unwrap().inviter, ann.user);

    bob.decline(&group, first).await;
    assert_eq!(bob.received().await, both[..1]);
    let again = bob.refused(bob.accepting(by_name(&group, first))).await;
    expect(&again, Code::FailedPrecondition);
    expect(
        &bob.refused(v1::GetInvitationRequest { invitation: by_name(&group, first) }).await,
        Code::NotFound,
    );
    let event = ann.events(&group).await.pop().unwrap();
    assert_eq!((event.target, &event.sender), (first, &bob.user));
    assert!(matches!(&event.body, Some(Body::InvitationEnded(b)) if b.user == bob.user));
    cyd.call(cyd.accepting(by_name(&group, first))).await;
    assert!(cyd.received().await.is_empty());
    assert_eq!(cyd.see(&group).await.role(), Role::Member);
    assert_eq!(ann.invitations(&group, true).await[0].state(), InvitationState::UsedUp);

    for nobody in [by_name(&channel, second), by_name(&channel, second + 9), by_name(&channel, 1)] {
        expect(&eve.refused(eve.accepting(nobody)).await, Code::NotFound);
    }
    ann.revoke(&channel, second).await;
    assert!(bob.received().await.is_empty());
    let late = bob.refused(bob.accepting(by_name(&channel, second))).await;
    expect(&late, Code::FailedPrecondition);
    assert!(late.message().contains("revoked"), "{late:?}");
}

pub async fn only_admins_invite_and_revoke(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let (cyd, eve) = (Person::new(&world, "cyd").await, Person::new(&world, "eve").await);
    let group = ann.group(&[&bob]).await;
    expect(&bob.refused(link(&bob, &group)).await, Code::PermissionDenied);
    expect(&eve.refused(link(&eve, &group)).await, Code::NotFound);
    let list = v1::ListInvitationsRequest { conversation_id: group.clone(), ..Default::default() };
    expect(&bob.refused(list.clone()).await, Code::PermissionDenied);
    expect(&eve.refused(list).await, Code::NotFound);
    let (seq, token) =
        ann.invite(v1::CreateInvitationRequest { role: Role::Admin as i32, ..link(&ann, &group) }).await;
    cyd.call(cyd.accepting(by_token(&token))).await;
    let (by_cyd, _) = cyd.invite(link(&cyd, &group)).await;
    let revoke = |who: &Person, seq| v1::RevokeInvitationRequest {
        conversation_id: group.clone(),
        client_id: who.id(),
        seq,
    };
    expect(&bob.refused(revoke(&bob, seq)).await, Code::PermissionDenied);
    expect(&eve.refused(revoke(&eve, seq)).await, Code::NotFound);
    expect(&ann.refused(revoke(&ann, 1)).await, Code::NotFound);
    cyd.revoke(&group, seq).await;
    cyd.revoke(&group, seq).await;
    let listed: Vec<_> =
        ann.invitations(&group, true).await.iter().map(|i| (i.seq, i.state(), i.uses)).collect();
    assert_eq!(listed, [(by_cyd, InvitationState::Open, 0), (seq, InvitationState::Revoked, 1)]);
    assert_eq!(cyd.see(&group).await.role(), Role::Admin, "whoever joined by it stays");
    let late = eve.refused(eve.accepting(by_token(&token))).await;
    expect(&late, Code::FailedPrecondition);
    let direct = ann.direct(&bob).await.id;
    expect(&ann.refused(link(&ann, &direct)).await, Code::FailedPrecondition);
}

pub async fn the_last_use_is_taken_once(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let group = ann.group(&[]).await;
    let (seq, token) = ann.invite(v1::CreateInvitationRequest { max_uses: 3, ..link(&ann, &group) }).await;
    let people = join_all((0..8).map(|n| {
        let world = world.clone();
        async move { Person::new(&world, &format!("u{n}")).await }
    }));
    let people = people.await;
    let tries = people.iter().map(|who| {
        let accept = who.accepting(by_token(&token));
        let client =
            nexus_client::Client::new(who.transport.clone(), nexus_client::StaticToken::new(&who.token));
        async move { client.call(accept).await.map_err(|error| error.status) }
    });
    let answers = join_all(tries).await;
    let joined = answers.iter().filter(|answer| answer.is_ok()).count();
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        expect(refused, Code::FailedPrecondition);
    }
    assert_eq!(joined, 3);
    assert_eq!(ann.see(&group).await.member_count, 4);
    let added = ann.events(&group).await.into_iter().filter(|event| event.target == seq).count();
    assert_eq!(added, 3, "who is refused stands nowhere");
}

pub async fn what_is_no_invitation_tells_nothing(world: Arc<World>) {
    let (ann, eve) = (Person::new(&world, "ann").await, Person::new(&world, "eve").await);
    let group = ann.group(&[]).await;
    let (seq, token) = ann.invite(link(&ann, &group)).await;
    let (revoked, of_revoked) = ann.invite(link(&ann, &group)).await;
    ann.revoke(&group, revoked).await;
    let changed = |at: usize| {
        let other = if &token[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &token[..at], &token[at + 1..])
    };
    // The conversation, the seq and the secret, each of another.
    let wrong = [changed(5), changed(30), changed(60), token[..40].to_owned(), "AAAA".to_owned()];
    let mut gets = Vec::new();
    for token in wrong.iter().chain([&of_revoked]) {
        gets.push(told(&eve.refused(v1::GetInvitationRequest { invitation: by_token(token) }).await));
    }
    let stranger = Person::named(&world, "eve", &world.name("elsewhere"), "phone").await;
    gets.push(told(&stranger.refused(v1::GetInvitationRequest { invitation: by_token(&token) }).await));
    gets.push(told(&eve.refused(v1::GetInvitationRequest { invitation: by_name(&group, seq) }).await));
    assert_eq!(gets[0].0, Code::NotFound);
    assert!(gets.iter().all(|get| *get == gets[0]), "{gets:?}");
    let mut accepts = Vec::new();
    for token in &wrong {
        accepts.push(told(&eve.refused(eve.accepting(by_token(token))).await));
    }
    accepts.push(told(&stranger.refused(stranger.accepting(by_token(&token))).await));
    accepts.push(told(&eve.refused(eve.accepting(by_name(&group, seq))).await));
    assert_eq!(accepts[0].0, Code::NotFound);
    assert!(accepts.iter().all(|accept| *accept == accepts[0]), "{accepts:?}");
    expect(
        &eve.refused(v1::GetConversationRequest { conversation_id: group, at_least: 0 }).await,
        Code::NotFound,
    );
}

pub async fn an_invitation_has_limits(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[]).await;
    let day = 24 * HOUR_MS;
    let link = || link(&ann, &group);
    let wrong = [
        ("secret", v1::CreateInvitationRequest { secret: vec![1; 31], ..link() }),
        ("secret", v1::CreateInvitationRequest { secret: Vec::new(), ..link() }),
        ("secret", v1::CreateInvitationRequest { users: vec![bob.user.clone()], ..link() }),
        ("max_uses", v1::CreateInvitationRequest { max_uses: 1, ..naming(&ann, &group, &[&bob]) }),
        ("note", v1::CreateInvitationRequest { note: "x".repeat(257), ..link() }),
        ("role", v1::CreateInvitationRequest { role: Role::Owner as i32, ..link() }),
        ("expires_at_ms", v1::CreateInvitationRequest { expires_at_ms: -1, ..link() }),
        ("expires_at_ms", v1::CreateInvitationRequest { expires_at_ms: world.now_ms() - HOUR_MS, ..link() }),
        (
            "expires_at_ms",
            v1::CreateInvitationRequest { expires_at_ms: world.now_ms() + 366 * day, ..link() },
        ),
        ("users", {
            let users = (0..101).map(|n| format!("somebody{n}")).collect();
            v1::CreateInvitationRequest { users, secret: Vec::new(), ..link() }
        }),
    ];
    for (field, request) in wrong {
        expect_invalid(&ann.refused(request).await, field);
    }
    let bare = |invitation| v1::AcceptInvitationRequest { invitation, client_id: bob.id() };
    expect_invalid(&bob.refused(bare(None)).await, "invitation");
    expect_invalid(&bob.refused(bare(by_token(""))).await, "invitation.token");
    expect_invalid(&bob.refused(bare(by_token("not a token!"))).await, "invitation.token");
    expect_invalid(&bob.refused(bare(by_name(&group, 0))).await, "invitation.named.seq");
    let mut seqs = Vec::new();
    for _ in 0..100 {
        seqs.push(ann.invite(link()).await.0);
    }
    let full = ann.refused(link()).await;
    expect(&full, Code::ResourceExhausted);
    assert!(full.get_details_quota_failure().is_some(), "{full:?}");
    let page = ann.invitations(&group, false).await;
    assert_eq!((page.len(), page[0].seq), (50, seqs[99]), "a page that doesn't say has 50");
    ann.revoke(&group, seqs[0]).await;
    ann.invite(link()).await;
}
