//! How people show themselves to each other.

use crate::{
    person::Person,
    refusal::{expect, expect_invalid},
    world::World,
};
use nexus_client::v1::{self, AccountArea, ephemeral::Body};
use std::{collections::HashMap, sync::Arc};
use tonic::Code;

fn named(name: &str) -> v1::UpdateProfileRequest {
    v1::UpdateProfileRequest { display_name: Some(name.into()), ..Default::default() }
}

async fn profiles(who: &Person, of: &[&Person]) -> Vec<v1::Profile> {
    let users = of.iter().map(|person| person.user.clone()).collect();
    who.call(v1::GetProfilesRequest { users }).await.profiles
}

pub async fn people_show_themselves(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    assert_eq!(profiles(&bob, &[&ann]).await, [], "who has none is left out");
    let before = world.now_ms();
    let told = ann.call(named("Ann Smith")).await.profile.unwrap();
    assert_eq!((told.user.as_str(), told.display_name.as_str()), (ann.user.as_str(), "Ann Smith"));
    assert!((before - 5000..=world.now_ms() + 5000).contains(&told.updated_at_ms), "{told:?}");
    bob.call(named("Bob")).await;
    let seen = profiles(&bob, &[&bob, &ann, &ann]).await;
    let mut names: Vec<_> = seen.iter().map(|profile| profile.user.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, [ann.user.as_str(), bob.user.as_str()], "each is there once");
    assert!(seen.contains(&told));
    // Of the same name in another tenant nothing is known.
    let stranger = Person::named(&world, &bob.user, &world.name("elsewhere"), "phone").await;
    assert_eq!(profiles(&stranger, &[&ann, &bob]).await, []);
}

pub async fn each_field_changes_alone(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    ann.call(named("Ann")).await;
    let metadata = |key: &str| {
        let entries = HashMap::from([(key.to_owned(), "value".to_owned())]);
        Some(v1::ProfileMetadata { entries })
    };
    let words = v1::UpdateProfileRequest {
        about: Some("Reads the manual.".into()),
        time_zone: Some("Europe/Vienna".into()),
        metadata: metadata("color"),
        ..Default::default()
    };
    ann.call(words).await;
    let change = v1::UpdateProfileRequest { metadata: metadata("shape"), ..Default::default() };
    let told = ann.call(change).await.profile.unwrap();
    assert_eq!(
        (told.display_name.as_str(), told.about.as_str(), told.time_zone.as_str()),
        ("Ann", "Reads the manual.", "Europe/Vienna")
    );
    assert_eq!(told.metadata.keys().collect::<Vec<_>>(), ["shape"], "the metadata is replaced as a whole");
    let unchanged = ann.call(v1::UpdateProfileRequest::default()).await.profile.unwrap();
    assert_eq!(unchanged, told);
    let empty = ann.call(named("")).await.profile.unwrap();
    assert_eq!((empty.display_name.as_str(), empty.about.as_str()), ("", "Reads the manual."));
}

pub async fn a_profile_has_limits(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let fits = v1::UpdateProfileRequest {
        display_name: Some("x".repeat(128)),
        about: Some("x".repeat(512)),
        ..Default::default()
    };
    let kept = ann.call(fits).await.profile.unwrap();
    expect_invalid(&ann.refused(named(&"x".repeat(129))).await, "display_name");
    let wordy = v1::UpdateProfileRequest { about: Some("x".repeat(513)), ..Default::default() };
    expect_invalid(&ann.refused(wordy).await, "about");
    let nowhere = v1::UpdateProfileRequest { time_zone: Some("over there".into()), ..Default::default() };
    expect_invalid(&ann.refused(nowhere).await, "time_zone");
    let picture = v1::UpdateProfileRequest { avatar_upload_id: Some("mine".into()), ..Default::default() };
    expect_invalid(&ann.refused(picture).await, "avatar_upload_id");
    for (entries, key, value) in [(17, 1, 1), (1, 65, 1), (1, 1, 1025), (1, 0, 1)] {
        let key = |n: u8| char::from(b'a' + n).to_string().repeat(key);
        let entries = (0..entries).map(|n| (key(n), "x".repeat(value))).collect();
        let metadata = Some(v1::ProfileMetadata { entries });
        let status = ann.refused(v1::UpdateProfileRequest { metadata, ..Default::default() }).await;
        expect_invalid(&status, "metadata.entries");
    }
    assert_eq!(profiles(&ann, &[&ann]).await, [kept], "nothing was changed");
    let many = (0..201).map(|n| format!("user-{n}")).collect();
    expect_invalid(&ann.refused(v1::GetProfilesRequest { users: many }).await, "users");
    let status = ann.refused(v1::GetProfilesRequest { users: vec!["no name".into()] }).await;
    expect(&status, Code::InvalidArgument);
}

pub async fn ones_devices_hear_of_a_change(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let mut tablet = ann.on("tablet").await.attach(&[]).await;
    tablet.caught_up().await;
    ann.call(named("Ann")).await;
    let heard = tablet
        .ephemeral(|body| match body {
            Body::Account(changed) => Some(changed.area()),
            _ => None,
        })
        .await;
    assert_eq!(heard, AccountArea::Profile);
}
