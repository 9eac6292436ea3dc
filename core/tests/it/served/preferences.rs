//! A user's own settings for a conversation.

use super::world::{World, by};
use nexus_proto::v1::{
    self, AccountArea, ConversationKind, NotificationLevel, attach_response::Frame, ephemeral::Body,
};
use std::time::Duration;
use tonic::{Code, Status};

async fn set(world: &World, who: &str, wish: v1::SetPreferencesRequest) -> Result<v1::Preferences, Status> {
    let answer = world.conversations().set_preferences(by(who, wish)).await?;
    Ok(answer.into_inner().preferences.unwrap())
}

#[tokio::test]
async fn each_field_is_its_own_and_outlives_the_node() {
    let mut world = World::new().await;
    let id = world.create("ann", ConversationKind::Group, "Team", &["bob"]).await;
    let wish = || v1::SetPreferencesRequest { conversation_id: id.clone(), ..Default::default() };
    assert_eq!(world.see("ann", &id).await.preferences, Some(v1::Preferences::default()));
    set(&world, "ann", v1::SetPreferencesRequest { pinned: Some(true), ..wish() }).await.unwrap();
    let level = Some(NotificationLevel::Mentions.into());
    set(&world, "ann", v1::SetPreferencesRequest { notifications: level, ..wish() }).await.unwrap();
    // The clock was set back: who comes last wins all the same.
    world.pass(-3600);
    let wish = v1::SetPreferencesRequest {
        pinned: Some(false),
        muted_until_ms: Some(i64::MAX),
        marked_unread: Some(true),
        ..wish()
    };
    let now = set(&world, "ann", wish).await.unwrap();
    let expected = v1::Preferences {
        pinned: false,
        muted_until_ms: i64::MAX,
        archived: false,
        marked_unread: true,
        notifications: NotificationLevel::Mentions.into(),
    };
    assert_eq!(now, expected);
    world.stop().await;
    world.start().await;
    assert_eq!(world.see("ann", &id).await.preferences, Some(expected));
    let all = by("ann", v1::ListConversationsRequest::default());
    let listed = world.conversations().list_conversations(all).await;
    assert_eq!(listed.unwrap().into_inner().conversations[0].preferences, Some(expected));
    assert_eq!(world.see("bob", &id).await.preferences, Some(v1::Preferences::default()));
    world.stop().await;
}

#[tokio::test]
async fn what_is_archived_comes_back_with_the_next_message() {
    let mut world = World::new().await;
    let id = world.create("ann", ConversationKind::Group, "Team", &["bob"]).await;
    world.say("bob", &id, &world.id()).await.unwrap();
    let wish =
        v1::SetPreferencesRequest { conversation_id: id.clone(), archived: Some(true), ..Default::default() };
    assert!(set(&world, "ann", wish.clone()).await.unwrap().archived);
    let topic = Some("Topic".to_owned());
    let change = v1::UpdateConversationRequest { conversation_id: id.clone(), topic, ..Default::default() };
    world.update("ann", change).await.unwrap();
    assert!(world.see("ann", &id).await.preferences.unwrap().archived);
    world.say("bob", &id, &world.id()).await.unwrap();
    assert!(!world.see("ann", &id).await.preferences.unwrap().archived);
    assert!(set(&world, "ann", wish.clone()).await.unwrap().archived);
    let back = v1::SetPreferencesRequest { archived: Some(false), ..wish };
    assert!(!set(&world, "ann", back).await.unwrap().archived);
    world.stop().await;
}

#[tokio::test]
async fn ones_other_devices_hear_of_it_and_nobody_else() {
    let mut world = World::new().await;
    let id = world.create("ann", ConversationKind::Group, "Team", &["bob"]).await;
    let mut laptop = world.attach("ann", "laptop").await;
    let mut other = world.attach("bob", "phone").await;
    let wish =
        v1::SetPreferencesRequest { conversation_id: id.clone(), pinned: Some(true), ..Default::default() };
    set(&world, "ann", wish).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Some(Frame::Ephemeral(news)) = laptop.message().await.unwrap().unwrap().frame {
                return news;
            }
        }
    });
    let changed = v1::AccountChanged { area: AccountArea::Preferences.into(), conversation_id: id.clone() };
    assert_eq!(heard.await.unwrap().body, Some(Body::Account(changed)));
    // What comes after it on bob's stream is a message, with nothing before.
    world.say("ann", &id, &world.id()).await.unwrap();
    loop {
        match other.message().await.unwrap().unwrap().frame {
            Some(Frame::Events(_)) => break,
            Some(Frame::Ephemeral(news)) => panic!("{news:?}"),
            _ => {}
        }
    }
    drop((laptop, other));
    world.stop().await;
}

#[tokio::test]
async fn strangers_and_nonsense_are_refused() {
    let mut world = World::new().await;
    let id = world.create("ann", ConversationKind::Group, "Team", &[]).await;
    let wish = || v1::SetPreferencesRequest { conversation_id: id.clone(), ..Default::default() };
    let refused = async |who, wish| set(&world, who, wish).await.unwrap_err().code();
    assert_eq!(
        refused("eve", v1::SetPreferencesRequest { pinned: Some(true), ..wish() }).await,
        Code::NotFound
    );
    let unknown = v1::SetPreferencesRequest { notifications: Some(77), ..wish() };
    assert_eq!(refused("ann", unknown).await, Code::InvalidArgument);
    let before = v1::SetPreferencesRequest { muted_until_ms: Some(-1), ..wish() };
    assert_eq!(refused("ann", before).await, Code::InvalidArgument);
    let nowhere = v1::SetPreferencesRequest { conversation_id: "here".into(), ..wish() };
    assert_eq!(refused("ann", nowhere).await, Code::InvalidArgument);
    world.stop().await;
}
