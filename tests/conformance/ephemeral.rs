//! Typing, presence and markers reach those whom they concern, and nobody else. No promise that they arrive; that they
//! do when nothing is wrong is what makes them useful.

use crate::{person::Person, refusal::expect, stream::Stream, world::World};
use nexus_client::v1::{self, PresenceStatus, ephemeral::Body};
use std::sync::Arc;
use tonic::Code;

async fn typing(who: &Person, conversation: &str, typing: bool) {
    who.call(v1::SetTypingRequest { conversation_id: conversation.into(), typing, thread: 0 }).await;
}

async fn types(stream: &mut Stream, whose: &Person) -> bool {
    let user = &whose.user;
    let fits = |body: &Body| match body {
        Body::Typing(typing) if typing.user == *user => Some(typing.typing),
        _ => None,
    };
    stream.ephemeral(fits).await
}

async fn status(stream: &mut Stream, whose: &Person) -> (PresenceStatus, String) {
    let user = &whose.user;
    let fits = |body: &Body| match body {
        Body::Presence(presence) if presence.user == *user => {
            Some((presence.status(), presence.text.clone()))
        }
        _ => None,
    };
    stream.ephemeral(fits).await
}

pub async fn typing_reaches_the_other_members(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let eve = Person::new(&world, "eve").await;
    let group = ann.group(&[&bob]).await;
    let own = eve.group(&[&ann]).await;
    let mut to_ann = ann.attach(&[]).await;
    let mut to_bob = bob.attach(&[(&group, 0)]).await;
    let mut to_eve = eve.attach(&[(&group, 0), (&own, 0)]).await;
    let mut quiet = Stream::attach(&bob.on("quiet").await, &[(&group, 0)], true).await;
    for stream in [&mut to_ann, &mut to_bob, &mut to_eve, &mut quiet] {
        stream.caught_up().await;
    }
    typing(&ann, &group, true).await;
    assert!(types(&mut to_bob, &ann).await);
    typing(&ann, &group, false).await;
    assert!(!types(&mut to_bob, &ann).await);
    // It expires by itself.
    typing(&ann, &group, true).await;
    assert!(types(&mut to_bob, &ann).await);
    assert!(!types(&mut to_bob, &ann).await);
    let nobody = v1::SetTypingRequest { conversation_id: group.clone(), typing: true, thread: 0 };
    expect(&eve.refused(nobody).await, Code::NotFound);
    let last = [ann.say(&group, "done").await, ann.say(&own, "done").await];
    to_ann.events(&group, last[0]).await;
    quiet.events(&group, last[0]).await;
    to_eve.events(&own, last[1]).await;
    let heard = |stream: &Stream| stream.unasked().filter(|body| matches!(body, Body::Typing(_))).count();
    assert_eq!((heard(&to_ann), heard(&to_eve)), (0, 0), "neither oneself nor strangers");
    assert_eq!(quiet.unasked().count(), 0, "a stream without ephemeral frames has none");
}

pub async fn presence_reaches_those_who_share_a_conversation(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let eve = Person::new(&world, "eve").await;
    let group = ann.group(&[&bob]).await;
    let set = |status: PresenceStatus, text: &str| v1::SetPresenceRequest {
        status: status as i32,
        text: text.into(),
    };
    expect(&bob.refused(set(PresenceStatus::Busy, "")).await, Code::FailedPrecondition);
    let ask = |who: &Person| v1::GetPresenceRequest { users: vec![who.user.clone()] };
    let asked = async |by: &Person, of: &Person| {
        let presences = by.call(ask(of)).await.presences;
        presences.into_iter().map(|p| (p.status(), p.text)).collect::<Vec<_>>()
    };
    assert_eq!(asked(&ann, &bob).await, [(PresenceStatus::Offline, String::new())]);
    let mut to_ann = ann.attach(&[(&group, 0)]).await;
    let mut to_eve = eve.attach(&[]).await;
    to_ann.caught_up().await;
    to_eve.caught_up().await;
    let mut to_bob = bob.attach(&[(&group, 0)]).await;
    to_bob.caught_up().await;
    assert_eq!(status(&mut to_ann, &bob).await.0, PresenceStatus::Online);
    bob.call(set(PresenceStatus::Busy, "in a meeting")).await;
    let busy = (PresenceStatus::Busy, "in a meeting".to_owned());
    // Becoming ONLINE may be told more than once.
    while status(&mut to_ann, &bob).await != busy {}
    assert_eq!(asked(&ann, &bob).await, [busy]);
    assert_eq!(asked(&eve, &bob).await, [], "a stranger is told nothing");
    assert_eq!(to_eve.unasked().count(), 0);
}

pub async fn markers_are_told_as_they_move(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let said = ann.say(&group, "read me").await;
    let mut to_ann = ann.attach(&[(&group, 0)]).await;
    let mut to_bob = bob.attach(&[(&group, 0)]).await;
    to_ann.caught_up().await;
    to_bob.caught_up().await;
    bob.on("laptop").await.call(v1::SetReadMarkerRequest { conversation_id: group.clone(), seq: said }).await;
    let moved = |body: &Body| match body {
        Body::Marker(moved) if moved.conversation_id == group => moved.marker.clone(),
        _ => None,
    };
    for stream in [&mut to_ann, &mut to_bob] {
        let marker = stream.ephemeral(moved).await;
        assert_eq!((marker.user, marker.read_seq), (bob.user.clone(), said));
    }
}
