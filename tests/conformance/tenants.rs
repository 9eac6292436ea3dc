//! Tenants know nothing of each other, even where users have the same names.

use crate::{person::Person, refusal::expect, stream::Stream, world::World};
use nexus_client::v1;
use std::sync::Arc;
use tonic::Code;

pub async fn the_same_names_in_two_tenants_are_different_people(world: Arc<World>) {
    let (ann, bob) = (world.name("ann"), world.name("bob"));
    let (here, there) = (world.tenant(), world.name("elsewhere"));
    let here = [
        Person::named(&world, &ann, &here, "phone").await,
        Person::named(&world, &bob, &here, "phone").await,
    ];
    let there = [
        Person::named(&world, &ann, &there, "phone").await,
        Person::named(&world, &bob, &there, "phone").await,
    ];
    let direct = here[0].direct(&here[1]).await.id;
    let other = there[0].direct(&there[1]).await.id;
    assert_ne!(direct, other);
    let group = here[0].group(&[&here[1]]).await;
    here[0].say(&direct, "secret").await;
    for foreign in [&direct, &group] {
        let see = v1::GetConversationRequest { conversation_id: foreign.clone(), at_least: 0 };
        expect(&there[0].refused(see).await, Code::NotFound);
        expect(&there[0].refused(there[0].message(foreign, "hello?")).await, Code::NotFound);
    }
    let listed = there[1].call(v1::ListConversationsRequest::default()).await.conversations;
    assert_eq!(listed.into_iter().map(|conversation| conversation.id).collect::<Vec<_>>(), [other.as_str()]);
    // Nor do streams and what goes by them.
    let mut stream = there[1].attach(&[(&direct, 0), (&other, 0)]).await;
    assert_eq!(stream.reset(&direct).await.0, v1::ResetReason::NotAMember);
    let _theirs = here[0].attach(&[]).await;
    here[0].call(v1::SetTypingRequest { conversation_id: direct.clone(), typing: true, thread: 0 }).await;
    here[0].say(&direct, "more").await;
    let said = there[0].say(&other, "ours").await;
    assert_eq!(stream.events(&other, said).await.len(), 2);
    assert!(stream.came(&direct).is_empty());
    assert_eq!(stream.unasked().count(), 0);
    let presence = v1::GetPresenceRequest { users: vec![ann] };
    let found = there[1].call(presence).await.presences;
    assert_eq!(found.iter().map(|p| p.status()).collect::<Vec<_>>(), [v1::PresenceStatus::Offline]);
}

pub async fn one_id_is_two_events_in_two_tenants(world: Arc<World>) {
    let user = world.name("ann");
    let one = Person::named(&world, &user, &world.tenant(), "phone").await;
    let two = Person::named(&world, &user, &world.name("elsewhere"), "phone").await;
    let create = v1::CreateConversationRequest {
        client_id: world.id(),
        kind: v1::ConversationKind::Group as i32,
        title: "Ours".into(),
        ..Default::default()
    };
    let first = one.call(create.clone()).await.conversation.unwrap();
    let second = two.call(v1::CreateConversationRequest { title: "Theirs".into(), ..create }).await;
    assert_ne!(first.id, second.conversation.unwrap().id);
    let stream = Stream::attach(&two, &[], true).await;
    assert_eq!(stream.attached.user, user);
}
