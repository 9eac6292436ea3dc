//! Finding channels, one's own settings, and slow mode.

use crate::{person::Person, refusal::expect, world::World};
use nexus_client::v1::{self, AccountArea, ephemeral::Body};
use std::sync::Arc;
use tonic::Code;
use tonic_types::StatusExt as _;

fn update(who: &Person, channel: &str) -> v1::UpdateConversationRequest {
    v1::UpdateConversationRequest {
        conversation_id: channel.into(),
        client_id: who.id(),
        ..Default::default()
    }
}

pub async fn public_channels_are_found_by_title(world: Arc<World>) {
    let tenant = world.name("directory");
    let ann = Person::named(&world, "ann", &tenant, "phone").await;
    let eve = Person::named(&world, "eve", &tenant, "phone").await;
    let mut expected = Vec::new();
    for title in ["Äpfel", "apples", "Bananas", "APRICOTS"] {
        let channel = ann.channel(&[]).await;
        ann.call(v1::UpdateConversationRequest { title: Some(title.into()), ..update(&ann, &channel) }).await;
        expected.push((channel, title));
    }
    let hidden = expected.remove(2).0;
    let private = Some(v1::Visibility::Private as i32);
    ann.call(v1::UpdateConversationRequest { visibility: private, ..update(&ann, &hidden) }).await;
    let page = async |prefix: &str, page_token: String| {
        let prefix = prefix.to_owned();
        let page = eve.call(v1::ListDirectoryRequest { page_size: 1, page_token, prefix }).await;
        let titles: Vec<String> = page.entries.into_iter().map(|entry| entry.title).collect();
        (titles, page.next_page_token)
    };
    let all = async |prefix: &str| {
        let (mut titles, mut token) = page(prefix, String::new()).await;
        while !token.is_empty() {
            let (more, next) = page(prefix, token).await;
            titles.extend(more);
            token = next;
        }
        titles
    };
    assert_eq!(all("ap").await, ["apples", "APRICOTS"]);
    assert_eq!(all("äp").await, ["Äpfel"]);
    assert_eq!(all("").await.len(), 3, "a channel that is private now is not found");
    let stranger = Person::new(&world, "stranger").await;
    let other = stranger.call(v1::ListDirectoryRequest { prefix: "ap".into(), ..Default::default() }).await;
    assert!(other.entries.is_empty(), "another tenant has others");
}

pub async fn preferences_are_ones_own(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let mut laptop = ann.on("laptop").await.attach(&[(&group, 0)]).await;
    laptop.caught_up().await;
    let set = |conversation_id: &str| v1::SetPreferencesRequest {
        conversation_id: conversation_id.into(),
        ..Default::default()
    };
    ann.call(v1::SetPreferencesRequest { pinned: Some(true), ..set(&group) }).await;
    let muted = v1::SetPreferencesRequest { muted_until_ms: Some(4_000_000_000_000), ..set(&group) };
    let now = ann.on("tablet").await.call(muted).await.preferences.unwrap();
    assert_eq!((now.pinned, now.muted_until_ms), (true, 4_000_000_000_000), "fields don't undo each other");
    assert_eq!(ann.see(&group).await.preferences, Some(now));
    assert!(!bob.see(&group).await.preferences.unwrap_or_default().pinned);
    let changed = |body: &Body| match body {
        Body::Account(changed) if changed.conversation_id == group => Some(changed.area()),
        _ => None,
    };
    assert_eq!(laptop.ephemeral(changed).await, AccountArea::Preferences);
}

pub async fn slow_mode_says_how_long_to_wait(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    ann.call(v1::UpdateConversationRequest { slow_mode_seconds: Some(3600), ..update(&ann, &group) }).await;
    assert_eq!(bob.see(&group).await.slow_mode_seconds, 3600);
    let message = bob.message(&group, "first");
    let first = bob.send(message.clone()).await;
    let refused = bob.refused(bob.message(&group, "second")).await;
    expect(&refused, Code::FailedPrecondition);
    let wait = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait.as_secs() > 3000 && wait.as_secs() <= 3600, "{wait:?}");
    assert_eq!(bob.send(message).await, first, "a retry is no second message");
    ann.say(&group, "admins are exempt").await;
    ann.say(&group, "again").await;
}
