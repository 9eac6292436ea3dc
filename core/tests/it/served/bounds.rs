//! Numbers at the ends of their range, and contents at the ends of theirs: an exact answer, never a fault.

use super::world::{World, by};
use nexus_proto::v1::{
    self, ConversationKind, Role, history_service_client::HistoryServiceClient,
    list_events_request::Anchor as InLog, list_messages_request::Anchor,
    list_thread_request::Anchor as InThread, marker_service_client::MarkerServiceClient,
    presence_service_client::PresenceServiceClient,
};
use tonic::Code;
use tonic_types::StatusExt as _;

/// The code of an answer.
macro_rules! code {
    ($call:expr) => {
        $call.await.map_or_else(|status| status.code(), |_| Code::Ok)
    };
}

#[tokio::test]
async fn reads_take_any_number() {
    let mut world = World::new().await;
    let conversation_id = world.create("ann", ConversationKind::Group, "Team", &["bob"]).await;
    world.say("bob", &conversation_id, &world.id()).await.unwrap();
    let id = || conversation_id.clone();
    let mut history = HistoryServiceClient::new(world.channel.clone());
    let (least, most) = (i64::MIN, i64::MAX);
    let seqs =
        [0, 1, u64::MAX].map(|seq| [Anchor::BeforeSeq(seq), Anchor::AfterSeq(seq), Anchor::AroundSeq(seq)]);
    let times = [least, 0, most]
        .map(|time| [Anchor::BeforeTimeMs(time), Anchor::AfterTimeMs(time), Anchor::AroundTimeMs(time)]);
    for anchor in seqs.into_iter().chain(times).flatten() {
        let request =
            v1::ListMessagesRequest { conversation_id: id(), anchor: Some(anchor), ..Default::default() };
        assert_eq!(code!(history.list_messages(by("ann", request))), Code::Ok, "{anchor:?}");
    }
    for seq in [0, 1, u64::MAX] {
        for anchor in [InLog::BeforeSeq(seq), InLog::AfterSeq(seq)] {
            let request =
                v1::ListEventsRequest { conversation_id: id(), anchor: Some(anchor), ..Default::default() };
            assert_eq!(code!(history.list_events(by("ann", request))), Code::Ok, "{anchor:?}");
        }
        for anchor in [None, Some(InThread::BeforeSeq(seq)), Some(InThread::AfterSeq(seq))] {
            for thread in [1, u64::MAX] {
                let conversation_id = id();
                let request = v1::ListThreadRequest { conversation_id, thread, anchor, ..Default::default() };
                assert_eq!(code!(history.list_thread(by("ann", request))), Code::Ok, "{thread} {anchor:?}");
            }
        }
    }
    let request = v1::GetMessagesRequest { conversation_id: id(), seqs: vec![0, u64::MAX], at_least: 0 };
    assert_eq!(code!(history.get_messages(by("ann", request.clone()))), Code::Ok);
    let request = v1::GetMessagesRequest { at_least: u64::MAX, ..request };
    assert_eq!(code!(history.get_messages(by("ann", request))), Code::OutOfRange);
    for time in [least, most] {
        let page_token = format!("{time}:default:{conversation_id}");
        let request = v1::ListConversationsRequest { page_size: 1, page_token };
        assert_eq!(code!(world.conversations().list_conversations(by("ann", request))), Code::Ok);
    }
    let request = v1::ListConversationsRequest { page_size: u32::MAX, page_token: String::new() };
    assert_eq!(code!(world.conversations().list_conversations(by("ann", request))), Code::InvalidArgument);
    world.stop().await;
}

#[tokio::test]
async fn changes_refuse_what_is_beyond() {
    let mut world = World::new().await;
    let conversation_id = world.create("ann", ConversationKind::Group, "Team", &["bob"]).await;
    let id = || conversation_id.clone();
    let content = Some(v1::Content { text: "hello".into(), ..Default::default() });
    let send = v1::SendMessageRequest {
        conversation_id: id(),
        client_id: world.id(),
        content: content.clone(),
        ..Default::default()
    };
    for (reply_to, thread) in [(u64::MAX, 0), (0, u64::MAX)] {
        let request = v1::SendMessageRequest { reply_to, thread, ..send.clone() };
        assert_eq!(code!(world.messages().send_message(by("bob", request))), Code::NotFound);
    }
    let (client_id, seq) = (world.id(), u64::MAX);
    let request = v1::EditMessageRequest { conversation_id: id(), client_id, seq, content };
    assert_eq!(code!(world.messages().edit_message(by("bob", request))), Code::NotFound);
    let mut markers = MarkerServiceClient::new(world.channel.clone());
    let request = v1::SetReadMarkerRequest { conversation_id: id(), seq };
    assert_eq!(code!(markers.set_read_marker(by("bob", request))), Code::OutOfRange);
    let request = v1::SetDeliveredMarkerRequest { conversation_id: id(), seq };
    assert_eq!(code!(markers.set_delivered_marker(by("bob", request))), Code::OutOfRange);
    let request = v1::SetTypingRequest { conversation_id: id(), typing: true, thread: seq };
    let mut presence = PresenceServiceClient::new(world.channel.clone());
    assert_eq!(code!(presence.set_typing(by("bob", request))), Code::Ok);
    world.stop().await;
}

#[tokio::test]
async fn nobody_is_told_that_readers_may_send() {
    let mut world = World::new().await;
    let conversation_id = world.create("ann", ConversationKind::Group, "Team", &[]).await;
    let create = v1::CreateConversationRequest {
        client_id: world.id(),
        kind: ConversationKind::Channel.into(),
        title: "News".into(),
        post_role: Role::Reader.into(),
        ..Default::default()
    };
    let post_role = Some(Role::Reader.into());
    let change = v1::UpdateConversationRequest {
        conversation_id: conversation_id.clone(),
        post_role,
        ..Default::default()
    };
    let created = world.conversations().create_conversation(by("ann", create.clone())).await.map(drop);
    for refused in [created, world.update("ann", change.clone()).await] {
        let status = refused.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{}", status.message());
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "post_role");
    }
    let create = v1::CreateConversationRequest { post_role: Role::Member.into(), ..create };
    world.conversations().create_conversation(by("ann", create)).await.unwrap();
    let change = v1::UpdateConversationRequest { post_role: Some(Role::Owner.into()), ..change };
    world.update("ann", change).await.unwrap();
    assert_eq!(world.see("ann", &conversation_id).await.post_role(), Role::Owner);
    world.stop().await;
}

#[tokio::test]
async fn contents_name_the_field_that_is_wrong() {
    let mut world = World::new().await;
    let conversation_id = world.create("ann", ConversationKind::Group, "Team", &[]).await;
    let file = v1::AttachmentReference { upload_id: "1".into(), size: u64::MAX, ..Default::default() };
    let attached = |file| v1::Content { attachments: vec![file], ..Default::default() };
    let secret =
        v1::EncryptedPayload { scheme: "mls10".into(), ciphertext: "c".into(), ..Default::default() };
    let encrypted = |payload| v1::Content { encrypted: Some(payload), ..Default::default() };
    let origin = v1::ForwardedFrom { seq: u64::MAX, time_ms: i64::MIN, ..Default::default() };
    let forwarded = |origin| v1::Content { forwarded: Some(origin), ..Default::default() };
    let long = || "x".repeat(65);
    let wrong = [
        (
            "content.attachments.upload_id",
            attached(v1::AttachmentReference { upload_id: long(), ..file.clone() }),
        ),
        (
            "content.attachments.sha256",
            attached(v1::AttachmentReference { sha256: vec![1; 31], ..file.clone() }),
        ),
        (
            "content.attachments.thumbnail_upload_id",
            attached(v1::AttachmentReference { thumbnail_upload_id: long(), ..file.clone() }),
        ),
        (
            "content.attachments.preview",
            attached(v1::AttachmentReference { preview: vec![1; 257], ..file.clone() }),
        ),
        (
            "content.encrypted.scheme",
            encrypted(v1::EncryptedPayload { scheme: String::new(), ..secret.clone() }),
        ),
        ("content.encrypted.scheme", encrypted(v1::EncryptedPayload { scheme: long(), ..secret.clone() })),
        (
            "content.encrypted.ciphertext",
            encrypted(v1::EncryptedPayload { ciphertext: "".into(), ..secret.clone() }),
        ),
        (
            "content.forwarded.conversation_id",
            forwarded(v1::ForwardedFrom { conversation_id: long(), ..origin.clone() }),
        ),
        ("content.forwarded.sender", forwarded(v1::ForwardedFrom { sender: long(), ..origin.clone() })),
    ];
    let send = async |content| {
        let request = v1::SendMessageRequest {
            conversation_id: conversation_id.clone(),
            client_id: world.id(),
            content: Some(content),
            ..Default::default()
        };
        world.messages().send_message(by("ann", request)).await
    };
    for (field, content) in wrong {
        let status = send(content).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
    let file = v1::AttachmentReference { sha256: vec![1; 32], preview: vec![1; 256], ..file };
    for content in [attached(file), encrypted(secret), forwarded(origin)] {
        send(content).await.unwrap();
    }
    world.stop().await;
}
