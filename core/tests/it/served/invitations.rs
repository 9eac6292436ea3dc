//! Invitations, as they are asked for over the socket: time, restarts, and what they hide.

use super::world::{World, by};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nexus_proto::v1::{
    self, ConversationKind, InvitationState, Role, attach_response::Frame, event::Body,
    history_service_client::HistoryServiceClient, invitation_reference::By,
    invitation_service_client::InvitationServiceClient,
};
use tonic::{Code, Status, transport::Channel};

const HOUR_S: i64 = 3600;
const NOON: i64 = 1_790_000_000_000;

fn calls(world: &World) -> InvitationServiceClient<Channel> {
    InvitationServiceClient::new(world.channel.clone())
}

fn link(world: &World, conversation_id: &str) -> v1::CreateInvitationRequest {
    v1::CreateInvitationRequest {
        conversation_id: conversation_id.into(),
        client_id: world.id(),
        secret: vec![9; 32],
        ..Default::default()
    }
}

async fn invite(world: &World, request: v1::CreateInvitationRequest) -> Result<(u64, String), Status> {
    let answer = calls(world).create_invitation(by("ann", request)).await?.into_inner();
    Ok((answer.receipt.unwrap().seq, answer.token))
}

fn of(token: &str) -> Option<v1::InvitationReference> {
    Some(v1::InvitationReference { by: Some(By::Token(token.into())) })
}

fn naming(conversation_id: &str, seq: u64) -> Option<v1::InvitationReference> {
    let named = v1::NamedInvitation { conversation_id: conversation_id.into(), seq };
    Some(v1::InvitationReference { by: Some(By::Named(named)) })
}

async fn look(
    world: &World,
    who: &str,
    invitation: Option<v1::InvitationReference>,
) -> Result<v1::InvitationPreview, Status> {
    let request = v1::GetInvitationRequest { invitation };
    Ok(calls(world).get_invitation(by(who, request)).await?.into_inner().invitation.unwrap())
}

async fn accept(world: &World, who: &str, request: v1::AcceptInvitationRequest) -> Result<u64, Status> {
    let answer = calls(world).accept_invitation(by(who, request)).await?.into_inner();
    Ok(answer.receipt.unwrap().seq)
}

fn accepting(world: &World, invitation: Option<v1::InvitationReference>) -> v1::AcceptInvitationRequest {
    v1::AcceptInvitationRequest { invitation, client_id: world.id() }
}

async fn list(world: &World, conversation_id: &str, include_closed: bool) -> Vec<v1::Invitation> {
    let conversation_id = conversation_id.to_owned();
    let request = v1::ListInvitationsRequest { conversation_id, include_closed, ..Default::default() };
    calls(world).list_invitations(by("ann", request)).await.unwrap().into_inner().invitations
}

async fn received(world: &World, who: &str) -> Vec<(String, u64)> {
    let request = v1::ListReceivedInvitationsRequest::default();
    let answer = calls(world).list_received_invitations(by(who, request)).await.unwrap().into_inner();
    answer.invitations.into_iter().map(|preview| (preview.conversation_id, preview.seq)).collect()
}

#[tokio::test]
async fn time_ends_it_and_retries_get_what_they_got() {
    let mut world = World::new().await;
    let group = world.create("ann", ConversationKind::Group, "Team", &[]).await;
    let ask = v1::CreateInvitationRequest {
        expires_at_ms: NOON + HOUR_S * 1000,
        note: "come in".into(),
        role: Role::Reader.into(),
        ..link(&world, &group)
    };
    let made = invite(&world, ask.clone()).await.unwrap();
    let preview = look(&world, "bob", of(&made.1)).await.unwrap();
    assert_eq!((preview.title.as_str(), preview.member_count, preview.member), ("Team", 1, false));
    assert_eq!(
        (preview.note.as_str(), preview.inviter.as_str(), preview.role()),
        ("come in", "ann", Role::Reader)
    );
    let joining = accepting(&world, of(&made.1));
    world.pass(HOUR_S - 1);
    let joined = accept(&world, "bob", joining.clone()).await.unwrap();
    assert!(look(&world, "bob", of(&made.1)).await.unwrap().member);
    world.pass(1);
    for restarts in 0..2 {
        assert_eq!(look(&world, "cyd", of(&made.1)).await.unwrap_err().code(), Code::NotFound);
        let late = accept(&world, "cyd", accepting(&world, of(&made.1))).await.unwrap_err();
        assert_eq!(late.code(), Code::FailedPrecondition, "{restarts} {late:?}");
        assert!(late.message().contains("expired"), "{late:?}");
        assert_eq!(accept(&world, "bob", joining.clone()).await.unwrap(), joined);
        assert_eq!(invite(&world, ask.clone()).await.unwrap(), made, "also the token is the same");
        assert!(list(&world, &group, false).await.is_empty());
        let all = list(&world, &group, true).await;
        assert_eq!((all.len(), all[0].uses, all[0].state()), (1, 1, InvitationState::Expired));
        world.stop().await;
        world.start().await;
    }
    let fresh = v1::CreateInvitationRequest { client_id: world.id(), ..ask };
    assert_eq!(invite(&world, fresh).await.unwrap_err().code(), Code::InvalidArgument);
    world.stop().await;
}

#[tokio::test]
async fn the_log_and_the_lists_hold_no_secret() {
    let mut world = World::new().await;
    let group = world.create("ann", ConversationKind::Group, "Team", &["bob"]).await;
    let (seq, token) = invite(&world, link(&world, &group)).await.unwrap();
    let request = v1::ListEventsRequest { conversation_id: group.clone(), ..Default::default() };
    let events = HistoryServiceClient::new(world.channel.clone()).list_events(by("bob", request)).await;
    let event = events.unwrap().into_inner().events.into_iter().find(|event| event.seq == seq).unwrap();
    let Some(Body::InvitationCreated(body)) = event.body else { panic!("{event:?}") };
    assert_eq!(body.secret_sha256.len(), 32);
    assert_ne!(body.secret_sha256, [9; 32]);
    // What every member can read of it lets nobody in.
    let mut forged = URL_SAFE_NO_PAD.decode(&token).unwrap();
    let secret = forged.len() - 32;
    forged[secret..].copy_from_slice(&body.secret_sha256);
    let forged = URL_SAFE_NO_PAD.encode(forged);
    let none = look(&world, "eve", of(&forged)).await.unwrap_err();
    for bad in [of("AAAA"), naming(&group, seq), naming(&group, 1), naming(&group, 999)] {
        let status = look(&world, "eve", bad.clone()).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, none.message()), "{bad:?}");
        let status = accept(&world, "eve", accepting(&world, bad)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, none.message()));
    }
    // In another tenant there is no such conversation.
    let mut request = by("eve", v1::GetInvitationRequest { invitation: of(&token) });
    request.metadata_mut().insert("nexus-tenant", "another".parse().unwrap());
    let status = calls(&world).get_invitation(request).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, none.message()));
    world.stop().await;
}

#[tokio::test]
async fn those_whom_it_names_find_it_newest_first_also_after_a_restart() {
    let mut world = World::new().await;
    let mut made = Vec::new();
    for n in 0..7 {
        let group = world.create("ann", ConversationKind::Group, &format!("G{n}"), &[]).await;
        let users = vec!["eve".to_owned(), "fay".to_owned()];
        let ask = v1::CreateInvitationRequest { users, secret: Vec::new(), ..link(&world, &group) };
        let (seq, token) = invite(&world, ask).await.unwrap();
        assert!(token.is_empty(), "they need none");
        made.insert(0, (group, seq));
        world.pass(1);
    }
    assert_eq!(received(&world, "eve").await, made);
    let (group, seq) = made.remove(2);
    let decline = v1::DeclineInvitationRequest { conversation_id: group, seq, client_id: world.id() };
    calls(&world).decline_invitation(by("eve", decline)).await.unwrap();
    let (group, seq) = made.remove(3);
    accept(&world, "eve", accepting(&world, naming(&group, seq))).await.unwrap();
    assert_eq!(world.see("eve", &group).await.role(), Role::Member);
    world.stop().await;
    world.start().await;
    assert_eq!(received(&world, "eve").await, made);
    assert_eq!(received(&world, "fay").await.len(), 7, "each decides alone");
    let (mut paged, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListReceivedInvitationsRequest { page_size: 2, page_token };
        let answer = calls(&world).list_received_invitations(by("eve", request)).await.unwrap().into_inner();
        paged.extend(answer.invitations.into_iter().map(|preview| (preview.conversation_id, preview.seq)));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, made);
    for page_token in ["!", "AAAA"] {
        let request = v1::ListReceivedInvitationsRequest { page_size: 2, page_token: page_token.into() };
        let status = calls(&world).list_received_invitations(by("eve", request)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_conversations_invitations_stand_in_pages() {
    let mut world = World::new().await;
    let group = world.create("ann", ConversationKind::Group, "Team", &["bob"]).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.insert(0, invite(&world, link(&world, &group)).await.unwrap().0);
    }
    let revoke =
        v1::RevokeInvitationRequest { conversation_id: group.clone(), seq: made[1], client_id: world.id() };
    calls(&world).revoke_invitation(by("ann", revoke)).await.unwrap();
    let open = [made[0], made[2], made[3], made[4]];
    for (include_closed, expected) in [(false, &open[..]), (true, &made)] {
        let (mut paged, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListInvitationsRequest {
                conversation_id: group.clone(),
                page_size: 2,
                page_token,
                include_closed,
                at_least: made[0] + 1,
            };
            let page = calls(&world).list_invitations(by("ann", request)).await.unwrap().into_inner();
            assert_eq!(page.reflects, made[0] + 1);
            assert!(page.invitations.len() <= 2);
            paged.extend(page.invitations.into_iter().map(|invitation| invitation.seq));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(paged, expected);
    }
    let bob = v1::ListInvitationsRequest { conversation_id: group, ..Default::default() };
    let status = calls(&world).list_invitations(by("bob", bob)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    world.stop().await;
}

#[tokio::test]
async fn who_joins_while_attached_hears_it_at_once() {
    let mut world = World::new().await;
    let group = world.create("ann", ConversationKind::Group, "Team", &[]).await;
    let (_, token) = invite(&world, link(&world, &group)).await.unwrap();
    let mut stream = world.attach("eve", "phone").await;
    let joined = accept(&world, "eve", accepting(&world, of(&token))).await.unwrap();
    loop {
        if let Some(Frame::Events(events)) = stream.message().await.unwrap().unwrap().frame {
            let event = &events.events[0];
            assert_eq!((event.seq, event.target), (joined, joined - 1));
            break;
        }
    }
    drop(stream);
    world.stop().await;
}
