//! Limits that an operator sets are in force, are shown, and are refused where they make no sense.

use super::world::{World, by};
use nexus_core::config::Config;
use nexus_proto::v1::{
    self, ConversationKind, Visibility, marker_service_client::MarkerServiceClient,
    presence_service_client::PresenceServiceClient,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

#[tokio::test]
async fn limits_that_are_set_are_in_force_and_shown() {
    let mut world = World::with(|config| {
        config.admin = "127.0.0.1:0".into();
        let conversation = &mut config.conversation;
        (conversation.pins, conversation.reactions, conversation.reaction_kinds) = (1, 3, 2);
        (config.limits.presence_users, config.limits.marker_members) = (1, 2);
        config.limits.mention_events = 1;
    })
    .await;
    let conversation_id = world.create("ann", ConversationKind::Group, "Team", &["bob", "cid"]).await;
    let mut seqs = Vec::new();
    for _ in 0..2 {
        seqs.push(world.say("ann", &conversation_id, &world.id()).await.unwrap().seq);
    }
    let mut messages = world.messages();
    let mut pinned = Vec::new();
    for seq in &seqs {
        let (conversation_id, client_id) = (conversation_id.clone(), world.id());
        let request = v1::PinMessageRequest { conversation_id, client_id, seq: *seq };
        pinned.push(messages.pin_message(by("ann", request)).await.map_or_else(|s| s.code(), |_| Code::Ok));
    }
    let full = Code::ResourceExhausted;
    assert_eq!(pinned, [Code::Ok, full]);
    let mut given = Vec::new();
    for (who, reaction) in [("ann", "a"), ("ann", "b"), ("ann", "c"), ("bob", "a"), ("bob", "b")] {
        let (conversation_id, client_id) = (conversation_id.clone(), world.id());
        let (seq, reaction) = (seqs[0], reaction.to_owned());
        let request = v1::AddReactionRequest { conversation_id, client_id, seq, reaction };
        given.push(messages.add_reaction(by(who, request)).await.map_or_else(|s| s.code(), |_| Code::Ok));
    }
    assert_eq!(given, [Code::Ok, Code::Ok, full, Code::Ok, full]);

    let mut markers = MarkerServiceClient::new(world.channel.clone());
    let request = v1::ListMarkersRequest { conversation_id: conversation_id.clone() };
    let refused = markers.list_markers(by("ann", request)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("at most 2"), "{}", refused.message());
    let mut presence = PresenceServiceClient::new(world.channel.clone());
    let request = v1::GetPresenceRequest { users: vec!["ann".into(), "bob".into()] };
    let refused = presence.get_presence(by("ann", request)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    // Of two messages that call bob only the first is counted.
    for _ in 0..2 {
        let mentions = Some(v1::Mentions { users: vec!["bob".into()], everyone: false });
        let request = v1::SendMessageRequest {
            conversation_id: conversation_id.clone(),
            client_id: world.id(),
            content: Some(v1::Content { text: "bob!".into(), mentions, ..Default::default() }),
            ..Default::default()
        };
        let seq = messages.send_message(by("ann", request)).await.unwrap().into_inner().receipt.unwrap().seq;
        seqs.push(seq);
    }
    let read = v1::SetReadMarkerRequest { conversation_id: conversation_id.clone(), seq: seqs[2] - 1 };
    markers.set_read_marker(by("bob", read)).await.unwrap();
    assert_eq!(world.see("bob", &conversation_id).await.mention_count, 1);

    let shown = world.metrics().await;
    for (name, value) in [
        ("conversation.pins", "1"),
        ("conversation.reactions", "3"),
        ("conversation.group_members", "10000"),
        ("limits.marker_members", "2"),
        ("limits.page", "200"),
        ("log.bucket_events", "8192"),
        ("store.min_free_bytes", "67108864"),
    ] {
        let line = format!("nexus_core_limit{{name=\"{name}\"}} {value}\n");
        assert!(shown.contains(&line), "{line} is not in {shown}");
    }
    world.stop().await;
}

fn names(names: &str) -> Vec<String> {
    names.split_whitespace().map(str::to_owned).collect()
}

impl World {
    /// Creates a conversation of ann's, public if it may be.
    async fn made(&self, kind: ConversationKind, others: &str) -> Result<String, Status> {
        let public = kind == ConversationKind::Channel;
        let request = v1::CreateConversationRequest {
            client_id: self.id(),
            kind: kind.into(),
            title: "Team".into(),
            members: names(others).into_iter().map(|user| v1::MemberRole { user, role: 0 }).collect(),
            visibility: if public { Visibility::Public } else { Visibility::Private } as i32,
            ..Default::default()
        };
        let answer = self.conversations().create_conversation(by("ann", request)).await?;
        Ok(answer.into_inner().conversation.unwrap().id)
    }

    async fn add(&self, conversation_id: &str, users: &str) -> Result<(), Status> {
        let (conversation_id, client_id) = (conversation_id.to_owned(), self.id());
        let request = v1::AddMembersRequest { conversation_id, client_id, users: names(users), role: 0 };
        self.conversations().add_members(by("ann", request)).await.map(|_| ())
    }

    async fn join(&self, who: &str, conversation_id: &str) -> Result<(), Status> {
        let (conversation_id, client_id) = (conversation_id.to_owned(), self.id());
        let request = v1::JoinConversationRequest { conversation_id, client_id };
        self.conversations().join_conversation(by(who, request)).await.map(|_| ())
    }
}

#[track_caller]
fn expect_full<T: std::fmt::Debug>(answer: Result<T, Status>, limit: &str) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let quota = status.get_details_quota_failure().unwrap().violations;
    assert_eq!(quota[0].subject, "members of the conversation");
    assert!(quota[0].description.ends_with(limit), "{quota:?}");
}

#[tokio::test]
async fn a_conversation_has_so_many_members_from_the_first_to_the_last() {
    let mut world = World::with(|config| {
        (config.conversation.group_members, config.conversation.channel_members) = (3, 4);
    })
    .await;
    // Who creates it is one of them.
    expect_full(world.made(ConversationKind::Group, "bob cyd dan").await, "at most 3");
    expect_full(world.made(ConversationKind::Channel, "bob cyd dan eve").await, "at most 4");
    let group = world.made(ConversationKind::Group, "bob cyd").await.unwrap();
    expect_full(world.add(&group, "dan").await, "at most 3");
    let channel = world.made(ConversationKind::Channel, "bob cyd").await.unwrap();
    // All of them or nobody.
    expect_full(world.add(&channel, "dan eve").await, "at most 4");
    assert_eq!(world.see("ann", &channel).await.member_count, 3);
    world.join("dan", &channel).await.unwrap();
    expect_full(world.join("eve", &channel).await, "at most 4");
    // Who is there already takes no room, and who leaves makes some.
    world.add(&channel, "dan").await.unwrap();
    let leave = v1::LeaveConversationRequest { conversation_id: channel.clone(), client_id: world.id() };
    world.conversations().leave_conversation(by("bob", leave)).await.unwrap();
    world.join("eve", &channel).await.unwrap();
    expect_full(world.add(&channel, "bob").await, "at most 4");
    world.stop().await;
}

#[test]
fn limits_without_sense_are_told_by_name() {
    let mut config = <Config as confique::Config>::builder().load().unwrap();
    assert_eq!(config.problems(), Vec::<String>::new());
    (config.conversation.pins, config.conversation.reaction_kinds) = (0, 10_001);
    (config.limits.mention_events, config.delivery.typists_per_conversation) = (0, 0);
    let mut problems = config.problems();
    problems.sort();
    assert_eq!(
        problems,
        [
            "core.conversation.pins = 0: must be 1-1000",
            "core.conversation.reaction_kinds = 10001: must be 1-10000",
            "core.delivery.typists_per_conversation = 0: must be 1-10000",
            "core.limits.mention_events = 0: must be 1-10000",
        ]
    );
}
